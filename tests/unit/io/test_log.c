/* SPDX-License-Identifier: MPL-2.0 */
/* The log: what lines look like, that nothing in them can forge a line, that strangers cannot
 * flood it, and that a stuck stderr loses lines but never stops the caller. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int pipes[2];
static char out[LOG_RING_BYTES * 4];

static int setup(void **state)
{
    (void) state;
    unsetenv("JOURNAL_STREAM");
    return pipe(pipes);
}

static int teardown(void **state)
{
    (void) state;
    close(pipes[0]);
    close(pipes[1]);
    return 0;
}

static log_t *open_log(enum log_format format, enum note_level level)
{
    struct log_conf conf = {.fd = pipes[1], .format = format, .level = level, .node = "nas1"};
    log_t *log = log_new(&conf);
    assert_non_null(log);
    return log;
}

/* All that is in the pipe now. */
static const char *written(void)
{
    size_t size = 0;
    struct pollfd wait = {.fd = pipes[0], .events = POLLIN};
    while (poll(&wait, 1, 0) > 0 && (wait.revents & POLLIN) != 0 && size < sizeof out - 1) {
        ssize_t n = read(pipes[0], out + size, sizeof out - 1 - size);
        assert_true(n > 0);
        size += (size_t) n;
    }
    out[size] = '\0';
    return out;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += *text == '\n';
    }
    return count;
}

static void plain_text(void **state)
{
    (void) state;
    log_t *log = open_log(LOG_TEXT, NOTE_INFO);
    log_line(
        log, NOTE_WARN,
        LOG_FIELDS({"addr", "10.0.0.1:8471"}, {"why", "two words"}, {"none", NULL}, {"empty", ""}),
        "cannot bind \"%s\"", "it");
    log_line(log, NOTE_DEBUG, NULL, "not wanted");
    const char *text = written();
    assert_non_null(strstr(text,
                           "Z warn  nas1: cannot bind \"it\" addr=10.0.0.1:8471 why=\"two words\" "
                           "empty=\"\"\n"));
    assert_int_equal(count_lines(text), 1);
    assert_true(log_wants(log, NOTE_INFO));
    assert_false(log_wants(log, NOTE_DEBUG));
    assert_false(log_wants(NULL, NOTE_ERROR));
    log_line(NULL, NOTE_ERROR, NULL, "nowhere");
    log_destroy(&log);
    assert_null(log);
    log_destroy(&log);
}

static void json_lines(void **state)
{
    (void) state;
    log_t *log = open_log(LOG_JSON, NOTE_DEBUG);
    log_set_node(log, "nas2");
    log_line(log, NOTE_ERROR, LOG_FIELDS({"path", "/a\"b\\c\n\x01\xff\xc3\xa4"}), "a \"quote\"");
    const char *text = written();
    assert_memory_equal(text, "{\"time\":\"2", 10);
    assert_non_null(strstr(text,
                           "\"level\":\"error\",\"self\":\"nas2\",\"message\":\"a \\\"quote\\\"\","
                           "\"path\":\"/a\\\"b\\\\c\\n\\u0001\\u00ff\xc3\xa4\"}\n"));
    /* Counts are numbers; what else has digits is a text. */
    log_line(log, NOTE_INFO, LOG_FIELDS({"incarnation", "12"}, {"reason", "12"}, {"ms", "0x1"}), "n");
    assert_non_null(strstr(written(), "\"incarnation\":12,\"reason\":\"12\",\"ms\":\"0x1\"}\n"));
    log_destroy(&log);
}

static void nothing_forges_a_line(void **state)
{
    (void) state;
    log_t *log = open_log(LOG_TEXT, NOTE_DEBUG);
    log_line(log, NOTE_INFO, LOG_FIELDS({"name", "x\nerror forged\033[2J level=error"}), "from %s",
             "a\nb\r");
    const char *text = written();
    assert_int_equal(count_lines(text), 1);
    assert_null(strchr(text, '\033'));
    assert_non_null(strstr(text, "from a\\nb\\x0d name=\"x\\nerror forged\\x1b[2J level=error\""));
    log_destroy(&log);
}

