/* SPDX-License-Identifier: MPL-2.0 */
/* What was written, and when it became durable: see ledger.h. */
#include "sim/ledger_priv.h"

#include "base/err.h"
#include "sim/check.h"
#include "sim/simcrypto.h"
#include "wire/entry_msg.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_HASH_BYTES 8 /* at the end of a record key: of its dot */
#define GATHERED_NS (100U * MS_NS) /* at most, before a batch is handed to the disk */

static void *must(void *p)
{
    HM_ASSERT(p != NULL);
    return p;
}

/* Room for one more; the new item is zeroed. */
static void *grow(void **items, size_t *count, size_t *room, size_t size)
{
    if (*count == *room) {
        *room = *room == 0 ? 64 : 2 * *room;
        *items = must(realloc(*items, *room * size));
    }
    void *item = (char *) *items + *count * size;
    memset(item, 0, size);
    (*count)++;
    return item;
}

/* ---- an index ---- */

static void index_put(struct index *x, uint64_t key, uint32_t value);

static void index_grow(struct index *x)
{
    struct index old = *x;
    size_t slots = old.keys == NULL ? 64 : 2 * (old.mask + 1);
    *x = (struct index){.keys = must(calloc(slots, sizeof *x->keys)),
                        .values = must(calloc(slots, sizeof *x->values)),
                        .mask = slots - 1};
    for (size_t i = 0; old.keys != NULL && i <= old.mask; i++) {
        if (old.keys[i] != 0) {
            index_put(x, old.keys[i], old.values[i]);
        }
    }
    free(old.keys);
    free(old.values);
}

/* Puts or replaces. */
static void index_put(struct index *x, uint64_t key, uint32_t value)
{
    if (x->keys == NULL || 2 * x->count > x->mask) {
        index_grow(x);
    }
    size_t at = (size_t) key & x->mask;
    while (x->keys[at] != 0 && x->keys[at] != key) {
        at = (at + 1) & x->mask;
    }
    x->count += x->keys[at] == 0;
    x->keys[at] = key;
    x->values[at] = value;
}

static uint32_t index_get(const struct index *x, uint64_t key)
{
    if (x->keys == NULL) {
        return LEDGER_NONE;
    }
    for (size_t at = (size_t) key & x->mask; x->keys[at] != 0; at = (at + 1) & x->mask) {
        if (x->keys[at] == key) {
            return x->values[at];
        }
    }
    return LEDGER_NONE;
}

static uint64_t hash_of(const struct ledger *l, struct span bytes)
{
    struct crypto crypto;
    sim_crypto(&l->w->nodes[0].identity, &crypto);
    uint64_t hash = crypto.hash(bytes);
    return hash == 0 ? 1 : hash;
}

uint32_t ledger_find(const struct ledger *l, const struct dot *dot)
{
    uint8_t bytes[DOT_BYTES];
    dot_put(bytes, dot);
    uint32_t at = index_get(&l->by_dot, hash_of(l, span_of(bytes, sizeof bytes)));
    return at != LEDGER_NONE && dot_eq(&l->entries[at].dot, dot) ? at : LEDGER_NONE;
}

uint32_t ledger_newest(const struct ledger *l, const struct origin *origin)
{
    uint8_t bytes[ORIGIN_BYTES];
    origin_put(bytes, origin);
    return index_get(&l->by_origin, hash_of(l, span_of(bytes, sizeof bytes)));
}

uint32_t ledger_find_record(const struct ledger *l, struct span record_key)
{
    if (record_key.size <= RECORD_HASH_BYTES) {
        return LEDGER_NONE;
    }
    uint64_t hash = be_get(record_key.data + record_key.size - RECORD_HASH_BYTES, RECORD_HASH_BYTES);
    return index_get(&l->by_dot, hash == 0 ? 1 : hash);
}

bool ledger_covers(const struct ledger_entry *e, const struct dot *dot)
{
    for (size_t i = 0; i < e->context_count; i++) {
        if (origin_eq(&e->context[i].origin, &dot->origin) && e->context[i].seq >= dot->seq) {
            return true;
        }
    }
    return false;
}

