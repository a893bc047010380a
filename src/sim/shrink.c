/* SPDX-License-Identifier: MPL-2.0 */
/* Smaller violated runs: see shrink.h. */
#include "sim/shrink.h"

#include "base/err.h"
#include "sim/faults.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 400000000U /* of all runs together: some minutes */
#define ROUNDED_FAULTS_MAX 60U

struct shrinking {
    struct run_conf conf;
    struct plan original;
    struct plan best;
    struct run_result best_result;
    struct run_result result; /* of the last try */
    unsigned runs, runs_max;
    uint64_t steps;
};

/* ---- what may go ---- */

static bool is_cut(enum fault_kind kind)
{
    return kind == FAULT_PARTITION || kind == FAULT_SEGMENTS || kind == FAULT_CUT ||
           kind == FAULT_REJECT || kind == FAULT_NO_UDP || kind == FAULT_CLOSED ||
           kind == FAULT_DEAF;
}

static bool is_path_ok(const struct plan *p, const struct plan_fault *f)
{
    return f->kind == FAULT_PATH && p->paths[f->arg].loss_ppm == 0;
}

/* `end` is what ends the trouble that `f` began. */
static bool is_ended_by(const struct plan *p, const struct plan_fault *f,
                        const struct plan_fault *end)
{
    if (f->at_ns > end->at_ns) {
        return false;
    }
    if (is_cut(f->kind)) {
        return end->kind == FAULT_HEAL;
    }
    if (f->kind == FAULT_RADIO || f->kind == FAULT_EAR) {
        return f->arg > 0 && end->kind == f->kind && end->arg == 0 && end->a == f->a;
    }
    if (f->kind == FAULT_PATH) {
        return !is_path_ok(p, f) && is_path_ok(p, end) && end->a == f->a && end->b == f->b;
    }
    if (f->kind == FAULT_LOSS || f->kind == FAULT_LATENCY || f->kind == FAULT_JITTER) {
        return end->kind == f->kind && end != f && end->arg < f->arg;
    }
    return f->kind == FAULT_DISK_FAILS && end->kind == FAULT_DISK_MENDED && end->a == f->a;
}

static bool is_in(const struct plan *p, const struct plan_fault *f)
{
    for (size_t i = 0; i < p->fault_count; i++) {
        if (memcmp(&p->faults[i], f, sizeof *f) == 0) {
            return true;
        }
    }
    return false;
}

/* True if nothing lost its end on the way from the original. */
static bool is_fair(const struct shrinking *s, const struct plan *p)
{
    for (size_t i = 0; i < s->original.fault_count; i++) {
        const struct plan_fault *end = &s->original.faults[i];
        if (is_in(p, end)) {
            continue;
        }
        for (size_t j = 0; j < p->fault_count; j++) {
            if (is_ended_by(p, &p->faults[j], end)) {
                return false;
            }
        }
    }
    return true;
}

static bool is_first_start(const struct plan *p, size_t idx)
{
    for (size_t i = 0; i < p->fault_count; i++) {
        const struct plan_fault *f = &p->faults[i];
        if (i != idx && f->kind == FAULT_START && f->a == p->faults[idx].a &&
            f->at_ns <= p->faults[idx].at_ns) {
            return false;
        }
    }
    return p->faults[idx].kind == FAULT_START;
}

/* May go alone. Nodes go as a whole. */
static bool is_removable(const struct plan *p, size_t idx)
{
    enum fault_kind kind = p->faults[idx].kind;
    return kind != FAULT_JOIN && kind != FAULT_EXPECT && kind != FAULT_CLONE &&
           !is_first_start(p, idx);
}

/* ---- tries ---- */

/* Runs the plan, which is taken; keeps it if it violates the same rule. */
static bool attempt(struct shrinking *s, struct plan *p)
{
    bool is_kept = false;
    if (s->runs < s->runs_max && s->steps < STEPS_MAX) {
        s->conf.plan = p;
        run(&s->conf, &s->result);
        s->runs++;
        s->steps += s->result.steps;
        is_kept = s->result.failed && s->result.violation_kind == s->best_result.violation_kind;
    }
    if (is_kept) {
        plan_fini(&s->best);
        s->best = *p;
        s->best_result = s->result;
    } else {
        plan_fini(p);
    }
    return is_kept;
}

