/* SPDX-License-Identifier: MPL-2.0 */
/* The local socket: see local_api.h. A connection: local_client.c. */
#define _GNU_SOURCE
#include "io/local_api.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/clock.h"
#include "io/local_priv.h"
#include "wire/api_msg.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128
#define FLUSH_NS (200 * NS_PER_MS) /* for replies at the end */
#define PAUSE_NS (1 * NS_PER_S)    /* of accepting, when there is no place or descriptor left */
#define SHAKE_NS (1 * NS_PER_S)    /* hands are shaken by then; who has not makes room when there is none */
#define INDEX_BITS 16              /* of a call's number: its place; above it, a count that makes it unique */

struct local_api {
    reactor_t *reactor;
    int fd;
    struct metrics *metrics;
    struct local_api_handler handler;
    char path[108];
    bool is_bound;  /* the file at path is ours */
    bool is_paused; /* nobody is accepted */
    struct reactor_timer timer; /* ends that */
    struct local_client *clients;
    size_t client_count;
    struct local_client *dirty;
    uint64_t last_client;
    size_t waiting;
    struct buf answer; /* for what we refuse ourselves */
    uint32_t first_free;
    struct call calls[LOCAL_CALLS_MAX];
};

static bool accept_one(void *ctx);

/* ---- opening --------------------------------------------------------------------------------- */

/* Does a process answer at this path? Returns 0, or an errno code of connect. */
static int try_connect(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = 0;
    if (fd < 0) {
        return errno;
    }
    if (connect(fd, (const struct sockaddr *) sa, sizeof *sa) != 0) {
        rc = errno;
    }
    close(fd);
    return rc;
}

/* What lies at the path is replaced only if it is a socket that nobody answers at. */
static int clear_path(const char *path, struct why *why)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct stat st;
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof sa.sun_path) {
        return why_set(why, HM_EINVAL, "the socket path \"%s\" has %zu bytes: 1 to %zu are allowed",
                       path, size, sizeof sa.sun_path - 1);
    }
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? HM_OK
                               : why_set(why, errno == EACCES ? HM_EDENIED : HM_EIO,
                                         "cannot make the socket %s: %s", path, strerror(errno));
    }
    if (!S_ISSOCK(st.st_mode)) {
        return why_set(why, HM_EEXIST,
                       "%s is there and is no socket: move it away or choose another --socket",
                       path);
    }
    memcpy(sa.sun_path, path, size + 1);
    int rc = try_connect(&sa);
    if (rc == 0 || rc == EAGAIN) {
        return why_set(why, HM_EBUSY, "another process answers at the socket %s", path);
    }
    if (rc == EACCES || rc == EPERM) {
        return why_set(why, HM_EDENIED, "the socket %s belongs to another user", path);
    }
    return HM_OK;
}

static int listen_at(local_api_t *a)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    memcpy(sa.sun_path, a->path, strlen(a->path) + 1);
    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd < 0) {
        return errno;
    }
    (void) unlink(a->path); /* clear_path has looked at it */
    if (bind(a->fd, (const struct sockaddr *) &sa, sizeof sa) != 0) {
        return errno;
    }
    a->is_bound = true;
    /* The daemon's umask gives 0600 from the first moment; chmod for callers with another one. */
    return chmod(a->path, 0600) != 0 || listen(a->fd, BACKLOG) != 0 ? errno : 0;
}

static void resume(void *ctx)
{
    local_api_t *a = ctx;
    reactor_timer_disarm(a->reactor, &a->timer);
    a->is_paused = reactor_add_fd(a->reactor, a->fd, REACTOR_READ, REACTOR_CLIENTS, accept_one, a) != HM_OK;
    if (a->is_paused) {
        (void) reactor_timer_arm(a->reactor, &a->timer, clock_boot_ns() + PAUSE_NS);
    }
}