/* ---- life ---- */

struct ledger *ledger_new(struct world *w)
{
    struct ledger *l = must(calloc(1, sizeof *l));
    l->w = w;
    l->nodes = must(calloc(w->count, sizeof *l->nodes));
    return l;
}

void ledger_destroy(struct ledger **p)
{
    struct ledger *l = *p;
    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < l->entry_count; i++) {
        free(l->entries[i].context);
        free(l->entries[i].was_on);
    }
    for (size_t i = 0; i < l->key_count; i++) {
        free(l->keys[i].bytes);
    }
    for (unsigned i = 0; i < l->w->count; i++) {
        free(l->nodes[i].backup);
    }
    free(l->by_origin.keys);
    free(l->by_origin.values);
    free(l->by_dot.keys);
    free(l->by_dot.values);
    free(l->by_key.keys);
    free(l->by_key.values);
    free(l->entries);
    free(l->keys);
    free(l->writes);
    free(l->nodes);
    free(l->queue);
    free(l);
    *p = NULL;
}

/* ---- entries ---- */

static struct ledger_key *key_of(struct ledger *l, struct span key)
{
    uint64_t hash = hash_of(l, key);
    uint32_t at = index_get(&l->by_key, hash);
    if (at != LEDGER_NONE) {
        return &l->keys[at];
    }
    struct ledger_key *k = grow((void **) &l->keys, &l->key_count, &l->key_room, sizeof *l->keys);
    k->first = LEDGER_NONE;
    k->size = key.size;
    k->bytes = must(malloc(key.size + 1));
    memcpy(k->bytes, key.data, key.size);
    index_put(&l->by_key, hash, (uint32_t) (l->key_count - 1));
    return k;
}

/* It is of a key that belongs to this node. */
static bool is_of(const struct ledger *l, const struct ledger_entry *e, const struct sim_node *n)
{
    const struct ledger_key *k = &l->keys[e->key];
    struct node_id owner;
    return key_owner(span_of(k->bytes, k->size), &owner) && node_id_eq(&owner, &n->identity.id);
}

static void add_entry(struct ledger *l, const struct entry *e)
{
    uint8_t dot_bytes[DOT_BYTES];
    uint8_t origin_bytes[ORIGIN_BYTES];
    struct span rest = e->context;
    struct ledger_key *key = key_of(l, e->key);
    size_t room = l->entry_room;
    struct ledger_entry *x =
        grow((void **) &l->entries, &l->entry_count, &l->entry_room, sizeof *l->entries);
    if (l->entry_room != room) {
        l->queue = must(realloc(l->queue, l->entry_room * sizeof *l->queue));
    }
    x->dot = e->dot;
    x->key = (uint32_t) (key - l->keys);
    x->hash = sim_hash(0, e->bytes);
    x->is_deleted = e->is_deleted;
    x->context = must(malloc((e->context_count + 1) * sizeof *x->context));
    while (context_next(&rest, &x->context[x->context_count])) {
        x->context_count++;
    }
    x->was_on = must(calloc(l->w->count, 1));
    const struct sim_node *writer = world_node_by_id(l->w, &e->dot.origin.node);
    x->is_gone = writer != NULL && writer->is_removed && is_of(l, x, writer);
    x->next_of_key = key->first;
    key->first = (uint32_t) (l->entry_count - 1);
    dot_put(dot_bytes, &e->dot);
    index_put(&l->by_dot, hash_of(l, span_of(dot_bytes, sizeof dot_bytes)), key->first);
    origin_put(origin_bytes, &e->dot.origin);
    uint32_t newest = ledger_newest(l, &e->dot.origin);
    if (newest == LEDGER_NONE || l->entries[newest].dot.seq < e->dot.seq) {
        index_put(&l->by_origin, hash_of(l, span_of(origin_bytes, sizeof origin_bytes)),
                  key->first);
    }
}

