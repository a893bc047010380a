/* SPDX-License-Identifier: MPL-2.0 */
/* Replay window of one session: the highest counter and the HM_REPLAY_WINDOW before it (as RFC 6479
 * does for IPsec). No clock and no stored counter is needed. */
#ifndef HM_CORE_WINDOW_H
#define HM_CORE_WINDOW_H

#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_WORDS (HM_REPLAY_WINDOW / 64 + 1)

struct window {
    uint64_t highest;
    bool any;
    uint64_t seen[WINDOW_WORDS]; /* a ring of bits by counter; one word more than the window */
};

void window_init(struct window *w);
/* True the first time a counter is shown that is not too old; marks it. */
bool window_take(struct window *w, uint64_t counter);

#endif
