/* SPDX-License-Identifier: MPL-2.0 */
/* What one node writes, all have: pushed, repaired, and let go when it was deleted. */
#include "../unit.h"

#include "core/core.h"
#include "wire/registry_msg.h"

#include <inttypes.h>
#include <stdio.h>

static size_t handled; /* runs of handlers, on all nodes */

static bool count_op(core_t *core, const char *op, struct buf *reply, struct call_result *ret_result)
{
    (void) core, (void) op, (void) reply, (void) ret_result;
    handled++;
    return false;
}

#define MESH_OWN_OP count_op
#include "minimesh.h"

/* Asks node i for a write and gives it the time that its disk needs. */
static void put(struct mesh *m, size_t i, const char *op)
{
    size_t before = m->node[i].replies;
    mesh_ask(m, i, op);
    assert_int_equal(m->node[i].replies, before); /* not before it is on disk */
    mesh_run(m, 2 * MINI_MS);
    assert_int_equal(m->node[i].replies, before + 1);
    assert_int_equal(m->node[i].reply_code, HM_OK);
}

static const char *shown(struct mesh *m, size_t i, const char *key)
{
    return mesh_shown(m, i, key, NULL);
}

static uint64_t state_of(struct mesh *m, size_t i)
{
    return registry_state(core_registry(m->node[i].core));
}

static void all_agree(struct mesh *m)
{
    for (size_t i = 1; i < m->count; i++) {
        assert_int_equal(state_of(m, i), state_of(m, 0));
    }
}

static void what_one_writes_all_have_at_once(void **state)
{
    (void) state;
    for (size_t count = 2; count <= 24; count += 11) { /* all linked, and not */
        struct mesh *m = mesh_new_started(count);
        mesh_run(m, 10 * MINI_SECOND);
        uint64_t passes = 0;
        for (size_t i = 0; i < count; i++) {
            passes -= mesh_metric(m, i, M_PASSES_DONE);
        }
        put(m, 1, "put:kv/x=1");
        mesh_run(m, 20 * MINI_MS);
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(shown(m, i, "kv/x"), "1");
            passes += mesh_metric(m, i, M_PASSES_DONE);
        }
        assert_int_equal(passes, 0); /* it was pushed */
        mesh_run(m, 20 * MINI_MS); /* and gathered with others for the disk */
        all_agree(m);
        mesh_free(&m);
    }
}

/* What one writes and waits for is a batch each; the other puts what comes within 20 ms into one. */
static void entries_of_others_gather(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    uint64_t batches[2];
    mesh_run(m, 20 * MINI_SECOND);
    for (size_t i = 0; i < 2; i++) {
        batches[i] = mesh_metric(m, i, M_STORE_BATCHES);
    }
    uint64_t began_ns = m->now_ns;
    for (unsigned i = 0; i < 10; i++) {
        put(m, 0, "put:kv/x=1");
    }
    uint64_t took_ns = m->now_ns - began_ns;
    mesh_run(m, 100 * MINI_MS);
    assert_string_equal(shown(m, 1, "kv/x"), "1");
    all_agree(m);
    assert_int_equal(mesh_metric(m, 0, M_STORE_BATCHES) - batches[0], 10);
    assert_true(mesh_metric(m, 1, M_STORE_BATCHES) - batches[1] <= took_ns / (20 * MINI_MS) + 1);
    /* An own write takes along what has gathered. */
    put(m, 0, "put:kv/x=2");
    mesh_run(m, 2 * MINI_MS);
    assert_string_equal(shown(m, 1, "kv/x"), "2");
    assert_int_not_equal(state_of(m, 0), state_of(m, 1));
    put(m, 1, "put:kv/y=1");
    mesh_run(m, 2 * MINI_MS);
    assert_true(registry_totals(core_registry(m->node[1].core))->entries == 2);
    assert_true(vector_covers(registry_durable_vector(core_registry(m->node[1].core)),
                              registry_durable_vector(core_registry(m->node[0].core))));
    mesh_free(&m);
}

static void cut_in_two(struct mesh *m, bool cut)
{
    for (size_t i = 0; i < m->count; i++) {
        for (size_t j = 0; j < m->count; j++) {
            if (i % 2 != j % 2) {
                mesh_cut(m, i, j, cut);
            }
        }
    }
}