int local_api_new(reactor_t *reactor, const char *path, struct metrics *metrics,
                  const struct local_api_handler *handler, local_api_t **ret_api, struct why *why)
{
    int rc = clear_path(path, why);
    if (rc != HM_OK) {
        return rc;
    }
    local_api_t *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return why_set(why, HM_ENOMEM, "out of memory while opening the socket %s", path);
    }
    snprintf(a->path, sizeof a->path, "%s", path);
    a->reactor = reactor;
    a->metrics = metrics;
    a->handler = *handler;
    a->timer.fire = resume;
    a->timer.ctx = a;
    buf_init(&a->answer, 4096);
    for (uint32_t i = 0; i < LOCAL_CALLS_MAX; i++) {
        a->calls[i].next_free = i + 1;
    }
    int error = listen_at(a);
    if (error != 0) {
        int code = error == EACCES || error == EPERM ? HM_EDENIED : HM_EIO;
        why_set(why, code, "cannot make the socket %s: %s", path, strerror(error));
        local_api_destroy(&a);
        return code;
    }
    resume(a);
    *ret_api = a;
    return HM_OK;
}

/* Sends to the end; who does not read keeps nobody waiting. */
static void finish(const struct local_client *first)
{
    uint64_t until_ns = clock_boot_ns() + FLUSH_NS;
    for (const struct local_client *c = first; c != NULL; c = c->next) {
        uint64_t now_ns = clock_boot_ns();
        while (!local_client_send((struct local_client *) (uintptr_t) c) && now_ns < until_ns) {
            struct pollfd item = {c->fd, POLLOUT, 0};
            int n = poll(&item, 1, (int) ((until_ns - now_ns) / NS_PER_MS) + 1);
            if ((n < 0 && errno != EINTR) || (item.revents & (POLLERR | POLLHUP)) != 0) {
                break;
            }
            now_ns = clock_boot_ns();
        }
    }
}

void local_api_destroy(local_api_t **p)
{
    local_api_t *a = *p;
    if (a == NULL) {
        return;
    }
    finish(a->clients);
    while (a->clients != NULL) {
        struct local_client *next = a->clients->next;
        local_client_free(a->clients, a->reactor);
        a->clients = next;
    }
    reactor_timer_disarm(a->reactor, &a->timer);
    if (a->fd >= 0) {
        reactor_remove_fd(a->reactor, a->fd);
        close(a->fd);
    }
    if (a->is_bound) {
        (void) unlink(a->path);
    }
    buf_fini(&a->answer);
    free(a);
    *p = NULL;
}

size_t local_api_waiting(const local_api_t *api)
{
    return api->waiting;
}

reactor_t *local_api_reactor(const local_api_t *a)
{
    return a->reactor;
}

/* ---- clients --------------------------------------------------------------------------------- */

/* The socket stays readable while nothing can be accepted: waiting for it would be a spin. */
static void pause_accepting(local_api_t *a)
{
    if (reactor_timer_arm(a->reactor, &a->timer, clock_boot_ns() + PAUSE_NS) == HM_OK) {
        reactor_remove_fd(a->reactor, a->fd);
        a->is_paused = true;
    }
}

/* Ends the one that has been silent longest since it connected, if any has for long. */
static bool end_silent(local_api_t *a)
{
    uint64_t now_ns = clock_boot_ns();
    struct local_client *oldest = NULL;
    for (struct local_client *c = a->clients; c != NULL; c = c->next) { /* the newest first */
        oldest = zmtp_stream_is_open(&c->stream) ? oldest : c;
    }
    if (oldest == NULL || now_ns - oldest->since_ns < SHAKE_NS) {
        return false;
    }
    local_api_ended(a, oldest);
    return true;
}

static bool accept_one(void *ctx)
{
    local_api_t *a = ctx;
    if (a->client_count == LOCAL_CLIENTS_MAX && !end_silent(a)) {
        pause_accepting(a);
        return false;
    }
    int fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(a);
        }
        return errno == ECONNABORTED || errno == EINTR;
    }
    struct local_client *c = local_client_new(a, a->reactor, fd);
    if (c != NULL) {
        c->next = a->clients;
        a->clients = c;
        a->client_count++;
    }
    return true;
}

