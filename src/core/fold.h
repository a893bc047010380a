/* SPDX-License-Identifier: MPL-2.0 */
/* A vector told in few bytes. Each life of a node that wrote something is one origin in every vector, for
 * ever. Of a node's lives that are older than its newest one, all that the teller has seen is named by
 * one fold: how many they are, and the sum of their hashes. A life's hash is over its origin, random
 * bits included, and its runs. So a fold names one finite set of dots, and never "all below a counter":
 * what a restored node writes under an old counter is in no fold that was made without it.
 *
 * Who reads a fold looks whether its own lives, or some of them, are that set. If so it puts them in their
 * place; if not it cannot tell what the fold names and takes nothing of it for seen. Then it offers
 * folds that it could name (fold_offer), and the other tells the rest life by life. In memory and on disk
 * lives are never folded: every question about a dot is answered exactly.
 *
 *     vector  [ [node, boots, random, runs, fold, …], … ]   the fold with the newest life of its node, or nil
 *     fold    [ boots, count, sum ]                         all its lives below boots that are not told */
#ifndef HM_CORE_FOLD_H
#define HM_CORE_FOLD_H

#include "base/buf.h"
#include "base/node_id.h"
#include "base/span.h"
#include "core/vector.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t fold_hash(struct span bytes);

struct fold {
    struct node_id node;
    uint64_t boots;
    uint64_t count;
    uint64_t sum; /* modulo 2^64 */
};

struct fold_list {
    struct fold *items; /* rising by node */
    size_t count, room;
};

void fold_list_fini(struct fold_list *list);

/* A life and what of it was seen, as a number. NULL: 0. */
uint64_t fold_life_hash(fold_hash *hash, const struct vector_origin *life);

/* Appends v with folds. offers NULL: all but the newest life of each node. Otherwise what another has
 * offered (fold_list_read): of the nodes that it names only what is the same here. HM_ENOMEM. */
int fold_tell(struct buf *b, const struct vector *v, fold_hash *hash, const struct fold_list *offers);

/* Reads a vector with folds. What they name is looked for in ours; ret_unnamed (NULL: not wanted) gets those
 * that are not found, and `to` has nothing of them. HM_EMALFORMED, HM_EFULL, HM_ENOMEM: to is empty.
 * is_range: test-only, takes all that we have below a fold's counter. */
int fold_told(struct span bytes, const struct vector *ours, fold_hash *hash, bool is_range,
              struct vector *to, struct fold_list *ret_unnamed);

/* Adds the folds that could be named here, for each node of these: without the newest 1, 2, 4, 8 … lives, and
 * one of no lives at all, so that the node is there. HM_ENOMEM. */
int fold_offer(const struct vector *ours, const struct fold_list *unnamed, fold_hash *hash,
               struct fold_list *to);

/* Bytes between nodes: [ [node, boots, count, sum, …], … ] rising by node, of a node by counter. Reading adds.
 * HM_EMALFORMED, HM_ENOMEM. */
void fold_list_write(struct buf *b, const struct fold_list *list);
int fold_list_read(struct span bytes, struct fold_list *to);

#endif
