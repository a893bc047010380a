/* SPDX-License-Identifier: MPL-2.0 */
/* What was really written, and what must hold of it: the registry judged by the world's truth.
 *
 * The ledger sees each entry that any disk is given and each write that a client is told of:
 *  - no two values share a dot;
 *  - what a client was told to be written is on the disk of who told it; a node's own entry leaves it
 *    only when it is on its disk;
 *  - no disk claims a dot without holding its entry or what supersedes it (after commits, now and then,
 *    and at each start), nor one that nobody wrote;
 *  - what was superseded on a disk does not come back there, and a value whose deletion every disk has
 *    had comes back nowhere;
 *  - a deletion mark is let go only when everybody has, or had it;
 *  - when all have healed: equal states, equal disks, and everything that was acknowledged is there or
 *    superseded. A write that only a lost disk had may be gone.
 *
 * A backup that is put back brings back what it holds. There is a ledger only if the plan has clients
 * that write; all functions may be called without one. */
#ifndef HM_SIM_LEDGER_H
#define HM_SIM_LEDGER_H

#include "base/dot.h"
#include "sim/world.h"
#include "wire/entry_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger;

struct ledger *ledger_new(struct world *w);
void ledger_destroy(struct ledger **p);

/* ---- what happens to disks ---- */

/* The node hands over these to be stored. */
void ledger_persist(struct ledger *l, const struct sim_node *n, const struct store_entry *entries,
                    size_t count);
/* Before and after the first waiting batch of its disk is made durable. */
void ledger_commit(struct ledger *l, struct sim_node *n);
void ledger_committed(struct ledger *l, struct sim_node *n);
void ledger_wiped(struct ledger *l, const struct sim_node *n);
void ledger_backup(struct ledger *l, const struct sim_node *n);
void ledger_restored(struct ledger *l, const struct sim_node *n);
void ledger_copied(struct ledger *l, const struct sim_node *from, const struct sim_node *to);

/* ---- what happens to processes ---- */

void ledger_started(struct ledger *l, struct sim_node *n);
/* It was removed for good: what only it may write may be gone from now on. */
void ledger_removed(struct ledger *l, const struct sim_node *n);
void ledger_ended(struct ledger *l, const struct sim_node *n);
void ledger_event(struct ledger *l, const struct sim_node *n, const struct event *ev);
void ledger_frame_out(struct ledger *l, struct sim_node *n, const struct effect *fx);
/* A crash: only the first `count` of these were carried out. */
void ledger_cut_short(struct ledger *l, const struct effects *fx, size_t count);

/* ---- clients ---- */

/* A client asks for a write; returns its number, from 1. */
uint64_t ledger_asked(struct ledger *l);
/* The node took write `number` as this entry. */
void ledger_taken(struct ledger *l, uint64_t number, const struct entry *e);
/* An answer to the client of that number. */
void ledger_reply(struct ledger *l, struct sim_node *n, uint64_t number, struct span body);

/* ---- judging ---- */

/* True if the registries of the running nodes are equal; otherwise ret_why says whose are not. */
bool ledger_is_equal(struct ledger *l, char *ret_why, size_t max);
/* All have healed, and they are equal: what they hold is judged. */
void ledger_judge(struct ledger *l);

struct ledger_sums {
    uint64_t asked, acked, refused;
    uint64_t entries; /* that were written */
    uint64_t shown;   /* a hash of what every key shows at the end */
};
void ledger_sums(const struct ledger *l, struct ledger_sums *ret_sums);

#endif
