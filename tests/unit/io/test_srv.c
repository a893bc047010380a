/* SPDX-License-Identifier: MPL-2.0 */
/* SRV answers: read in their order, compressed names included; damaged in every way, no harm done. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/srv.h"

/* Head: an answer with 1 question and 4 records. */
static const uint8_t answer[] = {
    0x12, 0x34, 0x85, 0x80, 0, 1, 0, 4, 0, 0, 0, 0,
    /* 12: _hm._udp.lab. SRV IN */
    3, '_', 'h', 'm', 4, '_', 'u', 'd', 'p', 3, 'l', 'a', 'b', 0, 0, 33, 0, 1,
    /* 30: 20 0 8471 c.lab., the name compressed */
    0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 10, 0, 20, 0, 0, 0x21, 0x17, 1, 'c', 0xc0, 21,
    /* 10 5 9000 b.lab. */
    0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 10, 0, 10, 0, 5, 0x23, 0x28, 1, 'b', 0xc0, 21,
    /* 10 50 9001 a.lab. */
    0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 10, 0, 10, 0, 50, 0x23, 0x29, 1, 'a', 0xc0, 21,
    /* 0 0 1 . : no such service */
    0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 7, 0, 0, 0, 0, 0, 1, 0};

static void test_order(void **state)
{
    (void) state;
    struct srv srv[SRV_MAX];
    size_t count = 0;
    assert_int_equal(srv_read(span_of(answer, sizeof answer), srv, &count), HM_OK);
    assert_int_equal(count, 3);
    assert_string_equal(srv[0].host, "a.lab");
    assert_int_equal(srv[0].port, 9001);
    assert_string_equal(srv[1].host, "b.lab");
    assert_string_equal(srv[2].host, "c.lab");
    assert_int_equal(srv[2].port, 8471);
}

static void test_damaged(void **state)
{
    (void) state;
    struct srv srv[SRV_MAX];
    size_t count;
    uint8_t bytes[sizeof answer];
    for (size_t size = 0; size < sizeof answer; size++) {
        uint8_t *cut = malloc(size + 1);
        assert_non_null(cut);
        memcpy(cut, answer, size);
        int rc = srv_read(span_of(cut, size), srv, &count);
        assert_true(rc == HM_EMALFORMED || rc == HM_ENOTFOUND || rc == HM_OK);
        free(cut);
    }
    for (size_t at = 0; at < sizeof answer; at++) {
        for (unsigned value = 0; value < 256; value += 5) {
            memcpy(bytes, answer, sizeof bytes);
            bytes[at] = (uint8_t) value;
            if (srv_read(span_of(bytes, sizeof bytes), srv, &count) == HM_OK) {
                assert_true(count > 0 && count <= 4);
                for (size_t i = 0; i < count; i++) {
                    assert_true(strlen(srv[i].host) < SRV_HOST_BYTES && srv[i].port != 0);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
