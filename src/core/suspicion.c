/* SPDX-License-Identifier: MPL-2.0 */
/* Suspicion timeouts: see suspicion.h. */
#include "core/suspicion.h"

/* round(1000 * log2(i)), i = 1..9: enough for up to 8 confirmations. */
static const uint64_t log2_milli[] = {0, 0, 1000, 1585, 2000, 2322, 2585, 2807, 3000, 3170};
#define CONFIRMATIONS_MAX 8

uint64_t suspicion_timeout_ns(uint64_t min_ns, uint64_t max_ns, unsigned expected,
                              unsigned confirmations)
{
    if (expected > CONFIRMATIONS_MAX) {
        expected = CONFIRMATIONS_MAX;
    }
    if (confirmations >= expected || max_ns <= min_ns) {
        return min_ns;
    }
    uint64_t part = log2_milli[confirmations + 1];
    uint64_t whole = log2_milli[expected + 1];
    return max_ns - (max_ns - min_ns) / whole * part;
}

unsigned log10_ceil(uint64_t n)
{
    unsigned digits = 1;
    for (uint64_t reach = 9; reach < n && digits < 19; reach = reach * 10 + 9) {
        digits++;
    }
    return digits;
}
