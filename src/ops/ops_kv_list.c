/* SPDX-License-Identifier: MPL-2.0 */
/* Handlers that walk keys: kv.list, kv.conflicts and registry.export. A page ends when it is
 * full or when so many keys were looked at that the step would hold up the loop; it may be empty
 * then, and `next` says where to go on. */
#include "base/err.h"
#include "base/limits.h"
#include "ops/ops_kv.h"
#include "wire/mpack.h"

struct lister {
    struct ops_call *call;
    struct ops_page page;
    struct keys_walk walk, before; /* before: where it stood before the key that is being written */
    size_t looked;
    bool is_done;
};

typedef void put_fn(struct lister *l, struct buf *b, struct span key, const struct keys_held *held);

static int open_walk(struct ops_call *call, struct keys_walk *ret_walk)
{
    struct span after = kv_text(call, "after");
    keys_walk_open(ret_walk, core_registry(call->core), LOOK_SHOWN, kv_text(call, "prefix"));
    if (after.data != NULL && keys_walk_resume(ret_walk, (const char *) after.data) != HM_OK) {
        ops_fail(call, HM_EINVAL, "after must be the field next of an earlier reply");
    }
    return call->result->code;
}

static bool has_room(const struct lister *l)
{
    return !l->page.is_full && l->page.items.size < KV_PAGE_BYTES && l->looked < KV_PAGE_KEYS;
}

enum which { ALL_KEYS, CONFLICTS, COLLISIONS };

/* A collision is a key that was written on two sides, also if one of them deleted it, or if it is of
 * another type there. */
static bool is_listed(struct lister *l, enum which which, struct span key,
                      const struct keys_held *held)
{
    uint8_t bytes[HM_KEY_BYTES_MAX];
    struct registry_siblings siblings;
    switch (which) {
    case ALL_KEYS:
        return held->type != 0;
    case CONFLICTS:
        return held->type != 0 && held->conflicts > 0;
    case COLLISIONS:
        return held->conflicts > 0 ||
               (registry_get(core_registry(l->call->core), LOOK_SHOWN, keys_entry_key(key, bytes),
                             &siblings) == HM_OK &&
                siblings.live > 0 && siblings.count > 1);
    }
    return false;
}

/* Adds the keys that are there; a key whose object does not fit begins the next page. */
static void fill(struct lister *l, enum which which, put_fn *put)
{
    struct keys_held held;
    struct span key;
    while (l->call->result->code == HM_OK && has_room(l)) {
        l->before = l->walk;
        l->is_done = !keys_walk_next(&l->walk, &key);
        if (l->is_done || kv_hold(l->call, LOOK_SHOWN, key, &held) != HM_OK) {
            return;
        }
        l->looked += 1 + held.elements + held.shares;
        if (!is_listed(l, which, key, &held)) {
            continue;
        }
        put(l, ops_page_begin(&l->page), key, &held);
        if (!ops_page_end(&l->page)) {
            l->walk = l->before;
        }
    }
}

static void list_keys(struct ops_call *call, enum which which, put_fn *put)
{
    struct lister l = {.call = call};
    char cursor[KEYS_CURSOR_BYTES], place[KV_PLACE_BYTES];
    if (open_walk(call, &l.walk) != HM_OK) {
        return;
    }
    ops_page_init(&l.page, call->reply, KV_AROUND_BYTES);
    fill(&l, which, put);
    if (l.page.is_full && l.page.count == 0) {
        ops_fail(call, HM_EFULL, "what one key holds does not fit into a reply");
    } else if (call->result->code == HM_OK) {
        mp_map(call->reply, 3);
        ops_page_write(&l.page, call->reply, "keys");
        ops_put_str(call->reply, "since",
                    kv_place(call->core, registry_change_last(core_registry(call->core)), place));
        ops_put_str_or_nil(call->reply, "next", l.is_done ? "" : keys_walk_cursor(&l.walk, cursor));
    }
    ops_page_fini(&l.page);
}

static void put_item(struct lister *l, struct buf *b, struct span key, const struct keys_held *held)
{
    mp_map(b, KV_ITEM_COUNT);
    kv_put_item(l->call, b, LOOK_SHOWN, key, held);
}

void ops_kv_list(struct ops_call *call)
{
    list_keys(call, ALL_KEYS, put_item);
}

/* ---- export ---------------------------------------------------------------------------------- */

static void put_export(struct lister *l, struct buf *b, struct span key,
                       const struct keys_held *held)
{
    bool is_cut;
    mp_map(b, 4);
    mp_str(b, "key");
    mp_strn(b, key.data, key.size);
    ops_put_str(b, "type", keys_type_name(held->type));
    kv_put_shown(l->call, b, LOOK_SHOWN, key, held, &is_cut);
    ops_put_bool(b, "cut", is_cut);
}

void ops_registry_export(struct ops_call *call)
{
    list_keys(call, ALL_KEYS, put_export);
}

/* ---- conflicts ------------------------------------------------------------------------------- */

#define CONFLICT_BYTES                                                                             \
    65536 /* of the values of one key in one list, but for the one that is shown */

