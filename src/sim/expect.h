/* SPDX-License-Identifier: MPL-2.0 */
/* What a plan expects of its run beyond what must hold in any (check.h). */
#ifndef HM_SIM_EXPECT_H
#define HM_SIM_EXPECT_H

#include "sim/plan.h"
#include "sim/world.h"

#include <stdint.h>

/* FAULT_EXPECT is due: the plan's expectation number idx is judged. */
void expect_now(struct world *w, uint64_t idx);
/* o begins to hold s failed; s runs. */
void expect_failure(struct world *w, const struct sim_node *o, const struct sim_node *s);
/* Somebody holds s at this incarnation. */
void expect_incarnation(struct world *w, const struct sim_node *s, uint64_t incarnation);
/* The run is over. */
void expect_end(struct world *w);

#endif
