/* SPDX-License-Identifier: MPL-2.0 */
/* The configuration's insides: the table of options and how a value reaches it. Shared by conf.c
 * (sources and their order), conf_options.c (the table), conf_yaml.c (the file), conf_print.c and
 * conf_reload.c. Nobody else includes this.
 *
 * Every option is one row. Its flag is --NAME, its variable MESHD_NAME, its key in the file NAME. */
#ifndef HM_IO_CONF_PRIV_H
#define HM_IO_CONF_PRIV_H

#include "io/conf.h"

#include <stdbool.h>
#include <stddef.h>

#define CONF_ENV_PREFIX "MESHD_"
#define CONF_NAME_BYTES_MAX 32    /* of an option */
#define CONF_VALUE_BYTES_MAX 4608 /* one value as text: a path, a token, KEY=VALUE */

struct option;

/* One value on its way into the configuration, and where it was said. */
struct given {
    enum conf_source from;
    const struct option *option; /* set by conf_set */
    const char *where;           /* "" or "/etc/meshd/meshd.yaml:3:7: " */
    const char *name;            /* "--bind", "MESHD_BIND" or "bind" */
    const char *between;         /* "=" or ": " */
    const char *value;
    struct why *why;
};

enum option_kind {
    OPTION_TEXT,
    OPTION_LIST,   /* may be repeated; commas in the environment */
    OPTION_MAP,    /* a list of KEY=VALUE */
    OPTION_SWITCH, /* true or false; the flag alone says true */
    OPTION_ACTION, /* a flag without a value: what meshd is to do instead of running */
};

#define OPTION_RELOADS 1u   /* a change is taken over at run time */
#define OPTION_FLAG_ONLY 2u /* neither variable nor key */
#define OPTION_NO_KEY 4u    /* flag and variable only */
#define OPTION_SECRET 8u    /* its value is never shown */

struct option {
    const char *name; /* without "--" */
    const char *arg;  /* NULL: takes none */
    enum option_kind kind;
    unsigned traits;
    int (*set)(struct conf *conf, const struct given *given);
    /* The idx-th value as the flag would say it; false: there is none. NULL: an action. */
    bool (*get)(const struct conf *conf, const struct option *option, size_t idx, char *text,
                size_t max);
    size_t at, size; /* of the field that holds a plain text */
    const char *help;
};

size_t conf_option_count(void);
const struct option *conf_option(size_t idx);
size_t conf_option_index(const struct option *option);
const struct option *conf_option_find(const char *name, size_t len); /* NULL: none */
/* The option that was meant, or NULL; only those without these traits. */
const char *conf_option_nearest(const char *name, unsigned without);

/* Sets one value, which a source says for the first time (is_first) or adds to a list. Remembers
 * the source and its line. HM_EINVAL and why. */
int conf_set(struct conf *conf, const struct option *option, bool is_first, unsigned line,
             const struct given *given);
/* The same for a text that holds a list's items with commas between. */
int conf_set_list(struct conf *conf, const struct option *option, bool is_first, unsigned line,
                  const struct given *given);
/* HM_EINVAL with "WHERE NAME=VALUE: expected". */
int conf_wrong(const struct given *given, const char *expected);

/* Where the option's value was said: "/etc/meshd/meshd.yaml:3", "MESHD_NAME", "--name" or
 * "default". Returns text. */
const char *conf_source_text(const struct conf *conf, const struct option *option, char *text,
                             size_t max);
/* The words of the sources: "--data-dir", "MESHD_DATA_DIR". */
void conf_env_name(const char *name, char *text, size_t max);

#endif
