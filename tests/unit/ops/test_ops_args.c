/* SPDX-License-Identifier: MPL-2.0 */
#include "../unit.h"

#include "base/err.h"
#include "ops/ops_args.h"
#include "wire/mpack.h"

static char why[OPS_WHY_BYTES];

static int read_args(enum op op, const struct buf *b, struct op_values *ret_values)
{
    struct span copy = exact_copy(b->data, b->size);
    why[0] = '\0';
    int code = ops_args_read(ops_spec(op), copy, ret_values, why);
    exact_free(copy);
    return code;
}

/* One argument, whose value is written by the caller. */
static struct buf args_with(const char *name)
{
    struct buf b;
    buf_init(&b, 4096);
    mp_map(&b, 1);
    mp_str(&b, name);
    return b;
}

static void test_defaults_and_values(void **state)
{
    struct op_values values;
    struct buf b;
    const struct op_spec *spec = ops_spec(OP_EVENTS);
    (void) state;
    buf_init(&b, 4096);
    mp_map(&b, 0);
    assert_int_equal(read_args(OP_EVENTS, &b, &values), HM_OK);
    assert_false(ops_args_get(spec, &values, "since")->is_given);
    assert_true(ops_args_get(spec, &values, "since")->number == 0);
    buf_clear(&b);
    mp_map(&b, 2);
    mp_str(&b, "wait");
    mp_bool(&b, true);
    mp_str(&b, "since");
    mp_uint(&b, 77);
    assert_int_equal(read_args(OP_EVENTS, &b, &values), HM_OK);
    assert_true(ops_args_get(spec, &values, "since")->number == 77);
    assert_true(ops_args_get(spec, &values, "wait")->number == 1);
    buf_fini(&b);
}

static void test_nil_is_not_given(void **state)
{
    struct op_values values;
    struct buf b = args_with("node");
    (void) state;
    mp_nil(&b);
    assert_int_equal(read_args(OP_NODES_EVENTS, &b, &values), HM_OK);
    assert_false(values.v[0].is_given);
    assert_int_equal(read_args(OP_RTT, &b, &values), HM_EINVAL);
    assert_non_null(strstr(why, "needs node"));
    buf_fini(&b);
}

static void expect_wrong(enum op op, struct buf *b, const char *part)
{
    struct op_values values;
    assert_int_equal(read_args(op, b, &values), HM_EINVAL);
    if (strstr(why, part) == NULL) {
        print_error("\"%s\" has no \"%s\"\n", why, part);
        fail();
    }
    buf_fini(b);
}

static void test_unknown_names_the_nearest(void **state)
{
    struct buf b = args_with("sinse");
    (void) state;
    mp_uint(&b, 1);
    expect_wrong(OP_EVENTS, &b, "did you mean \"since\"?");
    b = args_with("\033[31mlong and strange, longer than what is shown of it");
    mp_uint(&b, 1);
    expect_wrong(OP_EVENTS, &b, "\"?[31mlong and strange, longer than what ...\"");
    b = args_with("since");
    mp_uint(&b, 1);
    expect_wrong(OP_STATUS, &b, "status has no argument \"since\"");
}

static void test_wrong_types_and_bounds(void **state)
{
    char text[300];
    struct buf b = args_with("since");
    (void) state;
    mp_str(&b, "1");
    expect_wrong(OP_EVENTS, &b, "since must be a number");
    b = args_with("since");
    mp_int(&b, -1);
    expect_wrong(OP_EVENTS, &b, "since must be a number");
    b = args_with("since");
    mp_uint(&b, UINT64_MAX);
    expect_wrong(OP_EVENTS, &b, "but must be from 0 to 9223372036854775807");
    b = args_with("wait");
    mp_uint(&b, 1);
    expect_wrong(OP_EVENTS, &b, "wait must be a boolean");
    b = args_with("node");
    mp_uint(&b, 1);
    expect_wrong(OP_RTT, &b, "node must be a text");
    b = args_with("node");
    mp_str(&b, "");
    expect_wrong(OP_RTT, &b, "node is empty");
    b = args_with("node");
    mp_str(&b, "a\nb");
    expect_wrong(OP_RTT, &b, "without control characters");
    b = args_with("node");
    mp_strn(&b, "a\0b", 3);
    expect_wrong(OP_RTT, &b, "node must be a text");
    memset(text, 'x', sizeof text);
    for (size_t size = 64; size < sizeof text; size += 67) {
        b = args_with("node");
        mp_strn(&b, text, size);
        expect_wrong(OP_RTT, &b, "node");
    }
}

