/* SPDX-License-Identifier: MPL-2.0 */
/* Keys and values as a person sees them. Values are anybody's bytes: what is shown in a table is
 * cut and printable; only `kv get` writes them as they are. */
#define _GNU_SOURCE
#include "cmd/ctl_kv.h"

#include "base/err.h"
#include "base/limits.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])
#define VALUE_COLUMNS 60
#define VALUE_COLUMNS_MIN 16
#define ROWS_TOGETHER 2000
#define VALUE_BYTES 256 /* of a value that reach a table: more than it ever shows */

/* ---- one value ------------------------------------------------------------------------------- */

/* A text without the line end behind its only line, or how many bytes there are: also of one with a
 * NUL in it, behind which nothing would be shown. */
static void put_part(const json_t *value, FILE *to)
{
    const char *text = json_string_value(value);
    uint8_t *bytes = NULL;
    size_t size = 0;
    text = text != NULL && strlen(text) == json_string_length(value) ? text : NULL;
    size_t line = text != NULL ? strcspn(text, "\n") : 0;
    if (line > 0 || (text != NULL && text[0] == '\n' && text[1] != '\0')) {
        bool is_line = text[line] == '\n' && text[line + 1] == '\0';
        fprintf(to, "%.*s", (int) (is_line && line < VALUE_BYTES ? line : VALUE_BYTES), text);
    } else if (ctl_json_bytes(value, &bytes, &size) != HM_OK) {
        fputc('-', to);
    } else if (size == 0) {
        fputs("(empty)", to);
    } else {
        fprintf(to, "(%zu byte%s, no text)", size, size == 1 ? "" : "s");
    }
    free(bytes);
}

static void put_set(const json_t *value, FILE *to)
{
    size_t i;
    json_t *item;
    fputc('{', to);
    json_array_foreach(value, i, item)
    {
        if (ftell(to) > VALUE_BYTES) {
            return;
        }
        fputs(i > 0 ? ", " : "", to);
        put_part(item, to);
    }
    fputc('}', to);
}

char *kv_shown(const json_t *value)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (stream == NULL) {
        return NULL;
    }
    if (json_is_array(value)) {
        put_set(value, stream);
    } else {
        put_part(value, stream);
    }
    fclose(stream);
    return text;
}

static int print_bytes(const json_t *value)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    int code = ctl_json_bytes(value, &bytes, &size);
    if (code == HM_OK) {
        code = fwrite(bytes, 1, size, stdout) == size ? HM_OK : HM_EIO;
    }
    free(bytes);
    return code;
}

