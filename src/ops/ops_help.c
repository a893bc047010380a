/* SPDX-License-Identifier: MPL-2.0 */
/* Texts made of the operation table: see ops_help.h. */
#include "ops/ops_help.h"

#include "base/err.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 79

static void put(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

static void put_padded(struct buf *b, const char *text, size_t width)
{
    put(b, text);
    for (size_t i = strlen(text); i < width; i++) {
        put(b, " ");
    }
}

/* The text in lines that begin at column `indent`; the first line begins where the writer is. */
static void put_wrapped(struct buf *b, const char *text, size_t indent)
{
    size_t column = indent;
    while (*text != '\0') {
        const char *blank = strchr(text, ' ');
        size_t size = blank == NULL ? strlen(text) : (size_t) (blank - text);
        if (column > indent && column + 1 + size > WIDTH) {
            put(b, "\n");
            put_padded(b, "", indent);
            column = indent;
        } else if (column > indent) {
            put(b, " ");
            column++;
        }
        buf_append(b, text, size);
        column += size;
        text += size + (blank != NULL ? 1 : 0);
    }
    put(b, "\n");
}

const char *ops_help_words(const struct op_spec *spec, char text[64])
{
    text_copy(text, 64, spec->name);
    for (char *at = text; *at != '\0'; at++) {
        *at = *at == '.' ? ' ' : *at;
    }
    return text;
}

const char *ops_help_option(const struct op_arg *arg, char text[64])
{
    text_copy(text, 64, arg->name);
    for (char *at = text; *at != '\0'; at++) {
        *at = *at == '_' ? '-' : *at;
    }
    return text;
}

static void put_usage(const struct op_spec *spec, bool is_short, struct buf *b)
{
    char words[64];
    put(b, ops_help_words(spec, words));
    for (size_t i = 0; i < spec->arg_count; i++) {
        const struct op_arg *arg = &spec->args[i];
        if (arg->is_hidden || (is_short && !arg->is_required && arg->position == 0)) {
            continue;
        }
        put(b, arg->is_required ? " " : " [");
        if (arg->position == 0) {
            char option[64];
            put(b, "--");
            put(b, ops_help_option(arg, option));
            put(b, arg->type == ARG_BOOL ? "" : "=");
        }
        put(b, arg->position == 0 && arg->type == ARG_BOOL ? "" : arg->value);
        put(b, arg->is_required ? "" : "]");
    }
    put(b, is_short ? " [OPTION]..." : "");
    if (spec->kind == OP_STREAM && !spec->never_ends) {
        put(b, " [--follow]");
    }
}

void ops_help_usage(const struct op_spec *spec, struct buf *b)
{
    put_usage(spec, false, b);
}

void ops_help_usage_short(const struct op_spec *spec, struct buf *b)
{
    put_usage(spec, true, b);
}

static void put_option(struct buf *b, const char *name, const char *help)
{
    put(b, "  ");
    put_padded(b, name, 14);
    if (strlen(name) > 14) {
        put(b, "\n");
        put_padded(b, "", 16);
    }
    put(b, "  ");
    put_wrapped(b, help, 18);
}

static void put_options(const struct op_spec *spec, struct buf *b)
{
    for (size_t i = 0; i < spec->arg_count; i++) {
        const struct op_arg *arg = &spec->args[i];
        char name[96], option[64];
        if (arg->is_hidden) {
            continue;
        }
        ops_help_option(arg, option);
        if (arg->position > 0) {
            snprintf(name, sizeof name, "%s", arg->value);
        } else if (arg->type == ARG_BOOL) {
            snprintf(name, sizeof name, "--%s", option);
        } else {
            snprintf(name, sizeof name, "--%s=%s", option, arg->value);
        }
        put_option(b, name, arg->help);
    }
    if (spec->kind == OP_STREAM && !spec->never_ends) {
        put_option(b, "--follow",
                   "go on with what comes, also across restarts of meshd; with "
                   "--format=json one object a line");
    }
}

static bool has_options(const struct op_spec *spec)
{
    bool found = spec->kind == OP_STREAM && !spec->never_ends;
    for (size_t i = 0; i < spec->arg_count; i++) {
        found = found || !spec->args[i].is_hidden;
    }
    return found;
}

void ops_help_command(const struct op_spec *spec, struct buf *b)
{
    struct buf usage;
    buf_init(&usage, 4096);
    ops_help_usage(spec, &usage);
    buf_append(&usage, "", 1);
    put(b, "meshctl ");
    put_wrapped(b, buf_failed(&usage) ? "?" : (const char *) usage.data, 8);
    buf_fini(&usage);
    put(b, "\n");
    put_wrapped(b, spec->help, 0);
    if (has_options(spec)) {
        put(b, "\n");
        put_options(spec, b);
    }
    put(b, "\nExample:\n  ");
    put(b, spec->example);
    put(b, "\n");
    if (spec->scope == SCOPE_LOCAL) {
        put(b, "\nOnly of the node on this machine: --node is refused.\n");
    }
}

static void put_row(struct buf *b, const char *name, const char *type, const char *more,
                    const char *help)
{
    put(b, "| `");
    put(b, name);
    put(b, "` | ");
    put(b, type);
    put(b, more);
    put(b, " | ");
    put(b, help);
    put(b, " |\n");
}

static bool has_args(const struct op_spec *spec)
{
    bool found = false;
    for (size_t i = 0; i < spec->arg_count; i++) {
        found = found || !spec->args[i].is_meshctls;
    }
    return found;
}

static void reference_args(const struct op_spec *spec, struct buf *b)
{
    if (!has_args(spec)) {
        put(b, "No arguments.\n\n");
        return;
    }
    put(b, "| argument | type | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < spec->arg_count; i++) {
        const struct op_arg *arg = &spec->args[i];
        if (arg->is_meshctls) {
            continue;
        }
        put_row(b, arg->name, arg_type_name(arg->type),
                arg->is_required ? ", required"
                : arg->is_hidden ? ", for programs"
                                 : "",
                arg->help);
    }
    put(b, "\n");
}

static void reference_fields(const struct op_field *fields, size_t count, struct buf *b)
{
    for (size_t i = 0; i < count; i++) {
        put_row(b, fields[i].name, field_type_name(fields[i].type),
                fields[i].is_nullable ? " or null" : "", fields[i].help);
    }
}

static void reference_reply(const struct op_spec *spec, struct buf *b)
{
    if (spec->items != NULL) {
        put(b,
            "Answers an object with these fields:\n\n| field | type | meaning |\n|---|---|---|\n");
        put_row(b, spec->items, "list", "", "the objects described below");
        put_row(b, "next",
                spec->never_ends              ? "text"
                : spec->kind == OP_STREAM ? "integer"
                                              : "text or null",
                "",
                spec->kind == OP_STREAM
                    ? "what to give as `since` to go on"
                    : "what to give as `after` for the next page; null: it was the last");
        reference_fields(spec->around, spec->around_count, b);
        put(b, "\nEach object in `");
        put(b, spec->items);
        put(b, "`:\n\n");
    } else {
        put(b, "Answers an object:\n\n");
    }
    put(b, "| field | type | meaning |\n|---|---|---|\n");
    reference_fields(spec->fields, spec->field_count, b);
    put(b, "\n");
}

static void reference_errors(const struct op_spec *spec, struct buf *b)
{
    if (spec->errors[0] == 0) {
        return;
    }
    put(b, "Errors of its own: ");
    for (const int *code = spec->errors; *code != 0; code++) {
        char text[96];
        snprintf(text, sizeof text, "%s%d (%s)", code == spec->errors ? "" : ", ", *code,
                 hm_strerror(*code));
        put(b, text);
    }
    put(b, ".\n\n");
}

static void reference_op(const struct op_spec *spec, struct buf *b)
{
    put(b, "## ");
    put(b, spec->name);
    put(b, "\n\n");
    put(b, spec->help);
    put(b, "\n\nKind: ");
    put(b, op_kind_name(spec->kind));
    put(b, ". Role: ");
    put(b, op_role_name(spec->role));
    put(b, ". Asked of: ");
    put(b, op_scope_name(spec->scope));
    put(b, ". Command: `meshctl ");
    ops_help_usage(spec, b);
    put(b, "`\n\n");
    reference_args(spec, b);
    reference_reply(spec, b);
    reference_errors(spec, b);
}

/* clang-format off */
static const char reference_head[] =
    "# Operations\n\n"
    "What a mesh can be asked, through the local socket and with `meshctl`. Made from the table\n"
    "in `src/ops/ops_spec*.c`; `make check` says when it is out of date. Fields may be added\n"
    "later, never removed. Ids are 32 hex digits, times are RFC 3339 in UTC with milliseconds,\n"
    "addresses are `ip:port` or `[ip]:port`.\n\n"
    "Every operation can also answer -8 (a wrong argument), -13 (no such operation in that\n"
    "version), -11 (too many operations wait) and, asked of another node, -5 (no such node), -14\n"
    "(more than one node of that name), -12 (that node cannot be reached), -6 (it did not answer\n"
    "in time) and -4 (it refuses).\n\n";
/* clang-format on */

void ops_help_reference(struct buf *b)
{
    put(b, reference_head);
    for (size_t i = 0; i < OP_COUNT; i++) {
        reference_op(ops_spec((enum op) i), b);
    }
    /* One line end at the end. */
    if (!buf_failed(b) && b->size > 0) {
        buf_truncate(b, b->size - 1);
    }
}
