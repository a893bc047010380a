/* SPDX-License-Identifier: MPL-2.0 */
/* The store's LMDB environment, without its thread: open, read everything, commit batches. Private
 * to io/store and io/store_check. One thread at a time.
 *
 * One sub-database per enum store_table, and "meta" with the format's version. Durable: neither
 * WRITEMAP nor NOSYNC. A stored value is a check over table, key and value, then the value.
 * docs/protocol/files.md has the whole. */
#ifndef HM_IO_STORE_DB_H
#define HM_IO_STORE_DB_H

#include "core/event.h"
#include "io/store.h"
#include "io/why.h"

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_TABLE_MAX 6   /* the highest number in enum store_table */
#define STORE_LOADED_MAX 3  /* up to this one they are read whole at the start */
#define STORE_HASH_BYTES 16 /* of the check before a value in the tables of 0.1.0 */
#define STORE_CHECK_BYTES 8 /* and in those that came later: they are read far more often */
#define STORE_PATH_BYTES 4096
#define STORE_FORMAT_WITHOUT_JOURNAL 1
#define STORE_ID_BYTES 16 /* of a store; its journal's records say it */

_Static_assert(STORE_FACT_KEY_BYTES == STORE_KEY_BYTES_MAX, "keys fit what is told of them");
_Static_assert(STORE_FIGURES_TABLES == STORE_TABLE_MAX + 1, "a figure for each table");

struct store_db {
    char path[STORE_PATH_BYTES]; /* of its directory */
    uint64_t format;
    uint8_t id[STORE_ID_BYTES];
    uint64_t applied; /* as found when it was opened: the tables have the journal up to this record */
    MDB_env *env;
    MDB_dbi meta;
    MDB_dbi tables[STORE_TABLE_MAX + 1]; /* by enum store_table; 0 is not used */
};

/* A batch in one block: free with store_batch_destroy. Chained, it is whoever's the chain is. */
struct store_batch {
    struct store_batch *next;
    uint64_t record;       /* of the journal, once it is durable */
    size_t record_bytes;   /* on the disk; only the first batch of a record has them */
    uint64_t number;
    uint64_t generation;
    size_t count;
    size_t bytes;                 /* of this block */
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
/* All of the chain. */
void store_batches_destroy(struct store_batch **first);

/* The directory of the store: data_dir/store. HM_EINVAL: too long. */
int store_db_path(const char *data_dir, char *path, size_t max);

/* Opens the environment only (no tables), with the largest map that fits. Returns an LMDB or errno
 * code. */
int store_db_open_env(const char *path, MDB_env **ret_env);

/* The version of the format, from table "meta". An LMDB code: MDB_NOTFOUND when there is none,
 * MDB_CORRUPTED when it is damaged. */
int store_db_read_format(MDB_txn *txn, MDB_dbi meta, uint64_t *ret_format);
/* The store's id, and up to which record of the journal the tables have it, likewise. */
int store_db_read_mark(MDB_txn *txn, MDB_dbi meta, uint8_t ret_id[STORE_ID_BYTES],
                       uint64_t *ret_applied);

/* Writes both. An LMDB code. */
int store_db_write_format(MDB_txn *txn, MDB_dbi meta);
int store_db_write_mark(MDB_txn *txn, MDB_dbi meta, const uint8_t id[STORE_ID_BYTES],
                        uint64_t applied);

/* The tables of a directory that has all of them. An LMDB or errno code; closed if it failed. */
int store_db_open_made(struct store_db *db, const char *path);
/* What was renamed or made in a directory stays after a power cut. 0 or errno. */
int store_db_sync_directory(const char *path);
/* HM_E* of a code of LMDB or errno; what it says in words, in our terms where LMDB's are not. */
int store_db_code(int rc);
const char *store_db_text(int rc);

/* Results as store_open. A new store and one of an older format get a journal that is empty; else it is
 * not looked at. */
int store_db_open(struct store_db *db, const char *data_dir, struct why *why);
/* Accepts a closed one. */
void store_db_close(struct store_db *db);

/* The check that goes before a value: how long it is in a table, and it. Table 0 is "meta". */
size_t store_record_check_bytes(enum store_table table);
void store_record_check(enum store_table table, MDB_val key, struct span value,
                        uint8_t ret_check[STORE_HASH_BYTES]);
/* What is stored, without its check. False: the check does not fit, the record is damaged. */
bool store_db_value(enum store_table table, MDB_val key, MDB_val value, struct span *ret_value);

/* An LMDB code. Any thread. */
int store_db_figures(const struct store_db *db, struct store_figures *ret);

int store_db_load(const struct store_db *db, struct store_loaded *ret_loaded, struct why *why);
void store_loaded_fini(struct store_loaded *loaded);

/* Writes all batches of the chain in one synced transaction, or none of them, and that the tables have the
 * journal up to `applied` now. An LMDB or errno code. */
int store_db_commit(struct store_db *db, const struct store_batch *first, uint64_t applied);

/* Writes, syncs and removes a file beside the tables, as large as a page. 0 or errno. */
int store_db_try_disk(const struct store_db *db);

#endif
