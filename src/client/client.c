/* SPDX-License-Identifier: MPL-2.0 */
/* A connection to the local socket of a meshd: see client.h. */
#define _GNU_SOURCE
#include "client/client.h"

#include "base/err.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define ENDPOINT_BYTES 128
#define PATH_BYTES 108 /* of a socket: sockaddr_un, with the NUL */
#define DIR_BYTES 4096
#define LAST_WORDS_MS 20 /* a reply may be on its way through libzmq when its connection ends */
/* Not -1: then libzmq 4.3.4 drops a reply that came just before the connection ended. */
#define RECONNECT_NEVER_MS 86400000
#define ENDS                                                                                       \
    (ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED |                       \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)

struct client {
    void *zmq_ctx;
    void *socket;
    void *monitor; /* one event on it means that the connection is over */
    zmq_msg_t reply;
    struct buf request;
    uint64_t last_id;
    int output_fd;
    int dir_fd; /* of a socket with a long path, while we may connect; -1: none */
    bool has_ended;
};

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

/* The path itself, or a short way to it through an open directory. HM_EINVAL: the name alone is too
 * long. HM_EUNREACHABLE: no such directory. */
static int shorten(const char *path, char ret_path[PATH_BYTES], int *ret_dir_fd)
{
    char dir[DIR_BYTES];
    const char *slash = strrchr(path, '/');
    size_t size = strlen(path);
    if (size == 0) {
        return HM_EINVAL;
    }
    if (size < PATH_BYTES) {
        memcpy(ret_path, path, size + 1);
        return HM_OK;
    }
    if (slash == NULL || (size_t) (slash - path) >= sizeof dir) {
        return HM_EINVAL;
    }
    snprintf(dir, sizeof dir, "%.*s/", (int) (slash - path), path);
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno == EACCES ? HM_EDENIED : HM_EUNREACHABLE;
    }
    int n = snprintf(ret_path, PATH_BYTES, "/proc/self/fd/%d/%s", fd, slash + 1);
    if (n < 0 || n >= PATH_BYTES) {
        close(fd);
        return HM_EINVAL;
    }
    *ret_dir_fd = fd;
    return HM_OK;
}

/* libzmq would try to connect for ever, and not say why it cannot. */
static int try_connect(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    _Static_assert(sizeof sa.sun_path == PATH_BYTES, "a socket's path");
    memcpy(sa.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return HM_EIO;
    }
    int code = HM_OK;
    if (connect(fd, (const struct sockaddr *) &sa, sizeof sa) != 0) {
        switch (errno) {
        case EAGAIN: /* it listens, but is busy */
            break;
        case EACCES:
        case EPERM:
            code = HM_EDENIED;
            break;
        default:
            code = HM_EUNREACHABLE;
            break;
        }
    }
    close(fd);
    return code;
}

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int open_sockets(client_t *c, const char *path)
{
    char endpoint[ENDPOINT_BYTES];
    int64_t bytes_max = HM_FRAME_BYTES_MAX + 4096;
    c->zmq_ctx = zmq_ctx_new();
    if (c->zmq_ctx == NULL) {
        return HM_ENOMEM;
    }
    c->socket = zmq_socket(c->zmq_ctx, ZMQ_DEALER);
    c->monitor = zmq_socket(c->zmq_ctx, ZMQ_PAIR);
    snprintf(endpoint, sizeof endpoint, "ipc://%s", path);
    bool is_open = c->socket != NULL && c->monitor != NULL &&
                   set_int(c->socket, ZMQ_LINGER, 0) == 0 &&
                   set_int(c->monitor, ZMQ_LINGER, 0) == 0 &&
                   set_int(c->socket, ZMQ_RECONNECT_IVL, RECONNECT_NEVER_MS) == 0 &&
                   zmq_setsockopt(c->socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max) == 0 &&
                   zmq_socket_monitor(c->socket, "inproc://client-monitor", ENDS) == 0 &&
                   zmq_connect(c->monitor, "inproc://client-monitor") == 0 &&
                   zmq_connect(c->socket, endpoint) == 0;
    return is_open ? HM_OK : HM_EIO;
}

int client_new(const char *path, client_t **ret_client)
{
    char short_path[PATH_BYTES];
    client_t *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return HM_ENOMEM;
    }
    c->output_fd = -1;
    c->dir_fd = -1;
    zmq_msg_init(&c->reply);
    buf_init(&c->request, HM_REQUEST_BYTES_MAX);
    int code = shorten(path, short_path, &c->dir_fd);
    code = code != HM_OK ? code : try_connect(short_path);
    code = code != HM_OK ? code : open_sockets(c, short_path);
    if (code != HM_OK) {
        client_destroy(&c);
        return code;
    }
    *ret_client = c;
    return HM_OK;
}

void client_destroy(client_t **p)
{
    client_t *c = *p;
    if (c == NULL) {
        return;
    }
    if (c->socket != NULL) {
        zmq_socket_monitor(c->socket, NULL, 0);
        zmq_close(c->socket);
    }
    if (c->monitor != NULL) {
        zmq_close(c->monitor);
    }
    if (c->dir_fd >= 0) {
        close(c->dir_fd);
    }
    zmq_msg_close(&c->reply);
    buf_fini(&c->request);
    if (c->zmq_ctx != NULL) {
        zmq_ctx_term(c->zmq_ctx);
    }
    free(c);
    *p = NULL;
}

