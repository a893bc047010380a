/* SPDX-License-Identifier: MPL-2.0 */
/* Tells the service manager how we are: see sdnotify.h. */
#define _GNU_SOURCE
#include "io/sdnotify.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_BYTES 512

/* "/path" or "@abstract", as sockaddr_un has them. */
static bool set_address(struct sdnotify *n, const char *path)
{
    size_t size = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || size < 2 || size >= sizeof n->to.sun_path) {
        return false;
    }
    memset(&n->to, 0, sizeof n->to);
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, path, size);
    if (path[0] == '@') {
        n->to.sun_path[0] = '\0';
    } else {
        size++; /* its end */
    }
    n->to_size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + size);
    return true;
}

void sdnotify_init(struct sdnotify *n, const char *path, const char *watchdog_usec,
                   const char *watchdog_pid, pid_t self)
{
    uint64_t pid = 0;
    uint64_t usec = 0;
    n->fd = -1;
    n->watchdog_ns = 0;
    if (path == NULL || !set_address(n, path)) {
        return;
    }
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_ours = watchdog_pid == NULL ||
                   (text_to_u64(watchdog_pid, INT32_MAX, &pid) == 0 && pid == (uint64_t) self);
    if (n->fd >= 0 && is_ours && watchdog_usec != NULL &&
        text_to_u64(watchdog_usec, UINT64_MAX / 1000, &usec) == 0) {
        n->watchdog_ns = usec * 1000;
    }
}

void sdnotify_init_from_environment(struct sdnotify *n)
{
    sdnotify_init(n, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"),
                  getpid());
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void sdnotify_fini(struct sdnotify *n)
{
    if (n->fd >= 0) {
        close(n->fd);
    }
    n->fd = -1;
}

bool sdnotify_is_on(const struct sdnotify *n)
{
    return n->fd >= 0;
}

static void tell(const struct sdnotify *n, const char *message)
{
    if (n->fd >= 0) {
        (void) sendto(n->fd, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT,
                      (const struct sockaddr *) &n->to, n->to_size);
    }
}

void sdnotify_extend(const struct sdnotify *n, uint64_t ns)
{
    char message[MESSAGE_BYTES];
    snprintf(message, sizeof message, "EXTEND_TIMEOUT_USEC=%" PRIu64, ns / 1000);
    tell(n, message);
}

void sdnotify_ready(const struct sdnotify *n)
{
    tell(n, "READY=1");
}

void sdnotify_reloading(const struct sdnotify *n)
{
    char message[MESSAGE_BYTES];
    struct timespec now;
    /* Type=notify-reload compares this with when it asked. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(message, sizeof message, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000);
    tell(n, message);
}

void sdnotify_stopping(const struct sdnotify *n)
{
    tell(n, "STOPPING=1");
}

void sdnotify_watchdog(const struct sdnotify *n)
{
    tell(n, "WATCHDOG=1");
}

void sdnotify_status(const struct sdnotify *n, const char *format, ...)
{
    char message[MESSAGE_BYTES] = "STATUS=";
    size_t size = strlen(message);
    va_list args;
    va_start(args, format);
    vsnprintf(message + size, sizeof message - size, format, args);
    va_end(args);
    for (char *at = message; *at != '\0'; at++) {
        *at = (unsigned char) *at < ' ' ? ' ' : *at; /* a line end would begin another variable */
    }
    tell(n, message);
}
