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

#define OUT_MAX 256    /* messages of replies per client that it has not read: fewer of large ones */
#define IN_MAX 32      /* messages per client that wait for us, then it is pushed back. Of fewer, libzmq 4.3.4
                          would wake its thread at every part of every second or fourth of them */
#define TURN_MAX 64    /* messages of which none is a request, in one turn */
#define READERS_MAX 64 /* clients that are slow to read large replies at the same time */
#define FLUSH_MS 200   /* for replies at the end */
#define MONITOR_TURN_MAX 256
#define REPLIES_BYTES_MAX 16384 /* of small replies that travel in one message */
#define INDEX_BITS 16           /* of a call's number: its place; above it, a count that makes it unique */

/* Where a message came from. */
struct sender {
    int fd;
    bool has_empty;
    uint8_t routing[255]; /* ZeroMQ's limit */
    size_t routing_bytes;
};

struct call {
    uint64_t client; /* 0: free */
    bool is_gone;
    uint32_t next_free; /* place of the next one, LOCAL_CALLS_MAX: none */
    struct sender from;
    uint8_t id[LOCAL_REQUEST_ID_BYTES_MAX];
    size_t id_bytes;
};

/* The message that is being taken, request by request, and the small replies to it that are there already:
 * they go in one message too. */
struct exchange {
    bool is_begun; /* the message has parts left */
    unsigned taken; /* requests of it */
    struct sender from;
    struct buf replies;                            /* ids and replies, one behind the other */
    uint32_t sizes[2 * HM_REQUESTS_PER_MESSAGE_MAX]; /* of these */
    size_t count;                                  /* twice the replies */
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
    zmq_msg_t part;    /* what local_call.request points into */
    struct buf answer; /* for what we refuse ourselves */
    struct exchange now;
    uint32_t first_free;
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
    zmq_msg_init(&a->part);
    buf_init(&a->answer, 4096);
    buf_init(&a->now.replies, REPLIES_BYTES_MAX + OUTQ_SMALL_BYTES + LOCAL_REQUEST_ID_BYTES_MAX);
    for (uint32_t i = 0; i < LOCAL_CALLS_MAX; i++) {
        a->calls[i].next_free = i + 1;
    }
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
    zmq_msg_close(&a->part);
    buf_fini(&a->answer);
    buf_fini(&a->now.replies);
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
        if (c->client != 0 && !c->is_gone && c->from.fd == fd) {
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
    c->client = 0;
    c->is_gone = false;
    c->next_free = a->first_free;
    a->first_free = (uint32_t) (c - a->calls);
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

/* ---- replies --------------------------------------------------------------------------------- */

/* The parts that a message begins with; how many. */
static size_t address(const struct sender *to, struct span parts[2])
{
    parts[0] = span_of(to->routing, to->routing_bytes);
    parts[1] = span_of("", 0);
    return to->has_empty ? 2 : 1;
}

/* Sends the parts, the last one as the body. */
static int send_parts(local_api_t *a, int fd, const struct span *parts, size_t count)
{
    outq_t *out = out_of(a, fd);
    if (out == NULL) {
        return HM_EFULL;
    }
    int rc = outq_send(out, a->socket, parts, count - 1, parts[count - 1], HM_QUEUE_BYTES_MAX);
    return rc == HM_EUNREACHABLE ? HM_ENOTFOUND : rc == HM_OK ? HM_OK : HM_EFULL;
}

/* Sends the replies that were gathered. */
static void flush_replies(local_api_t *a)
{
    struct exchange *now = &a->now;
    struct span parts[2 + 2 * HM_REQUESTS_PER_MESSAGE_MAX];
    const uint8_t *at = now->replies.data;
    if (now->count == 0) {
        return;
    }
    size_t count = address(&now->from, parts);
    for (size_t i = 0; i < now->count; i++) {
        parts[count++] = span_of(at, now->sizes[i]);
        at += now->sizes[i];
    }
    if (send_parts(a, now->from.fd, parts, count) != HM_OK) {
        metric_add(a->metrics, M_REPLIES_LOST, now->count / 2);
    }
    buf_clear(&now->replies);
    now->count = 0;
}

static bool is_same(const struct sender *a, const struct sender *b)
{
    return a->fd == b->fd && a->has_empty == b->has_empty &&
           a->routing_bytes == b->routing_bytes &&
           memcmp(a->routing, b->routing, a->routing_bytes) == 0;
}

/* Keeps it for the message of replies. False: it is to be sent by itself. */
static bool gather(local_api_t *a, const struct call *c, struct span reply)
{
    struct exchange *now = &a->now;
    bool has_company = now->count > 0 || (now->is_begun && zmq_msg_more(&a->part) != 0);
    if (!has_company || reply.size >= OUTQ_SMALL_BYTES || !is_same(&now->from, &c->from)) {
        return false;
    }
    if (now->count + 2 > sizeof now->sizes / sizeof now->sizes[0] ||
        now->replies.size + c->id_bytes + reply.size > REPLIES_BYTES_MAX) {
        flush_replies(a);
    }
    buf_append(&now->replies, c->id, c->id_bytes);
    buf_append(&now->replies, reply.data, reply.size);
    if (buf_failed(&now->replies)) { /* no memory: those before it still go */
        now->replies.failed = false;
        flush_replies(a);
        return false;
    }
    now->sizes[now->count++] = (uint32_t) c->id_bytes;
    now->sizes[now->count++] = (uint32_t) reply.size;
    return true;
}

/* HM_OK also for what is gathered: that it is lost shows later, and is counted then. */
static int send_reply(local_api_t *a, const struct call *c, struct span reply)
{
    struct span parts[4];
    if (gather(a, c, reply)) {
        local_api_flush(a);
        return HM_OK;
    }
    size_t count = address(&c->from, parts);
    parts[count++] = span_of(c->id, c->id_bytes);
    parts[count++] = reply;
    int rc = send_parts(a, c->from.fd, parts, count);
    metric_add(a->metrics, M_REPLIES_LOST, rc != HM_OK);
    return rc;
}

static void refuse(local_api_t *a, const struct call *c, int code, const char *text)
{
    struct api_reply reply = {.code = code};
    metric_add(a->metrics, M_CALLS_REFUSED, 1);
    snprintf(reply.text, sizeof reply.text, "%s", text);
    buf_clear(&a->answer);
    api_reply_write(&a->answer, &reply);
    (void) send_reply(a, c, buf_span(&a->answer));
}

static struct call *find(local_api_t *a, uint64_t client)
{
    struct call *c = &a->calls[client & ((1u << INDEX_BITS) - 1)];
    bool is_place = (client & ((1u << INDEX_BITS) - 1)) < LOCAL_CALLS_MAX;
    return client != 0 && is_place && c->client == client ? c : NULL;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* The next part of the socket's message. False: there is none. */
static bool next_part(local_api_t *a)
{
    int got;
    do {
        got = zmq_msg_recv(&a->part, a->socket, ZMQ_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    return got >= 0;
}

/* The parts of a message come together, so that there is one where `more` was said. */
static bool has_more(const local_api_t *a)
{
    return zmq_msg_more(&a->part) != 0;
}

static void skip_rest(local_api_t *a)
{
    while (has_more(a) && next_part(a)) {
    }
    a->now.is_begun = false;
}

static void refuse_frames(local_api_t *a, const struct call *c)
{
    refuse(a, c, HM_EMALFORMED,
           "a request has two frames: a request id of 1 to 32 bytes, and the request; a message has "
           "at most 64 requests");
    skip_rest(a);
    flush_replies(a);
}

/* Takes the head of a message: who sent it. The part is its first request id then. False: no message. */
static bool begin_message(local_api_t *a)
{
    struct sender *from = &a->now.from;
    if (!next_part(a)) {
        return false;
    }
    from->routing_bytes = zmq_msg_size(&a->part);
    memcpy(from->routing, zmq_msg_data(&a->part), from->routing_bytes);
    from->has_empty = false;
    from->fd = -1;
    a->now.is_begun = true;
    a->now.taken = 0;
    if (!has_more(a) || !next_part(a)) {
        return true;
    }
    /* Not of the routing id's part: when poll fetched it, libzmq 4.3.4 leaves its origin out. */
    from->fd = zmq_msg_get(&a->part, ZMQ_SRCFD);
    if (zmq_msg_size(&a->part) == 0) {
        from->has_empty = true;
        a->now.is_begun = !has_more(a) || next_part(a);
    }
    return true;
}

/* Takes id and request of the message under way, whose id is the part. False: they are refused. */
static bool take_request(local_api_t *a, struct local_call *ret_call)
{
    struct call wrong = {.from = a->now.from};
    uint8_t id[LOCAL_REQUEST_ID_BYTES_MAX];
    size_t size = zmq_msg_size(&a->part);
    bool is_good = size > 0 && size <= sizeof id && has_more(a) &&
                   a->now.taken < HM_REQUESTS_PER_MESSAGE_MAX;
    if (is_good) {
        memcpy(id, zmq_msg_data(&a->part), size);
        is_good = next_part(a);
    }
    if (!is_good) {
        refuse_frames(a, &wrong);
        return false;
    }
    a->now.taken++;
    struct call *c = a->first_free < LOCAL_CALLS_MAX ? &a->calls[a->first_free] : &wrong;
    memcpy(c->id, id, size);
    c->id_bytes = size;
    if (c == &wrong) {
        refuse(a, c, HM_EBUSY, "too many requests wait on this node: try again later");
        return false;
    }
    c->from = a->now.from;
    c->client = ++a->last_client << INDEX_BITS | a->first_free;
    a->first_free = c->next_free;
    a->waiting++;
    ret_call->client = c->client;
    ret_call->is_gone = false;
    ret_call->request = span_of(zmq_msg_data(&a->part), zmq_msg_size(&a->part));
    return true;
}

/* On to the next request of the message; false: it has no more. */
static bool goes_on(local_api_t *a)
{
    if (a->now.is_begun && (!has_more(a) || !next_part(a))) {
        a->now.is_begun = false;
    }
    return a->now.is_begun;
}

int local_api_take(local_api_t *api, struct local_call *ret_call)
{
    bool is_within = goes_on(api);
    for (int i = 0; i < TURN_MAX; i++) {
        if (!is_within) {
            flush_replies(api);
            drain_monitor(api);
            if (take_gone(api, ret_call)) {
                return HM_OK;
            }
            if (!begin_message(api)) {
                break;
            }
        }
        if (take_request(api, ret_call)) {
            return HM_OK;
        }
        is_within = goes_on(api);
    }
    flush_replies(api);
    return HM_ENOTFOUND;
}

void local_api_flush(local_api_t *api)
{
    if (!api->now.is_begun || !has_more(api)) {
        flush_replies(api);
    }
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
