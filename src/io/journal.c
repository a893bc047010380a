/* SPDX-License-Identifier: MPL-2.0 */
/* Appending to the store's journal: see journal.h. journal_read.c has what a start does.
 *
 *   file 0  | head | 41 | 42 | 43 | 17 (of an earlier round) …
 *   file 1  | head | 38 | 39 | 40 | 22 …
 *
 * The files are filled with zeros a piece ahead: a write over what is there costs the file system nothing
 * but the write; one that makes the file longer has its own journal written too.
 *
 * Records go past the page cache (O_DIRECT, and O_DSYNC: on the disk when the write returns) where the file system lets them:
 * a sync after a write has to find the page first. Hence whole blocks, from memory that begins at one. */
#define _GNU_SOURCE
#include "io/journal.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AHEAD_BYTES ((size_t) 512 << 10)       /* that it grows by at most */
#define KEPT_BYTES ((size_t) 256 << 10)        /* of the buffer, between records */

struct journal {
    uint8_t id[JOURNAL_ID_BYTES];
    int fd[JOURNAL_FILES];
    int direct[JOURNAL_FILES]; /* the same file, past the page cache; -1: this file system does not let us */
    size_t filled[JOURNAL_FILES]; /* bytes that the file has */
    uint64_t last[JOURNAL_FILES]; /* the newest number in it since the start; 0: none */
    unsigned current;             /* the file that is appended to */
    size_t at;                    /* the end of its records */
    uint64_t next;                /* number */
    uint64_t applied;
    uint64_t broken; /* this append failed; 0: none did */
    uint64_t written;
    uint8_t *buffer; /* aligned to a block */
    size_t room;
};

