/* SPDX-License-Identifier: MPL-2.0 */
/* One run of a scenario, judged; and the sweep that measures detection against loss and size. */
#ifndef HM_SIM_RUN_H
#define HM_SIM_RUN_H

#include "sim/check.h"
#include "sim/faults.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define RUN_NOT_SET UINT64_MAX
#define RUN_DETECTIONS_MAX 64

struct run_conf {
    const struct scenario *scenario;
    uint64_t seed;
    unsigned nodes;       /* 0: drawn from the seed */
    uint64_t for_ns;      /* RUN_NOT_SET, as below: the scenario's */
    uint64_t loss_ppm, latency_ns, jitter_ns;
    bool no_lifeguard;
    bool is_lenient;      /* false failures are counted, not judged */
    unsigned broken;      /* enum core_break bits */
    note_sink_fn *note_sink;
    void *note_ctx;
};

void run_conf_default(struct run_conf *ret_conf);

struct run_result {
    bool failed;
    char violation[SIM_VIOLATION_BYTES];
    unsigned nodes;
    uint64_t hash, effects, steps;
    uint64_t for_ns;
    uint64_t converged_ns; /* after the last fault */
    uint64_t rare[RARE_COUNT];
    uint64_t false_suspicions;
    uint64_t false_failures, false_failures_healthy;
    uint64_t plain_false_failures, plain_false_failures_healthy; /* the same run in plain SWIM */
    uint64_t plain_median_ns;
    uint64_t deaths, noticed;      /* by all running nodes */
    uint64_t median_ns, slowest_ns; /* until all had noticed */
    struct detection detections[RUN_DETECTIONS_MAX]; /* the first ones */
    unsigned detection_count;
};

void run(const struct run_conf *conf, struct run_result *ret_result);

/* Prints a Markdown table of detection times and false failures against loss and size, up to
 * nodes_max. Returns false if a run was violated, which it names. */
bool sweep(FILE *out, uint64_t seed, unsigned nodes_max);

#endif
