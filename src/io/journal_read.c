/* SPDX-License-Identifier: MPL-2.0 */
/* What a start finds in the journal: see journal.h. It looks at every block of both files, so that it sees also
 * what lies behind a damaged record. What counts are the records after `applied`, one after another without a
 * gap. A power cut can only tear the newest: each was synced before the next was begun, and behind one that failed
 * nothing is appended until it counts as applied. So a gap is damage. */
#define _GNU_SOURCE
#include "io/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A block that the disk does not give back is zeros; *is_whole turns false. */
static int read_blocks(int fd, uint8_t *bytes, size_t size, bool *is_whole)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = pread(fd, bytes + at, size - at, (off_t) at);
        if (got > 0) {
            at += (size_t) got;
        } else if (got == 0) {
            return EIO; /* shorter than it was a moment ago */
        } else if (errno == EIO) {
            size_t block = JOURNAL_BLOCK_BYTES - at % JOURNAL_BLOCK_BYTES;
            block = block < size - at ? block : size - at;
            memset(bytes + at, 0, block);
            at += block;
            *is_whole = false;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

/* Not there: 0, and empty. */
static int read_file(const char *path, unsigned number, struct span *ret, bool *is_whole)
{
    char name[STORE_PATH_BYTES + 16];
    struct stat st;
    *ret = span_of(NULL, 0);
    snprintf(name, sizeof name, "%s/journal.%u", path, number);
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? 0 : errno;
    }
    int rc = fstat(fd, &st) == 0 ? 0 : errno;
    uint8_t *bytes = rc == 0 ? malloc((size_t) st.st_size + 1) : NULL;
    if (rc == 0) {
        rc = bytes == NULL ? ENOMEM : read_blocks(fd, bytes, (size_t) st.st_size, is_whole);
    }
    close(fd);
    if (rc != 0) {
        free(bytes);
        return rc;
    }
    *ret = span_of(bytes, (size_t) st.st_size);
    return 0;
}

static int add(struct journal_found *f, size_t *room, const struct journal_record *r)
{
    if (f->count == *room) {
        size_t more = *room == 0 ? 64 : 2 * *room;
        struct journal_record *records = realloc(f->records, more * sizeof *records);
        if (records == NULL) {
            return ENOMEM;
        }
        f->records = records;
        *room = more;
    }
    f->records[f->count++] = *r;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct journal_record *) a)->number;
    uint64_t y = ((const struct journal_record *) b)->number;
    return (x > y) - (x < y);
}

static bool is_made_of_entries(struct span content)
{
    struct store_entry e;
    while (journal_next_entry(&content, &e)) {
    }
    return content.size == 0;
}

/* It is as long as it was made, and begins as this store's. */
static bool is_file_sound(struct span file, const uint8_t id[JOURNAL_ID_BYTES], unsigned number)
{
    return file.size >= JOURNAL_FIRST_BYTES && journal_file_head_is_sound(file, id, number);
}

/* Keeps those that follow on what is applied. One that is there twice (a value may hold a copy of a journal) counts
 * once. */
static void judge(struct journal_found *f, uint64_t applied)
{
    size_t all = f->count;
    f->count = 0;
    f->last = applied;
    for (size_t i = 0; i < all; i++) {
        const struct journal_record r = f->records[i];
        if (r.number == f->last) {
            continue;
        }
        if (f->dropped == 0 && r.number == f->last + 1 && is_made_of_entries(r.content)) {
            f->records[f->count++] = r;
        } else {
            f->dropped++;
            f->dropped_bytes += r.content.size;
        }
        f->last = r.number;
    }
    f->is_damaged |= f->dropped > 0;
}

int journal_read(const char *path, const uint8_t id[JOURNAL_ID_BYTES], uint64_t applied,
                 struct journal_found *ret)
{
    struct journal_found f = {.count = 0};
    struct journal_record r;
    size_t room = 0;
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < JOURNAL_FILES; i++) {
        size_t at = JOURNAL_BLOCK_BYTES;
        bool is_whole = true;
        rc = read_file(path, i, &f.files[i], &is_whole);
        f.is_damaged |= rc == 0 && (!is_whole || !is_file_sound(f.files[i], id, i));
        while (rc == 0 && journal_next_record(f.files[i], id, &at, &r)) {
            rc = r.number > applied ? add(&f, &room, &r) : 0;
        }
    }
    if (rc != 0) {
        journal_found_fini(&f);
        return rc;
    }
    if (f.count > 0) {
        qsort(f.records, f.count, sizeof f.records[0], by_number);
    }
    judge(&f, applied);
    *ret = f;
    return 0;
}

void journal_found_fini(struct journal_found *found)
{
    for (unsigned i = 0; i < JOURNAL_FILES; i++) {
        free((void *) (uintptr_t) found->files[i].data);
    }
    free(found->records);
    memset(found, 0, sizeof *found);
}

const char *journal_look(const char *path, const uint8_t id[JOURNAL_ID_BYTES])
{
    const char *fault = NULL;
    for (unsigned i = 0; fault == NULL && i < JOURNAL_FILES; i++) {
        struct span file;
        bool is_whole = true;
        if (read_file(path, i, &file, &is_whole) != 0 || !is_whole) {
            return "its journal cannot be read";
        }
        if (file.data == NULL) {
            return "a file of its journal is gone";
        }
        if (!is_file_sound(file, id, i)) {
            fault = "a file of its journal is cut short or does not begin as it should";
        }
        free((void *) (uintptr_t) file.data);
    }
    return fault;
}
