/* SPDX-License-Identifier: MPL-2.0 */
/* The machine's network interfaces: which to beacon on, which addresses to tell others.
 *
 * A real interface is up, not loopback, and not one that containers, virtual machines and tunnels
 * make (by name: docker0, br-…, veth…, virbr…, tun…, wg…, …). Where there is no real one, those
 * count too: in a container or a test namespace eth0 may be anything. Loopback is always listed, so
 * that nodes of one machine find each other; its address is told to others only when there is no
 * other. A bind address restricts all of it to the interface that has it. */
#ifndef HM_IO_NETIF_H
#define HM_IO_NETIF_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

#define NETIF_MAX 32        /* addresses of interfaces looked at; further ones are ignored */
#define NETIF_NAME_BYTES 16 /* IFNAMSIZ */

struct netif {
    char name[NETIF_NAME_BYTES];
    unsigned index;
    struct addr addr;      /* port 0 */
    struct addr broadcast; /* none: beacons cannot be sent here */
    bool is_loopback;
    bool has_default_route;
};

struct netif_list {
    struct netif items[NETIF_MAX]; /* best first; loopback last */
    size_t count;
};

/* Lists the interfaces in use. bind: none (family 0 or the any-address) or the address that the
 * user asked to bind to. HM_EIO with errno. A bind address that no interface has gives an empty
 * list. */
int netif_list_read(const struct addr *bind, struct netif_list *ret_list);

/* The addresses to tell others, best first, ports 0; returns how many (at most max, at least 1). */
size_t netif_addresses(const struct netif_list *list, const struct addr *bind,
                       struct addr *ret_addrs, size_t max);

bool netif_lists_equal(const struct netif_list *a, const struct netif_list *b);

/* Opens a socket that becomes readable when interfaces or addresses change. HM_EIO with errno. */
int netif_watch_open(int *ret_fd);
/* Empties it; true if something changed (list again; a burst of changes is one). */
bool netif_watch_take(int fd);

#endif
