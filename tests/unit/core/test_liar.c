/* SPDX-License-Identifier: MPL-2.0 */
/* What one member that has turned can make others do: it holds the mesh key and lies as fast as it can.
 * What each lie costs is bounded, and those who do not lie are served meanwhile. */
#include "../unit.h"

#include "mini.h"

#define LIAR 1
#define LIES 300

static uint64_t own_incarnation(const struct mini *m)
{
    struct core_status s;
    core_status(m->core, &s);
    return s.incarnation;
}

/* Each refutation is signed, stored and told to all: not as often as somebody accuses. */
static void endless_accusations(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 5);
    uint64_t before = m->metrics.value[M_REFUTATIONS];
    uint64_t claimed = 0;
    for (int i = 0; i < LIES; i++) {
        claimed = own_incarnation(m) + 1000;
        mini_tell_claim(m, LIAR, CLAIM_FAILED, 0, claimed, 2);
        mini_run(m, 2 * MINI_MS);
    }
    uint64_t refuted = m->metrics.value[M_REFUTATIONS] - before;
    assert_in_range(refuted, 5, 30);
    /* The last word is ours all the same. */
    mini_run(m, MINI_SECOND);
    assert_true(own_incarnation(m) > claimed);
    mini_free(&m);
}

/* An honest accusation is refuted in the same step. */
static void one_accusation(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct swim_msg told;
    mini_meet_all(m, 5);
    for (int i = 0; i < 10; i++) {
        uint64_t held = own_incarnation(m);
        mini_tell_claim(m, 2, CLAIM_SUSPECT, 0, held, 1);
        assert_int_equal(own_incarnation(m), held + 1);
        assert_true(mini_sent(m, SWIM_GOSSIP, &told));
        mini_run(m, MINI_SECOND);
    }
    mini_free(&m);
}

static void ask_for_probe(struct mini *m, size_t from, size_t about, uint64_t nonce)
{
    struct swim_msg ask = {.type = SWIM_PING_REQ, .nonce = nonce, .target = m->peer[about].id};
    mini_hear(m, from, DATAGRAM_PAIR, &ask);
}

/* One that asks for probes without end leaves room for those that others need. */
static void probes_for_all(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct swim_msg ping;
    mini_meet_all(m, 4);
    m->peer[3].answers = false;
    for (uint64_t i = 0; i < HM_RELAYS_MAX + 10; i++) {
        ask_for_probe(m, LIAR, 3, i + 1);
    }
    ask_for_probe(m, 2, 3, 1);
    assert_true(mini_sent(m, SWIM_PING, &ping));
    /* Its share comes back when they are over. */
    mini_run(m, 5 * MINI_SECOND);
    ask_for_probe(m, LIAR, 3, 1);
    assert_true(mini_sent(m, SWIM_PING, &ping));
    mini_free(&m);
}

static uint64_t batches_of_changes(struct mini *m, uint64_t from, uint64_t count)
{
    uint64_t before = m->batch;
    for (uint64_t i = 0; i < count; i++) {
        mini_tell_record(m, LIAR, LIAR, from + i, RECORD_ALIVE);
        m->now_ns += MINI_MS;
    }
    return m->batch - before;
}

/* Changes that come faster than the disk takes them go together: it is never said to be too slow. */
static void slow_disk(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct event durable = {.type = EV_DURABLE};
    struct event failed = {.type = EV_BATCH_FAILED, .as.store = {.reason = HM_EIO}};
    mini_meet_all(m, 3);
    assert_in_range(batches_of_changes(m, 100, LIES), 1, 70);
    uint64_t waiting = m->batch;
    durable.as.store.batch = m->batch;
    mini_step(m, &durable); /* all of the rest */
    assert_int_equal(m->batch, waiting + 1);
    assert_in_range(batches_of_changes(m, 1000, LIES), 1, 70);
    failed.as.store.batch = m->batch; /* and those after it */
    mini_step(m, &failed);
    assert_true(batches_of_changes(m, 2000, 3) > 0);
    mini_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endless_accusations),
        cmocka_unit_test(one_accusation),
        cmocka_unit_test(probes_for_all),
        cmocka_unit_test(slow_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
