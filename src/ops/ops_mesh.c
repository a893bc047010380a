/* SPDX-License-Identifier: MPL-2.0 */
/* Handlers of the operations about the mesh and its members. They read the core through its
 * queries and change nothing but by core_leave. */
#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "ops/ops_call.h"
#include "ops/ops_time.h"
#include "wire/frame.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AROUND_BYTES 512    /* what stands beside a list: a handful of short fields */
#define SAMPLES_MAX 16      /* round trips that `rtt` lists */
#define NODE_FIELD_COUNT 17 /* as in the table (NODE_FIELDS) */

/* Labels were signed by another node: only pairs of clean text go out. */
static size_t copy_labels(struct span labels, struct buf *b)
{
    struct mp_reader r;
    size_t copied = 0;
    if (labels.data == NULL || mp_check(labels) != HM_OK) {
        return 0;
    }
    mp_open(&r, labels);
    size_t count = mp_read_map(&r);
    for (size_t i = 0; i < count && !mp_failed(&r); i++) {
        struct span key = mp_read_str(&r, HM_LABEL_KEY_BYTES_MAX);
        struct span value = mp_read_str(&r, HM_LABEL_VALUE_BYTES_MAX);
        if (mp_failed(&r) || !text_is_clean_utf8(key.data, key.size) ||
            !text_is_clean_utf8(value.data, value.size)) {
            continue;
        }
        mp_strn(b, key.data, key.size);
        mp_strn(b, value.data, value.size);
        copied++;
    }
    return copied;
}

static void put_labels(struct buf *b, const char *key, struct span labels)
{
    struct buf pairs;
    buf_init(&pairs, HM_LABELS_BYTES_MAX);
    size_t count = copy_labels(labels, &pairs);
    mp_str(b, key);
    if (buf_failed(&pairs)) {
        mp_map(b, 0);
    } else {
        mp_map(b, count);
        buf_append(b, pairs.data, pairs.size);
    }
    buf_fini(&pairs);
}

static bool member_is_reached(const struct member_view *m)
{
    return !m->is_self && (m->status == STATUS_ALIVE || m->status == STATUS_SUSPECT);
}

/* NODE_FIELD_COUNT pairs. */
static void put_node(struct buf *b, const core_t *core, const struct member_view *m)
{
    ops_put_id(b, "id", &m->id);
    ops_put_str(b, "name", m->name);
    ops_put_addr(b, "address", &m->told_addr); /* nobody can ping a link-local one as it is */
    ops_put_str(b, "status", member_status_name(m->status));
    put_labels(b, "labels", m->labels);
    ops_put_str(b, "version", m->version);
    ops_put_ms(b, "rtt_ms", m->rtt_ns);
    ops_put_time(b, "since", m->since_wall_ms);
    ops_put_bool(b, "self", m->is_self);
    ops_put_str_or_nil(b, "reason", m->reason == REASON_NONE ? "" : reason_name(m->reason));
    ops_put_node_name(b, "observer", core, &m->observer);
    ops_put_uint(b, "incarnation", m->incarnation);
    mp_str(b, "last_heard_ms");
    if (m->last_heard_ns == UINT64_MAX) {
        mp_nil(b);
    } else {
        mp_uint(b, m->last_heard_ns / 1000000);
    }
    ops_put_bool(b, "linked", m->is_linked);
    ops_put_bool(b, "copied", m->is_copied);
    ops_put_str_or_nil(b, "path", member_is_reached(m) ? member_path_name(m->path) : "");
    bool is_elsewhere = member_is_reached(m) && !addr_eq(&m->addr, &m->told_addr);
    struct addr none = {0};
    ops_put_addr(b, "reached_at", is_elsewhere ? &m->addr : &none);
}

/* Place of a node in the list: by name, then id. Also what a cursor says. */
struct place {
    const char *name;
    struct node_id id;
    size_t idx;
};

static int place_cmp(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : node_id_cmp(&x->id, &y->id);
}

