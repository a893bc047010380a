/* SPDX-License-Identifier: MPL-2.0 */
/* Bytes between a program and meshd: see conn.h. */
#define _GNU_SOURCE
#include "client/conn.h"

#include "base/be.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "wire/zmtp.h"

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
#define FLAG_MORE 0x01
#define FLAG_LONG 0x02
#define FLAG_COMMAND 0x04
#define READ_BYTES 65536
#define KEEP_BYTES (4 * READ_BYTES) /* a buffer that was larger gives its memory back */
#define GROUP_BYTES_MAX 65536       /* of the requests in one message */

struct conn {
    int fd;
    bool is_open;
    bool has_ended;
    struct zmtp handshake;
    struct buf in;
    size_t in_at; /* taken off the front of in */
    struct buf hello; /* of the handshake: goes before all of out */
    size_t hello_at;
    struct buf out;
    size_t out_at; /* the kernel has taken so many */
    size_t group_at;    /* where the last frame of the message under way begins; 0: none */
    size_t group_begin; /* where the message begins */
    unsigned group_count;
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
    zmtp_init(&c->handshake, ZMTP_DEALER);
    buf_init(&c->in, SIZE_MAX);
    buf_init(&c->hello, SIZE_MAX);
    buf_init(&c->out, SIZE_MAX);
    int code = connect_to(path, &c->fd);
    if (code == HM_OK) {
        zmtp_greeting_write(&c->hello);
        code = buf_failed(&c->hello) ? HM_ENOMEM : HM_OK;
    }
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
    zmtp_fini(&c->handshake);
    buf_fini(&c->in);
    buf_fini(&c->hello);
    buf_fini(&c->out);
    free(c);
    *p = NULL;
}

int conn_fd(const conn_t *conn)
{
    return conn->fd;
}

bool conn_wants_write(const conn_t *conn)
{
    return !conn->has_ended && (conn->hello_at < conn->hello.size ||
                                (conn->is_open && conn->out_at < conn->out.size));
}

bool conn_is_open(const conn_t *conn)
{
    return conn->is_open && !conn->has_ended;
}

bool conn_has_ended(const conn_t *conn)
{
    return conn->has_ended;
}

size_t conn_unsent(const conn_t *conn)
{
    return conn->out.size - conn->out_at;
}

static int end(conn_t *c, int code)
{
    c->has_ended = true;
    return code;
}

/* ---- writing --------------------------------------------------------------------------------- */

static uint8_t *put_head(uint8_t *to, uint8_t flags, size_t size)
{
    if (size <= UINT8_MAX) {
        to[0] = flags;
        to[1] = (uint8_t) size;
        return to + 2;
    }
    to[0] = flags | FLAG_LONG;
    return be_put(to + 1, size, 8);
}

/* Whether the message under way takes one more. */
static bool group_takes(const conn_t *c, size_t size)
{
    return c->group_at != 0 && c->group_count < HM_REQUESTS_PER_MESSAGE_MAX &&
           c->out.size - c->group_begin + size <= GROUP_BYTES_MAX;
}

int conn_put(conn_t *c, uint64_t id, struct span request)
{
    size_t before = c->out.size;
    size_t head = request.size <= UINT8_MAX ? 2 : 9;
    uint8_t *to = buf_extend(&c->out, 2 + ID_BYTES + head + request.size);
    if (to == NULL) {
        c->out.failed = false;
        buf_truncate(&c->out, before);
        return HM_ENOMEM;
    }
    if (group_takes(c, request.size)) {
        c->out.data[c->group_at] |= FLAG_MORE;
    } else {
        c->group_begin = before;
        c->group_count = 0;
    }
    c->group_count++;
    to = put_head(to, FLAG_MORE, ID_BYTES);
    memcpy(to, &id, ID_BYTES);
    to += ID_BYTES;
    c->group_at = (size_t) (to - c->out.data);
    to = put_head(to, 0, request.size);
    memcpy(to, request.data, request.size);
    return HM_OK;
}

static void clear_out(conn_t *c)
{
    size_t room = c->out.room;
    buf_clear(&c->out);
    c->out_at = 0;
    if (room > KEEP_BYTES) {
        buf_fini(&c->out);
        buf_init(&c->out, SIZE_MAX);
    }
}

/* Sends from *at on. HM_EUNREACHABLE: nobody takes any more; what came before may still be read. */
static int send_from(conn_t *c, const struct buf *b, size_t *at)
{
    while (*at < b->size) {
        ssize_t sent =
            send(c->fd, b->data + *at, b->size - *at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            *at += (size_t) sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
            return HM_OK;
        } else if (errno != EINTR) {
            return HM_EUNREACHABLE;
        }
    }
    return HM_OK;
}

