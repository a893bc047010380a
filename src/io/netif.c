/* SPDX-License-Identifier: MPL-2.0 */
/* The machine's interfaces: see netif.h. First all are looked at, then it is decided which are used,
 * then their addresses are listed. */
#define _GNU_SOURCE
#include "io/netif.h"

#include "base/err.h"
#include "base/text.h"
#include "io/sockaddr.h"
#include "wire/zre_msg.h"

#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

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

/* Of these, what leads to other machines. (What containers make has one address on each machine.) */
static bool name_is_tunnel(const char *name)
{
    static const char *const tunnels[] = {"tun", "tap", "wg", "zt"};
    for (size_t i = 0; i < sizeof tunnels / sizeof tunnels[0]; i++) {
        if (strncmp(name, tunnels[i], strlen(tunnels[i])) == 0) {
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

static bool is_link_local(const struct addr *a)
{
    return addr_is_link_local(a) || (a->family == 4 && a->ip[0] == 169 && a->ip[1] == 254);
}

/* ---- what the user wished -------------------------------------------------------------------- */

static bool is_bound(const struct netif_wish *wish)
{
    return !addr_is_any(&wish->bind);
}

static bool wants_family(const struct netif_wish *wish, uint8_t family)
{
    return wish->bind.family == 0 || wish->bind.family == family;
}

static bool is_named(const struct netif_wish *wish, const char *name)
{
    for (size_t i = 0; i < wish->named_count; i++) {
        if (strcmp(wish->named[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_heard(const struct netif_wish *wish, const char *name)
{
    for (size_t i = 0; i < wish->heard_count; i++) {
        if (strcmp(wish->heard[i], name) == 0) {
            return true;
        }
    }
    return false;
}

bool netif_hear(struct netif_wish *wish, const struct netif_list *list, unsigned index)
{
    for (size_t i = 0; i < list->look_count; i++) {
        const struct netif_look *look = &list->looks[i];
        if (look->index == index && look->why == NETIF_MADE && name_is_tunnel(look->name) &&
            wish->heard_count < NETIF_HEARD_MAX) {
            text_copy(wish->heard[wish->heard_count++], NETIF_NAME_BYTES, look->name);
            return true;
        }
    }
    return false;
}

/* The interface of an address. One with a label shows that instead ("eth0:1", "eth0:avahi"), which is
 * no interface; but a user may name it, to have this address alone. */
static void name_of(const struct netif_wish *wish, const struct ifaddrs *ifa,
                    char ret_name[NETIF_NAME_BYTES])
{
    text_copy(ret_name, NETIF_NAME_BYTES, ifa->ifa_name);
    if (!is_named(wish, ret_name)) {
        ret_name[strcspn(ret_name, ":")] = '\0';
    }
}

/* What the user asked for is looked at first, and what others made last: a machine with a hundred
 * containers has more interfaces than there is room for. */
#define ROUNDS 3

static unsigned round_of(const struct netif_wish *wish, const struct ifaddrs *ifa)
{
    char name[NETIF_NAME_BYTES];
    struct addr a = addr_of(ifa->ifa_addr);
    name_of(wish, ifa, name);
    if (is_named(wish, name) || (is_bound(wish) && addr_same_ip(&a, &wish->bind))) {
        return 0;
    }
    return name_is_made(name) ? 2 : 1;
}

/* ---- addresses ------------------------------------------------------------------------------- */

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

static bool is_unfit(const struct netif_facts *facts, const struct addr *a)
{
    for (size_t i = 0; i < facts->unfit_count; i++) {
        if (addr_same_ip(&facts->unfit[i], a)) {
            return true;
        }
    }
    return false;
}

/* Fills an entry; false if this address is of no use to us. */
static bool take_address(const struct netif_wish *wish, const struct ifaddrs *ifa,
                         const struct netif_facts *facts, struct netif *ret)
{
    struct netif n = {.addr = addr_of(ifa->ifa_addr)};
    n.is_loopback = (ifa->ifa_flags & IFF_LOOPBACK) != 0;
    if (n.addr.family == 0 || addr_is_any(&n.addr) || !wants_family(wish, n.addr.family) ||
        is_unfit(facts, &n.addr)) {
        return false;
    }
    /* All of 127/8 is loopback's, whatever address it shows. */
    bool is_bound_loopback = n.is_loopback && is_bound(wish) && addr_is_loopback(&wish->bind);
    if (is_bound(wish) && !addr_same_ip(&n.addr, &wish->bind) && !is_bound_loopback) {
        return false;
    }
    if (n.is_loopback && n.addr.family == 6 && !is_bound(wish) && wish->bind.family == 0) {
        return false; /* the nodes of one machine find each other on 127.0.0.1 already */
    }
    if (is_bound_loopback) {
        n.addr = wish->bind;
    }
    n.addr.port = 0;
    name_of(wish, ifa, n.name);
    n.is_made = name_is_made(n.name);
    n.has_carrier = (ifa->ifa_flags & IFF_RUNNING) != 0;
    n.has_default_route = strcmp(n.name, facts->default_route) == 0;
    if (n.addr.family == 4) {
        n.beacon_to = broadcast_of(ifa);
    } else if ((ifa->ifa_flags & IFF_MULTICAST) && !n.is_loopback) {
        n.beacon_to = (struct addr){.family = 6, .ip = ZRE_BEACON_GROUP6};
    }
    *ret = n;
    return true;
}

/* ---- looking --------------------------------------------------------------------------------- */

static struct netif_look *look_of(struct netif_list *list, const char *name)
{
    for (size_t i = 0; i < list->look_count; i++) {
        if (strcmp(list->looks[i].name, name) == 0) {
            return &list->looks[i];
        }
    }
    if (list->look_count == NETIF_MAX) {
        return NULL;
    }
    struct netif_look *look = &list->looks[list->look_count++];
    text_copy(look->name, sizeof look->name, name);
    return look;
}

/* What is to be said of an interface by itself, before it is known what others there are. */
static enum netif_why judge(const struct netif_wish *wish, const struct ifaddrs *ifa,
                            const char *name)
{
    bool is_loopback = (ifa->ifa_flags & IFF_LOOPBACK) != 0;
    if (!(ifa->ifa_flags & IFF_UP)) {
        return NETIF_DOWN;
    }
    if (is_bound(wish)) {
        return NETIF_NOT_BOUND; /* until its address is met */
    }
    if (wish->named_count > 0 && !is_named(wish, name) && !is_loopback) {
        return NETIF_NOT_NAMED;
    }
    return NETIF_NO_ADDRESS; /* until one is met */
}

static enum netif_why why_used(const struct netif_wish *wish, const struct netif *n)
{
    if (is_bound(wish)) {
        return NETIF_BOUND;
    }
    if (n->is_loopback) {
        return NETIF_LOOPBACK;
    }
    if (wish->named_count > 0) {
        return NETIF_NAMED;
    }
    return is_heard(wish, n->name) ? NETIF_HEARD : n->is_made ? NETIF_MADE : NETIF_REAL;
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

static void look_at(const struct netif_wish *wish, const struct ifaddrs *ifa,
                    struct netif_list *list)
{
    char name[NETIF_NAME_BYTES];
    name_of(wish, ifa, name);
    struct netif_look *look = look_of(list, name);
    if (look == NULL) {
        return;
    }
    look->why = judge(wish, ifa, name);
    look->has_carrier = (ifa->ifa_flags & IFF_RUNNING) != 0;
    if (ifa->ifa_addr != NULL && ifa->ifa_addr->sa_family == AF_PACKET) {
        struct sockaddr_ll link;
        memcpy(&link, ifa->ifa_addr, sizeof link);
        look->index = (unsigned) link.sll_ifindex;
    }
}

static void look_for_named(const struct netif_wish *wish, struct netif_list *list)
{
    for (size_t i = 0; i < wish->named_count; i++) {
        size_t before = list->look_count;
        struct netif_look *look = look_of(list, wish->named[i]);
        if (look != NULL && list->look_count > before) {
            look->why = NETIF_ABSENT;
        }
    }
}

static void look_at_all(const struct netif_wish *wish, const struct ifaddrs *all,
                        struct netif_list *list)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (const struct ifaddrs *ifa = all; ifa != NULL; ifa = ifa->ifa_next) {
            if (round_of(wish, ifa) == round) {
                look_at(wish, ifa, list);
            }
        }
        if (round == 0) {
            look_for_named(wish, list);
        }
    }
}

static void take(const struct netif_wish *wish, const struct ifaddrs *ifa,
                 const struct netif_facts *facts, struct netif_list *list)
{
    char name[NETIF_NAME_BYTES];
    name_of(wish, ifa, name);
    struct netif_look *look = look_of(list, name);
    struct netif *n = &list->items[list->count];
    if (look == NULL || look->why == NETIF_DOWN || look->why == NETIF_NOT_NAMED ||
        !take_address(wish, ifa, facts, n)) {
        return;
    }
    n->index = look->index;
    if (n->addr.scope == 0 && addr_is_link_local(&n->addr)) {
        n->addr.scope = n->index;
    }
    if (!has_same(list, n)) {
        look->why = why_used(wish, n);
        list->count++;
    }
}

static void take_addresses(const struct netif_wish *wish, const struct ifaddrs *all,
                           const struct netif_facts *facts, struct netif_list *list)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (const struct ifaddrs *ifa = all; ifa != NULL && list->count < NETIF_MAX;
             ifa = ifa->ifa_next) {
            if (round_of(wish, ifa) == round) {
                take(wish, ifa, facts, list);
            }
        }
    }
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* With a real interface there, those made by others are left out; with none, they count. */
static void settle_made(struct netif_list *list)
{
    bool has_real = false;
    size_t kept = 0;
    for (size_t i = 0; i < list->look_count; i++) {
        has_real = has_real || list->looks[i].why == NETIF_REAL;
    }
    for (size_t i = 0; i < list->look_count; i++) {
        if ((list->looks[i].why == NETIF_MADE || list->looks[i].why == NETIF_HEARD) && !has_real) {
            list->looks[i].why = NETIF_FOR_WANT;
        }
    }
    for (size_t i = 0; i < list->count; i++) {
        if (netif_is_used(look_of(list, list->items[i].name)->why)) {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

/* Which of two is told to others first: smaller is better. */
static unsigned rank_of(const struct netif *n)
{
    return (n->is_loopback ? 32u : 0u) + (n->has_carrier ? 0u : 16u) +
           (is_link_local(&n->addr) ? 8u : 0u) + (n->addr.family == 6 ? 4u : 0u) +
           (n->is_made ? 2u : 0u) + (n->has_default_route ? 0u : 1u);
}

/* Stable, so that an interface's first address stays before its aliases. */
static void sort_items(struct netif_list *list)
{
    for (size_t i = 1; i < list->count; i++) {
        struct netif n = list->items[i];
        size_t at = i;
        for (; at > 0; at--) {
            const struct netif *before = &list->items[at - 1];
            unsigned left = rank_of(before);
            unsigned right = rank_of(&n);
            if (left < right || (left == right && before->index <= n.index)) {
                break;
            }
            list->items[at] = *before;
        }
        list->items[at] = n;
    }
}

/* An interface beacons to the IPv6 group once: from its link-local address, which all hosts on the
 * wire can answer, or from its first where it has none. */
static bool is_group_sender(const struct netif_list *list, size_t at)
{
    const struct netif *n = &list->items[at];
    bool is_local = addr_is_link_local(&n->addr);
    for (size_t i = 0; i < list->count; i++) {
        const struct netif *other = &list->items[i];
        bool other_is_local = addr_is_link_local(&other->addr);
        if (i != at && other->index == n->index && other->beacon_to.family == 6 &&
            (is_local == other_is_local ? i < at : other_is_local)) {
            return false;
        }
    }
    return true;
}

static void settle_group(struct netif_list *list)
{
    bool sends[NETIF_MAX];
    for (size_t i = 0; i < list->count; i++) {
        sends[i] = list->items[i].beacon_to.family != 6 || is_group_sender(list, i);
    }
    for (size_t i = 0; i < list->count; i++) {
        struct netif *n = &list->items[i];
        if (!sends[i] || n->beacon_to.family == 0) {
            n->beacon_to = (struct addr){0};
        } else if (n->beacon_to.family == 6) {
            n->beacon_to.scope = n->index;
        }
    }
}

static void count_in_looks(struct netif_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct netif_look *look = look_of(list, list->items[i].name);
        look->addr_count++;
        look->can_beacon = look->can_beacon || list->items[i].beacon_to.family != 0;
    }
}

static int compare_looks(const void *left, const void *right)
{
    const struct netif_look *a = left;
    const struct netif_look *b = right;
    unsigned x = a->index - 1; /* the absent ones, index 0, go last */
    unsigned y = b->index - 1;
    return x != y ? (x < y ? -1 : 1) : strcmp(a->name, b->name);
}

void netif_list_make(const struct netif_wish *wish, const struct ifaddrs *all,
                     const struct netif_facts *facts, struct netif_list *ret_list)
{
    memset(ret_list, 0, sizeof *ret_list);
    look_at_all(wish, all, ret_list);
    take_addresses(wish, all, facts, ret_list);
    settle_made(ret_list);
    sort_items(ret_list);
    settle_group(ret_list);
    count_in_looks(ret_list);
    qsort(ret_list->looks, ret_list->look_count, sizeof ret_list->looks[0], compare_looks);
}

/* ---- asking the list ------------------------------------------------------------------------- */

bool netif_is_used(enum netif_why why)
{
    switch (why) {
    case NETIF_REAL:
    case NETIF_NAMED:
    case NETIF_BOUND:
    case NETIF_FOR_WANT:
    case NETIF_HEARD:
    case NETIF_LOOPBACK:
        return true;
    case NETIF_MADE:
    case NETIF_NOT_NAMED:
    case NETIF_NOT_BOUND:
    case NETIF_DOWN:
    case NETIF_NO_ADDRESS:
    case NETIF_ABSENT:
        return false;
    }
    return false;
}

const char *netif_why_text(enum netif_why why)
{
    switch (why) {
    case NETIF_REAL:
        return "a real interface";
    case NETIF_NAMED:
        return "named by --interface";
    case NETIF_BOUND:
        return "has the address given with --bind";
    case NETIF_FOR_WANT:
        return "made by containers, virtual machines or tunnels, but no real interface is there";
    case NETIF_HEARD:
        return "a tunnel on which a member was heard";
    case NETIF_LOOPBACK:
        return "for the nodes of this machine";
    case NETIF_MADE:
        return "made by containers, virtual machines or tunnels; --interface=NAME takes it";
    case NETIF_NOT_NAMED:
        return "not among those given with --interface";
    case NETIF_NOT_BOUND:
        return "does not have the address given with --bind";
    case NETIF_DOWN:
        return "switched off; `ip link set NAME up` switches it on";
    case NETIF_NO_ADDRESS:
        return "has no address (yet)";
    case NETIF_ABSENT:
        return "named by --interface, but no interface is called so (yet)";
    }
    return "";
}

/* One round of choosing: those not chosen yet, of which `fits` is true. */
static size_t choose(const struct netif_list *list, bool *is_chosen, struct addr *addrs,
                     size_t count, size_t max, bool second, uint8_t family)
{
    for (size_t i = 0; i < list->count && count < max; i++) {
        const struct netif *n = &list->items[i];
        bool fits = !n->is_loopback && !is_chosen[i] && (family == 0 || n->addr.family == family);
        for (size_t k = 0; k < list->count && fits && !second; k++) {
            fits = !is_chosen[k] || list->items[k].index != n->index ||
                   list->items[k].addr.family != n->addr.family;
        }
        if (fits) {
            is_chosen[i] = true;
            addrs[count++] = n->addr;
        }
    }
    return count;
}

size_t netif_addresses(const struct netif_list *list, const struct netif_wish *wish,
                       struct addr *ret_addrs, size_t max)
{
    bool is_chosen[NETIF_MAX] = {false};
    HM_ASSERT(max > 0);
    if (is_bound(wish)) {
        ret_addrs[0] = wish->bind;
        ret_addrs[0].port = 0;
        return 1;
    }
    bool has_v6 = false;
    for (size_t i = 0; i < list->count; i++) {
        has_v6 = has_v6 || (list->items[i].addr.family == 6 && !list->items[i].is_loopback);
    }
    /* One IPv4 address of each interface, then IPv6, then the aliases. */
    size_t room = has_v6 && max > 1 ? max - 1 : max;
    size_t count = choose(list, is_chosen, ret_addrs, 0, room, false, 4);
    count = choose(list, is_chosen, ret_addrs, count, max, false, 6);
    count = choose(list, is_chosen, ret_addrs, count, max, true, 0);
    if (count == 0) {
        ret_addrs[count++] = addr_v4(127, 0, 0, 1, 0);
        if (wish->bind.family == 6) {
            ret_addrs[0] = (struct addr){.family = 6, .ip = {[15] = 1}};
        }
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
                addr_eq(&x->addr, &y->addr) && addr_eq(&x->beacon_to, &y->beacon_to) &&
                x->has_carrier == y->has_carrier;
    }
    return equal;
}
