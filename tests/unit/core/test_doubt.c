/* SPDX-License-Identifier: MPL-2.0 */
/* Evidence is no verdict: a refused connect counts only twice and at two observers (one in a
 * mesh of two), a port-unreachable or a link's end only makes somebody look. */
#include "../unit.h"

#include "mini.h"

static void link_event(struct mini *m, enum event_type type, size_t peer)
{
    size_t from = m->log_count;
    struct event ev = {.type = type, .as.link.peer = m->peer[peer].id};
    mini_step(m, &ev);
    mini_react(m, from);
}

static void unreachable(struct mini *m, size_t peer)
{
    size_t from = m->log_count;
    struct event ev = {.type = EV_UNREACHABLE, .as.unreachable.to = mini_addr(peer)};
    mini_step(m, &ev);
    mini_react(m, from);
}

static void a_links_end_is_looked_into_at_once(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    m->peer[1].connects = true;
    mini_run(m, 100 * MINI_MS); /* until it is a neighbour: a guest may hang up without a word */
    link_event(m, EV_LINK_UP, 1);
    m->log_count = 0;
    link_event(m, EV_LINK_DOWN, 1);
    assert_int_equal(mini_count(m, FX_CONNECT, SWIM_JOIN, 1), 1);
    assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_PING, 1), 1);
    mini_run(m, 10 * MINI_SECOND);
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    assert_true(m->metrics.value[M_SUSPICIONS] == 0);
    mini_free(&m);
}

static void a_crash_is_known_in_well_under_a_second(void **state)
{
    (void) state;
    for (size_t others = 1; others <= 5; others++) {
        struct mini *m = mini_new(NULL);
        mini_meet_all(m, others);
        link_event(m, EV_LINK_UP, 1);
        mini_run(m, 2 * MINI_SECOND);
        m->peer[1].answers = false;
        m->peer[1].refuses = true;
        uint64_t t0 = m->now_ns;
        link_event(m, EV_LINK_DOWN, 1);
        mini_run(m, m->params.refused_recheck_ns + 5 * MINI_MS);
        if (others > 1) {
            /* One observer is not enough, whoever it is. */
            assert_int_not_equal(mini_status(m, 1), STATUS_FAILED);
            mini_tell_claim(m, 2, CLAIM_REFUSED, 1, 5, 1);
        }
        assert_int_equal(mini_status(m, 1), STATUS_FAILED);
        assert_true(m->now_ns - t0 < MINI_SECOND);
        struct member_view view;
        assert_true(mini_view(m, 1, &view));
        assert_int_equal(view.reason, REASON_REFUSED);
        mini_free(&m);
    }
}

static void the_word_of_others_makes_us_look(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 4);
    mini_run(m, MINI_SECOND);
    m->peer[1].answers = false;
    m->peer[1].refuses = true;
    size_t from = m->log_count;
    mini_tell_claim(m, 2, CLAIM_REFUSED, 1, 5, 1);
    mini_react(m, from);
    assert_int_not_equal(mini_status(m, 1), STATUS_FAILED);
    mini_run(m, m->params.refused_recheck_ns + 5 * MINI_MS);
    assert_int_equal(mini_status(m, 1), STATUS_FAILED);
    mini_free(&m);
}

/* A REJECT rule at one node: it alone is refused, and the others reach the member. */
static void one_node_that_is_refused_changes_no_member(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 4);
    m->peer[1].refuses = true; /* answers pings all the same */
    link_event(m, EV_LINK_UP, 1);
    link_event(m, EV_LINK_DOWN, 1);
    for (int i = 0; i < 50; i++) {
        unreachable(m, 1);
        mini_run(m, 200 * MINI_MS);
    }
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    mini_free(&m);
}

/* The other way round: others say that they were refused twice, and we reach it. */
static void those_who_reach_it_do_not_judge(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 4);
    m->peer[1].connects = true;
    for (int i = 0; i < 20; i++) {
        size_t from = m->log_count;
        mini_tell_claim(m, 2, CLAIM_REFUSED, 1, 5, 2);
        mini_react(m, from);
        mini_run(m, 500 * MINI_MS);
        m->log_count = 0;
    }
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    mini_free(&m);
}

