/* SPDX-License-Identifier: MPL-2.0 */
/* Reading the registry: what is committed under what is pending. See registry.h. */
#include "base/err.h"
#include "base/limits.h"
#include "core/registry_priv.h"

#include <stdlib.h>
#include <string.h>

/* LMDB's keys have at most 511 bytes: the end of a longer key is stood for by its hash. So keys that
 * share their first 480 bytes come in no particular order, the same everywhere. */
#define PLAIN_BYTES_MAX ENTRY_RECORD_PLAIN_BYTES_MAX
#define CUT_BYTES 480

/* ---- where things are ------------------------------------------------------------------------ */

static size_t put_key(const registry_t *r, struct span key, uint8_t *to)
{
    static const char digits[] = "0123456789abcdef";
    if (key.size <= PLAIN_BYTES_MAX) {
        memcpy(to, key.data, key.size);
        return key.size;
    }
    uint64_t hash = r->conf.crypto.hash(key);
    memcpy(to, key.data, CUT_BYTES);
    for (size_t i = 0; i < 16; i++) {
        to[CUT_BYTES + i] = (uint8_t) digits[(hash >> (60 - 4 * i)) & 15];
    }
    return CUT_BYTES + 16;
}

/* What all records of one key begin with. */
static size_t put_key_head(const registry_t *r, struct span key, uint8_t *to)
{
    size_t size = put_key(r, key, to);
    to[size] = 0;
    return size + 1;
}

size_t registry_record_key(const registry_t *r, struct span key, const struct dot *dot,
                           uint8_t to[ENTRY_RECORD_BYTES_MAX])
{
    uint8_t bytes[DOT_BYTES];
    size_t size = put_key_head(r, key, to);
    dot_put(bytes, dot);
    be_put(to + size, r->conf.crypto.hash(span_of(bytes, sizeof bytes)), RECORD_HASH_BYTES);
    return size + RECORD_HASH_BYTES;
}

size_t registry_record_prefix(const registry_t *r, struct span key, uint8_t *to)
{
    (void) r;
    size_t size = key.size < CUT_BYTES ? key.size : CUT_BYTES;
    memcpy(to, key.data, size);
    return size;
}

const struct origin *registry_self(const registry_t *r)
{
    return &r->conf.self;
}

uint64_t registry_hash(const registry_t *r, struct span bytes)
{
    return r->conf.crypto.hash(bytes);
}

/* ---- one record ------------------------------------------------------------------------------ */

/* What is pending of a record may be hidden from this look. */
static bool is_seen(enum registry_look look, uint64_t tag)
{
    return look == LOOK_ALL || (look == LOOK_SHOWN && tag % 2 == 0);
}

static size_t put_table_key(enum store_table table, struct span key,
                            uint8_t to[1 + ENTRY_RECORD_BYTES_MAX])
{
    HM_ASSERT(key.size <= ENTRY_RECORD_BYTES_MAX);
    to[0] = (uint8_t) table;
    if (key.size > 0) {
        memcpy(to + 1, key.data, key.size);
    }
    return key.size + 1;
}

bool registry_read(registry_t *r, enum registry_look look, enum store_table table,
                   struct span key, struct span *ret_value)
{
    uint8_t full[1 + ENTRY_RECORD_BYTES_MAX];
    size_t size = put_table_key(table, key, full);
    struct span value;
    uint64_t tag;
    if (omap_get(r->pending, span_of(full, size), &value, &tag) && is_seen(look, tag)) {
        *ret_value = value;
        return value.data != NULL;
    }
    return r->conf.view.get != NULL &&
           r->conf.view.get(r->conf.view.ctx, table, key, ret_value);
}

/* ---- in order -------------------------------------------------------------------------------- */

struct place {
    bool is_there;
    struct span key, value;
};

/* The next pending record of the table that this look sees, removals too. One behind `until`, the next
 * committed record, may be left out: there can be many that this look does not see. */