static void halves_write_and_agree_when_they_meet(void **state)
{
    (void) state;
    for (size_t count = 2; count <= 16; count += 7) {
        char op[32];
        struct mesh *m = mesh_new_started(count);
        mesh_run(m, 10 * MINI_SECOND);
        cut_in_two(m, true);
        mesh_run(m, 20 * MINI_SECOND);
        for (int k = 0; k < 200; k++) {
            snprintf(op, sizeof op, "put:kv/%d=%d", k, k);
            put(m, (size_t) (k % 2), op);
        }
        put(m, 0, "put:kv/both=even");
        put(m, 1, "put:kv/both=odd");
        cut_in_two(m, false);
        mesh_run(m, 20 * MINI_SECOND);
        all_agree(m);
        for (size_t i = 0; i < count; i++) {
            struct registry_siblings s;
            assert_string_equal(shown(m, i, "kv/6"), "6");
            assert_string_equal(shown(m, i, "kv/7"), "7");
            assert_int_equal(registry_get(core_registry(m->node[i].core), LOOK_SHOWN,
                                          span_of("kv/both", 7), &s),
                             HM_OK);
            assert_int_equal(s.live, 2);
        }
        put(m, 0, "put:kv/both=one");
        mesh_run(m, 5 * MINI_SECOND);
        all_agree(m);
        assert_string_equal(shown(m, 1, "kv/both"), "one");
        mesh_free(&m);
    }
}

static void a_new_node_gets_all(void **state)
{
    (void) state;
    char op[64];
    struct mesh *m = mesh_new(2);
    mesh_start(m, 0);
    mesh_run(m, MINI_SECOND);
    for (int k = 0; k < 3000; k++) {
        snprintf(op, sizeof op, "put:kv/%d=some value that is a little longer", k);
        mesh_ask(m, 0, op);
        if (k % 50 == 0) {
            mesh_run(m, 2 * MINI_MS);
        }
    }
    mesh_start(m, 1);
    mesh_run(m, 5 * MINI_SECOND);
    all_agree(m);
    assert_int_equal(registry_totals(core_registry(m->node[1].core))->entries, 3000);
    /* A restart keeps it, and nothing is sent again. */
    uint64_t taken = mesh_metric(m, 1, M_ENTRIES_TAKEN);
    mesh_kill(m, 1);
    mesh_start(m, 1);
    assert_int_equal(state_of(m, 1), state_of(m, 0));
    mesh_run(m, 5 * MINI_SECOND);
    assert_int_equal(mesh_metric(m, 1, M_ENTRIES_TAKEN), taken);
    assert_string_equal(shown(m, 1, "kv/2999"), "some value that is a little longer");
    mesh_free(&m);
}

/* How often an entry was sent, and how often only its dot. */
struct sent {
    size_t pushes, announcements;
};

static bool count_sent(struct mesh *m, size_t from, const struct effect *fx)
{
    struct sent *sent = m->arg;
    (void) from;
    if (fx->type == FX_FRAME && fx->as.frame.type == FRAME_REG_PUSH) {
        sent->pushes++;
    } else if (fx->type == FX_FRAME && fx->as.frame.type == FRAME_REG_IHAVE) {
        sent->announcements++;
    }
    return true;
}

#define QUICK_MAX 1000

/* Asks node 0 for so many writes, and returns how many pushes that took until all are at node 1. */
static size_t pushes_of(struct mesh *m, unsigned count, uint64_t apart_ns)
{
    static uint64_t wrote[QUICK_MAX];
    char op[32], key[16], value[32];
    struct sent sent = {0};
    m->passes = count_sent;
    m->arg = &sent;
    for (unsigned i = 0; i < count; i++) {
        wrote[i] = m->now_ns;
        snprintf(op, sizeof op, "put:kv/%u=%" PRIu64, i, wrote[i]);
        mesh_ask(m, 0, op);
        mesh_run(m, apart_ns);
    }
    mesh_run(m, 6 * MINI_MS); /* a disk takes 1 ms, the longest window 4 and a quarter */
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof key, "kv/%u", i);
        snprintf(value, sizeof value, "%" PRIu64, wrote[i]);
        assert_string_equal(shown(m, 1, key), value);
    }
    m->passes = NULL;
    return sent.pushes;
}

/* A lone write is pushed at once. Those that follow closely go together: half a millisecond's, then, while it goes on
 * like that, up to four. */
static void quick_writes_share_a_push(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    mesh_run(m, 20 * MINI_SECOND);
    for (unsigned round = 0; round < 2; round++) { /* what was quick once is not quick for ever */
        struct sent sent = {0};
        m->passes = count_sent;
        m->arg = &sent;
        put(m, 0, "put:kv/lone=1"); /* returns when it is answered */
        assert_int_equal(sent.pushes, 1);
        mesh_run(m, MINI_SECOND);
        assert_in_range(pushes_of(m, 40, MINI_MS / 10), 3, 6); /* 4 ms of writing */
        mesh_run(m, MINI_SECOND);
        assert_in_range(pushes_of(m, QUICK_MAX, MINI_MS / 10), 25, 33); /* 100 ms */
        mesh_run(m, MINI_SECOND);
        assert_in_range(pushes_of(m, 200, 6 * MINI_MS / 10), 28, 40); /* 120 ms */
        mesh_run(m, MINI_SECOND);
        assert_in_range(pushes_of(m, 100, MINI_MS), 100, 100); /* far enough apart */
    }
    mesh_free(&m);
}

