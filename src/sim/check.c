/* SPDX-License-Identifier: MPL-2.0 */
/* What must hold: see check.h. */
#include "sim/check.h"

#include "base/err.h"
#include "sim/expect.h"
#include "sim/ledger.h"
#include "sim/timeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EFFECTS_BASE_MAX 512U /* and some for each node: a start admits every remembered member */
#define EFFECTS_PER_NODE_MAX 48U /* one message may bring dozens of updates, each told to all */
#define LONG_DEAD_NS (60ULL * SECOND_NS)
#define SCAN_EACH_STEP_UP_TO 8U /* nodes; in larger worlds a list is read every count / 8 steps */
#define INCARNATION_JUMP_MAX 1000U /* one node cannot be accused so often between two looks at it */

static void *must(void *p)
{
    HM_ASSERT(p != NULL);
    return p;
}

struct check *check_new(struct world *w)
{
    struct check *c = must(calloc(1, sizeof *c));
    size_t pairs = (size_t) w->count * w->count;
    c->w = w;
    c->n = w->count;
    c->status = must(malloc(pairs));
    memset(c->status, CHECK_UNKNOWN, pairs);
    c->removed = must(calloc(pairs, 1));
    c->incarnation = must(calloc(pairs, sizeof *c->incarnation));
    c->since_ns = must(calloc(pairs, sizeof *c->since_ns));
    c->known_ns = must(calloc(pairs, sizeof *c->known_ns));
    c->event_seq = must(calloc(c->n, sizeof *c->event_seq));
    c->event_told = must(calloc(c->n, sizeof *c->event_told));
    c->own_max = must(calloc(c->n, sizeof *c->own_max));
    c->own_now = must(calloc(c->n, sizeof *c->own_now));
    c->scans = must(calloc(c->n, sizeof *c->scans));
    c->watched = must(calloc(c->n, sizeof *c->watched));
    return c;
}

void check_destroy(struct check **p)
{
    struct check *c = *p;
    if (c == NULL) {
        return;
    }
    free(c->removed);
    free(c->status);
    free(c->incarnation);
    free(c->since_ns);
    free(c->known_ns);
    free(c->event_seq);
    free(c->event_told);
    free(c->own_max);
    free(c->own_now);
    free(c->scans);
    free(c->watched);
    free(c);
    *p = NULL;
}

static bool is_settled(const struct check *c, const struct sim_node *n)
{
    return world_is_running(n) && n->has_spoken && n->started_ns + CHECK_GRACE_NS <= c->w->now_ns;
}

static bool is_disturbed(const struct check *c, const struct sim_node *n)
{
    bool is_recent = n->disturbed_ns != 0 && n->disturbed_ns + CHECK_GRACE_NS > c->w->now_ns;
    return n->is_stalled || n->no_udp || n->cuts > 0 || n->bad_paths > 0 || n->radio_ppm > 0 ||
           n->ear_ppm > 0 || is_recent || world_is_cloned(c->w, n);
}

bool check_is_healthy(const struct check *c, const struct sim_node *n)
{
    return is_settled(c, n) && !is_disturbed(c, n);
}

static bool is_anybody_slow(const struct check *c)
{
    const struct world *w = c->w;
    if (w->stalled_ns != 0 && w->stalled_ns + CHECK_GRACE_NS > w->now_ns) {
        return true;
    }
    for (unsigned i = 0; w->stalled_ns != 0 && i < w->count; i++) {
        if (w->nodes[i].is_stalled) {
            return true;
        }
    }
    return false;
}

/* ---- false failures ---- */

static bool is_held_down(uint8_t status)
{
    return status == STATUS_FAILED || status == STATUS_LEFT;
}

static bool is_failed_at_others(const struct check *c, const struct sim_node *o,
                                const struct sim_node *s)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (i != o->idx && c->status[(size_t) i * c->n + s->idx] == STATUS_FAILED) {
            return true;
        }
    }
    return false;
}

