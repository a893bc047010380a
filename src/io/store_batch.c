/* SPDX-License-Identifier: MPL-2.0 */
/* A batch on its way: one block of memory with all of its entries. See store_db.h. */
#define _GNU_SOURCE
#include "io/store_db.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static bool entry_is_valid(const struct store_entry *e)
{
    return store_table_name(e->table) != NULL && e->key.size > 0 &&
           e->key.size <= STORE_KEY_BYTES_MAX;
}

static struct span copy_span(uint8_t **at, struct span from)
{
    struct span to = {*at, from.size};
    if (from.data == NULL) {
        return span_of(NULL, 0);
    }
    if (from.size > 0) {
        memcpy(*at, from.data, from.size);
    }
    *at += from.size;
    return to;
}

int store_batch_new(uint64_t number, uint64_t generation, const struct store_entry *entries,
                    size_t count, struct store_batch **ret_batch)
{
    size_t bytes = sizeof(struct store_batch) + count * sizeof entries[0];
    for (size_t i = 0; i < count; i++) {
        if (!entry_is_valid(&entries[i])) {
            return HM_EINVAL;
        }
        bytes += entries[i].key.size + entries[i].value.size;
    }
    /* One more byte, so that an empty value at the end still has an address. */
    struct store_batch *b = malloc(bytes + 1);
    if (b == NULL) {
        return HM_ENOMEM;
    }
    b->next = NULL;
    b->record = 0;
    b->record_bytes = 0;
    b->number = number;
    b->generation = generation;
    b->count = count;
    b->bytes = bytes;
    uint8_t *at = (uint8_t *) (b->entries + count);
    for (size_t i = 0; i < count; i++) {
        b->entries[i].table = entries[i].table;
        b->entries[i].key = copy_span(&at, entries[i].key);
        b->entries[i].value = copy_span(&at, entries[i].value);
    }
    *ret_batch = b;
    return HM_OK;
}

void store_batch_destroy(struct store_batch **p)
{
    free(*p);
    *p = NULL;
}

void store_batches_destroy(struct store_batch **first)
{
    while (*first != NULL) {
        struct store_batch *next = (*first)->next;
        free(*first);
        *first = next;
    }
}
