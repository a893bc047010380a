/* SPDX-License-Identifier: MPL-2.0 */
/* Links: see simlink.h.
 *
 * A conn is one TCP connection between side 0 (who dialled) and side 1. Each side has an end:
 *
 *   side 0:  DIALING --accept--> UP --fin, reset, hangup, death--> CLOSED
 *   side 1:  NONE ----syn------> UP --the same-------------------> CLOSED
 *
 * A flow is one direction. What is on its way is in the world's heap; what is lost or cannot get through
 * waits in the flow until a retry gets through. A conn is freed when both ends are closed, nothing
 * of it is on its way and nothing waits. */
#include "sim/simlink.h"

#include "base/err.h"
#include "base/limits.h"
#include "sim/simnet.h"

#include <stdlib.h>
#include <string.h>

#define RTO_FIRST_NS (200U * MS_NS) /* Linux's shortest retransmission timeout */
#define RTO_LONGEST_NS (120ULL * SECOND_NS)
#define FLOW_GIVES_UP_NS (6ULL * SECOND_NS)     /* the daemon's: UNACKED_MS in io/links.c */
#define ORPHAN_GIVES_UP_NS (100ULL * SECOND_NS) /* nobody owns the socket any more */
#define SEGMENT_BYTES 1448U /* what waits goes together, as far as it fits */
#define DIAL_GIVES_UP_NS (5ULL * SECOND_NS)
#define SYN_TRIES_MAX 3U /* at 0, 1 and 3 s */

enum end_state { END_NONE, END_DIALING, END_UP, END_CLOSED };

struct flow {
    struct conn *conn;
    unsigned side;            /* who sends */
    uint64_t last_arrival_ns; /* nothing overtakes */
    struct msg *first, *last; /* stalled, in the order in which they were sent */
    uint64_t numbered;        /* so many were sent */
    unsigned queued;          /* frames sent and not yet taken */
    size_t queued_bytes;
    uint64_t stalled_ns; /* since when */
    unsigned tries;
    struct timer retry;
};

struct conn {
    struct conn *next, **prev; /* in the world's list */
    unsigned node[2];
    enum end_state end[2];
    bool is_dead_path; /* an address it was made with is gone */
    bool has_arrived;  /* the first SYN did */
    struct flow flow[2];
    unsigned messages; /* on their way or stalled */
};

/* ---- conns and ends ---- */

static struct sim_node *node_of(struct world *w, const struct conn *c, unsigned side)
{
    return &w->nodes[c->node[side]];
}

static struct conn *conn_new(struct world *w, unsigned a, unsigned b)
{
    struct conn *c = calloc(1, sizeof *c);
    HM_ASSERT(c != NULL);
    c->node[0] = a;
    c->node[1] = b;
    c->next = w->conns;
    c->prev = &w->conns;
    if (c->next != NULL) {
        c->next->prev = &c->next;
    }
    w->conns = c;
    for (unsigned i = 0; i < 2; i++) {
        c->flow[i].conn = c;
        c->flow[i].side = i;
        c->flow[i].retry.kind = MSG_RETRY;
        c->flow[i].retry.owner = &c->flow[i];
    }
    return c;
}

static bool is_open(enum end_state end)
{
    return end == END_DIALING || end == END_UP;
}

static void conn_free(struct world *w, struct conn *c)
{
    for (unsigned i = 0; i < 2; i++) {
        timer_disarm(&w->heap, &c->flow[i].retry);
        while (c->flow[i].first != NULL) {
            struct msg *m = c->flow[i].first;
            c->flow[i].first = m->next;
            world_msg_free(w, m);
        }
    }
    *c->prev = c->next;
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    free(c);
}

static void conn_release(struct world *w, struct conn *c)
{
    if (!is_open(c->end[0]) && !is_open(c->end[1]) && c->messages == 0) {
        conn_free(w, c);
    }
}

static unsigned original_of(const struct world *w, unsigned node)
{
    return w->nodes[node].original;
}

/* The end of a node towards a peer (or its clone), DIALING or UP; there is at most one. */
static struct conn *find_end(const struct world *w, const struct sim_node *n, unsigned peer,
                             unsigned *ret_side)
{
    unsigned original = original_of(w, peer);
    for (size_t i = 0; i < n->conn_count; i++) {
        struct conn *c = n->conns[i];
        unsigned side = c->node[0] == n->idx ? 0 : 1;
        if (original_of(w, c->node[1 - side]) == original) {
            *ret_side = side;
            return c;
        }
    }
    return NULL;
}

