/* SPDX-License-Identifier: MPL-2.0 */
/* Entries: round trip, golden bytes, every limit, each malformed field, fields of newer versions,
 * contexts, keys and whose they are. */
#include "../unit.h"

#include "base/err.h"
#include "base/prng.h"
#include "wire/entry_msg.h"
#include "wire/removal_msg.h"
#include "wire/mpack.h"

#include <stdio.h>

#define ID_TEXT "000102030405060708090a0b0c0d0e0f"

static struct dot dot_of(uint8_t node, uint64_t boots, uint64_t random, uint64_t seq)
{
    struct dot dot = {.origin.boots = boots, .origin.random = random, .seq = seq};
    memset(dot.origin.node.b, node, NODE_ID_BYTES);
    return dot;
}

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

static const uint8_t value_hello[] = {0xa5, 'h', 'e', 'l', 'l', 'o'};

/* An entry with two lives in its context, whose bytes the caller holds. */
static struct entry sample(struct buf *context)
{
    struct entry e = {
        .key = text("kv/motd"),
        .type = ENTRY_REGISTER,
        .dot = dot_of(0x0a, 3, 0x1122334455667788, 17),
        .lamport = 42,
        .wall_ms = 1795000000000,
        .context_count = 2,
        .value = span_of(value_hello, sizeof value_hello),
    };
    struct dot own = e.dot, other = dot_of(0x0b, 1, 5, 9);
    own.seq = 16;
    buf_init(context, 1000);
    context_write(context, &own);
    context_write(context, &other);
    e.context = buf_span(context);
    return e;
}

static void write_entry(struct buf *b, const struct entry *e)
{
    struct buf body;
    buf_init(&body, 4U << 20);
    buf_init(b, 4U << 20);
    entry_body_write(&body, e);
    entry_write(b, buf_span(&body), e->signature);
    assert_false(buf_failed(&body) || buf_failed(b));
    buf_fini(&body);
}

/* Reads a copy of exactly these bytes; the entry's spans are good only for the sizes. */
static int read_copy(struct span bytes, struct entry *ret_entry)
{
    struct span copy = exact_copy(bytes.data, bytes.size);
    int result = entry_read(copy, ret_entry);
    exact_free(copy);
    return result;
}

static int write_and_read(const struct entry *e)
{
    struct buf b;
    struct entry back;
    write_entry(&b, e);
    int result = read_copy(buf_span(&b), &back);
    buf_fini(&b);
    return result;
}

static void assert_same_span(struct span a, struct span b)
{
    assert_int_equal(a.size, b.size);
    if (a.size > 0) {
        assert_memory_equal(a.data, b.data, a.size);
    }
}

static void assert_same(const struct entry *a, const struct entry *b)
{
    assert_same_span(a->key, b->key);
    assert_int_equal(a->type, b->type);
    assert_true(dot_eq(&a->dot, &b->dot));
    assert_true(a->lamport == b->lamport && a->wall_ms == b->wall_ms);
    assert_int_equal(a->is_deleted, b->is_deleted);
    assert_int_equal(a->context_count, b->context_count);
    assert_same_span(a->context, b->context);
    assert_same_span(a->value, b->value);
    assert_same_span(a->signature, b->signature);
}

