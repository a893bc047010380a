/* SPDX-License-Identifier: MPL-2.0 */
/* MessagePack against its specification (msgpack/spec.md): every format, every boundary of every
 * width, and everything a liar can declare. The values follow the groups of msgpack-test-suite; the
 * first form of each row is the canonical one, which is what the packer must write, and the others
 * are legal too and must read the same. */
#include "../unit.h"

#include "../mp_repack.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/prng.h"
#include "wire/mpack.h"

#include <math.h>
#include <stdio.h>

/* A value in hex: bytes, "61*300" for 300 times 61; forms are separated by '|'. */
#define FORM_BYTES_MAX 400000

static uint8_t form_bytes[FORM_BYTES_MAX];

/* Reads one form and moves *text behind it (and its '|'). Returns its bytes in form_bytes. */
static struct span next_form(const char **text)
{
    size_t size = 0;
    const char *t = *text;
    while (*t != '\0' && *t != '|') {
        if (*t == ' ') {
            t++;
            continue;
        }
        assert_true(hex_digit(t[0]) >= 0 && hex_digit(t[1]) >= 0);
        int byte = hex_digit(t[0]) * 16 + hex_digit(t[1]);
        size_t times = 1;
        t += 2;
        if (*t == '*') {
            char *end;
            times = (size_t) strtoul(t + 1, &end, 10);
            t = end;
        }
        assert_true(size + times <= FORM_BYTES_MAX);
        memset(form_bytes + size, byte, times);
        size += times;
    }
    *text = *t == '|' ? t + 1 : t;
    return span_of(form_bytes, size);
}

struct row {
    enum mp_kind kind;
    const char *forms;
    /* MP_UINT, MP_BOOL: value; MP_INT: its magnitude; str, bin: bytes; array, map: count */
    uint64_t number;
    double real;
};

