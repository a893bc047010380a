/* SPDX-License-Identifier: MPL-2.0 */
/* Services: the list, one in full, and watching them. A watcher asks for all that matches, shows what
 * differs from what it showed before, and asks again to be answered when that has changed: so it misses
 * nothing, whatever a change follows from and however long it was away. */
#define _GNU_SOURCE
#include "cmd/ctl_out.h"

#include "base/err.h"
#include "base/text.h"
#include "client/client.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])
#define WAIT_MS 20000 /* how long one request may wait for a change */

/* ---- for people ------------------------------------------------------------------------------ */

static enum out_style health_style(const char *health)
{
    return strcmp(health, "passing") == 0   ? STYLE_GREEN
           : strcmp(health, "warning") == 0 ? STYLE_YELLOW
                                            : STYLE_RED;
}

static void add_joined(table_t *table, json_t *values)
{
    char *text = ctl_joined(values);
    table_add(table, STYLE_DIM, text != NULL ? text : "-");
    free(text);
}

static const char *or_dash(const char *text)
{
    return text[0] != '\0' ? text : "-";
}

/* "10.0.0.1:80", "[fd00::1]:80" */
static const char *place_of(const json_t *service, char *to, size_t size)
{
    const char *address = ctl_text(service, "address");
    bool is_v6 = strchr(address, ':') != NULL;
    snprintf(to, size, is_v6 ? "[%s]:%" PRId64 : "%s:%" PRId64, or_dash(address),
             ctl_int(service, "port"));
    return to;
}

static void print_list(struct out *out, const json_t *services)
{
    static const struct out_column columns[] = {
        {"NAME", 0, false}, {"ADDRESS", 0, false}, {"HEALTH", 0, false},  {"NODE", 1, false},
        {"ID", 2, false},   {"TAGS", 4, false},    {"VERSION", 3, false}, {"META", 5, false},
    };
    char place[320];
    size_t i;
    json_t *service;
    table_t *table = table_new(columns, COUNT_OF(columns));
    if (table == NULL) {
        ctl_error("out of memory");
        return;
    }
    if (json_array_size(services) == 0) {
        fputs("none: no such service is registered on a node that is alive\n", stdout);
    }
    json_array_foreach(services, i, service)
    {
        const char *health = ctl_text(service, "health");
        table_add(table, STYLE_BOLD, ctl_text(service, "name"));
        table_add(table, STYLE_PLAIN, place_of(service, place, sizeof place));
        table_add(table, health_style(health), health);
        table_add(table, STYLE_PLAIN, ctl_text(service, "node"));
        table_add(table, STYLE_DIM, ctl_text(service, "id"));
        add_joined(table, json_object_get(service, "tags"));
        table_add(table, STYLE_DIM, or_dash(ctl_text(service, "version")));
        add_joined(table, json_object_get(service, "meta"));
    }
    if (json_array_size(services) > 0) {
        table_print(table, out);
    }
    table_destroy(&table);
}

static void print_line(const struct out *out, const char *name, enum out_style style,
                       const char *text)
{
    out_put(out, STYLE_DIM, name, 12);
    out_put_wrapped(out, style, text, 12);
}

static void print_words(const struct out *out, const char *name, json_t *values)
{
    char *text = ctl_joined(values);
    print_line(out, name, STYLE_PLAIN, text != NULL ? text : "-");
    free(text);
}

static void print_ttl(const struct out *out, const json_t *service)
{
    char ttl[OUT_TEXT_BYTES], after[OUT_TEXT_BYTES], text[3 * OUT_TEXT_BYTES];
    if (ctl_int(service, "ttl_ms") == 0) {
        print_line(out, "ttl", STYLE_PLAIN, "none: it needs no refresh");
        return;
    }
    out_duration((uint64_t) ctl_int(service, "ttl_ms"), ttl);
    if (ctl_int(service, "deregister_after_ms") > 0) {
        snprintf(text, sizeof text, "%s; not refreshed for %s it goes", ttl,
                 out_duration((uint64_t) ctl_int(service, "deregister_after_ms"), after));
    } else {
        snprintf(text, sizeof text, "%s", ttl);
    }
    print_line(out, "ttl", STYLE_PLAIN, text);
}

static void print_one(const struct out *out, const json_t *service)
{
    char text[400], time[OUT_TEXT_BYTES];
    const char *health = ctl_text(service, "health");
    const char *said = ctl_text(service, "text");
    const char *file = ctl_text(service, "file");
    out_put(out, STYLE_BOLD, ctl_text(service, "id"), 0);
    fputs(" on ", stdout);
    out_put(out, STYLE_BOLD, ctl_text(service, "node"), 0);
    fputc('\n', stdout);
    print_line(out, "name", STYLE_PLAIN, ctl_text(service, "name"));
    print_line(out, "address", STYLE_PLAIN, place_of(service, text, sizeof text));
    snprintf(text, sizeof text, "%s%s%s", health, said[0] != '\0' ? ": " : "", said);
    print_line(out, "health", health_style(health), text);
    print_line(out, "version", STYLE_PLAIN, or_dash(ctl_text(service, "version")));
    print_words(out, "tags", json_object_get(service, "tags"));
    print_words(out, "meta", json_object_get(service, "meta"));
    print_ttl(out, service);
    snprintf(text, sizeof text, "%s%s%s, %s", ctl_text(service, "source"),
             file[0] != '\0' ? " services.d/" : "", file,
             out_time(ctl_text(service, "since"), time));
    print_line(out, "said by", STYLE_PLAIN, text);
    print_line(out, "round trip", STYLE_PLAIN,
               out_ms(json_object_get(service, "rtt_ms"), time));
    print_line(out, "node id", STYLE_DIM, ctl_text(service, "node_id"));
}

