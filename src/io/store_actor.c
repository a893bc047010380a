/* SPDX-License-Identifier: MPL-2.0 */
/* The thread that writes the tables: puts what is durable in the journal into them, many batches at a time (a
 * checkpoint), and does what takes long (checking, compacting) when nothing is due. See store.h and store_priv.h.
 *
 * The loop hands batches over when a checkpoint is due, and asks for one. One that fails is tried again, at longer and longer intervals,
 * and whenever it is asked for: what is acknowledged waits in the journal. */
#define _GNU_SOURCE
#include "io/store_priv.h"

#include "base/err.h"
#include "base/text.h"
#include "io/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_NS ((uint64_t) 1000000000)
#define UNASKED_NS (60 * SECOND_NS) /* should nobody ask for a checkpoint */
#define RETRY_NS_MIN SECOND_NS
#define RETRY_NS_MAX (10 * SECOND_NS)
#define SYNCS_A_COMMIT 2 /* LMDB syncs the pages, then writes its meta page through O_DSYNC */
#define READERS_CHECKED_NS (60 * SECOND_NS)
#define NEVER_NS UINT64_MAX

struct store_actor {
    struct store_db *db;  /* the store */
    struct store_db *old; /* replaced, perhaps still read by the loop; NULL: none */
    bool is_to_compact; /* once, by itself */
    channel_t *orders, *reports;
    struct store_batch *first, *last; /* durable, not in the tables */
    uint64_t record;                  /* the tables will have all up to here */
    uint64_t due_ns;                  /* a checkpoint; NEVER_NS: nothing waits */
    uint64_t retry_ns;                /* after another failure; 0: the last one did not fail */
    int failure;                      /* why it did: LMDB's or errno's code */
    struct store_counts counts;
    uint64_t readers_checked_ns;
    int io_fd; /* what this thread has written; -1: the kernel does not tell */
    bool is_ended;
    bool wants_measure, wants_check, wants_compact;
    bool is_lost; /* nobody can tell which file is the store: nothing is written any more */
    struct store_scan scan; /* work NULL: none is under way */
    uint64_t scan_begun_ns;
};

static void tell(struct store_actor *a, struct store_actor_report *report)
{
    report->counts = a->counts;
    channel_put(a->reports, report);
}

/* "wchar: N" of /proc/thread-self/io: bytes that this thread passed to write calls. */
static int open_count(void)
{
    return open("/proc/thread-self/io", O_RDONLY | O_CLOEXEC);
}

