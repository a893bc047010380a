/* SPDX-License-Identifier: MPL-2.0 */
/* Links that we dialled: see links.h.
 *
 * One DEALER each, never re-used: a socket refused by ZAP does not try again, and RECONNECT_IVL is
 * off because dialling anew is the core's decision. It is closed from the loop's next turn, never
 * from within its own reader. */
#define _GNU_SOURCE
#include "base/err.h"
#include "io/clock.h"
#include "io/links_priv.h"
#include "io/monitor.h"
#include "io/multipart.h"
#include "wire/frame.h"

#define CONNECT_MS 2000 /* a LAN answers in 1 ms, a bad path in 500; then the core dials anew */
#define UP_NS (5 * NS_PER_S) /* from dialling to the peer's HELLO */
/* It stands, or it has ended in one of these ways. */
enum {
    DIALLED_EVENTS = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
                     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
};

struct dialled *dialled_of(links_t *l, const struct node_id *peer)
{
    for (size_t i = 0; i < HM_LINKS_MAX; i++) {
        struct dialled *d = &l->dialled[i];
        if (d->links != NULL && !d->ended && node_id_eq(&d->peer, peer)) {
            return d;
        }
    }
    return NULL;
}

int dialled_send(struct dialled *d, struct span bytes)
{
    reactor_touched(d->links->conf.reactor, d);
    return outq_send(d->out, d->socket, NULL, 0, bytes, HM_QUEUE_BYTES_MAX);
}

void dialled_free(struct dialled *d)
{
    links_t *l = d->links;
    reactor_timer_disarm(l->conf.reactor, &d->timer);
    links_unmonitor(l, &d->monitor, d->socket);
    if (d->socket != NULL) {
        links_set_int(d->socket, ZMQ_LINGER, l->linger_ms);
    }
    links_close_socket(l, &d->socket);
    outq_destroy(&d->out);
    d->links = NULL;
}

void dialled_end(struct dialled *d, bool mute)
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
    dialled_free(d);
    /* The core asked for this link and waits for either answer, unless there is another still. */
    if (!mute && !links_is_up(l, &peer)) {
        links_tell_down(l, &peer);
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
        dialled_end(d, false); /* only ends are asked for besides */
    }
    return true;
}

static void cut_dialled(struct dialled *d)
{
    struct addr none = {0};
    links_cut(d->links, &d->peer, &none);
    dialled_end(d, false);
}

static void dialled_hello(struct dialled *d)
{
    links_t *l = d->links;
    if (d->up) {
        return;
    }
    bool was_up = links_is_up(l, &d->peer);
    d->up = true;
    reactor_timer_disarm(l->conf.reactor, &d->timer);
    if (!was_up) {
        links_tell_up(l, &d->peer);
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
    if (multipart_skip(d->socket) >= HM_LINK_PARTS_MAX) {
        cut_dialled(d);
    } else {
        d->flow.is_read = true;
        if (links_take(d->links, &d->peer, &msg, d->up)) {
            dialled_hello(d);
        }
    }
    zmq_msg_close(&msg);
    return true;
}

static int open_dialled(struct dialled *d, const uint8_t key[LINKS_KEY_BYTES],
                        const struct addr *to)
{
    links_t *l = d->links;
    d->out = outq_new();
    d->socket = zmq_socket(l->conf.zmq_ctx, ZMQ_DEALER);
    if (d->out == NULL || d->socket == NULL) {
        return HM_ENOMEM;
    }
    links_set_up(l, d->socket);
    links_set_int(d->socket, ZMQ_RECONNECT_IVL, -1);
    links_set_int(d->socket, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
    links_set_int(d->socket, ZMQ_IPV6, to->family == 6);
    if (zmq_setsockopt(d->socket, ZMQ_CURVE_SERVERKEY, key, LINKS_KEY_BYTES) != 0) {
        return HM_EINVAL;
    }
    d->monitor = links_monitor(l, d->socket, DIALLED_EVENTS);
    if (d->monitor == NULL) {
        return HM_ENOMEM;
    }
    char endpoint[ADDR_TEXT_BYTES + 8];
    links_endpoint(to, endpoint, sizeof endpoint);
    if (reactor_add_socket(l->conf.reactor, d->monitor, REACTOR_LINKS, read_dialled_monitor, d) !=
            0 ||
        reactor_add_socket(l->conf.reactor, d->socket, REACTOR_LINKS, read_dialled, d) != 0) {
        return HM_ENOMEM;
    }
    if (zmq_connect(d->socket, endpoint) != 0) {
        return HM_EUNREACHABLE;
    }
    /* Not IMMEDIATE: HELLO waits in the pipe and goes out with the end of the handshake. While we were
     * held up here, it may have failed, and there is no pipe any more: the monitor tells. */
    (void) dialled_send(d, links_frame(l, FRAME_HELLO, span_of(NULL, 0)));
    return HM_OK;
}

int links_dial(links_t *l, const struct node_id *peer, const struct addr *to)
{
    const uint8_t *key = zap_key_of(l->zap, peer);
    if (key == NULL || addr_is_none(to)) {
        return HM_ENOTFOUND;
    }
    struct dialled *old = dialled_of(l, peer);
    if (old != NULL) {
        dialled_end(old, true);
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
        dialled_free(d);
    }
    return rc;
}

void dialled_check(links_t *l)
{
    for (size_t i = 0; i < HM_LINKS_MAX; i++) {
        struct dialled *d = &l->dialled[i];
        while (d->links != NULL && read_dialled_monitor(d)) {
        }
        if (d->links != NULL && !d->ended && flow_is_endless(&d->flow, d->fd)) {
            cut_dialled(d);
        }
    }
}
