/* SPDX-License-Identifier: MPL-2.0 */
/* Virtual time, machines and processes: see world.h. */
#include "sim/world.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "sim/check.h"
#include "sim/faults.h"
#include "sim/simlink.h"
#include "sim/simnet.h"
#include "wire/swim_msg.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAME_TIME_TICKS_MAX 8 /* a core whose deadline does not move would spin the daemon */
#define QUICK_RESTART_NS (200U * MS_NS)

const char *rare_text(enum rare which)
{
    static const char *const texts[] = {
#define RARE_TEXT(name, text) text,
        RARE_LIST(RARE_TEXT)
#undef RARE_TEXT
    };
    return texts[which];
}

static void *must(void *p)
{
    HM_ASSERT(p != NULL);
    return p;
}

bool world_chance(struct prng *p, uint32_t ppm)
{
    return ppm > 0 && prng_below(p, SIM_LOSS_ALL) < ppm;
}

uint64_t world_up_to(struct prng *p, uint64_t max)
{
    return max == 0 ? 0 : prng_below(p, max + 1);
}

void world_violation(struct world *w, const char *format, ...)
{
    if (w->failed) {
        return;
    }
    w->failed = true;
    int used = snprintf(w->violation, sizeof w->violation,
                        "at %" PRIu64 ".%03" PRIu64 " s: ", w->now_ns / SECOND_NS,
                        w->now_ns / MS_NS % 1000);
    va_list args;
    va_start(args, format);
    vsnprintf(w->violation + used, sizeof w->violation - (size_t) used, format, args);
    va_end(args);
}

/* ---- messages ---- */

struct msg *world_msg(struct world *w, unsigned node, size_t size)
{
    struct msg **pool = size == 0 ? &w->free_small : &w->free_datagrams;
    size_t room = size == 0 ? 0 : HM_DATAGRAM_BYTES_MAX;
    struct msg *m = NULL;
    if (size > HM_DATAGRAM_BYTES_MAX) {
        room = size;
    } else if (*pool != NULL) {
        m = *pool;
        *pool = m->next;
    }
    if (m == NULL) {
        m = must(malloc(sizeof *m + room));
    }
    memset(m, 0, sizeof *m);
    m->node = node;
    m->size = size;
    m->room = room;
    return m;
}

void world_msg_free(struct world *w, struct msg *m)
{
    if (m->room > HM_DATAGRAM_BYTES_MAX) {
        free(m);
        return;
    }
    struct msg **pool = m->room == 0 ? &w->free_small : &w->free_datagrams;
    m->next = *pool;
    *pool = m;
}

static void arm(struct world *w, struct timer *t, uint64_t at_ns)
{
    HM_ASSERT(timer_arm(&w->heap, t, at_ns) == HM_OK);
}

void world_post(struct world *w, struct msg *m, enum msg_kind kind, uint64_t at_ns)
{
    m->timer.kind = (unsigned) kind;
    m->timer.owner = m;
    arm(w, &m->timer, at_ns);
}

/* Throws a message away that will not be handed over. */
static void drop(struct world *w, struct msg *m)
{
    switch ((enum msg_kind) m->timer.kind) {
    case MSG_SYN:
    case MSG_ACCEPT:
    case MSG_FRAME:
    case MSG_FIN:
    case MSG_DIAL_END:
        simlink_drop(w, m);
        return;
    case MSG_TICK:
    case MSG_WAKE:
    case MSG_RETRY:
    case MSG_DATAGRAM:
    case MSG_UNREACHABLE:
    case MSG_BEACON:
    case MSG_CANDIDATE:
    case MSG_FOREIGN:
    case MSG_CONNECT:
    case MSG_ADDRESSES:
    case MSG_SEND_REFUSED:
    case MSG_COMMIT:
    case MSG_DURABLE:
    case MSG_BATCH_FAILED:
    case MSG_FAULT:
    case MSG_POLL:
        world_msg_free(w, m);
        return;
    }
}

/* ---- who is who ---- */

struct addr world_addr_of(const struct sim_node *n, unsigned changes)
{
    unsigned host = n->idx + 1;
    return addr_v4(10, (uint8_t) changes, (uint8_t) (host >> 8), (uint8_t) host, SIM_PORT);
}

