/* SPDX-License-Identifier: MPL-2.0 */
/* The built-in scenarios: each draws a plan (who, when, how long) from the seed with the words of
 * draw.h; "swarm" is in swarm.h. After the plan's calm_ns nothing new goes wrong and all is mended:
 * from there the time to converge counts. */
#ifndef HM_SIM_SCENARIOS_H
#define HM_SIM_SCENARIOS_H

#include "sim/plan.h"

struct scenario {
    const char *name;
    const char *summary;
    unsigned nodes_min, nodes_max; /* drawn from the seed between these */
    uint64_t for_ms;
    uint64_t converge_ms; /* after the plan's calm_ns */
    unsigned seeds;       /* 1..seeds are its default seeds */
    unsigned flags;       /* enum plan_flag */
    void (*net)(struct net_conf *net, struct prng *p, unsigned nodes); /* NULL: the default */
    void (*plan)(struct plan *p);
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;
const struct scenario *scenario_find(const char *name);

#endif
