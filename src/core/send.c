/* SPDX-License-Identifier: MPL-2.0 */
/* Messages out: from structs to effects. */
#include "base/err.h"
#include "core/core_priv.h"
#include "core/suspicion.h"

#include <string.h>

/* What was encoded, in the effect list; data NULL if it did not fit. */
static struct span copy_scratch(core_t *c)
{
    return buf_failed(&c->scratch) ? span_of(NULL, 0)
                                   : fxlist_copy(&c->fx, buf_span(&c->scratch));
}

static struct span encode(core_t *c, const struct swim_msg *msg)
{
    buf_clear(&c->scratch);
    swim_msg_write(&c->scratch, msg);
    next_add_field(c, &c->scratch);
    return copy_scratch(c);
}

/* A record may name no address, or no port. */
static bool is_nowhere(const struct addr *to)
{
    return addr_is_none(to) || to->port == 0;
}

/* Everything but whom it is for; NULL if it cannot be sent. */
static struct effect *datagram(core_t *c, enum datagram_class cls, const struct addr *to,
                               struct span body)
{
    if (body.data == NULL || body.size > DATAGRAM_BODY_BYTES_MAX || is_nowhere(to)) {
        return NULL;
    }
    struct effect *fx = fxlist_add(&c->fx, FX_DATAGRAM);
    if (fx != NULL) {
        fx->as.datagram.to = *to;
        fx->as.datagram.cls = cls;
        fx->as.datagram.session = c->session;
        fx->as.datagram.body = body;
    }
    return fx;
}

static void send_body_to(core_t *c, struct member *m, const struct addr *to, struct span body)
{
    struct effect *fx = datagram(c, DATAGRAM_PAIR, to, body);
    if (fx != NULL) {
        fx->as.datagram.peer = m->id;
        fx->as.datagram.counter = ++m->tx_counter;
        if (c->by_mail && node_id_eq(&m->id, &c->mail_from)) {
            fx->type = FX_MAIL;
        }
    }
}

void send_pair_to(core_t *c, struct member *m, const struct addr *to, const struct swim_msg *msg)
{
    send_body_to(c, m, to, encode(c, msg));
}

void send_bytes_pair(core_t *c, struct member *m, struct span body)
{
    send_body_to(c, m, &m->addr, fxlist_copy(&c->fx, body));
}

void send_pair(core_t *c, struct member *m, const struct swim_msg *msg)
{
    if (reach_over_link(m)) {
        send_frame_swim(c, m, msg);
        return;
    }
    send_pair_to(c, m, &m->addr, msg);
}

void send_mesh(core_t *c, const struct addr *to, const struct swim_msg *msg)
{
    struct effect *fx = datagram(c, DATAGRAM_MESH, to, encode(c, msg));
    if (fx != NULL) {
        fx->as.datagram.counter = ++c->mesh_counter;
        if (c->by_mail) { /* first contact only ever answers in the same step */
            fx->type = FX_MAIL;
            fx->as.datagram.peer = c->mail_from;
        }
    }
}

void send_mesh_mail(core_t *c, const struct addr *to, const struct node_id *id,
                    const struct swim_msg *msg)
{
    struct effect *fx = datagram(c, DATAGRAM_MESH, to, encode(c, msg));
    if (fx != NULL) {
        fx->type = FX_MAIL;
        fx->as.datagram.peer = *id;
        fx->as.datagram.counter = ++c->mesh_counter;
    }
}

void send_frame(core_t *c, struct member *m, enum frame_type type, struct span body)
{
    struct span copy = next_frame(c, type, body);
    struct effect *fx = m->link == LINK_UP ? fxlist_add(&c->fx, FX_FRAME) : NULL;
    if (fx != NULL) {
        fx->as.frame.peer = m->id;
        fx->as.frame.type = (uint8_t) type;
        fx->as.frame.body = copy;
    }
}

void send_frame_swim(core_t *c, struct member *m, const struct swim_msg *msg)
{
    struct span body = encode(c, msg);
    if (body.data != NULL) {
        send_frame(c, m, FRAME_SWIM, body);
    }
}

struct span update_of_record(core_t *c, const struct member *m)
{
    buf_clear(&c->scratch);
    swim_update_write_record(&c->scratch, member_record(m));
    next_add_field(c, &c->scratch);
    return copy_scratch(c);
}

struct span update_of_claim(core_t *c, const struct claim *claim)
{
    buf_clear(&c->scratch);
    swim_update_write_claim(&c->scratch, claim);
    next_add_field(c, &c->scratch);
    return copy_scratch(c);
}

static void claim_observers(struct claim *claim, const struct node_id *observers, size_t count)
{
    memcpy(claim->observers, observers, count * sizeof *observers);
    claim->observer_count = count;
}

bool claim_about(const struct member *m, struct claim *ret_claim)
{
    struct claim claim = {.target = m->id,
                          .evidence = m->evidence,
                          .incarnation = member_incarnation(m),
                          .reason = (uint8_t) m->reason};
    switch (m->status) {
    case STATUS_SUSPECT:
        if (m->watch == NULL || m->is_remembered) {
            return false;
        }
        claim.kind = CLAIM_SUSPECT;
        claim_observers(&claim, m->watch->observers, m->watch->observer_count);
        break;
    case STATUS_FAILED:
        claim.kind = CLAIM_FAILED;
        claim_observers(&claim, m->observers, m->observer_count);
        break;
    case STATUS_ALIVE:
    case STATUS_LEFT: return false;
    }
    *ret_claim = claim;
    return true;
}

