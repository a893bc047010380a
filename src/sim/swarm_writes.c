/* SPDX-License-Identifier: MPL-2.0 */
/* The swarm of writes: few nodes, clients that write to a few keys, and what goes wrong with disks,
 * processes and links meanwhile. See swarm.h. */
#include "sim/draw.h"
#include "sim/swarm.h"

#define S 1000U /* ms in a second */
#define FROM (12 * S)
#define UNTIL (60 * S)
#define CALM (75 * S)
#define YEAR_MS (365LL * 86400 * 1000)

enum trouble {
    TROUBLE_CRASH,
    TROUBLE_BETWEEN,
    TROUBLE_STORM,
    TROUBLE_SILENCE,
    TROUBLE_LEAVE,
    TROUBLE_STALL,
    TROUBLE_SLEEP,
    TROUBLE_PARTITION,
    TROUBLE_CUT,
    TROUBLE_DISK,
    TROUBLE_RESTORE,
    TROUBLE_DISK_NEW,
    TROUBLE_CLOCK,
    TROUBLE_KINDS,
};

void swarm_writes_net(struct net_conf *net, struct prng *p, unsigned nodes)
{
    uint64_t kinds = prng_next(p);
    (void) nodes;
    if ((kinds & 3) == 0) {
        net->loss_ppm = (uint32_t) prng_below(p, 100001);
    }
    if ((kinds & 4) != 0) {
        net->latency_ns = prng_below(p, 40U * MS_NS);
        net->jitter_ns = prng_below(p, 20U * MS_NS);
    }
    if ((kinds & 8) != 0) {
        net->disk_ns = prng_below(p, 500U * MS_NS);
    }
    if ((kinds & 0x70) == 0) {
        net->link_frames = 1 + (unsigned) prng_below(p, 8);
    }
}

/* Some write rarely and little to few keys, some much. */
static void draw_load(struct plan *p, uint64_t from_ms, uint64_t until_ms)
{
    uint64_t load;
    struct plan_load *l = plan_add_load(p, &load);
    l->keys = (unsigned) draw_between(p, 1, draw_one_in(p, 2) ? 4 : 40);
    l->deletes_ppm = draw_one_in(p, 3) ? 0 : (uint32_t) draw_between(p, 0, 500000);
    l->bytes = (unsigned) draw_between(p, 0, draw_one_in(p, 3) ? 8000 : 100);
    uint64_t every_us = draw_between(p, 50, 2000) * 1000U;
    for (unsigned i = 0; i < p->nodes; i++) {
        if (!draw_one_in(p, 3)) {
            plan_repeat(p, from_ms * MS_NS, until_ms * MS_NS, every_us * 1000U, FAULT_WRITE, i, 0)
                ->arg = load;
        }
    }
}

static void down_and_up(struct plan *p, uint64_t t, enum fault_kind how, unsigned a, uint64_t low_ms,
                        uint64_t high_ms)
{
    draw_at(p, t, how, a, 0, 0);
    draw_at(p, t + draw_between(p, low_ms, high_ms), FAULT_START, a, 0, 0);
}

/* A while away, then again and again during what brings it up to date. */
static void draw_storm(struct plan *p, uint64_t t, unsigned a)
{
    uint64_t load;
    *plan_add_load(p, &load) = (struct plan_load){.keys = 100, .bytes = 16000};
    unsigned b = draw_another(p, a);
    uint64_t from_ms = t + 10 * S + draw_between(p, 50, 600);
    uint64_t every_us = draw_between(p, 250, 900) * 1000U;
    draw_at(p, t, FAULT_CRASH, a, 0, 0);
    plan_repeat(p, t * MS_NS, (t + 10 * S) * MS_NS, 80U * MS_NS, FAULT_WRITE, b, 0)->arg = load;
    draw_at(p, t + 10 * S, FAULT_START, a, 0, 0);
    draw_repeat(p, from_ms, t + 15 * S, every_us, FAULT_RESTART, a, 0);
}

