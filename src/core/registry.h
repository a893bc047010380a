/* SPDX-License-Identifier: MPL-2.0 */
/* The registry: a map that every node writes at any time and that is the same everywhere in the end.
 *
 * An entry supersedes another exactly when its context covers the other's dot; what does not
 * supersede each other is kept, all of it (Almeida, Baquero et al., dotted version vectors). Clocks
 * decide nothing. Here is the map of one node: what merging, writing and deleting do to it, what it
 * claims to have seen, and what of it is on disk. How entries travel is spread.c's and repair.c's.
 *
 * On disk are the entries, an index of them by dot, and the vector (docs/protocol/files.md). Reads go
 * through the view of what is committed, under a table of what is not durable yet. Changes of a step
 * gather until registry_flush makes a batch of them.
 *
 *     vector   what this node has seen, pending batches included
 *     durable  the same of what is durable: the only one that others are told */
#ifndef HM_CORE_REGISTRY_H
#define HM_CORE_REGISTRY_H

#include "base/dot.h"
#include "core/crypto.h"
#include "core/fxlist.h"
#include "core/vector.h"
#include "core/view.h"
#include "wire/entry_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct registry registry_t;

struct registry_conf {
    struct store_view view;
    struct crypto crypto;   /* signs what is ours, verifies what is another's */
    uint64_t mesh_tag;
    struct origin self;     /* this node in this life */
    /* The public key of a member; false: not known (now). */
    bool (*key_of)(void *ctx, const struct node_id *id, uint8_t ret_key[32]);
    /* Whether that node was removed: what belongs to it is not taken any more, only claimed. */
    bool (*is_removed)(void *ctx, const struct node_id *id);
    /* The removal of that node was merged. To be remembered only: the registry is in the middle of it. */
    void (*removed)(void *ctx, const struct node_id *id);
    void *ctx;
    unsigned broken;        /* enum registry_break */
};

/* Test-only: rules that are broken, so that the simulator can show that it notices. */
enum registry_break {
    REG_BREAK_DOT_REUSED = 1 << 0,   /* a life begins where the stored counter says, without random bits */
    REG_BREAK_EARLY_ACK = 1 << 1,    /* a write is acknowledged before it is durable */
    REG_BREAK_EARLY_CLAIM = 1 << 2,  /* a pass's vector is taken over with its first chunk */
    REG_BREAK_EARLY_RELEASE = 1 << 3, /* a deletion mark goes when the writer alone has it */
    REG_BREAK_CLOCK_WINS = 1 << 4,   /* the later wall clock ends a conflict */
    REG_BREAK_EARLY_PUSH = 1 << 5,   /* a write is told to others before it is durable */
    REG_BREAK_FOLD_IS_RANGE = 1 << 6, /* a fold is taken for all lives below its counter */
};

struct registry_totals {
    uint64_t hash;    /* of the live entries: equal where the same are held */
    uint64_t entries; /* live ones, conflicting ones included */
    uint64_t marks;   /* deletion marks */
    uint64_t bytes;   /* of both, with their keys */
};

/* NULL: out of memory. */
registry_t *registry_new(const struct registry_conf *conf);
void registry_destroy(registry_t **p);

/* One record of STORE_VECTOR, at the start. HM_EMALFORMED: damaged, its claims are dropped and
 * registry_is_damaged; HM_ENOMEM. */
int registry_load(registry_t *r, struct span key, struct span value);

/* After the last record. HM_EMALFORMED: some are lacking or damaged, a rebuild has begun. */
int registry_loaded(registry_t *r);

/* The disk has lost records: all that is there is to be read again, by registry_rebuild_some, and claimed is only
 * what is held. Until registry_is_rebuilding is false, writing and merging are refused with HM_EBUSY. */
void registry_rebuild(registry_t *r);
bool registry_is_rebuilding(const registry_t *r);
/* Reads so many records. HM_ENOMEM. */
int registry_rebuild_some(registry_t *r, size_t records);

/* ---- writing ---- */

struct registry_write {
    struct span key;
    uint8_t type;       /* enum entry_type */
    bool is_deleted;
    struct span value;  /* one msgpack value; not looked at when deleted */
    uint64_t wall_ms;
};

