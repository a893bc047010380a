/* SPDX-License-Identifier: MPL-2.0 */
/* The registry's frames: each round trip, cut anywhere, with any byte changed, malformed by hand, at
 * its limits, and with fields of newer versions. */
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "wire/mpack.h"
#include "wire/registry_msg.h"

static struct dot dot_of(uint8_t node, uint64_t seq)
{
    struct dot dot = {.origin = {.boots = 3, .random = 0x1122334455667788}, .seq = seq};
    memset(dot.origin.node.b, node, NODE_ID_BYTES);
    return dot;
}

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

static void assert_text(struct span s, const char *expected)
{
    assert_int_equal(s.size, strlen(expected));
    assert_memory_equal(s.data, expected, s.size);
}

/* Three entries, of which nobody looks inside. */
static struct reg_entries sample_entries(struct buf *b)
{
    buf_init(b, 4096);
    reg_entry_append(b, text("one"));
    reg_entry_append(b, text("t"));
    reg_entry_append(b, text("three"));
    struct reg_entries entries = {buf_span(b), 3};
    return entries;
}

static void check_entries(const struct reg_entries *entries)
{
    struct span rest = entries->bytes, entry = span_of("x", 1);
    static const char *const expected[] = {"one", "t", "three"};
    assert_int_equal(entries->count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(reg_entry_next(&rest, &entry));
        assert_text(entry, expected[i]);
    }
    assert_int_equal(rest.size, 0);
    assert_false(reg_entry_next(&rest, &entry));
    assert_text(entry, "three"); /* untouched */
}

static struct span sample_dots(struct buf *b)
{
    buf_init(b, 4096);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        struct dot dot = dot_of((uint8_t) (9 - seq), seq); /* in any order */
        reg_dot_append(b, &dot);
    }
    return buf_span(b);
}

static void check_dots(struct span dots)
{
    struct dot dot, expected;
    for (uint64_t seq = 1; seq <= 3; seq++) {
        assert_true(reg_dot_next(&dots, &dot));
        expected = dot_of((uint8_t) (9 - seq), seq);
        assert_true(dot_eq(&dot, &expected));
    }
    assert_false(reg_dot_next(&dots, &dot));
    assert_true(dot_eq(&dot, &expected)); /* untouched */
}

enum kind { PUSH, ASK, MORE, CHUNK, LAST, REFUSED, FOLDS, RANGES, DOTS, DOTS_TO_END, LIST, PRUNE, KINDS };

static void write_ranges(struct buf *b)
{
    struct buf ranges;
    buf_init(&ranges, 4096);
    struct reg_range range = {.from = text(""), .to = text("kv/a"), .count = 2, .hash = 3};
    reg_range_append(&ranges, &range);
    range = (struct reg_range){.from = text("kv/a"), .to = text("kv/ab"), .count = UINT64_MAX,
                               .hash = UINT64_MAX};
    reg_range_append(&ranges, &range);
    range = (struct reg_range){.from = text("kv/b")};
    reg_range_append(&ranges, &range);
    struct reg_ranges msg = {.number = 7, .bytes = buf_span(&ranges), .count = 3};
    reg_ranges_write(b, &msg);
    buf_fini(&ranges);
}

static void write_kind(struct buf *b, enum kind kind)
{
    struct buf entry_bytes, dot_bytes;
    struct reg_entries entries = sample_entries(&entry_bytes);
    struct span dots = sample_dots(&dot_bytes);
    struct reg_ask ask = {.pass = UINT64_MAX, .kind = REG_PASS_VECTOR, .vector = text("vector"),
                          .hash = UINT64_MAX - 1};
    struct reg_more more = {.pass = 5, .chunk = 6};
    struct reg_chunk chunk = {.pass = 5, .chunk = 6, .entries = entries, .is_last = kind == LAST,
                              .vector = text("vector"), .is_synced = kind == LAST, .is_part = kind == LAST};
    struct reg_refused refused = {.pass = 5, .code = REG_REFUSED_UNKNOWN};
    struct reg_refused folds = {.pass = 5, .code = REG_REFUSED_FOLDS, .folds = text("folds")};
    struct reg_dots of_range = {.number = 8, .from = text("kv/a"), .to = text("kv/b"), .dots = dots};
    buf_init(b, 8192);
    switch (kind) {
    case PUSH: reg_push_write(b, &entries); break;
    case ASK: reg_ask_write(b, &ask); break;
    case MORE: reg_more_write(b, &more); break;
    case CHUNK:
    case LAST: reg_chunk_write(b, &chunk); break;
    case REFUSED: reg_refused_write(b, &refused); break;
    case FOLDS: reg_refused_write(b, &folds); break;
    case RANGES: write_ranges(b); break;
    case DOTS_TO_END: of_range.to = span_of(NULL, 0); /* fall through */
    case DOTS: reg_dots_write(b, &of_range); break;
    case LIST: reg_dot_list_write(b, dots); break;
    case PRUNE: reg_prune_write(b); break;
    case KINDS: fail();
    }
    assert_false(buf_failed(b));
    buf_fini(&entry_bytes);
    buf_fini(&dot_bytes);
}

