/* SPDX-License-Identifier: MPL-2.0 */
/* Bodies of the registry's link frames. Each is a msgpack array with room for trailing fields.
 *
 *     REG_PUSH     [entries]                                       new to the sender's neighbours
 *     REG_ASK      [pass, kind, vector (bin), hash]                the asker's durable vector; of its entries
 *     REG_MORE     [pass, chunk]                                   the chunk that is wanted next
 *     REG_CHUNK    [pass, chunk, entries, is_last, vector (bin), is_synced, is_part]  the vector only if last, else nil
 *     REG_REFUSED  [pass, code, folds (bin)]                       the folds only with code 5
 *     REG_RANGES   [number, ranges]
 *     REG_DOTS     [number, from (bin), to (bin or nil), dots]     all that is held there
 *     REG_IHAVE    [dots]                                          Plumtree's three
 *     REG_GRAFT    [dots]
 *     REG_PRUNE    []
 *
 *     entries      array of bin: whole entries (entry_msg.h)
 *     ranges       array of [from (bin), to (bin or nil), count, hash, …]   at most REG_RANGES_MAX, rising
 *     dots         bin: 40 bytes each (dot.h)                               at most REG_DOTS_MAX
 *
 * A range is of record keys: from is in it, to is not, nil is the end of all. Pass and range numbers
 * are the asker's. Of ranges and dots a question has an even number, its answer the next one: of ranges
 * those that differ, of dots those that are gone.
 *
 * Reading borrows, never allocates, and checks all but what is inside of entries and vectors: walking
 * what was read cannot fail. Lists are written piece by piece into a buffer of the caller's. */
#ifndef HM_WIRE_REGISTRY_MSG_H
#define HM_WIRE_REGISTRY_MSG_H

#include "base/buf.h"
#include "base/dot.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REG_RANGES_MAX 64
#define REG_DOTS_MAX 1024
#define REG_KEY_BYTES_MAX 511 /* of a record: what LMDB takes */

/* Encoded entries, one after another. */
struct reg_entries {
    struct span bytes;
    size_t count;
};

/* Appends to what will be reg_entries.bytes; the caller counts. */
void reg_entry_append(struct buf *entries, struct span entry);
/* Takes the next one off `rest`, which begins as reg_entries.bytes. False behind the last. */
bool reg_entry_next(struct span *rest, struct span *ret_entry);

/* HM_EMALFORMED for each of the readers: not as above, a count, key or sequence beyond its limit, an
 * entry that is empty or beyond HM_ENTRY_BYTES_MAX. */
void reg_push_write(struct buf *b, const struct reg_entries *entries);
int reg_push_read(struct span bytes, struct reg_entries *ret_entries);

enum reg_pass_kind {
    REG_PASS_VECTOR = 1,   /* what the asker's vector lacks */
    REG_PASS_COMPARED = 2, /* the same; the asker has compared ranges before */
};

struct reg_ask {
    uint64_t pass;
    uint8_t kind;       /* enum reg_pass_kind, or of a newer version; never 0 */
    struct span vector; /* vector.h's bytes, not looked at here */
    uint64_t hash;      /* of the asker's live entries */
};

void reg_ask_write(struct buf *b, const struct reg_ask *msg);
int reg_ask_read(struct span bytes, struct reg_ask *ret_msg);

struct reg_more {
    uint64_t pass;
    uint64_t chunk;
};

void reg_more_write(struct buf *b, const struct reg_more *msg);
int reg_more_read(struct span bytes, struct reg_more *ret_msg);

struct reg_chunk {
    uint64_t pass;
    uint64_t chunk;
    struct reg_entries entries;
    bool is_last;
    struct span vector; /* what may be claimed after the pass; data NULL unless is_last */
    bool is_synced;     /* the sender has agreed with the mesh before */
    bool is_part;       /* not all that may be claimed did fit: ask again */
};

void reg_chunk_write(struct buf *b, const struct reg_chunk *msg);
int reg_chunk_read(struct span bytes, struct reg_chunk *ret_msg);

enum reg_refusal {
    REG_REFUSED_BUSY = 1,    /* other passes run: ask later */
    REG_REFUSED_UNKNOWN = 2, /* no such pass (any more): begin a new one */
    REG_REFUSED_KIND = 3,    /* a kind of pass not known here */
    REG_REFUSED_STALE = 4,   /* the asker may hold what was deleted: compare ranges first */
    REG_REFUSED_FOLDS = 5,   /* the asker's vector folds lives that are not known here: tell them */
};

struct reg_refused {
    uint64_t pass;
    uint8_t code; /* enum reg_refusal, or of a newer version: then as busy; never 0 */
    struct span folds; /* those that could be named (core/fold.h), not looked at here; data NULL: none */
};

void reg_refused_write(struct buf *b, const struct reg_refused *msg);
int reg_refused_read(struct span bytes, struct reg_refused *ret_msg);

struct reg_range {
    struct span from;  /* may be empty: from the beginning */
    struct span to;    /* above from; data NULL: to the end */
    uint64_t count;    /* records in it */
    uint64_t hash;     /* over them */
};

struct reg_ranges {
    uint64_t number;
    struct span bytes; /* encoded ranges, one after another */
    size_t count;
};

/* Ranges must not overlap and rise. The caller counts. */
void reg_range_append(struct buf *ranges, const struct reg_range *range);
bool reg_range_next(struct span *rest, struct reg_range *ret_range);
void reg_ranges_write(struct buf *b, const struct reg_ranges *msg);
int reg_ranges_read(struct span bytes, struct reg_ranges *ret_msg);

/* Dots as DOT_BYTES each, in any order. */
void reg_dot_append(struct buf *dots, const struct dot *dot);
bool reg_dot_next(struct span *rest, struct dot *ret_dot);

struct reg_dots {
    uint64_t number;
    struct span from, to; /* as in a range */
    struct span dots;
};

void reg_dots_write(struct buf *b, const struct reg_dots *msg);
int reg_dots_read(struct span bytes, struct reg_dots *ret_msg);

/* REG_IHAVE and REG_GRAFT. */
void reg_dot_list_write(struct buf *b, struct span dots);
int reg_dot_list_read(struct span bytes, struct span *ret_dots);

void reg_prune_write(struct buf *b);
int reg_prune_read(struct span bytes);

#endif
