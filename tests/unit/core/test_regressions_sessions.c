/* SPDX-License-Identifier: MPL-2.0 */
/* What once went wrong with first contact, sessions and replay between several nodes. */
#include "../unit.h"

#include "minimesh.h"

/* The last datagram of one kind that some node sent, and where. */
struct caught {
    size_t from;
    enum swim_type type;
    struct addr to; /* wanted; family 0: any */
    bool any;
    uint64_t nonce;
    uint64_t counter;
    struct buf body;
};

static bool catch_one(struct mesh *m, size_t from, const struct effect *fx)
{
    struct caught *c = m->arg;
    struct swim_msg msg;
    if (fx->type != FX_DATAGRAM || from != c->from ||
        swim_msg_read(fx->as.datagram.body, &msg) != HM_OK || msg.type != c->type ||
        (!addr_is_none(&c->to) && !addr_eq(&c->to, &fx->as.datagram.to))) {
        return true;
    }
    c->any = true;
    c->nonce = msg.nonce;
    c->counter = fx->as.datagram.counter;
    buf_clear(&c->body);
    buf_append(&c->body, fx->as.datagram.body.data, fx->as.datagram.body.size);
    return true;
}

static void catch_start(struct mesh *m, struct caught *c, size_t from, enum swim_type type)
{
    memset(c, 0, sizeof *c);
    c->from = from;
    c->type = type;
    buf_init(&c->body, HM_FRAME_BYTES_MAX);
    m->passes = catch_one;
    m->arg = c;
}

/* Each answer came when the challenge had been drawn anew. */
static void both_restart_at_a_long_round_trip_and_meet(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    m->latency_ns = 80 * MINI_MS;
    m->no_beacons = true;
    mesh_run(m, 20 * MINI_SECOND);
    mesh_kill(m, 0);
    mesh_kill(m, 1);
    mesh_run(m, MINI_SECOND);
    mesh_start(m, 0);
    mesh_run(m, 30 * MINI_MS);
    mesh_start(m, 1);
    mesh_run(m, 2 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 1), STATUS_ALIVE);
    assert_int_equal(mesh_status(m, 1, 0), STATUS_ALIVE);
    assert_true(mesh_metric(m, 0, M_CHALLENGES) < 20);
    mesh_free(&m);
}

/* Nobody answered to an address that no record named yet. */
static void a_restart_elsewhere_is_found_without_beacons(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    struct addr elsewhere = mini_addr(77);
    m->no_beacons = true;
    mesh_kill(m, 0);
    m->node[0].addrs[0] = elsewhere;
    mesh_start(m, 0);
    mesh_run(m, 30 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 1), STATUS_ALIVE);
    struct member_view view = mesh_view(m, 1, 0);
    assert_int_equal(view.status, STATUS_ALIVE);
    assert_true(addr_eq(&view.addr, &elsewhere));
    mesh_free(&m);
}

/* Each made the probe of the dead node begin again. */
static void replayed_challenges_keep_nobody_alive(void **state)
{
    (void) state;
    uint64_t sessions[] = {0, 4242}; /* added to its own: that one, and one before it */
    for (size_t row = 0; row < ARRAY_COUNT(sessions); row++) {
        struct mesh *m = mesh_new_started(2);
        struct swim_msg challenge = {.type = SWIM_CHALLENGE, .nonce = 77};
        struct event ev = mesh_from(m, 1, 0, DATAGRAM_PAIR);
        ev.as.datagram.session += sessions[row];
        m->node[1].deaf = true;
        for (int k = 0; k < 40; k++) {
            mesh_run(m, MINI_SECOND / 2);
            mesh_hear(m, 0, ev, &challenge);
        }
        assert_int_equal(mesh_status(m, 0, 1), STATUS_FAILED);
        mesh_free(&m);
    }
}

/* n01 is dead, n00 is new and has heard nothing of it: whatever session n02 made up for it, a
 * datagram of that session must count for nothing. */
static void assert_not_taken(struct mesh *m, uint64_t session)
{
    struct swim_msg ping = {.type = SWIM_PING, .nonce = 3};
    struct event ev = mesh_from(m, 1, 0, DATAGRAM_PAIR);
    struct caught ack;
    assert_true(mesh_view(m, 0, 1).last_heard_ns == UINT64_MAX);
    catch_start(m, &ack, 0, SWIM_ACK);
    ev.as.datagram.session = session;
    mesh_hear(m, 0, ev, &ping);
    assert_false(ack.any);
    assert_true(mesh_view(m, 0, 1).last_heard_ns == UINT64_MAX);
    buf_fini(&ack.body);
}

static struct mesh *with_a_dead_one(struct span *ret_record)
{
    struct mesh *m = mesh_new_started(3);
    struct caught join;
    mesh_kill(m, 1);
    catch_start(m, &join, 1, SWIM_JOIN); /* its record is what every member has of it */
    omap_clear(m->node[1].disk);
    mesh_start(m, 1);
    mesh_run(m, MINI_SECOND / 2);
    mesh_kill(m, 1);
    mesh_kill(m, 0);
    struct swim_msg msg;
    assert_true(join.any);
    assert_int_equal(swim_msg_read(buf_span(&join.body), &msg), HM_OK);
    *ret_record = exact_copy(msg.record.data, msg.record.size);
    buf_fini(&join.body);
    m->passes = NULL;
    mesh_start(m, 0);
    mesh_run(m, 20 * MINI_MS);
    return m;
}

