/* SPDX-License-Identifier: MPL-2.0 */
/* One run of a scenario: see run.h. */
#include "sim/run.h"

#include "base/err.h"
#include "sim/expect.h"
#include "sim/faults.h"
#include "sim/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL_NS (100ULL * MS_NS)
#define IDLE_AFTER_NS (80ULL * SECOND_NS) /* beacons are rare a minute after the last change */
#define FAIL_TEXT_BYTES 256

/* Lifeguard's experiment, against plain SWIM: false failures of healthy nodes at healthy observers
 * at most a fiftieth, at anybody (the slow ones, too) at most a fifth when there are more than a
 * few; deaths noticed about as fast (a dozen deaths in a run: medians scatter). */
#define FEWER_AT_HEALTHY 50
#define FEWER 5
#define FEW 20
#define SLOWER_TENTHS 14

/* The idle budget (protocols.md "Membership"), per node and second, with a tenth of room. */
#define IDLE_DATAGRAMS_MAX 2.2
#define IDLE_BYTES_MAX (2.2 * 138)
#define IDLE_WAKEUPS_MAX 12.0
#define IDLE_BEACONS_MAX 0.11

void run_conf_default(struct run_conf *ret_conf)
{
    memset(ret_conf, 0, sizeof *ret_conf);
    ret_conf->seed = 1;
    ret_conf->for_ns = RUN_NOT_SET;
    ret_conf->loss_ppm = RUN_NOT_SET;
    ret_conf->latency_ns = RUN_NOT_SET;
    ret_conf->jitter_ns = RUN_NOT_SET;
}

/* Sizes are drawn small more often: most meshes are, and most of the odd cases too. */
static unsigned draw_nodes(const struct scenario *s, uint64_t seed)
{
    uint64_t x = prng_mix(seed ^ 0x73697a65U);
    unsigned range = s->nodes_max - s->nodes_min + 1;
    unsigned a = (unsigned) (x % range);
    unsigned b = (unsigned) ((x >> 32) % range);
    return s->nodes_min + (a < b ? a : b);
}

static void scenario_plan(const struct run_conf *conf, struct plan *p)
{
    const struct scenario *s = conf->scenario;
    unsigned nodes = conf->nodes != 0 ? conf->nodes : draw_nodes(s, conf->seed);
    struct prng net_prng;
    plan_init(p, conf->seed, nodes);
    snprintf(p->name, sizeof p->name, "%s", s->name);
    prng_init(&net_prng, prng_mix(conf->seed ^ 0x6e6574U));
    faults_net_default(&p->net);
    if (s->net != NULL) {
        s->net(&p->net, &net_prng, nodes);
    }
    p->for_ns = conf->for_ns != RUN_NOT_SET ? conf->for_ns : s->for_ms * MS_NS;
    p->converge_ns = s->converge_ms * MS_NS;
    p->flags = s->flags;
    if (nodes < s->nodes_min) { /* there may be no way around its faults */
        p->flags &= ~(unsigned) PLAN_STRICT;
    }
    s->plan(p);
}

/* The plan of a run: drawn by the scenario or the file, and then as the command line wants it. */
void run_draw(const struct run_conf *conf, struct plan *p)
{
    if (conf->plan != NULL) {
        plan_copy(p, conf->plan);
    } else if (conf->script != NULL) {
        script_plan(conf->script, conf->seed, p);
    } else {
        scenario_plan(conf, p);
    }
    if (conf->loss_ppm != RUN_NOT_SET) {
        p->net.loss_ppm = (uint32_t) conf->loss_ppm;
    }
    if (conf->latency_ns != RUN_NOT_SET) {
        p->net.latency_ns = conf->latency_ns;
    }
    if (conf->jitter_ns != RUN_NOT_SET) {
        p->net.jitter_ns = conf->jitter_ns;
    }
}

