/* SPDX-License-Identifier: MPL-2.0 */
/* Giving space back: LMDB's file never shrinks, so what is in use is copied to a file of its own, which
 * takes the place of the old one. See store_priv.h.
 *
 *   1. D/store.new/data.mdb is written, synced, opened and compared
 *   2. rename to D/store/data.mdb: until then the old file is the store, from then on the new one; both
 *      hold the same, since the actor that does this is the only writer
 *   3. rename lock.mdb likewise, sync the directory, remove D/store.new
 *   4. only then may anything be committed
 *
 * The power may go between any two of these: the store is the old file or the new one, whole, and what is
 * left over is swept away at the next start. The loop goes on reading the old file, which has no name any
 * more, until it has taken the report. */
#define _GNU_SOURCE
#include "io/store_priv.h"

#include "base/err.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ROOM_SPARED_BYTES ((uint64_t) 1 << 20) /* left to others by a copy */

/* Paths that it works with. */
struct places {
    char dir[STORE_PATH_BYTES]; /* D/store.new */
    char data[STORE_PATH_BYTES + 16], lock[STORE_PATH_BYTES + 16];
    char old_data[STORE_PATH_BYTES + 16], old_lock[STORE_PATH_BYTES + 16];
};

static bool places_of(struct places *p, const char *path)
{
    if (snprintf(p->dir, sizeof p->dir, "%s.new", path) >= (int) sizeof p->dir) {
        return false;
    }
    snprintf(p->data, sizeof p->data, "%s/data.mdb", p->dir);
    snprintf(p->lock, sizeof p->lock, "%s/lock.mdb", p->dir);
    snprintf(p->old_data, sizeof p->old_data, "%s/data.mdb", path);
    snprintf(p->old_lock, sizeof p->old_lock, "%s/lock.mdb", path);
    return true;
}

static void sweep(const struct places *p)
{
    (void) unlink(p->data);
    (void) unlink(p->lock);
    (void) rmdir(p->dir);
}

void store_compact_sweep(const char *path)
{
    struct places p;
    if (places_of(&p, path)) {
        sweep(&p);
    }
}

/* There must be room for the copy, with some left for others. */
static int find_room(const struct store_db *db, char *text, size_t text_max)
{
    struct store_figures figures;
    struct statvfs fs;
    int rc = store_db_figures(db, &figures);
    if (rc != 0 || statvfs(db->path, &fs) != 0) {
        return rc != 0 ? rc : errno;
    }
    uint64_t room = (uint64_t) fs.f_bavail * fs.f_frsize;
    uint64_t wanted = (figures.pages - figures.free_pages) * figures.page_bytes;
    if (room < wanted + ROOM_SPARED_BYTES) {
        snprintf(text, text_max, "the copy needs %llu KiB, the file system has %llu KiB left",
                 (unsigned long long) (wanted + ROOM_SPARED_BYTES) / 1024,
                 (unsigned long long) room / 1024);
        return ENOSPC;
    }
    return 0;
}

static int write_copy(const struct store_db *db, const struct places *p, uint64_t *ret_written)
{
    struct stat st;
    int fd = open(p->data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    int rc = mdb_env_copyfd2(db->env, fd, MDB_CP_COMPACT);
    if (rc == 0 && (fsync(fd) != 0 || fstat(fd, &st) != 0)) {
        rc = errno;
    }
    *ret_written = rc == 0 ? (uint64_t) st.st_size : 0;
    close(fd);
    return rc != 0 ? rc : store_db_sync_directory(p->dir);
}

/* Each table has as many records in both. */
static int compare(const struct store_db *a, const struct store_db *b)
{
    struct store_figures in_a, in_b;
    int rc = store_db_figures(a, &in_a);
    if (rc == 0) {
        rc = store_db_figures(b, &in_b);
    }
    for (unsigned t = 1; rc == 0 && t <= STORE_TABLE_MAX; t++) {
        rc = in_a.entries[t] == in_b.entries[t] ? 0 : MDB_CORRUPTED;
    }
    return rc;
}

/* From the first rename on there is no way back. */
static int swap(const struct store_db *db, const struct places *p, int *ret_rc)
{
    if (rename(p->data, p->old_data) != 0) {
        *ret_rc = errno;
        return HM_EIO;
    }
    if (rename(p->lock, p->old_lock) != 0 || (*ret_rc = store_db_sync_directory(db->path)) != 0) {
        *ret_rc = *ret_rc != 0 ? *ret_rc : errno;
        return HM_ESTALE;
    }
    (void) rmdir(p->dir);
    return HM_OK;
}

int store_compact(struct store_db *db, struct store_db **ret_new, uint64_t *ret_written, char *text,
                  size_t text_max)
{
    struct places p;
    struct store_db *made = calloc(1, sizeof *made);
    int rc = made == NULL ? ENOMEM : places_of(&p, db->path) ? 0 : ENAMETOOLONG;
    text[0] = '\0';
    if (rc != 0) {
        free(made);
        text_copy(text, text_max, store_db_text(rc));
        return store_db_code(rc);
    }
    sweep(&p);
    rc = find_room(db, text, text_max);
    if (rc == 0 && mkdir(p.dir, 0700) != 0) {
        rc = errno;
    }
    if (rc == 0) {
        rc = write_copy(db, &p, ret_written);
    }
    if (rc == 0) {
        rc = store_db_open_made(made, p.dir);
    }
    if (rc == 0) {
        rc = compare(db, made);
    }
    int code = store_db_code(rc);
    if (rc == 0) {
        code = swap(db, &p, &rc);
    }
    if (code == HM_OK) {
        memcpy(made->path, db->path, sizeof made->path);
        *ret_new = made;
        return HM_OK;
    }
    if (text[0] == '\0') {
        text_copy(text, text_max, store_db_text(rc));
    }
    store_db_close(made);
    free(made);
    sweep(&p);
    return code;
}

/* A lock file of its own: two environments of one process must not share one, since closing either would
 * drop the locks of both. The data they may share: the failed one only reads, if that. */
int store_reopen(const struct store_db *db, struct store_db **ret_new)
{
    struct places p;
    struct store_db *made = calloc(1, sizeof *made);
    int rc = made == NULL ? ENOMEM : places_of(&p, db->path) ? 0 : ENAMETOOLONG;
    if (rc == 0 && unlink(p.old_lock) != 0 && errno != ENOENT) {
        rc = errno;
    }
    if (rc == 0) {
        rc = store_db_open_made(made, db->path);
    }
    if (rc != 0) {
        free(made);
        return rc;
    }
    *ret_new = made;
    return 0;
}
