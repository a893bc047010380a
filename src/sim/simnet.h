/* SPDX-License-Identifier: MPL-2.0 */
/* The network between the simulated machines: datagrams, port-unreachable reports, plain connects,
 * beacons, and who cannot reach whom. */
#ifndef HM_SIM_SIMNET_H
#define HM_SIM_SIMNET_H

#include "sim/world.h"

/* Carries out FX_DATAGRAM. Returns false if the network lost it. */
bool simnet_send(struct world *w, struct sim_node *n, const struct effect *fx);
void simnet_connect(struct world *w, struct sim_node *n, const struct effect *fx);
void simnet_beacon(struct world *w, struct sim_node *n);
/* MSG_DATAGRAM and MSG_BEACON arrive. Takes the message. */
void simnet_arrive(struct world *w, struct msg *m);
/* Sends a kept copy again, as an attacker does. */
void simnet_replay(struct world *w, const struct msg *captured);

uint64_t simnet_latency(struct world *w, unsigned from, unsigned to);
/* One way, in the state of now: host on, awake, not cut. */
enum block simnet_block(const struct world *w, unsigned from, unsigned to);
/* Draws whether a packet is lost on the way. */
bool simnet_is_lost(struct world *w, unsigned from, unsigned to);
void simnet_cut(struct world *w, unsigned from, unsigned to, enum block block);
/* Packets of one to another have this path from now on: the plan's number idx, PATHS_MAX at most. */
void simnet_path(struct world *w, unsigned from, unsigned to, uint64_t idx,
                 const struct path_conf *path);
void simnet_heal(struct world *w);

#endif
