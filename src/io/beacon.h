/* SPDX-License-Identifier: MPL-2.0 */
/* ZRE beacons (RFC 36): heard and sent on UDP port 5670, or another one that the user chose.
 *
 * Heard on one socket per family that all nodes of the machine share (every process gets a copy of
 * a broadcast); sent from one socket per interface and address, bound to that address, to the
 * interface's broadcast address, for loopback to 127.255.255.255, and over IPv6 to a link-local
 * group (docs/decisions/0024-ipv6-beacons.md). Nothing that the network does to a beacon
 * (unreachable, refused, interface gone) is an error. What is heard is unauthenticated: an address
 * to try. */
#ifndef HM_IO_BEACON_H
#define HM_IO_BEACON_H

#include "base/addr.h"
#include "base/metrics.h"
#include "base/node_id.h"
#include "io/netif.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct beacon beacon_t;

struct beacon_conf {
    struct node_id id;
    uint16_t port;           /* P, carried in the beacon */
    uint16_t beacon_port;    /* where beacons go; 0: ZRE's, 5670 */
    struct metrics *metrics; /* borrowed for its life */
};

/* HM_ENOMEM. When the port cannot be shared or opened the beacon still sends; beacon_problem says
 * what is wrong. */
int beacon_new(const struct beacon_conf *conf, beacon_t **ret_beacon);
/* Says goodbye (port 0) on every interface and closes. */
void beacon_destroy(beacon_t **p);

/* A line for the log if beacons cannot be heard, else NULL. Borrowed. */
const char *beacon_problem(const beacon_t *beacon);

/* Interfaces to send on, from netif_list_read; replaces the former ones. only_there: hear only
 * beacons that arrive on one of them. */
void beacon_set_interfaces(beacon_t *beacon, const struct netif_list *list, bool only_there);

/* To poll for reading, one per family; -1 if deaf there. */
#define BEACON_FDS 2
int beacon_fd(const beacon_t *beacon, size_t which);
/* Takes the next beacon of somebody else: ret_from is the sender's address with the port that the
 * beacon carries. HM_ENOTFOUND: nothing more now. Own beacons, goodbyes and garbage are skipped and
 * counted; at most BEACON_TURN_MAX datagrams are looked at per call. */
#define BEACON_TURN_MAX 64
int beacon_take(beacon_t *beacon, struct addr *ret_from, struct node_id *ret_id);
/* The interface on which the beacon taken last came in; 0: not told. */
unsigned beacon_taken_on(const beacon_t *beacon);

/* Sends one beacon on every interface. */
void beacon_send(beacon_t *beacon);

#endif
