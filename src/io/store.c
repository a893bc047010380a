/* SPDX-License-Identifier: MPL-2.0 */
/* The store as the loop sees it: batches in, reports out, what was stored before, and what is committed.
 * See store.h; what goes to and fro is in store_flow.c, the other sides are store_appender.c and store_actor.c.
 *
 * Failures keep the order of reports. When the appender fails, it discards every batch of the same
 * generation; the generation rises when the loop has taken that report. What the loop itself
 * refuses (refused_from) is reported after everything that is still outstanding. */
#define _GNU_SOURCE
#include "io/store.h"

#include "base/err.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/store_loop.h"
#include "io/threads.h"

#ifdef __GLIBC__
#    include <malloc.h>
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REST_WAITING_BYTES ((size_t) 512 << 10) /* of the journal: in memory, too */
#define DAY_MS ((uint64_t) 24 * 3600 * 1000)
#define THREADS 4 /* two of ours, and two that libzmq starts for the links and cannot do without */

/* Compacted by itself, once the start is over: a copy that hardly anybody will notice. */
#define COMPACT_FILE_BYTES_MIN ((uint64_t) 16 << 20)
#define COMPACT_USED_BYTES_MAX ((uint64_t) 256 << 20)

/* ---- its life -------------------------------------------------------------------------------- */

/* More than half of the file is free, and the copy is quick. */
static bool is_mostly_free(const struct store_db *db)
{
    struct store_figures f;
    return store_db_figures(db, &f) == 0 && f.file_bytes >= COMPACT_FILE_BYTES_MIN &&
           f.free_pages > f.pages / 2 &&
           (f.pages - f.free_pages) * f.page_bytes <= COMPACT_USED_BYTES_MAX;
}

static int out_of_memory(struct why *why)
{
    return why_set(why, HM_ENOMEM, "out of memory while opening the store");
}

/* What acknowledged writes may be gone; the core is told as of damaged records. */
static void note_lost(store_t *s)
{
    const struct store_replayed *r = &s->replayed;
    if (!r->is_damaged) {
        return;
    }
    s->dropped++;
    if (r->dropped > 0) {
        snprintf(s->lost, sizeof s->lost,
                 "the store's journal is damaged: its last %zu records (%zu bytes) lie behind that and "
                 "are dropped; other members bring back what they have of them",
                 r->dropped, r->dropped_bytes);
    } else {
        snprintf(s->lost, sizeof s->lost,
                 "a file of the store's journal is gone, cut short or unreadable: the last writes may "
                 "be missing; other members bring back what they have of them");
    }
}

static int open_journal(store_t *s, const struct store_db *db, struct why *why)
{
    journal_t *journal = NULL;
    int rc = journal_open(db->path, db->id, db->applied, &journal);
    if (rc != 0) {
        return why_set(why, store_db_code(rc), "cannot open the journal of the store in %s: %s",
                       db->path, store_db_text(rc));
    }
    s->journal_state = store_appender_new(journal, s->to_journal, s->reports);
    if (s->journal_state == NULL) {
        journal_close(&journal);
        return out_of_memory(why);
    }
    return HM_OK;
}

static int open_db(store_t *s, const char *data_dir, struct why *why)
{
    struct store_db *db = calloc(1, sizeof *db);
    if (db == NULL) {
        return out_of_memory(why);
    }
    int rc = store_db_open(db, data_dir, why);
    if (rc == HM_OK) {
        store_compact_sweep(db->path);
        rc = store_replay(db, &s->replayed, why);
    }
    if (rc == HM_OK) {
        rc = open_journal(s, db, why);
    }
    if (rc == HM_OK) {
        s->tables_state = store_actor_new(db, is_mostly_free(db), s->to_tables, s->reports);
        rc = s->tables_state != NULL ? HM_OK : out_of_memory(why);
    }
    if (rc != HM_OK) {
        store_db_close(db);
        free(db);
        return rc;
    }
    s->db = db;
    note_lost(s);
    return HM_OK;
}

