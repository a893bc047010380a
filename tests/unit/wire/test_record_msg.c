/* SPDX-License-Identifier: MPL-2.0 */
/* Signed records: round trip, limits, order of labels, and that neither kind passes for the other.
 * Signatures are any 64 bytes here; whether they are good is the core's business. */
#include "../unit.h"

#include "base/err.h"
#include "wire/mpack.h"
#include "wire/record_msg.h"

static struct node_record sample(void)
{
    struct node_record rec = {
        .mesh_tag = 0x0123456789abcdef,
        .state = RECORD_ALIVE,
        .incarnation = 7,
        .name = "nas1",
        .addr_count = 2,
        .port = 8471,
        .link_port = 8472,
        .version_min = 1,
        .version_max = 3,
        .labels_hash = UINT64_MAX,
    };
    memset(rec.key, 0x4b, sizeof rec.key);
    rec.addrs[0] = addr_v4(192, 168, 1, 2, 8471);
    rec.addrs[1].family = 6;
    rec.addrs[1].port = 8471;
    memset(rec.addrs[1].ip, 0xfd, 16);
    return rec;
}

static void sign(struct buf *b)
{
    uint8_t *signature = buf_extend(b, RECORD_SIGNATURE_BYTES);
    assert_non_null(signature);
    memset(signature, 0x51, RECORD_SIGNATURE_BYTES);
}

static void write_node(struct buf *b, const struct node_record *rec)
{
    buf_init(b, 10000);
    node_record_write(b, rec);
    sign(b);
    assert_false(buf_failed(b));
}

static bool node_equal(const struct node_record *a, const struct node_record *b)
{
    bool same = memcmp(a->key, b->key, sizeof a->key) == 0 && a->mesh_tag == b->mesh_tag &&
                a->state == b->state && a->incarnation == b->incarnation &&
                strcmp(a->name, b->name) == 0 && a->addr_count == b->addr_count &&
                a->port == b->port && a->link_port == b->link_port &&
                a->version_min == b->version_min && a->version_max == b->version_max &&
                a->labels_hash == b->labels_hash;
    for (size_t i = 0; same && i < a->addr_count; i++) {
        same = addr_eq(&a->addrs[i], &b->addrs[i]);
    }
    return same;
}

static int read_node(const void *data, size_t size, struct node_record *ret_record)
{
    struct span copy = exact_copy(data, size);
    int result = node_record_read(copy, ret_record);
    exact_free(copy);
    return result;
}

