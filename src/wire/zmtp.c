/* SPDX-License-Identifier: MPL-2.0 */
/* ZMTP 3: see zmtp.h.
 *
 * Greeting: FF, 8 bytes of no meaning, 7F, version (major, minor), mechanism (20 bytes, filled with
 * zeros), as-server, 31 bytes of no meaning. Frame: flags, length (1 byte, or 8 if LONG), body.
 * Command: length of its name (1 byte), name, data. A PING may come between the frames of a
 * message: libzmq's heartbeat does not wait for its end. */
#include "wire/zmtp.h"

#include "base/be.h"
#include "base/err.h"
#include "base/limits.h"

#include <string.h>

#define FLAG_MORE 0x01
#define FLAG_LONG 0x02
#define FLAG_COMMAND 0x04
#define SHORT_HEAD_BYTES 2
#define LONG_HEAD_BYTES 9
#define SIGNATURE_BYTES 10
#define MECHANISM_AT 12
#define MECHANISM_BYTES 20
#define PING_HEAD_BYTES 7 /* 4 "PING" and 2 bytes of TTL */
#define CONTEXT_BYTES_MAX 16

static const uint8_t null_mechanism[MECHANISM_BYTES] = "NULL";

void zmtp_init(struct zmtp *z, enum zmtp_role role)
{
    memset(z, 0, sizeof *z);
    z->role = role;
    buf_init(&z->body, HM_ZMTP_KEPT_BYTES_MAX);
    buf_init(&z->content, HM_DATAGRAM_BYTES_MAX);
    buf_init(&z->command, HM_ZMTP_COMMAND_BYTES_MAX);
}

void zmtp_fini(struct zmtp *z)
{
    buf_fini(&z->body);
    buf_fini(&z->content);
    buf_fini(&z->command);
}

struct span zmtp_body(const struct zmtp *z)
{
    return buf_span(&z->body);
}

struct span zmtp_content(const struct zmtp *z)
{
    return buf_span(&z->content);
}

struct span zmtp_context(const struct zmtp *z)
{
    return z->context_bytes == 0 ? span_of(NULL, 0)
                                 : span_of(z->command.data + PING_HEAD_BYTES, z->context_bytes);
}

struct span zmtp_identity(const struct zmtp *z)
{
    return span_of(z->identity, z->identity_bytes);
}

static enum zmtp_event broken(struct zmtp *z)
{
    z->state = ZMTP_IS_BROKEN;
    return ZMTP_BROKEN;
}

static size_t smaller(size_t a, uint64_t b)
{
    return a < b ? a : (size_t) b;
}

static struct span take_front(struct span *bytes, size_t size)
{
    struct span front = span_of(bytes->data, size);
    if (size > 0) {
        *bytes = span_of(bytes->data + size, bytes->size - size);
    }
    return front;
}

/* ---- greeting -------------------------------------------------------------------------------- */

/* Judges as much as there is, so that whoever speaks something else is known at once. */
static bool greeting_is_good(struct span g)
{
    size_t mechanism = g.size <= MECHANISM_AT ? 0 : smaller(MECHANISM_BYTES, g.size - MECHANISM_AT);
    return (g.size < 1 || g.data[0] == 0xff) &&
           (g.size < SIGNATURE_BYTES || g.data[SIGNATURE_BYTES - 1] == 0x7f) &&
           (g.size <= SIGNATURE_BYTES || g.data[SIGNATURE_BYTES] >= 3) &&
           (mechanism == 0 || memcmp(g.data + MECHANISM_AT, null_mechanism, mechanism) == 0);
}

static enum zmtp_event take_greeting(struct zmtp *z, struct span *bytes)
{
    size_t left = ZMTP_GREETING_BYTES - z->command.size;
    struct span part = take_front(bytes, smaller(bytes->size, left));
    buf_append(&z->command, part.data, part.size);
    if (buf_failed(&z->command) || !greeting_is_good(buf_span(&z->command))) {
        return broken(z);
    }
    if (z->command.size < ZMTP_GREETING_BYTES) {
        return ZMTP_MORE;
    }
    z->state = ZMTP_IN_HEAD;
    return ZMTP_GREETED;
}

/* ---- commands -------------------------------------------------------------------------------- */

/* The data of the command if it has that name. */
static bool command_is(struct span command, const char *name, struct span *ret_data)
{
    size_t size = strlen(name);
    if (command.size < 1 + size || command.data[0] != size ||
        memcmp(command.data + 1, name, size) != 0) {
        return false;
    }
    *ret_data = span_of(command.data + 1 + size, command.size - 1 - size);
    return true;
}

static bool text_is(struct span text, const char *what)
{
    return text.size == strlen(what) && memcmp(text.data, what, text.size) == 0;
}

