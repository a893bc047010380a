/* SPDX-License-Identifier: MPL-2.0 */
/* Links: see links.h. Everything below was tried with libzmq 4.3.4.
 *
 * Accepted links. ZAP names each connection "ID.SERIAL"; libzmq attaches that to every message as
 * "User-Id", and the descriptor as "__fd". The ROUTER's monitor tells of descriptors that end. The
 * I/O thread writes both in order, but to different pipes, so the monitor is emptied before each
 * message is read: then an end is always known before a message of a newer connection with the
 * same descriptor. What a dead connection left unread comes after its end and is dropped; should
 * it find its descriptor in newer hands, the newer serial wins. The ROUTER assigns the routing ids
 * (dialers set none, HANDOVER is off), so no peer can take over another's.
 *
 * A connection of the ROUTER can only be closed from outside by shutting its descriptor down. That
 * is done while the monitor says it is open and its peer's address is the one it had at its first
 * message.
 *
 * Dialled links. One DEALER each, never re-used: a socket refused by ZAP does not try again, and
 * RECONNECT_IVL is off because dialling anew is the core's decision. It is closed from the loop's
 * next turn, never from within its own reader.
 *
 * A member that has turned can send a message without end, of which libzmq shows us nothing (flow.h).
 * Such a link is cut when the loop comes round, within a second; what was sent until then was kept. */
#define _GNU_SOURCE
#include "io/links.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/flow.h"
#include "io/sockaddr.h"
#include "io/zap.h"
#include "wire/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define QUEUE_FRAMES_MAX 64 /* of one link; more means that the peer does not keep up */
#define BACKLOG 32 /* connections that wait for accept: all neighbours at once after a restart */
#define CONNECT_MS 2000 /* a LAN answers in 1 ms, a bad path in 500; then the core dials anew */
#define HANDSHAKE_MS 3000
#define UNACKED_MS 6000 /* what the peer's machine does not acknowledge for so long is lost: the way
                           there is gone, and another may be open. The kernel alone tries for 15 min */
#define UP_NS (5 * NS_PER_S)            /* from dialling to the peer's HELLO */
#define ROUTING_ID_BYTES 5              /* what a ROUTER makes for a peer without one */
#define ACCEPTED_MAX (2 * HM_LINKS_MAX) /* room for links that are being replaced */
#define ZAP_ENFORCE_DOMAIN 93           /* ZMQ_ZAP_ENFORCE_DOMAIN, which zmq.h hides as a draft */
#define CHECK_NS (100 * NS_PER_MS)      /* between two looks for messages without end */
#define EVENTS_PER_MESSAGE 256          /* monitor events taken before one message */

/* One accepted connection, from its ACCEPTED to its DISCONNECTED event. */
struct accepted {
    int fd;          /* -1: free */
    uint64_t number; /* rises with each */
    uint64_t serial; /* of its ZAP answer; 0 until its first message */
    struct node_id peer;
    uint8_t routing_id[ROUTING_ID_BYTES];
    struct addr from; /* its TCP peer, to know it again before it is shut down */
    struct flow flow;
    bool up;
};

struct dialled {
    links_t *links; /* NULL: free */
    struct node_id peer;
    void *socket;
    void *monitor;
    int fd; /* libzmq's, to ask about only; -1: not connected */
    struct flow flow;
    bool up;
    bool ended;                 /* closed at the next turn */
    bool mute;                  /* hung up: no `down` */
    struct reactor_timer timer; /* until up: gives up; once ended: closes */
};

struct links {
    struct links_conf conf;
    void *router;
    void *monitor;
    zap_t *zap;
    struct accepted accepted[ACCEPTED_MAX];
    struct dialled dialled[HM_LINKS_MAX];
    uint64_t monitors; /* names them */
    uint64_t accepts;
    uint64_t checked_ns;
    int linger_ms; /* while being destroyed */
    struct buf out;
};

/* ---- small things about ZeroMQ ---- */

