/* SPDX-License-Identifier: MPL-2.0 */
/* Addresses to join: see resolve.h. A thread sleeps in poll on its end of the socket pair, so our
 * closing the other end wakes it, and a send to nobody ends it. Nothing else is shared. One thread
 * serves all numeric targets, which never block, and each name has one of its own. */
#define _GNU_SOURCE
#include "io/resolve.h"

#include "base/err.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/sockaddr.h"
#include "io/srv.h"
#include "io/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 30000

struct resolve {
    int fd;
};

struct entry {
    struct resolve_target target;
    uint64_t due_ms;
    uint64_t wait_ms;
    int failed_with; /* getaddrinfo's code of the last try, or ours; 0: it worked */
};

struct worker {
    int fd;
    size_t count;
    struct entry entries[];
};

/* ---- the thread ------------------------------------------------------------------------------ */

static uint64_t now_ms(void)
{
    return clock_boot_ns() / NS_PER_MS;
}

/* False: the other end is gone. A report that finds the pair full is dropped: it comes again. */
static bool report(const struct worker *w, const struct resolve_report *r)
{
    ssize_t sent;
    do {
        sent = send(w->fd, r, sizeof *r, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS;
}

static bool report_failure(const struct worker *w, struct entry *e, int code, const char *error)
{
    struct resolve_report r = {.addr = {0}};
    if (e->failed_with == code) {
        return true;
    }
    e->failed_with = code;
    text_copy(r.host, sizeof r.host, e->target.host);
    text_copy(r.error, sizeof r.error, error);
    return report(w, &r);
}

/* Reports all addresses of a host. *ret_code is getaddrinfo's, *ret_error its text. False: the other
 * end is gone. */
static bool try_host(const struct worker *w, const char *host, uint16_t port, int *ret_code,
                     const char **ret_error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    struct resolve_report r = {.addr = {0}};
    text_copy(r.host, sizeof r.host, host);
    *ret_code = getaddrinfo(host, NULL, &hints, &found);
    if (*ret_code != 0) {
        *ret_error = *ret_code == EAI_SYSTEM ? strerror(errno) : gai_strerror(*ret_code);
        return true;
    }
    bool is_open = true;
    size_t count = 0;
    for (const struct addrinfo *ai = found; ai != NULL && is_open && count < RESOLVE_ADDRS_MAX;
         ai = ai->ai_next) {
        if (addr_of_sockaddr(ai->ai_addr, &r.addr)) {
            r.addr.port = port;
            is_open = report(w, &r);
            count++;
        }
    }
    freeaddrinfo(found);
    return is_open;
}

/* A host of the records that has no address is passed over while another has one. */
static bool try_srv(const struct worker *w, struct entry *e)
{
    struct srv records[SRV_MAX];
    size_t count = 0;
    int rc = srv_query(e->target.host, records, &count);
    if (rc != HM_OK) {
        return report_failure(w, e, rc,
                              rc == HM_ENOTFOUND    ? "the name has no SRV records"
                              : rc == HM_EMALFORMED ? "the DNS server's answer cannot be read"
                                                    : "no DNS server answers");
    }
    bool is_open = true;
    size_t found = 0;
    int code = 0;
    const char *error = "";
    for (size_t i = 0; i < count && is_open; i++) {
        is_open = try_host(w, records[i].host, records[i].port, &code, &error);
        found += code == 0;
    }
    if (is_open && found == 0) {
        return report_failure(w, e, code, error);
    }
    e->failed_with = 0;
    return is_open;
}

/* One round for one target. False: the other end is gone. */
static bool try_target(const struct worker *w, struct entry *e)
{
    struct resolve_report r = {.addr = {0}};
    if (e->target.is_srv) {
        return try_srv(w, e);
    }
    text_copy(r.host, sizeof r.host, e->target.host);
    if (addr_parse(e->target.host, e->target.port, &r.addr) == HM_OK) {
        r.addr.port = e->target.port;
        return report(w, &r);
    }
    int code = 0;
    const char *error = "";
    bool is_open = try_host(w, e->target.host, e->target.port, &code, &error);
    if (code != 0) {
        return report_failure(w, e, code, error);
    }
    e->failed_with = 0;
    return is_open;
}

/* Serves what is due; false when nobody listens any more. ret_next_ms: when to come again. */
static bool serve_due(struct worker *w, uint64_t *ret_next_ms)
{
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < w->count; i++) {
        struct entry *e = &w->entries[i];
        if (e->due_ms <= now_ms()) {
            if (!try_target(w, e)) {
                return false;
            }
            e->due_ms = now_ms() + e->wait_ms;
            e->wait_ms = e->wait_ms * 2 < RETRY_MAX_MS ? e->wait_ms * 2 : RETRY_MAX_MS;
        }
        next = e->due_ms < next ? e->due_ms : next;
    }
    *ret_next_ms = next;
    return true;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    uint64_t next;
    while (serve_due(w, &next)) {
        uint64_t now = now_ms();
        struct pollfd pfd = {.fd = w->fd, .events = POLLIN};
        /* Nothing is ever sent to us: readable means closed. */
        if (poll(&pfd, 1, next > now ? (int) (next - now) : 0) > 0) {
            break;
        }
    }
    close(w->fd);
    free(w);
    return NULL;
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static bool is_name(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char) text[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '.' && c != '_') {
            return false;
        }
    }
    /* Digits and dots alone are a mistyped address, not a name. */
    return size > 0 && size <= 253 && text[0] != '-' && text[0] != '.' &&
           strspn(text, "0123456789.") < size;
}