/* clang-format off */
static const struct row rows[] = {
    {MP_NIL,  "c0", 0, 0},
    {MP_BOOL, "c2", 0, 0},
    {MP_BOOL, "c3", 1, 0},
    /* positive integers: each boundary, in every width that holds it */
    {MP_UINT, "00|cc 00|cd 00 00|ce 00 00 00 00|cf 00*8|d0 00|d1 00 00|d2 00*4|d3 00*8", 0, 0},
    {MP_UINT, "01|cc 01|cd 00 01|ce 00 00 00 01|cf 00*7 01|d0 01|d1 00 01|d2 00*3 01|d3 00*7 01", 1, 0},
    {MP_UINT, "7f|cc 7f|cd 00 7f|ce 00 00 00 7f|cf 00*7 7f|d0 7f|d1 00 7f|d2 00*3 7f|d3 00*7 7f", 127, 0},
    {MP_UINT, "cc 80|cd 00 80|ce 00 00 00 80|cf 00*7 80|d1 00 80|d2 00*3 80|d3 00*7 80", 128, 0},
    {MP_UINT, "cc ff|cd 00 ff|ce 00 00 00 ff|cf 00*7 ff|d1 00 ff|d2 00*3 ff|d3 00*7 ff", 255, 0},
    {MP_UINT, "cd 01 00|ce 00 00 01 00|cf 00*6 01 00|d1 01 00|d2 00 00 01 00|d3 00*6 01 00", 256, 0},
    {MP_UINT, "cd 7f ff|ce 00 00 7f ff|cf 00*6 7f ff|d1 7f ff|d2 00 00 7f ff|d3 00*6 7f ff", 32767, 0},
    {MP_UINT, "cd ff ff|ce 00 00 ff ff|cf 00*6 ff ff|d2 00 00 ff ff|d3 00*6 ff ff", 65535, 0},
    {MP_UINT, "ce 00 01 00 00|cf 00*5 01 00 00|d2 00 01 00 00|d3 00*5 01 00 00", 65536, 0},
    {MP_UINT, "ce 7f ff*3|cf 00*4 7f ff*3|d2 7f ff*3|d3 00*4 7f ff*3", 2147483647, 0},
    {MP_UINT, "ce 80 00*3|cf 00*4 80 00*3|d3 00*4 80 00*3", 2147483648, 0},
    {MP_UINT, "ce ff*4|cf 00*4 ff*4|d3 00*4 ff*4", 4294967295, 0},
    {MP_UINT, "cf 00*3 01 00*4|d3 00*3 01 00*4", 4294967296, 0},
    {MP_UINT, "cf 7f ff*7|d3 7f ff*7", INT64_MAX, 0},
    {MP_UINT, "cf 80 00*7", (uint64_t) INT64_MAX + 1, 0},
    {MP_UINT, "cf ff*8", UINT64_MAX, 0},
    /* negative integers */
    {MP_INT, "ff|d0 ff|d1 ff*2|d2 ff*4|d3 ff*8", 1, 0},
    {MP_INT, "e0|d0 e0|d1 ff e0|d2 ff*3 e0|d3 ff*7 e0", 32, 0},
    {MP_INT, "d0 df|d1 ff df|d2 ff*3 df|d3 ff*7 df", 33, 0},
    {MP_INT, "d0 81|d1 ff 81|d2 ff*3 81|d3 ff*7 81", 127, 0},
    {MP_INT, "d0 80|d1 ff 80|d2 ff*3 80|d3 ff*7 80", 128, 0},
    {MP_INT, "d1 ff 7f|d2 ff*3 7f|d3 ff*7 7f", 129, 0},
    {MP_INT, "d1 ff 00|d2 ff*3 00|d3 ff*7 00", 256, 0},
    {MP_INT, "d1 80 00|d2 ff ff 80 00|d3 ff*6 80 00", 32768, 0},
    {MP_INT, "d2 ff ff 7f ff|d3 ff*6 7f ff", 32769, 0},
    {MP_INT, "d2 ff ff 00 00|d3 ff*6 00 00", 65536, 0},
    {MP_INT, "d2 80 00*3|d3 ff*4 80 00*3", 2147483648, 0},
    {MP_INT, "d3 ff*4 7f ff*3", 2147483649, 0},
    {MP_INT, "d3 ff*4 00*4", 4294967296, 0},
    {MP_INT, "d3 80 00*7", (uint64_t) INT64_MAX + 1, 0},
    /* floating point: float 32 is read, float 64 written */
    {MP_DOUBLE, "cb 00*8|ca 00*4", 0, 0.0},
    {MP_DOUBLE, "cb 80 00*7|ca 80 00*3", 0, -0.0},
    {MP_DOUBLE, "cb 3f e0 00*6|ca 3f 00*3", 0, 0.5},
    {MP_DOUBLE, "cb bf e0 00*6|ca bf 00*3", 0, -0.5},
    {MP_DOUBLE, "cb 3f f0 00*6|ca 3f 80 00 00", 0, 1.0},
    {MP_DOUBLE, "cb bf f0 00*6|ca bf 80 00 00", 0, -1.0},
    {MP_DOUBLE, "cb 3f f8 00*6|ca 3f c0 00 00", 0, 1.5},
    {MP_DOUBLE, "cb 40 6f e0 00*5|ca 43 7f 00 00", 0, 255.0},
    {MP_DOUBLE, "cb 3f b9 99 99 99 99 99 9a", 0, 0.1},
    {MP_DOUBLE, "cb 47 ef ff ff e0 00 00 00|ca 7f 7f ff ff", 0, 3.4028234663852886e38},
    {MP_DOUBLE, "cb 7f ef ff*6", 0, 1.7976931348623157e308},
    {MP_DOUBLE, "cb 00*7 01", 0, 4.9406564584124654e-324},
    {MP_DOUBLE, "cb 7f f0 00*6|ca 7f 80 00 00", 0, INFINITY},
    {MP_DOUBLE, "cb ff f0 00*6|ca ff 80 00 00", 0, -INFINITY},
    {MP_DOUBLE, "cb 7f f8 00*6|ca 7f c0 00 00", 0, NAN},
    /* strings */
    {MP_STR, "a0|d9 00|da 00 00|db 00*4", 0, 0},
    {MP_STR, "a1 61|d9 01 61|da 00 01 61|db 00 00 00 01 61", 1, 0},
    {MP_STR, "a1 00|d9 01 00", 1, 0},
    {MP_STR, "bf 61*31|d9 1f 61*31|da 00 1f 61*31|db 00 00 00 1f 61*31", 31, 0},
    {MP_STR, "d9 20 61*32|da 00 20 61*32|db 00 00 00 20 61*32", 32, 0},
    {MP_STR, "d9 ff 61*255|da 00 ff 61*255|db 00 00 00 ff 61*255", 255, 0},
    {MP_STR, "da 01 00 61*256|db 00 00 01 00 61*256", 256, 0},
    {MP_STR, "da ff ff 61*65535|db 00 00 ff ff 61*65535", 65535, 0},
    {MP_STR, "db 00 01 00 00 61*65536", 65536, 0},
    {MP_STR, "b2 d0 9a d0 b8 d1 80 d0 b8 d0 bb d0 bb d0 b8 d1 86 d0 b0", 18, 0},
    {MP_STR, "ac e3 81 b2 e3 82 89 e3 81 8c e3 81 aa", 12, 0},
    {MP_STR, "a6 ed 95 9c ea b8 80", 6, 0},
    {MP_STR, "a6 e6 b1 89 e5 ad 97", 6, 0},
    {MP_STR, "a3 e2 9d a4", 3, 0},
    {MP_STR, "a4 f0 9f 8d ba|d9 04 f0 9f 8d ba", 4, 0},
    /* bytes */
    {MP_BIN, "c4 00|c5 00 00|c6 00*4", 0, 0},
    {MP_BIN, "c4 01 00|c5 00 01 00|c6 00 00 00 01 00", 1, 0},
    {MP_BIN, "c4 10 ff*16|c5 00 10 ff*16|c6 00 00 00 10 ff*16", 16, 0},
    {MP_BIN, "c4 ff 00*255|c5 00 ff 00*255|c6 00 00 00 ff 00*255", 255, 0},
    {MP_BIN, "c5 01 00 00*256|c6 00 00 01 00 00*256", 256, 0},
    {MP_BIN, "c5 ff ff 00*65535|c6 00 00 ff ff 00*65535", 65535, 0},
    {MP_BIN, "c6 00 01 00 00 00*65536", 65536, 0},
    /* arrays */
    {MP_ARRAY, "90|dc 00 00|dd 00*4", 0, 0},
    {MP_ARRAY, "91 01|dc 00 01 01|dd 00 00 00 01 01", 1, 0},
    {MP_ARRAY, "9f 01*15|dc 00 0f 01*15|dd 00 00 00 0f 01*15", 15, 0},
    {MP_ARRAY, "dc 00 10 01*16|dd 00 00 00 10 01*16", 16, 0},
    {MP_ARRAY, "dc ff ff c0*65535|dd 00 00 ff ff c0*65535", 65535, 0},
    {MP_ARRAY, "dd 00 01 00 00 c0*65536", 65536, 0},
    {MP_ARRAY, "91 a1 61|dc 00 01 a1 61|91 d9 01 61", 1, 0},
    /* maps */
    {MP_MAP, "80|de 00 00|df 00*4", 0, 0},
    {MP_MAP, "81 a1 61 01|de 00 01 a1 61 01|df 00 00 00 01 a1 61 01|81 d9 01 61 cc 01", 1, 0},
    {MP_MAP, "81 01 02|de 00 01 d0 01 cf 00*7 02", 1, 0},
    {MP_MAP, "8f 01*30|de 00 0f 01*30|df 00 00 00 0f 01*30", 15, 0},
    {MP_MAP, "de 00 10 01*32|df 00 00 00 10 01*32", 16, 0},
    {MP_MAP, "df 00 01 00 00 c0*131072", 65536, 0},
    /* nested */
    {MP_ARRAY, "91 90|dc 00 01 dc 00 00|dd 00 00 00 01 90", 1, 0},
    {MP_ARRAY, "91 80|91 de 00 00", 1, 0},
    {MP_MAP, "81 a1 61 80|de 00 01 a1 61 de 00 00", 1, 0},
    {MP_MAP, "81 a1 61 90|df 00 00 00 01 d9 01 61 dd 00*4", 1, 0},
    {MP_ARRAY, "92 91 91 01 81 a1 62 91 c0|dc 00 02 91 91 cc 01 de 00 01 a1 62 91 c0", 2, 0},
    /* extensions are skipped: fixext 1 to 16, ext 8 to 32, the three timestamps */
    {MP_EXT, "d4 01 10", 0, 0},
    {MP_EXT, "d5 02 20 21", 0, 0},
    {MP_EXT, "d6 03 30*4", 0, 0},
    {MP_EXT, "d7 04 40*8", 0, 0},
    {MP_EXT, "d8 05 50*16", 0, 0},
    {MP_EXT, "c7 00 06", 0, 0},
    {MP_EXT, "c7 03 07 70*3", 0, 0},
    {MP_EXT, "c7 ff 07 70*255", 0, 0},
    {MP_EXT, "c8 01 00 08 80*256", 0, 0},
    {MP_EXT, "c9 00 01 00 00 09 90*65536", 0, 0},
    {MP_EXT, "d6 ff 5a 4a f6 a5", 0, 0},
    {MP_EXT, "d7 ff a1 dc d7 c8 5a 4a f6 a5", 0, 0},
    {MP_EXT, "c7 0c ff 3b 9a c9 ff ff ff ff ff ff ff ff ff", 0, 0},
};
/* clang-format on */