static void set_int(void *socket, int option, int value)
{
    HM_ASSERT(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

static void close_socket(links_t *l, void **socket)
{
    if (*socket != NULL) {
        reactor_remove_socket(l->conf.reactor, *socket);
        zmq_close(*socket);
        *socket = NULL;
    }
}

static void set_common(void *socket)
{
    int64_t bytes_max = HM_FRAME_BYTES_MAX + 128; /* our head and CURVE's around the body */
    set_int(socket, ZMQ_LINGER, 0);
    set_int(socket, ZMQ_SNDTIMEO, 0);
    set_int(socket, ZMQ_RCVTIMEO, 0);
    set_int(socket, ZMQ_SNDHWM, QUEUE_FRAMES_MAX);
    set_int(socket, ZMQ_RCVHWM, QUEUE_FRAMES_MAX);
    set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_int(socket, ZMQ_TCP_MAXRT, UNACKED_MS);
    HM_ASSERT(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max) == 0);
}

static void set_curve(const links_t *l, void *socket)
{
    HM_ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, l->conf.curve_secret, LINKS_KEY_BYTES) ==
              0);
    HM_ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, l->conf.curve_public, LINKS_KEY_BYTES) ==
              0);
}

/* A monitor that is read on the loop (zmonitor would be a thread per link). NULL: no sockets left.
 * Libzmq's I/O thread writes events with a blocking send, so its pipe must never be full and never
 * lose its reader: no high-water mark (what piles up is bounded by how long the loop can stall),
 * and monitor_stop before the reader is closed, without MONITOR_STOPPED among the events. */
static void *monitor_new(links_t *l, void *socket, int events)
{
    char name[64];
    snprintf(name, sizeof name, "inproc://homemesh.links.%p.%llu", (void *) l,
             (unsigned long long) ++l->monitors);
    if (zmq_socket_monitor(socket, name, events) != 0) {
        return NULL;
    }
    void *monitor = zmq_socket(l->conf.zmq_ctx, ZMQ_PAIR);
    if (monitor == NULL) {
        zmq_socket_monitor(socket, NULL, 0);
        return NULL;
    }
    set_int(monitor, ZMQ_LINGER, 0);
    set_int(monitor, ZMQ_RCVHWM, 0);
    if (zmq_connect(monitor, name) != 0) {
        zmq_socket_monitor(socket, NULL, 0);
        zmq_close(monitor);
        return NULL;
    }
    return monitor;
}

static void monitor_stop(links_t *l, void *socket, void **monitor)
{
    if (*monitor != NULL) {
        zmq_socket_monitor(socket, NULL, 0);
        close_socket(l, monitor);
    }
}

/* Takes one event: its number and value. False if there is none. */
static bool monitor_take(void *monitor, uint16_t *ret_event, uint32_t *ret_value)
{
    uint8_t head[6];
    int n = zmq_recv(monitor, head, sizeof head, ZMQ_DONTWAIT);
    if (n < 0) {
        return false;
    }
    HM_ASSERT(n == sizeof head); /* libzmq's own, in our process */
    memcpy(ret_event, head, 2);
    memcpy(ret_value, head + 2, 4);
    zmq_recv(monitor, head, 0, ZMQ_DONTWAIT); /* the endpoint, not wanted */
    return true;
}

static int endpoint_of(const struct addr *a, char *text, size_t max)
{
    char addr[ADDR_TEXT_BYTES];
    if (a->family == 6 && a->scope != 0) {
        char ip[ADDR_TEXT_BYTES];
        addr_format_ip(a, ip);
        ip[strcspn(ip, "%")] = '\0';
        return snprintf(text, max, "tcp://[%s%%%u]:%u", ip, (unsigned) a->scope, a->port);
    }
    return snprintf(text, max, "tcp://%s", addr_format(a, addr));
}

/* ---- who has a link ---- */

static struct dialled *dialled_of(links_t *l, const struct node_id *peer)
{
    for (size_t i = 0; i < HM_LINKS_MAX; i++) {
        struct dialled *d = &l->dialled[i];
        if (d->links != NULL && !d->ended && node_id_eq(&d->peer, peer)) {
            return d;
        }
    }
    return NULL;
}