static void cursor_write(struct buf *b, const struct place *place)
{
    char id[NODE_ID_TEXT_BYTES];
    char text[OPS_TEXT_BYTES_MAX + 1];
    snprintf(text, sizeof text, "%s %s", place->name, text_hex(place->id.b, NODE_ID_BYTES, id));
    mp_str(b, text);
}

/* Reads "name id"; name is room for the text. */
static int cursor_read(const char *text, char name[OPS_TEXT_BYTES_MAX + 1], struct place *ret_place)
{
    text_copy(name, OPS_TEXT_BYTES_MAX + 1, text);
    char *blank = strrchr(name, ' ');
    if (blank == NULL || text_unhex(blank + 1, ret_place->id.b, NODE_ID_BYTES) != HM_OK) {
        return HM_EINVAL;
    }
    *blank = '\0';
    ret_place->name = name;
    return HM_OK;
}

/* All members after the cursor (NULL: all), sorted. */
static struct place *places_after(const core_t *core, const struct place *after, size_t *ret_count)
{
    size_t all = core_member_count(core);
    struct place *places = malloc((all > 0 ? all : 1) * sizeof *places);
    if (places == NULL) {
        return NULL;
    }
    size_t count = 0;
    for (size_t i = 0; i < all; i++) {
        struct member_view view;
        core_member_at(core, i, &view);
        struct place place = {view.name, view.id, i};
        if (after == NULL || place_cmp(&place, after) > 0) {
            places[count++] = place;
        }
    }
    qsort(places, count, sizeof *places, place_cmp);
    *ret_count = count;
    return places;
}

static void list_nodes(struct ops_call *call, const struct place *places, size_t count)
{
    struct buf *b = call->reply;
    struct ops_page page;
    ops_page_init(&page, b, AROUND_BYTES);
    size_t done = 0;
    while (done < count && !page.is_full) {
        struct member_view view;
        core_member_at(call->core, places[done].idx, &view);
        struct buf *item = ops_page_begin(&page);
        mp_map(item, NODE_FIELD_COUNT);
        put_node(item, call->core, &view);
        done += ops_page_end(&page) ? 1 : 0;
    }
    if (page.is_full && done == 0) {
        ops_fail(call, HM_ENOMEM, "out of memory");
    }
    mp_map(b, 4);
    ops_page_write(&page, b, "nodes");
    mp_str(b, "next");
    if (page.is_full && done > 0) {
        cursor_write(b, &places[done - 1]);
    } else {
        mp_nil(b);
    }
    ops_put_time(b, "time", core_wall_ms(call->core));
    ops_put_uint(b, "members", core_member_count(call->core));
    ops_page_fini(&page);
}

void ops_nodes_list(struct ops_call *call)
{
    const struct op_value *after = ops_args_get(call->spec, call->args, "after");
    char name[OPS_TEXT_BYTES_MAX + 1];
    struct place cursor;
    if (after->is_given && cursor_read(after->text, name, &cursor) != HM_OK) {
        ops_fail(call, HM_EINVAL, "after must be the field next of an earlier reply");
        return;
    }
    size_t count = 0;
    struct place *places = places_after(call->core, after->is_given ? &cursor : NULL, &count);
    if (places == NULL) {
        ops_fail(call, HM_ENOMEM, "out of memory");
        return;
    }
    list_nodes(call, places, count);
    free(places);
}

static uint64_t estimate_to(const core_t *core, const struct node_id *id)
{
    struct core_status status;
    core_status(core, &status);
    return node_id_eq(&status.id, id) ? 0 : core_rtt_estimate(core, &status.id, id);
}

void ops_nodes_show(struct ops_call *call)
{
    struct member_view view;
    if (ops_find_node(call, &view) != HM_OK) {
        return;
    }
    mp_map(call->reply, NODE_FIELD_COUNT + 2);
    put_node(call->reply, call->core, &view);
    ops_put_id_or_nil(call->reply, "observer_id", &view.observer);
    ops_put_ms(call->reply, "estimate_ms", estimate_to(call->core, &view.id));
}

