/* SPDX-License-Identifier: MPL-2.0 */
/* What is committed, as the core reads it (core/view.h): one read transaction, begun by the first
 * read of a step and ended by store_view_end, one cursor per table kept from step to step. Private to
 * io/store. The thread of the loop; the actor writes meanwhile, which a read transaction does not see.
 *
 * A record whose check does not fit is passed over and counted once, however often it is met. */
#ifndef HM_IO_STORE_VIEW_H
#define HM_IO_STORE_VIEW_H

#include "core/view.h"
#include "io/store_db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_DAMAGED_MAX 64 /* damaged records told apart; more are not counted */

struct store_view_lmdb {
    const struct store_db *db; /* borrowed; NULL: closed */
    MDB_txn *txn;              /* holds its place among the readers until closed */
    MDB_cursor *cursors[STORE_TABLE_MAX + 1];
    bool is_begun;                             /* the transaction reads */
    bool is_renewed[STORE_TABLE_MAX + 1];      /* and so does this cursor */
    struct span last_key[STORE_TABLE_MAX + 1]; /* where the cursor stands; data NULL: anywhere */
    uint64_t damaged[STORE_DAMAGED_MAX];       /* hashes of table and key */
    size_t damaged_count;
    bool is_awaited; /* closed, and the next read mends it */
    int error; /* LMDB's or errno's, of the last read that could not be; 0: none */
    bool (*mend)(
        void *ctx); /* waits until a dead environment is replaced by one that can be read */
    void *mend_ctx;
};

/* Takes a place among the readers. An LMDB or errno code; the view is closed if it failed. */
int store_view_open(struct store_view_lmdb *v, const struct store_db *db);
/* Gives the place back; what is known of damage stays. Accepts a closed or zeroed one. */
void store_view_close(struct store_view_lmdb *v);
/* The step is over: what was read may change from now on. */
void store_view_end(struct store_view_lmdb *v);
/* As core/view.h has it; ctx is a struct store_view_lmdb. */
bool store_view_get(void *ctx, enum store_table table, struct span key, struct span *ret_value);
bool store_view_next(void *ctx, enum store_table table, struct span from, bool inclusive,
                     struct span *ret_key, struct span *ret_value);
/* This record is damaged. Known already: nothing. */
void store_view_note_damage(struct store_view_lmdb *v, enum store_table table, struct span key);

#endif
