/* SPDX-License-Identifier: MPL-2.0 */
/* Requests and replies of the local protocol. */
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "wire/api_msg.h"
#include "wire/mpack.h"

/* [1, "nodes.list", "nas1", {"a": [1]}, 5000] */
static const char request_hex[] =
    "95 01 aa 6e6f6465732e6c697374 a4 6e617331 81 a1 61 91 01 cd 13 88";
/* [1, -5, "gone", nil] */
static const char reply_hex[] = "94 01 fb a4 676f6e65 c0";

static int read_request(const char *hex, struct api_request *ret_request)
{
    uint8_t bytes[400];
    size_t size = hex_bytes(hex, bytes, sizeof bytes);
    struct span copy = exact_copy(bytes, size);
    int result = api_request_read(copy, ret_request);
    exact_free(copy);
    return result;
}

static int read_reply(const char *hex, struct api_reply *ret_reply)
{
    uint8_t bytes[1000];
    size_t size = hex_bytes(hex, bytes, sizeof bytes);
    struct span copy = exact_copy(bytes, size);
    int result = api_reply_read(copy, ret_reply);
    exact_free(copy);
    return result;
}

static void request_layout(void **state)
{
    (void) state;
    uint8_t expected[64];
    size_t size = hex_bytes(request_hex, expected, sizeof expected);
    struct api_request q = {.op = "nodes.list",
                            .node = "nas1",
                            .args = span_of("\x81\xa1\x61\x91\x01", 5),
                            .deadline_ms = 5000};
    struct buf b;
    buf_init(&b, HM_REQUEST_BYTES_MAX);
    api_request_write(&b, &q);
    assert_int_equal(b.size, size);
    assert_memory_equal(b.data, expected, size);
    struct api_request back;
    assert_int_equal(api_request_read(buf_span(&b), &back), HM_OK);
    assert_string_equal(back.op, q.op);
    assert_string_equal(back.node, q.node);
    assert_int_equal(back.args.size, 5);
    assert_memory_equal(back.args.data, q.args.data, 5);
    assert_true(back.args.data > b.data && back.args.data < b.data + b.size);
    assert_true(back.deadline_ms == 5000);
    buf_fini(&b);
}

static void request_defaults(void **state)
{
    (void) state;
    struct api_request q = {.op = "status"}, back;
    struct buf b;
    buf_init(&b, HM_REQUEST_BYTES_MAX);
    api_request_write(&b, &q);
    assert_int_equal(api_request_read(buf_span(&b), &back), HM_OK);
    assert_string_equal(back.node, "");
    assert_int_equal(back.args.size, 1);
    assert_int_equal(back.args.data[0], 0x80);
    assert_true(back.deadline_ms == 0);
    buf_fini(&b);
}

