/* SPDX-License-Identifier: MPL-2.0 */
/* Labels that change while a node runs: all others have the new ones soon, also those that were away,
 * and what changes nothing tells nobody. And labels are believed only as their node signed them last. */
#include "../unit.h"

#include "base/limits.h"
#include "minimesh.h"
#include "wire/mpack.h"

static void change(struct mesh *m, size_t i, const char *role)
{
    struct label labels[] = {{"role", role}, {"rack", "cellar"}};
    struct event ev = {.type = EV_LABELS, .as.labels = {labels, 2}};
    mesh_step(m, i, &ev);
}

static bool has_role(const struct mesh *m, size_t viewer, size_t i, const char *role)
{
    struct mp_reader r;
    struct member_view view = mesh_view(m, viewer, i);
    mp_open(&r, view.labels);
    size_t count = view.labels.data == NULL ? 0 : mp_read_map(&r);
    for (size_t k = 0; k < count; k++) {
        struct span key = mp_read_str(&r, HM_LABEL_KEY_BYTES_MAX);
        struct span value = mp_read_str(&r, HM_LABEL_VALUE_BYTES_MAX);
        if (!mp_failed(&r) && key.size == 4 && memcmp(key.data, "role", 4) == 0) {
            return value.size == strlen(role) && memcmp(value.data, role, value.size) == 0;
        }
    }
    return false;
}

static void new_labels_reach_all(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(5);
    mesh_run(m, 5 * MINI_SECOND);
    change(m, 0, "attic");
    assert_true(has_role(m, 0, 0, "attic"));
    mesh_run(m, 2 * MINI_SECOND);
    for (size_t i = 1; i < m->count; i++) {
        assert_true(has_role(m, i, 0, "attic"));
        assert_int_equal(mesh_status(m, i, 0), STATUS_ALIVE);
    }
    mesh_free(&m);
}

static void who_was_away_learns_them_on_return(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 5 * MINI_SECOND);
    mesh_kill(m, 2);
    mesh_run(m, 20 * MINI_SECOND);
    change(m, 0, "attic");
    mesh_run(m, 5 * MINI_SECOND);
    mesh_start(m, 2);
    mesh_run(m, 10 * MINI_SECOND);
    assert_true(has_role(m, 2, 0, "attic"));
    mesh_free(&m);
}

/* Before another life: the labels of the last one do not come back. */
static void the_newest_of_many_changes_wins(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 5 * MINI_SECOND);
    for (unsigned i = 0; i < 50; i++) {
        char role[8] = {'r', (char) ('a' + i % 26), (char) ('a' + i / 26)};
        change(m, i % 3, role);
        mesh_run(m, MINI_SECOND / 50);
    }
    for (size_t i = 0; i < 3; i++) {
        change(m, i, "last");
    }
    mesh_run(m, 3 * MINI_SECOND);
    for (size_t viewer = 0; viewer < 3; viewer++) {
        for (size_t i = 0; i < 3; i++) {
            assert_true(has_role(m, viewer, i, "last"));
        }
    }
    mesh_free(&m);
}

static void no_change_tells_nobody(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    mesh_run(m, 5 * MINI_SECOND);
    change(m, 0, "attic");
    mesh_run(m, 2 * MINI_SECOND);
    uint64_t before = mesh_view(m, 1, 0).incarnation;
    uint64_t seq = core_event_last_seq(m->node[0].core);
    change(m, 0, "attic");
    mesh_run(m, 2 * MINI_SECOND);
    assert_int_equal(mesh_view(m, 1, 0).incarnation, before);
    assert_int_equal(core_event_last_seq(m->node[0].core), seq);
    mesh_free(&m);
}

/* More than a record carries: the old ones stay. */
static void too_many_are_refused(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    static char value[HM_LABEL_VALUE_BYTES_MAX + 1];
    static char keys[HM_LABELS_MAX][8];
    struct label labels[HM_LABELS_MAX];
    memset(value, 'v', sizeof value - 1);
    for (size_t i = 0; i < HM_LABELS_MAX; i++) {
        keys[i][0] = (char) ('A' + i);
        labels[i] = (struct label){keys[i], value};
    }
    change(m, 0, "attic");
    struct event ev = {.type = EV_LABELS, .as.labels = {labels, HM_LABELS_MAX}};
    mesh_step(m, 0, &ev);
    ev.as.labels.count = HM_LABELS_MAX + 1;
    mesh_step(m, 0, &ev);
    assert_true(has_role(m, 0, 0, "attic"));
    /* Up to the last that fits: each is taken whole or not at all. */
    for (size_t count = 10; count < 20; count++) {
        ev.as.labels.count = count;
        mesh_step(m, 0, &ev);
        struct mp_reader r;
        mp_open(&r, mesh_view(m, 0, 0).labels);
        assert_true(mp_read_map(&r) <= count);
    }
    ev.as.labels.count = 0;
    mesh_step(m, 0, &ev);
    mesh_run(m, 2 * MINI_SECOND);
    assert_false(has_role(m, 1, 0, "attic"));
    assert_int_equal(mesh_status(m, 1, 0), STATUS_ALIVE);
    mesh_free(&m);
}