static bool same_double(double a, double b)
{
    if (isnan(a) || isnan(b)) {
        return isnan(a) && isnan(b);
    }
    return a == b && signbit(a) == signbit(b);
}

static void check_value(const struct row *row, struct span form)
{
    struct mp_reader r;
    mp_open(&r, form);
    assert_int_equal(mp_peek(&r), row->kind);
    switch (row->kind) {
    case MP_NIL:
        mp_read_nil(&r);
        break;
    case MP_BOOL:
        assert_int_equal(mp_read_bool(&r), row->number);
        break;
    case MP_UINT:
        assert_true(mp_read_uint(&r, UINT64_MAX) == row->number);
        break;
    case MP_INT:
        assert_true(mp_read_int(&r) == (int64_t) (0 - row->number));
        break;
    case MP_DOUBLE:
        assert_true(same_double(mp_read_double(&r), row->real));
        break;
    case MP_STR:
        assert_int_equal(mp_read_str(&r, SIZE_MAX).size, row->number);
        break;
    case MP_BIN:
        assert_int_equal(mp_read_bin(&r, SIZE_MAX).size, row->number);
        break;
    case MP_ARRAY:
        assert_int_equal(mp_read_array(&r), row->number);
        mp_skip_many(&r, row->number);
        break;
    case MP_MAP:
        assert_int_equal(mp_read_map(&r), row->number);
        mp_skip_many(&r, 2 * row->number);
        break;
    case MP_EXT:
        assert_int_equal(mp_read_raw(&r).size, form.size);
        break;
    case MP_NONE:
        fail();
        break;
    }
    assert_false(mp_failed(&r));
    assert_true(mp_at_end(&r));
}

