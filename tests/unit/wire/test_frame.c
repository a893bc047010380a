/* SPDX-License-Identifier: MPL-2.0 */
/* Heads of datagrams and frames: the layout byte by byte, truncation, and lies about each field. */
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "wire/frame.h"

#define SEALED 30

static struct datagram_head head_of(enum datagram_class cls)
{
    struct datagram_head h = {
        .version = PROTOCOL_VERSION,
        .cls = cls,
        .session = 0x1122334455667788,
        .counter = 0x99aabbccddeeff00,
        .mesh_tag = cls == DATAGRAM_MESH ? 0x0102030405060708 : 0,
    };
    for (unsigned i = 0; i < NODE_ID_BYTES; i++) {
        h.sender.b[i] = (uint8_t) (0xa0 + i);
    }
    return h;
}

/* A whole datagram with a sealed part of zeros. */
static void write_datagram(struct buf *b, enum datagram_class cls, size_t sealed)
{
    struct datagram_head h = head_of(cls);
    buf_init(b, 2000);
    datagram_head_write(b, &h, sealed);
    uint8_t *body = buf_extend(b, sealed);
    assert_non_null(body);
    memset(body, 0, sealed);
}

static void datagram_layout(void **state)
{
    (void) state;
    struct buf b;
    uint8_t expected[100];
    write_datagram(&b, DATAGRAM_MESH, SEALED);
    size_t size = hex_bytes("48 4d 01 01 00 4c a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 1122334455667788 "
                            "99aabbccddeeff00 0102030405060708",
                            expected, sizeof expected);
    assert_int_equal(size, DATAGRAM_MESH_HEAD_BYTES);
    assert_memory_equal(b.data, expected, size);
    buf_fini(&b);
    write_datagram(&b, DATAGRAM_PAIR, SEALED);
    size = hex_bytes("48 4d 01 02 00 44 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 1122334455667788 "
                     "99aabbccddeeff00",
                     expected, sizeof expected);
    assert_int_equal(size, DATAGRAM_PAIR_HEAD_BYTES);
    assert_memory_equal(b.data, expected, size);
    buf_fini(&b);
}

static void datagram_round_trip(void **state)
{
    (void) state;
    static const enum datagram_class classes[] = {DATAGRAM_MESH, DATAGRAM_PAIR};
    static const size_t sealed[] = {DATAGRAM_TAG_BYTES, SEALED,
                                    HM_DATAGRAM_BYTES_MAX - DATAGRAM_MESH_HEAD_BYTES};
    for (size_t i = 0; i < ARRAY_COUNT(classes); i++) {
        for (size_t j = 0; j < ARRAY_COUNT(sealed); j++) {
            struct buf b;
            struct datagram_head h = head_of(classes[i]), back;
            write_datagram(&b, classes[i], sealed[j]);
            assert_int_equal(datagram_head_read(buf_span(&b), &back), HM_OK);
            assert_int_equal(back.version, h.version);
            assert_int_equal(back.cls, h.cls);
            assert_true(node_id_eq(&back.sender, &h.sender));
            assert_true(back.session == h.session && back.counter == h.counter);
            assert_true(back.mesh_tag == h.mesh_tag);
            assert_int_equal(back.bytes + sealed[j], b.size);
            buf_fini(&b);
        }
    }
}

static int read_exact(const uint8_t *data, size_t size)
{
    struct datagram_head h;
    struct span copy = exact_copy(data, size);
    int result = datagram_head_read(copy, &h);
    exact_free(copy);
    return result;
}

static void datagram_truncated(void **state)
{
    (void) state;
    static const enum datagram_class classes[] = {DATAGRAM_MESH, DATAGRAM_PAIR};
    for (size_t i = 0; i < ARRAY_COUNT(classes); i++) {
        struct buf b;
        write_datagram(&b, classes[i], SEALED);
        for (size_t size = 0; size < b.size; size++) {
            assert_int_equal(read_exact(b.data, size), HM_EMALFORMED);
            /* Also when the length field admits it: too short for its own head and tag. */
            uint8_t cut[100];
            memcpy(cut, b.data, size);
            if (size >= 6) {
                cut[4] = 0;
                cut[5] = (uint8_t) size;
            }
            size_t least =
                DATAGRAM_TAG_BYTES +
                (classes[i] == DATAGRAM_MESH ? DATAGRAM_MESH_HEAD_BYTES : DATAGRAM_PAIR_HEAD_BYTES);
            assert_int_equal(read_exact(cut, size), size >= least ? HM_OK : HM_EMALFORMED);
        }
        buf_fini(&b);
    }
}

static void datagram_length_lied_about(void **state)
{
    (void) state;
    struct buf b;
    write_datagram(&b, DATAGRAM_PAIR, SEALED);
    for (unsigned length = 0; length <= 65535; length++) {
        b.data[4] = (uint8_t) (length >> 8);
        b.data[5] = (uint8_t) length;
        assert_int_equal(read_exact(b.data, b.size), length == b.size ? HM_OK : HM_EMALFORMED);
    }
    buf_fini(&b);
}

