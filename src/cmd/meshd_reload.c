/* SPDX-License-Identifier: MPL-2.0 */
/* meshd's configuration while it runs: see meshd_reload.h. */
#define _GNU_SOURCE
#include "cmd/meshd_reload.h"

#include "base/err.h"
#include "base/text.h"
#include "io/detect.h"
#include "io/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_BYTES 512 /* the names of all options, with commas */

size_t reload_joins(const struct conf *conf, const char *const *more, size_t more_count,
                    const char **ret_joins, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < conf->join_count && count < max; i++) {
        ret_joins[count++] = conf->join[i];
    }
    for (size_t i = 0; i < more_count && count < max; i++) {
        ret_joins[count++] = more[i];
    }
    return count;
}

static bool changes(const struct conf_change *all, size_t count, const char *option)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].option, option) == 0) {
            return true;
        }
    }
    return false;
}

static void append_name(char *names, size_t max, const char *name)
{
    size_t size = strlen(names);
    snprintf(names + size, max - size, "%s%s", size > 0 ? ", " : "", name);
}

/* One line for each change, then one for all of them. */
static void report(log_t *log, const struct conf_change *all, size_t count)
{
    char live[NAMES_BYTES] = "";
    char later[NAMES_BYTES] = "";
    for (size_t i = 0; i < count; i++) {
        const struct conf_change *c = &all[i];
        append_name(c->is_live ? live : later, NAMES_BYTES, c->option);
        log_line(log, c->is_live ? NOTE_INFO : NOTE_WARN,
                 LOG_FIELDS({"event", c->is_live ? "option-changed" : "restart-needed"},
                            {"option", c->option}, {"before", c->before}, {"after", c->after},
                            {"from", c->from}),
                 c->is_live ? "configuration changed: %s"
                            : "configuration: a new %s takes effect only after a restart",
                 c->option);
    }
    log_line(log, later[0] != '\0' ? NOTE_WARN : NOTE_INFO,
             LOG_FIELDS({"event", "configuration-read"}),
             "configuration read again; changed: %s; needs a restart: %s",
             live[0] != '\0' ? live : "nothing", later[0] != '\0' ? later : "nothing");
}

static void apply(const struct reload *r, const struct conf_change *all, size_t count)
{
    static struct detect detect; /* 25 KiB */
    const char *joins[RESOLVE_TARGETS_MAX];
    struct why why = {""};
    log_set_format(r->log, r->conf->log_format);
    if (changes(all, count, "join")) {
        size_t join_count =
            reload_joins(r->conf, r->more_joins, r->more_join_count, joins, RESOLVE_TARGETS_MAX);
        if (driver_set_joins(r->driver, joins, join_count, &why) != HM_OK) {
            log_line(r->log, NOTE_ERROR, NULL, "the addresses to join stay as they were: %s",
                     why.text);
        }
    }
    /* Always: what was detected may have changed too, a container engine installed, say. */
    detect_labels(r->conf, &detect);
    driver_set_labels(r->driver, detect.labels, detect.count);
}

void reload_config(const struct reload *r)
{
    struct conf_change all[CONF_OPTIONS_MAX];
    struct why why = {""};
    struct conf *fresh = malloc(sizeof *fresh);
    if (fresh == NULL) {
        log_line(r->log, NOTE_ERROR, NULL, "configuration not read again: out of memory");
        return;
    }
    if (conf_parse_again(r->argc, r->argv, environ, fresh, &why) != HM_OK) {
        *r->ret_error = why;
        log_line(r->log, NOTE_ERROR, LOG_FIELDS({"event", "configuration-wrong"}),
                 "configuration not changed, the old one stays: %s", why.text);
        free(fresh);
        return;
    }
    *r->ret_error = why;
    size_t count = conf_compare(r->conf, fresh, all);
    conf_take_over(r->conf, fresh);
    free(fresh);
    /* The lines are to be seen whether the level gets lower or higher. */
    if (log_wants(r->log, r->conf->log_level)) {
        report(r->log, all, count);
        log_set_level(r->log, r->conf->log_level);
    } else {
        log_set_level(r->log, r->conf->log_level);
        report(r->log, all, count);
    }
    apply(r, all, count);
}