static void next_pending(registry_t *r, enum registry_look look, enum store_table table,
                         struct span from, bool inclusive, const struct place *until,
                         struct place *ret)
{
    uint8_t full[1 + ENTRY_RECORD_BYTES_MAX];
    size_t size = put_table_key(table, from, full);
    struct span at = span_of(full, size);
    uint64_t tag = 0;
    do {
        ret->is_there = omap_next(r->pending, at, inclusive, &at, &ret->value, &tag) &&
                        at.data[0] == (uint8_t) table;
        inclusive = false;
        if (ret->is_there) {
            ret->key = span_of(at.data + 1, at.size - 1);
            ret->is_there = !until->is_there || span_cmp(ret->key, until->key) <= 0;
        }
    } while (ret->is_there && !is_seen(look, tag));
}

static void next_committed(const registry_t *r, enum store_table table, struct span from,
                           bool inclusive, struct place *ret)
{
    const struct store_view *view = &r->conf.view;
    ret->is_there = view->next != NULL &&
                    view->next(view->ctx, table, from, inclusive, &ret->key, &ret->value);
}

bool registry_next_record(registry_t *r, enum registry_look look, enum store_table table,
                          struct span from, bool inclusive, struct span *ret_key,
                          struct span *ret_value)
{
    struct place pending = {.is_there = false};
    struct place committed;
    next_committed(r, table, from, inclusive, &committed);
    if (look != LOOK_COMMITTED && omap_count(r->pending) > 0) {
        next_pending(r, look, table, from, inclusive, &committed, &pending);
    }
    for (;;) {
        int order = !pending.is_there     ? 1
                    : !committed.is_there ? -1
                                          : span_cmp(pending.key, committed.key);
        if (order > 0) {
            *ret_key = committed.key;
            *ret_value = committed.value;
            return committed.is_there;
        }
        if (pending.value.data != NULL) {
            *ret_key = pending.key;
            *ret_value = pending.value;
            return true;
        }
        /* Removed: both go on behind it. */
        if (order == 0) {
            next_committed(r, table, committed.key, false, &committed);
        }
        next_pending(r, look, table, pending.key, false, &committed, &pending);
    }
}

bool registry_next(registry_t *r, enum registry_look look, struct span from, bool inclusive,
                   struct span *ret_record_key, struct entry *ret_entry)
{
    struct span value;
    while (registry_next_record(r, look, STORE_ENTRIES, from, inclusive, ret_record_key, &value)) {
        if (entry_read(value, ret_entry) == HM_OK) {
            return true;
        }
        from = *ret_record_key; /* of a version that allowed more, or damaged without a trace */
        inclusive = false;
    }
    return false;
}

bool registry_next_within(registry_t *r, enum registry_look look, struct span prefix,
                          struct span from, bool inclusive, struct span *ret_record_key,
                          struct entry *ret_entry)
{
    struct span value, key;
    while (registry_next_record(r, look, STORE_ENTRIES, from, inclusive, &key, &value) &&
           key.size >= prefix.size && memcmp(key.data, prefix.data, prefix.size) == 0) {
        *ret_record_key = key;
        if (entry_read(value, ret_entry) == HM_OK) {
            return true;
        }
        from = key;
        inclusive = false;
    }
    return false;
}

bool registry_next_dot(registry_t *r, const struct origin *origin, uint64_t seq,
                       struct dot *ret_dot, struct span *ret_bytes)
{
    struct dot dot = {*origin, seq};
    uint8_t from[DOT_BYTES];
    struct span key, record_key;
    dot_put(from, &dot);
    key = span_of(from, sizeof from);
    for (bool inclusive = true;; inclusive = false) {
        if (!registry_next_record(r, LOOK_COMMITTED, STORE_DOTS, key, inclusive, &key, &record_key) ||
            key.size != DOT_BYTES) {
            return false;
        }
        dot_get(key.data, &dot);
        if (!origin_eq(&dot.origin, origin)) {
            return false;
        }
        if (registry_read(r, LOOK_COMMITTED, STORE_ENTRIES, record_key, ret_bytes)) {
            *ret_dot = dot;
            return true;
        }
    }
}

