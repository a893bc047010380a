/* SPDX-License-Identifier: MPL-2.0 */
/* Big-endian numbers in bytes. */
#ifndef HM_BASE_BE_H
#define HM_BASE_BE_H

#include <stddef.h>
#include <stdint.h>

/* Writes the low `size` bytes of value (at most 8), highest first; returns what follows them. */
static inline uint8_t *be_put(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = size; i > 0; i--) {
        *at++ = (uint8_t) (value >> (8 * (i - 1)));
    }
    return at;
}

static inline uint64_t be_get(const uint8_t *at, size_t size)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++) {
        v = (v << 8) | at[i];
    }
    return v;
}

#endif
