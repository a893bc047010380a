/* SPDX-License-Identifier: MPL-2.0 */
/* Faults and attackers as they happen: see faults.h. */
#include "sim/faults.h"

#include "base/err.h"
#include "base/limits.h"
#include "sim/check.h"
#include "sim/expect.h"
#include "sim/ledger.h"
#include "sim/simnet.h"
#include "sim/workload.h"
#include "wire/record_msg.h"
#include "wire/swim_msg.h"

#include <string.h>

#define CRASH_OVERDUE_NS (1500ULL * MS_NS)
#define RESTART_MIN_NS (20ULL * MS_NS)
#define RESTART_SPREAD_NS (180ULL * MS_NS)
#define FORGED_PPM 100000 /* of the datagrams, while forging */

void faults_net_default(struct net_conf *net)
{
    memset(net, 0, sizeof *net);
    net->latency_ns = 100000;
    net->spread_ns = 300000;
    net->jitter_ns = 200000;
    net->reorder_ns = 20U * MS_NS;
    net->broadcast = true;
    net->disk_ns = 8U * MS_NS;
}

static struct msg *post(struct world *w, uint64_t at_ns, enum fault_kind kind, unsigned a,
                        unsigned b, uint64_t arg)
{
    struct msg *m = world_msg(w, a, 0);
    m->as.fault.kind = (unsigned) kind;
    m->as.fault.a = a;
    m->as.fault.b = b;
    m->as.fault.arg = arg;
    world_post(w, m, MSG_FAULT, at_ns);
    return m;
}

void faults_post(struct world *w, const struct plan *plan)
{
    w->plan = plan;
    for (size_t i = 0; i < plan->fault_count; i++) {
        const struct plan_fault *f = &plan->faults[i];
        HM_ASSERT(f->a < w->count && f->b < w->count);
        struct msg *m = post(w, f->at_ns, f->kind, f->a, f->b, f->arg);
        m->as.fault.every_ns = f->every_ns;
        m->as.fault.until_ns = f->until_ns;
    }
}

/* ---- partitions ---- */

static void partition(struct world *w, const struct plan_sides *sides)
{
    for (unsigned i = 0; i < w->count; i++) {
        for (unsigned j = 0; j < w->count; j++) {
            if (sides->side[i] != sides->side[j]) {
                simnet_cut(w, i, j, BLOCK_DROP);
            }
        }
    }
}

static void segments(struct world *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        for (unsigned j = 0; j < w->count; j++) {
            if (w->nodes[i].segment != w->nodes[j].segment) {
                simnet_cut(w, i, j, BLOCK_DROP);
            }
        }
    }
}

static void deafen(struct world *w, struct sim_node *n)
{
    n->is_outcast = true;
    for (unsigned i = 0; i < w->count; i++) {
        simnet_cut(w, i, n->idx, BLOCK_DROP);
    }
}

/* ---- attackers ---- */

static struct sim_node *anybody(struct world *w)
{
    return &w->nodes[prng_below(&w->fault_prng, w->count)];
}

static struct addr attackers_address(struct world *w)
{
    return addr_v4(10, 255, 250, (uint8_t) prng_below(&w->fault_prng, 250), SIM_PORT);
}

static struct node_id random_id(struct world *w)
{
    struct node_id id;
    for (unsigned i = 0; i < NODE_ID_BYTES; i++) {
        id.b[i] = (uint8_t) prng_next(&w->fault_prng);
    }
    return id;
}

static void forge_icmp(struct world *w)
{
    const struct sim_node *to = anybody(w);
    const struct sim_node *about = anybody(w);
    if (to != about && to->core != NULL) {
        struct msg *m = world_msg(w, to->idx, 0);
        m->as.addr = about->addr;
        world_post(w, m, MSG_UNREACHABLE, w->now_ns);
    }
}

static void forge_hint(struct world *w, enum msg_kind kind)
{
    const struct sim_node *to = anybody(w);
    struct msg *m = world_msg(w, to->idx, 0);
    /* Some name a member's id at a wrong address, or a member's address under a wrong id. */
    m->as.candidate.addr =
        world_chance(&w->fault_prng, 100000) ? anybody(w)->addr : attackers_address(w);
    m->as.candidate.id =
        world_chance(&w->fault_prng, 100000) ? anybody(w)->identity.id : random_id(w);
    m->as.candidate.source = CANDIDATE_BEACON;
    world_post(w, m, kind, w->now_ns);
}

static void replay(struct world *w)
{
    w->is_capturing = true;
    if (w->captured_count > 0) {
        simnet_replay(w, w->captured[prng_below(&w->fault_prng, w->captured_count)]);
    }
}