static void node_round_trip(void **state)
{
    (void) state;
    static const struct {
        uint64_t incarnation;
        size_t addr_count;
        enum record_state record_state;
        const char *name;
    } cases[] = {
        {0, 0, RECORD_ALIVE, "a"},
        {1, 1, RECORD_LEFT, "nas1"},
        {UINT64_MAX - 1, HM_RECORD_ADDRS_MAX, RECORD_ALIVE,
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct node_record rec = sample(), back;
        struct buf b;
        rec.incarnation = cases[i].incarnation;
        rec.addr_count = cases[i].addr_count;
        rec.state = cases[i].record_state;
        for (size_t j = 2; j < rec.addr_count; j++) {
            rec.addrs[j] = rec.addrs[1];
        }
        memcpy(rec.name, cases[i].name, strlen(cases[i].name) + 1);
        write_node(&b, &rec);
        assert_true(b.size <= HM_RECORD_BYTES_MAX); /* the largest we can write fits */
        assert_int_equal(read_node(b.data, b.size, &back), HM_OK);
        assert_true(node_equal(&rec, &back));
        buf_fini(&b);
    }
}

static void the_largest_record_fits(void **state)
{
    (void) state;
    struct node_record rec = sample();
    struct buf b;
    memset(rec.name, 'n', HM_NAME_BYTES_MAX);
    rec.mesh_tag = rec.labels_hash = UINT64_MAX;
    rec.incarnation = UINT64_MAX - 1;
    rec.port = rec.link_port = UINT16_MAX;
    rec.version_min = rec.version_max = UINT8_MAX;
    rec.addr_count = HM_RECORD_ADDRS_MAX;
    for (size_t i = 0; i < HM_RECORD_ADDRS_MAX; i++) {
        rec.addrs[i] = rec.addrs[1];
    }
    write_node(&b, &rec);
    assert_in_range(b.size, 1, HM_RECORD_BYTES_MAX);
    buf_fini(&b);
}

static void node_truncated(void **state)
{
    (void) state;
    struct node_record rec = sample(), back;
    struct buf b;
    write_node(&b, &rec);
    for (size_t size = 0; size < b.size; size++) {
        /* Cut at the end, where the signature then begins too early, and cut before the
         * signature. */
        assert_int_equal(read_node(b.data, size, &back), HM_EMALFORMED);
        assert_int_equal(read_node(b.data + b.size - size, size, &back), HM_EMALFORMED);
    }
    buf_fini(&b);
}

static void node_any_byte_changed(void **state)
{
    (void) state;
    struct node_record rec = sample();
    struct buf b;
    write_node(&b, &rec);
    for (size_t at = 0; at < b.size; at++) {
        uint8_t kept = b.data[at];
        for (unsigned v = 0; v < 256; v++) {
            struct node_record back;
            b.data[at] = (uint8_t) v;
            if (read_node(b.data, b.size, &back) != HM_OK) {
                continue;
            }
            assert_true(back.addr_count <= HM_RECORD_ADDRS_MAX);
            assert_true(back.state == RECORD_ALIVE || back.state == RECORD_LEFT);
            assert_true(back.incarnation < UINT64_MAX);
            struct buf again;
            struct node_record third;
            write_node(&again, &back);
            assert_int_equal(read_node(again.data, again.size, &third), HM_OK);
            assert_true(node_equal(&back, &third));
            buf_fini(&again);
        }
        b.data[at] = kept;
    }
    buf_fini(&b);
}

/* Writes a record by hand, with one thing wrong; 13 fields are those of a newer version. */
struct wrong {
    size_t fields;
    uint64_t kind, state, incarnation;
    const char *name;
    size_t key_bytes, addrs, ip_bytes;
    uint64_t port;
};

static int read_wrong(const struct wrong *w)
{
    static const uint8_t zeros[64];
    struct node_record back;
    struct buf b;
    buf_init(&b, 4096);
    mp_array(&b, w->fields);
    mp_uint(&b, w->kind);
    mp_bin(&b, zeros, w->key_bytes);
    mp_uint(&b, 1);
    mp_uint(&b, w->state);
    mp_uint(&b, w->incarnation);
    mp_str(&b, w->name);
    mp_array(&b, w->addrs);
    for (size_t i = 0; i < w->addrs; i++) {
        mp_bin(&b, zeros, w->ip_bytes);
    }
    mp_uint(&b, w->port);
    mp_uint(&b, 0);
    mp_uint(&b, 1);
    mp_uint(&b, 1);
    for (size_t i = 11; i < w->fields; i++) {
        mp_uint(&b, i);
    }
    sign(&b);
    int result = read_node(b.data, b.size, &back);
    buf_fini(&b);
    return result;
}

static void node_fields_are_checked(void **state)
{
    (void) state;
    static const struct {
        struct wrong w;
        int result;
    } cases[] = {
        {{12, 1, 1, 1, "a", 32, 1, 4, 1}, HM_OK},
        {{13, 1, 1, 1, "a", 32, 1, 4, 1}, HM_OK}, /* trailing fields are skipped */
        {{20, 1, 2, 1, "a", 32, 4, 16, 65535}, HM_OK},
        {{11, 1, 1, 1, "a", 32, 1, 4, 1}, HM_EMALFORMED},
        {{12, 0, 1, 1, "a", 32, 1, 4, 1}, HM_EMALFORMED},
        {{12, 2, 1, 1, "a", 32, 1, 4, 1}, HM_EMALFORMED}, /* a labels record */
        {{12, 3, 1, 1, "a", 32, 1, 4, 1}, HM_EMALFORMED},
        {{12, 1, 0, 1, "a", 32, 1, 4, 1}, HM_EMALFORMED},
        {{12, 1, 3, 1, "a", 32, 1, 4, 1}, HM_EMALFORMED},
        {{12, 1, 1, UINT64_MAX, "a", 32, 1, 4, 1}, HM_EMALFORMED}, /* nobody could go beyond it */
        {{12, 1, 1, UINT64_MAX - 1, "a", 32, 1, 4, 1}, HM_OK},
        {{12, 1, 1, 1, "", 32, 1, 4, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "A", 32, 1, 4, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "a.b", 32, 1, 4, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "\x1b[2J", 32, 1, 4, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "a", 31, 1, 4, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "a", 33, 1, 4, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "a", 0, 1, 4, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "a", 32, 0, 4, 1}, HM_OK},
        {{12, 1, 1, 1, "a", 32, 5, 4, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "a", 32, 1, 0, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "a", 32, 1, 5, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "a", 32, 1, 15, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "a", 32, 1, 17, 1}, HM_EMALFORMED},
        {{12, 1, 1, 1, "a", 32, 1, 4, 65536}, HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        if (read_wrong(&cases[i].w) != cases[i].result) {
            print_error("wrong result in row %zu\n", i);
            fail();
        }
    }
}

static void node_above_its_limit(void **state)
{
    (void) state;
    struct node_record rec = sample(), back;
    struct buf b, wide;
    write_node(&b, &rec);
    /* The same with one more field of bytes, so that it has 300, then 301. */
    for (size_t total = HM_RECORD_BYTES_MAX; total <= HM_RECORD_BYTES_MAX + 1; total++) {
        uint8_t filler[HM_RECORD_BYTES_MAX] = {0};
        size_t body = b.size - RECORD_SIGNATURE_BYTES;
        buf_init(&wide, 1000);
        buf_append(&wide, b.data, body);
        wide.data[0]++; /* one field more */
        mp_bin(&wide, filler, total - b.size - 2);
        sign(&wide);
        assert_int_equal(wide.size, total);
        assert_int_equal(read_node(wide.data, wide.size, &back),
                         total <= HM_RECORD_BYTES_MAX ? HM_OK : HM_EMALFORMED);
        buf_fini(&wide);
    }
    buf_fini(&b);
}

static int read_labels(struct span map, const char *version, struct labels_record *ret_record)
{
    struct labels_record rec = {.mesh_tag = 9, .labels = map};
    struct buf b;
    memset(rec.key, 0x4b, sizeof rec.key);
    assert_true(strlen(version) < sizeof rec.version);
    memcpy(rec.version, version, strlen(version) + 1);
    buf_init(&b, 100000);
    labels_record_write(&b, &rec);
    sign(&b);
    struct span copy = exact_copy(b.data, b.size);
    int result = labels_record_read(copy, ret_record);
    if (result == HM_OK) {
        assert_memory_equal(ret_record->key, rec.key, sizeof rec.key);
        assert_true(ret_record->mesh_tag == 9);
        assert_string_equal(ret_record->version, version);
        assert_int_equal(ret_record->labels.size, map.size);
        assert_memory_equal(ret_record->labels.data, map.data, map.size);
    }
    /* Cut anywhere it is malformed. */
    for (size_t size = 0; size < copy.size; size++) {
        struct labels_record cut;
        struct span part = exact_copy(copy.data, size);
        assert_int_equal(labels_record_read(part, &cut), HM_EMALFORMED);
        exact_free(part);
    }
    exact_free(copy);
    buf_fini(&b);
    return result;
}

static void labels_are_checked(void **state)
{
    (void) state;
    static const struct {
        const char *hex, *version;
        int result;
    } cases[] = {
        {"80", "", HM_OK},
        {"80", "0.1.0-rc1+git20261121", HM_OK},
        {"81 a1 61 a1 62", "1", HM_OK},
        {"81 a1 61 a0", "1", HM_OK}, /* an empty value */
        {"82 a1 61 a1 31 a1 62 a1 31", "1", HM_OK},
        {"82 a1 61 a1 31 a2 6161 a1 31", "1", HM_OK}, /* "a" before "aa" */
        {"82 a2 6161 a1 31 a1 61 a1 31", "1", HM_EMALFORMED},
        {"82 a1 62 a1 31 a1 61 a1 31", "1", HM_EMALFORMED},
        {"82 a1 61 a1 31 a1 61 a1 31", "1", HM_EMALFORMED}, /* twice the same key */
        {"81 a0 a1 62", "1", HM_EMALFORMED},                /* an empty key */
        {"81 a1 0a a1 62", "1", HM_EMALFORMED},
        {"81 a1 61 a1 1b", "1", HM_EMALFORMED},
        {"81 a1 ff a1 62", "1", HM_EMALFORMED},
        {"81 a1 61 a2 c3 28", "1", HM_EMALFORMED},
        {"81 a1 61 a3 e2 9d a4", "1", HM_OK},
        {"81 01 a1 62", "1", HM_EMALFORMED},
        {"81 a1 61 01", "1", HM_EMALFORMED},
        {"81 a1 61 c4 01 62", "1", HM_EMALFORMED},
        {"90", "1", HM_EMALFORMED},
        {"c0", "1", HM_EMALFORMED},
        {"80", "\x1b[0m", HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t bytes[64];
        struct labels_record rec;
        size_t size = hex_bytes(cases[i].hex, bytes, sizeof bytes);
        if (read_labels(span_of(bytes, size), cases[i].version, &rec) != cases[i].result) {
            print_error("wrong result for %s\n", cases[i].hex);
            fail();
        }
    }
}

static void labels_at_their_limits(void **state)
{
    (void) state;
    for (size_t extra = 0; extra <= 1; extra++) {
        char text[300];
        struct labels_record rec;
        struct buf b;
        int expected = extra == 0 ? HM_OK : HM_EMALFORMED;
        memset(text, 'v', sizeof text);
        buf_init(&b, 10000);
        mp_map(&b, 1);
        mp_strn(&b, text, HM_LABEL_KEY_BYTES_MAX + extra);
        mp_strn(&b, text, HM_LABEL_VALUE_BYTES_MAX);
        assert_int_equal(read_labels(buf_span(&b), "1", &rec), expected);
        buf_clear(&b);
        mp_map(&b, 1);
        mp_strn(&b, text, HM_LABEL_KEY_BYTES_MAX);
        mp_strn(&b, text, HM_LABEL_VALUE_BYTES_MAX + extra);
        assert_int_equal(read_labels(buf_span(&b), "1", &rec), expected);
        buf_clear(&b);
        mp_map(&b, HM_LABELS_MAX + extra);
        for (size_t i = 0; i < HM_LABELS_MAX + extra; i++) {
            char key[2] = {'k', (char) ('0' + i)};
            mp_strn(&b, key, 2);
            mp_strn(&b, text, 10);
        }
        assert_int_equal(read_labels(buf_span(&b), "1", &rec), expected);
        buf_fini(&b);
    }
    /* Sixteen values of 255 bytes: above 4 KiB with keys and key. */
    struct labels_record rec;
    struct buf b;
    char value[HM_LABEL_VALUE_BYTES_MAX];
    memset(value, 'v', sizeof value);
    buf_init(&b, 10000);
    mp_map(&b, 16);
    for (size_t i = 0; i < 16; i++) {
        char key[2] = {'k', (char) ('0' + i)};
        mp_strn(&b, key, 2);
        mp_strn(&b, value, sizeof value);
    }
    assert_int_equal(read_labels(buf_span(&b), "1", &rec), HM_EMALFORMED);
    buf_fini(&b);
}

static void the_kinds_do_not_pass_for_each_other(void **state)
{
    (void) state;
    struct node_record rec = sample(), node;
    struct labels_record labels = {.mesh_tag = 1, .labels = span_of("\x80", 1)}, back;
    struct buf b;
    write_node(&b, &rec);
    assert_int_equal(labels_record_read(buf_span(&b), &back), HM_EMALFORMED);
    buf_clear(&b);
    labels_record_write(&b, &labels);
    sign(&b);
    assert_int_equal(labels_record_read(buf_span(&b), &back), HM_OK);
    assert_int_equal(node_record_read(buf_span(&b), &node), HM_EMALFORMED);
    buf_fini(&b);
}

static void splitting(void **state)
{
    (void) state;
    uint8_t bytes[100];
    struct span body;
    const uint8_t *signature;
    for (size_t size = 0; size <= RECORD_SIGNATURE_BYTES; size++) {
        assert_int_equal(record_split(span_of(bytes, size), &body, &signature), HM_EMALFORMED);
    }
    assert_int_equal(record_split(span_of(NULL, 0), &body, &signature), HM_EMALFORMED);
    assert_int_equal(record_split(span_of(bytes, 65), &body, &signature), HM_OK);
    assert_ptr_equal(body.data, bytes);
    assert_int_equal(body.size, 1);
    assert_ptr_equal(signature, bytes + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_round_trip),
        cmocka_unit_test(the_largest_record_fits),
        cmocka_unit_test(node_truncated),
        cmocka_unit_test(node_any_byte_changed),
        cmocka_unit_test(node_fields_are_checked),
        cmocka_unit_test(node_above_its_limit),
        cmocka_unit_test(labels_are_checked),
        cmocka_unit_test(labels_at_their_limits),
        cmocka_unit_test(the_kinds_do_not_pass_for_each_other),
        cmocka_unit_test(splitting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