/* The observer holds a running node failed. */
static void judge_failure(struct check *c, const struct sim_node *o, const struct sim_node *s,
                          enum reason reason)
{
    if (!world_is_running(s) || s->is_removed) {
        return; /* who knows that it was removed says nothing any more */
    }
    bool is_strictly_wrong =
        is_settled(c, s) && is_settled(c, o) && !s->is_stalled && !world_is_cloned(c->w, s);
    if (is_strictly_wrong) {
        expect_failure(c->w, o, s);
    }
    bool is_healthy = check_is_healthy(c, s) && check_is_healthy(c, o);
    c->false_failures += check_is_healthy(c, s);
    c->false_failures_first += check_is_healthy(c, s) && !is_failed_at_others(c, o, s);
    c->false_failures_healthy += is_healthy;
    if (c->is_lenient) {
        return;
    }
    bool is_wrong = c->is_strict ? is_strictly_wrong : is_healthy && !is_anybody_slow(c);
    if (is_wrong) {
        world_violation(c->w, "%s holds %s failed (%s), which is up and reachable", o->name,
                        s->name, reason_name(reason));
    } else if (s->is_quick_restart && s->has_spoken && !is_disturbed(c, s) &&
               check_is_healthy(c, o) && c->w->now_ns < s->started_ns + CHECK_GRACE_NS) {
        world_violation(c->w, "%s holds %s failed (%s), which only restarted within 200 ms",
                        o->name, s->name, reason_name(reason));
    }
}

/* ---- the dead stay dead ---- */

static void judge_revival(struct check *c, const struct sim_node *o, const struct sim_node *s,
                          uint64_t was, uint64_t now, uint64_t since_ns)
{
    if (s->core != NULL || world_is_anywhere(c->w, s)) {
        return;
    }
    bool was_dead_then = s->ended_ns <= since_ns;
    if (was_dead_then && now <= was) {
        world_violation(c->w,
                        "%s holds %s alive again at incarnation %" PRIu64
                        ", which it held failed at %" PRIu64 " and which is dead",
                        o->name, s->name, now, was);
    } else if (s->ended_ns + LONG_DEAD_NS < c->w->now_ns) {
        world_violation(c->w, "%s holds %s alive again, which has been dead for %" PRIu64 " s",
                        o->name, s->name, (c->w->now_ns - s->ended_ns) / SECOND_NS);
    }
}

/* ---- detection times ---- */

static bool is_down_everywhere(const struct check *c, unsigned node)
{
    for (unsigned o = 0; o < c->n; o++) {
        const struct sim_node *n = &c->w->nodes[o];
        if (o != node && world_is_running(n) && !n->is_removed && !is_disturbed(c, n) &&
            !c->removed[(size_t) o * c->n + node] &&
            !is_held_down(c->status[(size_t) o * c->n + node])) {
            return false;
        }
    }
    return true;
}

static void note_detection(struct check *c, unsigned node)
{
    if (c->watched[node] == 0) {
        return;
    }
    struct detection *d = &c->detections[c->watched[node] - 1];
    if (d->first_ns == 0) {
        d->first_ns = c->w->now_ns;
    }
    if (d->all_ns == 0 && is_down_everywhere(c, node)) {
        d->all_ns = c->w->now_ns;
        d->is_open = false;
        c->watched[node] = 0;
    }
}

/* ---- observing ---- */

/* What observer o holds of s now; from an event or from its list. */
static void observe(struct check *c, const struct sim_node *o, const struct sim_node *s,
                    uint8_t status, uint64_t incarnation, enum reason reason)
{
    size_t at = (size_t) o->idx * c->n + s->idx;
    uint8_t was = c->status[at];
    if (status > STATUS_LEFT) {
        world_violation(c->w, "%s gives %s the status %u", o->name, s->name, status);
        return;
    }
    if (c->removed[at]) {
        world_violation(c->w, "%s has %s on its list again, which was removed for good", o->name,
                        s->name);
        return;
    }
    if (was != CHECK_UNKNOWN && incarnation < c->incarnation[at]) {
        world_violation(c->w, "%s takes %s back from incarnation %" PRIu64 " to %" PRIu64, o->name,
                        s->name, c->incarnation[at], incarnation);
        return;
    }
    if (incarnation > c->own_max[s->idx]) {
        world_violation(c->w,
                        "%s holds %s at incarnation %" PRIu64 ", which never was above %" PRIu64,
                        o->name, s->name, incarnation, c->own_max[s->idx]);
        return;
    }
    if (is_held_down(was) && !is_held_down(status)) {
        judge_revival(c, o, s, c->incarnation[at], incarnation, c->since_ns[at]);
    }
    if (was != status) {
        c->since_ns[at] = c->w->now_ns;
    }
    if (was == CHECK_UNKNOWN) {
        c->known_ns[at] = c->w->now_ns;
    }
    if (was != status && c->w->timeline != NULL) {
        timeline_belief(c->w->timeline, c->w->now_ns, o->idx, s->idx, status);
    }
    c->status[at] = status;
    c->incarnation[at] = incarnation;
    expect_incarnation(c->w, s, incarnation);
    if (status == STATUS_FAILED && was != STATUS_FAILED && reason != REASON_REMEMBERED) {
        judge_failure(c, o, s, reason);
    }
    if (status == STATUS_SUSPECT && was == STATUS_ALIVE) {
        c->false_suspicions += check_is_healthy(c, s);
    }
    if (is_held_down(status) && !is_held_down(was)) {
        note_detection(c, s->idx);
    }
}

