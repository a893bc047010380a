/* SPDX-License-Identifier: MPL-2.0 */
/* The swarm: see swarm.h. */
#include "sim/swarm.h"

#include "base/prng.h"
#include "sim/draw.h"

#define S 1000U /* ms in a second */

enum swarm_kind {
    SWARM_LOSS, /* up to CRASH: of the network and the disks, in the whole run */
    SWARM_DUPLICATES,
    SWARM_REORDER,
    SWARM_SLOW_NET,
    SWARM_SLOW_DISK,
    SWARM_CRASH,
    SWARM_BETWEEN,
    SWARM_SILENCE,
    SWARM_LEAVE,
    SWARM_QUICK,
    SWARM_STALL,
    SWARM_SLEEP,
    SWARM_PARTITION,
    SWARM_CUT,
    SWARM_DEAF,
    SWARM_RADIO,
    SWARM_REJECT,
    SWARM_ICMP,
    SWARM_REPLAY,
    SWARM_BEACONS,
    SWARM_FORGE,
    SWARM_READDRESS,
    SWARM_DISK,
    SWARM_CLOCK,
    SWARM_DRIFT,
    SWARM_PATH,
    SWARM_STORM,
    SWARM_NO_UDP,
    SWARM_CLOSED,
    SWARM_KINDS,
};

void swarm_net(struct net_conf *net, struct prng *p, unsigned nodes)
{
    uint64_t kinds = prng_next(p);
    if (kinds & (1U << SWARM_LOSS)) {
        net->loss_ppm = (uint32_t) prng_below(p, 250001);
    }
    if (kinds & (1U << SWARM_DUPLICATES)) {
        net->duplicate_ppm = (uint32_t) prng_below(p, 100001);
    }
    if (kinds & (1U << SWARM_REORDER)) {
        net->reorder_ppm = (uint32_t) prng_below(p, 200001);
        net->reorder_ns = prng_below(p, 300U * MS_NS);
    }
    if (kinds & (1U << SWARM_SLOW_NET)) {
        net->latency_ns = prng_below(p, 60U * MS_NS);
        net->jitter_ns = prng_below(p, 60U * MS_NS);
    }
    if (kinds & (1U << SWARM_SLOW_DISK)) {
        net->disk_ns = prng_below(p, 800U * MS_NS);
    }
    if (prng_below(p, 4) == 0) {
        net->link_frames = 1 + (unsigned) prng_below(p, 3);
    }
    if (prng_below(p, 3) == 0) {
        net->segment_nodes = (nodes + 1) / 2;
    }
}

static void swarm_down_and_up(struct plan *p, uint64_t t, enum fault_kind how, uint64_t low_ms,
                              uint64_t high_ms)
{
    unsigned victim = draw_node(p);
    draw_at(p, t, how, victim, 0, 0);
    if (how == FAULT_CRASH && draw_one_in(p, 4)) {
        draw_at(p, t + low_ms, FAULT_DISK_NEW, victim, 0, 0);
    }
    draw_at(p, t + draw_between(p, low_ms, high_ms), FAULT_START, victim, 0, 0);
}

