/* SPDX-License-Identifier: MPL-2.0 */
/* The log where stderr is systemd's journal: entries with fields arrive at the journal's socket;
 * without one, lines with syslog levels go to stderr. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/log.h"
#include "scratch.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WAIT_MS 5000

static char dir[SCRATCH_BYTES];
static char path[SCRATCH_BYTES];
static int journal = -1;
static int pipes[2]; /* stderr, as the journal gives it to us */

static void open_journal(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path, path, strlen(path));
    journal = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_true(journal >= 0);
    assert_int_equal(bind(journal, (const struct sockaddr *) &at, sizeof at), 0);
}

static int setup(void **state)
{
    (void) state;
    struct stat st;
    char stream[64];
    scratch_make(dir);
    scratch_path(dir, "socket", path);
    if (pipe(pipes) != 0 || fstat(pipes[1], &st) != 0) {
        return -1;
    }
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    unsetenv("JOURNAL_STREAM");
    if (journal >= 0) {
        close(journal);
    }
    journal = -1;
    close(pipes[0]);
    close(pipes[1]);
    scratch_remove(dir);
    return 0;
}

static log_t *open_log(enum log_format format)
{
    struct log_conf conf = {
        .fd = pipes[1], .format = format, .level = NOTE_INFO, .node = "nas1", .journal_path = path};
    log_t *log = log_new(&conf);
    assert_non_null(log);
    return log;
}

/* What comes there next, waiting for it; "" if nothing does. */
static const char *read_next(int fd, int wait_ms)
{
    static char text[16384];
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    ssize_t size = poll(&wait, 1, wait_ms) > 0 ? read(fd, text, sizeof text - 1) : 0;
    text[size > 0 ? size : 0] = '\0';
    return text;
}

static bool has_field(const char *entry, const char *field)
{
    size_t len = strlen(field);
    for (const char *at = strstr(entry, field); at != NULL; at = strstr(at + 1, field)) {
        if ((at == entry || at[-1] == '\n') && at[len] == '\n') {
            return true;
        }
    }
    print_error("%s is not in:\n%s", field, entry);
    return false;
}

static void fields_arrive(void **state)
{
    (void) state;
    open_journal();
    log_t *log = open_log(LOG_TEXT);
    log_line(log, NOTE_WARN, LOG_FIELDS({"addr", "10.0.0.1:8471"}, {"two-words", "a b"}),
             "cannot %s", "bind");
    const char *entry = read_next(journal, WAIT_MS);
    assert_true(has_field(entry, "MESSAGE=cannot bind addr=10.0.0.1:8471 two-words=\"a b\""));
    assert_true(has_field(entry, "PRIORITY=4"));
    assert_true(has_field(entry, "SYSLOG_IDENTIFIER=meshd"));
    assert_true(has_field(entry, "MESHD_NODE=nas1"));
    assert_true(has_field(entry, "MESHD_ADDR=10.0.0.1:8471"));
    assert_true(has_field(entry, "MESHD_TWO_WORDS=a b"));
    assert_int_equal(entry[strlen(entry) - 1], '\n');
    assert_string_equal(read_next(pipes[0], 0), "");
    struct note note = {.level = NOTE_ERROR, .code = NOTE_STORE_FAILED};
    log_note(log, &note);
    entry = read_next(journal, WAIT_MS);
    assert_true(has_field(entry, "PRIORITY=3"));
    assert_true(has_field(entry, "MESHD_EVENT=store-failed"));
    log_stranger(log, NOTE_INFO, "somebody", NULL, "hello");
    assert_true(has_field(read_next(journal, WAIT_MS), "MESHD_EVENT=somebody"));
    log_destroy(&log);
}

static void nothing_forges_a_field(void **state)
{
    (void) state;
    open_journal();
    log_t *log = open_log(LOG_TEXT);
    log_line(log, NOTE_INFO, LOG_FIELDS({"k=\nX", "v\nMESHD_EVENT=forged\n"}), "%s",
             "m\nPRIORITY=0\n\xff");
    const char *entry = read_next(journal, WAIT_MS);
    assert_true(has_field(entry, "PRIORITY=6"));
    assert_null(strstr(entry, "\nPRIORITY=0"));
    assert_null(strstr(entry, "\nMESHD_EVENT"));
    assert_true(has_field(entry, "MESHD_K__X=v\\nMESHD_EVENT=forged\\n"));
    log_destroy(&log);
}