static struct world *make_world(const struct run_conf *conf, const struct plan *p)
{
    struct world_conf wc = {.seed = p->seed, .nodes = p->nodes, .net = p->net};
    core_params_default(&wc.params);
    wc.params.lifeguard = !conf->no_lifeguard;
    wc.params.broken = conf->broken;
    wc.params.broken_registry = conf->broken_registry;
    wc.keep_disks = (p->flags & PLAN_NO_DISKS) == 0;
    wc.note_sink = conf->note_sink;
    wc.note_ctx = conf->note_ctx;
    struct world *w = world_new(&wc);
    w->timeline = conf->timeline;
    w->check = check_new(w);
    w->ledger = p->load_count > 0 ? ledger_new(w) : NULL;
    w->check->is_strict = (p->flags & PLAN_STRICT) != 0;
    w->check->is_lenient = conf->is_lenient || (p->flags & PLAN_LENIENT) != 0;
    return w;
}

static bool is_agreed_now(struct world *w, uint64_t t, uint64_t limit_ns, struct run_result *r,
                          char why[FAIL_TEXT_BYTES])
{
    if (!w->failed && check_converged(w->check, why, FAIL_TEXT_BYTES)) {
        r->converged_ns = t;
        return true;
    }
    if (t >= limit_ns) {
        world_violation(w, "not agreed %" PRIu64 " s after the last fault: %s",
                        limit_ns / SECOND_NS, why);
    }
    return false;
}

static bool is_equal_now(struct world *w, uint64_t t, uint64_t limit_ns,
                         char why[FAIL_TEXT_BYTES])
{
    if (!w->failed && ledger_is_equal(w->ledger, why, FAIL_TEXT_BYTES)) {
        return true;
    }
    if (t >= limit_ns) {
        world_violation(w, "not equal %" PRIu64 " s after the last fault: %s",
                        limit_ns / SECOND_NS, why);
    }
    return false;
}

/* Runs to the end of the calm, then until all agree. */
static void run_to_agreement(struct world *w, const struct plan *plan, struct run_result *r)
{
    uint64_t equal_limit_ns = plan->equal_ns != 0 ? plan->equal_ns : plan->converge_ns;
    char why[FAIL_TEXT_BYTES];
    bool is_agreed = false;
    bool is_equal = false;
    world_run(w, plan->calm_ns);
    for (uint64_t t = 0; !w->failed; t += POLL_NS) {
        world_run(w, plan->calm_ns + t);
        is_agreed = is_agreed || is_agreed_now(w, t, plan->converge_ns, r, why);
        bool was_equal = is_equal;
        is_equal = is_equal_now(w, t, equal_limit_ns, why);
        r->equal_ns = is_equal && !was_equal ? t : r->equal_ns;
        if (is_agreed && is_equal) {
            break;
        }
    }
    if (!w->failed) {
        ledger_judge(w->ledger);
    }
}

/* ---- the idle budget ---- */

struct tally {
    uint64_t datagrams, bytes, wakeups, frames, batches, beacons;
};

static struct tally tally_of(const struct sim_node *n)
{
    return (struct tally){n->datagrams_sent, n->datagram_bytes_sent, n->wakeups, n->frames_sent,
                          n->batches,        n->beacons_sent};
}

