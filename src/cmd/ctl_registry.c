/* SPDX-License-Identifier: MPL-2.0 */
/* The registry as a whole: its state and its entries for a person, export and import. An export
 * is JSON lines; an import sends many requests at once, because each is answered when it is on
 * disk. */
#define _GNU_SOURCE
#include "cmd/ctl_kv.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "client/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])
#define WINDOW 16 /* writes under way at once: meshd keeps 64 replies that are not read yet */
/* A value of which each byte is written as \u0000, and what is around it. */
#define LINE_BYTES_MAX (7 * HM_VALUE_BYTES_MAX)

/* ---- status ---------------------------------------------------------------------------------- */

static void print_fact(const struct out *out, const char *name, const char *text)
{
    out_put(out, STYLE_DIM, name, 14);
    out_put(out, STYLE_PLAIN, text, 0);
    fputc('\n', stdout);
}

static const char *size_text(uint64_t bytes, char text[OUT_TEXT_BYTES])
{
    if (bytes < 10000) {
        snprintf(text, OUT_TEXT_BYTES, "%" PRIu64 " bytes", bytes);
    } else if (bytes < 10000000) {
        snprintf(text, OUT_TEXT_BYTES, "%.1f kB", (double) bytes / 1e3);
    } else {
        snprintf(text, OUT_TEXT_BYTES, "%.1f MB", (double) bytes / 1e6);
    }
    return text;
}

static void print_peers(const struct out *out, const json_t *peers)
{
    static const struct out_column columns[] = {
        {"NODE", 0, false}, {"SAME", 0, false}, {"DIFFERS FOR", 0, false}};
    size_t i;
    json_t *peer;
    table_t *table = table_new(columns, COUNT_OF(columns));
    if (table == NULL) {
        ctl_error("out of memory");
        return;
    }
    json_array_foreach(peers, i, peer)
    {
        char text[OUT_TEXT_BYTES];
        const json_t *agrees = json_object_get(peer, "agrees");
        uint64_t lag_ms = (uint64_t) ctl_int(peer, "lag_ms");
        table_add(table, STYLE_BOLD, ctl_text(peer, "node"));
        table_add(table, json_is_false(agrees) ? STYLE_YELLOW : STYLE_PLAIN,
                  json_is_null(agrees)   ? "not known yet"
                  : json_is_true(agrees) ? "yes"
                                         : "no");
        table_add(table, STYLE_PLAIN, lag_ms > 0 ? out_duration(lag_ms, text) : "-");
    }
    table_print(table, out);
    table_destroy(&table);
}

/* The first that knows something which the node that was asked cannot read; NULL: none. */
static const char *later_peer(const json_t *reply)
{
    size_t i;
    json_t *peer;
    json_array_foreach(json_object_get(reply, "peers"), i, peer)
    {
        if (ctl_bool(peer, "later")) {
            return ctl_text(peer, "node");
        }
    }
    return NULL;
}

static void print_trouble(const struct out *out, const json_t *reply)
{
    char text[256];
    int64_t divergent = ctl_int(reply, "divergent_seconds");
    const char *later = later_peer(reply);
    if (later != NULL) {
        snprintf(text, sizeof text,
                 "some entries of %s are of a later format than it reads: upgrade homemesh on %s",
                 later, ctl_text(reply, "node"));
        print_fact(out, "state", text);
    } else if (ctl_bool(reply, "syncing")) {
        print_fact(out, "state",
                   "syncing: it has not agreed with another node yet, and may lack "
                   "what others have");
    } else if (divergent > 0) {
        snprintf(text, sizeof text, "another node has held something else for %" PRId64 " s",
                 divergent);
        print_fact(out, "state", text);
    } else {
        print_fact(out, "state", "in step with all that are up");
    }
    if (ctl_bool(reply, "damaged")) {
        print_fact(out, "store", "was damaged: what is missing comes from others");
    }
}

