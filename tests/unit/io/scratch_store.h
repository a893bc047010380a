/* SPDX-License-Identifier: MPL-2.0 */
/* A store in a directory of a test's own, and what it reports, with a deadline. One at a time. Include after
 * _GNU_SOURCE and unit.h; the setup and teardown of each test are scratch_setup and scratch_teardown. */
#ifndef HM_TESTS_UNIT_IO_SCRATCH_STORE_H
#define HM_TESTS_UNIT_IO_SCRATCH_STORE_H

#include "scratch.h"

#include "base/err.h"
#include "io/store.h"

#include <poll.h>

#define WAIT_MS 20000

static char dir[SCRATCH_BYTES];

static inline int scratch_setup(void **state)
{
    (void) state;
    scratch_make(dir);
    return 0;
}

static inline int scratch_teardown(void **state)
{
    (void) state;
    scratch_remove(dir);
    return 0;
}

static inline store_t *open_store(void)
{
    store_t *s = NULL;
    struct why why = {""};
    int rc = store_open(dir, &s, &why);
    if (rc != HM_OK) {
        print_error("%s\n", why.text);
    }
    assert_int_equal(rc, HM_OK);
    return s;
}

static inline void wait_news(store_t *s)
{
    struct pollfd item = {.fd = store_fd(s), .events = POLLIN};
    assert_true(poll(&item, 1, WAIT_MS) > 0);
}

static inline void wait_report(store_t *s, struct store_report *ret)
{
    while (store_take(s, ret) != HM_OK) {
        wait_news(s);
    }
}

/* Hands it over and waits until it is on disk. */
static inline void commit(store_t *s, uint64_t batch, const struct store_entry *entries,
                          size_t count)
{
    struct store_report r;
    assert_int_equal(store_persist(s, batch, entries, count), HM_OK);
    wait_report(s, &r);
    if (r.reason != HM_OK) {
        print_error("%s\n", r.text);
    }
    assert_int_equal(r.reason, HM_OK);
    assert_int_equal(r.batch, batch);
}

/* What is durable goes into the tables now. All that was handed over is settled. */
static inline void checkpoint(store_t *s)
{
    struct store_report r;
    uint64_t before = store_counts(s).checkpoints;
    for (int waits = 0; store_counts(s).checkpoints == before; waits++) {
        assert_true(waits < WAIT_MS);
        store_checkpoint(s);
        assert_int_equal(store_take(s, &r), HM_ENOTFOUND);
        usleep(1000);
    }
}

/* What store_measure found: what the thread of the tables was asked for before is done then, too. */
static inline void wait_measure(store_t *s, struct store_measure *ret)
{
    struct store_report r;
    while (store_take_measure(s, ret) != HM_OK) {
        wait_news(s);
        while (store_take(s, &r) == HM_OK) {
        }
    }
}

#endif