static bool had_address(const struct world *w, const struct sim_node *s, const struct addr *addr)
{
    for (unsigned i = 0; w->clones > 0 && i < w->count; i++) {
        if (i != s->idx && w->nodes[i].original == s->idx && had_address(w, &w->nodes[i], addr)) {
            return true; /* of a clone */
        }
    }
    for (unsigned i = 0; i <= s->addr_changes; i++) {
        struct addr a = world_addr_of(s, i);
        if (addr_eq(&a, addr)) {
            return true;
        }
    }
    return false;
}

static void judge_member(struct check *c, const struct sim_node *o, const struct member_view *v)
{
    const struct sim_node *s = world_node_by_id(c->w, &v->id);
    if (s == NULL || s->generation == 0) {
        world_violation(c->w, "%s has a member that does not exist (%s)", o->name, v->name);
    } else if (strcmp(v->name, s->host_name) != 0) {
        world_violation(c->w, "%s calls %s by the name \"%s\"", o->name, s->name, v->name);
    } else if (!addr_is_none(&v->addr) && !had_address(c->w, s, &v->addr)) {
        world_violation(c->w, "%s has an address for %s that it never had", o->name, s->name);
    } else if (v->is_self != (s->idx == o->original)) {
        world_violation(c->w, "%s takes %s for itself", o->name, s->name);
    } else if (v->is_self && v->status != STATUS_ALIVE && !o->is_leaving) {
        world_violation(c->w, "%s does not hold itself alive", o->name);
    } else if (!v->is_self) {
        observe(c, o, s, (uint8_t) v->status, v->incarnation, v->reason);
    }
}

static void scan(struct check *c, const struct sim_node *o)
{
    size_t count = core_member_count(o->core);
    if (count > c->n) {
        world_violation(c->w, "%s has %zu members in a world of %u", o->name, count, c->n);
    }
    for (size_t i = 0; i < count && !c->w->failed; i++) {
        struct member_view v;
        core_member_at(o->core, i, &v);
        judge_member(c, o, &v);
    }
}

/* It is on no list from now on. */
static void observe_removal(struct check *c, const struct sim_node *o, struct sim_node *s)
{
    size_t at = (size_t) o->idx * c->n + s->idx;
    c->removed[at] = s->idx != o->original;
    c->status[at] = CHECK_UNKNOWN;
    if (!s->is_removed) {
        s->is_removed = true;
        ledger_removed(c->w->ledger, s);
    }
    note_detection(c, s->idx);
}

static uint8_t status_of_event(enum member_event_type type, uint8_t otherwise)
{
    switch (type) {
    case EVENT_ALIVE:
        return STATUS_ALIVE;
    case EVENT_SUSPECT:
        return STATUS_SUSPECT;
    case EVENT_FAILED:
        return STATUS_FAILED;
    case EVENT_LEFT:
        return STATUS_LEFT;
    case EVENT_UPDATED:
    case EVENT_REMOVED:
    case EVENT_NOTICE:
        return otherwise;
    }
    return otherwise;
}