void ctl_print_registry(struct out *out, const json_t *reply)
{
    char text[160], size[OUT_TEXT_BYTES];
    int64_t entries = ctl_int(reply, "entries");
    int64_t marks = ctl_int(reply, "tombstones");
    snprintf(text, sizeof text, "%" PRId64 " %s, %" PRId64 " deletion mark%s, %s", entries,
             entries == 1 ? "entry" : "entries", marks, marks == 1 ? "" : "s",
             size_text((uint64_t) ctl_int(reply, "bytes"), size));
    print_fact(out, "holds", text);
    print_trouble(out, reply);
    if (ctl_int(reply, "waiting_bytes") > 0) {
        snprintf(text, sizeof text, "%s on the way to the disk",
                 size_text((uint64_t) ctl_int(reply, "waiting_bytes"), size));
        print_fact(out, "waiting", text);
    }
    print_fact(out, "hash", ctl_text(reply, "hash"));
    if (json_array_size(json_object_get(reply, "peers")) > 0) {
        fputc('\n', stdout);
        print_peers(out, json_object_get(reply, "peers"));
    }
}

/* ---- entries --------------------------------------------------------------------------------- */

/* "nas1 life 3 write 17" */
static void dot_text(const json_t *dot, char *text, size_t size)
{
    snprintf(text, size, "%s life %" PRId64 " (%.4s) write %" PRId64, ctl_text(dot, "node"),
             ctl_int(dot, "boots"), ctl_text(dot, "random"), ctl_int(dot, "seq"));
}

static void print_entry(const struct out *out, const json_t *e)
{
    char text[256], time[OUT_TEXT_BYTES], ago[OUT_TEXT_BYTES];
    size_t i;
    json_t *dot;
    char *value = kv_shown(json_object_get(e, "value"));
    bool is_deleted = ctl_bool(e, "deleted");
    out_put(out, STYLE_BOLD, ctl_text(e, "key"), 0);
    fputc('\n', stdout);
    if (is_deleted) {
        print_fact(out, "  deleted", "this is a deletion mark");
    } else if (json_is_null(json_object_get(e, "value"))) {
        print_fact(out, "  value", size_text((uint64_t) ctl_int(e, "bytes"), text));
    } else {
        out_put(out, STYLE_DIM, "  value", 14);
        out_put(out, STYLE_PLAIN, value != NULL ? value : "-", 0);
        fputc('\n', stdout);
    }
    free(value);
    print_fact(out, "  type", ctl_text(e, "type"));
    print_fact(out, "  version", ctl_text(e, "version"));
    dot_text(json_object_get(e, "dot"), text, sizeof text);
    print_fact(out, "  written by", text);
    snprintf(text, sizeof text, "%s, %s ago", out_time(ctl_text(e, "modified"), time),
             out_duration((uint64_t) ctl_int(e, "age_ms"), ago));
    print_fact(out, "  written", text);
    snprintf(text, sizeof text, "%" PRId64, ctl_int(e, "lamport"));
    print_fact(out, "  lamport", text);
    json_array_foreach(json_object_get(e, "context"), i, dot)
    {
        dot_text(dot, text, sizeof text);
        print_fact(out, i == 0 ? "  had seen" : "", text);
    }
    if (ctl_text(e, "owner")[0] != '\0') {
        print_fact(out, "  owner", ctl_text(e, "owner"));
    }
}

void ctl_print_entries(struct out *out, const json_t *reply)
{
    size_t i;
    json_t *e;
    json_array_foreach(json_object_get(reply, "entries"), i, e)
    {
        fputs(i > 0 ? "\n" : "", stdout);
        print_entry(out, e);
    }
}

/* ---- export ---------------------------------------------------------------------------------- */

