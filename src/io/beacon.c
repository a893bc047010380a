/* SPDX-License-Identifier: MPL-2.0 */
/* ZRE beacons: see beacon.h. */
#define _GNU_SOURCE
#include "io/beacon.h"

#include "base/err.h"
#include "io/sockaddr.h"
#include "wire/zre_msg.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct sender {
    int fd;
    unsigned index;
    struct sockaddr_storage to;
    socklen_t to_bytes;
};

struct beacon {
    struct beacon_conf conf;
    int fds[BEACON_FDS]; /* to hear on, IPv4 and IPv6; -1: deaf */
    bool only_there;
    unsigned taken_on;
    char problem[192];
    struct sender senders[NETIF_MAX];
    size_t sender_count;
    unsigned groups[NETIF_MAX]; /* interfaces on which we are in the IPv6 group */
    size_t group_count;
};

static int udp_socket(int family)
{
    return socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int set_on(int fd, int level, int option)
{
    int one = 1;
    return setsockopt(fd, level, option, &one, sizeof one);
}

/* The shared port. REUSEADDR lets several users share it, REUSEPORT is what Zyre sets: both, so
 * that either kind of neighbour lets us in. */
static int open_hearing(uint8_t family, uint16_t port)
{
    struct addr any = {.family = family, .port = port};
    struct sockaddr_storage sa;
    socklen_t size = sockaddr_of_addr(&any, &sa);
    int fd = udp_socket(sa.ss_family);
    if (fd < 0) {
        return -1;
    }
    int rc = family == 4 ? set_on(fd, IPPROTO_IP, IP_PKTINFO)
                         : set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY) |
                               set_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
    if (rc != 0 || set_on(fd, SOL_SOCKET, SO_REUSEADDR) != 0 ||
        set_on(fd, SOL_SOCKET, SO_REUSEPORT) != 0 ||
        bind(fd, (const struct sockaddr *) &sa, size) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int beacon_new(const struct beacon_conf *conf, beacon_t **ret_beacon)
{
    beacon_t *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return HM_ENOMEM;
    }
    b->conf = *conf;
    if (b->conf.beacon_port == 0) {
        b->conf.beacon_port = ZRE_BEACON_PORT;
    }
    b->fds[1] = open_hearing(6, b->conf.beacon_port); /* a kernel without IPv6 is no problem */
    b->fds[0] = open_hearing(4, b->conf.beacon_port);
    if (b->fds[0] < 0) {
        snprintf(b->problem, sizeof b->problem,
                 "cannot hear beacons on UDP port %d (%s): nodes are found only if they hear ours "
                 "or by --join",
                 b->conf.beacon_port, strerror(errno));
    }
    *ret_beacon = b;
    return HM_OK;
}

static void close_senders(beacon_t *b)
{
    for (size_t i = 0; i < b->sender_count; i++) {
        close(b->senders[i].fd);
    }
    b->sender_count = 0;
}

static void send_port(beacon_t *b, uint16_t port)
{
    struct zre_beacon beacon = {b->conf.id, port};
    uint8_t bytes[ZRE_BEACON_BYTES];
    zre_beacon_write(&beacon, bytes);
    for (size_t i = 0; i < b->sender_count; i++) {
        const struct sender *s = &b->senders[i];
        ssize_t sent = sendto(s->fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL,
                              (const struct sockaddr *) &s->to, s->to_bytes);
        /* A network that is down or full today is no error: the next beacon comes anyway. */
        metric_add(b->conf.metrics, M_BEACONS_SENT, sent == (ssize_t) sizeof bytes);
    }
}

void beacon_send(beacon_t *beacon)
{
    send_port(beacon, beacon->conf.port);
}

void beacon_destroy(beacon_t **p)
{
    beacon_t *b = *p;
    if (b == NULL) {
        return;
    }
    send_port(b, 0);
    close_senders(b);
    for (size_t i = 0; i < BEACON_FDS; i++) {
        if (b->fds[i] >= 0) {
            close(b->fds[i]);
        }
    }
    free(b);
    *p = NULL;
}

const char *beacon_problem(const beacon_t *beacon)
{
    return beacon->problem[0] == '\0' ? NULL : beacon->problem;
}

/* A socket bound to the interface's address, so that receivers see it as the source. */
static bool open_sender(const beacon_t *b, const struct netif *n, struct sender *ret)
{
    struct sockaddr_storage from;
    socklen_t from_bytes = sockaddr_of_addr(&n->addr, &from);
    struct addr to = n->beacon_to;
    struct sender s = {.fd = udp_socket(from.ss_family), .index = n->index};
    if (s.fd < 0) {
        return false;
    }
    to.port = b->conf.beacon_port;
    s.to_bytes = sockaddr_of_addr(&to, &s.to);
    int index = (int) n->index;
    int rc = to.family == 4
                 ? set_on(s.fd, SOL_SOCKET, SO_BROADCAST)
                 : setsockopt(s.fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
    if (rc != 0 || bind(s.fd, (const struct sockaddr *) &from, from_bytes) != 0) {
        close(s.fd);
        return false;
    }
    *ret = s;
    return true;
}

static bool sends_to_group(const struct netif_list *list, unsigned index)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].index == index && list->items[i].beacon_to.family == 6) {
            return true;
        }
    }
    return false;
}

