/* SPDX-License-Identifier: MPL-2.0 */
/* A borrowed run of bytes. Never owns. */
#ifndef HM_BASE_SPAN_H
#define HM_BASE_SPAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *data;
    size_t size;
};

static inline struct span span_of(const void *data, size_t size)
{
    struct span s = {(const uint8_t *) data, size};
    return s;
}

/* As memcmp, a prefix before what it begins. */
static inline int span_cmp(struct span a, struct span b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

#endif
