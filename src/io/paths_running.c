/* SPDX-License-Identifier: MPL-2.0 */
/* The nodes that run on this machine: see paths.h. The lock of a data directory says whether its
 * node runs; the links in the runtime directories only say where to look. A link is therefore never
 * trusted, and one that leads nowhere is swept away by the next node that starts. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/text.h"
#include "io/file.h"
#include "io/paths_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNTIME_DIRS_MAX 5
#define SYSTEM_RUNTIME_DIR "/run/meshd"
#define LINK_DIGITS 8 /* of the id; twice as many if that name is taken by a running node */
#define RUNTIME_LOCK ".lock"

/* ---- the runtime directories ----------------------------------------------------------------- */

struct runtime_dirs {
    size_t count;
    char dirs[RUNTIME_DIRS_MAX][PATHS_BYTES];
};

static void add_runtime_dir(struct runtime_dirs *all, const char *dir)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->dirs[i], dir) == 0) {
            return;
        }
    }
    HM_ASSERT(all->count < RUNTIME_DIRS_MAX);
    text_copy(all->dirs[all->count++], PATHS_BYTES, dir);
}

/* Where links of this user's nodes may be, best first. A meshd that was started without
 * XDG_RUNTIME_DIR (by cron, say) must still be found from a session that has it, and the other
 * way round. */
static void runtime_dirs(struct runtime_dirs *ret)
{
    char dir[PATHS_BYTES];
    const char *session = getenv("XDG_RUNTIME_DIR");
    ret->count = 0;
    if (paths_given_dir("RUNTIME_DIRECTORY", dir, sizeof dir)) {
        add_runtime_dir(ret, dir);
    }
    if (geteuid() != 0) {
        if (session != NULL && session[0] == '/' && strlen(session) < 64) {
            file_join(dir, sizeof dir, session, "meshd");
            add_runtime_dir(ret, dir);
        }
        snprintf(dir, sizeof dir, "/run/user/%u/meshd", (unsigned) geteuid());
        add_runtime_dir(ret, dir);
    }
    add_runtime_dir(ret, SYSTEM_RUNTIME_DIR);
    snprintf(dir, sizeof dir, "/tmp/meshd-%u", (unsigned) geteuid());
    add_runtime_dir(ret, dir);
}

/* True for a real directory that only its owner can write to. */
static bool is_guarded_dir(const char *path, struct stat *st)
{
    return lstat(path, st) == 0 && S_ISDIR(st->st_mode) && (st->st_mode & 022) == 0;
}

/* True for such a directory that is ours. */
static bool is_safe_dir(const char *path)
{
    struct stat st;
    return is_guarded_dir(path, &st) && st.st_uid == geteuid();
}

/* True if the links in it may be followed. */
static bool is_trusted_dir(const char *path)
{
    struct stat st;
    return is_guarded_dir(path, &st) &&
           (st.st_uid == geteuid() || strcmp(path, SYSTEM_RUNTIME_DIR) == 0);
}

/* The first runtime directory that can be had; made if need be, but not what is above it. */
static int runtime_dir(char *to, struct why *why)
{
    struct runtime_dirs all;
    runtime_dirs(&all);
    for (size_t i = 0; i < all.count; i++) {
        (void) mkdir(all.dirs[i], 0700);
        if (is_safe_dir(all.dirs[i])) {
            text_copy(to, PATHS_BYTES, all.dirs[i]);
            return HM_OK;
        }
    }
    return why_set(
        why, HM_EIO,
        "no directory for run-time files: neither %s nor %s can be made or is safe (owned "
        "by this user and writable for nobody else)",
        all.dirs[0], all.dirs[all.count - 1]);
}

/* Where a link of a runtime directory leads; false if it is no link of ours. */
static bool link_target(const char *dir, const char *name, char *target)
{
    char path[PATHS_BYTES];
    if (name[0] == '.' || file_join(path, sizeof path, dir, name) != 0) {
        return false;
    }
    ssize_t len = readlink(path, target, PATHS_BYTES);
    if (len <= 0 || len >= PATHS_BYTES) {
        return false;
    }
    target[len] = '\0';
    return target[0] == '/';
}

/* ---- publishing ------------------------------------------------------------------------------ */

/* True unless the lock of the data directory was seen and nobody holds it. */
static bool may_run(const char *data_dir)
{
    char lock[PATHS_BYTES];
    bool held;
    if (file_join(lock, sizeof lock, data_dir, "lock") != 0) {
        return false;
    }
    if (lock_look(lock, &held, NULL) != HM_OK) {
        return errno != ENOENT && errno != ENOTDIR && errno != ELOOP;
    }
    return held;
}