/* What a message was read as, whichever it is. */
union any {
    struct reg_entries entries;
    struct reg_ask ask;
    struct reg_more more;
    struct reg_chunk chunk;
    struct reg_refused refused;
    struct reg_ranges ranges;
    struct reg_dots dots;
    struct span list;
};

static int read_kind(struct span bytes, enum kind kind, union any *ret)
{
    switch (kind) {
    case PUSH: return reg_push_read(bytes, &ret->entries);
    case ASK: return reg_ask_read(bytes, &ret->ask);
    case MORE: return reg_more_read(bytes, &ret->more);
    case CHUNK:
    case LAST: return reg_chunk_read(bytes, &ret->chunk);
    case REFUSED:
    case FOLDS: return reg_refused_read(bytes, &ret->refused);
    case RANGES: return reg_ranges_read(bytes, &ret->ranges);
    case DOTS:
    case DOTS_TO_END: return reg_dots_read(bytes, &ret->dots);
    case LIST: return reg_dot_list_read(bytes, &ret->list);
    case PRUNE: return reg_prune_read(bytes);
    case KINDS: break;
    }
    fail();
    return 0;
}

static void check_ranges(const struct reg_ranges *msg)
{
    struct reg_range range;
    struct span rest = msg->bytes;
    assert_true(msg->number == 7);
    assert_int_equal(msg->count, 3);
    assert_true(reg_range_next(&rest, &range));
    assert_text(range.from, "");
    assert_text(range.to, "kv/a");
    assert_true(range.count == 2 && range.hash == 3);
    assert_true(reg_range_next(&rest, &range));
    assert_text(range.from, "kv/a");
    assert_text(range.to, "kv/ab");
    assert_true(range.count == UINT64_MAX && range.hash == UINT64_MAX);
    assert_true(reg_range_next(&rest, &range));
    assert_text(range.from, "kv/b");
    assert_null(range.to.data);
    assert_false(reg_range_next(&rest, &range));
}

static void check_kind(enum kind kind, const union any *msg)
{
    switch (kind) {
    case PUSH: check_entries(&msg->entries); break;
    case ASK:
        assert_true(msg->ask.pass == UINT64_MAX);
        assert_int_equal(msg->ask.kind, REG_PASS_VECTOR);
        assert_text(msg->ask.vector, "vector");
        break;
    case MORE: assert_true(msg->more.pass == 5 && msg->more.chunk == 6); break;
    case CHUNK:
    case LAST:
        assert_true(msg->chunk.pass == 5 && msg->chunk.chunk == 6);
        assert_int_equal(msg->chunk.is_last, kind == LAST);
        assert_int_equal(msg->chunk.is_part, kind == LAST);
        check_entries(&msg->chunk.entries);
        if (kind == LAST) {
            assert_text(msg->chunk.vector, "vector");
        } else {
            assert_null(msg->chunk.vector.data);
        }
        break;
    case REFUSED:
        assert_true(msg->refused.pass == 5);
        assert_int_equal(msg->refused.code, REG_REFUSED_UNKNOWN);
        assert_null(msg->refused.folds.data);
        break;
    case FOLDS:
        assert_int_equal(msg->refused.code, REG_REFUSED_FOLDS);
        assert_text(msg->refused.folds, "folds");
        break;
    case RANGES: check_ranges(&msg->ranges); break;
    case DOTS:
    case DOTS_TO_END:
        assert_true(msg->dots.number == 8);
        assert_text(msg->dots.from, "kv/a");
        assert_int_equal(msg->dots.to.data == NULL, kind == DOTS_TO_END);
        check_dots(msg->dots.dots);
        break;
    case LIST: check_dots(msg->list); break;
    case PRUNE: break;
    case KINDS: fail();
    }
}

