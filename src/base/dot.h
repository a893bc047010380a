/* SPDX-License-Identifier: MPL-2.0 */
/* The name of one write: who made it, in which of its lives, as its how manieth (Almeida, Baquero et
 * al., dotted version vectors). No two writes share a dot, whatever backup was restored: a life is a
 * stored counter and 64 random bits. */
#ifndef HM_BASE_DOT_H
#define HM_BASE_DOT_H

#include "base/be.h"
#include "base/node_id.h"

#include <stdbool.h>
#include <stdint.h>

#define ORIGIN_BYTES (NODE_ID_BYTES + 16)
#define DOT_BYTES (ORIGIN_BYTES + 8)

/* A life of a node that wrote something: its boot epoch. */
struct origin {
    struct node_id node;
    uint64_t boots;  /* the stored counter */
    uint64_t random;
};

struct dot {
    struct origin origin;
    uint64_t seq; /* from 1 */
};

/* By node, counter, random bits: the order of the bytes that origin_put writes. */
static inline int origin_cmp(const struct origin *a, const struct origin *b)
{
    int order = node_id_cmp(&a->node, &b->node);
    if (order != 0) {
        return order;
    }
    if (a->boots != b->boots) {
        return a->boots < b->boots ? -1 : 1;
    }
    return (a->random > b->random) - (a->random < b->random);
}

static inline bool origin_eq(const struct origin *a, const struct origin *b)
{
    return origin_cmp(a, b) == 0;
}

/* By origin, then sequence. */
static inline int dot_cmp(const struct dot *a, const struct dot *b)
{
    int order = origin_cmp(&a->origin, &b->origin);
    return order != 0 ? order : (a->seq > b->seq) - (a->seq < b->seq);
}

static inline bool dot_eq(const struct dot *a, const struct dot *b)
{
    return dot_cmp(a, b) == 0;
}

static inline void origin_put(uint8_t to[ORIGIN_BYTES], const struct origin *origin)
{
    memcpy(to, origin->node.b, NODE_ID_BYTES);
    be_put(be_put(to + NODE_ID_BYTES, origin->boots, 8), origin->random, 8);
}

static inline void origin_get(const uint8_t from[ORIGIN_BYTES], struct origin *ret_origin)
{
    memcpy(ret_origin->node.b, from, NODE_ID_BYTES);
    ret_origin->boots = be_get(from + NODE_ID_BYTES, 8);
    ret_origin->random = be_get(from + NODE_ID_BYTES + 8, 8);
}

static inline void dot_put(uint8_t to[DOT_BYTES], const struct dot *dot)
{
    origin_put(to, &dot->origin);
    be_put(to + ORIGIN_BYTES, dot->seq, 8);
}

static inline void dot_get(const uint8_t from[DOT_BYTES], struct dot *ret_dot)
{
    origin_get(from, &ret_dot->origin);
    ret_dot->seq = be_get(from + ORIGIN_BYTES, 8);
}

#endif