int conn_flush(conn_t *c)
{
    c->group_at = 0;
    if (c->has_ended) {
        return HM_EUNREACHABLE;
    }
    int code = send_from(c, &c->hello, &c->hello_at);
    if (code == HM_OK && c->is_open) {
        code = send_from(c, &c->out, &c->out_at);
    }
    if (c->out_at > 0 && c->out_at == c->out.size) {
        clear_out(c);
    }
    return code;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int shake_hands(conn_t *c)
{
    static const uint8_t none[1];
    struct span bytes = span_of(c->in.data + c->in_at, c->in.size - c->in_at);
    while (!c->is_open && bytes.size > 0) {
        size_t before = bytes.size;
        enum zmtp_event event = zmtp_take(&c->handshake, &bytes);
        c->in_at += before - bytes.size;
        switch (event) {
        case ZMTP_GREETED:
            zmtp_ready_write(&c->hello, ZMTP_DEALER, span_of(none, 0));
            if (buf_failed(&c->hello)) {
                return end(c, HM_ENOMEM);
            }
            (void) conn_flush(c);
            break;
        case ZMTP_READY:
            c->is_open = true;
            (void) conn_flush(c); /* what was put meanwhile */
            break;
        case ZMTP_MORE:
            break;
        case ZMTP_MESSAGE:
        case ZMTP_PING:
        case ZMTP_BROKEN:
            return end(c, HM_EMALFORMED);
        }
    }
    return HM_OK;
}

/* What was taken goes; the rest moves to the front. */
static void compact(conn_t *c)
{
    size_t left = c->in.size - c->in_at;
    if (left == 0 && c->in.room > KEEP_BYTES) {
        buf_fini(&c->in);
        buf_init(&c->in, SIZE_MAX);
    } else if (c->in_at > 0) {
        memmove(c->in.data, c->in.data + c->in_at, left);
        buf_truncate(&c->in, left);
    }
    c->in_at = 0;
}

int conn_read(conn_t *c)
{
    if (c->has_ended) {
        return HM_EUNREACHABLE;
    }
    compact(c);
    size_t before = c->in.size;
    uint8_t *to = buf_extend(&c->in, READ_BYTES);
    if (to == NULL) {
        return end(c, HM_ENOMEM);
    }
    ssize_t got;
    do {
        got = recv(c->fd, to, READ_BYTES, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    buf_truncate(&c->in, before + (got > 0 ? (size_t) got : 0));
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return HM_ENOTFOUND;
    }
    if (got <= 0) {
        return end(c, HM_EUNREACHABLE);
    }
    return c->is_open ? HM_OK : shake_hands(c);
}

/* A command behind the handshake: a PING is answered, all others are of no meaning here. */
static int take_command(conn_t *c, struct span body)
{
    static const uint8_t ping[5] = {4, 'P', 'I', 'N', 'G'};
    if (body.size >= 7 && body.size <= 7 + 16 && memcmp(body.data, ping, sizeof ping) == 0) {
        zmtp_pong_write(&c->out, span_of(body.data + 7, body.size - 7));
        c->group_at = 0;
        if (buf_failed(&c->out)) {
            return end(c, HM_ENOMEM);
        }
        (void) conn_flush(c);
    }
    return HM_OK;
}

/* The next whole frame. HM_ENOTFOUND: it is not all here. */
static int take_frame(conn_t *c, uint8_t *ret_flags, struct span *ret_body)
{
    const uint8_t *at = c->in.data + c->in_at;
    size_t left = c->in.size - c->in_at;
    size_t head = left > 0 && (at[0] & FLAG_LONG) != 0 ? 9 : 2;
    if (left < head) {
        return HM_ENOTFOUND;
    }
    uint64_t size = be_get(at + 1, head - 1);
    if ((at[0] & ~(FLAG_MORE | FLAG_LONG | FLAG_COMMAND)) != 0 || size > HM_FRAME_BYTES_MAX) {
        return end(c, HM_EMALFORMED);
    }
    if (left - head < size) {
        return HM_ENOTFOUND;
    }
    *ret_flags = at[0];
    *ret_body = span_of(at + head, (size_t) size);
    c->in_at += head + (size_t) size;
    return HM_OK;
}

int conn_next(conn_t *c, uint64_t *ret_id, struct span *ret_reply)
{
    uint8_t flags;
    struct span body;
    int code = c->is_open ? HM_OK : HM_ENOTFOUND;
    while (code == HM_OK && (code = take_frame(c, &flags, &body)) == HM_OK) {
        if ((flags & FLAG_COMMAND) != 0) {
            code = take_command(c, body);
        } else if (c->has_id) {
            c->has_id = false;
            *ret_id = c->id;
            *ret_reply = body;
            return HM_OK;
        } else if ((flags & FLAG_MORE) == 0 || body.size != ID_BYTES) {
            code = end(c, HM_EMALFORMED);
        } else {
            memcpy(&c->id, body.data, ID_BYTES);
            c->has_id = true;
        }
    }
    return code;
}
