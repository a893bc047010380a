/* SPDX-License-Identifier: MPL-2.0 */
/* What survives a restart, and what a damaged store can do (cost its own entries). */
#include "../unit.h"

#include "mini.h"

static struct mini *restart_with(const struct mini *m, const struct core_params *params)
{
    struct store_entry entries[MINI_PEERS + 1];
    size_t count = mini_entries(m, entries);
    return mini_new_loaded(params, 0, entries, count);
}

static struct mini *restart(const struct mini *m)
{
    return restart_with(m, NULL);
}

static void the_roster_is_remembered(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    struct member_view before, after;
    struct core_status was, is;
    mini_meet_all(m, 5);
    mini_tell_claim(m, 2, CLAIM_FAILED, 1, 7, 2);
    mini_tell_record(m, 2, 3, 6, RECORD_LEFT);
    mini_tell_claim(m, 2, CLAIM_SUSPECT, 4, 5, 1);
    core_status(m->core, &was);
    struct mini *n = restart(m);
    core_status(n->core, &is);
    assert_int_equal(core_member_count(n->core), 6);
    assert_true(is.incarnation > was.incarnation);
    assert_true(is.boot_epoch > was.boot_epoch);
    assert_true(core_event_last_seq(n->core) >= core_event_last_seq(m->core));
    /* Those who were up are in doubt until they are heard; verdicts and leaves stand. */
    assert_int_equal(mini_status(n, 1), STATUS_FAILED);
    assert_int_equal(mini_status(n, 2), STATUS_SUSPECT);
    assert_int_equal(mini_status(n, 3), STATUS_LEFT);
    assert_int_equal(mini_status(n, 4), STATUS_SUSPECT);
    for (size_t i = 1; i <= 5; i++) {
        assert_true(mini_view(m, i, &before) && mini_view(n, i, &after));
        assert_true(before.incarnation == after.incarnation);
        assert_string_equal(before.name, after.name);
        assert_true(addr_eq(&before.addr, &after.addr));
        assert_true(before.since_wall_ms == after.since_wall_ms);
        assert_int_equal(after.reason, REASON_REMEMBERED);
    }
    /* The verdict's incarnation, too: nothing at or below it revives. */
    mini_meet(n, 2, 5);
    mini_tell_record(n, 2, 1, 7, RECORD_ALIVE);
    assert_int_equal(mini_status(n, 1), STATUS_FAILED);
    mini_tell_record(n, 2, 1, 8, RECORD_ALIVE);
    assert_int_equal(mini_status(n, 1), STATUS_ALIVE);
    assert_int_equal(mini_status(n, 2), STATUS_ALIVE);
    mini_free(&m);
    mini_free(&n);
}

static void the_remembered_are_asked_at_once_and_judged_if_silent(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    struct mini *n = restart(m);
    for (size_t i = 1; i <= 3; i++) {
        assert_true(mini_count(n, FX_DATAGRAM, SWIM_PING, i) >= 1);
    }
    mini_run(n, 60 * MINI_SECOND);
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(mini_status(n, i), STATUS_FAILED);
    }
    mini_free(&m);
    mini_free(&n);
}

/* In a mesh of 600 the challenges of all, at once, were more than were answered, and half of the members
 * were suspected of being silent. */
static void many_remembered_are_asked_in_turn(void **state)
{
    (void) state;
    struct core_params params;
    core_params_default(&params);
    params.remembered_at_once = 16;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 20);
    struct mini *n = restart_with(m, &params);
    const size_t expected[] = {16, 20};
    for (size_t batch = 0; batch < ARRAY_COUNT(expected); batch++) {
        size_t asked = 0;
        for (size_t i = 1; i <= 20; i++) {
            asked += mini_count(n, FX_DATAGRAM, SWIM_PING, i) > 0 ? 1 : 0;
        }
        assert_int_equal(asked, expected[batch]);
        mini_run(n, params.remembered_next_ns + 5 * MINI_MS);
    }
    mini_free(&m);
    mini_free(&n);
}

