/* SPDX-License-Identifier: MPL-2.0 */
/* The store's actor: reports in order, what it said is durable is there after opening again,
 * refusals keep the order, and a disk that fills up is an error and no crash. */
#define _GNU_SOURCE
#include "../unit.h"

#include "scratch_store.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct store_entry entry(const char *key, const void *value, size_t size)
{
    return (struct store_entry){STORE_SELF, span_of(key, strlen(key)), span_of(value, size)};
}

static void test_durable_is_there_again(void **state)
{
    (void) state;
    store_t *s = open_store();
    struct store_report r = {.batch = 0};
    const struct store_entry *entries;
    size_t count, dropped;
    uint64_t last = 0;
    assert_int_equal(store_load(s, &entries, &count, &dropped), HM_OK);
    assert_int_equal(count, 0);
    store_load_done(s);
    for (uint64_t n = 1; n <= 200; n++) {
        char key[16];
        snprintf(key, sizeof key, "k%03u", (unsigned) n);
        struct store_entry e[2] = {entry("last", &n, sizeof n), entry(key, key, 4)};
        assert_int_equal(store_persist(s, n, e, 2), HM_OK);
    }
    while (r.batch < 200) {
        wait_report(s, &r);
        assert_int_equal(r.reason, HM_OK);
        assert_true(r.batch > last);
        last = r.batch;
    }
    assert_int_equal(store_outstanding(s), 0);
    /* What was handed over and not reported yet is committed when it closes. */
    uint64_t n = 201;
    struct store_entry e = entry("last", &n, sizeof n);
    assert_int_equal(store_persist(s, n, &e, 1), HM_OK);
    store_close(&s);
    s = open_store();
    assert_int_equal(store_load(s, &entries, &count, &dropped), HM_OK);
    assert_int_equal(count, 201);
    assert_int_equal(dropped, 0);
    assert_int_equal(entries[0].key.size, 4);
    assert_memory_equal(entries[0].key.data, "k001", 4);
    assert_memory_equal(entries[200].key.data, "last", 4);
    assert_memory_equal(entries[200].value.data, &n, sizeof n);
    store_close(&s);
    assert_null(s);
}

/* What is gathered is one write and one sync; what was not handed over when it closes is there all the same. */
static void test_gathered(void **state)
{
    (void) state;
    store_t *s = open_store();
    struct store_report r;
    uint64_t n = 0;
    struct store_entry e = entry("last", &n, sizeof n);
    assert_int_equal(store_persist(s, ++n, &e, 1), HM_OK);
    wait_report(s, &r);
    store_gather(s);
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < 20; i++) {
            assert_int_equal(store_persist(s, ++n, &e, 1), HM_OK);
        }
        assert_int_equal(store_counts(s).commits, round);
        store_hand_over(s);
        wait_report(s, &r);
        assert_int_equal(r.batch, n);
        assert_int_equal(r.reason, HM_OK);
        assert_int_equal(store_counts(s).commits, 1 + round);
    }
    store_hand_over(s); /* nothing */
    assert_int_equal(store_persist(s, ++n, &e, 1), HM_OK);
    store_close(&s);
    s = open_store();
    const struct store_entry *entries;
    size_t count, dropped;
    assert_int_equal(store_load(s, &entries, &count, &dropped), HM_OK);
    assert_int_equal(count, 1);
    assert_memory_equal(entries[0].value.data, &n, sizeof n);
    store_close(&s);
}

static void test_refusals_keep_the_order(void **state)
{
    (void) state;
    store_t *s = open_store();
    struct store_report r;
    struct store_entry good = entry("a", "1", 1);
    struct store_entry bad = entry("", "1", 1);
    assert_int_equal(store_persist(s, 1, &good, 1), HM_OK);
    assert_int_equal(store_persist(s, 2, &bad, 1), HM_EINVAL);
    assert_int_equal(store_persist(s, 3, &good, 1), HM_EINVAL); /* after a failed one: it too */
    wait_report(s, &r);
    assert_int_equal(r.batch, 1);
    assert_int_equal(r.reason, HM_OK);
    wait_report(s, &r);
    assert_int_equal(r.batch, 2);
    assert_int_equal(r.reason, HM_EINVAL);
    assert_int_equal(store_take(s, &r), HM_ENOTFOUND);
    assert_int_equal(store_persist(s, 4, &good, 1), HM_OK);
    wait_report(s, &r);
    assert_int_equal(r.batch, 4);
    assert_int_equal(r.reason, HM_OK);
    store_close(&s);
}