void client_watch_output(client_t *client, int fd)
{
    client->output_fd = fd;
}

/* Waits for the socket. HM_OK: it can be read. Remembers that the connection has ended, in which
 * case a reply may still be there. */
static int wait_socket(client_t *c, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = now_ms();
        if (c->has_ended && deadline_ms > now + LAST_WORDS_MS) {
            deadline_ms = now + LAST_WORDS_MS;
        }
        zmq_pollitem_t items[3] = {{.socket = c->socket, .events = ZMQ_POLLIN}};
        int count = 1;
        if (!c->has_ended) {
            items[count++] = (zmq_pollitem_t){.socket = c->monitor, .events = ZMQ_POLLIN};
        }
        if (c->output_fd >= 0) {
            items[count++] = (zmq_pollitem_t){.fd = c->output_fd, .events = ZMQ_POLLERR};
        }
        int got = zmq_poll(items, count, now < deadline_ms ? (long) (deadline_ms - now) : 0);
        if (got < 0 && errno != EINTR) {
            return HM_EIO;
        }
        if (got > 0 && items[0].revents != 0) {
            return HM_OK;
        }
        if (got > 0 && !c->has_ended && items[1].revents != 0) {
            c->has_ended = true;
        } else if (got > 0) {
            return HM_EIO;
        } else if (got == 0 && c->has_ended) {
            return HM_EUNREACHABLE;
        } else if (got == 0 && now_ms() >= deadline_ms) {
            return HM_ETIMEDOUT;
        }
    }
}

/* Takes one message: *ret_id and c->reply. HM_ENOTFOUND: there is none, or it is no reply. */
static int receive(client_t *c, uint64_t *ret_id)
{
    int parts = 0;
    size_t id_bytes = 0;
    bool more = true;
    while (more) {
        if (zmq_msg_recv(&c->reply, c->socket, ZMQ_DONTWAIT) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno == EAGAIN ? HM_ENOTFOUND : HM_EIO;
        }
        if (parts == 0) {
            id_bytes = zmq_msg_size(&c->reply);
            if (id_bytes == sizeof *ret_id) {
                memcpy(ret_id, zmq_msg_data(&c->reply), id_bytes);
            }
        }
        parts++;
        more = zmq_msg_more(&c->reply);
    }
    return parts == 2 && id_bytes == sizeof *ret_id ? HM_OK : HM_ENOTFOUND;
}

static int send_request(client_t *c, const struct api_request *request)
{
    buf_clear(&c->request);
    api_request_write(&c->request, request);
    if (buf_failed(&c->request)) {
        return HM_EFULL;
    }
    c->last_id++;
    if (zmq_send(c->socket, &c->last_id, sizeof c->last_id, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(c->socket, c->request.data, c->request.size, ZMQ_DONTWAIT) < 0) {
        return HM_EUNREACHABLE;
    }
    return HM_OK;
}

int client_send(client_t *client, const struct api_request *request, uint64_t *ret_id)
{
    int code = send_request(client, request);
    if (code == HM_OK) {
        *ret_id = client->last_id;
    }
    return code;
}

/* The next message, kept in c->reply and not looked into. */
static int receive_any(client_t *c, uint64_t deadline_ms, uint64_t *ret_id)
{
    int code = HM_ENOTFOUND;
    while (code == HM_ENOTFOUND) {
        code = wait_socket(c, deadline_ms);
        code = code == HM_OK ? receive(c, ret_id) : code;
    }
    return code;
}

static int read_reply(client_t *c, struct api_reply *ret_reply)
{
    return api_reply_read(span_of(zmq_msg_data(&c->reply), zmq_msg_size(&c->reply)), ret_reply);
}

int client_receive(client_t *client, uint64_t timeout_ms, uint64_t *ret_id,
                   struct api_reply *ret_reply)
{
    int code = receive_any(client, now_ms() + timeout_ms, ret_id);
    return code == HM_OK ? read_reply(client, ret_reply) : code;
}

int client_call(client_t *client, const struct api_request *request, uint64_t timeout_ms,
                struct api_reply *ret_reply)
{
    uint64_t deadline_ms = now_ms() + timeout_ms;
    uint64_t wanted = 0;
    uint64_t id = 0;
    int code = client_send(client, request, &wanted);
    while (code == HM_OK && id != wanted) {
        /* What else comes is a late reply to a call that was given up. */
        code = receive_any(client, deadline_ms, &id);
    }
    return code == HM_OK ? read_reply(client, ret_reply) : code;
}

int client_wait_end(client_t *client, uint64_t timeout_ms)
{
    uint64_t deadline_ms = now_ms() + timeout_ms;
    for (;;) {
        uint64_t id;
        int code = wait_socket(client, deadline_ms);
        if (code != HM_OK) {
            return code == HM_EUNREACHABLE ? HM_OK : code;
        }
        receive(client, &id);
    }
}
