/* SPDX-License-Identifier: MPL-2.0 */
/* The store as the loop sees it: batches in, reports out, and what was stored before. See store.h.
 *
 * The loop and the actor share no object: a batch is one block of memory that is handed over
 * through the actor's pipe, a report is a small message back. The pipe never blocks, because fewer
 * batches are outstanding than it holds.
 *
 * Failures keep the order of reports. When the actor fails, it discards every batch of the same
 * generation; the generation rises when the loop has taken that report. What the loop itself
 * refuses (refused_from) is reported after everything that is still outstanding. */
#define _GNU_SOURCE
#include "io/store.h"

#include "base/err.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/store_db.h"
#include "io/store_view.h"

#include <czmq.h>
#include <stdlib.h>
#include <string.h>

static const char measure_word = 'M'; /* a message of one byte: try the disk */

#define ACTOR_GROUP_MAX 64 /* batches in one transaction: bounds what one failure discards */

struct store {
    struct store_db db; /* the actor's, from zactor_new to zactor_destroy */
    zactor_t *actor;
    struct store_view_lmdb view;
    struct store_loaded loaded;
    size_t dropped; /* damaged records that were left out at the start */
    size_t outstanding;
    uint64_t generation;
    bool is_refusing; /* refused_from and all after it are to be reported as failed */
    uint64_t refused_from;
    int refused_reason;
    uint64_t measuring_since_ns; /* 0: not */
    bool is_measured; /* and not taken */
    struct store_measure measure;
};

/* What the actor tells the loop. */
struct report {
    uint64_t batch;
    int reason;
    size_t batches;  /* how many this settles */
    bool is_covered; /* by a failure told before: nothing but the count is news */
    bool is_measure; /* of the disk, no batch */
    struct store_measure measure;
    char text[128];
};

/* ---- the actor's thread ---------------------------------------------------------------------- */

struct commit {
    struct store_batch *batches[ACTOR_GROUP_MAX];
    size_t count;
};

/* Tells the loop. The pipe has room for a report for each outstanding batch. */
static void tell(zsock_t *pipe, const struct report *report)
{
    void *socket = zsock_resolve(pipe);
    while (zmq_send(socket, report, sizeof *report, 0) < 0 && zmq_errno() == EINTR) {
    }
}

static void commit_group(struct store_db *db, zsock_t *pipe, struct commit *g,
                         uint64_t *failed_generation)
{
    uint64_t generation = g->batches[0]->generation;
    struct report r = {.batches = g->count, .is_covered = generation == *failed_generation};
    if (!r.is_covered) {
        r.reason = store_db_commit(db, g->batches, g->count, r.text, sizeof r.text);
    }
    if (r.reason != HM_OK) {
        *failed_generation = generation;
    }
    r.batch = r.reason == HM_OK ? g->batches[g->count - 1]->number : g->batches[0]->number;
    tell(pipe, &r);
    for (size_t i = 0; i < g->count; i++) {
        store_batch_destroy(&g->batches[i]);
    }
    g->count = 0;
}

/* What a commit costs here at least. */
static void measure_disk(const struct store_db *db, zsock_t *pipe)
{
    struct report r = {.is_measure = true};
    uint64_t begun_ns = clock_boot_ns();
    r.measure.error = store_db_try_disk(db);
    r.measure.sync_ns = clock_boot_ns() - begun_ns;
    tell(pipe, &r);
}

/* Takes one message off the pipe. Returns false if there is none, sets *ret_end at $TERM. */
static bool take_batch(void *socket, int flags, struct store_batch **ret_batch, bool *ret_end,
                       bool *ret_measure)
{
    struct store_batch *batch = NULL;
    char bytes[16];
    int got = zmq_recv(socket, bytes, sizeof bytes, flags);
    if (got < 0) {
        *ret_end = zmq_errno() == ETERM;
        *ret_batch = NULL;
        return zmq_errno() == EINTR;
    }
    if (got == (int) sizeof batch) {
        memcpy(&batch, bytes, sizeof batch);
    } else if (got == (int) sizeof measure_word && bytes[0] == measure_word) {
        *ret_measure = true;
    } else {
        *ret_end = true; /* "$TERM", the only other message */
    }
    *ret_batch = batch;
    return true;
}

static void run(zsock_t *pipe, void *args)
{
    struct store_db *db = args;
    void *socket = zsock_resolve(pipe);
    uint64_t failed_generation = 0;
    struct commit g = {.count = 0};
    struct store_batch *held = NULL; /* of the next generation */
    bool end = false;
    bool measure = false;
    zsock_signal(pipe, 0);
    while (!end || held != NULL) {
        /* One is awaited; what else is there by then goes into the same transaction. */
        int flags = 0;
        struct store_batch *batch = held;
        held = NULL;
        do {
            if (batch != NULL && g.count > 0 && g.batches[0]->generation != batch->generation) {
                held = batch;
                break;
            }
            if (batch != NULL) {
                g.batches[g.count++] = batch;
            }
            flags = batch != NULL || measure ? ZMQ_DONTWAIT : flags;
        } while (g.count < ACTOR_GROUP_MAX && !end &&
                 take_batch(socket, flags, &batch, &end, &measure));
        if (g.count > 0) {
            commit_group(db, pipe, &g, &failed_generation);
        }
        if (measure) {
            measure = false;
            measure_disk(db, pipe);
        }
    }
}

/* ---- the loop's side ------------------------------------------------------------------------- */

