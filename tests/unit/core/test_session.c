/* SPDX-License-Identifier: MPL-2.0 */
/* First contact, sessions and replay: who is believed, and what old or forged datagrams can do
 * (nothing). */
#include "../unit.h"

#include "mini.h"

static void hear_as(struct mini *m, size_t from, enum datagram_class cls, uint64_t session,
                    uint64_t counter, const struct swim_msg *msg)
{
    struct buf b;
    struct event ev = {.type = EV_DATAGRAM};
    buf_init(&b, HM_FRAME_BYTES_MAX);
    swim_msg_write(&b, msg);
    ev.as.datagram.from = mini_addr(from);
    ev.as.datagram.cls = cls;
    ev.as.datagram.sender = m->peer[from].id;
    ev.as.datagram.session = session;
    ev.as.datagram.counter = counter;
    ev.as.datagram.body = buf_span(&b);
    mini_step(m, &ev);
    buf_fini(&b);
}

static void three_messages_make_a_member(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct member_view view;
    mini_meet(m, 1, 5);
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    assert_true(mini_view(m, 1, &view));
    assert_int_equal(view.reason, REASON_JOINED);
    struct addr there = mini_addr(1);
    assert_true(addr_eq(&view.addr, &there));
    mini_free(&m);
}

static void a_join_alone_changes_nothing(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5}, answer;
    join.record = mini_record(m, 1, 5, RECORD_ALIVE);
    mini_hear(m, 1, DATAGRAM_MESH, &join);
    assert_true(mini_sent(m, SWIM_ANSWER, &answer));
    assert_true(answer.echo == 5 && answer.nonce != 0);
    assert_int_equal(core_member_count(m->core), 1);
    mini_free(&m);
}

static void only_a_fresh_cookie_confirms(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5}, answer;
    join.record = mini_record(m, 1, 5, RECORD_ALIVE);
    mini_hear(m, 1, DATAGRAM_MESH, &join);
    assert_true(mini_sent(m, SWIM_ANSWER, &answer));
    struct swim_msg confirm = {.type = SWIM_CONFIRM, .echo = answer.nonce + 1};
    confirm.record = mini_record(m, 1, 5, RECORD_ALIVE);
    mini_hear(m, 1, DATAGRAM_MESH, &confirm);
    confirm.echo = 0;
    mini_hear(m, 1, DATAGRAM_MESH, &confirm);
    /* Another's cookie, and another's record. */
    confirm.echo = answer.nonce;
    confirm.record = mini_record(m, 2, 5, RECORD_ALIVE);
    mini_hear(m, 2, DATAGRAM_MESH, &confirm);
    mini_hear(m, 1, DATAGRAM_MESH, &confirm);
    assert_int_equal(core_member_count(m->core), 1);
    /* Played again much later it has gone stale. */
    m->now_ns += 30 * MINI_SECOND;
    confirm.record = mini_record(m, 1, 5, RECORD_ALIVE);
    mini_hear(m, 1, DATAGRAM_MESH, &confirm);
    assert_int_equal(core_member_count(m->core), 1);
    mini_free(&m);
}

static void joins_are_answered_at_a_rate(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5};
    join.record = mini_record(m, 1, 5, RECORD_ALIVE);
    for (int i = 0; i < 2000; i++) {
        mini_hear(m, 1, DATAGRAM_MESH, &join);
    }
    assert_in_range(mini_count(m, FX_DATAGRAM, SWIM_ANSWER, MINI_PEERS), 1, 256);
    assert_true(m->metrics.value[M_DROP_RATE] >= 2000 - 256);
    m->now_ns += 10 * MINI_SECOND;
    m->log_count = 0;
    join.record = mini_record(m, 1, 5, RECORD_ALIVE);
    mini_hear(m, 1, DATAGRAM_MESH, &join);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ANSWER, MINI_PEERS), 1);
    mini_free(&m);
}

static void replays_are_refused(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct swim_msg ping = {.type = SWIM_PING, .nonce = 9};
    mini_meet(m, 1, 5);
    m->log_count = 0;
    for (int i = 0; i < 5; i++) {
        hear_as(m, 1, DATAGRAM_PAIR, 1001, 50, &ping);
    }
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ACK, 1), 1);
    assert_true(m->metrics.value[M_DROP_REPLAYED] == 4);
    hear_as(m, 1, DATAGRAM_PAIR, 1001, 49, &ping); /* late, but not seen */
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ACK, 1), 2);
    hear_as(m, 1, DATAGRAM_PAIR, 1001, 50 + HM_REPLAY_WINDOW, &ping);
    hear_as(m, 1, DATAGRAM_PAIR, 1001, 48, &ping); /* too old to tell */
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ACK, 1), 3);
    mini_free(&m);
}

