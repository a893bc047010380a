/* SPDX-License-Identifier: MPL-2.0 */
/* The registry's insides, shared by its files: registry.c (its life and the disk), registry_read.c,
 * registry_write.c (merging and writing), registry_log.c (changes). Nobody else includes this. */
#ifndef HM_CORE_REGISTRY_PRIV_H
#define HM_CORE_REGISTRY_PRIV_H

#include "base/buf.h"
#include "base/omap.h"
#include "core/registry.h"

/* In STORE_VECTOR, beside the origins: shorter and longer than one. */
#define REGISTRY_META_KEY "meta"
#define RELEASED_PREFIX 'r'

/* One change of what is shown, kept for watchers. */
struct change {
    uint64_t number; /* 0: free */
    uint8_t *bytes;
    size_t size;
};

/* What one batch does beyond its records: taken over when it is durable. */
struct pending_batch {
    struct pending_batch *next;
    uint64_t round;          /* ours */
    uint64_t number;         /* of the FX_PERSIST; 0: still gathering */
    struct buf keys;         /* of its records in `pending`, each after 2 bytes of length */
    size_t key_count;
    struct vector added;     /* dots that it claims */
    struct registry_totals totals; /* after it */
    struct buf own;          /* STORE_ENTRIES keys of own writes, likewise */
    size_t bytes;            /* about what it takes */
    uint64_t others;         /* the registry's, when it began */
    bool is_meta;            /* the totals' record is to be written */
    bool is_awaited;         /* somebody waits until it is durable */
    bool is_rebuilt;         /* `added` is all that is claimed from now on */
};

/* A list of siblings with their record keys. */
struct sibling_list {
    struct entry *items;
    struct span *record_keys;
    size_t count, room;
    struct span behind; /* the record key that comes next; data NULL: there is none */
};

/* Reading all again after damage. */
struct rebuild {
    bool is_on;
    struct buf at;         /* record key: those up to it are counted; empty: none is */
    struct vector seen;
    struct registry_totals totals;
};

struct registry {
    struct registry_conf conf;
    uint64_t seq;             /* of the last own dot */
    struct vector vector, durable;
    struct registry_totals totals, durable_totals;
    /* Not durable: (table, key) to value, data NULL where it is to be removed. The tag is the round,
     * times two, plus one if an own write did it. */
    omap_t *pending;
    uint64_t round;           /* of what gathers now, or will */
    uint64_t durable_round, failed_from, failed_to;
    struct pending_batch *first, *last; /* flushed, in order */
    struct pending_batch *gathering;    /* NULL: nothing */
    struct buf told;          /* records keys of own entries that are durable, not taken yet */
    size_t told_at;
    bool is_damaged, is_synced;
    bool has_meta;            /* the disk knew the totals */
    struct rebuild rebuild;
    struct vector stable, released;
    struct vector crowded;    /* entries with long contexts, not known to be stable */
    uint64_t seen_hash;       /* sum over the lives in `durable` */
    uint64_t others;          /* records that were put or removed by other than own writes, so far */
    struct entry merged;      /* the last one that registry_merge could read */
    struct sibling_list all;  /* scratch of merging and writing */
    struct sibling_list found; /* scratch of registry_get */
    struct buf key_bytes;     /* scratch */
    struct buf body, entry, context; /* scratch of a write */
    struct change *changes;   /* a ring of HM_CHANGES_MAX */
    uint64_t change_first, change_last; /* kept; first is last + 1 when there are none */
    size_t change_bytes;
};

/* registry_read.c */
#define RECORD_HASH_BYTES 8
/* Where an entry is stored. Returns the size. */
size_t registry_record_key(const registry_t *r, struct span key, const struct dot *dot,
                           uint8_t to[ENTRY_RECORD_BYTES_MAX]);
/* A record through the table of what is pending. False: not there. */
bool registry_read(registry_t *r, enum registry_look look, enum store_table table,
                   struct span key, struct span *ret_value);
/* All that is held of a key, in order of their records. HM_ENOMEM. */
int registry_find(registry_t *r, enum registry_look look, struct span key,
                  struct sibling_list *list);
void sibling_list_fini(struct sibling_list *list);

/* The first record of a table at or above a key, as registry_next. */
bool registry_next_record(registry_t *r, enum registry_look look, enum store_table table,
                          struct span from, bool inclusive, struct span *ret_key,
                          struct span *ret_value);

/* registry.c: what goes into the next batch. HM_ENOMEM. */
int registry_stage(registry_t *r, enum store_table table, struct span key, struct span value,
                   bool is_own);
struct pending_batch *registry_gathering(registry_t *r); /* NULL: no memory */
int registry_see(registry_t *r, const struct dot *dot);

/* registry_log.c */
int registry_changed(registry_t *r, struct span entry_bytes);
void registry_log_fini(registry_t *r);

#endif
