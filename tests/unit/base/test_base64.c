/* SPDX-License-Identifier: MPL-2.0 */
#include "../unit.h"

#include "base/base64.h"
#include "base/err.h"
#include "base/prng.h"

/* RFC 4648, section 10. */
static void test_vectors(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        char text[BASE64_TEXT_BYTES(6)];
        uint8_t bytes[9];
        size_t size = 99;
        assert_string_equal(base64_write(span_of(pairs[i][0], strlen(pairs[i][0])), text),
                            pairs[i][1]);
        assert_int_equal(base64_read(text, strlen(text), bytes, &size), HM_OK);
        assert_int_equal(size, strlen(pairs[i][0]));
        assert_memory_equal(bytes, pairs[i][0], size);
    }
}

static void test_round_trip(void **state)
{
    struct prng prng;
    (void) state;
    prng_init(&prng, 5);
    for (size_t size = 0; size < 200; size++) {
        uint8_t bytes[200], back[201];
        char text[BASE64_TEXT_BYTES(200)];
        size_t got = 0;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t) prng_next(&prng);
        }
        base64_write(span_of(bytes, size), text);
        assert_int_equal(strlen(text) + 1, BASE64_TEXT_BYTES(size));
        assert_int_equal(base64_read(text, strlen(text), back, &got), HM_OK);
        assert_true(got == size);
        assert_memory_equal(back, bytes, size);
    }
}

static void test_anything_else_is_refused(void **state)
{
    static const char *const wrong[] = {"Z",    "Zg",       "Zg=",  "Zh==",      "Zm9=", "Z===",
                                        "====", "Zg==Zg==", "Zm 9", "Zm9v\n",    "Zm9-", "Zm9_",
                                        "=m9v", "Z=9v",     "Zm=v", "\xc3\xa4=="};
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct span text = exact_copy(wrong[i], strlen(wrong[i]));
        uint8_t bytes[16];
        size_t size = 77;
        if (base64_read((const char *) text.data, text.size, bytes, &size) != HM_EMALFORMED) {
            print_error("\"%s\" is taken\n", wrong[i]);
            fail();
        }
        assert_int_equal(size, 77);
        exact_free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