static void every_frame_round_trips(void **state)
{
    (void) state;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct buf b;
        union any msg, untouched;
        write_kind(&b, kind);
        assert_int_equal(read_kind(buf_span(&b), kind, &msg), HM_OK);
        check_kind(kind, &msg);
        memset(&untouched, 0x55, sizeof untouched);
        msg = untouched;
        for (size_t size = 0; size < b.size; size++) {
            struct span part = exact_copy(b.data, size);
            assert_int_equal(read_kind(part, kind, &msg), HM_EMALFORMED);
            exact_free(part);
        }
        buf_append(&b, "\xc0", 1); /* something behind it */
        assert_int_equal(read_kind(buf_span(&b), kind, &msg), HM_EMALFORMED);
        assert_int_equal(read_kind(span_of(NULL, 0), kind, &msg), HM_EMALFORMED);
        assert_memory_equal(&msg, &untouched, sizeof msg);
        /* As a field of a newer version it is skipped. */
        assert_in_range(b.data[0], 0x90, 0x9e);
        b.data[0]++;
        assert_int_equal(read_kind(buf_span(&b), kind, &msg), HM_OK);
        check_kind(kind, &msg);
        buf_fini(&b);
    }
}

/* Whatever was understood can be walked to its end. */
static void walk(enum kind kind, const union any *msg)
{
    struct span entries = kind == PUSH ? msg->entries.bytes : msg->chunk.entries.bytes;
    size_t count = kind == PUSH ? msg->entries.count : msg->chunk.entries.count;
    struct span dots = kind == LIST ? msg->list : msg->dots.dots;
    struct span entry;
    struct reg_range range;
    struct dot dot;
    if (kind == PUSH || kind == CHUNK || kind == LAST) {
        for (; reg_entry_next(&entries, &entry); count--) {
            assert_true(entry.size > 0 && entry.size <= HM_ENTRY_BYTES_MAX);
        }
        assert_true(count == 0 && entries.size == 0);
    } else if (kind == RANGES) {
        struct span rest = msg->ranges.bytes;
        for (count = 0; reg_range_next(&rest, &range); count++) {
        }
        assert_true(count == msg->ranges.count && count <= REG_RANGES_MAX && rest.size == 0);
    } else if (kind == DOTS || kind == DOTS_TO_END || kind == LIST) {
        for (count = 0; reg_dot_next(&dots, &dot); count++) {
            assert_true(dot.seq > 0 && dot.seq < UINT64_MAX);
        }
        assert_true(count <= REG_DOTS_MAX && dots.size == 0);
    }
}

static void any_byte_changed(void **state)
{
    (void) state;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct buf b;
        union any msg;
        write_kind(&b, kind);
        struct span copy = exact_copy(b.data, b.size);
        uint8_t *bytes = (uint8_t *) copy.data;
        for (size_t at = 0; at < b.size; at++) {
            for (unsigned v = 0; v < 256; v++) {
                bytes[at] = (uint8_t) v;
                int result = read_kind(copy, kind, &msg);
                assert_true(result == HM_OK || result == HM_EMALFORMED);
                if (result == HM_OK) {
                    walk(kind, &msg);
                }
            }
            bytes[at] = b.data[at];
        }
        exact_free(copy);
        buf_fini(&b);
    }
}

#define DOT "0101010101010101010101010101010100000000000000030000000000000007"
#define ONE "0000000000000001"

