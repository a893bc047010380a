/* SPDX-License-Identifier: MPL-2.0 */
/* What only the driver knows of this machine and process, as plain data for handlers: they are pure
 * and cannot look themselves. The driver fills it when it is asked; nothing in it changes what the
 * core decides. */
#ifndef HM_OPS_OPS_FACTS_H
#define HM_OPS_OPS_FACTS_H

#include "base/addr.h"
#include "base/node_id.h"
#include "base/span.h"
#include "wire/zre_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A bound of some part above the pure layers. */
struct fact_limit {
    const char *name; /* of the constant */
    uint64_t value;
    const char *unit;
    const char *help;
};

/* A Zyre program that said HELLO. Texts are as it sent them: unproven, any bytes. */
struct fact_peer {
    struct node_id id;
    struct addr addr;
    struct span name;
    struct zre_list groups;
    struct zre_list headers;
    bool is_cut; /* it has more of both than is kept */
    uint64_t since_ago_ns;
    uint64_t heard_ago_ns;
};

#endif
