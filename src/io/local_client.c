/* SPDX-License-Identifier: MPL-2.0 */
/* One client of the local socket: see local_priv.h. */
#define _GNU_SOURCE
#include "io/local_priv.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536
#define FULL_BYTES (HM_QUEUE_BYTES_MAX - HM_REPLY_BYTES_MAX) /* unsent: no more requests are taken */
/* Small replies that travel in one message, and go at once when there are so many: the client works on them while we work
 * on the rest of its message. */
#define JOINED_MAX 16
#define JOINED_BYTES_MAX 16384
#define JOINED_REPLY_MAX 1024 /* a larger one travels by itself */

static bool step(void *ctx);

/* ---- life ------------------------------------------------------------------------------------ */

struct local_client *local_client_new(local_api_t *api, reactor_t *r, int fd)
{
    struct local_client *c = calloc(1, sizeof *c);
    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->api = api;
    c->fd = fd;
    c->since_ns = clock_boot_ns();
    c->want = REACTOR_READ;
    zmtp_stream_init(&c->stream, ZMTP_ROUTER, HM_REQUEST_BYTES_MAX);
    if (reactor_add_fd(r, fd, c->want, REACTOR_CLIENTS, step, c) != HM_OK) {
        local_client_free(c, r);
        return NULL;
    }
    local_client_send(c); /* our greeting */
    return c;
}

void local_client_free(struct local_client *c, reactor_t *r)
{
    reactor_remove_fd(r, c->fd);
    close(c->fd);
    zmtp_stream_fini(&c->stream);
    free(c);
}

/* ---- out ------------------------------------------------------------------------------------- */

static bool is_full(const struct local_client *c)
{
    return zmtp_stream_unsent(&c->stream) > FULL_BYTES;
}

/* Watches for room only while there is something to send, and for requests while it reads the answers. */
static void watch(struct local_client *c)
{
    unsigned want = (is_full(c) ? 0 : REACTOR_READ) |
                    (zmtp_stream_wants_write(&c->stream) ? REACTOR_WRITE : 0);
    if (want != c->want) {
        c->want = want;
        reactor_change_fd(local_api_reactor(c->api), c->fd, want);
    }
}

bool local_client_send(struct local_client *c)
{
    for (struct span out = zmtp_stream_out(&c->stream); out.size > 0;
         out = zmtp_stream_out(&c->stream)) {
        ssize_t sent = send(c->fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            zmtp_stream_sent(&c->stream, (size_t) sent);
        } else if (errno != EINTR) {
            /* Its end is told by the loop, when it reads: the caller is in its own affairs. */
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                c->is_broken = true;
                shutdown(c->fd, SHUT_RDWR);
            }
            break;
        }
    }
    watch(c);
    return !zmtp_stream_wants_write(&c->stream);
}

bool local_client_gathers(const struct local_client *c)
{
    return c->is_taking && c->is_within && zmtp_stream_unsent(&c->stream) < JOINED_BYTES_MAX;
}

int local_client_reply(struct local_client *c, const struct call *to, struct span reply)
{
    struct span frames[3] = {span_of("", 0), span_of(to->id, to->id_bytes), reply};
    size_t bytes = to->id_bytes + reply.size;
    if (zmtp_stream_unsent(&c->stream) + bytes > HM_QUEUE_BYTES_MAX) {
        return HM_EFULL;
    }
    bool is_joining = zmtp_stream_can_join(&c->stream) && c->joined > 0 &&
                      c->joined_message == to->message && reply.size < JOINED_REPLY_MAX &&
                      c->joined_bytes + bytes <= JOINED_BYTES_MAX;
    size_t skipped = to->has_empty && !is_joining ? 0 : 1; /* the empty frame begins a message */
    int rc = zmtp_stream_put(&c->stream, frames + skipped, 3 - skipped, is_joining);
    if (rc == HM_OK) {
        c->joined_message = to->message;
        c->joined = is_joining ? c->joined + 1 : reply.size < JOINED_REPLY_MAX;
        c->joined_bytes = is_joining ? c->joined_bytes + bytes : bytes;
    }
    if (c->joined == JOINED_MAX) {
        c->joined = 0;
        local_client_send(c);
    }
    return rc;
}

/* ---- in -------------------------------------------------------------------------------------- */

/* Takes the next frame of the message. True: it was a request, or is refused. */
static bool take_frame(struct local_client *c, bool has_more, struct span body)
{
    if (!c->is_within) {
        c->message++;
        c->taken = 0;
        c->id_bytes = 0;
        c->is_refused = false;
        c->has_empty = body.size == 0 && has_more;
        c->is_within = has_more;
        if (c->has_empty) {
            return false;
        }
    }
    c->is_within = has_more;
    if (c->is_refused) {
        return false;
    }
    struct call as = {.from = c, .message = c->message, .has_empty = c->has_empty};
    if (c->id_bytes > 0) {
        memcpy(as.id, c->id, c->id_bytes);
        as.id_bytes = c->id_bytes;
        c->id_bytes = 0;
        c->taken++;
        local_api_request(c->api, &as, body);
        return true;
    }
    if (body.size > 0 && body.size <= sizeof c->id && has_more && c->taken < HM_REQUESTS_PER_MESSAGE_MAX) {
        memcpy(c->id, body.data, body.size);
        c->id_bytes = body.size;
        return false;
    }
    c->is_refused = true;
    local_api_refuse(c->api, &as, HM_EMALFORMED,
                     "a request has two frames: a request id of 1 to 32 bytes, and the request; a "
                     "message has at most 64 requests");
    return true;
}

/* Reads what has come, once. HM_ENOTFOUND: nothing. */
static int read_some(struct local_client *c)
{
    uint8_t *to = zmtp_stream_room(&c->stream, READ_BYTES);
    if (to == NULL) {
        return HM_ENOMEM;
    }
    ssize_t got = recv(c->fd, to, READ_BYTES, MSG_DONTWAIT);
    bool is_nothing = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    int rc = zmtp_stream_fed(&c->stream, READ_BYTES, got > 0 ? (size_t) got : 0);
    c->is_drained = got < READ_BYTES;
    return is_nothing ? HM_ENOTFOUND : got <= 0 ? HM_EUNREACHABLE : rc;
}

/* Nothing more to be taken for now. */
static bool rest(struct local_client *c)
{
    c->is_drained = false;
    zmtp_stream_let_go(&c->stream, 2 * READ_BYTES);
    local_client_send(c); /* also what waits for the rest of a message that does not come */
    return false;
}

/* What the loop calls when the descriptor stirs: one request, or one read. */
static bool step(void *ctx)
{
    struct local_client *c = ctx;
    bool has_more;
    struct span body;
    int rc;
    if (is_full(c)) {
        local_client_send(c);
    }
    if (is_full(c) && c->is_broken) { /* it will never read */
        local_api_ended(c->api, c);
        return false;
    }
    if (is_full(c)) {
        return false; /* goes on when the client has read */
    }
    while ((rc = zmtp_stream_frame(&c->stream, &has_more, &body)) == HM_OK) {
        c->is_taking = true;
        bool is_taken = take_frame(c, has_more, body);
        if (is_taken) {
            local_api_flush(c->api);
        }
        c->is_taking = false;
        if (is_taken) {
            return true;
        }
    }
    if (rc == HM_ENOTFOUND && c->is_drained) {
        return rest(c);
    }
    rc = rc == HM_ENOTFOUND ? read_some(c) : rc;
    if (rc == HM_ENOTFOUND) {
        return rest(c);
    }
    if (rc != HM_OK) {
        local_api_ended(c->api, c);
        return false;
    }
    return true;
}
