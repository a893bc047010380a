/* SPDX-License-Identifier: MPL-2.0 */
/* SWIM's random round robin, and the choice of helpers: exact for every small size. */
#include "../unit.h"

#include "core/order.h"

#define MEMBERS 64

static struct member members[MEMBERS];

static void fill(struct order *o, size_t count, struct prng *p)
{
    memset(members, 0, sizeof members);
    memset(o, 0, sizeof *o);
    for (size_t i = 0; i < count; i++) {
        members[i].id.b[0] = (uint8_t) i;
        assert_int_equal(order_insert(o, &members[i], p), 0);
    }
}

static void each_once_a_round(void **state)
{
    (void) state;
    for (size_t count = 1; count <= 20; count++) {
        struct prng p;
        struct order o;
        prng_init(&p, count);
        fill(&o, count, &p);
        for (int round = 0; round < 20; round++) {
            bool seen[MEMBERS] = {false};
            for (size_t i = 0; i < count; i++) {
                struct member *m = order_next(&o, &p);
                assert_false(seen[m->id.b[0]]);
                seen[m->id.b[0]] = true;
            }
        }
        order_fini(&o);
    }
}

static void empty_gives_nobody(void **state)
{
    (void) state;
    struct prng p;
    struct order o = {0};
    struct member m = {.order_idx = 0};
    prng_init(&p, 1);
    assert_null(order_next(&o, &p));
    order_remove(&o, &m);
    assert_int_equal(order_insert(&o, &m, &p), 0);
    assert_ptr_equal(order_next(&o, &p), &m);
    order_remove(&o, &m);
    assert_null(order_next(&o, &p));
    assert_int_equal(m.order_idx, 0);
    order_fini(&o);
}

/* SWIM 4.3: whoever is there, also as others come and go, is probed within two rounds. */
static void nobody_waits_longer_than_two_rounds(void **state)
{
    (void) state;
    struct prng p;
    struct order o;
    size_t waited[MEMBERS] = {0};
    bool in[MEMBERS] = {false};
    prng_init(&p, 3);
    fill(&o, 16, &p);
    for (size_t i = 0; i < 16; i++) {
        in[i] = true;
    }
    for (int step = 0; step < 50000; step++) {
        /* One of them comes or goes now and then, with 12 to 20 there. */
        if (prng_below(&p, 10) == 0) {
            size_t i = (size_t) prng_below(&p, 20);
            if (in[i] && o.count > 12) {
                order_remove(&o, &members[i]);
                in[i] = false;
            } else if (!in[i]) {
                members[i].id.b[0] = (uint8_t) i;
                assert_int_equal(order_insert(&o, &members[i], &p), 0);
                in[i] = true;
                waited[i] = 0;
            }
        }
        struct member *m = order_next(&o, &p);
        assert_true(in[m->id.b[0]]);
        for (size_t i = 0; i < 20; i++) {
            waited[i]++;
            assert_true(!in[i] || waited[i] <= 2 * 20);
        }
        waited[m->id.b[0]] = 0;
        for (size_t i = 0; i < o.count; i++) {
            assert_int_equal(o.items[i]->order_idx, i + 1);
        }
    }
    order_fini(&o);
}

/* A round's order is not the last one's: over many, each member stands at each place about as
 * often. */
static void rounds_are_shuffled(void **state)
{
    (void) state;
    unsigned at[5][5] = {{0}};
    struct prng p;
    struct order o;
    prng_init(&p, 4);
    fill(&o, 5, &p);
    for (int round = 0; round < 10000; round++) {
        for (size_t i = 0; i < 5; i++) {
            at[order_next(&o, &p)->id.b[0]][i]++;
        }
    }
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 5; j++) {
            assert_in_range(at[i][j], 1800, 2200); /* 2000, five standard deviations */
        }
    }
    order_fini(&o);
}

static bool is_even_or_any(const struct member *m, const void *arg)
{
    const bool *only_even = arg;
    return !*only_even || m->id.b[0] % 2 == 0;
}

/* The property that SWIM's k helpers need in tiny meshes: exactly min(k, wanted) different ones. */
static void picks_are_exact(void **state)
{
    (void) state;
    for (size_t count = 0; count <= MEMBERS; count += count < 10 ? 1 : 9) {
        for (size_t k = 0; k <= ORDER_PICK_MAX; k++) {
            for (int even = 0; even <= 1; even++) {
                bool only_even = even == 1;
                size_t wanted = only_even ? (count + 1) / 2 : count;
                struct prng p;
                struct order o;
                prng_init(&p, count * 100 + k);
                fill(&o, count, &p);
                for (int round = 0; round < 50; round++) {
                    struct member *got[ORDER_PICK_MAX];
                    bool seen[MEMBERS] = {false};
                    size_t n = order_pick(&o, &p, k, is_even_or_any, &only_even, got);
                    assert_int_equal(n, k < wanted ? k : wanted);
                    for (size_t i = 0; i < n; i++) {
                        assert_true(is_even_or_any(got[i], &only_even));
                        assert_false(seen[got[i]->id.b[0]]);
                        seen[got[i]->id.b[0]] = true;
                    }
                }
                order_fini(&o);
            }
        }
    }
}

static void picks_are_uniform(void **state)
{
    (void) state;
    static const size_t counts[] = {2, 3, 5, 8, 9, 30, 64};
    for (size_t c = 0; c < ARRAY_COUNT(counts); c++) {
        unsigned hits[MEMBERS] = {0};
        bool only_even = false;
        size_t k = counts[c] < 3 ? 1 : 3;
        struct prng p;
        struct order o;
        prng_init(&p, c);
        fill(&o, counts[c], &p);
        unsigned rounds = (unsigned) (10000 * counts[c] / k);
        for (unsigned round = 0; round < rounds; round++) {
            struct member *got[ORDER_PICK_MAX];
            size_t n = order_pick(&o, &p, k, is_even_or_any, &only_even, got);
            for (size_t i = 0; i < n; i++) {
                hits[got[i]->id.b[0]]++;
            }
        }
        for (size_t i = 0; i < counts[c]; i++) {
            assert_in_range(hits[i], 9400, 10600); /* 10000, six standard deviations */
        }
        order_fini(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_once_a_round),
        cmocka_unit_test(empty_gives_nobody),
        cmocka_unit_test(nobody_waits_longer_than_two_rounds),
        cmocka_unit_test(rounds_are_shuffled),
        cmocka_unit_test(picks_are_exact),
        cmocka_unit_test(picks_are_uniform),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