struct sim_node *world_node_by_addr(struct world *w, const struct addr *addr)
{
    if (addr->family != 4 || addr->ip[0] != 10) {
        return NULL;
    }
    unsigned host = ((unsigned) addr->ip[2] << 8) | addr->ip[3];
    if (host == 0 || host > w->count) {
        return NULL;
    }
    struct sim_node *n = &w->nodes[host - 1];
    return addr_same_ip(&n->addr, addr) ? n : NULL;
}

struct sim_node *world_node_by_id(struct world *w, const struct node_id *id)
{
    for (size_t at = node_id_prefix(id) & w->ids_mask; w->ids[at] != 0;
         at = (at + 1) & w->ids_mask) {
        struct sim_node *n = &w->nodes[w->ids[at] - 1];
        if (node_id_eq(&n->identity.id, id)) {
            return n;
        }
    }
    return NULL;
}

static void index_id(struct world *w, const struct sim_node *n)
{
    size_t at = node_id_prefix(&n->identity.id) & w->ids_mask;
    while (w->ids[at] != 0) {
        at = (at + 1) & w->ids_mask;
    }
    w->ids[at] = n->idx + 1;
}

bool world_is_running(const struct sim_node *n)
{
    return n->core != NULL && !n->is_leaving;
}

void world_disturb(struct world *w, struct sim_node *n)
{
    n->disturbed_ns = w->now_ns;
}

/* ---- making and ending a world ---- */

static void node_init(struct world *w, struct sim_node *n, unsigned idx)
{
    n->idx = idx;
    snprintf(n->name, sizeof n->name, "n%u", idx);
    sim_identity_make(&n->identity, w->conf.seed, idx);
    n->addr = world_addr_of(n, 0);
    n->segment = w->net.segment_nodes == 0 ? 0 : idx / w->net.segment_nodes;
    n->boot_offset_ns = SECOND_NS + world_up_to(&w->prng, 1000ULL * 86400 * SECOND_NS);
    /* Some boards believe it is 1970. */
    n->wall_offset_ms = world_chance(&w->prng, 100000) ? 0 : 1795000000000U + idx;
    n->tick.kind = MSG_TICK;
    n->tick.owner = n;
    n->wake.kind = MSG_WAKE;
    n->wake.owner = n;
    n->peers = must(calloc(w->count, 1));
    n->counters = must(calloc(w->count + 1, sizeof *n->counters));
    index_id(w, n);
}

struct world *world_new(const struct world_conf *conf)
{
    HM_ASSERT(conf->nodes > 0 && conf->nodes <= SIM_NODES_MAX);
    struct world *w = must(calloc(1, sizeof *w));
    w->conf = *conf;
    w->net = conf->net;
    w->count = conf->nodes;
    timer_heap_init(&w->heap);
    prng_init(&w->prng, prng_mix(conf->seed));
    prng_init(&w->fault_prng, prng_mix(conf->seed ^ 0x6661756c7473U));
    trace_init(&w->trace, conf->seed);
    size_t slots = 4;
    while (slots < 2 * (size_t) w->count) {
        slots *= 2;
    }
    w->ids = must(calloc(slots, sizeof *w->ids));
    w->ids_mask = slots - 1;
    w->blocked = must(calloc((size_t) w->count * w->count, 1));
    w->nodes = must(calloc(w->count, sizeof *w->nodes));
    for (unsigned i = 0; i < w->count; i++) {
        node_init(w, &w->nodes[i], i);
    }
    return w;
}

static void free_list(struct msg *m)
{
    while (m != NULL) {
        struct msg *next = m->next;
        free(m);
        m = next;
    }
}

static void drop_inbox(struct world *w, struct sim_node *n)
{
    while (n->inbox_first != NULL) {
        struct msg *m = n->inbox_first;
        n->inbox_first = m->next;
        drop(w, m);
    }
    n->inbox_last = NULL;
    n->inbox_datagrams = 0;
}