static void put_sibling(struct lister *l, struct buf *b, const struct entry *e, bool is_shown,
                        bool is_whole)
{
    struct span content = keys_content(e->value);
    mp_map(b, KV_WRITTEN_COUNT + 5);
    ops_put_str(b, "type", keys_type_name(ENTRY_REGISTER));
    mp_str(b, "value");
    if (is_whole) {
        kv_put_content(b, content);
    } else {
        mp_nil(b);
    }
    ops_put_uint(b, "bytes", content.size);
    kv_put_version(b, "version", keys_version(core_registry(l->call->core), &e->dot));
    ops_put_bool(b, "shown", is_shown);
    kv_put_written(b, l->call->core, e);
}

/* What it holds: KV_WRITTEN_COUNT + 3 pairs. */
static void put_below(struct lister *l, struct buf *b, struct span key, uint8_t type)
{
    struct keys_held held;
    bool is_cut;
    keys_hold_below(core_registry(l->call->core), LOOK_SHOWN, key, type, &held);
    if (held.bytes <= CONFLICT_BYTES) {
        kv_put_shown(l->call, b, LOOK_SHOWN, key, &held, &is_cut);
    } else {
        mp_str(b, "value");
        mp_nil(b);
    }
    ops_put_uint(b, "bytes", held.bytes);
    kv_put_version(b, "version", held.version);
    kv_put_written(b, l->call->core, &held.entry);
}

/* A set or a counter beside it. */
static void put_other(struct lister *l, struct buf *b, struct span key, uint8_t type, bool is_shown)
{
    mp_map(b, KV_WRITTEN_COUNT + 5);
    ops_put_str(b, "type", keys_type_name(type));
    ops_put_bool(b, "shown", is_shown);
    put_below(l, b, key, type);
}

static void put_conflict(struct lister *l, struct buf *b, struct span key,
                         const struct keys_held *held)
{
    uint8_t bytes[HM_KEY_BYTES_MAX];
    struct registry_siblings siblings = {.live = 0};
    uint64_t used = 0;
    registry_get(core_registry(l->call->core), LOOK_SHOWN, keys_entry_key(key, bytes), &siblings);
    mp_map(b, 2);
    mp_str(b, "key");
    mp_strn(b, key.data, key.size);
    mp_str(b, "values");
    mp_array(b, held->conflicts + 1);
    for (size_t i = 0; i < siblings.live; i++) {
        used += siblings.items[i].value.size;
        put_sibling(l, b, &siblings.items[i], i == 0, used <= CONFLICT_BYTES || i == 0);
    }
    if (held->elements > 0) {
        put_other(l, b, key, ENTRY_SET, held->type == ENTRY_SET);
    }
    if (held->shares > 0) {
        put_other(l, b, key, ENTRY_COUNTER, held->type == ENTRY_COUNTER);
    }
}

void ops_kv_conflicts(struct ops_call *call)
{
    list_keys(call, CONFLICTS, put_conflict);
}

/* ---- collisions ------------------------------------------------------------------------------ */

static void put_side(struct lister *l, struct buf *b, const struct entry *e, bool is_won,
                     bool is_whole)
{
    struct span content = e->is_deleted ? span_of(NULL, 0) : keys_content(e->value);
    mp_map(b, KV_WRITTEN_COUNT + 5);
    ops_put_bool(b, "won", is_won);
    ops_put_str(b, "op", e->is_deleted ? "delete" : "put");
    mp_str(b, "value");
    if (is_whole && !e->is_deleted) {
        kv_put_content(b, content);
    } else {
        mp_nil(b);
    }
    ops_put_uint(b, "bytes", content.size);
    kv_put_version(b, "version", keys_version(core_registry(l->call->core), &e->dot));
    kv_put_written(b, l->call->core, e);
}

static void put_other_side(struct lister *l, struct buf *b, struct span key, uint8_t type,
                           bool is_won)
{
    mp_map(b, KV_WRITTEN_COUNT + 5);
    ops_put_bool(b, "won", is_won);
    ops_put_str(b, "op", "put");
    put_below(l, b, key, type);
}

static void put_collision(struct lister *l, struct buf *b, struct span key,
                          const struct keys_held *held)
{
    uint8_t bytes[HM_KEY_BYTES_MAX];
    struct registry_siblings siblings = {.count = 0};
    uint64_t used = 0;
    registry_get(core_registry(l->call->core), LOOK_SHOWN, keys_entry_key(key, bytes), &siblings);
    size_t registers = siblings.live > 0 ? siblings.count : 0;
    mp_map(b, 2);
    mp_str(b, "key");
    mp_strn(b, key.data, key.size);
    mp_str(b, "sides");
    mp_array(b, registers + (held->elements > 0 ? 1 : 0) + (held->shares > 0 ? 1 : 0));
    for (size_t i = 0; i < registers; i++) {
        used += siblings.items[i].value.size;
        put_side(l, b, &siblings.items[i], i == 0, used <= CONFLICT_BYTES || i == 0);
    }
    if (held->elements > 0) {
        put_other_side(l, b, key, ENTRY_SET, held->type == ENTRY_SET);
    }
    if (held->shares > 0) {
        put_other_side(l, b, key, ENTRY_COUNTER, held->type == ENTRY_COUNTER);
    }
}

void ops_registry_report(struct ops_call *call)
{
    list_keys(call, COLLISIONS, put_collision);
}