/* A record of the victim as its enemy would like it: newer, somewhere else, signed by nobody. */
static void write_forged_record(struct world *w, const struct sim_node *victim, struct buf *b)
{
    struct crypto crypto;
    struct sim_identity thief;
    uint8_t signature[SIGNATURE_BYTES];
    struct node_record rec = {.state = RECORD_ALIVE, .port = SIM_PORT, .link_port = SIM_LINK_PORT};
    sim_identity_make(&thief, ~w->conf.seed, 0);
    sim_crypto(&thief, &crypto);
    memcpy(rec.key, victim->identity.key, sizeof rec.key);
    rec.mesh_tag = crypto.hash(span_of(SIM_MESH, strlen(SIM_MESH)));
    rec.state = world_chance(&w->fault_prng, 300000) ? RECORD_LEFT : RECORD_ALIVE;
    rec.incarnation = w->check->own_max[victim->idx] + 1;
    memcpy(rec.name, victim->name, strlen(victim->name) + 1);
    rec.addrs[0] = attackers_address(w);
    rec.addr_count = 1;
    rec.version_min = PROTOCOL_VERSION_MIN;
    rec.version_max = PROTOCOL_VERSION;
    rec.labels_hash = 1;
    node_record_write(b, &rec);
    crypto.sign(crypto.identity, buf_span(b), signature);
    buf_append(b, signature, sizeof signature);
}

void faults_forge(struct world *w, struct msg *m, const struct addr *to)
{
    const struct sim_node *victim = anybody(w);
    const struct sim_node *receiver = world_node_by_addr(w, to);
    if (m->as.datagram.cls != DATAGRAM_PAIR || receiver == NULL ||
        victim->idx == m->as.datagram.from || victim->generation == 0 ||
        !world_chance(&w->fault_prng, FORGED_PPM)) {
        return;
    }
    struct buf record, update, body;
    buf_init(&record, HM_RECORD_BYTES_MAX);
    buf_init(&update, HM_DATAGRAM_BYTES_MAX);
    buf_init(&body, DATAGRAM_BODY_BYTES_MAX);
    write_forged_record(w, victim, &record);
    swim_update_write_record(&update, buf_span(&record));
    struct span updates = buf_span(&update);
    struct swim_msg msg = {.type = SWIM_GOSSIP, .updates = &updates, .update_count = 1};
    swim_msg_write(&body, &msg);
    if (!buf_failed(&body) && body.size <= m->room) {
        memcpy(m->bytes, body.data, body.size);
        m->size = body.size;
    }
    buf_fini(&record);
    buf_fini(&update);
    buf_fini(&body);
}

static void tell_address(struct world *w, unsigned node, const struct addr *addr)
{
    struct msg *m = world_msg(w, node, 0);
    m->as.candidate.addr = *addr;
    m->as.candidate.source = CANDIDATE_JOIN;
    world_post(w, m, MSG_CANDIDATE, w->now_ns);
}

/* ---- as they come ---- */

static void crash_between(struct world *w, struct sim_node *n, bool is_overdue)
{
    if (n->core == NULL) {
        return;
    }
    if (!is_overdue) {
        n->dies_between = true;
        post(w, w->now_ns + CRASH_OVERDUE_NS, FAULT_CRASH_OVERDUE, n->idx, 0, n->generation);
    } else if (n->dies_between) {
        world_crash(w, n);
    }
}

/* What a service manager does with a process that always crashes. */
static void restart(struct world *w, struct sim_node *n)
{
    if (n->core != NULL) {
        world_crash(w, n);
        uint64_t wait = RESTART_MIN_NS + world_up_to(&w->fault_prng, RESTART_SPREAD_NS);
        post(w, w->now_ns + wait, FAULT_START, n->idx, 0, 0);
    }
}

static void new_disk(struct world *w, struct sim_node *n)
{
    if (n->core == NULL) {
        simdisk_wipe(&n->disk);
        n->incarnation_durable = 0;
        ledger_wiped(w->ledger, n);
        w->check->event_told[n->idx] = 0;
        w->rare[RARE_DISK_NEW]++;
    }
}

static void remove_node(struct world *w, const struct sim_node *whom, struct sim_node *by)
{
    uint64_t ticket;
    struct event tick = {.type = EV_TICK};
    if (world_is_running(by) && !by->is_stalled &&
        core_remove(by->core, &whom->identity.id, &ticket) == HM_OK) {
        world_step(w, by, &tick); /* which stores it */
    }
}

