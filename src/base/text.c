/* SPDX-License-Identifier: MPL-2.0 */
/* Text helpers: see text.h. No locale: letters and digits are ASCII's. */
#include "base/text.h"

#include "base/err.h"

#include <string.h>

bool text_copy(char *to, size_t max, const char *from)
{
    HM_ASSERT(max > 0);
    size_t len = strlen(from);
    bool fits = len < max;
    if (!fits) {
        len = max - 1;
    }
    memcpy(to, from, len);
    to[len] = '\0';
    return fits;
}

const char *text_hex(const uint8_t *bytes, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = '\0';
    return text;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

int text_unhex(const char *text, uint8_t *ret_bytes, size_t size)
{
    if (strlen(text) != 2 * size) {
        return HM_EMALFORMED;
    }
    for (size_t i = 0; i < 2 * size; i++) {
        if (hex_value(text[i]) < 0) {
            return HM_EMALFORMED;
        }
    }
    for (size_t i = 0; i < size; i++) {
        ret_bytes[i] = (uint8_t) (hex_value(text[2 * i]) * 16 + hex_value(text[2 * i + 1]));
    }
    return HM_OK;
}

int text_to_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (*text == '\0') {
        return HM_EMALFORMED;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return HM_EMALFORMED;
        }
        uint64_t digit = (uint64_t) (*text - '0');
        if (digit > max || value > (max - digit) / 10) {
            return HM_EMALFORMED;
        }
        value = value * 10 + digit;
    }
    *ret_value = value;
    return HM_OK;
}

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

int text_to_ms(const char *text, uint64_t max_ms, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1},       {"s", 1000},      {"m", 60000},      {"min", 60000},
                 {"h", 3600000}, {"d", 86400000}, {"", 1000}};
    char number[24];
    uint64_t count = 0;
    size_t digits = 0;
    while (text[digits] >= '0' && text[digits] <= '9') {
        digits++;
    }
    if (digits == 0 || digits >= sizeof number) {
        return HM_EMALFORMED;
    }
    memcpy(number, text, digits);
    number[digits] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + digits, units[i].unit) == 0 &&
            text_to_u64(number, max_ms / units[i].ms, &count) == HM_OK) {
            *ret_ms = count * units[i].ms;
            return HM_OK;
        }
    }
    return HM_EMALFORMED;
}

bool text_is_dns_label(const char *text, size_t size)
{
    if (size == 0 || size > 63 || text[0] == '-' || text[size - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_label_char(text[i]) && text[i] != '-') {
            return false;
        }
    }
    return true;
}

void text_fold_name(const char *from, char *to, size_t max)
{
    HM_ASSERT(max >= sizeof "node");
    size_t len = 0;
    size_t room = max - 1 < 63 ? max - 1 : 63;
    for (; *from != '\0' && *from != '.' && len < room; from++) {
        char c = *from;
        if (c >= 'A' && c <= 'Z') {
            c = (char) (c - 'A' + 'a');
        }
        if (is_label_char(c)) {
            to[len++] = c;
        } else if (len > 0 && to[len - 1] != '-') {
            to[len++] = '-';
        }
    }
    while (len > 0 && to[len - 1] == '-') {
        len--;
    }
    to[len] = '\0';
    if (len == 0) {
        memcpy(to, "node", sizeof "node");
    }
}

/* Length of the UTF-8 sequence at s (RFC 3629: no surrogates, no overlong forms), 0 if malformed. */
static size_t utf8_sequence(const uint8_t *s, size_t left)
{
    if (s[0] < 0x80) {
        return 1;
    }
    size_t n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 0;
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        n = 4;
    }
    if (n == 0 || n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool beyond = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return overlong || beyond ? 0 : n;
}

bool text_is_utf8(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t n = utf8_sequence(bytes + i, size - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

static bool is_clean_sequence(const uint8_t *s, size_t n)
{
    bool is_control = n == 1 && (s[0] < 0x20 || s[0] == 0x7f);
    bool is_c1_control = n == 2 && s[0] == 0xc2 && s[1] < 0xa0;
    return n > 0 && !is_control && !is_c1_control;
}

bool text_is_clean_utf8(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t n = utf8_sequence(bytes + i, size - i);
        if (!is_clean_sequence(bytes + i, n)) {
            return false;
        }
        i += n;
    }
    return true;
}

void text_copy_clean(char *to, size_t max, const char *from)
{
    const uint8_t *s = (const uint8_t *) from;
    size_t left = strlen(from);
    size_t at = 0;
    HM_ASSERT(max > 0);
    while (left > 0) {
        size_t n = utf8_sequence(s, left);
        bool is_clean = is_clean_sequence(s, n);
        size_t taken = n > 0 ? n : 1;
        size_t put = is_clean ? n : 1;
        if (put >= max - at) {
            break;
        }
        if (is_clean) {
            memcpy(to + at, s, n);
        } else {
            to[at] = ' ';
        }
        at += put;
        s += taken;
        left -= taken;
    }
    to[at] = '\0';
}

#define DISTANCE_MAX 64

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

unsigned text_distance(const char *a, const char *b)
{
    unsigned row[3][DISTANCE_MAX];
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    a_len = a_len < DISTANCE_MAX - 1 ? a_len : DISTANCE_MAX - 1;
    b_len = b_len < DISTANCE_MAX - 1 ? b_len : DISTANCE_MAX - 1;
    for (size_t j = 0; j <= b_len; j++) {
        row[0][j] = (unsigned) j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *now = row[i % 3];
        const unsigned *last = row[(i + 2) % 3];
        const unsigned *before = row[(i + 1) % 3];
        now[0] = (unsigned) i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned change = a[i - 1] == b[j - 1] ? 0 : 1;
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + change);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < now[j]) {
                now[j] = before[j - 2] + 1;
            }
        }
    }
    return row[a_len % 3][b_len];
}

const char *text_nearest(const char *text, const char *const *words)
{
    const char *best = NULL;
    unsigned best_distance = 0;
    for (; *words != NULL; words++) {
        unsigned d = text_distance(text, *words);
        size_t near = strlen(*words) / 3 > 0 ? strlen(*words) / 3 : 1;
        if (d <= near && (best == NULL || d < best_distance)) {
            best = *words;
            best_distance = d;
        }
    }
    return best;
}