/* In a large mesh an entry travels along a tree: each node gets it once, or hardly more often. */
static void a_tree_forms_and_mends_itself(void **state)
{
    char op[32];
    struct sent sent = {0};
    (void) state;
    struct mesh *m = mesh_new_started(24);
    mesh_run(m, 20 * MINI_SECOND);
    m->passes = count_sent;
    m->arg = &sent;
    put(m, 5, "put:kv/first=1");
    mesh_run(m, MINI_SECOND);
    assert_in_range(sent.pushes, 3 * m->count, 9 * m->count); /* over every link, both ways perhaps */
    for (int k = 0; k < 10; k++) {
        snprintf(op, sizeof op, "put:kv/%d=%d", k, k);
        put(m, 5, op);
        mesh_run(m, MINI_SECOND);
    }
    sent = (struct sent){0};
    put(m, 5, "put:kv/tree=1");
    mesh_run(m, MINI_SECOND);
    assert_in_range(sent.pushes, m->count - 1, m->count + 3);
    /* Half of the others die at once: what is left still hears of all within a second. */
    for (size_t i = 0; i < m->count; i += 2) {
        mesh_kill(m, i);
    }
    put(m, 5, "put:kv/after=1");
    mesh_run(m, MINI_SECOND);
    for (size_t i = 1; i < m->count; i += 2) {
        assert_string_equal(shown(m, i, "kv/after"), "1");
    }
    mesh_free(&m);
}

static bool no_pushes(struct mesh *m, size_t from, const struct effect *fx)
{
    (void) m, (void) from;
    return fx->type != FX_FRAME || fx->as.frame.type != FRAME_REG_PUSH;
}

/* Nothing is pushed: repair alone brings it, in both directions, while writing goes on. */
static void repair_alone_is_enough(void **state)
{
    (void) state;
    char op[32];
    struct mesh *m = mesh_new_started(4);
    m->passes = no_pushes;
    mesh_run(m, 5 * MINI_SECOND);
    for (int k = 0; k < 400; k++) {
        snprintf(op, sizeof op, "put:kv/%d=%d", k % 37, k);
        mesh_ask(m, (size_t) (k % 4), op);
        mesh_run(m, 20 * MINI_MS);
    }
    mesh_run(m, 15 * MINI_SECOND);
    all_agree(m);
    assert_true(mesh_metric(m, 0, M_PASSES_DONE) > 0);
    mesh_free(&m);
}

/* Announcements wait a moment for each other, and who has told us of an entry is not told of it: one frame on
 * each link outside the tree, and on most links in one direction only, however much is written. */
static void announcements_are_gathered(void **state)
{
    char op[32];
    struct sent sent = {0};
    (void) state;
    struct mesh *m = mesh_new_started(24);
    mesh_run(m, 20 * MINI_SECOND);
    for (int k = 0; k < 10; k++) {
        snprintf(op, sizeof op, "put:kv/%d=%d", k, k);
        put(m, 5, op);
        mesh_run(m, MINI_SECOND);
    }
    m->passes = count_sent;
    m->arg = &sent;
    for (int k = 0; k < 10; k++) {
        snprintf(op, sizeof op, "put:kv/again%d=%d", k, k);
        put(m, 5, op);
    }
    mesh_run(m, 2 * MINI_SECOND);
    assert_in_range(sent.pushes, 10 * (m->count - 1), 10 * (m->count + 3));
    assert_in_range(sent.announcements, m->count, 6 * m->count); /* there are some 70 such links */
    all_agree(m);
    mesh_free(&m);
}

/* Of three neighbours two never get a question of node 0. */
static bool two_are_mute(struct mesh *m, size_t from, const struct effect *fx)
{
    return no_pushes(m, from, fx) &&
           (from != 0 || fx->type != FX_FRAME || fx->as.frame.type != FRAME_REG_ASK ||
            node_id_eq(&fx->as.frame.peer, &m->node[3].identity.id));
}

