/* SPDX-License-Identifier: MPL-2.0 */
/* The gossip queue: each update is told a bounded number of times, the least told first, newer
 * ones take the place of older ones, and a full queue gives up what was told most. */
#include "../unit.h"

#include "base/err.h"
#include "core/gossip.h"

struct fixture {
    struct gossip g;
    struct fxlist fx;
    struct member m[20];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fxlist_init(&f->fx);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    gossip_fini(&f->g);
    fxlist_fini(&f->fx);
    free(f);
    return 0;
}

static void put(struct fixture *f, size_t about, enum gossip_slot slot, const char *text)
{
    assert_int_equal(gossip_put(&f->g, &f->m[about], slot, span_of(text, strlen(text))), HM_OK);
}

/* Takes with that budget and limit; returns the first bytes of what was chosen. */
static const char *take(struct fixture *f, unsigned limit, size_t budget)
{
    static char text[GOSSIP_UPDATES_MAX + 1];
    struct span updates[GOSSIP_UPDATES_MAX];
    size_t count = gossip_take(&f->g, limit, budget, &f->fx, updates);
    assert_true(count <= GOSSIP_UPDATES_MAX);
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        text[i] = (char) updates[i].data[0];
        total += updates[i].size;
    }
    assert_true(total <= budget);
    text[count] = '\0';
    fxlist_clear(&f->fx);
    return text;
}

static void told_so_often_and_no_more(void **state)
{
    for (unsigned limit = 1; limit <= 12; limit++) {
        struct fixture *f = *state;
        put(f, 0, GOSSIP_RECORD, "a");
        for (unsigned i = 0; i < limit; i++) {
            assert_int_equal(f->g.count, 1);
            assert_string_equal(take(f, limit, 100), "a");
        }
        assert_int_equal(f->g.count, 0);
        assert_null(f->m[0].gossip[GOSSIP_RECORD]);
        assert_string_equal(take(f, limit, 100), "");
    }
}

static void no_limit_goes_beyond_the_table(void **state)
{
    struct fixture *f = *state;
    unsigned told = 0;
    put(f, 0, GOSSIP_RECORD, "a");
    while (*take(f, 1000000, 100) != '\0') {
        told++;
    }
    assert_int_equal(told, GOSSIP_SENDS_MAX);
}

static void least_told_first(void **state)
{
    struct fixture *f = *state;
    put(f, 0, GOSSIP_RECORD, "a");
    assert_string_equal(take(f, 10, 1), "a");
    put(f, 1, GOSSIP_RECORD, "b");
    put(f, 2, GOSSIP_RECORD, "c");
    assert_string_equal(take(f, 10, 1), "b");
    assert_string_equal(take(f, 10, 1), "c");
    assert_string_equal(take(f, 10, 3), "abc"); /* once each: in the order of their turn */
    put(f, 3, GOSSIP_RECORD, "d");
    assert_string_equal(take(f, 10, 4), "dabc");
}

static void the_budget_is_kept(void **state)
{
    struct fixture *f = *state;
    put(f, 0, GOSSIP_RECORD, "aaaaaaaaaa");
    put(f, 1, GOSSIP_RECORD, "bbbb");
    put(f, 2, GOSSIP_RECORD, "cc");
    assert_string_equal(take(f, 10, 1), "");
    assert_string_equal(take(f, 10, 6), "bc"); /* what does not fit is passed over */
    assert_string_equal(take(f, 10, 10), "a");
    assert_string_equal(take(f, 10, 16), "bca");
    assert_int_equal(f->g.count, 3);
}

static void newer_takes_the_place_of_older(void **state)
{
    struct fixture *f = *state;
    put(f, 0, GOSSIP_RECORD, "a");
    put(f, 0, GOSSIP_RECORD, "b");
    assert_int_equal(f->g.count, 1);
    assert_string_equal(take(f, 10, 100), "b");
    put(f, 0, GOSSIP_CLAIM, "x");
    assert_int_equal(f->g.count, 2);
    assert_string_equal(take(f, 10, 100), "xb");
    put(f, 0, GOSSIP_CLAIM, "y");
    assert_int_equal(f->g.count, 2);
    /* A record withdraws the claim: it answers it. */
    put(f, 0, GOSSIP_RECORD, "c");
    assert_int_equal(f->g.count, 1);
    assert_string_equal(take(f, 10, 100), "c");
    gossip_withdraw(&f->g, &f->m[0], GOSSIP_RECORD);
    gossip_withdraw(&f->g, &f->m[0], GOSSIP_RECORD);
    assert_int_equal(f->g.count, 0);
}

static void a_newer_one_is_told_anew(void **state)
{
    struct fixture *f = *state;
    put(f, 0, GOSSIP_RECORD, "a");
    take(f, 2, 100);
    put(f, 0, GOSSIP_RECORD, "b");
    assert_string_equal(take(f, 2, 100), "b");
    assert_string_equal(take(f, 2, 100), "b");
    assert_string_equal(take(f, 2, 100), "");
}

static void one_datagram_holds_so_many(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_COUNT(f->m); i++) {
        put(f, i, GOSSIP_RECORD, "r");
    }
    assert_int_equal(strlen(take(f, 10, 1000)), GOSSIP_UPDATES_MAX);
    /* Fewest sent first: the rest comes with the next. */
    assert_int_equal(strlen(take(f, 1, ARRAY_COUNT(f->m) - GOSSIP_UPDATES_MAX)),
                     ARRAY_COUNT(f->m) - GOSSIP_UPDATES_MAX);
}

static void a_full_queue_gives_up_what_was_told_most(void **state)
{
    struct fixture *f = *state;
    struct member *many = calloc(HM_GOSSIP_QUEUE_MAX + 2, sizeof *many);
    assert_non_null(many);
    for (size_t i = 0; i < HM_GOSSIP_QUEUE_MAX; i++) {
        assert_int_equal(gossip_put(&f->g, &many[i], GOSSIP_RECORD, span_of("m", 1)), HM_OK);
        if (i == 7) {
            take(f, 100, 1); /* the first of them has been told once */
        }
    }
    assert_non_null(many[0].gossip[GOSSIP_RECORD]);
    assert_int_equal(gossip_put(&f->g, &many[HM_GOSSIP_QUEUE_MAX], GOSSIP_RECORD, span_of("m", 1)),
                     HM_EFULL);
    assert_null(many[0].gossip[GOSSIP_RECORD]);
    assert_non_null(many[HM_GOSSIP_QUEUE_MAX].gossip[GOSSIP_RECORD]);
    assert_int_equal(f->g.count, HM_GOSSIP_QUEUE_MAX);
    gossip_fini(&f->g);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(told_so_often_and_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(no_limit_goes_beyond_the_table, setup, teardown),
        cmocka_unit_test_setup_teardown(least_told_first, setup, teardown),
        cmocka_unit_test_setup_teardown(the_budget_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(newer_takes_the_place_of_older, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_one_is_told_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(one_datagram_holds_so_many, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_gives_up_what_was_told_most, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
