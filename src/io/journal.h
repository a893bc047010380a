/* SPDX-License-Identifier: MPL-2.0 */
/* The store's journal: two files in D/store to which batches are appended before they go to the tables. Private to
 * io/store. One thread at a time.
 *
 * Each append is one record, synced before it counts. Records are numbered for the life of the store; the tables say
 * up to which number they have them ("applied"). What they have is not needed here any more: a file whose records are
 * all applied is written again from its beginning while the other one's wait to be.
 *
 * An append that fails leaves nobody knows what on the disk. So nothing is appended behind it until the
 * tables say that its number is applied (nothing of it was): then no start looks at it. */
#ifndef HM_IO_JOURNAL_H
#define HM_IO_JOURNAL_H

#include "io/journal_record.h"
#include "io/store_db.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_FILES 2
#define JOURNAL_FIRST_BYTES (16 * JOURNAL_BLOCK_BYTES) /* of a new file; most nodes write little */

/* Of each file; longer only for a record that needs it. */
extern const size_t journal_file_bytes;

typedef struct journal journal_t;

/* Makes both files in the store's directory, empty, in the place of what is there. 0 or errno. */
int journal_make(const char *path, const uint8_t id[JOURNAL_ID_BYTES]);

/* What a start finds. */
struct journal_found {
    struct journal_record *records; /* that follow on what is applied, in order */
    size_t count;
    uint64_t last;         /* the highest number there is, also of those that are of no use */
    size_t dropped;        /* records that are there but of no use, since one before them is missing */
    size_t dropped_bytes;  /* of these */
    bool is_damaged;       /* a record is missing before others, or a file or its head is */
    struct span files[JOURNAL_FILES];
};

/* Looks for the records after `applied`. 0 or errno: then nothing is known. */
int journal_read(const char *path, const uint8_t id[JOURNAL_ID_BYTES], uint64_t applied,
                 struct journal_found *ret);
void journal_found_fini(struct journal_found *found);
/* NULL if both files are there and are this store's, or what is wrong; static text. */
const char *journal_look(const char *path, const uint8_t id[JOURNAL_ID_BYTES]);

/* Opens for appending; all up to `applied` is in the tables, and there is nothing after it. errno. */
int journal_open(const char *path, const uint8_t id[JOURNAL_ID_BYTES], uint64_t applied,
                 journal_t **ret);
void journal_close(journal_t **p);

/* The tables have all up to that number, durably. */
void journal_applied(journal_t *j, uint64_t number);
/* May a record with that much content be appended now? If not: after the next journal_applied. */
bool journal_has_room(const journal_t *j, size_t content_bytes);
/* Bytes that were handed to the kernel since it was opened. */
uint64_t journal_written(const journal_t *j);
/* What these batches take in a record. */
size_t journal_content_bytes(const struct store_batch *batch);
/* Appends one record with all batches of the chain, and syncs it. There must be room. 0 or errno;
 * *ret_number is its number, also if it failed and must be taken for applied (0: it was not begun). */
int journal_append(journal_t *j, const struct store_batch *first, uint64_t *ret_number,
                   size_t *ret_bytes);

#endif
