/* SPDX-License-Identifier: MPL-2.0 */
/* The mailbox's port: see mailbox.h. */
#define _GNU_SOURCE
#include "io/mailbox.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/clock.h"
#include "io/sockaddr.h"
#include "io/zmtp_conn.h"
#include "wire/zre_msg.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 64
#define PAUSE_NS (1 * NS_PER_S) /* of accepting, when the process has no descriptor left */

struct accepted {
    mailbox_t *mailbox;
    zmtp_conn_t *conn; /* NULL: free */
    uint64_t number;   /* rises with each */
    struct addr from;
    struct node_id id; /* zero before READY, and for an identity that is none */
};

struct mailbox {
    reactor_t *reactor;
    int fd;
    bool is_paused;
    struct reactor_timer timer; /* ends the pause */
    struct metrics *metrics;
    struct mailbox_handler handler;
    uint64_t last_number;
    struct accepted accepted[HM_ZRE_CONNECTIONS_MAX];
};

static bool accept_one(void *ctx);

/* ---- connections ----------------------------------------------------------------------------- */

static void ended(void *ctx, zmtp_conn_t *conn)
{
    struct accepted *a = ctx;
    (void) conn;
    zmtp_conn_destroy(&a->conn);
}

static void ready(void *ctx, zmtp_conn_t *conn)
{
    struct accepted *a = ctx;
    mailbox_t *m = a->mailbox;
    if (!zre_identity_read(zmtp_conn_identity(conn), &a->id)) {
        memset(&a->id, 0, sizeof a->id);
    }
    for (size_t i = 0; i < HM_ZRE_CONNECTIONS_MAX && !node_id_is_zero(&a->id); i++) {
        struct accepted *other = &m->accepted[i];
        if (other != a && other->conn != NULL && node_id_eq(&other->id, &a->id)) {
            zmtp_conn_destroy(&other->conn);
        }
    }
}

static void message(void *ctx, zmtp_conn_t *conn, struct span bytes, struct span content)
{
    struct accepted *a = ctx;
    (void) conn;
    a->mailbox->handler.message(a->mailbox->handler.ctx, &a->id, &a->from, bytes, content);
}

/* Closes the oldest that may go; NULL if there are no connections. */
static struct accepted *cut_oldest(mailbox_t *m)
{
    struct accepted *oldest = NULL;
    bool oldest_is_peer = false;
    for (size_t i = 0; i < HM_ZRE_CONNECTIONS_MAX; i++) {
        struct accepted *a = &m->accepted[i];
        if (a->conn == NULL) {
            continue;
        }
        bool is_peer = !node_id_is_zero(&a->id) && m->handler.is_peer(m->handler.ctx, &a->id);
        if (oldest == NULL || (oldest_is_peer && !is_peer) ||
            (oldest_is_peer == is_peer && a->number < oldest->number)) {
            oldest = a;
            oldest_is_peer = is_peer;
        }
    }
    if (oldest != NULL) {
        zmtp_conn_destroy(&oldest->conn);
        metric_add(m->metrics, M_ZRE_CUT, 1);
    }
    return oldest;
}

static struct accepted *place(mailbox_t *m)
{
    for (size_t i = 0; i < HM_ZRE_CONNECTIONS_MAX; i++) {
        if (m->accepted[i].conn == NULL) {
            return &m->accepted[i];
        }
    }
    return cut_oldest(m);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void resume(void *ctx)
{
    mailbox_t *m = ctx;
    m->is_paused =
        reactor_add_fd(m->reactor, m->fd, REACTOR_READ, REACTOR_STRANGERS, accept_one, m) != HM_OK;
    if (m->is_paused) {
        (void) reactor_timer_arm(m->reactor, &m->timer, clock_boot_ns() + PAUSE_NS);
    }
}

/* The port stays readable while nothing can be accepted: waiting for it would be a spin. */
static void pause_accepting(mailbox_t *m)
{
    if (reactor_timer_arm(m->reactor, &m->timer, clock_boot_ns() + PAUSE_NS) == HM_OK) {
        reactor_remove_fd(m->reactor, m->fd);
        m->is_paused = true;
    }
}

/* True if there may be one more. */
static bool accept_failed(mailbox_t *m)
{
    switch (errno) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        if (cut_oldest(m) == NULL) {
            pause_accepting(m);
            return false;
        }
        return true;
    default:
        return true; /* that connection ended before we took it */
    }
}

static bool accept_one(void *ctx)
{
    mailbox_t *m = ctx;
    struct sockaddr_storage sa;
    socklen_t size = sizeof sa;
    int fd = accept4(m->fd, (struct sockaddr *) &sa, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return accept_failed(m);
    }
    struct accepted *a = place(m);
    struct zmtp_conn_handler handler = {a, ready, message, ended};
    *a = (struct accepted){.mailbox = m, .number = ++m->last_number};
    if (!addr_of_sockaddr((struct sockaddr *) &sa, &a->from)) {
        close(fd);
        return true;
    }
    a->conn = zmtp_conn_accepted(m->reactor, fd, m->metrics, &handler);
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Family 0: IPv6 and IPv4 on one socket, or IPv4 alone where the kernel has no IPv6. */
static int open_port(const struct addr *at, int *ret_fd)
{
    struct sockaddr_storage sa;
    struct addr here = *at;
    here.family = at->family == 0 ? 6 : at->family;
    socklen_t size = sockaddr_of_addr(&here, &sa);
    int on = 1, v6_only = at->family == 6;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 && at->family == 0 && errno == EAFNOSUPPORT) {
        here.family = 4;
        return open_port(&here, ret_fd);
    }
    if (fd < 0) {
        return HM_EIO;
    }
    /* A port that only connections of the last run still name may be taken again. */
    (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (sa.ss_family == AF_INET6) {
        (void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    }
    if (bind(fd, (struct sockaddr *) &sa, size) != 0 || listen(fd, BACKLOG) != 0) {
        int rc = bind_error(errno);
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return HM_OK;
}

int mailbox_new(reactor_t *r, const struct addr *at, struct metrics *metrics,
                const struct mailbox_handler *handler, mailbox_t **ret_mailbox)
{
    mailbox_t *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return HM_ENOMEM;
    }
    m->reactor = r;
    m->metrics = metrics;
    m->handler = *handler;
    m->timer.fire = resume;
    m->timer.ctx = m;
    int rc = open_port(at, &m->fd);
    if (rc != HM_OK) {
        free(m);
        return rc;
    }
    rc = reactor_add_fd(r, m->fd, REACTOR_READ, REACTOR_STRANGERS, accept_one, m);
    if (rc != HM_OK) {
        mailbox_destroy(&m);
        return rc;
    }
    *ret_mailbox = m;
    return HM_OK;
}

void mailbox_destroy(mailbox_t **p)
{
    mailbox_t *m = *p;
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < HM_ZRE_CONNECTIONS_MAX; i++) {
        zmtp_conn_destroy(&m->accepted[i].conn);
    }
    reactor_remove_fd(m->reactor, m->fd);
    reactor_timer_disarm(m->reactor, &m->timer);
    close(m->fd);
    free(m);
    *p = NULL;
}
