/* SPDX-License-Identifier: MPL-2.0 */
/* Result codes and assertions: see err.h. */
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

const char *hm_strerror(int code)
{
    switch (code) {
#define HM_ERR_CASE(name, value, text)                                                             \
    case name:                                                                                     \
        return text;
        HM_ERR_LIST(HM_ERR_CASE)
#undef HM_ERR_CASE
    default:
        return "unknown error";
    }
}

void hm_assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "homemesh: internal promise broken: %s (%s:%d)\n", what, file, line);
    abort();
}
