/* SPDX-License-Identifier: MPL-2.0 */
/* The generator against its authors' published outputs, so that a seed means the same for ever. */
#include "../unit.h"

#include "base/prng.h"

static void xoshiro_known_answers(void **state)
{
    (void) state;
    /* The reference implementation started from the state 1, 2, 3, 4. */
    static const uint64_t expected[] = {
        11520U,
        0U,
        1509978240U,
        1215971899390074240U,
        1216172134540287360U,
        607988272756665600U,
        16172922978634559625U,
        8476171486693032832U,
        10595114339597558777U,
        2904607092377533576U,
    };
    struct prng p = {.s = {1, 2, 3, 4}};
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_true(prng_next(&p) == expected[i]);
    }
}

static void splitmix_known_answers(void **state)
{
    (void) state;
    /* splitmix64 seeded with 1234567. */
    static const uint64_t expected[] = {
        6457827717110365317U,
        3203168211198807973U,
        9817491932198370423U,
        4593380528125082431U,
    };
    struct prng p;
    prng_init(&p, 1234567);
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_true(p.s[i] == expected[i]);
    }
    assert_true(prng_mix(1234567) == expected[0]);
}

static void same_seed_same_run(void **state)
{
    (void) state;
    struct prng a, b, c;
    prng_init(&a, 42);
    prng_init(&b, 42);
    prng_init(&c, 43);
    unsigned equal = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = prng_next(&a);
        assert_true(x == prng_next(&b));
        equal += x == prng_next(&c);
    }
    assert_int_equal(equal, 0);
}

static void zero_is_a_seed_like_others(void **state)
{
    (void) state;
    struct prng p;
    prng_init(&p, 0);
    assert_true((p.s[0] | p.s[1] | p.s[2] | p.s[3]) != 0);
    assert_true(prng_next(&p) != prng_next(&p));
}

static void below_stays_below_and_is_even(void **state)
{
    (void) state;
    struct prng p;
    prng_init(&p, 7);
    for (int i = 0; i < 1000; i++) {
        assert_true(prng_below(&p, 1) == 0);
        assert_true(prng_below(&p, UINT64_MAX) < UINT64_MAX);
        assert_true(prng_below(&p, ((uint64_t) 1 << 63) + 1) <= (uint64_t) 1 << 63);
    }
    for (uint64_t bound = 2; bound <= 10; bound++) {
        unsigned seen[10] = {0};
        for (int i = 0; i < 10000; i++) {
            uint64_t x = prng_below(&p, bound);
            assert_true(x < bound);
            seen[x]++;
        }
        /* Expected 10000 / bound, standard deviation below 50: six of them either way. */
        for (uint64_t x = 0; x < bound; x++) {
            assert_in_range(seen[x], 10000 / bound - 300, 10000 / bound + 300);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xoshiro_known_answers),
        cmocka_unit_test(splitmix_known_answers),
        cmocka_unit_test(same_seed_same_run),
        cmocka_unit_test(zero_is_a_seed_like_others),
        cmocka_unit_test(below_stays_below_and_is_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
