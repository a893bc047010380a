/* SPDX-License-Identifier: MPL-2.0 */
/* Events: the list, and following them. A follower asks again from the last number it showed, so
 * it shows nothing twice and misses nothing that the node still keeps, also across restarts of
 * either. */
#define _GNU_SOURCE
#include "cmd/ctl_out.h"

#include "base/err.h"
#include "base/text.h"
#include "client/client.h"

#include <string.h>

#define WAIT_MS 20000 /* how long one request may wait for an event */
#define TYPE_COLUMNS 12
#define NODE_COLUMNS 16
#define OBSERVER_COLUMNS 16

static enum out_style event_style(const char *type)
{
    const char *dot = strchr(type, '.');
    return dot == NULL ? STYLE_PLAIN : out_status_style(dot + 1);
}

static const char *or_dash(const char *text)
{
    return text[0] != '\0' ? text : "-";
}

/* "direct, 3 helpers; its health 2" */
static const char *tries_of(const json_t *event, char ret_text[OUT_TEXT_BYTES])
{
    long long health = (long long) ctl_int(event, "observer_health");
    const char *tried = ctl_text(event, "tried");
    if (tried[0] == '\0') {
        return "-";
    }
    if (health > 0) {
        snprintf(ret_text, OUT_TEXT_BYTES, "%.30s; its health %lld", tried, health);
    } else {
        snprintf(ret_text, OUT_TEXT_BYTES, "%s", tried);
    }
    return ret_text;
}

void ctl_print_events(struct out *out, const json_t *reply)
{
    static const struct out_column columns[] = {
        {"TIME", 2, false},   {"EVENT", 0, false},   {"NODE", 0, false},
        {"REASON", 3, false}, {"SEEN BY", 4, false}, {"TRIED", 6, false},
        {"SEQ", 5, true},
    };
    size_t i;
    json_t *event;
    table_t *table = table_new(columns, 7);
    if (table == NULL) {
        ctl_error("out of memory");
        return;
    }
    json_array_foreach(json_object_get(reply, "events"), i, event)
    {
        char time[OUT_TEXT_BYTES];
        char seq[32];
        char tried[OUT_TEXT_BYTES], observer[OUT_TEXT_BYTES];
        const char *type = ctl_text(event, "type");
        snprintf(seq, sizeof seq, "%lld", (long long) ctl_int(event, "seq"));
        table_add(table, STYLE_DIM, out_time(ctl_text(event, "time"), time));
        table_add(table, event_style(type), type);
        table_add(table, STYLE_BOLD, ctl_text(event, "node"));
        table_add(table, STYLE_PLAIN, or_dash(ctl_text(event, "reason")));
        table_add(table, STYLE_PLAIN, or_dash(out_node(ctl_text(event, "observer"), observer)));
        table_add(table, STYLE_DIM, tries_of(event, tried));
        table_add(table, STYLE_DIM, seq);
    }
    table_print(table, out);
    table_destroy(&table);
}

/* One line of a list that has no end, so its columns have fixed widths. */
static void print_event(const struct out *out, const json_t *event)
{
    char time[OUT_TEXT_BYTES];
    char tried[OUT_TEXT_BYTES], observer[OUT_TEXT_BYTES];
    const char *type = ctl_text(event, "type");
    out_put(out, STYLE_DIM, out_time(ctl_text(event, "time"), time), 21);
    out_put(out, event_style(type), type, TYPE_COLUMNS + 2);
    out_put(out, STYLE_BOLD, ctl_text(event, "node"), NODE_COLUMNS);
    fputs("  ", stdout);
    out_put(out, STYLE_PLAIN, or_dash(ctl_text(event, "reason")), 12);
    out_put(out, STYLE_PLAIN, or_dash(out_node(ctl_text(event, "observer"), observer)), 0);
    if (ctl_text(event, "tried")[0] != '\0') {
        fputs("  (", stdout);
        out_put(out, STYLE_DIM, tries_of(event, tried), 0);
        fputc(')', stdout);
    }
    fputc('\n', stdout);
}

struct follower {
    struct ctl *ctl;
    struct out *out;
    struct op_values values;
    struct op_value *since;
    char asked[40]; /* id of the node whose numbers `since` is one of */
    bool has_answered;
};

/* Numbers of another node, or of one that began anew, say nothing about what was shown. */
static bool began_anew(struct follower *f, const json_t *reply)
{
    const char *asked = ctl_text(reply, "asked");
    bool is_other = f->asked[0] != '\0' && strcmp(f->asked, asked) != 0;
    bool is_behind = f->asked[0] != '\0' && (uint64_t) ctl_int(reply, "last") < f->since->number;
    text_copy(f->asked, sizeof f->asked, asked);
    if (!is_other && !is_behind) {
        return false;
    }
    ctl_error("%s; showing all that it keeps",
              is_other ? "another node answers there now" : "the node's event numbers began anew");
    f->since->number = 0;
    return true;
}

/* Shows what is new; HM_OK, or HM_EIO when it cannot be written. */
static int show(struct follower *f, const json_t *reply)
{
    size_t i;
    json_t *event;
    if (began_anew(f, reply)) {
        return HM_OK; /* asked again from the beginning */
    }
    json_array_foreach(json_object_get(reply, "events"), i, event)
    {
        uint64_t seq = (uint64_t) ctl_int(event, "seq");
        if (seq <= f->since->number) {
            continue;
        }
        f->since->number = seq;
        if (f->ctl->opts->format == FORMAT_JSON) {
            ctl_json_print(event, true);
        } else {
            print_event(f->out, event);
        }
    }
    uint64_t next = (uint64_t) ctl_int(reply, "next");
    f->since->number = next > f->since->number ? next : f->since->number;
    return fflush(stdout) == 0 ? HM_OK : HM_EIO;
}

/* With --node the other node may be gone while the local one is here. */
static int follow_once(void *ctx, char why[256])
{
    struct follower *f = ctx;
    const struct ctl_opts *o = f->ctl->opts;
    json_t *reply = NULL;
    /* The first answer shows what there is, within the timeout; later ones may wait. */
    f->values.v[ops_args_index(o->spec, "wait")] =
        (struct op_value){.is_given = true, .number = f->has_answered};
    int code = ctl_ask_once(f->ctl, o->spec, &f->values,
                            f->has_answered ? WAIT_MS : o->timeout_ms, &reply, why);
    if (code == HM_OK) {
        f->has_answered = true;
        code = show(f, reply);
        json_decref(reply);
    }
    return code;
}

int ctl_follow(struct ctl *ctl, struct out *out)
{
    struct follower f = {.ctl = ctl, .out = out, .values = ctl->opts->values};
    f.since = &f.values.v[ops_args_index(ctl->opts->spec, "since")];
    f.since->is_given = true;
    return ctl_keep_asking(ctl, follow_once, &f);
}
