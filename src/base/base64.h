/* SPDX-License-Identifier: MPL-2.0 */
/* Base64 (RFC 4648 section 4, with padding): bytes where only text goes. */
#ifndef HM_BASE_BASE64_H
#define HM_BASE_BASE64_H

#include "base/span.h"

#include <stddef.h>
#include <stdint.h>

/* Text of so many bytes, with the NUL. */
#define BASE64_TEXT_BYTES(size) (((size) + 2) / 3 * 4 + 1)

/* Writes the text and a NUL; `to` has BASE64_TEXT_BYTES(bytes.size). Returns to. */
const char *base64_write(struct span bytes, char *to);
/* Reads exactly such a text of `size` characters; `to` has size / 4 * 3 bytes. HM_EMALFORMED:
 * anything else, also when bits beyond the last byte are not 0. */
int base64_read(const char *text, size_t size, uint8_t *to, size_t *ret_size);

#endif
