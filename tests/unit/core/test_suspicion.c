/* SPDX-License-Identifier: MPL-2.0 */
/* Lifeguard's timeout and SWIM's dissemination bound against published numbers. */
#include "../unit.h"

#include "core/suspicion.h"

#define MS 1000000ULL
#define SECOND (1000 * MS)

static void assert_near(uint64_t ns, uint64_t expected_ns, uint64_t slack_ns)
{
    assert_in_range(ns, expected_ns - slack_ns, expected_ns + slack_ns);
}

/* hashicorp/memberlist, TestSuspicion_remainingSuspicionTime: minimum 2 s, maximum 30 s, K = 3;
 * there the remaining time is asserted, here the timeout that it is taken from. */
static void as_in_memberlist(void **state)
{
    (void) state;
    static const uint64_t expected_ms[] = {30000, 16000, 7810, 2000, 2000, 2000};
    for (unsigned n = 0; n < ARRAY_COUNT(expected_ms); n++) {
        uint64_t ns = suspicion_timeout_ns(2 * SECOND, 30 * SECOND, 3, n);
        assert_near(ns, expected_ms[n] * MS, 20 * MS);
    }
    assert_true(suspicion_timeout_ns(2 * SECOND, 30 * SECOND, 3, 0) == 30 * SECOND);
    assert_true(suspicion_timeout_ns(2 * SECOND, 30 * SECOND, 3, 3) == 2 * SECOND);
}

/* log(C + 1) / log(K + 1), in thousandths, for every K and C that the table holds. */
static void the_formula(void **state)
{
    (void) state;
    static const unsigned part[9][9] = {
        {0},
        {0, 1000},
        {0, 631, 1000},
        {0, 500, 792, 1000},
        {0, 431, 683, 861, 1000},
        {0, 387, 613, 774, 898, 1000},
        {0, 356, 565, 712, 827, 921, 1000},
        {0, 333, 528, 667, 774, 862, 936, 1000},
        {0, 315, 500, 631, 732, 815, 886, 946, 1000},
    };
    for (unsigned k = 1; k <= 8; k++) {
        for (unsigned c = 0; c <= k; c++) {
            uint64_t ns = suspicion_timeout_ns(10 * SECOND, 20 * SECOND, k, c);
            assert_near(ns, 20 * SECOND - part[k][c] * 10 * MS, 10 * MS);
        }
    }
}

static void falls_from_maximum_to_minimum(void **state)
{
    (void) state;
    for (unsigned k = 0; k <= 20; k++) {
        uint64_t last = UINT64_MAX;
        for (unsigned c = 0; c <= 25; c++) {
            uint64_t ns = suspicion_timeout_ns(3 * SECOND, 18 * SECOND, k, c);
            assert_in_range(ns, 3 * SECOND, 18 * SECOND);
            assert_true(ns <= last);
            last = ns;
        }
        assert_true(last == 3 * SECOND);
    }
}

static void nobody_to_confirm(void **state)
{
    (void) state;
    assert_true(suspicion_timeout_ns(2 * SECOND, 30 * SECOND, 0, 0) == 2 * SECOND);
    assert_true(suspicion_timeout_ns(2 * SECOND, 2 * SECOND, 3, 0) == 2 * SECOND);
    assert_true(suspicion_timeout_ns(2 * SECOND, SECOND, 3, 0) == 2 * SECOND);
    assert_true(suspicion_timeout_ns(0, 0, 3, 1) == 0);
}

static void rounds_to_hear_something(void **state)
{
    (void) state;
    static const struct {
        uint64_t n;
        unsigned rounds;
    } rows[] = {
        {0, 1},    {1, 1},     {2, 1},         {8, 1},           {9, 1},
        {10, 2},   {99, 2},    {100, 3},       {999, 3},         {1000, 4},
        {9999, 4}, {10000, 5}, {999999999, 9}, {1000000000, 10}, {UINT64_MAX / 20, 18},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(log10_ceil(rows[i].n), rows[i].rounds);
    }
    assert_true(log10_ceil(UINT64_MAX) >= 19);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_in_memberlist),
        cmocka_unit_test(the_formula),
        cmocka_unit_test(falls_from_maximum_to_minimum),
        cmocka_unit_test(nobody_to_confirm),
        cmocka_unit_test(rounds_to_hear_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
