/* SPDX-License-Identifier: MPL-2.0 */
/* What --join takes, and that the resolver reports again and again and ends when it is left. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/resolve.h"

#include <netdb.h>
#include <poll.h>
#include <unistd.h>

#define WAIT_MS 5000
#define BLOCKED "blocked.example"

static int blocked[2]; /* whoever asks for BLOCKED waits until its other end is closed */

/* The linker's --wrap puts ours in place of libc's. */
int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret);

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **ret)
{
    char none;
    if (strcmp(node, BLOCKED) == 0) {
        (void) !read(blocked[0], &none, 1);
        return EAI_AGAIN;
    }
    /* A machine without /etc/hosts does not know its own name for itself. */
    return __real_getaddrinfo(strcmp(node, "localhost") == 0 ? "127.0.0.1" : node, service, hints, ret);
}

static void test_targets(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        uint16_t port;
    } rows[] = {
        {"nas1", "nas1", 8471},
        {"nas1.lan:9000", "nas1.lan", 9000},
        {"my_host-2", "my_host-2", 8471},
        {"192.168.1.5", "192.168.1.5", 8471},
        {"192.168.1.5:1", "192.168.1.5", 1},
        {"::1", "::1", 8471},
        {"[fd00::1]:70", "fd00::1", 70},
        {"[fe80::1%eth0]:70", "fe80::1%eth0", 70},
        {"fe80::1%wlan0", "fe80::1%wlan0", 8471},
        {"dns+srv:_homemesh._udp.lab.example", "_homemesh._udp.lab.example", 8471},
        {"dns+srv:", NULL, 0},
        {"dns+srv:lab:80", NULL, 0},
        {"fd00::1%eth0", NULL, 0},
        {"fe80::1%", NULL, 0},
        {":", NULL, 0},
        {"a:b", NULL, 0},
        {"-a", NULL, 0},
        {".a", NULL, 0},
        {"1.2.3", NULL, 0},
        {"a/b", NULL, 0},
        {"[::1", NULL, 0},
        {"fe80::1%interface-name-of-17", NULL, 0},
        {"", NULL, 0},
        {":80", NULL, 0},
        {"nas1:", NULL, 0},
        {"nas1:0", NULL, 0},
        {"nas1:65536", NULL, 0},
        {"192.168.1.5:0", NULL, 0},
        {"nas1:80:90", NULL, 0},
        {"na s", NULL, 0},
        {"http://nas1", NULL, 0},
        {"[fd00::1", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct resolve_target t;
        int rc = resolve_target_read(rows[i].text, 8471, &t);
        if ((rc == HM_OK) != (rows[i].host != NULL)) {
            print_error("row %zu: \"%s\"\n", i, rows[i].text);
        }
        assert_int_equal(rc, rows[i].host != NULL ? HM_OK : HM_EMALFORMED);
        if (rc == HM_OK) {
            assert_string_equal(t.host, rows[i].host);
            assert_int_equal(t.port, rows[i].port);
        }
    }
    char endless[300];
    struct resolve_target t;
    memset(endless, 'a', sizeof endless - 1);
    endless[299] = '\0';
    assert_int_equal(resolve_target_read(endless, 1, &t), HM_EMALFORMED);
}

static void wait_report(resolve_t *r, struct resolve_report *ret)
{
    struct pollfd pfd = {resolve_fd(r), POLLIN, 0};
    while (resolve_take(r, ret) != HM_OK) {
        assert_true(poll(&pfd, 1, WAIT_MS) > 0);
    }
}

static void test_reports(void **state)
{
    (void) state;
    struct resolve_target targets[2];
    struct resolve_report report;
    resolve_t *r = NULL;
    assert_int_equal(resolve_target_read("10.1.2.3:99", 8471, &targets[0]), HM_OK);
    assert_int_equal(resolve_target_read("localhost", 8471, &targets[1]), HM_OK);
    assert_int_equal(resolve_new(targets, 2, &r), HM_OK);
    /* In any order: each is looked up by a thread of its own. */
    struct addr expected = addr_v4(10, 1, 2, 3, 99);
    bool has_loopback = false;
    bool has_numeric = false;
    bool has_again = false;
    for (int i = 0; i < 20 && !(has_loopback && has_again); i++) {
        wait_report(r, &report);
        has_loopback = has_loopback || (addr_is_loopback(&report.addr) && report.addr.port == 8471);
        has_again = has_again || (has_numeric && addr_eq(&report.addr, &expected));
        has_numeric = has_numeric || addr_eq(&report.addr, &expected);
    }
    assert_true(has_loopback);
    assert_true(has_again);
    resolve_destroy(&r);
    assert_null(r);
}

/* A name whose server never answers holds up nothing that was given after it. */
static void test_dead_name_first(void **state)
{
    (void) state;
    static const char *const texts[] = {BLOCKED, BLOCKED, "10.1.2.3:99", "localhost"};
    struct resolve_target targets[ARRAY_COUNT(texts)];
    struct resolve_report report;
    resolve_t *r = NULL;
    assert_int_equal(pipe(blocked), 0);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_int_equal(resolve_target_read(texts[i], 8471, &targets[i]), HM_OK);
    }
    assert_int_equal(resolve_new(targets, ARRAY_COUNT(texts), &r), HM_OK);
    struct addr expected = addr_v4(10, 1, 2, 3, 99);
    bool has_loopback = false;
    bool has_number = false;
    for (int i = 0; i < 20 && !(has_loopback && has_number); i++) {
        wait_report(r, &report);
        assert_string_not_equal(report.host, BLOCKED);
        has_loopback = has_loopback || addr_is_loopback(&report.addr);
        has_number = has_number || addr_eq(&report.addr, &expected);
    }
    assert_true(has_loopback);
    assert_true(has_number);
    resolve_destroy(&r);
    close(blocked[1]);
}

static void test_name_that_is_none(void **state)
{
    (void) state;
    struct resolve_target target;
    struct resolve_report report;
    resolve_t *r = NULL;
    assert_int_equal(resolve_target_read("no-such-host.invalid", 8471, &target), HM_OK);
    assert_int_equal(resolve_new(&target, 1, &r), HM_OK);
    wait_report(r, &report);
    assert_true(addr_is_none(&report.addr));
    assert_string_equal(report.host, "no-such-host.invalid");
    assert_true(report.error[0] != '\0');
    resolve_destroy(&r);
}

static void test_nothing_to_resolve(void **state)
{
    (void) state;
    struct resolve_report report;
    resolve_t *r = NULL;
    assert_int_equal(resolve_new(NULL, 0, &r), HM_OK);
    assert_null(r);
    assert_int_equal(resolve_fd(r), -1);
    assert_int_equal(resolve_take(r, &report), HM_ENOTFOUND);
    resolve_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_dead_name_first),
        cmocka_unit_test(test_name_that_is_none),
        cmocka_unit_test(test_nothing_to_resolve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
