/* SPDX-License-Identifier: MPL-2.0 */
/* A ZMTP connection: see zmtp_conn.h. */
#define _GNU_SOURCE
#include "io/zmtp_conn.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/clock.h"
#include "io/sockaddr.h"
#include "wire/zmtp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HANDSHAKE_NS (3 * NS_PER_S) /* from accepting or dialling to the peer's READY */
#define HANDSHAKE_BYTES_MAX 512     /* greeting and READY, should they still be on their way */
#define CHUNK_BYTES 4096
#define READS_PER_TURN 16 /* so that one message of several frames is taken in one turn */
/* The kernel finds peers that vanished; nothing here wakes up for it. */
#define KEEPALIVE_IDLE_S 60
#define KEEPALIVE_INTERVAL_S 20
#define KEEPALIVE_PROBES 3

struct zmtp_conn {
    reactor_t *reactor;
    int fd; /* -1: ended */
    bool is_connecting;
    bool is_ready;
    unsigned want; /* what the reactor watches */
    enum zmtp_role role;
    struct zmtp zmtp;
    struct buf out;  /* on its way, of at most HM_ZMTP_OUT_BYTES_MAX with held */
    struct buf held; /* messages that wait for the handshake */
    uint8_t own_identity[ZMTP_IDENTITY_BYTES_MAX];
    size_t own_identity_bytes;
    struct metrics *metrics;
    struct zmtp_conn_handler handler;
    struct reactor_timer timer; /* ends a slow handshake */
};

static bool step(void *ctx);
static void too_slow(void *ctx);

/* ---- life ------------------------------------------------------------------------------------ */

static zmtp_conn_t *new_conn(reactor_t *r, enum zmtp_role role, struct metrics *metrics,
                             const struct zmtp_conn_handler *handler)
{
    zmtp_conn_t *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    c->reactor = r;
    c->fd = -1;
    c->role = role;
    c->metrics = metrics;
    c->handler = *handler;
    c->timer.fire = too_slow;
    c->timer.ctx = c;
    zmtp_init(&c->zmtp, role);
    buf_init(&c->out, HM_ZMTP_OUT_BYTES_MAX + HANDSHAKE_BYTES_MAX);
    buf_init(&c->held, HM_ZMTP_OUT_BYTES_MAX);
    return c;
}

static void close_fd(zmtp_conn_t *c)
{
    if (c->fd >= 0) {
        reactor_remove_fd(c->reactor, c->fd);
        close(c->fd);
        c->fd = -1;
    }
    reactor_timer_disarm(c->reactor, &c->timer);
}

void zmtp_conn_destroy(zmtp_conn_t **p)
{
    zmtp_conn_t *c = *p;
    if (c == NULL) {
        return;
    }
    close_fd(c);
    zmtp_fini(&c->zmtp);
    buf_fini(&c->out);
    buf_fini(&c->held);
    free(c);
    *p = NULL;
}

/* The handler may destroy it: nothing of it is touched afterwards. */
static void end(zmtp_conn_t *c)
{
    close_fd(c);
    if (c->handler.ended != NULL) {
        c->handler.ended(c->handler.ctx, c);
    }
}

static void cut(zmtp_conn_t *c)
{
    metric_add(c->metrics, M_ZRE_CUT, 1);
    end(c);
}

static void too_slow(void *ctx)
{
    cut(ctx);
}

/* Watches and bounds the new connection, and says our greeting. */
static int begin(zmtp_conn_t *c)
{
    zmtp_greeting_write(&c->out);
    /* Until it is writable, whoever dialled has nothing to read either. */
    c->want = c->is_connecting ? REACTOR_WRITE : REACTOR_READ | REACTOR_WRITE;
    int rc = reactor_add_fd(c->reactor, c->fd, c->want, REACTOR_STRANGERS, step, c);
    if (rc == HM_OK) {
        rc = reactor_timer_arm(c->reactor, &c->timer, clock_boot_ns() + HANDSHAKE_NS);
    }
    return buf_failed(&c->out) ? HM_ENOMEM : rc;
}

static void set_tcp_options(int fd)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, probes = KEEPALIVE_PROBES;
    /* None of these is worth failing for. */
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

zmtp_conn_t *zmtp_conn_accepted(reactor_t *r, int fd, struct metrics *metrics,
                                const struct zmtp_conn_handler *handler)
{
    zmtp_conn_t *c = new_conn(r, ZMTP_ROUTER, metrics, handler);
    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->fd = fd;
    set_tcp_options(fd);
    if (begin(c) != HM_OK) {
        zmtp_conn_destroy(&c);
    }
    return c;
}

zmtp_conn_t *zmtp_conn_dial(reactor_t *r, const struct addr *to, struct span identity,
                            struct metrics *metrics, const struct zmtp_conn_handler *handler)
{
    struct sockaddr_storage sa;
    socklen_t size = sockaddr_of_addr(to, &sa);
    HM_ASSERT(identity.size <= ZMTP_IDENTITY_BYTES_MAX);
    zmtp_conn_t *c = new_conn(r, ZMTP_DEALER, metrics, handler);
    if (c == NULL) {
        return NULL;
    }
    memcpy(c->own_identity, identity.data, identity.size);
    c->own_identity_bytes = identity.size;
    c->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        return c;
    }
    set_tcp_options(c->fd);
    if (connect(c->fd, (struct sockaddr *) &sa, size) != 0) {
        c->is_connecting = errno == EINPROGRESS;
        if (!c->is_connecting) {
            close_fd(c);
            return c;
        }
    }
    if (begin(c) != HM_OK) {
        zmtp_conn_destroy(&c);
    }
    return c;
}

