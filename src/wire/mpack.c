/* SPDX-License-Identifier: MPL-2.0 */
/* MessagePack: see mpack.h. */
#include "wire/mpack.h"

#include "base/err.h"
#include "base/limits.h"

#include <msgpack/pack.h>
#include <string.h>

static int write_bytes(void *data, const char *bytes, size_t size)
{
    struct buf *b = data;
    buf_append(b, bytes, size);
    return buf_failed(b) ? -1 : 0;
}

static msgpack_packer packer(struct buf *b)
{
    msgpack_packer p;
    msgpack_packer_init(&p, b, write_bytes);
    return p;
}

void mp_array(struct buf *b, size_t count)
{
    msgpack_packer p = packer(b);
    msgpack_pack_array(&p, count);
}

void mp_map(struct buf *b, size_t count)
{
    msgpack_packer p = packer(b);
    msgpack_pack_map(&p, count);
}

void mp_uint(struct buf *b, uint64_t value)
{
    msgpack_packer p = packer(b);
    msgpack_pack_uint64(&p, value);
}

void mp_int(struct buf *b, int64_t value)
{
    msgpack_packer p = packer(b);
    msgpack_pack_int64(&p, value);
}

void mp_bool(struct buf *b, bool value)
{
    msgpack_packer p = packer(b);
    if (value) {
        msgpack_pack_true(&p);
    } else {
        msgpack_pack_false(&p);
    }
}

void mp_nil(struct buf *b)
{
    msgpack_packer p = packer(b);
    msgpack_pack_nil(&p);
}

void mp_double(struct buf *b, double value)
{
    msgpack_packer p = packer(b);
    msgpack_pack_double(&p, value);
}

void mp_strn(struct buf *b, const void *text, size_t size)
{
    msgpack_packer p = packer(b);
    msgpack_pack_str(&p, size);
    buf_append(b, text, size);
}

void mp_str(struct buf *b, const char *text)
{
    mp_strn(b, text, strlen(text));
}

void mp_bin(struct buf *b, const void *data, size_t size)
{
    msgpack_packer p = packer(b);
    msgpack_pack_bin(&p, size);
    buf_append(b, data, size);
}

void mp_id(struct buf *b, const struct node_id *id)
{
    mp_bin(b, id->b, NODE_ID_BYTES);
}

void mp_open(struct mp_reader *r, struct span bytes)
{
    r->failed = bytes.data == NULL;
    r->at = bytes.data;
    r->end = r->failed ? NULL : bytes.data + bytes.size;
}

bool mp_failed(const struct mp_reader *r)
{
    return r->failed;
}

bool mp_at_end(const struct mp_reader *r)
{
    return r->failed || r->at == r->end;
}

static size_t left(const struct mp_reader *r)
{
    return r->failed ? 0 : (size_t) (r->end - r->at);
}

/* Takes a big-endian number of `size` bytes. */
static uint64_t take_be(struct mp_reader *r, size_t size)
{
    if (left(r) < size) {
        r->failed = true;
        return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++) {
        v = (v << 8) | *r->at++;
    }
    return v;
}

static int64_t sign_extend(uint64_t v, size_t size)
{
    uint64_t sign = (uint64_t) 1 << (8 * size - 1);
    uint64_t extended = size < 8 && (v & sign) != 0 ? v | ~(sign | (sign - 1)) : v;
    int64_t result;
    memcpy(&result, &extended, sizeof result);
    return result;
}

/* One value's head: what it is, and its number, byte count or item count. `body` says that so many
 * bytes follow, `items` that so many values do. */
struct head {
    enum mp_kind kind;
    uint64_t number;
    int64_t negative;
    double real;
    uint64_t body;
    uint64_t items;
};

static void head_int(struct mp_reader *r, struct head *h, size_t size)
{
    int64_t v = sign_extend(take_be(r, size), size);
    h->kind = v < 0 ? MP_INT : MP_UINT;
    h->negative = v;
    h->number = v < 0 ? 0 : (uint64_t) v;
}

static void head_float(struct mp_reader *r, struct head *h, size_t size)
{
    h->kind = MP_DOUBLE;
    uint64_t bits = take_be(r, size);
    if (size == 4) {
        uint32_t bits32 = (uint32_t) bits;
        float f;
        memcpy(&f, &bits32, sizeof f);
        h->real = (double) f;
    } else {
        memcpy(&h->real, &bits, sizeof h->real);
    }
}

