/* SPDX-License-Identifier: MPL-2.0 */
/* The thread that appends to the journal: takes all batches that wait, makes one record of them, syncs it, tells
 * the loop. See store_priv.h.
 *
 * It waits, and batches with it, while the journal has no room, after an append that failed until that one is
 * burnt, and while the tables cannot be written; then the next word of the loop decides: applied, or fail.
 *
 * A failure discards every batch of the same generation; the generation rises when the loop has taken
 * that report. */
#define _GNU_SOURCE
#include "io/store_priv.h"

#include "base/err.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Goes into one record: more, and the first of them waits long for the disk. */
#define GROUP_BYTES_MAX ((size_t) 1 << 20)

struct store_appender {
    journal_t *journal;
    channel_t *orders, *reports;
    struct store_batch *first, *last; /* what waits, in order; bounded by what may be outstanding */
    uint64_t failed_generation;
    int failing; /* the tables cannot be written: LMDB's or errno's code; 0: they can */
    bool is_waiting_told;
    bool is_ended;
    struct store_counts counts;
};

/* The first of those that wait, as many as go into one record. */
struct record_group {
    struct store_batch *last;
    size_t count, bytes;
    size_t content_bytes; /* in the journal */
};

/* ---- a group --------------------------------------------------------------------------------- */

static struct record_group next_group(const struct store_appender *a)
{
    struct record_group g = {.count = 0};
    for (struct store_batch *b = a->first; b != NULL; b = b->next) {
        if (g.count > 0 &&
            (b->generation != a->first->generation || g.bytes + b->bytes > GROUP_BYTES_MAX)) {
            break;
        }
        g.last = b;
        g.count++;
        g.bytes += b->bytes;
        g.content_bytes += journal_content_bytes(b);
    }
    return g;
}

/* Takes the group out of those that wait, and tells of it. */
static void settle(struct store_appender *a, const struct record_group *g, struct store_actor_report *r)
{
    struct store_batch *first = a->first;
    a->first = g->last->next;
    a->last = a->first == NULL ? NULL : a->last;
    g->last->next = NULL;
    if (r->reason != HM_OK) {
        a->failed_generation = first->generation;
    }
    r->kind = REPORT_BATCHES;
    r->settled = g->count;
    r->bytes = g->bytes;
    r->batch = r->reason == HM_OK ? g->last->number : first->number;
    r->batches = first;
    r->counts = a->counts;
    channel_put(a->reports, r);
}

static void fail_group(struct store_appender *a, const struct record_group *g, int code, uint64_t record)
{
    struct store_actor_report r = {.reason = store_db_code(code), .record = record};
    text_copy(r.text, sizeof r.text, store_db_text(code));
    settle(a, g, &r);
}

/* Discards what came before the loop took the report of a failure. False: it did not. */
static bool discard_covered(struct store_appender *a, const struct record_group *g)
{
    struct store_actor_report r = {.reason = HM_EIO, .is_covered = true};
    if (a->first->generation != a->failed_generation) {
        return false;
    }
    settle(a, g, &r);
    return true;
}

static void append_group(struct store_appender *a, struct record_group *g)
{
    struct store_actor_report r = {.reason = HM_OK};
    struct store_batch *after = g->last->next;
    uint64_t record = 0;
    size_t bytes = 0;
    g->last->next = NULL;
    int rc = journal_append(a->journal, a->first, &record, &bytes);
    g->last->next = after;
    a->counts.bytes_written = journal_written(a->journal);
    if (rc != 0) {
        fail_group(a, g, rc, record);
        return;
    }
    a->counts.commits++;
    a->counts.syncs++;
    for (struct store_batch *b = a->first; b != after; b = b->next) {
        b->record = record;
    }
    a->first->record_bytes = bytes;
    settle(a, g, &r);
}

/* Appends the next group if it may; if not, says once that it waits, and returns false. */
static bool try_group(struct store_appender *a)
{
    struct record_group g = next_group(a);
    if (discard_covered(a, &g)) {
        return true;
    }
    if (a->failing == 0 && journal_has_room(a->journal, g.content_bytes)) {
        append_group(a, &g);
        return true;
    }
    if (a->failing == 0 && !a->is_waiting_told) {
        channel_put(a->reports,
                    &(struct store_actor_report){.kind = REPORT_WAITS, .counts = a->counts});
        a->is_waiting_told = true;
    }
    return false;
}

static void fail_all(struct store_appender *a, int code)
{
    while (a->first != NULL) {
        struct record_group g = next_group(a);
        if (!discard_covered(a, &g)) {
            fail_group(a, &g, code, 0);
        }
    }
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void take_batches(struct store_appender *a, struct store_batch *first)
{
    if (a->last == NULL) {
        a->first = first;
    } else {
        a->last->next = first;
    }
    for (a->last = first; a->last->next != NULL; a->last = a->last->next) {
    }
}

static void take_order(struct store_appender *a, const struct store_order *order)
{
    switch ((int) order->wish) {
    case WISH_APPEND:
        take_batches(a, order->batches);
        break;
    case WISH_APPLIED:
        journal_applied(a->journal, order->record);
        a->failing = 0;
        a->is_waiting_told = false;
        break;
    case WISH_FAILING:
        a->failing = order->code;
        fail_all(a, order->code);
        break;
    case WISH_STOP:
        a->is_ended = true;
        break;
    default:
        HM_ASSERT(!"an order that is not the appender's");
    }
}

/* ---- its life -------------------------------------------------------------------------------- */

void *store_appender_run(void *arg)
{
    struct store_appender *a = arg;
    struct store_order order;
    /* The other thread counts what LMDB writes there; then the sum is known. */
    a->counts.is_bytes_known = access("/proc/thread-self/io", R_OK) == 0;
    bool is_going = false;
    while (!a->is_ended || is_going) {
        while (channel_take(a->orders, &order)) {
            take_order(a, &order);
        }
        is_going = a->first != NULL && try_group(a) && a->first != NULL;
        if (!is_going && !a->is_ended) {
            channel_wait(a->orders, -1);
        }
    }
    return NULL;
}

struct store_appender *store_appender_new(journal_t *journal, channel_t *orders, channel_t *reports)
{
    struct store_appender *a = calloc(1, sizeof *a);
    if (a != NULL) {
        a->orders = orders;
        a->reports = reports;
        a->journal = journal;
    }
    return a;
}

void store_appender_free(struct store_appender **p)
{
    struct store_appender *a = *p;
    if (a == NULL) {
        return;
    }
    journal_close(&a->journal);
    store_batches_destroy(&a->first);
    free(a);
    *p = NULL;
}