void ledger_persist(struct ledger *l, const struct sim_node *n, const struct store_entry *entries,
                    size_t count)
{
    struct entry e;
    for (size_t i = 0; l != NULL && i < count; i++) {
        if (entries[i].table != STORE_ENTRIES || entries[i].value.data == NULL) {
            continue;
        }
        uint32_t at = ledger_find_record(l, entries[i].key);
        if (at != LEDGER_NONE && l->entries[at].hash != sim_hash(0, entries[i].value)) {
            world_violation(l->w, "%s stores another value under a dot that has one already",
                            n->name);
        } else if (at == LEDGER_NONE && entry_read(entries[i].value, &e) != HM_OK) {
            world_violation(l->w, "%s stores what is no entry", n->name);
        } else if (at == LEDGER_NONE) {
            add_entry(l, &e);
        }
    }
}

/* ---- commits ---- */

/* A deletion is on this disk now. If it is, or was, on all: what it superseded is gone for ever. */
static void deletion_seen(struct ledger *l, uint32_t idx)
{
    const struct ledger_entry *mark = &l->entries[idx];
    for (unsigned i = 0; i < l->w->count; i++) {
        if (l->w->nodes[i].generation > 0 && (mark->was_on[i] & ON_DISK) == 0) {
            return;
        }
    }
    l->w->rare[RARE_DELETED_BY_ALL]++;
    ledger_mark_one(l, idx);
    for (uint32_t at = l->keys[mark->key].first; at != LEDGER_NONE;
         at = l->entries[at].next_of_key) {
        l->entries[at].is_dead |= at != idx && l->entries[at].mark == l->mark;
    }
}

static void entry_committed(struct ledger *l, struct sim_node *n, const struct store_view *disk,
                            const struct store_entry *stored)
{
    struct span before;
    uint32_t at = ledger_find_record(l, stored->key);
    if (at == LEDGER_NONE) {
        return; /* it was no entry: said already */
    }
    struct ledger_entry *e = &l->entries[at];
    bool is_there = disk->get(disk->ctx, STORE_ENTRIES, stored->key, &before);
    if (!is_there && (e->was_on[n->idx] & ON_DISK) != 0) {
        world_violation(l->w, "%s takes back what was superseded on its disk", n->name);
    } else if (!is_there && e->is_dead) {
        world_violation(l->w, "%s brings back a value whose deletion all have seen", n->name);
    }
    e->was_on[n->idx] = ON_DISK | ON_BEFORE;
    if (e->is_deleted) {
        deletion_seen(l, at);
    }
}

/* The rest of the batch has what takes its place. */
static bool is_replaced(const struct ledger *l, const struct store_entry *entries, size_t count,
                        const struct ledger_entry *e)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t at = entries[i].table == STORE_ENTRIES && entries[i].value.data != NULL
                          ? ledger_find_record(l, entries[i].key)
                          : LEDGER_NONE;
        if (at != LEDGER_NONE && l->entries[at].key == e->key &&
            ledger_covers(&l->entries[at], &e->dot)) {
            return true;
        }
    }
    return false;
}

/* It was on n's roster when n decided what its disk has now: before the batch that was under way then. */
static bool was_known(const struct ledger *l, const struct sim_node *n, unsigned other)
{
    const struct check *c = l->w->check;
    size_t at = (size_t) n->idx * c->n + other;
    uint64_t taken_ns = 2 * l->w->net.disk_ns + GATHERED_NS;
    return other == n->original ||
           (c->status[at] != CHECK_UNKNOWN && c->known_ns[at] + taken_ns <= l->w->now_ns);
}

/* A deletion mark goes, and nothing takes its place: everybody must have it, or have had it. */
static void mark_released(struct ledger *l, const struct sim_node *n, uint32_t idx)
{
    const struct ledger_entry *mark = &l->entries[idx];
    for (unsigned i = 0; i < l->w->count && !mark->is_gone; i++) {
        struct sim_node *o = &l->w->nodes[i];
        bool is_known = was_known(l, n, i);
        if (o->original == i && o->generation > 0 && is_known && mark->was_on[i] == 0 &&
            !ledger_claims(l, o, &mark->dot)) {
            world_violation(l->w, "%s lets a deletion mark go that %s has not seen", n->name,
                            o->name);
        }
    }
    ledger_mark_one(l, idx);
    for (uint32_t at = l->keys[mark->key].first; at != LEDGER_NONE;
         at = l->entries[at].next_of_key) {
        l->entries[at].is_gone |= l->entries[at].mark == l->mark;
    }
}

