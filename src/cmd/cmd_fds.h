/* SPDX-License-Identifier: MPL-2.0 */
/* The first thing a program does. A standard descriptor that its caller has closed would be given to
 * the next file or socket that is opened, and what is printed would go there: a log line into the
 * store, an answer back to meshd. */
#ifndef HM_CMD_CMD_FDS_H
#define HM_CMD_CMD_FDS_H

#include <fcntl.h>
#include <unistd.h>

/* A closed one stays one that cannot be read or written (EBADF), but its number is taken. */
static inline void cmd_hold_fds(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

#endif
