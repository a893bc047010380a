/* SPDX-License-Identifier: MPL-2.0 */
/* What is not in the tables yet: see store_overlay.h. */
#define _GNU_SOURCE
#include "io/store_overlay.h"

#include "base/err.h"

#include <string.h>

int store_overlay_init(struct store_overlay *o)
{
    for (unsigned t = 1; t <= STORE_TABLE_MAX; t++) {
        o->tables[t] = omap_new();
        if (o->tables[t] == NULL) {
            return HM_ENOMEM;
        }
    }
    return HM_OK;
}

void store_overlay_fini(struct store_overlay *o)
{
    for (unsigned t = 1; t <= STORE_TABLE_MAX; t++) {
        omap_destroy(&o->tables[t]);
    }
}

int store_overlay_add(struct store_overlay *o, const struct store_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct store_entry *e = &batch->entries[i];
        int rc = omap_put(o->tables[e->table], e->key, e->value, batch->number);
        if (rc != HM_OK) {
            return rc;
        }
    }
    return HM_OK;
}

void store_overlay_remove(struct store_overlay *o, const struct store_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct store_entry *e = &batch->entries[i];
        uint64_t number = 0;
        if (omap_get(o->tables[e->table], e->key, NULL, &number) && number == batch->number) {
            omap_remove(o->tables[e->table], e->key);
        }
    }
}

/* ---- counting -------------------------------------------------------------------------------- */

static int count_table(const omap_t *over, MDB_txn *txn, MDB_dbi dbi, uint64_t *ret_count)
{
    MDB_stat stat;
    struct span key = span_of("", 0), value;
    int rc = mdb_stat(txn, dbi, &stat);
    uint64_t count = rc == 0 ? stat.ms_entries : 0;
    while (rc == 0 && omap_next(over, key, false, &key, &value, NULL)) {
        MDB_val at = {key.size, (void *) (uintptr_t) key.data};
        MDB_val found;
        int had = mdb_get(txn, dbi, &at, &found);
        if (had != 0 && had != MDB_NOTFOUND) {
            return had;
        }
        if (had == 0 && value.data == NULL) {
            count--;
        } else if (had != 0 && value.data != NULL) {
            count++;
        }
    }
    *ret_count = count;
    return rc;
}

int store_overlay_figures(const struct store_overlay *o, const struct store_db *db,
                          struct store_figures *figures)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    for (unsigned t = 1; rc == 0 && t <= STORE_TABLE_MAX; t++) {
        rc = count_table(o->tables[t], txn, db->tables[t], &figures->entries[t]);
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static const omap_t *over(const struct store_merged *m, enum store_table table)
{
    bool is_table = (unsigned) table >= 1 && (unsigned) table <= STORE_TABLE_MAX;
    return is_table && omap_count(m->overlay.tables[table]) > 0 ? m->overlay.tables[table] : NULL;
}

bool store_merged_get(void *ctx, enum store_table table, struct span key, struct span *ret_value)
{
    struct store_merged *m = ctx;
    const omap_t *o = over(m, table);
    struct span value;
    m->is_reading = true;
    if (o == NULL || !omap_get(o, key, &value, NULL)) {
        return store_view_get(&m->lmdb, table, key, ret_value);
    }
    if (value.data != NULL) {
        *ret_value = value;
    }
    return value.data != NULL;
}

static int compare(struct span a, struct span b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

bool store_merged_next(void *ctx, enum store_table table, struct span from, bool inclusive,
                       struct span *ret_key, struct span *ret_value)
{
    struct store_merged *m = ctx;
    const omap_t *o = over(m, table);
    struct span key, value, over_key, over_value;
    m->is_reading = true;
    if (o == NULL) {
        return store_view_next(&m->lmdb, table, from, inclusive, ret_key, ret_value);
    }
    bool is_below = store_view_next(&m->lmdb, table, from, inclusive, &key, &value);
    bool is_over = omap_next(o, from, inclusive, &over_key, &over_value, NULL);
    while (is_over) {
        int order = is_below ? compare(key, over_key) : 1;
        if (order < 0) {
            break;
        }
        if (over_value.data != NULL) {
            *ret_key = over_key;
            *ret_value = over_value;
            return true;
        }
        if (order == 0) {
            is_below = store_view_next(&m->lmdb, table, key, false, &key, &value);
        }
        is_over = omap_next(o, over_key, false, &over_key, &over_value, NULL);
    }
    if (is_below) {
        *ret_key = key;
        *ret_value = value;
    }
    return is_below;
}