static struct accepted *accepted_of(links_t *l, const struct node_id *peer)
{
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        struct accepted *a = &l->accepted[i];
        if (a->fd >= 0 && a->up && node_id_eq(&a->peer, peer)) {
            return a;
        }
    }
    return NULL;
}

static bool is_up(links_t *l, const struct node_id *peer)
{
    struct dialled *d = dialled_of(l, peer);
    return (d != NULL && d->up) || accepted_of(l, peer) != NULL;
}

unsigned links_count(const links_t *l)
{
    unsigned n = 0;
    for (size_t i = 0; i < HM_LINKS_MAX; i++) {
        n += l->dialled[i].links != NULL && l->dialled[i].up && !l->dialled[i].ended;
    }
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        const struct accepted *a = &l->accepted[i];
        if (a->fd >= 0 && a->up) {
            struct dialled *d = dialled_of((links_t *) (uintptr_t) l, &a->peer);
            n += d == NULL || !d->up; /* both ways are one link */
        }
    }
    return n;
}

static void tell_up(links_t *l, const struct node_id *peer)
{
    struct node_id id = *peer; /* the handler may change the tables */
    l->conf.handler.up(l->conf.handler.ctx, &id);
}

static void tell_down(links_t *l, const struct node_id *peer)
{
    struct node_id id = *peer;
    l->conf.handler.down(l->conf.handler.ctx, &id);
}

/* ---- frames ---- */

static int send_part(void *socket, const void *data, size_t size, int flags)
{
    if (zmq_send(socket, data, size, flags | ZMQ_DONTWAIT) >= 0) {
        return HM_OK;
    }
    return errno == EAGAIN ? HM_EFULL : HM_EUNREACHABLE;
}

static int send_dialled(struct dialled *d, struct span bytes)
{
    return send_part(d->socket, bytes.data, bytes.size, 0);
}

static int send_accepted(links_t *l, const struct accepted *a, struct span bytes)
{
    int rc = send_part(l->router, a->routing_id, ROUTING_ID_BYTES, ZMQ_SNDMORE);
    return rc == HM_OK ? send_part(l->router, bytes.data, bytes.size, 0) : rc;
}

static struct span make_frame(links_t *l, uint8_t type, struct span body)
{
    buf_clear(&l->out);
    frame_head_write(&l->out, type, body.size);
    buf_append(&l->out, body.data, body.size);
    return buf_span(&l->out);
}

int links_send(links_t *l, const struct node_id *peer, uint8_t type, struct span body)
{
    struct span frame = make_frame(l, type, body);
    if (buf_failed(&l->out)) {
        metric_add(l->conf.metrics, M_FRAMES_REFUSED, 1);
        return HM_EFULL;
    }
    struct dialled *d = dialled_of(l, peer);
    struct accepted *a = accepted_of(l, peer);
    int rc = HM_EUNREACHABLE;
    if (d != NULL && d->up) {
        rc = send_dialled(d, frame);
    } else if (a != NULL) {
        rc = send_accepted(l, a, frame);
    }
    metric_add(l->conf.metrics, rc == HM_OK ? M_FRAMES_SENT : M_FRAMES_REFUSED, 1);
    return rc;
}

/* A received message on a link of this peer, HELLO aside. */
static void take_frame(links_t *l, const struct node_id *peer, uint8_t type, struct span body)
{
    metric_add(l->conf.metrics, M_FRAMES_RECEIVED, 1);
    l->conf.handler.frame(l->conf.handler.ctx, peer, type, body);
}

/* Reads and throws away the rest of a message of more parts than ours have; how many there were. */
static size_t skip_parts(void *socket)
{
    int more = 1;
    size_t size = sizeof more;
    size_t count = 0;
    uint8_t none;
    while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more != 0 &&
           zmq_recv(socket, &none, 0, ZMQ_DONTWAIT) >= 0) {
        count++;
    }
    return count;
}

