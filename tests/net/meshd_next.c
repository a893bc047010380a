/* SPDX-License-Identifier: MPL-2.0 */
/* What makes meshd one of an artificial next version: its messages are those of core/next.c, its entries those
 * of tests/lib/later_format.c. It writes the later format where HM_TEST_WRITES_LATER is set. */
#include "../lib/later_format.h"

#include "core/params.h"

#include <stdlib.h>

void __real_core_params_default(struct core_params *ret_params);
void __wrap_core_params_default(struct core_params *ret_params);

void __wrap_core_params_default(struct core_params *ret_params)
{
    __real_core_params_default(ret_params);
    ret_params->next_version = true;
    later_format_is_next = true;
    later_format_writes = getenv("HM_TEST_WRITES_LATER") != NULL;
}