static void add_end(struct sim_node *n, struct conn *c)
{
    if (n->conn_count == n->conn_room) {
        n->conn_room = n->conn_room == 0 ? 8 : 2 * n->conn_room;
        n->conns = realloc(n->conns, n->conn_room * sizeof(struct conn *));
        HM_ASSERT(n->conns != NULL);
    }
    n->conns[n->conn_count++] = c;
}

/* The end is closed and no longer the node's; conn_release() is the caller's. */
static void close_end(struct world *w, struct conn *c, unsigned side)
{
    struct sim_node *n = node_of(w, c, side);
    c->end[side] = END_CLOSED;
    for (size_t i = 0; i < n->conn_count; i++) {
        if (n->conns[i] == c) {
            n->conn_count--;
            memmove(n->conns + i, n->conns + i + 1, (n->conn_count - i) * sizeof(struct conn *));
            return;
        }
    }
}

static void tell(struct world *w, struct sim_node *n, enum event_type type, unsigned peer)
{
    struct event ev = {.type = type};
    ev.as.link.peer = w->nodes[peer].identity.id;
    world_step(w, n, &ev);
}

/* ---- flows ---- */

static bool is_path_open(const struct world *w, const struct conn *c)
{
    return !c->is_dead_path && simnet_block(w, c->node[0], c->node[1]) == BLOCK_NONE &&
           simnet_block(w, c->node[1], c->node[0]) == BLOCK_NONE;
}

static void arm_retry(struct world *w, struct flow *f)
{
    uint64_t wait = f->tries > 16 ? RTO_LONGEST_NS : (uint64_t) RTO_FIRST_NS << f->tries;
    if (wait > RTO_LONGEST_NS) {
        wait = RTO_LONGEST_NS;
    }
    HM_ASSERT(timer_arm(&w->heap, &f->retry, w->now_ns + wait) == HM_OK);
}

static void stall(struct world *w, struct flow *f, struct msg *m)
{
    struct msg **at = &f->first;
    if (f->first == NULL) {
        f->stalled_ns = w->now_ns;
        f->tries = 0;
        f->last = NULL;
        arm_retry(w, f);
    }
    if (f->last != NULL && f->last->as.link.number < m->as.link.number) {
        at = &f->last->next;
    }
    while (*at != NULL && (*at)->as.link.number < m->as.link.number) {
        at = &(*at)->next;
    }
    m->next = *at;
    *at = m;
    if (m->next == NULL) {
        f->last = m;
    }
}

/* Something that was sent before it is not there yet. */
static bool waits_for_others(const struct flow *f, const struct msg *m)
{
    return f->first != NULL && f->first->as.link.number < m->as.link.number;
}

/* Puts a segment on the wire, behind what is there. */
static void put_on_wire(struct world *w, struct flow *f, struct msg *m)
{
    const struct conn *c = f->conn;
    uint64_t at = w->now_ns + simnet_latency(w, c->node[f->side], c->node[1 - f->side]);
    if (at < f->last_arrival_ns) {
        at = f->last_arrival_ns;
    }
    f->last_arrival_ns = at;
    world_post(w, m, (enum msg_kind) m->timer.kind, at);
}

static bool gets_through(struct world *w, const struct conn *c)
{
    return is_path_open(w, c) && !simnet_is_lost(w, c->node[0], c->node[1]);
}

/* One that does not get through is sent again after a timeout, and all behind it wait. */
static void transmit(struct world *w, struct flow *f, struct msg *m)
{
    if (f->first == NULL && gets_through(w, f->conn)) {
        put_on_wire(w, f, m);
    } else {
        stall(w, f, m);
    }
}

static void send_segment(struct world *w, struct flow *f, enum msg_kind kind, uint8_t type,
                         struct span body)
{
    struct conn *c = f->conn;
    struct msg *m = world_msg(w, c->node[1 - f->side], body.size);
    m->timer.kind = (unsigned) kind;
    m->as.link.conn = c;
    m->as.link.side = 1 - f->side;
    m->as.link.type = type;
    m->as.link.number = ++f->numbered;
    if (body.size > 0) {
        memcpy(m->bytes, body.data, body.size);
    }
    c->messages++;
    if (kind == MSG_FRAME) {
        f->queued++;
        f->queued_bytes += body.size;
    }
    transmit(w, f, m);
}

