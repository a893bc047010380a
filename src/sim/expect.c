/* SPDX-License-Identifier: MPL-2.0 */
/* Expectations: see expect.h. */
#include "sim/expect.h"

#include "sim/check.h"

#include <inttypes.h>

static const struct expect *expect_at(const struct world *w, size_t i)
{
    return &w->plan->expects[i];
}

static size_t expect_count(const struct world *w)
{
    return w->plan == NULL ? 0 : w->plan->expect_count;
}

void expect_now(struct world *w, uint64_t idx)
{
    const struct expect *e = expect_at(w, idx);
    const struct check *c = w->check;
    for (unsigned o = 0; o < w->count; o++) {
        if (!node_set_has(&e->by, o) || !world_is_running(&w->nodes[o])) {
            continue;
        }
        for (unsigned s = 0; s < w->count; s++) {
            uint8_t status = c->status[(size_t) o * c->n + s];
            if (node_set_has(&e->who, s) && w->nodes[o].original != w->nodes[s].original &&
                status != (uint8_t) e->status) {
                world_violation(
                    w, "%s holds %s %s, expected %s", w->nodes[o].name, w->nodes[s].name,
                    status == CHECK_UNKNOWN ? "for nobody it knows"
                                            : member_status_name((enum member_status) status),
                    member_status_name((enum member_status) e->status));
            }
        }
    }
}

void expect_failure(struct world *w, const struct sim_node *o, const struct sim_node *s)
{
    for (size_t i = 0; i < expect_count(w); i++) {
        const struct expect *e = expect_at(w, i);
        if (e->kind == EXPECT_NO_FAILED && node_set_has(&e->who, o->idx) &&
            node_set_has(&e->who, s->idx)) {
            world_violation(w, "%s holds %s failed, which runs: expected no-failed", o->name,
                            s->name);
        }
    }
}

void expect_incarnation(struct world *w, const struct sim_node *s, uint64_t incarnation)
{
    for (size_t i = 0; i < expect_count(w); i++) {
        const struct expect *e = expect_at(w, i);
        if (e->kind == EXPECT_INCARNATION && node_set_has(&e->who, s->idx) &&
            incarnation >= e->limit) {
            world_violation(w, "%s reached incarnation %" PRIu64 ", expected below %" PRIu64,
                            s->name, incarnation, e->limit);
        }
    }
}

static void judge_detections(struct world *w, const struct expect *e)
{
    const struct check *c = w->check;
    for (unsigned i = 0; i < c->detection_count; i++) {
        const struct detection *d = &c->detections[i];
        if (!node_set_has(&e->who, d->node) || (d->all_ns == 0 && !d->is_open)) {
            continue; /* it came back before all had noticed */
        }
        bool is_told = e->kind == EXPECT_TOLD;
        uint64_t from_ns = is_told ? d->first_ns : d->at_ns;
        uint64_t took = (d->all_ns != 0 ? d->all_ns : w->now_ns) - from_ns;
        if (from_ns != 0 && took > e->within_ns) {
            world_violation(w,
                            "the end of %s%s at %" PRIu64 " ms was not known to all after %" PRIu64
                            " ms, expected within %" PRIu64 " ms",
                            w->nodes[d->node].name, is_told ? ", known to the first" : "",
                            from_ns / MS_NS, took / MS_NS, e->within_ns / MS_NS);
        }
    }
}

void expect_end(struct world *w)
{
    for (size_t i = 0; i < expect_count(w) && !w->failed; i++) {
        const struct expect *e = expect_at(w, i);
        if (e->kind == EXPECT_DETECTED || e->kind == EXPECT_TOLD) {
            judge_detections(w, e);
        } else if (e->kind == EXPECT_FALSE_FAILURES && w->check->false_failures > e->limit) {
            world_violation(w, "%" PRIu64 " false failures, expected at most %" PRIu64,
                            w->check->false_failures, e->limit);
        }
    }
}