/* The mesh key proves a member, not which one. */
static void an_answer_in_anothers_name_gives_no_session(void **state)
{
    (void) state;
    struct span record;
    struct mesh *m = with_a_dead_one(&record);
    struct caught join;
    struct event ev = {.type = EV_CANDIDATE, .as.candidate.source = CANDIDATE_BEACON};
    struct addr there = mini_addr(99);
    memset(ev.as.candidate.id.b, 9, sizeof ev.as.candidate.id.b);
    ev.as.candidate.addr = there;
    catch_start(m, &join, 0, SWIM_JOIN);
    join.to = there;
    mesh_step(m, 0, &ev);
    mesh_run(m, 300 * MINI_MS);
    assert_true(join.any);
    struct swim_msg answer = {
        .type = SWIM_ANSWER, .echo = join.nonce, .nonce = 5, .record = record, .view_hash = 1};
    ev = mesh_from(m, 1, 0, DATAGRAM_MESH);
    ev.as.datagram.from = there;
    ev.as.datagram.session = 666;
    mesh_hear(m, 0, ev, &answer);
    assert_not_taken(m, 666);
    buf_fini(&join.body);
    exact_free(record);
    mesh_free(&m);
}

static void a_confirm_in_anothers_name_gives_no_session(void **state)
{
    (void) state;
    struct span record;
    struct mesh *m = with_a_dead_one(&record);
    struct caught answer;
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5, .record = record};
    struct event ev = mesh_from(m, 1, 0, DATAGRAM_MESH);
    ev.as.datagram.session = 666;
    catch_start(m, &answer, 0, SWIM_ANSWER);
    mesh_hear(m, 0, ev, &join);
    assert_true(answer.any);
    struct swim_msg confirm = {.type = SWIM_CONFIRM, .echo = answer.nonce, .record = record};
    mesh_hear(m, 0, ev, &confirm);
    assert_not_taken(m, 666);
    buf_fini(&answer.body);
    exact_free(record);
    mesh_free(&m);
}

/* The window was empty again, and what had been heard before the failure was taken twice. */
static void a_session_that_comes_back_keeps_its_window(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    struct caught ping;
    struct swim_msg msg;
    catch_start(m, &ping, 1, SWIM_PING);
    ping.to = m->node[0].addrs[0];
    mesh_run(m, 5 * MINI_SECOND);
    m->passes = NULL;
    assert_true(ping.any);
    struct event ev = mesh_from(m, 1, 0, DATAGRAM_PAIR);
    ev.as.datagram.counter = ping.counter;
    m->node[1].deaf = true;
    while (mesh_status(m, 0, 1) != STATUS_FAILED) {
        mesh_run(m, MINI_SECOND);
    }
    m->node[1].deaf = false;
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 1), STATUS_ALIVE);
    assert_true(m->node[1].counter[0] - ping.counter < HM_REPLAY_WINDOW);
    assert_int_equal(swim_msg_read(buf_span(&ping.body), &msg), HM_OK);
    uint64_t before = mesh_metric(m, 0, M_DROP_REPLAYED);
    ev.as.datagram.body = buf_span(&ping.body);
    mesh_step(m, 0, &ev);
    assert_int_equal(mesh_metric(m, 0, M_DROP_REPLAYED), before + 1);
    buf_fini(&ping.body);
    mesh_free(&m);
}

/* Without its store it begins at incarnation 1 again, of which the others hold another record. */
static void a_node_without_its_store_is_told_to_go_higher(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    struct addr elsewhere = mini_addr(50);
    struct event join = {.type = EV_CANDIDATE, .as.candidate.source = CANDIDATE_JOIN};
    join.as.candidate.addr = m->node[0].addrs[0];
    mesh_kill(m, 2);
    omap_clear(m->node[2].disk);
    m->node[2].addrs[0] = elsewhere;
    mesh_start(m, 2);
    mesh_step(m, 2, &join);
    mesh_run(m, MINI_SECOND / 2); /* nobody has missed it at its old address yet */
    for (size_t i = 0; i < 2; i++) {
        struct member_view view = mesh_view(m, i, 2);
        assert_int_equal(view.status, STATUS_ALIVE);
        assert_true(addr_eq(&view.addr, &elsewhere));
        assert_int_equal(view.incarnation, mesh_view(m, 2, 2).incarnation);
    }
    mesh_free(&m);
}

static uint64_t first_nonce(uint8_t secret)
{
    struct mesh *m = mesh_new(1);
    struct caught join;
    struct event ev = {.type = EV_CANDIDATE, .as.candidate.source = CANDIDATE_JOIN};
    ev.as.candidate.addr = mini_addr(99);
    m->node[0].secret = secret;
    catch_start(m, &join, 0, SWIM_JOIN);
    mesh_start(m, 0);
    mesh_run(m, MINI_SECOND);
    mesh_step(m, 0, &ev);
    mesh_run(m, MINI_SECOND);
    assert_true(join.any);
    buf_fini(&join.body);
    mesh_free(&m);
    return join.nonce;
}

/* The seed drives choices that others can watch, and from them it could be found. */
static void nonces_come_from_the_secret_not_from_the_seed(void **state)
{
    (void) state;
    assert_true(first_nonce(1) != first_nonce(2));
    assert_true(first_nonce(1) == first_nonce(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_restart_at_a_long_round_trip_and_meet),
        cmocka_unit_test(a_restart_elsewhere_is_found_without_beacons),
        cmocka_unit_test(replayed_challenges_keep_nobody_alive),
        cmocka_unit_test(an_answer_in_anothers_name_gives_no_session),
        cmocka_unit_test(a_confirm_in_anothers_name_gives_no_session),
        cmocka_unit_test(a_session_that_comes_back_keeps_its_window),
        cmocka_unit_test(a_node_without_its_store_is_told_to_go_higher),
        cmocka_unit_test(nonces_come_from_the_secret_not_from_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
