/* SPDX-License-Identifier: MPL-2.0 */
/* The store as the core reads it: what is committed, nothing else. What was handed over in
 * FX_PERSIST and is not durable yet the core keeps itself, above it. In the daemon an LMDB read
 * transaction, begun by the first read of a step and ended with the step; in the simulator a map. */
#ifndef HM_CORE_VIEW_H
#define HM_CORE_VIEW_H

#include "base/span.h"
#include "core/event.h"

#include <stdbool.h>

struct store_view {
    void *ctx;
    /* False: no such key, or what is stored under it is damaged (the driver counts it). Spans live
     * until core_step returns. */
    bool (*get)(void *ctx, enum store_table table, struct span key, struct span *ret_value);
    /* The first key at or above `from` (above it, if not inclusive; data NULL: the first of all), in the order
     * of memcmp, a prefix before what it begins. Damaged records are passed over. False: none. */
    bool (*next)(void *ctx, enum store_table table, struct span from, bool inclusive,
                 struct span *ret_key, struct span *ret_value);
};

#endif
