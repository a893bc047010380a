/* SPDX-License-Identifier: MPL-2.0 */
/* Nodes that are removed for good: everybody takes them off, nothing of them comes back, and they are told. */
#include "../unit.h"
#include "core/core.h"

static bool own_op(core_t *core, const char *op, struct buf *reply, struct call_result *ret_result);
#define MESH_OWN_OP own_op
#include "minimesh.h"

#include "wire/removal_msg.h"

#include <stdio.h>

static struct node_id remove_id; /* of the operation below */

/* "remove": HM_OK when that node is off the roster. */
static bool own_op(core_t *core, const char *op, struct buf *reply, struct call_result *ret_result)
{
    if (strcmp(op, "remove") != 0) {
        return false;
    }
    ret_result->code = HM_OK;
    if (ret_result->ticket == 0) {
        ret_result->code = core_remove(core, &remove_id, &ret_result->ticket);
    }
    ret_result->wait = ret_result->code == HM_OK &&
                       core_write_fate(core, ret_result->ticket) == REGISTRY_WAITS;
    ret_result->wait_for = WAKE_DURABLE | WAKE_EVENT;
    mp_nil(reply);
    return true;
}

static void ask(struct mesh *m, size_t i, const char *op)
{
    mesh_ask(m, i, op);
    mesh_run(m, 3 * MINI_MS);
}

static void ask_well(struct mesh *m, size_t i, const char *op)
{
    ask(m, i, op);
    assert_int_equal(m->node[i].reply_code, HM_OK);
}

static void remove_node(struct mesh *m, size_t by, size_t whom)
{
    remove_id = m->node[whom].identity.id;
    ask_well(m, by, "remove");
}

static bool is_on_roster(const struct mesh *m, size_t at, size_t about)
{
    struct member_view view;
    for (size_t i = 0; i < core_member_count(m->node[at].core); i++) {
        core_member_at(m->node[at].core, i, &view);
        if (node_id_eq(&view.id, &m->node[about].identity.id)) {
            return true;
        }
    }
    return false;
}

static bool is_removed(const struct mesh *m, size_t i)
{
    struct core_status s;
    core_status(m->node[i].core, &s);
    return s.removed;
}

static size_t marks_of(const struct mesh *m, size_t i)
{
    return registry_totals(core_registry(m->node[i].core))->marks;
}

static uint64_t entries_of(const struct mesh *m, size_t i)
{
    return registry_totals(core_registry(m->node[i].core))->entries;
}

/* How much is held that begins so. */
static size_t held_below(const struct mesh *m, size_t i, const char *prefix)
{
    registry_t *r = core_registry(m->node[i].core);
    uint8_t from[ENTRY_RECORD_BYTES_MAX];
    struct span text = span_of(prefix, strlen(prefix));
    struct span at = span_of(from, registry_record_prefix(r, text, from));
    struct entry e;
    size_t count = 0;
    for (bool first = true; registry_next(r, LOOK_ALL, at, first, &at, &e); first = false) {
        if (e.key.size < text.size || memcmp(e.key.data, text.data, text.size) != 0) {
            break;
        }
        count++;
    }
    return count;
}

static size_t held_of(const struct mesh *m, size_t i, const char *what, size_t whose)
{
    char hex[NODE_ID_TEXT_BYTES];
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s/%s/", what,
             text_hex(m->node[whose].identity.id.b, NODE_ID_BYTES, hex));
    return held_below(m, i, prefix);
}

static void put_own(struct mesh *m, size_t i, const char *what)
{
    char hex[NODE_ID_TEXT_BYTES];
    char op[80];
    snprintf(op, sizeof op, "put:%s/%s/a=1", what,
             text_hex(m->node[i].identity.id.b, NODE_ID_BYTES, hex));
    ask_well(m, i, op);
}

static void agree_without(const struct mesh *m, size_t gone)
{
    size_t one = gone == 0 ? 1 : 0;
    for (size_t i = 0; i < m->count; i++) {
        if (i != gone && m->node[i].up) {
            assert_false(is_on_roster(m, i, gone));
            assert_true(mesh_agree(m, i, one));
            assert_int_equal(registry_state(core_registry(m->node[i].core)),
                             registry_state(core_registry(m->node[one].core)));
        }
    }
}