static void swarm_one(struct plan *p, enum swarm_kind kind, uint64_t t)
{
    unsigned a = draw_node(p);
    uint64_t length = draw_between(p, 50, 20 * S);
    if (kind == SWARM_CRASH) {
        swarm_down_and_up(p, t, FAULT_CRASH, 200, 25 * S);
    } else if (kind == SWARM_BETWEEN) {
        swarm_down_and_up(p, t, FAULT_CRASH_BETWEEN, 1600, 20 * S);
    } else if (kind == SWARM_SILENCE) {
        swarm_down_and_up(p, t, FAULT_SILENCE, S, 25 * S);
    } else if (kind == SWARM_LEAVE) {
        swarm_down_and_up(p, t, FAULT_LEAVE, 2 * S, 20 * S);
    } else if (kind == SWARM_QUICK) {
        swarm_down_and_up(p, t, FAULT_CRASH, 10, 190);
    } else if (kind == SWARM_STALL || kind == SWARM_SLEEP) {
        draw_at(p, t, kind == SWARM_STALL ? FAULT_STALL : FAULT_SLEEP, a, 0, length * MS_NS);
        plan_calm_from(p, (t + length) * MS_NS);
    } else if (kind == SWARM_PARTITION) {
        draw_partition(p, t);
        draw_at(p, t + length, FAULT_HEAL, 0, 0, 0);
    } else if (kind == SWARM_CUT || kind == SWARM_REJECT) {
        draw_at(p, t, kind == SWARM_CUT ? FAULT_CUT : FAULT_REJECT, a, draw_another(p, a), 0);
        draw_at(p, t + length, FAULT_HEAL, 0, 0, 0);
    } else if (kind == SWARM_DEAF || kind == SWARM_NO_UDP || kind == SWARM_CLOSED) {
        draw_at(p, t,
                kind == SWARM_DEAF     ? FAULT_DEAF
                : kind == SWARM_NO_UDP ? FAULT_NO_UDP
                                       : FAULT_CLOSED,
                a, 0, 0);
        draw_at(p, t + length, FAULT_HEAL, 0, 0, 0);
    } else if (kind == SWARM_RADIO) {
        draw_at(p, t, FAULT_RADIO, a, 0, draw_between(p, 100000, 950000));
        draw_at(p, t + length, FAULT_RADIO, a, 0, 0);
    } else if (kind == SWARM_ICMP) {
        draw_repeat(p, t, t + length, 30000U, FAULT_ICMP, 0, 0);
    } else if (kind == SWARM_REPLAY) {
        draw_repeat(p, t, t + length, 30000U, FAULT_REPLAY, 0, 0);
    } else if (kind == SWARM_BEACONS) {
        draw_repeat(p, t, t + length, 3000U, FAULT_BEACON, 0, 0);
    } else if (kind == SWARM_FORGE) {
        draw_at(p, t, FAULT_FORGE, 0, 0, (t + length) * MS_NS);
        plan_calm_from(p, (t + length) * MS_NS);
    } else if (kind == SWARM_READDRESS) {
        draw_at(p, t, FAULT_READDRESS, a, 0, 0);
    } else if (kind == SWARM_DISK) {
        draw_at(p, t, FAULT_DISK_FAILS, a, 0, 0);
        draw_at(p, t + length, FAULT_DISK_MENDED, a, 0, 0);
        draw_at(p, t + length + S, FAULT_START, a, 0, 0); /* if it could not start meanwhile */
    } else if (kind == SWARM_CLOCK || kind == SWARM_DRIFT) {
        draw_bad_clock(p, kind == SWARM_CLOCK, t, a);
    } else if (kind == SWARM_PATH) {
        draw_bad_path(p, t, length, a);
    } else if (kind == SWARM_STORM) {
        draw_repeat(p, t, t + length, draw_between(p, 400, 2000) * 1000U, FAULT_RESTART, a, 0);
    }
}

/* Drawn last, so that the faults of a seed are what they were. */
static void draw_writes(struct plan *p)
{
    uint64_t load;
    struct plan_load *l = plan_add_load(p, &load);
    l->keys = (unsigned) draw_between(p, 1, 30);
    l->deletes_ppm = (uint32_t) draw_between(p, 0, 300000);
    l->bytes = (unsigned) draw_between(p, 0, 200);
    uint64_t every_ns = draw_between(p, 1 * S, 8 * S) * MS_NS;
    for (unsigned i = 0; i < p->nodes; i++) {
        if (draw_one_in(p, 2)) {
            plan_repeat(p, 15ULL * SECOND_NS, 110ULL * SECOND_NS, every_ns, FAULT_WRITE, i, 0)->arg =
                load;
        }
    }
}

void swarm_plan(struct plan *p)
{
    uint64_t kinds = prng_next(&p->prng) & prng_next(&p->prng);
    draw_starts(p, draw_one_in(p, 2) ? 100 : 20 * S);
    draw_joins(p, 25 * S);
    for (unsigned kind = SWARM_CRASH; kind < SWARM_KINDS; kind++) {
        unsigned times = (kinds & (1U << kind)) == 0 ? 0 : 1 + (unsigned) draw_between(p, 0, 3);
        for (unsigned i = 0; i < times; i++) {
            swarm_one(p, (enum swarm_kind) kind, draw_between(p, 10 * S, 90 * S));
        }
    }
    /* One dial of the user's, for those who moved while nobody could hear them. */
    draw_joins(p, 130 * S);
    plan_calm_from(p, 120ULL * SECOND_NS);
    for (unsigned i = 0; i < p->nodes; i++) {
        if (!draw_one_in(p, 8)) {
            draw_at(p, 119 * S, FAULT_START, i, 0, 0);
        }
    }
    draw_at(p, 119 * S, FAULT_HEAL, 0, 0, 0);
    if (draw_one_in(p, 2)) {
        draw_writes(p);
    }
}
