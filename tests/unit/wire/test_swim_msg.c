/* SPDX-License-Identifier: MPL-2.0 */
/* Membership messages: every type there and back, truncation, lies, updates of unknown kinds. */
#include "../unit.h"

#include "base/err.h"
#include "wire/frame.h"
#include "wire/swim_msg.h"

static struct node_id id_of(uint8_t byte)
{
    struct node_id id;
    memset(id.b, byte, sizeof id.b);
    return id;
}

/* One update of each kind: a record, a claim, and a claim with the record of whom it names. */
struct sample {
    struct buf record_update;
    struct buf claim_update;
    struct buf full_claim_update;
    struct span updates[3];
    uint8_t record[HM_RECORD_BYTES_MAX];
    struct claim claim;
};

static void sample_init(struct sample *s)
{
    memset(s, 0, sizeof *s);
    memset(s->record, 0x77, sizeof s->record);
    s->claim.kind = CLAIM_FAILED;
    s->claim.target = id_of(9);
    s->claim.incarnation = 300;
    s->claim.reason = 5;
    s->claim.observer_count = 2;
    s->claim.observers[0] = id_of(1);
    s->claim.observers[1] = id_of(2);
    s->claim.evidence = (struct evidence){true, true, 8, 3};
    buf_init(&s->record_update, 1000);
    buf_init(&s->claim_update, 1000);
    buf_init(&s->full_claim_update, 1000);
    swim_update_write_record(&s->record_update, span_of(s->record, sizeof s->record));
    swim_update_write_claim(&s->claim_update, &s->claim);
    struct claim full = s->claim;
    full.record = span_of(s->record, 150);
    swim_update_write_claim(&s->full_claim_update, &full);
    s->updates[0] = buf_span(&s->record_update);
    s->updates[1] = buf_span(&s->claim_update);
    s->updates[2] = buf_span(&s->full_claim_update);
}

static void sample_fini(struct sample *s)
{
    buf_fini(&s->record_update);
    buf_fini(&s->claim_update);
    buf_fini(&s->full_claim_update);
}

static struct swim_msg message(const struct sample *s, enum swim_type type)
{
    struct swim_msg msg = {
        .type = type,
        .nonce = UINT64_MAX,
        .echo = 0x0102030405060708,
        .view_hash = 0xfedcba9876543210,
        .coord = {.at_us = {INT32_MIN, INT32_MAX, -1, 0}, .height_us = UINT32_MAX, .error_ppm = 1},
        .target = id_of(0xee),
        .record = span_of(s->record, 200),
        .updates = s->updates,
        .update_count = 3,
    };
    return msg;
}

/* Which fields a type has, from the table in swim_msg.h. */
struct fields {
    enum swim_type type;
    bool nonce, echo, hash, coord, target, record, updates;
};

static const struct fields table[] = {
    {SWIM_JOIN, true, false, false, false, false, true, false},
    {SWIM_ANSWER, true, true, true, false, false, true, true},
    {SWIM_CONFIRM, false, true, false, false, false, true, false},
    {SWIM_CHALLENGE, true, false, false, false, false, false, false},
    {SWIM_ECHO, false, true, false, false, false, false, true},
    {SWIM_PING, true, false, true, true, false, false, true},
    {SWIM_ACK, false, true, true, true, false, false, true},
    {SWIM_PING_REQ, true, false, false, false, true, false, true},
    {SWIM_RELAYED, false, true, false, false, true, false, false},
    {SWIM_NACK, false, true, false, false, true, false, false},
    {SWIM_GOSSIP, false, false, false, false, false, false, true},
    {SWIM_DIAL, false, false, false, false, false, false, false},
};

static void check_claim(const struct sample *s, const struct swim_update *u, size_t record_bytes)
{
    assert_int_equal(u->kind, UPDATE_CLAIM);
    assert_int_equal(u->claim.kind, CLAIM_FAILED);
    assert_true(node_id_eq(&u->claim.target, &s->claim.target));
    assert_true(u->claim.incarnation == 300);
    assert_int_equal(u->claim.reason, 5);
    assert_int_equal(u->claim.observer_count, 2);
    assert_true(u->claim.evidence.is_known && u->claim.evidence.by_link);
    assert_int_equal(u->claim.evidence.health, 8);
    assert_int_equal(u->claim.evidence.helpers, 3);
    assert_true(node_id_eq(&u->claim.observers[0], &s->claim.observers[0]));
    assert_true(node_id_eq(&u->claim.observers[1], &s->claim.observers[1]));
    assert_int_equal(u->claim.record.size, record_bytes);
    assert_true((u->claim.record.data == NULL) == (record_bytes == 0));
}

