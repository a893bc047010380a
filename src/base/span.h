/* SPDX-License-Identifier: MPL-2.0 */
/* A borrowed run of bytes. Never owns. */
#ifndef HM_BASE_SPAN_H
#define HM_BASE_SPAN_H

#include <stddef.h>
#include <stdint.h>

struct span {
    const uint8_t *data;
    size_t size;
};

static inline struct span span_of(const void *data, size_t size)
{
    struct span s = {(const uint8_t *) data, size};
    return s;
}

#endif