struct span update_about(core_t *c, const struct member *m)
{
    struct claim claim;
    if (m->status == STATUS_LEFT) {
        return update_of_record(c, m);
    }
    return claim_about(m, &claim) ? update_of_claim(c, &claim) : span_of(NULL, 0);
}

void send_swim(core_t *c, struct member *m, const struct addr *to, struct swim_msg *msg)
{
    struct span updates[GOSSIP_UPDATES_MAX + 1];
    size_t count = 0;
    size_t budget = PADDING_MAX;
    HM_ASSERT(msg->padding <= PADDING_MAX);
    /* While isolated, what we hold against others is our own trouble. */
    bool is_told = !c->isolated && (c->params.lifeguard || m->status != STATUS_SUSPECT);
    struct span about = is_told ? update_about(c, m) : span_of(NULL, 0);
    if (about.data != NULL) {
        updates[count++] = about;
        budget -= about.size;
    }
    unsigned limit = c->params.gossip_mult * log10_ceil(c->roster.count);
    if (msg->padding > 0) {
        count = 0; /* there is no room beside it */
    } else if (member_is_up(m) && (to == NULL || m->session_live)) {
        /* What the dead are told is told to nobody, and a stranger would drop it. */
        count += gossip_take(&c->gossip, limit, budget, &c->fx, updates + count);
    }
    msg->view_hash = c->roster.view_hash;
    msg->registry = registry_state(c->registry);
    coord_to_wire(&c->coord, &msg->coord);
    msg->updates = updates;
    msg->update_count = count;
    if (to == NULL) {
        send_frame_swim(c, m, msg);
    } else {
        send_pair_to(c, m, to, msg);
    }
}

void send_pair_both_ways(core_t *c, struct member *m, const struct swim_msg *msg)
{
    send_pair_to(c, m, &m->addr, msg);
    if (m->link == LINK_UP) {
        send_frame_swim(c, m, msg);
    }
}

void tell_one(core_t *c, struct member *to, struct span update)
{
    if (update.data != NULL) {
        struct swim_msg msg = {.type = SWIM_GOSSIP, .updates = &update, .update_count = 1};
        send_pair(c, to, &msg);
    }
}

void tell_all(core_t *c, struct span update)
{
    if (core_up_others(c) > HM_DIRECT_RECEIVERS_MAX) {
        return; /* the queue spreads it */
    }
    for (size_t i = 0; i < c->probe_order.count; i++) {
        tell_one(c, c->probe_order.items[i], update);
    }
}

static void gossip_update(core_t *c, struct member *m, enum gossip_slot slot, struct span update)
{
    if (update.data == NULL) {
        return;
    }
    if (gossip_put(&c->gossip, m, slot, update) == HM_EFULL) {
        core_count(c, M_GOSSIP_DROPPED);
    }
    if (c->ready && core_up_others(c) > 0) {
        core_arm_earlier(c, TIMER_GOSSIP, c->now_ns + c->params.gossip_interval_ns / 4);
    }
}

void gossip_record(core_t *c, struct member *m)
{
    gossip_update(c, m, GOSSIP_RECORD, update_of_record(c, m));
}

void gossip_claim(core_t *c, struct member *m, const struct claim *claim)
{
    gossip_update(c, m, GOSSIP_CLAIM, update_of_claim(c, claim));
}

void tell_its_state(core_t *c, struct member *m)
{
    if (c->now_ns - m->told_ns >= 100 * MS_NS || m->told_ns == 0) {
        m->told_ns = c->now_ns;
        tell_one(c, m, update_about(c, m));
    }
}

static bool hears_gossip(const struct member *m, const void *but)
{
    return m != but && reach_hears_us(m);
}

/* Whoever we have not met drops it, and in a young mesh of thousands that is nearly everyone. The first of
 * them is linked: a node that has just come was met by few, but it has links. */
static size_t gossip_targets(core_t *c, struct member **ret_members)
{
    size_t k = c->params.gossip_fanout < ORDER_PICK_MAX ? c->params.gossip_fanout : ORDER_PICK_MAX;
    size_t count = 0;
    if (k > 1) {
        count = order_pick(&c->probe_order, &c->prng, 1, member_is_linked, NULL, ret_members);
    }
    return count + order_pick(&c->probe_order, &c->prng, k - count, hears_gossip,
                              count > 0 ? ret_members[0] : NULL, ret_members + count);
}

void send_gossip_tick(core_t *c)
{
    struct member *to[ORDER_PICK_MAX];
    if (c->gossip.count == 0 || core_up_others(c) == 0) {
        return;
    }
    size_t count = gossip_targets(c, to);
    for (size_t i = 0; i < count; i++) {
        /* One goes over a link even where datagrams are known to arrive: they may have ceased to. */
        bool over_link = reach_over_link(to[i]) || (i == 0 && to[i]->link == LINK_UP);
        struct swim_msg msg = {.type = SWIM_GOSSIP};
        send_swim(c, to[i], over_link ? NULL : &to[i]->addr, &msg);
    }
    if (c->gossip.count > 0) {
        core_arm(c, TIMER_GOSSIP, c->now_ns + c->params.gossip_interval_ns);
    }
}
