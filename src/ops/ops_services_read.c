/* SPDX-License-Identifier: MPL-2.0 */
/* Handlers that find services: list, show, watch.
 *
 * A watcher is told all that matches and a number that stands for it. It comes back with the number and
 * waits until it is another one; what differs it sees itself. So a change is a change whatever it follows
 * from: a write, a node that failed or is back, a new address. */
#include "base/err.h"
#include "base/limits.h"
#include "base/prng.h"
#include "base/text.h"
#include "core/service.h"
#include "ops/ops_call.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AROUND_BYTES 1024 /* beside the list, cursor included */
#define FIELD_COUNT 9     /* as in the table (SERVICE_FIELDS) */

static struct span text_of(const struct ops_call *call, const char *name)
{
    const struct op_value *value = ops_args_get(call->spec, call->args, name);
    return value->is_given ? span_of(value->text, strlen(value->text)) : span_of(NULL, 0);
}

/* ---- what is asked for ----------------------------------------------------------------------- */

struct filter {
    struct span name, version;
    const struct op_value *tag, *meta; /* NULL: any */
    struct span either;                /* id or name; data NULL: any */
    bool has_health;
    enum svc_health health;
    struct node_id node; /* zero: any */
};

static int read_node(struct ops_call *call, struct filter *f)
{
    struct member_view m;
    int rc = HM_OK;
    if (ops_args_get(call->spec, call->args, "node")->is_given) {
        rc = ops_find_node_arg(call, "node", &m);
        f->node = m.id;
    }
    return rc;
}

/* HM_OK, or the call has failed. */
static int read_filter(struct ops_call *call, struct filter *f)
{
    struct span health = text_of(call, "health");
    memset(f, 0, sizeof *f);
    f->name = text_of(call, "name");
    f->version = text_of(call, "version");
    f->tag = ops_args_get(call->spec, call->args, "tag");
    f->meta = ops_args_get(call->spec, call->args, "meta");
    f->has_health = health.size > 0;
    if (f->has_health && svc_health_of(health, &f->health) != HM_OK) {
        ops_fail(call, HM_EINVAL, "health is \"%s\", but must be passing, warning or critical",
                 (const char *) health.data);
        return HM_EINVAL;
    }
    return read_node(call, f);
}

static bool has_words(const struct filter *f, const struct svc *s)
{
    struct op_words w = {.is_open = false};
    struct span key, value;
    while (f->tag != NULL && ops_args_next(f->tag, &w, &key)) {
        if (!svc_has_tag(s, key)) {
            return false;
        }
    }
    w = (struct op_words){.is_open = false};
    while (f->meta != NULL && ops_args_next(f->meta, &w, &key) &&
           ops_args_next(f->meta, &w, &value)) {
        if (!svc_has_meta(s, key, value)) {
            return false;
        }
    }
    return true;
}

static bool matches(const struct filter *f, const struct svc *s)
{
    return (f->name.data == NULL || span_cmp(f->name, s->name) == 0) &&
           (f->version.data == NULL || span_cmp(f->version, s->version) == 0) &&
           (f->either.data == NULL || span_cmp(f->either, s->id) == 0 ||
            span_cmp(f->either, s->name) == 0) &&
           (!f->has_health || f->health == s->health) && has_words(f, s);
}

/* ---- what is found --------------------------------------------------------------------------- */

/* A service and its place in the order: by distance, name, node's name, node, id. */
struct found {
    uint64_t distance_ns; /* 0 unless it is asked for */
    struct service_view view;
    const char *node_name;
    struct addr node_addr;
    uint64_t rtt_ns;
};

struct list {
    struct found *items;
    size_t count, room;
};

static int found_cmp(const void *a, const void *b)
{
    const struct found *x = a;
    const struct found *y = b;
    int order = (x->distance_ns > y->distance_ns) - (x->distance_ns < y->distance_ns);
    order = order != 0 ? order : span_cmp(x->view.svc.name, y->view.svc.name);
    order = order != 0 ? order : strcmp(x->node_name, y->node_name);
    order = order != 0 ? order : node_id_cmp(&x->view.node, &y->view.node);
    return order != 0 ? order : span_cmp(x->view.svc.id, y->view.svc.id);
}