void ctl_print_services(struct out *out, enum op op, const json_t *reply)
{
    const json_t *services = json_object_get(reply, "services");
    size_t i;
    json_t *service;
    if (op == OP_SERVICES_LIST) {
        print_list(out, services);
    } else if (op == OP_SERVICES_SHOW) {
        json_array_foreach(services, i, service)
        {
            fputs(i > 0 ? "\n" : "", stdout);
            print_one(out, service);
        }
    } else if (op == OP_SERVICES_REGISTER) {
        out_put(out, STYLE_BOLD, ctl_text(reply, "id"), 0);
        fputs(" is registered on ", stdout);
        out_put(out, STYLE_PLAIN, ctl_text(reply, "node"), 0);
        fputc('\n', stdout);
    }
    /* The others say nothing when they are done. */
}

/* ---- watching -------------------------------------------------------------------------------- */

struct watcher {
    struct ctl *ctl;
    struct out *out;
    const struct op_spec *spec;
    json_t *shown; /* by "NODE-ID ID": the service as it was shown */
    char state[17]; /* of what was shown; "": nothing yet */
};

static void print_change(const struct watcher *w, const char *op, json_t *service,
                         const char *time)
{
    char text[OUT_TEXT_BYTES], place[320];
    bool is_put = strcmp(op, "put") == 0;
    if (w->ctl->opts->format == FORMAT_JSON) {
        json_t *line = json_pack("{s:s}", "op", op);
        if (line != NULL && json_object_update(line, service) == 0) {
            ctl_json_print(line, true);
        }
        json_decref(line);
        return;
    }
    const char *health = ctl_text(service, "health");
    out_put(w->out, STYLE_DIM, out_time(time, text), 21);
    out_put(w->out, is_put ? STYLE_GREEN : STYLE_RED, op, 8);
    out_put(w->out, STYLE_BOLD, ctl_text(service, "name"), 16);
    fputs("  ", stdout);
    out_put(w->out, STYLE_PLAIN, place_of(service, place, sizeof place), 22);
    fputs("  ", stdout);
    out_put(w->out, health_style(health), is_put ? health : "-", 9);
    out_put(w->out, STYLE_PLAIN, ctl_text(service, "node"), 12);
    fputs("  ", stdout);
    out_put(w->out, STYLE_DIM, ctl_text(service, "id"), 0);
    fputc('\n', stdout);
}

/* Shows how what there is differs from what was shown. */
static int show(struct watcher *w, const json_t *reply)
{
    const char *time = ctl_text(reply, "time");
    json_t *now = json_object();
    size_t i;
    json_t *service;
    const char *name;
    json_array_foreach(json_object_get(reply, "services"), i, service)
    {
        char key[256];
        snprintf(key, sizeof key, "%s %s", ctl_text(service, "node_id"), ctl_text(service, "id"));
        json_t *before = json_object_get(w->shown, key);
        if (before == NULL || !json_equal(before, service)) {
            print_change(w, "put", service, time);
        }
        json_object_set(now, key, service);
    }
    json_object_foreach(w->shown, name, service)
    {
        if (json_object_get(now, name) == NULL) {
            print_change(w, "delete", service, time);
        }
    }
    json_decref(w->shown);
    w->shown = now;
    text_copy(w->state, sizeof w->state, ctl_text(reply, "state"));
    return now == NULL ? HM_ENOMEM : fflush(stdout) == 0 ? HM_OK : HM_EIO;
}

/* All pages, or, when nothing has changed until the deadline, none. */
static int ask(struct watcher *w, json_t **ret_reply, char why[256])
{
    struct op_values values = w->ctl->opts->values;
    uint64_t timeout_ms = w->ctl->opts->timeout_ms;
    json_t *all = NULL;
    if (w->state[0] != '\0') {
        struct op_value *seen = &values.v[ops_args_index(w->spec, "seen")];
        seen->is_given = true;
        text_copy(seen->text, sizeof seen->text, w->state);
        values.v[ops_args_index(w->spec, "wait")] =
            (struct op_value){.is_given = true, .number = true};
        timeout_ms = WAIT_MS;
    }
    bool is_on = true;
    for (int i = 0; i < CTL_PAGES_MAX && is_on; i++) {
        json_t *page = NULL;
        int code = ctl_ask_once(w->ctl, w->spec, &values, timeout_ms, &page, why);
        if (code != HM_OK) {
            json_decref(all);
            return code;
        }
        /* Further pages of what is there: without waiting, and though it may be seen. */
        is_on = ctl_next_page(w->spec, page, 0, &values);
        values.v[ops_args_index(w->spec, "seen")].is_given = false;
        values.v[ops_args_index(w->spec, "wait")].is_given = false;
        if (all == NULL) {
            all = page;
            continue;
        }
        json_array_extend(json_object_get(all, "services"), json_object_get(page, "services"));
        json_decref(page);
    }
    *ret_reply = all;
    return HM_OK;
}

static int watch_once(void *ctx, char why[256])
{
    struct watcher *w = ctx;
    json_t *reply = NULL;
    int code = ask(w, &reply, why);
    if (code == HM_OK) {
        code = ctl_bool(reply, "changed") ? show(w, reply) : HM_OK;
        json_decref(reply);
    }
    return code;
}

int ctl_watch_services(struct ctl *ctl, struct out *out)
{
    struct watcher w = {
        .ctl = ctl, .out = out, .spec = ctl->opts->spec, .shown = json_object()};
    if (w.shown == NULL) {
        return ctl_failed(ctl, HM_ENOMEM, "");
    }
    int exit_code = ctl_keep_asking(ctl, watch_once, &w);
    json_decref(w.shown);
    return exit_code;
}
