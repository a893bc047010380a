/* SPDX-License-Identifier: MPL-2.0 */
/* First contact where UDP fails: by mail, with those whose mailbox greets in our mesh's name. */
#include "../unit.h"

#include "core/core_priv.h"
#include "mini.h"

static void candidate(struct mini *m, size_t peer, enum candidate_source source, bool with_id)
{
    struct event ev = {.type = EV_CANDIDATE,
                       .as.candidate = {.addr = mini_addr(peer), .source = source}};
    if (with_id) {
        ev.as.candidate.id = m->peer[peer].id;
    }
    mini_step(m, &ev);
}

static size_t mails(const struct mini *m, enum swim_type type)
{
    size_t count = 0;
    for (size_t i = 0; i < m->log_count; i++) {
        count += m->log[i].type == FX_MAIL && m->log[i].swim == type;
    }
    return count;
}

static size_t datagrams(const struct mini *m, enum swim_type type)
{
    return mini_count(m, FX_DATAGRAM, type, MINI_PEERS);
}

/* What the step before sent by mail; fails if there is no such message. */
static struct swim_msg mailed(const struct mini *m, enum swim_type type, const struct effect **ret_fx)
{
    struct swim_msg msg = {.type = type};
    for (size_t i = 0; i < m->fx.count; i++) {
        const struct effect *fx = &m->fx.items[i];
        if (fx->type == FX_MAIL && swim_msg_read(fx->as.datagram.body, &msg) == HM_OK &&
            msg.type == type) {
            *ret_fx = fx;
            return msg;
        }
    }
    fail_msg("no such mail");
    return msg;
}

static void hear_mail(struct mini *m, size_t from, enum datagram_class cls,
                      const struct swim_msg *msg)
{
    struct buf b;
    buf_init(&b, 2000);
    swim_msg_write(&b, msg);
    struct event ev = {.type = EV_DATAGRAM,
                       .as.datagram = {.from = mini_addr(from),
                                       .by_mail = true,
                                       .cls = cls,
                                       .sender = m->peer[from].id,
                                       .session = 1000 + from,
                                       .counter = ++m->peer[from].counter,
                                       .body = buf_span(&b)}};
    mini_step(m, &ev);
    buf_fini(&b);
}

static void silent_candidate_is_greeted_then_mailed(void **state)
{
    (void) state;
    static const enum candidate_source sources[] = {CANDIDATE_BEACON, CANDIDATE_JOIN};
    for (size_t i = 0; i < ARRAY_COUNT(sources); i++) {
        struct mini *m = mini_new(NULL);
        candidate(m, 1, sources[i], sources[i] == CANDIDATE_BEACON);
        mini_run(m, 900 * MINI_MS);
        assert_int_equal(mini_count(m, FX_ZRE_HELLO, 0, MINI_PEERS), 0);
        mini_run(m, 1 * MINI_SECOND);
        assert_int_equal(mini_count(m, FX_ZRE_HELLO, 0, MINI_PEERS), 1);
        assert_int_equal(mails(m, SWIM_JOIN), 0); /* it may be a Zyre program that knows no JOIN */
        candidate(m, 1, CANDIDATE_ZRE, true);
        mini_run(m, 1 * MINI_MS);
        assert_int_equal(mails(m, SWIM_JOIN), 1); /* at once */
        candidate(m, 1, CANDIDATE_ZRE, true);
        candidate(m, 1, CANDIDATE_ZRE, true);
        mini_run(m, 1 * MINI_MS);
        assert_int_equal(mails(m, SWIM_JOIN), 1); /* however often it greets */
        mini_run(m, 60 * MINI_SECOND);
        assert_in_range(mails(m, SWIM_JOIN), 1, 5); /* and not for ever */
        mini_free(&m);
    }
}

