/* SPDX-License-Identifier: MPL-2.0 */
/* The replay window against a model that remembers every counter. */
#include "../unit.h"

#include "base/prng.h"
#include "core/window.h"

#define SPAN 4096

static void each_counter_once(void **state)
{
    (void) state;
    struct window w;
    window_init(&w);
    for (uint64_t c = 0; c < 2000; c++) {
        assert_true(window_take(&w, c));
        assert_false(window_take(&w, c));
    }
}

static void the_edge_of_the_window(void **state)
{
    (void) state;
    for (uint64_t highest = HM_REPLAY_WINDOW; highest < HM_REPLAY_WINDOW + 200; highest++) {
        struct window w;
        window_init(&w);
        assert_true(window_take(&w, highest));
        assert_true(window_take(&w, highest - HM_REPLAY_WINDOW + 1));
        assert_false(window_take(&w, highest - HM_REPLAY_WINDOW + 1));
        assert_false(window_take(&w, highest - HM_REPLAY_WINDOW));
        assert_false(window_take(&w, 0));
    }
}

static void any_counter_may_be_the_first(void **state)
{
    (void) state;
    static const uint64_t firsts[] = {0,         1, 63, 64, 255, 256, 1ULL << 40, UINT64_MAX - 1,
                                      UINT64_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(firsts); i++) {
        struct window w;
        window_init(&w);
        assert_true(window_take(&w, firsts[i]));
        assert_false(window_take(&w, firsts[i]));
        if (firsts[i] > 0) {
            assert_true(window_take(&w, firsts[i] - 1));
            assert_false(window_take(&w, firsts[i] - 1));
        }
    }
}

static void leaps_forget_what_is_too_old(void **state)
{
    (void) state;
    for (uint64_t leap = 1; leap < 1500; leap++) {
        struct window w;
        window_init(&w);
        for (uint64_t c = 0; c < 300; c++) {
            assert_true(window_take(&w, c));
        }
        uint64_t highest = 299 + leap;
        assert_true(window_take(&w, highest));
        /* Everything between the old highest and the new one is new, as far as the window
         * reaches. */
        for (uint64_t c = 0; c < highest; c++) {
            bool expected = c > 299 && highest - c < HM_REPLAY_WINDOW;
            assert_int_equal(window_take(&w, c), expected);
        }
    }
}

static void agrees_with_a_model(void **state)
{
    (void) state;
    static bool seen[SPAN];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng p;
        struct window w;
        uint64_t highest = 0;
        bool any = false;
        prng_init(&p, seed);
        window_init(&w);
        memset(seen, 0, sizeof seen);
        for (int i = 0; i < 20000; i++) {
            /* Mostly near the highest, sometimes far ahead or behind. */
            uint64_t c =
                highest + prng_below(&p, 20) - prng_below(&p, highest < 300 ? highest + 1 : 300);
            if (prng_below(&p, 500) == 0) {
                c = highest + prng_below(&p, 700);
            }
            if (c >= SPAN) {
                break;
            }
            bool fresh = !any || c > highest || (highest - c < HM_REPLAY_WINDOW && !seen[c]);
            assert_int_equal(window_take(&w, c), fresh);
            seen[c] = true;
            any = true;
            highest = c > highest ? c : highest;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_counter_once),
        cmocka_unit_test(the_edge_of_the_window),
        cmocka_unit_test(any_counter_may_be_the_first),
        cmocka_unit_test(leaps_forget_what_is_too_old),
        cmocka_unit_test(agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
