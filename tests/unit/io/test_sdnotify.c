/* SPDX-License-Identifier: MPL-2.0 */
/* What a service manager hears, on a real datagram socket, by path and by abstract name. */
#define _GNU_SOURCE
#include "../unit.h"

#include "io/sdnotify.h"
#include "scratch.h"

#include <stddef.h>
#include <stdlib.h>

static char dir[SCRATCH_BYTES];
static char path[SCRATCH_BYTES];
static int manager = -1;

static void listen_at(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t size = strlen(name);
    memcpy(at.sun_path, name, size);
    at.sun_path[0] = name[0] == '@' ? '\0' : name[0];
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(manager >= 0);
    assert_int_equal(bind(manager, (const struct sockaddr *) &at,
                          (socklen_t) (offsetof(struct sockaddr_un, sun_path) + size)),
                     0);
}

static const char *heard(void)
{
    static char text[1024];
    ssize_t size = recv(manager, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

static int setup(void **state)
{
    (void) state;
    scratch_make(dir);
    scratch_path(dir, "notify", path);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    if (manager >= 0) {
        close(manager);
    }
    manager = -1;
    scratch_remove(dir);
    return 0;
}

static void all_messages(void **state)
{
    (void) state;
    struct sdnotify n;
    listen_at(path);
    sdnotify_init(&n, path, "30000000", NULL, 7);
    assert_true(sdnotify_is_on(&n));
    assert_int_equal(n.watchdog_ns, 30000000000ULL);
    sdnotify_extend(&n, 60000000000ULL);
    assert_string_equal(heard(), "EXTEND_TIMEOUT_USEC=60000000");
    sdnotify_ready(&n);
    assert_string_equal(heard(), "READY=1");
    sdnotify_watchdog(&n);
    assert_string_equal(heard(), "WATCHDOG=1");
    sdnotify_reloading(&n);
    const char *text = heard();
    assert_int_equal(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    assert_true(strtoull(text + 27, NULL, 10) > 0);
    sdnotify_stopping(&n);
    assert_string_equal(heard(), "STOPPING=1");
    sdnotify_status(&n, "%d alive\nREADY=1", 3);
    assert_string_equal(heard(), "STATUS=3 alive READY=1");
    sdnotify_status(&n, "%0999d", 1);
    assert_true(strlen(heard()) < 600);
    sdnotify_fini(&n);
    sdnotify_ready(&n);
    assert_string_equal(heard(), "");
}

static void abstract_name(void **state)
{
    (void) state;
    struct sdnotify n;
    char name[64];
    snprintf(name, sizeof name, "@homemesh-test-%d", (int) getpid());
    listen_at(name);
    sdnotify_init(&n, name, NULL, NULL, 7);
    assert_int_equal(n.watchdog_ns, 0);
    sdnotify_ready(&n);
    assert_string_equal(heard(), "READY=1");
    sdnotify_fini(&n);
}

static void nobody_listens(void **state)
{
    (void) state;
    struct sdnotify n;
    char too_long[200];
    memset(too_long, '/', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    const char *const wrong[] = {NULL, "", "@", "/", "relative", too_long};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        sdnotify_init(&n, wrong[i], "1000", NULL, 7);
        assert_false(sdnotify_is_on(&n));
        assert_int_equal(n.watchdog_ns, 0);
        sdnotify_ready(&n);
        sdnotify_fini(&n);
    }
    /* The manager went away: nothing happens. */
    sdnotify_init(&n, path, NULL, NULL, 7);
    assert_true(sdnotify_is_on(&n));
    sdnotify_ready(&n);
    sdnotify_fini(&n);
}

/* A manager that does not read must not stop the loop. */
static void a_full_queue_does_not_block(void **state)
{
    (void) state;
    struct sdnotify n;
    listen_at(path);
    sdnotify_init(&n, path, NULL, NULL, 7);
    for (int i = 0; i < 5000; i++) {
        sdnotify_watchdog(&n);
    }
    assert_string_equal(heard(), "WATCHDOG=1");
    sdnotify_fini(&n);
}

static void whose_watchdog(void **state)
{
    (void) state;
    static const struct {
        const char *usec, *pid;
        uint64_t ns;
    } rows[] = {
        {"2000000", "7", 2000000000},
        {"2000000", "8", 0},
        {"2000000", "x", 0},
        {"x", "7", 0},
        {"0", NULL, 0},
        {NULL, "7", 0},
        {"-1", NULL, 0},
        {"", NULL, 0},
        {"99999999999999999999", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct sdnotify n;
        sdnotify_init(&n, path, rows[i].usec, rows[i].pid, 7);
        assert_int_equal(n.watchdog_ns, rows[i].ns);
        sdnotify_fini(&n);
    }
}

static void the_environment_is_taken(void **state)
{
    (void) state;
    struct sdnotify n;
    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "1000000", 1);
    sdnotify_init_from_environment(&n);
    assert_true(sdnotify_is_on(&n));
    assert_int_equal(n.watchdog_ns, 1000000000);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    sdnotify_fini(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(abstract_name, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_does_not_block, setup, teardown),
        cmocka_unit_test_setup_teardown(whose_watchdog, setup, teardown),
        cmocka_unit_test_setup_teardown(the_environment_is_taken, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