static void read_events(struct check *c, const struct sim_node *o)
{
    uint64_t newest = core_event_last_seq(o->core);
    while (c->event_seq[o->idx] < newest && !c->w->failed) {
        const struct member_event *e = core_event_after(o->core, c->event_seq[o->idx]);
        if (e == NULL) {
            return;
        }
        if (e->seq <= c->event_told[o->idx]) {
            world_violation(c->w, "%s numbers an event %" PRIu64 " after %" PRIu64, o->name, e->seq,
                            c->event_told[o->idx]);
            return;
        }
        c->event_seq[o->idx] = e->seq;
        c->event_told[o->idx] = e->seq;
        struct sim_node *s = world_node_by_id(c->w, &e->node);
        if (s == NULL) {
            world_violation(c->w, "%s tells of a member that does not exist", o->name);
            return;
        }
        if (e->type == EVENT_REMOVED) {
            observe_removal(c, o, s);
            continue;
        }
        uint8_t was = c->status[(size_t) o->idx * c->n + s->idx];
        uint8_t status = status_of_event(e->type, was);
        if (s->idx != o->original && status != CHECK_UNKNOWN) {
            observe(c, o, s, status, e->incarnation, e->reason);
        }
    }
}

/* ---- lives ---- */

static void judge_own_incarnation(struct check *c, const struct sim_node *n)
{
    struct core_status status;
    core_status(n->core, &status);
    if (status.incarnation < c->own_now[n->idx]) {
        world_violation(c->w, "%s goes back to its incarnation %" PRIu64 " from %" PRIu64, n->name,
                        status.incarnation, c->own_now[n->idx]);
    }
    c->own_now[n->idx] = status.incarnation;
    uint64_t *own_max = &c->own_max[n->original];
    if (status.incarnation > *own_max + INCARNATION_JUMP_MAX) {
        world_violation(c->w, "%s jumps to its incarnation %" PRIu64 " from %" PRIu64, n->name,
                        status.incarnation, *own_max);
    }
    if (status.incarnation > *own_max) {
        *own_max = status.incarnation;
    }
}

void check_step(struct check *c, struct sim_node *n, const struct event *ev,
                const struct effects *fx)
{
    if (fx->count > EFFECTS_BASE_MAX + (size_t) EFFECTS_PER_NODE_MAX * c->n) {
        world_violation(c->w, "%s gives %zu effects for one event", n->name, fx->count);
    }
    judge_own_incarnation(c, n);
    if (ev->type == EV_LOADED) {
        struct core_status status;
        core_status(n->core, &status);
        if (n->incarnation_durable > 0 && status.incarnation <= n->incarnation_durable) {
            world_violation(c->w,
                            "%s starts at incarnation %" PRIu64 ", but %" PRIu64 " was durable",
                            n->name, status.incarnation, n->incarnation_durable);
        }
    }
    read_events(c, n);
    if (++c->scans[n->idx] >= c->n / SCAN_EACH_STEP_UP_TO) {
        c->scans[n->idx] = 0;
        scan(c, n);
    }
}

void check_started(struct check *c, struct sim_node *n)
{
    if (c->w->timeline != NULL) {
        timeline_truth(c->w->timeline, c->w->now_ns, n->idx, TRUTH_RUNNING);
    }
    size_t row = (size_t) n->idx * c->n;
    memset(c->status + row, CHECK_UNKNOWN, c->n);
    memset(c->removed + row, 0, c->n);
    memset(c->incarnation + row, 0, c->n * sizeof *c->incarnation);
    memset(c->since_ns + row, 0, c->n * sizeof *c->since_ns);
    c->event_seq[n->idx] = 0;
    c->own_now[n->idx] = 0;
    c->scans[n->idx] = 0;
    if (c->watched[n->idx] != 0) {
        c->detections[c->watched[n->idx] - 1].is_open = false;
        c->watched[n->idx] = 0;
    }
    for (unsigned o = 0; n->is_quick_restart && !c->is_lenient && o < c->n; o++) {
        size_t at = (size_t) o * c->n + n->idx;
        if (o != n->idx && check_is_healthy(c, &c->w->nodes[o]) && c->status[at] == STATUS_FAILED &&
            c->since_ns[at] >= n->ended_ns) {
            world_violation(c->w, "%s judged %s within 200 ms of its end", c->w->nodes[o].name,
                            n->name);
        }
    }
}

static bool is_anybody_left(const struct check *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (world_is_running(&c->w->nodes[i])) {
            return true;
        }
    }
    return false;
}