static void draw_disk(struct plan *p, enum trouble kind, uint64_t t, unsigned a)
{
    if (kind == TROUBLE_RESTORE) {
        draw_at(p, t - draw_between(p, S, 10 * S), FAULT_BACKUP, a, 0, 0);
    }
    draw_at(p, t, FAULT_CRASH, a, 0, 0);
    draw_at(p, t + 100, kind == TROUBLE_RESTORE ? FAULT_RESTORE : FAULT_DISK_NEW, a, 0, 0);
    draw_at(p, t + draw_between(p, 200, 5 * S), FAULT_START, a, 0, 0);
}

static void draw_trouble(struct plan *p, enum trouble kind, uint64_t t)
{
    unsigned a = draw_node(p);
    uint64_t length = draw_between(p, 50, 12 * S);
    if (kind == TROUBLE_CRASH) {
        down_and_up(p, t, FAULT_CRASH, a, 20, 10 * S);
    } else if (kind == TROUBLE_BETWEEN) {
        down_and_up(p, t, FAULT_CRASH_BETWEEN, a, 1600, 6 * S);
    } else if (kind == TROUBLE_STORM) {
        draw_storm(p, t, a);
    } else if (kind == TROUBLE_SILENCE) {
        down_and_up(p, t, FAULT_SILENCE, a, S, 10 * S);
    } else if (kind == TROUBLE_LEAVE) {
        down_and_up(p, t, FAULT_LEAVE, a, 2 * S, 10 * S);
    } else if (kind == TROUBLE_STALL || kind == TROUBLE_SLEEP) {
        draw_at(p, t, kind == TROUBLE_STALL ? FAULT_STALL : FAULT_SLEEP, a, 0, length * MS_NS);
    } else if (kind == TROUBLE_PARTITION) {
        draw_partition(p, t);
        draw_at(p, t + length, FAULT_HEAL, 0, 0, 0);
    } else if (kind == TROUBLE_CUT) {
        draw_at(p, t, FAULT_CUT, a, draw_another(p, a), 0);
        draw_at(p, t + length, FAULT_HEAL, 0, 0, 0);
    } else if (kind == TROUBLE_DISK) {
        draw_at(p, t, FAULT_DISK_FAILS, a, 0, 0);
        draw_at(p, t + length, FAULT_DISK_MENDED, a, 0, 0);
        draw_at(p, t + length + S, FAULT_START, a, 0, 0);
    } else if (kind == TROUBLE_CLOCK) {
        draw_at(p, t, FAULT_CLOCK, a, 0, (uint64_t) (draw_one_in(p, 2) ? YEAR_MS : -YEAR_MS));
    } else {
        draw_disk(p, kind, t, a);
    }
}

void swarm_writes_plan(struct plan *p)
{
    uint64_t kinds = prng_next(&p->prng);
    draw_starts(p, draw_one_in(p, 2) ? 100 : 5 * S);
    draw_load(p, FROM, UNTIL);
    for (unsigned i = 0; i < 2 && draw_one_in(p, 2); i++) {
        uint64_t from_ms = draw_between(p, FROM, UNTIL - 10 * S);
        draw_load(p, from_ms, from_ms + draw_between(p, S, 20 * S));
    }
    for (unsigned kind = 0; kind < TROUBLE_KINDS; kind++) {
        unsigned times = (kinds & (1U << kind)) == 0 ? 0 : 1 + (unsigned) draw_between(p, 0, 3);
        for (unsigned i = 0; i < times; i++) {
            draw_trouble(p, (enum trouble) kind, draw_between(p, FROM + 10 * S, UNTIL));
        }
    }
    plan_calm_from(p, CALM * (uint64_t) MS_NS);
    draw_at(p, CALM, FAULT_HEAL, 0, 0, 0);
    for (unsigned i = 0; i < p->nodes; i++) {
        draw_at(p, CALM, FAULT_START, i, 0, 0);
    }
}
