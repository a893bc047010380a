/* SPDX-License-Identifier: MPL-2.0 */
/* Tells the service manager how we are: sd_notify(3)'s protocol, one datagram per message, without
 * libsystemd. Where no manager asked (NOTIFY_SOCKET is not set) nothing happens. Never blocks: a
 * message that the manager's queue has no room for is lost and the next one says what matters. */
#ifndef HM_IO_SDNOTIFY_H
#define HM_IO_SDNOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct sdnotify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un to;
    socklen_t to_size;
    uint64_t watchdog_ns; /* 0: no watchdog; else the manager restarts us after so long a silence */
};

/* What a manager put into the environment; each may be NULL. path: NOTIFY_SOCKET, a path or an abstract name
 * ("@…"). watchdog_usec and watchdog_pid: WATCHDOG_USEC, WATCHDOG_PID; for another process than
 * `self` there is no watchdog. */
void sdnotify_init(struct sdnotify *n, const char *path, const char *watchdog_usec,
                   const char *watchdog_pid, pid_t self);
/* The same from the environment, and takes it out of there: children are not to speak for us. */
void sdnotify_init_from_environment(struct sdnotify *n);
void sdnotify_fini(struct sdnotify *n);

bool sdnotify_is_on(const struct sdnotify *n);

/* The start may take so much longer, from now on. */
void sdnotify_extend(const struct sdnotify *n, uint64_t ns);
void sdnotify_ready(const struct sdnotify *n);
void sdnotify_reloading(const struct sdnotify *n); /* to be followed by sdnotify_ready */
void sdnotify_stopping(const struct sdnotify *n);
void sdnotify_watchdog(const struct sdnotify *n);
/* One line for `systemctl status`. */
void sdnotify_status(const struct sdnotify *n, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