/* A pass that is held up holds up no other. */
static void a_slow_pass_is_not_waited_for(void **state)
{
    char op[32];
    (void) state;
    struct mesh *m = mesh_new_started(4);
    mesh_run(m, 15 * MINI_SECOND);
    m->passes = two_are_mute;
    for (int k = 0; k < 8; k++) {
        snprintf(op, sizeof op, "put:kv/%d=%d", k, k);
        put(m, 3, op);
        mesh_run(m, 4 * MINI_SECOND); /* told by a probe, asked in vain twice */
        snprintf(op, sizeof op, "kv/%d", k);
        assert_string_not_equal(shown(m, 0, op), "-");
    }
    mesh_free(&m);
}

static size_t marks_of(struct mesh *m, size_t i)
{
    return registry_totals(core_registry(m->node[i].core))->marks;
}

static void marks_go_when_all_have_them(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 15 * MINI_SECOND);
    put(m, 0, "put:kv/x=1");
    put(m, 0, "put:kv/y=1");
    mesh_run(m, MINI_SECOND);
    mesh_kill(m, 2);
    mesh_run(m, 10 * MINI_SECOND);
    put(m, 1, "delete:kv/x");
    mesh_run(m, 60 * MINI_SECOND);
    assert_int_equal(marks_of(m, 0), 1); /* one who may bring it back is away */
    assert_int_equal(marks_of(m, 1), 1);
    mesh_start(m, 2);
    mesh_run(m, 30 * MINI_SECOND);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(marks_of(m, i), 0);
        assert_string_equal(shown(m, i, "kv/x"), "-");
        assert_string_equal(shown(m, i, "kv/y"), "1");
    }
    all_agree(m);
    /* Nothing goes on: a mesh at rest writes nothing. */
    uint64_t batches = mesh_metric(m, 0, M_STORE_BATCHES);
    mesh_run(m, 120 * MINI_SECOND);
    assert_int_equal(mesh_metric(m, 0, M_STORE_BATCHES), batches);
    mesh_free(&m);
}

static bool has_acknowledged(struct mesh *m, size_t of, size_t at)
{
    struct registry_siblings s;
    char key[64] = "node/";
    text_hex(m->node[of].identity.id.b, NODE_ID_BYTES, key + 5);
    text_copy(key + 5 + 2 * NODE_ID_BYTES, 6, "/seen");
    return registry_get(core_registry(m->node[at].core), LOOK_ALL, span_of(key, strlen(key)), &s) ==
           HM_OK;
}

/* In a large mesh an acknowledgement is much to all: it waits until nobody writes any more. */
static void acknowledgements_wait_for_rest(void **state)
{
    char op[32];
    (void) state;
    struct mesh *m = mesh_new_started(20);
    mesh_run(m, 30 * MINI_SECOND);
    put(m, 3, "put:kv/x=1");
    mesh_run(m, MINI_SECOND);
    put(m, 4, "delete:kv/x");
    for (int k = 0; k < 14; k++) {
        snprintf(op, sizeof op, "put:kv/%d=%d", k, k);
        put(m, 5, op);
        mesh_run(m, MINI_SECOND / 2);
    }
    for (size_t i = 0; i < m->count; i++) {
        assert_false(has_acknowledged(m, i, i));
    }
    mesh_run(m, 30 * MINI_SECOND);
    for (size_t i = 0; i < m->count; i++) {
        assert_int_equal(marks_of(m, i), 0);
        assert_true(has_acknowledged(m, i, 0));
    }
    all_agree(m);
    /* Where writing never ends, it does not wait for ever. */
    put(m, 4, "delete:kv/3");
    for (int k = 0; k < 110; k++) {
        snprintf(op, sizeof op, "put:kv/on%d=%d", k, k);
        put(m, 5, op);
        mesh_run(m, MINI_SECOND / 2);
    }
    assert_int_equal(marks_of(m, 7), 0);
    mesh_free(&m);
}

static bool is_to_2(struct mesh *m, const struct effect *fx)
{
    return fx->type == FX_FRAME && node_id_eq(&fx->as.frame.peer, &m->node[2].identity.id);
}

static bool no_questions_of_2(struct mesh *m, size_t from, const struct effect *fx)
{
    (void) m;
    return from != 2 || fx->type != FX_FRAME || fx->as.frame.type != FRAME_REG_ASK;
}

static bool nothing_for_2(struct mesh *m, size_t from, const struct effect *fx)
{
    return no_questions_of_2(m, from, fx) &&
           !(is_to_2(m, fx) && fx->as.frame.type == FRAME_REG_PUSH);
}

