/* SPDX-License-Identifier: MPL-2.0 */
/* Which statement overrides which: every held state against every statement at a lower, the same
 * and a higher incarnation (SWIM section 4.2; the table in merge.c), refutation, and forgeries. */
#include "../unit.h"

#include "mini.h"

#define TARGET 1
#define SPEAKER 2 /* and 3 beside it */
#define HELD 5    /* the incarnation that is held */

enum statement {
    RECORD_UP,
    RECORD_GONE,
    SUSPECT_BY_1,
    SUSPECT_BY_2,
    FAILED_BY_1,
    FAILED_BY_2,
    REFUSED_BY_1
};

static void tell(struct mini *m, enum statement what, uint64_t incarnation)
{
    switch (what) {
    case RECORD_UP:
        mini_tell_record(m, SPEAKER, TARGET, incarnation, RECORD_ALIVE);
        break;
    case RECORD_GONE:
        mini_tell_record(m, SPEAKER, TARGET, incarnation, RECORD_LEFT);
        break;
    case SUSPECT_BY_1:
        mini_tell_claim(m, SPEAKER, CLAIM_SUSPECT, TARGET, incarnation, 1);
        break;
    case SUSPECT_BY_2:
        mini_tell_claim(m, SPEAKER, CLAIM_SUSPECT, TARGET, incarnation, 2);
        break;
    case FAILED_BY_1:
        mini_tell_claim(m, SPEAKER, CLAIM_FAILED, TARGET, incarnation, 1);
        break;
    case FAILED_BY_2:
        mini_tell_claim(m, SPEAKER, CLAIM_FAILED, TARGET, incarnation, 2);
        break;
    case REFUSED_BY_1:
        mini_tell_claim(m, SPEAKER, CLAIM_REFUSED, TARGET, incarnation, 1);
        break;
    }
}

/* A core that holds the target in that state, at incarnation HELD. */
static struct mini *holding(enum member_status held)
{
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 4);
    m->peer[TARGET].answers = false;
    switch (held) {
    case STATUS_ALIVE:
        break;
    case STATUS_SUSPECT:
        tell(m, SUSPECT_BY_1, HELD);
        break;
    case STATUS_FAILED:
        tell(m, FAILED_BY_2, HELD);
        break;
    case STATUS_LEFT:
        mini_tell_record(m, SPEAKER, TARGET, HELD + 1, RECORD_LEFT);
        break;
    }
    assert_int_equal(mini_status(m, TARGET), held);
    return m;
}

#define A STATUS_ALIVE
#define S STATUS_SUSPECT
#define F STATUS_FAILED
#define L STATUS_LEFT

