/* SPDX-License-Identifier: MPL-2.0 */
/* What is durable in the journal and not in the tables yet, and both seen as one. Private to io/store; the
 * loop's thread.
 *
 * A batch is put in before it goes to the thread that writes the tables, and taken out after that thread has told
 * that they have it, between two steps of the core. So at any moment a record is in the overlay, or in every read
 * transaction that begins from then on, or in both, and then it is the same. */
#ifndef HM_IO_STORE_OVERLAY_H
#define HM_IO_STORE_OVERLAY_H

#include "base/omap.h"
#include "io/store_view.h"

struct store_overlay {
    omap_t *tables[STORE_TABLE_MAX + 1]; /* by enum store_table; tag: the batch. NULL data: removed */
};

/* HM_ENOMEM. */
int store_overlay_init(struct store_overlay *o);
void store_overlay_fini(struct store_overlay *o);
/* HM_ENOMEM: some of it may be in. */
int store_overlay_add(struct store_overlay *o, const struct store_batch *batch);
/* Takes out what no later batch has changed. */
void store_overlay_remove(struct store_overlay *o, const struct store_batch *batch);
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
