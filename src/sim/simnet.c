/* SPDX-License-Identifier: MPL-2.0 */
/* The network between the simulated machines: see simnet.h. */
#include "sim/simnet.h"

#include "base/err.h"
#include "base/limits.h"
#include "sim/check.h"
#include "sim/faults.h"

#include <stdlib.h>
#include <string.h>

#define CONNECT_LIMIT_NS SECOND_NS /* FX_CONNECT answers within it */

static const struct path_conf *path_between(const struct world *w, unsigned from, unsigned to)
{
    unsigned at = w->path_of == NULL ? 0 : w->path_of[(size_t) from * w->count + to];
    return at == 0 ? NULL : &w->paths[at - 1];
}

static void count_bad_path(struct world *w, unsigned node, int change)
{
    struct sim_node *n = &w->nodes[node];
    n->bad_paths = (unsigned) ((int) n->bad_paths + change);
    world_disturb(w, n);
}

void simnet_path(struct world *w, unsigned from, unsigned to, uint64_t idx,
                 const struct path_conf *path)
{
    if (from == to || idx >= PATHS_MAX) {
        return;
    }
    if (w->path_of == NULL) {
        w->path_of = calloc((size_t) w->count * w->count, 1);
        HM_ASSERT(w->path_of != NULL);
    }
    const struct path_conf *old = path_between(w, from, to);
    int change = (path->loss_ppm > 0) - (old != NULL && old->loss_ppm > 0);
    if (change != 0) {
        count_bad_path(w, from, change);
        count_bad_path(w, to, change);
    }
    w->paths[idx] = *path;
    w->path_of[(size_t) from * w->count + to] = (uint8_t) (idx + 1);
}

uint64_t simnet_latency(struct world *w, unsigned from, unsigned to)
{
    const struct path_conf *path = path_between(w, from, to);
    uint64_t own_ns = path == NULL ? 0 : path->latency_ns + world_up_to(&w->prng, path->jitter_ns);
    uint64_t low = from < to ? from : to;
    uint64_t high = from < to ? to : from;
    uint64_t spread =
        w->net.spread_ns == 0 ? 0 : prng_mix(w->conf.seed ^ (low << 32) ^ high) % w->net.spread_ns;
    return w->net.latency_ns + spread + own_ns + world_up_to(&w->prng, w->net.jitter_ns);
}

enum block simnet_block(const struct world *w, unsigned from, unsigned to)
{
    const struct sim_node *a = &w->nodes[from];
    const struct sim_node *b = &w->nodes[to];
    if (!a->host_up || !b->host_up || a->is_deaf || b->is_deaf) {
        return BLOCK_DROP;
    }
    return (enum block) w->blocked[(size_t) from * w->count + to];
}

void simnet_cut(struct world *w, unsigned from, unsigned to, enum block block)
{
    uint8_t *at = &w->blocked[(size_t) from * w->count + to];
    if (from == to || *at == (uint8_t) block) {
        return;
    }
    struct sim_node *a = &w->nodes[from];
    struct sim_node *b = &w->nodes[to];
    int change = *at == BLOCK_NONE ? 1 : block == BLOCK_NONE ? -1 : 0;
    *at = (uint8_t) block;
    if (a->is_outcast || !b->is_outcast) {
        a->cuts = (unsigned) ((int) a->cuts + change);
        world_disturb(w, a);
    }
    if (b->is_outcast || !a->is_outcast) {
        b->cuts = (unsigned) ((int) b->cuts + change);
        world_disturb(w, b);
    }
}

bool simnet_is_lost(struct world *w, unsigned from, unsigned to)
{
    const struct path_conf *path = path_between(w, from, to);
    return world_chance(&w->prng, w->net.loss_ppm) ||
           (path != NULL && world_chance(&w->prng, path->loss_ppm)) ||
           world_chance(&w->prng, w->nodes[from].radio_ppm) ||
           world_chance(&w->prng, w->nodes[to].radio_ppm) ||
           world_chance(&w->prng, w->nodes[to].ear_ppm);
}

/* A firewall, or the network. */
static bool is_datagram_lost(struct world *w, unsigned from, unsigned to)
{
    return w->nodes[from].no_udp || w->nodes[to].no_udp || simnet_is_lost(w, from, to);
}