/* Without the faults that are marked. */
static bool attempt_without(struct shrinking *s, const bool *marked)
{
    struct plan p;
    plan_copy(&p, &s->best);
    size_t kept = 0;
    for (size_t i = 0; i < p.fault_count; i++) {
        if (!marked[i]) {
            p.faults[kept++] = p.faults[i];
        }
    }
    bool is_same = kept == p.fault_count;
    p.fault_count = kept;
    if (is_same || !is_fair(s, &p)) {
        plan_fini(&p);
        return false;
    }
    return attempt(s, &p);
}

/* Takes away `size` neighbours at a time. Returns true if something went. */
static bool remove_groups(struct shrinking *s, size_t size)
{
    bool any = false;
    size_t first = 0;
    while (first < s->best.fault_count && s->runs < s->runs_max) {
        bool *marked = calloc(s->best.fault_count + 1, sizeof *marked);
        HM_ASSERT(marked != NULL);
        for (size_t i = first; i < first + size && i < s->best.fault_count; i++) {
            marked[i] = is_removable(&s->best, i);
        }
        if (attempt_without(s, marked)) {
            any = true;
        } else {
            first += size;
        }
        free(marked);
    }
    return any;
}

/* What begins and what ends it, together: neither can go alone. */
static bool remove_troubles(struct shrinking *s)
{
    bool any = false;
    for (size_t i = 0; i < s->best.fault_count && s->runs < s->runs_max; i++) {
        bool *marked = calloc(s->best.fault_count + 1, sizeof *marked);
        HM_ASSERT(marked != NULL);
        for (size_t j = 0; j < s->best.fault_count; j++) {
            marked[j] = is_ended_by(&s->best, &s->best.faults[i], &s->best.faults[j]);
            marked[i] = marked[i] || marked[j];
        }
        if (attempt_without(s, marked)) {
            any = true;
            i--; /* another is there now */
        }
        free(marked);
    }
    return any;
}

static bool names_node(const struct plan_fault *f, unsigned node)
{
    bool has_b = f->kind == FAULT_CUT || f->kind == FAULT_REJECT || f->kind == FAULT_PATH ||
                 f->kind == FAULT_JOIN || f->kind == FAULT_CLONE || f->kind == FAULT_REMOVE;
    bool has_a = f->kind != FAULT_PARTITION && f->kind != FAULT_SEGMENTS && f->kind != FAULT_HEAL &&
                 f->kind != FAULT_EXPECT && f->kind != FAULT_LOSS && f->kind != FAULT_LATENCY &&
                 f->kind != FAULT_JITTER && f->kind != FAULT_FORGE && f->kind != FAULT_ICMP &&
                 f->kind != FAULT_REPLAY && f->kind != FAULT_BEACON && f->kind != FAULT_STRANGER;
    return (has_a && f->a == node) || (has_b && f->b == node);
}

static bool is_introduced(const struct plan *p, unsigned node)
{
    for (size_t i = 0; i < p->fault_count; i++) {
        const struct plan_fault *f = &p->faults[i];
        if ((f->kind == FAULT_JOIN || f->kind == FAULT_CLONE) && names_node(f, node)) {
            return true;
        }
    }
    return false;
}

/* The numbers above it move down by one. */
static void drop_number(struct plan *p, unsigned node)
{
    for (size_t i = 0; i < p->fault_count; i++) {
        struct plan_fault *f = &p->faults[i];
        f->a -= f->a > node;
        f->b -= f->b > node;
    }
    for (size_t i = 0; i < p->side_count; i++) {
        memmove(p->sides[i].side + node, p->sides[i].side + node + 1, SIM_NODES_MAX - node - 1);
    }
    p->nodes--;
}

static bool remove_node(struct shrinking *s, unsigned node)
{
    struct plan p;
    if (is_introduced(&s->best, node)) {
        return false;
    }
    plan_copy(&p, &s->best);
    size_t kept = 0;
    for (size_t i = 0; i < p.fault_count; i++) {
        if (!names_node(&p.faults[i], node)) {
            p.faults[kept++] = p.faults[i];
        }
    }
    bool is_changed = kept < p.fault_count;
    p.fault_count = kept;
    if (p.expect_count == 0 && p.net.segment_nodes == 0) {
        drop_number(&p, node); /* what names the others by number is all known here */
        is_changed = true;
    }
    if (!is_changed) {
        plan_fini(&p);
        return false;
    }
    return attempt(s, &p);
}