void world_destroy(struct world **p)
{
    struct world *w = *p;
    if (w == NULL) {
        return;
    }
    struct timer *t;
    while ((t = timer_take_due(&w->heap, UINT64_MAX)) != NULL) {
        if (t->kind > MSG_RETRY) {
            drop(w, t->owner);
        }
    }
    for (unsigned i = 0; i < w->count; i++) {
        struct sim_node *n = &w->nodes[i];
        drop_inbox(w, n);
        core_destroy(&n->core);
        simdisk_fini(&n->disk);
        free(n->conns);
        free(n->peers);
        free(n->counters);
    }
    simlink_destroy_all(w);
    for (unsigned i = 0; i < w->captured_count; i++) {
        free(w->captured[i]);
    }
    free_list(w->free_small);
    free_list(w->free_datagrams);
    timer_heap_fini(&w->heap);
    free(w->nodes);
    free(w->ids);
    free(w->blocked);
    free(w);
    *p = NULL;
}

/* ---- steps ---- */

static uint64_t clock_of(const struct world *w, const struct sim_node *n)
{
    return w->now_ns + n->boot_offset_ns;
}

/* The daemon rounds deadlines up to the milliseconds of poll(). */
static void arm_tick(struct world *w, struct sim_node *n)
{
    uint64_t deadline = core_deadline_ns(n->core);
    if (deadline == TIMER_NEVER) {
        timer_disarm(&w->heap, &n->tick);
        return;
    }
    uint64_t local = clock_of(w, n);
    uint64_t at = w->now_ns;
    if (deadline > local) {
        uint64_t wait_ms = (deadline - local + MS_NS - 1) / MS_NS;
        at += wait_ms * MS_NS;
    }
    if (n->tick.at_ns != at || !timer_is_armed(&n->tick)) {
        arm(w, &n->tick, at);
    }
}

