/* SPDX-License-Identifier: MPL-2.0 */
/* services.d: which files are read, when, and what a mistake leaves. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/svc_dir.h"
#include "scratch.h"
#include "wire/mpack.h"
#include "wire/svc_msg.h"

static char dir[SCRATCH_BYTES], path[SCRATCH_BYTES], log_path[SCRATCH_BYTES], log_text[8192];
static int log_fd;
static log_t *log_to;
static svc_dir_t *d;

static int set_up(void **state)
{
    (void) state;
    scratch_make(dir);
    scratch_path(dir, "log", log_path);
    log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    struct log_conf conf = {.fd = log_fd, .level = NOTE_INFO, .node = "n", .journal_path = ""};
    log_to = log_new(&conf);
    d = svc_dir_new(log_to);
    assert_non_null(d);
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    svc_dir_destroy(&d);
    log_destroy(&log_to);
    close(log_fd);
    scratch_remove(dir);
    return 0;
}

static void write_file(const char *name, const char *text)
{
    scratch_write(scratch_path(dir, name, path), text, strlen(text));
}

/* "id id" of what is wanted, a bar, the files that are kept. */
static const char *told(void)
{
    static char text[1024];
    struct mp_reader r;
    struct svc s;
    text[0] = '\0';
    for (mp_open(&r, svc_dir_wanted(d)); !mp_at_end(&r);) {
        assert_int_equal(svc_read(mp_read_bin(&r, HM_SERVICE_BYTES_MAX), &s), HM_OK);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s ", (int) s.id.size,
                 (const char *) s.id.data);
    }
    snprintf(text + strlen(text), sizeof text - strlen(text), "|");
    for (mp_open(&r, svc_dir_kept(d)); !mp_at_end(&r);) {
        struct span name = mp_read_str(&r, 200);
        snprintf(text + strlen(text), sizeof text - strlen(text), " %.*s", (int) name.size,
                 (const char *) name.data);
    }
    return text;
}

static bool is_logged(const char *says)
{
    scratch_read(log_path, log_text, sizeof log_text);
    return strstr(log_text, says) != NULL;
}

static void files_are_read_in_the_order_of_their_names(void **state)
{
    (void) state;
    write_file("b.yaml", "name: b\nport: 1\n");
    write_file("a.yml", "- {name: b, port: 2}\n- {name: c, port: 3}\n");
    write_file("c.yaml~", "not read");
    write_file(".d.yaml", "not read");
    write_file("README", "not read");
    assert_int_equal(svc_dir_look(d, dir, true), SVC_DIR_READ);
    assert_string_equal(told(), "b c b-1 |");
    assert_true(is_logged("services: 3 in 2 files"));
    assert_int_equal(svc_dir_look(d, dir, false), SVC_DIR_SAME);
    assert_int_equal(svc_dir_look(d, dir, true), SVC_DIR_READ);
}

/* Whoever writes a file may not be ready: a change is taken when it has been seen twice. */
static void a_change_is_taken_when_it_has_settled(void **state)
{
    (void) state;
    assert_int_equal(svc_dir_look(d, dir, true), SVC_DIR_READ);
    assert_string_equal(told(), "|");
    write_file("a.yaml", "name: a\n");
    assert_int_equal(svc_dir_look(d, dir, false), SVC_DIR_STIRS);
    write_file("a.yaml", "name: a\nport: 1\n");
    assert_int_equal(svc_dir_look(d, dir, false), SVC_DIR_STIRS);
    assert_int_equal(svc_dir_look(d, dir, false), SVC_DIR_READ);
    assert_string_equal(told(), "a |");
    remove(scratch_path(dir, "a.yaml", path));
    assert_int_equal(svc_dir_look(d, dir, false), SVC_DIR_STIRS);
    assert_int_equal(svc_dir_look(d, dir, false), SVC_DIR_READ);
    assert_string_equal(told(), "|");
    assert_int_equal(svc_dir_look(d, dir, false), SVC_DIR_SAME);
}

