/* SPDX-License-Identifier: MPL-2.0 */
/* One step of a core: its event goes in, its effects are carried out one by one and judged. See
 * world.h. */
#include "sim/world.h"

#include "base/err.h"
#include "base/text.h"
#include "sim/check.h"
#include "sim/ledger.h"
#include "sim/simlink.h"
#include "sim/simnet.h"
#include "wire/swim_msg.h"

#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
    HM_ASSERT(p != NULL);
    return p;
}

/* What millionths make of a time; whole seconds apart, so that years do not overflow. */
static int64_t part_of(uint64_t ns, int64_t ppm)
{
    return (int64_t) (ns / 1000000U) * ppm + (int64_t) (ns % 1000000U) * ppm / 1000000;
}

static uint64_t elapsed(const struct world *w, const struct sim_node *n)
{
    uint64_t ns = w->now_ns - n->clock_set_ns;
    return ns + (uint64_t) part_of(ns, n->drift_ppm);
}

uint64_t world_clock(const struct world *w, const struct sim_node *n)
{
    return n->boot_ns + elapsed(w, n);
}

uint64_t world_wall_ms(const struct world *w, const struct sim_node *n)
{
    return (uint64_t) n->wall_ms + elapsed(w, n) / MS_NS;
}

void world_clock_set(struct world *w, struct sim_node *n, uint64_t boot_ns)
{
    n->wall_ms = (int64_t) world_wall_ms(w, n);
    n->boot_ns = boot_ns;
    n->clock_set_ns = w->now_ns;
}

/* How long the world takes until this clock has gone on by so much. */
static uint64_t world_time_of(const struct sim_node *n, uint64_t local_ns)
{
    if (n->drift_ppm == 0) {
        return local_ns;
    }
    uint64_t rate = (uint64_t) (1000000 + n->drift_ppm);
    return local_ns / rate * 1000000U + local_ns % rate * 1000000U / rate + 1;
}

/* The daemon rounds deadlines up to the milliseconds of poll(). */
void world_arm_tick(struct world *w, struct sim_node *n)
{
    uint64_t deadline = core_deadline_ns(n->core);
    if (deadline == TIMER_NEVER) {
        timer_disarm(&w->heap, &n->tick);
        return;
    }
    uint64_t local = world_clock(w, n);
    uint64_t at = w->now_ns;
    if (deadline > local) {
        uint64_t wait_ms = (deadline - local + MS_NS - 1) / MS_NS;
        at += world_time_of(n, wait_ms * MS_NS);
    }
    if (n->tick.at_ns != at || !timer_is_armed(&n->tick)) {
        world_arm(w, &n->tick, at);
    }
}

static void persist(struct world *w, struct sim_node *n, const struct effect *fx)
{
    n->batches++;
    const struct store_entry *entries = fx->as.persist.entries;
    size_t count = fx->as.persist.count;
    ledger_persist(w->ledger, n, entries, count);
    if (n->is_refusing) {
        return;
    }
    struct core_status status;
    uint64_t mark = 0;
    if (simdisk_touches(entries, count, STORE_SELF)) {
        core_status(n->core, &status);
        mark = status.incarnation;
    }
    simdisk_add(&n->disk, fx->as.persist.batch, entries, count,
                w->conf.keep_disks ? STORE_SELF : STORE_VECTOR, mark);
    uint64_t at = w->now_ns + world_up_to(&w->prng, w->net.disk_ns);
    if (at < n->disk.committed_ns) {
        at = n->disk.committed_ns;
    }
    n->disk.committed_ns = at;
    struct msg *m = world_msg(w, n->idx, 0);
    m->generation = n->generation;
    world_post(w, m, MSG_COMMIT, at);
}

static void peer_add(struct world *w, struct sim_node *n, const struct effect *fx)
{
    struct sim_node *peer = world_node_by_id(w, &fx->as.peer.id);
    if (peer == NULL || memcmp(peer->identity.key, fx->as.peer.key, NODE_KEY_BYTES) != 0) {
        world_violation(w, "%s admits somebody who is not of this mesh", n->name);
        return;
    }
    n->peers[peer->idx] = 1;
}

static void peer_gone(struct world *w, struct sim_node *n, const struct effect *fx)
{
    struct sim_node *peer = world_node_by_id(w, &fx->as.peer.id);
    if (peer != NULL) {
        n->peers[peer->idx] = 0;
    }
    simlink_hangup(w, n, &fx->as.peer.id);
}