int store_open(const char *data_dir, store_t **ret_store, struct why *why)
{
    store_t *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return why_set(why, HM_ENOMEM, "out of memory while opening the store");
    }
    int rc = store_db_open(&s->db, data_dir, why);
    if (rc == HM_OK) {
        rc = store_db_load(&s->db, &s->loaded, why);
    }
    if (rc == HM_OK) {
        s->dropped = s->loaded.dropped;
        int error = store_view_open(&s->view, &s->db);
        if (error != 0) {
            rc = why_set(why, HM_EIO, "cannot read the store: %s", mdb_strerror(error));
        }
    }
    if (rc == HM_OK) {
        s->generation = 1;
        s->actor = zactor_new(run, &s->db);
        if (s->actor == NULL) {
            rc = why_set(why, HM_ENOMEM, "cannot start the store's thread: %s", strerror(errno));
        }
    }
    if (rc != HM_OK) {
        store_close(&s);
        return rc;
    }
    *ret_store = s;
    return HM_OK;
}

void store_close(store_t **p)
{
    store_t *s = *p;
    if (s == NULL) {
        return;
    }
    zactor_destroy(&s->actor); /* $TERM queues behind the batches and waits for them */
    store_loaded_fini(&s->loaded);
    store_view_close(&s->view);
    store_db_close(&s->db);
    free(s);
    *p = NULL;
}

int store_load(store_t *store, const struct store_entry **ret_entries, size_t *ret_count,
               size_t *ret_dropped)
{
    *ret_entries = store->loaded.entries;
    *ret_count = store->loaded.count;
    *ret_dropped = store->loaded.dropped;
    return HM_OK;
}

void store_load_done(store_t *store)
{
    store_loaded_fini(&store->loaded);
}

struct store_view store_view(store_t *store)
{
    return (struct store_view){&store->view, store_view_get, store_view_next};
}

void store_view_done(store_t *store)
{
    store_view_end(&store->view);
}

uint64_t store_damaged(const store_t *store)
{
    return store->dropped + store->view.damaged_count;
}

static int hand_over(store_t *store, uint64_t number, const struct store_entry *entries,
                     size_t count)
{
    struct store_batch *batch = NULL;
    if (store->outstanding >= STORE_BATCHES_MAX) {
        return HM_EFULL;
    }
    int rc = store_batch_new(number, store->generation, entries, count, &batch);
    if (rc != HM_OK) {
        return rc;
    }
    void *socket = zsock_resolve(store->actor);
    if (zmq_send(socket, &batch, sizeof batch, ZMQ_DONTWAIT) != (int) sizeof batch) {
        store_batch_destroy(&batch);
        return HM_EFULL;
    }
    store->outstanding++;
    return HM_OK;
}

int store_persist(store_t *store, uint64_t batch, const struct store_entry *entries, size_t count)
{
    if (store->is_refusing) {
        return store->refused_reason; /* covered: "this and all after it" */
    }
    int rc = hand_over(store, batch, entries, count);
    if (rc != HM_OK) {
        store->is_refusing = true;
        store->refused_from = batch;
        store->refused_reason = rc;
    }
    return rc;
}

void *store_socket(const store_t *store)
{
    return zsock_resolve(store->actor);
}

static int take_refusal(store_t *store, struct store_report *ret_report)
{
    if (!store->is_refusing || store->outstanding > 0) {
        return HM_ENOTFOUND;
    }
    struct store_report r = {.batch = store->refused_from, .reason = store->refused_reason};
    text_copy(r.text, sizeof r.text,
              r.reason == HM_EFULL ? "the disk is too slow: too many batches wait"
                                   : hm_strerror(r.reason));
    store->is_refusing = false;
    *ret_report = r;
    return HM_OK;
}

int store_take(store_t *store, struct store_report *ret_report)
{
    struct report r;
    while (zmq_recv(zsock_resolve(store->actor), &r, sizeof r, ZMQ_DONTWAIT) == (int) sizeof r) {
        if (r.is_measure) {
            store->measuring_since_ns = 0;
            store->is_measured = true;
            store->measure = r.measure;
            continue;
        }
        HM_ASSERT(r.batches <= store->outstanding);
        store->outstanding -= r.batches;
        if (r.is_covered) {
            continue;
        }
        struct store_report report = {.batch = r.batch, .reason = r.reason};
        text_copy(report.text, sizeof report.text, r.text);
        if (r.reason != HM_OK) {
            store->generation++;
            /* A refusal of ours is of a later batch, so this failure covers it. */
            store->is_refusing = false;
        }
        *ret_report = report;
        return HM_OK;
    }
    return take_refusal(store, ret_report);
}

void store_measure(store_t *store)
{
    void *socket = zsock_resolve(store->actor);
    if (store->measuring_since_ns == 0 &&
        zmq_send(socket, &measure_word, sizeof measure_word, ZMQ_DONTWAIT) ==
            (int) sizeof measure_word) {
        store->measuring_since_ns = clock_boot_ns();
    }
}

int store_take_measure(store_t *store, struct store_measure *ret_measure)
{
    if (!store->is_measured) {
        return HM_ENOTFOUND;
    }
    store->is_measured = false;
    *ret_measure = store->measure;
    return HM_OK;
}

uint64_t store_measuring_since(const store_t *store)
{
    return store->measuring_since_ns;
}

size_t store_outstanding(const store_t *store)
{
    return store->outstanding;
}
