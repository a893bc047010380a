/* SPDX-License-Identifier: MPL-2.0 */
/* A store that nobody writes lets go of its pages, and is read as before. */
#define _GNU_SOURCE
#include "../unit.h"

#include "scratch_store.h"

#include "io/store_rest.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORDS 2000
#define SECOND_NS ((uint64_t) 1000000000)

/* Of the mapped store, in kB. -1: it is not mapped. */
static long resident(void)
{
    char line[4096];
    bool is_store = false;
    long kb = -1;
    FILE *maps = fopen("/proc/self/smaps", "re");
    assert_non_null(maps);
    while (kb < 0 && fgets(line, sizeof line, maps) != NULL) {
        is_store |= strstr(line, "/data.mdb") != NULL;
        if (is_store && strncmp(line, "Rss:", 4) == 0) {
            kb = strtol(line + 4, NULL, 10);
        }
    }
    fclose(maps);
    return kb;
}

static void fill(store_t *s)
{
    static char keys[RECORDS][16], value[400];
    static struct store_entry entries[RECORDS];
    for (size_t i = 0; i < RECORDS; i++) {
        snprintf(keys[i], sizeof keys[i], "%08zu", i);
        entries[i] = (struct store_entry){.table = STORE_ENTRIES,
                                          .key = span_of(keys[i], 8),
                                          .value = span_of(value, sizeof value)};
    }
    commit(s, 1, entries, RECORDS);
    checkpoint(s);
}

static size_t read_all(store_t *s)
{
    struct store_view view = store_view(s);
    struct span key = span_of("", 0), value;
    uint8_t from[16];
    size_t count = 0;
    for (bool first = true; view.next(view.ctx, STORE_ENTRIES, key, first, &key, &value);
         first = false) {
        count += value.size == 400;
        memcpy(from, key.data, key.size);
        key = span_of(from, key.size);
    }
    store_view_done(s);
    return count;
}

static void what_nobody_uses_is_let_go(void **state)
{
    (void) state;
    store_t *s = NULL;
    struct why why = {""};
    assert_int_equal(store_open(dir, &s, &why), HM_OK);
    fill(s);
    assert_int_equal(read_all(s), RECORDS);
    long before = resident();
    assert_true(before > RECORDS * 400 / 1024);
    store_rest(s, 100 * SECOND_NS); /* it has seen the commit */
    store_rest(s, 104 * SECOND_NS);
    assert_int_equal(resident(), before);
    store_rest(s, 105 * SECOND_NS);
    assert_true(resident() < before / 4);
    assert_int_equal(read_all(s), RECORDS);
    before = resident();
    store_rest(s, 200 * SECOND_NS); /* once: who only reads keeps what is read */
    assert_int_equal(resident(), before);
    store_close(&s);
    assert_int_equal(store_rest_unmap(dir), HM_ENOTFOUND);
}

/* The thread that makes them measures the disk after what it was asked for before. */
static uint64_t checkpoints_by_now(store_t *s)
{
    struct store_report r;
    struct store_measure measure;
    store_measure(s);
    while (store_take_measure(s, &measure) != HM_OK) {
        wait_news(s);
        assert_int_equal(store_take(s, &r), HM_ENOTFOUND);
    }
    return store_counts(s).checkpoints;
}

/* Much in the journal goes to the tables first: it is in memory, too. A little waits for more. */
static void what_waits_goes_first(void **state)
{
    (void) state;
    static uint8_t large[1 << 20];
    store_t *s = open_store();
    struct store_entry e = {
        .table = STORE_ENTRIES, .key = span_of("k", 1), .value = span_of(large, 100)};
    for (uint64_t batch = 1; batch <= 20; batch++) {
        commit(s, batch, &e, 1);
    }
    store_rest(s, 100 * SECOND_NS);
    store_rest(s, 105 * SECOND_NS);
    assert_int_equal(checkpoints_by_now(s), 0);
    e.value.size = sizeof large;
    commit(s, 21, &e, 1);
    store_rest(s, 110 * SECOND_NS);
    store_rest(s, 115 * SECOND_NS);
    assert_int_equal(checkpoints_by_now(s), 1);
    store_close(&s);
}

/* However little: a minute later the tables have it, though writing goes on. */
static void nothing_waits_longer_than_a_minute(void **state)
{
    (void) state;
    store_t *s = open_store();
    struct store_entry e = {.table = STORE_ENTRIES, .key = span_of("k", 1), .value = span_of("v", 1)};
    for (uint64_t at = 0; at <= 62; at += 2) {
        commit(s, 1 + at, &e, 1);
        store_rest(s, (100 + at) * SECOND_NS);
        assert_int_equal(checkpoints_by_now(s), at < 60 ? 0 : 1);
    }
    store_close(&s);
}

static void each_pause_counts_by_itself(void **state)
{
    (void) state;
    struct store_rest r = {0};
    assert_false(store_rest_is_due(&r, 0, 100 * SECOND_NS)); /* nothing was written yet */
    assert_false(store_rest_is_due(&r, 1, 101 * SECOND_NS));
    assert_false(store_rest_is_due(&r, 2, 105 * SECOND_NS));
    assert_false(store_rest_is_due(&r, 2, 109 * SECOND_NS));
    assert_true(store_rest_is_due(&r, 2, 110 * SECOND_NS));
    assert_false(store_rest_is_due(&r, 2, 120 * SECOND_NS));
    assert_false(store_rest_is_due(&r, 3, 121 * SECOND_NS));
    assert_true(store_rest_is_due(&r, 3, 126 * SECOND_NS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_nobody_uses_is_let_go, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(what_waits_goes_first, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(nothing_waits_longer_than_a_minute, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test(each_pause_counts_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
