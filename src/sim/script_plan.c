/* SPDX-License-Identifier: MPL-2.0 */
/* Draws a plan from a scenario file: see script.h. Draws are made in the order of the file, one
 * statement at a time: what a seed gives does not depend on the compiler. */
#include "sim/script.h"

#include <stdio.h>
#include <string.h>

#define START_WITHIN_NS (100ULL * MS_NS)
#define AGREED_DEFAULT_NS (60ULL * SECOND_NS)
#define REST_NS (60ULL * SECOND_NS) /* after the last fault */
#define EVERY_FROM_NS (10ULL * SECOND_NS)
#define EVERY_FOR_NS (300ULL * SECOND_NS)

struct drawing {
    const struct script *script;
    struct plan *plan;
    struct node_set off;
    bool is_full;
};

static uint64_t draw(struct plan *p, const struct script_range *range)
{
    return range->low == range->high
               ? range->low
               : range->low + prng_below(&p->prng, range->high - range->low + 1);
}

/* Replaces "any" by as many as are wanted of those that may be meant. */
static void draw_set(struct drawing *d, const struct script_set *set, struct node_set *ret)
{
    struct plan *p = d->plan;
    if (!set->is_any) {
        *ret = set->nodes;
        return;
    }
    uint16_t from[SIM_NODES_MAX];
    unsigned left = 0;
    memset(ret, 0, sizeof *ret);
    for (unsigned i = 0; i < p->nodes; i++) {
        if (node_set_has(&set->nodes, i) && !node_set_has(&d->off, i)) {
            from[left++] = (uint16_t) i;
        }
    }
    for (unsigned drawn = 0; drawn < set->count && left > 0; drawn++) {
        uint64_t nth = prng_below(&p->prng, left);
        node_set_add(ret, from[nth]);
        from[nth] = from[--left];
    }
}

static bool has_room(struct drawing *d)
{
    d->is_full = d->is_full || d->plan->fault_count >= SCRIPT_FAULTS_MAX;
    return !d->is_full;
}

static void add(struct drawing *d, uint64_t at_ns, enum fault_kind kind, unsigned a, unsigned b,
                uint64_t arg)
{
    if (has_room(d)) {
        plan_at(d->plan, at_ns, kind, a, b, arg);
    }
}

/* What the fault's argument goes back to when it ends. */
static uint64_t arg_when_mended(const struct drawing *d, enum fault_kind kind)
{
    const struct net_conf *net = &d->script->net;
    return kind == FAULT_LOSS      ? net->loss_ppm
           : kind == FAULT_LATENCY ? net->latency_ns
           : kind == FAULT_JITTER  ? net->jitter_ns
                                   : 0;
}

static uint64_t partition_of(struct drawing *d, const struct script_statement *st)
{
    uint64_t idx;
    struct node_set drawn;
    if (d->plan->side_count == SCRIPT_SIDES_MAX) {
        d->is_full = true;
        return 0;
    }
    draw_set(d, &st->who, &drawn);
    struct plan_sides *sides = plan_add_sides(d->plan, &idx);
    if (st->sides != NULL) {
        *sides = *st->sides;
    }
    for (unsigned i = 0; i < d->plan->nodes; i++) {
        if (node_set_has(&drawn, i)) {
            sides->side[i] = 1;
        }
    }
    return idx;
}

static void do_path(struct drawing *d, const struct script_statement *st, uint64_t at_ns,
                    const struct path_conf *path)
{
    uint64_t idx;
    if (d->plan->path_count == PATHS_MAX) {
        d->is_full = true;
        return;
    }
    *plan_add_path(d->plan, &idx) = *path;
    add(d, at_ns, FAULT_PATH, st->a, st->b, idx);
    if (strchr(st->verb->arguments, '>') == NULL) {
        add(d, at_ns, FAULT_PATH, st->b, st->a, idx);
    }
}

static void do_repeated(struct drawing *d, const struct script_statement *st, uint64_t at_ns,
                        uint64_t for_ns, unsigned a, uint64_t load)
{
    if (has_room(d)) {
        struct plan_fault *f =
            plan_repeat(d->plan, at_ns, at_ns + for_ns, st->amount, st->verb->kind, a, 0);
        f->arg = load;
    }
}

static void do_to_one(struct drawing *d, const struct script_statement *st, uint64_t at_ns,
                      uint64_t for_ns, unsigned node, uint64_t load)
{
    const struct script_verb *v = st->verb;
    bool is_held = v->kind == FAULT_STALL || v->kind == FAULT_SLEEP;
    if ((v->kind == FAULT_RESTART && st->amount > 0) || v->kind == FAULT_WRITE) {
        do_repeated(d, st, at_ns, for_ns, node, load);
        return;
    }
    add(d, at_ns, v->kind, node, 0, is_held ? for_ns : st->amount);
    if (v->mend >= 0 && for_ns != SCRIPT_NOT_SET) {
        add(d, at_ns + for_ns, (enum fault_kind) v->mend, node, 0, 0);
    }
}

