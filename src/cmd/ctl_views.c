/* SPDX-License-Identifier: MPL-2.0 */
/* What a person sees of each reply. */
#define _GNU_SOURCE
#include "cmd/ctl_doctor.h"
#include "cmd/ctl_out.h"
#include "cmd/ctl_store.h"
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define KEY_COLUMNS 11

static void put_key(const struct out *out, const char *key)
{
    out_put(out, STYLE_DIM, key, KEY_COLUMNS);
}

static void put_line(const struct out *out, const char *key, enum out_style style, const char *text)
{
    put_key(out, key);
    out_put_wrapped(out, style, text, KEY_COLUMNS);
}

/* ---- status ---------------------------------------------------------------------------------- */

static void status_members(const struct out *out, const json_t *reply)
{
    static const char *const statuses[] = {"alive", "suspect", "failed", "left"};
    const json_t *members = json_object_get(reply, "members");
    int64_t all = 0;
    char text[64];
    for (size_t i = 0; i < 4; i++) {
        all += ctl_int(members, statuses[i]);
    }
    put_key(out, "nodes");
    snprintf(text, sizeof text, "%" PRId64 ":", all);
    out_put(out, STYLE_PLAIN, text, 0);
    const char *separator = " ";
    for (size_t i = 0; i < 4; i++) {
        int64_t count = ctl_int(members, statuses[i]);
        if (count > 0 || i == 0) {
            snprintf(text, sizeof text, "%" PRId64 " %s", count, statuses[i]);
            fputs(separator, stdout);
            out_put(out, out_status_style(statuses[i]), text, 0);
            separator = ", ";
        }
    }
    fputc('\n', stdout);
}

static void status_absent(const struct out *out, const json_t *reply)
{
    size_t i;
    json_t *member;
    json_array_foreach(json_object_get(reply, "absent"), i, member)
    {
        char ago[OUT_TEXT_BYTES];
        const char *status = ctl_text(member, "status");
        put_key(out, "");
        out_put(out, STYLE_BOLD, ctl_text(member, "name"), 0);
        fputs("  ", stdout);
        out_put(out, out_status_style(status), status, 0);
        printf(" for %s\n", out_ago(ctl_text(member, "since"), ctl_text(reply, "time"), ago));
    }
}

static void status_problems(const struct out *out, const json_t *reply)
{
    const json_t *problems = json_object_get(reply, "problems");
    size_t i;
    json_t *problem;
    if (json_array_size(problems) == 0) {
        put_line(out, "problems", STYLE_GREEN, "none");
        return;
    }
    json_array_foreach(problems, i, problem)
    {
        const char *mend = ctl_text(problem, "mend");
        bool is_mild = strcmp(ctl_text(problem, "code"), "members-suspect") == 0 ||
                       strcmp(ctl_text(problem, "code"), "slow") == 0 ||
                       strcmp(ctl_text(problem, "code"), "leaving") == 0;
        put_line(out, i == 0 ? "problems" : "", is_mild ? STYLE_YELLOW : STYLE_RED,
                 ctl_text(problem, "text"));
        if (mend[0] != '\0') {
            put_line(out, "", STYLE_PLAIN, mend);
        }
    }
}