static void measure_idle(struct world *w, uint64_t end_ns)
{
    struct tally *before = calloc(w->count, sizeof *before);
    HM_ASSERT(before != NULL);
    world_run(w, w->now_ns + IDLE_AFTER_NS);
    for (unsigned i = 0; i < w->count; i++) {
        before[i] = tally_of(&w->nodes[i]);
    }
    double seconds = (double) (end_ns - w->now_ns) / SECOND_NS;
    world_run(w, end_ns);
    for (unsigned i = 0; i < w->count && !w->failed; i++) {
        struct tally now = tally_of(&w->nodes[i]);
        double datagrams = (double) (now.datagrams - before[i].datagrams) / seconds;
        double bytes = (double) (now.bytes - before[i].bytes) / seconds;
        double wakeups = (double) (now.wakeups - before[i].wakeups) / seconds;
        double beacons = (double) (now.beacons - before[i].beacons) / seconds;
        uint64_t rest = now.frames - before[i].frames + now.batches - before[i].batches;
        if (datagrams > IDLE_DATAGRAMS_MAX || bytes > IDLE_BYTES_MAX ||
            wakeups > IDLE_WAKEUPS_MAX || beacons > IDLE_BEACONS_MAX || rest > 0) {
            world_violation(w,
                            "%s is not idle: a second %.2f datagrams, %.0f bytes, %.2f wake-ups, "
                            "%.2f beacons, and in all %" PRIu64 " frames and batches",
                            w->nodes[i].name, datagrams, bytes, wakeups, beacons, rest);
        }
    }
    free(before);
}

/* ---- what was noticed ---- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a;
    uint64_t y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

static void judge_detections(struct world *w, const struct plan *plan, struct run_result *r)
{
    struct check *c = w->check;
    uint64_t *took = calloc(c->detection_count + 1, sizeof *took);
    HM_ASSERT(took != NULL);
    size_t count = 0;
    for (unsigned i = 0; i < c->detection_count; i++) {
        const struct detection *d = &c->detections[i];
        if (d->all_ns != 0) {
            took[count++] = d->all_ns - d->at_ns;
        }
        uint64_t needed = d->all_ns != 0 ? d->all_ns : w->now_ns;
        if (plan->detect_ns != 0 && (d->all_ns != 0 || d->is_open) && w->count > 1 &&
            needed - d->at_ns > plan->detect_ns) {
            world_violation(w,
                            "the end of %s at %" PRIu64 " ms was not known to all after %" PRIu64
                            " ms (within %" PRIu64 " ms wanted)",
                            w->nodes[d->node].name, d->at_ns / MS_NS, (needed - d->at_ns) / MS_NS,
                            plan->detect_ns / MS_NS);
        }
    }
    qsort(took, count, sizeof *took, compare_u64);
    for (unsigned i = 0; i < c->detection_count && i < RUN_DETECTIONS_MAX; i++) {
        r->detections[r->detection_count++] = c->detections[i];
    }
    r->deaths = c->detection_count;
    r->noticed = count;
    r->median_ns = count == 0 ? 0 : took[count / 2];
    r->slowest_ns = count == 0 ? 0 : took[count - 1];
    free(took);
}

/* What all sent so far. */
static void sum_traffic(const struct world *w, uint64_t *ret_datagrams, uint64_t *ret_bytes)
{
    *ret_datagrams = 0;
    *ret_bytes = 0;
    for (unsigned i = 0; i < w->count; i++) {
        *ret_datagrams += w->nodes[i].datagrams_sent;
        *ret_bytes += w->nodes[i].datagram_bytes_sent;
    }
}

/* Runs to the end; what is sent when nothing has happened for a while is the price of a quiet mesh. */
static void run_to_end(struct world *w, const struct plan *plan, struct run_result *r)
{
    uint64_t datagrams, bytes;
    uint64_t quiet_ns = w->now_ns + IDLE_AFTER_NS;
    r->is_quiet = !w->failed && quiet_ns + SECOND_NS <= plan->for_ns;
    if (r->is_quiet) {
        world_run(w, quiet_ns);
    }
    sum_traffic(w, &datagrams, &bytes);
    world_run(w, plan->for_ns);
    sum_traffic(w, &r->datagrams, &r->datagram_bytes);
    unsigned running = 0;
    for (unsigned i = 0; i < w->count; i++) {
        running += world_is_running(&w->nodes[i]);
    }
    r->is_quiet = r->is_quiet && running > 0 && !w->failed;
    if (r->is_quiet) {
        double node_seconds = (double) (w->now_ns - quiet_ns) / SECOND_NS * running;
        r->quiet_datagrams = (double) (r->datagrams - datagrams) / node_seconds;
        r->quiet_bytes = (double) (r->datagram_bytes - bytes) / node_seconds;
    }
}

