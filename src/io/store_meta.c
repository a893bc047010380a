/* SPDX-License-Identifier: MPL-2.0 */
/* Table "meta": the version of the format, whose store this is, and up to where the tables have its journal. See
 * store_db.h. */
#define _GNU_SOURCE
#include "io/store_db.h"

#include <string.h>

#define FORMAT_BYTES 4 /* big-endian */

static MDB_val val_of(const char *text)
{
    return (MDB_val){strlen(text), (void *) text};
}

static void hash_format(MDB_val value, uint8_t ret_hash[STORE_HASH_BYTES])
{
    store_record_check((enum store_table) 0, val_of("format"),
                       span_of(value.mv_data, value.mv_size), ret_hash);
}

/* The first release wrote no check beside the version. */
static bool format_is_sound(MDB_txn *txn, MDB_dbi meta, MDB_val value, uint64_t format)
{
    uint8_t hash[STORE_HASH_BYTES];
    MDB_val key = val_of("format-check");
    MDB_val check;
    int rc = mdb_get(txn, meta, &key, &check);
    hash_format(value, hash);
    return rc == 0 ? check.mv_size == sizeof hash && memcmp(check.mv_data, hash, sizeof hash) == 0
                   : rc == MDB_NOTFOUND && format == STORE_FORMAT_WITHOUT_JOURNAL;
}

int store_db_read_format(MDB_txn *txn, MDB_dbi meta, uint64_t *ret_format)
{
    MDB_val key = val_of("format");
    MDB_val value;
    uint64_t format = 0;
    int rc = mdb_get(txn, meta, &key, &value);
    if (rc != 0) {
        return rc;
    }
    const uint8_t *bytes = value.mv_data;
    for (size_t i = 0; i < value.mv_size && i < 8; i++) {
        format = (format << 8) | bytes[i];
    }
    if (value.mv_size != FORMAT_BYTES || format == 0 ||
        !format_is_sound(txn, meta, value, format)) {
        return MDB_CORRUPTED;
    }
    *ret_format = format;
    return 0;
}

int store_db_write_format(MDB_txn *txn, MDB_dbi meta)
{
    uint8_t bytes[FORMAT_BYTES] = {0, 0, 0, STORE_FORMAT};
    uint8_t hash[STORE_HASH_BYTES];
    MDB_val key = val_of("format");
    MDB_val value = {sizeof bytes, bytes};
    hash_format(value, hash);
    int rc = mdb_put(txn, meta, &key, &value, 0);
    if (rc == 0) {
        key = val_of("format-check");
        value = (MDB_val){sizeof hash, hash};
        rc = mdb_put(txn, meta, &key, &value, 0);
    }
    return rc;
}

/* Key "journal": the store's id, up to where the tables have its journal, and a check over both. */
#define MARK_BYTES (STORE_ID_BYTES + 8 + STORE_HASH_BYTES)

static void make_mark(const uint8_t id[STORE_ID_BYTES], uint64_t applied, uint8_t ret[MARK_BYTES])
{
    memcpy(ret, id, STORE_ID_BYTES);
    for (size_t i = 0; i < 8; i++) {
        ret[STORE_ID_BYTES + i] = (uint8_t) (applied >> (56 - 8 * i));
    }
    store_record_check((enum store_table) 0, val_of("journal"), span_of(ret, STORE_ID_BYTES + 8),
                       ret + STORE_ID_BYTES + 8);
}

int store_db_read_mark(MDB_txn *txn, MDB_dbi meta, uint8_t ret_id[STORE_ID_BYTES],
                       uint64_t *ret_applied)
{
    MDB_val key = val_of("journal");
    MDB_val value;
    uint8_t mark[MARK_BYTES];
    uint64_t applied = 0;
    int rc = mdb_get(txn, meta, &key, &value);
    if (rc != 0) {
        return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
    }
    const uint8_t *bytes = value.mv_data;
    if (value.mv_size != sizeof mark) {
        return MDB_CORRUPTED;
    }
    for (size_t i = 0; i < 8; i++) {
        applied = (applied << 8) | bytes[STORE_ID_BYTES + i];
    }
    make_mark(bytes, applied, mark);
    if (memcmp(mark, bytes, sizeof mark) != 0) {
        return MDB_CORRUPTED;
    }
    memcpy(ret_id, bytes, STORE_ID_BYTES);
    *ret_applied = applied;
    return 0;
}

int store_db_write_mark(MDB_txn *txn, MDB_dbi meta, const uint8_t id[STORE_ID_BYTES],
                        uint64_t applied)
{
    uint8_t mark[MARK_BYTES];
    MDB_val key = val_of("journal");
    MDB_val value = {sizeof mark, mark};
    make_mark(id, applied, mark);
    return mdb_put(txn, meta, &key, &value, 0);
}
