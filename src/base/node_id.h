/* SPDX-License-Identifier: MPL-2.0 */
/* A node's identity: 16 bytes, the BLAKE2b hash of its public key, and its ZRE UUID. */
#ifndef HM_BASE_NODE_ID_H
#define HM_BASE_NODE_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NODE_ID_BYTES 16
#define NODE_ID_TEXT_BYTES 33 /* 32 hex digits and the NUL */

struct node_id {
    uint8_t b[NODE_ID_BYTES];
};

static inline int node_id_cmp(const struct node_id *a, const struct node_id *b)
{
    return memcmp(a->b, b->b, NODE_ID_BYTES);
}

static inline bool node_id_eq(const struct node_id *a, const struct node_id *b)
{
    return node_id_cmp(a, b) == 0;
}

static inline bool node_id_is_zero(const struct node_id *id)
{
    static const struct node_id zero;
    return node_id_eq(id, &zero);
}

/* First 8 bytes as a number, for seeding and hashing. */
static inline uint64_t node_id_prefix(const struct node_id *id)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        v = (v << 8) | id->b[i];
    }
    return v;
}

#endif
