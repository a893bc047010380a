/* SPDX-License-Identifier: MPL-2.0 */
/* Vivaldi network coordinates with height (Dabek, Cox, Kaashoek, Morris, SIGCOMM 2004): each node
 * moves a point so that distances between points are round trips. Floating point with + - * / and
 * sqrt only, so that every machine computes the same. */
#ifndef HM_CORE_COORD_H
#define HM_CORE_COORD_H

#include "base/prng.h"
#include "wire/swim_msg.h"

#include <stdint.h>

/* Seconds; error is relative, 1.0 at first. */
struct coord {
    double at[COORD_DIMENSIONS];
    double height;
    double error;
};

void coord_init(struct coord *c);
/* Moves c by one measured round trip to a node at `other`. The prng is used only when both stand on
 * the same spot and any direction is as good. Samples outside 1 us .. 10 s are ignored. */
void coord_update(struct coord *c, const struct coord *other, uint64_t rtt_ns, struct prng *prng);
/* Expected round trip between two nodes, in ns, at least 1. */
uint64_t coord_distance_ns(const struct coord *a, const struct coord *b);

void coord_to_wire(const struct coord *c, struct coord_wire *ret_wire);
/* Any bytes give a coordinate within bounds. */
void coord_from_wire(const struct coord_wire *wire, struct coord *ret_coord);

#endif