int kv_print_raw(const json_t *value)
{
    size_t i;
    json_t *item;
    int code = HM_OK;
    if (!json_is_array(value)) {
        return print_bytes(value);
    }
    json_array_foreach(value, i, item)
    {
        code = code == HM_OK ? print_bytes(item) : code;
        fputc('\n', stdout);
    }
    return code;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static void add_value(table_t *table, const json_t *value)
{
    char *text = kv_shown(value);
    table_add(table, STYLE_PLAIN, text != NULL ? text : "-");
    free(text);
}

static void add_key(table_t *table, const json_t *item)
{
    char time[OUT_TEXT_BYTES], node[OUT_TEXT_BYTES], conflicts[24];
    int64_t count = ctl_int(item, "conflicts");
    snprintf(conflicts, sizeof conflicts, "%" PRId64, count);
    table_add(table, STYLE_BOLD, ctl_text(item, "key"));
    add_value(table, json_object_get(item, "value"));
    table_add(table, STYLE_DIM, ctl_text(item, "type"));
    table_add(table, count > 0 ? STYLE_YELLOW : STYLE_DIM, count > 0 ? conflicts : "-");
    table_add(table, STYLE_PLAIN, out_node(ctl_text(item, "origin"), node));
    table_add(table, STYLE_DIM, out_time(ctl_text(item, "modified"), time));
    table_add(table, STYLE_DIM, ctl_text(item, "version"));
}

static void print_rows(struct kv_printer *p)
{
    if (p->table == NULL) {
        return;
    }
    if (p->is_begun) {
        table_print_rows(p->table, p->out);
    } else {
        table_print(p->table, p->out);
    }
    p->is_begun = true;
    p->rows = 0;
    table_destroy(&p->table);
}

static void add_keys(struct kv_printer *p, const json_t *keys)
{
    static const struct out_column columns[] = {
        {"KEY", 0, false}, {"VALUE", 0, false},    {"TYPE", 4, false},    {"CONFLICTS", 2, true},
        {"BY", 3, false},  {"MODIFIED", 5, false}, {"VERSION", 6, false},
    };
    size_t room = p->out->width > 0 ? p->out->width / 2 : VALUE_COLUMNS;
    size_t i;
    json_t *item;
    json_array_foreach(keys, i, item)
    {
        p->table = p->table == NULL ? table_new(columns, COUNT_OF(columns)) : p->table;
        if (p->table == NULL) {
            ctl_error("out of memory");
            return;
        }
        table_limit(p->table, 1, room > VALUE_COLUMNS_MIN ? room : VALUE_COLUMNS_MIN);
        add_key(p->table, item);
        if (++p->rows == ROWS_TOGETHER) {
            print_rows(p);
        }
    }
}

static void print_conflict(struct kv_printer *p, const json_t *item)
{
    static const struct out_column columns[] = {{"  VALUE", 0, false},  {"BY", 2, false},
                                                {"MODIFIED", 4, false}, {"VERSION", 0, false},
                                                {"TYPE", 5, false},     {"SHOWN", 3, false}};
    size_t i;
    json_t *value;
    table_t *table = table_new(columns, COUNT_OF(columns));
    if (table == NULL) {
        ctl_error("out of memory");
        return;
    }
    out_put(p->out, STYLE_BOLD, ctl_text(item, "key"), 0);
    fputc('\n', stdout);
    table_limit(table, 0, VALUE_COLUMNS);
    json_array_foreach(json_object_get(item, "values"), i, value)
    {
        char time[OUT_TEXT_BYTES], node[OUT_TEXT_BYTES], line[VALUE_BYTES + 64];
        char *text = kv_shown(json_object_get(value, "value"));
        if (json_is_null(json_object_get(value, "value"))) {
            snprintf(line, sizeof line, "  (%" PRId64 " bytes)", ctl_int(value, "bytes"));
        } else {
            snprintf(line, sizeof line, "  %s", text != NULL ? text : "-");
        }
        free(text);
        bool is_shown = ctl_bool(value, "shown");
        table_add(table, is_shown ? STYLE_BOLD : STYLE_PLAIN, line);
        table_add(table, STYLE_PLAIN, out_node(ctl_text(value, "origin"), node));
        table_add(table, STYLE_DIM, out_time(ctl_text(value, "modified"), time));
        table_add(table, STYLE_PLAIN, ctl_text(value, "version"));
        table_add(table, STYLE_DIM, ctl_text(value, "type"));
        table_add(table, STYLE_PLAIN, is_shown ? "yes" : "-");
    }
    table_print(table, p->out);
    table_destroy(&table);
}

#define QUOTED_BYTES (4 * HM_USER_KEY_BYTES_MAX + 3) /* each of them a \' */

/* A key as a shell wants it in a command that is to be copied. */
static const char *quote(const char *key, char text[QUOTED_BYTES])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "/._:@%+-";
    size_t at = 0;
    if (key[0] != '-' && strspn(key, plain) == strlen(key)) {
        return key;
    }
    text[at++] = '\'';
    for (; *key != '\0' && at + 6 < QUOTED_BYTES; key++) {
        if (*key == '\'') {
            memcpy(text + at, "'\\''", 4);
            at += 4;
        } else {
            text[at++] = *key;
        }
    }
    text[at++] = '\'';
    text[at] = '\0';
    return text;
}

static void print_side(const struct kv_printer *p, const json_t *key, const json_t *side)
{
    char time[OUT_TEXT_BYTES], node[OUT_TEXT_BYTES], large[64];
    char *text = kv_shown(json_object_get(side, "value"));
    bool is_won = ctl_bool(side, "won");
    bool is_delete = strcmp(ctl_text(side, "op"), "delete") == 0;
    snprintf(large, sizeof large, "(%" PRId64 " bytes)", ctl_int(side, "bytes"));
    out_put(p->out, is_won ? STYLE_BOLD : STYLE_YELLOW, is_won ? "  won" : "  lost", 8);
    out_put(p->out, STYLE_PLAIN,
            is_delete                                      ? "deleted"
            : json_is_null(json_object_get(side, "value")) ? large
            : text != NULL                                 ? text
                                                           : "-",
            0);
    out_say("  by %s, %s", out_node(ctl_text(side, "origin"), node),
            out_time(ctl_text(side, "modified"), time));
    if (!is_won && !is_delete) {
        char quoted[QUOTED_BYTES];
        out_say("; kept: meshctl kv get %s %s", quote(ctl_text_of(key), quoted),
                ctl_text(side, "version"));
    }
    fputc('\n', stdout);
    free(text);
}