static void count_note(struct world *w, const struct sim_node *n, const struct note *note)
{
    bool is_own = node_id_eq(&note->observer, &n->identity.id);
    if (note->code == NOTE_REFUTED) {
        w->rare[RARE_REFUTED]++;
    } else if (note->code == NOTE_VERDICT_DOUBTED) {
        w->rare[RARE_VERDICT_DOUBTED]++;
    } else if (note->code == NOTE_MEMBER_FAILED && is_own) {
        w->rare[RARE_VERDICT_REFUSED] += note->reason == REASON_REFUSED;
        w->rare[RARE_VERDICT_NO_ACK] += note->reason == REASON_NO_ACK;
    } else if (note->code == NOTE_MEMBER_LEFT) {
        w->rare[RARE_LEFT]++;
    } else if (note->code == NOTE_MEMBER_ALIVE && note->reason == REASON_RECOVERED) {
        w->rare[RARE_RECOVERED]++;
    }
    if (w->conf.note_sink != NULL) {
        w->conf.note_sink(w->conf.note_ctx, w, n->idx, note);
    }
}

/* Carries out one effect. Returns false if it was a datagram that the network lost. */
static bool carry_out(struct world *w, struct sim_node *n, const struct effect *fx)
{
    trace_effect(&w->trace, n->idx, w->now_ns, fx);
    switch (fx->type) {
    case FX_PEER:
        peer_add(w, n, fx);
        break;
    case FX_PEER_GONE:
        peer_gone(w, n, fx);
        break;
    case FX_DATAGRAM:
        return simnet_send(w, n, fx);
    case FX_FRAME:
        ledger_frame_out(w->ledger, n, fx);
        simlink_send(w, n, fx);
        break;
    case FX_DIAL:
        simlink_dial(w, n, fx);
        break;
    case FX_HANGUP:
        simlink_hangup(w, n, &fx->as.dial.peer);
        break;
    case FX_CONNECT:
        simnet_connect(w, n, fx);
        break;
    case FX_BEACON:
        simnet_beacon(w, n);
        break;
    case FX_PERSIST:
        persist(w, n, fx);
        break;
    case FX_NOTE:
        count_note(w, n, &fx->as.note);
        break;
    case FX_STOP:
        world_stop(w, n);
        break;
    case FX_ZRE_HELLO: /* a Zyre peer would hear it; there is none */
    case FX_MAIL:      /* nor are there mailboxes */
        break;
    case FX_REPLY:
        ledger_reply(w->ledger, n, fx->as.reply.client, fx->as.reply.body);
        break;
    }
    return true;
}

/* In a mesh of three, a request to the one helper there is, that the network lost. */
static bool is_only_helper(const struct world *w)
{
    unsigned running = 0;
    for (unsigned i = 0; i < w->count && running <= 3; i++) {
        running += world_is_running(&w->nodes[i]);
    }
    return running == 3 || (running == 2 && w->count == 3);
}

static void carry_out_all(struct world *w, struct sim_node *n, const struct effects *fx,
                          bool is_asking_helpers)
{
    size_t count = fx->count;
    bool dies = n->dies_between && count >= 2;
    if (dies) {
        count = 1 + prng_below(&w->fault_prng, count - 1);
    }
    uint32_t life = n->generation;
    for (size_t i = 0; i < count && n->core != NULL && n->generation == life && !w->failed; i++) {
        bool arrives = carry_out(w, n, &fx->items[i]);
        if (!arrives && is_asking_helpers && is_only_helper(w)) {
            w->rare[RARE_ONLY_HELPER_LOST]++;
        }
    }
    if (dies && n->core != NULL) {
        w->rare[RARE_CRASH_BETWEEN]++;
        ledger_cut_short(w->ledger, fx, count);
        world_crash(w, n);
    }
}

/* Sums of counters that tell what a step did with a datagram. */
static uint64_t not_taken(const struct metrics *m)
{
    uint64_t sum = m->value[M_CHALLENGES];
    for (int i = M_DROP_NOT_OURS; i <= M_DROP_FULL; i++) {
        sum += m->value[i];
    }
    return sum;
}

static void capture(struct world *w, const struct sim_node *n, const struct msg *m)
{
    unsigned at = w->captured_count < CAPTURED_MAX
                      ? w->captured_count
                      : (unsigned) prng_below(&w->fault_prng, CAPTURED_MAX);
    if (at == w->captured_count) {
        w->captured_count++;
    } else {
        free(w->captured[at]);
    }
    struct msg *copy = must(malloc(sizeof *copy + m->size));
    memcpy(copy, m, sizeof *copy + m->size);
    copy->as.datagram.taken_by = n->generation;
    w->captured[at] = copy;
}

