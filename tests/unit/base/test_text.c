/* SPDX-License-Identifier: MPL-2.0 */
/* Text helpers: bounds, hex, numbers, names, UTF-8, and the nearest word. */
#include "../unit.h"

#include "base/err.h"
#include "base/text.h"

static void copies_what_fits(void **state)
{
    (void) state;
    char to[5];
    assert_true(text_copy(to, sizeof to, ""));
    assert_string_equal(to, "");
    assert_true(text_copy(to, sizeof to, "four"));
    assert_string_equal(to, "four");
    assert_false(text_copy(to, sizeof to, "fifth"));
    assert_string_equal(to, "fift");
    assert_false(text_copy(to, 1, "x"));
    assert_string_equal(to, "");
    assert_true(text_copy(to, 1, ""));
}

/* Whatever the bytes and the room: what is copied is clean, fits, and a clean text that fits is copied as it is. */
static void copies_what_is_clean(void **state)
{
    static const char *const parts[] = {"a",        "\n",           "\xc3\xa9", "\xc3",  "\xff", "\xe2\x82\xac",
                                        "\xc2\x85", "\xf0\x9f\x98\x80", "\x7f",     "\xe2\x82", "bc"};
    char from[64], to[64];
    (void) state;
    for (uint32_t seed = 1; seed < 20000; seed++) {
        uint32_t rest = seed * 2654435761u;
        size_t size = 0, max = 1 + seed % 24;
        for (size_t i = 0; i < 6; i++, rest /= ARRAY_COUNT(parts)) {
            const char *part = parts[rest % ARRAY_COUNT(parts)];
            memcpy(from + size, part, strlen(part));
            size += strlen(part);
        }
        from[size] = '\0';
        memset(to, '#', sizeof to);
        text_copy_clean(to, max, from);
        assert_true(strlen(to) < max && to[max] == '#');
        assert_true(text_is_clean_utf8((const uint8_t *) to, strlen(to)));
        if (size < max && text_is_clean_utf8((const uint8_t *) from, size)) {
            assert_string_equal(to, from);
        }
    }
    text_copy_clean(to, 5, "abc\xc3\xa9");
    assert_string_equal(to, "abc");
    text_copy_clean(to, sizeof to, "a\tb\xff" "c\xc2\x85" "d\xe2\x82");
    assert_string_equal(to, "a b c d  ");
}

static void hex_round_trip(void **state)
{
    (void) state;
    uint8_t all[256], back[256];
    char text[513];
    for (unsigned i = 0; i < 256; i++) {
        all[i] = (uint8_t) i;
    }
    assert_ptr_equal(text_hex(all, sizeof all, text), text);
    assert_int_equal(strlen(text), 512);
    assert_memory_equal(text, "000102030405060708090a0b0c0d0e0f10", 34);
    assert_int_equal(text_unhex(text, back, sizeof back), HM_OK);
    assert_memory_equal(all, back, sizeof all);
    assert_string_equal(text_hex(all, 0, text), "");
    assert_int_equal(text_unhex("", back, 0), HM_OK);
    assert_int_equal(text_unhex("AbCdEF", back, 3), HM_OK);
    assert_memory_equal(back, "\xab\xcd\xef", 3);
}

static void hex_refuses(void **state)
{
    (void) state;
    static const char *const rows[] = {"",
                                       "0",
                                       "00",
                                       "00112",
                                       "001",
                                       "0g12",
                                       "g012",
                                       "00 1",
                                       " 0012",
                                       "0x12",
                                       "00:1",
                                       "001/",
                                       "00:@",
                                       "00`a",
                                       "00\3770"};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t back[2] = {7, 7};
        if (text_unhex(rows[i], back, 2) != HM_EMALFORMED) {
            print_error("accepted: \"%s\"\n", rows[i]);
            fail();
        }
        assert_int_equal(back[0], 7);
        assert_int_equal(back[1], 7);
    }
}

static void numbers(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        uint64_t max;
        int result;
        uint64_t value;
    } rows[] = {
        {"0", 0, HM_OK, 0},
        {"0", UINT64_MAX, HM_OK, 0},
        {"007", 7, HM_OK, 7},
        {"65535", 65535, HM_OK, 65535},
        {"65536", 65535, HM_EMALFORMED, 0},
        {"655350", 65535, HM_EMALFORMED, 0},
        {"1", 0, HM_EMALFORMED, 0},
        {"9", 8, HM_EMALFORMED, 0},
        {"10", 9, HM_EMALFORMED, 0},
        {"18446744073709551615", UINT64_MAX, HM_OK, UINT64_MAX},
        {"18446744073709551614", UINT64_MAX - 1, HM_OK, UINT64_MAX - 1},
        {"18446744073709551615", UINT64_MAX - 1, HM_EMALFORMED, 0},
        {"18446744073709551616", UINT64_MAX, HM_EMALFORMED, 0},
        {"99999999999999999999", UINT64_MAX, HM_EMALFORMED, 0},
        {"184467440737095516150", UINT64_MAX, HM_EMALFORMED, 0},
        {"", 10, HM_EMALFORMED, 0},
        {" 1", 10, HM_EMALFORMED, 0},
        {"1 ", 10, HM_EMALFORMED, 0},
        {"+1", 10, HM_EMALFORMED, 0},
        {"-1", 10, HM_EMALFORMED, 0},
        {"-0", 10, HM_EMALFORMED, 0},
        {"0x1", 100, HM_EMALFORMED, 0},
        {"1e1", 100, HM_EMALFORMED, 0},
        {"1.0", 100, HM_EMALFORMED, 0},
        {"1/", 100, HM_EMALFORMED, 0},
        {"1:", 100, HM_EMALFORMED, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint64_t value = 77;
        if (text_to_u64(rows[i].text, rows[i].max, &value) != rows[i].result) {
            print_error("wrong result for \"%s\"\n", rows[i].text);
            fail();
        }
        assert_true(value == (rows[i].result == HM_OK ? rows[i].value : 77));
    }
}