static void every_pair(void **state)
{
    (void) state;
    /* Expected at incarnation held - 1, held, held + 1. */
    static const struct {
        enum member_status held;
        enum statement what;
        enum member_status expected[3];
    } rows[] = {
        {A, RECORD_UP, {A, A, A}},
        {A, RECORD_GONE, {A, A, L}},
        {A, SUSPECT_BY_1, {A, S, S}},
        {A, SUSPECT_BY_2, {A, S, S}},
        {A, FAILED_BY_1, {A, S, S}},
        {A, FAILED_BY_2, {A, F, F}},
        {A, REFUSED_BY_1, {A, A, A}},
        {S, RECORD_UP, {S, S, A}},
        {S, RECORD_GONE, {S, S, L}},
        {S, SUSPECT_BY_1, {S, S, S}},
        {S, SUSPECT_BY_2, {S, S, S}},
        {S, FAILED_BY_1, {S, S, S}},
        {S, FAILED_BY_2, {S, F, F}},
        {S, REFUSED_BY_1, {S, S, S}},
        {F, RECORD_UP, {F, F, A}},
        {F, RECORD_GONE, {F, F, L}},
        {F, SUSPECT_BY_1, {F, F, F}},
        {F, SUSPECT_BY_2, {F, F, F}},
        {F, FAILED_BY_1, {F, F, F}},
        {F, FAILED_BY_2, {F, F, F}},
        {F, REFUSED_BY_1, {F, F, F}},
        {L, RECORD_UP, {L, L, A}},
        {L, RECORD_GONE, {L, L, L}},
        {L, SUSPECT_BY_1, {L, L, L}},
        /* A newer life than the one that left has failed: it was up again meanwhile. */
        {L, SUSPECT_BY_2, {L, L, L}},
        {L, FAILED_BY_1, {L, L, F}},
        {L, FAILED_BY_2, {L, L, F}},
        {L, REFUSED_BY_1, {L, L, L}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (uint64_t j = 0; j < 3; j++) {
            struct mini *m = holding(rows[i].held);
            uint64_t held = rows[i].held == L ? HELD + 1 : HELD;
            tell(m, rows[i].what, held - 1 + j);
            if (mini_status(m, TARGET) != rows[i].expected[j]) {
                print_error("held %s, statement %d at held%+d: %s\n",
                            member_status_name(rows[i].held), (int) rows[i].what, (int) j - 1,
                            member_status_name(mini_status(m, TARGET)));
                fail();
            }
            /* A statement counts once: told again, nothing changes. */
            uint64_t seq = core_event_last_seq(m->core);
            tell(m, rows[i].what, held - 1 + j);
            assert_int_equal(mini_status(m, TARGET), rows[i].expected[j]);
            assert_true(rows[i].what >= SUSPECT_BY_1 || core_event_last_seq(m->core) == seq);
            mini_free(&m);
        }
    }
}

static void a_verdict_on_a_newer_life_holds_until_a_newer_one_still(void **state)
{
    (void) state;
    struct mini *m = holding(STATUS_ALIVE);
    tell(m, FAILED_BY_2, HELD + 3);
    assert_int_equal(mini_status(m, TARGET), STATUS_FAILED);
    for (uint64_t j = 0; j <= 3; j++) {
        tell(m, RECORD_UP, HELD + j);
        assert_int_equal(mini_status(m, TARGET), STATUS_FAILED);
    }
    tell(m, RECORD_UP, HELD + 4);
    assert_int_equal(mini_status(m, TARGET), STATUS_ALIVE);
    mini_free(&m);
}

static void the_target_is_no_observer_of_itself(void **state)
{
    (void) state;
    struct mini *m = holding(STATUS_ALIVE);
    struct buf b;
    struct claim claim = {.kind = CLAIM_FAILED,
                          .target = m->peer[TARGET].id,
                          .incarnation = HELD,
                          .observer_count = 2,
                          .observers = {m->peer[SPEAKER].id, m->peer[TARGET].id}};
    buf_init(&b, 1000);
    swim_update_write_claim(&b, &claim);
    mini_tell(m, SPEAKER, buf_span(&b));
    assert_int_equal(mini_status(m, TARGET), STATUS_SUSPECT); /* one observer: in doubt only */
    /* And the same one twice is one. */
    struct mini *n = holding(STATUS_ALIVE);
    claim.observers[1] = claim.observers[0];
    buf_clear(&b);
    swim_update_write_claim(&b, &claim);
    mini_tell(n, SPEAKER, buf_span(&b));
    assert_int_equal(mini_status(n, TARGET), STATUS_SUSPECT);
    /* Nobody at all says nothing. */
    claim.observer_count = 0;
    claim.incarnation = HELD + 1;
    buf_clear(&b);
    swim_update_write_claim(&b, &claim);
    struct mini *o = holding(STATUS_ALIVE);
    mini_tell(o, SPEAKER, buf_span(&b));
    assert_int_equal(mini_status(o, TARGET), STATUS_ALIVE);
    buf_fini(&b);
    mini_free(&m);
    mini_free(&n);
    mini_free(&o);
}

static void a_leap_is_nonsense(void **state)
{
    (void) state;
    static const uint64_t far[] = {HELD + HM_INCARNATION_LEAP_MAX + 1, UINT64_MAX / 2,
                                   UINT64_MAX - 1};
    for (size_t i = 0; i < ARRAY_COUNT(far); i++) {
        struct mini *m = holding(STATUS_ALIVE);
        tell(m, FAILED_BY_2, far[i]);
        tell(m, SUSPECT_BY_2, far[i]);
        assert_int_equal(mini_status(m, TARGET), STATUS_ALIVE);
        mini_free(&m);
    }
}

/* Verdicts about strangers come with their record. */
static int tell_of_stranger(struct mini *m, size_t about, uint64_t record, uint64_t claimed,
                            size_t observers)
{
    struct buf b;
    struct member_view view;
    struct claim claim = {.kind = CLAIM_FAILED,
                          .target = m->peer[about].id,
                          .incarnation = claimed,
                          .observer_count = observers,
                          .observers = {m->peer[2].id, m->peer[3].id}};
    claim.record = mini_record(m, about, record, RECORD_ALIVE);
    buf_init(&b, 1000);
    swim_update_write_claim(&b, &claim);
    mini_tell(m, SPEAKER, buf_span(&b));
    buf_fini(&b);
    return mini_view(m, about, &view) ? (int) view.status : -1;
}

static void strangers_may_be_met_as_failed(void **state)
{
    (void) state;
    struct mini *m = holding(STATUS_ALIVE);
    assert_int_equal(tell_of_stranger(m, 10, 5, 5, 2), STATUS_FAILED);
    assert_int_equal(tell_of_stranger(m, 11, 5, 9, 2), STATUS_FAILED);
    assert_int_equal(tell_of_stranger(m, 12, 5, 4, 2), -1); /* does not fit its own record */
    assert_int_equal(tell_of_stranger(m, 13, 5, UINT64_MAX - 1, 2), -1); /* could never be refuted */
    mini_tell_record(m, SPEAKER, 11, 9, RECORD_ALIVE);
    assert_int_equal(mini_status(m, 11), STATUS_FAILED);
    mini_tell_record(m, SPEAKER, 11, 10, RECORD_ALIVE);
    assert_int_equal(mini_status(m, 11), STATUS_ALIVE);
    /* A claim about a stranger without a record says nothing. */
    mini_tell_claim(m, SPEAKER, CLAIM_FAILED, 14, 5, 2);
    struct member_view view;
    assert_false(mini_view(m, 14, &view));
    mini_free(&m);
}

/* The word of one alone fails nobody, also of those that we never met. */
static void one_word_about_a_stranger_makes_us_look(void **state)
{
    (void) state;
    for (int answers = 0; answers < 2; answers++) {
        struct mini *m = holding(STATUS_ALIVE);
        size_t from = m->log_count;
        m->peer[10].answers = answers == 1;
        assert_int_equal(tell_of_stranger(m, 10, 5, 5, 1), STATUS_SUSPECT);
        mini_react(m, from);
        mini_run(m, 12 * MINI_SECOND);
        assert_int_equal(mini_status(m, 10), answers ? STATUS_SUSPECT : STATUS_FAILED);
        if (answers) { /* it hears of the suspicion, and answers with a newer record */
            mini_tell_record(m, 10, 10, 6, RECORD_ALIVE);
            assert_int_equal(mini_status(m, 10), STATUS_ALIVE);
        }
        mini_free(&m);
    }
    struct mini *m = holding(STATUS_ALIVE);
    assert_int_equal(tell_of_stranger(m, 11, 5, 9, 1), STATUS_FAILED); /* its record is older */
    mini_free(&m);
}

static uint64_t own_incarnation(const struct mini *m)
{
    struct core_status status;
    core_status(m->core, &status);
    return status.incarnation;
}

static void claims_about_self_are_refuted(void **state)
{
    (void) state;
    static const enum claim_kind kinds[] = {CLAIM_SUSPECT, CLAIM_FAILED, CLAIM_REFUSED};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct mini *m = holding(STATUS_ALIVE);
        uint64_t before = own_incarnation(m);
        m->log_count = 0;
        mini_tell_claim(m, SPEAKER, kinds[i], 0, before + 7, 2);
        assert_true(own_incarnation(m) == before + 8);
        assert_int_equal(mini_status(m, 0), STATUS_ALIVE);
        assert_true(m->metrics.value[M_REFUTATIONS] == 1);
        /* Everyone who is up hears the new record at once, and it is stored. */
        for (size_t peer = 1; peer <= 4; peer++) {
            assert_true(mini_count(m, FX_DATAGRAM, SWIM_GOSSIP, peer) >= 1);
        }
        assert_int_equal(mini_count(m, FX_PERSIST, SWIM_GOSSIP, MINI_PEERS), 1);
        /* An old claim is answered to whoever made it, and raises nothing. */
        m->log_count = 0;
        mini_tell_claim(m, SPEAKER, kinds[i], 0, before, 2);
        assert_true(own_incarnation(m) == before + 8);
        assert_int_equal(mini_count(m, FX_DATAGRAM, SWIM_GOSSIP, SPEAKER), 1);
        mini_free(&m);
    }
}

