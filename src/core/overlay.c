/* SPDX-License-Identifier: MPL-2.0 */
/* Who links to whom: four rings, members sorted by hash with four salts; a node's neighbours are the one
 * before and the one after it on each. Everyone computes the same from the same list, and being
 * neighbours is mutual. With up to nine members all are neighbours. The lower id dials; where no link comes
 * of that, a firewall may let nothing in at the other, and that one dials, too. */
#include "base/err.h"
#include "core/core_priv.h"

#include <string.h>

#define ALL_LINKED_MAX 9           /* members, self included: 8 links */
#define SETTLE_NS (20 * MS_NS)     /* changes come in groups; */
#define SETTLE_EACH_NS (100000)    /* larger ones in large meshes, where looking costs more */
#define DIAL_TIMEOUT_NS (6 * SECOND_NS) /* the driver gives up after 5: UP_NS in io/links_dialled.c */
#define DIAL_SLOW_NS (SECOND_NS / 2) /* a LAN takes a few ms */
#define ASKS_FROM_NS (60 * SECOND_NS) /* a router that translates addresses remembers it so long, perhaps */
#define UNWANTED_NS (15 * SECOND_NS) /* a link nobody needs any more is kept so long */
#define DIAL_BACKOFF_MAX 5
#define PATIENCE_NS (3 * SECOND_NS) /* until the higher id dials */
#define GUEST_TRIES 3
/* Guests that we dial: what the neighbours leave, and four for links that are being closed. */
#define GUESTS_MAX (HM_LINKS_MAX - 2 * HM_RING_SALTS - 4)

void overlay_touch(core_t *c)
{
    c->overlay_dirty = true;
    if (c->ready && !c->leaving) {
        core_arm_earlier(c, TIMER_OVERLAY,
                         c->now_ns + SETTLE_NS + c->roster.count * SETTLE_EACH_NS);
    }
}

/* Distance going up the ring from a to b; the id's own bits break ties of equal hashes. */
static uint64_t ring_distance(const struct member *a, const struct member *b, size_t ring)
{
    return b->ring_hash[ring] - a->ring_hash[ring];
}

struct on_ring {
    struct member *after, *before; /* NULL: nobody else is up */
};

static struct on_ring neighbours_of(const core_t *c, const struct member *one, size_t ring)
{
    struct on_ring found = {NULL, NULL};
    for (size_t i = 0; i < c->roster.count; i++) {
        struct member *m = c->roster.items[i];
        if (m == one || !member_is_up(m)) {
            continue;
        }
        /* In order of id, and strictly smaller only: ties go to the same member everywhere. */
        if (found.after == NULL ||
            ring_distance(one, m, ring) < ring_distance(one, found.after, ring)) {
            found.after = m;
        }
        if (found.before == NULL ||
            ring_distance(m, one, ring) < ring_distance(found.before, one, ring)) {
            found.before = m;
        }
    }
    return found;
}

struct member *overlay_neighbour_of(core_t *c, const struct member *m)
{
    uint64_t draw = prng_next(&c->prng);
    struct on_ring found = neighbours_of(c, m, (draw >> 1) % HM_RING_SALTS);
    return (draw & 1) != 0 ? found.after : found.before;
}

static void mark_ring(core_t *c, size_t ring)
{
    struct on_ring found = neighbours_of(c, c->self, ring);
    if (found.after != NULL) {
        found.after->is_neighbour = true;
        found.before->is_neighbour = true;
    }
}

static void mark_neighbours(core_t *c)
{
    bool all = core_up_others(c) < ALL_LINKED_MAX;
    for (size_t i = 0; i < c->roster.count; i++) {
        struct member *m = c->roster.items[i];
        m->is_neighbour = all && m != c->self && member_is_up(m);
    }
    for (size_t ring = 0; ring < HM_RING_SALTS && !all; ring++) {
        mark_ring(c, ring);
    }
}

static void dial(core_t *c, struct member *m)
{
    struct effect *fx = fxlist_add(&c->fx, FX_DIAL);
    m->link = LINK_DIALLING;
    m->link_since_ns = c->now_ns;
    m->is_our_guest = !m->is_neighbour;
    m->is_asked_to_dial = false;
    if (fx != NULL) {
        fx->as.dial.peer = m->id;
        fx->as.dial.to = m->addr;
        fx->as.dial.to.port = m->rec.link_port;
    }
}

void overlay_hangup(core_t *c, struct member *m)
{
    if (m->link == LINK_NONE) {
        return;
    }
    struct effect *fx = fxlist_add(&c->fx, FX_HANGUP);
    if (fx != NULL) {
        fx->as.dial.peer = m->id;
    }
    bool was_up = m->link == LINK_UP;
    m->link = LINK_NONE;
    m->is_linked_early = false;
    m->is_our_guest = false;
    m->link_since_ns = c->now_ns;
    if (was_up) {
        c->links_up--;
        call_link_changed(c, m); /* calls that were sent over it are refused now */
    }
}