/* What the observer tried before it said so: "direct, 3 helpers, link". "" where that is not known. */
static void tries_of(const struct member_event *ev, char *ret_text, size_t size)
{
    const struct evidence *e = &ev->evidence;
    char helpers[24] = "";
    bool is_silent = ev->type == EVENT_SUSPECT || ev->type == EVENT_FAILED;
    ret_text[0] = '\0';
    if (!is_silent || !e->is_known) {
        return;
    }
    if (ev->reason == REASON_REFUSED) {
        snprintf(ret_text, size, "connected twice");
        return;
    }
    if (e->helpers > 0) {
        snprintf(helpers, sizeof helpers, ", %u helper%s", e->helpers, e->helpers > 1 ? "s" : "");
    }
    snprintf(ret_text, size, "direct%s%s", helpers, e->by_link ? ", link" : "");
}

static void put_event(struct buf *b, const core_t *core, const struct member_event *ev)
{
    char tried[64];
    tries_of(ev, tried, sizeof tried);
    mp_map(b, 11);
    ops_put_time(b, "time", ev->wall_ms);
    ops_put_str(b, "type", member_event_name(ev->type));
    ops_put_str(b, "node", ev->name);
    ops_put_id(b, "id", &ev->node);
    if (node_id_eq(&ev->observer, &ev->node)) {
        ops_put_str(b, "observer", ev->name); /* also when it is not on the roster any more */
    } else {
        ops_put_node_name(b, "observer", core, &ev->observer);
    }
    ops_put_str_or_nil(b, "reason", ev->reason == REASON_NONE ? "" : reason_name(ev->reason));
    ops_put_uint(b, "seq", ev->seq);
    ops_put_id_or_nil(b, "observer_id", &ev->observer);
    mp_str(b, "observer_health");
    if (ev->evidence.is_known) {
        mp_uint(b, ev->evidence.health);
    } else {
        mp_nil(b);
    }
    ops_put_str_or_nil(b, "tried", tried);
    ops_put_uint(b, "incarnation", ev->incarnation);
}

/* Events after `since`, of one node or of all (NULL). A client goes on from `next`, which also
 * counts what the filter passed over. */
static void list_events(struct ops_call *call, const struct node_id *only)
{
    struct core_status status;
    struct ops_page page;
    uint64_t since = ops_args_get(call->spec, call->args, "since")->number;
    bool may_wait = ops_args_get(call->spec, call->args, "wait")->number != 0 && !call->is_last;
    uint64_t last = core_event_last_seq(call->core);
    uint64_t next = since;
    const struct member_event *ev;
    ops_page_init(&page, call->reply, AROUND_BYTES);
    while ((ev = core_event_after(call->core, next)) != NULL) {
        if (only == NULL || node_id_eq(only, &ev->node)) {
            put_event(ops_page_begin(&page), call->core, ev);
            if (!ops_page_end(&page)) {
                break;
            }
        }
        next = ev->seq;
    }
    /* A number above the newest is of another life of this node: the client must learn that now. */
    if (page.count == 0 && !page.is_full && may_wait && since <= last) {
        call->result->wait = true;
    } else {
        core_status(call->core, &status);
        mp_map(call->reply, 4);
        ops_page_write(&page, call->reply, "events");
        ops_put_uint(call->reply, "next", next);
        ops_put_uint(call->reply, "last", last);
        ops_put_id(call->reply, "asked", &status.id);
    }
    ops_page_fini(&page);
}

void ops_events(struct ops_call *call)
{
    list_events(call, NULL);
}

void ops_nodes_events(struct ops_call *call)
{
    struct member_view view;
    if (!ops_args_get(call->spec, call->args, "node")->is_given) {
        list_events(call, NULL);
    } else if (ops_find_node(call, &view) == HM_OK) {
        list_events(call, &view.id);
    }
}

static void put_samples(struct buf *b, const uint64_t *ns, size_t count)
{
    uint64_t min = count > 0 ? ns[0] : 0;
    uint64_t max = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        min = ns[i] < min ? ns[i] : min;
        max = ns[i] > max ? ns[i] : max;
        sum += ns[i];
    }
    ops_put_ms(b, "min_ms", min);
    ops_put_ms(b, "avg_ms", count > 0 ? sum / count : 0);
    ops_put_ms(b, "max_ms", max);
    mp_str(b, "samples_ms");
    mp_array(b, count);
    for (size_t i = 0; i < count; i++) {
        mp_double(b, (double) (ns[i] / 1000) / 1000.0);
    }
}

