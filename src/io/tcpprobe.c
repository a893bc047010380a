/* SPDX-License-Identifier: MPL-2.0 */
/* Connect probes: see tcpprobe.h. */
#define _GNU_SOURCE
#include "io/tcpprobe.h"

#include "base/err.h"
#include "io/clock.h"
#include "io/sockaddr.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROBE_NS NS_PER_S /* no outcome for so long is silence */

struct probe {
    tcpprobes_t *owner;
    int fd; /* -1: free */
    struct node_id peer;
    uint64_t token;
    bool settled; /* known at once; told by the timer */
    enum connect_outcome outcome;
    struct reactor_timer timer;
};

struct tcpprobes {
    reactor_t *reactor;
    tcpprobe_fn *done;
    void *ctx;
    struct probe probes[TCPPROBES_MAX];
};

static void close_probe(struct probe *p)
{
    if (p->fd >= 0) {
        reactor_remove_fd(p->owner->reactor, p->fd);
        reactor_timer_disarm(p->owner->reactor, &p->timer);
        close(p->fd);
        p->fd = -1;
    }
}

static void finish(struct probe *p, enum connect_outcome outcome)
{
    tcpprobes_t *t = p->owner;
    close_probe(p);
    t->done(t->ctx, &p->peer, p->token, outcome);
}

static void fire(void *ctx)
{
    struct probe *p = ctx;
    finish(p, p->settled ? p->outcome : CONNECT_SILENT);
}

static enum connect_outcome outcome_of(int errno_value)
{
    if (errno_value == 0) {
        return CONNECT_OPEN;
    }
    return errno_value == ECONNREFUSED ? CONNECT_REFUSED : CONNECT_SILENT;
}

static bool connected(void *ctx)
{
    struct probe *p = ctx;
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    finish(p, outcome_of(error));
    return true;
}

tcpprobes_t *tcpprobes_new(reactor_t *r, tcpprobe_fn *done, void *ctx)
{
    tcpprobes_t *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return NULL;
    }
    t->reactor = r;
    t->done = done;
    t->ctx = ctx;
    for (size_t i = 0; i < TCPPROBES_MAX; i++) {
        struct probe *p = &t->probes[i];
        p->owner = t;
        p->fd = -1;
        p->timer.fire = fire;
        p->timer.ctx = p;
    }
    return t;
}

void tcpprobes_destroy(tcpprobes_t **p)
{
    if (*p == NULL) {
        return;
    }
    for (size_t i = 0; i < TCPPROBES_MAX; i++) {
        close_probe(&(*p)->probes[i]);
    }
    free(*p);
    *p = NULL;
}

/* Starts connecting; the outcome comes by the loop, by the timer, or is settled already. */
static int begin(struct probe *p, const struct addr *to)
{
    struct sockaddr_storage sa;
    socklen_t size = sockaddr_of_addr(to, &sa);
    p->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0) {
        return HM_EIO;
    }
    uint64_t until_ns = clock_boot_ns() + PROBE_NS;
    p->settled = false;
    int rc = connect(p->fd, (struct sockaddr *) &sa, size);
    if (rc != 0 && errno == EINPROGRESS) {
        rc = reactor_add_fd(p->owner->reactor, p->fd, REACTOR_WRITE, REACTOR_LINKS, connected, p);
    } else {
        p->settled = true;
        p->outcome = outcome_of(rc == 0 ? 0 : errno);
        until_ns = 0;
        rc = HM_OK;
    }
    if (rc == HM_OK) {
        rc = reactor_timer_arm(p->owner->reactor, &p->timer, until_ns);
    }
    if (rc != HM_OK) {
        close_probe(p);
    }
    return rc;
}

int tcpprobe_start(tcpprobes_t *t, const struct node_id *peer, const struct addr *to,
                   uint64_t token)
{
    for (size_t i = 0; i < TCPPROBES_MAX; i++) {
        struct probe *p = &t->probes[i];
        if (p->fd < 0) {
            p->peer = *peer;
            p->token = token;
            return begin(p, to);
        }
    }
    return HM_EFULL;
}