static void sweep(const char *dir)
{
    char target[PATHS_BYTES];
    char path[PATHS_BYTES];
    DIR *list = opendir(dir);
    if (list == NULL) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (link_target(dir, entry->d_name, target) && !may_run(target) &&
            file_join(path, sizeof path, dir, entry->d_name) == 0) {
            (void) unlink(path);
        }
    }
    closedir(list);
}

/* Links dir/ID8 to D, or dir/ID16 where another node has that name. */
static int make_link(const char *data_dir, const char *dir, const char *id,
                     char ret_link[PATHS_BYTES], struct why *why)
{
    char name[NODE_ID_TEXT_BYTES];
    char path[PATHS_BYTES];
    for (int digits = LINK_DIGITS; digits <= 2 * LINK_DIGITS; digits += LINK_DIGITS) {
        snprintf(name, sizeof name, "%.*s", digits, id);
        if (file_join(path, sizeof path, dir, name) != 0) {
            return paths_too_long(why, dir);
        }
        char target[PATHS_BYTES];
        bool ours = link_target(dir, name, target) && strcmp(target, data_dir) == 0;
        if (ours || symlink(data_dir, path) == 0) {
            text_copy(ret_link, PATHS_BYTES, path);
            return HM_OK;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return why_set(why, HM_EIO, "cannot make the link %s: %s", path, strerror(errno));
}

/* Sweeps and links under the directory's lock, so that no sweep removes a link just made. */
int running_publish(const char *data_dir, const char *id, char ret_link[PATHS_BYTES],
                    struct why *why)
{
    char dir[PATHS_BYTES];
    char lock[PATHS_BYTES];
    int rc = runtime_dir(dir, why);
    if (rc != HM_OK) {
        return rc;
    }
    int fd = file_join(lock, sizeof lock, dir, RUNTIME_LOCK) == 0
                 ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)
                 : -1;
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        rc = why_set(why, HM_EIO, "cannot lock %s: %s", lock, strerror(errno));
    } else {
        sweep(dir);
        rc = make_link(data_dir, dir, id, ret_link, why);
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

/* ---- finding --------------------------------------------------------------------------------- */

/* Why the lock cannot be read, by errno. */
static int node_unread(const char *data_dir, const char *lock, struct why *why)
{
    int error = errno;
    char identity[PATHS_BYTES];
    if (error == ENOENT && file_join(identity, sizeof identity, data_dir, "identity") == 0 &&
        access(identity, F_OK) == 0) {
        return why_set(why, HM_ESTALE,
                       "%s is gone, by which a meshd is found: restart the one that runs there, if any (`pgrep -a "
                       "meshd`); it makes a new one",
                       lock);
    }
    switch (errno = error) {
    case ENOENT:
    case ENOTDIR:
        return why_set(why, HM_ENOTFOUND, "no meshd has ever run on %s: cannot read %s: %s",
                       data_dir, lock, strerror(errno));
    case EACCES:
    case EPERM:
        return why_set(why, HM_EDENIED,
                       "cannot look into %s (%s): it belongs to another user; run meshctl as the "
                       "user of that meshd",
                       data_dir, strerror(errno));
    default:
        return why_set(why, HM_EIO, "cannot read %s: %s", lock, strerror(errno));
    }
}

static int node_read(const char *data_dir, struct paths_node *ret_node, struct why *why)
{
    char lock[PATHS_BYTES];
    char text[LOCK_TEXT_BYTES_MAX];
    char pid_text[16];
    uint64_t pid = 0;
    struct paths_node node;
    bool held;
    if (file_join(lock, sizeof lock, data_dir, "lock") != 0) {
        return paths_too_long(why, data_dir);
    }
    if (lock_look(lock, &held, text) != HM_OK) {
        return node_unread(data_dir, lock, why);
    }
    if (!held) {
        return why_set(why, HM_ENOTFOUND, "no meshd runs on the data directory %s", data_dir);
    }
    memset(&node, 0, sizeof node);
    text_copy(node.data_dir, sizeof node.data_dir, data_dir);
    lock_value(text, "pid", pid_text, sizeof pid_text);
    lock_value(text, "mesh", node.mesh, sizeof node.mesh);
    lock_value(text, "name", node.name, sizeof node.name);
    lock_value(text, "id", node.id, sizeof node.id);
    lock_value(text, "socket", node.socket, sizeof node.socket);
    lock_value(text, "key", node.ring, sizeof node.ring);
    node.pid = text_to_u64(pid_text, INT32_MAX, &pid) == 0 ? (pid_t) pid : 0;
    if (node.socket[0] == '\0') {
        return why_set(why, HM_EBUSY, "the meshd on %s (pid %d) is still starting; its log says what it does",
                       data_dir, (int) node.pid);
    }
    *ret_node = node;
    return HM_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct paths_node *x = a;
    const struct paths_node *y = b;
    int order = strcmp(x->mesh, y->mesh);
    order = order != 0 ? order : strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->data_dir, y->data_dir);
}

static bool is_listed(const struct paths_node *nodes, size_t count, const char *data_dir)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(nodes[i].data_dir, data_dir) == 0) {
            return true;
        }
    }
    return false;
}

