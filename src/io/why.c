/* SPDX-License-Identifier: MPL-2.0 */
/* What went wrong, in words: see why.h. */
#include "io/why.h"

#include <stdarg.h>
#include <stdio.h>

int why_set(struct why *why, int code, const char *format, ...)
{
    if (why != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(why->text, sizeof why->text, format, args);
        va_end(args);
        /* What a person or a file handed in may be quoted in it. */
        for (char *at = why->text; *at != '\0'; at++) {
            *at = (unsigned char) *at < 0x20 || *at == 0x7f ? '?' : *at;
        }
    }
    return code;
}
