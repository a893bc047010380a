/* SPDX-License-Identifier: MPL-2.0 */
/* A mesh in which few have met: who drops what we send is not told, nor asked for help. */
#include "../unit.h"

#include "mini.h"

#define MET 4 /* peers 1 to 4 have met the core; the rest it knows by what peer 1 said */
#define STRANGERS 30

static struct mini *young_mesh(void)
{
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, MET);
    mini_run(m, 20 * MINI_SECOND); /* what that made to tell is told */
    for (size_t i = MET + 1; i <= MET + STRANGERS; i++) {
        mini_tell_record(m, 1, i, 5, RECORD_ALIVE);
    }
    m->log_count = 0;
    return m;
}

static bool is_news(const struct mini_fx *l)
{
    return (l->type == FX_DATAGRAM || (l->type == FX_FRAME && l->frame == FRAME_SWIM)) &&
           l->swim == SWIM_GOSSIP;
}

static void link_up(struct mini *m, size_t peer)
{
    struct event ev = {.type = EV_LINK_UP, .as.link.peer = m->peer[peer].id};
    mini_step(m, &ev);
}

static void news_are_for_those_who_take_them(void **state)
{
    (void) state;
    struct mini *m = young_mesh();
    mini_run(m, 700 * MINI_MS); /* nobody is suspect yet */
    size_t told = 0;
    for (size_t i = 0; i < m->log_count; i++) {
        const struct mini_fx *l = &m->log[i];
        if (l->type == FX_DATAGRAM && l->updates > 0) {
            assert_in_range(l->peer, 1, MET);
            told += l->updates;
        }
    }
    /* Not less than before: 8 times each, in a mesh of 10 to 99. */
    assert_in_range(told, STRANGERS * 2, STRANGERS * 8);
    mini_free(&m);
}

static void the_linked_one_hears_it_all(size_t guest)
{
    struct mini *m = young_mesh();
    link_up(m, guest);
    m->log_count = 0;
    mini_run(m, 700 * MINI_MS);
    uint64_t round_ns = 0;
    size_t rounds = 0, to_guest = 0;
    for (size_t i = 0; i < m->log_count; i++) {
        const struct mini_fx *l = &m->log[i];
        if (!is_news(l)) {
            continue;
        }
        rounds += l->at_ns != round_ns;
        round_ns = l->at_ns;
        to_guest += l->peer == guest;
        assert_true(l->peer == guest ? l->type == FX_FRAME : l->peer <= MET);
    }
    assert_true(rounds >= 5);
    assert_int_equal(to_guest, rounds);
    mini_free(&m);
}

/* Who has just come was met by few others. It hears of all from those that it is linked to. Who was met is told
 * over the link, too: datagrams may have ceased to arrive. */
static void one_of_them_is_linked(void **state)
{
    (void) state;
    the_linked_one_hears_it_all(MET + 7);
    the_linked_one_hears_it_all(MET - 1);
}

/* With nobody to tell, news wait. */
static void news_wait_for_a_listener(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct swim_msg answer;
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5};
    join.record = mini_record(m, 1, 5, RECORD_ALIVE);
    mini_hear(m, 1, DATAGRAM_MESH, &join);
    assert_true(mini_sent(m, SWIM_ANSWER, &answer));
    struct swim_msg confirm = {.type = SWIM_CONFIRM, .echo = answer.nonce};
    confirm.record = mini_record(m, 1, 5, RECORD_ALIVE);
    mini_hear(m, 1, DATAGRAM_MESH, &confirm);
    mini_run(m, 700 * MINI_MS); /* nobody is suspect yet */
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_GOSSIP, MINI_PEERS), 0);
    m->peer[1].answers = true;
    m->log_count = 0;
    mini_run(m, 2 * MINI_SECOND);
    assert_true(mini_count(m, FX_DATAGRAM, SWIM_GOSSIP, 1) > 0);
    mini_free(&m);
}

static void strangers_are_no_helpers(void **state)
{
    (void) state;
    struct mini *m = young_mesh();
    mini_run(m, 6 * MINI_SECOND);
    size_t asked = 0;
    for (size_t i = 0; i < m->log_count; i++) {
        if (m->log[i].type == FX_DATAGRAM && m->log[i].swim == SWIM_PING_REQ) {
            assert_in_range(m->log[i].peer, 1, MET);
            asked++;
        }
    }
    assert_true(asked >= MET - 1);
    mini_free(&m);
}

static bool is_challenge_answered(struct mini *m, size_t from)
{
    struct swim_msg echo;
    struct swim_msg challenge = {.type = SWIM_CHALLENGE, .nonce = 77};
    mini_hear(m, from, DATAGRAM_PAIR, &challenge);
    return mini_sent(m, SWIM_ECHO, &echo) && echo.echo == 77;
}

/* A node that comes back to thousands probes them faster than it answers challenges of others. */
static void whom_we_probe_may_ask_who_we_are(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, MET);
    mini_run(m, 20 * MINI_SECOND);
    m->peer[2].answers = false;
    for (m->log_count = 0; mini_count(m, FX_DATAGRAM, SWIM_PING, 2) == 0;) {
        mini_run(m, 5 * MINI_MS);
    }
    while (is_challenge_answered(m, 3)) {
    }
    assert_true(m->metrics.value[M_DROP_RATE] > 0);
    assert_true(is_challenge_answered(m, 2));
    assert_false(is_challenge_answered(m, 2)); /* once: the same one may be played again */
    mini_free(&m);
}

static void ping_as(struct mini *m, size_t from, uint64_t nonce, uint64_t padding)
{
    struct swim_msg ping = {.type = SWIM_PING, .nonce = nonce, .padding = padding};
    mini_hear(m, from, DATAGRAM_PAIR, &ping);
}

/* Challenged, a stranger sends its ECHO and its PING again. Either may be here first. */
static void a_ping_may_overtake_its_echo(void **state)
{
    (void) state;
    for (int early = 0; early < 3; early++) {
        struct mini *m = young_mesh();
        size_t stranger = MET + 3;
        struct swim_msg challenge, ack;
        ping_as(m, stranger, 70, 0); /* an old one, played again, perhaps */
        assert_true(mini_sent(m, SWIM_CHALLENGE, &challenge));
        m->now_ns += MINI_MS;
        if (early > 0) {
            ping_as(m, stranger, 71, early == 2 ? 100 : 0);
            assert_int_equal(m->fx.count, 0);
        }
        struct swim_msg echo = {.type = SWIM_ECHO, .echo = challenge.nonce};
        mini_hear(m, stranger, DATAGRAM_PAIR, &echo);
        assert_true(mini_sent(m, SWIM_ACK, &ack) == (early == 1)); /* large ones are to arrive as such */
        assert_true(early != 1 || ack.echo == 71);
        ping_as(m, stranger, 72, 0);
        assert_true(mini_sent(m, SWIM_ACK, &ack) && ack.echo == 72);
        mini_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(news_are_for_those_who_take_them),
        cmocka_unit_test(one_of_them_is_linked),
        cmocka_unit_test(news_wait_for_a_listener),
        cmocka_unit_test(strangers_are_no_helpers),
        cmocka_unit_test(whom_we_probe_may_ask_who_we_are),
        cmocka_unit_test(a_ping_may_overtake_its_echo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