void ctl_print_status(struct out *out, const json_t *reply)
{
    char text[256];
    char up[OUT_TEXT_BYTES];
    int64_t health = ctl_int(reply, "health");
    put_line(out, "mesh", STYLE_BOLD, ctl_text(reply, "mesh"));
    status_members(out, reply);
    status_absent(out, reply);
    put_key(out, "this node");
    out_put(out, STYLE_BOLD, ctl_text(reply, "name"), 0);
    snprintf(text, sizeof text, " at %s, %" PRId64 " link%s",
             json_is_string(json_object_get(reply, "address")) ? ctl_text(reply, "address")
                                                               : "an address not known yet",
             ctl_int(reply, "links"), ctl_int(reply, "links") == 1 ? "" : "s");
    out_put(out, STYLE_PLAIN, text, 0);
    fputc('\n', stdout);
    put_line(out, "id", STYLE_PLAIN, ctl_text(reply, "id"));
    snprintf(text, sizeof text, "%s, version %s",
             out_duration((uint64_t) ctl_int(reply, "uptime_ms"), up), ctl_text(reply, "version"));
    put_line(out, "running", STYLE_PLAIN, text);
    if (health == 0) {
        put_line(out, "health", STYLE_GREEN, "good");
    } else {
        snprintf(text, sizeof text, "slow: score %" PRId64 " of %" PRId64, health,
                 ctl_int(reply, "health_max"));
        put_line(out, "health", STYLE_YELLOW, text);
    }
    status_problems(out, reply);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

/* "arch=arm64,cpus=4" without the label role, which has its own column. */
static char *labels_text(const json_t *labels, const char *without)
{
    const char *key;
    json_t *value;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (stream == NULL) {
        return NULL;
    }
    json_object_foreach((json_t *) labels, key, value)
    {
        if (without == NULL || strcmp(key, without) != 0) {
            fprintf(stream, "%s%s=%s", ftell(stream) > 0 ? "," : "", key, ctl_text_of(value));
        }
    }
    fclose(stream);
    return text;
}

/* Nodes of one name are told apart here: the second is shown as name~2, and ids appear. */
static unsigned nth_of_name(const json_t *nodes, size_t idx)
{
    unsigned nth = 1;
    const char *name = ctl_text(json_array_get(nodes, idx), "name");
    while (idx > 0 && strcmp(ctl_text(json_array_get(nodes, idx - 1), "name"), name) == 0) {
        nth++;
        idx--;
    }
    return nth;
}

static bool has_twins(const json_t *nodes)
{
    for (size_t i = 1; i < json_array_size(nodes); i++) {
        if (nth_of_name(nodes, i) > 1) {
            return true;
        }
    }
    return false;
}

static void add_node(table_t *table, const json_t *reply, size_t idx, bool with_id)
{
    const json_t *nodes = json_object_get(reply, "nodes");
    const json_t *node = json_array_get(nodes, idx);
    const json_t *labels = json_object_get(node, "labels");
    const char *status = ctl_text(node, "status");
    const char *address = ctl_text(node, "address");
    const char *role = ctl_text(labels, "role");
    unsigned nth = nth_of_name(nodes, idx);
    bool is_self = ctl_bool(node, "self");
    char name[OUT_TEXT_BYTES + 16];
    char text[OUT_TEXT_BYTES];
    snprintf(name, sizeof name, nth > 1 ? "%s~%u" : "%s", ctl_text(node, "name"), nth);
    table_add(table, is_self ? STYLE_BOLD : STYLE_PLAIN, name);
    if (with_id) {
        snprintf(text, sizeof text, "%.8s", ctl_text(node, "id"));
        table_add(table, STYLE_PLAIN, text);
    }
    table_add(table, out_status_style(status), status);
    table_add(table, STYLE_PLAIN, address[0] != '\0' ? address : "-");
    table_add(table, is_self ? STYLE_DIM : STYLE_PLAIN,
              is_self ? "self" : out_ms(json_object_get(node, "rtt_ms"), text));
    table_add(table, STYLE_PLAIN, out_ago(ctl_text(node, "since"), ctl_text(reply, "time"), text));
    table_add(table, STYLE_PLAIN, role[0] != '\0' ? role : "-");
    char *rest = labels_text(labels, "role");
    table_add(table, STYLE_DIM, rest != NULL && rest[0] != '\0' ? rest : "-");
    free(rest);
}

void ctl_print_nodes(struct out *out, const json_t *reply)
{
    static const struct out_column columns[] = {
        {"NAME", 0, false}, {"ID", 1, false},   {"STATUS", 0, false}, {"ADDRESS", 3, false},
        {"RTT", 4, true},   {"SINCE", 2, true}, {"ROLE", 5, false},   {"LABELS", 6, false},
    };
    struct out_column without_id[7];
    const json_t *nodes = json_object_get(reply, "nodes");
    bool with_id = has_twins(nodes);
    without_id[0] = columns[0];
    memcpy(without_id + 1, columns + 2, 6 * sizeof columns[0]);
    table_t *table = with_id ? table_new(columns, 8) : table_new(without_id, 7);
    if (table == NULL) {
        ctl_error("out of memory");
        return;
    }
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        add_node(table, reply, i, with_id);
    }
    table_print(table, out);
    table_destroy(&table);
}

static void node_reason(const struct out *out, const json_t *node)
{
    char text[256];
    const char *reason = ctl_text(node, "reason");
    const char *observer = ctl_text(node, "observer");
    if (reason[0] == '\0') {
        return;
    }
    snprintf(text, sizeof text, "%s%s%s", reason, observer[0] != '\0' ? ", seen by " : "",
             observer);
    put_line(out, "reason", STYLE_PLAIN, text);
}

static void node_labels(const struct out *out, const json_t *node)
{
    const char *key;
    json_t *value;
    const char *name = "labels";
    json_object_foreach(json_object_get(node, "labels"), key, value)
    {
        put_key(out, name);
        out_put(out, STYLE_PLAIN, key, 0);
        fputc('=', stdout);
        out_put(out, STYLE_PLAIN, ctl_text_of(value), 0);
        fputc('\n', stdout);
        name = "";
    }
}

