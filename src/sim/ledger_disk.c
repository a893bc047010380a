/* SPDX-License-Identifier: MPL-2.0 */
/* What disks hold and claim, and what must be there in the end: see ledger.h. */
#include "sim/ledger_priv.h"

#include "base/err.h"
#include "core/vector.h"
#include "sim/simcrypto.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- one disk ---- */

static const char *dot_text(const struct ledger *l, const struct dot *dot, char *text, size_t max)
{
    const struct sim_node *n = world_node_by_id(l->w, &dot->origin.node);
    snprintf(text, max, "%s/%" PRIu64 "/%" PRIu64, n == NULL ? "?" : n->name, dot->origin.boots,
             dot->seq);
    return text;
}

/* Marks all that is superseded by what is in the queue, and by that, and so on. */
static void spread_marks(struct ledger *l, size_t queued)
{
    while (queued > 0) {
        const struct ledger_entry *e = &l->entries[l->queue[--queued]];
        uint32_t at = e->context_count == 0 ? LEDGER_NONE : l->keys[e->key].first;
        for (; at != LEDGER_NONE; at = l->entries[at].next_of_key) {
            if (l->entries[at].mark != l->mark && ledger_covers(e, &l->entries[at].dot)) {
                l->entries[at].mark = l->mark;
                l->queue[queued++] = at;
            }
        }
    }
}

void ledger_mark_one(struct ledger *l, uint32_t idx)
{
    l->mark++;
    l->entries[idx].mark = l->mark;
    l->queue[0] = idx;
    spread_marks(l, 1);
}

bool ledger_mark(struct ledger *l, struct sim_node *n)
{
    struct store_view disk = simdisk_view(&n->disk);
    struct span key = span_of(NULL, 0);
    struct span value;
    size_t queued = 0;
    l->mark++;
    for (bool first = true; disk.next(disk.ctx, STORE_ENTRIES, key, first, &key, &value);
         first = false) {
        uint32_t at = ledger_find_record(l, key);
        if (at == LEDGER_NONE) {
            world_violation(l->w, "the disk of %s holds an entry that nobody wrote", n->name);
            return false;
        }
        l->entries[at].mark = l->mark;
        l->queue[queued++] = at;
    }
    spread_marks(l, queued);
    return true;
}

/* The durable vector, as it is on the disk. */
static void read_vector(const struct ledger *l, struct sim_node *n, struct vector *v)
{
    struct store_view disk = simdisk_view(&n->disk);
    struct span key = span_of(NULL, 0);
    struct span value;
    struct origin origin;
    for (bool first = true; disk.next(disk.ctx, STORE_VECTOR, key, first, &key, &value);
         first = false) {
        if (key.size != ORIGIN_BYTES) {
            continue;
        }
        origin_get(key.data, &origin);
        if (vector_runs_read(value, &origin, v) != HM_OK) {
            world_violation(l->w, "the vector on the disk of %s cannot be read", n->name);
        }
    }
}

bool ledger_claims(struct ledger *l, struct sim_node *n, const struct dot *dot)
{
    struct vector v;
    vector_init(&v);
    read_vector(l, n, &v);
    bool has = vector_has(&v, dot);
    vector_fini(&v);
    return has;
}

/* Of each life no more than was written in it. */
static void judge_newest(struct ledger *l, const struct sim_node *n, const struct vector *v)
{
    for (size_t i = 0; i < v->count; i++) {
        const struct vector_origin *o = &v->items[i];
        uint32_t newest = ledger_newest(l, &o->origin);
        if (newest == LEDGER_NONE || l->entries[newest].dot.seq < o->runs[o->count - 1].last) {
            world_violation(l->w, "%s claims what nobody wrote", n->name);
        }
    }
}

void ledger_look(struct ledger *l, struct sim_node *n)
{
    struct vector v;
    char text[64];
    l->nodes[n->idx].commits = 0;
    if (l->entry_count == 0 || !ledger_mark(l, n)) {
        return;
    }
    vector_init(&v);
    read_vector(l, n, &v);
    for (size_t i = 0; i < l->entry_count && !l->w->failed; i++) {
        const struct ledger_entry *e = &l->entries[i];
        bool is_claimed = vector_has(&v, &e->dot);
        bool was_on = (e->was_on[n->idx] & ON_DISK) != 0;
        if (is_claimed && e->mark != l->mark && !e->is_gone) {
            world_violation(l->w, "%s claims %s without holding it, or what supersedes it", n->name,
                            dot_text(l, &e->dot, text, sizeof text));
        } else if (!is_claimed && e->mark == l->mark && was_on) {
            world_violation(l->w, "%s holds %s, or what supersedes it, and does not claim it",
                            n->name, dot_text(l, &e->dot, text, sizeof text));
        }
        l->w->rare[RARE_OBSOLETE] += is_claimed && !was_on && !e->is_gone;
    }
    judge_newest(l, n, &v);
    vector_fini(&v);
}