static void test_too_many_outstanding(void **state)
{
    (void) state;
    store_t *s = open_store();
    struct store_report r = {.batch = 0};
    struct store_entry good = entry("a", "1", 1);
    uint64_t n = 0;
    int rc = HM_OK;
    while (rc == HM_OK && n < 100000) {
        rc = store_persist(s, ++n, &good, 1);
    }
    assert_int_equal(rc, HM_EFULL);
    assert_true(store_outstanding(s) <= STORE_BATCHES_MAX);
    while (r.reason == HM_OK || r.batch == 0) {
        wait_report(s, &r);
        assert_true(r.batch <= n);
    }
    assert_int_equal(r.batch, n);
    assert_int_equal(r.reason, HM_EFULL);
    assert_int_equal(store_outstanding(s), 0);
    store_close(&s);
}

/* The file may grow no more: EFBIG, as EIO or a full disk would come. */
static void test_disk_refuses(void **state)
{
    (void) state;
    static uint8_t large[600000];
    struct rlimit before, limit;
    store_t *s = open_store();
    struct store_report r;
    struct store_entry small = entry("a", "1", 1);
    struct store_entry big = entry("b", large, sizeof large);
    assert_int_equal(store_persist(s, 1, &small, 1), HM_OK);
    wait_report(s, &r);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 200000;
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(store_persist(s, 2, &big, 1), HM_OK);
    assert_int_equal(store_persist(s, 3, &small, 1), HM_OK);
    wait_report(s, &r);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(r.batch, 2);
    assert_true(r.reason < 0);
    assert_true(r.text[0] != '\0');
    /* Batch 3 failed with it; what comes after the report is tried again. */
    assert_int_equal(store_persist(s, 4, &big, 1), HM_OK);
    wait_report(s, &r);
    assert_int_equal(r.batch, 4);
    assert_int_equal(r.reason, HM_OK);
    assert_int_equal(store_outstanding(s), 0);
    store_close(&s);
}

/* The disk is tried between batches, one try at a time; what the disk says is told. */
static void test_disk_is_measured(void **state)
{
    (void) state;
    struct rlimit before, limit;
    store_t *s = open_store();
    struct store_report r;
    struct store_measure measure = {0};
    struct store_entry small = entry("a", "1", 1);
    assert_int_equal(store_take_measure(s, &measure), HM_ENOTFOUND);
    assert_int_equal(store_measuring_since(s), 0);
    store_measure(s);
    store_measure(s);
    assert_true(store_measuring_since(s) != 0);
    assert_int_equal(store_persist(s, 1, &small, 1), HM_OK);
    wait_measure(s, &measure);
    assert_int_equal(measure.error, 0);
    assert_true(measure.sync_ns > 0);
    assert_int_equal(store_measuring_since(s), 0);
    assert_int_equal(store_persist(s, 2, &small, 1), HM_OK);
    do {
        wait_report(s, &r);
    } while (r.batch != 2);
    assert_int_equal(r.reason, HM_OK);
    assert_int_equal(store_outstanding(s), 0);
    assert_int_equal(store_take_measure(s, &measure), HM_ENOTFOUND); /* the second was none */
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_FSIZE, &limit);
    store_measure(s);
    wait_measure(s, &measure);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(measure.error, EFBIG);
    store_measure(s);
    store_close(&s); /* with one under way */
}

static void test_errors_say_what_to_do(void **state)
{
    (void) state;
    store_t *s = NULL;
    struct why why = {""};
    char missing[SCRATCH_BYTES + 16];
    snprintf(missing, sizeof missing, "%s/none/dir", dir);
    assert_int_not_equal(store_open(missing, &s, &why), HM_OK);
    assert_non_null(strstr(why.text, missing));
    assert_int_not_equal(store_open("/proc/self", &s, &why), HM_OK);
    assert_null(s);
    if (geteuid() != 0) {
        char path[SCRATCH_BYTES + 16];
        snprintf(path, sizeof path, "%s/store", dir);
        assert_int_equal(mkdir(path, 0500), 0);
        assert_int_equal(store_open(dir, &s, &why), HM_EDENIED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_durable_is_there_again, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_gathered, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_refusals_keep_the_order, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_too_many_outstanding, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_disk_refuses, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_disk_is_measured, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_errors_say_what_to_do, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
