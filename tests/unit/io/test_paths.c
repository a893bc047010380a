/* SPDX-License-Identifier: MPL-2.0 */
/* Where a node's files are, who holds the lock, and how running nodes are found. Tests run with
 * a home of their own; the runtime directory is root's or the user's, with an id of our own
 * making. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "base/text.h"
#include "io/file.h"
#include "io/paths.h"
#include "scratch.h"

#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[SCRATCH_BYTES];
static struct conf conf;
static struct paths paths;
static struct why why;

static int setup(void **state)
{
    (void) state;
    scratch_make(dir);
    memset(&conf, 0, sizeof conf);
    text_copy(conf.mesh, sizeof conf.mesh, "unit-test-mesh");
    text_copy(conf.name, sizeof conf.name, "nas1");
    scratch_path(dir, "d", conf.data_dir);
    scratch_path(dir, "keys/key", conf.key_file);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    scratch_remove(dir);
    return 0;
}

static struct node_id test_id(uint8_t last)
{
    struct node_id id;
    for (size_t i = 0; i < NODE_ID_BYTES; i++) {
        id.b[i] = (uint8_t) (getpid() >> (8 * (i % 4)));
    }
    id.b[NODE_ID_BYTES - 1] = last;
    return id;
}

static void names_follow_the_directory(void **state)
{
    (void) state;
    char expected[SCRATCH_BYTES];
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_string_equal(paths.data_dir, conf.data_dir);
    assert_string_equal(paths.identity, scratch_path(dir, "d/identity", expected));
    assert_string_equal(paths.socket, scratch_path(dir, "d/meshd.sock", expected));
    assert_string_equal(paths.ring, conf.key_file);
    conf.key_file[0] = '\0'; /* the ring is the mesh's, not the node's */
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_string_equal(paths.ring, scratch_path(dir, "key", expected));
    text_copy(conf.data_dir, sizeof conf.data_dir, "/top//");
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_string_equal(paths.ring, "/key");
    conf.data_dir[0] = '\0';
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_non_null(strstr(paths.ring, "/meshd/unit-test-mesh/key"));
    assert_non_null(strstr(paths.data_dir, "/meshd/unit-test-mesh/nas1"));
    text_copy(conf.data_dir, sizeof conf.data_dir, "relative");
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths.data_dir[0], '/');
}

/* "." is no name, and what is above a link is not where the link is. */
static void one_place_has_one_name(void **state)
{
    (void) state;
    char expected[SCRATCH_BYTES];
    char cwd[PATHS_BYTES];
    char inner[SCRATCH_BYTES];
    char link_path[SCRATCH_BYTES];
    conf.key_file[0] = '\0';
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(mkdir(scratch_path(dir, "mesh", inner), 0700), 0);
    assert_int_equal(mkdir(scratch_path(dir, "mesh/node", inner), 0700), 0);
    assert_int_equal(chdir(inner), 0);
    text_copy(conf.data_dir, sizeof conf.data_dir, ".");
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(chdir(cwd), 0);
    assert_string_equal(paths.data_dir, inner);
    assert_string_equal(paths.ring, scratch_path(dir, "mesh/key", expected));
    assert_int_equal(symlink(inner, scratch_path(dir, "to-node", link_path)), 0);
    const char *same[] = {"to-node", "mesh/./node//", "mesh/new/../node", "to-node/../node/."};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        scratch_path(dir, same[i], conf.data_dir);
        assert_int_equal(paths_init(&paths, &conf, &why), 0);
        assert_string_equal(paths.data_dir, inner);
        assert_string_equal(paths.ring, expected);
    }
    scratch_path(dir, "to-node/../key", conf.key_file);
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_string_equal(paths.ring, expected);
}

/* How many of the running nodes have this data directory; the last of them in *ret. */
static size_t find_node(const char *data_dir, struct paths_node *ret)
{
    struct paths_node *nodes = NULL;
    size_t count = 0;
    size_t found = 0;
    assert_int_equal(paths_find_nodes(&nodes, &count), 0);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(nodes[i].data_dir, data_dir) == 0) {
            *ret = nodes[i];
            found++;
        }
    }
    free(nodes);
    return found;
}

