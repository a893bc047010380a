/* SPDX-License-Identifier: MPL-2.0 */
/* A file system that has no O_DIRECT, when it is told to: as tmpfs was for long. Include after _GNU_SOURCE and unit.h. */
#ifndef HM_TESTS_UNIT_IO_NO_DIRECT_H
#define HM_TESTS_UNIT_IO_NO_DIRECT_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>

static _Atomic bool has_no_direct;      /* it cannot be opened so */
static _Atomic bool takes_no_direct;    /* it can, but not written */
static _Atomic unsigned direct_refused; /* so often */

/* The linker takes this one for libc's. */
int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    int (*open_it)(const char *, int, ...);
    *(void **) &open_it = dlsym(RTLD_NEXT, "open");
    if (has_no_direct && (flags & O_DIRECT) != 0) {
        direct_refused++;
        errno = EINVAL;
        return -1;
    }
    return open_it(path, flags, mode);
}

/* Before a write: true if it is to fail with EINVAL. */
static inline bool is_direct_refused(int fd)
{
    bool is_refused = takes_no_direct && (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
    direct_refused += is_refused;
    return is_refused;
}

#endif
