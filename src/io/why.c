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
    }
    return code;
}
