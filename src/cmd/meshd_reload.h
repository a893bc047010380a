/* SPDX-License-Identifier: MPL-2.0 */
/* meshd's configuration while it runs: read again on SIGHUP. What can change at once does; the log
 * says each change, and each that needs a restart. A configuration that is wrong changes nothing. */
#ifndef HM_CMD_MESHD_RELOAD_H
#define HM_CMD_MESHD_RELOAD_H

#include "io/conf.h"
#include "io/driver.h"
#include "io/log.h"

#include <stddef.h>

struct reload {
    int argc; /* as meshd was started; tokens in it are wiped */
    char *const *argv;
    struct conf *conf; /* what is in force; changed */
    log_t *log;
    driver_t *driver;
    const char *const *more_joins; /* of a token */
    size_t more_join_count;
    struct why *ret_error; /* what was wrong with the file read last; "": nothing */
};

void reload_config(const struct reload *r);

/* The addresses to join: those configured, then `more`. Returns how many. */
size_t reload_joins(const struct conf *conf, const char *const *more, size_t more_count,
                    const char **ret_joins, size_t max);

#endif
