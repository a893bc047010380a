/* SPDX-License-Identifier: MPL-2.0 */
/* Reading what is committed: see store_view.h. */
#define _GNU_SOURCE
#include "io/store_view.h"

#include "io/store.h"

#include <sodium.h>
#include <string.h>

int store_view_open(struct store_view_lmdb *v, const struct store_db *db)
{
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &v->txn);
    if (rc != 0) {
        v->txn = NULL;
        return rc;
    }
    for (unsigned t = 1; rc == 0 && t <= STORE_TABLE_MAX; t++) {
        rc = mdb_cursor_open(v->txn, db->tables[t], &v->cursors[t]);
    }
    mdb_txn_reset(v->txn);
    v->db = db;
    v->error = 0;
    if (rc != 0) {
        store_view_close(v);
    }
    return rc;
}

void store_view_close(struct store_view_lmdb *v)
{
    for (unsigned t = 1; t <= STORE_TABLE_MAX; t++) {
        if (v->cursors[t] != NULL) {
            mdb_cursor_close(v->cursors[t]);
            v->cursors[t] = NULL;
        }
        v->is_renewed[t] = false;
        v->last_key[t] = span_of(NULL, 0);
    }
    if (v->txn != NULL) {
        mdb_txn_abort(v->txn);
        v->txn = NULL;
    }
    v->db = NULL;
    v->is_begun = false;
}

void store_view_end(struct store_view_lmdb *v)
{
    if (v->is_begun) {
        mdb_txn_reset(v->txn);
        v->is_begun = false;
        memset(v->is_renewed, 0, sizeof v->is_renewed);
        memset(v->last_key, 0, sizeof v->last_key);
    }
}

static bool is_table(enum store_table table)
{
    return (unsigned) table >= 1 && (unsigned) table <= STORE_TABLE_MAX;
}

static void begin(struct store_view_lmdb *v)
{
    v->error = v->is_awaited ? MDB_PANIC : mdb_txn_renew(v->txn);
    if (v->error == MDB_PANIC && v->mend(v->mend_ctx)) {
        v->error = mdb_txn_renew(v->txn);
    }
    v->is_begun = v->error == 0;
}

/* The table's cursor, able to read; NULL: it cannot be. */
static MDB_cursor *cursor_of(struct store_view_lmdb *v, enum store_table table)
{
    if ((v->db == NULL && !v->is_awaited) || !is_table(table)) { /* closed: error says why */
        return NULL;
    }
    if (!v->is_begun) {
        begin(v);
    }
    if (v->is_begun && !v->is_renewed[table]) {
        v->error = mdb_cursor_renew(v->txn, v->cursors[table]);
        v->is_renewed[table] = v->error == 0;
    }
    return v->is_renewed[table] ? v->cursors[table] : NULL;
}

void store_view_note_damage(struct store_view_lmdb *v, enum store_table table, struct span key)
{
    uint64_t hash;
    crypto_generichash_state state;
    uint8_t number = (uint8_t) table;
    uint8_t bytes[crypto_generichash_BYTES_MIN];
    crypto_generichash_init(&state, NULL, 0, sizeof bytes);
    crypto_generichash_update(&state, &number, 1);
    crypto_generichash_update(&state, key.data, key.size);
    crypto_generichash_final(&state, bytes, sizeof bytes);
    memcpy(&hash, bytes, sizeof hash);
    for (size_t i = 0; i < v->damaged_count; i++) {
        if (v->damaged[i] == hash) {
            return;
        }
    }
    if (v->damaged_count < STORE_DAMAGED_MAX) {
        v->damaged[v->damaged_count++] = hash;
    }
}

/* Takes what the cursor stands on, unless it is damaged. */
static bool take(struct store_view_lmdb *v, enum store_table table, MDB_val key, MDB_val value,
                 struct span *ret_value)
{
    v->last_key[table] = span_of(key.mv_data, key.mv_size);
    if (store_db_value(table, key, value, ret_value)) {
        return true;
    }
    store_view_note_damage(v, table, v->last_key[table]);
    return false;
}

bool store_view_get(void *ctx, enum store_table table, struct span key, struct span *ret_value)
{
    struct store_view_lmdb *v = ctx;
    MDB_cursor *cursor = cursor_of(v, table);
    MDB_val at = {key.size, (void *) (uintptr_t) key.data};
    MDB_val value;
    if (cursor == NULL || key.size == 0 || key.size > STORE_KEY_BYTES_MAX) {
        return false;
    }
    v->last_key[table] = span_of(NULL, 0);
    return mdb_cursor_get(cursor, &at, &value, MDB_SET_KEY) == 0 &&
           take(v, table, at, value, ret_value);
}

/* Moves to the first key at or above `from`. */
static int seek(struct store_view_lmdb *v, MDB_cursor *cursor, enum store_table table,
                struct span from, bool inclusive, MDB_val *key, MDB_val *value)
{
    struct span last = v->last_key[table];
    if (from.data == NULL || from.size == 0) {
        return mdb_cursor_get(cursor, key, value, MDB_FIRST);
    }
    if (!inclusive && last.data == from.data && last.size == from.size) {
        return mdb_cursor_get(cursor, key, value, MDB_NEXT); /* going on from what was told last */
    }
    if (from.size > STORE_KEY_BYTES_MAX) { /* no key is as long: those above its beginning are */
        from.size = STORE_KEY_BYTES_MAX;
        inclusive = false;
    }
    *key = (MDB_val){from.size, (void *) (uintptr_t) from.data};
    int rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (rc == 0 && !inclusive && key->mv_size == from.size &&
        memcmp(key->mv_data, from.data, from.size) == 0) {
        rc = mdb_cursor_get(cursor, key, value, MDB_NEXT);
    }
    return rc;
}

bool store_view_next(void *ctx, enum store_table table, struct span from, bool inclusive,
                     struct span *ret_key, struct span *ret_value)
{
    struct store_view_lmdb *v = ctx;
    MDB_cursor *cursor = cursor_of(v, table);
    MDB_val key, value;
    if (cursor == NULL) {
        return false;
    }
    int rc = seek(v, cursor, table, from, inclusive, &key, &value);
    v->last_key[table] = span_of(NULL, 0);
    while (rc == 0) {
        if (take(v, table, key, value, ret_value)) {
            *ret_key = v->last_key[table];
            return true;
        }
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    v->last_key[table] = span_of(NULL, 0);
    return false;
}
