/* SPDX-License-Identifier: MPL-2.0 */
/* The configuration file: see conf_yaml.h. */
#define _GNU_SOURCE
#include "io/conf_yaml.h"

#include "base/err.h"
#include "base/text.h"
#include "io/conf_priv.h"
#include "io/yaml.h"

#include <libfyaml.h>
#include <stdio.h>
#include <string.h>

struct conf_yaml {
    struct yaml y;
    bool without_token;
    unsigned seen_line[CONF_OPTIONS_MAX]; /* of each key so far; 0: not there */
    struct conf *conf;
};

/* ---- values ---------------------------------------------------------------------------------- */

/* Sets one text, which the current event is, as an option's value or one of its list. */
static int set_one(struct conf_yaml *c, const struct option *option, bool is_first, bool may_be_list,
                   const char *value)
{
    char where[sizeof c->conf->file + 32];
    struct given given = {
        CONF_FROM_FILE, option, where, option->name, ": ", value, c->y.why,
    };
    snprintf(where, sizeof where, "%s:%u:%u: ", c->y.file, c->y.line, c->y.column);
    if (c->without_token && (option->traits & OPTION_SECRET) != 0) {
        return HM_OK;
    }
    unsigned line = c->seen_line[conf_option_index(option)];
    return may_be_list ? conf_set_list(c->conf, option, is_first, line, &given)
                       : conf_set(c->conf, option, is_first, line, &given);
}

static int read_scalar(struct conf_yaml *c, const struct option *option)
{
    char text[CONF_VALUE_BYTES_MAX];
    bool is_null = false;
    bool is_list = option->kind == OPTION_LIST || option->kind == OPTION_MAP;
    int rc = yaml_scalar(&c->y, text, sizeof text, &is_null);
    if (rc != HM_OK) {
        return rc;
    }
    if (is_null) {
        return yaml_wrong(&c->y, "%s: a value is missing: %s: %s", option->name, option->name,
                          option->arg);
    }
    return set_one(c, option, true, is_list, text);
}

static int read_sequence(struct conf_yaml *c, const struct option *option)
{
    char text[CONF_VALUE_BYTES_MAX];
    bool is_null = false;
    if (option->kind != OPTION_LIST && option->kind != OPTION_MAP) {
        return yaml_wrong(&c->y, "%s: one value is expected, not a list: %s: %s", option->name,
                          option->name, option->arg);
    }
    for (bool is_first = true;; is_first = false) {
        int rc = yaml_next(&c->y);
        if (rc != HM_OK || c->y.event->type == FYET_SEQUENCE_END) {
            return rc;
        }
        if (c->y.event->type != FYET_SCALAR) {
            return yaml_wrong(&c->y, "%s: each item of the list is to be one value%s", option->name,
                              option->kind == OPTION_MAP ? "; for a map leave the dashes out" : "");
        }
        rc = yaml_scalar(&c->y, text, sizeof text, &is_null);
        if (rc == HM_OK && is_null) {
            rc = yaml_wrong(&c->y, "%s: an item of the list is empty", option->name);
        }
        if (rc == HM_OK) {
            rc = set_one(c, option, is_first, false, text);
        }
        if (rc != HM_OK) {
            return rc;
        }
    }
}

static int check_map_key(const struct conf_yaml *c, const struct option *option, const char *key,
                         bool is_null)
{
    if (is_null || strchr(key, '=') != NULL) {
        return yaml_wrong(&c->y, "%s: %.63s: that is no name for one", option->name, key);
    }
    for (size_t i = 0; i < c->conf->label_count; i++) {
        if (strcmp(c->conf->labels[i].key, key) == 0) {
            return yaml_wrong(&c->y, "%s: %.63s is there twice", option->name, key);
        }
    }
    return HM_OK;
}

