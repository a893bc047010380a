/* SPDX-License-Identifier: MPL-2.0 */
/* The store as the loop sees it: batches in, reports out, what was stored before, and what is committed.
 * See store.h; the other side is store_actor.c.
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
#include "io/store_priv.h"
#include "io/store_rest.h"
#include "io/store_view.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS ((uint64_t) 24 * 3600 * 1000)
#define MEND_NS                                                                                    \
    ((uint64_t) 5 * 1000000000) /* a reader waits so long for a store to be opened anew */

/* Compacted by itself, once the start is over: a copy that hardly anybody will notice. */
#define COMPACT_FILE_BYTES_MIN ((uint64_t) 16 << 20)
#define COMPACT_USED_BYTES_MAX ((uint64_t) 256 << 20)

struct aside {
    struct aside *next;
    struct store_actor_report report;
};

struct store {
    const struct store_db *db; /* the actor's; we read it only */
    struct store_actor *state; /* the actor's, from zactor_new to zactor_destroy */
    zactor_t *actor;
    struct store_view_lmdb view;
    struct aside *aside_first, *aside_last; /* reports that a reader in need found before its own */
    struct store_loaded loaded;
    size_t dropped; /* damaged records that were left out at the start */
    size_t outstanding;
    size_t outstanding_bytes;
    uint64_t generation;
    bool is_refusing; /* refused_from and all after it are to be reported as failed */
    uint64_t refused_from;
    int refused_reason;
    uint64_t measuring_since_ns; /* 0: not */
    bool is_measured;            /* and not taken */
    struct store_measure measure;
    struct store_counts counts;
    struct store_rest rest;
    uint64_t day; /* since 1970, and what was written when it began */
    uint64_t day_began_bytes;
    bool is_full;
    char error[128];
    uint64_t error_wall_ms;
    struct store_work work;
    bool is_work_news;
};

/* ---- what the actor tells -------------------------------------------------------------------- */

static bool receive(store_t *s, struct store_actor_report *ret)
{
    struct aside *first = s->aside_first;
    if (first != NULL) {
        *ret = first->report;
        s->aside_first = first->next;
        s->aside_last = first->next == NULL ? NULL : s->aside_last;
        free(first);
        return true;
    }
    return zmq_recv(zsock_resolve(s->actor), ret, sizeof *ret, ZMQ_DONTWAIT) == (int) sizeof *ret;
}

static void take_counts(store_t *s, const struct store_counts *counts)
{
    uint64_t day = clock_wall_ms() / DAY_MS;
    if (day != s->day) {
        s->day = day;
        s->day_began_bytes = s->counts.bytes_written;
    }
    s->counts = *counts;
}

static void take_work(store_t *s, struct store_work *work)
{
    uint64_t number = s->work.number;
    if (work == NULL) {
        s->work.is_done = true;
        s->work.code = HM_ENOMEM;
        text_copy(s->work.text, sizeof s->work.text, hm_strerror(HM_ENOMEM));
    } else if (!work->is_by_itself || s->work.is_done || number == 0) {
        s->work = *work;
        s->work.number = work->is_by_itself ? number + 1 : number;
    }
    for (size_t i = 0; work != NULL && i < work->damaged_count && i < STORE_WORK_DAMAGED_MAX; i++) {
        store_view_note_damage(&s->view, work->damaged[i].table,
                               span_of(work->damaged[i].key, work->damaged[i].key_size));
    }
    free(work);
    s->is_work_news = true;
}

/* The actor has the store open anew: after a compaction or a failure of the disk. */
static void take_replacement(store_t *s, const struct store_db *db)
{
    static const char wish = WISH_RELEASE;
    store_view_close(&s->view);
    s->db = db;
    s->view.error = store_view_open(&s->view, db);
    while (zmq_send(zsock_resolve(s->actor), &wish, sizeof wish, 0) < 0 && zmq_errno() == EINTR) {
    }
}