static void node_path(struct out *out, const char *path)
{
    if (strcmp(path, "link") == 0) {
        put_line(out, "path", STYLE_YELLOW, "link: TCP reaches it, UDP is blocked");
    } else if (strcmp(path, "relayed") == 0) {
        put_line(out, "path", STYLE_YELLOW, "relayed: only others reach it from here");
    } else if (path[0] != '\0') {
        put_line(out, "path", STYLE_PLAIN, path);
    }
}

void ctl_print_node(struct out *out, const json_t *reply)
{
    char text[OUT_TEXT_BYTES];
    char estimate[OUT_TEXT_BYTES];
    char line[256];
    const char *status = ctl_text(reply, "status");
    const char *address = ctl_text(reply, "address");
    const char *version = ctl_text(reply, "version");
    const json_t *heard = json_object_get(reply, "last_heard_ms");
    put_line(out, "name", STYLE_BOLD, ctl_text(reply, "name"));
    put_line(out, "id", STYLE_PLAIN, ctl_text(reply, "id"));
    put_key(out, "status");
    out_put(out, out_status_style(status), status, 0);
    fputs(" since ", stdout);
    out_put(out, STYLE_PLAIN, out_time(ctl_text(reply, "since"), text), 0);
    fputc('\n', stdout);
    node_reason(out, reply);
    const char *reached_at = ctl_text(reply, "reached_at");
    snprintf(line, sizeof line, "%s%s%s", address[0] != '\0' ? address : "not known",
             reached_at[0] != '\0' ? "; reached at " : "", reached_at);
    put_line(out, "address", STYLE_PLAIN, line);
    put_line(out, "version", STYLE_PLAIN, version[0] != '\0' ? version : "not known");
    if (ctl_bool(reply, "self")) {
        put_line(out, "rtt", STYLE_PLAIN, "self: this is the node that was asked");
    } else {
        snprintf(line, sizeof line, "%s measured, %s estimated by coordinates%s",
                 out_ms(json_object_get(reply, "rtt_ms"), text),
                 out_ms(json_object_get(reply, "estimate_ms"), estimate),
                 ctl_bool(reply, "linked") ? "; linked" : "");
        put_line(out, "rtt", STYLE_PLAIN, line);
        if (json_is_integer(heard)) {
            snprintf(line, sizeof line, "%s ago",
                     out_duration((uint64_t) json_integer_value(heard), text));
            put_line(out, "heard", STYLE_PLAIN, line);
        }
        node_path(out, ctl_text(reply, "path"));
    }
    node_labels(out, reply);
}

void ctl_print_rtt(struct out *out, const json_t *reply)
{
    static const char *const rows[][2] = {
        {"now", "rtt_ms"}, {"estimate", "estimate_ms"}, {"least", "min_ms"},
        {"mean", "avg_ms"},     {"largest", "max_ms"},
    };
    char text[OUT_TEXT_BYTES];
    const char *status = ctl_text(reply, "status");
    if (ctl_text(reply, "from")[0] != '\0') {
        put_line(out, "from", STYLE_BOLD, ctl_text(reply, "from"));
    }
    put_key(out, "to");
    out_put(out, STYLE_BOLD, ctl_text(reply, "node"), 0);
    fputs("  ", stdout);
    out_put(out, out_status_style(status), status, 0);
    fputs("  ", stdout);
    out_put(out, STYLE_PLAIN, ctl_text(reply, "address"), 0);
    fputc('\n', stdout);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_line(out, rows[i][0], STYLE_PLAIN, out_ms(json_object_get(reply, rows[i][1]), text));
    }
    const json_t *samples = json_object_get(reply, "samples_ms");
    put_key(out, "samples");
    for (size_t i = 0; i < json_array_size(samples); i++) {
        printf("%s%s", i > 0 ? ", " : "", out_ms(json_array_get(samples, i), text));
    }
    fputs(json_array_size(samples) > 0 ? "\n" : "none yet\n", stdout);
}

/* ---- the rest -------------------------------------------------------------------------------- */

void ctl_print_rename(struct out *out, const json_t *reply)
{
    const char *given = ctl_text(reply, "given");
    fputs("this node is named ", stdout);
    out_put(out, STYLE_BOLD, ctl_text(reply, "name"), 0);
    if (given[0] != '\0' && strcmp(given, ctl_text(reply, "name")) != 0) {
        fputs("; its start says --name=", stdout);
        out_put(out, STYLE_PLAIN, given, 0);
        fputs(", which wins at the next one: change that, too\n", stdout);
    } else {
        fputs("; that stays after a restart\n", stdout);
    }
}

void ctl_print_removed(struct out *out, const json_t *reply)
{
    out_put(out, STYLE_BOLD, ctl_text(reply, "name"), 0);
    out_say(" (%.12s) is removed from mesh %s for good", ctl_text(reply, "id"),
            ctl_text(reply, "mesh"));
    fputc('\n', stdout);
    out_say("note: %s", ctl_text(reply, "warning"));
    fputc('\n', stdout);
}

