/* SPDX-License-Identifier: MPL-2.0 */
/* The local socket's streams: see zmtp_stream.h. */
#include "wire/zmtp_stream.h"

#include "base/be.h"
#include "base/err.h"

#include <string.h>

#define FLAG_MORE 0x01
#define FLAG_LONG 0x02
#define FLAG_COMMAND 0x04
#define SHORT_HEAD_BYTES 2
#define LONG_HEAD_BYTES 9
#define PING_HEAD_BYTES 7 /* 4 "PING" and 2 bytes of TTL */
#define CONTEXT_BYTES_MAX 16
#define KEPT_BYTES ((size_t) 256 << 10) /* a buffer that was larger gives its memory back */

void zmtp_stream_init(struct zmtp_stream *s, enum zmtp_role role, size_t frame_bytes_max)
{
    memset(s, 0, sizeof *s);
    zmtp_init(&s->handshake, role);
    s->frame_bytes_max = frame_bytes_max;
    buf_init(&s->in, SIZE_MAX);
    buf_init(&s->hello, SIZE_MAX);
    buf_init(&s->out, SIZE_MAX);
    zmtp_greeting_write(&s->hello);
}

void zmtp_stream_fini(struct zmtp_stream *s)
{
    zmtp_fini(&s->handshake);
    buf_fini(&s->in);
    buf_fini(&s->hello);
    buf_fini(&s->out);
}

static int broken(struct zmtp_stream *s, int code)
{
    s->is_broken = true;
    return code;
}

/* Takes the front off a buffer; an empty one that was large gives its memory back. */
static void cut_front(struct buf *b, size_t *at)
{
    size_t left = b->size - *at;
    if (left == 0 && b->room > KEPT_BYTES) {
        buf_fini(b);
        buf_init(b, SIZE_MAX);
    } else if (*at > 0) {
        memmove(b->data, b->data + *at, left);
        buf_truncate(b, left);
    }
    *at = 0;
}

/* ---- in -------------------------------------------------------------------------------------- */

static int shake_hands(struct zmtp_stream *s)
{
    static const uint8_t none[1];
    struct span bytes = span_of(s->in.data + s->in_at, s->in.size - s->in_at);
    while (!s->is_open && bytes.size > 0) {
        size_t before = bytes.size;
        enum zmtp_event event = zmtp_take(&s->handshake, &bytes);
        s->in_at += before - bytes.size;
        if (event == ZMTP_GREETED) {
            zmtp_ready_write(&s->hello, s->handshake.role, span_of(none, 0));
        } else if (event == ZMTP_READY) {
            s->is_open = true;
        } else if (event != ZMTP_MORE) {
            return broken(s, HM_EMALFORMED);
        }
    }
    return buf_failed(&s->hello) ? broken(s, HM_ENOMEM) : HM_OK;
}

uint8_t *zmtp_stream_room(struct zmtp_stream *s, size_t size)
{
    cut_front(&s->in, &s->in_at);
    return buf_extend(&s->in, size);
}

void zmtp_stream_let_go(struct zmtp_stream *s, size_t kept)
{
    if (s->in_at == s->in.size && s->in.room > kept) {
        buf_fini(&s->in);
        buf_init(&s->in, SIZE_MAX);
        s->in_at = 0;
    }
}

int zmtp_stream_fed(struct zmtp_stream *s, size_t size, size_t came)
{
    HM_ASSERT(came <= size && size <= s->in.size);
    buf_truncate(&s->in, s->in.size - size + came);
    return s->is_open ? HM_OK : shake_hands(s);
}

/* Behind the handshake a PING is answered, and all others are of no meaning here. */
static int take_command(struct zmtp_stream *s, struct span body)
{
    static const uint8_t ping[5] = {4, 'P', 'I', 'N', 'G'};
    if (body.size >= PING_HEAD_BYTES && body.size <= PING_HEAD_BYTES + CONTEXT_BYTES_MAX &&
        memcmp(body.data, ping, sizeof ping) == 0) {
        s->join_at = 0;
        if (zmtp_stream_unsent(s) == 0) { /* who does not read its PONGs needs no more of them */
            zmtp_pong_write(&s->out, span_of(body.data + PING_HEAD_BYTES, body.size - PING_HEAD_BYTES));
        }
    }
    return buf_failed(&s->out) ? broken(s, HM_ENOMEM) : HM_OK;
}

