/* SPDX-License-Identifier: MPL-2.0 */
/* What meshctl prints of keys and values: bytes as they are, or what a person can read. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "cmd/ctl_kv.h"
#include "wire/mpack.h"

#include <stdarg.h>
#include <stdio.h>

/* ctl_out.c's only need of the rest of meshctl. */
void ctl_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprint_error(format, args);
    va_end(args);
}

static FILE *before;
static char *printed;
static size_t printed_size;

static void catch_output(void)
{
    before = stdout;
    stdout = open_memstream(&printed, &printed_size);
    assert_non_null(stdout);
}

static void give_back(void)
{
    fclose(stdout);
    stdout = before;
}

static json_t *json_of(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (json == NULL) {
        print_error("%s: %s\n", text, error.text);
        fail();
    }
    return json;
}

static void expect_raw(const char *json_text, const char *wanted, size_t size)
{
    json_t *json = json_of(json_text);
    catch_output();
    int code = kv_print_raw(json);
    give_back();
    assert_int_equal(code, HM_OK);
    assert_int_equal(printed_size, size);
    assert_memory_equal(printed, wanted, size);
    free(printed);
    json_decref(json);
}

static void test_raw(void **state)
{
    (void) state;
    expect_raw("\"plain\"", "plain", 5);
    expect_raw("\"\"", "", 0);
    expect_raw("\"a\\u0000b\\n\"", "a\0b\n", 4);
    expect_raw("{\"base64\": \"AP8Q\"}", "\0\xff\x10", 3);
    expect_raw("[]", "", 0);
    expect_raw("[\"a\", {\"base64\": \"/w==\"}, \"\"]", "a\n\xff\n\n", 5);
}

static void test_no_value(void **state)
{
    static const char *const wrong[] = {
        "null", "7", "{}", "{\"base64\": 7}", "{\"base64\": \"A\"}", "[null]", "[[]]"};
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        json_t *json = json_of(wrong[i]);
        catch_output();
        int code = kv_print_raw(json);
        give_back();
        assert_int_equal(code, HM_EMALFORMED);
        free(printed);
        json_decref(json);
    }
}

/* Bytes of a reply come to JSON and back. */
static void test_bytes_through_json(void **state)
{
    struct buf b;
    uint8_t *bytes = NULL;
    size_t size = 0;
    (void) state;
    buf_init(&b, 64);
    mp_bin(&b, "\xff\x00z", 3);
    json_t *json = ctl_json_of(b.data, b.size);
    assert_string_equal(ctl_text(json, "base64"), "/wB6");
    assert_int_equal(ctl_json_bytes(json, &bytes, &size), HM_OK);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "\xff\x00z", 3);
    free(bytes);
    json_decref(json);
    buf_fini(&b);
}

static void expect_shown(const char *json_text, const char *wanted)
{
    json_t *json = json_of(json_text);
    char *text = kv_shown(json);
    assert_string_equal(text, wanted);
    free(text);
    json_decref(json);
}

static void test_shown(void **state)
{
    (void) state;
    expect_shown("\"plain\"", "plain");
    expect_shown("\"a line\\n\"", "a line");
    expect_shown("\"two\\nlines\\n\"", "two\nlines\n"); /* line ends become ? where it is printed */
    expect_shown("\"\"", "(empty)");
    expect_shown("\"\\u0000\"", "(1 byte, no text)");
    expect_shown("\"a\\u0000b\"", "(3 bytes, no text)");
    expect_shown("\"\\n\"", "(1 byte, no text)");
    expect_shown("\"\\nsecond\"", "\nsecond");
    expect_shown("{\"base64\": \"AP8Q\"}", "(3 bytes, no text)");
    expect_shown("[\"a\", \"\", {\"base64\": \"/w==\"}]", "{a, (empty), (1 byte, no text)}");
    expect_shown("[]", "{}");
    expect_shown("null", "-");
}

/* A removed node has no name left: its id is shortened as everywhere, and a name never is. */
static void test_node_without_a_name(void **state)
{
    char text[OUT_TEXT_BYTES];
    (void) state;
    assert_string_equal(out_node("3affbe21114838b5c50510c91563c8c3", text), "3affbe211148");
    assert_string_equal(out_node("3affbe21114838b5c50510c91563c8cx", text),
                        "3affbe21114838b5c50510c91563c8cx");
    assert_string_equal(out_node("nas1", text), "nas1");
}

/* A page of `count` keys from `first` on. */
static json_t *page_of(unsigned first, unsigned count, const char *value)
{
    json_t *keys = json_array();
    for (unsigned i = first; i < first + count; i++) {
        char key[16];
        snprintf(key, sizeof key, "k/%u", i);
        json_array_append_new(
            keys, json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s}", "key", key, "value", value,
                            "type", "register", "conflicts", (int) i, "origin", "nas1", "modified",
                            "2026-11-21T13:46:13.184Z", "version", "0123456789abcdef"));
    }
    return keys;
}

