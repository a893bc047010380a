/* SPDX-License-Identifier: MPL-2.0 */
/* The store's LMDB environment: see store_db.h. */
#define _GNU_SOURCE
#include "io/store_db.h"

#include "base/err.h"
#include "base/text.h"
#include "io/journal.h"
#include "io/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define STORE_DBS_MAX 16 /* tables to come with the registry */
#define STORE_READERS_MAX 16

/* The map is address space, not memory; it is never resized while open (protocols.md). */
#if SIZE_MAX > UINT32_MAX
#    define STORE_MAP_BYTES ((size_t) 16 << 30)
#else
#    define STORE_MAP_BYTES ((size_t) 256 << 20)
#endif
#define STORE_MAP_BYTES_MIN ((size_t) 16 << 20)

/* ---- opening --------------------------------------------------------------------------------- */

int store_db_path(const char *data_dir, char *path, size_t max)
{
    int size = snprintf(path, max, "%s/store", data_dir);
    return size < 0 || (size_t) size >= max ? HM_EINVAL : HM_OK;
}

int store_db_open_env(const char *path, MDB_env **ret_env)
{
    int rc = ENOMEM;
    for (size_t map = STORE_MAP_BYTES; rc == ENOMEM && map >= STORE_MAP_BYTES_MIN; map /= 2) {
        MDB_env *env = NULL;
        rc = mdb_env_create(&env);
        if (rc != 0) {
            return rc;
        }
        if ((rc = mdb_env_set_mapsize(env, map)) == 0 &&
            (rc = mdb_env_set_maxdbs(env, STORE_DBS_MAX)) == 0 &&
            (rc = mdb_env_set_maxreaders(env, STORE_READERS_MAX)) == 0 &&
            (rc = mdb_env_open(env, path, MDB_NOTLS, 0600)) == 0) {
            *ret_env = env;
            return 0;
        }
        mdb_env_close(env);
    }
    return rc;
}

static const char *advice_for(int rc)
{
    switch (store_db_code(rc)) {
    case HM_EFULL:
        return "free some space on that file system and start again";
    case HM_EDENIED:
        return "this user must be able to read and write it";
    case HM_ENOMEM:
        return "raise the limit on address space (ulimit -v), 64 MiB are the least";
    default:
        return "the file system or the disk has a problem";
    }
}

/* LMDB maps the file: over a network file system other machines' writes would tear it. */
static const char *network_file_system(const char *path)
{
    struct statfs fs;
    if (statfs(path, &fs) != 0) {
        return NULL;
    }
    switch ((unsigned long) fs.f_type & 0xffffffffUL) {
    case 0x6969UL:
        return "NFS";
    case 0x517bUL:
    case 0xff534d42UL:
    case 0xfe534d42UL:
        return "CIFS";
    default:
        return NULL;
    }
}

int store_db_sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int rc = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return rc;
}

static int make_directory(const char *data_dir, const char *path, struct why *why)
{
    if (mkdir(path, 0700) == 0) {
        (void) store_db_sync_directory(data_dir);
    } else if (errno != EEXIST) {
        int rc = errno;
        return why_set(why, store_db_code(rc), "cannot make %s: %s; %s", path, strerror(rc),
                       advice_for(rc));
    }
    const char *network = network_file_system(path);
    if (network != NULL) {
        return why_set(why, HM_EIO,
                       "%s lies on %s, where a database can be torn: choose a --data-dir on a disk "
                       "of this machine",
                       path, network);
    }
    return HM_OK;
}

static int open_tables(struct store_db *db, MDB_txn *txn, unsigned flags)
{
    int rc = mdb_dbi_open(txn, "meta", flags, &db->meta);
    for (unsigned t = 1; rc == 0 && t <= STORE_TABLE_MAX; t++) {
        rc = mdb_dbi_open(txn, store_table_name((enum store_table) t), flags, &db->tables[t]);
    }
    return rc;
}

/* The format first: what a newer version made is left as it is. MDB_NOTFOUND: something is missing,
 * *ret_format is 0 if all is. */
static int open_as_found(struct store_db *db, MDB_txn *txn, uint64_t *ret_format)
{
    int rc = mdb_dbi_open(txn, "meta", 0, &db->meta);
    if (rc == 0) {
        rc = store_db_read_format(txn, db->meta, ret_format);
    }
    if (rc != 0 || *ret_format > STORE_FORMAT) {
        return rc;
    }
    if (*ret_format > STORE_FORMAT_WITHOUT_JOURNAL &&
        (rc = store_db_read_mark(txn, db->meta, db->id, &db->applied)) != 0) {
        return rc;
    }
    rc = open_tables(db, txn, 0);
    return rc == 0 && *ret_format == STORE_FORMAT_WITHOUT_JOURNAL ? MDB_NOTFOUND : rc;
}

/* Makes what is missing: all of a new store, tables that came since, the journal. Only when its files are on
 * the disk, empty, is the format one that has them. */