void ledger_commit(struct ledger *l, struct sim_node *n)
{
    size_t count;
    if (l == NULL) {
        return;
    }
    const struct store_entry *entries = simdisk_first(&n->disk, &count);
    struct store_view disk = simdisk_view(&n->disk);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].table == STORE_ENTRIES && entries[i].value.data != NULL) {
            entry_committed(l, n, &disk, &entries[i]);
        } else if (entries[i].table == STORE_ENTRIES) {
            uint32_t at = ledger_find_record(l, entries[i].key);
            if (at != LEDGER_NONE && l->entries[at].is_deleted &&
                !is_replaced(l, entries, count, &l->entries[at])) {
                mark_released(l, n, at);
            }
        }
    }
}

/* Looking costs as much as there are entries: so it is done the rarer the more there are. */
void ledger_committed(struct ledger *l, struct sim_node *n)
{
    if (l != NULL && ++l->nodes[n->idx].commits > l->entry_count / 8) {
        ledger_look(l, n);
    }
}

void ledger_wiped(struct ledger *l, const struct sim_node *n)
{
    for (size_t i = 0; l != NULL && i < l->entry_count; i++) {
        l->entries[i].was_on[n->idx] &= ON_BEFORE;
    }
}

void ledger_backup(struct ledger *l, const struct sim_node *n)
{
    if (l == NULL) {
        return;
    }
    struct ledger_node *node = &l->nodes[n->idx];
    node->backup = must(realloc(node->backup, l->entry_count + 1));
    node->backup_count = l->entry_count;
    for (size_t i = 0; i < l->entry_count; i++) {
        node->backup[i] = l->entries[i].was_on[n->idx] & ON_DISK;
    }
}

void ledger_restored(struct ledger *l, const struct sim_node *n)
{
    for (size_t i = 0; l != NULL && i < l->entry_count; i++) {
        const struct ledger_node *node = &l->nodes[n->idx];
        bool was_on = i < node->backup_count && node->backup[i];
        l->entries[i].was_on[n->idx] &= ON_BEFORE;
        l->entries[i].was_on[n->idx] |= was_on ? ON_DISK : 0;
        l->entries[i].is_dead = l->entries[i].is_dead && !was_on;
    }
}

void ledger_copied(struct ledger *l, const struct sim_node *from, const struct sim_node *to)
{
    for (size_t i = 0; l != NULL && i < l->entry_count; i++) {
        l->entries[i].was_on[to->idx] = l->entries[i].was_on[from->idx];
    }
}

void ledger_removed(struct ledger *l, const struct sim_node *n)
{
    for (size_t i = 0; l != NULL && i < l->entry_count; i++) {
        l->entries[i].is_gone |= is_of(l, &l->entries[i], n);
    }
}

/* ---- clients ---- */

uint64_t ledger_asked(struct ledger *l)
{
    grow((void **) &l->writes, &l->write_count, &l->write_room, sizeof *l->writes);
    return l->write_count;
}

void ledger_taken(struct ledger *l, uint64_t number, const struct entry *e)
{
    if (ledger_find(l, &e->dot) == LEDGER_NONE) {
        add_entry(l, e);
    }
    l->writes[number - 1].state = WRITE_TAKEN;
    l->writes[number - 1].dot = e->dot;
}

void ledger_sums(const struct ledger *l, struct ledger_sums *ret)
{
    memset(ret, 0, sizeof *ret);
    if (l == NULL) {
        return;
    }
    ret->asked = l->write_count;
    ret->entries = l->entry_count;
    ret->shown = l->shown;
    for (size_t i = 0; i < l->write_count; i++) {
        ret->acked += l->writes[i].state == WRITE_ACKED;
        ret->refused += l->writes[i].state == WRITE_REFUSED;
    }
}