static void nobody_uses_up_our_incarnations(void **state)
{
    (void) state;
    struct mini *m = holding(STATUS_ALIVE);
    uint64_t before = own_incarnation(m);
    mini_tell_claim(m, SPEAKER, CLAIM_FAILED, 0, UINT64_MAX - 1, 2);
    mini_tell_claim(m, SPEAKER, CLAIM_SUSPECT, 0, before + HM_INCARNATION_LEAP_MAX + 1, 1);
    assert_true(own_incarnation(m) == before);
    mini_free(&m);
}

static void a_record_of_an_earlier_life_is_outbid(void **state)
{
    (void) state;
    struct mini *m = holding(STATUS_ALIVE);
    uint64_t before = own_incarnation(m);
    mini_tell_record(m, SPEAKER, 0, before + 40, RECORD_LEFT);
    assert_true(own_incarnation(m) == before + 41);
    assert_int_equal(mini_status(m, 0), STATUS_ALIVE);
    mini_free(&m);
}

static void tell_bytes(struct mini *m, struct span record)
{
    struct buf b;
    buf_init(&b, 2000);
    swim_update_write_record(&b, record);
    mini_tell(m, SPEAKER, buf_span(&b));
    buf_fini(&b);
}

static void forged_records_are_dropped(void **state)
{
    (void) state;
    struct mini *m = holding(STATUS_ALIVE);
    uint8_t bytes[HM_RECORD_BYTES_MAX];
    struct span record = mini_record(m, TARGET, HELD + 1, RECORD_LEFT);
    size_t size = record.size;
    memcpy(bytes, record.data, size);
    /* Each byte changed, signature included: the target stays as it was. */
    for (size_t at = 0; at < size; at++) {
        bytes[at] ^= 1;
        tell_bytes(m, span_of(bytes, size));
        assert_int_equal(mini_status(m, TARGET), STATUS_ALIVE);
        bytes[at] ^= 1;
    }
    assert_true(m->metrics.value[M_DROP_FORGED_RECORD] > 0);
    assert_true(m->metrics.value[M_DROP_MALFORMED] > 0);
    assert_true(m->metrics.value[M_DROP_FOREIGN_MESH] > 0);
    assert_int_equal(core_member_count(m->core), 5); /* nobody new came of it */
    tell_bytes(m, span_of(bytes, size));
    assert_int_equal(mini_status(m, TARGET), STATUS_LEFT);
    mini_free(&m);
}