static void check_updates(const struct sample *s, const struct swim_msg *msg)
{
    struct mp_reader r;
    struct swim_update u;
    mp_open(&r, msg->update_bytes);
    assert_true(swim_update_next(&r, &u));
    assert_int_equal(u.kind, UPDATE_RECORD);
    assert_int_equal(u.record.size, sizeof s->record);
    assert_memory_equal(u.record.data, s->record, sizeof s->record);
    assert_true(swim_update_next(&r, &u));
    check_claim(s, &u, 0);
    assert_true(swim_update_next(&r, &u));
    check_claim(s, &u, 150);
    assert_false(swim_update_next(&r, &u));
    assert_false(mp_failed(&r));
}

static void every_type_round_trips(void **state)
{
    (void) state;
    struct sample s;
    sample_init(&s);
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        const struct fields *f = &table[i];
        struct swim_msg msg = message(&s, f->type), back;
        struct buf b;
        buf_init(&b, HM_DATAGRAM_BYTES_MAX);
        swim_msg_write(&b, &msg);
        assert_false(buf_failed(&b));
        struct span copy = exact_copy(b.data, b.size);
        assert_int_equal(swim_msg_read(copy, &back), HM_OK);
        assert_int_equal(back.type, f->type);
        assert_true(back.nonce == (f->nonce ? msg.nonce : 0));
        assert_true(back.echo == (f->echo ? msg.echo : 0));
        assert_true(back.view_hash == (f->hash ? msg.view_hash : 0));
        struct coord_wire none = {.height_us = 0};
        assert_memory_equal(&back.coord, f->coord ? &msg.coord : &none, sizeof none);
        assert_true(node_id_is_zero(&back.target) == !f->target);
        assert_int_equal(back.record.size, f->record ? 200 : 0);
        assert_int_equal(back.update_count, f->updates ? 3 : 0);
        if (f->updates) {
            check_updates(&s, &back);
        }
        /* Cut anywhere it is malformed. */
        for (size_t size = 0; size < b.size; size++) {
            struct span part = exact_copy(b.data, size);
            assert_int_equal(swim_msg_read(part, &back), HM_EMALFORMED);
            exact_free(part);
        }
        exact_free(copy);
        buf_fini(&b);
    }
    sample_fini(&s);
}

static void an_idle_probe_is_small(void **state)
{
    (void) state;
    /* protocols.md: ping and ack payload at most 138 bytes. */
    struct sample s;
    sample_init(&s);
    for (int i = 0; i < 2; i++) {
        struct swim_msg msg = message(&s, i == 0 ? SWIM_PING : SWIM_ACK);
        struct buf b;
        msg.update_count = 0;
        buf_init(&b, HM_DATAGRAM_BYTES_MAX);
        swim_msg_write(&b, &msg);
        assert_in_range(DATAGRAM_PAIR_HEAD_BYTES + b.size + DATAGRAM_TAG_BYTES, 1, 138);
        buf_fini(&b);
    }
    sample_fini(&s);
}

/* A padded PING reads as a plain one and says how much there was behind it; so does any other size. */
static void padding_is_read(void **state)
{
    (void) state;
    struct sample s;
    sample_init(&s);
    for (size_t padding = 0; padding < 1000; padding += 111) {
        struct swim_msg msg = message(&s, padding % 2 == 0 ? SWIM_PING : SWIM_ACK), back;
        struct buf b;
        msg.padding = padding;
        msg.update_count = 0;
        buf_init(&b, HM_DATAGRAM_BYTES_MAX);
        swim_msg_write(&b, &msg);
        assert_false(buf_failed(&b));
        assert_in_range(b.size, padding, padding + 60);
        assert_int_equal(swim_msg_read(buf_span(&b), &back), HM_OK);
        assert_int_equal(back.padding, padding);
        assert_true(back.nonce == (msg.type == SWIM_PING ? msg.nonce : 0));
        buf_fini(&b);
    }
    struct swim_msg back;
    uint8_t large[5000] = {0x93, SWIM_CHALLENGE, 7, 0xc5, 0x13, 0x82};
    assert_int_equal(swim_msg_read(span_of(large, 6 + 0x1382), &back), HM_OK);
    assert_int_equal(back.padding, 0); /* nothing of ours: skipped */
    sample_fini(&s);
}