/* ---- in the end ---- */

static bool is_judged(const struct ledger *l, const struct sim_node *n)
{
    return world_is_running(n) && !n->is_removed && !world_is_cloned(l->w, n);
}

bool ledger_is_equal(struct ledger *l, char *ret_why, size_t max)
{
    const struct sim_node *first = NULL;
    uint64_t state = 0;
    for (unsigned i = 0; l != NULL && i < l->w->count; i++) {
        const struct sim_node *n = &l->w->nodes[i];
        if (!is_judged(l, n)) {
            continue;
        }
        uint64_t now = registry_state(core_registry(n->core));
        if (first != NULL && now != state) {
            const struct registry_totals *a = registry_totals(core_registry(first->core));
            const struct registry_totals *b = registry_totals(core_registry(n->core));
            snprintf(ret_why, max,
                     "the registries of %s (%" PRIu64 " entries, %" PRIu64 " marks) and %s (%" PRIu64
                     ", %" PRIu64 ") differ",
                     first->name, a->entries, a->marks, n->name, b->entries, b->marks);
            return false;
        }
        first = n;
        state = now;
    }
    return true;
}

/* Of what is not deleted: marks are let go at different times. */
static uint64_t hash_of_disk(const struct ledger *l, struct sim_node *n)
{
    struct store_view disk = simdisk_view(&n->disk);
    struct span key = span_of(NULL, 0);
    struct span value;
    uint64_t hash = 0;
    for (bool first = true; disk.next(disk.ctx, STORE_ENTRIES, key, first, &key, &value);
         first = false) {
        uint32_t at = ledger_find_record(l, key);
        if (at != LEDGER_NONE && !l->entries[at].is_deleted) {
            hash = sim_hash(sim_hash(hash, key), value);
        }
    }
    return hash;
}

/* What a client reads of each key. */
static uint64_t hash_of_shown(struct ledger *l, struct sim_node *n)
{
    struct registry_siblings siblings;
    uint64_t hash = 0;
    for (size_t i = 0; i < l->key_count; i++) {
        struct span key = span_of(l->keys[i].bytes, l->keys[i].size);
        if (registry_get(core_registry(n->core), LOOK_SHOWN, key, &siblings) == HM_OK &&
            siblings.live > 0) {
            hash += sim_hash(sim_hash(siblings.live, key), siblings.items[0].value);
        }
    }
    return hash;
}

static bool is_on_a_judged_disk(const struct ledger *l, const struct ledger_entry *e)
{
    for (unsigned i = 0; i < l->w->count; i++) {
        if ((e->was_on[i] & ON_DISK) != 0 && is_judged(l, &l->w->nodes[i])) {
            return true;
        }
    }
    return false;
}

/* Of what was acknowledged nothing is lost, unless it was only on disks that are no more. */
static void judge_acked(struct ledger *l, const struct sim_node *n)
{
    char text[64];
    for (size_t i = 0; i < l->entry_count && !l->w->failed; i++) {
        const struct ledger_entry *e = &l->entries[i];
        if (e->is_acked && e->mark != l->mark && !e->is_gone && is_on_a_judged_disk(l, e)) {
            world_violation(l->w, "%s was acknowledged, and %s neither holds it nor supersedes it",
                            dot_text(l, &e->dot, text, sizeof text), n->name);
        }
    }
}

void ledger_judge(struct ledger *l)
{
    bool is_first = true;
    uint64_t hash = 0;
    for (unsigned i = 0; l != NULL && i < l->w->count && !l->w->failed; i++) {
        struct sim_node *n = &l->w->nodes[i];
        if (!is_judged(l, n)) {
            continue;
        }
        ledger_look(l, n);
        if (l->w->failed) {
            return;
        }
        judge_acked(l, n);
        uint64_t now = hash_of_disk(l, n);
        if (is_first) {
            l->shown = hash_of_shown(l, n);
        } else if (now != hash) {
            world_violation(l->w, "%s has the state that others have, but holds other entries",
                            n->name);
        }
        is_first = false;
        hash = now;
    }
}
