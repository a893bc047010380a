/* SPDX-License-Identifier: MPL-2.0 */
/* `kv watch`: the keys as they are, then every change. What was shown of each key is remembered
 * by its version, so that after a gap (meshd restarted, or more changed than it keeps) all is
 * read again and only what differs is shown. A page of a list says up to which change it is
 * complete: those up to it are not shown once more. */
#define _GNU_SOURCE
#include "cmd/ctl_kv.h"

#include "base/err.h"
#include "base/omap.h"
#include "base/text.h"
#include "client/client.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_MS 20000 /* how long one request may wait for a change */
#define TEXT_KEY_COLUMNS 24
#define TEXT_ORIGIN_COLUMNS 12
#define TEXT_VALUE_COLUMNS 60

struct watcher {
    struct ctl *ctl;
    struct out *out;
    const struct op_spec *spec;
    struct op_values values; /* since: where to go on */
    omap_t *shown;           /* key to version; the tag is the change up to which that is known */
    bool is_resumed;         /* --since says that what was before was shown */
    bool is_silent;          /* so what is read is not shown */
    bool is_begun;           /* what there was is shown */
};

/* ---- what is shown --------------------------------------------------------------------------- */

static void print_change(const struct watcher *w, const json_t *change)
{
    char time[OUT_TEXT_BYTES], node[OUT_TEXT_BYTES];
    const char *op = ctl_text(change, "op");
    bool is_put = strcmp(op, "put") == 0;
    if (w->ctl->opts->format == FORMAT_JSON) {
        ctl_json_print(change, true);
        return;
    }
    char *value = is_put ? kv_shown(json_object_get(change, "value")) : NULL;
    out_put(w->out, STYLE_DIM, out_time(ctl_text(change, "modified"), time), 21);
    out_put(w->out, is_put ? STYLE_GREEN : STYLE_RED, op, 8);
    out_put(w->out, STYLE_BOLD, ctl_text(change, "key"), TEXT_KEY_COLUMNS);
    fputs("  ", stdout);
    out_put(w->out, STYLE_DIM, out_node(ctl_text(change, "origin"), node),
            TEXT_ORIGIN_COLUMNS);
    fputs("  ", stdout);
    out_put_cut(w->out, STYLE_PLAIN, value != NULL ? value : "-", TEXT_VALUE_COLUMNS);
    fputc('\n', stdout);
    free(value);
}

static struct span text_span(const char *text)
{
    return span_of(text, strlen(text));
}

/* The number in a place "LIFE-NUMBER". */
static uint64_t number_of(const char *place)
{
    const char *dash = strrchr(place, '-');
    uint64_t number = 0;
    if (dash != NULL && text_to_u64(dash + 1, UINT64_MAX, &number) != HM_OK) {
        number = 0;
    }
    return number;
}

/* ---- all there is ---------------------------------------------------------------------------- */

/* A key of a list in the shape of a change. */
static json_t *change_of(const json_t *item, const char *place)
{
    static const char *const names[] = {"key",     "type",   "value",     "cut",
                                        "version", "origin", "origin_id", "modified"};
    json_t *change = json_pack("{s:s}", "op", "put");
    for (size_t i = 0; i < sizeof names / sizeof names[0] && change != NULL; i++) {
        if (json_object_set(change, names[i], json_object_get(item, names[i])) != 0) {
            json_decref(change);
            change = NULL;
        }
    }
    if (change != NULL) {
        json_object_set_new(change, "since", json_string(place));
    }
    return change;
}

static int take_item(struct watcher *w, const json_t *item, const char *place, omap_t *now)
{
    struct span key = text_span(ctl_text(item, "key"));
    struct span version = text_span(ctl_text(item, "version"));
    struct span before = {NULL, 0};
    bool is_same = omap_get(w->shown, key, &before, NULL) && before.size == version.size &&
                   memcmp(before.data, version.data, version.size) == 0;
    if (!is_same && !w->is_silent) {
        json_t *change = change_of(item, place);
        if (change == NULL) {
            return HM_EMALFORMED;
        }
        print_change(w, change);
        json_decref(change);
    }
    /* What came after the place of --since is still to be shown, though it is in the list. */
    return omap_put(now, key, version, w->is_silent ? 0 : number_of(place));
}

/* Keys that were shown and are there no more. */
static void print_gone(const struct watcher *w, const omap_t *now, const char *place)
{
    struct span key = span_of("", 0);
    for (bool first = true; omap_next(w->shown, key, first, &key, NULL, NULL); first = false) {
        if (omap_get(now, key, NULL, NULL)) {
            continue;
        }
        json_t *change = json_pack("{s:s, s:s%, s:n, s:n, s:b, s:n, s:n, s:n, s:n, s:s}", "op",
                                   "delete", "key", key.data, key.size, "type", "value", "cut", 0,
                                   "version", "origin", "origin_id", "modified", "since", place);
        if (change != NULL) {
            print_change(w, change);
        }
        json_decref(change);
    }
}