static void service_managers_say_where(void **state)
{
    (void) state;
    static struct paths_node node;
    struct node_id id = test_id(6);
    char state_dir[SCRATCH_BYTES];
    char run_dir[SCRATCH_BYTES];
    char expected[SCRATCH_BYTES];
    char list[2 * SCRATCH_BYTES];
    conf.data_dir[0] = '\0';
    conf.key_file[0] = '\0';
    scratch_path(dir, "state", state_dir);
    scratch_path(dir, "run", run_dir);
    snprintf(list, sizeof list, "%s:/elsewhere", state_dir);
    setenv("STATE_DIRECTORY", list, 1);
    setenv("RUNTIME_DIRECTORY", run_dir, 1);
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_string_equal(paths.data_dir, scratch_path(dir, "state/unit-test-mesh/nas1", expected));
    assert_string_equal(paths.ring, scratch_path(dir, "state/unit-test-mesh/key", expected));
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(paths_publish(&paths, &id, &conf, &why), 0);
    assert_int_equal(strncmp(paths.runtime_link, run_dir, strlen(run_dir)), 0);
    assert_int_equal(find_node(paths.data_dir, &node), 1);
    paths_fini(&paths);
    setenv("STATE_DIRECTORY", "relative", 1);
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths.data_dir[0], '/');
    assert_int_not_equal(strncmp(paths.data_dir, state_dir, strlen(state_dir)), 0);
    unsetenv("STATE_DIRECTORY");
    unsetenv("RUNTIME_DIRECTORY");
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void only_the_named_group_is_let_in(void **state)
{
    (void) state;
    struct node_id id = test_id(7);
    const struct group *group = getgrgid(getegid());
    if (group == NULL) {
        skip();
    }
    umask(077);
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(paths_publish(&paths, &id, &conf, &why), 0);
    scratch_write(paths.socket, "socket", 6);
    assert_int_equal(paths_let_group_in(&paths, &why), 0);
    assert_int_equal(mode_of(paths.socket), 0600);
    assert_int_equal(mode_of(paths.lock), 0600);
    assert_int_equal(mode_of(paths.data_dir), 0700);
    paths_fini(&paths);
    text_copy(conf.group, sizeof conf.group, group->gr_name);
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(paths_publish(&paths, &id, &conf, &why), 0);
    assert_int_equal(paths_let_group_in(&paths, &why), 0);
    assert_int_equal(mode_of(paths.socket), 0660);
    assert_int_equal(mode_of(paths.lock), 0640);
    assert_int_equal(mode_of(paths.data_dir), 0710);
    paths_fini(&paths);
    text_copy(conf.group, sizeof conf.group, "no-such-group-here");
    assert_int_equal(paths_init(&paths, &conf, &why), HM_ENOTFOUND);
    assert_non_null(strstr(why.text, "--group=no-such-group-here"));
}

static void too_long_is_said(void **state)
{
    (void) state;
    memset(conf.data_dir, 'x', sizeof conf.data_dir - 1);
    conf.data_dir[0] = '/';
    assert_int_equal(paths_init(&paths, &conf, &why), HM_EINVAL);
    text_copy(conf.data_dir, sizeof conf.data_dir, dir);
    /* A name alone that is too long: no short way leads to it. */
    struct node_id id = test_id(7);
    memset(conf.socket, 'y', PATHS_SOCKET_BYTES_MAX + 1);
    conf.socket[0] = '/';
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(paths_publish(&paths, &id, &conf, &why), HM_EINVAL);
    assert_non_null(strstr(why.text, "107"));
    paths_fini(&paths);
}

static void second_one_learns_the_pid(void **state)
{
    (void) state;
    static struct paths second;
    char pid[32];
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(paths_init(&second, &conf, &why), 0);
    assert_int_equal(paths_lock(&second, &why), HM_EBUSY);
    snprintf(pid, sizeof pid, "(pid %d)", (int) getpid());
    assert_non_null(strstr(why.text, pid));
    paths_fini(&second);
    paths_fini(&paths);
    assert_int_equal(paths_lock(&second, &why), 0);
    paths_fini(&second);
}