static void long_values(void **state)
{
    (void) state;
    static char value[3 * LOG_LINE_BYTES_MAX];
    memset(value, 'x', sizeof value - 1);
    open_journal();
    log_t *log = open_log(LOG_TEXT);
    log_line(log, NOTE_INFO, LOG_FIELDS({"a", value}, {"b", value}, {"c", value}, {"d", "last"}),
             "%s", value);
    const char *entry = read_next(journal, WAIT_MS);
    assert_true(has_field(entry, "MESHD_D=last") || strlen(entry) > LOG_LINE_BYTES_MAX);
    assert_true(has_field(entry, "MESHD_NODE=nas1"));
    assert_int_equal(entry[strlen(entry) - 1], '\n');
    log_destroy(&log);
}

/* Through the thread and its ring, in order, and all of them. */
static void the_writer_keeps_entries_whole(void **state)
{
    (void) state;
    open_journal();
    log_t *log = open_log(LOG_TEXT);
    assert_int_equal(log_start(log), 0);
    for (int i = 0; i < 2000; i++) {
        char number[16];
        char message[32];
        snprintf(number, sizeof number, "%d", i);
        log_line(log, NOTE_INFO, LOG_FIELDS({"i", number}), "line");
        const char *entry = read_next(journal, WAIT_MS);
        snprintf(message, sizeof message, "MESHD_I=%d", i);
        assert_true(has_field(entry, message));
    }
    log_destroy(&log);
    assert_string_equal(read_next(pipes[0], 0), "");
}

static void without_a_socket_lines_have_levels(void **state)
{
    (void) state;
    log_t *log = open_log(LOG_TEXT);
    log_line(log, NOTE_WARN, LOG_FIELDS({"k", "v"}), "hello");
    assert_string_equal(read_next(pipes[0], WAIT_MS), "<4>nas1: hello k=v\n");
    assert_int_equal(log_start(log), 0);
    log_line(log, NOTE_ERROR, NULL, "through the thread");
    assert_string_equal(read_next(pipes[0], WAIT_MS), "<3>nas1: through the thread\n");
    /* It comes, and goes again. */
    open_journal();
    log_line(log, NOTE_INFO, NULL, "there");
    assert_true(has_field(read_next(journal, WAIT_MS), "MESSAGE=there"));
    close(journal);
    journal = -1;
    log_line(log, NOTE_INFO, NULL, "gone");
    assert_string_equal(read_next(pipes[0], WAIT_MS), "<6>nas1: gone\n");
    log_destroy(&log);
}

/* Who asked for JSON gets it; the format may change while lines wait. */
static void json_is_json(void **state)
{
    (void) state;
    open_journal();
    log_t *log = open_log(LOG_JSON);
    assert_int_equal(log_start(log), 0);
    log_line(log, NOTE_INFO, NULL, "hello");
    assert_non_null(strstr(read_next(pipes[0], WAIT_MS), "\"message\":\"hello\"}\n"));
    log_set_format(log, LOG_TEXT);
    log_line(log, NOTE_INFO, NULL, "text");
    assert_true(has_field(read_next(journal, WAIT_MS), "MESSAGE=text"));
    log_set_format(log, LOG_JSON);
    log_line(log, NOTE_INFO, NULL, "again");
    assert_non_null(strstr(read_next(pipes[0], WAIT_MS), "\"message\":\"again\"}\n"));
    log_set_level(log, NOTE_ERROR);
    log_line(log, NOTE_WARN, NULL, "not wanted");
    log_destroy(&log);
    assert_string_equal(read_next(pipes[0], 0), "");
}

/* A stderr that is no journal is left alone, whatever the variable says. */
static void another_stream(void **state)
{
    (void) state;
    open_journal();
    static const char *const others[] = {"1:1", "", "x", "99999999999999999999:1"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        setenv("JOURNAL_STREAM", others[i], 1);
        log_t *log = open_log(LOG_TEXT);
        log_line(log, NOTE_INFO, NULL, "hello");
        assert_non_null(strstr(read_next(pipes[0], WAIT_MS), "Z info  nas1: hello\n"));
        log_destroy(&log);
    }
    assert_string_equal(read_next(journal, 0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fields_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_forges_a_field, setup, teardown),
        cmocka_unit_test_setup_teardown(long_values, setup, teardown),
        cmocka_unit_test_setup_teardown(the_writer_keeps_entries_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_socket_lines_have_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(json_is_json, setup, teardown),
        cmocka_unit_test_setup_teardown(another_stream, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
