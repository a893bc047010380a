/* SPDX-License-Identifier: MPL-2.0 */
/* What went wrong, in words for a person: what, where, and what would be right. Functions that can fail
 * for reasons outside the program take one and return the code that why_set gives back. */
#ifndef HM_IO_WHY_H
#define HM_IO_WHY_H

#define WHY_BYTES 768

struct why {
    char text[WHY_BYTES];
};

/* Writes the text as one line (cut if too long, control characters as '?') and returns code. why may be
 * NULL: the text is dropped. */
int why_set(struct why *why, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