/* ---- dialled links ---- */

static void free_dialled(struct dialled *d)
{
    links_t *l = d->links;
    reactor_timer_disarm(l->conf.reactor, &d->timer);
    monitor_stop(l, d->socket, &d->monitor);
    if (d->socket != NULL) {
        set_int(d->socket, ZMQ_LINGER, l->linger_ms);
    }
    close_socket(l, &d->socket);
    d->links = NULL;
}

/* From now on it has no part in anything; closed, and told of, at the next turn. */
static void end_dialled(struct dialled *d, bool mute)
{
    d->ended = true;
    d->mute = mute;
    /* Cannot fail: the timer was armed when the link was dialled, so the heap has room. */
    (void) reactor_timer_arm(d->links->conf.reactor, &d->timer, 0);
}

static void dialled_fire(void *ctx)
{
    struct dialled *d = ctx;
    links_t *l = d->links;
    if (!d->ended && d->up) {
        return;
    }
    struct node_id peer = d->peer;
    bool mute = d->mute;
    free_dialled(d);
    /* The core asked for this link and waits for either answer, unless there is another still. */
    if (!mute && !is_up(l, &peer)) {
        tell_down(l, &peer);
    }
}

static bool read_dialled_monitor(void *ctx)
{
    struct dialled *d = ctx;
    uint16_t event;
    uint32_t value;
    if (d->ended || !monitor_take(d->monitor, &event, &value)) {
        return false;
    }
    if (event == ZMQ_EVENT_CONNECTED) {
        d->fd = (int) value;
    } else {
        end_dialled(d, false); /* only ends are asked for besides */
    }
    return true;
}

static void cut_dialled(struct dialled *d)
{
    links_t *l = d->links;
    struct addr none = {0};
    metric_add(l->conf.metrics, M_LINKS_CUT, 1);
    l->conf.handler.cut(l->conf.handler.ctx, &d->peer, &none);
    end_dialled(d, false);
}

static void dialled_hello(struct dialled *d)
{
    links_t *l = d->links;
    if (d->up) {
        return;
    }
    bool was_up = is_up(l, &d->peer);
    d->up = true;
    reactor_timer_disarm(l->conf.reactor, &d->timer);
    if (!was_up) {
        tell_up(l, &d->peer);
    }
}

static bool read_dialled(void *ctx)
{
    struct dialled *d = ctx;
    zmq_msg_t msg;
    zmq_msg_init(&msg);
    if (d->ended || zmq_msg_recv(&msg, d->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&msg);
        return false;
    }
    links_t *l = d->links;
    struct node_id peer = d->peer;
    if (skip_parts(d->socket) >= HM_LINK_PARTS_MAX) {
        cut_dialled(d);
        zmq_msg_close(&msg);
        return true;
    }
    flow_read(&d->flow, d->fd);
    uint8_t type;
    struct span body;
    int rc = frame_head_read(span_of(zmq_msg_data(&msg), zmq_msg_size(&msg)), &type, &body);
    if (rc != HM_OK) {
        l->conf.handler.bad_frame(l->conf.handler.ctx, &peer, rc);
    } else if (type == FRAME_HELLO) {
        dialled_hello(d);
    } else if (d->up) {
        take_frame(l, &peer, type, body);
    }
    zmq_msg_close(&msg);
    return true;
}

