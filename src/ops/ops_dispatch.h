/* SPDX-License-Identifier: MPL-2.0 */
/* From a request to its handler: finds the operation, checks scope and arguments, calls the
 * handler. Pure; one per node, used by the core through its struct call_handler. */
#ifndef HM_OPS_OPS_DISPATCH_H
#define HM_OPS_OPS_DISPATCH_H

#include "base/buf.h"
#include "core/core.h"
#include "ops/ops_facts.h"
#include "ops/ops_store_facts.h"

/* What handlers need from the driver, since the core must not know it. */
struct ops_env {
    /* Writes the token (one line of text, no line end). HM_OK or HM_E*. NULL: there is none. */
    int (*token)(void *ctx, struct buf *out);
    /* The Zyre programs known, one by one; false behind the last. Borrowed until the loop goes on.
     * NULL: none. */
    bool (*peer)(void *ctx, size_t idx, struct fact_peer *ret_peer);
    /* What this process and machine look like now; borrowed until the next call. NULL: not told. */
    const struct facts *(*facts)(void *ctx);
    /* Begins to measure what takes time: the facts have it later. NULL: nothing is measured. */
    void (*measure)(void *ctx);
    /* How the store is; borrowed until the next call. NULL: not told. */
    const struct store_condition *(*store)(void *ctx);
    /* Begins to check or to compact it. HM_EBUSY: one is under way; HM_EFULL. NULL: neither. */
    int (*store_work)(void *ctx, enum store_work_kind kind, uint64_t *ret_number);
    /* How full its tables are; how many were written to ret. NULL: there are none. */
    size_t (*gauges)(void *ctx, struct fact_gauge ret[FACT_GAUGES_MAX]);
    /* Bounds beyond those of base/limits.h; borrowed. */
    const struct fact_limit *limits;
    size_t limit_count;
    void *ctx;
};

struct ops {
    struct ops_env env;
    struct call_handler handler; /* for core_conf.calls; handler.ctx is this struct */
};

/* env is copied; NULL: an empty one. ops must stay where it is for the core's life. */
void ops_init(struct ops *ops, const struct ops_env *env);

#endif