static int open_file(const char *path, unsigned number, int flags, int *ret_fd)
{
    char name[STORE_PATH_BYTES + 16];
    snprintf(name, sizeof name, "%s/journal.%u", path, number);
    *ret_fd = open(name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *ret_fd < 0 ? errno : 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t size, size_t at)
{
    while (size > 0) {
        ssize_t done = pwrite(fd, bytes, size, (off_t) at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? errno : EIO;
        }
        bytes += done;
        size -= (size_t) done;
        at += (size_t) done;
    }
    return 0;
}

/* Block by block: the kernel keeps what comes in one large write as one piece, and writes all of it
 * again when a part changes. */
static int write_zeros(int fd, size_t from, size_t to)
{
    static const uint8_t zeros[JOURNAL_BLOCK_BYTES];
    int rc = 0;
    for (; rc == 0 && from < to; from += sizeof zeros) {
        rc = write_all(fd, zeros, sizeof zeros, from);
    }
    return rc;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int make_file(const char *path, const uint8_t id[JOURNAL_ID_BYTES], unsigned number)
{
    uint8_t head[JOURNAL_BLOCK_BYTES];
    int fd;
    int rc = open_file(path, number, O_WRONLY | O_CREAT | O_TRUNC, &fd);
    if (rc != 0) {
        return rc;
    }
    journal_file_head(head, id, number);
    rc = write_all(fd, head, sizeof head, 0);
    if (rc == 0) {
        rc = write_zeros(fd, sizeof head, JOURNAL_FIRST_BYTES);
    }
    if (rc == 0 && fsync(fd) != 0) {
        rc = errno;
    }
    close(fd);
    return rc;
}

int journal_make(const char *path, const uint8_t id[JOURNAL_ID_BYTES])
{
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < JOURNAL_FILES; i++) {
        rc = make_file(path, id, i);
    }
    return rc != 0 ? rc : store_db_sync_directory(path);
}

int journal_open(const char *path, const uint8_t id[JOURNAL_ID_BYTES], uint64_t applied,
                 journal_t **ret)
{
    journal_t *j = calloc(1, sizeof *j);
    int rc = j == NULL ? ENOMEM : 0;
    for (unsigned i = 0; j != NULL && i < JOURNAL_FILES; i++) {
        j->fd[i] = j->direct[i] = -1;
    }
    for (unsigned i = 0; rc == 0 && i < JOURNAL_FILES; i++) {
        struct stat st;
        rc = open_file(path, i, O_WRONLY, &j->fd[i]);
        if (rc == 0 && fstat(j->fd[i], &st) != 0) {
            rc = errno;
        }
        if (rc == 0) {
            (void) open_file(path, i, O_WRONLY | O_DIRECT | O_DSYNC, &j->direct[i]);
            j->filled[i] = (size_t) st.st_size - (size_t) st.st_size % JOURNAL_BLOCK_BYTES;
        }
    }
    if (rc != 0) {
        journal_close(&j);
        return rc;
    }
    memcpy(j->id, id, sizeof j->id);
    j->at = JOURNAL_BLOCK_BYTES;
    j->applied = applied;
    j->next = applied + 1;
    *ret = j;
    return 0;
}

static void stop_direct(journal_t *j, unsigned i)
{
    if (j->direct[i] >= 0) {
        close(j->direct[i]);
        j->direct[i] = -1;
    }
}

void journal_close(journal_t **p)
{
    journal_t *j = *p;
    if (j == NULL) {
        return;
    }
    for (unsigned i = 0; i < JOURNAL_FILES; i++) {
        if (j->fd[i] >= 0) {
            close(j->fd[i]);
        }
        stop_direct(j, i);
    }
    free(j->buffer);
    free(j);
    *p = NULL;
}

/* ---- appending ------------------------------------------------------------------------------- */

void journal_applied(journal_t *j, uint64_t number)
{
    j->applied = number > j->applied ? number : j->applied;
    if (j->broken != 0 && j->applied >= j->broken) {
        j->broken = 0;
    }
}

/* An empty file takes a record of any size. */
static bool fits_here(const journal_t *j, size_t bytes)
{
    return j->at == JOURNAL_BLOCK_BYTES ||
           (j->at < journal_file_bytes && bytes <= journal_file_bytes - j->at);
}

static bool is_other_free(const journal_t *j)
{
    return j->last[1 - j->current] <= j->applied;
}

bool journal_has_room(const journal_t *j, size_t content_bytes)
{
    return j->broken == 0 &&
           (is_other_free(j) || fits_here(j, journal_record_bytes(content_bytes)));
}

/* A file that one large record made long is cut again. It may fail: then it stays long. */
static void turn_to_other(journal_t *j)
{
    j->current = 1 - j->current;
    j->at = JOURNAL_BLOCK_BYTES;
    if (j->filled[j->current] > journal_file_bytes &&
        ftruncate(j->fd[j->current], (off_t) journal_file_bytes) == 0) {
        j->filled[j->current] = journal_file_bytes;
    }
}

/* Makes the file long enough, and a piece longer. */
static int reach(journal_t *j, size_t end)
{
    size_t filled = j->filled[j->current];
    if (end <= filled) {
        return 0;
    }
    size_t wanted = filled + (filled < AHEAD_BYTES ? filled : AHEAD_BYTES);
    wanted = wanted < journal_file_bytes ? wanted : journal_file_bytes;
    wanted = wanted > end ? wanted : end;
    int rc = write_zeros(j->fd[j->current], filled, wanted);
    /* Now rather than with the next records: a direct write waits for dirty pages in its way. */
    if (rc == 0 && fdatasync(j->fd[j->current]) != 0) {
        rc = errno;
    }
    if (rc == 0) {
        j->filled[j->current] = wanted;
        j->written += wanted - filled;
    }
    return rc;
}

uint64_t journal_written(const journal_t *j)
{
    return j->written;
}

size_t journal_content_bytes(const struct store_batch *batch)
{
    size_t bytes = 0;
    for (size_t i = 0; i < batch->count; i++) {
        bytes += journal_entry_bytes(&batch->entries[i]);
    }
    return bytes;
}

static void let_go_of_buffer(journal_t *j)
{
    free(j->buffer);
    j->buffer = NULL;
    j->room = 0;
}

static int make_room(journal_t *j, size_t bytes)
{
    if (bytes > j->room) {
        let_go_of_buffer(j);
        void *buffer = NULL;
        if (posix_memalign(&buffer, JOURNAL_BLOCK_BYTES, bytes) != 0) {
            return ENOMEM;
        }
        j->buffer = buffer;
        j->room = bytes;
    }
    return 0;
}

static size_t fill_buffer(journal_t *j, const struct store_batch *first)
{
    uint8_t *to = j->buffer + JOURNAL_HEAD_BYTES;
    for (const struct store_batch *b = first; b != NULL; b = b->next) {
        for (size_t i = 0; i < b->count; i++) {
            to = journal_put_entry(to, &b->entries[i]);
        }
    }
    return (size_t) (to - j->buffer) - JOURNAL_HEAD_BYTES;
}

/* Writes what is in the buffer, and syncs it. */
static int write_record(journal_t *j, size_t bytes)
{
    int fd = j->fd[j->current];
    if (j->direct[j->current] >= 0) {
        int rc = write_all(j->direct[j->current], j->buffer, bytes, j->at);
        if (rc != EINVAL && rc != EOPNOTSUPP) {
            return rc;
        }
        stop_direct(j, j->current); /* opened so, but it cannot, or wants larger blocks */
    }
    int rc = write_all(fd, j->buffer, bytes, j->at);
    return rc == 0 && fdatasync(fd) != 0 ? errno : rc;
}

int journal_append(journal_t *j, const struct store_batch *first, uint64_t *ret_number,
                   size_t *ret_bytes)
{
    size_t content = 0;
    for (const struct store_batch *b = first; b != NULL; b = b->next) {
        content += journal_content_bytes(b);
    }
    HM_ASSERT(journal_has_room(j, content));
    size_t bytes = journal_record_bytes(content);
    *ret_number = 0;
    if (!fits_here(j, bytes)) {
        turn_to_other(j);
    }
    int rc = make_room(j, bytes);
    if (rc == 0) {
        rc = reach(j, j->at + bytes);
    }
    if (rc != 0 && rc != ENOMEM && is_other_free(j)) { /* a full disk: the other one may be long enough */
        turn_to_other(j);
        rc = reach(j, j->at + bytes);
    }
    if (rc != 0) {
        return rc;
    }
    HM_ASSERT(fill_buffer(j, first) == content);
    journal_seal(j->buffer, j->id, j->next, content);
    rc = write_record(j, bytes);
    j->written += bytes;
    if (j->room > KEPT_BYTES) {
        let_go_of_buffer(j);
    }
    *ret_number = j->next;
    *ret_bytes = bytes;
    j->last[j->current] = j->next;
    j->broken = rc == 0 ? 0 : j->next;
    j->at = rc == 0 ? j->at + bytes : journal_file_bytes; /* nothing more goes behind a failed one */
    j->next++;
    return rc;
}
