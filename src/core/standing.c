/* SPDX-License-Identifier: MPL-2.0 */
/* A member's standing in the roster, and all that follows when it changes: its place in a probe
 * order, in the view's hash, on the rings, on the disk, and under which name it is shown. Whether
 * it changes is decided elsewhere: by statements of others in merge.c, by our own doubts in
 * doubt.c. */
#include "base/err.h"
#include "core/core_priv.h"

#include <string.h>

/* Moves m between the two probe orders. */
static void reorder(core_t *c, struct member *m, bool was_up)
{
    bool up = member_is_up(m);
    order_remove(was_up ? &c->probe_order : &c->failed_order, m);
    if (order_insert(up ? &c->probe_order : &c->failed_order, m, &c->prng) != 0) {
        c->fx.failed = true;
        return;
    }
    if (c->ready && up) {
        core_arm_earlier(c, TIMER_PROBE, c->now_ns + c->params.probe_interval_ns);
    } else if (c->ready) {
        core_arm_earlier(c, TIMER_FAILED, c->now_ns + c->params.failed_probe_ns);
    }
}

static enum member_event_type event_of(enum member_status status)
{
    switch (status) {
    case STATUS_ALIVE: return EVENT_ALIVE;
    case STATUS_SUSPECT: return EVENT_SUSPECT;
    case STATUS_FAILED: return EVENT_FAILED;
    case STATUS_LEFT: return EVENT_LEFT;
    }
    return EVENT_UPDATED;
}

/* What follows when a member comes up or goes down. */
static void up_changed(core_t *c, struct member *m, bool was_up)
{
    reorder(c, m, was_up);
    names_refresh(c, m->rec.name);
    overlay_touch(c);
    c->view_changed_ns = c->now_ns;
    core_changed(c);
    if (was_up) {
        overlay_hangup(c, m);
    }
}

void standing_change(core_t *c, struct member *m, enum member_status status, enum reason reason,
                     const struct node_id *observer)
{
    bool was_up = member_is_up(m);
    bool same = m->status == status;
    roster_hash_out(&c->roster, m);
    m->status = status;
    roster_hash_in(&c->roster, m);
    m->reason = reason;
    m->is_remembered = false;
    memset(&m->observer, 0, sizeof m->observer);
    if (observer != NULL) {
        m->observer = *observer;
    }
    if (!same) {
        m->since_wall_ms = c->wall_ms;
    }
    if (status != STATUS_SUSPECT) {
        watch_drop(c, m);
        persist_member(c, m);
    }
    if (was_up != member_is_up(m)) {
        up_changed(c, m, was_up);
    } else if (!same) {
        names_refresh(c, m->rec.name);
    }
    if (!same || status == STATUS_SUSPECT) {
        report_event(c, m, event_of(status), reason, observer);
    }
}

/* Keeps the address if the record still names it; else the first candidate, unproven. */
static void settle_address(struct member *m)
{
    if (record_names(&m->rec, &m->addr)) {
        return;
    }
    m->addr_proven = false;
    m->addr_next = 0;
    if (m->rec.addr_count > 0) {
        m->addr = m->rec.addrs[0];
    }
}

void standing_introduce(core_t *c, const struct member *m)
{
    struct effect *fx = fxlist_add(&c->fx, FX_PEER);
    if (fx != NULL) {
        fx->as.peer.id = m->id;
        memcpy(fx->as.peer.key, m->rec.key, NODE_KEY_BYTES);
    }
}

struct member *standing_new(core_t *c, const struct node_id *id, struct span record,
                            const struct node_record *rec, enum member_status status)
{
    struct member *m = roster_insert(&c->roster, id);
    if (m == NULL) {
        report_full(c, id);
        return NULL;
    }
    m->status = status;
    m->since_wall_ms = c->wall_ms;
    m->tx_counter = ++c->peer_generation << 40;
    for (size_t i = 0; i < HM_RING_SALTS; i++) {
        m->ring_hash[i] = prng_mix(node_id_prefix(id) + 0x5ca1ab1eULL * (i + 1));
    }
    if (member_set_record(m, record, rec) != 0) {
        c->fx.failed = true;
        m->rec = *rec;
    }
    settle_address(m);
    roster_hash_in(&c->roster, m);
    names_refresh(c, m->rec.name);
    if (c->self == NULL) {
        return m; /* ourselves: in no probe order, no peer */
    }
    standing_introduce(c, m);
    if (order_insert(member_is_up(m) ? &c->probe_order : &c->failed_order, m, &c->prng) != 0) {
        c->fx.failed = true;
    }
    return m;
}

/* Nobody holds it any more but the roster. */
static void let_go(core_t *c, struct member *m)
{
    overlay_hangup(c, m);
    call_member_gone(c, m);
    watch_drop(c, m);
    order_remove(member_is_up(m) ? &c->probe_order : &c->failed_order, m);
    gossip_withdraw(&c->gossip, m, GOSSIP_RECORD);
    gossip_withdraw(&c->gossip, m, GOSSIP_CLAIM);
    session_forget_candidates_of(c, m);
    if (c->sync_guest == m) {
        c->sync_guest = NULL;
    }
    for (size_t i = 0; i < c->dirty_count && m->is_dirty; i++) {
        if (c->dirty[i] == m) {
            c->dirty[i] = c->dirty[--c->dirty_count];
            m->is_dirty = false;
        }
    }
}

void standing_remove(core_t *c, struct member *m, const struct node_id *observer)
{
    char name[sizeof m->rec.name];
    memcpy(name, m->rec.name, sizeof name);
    report_event(c, m, EVENT_REMOVED, REASON_REMOVED, observer);
    let_go(c, m);
    removal_forget(c, &m->id);
    struct effect *fx = fxlist_add(&c->fx, FX_PEER_GONE);
    if (fx != NULL) {
        fx->as.peer.id = m->id;
    }
    roster_hash_out(&c->roster, m);
    roster_remove(&c->roster, m);
    names_refresh(c, name);
    overlay_touch(c);
    c->view_changed_ns = c->now_ns;
    core_changed(c);
}

int standing_record(core_t *c, struct member *m, struct span bytes, const struct node_record *rec)
{
    char name[sizeof m->rec.name];
    memcpy(name, m->rec.name, sizeof name);
    roster_hash_out(&c->roster, m);
    int rc = member_set_record(m, bytes, rec);
    roster_hash_in(&c->roster, m);
    settle_address(m);
    if (strcmp(name, m->rec.name) != 0) {
        names_refresh(c, name);
        names_refresh(c, m->rec.name);
    }
    return rc;
}