static void numbers_agree_with_arithmetic(void **state)
{
    (void) state;
    for (unsigned max = 0; max <= 130; max++) {
        for (unsigned n = 0; n <= 140; n++) {
            char text[4] = {0};
            size_t len = 0;
            if (n >= 100) {
                text[len++] = (char) ('0' + n / 100);
            }
            if (n >= 10) {
                text[len++] = (char) ('0' + n / 10 % 10);
            }
            text[len] = (char) ('0' + n % 10);
            uint64_t value = 0;
            assert_int_equal(text_to_u64(text, max, &value) == HM_OK, n <= max);
        }
    }
}

static void dns_labels(void **state)
{
    (void) state;
    static const char *const good[] = {
        "a",
        "0",
        "nas1",
        "a-b",
        "a--b",
        "1-1",
        "xn--bcher-kva",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const bad[] = {
        "",
        "-",
        "-a",
        "a-",
        "A",
        "a.b",
        "a_b",
        "a b",
        "a\x01",
        "\xc3\xa4",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        assert_true(text_is_dns_label(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(text_is_dns_label(bad[i], strlen(bad[i])));
    }
    assert_false(text_is_dns_label("a\0b", 3));
    assert_true(text_is_dns_label("a-b-", 3)); /* size decides, not the NUL */
}

static void folds_host_names(void **state)
{
    (void) state;
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"nas1", "nas1"},
        {"NAS1.home.arpa", "nas1"},
        {"Bob's MacBook Pro", "bob-s-macbook-pro"},
        {"my_host", "my-host"},
        {"__x__", "x"},
        {"a--b", "a-b"},
        {"-a-", "a"},
        {"b\xc3\xbc"
         "cher",
         "b-cher"},
        {"", "node"},
        {".", "node"},
        {".hidden", "node"},
        {"---", "node"},
        {"\xff\xfe", "node"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        /* A cut must not leave a dash at the end. */
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-b",
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char to[100];
        text_fold_name(rows[i].from, to, sizeof to);
        assert_string_equal(to, rows[i].to);
        assert_true(text_is_dns_label(to, strlen(to)));
    }
    char tight[5];
    text_fold_name("abcdefgh", tight, sizeof tight);
    assert_string_equal(tight, "abcd");
    text_fold_name("...", tight, sizeof tight);
    assert_string_equal(tight, "node");
}

static void folding_always_gives_a_label(void **state)
{
    (void) state;
    for (unsigned a = 1; a < 256; a++) {
        for (unsigned b = 1; b < 256; b++) {
            char from[4] = {(char) a, (char) b, (char) a, '\0'};
            char to[64];
            text_fold_name(from, to, sizeof to);
            assert_true(text_is_dns_label(to, strlen(to)));
        }
    }
}

static bool is_clean(const char *bytes, size_t size)
{
    struct span copy = exact_copy(bytes, size);
    bool clean = text_is_clean_utf8(copy.data, copy.size);
    exact_free(copy);
    return clean;
}

static void utf8_well_formed(void **state)
{
    (void) state;
    /* Unicode, table 3-7: the first and last sequence of each row. */
    static const char *const rows[] = {"",
                                       " ",
                                       "~",
                                       "plain text",
                                       "\xc2\xa0",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xe0\xbf\xbf",
                                       "\xe1\x80\x80",
                                       "\xec\xbf\xbf",
                                       "\xed\x80\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf0\xbf\xbf\xbf",
                                       "\xf1\x80\x80\x80",
                                       "\xf3\xbf\xbf\xbf",
                                       "\xf4\x80\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "K\303\274che \xf0\x9f\x8f\xa0 \xe5\xae\xb6"};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_true(is_clean(rows[i], strlen(rows[i])));
        assert_true(text_is_utf8((const uint8_t *) rows[i], strlen(rows[i])));
    }
}

static void utf8_malformed(void **state)
{
    (void) state;
    static const char *const rows[] = {
        "\x80", "\xbf", "\xc0\x80", "\xc0\xaf", "\xc1\xbf", "\xc2", "\xc2\x20", "\xc2\xc2",
        "\xe0\x80\x80", "\xe0\x9f\xbf", "\xe0\xa0", "\xe1\x80", "\xe1\x80\x20", "\xed\xa0\x80",
        "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff", "ok\xff",
        /* control characters: C0, DEL, C1 (as UTF-8, NEL and CSI among them) */
        "\n", "\x1b[31m", "\x01", "\x1f", "\x7f", "\xc2\x80", "\xc2\x85", "\xc2\x9b", "\xc2\x9f"};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (is_clean(rows[i], strlen(rows[i]))) {
            print_error("accepted row %zu\n", i);
            fail();
        }
        /* Control characters are no fault of the encoding. */
        struct span copy = exact_copy(rows[i], strlen(rows[i]));
        assert_true(text_is_utf8(copy.data, copy.size) == (i >= 24));
        exact_free(copy);
    }
    assert_false(is_clean("\0", 1));
    assert_true(text_is_utf8((const uint8_t *) "\0", 1));
}

static void distances(void **state)
{
    (void) state;
    static const struct {
        const char *a, *b;
        unsigned distance;
    } rows[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"a", "a", 0},
        {"a", "b", 1},
        {"ab", "ba", 1},
        {"kitten", "sitting", 3},
        {"saturday", "sunday", 3},
        {"flaw", "lawn", 2},
        {"abcd", "acbd", 1},
        {"abcdef", "bacdfe", 2},
        {"teh", "the", 1},
        {"lsit", "list", 1},
        {"stauts", "status", 1},
        {"ca", "abc", 3},
        {"--jion", "--join", 1},
        {"intention", "execution", 5},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_int_equal(text_distance(rows[i].a, rows[i].b), rows[i].distance);
        assert_int_equal(text_distance(rows[i].b, rows[i].a), rows[i].distance);
    }
}

