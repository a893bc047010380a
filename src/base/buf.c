/* SPDX-License-Identifier: MPL-2.0 */
/* A growable run of bytes with a bound: see buf.h. */
#include "base/buf.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
    memset(b, 0, sizeof *b);
    b->max = max;
}

void buf_fini(struct buf *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    b->failed = false;
}

static bool grow(struct buf *b, size_t need)
{
    size_t room = b->room < 64 ? 64 : b->room;
    while (room < need) {
        room *= 2;
    }
    uint8_t *data = realloc(b->data, room);
    if (data == NULL) {
        return false;
    }
    b->data = data;
    b->room = room;
    return true;
}

uint8_t *buf_extend(struct buf *b, size_t size)
{
    bool fits = !b->failed && size <= b->max - b->size;
    if (!fits || ((b->data == NULL || b->size + size > b->room) && !grow(b, b->size + size))) {
        b->failed = true;
        return NULL;
    }
    uint8_t *at = b->data + b->size;
    b->size += size;
    return at;
}

void buf_append(struct buf *b, const void *data, size_t size)
{
    if (size == 0) {
        return;
    }
    uint8_t *at = buf_extend(b, size);
    if (at != NULL) {
        memcpy(at, data, size);
    }
}

void buf_truncate(struct buf *b, size_t size)
{
    HM_ASSERT(size <= b->size);
    b->size = size;
}

bool buf_failed(const struct buf *b)
{
    return b->failed;
}

struct span buf_span(const struct buf *b)
{
    return span_of(b->data, b->size);
}