static void count_written(int io_fd, struct store_counts *counts)
{
    char text[256];
    ssize_t size = io_fd < 0 ? -1 : pread(io_fd, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    const char *at = strstr(text, "wchar: ");
    if (at != NULL) {
        counts->bytes_written = strtoull(at + strlen("wchar: "), NULL, 10) + counts->bytes_copied;
        counts->is_bytes_known = true;
    }
}

/* Another process that read the store and was killed would keep pages from being used again. */
static void check_readers(struct store_actor *a)
{
    uint64_t now_ns = clock_boot_ns();
    int dead = 0;
    if (now_ns - a->readers_checked_ns >= READERS_CHECKED_NS) {
        a->readers_checked_ns = now_ns;
        mdb_reader_check(a->db->env, &dead);
    }
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static void replace(struct store_actor *a, struct store_db *made)
{
    struct store_actor_report r = {.kind = REPORT_REPLACED, .db = made};
    a->old = a->db;
    a->db = made;
    tell(a, &r);
}

/* After a failed write of its meta page an environment refuses everything for good. */
static void reopen_if_dead(struct store_actor *a)
{
    MDB_txn *txn = NULL;
    struct store_db *made = NULL;
    int rc = mdb_txn_begin(a->db->env, NULL, MDB_RDONLY, &txn);
    if (txn != NULL) {
        mdb_txn_abort(txn);
    }
    if (rc == MDB_PANIC && a->old == NULL && store_reopen(a->db, &made) == 0) {
        replace(a, made);
    }
}

static void tell_applied(struct store_actor *a)
{
    struct store_actor_report r = {
        .kind = REPORT_APPLIED, .batches = a->first, .record = a->record};
    a->first = a->last = NULL;
    a->due_ns = NEVER_NS;
    a->retry_ns = 0;
    a->counts.checkpoints++;
    a->counts.syncs += SYNCS_A_COMMIT;
    tell(a, &r);
    check_readers(a);
}

static void tell_failing(struct store_actor *a, int code)
{
    /* LMDB that gave up does not say why: what it said first holds. */
    bool is_news = code != MDB_PANIC || a->retry_ns == 0;
    code = a->failure = is_news ? code : a->failure;
    struct store_actor_report r = {.kind = REPORT_FAILING, .code = code};
    text_copy(r.text, sizeof r.text,
              a->is_lost ? "the disk failed while the store was being compacted"
                         : store_db_text(code));
    tell(a, &r);
    if (!a->is_lost) {
        reopen_if_dead(a);
    }
    a->retry_ns = a->retry_ns == 0 ? RETRY_NS_MIN : 2 * a->retry_ns;
    a->retry_ns = a->retry_ns < RETRY_NS_MAX ? a->retry_ns : RETRY_NS_MAX;
    a->due_ns = clock_boot_ns() + a->retry_ns;
}

/* Puts all that waits into the tables, and that they have it. */
static void checkpoint(struct store_actor *a)
{
    if (a->due_ns == NEVER_NS) {
        return;
    }
    int rc = a->is_lost ? EIO : store_db_commit(a->db, a->first, a->record);
    count_written(a->io_fd, &a->counts);
    if (rc == 0) {
        tell_applied(a);
    } else {
        tell_failing(a, rc);
    }
}

/* ---- work ------------------------------------------------------------------------------------ */

static struct store_work *work_new(struct store_actor *a, enum store_work_kind kind)
{
    struct store_work *work = calloc(1, sizeof *work);
    if (work != NULL) {
        work->kind = kind;
    } else {
        tell(a, &(struct store_actor_report){.kind = REPORT_WORK});
    }
    return work;
}

static void tell_work(struct store_actor *a, struct store_work *work, uint64_t begun_ns)
{
    struct store_actor_report r = {.kind = REPORT_WORK, .work = work};
    work->took_ns = clock_boot_ns() - begun_ns;
    work->is_done = true;
    tell(a, &r);
}

static void scan(struct store_actor *a)
{
    if (a->scan.work == NULL) {
        checkpoint(a); /* so that it finds what was acknowledged until now */
        memset(&a->scan, 0, sizeof a->scan);
        a->scan.work = work_new(a, STORE_WORK_CHECK);
        a->scan_begun_ns = clock_boot_ns();
        a->wants_check = a->scan.work != NULL;
        if (a->scan.work == NULL) {
            return;
        }
    }
    if (store_scan_turn(&a->scan, a->db)) {
        tell_work(a, a->scan.work, a->scan_begun_ns);
        a->scan.work = NULL;
        a->wants_check = false;
    }
}

static void compact(struct store_actor *a, bool is_by_itself)
{
    struct store_work *work = work_new(a, STORE_WORK_COMPACT);
    struct store_db *made = NULL;
    struct store_figures figures = {0};
    uint64_t begun_ns = clock_boot_ns();
    uint64_t written = 0;
    if (work == NULL) {
        return;
    }
    checkpoint(a); /* if it fails, the copy is without, and the journal keeps it */
    work->is_by_itself = is_by_itself;
    if (store_db_figures(a->db, &figures) == 0) {
        work->bytes_before = figures.file_bytes;
    }
    if (a->old != NULL || a->is_lost) {
        work->code = a->is_lost ? HM_EIO : HM_EBUSY;
        text_copy(work->text, sizeof work->text, "the one before is not over yet");
    } else {
        work->code = store_compact(a->db, &made, &written, work->text, sizeof work->text);
    }
    a->is_lost |= work->code == HM_ESTALE;
    a->counts.bytes_copied += written;
    count_written(a->io_fd, &a->counts);
    if (made != NULL) {
        replace(a, made);
        work->bytes_after = written;
    }
    tell_work(a, work, begun_ns);
}

/* The start is over. */
static bool is_written_to(const struct store_actor *a)
{
    return a->first != NULL || a->counts.checkpoints > 0;
}

static void do_work(struct store_actor *a)
{
    if (a->wants_measure) {
        struct store_actor_report r = {.kind = REPORT_MEASURE};
        uint64_t begun_ns = clock_boot_ns();
        a->wants_measure = false;
        r.measure.error = store_db_try_disk(a->db);
        r.measure.sync_ns = clock_boot_ns() - begun_ns;
        tell(a, &r);
    }
    if (a->wants_compact && !a->is_ended) {
        a->wants_compact = false;
        compact(a, false);
    } else if (a->is_to_compact && is_written_to(a) && !a->is_ended) {
        a->is_to_compact = false;
        compact(a, true);
    }
    if (a->wants_check && !a->is_ended) {
        scan(a);
    }
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void release_old(struct store_actor *a)
{
    store_db_close(a->old);
    free(a->old);
    a->old = NULL;
}

static void take_batches(struct store_actor *a, struct store_batch *first)
{
    if (a->last == NULL) {
        a->first = first;
    } else {
        a->last->next = first;
    }
    for (a->last = first; a->last->next != NULL; a->last = a->last->next) {
    }
    a->record = a->last->record;
    if (a->due_ns == NEVER_NS) { /* not at once: one that fails would be tried twice, since it is asked for next */
        a->due_ns = clock_boot_ns() + UNASKED_NS;
    }
}

static void take_order(struct store_actor *a, const struct store_order *order)
{
    switch ((int) order->wish) {
    case WISH_APPLY:
        take_batches(a, order->batches);
        break;
    case WISH_BURN: /* all before it were handed over */
        a->record = order->record;
        a->due_ns = 0;
        break;
    case WISH_CHECKPOINT:
        if (a->due_ns == NEVER_NS) { /* all is in the tables: who asks gets an answer */
            tell(a, &(struct store_actor_report){.kind = REPORT_APPLIED, .record = a->record});
        } else {
            a->due_ns = 0;
        }
        break;
    case WISH_MEASURE:
        a->wants_measure = true;
        break;
    case WISH_CHECK:
        a->wants_check = true;
        break;
    case WISH_COMPACT:
        a->wants_compact = true;
        break;
    case WISH_RELEASE:
        release_old(a);
        if (a->retry_ns != 0 && !a->is_lost) {
            reopen_if_dead(a); /* it failed again before the loop had it */
        }
        break;
    case WISH_END:
        a->is_ended = true;
        break;
    default:
        HM_ASSERT(!"an order that is not the actor's");
    }
}

/* Until something comes or is due. */
static void wait_for_news(struct store_actor *a)
{
    uint64_t now_ns = clock_boot_ns();
    if (a->due_ns == NEVER_NS) {
        channel_wait(a->orders, -1);
    } else if (a->due_ns > now_ns) {
        channel_wait(a->orders, (int) ((a->due_ns - now_ns) / 1000000 + 1));
    }
}

/* ---- its life -------------------------------------------------------------------------------- */

static void turn(struct store_actor *a)
{
    struct store_order order;
    if (!a->wants_check && !a->wants_compact && !a->wants_measure) {
        wait_for_news(a);
    }
    while (!a->is_ended && channel_take(a->orders, &order)) {
        take_order(a, &order);
    }
    if (a->is_ended || a->due_ns <= clock_boot_ns()) {
        checkpoint(a);
    }
    do_work(a);
}

void *store_actor_run(void *arg)
{
    struct store_actor *a = arg;
    a->io_fd = open_count();
    a->readers_checked_ns = clock_boot_ns();
    while (!a->is_ended) {
        turn(a);
    }
    return NULL;
}

struct store_actor *store_actor_new(struct store_db *db, bool compacts, channel_t *orders, channel_t *reports)
{
    struct store_actor *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return NULL;
    }
    a->orders = orders;
    a->reports = reports;
    a->db = db;
    a->is_to_compact = compacts;
    a->record = db->applied;
    a->due_ns = NEVER_NS;
    a->io_fd = -1;
    return a;
}

void store_actor_free(struct store_actor **p)
{
    struct store_actor *a = *p;
    if (a == NULL) {
        return;
    }
    if (a->io_fd >= 0) {
        close(a->io_fd);
    }
    if (a->old != NULL) {
        release_old(a);
    }
    store_db_close(a->db);
    free(a->db);
    free(a->scan.work);
    store_batches_destroy(&a->first);
    free(a);
    *p = NULL;
}