static void long_lines_are_cut_and_stay_whole(void **state)
{
    (void) state;
    static char long_text[3 * LOG_LINE_BYTES_MAX];
    for (enum log_format format = LOG_TEXT; format <= LOG_JSON; format++) {
        log_t *log = open_log(format, NOTE_DEBUG);
        for (size_t size = LOG_LINE_BYTES_MAX - 300; size < LOG_LINE_BYTES_MAX + 10; size++) {
            static const char pattern[] = "a\n\xc3\xa4\"";
            for (size_t i = 0; i < size; i++) {
                long_text[i] = pattern[i % (sizeof pattern - 1)];
            }
            long_text[size] = '\0';
            log_line(log, NOTE_INFO, LOG_FIELDS({"k", long_text}, {"l", "v"}), "%s",
                     size % 2 == 0 ? long_text : "short");
            const char *text = written();
            assert_int_equal(count_lines(text), 1);
            assert_true(strlen(text) <= LOG_LINE_BYTES_MAX);
            if (format == LOG_JSON) {
                assert_string_equal(text + strlen(text) - 3, "\"}\n");
            }
        }
        log_destroy(&log);
    }
}

static void strangers_are_limited(void **state)
{
    (void) state;
    log_t *log = open_log(LOG_TEXT, NOTE_DEBUG);
    for (int i = 0; i < 1000; i++) {
        log_stranger(log, NOTE_WARN, "foreign", NULL, "a foreign thing %d", i);
        log_stranger(log, NOTE_WARN, "other", NULL, "another thing %d", i);
    }
    assert_int_equal(count_lines(written()), 2);
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        log_stranger(log, NOTE_WARN, key, NULL, "thing");
    }
    assert_true(count_lines(written()) <= LOG_LIMIT_KEYS);
    log_destroy(&log);
}

static void members_are_limited(void **state)
{
    (void) state;
    const struct timespec pause = {.tv_nsec = 200000000};
    log_t *log = open_log(LOG_TEXT, NOTE_DEBUG);
    struct note note = {.level = NOTE_WARN, .code = NOTE_MEMBER_SUSPECT, .name = "pi"};
    size_t lines = 0;
    for (int i = 0; i < 20000; i++) {
        log_note(log, &note);
        lines += i % 100 == 0 ? count_lines(written()) : 0;
    }
    lines += count_lines(written());
    assert_in_range(lines, LOG_MEMBER_LINES, LOG_MEMBER_LINES + 100 * LOG_MEMBER_LINES_PER_S);
    /* What this node does itself is always told; what was left out, with the next line. */
    note.code = NOTE_LEAVING;
    log_note(log, &note);
    assert_int_equal(count_lines(written()), 1);
    nanosleep(&pause, NULL);
    note.code = NOTE_MEMBER_FAILED;
    log_note(log, &note);
    assert_non_null(strstr(written(), "left_out="));
    log_destroy(&log);
}

static void writer_writes_all_in_order(void **state)
{
    (void) state;
    log_t *log = open_log(LOG_TEXT, NOTE_DEBUG);
    assert_int_equal(log_start(log), 0);
    for (int i = 0; i < 300; i++) {
        log_line(log, NOTE_INFO, NULL, "line %d.", i);
    }
    log_destroy(&log); /* waits for what is left */
    const char *text = written();
    assert_int_equal(count_lines(text), 300);
    const char *at = text;
    for (int i = 0; i < 300; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "line %d.", i);
        at = strstr(at, expected);
        assert_non_null(at);
    }
}

static void a_stuck_stderr_loses_lines_only(void **state)
{
    (void) state;
    struct timespec start, end;
    log_t *log = open_log(LOG_TEXT, NOTE_DEBUG);
    assert_int_equal(log_start(log), 0);
    clock_gettime(CLOCK_MONOTONIC, &start);
    int lines = 0;
    while (log_lost(log) < 50) { /* nobody reads the pipe */
        log_line(log, NOTE_INFO, NULL, "a line of some length that fills pipe and ring, number %d",
                 lines++);
        assert_true(lines < 100000);
    }
    log_destroy(&log);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - start.tv_sec < 5);
    assert_true(lines > 1000);
}

static void lost_lines_are_told(void **state)
{
    (void) state;
    log_t *log = open_log(LOG_JSON, NOTE_DEBUG);
    assert_int_equal(log_start(log), 0);
    while (log_lost(log) == 0) {
        log_line(log, NOTE_INFO, NULL, "a line of some length that fills pipe and ring");
    }
    bool told = false;
    for (int i = 0; i < 1000000 && !told; i++) {
        told =
            strstr(written(),
                   "\"message\":\"log lines were lost because nobody read them\",\"count\":") !=
            NULL;
        log_line(log, NOTE_INFO, NULL, "again");
    }
    assert_true(told);
    log_destroy(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_text, setup, teardown),
        cmocka_unit_test_setup_teardown(json_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_forges_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(long_lines_are_cut_and_stay_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(strangers_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(members_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(writer_writes_all_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stuck_stderr_loses_lines_only, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_lines_are_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
