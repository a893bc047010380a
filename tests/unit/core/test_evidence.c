/* SPDX-License-Identifier: MPL-2.0 */
/* Every suspicion and failure says who saw it, what he tried, and how well he was himself. */
#include "../unit.h"

#include "minimesh.h"

/* The last event of that type about that node; it must be there. */
static struct member_event last_event(const struct mesh *m, size_t at, enum member_event_type type,
                                      size_t about)
{
    const struct member_event *found = NULL;
    const struct member_event *e = core_event_after(m->node[at].core, 0);
    while (e != NULL) {
        if (e->type == type && node_id_eq(&e->node, &m->node[about].identity.id)) {
            found = e;
        }
        e = core_event_after(m->node[at].core, e->seq);
    }
    assert_non_null(found);
    return *found;
}

static void a_silent_node_was_tried_in_every_way(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(6);
    mesh_run(m, 5 * MINI_SECOND);
    m->node[5].deaf = true;
    mesh_run(m, 20 * MINI_SECOND);
    for (size_t i = 0; i < 5; i++) {
        static const enum member_event_type types[] = {EVENT_SUSPECT, EVENT_FAILED};
        for (size_t k = 0; k < ARRAY_COUNT(types); k++) {
            struct member_event ev = last_event(m, i, types[k], 5);
            assert_int_equal(ev.reason, REASON_NO_ACK);
            assert_true(ev.evidence.is_known);
            assert_int_equal(ev.evidence.helpers >= 3, true);
            assert_true(ev.evidence.by_link);
        }
    }
    mesh_free(&m);
}

/* In a mesh of two there is no helper. */
static void nobody_is_said_to_have_helped_in_a_mesh_of_two(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    mesh_run(m, 5 * MINI_SECOND);
    m->node[1].deaf = true;
    mesh_run(m, 20 * MINI_SECOND);
    struct member_event ev = last_event(m, 0, EVENT_FAILED, 1);
    assert_true(ev.evidence.is_known);
    assert_int_equal(ev.evidence.helpers, 0);
    mesh_free(&m);
}

/* n00 could not run for a while, then finds n01 silent: others hear how n00 was. */
static void the_health_is_the_observers(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 5 * MINI_SECOND);
    struct node_id target = m->node[1].identity.id;
    struct claim claim = {.kind = CLAIM_SUSPECT,
                          .target = target,
                          .incarnation = mesh_view(m, 0, 1).incarnation,
                          .reason = REASON_NO_ACK,
                          .observers = {m->node[0].identity.id},
                          .observer_count = 1,
                          .evidence = {.is_known = true, .health = 5, .helpers = 2}};
    struct buf b;
    buf_init(&b, HM_DATAGRAM_BYTES_MAX);
    swim_update_write_claim(&b, &claim);
    struct span update = buf_span(&b);
    struct swim_msg msg = {.type = SWIM_GOSSIP, .updates = &update, .update_count = 1};
    mesh_hear(m, 2, mesh_from(m, 0, 2, DATAGRAM_PAIR), &msg);
    buf_fini(&b);
    struct member_event ev = last_event(m, 2, EVENT_SUSPECT, 1);
    assert_true(node_id_eq(&ev.observer, &m->node[0].identity.id));
    assert_true(ev.evidence.is_known);
    assert_int_equal(ev.evidence.health, 5);
    assert_int_equal(ev.evidence.helpers, 2);
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 2, 1), STATUS_ALIVE);
    ev = last_event(m, 2, EVENT_ALIVE, 1); /* it said so itself, and not how it is */
    assert_false(ev.evidence.is_known);
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_node_was_tried_in_every_way),
        cmocka_unit_test(nobody_is_said_to_have_helped_in_a_mesh_of_two),
        cmocka_unit_test(the_health_is_the_observers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