/* The one that is away cannot be asked itself; others have what it signed. */
static void a_new_node_learns_those_of_members_that_are_away(void **state)
{
    (void) state;
    for (int leaves = 0; leaves < 2; leaves++) {
        struct mesh *m = mesh_new(4);
        struct event shutdown = {.type = EV_SHUTDOWN};
        for (size_t i = 0; i < 3; i++) {
            mesh_start(m, i);
        }
        mesh_run(m, 10 * MINI_SECOND);
        if (leaves) {
            mesh_step(m, 2, &shutdown);
        } else {
            mesh_kill(m, 2);
        }
        mesh_run(m, 20 * MINI_SECOND);
        mesh_start(m, 3);
        mesh_run(m, 5 * MINI_SECOND);
        assert_int_equal(mesh_status(m, 3, 2), leaves ? STATUS_LEFT : STATUS_FAILED);
        assert_true(has_role(m, 3, 2, "nas"));
        mesh_free(&m);
    }
}

/* A frame with labels of n00 whose role is `watched` arrives as `swapped` instead. */
struct swap {
    const char *watched;
    uint8_t swapped[HM_CHUNK_BYTES_MAX];
    size_t size;
    bool keeps; /* the first one seen is what later ones become; else one letter of the role changes */
    size_t count;
};

static uint8_t *find_text(const uint8_t *bytes, size_t size, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= size; i++) {
        if (memcmp(bytes + i, text, length) == 0) {
            return (uint8_t *) bytes + i;
        }
    }
    return NULL;
}

static bool swap_labels(struct mesh *m, size_t from, const struct effect *fx)
{
    struct swap *s = m->arg;
    if (fx->type != FX_FRAME || fx->as.frame.type != FRAME_LABELS ||
        find_text(fx->as.frame.body.data, fx->as.frame.body.size, s->watched) == NULL) {
        return true;
    }
    if (s->keeps) {
        s->size = fx->as.frame.body.size;
        memcpy(s->swapped, fx->as.frame.body.data, s->size);
        return true;
    }
    if (s->size == 0) {
        memcpy(s->swapped, fx->as.frame.body.data, fx->as.frame.body.size);
        find_text(s->swapped, fx->as.frame.body.size, s->watched)[0] = 'A';
    }
    struct event ev = {.type = EV_FRAME, .as.frame.type = FRAME_LABELS};
    ev.as.frame.peer = m->node[from].identity.id;
    ev.as.frame.body.size = s->size > 0 ? s->size : fx->as.frame.body.size;
    mesh_push(m, mesh_by_id(m, &fx->as.frame.peer), MINI_MS, &ev,
              span_of(s->swapped, ev.as.frame.body.size));
    s->count++;
    return false;
}

/* The swapped labels have a hash that is not announced either: that they are counted as forged shows
 * that the signature was looked at. */
static void labels_that_their_node_did_not_sign_are_dropped(void **state)
{
    (void) state;
    static struct swap s = {.watched = "attic"};
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 5 * MINI_SECOND);
    m->passes = swap_labels;
    m->arg = &s;
    change(m, 0, "attic");
    mesh_run(m, 5 * MINI_SECOND);
    assert_true(s.count > 0);
    for (size_t i = 1; i < m->count; i++) {
        assert_true(has_role(m, i, 0, "nas")); /* what it had */
        assert_true(mesh_metric(m, i, M_DROP_FORGED_RECORD) > 0);
    }
    m->passes = NULL;
    mesh_run(m, 60 * MINI_SECOND);
    assert_true(has_role(m, 1, 0, "attic"));
    mesh_free(&m);
}

/* They are signed, but the alive record has the hash of others. */
static void labels_of_the_past_are_not_taken(void **state)
{
    (void) state;
    static struct swap s = {.watched = "attic", .keeps = true};
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 5 * MINI_SECOND);
    m->passes = swap_labels;
    m->arg = &s;
    change(m, 0, "attic");
    mesh_run(m, 5 * MINI_SECOND);
    change(m, 0, "shed");
    mesh_run(m, 5 * MINI_SECOND);
    assert_true(has_role(m, 1, 0, "shed"));
    s.watched = "roof";
    s.keeps = false;
    change(m, 0, "roof");
    mesh_run(m, 5 * MINI_SECOND);
    assert_true(s.count > 0 && s.size > 0);
    assert_true(has_role(m, 1, 0, "shed"));
    assert_true(has_role(m, 2, 0, "shed"));
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_labels_reach_all),
        cmocka_unit_test(who_was_away_learns_them_on_return),
        cmocka_unit_test(the_newest_of_many_changes_wins),
        cmocka_unit_test(no_change_tells_nobody),
        cmocka_unit_test(too_many_are_refused),
        cmocka_unit_test(a_new_node_learns_those_of_members_that_are_away),
        cmocka_unit_test(labels_that_their_node_did_not_sign_are_dropped),
        cmocka_unit_test(labels_of_the_past_are_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