static bool remove_nodes(struct shrinking *s)
{
    bool any = false;
    for (unsigned node = s->best.nodes; node-- > 0 && s->best.nodes > 1;) {
        any = remove_node(s, node) || any;
    }
    return any;
}

/* ---- the network and the times ---- */

static void calm_network(struct shrinking *s)
{
    struct net_conf calm;
    struct plan p;
    faults_net_default(&calm);
    for (unsigned what = 0; what < 8; what++) {
        plan_copy(&p, &s->best);
        struct net_conf *net = &p.net;
        if (what == 0) {
            net->duplicate_ppm = 0;
        } else if (what == 1) {
            net->reorder_ppm = 0;
        } else if (what == 2) {
            net->loss_ppm = 0;
        } else if (what == 3) {
            net->jitter_ns = calm.jitter_ns;
        } else if (what == 4) {
            net->latency_ns = calm.latency_ns;
        } else if (what == 5) {
            net->disk_ns = calm.disk_ns;
        } else if (what == 6) {
            net->link_frames = 0;
        } else {
            net->segment_nodes = 0;
        }
        attempt(s, &p);
    }
}

/* Times in whole seconds, or tenths, are easier to think about. */
static void round_times(struct shrinking *s)
{
    static const uint64_t grains_ns[] = {SECOND_NS, SECOND_NS / 10, SECOND_NS / 100, MS_NS};
    for (size_t i = 0; i < s->best.fault_count && s->best.fault_count <= ROUNDED_FAULTS_MAX; i++) {
        for (size_t g = 0; g < sizeof grains_ns / sizeof grains_ns[0]; g++) {
            struct plan p;
            plan_copy(&p, &s->best);
            uint64_t *at_ns = &p.faults[i].at_ns;
            uint64_t rounded = (*at_ns + grains_ns[g] / 2) / grains_ns[g] * grains_ns[g];
            if (rounded == *at_ns) {
                plan_fini(&p);
                break;
            }
            *at_ns = rounded;
            if (attempt(s, &p)) {
                break;
            }
        }
    }
}

/* What comes after a violation has no part in it. */
static void cut_end(struct shrinking *s)
{
    bool *marked = calloc(s->best.fault_count + 1, sizeof *marked);
    HM_ASSERT(marked != NULL);
    for (size_t i = 0; i < s->best.fault_count; i++) {
        marked[i] = s->best.faults[i].at_ns > s->best_result.end_ns && is_removable(&s->best, i);
    }
    attempt_without(s, marked);
    free(marked);
}

static void shorten(struct shrinking *s)
{
    struct plan p;
    plan_copy(&p, &s->best);
    p.calm_ns = 0;
    for (size_t i = 0; i < p.fault_count; i++) {
        plan_calm_from(&p, plan_fault_end_ns(&p.faults[i]));
    }
    p.for_ns = p.calm_ns + p.converge_ns;
    attempt(s, &p);
}

bool shrink(const struct run_conf *conf, unsigned runs_max, struct shrunk *ret)
{
    struct shrinking s = {.conf = *conf, .runs_max = runs_max};
    s.conf.note_sink = NULL;
    s.conf.timeline = NULL;
    s.conf.ret_plan = &s.original;
    run(&s.conf, &s.best_result);
    s.conf.ret_plan = NULL;
    s.conf.loss_ppm = RUN_NOT_SET; /* in the plan by now */
    s.conf.latency_ns = RUN_NOT_SET;
    s.conf.jitter_ns = RUN_NOT_SET;
    if (!s.best_result.failed || s.best_result.violation_kind == 0) {
        plan_fini(&s.original);
        return false;
    }
    plan_copy(&s.best, &s.original);
    s.best.flags &= ~(unsigned) PLAN_LIFEGUARD;
    cut_end(&s);
    for (size_t size = s.best.fault_count / 2; size > 0; size /= 2) {
        remove_groups(&s, size);
    }
    bool any = true;
    while (any) {
        any = remove_nodes(&s);
        any = remove_troubles(&s) || any;
        any = remove_groups(&s, 1) || any;
    }
    calm_network(&s);
    shorten(&s);
    round_times(&s);
    remove_groups(&s, 1);
    ret->faults_before = s.original.fault_count;
    ret->nodes_before = s.original.nodes;
    ret->runs = s.runs;
    ret->plan = s.best;
    ret->result = s.best_result;
    plan_fini(&s.original);
    return true;
}