static void requests_refused(void **state)
{
    (void) state;
    static const struct {
        const char *hex;
        int result;
    } cases[] = {
        {request_hex, HM_OK},
        {"95 01 a1 61 c0 80 00", HM_OK},
        {"96 01 a1 61 c0 80 00 c3", HM_OK}, /* a newer version's field */
        {"97 01 a1 61 c0 80 00 c3 91 91 01", HM_OK},
        {"95 01 a1 61 c0 80 ce 00 09 27 c0", HM_OK}, /* ten minutes */
        {"95 01 a1 61 c0 80 ce 00 09 27 c1", HM_EMALFORMED},
        {"94 01 a1 61 c0 80", HM_EMALFORMED}, /* no deadline */
        {"90", HM_EMALFORMED},
        {"91 01", HM_EMALFORMED},
        {"80", HM_EMALFORMED},
        {"c0", HM_EMALFORMED},
        {"", HM_EMALFORMED},
        {"95 02 a1 61 c0 80 00", HM_EVERSION},
        {"91 02", HM_EVERSION},
        {"95 00 a1 61 c0 80 00", HM_EVERSION},
        {"95 cf ffffffffffffffff a1 61 c0 80 00", HM_EVERSION},
        {"95 ff a1 61 c0 80 00", HM_EMALFORMED},
        {"95 a1 31 a1 61 c0 80 00", HM_EMALFORMED},
        {"95 01 c0 c0 80 00", HM_EMALFORMED},    /* no operation */
        {"95 01 a1 00 c0 80 00", HM_EMALFORMED}, /* a NUL in its name */
        {"95 01 c4 01 61 c0 80 00", HM_EMALFORMED},
        {"95 01 a1 61 01 80 00", HM_EMALFORMED},
        {"95 01 a1 61 c0 90 00", HM_EMALFORMED}, /* arguments are a map */
        {"95 01 a1 61 c0 c0 00", HM_EMALFORMED},
        {"95 01 a1 61 c0 80 ff", HM_EMALFORMED},
        {"95 01 a1 61 c0 80 c0", HM_EMALFORMED},
        {"95 01 a1 61 c0 80 00 00", HM_EMALFORMED}, /* something behind it */
        {"95 01 a1 61 c0 81 a1 62 df ff ff ff ff 00", HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct api_request q;
        memset(&q, 0x55, sizeof q);
        if (read_request(cases[i].hex, &q) != cases[i].result) {
            print_error("wrong result for %s\n", cases[i].hex);
            fail();
        }
        if (cases[i].result != HM_OK) {
            assert_int_equal(q.op[0], 0x55); /* untouched */
        }
    }
}

static void request_truncated_and_lied_about(void **state)
{
    (void) state;
    uint8_t bytes[64];
    size_t size = hex_bytes(request_hex, bytes, sizeof bytes);
    struct api_request q;
    for (size_t cut = 0; cut < size; cut++) {
        struct span copy = exact_copy(bytes, cut);
        assert_int_equal(api_request_read(copy, &q), HM_EMALFORMED);
        exact_free(copy);
    }
    /* Every byte with every value: a value or an error, and texts that end. */
    for (size_t at = 0; at < size; at++) {
        for (unsigned v = 0; v < 256; v++) {
            struct span copy = exact_copy(bytes, size);
            ((uint8_t *) copy.data)[at] = (uint8_t) v;
            if (api_request_read(copy, &q) == HM_OK) {
                assert_non_null(memchr(q.op, 0, sizeof q.op));
                assert_non_null(memchr(q.node, 0, sizeof q.node));
                assert_int_equal(mp_check(q.args), HM_OK);
                assert_true(q.deadline_ms <= API_DEADLINE_MS_MAX);
            }
            exact_free(copy);
        }
    }
}

static void names_at_their_limits(void **state)
{
    (void) state;
    for (size_t length = 0; length <= 70; length++) {
        char name[80];
        struct buf b;
        struct api_request q;
        memset(name, 'n', length);
        buf_init(&b, 1000);
        mp_array(&b, 5);
        mp_uint(&b, API_VERSION);
        mp_strn(&b, name, length);
        mp_strn(&b, name, length);
        mp_map(&b, 0);
        mp_uint(&b, 1);
        int expected = length <= API_OP_BYTES_MAX ? HM_OK : HM_EMALFORMED;
        assert_int_equal(api_request_read(buf_span(&b), &q), expected);
        if (expected == HM_OK) {
            assert_int_equal(strlen(q.op), length);
            assert_int_equal(strlen(q.node), length);
        }
        buf_fini(&b);
    }
}

static void reply_layout(void **state)
{
    (void) state;
    uint8_t expected[64];
    size_t size = hex_bytes(reply_hex, expected, sizeof expected);
    struct api_reply p = {.code = HM_ENOTFOUND, .text = "gone"}, back;
    struct buf b;
    buf_init(&b, HM_REPLY_BYTES_MAX);
    api_reply_write(&b, &p);
    assert_int_equal(b.size, size);
    assert_memory_equal(b.data, expected, size);
    assert_int_equal(api_reply_read(buf_span(&b), &back), HM_OK);
    assert_int_equal(back.code, HM_ENOTFOUND);
    assert_string_equal(back.text, "gone");
    assert_int_equal(back.value.size, 1);
    buf_fini(&b);
}

static void every_code_travels(void **state)
{
    (void) state;
    static const int codes[] = {
#define CODE(name, value, text) name,
        HM_ERR_LIST(CODE)
#undef CODE
    };
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        struct api_reply p = {.code = codes[i], .value = span_of("\x92\x01\x02", 3)}, back;
        struct buf b;
        memset(p.text, 'x', sizeof p.text - 1); /* the longest text */
        buf_init(&b, HM_REPLY_BYTES_MAX);
        api_reply_write(&b, &p);
        assert_int_equal(api_reply_read(buf_span(&b), &back), HM_OK);
        assert_int_equal(back.code, codes[i]);
        assert_string_equal(back.text, p.text);
        assert_int_equal(back.value.size, 3);
        buf_fini(&b);
    }
}

static void replies_refused(void **state)
{
    (void) state;
    static const struct {
        const char *hex;
        int result;
    } cases[] = {
        {reply_hex, HM_OK},
        {"94 01 00 a0 90", HM_OK},
        {"95 01 00 a0 90 01", HM_OK},
        {"94 01 d1 fc 18 a0 c0", HM_OK},         /* -1000: a code of a newer version */
        {"94 01 d1 fc 17 a0 c0", HM_EMALFORMED}, /* -1001 */
        {"94 01 01 a0 c0", HM_EMALFORMED},       /* codes are not positive */
        {"94 01 d3 8000000000000000 a0 c0", HM_EMALFORMED},
        {"94 01 cf ffffffffffffffff a0 c0", HM_EMALFORMED},
        {"93 01 00 a0", HM_EMALFORMED},
        {"94 02 00 a0 c0", HM_EVERSION},
        {"91 07", HM_EVERSION},
        {"94 01 00 c0 c0", HM_EMALFORMED},
        {"94 01 00 a1 00 c0", HM_EMALFORMED},
        {"94 01 00 a0 c0 c0", HM_EMALFORMED},
        {"90", HM_EMALFORMED},
        {"c3", HM_EMALFORMED},
        {"", HM_EMALFORMED},
        {"94 01 00 a0 dd 02 00 00 00", HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct api_reply p;
        memset(&p, 0x55, sizeof p);
        if (read_reply(cases[i].hex, &p) != cases[i].result) {
            print_error("wrong result for %s\n", cases[i].hex);
            fail();
        }
        if (cases[i].result != HM_OK) {
            assert_int_equal(p.text[0], 0x55); /* untouched */
        }
    }
}

static void reply_truncated(void **state)
{
    (void) state;
    uint8_t bytes[64];
    size_t size = hex_bytes(reply_hex, bytes, sizeof bytes);
    for (size_t cut = 0; cut < size; cut++) {
        struct api_reply p;
        struct span copy = exact_copy(bytes, cut);
        assert_int_equal(api_reply_read(copy, &p), HM_EMALFORMED);
        exact_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_layout),        cmocka_unit_test(request_defaults),
        cmocka_unit_test(requests_refused),      cmocka_unit_test(request_truncated_and_lied_about),
        cmocka_unit_test(names_at_their_limits), cmocka_unit_test(reply_layout),
        cmocka_unit_test(every_code_travels),    cmocka_unit_test(replies_refused),
        cmocka_unit_test(reply_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