/* The next whole frame, commands too. */
static int take_frame(struct zmtp_stream *s, uint8_t *ret_flags, struct span *ret_body)
{
    const uint8_t *at = s->in.data + s->in_at;
    size_t left = s->in.size - s->in_at;
    size_t head = left > 0 && (at[0] & FLAG_LONG) != 0 ? LONG_HEAD_BYTES : SHORT_HEAD_BYTES;
    if (left < head) {
        return HM_ENOTFOUND;
    }
    uint64_t size = be_get(at + 1, head - 1);
    if ((at[0] & ~(FLAG_MORE | FLAG_LONG | FLAG_COMMAND)) != 0 || size > s->frame_bytes_max) {
        return broken(s, HM_EMALFORMED);
    }
    if (left - head < size) {
        return HM_ENOTFOUND;
    }
    *ret_flags = at[0];
    *ret_body = span_of(at + head, (size_t) size);
    s->in_at += head + (size_t) size;
    return HM_OK;
}

int zmtp_stream_frame(struct zmtp_stream *s, bool *ret_more, struct span *ret_body)
{
    uint8_t flags;
    int rc = s->is_broken ? HM_EMALFORMED : s->is_open ? HM_OK : HM_ENOTFOUND;
    while (rc == HM_OK && (rc = take_frame(s, &flags, ret_body)) == HM_OK) {
        if ((flags & FLAG_COMMAND) == 0) {
            *ret_more = (flags & FLAG_MORE) != 0;
            return HM_OK;
        }
        rc = take_command(s, *ret_body);
    }
    return rc;
}

bool zmtp_stream_is_open(const struct zmtp_stream *s)
{
    return s->is_open;
}

/* ---- out ------------------------------------------------------------------------------------- */

static size_t head_bytes(size_t size)
{
    return size <= UINT8_MAX ? SHORT_HEAD_BYTES : LONG_HEAD_BYTES;
}

static uint8_t *put_head(uint8_t *to, uint8_t flags, size_t size)
{
    if (size <= UINT8_MAX) {
        to[0] = flags;
        to[1] = (uint8_t) size;
        return to + SHORT_HEAD_BYTES;
    }
    to[0] = flags | FLAG_LONG;
    return be_put(to + 1, size, 8);
}

int zmtp_stream_put(struct zmtp_stream *s, const struct span *frames, size_t count, bool is_joining)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += head_bytes(frames[i].size) + frames[i].size;
    }
    if (s->out_at > KEPT_BYTES && s->out_at > s->out.size / 2) { /* the peer is slow */
        s->join_at -= s->join_at != 0 ? s->out_at : 0;
        cut_front(&s->out, &s->out_at);
    }
    uint8_t *to = buf_extend(&s->out, bytes);
    if (to == NULL) {
        s->out.failed = false;
        return HM_ENOMEM;
    }
    if (is_joining && s->join_at != 0) {
        s->out.data[s->join_at - 1] |= FLAG_MORE;
    }
    for (size_t i = 0; i < count; i++) {
        s->join_at = (size_t) (to - s->out.data) + 1;
        to = put_head(to, i + 1 < count ? FLAG_MORE : 0, frames[i].size);
        if (frames[i].size > 0) {
            memcpy(to, frames[i].data, frames[i].size);
        }
        to += frames[i].size;
    }
    return HM_OK;
}

bool zmtp_stream_can_join(const struct zmtp_stream *s)
{
    return s->join_at != 0;
}

struct span zmtp_stream_out(struct zmtp_stream *s)
{
    if (s->hello_at < s->hello.size) {
        return span_of(s->hello.data + s->hello_at, s->hello.size - s->hello_at);
    }
    if (!s->is_open || s->out_at == s->out.size) {
        return span_of(NULL, 0);
    }
    s->join_at = 0;
    return span_of(s->out.data + s->out_at, s->out.size - s->out_at);
}

void zmtp_stream_sent(struct zmtp_stream *s, size_t size)
{
    if (s->hello_at < s->hello.size) {
        s->hello_at += size;
        return;
    }
    s->out_at += size;
    if (s->out_at == s->out.size) {
        cut_front(&s->out, &s->out_at);
    }
}

size_t zmtp_stream_unsent(const struct zmtp_stream *s)
{
    return s->out.size - s->out_at;
}

bool zmtp_stream_wants_write(const struct zmtp_stream *s)
{
    return s->hello_at < s->hello.size || (s->is_open && zmtp_stream_unsent(s) > 0);
}
