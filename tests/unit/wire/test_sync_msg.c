/* SPDX-License-Identifier: MPL-2.0 */
/* Bodies of the full exchange: digests, replies and lists of ids. */
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "wire/mpack.h"
#include "wire/sync_msg.h"

static struct digest_entry entry_of(uint8_t byte, uint64_t incarnation, enum digest_class cls)
{
    struct digest_entry e = {.incarnation = incarnation, .cls = cls};
    memset(e.id.b, byte, sizeof e.id.b);
    return e;
}

static void digest_entry_layout(void **state)
{
    (void) state;
    uint8_t bytes[DIGEST_ENTRY_BYTES], expected[DIGEST_ENTRY_BYTES];
    struct digest_entry e = entry_of(0xab, 0x0102030405060708, DIGEST_FAILED), back;
    sync_digest_put(bytes, &e);
    assert_int_equal(hex_bytes("abababababababababababababababab 0102030405060708 02", expected,
                               sizeof expected),
                     DIGEST_ENTRY_BYTES);
    assert_memory_equal(bytes, expected, sizeof bytes);
    assert_int_equal(sync_digest_get(span_of(bytes, sizeof bytes), 0, &back), HM_OK);
    assert_true(node_id_eq(&back.id, &e.id));
    assert_true(back.incarnation == e.incarnation);
    assert_int_equal(back.cls, DIGEST_FAILED);
    for (unsigned v = 0; v < 256; v++) {
        bytes[24] = (uint8_t) v;
        assert_int_equal(sync_digest_get(span_of(bytes, sizeof bytes), 0, &back),
                         v >= 1 && v <= 3 ? HM_OK : HM_EMALFORMED);
    }
    e.incarnation = UINT64_MAX;
    sync_digest_put(bytes, &e);
    assert_int_equal(sync_digest_get(span_of(bytes, sizeof bytes), 0, &back), HM_EMALFORMED);
}

static int read_sync(struct span bytes, struct sync_msg *ret_msg)
{
    struct span copy = exact_copy(bytes.data, bytes.size);
    int result = sync_msg_read(copy, ret_msg);
    exact_free(copy);
    return result;
}

static void sync_round_trip(void **state)
{
    (void) state;
    static uint8_t digest[1000 * DIGEST_ENTRY_BYTES];
    for (size_t count = 0; count <= 1000; count = count < 3 ? count + 1 : count * 5) {
        struct sync_msg msg = {.view_hash = UINT64_MAX, .has_digest = true}, back;
        struct buf b;
        for (size_t i = 0; i < count; i++) {
            struct digest_entry e = entry_of(0, i, (enum digest_class)(1 + i % 3));
            e.id.b[0] = (uint8_t) (i >> 8);
            e.id.b[1] = (uint8_t) i;
            sync_digest_put(digest + i * DIGEST_ENTRY_BYTES, &e);
        }
        msg.digest = span_of(digest, count * DIGEST_ENTRY_BYTES);
        buf_init(&b, HM_FRAME_BYTES_MAX);
        sync_msg_write(&b, &msg);
        assert_int_equal(sync_msg_read(buf_span(&b), &back), HM_OK);
        assert_true(back.has_digest);
        assert_true(back.view_hash == UINT64_MAX);
        assert_int_equal(back.digest.size, msg.digest.size);
        assert_memory_equal(back.digest.data, digest, msg.digest.size);
        for (size_t size = 0; size < b.size; size += 1 + b.size / 300) {
            assert_int_equal(read_sync(span_of(b.data, size), &back), HM_EMALFORMED);
        }
        buf_fini(&b);
    }
}

static void the_hash_alone(void **state)
{
    (void) state;
    struct sync_msg msg = {.view_hash = 5}, back;
    struct buf b;
    buf_init(&b, 100);
    sync_msg_write(&b, &msg);
    assert_int_equal(sync_msg_read(buf_span(&b), &back), HM_OK);
    assert_false(back.has_digest);
    assert_int_equal(back.digest.size, 0);
    assert_true(back.view_hash == 5);
    buf_fini(&b);
}

static int read_digest_of(const struct digest_entry *entries, size_t count, size_t extra_bytes)
{
    uint8_t digest[10 * DIGEST_ENTRY_BYTES] = {0};
    struct sync_msg msg = {.has_digest = true}, back;
    struct buf b;
    for (size_t i = 0; i < count; i++) {
        sync_digest_put(digest + i * DIGEST_ENTRY_BYTES, &entries[i]);
    }
    msg.digest = span_of(digest, count * DIGEST_ENTRY_BYTES + extra_bytes);
    buf_init(&b, 1000);
    sync_msg_write(&b, &msg);
    int result = read_sync(buf_span(&b), &back);
    buf_fini(&b);
    return result;
}

