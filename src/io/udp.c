/* SPDX-License-Identifier: MPL-2.0 */
/* Datagram sockets: see udp.h.
 *
 * SO_REUSEADDR stays off: two processes on one port would steal each other's datagrams. With
 * IP_RECVERR the kernel queues ICMP errors with the destination quoted in them, and also hands
 * each as errno to whichever call comes next, which then has done nothing and is repeated once. */
#define _GNU_SOURCE
#include "io/udp.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/sockaddr.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/icmp6.h>
#include <linux/errqueue.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VIAS 256 /* peers whose way in is remembered; a newer one takes an older one's place */
#define CONTROL_BYTES 512

struct via {
    struct addr peer;  /* port 0 */
    struct addr local; /* port 0 */
    unsigned index;    /* of the interface it arrived on */
};

struct udp_socket {
    udp_t *udp;
    int fd;
    uint8_t family;
};

struct udp {
    reactor_t *reactor;
    struct udp_handler handler;
    struct udp_socket sockets[UDP_SOCKETS_MAX];
    size_t count;
    unsigned links[UDP_LINKS_MAX];
    size_t link_count;
    struct via last; /* of the datagram being handed up */
    struct via vias[VIAS];
    uint8_t bytes[HM_DATAGRAM_BYTES_MAX + 1]; /* a longer one shows as too long */
};

udp_t *udp_new(reactor_t *r, const struct udp_handler *handler)
{
    udp_t *u = calloc(1, sizeof *u);
    if (u != NULL) {
        u->reactor = r;
        u->handler = *handler;
    }
    return u;
}

void udp_unbind(udp_t *u)
{
    for (size_t i = 0; i < u->count; i++) {
        reactor_remove_fd(u->reactor, u->sockets[i].fd);
        close(u->sockets[i].fd);
    }
    u->count = 0;
}

void udp_destroy(udp_t **p)
{
    if (*p != NULL) {
        udp_unbind(*p);
        free(*p);
        *p = NULL;
    }
}

static struct via *via_of(udp_t *u, const struct addr *peer)
{
    uint32_t h = 2166136261u; /* FNV-1a: only spreads; a clash costs one remembered way */
    for (size_t i = 0; i < sizeof peer->ip; i++) {
        h = (h ^ peer->ip[i]) * 16777619u;
    }
    return &u->vias[h % VIAS];
}

void udp_answer_here(udp_t *u)
{
    if (!addr_is_none(&u->last.local)) {
        *via_of(u, &u->last.peer) = u->last;
    }
}

unsigned udp_came_on(const udp_t *u)
{
    return addr_is_none(&u->last.local) ? 0 : u->last.index;
}

void udp_set_links(udp_t *u, const unsigned *indexes, size_t count)
{
    u->link_count = count < UDP_LINKS_MAX ? count : UDP_LINKS_MAX;
    memcpy(u->links, indexes, u->link_count * sizeof indexes[0]);
}

/* The local address that a received datagram was sent to; none if the kernel did not say. */
static struct addr local_of(struct msghdr *m, unsigned *ret_index)
{
    struct addr a = {0};
    *ret_index = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            a.family = 4;
            memcpy(a.ip, &info.ipi_spec_dst, 4);
            *ret_index = (unsigned) info.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            a.family = 6;
            memcpy(a.ip, &info.ipi6_addr, 16);
            a.scope = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0;
            *ret_index = info.ipi6_ifindex;
        }
    }
    return a;
}

static bool is_port_unreachable(const struct sock_extended_err *e)
{
    return (e->ee_origin == SO_EE_ORIGIN_ICMP && e->ee_type == ICMP_DEST_UNREACH &&
            e->ee_code == ICMP_PORT_UNREACH) ||
           (e->ee_origin == SO_EE_ORIGIN_ICMP6 && e->ee_type == ICMP6_DST_UNREACH &&
            e->ee_code == ICMP6_DST_UNREACH_NOPORT);
}

/* Takes one entry of the error queue; false if it is empty. */
static bool read_error(struct udp_socket *s)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CONTROL_BYTES];
    } control;
    struct sockaddr_storage to;
    struct iovec iov = {.iov_base = s->udp->bytes, .iov_len = sizeof s->udp->bytes};
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = sizeof to,
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    if (recvmsg(s->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
        return false;
    }
    struct addr addr;
    if (m.msg_namelen == 0 || !addr_of_sockaddr((struct sockaddr *) &to, &addr)) {
        return true;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
            (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
            struct sock_extended_err e;
            memcpy(&e, CMSG_DATA(c), sizeof e);
            if (is_port_unreachable(&e)) {
                s->udp->handler.unreachable(s->udp->handler.ctx, &addr);
            }
        }
    }
    return true;
}

