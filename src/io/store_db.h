/* SPDX-License-Identifier: MPL-2.0 */
/* The store's LMDB environment, without its thread: open, read everything, commit batches. Private
 * to io/store and io/store_check. One thread at a time.
 *
 * One sub-database per enum store_table, and "meta" with the format's version. Durable: neither
 * WRITEMAP nor NOSYNC. A stored value is 16 bytes of BLAKE2b over table, key and value, then the
 * value. docs/protocol/files.md has the whole. */
#ifndef HM_IO_STORE_DB_H
#define HM_IO_STORE_DB_H

#include "core/event.h"
#include "io/why.h"

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_TABLE_MAX 6  /* the highest number in enum store_table */
#define STORE_LOADED_MAX 3 /* up to this one they are read whole at the start */
#define STORE_HASH_BYTES 16

struct store_db {
    MDB_env *env;
    MDB_dbi meta;
    MDB_dbi tables[STORE_TABLE_MAX + 1]; /* by enum store_table; 0 is not used */
};

/* A batch in one block: free with store_batch_destroy. */
struct store_batch {
    uint64_t number;
    uint64_t generation;
    size_t count;
    struct store_entry entries[]; /* spans point behind the last one */
};

struct store_loaded {
    struct store_entry *entries;
    size_t count;
    size_t room;
    size_t dropped;
    uint8_t *bytes;
};

/* HM_EINVAL, HM_ENOMEM. */
int store_batch_new(uint64_t number, uint64_t generation, const struct store_entry *entries,
                    size_t count, struct store_batch **ret_batch);
void store_batch_destroy(struct store_batch **p);

/* The directory of the store: data_dir/store. HM_EINVAL: too long. */
int store_db_path(const char *data_dir, char *path, size_t max);

/* Opens the environment only (no tables), with the largest map that fits. Returns an LMDB or errno
 * code. */
int store_db_open_env(const char *path, MDB_env **ret_env);

/* The version of the format, from table "meta". An LMDB code: MDB_NOTFOUND when there is none,
 * MDB_CORRUPTED when it is damaged. */
int store_db_read_format(MDB_txn *txn, MDB_dbi meta, uint64_t *ret_format);

/* Results as store_open. */
int store_db_open(struct store_db *db, const char *data_dir, struct why *why);
/* Accepts a closed one. */
void store_db_close(struct store_db *db);

/* What is stored, without its check. False: the check does not fit, the record is damaged. */
bool store_db_value(enum store_table table, MDB_val key, MDB_val value, struct span *ret_value);

int store_db_load(struct store_db *db, struct store_loaded *ret_loaded, struct why *why);
void store_loaded_fini(struct store_loaded *loaded);

/* Writes all batches in one synced transaction, or none of them: HM_EFULL (disk or map), HM_EIO,
 * HM_ENOMEM, and a text for the log. */
int store_db_commit(struct store_db *db, struct store_batch *const *batches, size_t count,
                    char *text, size_t text_max);

/* Writes, syncs and removes a file beside the tables, as large as a page. 0 or errno. */
int store_db_try_disk(const struct store_db *db);

#endif
