/* SPDX-License-Identifier: MPL-2.0 */
/* meshd as a service: see meshd_service.h. One timer serves the watchdog (at half of its time, as
 * sd_watchdog_enabled(3) advises) and the status, which is told at most once a second. */
#define _GNU_SOURCE
#include "cmd/meshd_service.h"

#include "base/err.h"
#include "io/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STATUS_NS (1000 * NS_PER_MS)
#define START_NS (60 * NS_PER_S) /* what comes after a step of the start takes less */

void service_init(struct service *s)
{
    memset(s, 0, sizeof *s);
    s->watchdog_at_ns = s->status_at_ns = TIMER_NEVER;
    sdnotify_init_from_environment(&s->notify);
}

static void arm(struct service *s)
{
    uint64_t at_ns = s->watchdog_at_ns < s->status_at_ns ? s->watchdog_at_ns : s->status_at_ns;
    if (at_ns == TIMER_NEVER) {
        driver_disarm(s->driver, &s->timer);
    } else {
        (void) driver_arm(s->driver, &s->timer, at_ns); /* out of memory: the next one arms it */
    }
}

static void put_count(char *text, size_t max, size_t count, const char *what)
{
    size_t size = strlen(text);
    if (count > 0) {
        snprintf(text + size, max - size, ", %zu %s", count, what);
    }
}

static void tell_status(struct service *s, uint64_t now_ns)
{
    char text[sizeof s->status];
    struct core_status is;
    driver_status(s->driver, &is);
    snprintf(text, sizeof text, "%s in mesh %s: %zu alive", is.name, is.mesh, is.alive);
    put_count(text, sizeof text, is.suspect, "suspect");
    put_count(text, sizeof text, is.failed, "failed");
    put_count(text, sizeof text, is.left, "left");
    s->status_at_ns = TIMER_NEVER;
    if (strcmp(text, s->status) != 0) {
        memcpy(s->status, text, sizeof text);
        s->told_ns = now_ns;
        sdnotify_status(&s->notify, "%s", text);
    }
}

static void fire(void *ctx)
{
    struct service *s = ctx;
    uint64_t now_ns = clock_boot_ns();
    if (s->watchdog_at_ns <= now_ns) {
        sdnotify_watchdog(&s->notify);
        s->watchdog_at_ns = now_ns + s->notify.watchdog_ns / 2;
    }
    if (s->status_at_ns <= now_ns) {
        tell_status(s, now_ns);
    }
    arm(s);
}

static void members_changed(void *ctx)
{
    struct service *s = ctx;
    uint64_t now_ns = clock_boot_ns();
    if (s->told_ns == 0 || now_ns - s->told_ns >= STATUS_NS) {
        tell_status(s, now_ns);
    } else if (s->status_at_ns == TIMER_NEVER) {
        s->status_at_ns = s->told_ns + STATUS_NS;
        arm(s);
    }
}

void service_starting(struct service *s, const char *format, ...)
{
    char text[sizeof s->status];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sdnotify_extend(&s->notify, START_NS);
    sdnotify_status(&s->notify, "%s", text);
}

void service_started(struct service *s, driver_t *driver)
{
    s->driver = driver;
    if (!sdnotify_is_on(&s->notify)) {
        return;
    }
    s->timer.fire = fire;
    s->timer.ctx = s;
    sdnotify_ready(&s->notify);
    if (s->notify.watchdog_ns > 0) {
        sdnotify_watchdog(&s->notify);
        s->watchdog_at_ns = clock_boot_ns() + s->notify.watchdog_ns / 2;
    }
    driver_on_members(driver, members_changed, s);
    members_changed(s);
    arm(s);
}

void service_reloading(struct service *s)
{
    sdnotify_reloading(&s->notify);
}

void service_reloaded(struct service *s)
{
    sdnotify_ready(&s->notify);
}

void service_stopping(struct service *s)
{
    sdnotify_stopping(&s->notify);
}

void service_fini(struct service *s)
{
    sdnotify_fini(&s->notify);
}
