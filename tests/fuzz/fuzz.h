/* SPDX-License-Identifier: MPL-2.0 */
/* What the fuzz targets share: the entry point that libFuzzer calls, assertions that name the
 * broken promise, and a cursor that turns bytes into choices.
 *
 * A target is a total check: for any bytes it returns 0, or it aborts because the decoder broke
 * a promise. With clang and --enable-fuzzers it is linked with libFuzzer; otherwise with
 * replay.c, which runs the corpus and small changes of it in `make check`. */
#ifndef HM_TESTS_FUZZ_FUZZ_H
#define HM_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_ASSERT(cond)                                                                          \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #cond);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline bool span_eq(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* True if part lies inside whole, or is empty. */
static inline bool span_inside(struct span part, struct span whole)
{
    return part.size == 0 ||
           (part.data >= whole.data && part.data + part.size <= whole.data + whole.size);
}

/* A copy in a block of exactly that size, so that AddressSanitizer sees a read one byte too far. */
static inline struct span fuzz_copy(struct span s)
{
    uint8_t *copy = malloc(s.size > 0 ? s.size : 1);
    FUZZ_ASSERT(copy != NULL);
    if (s.size > 0) {
        memcpy(copy, s.data, s.size);
    }
    return span_of(copy, s.size);
}

static inline void fuzz_free(struct span copy)
{
    free((void *) copy.data);
}

/* Choices out of bytes; zeros when they are used up. */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint64_t in_number(struct input *in, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes && in->left > 0; i++) {
        v = (v << 8) | *in->at++;
        in->left--;
    }
    return v;
}

static inline uint8_t in_u8(struct input *in)
{
    return (uint8_t) in_number(in, 1);
}

static inline uint16_t in_u16(struct input *in)
{
    return (uint16_t) in_number(in, 2);
}

static inline uint64_t in_u64(struct input *in)
{
    return in_number(in, 8);
}

/* At most size bytes, borrowed from the input. */
static inline struct span in_bytes(struct input *in, size_t size)
{
    struct span s = span_of(in->at, size < in->left ? size : in->left);
    in->at += s.size;
    in->left -= s.size;
    return s;
}

/* Fills memory of any size, with zeros at the end if the input is short. */
static inline void in_fill(struct input *in, void *to, size_t size)
{
    struct span s = in_bytes(in, size);
    memset(to, 0, size);
    if (s.size > 0) {
        memcpy(to, s.data, s.size);
    }
}

#endif
