/* SPDX-License-Identifier: MPL-2.0 */
/* A node's disk: see simdisk.h. */
#include "sim/simdisk.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define SIMDISK_KEY_BYTES_MAX 511 /* as the daemon's store has it */
#define SIMDISK_LOADED_MAX STORE_VECTOR /* up to this table a process gets them at its start */

struct disk_batch {
    struct disk_batch *next;
    uint64_t batch;
    uint64_t mark;
    size_t count;
    struct store_entry entries[];
};

static struct span copy(struct span from)
{
    if (from.data == NULL) {
        return from;
    }
    uint8_t *to = malloc(from.size + 1);
    HM_ASSERT(to != NULL);
    if (from.size > 0) {
        memcpy(to, from.data, from.size);
    }
    return span_of(to, from.size);
}

static void span_free(struct span s)
{
    free((void *) (uintptr_t) s.data);
}

/* A key of the map: the table, then the entry's key. */
struct map_key {
    uint8_t bytes[1 + SIMDISK_KEY_BYTES_MAX];
    size_t size;
};

static struct span map_key(struct map_key *to, enum store_table table, struct span key)
{
    HM_ASSERT(key.size < sizeof to->bytes);
    to->bytes[0] = (uint8_t) table;
    if (key.size > 0) {
        memcpy(to->bytes + 1, key.data, key.size);
    }
    return span_of(to->bytes, 1 + key.size);
}

static void put(struct disk *d, const struct store_entry *e)
{
    struct map_key buf;
    struct span key = map_key(&buf, e->table, e->key);
    if (e->value.data == NULL) {
        if (d->items != NULL) {
            (void) omap_remove(d->items, key);
        }
        return;
    }
    if (d->items == NULL) {
        d->items = omap_new();
        HM_ASSERT(d->items != NULL);
    }
    int rc = omap_put(d->items, key, e->value, 0);
    HM_ASSERT(rc == HM_OK);
}

/* ---- reading ---- */

static bool view_get(void *ctx, enum store_table table, struct span key, struct span *ret_value)
{
    struct disk *d = ctx;
    struct map_key buf;
    return d->items != NULL && key.size > 0 && key.size <= SIMDISK_KEY_BYTES_MAX &&
           omap_get(d->items, map_key(&buf, table, key), ret_value, NULL);
}

static bool view_next(void *ctx, enum store_table table, struct span from, bool inclusive,
                      struct span *ret_key, struct span *ret_value)
{
    struct disk *d = ctx;
    struct map_key buf;
    struct span key;
    if (from.size > SIMDISK_KEY_BYTES_MAX) { /* no key is as long: those above its beginning are */
        from.size = SIMDISK_KEY_BYTES_MAX;
        inclusive = false;
    }
    if (d->items == NULL) {
        return false;
    }
    if (!omap_next(d->items, map_key(&buf, table, from), inclusive || from.size == 0, &key,
                   ret_value, NULL) ||
        key.data[0] != (uint8_t) table) {
        return false;
    }
    *ret_key = span_of(key.data + 1, key.size - 1);
    return true;
}

struct store_view simdisk_view(struct disk *d)
{
    return (struct store_view){d, view_get, view_next};
}

struct store_entry *simdisk_load(const struct disk *d, size_t *ret_count)
{
    size_t room = 16;
    size_t count = 0;
    struct store_entry *entries = malloc(room * sizeof *entries);
    struct span key = span_of(NULL, 0);
    struct span value;
    bool is_first = true;
    HM_ASSERT(entries != NULL);
    while (d->items != NULL && omap_next(d->items, key, is_first, &key, &value, NULL) &&
           key.data[0] <= SIMDISK_LOADED_MAX) {
        if (count == room) {
            room *= 2;
            entries = realloc(entries, room * sizeof *entries);
            HM_ASSERT(entries != NULL);
        }
        entries[count].table = (enum store_table) key.data[0];
        entries[count].key = span_of(key.data + 1, key.size - 1);
        entries[count].value = value;
        count++;
        is_first = false;
    }
    *ret_count = count;
    return entries;
}

/* ---- batches ---- */

void simdisk_add(struct disk *d, uint64_t batch, const struct store_entry *entries, size_t count,
                 enum store_table least, uint64_t mark)
{
    struct disk_batch *b = malloc(sizeof *b + count * sizeof b->entries[0]);
    HM_ASSERT(b != NULL);
    b->next = NULL;
    b->batch = batch;
    b->mark = mark;
    b->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct store_entry *e = &entries[i];
        HM_ASSERT(e->key.size > 0 && e->key.size <= SIMDISK_KEY_BYTES_MAX);
        if (e->table >= least) {
            b->entries[b->count++] = (struct store_entry){e->table, copy(e->key), copy(e->value)};
        }
    }
    if (d->last == NULL) {
        d->first = b;
    } else {
        d->last->next = b;
    }
    d->last = b;
}

static struct disk_batch *take_first(struct disk *d)
{
    struct disk_batch *b = d->first;
    HM_ASSERT(b != NULL);
    d->first = b->next;
    if (d->first == NULL) {
        d->last = NULL;
    }
    return b;
}

static void batch_free(struct disk_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        span_free(b->entries[i].key);
        span_free(b->entries[i].value);
    }
    free(b);
}

const struct store_entry *simdisk_first(const struct disk *d, size_t *ret_count)
{
    HM_ASSERT(d->first != NULL);
    *ret_count = d->first->count;
    return d->first->entries;
}

uint64_t simdisk_commit(struct disk *d, uint64_t *ret_mark)
{
    struct disk_batch *b = take_first(d);
    for (size_t i = 0; i < b->count; i++) {
        put(d, &b->entries[i]);
    }
    uint64_t batch = b->batch;
    *ret_mark = b->mark;
    batch_free(b);
    return batch;
}

size_t simdisk_crash(struct disk *d)
{
    size_t lost = 0;
    while (d->first != NULL) {
        batch_free(take_first(d));
        lost++;
    }
    d->committed_ns = 0;
    return lost;
}

uint64_t simdisk_fail(struct disk *d)
{
    HM_ASSERT(d->first != NULL);
    uint64_t batch = d->first->batch;
    simdisk_crash(d);
    return batch;
}

void simdisk_wipe(struct disk *d)
{
    simdisk_crash(d);
    omap_destroy(&d->items);
}

void simdisk_copy(struct disk *to, const struct disk *from)
{
    struct span key = span_of(NULL, 0);
    struct span value;
    bool is_first = true;
    simdisk_wipe(to);
    while (from->items != NULL && omap_next(from->items, key, is_first, &key, &value, NULL)) {
        struct store_entry e = {(enum store_table) key.data[0],
                                span_of(key.data + 1, key.size - 1), value};
        put(to, &e);
        is_first = false;
    }
}

void simdisk_fini(struct disk *d)
{
    simdisk_wipe(d);
    memset(d, 0, sizeof *d);
}

bool simdisk_touches(const struct store_entry *entries, size_t count, enum store_table table)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].table == table) {
            return true;
        }
    }
    return false;
}