/* When a node last took something of another, on its own clock; 0 if never. */
static uint64_t heard_at(const struct sim_node *n, const struct node_id *sender)
{
    struct member_view view;
    char id[NODE_ID_TEXT_BYTES];
    text_hex(sender->b, NODE_ID_BYTES, id);
    if (core_member_find(n->core, id, &view) != HM_OK || view.last_heard_ns == UINT64_MAX) {
        return 0;
    }
    return core_now_ns(n->core) - view.last_heard_ns;
}

/* The step took the datagram: it was not counted as dropped or challenged, and did something. First
 * contacts and challenges are left out: they are answered whatever their number. */
static bool is_taken(const struct sim_node *n, const struct metrics *before, const struct msg *m,
                     const struct effects *fx, uint64_t heard_before_ns)
{
    struct swim_msg msg;
    if (m->as.datagram.cls == DATAGRAM_MESH || not_taken(&n->metrics) != not_taken(before) ||
        swim_msg_read(span_of(m->bytes, m->size), &msg) != HM_OK || msg.type == SWIM_CHALLENGE) {
        return false;
    }
    return fx->count > 0 || heard_at(n, &m->as.datagram.sender) != heard_before_ns;
}

/* A replayed datagram must be refused; one that was taken may be replayed later. */
static void judge_datagram(struct world *w, const struct sim_node *n, const struct metrics *before,
                           const struct effects *fx, uint64_t heard_before_ns)
{
    const struct msg *m = w->in_hand;
    const struct sim_node *from = &w->nodes[m->as.datagram.from];
    bool taken = is_taken(n, before, m, fx, heard_before_ns);
    if (m->as.datagram.taken_by == 0) {
        if (taken) {
            capture(w, n, m);
        }
        return;
    }
    if (n->metrics.value[M_DROP_REPLAYED] > before->value[M_DROP_REPLAYED]) {
        w->rare[RARE_REPLAY_REFUSED]++;
    } else if (taken && m->as.datagram.taken_by == n->generation &&
               m->as.datagram.from_generation == from->generation) {
        world_violation(w, "%s takes a datagram of %s again that an attacker replayed", n->name,
                        from->name);
    }
}

static void count_step(struct world *w, const struct sim_node *n, const struct metrics *before,
                       const struct event *ev)
{
    const uint64_t *now = n->metrics.value;
    const uint64_t *was = before->value;
    w->rare[RARE_CHALLENGED] += now[M_CHALLENGES] - was[M_CHALLENGES];
    w->rare[RARE_FORGED_DROPPED] += now[M_DROP_FORGED_RECORD] - was[M_DROP_FORGED_RECORD];
    w->rare[RARE_FULL_EXCHANGE] += now[M_FULL_EXCHANGES] - was[M_FULL_EXCHANGES];
    if (now[M_PROBES_URGENT] > was[M_PROBES_URGENT]) {
        w->rare[RARE_LINK_EVIDENCE] += ev->type == EV_LINK_DOWN;
        w->rare[RARE_ICMP_EVIDENCE] += ev->type == EV_UNREACHABLE;
    }
}

void world_step(struct world *w, struct sim_node *n, struct event *ev)
{
    HM_ASSERT(n->core != NULL);
    if (w->failed) {
        return;
    }
    ev->now_ns = world_clock(w, n);
    ev->wall_ms = world_wall_ms(w, n);
    struct metrics before = n->metrics;
    struct effects fx;
    bool is_watched = w->is_capturing && w->in_hand != NULL && ev->type == EV_DATAGRAM;
    uint64_t heard_before_ns = is_watched ? heard_at(n, &w->in_hand->as.datagram.sender) : 0;
    n->wakeups++;
    w->steps++;
    int rc = core_step(n->core, ev, &fx);
    if (rc != HM_OK) {
        world_violation(w, "the core of %s fails: %s", n->name, hm_strerror(rc));
        return;
    }
    if (fx.count > w->effects_max) {
        w->effects_max = fx.count;
    }
    count_step(w, n, &before, ev);
    if (is_watched) {
        judge_datagram(w, n, &before, &fx, heard_before_ns);
    }
    check_step(w->check, n, ev, &fx);
    ledger_event(w->ledger, n, ev);
    bool asks = n->metrics.value[M_PROBES_INDIRECT] > before.value[M_PROBES_INDIRECT];
    carry_out_all(w, n, &fx, asks);
    if (n->core != NULL) {
        world_arm_tick(w, n);
    }
}
