/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl store (ctl_store.c). */
#ifndef HM_CMD_CTL_STORE_H
#define HM_CMD_CTL_STORE_H

#include "cmd/ctl.h"
#include "cmd/ctl_out.h"

void ctl_print_store(struct out *out, const json_t *reply);
/* Commands that begin something and wait for its end. */
bool ctl_is_store_work(enum op op);
int ctl_run_store_work(struct ctl *ctl, struct out *out);

#endif