static void every_form_of_every_value(void **state)
{
    (void) state;
    assert_true(ARRAY_COUNT(rows) >= 85);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *text = rows[i].forms;
        struct span canonical = span_of(NULL, 0);
        while (*text != '\0') {
            struct span bytes = next_form(&text);
            struct span form = exact_copy(bytes.data, bytes.size);
            struct mp_reader r;
            struct buf out;
            assert_int_equal(mp_check(form), HM_OK);
            check_value(&rows[i], form);
            buf_init(&out, FORM_BYTES_MAX);
            mp_open(&r, form);
            mp_repack(&r, &out);
            assert_false(mp_failed(&r) || buf_failed(&out));
            if (canonical.data == NULL) {
                canonical = exact_copy(form.data, form.size);
            }
            if (out.size != canonical.size || memcmp(out.data, canonical.data, out.size) != 0) {
                print_error("row %zu (%.40s): a form is not written canonically\n", i,
                            rows[i].forms);
                fail();
            }
            buf_fini(&out);
            exact_free(form);
        }
        exact_free(canonical);
    }
}

/* Truncated at each byte (up to a thousand places for long values): an error, never a value. */
static void every_truncation(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *text = rows[i].forms;
        while (*text != '\0') {
            struct span bytes = next_form(&text);
            size_t step = bytes.size / 1000 + 1;
            for (size_t cut = 0; cut < bytes.size; cut += step) {
                struct span form = exact_copy(bytes.data, cut);
                struct mp_reader r;
                assert_int_equal(mp_check(form), HM_EMALFORMED);
                mp_open(&r, form);
                mp_skip(&r);
                assert_true(mp_failed(&r));
                exact_free(form);
            }
        }
    }
}

