/* SPDX-License-Identifier: MPL-2.0 */
/* Records of the store's journal as bytes: made, found again, taken apart. Pure: no file, no clock; any
 * bytes give a record or none. docs/protocol/files.md has the layout.
 *
 * A record begins at a block and fills whole blocks, so that the disk never writes again what was
 * acknowledged. Its hash covers the store's id and the record's number: neither a torn record, nor
 * one of an earlier round, nor one of another store is taken for one that counts. */
#ifndef HM_IO_JOURNAL_RECORD_H
#define HM_IO_JOURNAL_RECORD_H

#include "base/span.h"
#include "core/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_BLOCK_BYTES ((size_t) 4096)
#define JOURNAL_ID_BYTES 16
#define JOURNAL_CHECK_BYTES 16
#define JOURNAL_HEAD_BYTES 56 /* of a record: magic, id, number, size, check */

struct journal_record {
    uint64_t number;
    struct span content; /* borrowed from the file's bytes */
    size_t bytes;        /* on the disk, in whole blocks */
};

/* What an entry takes in a record. */
size_t journal_entry_bytes(const struct store_entry *e);
/* What a record with that much content takes on the disk. */
size_t journal_record_bytes(size_t content_bytes);

/* Writes an entry and returns where the next one goes. */
uint8_t *journal_put_entry(uint8_t *to, const struct store_entry *e);
/* Completes a record whose content lies behind its head: the head, and zeros up to the end of its last block. */
void journal_seal(uint8_t *record, const uint8_t id[JOURNAL_ID_BYTES], uint64_t number,
                  size_t content_bytes);

/* The first record of that store at or behind block *at, which is moved behind it. False: none. */
bool journal_next_record(struct span file, const uint8_t id[JOURNAL_ID_BYTES], size_t *at,
                         struct journal_record *ret);
/* Takes the first entry off a record's content. False: none is left, or (content is not empty) it is none. */
bool journal_next_entry(struct span *content, struct store_entry *ret);

/* The first block of a file tells that it is this store's. */
void journal_file_head(uint8_t block[JOURNAL_BLOCK_BYTES], const uint8_t id[JOURNAL_ID_BYTES],
                       unsigned number);
bool journal_file_head_is_sound(struct span file, const uint8_t id[JOURNAL_ID_BYTES],
                                unsigned number);

#endif
