/* SPDX-License-Identifier: MPL-2.0 */
/* The list of effects of one step, and the memory they point into. Blocks and list are kept from step to
 * step, so a steady state allocates nothing; pointers stay where they are until the next step. What a step
 * with large frames needed beyond FXLIST_KEPT_BYTES is given back. */
#ifndef HM_CORE_FXLIST_H
#define HM_CORE_FXLIST_H

#include "base/buf.h"
#include "core/effect.h"

#include <stdbool.h>
#include <stddef.h>

#define FXLIST_KEPT_BYTES 1048576 /* a full exchange of a large mesh */

struct fx_block;

struct fxlist {
    struct effect *items;
    size_t count;
    size_t room;
    struct fx_block *first;
    struct fx_block *current;
    size_t block_bytes; /* of all blocks */
    bool failed; /* out of memory: the step reports it */
};

void fxlist_init(struct fxlist *l);
void fxlist_fini(struct fxlist *l);
void fxlist_clear(struct fxlist *l);
/* Appends a zeroed effect; NULL if out of memory (failed is set). Valid until the next append. */
struct effect *fxlist_add(struct fxlist *l, enum effect_type type);
/* Memory until the next clear; NULL if out of memory. */
void *fxlist_alloc(struct fxlist *l, size_t size);
/* A copy of bytes that lives until the next clear; data NULL if out of memory or empty. */
struct span fxlist_copy(struct fxlist *l, struct span bytes);

#endif
