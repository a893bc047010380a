/* SPDX-License-Identifier: MPL-2.0 */
/* meshd as a service: tells systemd when it is ready, how many members there are, and, from the node
 * loop, that it is alive. A loop that hangs is thus restarted. */
#ifndef HM_CMD_MESHD_SERVICE_H
#define HM_CMD_MESHD_SERVICE_H

#include "io/driver.h"
#include "io/sdnotify.h"

struct service {
    struct sdnotify notify;
    driver_t *driver;
    struct reactor_timer timer;
    uint64_t watchdog_at_ns; /* TIMER_NEVER: no watchdog */
    uint64_t status_at_ns;   /* TIMER_NEVER: nothing new to say */
    uint64_t told_ns;        /* when the status was told last */
    char status[256];        /* as told */
};

/* At the start, before any child process. */
void service_init(struct service *s);
/* The start goes on, with what the text says: it is not to be given up for another minute. */
void service_starting(struct service *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The node runs: ready, and from now on watched. */
void service_started(struct service *s, driver_t *driver);
void service_reloading(struct service *s);
void service_reloaded(struct service *s);
void service_stopping(struct service *s);
void service_fini(struct service *s);

#endif
