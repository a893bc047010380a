/* SPDX-License-Identifier: MPL-2.0 */
/* The local socket's streams, both ends. The same bytes give the same frames however they are cut; all that is kept is
 * what came; and what one end puts, joined or not, the other takes as it was. The first byte chooses role and
 * cut, and whether the bytes come behind a good handshake. */
#include "fuzz.h"

#include "base/err.h"
#include "wire/zmtp_stream.h"

#define FRAME_BYTES_MAX 300

struct trace {
    uint64_t hash;
    size_t frames;
    int end; /* HM_OK: it did not break */
};

static void note(struct trace *t, bool has_more, struct span body)
{
    t->frames++;
    t->hash = (t->hash ^ has_more ^ body.size) * 0x100000001b3ULL;
    for (size_t i = 0; i < body.size; i++) {
        t->hash = (t->hash ^ body.data[i]) * 0x100000001b3ULL;
    }
}

static void take_frames(struct zmtp_stream *s, struct trace *t)
{
    bool has_more;
    struct span body;
    int rc;
    while ((rc = zmtp_stream_frame(s, &has_more, &body)) == HM_OK) {
        FUZZ_ASSERT(body.size <= FRAME_BYTES_MAX && span_inside(body, buf_span(&s->in)));
        note(t, has_more, body);
    }
    t->end = rc == HM_ENOTFOUND ? t->end : rc;
}

static struct trace run(enum zmtp_role role, struct span bytes, size_t cut)
{
    struct zmtp_stream s;
    struct trace t = {.end = HM_OK};
    zmtp_stream_init(&s, role, FRAME_BYTES_MAX);
    for (size_t at = 0; at < bytes.size && t.end == HM_OK; at += cut) {
        size_t n = bytes.size - at < cut ? bytes.size - at : cut;
        uint8_t *to = zmtp_stream_room(&s, n + 7);
        FUZZ_ASSERT(to != NULL);
        memcpy(to, bytes.data + at, n);
        t.end = zmtp_stream_fed(&s, n + 7, n);
        if (t.end == HM_OK) {
            take_frames(&s, &t);
        }
        FUZZ_ASSERT(s.in.size - s.in_at <= bytes.size);
        struct span out = zmtp_stream_out(&s);
        FUZZ_ASSERT(out.size <= 200 + 30); /* greeting and READY, or one PONG */
        if (out.size > 0) {
            zmtp_stream_sent(&s, 1 + cut % out.size);
        }
    }
    FUZZ_ASSERT(t.end == HM_OK || t.end == HM_EMALFORMED);
    zmtp_stream_fini(&s);
    return t;
}

/* Moves what one has to send to the other, as many bytes at a time. */
static void carry(struct zmtp_stream *from, struct zmtp_stream *to, size_t cut)
{
    for (struct span out = zmtp_stream_out(from); out.size > 0; out = zmtp_stream_out(from)) {
        size_t n = out.size < cut ? out.size : cut;
        uint8_t *room = zmtp_stream_room(to, n);
        FUZZ_ASSERT(room != NULL);
        memcpy(room, out.data, n);
        FUZZ_ASSERT(zmtp_stream_fed(to, n, n) == HM_OK);
        zmtp_stream_sent(from, n);
    }
}

/* Frames made of the bytes: a length, then that many. */
static void put_and_take(struct span bytes, size_t cut)
{
    struct zmtp_stream a, b;
    struct trace put = {.end = HM_OK}, taken = {.end = HM_OK};
    struct input in = {bytes.data, bytes.size};
    zmtp_stream_init(&a, ZMTP_DEALER, FRAME_BYTES_MAX);
    zmtp_stream_init(&b, ZMTP_ROUTER, FRAME_BYTES_MAX);
    struct span before = {NULL, 0};
    while (in.left > 1) {
        uint8_t choice = in_u8(&in);
        size_t size = in_u8(&in);
        size = size < in.left ? size : in.left;
        struct span frames[2] = {span_of(in.at, size), span_of("+", 1)};
        size_t count = 1 + (choice & 1);
        bool is_joining = (choice & 2) != 0 && before.data != NULL;
        in.at += size;
        in.left -= size;
        if (before.data != NULL) {
            note(&put, is_joining, before);
        }
        if (count == 2) {
            note(&put, true, frames[0]);
        }
        before = frames[count - 1];
        FUZZ_ASSERT(zmtp_stream_put(&a, frames, count, is_joining) == HM_OK);
    }
    if (before.data != NULL) {
        note(&put, false, before);
    }
    for (int i = 0; i < 3; i++) { /* greetings, READYs, messages */
        carry(&a, &b, cut);
        carry(&b, &a, cut);
    }
    FUZZ_ASSERT(zmtp_stream_is_open(&a) && zmtp_stream_is_open(&b) && zmtp_stream_unsent(&a) == 0);
    take_frames(&b, &taken);
    FUZZ_ASSERT(taken.end == HM_OK && taken.frames == put.frames && taken.hash == put.hash);
    zmtp_stream_fini(&a);
    zmtp_stream_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct buf b;
    uint8_t choice = in_u8(&in);
    enum zmtp_role role = (choice & 1) != 0 ? ZMTP_DEALER : ZMTP_ROUTER;
    buf_init(&b, in.left + 1024);
    if ((choice & 2) != 0) {
        zmtp_greeting_write(&b);
        zmtp_ready_write(&b, role == ZMTP_DEALER ? ZMTP_ROUTER : ZMTP_DEALER, span_of("id", 2));
    }
    buf_append(&b, in.at, in.left);
    FUZZ_ASSERT(!buf_failed(&b));
    struct span bytes = fuzz_copy(buf_span(&b));
    if (bytes.size > 0) {
        struct trace whole = run(role, bytes, bytes.size);
        struct trace cut = run(role, bytes, 1 + (choice >> 2));
        FUZZ_ASSERT(whole.hash == cut.hash && whole.frames == cut.frames && whole.end == cut.end);
        put_and_take(bytes, 1 + (choice >> 2));
    }
    fuzz_free(bytes);
    buf_fini(&b);
    return 0;
}