void overlay_moved(core_t *c, struct member *m)
{
    if (m->link != LINK_NONE) {
        overlay_hangup(c, m);
        m->dial_failures = 0;
        overlay_touch(c);
    }
}

static uint64_t dial_again_ns(const struct member *m)
{
    unsigned shift = m->dial_failures < DIAL_BACKOFF_MAX ? m->dial_failures : DIAL_BACKOFF_MAX;
    return m->dial_failures == 0 ? 0 : m->link_since_ns + (SECOND_NS / 4 << shift);
}

/* It may let nobody in, and be able to connect itself. (A neighbour that does not get a link does so by itself.) */
static void ask_to_dial(core_t *c, struct member *m)
{
    struct swim_msg msg = {.type = SWIM_DIAL};
    if (!m->is_asked_to_dial && !m->is_dialled_for_it && !m->is_neighbour) {
        m->is_asked_to_dial = true;
        send_pair_to(c, m, &m->addr, &msg);
        if (m->asks_from_ns != 0 && c->now_ns - m->asks_from_ns < ASKS_FROM_NS) {
            send_pair_to(c, m, &m->asks_from, &msg); /* behind NAT it is heard nowhere else */
        }
    }
}

/* A guest that cannot be linked to holds up no other: gossip and the neighbours tell the rest. */
static void dial_failed(core_t *c, struct member *m)
{
    ask_to_dial(c, m);
    m->dial_failures++;
    if (m->dial_failures >= GUEST_TRIES) {
        m->wants_link = false;
        if (c->sync_guest == m) {
            c->sync_guest = NULL;
        }
    }
}

/* Of two neighbours the lower id dials. A guest link is wanted for a full exchange or a call although the
 * rings do not ask for it. */
static bool is_wanted(const core_t *c, const struct member *m)
{
    return m->is_neighbour ? node_id_cmp(&c->self->id, &m->id) < 0 : m->wants_link;
}

/* Since when we wait that it dials us. */
static uint64_t waits_since(const core_t *c, struct member *m)
{
    if (m->link_wait_ns < m->link_since_ns || m->link_wait_ns == 0) {
        m->link_wait_ns = c->now_ns;
    }
    return m->link_wait_ns;
}

/* Of two guests whose links nobody uses: who needs none first, then the one that has had it longest. */
static bool makes_room_before(const struct member *a, const struct member *b)
{
    bool is_needed = reach_needs_link(a);
    return is_needed == reach_needs_link(b) ? a->link_since_ns < b->link_since_ns : !is_needed;
}

/* When many are asked at once, the guest that is done longest makes room for the next; if need be also one
 * that no datagram reaches: others vouch for it. False: all of them are in use. */
static bool has_room_for_guest(core_t *c)
{
    struct member *idle = NULL;
    size_t count = 0;
    for (size_t i = 0; i < c->probe_order.count; i++) {
        struct member *m = c->probe_order.items[i];
        if (m->link == LINK_NONE || !m->is_our_guest || m->is_neighbour) {
            continue;
        }
        count++;
        bool is_idle = m->link == LINK_UP && c->sync_guest != m && !call_uses_link(c, m);
        if (is_idle && (idle == NULL || makes_room_before(m, idle))) {
            idle = m;
        }
    }
    if (count >= GUESTS_MAX && idle != NULL) {
        overlay_hangup(c, idle);
        count--;
    }
    return count < GUESTS_MAX;
}

