/* SPDX-License-Identifier: MPL-2.0 */
/* The machine's network interfaces: which to beacon on, which addresses to tell others.
 *
 * A real interface is up, not loopback, and not one that containers, virtual machines and tunnels
 * make (by name: docker0, br-…, veth…, virbr…, tun…, wg…, …). Where there is no real one, those
 * count too: in a container or a test namespace eth0 may be anything. Loopback is always listed, so
 * that nodes of one machine find each other; its address is told to others only when there is no
 * other. A tunnel is used beside the real ones once a member is heard on it (netif_hear): somebody was
 * told to join over it, and nobody can know its address otherwise. Interfaces that the user named are taken whatever they are called, and no others. A bind
 * address restricts all of it to the interface that has it. For each interface of the machine the
 * list also says why it is used or not. */
#ifndef HM_IO_NETIF_H
#define HM_IO_NETIF_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

#define NETIF_MAX 32        /* interfaces, and addresses of theirs; made ones are left out first */
#define NETIF_NAME_BYTES 16 /* IFNAMSIZ */
#define NETIF_NAMED_MAX 16  /* interfaces that a user may name */
#define NETIF_HEARD_MAX 4   /* tunnels on which members were heard */

/* What the user said. All zero: every real interface, IPv4 and IPv6. */
struct netif_wish {
    /* Family 0: all; the any-address of a family: that family; else the address bound to. */
    struct addr bind;
    char named[NETIF_NAMED_MAX][NETIF_NAME_BYTES];
    size_t named_count;
    char heard[NETIF_HEARD_MAX][NETIF_NAME_BYTES]; /* by netif_hear, not by the user */
    size_t heard_count;
};

/* One address of an interface in use. */
struct netif {
    char name[NETIF_NAME_BYTES];
    unsigned index;
    struct addr addr; /* port 0 */
    /* Where a beacon sent from it goes: the IPv4 broadcast address, or the IPv6 group; none: no
     * beacon. One of an interface's IPv6 addresses has it. */
    struct addr beacon_to;
    bool is_loopback;
    bool is_made;     /* by containers, virtual machines or tunnels, to judge by its name */
    bool has_carrier; /* the cable is in, the Wi-Fi is associated */
    bool has_default_route;
};

/* Why an interface is used or not. */
enum netif_why {
    NETIF_REAL,       /* used: a real interface */
    NETIF_NAMED,      /* used: named by the user */
    NETIF_BOUND,      /* used: has the address bound to */
    NETIF_FOR_WANT,   /* used: made by others, but no real one is there */
    NETIF_HEARD,      /* used: a tunnel on which a member was heard */
    NETIF_LOOPBACK,   /* used: between the nodes of this machine */
    NETIF_MADE,       /* not used: made by containers, virtual machines or tunnels */
    NETIF_NOT_NAMED,  /* not used: others were named */
    NETIF_NOT_BOUND,  /* not used: the address bound to is elsewhere */
    NETIF_DOWN,       /* not used: switched off */
    NETIF_NO_ADDRESS, /* not used: no address of a family in use (yet) */
    NETIF_ABSENT,     /* not used: named by the user, and not there (yet) */
};

/* One interface of the machine, used or not. */
struct netif_look {
    char name[NETIF_NAME_BYTES];
    unsigned index; /* 0: absent */
    enum netif_why why;
    bool has_carrier;
    bool can_beacon; /* it is used, and something goes out of it that finds others */
    size_t addr_count; /* in use */
};

struct netif_list {
    struct netif items[NETIF_MAX]; /* best first; loopback last */
    size_t count;
    struct netif_look looks[NETIF_MAX]; /* by index; absent ones last */
    size_t look_count;
};

/* Lists the interfaces. HM_EIO with errno. A bind address that no interface has gives no items. */
int netif_list_read(const struct netif_wish *wish, struct netif_list *ret_list);

/* Something of the mesh came in on this interface. True if it is a tunnel that was left out, and is used
 * from now on: list again. */
bool netif_hear(struct netif_wish *wish, const struct netif_list *list, unsigned index);

/* What getifaddrs does not tell. */
struct netif_facts {
    char default_route[NETIF_NAME_BYTES]; /* the interface that has it; "": none */
    struct addr unfit[NETIF_MAX];         /* IPv6 addresses not to be used (yet, or for long) */
    size_t unfit_count;
};

/* The same from what was read: the decision alone. */
struct ifaddrs;
void netif_list_make(const struct netif_wish *wish, const struct ifaddrs *all,
                     const struct netif_facts *facts, struct netif_list *ret_list);

bool netif_is_used(enum netif_why why);
/* A phrase for people: "a real interface", "made by containers, … : --interface=NAME takes it". */
const char *netif_why_text(enum netif_why why);

/* The addresses to tell others, best first, ports 0; returns how many (at most max, at least 1).
 * Each interface's best one goes before any second one, and of a family that is there at least one
 * is among them. */
size_t netif_addresses(const struct netif_list *list, const struct netif_wish *wish,
                       struct addr *ret_addrs, size_t max);

/* Whether beacons and addresses would be the same. */
bool netif_lists_equal(const struct netif_list *a, const struct netif_list *b);

/* Opens a socket that becomes readable when interfaces or addresses change. HM_EIO with errno. */
int netif_watch_open(int *ret_fd);
/* Empties it; true if something changed (list again; a burst of changes is one). */
bool netif_watch_take(int fd);

#endif