static void one_byte_too_many(void **state)
{
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *text = rows[i].forms;
        struct span bytes = next_form(&text);
        form_bytes[bytes.size] = 0;
        assert_int_equal(mp_check(span_of(bytes.data, bytes.size + 1)), HM_EMALFORMED);
    }
}

/* Pages in use: virtual and resident. False where /proc is not Linux's. */
static bool pages_used(unsigned long ret_pages[2])
{
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL) {
        return false;
    }
    int got = fscanf(f, "%lu %lu", &ret_pages[0], &ret_pages[1]);
    fclose(f);
    return got == 2;
}

/* msgpack-c's unpacker maps 1 GiB for the first and fails for want of memory at the second. */
static void hostile_counts_take_no_memory(void **state)
{
    (void) state;
    static const char *const hostile[] = {
        "dd 02 00 00 00",
        "dd ff ff ff ff",
        "df 02 00 00 00",
        "df ff ff ff ff",
        "dc ff ff",
        "de ff ff",
        "db ff ff ff ff",
        "c6 ff ff ff ff",
        "c9 ff ff ff ff",
        "c9 ff ff ff ff 01",
        "9f",
        "8f",
        "bf",
        "dd ff ff ff ff dd ff ff ff ff dd ff ff ff ff",
        "df 80 00 00 00",
        "91 dd ff ff ff ff",
        "df ff ff ff ff 01 02 03 04 05 06 07 08",
        "dd 00 00 00 02 01",
        "df 00 00 00 02 01 01 01",
    };
    unsigned long before[2], after[2];
    for (int round = 0; round < 1000; round++) {
        /* The first round touches pages of code and stack. The kernel counts pages in batches. */
        if (round == 1 && !pages_used(before)) {
            print_message("no /proc/self/statm: memory is not measured here\n");
            skip();
        }
        for (size_t i = 0; i < ARRAY_COUNT(hostile); i++) {
            uint8_t bytes[32];
            size_t size = hex_bytes(hostile[i], bytes, sizeof bytes);
            struct mp_reader r;
            assert_int_equal(mp_check(span_of(bytes, size)), HM_EMALFORMED);
            mp_open(&r, span_of(bytes, size));
            size_t count = mp_peek(&r) == MP_MAP ? mp_read_map(&r) : mp_read_array(&r);
            assert_true(count <= size);
        }
    }
    assert_true(pages_used(after));
    assert_in_range(after[0], 0, before[0] + 256);
    assert_in_range(after[1], 0, before[1] + 256);
}

static void counts_are_held_against_the_bytes_left(void **state)
{
    (void) state;
    for (unsigned declared = 0; declared <= 15; declared++) {
        for (unsigned present = 0; present <= 32; present++) {
            uint8_t bytes[40] = {0};
            struct mp_reader r;
            bytes[0] = (uint8_t) (0x90 | declared);
            mp_open(&r, span_of(bytes, present + 1));
            assert_int_equal(mp_read_array(&r), declared <= present ? declared : 0);
            assert_int_equal(mp_failed(&r), declared > present);
            bytes[0] = (uint8_t) (0x80 | declared);
            mp_open(&r, span_of(bytes, present + 1));
            assert_int_equal(mp_read_map(&r), 2 * declared <= present ? declared : 0);
            assert_int_equal(mp_failed(&r), 2 * declared > present);
        }
    }
}

static size_t nest(uint8_t *bytes, uint8_t code, size_t depth, const char *innermost)
{
    size_t size = 0;
    for (size_t i = 0; i < depth; i++) {
        if ((code & 0xf0) == 0x80) {
            bytes[size++] = code;
            bytes[size++] = 0x01; /* the key */
        } else {
            bytes[size++] = code;
        }
    }
    return size + hex_bytes(innermost, bytes + size, 8);
}