static bool was_noted(const struct mini *m, enum note_code code)
{
    bool found = false;
    for (size_t i = 0; i < m->log_count; i++) {
        found |= m->log[i].type == FX_NOTE && m->log[i].note == code;
    }
    return found;
}

/* Somebody speaks with our identity in a session that is not ours: perhaps a copied data directory, perhaps
 * old words of ours. It is asked, and nothing is said before it answers (test_copy). */
static void a_second_one_of_us_is_asked(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct swim_msg ping = {.type = SWIM_CHALLENGE, .nonce = 5};
    mini_meet(m, 1, 5);
    m->log_count = 0;
    struct node_id peer = m->peer[2].id;
    m->peer[2].id = m->peer[0].id;
    hear_as(m, 2, DATAGRAM_PAIR, MINI_SESSION, 7, &ping);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_CHALLENGE, 0), 0); /* our own, come back */
    hear_as(m, 2, DATAGRAM_PAIR, MINI_SESSION + 1, 7, &ping);
    m->peer[2].id = peer;
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_CHALLENGE, 0), 1);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ECHO, 0), 1);
    assert_false(was_noted(m, NOTE_SAME_IDENTITY));
    mini_free(&m);
}

static void an_unknown_session_is_challenged(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct swim_msg ping = {.type = SWIM_PING, .nonce = 9}, challenge;
    mini_meet(m, 1, 5);
    m->now_ns += MINI_SECOND;
    m->log_count = 0;
    hear_as(m, 1, DATAGRAM_PAIR, 4242, 1, &ping);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ACK, 1), 0);
    assert_true(mini_sent(m, SWIM_CHALLENGE, &challenge));
    struct swim_msg echo = {.type = SWIM_ECHO, .echo = challenge.nonce + 1};
    hear_as(m, 1, DATAGRAM_PAIR, 4242, 2, &echo); /* not what was asked */
    hear_as(m, 2, DATAGRAM_PAIR, 4242, 3, &echo); /* nobody we know */
    hear_as(m, 1, DATAGRAM_PAIR, 4242, 4, &ping);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ACK, 1), 0);
    echo.echo = challenge.nonce;
    hear_as(m, 1, DATAGRAM_PAIR, 4242, 5, &echo);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ACK, 1), 1); /* to the second ping */
    hear_as(m, 1, DATAGRAM_PAIR, 4242, 6, &ping);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ACK, 1), 2);
    /* The old session is gone: what was recorded of it opens nothing. */
    hear_as(m, 1, DATAGRAM_PAIR, 1001, 1000, &ping);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ACK, 1), 2);
    mini_free(&m);
}

/* Datagrams of an old session come back, with their challenge unanswered: nobody is revived by
 * them. */
static void old_datagrams_revive_nobody(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    m->peer[1].answers = false;
    mini_tell_claim(m, 2, CLAIM_FAILED, 1, 5, 2);
    assert_int_equal(mini_status(m, 1), STATUS_FAILED);
    struct swim_msg ping = {.type = SWIM_PING, .nonce = 9};
    for (uint64_t counter = 1; counter < 300; counter++) {
        hear_as(m, 1, DATAGRAM_PAIR, 1001, counter, &ping);
        m->now_ns += MINI_MS;
    }
    assert_int_equal(mini_status(m, 1), STATUS_FAILED);
    mini_free(&m);
}

static void classes_are_not_mixed_up(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 1);
    m->log_count = 0;
    for (int type = SWIM_JOIN; type <= SWIM_DIAL; type++) {
        struct swim_msg msg = {.type = (enum swim_type) type, .nonce = 9, .echo = 9};
        uint64_t before = m->metrics.value[M_DROP_MALFORMED];
        bool is_mesh = type <= SWIM_CONFIRM;
        msg.record = mini_record(m, 1, 5, RECORD_ALIVE);
        mini_hear(m, 1, is_mesh ? DATAGRAM_PAIR : DATAGRAM_MESH, &msg);
        assert_true(m->metrics.value[M_DROP_MALFORMED] == before + 1);
    }
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ACK, MINI_PEERS), 0);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ANSWER, MINI_PEERS), 0);
    mini_free(&m);
}