static void persist(struct world *w, struct sim_node *n, const struct effect *fx)
{
    n->batches++;
    const struct store_entry *entries = fx->as.persist.entries;
    size_t count = fx->as.persist.count;
    struct core_status status;
    uint64_t mark = 0;
    if (simdisk_touches(entries, count, STORE_SELF)) {
        core_status(n->core, &status);
        mark = status.incarnation;
    }
    simdisk_add(&n->disk, fx->as.persist.batch, entries, w->conf.keep_disks ? count : 0, mark);
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

static void stop(struct world *w, struct sim_node *n);

/* Carries out one effect. Returns false if it was a datagram that the network lost. */
static bool carry_out(struct world *w, struct sim_node *n, const struct effect *fx)
{
    trace_effect(&w->trace, n->idx, w->now_ns, fx);
    switch (fx->type) {
    case FX_PEER:
        peer_add(w, n, fx);
        break;
    case FX_DATAGRAM:
        return simnet_send(w, n, fx);
    case FX_FRAME:
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
        stop(w, n);
        break;
    case FX_ZRE_HELLO: /* a Zyre peer would hear it; there is none */
    case FX_REPLY:     /* no local client asks anything */
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
    ev->now_ns = clock_of(w, n);
    ev->wall_ms = n->wall_offset_ms + w->now_ns / MS_NS;
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
    bool asks = n->metrics.value[M_PROBES_INDIRECT] > before.value[M_PROBES_INDIRECT];
    carry_out_all(w, n, &fx, asks);
    if (n->core != NULL) {
        arm_tick(w, n);
    }
}

/* ---- processes ---- */

static void load(struct world *w, struct sim_node *n)
{
    struct event ev = {.type = EV_LOADED};
    ev.as.loaded.entries = n->disk.items;
    ev.as.loaded.count = n->disk.count;
    world_step(w, n, &ev);
    if (n->core != NULL) {
        struct event addresses = {.type = EV_ADDRESSES};
        addresses.as.addresses.addrs = &n->addr;
        addresses.as.addresses.count = 1;
        world_step(w, n, &addresses);
    }
}

void world_start(struct world *w, struct sim_node *n)
{
    if (n->core != NULL || w->failed) {
        return;
    }
    if (!n->host_up) {
        n->host_up = true;
        n->boot_offset_ns = 20ULL * SECOND_NS - w->now_ns; /* the boot clock began again */
    }
    static const struct label label = {"role", "simulated"};
    struct core_conf conf = {.mesh = SIM_MESH, .name = n->name, .version = "0-sim"};
    memcpy(conf.key, n->identity.key, NODE_KEY_BYTES);
    sim_crypto(&n->identity, &conf.crypto);
    conf.session = prng_next(&w->prng);
    uint64_t secret[2] = {prng_next(&w->prng), prng_next(&w->prng)};
    memcpy(conf.secret, secret, sizeof conf.secret);
    conf.port = SIM_PORT;
    conf.link_port = SIM_LINK_PORT;
    conf.labels = &label;
    conf.label_count = 1;
    conf.params = w->conf.params;
    conf.metrics = &n->metrics;
    memset(&n->metrics, 0, sizeof n->metrics);
    memset(n->peers, 0, w->count);
    memset(n->counters, 0, (w->count + 1) * sizeof *n->counters);
    n->core = must(core_new(&conf, prng_next(&w->prng)));
    n->is_quick_restart =
        n->was_healthy && n->ending == ENDED_CRASH && w->now_ns - n->ended_ns < QUICK_RESTART_NS;
    w->rare[RARE_QUICK_RESTART] += n->is_quick_restart;
    n->generation++;
    n->started_ns = w->now_ns;
    n->is_leaving = false;
    n->has_spoken = false;
    check_started(w->check, n);
    load(w, n);
}

/* The process is gone; what it had goes with it. */
static void end(struct world *w, struct sim_node *n, enum ending how)
{
    n->was_healthy = check_is_healthy(w->check, n);
    n->ending = how;
    n->ended_ns = w->now_ns;
    core_destroy(&n->core);
    check_ended(w->check, n);
    timer_disarm(&w->heap, &n->tick);
    timer_disarm(&w->heap, &n->wake);
    n->is_stalled = false;
    n->is_deaf = false;
    n->is_leaving = false;
    n->dies_between = false;
    n->same_time_ticks = 0;
    if (simdisk_crash(&n->disk) > 0) {
        w->rare[RARE_BATCH_LOST]++;
    }
    trace_number(&w->trace, ((uint64_t) n->idx << 8) | 0x80U | (unsigned) how);
}

void world_crash(struct world *w, struct sim_node *n)
{
    if (n->core != NULL) {
        end(w, n, ENDED_CRASH);
        drop_inbox(w, n);
        simlink_close_all(w, n, false);
    }
}

void world_silence(struct world *w, struct sim_node *n)
{
    if (n->core != NULL) {
        end(w, n, ENDED_SILENT);
        drop_inbox(w, n);
    }
    simlink_close_all(w, n, true);
    n->host_up = false;
}

/* FX_STOP: a clean end flushes the store first. */
static void stop(struct world *w, struct sim_node *n)
{
    uint64_t mark;
    while (n->disk.first != NULL && !n->disk_fails) {
        simdisk_commit(&n->disk, &mark);
        n->incarnation_durable = mark > n->incarnation_durable ? mark : n->incarnation_durable;
    }
    end(w, n, ENDED_LEFT);
    drop_inbox(w, n);
    simlink_close_all(w, n, false);
}

void world_leave(struct world *w, struct sim_node *n)
{
    if (n->core != NULL && !n->is_leaving) {
        n->is_leaving = true;
        struct event ev = {.type = EV_SHUTDOWN};
        world_step(w, n, &ev);
    }
}

void world_stall(struct world *w, struct sim_node *n, uint64_t for_ns, bool is_deaf)
{
    if (n->core == NULL || n->is_stalled) {
        return;
    }
    n->is_stalled = true;
    n->is_deaf = is_deaf;
    n->stalled_since_ns = w->now_ns;
    world_disturb(w, n);
    w->stalled_ns = w->now_ns;
    arm(w, &n->wake, w->now_ns + for_ns);
}

void world_readdress(struct world *w, struct sim_node *n)
{
    simlink_readdressed(w, n);
    n->addr_changes = (n->addr_changes + 1) & 0xff;
    n->addr = world_addr_of(n, n->addr_changes);
    world_disturb(w, n);
    w->rare[RARE_READDRESSED]++;
    struct msg *m = world_msg(w, n->idx, 0);
    m->as.addr = n->addr;
    world_post(w, m, MSG_ADDRESSES, w->now_ns);
}

/* ---- handing over ---- */

/* The process takes it; not stalled. Takes the message. */
static void hand_over(struct world *w, struct sim_node *n, struct msg *m)
{
    struct event ev = {.type = EV_TICK};
    switch ((enum msg_kind) m->timer.kind) {
    case MSG_DATAGRAM:
        ev.type = EV_DATAGRAM;
        ev.as.datagram.from = m->as.datagram.source;
        ev.as.datagram.cls = m->as.datagram.cls;
        ev.as.datagram.sender = m->as.datagram.sender;
        ev.as.datagram.session = m->as.datagram.session;
        ev.as.datagram.counter = m->as.datagram.counter;
        ev.as.datagram.body = span_of(m->bytes, m->size);
        n->datagrams_received++;
        break;
    case MSG_UNREACHABLE:
        ev.type = EV_UNREACHABLE;
        ev.as.unreachable.to = m->as.addr;
        break;
    case MSG_CANDIDATE:
        ev.type = EV_CANDIDATE;
        ev.as.candidate.addr = m->as.candidate.addr;
        ev.as.candidate.id = m->as.candidate.id;
        ev.as.candidate.source = m->as.candidate.source;
        break;
    case MSG_FOREIGN:
        ev.type = EV_FOREIGN_KEY;
        ev.as.foreign.addr = m->as.candidate.addr;
        ev.as.foreign.id = m->as.candidate.id;
        break;
    case MSG_CONNECT:
        ev.type = EV_CONNECT;
        ev.as.connect.peer = m->as.connect.peer;
        ev.as.connect.token = m->as.connect.token;
        ev.as.connect.outcome = m->as.connect.outcome;
        break;
    case MSG_ADDRESSES:
        ev.type = EV_ADDRESSES;
        ev.as.addresses.addrs = &m->as.addr;
        ev.as.addresses.count = 1;
        break;
    case MSG_SEND_REFUSED:
        ev.type = EV_SEND_REFUSED;
        ev.as.link.peer = m->as.link.peer;
        break;
    case MSG_DURABLE:
        ev.type = EV_DURABLE;
        ev.as.store.batch = m->as.batch;
        break;
    case MSG_BATCH_FAILED:
        ev.type = EV_BATCH_FAILED;
        ev.as.store.batch = m->as.batch;
        ev.as.store.reason = HM_EIO;
        break;
    case MSG_SYN:
    case MSG_ACCEPT:
    case MSG_FRAME:
    case MSG_FIN:
        simlink_hand_over(w, n, m);
        return;
    case MSG_TICK:
    case MSG_WAKE:
    case MSG_RETRY:
    case MSG_BEACON:
    case MSG_DIAL_END:
    case MSG_COMMIT:
    case MSG_FAULT:
    case MSG_POLL:
        HM_ASSERT(false);
    }
    w->in_hand = ev.type == EV_DATAGRAM ? m : NULL;
    world_step(w, n, &ev);
    w->in_hand = NULL;
    world_msg_free(w, m);
}

/* A datagram of somebody whose key we do not have does not open. */
static void open_datagram(struct world *w, const struct sim_node *n, struct msg *m)
{
    if (m->timer.kind != MSG_DATAGRAM || m->as.datagram.cls != DATAGRAM_PAIR ||
        n->peers[m->as.datagram.from]) {
        return;
    }
    struct addr source = m->as.datagram.source;
    struct node_id sender = m->as.datagram.sender;
    w->rare[RARE_UNKNOWN_SENDER]++;
    m->timer.kind = MSG_CANDIDATE;
    m->as.candidate.addr = source;
    m->as.candidate.id = sender;
    m->as.candidate.source = CANDIDATE_UNKNOWN_SENDER;
}

static bool is_on_a_socket(const struct msg *m)
{
    return m->timer.kind == MSG_DATAGRAM || m->timer.kind == MSG_CANDIDATE ||
           m->timer.kind == MSG_FOREIGN;
}

void world_take(struct world *w, struct msg *m)
{
    struct sim_node *n = &w->nodes[m->node];
    if (n->core == NULL || (m->generation != 0 && m->generation != n->generation)) {
        drop(w, m);
        return;
    }
    if (!n->is_stalled) {
        open_datagram(w, n, m);
        hand_over(w, n, m);
        return;
    }
    if (is_on_a_socket(m)) {
        if (n->is_deaf || n->inbox_datagrams >= SIM_INBOX_MAX) {
            w->rare[RARE_INBOX_FULL] += !n->is_deaf;
            drop(w, m);
            return;
        }
        n->inbox_datagrams++;
    }
    m->next = NULL;
    if (n->inbox_last == NULL) {
        n->inbox_first = m;
    } else {
        n->inbox_last->next = m;
    }
    n->inbox_last = m;
}

static void wake(struct world *w, struct sim_node *n)
{
    uint64_t ms = (w->now_ns - n->stalled_since_ns) / MS_NS;
    uint32_t life = n->generation;
    w->rare[RARE_SLEPT] += n->is_deaf;
    n->is_stalled = false;
    n->is_deaf = false;
    world_disturb(w, n);
    w->stalled_ns = w->now_ns;
    if (ms >= SIM_STALL_TOLD_MS) {
        w->rare[RARE_STALLED]++;
        struct event ev = {.type = EV_STALLED};
        ev.as.stalled.ms = ms;
        world_step(w, n, &ev);
    }
    while (n->inbox_first != NULL && n->core != NULL && n->generation == life && !w->failed) {
        struct msg *m = n->inbox_first;
        n->inbox_first = m->next;
        if (n->inbox_first == NULL) {
            n->inbox_last = NULL;
        }
        n->inbox_datagrams -= is_on_a_socket(m);
        open_datagram(w, n, m);
        hand_over(w, n, m);
    }
    if (n->core != NULL && !w->failed) {
        arm_tick(w, n);
    }
}

static void tick(struct world *w, struct sim_node *n)
{
    if (n->is_stalled) {
        return; /* wake() arms it again */
    }
    n->same_time_ticks = n->last_tick_ns == w->now_ns ? n->same_time_ticks + 1 : 0;
    n->last_tick_ns = w->now_ns;
    if (n->same_time_ticks > SAME_TIME_TICKS_MAX) {
        world_violation(w, "the deadline of %s does not move: its daemon would spin", n->name);
        return;
    }
    struct event ev = {.type = EV_TICK};
    world_step(w, n, &ev);
}

/* A batch reaches the disk, or does not. The process is told a moment later, if it still lives. */
static void commit(struct world *w, struct msg *m)
{
    struct sim_node *n = &w->nodes[m->node];
    if (n->core == NULL || m->generation != n->generation || n->disk.first == NULL) {
        world_msg_free(w, m);
        return;
    }
    if (n->disk_fails) {
        w->rare[RARE_BATCH_FAILED]++;
        m->as.batch = simdisk_fail(&n->disk);
        world_post(w, m, MSG_BATCH_FAILED, w->now_ns);
        return;
    }
    uint64_t mark;
    m->as.batch = simdisk_commit(&n->disk, &mark);
    n->incarnation_durable = mark > n->incarnation_durable ? mark : n->incarnation_durable;
    world_post(w, m, MSG_DURABLE, w->now_ns);
}

static void dispatch(struct world *w, struct timer *t)
{
    switch ((enum msg_kind) t->kind) {
    case MSG_TICK:
        tick(w, t->owner);
        break;
    case MSG_WAKE:
        wake(w, t->owner);
        break;
    case MSG_RETRY:
        simlink_retry(w, t->owner);
        break;
    case MSG_DATAGRAM:
    case MSG_BEACON:
        simnet_arrive(w, t->owner);
        break;
    case MSG_SYN:
    case MSG_ACCEPT:
    case MSG_FRAME:
    case MSG_FIN:
        simlink_arrive(w, t->owner);
        break;
    case MSG_DIAL_END:
        simlink_dial_end(w, t->owner);
        break;
    case MSG_COMMIT:
        commit(w, t->owner);
        break;
    case MSG_FAULT:
        faults_do(w, t->owner);
        break;
    case MSG_UNREACHABLE:
    case MSG_CANDIDATE:
    case MSG_FOREIGN:
    case MSG_CONNECT:
    case MSG_ADDRESSES:
    case MSG_SEND_REFUSED:
    case MSG_DURABLE:
    case MSG_BATCH_FAILED:
        world_take(w, t->owner);
        break;
    case MSG_POLL:
        world_msg_free(w, t->owner);
        break;
    }
}

void world_run(struct world *w, uint64_t until_ns)
{
    struct timer *t;
    while (!w->failed && (t = timer_take_due(&w->heap, until_ns)) != NULL) {
        HM_ASSERT(t->at_ns >= w->now_ns);
        w->now_ns = t->at_ns;
        dispatch(w, t);
    }
    if (!w->failed && w->now_ns < until_ns) {
        w->now_ns = until_ns;
    }
}
