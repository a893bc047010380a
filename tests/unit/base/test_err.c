/* SPDX-License-Identifier: MPL-2.0 */
/* Result codes are part of the local protocol: names, values and texts hold. */
#include "../unit.h"

#include "base/err.h"

static const struct {
    int code, value;
    const char *text;
} list[] = {
#define ROW(name, value, text) {name, value, text},
    HM_ERR_LIST(ROW)
#undef ROW
};

static void every_code_has_its_own_value_and_text(void **state)
{
    (void) state;
    assert_int_equal(HM_OK, 0);
    for (size_t i = 0; i < ARRAY_COUNT(list); i++) {
        assert_int_equal(list[i].code, list[i].value);
        assert_string_equal(hm_strerror(list[i].code), list[i].text);
        assert_true(list[i].code <= 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(list[i].code, list[j].code);
            assert_string_not_equal(list[i].text, list[j].text);
        }
    }
}

static void values_never_change(void **state)
{
    (void) state;
    assert_int_equal(HM_EMALFORMED, -1);
    assert_int_equal(HM_EFULL, -2);
    assert_int_equal(HM_ESTALE, -3);
    assert_int_equal(HM_EDENIED, -4);
    assert_int_equal(HM_ENOTFOUND, -5);
    assert_int_equal(HM_ETIMEDOUT, -6);
    assert_int_equal(HM_ENOMEM, -7);
    assert_int_equal(HM_EINVAL, -8);
    assert_int_equal(HM_EIO, -9);
    assert_int_equal(HM_EEXIST, -10);
    assert_int_equal(HM_EBUSY, -11);
    assert_int_equal(HM_EUNREACHABLE, -12);
    assert_int_equal(HM_EVERSION, -13);
    assert_int_equal(HM_EAMBIGUOUS, -14);
}

static void foreign_codes_have_a_text_too(void **state)
{
    (void) state;
    static const int rows[] = {1, 2, -999, -1000, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_string_equal(hm_strerror(rows[i]), "unknown error");
    }
}

static void an_assertion_that_holds_is_silent(void **state)
{
    (void) state;
    int evaluated = 0;
    HM_ASSERT(++evaluated == 1);
    assert_int_equal(evaluated, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_its_own_value_and_text),
        cmocka_unit_test(values_never_change),
        cmocka_unit_test(foreign_codes_have_a_text_too),
        cmocka_unit_test(an_assertion_that_holds_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
