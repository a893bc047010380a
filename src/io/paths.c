/* SPDX-License-Identifier: MPL-2.0 */
/* Where a node's files are: see paths.h. Here are their names, and what a node makes known of
 * itself; paths_lock.c has the lock, paths_running.c what links lead to the nodes that run. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/text.h"
#include "io/file.h"
#include "io/paths_priv.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP_BYTES_MAX 65536 /* getgrnam's buffer: a group with all its members */

/* ---- names ----------------------------------------------------------------------------------- */

int paths_too_long(struct why *why, const char *path)
{
    return why_set(why, HM_EINVAL, "the path %.200s... is too long", path);
}

int paths_absolute(const char *path, char *to, size_t max, struct why *why)
{
    char cwd[PATHS_BYTES];
    if (path[0] == '/') {
        return text_copy(to, max, path) ? HM_OK : paths_too_long(why, path);
    }
    if (getcwd(cwd, sizeof cwd) == NULL) {
        return why_set(why, HM_EIO, "cannot tell the current directory: %s", strerror(errno));
    }
    return file_join(to, max, cwd, path) == 0 ? HM_OK : paths_too_long(why, path);
}

/* Follows links and takes out "." and "..", also where nothing is yet: one place has one name, by
 * which it can be compared, and what is above it is really above it. */
static int make_canonical(char *path, struct why *why)
{
    char out[PATHS_BYTES] = "/";
    char next[PATHS_BYTES];
    for (const char *at = path; *at != '\0';) {
        size_t len = strcspn(at, "/");
        if (len == 2 && at[0] == '.' && at[1] == '.') {
            char *slash = strrchr(out, '/');
            slash[slash == out ? 1 : 0] = '\0';
        } else if (len > 0 && !(len == 1 && at[0] == '.')) {
            int n = snprintf(next, sizeof next, "%s%s%.*s", out, out[1] == '\0' ? "" : "/",
                             (int) len, at);
            if (n < 0 || (size_t) n >= sizeof next) {
                return paths_too_long(why, path);
            }
            if (realpath(next, out) == NULL) {
                text_copy(out, sizeof out, next);
            }
        }
        at += len + (at[len] == '/' ? 1 : 0);
    }
    text_copy(path, PATHS_BYTES, out);
    return HM_OK;
}

static int home_dir(char *to, size_t max, struct why *why)
{
    const char *home = getenv("HOME");
    if (home == NULL || home[0] != '/') {
        const struct passwd *user = getpwuid(geteuid());
        home = user != NULL ? user->pw_dir : NULL;
    }
    if (home == NULL || home[0] != '/' || !text_copy(to, max, home)) {
        return why_set(
            why, HM_ENOTFOUND,
            "this user has no home directory: say where to keep things with --data-dir=D, "
            "or set XDG_STATE_HOME");
    }
    return HM_OK;
}

bool paths_given_dir(const char *variable, char *to, size_t max)
{
    const char *list = getenv(variable);
    size_t len = list != NULL && list[0] == '/' ? strcspn(list, ":") : 0;
    if (len == 0 || len >= max) {
        return false;
    }
    memcpy(to, list, len);
    to[len] = '\0';
    return true;
}

/* Where the directories of all meshes are. */
static int state_dir(char *to, size_t max, struct why *why)
{
    char home[PATHS_BYTES];
    const char *state = getenv("XDG_STATE_HOME");
    if (paths_given_dir("STATE_DIRECTORY", to, max)) {
        return HM_OK;
    }
    if (geteuid() == 0) {
        return text_copy(to, max, "/var/lib/meshd") ? HM_OK : HM_EINVAL;
    }
    if (state != NULL && state[0] == '/') {
        return file_join(to, max, state, "meshd") == 0 ? HM_OK : paths_too_long(why, state);
    }
    int rc = home_dir(home, sizeof home, why);
    if (rc == HM_OK && file_join(to, max, home, ".local/state/meshd") != 0) {
        rc = paths_too_long(why, home);
    }
    return rc;
}

