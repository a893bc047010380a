/* SPDX-License-Identifier: MPL-2.0 */
/* Links that we accepted: see links.h.
 *
 * ZAP names each connection "ID.SERIAL"; libzmq attaches that to every message as "User-Id", and
 * the descriptor as "__fd". The ROUTER's monitor tells of descriptors that end. The I/O thread
 * writes both in order, but to different pipes, so the monitor is emptied before each message is
 * read: then an end is always known before a message of a newer connection with the same
 * descriptor. What a dead connection left unread comes after its end and is dropped; should it find
 * its descriptor in newer hands, the newer serial wins. The ROUTER assigns the routing ids (dialers
 * set none, HANDOVER is off), so no peer can take over another's.
 *
 * A connection of the ROUTER can only be closed from outside by shutting its descriptor down. That
 * is done while the monitor says it is open and its peer's address is the one it had at its first
 * message. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/text.h"
#include "io/links_priv.h"
#include "io/monitor.h"
#include "io/multipart.h"
#include "io/sockaddr.h"
#include "wire/frame.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 32 /* connections that wait for accept: all neighbours at once after a restart */
#define ZAP_ENFORCE_DOMAIN 93  /* ZMQ_ZAP_ENFORCE_DOMAIN, which zmq.h hides as a draft */
#define EVENTS_PER_MESSAGE 256 /* monitor events taken before one message */
/* Packets of a link are no larger than our largest datagrams. Over a tunnel or a PPPoE line whose router
 * does not say that packets are too large, or is not heard saying it, links would come up, and stand still
 * with the first value that fills a packet. */
#define SEGMENT_BYTES_MAX                                                                          \
    (HM_DATAGRAM_BYTES_MAX + 8 - (int) sizeof(struct tcphdr)) /* UDP's header is 8 bytes */

struct accepted *accepted_of(links_t *l, const struct node_id *peer)
{
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        struct accepted *a = &l->accepted[i];
        if (a->fd >= 0 && a->up && node_id_eq(&a->peer, peer)) {
            return a;
        }
    }
    return NULL;
}

int accepted_send(links_t *l, const struct accepted *a, struct span bytes)
{
    struct span to = span_of(a->routing_id, ROUTING_ID_BYTES);
    reactor_touched(l->conf.reactor, l);
    return outq_send(a->out, l->router, &to, 1, bytes, HM_QUEUE_BYTES_MAX);
}

static struct addr peer_addr_of_fd(int fd)
{
    struct sockaddr_storage sa;
    socklen_t size = sizeof sa;
    struct addr a = {0};
    if (getpeername(fd, (struct sockaddr *) &sa, &size) == 0) {
        addr_of_sockaddr((struct sockaddr *) &sa, &a);
    }
    return a;
}

static struct accepted *accepted_by_fd(links_t *l, int fd)
{
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        if (l->accepted[i].fd == fd) {
            return &l->accepted[i];
        }
    }
    return NULL;
}

/* Makes libzmq close a connection; its DISCONNECTED event follows. */
static void shut_accepted(const struct accepted *a)
{
    struct addr now = peer_addr_of_fd(a->fd);
    if (!addr_is_none(&now) && addr_eq(&now, &a->from)) {
        shutdown(a->fd, SHUT_RDWR);
    }
}

/* Its DISCONNECTED event makes it be forgotten, and tells of its end. */
static void cut_accepted(links_t *l, const struct accepted *a)
{
    links_cut(l, a->serial != 0 ? &a->peer : NULL, &a->from);
    shut_accepted(a);
}

/* The connection ended, or another one of the same peer took its place. */
static void accepted_down(links_t *l, struct accepted *a)
{
    if (!a->up) {
        return;
    }
    struct node_id peer = a->peer;
    a->up = false;
    if (!links_is_up(l, &peer)) {
        links_tell_down(l, &peer);
    }
}

/* A place for a new connection: free, or of the oldest that has proven nothing yet. A member needs
 * a few round trips for that, so strangers who sit in the table keep no member out. */