static void a_mistake_keeps_its_file(void **state)
{
    (void) state;
    write_file("a.yaml", "name: a\nport: 1\n");
    write_file("b.yaml", "name: b\nprot: 1\n");
    char longest[70000];
    memset(longest, '#', sizeof longest);
    scratch_write(scratch_path(dir, "c.yaml", path), longest, sizeof longest);
    assert_int_equal(svc_dir_look(d, dir, true), SVC_DIR_READ);
    assert_string_equal(told(), "a | b.yaml c.yaml");
    assert_true(is_logged("b.yaml:2:1: prot: no such key; did you mean port?"));
    assert_true(is_logged("what this file said before stays"));
    assert_non_null(strstr(svc_dir_error(d), "b.yaml:2:1: prot"));
    write_file("b.yaml", "name: b\nport: 1\n");
    remove(scratch_path(dir, "c.yaml", path));
    assert_int_equal(svc_dir_look(d, dir, true), SVC_DIR_READ);
    assert_string_equal(svc_dir_error(d), "");
}

static void write_numbered(unsigned number)
{
    char name[32], text[64];
    snprintf(name, sizeof name, "s%03u.yaml", number);
    snprintf(text, sizeof text, "name: s%03u\nport: 1\n", number);
    write_file(name, text);
}

static bool is_wanted(unsigned number)
{
    struct mp_reader r;
    struct svc s;
    char id[32];
    snprintf(id, sizeof id, "s%03u", number);
    for (mp_open(&r, svc_dir_wanted(d)); !mp_at_end(&r);) {
        assert_int_equal(svc_read(mp_read_bin(&r, HM_SERVICE_BYTES_MAX), &s), HM_OK);
        if (s.id.size == strlen(id) && memcmp(s.id.data, id, s.id.size) == 0) {
            return true;
        }
    }
    return false;
}

/* Of more files than are read it is those whose names come first, in whatever order the directory has them; and
 * it is said, also when they become too many later. */
static void of_too_many_files_the_first_are_read(void **state)
{
    (void) state;
    for (unsigned i = 0; i < SVC_DIR_FILES_MAX; i++) {
        write_numbered(i);
    }
    assert_int_equal(svc_dir_look(d, dir, true), SVC_DIR_READ);
    assert_true(is_wanted(0) && is_wanted(SVC_DIR_FILES_MAX - 1));
    assert_false(is_logged("are read:"));
    for (unsigned i = SVC_DIR_FILES_MAX; i < SVC_DIR_FILES_MAX + 100; i++) {
        write_numbered(i);
    }
    assert_int_equal(svc_dir_look(d, dir, false), SVC_DIR_STIRS);
    assert_int_equal(svc_dir_look(d, dir, false), SVC_DIR_READ);
    for (unsigned i = 0; i < SVC_DIR_FILES_MAX + 100; i++) {
        assert_true(is_wanted(i) == (i < SVC_DIR_FILES_MAX));
    }
    assert_true(is_logged("of 356 files of services only the first 256, by name, are read"));
    for (unsigned i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "s%03u.yaml", i);
        remove(scratch_path(dir, name, path));
    }
    assert_int_equal(svc_dir_look(d, dir, true), SVC_DIR_READ);
    assert_true(!is_wanted(99) && is_wanted(100) && is_wanted(SVC_DIR_FILES_MAX + 99));
}

static void what_is_not_there_says_nothing(void **state)
{
    (void) state;
    assert_int_equal(svc_dir_look(d, "", true), SVC_DIR_READ);
    assert_string_equal(told(), "|");
    assert_int_equal(svc_dir_look(d, scratch_path(dir, "none", path), false), SVC_DIR_STIRS);
    assert_int_equal(svc_dir_look(d, scratch_path(dir, "none", path), false), SVC_DIR_READ);
    assert_string_equal(told(), "|");
    scratch_read(log_path, log_text, sizeof log_text);
    assert_null(strstr(log_text, "cannot"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_read_in_the_order_of_their_names, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_change_is_taken_when_it_has_settled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mistake_keeps_its_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_too_many_files_the_first_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_says_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
