/* SPDX-License-Identifier: MPL-2.0 */
/* ZMTP, which any stranger may speak to the mailbox. The same stream gives the same events however
 * it is cut; a reader that takes no more than zmtp_want never gets a byte behind an event; memory
 * stays in its bounds. The first byte chooses role and cuts, and whether the stream starts behind a
 * good handshake. */
#include "fuzz.h"

#include "base/limits.h"
#include "wire/zmtp.h"

/* The events, each with what it shows. */
struct trace {
    uint64_t hash;
    size_t events;
    bool is_broken;
};

static void note(struct trace *t, uint8_t byte)
{
    t->hash = (t->hash ^ byte) * 0x100000001b3ULL;
}

static void note_span(struct trace *t, struct span s)
{
    note(t, (uint8_t) s.size);
    for (size_t i = 0; i < s.size; i++) {
        note(t, s.data[i]);
    }
}

static void on_event(struct trace *t, const struct zmtp *z, enum zmtp_event event)
{
    t->events++;
    note(t, (uint8_t) event);
    if (event == ZMTP_READY) {
        FUZZ_ASSERT(zmtp_identity(z).size <= ZMTP_IDENTITY_BYTES_MAX);
        note_span(t, zmtp_identity(z));
    } else if (event == ZMTP_MESSAGE) {
        note_span(t, zmtp_body(z));
    } else if (event == ZMTP_PING) {
        FUZZ_ASSERT(zmtp_context(z).size <= 16);
        note_span(t, zmtp_context(z));
    }
    t->is_broken = event == ZMTP_BROKEN;
}

static void check_bounds(const struct zmtp *z)
{
    FUZZ_ASSERT(zmtp_body(z).size <= HM_ZMTP_KEPT_BYTES_MAX);
    FUZZ_ASSERT(z->body.room <= HM_ZMTP_KEPT_BYTES_MAX);
    FUZZ_ASSERT(z->command.room <= HM_ZMTP_COMMAND_BYTES_MAX);
    FUZZ_ASSERT(zmtp_want(z) <= HM_ZMTP_CONTENT_BYTES_MAX);
}

/* cut 0: exactly what is wanted each time. */
static struct trace run(enum zmtp_role role, struct span bytes, size_t cut)
{
    struct zmtp z;
    struct trace t = {0};
    size_t at = 0;
    zmtp_init(&z, role);
    while (at < bytes.size && !t.is_broken) {
        size_t n = cut != 0 ? cut : zmtp_want(&z);
        FUZZ_ASSERT(n > 0);
        n = n < bytes.size - at ? n : bytes.size - at;
        struct span part = span_of(bytes.data + at, n);
        enum zmtp_event event;
        do {
            event = zmtp_take(&z, &part);
            if (event != ZMTP_MORE) {
                on_event(&t, &z, event);
            }
            FUZZ_ASSERT(cut != 0 || t.is_broken || part.size == 0);
            check_bounds(&z);
        } while (event != ZMTP_MORE && !t.is_broken && part.size > 0);
        FUZZ_ASSERT(part.size == 0 || t.is_broken);
        at += n;
    }
    if (t.is_broken) {
        struct span more = span_of("\0", 1);
        FUZZ_ASSERT(zmtp_take(&z, &more) == ZMTP_BROKEN && zmtp_want(&z) == 0);
    }
    zmtp_fini(&z);
    return t;
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
    struct trace whole = run(role, bytes, bytes.size + 1);
    struct trace wanted = run(role, bytes, 0);
    struct trace cut = run(role, bytes, 1 + (choice >> 2));
    FUZZ_ASSERT(whole.hash == wanted.hash && whole.events == wanted.events);
    FUZZ_ASSERT(whole.hash == cut.hash && whole.events == cut.events);
    FUZZ_ASSERT((choice & 2) == 0 || whole.events >= 2);
    fuzz_free(bytes);
    buf_fini(&b);
    return 0;
}