static void removing_the_lock_lets_nobody_in(void **state)
{
    (void) state;
    static struct paths second;
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(unlink(paths.lock), 0);
    assert_int_equal(paths_init(&second, &conf, &why), 0);
    assert_int_equal(paths_lock(&second, &why), HM_EBUSY);
    assert_non_null(strstr(why.text, "removed"));
    assert_int_equal(access(paths.lock, F_OK), -1); /* a lock file that nobody holds would say that nobody runs */
    assert_int_equal(second.lock_fd, -1);
    assert_int_equal(second.dir_fd, -1);
    paths_fini(&paths);
    assert_int_equal(paths_lock(&second, &why), 0);
    paths_fini(&second);
}

/* systemd-tmpfiles takes such a lock while it looks. */
static void a_lock_of_a_moment_is_waited_for(void **state)
{
    (void) state;
    const struct timespec a_moment = {.tv_nsec = 150000000};
    int ready[2];
    char byte;
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_lock(&paths, &why), 0); /* makes it */
    paths_fini(&paths);
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(conf.data_dir, O_RDONLY);
        byte = flock(fd, LOCK_EX) == 0 ? 'l' : 'e';
        (void) !write(ready[1], &byte, 1);
        nanosleep(&a_moment, NULL);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'l');
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(ready[0]);
    close(ready[1]);
    paths_fini(&paths);
}

static void lock_ends_with_its_process(void **state)
{
    (void) state;
    int status = 1;
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(paths_lock(&paths, NULL) == 0 ? 0 : 1); /* and dies holding it */
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    assert_int_equal(paths_lock(&paths, &why), 0);
    paths_fini(&paths);
}

static void unusable_directories_are_said(void **state)
{
    (void) state;
    char file[SCRATCH_BYTES];
    scratch_write(scratch_path(dir, "file", file), "x", 1);
    text_copy(conf.data_dir, sizeof conf.data_dir, file);
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_not_equal(paths_lock(&paths, &why), 0);
    assert_non_null(strstr(why.text, file));
    paths_fini(&paths);
}

static void running_nodes_are_found(void **state)
{
    (void) state;
    static struct paths_node node;
    struct node_id id = test_id(1);
    char id_text[NODE_ID_TEXT_BYTES];
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_node_at(conf.data_dir, &node, &why), HM_ENOTFOUND);
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(find_node(conf.data_dir, &node), 0);
    assert_int_equal(paths_node_at(conf.data_dir, &node, &why), HM_EBUSY); /* still starting */
    assert_int_equal(paths_publish(&paths, &id, &conf, &why), 0);
    assert_int_equal(find_node(conf.data_dir, &node), 1);
    assert_string_equal(node.mesh, "unit-test-mesh");
    assert_string_equal(node.name, "nas1");
    assert_string_equal(node.id, text_hex(id.b, NODE_ID_BYTES, id_text));
    assert_string_equal(node.socket, paths.socket);
    assert_string_equal(node.ring, conf.key_file);
    assert_int_equal(node.pid, getpid());
    assert_int_equal(paths_node_at(conf.data_dir, &node, &why), 0);
    paths_fini(&paths);
    assert_int_equal(find_node(conf.data_dir, &node), 0);
    assert_int_equal(paths_node_at(conf.data_dir, &node, &why), HM_ENOTFOUND);
}

