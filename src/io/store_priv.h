/* SPDX-License-Identifier: MPL-2.0 */
/* What the two sides of the store share: the loop's (store.c) and the actor's (store_actor.c). They share
 * no object while the actor runs, but messages over its pipe: batches and wishes go in, reports come
 * back. */
#ifndef HM_IO_STORE_PRIV_H
#define HM_IO_STORE_PRIV_H

#include "io/store.h"
#include "io/store_db.h"

#include <czmq.h>

/* Wishes: messages of one byte; a batch is a message of a pointer. */
enum store_wish {
    WISH_MEASURE = 'M', /* try the disk */
    WISH_CHECK = 'K',   /* look at every record */
    WISH_COMPACT = 'C',
    WISH_RELEASE = 'R', /* the loop no longer reads the environment that was replaced */
};

enum store_report_kind {
    REPORT_BATCHES, /* settled */
    REPORT_MEASURE,
    REPORT_WORK,     /* as far as it is; the last one says so */
    REPORT_REPLACED, /* db is the store from now on: answered by WISH_RELEASE */
};

struct store_actor_report {
    enum store_report_kind kind;
    uint64_t batch;
    int reason;
    size_t batches;  /* how many this settles */
    size_t bytes;    /* and how many bytes they had */
    bool is_covered; /* by a failure told before: nothing but the count is news */
    struct store_measure measure;
    struct store_work *work;    /* the loop's to free; NULL: out of memory */
    const struct store_db *db;  /* borrowed while the actor lives */
    struct store_counts counts; /* all so far */
    char text[128];
};

/* What the thread works with; owned by it while it lives, before and after that by the loop's. */
struct store_actor;
/* Takes the open db. With compacts, it compacts it once when the start is over. NULL: out of memory. */
struct store_actor *store_actor_new(struct store_db *db, bool compacts);
/* Closes what it has open. */
void store_actor_free(struct store_actor **p);
/* The function of the zactor; args is a struct store_actor. */
void store_actor_run(zsock_t *pipe, void *args);

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