static void long_words_are_cut(void **state)
{
    (void) state;
    char a[200], b[200];
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    a[sizeof a - 1] = b[sizeof b - 1] = '\0';
    assert_int_equal(text_distance(a, b), 63);
    assert_int_equal(text_distance(a, a), 0);
    assert_int_equal(text_distance(a, ""), 63);
    a[63] = '\0';
    assert_int_equal(text_distance(a, b), 63);
}

static void nearest_word(void **state)
{
    (void) state;
    static const char *const words[] = {"status", "nodes",   "events",  "rtt", "leave",
                                        "token",  "metrics", "version", NULL};
    static const char *const none[] = {NULL};
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"status", "status"}, {"stats", "status"},   {"node", "nodes"},      {"noeds", "nodes"},
        {"rt", "rtt"},        {"metrik", "metrics"}, {"verison", "version"}, {"deploy", NULL},
        {"", NULL},           {"x", NULL},           {"xyz", NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const char *word = text_nearest(rows[i].text, words);
        if (rows[i].word == NULL) {
            assert_null(word);
        } else {
            assert_non_null(word);
            assert_string_equal(word, rows[i].word);
        }
        assert_null(text_nearest(rows[i].text, none));
    }
}

static void ties_go_to_the_first(void **state)
{
    (void) state;
    static const char *const words[] = {"abcx", "abcy", "abcz", NULL};
    assert_ptr_equal(text_nearest("abc", words), words[0]);
    assert_ptr_equal(text_nearest("abcz", words), words[2]);
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } rows[] = {
        {"500ms", 500}, {"5s", 5000},     {"5", 5000},          {"2m", 120000}, {"2min", 120000},
        {"3h", 10800000}, {"7d", 604800000}, {"8d", 0},           {"", 0},        {"s", 0},
        {"5 s", 0},     {"-5s", 0},       {"5sec", 0},          {"1.5s", 0},    {"99999999999999999999d", 0},
        {"604800001ms", 0}, {"604800s", 604800000},
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint64_t ms = 0;
        int rc = text_to_ms(rows[i].text, 604800000, &ms);
        if (ms != rows[i].ms || (rc == HM_OK) != (rows[i].ms > 0)) {
            print_error("\"%s\"\n", rows[i].text);
        }
        assert_true(ms == rows[i].ms);
        assert_true((rc == HM_OK) == (rows[i].ms > 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(copies_what_fits),
        cmocka_unit_test(copies_what_is_clean),
        cmocka_unit_test(hex_round_trip),
        cmocka_unit_test(hex_refuses),
        cmocka_unit_test(numbers),
        cmocka_unit_test(numbers_agree_with_arithmetic),
        cmocka_unit_test(dns_labels),
        cmocka_unit_test(folds_host_names),
        cmocka_unit_test(folding_always_gives_a_label),
        cmocka_unit_test(utf8_well_formed),
        cmocka_unit_test(utf8_malformed),
        cmocka_unit_test(distances),
        cmocka_unit_test(long_words_are_cut),
        cmocka_unit_test(nearest_word),
        cmocka_unit_test(ties_go_to_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
