/* SPDX-License-Identifier: MPL-2.0 */
/* ZRE beacons (RFC 36): heard and sent on UDP port 5670.
 *
 * Heard on one socket that all nodes of the machine share (every process gets a copy of a
 * broadcast); sent from one socket per interface, bound to that interface's address, to its
 * broadcast address, and for loopback to 127.255.255.255. Nothing that the network does to a
 * broadcast (unreachable, refused, interface gone) is an error. What is heard is unauthenticated:
 * an address to try. */
#ifndef HM_IO_BEACON_H
#define HM_IO_BEACON_H

#include "base/addr.h"
#include "base/metrics.h"
#include "base/node_id.h"
#include "io/netif.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct beacon beacon_t;

/* port: P, carried in the beacon. metrics: borrowed for its life. HM_ENOMEM. When the port cannot
 * be shared or opened the beacon still sends; beacon_problem says what is wrong. */
int beacon_new(const struct node_id *id, uint16_t port, struct metrics *metrics,
               beacon_t **ret_beacon);
/* Says goodbye (port 0) on every interface and closes. */
void beacon_destroy(beacon_t **p);

/* A line for the log if beacons cannot be heard, else NULL. Borrowed. */
const char *beacon_problem(const beacon_t *beacon);

/* Interfaces to send on, from netif_list_read; replaces the former ones. is_bound: hear only
 * beacons that arrive on one of them. */
void beacon_set_interfaces(beacon_t *beacon, const struct netif_list *list, bool is_bound);

/* To poll for reading; -1 if deaf. */
int beacon_fd(const beacon_t *beacon);
/* Takes the next beacon of somebody else: ret_from is the sender's address with the port that the
 * beacon carries. HM_ENOTFOUND: nothing more now. Own beacons, goodbyes and garbage are skipped and
 * counted; at most BEACON_TURN_MAX datagrams are looked at per call. */
#define BEACON_TURN_MAX 64
int beacon_take(beacon_t *beacon, struct addr *ret_from, struct node_id *ret_id);

/* Sends one beacon on every interface. */
void beacon_send(beacon_t *beacon);

#endif
