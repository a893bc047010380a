/* SPDX-License-Identifier: MPL-2.0 */
/* The failure detector, step by step: who is probed when, who is asked for help, what an answer
 * is, and Lifeguard's local health. */
#include "../unit.h"

#include "mini.h"

static size_t first_of(const struct mini *m, size_t from, enum swim_type swim, size_t peer)
{
    for (size_t i = from; i < m->log_count; i++) {
        if (m->log[i].type == FX_DATAGRAM && m->log[i].swim == swim && m->log[i].peer == peer) {
            return i;
        }
    }
    return m->log_count;
}

static unsigned health(const struct mini *m)
{
    struct core_status status;
    core_status(m->core, &status);
    return status.health;
}

/* Runs until the target is pinged; returns the place of that ping in the log. */
static size_t run_to_ping(struct mini *m, size_t target)
{
    m->log_count = 0;
    for (int i = 0; i < 100000; i++) {
        size_t at = first_of(m, 0, SWIM_PING, target);
        if (at < m->log_count) {
            return at;
        }
        mini_run(m, 5 * MINI_MS);
    }
    fail();
    return 0;
}

static void each_is_probed_once_a_round(void **state)
{
    (void) state;
    for (size_t others = 1; others <= 8; others++) {
        struct mini *m = mini_new(NULL);
        mini_meet_all(m, others);
        mini_run(m, 20 * MINI_SECOND); /* gossip and first contacts are over */
        m->log_count = 0;
        mini_run(m, 10 * others * m->params.probe_interval_ns);
        for (size_t i = 1; i <= others; i++) {
            assert_in_range(mini_count(m, FX_DATAGRAM, SWIM_PING, i), 9, 11);
            assert_int_equal(mini_status(m, i), STATUS_ALIVE);
        }
        /* Idle is: one probe a period and nothing else. */
        size_t datagrams = 0;
        for (size_t i = 0; i < m->log_count; i++) {
            datagrams += m->log[i].type == FX_DATAGRAM;
        }
        assert_in_range(datagrams, 10 * others - 1, 10 * others + 1);
        assert_int_equal(health(m), 0);
        assert_true(m->metrics.value[M_SUSPICIONS] == 0);
        mini_free(&m);
    }
}

static void alone_it_is_silent(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_run(m, 100 * MINI_SECOND);
    for (size_t i = 0; i < m->log_count; i++) {
        assert_int_not_equal(m->log[i].type, FX_DATAGRAM);
        assert_int_not_equal(m->log[i].type, FX_FRAME);
    }
    assert_int_equal(core_member_count(m->core), 1);
    mini_free(&m);
}

/* SWIM 4.1: k helpers, all different, none of them the target; fewer where there are fewer. */
static void helpers_in_every_small_mesh(void **state)
{
    (void) state;
    for (size_t others = 1; others <= 8; others++) {
        struct mini *m = mini_new(NULL);
        size_t target = 1 + others / 2;
        size_t could = others - 1;
        size_t expected = could < m->params.indirect_probes ? could : m->params.indirect_probes;
        bool asked[MINI_PEERS] = {false};
        size_t count = 0;
        mini_meet_all(m, others);
        m->peer[target].answers = false;
        size_t ping = run_to_ping(m, target);
        uint64_t t0 = m->log[ping].at_ns;
        mini_run(m, t0 + m->params.probe_timeout_ns + MINI_MS - m->now_ns);
        for (size_t i = ping; i < m->log_count; i++) {
            const struct mini_fx *l = &m->log[i];
            if (l->type == FX_DATAGRAM && l->swim == SWIM_PING_REQ) {
                assert_true(l->at_ns == t0 + m->params.probe_timeout_ns);
                assert_int_equal(l->target, target);
                assert_true(l->peer != target && l->peer >= 1 && l->peer <= others);
                assert_false(asked[l->peer]);
                asked[l->peer] = true;
                count++;
            }
        }
        assert_int_equal(count, expected);
        assert_int_equal(mini_status(m, target), STATUS_ALIVE);
        mini_free(&m);
    }
}

