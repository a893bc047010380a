/* SPDX-License-Identifier: MPL-2.0 */
/* The local socket: see local_api.h.
 *
 * Which connection a call came on is known by its descriptor (ZMQ_SRCFD), and the monitor names the
 * descriptor of a connection that ended before it is closed. So as long as the monitor is emptied
 * before the socket is read, a descriptor that was used again is never mistaken. */
#define _GNU_SOURCE
#include "io/local_api.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/monitor.h"
#include "io/outq.h"
#include "wire/api_msg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#define PARTS_MAX 4    /* routing id, empty, request id, request */
#define OUT_MAX 64     /* replies per client that it has not read: fewer of large ones */
#define IN_MAX 8       /* requests per client that wait for us, then it is pushed back */
#define TURN_MAX 64    /* messages of which none is a request, in one turn */
#define READERS_MAX 64 /* clients that are slow to read large replies at the same time */
#define FLUSH_MS 200   /* for replies at the end */
#define MONITOR_TURN_MAX 256

struct call {
    uint64_t client; /* 0: free */
    int fd;
    bool is_gone;
    bool has_empty;
    uint8_t routing[255]; /* ZeroMQ's limit */
    size_t routing_bytes;
    uint8_t id[LOCAL_REQUEST_ID_BYTES_MAX];
    size_t id_bytes;
};

/* A connection whose replies are counted until libzmq has passed them on. */
struct reader {
    int fd;
    outq_t *out; /* NULL: free */
};

struct local_api {
    void *socket;
    void *monitor;
    struct metrics *metrics;
    char path[108];
    bool is_bound; /* the file at path is ours */
    uint64_t last_client;
    size_t waiting;
    size_t gone;
    zmq_msg_t request; /* what local_call.request points into */
    struct buf answer; /* for what we refuse ourselves */
    struct call calls[LOCAL_CALLS_MAX];
    struct reader readers[READERS_MAX];
};

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

/* libzmq unlinks whatever lies at the path, so look first. */
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

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int configure(void *socket)
{
    int64_t bytes_max = HM_REQUEST_BYTES_MAX;
    return set_int(socket, ZMQ_ROUTER_MANDATORY, 1) != 0 ||
                   set_int(socket, ZMQ_LINGER, FLUSH_MS) != 0 ||
                   set_int(socket, ZMQ_SNDTIMEO, 0) != 0 ||
                   set_int(socket, ZMQ_SNDHWM, OUT_MAX) != 0 ||
                   set_int(socket, ZMQ_RCVHWM, IN_MAX) != 0 ||
                   zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max) != 0
               ? -1
               : 0;
}

static int open_sockets(local_api_t *a, void *zmq_ctx)
{
    char endpoint[128];
    a->socket = zmq_socket(zmq_ctx, ZMQ_ROUTER);
    if (a->socket == NULL || configure(a->socket) != 0) {
        return -1;
    }
    /* The address makes the name unique in the process. */
    snprintf(endpoint, sizeof endpoint, "inproc://local-api-%p", (void *) a);
    a->monitor = monitor_new(zmq_ctx, a->socket, endpoint, ZMQ_EVENT_DISCONNECTED);
    if (a->monitor == NULL) {
        return -1;
    }
    snprintf(endpoint, sizeof endpoint, "ipc://%s", a->path);
    a->is_bound = zmq_bind(a->socket, endpoint) == 0;
    return a->is_bound ? 0 : -1;
}

int local_api_new(void *zmq_ctx, const char *path, struct metrics *metrics, local_api_t **ret_api,
                  struct why *why)
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
    a->metrics = metrics;
    zmq_msg_init(&a->request);
    buf_init(&a->answer, 4096);
    /* The daemon's umask gives 0600 from the first moment; chmod for callers with another one. */
    if (open_sockets(a, zmq_ctx) != 0 || chmod(path, 0600) != 0) {
        int code = errno == EACCES || errno == EPERM ? HM_EDENIED : HM_EIO;
        why_set(why, code, "cannot make the socket %s: %s", path, zmq_strerror(errno));
        local_api_destroy(&a);
        return code;
    }
    *ret_api = a;
    return HM_OK;
}