static bool print_lines(const json_t *keys)
{
    size_t i;
    json_t *item;
    bool is_whole = true;
    json_array_foreach(keys, i, item)
    {
        if (ctl_bool(item, "cut")) {
            ctl_error("the set %s has more elements than are listed", ctl_text(item, "key"));
            is_whole = false;
        }
        json_object_del(item, "cut");
        ctl_json_print(item, true);
    }
    return is_whole;
}

int registry_export(struct ctl *ctl, struct out *out)
{
    const struct ctl_opts *o = ctl->opts;
    struct op_values values = o->values;
    bool is_on = true, is_whole = true;
    (void) out;
    while (is_on && !ferror(stdout)) {
        json_t *page = NULL;
        char why[256];
        int code = ctl_ask_once(ctl, o->spec, &values, o->timeout_ms, &page, why);
        if (code != HM_OK) {
            return ctl_failed(ctl, code, why);
        }
        is_whole &= print_lines(json_object_get(page, "keys"));
        is_on = ctl_next_page(o->spec, page, 0, &values);
        json_decref(page);
    }
    return is_whole ? EXIT_DONE : EXIT_TIMEOUT;
}

/* ---- import ---------------------------------------------------------------------------------- */

struct import {
    struct ctl *ctl;
    struct op_values values; /* dry_run is set */
    const char *from;
    size_t line;
    size_t sent, answered, written;
    int exit_code;
};

/* One answer. EXIT_DONE, or what went wrong. */
static int take_answer(struct import *im)
{
    const struct ctl_opts *o = im->ctl->opts;
    struct api_reply reply;
    uint64_t id = 0;
    int code = client_receive(im->ctl->client, o->timeout_ms + 250, &id, &reply);
    if (code != HM_OK) {
        return ctl_failed(im->ctl, code, "");
    }
    im->answered++;
    if (reply.code != HM_OK) {
        ctl_clean(reply.text);
        ctl_error("%s: %s", im->from, reply.text);
        im->exit_code = ctl_exit_of(reply.code);
        return EXIT_DONE; /* the others may go well */
    }
    json_t *json = ctl_json_of(reply.value.data, reply.value.size);
    im->written += ctl_bool(json, "written") ? 1 : 0;
    if (ctl_bool(json, "written") && o->format == FORMAT_JSON) {
        ctl_json_print(json, true);
    } else if (ctl_bool(json, "written") &&
               im->values.v[ops_args_index(o->spec, "dry_run")].number) {
        char key[HM_KEY_BYTES_MAX + 1];
        text_copy(key, sizeof key, ctl_text(json, "key"));
        ctl_clean(key);
        printf("%s\n", key);
    }
    json_decref(json);
    return EXIT_DONE;
}

static int send_one(struct import *im, const json_t *value)
{
    const struct op_spec *spec = im->ctl->opts->spec;
    struct api_request request;
    struct buf args;
    uint8_t *bytes = NULL;
    size_t size = 0;
    char why[OPS_WHY_BYTES];
    uint64_t id;
    if (ctl_json_bytes(value, &bytes, &size) != HM_OK) {
        ctl_error("%s: line %zu: value must be a text or {\"base64\": \"…\"}", im->from, im->line);
        return EXIT_REFUSED;
    }
    int exit_code = EXIT_DONE;
    if (ops_args_set_bytes(spec, ops_args_index(spec, "value"), span_of(bytes, size), &im->values,
                           why) != HM_OK) {
        ctl_error("%s: line %zu: %s", im->from, im->line, why);
        free(bytes);
        return EXIT_REFUSED;
    }
    while (exit_code == EXIT_DONE && im->sent - im->answered >= WINDOW) {
        exit_code = take_answer(im);
    }
    if (exit_code == EXIT_DONE) {
        int code = ctl_request(spec, &im->values, im->ctl->opts->node, im->ctl->opts->timeout_ms,
                               &args, &request);
        code = code == HM_OK ? client_send(im->ctl->client, &request, &id) : code;
        buf_fini(&args);
        im->sent += code == HM_OK ? 1 : 0;
        exit_code = code == HM_OK ? EXIT_DONE : ctl_failed(im->ctl, code, "");
    }
    free(bytes);
    return exit_code;
}