void simnet_heal(struct world *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        for (unsigned j = 0; j < w->count; j++) {
            simnet_cut(w, i, j, BLOCK_NONE);
        }
    }
    for (unsigned i = 0; i < w->count; i++) {
        w->nodes[i].is_outcast = false;
        w->nodes[i].is_closed = false;
        if (w->nodes[i].no_udp) {
            w->nodes[i].no_udp = false;
            world_disturb(w, &w->nodes[i]);
        }
    }
}

/* A port-unreachable for `quoted` on its way to node `to`. */
static void report_unreachable(struct world *w, unsigned from, unsigned to,
                               const struct addr *quoted)
{
    if (simnet_block(w, from, to) == BLOCK_DROP || simnet_is_lost(w, from, to)) {
        return;
    }
    struct msg *m = world_msg(w, to, 0);
    m->generation = w->nodes[to].generation;
    m->as.addr = *quoted;
    world_post(w, m, MSG_UNREACHABLE, w->now_ns + simnet_latency(w, from, to));
}

/* Puts it on the wire to the machine that has the address. True if it gets there. */
static bool transmit(struct world *w, struct msg *m, const struct addr *to)
{
    unsigned from = m->as.datagram.from;
    struct sim_node *dest = world_node_by_addr(w, to);
    if (dest == NULL || to->port != SIM_PORT || dest->idx == from) {
        world_msg_free(w, m);
        return false;
    }
    enum block block = simnet_block(w, from, dest->idx);
    if (block != BLOCK_NONE || is_datagram_lost(w, from, dest->idx)) {
        if (block == BLOCK_REJECT) {
            report_unreachable(w, dest->idx, from, to);
        }
        world_msg_free(w, m);
        return false;
    }
    uint64_t at = w->now_ns + simnet_latency(w, from, dest->idx);
    if (world_chance(&w->prng, w->net.reorder_ppm)) {
        at += world_up_to(&w->prng, w->net.reorder_ns);
    }
    /* A pair's key opens only at the one for whom it was sealed. */
    m->node = dest->idx;
    if (world_chance(&w->prng, w->net.duplicate_ppm)) {
        struct msg *twin = world_msg(w, m->node, m->size);
        twin->as = m->as;
        memcpy(twin->bytes, m->bytes, m->size);
        world_post(w, twin, MSG_DATAGRAM, at + world_up_to(&w->prng, 10U * MS_NS));
    }
    world_post(w, m, MSG_DATAGRAM, at);
    return true;
}

/* The contract of FX_DATAGRAM: it fits, its receiver is known, its nonce is new. */
static bool is_sound(struct world *w, struct sim_node *n, const struct effect *fx)
{
    bool is_pair = fx->as.datagram.cls == DATAGRAM_PAIR;
    size_t head = is_pair ? DATAGRAM_PAIR_HEAD_BYTES : DATAGRAM_MESH_HEAD_BYTES;
    size_t size = head + fx->as.datagram.body.size + DATAGRAM_TAG_BYTES;
    const struct sim_node *peer = is_pair ? world_node_by_id(w, &fx->as.datagram.peer) : NULL;
    if (size > HM_DATAGRAM_BYTES_MAX || fx->as.datagram.body.size == 0) {
        world_violation(w, "%s sends a datagram of %zu bytes", n->name, size);
    } else if (is_pair && (peer == NULL || !n->peers[peer->idx])) {
        world_violation(w, "%s seals a datagram for a peer it has not admitted", n->name);
    } else {
        uint64_t *last = &n->counters[is_pair ? peer->idx : w->count];
        if (fx->as.datagram.counter <= *last && *last != 0) {
            world_violation(w, "%s uses nonce %llu after %llu", n->name,
                            (unsigned long long) fx->as.datagram.counter,
                            (unsigned long long) *last);
        }
        *last = fx->as.datagram.counter;
    }
    n->has_spoken = true;
    n->datagrams_sent++;
    n->datagram_bytes_sent += size;
    return !w->failed;
}

bool simnet_send(struct world *w, struct sim_node *n, const struct effect *fx)
{
    if (!is_sound(w, n, fx)) {
        return true;
    }
    struct span body = fx->as.datagram.body;
    struct msg *m = world_msg(w, n->idx, body.size);
    m->as.datagram.from = n->idx;
    m->as.datagram.from_generation = n->generation;
    m->as.datagram.source = n->addr;
    m->as.datagram.cls = fx->as.datagram.cls;
    m->as.datagram.sender = n->identity.id;
    m->as.datagram.peer = fx->as.datagram.peer;
    m->as.datagram.session = fx->as.datagram.session;
    m->as.datagram.counter = fx->as.datagram.counter;
    memcpy(m->bytes, body.data, body.size);
    if (w->now_ns < w->forging_until_ns) {
        faults_forge(w, m, &fx->as.datagram.to);
    }
    return transmit(w, m, &fx->as.datagram.to);
}