bool zmtp_conn_is_ended(const zmtp_conn_t *conn)
{
    return conn->fd < 0;
}

bool zmtp_conn_is_open(const zmtp_conn_t *conn)
{
    return conn->fd >= 0 && conn->is_ready;
}

struct span zmtp_conn_identity(const zmtp_conn_t *conn)
{
    return zmtp_identity(&conn->zmtp);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Writes what the kernel takes. False: the connection is broken. */
static bool flush(zmtp_conn_t *c)
{
    while (c->out.size > 0) {
        ssize_t sent = send(c->fd, c->out.data, c->out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        }
        memmove(c->out.data, c->out.data + sent, c->out.size - (size_t) sent);
        buf_truncate(&c->out, c->out.size - (size_t) sent);
    }
    return true;
}

/* Waits for room only while there is something to write. */
static void watch(zmtp_conn_t *c)
{
    unsigned want = REACTOR_READ | (c->out.size > 0 ? REACTOR_WRITE : 0);
    if (want != c->want) {
        c->want = want;
        reactor_change_fd(c->reactor, c->fd, want);
    }
}

/* Writes, and waits for room if there is more. False: the connection is broken. */
static bool flush_and_watch(zmtp_conn_t *c)
{
    bool is_good = flush(c);
    watch(c);
    return is_good;
}

void zmtp_conn_send(zmtp_conn_t *c, struct span body, struct span content)
{
    struct buf *to = c->is_ready ? &c->out : &c->held;
    size_t before = to->size;
    if (c->fd < 0) {
        return;
    }
    if (content.data != NULL) {
        zmtp_content_write(to, body, content);
    } else {
        zmtp_message_write(to, body);
    }
    if (buf_failed(to) || c->out.size + c->held.size > HM_ZMTP_OUT_BYTES_MAX) {
        /* All of it or nothing: half a frame would make nonsense of the rest. */
        to->failed = false;
        buf_truncate(to, before);
        metric_add(c->metrics, M_DROP_FULL, 1);
    } else if (c->is_ready && !flush_and_watch(c)) {
        /* Its end is told by the loop, not from within a call: the caller is in its own affairs. */
        shutdown(c->fd, SHUT_RDWR);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

static void on_ready(zmtp_conn_t *c)
{
    c->is_ready = true;
    reactor_timer_disarm(c->reactor, &c->timer);
    buf_append(&c->out, c->held.data, c->held.size);
    buf_fini(&c->held);
    if (c->handler.ready != NULL) {
        c->handler.ready(c->handler.ctx, c);
    }
}

static void on_event(zmtp_conn_t *c, enum zmtp_event event)
{
    switch (event) {
    case ZMTP_GREETED:
        zmtp_ready_write(&c->out, c->role, span_of(c->own_identity, c->own_identity_bytes));
        break;
    case ZMTP_READY:
        on_ready(c);
        break;
    case ZMTP_PING:
        /* Who does not read its PONGs needs no more of them. */
        if (c->out.size == 0) {
            zmtp_pong_write(&c->out, zmtp_context(&c->zmtp));
        }
        break;
    case ZMTP_MESSAGE:
        if (c->handler.message != NULL) {
            c->handler.message(c->handler.ctx, c, zmtp_body(&c->zmtp), zmtp_content(&c->zmtp));
        }
        break;
    case ZMTP_MORE:
    case ZMTP_BROKEN:
        break;
    }
}

enum outcome {
    GO_ON,
    ENOUGH, /* for this turn */
    ENDED,  /* by the peer, or the network */
    CUT,    /* by us */
};

/* Reads once, to the end of the frame at most. */
static enum outcome read_once(zmtp_conn_t *c)
{
    uint8_t chunk[CHUNK_BYTES];
    size_t want = zmtp_want(&c->zmtp);
    ssize_t got = recv(c->fd, chunk, want < sizeof chunk ? want : sizeof chunk, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? ENOUGH : ENDED;
    }
    if (got == 0) {
        return ENDED;
    }
    struct span bytes = span_of(chunk, (size_t) got);
    enum zmtp_event event = zmtp_take(&c->zmtp, &bytes);
    HM_ASSERT(bytes.size == 0 || event == ZMTP_BROKEN);
    if (event == ZMTP_BROKEN) {
        return CUT;
    }
    on_event(c, event);
    /* Only for lack of memory: there is room for the handshake, and no PONG without. */
    return buf_failed(&c->out) ? CUT : event == ZMTP_MESSAGE || event == ZMTP_PING ? ENOUGH : GO_ON;
}

static bool connect_failed(zmtp_conn_t *c)
{
    int error = 0;
    socklen_t size = sizeof error;
    c->is_connecting = false;
    return getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0;
}

/* What the loop calls when the descriptor stirs: everything there is to do, once. Always false: the
 * others' turn comes before our next message. */
static bool step(void *ctx)
{
    zmtp_conn_t *c = ctx;
    enum outcome outcome = GO_ON;
    if (c->is_connecting && connect_failed(c)) {
        outcome = ENDED;
    }
    for (int i = 0; outcome == GO_ON && i < READS_PER_TURN; i++) {
        outcome = read_once(c);
    }
    if ((outcome == GO_ON || outcome == ENOUGH) && !flush_and_watch(c)) {
        outcome = ENDED;
    }
    if (outcome == CUT) {
        cut(c);
    } else if (outcome == ENDED) {
        end(c);
    }
    return false;
}