/* A numeric address; the interface of a link-local one is looked up each time it is tried. */
static int read_numeric(const char *text, uint16_t default_port, struct resolve_target *t)
{
    char ip[ADDR_TEXT_BYTES];
    char zone[SOCKADDR_ZONE_BYTES];
    struct addr a;
    int rc = addr_parse_zone(text, default_port, &a, zone);
    if (rc != HM_OK) {
        return rc;
    }
    addr_format_ip(&a, ip);
    snprintf(t->host, sizeof t->host, "%s%s%s", ip, zone[0] != '\0' ? "%" : "", zone);
    t->port = a.port;
    return HM_OK;
}

int resolve_target_read(const char *text, uint16_t default_port, struct resolve_target *ret_target)
{
    static const char srv[] = "dns+srv:";
    struct resolve_target t = {.port = default_port};
    uint64_t port = default_port;
    if (strncmp(text, srv, strlen(srv)) == 0) {
        t.is_srv = true;
        text += strlen(srv);
    } else if (read_numeric(text, default_port, &t) == HM_OK) {
        *ret_target = t;
        return t.port == 0 ? HM_EMALFORMED : HM_OK;
    }
    const char *colon = t.is_srv ? NULL : strchr(text, ':');
    size_t size = colon == NULL ? strlen(text) : (size_t) (colon - text);
    if (!is_name(text, size) ||
        (colon != NULL && (text_to_u64(colon + 1, 65535, &port) != HM_OK || port == 0))) {
        return HM_EMALFORMED;
    }
    memcpy(t.host, text, size);
    t.port = (uint16_t) port;
    *ret_target = t;
    return HM_OK;
}

static int start_thread(struct worker *w)
{
    pthread_t thread;
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0) {
        return ENOMEM;
    }
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int rc = threads_start(&thread, &attr, NULL, work, w);
    pthread_attr_destroy(&attr);
    return rc;
}

static bool is_numeric(const struct resolve_target *target)
{
    struct addr addr;
    return !target->is_srv && addr_parse(target->host, target->port, &addr) == HM_OK;
}

static struct worker *worker_new(size_t count_max, int fd)
{
    struct worker *w = calloc(1, sizeof *w + count_max * sizeof w->entries[0]);
    if (w != NULL) {
        w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (w->fd < 0) {
            free(w);
            return NULL;
        }
    }
    return w;
}

static void worker_add(struct worker *w, const struct resolve_target *target)
{
    w->entries[w->count++] = (struct entry){.target = *target, .wait_ms = RETRY_FIRST_MS};
}

/* Takes the worker. 0 or an errno. */
static int worker_start(struct worker *w)
{
    int rc = w == NULL ? ENOMEM : w->count > 0 ? start_thread(w) : 0;
    if (w != NULL && (rc != 0 || w->count == 0)) {
        close(w->fd);
        free(w);
    }
    return rc;
}

/* All threads, each with a copy of fd. 0 or an errno; those that run end when the other end closes. */
static int start_all(const struct resolve_target *targets, size_t count, int fd)
{
    struct worker *numeric = worker_new(count, fd);
    for (size_t i = 0; numeric != NULL && i < count; i++) {
        if (is_numeric(&targets[i])) {
            worker_add(numeric, &targets[i]);
        }
    }
    int rc = worker_start(numeric);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        if (!is_numeric(&targets[i])) {
            struct worker *w = worker_new(1, fd);
            if (w != NULL) {
                worker_add(w, &targets[i]);
            }
            rc = worker_start(w);
        }
    }
    return rc;
}

int resolve_new(const struct resolve_target *targets, size_t count, resolve_t **ret_resolve)
{
    int fds[2];
    if (count == 0) {
        *ret_resolve = NULL;
        return HM_OK;
    }
    if (count > RESOLVE_TARGETS_MAX) {
        return HM_EFULL;
    }
    resolve_t *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return HM_ENOMEM;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
        free(r);
        return HM_EIO;
    }
    r->fd = fds[0];
    int rc = start_all(targets, count, fds[1]);
    close(fds[1]);
    if (rc != 0) {
        resolve_destroy(&r);
        errno = rc;
        return rc == ENOMEM ? HM_ENOMEM : HM_EIO;
    }
    *ret_resolve = r;
    return HM_OK;
}

void resolve_destroy(resolve_t **p)
{
    if (*p != NULL) {
        close((*p)->fd);
        free(*p);
        *p = NULL;
    }
}

int resolve_fd(const resolve_t *resolve)
{
    return resolve == NULL ? -1 : resolve->fd;
}

int resolve_take(resolve_t *resolve, struct resolve_report *ret_report)
{
    struct resolve_report r;
    ssize_t got = -1;
    while (resolve != NULL && (got = recv(resolve->fd, &r, sizeof r, MSG_DONTWAIT)) < 0 &&
           errno == EINTR) {
    }
    if (got != (ssize_t) sizeof r) {
        return HM_ENOTFOUND;
    }
    *ret_report = r;
    return HM_OK;
}
