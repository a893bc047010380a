/* SPDX-License-Identifier: MPL-2.0 */
/* Faults and attackers as they happen: what the plan says is posted into the world's future when it
 * begins, and done when it is due. */
#ifndef HM_SIM_FAULTS_H
#define HM_SIM_FAULTS_H

#include "sim/plan.h"
#include "sim/world.h"

#include <stdint.h>

/* The default network: a home's switch. */
void faults_net_default(struct net_conf *net);

/* Puts all of the plan into the world's future; the plan must stay. */
void faults_post(struct world *w, const struct plan *plan);
/* MSG_FAULT is due. Takes the message. */
void faults_do(struct world *w, struct msg *m);
/* A member-level attacker may replace what it sends by a record that it forged. */
void faults_forge(struct world *w, struct msg *m, const struct addr *to);

#endif