static void do_to_one(struct world *w, enum fault_kind kind, struct sim_node *n, uint64_t arg)
{
    if (kind == FAULT_START) {
        world_start(w, n);
    } else if (kind == FAULT_CRASH) {
        world_crash(w, n);
    } else if (kind == FAULT_CRASH_BETWEEN) {
        crash_between(w, n, false);
    } else if (kind == FAULT_CRASH_OVERDUE && arg == n->generation) {
        crash_between(w, n, true);
    } else if (kind == FAULT_SILENCE) {
        world_silence(w, n);
    } else if (kind == FAULT_LEAVE) {
        world_leave(w, n);
    } else if (kind == FAULT_RESTART) {
        restart(w, n);
    } else if (kind == FAULT_CLOCK) {
        world_clock_jump(w, n, (int64_t) arg);
    } else if (kind == FAULT_DRIFT) {
        world_clock_drift(w, n, (int64_t) arg);
    } else if (kind == FAULT_STALL || kind == FAULT_SLEEP) {
        world_stall(w, n, arg, kind == FAULT_SLEEP);
    } else if (kind == FAULT_READDRESS) {
        world_readdress(w, n);
    } else if (kind == FAULT_DISK_FAILS || kind == FAULT_DISK_MENDED) {
        n->disk_fails = kind == FAULT_DISK_FAILS;
    } else if (kind == FAULT_DISK_NEW) {
        new_disk(w, n);
    } else if (kind == FAULT_BACKUP) {
        world_backup(w, n);
    } else if (kind == FAULT_RESTORE) {
        world_restore(w, n);
    }
}

static void do_fault(struct world *w, const struct msg *m)
{
    enum fault_kind kind = (enum fault_kind) m->as.fault.kind;
    unsigned a = m->as.fault.a;
    unsigned b = m->as.fault.b;
    switch (kind) {
    case FAULT_START:
    case FAULT_CRASH:
    case FAULT_CRASH_BETWEEN:
    case FAULT_CRASH_OVERDUE:
    case FAULT_SILENCE:
    case FAULT_LEAVE:
    case FAULT_RESTART:
    case FAULT_CLOCK:
    case FAULT_DRIFT:
    case FAULT_STALL:
    case FAULT_SLEEP:
    case FAULT_READDRESS:
    case FAULT_DISK_FAILS:
    case FAULT_DISK_MENDED:
    case FAULT_DISK_NEW:
    case FAULT_BACKUP:
    case FAULT_RESTORE:
        do_to_one(w, kind, &w->nodes[a], m->as.fault.arg);
        break;
    case FAULT_PARTITION:
        partition(w, &w->plan->sides[m->as.fault.arg]);
        break;
    case FAULT_SEGMENTS:
        segments(w);
        break;
    case FAULT_CUT:
        simnet_cut(w, a, b, BLOCK_DROP);
        break;
    case FAULT_REJECT:
        simnet_cut(w, a, b, BLOCK_REJECT);
        simnet_cut(w, b, a, BLOCK_REJECT);
        break;
    case FAULT_NO_UDP:
        w->nodes[a].no_udp = true;
        world_disturb(w, &w->nodes[a]);
        break;
    case FAULT_CLOSED:
        w->nodes[a].is_closed = true;
        break;
    case FAULT_DEAF:
        deafen(w, &w->nodes[a]);
        break;
    case FAULT_EAR:
        w->nodes[a].ear_ppm = (uint32_t) m->as.fault.arg;
        world_disturb(w, &w->nodes[a]);
        break;
    case FAULT_RADIO:
        w->nodes[a].radio_ppm = (uint32_t) m->as.fault.arg;
        world_disturb(w, &w->nodes[a]);
        break;
    case FAULT_HEAL:
        simnet_heal(w);
        break;
    case FAULT_ICMP:
        forge_icmp(w);
        break;
    case FAULT_REPLAY:
        replay(w);
        break;
    case FAULT_BEACON:
        forge_hint(w, MSG_CANDIDATE);
        break;
    case FAULT_STRANGER:
        forge_hint(w, MSG_FOREIGN);
        break;
    case FAULT_FORGE:
        w->forging_until_ns = m->as.fault.arg;
        break;
    case FAULT_LOSS:
        w->net.loss_ppm = (uint32_t) m->as.fault.arg;
        break;
    case FAULT_LATENCY:
        w->net.latency_ns = m->as.fault.arg;
        break;
    case FAULT_JITTER:
        w->net.jitter_ns = m->as.fault.arg;
        break;
    case FAULT_PATH:
        simnet_path(w, a, b, m->as.fault.arg, &w->plan->paths[m->as.fault.arg]);
        break;
    case FAULT_CLONE:
        world_clone(w, &w->nodes[a], &w->nodes[b]);
        break;
    case FAULT_REMOVE:
        remove_node(w, &w->nodes[a], &w->nodes[b]);
        break;
    case FAULT_WRITE:
        workload_write(w, a, m->as.fault.every_ns, m->as.fault.arg);
        break;
    case FAULT_EXPECT:
        expect_now(w, m->as.fault.arg);
        break;
    case FAULT_JOIN:
        tell_address(w, a, &w->nodes[b].addr);
        break;
    }
}

void faults_do(struct world *w, struct msg *m)
{
    do_fault(w, m);
    uint64_t next = w->now_ns + m->as.fault.every_ns;
    if (m->as.fault.every_ns > 0 && next < m->as.fault.until_ns) {
        world_post(w, m, MSG_FAULT, next);
        return;
    }
    world_msg_free(w, m);
}
