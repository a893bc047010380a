/* SPDX-License-Identifier: MPL-2.0 */
/* The scenario "swarm": draws first which kinds of faults there are at all, so that rare
 * combinations come up, then how often and when each happens. All have ended after 120 s. */
#ifndef HM_SIM_SWARM_H
#define HM_SIM_SWARM_H

#include "sim/plan.h"

/* As struct scenario wants them (scenarios.h). */
void swarm_net(struct net_conf *net, struct prng *p, unsigned nodes);
void swarm_plan(struct plan *p);

/* The same of clients that write to the registry, with what goes wrong there. */
void swarm_writes_net(struct net_conf *net, struct prng *p, unsigned nodes);
void swarm_writes_plan(struct plan *p);

#endif
