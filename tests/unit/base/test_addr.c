/* SPDX-License-Identifier: MPL-2.0 */
/* Addresses: order, text forms of both families, and everything that is not an address. */
#include "../unit.h"

#include "base/addr.h"
#include "base/err.h"

static struct addr parsed(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(text, 8471, &a), HM_OK);
    return a;
}

static void formats(void **state)
{
    (void) state;
    /* What is read, what is written (RFC 5952), and the same without the port. */
    static const struct {
        const char *in, *out, *ip;
    } rows[] = {
        {"1.2.3.4", "1.2.3.4:8471", "1.2.3.4"},
        {"1.2.3.4:80", "1.2.3.4:80", "1.2.3.4"},
        {"1.2.3.4:0", "1.2.3.4:0", "1.2.3.4"},
        {"255.255.255.255:65535", "255.255.255.255:65535", "255.255.255.255"},
        {"0.0.0.0", "0.0.0.0:8471", "0.0.0.0"},
        {"::", "[::]:8471", "::"},
        {"[::]", "[::]:8471", "::"},
        {"[::]:1", "[::]:1", "::"},
        {"::1", "[::1]:8471", "::1"},
        {"[::1]:80", "[::1]:80", "::1"},
        {"FE80::1", "[fe80::1]:8471", "fe80::1"},
        {"2001:DB8:0:0:1:0:0:1", "[2001:db8::1:0:0:1]:8471", "2001:db8::1:0:0:1"},
        {"2001:0db8:0000:0000:0000:0000:0000:0001", "[2001:db8::1]:8471", "2001:db8::1"},
        {"2001:db8:0:1:1:1:1:1", "[2001:db8:0:1:1:1:1:1]:8471", "2001:db8:0:1:1:1:1:1"},
        {"::ffff:1.2.3.4", "[::ffff:1.2.3.4]:8471", "::ffff:1.2.3.4"},
        {"[::ffff:1.2.3.4]:9", "[::ffff:1.2.3.4]:9", "::ffff:1.2.3.4"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:8471",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char text[ADDR_TEXT_BYTES];
        struct addr a = parsed(rows[i].in);
        assert_string_equal(addr_format(&a, text), rows[i].out);
        struct addr again = parsed(text);
        assert_true(addr_eq(&a, &again));
        assert_string_equal(addr_format_ip(&a, text), rows[i].ip);
        again = parsed(text);
        assert_true(addr_same_ip(&a, &again));
        assert_int_equal(a.scope, 0);
    }
}

static void refuses(void **state)
{
    (void) state;
    static const char *const rows[] = {
        "",
        " ",
        ":",
        ":80",
        "[]",
        "[]:80",
        "[",
        "]",
        "[::1",
        "[::1]80",
        "[::1]:",
        "[::1]x",
        "::1]",
        "[::1]:65536",
        "[::1]:-1",
        "[::1]:+1",
        "[::1]: 1",
        "[::1]:1:1",
        "1.2.3.4:",
        "1.2.3.4:65536",
        "1.2.3.4:99999999999999999999",
        "1.2.3.4:0x50",
        "1.2.3.4:80 ",
        " 1.2.3.4",
        "1.2.3.4 ",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "0x1.2.3.4",
        "1",
        "[1.2.3.4]",
        "[1.2.3.4]:80",
        "localhost",
        "nas1:8471",
        "::1::",
        ":::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "12345::",
        "g::",
        "fe80::1%eth0",
        "[fe80::1%2]:80",
        "::ffff:1.2.3.456",
        "[[::1]]:80",
        "[::1]]:80",
        "1111111111111111111111111111111111111111111111111111111111111111111111111111111:80",
        "[1111111111111111111111111111111111111111111111111111111111111111111111111111111]:80",
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct addr a = addr_v4(9, 9, 9, 9, 9);
        if (addr_parse(rows[i], 8471, &a) != HM_EMALFORMED) {
            print_error("accepted: \"%s\"\n", rows[i]);
            fail();
        }
        assert_int_equal(a.port, 9); /* untouched */
    }
}

static void none_is_a_dash(void **state)
{
    (void) state;
    char text[ADDR_TEXT_BYTES];
    struct addr none = {0};
    assert_true(addr_is_none(&none));
    assert_string_equal(addr_format(&none, text), "-");
    assert_string_equal(addr_format_ip(&none, text), "-");
    struct addr a = addr_v4(1, 2, 3, 4, 5);
    assert_false(addr_is_none(&a));
}

static void order_is_total(void **state)
{
    (void) state;
    struct addr none = {0};
    struct addr scoped = parsed("[fe80::1]:1");
    scoped.scope = 2;
    /* Rising: family, ip, port, scope. */
    const struct addr rows[] = {
        none,
        parsed("1.2.3.4:1"),
        parsed("1.2.3.4:2"),
        parsed("1.2.3.5:1"),
        parsed("200.0.0.0:1"),
        parsed("[::]:65535"),
        parsed("[::1]:1"),
        parsed("[fe80::1]:1"),
        scoped,
        parsed("[fe80::1]:256"),
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        for (size_t j = 0; j < ARRAY_COUNT(rows); j++) {
            int order = addr_cmp(&rows[i], &rows[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
            assert_int_equal(addr_eq(&rows[i], &rows[j]), i == j);
        }
    }
    assert_true(addr_same_ip(&rows[1], &rows[2]));
    assert_false(addr_same_ip(&rows[2], &rows[3]));
    /* The same first bytes in another family are another host. */
    struct addr v6 = parsed("[102:304::]:1");
    assert_false(addr_same_ip(&rows[1], &v6));
}

static void loopback(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        bool is_loopback;
    } rows[] = {
        {"127.0.0.1", true},  {"127.255.255.254", true},
        {"126.0.0.1", false}, {"128.0.0.1", false},
        {"::1", true},        {"::2", false},
        {"::", false},        {"7f00::1", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct addr a = parsed(rows[i].text);
        assert_int_equal(addr_is_loopback(&a), rows[i].is_loopback);
    }
    struct addr none = {0};
    assert_false(addr_is_loopback(&none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),        cmocka_unit_test(refuses),
        cmocka_unit_test(none_is_a_dash), cmocka_unit_test(order_is_total),
        cmocka_unit_test(loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