static void silence_is_suspected_then_judged(void **state)
{
    (void) state;
    for (size_t others = 1; others <= 8; others++) {
        struct mini *m = mini_new(NULL);
        const struct core_params *p = &m->params;
        mini_meet_all(m, others);
        m->peer[1].answers = false;
        uint64_t t0 = m->log[run_to_ping(m, 1)].at_ns;
        mini_run(m, t0 + p->probe_fail_ns - MINI_MS - m->now_ns);
        assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
        mini_run(m, 2 * MINI_MS);
        assert_int_equal(mini_status(m, 1), STATUS_SUSPECT);
        /* Nobody confirms: Lifeguard's longest timeout, and no verdict before the shortest. */
        uint64_t most = p->suspicion_min_ns * p->suspicion_max_mult;
        uint64_t least = p->suspicion_min_ns;
        mini_run(m, t0 + p->probe_fail_ns + least - MINI_MS - m->now_ns);
        assert_int_equal(mini_status(m, 1), STATUS_SUSPECT);
        mini_run(m, most + 2 * MINI_SECOND);
        assert_int_equal(mini_status(m, 1), STATUS_FAILED);
        for (size_t i = 2; i <= others; i++) {
            assert_int_equal(mini_status(m, i), STATUS_ALIVE);
        }
        struct member_view view;
        assert_true(mini_view(m, 1, &view));
        assert_int_equal(view.reason, REASON_NO_ACK);
        assert_true(node_id_eq(&view.observer, &m->peer[0].id));
        mini_free(&m);
    }
}

/* Peer 2 is known by the word of others, where nobody answers: it may have moved. Their suspicions do not hurry us. */
static void the_unmet_have_time_to_find_us(void **state)
{
    (void) state;
    for (size_t others = 1; others <= 5; others += 2) {
        struct mini *m = mini_new(NULL);
        mini_meet(m, 1, 5);
        m->peer[1].answers = true;
        for (size_t i = 3; i <= others; i++) {
            mini_meet(m, i, 5);
            m->peer[i].answers = true;
        }
        mini_tell_record(m, 1, 2, 5, RECORD_ALIVE);
        while (mini_status(m, 2) == STATUS_ALIVE) {
            mini_run(m, MINI_MS);
        }
        for (size_t i = 3; i <= others; i++) {
            mini_tell_claim(m, i, CLAIM_SUSPECT, 2, 5, 1);
        }
        mini_run(m, 10 * MINI_SECOND - 2 * MINI_MS);
        assert_int_equal(mini_status(m, 2), STATUS_SUSPECT);
        mini_run(m, MINI_SECOND);
        assert_int_equal(mini_status(m, 2), STATUS_FAILED);
        mini_free(&m);
    }
}

/* A verdict of two who have met it needs no patience of ours. */
static void who_has_met_it_judges_for_the_others(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 4);
    mini_tell_record(m, 1, 5, 5, RECORD_ALIVE);
    mini_run(m, 100 * MINI_MS);
    mini_tell_claim(m, 1, CLAIM_FAILED, 5, 5, 2);
    assert_int_equal(mini_status(m, 5), STATUS_FAILED);
    mini_free(&m);
}

static void confirmations_shorten_it(void **state)
{
    (void) state;
    uint64_t took[4];
    for (size_t confirms = 0; confirms <= 3; confirms++) {
        struct mini *m = mini_new(NULL);
        mini_meet_all(m, 6);
        m->peer[1].answers = false;
        run_to_ping(m, 1);
        while (mini_status(m, 1) == STATUS_ALIVE) {
            mini_run(m, MINI_MS);
        }
        uint64_t since = m->now_ns;
        for (size_t i = 0; i < confirms; i++) {
            mini_tell_claim(m, 2 + i, CLAIM_SUSPECT, 1, 5, 1);
        }
        while (mini_status(m, 1) == STATUS_SUSPECT) {
            mini_run(m, MINI_MS);
        }
        assert_int_equal(mini_status(m, 1), STATUS_FAILED);
        took[confirms] = m->now_ns - since;
        assert_true(confirms == 0 || took[confirms] < took[confirms - 1]);
        mini_free(&m);
    }
    struct core_params p;
    core_params_default(&p);
    assert_in_range(took[3], p.suspicion_min_ns - 5 * MINI_MS, p.suspicion_min_ns + 50 * MINI_MS);
    assert_in_range(took[0], p.suspicion_min_ns * p.suspicion_max_mult - 5 * MINI_MS,
                    p.suspicion_min_ns * p.suspicion_max_mult + 50 * MINI_MS);
}

/* The helper `from` says so of the probe with this nonce. */
static void helper_says(struct mini *m, size_t from, enum swim_type type, uint64_t nonce,
                        size_t target)
{
    struct swim_msg msg = {.type = type, .echo = nonce, .target = m->peer[target].id};
    mini_hear(m, from, DATAGRAM_PAIR, &msg);
}

static void a_helpers_answer_is_an_answer(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 4);
    m->peer[1].answers = false;
    size_t ping = run_to_ping(m, 1);
    uint64_t nonce = m->log[ping].nonce;
    mini_run(m, m->params.probe_timeout_ns + 50 * MINI_MS);
    helper_says(m, 2, SWIM_RELAYED, nonce + 1, 1); /* of another probe: counts for nothing */
    helper_says(m, 2, SWIM_RELAYED, nonce, 3);     /* about another: counts for nothing */
    assert_true(m->metrics.value[M_PROBES_FAILED] == 0);
    helper_says(m, 2, SWIM_RELAYED, nonce, 1);
    uint64_t until = m->log[ping].at_ns + m->params.probe_fail_ns + 50 * MINI_MS;
    mini_run(m, until - m->now_ns);
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    assert_true(m->metrics.value[M_PROBES_FAILED] == 0);
    mini_free(&m);
}