/* Bytes come as text or bin, as they are, and are not copied. */
static void test_bytes(void **state)
{
    const struct op_spec *spec = ops_spec(OP_KV_PUT);
    size_t value = ops_args_index(spec, "value");
    struct op_values values, back;
    struct buf b;
    (void) state;
    for (int is_bin = 0; is_bin < 2; is_bin++) {
        buf_init(&b, 4096);
        mp_map(&b, 2);
        mp_str(&b, "key");
        mp_str(&b, "a");
        mp_str(&b, "value");
        if (is_bin) {
            mp_bin(&b, "x\0\xff", 3);
        } else {
            mp_strn(&b, "x\0y", 3);
        }
        assert_int_equal(ops_args_read(spec, buf_span(&b), &values, why), HM_OK);
        assert_int_equal(values.v[value].bytes.size, 3);
        assert_true(values.v[value].bytes.data > b.data &&
                    values.v[value].bytes.data < b.data + b.size);
        assert_int_equal(values.v[value].raw.size, is_bin ? 5 : 4);
        assert_int_equal(mp_check(values.v[value].raw), HM_OK);
        /* Written again it is the same. */
        struct buf again;
        buf_init(&again, 4096);
        ops_args_write(spec, &values, &again);
        assert_int_equal(ops_args_read(spec, buf_span(&again), &back, why), HM_OK);
        assert_int_equal(again.size, b.size);
        assert_memory_equal(again.data, b.data, b.size);
        buf_fini(&again);
        buf_fini(&b);
    }
    b = args_with("value");
    mp_uint(&b, 1);
    expect_wrong(OP_KV_PUT, &b, "value must be a text or bytes");
}

/* What meshctl acts upon itself is no argument of a request. */
static void test_meshctls_own_are_not_sent(void **state)
{
    const struct op_spec *spec = ops_spec(OP_KV_PUT);
    struct op_values values;
    struct buf b = args_with("file");
    (void) state;
    mp_str(&b, "/etc/passwd");
    expect_wrong(OP_KV_PUT, &b, "has no argument \"file\"");
    ops_args_init(spec, &values);
    assert_int_equal(ops_args_set(spec, ops_args_index(spec, "file"), "f", &values, why), HM_OK);
    buf_init(&b, 64);
    ops_args_write(spec, &values, &b);
    assert_int_equal(b.size, 1); /* an empty map */
    buf_fini(&b);
}

static void test_shape(void **state)
{
    struct buf b;
    (void) state;
    buf_init(&b, 4096);
    mp_array(&b, 0);
    expect_wrong(OP_EVENTS, &b, "must be a map");
    buf_init(&b, 4096);
    mp_map(&b, 1);
    mp_uint(&b, 1);
    mp_uint(&b, 1);
    expect_wrong(OP_EVENTS, &b, "names of arguments");
    buf_init(&b, 4096);
    mp_map(&b, 2);
    mp_str(&b, "since");
    mp_uint(&b, 1);
    mp_str(&b, "since");
    mp_uint(&b, 2);
    expect_wrong(OP_EVENTS, &b, "given twice");
}

static void test_truncated_at_each_byte(void **state)
{
    struct op_values values;
    struct buf b = args_with("node");
    (void) state;
    mp_str(&b, "nas1");
    for (size_t size = 0; size < b.size; size++) {
        struct span copy = exact_copy(b.data, size);
        assert_int_equal(ops_args_read(ops_spec(OP_RTT), copy, &values, why), HM_EINVAL);
        exact_free(copy);
    }
    assert_int_equal(read_args(OP_RTT, &b, &values), HM_OK);
    assert_string_equal(values.v[0].text, "nas1");
    buf_fini(&b);
}

static void test_words_round_trip(void **state)
{
    const struct op_spec *spec = ops_spec(OP_NODES_EVENTS);
    struct op_values values;
    struct op_values back;
    struct buf b;
    (void) state;
    ops_args_init(spec, &values);
    assert_int_equal(ops_args_set(spec, 0, "nas1", &values, why), HM_OK);
    assert_int_equal(ops_args_set(spec, 1, "12", &values, why), HM_OK);
    assert_int_equal(ops_args_set(spec, 2, "true", &values, why), HM_OK);
    buf_init(&b, 4096);
    ops_args_write(spec, &values, &b);
    assert_int_equal(read_args(OP_NODES_EVENTS, &b, &back), HM_OK);
    assert_memory_equal(values.v, back.v, spec->arg_count * sizeof values.v[0]);
    buf_fini(&b);
}

static void test_wrong_words(void **state)
{
    static const struct {
        size_t idx;
        const char *text;
        const char *part;
    } wrong[] = {
        {0, "", "node is empty"},
        {1, "x", "since is \"x\", but must be a number"},
        {1, "-1", "must be a number"},
        {1, "99999999999999999999999", "must be a number"},
        {1, "9999999999999999999", "must be from 0 to"},
        {2, "maybe", "wait is \"maybe\", but must be true or false"},
    };
    const struct op_spec *spec = ops_spec(OP_NODES_EVENTS);
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct op_values values;
        ops_args_init(spec, &values);
        assert_int_equal(ops_args_set(spec, wrong[i].idx, wrong[i].text, &values, why), HM_EINVAL);
        if (strstr(why, wrong[i].part) == NULL) {
            print_error("\"%s\" has no \"%s\"\n", why, wrong[i].part);
            fail();
        }
        assert_false(values.v[wrong[i].idx].is_given);
    }
}