static uint64_t distance(const core_t *core, const struct member_view *near,
                         const struct member_view *m)
{
    if (node_id_eq(&near->id, &m->id)) {
        return 0;
    }
    uint64_t ns = near->is_self ? m->rtt_ns : m->is_self ? near->rtt_ns : 0;
    ns = ns != 0 ? ns : core_rtt_estimate(core, &near->id, &m->id);
    return ns != 0 ? ns : UINT64_MAX;
}

static int list_add(struct list *l, const struct found *item)
{
    if (l->count == l->room) {
        size_t room = l->room == 0 ? 64 : 2 * l->room;
        struct found *items = realloc(l->items, room * sizeof *items);
        if (items == NULL) {
            return HM_ENOMEM;
        }
        l->items = items;
        l->room = room;
    }
    l->items[l->count++] = *item;
    return HM_OK;
}

/* All that match, in order. near NULL: no distances. */
static int find(struct ops_call *call, const struct filter *f, const struct member_view *near,
                struct list *l)
{
    struct service_walk walk = {.only = f->node};
    struct found item = {.distance_ns = 0};
    struct member_view m = {.name = NULL};
    int rc = HM_OK;
    while (rc == HM_OK && core_service_next(call->core, &walk, &item.view)) {
        if (!matches(f, &item.view.svc)) {
            continue;
        }
        if ((m.name == NULL || !node_id_eq(&m.id, &item.view.node)) &&
            ops_find_id(call->core, &item.view.node, &m) != HM_OK) {
            continue;
        }
        item.node_name = m.name;
        item.node_addr = m.told_addr;
        item.rtt_ns = m.rtt_ns;
        item.distance_ns = near == NULL ? 0 : distance(call->core, near, &m);
        rc = list_add(l, &item);
    }
    if (rc != HM_OK) {
        ops_fail(call, rc, "%s", hm_strerror(rc));
    } else if (l->count > 0) {
        qsort(l->items, l->count, sizeof *l->items, found_cmp);
    }
    return rc;
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* "DISTANCE NAME NODE-ID ID NODE-NAME": all of them but the last without a blank. */
static void put_cursor(struct buf *b, const struct found *f)
{
    char id[NODE_ID_TEXT_BYTES];
    char text[OPS_TEXT_BYTES_MAX + 1];
    snprintf(text, sizeof text, "%" PRIu64 " %.*s %s %.*s %s", f->distance_ns,
             (int) f->view.svc.name.size, (const char *) f->view.svc.name.data,
             text_hex(f->view.node.b, NODE_ID_BYTES, id), (int) f->view.svc.id.size,
             (const char *) f->view.svc.id.data, f->node_name);
    mp_str(b, text);
}

static bool next_part(char **rest, char **ret_part)
{
    char *blank = *rest == NULL ? NULL : strchr(*rest, ' ');
    *ret_part = *rest;
    if (blank == NULL) {
        return false;
    }
    *blank = '\0';
    *rest = blank + 1;
    return true;
}

/* The place that it says; text is changed and borrowed. */
static int read_cursor(char *text, struct found *ret_found)
{
    char *distance_text, *name, *node, *id;
    memset(ret_found, 0, sizeof *ret_found);
    if (!next_part(&text, &distance_text) || !next_part(&text, &name) ||
        !next_part(&text, &node) || !next_part(&text, &id) ||
        text_to_u64(distance_text, UINT64_MAX, &ret_found->distance_ns) != HM_OK ||
        text_unhex(node, ret_found->view.node.b, NODE_ID_BYTES) != HM_OK) {
        return HM_EINVAL;
    }
    ret_found->view.svc.name = span_of(name, strlen(name));
    ret_found->view.svc.id = span_of(id, strlen(id));
    ret_found->node_name = text;
    return HM_OK;
}

/* Where the page begins. */
static int first_of_page(struct ops_call *call, const struct list *l, size_t *ret_first)
{
    const struct op_value *after = ops_args_get(call->spec, call->args, "after");
    char text[OPS_TEXT_BYTES_MAX + 1];
    struct found cursor;
    *ret_first = 0;
    if (!after->is_given) {
        return HM_OK;
    }
    text_copy(text, sizeof text, after->text);
    if (read_cursor(text, &cursor) != HM_OK) {
        ops_fail(call, HM_EINVAL, "after must be the field next of an earlier reply");
        return HM_EINVAL;
    }
    while (*ret_first < l->count && found_cmp(&l->items[*ret_first], &cursor) <= 0) {
        ++*ret_first;
    }
    return HM_OK;
}

static void put_words(struct buf *b, const struct svc *s)
{
    struct span rest = s->tags, key, value;
    mp_str(b, "tags");
    mp_array(b, s->tag_count);
    while (svc_tag_next(&rest, &value)) {
        mp_strn(b, value.data, value.size);
    }
    rest = s->meta;
    mp_str(b, "meta");
    mp_map(b, s->meta_count);
    while (svc_meta_next(&rest, &key, &value)) {
        mp_strn(b, key.data, key.size);
        mp_strn(b, value.data, value.size);
    }
}

static void put_span(struct buf *b, const char *key, struct span text)
{
    mp_str(b, key);
    mp_strn(b, text.size > 0 ? (const char *) text.data : "", text.size);
}

static void put_span_or_nil(struct buf *b, const char *key, struct span text)
{
    mp_str(b, key);
    if (text.size > 0) {
        mp_strn(b, text.data, text.size);
    } else {
        mp_nil(b);
    }
}

/* FIELD_COUNT pairs. */
static void put_service(struct buf *b, const struct found *f)
{
    const struct svc *s = &f->view.svc;
    char address[ADDR_TEXT_BYTES];
    put_span(b, "id", s->id);
    put_span(b, "name", s->name);
    put_span(b, "version", s->version);
    if (s->address.size > 0) {
        put_span(b, "address", s->address);
    } else {
        ops_put_str(b, "address",
                    addr_is_none(&f->node_addr) ? "" : addr_format_ip(&f->node_addr, address));
    }
    ops_put_uint(b, "port", s->port);
    put_words(b, s);
    ops_put_str(b, "node", f->node_name);
    ops_put_str(b, "health", svc_health_name(s->health));
}

static void put_listed(struct buf *b, const struct found *f)
{
    mp_map(b, FIELD_COUNT);
    put_service(b, f);
}

static void put_watched(struct buf *b, const struct found *f)
{
    mp_map(b, FIELD_COUNT + 1);
    put_service(b, f);
    ops_put_id(b, "node_id", &f->view.node);
}

static void put_uint_or_nil(struct buf *b, const char *key, uint64_t value)
{
    mp_str(b, key);
    if (value > 0) {
        mp_uint(b, value);
    } else {
        mp_nil(b);
    }
}

static uint64_t gone_after_ms(const struct svc *s)
{
    uint64_t standard = 3 * s->ttl_ms < 60000 ? 60000 : 3 * s->ttl_ms;
    bool is_never = s->ttl_ms == 0 || s->source == SVC_FILE;
    return is_never ? 0 : s->after_ms > 0 ? s->after_ms : standard;
}

static void put_in_full(struct buf *b, const struct found *f)
{
    const struct svc *s = &f->view.svc;
    mp_map(b, FIELD_COUNT + 9);
    put_service(b, f);
    ops_put_id(b, "node_id", &f->view.node);
    put_span_or_nil(b, "text", s->text);
    put_uint_or_nil(b, "ttl_ms", s->ttl_ms);
    put_uint_or_nil(b, "deregister_after_ms", gone_after_ms(s));
    ops_put_bool(b, "expired", s->is_expired);
    ops_put_str(b, "source", svc_source_name(s->source));
    put_span_or_nil(b, "file", s->file);
    ops_put_time(b, "since", f->view.wall_ms);
    ops_put_ms(b, "rtt_ms", f->rtt_ns);
}

typedef void put_fn(struct buf *b, const struct found *f);

/* Writes "services" and "next", of a map that has been begun. */
static void put_page(struct ops_call *call, const struct list *l, put_fn *put)
{
    struct ops_page page;
    size_t at = 0;
    if (first_of_page(call, l, &at) != HM_OK) {
        return;
    }
    ops_page_init(&page, call->reply, AROUND_BYTES);
    while (at < l->count && !page.is_full) {
        put(ops_page_begin(&page), &l->items[at]);
        at += ops_page_end(&page) ? 1 : 0;
    }
    if (page.is_full && page.count == 0) {
        ops_fail(call, HM_ENOMEM, "out of memory");
    }
    ops_page_write(&page, call->reply, "services");
    mp_str(call->reply, "next");
    if (at < l->count && page.count > 0) {
        put_cursor(call->reply, &l->items[at - 1]);
    } else {
        mp_nil(call->reply);
    }
    ops_page_fini(&page);
}

/* ---- list and show --------------------------------------------------------------------------- */

void ops_services_list(struct ops_call *call)
{
    struct filter f;
    struct member_view near;
    struct list l = {.count = 0};
    bool has_near = ops_args_get(call->spec, call->args, "near")->is_given;
    if (read_filter(call, &f) != HM_OK ||
        (has_near && ops_find_node_arg(call, "near", &near) != HM_OK)) {
        return;
    }
    if (find(call, &f, has_near ? &near : NULL, &l) == HM_OK) {
        mp_map(call->reply, 2);
        put_page(call, &l, put_listed);
    }
    free(l.items);
}

void ops_services_show(struct ops_call *call)
{
    struct filter f = {.either = text_of(call, "service")};
    struct list l = {.count = 0};
    if (read_node(call, &f) != HM_OK) {
        return;
    }
    int rc = find(call, &f, NULL, &l);
    if (rc == HM_OK && l.count == 0) {
        ops_fail(call, HM_ENOTFOUND,
                 "no service has the id or name \"%s\": \"meshctl services list\" shows those of "
                 "all nodes that are alive",
                 (const char *) f.either.data);
    } else if (rc == HM_OK) {
        mp_map(call->reply, 2);
        put_page(call, &l, put_in_full);
    }
    free(l.items);
}

/* ---- watch ----------------------------------------------------------------------------------- */

/* Stands for all that is shown of the list. */
static uint64_t state_of(const struct list *l)
{
    uint64_t state = prng_mix(l->count + 1);
    struct buf b;
    buf_init(&b, 4 * HM_SERVICE_BYTES_MAX);
    for (size_t i = 0; i < l->count; i++) {
        buf_clear(&b);
        put_watched(&b, &l->items[i]);
        for (size_t at = 0; at < b.size; at++) {
            state = (state ^ b.data[at]) * 0x100000001b3U; /* FNV-1a; nobody gains by a collision */
        }
        state = prng_mix(state);
    }
    buf_fini(&b);
    return state;
}

/* Whether a service may have changed since this handler last looked. */
static bool may_have_changed(const struct ops_call *call)
{
    static const char prefix[] = SVC_PREFIX;
    registry_t *r = core_registry(call->core);
    struct registry_change change;
    struct entry e;
    bool has_gap = false;
    if (call->result->ticket == 0 || call->result->kept != core_event_last_seq(call->core)) {
        return true;
    }
    uint64_t number = call->result->ticket - 1;
    while (registry_change_after(r, number, &change, &has_gap)) {
        if (has_gap || entry_read(change.bytes, &e) != HM_OK ||
            (e.key.size >= sizeof prefix - 1 &&
             memcmp(e.key.data, prefix, sizeof prefix - 1) == 0)) {
            return true;
        }
        number = change.number;
    }
    return has_gap;
}

static void wait_for_change(struct ops_call *call)
{
    call->result->wait = true;
    call->result->wait_for = WAKE_EVENT | WAKE_CHANGE;
    call->result->ticket = registry_change_last(core_registry(call->core)) + 1;
    call->result->kept = core_event_last_seq(call->core);
}

static void answer_watch(struct ops_call *call, struct list *l, bool is_same_state, uint64_t state)
{
    if (is_same_state) {
        l->count = 0;
    }
    mp_map(call->reply, 5);
    put_page(call, l, put_watched);
    ops_put_hex(call->reply, "state", state);
    ops_put_bool(call->reply, "changed", !is_same_state);
    ops_put_time(call->reply, "time", core_wall_ms(call->core));
}

void ops_services_watch(struct ops_call *call)
{
    struct filter f;
    struct list l = {.count = 0};
    char now[17];
    struct span seen = text_of(call, "seen");
    bool may_wait = ops_args_get(call->spec, call->args, "wait")->number != 0 && !call->is_last;
    if (may_wait && !may_have_changed(call)) {
        wait_for_change(call);
        return;
    }
    if (read_filter(call, &f) != HM_OK) {
        return;
    }
    if (find(call, &f, NULL, &l) == HM_OK) {
        uint64_t state = state_of(&l);
        snprintf(now, sizeof now, "%016" PRIx64, state);
        bool is_same_state = seen.size == 16 && memcmp(seen.data, now, 16) == 0;
        if (is_same_state && may_wait) {
            wait_for_change(call);
        } else {
            answer_watch(call, &l, is_same_state, state);
        }
    }
    free(l.items);
}
