/* SPDX-License-Identifier: MPL-2.0 */
#include "../unit.h"

#include "base/err.h"
#include "ops/ops_time.h"

static const struct {
    uint64_t ms;
    const char *text;
} known[] = {
    {0, "1970-01-01T00:00:00.000Z"},
    {951782399999u, "2000-02-28T23:59:59.999Z"},
    {951782400000u, "2000-02-29T00:00:00.000Z"},
    {951868800000u, "2000-03-01T00:00:00.000Z"},
    {1709164800001u, "2024-02-29T00:00:00.001Z"},
    {1795231207125u, "2026-11-21T03:20:07.125Z"},
    {4107542400000u, "2100-03-01T00:00:00.000Z"},
    {253402300799999u, "9999-12-31T23:59:59.999Z"},
};

static void test_known(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        char text[OPS_TIME_BYTES];
        uint64_t ms = 1;
        assert_string_equal(ops_time_format(known[i].ms, text), known[i].text);
        assert_int_equal(ops_time_parse(known[i].text, &ms), HM_OK);
        assert_true(ms == known[i].ms);
    }
}

static void test_beyond_the_year_9999(void **state)
{
    char text[OPS_TIME_BYTES];
    (void) state;
    assert_string_equal(ops_time_format(UINT64_MAX, text), "9999-12-31T23:59:59.999Z");
    assert_string_equal(ops_time_format(253402300800000u, text), "9999-12-31T23:59:59.999Z");
}

static void test_every_day_round_trips(void **state)
{
    char last[OPS_TIME_BYTES] = "";
    (void) state;
    for (uint64_t day = 0; day < 160000; day++) {
        char text[OPS_TIME_BYTES];
        uint64_t back = 0;
        ops_time_format(day * 86400000u, text);
        assert_true(strcmp(last, text) < 0);
        assert_int_equal(ops_time_parse(text, &back), HM_OK);
        assert_true(back == day * 86400000u);
        memcpy(last, text, sizeof last);
    }
}

static void test_malformed(void **state)
{
    static const char *const wrong[] = {
        "",
        "2026",
        "2026-11-21T03:20:07Z",
        "2026-11-21T03:20:07.125",
        "2026-11-21 03:20:07.125Z",
        "2026-13-01T00:00:00.000Z",
        "2026-00-01T00:00:00.000Z",
        "2026-01-32T00:00:00.000Z",
        "2026-02-29T00:00:00.000Z",
        "2100-02-29T00:00:00.000Z",
        "2026-04-31T00:00:00.000Z",
        "2026-01-00T00:00:00.000Z",
        "1969-12-31T23:59:59.999Z",
        "2026-01-01T24:00:00.000Z",
        "2026-01-01T00:60:00.000Z",
        "2026-01-01T00:00:60.000Z",
        "2026-01-01T00:00:00.00aZ",
        "2026-11-21T03:20:07.125Zx",
        "2026-11-21T03:20:07.125+",
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        uint64_t ms = 42;
        if (ops_time_parse(wrong[i], &ms) != HM_EMALFORMED || ms != 42) {
            print_error("%s\n", wrong[i]);
            fail();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_beyond_the_year_9999),
        cmocka_unit_test(test_every_day_round_trips),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