static void depth_has_a_limit(void **state)
{
    (void) state;
    static uint8_t bytes[200000];
    static const uint8_t codes[] = {0x91, 0x81};
    assert_int_equal(HM_MPACK_DEPTH_MAX, 16);
    for (size_t c = 0; c < ARRAY_COUNT(codes); c++) {
        for (size_t depth = 0; depth <= 40; depth++) {
            int expected = depth <= 16 ? HM_OK : HM_EMALFORMED;
            size_t size = nest(bytes, codes[c], depth, "c0");
            assert_int_equal(mp_check(span_of(bytes, size)), expected);
            /* An empty container is a level of its own. */
            expected = depth + 1 <= 16 ? HM_OK : HM_EMALFORMED;
            size = nest(bytes, codes[c], depth, "90");
            assert_int_equal(mp_check(span_of(bytes, size)), expected);
            size = nest(bytes, codes[c], depth, "80");
            assert_int_equal(mp_check(span_of(bytes, size)), expected);
        }
        /* A hundred thousand levels must not reach the end of the stack. */
        size_t size = nest(bytes, codes[c], 99000, "c0");
        assert_int_equal(mp_check(span_of(bytes, size)), HM_EMALFORMED);
    }
}

static void errors_stick(void **state)
{
    (void) state;
    uint8_t bytes[8];
    struct mp_reader r;
    struct node_id id;
    char text[4];
    size_t size = hex_bytes("01 a1 61 c3 c0 c4 00", bytes, sizeof bytes);
    mp_open(&r, span_of(bytes, size));
    assert_int_equal(mp_read_str(&r, 10).size, 0); /* a number stands there */
    assert_true(mp_failed(&r));
    assert_true(mp_at_end(&r));
    assert_int_equal(mp_peek(&r), MP_NONE);
    assert_true(mp_read_uint(&r, UINT64_MAX) == 0);
    assert_true(mp_read_int(&r) == 0);
    assert_false(mp_read_bool(&r));
    assert_true(mp_read_double(&r) == 0);
    assert_int_equal(mp_read_array(&r), 0);
    assert_int_equal(mp_read_map(&r), 0);
    assert_null(mp_read_bin(&r, 10).data);
    assert_null(mp_read_raw(&r).data);
    assert_false(mp_try_nil(&r));
    mp_read_text(&r, text, sizeof text);
    assert_string_equal(text, "");
    memset(&id, 0xff, sizeof id);
    mp_read_id(&r, &id);
    assert_true(node_id_is_zero(&id));
    assert_true(mp_failed(&r));
}

static void nothing_is_malformed(void **state)
{
    (void) state;
    struct mp_reader r;
    assert_int_equal(mp_check(span_of(NULL, 0)), HM_EMALFORMED);
    assert_int_equal(mp_check(span_of("", 0)), HM_EMALFORMED);
    mp_open(&r, span_of(NULL, 0));
    assert_true(mp_at_end(&r));
    mp_open(&r, span_of("", 0));
    assert_true(mp_at_end(&r));
    assert_false(mp_failed(&r));
    assert_int_equal(mp_peek(&r), MP_NONE);
    mp_skip_many(&r, 0);
    assert_false(mp_failed(&r));
    assert_int_equal(mp_check(span_of("\xc1", 1)), HM_EMALFORMED); /* never used */
}

/* Every first byte, followed by zeros or ones: each read takes its kind and refuses the others. */
static void kinds_are_not_mixed_up(void **state)
{
    (void) state;
    for (unsigned fill = 0; fill < 2; fill++) {
        for (unsigned first = 0; first < 256; first++) {
            uint8_t bytes[100];
            struct mp_reader p, r;
            memset(bytes, fill == 0 ? 0 : 1, sizeof bytes);
            bytes[0] = (uint8_t) first;
            mp_open(&p, span_of(bytes, sizeof bytes));
            enum mp_kind kind = mp_peek(&p);
            assert_ptr_equal(p.at, bytes); /* peeking takes nothing */
            assert_false(p.failed);
            r = p, mp_read_nil(&r), assert_int_equal(!r.failed, kind == MP_NIL);
            r = p, assert_int_equal(mp_try_nil(&r), kind == MP_NIL), assert_false(r.failed);
            r = p, mp_read_bool(&r), assert_int_equal(!r.failed, kind == MP_BOOL);
            r = p, mp_read_uint(&r, UINT64_MAX), assert_int_equal(!r.failed, kind == MP_UINT);
            r = p, mp_read_int(&r);
            assert_int_equal(!r.failed, kind == MP_UINT || kind == MP_INT);
            r = p, mp_read_double(&r);
            assert_int_equal(!r.failed, kind == MP_UINT || kind == MP_INT || kind == MP_DOUBLE);
            r = p, mp_read_str(&r, SIZE_MAX), assert_int_equal(!r.failed, kind == MP_STR);
            r = p, mp_read_bin(&r, SIZE_MAX), assert_int_equal(!r.failed, kind == MP_BIN);
            r = p, mp_read_array(&r), assert_int_equal(!r.failed, kind == MP_ARRAY);
            r = p, mp_read_map(&r), assert_int_equal(!r.failed, kind == MP_MAP);
        }
    }
}