static void any_byte_changed(void **state)
{
    (void) state;
    struct sample s;
    sample_init(&s);
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        struct swim_msg msg = message(&s, table[i].type), back;
        struct buf b;
        buf_init(&b, HM_DATAGRAM_BYTES_MAX);
        swim_msg_write(&b, &msg);
        struct span copy = exact_copy(b.data, b.size);
        uint8_t *bytes = (uint8_t *) copy.data;
        for (size_t at = 0; at < b.size; at++) {
            for (unsigned v = 0; v < 256; v++) {
                bytes[at] = (uint8_t) v;
                int result = swim_msg_read(copy, &back);
                assert_true(result == HM_OK || result == HM_EMALFORMED || result == HM_ENOTFOUND);
                struct mp_reader r;
                struct swim_update u;
                unsigned turns = 0;
                mp_open(&r, result == HM_OK ? back.update_bytes : span_of(NULL, 0));
                while (swim_update_next(&r, &u)) {
                    assert_true(u.claim.observer_count <= HM_OBSERVERS_MAX);
                    assert_true(++turns < 1200);
                }
            }
            bytes[at] = b.data[at];
        }
        exact_free(copy);
        buf_fini(&b);
    }
    sample_fini(&s);
}

static int read_hex(const char *hex)
{
    uint8_t bytes[512];
    struct swim_msg msg;
    memset(&msg, 0x55, sizeof msg);
    size_t size = hex_bytes(hex, bytes, sizeof bytes);
    struct span copy = exact_copy(bytes, size);
    int result = swim_msg_read(copy, &msg);
    if (result != HM_OK) {
        assert_true(msg.nonce == 0x5555555555555555); /* untouched */
    }
    exact_free(copy);
    return result;
}