static void head_body(struct head *h, enum mp_kind kind, uint64_t size)
{
    h->kind = kind;
    h->body = size;
}

static void head_items(struct head *h, enum mp_kind kind, uint64_t count)
{
    h->kind = kind;
    h->number = count;
    h->items = kind == MP_MAP ? 2 * count : count;
}

/* Codes 0xc0 to 0xdf (msgpack specification, "Formats"). */
static void head_coded(struct mp_reader *r, struct head *h, uint8_t code)
{
    switch (code) {
    case 0xc0: h->kind = MP_NIL; break;
    case 0xc2: case 0xc3: h->kind = MP_BOOL; h->number = code & 1; break;
    case 0xc4: head_body(h, MP_BIN, take_be(r, 1)); break;
    case 0xc5: head_body(h, MP_BIN, take_be(r, 2)); break;
    case 0xc6: head_body(h, MP_BIN, take_be(r, 4)); break;
    case 0xc7: head_body(h, MP_EXT, take_be(r, 1) + 1); break;
    case 0xc8: head_body(h, MP_EXT, take_be(r, 2) + 1); break;
    case 0xc9: head_body(h, MP_EXT, take_be(r, 4) + 1); break;
    case 0xca: head_float(r, h, 4); break;
    case 0xcb: head_float(r, h, 8); break;
    case 0xcc: h->kind = MP_UINT; h->number = take_be(r, 1); break;
    case 0xcd: h->kind = MP_UINT; h->number = take_be(r, 2); break;
    case 0xce: h->kind = MP_UINT; h->number = take_be(r, 4); break;
    case 0xcf: h->kind = MP_UINT; h->number = take_be(r, 8); break;
    case 0xd0: head_int(r, h, 1); break;
    case 0xd1: head_int(r, h, 2); break;
    case 0xd2: head_int(r, h, 4); break;
    case 0xd3: head_int(r, h, 8); break;
    case 0xd4: case 0xd5: case 0xd6: case 0xd7: case 0xd8:
        head_body(h, MP_EXT, ((uint64_t) 1 << (code - 0xd4)) + 1);
        break;
    case 0xd9: head_body(h, MP_STR, take_be(r, 1)); break;
    case 0xda: head_body(h, MP_STR, take_be(r, 2)); break;
    case 0xdb: head_body(h, MP_STR, take_be(r, 4)); break;
    case 0xdc: head_items(h, MP_ARRAY, take_be(r, 2)); break;
    case 0xdd: head_items(h, MP_ARRAY, take_be(r, 4)); break;
    case 0xde: head_items(h, MP_MAP, take_be(r, 2)); break;
    case 0xdf: head_items(h, MP_MAP, take_be(r, 4)); break;
    default: r->failed = true; break; /* 0xc1 is never used */
    }
}

/* Takes the head of the next value and checks what it declares against the bytes left. Not returned but filled: a copy of
 * what was just written field by field makes the processor wait, and everything read goes through here. */
static void take_head(struct mp_reader *r, struct head *ret)
{
    *ret = (struct head){.kind = MP_NONE};
    if (left(r) == 0) {
        r->failed = true;
        return;
    }
    uint8_t code = *r->at++;
    if (code < 0x80) {
        ret->kind = MP_UINT;
        ret->number = code;
    } else if (code < 0x90) {
        head_items(ret, MP_MAP, code & 15);
    } else if (code < 0xa0) {
        head_items(ret, MP_ARRAY, code & 15);
    } else if (code < 0xc0) {
        head_body(ret, MP_STR, code & 31);
    } else if (code < 0xe0) {
        head_coded(r, ret, code);
    } else {
        ret->kind = MP_INT;
        ret->negative = (int64_t) code - 256;
    }
    if (r->failed || ret->body > left(r) || ret->items > left(r)) {
        r->failed = true;
        ret->kind = MP_NONE;
    }
}

/* A value of this kind: its number, or how many items it has; 0 if it is none. */
static uint64_t take_number(struct mp_reader *r, enum mp_kind kind)
{
    struct head h;
    take_head(r, &h);
    if (h.kind != kind) {
        r->failed = true;
        return 0;
    }
    return h.number;
}

enum mp_kind mp_peek(const struct mp_reader *r)
{
    if (left(r) == 0) {
        return MP_NONE;
    }
    struct mp_reader copy = *r;
    struct head h;
    take_head(&copy, &h);
    return h.kind;
}

