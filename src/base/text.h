/* SPDX-License-Identifier: MPL-2.0 */
/* Text helpers: bounded copies, hex, numbers, DNS labels, and the nearest word for error texts. */
#ifndef HM_BASE_TEXT_H
#define HM_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies at most max-1 bytes and ends with NUL. Returns false if it had to cut. */
bool text_copy(char *to, size_t max, const char *from);

/* The same as one line of clean UTF-8 (see below): what is none becomes a blank, and no character is cut in two. */
void text_copy_clean(char *to, size_t max, const char *from);

/* Writes 2*size lower-case hex digits and a NUL; text must hold them. Returns text. */
const char *text_hex(const uint8_t *bytes, size_t size, char *text);

/* Reads exactly 2*size hex digits of either case. HM_EMALFORMED if text is anything else. */
int text_unhex(const char *text, uint8_t *ret_bytes, size_t size);

/* Reads a decimal number without sign, spaces or other decoration, at most max. HM_EMALFORMED. */
int text_to_u64(const char *text, uint64_t max, uint64_t *ret_value);

/* Reads a number and its unit, "500ms", "5s", "2m", "2min", "3h", "7d"; without a unit it is seconds.
 * HM_EMALFORMED: anything else, or more than max. */
int text_to_ms(const char *text, uint64_t max_ms, uint64_t *ret_ms);

/* True for 1..63 of a-z 0-9 and '-', not at the ends (RFC 1123 label, lower case). */
bool text_is_dns_label(const char *text, size_t size);

/* Makes a DNS label of a host name: the part before the first dot, lower case, every run of other
 * bytes one '-', ends trimmed, 63 bytes; "node" if nothing is left. */
void text_fold_name(const char *from, char *to, size_t max);

/* True if the bytes are well-formed UTF-8 (RFC 3629), whatever characters. */
bool text_is_utf8(const uint8_t *bytes, size_t size);
/* True if the bytes are well-formed UTF-8 without control characters. */
bool text_is_clean_utf8(const uint8_t *bytes, size_t size);

/* Damerau-Levenshtein distance (transpositions of neighbours count one), words up to 63 bytes;
 * longer ones are cut. */
unsigned text_distance(const char *a, const char *b);

/* The word of a NULL-terminated list that is nearest to text, or NULL if none is near enough
 * (a third of its length, at least 1) to be what was meant. */
const char *text_nearest(const char *text, const char *const *words);

#endif
