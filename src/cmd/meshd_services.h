/* SPDX-License-Identifier: MPL-2.0 */
/* The files of services.d while meshd runs: looked at every few seconds, and on SIGHUP. */
#ifndef HM_CMD_MESHD_SERVICES_H
#define HM_CMD_MESHD_SERVICES_H

#include "io/conf.h"
#include "io/driver.h"
#include "io/log.h"
#include "io/svc_dir.h"

struct services_files {
    svc_dir_t *dir;
    driver_t *driver;
    const struct conf *conf;
    struct reactor_timer timer;
};

/* Reads them, and goes on looking. Without memory it does without, and says so. */
void services_files_start(struct services_files *s, driver_t *driver, const struct conf *conf,
                          log_t *log);
/* The configuration was read again: now these too. */
void services_files_reload(struct services_files *s);
/* What is wrong with them now; "": nothing. */
const char *services_files_error(const struct services_files *s);
void services_files_fini(struct services_files *s);

#endif
