/* SPDX-License-Identifier: MPL-2.0 */
/* What once went wrong with doubt and verdicts between several nodes. */
#include "../unit.h"

#include "minimesh.h"

static uint64_t full_exchanges(const struct mesh *m)
{
    return mesh_metric(m, 0, M_FULL_EXCHANGES) + mesh_metric(m, 1, M_FULL_EXCHANGES);
}

/* While n00 was away, n02 came back at a higher incarnation and died. To n00 it was down before. */
static void assert_views_meet_after(struct mesh *m)
{
    mesh_cut(m, 0, 1, true);
    mesh_cut(m, 0, 2, true);
    mesh_kill(m, 2);
    mesh_run(m, 20 * MINI_SECOND);
    mesh_start(m, 2);
    mesh_run(m, 5 * MINI_SECOND);
    mesh_kill(m, 2);
    mesh_run(m, 20 * MINI_SECOND);
    mesh_cut(m, 0, 1, false);
    mesh_run(m, 30 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 2), STATUS_FAILED);
    assert_true(mesh_agree(m, 0, 1));
    uint64_t before = full_exchanges(m);
    mesh_run(m, 30 * MINI_SECOND);
    assert_int_equal(full_exchanges(m), before);
}

/* A verdict was taken only against members that were up. */
static void views_agree_on_who_failed_twice(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    assert_views_meet_after(m);
    mesh_free(&m);
}

static void views_agree_on_who_failed_after_it_left(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    struct event shutdown = {.type = EV_SHUTDOWN};
    mesh_step(m, 2, &shutdown);
    mesh_run(m, 2 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 2), STATUS_LEFT);
    assert_views_meet_after(m);
    mesh_free(&m);
}

/* What node `from` says of `about`, heard by node `to` at once. */
static void tell_claims(struct mesh *m, size_t from, size_t to, const struct claim *claims,
                        size_t count)
{
    struct buf b[32];
    struct span updates[ARRAY_COUNT(b)];
    struct swim_msg msg = {.type = SWIM_GOSSIP, .updates = updates, .update_count = count};
    assert_true(count <= ARRAY_COUNT(b));
    for (size_t i = 0; i < count; i++) {
        buf_init(&b[i], 1000);
        swim_update_write_claim(&b[i], &claims[i]);
        updates[i] = buf_span(&b[i]);
    }
    mesh_hear(m, to, mesh_from(m, from, to, DATAGRAM_PAIR), &msg);
    for (size_t i = 0; i < count; i++) {
        buf_fini(&b[i]);
    }
}

static struct claim claim_of(const struct mesh *m, enum claim_kind kind, size_t about,
                             size_t observer)
{
    struct claim claim = {.kind = kind,
                          .target = m->node[about].identity.id,
                          .incarnation = mesh_view(m, about, about).incarnation,
                          .reason = REASON_NO_ACK,
                          .observers = {m->node[observer].identity.id},
                          .observer_count = 1};
    return claim;
}

/* n00 sleeps for an hour, the others die; what it reads first on waking begins a doubt. */
static struct mesh *asleep_for_an_hour(size_t count)
{
    struct mesh *m = mesh_new_started(count);
    for (size_t i = 1; i < count; i++) {
        m->node[i].deaf = true;
        m->node[i].up = false;
    }
    m->now_ns += 3600 * MINI_SECOND;
    return m;
}

/* What began on waking was put off by the hour slept before it. */
static void a_probe_begun_after_a_stall_ends_in_time(void **state)
{
    (void) state;
    struct mesh *m = asleep_for_an_hour(2);
    struct event down = {.type = EV_LINK_DOWN, .as.link.peer = m->node[1].identity.id};
    mesh_step(m, 0, &down);
    mesh_run(m, 30 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 1), STATUS_FAILED);
    mesh_free(&m);
}

static void a_suspicion_begun_after_a_stall_ends_in_time(void **state)
{
    (void) state;
    struct mesh *m = asleep_for_an_hour(3);
    struct claim claim = claim_of(m, CLAIM_SUSPECT, 1, 2);
    tell_claims(m, 2, 0, &claim, 1);
    assert_int_equal(mesh_status(m, 0, 1), STATUS_SUSPECT);
    mesh_run(m, 60 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 1), STATUS_FAILED);
    mesh_free(&m);
}

