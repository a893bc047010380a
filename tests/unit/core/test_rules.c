/* SPDX-License-Identifier: MPL-2.0 */
/* Rules of one line each, which nothing else would miss: where a datagram goes, and what a node that could
 * not run, or has no helper, may conclude. */
#include "../unit.h"

#include "minimesh.h"

/* A source address may be anybody's: only an answer to our own nonce proves it. */
static void an_unasked_datagram_proves_no_address(void **state)
{
    (void) state;
    struct mesh *m = mesh_new(2);
    m->node[1].addrs[1] = mini_addr(20);
    m->node[1].addr_count = 2;
    mesh_start(m, 0);
    mesh_start(m, 1);
    mesh_run(m, 5 * MINI_SECOND);
    struct addr before = mesh_view(m, 0, 1).addr;
    assert_true(addr_eq(&before, &m->node[1].addrs[0]));
    struct event ev = mesh_from(m, 1, 0, DATAGRAM_PAIR);
    struct swim_msg ping = {.type = SWIM_PING, .nonce = 77};
    ev.as.datagram.from = m->node[1].addrs[1];
    mesh_hear(m, 0, ev, &ping);
    struct addr after = mesh_view(m, 0, 1).addr;
    assert_true(addr_eq(&after, &before));
    mesh_free(&m);
}

struct watched {
    size_t connects;
    size_t datagrams;
    struct addr to;
};

static bool watch_effects(struct mesh *m, size_t from, const struct effect *fx)
{
    struct watched *w = m->arg;
    if (from == 0 && fx->type == FX_CONNECT) {
        w->connects++;
    }
    if (from == 0 && fx->type == FX_DATAGRAM && fx->as.datagram.cls == DATAGRAM_MESH) {
        w->datagrams++;
        w->to = fx->as.datagram.to;
    }
    return true;
}

/* Behind NAT a JOIN comes from where its record does not say, and is answered there. Who copies one, and sends it
 * with a stranger's address, makes us send little to the stranger. */
static void a_copied_join_sends_little_to_strangers(void **state)
{
    (void) state;
    struct mini *joiner = mini_new(NULL);
    struct mesh *m = mesh_new_started(2);
    struct watched w = {0};
    m->passes = watch_effects;
    m->arg = &w;
    struct event ev = {.type = EV_DATAGRAM};
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5, .record = mini_record(joiner, 7, 1, RECORD_ALIVE)};
    ev.as.datagram.cls = DATAGRAM_MESH;
    ev.as.datagram.sender = joiner->peer[7].id;
    ev.as.datagram.session = 9;
    ev.as.datagram.counter = 1;
    ev.as.datagram.from = mini_addr(25); /* in no record */
    mesh_hear(m, 0, ev, &join);
    assert_int_equal(w.datagrams, 1);
    assert_true(addr_eq(&w.to, &ev.as.datagram.from));
    struct addr named = mini_addr(7);
    size_t to_stranger = 0;
    for (unsigned i = 0; i < 1000; i++) {
        mesh_hear(m, 0, ev, &join);
        bool is_named = addr_same_place(&w.to, &named);
        assert_true(is_named || addr_eq(&w.to, &ev.as.datagram.from));
        to_stranger += !is_named;
        mesh_run(m, 10 * MINI_MS);
    }
    assert_in_range(to_stranger, 1, 20 + 10 * 5);
    mesh_free(&m);
    mini_free(&joiner);
}

/* n00 cannot run for 5 s at any moment of its probes; the answers wait for it. */
static void probes_end_later_by_the_time_we_were_deaf(void **state)
{
    (void) state;
    for (unsigned phase = 0; phase < 24; phase++) {
        struct mesh *m = mesh_new_started(3);
        for (size_t i = 1; i < 3; i++) {
            m->delay_ns[0][i] = m->delay_ns[i][0] = 120 * MINI_MS;
        }
        mesh_run(m, 3 * MINI_SECOND + phase * 50 * MINI_MS);
        m->now_ns += 5 * MINI_SECOND;
        struct event tick = {.type = EV_TICK};
        mesh_step(m, 0, &tick);
        for (size_t i = 1; i < 3; i++) {
            assert_int_equal(mesh_status(m, 0, i), STATUS_ALIVE);
        }
        mesh_free(&m);
    }
}