static void one_that_is_away_is_taken_off_everywhere(void **state)
{
    (void) state;
    for (size_t count = 3; count <= 14; count += 11) {
        struct mesh *m = mesh_new_started(count);
        mesh_run(m, 12 * MINI_SECOND);
        put_own(m, 2, "node");
        put_own(m, 2, "svc");
        put_own(m, 2, "sub");
        ask_well(m, 2, "put:kv/shared=of2");
        mesh_run(m, 5 * MINI_SECOND);
        mesh_kill(m, 2);
        mesh_run(m, 60 * MINI_SECOND);
        remove_node(m, 0, 2);
        mesh_run(m, 5 * MINI_SECOND);
        agree_without(m, 2);
        for (size_t i = 0; i < count; i++) {
            if (i == 2) {
                continue;
            }
            assert_int_equal(core_member_count(m->node[i].core), count - 1);
            assert_int_equal(mesh_events(m, i, EVENT_REMOVED, 2), 1);
            assert_int_equal(held_of(m, i, "node", 2) + held_of(m, i, "svc", 2) +
                                 held_of(m, i, "sub", 2),
                             0);
            assert_int_equal(held_below(m, i, "kv/shared"), 1); /* that stays */
            assert_int_equal(marks_of(m, i), 0);
        }
        /* Nor does it come back by a restart of those that are left. */
        mesh_kill(m, 1);
        mesh_start(m, 1);
        assert_false(is_on_roster(m, 1, 2));
        mesh_run(m, 10 * MINI_SECOND);
        agree_without(m, 2);
        mesh_free(&m);
    }
}

/* Counts what node 2 says. */
static bool count_said(struct mesh *m, size_t from, const struct effect *fx)
{
    size_t *said = m->arg;
    *said += from == 2 && (fx->type == FX_DATAGRAM || fx->type == FX_FRAME ||
                           fx->type == FX_BEACON || fx->type == FX_DIAL || fx->type == FX_CONNECT ||
                           fx->type == FX_MAIL || fx->type == FX_ZRE_HELLO);
    return true;
}

static void it_is_told_when_it_returns_and_is_quiet_then(void **state)
{
    (void) state;
    for (int with_beacons = 0; with_beacons < 2; with_beacons++) {
        struct mesh *m = mesh_new_started(3);
        mesh_run(m, 12 * MINI_SECOND);
        mesh_kill(m, 2);
        mesh_run(m, 60 * MINI_SECOND);
        remove_node(m, 0, 2);
        mesh_run(m, 5 * MINI_SECOND);
        m->no_beacons = with_beacons == 0;
        mesh_start(m, 2);
        assert_false(is_removed(m, 2));
        mesh_run(m, 10 * MINI_SECOND);
        assert_true(is_removed(m, 2));
        assert_int_equal(mesh_events(m, 2, EVENT_REMOVED, 2), 1);
        assert_int_equal(core_removal_count(m->node[2].core), 1);
        agree_without(m, 2);
        size_t said = 0;
        m->arg = &said;
        m->passes = count_said;
        mesh_run(m, 60 * MINI_SECOND);
        ask(m, 2, "put:kv/x=1");
        assert_int_equal(m->node[2].reply_code, HM_EBUSY);
        /* It knows it from the start next time. */
        mesh_kill(m, 2);
        mesh_run(m, 60 * MINI_SECOND);
        mesh_start(m, 2);
        assert_true(is_removed(m, 2));
        assert_int_equal(mesh_events(m, 2, EVENT_REMOVED, 2), 1);
        mesh_run(m, 10 * MINI_SECOND);
        assert_int_equal(core_deadline_ns(m->node[2].core), TIMER_NEVER);
        assert_int_equal(said, 0);
        agree_without(m, 2);
        mesh_free(&m);
    }
}

static void one_that_is_up_is_told_at_once(void **state)
{
    (void) state;
    for (size_t count = 4; count <= 20; count += 16) { /* all linked, and not */
        struct mesh *m = mesh_new_started(count);
        mesh_run(m, 12 * MINI_SECOND);
        remove_node(m, 1, 3);
        mesh_run(m, MINI_SECOND);
        assert_true(is_removed(m, 3));
        agree_without(m, 3);
        assert_int_equal(mesh_events(m, 0, EVENT_SUSPECT, 3), 0);
        assert_int_equal(mesh_events(m, 0, EVENT_FAILED, 3), 0);
        mesh_run(m, 60 * MINI_SECOND);
        agree_without(m, 3);
        mesh_free(&m);
    }
}

/* No datagram of the mesh's key from or to the one with that number. */
static bool only_links(struct mesh *m, size_t from, const struct effect *fx)
{
    return from == 3 || fx->type != FX_DATAGRAM || mesh_by_addr(m, &fx->as.datagram.to) != 3;
}

static void its_link_is_enough_to_tell_it(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(4);
    mesh_run(m, 12 * MINI_SECOND);
    m->passes = only_links;
    remove_node(m, 1, 3);
    mesh_run(m, 200 * MINI_MS);
    assert_true(is_removed(m, 3));
    mesh_free(&m);
}