/* Frees a message, not the conn. */
static void message_forget(struct world *w, struct msg *m)
{
    struct conn *c = m->as.link.conn;
    if (m->timer.kind == MSG_FRAME) {
        struct flow *f = &c->flow[1 - m->as.link.side];
        f->queued--;
        f->queued_bytes -= m->size;
    }
    c->messages--;
    world_msg_free(w, m);
}

/* What waits is thrown away: its sender is gone or hung up. */
static void clear_flow(struct world *w, struct flow *f)
{
    timer_disarm(&w->heap, &f->retry);
    while (f->first != NULL) {
        struct msg *m = f->first;
        f->first = m->next;
        message_forget(w, m);
    }
    f->last = NULL;
}

static void message_done(struct world *w, struct msg *m)
{
    struct conn *c = m->as.link.conn;
    message_forget(w, m);
    conn_release(w, c);
}

void simlink_drop(struct world *w, struct msg *m)
{
    message_done(w, m);
}

/* A reset will reach this end, or its own kernel gives up. */
static void lose_end(struct world *w, struct conn *c, unsigned side, uint64_t after_ns)
{
    clear_flow(w, &c->flow[side]);
    if (!is_open(c->end[side])) {
        conn_release(w, c);
        return;
    }
    struct msg *m = world_msg(w, c->node[side], 0);
    m->as.link.conn = c;
    m->as.link.side = side;
    m->as.link.is_local = true;
    c->messages++;
    world_post(w, m, MSG_FIN, w->now_ns + after_ns);
}

void simlink_retry(struct world *w, void *flow)
{
    struct flow *f = flow;
    struct conn *c = f->conn;
    bool is_orphan = !is_open(c->end[f->side]);
    uint64_t limit = is_orphan ? ORPHAN_GIVES_UP_NS : FLOW_GIVES_UP_NS;
    if (w->now_ns - f->stalled_ns > limit) {
        lose_end(w, c, f->side, 0);
        return;
    }
    if (!gets_through(w, c)) {
        f->tries++;
        arm_retry(w, f);
        return;
    }
    w->rare[RARE_LINK_STALLED]++;
    struct msg *m = f->first;
    struct msg *rest = m->next;
    f->first = NULL;
    f->last = NULL;
    size_t room = m->size < SEGMENT_BYTES ? SEGMENT_BYTES - m->size : 0;
    put_on_wire(w, f, m);
    while (rest != NULL) {
        m = rest;
        rest = m->next;
        if (f->first == NULL && m->size <= room) { /* in the segment of the one before */
            room -= m->size;
            put_on_wire(w, f, m);
        } else {
            room = m->size < SEGMENT_BYTES ? SEGMENT_BYTES - m->size : 0;
            transmit(w, f, m);
        }
    }
}

/* ---- effects ---- */

static void send_syn(struct world *w, struct conn *c, unsigned tries)
{
    static const uint64_t waits_ns[SYN_TRIES_MAX] = {0, SECOND_NS, 3ULL * SECOND_NS};
    struct msg *m = world_msg(w, c->node[1], 0);
    m->as.link.conn = c;
    m->as.link.side = 1;
    c->messages++;
    world_post(w, m, MSG_SYN,
               w->now_ns + waits_ns[tries] + simnet_latency(w, c->node[0], c->node[1]));
}

void simlink_dial(struct world *w, struct sim_node *n, const struct effect *fx)
{
    unsigned side;
    const struct sim_node *peer = world_node_at(w, &fx->as.dial.peer, &fx->as.dial.to);
    if (peer == NULL || peer->original == n->original || !n->peers[peer->original]) {
        world_violation(w, "%s dials somebody it has not admitted", n->name);
        return;
    }
    if (find_end(w, n, peer->idx, &side) != NULL) {
        return; /* it stands, or is being made */
    }
    struct conn *c = conn_new(w, n->idx, peer->idx);
    c->end[0] = END_DIALING;
    add_end(n, c);
    c->is_dead_path =
        !addr_same_ip(&peer->addr, &fx->as.dial.to) || fx->as.dial.to.port != SIM_LINK_PORT;
    for (unsigned i = 0; i < SYN_TRIES_MAX; i++) {
        send_syn(w, c, i);
    }
    struct msg *m = world_msg(w, n->idx, 0);
    m->as.link.conn = c;
    c->messages++;
    world_post(w, m, MSG_DIAL_END, w->now_ns + DIAL_GIVES_UP_NS);
}