static int change_group(const beacon_t *b, unsigned index, int option)
{
    static const uint8_t group[16] = ZRE_BEACON_GROUP6;
    struct ipv6_mreq membership = {.ipv6mr_interface = index};
    memcpy(&membership.ipv6mr_multiaddr, group, sizeof group);
    return setsockopt(b->fds[1], IPPROTO_IPV6, option, &membership, sizeof membership);
}

/* Member of the IPv6 group on the listed interfaces and on no others. */
static void join_groups(beacon_t *b, const struct netif_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->group_count; i++) {
        if (sends_to_group(list, b->groups[i])) {
            b->groups[kept++] = b->groups[i];
        } else {
            (void) change_group(b, b->groups[i], IPV6_LEAVE_GROUP); /* the interface may be gone */
        }
    }
    b->group_count = kept;
    for (size_t i = 0; i < list->count; i++) {
        const struct netif *n = &list->items[i];
        if (n->beacon_to.family == 6 && b->group_count < NETIF_MAX) {
            /* One that came back under its old index is left by the kernel: joining again shows. */
            int rc = change_group(b, n->index, IPV6_JOIN_GROUP);
            bool is_listed = false;
            for (size_t k = 0; k < b->group_count; k++) {
                is_listed = is_listed || b->groups[k] == n->index;
            }
            if (rc == 0 && !is_listed) {
                b->groups[b->group_count++] = n->index;
            }
        }
    }
}

void beacon_set_interfaces(beacon_t *beacon, const struct netif_list *list, bool only_there)
{
    close_senders(beacon);
    beacon->only_there = only_there;
    for (size_t i = 0; i < list->count; i++) {
        const struct netif *n = &list->items[i];
        if (n->beacon_to.family != 0 &&
            open_sender(beacon, n, &beacon->senders[beacon->sender_count])) {
            beacon->sender_count++;
        }
    }
    if (beacon->fds[1] >= 0) {
        join_groups(beacon, list);
    }
}

int beacon_fd(const beacon_t *beacon, size_t which)
{
    HM_ASSERT(which < BEACON_FDS);
    return beacon->fds[which];
}

/* Receives one datagram; returns its size or -1, and the interface it came in on (0: not told). */
static ssize_t receive(int fd, uint8_t *bytes, size_t room, struct addr *ret_from,
                       unsigned *ret_index)
{
    struct iovec iov = {bytes, room};
    struct sockaddr_storage from;
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    struct msghdr msg = {.msg_name = &from,
                         .msg_namelen = sizeof from,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &msg, MSG_DONTWAIT);
    *ret_index = 0;
    if (got < 0) {
        return -1;
    }
    addr_of_sockaddr((const struct sockaddr *) &from, ret_from);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *ret_index = (unsigned) info.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *ret_index = info.ipi6_ifindex;
        }
    }
    return got;
}

static bool hears(const beacon_t *b, unsigned index)
{
    bool found = !b->only_there || index == 0;
    for (size_t i = 0; !found && i < b->sender_count; i++) {
        found = b->senders[i].index == index;
    }
    return found;
}

/* The next datagram of either family: its size, or -1 when there is none. */
static ssize_t receive_any(const beacon_t *b, uint8_t *bytes, size_t room, struct addr *ret_from,
                           unsigned *ret_index)
{
    for (size_t i = 0; i < BEACON_FDS; i++) {
        ssize_t got = -1;
        do {
            got = b->fds[i] < 0 ? -1 : receive(b->fds[i], bytes, room, ret_from, ret_index);
        } while (got < 0 && b->fds[i] >= 0 && errno == EINTR);
        if (got >= 0) {
            return got;
        }
    }
    return -1;
}

unsigned beacon_taken_on(const beacon_t *beacon)
{
    return beacon->taken_on;
}

int beacon_take(beacon_t *beacon, struct addr *ret_from, struct node_id *ret_id)
{
    for (int i = 0; i < BEACON_TURN_MAX; i++) {
        uint8_t bytes[64]; /* more than any beacon: a longer datagram is none */
        struct addr from = {0};
        struct zre_beacon heard;
        unsigned index = 0;
        ssize_t got = receive_any(beacon, bytes, sizeof bytes, &from, &index);
        if (got < 0) {
            break;
        }
        if (!hears(beacon, index)) {
            continue;
        }
        int rc = zre_beacon_read(span_of(bytes, (size_t) got), &heard);
        if (rc == HM_EMALFORMED) {
            metric_add(beacon->conf.metrics, M_BEACONS_MALFORMED, 1);
        }
        if (rc != HM_OK || node_id_eq(&heard.uuid, &beacon->conf.id)) {
            continue;
        }
        metric_add(beacon->conf.metrics, M_BEACONS_RECEIVED, 1);
        if (heard.port != 0) {
            *ret_from = from;
            ret_from->port = heard.port;
            *ret_id = heard.uuid;
            beacon->taken_on = index;
            return HM_OK;
        }
    }
    return HM_ENOTFOUND;
}