/* Property names are compared without case (RFC 23). */
static bool name_is(struct span name, const char *what)
{
    if (name.size != strlen(what)) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        unsigned a = name.data[i], b = (uint8_t) what[i];
        a = a >= 'A' && a <= 'Z' ? a + 32 : a;
        b = b >= 'A' && b <= 'Z' ? b + 32 : b;
        if (a != b) {
            return false;
        }
    }
    return true;
}

/* Takes name and value off the front; false if they are cut. */
static bool next_property(struct span *data, struct span *ret_name, struct span *ret_value)
{
    size_t name_bytes = data->data[0];
    if (name_bytes == 0 || data->size < 1 + name_bytes + 4) {
        return false;
    }
    *ret_name = span_of(data->data + 1, name_bytes);
    take_front(data, 1 + name_bytes);
    uint64_t value_bytes = be_get(take_front(data, 4).data, 4);
    if (value_bytes > data->size) {
        return false;
    }
    *ret_value = take_front(data, (size_t) value_bytes);
    return true;
}

static bool type_fits(enum zmtp_role role, struct span type)
{
    return text_is(type, "DEALER") || text_is(type, "ROUTER") ||
           text_is(type, role == ZMTP_ROUTER ? "REQ" : "REP");
}

static bool read_ready(struct zmtp *z, struct span data)
{
    bool fits = false;
    while (data.size > 0) {
        struct span name, value;
        if (!next_property(&data, &name, &value)) {
            return false;
        }
        if (name_is(name, "Socket-Type")) {
            fits = type_fits(z->role, value);
        } else if (name_is(name, "Identity")) {
            if (value.size > sizeof z->identity) {
                return false;
            }
            memcpy(z->identity, value.data, value.size);
            z->identity_bytes = value.size;
        }
    }
    return fits;
}

static enum zmtp_event end_command(struct zmtp *z)
{
    struct span data;
    struct span command = buf_span(&z->command);
    if (!z->is_ready) {
        z->is_ready = command_is(command, "READY", &data) && read_ready(z, data);
        return z->is_ready ? ZMTP_READY : broken(z);
    }
    if (command_is(command, "PING", &data) && data.size >= 2 &&
        data.size <= 2 + CONTEXT_BYTES_MAX) {
        z->context_bytes = data.size - 2;
        return ZMTP_PING;
    }
    return command_is(command, "PONG", &data) ? ZMTP_MORE : broken(z);
}

/* ---- frames ---------------------------------------------------------------------------------- */

static size_t head_need(const struct zmtp *z)
{
    bool is_long = z->head_bytes > 0 && (z->head[0] & FLAG_LONG) != 0;
    return is_long ? LONG_HEAD_BYTES : SHORT_HEAD_BYTES;
}

static bool is_command(const struct zmtp *z)
{
    return (z->head[0] & FLAG_COMMAND) != 0;
}

/* Whether a frame with such flags and length may come now. */
static bool frame_is_good(const struct zmtp *z)
{
    uint8_t flags = z->head[0];
    if ((flags & ~(FLAG_MORE | FLAG_LONG | FLAG_COMMAND)) != 0) {
        return false;
    }
    if (is_command(z)) {
        return (flags & FLAG_MORE) == 0 && z->left <= HM_ZMTP_COMMAND_BYTES_MAX;
    }
    return z->is_ready && z->frames < HM_ZMTP_FRAMES_MAX &&
           z->left <= (z->frames == 0 ? HM_ZMTP_KEPT_BYTES_MAX : HM_ZMTP_CONTENT_BYTES_MAX);
}

/* The frame is here as a whole. */
static enum zmtp_event end_frame(struct zmtp *z)
{
    z->state = ZMTP_IN_HEAD;
    z->head_bytes = 0;
    if (is_command(z)) {
        return end_command(z);
    }
    z->frames++;
    if ((z->head[0] & FLAG_MORE) != 0) {
        return ZMTP_MORE;
    }
    z->frames = 0;
    z->is_done = true;
    return ZMTP_MESSAGE;
}

static enum zmtp_event take_head(struct zmtp *z, struct span *bytes)
{
    while (z->head_bytes < head_need(z)) {
        if (bytes->size == 0) {
            return ZMTP_MORE;
        }
        z->head[z->head_bytes++] = take_front(bytes, 1).data[0];
    }
    z->left = be_get(z->head + 1, z->head_bytes - 1);
    if (!frame_is_good(z)) {
        return broken(z);
    }
    if (is_command(z)) {
        buf_clear(&z->command);
        z->context_bytes = 0;
    }
    z->is_kept = z->frames == 0 || (z->frames == 1 && z->left <= HM_DATAGRAM_BYTES_MAX);
    if (z->left == 0) {
        return end_frame(z);
    }
    z->state = ZMTP_IN_BODY;
    return ZMTP_MORE;
}