/* Every machine has a container bridge at the same address, and finds its own port shut there. */
static bool bridge_refuses(struct mesh *m, size_t from, const struct effect *fx)
{
    struct event ev = {.type = EV_CONNECT};
    if (fx->type == FX_CONNECT && fx->as.connect.to.ip[0] == 172) {
        ev.as.connect.peer = fx->as.connect.peer;
        ev.as.connect.token = fx->as.connect.token;
        ev.as.connect.outcome = CONNECT_REFUSED;
    } else if (fx->type == FX_DATAGRAM && fx->as.datagram.to.ip[0] == 172) {
        ev.type = EV_UNREACHABLE;
        ev.as.unreachable.to = fx->as.datagram.to;
    } else {
        return true;
    }
    mesh_push(m, from, MINI_MS / 10, &ev, span_of(NULL, 0));
    return false;
}

/* It was looked for at its second address, and whoever is there refused in its name. */
static void refusals_at_an_address_not_proven_are_no_evidence(void **state)
{
    (void) state;
    struct mesh *m = mesh_new(4);
    m->passes = bridge_refuses;
    for (size_t i = 0; i < 4; i++) {
        m->node[i].addrs[1] = addr_v4(172, 17, 0, 1, 8471);
        m->node[i].addr_count = 2;
        mesh_start(m, i);
    }
    mesh_run(m, 8 * MINI_SECOND);
    m->node[3].deaf = true;
    mesh_run(m, 2 * MINI_SECOND);
    m->node[3].deaf = false;
    mesh_run(m, 5 * MINI_SECOND);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(mesh_status(m, i, 3), STATUS_ALIVE);
        assert_int_equal(mesh_events(m, i, EVENT_FAILED, 3), 0);
        assert_int_equal(mesh_metric(m, i, M_PROBES_URGENT), 0);
    }
    mesh_free(&m);
}

/* A machine that came back with a new store and a new address knew none of the observers of its failure, and
 * dropped what it was told of it. So it was not let in, and took all others for failed. */
static void what_strangers_saw_of_us_is_refuted_too(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    /* Of others it is no evidence. */
    struct claim claims[] = {claim_of(m, CLAIM_FAILED, 0, 1), claim_of(m, CLAIM_FAILED, 1, 1)};
    uint64_t before = mesh_view(m, 0, 0).incarnation;
    uint64_t malformed = mesh_metric(m, 0, M_DROP_MALFORMED);
    for (size_t i = 0; i < ARRAY_COUNT(claims); i++) {
        memset(claims[i].observers[0].b, 0x77, NODE_ID_BYTES);
        memset(claims[i].observers[1].b, 0x78, NODE_ID_BYTES);
        claims[i].observer_count = 2;
    }
    tell_claims(m, 1, 0, claims, ARRAY_COUNT(claims));
    assert_int_equal(mesh_view(m, 0, 0).incarnation, before + 1);
    assert_int_equal(mesh_metric(m, 0, M_DROP_MALFORMED), malformed + 1);
    assert_int_equal(mesh_status(m, 0, 1), STATUS_ALIVE);
    mesh_free(&m);
}

/* Each was signed and told to all: one datagram became many. */
static void twenty_claims_in_one_datagram_are_refuted_once(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    struct claim claims[20];
    for (size_t i = 0; i < ARRAY_COUNT(claims); i++) {
        claims[i] = claim_of(m, CLAIM_SUSPECT, 0, 2);
        claims[i].incarnation = 1000 + i;
    }
    uint64_t sent = mesh_metric(m, 0, M_DATAGRAMS_SENT);
    tell_claims(m, 1, 0, claims, ARRAY_COUNT(claims));
    assert_int_equal(mesh_metric(m, 0, M_REFUTATIONS), 1);
    assert_int_equal(mesh_view(m, 0, 0).incarnation, 1020);
    assert_true(mesh_metric(m, 0, M_DATAGRAMS_SENT) - sent <= 2); /* one to each other */
    mesh_free(&m);
}

/* A relayed answer was an answer, but never made it alive. */
static void who_is_remembered_and_reached_by_helpers_is_alive(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    mesh_kill(m, 0);
    mesh_cut(m, 0, 2, true);
    mesh_start(m, 0);
    mesh_run(m, 10 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 2), STATUS_ALIVE);
    mesh_free(&m);
}

/* Counts updates to the dead, but for what they are told about themselves. */
static bool count_to_dead(struct mesh *m, size_t from, const struct effect *fx)
{
    struct swim_msg msg;
    struct swim_update u;
    struct mp_reader r;
    size_t *count = m->arg;
    if (fx->type != FX_DATAGRAM || fx->as.datagram.cls != DATAGRAM_PAIR) {
        return true;
    }
    size_t to = mesh_by_id(m, &fx->as.datagram.peer);
    assert_int_equal(swim_msg_read(fx->as.datagram.body, &msg), HM_OK);
    if (msg.update_bytes.data == NULL || m->node[to].up ||
        mesh_status(m, from, to) != STATUS_FAILED) {
        return true;
    }
    mp_open(&r, msg.update_bytes);
    while (swim_update_next(&r, &u)) {
        *count += u.kind == UPDATE_RECORD || !node_id_eq(&u.claim.target, &fx->as.datagram.peer);
    }
    return true;
}

