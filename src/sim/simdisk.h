/* SPDX-License-Identifier: MPL-2.0 */
/* A node's disk: what is durable, and the batches that wait to be. Batches commit in order; a crash
 * loses those that did not. The durable entries are sorted by table and key, as the daemon's store
 * gives them back. */
#ifndef HM_SIM_SIMDISK_H
#define HM_SIM_SIMDISK_H

#include "base/omap.h"
#include "core/event.h"
#include "core/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_batch; /* one FX_PERSIST */

struct disk {
    omap_t *items;                   /* durable, by table and key; NULL: nothing */
    struct disk_batch *first, *last; /* waiting */
    uint64_t committed_ns;           /* when the last waiting batch will be: they do not overtake */
};

void simdisk_fini(struct disk *d);
/* Copies a batch to the end of those that wait; of tables below `least` nothing is kept, for a process
 * that is never started again. mark is the caller's and comes back with it. */
void simdisk_add(struct disk *d, uint64_t batch, const struct store_entry *entries, size_t count,
                 enum store_table least, uint64_t mark);
/* What the first waiting batch holds. There must be one. */
const struct store_entry *simdisk_first(const struct disk *d, size_t *ret_count);
/* Makes the first waiting batch durable; returns its number and mark. There must be one. */
uint64_t simdisk_commit(struct disk *d, uint64_t *ret_mark);
/* Forgets the first waiting batch and all after it; returns its number. There must be one. */
uint64_t simdisk_fail(struct disk *d);
/* Forgets what waits; returns how many batches that were. */
size_t simdisk_crash(struct disk *d);
/* Forgets everything: a new disk. */
void simdisk_wipe(struct disk *d);
/* What is durable on one disk, on another: its own is forgotten. */
void simdisk_copy(struct disk *to, const struct disk *from);
/* What is durable; good for the disk's life, whatever becomes of what is on it. */
struct store_view simdisk_view(struct disk *d);
/* What a process gets at its start: an array to free, whose spans point into the disk. */
struct store_entry *simdisk_load(const struct disk *d, size_t *ret_count);
/* True if a batch has an entry of this table. */
bool simdisk_touches(const struct store_entry *entries, size_t count, enum store_table table);

#endif