/* The end closes with a word to the other side, which comes behind what was sent before. */
static void finish_end(struct world *w, struct conn *c, unsigned side)
{
    bool was_up = c->end[side] == END_UP;
    close_end(w, c, side);
    if (was_up) {
        send_segment(w, &c->flow[side], MSG_FIN, 0, span_of(NULL, 0));
    }
    conn_release(w, c);
}

void simlink_hangup(struct world *w, struct sim_node *n, const struct node_id *peer)
{
    unsigned side;
    const struct sim_node *other = world_node_by_id(w, peer);
    struct conn *c = other == NULL ? NULL : find_end(w, n, other->idx, &side);
    if (c == NULL) {
        return;
    }
    clear_flow(w, &c->flow[side]);
    finish_end(w, c, side);
}

static void refuse(struct world *w, struct sim_node *n, const struct node_id *peer)
{
    w->rare[RARE_SEND_REFUSED]++;
    struct msg *m = world_msg(w, n->idx, 0);
    m->generation = n->generation;
    m->as.link.peer = *peer;
    world_post(w, m, MSG_SEND_REFUSED, w->now_ns);
}

void simlink_send(struct world *w, struct sim_node *n, const struct effect *fx)
{
    unsigned side;
    const struct sim_node *peer = world_node_by_id(w, &fx->as.frame.peer);
    struct conn *c = peer == NULL ? NULL : find_end(w, n, peer->idx, &side);
    if (fx->as.frame.body.size > HM_FRAME_BYTES_MAX - FRAME_HEAD_BYTES) {
        world_violation(w, "%s sends a frame of %zu bytes", n->name, fx->as.frame.body.size);
        return;
    }
    if (c == NULL || c->end[side] != END_UP) {
        refuse(w, n, &fx->as.frame.peer);
        return;
    }
    struct flow *f = &c->flow[side];
    unsigned frames_max = w->net.link_frames == 0 ? SIM_LINK_FRAMES_MAX : w->net.link_frames;
    if (f->queued >= frames_max ||
        f->queued_bytes + fx->as.frame.body.size > HM_QUEUE_BYTES_MAX) {
        refuse(w, n, &fx->as.frame.peer);
        return;
    }
    n->frames_sent++;
    send_segment(w, f, MSG_FRAME, fx->as.frame.type, fx->as.frame.body);
}

void simlink_close_all(struct world *w, struct sim_node *n, bool is_silent)
{
    while (n->conn_count > 0) {
        struct conn *c = n->conns[n->conn_count - 1];
        unsigned side = c->node[0] == n->idx ? 0 : 1;
        if (!is_silent) {
            finish_end(w, c, side);
            continue;
        }
        clear_flow(w, &c->flow[side]);
        close_end(w, c, side);
        conn_release(w, c);
    }
}

void simlink_readdressed(struct world *w, struct sim_node *n)
{
    for (size_t i = 0; i < n->conn_count; i++) {
        struct conn *c = n->conns[i];
        c->is_dead_path = true;
        lose_end(w, c, c->node[0] == n->idx ? 0 : 1, SECOND_NS);
    }
}

void simlink_destroy_all(struct world *w)
{
    while (w->conns != NULL) {
        conn_free(w, w->conns);
    }
}

/* ---- arrivals ---- */

/* The dial failed: refused, denied, or nobody there. */
static void dial_fails(struct world *w, struct conn *c, uint64_t after_ns)
{
    struct msg *m = world_msg(w, c->node[0], 0);
    m->as.link.conn = c;
    c->messages++;
    world_post(w, m, MSG_DIAL_END, w->now_ns + after_ns);
}

void simlink_dial_end(struct world *w, struct msg *m)
{
    struct conn *c = m->as.link.conn;
    struct sim_node *n = node_of(w, c, 0);
    if (c->end[0] != END_DIALING) {
        message_done(w, m);
        return;
    }
    if (n->is_stalled) {
        world_post(w, m, MSG_DIAL_END, w->now_ns + 10U * MS_NS);
        return;
    }
    close_end(w, c, 0);
    unsigned peer = c->node[1];
    message_done(w, m);
    tell(w, n, EV_LINK_DOWN, peer);
}