void simnet_replay(struct world *w, const struct msg *captured)
{
    struct msg *m = world_msg(w, captured->node, captured->size);
    m->as = captured->as;
    memcpy(m->bytes, captured->bytes, captured->size);
    world_post(w, m, MSG_DATAGRAM, w->now_ns);
}

static void datagram_arrive(struct world *w, struct msg *m)
{
    struct sim_node *n = &w->nodes[m->node];
    if (!n->host_up || n->is_deaf) {
        world_msg_free(w, m);
        return;
    }
    if (n->core == NULL) {
        report_unreachable(w, n->idx, m->as.datagram.from, &n->addr);
        world_msg_free(w, m);
        return;
    }
    if (m->as.datagram.cls == DATAGRAM_PAIR && !node_id_eq(&m->as.datagram.peer, &n->identity.id)) {
        metric_add(&n->metrics, M_DROP_UNSEALED, 1);
        world_msg_free(w, m);
        return;
    }
    world_take(w, m);
}

void simnet_beacon(struct world *w, struct sim_node *n)
{
    n->beacons_sent++;
    if (!w->net.broadcast) {
        return;
    }
    struct msg *m = world_msg(w, n->idx, 0);
    m->as.beacon.from = n->idx;
    m->as.beacon.addr = n->addr;
    world_post(w, m, MSG_BEACON, w->now_ns + simnet_latency(w, n->idx, n->idx));
}

static void beacon_arrive(struct world *w, struct msg *beacon)
{
    unsigned from = beacon->as.beacon.from;
    unsigned per_segment = w->net.segment_nodes == 0 ? w->count : w->net.segment_nodes;
    unsigned first = w->nodes[from].segment * per_segment;
    for (unsigned i = first; i < w->count && i < first + per_segment && !w->failed; i++) {
        if (i == from || w->nodes[i].core == NULL || simnet_block(w, from, i) == BLOCK_DROP ||
            is_datagram_lost(w, from, i)) {
            continue;
        }
        struct msg *m = world_msg(w, i, 0);
        m->timer.kind = MSG_CANDIDATE;
        m->as.candidate.addr = beacon->as.beacon.addr;
        m->as.candidate.id = w->nodes[from].identity.id;
        m->as.candidate.source = CANDIDATE_BEACON;
        world_take(w, m);
    }
    world_msg_free(w, beacon);
}

void simnet_arrive(struct world *w, struct msg *m)
{
    if (m->timer.kind == MSG_BEACON) {
        beacon_arrive(w, m);
    } else {
        datagram_arrive(w, m);
    }
}

void simnet_connect(struct world *w, struct sim_node *n, const struct effect *fx)
{
    const struct sim_node *dest = world_node_by_addr(w, &fx->as.connect.to);
    struct msg *m = world_msg(w, n->idx, 0);
    m->generation = n->generation;
    m->as.connect.peer = fx->as.connect.peer;
    m->as.connect.token = fx->as.connect.token;
    m->as.connect.outcome = CONNECT_SILENT;
    uint64_t wait = CONNECT_LIMIT_NS;
    if (dest != NULL && dest != n && !dest->is_closed && !simnet_is_lost(w, n->idx, dest->idx) &&
        !simnet_is_lost(w, dest->idx, n->idx)) {
        enum block there = simnet_block(w, n->idx, dest->idx);
        enum block back = simnet_block(w, dest->idx, n->idx);
        bool is_served = dest->core != NULL && fx->as.connect.to.port == SIM_LINK_PORT;
        uint64_t round_trip = simnet_latency(w, n->idx, dest->idx);
        round_trip += simnet_latency(w, dest->idx, n->idx);
        if (there != BLOCK_DROP && back != BLOCK_DROP && round_trip < wait) {
            bool is_open = is_served && there == BLOCK_NONE && back == BLOCK_NONE;
            m->as.connect.outcome = is_open ? CONNECT_OPEN : CONNECT_REFUSED;
            wait = round_trip;
        }
    }
    world_post(w, m, MSG_CONNECT, w->now_ns + wait);
}
