/* SPDX-License-Identifier: MPL-2.0 */
/* The machine's interfaces: see netif.h. */
#define _GNU_SOURCE
#include "io/netif.h"

#include "base/err.h"
#include "base/text.h"
#include "io/sockaddr.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What containers, virtual machines and tunnels call the interfaces that they make. */
static const char *const made_names[] = {"docker",  "br-",  "veth",   "virbr", "vnet", "tun",
                                         "tap",     "wg",   "podman", "cni",   "lxc",  "lxd",
                                         "flannel", "cali", "kube",   "zt",    NULL};

static bool name_is_made(const char *name)
{
    for (size_t i = 0; made_names[i] != NULL; i++) {
        if (strncmp(name, made_names[i], strlen(made_names[i])) == 0) {
            return true;
        }
    }
    return false;
}

static struct addr addr_of(const struct sockaddr *sa)
{
    struct addr a = {0};
    if (sa != NULL) {
        addr_of_sockaddr(sa, &a);
    }
    return a;
}

static bool addr_is_any(const struct addr *a)
{
    static const uint8_t zero[16];
    return a == NULL || a->family == 0 || memcmp(a->ip, zero, sizeof zero) == 0;
}

static bool is_link_local(const struct addr *a)
{
    return a->family == 4 && a->ip[0] == 169 && a->ip[1] == 254;
}

