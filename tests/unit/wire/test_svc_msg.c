/* SPDX-License-Identifier: MPL-2.0 */
/* Services as values: round trip, each bound, truncation, order, what newer versions add. */
#include "../unit.h"

#include "base/err.h"
#include "base/node_id.h"
#include "wire/mpack.h"
#include "wire/svc_msg.h"

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

static struct buf tags, meta;

static struct svc sample(void)
{
    struct span list[] = {text("web"), text("blue"), text("web")};
    struct svc_pair pairs[] = {{text("team"), text("x")}, {text("rack"), text("")}};
    struct svc s = {
        .id = text("jellyfin-8096"),
        .name = text("jellyfin"),
        .version = text("10.9"),
        .address = text("fd00::1%eth0"),
        .port = 8096,
        .health = SVC_WARNING,
        .text = text("disk 91 %"),
        .ttl_ms = 10000,
        .after_ms = 60000,
        .is_expired = true,
        .source = SVC_FILE,
        .file = text("media.yaml"),
    };
    buf_init(&tags, 1000);
    buf_init(&meta, 1000);
    s.tag_count = svc_tags_write(&tags, list, 3);
    assert_int_equal(svc_meta_write(&meta, pairs, 2), HM_OK);
    s.meta_count = 2;
    s.tags = buf_span(&tags);
    s.meta = buf_span(&meta);
    return s;
}

static void fini(void)
{
    buf_fini(&tags);
    buf_fini(&meta);
}

static void assert_span(struct span a, const char *expected)
{
    assert_int_equal(a.size, strlen(expected));
    assert_memory_equal(a.data, expected, a.size);
}

static void what_is_written_is_read(void **state)
{
    struct svc s = sample(), got;
    struct buf b;
    (void) state;
    buf_init(&b, 10000);
    svc_write(&b, &s);
    assert_int_equal(svc_read(buf_span(&b), &got), HM_OK);
    assert_true(svc_same(&s, &got));
    assert_int_equal(got.health, SVC_WARNING);
    assert_true(got.is_expired);
    assert_span(got.text, "disk 91 %");
    assert_int_equal(got.tag_count, 2);
    assert_true(svc_has_tag(&got, text("web")) && svc_has_tag(&got, text("blue")));
    assert_false(svc_has_tag(&got, text("we")));
    assert_true(svc_has_meta(&got, text("team"), text("x")));
    assert_true(svc_has_meta(&got, text("rack"), text("")));
    assert_false(svc_has_meta(&got, text("rack"), text("x")));
    struct span rest = got.tags, tag;
    assert_true(svc_tag_next(&rest, &tag));
    assert_span(tag, "blue"); /* sorted */
    for (size_t size = 0; size < b.size; size++) {
        struct span cut = exact_copy(b.data, size);
        assert_int_equal(svc_read(cut, &got), HM_EMALFORMED);
        exact_free(cut);
    }
    buf_fini(&b);
    fini();
}

static void only_checks_are_no_difference(void **state)
{
    struct svc a = sample(), b = a;
    (void) state;
    b.health = SVC_CRITICAL;
    b.text = text("");
    b.is_expired = false;
    assert_true(svc_same(&a, &b));
    b.port++;
    assert_false(svc_same(&a, &b));
    b = a;
    b.tags = span_of(NULL, 0);
    assert_false(svc_same(&a, &b));
    b = a;
    b.ttl_ms = 0;
    assert_false(svc_same(&a, &b));
    fini();
}

static void texts_have_their_rules(void **state)
{
    static char longest[700];
    static const struct {
        enum svc_text which;
        size_t max;
        const char *good, *bad;
    } rows[] = {
        {SVC_ID, 127, "a.B_9:1-2", "a b"},
        {SVC_NAME, 63, "web-1", "Web"},
        {SVC_VERSION, 63, "1.2 (x)", "1\n"},
        {SVC_ADDRESS, 253, "fd00::1", "[fd00::1]"},
        {SVC_TAG, 255, "rule=Host(`x`)", "\x1b[m"},
        {SVC_META_KEY, 63, "a/b.c", "a=b"},
        {SVC_META_VALUE, 511, "a=b c", "\xff"},
        {SVC_CHECK_TEXT, 255, "ok", "a\tb"},
        {SVC_FILE_NAME, 127, "a b.yaml", "\x7f"},
    };
    (void) state;
    memset(longest, 'a', sizeof longest);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        bool good = svc_text_wrong(rows[i].which, text(rows[i].good)) == NULL &&
                    svc_text_wrong(rows[i].which, text(rows[i].bad)) != NULL &&
                    svc_text_wrong(rows[i].which, span_of(longest, rows[i].max)) == NULL &&
                    svc_text_wrong(rows[i].which, span_of(longest, rows[i].max + 1)) != NULL;
        if (!good) {
            print_error("text %zu\n", i);
        }
        assert_true(good);
    }
    assert_non_null(svc_text_wrong(SVC_ID, text("")));
    assert_non_null(svc_text_wrong(SVC_NAME, text("")));
    assert_non_null(svc_text_wrong(SVC_TAG, text("")));
    assert_non_null(svc_text_wrong(SVC_META_KEY, text("")));
    assert_null(svc_text_wrong(SVC_META_VALUE, text("")));
    assert_null(svc_text_wrong(SVC_ADDRESS, text("")));
}

