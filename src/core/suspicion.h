/* SPDX-License-Identifier: MPL-2.0 */
/* Lifeguard's dynamic suspicion timeout (Dadgar, Phillips, Currey, "Lifeguard: Local Health Awareness
 * for More Accurate Failure Detection", DSN 2018, section IV.B) and SWIM's dissemination bound, in
 * integer arithmetic. */
#ifndef HM_CORE_SUSPICION_H
#define HM_CORE_SUSPICION_H

#include <stdint.h>

/* max - (max - min) * log(confirmations + 1) / log(expected + 1), not below min. With nobody who could
 * confirm (expected 0) it is min. */
uint64_t suspicion_timeout_ns(uint64_t min_ns, uint64_t max_ns, unsigned expected,
                              unsigned confirmations);

/* ceil(log10(n + 1)), at least 1: n members need so many rounds to hear something. */
unsigned log10_ceil(uint64_t n);

#endif