static int find_in(const char *dir, struct paths_node **nodes, size_t *count)
{
    char target[PATHS_BYTES];
    struct paths_node node;
    int rc = HM_OK;
    DIR *list = is_trusted_dir(dir) ? opendir(dir) : NULL;
    if (list == NULL) {
        return HM_OK;
    }
    for (const struct dirent *entry;
         rc == HM_OK && *count < PATHS_NODES_MAX && (entry = readdir(list)) != NULL;) {
        if (!link_target(dir, entry->d_name, target) || is_listed(*nodes, *count, target) ||
            node_read(target, &node, NULL) != HM_OK) {
            continue;
        }
        struct paths_node *more = realloc(*nodes, (*count + 1) * sizeof node);
        if (more == NULL) {
            rc = HM_ENOMEM;
        } else {
            *nodes = more;
            more[(*count)++] = node;
        }
    }
    closedir(list);
    return rc;
}

int paths_find_nodes(struct paths_node **ret_nodes, size_t *ret_count)
{
    struct runtime_dirs all;
    struct paths_node *nodes = NULL;
    size_t count = 0;
    int rc = HM_OK;
    runtime_dirs(&all);
    for (size_t i = 0; i < all.count && rc == HM_OK; i++) {
        rc = find_in(all.dirs[i], &nodes, &count);
    }
    if (rc != HM_OK) {
        free(nodes);
        return rc;
    }
    if (count > 1) {
        qsort(nodes, count, sizeof *nodes, by_name);
    }
    *ret_nodes = nodes;
    *ret_count = count;
    return HM_OK;
}

/* True if this user may not even look at the lock there. */
static bool is_closed(const char *data_dir)
{
    char lock[PATHS_BYTES];
    bool held;
    return file_join(lock, sizeof lock, data_dir, "lock") == 0 &&
           lock_look(lock, &held, NULL) != HM_OK && errno == EACCES;
}

bool paths_find_closed(struct paths_closed *ret)
{
    struct stat st;
    bool found = false;
    char target[PATHS_BYTES];
    DIR *list = is_guarded_dir(SYSTEM_RUNTIME_DIR, &st) ? opendir(SYSTEM_RUNTIME_DIR) : NULL;
    if (list == NULL) {
        return false;
    }
    for (const struct dirent *entry; !found && (entry = readdir(list)) != NULL;) {
        found = link_target(SYSTEM_RUNTIME_DIR, entry->d_name, target) && is_closed(target);
    }
    closedir(list);
    if (found) {
        const struct group *group = getgrgid(st.st_gid);
        text_copy(ret->data_dir, sizeof ret->data_dir, target);
        if (group == NULL || st.st_gid == 0 ||
            !text_copy(ret->group, sizeof ret->group, group->gr_name)) {
            ret->group[0] = '\0';
        }
    }
    return found;
}

size_t paths_guess_dirs(char (*ret_dirs)[PATHS_BYTES], size_t max)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char patterns[2][PATHS_BYTES] = {"/var/lib/meshd/*/*/lock", ""};
    size_t count = 0;
    if (state != NULL && state[0] == '/') {
        snprintf(patterns[1], PATHS_BYTES, "%s/meshd/*/*/lock", state);
    } else if (home != NULL) {
        snprintf(patterns[1], PATHS_BYTES, "%s/.local/state/meshd/*/*/lock", home);
    }
    for (size_t i = 0; i < 2 && patterns[i][0] != '\0'; i++) {
        glob_t found;
        if (glob(patterns[i], 0, NULL, &found) == 0) {
            for (size_t k = 0; k < found.gl_pathc && count < max; k++) {
                text_copy(ret_dirs[count], PATHS_BYTES, found.gl_pathv[k]);
                *strrchr(ret_dirs[count++], '/') = '\0';
            }
            globfree(&found);
        }
    }
    return count;
}

int paths_node_at(const char *data_dir, struct paths_node *ret_node, struct why *why)
{
    char path[PATHS_BYTES];
    int rc = paths_absolute(data_dir, path, sizeof path, why);
    return rc != HM_OK ? rc : node_read(path, ret_node, why);
}