void local_api_dirty(local_api_t *a, struct local_client *c)
{
    if (!c->is_dirty) {
        c->is_dirty = true;
        c->next_dirty = a->dirty;
        a->dirty = c;
    }
}

static void not_dirty(local_api_t *a, const struct local_client *c)
{
    struct local_client **at = &a->dirty;
    while (*at != NULL && *at != c) {
        at = &(*at)->next_dirty;
    }
    if (*at != NULL) {
        *at = c->next_dirty;
    }
}

void local_api_flush(local_api_t *api)
{
    struct local_client **at = &api->dirty;
    while (*at != NULL) {
        struct local_client *c = *at;
        if (local_client_gathers(c)) {
            at = &c->next_dirty;
            continue;
        }
        *at = c->next_dirty;
        c->is_dirty = false;
        local_client_send(c);
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void release(local_api_t *a, struct call *c)
{
    a->waiting--;
    c->from->waiting--;
    c->client = 0;
    c->from = NULL;
    c->next_free = a->first_free;
    a->first_free = (uint32_t) (c - a->calls);
}

void local_api_ended(local_api_t *a, struct local_client *c)
{
    struct local_client **at = &a->clients;
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    a->client_count--;
    for (size_t i = 0; i < LOCAL_CALLS_MAX; i++) {
        struct call *call = &a->calls[i];
        if (call->client != 0 && call->from == c) {
            uint64_t client = call->client;
            release(a, call);
            a->handler.gone(a->handler.ctx, client);
        }
    }
    not_dirty(a, c); /* an answer to another of its calls may have come meanwhile */
    local_client_free(c, a->reactor);
    if (a->is_paused) {
        resume(a);
    }
}

static int send_reply(local_api_t *a, const struct call *to, struct span reply)
{
    int rc = local_client_reply(to->from, to, reply);
    if (rc == HM_OK) {
        local_api_dirty(a, to->from);
        return HM_OK;
    }
    metric_add(a->metrics, M_REPLIES_LOST, 1);
    return HM_EFULL;
}

void local_api_refuse(local_api_t *a, const struct call *as, int code, const char *text)
{
    struct api_reply reply = {.code = code};
    metric_add(a->metrics, M_CALLS_REFUSED, 1);
    snprintf(reply.text, sizeof reply.text, "%s", text);
    buf_clear(&a->answer);
    api_reply_write(&a->answer, &reply);
    (void) send_reply(a, as, buf_span(&a->answer));
}

void local_api_request(local_api_t *a, const struct call *as, struct span request)
{
    size_t left = LOCAL_CALLS_MAX - a->waiting;
    if (left == 0 || (left <= LOCAL_CALLS_KEPT && as->from->waiting >= LOCAL_CALLS_FEW)) {
        local_api_refuse(a, as, HM_EBUSY, "too many requests wait on this node: try again later");
        return;
    }
    uint32_t index = a->first_free;
    struct call *c = &a->calls[index];
    a->first_free = c->next_free;
    a->waiting++;
    as->from->waiting++;
    *c = *as;
    c->client = ++a->last_client << INDEX_BITS | index;
    a->handler.call(a->handler.ctx, c->client, request);
}

static struct call *find(local_api_t *a, uint64_t client)
{
    size_t place = client & ((1u << INDEX_BITS) - 1);
    bool is_there = client != 0 && place < LOCAL_CALLS_MAX && a->calls[place].client == client;
    return is_there ? &a->calls[place] : NULL;
}

int local_api_reply(local_api_t *api, uint64_t client, struct span reply)
{
    struct call *c = find(api, client);
    if (c == NULL) {
        return HM_ENOTFOUND;
    }
    int rc = send_reply(api, c, reply);
    release(api, c);
    return rc;
}
