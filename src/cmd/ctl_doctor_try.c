/* SPDX-License-Identifier: MPL-2.0 */
/* A plain TCP connect to each node that did not answer: see ctl_doctor.h.
 *
 * It tells apart what membership cannot: a machine that is off or cut off (silence), one whose meshd has
 * ended (refused), and one whose meshd is stopped or hangs (the kernel takes the connection). All are
 * begun at once and closed at once; nothing is sent. */
#define _GNU_SOURCE
#include "cmd/ctl_doctor.h"

#include "base/err.h"
#include "io/sockaddr.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRIES_MAX 64
#define TRY_MS 1300 /* a SYN that is lost is sent again after a second */

struct tries {
    struct pollfd polls[TRIES_MAX];
    struct ctl_node *nodes[TRIES_MAX];
    size_t count;
};

static enum ctl_tried outcome_of(int error)
{
    switch (error) {
    case 0:
        return TRIED_OPEN;
    case ECONNREFUSED:
        return TRIED_REFUSED;
    case EHOSTUNREACH:
    case ETIMEDOUT:
        return TRIED_SILENT;
    default:
        return TRIED_NOT; /* of this machine's own: no route, no scope */
    }
}

static void begin(struct tries *t, struct ctl_node *node)
{
    struct addr addr;
    struct sockaddr_storage to;
    if (t->count == TRIES_MAX || addr_parse(ctl_text(node->member, "address"), 0, &addr) != HM_OK ||
        addr.port == 0) {
        return;
    }
    socklen_t size = sockaddr_of_addr(&addr, &to);
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    if (connect(fd, (const struct sockaddr *) &to, size) == 0 || errno != EINPROGRESS) {
        node->tried = outcome_of(errno == EINPROGRESS ? 0 : errno);
        close(fd);
        return;
    }
    node->tried = TRIED_SILENT;
    t->nodes[t->count] = node;
    t->polls[t->count++] = (struct pollfd){.fd = fd, .events = POLLOUT};
}

static void look(struct tries *t)
{
    for (size_t i = 0; i < t->count; i++) {
        int error = 0;
        socklen_t size = sizeof error;
        if (t->polls[i].fd >= 0 && t->polls[i].revents != 0) {
            getsockopt(t->polls[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
            t->nodes[i]->tried = outcome_of(error);
            close(t->polls[i].fd);
            t->polls[i].fd = -1;
        }
    }
}

static size_t count_open(const struct tries *t)
{
    size_t count = 0;
    for (size_t i = 0; i < t->count; i++) {
        count += t->polls[i].fd >= 0 ? 1 : 0;
    }
    return count;
}

void doctor_try(struct ctl_all *all)
{
    struct tries t = {.count = 0};
    uint64_t until_ms = ctl_now_ms() + TRY_MS;
    for (size_t i = 0; i < all->count; i++) {
        if (all->nodes[i].reply == NULL && !all->nodes[i].is_self) {
            begin(&t, &all->nodes[i]);
        }
    }
    while (count_open(&t) > 0 && ctl_now_ms() < until_ms) {
        if (poll(t.polls, t.count, (int) (until_ms - ctl_now_ms())) < 0 && errno != EINTR) {
            break;
        }
        look(&t);
    }
    for (size_t i = 0; i < t.count; i++) {
        if (t.polls[i].fd >= 0) {
            close(t.polls[i].fd);
        }
    }
}