static void run_once(const struct run_conf *conf, struct run_result *r)
{
    struct plan plan;
    memset(r, 0, sizeof *r);
    run_draw(conf, &plan);
    r->nodes = plan.nodes;
    r->for_ns = plan.for_ns;
    r->flags = plan.flags;
    struct world *w = make_world(conf, &plan);
    struct check *c = w->check;
    struct ledger *l = w->ledger;
    faults_post(w, &plan);
    run_to_agreement(w, &plan, r);
    if (plan.flags & PLAN_IDLE) {
        measure_idle(w, plan.for_ns);
    }
    run_to_end(w, &plan, r);
    judge_detections(w, &plan, r);
    expect_end(w);
    w->rare[RARE_HEALED] += !w->failed && (plan.flags & PLAN_PARTITIONS);
    r->failed = w->failed;
    memcpy(r->violation, w->violation, sizeof r->violation);
    r->violation_kind = w->violation_kind;
    memcpy(r->rare, w->rare, sizeof r->rare);
    r->hash = w->trace.hash;
    r->effects = w->trace.effects;
    ledger_sums(l, &r->sums);
    r->steps = w->steps;
    r->end_ns = w->now_ns;
    r->false_suspicions = c->false_suspicions;
    r->false_failures = c->false_failures;
    r->false_failures_first = c->false_failures_first;
    r->false_failures_healthy = c->false_failures_healthy;
    if (conf->ret_plan != NULL) {
        *conf->ret_plan = plan;
    } else {
        plan_fini(&plan);
    }
    ledger_destroy(&l);
    world_destroy(&w);
    check_destroy(&c);
}

/* Plain SWIM: fixed timeouts, no local health, and none of our own rules about suspects and verdicts. */
static void compare_with_plain(const struct run_conf *conf, struct run_result *r)
{
    struct run_conf plain = *conf;
    struct run_result *other = malloc(sizeof *other);
    HM_ASSERT(other != NULL);
    plain.no_lifeguard = true;
    plain.is_lenient = true;
    plain.broken |=
        BREAK_SINGLE_OBSERVER | BREAK_NO_HELD_UP | BREAK_NO_ISOLATION | BREAK_PLAIN_SUSPICION;
    plain.note_sink = NULL;
    plain.timeline = NULL;
    plain.ret_plan = NULL;
    run_once(&plain, other);
    r->has_plain = true;
    r->plain_false_failures = other->false_failures;
    r->plain_false_failures_healthy = other->false_failures_healthy;
    r->plain_median_ns = other->median_ns;
    free(other);
    if (r->false_failures_healthy * FEWER_AT_HEALTHY > r->plain_false_failures_healthy ||
        (r->plain_false_failures > FEW && r->false_failures * FEWER > r->plain_false_failures)) {
        r->failed = true;
        snprintf(r->violation, sizeof r->violation,
                 "false failures: %" PRIu64 ", %" PRIu64
                 " of them at healthy observers, against %" PRIu64 " and %" PRIu64 " in plain SWIM",
                 r->false_failures, r->false_failures_healthy, r->plain_false_failures,
                 r->plain_false_failures_healthy);
    } else if (r->plain_median_ns > 0 && r->median_ns * 10 > r->plain_median_ns * SLOWER_TENTHS) {
        r->failed = true;
        snprintf(r->violation, sizeof r->violation,
                 "deaths are noticed after %" PRIu64 " ms, in plain SWIM after %" PRIu64 " ms",
                 r->median_ns / MS_NS, r->plain_median_ns / MS_NS);
    }
}

void run(const struct run_conf *conf, struct run_result *ret_result)
{
    run_once(conf, ret_result);
    if ((ret_result->flags & PLAN_LIFEGUARD) == 0 || conf->no_lifeguard || ret_result->failed) {
        return;
    }
    compare_with_plain(conf, ret_result);
}