static void datagram_above_the_limit(void **state)
{
    (void) state;
    static uint8_t bytes[65535];
    struct buf b;
    write_datagram(&b, DATAGRAM_PAIR, SEALED);
    memcpy(bytes, b.data, b.size);
    for (size_t size = 1100; size <= sizeof bytes; size += size < 1300 ? 1 : 997) {
        bytes[4] = (uint8_t) (size >> 8);
        bytes[5] = (uint8_t) size;
        assert_int_equal(read_exact(bytes, size),
                         size <= HM_DATAGRAM_BYTES_MAX ? HM_OK : HM_EMALFORMED);
    }
    buf_fini(&b);
}

static void datagram_foreign(void **state)
{
    (void) state;
    struct buf b;
    write_datagram(&b, DATAGRAM_PAIR, SEALED);
    for (unsigned v = 0; v < 256; v++) {
        uint8_t kept[4];
        memcpy(kept, b.data, 4);
        b.data[0] = (uint8_t) v;
        assert_int_equal(read_exact(b.data, b.size), v == 'H' ? HM_OK : HM_EMALFORMED);
        memcpy(b.data, kept, 4);
        b.data[1] = (uint8_t) v;
        assert_int_equal(read_exact(b.data, b.size), v == 'M' ? HM_OK : HM_EMALFORMED);
        memcpy(b.data, kept, 4);
        b.data[3] = (uint8_t) v; /* as DATAGRAM_MESH, the 68 bytes suffice too */
        assert_int_equal(read_exact(b.data, b.size),
                         v == DATAGRAM_PAIR || v == DATAGRAM_MESH ? HM_OK : HM_EMALFORMED);
        memcpy(b.data, kept, 4);
        struct datagram_head h;
        b.data[2] = (uint8_t) v;
        bool ours = v >= PROTOCOL_VERSION_MIN && v <= PROTOCOL_VERSION;
        assert_int_equal(datagram_head_read(buf_span(&b), &h), ours ? HM_OK : HM_EVERSION);
        assert_int_equal(h.version, v); /* so that the log can name it */
        memcpy(b.data, kept, 4);
    }
    buf_fini(&b);
}

static void frame_round_trip(void **state)
{
    (void) state;
    static const size_t bodies[] = {0, 1, 255, 256, 65535, 65536, HM_FRAME_BYTES_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        for (unsigned type = 0; type < 256; type += 17) {
            struct buf b;
            uint8_t back = 77;
            struct span body;
            buf_init(&b, FRAME_HEAD_BYTES + HM_FRAME_BYTES_MAX);
            frame_head_write(&b, (uint8_t) type, bodies[i]);
            assert_int_equal(b.size, FRAME_HEAD_BYTES);
            if (bodies[i] > 0) {
                memset(buf_extend(&b, bodies[i]), 0, bodies[i]);
            }
            assert_int_equal(frame_head_read(buf_span(&b), &back, &body), HM_OK);
            assert_int_equal(back, type);
            assert_ptr_equal(body.data, b.data + FRAME_HEAD_BYTES);
            assert_int_equal(body.size, bodies[i]);
            buf_fini(&b);
        }
    }
}

static int frame_read_exact(const uint8_t *data, size_t size)
{
    uint8_t type = 77;
    struct span body = span_of(NULL, 0);
    struct span copy = exact_copy(data, size);
    int result = frame_head_read(copy, &type, &body);
    if (result != HM_OK) {
        assert_int_equal(type, 77); /* untouched */
        assert_null(body.data);
    }
    exact_free(copy);
    return result;
}

static void frame_malformed(void **state)
{
    (void) state;
    static const uint8_t good[] = {'H', 'M', PROTOCOL_VERSION, FRAME_SYNC, 0, 0, 0, 3, 1, 2, 3};
    assert_int_equal(frame_read_exact(good, sizeof good), HM_OK);
    for (size_t size = 0; size < sizeof good; size++) {
        assert_int_equal(frame_read_exact(good, size), HM_EMALFORMED);
    }
    for (size_t i = 0; i < FRAME_HEAD_BYTES; i++) {
        for (unsigned v = 0; v < 256; v++) {
            uint8_t bad[sizeof good];
            memcpy(bad, good, sizeof good);
            bad[i] = (uint8_t) v;
            int expected = v == good[i] || i == 3 ? HM_OK : i == 2 ? HM_EVERSION : HM_EMALFORMED;
            assert_int_equal(frame_read_exact(bad, sizeof bad), expected);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagram_layout),          cmocka_unit_test(datagram_round_trip),
        cmocka_unit_test(datagram_truncated),       cmocka_unit_test(datagram_length_lied_about),
        cmocka_unit_test(datagram_above_the_limit), cmocka_unit_test(datagram_foreign),
        cmocka_unit_test(frame_round_trip),         cmocka_unit_test(frame_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
