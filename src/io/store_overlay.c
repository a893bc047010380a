/* SPDX-License-Identifier: MPL-2.0 */
/* What is not in the tables yet: see store_overlay.h. */
#define _GNU_SOURCE
#include "io/store_overlay.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

/* ---- layers ---------------------------------------------------------------------------------- */

static void layer_free(struct store_layer *l)
{
    for (unsigned t = 1; t <= STORE_TABLE_MAX; t++) {
        omap_destroy(&l->tables[t]);
    }
    free(l);
}

static void free_from(struct store_layer **first)
{
    while (*first != NULL) {
        struct store_layer *older = (*first)->older;
        layer_free(*first);
        *first = older;
    }
}

static struct store_layer *layer_new(void)
{
    struct store_layer *l = calloc(1, sizeof *l);
    for (unsigned t = 1; l != NULL && t <= STORE_TABLE_MAX; t++) {
        l->tables[t] = omap_new();
        if (l->tables[t] == NULL) {
            layer_free(l);
            return NULL;
        }
    }
    return l;
}

void store_overlay_fini(struct store_overlay *o)
{
    free_from(&o->newest);
}

int store_overlay_add(struct store_overlay *o, const struct store_batch *batch)
{
    if (o->newest == NULL || o->newest->record != 0) {
        struct store_layer *l = layer_new();
        if (l == NULL) {
            return HM_ENOMEM;
        }
        l->older = o->newest;
        o->newest = l;
    }
    for (size_t i = 0; i < batch->count; i++) {
        const struct store_entry *e = &batch->entries[i];
        int rc = omap_put(o->newest->tables[e->table], e->key, e->value, 0);
        if (rc != HM_OK) {
            return rc;
        }
    }
    return HM_OK;
}

void store_overlay_close(struct store_overlay *o, uint64_t record)
{
    if (o->newest != NULL && o->newest->record == 0) {
        o->newest->record = record;
    }
}

void store_overlay_drop(struct store_overlay *o, uint64_t record)
{
    struct store_layer **l = &o->newest;
    while (*l != NULL && ((*l)->record == 0 || (*l)->record > record)) {
        l = &(*l)->older;
    }
    free_from(l);
}

static bool layers_get(const struct store_overlay *o, enum store_table table, struct span key,
                       struct span *ret_value)
{
    for (const struct store_layer *l = o->newest; l != NULL; l = l->older) {
        if (omap_get(l->tables[table], key, ret_value, NULL)) {
            return true;
        }
    }
    return false;
}

/* The first key in any layer, what was removed too; of layers that have the same, the newest one speaks. */
static bool layers_next(const struct store_overlay *o, enum store_table table, struct span from,
                        bool inclusive, struct span *ret_key, struct span *ret_value)
{
    bool is_there = false;
    struct span key, value;
    for (const struct store_layer *l = o->newest; l != NULL; l = l->older) {
        if (omap_next(l->tables[table], from, inclusive, &key, &value, NULL) &&
            (!is_there || span_cmp(key, *ret_key) < 0)) {
            is_there = true;
            *ret_key = key;
            *ret_value = value;
        }
    }
    return is_there;
}

/* ---- counting -------------------------------------------------------------------------------- */

static int count_table(const struct store_overlay *o, enum store_table table, MDB_txn *txn, MDB_dbi dbi,
                       uint64_t *ret_count)
{
    MDB_stat stat;
    struct span key = span_of("", 0), value;
    int rc = mdb_stat(txn, dbi, &stat);
    uint64_t count = rc == 0 ? stat.ms_entries : 0;
    while (rc == 0 && layers_next(o, table, key, false, &key, &value)) {
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
        rc = count_table(o, (enum store_table) t, txn, db->tables[t], &figures->entries[t]);
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    return rc;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool is_over(const struct store_merged *m, enum store_table table)
{
    return m->overlay.newest != NULL && (unsigned) table >= 1 && (unsigned) table <= STORE_TABLE_MAX;
}

bool store_merged_get(void *ctx, enum store_table table, struct span key, struct span *ret_value)
{
    struct store_merged *m = ctx;
    struct span value;
    m->is_reading = true;
    if (!is_over(m, table) || !layers_get(&m->overlay, table, key, &value)) {
        return store_view_get(&m->lmdb, table, key, ret_value);
    }
    if (value.data != NULL) {
        *ret_value = value;
    }
    return value.data != NULL;
}

bool store_merged_next(void *ctx, enum store_table table, struct span from, bool inclusive,
                       struct span *ret_key, struct span *ret_value)
{
    struct store_merged *m = ctx;
    struct span key, value, over_key, over_value;
    m->is_reading = true;
    bool is_below = store_view_next(&m->lmdb, table, from, inclusive, &key, &value);
    bool is_above = is_over(m, table) &&
                    layers_next(&m->overlay, table, from, inclusive, &over_key, &over_value);
    while (is_above) {
        int order = is_below ? span_cmp(key, over_key) : 1;
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
        is_above = layers_next(&m->overlay, table, over_key, false, &over_key, &over_value);
    }
    if (is_below) {
        *ret_key = key;
        *ret_value = value;
    }
    return is_below;
}
