/* SPDX-License-Identifier: MPL-2.0 */
/* meshd --print-config and --check-config: nothing is made, nothing is started. */
#ifndef HM_CMD_MESHD_SHOW_H
#define HM_CMD_MESHD_SHOW_H

#include "io/conf.h"

/* Prints; what is chosen by default is filled in as it would be here. Returns the exit code. */
int meshd_show(struct conf *conf);

#endif
