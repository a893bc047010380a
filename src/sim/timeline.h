/* SPDX-License-Identifier: MPL-2.0 */
/* Who believed what when: records a run's truth and beliefs, and draws them as an SVG picture.
 *
 * One panel for each node. On top a band of what the node really did: ran, was held up, was off. In
 * small worlds below it one thin row for each other node with what that one believed; in larger
 * ones the share of the running nodes that believed each. Marks above the panels say what went wrong
 * when. */
#ifndef HM_SIM_TIMELINE_H
#define HM_SIM_TIMELINE_H

#include "sim/plan.h"
#include "sim/world.h"

#include <stdint.h>
#include <stdio.h>

enum timeline_truth { TRUTH_OFF, TRUTH_CRASHED, TRUTH_LEFT, TRUTH_RUNNING, TRUTH_HELD_UP };

struct timeline;

struct timeline *timeline_new(void);
void timeline_destroy(struct timeline **p);

void timeline_truth(struct timeline *t, uint64_t at_ns, unsigned node, enum timeline_truth truth);
enum timeline_truth timeline_truth_of_end(enum ending ending);
/* status: enum member_status. */
void timeline_belief(struct timeline *t, uint64_t at_ns, unsigned observer, unsigned subject,
                     uint8_t status);

/* Draws all until end_ns. The title is the run's, in a few words; violation may be NULL. */
void timeline_draw(const struct timeline *t, FILE *out, const struct plan *plan, uint64_t end_ns,
                   const char *title, const char *violation);

#endif
