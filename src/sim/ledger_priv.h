/* SPDX-License-Identifier: MPL-2.0 */
/* The ledger's insides, shared by ledger.c (what was written), ledger_disk.c (what disks hold) and ledger_told.c
 * (what others and clients are told). */
#ifndef HM_SIM_LEDGER_PRIV_H
#define HM_SIM_LEDGER_PRIV_H

#include "sim/ledger.h"

#define LEDGER_NONE UINT32_MAX

/* Numbers by 64-bit keys that are hashes already. */
struct index {
    uint64_t *keys; /* 0: free */
    uint32_t *values;
    size_t count, mask;
};

enum was_on {
    ON_DISK = 1,  /* the disk that is there now has, or had it */
    ON_BEFORE = 2, /* this one, or one before it */
};

/* An entry that some node made. */
struct ledger_entry {
    struct dot dot;
    uint32_t key;          /* index */
    uint64_t hash;         /* of its bytes */
    struct dot *context;   /* owned */
    size_t context_count;
    bool is_deleted;
    bool is_acked;         /* a client was told */
    bool is_dead;          /* its deletion was on every disk */
    bool is_gone;          /* its deletion was let go: nothing is left of it */
    uint8_t *was_on;       /* by node: enum was_on bits */
    uint32_t next_of_key;  /* LEDGER_NONE: the last */
    uint32_t mark;         /* equal to the ledger's: held or superseded, in the look of now */
};

struct ledger_key {
    uint32_t first; /* of its entries */
    size_t size;
    uint8_t *bytes; /* owned */
};

enum write_state { WRITE_ASKED, WRITE_TAKEN, WRITE_ACKED, WRITE_REFUSED };

struct ledger_write {
    enum write_state state;
    struct dot dot;
};

/* Of one node. */
struct ledger_node {
    uint32_t commits;     /* since its disk was last looked at */
    bool has_pass;        /* it asked another for what it lacks, */
    struct node_id pass_of;
    unsigned chunks;      /* and got so much of it */
    uint8_t *backup;      /* by entry: was_on when the backup was made */
    size_t backup_count;
};

struct ledger {
    struct world *w;
    struct ledger_entry *entries;
    size_t entry_count, entry_room;
    struct index by_origin; /* its newest entry */
    struct index by_dot; /* hash of the dot's bytes, as it stands in record keys */
    struct ledger_key *keys;
    size_t key_count, key_room;
    struct index by_key;
    struct ledger_write *writes;
    size_t write_count, write_room;
    struct ledger_node *nodes;
    uint32_t mark;
    uint32_t *queue; /* scratch: entries whose context is still to be looked at */
    uint64_t shown;
};

/* LEDGER_NONE: nobody made it. */
uint32_t ledger_newest(const struct ledger *l, const struct origin *origin);
uint32_t ledger_find(const struct ledger *l, const struct dot *dot);
/* By the end of a record key of STORE_ENTRIES. */
uint32_t ledger_find_record(const struct ledger *l, struct span record_key);
bool ledger_covers(const struct ledger_entry *e, const struct dot *dot);

/* ledger_disk.c */
/* Marks all that this disk holds, and all that is superseded by it. False: it holds what nobody made. */
bool ledger_mark(struct ledger *l, struct sim_node *n);
/* Marks this entry, and all that is superseded by it. */
void ledger_mark_one(struct ledger *l, uint32_t idx);
/* Whether the vector on its disk has this dot. */
bool ledger_claims(struct ledger *l, struct sim_node *n, const struct dot *dot);
/* Judges what the disk claims. */
void ledger_look(struct ledger *l, struct sim_node *n);

#endif