/* An own write: supersedes all that is held of its key. It is done when the batch that the next
 * registry_flush makes is durable. ret_dot may be NULL. HM_EINVAL: the key (key_check) or
 * the value (value_check), which others could not read; HM_EDENIED: the key belongs to
 * another node, or is a removal's (key_removed) and is not one of ours, or is to be deleted; HM_EFULL: value, context or total beyond its limit; HM_ENOTFOUND: nothing to delete;
 * HM_EBUSY: too much waits for the disk; HM_ENOMEM. */
int registry_write(registry_t *r, const struct registry_write *w, struct dot *ret_dot);

enum registry_outcome {
    REGISTRY_NEW,      /* taken: pass it on */
    REGISTRY_KNOWN,    /* its dot has been seen */
    REGISTRY_OBSOLETE, /* not seen, but superseded by what is held, or of a removed node: the dot is claimed */
};

/* An entry of another node, or of an earlier life. HM_EMALFORMED; HM_EDENIED: its key belongs to a node that has
 * not signed it, it is a removal that is not signed by its writer, or it names a write of this very life that
 * this node has not made; HM_ENOTFOUND: the key's node is not known yet; HM_EBUSY: too much waits for the
 * disk; HM_ENOMEM. Nothing of these is claimed. */
int registry_merge(registry_t *r, struct span bytes, enum registry_outcome *ret_outcome);
/* The entry that registry_merge took last: it points into those bytes. */
const struct entry *registry_merged(const registry_t *r);

/* Takes over what another node claims, after a whole pass; but not what it claims of writes of this very life
 * that this node has not made. HM_EBUSY, HM_ENOMEM. */
int registry_claim(registry_t *r, const struct vector *theirs);

/* Where the committed entry with this dot is. False: none is held. Lives until the end of the step. */
bool registry_record_of(registry_t *r, const struct dot *dot, struct span *ret_record_key);
/* The entry with this dot, as clients may see it. False: none is held. */
bool registry_entry_of(registry_t *r, const struct dot *dot, struct span *ret_bytes);
/* What a record counts in the hash of a range: of its key, which names its dot. */
uint64_t registry_record_hash(const registry_t *r, struct span record_key);

/* Drops an entry without a mark: a released deletion mark, or what a range comparison showed to be
 * gone. Its dot stays claimed. HM_ENOTFOUND, HM_EBUSY, HM_ENOMEM. */
int registry_drop(registry_t *r, struct span record_key);

/* The first committed deletion mark with a dot at or above this one (above it, if not inclusive). False: there
 * is none. Spans live until the end of the step. */
bool registry_next_mark(registry_t *r, const struct dot *from, bool inclusive,
                        struct span *ret_record_key, struct entry *ret_entry);
/* Drops a deletion mark that everybody has (registry_set_stable); it is remembered that something up to its dot was
 * let go. */
int registry_release(registry_t *r, struct span record_key, const struct entry *mark);
/* The marks that were released, and of what all had seen then as much as makes it few runs: who lacks some of it
 * may hold what a mark that is gone here had deleted. */
const struct vector *registry_released(const registry_t *r);

/* ---- the disk ---- */

/* True if something waits to be flushed. */
bool registry_is_dirty(const registry_t *r);
/* Whether that should go now: there is an own write among it, or much. Other nodes' entries count here before they are
 * durable, and would come again: nobody waits for their way to the disk, so they may gather for a moment. */
bool registry_is_urgent(const registry_t *r);
/* Somebody does wait for what gathers. */
void registry_hurry(registry_t *r);
/* Makes what waits part of this batch: how many records, and with items not NULL the records; spans live as
 * long as the step. Call first to count, then to fill; the second one ends the gathering. HM_ENOMEM. */
size_t registry_flush_count(const registry_t *r);
int registry_flush(registry_t *r, uint64_t batch, struct fxlist *fx, struct store_entry *items);
/* Batches up to this one are durable. */
int registry_durable(registry_t *r, uint64_t batch);
/* What is not durable is discarded. Dots are not used again. HM_ENOMEM. */
int registry_failed(registry_t *r);

/* A write that was staged just now is part of this round; rounds become durable in order. */
uint64_t registry_round(const registry_t *r);
enum registry_fate { REGISTRY_WAITS, REGISTRY_DURABLE, REGISTRY_FAILED };
/* Of the last rounds that failed only those of one failure are told apart. */
enum registry_fate registry_fate(const registry_t *r, uint64_t round);