static void nothing_is_said_before_the_store_is_durable(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    core_destroy(&m->core);
    struct core_conf conf = {.mesh = "home",
                             .name = "self",
                             .version = "0.1",
                             .session = 78,
                             .port = 8471,
                             .link_port = 9000,
                             .params = m->params,
                             .metrics = &m->metrics};
    memcpy(conf.key, m->peer[0].key, 32);
    conf.crypto = (struct crypto){&m->peer[0], mini_sign, mini_verify, mini_id_of_key, mini_hash};
    m->core = core_new(&conf, 1);
    struct event loaded = {.type = EV_LOADED};
    mini_step(m, &loaded);
    m->log_count = 0;
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5};
    join.record = mini_record(m, 1, 5, RECORD_ALIVE);
    mini_hear(m, 1, DATAGRAM_MESH, &join);
    struct event candidate = {.type = EV_CANDIDATE,
                              .as.candidate = {.addr = mini_addr(3), .source = CANDIDATE_JOIN}};
    mini_step(m, &candidate);
    mini_run(m, 5 * MINI_SECOND);
    for (size_t i = 0; i < m->log_count; i++) {
        assert_true(m->log[i].type == FX_NOTE || m->log[i].type == FX_PERSIST);
    }
    struct event durable = {.type = EV_DURABLE, .as.store.batch = m->batch};
    mini_step(m, &durable);
    mini_run(m, MINI_SECOND);
    assert_true(mini_count(m, FX_BEACON, SWIM_JOIN, MINI_PEERS) > 0);
    mini_free(&m);
}

static void candidates_are_tried_and_given_up(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct event ev = {.type = EV_CANDIDATE,
                       .as.candidate = {.addr = mini_addr(3), .source = CANDIDATE_JOIN}};
    m->log_count = 0;
    mini_step(m, &ev);
    mini_step(m, &ev); /* known already */
    mini_run(m, 60 * MINI_SECOND);
    size_t tries = mini_count(m, FX_DATAGRAM, SWIM_JOIN, MINI_PEERS);
    assert_in_range(tries, 2, 8);
    struct core_status status;
    core_status(m->core, &status);
    assert_int_equal(status.candidates, 0);
    mini_free(&m);
}

/* A source can be forged: little is sent to where nobody has proven to be. */
static void strangers_get_little(void **state)
{
    static const struct {
        enum candidate_source source;
        size_t joins;
    } cases[] = {{CANDIDATE_UNKNOWN_SENDER, 1}, {CANDIDATE_BEACON, 5}};
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct mini *m = mini_new(NULL);
        struct event ev = {.type = EV_CANDIDATE,
                           .as.candidate = {.addr = mini_addr(3), .source = cases[i].source}};
        m->log_count = 0;
        mini_step(m, &ev);
        mini_run(m, 60 * MINI_SECOND);
        assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_JOIN, MINI_PEERS), cases[i].joins);
        mini_free(&m);
    }
}

/* Forged beacons (R2.9): the table stays bounded, and so does what is sent. */
static void floods_of_hints_are_bounded(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct core_status status;
    m->log_count = 0;
    for (size_t i = 0; i < 5000; i++) {
        struct event ev = {.type = EV_CANDIDATE, .as.candidate.source = CANDIDATE_BEACON};
        ev.as.candidate.addr = addr_v4(10, 9, (uint8_t) (i >> 8), (uint8_t) i, 8471);
        memset(ev.as.candidate.id.b, 1, 4);
        memcpy(ev.as.candidate.id.b + 4, &i, sizeof i);
        mini_step(m, &ev);
    }
    core_status(m->core, &status);
    assert_in_range(status.candidates, 1, HM_CANDIDATES_MAX);
    mini_run(m, 10 * MINI_SECOND);
    assert_int_equal(core_member_count(m->core), 1);
    assert_in_range(mini_count(m, FX_DATAGRAM, SWIM_JOIN, MINI_PEERS), 1, 8 * HM_CANDIDATES_MAX);
    /* The user's own word still finds a place. */
    struct event own = {.type = EV_CANDIDATE,
                        .as.candidate = {.addr = mini_addr(3), .source = CANDIDATE_JOIN}};
    m->log_count = 0;
    mini_step(m, &own);
    mini_run(m, MINI_MS);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_JOIN, MINI_PEERS), 1);
    mini_free(&m);
}