bool registry_record_of(registry_t *r, const struct dot *dot, struct span *ret_record_key)
{
    uint8_t bytes[DOT_BYTES];
    dot_put(bytes, dot);
    return registry_read(r, LOOK_COMMITTED, STORE_DOTS, span_of(bytes, sizeof bytes),
                         ret_record_key);
}

bool registry_entry_of(registry_t *r, const struct dot *dot, struct span *ret_bytes)
{
    uint8_t bytes[DOT_BYTES];
    struct span record_key;
    dot_put(bytes, dot);
    return registry_read(r, LOOK_SHOWN, STORE_DOTS, span_of(bytes, sizeof bytes), &record_key) &&
           registry_read(r, LOOK_SHOWN, STORE_ENTRIES, record_key, ret_bytes);
}

/* ---- siblings -------------------------------------------------------------------------------- */

void sibling_list_fini(struct sibling_list *list)
{
    free(list->items);
    free(list->record_keys);
    memset(list, 0, sizeof *list);
}

static int sibling_add(struct sibling_list *list, struct span record_key, const struct entry *e)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 8 : 2 * list->room;
        struct entry *items = realloc(list->items, room * sizeof *items);
        if (items == NULL) {
            return HM_ENOMEM;
        }
        list->items = items;
        struct span *keys = realloc(list->record_keys, room * sizeof *keys);
        if (keys == NULL) {
            return HM_ENOMEM;
        }
        list->record_keys = keys;
        list->room = room;
    }
    list->items[list->count] = *e;
    list->record_keys[list->count++] = record_key;
    return HM_OK;
}

int registry_find(registry_t *r, enum registry_look look, struct span key,
                  struct sibling_list *list)
{
    uint8_t head[ENTRY_RECORD_BYTES_MAX];
    size_t size = put_key_head(r, key, head);
    struct span at = span_of(head, size), record_key, value;
    struct entry e;
    int rc = HM_OK;
    list->count = 0;
    list->behind = span_of(NULL, 0);
    for (bool inclusive = true; rc == HM_OK; inclusive = false) {
        if (!registry_next_record(r, look, STORE_ENTRIES, at, inclusive, &record_key, &value)) {
            break;
        }
        if (record_key.size < size || memcmp(record_key.data, head, size) != 0) {
            list->behind = record_key;
            break;
        }
        at = record_key;
        if (entry_read(value, &e) == HM_OK && e.key.size == key.size &&
            memcmp(e.key.data, key.data, key.size) == 0) {
            rc = sibling_add(list, at, &e);
        }
    }
    return rc;
}

int registry_shown_cmp(const struct entry *a, const struct entry *b)
{
    if (a->is_deleted != b->is_deleted) {
        return a->is_deleted ? 1 : -1;
    }
    if (a->lamport != b->lamport) {
        return a->lamport > b->lamport ? -1 : 1;
    }
    return dot_cmp(&b->dot, &a->dot);
}

static int shown_cmp(const void *a, const void *b)
{
    return registry_shown_cmp(a, b);
}

int registry_get(registry_t *r, enum registry_look look, struct span key,
                 struct registry_siblings *ret_siblings)
{
    int rc = registry_find(r, look, key, &r->found);
    if (rc != HM_OK || r->found.count == 0) {
        return rc != HM_OK ? rc : HM_ENOTFOUND;
    }
    qsort(r->found.items, r->found.count, sizeof r->found.items[0], shown_cmp);
    *ret_siblings = (struct registry_siblings){
        .items = r->found.items, .count = r->found.count, .behind = r->found.behind};
    while (ret_siblings->live < r->found.count && !r->found.items[ret_siblings->live].is_deleted) {
        ret_siblings->live++;
    }
    return HM_OK;
}