/* Own entries that have become durable, oldest first: to be told to others. False: no more. The
 * bytes live until the next call. */
bool registry_take_durable(registry_t *r, struct span *ret_bytes);

/* ---- reading ---- */

enum registry_look {
    LOOK_ALL,      /* all that was written and merged */
    LOOK_SHOWN,    /* without own writes that are not durable yet: what clients may see */
    LOOK_COMMITTED /* on disk */
};

/* The first record at or above a record key (above it, if not inclusive; data NULL: the first of all).
 * Spans live until the next change or the end of the step. */
bool registry_next(registry_t *r, enum registry_look look, struct span from, bool inclusive,
                   struct span *ret_record_key, struct entry *ret_entry);
/* The same, while record keys begin with prefix: what is behind them is not looked into. */
bool registry_next_within(registry_t *r, enum registry_look look, struct span prefix,
                          struct span from, bool inclusive, struct span *ret_record_key,
                          struct entry *ret_entry);
/* Where the entries of a key, or of the keys with a prefix, begin. to has ENTRY_RECORD_BYTES_MAX
 * bytes; returns how many were used. */
#define ENTRY_RECORD_BYTES_MAX 511
#define ENTRY_RECORD_PLAIN_BYTES_MAX 496 /* up to here a key is its records' beginning as it is */
size_t registry_record_prefix(const registry_t *r, struct span key, uint8_t *to);

/* This node in this life: the origin of its own entries. */
const struct origin *registry_self(const registry_t *r);
/* The hash that records are kept under: collision-resistant up to its 64 bits, the same in every life. */
uint64_t registry_hash(const registry_t *r, struct span bytes);

/* What is held of one key, the shown one first. The array is the registry's until the next call. */
struct registry_siblings {
    const struct entry *items;
    size_t count;
    size_t live; /* of these, not deletion marks: they come first */
    struct span behind; /* the key of the record that comes next, of whatever key it is; data NULL: they are the last */
};
/* HM_ENOTFOUND: nothing, not even a mark; HM_ENOMEM. */
int registry_get(registry_t *r, enum registry_look look, struct span key,
                 struct registry_siblings *ret_siblings);
/* The order in which siblings are shown: put before delete, then the higher (Lamport version, dot). */
int registry_shown_cmp(const struct entry *a, const struct entry *b);

/* A committed entry with a dot of this origin at or above seq. False: none. */
bool registry_next_dot(registry_t *r, const struct origin *origin, uint64_t seq,
                       struct dot *ret_dot, struct span *ret_bytes);

const struct vector *registry_vector(const registry_t *r);
const struct vector *registry_durable_vector(const registry_t *r);
const struct registry_totals *registry_totals(const registry_t *r);
/* The hash of the totals, of what is durable. */
uint64_t registry_durable_hash(const registry_t *r);
/* Of what is durable: equal on nodes that have seen and hold the same. Never 0. */
uint64_t registry_state(const registry_t *r);
bool registry_is_damaged(const registry_t *r);
/* False until the first full agreement with another node: what is missing here may exist. Kept on disk. */
bool registry_is_synced(const registry_t *r);
int registry_set_synced(registry_t *r);
/* What every member on the roster is known to have durably: contexts need not name what that superseded. HM_ENOMEM. */
int registry_set_stable(registry_t *r, const struct vector *stable);
/* Entries of this life of ours, or merged in it, with more than HM_CONTEXT_LONG lives in their context, until all
 * of them are stable: once that is known, the next writes of these keys can be short. */
const struct vector *registry_crowded(const registry_t *r);
size_t registry_pending_bytes(const registry_t *r);

/* ---- changes ---- */

/* What is shown of a key has changed. */
struct registry_change {
    uint64_t number; /* rises by one; begins anew with each life */
    struct span bytes; /* the entry that is shown now, perhaps a deletion mark */
};

/* The oldest kept change with a number above `after`. False: none. ret_gap: some above it are not
 * kept any more. The change is borrowed until the next one. */
bool registry_change_after(const registry_t *r, uint64_t after, struct registry_change *ret_change,
                           bool *ret_gap);
uint64_t registry_change_last(const registry_t *r);

#endif
