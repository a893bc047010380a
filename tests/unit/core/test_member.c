/* SPDX-License-Identifier: MPL-2.0 */
/* The roster: order, lookup, its limit, and the view hash, which depends on what is known and
 * not on how it became known. */
#include "../unit.h"

#include "base/err.h"
#include "base/prng.h"
#include "core/member.h"

static struct node_id id_of(uint64_t n)
{
    struct node_id id;
    uint64_t h = prng_mix(n);
    memcpy(id.b, &h, 8);
    h = prng_mix(h);
    memcpy(id.b + 8, &h, 8);
    return id;
}

static void stays_in_order(void **state)
{
    (void) state;
    struct roster r;
    roster_init(&r);
    for (uint64_t n = 0; n < 500; n++) {
        struct node_id id = id_of(n);
        assert_null(roster_find(&r, &id));
        struct member *m = roster_insert(&r, &id);
        assert_non_null(m);
        assert_ptr_equal(roster_find(&r, &id), m);
        for (size_t i = 1; i < r.count; i++) {
            assert_true(node_id_cmp(&r.items[i - 1]->id, &r.items[i]->id) < 0);
        }
    }
    for (uint64_t n = 0; n < 600; n++) {
        struct node_id id = id_of(n);
        assert_int_equal(roster_find(&r, &id) != NULL, n < 500);
        size_t at = roster_lower_bound(&r, &id);
        assert_true(at == r.count || node_id_cmp(&r.items[at]->id, &id) >= 0);
        assert_true(at == 0 || node_id_cmp(&r.items[at - 1]->id, &id) < 0);
    }
    roster_fini(&r);
}

static void has_a_limit(void **state)
{
    (void) state;
    struct roster r;
    roster_init(&r);
    for (uint64_t n = 0; n < HM_MEMBERS_MAX; n++) {
        struct node_id id = id_of(n);
        assert_non_null(roster_insert(&r, &id));
    }
    struct node_id id = id_of(HM_MEMBERS_MAX);
    assert_null(roster_insert(&r, &id));
    assert_int_equal(r.count, HM_MEMBERS_MAX);
    roster_fini(&r);
}

static void set(struct roster *r, uint64_t n, enum member_status status, uint64_t incarnation,
                uint64_t dead_incarnation)
{
    struct node_id id = id_of(n);
    struct member *m = roster_find(r, &id);
    if (m != NULL) {
        roster_hash_out(r, m);
    } else {
        m = roster_insert(r, &id);
    }
    assert_non_null(m);
    m->status = status;
    m->rec.incarnation = incarnation;
    m->dead_incarnation = dead_incarnation;
    roster_hash_in(r, m);
}

static void equal_views_have_equal_hashes(void **state)
{
    (void) state;
    struct roster a, b;
    roster_init(&a);
    roster_init(&b);
    for (uint64_t n = 0; n < 100; n++) {
        set(&a, n, (enum member_status)(n % 4), n, 0);
        set(&b, 99 - n, STATUS_FAILED, 1, 1); /* another order, and another way there */
    }
    assert_true(a.view_hash != b.view_hash);
    for (uint64_t n = 0; n < 100; n++) {
        set(&b, n, (enum member_status)(n % 4), n, 0);
    }
    assert_true(a.view_hash == b.view_hash);
    assert_memory_equal(a.by_status, b.by_status, sizeof a.by_status);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(a.by_status[i], 25);
    }
    roster_fini(&a);
    roster_fini(&b);
}

static void the_hash_sees_what_matters(void **state)
{
    (void) state;
    struct roster r;
    roster_init(&r);
    set(&r, 1, STATUS_ALIVE, 5, 0);
    uint64_t alive = r.view_hash;
    set(&r, 1, STATUS_SUSPECT, 5, 0);
    assert_true(r.view_hash == alive); /* a suspicion passes */
    set(&r, 1, STATUS_FAILED, 5, 5);
    uint64_t failed = r.view_hash;
    set(&r, 1, STATUS_LEFT, 5, 5);
    uint64_t left = r.view_hash;
    set(&r, 1, STATUS_ALIVE, 6, 5);
    uint64_t newer = r.view_hash;
    assert_true(alive != failed && failed != left && left != alive && newer != alive);
    set(&r, 1, STATUS_FAILED, 5, 7);
    assert_true(r.view_hash != failed); /* the verdict was about a newer life */
    roster_fini(&r);
}

static void incarnation_is_the_highest_known(void **state)
{
    (void) state;
    struct member m = {.dead_incarnation = 7};
    m.rec.incarnation = 5;
    assert_true(member_incarnation(&m) == 7);
    m.rec.incarnation = 9;
    assert_true(member_incarnation(&m) == 9);
}

static void keeps_a_copy_of_the_record(void **state)
{
    (void) state;
    struct member m = {0};
    struct node_record rec = {.incarnation = 3};
    char bytes[] = "the very bytes";
    assert_int_equal(member_set_record(&m, span_of(bytes, sizeof bytes), &rec), HM_OK);
    bytes[0] = 'X';
    assert_int_equal(member_record(&m).size, sizeof bytes);
    assert_int_equal(member_record(&m).data[0], 't');
    assert_true(m.rec.incarnation == 3);
    assert_int_equal(member_set_record(&m, span_of("ab", 2), &rec), HM_OK);
    assert_int_equal(member_record(&m).size, 2);
    /* Its own bytes may be handed in again. */
    assert_int_equal(member_set_record(&m, member_record(&m), &rec), HM_OK);
    assert_memory_equal(member_record(&m).data, "ab", 2);
    free(m.record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stays_in_order),
        cmocka_unit_test(has_a_limit),
        cmocka_unit_test(equal_views_have_equal_hashes),
        cmocka_unit_test(the_hash_sees_what_matters),
        cmocka_unit_test(incarnation_is_the_highest_known),
        cmocka_unit_test(keeps_a_copy_of_the_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
