/* SPDX-License-Identifier: MPL-2.0 */
/* Links: see links.h. Here is what both ways have in common, links_dialled.c and links_accepted.c
 * have one way each. Everything was tried with libzmq 4.3.4.
 *
 * A member that has turned can send a message without end, of which libzmq shows us nothing
 * (flow.h). Such a link is cut when the loop comes round, within a second; what was sent until then
 * was kept. */
#define _GNU_SOURCE
#include "base/err.h"
#include "io/clock.h"
#include "io/links_priv.h"
#include "io/monitor.h"
#include "wire/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Frames of one link that wait. More to send, or more bytes (HM_QUEUE_BYTES_MAX, outq.h), means
 * that the peer does not keep up; more to read, and the kernel stops it. With 1.5 MiB for the
 * largest frame a peer holds no more than 12 MiB of ours, half each way. */
#define OUT_FRAMES_MAX 24
#define IN_FRAMES_MAX 4
#define HANDSHAKE_MS 3000
/* What the peer's machine does not acknowledge for so long is lost: the way there is gone, and
 * another may be open. The kernel alone tries for 15 minutes. */
#define UNACKED_MS 6000
/* A firewall that was closed meanwhile, or a router that forgets silent connections, would eat the first value
 * after a silence, and it would be late by UNACKED_MS and a new dial. Data, and no TCP keepalive: with
 * UNACKED_MS the kernel ends a link for one keepalive that is lost. */
#define HEARTBEAT_MS 60000
#define CHECK_NS (100 * NS_PER_MS) /* between two looks for messages without end */

/* ---- sockets ---- */

void links_set_int(void *socket, int option, int value)
{
    HM_ASSERT(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

void links_set_up(const links_t *l, void *socket)
{
    int64_t bytes_max = HM_FRAME_BYTES_MAX + 128; /* our head and CURVE's around the body */
    links_set_int(socket, ZMQ_LINGER, 0);
    links_set_int(socket, ZMQ_SNDTIMEO, 0);
    links_set_int(socket, ZMQ_RCVTIMEO, 0);
    links_set_int(socket, ZMQ_SNDHWM, OUT_FRAMES_MAX);
    links_set_int(socket, ZMQ_RCVHWM, IN_FRAMES_MAX);
    links_set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    links_set_int(socket, ZMQ_TCP_MAXRT, UNACKED_MS);
    links_set_int(socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
    HM_ASSERT(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max) == 0);
    HM_ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, l->conf.curve_secret, LINKS_KEY_BYTES) ==
              0);
    HM_ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, l->conf.curve_public, LINKS_KEY_BYTES) ==
              0);
}

void links_close_socket(links_t *l, void **socket)
{
    if (*socket != NULL) {
        reactor_remove_socket(l->conf.reactor, *socket);
        zmq_close(*socket);
        *socket = NULL;
    }
}

void *links_monitor(links_t *l, void *socket, int events)
{
    char name[64];
    snprintf(name, sizeof name, "inproc://homemesh.links.%p.%llu", (void *) l,
             (unsigned long long) ++l->monitors);
    return monitor_new(l->conf.zmq_ctx, socket, name, events);
}

void links_unmonitor(links_t *l, void **monitor, void *socket)
{
    if (*monitor != NULL) {
        reactor_remove_socket(l->conf.reactor, *monitor);
        monitor_destroy(monitor, socket);
    }
}

int links_endpoint(const struct addr *a, char *text, size_t max)
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

bool links_is_up(links_t *l, const struct node_id *peer)
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

void links_tell_up(links_t *l, const struct node_id *peer)
{
    struct node_id id = *peer; /* the handler may change the tables */
    l->conf.handler.up(l->conf.handler.ctx, &id);
}

void links_tell_down(links_t *l, const struct node_id *peer)
{
    struct node_id id = *peer;
    l->conf.handler.down(l->conf.handler.ctx, &id);
}

void links_cut(links_t *l, const struct node_id *peer, const struct addr *from)
{
    metric_add(l->conf.metrics, M_LINKS_CUT, 1);
    l->conf.handler.cut(l->conf.handler.ctx, peer, from);
}

/* ---- frames ---- */

struct span links_frame(links_t *l, uint8_t type, struct span body)
{
    buf_clear(&l->out);
    frame_head_write(&l->out, type, body.size);
    buf_append(&l->out, body.data, body.size);
    return buf_span(&l->out);
}

int links_send(links_t *l, const struct node_id *peer, uint8_t type, struct span body)
{
    struct span frame = links_frame(l, type, body);
    if (buf_failed(&l->out)) {
        metric_add(l->conf.metrics, M_FRAMES_REFUSED, 1);
        return HM_EFULL;
    }
    struct dialled *d = dialled_of(l, peer);
    struct accepted *a = accepted_of(l, peer);
    int rc = HM_EUNREACHABLE;
    if (d != NULL && d->up) {
        rc = dialled_send(d, frame);
    } else if (a != NULL) {
        rc = accepted_send(l, a, frame);
    }
    metric_add(l->conf.metrics, rc == HM_OK ? M_FRAMES_SENT : M_FRAMES_REFUSED, 1);
    return rc;
}

bool links_take(links_t *l, const struct node_id *peer, zmq_msg_t *msg, bool link_is_up)
{
    struct node_id from = *peer; /* the handler may change the tables */
    uint8_t type;
    struct span body;
    int rc = frame_head_read(span_of(zmq_msg_data(msg), zmq_msg_size(msg)), &type, &body);
    if (rc != HM_OK) {
        l->conf.handler.bad_frame(l->conf.handler.ctx, &from, rc);
    } else if (type == FRAME_HELLO) {
        return true;
    } else if (link_is_up) {
        metric_add(l->conf.metrics, M_FRAMES_RECEIVED, 1);
        l->conf.handler.frame(l->conf.handler.ctx, &from, type, body);
    }
    return false;
}

/* ---- the whole ---- */

void links_check(links_t *l, uint64_t now_ns)
{
    if (now_ns - l->checked_ns < CHECK_NS) {
        return;
    }
    l->checked_ns = now_ns;
    dialled_check(l);
    accepted_check(l);
}

int links_admit(links_t *l, const struct node_id *peer, const uint8_t key[LINKS_KEY_BYTES])
{
    return zap_admit(l->zap, peer, key);
}

void links_forget(links_t *l, const struct node_id *peer)
{
    zap_forget(l->zap, peer);
    links_hangup(l, peer);
}

void links_hangup(links_t *l, const struct node_id *peer)
{
    struct dialled *d = dialled_of(l, peer);
    if (d != NULL) {
        dialled_end(d, true);
    }
    accepted_hangup(l, peer);
}

links_t *links_new(const struct links_conf *conf)
{
    links_t *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return NULL;
    }
    l->conf = *conf;
    buf_init(&l->out, HM_FRAME_BYTES_MAX + FRAME_HEAD_BYTES);
    l->zap = zap_new(conf->zmq_ctx, conf->reactor, conf->metrics);
    if (l->zap == NULL || accepted_open(l) != HM_OK) {
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
            dialled_free(&l->dialled[i]);
        }
    }
    accepted_close(l);
    zap_destroy(&l->zap);
    buf_fini(&l->out);
    free(l);
    *p = NULL;
}