/* Called by a read that finds its environment dead: the actor is opening it anew. */
static bool mend(void *ctx)
{
    store_t *s = ctx;
    uint64_t until_ns = clock_boot_ns() + MEND_NS;
    while (clock_boot_ns() < until_ns) {
        zmq_pollitem_t item = {zsock_resolve(s->actor), 0, ZMQ_POLLIN, 0};
        struct aside *a = zmq_poll(&item, 1, 100) > 0 ? calloc(1, sizeof *a) : NULL;
        if (a == NULL) {
            continue;
        }
        if (zmq_recv(item.socket, &a->report, sizeof a->report, ZMQ_DONTWAIT) !=
            (int) sizeof a->report) {
            free(a);
        } else if (a->report.kind == REPORT_REPLACED) {
            take_replacement(s, a->report.db);
            free(a);
            return s->view.error == 0;
        } else if (s->aside_last == NULL) {
            s->aside_first = s->aside_last = a;
        } else {
            s->aside_last->next = a;
            s->aside_last = a;
        }
    }
    return false;
}

/* ---- its life -------------------------------------------------------------------------------- */

/* More than half of the file is free, and the copy is quick. */
static bool is_mostly_free(const struct store_db *db)
{
    struct store_figures f;
    return store_db_figures(db, &f) == 0 && f.file_bytes >= COMPACT_FILE_BYTES_MIN &&
           f.free_pages > f.pages / 2 &&
           (f.pages - f.free_pages) * f.page_bytes <= COMPACT_USED_BYTES_MAX;
}

static int open_db(store_t *s, const char *data_dir, struct why *why)
{
    struct store_db *db = calloc(1, sizeof *db);
    if (db == NULL) {
        return why_set(why, HM_ENOMEM, "out of memory while opening the store");
    }
    int rc = store_db_open(db, data_dir, why);
    if (rc == HM_OK) {
        store_compact_sweep(db->path);
        s->state = store_actor_new(db, is_mostly_free(db));
        rc = s->state != NULL ? HM_OK
                              : why_set(why, HM_ENOMEM, "out of memory while opening the store");
    }
    if (rc != HM_OK) {
        store_db_close(db);
        free(db);
        return rc;
    }
    s->db = db;
    return HM_OK;
}

static int begin_reading(store_t *s, struct why *why)
{
    int rc = store_db_load(s->db, &s->loaded, why);
    if (rc != HM_OK) {
        return rc;
    }
    s->dropped = s->loaded.dropped;
    int error = store_view_open(&s->view, s->db);
    s->view.mend = mend;
    s->view.mend_ctx = s;
    return error == 0 ? HM_OK
                      : why_set(why, HM_EIO, "cannot read the store: %s", store_db_text(error));
}