static void trailing_rubbish_spoils_only_itself(void **state)
{
    (void) state;
    struct mini *m = holding(STATUS_ALIVE);
    struct buf b;
    struct span parts[2];
    buf_init(&b, 2000);
    swim_update_write_record(&b, mini_record(m, TARGET, HELD + 1, RECORD_LEFT));
    parts[0] = buf_span(&b);
    parts[1] = span_of("\x92\x01\xc0", 3); /* a record that is no record */
    struct swim_msg msg = {.type = SWIM_GOSSIP, .updates = parts, .update_count = 2};
    mini_hear(m, SPEAKER, DATAGRAM_PAIR, &msg);
    assert_int_equal(mini_status(m, TARGET), STATUS_LEFT);
    assert_true(m->metrics.value[M_DROP_MALFORMED] == 1);
    buf_fini(&b);
    mini_free(&m);
}

/* R2.11: who speaks a version of ours is taken, whatever else it speaks; who does not is refused, and told. */
static void versions_must_overlap(void **state)
{
    static const struct {
        uint8_t min, max;
        bool is_taken;
    } cases[] = {{1, 1, true}, {1, 2, true}, {1, 255, true}, {2, 2, false}, {2, 255, false}};
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct mini *m = mini_new(NULL);
        size_t noted = 0;
        mini_meet(m, SPEAKER, 5);
        m->peer[TARGET].version_min = cases[i].min;
        m->peer[TARGET].version_max = cases[i].max;
        mini_tell_record(m, SPEAKER, TARGET, 5, RECORD_ALIVE);
        mini_tell_record(m, SPEAKER, TARGET, 6, RECORD_ALIVE);
        assert_int_equal(core_member_count(m->core), cases[i].is_taken ? 3 : 2);
        for (size_t k = 0; k < m->log_count; k++) {
            noted += m->log[k].type == FX_NOTE && m->log[k].note == NOTE_VERSION;
        }
        assert_int_equal(noted, cases[i].is_taken ? 0 : 1);
        assert_int_equal(m->metrics.value[M_DROP_VERSION], cases[i].is_taken ? 0 : 2);
        mini_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair),
        cmocka_unit_test(a_verdict_on_a_newer_life_holds_until_a_newer_one_still),
        cmocka_unit_test(the_target_is_no_observer_of_itself),
        cmocka_unit_test(a_leap_is_nonsense),
        cmocka_unit_test(strangers_may_be_met_as_failed),
        cmocka_unit_test(one_word_about_a_stranger_makes_us_look),
        cmocka_unit_test(claims_about_self_are_refuted),
        cmocka_unit_test(nobody_uses_up_our_incarnations),
        cmocka_unit_test(a_record_of_an_earlier_life_is_outbid),
        cmocka_unit_test(forged_records_are_dropped),
        cmocka_unit_test(trailing_rubbish_spoils_only_itself),
        cmocka_unit_test(versions_must_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