static struct accepted *accepted_place(links_t *l)
{
    struct accepted *oldest = NULL;
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        struct accepted *a = &l->accepted[i];
        if (a->fd < 0) {
            return a;
        }
        if (a->serial == 0 && (oldest == NULL || a->number < oldest->number)) {
            oldest = a;
        }
    }
    if (oldest != NULL) {
        shut_accepted(oldest);
    }
    return oldest;
}

static void on_accepted(links_t *l, int fd)
{
    struct accepted *a = accepted_place(l);
    if (a == NULL || a->fd >= 0) {
        metric_add(l->conf.metrics, M_DROP_FULL, 1);
    }
    if (a == NULL) {
        shutdown(fd, SHUT_RDWR); /* as many members as there is room for */
        return;
    }
    outq_destroy(&a->out);
    *a = (struct accepted){.fd = fd, .number = ++l->accepts, .from = peer_addr_of_fd(fd)};
}

/* Both ways: what is accepted there tells the dialler this limit, and keeps it itself. */
static void limit_segments(int fd)
{
    int max = SEGMENT_BYTES_MAX;
    (void) setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &max, sizeof max);
}

static bool read_monitor(void *ctx)
{
    links_t *l = ctx;
    uint16_t event;
    uint32_t value;
    if (!monitor_take(l->monitor, &event, &value)) {
        return false;
    }
    int fd = (int) value;
    if (event == ZMQ_EVENT_LISTENING) {
        limit_segments(fd);
    } else if (event == ZMQ_EVENT_ACCEPTED) {
        on_accepted(l, fd);
    } else if (event == ZMQ_EVENT_DISCONNECTED) {
        struct accepted *a = fd >= 0 ? accepted_by_fd(l, fd) : NULL;
        if (a != NULL) {
            accepted_down(l, a);
            outq_destroy(&a->out);
            *a = (struct accepted){.fd = -1};
        }
    }
    return true;
}

/* The connection that a message came on, bound to its peer by its first; NULL if it is gone. */
static struct accepted *accepted_of_message(links_t *l, zmq_msg_t *msg, const uint8_t *routing_id)
{
    struct node_id peer;
    uint64_t serial;
    int fd = zmq_msg_get(msg, ZMQ_SRCFD);
    struct accepted *a = fd >= 0 ? accepted_by_fd(l, fd) : NULL;
    if (a == NULL || zap_user_id_read(zmq_msg_gets(msg, "User-Id"), &peer, &serial) != HM_OK ||
        serial < a->serial) {
        return NULL;
    }
    if (a->out == NULL && (a->out = outq_new()) == NULL) {
        return NULL; /* out of memory: as if it had not come */
    }
    if (serial > a->serial) {
        accepted_down(l, a); /* what had bound it was a dead connection's last words */
        a->serial = serial;
        a->peer = peer;
        a->from = peer_addr_of_fd(fd);
        memcpy(a->routing_id, routing_id, ROUTING_ID_BYTES);
    }
    return a;
}

static void accepted_hello(links_t *l, struct accepted *a)
{
    if (a->up || accepted_send(l, a, links_frame(l, FRAME_HELLO, span_of(NULL, 0))) != HM_OK) {
        return;
    }
    struct accepted *old = accepted_of(l, &a->peer);
    bool was_up = links_is_up(l, &a->peer);
    a->up = true;
    if (old != NULL) {
        old->up = false; /* the newest wins; for the core the link goes on */
        shut_accepted(old);
    }
    if (!was_up) {
        links_tell_up(l, &a->peer);
    }
}

static bool read_router(void *ctx)
{
    links_t *l = ctx;
    uint8_t routing_id[ROUTING_ID_BYTES];
    for (unsigned i = 0; i < EVENTS_PER_MESSAGE && read_monitor(l); i++) {
    }
    int n = zmq_recv(l->router, routing_id, sizeof routing_id, ZMQ_DONTWAIT);
    if (n < 0) {
        return false;
    }
    zmq_msg_t msg;
    zmq_msg_init(&msg);
    /* A peer that chose its own routing id is not one of ours: members set none. */
    if (zmq_msg_recv(&msg, l->router, ZMQ_DONTWAIT) < 0 || n != ROUTING_ID_BYTES) {
        multipart_skip(l->router);
        zmq_msg_close(&msg);
        return true;
    }
    size_t more = multipart_skip(l->router);
    struct accepted *a = accepted_of_message(l, &msg, routing_id);
    if (a != NULL && more >= HM_LINK_PARTS_MAX) {
        cut_accepted(l, a);
    } else if (a != NULL) {
        a->flow.is_read = true;
        if (links_take(l, &a->peer, &msg, a->up)) {
            accepted_hello(l, a);
        }
    }
    zmq_msg_close(&msg);
    return true;
}