static void print_collision(struct kv_printer *p, const json_t *item)
{
    size_t i;
    json_t *side;
    out_put(p->out, STYLE_BOLD, ctl_text(item, "key"), 0);
    fputc('\n', stdout);
    json_array_foreach(json_object_get(item, "sides"), i, side)
    {
        print_side(p, json_object_get(item, "key"), side);
    }
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* One object of a list that is printed as it comes, with two more blanks before each line. */
static void print_json_item(struct kv_printer *p, const json_t *item)
{
    char *text = json_dumps(item, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    if (text == NULL) {
        ctl_error("out of memory");
        return;
    }
    fputs(p->is_begun ? ",\n  " : "[\n  ", stdout);
    for (const char *at = text; *at != '\0'; at++) {
        fputc(*at, stdout);
        fputs(*at == '\n' ? "  " : "", stdout);
    }
    free(text);
}

void kv_print_page(struct kv_printer *p, const json_t *keys)
{
    size_t i;
    json_t *item;
    if (json_array_size(keys) == 0) {
        return;
    }
    if (p->is_json || p->is_conflicts || p->is_report) {
        json_array_foreach(keys, i, item)
        {
            if (p->is_json) {
                print_json_item(p, item);
            } else if (p->is_report) {
                print_collision(p, item);
            } else {
                print_conflict(p, item);
            }
            p->is_begun = true;
        }
    } else {
        add_keys(p, keys);
    }
}

void kv_print_end(struct kv_printer *p, const char *none)
{
    print_rows(p);
    if (!p->is_begun && none == NULL) {
        return;
    }
    if (p->is_json) {
        fputs(p->is_begun ? "\n]\n" : "[]\n", stdout);
    } else if (!p->is_begun) {
        printf("%s\n", none);
    }
}

static void print_resolved(struct out *out, const json_t *reply)
{
    char *text = kv_shown(json_object_get(reply, "value"));
    out_put(out, STYLE_BOLD, ctl_text(reply, "key"), 0);
    fputs(ctl_bool(reply, "written") ? " is now: " : " has no conflict: ", stdout);
    out_put(out, STYLE_PLAIN, text != NULL ? text : "-", 0);
    fputc('\n', stdout);
    free(text);
}

void ctl_print_kv(struct out *out, enum op op, const json_t *reply)
{
    struct kv_printer printer = {.out = out,
                                 .is_conflicts = op == OP_KV_CONFLICTS,
                                 .is_report = op == OP_REGISTRY_REPORT};
    if (op == OP_KV_LIST || op == OP_KV_CONFLICTS || op == OP_REGISTRY_REPORT) {
        kv_print_page(&printer, json_object_get(reply, "keys"));
        kv_print_end(&printer, "none");
    } else if (op == OP_KV_RESOLVE) {
        print_resolved(out, reply);
    } else if (op == OP_KV_HISTORY) {
        kv_print_history(out, reply);
    }
    /* A write that was done says nothing. */
}

/* ---- history --------------------------------------------------------------------------------- */

void kv_print_history(struct out *out, const json_t *reply)
{
    static const struct out_column columns[] = {
        {"MODIFIED", 0, false}, {"OP", 0, false},      {"VALUE", 0, false},
        {"BY", 2, false},       {"VERSION", 3, false},
    };
    const json_t *changes = json_object_get(reply, "changes");
    size_t i;
    json_t *change;
    table_t *table = table_new(columns, COUNT_OF(columns));
    if (table == NULL) {
        ctl_error("out of memory");
        return;
    }
    table_limit(table, 2, VALUE_COLUMNS);
    json_array_foreach(changes, i, change)
    {
        char time[OUT_TEXT_BYTES], node[OUT_TEXT_BYTES];
        table_add(table, STYLE_DIM, out_time(ctl_text(change, "modified"), time));
        table_add(table, STYLE_PLAIN, ctl_text(change, "op"));
        add_value(table, json_object_get(change, "value"));
        table_add(table, STYLE_PLAIN, out_node(ctl_text(change, "origin"), node));
        table_add(table, STYLE_DIM, ctl_text(change, "version"));
    }
    if (json_array_size(changes) > 0) {
        table_print(table, out);
    } else {
        fputs(
            "no change of it is kept: only those since meshd started, the last 4096 of all keys\n",
            stdout);
    }
    table_destroy(&table);
}