static void only_the_right_ack_counts(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 4);
    m->peer[1].answers = false;
    size_t ping = run_to_ping(m, 1);
    struct swim_msg ack = {.type = SWIM_ACK, .echo = m->log[ping].nonce};
    mini_hear(m, 2, DATAGRAM_PAIR, &ack); /* somebody else's */
    ack.echo++;
    mini_hear(m, 1, DATAGRAM_PAIR, &ack); /* another nonce */
    ack.echo = 0;
    mini_hear(m, 1, DATAGRAM_PAIR, &ack);
    mini_run(m, m->log[ping].at_ns + m->params.probe_fail_ns + MINI_MS - m->now_ns);
    assert_int_equal(mini_status(m, 1), STATUS_SUSPECT);
    mini_free(&m);
}

static void pings_are_answered(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 2);
    m->log_count = 0;
    struct swim_msg ping = {.type = SWIM_PING, .nonce = 99};
    mini_hear(m, 1, DATAGRAM_PAIR, &ping);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_ACK, 1), 1);
    struct swim_msg ack;
    for (size_t i = 0; i < m->fx.count; i++) {
        if (m->fx.items[i].type == FX_DATAGRAM) {
            assert_int_equal(swim_msg_read(m->fx.items[i].as.datagram.body, &ack), HM_OK);
            assert_true(ack.echo == 99);
        }
    }
    mini_free(&m);
}

/* As a helper: probes the target, and says RELAYED when it answers, NACK when it does not in
 * time. */
static void helps_others(void **state)
{
    (void) state;
    for (int answers = 0; answers <= 1; answers++) {
        struct mini *m = mini_new(NULL);
        mini_meet_all(m, 3);
        m->peer[1].answers = answers == 1;
        m->log_count = 0;
        struct swim_msg ask = {.type = SWIM_PING_REQ, .nonce = 1234, .target = m->peer[1].id};
        mini_hear(m, 2, DATAGRAM_PAIR, &ask);
        assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_PING, 1), 1);
        mini_react(m, 0);
        mini_run(m, m->params.probe_timeout_ns);
        assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_RELAYED, 2), answers == 1 ? 1 : 0);
        assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_NACK, 2), answers == 1 ? 0 : 1);
        mini_free(&m);
    }
}

/* By datagram and over the link: one probe, unless another asks the same. */
static void asked_twice_helps_once(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    m->log_count = 0;
    struct swim_msg ask = {.type = SWIM_PING_REQ, .nonce = 1234, .target = m->peer[1].id};
    mini_hear(m, 2, DATAGRAM_PAIR, &ask);
    mini_hear(m, 2, DATAGRAM_PAIR, &ask);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_PING, 1), 1);
    mini_hear(m, 3, DATAGRAM_PAIR, &ask);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_PING, 1), 2);
    mini_run(m, m->params.probe_timeout_ns);
    mini_hear(m, 2, DATAGRAM_PAIR, &ask); /* it had no answer, and is asked again */
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_PING, 1), 3);
    mini_free(&m);
}

static void help_is_refused_when_it_makes_no_sense(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    static const size_t odd[] = {0 /* ourselves */, 2 /* the asker */, 50 /* nobody */};
    mini_meet_all(m, 3);
    m->log_count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(odd); i++) {
        struct swim_msg ask = {.type = SWIM_PING_REQ, .nonce = 1, .target = m->peer[odd[i]].id};
        mini_hear(m, 2, DATAGRAM_PAIR, &ask);
    }
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_PING, MINI_PEERS), 0);
    /* A flood of them is bounded. */
    for (unsigned i = 0; i < 1000; i++) {
        struct swim_msg ask = {.type = SWIM_PING_REQ, .nonce = 1 + i, .target = m->peer[1].id};
        mini_hear(m, 2, DATAGRAM_PAIR, &ask);
    }
    assert_in_range(mini_count(m, FX_DATAGRAM, SWIM_PING, 1), 1, 64);
    mini_free(&m);
}

/* A failed probe adds one unless most helpers said in time that they had no answer either
 * (Lifeguard IV.A, but for the weight: see probe_failed); a success takes one off. */
