/* SPDX-License-Identifier: MPL-2.0 */
/* The parts of the operation doctor. Internal to ops. */
#ifndef HM_OPS_OPS_DOCTOR_H
#define HM_OPS_OPS_DOCTOR_H

#include "core/core.h"
#include "ops/ops_dispatch.h"

bool doctor_is_member(const core_t *core, const struct node_id *id);
/* The ten fields of the reply beside its checks: who this is, and what it saw. */
void doctor_put_seen(struct buf *b, const core_t *core, const struct facts *facts,
                     const struct core_status *status);

#endif