/* One machine that forges beacons leaves room for the beacons of others, and its rate is its own. */
static void a_flood_from_one_address_leaves_room(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    for (size_t i = 0; i < 20000; i++) {
        struct event ev = {.type = EV_CANDIDATE, .as.candidate.source = CANDIDATE_BEACON};
        ev.as.candidate.addr = addr_v4(10, 9, 9, 9, (uint16_t) (1 + i % 60000));
        memset(ev.as.candidate.id.b, 1, 4);
        memcpy(ev.as.candidate.id.b + 4, &i, sizeof i);
        mini_step(m, &ev);
        mini_run(m, MINI_MS / 10);
    }
    m->log_count = 0;
    for (uint8_t number = 3; number < 13; number++) {
        struct event ev = {.type = EV_CANDIDATE,
                           .as.candidate = {.addr = mini_addr(number), .source = CANDIDATE_BEACON}};
        memset(ev.as.candidate.id.b, number, sizeof ev.as.candidate.id.b);
        mini_step(m, &ev);
        mini_run(m, 200 * MINI_MS); /* the lower id waits for a moment */
        bool is_tried = false;
        for (size_t i = 0; i < m->log_count; i++) {
            is_tried |= m->log[i].swim == SWIM_JOIN && addr_eq(&m->log[i].to, &ev.as.candidate.addr);
        }
        assert_true(is_tried);
    }
    mini_free(&m);
}

/* The other side of first contact: our JOIN is answered. */
static void an_answer_to_our_join_makes_a_member(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct event ev = {.type = EV_CANDIDATE,
                       .as.candidate = {.addr = mini_addr(3), .source = CANDIDATE_JOIN}};
    struct swim_msg msg;
    m->log_count = 0;
    mini_step(m, &ev);
    mini_run(m, MINI_MS);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_JOIN, MINI_PEERS), 1);
    uint64_t nonce = 0;
    for (size_t i = 0; i < m->log_count; i++) {
        nonce = m->log[i].swim == SWIM_JOIN && m->log[i].nonce != 0 ? m->log[i].nonce : nonce;
    }
    struct swim_msg answer = {.type = SWIM_ANSWER, .echo = nonce + 1, .nonce = 31};
    answer.record = mini_record(m, 3, 5, RECORD_ALIVE);
    mini_hear(m, 3, DATAGRAM_MESH, &answer); /* to a question that we did not ask */
    assert_int_equal(core_member_count(m->core), 1);
    answer.echo = nonce;
    answer.record = mini_record(m, 4, 5, RECORD_ALIVE);
    mini_hear(m, 3, DATAGRAM_MESH, &answer); /* with somebody else's record */
    assert_int_equal(core_member_count(m->core), 1);
    answer.record = mini_record(m, 3, 5, RECORD_ALIVE);
    mini_hear(m, 3, DATAGRAM_MESH, &answer);
    assert_int_equal(mini_status(m, 3), STATUS_ALIVE);
    assert_true(mini_sent(m, SWIM_CONFIRM, &msg));
    assert_true(msg.echo == 31);
    mini_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_messages_make_a_member),
        cmocka_unit_test(a_join_alone_changes_nothing),
        cmocka_unit_test(only_a_fresh_cookie_confirms),
        cmocka_unit_test(joins_are_answered_at_a_rate),
        cmocka_unit_test(replays_are_refused),
        cmocka_unit_test(a_second_one_of_us_is_asked),
        cmocka_unit_test(an_unknown_session_is_challenged),
        cmocka_unit_test(old_datagrams_revive_nobody),
        cmocka_unit_test(classes_are_not_mixed_up),
        cmocka_unit_test(nothing_is_said_before_the_store_is_durable),
        cmocka_unit_test(candidates_are_tried_and_given_up),
        cmocka_unit_test(strangers_get_little),
        cmocka_unit_test(floods_of_hints_are_bounded),
        cmocka_unit_test(a_flood_from_one_address_leaves_room),
        cmocka_unit_test(an_answer_to_our_join_makes_a_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
