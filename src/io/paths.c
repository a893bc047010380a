/* SPDX-License-Identifier: MPL-2.0 */
/* Where a node's files are: see paths.h.
 *
 * Locks are open file description locks, because they can be asked about without being taken:
 * meshctl and a sweep look at foreign lock files, and must never be what makes another meshd's
 * start fail. */
#define _GNU_SOURCE
#include "io/paths.h"

#include "base/err.h"
#include "base/text.h"
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_TEXT_BYTES_MAX 16384
#define RUNTIME_DIRS_MAX 5
#define SYSTEM_RUNTIME_DIR "/run/meshd"
#define GROUP_BYTES_MAX 65536 /* getgrnam's buffer: a group with all its members */
#define LINK_DIGITS 8         /* of the id; twice as many if that name is taken by a running node */
#define RUNTIME_LOCK ".lock"

/* ---- names ----------------------------------------------------------------------------------- */

static int too_long(struct why *why, const char *path)
{
    return why_set(why, HM_EINVAL, "the path %.200s... is too long", path);
}

/* Makes a path absolute (the process may change directory, and meshctl runs elsewhere). */
static int make_absolute(const char *path, char *to, size_t max, struct why *why)
{
    char cwd[PATHS_BYTES];
    if (path[0] == '/') {
        return text_copy(to, max, path) ? HM_OK : too_long(why, path);
    }
    if (getcwd(cwd, sizeof cwd) == NULL) {
        return why_set(why, HM_EIO, "cannot tell the current directory: %s", strerror(errno));
    }
    return file_join(to, max, cwd, path) == 0 ? HM_OK : too_long(why, path);
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
                return too_long(why, path);
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

/* The first of a list of directories that a service manager made for us; false if it made none. */
static bool given_dir(const char *variable, char *to, size_t max)
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
    if (given_dir("STATE_DIRECTORY", to, max)) {
        return HM_OK;
    }
    if (geteuid() == 0) {
        return text_copy(to, max, "/var/lib/meshd") ? HM_OK : HM_EINVAL;
    }
    if (state != NULL && state[0] == '/') {
        return file_join(to, max, state, "meshd") == 0 ? HM_OK : too_long(why, state);
    }
    int rc = home_dir(home, sizeof home, why);
    if (rc == HM_OK && file_join(to, max, home, ".local/state/meshd") != 0) {
        rc = too_long(why, home);
    }
    return rc;
}

