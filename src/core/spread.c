/* SPDX-License-Identifier: MPL-2.0 */
/* The registry in the core: it is made at the start, written by operations, and what is new goes out
 * to others. An own write leaves this node only when it is durable; an entry of another is passed on at
 * once, since its writer has it. */
#include "base/err.h"
#include "core/core_priv.h"
#include "wire/registry_msg.h"

#include <string.h>

#define REBUILD_RECORDS 2048 /* read in one step: some milliseconds */
#define PUSH_BYTES 131072 /* of entries in a frame that may have several */

static bool key_of(void *ctx, const struct node_id *id, uint8_t ret_key[32])
{
    const core_t *c = ctx;
    const struct member *m = roster_find(&c->roster, id);
    if (m != NULL) {
        memcpy(ret_key, m->rec.key, sizeof m->rec.key);
    }
    return m != NULL;
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
        .ctx = c,
    };
    size_t damaged = 0;
    buf_init(&c->outbox, HM_FRAME_BYTES_MAX);
    buf_init(&c->asking.at, REG_KEY_BYTES_MAX);
    buf_init(&c->asking.ranges, HM_FRAME_BYTES_MAX);
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
        *ret_ticket = registry_round(c->registry);
    }
    return rc;
}

bool core_is_syncing(const core_t *c)
{
    return repair_is_syncing(c);
}

enum registry_fate core_write_fate(const core_t *c, uint64_t ticket)
{
    return registry_fate(c->registry, ticket);
}

/* ---- out ------------------------------------------------------------------------------------- */

/* With up to nine members all are linked, and who wrote it tells all of them. */
static bool is_direct(const core_t *c)
{
    return core_up_others(c) <= 2 * HM_RING_SALTS;
}

static void send_outbox(core_t *c, struct buf *frame)
{
    struct reg_entries entries = {buf_span(&c->outbox), c->outbox_count};
    reg_push_write(frame, &entries);
    for (size_t i = 0; i < c->probe_order.count && !buf_failed(frame); i++) {
        struct member *m = c->probe_order.items[i];
        if (m->link == LINK_UP && !node_id_eq(&m->id, &c->outbox_from)) {
            send_frame(c, m, FRAME_REG_PUSH, buf_span(frame));
        }
    }
}

void spread_flush(core_t *c)
{
    struct buf frame;
    if (c->outbox_count == 0) {
        return;
    }
    buf_init(&frame, HM_FRAME_BYTES_MAX);
    if (!buf_failed(&c->outbox)) {
        send_outbox(c, &frame);
    }
    buf_fini(&frame);
    buf_clear(&c->outbox);
    c->outbox_count = 0;
    c->outbox_from = (struct node_id){{0}};
}

/* Goes out at the end of the step, with what else there is. What is too large for it comes by repair. */
static void put_out(core_t *c, struct span bytes)
{
    if (c->outbox_count > 0 && c->outbox.size + bytes.size > PUSH_BYTES) {
        struct node_id from = c->outbox_from;
        spread_flush(c);
        c->outbox_from = from;
    }
    reg_entry_append(&c->outbox, bytes);
    c->outbox_count++;
}

void spread_durable(core_t *c, uint64_t batch)
{
    struct span bytes;
    uint64_t before = registry_change_last(c->registry);
    uint64_t state = registry_state(c->registry);
    if (registry_durable(c->registry, batch) != HM_OK) {
        c->fx.failed = true;
    }
    if (registry_state(c->registry) != state) {
        tomb_touch(c);
    }
    while (registry_take_durable(c->registry, &bytes)) {
        if (core_up_others(c) > 0) {
            put_out(c, bytes);
        }
    }
    if (registry_change_last(c->registry) != before) {
        c->wakes |= WAKE_CHANGE;
    }
}

/* ---- in -------------------------------------------------------------------------------------- */

int spread_take(core_t *c, const struct member *m, struct span bytes, bool is_repair)
{
    enum registry_outcome outcome = REGISTRY_KNOWN;
    uint64_t before = registry_change_last(c->registry);
    int rc = registry_merge(c->registry, bytes, is_repair, &outcome);
    if (rc != HM_OK) {
        core_count(c, M_ENTRIES_REFUSED);
        return rc;
    }
    if (outcome == REGISTRY_NEW) {
        core_count(c, M_ENTRIES_TAKEN);
        if (!is_direct(c)) {
            c->outbox_from = m->id;
            put_out(c, bytes);
        }
    } else if (outcome == REGISTRY_KNOWN) {
        core_count(c, M_ENTRIES_KNOWN);
    }
    if (registry_change_last(c->registry) != before) {
        c->wakes |= WAKE_CHANGE;
    }
    return HM_OK;
}

void spread_frame(core_t *c, struct member *m, uint8_t type, struct span body)
{
    struct reg_entries entries;
    struct span bytes;
    (void) type;
    if (reg_push_read(body, &entries) != HM_OK) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    while (reg_entry_next(&entries.bytes, &bytes)) {
        (void) spread_take(c, m, bytes, false); /* what was refused is counted, and comes again by repair */
    }
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
    buf_fini(&c->outbox);
}