static void answering_candidate_gets_no_mail(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    candidate(m, 1, CANDIDATE_ZRE, true);
    mini_run(m, 500 * MINI_MS);
    assert_true(datagrams(m, SWIM_JOIN) >= 2);
    assert_int_equal(mails(m, SWIM_JOIN), 0);
    mini_meet(m, 1, 5);
    m->peer[1].answers = true;
    mini_run(m, 5 * MINI_SECOND);
    assert_int_equal(mails(m, SWIM_JOIN), 0);
    mini_free(&m);
}

/* Who writes by mail is answered by mail, through to a session, and then dialled. */
static void a_whole_first_contact(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    const struct effect *fx = NULL;
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5};
    join.record = mini_record(m, 1, 5, RECORD_ALIVE);
    size_t before = datagrams(m, SWIM_ANSWER);
    hear_mail(m, 1, DATAGRAM_MESH, &join);
    struct swim_msg answer = mailed(m, SWIM_ANSWER, &fx);
    assert_int_equal(answer.echo, 5);
    assert_true(node_id_eq(&fx->as.datagram.peer, &m->peer[1].id));
    assert_int_equal(datagrams(m, SWIM_ANSWER), before);
    struct swim_msg confirm = {.type = SWIM_CONFIRM, .echo = answer.nonce};
    confirm.record = mini_record(m, 1, 5, RECORD_ALIVE);
    hear_mail(m, 1, DATAGRAM_MESH, &confirm);
    struct swim_msg challenge = mailed(m, SWIM_CHALLENGE, &fx);
    assert_int_equal(fx->as.datagram.cls, DATAGRAM_PAIR);
    struct swim_msg echo = {.type = SWIM_ECHO, .echo = challenge.nonce};
    hear_mail(m, 1, DATAGRAM_PAIR, &echo);
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    struct swim_msg theirs = {.type = SWIM_CHALLENGE, .nonce = 99};
    hear_mail(m, 1, DATAGRAM_PAIR, &theirs);
    assert_int_equal(mailed(m, SWIM_ECHO, &fx).echo, 99);
    /* What does not answer a mail goes as ever. */
    struct swim_msg gossip = {.type = SWIM_GOSSIP};
    size_t mail_count = mails(m, SWIM_PING);
    mini_hear(m, 1, DATAGRAM_PAIR, &gossip);
    mini_run(m, 3 * MINI_SECOND);
    assert_true(datagrams(m, SWIM_PING) > 0 || mini_count(m, FX_DATAGRAM, SWIM_PING, 1) > 0);
    assert_int_equal(mails(m, SWIM_PING), mail_count);
    bool is_lower = node_id_cmp(&m->peer[0].id, &m->peer[1].id) < 0;
    assert_int_equal(mini_count(m, FX_DIAL, 0, 1) > 0, is_lower);
    mini_free(&m);
}

/* Who failed is greeted, seldom: its UDP may be blocked, and its TCP not. Who left is not. */
static void failed_members_are_greeted(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet(m, 1, 5);
    mini_meet(m, 2, 5);
    mini_tell_record(m, 2, 2, 6, RECORD_LEFT);
    mini_run(m, 20 * MINI_SECOND);
    assert_int_equal(mini_status(m, 1), STATUS_FAILED);
    assert_int_equal(mini_status(m, 2), STATUS_LEFT);
    assert_int_equal(mini_count(m, FX_ZRE_HELLO, 0, MINI_PEERS), 1);
    mini_run(m, 90 * MINI_SECOND);
    assert_in_range(mini_count(m, FX_ZRE_HELLO, 0, MINI_PEERS), 3, 5);
    /* It greets back, and is joined by mail. */
    candidate(m, 1, CANDIDATE_ZRE, true);
    mini_run(m, 3 * MINI_SECOND);
    assert_in_range(mails(m, SWIM_JOIN), 1, 3);
    mini_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silent_candidate_is_greeted_then_mailed),
        cmocka_unit_test(answering_candidate_gets_no_mail),
        cmocka_unit_test(a_whole_first_contact),
        cmocka_unit_test(failed_members_are_greeted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
