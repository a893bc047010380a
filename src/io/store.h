/* SPDX-License-Identifier: MPL-2.0 */
/* The store: LMDB in D/store, and a journal before it.
 *
 * The loop hands over batches and never waits for a disk. A thread (the appender) takes all batches that wait,
 * appends them to the journal as one synced record (at once when idle, together under load)
 * and reports durable(n): all up to n are on disk. Another one (the actor) puts them into LMDB's tables, many at a
 * time: a checkpoint. Until then the store's view has them from memory. When an append fails the store reports failed(n, reason): n and all handed over since are
 * discarded; what is handed over after the report was taken is tried again. Reports come in order.
 * Each value carries a hash over table, key and value, so a damaged record is dropped and counted,
 * never believed.
 *
 * A damaged file may crash inside liblmdb, so store_check looks at it in a child process first, and
 * moves it aside when it is bad. */
#ifndef HM_IO_STORE_H
#define HM_IO_STORE_H

#include "core/event.h"
#include "core/view.h"
#include "io/why.h"
#include "ops/ops_store_facts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct store store_t;

#define STORE_BATCHES_MAX 1024  /* handed over and not reported; then batches are refused */
#define STORE_BYTES_MAX 67108864 /* of these; as much memory as a slow disk may cost */
#define STORE_KEY_BYTES_MAX 511 /* LMDB's */
#define STORE_FORMAT 2          /* of tables and journal; in table "meta" */

enum store_check {
    STORE_SOUND,   /* there and readable, or not there yet */
    STORE_MOVED,   /* it was damaged: moved aside, a new one begins empty; why tells the log */
    STORE_REFUSED, /* cannot be used: no permission, full disk, NFS, newer format; why says */
};

/* Is told each second that the check is not done yet: all of the file is read, and a disk may be slow. */
struct store_check_watch {
    void (*goes_on)(void *ctx, unsigned seconds);
    void *ctx;
};

/* Checks data_dir/store in a child process. Call before any thread or ZeroMQ context exists (it
 * forks), with the lock on data_dir held. watch: NULL: nobody wants to know. */
enum store_check store_check(const char *data_dir, const struct store_check_watch *watch,
                             struct why *why);

/* True if a store was begun in data_dir, whatever became of it. */
bool store_is_there(const char *data_dir);

/* Opens data_dir/store (made if absent) and starts the actor. On failure HM_EIO, HM_EDENIED,
 * HM_EFULL (disk), HM_EVERSION or HM_ENOMEM. */
int store_open(const char *data_dir, store_t **ret_store, struct why *why);
/* All that was handed over is made durable and put into the tables, then it closes. */
void store_close(store_t **p);

/* What the core has at hand from its start, for EV_LOADED (tables up to STORE_VECTOR; the others are
 * read through the view): in order of table and key, borrowed until store_load_done or
 * store_close. ret_dropped: damaged records left out. HM_EIO, HM_ENOMEM. Call before store_persist.
 */
int store_load(store_t *store, const struct store_entry **ret_entries, size_t *ret_count,
               size_t *ret_dropped);
void store_load_done(store_t *store);

/* Hands over one batch (FX_PERSIST); entries are copied. batch rises with each call. What cannot be
 * taken (HM_EFULL: STORE_BATCHES_MAX or STORE_BYTES_MAX are outstanding; HM_ENOMEM; HM_EINVAL: a key of no or too many
 * bytes, no such table) is reported by store_take like any failed batch: on an error call it soon,
 * since the descriptor may stay still. */
int store_persist(store_t *store, uint64_t batch, const struct store_entry *entries, size_t count);

/* What is committed, for core_conf; lives as long as the store. The loop's thread only. */
struct store_view store_view(store_t *store);
/* After each step of the core: spans read through the view are no longer valid. */
void store_view_done(store_t *store);
/* Damaged records met so far, each counted once: at the start, through the view and by a check. */
uint64_t store_damaged(const store_t *store);
/* What the last step read through the view was not all there is: nothing that it decided may be carried
 * out. Says why; NULL: all is well. */
const char *store_view_error(const store_t *store);

/* What the start found damaged in the journal, for the log: writes that were acknowledged may be gone, and
 * store_damaged counts it. NULL: nothing. */
const char *store_lost(const store_t *store);

/* The descriptor to poll for reading. Then take until there is nothing. */
int store_fd(const store_t *store);

struct store_report {
    uint64_t batch;
    int reason;     /* HM_OK: durable up to batch; HM_E*: batch and all after it failed */
    char text[128]; /* for the log when it failed: "No space left on device" */
};

/* Takes the next report. HM_ENOTFOUND: nothing more now. */
int store_take(store_t *store, struct store_report *ret_report);

/* How long the disk takes: the actor writes a small file beside the store, syncs it and removes it.
 * Asked while one is under way: nothing. */
void store_measure(store_t *store);

struct store_measure {
    uint64_t sync_ns;
    int error; /* errno; 0: it was written and synced */
};

/* Takes what was measured since. HM_ENOTFOUND: nothing new. It comes on
 * the store's descriptor and is set aside by store_take. */
int store_take_measure(store_t *store, struct store_measure *ret_measure);

/* Since when a measurement has been under way (boot clock); 0: none is. */
uint64_t store_measuring_since(const store_t *store);

/* From now on batches wait for store_hand_over: those of one turn of the loop are one write then, and one sync. The disk has
 * twice as many in each, and wakes the loop half as often, as when it takes the first one at once. */
void store_gather(store_t *store);
void store_hand_over(store_t *store);

/* Batches handed over and not yet reported. */
size_t store_outstanding(const store_t *store);

/* ---- keeping it ---- */

/* Called now and then: when nothing has been written for 5 s, has the tables take what is much in the journal, and lets
 * go of mapped pages (store_rest.h). */
void store_rest(store_t *store, uint64_t now_ns);

/* Puts what the journal has into the tables soon; by itself it is done within a minute. */
void store_checkpoint(store_t *store);

/* Reads a few pages. The loop's thread. */
void store_condition(store_t *store, struct store_condition *ret);
/* The counters alone. */
struct store_counts store_counts(const store_t *store);
uint64_t store_today_bytes(const store_t *store);
bool store_is_full(const store_t *store);

/* Begins to check or to compact; store_condition tells how it goes. HM_EBUSY: one is under way, and
 * *ret_number is its number. */
int store_work(store_t *store, enum store_work_kind kind, uint64_t *ret_number);
/* A work has ended since the last call: for the log. NULL: none has. */
const struct store_work *store_take_work(store_t *store);

#endif