/* dir/name into to; the first failure sticks. */
static void join_into(char *to, const char *dir, const char *name, int *rc, struct why *why)
{
    if (*rc == HM_OK && file_join(to, PATHS_BYTES, dir, name) != 0) {
        *rc = paths_too_long(why, dir);
    }
}

/* The ring lies one level above D, so nodes whose directories are side by side share it. */
static int ring_path(struct paths *paths, struct why *why)
{
    char above[PATHS_BYTES];
    text_copy(above, sizeof above, paths->data_dir);
    char *slash = strrchr(above, '/');
    HM_ASSERT(slash != NULL);
    slash[slash == above ? 1 : 0] = '\0';
    return file_join(paths->ring, PATHS_BYTES, above, "key") == 0 ? HM_OK
                                                                  : paths_too_long(why, above);
}

static int find_group(struct paths *paths, const char *name, struct why *why)
{
    struct group group;
    struct group *found = NULL;
    char *members = malloc(GROUP_BYTES_MAX);
    if (members == NULL) {
        return why_set(why, HM_ENOMEM, "out of memory");
    }
    int error = getgrnam_r(name, &group, members, GROUP_BYTES_MAX, &found);
    if (found != NULL) {
        paths->has_group = true;
        paths->group = group.gr_gid;
    }
    free(members);
    if (found == NULL) {
        return why_set(why, HM_ENOTFOUND,
                       "--group=%s: %s; name a group of this machine, e.g. one made with "
                       "`addgroup --system %s`",
                       name, error != 0 ? strerror(error) : "there is no such group", name);
    }
    return HM_OK;
}

int paths_init(struct paths *paths, const struct conf *conf, struct why *why)
{
    char state[PATHS_BYTES] = "";
    int rc = HM_OK;
    memset(paths, 0, sizeof *paths);
    paths->lock_fd = paths->dir_fd = -1;
    if (conf->group[0] != '\0' && (rc = find_group(paths, conf->group, why)) != HM_OK) {
        return rc;
    }
    if (conf->data_dir[0] != '\0') {
        rc = paths_absolute(conf->data_dir, paths->data_dir, PATHS_BYTES, why);
    } else {
        rc = state_dir(state, sizeof state, why);
        join_into(paths->mesh_dir, state, conf->mesh, &rc, why);
        join_into(paths->data_dir, paths->mesh_dir, conf->name, &rc, why);
    }
    rc = rc != HM_OK ? rc : make_canonical(paths->data_dir, why);
    if (rc != HM_OK) {
        return rc;
    }
    if (conf->key_file[0] != '\0') {
        rc = paths_absolute(conf->key_file, paths->ring, PATHS_BYTES, why);
    } else {
        rc = ring_path(paths, why);
    }
    rc = rc != HM_OK ? rc : make_canonical(paths->ring, why);
    if (conf->socket[0] != '\0') {
        rc =
            rc != HM_OK ? rc : paths_absolute(conf->socket, paths->wanted_socket, PATHS_BYTES, why);
    }
    join_into(paths->identity, paths->data_dir, "identity", &rc, why);
    join_into(paths->store_dir, paths->data_dir, "store", &rc, why);
    join_into(paths->lock, paths->data_dir, "lock", &rc, why);
    join_into(paths->socket, paths->data_dir, "meshd.sock", &rc, why);
    return rc;
}

/* ---- what others need to find and reach it --------------------------------------------------- */

/* A link ".ID" beside ours to the directory of --socket, and the way through it. The dot keeps it
 * from being taken for a node's; what a killed meshd left is made anew by the same node. */