static void marks_wait_for_it_no_more_and_nothing_comes_back(void **state)
{
    (void) state;
    enum { KEYS = 1000 };
    char op[64];
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 12 * MINI_SECOND);
    for (size_t i = 0; i < KEYS; i++) {
        snprintf(op, sizeof op, "put:kv/k%zu=1", i);
        ask_well(m, i % 3, op);
    }
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(held_below(m, 2, "kv/k"), KEYS);
    mesh_kill(m, 2);
    mesh_run(m, 30 * MINI_SECOND);
    for (size_t i = 0; i < KEYS; i++) {
        snprintf(op, sizeof op, "delete:kv/k%zu", i);
        ask_well(m, i % 2, op);
    }
    mesh_run(m, 60 * MINI_SECOND);
    assert_int_equal(marks_of(m, 0), KEYS); /* it may bring them back */
    remove_node(m, 1, 2);
    mesh_run(m, 60 * MINI_SECOND);
    assert_int_equal(marks_of(m, 0), 0);
    assert_int_equal(marks_of(m, 1), 0);
    mesh_start(m, 2);
    mesh_run(m, 60 * MINI_SECOND);
    assert_true(is_removed(m, 2));
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(held_below(m, i, "kv/"), 0);
    }
    agree_without(m, 2);
    assert_true(held_below(m, 2, "kv/k") > 0); /* its data stays with it */
    mesh_free(&m);
}

static void who_was_away_takes_it_off_later(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(4);
    mesh_run(m, 12 * MINI_SECOND);
    put_own(m, 3, "node");
    mesh_run(m, 5 * MINI_SECOND);
    /* 2 and 3 are cut off together; 0 removes 3 meanwhile. */
    for (size_t i = 0; i < 2; i++) {
        mesh_cut(m, i, 2, true);
        mesh_cut(m, i, 3, true);
    }
    mesh_run(m, 30 * MINI_SECOND);
    remove_node(m, 0, 3);
    ask_well(m, 3, "put:kv/late=of3");
    put_own(m, 3, "svc");
    mesh_run(m, 10 * MINI_SECOND);
    assert_true(is_on_roster(m, 2, 3));
    for (size_t i = 0; i < 2; i++) {
        mesh_cut(m, i, 2, false);
        mesh_cut(m, i, 3, false);
    }
    mesh_run(m, 60 * MINI_SECOND);
    agree_without(m, 3);
    assert_true(is_removed(m, 3));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(held_of(m, i, "svc", 3) + held_of(m, i, "node", 3), 0);
        assert_int_equal(held_below(m, i, "kv/late"), 1); /* 2 brought it */
    }
    mesh_free(&m);
}

/* More than one step takes: it goes on in portions, and after a restart in between. */
static void many_keys_go_in_portions(void **state)
{
    (void) state;
    enum { KEYS = 700 };
    char hex[NODE_ID_TEXT_BYTES];
    char op[96];
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 12 * MINI_SECOND);
    text_hex(m->node[2].identity.id.b, NODE_ID_BYTES, hex);
    for (size_t i = 0; i < KEYS; i++) {
        snprintf(op, sizeof op, "put:%s/%s/%zu=1", i % 2 == 0 ? "sub" : "svc", hex, i);
        ask_well(m, 2, op);
    }
    mesh_run(m, 5 * MINI_SECOND);
    mesh_kill(m, 2);
    mesh_run(m, 30 * MINI_SECOND);
    remove_node(m, 0, 2);
    size_t left = KEYS;
    while (left == KEYS) {
        mesh_run(m, MINI_MS / 2);
        left = held_of(m, 1, "sub", 2) + held_of(m, 1, "svc", 2);
    }
    assert_true(left > 0);
    mesh_kill(m, 1);
    mesh_start(m, 1);
    mesh_run(m, 20 * MINI_SECOND);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(held_of(m, i, "sub", 2) + held_of(m, i, "svc", 2), 0);
    }
    agree_without(m, 2);
    mesh_free(&m);
}

static void two_that_remove_each_other_are_both_gone(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(4);
    mesh_run(m, 12 * MINI_SECOND);
    for (size_t i = 0; i < 4; i++) { /* 0 with 2, 1 with 3 */
        for (size_t k = 0; k < 4; k++) {
            if (i % 2 != k % 2) {
                m->cut[i][k] = true;
            }
        }
    }
    mesh_run(m, 30 * MINI_SECOND);
    remove_node(m, 0, 1);
    remove_node(m, 1, 0);
    mesh_run(m, 5 * MINI_SECOND);
    memset(m->cut, 0, sizeof m->cut);
    mesh_run(m, 90 * MINI_SECOND);
    assert_true(is_removed(m, 0) && is_removed(m, 1));
    assert_false(is_removed(m, 2) || is_removed(m, 3));
    assert_int_equal(core_member_count(m->node[2].core), 2);
    assert_true(mesh_agree(m, 2, 3));
    mesh_free(&m);
}