static int set_text(struct import *im, const json_t *object, const char *name)
{
    const struct op_spec *spec = im->ctl->opts->spec;
    char why[OPS_WHY_BYTES];
    const char *text = ctl_text(object, name);
    bool is_cut = strlen(text) != json_string_length(json_object_get(object, name));
    if (text[0] == '\0' || is_cut ||
        ops_args_set(spec, ops_args_index(spec, name), text, &im->values, why) != HM_OK) {
        ctl_error("%s: line %zu: %s", im->from, im->line,
                  is_cut            ? "key and type must not have a zero byte"
                  : text[0] == '\0' ? "it needs key, type and value"
                                    : why);
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

static int import_line(struct import *im, const char *text, size_t size)
{
    json_error_t error;
    size_t i;
    json_t *item;
    if (strspn(text, " \t\r\n") == size) {
        return EXIT_DONE;
    }
    json_t *object = json_loadb(text, size, JSON_ALLOW_NUL, &error);
    if (!json_is_object(object)) {
        ctl_error("%s: line %zu is no JSON object: %s", im->from, im->line, error.text);
        json_decref(object);
        return EXIT_REFUSED;
    }
    const json_t *value = json_object_get(object, "value");
    int exit_code = set_text(im, object, "key");
    exit_code = exit_code == EXIT_DONE ? set_text(im, object, "type") : exit_code;
    if (exit_code == EXIT_DONE && json_is_array(value)) {
        json_array_foreach(value, i, item)
        {
            exit_code = exit_code == EXIT_DONE ? send_one(im, item) : exit_code;
        }
    } else if (exit_code == EXIT_DONE) {
        exit_code = send_one(im, value);
    }
    json_decref(object);
    return exit_code;
}

static int import_all(struct import *im, FILE *from)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t size;
    int exit_code = EXIT_DONE;
    while (exit_code == EXIT_DONE && (size = getline(&text, &room, from)) >= 0) {
        im->line++;
        if ((size_t) size > LINE_BYTES_MAX) {
            ctl_error("%s: line %zu is longer than one key's can be", im->from, im->line);
            exit_code = EXIT_REFUSED;
        } else {
            exit_code = import_line(im, text, (size_t) size);
        }
    }
    if (exit_code == EXIT_DONE && ferror(from)) {
        ctl_error("cannot read %s: %s", im->from, strerror(errno));
        exit_code = EXIT_REFUSED;
    }
    free(text);
    /* What was sent is written, whatever came after it. */
    int code = EXIT_DONE;
    while (code == EXIT_DONE && im->answered < im->sent) {
        code = take_answer(im);
    }
    return exit_code != EXIT_DONE ? exit_code : code != EXIT_DONE ? code : im->exit_code;
}

int registry_import(struct ctl *ctl, struct out *out)
{
    const struct ctl_opts *o = ctl->opts;
    const struct op_value *file = ops_args_get(o->spec, &o->values, "file");
    bool is_stdin = !file->is_given || strcmp(file->text, "-") == 0;
    bool is_dry = ops_args_get(o->spec, &o->values, "dry_run")->number != 0;
    struct import im = {.ctl = ctl, .values = o->values, .from = is_stdin ? "stdin" : file->text};
    FILE *from = is_stdin ? stdin : fopen(file->text, "re");
    (void) out;
    if (from == NULL) {
        ctl_error("cannot open %s: %s", file->text, strerror(errno));
        return EXIT_REFUSED;
    }
    int exit_code = import_all(&im, from);
    if (!is_stdin) {
        fclose(from);
    }
    if (o->format == FORMAT_TEXT) {
        printf(is_dry ? "%zu of %zu would be written\n" : "%zu of %zu written\n", im.written,
               im.answered);
    }
    return exit_code;
}