static int read_pages(struct watcher *w, omap_t *now, char place[64], char why[256])
{
    const struct op_spec *spec = ops_spec(OP_KV_LIST);
    struct op_values values;
    bool is_on = true;
    int code = HM_OK;
    ops_args_init(spec, &values);
    values.v[ops_args_index(spec, "prefix")] = *ops_args_get(w->spec, &w->values, "prefix");
    while (is_on && code == HM_OK) {
        json_t *page = NULL;
        size_t i;
        json_t *item;
        code = ctl_ask_once(w->ctl, spec, &values, w->ctl->opts->timeout_ms, &page, why);
        if (code != HM_OK) {
            return code;
        }
        text_copy(place, 64, ctl_text(page, "since"));
        json_array_foreach(json_object_get(page, "keys"), i, item)
        {
            code = code == HM_OK ? take_item(w, item, place, now) : code;
        }
        is_on = ctl_next_page(spec, page, 0, &values);
        json_decref(page);
        code = code == HM_OK && fflush(stdout) != 0 ? HM_EIO : code;
    }
    return code;
}

/* Shows how all there is differs from what was shown. */
static int read_all(struct watcher *w, char why[256])
{
    omap_t *now = omap_new();
    char place[64] = "";
    int code = now == NULL ? HM_ENOMEM : read_pages(w, now, place, why);
    if (code == HM_OK) {
        print_gone(w, now, place);
        omap_destroy(&w->shown);
        w->shown = now;
        now = NULL;
    }
    omap_destroy(&now);
    return code;
}

/* ---- what changes ---------------------------------------------------------------------------- */

static void take_change(struct watcher *w, const json_t *change)
{
    struct span key = text_span(ctl_text(change, "key"));
    struct span version = text_span(ctl_text(change, "version"));
    uint64_t number = number_of(ctl_text(change, "since"));
    uint64_t known = 0;
    bool is_put = strcmp(ctl_text(change, "op"), "put") == 0;
    bool was_there = omap_get(w->shown, key, NULL, &known);
    if (number <= known) {
        return; /* the list showed it, or what came later */
    }
    if (is_put) {
        omap_put(w->shown, key, version, number);
    } else {
        omap_remove(w->shown, key);
    }
    if (is_put || was_there || w->is_resumed) {
        print_change(w, change);
    }
}

static struct op_value *since_of(struct watcher *w)
{
    return &w->values.v[ops_args_index(w->spec, "since")];
}

static void set_since(struct watcher *w, const json_t *reply)
{
    struct op_value *since = since_of(w);
    since->is_given = true;
    text_copy(since->text, sizeof since->text, ctl_text(reply, "next"));
}

static int ask(struct watcher *w, bool may_wait, json_t **ret_reply, char why[256])
{
    w->values.v[ops_args_index(w->spec, "wait")] =
        (struct op_value){.is_given = true, .number = may_wait};
    return ctl_ask_once(w->ctl, w->spec, &w->values, may_wait ? WAIT_MS : w->ctl->opts->timeout_ms,
                        ret_reply, why);
}

/* One request and what it brings. */
static int follow_once(struct watcher *w, char why[256])
{
    json_t *reply = NULL;
    size_t i;
    json_t *change;
    int code = ask(w, true, &reply, why);
    if (code != HM_OK) {
        return code;
    }
    bool has_gap = ctl_bool(reply, "gap");
    json_array_foreach(json_object_get(reply, "changes"), i, change)
    {
        take_change(w, change);
    }
    /* Only when all was read is the new place ours: else the gap is met again. */
    code = has_gap ? read_all(w, why) : HM_OK;
    if (code == HM_OK) {
        set_since(w, reply);
    }
    json_decref(reply);
    return code == HM_OK && fflush(stdout) != 0 ? HM_EIO : code;
}

/* Takes a place in the log and reads all; with --since what is there is taken as shown. */
static int begin(struct watcher *w, char why[256])
{
    json_t *reply = NULL;
    bool is_resumed = since_of(w)->is_given;
    int code = ask(w, false, &reply, why);
    if (code != HM_OK) {
        return code;
    }
    if (is_resumed && ctl_bool(reply, "gap")) {
        ctl_error("what changed since then is not kept any more; showing all there is");
        is_resumed = false;
    }
    w->is_resumed = is_resumed;
    w->is_silent = is_resumed;
    code = read_all(w, why);
    w->is_silent = false;
    if (!is_resumed && code == HM_OK) {
        set_since(w, reply);
    }
    json_decref(reply);
    return code;
}

static int watch_once(void *ctx, char why[256])
{
    struct watcher *w = ctx;
    int code = w->is_begun ? follow_once(w, why) : begin(w, why);
    w->is_begun |= code == HM_OK;
    return code;
}

int kv_watch(struct ctl *ctl, struct out *out)
{
    struct watcher w = {.ctl = ctl,
                        .out = out,
                        .spec = ctl->opts->spec,
                        .values = ctl->opts->values,
                        .shown = omap_new()};
    if (w.shown == NULL) {
        return ctl_failed(ctl, HM_ENOMEM, "");
    }
    int exit_code = ctl_keep_asking(ctl, watch_once, &w);
    omap_destroy(&w.shown);
    return exit_code;
}