/* The statement's doing, once. */
static void do_once(struct drawing *d, const struct script_statement *st, uint64_t at_ns)
{
    static const struct path_conf no_path = {0};
    const struct script_verb *v = st->verb;
    uint64_t for_ns =
        st->for_ns.low == SCRIPT_NOT_SET ? SCRIPT_NOT_SET : draw(d->plan, &st->for_ns);
    if (v->arguments[0] == 'S') {
        struct node_set who;
        uint64_t load = 0;
        draw_set(d, &st->who, &who);
        if (v->kind == FAULT_WRITE) {
            *plan_add_load(d->plan, &load) = st->load;
        }
        for (unsigned i = 0; i < d->plan->nodes; i++) {
            if (node_set_has(&who, i)) {
                do_to_one(d, st, at_ns, for_ns, i, load);
            }
        }
        return;
    }
    if (v->kind == FAULT_PATH) {
        do_path(d, st, at_ns, &st->path);
        if (for_ns != SCRIPT_NOT_SET) {
            do_path(d, st, at_ns + for_ns, &no_path);
        }
        return;
    }
    if (strchr(v->arguments, 'R') != NULL) {
        do_repeated(d, st, at_ns, for_ns, 0, 0);
        return;
    }
    uint64_t arg = v->kind == FAULT_PARTITION ? partition_of(d, st)
                   : v->kind == FAULT_FORGE   ? at_ns + for_ns
                                              : st->amount;
    add(d, at_ns, v->kind, st->a, st->b, arg);
    if (v->mend >= 0 && for_ns != SCRIPT_NOT_SET) {
        add(d, at_ns + for_ns, (enum fault_kind) v->mend, 0, 0, arg_when_mended(d, v->kind));
    }
}

static void do_every(struct drawing *d, const struct script_statement *st)
{
    const struct script *s = d->script;
    uint64_t from_ns = st->from_ns != SCRIPT_NOT_SET ? st->from_ns : EVERY_FROM_NS;
    uint64_t until_ns = st->until_ns;
    if (until_ns == SCRIPT_NOT_SET && s->for_ns == SCRIPT_NOT_SET) {
        until_ns = from_ns + EVERY_FOR_NS;
    } else if (until_ns == SCRIPT_NOT_SET) {
        until_ns = s->for_ns > 2 * REST_NS ? s->for_ns - REST_NS : s->for_ns / 2;
    }
    if (st->verb->kind == FAULT_JOIN && st->when.low == st->when.high) {
        if (has_room(d)) { /* one entry of the plan, however often */
            plan_repeat(d->plan, from_ns, until_ns, st->when.low, FAULT_JOIN, st->a, st->b);
        }
        return;
    }
    for (uint64_t t = from_ns; t < until_ns && !d->is_full; t += draw(d->plan, &st->when)) {
        do_once(d, st, t);
    }
}

static void do_statement(struct drawing *d, const struct script_statement *st)
{
    if (st->verb != NULL) {
        if (st->is_every) {
            do_every(d, st);
        } else {
            do_once(d, st, draw(d->plan, &st->when));
        }
        return;
    }
    struct expect *e = plan_add_expect(d->plan, st->expect.kind);
    *e = st->expect;
    if (e->kind == EXPECT_STATUS) {
        e->at_ns = st->when.low;
        add(d, e->at_ns, FAULT_EXPECT, 0, 0, d->plan->expect_count - 1);
    }
}

static void start_all(struct drawing *d)
{
    const struct script *s = d->script;
    d->off = s->off;
    for (size_t i = 0; i < s->count; i++) {
        if (s->statements[i].verb != NULL && s->statements[i].verb->kind == FAULT_CLONE) {
            node_set_add(&d->off, s->statements[i].b);
        }
    }
    for (unsigned i = 0; i < d->plan->nodes; i++) {
        if (!node_set_has(&d->off, i)) {
            uint64_t at_ns = prng_below(&d->plan->prng, START_WITHIN_NS);
            add(d, at_ns, FAULT_START, i, 0, 0);
        }
    }
}

bool script_plan(const struct script *s, uint64_t seed, struct plan *ret_plan)
{
    struct drawing d = {.script = s, .plan = ret_plan};
    plan_init(ret_plan, seed, s->nodes);
    snprintf(ret_plan->name, sizeof ret_plan->name, "%s", s->name);
    ret_plan->net = s->net;
    ret_plan->flags = s->flags;
    ret_plan->converge_ns = s->converge_ns != SCRIPT_NOT_SET ? s->converge_ns : AGREED_DEFAULT_NS;
    ret_plan->equal_ns = s->equal_ns != SCRIPT_NOT_SET ? s->equal_ns : 0;
    start_all(&d);
    for (size_t i = 0; i < s->count; i++) {
        do_statement(&d, &s->statements[i]);
    }
    d.is_full = d.is_full || ret_plan->calm_ns > SCRIPT_TIME_MAX_NS - REST_NS;
    if (s->calm_ns != SCRIPT_NOT_SET) {
        ret_plan->calm_ns = s->calm_ns;
    }
    ret_plan->for_ns = s->for_ns != SCRIPT_NOT_SET ? s->for_ns : ret_plan->calm_ns + REST_NS;
    return !d.is_full;
}