/* The two ends: without "to" the asked node and "node", with it "node" and "to". */
static int find_ends(struct ops_call *call, struct member_view *from, struct member_view *to)
{
    struct core_status status;
    core_status(call->core, &status);
    bool is_given = ops_args_get(call->spec, call->args, "to")->is_given;
    int code = ops_find_node_arg(call, is_given ? "to" : "node", to);
    if (code == HM_OK && is_given) {
        code = ops_find_node_arg(call, "node", from);
    } else if (code == HM_OK) {
        code = ops_find_id(call->core, &status.id, from);
    }
    return code;
}

void ops_rtt(struct ops_call *call)
{
    struct member_view from;
    struct member_view to;
    uint64_t ns[SAMPLES_MAX];
    struct buf *b = call->reply;
    if (find_ends(call, &from, &to) != HM_OK) {
        return;
    }
    /* A round trip is one both ways: what we measured to either end will do if we are the other. */
    const struct member_view *far = from.is_self ? &to : &from;
    bool is_ours = from.is_self || to.is_self;
    size_t count = is_ours ? core_rtt_samples(call->core, &far->id, ns, SAMPLES_MAX) : 0;
    mp_map(b, 12);
    ops_put_str(b, "from", from.name);
    ops_put_id(b, "from_id", &from.id);
    ops_put_str(b, "node", to.name);
    ops_put_id(b, "id", &to.id);
    ops_put_addr(b, "address", &to.addr);
    ops_put_str(b, "status", member_status_name(to.status));
    ops_put_ms(b, "rtt_ms", is_ours ? far->rtt_ns : 0);
    ops_put_ms(b, "estimate_ms", node_id_eq(&from.id, &to.id)
                                     ? 0
                                     : core_rtt_estimate(call->core, &from.id, &to.id));
    put_samples(b, ns, count);
}

void ops_leave(struct ops_call *call)
{
    struct core_status status;
    core_status(call->core, &status);
    mp_map(call->reply, 4);
    ops_put_str(call->reply, "mesh", status.mesh);
    ops_put_str(call->reply, "name", status.name);
    ops_put_id(call->reply, "id", &status.id);
    ops_put_bool(call->reply, "leaving", true);
    core_leave(call->core);
}

/* The compiler may drop a memset of memory that is freed next, but not writes through a
 * volatile. */
static void wipe(struct buf *b)
{
    volatile uint8_t *at = b->data;
    for (size_t i = 0; i < b->room; i++) {
        at[i] = 0;
    }
    buf_fini(b);
}

void ops_token(struct ops_call *call)
{
    struct buf token;
    if (call->env->token == NULL) {
        ops_fail(call, HM_EDENIED, "this node has no token to give");
        return;
    }
    buf_init(&token, 4096);
    int code = call->env->token(call->env->ctx, &token);
    if (code == HM_OK && (buf_failed(&token) || !text_is_clean_utf8(token.data, token.size))) {
        code = HM_EIO;
    }
    if (code != HM_OK) {
        ops_fail(call, code, "the token cannot be made: %s", hm_strerror(code));
    } else {
        mp_map(call->reply, 1);
        mp_str(call->reply, "token");
        mp_strn(call->reply, token.data, token.size);
    }
    wipe(&token);
}

void ops_version(struct ops_call *call)
{
    struct core_status status;
    core_status(call->core, &status);
    mp_map(call->reply, 6);
    ops_put_str(call->reply, "version", status.version);
    ops_put_uint(call->reply, "protocol", PROTOCOL_VERSION);
    ops_put_uint(call->reply, "protocol_min", PROTOCOL_VERSION_MIN);
    ops_put_str(call->reply, "mesh", status.mesh);
    ops_put_str(call->reply, "name", status.name);
    ops_put_id(call->reply, "id", &status.id);
}