static void incarnations_rise_with_every_life(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    uint64_t incarnation = 0, epoch = 0, seq = 0;
    for (int life = 0; life < 30; life++) {
        struct core_status status;
        core_status(m->core, &status);
        assert_true(status.incarnation > incarnation && status.boot_epoch > epoch);
        incarnation = status.incarnation;
        epoch = status.boot_epoch;
        mini_meet(m, 1 + (size_t) life, 5);
        assert_true(core_event_last_seq(m->core) > seq);
        seq = core_event_last_seq(m->core);
        struct mini *next = restart(m);
        for (size_t i = 0; i < m->stored_count; i++) {
            struct store_entry entry = {m->stored[i].table,
                                        span_of(m->stored[i].key, m->stored[i].key_size),
                                        span_of(m->stored[i].value, m->stored[i].value_size)};
            if (entry.table == STORE_ROSTER) {
                mini_store(next, &entry); /* what it did not write anew is still on disk */
            }
        }
        mini_free(&m);
        m = next;
        assert_int_equal(core_member_count(m->core), 2 + (size_t) life);
    }
    mini_free(&m);
}

/* Each byte of each stored value changed, and each value cut: the rest is taken, the loss is
 * told. */
static void damage_costs_only_what_is_damaged(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 2);
    struct store_entry entries[MINI_PEERS + 1];
    size_t count = mini_entries(m, entries);
    assert_int_equal(count, 3);
    for (size_t damaged = 0; damaged < count; damaged++) {
        struct span good = entries[damaged].value;
        for (size_t at = 0; at < 2 * good.size; at++) {
            struct span copy = exact_copy(good.data, at < good.size ? good.size : at - good.size);
            if (at < good.size) {
                ((uint8_t *) copy.data)[at] ^= 0x15;
            }
            entries[damaged].value = copy;
            struct mini *n = mini_new_loaded(NULL, 0, entries, count);
            size_t members = core_member_count(n->core);
            assert_in_range(members, entries[damaged].table == STORE_SELF ? 3 : 2, 3);
            bool told = false;
            for (size_t i = 0; i < n->log_count; i++) {
                told |= n->log[i].type == FX_NOTE && n->log[i].note == NOTE_STORE_DAMAGED;
            }
            assert_true(members == 3 || told);
            mini_free(&n);
            exact_free(copy);
        }
        entries[damaged].value = good;
    }
    mini_free(&m);
}

static void strange_entries_are_dropped(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 2);
    struct store_entry entries[MINI_PEERS + 1];
    size_t count = mini_entries(m, entries);
    /* Somebody's value under another's key; an empty value; no value; a foreign table; twice the
     * same. */
    for (size_t i = 0; i < count; i++) {
        if (entries[i].table == STORE_ROSTER) {
            entries[count] = entries[i];
            entries[count].key = span_of(m->peer[9].id.b, NODE_ID_BYTES);
            entries[count + 1] = entries[i];
        }
    }
    entries[count + 2] = (struct store_entry){STORE_ROSTER, span_of("k", 1), span_of("", 0)};
    entries[count + 3] = (struct store_entry){STORE_ROSTER, span_of("k", 1), span_of(NULL, 0)};
    entries[count + 4] = (struct store_entry){STORE_SELF, span_of("x", 1), span_of(NULL, 0)};
    entries[count + 5] =
        (struct store_entry){(enum store_table) 99, span_of("k", 1), span_of("v", 1)};
    struct mini *n = mini_new_loaded(NULL, 0, entries, count + 6);
    assert_int_equal(core_member_count(n->core), 3);
    mini_free(&n);
    mini_free(&m);
}

static void our_own_store_under_another_identity(void **state)
{
    (void) state;
    struct mini *m = mini_new(NULL);
    mini_meet_all(m, 3);
    struct store_entry entries[MINI_PEERS + 1];
    size_t count = mini_entries(m, entries);
    /* The store of 0 read by 2: it is on that roster itself. */
    struct mini *n = mini_new_loaded(NULL, 2, entries, count);
    assert_int_equal(mini_status(n, 2), STATUS_ALIVE);
    assert_int_equal(core_member_count(n->core), 3);
    mini_free(&n);
    mini_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_roster_is_remembered),
        cmocka_unit_test(the_remembered_are_asked_at_once_and_judged_if_silent),
        cmocka_unit_test(many_remembered_are_asked_in_turn),
        cmocka_unit_test(incarnations_rise_with_every_life),
        cmocka_unit_test(damage_costs_only_what_is_damaged),
        cmocka_unit_test(strange_entries_are_dropped),
        cmocka_unit_test(our_own_store_under_another_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