int store_open(const char *data_dir, store_t **ret_store, struct why *why)
{
    store_t *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return why_set(why, HM_ENOMEM, "out of memory while opening the store");
    }
    s->generation = 1;
    s->day = clock_wall_ms() / DAY_MS;
    int rc = open_db(s, data_dir, why);
    if (rc == HM_OK) {
        rc = begin_reading(s, why);
    }
    if (rc == HM_OK) {
        s->actor = zactor_new(store_actor_run, s->state);
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
    struct store_actor_report r;
    while (s->actor != NULL && receive(s, &r)) {
        if (r.kind == REPORT_WORK) {
            free(r.work);
        }
    }
    zactor_destroy(&s->actor); /* $TERM queues behind the batches and waits for them */
    store_loaded_fini(&s->loaded);
    store_view_close(&s->view);
    store_actor_free(&s->state);
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

/* ---- reading --------------------------------------------------------------------------------- */

struct store_view store_view(store_t *store)
{
    return (struct store_view){&store->view, store_view_get, store_view_next};
}

void store_view_done(store_t *store)
{
    store_view_end(&store->view);
}

const char *store_view_error(const store_t *store)
{
    return store->view.error == 0 ? NULL : store_db_text(store->view.error);
}

uint64_t store_damaged(const store_t *store)
{
    return store->dropped + store->view.damaged_count;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int hand_over(store_t *store, uint64_t number, const struct store_entry *entries,
                     size_t count)
{
    struct store_batch *batch = NULL;
    if (store->outstanding >= STORE_BATCHES_MAX || store->outstanding_bytes >= STORE_BYTES_MAX) {
        return HM_EFULL;
    }
    int rc = store_batch_new(number, store->generation, entries, count, &batch);
    if (rc != HM_OK) {
        return rc;
    }
    size_t bytes = batch->bytes;
    void *socket = zsock_resolve(store->actor);
    if (zmq_send(socket, &batch, sizeof batch, ZMQ_DONTWAIT) != (int) sizeof batch) {
        store_batch_destroy(&batch);
        return HM_EFULL;
    }
    store->outstanding++;
    store->outstanding_bytes += bytes;
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

/* Settles batches. False: it is no news. */
static bool take_settled(store_t *store, const struct store_actor_report *r,
                         struct store_report *ret_report)
{
    HM_ASSERT(r->batches <= store->outstanding && r->bytes <= store->outstanding_bytes);
    store->outstanding -= r->batches;
    store->outstanding_bytes -= r->bytes;
    if (r->is_covered) {
        return false;
    }
    struct store_report report = {.batch = r->batch, .reason = r->reason};
    text_copy(report.text, sizeof report.text, r->text);
    store->is_full = r->reason == HM_EFULL;
    if (r->reason != HM_OK) {
        store->generation++;
        /* A refusal of ours is of a later batch, so this failure covers it. */
        store->is_refusing = false;
        text_copy(store->error, sizeof store->error, r->text);
        store->error_wall_ms = clock_wall_ms();
    }
    *ret_report = report;
    return true;
}

int store_take(store_t *store, struct store_report *ret_report)
{
    struct store_actor_report r;
    while (receive(store, &r)) {
        take_counts(store, &r.counts);
        switch (r.kind) {
        case REPORT_BATCHES:
            if (take_settled(store, &r, ret_report)) {
                return HM_OK;
            }
            break;
        case REPORT_MEASURE:
            store->measuring_since_ns = 0;
            store->is_measured = true;
            store->measure = r.measure;
            break;
        case REPORT_WORK:
            take_work(store, r.work);
            break;
        case REPORT_REPLACED:
            take_replacement(store, r.db);
            break;
        }
    }
    return take_refusal(store, ret_report);
}

size_t store_outstanding(const store_t *store)
{
    return store->outstanding;
}

/* ---- wishes ---------------------------------------------------------------------------------- */

static bool wish_for(store_t *store, char wish)
{
    return zmq_send(zsock_resolve(store->actor), &wish, sizeof wish, ZMQ_DONTWAIT) ==
           (int) sizeof wish;
}

void store_measure(store_t *store)
{
    if (store->measuring_since_ns == 0 && wish_for(store, WISH_MEASURE)) {
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

int store_work(store_t *store, enum store_work_kind kind, uint64_t *ret_number)
{
    if (store->work.kind != STORE_WORK_NONE && !store->work.is_done) {
        *ret_number = store->work.number;
        return HM_EBUSY;
    }
    if (!wish_for(store, kind == STORE_WORK_CHECK ? WISH_CHECK : WISH_COMPACT)) {
        return HM_EFULL;
    }
    store->work = (struct store_work){.kind = kind, .number = store->work.number + 1};
    *ret_number = store->work.number;
    return HM_OK;
}

const struct store_work *store_take_work(store_t *store)
{
    bool is_news = store->is_work_news;
    store->is_work_news = false;
    return is_news ? &store->work : NULL;
}

/* ---- how it is ------------------------------------------------------------------------------- */

struct store_counts store_counts(const store_t *store)
{
    return store->counts;
}

uint64_t store_today_bytes(const store_t *store)
{
    return clock_wall_ms() / DAY_MS == store->day
               ? store->counts.bytes_written - store->day_began_bytes
               : 0;
}

bool store_is_full(const store_t *store)
{
    return store->is_full;
}

void store_rest(store_t *store, uint64_t now_ns)
{
    if (store_rest_is_due(&store->rest, store->counts.commits, now_ns)) {
        store_rest_unmap(store->db->path);
    }
}

void store_condition(store_t *store, struct store_condition *ret)
{
    *ret = (struct store_condition){.path = store->db->path,
                                    .counts = store->counts,
                                    .today_bytes = store_today_bytes(store),
                                    .is_full = store->is_full,
                                    .error = store->error,
                                    .error_wall_ms = store->error_wall_ms,
                                    .damaged = store_damaged(store),
                                    .work = &store->work};
    ret->are_figures_known = store_db_figures(store->db, &ret->figures) == 0;
}