/* Who lacks an entry that is older than a mark which all had seen lacks no mark: it needs no comparison. */
static void a_gap_before_a_released_mark_is_no_lack(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 15 * MINI_SECOND);
    put(m, 0, "put:kv/x=1");
    mesh_run(m, 5 * MINI_SECOND);
    m->passes = nothing_for_2;
    put(m, 0, "put:kv/gap=1");
    m->passes = no_questions_of_2;
    put(m, 0, "delete:kv/x");
    mesh_run(m, 30 * MINI_SECOND);
    assert_string_equal(shown(m, 2, "kv/x"), "-");
    assert_string_equal(shown(m, 2, "kv/gap"), "-");
    assert_int_equal(marks_of(m, 0), 0);
    m->passes = NULL;
    mesh_run(m, 15 * MINI_SECOND);
    assert_string_equal(shown(m, 2, "kv/gap"), "1");
    all_agree(m);
    assert_int_equal(mesh_metric(m, 2, M_COMPARISONS), 0);
    mesh_free(&m);
}

/* A backup put back: what was deleted since, and let go, does not come back; what was written alone
 * stays. */
static void a_restored_node_brings_nothing_back(void **state)
{
    (void) state;
    char op[32];
    struct mesh_node backup = {.disk = NULL};
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 15 * MINI_SECOND);
    for (int k = 0; k < 700; k++) {
        snprintf(op, sizeof op, "put:kv/%d=%d", k, k);
        mesh_ask(m, (size_t) (k % 3), op);
        mesh_run(m, 2 * MINI_MS);
    }
    mesh_run(m, 5 * MINI_SECOND);
    mesh_copy_disk(&backup, &m->node[2]);
    for (int k = 0; k < 700; k += 5) {
        snprintf(op, sizeof op, "delete:kv/%d", k);
        put(m, (size_t) (k % 2), op);
    }
    put(m, 0, "put:kv/7=changed");
    mesh_run(m, 60 * MINI_SECOND);
    assert_int_equal(marks_of(m, 0), 0);
    mesh_kill(m, 2);
    mesh_run(m, 5 * MINI_SECOND);
    mesh_copy_disk(&m->node[2], &backup);
    cut_in_two(m, true); /* 2 is with 0: */
    mesh_cut(m, 0, 2, true);
    mesh_start(m, 2);
    mesh_run(m, MINI_SECOND);
    put(m, 2, "put:kv/alone=kept");
    put(m, 2, "put:kv/5=anew"); /* deleted by the others meanwhile */
    mesh_kill(m, 2);
    mesh_start(m, 2);
    mesh_run(m, MINI_SECOND);
    cut_in_two(m, false);
    mesh_cut(m, 0, 2, false);
    mesh_run(m, 60 * MINI_SECOND);
    all_agree(m);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(shown(m, i, "kv/10"), "-");
        assert_string_equal(shown(m, i, "kv/695"), "-");
        assert_string_equal(shown(m, i, "kv/7"), "changed");
        assert_string_equal(shown(m, i, "kv/6"), "6");
        assert_string_equal(shown(m, i, "kv/alone"), "kept");
        assert_string_equal(shown(m, i, "kv/5"), "anew");
    }
    assert_true(mesh_metric(m, 2, M_COMPARISONS) > 0);
    omap_destroy(&backup.disk);
    mesh_free(&m);
}

/* ---- many lives ------------------------------------------------------------------------------ */

struct told {
    size_t asked;         /* passes, */
    size_t vector_bytes;  /* and the longest vector that an asker told */
    size_t refused_folds;
    bool no_pushes;
};

static bool watch_passes(struct mesh *m, size_t from, const struct effect *fx)
{
    struct told *told = m->arg;
    struct reg_ask ask_msg;
    struct reg_refused refused;
    (void) from;
    if (fx->type != FX_FRAME) {
        return true;
    }
    if (fx->as.frame.type == FRAME_REG_ASK && reg_ask_read(fx->as.frame.body, &ask_msg) == HM_OK) {
        told->asked++;
        if (ask_msg.vector.size > told->vector_bytes) {
            told->vector_bytes = ask_msg.vector.size;
        }
    } else if (fx->as.frame.type == FRAME_REG_REFUSED &&
               reg_refused_read(fx->as.frame.body, &refused) == HM_OK) {
        told->refused_folds += refused.code == REG_REFUSED_FOLDS;
    }
    return !told->no_pushes || fx->as.frame.type != FRAME_REG_PUSH;
}

static void live_often(struct mesh *m, size_t i, int lives)
{
    char op[32];
    for (int k = 0; k < lives; k++) {
        mesh_kill(m, i);
        mesh_start(m, i);
        mesh_run(m, 5 * MINI_MS);
        snprintf(op, sizeof op, "put:kv/%d=%d", k % 7, k);
        put(m, i, op);
        mesh_run(m, MINI_SECOND);
    }
}

