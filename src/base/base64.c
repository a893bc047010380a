/* SPDX-License-Identifier: MPL-2.0 */
/* Base64: see base64.h. */
#include "base/base64.h"

#include "base/err.h"

#include <stdbool.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const char *base64_write(struct span bytes, char *to)
{
    char *at = to;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t bits = (uint32_t) bytes.data[i] << 16;
        bits |= left > 1 ? (uint32_t) bytes.data[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t) bytes.data[i + 2] : 0;
        *at++ = digits[bits >> 18];
        *at++ = digits[(bits >> 12) & 63];
        *at++ = left > 1 ? digits[(bits >> 6) & 63] : '=';
        *at++ = left > 2 ? digits[bits & 63] : '=';
    }
    *at = '\0';
    return to;
}

/* 64: no digit. */
static uint32_t value_of(char c)
{
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? 64 : (uint32_t) (at - digits);
}

/* One group of four characters, of which `count` are digits. */
static int read_group(const char *text, size_t count, uint8_t *to)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t value = i < count ? value_of(text[i]) : 0;
        if (value == 64) {
            return HM_EMALFORMED;
        }
        bits = bits << 6 | value;
    }
    to[0] = (uint8_t) (bits >> 16);
    if (count > 2) {
        to[1] = (uint8_t) (bits >> 8);
    }
    if (count > 3) {
        to[2] = (uint8_t) bits;
    }
    uint32_t rest = count == 2 ? bits & 0xffff : count == 3 ? bits & 0xff : 0;
    return rest == 0 ? HM_OK : HM_EMALFORMED;
}

int base64_read(const char *text, size_t size, uint8_t *to, size_t *ret_size)
{
    size_t done = 0;
    if (size % 4 != 0) {
        return HM_EMALFORMED;
    }
    for (size_t i = 0; i < size; i += 4) {
        bool is_last = i + 4 == size;
        size_t count = 4;
        count -= is_last && text[i + 3] == '=' ? 1 : 0;
        count -= count == 3 && text[i + 2] == '=' ? 1 : 0;
        if (read_group(text + i, count, to + done) != HM_OK) {
            return HM_EMALFORMED;
        }
        done += count - 1;
    }
    *ret_size = done;
    return HM_OK;
}
