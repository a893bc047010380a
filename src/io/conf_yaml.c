/* SPDX-License-Identifier: MPL-2.0 */
/* The configuration file: see conf_yaml.h. */
#define _GNU_SOURCE
#include "io/conf_yaml.h"

#include "base/err.h"
#include "base/text.h"
#include "io/conf_priv.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct yaml {
    const char *file;
    struct fy_diag *diag;
    struct fy_parser *parser;
    struct fy_event *event; /* the current one; freed with the next */
    unsigned line, column;  /* where it begins, from 1 */
    bool without_token;
    unsigned seen_line[CONF_OPTIONS_MAX]; /* of each key so far; 0: not there */
    struct conf *conf;
    struct why *why;
};

__attribute__((format(printf, 2, 3))) static int wrong_here(const struct yaml *y,
                                                            const char *format, ...)
{
    char text[WHY_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return why_set(y->why, HM_EINVAL, "%s:%u:%u: %s", y->file, y->line, y->column, text);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* libfyaml says of these only that something is wrong somewhere after them. */
static int check_line(struct yaml *y, const char *line, size_t size)
{
    size_t indent = 0;
    while (indent < size && (line[indent] == ' ' || line[indent] == '\t')) {
        indent++;
    }
    const char *tab = memchr(line, '\t', indent);
    if (tab != NULL && indent < size && line[indent] != '#' && line[indent] != '\r') {
        y->column = (unsigned) (tab - line) + 1;
        return wrong_here(y, "a tab: YAML is indented with spaces");
    }
    if (size > 0 && line[0] == '%') {
        return wrong_here(y, "directives (%%YAML, %%TAG) are not used in this file");
    }
    for (size_t at = 0; at < size;) {
        size_t n = 1;
        while (n < 4 && at + n <= size && !text_is_clean_utf8((const uint8_t *) line + at, n)) {
            n++;
        }
        bool clean = at + n <= size && text_is_clean_utf8((const uint8_t *) line + at, n);
        bool is_blank = line[at] == '\t' || (line[at] == '\r' && at + 1 == size);
        if (!clean && !is_blank) {
            y->column = (unsigned) at + 1;
            return wrong_here(y, "byte 0x%02x: the file is to be text in UTF-8",
                              (unsigned char) line[at]);
        }
        at += clean ? n : 1;
    }
    return HM_OK;
}

static int check_bytes(struct yaml *y, const char *text, size_t size)
{
    int rc = HM_OK;
    for (size_t at = 0; at < size && rc == HM_OK;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t len = end != NULL ? (size_t) (end - text) - at : size - at;
        y->line++;
        rc = check_line(y, text + at, len);
        at += len + 1;
    }
    return rc;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void locate(struct yaml *y, struct fy_token *token)
{
    const struct fy_mark *mark = token != NULL ? fy_token_start_mark(token) : NULL;
    if (mark != NULL) {
        y->line = (unsigned) mark->line + 1;
        y->column = (unsigned) mark->column + 1;
    }
}

static int syntax_error(struct yaml *y)
{
    void *at = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(y->diag, &at);
    if (error == NULL) {
        return wrong_here(y, "this is not YAML");
    }
    /* Where the parser lost its way is mostly later than where the mistake is: good enough. */
    y->line = error->line > 0 ? (unsigned) error->line : 1;
    y->column = error->column > 0 ? (unsigned) error->column : 1;
    return wrong_here(y, "this is not YAML: %.200s", error->msg != NULL ? error->msg : "");
}

static int refuse_extras(const struct yaml *y, const struct fy_token *anchor,
                         const struct fy_token *tag)
{
    if (anchor != NULL) {
        return wrong_here(y, "anchors (&name) are not used in this file: write the value itself");
    }
    if (tag != NULL) {
        return wrong_here(y, "tags (!name) are not used in this file: write the value alone");
    }
    return HM_OK;
}

/* Goes to the next event. */
static int next(struct yaml *y)
{
    if (y->event != NULL) {
        fy_parser_event_free(y->parser, y->event);
    }
    y->event = fy_parser_parse(y->parser);
    if (y->event == NULL) {
        return syntax_error(y);
    }
    const struct fy_event *ev = y->event;
    locate(y, fy_event_get_token(y->event));
    switch (ev->type) {
    case FYET_SCALAR:
        return refuse_extras(y, ev->scalar.anchor, ev->scalar.tag);
    case FYET_SEQUENCE_START:
        return refuse_extras(y, ev->sequence_start.anchor, ev->sequence_start.tag);
    case FYET_MAPPING_START:
        return refuse_extras(y, ev->mapping_start.anchor, ev->mapping_start.tag);
    case FYET_ALIAS:
        return wrong_here(y, "aliases (*name) are not used in this file: write the value itself");
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_START:
    case FYET_DOCUMENT_END:
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        break;
    }
    return HM_OK;
}

/* The scalar's text. ret_is_null: it is written as no value at all. */
static int take_scalar(const struct yaml *y, char *text, size_t max, bool *ret_is_null)
{
    size_t size = 0;
    struct fy_token *token = y->event->scalar.value;
    const char *value = token != NULL ? fy_token_get_text(token, &size) : "";
    if (value == NULL) {
        return why_set(y->why, HM_ENOMEM, "%s: out of memory", y->file);
    }
    if (size >= max) {
        return wrong_here(y, "the text is longer than any that is expected here");
    }
    if (memchr(value, '\0', size) != NULL) {
        return wrong_here(y, "the value has control characters");
    }
    memcpy(text, value, size);
    text[size] = '\0';
    bool is_plain = token == NULL || fy_token_scalar_style(token) == FYSS_PLAIN;
    *ret_is_null = is_plain && (size == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
    return HM_OK;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Sets one text, which the current event is, as an option's value or one of its list. */
static int set_one(struct yaml *y, const struct option *option, bool is_first, bool may_be_list,
                   const char *value)
{
    char where[sizeof y->conf->file + 32];
    struct given given = {
        CONF_FROM_FILE, option, where, option->name, ": ", value, y->why,
    };
    snprintf(where, sizeof where, "%s:%u:%u: ", y->file, y->line, y->column);
    if (y->without_token && (option->traits & OPTION_SECRET) != 0) {
        return HM_OK;
    }
    unsigned line = y->seen_line[conf_option_index(option)];
    return may_be_list ? conf_set_list(y->conf, option, is_first, line, &given)
                       : conf_set(y->conf, option, is_first, line, &given);
}

static int read_scalar(struct yaml *y, const struct option *option)
{
    char text[CONF_VALUE_BYTES_MAX];
    bool is_null = false;
    bool is_list = option->kind == OPTION_LIST || option->kind == OPTION_MAP;
    int rc = take_scalar(y, text, sizeof text, &is_null);
    if (rc != HM_OK) {
        return rc;
    }
    if (is_null) {
        return wrong_here(y, "%s: a value is missing: %s: %s", option->name, option->name,
                          option->arg);
    }
    return set_one(y, option, true, is_list, text);
}

static int read_sequence(struct yaml *y, const struct option *option)
{
    char text[CONF_VALUE_BYTES_MAX];
    bool is_null = false;
    if (option->kind != OPTION_LIST && option->kind != OPTION_MAP) {
        return wrong_here(y, "%s: one value is expected, not a list: %s: %s", option->name,
                          option->name, option->arg);
    }
    for (bool is_first = true;; is_first = false) {
        int rc = next(y);
        if (rc != HM_OK || y->event->type == FYET_SEQUENCE_END) {
            return rc;
        }
        if (y->event->type != FYET_SCALAR) {
            return wrong_here(y, "%s: each item of the list is to be one value%s", option->name,
                              option->kind == OPTION_MAP ? "; for a map leave the dashes out" : "");
        }
        rc = take_scalar(y, text, sizeof text, &is_null);
        if (rc == HM_OK && is_null) {
            rc = wrong_here(y, "%s: an item of the list is empty", option->name);
        }
        if (rc == HM_OK) {
            rc = set_one(y, option, is_first, false, text);
        }
        if (rc != HM_OK) {
            return rc;
        }
    }
}

static int check_map_key(const struct yaml *y, const struct option *option, const char *key,
                         bool is_null)
{
    if (is_null || strchr(key, '=') != NULL) {
        return wrong_here(y, "%s: %.63s: that is no name for one", option->name, key);
    }
    for (size_t i = 0; i < y->conf->label_count; i++) {
        if (strcmp(y->conf->labels[i].key, key) == 0) {
            return wrong_here(y, "%s: %.63s is there twice", option->name, key);
        }
    }
    return HM_OK;
}

/* KEY: VALUE of a map is KEY=VALUE of a flag. */
static int read_mapping(struct yaml *y, const struct option *option)
{
    char text[2 * CONF_VALUE_BYTES_MAX];
    const size_t max = CONF_VALUE_BYTES_MAX;
    bool is_null = false;
    if (option->kind != OPTION_MAP) {
        return wrong_here(y, "%s: %s is expected, not a map: %s: %s", option->name,
                          option->kind == OPTION_LIST ? "a list" : "one value", option->name,
                          option->arg);
    }
    for (bool is_first = true;; is_first = false) {
        int rc = next(y);
        if (rc != HM_OK || y->event->type == FYET_MAPPING_END) {
            return rc;
        }
        if (y->event->type != FYET_SCALAR) {
            return wrong_here(y, "%s: each key of the map is to be a word", option->name);
        }
        rc = take_scalar(y, text, max, &is_null);
        if (rc == HM_OK) {
            rc = check_map_key(y, option, text, is_null);
        }
        if (rc == HM_OK) {
            rc = next(y);
        }
        if (rc == HM_OK && y->event->type != FYET_SCALAR) {
            rc = wrong_here(y, "%s: %.63s: one value is expected", option->name, text);
        }
        if (rc == HM_OK) {
            size_t len = strlen(text);
            text[len] = '=';
            rc = take_scalar(y, text + len + 1, max, &is_null);
            text[len + 1] = is_null ? '\0' : text[len + 1];
        }
        if (rc == HM_OK) {
            rc = set_one(y, option, is_first, false, text);
        }
        if (rc != HM_OK) {
            return rc;
        }
    }
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int find_key(struct yaml *y, const struct option **ret_option)
{
    char key[CONF_VALUE_BYTES_MAX];
    bool is_null = false;
    const unsigned no_key = OPTION_FLAG_ONLY | OPTION_NO_KEY;
    if (y->event->type != FYET_SCALAR) {
        return wrong_here(y, "a key is to be a word, like discover");
    }
    int rc = take_scalar(y, key, sizeof key, &is_null);
    if (rc != HM_OK) {
        return rc;
    }
    const struct option *option = conf_option_find(key, strlen(key));
    if (option == NULL || (option->traits & no_key) != 0) {
        const char *nearest = option == NULL ? conf_option_nearest(key, no_key) : NULL;
        return nearest == NULL
                   ? wrong_here(y, "%.63s: no such key; meshd.yaml(5) lists them", key)
                   : wrong_here(y, "%.63s: no such key; did you mean %s?", key, nearest);
    }
    unsigned *seen = &y->seen_line[conf_option_index(option)];
    if (*seen != 0) {
        return wrong_here(y, "%s is there twice, first in line %u", option->name, *seen);
    }
    *seen = y->line;
    *ret_option = option;
    return HM_OK;
}

/* The current event is the map's start; goes to its end. */
static int read_keys(struct yaml *y)
{
    for (;;) {
        const struct option *option = NULL;
        int rc = next(y);
        if (rc != HM_OK || y->event->type == FYET_MAPPING_END) {
            return rc;
        }
        rc = find_key(y, &option);
        if (rc == HM_OK) {
            rc = next(y);
        }
        if (rc != HM_OK) {
            return rc;
        }
        if (y->event->type == FYET_SEQUENCE_START) {
            rc = read_sequence(y, option);
        } else if (y->event->type == FYET_MAPPING_START) {
            rc = read_mapping(y, option);
        } else if (y->event->type == FYET_SCALAR) {
            rc = read_scalar(y, option);
        } else {
            rc = wrong_here(y, "%s: a value is expected", option->name);
        }
        if (rc != HM_OK) {
            return rc;
        }
    }
}

static int read_document(struct yaml *y)
{
    static const char expected[] =
        "keys with values are expected, like `discover: homelab` (with a "
        "space after the colon)";
    int rc = next(y);
    if (rc == HM_OK && y->event->type == FYET_MAPPING_START) {
        rc = read_keys(y);
    } else if (rc == HM_OK && y->event->type == FYET_SCALAR) {
        char text[CONF_VALUE_BYTES_MAX];
        bool is_null = false;
        rc = take_scalar(y, text, sizeof text, &is_null);
        rc = rc == HM_OK && !is_null ? wrong_here(y, expected) : rc;
    } else if (rc == HM_OK) {
        rc = wrong_here(y, expected);
    }
    return rc == HM_OK ? next(y) : rc; /* the document's end */
}

static int read_stream(struct yaml *y)
{
    int rc = next(y); /* the stream's start */
    if (rc == HM_OK) {
        rc = next(y);
    }
    if (rc == HM_OK && y->event->type == FYET_DOCUMENT_START) {
        rc = read_document(y);
        if (rc == HM_OK) {
            rc = next(y);
        }
    }
    if (rc == HM_OK && y->event->type != FYET_STREAM_END) {
        rc = wrong_here(y, "a second document begins; only one is read");
    }
    return rc;
}

int conf_yaml_read(const char *file, const char *text, size_t size, bool without_token,
                   struct conf *conf, struct why *why)
{
    struct fy_diag_cfg diag_cfg;
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_ALLOW_DUPLICATE_KEYS};
    struct yaml y = {
        .file = file, .column = 1, .without_token = without_token, .conf = conf, .why = why};
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* a byte order mark */
        size -= 3;
    }
    int rc = check_bytes(&y, text, size);
    if (rc != HM_OK || size == 0) {
        return rc;
    }
    fy_diag_cfg_default(&diag_cfg);
    y.diag = fy_diag_create(&diag_cfg);
    cfg.diag = y.diag;
    y.line = y.column = 1;
    if (y.diag != NULL) {
        fy_diag_set_collect_errors(y.diag, true);
        y.parser = fy_parser_create(&cfg);
    }
    if (y.parser == NULL || fy_parser_set_string(y.parser, text, size) != 0) {
        rc = why_set(why, HM_ENOMEM, "%s: out of memory", file);
    } else {
        rc = read_stream(&y);
    }
    if (y.event != NULL) {
        fy_parser_event_free(y.parser, y.event);
    }
    if (y.parser != NULL) {
        fy_parser_destroy(y.parser);
    }
    if (y.diag != NULL) {
        fy_diag_destroy(y.diag);
    }
    return rc;
}