static bool syn_arrive(struct world *w, struct msg *m)
{
    struct conn *c = m->as.link.conn;
    const struct sim_node *n = node_of(w, c, 1);
    if (c->end[0] != END_DIALING || c->has_arrived || c->is_dead_path || !n->host_up ||
        n->is_closed || simnet_is_lost(w, c->node[0], c->node[1])) {
        return false;
    }
    enum block there = simnet_block(w, c->node[0], c->node[1]);
    enum block back = simnet_block(w, c->node[1], c->node[0]);
    if (there == BLOCK_DROP || back == BLOCK_DROP) {
        return false;
    }
    c->has_arrived = true;
    if (n->core == NULL || there == BLOCK_REJECT || back == BLOCK_REJECT) {
        dial_fails(w, c, simnet_latency(w, c->node[1], c->node[0]));
        return false;
    }
    return true;
}

void simlink_arrive(struct world *w, struct msg *m)
{
    struct conn *c = m->as.link.conn;
    if (m->timer.kind == MSG_SYN) {
        if (syn_arrive(w, m)) {
            world_take(w, m);
        } else {
            message_done(w, m);
        }
        return;
    }
    unsigned side = m->as.link.side;
    struct flow *f = &c->flow[1 - side];
    if (!m->as.link.is_local && (waits_for_others(f, m) || !is_path_open(w, c))) {
        stall(w, f, m);
    } else if (is_open(c->end[side])) {
        world_take(w, m);
    } else {
        if (m->timer.kind != MSG_FIN && is_open(c->end[1 - side])) {
            lose_end(w, c, 1 - side, simnet_latency(w, c->node[side], c->node[1 - side]));
        }
        message_done(w, m);
    }
}

/* Another link of the pair stands here: the newest wins, but of two that dial each other at the
 * same moment the lower node's dial wins. True if the arriving one is taken. */
static bool replace(struct world *w, struct sim_node *n, struct conn *c)
{
    unsigned side;
    struct conn *old = find_end(w, n, c->node[0], &side);
    if (old == NULL) {
        return true;
    }
    if (old->end[side] == END_DIALING) {
        if (n->idx < c->node[0]) {
            return false;
        }
        close_end(w, old, side);
        conn_release(w, old);
        return true;
    }
    w->rare[RARE_LINK_REPLACED]++;
    uint32_t life = n->generation;
    clear_flow(w, &old->flow[side]);
    finish_end(w, old, side);
    tell(w, n, EV_LINK_DOWN, c->node[0]);
    if (n->core == NULL || n->generation != life) {
        return false;
    }
    old = find_end(w, n, c->node[0],
                   &side); /* dialled at once: the one that is here already will do */
    if (old != NULL) {
        close_end(w, old, side);
        conn_release(w, old);
    }
    return true;
}

static void take_syn(struct world *w, struct sim_node *n, struct conn *c)
{
    uint64_t back_ns = simnet_latency(w, c->node[1], c->node[0]);
    if (n->core == NULL || !n->peers[original_of(w, c->node[0])] ||
        n->conn_count >= 2 * (size_t) HM_LINKS_MAX) {
        w->rare[RARE_LINK_DENIED] += !n->peers[original_of(w, c->node[0])];
        dial_fails(w, c, back_ns);
        return;
    }
    if (c->end[0] != END_DIALING || !replace(w, n, c)) {
        dial_fails(w, c, back_ns);
        return;
    }
    c->end[1] = END_UP;
    add_end(n, c);
    send_segment(w, &c->flow[1], MSG_ACCEPT, 0, span_of(NULL, 0));
    tell(w, n, EV_LINK_UP, c->node[0]);
}

void simlink_hand_over(struct world *w, struct sim_node *n, struct msg *m)
{
    struct conn *c = m->as.link.conn;
    unsigned side = m->as.link.side;
    unsigned peer = c->node[1 - side];
    if (m->timer.kind == MSG_SYN) {
        take_syn(w, n, c);
    } else if (m->timer.kind == MSG_ACCEPT) {
        if (c->end[0] == END_DIALING) {
            c->end[0] = END_UP;
            tell(w, n, EV_LINK_UP, peer);
        }
    } else if (m->timer.kind == MSG_FIN) {
        if (is_open(c->end[side])) {
            clear_flow(w, &c->flow[side]);
            close_end(w, c, side);
            tell(w, n, EV_LINK_DOWN, peer);
        }
    } else if (c->end[side] == END_UP) {
        struct event ev = {.type = EV_FRAME};
        ev.as.frame.peer = w->nodes[peer].identity.id;
        ev.as.frame.type = m->as.link.type;
        ev.as.frame.body = span_of(m->bytes, m->size);
        world_step(w, n, &ev);
    }
    message_done(w, m);
}
