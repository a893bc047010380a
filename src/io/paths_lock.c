/* SPDX-License-Identifier: MPL-2.0 */
/* The lock of a data directory: see paths.h.
 *
 * Locks are open file description locks, because they can be asked about without being taken:
 * meshctl and a sweep look at foreign lock files, and must never be what makes another meshd's
 * start fail. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/text.h"
#include "io/file.h"
#include "io/paths_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIR_TRIES 10
#define DIR_AGAIN_NS 100000000

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

void lock_value(const char *text, const char *key, char *to, size_t max)
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

int lock_look(const char *lock, bool *ret_held, char *ret_text)
{
    int fd = open_lock_file(lock);
    if (fd < 0) {
        return HM_EIO;
    }
    *ret_held = is_held(fd);
    if (ret_text != NULL) {
        ssize_t size = pread(fd, ret_text, LOCK_TEXT_BYTES_MAX - 1, 0);
        ret_text[size > 0 ? size : 0] = '\0';
    }
    close(fd);
    return HM_OK;
}

static int held_by_other(const struct paths *paths, struct why *why)
{
    char text[LOCK_TEXT_BYTES_MAX];
    char pid[16] = "";
    bool held;
    if (lock_look(paths->lock, &held, text) == HM_OK) {
        lock_value(text, "pid", pid, sizeof pid);
    }
    return why_set(
        why, HM_EBUSY,
        "%s is in use by another meshd (pid %s): stop that one, or give this one a name or "
        "directory of its own with --name=N or --data-dir=D",
        paths->data_dir, pid[0] != '\0' ? pid : "not known yet");
}

int lock_write(const struct paths *paths, const char *text, struct why *why)
{
    size_t size = strlen(text);
    if (ftruncate(paths->lock_fd, 0) != 0 ||
        pwrite(paths->lock_fd, text, size, 0) != (ssize_t) size) {
        return why_set(why, HM_EIO, "cannot write %s: %s", paths->lock,
                       errno != 0 ? strerror(errno) : "the disk is full");
    }
    return HM_OK;
}

/* The directory is locked besides the file in it: who takes the file for stale removes it under a meshd that runs, and a
 * second one on the same store would write over the first one's journal. flock() is the only lock a directory has; a
 * file system without it leaves us with the file. Nothing is made here: a start that is refused must not leave a lock
 * file that nobody holds. Who locks it for a moment (systemd-tmpfiles; a meshd that is just being killed) is waited for. */
static int hold_directory(struct paths *paths, struct why *why)
{
    const struct timespec a_while = {.tv_nsec = DIR_AGAIN_NS};
    int fd = open(paths->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 ? errno : 0;
    for (int i = 0; error == EWOULDBLOCK && i < DIR_TRIES; i++) {
        bool held = false;
        if (lock_look(paths->lock, &held, NULL) == HM_OK && held) {
            close(fd);
            return held_by_other(paths, why);
        }
        nanosleep(&a_while, NULL);
        error = flock(fd, LOCK_EX | LOCK_NB) != 0 ? errno : 0;
    }
    if (fd >= 0 && error != 0) {
        close(fd);
        fd = -1;
    }
    paths->dir_fd = fd;
    return error != EWOULDBLOCK
               ? HM_OK
               : why_set(why, HM_EBUSY,
                         "%s is in use by another meshd, whose lock file was removed while it ran (or another program "
                         "has locked that directory): find it with `pgrep -a meshd` and stop it, or give this one a "
                         "name or directory of its own with --name=N or --data-dir=D",
                         paths->data_dir);
}

/* The directory of the ring, but not what is above it: a mistyped --key-file shall not leave a tree
 * of directories, and then a key that nobody else has. */
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

static int hold_file(struct paths *paths, struct why *why)
{
    struct flock lock = whole_file(F_WRLCK);
    paths->lock_fd = open(paths->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (paths->lock_fd < 0) {
        return why_set(why, errno == EACCES ? HM_EDENIED : HM_EIO,
                       "cannot open %s: %s; the data directory must belong to this user",
                       paths->lock, strerror(errno));
    }
    if (fcntl(paths->lock_fd, F_OFD_SETLK, &lock) == 0) {
        return HM_OK;
    }
    return errno == EAGAIN || errno == EACCES
               ? held_by_other(paths, why)
               : why_set(why, HM_EIO, "cannot lock %s: %s", paths->lock, strerror(errno));
}

int paths_lock(struct paths *paths, struct why *why)
{
    char text[64];
    int rc = file_make_dirs(paths->data_dir, why);
    if (rc == HM_OK) {
        rc = make_parent(paths->ring, why);
    }
    if (rc == HM_OK) {
        rc = hold_directory(paths, why);
    }
    if (rc == HM_OK) {
        rc = hold_file(paths, why);
    }
    if (rc == HM_OK) {
        snprintf(text, sizeof text, "pid %d\n", (int) getpid());
        rc = lock_write(paths, text, why);
    }
    if (rc != HM_OK) {
        lock_release(paths);
    }
    return rc;
}

void lock_release(struct paths *paths)
{
    int *fds[] = {&paths->dir_fd, &paths->lock_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (*fds[i] >= 0) {
            close(*fds[i]); /* ends the lock; the file stays, or two could hold "the" lock */
            *fds[i] = -1;
        }
    }
}