static int make_missing(struct store_db *db, uint64_t *ret_format)
{
    bool has_journal = *ret_format > STORE_FORMAT_WITHOUT_JOURNAL;
    MDB_txn *txn = NULL;
    int rc = 0;
    if (!has_journal) {
        randombytes_buf(db->id, sizeof db->id);
        db->applied = 0;
        rc = journal_make(db->path, db->id);
    }
    if (rc != 0 || (rc = mdb_txn_begin(db->env, NULL, 0, &txn)) != 0) {
        return rc;
    }
    rc = open_tables(db, txn, MDB_CREATE);
    if (rc == 0 && !has_journal && (rc = store_db_write_format(txn, db->meta)) == 0) {
        rc = store_db_write_mark(txn, db->meta, db->id, 0);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    *ret_format = STORE_FORMAT;
    return mdb_txn_commit(txn);
}

/* Opens the tables. A start that finds all writes nothing. */
static int open_or_make(struct store_db *db, uint64_t *ret_format)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        return rc;
    }
    rc = open_as_found(db, txn, ret_format);
    if (rc == 0) {
        return mdb_txn_commit(txn); /* keeps the handles */
    }
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND ? make_missing(db, ret_format) : rc;
}

int store_db_open_made(struct store_db *db, const char *path)
{
    uint64_t format = 0;
    MDB_txn *txn = NULL;
    memset(db, 0, sizeof *db);
    if (!text_copy(db->path, sizeof db->path, path)) {
        return ENAMETOOLONG;
    }
    int rc = store_db_open_env(path, &db->env);
    if (rc == 0) {
        rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    }
    if (rc == 0) {
        rc = open_as_found(db, txn, &format);
        if (rc == 0) {
            rc = mdb_txn_commit(txn);
        } else {
            mdb_txn_abort(txn);
        }
    }
    db->format = format;
    if (rc != 0) {
        store_db_close(db);
    }
    return rc;
}

int store_db_open(struct store_db *db, const char *data_dir, struct why *why)
{
    uint64_t format = 0;
    int dead = 0;
    memset(db, 0, sizeof *db);
    if (store_db_path(data_dir, db->path, sizeof db->path) != HM_OK) {
        return why_set(why, HM_EINVAL, "the path of the data directory is too long");
    }
    int rc = make_directory(data_dir, db->path, why);
    if (rc != HM_OK) {
        return rc;
    }
    rc = store_db_open_env(db->path, &db->env);
    if (rc == 0) {
        mdb_reader_check(db->env, &dead);
        rc = open_or_make(db, &format);
    }
    if (rc != 0) {
        return why_set(why, store_db_code(rc), "cannot open the store in %s: %s; %s", db->path,
                       store_db_text(rc), advice_for(rc));
    }
    if (format > STORE_FORMAT) {
        return why_set(why, HM_EVERSION,
                       "the store in %s has format %llu, this version knows up to %d: start a "
                       "newer meshd, or another --data-dir",
                       db->path, (unsigned long long) format, STORE_FORMAT);
    }
    (void) store_db_sync_directory(db->path);
    db->format = format;
    return HM_OK;
}

/* Free pages: each record of the list begins with how many it holds. */
static int count_free(MDB_txn *txn, uint64_t *ret_pages)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    uint64_t pages = 0;
    int rc = mdb_cursor_open(txn, 0, &cursor);
    while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        size_t count = 0;
        if (value.mv_size >= sizeof count) {
            memcpy(&count, value.mv_data, sizeof count);
            pages += count;
        }
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    *ret_pages = pages;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Pages that one transaction took at the end and gave back were never written: the list of free ones
 * has them, the file has not. */
static void count_what_is_there(struct store_figures *f)
{
    uint64_t there = f->page_bytes > 0 ? f->file_bytes / f->page_bytes : f->pages;
    uint64_t missing = f->pages > there ? f->pages - there : 0;
    missing = missing < f->free_pages ? missing : f->free_pages;
    f->pages -= missing;
    f->free_pages -= missing;
}

