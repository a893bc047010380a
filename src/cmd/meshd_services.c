/* SPDX-License-Identifier: MPL-2.0 */
/* The files of services.d while meshd runs: see meshd_services.h. */
#define _GNU_SOURCE
#include "cmd/meshd_services.h"

#include "io/clock.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 2000  /* and up to as much as a quarter more: machines started together drift apart */
#define STIRS_MS 300  /* something has changed: the same once more, and it is taken */

static void look(struct services_files *s, bool now)
{
    char path[4096];
    conf_services_path(s->conf, environ, path, sizeof path);
    enum svc_dir_look seen = svc_dir_look(s->dir, path, now);
    if (seen == SVC_DIR_READ) {
        driver_set_services(s->driver, svc_dir_wanted(s->dir), svc_dir_kept(s->dir));
    }
    uint64_t wait_ms =
        seen == SVC_DIR_STIRS ? STIRS_MS : LOOK_MS + randombytes_uniform(LOOK_MS / 4);
    (void) driver_arm(s->driver, &s->timer, clock_boot_ns() + wait_ms * NS_PER_MS);
}

static void fire(void *ctx)
{
    look(ctx, false);
}

void services_files_start(struct services_files *s, driver_t *driver, const struct conf *conf,
                          log_t *log)
{
    memset(s, 0, sizeof *s);
    s->dir = svc_dir_new(log);
    s->driver = driver;
    s->conf = conf;
    s->timer.fire = fire;
    s->timer.ctx = s;
    if (s->dir == NULL) {
        log_line(log, NOTE_ERROR, NULL, "services.d is not read: out of memory");
        return;
    }
    look(s, true);
}

void services_files_reload(struct services_files *s)
{
    if (s->dir != NULL) {
        look(s, true);
    }
}

const char *services_files_error(const struct services_files *s)
{
    return s->dir != NULL ? svc_dir_error(s->dir) : "";
}

void services_files_fini(struct services_files *s)
{
    svc_dir_destroy(&s->dir);
}