void local_api_destroy(local_api_t **p)
{
    local_api_t *a = *p;
    if (a == NULL) {
        return;
    }
    if (a->socket != NULL) {
        monitor_destroy(&a->monitor, a->socket);
        zmq_close(a->socket);
    }
    if (a->is_bound) {
        (void) unlink(a->path); /* libzmq 4.3.4 leaves it */
    }
    for (size_t i = 0; i < READERS_MAX; i++) {
        outq_destroy(&a->readers[i].out);
    }
    zmq_msg_close(&a->request);
    buf_fini(&a->answer);
    free(a);
    *p = NULL;
}

void *local_api_socket(const local_api_t *api)
{
    return api->socket;
}

void *local_api_monitor(const local_api_t *api)
{
    return api->monitor;
}

size_t local_api_waiting(const local_api_t *api)
{
    return api->waiting;
}

/* ---- clients that went away ------------------------------------------------------------------ */

static void mark_gone(local_api_t *a, int fd)
{
    for (size_t i = 0; i < LOCAL_CALLS_MAX; i++) {
        struct call *c = &a->calls[i];
        if (c->client != 0 && !c->is_gone && c->fd == fd) {
            c->is_gone = true;
            a->gone++;
        }
    }
}

static void forget_reader(local_api_t *a, int fd)
{
    for (size_t i = 0; i < READERS_MAX; i++) {
        if (a->readers[i].out != NULL && a->readers[i].fd == fd) {
            outq_destroy(&a->readers[i].out);
        }
    }
}

/* The queue of a connection: its own, or one of which nothing waits any more. NULL: as many clients as
 * may do not read, or out of memory. */
static outq_t *out_of(local_api_t *a, int fd)
{
    struct reader *idle = NULL;
    for (size_t i = 0; i < READERS_MAX; i++) {
        struct reader *r = &a->readers[i];
        if (r->out != NULL && r->fd == fd) {
            return r->out;
        }
        if (idle == NULL && (r->out == NULL || outq_bytes(r->out) == 0)) {
            idle = r;
        }
    }
    if (idle == NULL) {
        return NULL;
    }
    idle->fd = fd;
    idle->out = idle->out != NULL ? idle->out : outq_new();
    return idle->out;
}

static void drain_monitor(local_api_t *a)
{
    uint16_t event;
    uint32_t fd;
    for (int i = 0; i < MONITOR_TURN_MAX && monitor_take(a->monitor, &event, &fd); i++) {
        if (event == ZMQ_EVENT_DISCONNECTED) {
            mark_gone(a, (int) fd);
            forget_reader(a, (int) fd);
        }
    }
}

static void release(local_api_t *a, struct call *c)
{
    a->gone -= c->is_gone;
    a->waiting--;
    memset(c, 0, sizeof *c);
}

static bool take_gone(local_api_t *a, struct local_call *ret_call)
{
    for (size_t i = 0; a->gone > 0 && i < LOCAL_CALLS_MAX; i++) {
        struct call *c = &a->calls[i];
        if (c->client != 0 && c->is_gone) {
            struct local_call gone = {.client = c->client, .is_gone = true};
            release(a, c);
            *ret_call = gone;
            return true;
        }
    }
    return false;
}

/* ---- requests and replies -------------------------------------------------------------------- */

/* Reads one message of any number of parts; keeps the first PARTS_MAX. Returns how many there were,
 * or -1 if there is none. Each of parts is initialised. */
static int receive(void *socket, zmq_msg_t parts[PARTS_MAX])
{
    int count = 0;
    zmq_msg_t rest;
    for (int i = 0; i < PARTS_MAX; i++) {
        zmq_msg_init(&parts[i]);
    }
    zmq_msg_init(&rest);
    for (;;) {
        zmq_msg_t *to = count < PARTS_MAX ? &parts[count] : &rest;
        int got = zmq_msg_recv(to, socket, ZMQ_DONTWAIT);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            count = -1;
            break;
        }
        count++;
        if (!zmq_msg_more(to)) {
            break;
        }
    }
    zmq_msg_close(&rest);
    return count;
}

