/* SPDX-License-Identifier: MPL-2.0 */
/* The store's thread: commits what it is handed, and does what takes long (checking, compacting) when
 * nothing waits. See store.h and store_priv.h.
 *
 * A failure discards every batch of the same generation; the generation rises when the loop has taken
 * that report. */
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

/* What goes into one transaction: more, and the first of them waits long for the disk. */
#define GROUP_BATCHES_MAX STORE_BATCHES_MAX
#define GROUP_BYTES_MAX ((size_t) 8 << 20)

#define SYNCS_A_COMMIT 2 /* LMDB syncs the pages, then writes its meta page through O_DSYNC */
#define READERS_CHECKED_NS ((uint64_t) 60 * 1000000000)

struct store_actor {
    struct store_db *db;  /* the store */
    struct store_db *old; /* replaced, perhaps still read by the loop; NULL: none */
    bool is_to_compact;   /* once, by itself */
    zsock_t *pipe;
    void *socket;
    struct store_batch *group[GROUP_BATCHES_MAX]; /* for one transaction */
    size_t group_count;
    size_t group_bytes;
    struct store_batch *held; /* does not go with them; the first of the next */
    uint64_t failed_generation;
    struct store_counts counts;
    uint64_t readers_checked_ns;
    int io_fd; /* what this thread has written; -1: the kernel does not tell */
    bool is_ended;
    bool wants_measure, wants_check, wants_compact;
    bool is_lost; /* nobody can tell which file is the store: nothing is written any more */
    struct store_scan scan; /* work NULL: none is under way */
    uint64_t scan_begun_ns;
};

/* Tells the loop. The pipe has room for a report for each outstanding batch. */
static void tell(struct store_actor *a, struct store_actor_report *report)
{
    void *socket = zsock_resolve(a->pipe);
    report->counts = a->counts;
    while (zmq_send(socket, report, sizeof *report, 0) < 0 && zmq_errno() == EINTR) {
    }
}

/* ---- what is written ------------------------------------------------------------------------- */

/* "wchar: N" is the second line: bytes that this thread passed to write calls. */
static void count_written(struct store_actor *a)
{
    char text[256];
    ssize_t size = a->io_fd < 0 ? -1 : pread(a->io_fd, text, sizeof text - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    const char *at = strstr(text, "wchar: ");
    if (at != NULL) {
        a->counts.bytes_written =
            strtoull(at + strlen("wchar: "), NULL, 10) + a->counts.bytes_copied;
        a->counts.is_bytes_known = true;
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

/* ---- committing ------------------------------------------------------------------------------ */

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

static int write_group(struct store_actor *a, struct store_actor_report *r)
{
    if (a->is_lost) {
        text_copy(r->text, sizeof r->text, "the disk failed while the store was being compacted");
        return HM_EIO;
    }
    int rc = store_db_commit(a->db, a->group, a->group_count, r->text, sizeof r->text);
    if (rc == HM_OK) {
        a->counts.commits++;
        a->counts.syncs += SYNCS_A_COMMIT;
    }
    count_written(a);
    return rc;
}

static void commit_group(struct store_actor *a)
{
    uint64_t generation = a->group[0]->generation;
    struct store_actor_report r = {.kind = REPORT_BATCHES,
                                   .batches = a->group_count,
                                   .bytes = a->group_bytes,
                                   .is_covered = generation == a->failed_generation};
    if (!r.is_covered) {
        r.reason = write_group(a, &r);
    }
    if (r.reason != HM_OK) {
        a->failed_generation = generation;
    }
    r.batch = r.reason == HM_OK ? a->group[a->group_count - 1]->number : a->group[0]->number;
    tell(a, &r);
    for (size_t i = 0; i < a->group_count; i++) {
        store_batch_destroy(&a->group[i]);
    }
    a->group_count = 0;
    a->group_bytes = 0;
    if (r.reason != HM_OK && !a->is_lost) {
        reopen_if_dead(a);
    } else {
        check_readers(a);
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
    count_written(a);
    if (made != NULL) {
        replace(a, made);
        work->bytes_after = written;
    }
    tell_work(a, work, begun_ns);
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
    } else if (a->is_to_compact && a->counts.commits > 0 && !a->is_ended) {
        a->is_to_compact = false; /* the start is over */
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

static void take_wish(struct store_actor *a, char wish)
{
    switch (wish) {
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
        break;
    default:
        HM_ASSERT(!"a wish that nobody has");
    }
}

/* Takes one message off the pipe. False: there is none. */
static bool take_message(struct store_actor *a, int flags, struct store_batch **ret_batch)
{
    char bytes[16];
    *ret_batch = NULL;
    int got = zmq_recv(a->socket, bytes, sizeof bytes, flags);
    if (got < 0) {
        a->is_ended |= zmq_errno() == ETERM;
        return zmq_errno() == EINTR;
    }
    if (got == (int) sizeof *ret_batch) {
        memcpy(ret_batch, bytes, sizeof *ret_batch);
    } else if (got == 1) {
        take_wish(a, bytes[0]);
    } else {
        a->is_ended = true; /* "$TERM", the only other message */
    }
    return true;
}

/* Into the group, or held for the next: of another generation, or too much for one transaction. */
static void take_batch(struct store_actor *a, struct store_batch *batch)
{
    if (a->group_count > 0 && (a->group[0]->generation != batch->generation ||
                               a->group_bytes + batch->bytes > GROUP_BYTES_MAX)) {
        a->held = batch;
        return;
    }
    a->group[a->group_count++] = batch;
    a->group_bytes += batch->bytes;
}

/* One message is awaited; what else is there by then goes into the same transaction. */
static void gather(struct store_actor *a)
{
    struct store_batch *batch = a->held;
    bool is_waiting = batch == NULL && !a->wants_check && !a->is_ended;
    a->held = NULL;
    if (batch != NULL) {
        take_batch(a, batch);
    }
    while (a->held == NULL && a->group_count < GROUP_BATCHES_MAX && !a->is_ended &&
           take_message(a, is_waiting ? 0 : ZMQ_DONTWAIT, &batch)) {
        is_waiting = false;
        if (batch != NULL) {
            take_batch(a, batch);
        }
    }
}

/* ---- its life -------------------------------------------------------------------------------- */

void store_actor_run(zsock_t *pipe, void *args)
{
    struct store_actor *a = args;
    a->pipe = pipe;
    a->socket = zsock_resolve(pipe);
    a->io_fd = open("/proc/thread-self/io", O_RDONLY | O_CLOEXEC);
    a->readers_checked_ns = clock_boot_ns();
    zsock_signal(pipe, 0);
    while (!a->is_ended || a->held != NULL) {
        gather(a);
        if (a->group_count > 0) {
            commit_group(a);
        }
        do_work(a);
    }
}

struct store_actor *store_actor_new(struct store_db *db, bool compacts)
{
    struct store_actor *a = calloc(1, sizeof *a);
    if (a != NULL) {
        a->db = db;
        a->is_to_compact = compacts;
        a->io_fd = -1;
    }
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
    free(a);
    *p = NULL;
}