static int begin_reading(store_t *s, struct why *why)
{
    int rc = store_db_load(s->db, &s->loaded, why);
    if (rc != HM_OK) {
        return rc;
    }
    s->dropped += s->loaded.dropped;
    int error = store_view_open(&s->view.lmdb, s->db);
    s->view.lmdb.mend = store_flow_mend;
    s->view.lmdb.mend_ctx = s;
    return error == 0 ? HM_OK
                      : why_set(why, HM_EIO, "cannot read the store: %s", store_db_text(error));
}

static int open_channels(store_t *s, struct why *why)
{
    s->reports = channel_new(sizeof(struct store_actor_report));
    s->to_journal = channel_new(sizeof(struct store_order));
    s->to_tables = channel_new(sizeof(struct store_order));
    return s->reports != NULL && s->to_journal != NULL && s->to_tables != NULL
               ? HM_OK
               : why_set(why, HM_ENOMEM, "cannot make the store's channels: %s", strerror(errno));
}

static int start_threads(store_t *s, struct why *why)
{
    int error = threads_can_start(THREADS);
    if (error != 0) {
        return why_set(why, HM_ENOMEM,
                       "cannot start %d threads: %s; allow this user or container more processes "
                       "(ulimit -u, TasksMax, --pids-limit) and memory (ulimit -v)",
                       THREADS, strerror(error));
    }
    error = threads_start(&s->tables_thread, NULL, "meshd-tables", store_actor_run, s->tables_state);
    s->is_tables_running = error == 0;
    if (error == 0) {
        error = threads_start(&s->journal_thread, NULL, "meshd-journal", store_appender_run, s->journal_state);
        s->is_journal_running = error == 0;
    }
    return error == 0
               ? HM_OK
               : why_set(why, HM_ENOMEM, "cannot start the store's threads: %s", strerror(error));
}

int store_open(const char *data_dir, store_t **ret_store, struct why *why)
{
    store_t *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return out_of_memory(why);
    }
    s->generation = 1;
    s->day = clock_wall_ms() / DAY_MS;
    int rc = open_channels(s, why);
    if (rc == HM_OK) {
        rc = open_db(s, data_dir, why);
    }
    if (rc == HM_OK) {
        rc = begin_reading(s, why);
    }
    if (rc == HM_OK) {
        rc = start_threads(s, why);
    }
    if (rc != HM_OK) {
        store_close(&s);
        return rc;
    }
    *ret_store = s;
    return HM_OK;
}

/* All that was handed over is settled, then put into the tables. */
static void end_threads(store_t *s)
{
    struct store_report report;
    bool is_news;
    s->view.is_reading = false;
    store_flow_send(s);
    if (s->is_journal_running) {
        while (s->outstanding > 0) {
            store_flow_take(s, true, &report, &is_news);
        }
        channel_put(s->to_journal, &(struct store_order){.wish = WISH_STOP});
        pthread_join(s->journal_thread, NULL);
    }
    store_flow_settle(s);
    if (s->is_tables_running) {
        store_flow_hand_on(s);
        channel_put(s->to_tables, &(struct store_order){.wish = WISH_END});
        pthread_join(s->tables_thread, NULL);
        while (store_flow_take(s, false, &report, &is_news)) {
        }
    }
}

void store_close(store_t **p)
{
    store_t *s = *p;
    if (s == NULL) {
        return;
    }
    end_threads(s);
    store_flow_free(s);
    store_loaded_fini(&s->loaded);
    store_view_close(&s->view.lmdb);
    store_overlay_fini(&s->view.overlay);
    store_appender_free(&s->journal_state);
    store_actor_free(&s->tables_state);
    channel_destroy(&s->to_tables);
    channel_destroy(&s->to_journal);
    channel_destroy(&s->reports);
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
    return (struct store_view){&store->view, store_merged_get, store_merged_next};
}

void store_view_done(store_t *store)
{
    store_view_end(&store->view.lmdb);
    if (store->view.is_reading) {
        store->view.is_reading = false;
        store_flow_settle(store);
    }
}

const char *store_view_error(const store_t *store)
{
    int error = store->view.error != 0 ? store->view.error : store->view.lmdb.error;
    return error == 0 ? NULL : store_db_text(error);
}

uint64_t store_damaged(const store_t *store)
{
    return store->dropped + store->view.lmdb.damaged_count;
}