static int send_reply(local_api_t *a, const struct call *c, struct span reply)
{
    struct span parts[3];
    size_t count = 0;
    outq_t *out = out_of(a, c->fd);
    parts[count++] = span_of(c->routing, c->routing_bytes);
    if (c->has_empty) {
        parts[count++] = span_of("", 0);
    }
    parts[count++] = span_of(c->id, c->id_bytes);
    if (out == NULL) {
        return HM_EFULL;
    }
    int rc = outq_send(out, a->socket, parts, count, reply, HM_QUEUE_BYTES_MAX);
    return rc == HM_EUNREACHABLE ? HM_ENOTFOUND : rc == HM_OK ? HM_OK : HM_EFULL;
}

static void refuse(local_api_t *a, const struct call *c, int code, const char *text)
{
    struct api_reply reply = {.code = code};
    metric_add(a->metrics, M_CALLS_REFUSED, 1);
    snprintf(reply.text, sizeof reply.text, "%s", text);
    buf_clear(&a->answer);
    api_reply_write(&a->answer, &reply);
    if (send_reply(a, c, buf_span(&a->answer)) != HM_OK) {
        metric_add(a->metrics, M_REPLIES_LOST, 1);
    }
}

static struct call *find(local_api_t *a, uint64_t client)
{
    for (size_t i = 0; i < LOCAL_CALLS_MAX; i++) {
        if (a->calls[i].client == client) {
            return &a->calls[i];
        }
    }
    return NULL;
}

/* Fills who asks from the parts; returns the request's part or NULL if the framing is wrong. */
static zmq_msg_t *read_parts(zmq_msg_t parts[PARTS_MAX], int count, struct call *c)
{
    int at = 1;
    c->routing_bytes = zmq_msg_size(&parts[0]);
    memcpy(c->routing, zmq_msg_data(&parts[0]), c->routing_bytes);
    /* Not of the routing id's part: when poll fetched it, libzmq 4.3.4 leaves its origin out. */
    c->fd = count > 1 ? zmq_msg_get(&parts[1], ZMQ_SRCFD) : -1;
    if (count > 1 && zmq_msg_size(&parts[1]) == 0) {
        c->has_empty = true;
        at = 2;
    }
    if (count != at + 2) {
        return NULL;
    }
    size_t size = zmq_msg_size(&parts[at]);
    if (size == 0 || size > sizeof c->id) {
        return NULL;
    }
    memcpy(c->id, zmq_msg_data(&parts[at]), size);
    c->id_bytes = size;
    return &parts[at + 1];
}

/* True: a call is in ret_call. */
static bool take_request(local_api_t *a, zmq_msg_t parts[PARTS_MAX], int count,
                         struct local_call *ret_call)
{
    struct call c = {.fd = -1};
    zmq_msg_t *request = read_parts(parts, count, &c);
    if (request == NULL) {
        refuse(a, &c, HM_EMALFORMED,
               "a request has two frames: a request id of 1 to 32 bytes, and the request");
        return false;
    }
    struct call *place = find(a, 0);
    if (place == NULL) {
        refuse(a, &c, HM_EBUSY, "too many requests wait on this node: try again later");
        return false;
    }
    c.client = ++a->last_client;
    *place = c;
    a->waiting++;
    zmq_msg_move(&a->request, request);
    ret_call->client = c.client;
    ret_call->is_gone = false;
    ret_call->request = span_of(zmq_msg_data(&a->request), zmq_msg_size(&a->request));
    return true;
}

int local_api_take(local_api_t *api, struct local_call *ret_call)
{
    drain_monitor(api);
    if (take_gone(api, ret_call)) {
        return HM_OK;
    }
    for (int i = 0; i < TURN_MAX; i++) {
        zmq_msg_t parts[PARTS_MAX];
        int count = receive(api->socket, parts);
        bool taken = count > 0 && take_request(api, parts, count, ret_call);
        for (int k = 0; k < PARTS_MAX; k++) {
            zmq_msg_close(&parts[k]);
        }
        if (taken) {
            return HM_OK;
        }
        if (count < 0) {
            break;
        }
    }
    return HM_ENOTFOUND;
}

int local_api_reply(local_api_t *api, uint64_t client, struct span reply)
{
    struct call *c = client == 0 ? NULL : find(api, client);
    if (c == NULL) {
        return HM_ENOTFOUND;
    }
    int rc = send_reply(api, c, reply);
    metric_add(api->metrics, M_REPLIES_LOST, rc != HM_OK);
    release(api, c);
    return rc;
}