static int open_dialled(struct dialled *d, const uint8_t key[LINKS_KEY_BYTES],
                        const struct addr *to)
{
    links_t *l = d->links;
    d->socket = zmq_socket(l->conf.zmq_ctx, ZMQ_DEALER);
    if (d->socket == NULL) {
        return HM_ENOMEM;
    }
    set_common(d->socket);
    set_curve(l, d->socket);
    set_int(d->socket, ZMQ_RECONNECT_IVL, -1);
    set_int(d->socket, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
    set_int(d->socket, ZMQ_IPV6, to->family == 6);
    if (zmq_setsockopt(d->socket, ZMQ_CURVE_SERVERKEY, key, LINKS_KEY_BYTES) != 0) {
        return HM_EINVAL;
    }
    d->monitor = monitor_new(
        l, d->socket,
        ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
            ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
            ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    if (d->monitor == NULL) {
        return HM_ENOMEM;
    }
    char endpoint[ADDR_TEXT_BYTES + 8];
    endpoint_of(to, endpoint, sizeof endpoint);
    if (reactor_add_socket(l->conf.reactor, d->monitor, REACTOR_LINKS, read_dialled_monitor, d) !=
            0 ||
        reactor_add_socket(l->conf.reactor, d->socket, REACTOR_LINKS, read_dialled, d) != 0) {
        return HM_ENOMEM;
    }
    if (zmq_connect(d->socket, endpoint) != 0) {
        return HM_EUNREACHABLE;
    }
    /* Not IMMEDIATE: HELLO waits in the pipe and goes out with the end of the handshake. */
    return send_dialled(d, make_frame(l, FRAME_HELLO, span_of(NULL, 0)));
}

int links_dial(links_t *l, const struct node_id *peer, const struct addr *to)
{
    const uint8_t *key = zap_key_of(l->zap, peer);
    if (key == NULL || addr_is_none(to)) {
        return HM_ENOTFOUND;
    }
    struct dialled *old = dialled_of(l, peer);
    if (old != NULL) {
        end_dialled(old, true);
    }
    struct dialled *d = NULL;
    for (size_t i = 0; i < HM_LINKS_MAX && d == NULL; i++) {
        d = l->dialled[i].links == NULL ? &l->dialled[i] : NULL;
    }
    if (d == NULL) {
        return HM_EFULL;
    }
    *d = (struct dialled){
        .links = l, .peer = *peer, .fd = -1, .timer = {.fire = dialled_fire, .ctx = d}};
    int rc = reactor_timer_arm(l->conf.reactor, &d->timer, clock_boot_ns() + UP_NS);
    if (rc == HM_OK) {
        rc = open_dialled(d, key, to);
    }
    if (rc != HM_OK) {
        free_dialled(d);
    }
    return rc;
}

/* ---- accepted links ---- */

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
    metric_add(l->conf.metrics, M_LINKS_CUT, 1);
    l->conf.handler.cut(l->conf.handler.ctx, a->serial != 0 ? &a->peer : NULL, &a->from);
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
    if (!is_up(l, &peer)) {
        tell_down(l, &peer);
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
    *a = (struct accepted){.fd = fd, .number = ++l->accepts, .from = peer_addr_of_fd(fd)};
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
    if (event == ZMQ_EVENT_ACCEPTED) {
        on_accepted(l, fd);
    } else if (event == ZMQ_EVENT_DISCONNECTED) {
        struct accepted *a = fd >= 0 ? accepted_by_fd(l, fd) : NULL;
        if (a != NULL) {
            accepted_down(l, a);
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
    if (a->up || send_accepted(l, a, make_frame(l, FRAME_HELLO, span_of(NULL, 0))) != HM_OK) {
        return;
    }
    struct accepted *old = accepted_of(l, &a->peer);
    bool was_up = is_up(l, &a->peer);
    a->up = true;
    if (old != NULL) {
        old->up = false; /* the newest wins; for the core the link goes on */
        shut_accepted(old);
    }
    if (!was_up) {
        tell_up(l, &a->peer);
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
        skip_parts(l->router);
        zmq_msg_close(&msg);
        return true;
    }
    size_t more = skip_parts(l->router);
    struct accepted *a = accepted_of_message(l, &msg, routing_id);
    if (a != NULL && more >= HM_LINK_PARTS_MAX) {
        cut_accepted(l, a);
    } else if (a != NULL) {
        struct node_id peer = a->peer;
        flow_read(&a->flow, a->fd);
        uint8_t type;
        struct span body;
        int rc = frame_head_read(span_of(zmq_msg_data(&msg), zmq_msg_size(&msg)), &type, &body);
        if (rc != HM_OK) {
            l->conf.handler.bad_frame(l->conf.handler.ctx, &peer, rc);
        } else if (type == FRAME_HELLO) {
            accepted_hello(l, a);
        } else if (a->up) {
            take_frame(l, &peer, type, body);
        }
    }
    zmq_msg_close(&msg);
    return true;
}

void links_check(links_t *l, uint64_t now_ns)
{
    if (now_ns - l->checked_ns < CHECK_NS) {
        return;
    }
    l->checked_ns = now_ns;
    for (size_t i = 0; i < HM_LINKS_MAX; i++) {
        struct dialled *d = &l->dialled[i];
        while (d->links != NULL && read_dialled_monitor(d)) {
        }
        if (d->links != NULL && !d->ended && flow_is_endless(&d->flow, d->fd)) {
            cut_dialled(d);
        }
    }
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

int links_admit(links_t *l, const struct node_id *peer, const uint8_t key[LINKS_KEY_BYTES])
{
    return zap_admit(l->zap, peer, key);
}

void links_hangup(links_t *l, const struct node_id *peer)
{
    struct dialled *d = dialled_of(l, peer);
    if (d != NULL) {
        end_dialled(d, true);
    }
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        struct accepted *a = &l->accepted[i];
        if (a->fd >= 0 && a->serial != 0 && node_id_eq(&a->peer, peer)) {
            a->up = false;
            shut_accepted(a);
        }
    }
}

/* ---- the whole ---- */

static int open_sockets(links_t *l)
{
    l->zap = zap_new(l->conf.zmq_ctx, l->conf.reactor, l->conf.metrics);
    l->router = zmq_socket(l->conf.zmq_ctx, ZMQ_ROUTER);
    if (l->zap == NULL || l->router == NULL) {
        return HM_ENOMEM;
    }
    set_common(l->router);
    set_curve(l, l->router);
    set_int(l->router, ZMQ_CURVE_SERVER, 1);
    set_int(l->router, ZMQ_ROUTER_MANDATORY, 1);
    set_int(l->router, ZMQ_BACKLOG, BACKLOG);
    HM_ASSERT(zmq_setsockopt(l->router, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) == 0);
    /* A draft option that 4.3.4 takes; without it all is well too, as our handler stands already.
     */
    int on = 1;
    (void) zmq_setsockopt(l->router, ZAP_ENFORCE_DOMAIN, &on, sizeof on);
    l->monitor = monitor_new(l, l->router, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED);
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

links_t *links_new(const struct links_conf *conf)
{
    links_t *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return NULL;
    }
    l->conf = *conf;
    buf_init(&l->out, HM_FRAME_BYTES_MAX + FRAME_HEAD_BYTES);
    for (size_t i = 0; i < ACCEPTED_MAX; i++) {
        l->accepted[i].fd = -1;
    }
    if (open_sockets(l) != HM_OK) {
        links_destroy(&l, 0);
    }
    return l;
}

void links_destroy(links_t **p, int linger_ms)
{
    links_t *l = *p;
    if (l == NULL) {
        return;
    }
    l->linger_ms = linger_ms;
    for (size_t i = 0; i < HM_LINKS_MAX; i++) {
        if (l->dialled[i].links != NULL) {
            free_dialled(&l->dialled[i]);
        }
    }
    monitor_stop(l, l->router, &l->monitor);
    if (l->router != NULL) {
        set_int(l->router, ZMQ_LINGER, linger_ms);
    }
    close_socket(l, &l->router);
    zap_destroy(&l->zap);
    buf_fini(&l->out);
    free(l);
    *p = NULL;
}

int links_bind(links_t *l, const struct addr *at, uint16_t *ret_port)
{
    char endpoint[ADDR_TEXT_BYTES + 32];
    struct addr here = *at;
    here.family = at->family == 0 ? 6 : at->family; /* libzmq's [::] takes IPv4 as well */
    set_int(l->router, ZMQ_IPV6, here.family == 6);
    endpoint_of(&here, endpoint, sizeof endpoint);
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
