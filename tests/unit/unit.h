/* SPDX-License-Identifier: MPL-2.0 */
/* What every unit test includes first: cmocka with the headers it wants before it.
 *
 * One program per module: tests/unit/DIR/test_MODULE.c for src/DIR/MODULE.c, through the module's
 * public header, without sleep, socket or file (io's tests excepted). A failing test names the row
 * of its table by print_error before it asserts. */
#ifndef HM_TESTS_UNIT_UNIT_H
#define HM_TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/span.h"

#define ARRAY_COUNT(a) (sizeof(a) / sizeof(a)[0])

/* A copy in a block of exactly that size, so that AddressSanitizer sees a read one byte too far.
 * Free with free((void *) copy.data). */
static inline struct span exact_copy(const void *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return span_of(copy, size);
}

static inline void exact_free(struct span copy)
{
    free((void *) copy.data);
}

static inline int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads hex digits, with spaces or dashes between bytes, up to the end or a '|'. Returns the number
 * of bytes. */
static inline size_t hex_bytes(const char *text, uint8_t *to, size_t max)
{
    size_t size = 0;
    while (*text != '\0' && *text != '|') {
        if (*text == ' ' || *text == '-') {
            text++;
            continue;
        }
        assert_true(hex_digit(text[0]) >= 0 && hex_digit(text[1]) >= 0);
        assert_true(size < max);
        to[size++] = (uint8_t) (hex_digit(text[0]) * 16 + hex_digit(text[1]));
        text += 2;
    }
    return size;
}

#endif