static void print_pages(struct kv_printer *p, const char *value)
{
    json_t *one = page_of(9, 1, value);
    json_t *two = page_of(10, 2, "x");
    catch_output();
    kv_print_page(p, one);
    kv_print_page(p, two);
    kv_print_end(p, "nothing");
    give_back();
    json_decref(one);
    json_decref(two);
}

/* Pages are one table: a header, columns below each other. */
static void test_table_of_pages(void **state)
{
    struct out out = {.width = 0};
    struct kv_printer p = {.out = &out};
    (void) state;
    setenv("TZ", "UTC", 1);
    print_pages(&p, "a longer one");
    assert_string_equal(
        printed,
        "KEY   VALUE         TYPE      CONFLICTS  BY    MODIFIED             VERSION\n"
        "k/9   a longer one  register          9  nas1  2026-11-21 13:46:13  0123456789abcdef\n"
        "k/10  x             register         10  nas1  2026-11-21 13:46:13  0123456789abcdef\n"
        "k/11  x             register         11  nas1  2026-11-21 13:46:13  0123456789abcdef\n");
    free(printed);
}

/* On a terminal: cut, what matters least gone, and nothing that it would obey or hide. */
static void test_table_on_a_terminal(void **state)
{
    struct out out = {.width = 40, .is_terminal = true};
    struct kv_printer p = {.out = &out};
    (void) state;
    print_pages(&p, "\033[31mred \xe2\x80\xae turned \xe2\x80\x8b hidden, and much more of it");
    assert_string_equal(printed, "KEY   VALUE                 CONFLICTS\n"
                                 "k/9   ?[31mred ? turned ?…          9\n"
                                 "k/10  x                            10\n"
                                 "k/11  x                            11\n");
    free(printed);
}

/* The command that brings a lost value is to be copied, whatever the key. */
static void test_lost_value_can_be_had(void **state)
{
    static const struct {
        const char *key, *shown;
    } rows[] = {{"dns/router", "meshctl kv get dns/router 0123"},
                {"two words", "meshctl kv get 'two words' 0123"},
                {"it's $x", "meshctl kv get 'it'\\''s $x' 0123"}};
    struct out out = {.width = 0};
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct kv_printer p = {.out = &out, .is_report = true};
        json_t *keys = json_pack("[{s:s, s:[{s:b, s:s, s:s, s:s, s:s, s:s}]}]", "key", rows[i].key,
                                 "sides", "won", 0, "op", "put", "value", "v", "origin", "pi2",
                                 "modified", "2026-11-21T13:46:13.184Z", "version", "0123");
        assert_non_null(keys);
        catch_output();
        kv_print_page(&p, keys);
        give_back();
        assert_non_null(strstr(printed, rows[i].shown));
        free(printed);
        json_decref(keys);
    }
}

static void test_json_of_pages(void **state)
{
    struct out out = {.width = 0};
    struct kv_printer p = {.out = &out, .is_json = true};
    (void) state;
    print_pages(&p, "a\n\"b\"");
    json_t *all = json_of(printed);
    assert_int_equal(json_array_size(all), 3);
    assert_string_equal(ctl_text(json_array_get(all, 0), "value"), "a\n\"b\"");
    assert_string_equal(ctl_text(json_array_get(all, 2), "key"), "k/11");
    /* The same as any other list is printed. */
    char *wanted = json_dumps(all, JSON_INDENT(2));
    assert_int_equal(strlen(wanted) + 1, printed_size);
    assert_memory_equal(printed, wanted, strlen(wanted));
    free(wanted);
    free(printed);
    json_decref(all);
}

static void test_nothing(void **state)
{
    struct out out = {.width = 0};
    struct kv_printer text = {.out = &out};
    struct kv_printer json = {.out = &out, .is_json = true};
    json_t *none = json_array();
    (void) state;
    catch_output();
    kv_print_page(&text, none);
    kv_print_end(&text, "no keys");
    kv_print_page(&json, none);
    kv_print_end(&json, "no keys");
    give_back();
    assert_string_equal(printed, "no keys\n[]\n");
    free(printed);
    json_decref(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_no_value),
        cmocka_unit_test(test_bytes_through_json),
        cmocka_unit_test(test_shown),
        cmocka_unit_test(test_table_of_pages),
        cmocka_unit_test(test_table_on_a_terminal),
        cmocka_unit_test(test_node_without_a_name),
        cmocka_unit_test(test_lost_value_can_be_had),
        cmocka_unit_test(test_json_of_pages),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