void check_ended(struct check *c, struct sim_node *n)
{
    if (c->w->timeline != NULL) {
        timeline_truth(c->w->timeline, c->w->now_ns, n->idx, timeline_truth_of_end(n->ending));
    }
    if (c->detection_count < CHECK_SAMPLES_MAX && is_anybody_left(c) &&
        !world_is_anywhere(c->w, n)) {
        struct detection *d = &c->detections[c->detection_count++];
        *d = (struct detection){
            .node = n->idx, .ending = n->ending, .at_ns = n->ended_ns, .is_open = true};
        c->watched[n->idx] = c->detection_count;
        for (unsigned o = 0; o < c->n; o++) {
            if (o != n->idx && world_is_running(&c->w->nodes[o]) &&
                is_held_down(c->status[(size_t) o * c->n + n->idx])) {
                note_detection(c, n->idx); /* those to whom it said that it leaves */
            }
        }
    }
}

/* ---- liveness ---- */

static bool agrees(const struct sim_node *o, const struct check *c, char *ret_why, size_t max)
{
    for (unsigned i = 0; i < c->n; i++) {
        const struct sim_node *s = &c->w->nodes[i];
        uint8_t status = c->status[(size_t) o->idx * c->n + i];
        bool is_right = s->is_removed ? status == CHECK_UNKNOWN
                        : world_is_anywhere(c->w, s)
                            ? status == STATUS_ALIVE
                            : status == CHECK_UNKNOWN || is_held_down(status);
        if (o->original != i && s->original == i && s->generation > 0 && !is_right &&
            !world_is_cloned(c->w, s)) {
            snprintf(ret_why, max, "%s holds %s to be %s, but it is %s", o->name, s->name,
                     status == CHECK_UNKNOWN ? "unknown"
                                             : member_status_name((enum member_status) status),
                     s->is_removed                  ? "removed"
                     : world_is_anywhere(c->w, s) ? "running"
                                                    : "not");
            return false;
        }
    }
    return true;
}

/* Two machines of one identity cannot both be right about it; the others must be about the rest. */
static bool is_judged(const struct check *c, const struct sim_node *n)
{
    return world_is_running(n) && !n->is_removed && !world_is_cloned(c->w, n);
}

/* Where two views with unequal hashes differ. A wrong status says more than another incarnation. */
static void explain(struct check *c, const struct sim_node *a, const struct sim_node *b,
                    char *ret_why, size_t max)
{
    snprintf(ret_why, max, "the views of %s and %s differ", a->name, b->name);
    scan(c, a);
    scan(c, b);
    for (unsigned i = 0; i < c->n; i++) {
        if (is_judged(c, &c->w->nodes[i]) && !agrees(&c->w->nodes[i], c, ret_why, max)) {
            return;
        }
    }
    for (unsigned i = 0; i < c->n; i++) {
        size_t at_a = (size_t) a->idx * c->n + i;
        size_t at_b = (size_t) b->idx * c->n + i;
        if (i != a->idx && i != b->idx &&
            (c->status[at_a] != c->status[at_b] || c->incarnation[at_a] != c->incarnation[at_b])) {
            snprintf(ret_why, max,
                     "%s holds %s at incarnation %" PRIu64 " (status %u), %s at %" PRIu64
                     " (status %u)",
                     a->name, c->w->nodes[i].name, c->incarnation[at_a], c->status[at_a], b->name,
                     c->incarnation[at_b], c->status[at_b]);
        }
    }
}

bool check_converged(struct check *c, char *ret_why, size_t max)
{
    const struct sim_node *first = NULL;
    uint64_t first_hash = 0;
    bool is_any_cloned = false;
    snprintf(ret_why, max, "it converged");
    for (unsigned i = 0; i < c->n; i++) {
        is_any_cloned = is_any_cloned || world_is_cloned(c->w, &c->w->nodes[i]);
    }
    for (unsigned i = 0; i < c->n; i++) {
        const struct sim_node *n = &c->w->nodes[i];
        struct core_status status;
        if (!is_judged(c, n)) {
            continue;
        }
        core_status(n->core, &status);
        if (first != NULL && status.view_hash != first_hash && !is_any_cloned) {
            explain(c, first, n, ret_why, max);
            return false;
        }
        first = n;
        first_hash = status.view_hash;
    }
    for (unsigned i = 0; i < c->n; i++) {
        if (is_judged(c, &c->w->nodes[i])) {
            scan(c, &c->w->nodes[i]);
            if (c->w->failed || !agrees(&c->w->nodes[i], c, ret_why, max)) {
                return false;
            }
        }
    }
    return true;
}
