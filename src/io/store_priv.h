/* SPDX-License-Identifier: MPL-2.0 */
/* What the three threads of the store share: the loop's side (store.c, store_flow.c), the appender, which
 * writes the journal, and the actor, which writes the tables. They share no object while they run, but hand over
 * messages:
 *
 *   loop -- batch --> appender -- durable, or failed --> loop -- durable ones --> actor -- applied --> loop
 *                        ^-------------------- applied, or it fails -----------------------------------'
 *
 * A batch is one block of memory that goes along. Each thread has a channel from the loop; both tell it through one. */
#ifndef HM_IO_STORE_PRIV_H
#define HM_IO_STORE_PRIV_H

#include "io/channel.h"
#include "io/journal.h"
#include "io/store.h"
#include "io/store_db.h"

enum store_wish {
    /* of the appender */
    WISH_APPEND = 'A', /* batches, one or several */
    WISH_APPLIED,      /* the tables have all up to `record` */
    WISH_FAILING,      /* they cannot be written (code): fail what waits */
    WISH_STOP,         /* settle what waits, and end */
    /* of the actor */
    WISH_APPLY,      /* batches */
    WISH_BURN,       /* `record` failed: it counts as applied, so that no start looks at it */
    WISH_CHECKPOINT, /* now */
    WISH_MEASURE,    /* try the disk */
    WISH_CHECK,      /* look at every record */
    WISH_COMPACT,
    WISH_RELEASE, /* the loop no longer reads the environment that was replaced */
    WISH_END,     /* apply all, and end */
};

struct store_order {
    enum store_wish wish;
    int code; /* LMDB's or errno's */
    struct store_batch *batches;
    uint64_t record;
};

enum store_report_kind {
    /* of the appender */
    REPORT_BATCHES, /* settled */
    REPORT_WAITS,   /* the journal is full */
    /* of the actor */
    REPORT_APPLIED,
    REPORT_FAILING, /* what waits cannot be applied (code, text); it goes on trying */
    REPORT_MEASURE,
    REPORT_WORK,     /* as far as it is; the last one says so */
    REPORT_REPLACED, /* db is the store from now on: answered by WISH_RELEASE */
};

struct store_actor_report {
    enum store_report_kind kind;
    uint64_t batch;
    int reason;
    int code;                    /* LMDB's or errno's */
    size_t settled;              /* how many batches this settles */
    size_t bytes;                /* and how many bytes they had */
    bool is_covered;             /* by a failure told before: nothing but the count is news */
    struct store_batch *batches; /* settled or applied: the loop's now */
    uint64_t record;             /* applied up to here; or it failed and is to be burnt (0: none) */
    struct store_measure measure;
    struct store_work *work;    /* the loop's to free; NULL: out of memory */
    const struct store_db *db;  /* borrowed while the actor lives */
    struct store_counts counts; /* that thread's, all so far */
    char text[128];
};

/* store_appender.c. Owned by its thread while that lives, before and after that by the loop's. */
struct store_appender;
/* Takes the journal; the channels are borrowed. NULL: out of memory. */
struct store_appender *store_appender_new(journal_t *journal, channel_t *orders, channel_t *reports);
void store_appender_free(struct store_appender **p);
/* The thread's function; arg is a struct store_appender. */
void *store_appender_run(void *arg);

/* store_actor.c, likewise. */
struct store_actor;
/* Takes the open db. With compacts, it compacts it once when the start is over. NULL: out of memory. */
struct store_actor *store_actor_new(struct store_db *db, bool compacts, channel_t *orders, channel_t *reports);
/* Closes what it has open. */
void store_actor_free(struct store_actor **p);
void *store_actor_run(void *arg);

/* store_replay.c: puts into the tables what the journal has after db->applied. As store_open. */
struct store_replayed {
    size_t records;
    bool is_damaged;      /* something that was acknowledged may be missing */
    size_t dropped;       /* records behind a gap */
    size_t dropped_bytes; /* of these */
};
int store_replay(struct store_db *db, struct store_replayed *ret, struct why *why);

/* store_compact.c: copies what is in use to a file of its own, and puts that in the place of the store's.
 * Nothing was changed if it fails, but with HM_ESTALE: then nobody can tell which of both files a
 * power cut would leave, and db must not be written any more. text says why. */
int store_compact(struct store_db *db, struct store_db **ret_new, uint64_t *ret_written, char *text,
                  size_t text_max);
/* Opens the store anew beside the environment that failed. */
int store_reopen(const struct store_db *db, struct store_db **ret_new);
/* Takes away what a compaction left that was cut short. */
void store_compact_sweep(const char *path);

/* store_scan.c: a walk over all records, in turns, each of them a short read transaction. */
struct store_scan {
    struct store_work *work; /* counts records and lists the damaged ones */
    bool is_begun;
    unsigned table;
    uint8_t key[STORE_KEY_BYTES_MAX];
    size_t key_size;
};
/* One turn. True: that was the last. */
bool store_scan_turn(struct store_scan *scan, const struct store_db *db);

#endif