static void digests_are_checked(void **state)
{
    (void) state;
    struct digest_entry rising[] = {entry_of(1, 1, DIGEST_ALIVE), entry_of(2, 1, DIGEST_LEFT),
                                    entry_of(3, 1, DIGEST_FAILED)};
    struct digest_entry twice[] = {rising[0], rising[0]};
    struct digest_entry falling[] = {rising[1], rising[0]};
    struct digest_entry late[] = {rising[0], rising[2], rising[1]};
    struct digest_entry beyond[] = {rising[0], entry_of(2, UINT64_MAX, DIGEST_ALIVE)};
    struct digest_entry odd[] = {rising[0], entry_of(2, 1, (enum digest_class) 4)};
    assert_int_equal(read_digest_of(rising, 3, 0), HM_OK);
    assert_int_equal(read_digest_of(twice, 2, 0), HM_EMALFORMED);
    assert_int_equal(read_digest_of(falling, 2, 0), HM_EMALFORMED);
    assert_int_equal(read_digest_of(late, 3, 0), HM_EMALFORMED);
    assert_int_equal(read_digest_of(beyond, 2, 0), HM_EMALFORMED);
    assert_int_equal(read_digest_of(odd, 2, 0), HM_EMALFORMED);
    for (size_t extra = 1; extra < DIGEST_ENTRY_BYTES; extra++) {
        assert_int_equal(read_digest_of(rising, 3, extra), HM_EMALFORMED);
        assert_int_equal(read_digest_of(rising, 0, extra), HM_EMALFORMED);
    }
}

static void reply_round_trip(void **state)
{
    (void) state;
    static const uint8_t ids[32] = {1, 2, 3};
    struct sync_reply msg = {.update_bytes = span_of("\x91\x07\xc0", 3),
                             .update_count = 2,
                             .wanted = span_of(ids, sizeof ids)},
                      back;
    struct buf b;
    buf_init(&b, 1000);
    sync_reply_write(&b, &msg);
    assert_int_equal(sync_reply_read(buf_span(&b), &back), HM_OK);
    assert_int_equal(back.update_count, 2);
    assert_int_equal(back.update_bytes.size, 3);
    assert_memory_equal(back.update_bytes.data, "\x91\x07\xc0", 3);
    assert_int_equal(back.wanted.size, 32);
    for (size_t size = 0; size < b.size; size++) {
        struct span copy = exact_copy(b.data, size);
        assert_int_equal(sync_reply_read(copy, &back), HM_EMALFORMED);
        exact_free(copy);
    }
    buf_clear(&b);
    struct sync_reply nothing = {.update_count = 0};
    sync_reply_write(&b, &nothing);
    assert_int_equal(sync_reply_read(buf_span(&b), &back), HM_OK);
    assert_int_equal(back.update_count, 0);
    assert_int_equal(back.wanted.size, 0);
    buf_fini(&b);
}

static void lists_round_trip(void **state)
{
    (void) state;
    static const uint8_t ids[64];
    for (size_t size = 0; size <= sizeof ids; size++) {
        struct span back = span_of(NULL, 77);
        struct buf b;
        buf_init(&b, 1000);
        id_list_write(&b, span_of(ids, size));
        assert_int_equal(id_list_read(buf_span(&b), &back),
                         size % NODE_ID_BYTES == 0 ? HM_OK : HM_EMALFORMED);
        assert_int_equal(back.size, size % NODE_ID_BYTES == 0 ? size : 77);
        for (size_t cut = 0; cut < b.size; cut++) {
            struct span copy = exact_copy(b.data, cut);
            assert_int_equal(id_list_read(copy, &back), HM_EMALFORMED);
            exact_free(copy);
        }
        buf_fini(&b);
    }
}

static void odd_bodies(void **state)
{
    (void) state;
    static const struct {
        const char *hex;
        int sync, reply, list;
    } cases[] = {
        {"92 01 c0", HM_OK, HM_EMALFORMED, HM_EMALFORMED},
        {"93 01 c0 90", HM_OK, HM_EMALFORMED, HM_EMALFORMED},
        {"92 01 c4 00", HM_OK, HM_EMALFORMED, HM_EMALFORMED},
        {"91 01", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"92 01 c0 c0", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"92 90 c4 00", HM_EMALFORMED, HM_OK, HM_EMALFORMED},
        {"93 90 c4 00 01", HM_EMALFORMED, HM_OK, HM_EMALFORMED},
        {"92 90 c4 01 00", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"92 90 c0", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"91 90", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"92 dd ff ff ff ff c4 00", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"91 c4 00", HM_EMALFORMED, HM_EMALFORMED, HM_OK},
        {"92 c4 00 c3", HM_EMALFORMED, HM_EMALFORMED, HM_OK},
        {"91 c4 00 c3", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"90", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"90 c4 00", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"90 01 c0", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"90 90 c4 00", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"dd ff ff ff ff 01 c0", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"c0", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
        {"", HM_EMALFORMED, HM_EMALFORMED, HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[64];
        struct sync_msg sync;
        struct sync_reply reply;
        struct span list;
        size_t size = hex_bytes(cases[i].hex, bytes, sizeof bytes);
        struct span copy = exact_copy(bytes, size);
        if (sync_msg_read(copy, &sync) != cases[i].sync ||
            sync_reply_read(copy, &reply) != cases[i].reply ||
            id_list_read(copy, &list) != cases[i].list) {
            print_error("wrong result for %s\n", cases[i].hex);
            fail();
        }
        exact_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_entry_layout), cmocka_unit_test(sync_round_trip),
        cmocka_unit_test(the_hash_alone),      cmocka_unit_test(digests_are_checked),
        cmocka_unit_test(reply_round_trip),    cmocka_unit_test(lists_round_trip),
        cmocka_unit_test(odd_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
