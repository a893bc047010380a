/* SPDX-License-Identifier: MPL-2.0 */
/* Links between simulated nodes: TCP as the core sees it through the daemon.
 *
 * Reliable and in order. What is lost or cannot get through (a partition, a silent or sleeping
 * machine) stalls and is tried again after 200 ms, doubling, so after an outage the link goes on only
 * some time later; it ends when nothing got through for 6 s, as the daemon's. A process that dies closes its ends; a machine that is switched off does not, and refuses what
 * comes when it is back. A new link of a pair takes the place of an old one. */
#ifndef HM_SIM_SIMLINK_H
#define HM_SIM_SIMLINK_H

#include "sim/world.h"

void simlink_dial(struct world *w, struct sim_node *n, const struct effect *fx);
void simlink_hangup(struct world *w, struct sim_node *n, const struct node_id *peer);
void simlink_send(struct world *w, struct sim_node *n, const struct effect *fx);
/* MSG_SYN, MSG_ACCEPT, MSG_FRAME, MSG_FIN arrive. Takes the message. */
void simlink_arrive(struct world *w, struct msg *m);
/* The process (not stalled) gets it. Takes the message. */
void simlink_hand_over(struct world *w, struct sim_node *n, struct msg *m);
/* MSG_DIAL_END: a dial that nobody answered. Takes the message. */
void simlink_dial_end(struct world *w, struct msg *m);
/* MSG_RETRY: owner is the flow. */
void simlink_retry(struct world *w, void *flow);
/* A message that belongs to a link is thrown away. */
void simlink_drop(struct world *w, struct msg *m);
/* All ends of a node close: with a word to the other side, or without. */
void simlink_close_all(struct world *w, struct sim_node *n, bool is_silent);
/* The node has another address: its links are dead. It finds out in a second, the others late. */
void simlink_readdressed(struct world *w, struct sim_node *n);
void simlink_destroy_all(struct world *w);

#endif
