/* SPDX-License-Identifier: MPL-2.0 */
/* Effects of a step: see fxlist.h. */
#include "core/fxlist.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384

struct fx_block {
    struct fx_block *next;
    size_t used;
    size_t room;
    max_align_t bytes[];
};

void fxlist_init(struct fxlist *l)
{
    memset(l, 0, sizeof *l);
}

void fxlist_fini(struct fxlist *l)
{
    struct fx_block *b = l->first;
    while (b != NULL) {
        struct fx_block *next = b->next;
        free(b);
        b = next;
    }
    free(l->items);
    memset(l, 0, sizeof *l);
}

/* Frees blocks from the first one on that does not fit any more into what is kept. */
static void shrink(struct fxlist *l)
{
    struct fx_block **at = &l->first;
    size_t kept = 0;
    while (*at != NULL && kept + (*at)->room <= FXLIST_KEPT_BYTES) {
        kept += (*at)->room;
        at = &(*at)->next;
    }
    struct fx_block *b = *at;
    *at = NULL;
    while (b != NULL) {
        struct fx_block *next = b->next;
        l->block_bytes -= b->room;
        free(b);
        b = next;
    }
}

void fxlist_clear(struct fxlist *l)
{
    if (l->block_bytes > FXLIST_KEPT_BYTES) {
        shrink(l);
    }
    l->count = 0;
    l->failed = false;
    l->current = l->first;
    if (l->current != NULL) {
        l->current->used = 0;
    }
}

struct effect *fxlist_add(struct fxlist *l, enum effect_type type)
{
    if (l->count == l->room) {
        size_t room = l->room == 0 ? 16 : 2 * l->room;
        struct effect *items = realloc(l->items, room * sizeof *items);
        if (items == NULL) {
            l->failed = true;
            return NULL;
        }
        l->items = items;
        l->room = room;
    }
    struct effect *fx = &l->items[l->count++];
    memset(fx, 0, sizeof *fx);
    fx->type = type;
    return fx;
}

static struct fx_block *new_block(size_t size)
{
    size_t room = BLOCK_BYTES;
    while (room < size) {
        room *= 2; /* not exactly: what grows by a little each time would always need a new one */
    }
    struct fx_block *b = malloc(sizeof *b + room);
    if (b != NULL) {
        b->next = NULL;
        b->used = 0;
        b->room = room;
    }
    return b;
}

/* Makes a block with room current: the next kept one if it is large enough, else a new one in its place,
 * so that there are never more blocks than one step has used. */
static bool next_block(struct fxlist *l, size_t size)
{
    struct fx_block *kept = l->current == NULL ? l->first : l->current->next;
    if (kept != NULL && kept->room >= size) {
        kept->used = 0;
        l->current = kept;
        return true;
    }
    struct fx_block *b = new_block(size);
    if (b == NULL) {
        l->failed = true;
        return false;
    }
    b->next = kept == NULL ? NULL : kept->next;
    l->block_bytes += b->room - (kept == NULL ? 0 : kept->room);
    free(kept);
    if (l->current == NULL) {
        l->first = b;
    } else {
        l->current->next = b;
    }
    l->current = b;
    return true;
}

void *fxlist_alloc(struct fxlist *l, size_t size)
{
    size_t align = sizeof(max_align_t);
    size = (size + align - 1) / align * align;
    if ((l->current == NULL || l->current->room - l->current->used < size) &&
        !next_block(l, size)) {
        return NULL;
    }
    uint8_t *at = (uint8_t *) l->current->bytes + l->current->used;
    l->current->used += size;
    return at;
}

struct span fxlist_copy(struct fxlist *l, struct span bytes)
{
    void *at = bytes.size == 0 ? NULL : fxlist_alloc(l, bytes.size);
    if (at == NULL) {
        return span_of(NULL, 0);
    }
    memcpy(at, bytes.data, bytes.size);
    return span_of(at, bytes.size);
}