/* However often a node was started anew, and whoever was away meanwhile. */
static void old_lives_travel_in_few_bytes(void **state)
{
    (void) state;
    struct told told = {0};
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 15 * MINI_SECOND);
    live_often(m, 0, 5);
    mesh_kill(m, 2);
    live_often(m, 0, 25);
    mesh_start(m, 2);
    mesh_run(m, 20 * MINI_SECOND);
    all_agree(m);
    assert_in_range(registry_vector(core_registry(m->node[1].core))->count, 30, 40);
    m->passes = watch_passes;
    m->arg = &told;
    told.no_pushes = true;
    put(m, 0, "put:kv/x=1");
    put(m, 1, "put:kv/y=1");
    mesh_run(m, 10 * MINI_SECOND);
    all_agree(m);
    assert_true(told.asked > 0);
    assert_int_equal(told.refused_folds, 0);
    assert_in_range(told.vector_bytes, 1, 3 * 64);
    mesh_free(&m);
}

/* It writes under a counter that all have seen, with one other alone, and burns. Who folds without that life
 * is told so, and gets it. */
static void a_life_below_a_fold_is_news(void **state)
{
    (void) state;
    struct told told = {0};
    struct mesh_node backup = {.disk = NULL};
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 15 * MINI_SECOND);
    live_often(m, 0, 5);
    mesh_copy_disk(&backup, &m->node[0]);
    live_often(m, 0, 10);
    mesh_run(m, 10 * MINI_SECOND);
    mesh_kill(m, 0);
    mesh_copy_disk(&m->node[0], &backup);
    mesh_cut(m, 1, 0, true);
    mesh_cut(m, 1, 2, true);
    m->passes = watch_passes;
    m->arg = &told;
    mesh_start(m, 0);
    mesh_run(m, 10 * MINI_SECOND);
    put(m, 0, "put:kv/alone=kept");
    mesh_run(m, 5 * MINI_SECOND);
    assert_string_equal(shown(m, 2, "kv/alone"), "kept");
    mesh_kill(m, 0);
    mesh_cut(m, 1, 2, false);
    told.refused_folds = 0;
    mesh_run(m, 30 * MINI_SECOND);
    assert_true(told.refused_folds > 0);
    assert_string_equal(shown(m, 1, "kv/alone"), "kept");
    assert_string_equal(shown(m, 1, "kv/2"), "9");
    assert_int_equal(state_of(m, 1), state_of(m, 2));
    omap_destroy(&backup.disk);
    mesh_free(&m);
}

/* A disk whose node has seen lives of another, and holds nothing of them any more. */
static void remember_lives(struct mesh_node *n, uint64_t count)
{
    static const uint8_t runs[] = {0x92, 1, 5};
    uint8_t key[ORIGIN_BYTES], full[MESH_KEY_BYTES];
    struct origin origin = {.node = {{9}}};
    for (uint64_t i = 1; i <= count; i++) {
        origin.boots = i;
        origin.random = i * 0x9e3779b97f4a7c15U;
        origin_put(key, &origin);
        struct span at = mesh_full_key(full, STORE_VECTOR, span_of(key, sizeof key));
        assert_int_equal(omap_put(n->disk, at, span_of(runs, sizeof runs), 0), HM_OK);
    }
}

/* More lives than fit a frame: both what a new node claims, and what cannot be named, comes in parts. */
static void more_lives_than_fit_a_frame(void **state)
{
    (void) state;
    struct mesh *m = mesh_new(2);
    remember_lives(&m->node[0], 60000);
    mesh_start(m, 0);
    mesh_run(m, MINI_SECOND);
    put(m, 0, "put:kv/x=1");
    mesh_start(m, 1);
    mesh_run(m, 500 * MINI_MS);
    put(m, 1, "put:kv/y=1");
    mesh_run(m, 5 * MINI_SECOND);
    all_agree(m);
    assert_int_equal(registry_vector(core_registry(m->node[1].core))->count, 60002);
    assert_string_equal(shown(m, 0, "kv/y"), "1");
    assert_in_range(mesh_metric(m, 1, M_PASSES_DONE), 2, 8);
    mesh_free(&m);
}

static size_t context_of(struct mesh *m, size_t i, const char *key)
{
    struct registry_siblings s;
    assert_int_equal(registry_get(core_registry(m->node[i].core), LOOK_SHOWN,
                                  span_of(key, strlen(key)), &s),
                     HM_OK);
    return s.items[0].context_count;
}