/* Where the frame under way is kept; NULL: nowhere. */
static struct buf *frame_buf(struct zmtp *z)
{
    return !z->is_kept ? NULL : z->frames == 0 ? &z->body : &z->content;
}

static enum zmtp_event take_body(struct zmtp *z, struct span *bytes)
{
    struct buf *to = is_command(z) ? &z->command : frame_buf(z);
    struct span part = take_front(bytes, smaller(bytes->size, z->left));
    z->left -= part.size;
    if (to != NULL) {
        buf_append(to, part.data, part.size);
        if (buf_failed(to)) {
            return broken(z); /* out of memory: this peer goes, and no other */
        }
    }
    return z->left == 0 ? end_frame(z) : ZMTP_MORE;
}

enum zmtp_event zmtp_take(struct zmtp *z, struct span *bytes)
{
    enum zmtp_event event = ZMTP_MORE;
    if (z->is_done) {
        z->is_done = false;
        buf_clear(&z->body);
        buf_clear(&z->content);
    }
    if (z->state == ZMTP_IS_BROKEN) {
        return ZMTP_BROKEN;
    }
    while (event == ZMTP_MORE && bytes->size > 0) {
        switch (z->state) {
        case ZMTP_IN_GREETING:
            event = take_greeting(z, bytes);
            break;
        case ZMTP_IN_HEAD:
            event = take_head(z, bytes);
            break;
        case ZMTP_IN_BODY:
            event = take_body(z, bytes);
            break;
        case ZMTP_IS_BROKEN:
            return ZMTP_BROKEN;
        }
    }
    return event;
}

size_t zmtp_want(const struct zmtp *z)
{
    switch (z->state) {
    case ZMTP_IN_GREETING:
        return ZMTP_GREETING_BYTES - z->command.size;
    case ZMTP_IN_HEAD:
        return head_need(z) - z->head_bytes;
    case ZMTP_IN_BODY:
        return (size_t) z->left;
    case ZMTP_IS_BROKEN:
        return 0;
    }
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_u8(struct buf *b, size_t value)
{
    uint8_t byte = (uint8_t) value;
    buf_append(b, &byte, 1);
}

static void put_number(struct buf *b, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    be_put(bytes, value, size);
    buf_append(b, bytes, size);
}

static void put_head(struct buf *b, uint8_t flags, size_t body_bytes)
{
    bool is_long = body_bytes > UINT8_MAX;
    put_u8(b, is_long ? flags | FLAG_LONG : flags);
    put_number(b, body_bytes, is_long ? 8 : 1);
}

static void put_name(struct buf *b, const char *name)
{
    put_u8(b, strlen(name));
    buf_append(b, name, strlen(name));
}

static size_t property_bytes(const char *name, size_t value_bytes)
{
    return 1 + strlen(name) + 4 + value_bytes;
}

static void put_property(struct buf *b, const char *name, struct span value)
{
    put_name(b, name);
    put_number(b, value.size, 4);
    buf_append(b, value.data, value.size);
}

void zmtp_greeting_write(struct buf *b)
{
    static const uint8_t head[MECHANISM_AT] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1};
    static const uint8_t rest[ZMTP_GREETING_BYTES - MECHANISM_AT - MECHANISM_BYTES];
    buf_append(b, head, sizeof head);
    buf_append(b, null_mechanism, sizeof null_mechanism);
    buf_append(b, rest, sizeof rest);
}

void zmtp_ready_write(struct buf *b, enum zmtp_role role, struct span identity)
{
    const char *type = role == ZMTP_ROUTER ? "ROUTER" : "DEALER";
    HM_ASSERT(identity.size <= ZMTP_IDENTITY_BYTES_MAX);
    put_head(b, FLAG_COMMAND,
             1 + strlen("READY") + property_bytes("Socket-Type", strlen(type)) +
                 property_bytes("Identity", identity.size));
    put_name(b, "READY");
    put_property(b, "Socket-Type", span_of(type, strlen(type)));
    put_property(b, "Identity", identity);
}

void zmtp_pong_write(struct buf *b, struct span context)
{
    put_head(b, FLAG_COMMAND, 1 + strlen("PONG") + context.size);
    put_name(b, "PONG");
    buf_append(b, context.data, context.size);
}

void zmtp_message_write(struct buf *b, struct span body)
{
    put_head(b, 0, body.size);
    buf_append(b, body.data, body.size);
}

void zmtp_content_write(struct buf *b, struct span body, struct span content)
{
    put_head(b, FLAG_MORE, body.size);
    buf_append(b, body.data, body.size);
    zmtp_message_write(b, content);
}
