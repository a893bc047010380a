/* SPDX-License-Identifier: MPL-2.0 */
/* The registry in the core: it is made at the start, written by operations, and what is new goes out
 * to others (plumtree.c). An own write leaves this node only when it is durable; an entry of another is
 * passed on at once, since its writer has it. */
#include "base/err.h"
#include "core/core_priv.h"

#include <string.h>

#define REBUILD_RECORDS 2048 /* read in one step: some milliseconds */

static bool key_of(void *ctx, const struct node_id *id, uint8_t ret_key[32])
{
    const core_t *c = ctx;
    const struct member *m = roster_find(&c->roster, id);
    if (m != NULL) {
        memcpy(ret_key, m->rec.key, sizeof m->rec.key);
    }
    return m != NULL;
}

static bool is_broken(const core_t *c, enum registry_break how)
{
    return (c->params.broken_registry & (unsigned) how) != 0;
}

static bool is_removed(void *ctx, const struct node_id *id)
{
    return removal_has(ctx, id);
}

static void removed(void *ctx, const struct node_id *id)
{
    removal_noted(ctx, id);
}

size_t spread_load(core_t *c, const struct store_entry *entries, size_t count)
{
    struct registry_conf conf = {
        .view = c->view,
        .crypto = c->crypto,
        .mesh_tag = c->mesh_tag,
        .self = {.node = c->self->id, .boots = c->boot_epoch, .random = c->session},
        .broken = c->params.broken_registry,
        .key_of = key_of,
        .is_removed = is_removed,
        .removed = removed,
        .ctx = c,
    };
    if (is_broken(c, REG_BREAK_DOT_REUSED)) {
        conf.self.random = 0;
    }
    size_t damaged = 0;
    plumtree_init(c);
    repair_init(c);
    c->registry = registry_new(&conf);
    if (c->registry == NULL) {
        c->fx.failed = true;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        int rc = entries[i].table != STORE_VECTOR
                     ? HM_OK
                     : registry_load(c->registry, entries[i].key, entries[i].value);
        damaged += rc == HM_EMALFORMED;
        c->fx.failed |= rc == HM_ENOMEM;
    }
    if (registry_loaded(c->registry) == HM_EMALFORMED) {
        damaged += damaged == 0;
        core_arm(c, TIMER_REBUILD, c->now_ns);
    }
    if (c->is_founder && registry_set_synced(c->registry) != HM_OK) {
        c->fx.failed = true;
    }
    return damaged;
}

registry_t *core_registry(core_t *c)
{
    return c->registry;
}

/* Test-only: told before it is durable. */
static void push_early(core_t *c, struct span key)
{
    struct registry_siblings s;
    if (registry_get(c->registry, LOOK_ALL, key, &s) == HM_OK) {
        plumtree_own(c, &s.items[0]);
    }
}

int core_write(core_t *c, const struct registry_write *w, struct dot *ret_dot, uint64_t *ret_ticket)
{
    if (!c->ready || c->leaving || c->copy.aside) {
        return HM_EBUSY;
    }
    if (w->is_deleted && repair_is_syncing(c)) {
        return HM_ESTALE;
    }
    int rc = registry_write(c->registry, w, ret_dot);
    if (rc == HM_OK) {
        tomb_written(c, w->key);
        *ret_ticket = registry_round(c->registry);
        c->wakes |= is_broken(c, REG_BREAK_EARLY_ACK) ? WAKE_DURABLE : 0;
        if (is_broken(c, REG_BREAK_EARLY_PUSH)) {
            push_early(c, w->key);
        }
    }
    return rc;
}

int core_restore(core_t *c, struct span bytes, bool *ret_new, uint64_t *ret_ticket)
{
    enum registry_outcome outcome = REGISTRY_KNOWN;
    if (!c->ready || c->leaving || c->copy.aside) {
        return HM_EBUSY;
    }
    int rc = spread_take(c, bytes, &outcome);
    *ret_new = rc == HM_OK && outcome == REGISTRY_NEW;
    if (*ret_new) {
        *ret_ticket = registry_round(c->registry);
        registry_hurry(c->registry);
        plumtree_own(c, registry_merged(c->registry));
    }
    return rc;
}

bool core_is_syncing(const core_t *c)
{
    return repair_is_syncing(c);
}

enum registry_fate core_write_fate(const core_t *c, uint64_t ticket)
{
    return is_broken(c, REG_BREAK_EARLY_ACK) ? REGISTRY_DURABLE : registry_fate(c->registry, ticket);
}

/* An own entry is durable: now it counts here, too. */
static void note_removal(core_t *c, const struct entry *e)
{
    struct node_id id;
    if (key_removed(e->key, &id)) {
        removal_noted(c, &id);
    }
}

void spread_durable(core_t *c, uint64_t batch)
{
    struct span bytes;
    struct entry e;
    uint64_t before = registry_change_last(c->registry);
    uint64_t state = registry_state(c->registry);
    if (registry_durable(c->registry, batch) != HM_OK) {
        c->fx.failed = true;
    }
    if (registry_state(c->registry) != state) {
        tomb_touch(c);
    }
    while (registry_take_durable(c->registry, &bytes)) {
        if (entry_read(bytes, &e) == HM_OK) {
            plumtree_own(c, &e);
            note_removal(c, &e);
        }
    }
    if (registry_change_last(c->registry) != before) {
        c->wakes |= WAKE_CHANGE;
    }
}

int spread_take(core_t *c, struct span bytes, enum registry_outcome *ret_outcome)
{
    uint64_t before = registry_change_last(c->registry);
    *ret_outcome = REGISTRY_KNOWN;
    int rc = registry_merge(c->registry, bytes, ret_outcome);
    if (rc != HM_OK) {
        core_count(c, rc == HM_EVERSION ? M_ENTRIES_LATER : M_ENTRIES_REFUSED);
        return rc;
    }
    if (*ret_outcome == REGISTRY_NEW) {
        core_count(c, M_ENTRIES_TAKEN);
        tomb_written(c, registry_merged(c->registry)->key);
    } else if (*ret_outcome == REGISTRY_KNOWN) {
        core_count(c, M_ENTRIES_KNOWN);
    }
    if (registry_change_last(c->registry) != before) {
        c->wakes |= WAKE_CHANGE;
    }
    return HM_OK;
}

void spread_damaged(core_t *c)
{
    if (!registry_is_rebuilding(c->registry)) {
        registry_rebuild(c->registry);
        core_arm(c, TIMER_REBUILD, c->now_ns);
    }
}

void spread_rebuild_tick(core_t *c)
{
    if (registry_rebuild_some(c->registry, REBUILD_RECORDS) != HM_OK) {
        c->fx.failed = true;
    }
    if (registry_is_rebuilding(c->registry)) {
        core_arm(c, TIMER_REBUILD, c->now_ns + MS_NS);
    } else {
        core_count(c, M_REGISTRY_REBUILDS);
    }
}

void spread_fini(core_t *c)
{
    registry_destroy(&c->registry);
    plumtree_fini(c);
}