void accepted_check(links_t *l)
{
    while (read_monitor(l)) {
    }
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        struct accepted *a = &l->accepted[i];
        if (a->fd >= 0 && flow_is_endless(&a->flow, a->fd)) {
            cut_accepted(l, a);
            a->flow.received = UINT64_MAX / 2; /* once */
        }
    }
}

void accepted_hangup(links_t *l, const struct node_id *peer)
{
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        struct accepted *a = &l->accepted[i];
        if (a->fd >= 0 && a->serial != 0 && node_id_eq(&a->peer, peer)) {
            a->up = false;
            shut_accepted(a);
        }
    }
}

int accepted_open(links_t *l)
{
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        l->accepted[i].fd = -1;
    }
    l->router = zmq_socket(l->conf.zmq_ctx, ZMQ_ROUTER);
    if (l->router == NULL) {
        return HM_ENOMEM;
    }
    links_set_up(l, l->router);
    links_set_int(l->router, ZMQ_CURVE_SERVER, 1);
    links_set_int(l->router, ZMQ_ROUTER_MANDATORY, 1);
    links_set_int(l->router, ZMQ_BACKLOG, BACKLOG);
    HM_ASSERT(zmq_setsockopt(l->router, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) == 0);
    /* A draft option that 4.3.4 takes; without it all is well too: our handler stands already. */
    int on = 1;
    (void) zmq_setsockopt(l->router, ZAP_ENFORCE_DOMAIN, &on, sizeof on);
    l->monitor = links_monitor(l, l->router, ZMQ_EVENT_LISTENING | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED);
    if (l->monitor == NULL) {
        return HM_ENOMEM;
    }
    reactor_t *r = l->conf.reactor;
    if (reactor_add_socket(r, l->monitor, REACTOR_LINKS, read_monitor, l) != HM_OK ||
        reactor_add_socket(r, l->router, REACTOR_LINKS, read_router, l) != HM_OK) {
        return HM_ENOMEM;
    }
    return HM_OK;
}

void accepted_close(links_t *l)
{
    links_unmonitor(l, &l->monitor, l->router);
    if (l->router != NULL) {
        links_set_int(l->router, ZMQ_LINGER, l->linger_ms);
    }
    links_close_socket(l, &l->router);
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        outq_destroy(&l->accepted[i].out);
    }
}

int links_bind(links_t *l, const struct addr *at, uint16_t *ret_port)
{
    char endpoint[ADDR_TEXT_BYTES + 32];
    struct addr here = *at;
    here.family = at->family == 0 ? 6 : at->family; /* libzmq's [::] takes IPv4 as well */
    links_set_int(l->router, ZMQ_IPV6, here.family == 6);
    links_endpoint(&here, endpoint, sizeof endpoint);
    if (at->port == 0) {
        text_copy(strrchr(endpoint, ':'), sizeof ":*", ":*");
    }
    if (zmq_bind(l->router, endpoint) != 0) {
        int rc = bind_error(errno);
        if (at->family != 0 || rc == HM_EBUSY) {
            return rc;
        }
        here.family = 4; /* a kernel without IPv6 */
        return links_bind(l, &here, ret_port);
    }
    while (read_monitor(l)) { /* it listens: before somebody comes in */
    }
    size_t size = sizeof endpoint;
    if (zmq_getsockopt(l->router, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0) {
        return HM_EIO;
    }
    const char *colon = strrchr(endpoint, ':');
    uint64_t port;
    if (colon == NULL || text_to_u64(colon + 1, UINT16_MAX, &port) != HM_OK) {
        return HM_EIO;
    }
    *ret_port = (uint16_t) port;
    return HM_OK;
}
