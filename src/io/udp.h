/* SPDX-License-Identifier: MPL-2.0 */
/* The sealed datagrams' sockets: plain bytes in and out, non-blocking.
 *
 * What goes to a peer leaves from the address and interface at which that peer last proved to reach
 * us (udp_answer_here), so machines with several interfaces or addresses answer as the one that was
 * asked; so does what is sent to a stranger from within the handler of its datagram. To anybody else
 * the kernel's routes choose. An IPv6 link-local address that a record named
 * says nothing of the interface: it is tried on each. Port-unreachable reports come from the
 * socket's error queue with the address that we had sent to; other ICMP is ignored. */
#ifndef HM_IO_UDP_H
#define HM_IO_UDP_H

#include "base/addr.h"
#include "base/metrics.h"
#include "base/span.h"
#include "io/reactor.h"

typedef struct udp udp_t;

struct udp_handler {
    void *ctx;
    void (*datagram)(void *ctx, const struct addr *from, struct span bytes); /* for the call */
    void (*unreachable)(void *ctx, const struct addr *to); /* port-unreachable, quoted address */
};

/* NULL: out of memory. The reactor is borrowed for the object's life. */
udp_t *udp_new(reactor_t *r, const struct udp_handler *handler);
void udp_destroy(udp_t **p);

/* Binds one more socket, at most UDP_SOCKETS_MAX; family by the address (IPv6 ones take no IPv4).
 * Port 0 takes a free one. HM_EBUSY: the port is in use; HM_EINVAL: not an address of this machine;
 * HM_EDENIED: not allowed; HM_EFULL; HM_EIO. */
#define UDP_SOCKETS_MAX 4
int udp_bind(udp_t *u, const struct addr *at, uint16_t *ret_port);
/* Closes all sockets; udp_bind may follow. */
void udp_unbind(udp_t *u);

/* The datagram just handed up was authentic: from now on, what goes to its sender leaves from the
 * address at which it arrived. Call it from within the handler only. */
void udp_answer_here(udp_t *u);

/* The interface on which the datagram just handed up came in; 0: not known. From within the handler only. */
unsigned udp_came_on(const udp_t *u);

/* The interfaces to try for a link-local address without a scope; at most UDP_LINKS_MAX count. */
#define UDP_LINKS_MAX 8
void udp_set_links(udp_t *u, const unsigned *indexes, size_t count);

/* HM_OK means only that the kernel took it. HM_EFULL: its buffer is full; HM_EUNREACHABLE: no
 * route, no such interface, or no socket of that family; HM_EIO. Never blocks. */
int udp_send(udp_t *u, const struct addr *to, struct span bytes);

#endif