static uint64_t time_of(const struct mesh *m, size_t at, enum member_event_type type, size_t about)
{
    const struct member_event *e = core_event_after(m->node[at].core, 0);
    while (e != NULL &&
           (e->type != type || !node_id_eq(&e->node, &m->node[about].identity.id))) {
        e = core_event_after(m->node[at].core, e->seq);
    }
    assert_non_null(e);
    return e->wall_ms;
}

/* There is no helper, and nobody to confirm. */
static void suspicion_lasts_longer_in_a_mesh_of_two(void **state)
{
    (void) state;
    uint64_t lasted_ms[2];
    for (size_t i = 0; i < 2; i++) {
        struct mesh *m = mesh_new_started(2 + i);
        m->node[1].deaf = true;
        mesh_run(m, 30 * MINI_SECOND);
        lasted_ms[i] = time_of(m, 0, EVENT_FAILED, 1) - time_of(m, 0, EVENT_SUSPECT, 1);
        mesh_free(&m);
    }
    assert_true(lasted_ms[0] >= 3000);
    assert_true(lasted_ms[1] < lasted_ms[0]);
}

static void link_ends(struct mesh *m, size_t at, size_t peer)
{
    struct event ev = {.type = EV_LINK_DOWN, .as.link.peer = m->node[peer].identity.id};
    mesh_step(m, at, &ev);
}

/* What refuses at a new address that nobody has answered from may be another machine. */
static void no_connect_is_evidence_at_an_address_that_is_not_proven(void **state)
{
    (void) state;
    for (int moves = 0; moves < 2; moves++) {
        struct mesh *m = mesh_new_started(3);
        struct watched w = {0};
        mesh_run(m, 5 * MINI_SECOND);
        mesh_cut(m, 0, 1, true);
        if (moves) {
            m->node[1].addrs[0] = mini_addr(21);
            struct event ev = {.type = EV_ADDRESSES, .as.addresses = {m->node[1].addrs, 1}};
            mesh_step(m, 1, &ev);
            mesh_run(m, 300 * MINI_MS); /* the record comes by way of n02 */
            struct addr now = mesh_view(m, 0, 1).addr;
            assert_true(addr_same_place(&now, &m->node[1].addrs[0]));
        }
        m->passes = watch_effects;
        m->arg = &w;
        link_ends(m, 0, 1);
        assert_int_equal(w.connects, moves ? 0 : 1);
        mesh_free(&m);
    }
}

static size_t beacons_in(struct mini *m, uint64_t ns)
{
    size_t before = mini_count(m, FX_BEACON, 0, MINI_PEERS);
    mini_run(m, ns);
    return mini_count(m, FX_BEACON, 0, MINI_PEERS) - before;
}

/* Often at the start and for a minute after a change: every 250 ms and 2 s; then every 10 s (R2.7). */
static void beacons_become_rare(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    assert_in_range(beacons_in(m, 3 * MINI_SECOND), 9, 16);
    mini_meet_all(m, 2);
    assert_in_range(beacons_in(m, 30 * MINI_SECOND), 11, 18);
    mini_run(m, 60 * MINI_SECOND);
    assert_in_range(beacons_in(m, 100 * MINI_SECOND), 8, 12);
    mini_tell_record(m, 1, 2, 6, RECORD_LEFT);
    assert_in_range(beacons_in(m, 30 * MINI_SECOND), 11, 18);
    mini_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unasked_datagram_proves_no_address),
        cmocka_unit_test(a_copied_join_sends_little_to_strangers),
        cmocka_unit_test(probes_end_later_by_the_time_we_were_deaf),
        cmocka_unit_test(suspicion_lasts_longer_in_a_mesh_of_two),
        cmocka_unit_test(no_connect_is_evidence_at_an_address_that_is_not_proven),
        cmocka_unit_test(beacons_become_rare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