static bool read_one(void *ctx)
{
    struct udp_socket *s = ctx;
    udp_t *u = s->udp;
    union {
        struct cmsghdr align;
        uint8_t bytes[CONTROL_BYTES];
    } control;
    struct sockaddr_storage from;
    struct iovec iov = {.iov_base = u->bytes, .iov_len = sizeof u->bytes};
    struct msghdr m = {.msg_name = &from,
                       .msg_namelen = sizeof from,
                       .msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    ssize_t n = recvmsg(s->fd, &m, MSG_DONTWAIT);
    if (n < 0) {
        return read_error(s);
    }
    struct addr addr;
    if (addr_of_sockaddr((struct sockaddr *) &from, &addr)) {
        u->last.local = local_of(&m, &u->last.index);
        u->last.peer = addr;
        u->last.peer.port = 0;
        u->handler.datagram(u->handler.ctx, &addr, span_of(u->bytes, (size_t) n));
        u->last.local = (struct addr){0};
    }
    return true;
}

static int set_options(int fd, uint8_t family)
{
    int on = 1;
    if (family == 4) {
        return setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on) |
               setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    }
    return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) |
           setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on) |
           setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
}

int udp_bind(udp_t *u, const struct addr *at, uint16_t *ret_port)
{
    struct sockaddr_storage sa;
    socklen_t size = sockaddr_of_addr(at, &sa);
    if (u->count == UDP_SOCKETS_MAX) {
        return HM_EFULL;
    }
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return HM_EIO;
    }
    int rc = HM_EIO;
    if (set_options(fd, at->family) != 0) {
        goto fail;
    }
    if (bind(fd, (struct sockaddr *) &sa, size) != 0) {
        rc = bind_error(errno);
        goto fail;
    }
    struct addr bound;
    size = sizeof sa;
    if (getsockname(fd, (struct sockaddr *) &sa, &size) != 0 ||
        !addr_of_sockaddr((struct sockaddr *) &sa, &bound)) {
        goto fail;
    }
    struct udp_socket *s = &u->sockets[u->count];
    *s = (struct udp_socket){.udp = u, .fd = fd, .family = at->family};
    rc = reactor_add_fd(u->reactor, fd, REACTOR_READ, REACTOR_DATAGRAMS, read_one, s);
    if (rc != HM_OK) {
        goto fail;
    }
    u->count++;
    *ret_port = bound.port;
    return HM_OK;

fail:
    close(fd);
    return rc;
}

/* Names the address to send from, and the interface, in the message's control bytes. */
static void put_source(struct msghdr *m, const struct via *via)
{
    const struct addr *local = &via->local;
    struct cmsghdr *c = m->msg_control;
    if (local->family == 4) {
        struct in_pktinfo info = {.ipi_ifindex = (int) via->index};
        memcpy(&info.ipi_spec_dst, local->ip, 4);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m->msg_controllen = CMSG_SPACE(sizeof info);
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = via->index};
        memcpy(&info.ipi6_addr, local->ip, 16);
        c->cmsg_level = IPPROTO_IPV6;
        c->cmsg_type = IPV6_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(c), &info, sizeof info);
        m->msg_controllen = CMSG_SPACE(sizeof info);
    }
}

static int send_error(int errno_value)
{
    switch (errno_value) {
    case EAGAIN:
    case ENOBUFS:
        return HM_EFULL;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case EINVAL:
    case EACCES:
    case EPERM: /* a firewall's rule for what goes out */
        return HM_EUNREACHABLE;
    default:
        return HM_EIO;
    }
}

/* via: NULL for what the routes say. */
static int send_from(int fd, const struct addr *to, const struct via *via, struct span bytes)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
    memset(&control, 0, sizeof control);
    struct sockaddr_storage sa;
    struct iovec iov = {.iov_base = (void *) (uintptr_t) bytes.data, .iov_len = bytes.size};
    struct msghdr m = {.msg_name = &sa,
                       .msg_namelen = sockaddr_of_addr(to, &sa),
                       .msg_iov = &iov,
                       .msg_iovlen = 1};
    if (via != NULL) {
        m.msg_control = &control;
        put_source(&m, via);
    }
    ssize_t n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL); /* it was an older datagram's error */
    }
    return n < 0 ? send_error(errno) : HM_OK;
}

/* The record of a node says fe80::…, but not on which of our links that is: it is on one of them. */
static int send_on_links(udp_t *u, int fd, const struct addr *to, struct span bytes)
{
    int rc = HM_EUNREACHABLE;
    for (size_t i = 0; i < u->link_count; i++) {
        struct addr there = *to;
        there.scope = u->links[i];
        if (send_from(fd, &there, NULL, bytes) == HM_OK) {
            rc = HM_OK;
        }
    }
    return rc;
}

int udp_send(udp_t *u, const struct addr *to, struct span bytes)
{
    int fd = -1;
    for (size_t i = 0; i < u->count && fd < 0; i++) {
        fd = u->sockets[i].family == to->family ? u->sockets[i].fd : -1;
    }
    if (fd < 0) {
        return HM_EUNREACHABLE;
    }
    if (to->scope == 0 && addr_is_link_local(to)) {
        return send_on_links(u, fd, to, bytes);
    }
    /* In answer to the datagram at hand, whoever sent it: a firewall there lets in only what comes from where it
     * asked. */
    bool is_answer = u->last.local.family == to->family && addr_same_ip(&u->last.peer, to);
    if (is_answer && send_from(fd, to, &u->last, bytes) == HM_OK) {
        return HM_OK;
    }
    struct via *via = via_of(u, to);
    if (via->local.family == to->family && addr_same_ip(&via->peer, to)) {
        if (send_from(fd, to, via, bytes) == HM_OK) {
            return HM_OK;
        }
        *via = (struct via){0}; /* that address may be gone */
    }
    return send_from(fd, to, NULL, bytes);
}