/* Lists, maps and times come as words or as values, and go out the same. */
static void test_lists_maps_and_times(void **state)
{
    const struct op_spec *spec = ops_spec(OP_SERVICES_REGISTER);
    struct op_values values, again;
    struct op_words w = {.is_open = false};
    struct span text;
    struct buf b;
    (void) state;
    ops_args_init(spec, &values);
    size_t tag = ops_args_index(spec, "tag"), meta = ops_args_index(spec, "meta");
    size_t ttl = ops_args_index(spec, "ttl");
    assert_int_equal(ops_args_set(spec, ops_args_index(spec, "name"), "web", &values, why), HM_OK);
    assert_int_equal(ops_args_set(spec, ops_args_index(spec, "port"), "80", &values, why), HM_OK);
    assert_int_equal(ops_args_set(spec, tag, "b", &values, why), HM_OK);
    assert_int_equal(ops_args_set(spec, tag, "a=1", &values, why), HM_OK);
    assert_int_equal(ops_args_set(spec, tag, "", &values, why), HM_EINVAL);
    assert_int_equal(ops_args_set(spec, meta, "k=v=w", &values, why), HM_OK);
    assert_int_equal(ops_args_set(spec, meta, "empty=", &values, why), HM_OK);
    assert_int_equal(ops_args_set(spec, meta, "=v", &values, why), HM_EINVAL);
    assert_int_equal(ops_args_set(spec, meta, "none", &values, why), HM_EINVAL);
    assert_int_equal(ops_args_set(spec, ttl, "2m", &values, why), HM_OK);
    assert_int_equal(ops_args_set(spec, ttl, "999ms", &values, why), HM_EINVAL);
    assert_int_equal(ops_args_set(spec, ttl, "8d", &values, why), HM_EINVAL);
    buf_init(&b, 4096);
    ops_args_write(spec, &values, &b);
    assert_int_equal(ops_args_read(spec, buf_span(&b), &again, why), HM_OK);
    assert_true(again.v[ttl].number == 120000);
    assert_true(ops_args_next(&again.v[tag], &w, &text) && text.size == 1 && text.data[0] == 'b');
    assert_true(ops_args_next(&again.v[tag], &w, &text) && text.size == 3);
    assert_false(ops_args_next(&again.v[tag], &w, &text));
    w = (struct op_words){.is_open = false};
    assert_true(ops_args_next(&again.v[meta], &w, &text) && text.size == 1);
    assert_true(ops_args_next(&again.v[meta], &w, &text) && text.size == 3);
    assert_true(ops_args_next(&again.v[meta], &w, &text) && text.size == 5);
    assert_true(ops_args_next(&again.v[meta], &w, &text) && text.size == 0);
    assert_false(ops_args_next(&again.v[meta], &w, &text));
    w = (struct op_words){.is_open = false};
    assert_false(ops_args_next(&again.v[ops_args_index(spec, "id")], &w, &text));
    for (size_t i = 0; i < OPS_WORDS_MAX - 2; i++) {
        assert_int_equal(ops_args_set(spec, tag, "t", &values, why), HM_OK);
    }
    assert_int_equal(ops_args_set(spec, tag, "t", &values, why), HM_EFULL);
    buf_fini(&b);
}

static void test_wrong_lists_are_refused(void **state)
{
    static const uint8_t rows[][32] = {
        "\x81\xa3tag\xa1x",             /* no list */
        "\x81\xa3tag\x91\x01",          /* a number in it */
        "\x81\xa3tag\x91\xa1\x1b",      /* no clean text */
        "\x81\xa4meta\x91\xa1x",        /* no map */
        "\x81\xa4meta\x81\xa1x\x91\x01",
        "\x81\xa4meta\x81\xa0\xa1x",    /* no name */
        "\x81\xa3ttl\xa3xyz",
        "\x81\xa3ttl\xc3",
        "\x81\xa3ttl\x01",
    };
    static const size_t sizes[] = {7, 7, 8, 8, 10, 9, 9, 6, 6};
    struct op_values values;
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct span copy = exact_copy(rows[i], sizes[i]);
        why[0] = '\0';
        int code = ops_args_read(ops_spec(OP_SERVICES_REGISTER), copy, &values, why);
        if (code != HM_EINVAL || strstr(why, "needs") != NULL || strstr(why, "map") == why) {
            print_error("row %zu: %s\n", i, why);
        }
        assert_int_equal(code, HM_EINVAL);
        assert_null(strstr(why, "needs"));
        exact_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_maps_and_times),
        cmocka_unit_test(test_wrong_lists_are_refused),
        cmocka_unit_test(test_defaults_and_values),
        cmocka_unit_test(test_nil_is_not_given),
        cmocka_unit_test(test_unknown_names_the_nearest),
        cmocka_unit_test(test_wrong_types_and_bounds),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_meshctls_own_are_not_sent),
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_truncated_at_each_byte),
        cmocka_unit_test(test_words_round_trip),
        cmocka_unit_test(test_wrong_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