void ctl_print_leave(struct out *out, const json_t *reply)
{
    out_put(out, STYLE_BOLD, ctl_text(reply, "name"), 0);
    fputs(" leaves mesh ", stdout);
    out_put(out, STYLE_BOLD, ctl_text(reply, "mesh"), 0);
    fputs("; starting its meshd again joins again\n", stdout);
}

/* The token alone on stdout, so that it can be piped; what it is for where a person reads it. */
void ctl_print_token(struct out *out, const json_t *reply)
{
    out_put(out, STYLE_PLAIN, ctl_text(reply, "token"), 0);
    fputc('\n', stdout);
    if (out->is_terminal) {
        fflush(stdout);
        fputs("\nThis is a secret: whoever has it can join. On the other machine, once:\n"
              "  meshd --discover=MESH --token=-     and paste it there\n",
              stderr);
    }
}

void ctl_print_version(struct out *out, const json_t *reply)
{
    char text[256];
    printf("meshctl %s\n", PACKAGE_VERSION);
    snprintf(text, sizeof text, "meshd %s, protocol %" PRId64 ", node %s of mesh %s\n",
             ctl_text(reply, "version"), ctl_int(reply, "protocol"), ctl_text(reply, "name"),
             ctl_text(reply, "mesh"));
    text[strcspn(text, "\n")] = '\0';
    out_put(out, STYLE_PLAIN, text, 0);
    fputc('\n', stdout);
}

/* ---- all of them ------------------------------------------------------------------------------ */

void ctl_print_text(struct out *out, enum op op, const json_t *reply)
{
    switch (op) {
    case OP_STATUS:
        ctl_print_status(out, reply);
        break;
    case OP_NODES_LIST:
        ctl_print_nodes(out, reply);
        break;
    case OP_NODES_SHOW:
        ctl_print_node(out, reply);
        break;
    case OP_NODES_EVENTS:
    case OP_EVENTS:
        ctl_print_events(out, reply);
        break;
    case OP_NODES_RENAME:
        ctl_print_rename(out, reply);
        break;
    case OP_NODES_REMOVE:
        ctl_print_removed(out, reply);
        break;
    case OP_KV_PUT:
    case OP_KV_DELETE:
    case OP_KV_GET:
    case OP_KV_LIST:
    case OP_KV_CONFLICTS:
    case OP_KV_RESOLVE:
    case OP_KV_WATCH:
    case OP_KV_HISTORY:
    case OP_REGISTRY_DIFF:
    case OP_REGISTRY_REPORT:
    case OP_REGISTRY_EXPORT:
    case OP_REGISTRY_IMPORT:
    case OP_BACKUP:
    case OP_RESTORE:
        ctl_print_kv(out, op, reply);
        break;
    case OP_REGISTRY_STATUS:
        ctl_print_registry(out, reply);
        break;
    case OP_REGISTRY_INSPECT:
        ctl_print_entries(out, reply);
        break;
    case OP_SERVICES_REGISTER:
    case OP_SERVICES_DEREGISTER:
    case OP_SERVICES_LIST:
    case OP_SERVICES_SHOW:
    case OP_SERVICES_WATCH:
    case OP_SERVICES_PASS:
    case OP_SERVICES_WARN:
    case OP_SERVICES_FAIL:
        ctl_print_services(out, op, reply);
        break;
    case OP_RTT:
        ctl_print_rtt(out, reply);
        break;
    case OP_PEERS:
        ctl_print_peers(out, reply);
        break;
    case OP_DOCTOR:
        ctl_print_doctor(out, json_object_get(reply, "checks"));
        break;
    case OP_LIMITS:
        ctl_print_limits(out, reply);
        break;
    case OP_STORE_STATUS:
        ctl_print_store(out, reply);
        break;
    case OP_STORE_CHECK:   /* what comes of them is asked for by store.status */
    case OP_STORE_COMPACT:
        break;
    case OP_LEAVE:
        ctl_print_leave(out, reply);
        break;
    case OP_TOKEN:
        ctl_print_token(out, reply);
        break;
    case OP_METRICS:
        ctl_print_metrics(out, reply);
        break;
    case OP_VERSION:
        ctl_print_version(out, reply);
        break;
    case OP_COUNT:
        break;
    }
}

json_t *ctl_json_shown(const struct op_spec *spec, json_t *reply)
{
    if (spec->op == OP_VERSION) {
        json_object_set_new(reply, "meshctl", json_string(PACKAGE_VERSION));
    }
    json_t *items = spec->items != NULL ? json_object_get(reply, spec->items) : NULL;
    return items != NULL ? items : reply;
}