static void limits_of_reads(void **state)
{
    (void) state;
    uint8_t bytes[40];
    struct mp_reader r;
    size_t size = hex_bytes("cd 01 00", bytes, sizeof bytes);
    mp_open(&r, span_of(bytes, size));
    assert_true(mp_read_uint(&r, 256) == 256);
    mp_open(&r, span_of(bytes, size));
    assert_true(mp_read_uint(&r, 255) == 0);
    assert_true(mp_failed(&r));
    size = hex_bytes("cf 80 00 00 00 00 00 00 00", bytes, sizeof bytes);
    mp_open(&r, span_of(bytes, size));
    assert_true(mp_read_int(&r) == 0); /* above INT64_MAX */
    assert_true(mp_failed(&r));
    size = hex_bytes("a3 61 62 63", bytes, sizeof bytes);
    mp_open(&r, span_of(bytes, size));
    assert_int_equal(mp_read_str(&r, 3).size, 3);
    mp_open(&r, span_of(bytes, size));
    assert_int_equal(mp_read_str(&r, 2).size, 0);
    assert_true(mp_failed(&r));
}

static void texts_fit_and_hold_no_nul(void **state)
{
    (void) state;
    static const struct {
        const char *hex, *text;
        bool failed;
    } cases[] = {
        {"a0", "", false},         {"a3 61 62 63", "abc", false}, {"a4 61 62 63 64", "", true},
        {"a3 61 00 63", "", true}, {"a1 00", "", true},           {"c4 01 61", "", true},
        {"a3 61 62", "", true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[16];
        char text[4] = "xxx";
        struct mp_reader r;
        mp_open(&r, span_of(bytes, hex_bytes(cases[i].hex, bytes, sizeof bytes)));
        mp_read_text(&r, text, sizeof text);
        assert_int_equal(mp_failed(&r), cases[i].failed);
        assert_string_equal(text, cases[i].text);
    }
}

static void ids_are_sixteen_bytes(void **state)
{
    (void) state;
    for (size_t size = 0; size <= 20; size++) {
        uint8_t bytes[22] = {0xc4, (uint8_t) size};
        struct mp_reader r;
        struct node_id id;
        memset(bytes + 2, 0xab, 20);
        mp_open(&r, span_of(bytes, size + 2));
        mp_read_id(&r, &id);
        assert_int_equal(mp_failed(&r), size != 16);
        assert_int_equal(node_id_is_zero(&id), size != 16);
    }
    struct buf b;
    struct node_id id, back;
    struct mp_reader r;
    buf_init(&b, 100);
    memset(&id, 0x5a, sizeof id);
    mp_id(&b, &id);
    mp_open(&r, buf_span(&b));
    mp_read_id(&r, &back);
    assert_true(mp_at_end(&r) && !mp_failed(&r));
    assert_true(node_id_eq(&id, &back));
    buf_fini(&b);
}

static void raw_is_exactly_one_value(void **state)
{
    (void) state;
    uint8_t bytes[16];
    struct mp_reader r;
    size_t size = hex_bytes("92 81 a1 61 c0 02 c3", bytes, sizeof bytes);
    mp_open(&r, span_of(bytes, size));
    struct span raw = mp_read_raw(&r);
    assert_ptr_equal(raw.data, bytes);
    assert_int_equal(raw.size, 6);
    assert_true(mp_read_bool(&r));
    assert_true(mp_at_end(&r));
}

static void skipping_many_stops_at_the_end(void **state)
{
    (void) state;
    uint8_t bytes[4] = {1, 2, 3, 4};
    struct mp_reader r;
    mp_open(&r, span_of(bytes, 4));
    mp_skip_many(&r, 4);
    assert_false(mp_failed(&r));
    assert_true(mp_at_end(&r));
    mp_open(&r, span_of(bytes, 4));
    mp_skip_many(&r, SIZE_MAX); /* at once, not after 2^64 turns */
    assert_true(mp_failed(&r));
}

static void a_full_buffer_fails(void **state)
{
    (void) state;
    for (size_t max = 0; max < 12; max++) {
        struct buf b;
        buf_init(&b, max);
        mp_array(&b, 2);
        mp_str(&b, "abcd");
        mp_bin(&b, "1234", 4);
        assert_true(buf_failed(&b));
        assert_true(b.size <= max);
        buf_fini(&b);
    }
}

/* Random integers, in the narrowest form both ways and through every wider one. */
static void random_integers(void **state)
{
    (void) state;
    struct prng p;
    struct buf b;
    prng_init(&p, 5);
    buf_init(&b, 100);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = prng_next(&p) >> prng_below(&p, 64);
        int64_t number = (int64_t) (prng_below(&p, 2) == 0 ? bits >> 1 : 0 - (bits >> 1));
        struct mp_reader r;
        buf_clear(&b);
        mp_uint(&b, bits);
        mp_int(&b, number);
        assert_true(mp_check(span_of(b.data, bits < 128           ? 1
                                             : bits < 256         ? 2
                                             : bits < 65536       ? 3
                                             : bits <= UINT32_MAX ? 5
                                                                  : 9)) == HM_OK);
        mp_open(&r, buf_span(&b));
        assert_true(mp_read_uint(&r, UINT64_MAX) == bits);
        assert_true(mp_read_int(&r) == number);
        assert_true(mp_at_end(&r) && !mp_failed(&r));
    }
    buf_fini(&b);
}

