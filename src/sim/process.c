/* SPDX-License-Identifier: MPL-2.0 */
/* Machines and processes: how they start, end, stall, and take what comes. See world.h. */
#include "sim/world.h"

#include "base/err.h"
#include "sim/check.h"
#include "sim/ledger.h"
#include "sim/simlink.h"
#include "sim/timeline.h"
#include "sim/workload.h"

#include <stdlib.h>
#include <string.h>

#define SAME_TIME_TICKS_MAX 8 /* a core whose deadline does not move would spin the daemon */
#define QUICK_RESTART_NS (200U * MS_NS)

static void *must(void *p)
{
    HM_ASSERT(p != NULL);
    return p;
}

/* ---- processes ---- */

static void load(struct world *w, struct sim_node *n)
{
    struct event ev = {.type = EV_LOADED};
    struct store_entry *entries = simdisk_load(&n->disk, &ev.as.loaded.count);
    ev.as.loaded.entries = entries;
    world_step(w, n, &ev);
    free(entries);
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
        world_clock_set(w, n, 20ULL * SECOND_NS); /* the boot clock began again */
    }
    static const struct label label = {"role", "simulated"};
    struct core_conf conf = {.mesh = SIM_MESH, .name = n->host_name, .version = "0-sim"};
    memcpy(conf.key, n->identity.key, NODE_KEY_BYTES);
    sim_crypto(&n->identity, &conf.crypto);
    conf.session = prng_next(&w->prng);
    n->session = conf.session;
    uint64_t secret[2] = {prng_next(&w->prng), prng_next(&w->prng)};
    memcpy(conf.secret, secret, sizeof conf.secret);
    conf.port = SIM_PORT;
    conf.link_port = SIM_LINK_PORT;
    conf.labels = &label;
    conf.label_count = 1;
    conf.params = w->conf.params;
    conf.metrics = &n->metrics;
    conf.view = simdisk_view(&n->disk);
    conf.calls = workload_handler(w);
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
    ledger_started(w->ledger, n);
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
    ledger_ended(w->ledger, n);
    timer_disarm(&w->heap, &n->tick);
    timer_disarm(&w->heap, &n->wake);
    n->is_stalled = false;
    n->is_deaf = false;
    n->is_leaving = false;
    n->dies_between = false;
    n->is_refusing = false;
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
        world_drop_inbox(w, n);
        simlink_close_all(w, n, false);
    }
}

void world_silence(struct world *w, struct sim_node *n)
{
    if (n->core != NULL) {
        end(w, n, ENDED_SILENT);
        world_drop_inbox(w, n);
    }
    simlink_close_all(w, n, true);
    n->host_up = false;
}

/* FX_STOP: a clean end flushes the store first. */
void world_stop(struct world *w, struct sim_node *n)
{
    uint64_t mark;
    while (n->disk.first != NULL && !n->disk_fails) {
        ledger_commit(w->ledger, n);
        simdisk_commit(&n->disk, &mark);
        n->incarnation_durable = mark > n->incarnation_durable ? mark : n->incarnation_durable;
    }
    end(w, n, ENDED_LEFT);
    world_drop_inbox(w, n);
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
    if (w->timeline != NULL) {
        timeline_truth(w->timeline, w->now_ns, n->idx, TRUTH_HELD_UP);
    }
    world_disturb(w, n);
    w->stalled_ns = w->now_ns;
    world_arm(w, &n->wake, w->now_ns + for_ns);
}

void world_clock_jump(struct world *w, struct sim_node *n, int64_t by_ms)
{
    world_clock_set(w, n, world_clock(w, n));
    n->wall_ms = n->wall_ms + by_ms < 0 ? 0 : n->wall_ms + by_ms;
    w->rare[RARE_CLOCK_JUMPED]++;
}