static void forged_icmp_changes_nothing(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    for (size_t i = 1; i <= 3; i++) {
        m->peer[i].connects = true;
    }
    for (int i = 0; i < 500; i++) {
        unreachable(m, 1 + (size_t) i % 3);
        unreachable(m, 77); /* an address of nobody */
        mini_run(m, 10 * MINI_MS);
        m->log_count = 0;
    }
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(mini_status(m, i), STATUS_ALIVE);
    }
    /* And it is no amplifier: each costs a connect at most every 100 ms and member. */
    assert_in_range(m->metrics.value[M_PROBES_URGENT], 1, 3 * 51);
    assert_true(m->metrics.value[M_UNREACHABLE] == 1000);
    mini_free(&m);
}

static void a_restart_within_200_ms_changes_no_member(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    link_event(m, EV_LINK_UP, 1);
    mini_run(m, 2 * MINI_SECOND);
    m->peer[1].answers = false;
    m->peer[1].refuses = true;
    link_event(m, EV_LINK_DOWN, 1);
    mini_run(m, 200 * MINI_MS);
    m->peer[1].answers = true;
    m->peer[1].refuses = false;
    m->peer[1].connects = true;
    mini_meet(m, 1, 6);
    mini_run(m, 10 * MINI_SECOND);
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    assert_true(m->metrics.value[M_VERDICTS] == 0);
    mini_free(&m);
}

static void outcomes_of_another_connect_count_for_nothing(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 1); /* a mesh of two: two refusals here are enough */
    link_event(m, EV_LINK_UP, 1);
    link_event(m, EV_LINK_DOWN, 1);
    for (uint64_t i = 0; i < 20; i++) {
        struct event ev = {.type = EV_CONNECT};
        ev.as.connect.peer = m->peer[i % 3].id;
        ev.as.connect.token = i + 500;
        ev.as.connect.outcome = CONNECT_REFUSED;
        mini_step(m, &ev);
    }
    mini_run(m, 400 * MINI_MS);
    assert_int_equal(mini_status(m, 1), STATUS_ALIVE);
    mini_free(&m);
}

static void deaf_nodes_judge_nobody(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 5);
    mini_run(m, 5 * MINI_SECOND);
    /* SIGSTOP for ten minutes, many times: the tick comes late, then everything is answered. */
    for (int i = 0; i < 20; i++) {
        struct event tick = {.type = EV_TICK};
        size_t from = m->log_count;
        m->now_ns += 600 * MINI_SECOND;
        mini_step(m, &tick);
        mini_react(m, from);
        mini_run(m, 3 * MINI_SECOND);
        m->log_count = 0;
    }
    assert_true(m->metrics.value[M_VERDICTS] == 0);
    for (size_t i = 1; i <= 5; i++) {
        assert_int_equal(mini_status(m, i), STATUS_ALIVE);
    }
    mini_free(&m);
}

/* A stall is noticed twice, by the loop and by the late tick; samples stay what can be. */
static void stalls_make_no_absurd_samples(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 1);
    for (int i = 0; i < 200; i++) {
        m->peer[1].answers = false;
        m->log_count = 0;
        while (mini_count(m, FX_DATAGRAM, SWIM_PING, 1) == 0) {
            mini_run(m, 5 * MINI_MS);
        }
        m->now_ns += 150 * MINI_MS;
        struct event stalled = {.type = EV_STALLED, .as.stalled.ms = 150};
        mini_step(m, &stalled);
        m->peer[1].answers = true;
        mini_react(m, 0);
        mini_run(m, MINI_SECOND);
        uint64_t samples[8];
        size_t count = core_rtt_samples(m->core, &m->peer[1].id, samples, ARRAY_COUNT(samples));
        for (size_t j = 0; j < count; j++) {
            assert_in_range(samples[j], 0, 10 * MINI_SECOND);
        }
    }
    mini_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_links_end_is_looked_into_at_once),
        cmocka_unit_test(a_crash_is_known_in_well_under_a_second),
        cmocka_unit_test(the_word_of_others_makes_us_look),
        cmocka_unit_test(one_node_that_is_refused_changes_no_member),
        cmocka_unit_test(those_who_reach_it_do_not_judge),
        cmocka_unit_test(forged_icmp_changes_nothing),
        cmocka_unit_test(a_restart_within_200_ms_changes_no_member),
        cmocka_unit_test(outcomes_of_another_connect_count_for_nothing),
        cmocka_unit_test(deaf_nodes_judge_nobody),
        cmocka_unit_test(stalls_make_no_absurd_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
