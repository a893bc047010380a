/* SPDX-License-Identifier: MPL-2.0 */
/* The words in which scenarios draw their plans: who, when, how long, and what goes wrong then.
 *
 * Times are milliseconds of virtual time. Everything drawn comes from the plan's prng, in the order
 * of the calls: the same calls give the same plan. So callers make one draw a statement, as
 * compilers order arguments as they like. A world of one node is a world too: what needs a second
 * one is left out there. */
#ifndef HM_SIM_DRAW_H
#define HM_SIM_DRAW_H

#include "sim/plan.h"

#include <stdbool.h>
#include <stdint.h>

/* From low to high, both included. */
uint64_t draw_between(struct plan *p, uint64_t low, uint64_t high);
bool draw_one_in(struct plan *p, unsigned of);
unsigned draw_node(struct plan *p);
/* Somebody else; in a world of one, the same. */
unsigned draw_another(struct plan *p, unsigned than);

/* plan_at and plan_repeat; nothing where a is to be cut off from itself or told of itself. */
void draw_at(struct plan *p, uint64_t ms, enum fault_kind kind, unsigned a, unsigned b,
             uint64_t arg);
void draw_repeat(struct plan *p, uint64_t from_ms, uint64_t until_ms, uint64_t every_us,
                 enum fault_kind kind, unsigned a, unsigned b);

/* Every node starts, each at its own moment. */
void draw_starts(struct plan *p, uint64_t within_ms);
/* For broadcast domains: somebody of each is told of one in the one before until all have met. */
void draw_joins(struct plan *p, uint64_t until_ms);

/* So many neighbours in number are cut off from the others; the seed alone says which. */
void draw_part(struct plan *p, uint64_t ms, unsigned small, uint64_t seed);
/* The same, with size and place drawn. Nothing in a world of one. */
void draw_partition(struct plan *p, uint64_t ms);
/* One direction from a loses packets or is slow, for so long. */
void draw_bad_path(struct plan *p, uint64_t ms, uint64_t length_ms, unsigned a);
/* a's wall clock jumps, or all its clocks drift from now on. */
void draw_bad_clock(struct plan *p, bool jumps, uint64_t ms, unsigned a);

#endif