/* The interface that /proc/net/route sends the rest of the world to; "" if there is none. */
static void read_default_route(char name[NETIF_NAME_BYTES])
{
    char line[256];
    name[0] = '\0';
    FILE *f = fopen("/proc/net/route", "re");
    while (f != NULL && name[0] == '\0' && fgets(line, sizeof line, f) != NULL) {
        char *tab = strchr(line, '\t');
        if (tab != NULL && strncmp(tab + 1, "00000000\t", 9) == 0) {
            *tab = '\0';
            text_copy(name, NETIF_NAME_BYTES, line);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

/* Which of two is told to others first: smaller is better. */
static unsigned rank_of(const struct netif *n)
{
    return (n->is_loopback ? 8u : 0u) + (is_link_local(&n->addr) ? 4u : 0u) +
           (name_is_made(n->name) ? 2u : 0u) + (n->has_default_route ? 0u : 1u);
}

static int compare(const void *left, const void *right)
{
    const struct netif *a = left;
    const struct netif *b = right;
    unsigned ra = rank_of(a);
    unsigned rb = rank_of(b);
    if (ra != rb) {
        return ra < rb ? -1 : 1;
    }
    if (a->index != b->index) {
        return a->index < b->index ? -1 : 1;
    }
    return addr_cmp(&a->addr, &b->addr);
}

/* Where to broadcast. An address may have been added without one (ip addr add does so, and the system
 * then shows the address itself); the subnet's last address is one all the same, if the subnet is
 * large enough to have it. */
static struct addr broadcast_of(const struct ifaddrs *ifa)
{
    struct addr own = addr_of(ifa->ifa_addr);
    struct addr mask = addr_of(ifa->ifa_netmask);
    struct addr broadcast = {0};
    if (addr_is_loopback(&own)) {
        return addr_v4(127, 255, 255, 255, 0);
    }
    if (!(ifa->ifa_flags & IFF_BROADCAST)) {
        return broadcast;
    }
    broadcast = addr_of(ifa->ifa_broadaddr);
    if (addr_is_any(&broadcast) || broadcast.family != 4 || addr_same_ip(&broadcast, &own)) {
        bool has_one = mask.family == 4 && (mask.ip[3] & 3) == 0;
        for (size_t i = 0; i < 4; i++) {
            broadcast.ip[i] = (uint8_t) (own.ip[i] | ~mask.ip[i]);
        }
        broadcast.family = has_one ? 4 : 0;
    }
    return broadcast;
}

/* Fills an entry; false if this address is of no use to us. IPv6 only when it was asked for: the
 * addresses that interfaces give themselves are for the user to choose (--bind). */
static bool take_interface(const struct ifaddrs *ifa, const struct addr *bind, struct netif *ret)
{
    struct netif n = {0};
    n.addr = addr_of(ifa->ifa_addr);
    if (n.addr.family == 0 || !(ifa->ifa_flags & IFF_UP) || addr_is_any(&n.addr)) {
        return false;
    }
    n.is_loopback = (ifa->ifa_flags & IFF_LOOPBACK) != 0;
    /* All of 127/8 is loopback's, whatever address it shows. */
    bool is_bound_loopback = n.is_loopback && n.addr.family == 4 && !addr_is_any(bind) &&
                             bind->family == 4 && addr_is_loopback(bind);
    if (addr_is_any(bind) ? n.addr.family != 4
                          : !addr_same_ip(&n.addr, bind) && !is_bound_loopback) {
        return false;
    }
    if (is_bound_loopback) {
        n.addr = *bind;
        n.addr.port = 0;
    }
    text_copy(n.name, sizeof n.name, ifa->ifa_name);
    n.index = if_nametoindex(ifa->ifa_name);
    if (n.addr.family == 4) {
        n.broadcast = broadcast_of(ifa);
    }
    *ret = n;
    return true;
}

/* With a real interface there, those made by others are left out. */
static void drop_made(struct netif_list *list)
{
    size_t real = 0;
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        real += !list->items[i].is_loopback && !name_is_made(list->items[i].name);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (real == 0 || !name_is_made(list->items[i].name)) {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

static bool has_same(const struct netif_list *list, const struct netif *n)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].index == n->index && addr_same_ip(&list->items[i].addr, &n->addr)) {
            return true;
        }
    }
    return false;
}

int netif_list_read(const struct addr *bind, struct netif_list *ret_list)
{
    struct ifaddrs *all = NULL;
    struct netif_list list = {.count = 0};
    char default_route[NETIF_NAME_BYTES];
    if (getifaddrs(&all) != 0) {
        return HM_EIO;
    }
    read_default_route(default_route);
    for (const struct ifaddrs *ifa = all; ifa != NULL && list.count < NETIF_MAX;
         ifa = ifa->ifa_next) {
        struct netif *n = &list.items[list.count];
        if (take_interface(ifa, bind, n) && !has_same(&list, n)) {
            n->has_default_route = strcmp(n->name, default_route) == 0;
            list.count++;
        }
    }
    freeifaddrs(all);
    if (addr_is_any(bind)) {
        drop_made(&list);
    }
    qsort(list.items, list.count, sizeof list.items[0], compare);
    *ret_list = list;
    return HM_OK;
}

size_t netif_addresses(const struct netif_list *list, const struct addr *bind,
                       struct addr *ret_addrs, size_t max)
{
    size_t count = 0;
    HM_ASSERT(max > 0);
    if (!addr_is_any(bind)) {
        ret_addrs[0] = *bind;
        ret_addrs[0].port = 0;
        return 1;
    }
    for (size_t i = 0; i < list->count && count < max; i++) {
        if (!list->items[i].is_loopback) {
            ret_addrs[count++] = list->items[i].addr;
        }
    }
    if (count == 0) {
        ret_addrs[count++] = addr_v4(127, 0, 0, 1, 0);
    }
    return count;
}

bool netif_lists_equal(const struct netif_list *a, const struct netif_list *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++) {
        const struct netif *x = &a->items[i];
        const struct netif *y = &b->items[i];
        equal = strcmp(x->name, y->name) == 0 && x->index == y->index &&
                addr_eq(&x->addr, &y->addr) && addr_eq(&x->broadcast, &y->broadcast);
    }
    return equal;
}

int netif_watch_open(int *ret_fd)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    struct sockaddr_nl sa = {.nl_family = AF_NETLINK,
                             .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    if (fd < 0) {
        return HM_EIO;
    }
    if (bind(fd, (const struct sockaddr *) &sa, sizeof sa) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return HM_EIO;
    }
    *ret_fd = fd;
    return HM_OK;
}

bool netif_watch_take(int fd)
{
    uint8_t bytes[8192];
    bool changed = false;
    /* What exactly changed does not matter, and an overrun (ENOBUFS) is a change too. */
    for (int i = 0; i < 64; i++) {
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 && !(got < 0 && errno == ENOBUFS)) {
            break;
        }
        changed = true;
    }
    return changed;
}