void world_clock_drift(struct world *w, struct sim_node *n, int64_t ppm)
{
    world_clock_set(w, n, world_clock(w, n));
    n->drift_ppm = ppm;
    if (n->core != NULL && !n->is_stalled) {
        world_arm_tick(w, n);
    }
}

void world_clone(struct world *w, const struct sim_node *n, struct sim_node *copy)
{
    if (copy == n || copy->core != NULL || copy->generation > 0) {
        return;
    }
    copy->original = n->original;
    copy->identity = n->identity;
    memcpy(copy->host_name, n->host_name, sizeof copy->host_name);
    simdisk_copy(&copy->disk, &n->disk);
    ledger_copied(w->ledger, n, copy);
    copy->incarnation_durable = n->incarnation_durable;
    w->clones++;
    world_start(w, copy);
}

void world_backup(struct world *w, struct sim_node *n)
{
    simdisk_copy(&n->backup, &n->disk);
    n->backup_incarnation = n->incarnation_durable;
    n->has_backup = true;
    ledger_backup(w->ledger, n);
}

void world_restore(struct world *w, struct sim_node *n)
{
    if (n->core != NULL || !n->has_backup) {
        return;
    }
    simdisk_copy(&n->disk, &n->backup);
    n->incarnation_durable = n->backup_incarnation;
    w->check->event_told[n->idx] = 0;
    w->rare[RARE_RESTORED]++;
    ledger_restored(w->ledger, n);
}

bool world_is_anywhere(const struct world *w, const struct sim_node *n)
{
    for (unsigned i = 0; w->clones > 0 && i < w->count; i++) {
        if (w->nodes[i].original == n->original && world_is_running(&w->nodes[i])) {
            return true;
        }
    }
    return world_is_running(n);
}

bool world_is_cloned(const struct world *w, const struct sim_node *n)
{
    unsigned running = 0;
    for (unsigned i = 0; w->clones > 0 && i < w->count; i++) {
        running += w->nodes[i].original == n->original && w->nodes[i].core != NULL;
    }
    return running > 1;
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
        n->is_refusing = false;
        break;
    case MSG_CALL:
        ev.type = EV_CALL;
        ev.as.call.client = m->as.client;
        ev.as.call.request = span_of(m->bytes, m->size);
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
        n->peers[w->nodes[m->as.datagram.from].original]) {
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
        world_drop(w, m);
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
            world_drop(w, m);
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

void world_wake(struct world *w, struct sim_node *n)
{
    uint64_t ms = (w->now_ns - n->stalled_since_ns) / MS_NS;
    uint32_t life = n->generation;
    w->rare[RARE_SLEPT] += n->is_deaf;
    if (w->timeline != NULL) {
        timeline_truth(w->timeline, w->now_ns, n->idx, TRUTH_RUNNING);
    }
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
    if ((w->conf.params.broken & BREAK_NO_HELD_UP) != 0 && n->core != NULL &&
        n->generation == life) {
        struct event late = {.type = EV_TICK}; /* judged before what waited is read, too */
        world_step(w, n, &late);
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
        world_arm_tick(w, n);
    }
}

void world_tick(struct world *w, struct sim_node *n)
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
void world_commit(struct world *w, struct msg *m)
{
    struct sim_node *n = &w->nodes[m->node];
    if (n->core == NULL || m->generation != n->generation || n->disk.first == NULL) {
        world_msg_free(w, m);
        return;
    }
    if (n->disk_fails) {
        w->rare[RARE_BATCH_FAILED]++;
        m->as.batch = simdisk_fail(&n->disk);
        n->is_refusing = true;
        world_post(w, m, MSG_BATCH_FAILED, w->now_ns);
        return;
    }
    uint64_t mark;
    ledger_commit(w->ledger, n);
    m->as.batch = simdisk_commit(&n->disk, &mark);
    n->incarnation_durable = mark > n->incarnation_durable ? mark : n->incarnation_durable;
    world_post(w, m, MSG_DURABLE, w->now_ns);
    ledger_committed(w->ledger, n);
}
