/* SPDX-License-Identifier: MPL-2.0 */
/* One run of a scenario, judged; and the sweep that measures detection against loss and size. */
#ifndef HM_SIM_RUN_H
#define HM_SIM_RUN_H

#include "sim/check.h"
#include "sim/ledger.h"
#include "sim/plan.h"
#include "sim/scenarios.h"
#include "sim/script.h"
#include "sim/timeline.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define RUN_NOT_SET UINT64_MAX
#define RUN_DETECTIONS_MAX 256

struct run_conf {
    const struct scenario *scenario; /* one of these three */
    const struct script *script;
    const struct plan *plan;
    uint64_t seed;
    unsigned nodes;  /* 0: drawn from the seed */
    uint64_t for_ns; /* RUN_NOT_SET, as below: the scenario's */
    uint64_t loss_ppm, latency_ns, jitter_ns;
    bool no_lifeguard;
    bool is_lenient; /* false failures are counted, not judged */
    unsigned broken; /* enum core_break bits */
    unsigned broken_registry; /* enum registry_break bits */
    note_sink_fn *note_sink;
    void *note_ctx;
    struct timeline *timeline; /* NULL: no picture is wanted */
    struct plan *ret_plan;     /* gets the plan that was carried out; the caller's to plan_fini() */
};

void run_conf_default(struct run_conf *ret_conf);

struct run_result {
    bool failed;
    char violation[SIM_VIOLATION_BYTES];
    uint64_t violation_kind; /* equal for violations of one rule */
    unsigned nodes;
    unsigned flags; /* enum plan_flag */
    uint64_t hash, effects, steps;
    uint64_t for_ns, end_ns;
    uint64_t datagrams, datagram_bytes; /* sent, by all */
    /* Of a node, a second, from 80 s after all agreed to the end; is_quiet: the run was so long. */
    bool is_quiet;
    double quiet_datagrams, quiet_bytes;
    uint64_t converged_ns; /* after the last fault */
    uint64_t equal_ns;     /* the same of the registries */
    struct ledger_sums sums; /* of clients' writes */
    uint64_t rare[RARE_COUNT];
    uint64_t false_suspicions;
    uint64_t false_failures, false_failures_first, false_failures_healthy;
    uint64_t plain_false_failures, plain_false_failures_healthy; /* the same run in plain SWIM */
    uint64_t plain_median_ns;
    bool has_plain;                                  /* these were measured */
    uint64_t deaths, noticed;                        /* by all running nodes */
    uint64_t median_ns, slowest_ns;                  /* until all had noticed */
    struct detection detections[RUN_DETECTIONS_MAX]; /* the first ones */
    unsigned detection_count;
};

/* The plan that run() would carry out; the caller's to plan_fini(). */
void run_draw(const struct run_conf *conf, struct plan *ret_plan);
void run(const struct run_conf *conf, struct run_result *ret_result);

/* Prints a Markdown table of detection times and false failures against loss and size, up to
 * nodes_max. Returns false if a run was violated, which it names. */
bool sweep(FILE *out, uint64_t seed, unsigned nodes_max);

#endif
