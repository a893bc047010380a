/* SPDX-License-Identifier: MPL-2.0 */
/* Clients that write to the registry: each asks its node as meshctl would, by an operation, and is
 * answered when the write is durable. What they write is drawn from the seed alone, whoever runs. */
#ifndef HM_SIM_WORKLOAD_H
#define HM_SIM_WORKLOAD_H

#include "sim/world.h"

/* A client of this node asks for one write of the plan's load, within the next `within_ns`. */
void workload_write(struct world *w, unsigned node, uint64_t within_ns, uint64_t load);
/* What the cores' operations are; NULL if nobody writes. */
const struct call_handler *workload_handler(struct world *w);

#endif
