/* SPDX-License-Identifier: MPL-2.0 */
/* Replay window: see window.h. */
#include "core/window.h"

#include <string.h>

void window_init(struct window *w)
{
    memset(w, 0, sizeof *w);
}

static uint64_t *word_of(struct window *w, uint64_t counter)
{
    return &w->seen[counter / 64 % WINDOW_WORDS];
}

/* Clears the words between the old highest counter's and the new one's. */
static void advance(struct window *w, uint64_t counter)
{
    uint64_t words = counter / 64 - w->highest / 64;
    if (words > WINDOW_WORDS) {
        words = WINDOW_WORDS;
    }
    for (uint64_t i = 0; i < words; i++) {
        *word_of(w, counter - 64 * i) = 0;
    }
    w->highest = counter;
}

bool window_take(struct window *w, uint64_t counter)
{
    uint64_t bit = (uint64_t) 1 << (counter % 64);
    if (!w->any) {
        w->any = true;
        w->highest = counter;
    } else if (counter > w->highest) {
        advance(w, counter);
    } else if (w->highest - counter >= HM_REPLAY_WINDOW || (*word_of(w, counter) & bit) != 0) {
        return false;
    }
    *word_of(w, counter) |= bit;
    return true;
}