/* What is to be done about one link; returns when to look again. */
static uint64_t tend_link(core_t *c, struct member *m)
{
    /* It has spoken to us under the pair's key; or UDP between us may be blocked, so that it cannot. If it
     * does not know us yet, its ZAP refuses, and the link is dialled again. */
    bool accepted = m->session != 0 || m->is_remembered || m->status == STATUS_SUSPECT ||
                    m->path == PATH_LINK || m->path == PATH_RELAYED;
    switch (m->link) {
    case LINK_NONE:
        if (m->is_neighbour && c->sync_guest == m && !is_wanted(c, m)) {
            c->sync_guest = NULL; /* it dials us, if it can; a link begins with an exchange */
        }
        if (!member_is_up(m) || (!is_wanted(c, m) && !m->is_neighbour)) {
            return TIMER_NEVER;
        }
        if (!is_wanted(c, m) && waits_since(c, m) + PATIENCE_NS > c->now_ns) {
            return waits_since(c, m) + PATIENCE_NS;
        }
        if (!accepted) {
            swim_probe(c, m, false); /* known by hearsay: its answer comes back here */
            return TIMER_NEVER;
        }
        if (dial_again_ns(m) > c->now_ns) {
            return dial_again_ns(m);
        }
        if (addr_is_none(&m->addr) || m->rec.link_port == 0) {
            return c->now_ns + DIAL_TIMEOUT_NS; /* nowhere to dial, until its next record */
        }
        if (!m->is_neighbour && !has_room_for_guest(c)) {
            return c->now_ns + SETTLE_NS; /* calls end soon, or at their deadline */
        }
        dial(c, m);
        return c->now_ns + DIAL_SLOW_NS;
    case LINK_DIALLING:
        if (c->now_ns - m->link_since_ns >= DIAL_TIMEOUT_NS) {
            overlay_hangup(c, m);
            dial_failed(c, m);
            return dial_again_ns(m);
        }
        if (c->now_ns - m->link_since_ns < DIAL_SLOW_NS) {
            return m->link_since_ns + DIAL_SLOW_NS;
        }
        ask_to_dial(c, m);
        return m->link_since_ns + DIAL_TIMEOUT_NS;
    case LINK_UP:
        if (m->is_neighbour) {
            m->unwanted_since_ns = 0;
            return TIMER_NEVER;
        }
        if (call_uses_link(c, m) || reach_needs_link(m)) {
            m->unwanted_since_ns = 0;
            return c->now_ns + UNWANTED_NS; /* nothing else wakes us when that is over */
        }
        if (m->unwanted_since_ns == 0) {
            m->unwanted_since_ns = c->now_ns;
        }
        if (c->now_ns - m->unwanted_since_ns >= UNWANTED_NS) {
            overlay_hangup(c, m);
            return TIMER_NEVER;
        }
        return m->unwanted_since_ns + UNWANTED_NS;
    }
    return TIMER_NEVER;
}

void overlay_tick(core_t *c)
{
    uint64_t next = TIMER_NEVER;
    if (c->overlay_dirty) {
        c->overlay_dirty = false;
        mark_neighbours(c);
    }
    for (size_t i = 0; i < c->probe_order.count; i++) {
        struct member *m = c->probe_order.items[i];
        if (m->link != LINK_NONE || m->is_neighbour || m->wants_link) {
            uint64_t at = tend_link(c, m);
            next = at < next ? at : next;
        }
    }
    if (next != TIMER_NEVER && !c->leaving) {
        core_arm(c, TIMER_OVERLAY, next > c->now_ns ? next : c->now_ns + SETTLE_NS);
    }
}

void overlay_want_link(core_t *c, struct member *m)
{
    m->unwanted_since_ns = 0;
    m->is_dialled_for_it = false;
    if (m->link == LINK_NONE) {
        m->wants_link = true;
        overlay_touch(c);
    }
}

void overlay_asked_to_dial(core_t *c, struct member *m)
{
    bool is_ours = m->wants_link;
    overlay_want_link(c, m);
    m->is_dialled_for_it = !is_ours;
}

void overlay_link_up(core_t *c, struct member *m)
{
    core_count(c, M_LINKS_UP);
    if (m->link != LINK_UP) {
        c->links_up++;
    }
    m->link = LINK_UP;
    m->is_lazy = false;
    m->is_grafted = false;
    m->link_since_ns = c->now_ns;
    m->unwanted_since_ns = 0;
    m->dial_failures = 0;
    core_note(c, NOTE_DEBUG, NOTE_LINK_UP, m, NULL, REASON_NONE, 0);
    reach_proven(c);
    sync_start(c, m);
    repair_link_up(c, m);
    if (!m->addr_proven) {
        swim_probe(c, m, false); /* or its end would be no evidence */
    }
    swim_link_up(c, m);
    labels_wanted(c);
    call_link_changed(c, m);
    overlay_touch(c);
}

void overlay_link_down(core_t *c, struct member *m)
{
    bool was_up = m->link == LINK_UP;
    bool was_dialling = m->link == LINK_DIALLING;
    core_count(c, M_LINKS_DOWN);
    if (was_up) {
        c->links_up--;
    }
    m->link = LINK_NONE;
    m->is_linked_early = false;
    m->is_our_guest = false;
    m->link_since_ns = c->now_ns;
    if (was_dialling) {
        dial_failed(c, m);
    }
    core_note(c, NOTE_DEBUG, NOTE_LINK_DOWN, m, NULL, REASON_NONE, 0);
    call_link_changed(c, m);
    overlay_touch(c);
    if (was_up && m->is_neighbour) { /* a guest link may be closed by who needs it no more */
        doubt_evidence(c, m);
    }
}
