/* SPDX-License-Identifier: MPL-2.0 */
/* Drawing plans: see draw.h. The order of the draws is part of what a seed means. */
#include "sim/draw.h"

#include "base/prng.h"

#define S 1000U /* ms in a second */

uint64_t draw_between(struct plan *p, uint64_t low, uint64_t high)
{
    return low + prng_below(&p->prng, high - low + 1);
}

bool draw_one_in(struct plan *p, unsigned of)
{
    return prng_below(&p->prng, of) == 0;
}

unsigned draw_node(struct plan *p)
{
    return (unsigned) prng_below(&p->prng, p->nodes);
}

unsigned draw_another(struct plan *p, unsigned than)
{
    return p->nodes == 1 ? than
                         : (than + 1 + (unsigned) prng_below(&p->prng, p->nodes - 1)) % p->nodes;
}

/* In a world of one there is nobody else to be cut off from. */
static bool is_of_itself(enum fault_kind kind, unsigned a, unsigned b)
{
    return a == b &&
           (kind == FAULT_CUT || kind == FAULT_REJECT || kind == FAULT_PATH || kind == FAULT_JOIN ||
            kind == FAULT_REMOVE);
}

void draw_at(struct plan *p, uint64_t ms, enum fault_kind kind, unsigned a, unsigned b,
             uint64_t arg)
{
    if (!is_of_itself(kind, a, b)) {
        plan_at(p, ms * MS_NS, kind, a, b, arg);
    }
}

void draw_repeat(struct plan *p, uint64_t from_ms, uint64_t until_ms, uint64_t every_us,
                 enum fault_kind kind, unsigned a, unsigned b)
{
    if (!is_of_itself(kind, a, b)) {
        plan_repeat(p, from_ms * MS_NS, until_ms * MS_NS, every_us * 1000U, kind, a, b);
    }
}

void draw_starts(struct plan *p, uint64_t within_ms)
{
    for (unsigned i = 0; i < p->nodes; i++) {
        draw_at(p, draw_between(p, 0, within_ms), FAULT_START, i, 0, 0);
    }
}

void draw_joins(struct plan *p, uint64_t until_ms)
{
    unsigned per = p->net.segment_nodes;
    for (unsigned first = per; per > 0 && first < p->nodes; first += per) {
        draw_repeat(p, S, until_ms, 2000000U, FAULT_JOIN, first, first - per);
    }
}

void draw_part(struct plan *p, uint64_t ms, unsigned small, uint64_t seed)
{
    struct prng drawn;
    uint64_t idx;
    prng_init(&drawn, seed);
    unsigned first = (unsigned) prng_below(&drawn, p->nodes);
    struct plan_sides *sides = plan_add_sides(p, &idx);
    for (unsigned i = 0; i < small; i++) {
        sides->side[(first + i) % p->nodes] = 1;
    }
    draw_at(p, ms, FAULT_PARTITION, 0, 0, idx);
}

void draw_partition(struct plan *p, uint64_t ms)
{
    if (p->nodes < 2) {
        return;
    }
    unsigned small = 1 + (unsigned) prng_below(&p->prng, p->nodes - 1);
    draw_part(p, ms, small, prng_next(&p->prng));
}

void draw_bad_path(struct plan *p, uint64_t ms, uint64_t length_ms, unsigned a)
{
    uint64_t bad, good;
    struct path_conf *path = plan_add_path(p, &bad);
    path->loss_ppm = (uint32_t) draw_between(p, 0, 1000000);
    path->latency_ns = draw_between(p, 0, 200) * MS_NS;
    path->jitter_ns = draw_between(p, 0, 200) * MS_NS;
    plan_add_path(p, &good);
    unsigned b = draw_another(p, a);
    draw_at(p, ms, FAULT_PATH, a, b, bad);
    draw_at(p, ms + length_ms, FAULT_PATH, a, b, good);
}

void draw_bad_clock(struct plan *p, bool jumps, uint64_t ms, unsigned a)
{
    int64_t back = draw_one_in(p, 2) ? -1 : 1;
    if (jumps) {
        int64_t by_ms = (int64_t) draw_between(p, 1, 10000000) * back;
        by_ms = draw_one_in(p, 2) ? by_ms : by_ms * 100000;
        draw_at(p, ms, FAULT_CLOCK, a, 0, (uint64_t) by_ms);
    } else {
        int64_t by_ppm = back * (int64_t) draw_between(p, 1, 2000);
        draw_at(p, ms, FAULT_DRIFT, a, 0, (uint64_t) by_ppm);
    }
}