static int shorten_wanted(struct paths *paths, struct why *why)
{
    char dir[PATHS_BYTES];
    const char *name = strrchr(paths->wanted_socket, '/') + 1;
    const char *slash = strrchr(paths->runtime_link, '/');
    int n = snprintf(paths->socket_link, PATHS_BYTES, "%.*s/.%s",
                     (int) (slash - paths->runtime_link), paths->runtime_link, slash + 1);
    if (n < 0 || n >= PATHS_BYTES) {
        paths->socket_link[0] = '\0';
        return paths_too_long(why, paths->runtime_link);
    }
    snprintf(dir, sizeof dir, "%.*s", (int) (name - paths->wanted_socket), paths->wanted_socket);
    (void) unlink(paths->socket_link);
    if (symlink(dir, paths->socket_link) != 0) {
        return why_set(why, HM_EIO, "cannot make the link %s: %s", paths->socket_link,
                       strerror(errno));
    }
    int rc = HM_OK;
    join_into(paths->socket, paths->socket_link, name, &rc, why);
    return rc;
}

/* A way to the socket that fits into a sockaddr_un: itself, or through the runtime directory. */
static int choose_socket(struct paths *paths, struct why *why)
{
    int rc = HM_OK;
    bool is_wanted = paths->wanted_socket[0] != '\0';
    const char *real = is_wanted ? paths->wanted_socket : paths->socket;
    if (strlen(real) <= PATHS_SOCKET_BYTES_MAX) {
        text_copy(paths->socket, sizeof paths->socket, real);
        return HM_OK;
    }
    if (paths->runtime_link[0] == '\0') {
        *why = paths->unfindable;
        return HM_EIO;
    }
    if (is_wanted) {
        rc = shorten_wanted(paths, why);
    } else {
        join_into(paths->socket, paths->runtime_link, "meshd.sock", &rc, why);
    }
    if (rc == HM_OK && strlen(paths->socket) > PATHS_SOCKET_BYTES_MAX) {
        rc = why_set(why, HM_EINVAL,
                     "the socket's path %.200s has more than %d bytes: give a shorter "
                     "one with --socket=S",
                     paths->socket, PATHS_SOCKET_BYTES_MAX);
    }
    return rc;
}

int paths_publish(struct paths *paths, const struct node_id *id, const struct conf *conf,
                  struct why *why)
{
    char id_text[NODE_ID_TEXT_BYTES];
    char text[LOCK_TEXT_BYTES_MAX];
    text_hex(id->b, NODE_ID_BYTES, id_text);
    (void) running_publish(paths->data_dir, id_text, paths->runtime_link, &paths->unfindable);
    int rc = choose_socket(paths, why);
    if (rc != HM_OK) {
        return rc;
    }
    snprintf(text, sizeof text, "pid %d\nmesh %s\nname %s\nid %s\nsocket %s\nkey %s\n",
             (int) getpid(), conf->mesh, conf->name, id_text, paths->socket, paths->ring);
    return lock_write(paths, text, why);
}

/* The group may do to path what mode says. */
static int let_in(const char *path, gid_t group, mode_t mode, struct why *why)
{
    if (chown(path, (uid_t) -1, group) == 0 && chmod(path, mode) == 0) {
        return HM_OK;
    }
    return why_set(why, errno == EPERM ? HM_EDENIED : HM_EIO,
                   "cannot open %s to the group %u (--group): %s; the user that runs meshd must "
                   "be a member of the group",
                   path, (unsigned) group, strerror(errno));
}

int paths_let_group_in(const struct paths *paths, struct why *why)
{
    if (!paths->has_group) {
        return HM_OK;
    }
    int rc = HM_OK;
    if (paths->mesh_dir[0] != '\0') {
        rc = let_in(paths->mesh_dir, paths->group, 0710, why);
    }
    rc = rc != HM_OK ? rc : let_in(paths->data_dir, paths->group, 0710, why);
    rc = rc != HM_OK ? rc : let_in(paths->lock, paths->group, 0640, why);
    return rc != HM_OK ? rc : let_in(paths->socket, paths->group, 0660, why);
}

void paths_fini(struct paths *paths)
{
    if (paths->socket_link[0] != '\0') {
        (void) unlink(paths->socket_link);
        paths->socket_link[0] = '\0';
    }
    if (paths->runtime_link[0] != '\0') {
        (void) unlink(paths->runtime_link);
        paths->runtime_link[0] = '\0';
    }
    lock_release(paths);
}