static void odd_messages(void **state)
{
    (void) state;
    static const struct {
        const char *hex;
        int result;
    } cases[] = {
        {"92 04 07", HM_OK},
        {"93 04 07 c0", HM_OK}, /* a newer version's field */
        {"94 04 07 c0 91 91 01", HM_OK},
        {"92 04 cf ffffffffffffffff", HM_OK},
        {"92 04 ff", HM_EMALFORMED},
        {"91 04", HM_EMALFORMED},
        {"92 04 07 07", HM_EMALFORMED}, /* something behind it */
        {"93 04 07", HM_EMALFORMED},
        {"90", HM_EMALFORMED},
        {"90 04", HM_EMALFORMED},
        {"90 63", HM_EMALFORMED},
        {"91 00", HM_ENOTFOUND},
        {"91 0c", HM_OK},
        {"92 0c 07", HM_OK}, /* a newer version has a field */
        {"91 0d", HM_ENOTFOUND},
        {"91 63", HM_ENOTFOUND},
        {"93 63 c0 80", HM_ENOTFOUND},
        {"91 cf ffffffffffffffff", HM_ENOTFOUND},
        {"92 63", HM_EMALFORMED},
        {"91 63 00", HM_EMALFORMED},
        {"92 63 dd ff ff ff ff", HM_EMALFORMED},
        {"dd ff ff ff ff 63", HM_EMALFORMED},
        {"dd 02 00 00 00", HM_EMALFORMED},
        {"92 0b 90", HM_OK},
        {"92 0b 91 c0", HM_OK}, /* an update that swim_update_next will refuse */
        {"92 0b 91", HM_EMALFORMED},
        {"92 0b c0", HM_EMALFORMED},
        {"92 0b dd ff ff ff ff", HM_EMALFORMED},
        {"80", HM_EMALFORMED},
        {"c0", HM_EMALFORMED},
        {"", HM_EMALFORMED},
        {"91 ff", HM_EMALFORMED},
        {"91 a1 61", HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (read_hex(cases[i].hex) != cases[i].result) {
            print_error("wrong result for %s\n", cases[i].hex);
            fail();
        }
    }
}

/* Walks updates and returns how many were known; *ret_failed: whether one was malformed. */
static unsigned walk(const char *hex, bool *ret_failed)
{
    uint8_t bytes[512];
    struct mp_reader r;
    struct swim_update u;
    unsigned known = 0;
    size_t size = hex_bytes(hex, bytes, sizeof bytes);
    struct span copy = exact_copy(bytes, size);
    mp_open(&r, copy);
    while (swim_update_next(&r, &u)) {
        known++;
    }
    *ret_failed = mp_failed(&r);
    exact_free(copy);
    return known;
}

#define ID16 "c4 10 01010101010101010101010101010101"

static void odd_updates(void **state)
{
    (void) state;
    static const struct {
        const char *hex;
        unsigned known;
        bool failed;
    } cases[] = {
        {"", 0, false},
        {"92 01 c4 01 00", 1, false},
        {"93 01 c4 01 00 c0", 1, false},
        {"92 01 c4 01 00 92 01 c4 01 00", 2, false},
        {"96 02 01 " ID16 " 05 00 90", 0, true}, /* nothing said about evidence */
        {"91 04", 0, false}, /* of a newer version: skipped */
        {"94 63 c0 c0 90", 0, false},
        {"91 04 92 01 c4 01 00 91 00", 1, false},
        {"92 03 c4 01 00 93 03 c4 01 00 c0", 2, false},
        {"91 03", 0, true},
        {"92 03 c0", 0, true},
        {"91 01", 0, true},
        {"90", 0, true},
        {"90 63", 0, true},
        {"c0", 0, true},
        {"92 01 c0", 0, true},
        {"92 01 a1 61", 0, true},
        {"92 01 c4 01 00 c0 92 01 c4 01 00", 1, true},
        {"97 02 01 " ID16 " 05 00 90 00", 1, false},
        {"97 02 03 " ID16 " 05 ff 91 " ID16 " 00", 0, true}, /* -1 as a reason */
        {"97 02 03 " ID16 " 05 cc ff 91 " ID16 " 00", 1, false},
        {"98 02 03 " ID16 " 05 00 90 00 c3", 1, false},
        {"98 02 03 " ID16 " 05 00 90 00 c4 01 00", 1, false},
        {"99 02 03 " ID16 " 05 00 90 00 c4 01 00 c3", 1, false},
        {"98 02 03 " ID16 " 05 00 90 00 c4 02 00", 0, true},
        {"98 02 03 " ID16 " 05 00 90 00", 0, true},
        {"97 02 03 " ID16 " 05 00 94 " ID16 ID16 ID16 ID16 " 00", 1, false},
        {"97 02 03 " ID16 " 05 00 95 " ID16 ID16 ID16 ID16 ID16 " 00", 0, true},
        {"97 02 00 " ID16 " 05 00 90 00", 0, true},
        {"97 02 04 " ID16 " 05 00 90 00", 0, true},
        {"97 02 01 " ID16 " cf ffffffffffffffff 00 90 00", 0, true},
        {"97 02 01 " ID16 " cf fffffffffffffffe 00 90 00", 1, false},
        {"97 02 01 " ID16 " 05 cd 01 00 90 00", 0, true},
        {"97 02 01 c4 0f 010101010101010101010101010101 05 00 90 00", 0, true},
        {"96 02 01 " ID16 " 05 00", 0, true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        bool failed;
        unsigned known = walk(cases[i].hex, &failed);
        if (known != cases[i].known || failed != cases[i].failed) {
            print_error("wrong result for %s\n", cases[i].hex);
            fail();
        }
    }
}

static void records_have_their_limit(void **state)
{
    (void) state;
    static const uint8_t zeros[HM_RECORD_BYTES_MAX + 1];
    for (size_t extra = 0; extra <= 1; extra++) {
        struct buf b;
        struct swim_msg msg = {.type = SWIM_CONFIRM,
                               .record = span_of(zeros, HM_RECORD_BYTES_MAX + extra)};
        struct mp_reader r;
        struct swim_update u;
        buf_init(&b, 1000);
        swim_msg_write(&b, &msg);
        assert_int_equal(swim_msg_read(buf_span(&b), &msg), extra == 0 ? HM_OK : HM_EMALFORMED);
        buf_clear(&b);
        swim_update_write_record(&b, span_of(zeros, HM_RECORD_BYTES_MAX + extra));
        mp_open(&r, buf_span(&b));
        assert_int_equal(swim_update_next(&r, &u), extra == 0);
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_round_trips),
        cmocka_unit_test(an_idle_probe_is_small),
        cmocka_unit_test(padding_is_read),
        cmocka_unit_test(any_byte_changed),
        cmocka_unit_test(odd_messages),
        cmocka_unit_test(odd_updates),
        cmocka_unit_test(records_have_their_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
