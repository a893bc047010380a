/* SPDX-License-Identifier: MPL-2.0 */
/* A mesh of this and of an artificial next version of the protocol (core/next.c), whose nodes have a field
 * more in every record, message and claim, and say things that this version does not know. */
#include "../unit.h"

#include "minimesh.h"

#define NODES 8

static void start_all(struct mesh *m, unsigned next)
{
    for (size_t i = 0; i < m->count; i++) {
        m->node[i].is_next = (next >> i & 1) != 0;
        mesh_start(m, i);
    }
}

static void assert_one_view(const struct mesh *m)
{
    for (size_t i = 0; i < m->count; i++) {
        assert_int_equal(core_member_count(m->node[i].core), m->count);
        assert_true(mesh_agree(m, 0, i));
        for (size_t about = 0; about < m->count; about++) {
            struct member_view view = mesh_view(m, i, about);
            assert_int_equal(view.status, STATUS_ALIVE);
            assert_non_null(view.labels.data);
        }
    }
}

static void assert_nothing_was_refused(const struct mesh *m)
{
    for (size_t i = 0; i < m->count; i++) {
        assert_int_equal(mesh_metric(m, i, M_DROP_MALFORMED), 0);
        assert_int_equal(mesh_metric(m, i, M_DROP_FORGED_RECORD), 0);
        assert_int_equal(mesh_metric(m, i, M_DROP_VERSION), 0);
    }
}

static void they_form_a_mesh_and_see_who_is_gone(void **state)
{
    (void) state;
    for (unsigned next = 0; next < 1U << NODES; next += 37) {
        struct mesh *m = mesh_new(NODES);
        start_all(m, next);
        mesh_run(m, 10 * MINI_SECOND);
        assert_one_view(m);
        m->node[3].deaf = true;
        mesh_run(m, 15 * MINI_SECOND);
        for (size_t i = 0; i < m->count; i++) {
            if (i != 3) {
                assert_int_equal(mesh_status(m, i, 3), STATUS_FAILED);
            }
        }
        m->node[3].deaf = false;
        mesh_run(m, 30 * MINI_SECOND);
        assert_one_view(m);
        assert_nothing_was_refused(m);
        mesh_free(&m);
    }
}

static void what_is_not_known_is_counted(void **state)
{
    (void) state;
    struct mesh *m = mesh_new(2);
    start_all(m, 2);
    mesh_run(m, 20 * MINI_SECOND);
    assert_true(mesh_metric(m, 0, M_DROP_UNKNOWN_TYPE) > 20); /* a datagram and a frame a second */
    assert_int_equal(mesh_metric(m, 1, M_DROP_UNKNOWN_TYPE), 0);
    assert_nothing_was_refused(m);
    mesh_free(&m);
}

/* Records and labels are handed on as they were signed: two new nodes that cannot talk to each other
 * have them by way of an old one, and find them genuine. */
static void old_nodes_hand_on_what_they_do_not_understand(void **state)
{
    (void) state;
    struct mesh *m = mesh_new(3);
    mesh_cut(m, 0, 2, true);
    start_all(m, 1 | 4);
    mesh_run(m, 15 * MINI_SECOND);
    assert_one_view(m);
    assert_nothing_was_refused(m);
    mesh_free(&m);
}

/* Up and down again, one after another, each with what the other version stored. */
static void nodes_are_upgraded_and_downgraded_one_by_one(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(5);
    for (int is_up = 1; is_up >= 0; is_up--) {
        for (size_t i = 0; i < m->count; i++) {
            struct event shutdown = {.type = EV_SHUTDOWN};
            mesh_step(m, i, &shutdown);
            mesh_run(m, 2 * MINI_SECOND);
            m->node[i].is_next = is_up != 0;
            mesh_start(m, i);
            mesh_run(m, 8 * MINI_SECOND);
            assert_one_view(m);
        }
    }
    for (size_t i = 0; i < m->count; i++) {
        for (size_t about = 0; about < m->count; about++) {
            assert_int_equal(mesh_events(m, i, EVENT_FAILED, about), 0);
        }
    }
    assert_nothing_was_refused(m);
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_form_a_mesh_and_see_who_is_gone),
        cmocka_unit_test(what_is_not_known_is_counted),
        cmocka_unit_test(old_nodes_hand_on_what_they_do_not_understand),
        cmocka_unit_test(nodes_are_upgraded_and_downgraded_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
