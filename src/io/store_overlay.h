/* SPDX-License-Identifier: MPL-2.0 */
/* What is durable in the journal and not in the tables yet, and both seen as one. Private to io/store; the
 * loop's thread.
 *
 *     newest layer  takes batches            layers go as a whole: taking each record out of one map
 *     older ones    closed: what the tables  would cost as much as putting it in
 *                   are given in one go
 *     tables
 *
 * A batch is put in before it goes to the thread that writes the tables, and its layer is dropped after that thread
 * has told that they have it, between two steps of the core. So at any moment a record is in a layer, or in every
 * read transaction that begins from then on, or in both, and then it is the same. */
#ifndef HM_IO_STORE_OVERLAY_H
#define HM_IO_STORE_OVERLAY_H

#include "base/omap.h"
#include "io/store_view.h"

struct store_layer {
    struct store_layer *older;
    omap_t *tables[STORE_TABLE_MAX + 1]; /* by enum store_table; NULL data: removed */
    uint64_t record; /* of the journal: the newest that it has; 0: not closed */
};

struct store_overlay {
    struct store_layer *newest; /* NULL: none */
};

void store_overlay_fini(struct store_overlay *o);
/* Into the newest layer, a new one if that is closed. HM_ENOMEM: some of it may be in. */
int store_overlay_add(struct store_overlay *o, const struct store_batch *batch);
/* The newest layer gets no more; its last batch is in this record of the journal. None that is open: nothing. */
void store_overlay_close(struct store_overlay *o, uint64_t record);
/* The tables have all up to this record: layers that have nothing newer go. */
void store_overlay_drop(struct store_overlay *o, uint64_t record);
/* How many records each table has once all is in it. An LMDB code. */
int store_overlay_figures(const struct store_overlay *o, const struct store_db *db,
                          struct store_figures *figures);

/* The tables under the overlay, as core/view.h has it; ctx is a struct store_merged. */
struct store_merged {
    struct store_view_lmdb lmdb;
    struct store_overlay overlay;
    bool is_reading; /* a step has read: the overlay must stay as it is */
    int error;       /* errno: it lacks something that is durable; 0: it does not */
};
bool store_merged_get(void *ctx, enum store_table table, struct span key, struct span *ret_value);
bool store_merged_next(void *ctx, enum store_table table, struct span from, bool inclusive,
                       struct span *ret_key, struct span *ret_value);

#endif
