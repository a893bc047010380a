/* SPDX-License-Identifier: MPL-2.0 */
/* A growable run of bytes with a bound.
 *
 * Writing beyond the bound or out of memory marks the buffer as failed and keeps what was written
 * before; callers check once at the end (buf_failed). Emptying keeps the memory, so a buffer that is
 * used again and again stops allocating. */
#ifndef HM_BASE_BUF_H
#define HM_BASE_BUF_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t size;
    size_t room;
    size_t max;
    bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
/* Empties it and clears the failure; memory stays. */
void buf_clear(struct buf *b);
void buf_append(struct buf *b, const void *data, size_t size);
/* Makes `size` more bytes and returns where they start, or NULL (failed). Valid until next write. */
uint8_t *buf_extend(struct buf *b, size_t size);
void buf_truncate(struct buf *b, size_t size);
bool buf_failed(const struct buf *b);
/* Borrowed until the next write. */
struct span buf_span(const struct buf *b);

#endif