const char *store_lost(const store_t *store)
{
    return store->lost[0] != '\0' ? store->lost : NULL;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int take_batch(store_t *store, uint64_t number, const struct store_entry *entries,
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
    store->outstanding++;
    store->outstanding_bytes += batch->bytes;
    store_flow_append(store, batch);
    if (!store->is_gathering) {
        store_flow_send(store);
    }
    if (store->failing != 0) { /* this batch waits for what comes of it: it must be there before that is told */
        store_flow_send(store);
        store_flow_ask_for_checkpoint(store);
    }
    return HM_OK;
}

void store_gather(store_t *store)
{
    store->is_gathering = true;
}

void store_hand_over(store_t *store)
{
    store_flow_send(store);
}

int store_persist(store_t *store, uint64_t batch, const struct store_entry *entries, size_t count)
{
    if (store->is_refusing) {
        return store->refused_reason; /* covered: "this and all after it" */
    }
    int rc = take_batch(store, batch, entries, count);
    if (rc != HM_OK) {
        store->is_refusing = true;
        store->refused_from = batch;
        store->refused_reason = rc;
    }
    return rc;
}

int store_fd(const store_t *store)
{
    return channel_fd(store->reports);
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
    bool is_news = false;
    while (store_flow_take(store, false, ret_report, &is_news)) {
        if (is_news) {
            return HM_OK;
        }
    }
    return take_refusal(store, ret_report);
}

size_t store_outstanding(const store_t *store)
{
    return store->outstanding;
}

/* ---- wishes ---------------------------------------------------------------------------------- */

static void wish_for(store_t *store, enum store_wish wish)
{
    if (wish != WISH_MEASURE) {
        store_flow_hand_on(store); /* so that the tables have what was acknowledged until now */
    }
    channel_put(store->to_tables, &(struct store_order){.wish = wish});
}

void store_measure(store_t *store)
{
    if (store->measuring_since_ns == 0) {
        wish_for(store, WISH_MEASURE);
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
    wish_for(store, kind == STORE_WORK_CHECK ? WISH_CHECK : WISH_COMPACT);
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
    const struct store_counts *j = &store->journal_counts, *t = &store->tables_counts;
    return (struct store_counts){.commits = j->commits,
                                 .checkpoints = t->checkpoints,
                                 .syncs = j->syncs + t->syncs,
                                 .bytes_written = j->bytes_written + t->bytes_written,
                                 .bytes_copied = t->bytes_copied,
                                 .is_bytes_known = j->is_bytes_known || t->is_bytes_known};
}

uint64_t store_today_bytes(const store_t *store)
{
    return clock_wall_ms() / DAY_MS == store->day
               ? store_counts(store).bytes_written - store->day_began_bytes
               : 0;
}

bool store_is_full(const store_t *store)
{
    return store->is_full || store_db_code(store->failing) == HM_EFULL;
}

void store_checkpoint(store_t *store)
{
    store_flow_ask_for_checkpoint(store);
}

void store_rest(store_t *store, uint64_t now_ns)
{
    struct store_counts counts = store_counts(store);
    store_flow_tick(store, now_ns);
    if (!store_rest_is_due(&store->rest, counts.commits + counts.checkpoints, now_ns)) {
        return;
    }
    if (store->waiting_bytes > REST_WAITING_BYTES) {
        store_flow_ask_for_checkpoint(store); /* 5 s after that it is at rest */
    } else {
        store_rest_unmap(store->db->path);
#ifdef __GLIBC__
        malloc_trim(0); /* batches and their copies were all over it */
#endif
    }
}

void store_condition(store_t *store, struct store_condition *ret)
{
    *ret = (struct store_condition){.path = store->db->path,
                                    .counts = store_counts(store),
                                    .today_bytes = store_today_bytes(store),
                                    .journal_bytes = store->waiting_bytes,
                                    .is_full = store_is_full(store),
                                    .error = store->error,
                                    .error_wall_ms = store->error_wall_ms,
                                    .damaged = store_damaged(store),
                                    .work = &store->work};
    ret->are_figures_known =
        store_db_figures(store->db, &ret->figures) == 0 &&
        store_overlay_figures(&store->view.overlay, store->db, &ret->figures) == 0;
}
