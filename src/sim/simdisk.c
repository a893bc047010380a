/* SPDX-License-Identifier: MPL-2.0 */
/* A node's disk: see simdisk.h. */
#include "sim/simdisk.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

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

static int compare(const struct store_entry *a, const struct store_entry *b)
{
    if (a->table != b->table) {
        return a->table < b->table ? -1 : 1;
    }
    size_t size = a->key.size < b->key.size ? a->key.size : b->key.size;
    int order = size == 0 ? 0 : memcmp(a->key.data, b->key.data, size);
    if (order != 0) {
        return order;
    }
    return (a->key.size > b->key.size) - (a->key.size < b->key.size);
}

/* Where the entry is, or where it belongs. */
static size_t find(const struct disk *d, const struct store_entry *e, bool *ret_found)
{
    size_t low = 0;
    size_t high = d->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = compare(&d->items[mid], e);
        if (order == 0) {
            *ret_found = true;
            return mid;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *ret_found = false;
    return low;
}

/* Takes the entry's key and value. */
static void put(struct disk *d, struct store_entry *e)
{
    bool found;
    size_t at = find(d, e, &found);
    if (found) {
        span_free(d->items[at].value);
        span_free(d->items[at].key);
    }
    if (e->value.data == NULL) {
        span_free(e->key);
        if (found) {
            d->count--;
            memmove(d->items + at, d->items + at + 1, (d->count - at) * sizeof *d->items);
        }
        return;
    }
    if (!found) {
        if (d->count == d->room) {
            d->room = d->room == 0 ? 16 : 2 * d->room;
            d->items = realloc(d->items, d->room * sizeof *d->items);
            HM_ASSERT(d->items != NULL);
        }
        memmove(d->items + at + 1, d->items + at, (d->count - at) * sizeof *d->items);
        d->count++;
    }
    d->items[at] = *e;
}

void simdisk_add(struct disk *d, uint64_t batch, const struct store_entry *entries, size_t count,
                 uint64_t mark)
{
    struct disk_batch *b = malloc(sizeof *b + count * sizeof b->entries[0]);
    HM_ASSERT(b != NULL);
    b->next = NULL;
    b->batch = batch;
    b->mark = mark;
    b->count = count;
    for (size_t i = 0; i < count; i++) {
        b->entries[i].table = entries[i].table;
        b->entries[i].key = copy(entries[i].key);
        b->entries[i].value = copy(entries[i].value);
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

uint64_t simdisk_commit(struct disk *d, uint64_t *ret_mark)
{
    struct disk_batch *b = take_first(d);
    for (size_t i = 0; i < b->count; i++) {
        put(d, &b->entries[i]);
    }
    uint64_t batch = b->batch;
    *ret_mark = b->mark;
    free(b);
    return batch;
}

static void drop_first(struct disk *d)
{
    struct disk_batch *b = take_first(d);
    for (size_t i = 0; i < b->count; i++) {
        span_free(b->entries[i].key);
        span_free(b->entries[i].value);
    }
    free(b);
}

size_t simdisk_crash(struct disk *d)
{
    size_t lost = 0;
    while (d->first != NULL) {
        drop_first(d);
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
    for (size_t i = 0; i < d->count; i++) {
        span_free(d->items[i].key);
        span_free(d->items[i].value);
    }
    d->count = 0;
}

void simdisk_copy(struct disk *to, const struct disk *from)
{
    simdisk_wipe(to);
    for (size_t i = 0; i < from->count; i++) {
        struct store_entry e = from->items[i];
        e.key = copy(e.key);
        e.value = copy(e.value);
        put(to, &e);
    }
}

void simdisk_fini(struct disk *d)
{
    simdisk_wipe(d);
    free(d->items);
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
