/* SPDX-License-Identifier: MPL-2.0 */
/* Makes a violated run smaller: takes away faults, machines and troubles of the network, one by one
 * and in groups (Zeller's delta debugging), as long as the same rule is still violated.
 *
 * What ends a trouble stays as long as its beginning does, and so does who introduces nodes to each
 * other: without them a run would be violated for a reason of its own. */
#ifndef HM_SIM_SHRINK_H
#define HM_SIM_SHRINK_H

#include "sim/run.h"

#include <stdbool.h>

#define SHRINK_RUNS_DEFAULT 1000U

struct shrunk {
    struct plan plan;         /* the caller's to plan_fini() */
    struct run_result result; /* of that plan */
    size_t faults_before;
    unsigned nodes_before, runs;
};

/* Runs what conf says and, if it is violated, makes it smaller with at most so many more runs.
 * Returns false, and nothing to free, if it is not violated. */
bool shrink(const struct run_conf *conf, unsigned runs_max, struct shrunk *ret);

#endif