/* KEY: VALUE of a map is KEY=VALUE of a flag. */
static int read_mapping(struct conf_yaml *c, const struct option *option)
{
    char text[2 * CONF_VALUE_BYTES_MAX];
    const size_t max = CONF_VALUE_BYTES_MAX;
    bool is_null = false;
    if (option->kind != OPTION_MAP) {
        return yaml_wrong(&c->y, "%s: %s is expected, not a map: %s: %s", option->name,
                          option->kind == OPTION_LIST ? "a list" : "one value", option->name,
                          option->arg);
    }
    for (bool is_first = true;; is_first = false) {
        int rc = yaml_next(&c->y);
        if (rc != HM_OK || c->y.event->type == FYET_MAPPING_END) {
            return rc;
        }
        if (c->y.event->type != FYET_SCALAR) {
            return yaml_wrong(&c->y, "%s: each key of the map is to be a word", option->name);
        }
        rc = yaml_scalar(&c->y, text, max, &is_null);
        if (rc == HM_OK) {
            rc = check_map_key(c, option, text, is_null);
        }
        if (rc == HM_OK) {
            rc = yaml_next(&c->y);
        }
        if (rc == HM_OK && c->y.event->type != FYET_SCALAR) {
            rc = yaml_wrong(&c->y, "%s: %.63s: one value is expected", option->name, text);
        }
        if (rc == HM_OK) {
            size_t len = strlen(text);
            text[len] = '=';
            rc = yaml_scalar(&c->y, text + len + 1, max, &is_null);
            text[len + 1] = is_null ? '\0' : text[len + 1];
        }
        if (rc == HM_OK) {
            rc = set_one(c, option, is_first, false, text);
        }
        if (rc != HM_OK) {
            return rc;
        }
    }
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int find_key(struct conf_yaml *c, const struct option **ret_option)
{
    char key[CONF_VALUE_BYTES_MAX];
    bool is_null = false;
    const unsigned no_key = OPTION_FLAG_ONLY | OPTION_NO_KEY;
    if (c->y.event->type != FYET_SCALAR) {
        return yaml_wrong(&c->y, "a key is to be a word, like discover");
    }
    int rc = yaml_scalar(&c->y, key, sizeof key, &is_null);
    if (rc != HM_OK) {
        return rc;
    }
    const struct option *option = conf_option_find(key, strlen(key));
    if (option == NULL || (option->traits & no_key) != 0) {
        const char *nearest = option == NULL ? conf_option_nearest(key, no_key) : NULL;
        return nearest == NULL
                   ? yaml_wrong(&c->y, "%.63s: no such key; meshd.yaml(5) lists them", key)
                   : yaml_wrong(&c->y, "%.63s: no such key; did you mean %s?", key, nearest);
    }
    unsigned *seen = &c->seen_line[conf_option_index(option)];
    if (*seen != 0) {
        return yaml_wrong(&c->y, "%s is there twice, first in line %u", option->name, *seen);
    }
    *seen = c->y.line;
    *ret_option = option;
    return HM_OK;
}

/* The current event is the map's start; goes to its end. */
static int read_keys(struct conf_yaml *c)
{
    for (;;) {
        const struct option *option = NULL;
        int rc = yaml_next(&c->y);
        if (rc != HM_OK || c->y.event->type == FYET_MAPPING_END) {
            return rc;
        }
        rc = find_key(c, &option);
        if (rc == HM_OK) {
            rc = yaml_next(&c->y);
        }
        if (rc != HM_OK) {
            return rc;
        }
        if (c->y.event->type == FYET_SEQUENCE_START) {
            rc = read_sequence(c, option);
        } else if (c->y.event->type == FYET_MAPPING_START) {
            rc = read_mapping(c, option);
        } else if (c->y.event->type == FYET_SCALAR) {
            rc = read_scalar(c, option);
        } else {
            rc = yaml_wrong(&c->y, "%s: a value is expected", option->name);
        }
        if (rc != HM_OK) {
            return rc;
        }
    }
}

static int read_root(void *ctx)
{
    static const char expected[] =
        "keys with values are expected, like `discover: homelab` (with a "
        "space after the colon)";
    struct conf_yaml *c = ctx;
    if (c->y.event->type == FYET_MAPPING_START) {
        return read_keys(c);
    }
    if (c->y.event->type == FYET_SCALAR) {
        char text[CONF_VALUE_BYTES_MAX];
        bool is_null = false;
        int rc = yaml_scalar(&c->y, text, sizeof text, &is_null);
        return rc == HM_OK && !is_null ? yaml_wrong(&c->y, expected) : rc;
    }
    return yaml_wrong(&c->y, expected);
}

int conf_yaml_read(const char *file, const char *text, size_t size, bool without_token,
                   struct conf *conf, struct why *why)
{
    struct conf_yaml c = {
        .y = {.file = file, .why = why}, .without_token = without_token, .conf = conf};
    return yaml_read(&c.y, text, size, read_root, &c);
}