size_t mp_read_array(struct mp_reader *r)
{
    return (size_t) take_number(r, MP_ARRAY);
}

size_t mp_read_map(struct mp_reader *r)
{
    return (size_t) take_number(r, MP_MAP);
}

uint64_t mp_read_uint(struct mp_reader *r, uint64_t max)
{
    uint64_t v = take_number(r, MP_UINT);
    if (v > max) {
        r->failed = true;
        return 0;
    }
    return v;
}

int64_t mp_read_int(struct mp_reader *r)
{
    struct head h;
    take_head(r, &h);
    if (h.kind == MP_INT) {
        return h.negative;
    }
    if (h.kind != MP_UINT || h.number > INT64_MAX) {
        r->failed = true;
        return 0;
    }
    return (int64_t) h.number;
}

bool mp_read_bool(struct mp_reader *r)
{
    return take_number(r, MP_BOOL) != 0;
}

void mp_read_nil(struct mp_reader *r)
{
    (void) take_number(r, MP_NIL);
}

double mp_read_double(struct mp_reader *r)
{
    struct head h;
    take_head(r, &h);
    if (h.kind == MP_DOUBLE) {
        return h.real;
    }
    if (h.kind == MP_UINT) {
        return (double) h.number;
    }
    if (h.kind != MP_INT) {
        r->failed = true;
        return 0;
    }
    return (double) h.negative;
}

static struct span read_body(struct mp_reader *r, enum mp_kind kind, size_t max)
{
    struct head h;
    take_head(r, &h);
    if (h.kind != kind || h.body > max) {
        r->failed = true;
        return span_of(NULL, 0);
    }
    struct span s = span_of(r->at, (size_t) h.body);
    r->at += h.body;
    return s;
}

struct span mp_read_str(struct mp_reader *r, size_t max)
{
    return read_body(r, MP_STR, max);
}

struct span mp_read_bin(struct mp_reader *r, size_t max)
{
    return read_body(r, MP_BIN, max);
}

void mp_read_id(struct mp_reader *r, struct node_id *ret_id)
{
    struct span s = mp_read_bin(r, NODE_ID_BYTES);
    if (s.size != NODE_ID_BYTES) {
        r->failed = true;
        memset(ret_id, 0, sizeof *ret_id);
        return;
    }
    memcpy(ret_id->b, s.data, NODE_ID_BYTES);
}

void mp_read_text(struct mp_reader *r, char *to, size_t max)
{
    struct span s = mp_read_str(r, max - 1);
    to[0] = '\0';
    if (r->failed) {
        return;
    }
    if (s.size > 0 && memchr(s.data, '\0', s.size) != NULL) {
        r->failed = true;
        return;
    }
    memcpy(to, s.data, s.size);
    to[s.size] = '\0';
}

bool mp_try_nil(struct mp_reader *r)
{
    if (left(r) == 0 || *r->at != 0xc0) {
        return false;
    }
    r->at++;
    return true;
}

static void skip_nested(struct mp_reader *r, unsigned depth)
{
    struct head h;
    take_head(r, &h);
    if (r->failed) {
        return;
    }
    r->at += h.body;
    if (depth == 0 && (h.kind == MP_ARRAY || h.kind == MP_MAP)) {
        r->failed = true;
        return;
    }
    for (uint64_t i = 0; i < h.items && !r->failed; i++) {
        skip_nested(r, depth - 1);
    }
}

void mp_skip(struct mp_reader *r)
{
    skip_nested(r, HM_MPACK_DEPTH_MAX);
}

void mp_skip_many(struct mp_reader *r, size_t count)
{
    for (size_t i = 0; i < count && !r->failed; i++) {
        mp_skip(r);
    }
}

struct span mp_read_nested(struct mp_reader *r, unsigned depth)
{
    const uint8_t *start = r->at;
    skip_nested(r, depth);
    return r->failed ? span_of(NULL, 0) : span_of(start, (size_t) (r->at - start));
}

struct span mp_read_raw(struct mp_reader *r)
{
    return mp_read_nested(r, HM_MPACK_DEPTH_MAX);
}

int mp_check(struct span bytes)
{
    struct mp_reader r;
    mp_open(&r, bytes);
    mp_skip(&r);
    return !r.failed && r.at == r.end ? HM_OK : HM_EMALFORMED;
}