/* {id, name, port} and one pair more. */
static int read_with(const char *hex)
{
    uint8_t bytes[200] = {0x84, 0xa2, 'i', 'd', 0xa1, 'x', 0xa4, 'n', 'a', 'm', 'e', 0xa1, 'x',
                          0xa4, 'p',  'o', 'r', 't',  0x50};
    struct svc s;
    size_t size = 19 + hex_bytes(hex, bytes + 19, sizeof bytes - 19);
    struct span copy = exact_copy(bytes, size);
    int rc = svc_read(copy, &s);
    exact_free(copy);
    return rc;
}

static void what_is_wrong_is_refused(void **state)
{
    static const struct {
        const char *hex;
        int rc;
    } rows[] = {
        {"a3 78797a 93 01 02 03", HM_OK},                 /* xyz: of a newer version */
        {"a4 74616773 92 a1 61 a1 62", HM_OK},            /* tags a, b */
        {"a4 74616773 92 a1 62 a1 61", HM_EMALFORMED},    /* not in order */
        {"a4 74616773 92 a1 61 a1 61", HM_EMALFORMED},    /* twice */
        {"a4 74616773 91 01", HM_EMALFORMED},             /* no text */
        {"a4 6d657461 81 a1 61 a1 62", HM_OK},            /* meta a: b */
        {"a4 6d657461 82 a1 62 a0 a1 61 a0", HM_EMALFORMED},
        {"a2 6964 a1 79", HM_EMALFORMED},                 /* a second id */
        {"a6 6865616c7468 a7 70617373696e67", HM_OK},     /* health: passing */
        {"a6 6865616c7468 a1 78", HM_EMALFORMED},
        {"a4 706f7274 01", HM_EMALFORMED},                /* a second port */
        {"a6 74746c5f6d73 ce 7fffffff", HM_EMALFORMED},   /* ttl_ms: more than a week */
        {"a6 736f75726365 a4 66696c65", HM_OK},           /* source: file */
        {"a7 61646472657373 a1 20", HM_EMALFORMED},       /* address: a blank */
        {"a3 78797a 01 01", HM_EMALFORMED},               /* and more behind it */
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int rc = read_with(rows[i].hex);
        if (rc != rows[i].rc) {
            print_error("row %zu: %d\n", i, rc);
        }
        assert_int_equal(rc, rows[i].rc);
    }
}

static void without_id_name_or_port_it_is_none(void **state)
{
    static const uint8_t none[] = {0x80};
    static const uint8_t no_port[] = {0x82, 0xa2, 'i', 'd', 0xa1, 'x', 0xa4, 'n', 'a', 'm', 'e',
                                      0xa1, 'x'};
    struct svc s;
    (void) state;
    assert_int_equal(svc_read(span_of(none, sizeof none), &s), HM_EMALFORMED);
    assert_int_equal(svc_read(span_of(no_port, sizeof no_port), &s), HM_EMALFORMED);
}

static void keys_name_node_and_id(void **state)
{
    struct node_id node;
    uint8_t key[SVC_KEY_BYTES_MAX];
    (void) state;
    memset(node.b, 0xab, sizeof node.b);
    size_t size = svc_key(&node, text("web"), key);
    assert_span(span_of(key, size), "svc/abababababababababababababababab/web");
    struct svc_pair twice[] = {{text("a"), text("1")}, {text("a"), text("2")}};
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(svc_meta_write(&b, twice, 2), HM_EEXIST);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(only_checks_are_no_difference),
        cmocka_unit_test(texts_have_their_rules),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(without_id_name_or_port_it_is_none),
        cmocka_unit_test(keys_name_node_and_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
