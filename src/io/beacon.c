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
    struct node_id id;
    uint16_t port;
    struct metrics *metrics;
    int fd; /* to hear on; -1: deaf */
    bool is_bound;
    char problem[192];
    struct sender senders[NETIF_MAX];
    size_t sender_count;
};

static int udp_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* The shared port. REUSEADDR lets several users share it, REUSEPORT is what Zyre sets: both, so
 * that either kind of neighbour lets us in. */
static int open_hearing(void)
{
    int one = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(ZRE_BEACON_PORT)};
    int fd = udp_socket();
    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) != 0 ||
        bind(fd, (const struct sockaddr *) &any, sizeof any) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

int beacon_new(const struct node_id *id, uint16_t port, struct metrics *metrics,
               beacon_t **ret_beacon)
{
    beacon_t *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return HM_ENOMEM;
    }
    b->id = *id;
    b->port = port;
    b->metrics = metrics;
    b->fd = open_hearing();
    if (b->fd < 0) {
        snprintf(b->problem, sizeof b->problem,
                 "cannot hear beacons on UDP port %d (%s): nodes are found only if they hear ours "
                 "or by --join",
                 ZRE_BEACON_PORT, strerror(errno));
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
    struct zre_beacon beacon = {b->id, port};
    uint8_t bytes[ZRE_BEACON_BYTES];
    zre_beacon_write(&beacon, bytes);
    for (size_t i = 0; i < b->sender_count; i++) {
        const struct sender *s = &b->senders[i];
        ssize_t sent = sendto(s->fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL,
                              (const struct sockaddr *) &s->to, s->to_bytes);
        /* A network that is down or full today is no error: the next beacon comes anyway. */
        metric_add(b->metrics, M_BEACONS_SENT, sent == (ssize_t) sizeof bytes);
    }
}

void beacon_send(beacon_t *beacon)
{
    send_port(beacon, beacon->port);
}

void beacon_destroy(beacon_t **p)
{
    beacon_t *b = *p;
    if (b == NULL) {
        return;
    }
    send_port(b, 0);
    close_senders(b);
    if (b->fd >= 0) {
        close(b->fd);
    }
    free(b);
    *p = NULL;
}

const char *beacon_problem(const beacon_t *beacon)
{
    return beacon->problem[0] == '\0' ? NULL : beacon->problem;
}

/* A socket bound to the interface's address, so that receivers see it as the source. */
static bool open_sender(const struct netif *n, struct sender *ret)
{
    int one = 1;
    struct sockaddr_storage from;
    socklen_t from_bytes = sockaddr_of_addr(&n->addr, &from);
    struct addr to = n->broadcast;
    struct sender s = {.fd = udp_socket(), .index = n->index};
    if (s.fd < 0) {
        return false;
    }
    to.port = ZRE_BEACON_PORT;
    s.to_bytes = sockaddr_of_addr(&to, &s.to);
    if (setsockopt(s.fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof one) != 0 ||
        bind(s.fd, (const struct sockaddr *) &from, from_bytes) != 0) {
        close(s.fd);
        return false;
    }
    *ret = s;
    return true;
}

void beacon_set_interfaces(beacon_t *beacon, const struct netif_list *list, bool is_bound)
{
    close_senders(beacon);
    beacon->is_bound = is_bound;
    for (size_t i = 0; i < list->count; i++) {
        const struct netif *n = &list->items[i];
        if (n->addr.family == 4 && n->broadcast.family == 4 &&
            open_sender(n, &beacon->senders[beacon->sender_count])) {
            beacon->sender_count++;
        }
    }
}

int beacon_fd(const beacon_t *beacon)
{
    return beacon->fd;
}

/* Receives one datagram; returns its size or -1, and the interface it came in on (0: not told). */
static ssize_t receive(int fd, uint8_t *bytes, size_t room, struct sockaddr_in *from,
                       unsigned *ret_index)
{
    struct iovec iov = {bytes, room};
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    } control;
    struct msghdr msg = {.msg_name = from,
                         .msg_namelen = sizeof *from,
                         .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &msg, MSG_DONTWAIT);
    *ret_index = 0;
    if (got < 0) {
        return -1;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            *ret_index = (unsigned) info.ipi_ifindex;
        }
    }
    return got;
}

static bool hears(const beacon_t *b, unsigned index)
{
    bool found = !b->is_bound || index == 0;
    for (size_t i = 0; !found && i < b->sender_count; i++) {
        found = b->senders[i].index == index;
    }
    return found;
}

int beacon_take(beacon_t *beacon, struct addr *ret_from, struct node_id *ret_id)
{
    for (int i = 0; beacon->fd >= 0 && i < BEACON_TURN_MAX; i++) {
        uint8_t bytes[64]; /* more than any beacon: a longer datagram is none */
        struct sockaddr_in from = {0};
        struct zre_beacon heard;
        unsigned index;
        ssize_t got = receive(beacon->fd, bytes, sizeof bytes, &from, &index);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            break;
        }
        if (!hears(beacon, index)) {
            continue;
        }
        int rc = zre_beacon_read(span_of(bytes, (size_t) got), &heard);
        if (rc == HM_EMALFORMED) {
            metric_add(beacon->metrics, M_BEACONS_MALFORMED, 1);
        }
        if (rc != HM_OK || node_id_eq(&heard.uuid, &beacon->id)) {
            continue;
        }
        metric_add(beacon->metrics, M_BEACONS_RECEIVED, 1);
        if (heard.port != 0) {
            addr_of_sockaddr((const struct sockaddr *) &from, ret_from);
            ret_from->port = heard.port;
            *ret_id = heard.uuid;
            return HM_OK;
        }
    }
    return HM_ENOTFOUND;
}