/* What is written again in each of many lives would drag the names of all of them along. */
static void contexts_of_many_lives_stay_short(void **state)
{
    (void) state;
    for (size_t count = 1; count <= 3; count += 2) {
        struct mesh *m = mesh_new_started(count);
        size_t longest = 0;
        mesh_run(m, 15 * MINI_SECOND);
        for (int k = 0; k < 150; k++) {
            mesh_kill(m, 0);
            mesh_start(m, 0);
            mesh_run(m, 5 * MINI_MS);
            put(m, 0, k % 2 == 0 ? "put:kv/x=even" : "put:kv/x=odd");
            mesh_run(m, (uint64_t) (1 + k % 5) * MINI_SECOND);
            size_t length = context_of(m, 0, "kv/x");
            longest = length > longest ? length : longest;
        }
        mesh_run(m, 20 * MINI_SECOND);
        all_agree(m);
        assert_string_equal(shown(m, count - 1, "kv/x"), "odd");
        print_message("%zu nodes: %zu lives in a context\n", count, longest);
        assert_in_range(longest, 1, 64);
        uint64_t batches = mesh_metric(m, count - 1, M_STORE_BATCHES);
        mesh_run(m, 120 * MINI_SECOND);
        assert_int_equal(mesh_metric(m, count - 1, M_STORE_BATCHES), batches);
        mesh_free(&m);
    }
}

/* Those who are there need not say again and again that they have what one who is away has not. */
static void nobody_acknowledges_in_vain(void **state)
{
    (void) state;
    char op[32];
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 15 * MINI_SECOND);
    mesh_kill(m, 2);
    live_often(m, 0, 40 * 7); /* kv/0 to kv/6, 40 times each */
    assert_int_equal(context_of(m, 1, "kv/0"), 39);
    mesh_run(m, 20 * MINI_SECOND);
    uint64_t batches = mesh_metric(m, 1, M_STORE_BATCHES);
    for (int k = 0; k < 10; k++) {
        snprintf(op, sizeof op, "put:kv/0=%d", k);
        put(m, 0, op);
        mesh_run(m, 10 * MINI_SECOND);
    }
    assert_int_equal(mesh_metric(m, 1, M_STORE_BATCHES), batches + 10);
    mesh_start(m, 2);
    mesh_run(m, 20 * MINI_SECOND);
    put(m, 0, "put:kv/0=back");
    mesh_run(m, 10 * MINI_SECOND);
    put(m, 0, "put:kv/0=short");
    mesh_run(m, 10 * MINI_SECOND);
    all_agree(m);
    assert_in_range(context_of(m, 2, "kv/0"), 1, 2);
    mesh_free(&m);
}

static void deletes_wait_for_the_first_agreement(void **state)
{
    (void) state;
    struct mesh *m = mesh_new(2);
    mesh_start(m, 0);
    mesh_start(m, 1);
    mesh_run(m, 3 * MINI_SECOND);
    put(m, 0, "put:kv/x=1");
    mesh_ask(m, 0, "delete:kv/x");
    assert_int_equal(m->node[0].reply_code, HM_ESTALE); /* both are new: what is there may come yet */
    mesh_run(m, 30 * MINI_SECOND);
    assert_false(core_is_syncing(m->node[0].core));
    assert_false(core_is_syncing(m->node[1].core));
    put(m, 0, "delete:kv/x");
    /* No restart brings it back, */
    mesh_kill(m, 1);
    mesh_start(m, 1);
    assert_false(core_is_syncing(m->node[1].core));
    /* and a new disk is soon done, since the other is not syncing. */
    mesh_kill(m, 1);
    omap_clear(m->node[1].disk);
    mesh_start(m, 1);
    mesh_run(m, 5 * MINI_SECOND);
    assert_false(core_is_syncing(m->node[1].core));
    all_agree(m);
    mesh_free(&m);
}

static bool registry_peer(const struct mesh *m, size_t at, size_t about,
                          struct core_registry_peer *ret_peer)
{
    const core_t *core = m->node[at].core;
    struct member_view view;
    size_t i = 0;
    do {
        core_member_at(core, i++, &view);
    } while (!node_id_eq(&view.id, &m->node[about].identity.id) && i < core_member_count(core));
    return core_registry_peer(core, i - 1, ret_peer);
}

/* Whose state is not known, since it was asked while all were syncing and then the link went, tells it when
 * it is heard of: in a large mesh long after. Until then nobody goes on asking others for it. */
