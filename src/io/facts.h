/* SPDX-License-Identifier: MPL-2.0 */
/* Facts about this process and its files for handlers of operations: see ops/ops_facts.h. */
#ifndef HM_IO_FACTS_H
#define HM_IO_FACTS_H

#include "ops/ops_facts.h"

/* Mode, owner and age of a file that holds a secret. */
void facts_secret(const char *path, struct fact_secret *ret_secret);
/* Libraries and descriptors. */
void facts_process(struct facts *facts);
/* MTU of an interface; 0: not known. */
unsigned facts_mtu(const char *netif);

#endif