static void round_trips(void **state)
{
    (void) state;
    static const uint8_t signature[ENTRY_SIGNATURE_BYTES] = {1, 2, 3};
    static const uint8_t nested[] = {0x82, 0x01, 0x91, 0xc0, 0xa1, 'k', 0xcb, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t nil[] = {0xc0};
    for (unsigned i = 0; i < 64; i++) {
        struct buf context, b;
        struct entry e = sample(&context), back;
        if ((i & 1) != 0) {
            e.context = span_of(NULL, e.context_count = 0);
        }
        if ((i & 2) != 0) {
            e.is_deleted = true;
            e.value = span_of(NULL, 0);
        } else if ((i & 4) != 0) {
            e.value = (i & 8) != 0 ? span_of(nested, sizeof nested) : span_of(nil, sizeof nil);
        }
        if ((i & 16) != 0) {
            e.signature = span_of(signature, sizeof signature);
        }
        if ((i & 32) != 0) {
            e.dot = dot_of(0xff, UINT64_MAX, UINT64_MAX, ENTRY_SEQ_MAX);
            e.lamport = e.wall_ms = UINT64_MAX;
            e.type = 255; /* of a newer version */
        }
        write_entry(&b, &e);
        assert_int_equal(entry_read(buf_span(&b), &back), HM_OK);
        assert_same(&e, &back);
        assert_same_span(back.bytes, buf_span(&b));
        /* Cut anywhere, or longer, it is malformed. */
        for (size_t size = 0; size < b.size; size++) {
            assert_int_equal(read_copy(span_of(b.data, size), &back), HM_EMALFORMED);
        }
        buf_append(&b, nil, 1);
        assert_int_equal(read_copy(buf_span(&b), &back), HM_EMALFORMED);
        buf_fini(&b);
        buf_fini(&context);
    }
}

/* What a live entry without a value says: it is there and is nil. */
static void nothing_is_nil(void **state)
{
    (void) state;
    struct buf context, b;
    struct entry e = sample(&context), back;
    e.value = span_of(NULL, 0);
    write_entry(&b, &e);
    assert_int_equal(entry_read(buf_span(&b), &back), HM_OK);
    assert_int_equal(back.value.size, 1);
    assert_int_equal(back.value.data[0], 0xc0);
    buf_fini(&b);
    buf_fini(&context);
}

/* The format is for ever: entries lie on disks and are signed. docs/protocol/registry.md has these
 * bytes. */
static void golden_bytes(void **state)
{
    (void) state;
    static const char golden[] =
        "92 c4 6e"
        "9b c4 07 6b762f6d6f7464 01"
        "c4 10 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a 03 cf 1122334455667788 11"
        "2a c2 cf 000001a1ee565e00"
        "92"
        "94 c4 10 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a 03 cf 1122334455667788 10"
        "94 c4 10 0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b 01 05 09"
        "a5 68656c6c6f"
        "c0";
    uint8_t bytes[512];
    struct buf context, b;
    struct entry e = sample(&context), back;
    size_t size = hex_bytes(golden, bytes, sizeof bytes);
    write_entry(&b, &e);
    assert_int_equal(b.size, size);
    assert_memory_equal(b.data, bytes, size);
    assert_int_equal(entry_read(span_of(bytes, size), &back), HM_OK);
    assert_same(&e, &back);
    buf_fini(&b);
    buf_fini(&context);
}

/* A context of so many lives; of the last, or of the one at bad_at, something is wrong. */
static void write_context(struct buf *context, size_t count)
{
    buf_init(context, 4U << 20);
    for (size_t i = 0; i < count; i++) {
        struct dot dot = dot_of(0xee, UINT64_MAX - count + i, UINT64_MAX, ENTRY_SEQ_MAX);
        context_write(context, &dot);
    }
}

static void limits_of_value(void **state)
{
    (void) state;
    uint8_t *zeros = calloc(1, HM_VALUE_BYTES_MAX + 1);
    assert_non_null(zeros);
    for (size_t extra = 0; extra <= 1; extra++) {
        struct buf context, value;
        struct entry e = sample(&context);
        buf_init(&value, 4U << 20);
        mp_bin(&value, zeros, HM_VALUE_BYTES_MAX + extra);
        e.value = buf_span(&value);
        assert_int_equal(value_check(e.value), extra == 0 ? HM_OK : HM_EFULL);
        assert_int_equal(write_and_read(&e), extra == 0 ? HM_OK : HM_EMALFORMED);
        buf_fini(&value);
        buf_fini(&context);
    }
    free(zeros);
    for (unsigned depth = 0; depth <= HM_VALUE_DEPTH_MAX + 1; depth++) {
        struct buf context;
        struct entry e = sample(&context);
        uint8_t nested[HM_VALUE_DEPTH_MAX + 2];
        memset(nested, 0x91, depth);
        nested[depth] = 7;
        e.value = span_of(nested, depth + 1);
        assert_int_equal(value_check(e.value), depth <= HM_VALUE_DEPTH_MAX ? HM_OK : HM_EINVAL);
        assert_int_equal(write_and_read(&e), depth <= HM_VALUE_DEPTH_MAX ? HM_OK : HM_EMALFORMED);
        buf_fini(&context);
    }
    assert_int_equal(value_check(span_of(value_hello, sizeof value_hello)), HM_OK);
    assert_int_equal(value_check(span_of(value_hello, sizeof value_hello - 1)), HM_EINVAL);
    assert_int_equal(value_check(span_of("\xc0\xc0", 2)), HM_EINVAL);
    assert_int_equal(value_check(span_of("", 0)), HM_EINVAL);
    assert_int_equal(value_check(span_of(NULL, 0)), HM_EINVAL);
}

static void limits_of_key_and_context(void **state)
{
    (void) state;
    char key[HM_KEY_BYTES_MAX + 1];
    memset(key, 'k', sizeof key);
    for (size_t extra = 0; extra <= 1; extra++) {
        struct buf context;
        struct entry e = sample(&context);
        e.key = span_of(key, HM_KEY_BYTES_MAX + extra);
        assert_int_equal(write_and_read(&e), extra == 0 ? HM_OK : HM_EMALFORMED);
        buf_fini(&context);
        write_context(&context, HM_CONTEXT_MAX + extra);
        e = (struct entry){.key = text("k"), .type = 1, .dot = dot_of(1, 1, 1, 1)};
        e.context = buf_span(&context);
        e.context_count = HM_CONTEXT_MAX + extra;
        assert_int_equal(write_and_read(&e), extra == 0 ? HM_OK : HM_EMALFORMED);
        buf_fini(&context);
    }
}

/* With everything at its limit there is still room, which trailing fields may fill. */
static void limit_of_all(void **state)
{
    (void) state;
    static const uint8_t signature[ENTRY_SIGNATURE_BYTES];
    char key[HM_KEY_BYTES_MAX];
    uint8_t *zeros = calloc(1, HM_ENTRY_BYTES_MAX);
    struct buf context, value, b;
    struct entry back;
    assert_non_null(zeros);
    memset(key, 'k', sizeof key);
    buf_init(&value, 4U << 20);
    mp_bin(&value, zeros, HM_VALUE_BYTES_MAX);
    write_context(&context, HM_CONTEXT_MAX);
    struct entry e = {.key = span_of(key, sizeof key),
                      .type = 255,
                      .dot = dot_of(1, UINT64_MAX, UINT64_MAX, ENTRY_SEQ_MAX),
                      .lamport = UINT64_MAX,
                      .wall_ms = UINT64_MAX,
                      .context = buf_span(&context),
                      .context_count = HM_CONTEXT_MAX,
                      .value = buf_span(&value),
                      .signature = span_of(signature, sizeof signature)};
    write_entry(&b, &e);
    assert_int_equal(entry_read(buf_span(&b), &back), HM_OK);
    size_t room = HM_ENTRY_BYTES_MAX - b.size;
    assert_in_range(room, 16384, HM_ENTRY_BYTES_MAX);
    for (size_t extra = 0; extra <= 1; extra++) {
        b.data[0] = 0x93;
        size_t size = b.size;
        mp_bin(&b, zeros, room - 5 + extra);
        assert_int_equal(read_copy(buf_span(&b), &back), extra == 0 ? HM_OK : HM_EMALFORMED);
        buf_truncate(&b, size);
    }
    buf_fini(&b);
    buf_fini(&value);
    buf_fini(&context);
    free(zeros);
}

/* Reads an entry around a body in hex. */
static int read_body_hex(const char *hex)
{
    uint8_t bytes[1024];
    struct buf b;
    struct entry e;
    memset(&e, 0x55, sizeof e);
    buf_init(&b, 2000);
    entry_write(&b, span_of(bytes, hex_bytes(hex, bytes, sizeof bytes)), span_of(NULL, 0));
    int result = read_copy(buf_span(&b), &e);
    if (result != HM_OK) {
        assert_true(e.lamport == 0x5555555555555555); /* untouched */
    }
    buf_fini(&b);
    return result;
}

#define A "c4 10 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a "
#define B "c4 10 0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b "
#define KEY "c4 01 6b "
#define HEAD "9b " KEY "01 " A "01 02 05 "

static void odd_bodies(void **state)
{
    (void) state;
    static const struct {
        const char *hex;
        int result;
    } cases[] = {
        {HEAD "06 c2 07 90 08", HM_OK},
        {HEAD "06 c3 07 90 c0", HM_OK},
        {"9c " KEY "01 " A "01 02 05 06 c2 07 90 08 c0", HM_OK}, /* of a newer version */
        {"9d " KEY "01 " A "01 02 05 06 c2 07 90 08 91 c3 a1 61", HM_OK},
        {"9c " KEY "01 " A "01 02 05 06 c2 07 90 08", HM_EMALFORMED},
        {HEAD "06 c2 07 90 08 c0", HM_EMALFORMED}, /* something behind it */
        {"9a " KEY "01 " A "01 02 05 06 c2 07 90", HM_EMALFORMED},
        {HEAD "06 c2 07 90", HM_EMALFORMED},
        {HEAD "06 c2 07 90 c1", HM_EMALFORMED},
        {HEAD "06 c3 07 90 08", HM_EMALFORMED}, /* deleted, with a value */
        {HEAD "06 00 07 90 08", HM_EMALFORMED}, /* is_deleted is no number */
        {HEAD "ff c2 07 90 08", HM_EMALFORMED},
        {HEAD "06 c2 ff 90 08", HM_EMALFORMED},
        {HEAD "06 c2 07 80 08", HM_EMALFORMED},
        {HEAD "06 c2 07 dd ff ff ff ff 08", HM_EMALFORMED},
        {"9b a1 6b 01 " A "01 02 05 06 c2 07 90 08", HM_EMALFORMED}, /* the key is a bin */
        {"9b c4 00 01 " A "01 02 05 06 c2 07 90 08", HM_EMALFORMED},
        {"9b c4 01 0a 01 " A "01 02 05 06 c2 07 90 08", HM_EMALFORMED},
        {"9b c4 01 ff 01 " A "01 02 05 06 c2 07 90 08", HM_EMALFORMED},
        {"9b " KEY "00 " A "01 02 05 06 c2 07 90 08", HM_EMALFORMED}, /* type */
        {"9b " KEY "04 " A "01 02 05 06 c2 07 90 08", HM_OK},
        {"9b " KEY "cd 01 00 " A "01 02 05 06 c2 07 90 08", HM_EMALFORMED},
        {"9b " KEY "01 c4 0f 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a 01 02 05 06 c2 07 90 08", HM_EMALFORMED},
        {"9b " KEY "01 " A "ff 02 05 06 c2 07 90 08", HM_EMALFORMED},
        {"9b " KEY "01 " A "01 ff 05 06 c2 07 90 08", HM_EMALFORMED},
        {"9b " KEY "01 " A "01 02 00 06 c2 07 90 08", HM_EMALFORMED}, /* seq */
        {"9b " KEY "01 " A "01 02 cf ffffffffffffffff 06 c2 07 90 08", HM_EMALFORMED},
        {"9b " KEY "01 " A "01 02 cf fffffffffffffffe 06 c2 07 90 08", HM_OK},
        /* Contexts. */
        {HEAD "06 c2 07 91 94 " A "01 02 04 08", HM_OK},
        {HEAD "06 c2 07 91 95 " A "01 02 04 c3 08", HM_OK}, /* of a newer version */
        {HEAD "06 c2 07 91 94 " A "01 02 05 08", HM_EMALFORMED}, /* covers its own dot */
        {HEAD "06 c2 07 91 94 " A "01 02 06 08", HM_EMALFORMED},
        {HEAD "06 c2 07 91 94 " A "01 03 06 08", HM_OK}, /* another life of this node */
        {HEAD "06 c2 07 91 94 " A "01 02 00 08", HM_EMALFORMED},
        {HEAD "06 c2 07 91 94 " B "01 02 cf ffffffffffffffff 08", HM_EMALFORMED},
        {HEAD "06 c2 07 91 93 " A "01 02 08", HM_EMALFORMED},
        {HEAD "06 c2 07 91 " A "08", HM_EMALFORMED},
        {HEAD "06 c2 07 92 94 " A "01 02 04 94 " B "01 02 04 08", HM_OK},
        {HEAD "06 c2 07 92 94 " A "01 02 04 94 " A "01 03 01 08", HM_OK},
        {HEAD "06 c2 07 92 94 " A "01 02 04 94 " A "02 01 01 08", HM_OK},
        {HEAD "06 c2 07 92 94 " B "01 02 04 94 " A "01 02 04 08", HM_EMALFORMED}, /* does not rise */
        {HEAD "06 c2 07 92 94 " A "01 03 04 94 " A "01 02 04 08", HM_EMALFORMED},
        {HEAD "06 c2 07 92 94 " A "02 01 04 94 " A "01 02 04 08", HM_EMALFORMED},
        {HEAD "06 c2 07 92 94 " B "01 02 03 94 " B "01 02 04 08", HM_EMALFORMED}, /* twice */
        {"", HM_EMALFORMED},
        {"c0", HM_EMALFORMED},
        {"90", HM_EMALFORMED},
        {"dd ff ff ff ff", HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (read_body_hex(cases[i].hex) != cases[i].result) {
            print_error("wrong result for %s\n", cases[i].hex);
            fail();
        }
    }
}

#define BODY "c4 1f " HEAD "06 c2 07 90 08 "
#define SIGNATURE                                                                                  \
    "0000000000000000000000000000000000000000000000000000000000000000"                             \
    "0000000000000000000000000000000000000000000000000000000000000000"

static void odd_entries(void **state)
{
    (void) state;
    static const struct {
        const char *hex;
        int result;
    } cases[] = {
        {"92 " BODY "c0", HM_OK},
        {"92 " BODY "c4 40 " SIGNATURE, HM_OK},
        {"93 " BODY "c0 c3", HM_OK}, /* of a newer version */
        {"94 " BODY "c4 40 " SIGNATURE " 91 c0 a0", HM_OK},
        {"dd 00 00 00 02 " BODY "c0", HM_OK},
        {"93 02 " BODY "c0", HM_EVERSION}, /* of a later format */
        {"91 02", HM_EVERSION},
        {"92 cf ffffffffffffffff c1", HM_EVERSION}, /* what it is like is not known */
        {"93 01 " BODY "c0", HM_EMALFORMED},
        {"93 00 " BODY "c0", HM_EMALFORMED},
        {"93 ff " BODY "c0", HM_EMALFORMED},
        {"92 cd 02", HM_EMALFORMED},
        {"90 02", HM_EMALFORMED},
        {"93 " BODY "c0", HM_EMALFORMED},
        {"92 " BODY "c0 c0", HM_EMALFORMED},
        {"91 " BODY, HM_EMALFORMED},
        {"92 " BODY, HM_EMALFORMED},
        {"92 " BODY "c4 00", HM_EMALFORMED},
        {"92 " BODY "c4 3f 00" SIGNATURE, HM_EMALFORMED},
        {"92 " BODY "c4 41 00" SIGNATURE, HM_EMALFORMED},
        {"92 " BODY "c3", HM_EMALFORMED},
        {"92 c0 c0", HM_EMALFORMED},
        {"92 c4 00 c0", HM_EMALFORMED},
        {"90", HM_EMALFORMED},
        {"c0", HM_EMALFORMED},
        {"", HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[1024];
        struct entry e;
        size_t size = hex_bytes(cases[i].hex, bytes, sizeof bytes);
        if (read_copy(span_of(bytes, size), &e) != cases[i].result) {
            print_error("wrong result for %s\n", cases[i].hex);
            fail();
        }
    }
    struct entry e;
    assert_int_equal(entry_read(span_of(NULL, 0), &e), HM_EMALFORMED);
}

/* What a newer version added stays in the bytes that are kept and signed. */
static void trailing_fields_are_kept(void **state)
{
    (void) state;
    uint8_t bytes[256];
    struct entry e;
    struct buf b;
    size_t size = hex_bytes("93 c4 20 9c " KEY "01 " A "01 02 05 06 c2 07 90 08 2a c0 2b", bytes,
                            sizeof bytes);
    assert_int_equal(entry_read(span_of(bytes, size), &e), HM_OK);
    assert_int_equal(e.body.size, 0x20);
    assert_int_equal(e.body.data[0x1f], 0x2a);
    assert_int_equal(e.value.size, 1);
    assert_null(e.signature.data);
    /* Written anew from the body it has the body's. */
    buf_init(&b, 256);
    entry_write(&b, e.body, e.signature);
    assert_int_equal(entry_read(buf_span(&b), &e), HM_OK);
    assert_int_equal(e.body.data[0x1f], 0x2a);
    buf_fini(&b);
}

static void any_byte_changed(void **state)
{
    (void) state;
    struct buf context, b;
    struct entry e = sample(&context), back;
    write_entry(&b, &e);
    struct span copy = exact_copy(b.data, b.size);
    uint8_t *bytes = (uint8_t *) copy.data;
    for (size_t at = 0; at < b.size; at++) {
        for (unsigned v = 0; v < 256; v++) {
            bytes[at] = (uint8_t) v;
            if (entry_read(copy, &back) == HM_OK) {
                assert_int_equal(key_check(back.key), HM_OK);
                assert_false(entry_supersedes(&back, &back.dot));
            }
        }
        bytes[at] = b.data[at];
    }
    exact_free(copy);
    buf_fini(&b);
    buf_fini(&context);
}

static void contexts_are_walked(void **state)
{
    (void) state;
    struct buf context;
    struct entry e = sample(&context);
    struct span rest = e.context;
    struct dot dot;
    assert_true(context_next(&rest, &dot));
    assert_true(origin_eq(&dot.origin, &e.dot.origin));
    assert_int_equal(dot.seq, 16);
    assert_true(context_next(&rest, &dot));
    assert_int_equal(dot.seq, 9);
    struct dot last = dot;
    assert_int_equal(rest.size, 0);
    assert_false(context_next(&rest, &dot));
    assert_true(dot_eq(&dot, &last)); /* untouched */
    rest = span_of(NULL, 0);
    assert_false(context_next(&rest, &dot));
    rest = span_of(context.data, context.size - 1);
    assert_true(context_next(&rest, &dot));
    assert_false(context_next(&rest, &dot));
    buf_fini(&context);
}

static void supersedes_what_it_covers(void **state)
{
    (void) state;
    const uint64_t r = 0x1122334455667788;
    const struct {
        struct dot dot;
        bool result;
    } cases[] = {
        {dot_of(0x0a, 3, r, 16), true},       {dot_of(0x0a, 3, r, 1), true},
        {dot_of(0x0a, 3, r, 17), false},      {dot_of(0x0a, 3, r, 18), false},
        {dot_of(0x0a, 3, r + 1, 1), false},   {dot_of(0x0a, 3, r - 1, 1), false},
        {dot_of(0x0a, 2, r, 1), false},       {dot_of(0x0a, 4, r, 1), false},
        {dot_of(0x0b, 1, 5, 9), true},        {dot_of(0x0b, 1, 5, 10), false},
        {dot_of(0x09, 1, 5, 1), false},       {dot_of(0x0c, 1, 5, 1), false},
        {dot_of(0x0b, 1, 5, UINT64_MAX), false},
    };
    struct buf context;
    struct entry e = sample(&context);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (entry_supersedes(&e, &cases[i].dot) != cases[i].result) {
            print_error("wrong result for case %zu\n", i);
            fail();
        }
    }
    buf_fini(&context);
    e.context = span_of(NULL, 0);
    assert_false(entry_supersedes(&e, &cases[0].dot));
}

/* Against a plain reading of the rule, with contexts of any length. */
static void supersedes_as_the_rule_says(void **state)
{
    (void) state;
    struct prng rng;
    prng_init(&rng, 7);
    for (unsigned round = 0; round < 500; round++) {
        uint64_t seen[16] = {0};
        struct buf context;
        struct entry e = {0};
        buf_init(&context, 4096);
        for (uint8_t n = 0; n < 16; n++) {
            if (prng_below(&rng, 3) == 0) {
                struct dot dot = dot_of((uint8_t) (n / 4), n / 2 % 2, n % 2, 0);
                dot.seq = seen[n] = 1 + prng_below(&rng, 4);
                context_write(&context, &dot);
            }
        }
        e.context = buf_span(&context);
        for (uint8_t n = 0; n < 16; n++) {
            for (uint64_t seq = 1; seq <= 5; seq++) {
                struct dot dot = dot_of((uint8_t) (n / 4), n / 2 % 2, n % 2, seq);
                assert_int_equal(entry_supersedes(&e, &dot), seq <= seen[n]);
            }
        }
        buf_fini(&context);
    }
}

static void keys_are_checked(void **state)
{
    (void) state;
    static const struct {
        const char *key;
        int result;
    } cases[] = {
        {"a", HM_OK},
        {"kv/Gr\xc3\xbc\xc3\x9f""e aus K\xc3\xb6ln", HM_OK},
        {"kv/ with spaces ", HM_OK},
        {"/", HM_OK},
        {"kv/set\x01""element", HM_OK},
        {"kv/set\x01", HM_OK}, /* the empty element */
        {"kv/set\x01\xc3\xbc", HM_OK},
        {"", HM_EINVAL},
        {"\x01", HM_EINVAL},
        {"\x01""element", HM_EINVAL},
        {"kv/set\x01""a\x01""b", HM_EINVAL},
        {"kv/set\x01\x01", HM_EINVAL},
        {"kv/set\x01""a\nb", HM_EINVAL},
        {"kv/set\x01\xff", HM_EINVAL},
        {"kv/a\x02", HM_EINVAL},
        {"kv/a\tb", HM_EINVAL},
        {"kv/a\x1f", HM_EINVAL},
        {"kv/a\x7f", HM_EINVAL},
        {"kv/a\xc2\x80", HM_EINVAL}, /* a C1 control character */
        {"kv/\xff", HM_EINVAL},
        {"kv/\xc3\x01""a", HM_EINVAL}, /* cut by the separator */
        {"kv/\xed\xa0\x80", HM_EINVAL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span copy = exact_copy(cases[i].key, strlen(cases[i].key));
        if (key_check(copy) != cases[i].result) {
            print_error("wrong result for case %zu\n", i);
            fail();
        }
        exact_free(copy);
    }
    assert_int_equal(key_check(span_of("a\0b", 3)), HM_EINVAL);
    char key[HM_KEY_BYTES_MAX + 1];
    memset(key, 'k', sizeof key);
    assert_int_equal(key_check(span_of(key, HM_KEY_BYTES_MAX)), HM_OK);
    assert_int_equal(key_check(span_of(key, HM_KEY_BYTES_MAX + 1)), HM_EINVAL);
}

static void owned_keys_name_their_owner(void **state)
{
    (void) state;
    enum { SHARED, NOBODY, NODE };
    static const struct {
        const char *key;
        int whose;
    } cases[] = {
        {"node/" ID_TEXT "/seen", NODE},
        {"svc/" ID_TEXT "/web", NODE},
        {"sub/" ID_TEXT "/a/b", NODE},
        {"node/" ID_TEXT "/", NODE},
        {"node/" ID_TEXT, NOBODY},
        {"node/" ID_TEXT "0/x", NOBODY},
        {"node/000102030405060708090A0B0C0D0E0F/x", NOBODY},
        {"node/000102030405060708090a0b0c0d0e0/x", NOBODY},
        {"node/000102030405060708090a0b0c0d0e0g/x", NOBODY},
        {"node/00000000000000000000000000000000/x", NOBODY},
        {"node/nas1/labels", NOBODY},
        {"node/", NOBODY},
        {"svc/", NOBODY},
        {"sub/x", NOBODY},
        {"node", SHARED},
        {"nodes/" ID_TEXT "/x", SHARED},
        {"Node/" ID_TEXT "/x", SHARED},
        {"kv/node/" ID_TEXT "/x", SHARED},
        {"svc", SHARED},
        {"n", SHARED},
        {"", SHARED},
    };
    struct node_id id, owner, before;
    uint8_t hex[NODE_ID_BYTES];
    assert_int_equal(hex_bytes(ID_TEXT, hex, sizeof hex), NODE_ID_BYTES);
    memcpy(id.b, hex, sizeof hex);
    memset(&before, 0x77, sizeof before);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span copy = exact_copy(cases[i].key, strlen(cases[i].key));
        owner = before;
        bool is_owned = key_owner(copy, &owner);
        bool right = cases[i].whose == SHARED ? !is_owned && node_id_eq(&owner, &before)
                     : cases[i].whose == NODE ? is_owned && node_id_eq(&owner, &id)
                                              : is_owned && node_id_is_zero(&owner);
        if (!right) {
            print_error("wrong owner of %s\n", cases[i].key);
            fail();
        }
        exact_free(copy);
    }
}

static void removals_have_their_keys(void **state)
{
    (void) state;
    static const struct {
        const char *key;
        enum { REMOVAL, OF_NOBODY, OTHER } what;
    } cases[] = {
        {"removed/" ID_TEXT, REMOVAL},
        {"removed/" ID_TEXT "/", OF_NOBODY},
        {"removed/" ID_TEXT "0", OF_NOBODY},
        {"removed/000102030405060708090A0B0C0D0E0F", OF_NOBODY},
        {"removed/000102030405060708090a0b0c0d0e0", OF_NOBODY},
        {"removed/", OF_NOBODY},
        {"removed", OTHER},
        {"kv/removed/" ID_TEXT, OTHER},
        {"", OTHER},
    };
    struct node_id id, got, before;
    uint8_t hex[NODE_ID_BYTES];
    assert_int_equal(hex_bytes(ID_TEXT, hex, sizeof hex), NODE_ID_BYTES);
    memcpy(id.b, hex, sizeof hex);
    memset(&before, 0x77, sizeof before);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct span copy = exact_copy(cases[i].key, strlen(cases[i].key));
        got = before;
        bool is = key_removed(copy, &got);
        assert_true(cases[i].what == OTHER     ? !is && node_id_eq(&got, &before)
                    : cases[i].what == REMOVAL ? is && node_id_eq(&got, &id)
                                               : is && node_id_is_zero(&got));
        exact_free(copy);
    }
}

static void removals_are_read_as_written(void **state)
{
    (void) state;
    struct removal in = {.name = "attic", .by = "nas1", .wall_ms = 1795000000000}, out;
    char key[REMOVAL_KEY_BYTES + 1];
    struct node_id id, again;
    struct buf b;
    memset(in.key, 0x5e, sizeof in.key);
    memset(id.b, 0xa7, sizeof id.b);
    assert_true(key_removed(removal_key(&id, key), &again) && node_id_eq(&id, &again));
    buf_init(&b, 1000);
    removal_write(&b, &in);
    assert_int_equal(removal_read(buf_span(&b), &out), HM_OK);
    assert_memory_equal(in.key, out.key, sizeof in.key);
    assert_string_equal(out.name, "attic");
    assert_string_equal(out.by, "nas1");
    assert_true(out.wall_ms == in.wall_ms);
    for (size_t size = 0; size < b.size; size++) { /* cut anywhere */
        struct span copy = exact_copy(b.data, size);
        assert_int_equal(removal_read(copy, &out), HM_EMALFORMED);
        exact_free(copy);
    }
    static const struct {
        const char *hex;
        int result;
    } cases[] = {
        {"c0", HM_EMALFORMED},
        {"80", HM_EMALFORMED},                                    /* no key */
        {"81 a3 6b6579 c4 01 00", HM_EMALFORMED},                 /* a short one */
        {"82 a3 6b6579 c4 20 5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e a1 78 90", HM_OK},
        {"82 a3 6b6579 c4 20 5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e a4 6e616d65 a1 20",
         HM_EMALFORMED}, /* no label */
        {"82 a3 6b6579 c4 20 5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e 01 90",
         HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[128];
        size_t size = hex_bytes(cases[i].hex, bytes, sizeof bytes);
        struct span copy = exact_copy(bytes, size);
        assert_int_equal(removal_read(copy, &out), cases[i].result);
        exact_free(copy);
    }
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removals_have_their_keys),
        cmocka_unit_test(removals_are_read_as_written),
        cmocka_unit_test(round_trips),
        cmocka_unit_test(nothing_is_nil),
        cmocka_unit_test(golden_bytes),
        cmocka_unit_test(limits_of_value),
        cmocka_unit_test(limits_of_key_and_context),
        cmocka_unit_test(limit_of_all),
        cmocka_unit_test(odd_bodies),
        cmocka_unit_test(odd_entries),
        cmocka_unit_test(trailing_fields_are_kept),
        cmocka_unit_test(any_byte_changed),
        cmocka_unit_test(contexts_are_walked),
        cmocka_unit_test(supersedes_what_it_covers),
        cmocka_unit_test(supersedes_as_the_rule_says),
        cmocka_unit_test(keys_are_checked),
        cmocka_unit_test(owned_keys_name_their_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