static void a_silent_guest_is_not_asked_for(void **state)
{
    (void) state;
    struct core_registry_peer peer;
    struct mesh *m = mesh_new(3);
    for (size_t i = 0; i < m->count; i++) {
        mesh_start(m, i);
    }
    do { /* until the state is the one thing that is not known of the third */
        mesh_run(m, MINI_SECOND / 100);
        assert_true(core_is_syncing(m->node[0].core));
    } while (!registry_peer(m, 0, 2, &peer) || peer.state != 0 || !peer.is_linked);
    mesh_cut(m, 0, 2, true); /* the third vouches for both */
    mesh_push_peer(m, 0, 0, EV_LINK_DOWN, 2);
    mesh_run(m, 20 * MINI_SECOND);
    assert_false(core_is_syncing(m->node[0].core));
    assert_int_equal(mesh_status(m, 0, 2), STATUS_ALIVE);
    uint64_t asked = mesh_metric(m, 0, M_PASSES_ASKED);
    mesh_run(m, 20 * MINI_SECOND);
    assert_int_equal(mesh_metric(m, 0, M_PASSES_ASKED), asked);
    mesh_free(&m);
}

/* Two that hear each other and have no link cannot come together: after a minute somebody is told. */
static bool no_frames(struct mesh *m, size_t from, const struct effect *fx)
{
    (void) m, (void) from;
    return fx->type != FX_FRAME || fx->as.frame.type < FRAME_REG_PUSH;
}

static void what_stays_different_is_told(void **state)
{
    struct core_registry_status s;
    struct core_registry_peer peer;
    (void) state;
    struct mesh *m = mesh_new_started(2);
    mesh_run(m, 15 * MINI_SECOND);
    m->passes = no_frames;
    put(m, 0, "put:kv/x=1");
    mesh_run(m, 50 * MINI_SECOND);
    assert_int_equal(mesh_events(m, 1, EVENT_NOTICE, 0), 0);
    core_registry_status(m->node[1].core, &s);
    assert_in_range(s.divergent_ns, 45 * MINI_SECOND, 50 * MINI_SECOND);
    mesh_run(m, 20 * MINI_SECOND);
    assert_int_equal(mesh_events(m, 1, EVENT_NOTICE, 0), 1);
    for (size_t i = 0; i < 2; i++) {
        bool is_other = core_registry_peer(m->node[1].core, i, &peer);
        assert_true(!is_other || (peer.is_known && peer.differs_ns > 0));
    }
    m->passes = NULL;
    mesh_run(m, 10 * MINI_SECOND);
    core_registry_status(m->node[1].core, &s);
    assert_int_equal(s.divergent_ns, 0);
    for (size_t i = 0; i < 2; i++) {
        bool is_other = core_registry_peer(m->node[1].core, i, &peer);
        assert_true(!is_other || (peer.is_known && peer.differs_ns == 0));
    }
    all_agree(m);
    mesh_free(&m);
}

/* What becomes durable wakes those who wrote it, and nobody whose write is still on its way. */
static void each_write_is_answered_by_its_own_batch(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    char op[16];
    mesh_run(m, 10 * MINI_SECOND);
    handled = 0;
    size_t before = m->node[0].replies;
    for (size_t i = 0; i < 5; i++) {
        snprintf(op, sizeof op, "put:kv/%zu=1", i);
        mesh_ask(m, 0, op);
        mesh_run(m, MINI_MS / 8);
    }
    assert_int_equal(m->node[0].replies, before);
    mesh_run(m, 3 * MINI_MS);
    assert_int_equal(m->node[0].replies, before + 5);
    assert_int_equal(handled, 10);
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_writes_all_have_at_once),
        cmocka_unit_test(entries_of_others_gather),
        cmocka_unit_test(halves_write_and_agree_when_they_meet),
        cmocka_unit_test(a_new_node_gets_all),
        cmocka_unit_test(quick_writes_share_a_push),
        cmocka_unit_test(a_tree_forms_and_mends_itself),
        cmocka_unit_test(repair_alone_is_enough),
        cmocka_unit_test(announcements_are_gathered),
        cmocka_unit_test(a_slow_pass_is_not_waited_for),
        cmocka_unit_test(marks_go_when_all_have_them),
        cmocka_unit_test(acknowledgements_wait_for_rest),
        cmocka_unit_test(a_gap_before_a_released_mark_is_no_lack),
        cmocka_unit_test(a_restored_node_brings_nothing_back),
        cmocka_unit_test(old_lives_travel_in_few_bytes),
        cmocka_unit_test(a_life_below_a_fold_is_news),
        cmocka_unit_test(more_lives_than_fit_a_frame),
        cmocka_unit_test(contexts_of_many_lives_stay_short),
        cmocka_unit_test(nobody_acknowledges_in_vain),
        cmocka_unit_test(deletes_wait_for_the_first_agreement),
        cmocka_unit_test(a_silent_guest_is_not_asked_for),
        cmocka_unit_test(what_stays_different_is_told),
        cmocka_unit_test(each_write_is_answered_by_its_own_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
