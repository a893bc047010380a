/* SPDX-License-Identifier: MPL-2.0 */
/* The configuration, shown: the text is itself a configuration file that says the same. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/text.h"
#include "io/conf_priv.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define VALUES_COLUMN 40 /* where the comments begin, if the value lets them */

const char *conf_source_text(const struct conf *conf, const struct option *option, char *text,
                             size_t max)
{
    const struct conf_origin *origin = &conf->origins[conf_option_index(option)];
    switch (origin->source) {
    case CONF_FROM_DEFAULT:
        text_copy(text, max, "default");
        break;
    case CONF_FROM_FILE:
        snprintf(text, max, "%s:%u", conf->file, origin->line);
        break;
    case CONF_FROM_VARIABLE:
        conf_env_name(option->name, text, max);
        break;
    case CONF_FROM_FLAG:
        snprintf(text, max, "--%s", option->name);
        break;
    }
    return text;
}

static const char *source_name(enum conf_source source)
{
    switch (source) {
    case CONF_FROM_DEFAULT:
        return "default";
    case CONF_FROM_FILE:
        return "file";
    case CONF_FROM_VARIABLE:
        return "variable";
    case CONF_FROM_FLAG:
        return "flag";
    }
    return "";
}

static bool is_shown(const struct option *option)
{
    return option->get != NULL && (option->traits & OPTION_NO_KEY) == 0;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* True if YAML takes it as it is, wherever it stands. */
static bool is_plain(const char *value)
{
    if (!isalnum((unsigned char) *value) && *value != '/') {
        return false;
    }
    for (const char *at = value; *at != '\0'; at++) {
        if (!isalnum((unsigned char) *at) && strchr("/._-", *at) == NULL) {
            return false;
        }
    }
    return strcmp(value, "null") != 0;
}

/* Values have no control characters (set_text saw to that), so two escapes do. */
static void put_scalar(FILE *line, const char *value)
{
    if (is_plain(value)) {
        fputs(value, line);
        return;
    }
    fputc('"', line);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\') {
            fputc('\\', line);
        }
        fputc(*value, line);
    }
    fputc('"', line);
}

static void put_item(FILE *line, const struct option *option, char *value)
{
    char *equals = option->kind == OPTION_MAP ? strchr(value, '=') : NULL;
    if (equals != NULL) {
        *equals = '\0';
        put_scalar(line, value);
        fputs(": ", line);
        put_scalar(line, equals + 1);
    } else {
        put_scalar(line, value);
    }
}

static void put_option(FILE *line, const struct conf *conf, const struct option *option)
{
    char value[CONF_VALUE_BYTES_MAX];
    bool is_set = option->get(conf, option, 0, value, sizeof value);
    if (!is_set || (option->traits & OPTION_SECRET) != 0) {
        fprintf(line, "# %s: %s", option->name, is_set ? "(not shown)" : "");
    } else if (option->kind == OPTION_LIST || option->kind == OPTION_MAP) {
        bool is_map = option->kind == OPTION_MAP;
        fprintf(line, "%s: %s", option->name, is_map ? "{" : "[");
        for (size_t i = 0; option->get(conf, option, i, value, sizeof value); i++) {
            fputs(i > 0 ? ", " : "", line);
            put_item(line, option, value);
        }
        fputs(is_map ? "}" : "]", line);
    } else {
        fprintf(line, "%s: ", option->name);
        put_scalar(line, value);
    }
}

static int print_option(FILE *to, const struct conf *conf, const struct option *option)
{
    char from[sizeof conf->file + 16];
    char *text = NULL;
    size_t size = 0;
    FILE *line = open_memstream(&text, &size);
    if (line == NULL) {
        return HM_ENOMEM;
    }
    put_option(line, conf, option);
    int rc = fclose(line) == 0 ? HM_OK : HM_ENOMEM;
    bool is_unset = text != NULL && text[0] == '#' &&
                    conf->origins[conf_option_index(option)].source == CONF_FROM_DEFAULT;
    if (rc == HM_OK) {
        fprintf(to, "%-*s # %s\n", VALUES_COLUMN, text,
                is_unset ? "not set" : conf_source_text(conf, option, from, sizeof from));
    }
    free(text);
    return rc;
}

int conf_print(FILE *to, const struct conf *conf)
{
    fprintf(to, "# %s\n", conf->file[0] != '\0' ? conf->file : "no configuration file was read");
    int rc = HM_OK;
    for (size_t i = 0; i < conf_option_count() && rc == HM_OK; i++) {
        if (is_shown(conf_option(i))) {
            rc = print_option(to, conf, conf_option(i));
        }
    }
    return rc == HM_OK && fflush(to) != 0 ? HM_EIO : rc;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *json_value(const struct conf *conf, const struct option *option)
{
    char value[CONF_VALUE_BYTES_MAX];
    bool is_set = option->get(conf, option, 0, value, sizeof value);
    if (option->kind == OPTION_SWITCH) {
        return json_boolean(strcmp(value, "true") == 0);
    }
    if (option->kind == OPTION_LIST || option->kind == OPTION_MAP) {
        json_t *all = option->kind == OPTION_MAP ? json_object() : json_array();
        for (size_t i = 0; option->get(conf, option, i, value, sizeof value); i++) {
            char *equals = option->kind == OPTION_MAP ? strchr(value, '=') : NULL;
            if (equals != NULL) {
                *equals = '\0';
                json_object_set_new(all, value, json_string(equals + 1));
            } else {
                json_array_append_new(all, json_string(value));
            }
        }
        return all;
    }
    return is_set && (option->traits & OPTION_SECRET) == 0 ? json_string(value) : json_null();
}

int conf_print_json(FILE *to, const struct conf *conf)
{
    char from[sizeof conf->file + 16];
    json_t *options = json_object();
    for (size_t i = 0; i < conf_option_count(); i++) {
        const struct option *option = conf_option(i);
        if (!is_shown(option)) {
            continue;
        }
        json_t *one = json_object();
        json_object_set_new(one, "value", json_value(conf, option));
        json_object_set_new(one, "source", json_string(source_name(conf->origins[i].source)));
        json_object_set_new(one, "from",
                            json_string(conf_source_text(conf, option, from, sizeof from)));
        json_object_set_new(options, option->name, one);
    }
    json_t *all = json_object();
    json_object_set_new(all, "file", conf->file[0] != '\0' ? json_string(conf->file) : json_null());
    json_object_set_new(all, "options", options);
    int rc = json_dumpf(all, to, JSON_INDENT(2)) == 0 && fputc('\n', to) != EOF ? HM_OK : HM_EIO;
    json_decref(all);
    return rc == HM_OK && fflush(to) != 0 ? HM_EIO : rc;
}
