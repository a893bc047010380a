/* SPDX-License-Identifier: MPL-2.0 */
/* The growable buffer: its bound, its sticky failure, and memory that stays when it is emptied. */
#include "../unit.h"

#include "base/buf.h"

static void starts_empty(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(buf_span(&b).size, 0);
    assert_false(buf_failed(&b));
    buf_append(&b, NULL, 0);
    assert_false(buf_failed(&b));
    buf_truncate(&b, 0);
    buf_fini(&b);
    buf_fini(&b); /* as often as one likes */
}

static void grows_to_its_bound_and_not_beyond(void **state)
{
    (void) state;
    for (size_t max = 0; max <= 300; max++) {
        struct buf b;
        buf_init(&b, max);
        for (size_t i = 0; i < max; i++) {
            uint8_t byte = (uint8_t) i;
            buf_append(&b, &byte, 1);
        }
        assert_false(buf_failed(&b));
        assert_int_equal(buf_span(&b).size, max);
        buf_append(&b, "x", 1);
        assert_true(buf_failed(&b));
        assert_int_equal(buf_span(&b).size, max); /* what was written stays */
        for (size_t i = 0; i < max; i++) {
            assert_int_equal(buf_span(&b).data[i], (uint8_t) i);
        }
        buf_fini(&b);
    }
}

static void failure_sticks_until_cleared(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 4);
    buf_append(&b, "abc", 3);
    buf_append(&b, "de", 2);
    assert_true(buf_failed(&b));
    buf_append(&b, "f", 1); /* would fit, but a gap must not go unseen */
    assert_null(buf_extend(&b, 1));
    assert_int_equal(buf_span(&b).size, 3);
    buf_truncate(&b, 0);
    assert_true(buf_failed(&b));
    buf_clear(&b);
    assert_false(buf_failed(&b));
    buf_append(&b, "wxyz", 4);
    assert_false(buf_failed(&b));
    assert_memory_equal(buf_span(&b).data, "wxyz", 4);
    buf_fini(&b);
}

static void huge_sizes_do_not_wrap(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 1000);
    buf_append(&b, "abc", 3);
    assert_null(buf_extend(&b, SIZE_MAX));
    assert_true(buf_failed(&b));
    buf_clear(&b);
    buf_append(&b, "abc", 3);
    assert_null(buf_extend(&b, SIZE_MAX - 2)); /* 3 + this wraps to 0 */
    assert_int_equal(b.size, 3);
    assert_true(b.room <= 2048);
    buf_fini(&b);
}

static void extend_gives_the_place(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 1 << 16);
    for (unsigned i = 0; i < 1000; i++) {
        uint8_t *at = buf_extend(&b, 7);
        assert_non_null(at);
        assert_ptr_equal(at, b.data + 7 * (size_t) i);
        memset(at, (int) (i & 255), 7);
    }
    for (unsigned i = 0; i < 7000; i++) {
        assert_int_equal(b.data[i], (i / 7) & 255);
    }
    buf_truncate(&b, 8);
    buf_append(&b, "!", 1);
    assert_int_equal(buf_span(&b).size, 9);
    assert_int_equal(b.data[8], '!');
    buf_fini(&b);
}

static void emptying_keeps_the_memory(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 1000);
    uint8_t *first = buf_extend(&b, 1000);
    assert_non_null(first);
    for (int i = 0; i < 100; i++) {
        buf_clear(&b);
        assert_ptr_equal(buf_extend(&b, 1000), first);
    }
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty),
        cmocka_unit_test(grows_to_its_bound_and_not_beyond),
        cmocka_unit_test(failure_sticks_until_cleared),
        cmocka_unit_test(huge_sizes_do_not_wrap),
        cmocka_unit_test(extend_gives_the_place),
        cmocka_unit_test(emptying_keeps_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
