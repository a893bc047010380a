/* SPDX-License-Identifier: MPL-2.0 */
/* Small files, whole or not at all: see file.h. Written beside under a name of its own, synced,
 * and then linked (never replaces) or renamed (replaces) to where it belongs; then the
 * directory is synced. */
#define _GNU_SOURCE
#include "io/file.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_PATH_BYTES 4200

static int failed(struct why *why, const char *doing, const char *path)
{
    int code = errno == EACCES || errno == EPERM ? HM_EDENIED : HM_EIO;
    const char *hint = errno == ENOSPC ? ": make room on that disk" : "";
    return why_set(why, code, "cannot %s %s: %s%s", doing, path, strerror(errno), hint);
}

static int read_all(int fd, char *text, size_t max, size_t *ret_size)
{
    size_t size = 0;
    while (size < max) {
        ssize_t n = read(fd, text + size, max - size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return HM_EIO;
        }
        if (n == 0) {
            break;
        }
        size += (size_t) n;
    }
    *ret_size = size;
    return HM_OK;
}

int file_read(const char *path, char *text, size_t max, size_t *ret_size, struct why *why)
{
    HM_ASSERT(max > 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        int missing = errno == ENOENT || errno == ENOTDIR;
        int rc = failed(why, "read", path);
        return missing ? HM_ENOTFOUND : rc;
    }
    struct stat st;
    size_t size = 0;
    int rc = HM_OK;
    if (fstat(fd, &st) != 0) {
        rc = failed(why, "read", path);
    } else if (!S_ISREG(st.st_mode)) {
        rc = why_set(why, HM_EIO, "cannot read %s: it is not a regular file", path);
    } else if (read_all(fd, text, max, &size) != 0) {
        rc = failed(why, "read", path);
    } else if (size == max) {
        rc = why_set(why, HM_EFULL, "%s is too long: at most %zu bytes are expected there", path,
                     max - 1);
    }
    close(fd);
    if (rc != 0) {
        return rc;
    }
    text[size] = '\0';
    *ret_size = size;
    return HM_OK;
}

static int write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return HM_EIO;
        }
        text += n;
        size -= (size_t) n;
    }
    return HM_OK;
}

static void sync_directory_of(const char *path)
{
    char dir[FILE_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash == NULL ? 1 : (int) (slash - path) + 1,
             slash == NULL ? "." : path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        /* Some file systems cannot sync a directory; the file itself is synced. */
        (void) fsync(fd);
        close(fd);
    }
}

/* Writes text to a new file beside path, whose name comes back in beside. */
static int write_beside(const char *path, const char *text, size_t size, char *beside, size_t max,
                        struct why *why)
{
    unsigned random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t) sizeof random) {
        return failed(why, "draw a random name for", path);
    }
    int len = snprintf(beside, max, "%s.%d-%08x.tmp", path, (int) getpid(), random);
    if (len < 0 || (size_t) len >= max) {
        return why_set(why, HM_EINVAL, "the path %s is too long", path);
    }
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return failed(why, "make", path);
    }
    int rc = HM_OK;
    if (write_all(fd, text, size) != 0 || fsync(fd) != 0) {
        rc = failed(why, "write", path);
    }
    if (close(fd) != 0 && rc == HM_OK) {
        rc = failed(why, "write", path);
    }
    if (rc != HM_OK) {
        unlink(beside);
    }
    return rc;
}

int file_create(const char *path, const char *text, size_t size, struct why *why)
{
    char beside[FILE_PATH_BYTES];
    int rc = write_beside(path, text, size, beside, sizeof beside, why);
    if (rc != 0) {
        return rc;
    }
    int done = link(beside, path);
    if (done != 0 && errno != EEXIST) {
        /* A file system without hard links (FAT, some FUSE): rename without replacing. */
        done = renameat2(AT_FDCWD, beside, AT_FDCWD, path, RENAME_NOREPLACE);
    }
    if (done != 0) {
        rc = errno == EEXIST ? why_set(why, HM_EEXIST, "%s is there already", path)
                             : failed(why, "make", path);
    }
    unlink(beside);
    sync_directory_of(path);
    return rc;
}

int file_replace(const char *path, const char *text, size_t size, struct why *why)
{
    char beside[FILE_PATH_BYTES];
    int rc = write_beside(path, text, size, beside, sizeof beside, why);
    if (rc != 0) {
        return rc;
    }
    if (rename(beside, path) != 0) {
        rc = failed(why, "replace", path);
        unlink(beside);
        return rc;
    }
    sync_directory_of(path);
    return HM_OK;
}

int file_make_dirs(const char *path, struct why *why)
{
    char part[FILE_PATH_BYTES];
    int len = snprintf(part, sizeof part, "%s", path);
    if (len <= 0 || (size_t) len >= sizeof part) {
        return why_set(why, HM_EINVAL, "the path %s is too long", path);
    }
    for (char *at = part + 1;; at++) {
        if (*at != '/' && *at != '\0') {
            continue;
        }
        char saved = *at;
        *at = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            struct stat st;
            /* A read-only parent that is there answers EROFS or EACCES, not EEXIST. */
            int saved_errno = errno;
            bool is_there = stat(part, &st) == 0 && S_ISDIR(st.st_mode);
            errno = saved_errno;
            if (!is_there) {
                return failed(why, "make the directory", part);
            }
        }
        if (saved == '\0') {
            break;
        }
        *at = saved;
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return why_set(why, HM_EIO, "%s is there but is not a directory", path);
    }
    return HM_OK;
}

bool file_is_exposed(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & 077) != 0;
}

bool file_is_foreign(const char *path)
{
    struct stat st;
    return geteuid() != 0 && stat(path, &st) == 0 && st.st_uid != geteuid() && st.st_uid != 0;
}

int file_join(char *path, size_t max, const char *dir, const char *name)
{
    size_t len = strlen(dir);
    const char *slash = len > 0 && dir[len - 1] == '/' ? "" : "/";
    int n = snprintf(path, max, "%s%s%s", dir, slash, name);
    return n < 0 || (size_t) n >= max ? HM_EINVAL : HM_OK;
}
