/* SPDX-License-Identifier: MPL-2.0 */
/* What goes to and fro between the loop and the store's two threads: see store_priv.h.
 *
 * A batch that is durable is put into the overlay. When a checkpoint is due, a minute after the first one that waits or
 * when there are many, all are handed to the actor, and their layer of the overlay is closed; it is dropped when they
 * are applied. All of this between two steps of the core only: what a step has read stays as it is until
 * store_view_done. The report of a checkpoint is sent when its transaction is committed, and the read transaction of a
 * step begins after that step's beginning. So what leaves the overlay is in every transaction that is read from then on. */
#define _GNU_SOURCE
#include "io/store_loop.h"

#include "base/err.h"
#include "base/text.h"
#include "io/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS ((uint64_t) 24 * 3600 * 1000)
#define MEND_NS                                                                                    \
    ((uint64_t) 5 * 1000000000) /* a reader waits so long for a store to be opened anew */

/* Half of the journal: the other half takes what comes while the checkpoint runs. */
#define CHECKPOINT_BYTES journal_file_bytes
#define CHECKPOINT_BATCHES 4096
#define CHECKPOINT_AFTER_NS (60 * (uint64_t) 1000000000) /* a write now and then shares it: ten pages, or more */

/* ---- batches --------------------------------------------------------------------------------- */

static void join(struct store_chain *c, struct store_batch *first)
{
    if (first == NULL) {
        return;
    }
    if (c->last == NULL) {
        c->first = first;
    } else {
        c->last->next = first;
    }
    for (c->last = first; c->last->next != NULL; c->last = c->last->next) {
    }
}

static struct store_batch *take_all(struct store_chain *c)
{
    struct store_batch *first = c->first;
    *c = (struct store_chain){NULL, NULL};
    return first;
}

/* In order: batches, then what is to be burnt behind them. */
void store_flow_hand_on(store_t *s)
{
    if (s->to_apply.first != NULL) {
        struct store_order order = {.wish = WISH_APPLY, .batches = s->to_apply.first};
        uint64_t record = s->to_apply.last->record;
        channel_put(s->to_tables, &order);
        take_all(&s->to_apply);
        s->to_apply_since_ns = 0;
        store_overlay_close(&s->view.overlay, record);
    }
    if (s->to_burn != 0) {
        struct store_order order = {.wish = WISH_BURN, .record = s->to_burn};
        channel_put(s->to_tables, &order);
        s->to_burn = 0;
    }
}

void store_flow_ask_for_checkpoint(store_t *s)
{
    if (!s->is_checkpoint_asked) {
        store_flow_hand_on(s);
        channel_put(s->to_tables, &(struct store_order){.wish = WISH_CHECKPOINT});
        s->is_checkpoint_asked = true;
    }
}

void store_flow_tick(store_t *s, uint64_t now_ns)
{
    if (s->to_apply.first == NULL) {
        s->to_apply_since_ns = 0;
    } else if (s->to_apply_since_ns == 0) {
        s->to_apply_since_ns = now_ns;
    } else if (now_ns - s->to_apply_since_ns >= CHECKPOINT_AFTER_NS) {
        s->to_apply_since_ns = now_ns; /* the next try, should this one fail */
        store_flow_ask_for_checkpoint(s);
    }
}

static void keep_going(store_t *s)
{
    if (s->to_burn != 0) {
        store_flow_hand_on(s);
    }
    if (s->is_room_wanted || s->waiting_bytes >= CHECKPOINT_BYTES ||
        s->waiting_batches >= CHECKPOINT_BATCHES) {
        s->is_room_wanted = false;
        store_flow_ask_for_checkpoint(s);
    }
}

static void take_out(store_t *s)
{
    struct store_batch *first = take_all(&s->applied);
    for (const struct store_batch *b = first; b != NULL; b = b->next) {
        s->waiting_batches--;
        s->waiting_bytes -= b->record_bytes;
    }
    store_batches_destroy(&first);
    store_overlay_drop(&s->view.overlay, s->applied_record);
}

void store_flow_settle(store_t *s)
{
    if (s->view.is_reading) {
        return;
    }
    struct store_batch *first = take_all(&s->durable);
    for (const struct store_batch *b = first; b != NULL; b = b->next) {
        /* What is durable and cannot be shown: the step that reads next ends the process. */
        if (store_overlay_add(&s->view.overlay, b) != HM_OK) {
            s->view.error = ENOMEM;
        }
    }
    join(&s->to_apply, first);
    take_out(s);
    keep_going(s);
}

void store_flow_append(store_t *s, struct store_batch *batch)
{
    join(&s->to_append, batch);
}

void store_flow_send(store_t *s)
{
    struct store_order order = {.wish = WISH_APPEND, .batches = s->to_append.first};
    if (order.batches != NULL) {
        take_all(&s->to_append);
        channel_put(s->to_journal, &order);
    }
}

void store_flow_free(store_t *s)
{
    store_batches_destroy(&s->to_append.first);
    store_batches_destroy(&s->durable.first);
    store_batches_destroy(&s->applied.first);
    store_batches_destroy(&s->to_apply.first);
}

/* ---- what the threads tell ------------------------------------------------------------------- */

static void note_error(store_t *s, const char *text)
{
    text_copy(s->error, sizeof s->error, text);
    s->error_wall_ms = clock_wall_ms();
}

