/* SPDX-License-Identifier: MPL-2.0 */
/* Effects and the memory they point into: it stays put within a step, is kept from step to step,
 * and does not grow with the number of steps. */
#include "../unit.h"

#include "base/prng.h"
#include "core/fxlist.h"

#include <stdio.h>

static void effects_are_zeroed(void **state)
{
    (void) state;
    struct fxlist l;
    struct effect zero;
    fxlist_init(&l);
    for (int step = 0; step < 3; step++) {
        fxlist_clear(&l);
        assert_int_equal(l.count, 0);
        for (int i = 0; i < 100; i++) {
            struct effect *fx = fxlist_add(&l, FX_BEACON);
            memset(&zero, 0, sizeof zero);
            zero.type = FX_BEACON;
            assert_non_null(fx);
            assert_memory_equal(fx, &zero, sizeof zero);
            memset(fx, 0xee, sizeof *fx);
        }
        assert_int_equal(l.count, 100);
    }
    assert_false(l.failed);
    fxlist_fini(&l);
}

static void copies_stay_where_they_are(void **state)
{
    (void) state;
    enum { COPIES = 3000 };
    static struct span copies[COPIES];
    struct fxlist l;
    struct prng p;
    fxlist_init(&l);
    prng_init(&p, 1);
    for (int step = 0; step < 5; step++) {
        static uint8_t bytes[50000];
        fxlist_clear(&l);
        for (size_t i = 0; i < COPIES; i++) {
            size_t size = (size_t) (prng_below(&p, 100) == 0 ? prng_below(&p, sizeof bytes)
                                                             : prng_below(&p, 300));
            memset(bytes, (int) (i & 255), size);
            copies[i] = fxlist_copy(&l, span_of(bytes, size));
            assert_int_equal(copies[i].size, size);
            assert_int_equal((uintptr_t) copies[i].data % sizeof(void *), 0);
        }
        for (size_t i = 0; i < COPIES; i++) {
            for (size_t j = 0; j < copies[i].size; j++) {
                assert_int_equal(copies[i].data[j], i & 255);
            }
        }
    }
    fxlist_fini(&l);
}

static void an_empty_copy_is_nothing(void **state)
{
    (void) state;
    struct fxlist l;
    fxlist_init(&l);
    assert_null(fxlist_copy(&l, span_of("", 0)).data);
    assert_null(fxlist_copy(&l, span_of(NULL, 0)).data);
    assert_false(l.failed);
    fxlist_fini(&l);
}

static unsigned long pages(void)
{
    unsigned long size = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL) {
        if (fscanf(f, "%lu", &size) != 1) {
            size = 0;
        }
        fclose(f);
    }
    return size;
}

/* A digest that grows by one member a step, between small effects, as while a mesh grows to its
 * limit. */
static void memory_does_not_grow_with_steps(void **state)
{
    (void) state;
    struct fxlist l;
    unsigned long before = pages();
    fxlist_init(&l);
    for (size_t members = 1; members <= 8192; members++) {
        fxlist_clear(&l);
        for (int i = 0; i < 20; i++) {
            assert_non_null(fxlist_alloc(&l, 1000));
        }
        assert_non_null(fxlist_alloc(&l, members * 25));
        assert_non_null(fxlist_alloc(&l, members * 25 + 20));
        for (int i = 0; i < 20; i++) {
            assert_non_null(fxlist_alloc(&l, 1000));
        }
    }
    assert_in_range(pages(), 0, before + (16 << 20) / 4096);
    fxlist_fini(&l);
}

/* One step with large frames for many: its memory is not kept, the usual step's is. */
static void what_was_needed_once_is_given_back(void **state)
{
    (void) state;
    struct fxlist l;
    uint8_t *large = calloc(1, 3U << 19);
    const void *first = NULL;
    assert_non_null(large);
    fxlist_init(&l);
    for (unsigned step = 0; step < 10; step++) {
        fxlist_clear(&l);
        assert_in_range(l.block_bytes, 0, FXLIST_KEPT_BYTES);
        const void *at = fxlist_alloc(&l, 100);
        assert_non_null(at);
        assert_true(first == NULL || at == first); /* of the steady state */
        first = at;
        for (unsigned i = 0; i < 8 && step % 3 == 1; i++) {
            struct span copy = fxlist_copy(&l, span_of(large, 3U << 19));
            assert_int_equal(copy.size, 3U << 19);
            assert_non_null(fxlist_alloc(&l, 5000));
        }
        assert_true(step % 3 != 1 || l.block_bytes >= 8 * (3U << 19));
    }
    assert_false(l.failed);
    fxlist_fini(&l);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(effects_are_zeroed),
        cmocka_unit_test(copies_stay_where_they_are),
        cmocka_unit_test(an_empty_copy_is_nothing),
        cmocka_unit_test(memory_does_not_grow_with_steps),
        cmocka_unit_test(what_was_needed_once_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
