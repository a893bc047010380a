/* SPDX-License-Identifier: MPL-2.0 */
/* YAML, event by event: see yaml.h. */
#define _GNU_SOURCE
#include "io/yaml.h"

#include "base/err.h"
#include "base/text.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int yaml_wrong(const struct yaml *y, const char *format, ...)
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
        return yaml_wrong(y, "a tab: YAML is indented with spaces");
    }
    if (size > 0 && line[0] == '%') {
        return yaml_wrong(y, "directives (%%YAML, %%TAG) are not used in this file");
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
            return yaml_wrong(y, "byte 0x%02x: the file is to be text in UTF-8",
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
        return yaml_wrong(y, "this is not YAML");
    }
    /* Where the parser lost its way is mostly later than where the mistake is: good enough. */
    y->line = error->line > 0 ? (unsigned) error->line : 1;
    y->column = error->column > 0 ? (unsigned) error->column : 1;
    return yaml_wrong(y, "this is not YAML: %.200s", error->msg != NULL ? error->msg : "");
}

static int refuse_extras(const struct yaml *y, const struct fy_token *anchor,
                         const struct fy_token *tag)
{
    if (anchor != NULL) {
        return yaml_wrong(y, "anchors (&name) are not used in this file: write the value itself");
    }
    if (tag != NULL) {
        return yaml_wrong(y, "tags (!name) are not used in this file: write the value alone");
    }
    return HM_OK;
}

int yaml_next(struct yaml *y)
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
        return yaml_wrong(y, "aliases (*name) are not used in this file: write the value itself");
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

int yaml_scalar(const struct yaml *y, char *text, size_t max, bool *ret_is_null)
{
    size_t size = 0;
    struct fy_token *token = y->event->scalar.value;
    const char *value = token != NULL ? fy_token_get_text(token, &size) : "";
    if (value == NULL) {
        return why_set(y->why, HM_ENOMEM, "%s: out of memory", y->file);
    }
    if (size >= max) {
        return yaml_wrong(y, "the text is longer than any that is expected here");
    }
    if (memchr(value, '\0', size) != NULL) {
        return yaml_wrong(y, "the value has control characters");
    }
    memcpy(text, value, size);
    text[size] = '\0';
    bool is_plain = token == NULL || fy_token_scalar_style(token) == FYSS_PLAIN;
    *ret_is_null = is_plain && (size == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
    return HM_OK;
}

/* ---- a file ---------------------------------------------------------------------------------- */

static int read_stream(struct yaml *y, int (*read_root)(void *ctx), void *ctx)
{
    int rc = yaml_next(y); /* the stream's start */
    if (rc == HM_OK) {
        rc = yaml_next(y);
    }
    if (rc == HM_OK && y->event->type == FYET_DOCUMENT_START) {
        rc = yaml_next(y);
        rc = rc == HM_OK ? read_root(ctx) : rc;
        rc = rc == HM_OK ? yaml_next(y) : rc; /* the document's end */
        rc = rc == HM_OK ? yaml_next(y) : rc;
    }
    if (rc == HM_OK && y->event->type != FYET_STREAM_END) {
        rc = yaml_wrong(y, "a second document begins; only one is read");
    }
    return rc;
}

int yaml_read(struct yaml *y, const char *text, size_t size, int (*read_root)(void *ctx), void *ctx)
{
    struct fy_diag_cfg diag_cfg;
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | FYPCF_ALLOW_DUPLICATE_KEYS};
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3; /* a byte order mark */
        size -= 3;
    }
    y->line = 0;
    y->column = 1;
    int rc = check_bytes(y, text, size);
    if (rc != HM_OK || size == 0) {
        return rc;
    }
    fy_diag_cfg_default(&diag_cfg);
    y->diag = fy_diag_create(&diag_cfg);
    cfg.diag = y->diag;
    y->line = y->column = 1;
    if (y->diag != NULL) {
        fy_diag_set_collect_errors(y->diag, true);
        y->parser = fy_parser_create(&cfg);
    }
    if (y->parser == NULL || fy_parser_set_string(y->parser, text, size) != 0) {
        rc = why_set(y->why, HM_ENOMEM, "%s: out of memory", y->file);
    } else {
        rc = read_stream(y, read_root, ctx);
    }
    if (y->event != NULL) {
        fy_parser_event_free(y->parser, y->event);
    }
    if (y->parser != NULL) {
        fy_parser_destroy(y->parser);
    }
    if (y->diag != NULL) {
        fy_diag_destroy(y->diag);
    }
    y->event = NULL;
    y->parser = NULL;
    y->diag = NULL;
    return rc;
}
