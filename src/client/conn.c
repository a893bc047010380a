/* SPDX-License-Identifier: MPL-2.0 */
/* Bytes between a program and meshd: see conn.h. */
#define _GNU_SOURCE
#include "client/conn.h"

#include "base/err.h"
#include "base/limits.h"
#include "wire/zmtp_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATH_BYTES 108 /* of a socket: sockaddr_un, with the NUL */
#define DIR_BYTES 4096
#define ID_BYTES 8
#define READ_BYTES 65536
#define GROUP_BYTES_MAX 65536       /* of the requests in one message */

struct conn {
    int fd;
    bool has_ended;
    struct zmtp_stream stream;
    unsigned group_count; /* requests in the message under way; 0: there is none */
    size_t group_bytes;
    bool has_id;
    uint64_t id;
};

/* ---- connecting ------------------------------------------------------------------------------ */

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
    if (slash == NULL || (size_t) (slash - path) >= sizeof dir - 1) {
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

static int connect_error(int error)
{
    switch (error) {
    case EAGAIN:
        return HM_EBUSY;
    case EACCES:
    case EPERM:
        return HM_EDENIED;
    case ENOMEM:
        return HM_ENOMEM;
    default:
        return HM_EUNREACHABLE;
    }
}

static int connect_to(const char *path, int *ret_fd)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    _Static_assert(sizeof sa.sun_path == PATH_BYTES, "a socket's path");
    int dir_fd = -1;
    int code = shorten(path, sa.sun_path, &dir_fd);
    if (code != HM_OK) {
        return code;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        code = HM_EIO;
    } else if (connect(fd, (const struct sockaddr *) &sa, sizeof sa) != 0) {
        code = connect_error(errno);
    }
    if (dir_fd >= 0) {
        close(dir_fd);
    }
    if (code != HM_OK && fd >= 0) {
        close(fd);
    }
    if (code == HM_OK) {
        *ret_fd = fd;
    }
    return code;
}

int conn_new(const char *path, conn_t **ret_conn)
{
    conn_t *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return HM_ENOMEM;
    }
    c->fd = -1;
    zmtp_stream_init(&c->stream, ZMTP_DEALER, HM_FRAME_BYTES_MAX);
    int code = connect_to(path, &c->fd);
    if (code != HM_OK) {
        conn_destroy(&c);
        return code;
    }
    *ret_conn = c;
    return HM_OK;
}

void conn_destroy(conn_t **p)
{
    conn_t *c = *p;
    if (c == NULL) {
        return;
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    zmtp_stream_fini(&c->stream);
    free(c);
    *p = NULL;
}

int conn_fd(const conn_t *conn)
{
    return conn->fd;
}

bool conn_wants_write(const conn_t *conn)
{
    return !conn->has_ended && zmtp_stream_wants_write(&conn->stream);
}

bool conn_is_open(const conn_t *conn)
{
    return zmtp_stream_is_open(&conn->stream) && !conn->has_ended;
}

bool conn_has_ended(const conn_t *conn)
{
    return conn->has_ended;
}

size_t conn_unsent(const conn_t *conn)
{
    return zmtp_stream_unsent(&conn->stream);
}

static int end(conn_t *c, int code)
{
    c->has_ended = true;
    return code;
}

/* ---- writing --------------------------------------------------------------------------------- */

int conn_put(conn_t *c, uint64_t id, struct span request)
{
    struct span frames[2] = {span_of((const uint8_t *) &id, ID_BYTES), request};
    bool is_joining = c->group_count > 0 && c->group_count < HM_REQUESTS_PER_MESSAGE_MAX &&
                      c->group_bytes + request.size <= GROUP_BYTES_MAX;
    int code = zmtp_stream_put(&c->stream, frames, 2, is_joining);
    if (code == HM_OK) {
        c->group_count = is_joining ? c->group_count + 1 : 1;
        c->group_bytes = is_joining ? c->group_bytes + request.size : request.size;
    }
    return code;
}

int conn_flush(conn_t *c)
{
    c->group_count = 0;
    if (c->has_ended) {
        return HM_EUNREACHABLE;
    }
    for (struct span out = zmtp_stream_out(&c->stream); out.size > 0;
         out = zmtp_stream_out(&c->stream)) {
        ssize_t sent = send(c->fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            zmtp_stream_sent(&c->stream, (size_t) sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
            return HM_OK;
        } else if (errno != EINTR) {
            return HM_EUNREACHABLE; /* nobody takes any more; what came before may still be read */
        }
    }
    return HM_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

int conn_read(conn_t *c)
{
    if (c->has_ended) {
        return HM_EUNREACHABLE;
    }
    uint8_t *to = zmtp_stream_room(&c->stream, READ_BYTES);
    if (to == NULL) {
        return end(c, HM_ENOMEM);
    }
    ssize_t got;
    do {
        got = recv(c->fd, to, READ_BYTES, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    int error = errno;
    bool was_open = zmtp_stream_is_open(&c->stream);
    int code = zmtp_stream_fed(&c->stream, READ_BYTES, got > 0 ? (size_t) got : 0);
    if (got < 0 && (error == EAGAIN || error == EWOULDBLOCK)) {
        return HM_ENOTFOUND;
    }
    if (got <= 0) {
        return end(c, HM_EUNREACHABLE);
    }
    if (code == HM_OK && !was_open) {
        (void) conn_flush(c); /* our part of the handshake, and what was put meanwhile */
    }
    return code == HM_OK ? HM_OK : end(c, code);
}

int conn_next(conn_t *c, uint64_t *ret_id, struct span *ret_reply)
{
    struct span body;
    bool has_more;
    int code;
    while ((code = zmtp_stream_frame(&c->stream, &has_more, &body)) == HM_OK) {
        if (c->has_id) {
            c->has_id = false;
            *ret_id = c->id;
            *ret_reply = body;
            return HM_OK;
        }
        if (!has_more || body.size != ID_BYTES) {
            return end(c, HM_EMALFORMED);
        }
        memcpy(&c->id, body.data, ID_BYTES);
        c->has_id = true;
    }
    return code == HM_ENOTFOUND ? code : end(c, code);
}
