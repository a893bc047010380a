/* SPDX-License-Identifier: MPL-2.0 */
/* A directory of a test's own, and small files in it. Include after _GNU_SOURCE and unit.h. */
#ifndef HM_TESTS_UNIT_IO_SCRATCH_H
#define HM_TESTS_UNIT_IO_SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRATCH_BYTES 512

static inline void scratch_make(char dir[SCRATCH_BYTES])
{
    snprintf(dir, SCRATCH_BYTES, "/tmp/homemesh-unit-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int flag,
                                     struct FTW *walk)
{
    (void) st;
    (void) flag;
    (void) walk;
    return remove(path);
}

static inline void scratch_remove(const char *dir)
{
    assert_int_equal(nftw(dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline const char *scratch_path(const char *dir, const char *name, char to[SCRATCH_BYTES])
{
    int len = snprintf(to, SCRATCH_BYTES, "%s/%s", dir, name);
    assert_true(len > 0 && len < SCRATCH_BYTES);
    return to;
}

static inline void scratch_write(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), (ssize_t) size);
    close(fd);
}

/* Reads at most max-1 bytes, ends them with NUL. */
static inline size_t scratch_read(const char *path, char *to, size_t max)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t size = read(fd, to, max - 1);
    assert_true(size >= 0);
    close(fd);
    to[size] = '\0';
    return (size_t) size;
}

#endif