/* dir/name into to; the first failure sticks. */
static void join_into(char *to, const char *dir, const char *name, int *rc, struct why *why)
{
    if (*rc == HM_OK && file_join(to, PATHS_BYTES, dir, name) != 0) {
        *rc = too_long(why, dir);
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
    return file_join(paths->ring, PATHS_BYTES, above, "key") == 0 ? HM_OK : too_long(why, above);
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
    paths->lock_fd = -1;
    if (conf->group[0] != '\0' && (rc = find_group(paths, conf->group, why)) != HM_OK) {
        return rc;
    }
    if (conf->data_dir[0] != '\0') {
        rc = make_absolute(conf->data_dir, paths->data_dir, PATHS_BYTES, why);
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
        rc = make_absolute(conf->key_file, paths->ring, PATHS_BYTES, why);
    } else {
        rc = ring_path(paths, why);
    }
    rc = rc != HM_OK ? rc : make_canonical(paths->ring, why);
    if (conf->socket[0] != '\0') {
        rc = rc != HM_OK ? rc : make_absolute(conf->socket, paths->wanted_socket, PATHS_BYTES, why);
    }
    join_into(paths->identity, paths->data_dir, "identity", &rc, why);
    join_into(paths->store_dir, paths->data_dir, "store", &rc, why);
    join_into(paths->lock, paths->data_dir, "lock", &rc, why);
    join_into(paths->socket, paths->data_dir, "meshd.sock", &rc, why);
    return rc;
}

/* ---- the lock -------------------------------------------------------------------------------- */

static struct flock whole_file(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

/* For looking only. What lies there may be another user's making: a pipe must not hold us up. */
static int open_lock_file(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

/* True if a process holds the lock of this open file. */
static bool is_held(int fd)
{
    struct flock lock = whole_file(F_WRLCK);
    /* Asking for a write lock needs no write access, unlike taking it. */
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* The value of "key value\n" in the lock file's text, or "". */
static void lock_value(const char *text, const char *key, char *to, size_t max)
{
    size_t key_len = strlen(key);
    to[0] = '\0';
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        if (len > key_len && strncmp(at, key, key_len) == 0 && at[key_len] == ' ' &&
            len - key_len - 1 < max) {
            memcpy(to, at + key_len + 1, len - key_len - 1);
            to[len - key_len - 1] = '\0';
            return;
        }
        at += len + (at[len] == '\n' ? 1 : 0);
    }
}

static int held_by_other(const struct paths *paths, struct why *why)
{
    char text[LOCK_TEXT_BYTES_MAX];
    char pid[16] = "";
    size_t size = 0;
    if (file_read(paths->lock, text, sizeof text, &size, NULL) == HM_OK) {
        lock_value(text, "pid", pid, sizeof pid);
    }
    return why_set(
        why, HM_EBUSY,
        "%s is in use by another meshd (pid %s): stop that one, or give this one a name or "
        "directory of its own with --name=N or --data-dir=D",
        paths->data_dir, pid[0] != '\0' ? pid : "not known yet");
}

static int lock_write(const struct paths *paths, const char *text, struct why *why)
{
    size_t size = strlen(text);
    if (ftruncate(paths->lock_fd, 0) != 0 ||
        pwrite(paths->lock_fd, text, size, 0) != (ssize_t) size) {
        return why_set(why, HM_EIO, "cannot write %s: %s", paths->lock,
                       errno != 0 ? strerror(errno) : "the disk is full");
    }
    return HM_OK;
}

/* The directory of the ring, but not what is above it: a mistyped --key-file shall not leave a tree of
 * directories, and then a key that nobody else has. */
static int make_parent(const char *path, struct why *why)
{
    char dir[PATHS_BYTES];
    struct stat st;
    text_copy(dir, sizeof dir, path);
    char *slash = strrchr(dir, '/');
    HM_ASSERT(slash != NULL);
    *slash = '\0';
    if (slash == dir || mkdir(dir, 0700) == 0 || (stat(dir, &st) == 0 && S_ISDIR(st.st_mode))) {
        return HM_OK;
    }
    return why_set(why, errno == EACCES ? HM_EDENIED : HM_EIO,
                   "cannot make the directory %s for the key ring: %s; make it, or name another "
                   "place with --key-file=F",
                   dir, strerror(errno));
}

int paths_lock(struct paths *paths, struct why *why)
{
    char text[64];
    int rc = file_make_dirs(paths->data_dir, why);
    if (rc == HM_OK) {
        rc = make_parent(paths->ring, why);
    }
    if (rc != HM_OK) {
        return rc;
    }
    int fd = open(paths->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return why_set(why, errno == EACCES ? HM_EDENIED : HM_EIO,
                       "cannot open %s: %s; the data directory must belong to this user",
                       paths->lock, strerror(errno));
    }
    struct flock lock = whole_file(F_WRLCK);
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        rc = errno == EAGAIN || errno == EACCES
                 ? held_by_other(paths, why)
                 : why_set(why, HM_EIO, "cannot lock %s: %s", paths->lock, strerror(errno));
        close(fd);
        return rc;
    }
    paths->lock_fd = fd;
    snprintf(text, sizeof text, "pid %d\n", (int) getpid());
    rc = lock_write(paths, text, why);
    if (rc != HM_OK) {
        close(fd);
        paths->lock_fd = -1;
    }
    return rc;
}

/* ---- the runtime directory ------------------------------------------------------------------- */

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
    if (given_dir("RUNTIME_DIRECTORY", dir, sizeof dir)) {
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

/* Why the lock cannot be read, by errno. */
static int node_unread(const char *data_dir, const char *lock, struct why *why)
{
    switch (errno) {
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
    if (file_join(lock, sizeof lock, data_dir, "lock") != 0) {
        return too_long(why, data_dir);
    }
    int fd = open_lock_file(lock);
    if (fd < 0) {
        return node_unread(data_dir, lock, why);
    }
    bool held = is_held(fd);
    ssize_t size = pread(fd, text, sizeof text - 1, 0);
    close(fd);
    if (!held) {
        return why_set(why, HM_ENOTFOUND, "no meshd runs on %s", data_dir);
    }
    text[size > 0 ? size : 0] = '\0';
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
        return why_set(why, HM_ENOTFOUND, "the meshd on %s (pid %d) is still starting", data_dir,
                       (int) node.pid);
    }
    *ret_node = node;
    return HM_OK;
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

/* True unless the lock of the data directory was seen and nobody holds it. */
static bool may_run(const char *data_dir)
{
    char lock[PATHS_BYTES];
    if (file_join(lock, sizeof lock, data_dir, "lock") != 0) {
        return false;
    }
    int fd = open_lock_file(lock);
    if (fd < 0) {
        return errno != ENOENT && errno != ENOTDIR && errno != ELOOP;
    }
    bool held = is_held(fd);
    close(fd);
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
static int make_link(struct paths *paths, const char *dir, const char *id, struct why *why)
{
    char name[NODE_ID_TEXT_BYTES];
    char path[PATHS_BYTES];
    for (int digits = LINK_DIGITS; digits <= 2 * LINK_DIGITS; digits += LINK_DIGITS) {
        snprintf(name, sizeof name, "%.*s", digits, id);
        if (file_join(path, sizeof path, dir, name) != 0) {
            return too_long(why, dir);
        }
        char target[PATHS_BYTES];
        bool ours = link_target(dir, name, target) && strcmp(target, paths->data_dir) == 0;
        if (ours || symlink(paths->data_dir, path) == 0) {
            text_copy(paths->runtime_link, sizeof paths->runtime_link, path);
            return HM_OK;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return why_set(why, HM_EIO, "cannot make the link %s: %s", path, strerror(errno));
}

/* Sweeps and links under the directory's lock, so that no sweep removes a link just made. */
static int publish_link(struct paths *paths, const char *id, struct why *why)
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
        rc = make_link(paths, dir, id, why);
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

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
        return too_long(why, paths->runtime_link);
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
    (void) publish_link(paths, id_text, &paths->unfindable);
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
    if (paths->lock_fd >= 0) {
        close(paths->lock_fd); /* ends the lock; the file stays, or two could hold "the" lock */
        paths->lock_fd = -1;
    }
}

/* ---- finding --------------------------------------------------------------------------------- */

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
    if (file_join(lock, sizeof lock, data_dir, "lock") != 0) {
        return false;
    }
    int fd = open_lock_file(lock);
    if (fd >= 0) {
        close(fd);
    }
    return fd < 0 && errno == EACCES;
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

int paths_node_at(const char *data_dir, struct paths_node *ret_node, struct why *why)
{
    char path[PATHS_BYTES];
    int rc = make_absolute(data_dir, path, sizeof path, why);
    return rc != HM_OK ? rc : node_read(path, ret_node, why);
}