static void odd_messages(void **state)
{
    (void) state;
    static const struct {
        enum kind kind;
        const char *hex;
        int result;
    } cases[] = {
        {PUSH, "91 90", HM_OK},
        {PUSH, "91 91 c4 00", HM_EMALFORMED}, /* an empty entry */
        {PUSH, "91 91 a1 61", HM_EMALFORMED},
        {PUSH, "91 92 c4 01 61", HM_EMALFORMED},
        {PUSH, "91 dd ff ff ff ff c4 01 61", HM_EMALFORMED},
        {PUSH, "91 c0", HM_EMALFORMED},
        {PUSH, "90", HM_EMALFORMED},
        {PUSH, "c0", HM_EMALFORMED},
        {PUSH, "dd ff ff ff ff", HM_EMALFORMED},
        {ASK, "94 05 01 c4 00 07", HM_OK},
        {ASK, "94 05 03 c4 00 07", HM_OK}, /* a kind of a newer version */
        {ASK, "94 05 00 c4 00 07", HM_EMALFORMED},
        {ASK, "94 05 cd 01 00 c4 00 07", HM_EMALFORMED},
        {ASK, "94 ff 01 c4 00 07", HM_EMALFORMED},
        {ASK, "94 05 01 c0 07", HM_EMALFORMED},
        {ASK, "94 05 01 c4 00 ff", HM_EMALFORMED},
        {ASK, "93 05 01 c4 00", HM_EMALFORMED},
        {MORE, "92 05 06", HM_OK},
        {MORE, "92 05 ff", HM_EMALFORMED},
        {MORE, "91 05", HM_EMALFORMED},
        {CHUNK, "96 05 06 90 c2 c0 c3", HM_OK},
        {CHUNK, "96 05 06 90 c3 c4 01 90 c3", HM_OK},
        {CHUNK, "96 05 06 90 c3 c4 00 c3", HM_OK},
        {CHUNK, "96 05 06 90 c2 c4 01 90 c3", HM_EMALFORMED}, /* a vector before the end */
        {CHUNK, "96 05 06 90 c3 c0 c3", HM_EMALFORMED},       /* the end without a vector */
        {CHUNK, "96 05 06 90 00 c0 c3", HM_EMALFORMED},
        {CHUNK, "96 05 06 c0 c2 c0 c3", HM_EMALFORMED},
        {CHUNK, "96 05 06 90 c2 c0 00", HM_EMALFORMED},
        {CHUNK, "95 05 06 90 c2 c0", HM_EMALFORMED},
        {REFUSED, "92 05 01", HM_OK},
        {REFUSED, "92 05 cc ff", HM_OK}, /* a reason of a newer version */
        {REFUSED, "92 05 00", HM_EMALFORMED},
        {REFUSED, "92 05 cd 01 00", HM_EMALFORMED},
        {RANGES, "92 07 90", HM_OK},
        {RANGES, "92 07 91 94 c4 00 c0 01 02", HM_OK},
        {RANGES, "92 07 91 95 c4 00 c0 01 02 c3", HM_OK}, /* of a newer version */
        {RANGES, "92 07 91 93 c4 00 c0 01", HM_EMALFORMED},
        {RANGES, "92 07 91 94 c4 00 c4 00 01 02", HM_EMALFORMED}, /* nothing is in it */
        {RANGES, "92 07 91 94 c4 01 62 c4 01 61 01 02", HM_EMALFORMED},
        {RANGES, "92 07 91 94 c4 01 61 c4 01 61 01 02", HM_EMALFORMED},
        {RANGES, "92 07 91 94 c4 01 61 c4 02 61 00 01 02", HM_OK},
        {RANGES, "92 07 91 94 c4 01 61 c4 02 61 00 ff 02", HM_EMALFORMED},
        {RANGES, "92 07 91 94 c4 01 61 c4 02 61 00 01 ff", HM_EMALFORMED},
        {RANGES, "92 07 92 94 c4 00 c4 01 62 01 02 94 c4 01 62 c0 01 02", HM_OK},
        {RANGES, "92 07 92 94 c4 00 c4 01 62 01 02 94 c4 01 63 c0 01 02", HM_OK},
        {RANGES, "92 07 92 94 c4 00 c4 01 62 01 02 94 c4 01 61 c0 01 02", HM_EMALFORMED},
        {RANGES, "92 07 92 94 c4 00 c0 01 02 94 c4 01 61 c0 01 02", HM_EMALFORMED},
        {DOTS, "94 08 c4 00 c0 c4 00", HM_OK},
        {DOTS, "94 08 c4 00 c0 c4 28 " DOT ONE, HM_OK},
        {DOTS, "94 08 c4 00 c0 c4 27 " DOT "00000000000001", HM_EMALFORMED},
        {DOTS, "94 08 c4 00 c0 c4 29 " DOT ONE "00", HM_EMALFORMED},
        {DOTS, "94 08 c4 00 c0 c4 28 " DOT "0000000000000000", HM_EMALFORMED},
        {DOTS, "94 08 c4 00 c0 c4 28 " DOT "ffffffffffffffff", HM_EMALFORMED},
        {DOTS, "94 08 c4 00 c0 c4 50 " DOT ONE DOT "0000000000000000", HM_EMALFORMED},
        {DOTS, "94 08 c4 01 62 c4 01 61 c4 00", HM_EMALFORMED},
        {DOTS, "94 08 c0 c0 c4 00", HM_EMALFORMED},
        {DOTS, "93 08 c4 00 c0", HM_EMALFORMED},
        {LIST, "91 c4 00", HM_OK},
        {LIST, "91 c4 28 " DOT ONE, HM_OK},
        {LIST, "91 90", HM_EMALFORMED},
        {LIST, "90", HM_EMALFORMED},
        {PRUNE, "90", HM_OK},
        {PRUNE, "91 c0", HM_OK},
        {PRUNE, "80", HM_EMALFORMED},
        {PRUNE, "", HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[512];
        union any msg;
        struct span copy = exact_copy(bytes, hex_bytes(cases[i].hex, bytes, sizeof bytes));
        if (read_kind(copy, cases[i].kind, &msg) != cases[i].result) {
            print_error("wrong result for %s\n", cases[i].hex);
            fail();
        }
        exact_free(copy);
    }
}

static void ranges_and_dots_have_their_limit(void **state)
{
    (void) state;
    for (size_t extra = 0; extra <= 1; extra++) {
        struct buf ranges, dots, b;
        struct reg_ranges msg;
        struct span back;
        buf_init(&ranges, 1U << 20);
        buf_init(&dots, 1U << 20);
        buf_init(&b, 1U << 20);
        for (size_t i = 0; i < REG_RANGES_MAX + extra; i++) {
            uint8_t from = (uint8_t) i, to = (uint8_t) (i + 1);
            struct reg_range range = {.from = span_of(&from, 1), .to = span_of(&to, 1)};
            reg_range_append(&ranges, &range);
        }
        msg = (struct reg_ranges){.bytes = buf_span(&ranges), .count = REG_RANGES_MAX + extra};
        reg_ranges_write(&b, &msg);
        int expected = extra == 0 ? HM_OK : HM_EMALFORMED;
        assert_int_equal(reg_ranges_read(buf_span(&b), &msg), expected);
        for (uint64_t i = 0; i < REG_DOTS_MAX + extra; i++) {
            struct dot dot = dot_of(1, i + 1);
            reg_dot_append(&dots, &dot);
        }
        buf_clear(&b);
        reg_dot_list_write(&b, buf_span(&dots));
        assert_int_equal(reg_dot_list_read(buf_span(&b), &back), expected);
        struct reg_dots of_range = {.from = text(""), .dots = buf_span(&dots)};
        buf_clear(&b);
        reg_dots_write(&b, &of_range);
        assert_int_equal(reg_dots_read(buf_span(&b), &of_range), expected);
        buf_fini(&ranges);
        buf_fini(&dots);
        buf_fini(&b);
    }
}

static void keys_and_entries_have_their_limit(void **state)
{
    (void) state;
    uint8_t *zeros = calloc(1, HM_ENTRY_BYTES_MAX + 1);
    assert_non_null(zeros);
    for (size_t extra = 0; extra <= 1; extra++) {
        struct buf entries, b;
        int expected = extra == 0 ? HM_OK : HM_EMALFORMED;
        buf_init(&entries, 4U << 20);
        buf_init(&b, 4U << 20);
        reg_entry_append(&entries, span_of(zeros, HM_ENTRY_BYTES_MAX + extra));
        struct reg_entries list = {buf_span(&entries), 1};
        reg_push_write(&b, &list);
        assert_int_equal(reg_push_read(buf_span(&b), &list), expected);
        /* The largest entry travels in one frame. */
        assert_true(extra == 1 || b.size <= HM_FRAME_BYTES_MAX);
        for (unsigned which = 0; which < 2; which++) {
            struct reg_dots msg = {.from = text(""), .to = span_of(NULL, 0)};
            *(which == 0 ? &msg.from : &msg.to) = span_of(zeros, REG_KEY_BYTES_MAX + extra);
            buf_clear(&b);
            reg_dots_write(&b, &msg);
            assert_int_equal(reg_dots_read(buf_span(&b), &msg), expected);
        }
        buf_fini(&entries);
        buf_fini(&b);
    }
    free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_round_trips),
        cmocka_unit_test(any_byte_changed),
        cmocka_unit_test(odd_messages),
        cmocka_unit_test(ranges_and_dots_have_their_limit),
        cmocka_unit_test(keys_and_entries_have_their_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