/* Settles batches. False: it is no news. */
static bool take_settled(store_t *s, struct store_actor_report *r, struct store_report *ret_report)
{
    HM_ASSERT(r->settled <= s->outstanding && r->bytes <= s->outstanding_bytes);
    s->outstanding -= r->settled;
    s->outstanding_bytes -= r->bytes;
    if (r->reason == HM_OK) {
        s->waiting_batches += r->settled;
        s->waiting_bytes += r->batches->record_bytes;
        join(&s->durable, r->batches);
    } else {
        store_batches_destroy(&r->batches);
    }
    if (r->is_covered) {
        return false;
    }
    struct store_report report = {.batch = r->batch, .reason = r->reason};
    text_copy(report.text, sizeof report.text, r->text);
    s->is_full = r->reason == HM_EFULL;
    if (r->reason != HM_OK) {
        s->to_burn = r->record != 0 ? r->record : s->to_burn;
        /* The disk may be full, but not the tables: the next one finds an empty journal. */
        s->is_room_wanted |= s->failing == 0;
        s->generation++;
        /* A refusal of ours is of a later batch, so this failure covers it. */
        s->is_refusing = false;
        note_error(s, r->text);
    }
    *ret_report = report;
    return true;
}

static void take_applied(store_t *s, struct store_actor_report *r)
{
    join(&s->applied, r->batches);
    s->is_checkpoint_asked = false;
    s->applied_record = r->record;
    s->failing = 0;
    channel_put(s->to_journal, &(struct store_order){.wish = WISH_APPLIED, .record = r->record});
}

static void take_failing(store_t *s, const struct store_actor_report *r)
{
    bool is_new = s->failing == 0;
    s->is_checkpoint_asked = false;
    s->failing = r->code;
    note_error(s, r->text);
    if (is_new || s->outstanding > 0) {
        channel_put(s->to_journal, &(struct store_order){.wish = WISH_FAILING, .code = r->code});
    }
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
        store_view_note_damage(&s->view.lmdb, work->damaged[i].table,
                               span_of(work->damaged[i].key, work->damaged[i].key_size));
    }
    free(work);
    s->is_work_news = true;
}

/* The actor has the store open anew: after a compaction or a failure of the disk. If that one is dead too by now,
 * the actor opens another when the one before is released. */
static void take_replacement(store_t *s, const struct store_db *db)
{
    struct store_view_lmdb *v = &s->view.lmdb;
    store_view_close(v);
    s->db = db;
    int rc = store_view_open(v, db);
    v->is_awaited = rc == MDB_PANIC;
    v->error = v->is_awaited ? 0 : rc;
    channel_put(s->to_tables, &(struct store_order){.wish = WISH_RELEASE});
}

static void take_counts(store_t *s, const struct store_actor_report *r)
{
    bool is_of_journal = r->kind == REPORT_BATCHES || r->kind == REPORT_WAITS;
    uint64_t day = clock_wall_ms() / DAY_MS;
    if (day != s->day) {
        s->day = day;
        s->day_began_bytes = store_counts(s).bytes_written;
    }
    *(is_of_journal ? &s->journal_counts : &s->tables_counts) = r->counts;
}

static bool receive(store_t *s, bool is_waiting, struct store_actor_report *ret)
{
    bool is_there = channel_take(s->reports, ret);
    while (!is_there && is_waiting) {
        channel_wait(s->reports, -1);
        is_there = channel_take(s->reports, ret);
    }
    return is_there;
}

bool store_flow_take(store_t *s, bool is_waiting, struct store_report *ret_report,
                     bool *ret_is_news)
{
    struct store_actor_report r;
    *ret_is_news = false;
    if (!receive(s, is_waiting, &r)) {
        return false;
    }
    take_counts(s, &r);
    switch (r.kind) {
    case REPORT_BATCHES:
        *ret_is_news = take_settled(s, &r, ret_report);
        break;
    case REPORT_WAITS:
        s->is_room_wanted = true;
        break;
    case REPORT_APPLIED:
        take_applied(s, &r);
        break;
    case REPORT_FAILING:
        take_failing(s, &r);
        break;
    case REPORT_MEASURE:
        s->measuring_since_ns = 0;
        s->is_measured = true;
        s->measure = r.measure;
        break;
    case REPORT_WORK:
        take_work(s, r.work);
        break;
    case REPORT_REPLACED:
        take_replacement(s, r.db);
        break;
    }
    store_flow_settle(s);
    return true;
}

static bool is_replacement(const void *message)
{
    const struct store_actor_report *r = message;
    return r->kind == REPORT_REPLACED;
}

/* What else is told meanwhile waits where it is, for the loop. */
bool store_flow_mend(void *ctx)
{
    store_t *s = ctx;
    struct store_actor_report r;
    uint64_t until_ns = clock_boot_ns() + MEND_NS;
    bool is_mended = false;
    while (!is_mended && clock_boot_ns() < until_ns) {
        if (channel_take_wanted(s->reports, is_replacement, &r)) {
            take_replacement(s, r.db);
            is_mended = !s->view.lmdb.is_awaited;
        } else {
            channel_wait(s->reports, 100);
        }
    }
    channel_stir(s->reports);
    return is_mended && s->view.lmdb.error == 0;
}