/* A removal that is merged again, or by who never met the remover. */
static void who_never_met_the_remover_believes_it(void **state)
{
    (void) state;
    struct mesh *m = mesh_new(4);
    for (size_t i = 0; i < 3; i++) {
        mesh_start(m, i);
    }
    mesh_run(m, 25 * MINI_SECOND);
    mesh_kill(m, 2);
    mesh_run(m, 30 * MINI_SECOND);
    remove_node(m, 1, 2);
    mesh_run(m, 5 * MINI_SECOND);
    mesh_kill(m, 1);
    mesh_run(m, 30 * MINI_SECOND);
    remove_node(m, 0, 1);
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(core_member_count(m->node[0].core), 1);
    mesh_start(m, 3);
    mesh_run(m, 30 * MINI_SECOND);
    assert_int_equal(core_removal_count(m->node[3].core), 2);
    mesh_start(m, 1);
    mesh_start(m, 2);
    mesh_run(m, 30 * MINI_SECOND);
    assert_true(is_removed(m, 1) && is_removed(m, 2));
    assert_int_equal(core_member_count(m->node[0].core), 2);
    assert_int_equal(core_member_count(m->node[3].core), 2);
    mesh_free(&m);
}

static void a_disk_that_fails_takes_it_off_later(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 12 * MINI_SECOND);
    put_own(m, 2, "node");
    mesh_run(m, 5 * MINI_SECOND);
    mesh_kill(m, 2);
    mesh_run(m, 30 * MINI_SECOND);
    remove_node(m, 0, 2);
    /* What is under way at node 1's disk fails, several times. */
    for (size_t i = 0; i < 8; i++) {
        struct event failed = {.type = EV_BATCH_FAILED,
                               .as.store = {.batch = 1, .reason = HM_EIO}};
        mesh_step(m, 1, &failed);
        mesh_run(m, 30 * MINI_MS);
    }
    mesh_run(m, 60 * MINI_SECOND);
    agree_without(m, 2);
    assert_int_equal(held_of(m, 1, "node", 2), 0);
    mesh_kill(m, 1);
    mesh_start(m, 1);
    assert_false(is_on_roster(m, 1, 2));
    mesh_free(&m);
}

static void nonsense_is_refused(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    mesh_run(m, 12 * MINI_SECOND);
    char hex[NODE_ID_TEXT_BYTES];
    char op[80];
    uint64_t entries = entries_of(m, 0);
    remove_id = m->node[0].identity.id;
    ask(m, 0, "remove");
    assert_int_equal(m->node[0].reply_code, HM_EINVAL); /* itself: it can leave */
    remove_id.b[0] ^= 1;
    ask(m, 0, "remove");
    assert_int_equal(m->node[0].reply_code, HM_ENOTFOUND);
    /* Nobody writes such a key in other words, nor deletes one. */
    snprintf(op, sizeof op, "put:removed/%s=1",
             text_hex(m->node[1].identity.id.b, NODE_ID_BYTES, hex));
    ask(m, 0, op);
    assert_int_equal(m->node[0].reply_code, HM_EDENIED);
    ask(m, 0, "put:removed/nobody=1");
    assert_int_equal(m->node[0].reply_code, HM_EDENIED);
    assert_int_equal(entries_of(m, 0), entries);
    assert_int_equal(core_member_count(m->node[0].core), 2);
    remove_node(m, 0, 1);
    mesh_run(m, MINI_SECOND);
    snprintf(op, sizeof op, "delete:removed/%s",
             text_hex(m->node[1].identity.id.b, NODE_ID_BYTES, hex));
    ask(m, 0, op);
    assert_int_equal(m->node[0].reply_code, HM_EDENIED);
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_away_is_taken_off_everywhere),
        cmocka_unit_test(it_is_told_when_it_returns_and_is_quiet_then),
        cmocka_unit_test(one_that_is_up_is_told_at_once),
        cmocka_unit_test(its_link_is_enough_to_tell_it),
        cmocka_unit_test(marks_wait_for_it_no_more_and_nothing_comes_back),
        cmocka_unit_test(who_was_away_takes_it_off_later),
        cmocka_unit_test(many_keys_go_in_portions),
        cmocka_unit_test(two_that_remove_each_other_are_both_gone),
        cmocka_unit_test(who_never_met_the_remover_believes_it),
        cmocka_unit_test(a_disk_that_fails_takes_it_off_later),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
