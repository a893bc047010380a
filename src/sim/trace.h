/* SPDX-License-Identifier: MPL-2.0 */
/* The fingerprint of a run: a hash over every effect that was carried out, in order, with node and
 * time. Fields are hashed one by one, never structs (padding), so that every compiler agrees. */
#ifndef HM_SIM_TRACE_H
#define HM_SIM_TRACE_H

#include "core/effect.h"

#include <stdint.h>

struct trace {
    uint64_t hash;
    uint64_t effects;
};

void trace_init(struct trace *t, uint64_t seed);
void trace_number(struct trace *t, uint64_t value);
void trace_effect(struct trace *t, unsigned node, uint64_t now_ns, const struct effect *fx);

#endif