static void two_nodes_may_begin_alike(void **state)
{
    (void) state;
    static struct paths second;
    static struct paths_node node;
    struct node_id id = test_id(2);
    struct node_id alike = id;
    char second_dir[SCRATCH_BYTES];
    alike.b[6] ^= 1; /* the first 8 digits are the same */
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(paths_publish(&paths, &id, &conf, &why), 0);
    text_copy(conf.data_dir, sizeof conf.data_dir, scratch_path(dir, "e", second_dir));
    assert_int_equal(paths_init(&second, &conf, &why), 0);
    assert_int_equal(paths_lock(&second, &why), 0);
    assert_int_equal(paths_publish(&second, &alike, &conf, &why), 0);
    assert_int_equal(find_node(paths.data_dir, &node), 1);
    assert_int_equal(find_node(second.data_dir, &node), 1);
    paths_fini(&second);
    assert_int_equal(find_node(paths.data_dir, &node), 1);
    paths_fini(&paths);
}

static void stale_links_are_swept(void **state)
{
    (void) state;
    static struct paths_node node;
    struct node_id id = test_id(3);
    struct stat st;
    char stale[PATHS_BYTES];
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(paths_publish(&paths, &id, &conf, &why), 0);
    text_copy(stale, sizeof stale, paths.runtime_link);
    close(paths.lock_fd); /* as if killed */
    close(paths.dir_fd);
    paths.lock_fd = paths.dir_fd = -1;
    assert_int_equal(lstat(stale, &st), 0);
    assert_int_equal(find_node(conf.data_dir, &node), 0);
    static struct paths second;
    char second_dir[SCRATCH_BYTES];
    text_copy(conf.data_dir, sizeof conf.data_dir, scratch_path(dir, "e", second_dir));
    struct node_id other = test_id(4);
    other.b[0] ^= 0x55;
    assert_int_equal(paths_init(&second, &conf, &why), 0);
    assert_int_equal(paths_lock(&second, &why), 0);
    assert_int_equal(paths_publish(&second, &other, &conf, &why), 0);
    assert_int_not_equal(lstat(stale, &st), 0);
    paths_fini(&second);
}

static void long_sockets_get_a_short_way(void **state)
{
    (void) state;
    struct node_id id = test_id(5);
    char long_name[160];
    char long_dir[SCRATCH_BYTES];
    memset(long_name, 'l', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    text_copy(conf.data_dir, sizeof conf.data_dir, scratch_path(dir, long_name, long_dir));
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(paths_publish(&paths, &id, &conf, &why), 0);
    assert_true(strlen(paths.socket) <= PATHS_SOCKET_BYTES_MAX);
    scratch_write(paths.socket, "here", 4); /* through the link into D */
    char real[PATHS_BYTES + 16];
    snprintf(real, sizeof real, "%s/meshd.sock", conf.data_dir);
    assert_int_equal(access(real, F_OK), 0);
    paths_fini(&paths);
    /* The same for --socket. */
    assert_int_equal(file_join(conf.socket, sizeof conf.socket, conf.data_dir, "other.sock"), 0);
    assert_int_equal(paths_init(&paths, &conf, &why), 0);
    assert_int_equal(paths_lock(&paths, &why), 0);
    assert_int_equal(paths_publish(&paths, &id, &conf, &why), 0);
    assert_true(strlen(paths.socket) <= PATHS_SOCKET_BYTES_MAX);
    scratch_write(paths.socket, "here", 4);
    assert_int_equal(access(conf.socket, F_OK), 0);
    char left[PATHS_BYTES];
    text_copy(left, sizeof left, paths.socket_link);
    paths_fini(&paths);
    assert_int_not_equal(access(left, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_follow_the_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(one_place_has_one_name, setup, teardown),
        cmocka_unit_test_setup_teardown(service_managers_say_where, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_named_group_is_let_in, setup, teardown),
        cmocka_unit_test_setup_teardown(too_long_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(second_one_learns_the_pid, setup, teardown),
        cmocka_unit_test_setup_teardown(removing_the_lock_lets_nobody_in, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lock_of_a_moment_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(lock_ends_with_its_process, setup, teardown),
        cmocka_unit_test_setup_teardown(unusable_directories_are_said, setup, teardown),
        cmocka_unit_test_setup_teardown(running_nodes_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(two_nodes_may_begin_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(stale_links_are_swept, setup, teardown),
        cmocka_unit_test_setup_teardown(long_sockets_get_a_short_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