/* Random bytes: whatever passes the check must repack, and its canonical form must be a fixed
 * point. */
static void random_bytes(void **state)
{
    (void) state;
    struct prng p;
    struct buf one, two;
    unsigned taken = 0;
    prng_init(&p, 6);
    buf_init(&one, 4096);
    buf_init(&two, 4096);
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[24];
        size_t size = (size_t) prng_below(&p, sizeof bytes + 1);
        for (size_t j = 0; j < size; j++) {
            bytes[j] = (uint8_t) (prng_next(&p) & (prng_below(&p, 2) == 0 ? 0x9f : 0xff));
        }
        struct span exact = exact_copy(bytes, size);
        if (mp_check(exact) == HM_OK) {
            struct mp_reader r;
            taken++;
            buf_clear(&one);
            buf_clear(&two);
            mp_open(&r, exact);
            mp_repack(&r, &one);
            assert_false(mp_failed(&r) || buf_failed(&one));
            mp_open(&r, buf_span(&one));
            mp_repack(&r, &two);
            assert_false(mp_failed(&r));
            assert_int_equal(one.size, two.size);
            assert_memory_equal(one.data, two.data, one.size);
        }
        exact_free(exact);
    }
    assert_true(taken > 1000);
    buf_fini(&one);
    buf_fini(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_every_value),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(one_byte_too_many),
        cmocka_unit_test(hostile_counts_take_no_memory),
        cmocka_unit_test(counts_are_held_against_the_bytes_left),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(errors_stick),
        cmocka_unit_test(nothing_is_malformed),
        cmocka_unit_test(kinds_are_not_mixed_up),
        cmocka_unit_test(limits_of_reads),
        cmocka_unit_test(texts_fit_and_hold_no_nul),
        cmocka_unit_test(ids_are_sixteen_bytes),
        cmocka_unit_test(raw_is_exactly_one_value),
        cmocka_unit_test(skipping_many_stops_at_the_end),
        cmocka_unit_test(a_full_buffer_fails),
        cmocka_unit_test(random_integers),
        cmocka_unit_test(random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