int store_db_figures(const struct store_db *db, struct store_figures *ret)
{
    struct store_figures f = {.format = db->format};
    char path[STORE_PATH_BYTES + 16];
    struct stat st;
    MDB_txn *txn = NULL;
    MDB_envinfo info = {0};
    MDB_stat stat_of;
    snprintf(path, sizeof path, "%s/data.mdb", db->path);
    f.file_bytes = stat(path, &st) == 0 ? (uint64_t) st.st_size : 0;
    int rc = mdb_env_info(db->env, &info);
    if (rc == 0) {
        rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    }
    for (unsigned t = 1; rc == 0 && t <= STORE_TABLE_MAX; t++) {
        rc = mdb_stat(txn, db->tables[t], &stat_of);
        f.entries[t] = rc == 0 ? stat_of.ms_entries : 0;
        f.page_bytes = rc == 0 ? stat_of.ms_psize : 0;
    }
    if (rc == 0) {
        rc = count_free(txn, &f.free_pages);
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    f.map_bytes = info.me_mapsize;
    f.pages = info.me_last_pgno + 1;
    count_what_is_there(&f);
    if (rc == 0) {
        *ret = f;
    }
    return rc;
}

void store_db_close(struct store_db *db)
{
    if (db->env != NULL) {
        mdb_env_close(db->env);
    }
    memset(db, 0, sizeof *db);
}

/* ---- loading --------------------------------------------------------------------------------- */

/* Two walks: the first counts, the second copies. */
struct load {
    struct store_loaded *to;
    size_t count;
    size_t bytes;
    bool is_copying;
};

static void load_record(struct load *l, enum store_table table, MDB_val key, MDB_val value)
{
    struct span inner;
    if (!store_db_value(table, key, value, &inner)) {
        l->to->dropped += !l->is_copying;
        return;
    }
    if (l->is_copying) {
        uint8_t *at = l->to->bytes + l->bytes;
        struct store_entry *e = &l->to->entries[l->count];
        e->table = table;
        memcpy(at, key.mv_data, key.mv_size);
        e->key = span_of(at, key.mv_size);
        at += key.mv_size;
        memcpy(at, inner.data, inner.size);
        e->value = span_of(at, inner.size);
    }
    l->count++;
    l->bytes += key.mv_size + inner.size;
}

static int load_table(const struct store_db *db, MDB_txn *txn, enum store_table table,
                      struct load *l)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, db->tables[table], &cursor);
    if (rc != 0) {
        return rc;
    }
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        load_record(l, table, key, value);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int load_tables(const struct store_db *db, MDB_txn *txn, struct load *l)
{
    int rc = 0;
    l->count = 0;
    l->bytes = 0;
    for (unsigned t = 1; rc == 0 && t <= STORE_LOADED_MAX; t++) {
        rc = load_table(db, txn, (enum store_table) t, l);
    }
    return rc;
}

int store_db_load(const struct store_db *db, struct store_loaded *ret_loaded, struct why *why)
{
    struct store_loaded loaded = {0};
    struct load l = {.to = &loaded};
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) {
        rc = load_tables(db, txn, &l);
    }
    if (rc == 0) {
        loaded.entries = calloc(l.count + 1, sizeof loaded.entries[0]);
        loaded.bytes = malloc(l.bytes + 1);
        rc = loaded.entries == NULL || loaded.bytes == NULL ? ENOMEM : 0;
    }
    if (rc == 0) {
        l.is_copying = true;
        rc = load_tables(db, txn, &l);
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    if (rc != 0) {
        store_loaded_fini(&loaded);
        return why_set(why, store_db_code(rc), "cannot read the store: %s", mdb_strerror(rc));
    }
    loaded.count = l.count;
    *ret_loaded = loaded;
    return HM_OK;
}

void store_loaded_fini(struct store_loaded *loaded)
{
    free(loaded->entries);
    free(loaded->bytes);
    memset(loaded, 0, sizeof *loaded);
}

/* ---- committing ------------------------------------------------------------------------------ */

static int write_entry(struct store_db *db, MDB_txn *txn, const struct store_entry *e)
{
    MDB_val key = {e->key.size, (void *) e->key.data};
    size_t size = store_record_check_bytes(e->table);
    MDB_val value = {e->value.size + size, NULL};
    MDB_dbi dbi = db->tables[e->table];
    if (e->value.data == NULL) {
        int rc = mdb_del(txn, dbi, &key, NULL);
        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    int rc = mdb_put(txn, dbi, &key, &value, MDB_RESERVE);
    if (rc == 0) {
        uint8_t *to = value.mv_data;
        store_record_check(e->table, key, e->value, to);
        if (e->value.size > 0) {
            memcpy(to + size, e->value.data, e->value.size);
        }
    }
    return rc;
}

static int write_batch(struct store_db *db, MDB_txn *txn, const struct store_batch *batch)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < batch->count; i++) {
        rc = write_entry(db, txn, &batch->entries[i]);
    }
    return rc;
}

int store_db_commit(struct store_db *db, const struct store_batch *first, uint64_t applied)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(db->env, NULL, 0, &txn);
    for (const struct store_batch *b = first; rc == 0 && b != NULL; b = b->next) {
        rc = write_batch(db, txn, b);
    }
    if (rc == 0) {
        rc = store_db_write_mark(txn, db->meta, db->id, applied);
    }
    if (rc == 0) {
        return mdb_txn_commit(txn); /* synced when it returns; frees txn also when it fails */
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    return rc;
}

int store_db_try_disk(const struct store_db *db)
{
    static const char bytes[4096];
    char path[STORE_PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/disk-test", db->path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    errno = EIO; /* of a write cut short */
    bool is_done = write(fd, bytes, sizeof bytes) == (ssize_t) sizeof bytes && fsync(fd) == 0;
    int error = is_done ? 0 : errno;
    close(fd);
    unlink(path);
    return error;
}