/* An update is told only so often, and the dead do not pass it on. */
static void the_dead_are_told_no_gossip(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(12);
    size_t count = 0;
    for (size_t i = 4; i < 12; i++) {
        mesh_kill(m, i);
    }
    mesh_run(m, 20 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 5), STATUS_FAILED);
    m->passes = count_to_dead;
    m->arg = &count;
    mesh_start(m, 11);
    mesh_run(m, 3 * MINI_SECOND);
    assert_int_equal(count, 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(mesh_status(m, i, 11), STATUS_ALIVE);
    }
    mesh_free(&m);
}

/* One node and its invention made a verdict of two. */
static void observers_that_nobody_knows_do_not_count(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    struct claim claim = claim_of(m, CLAIM_FAILED, 2, 1);
    memset(claim.observers[1].b, 9, sizeof claim.observers[1].b);
    claim.observer_count = 2;
    tell_claims(m, 1, 0, &claim, 1);
    assert_int_equal(mesh_status(m, 0, 2), STATUS_SUSPECT);
    mesh_run(m, MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 2), STATUS_ALIVE);
    assert_int_equal(mesh_events(m, 0, EVENT_FAILED, 2), 0);
    mesh_free(&m);
}

/* Behind a slow path the answer came after the helper's NACK, and was kept from who asked. */
static void a_late_answer_is_relayed_after_the_nack(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    m->delay_ns[1][2] = m->delay_ns[2][1] = 150 * MINI_MS; /* NACK after 240, answer after 300 */
    mesh_cut(m, 0, 2, true);
    mesh_run(m, 20 * MINI_SECOND);
    assert_int_equal(mesh_status(m, 0, 2), STATUS_ALIVE);
    assert_int_equal(mesh_events(m, 0, EVENT_SUSPECT, 2), 0);
    mesh_free(&m);
}

/* Whoever was known by hearsay was not spoken to before its turn to be probed. A refusal at an address that
 * is not proven is no evidence, so such a crash was only known when the suspicion ended. */
static void join_by_the_first_and_lose(size_t count, size_t dies)
{
    struct mesh *m = mesh_new(count);
    m->no_beacons = true;
    for (size_t i = 0; i < count; i++) {
        struct event join = {.type = EV_CANDIDATE, .as.candidate.source = CANDIDATE_JOIN};
        join.as.candidate.addr = m->node[0].addrs[0];
        mesh_start(m, i);
        mesh_step(m, i, &join);
    }
    for (size_t i = 0; i < count; i++) {
        for (int k = 0; k < 100 && core_member_count(m->node[i].core) < count; k++) {
            mesh_run(m, 10 * MINI_MS);
        }
    }
    mesh_run(m, 60 * MINI_MS);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == dies || m->node[i].linked[dies]);
    }
    mesh_kill(m, dies);
    mesh_run(m, MINI_SECOND);
    for (size_t i = 0; i < count; i++) {
        if (i != dies) {
            assert_int_equal(mesh_view(m, i, dies).status, STATUS_FAILED);
            assert_int_equal(mesh_view(m, i, dies).reason, REASON_REFUSED);
        }
    }
    mesh_free(&m);
}

static void a_crash_right_after_joining_is_seen_at_once(void **state)
{
    (void) state;
    for (size_t count = 3; count <= 9; count++) {
        for (size_t dies = 0; dies < count; dies++) {
            join_by_the_first_and_lose(count, dies);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_agree_on_who_failed_twice),
        cmocka_unit_test(views_agree_on_who_failed_after_it_left),
        cmocka_unit_test(a_probe_begun_after_a_stall_ends_in_time),
        cmocka_unit_test(a_suspicion_begun_after_a_stall_ends_in_time),
        cmocka_unit_test(refusals_at_an_address_not_proven_are_no_evidence),
        cmocka_unit_test(what_strangers_saw_of_us_is_refuted_too),
        cmocka_unit_test(twenty_claims_in_one_datagram_are_refuted_once),
        cmocka_unit_test(who_is_remembered_and_reached_by_helpers_is_alive),
        cmocka_unit_test(the_dead_are_told_no_gossip),
        cmocka_unit_test(observers_that_nobody_knows_do_not_count),
        cmocka_unit_test(a_late_answer_is_relayed_after_the_nack),
        cmocka_unit_test(a_crash_right_after_joining_is_seen_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
