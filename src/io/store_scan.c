/* SPDX-License-Identifier: MPL-2.0 */
/* Is what is stored whole? First every page, as at the start (io/store_pages): liblmdb must not follow
 * one that lies. Then each record's check, some thousand records a turn, so that batches are committed
 * in between. See store_priv.h. */
#define _GNU_SOURCE
#include "io/store_priv.h"

#include "base/err.h"
#include "base/text.h"
#include "io/store_pages.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TURN_RECORDS_MAX 20000 /* some ms on a board */

static void fail(struct store_work *work, int code, const char *text)
{
    work->code = code;
    text_copy(work->text, sizeof work->text, text);
}

/* The actor writes all there is, so the file lies still now. */
static void check_pages(struct store_scan *s, const struct store_db *db)
{
    char path[STORE_PATH_BYTES + 16];
    struct stat st;
    const char *fault = NULL;
    snprintf(path, sizeof path, "%s/data.mdb", db->path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size == 0) {
        fault = "its file data.mdb is gone";
    } else {
        void *map = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            fail(s->work, HM_ENOMEM, "no address space left to look at its pages");
        } else {
            fault = store_pages_check(span_of(map, (size_t) st.st_size));
            munmap(map, (size_t) st.st_size);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    if (fault == NULL) {
        fault = journal_look(db->path, db->id);
    }
    if (fault != NULL) {
        s->work->is_file_damaged = true;
        fail(s->work, HM_EIO, fault);
    }
}

static void note_damage(struct store_work *work, enum store_table table, MDB_val key)
{
    if (work->damaged_count < STORE_WORK_DAMAGED_MAX) {
        struct store_damaged_record *r = &work->damaged[work->damaged_count];
        r->table = table;
        r->key_size = key.mv_size < sizeof r->key ? key.mv_size : sizeof r->key;
        memcpy(r->key, key.mv_data, r->key_size);
    }
    work->damaged_count++;
}

/* Goes on in the table where the last turn ended. Returns LMDB's code; MDB_NOTFOUND at its end. */
static int scan_table(struct store_scan *s, const struct store_db *db, MDB_txn *txn, size_t *left)
{
    MDB_cursor *cursor = NULL;
    MDB_val key = {s->key_size, s->key};
    MDB_val value;
    struct span inner;
    int rc = mdb_cursor_open(txn, db->tables[s->table], &cursor);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &key, &value, s->key_size == 0 ? MDB_FIRST : MDB_SET_RANGE);
    while (rc == 0 && *left > 0) {
        s->work->records++;
        (*left)--;
        if (!store_db_value((enum store_table) s->table, key, value, &inner)) {
            note_damage(s->work, (enum store_table) s->table, key);
        }
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (rc == 0) { /* the next one begins the next turn; it may be gone by then */
        memcpy(s->key, key.mv_data, key.mv_size);
        s->key_size = key.mv_size;
    }
    mdb_cursor_close(cursor);
    return rc;
}

bool store_scan_turn(struct store_scan *s, const struct store_db *db)
{
    MDB_txn *txn = NULL;
    size_t left = TURN_RECORDS_MAX;
    if (!s->is_begun) {
        s->is_begun = true;
        s->table = 1;
        check_pages(s, db);
        return s->work->code != HM_OK;
    }
    int rc = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    while (rc == 0 && left > 0 && s->table <= STORE_TABLE_MAX) {
        rc = scan_table(s, db, txn, &left);
        if (rc == MDB_NOTFOUND) {
            rc = 0;
            s->table++;
            s->key_size = 0;
        }
    }
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    if (rc != 0) {
        fail(s->work, store_db_code(rc), store_db_text(rc));
        return true;
    }
    return s->table > STORE_TABLE_MAX;
}
