/* SPDX-License-Identifier: MPL-2.0 */
/* The start: what the journal has and the tables do not goes into them, in one transaction. See store_priv.h.
 * Cut off at any moment and begun again it comes to the same: records say what a key's value is, not how it
 * changes, and they count as applied with the transaction that has them. */
#define _GNU_SOURCE
#include "io/store_priv.h"

#include "base/err.h"

#include <errno.h>
#include <stdlib.h>

static size_t count_entries(struct span content)
{
    struct store_entry e;
    size_t count = 0;
    while (journal_next_entry(&content, &e)) {
        count++;
    }
    return count;
}

static int batch_of(const struct journal_record *r, struct store_batch **ret)
{
    struct span content = r->content;
    size_t count = count_entries(content);
    struct store_entry *entries = calloc(count + 1, sizeof *entries);
    if (entries == NULL) {
        return HM_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        HM_ASSERT(journal_next_entry(&content, &entries[i])); /* the same bytes were counted */
    }
    int rc = store_batch_new(0, 0, entries, count, ret);
    free(entries);
    return rc;
}

static int chain_of(const struct journal_found *f, struct store_batch **ret_first)
{
    struct store_batch **end = ret_first;
    int rc = HM_OK;
    for (size_t i = 0; rc == HM_OK && i < f->count; i++) {
        rc = batch_of(&f->records[i], end);
        if (rc == HM_OK) {
            end = &(*end)->next;
        }
    }
    return rc;
}

static int apply(struct store_db *db, const struct journal_found *f)
{
    struct store_batch *first = NULL;
    int rc = chain_of(f, &first) == HM_OK ? 0 : ENOMEM;
    if (rc == 0) {
        rc = store_db_commit(db, first, f->last);
    }
    store_batches_destroy(&first);
    if (rc == 0) {
        db->applied = f->last;
    }
    return rc;
}

int store_replay(struct store_db *db, struct store_replayed *ret, struct why *why)
{
    struct journal_found found;
    int rc = journal_read(db->path, db->id, db->applied, &found);
    if (rc != 0) {
        return why_set(why, store_db_code(rc), "cannot read the journal of the store in %s: %s",
                       db->path, store_db_text(rc));
    }
    ret->records = found.count;
    ret->is_damaged = found.is_damaged;
    ret->dropped = found.dropped;
    ret->dropped_bytes = found.dropped_bytes;
    if (found.last > db->applied) {
        rc = apply(db, &found);
    }
    /* What it had is in the tables or given up: it begins anew. */
    if (rc == 0 && found.is_damaged) {
        rc = journal_make(db->path, db->id);
    }
    journal_found_fini(&found);
    return rc == 0 ? HM_OK
                   : why_set(why, store_db_code(rc),
                             "cannot write what the journal has into the store in %s: %s", db->path,
                             store_db_text(rc));
}