static void health_follows_the_nacks(void **state)
{
    (void) state;
    for (unsigned nacks = 0; nacks <= 3; nacks++) {
        struct mini *m = mini_new(NULL);
        mini_meet_all(m, 5);
        m->peer[1].answers = false;
        size_t ping = run_to_ping(m, 1);
        mini_run(m, m->log[ping].at_ns + m->params.probe_timeout_ns + MINI_MS - m->now_ns);
        size_t helper = 0;
        for (size_t i = 0; i < m->log_count && helper < nacks; i++) {
            if (m->log[i].type == FX_DATAGRAM && m->log[i].swim == SWIM_PING_REQ) {
                helper_says(m, m->log[i].peer, SWIM_NACK, m->log[ping].nonce, 1);
                helper++;
            }
        }
        assert_int_equal(helper, nacks);
        mini_run(m, m->log[ping].at_ns + m->params.probe_fail_ns + MINI_MS - m->now_ns);
        assert_int_equal(mini_status(m, 1), STATUS_SUSPECT);
        assert_int_equal(health(m), 2 * nacks > 3 ? 0 : 1);
        mini_free(&m);
    }
}

static void health_recovers_and_is_bounded(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 5);
    for (uint64_t i = 0; i < 20; i++) {
        struct event ev = {.type = EV_STALLED, .as.stalled.ms = 5000};
        mini_step(m, &ev);
        assert_in_range(health(m), 1, m->params.health_max);
    }
    assert_int_equal(health(m), m->params.health_max);
    mini_run(m, 300 * MINI_SECOND);
    assert_int_equal(health(m), 0);
    mini_free(&m);
}

/* Who is slow itself accuses late: the period and both timeouts stretch by the score plus one. */
static void the_unhealthy_wait_longer(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 5);
    struct event ev = {.type = EV_STALLED, .as.stalled.ms = 5000};
    m->peer[1].answers = false;
    mini_step(m, &ev);
    unsigned score = health(m);
    assert_true(score > 0);
    for (size_t i = 2; i <= 5; i++) {
        m->peer[i].answers = false; /* nobody heals it */
    }
    size_t ping = run_to_ping(m, 1);
    uint64_t t0 = m->log[ping].at_ns;
    score = health(m);
    size_t log_at = m->log_count;
    mini_run(m, t0 + m->params.probe_timeout_ns * (score + 1) - MINI_MS - m->now_ns);
    for (size_t i = log_at; i < m->log_count; i++) {
        assert_false(m->log[i].type == FX_DATAGRAM && m->log[i].swim == SWIM_PING_REQ &&
                     m->log[i].target == 1);
    }
    mini_run(m, 2 * MINI_MS);
    bool asked = false;
    for (size_t i = log_at; i < m->log_count; i++) {
        asked |= m->log[i].type == FX_DATAGRAM && m->log[i].swim == SWIM_PING_REQ &&
                 m->log[i].target == 1;
    }
    assert_true(asked);
    mini_free(&m);
}

/* The failed are never forgotten: probed slowly for ever, and back at once with a newer record. */
static void the_failed_are_retried_for_ever(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    m->peer[1].answers = false;
    mini_tell_claim(m, 2, CLAIM_FAILED, 1, 5, 2);
    assert_int_equal(mini_status(m, 1), STATUS_FAILED);
    for (int hour = 0; hour < 3; hour++) {
        mini_run(m, 20 * MINI_SECOND);
        m->log_count = 0;
        mini_run(m, 60 * MINI_SECOND);
        size_t pings = mini_count(m, FX_DATAGRAM, SWIM_PING, 1);
        assert_in_range(pings, 55, 65); /* one a second */
        m->now_ns += 3600 * MINI_SECOND;
        m->log_count = 0;
        mini_run(m, MINI_SECOND);
    }
    assert_int_equal(mini_status(m, 1), STATUS_FAILED);
    mini_tell_record(m, 2, 1, 6, RECORD_ALIVE);
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    mini_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_probed_once_a_round),
        cmocka_unit_test(alone_it_is_silent),
        cmocka_unit_test(helpers_in_every_small_mesh),
        cmocka_unit_test(silence_is_suspected_then_judged),
        cmocka_unit_test(the_unmet_have_time_to_find_us),
        cmocka_unit_test(who_has_met_it_judges_for_the_others),
        cmocka_unit_test(confirmations_shorten_it),
        cmocka_unit_test(a_helpers_answer_is_an_answer),
        cmocka_unit_test(only_the_right_ack_counts),
        cmocka_unit_test(pings_are_answered),
        cmocka_unit_test(helps_others),
        cmocka_unit_test(asked_twice_helps_once),
        cmocka_unit_test(help_is_refused_when_it_makes_no_sense),
        cmocka_unit_test(health_follows_the_nacks),
        cmocka_unit_test(health_recovers_and_is_bounded),
        cmocka_unit_test(the_unhealthy_wait_longer),
        cmocka_unit_test(the_failed_are_retried_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
