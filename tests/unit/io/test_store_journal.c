/* SPDX-License-Identifier: MPL-2.0 */
/* The journal before the tables: what a killed process left is there again; torn, stale, flipped and doubled records
 * are told apart; a journal that is full waits; a disk that fails loses nothing that was acknowledged and brings back
 * nothing that was refused; and what is in the overlay reads like what is in the tables. */
#define _GNU_SOURCE
#include "../unit.h"

#include "no_direct.h"
#include "scratch_store.h"

#include "base/omap.h"
#include "base/prng.h"
#include "io/clock.h"
#include "io/journal.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* Small files, so that they are written many rounds. */
const size_t journal_file_bytes = 96 << 10;

/* ---- a disk that fails when it is told to ---- */

static _Atomic int journal_fails;     /* so many writes of the journal fail, each half way */
static _Atomic int journal_sync_fails; /* so many syncs of it */
static _Atomic bool journal_is_short;  /* it cannot be made longer: no room */
static _Atomic bool tables_fail;      /* every write of the tables does: no room */
static _Atomic bool metas_fail;       /* those of a meta page do, the last of a transaction */
static _Atomic int failed_metas;      /* so many did */

static void *real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    assert_non_null(function);
    return function;
}

static bool is_of(int fd, const char *name)
{
    char link[64], path[SCRATCH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = '\0';
    return strstr(path, name) != NULL;
}

static bool takes_one(_Atomic int *left)
{
    return *left > 0 && (*left)-- > 0;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    ssize_t (*write_it)(int, const void *, size_t, off_t) =
        (ssize_t(*)(int, const void *, size_t, off_t)) real("pwrite");
    if (journal_fails > 0 && is_of(fd, "/journal.") && takes_one(&journal_fails)) {
        write_it(fd, bytes, size / 2, at);
        errno = EIO;
        return -1;
    }
    if (journal_sync_fails > 0 && (fcntl(fd, F_GETFL) & O_DSYNC) != 0 && is_of(fd, "/journal.") &&
        takes_one(&journal_sync_fails)) {
        write_it(fd, bytes, size, at);
        errno = EIO;
        return -1;
    }
    if (is_direct_refused(fd)) {
        errno = EINVAL;
        return -1;
    }
    struct stat st;
    if (metas_fail && size < 4096 && is_of(fd, "/data.mdb")) {
        failed_metas++;
        errno = ENOSPC;
        return -1;
    }
    if ((tables_fail && is_of(fd, "/data.mdb")) ||
        (journal_is_short && is_of(fd, "/journal.") && fstat(fd, &st) == 0 && at >= st.st_size)) {
        errno = ENOSPC;
        return -1;
    }
    return write_it(fd, bytes, size, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    if (tables_fail && is_of(fd, "/data.mdb")) {
        errno = ENOSPC;
        return -1;
    }
    return ((ssize_t(*)(int, const struct iovec *, int, off_t)) real("pwritev"))(fd, parts, count,
                                                                               at);
}

int fdatasync(int fd)
{
    if (journal_sync_fails > 0 && is_of(fd, "/journal.") && takes_one(&journal_sync_fails)) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int)) real("fdatasync"))(fd);
}

/* ---- a store ---- */

static int remove_dir(void **state)
{
    journal_fails = journal_sync_fails = 0;
    journal_is_short = false;
    tables_fail = metas_fail = false;
    return scratch_teardown(state);
}

/* Key n % 50 is n, in `size` bytes; "last" is n. Returns the reason of the report. */
static int put_sized(store_t *s, uint64_t n, size_t size)
{
    static uint8_t value[300000];
    struct store_report r;
    char key[16];
    assert_true(size <= sizeof value);
    memset(value, (int) n, size);
    snprintf(key, sizeof key, "k%02u", (unsigned) (n % 50));
    struct store_entry entries[] = {
        {STORE_SELF, span_of("last", 4), span_of(&n, sizeof n)},
        {STORE_ENTRIES, span_of(key, strlen(key)), span_of(value, size)}};
    assert_int_equal(store_persist(s, n, entries, 2), HM_OK);
    wait_report(s, &r);
    assert_int_equal(r.batch, n);
    return r.reason;
}

static void put(store_t *s, uint64_t n)
{
    assert_int_equal(put_sized(s, n, 100), HM_OK);
}

static uint64_t last_of(store_t *s)
{
    struct store_view v = store_view(s);
    struct span value;
    uint64_t last = 0;
    if (v.get(v.ctx, STORE_SELF, span_of("last", 4), &value)) {
        assert_int_equal(value.size, sizeof last);
        memcpy(&last, value.data, sizeof last);
    }
    store_view_done(s);
    if (store_view_error(s) != NULL) {
        fail_msg("cannot be read: %s", store_view_error(s));
    }
    return last;
}

/* Batches 1 to n of `put` are there. */
static void assert_all(store_t *s, uint64_t n)
{
    struct store_view v = store_view(s);
    struct span value;
    assert_int_equal(last_of(s), n);
    for (uint64_t i = n > 50 ? n - 49 : 1; i <= n; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%02u", (unsigned) (i % 50));
        assert_true(v.get(v.ctx, STORE_ENTRIES, span_of(key, strlen(key)), &value));
        assert_int_equal(value.size, 100);
        assert_int_equal(value.data[99], i & 0xff);
    }
    store_view_done(s);
}

/* Writes batches in a process that is killed with the journal filled. No checkpoint comes between. */
static void die_with_journal(uint64_t from, uint64_t to)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        store_t *s = open_store();
        for (uint64_t n = from; n <= to; n++) {
            put(s, n);
        }
        _exit(store_counts(s).checkpoints == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void change_journal(unsigned number, void (*change)(int fd, off_t at), off_t at)
{
    char path[SCRATCH_BYTES], name[32];
    snprintf(name, sizeof name, "store/journal.%u", number);
    int fd = open(scratch_path(dir, name, path), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    change(fd, at);
    close(fd);
}

static void flip(int fd, off_t at)
{
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static off_t record_at(size_t index) /* one block each */
{
    return (off_t) ((1 + index) * JOURNAL_BLOCK_BYTES);
}

/* ---- what a start finds ---- */

static void test_killed_with_a_filled_journal(void **state)
{
    (void) state;
    struct why why;
    store_t *s = open_store();
    put(s, 1);
    store_close(&s);
    for (int start = 0; start < 3; start++) {
        uint64_t from = 2 + 5 * (uint64_t) start;
        die_with_journal(from, from + 4);
        assert_int_equal(store_check(dir, NULL, &why), STORE_SOUND);
        s = open_store();
        assert_null(store_lost(s));
        assert_all(s, from + 4);
        assert_int_equal(store_damaged(s), 0);
        store_close(&s);
        s = open_store(); /* and it is not applied again */
        assert_all(s, from + 4);
        store_close(&s);
    }
}

/* Two processes that die before a checkpoint, the second right after its replay: nothing goes back. */
static void test_replayed_twice(void **state)
{
    (void) state;
    char path[SCRATCH_BYTES], data[SCRATCH_BYTES], aside[SCRATCH_BYTES];
    store_t *s = open_store();
    put(s, 1);
    store_close(&s);
    die_with_journal(2, 6);
    /* The tables as before the replay, kept: a power cut took back the whole replay. */
    scratch_path(dir, "store/data.mdb", data);
    scratch_path(dir, "kept", aside);
    static char bytes[1 << 20];
    size_t size = scratch_read(data, bytes, sizeof bytes);
    s = open_store();
    assert_all(s, 6);
    store_close(&s);
    scratch_write(data, bytes, size);
    assert_int_equal(unlink(scratch_path(dir, "store/lock.mdb", path)), 0);
    s = open_store();
    assert_null(store_lost(s));
    assert_all(s, 6);
    store_close(&s);
}

/* The end of the newest record is missing, or it is not there at all: it was never acknowledged. */
static void test_torn_record(void **state)
{
    (void) state;
    store_t *s = open_store();
    put(s, 1);
    store_close(&s);
    die_with_journal(2, 6);
    change_journal(0, flip, record_at(4) + 60);
    s = open_store();
    assert_null(store_lost(s));
    assert_all(s, 5);
    put(s, 6);
    assert_all(s, 6);
    store_close(&s);
    s = open_store();
    assert_all(s, 6);
    store_close(&s);
}

/* Any bit of a record that was acknowledged, with sound ones behind it: what was before it is there, the rest is told
 * as lost, and never comes again. */
static void test_damage_is_told(void **state)
{
    (void) state;
    static const off_t places[] = {0, 9, 25, 33, 41, 57, 150};
    for (size_t i = 0; i < ARRAY_COUNT(places); i++) {
        store_t *s = open_store();
        put(s, 1);
        store_close(&s);
        die_with_journal(2, 8);
        change_journal(0, flip, record_at(2) + places[i]);
        s = open_store();
        assert_all(s, 3);
        assert_non_null(store_lost(s));
        assert_non_null(strstr(store_lost(s), "4 records"));
        assert_int_equal(store_damaged(s), 1);
        put(s, 4);
        store_close(&s);
        s = open_store();
        assert_null(store_lost(s));
        assert_int_equal(store_damaged(s), 0);
        assert_all(s, 4);
        store_close(&s);
        scratch_remove(dir);
        scratch_make(dir);
    }
}

static void cut_to(int fd, off_t at)
{
    assert_int_equal(ftruncate(fd, at), 0);
}

/* A file that is gone, empty, or another store's is told, and made anew. */
static void test_damaged_files(void **state)
{
    (void) state;
    char path[SCRATCH_BYTES];
    for (int way = 0; way < 4; way++) {
        struct why why;
        store_t *s = open_store();
        put(s, 1);
        store_close(&s);
        if (way == 0) {
            assert_int_equal(unlink(scratch_path(dir, "store/journal.1", path)), 0);
        } else if (way == 1) {
            change_journal(1, cut_to, 0);
        } else if (way == 2) {
            change_journal(1, flip, 20);
        } else {
            change_journal(0, cut_to, 100);
        }
        assert_int_equal(store_check(dir, NULL, &why), STORE_SOUND);
        s = open_store();
        assert_non_null(store_lost(s));
        assert_non_null(strstr(store_lost(s), "gone, cut short or unreadable"));
        assert_all(s, 1);
        for (uint64_t n = 2; n < 40; n++) {
            put(s, n);
        }
        store_close(&s);
        s = open_store();
        assert_null(store_lost(s));
        assert_int_equal(last_of(s), 39);
        store_close(&s);
        scratch_remove(dir);
        scratch_make(dir);
    }
}

/* A value that is a copy of the journal's own records, at blocks. */
static void test_a_journal_in_a_value(void **state)
{
    (void) state;
    static char bytes[64 << 10];
    char path[SCRATCH_BYTES];
    int status;
    store_t *s = open_store();
    put(s, 1);
    store_close(&s);
    pid_t pid = fork();
    if (pid == 0) {
        struct store_report r;
        uint64_t n = 4;
        s = open_store();
        put(s, 2);
        put(s, 3);
        scratch_read(scratch_path(dir, "store/journal.0", path), bytes, 3 * JOURNAL_BLOCK_BYTES + 1);
        /* So long a value before it that the copies lie at blocks of the file. */
        size_t before = JOURNAL_BLOCK_BYTES - JOURNAL_HEAD_BYTES - 8 - 4 - 8 - 8 - 1;
        memmove(bytes + before, bytes, 3 * JOURNAL_BLOCK_BYTES);
        struct store_entry entries[] = {
            {STORE_SELF, span_of("last", 4), span_of(&n, sizeof n)},
            {STORE_MARKS, span_of("m", 1), span_of(bytes, before + 3 * JOURNAL_BLOCK_BYTES)}};
        assert_int_equal(store_persist(s, n, entries, 2), HM_OK);
        wait_report(s, &r);
        put(s, 5);
        _exit(r.reason == HM_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    change_journal(0, flip, record_at(2) + 41); /* the record around them: now they show */
    s = open_store();
    assert_non_null(store_lost(s));
    assert_int_equal(last_of(s), 3);
    store_close(&s);
}

/* ---- full, and failing ---- */

/* Many rounds through both files, also with records that are larger than a file. */
static void test_round_and_round(void **state)
{
    (void) state;
    uint64_t n = 0;
    store_t *s = open_store();
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 40; i++) {
            put(s, ++n);
        }
        assert_int_equal(put_sized(s, ++n, 200000), HM_OK);
    }
    assert_true(store_counts(s).checkpoints > 3);
    for (int i = 0; i < 50; i++) {
        put(s, ++n);
    }
    assert_all(s, n);
    store_close(&s);
    die_with_journal(n + 1, n + 10);
    s = open_store();
    assert_null(store_lost(s));
    assert_all(s, n + 10);
    store_close(&s);
}

/* No room for the tables: what is acknowledged stays, is read, and is there after a kill; what comes is refused with
 * the reason, as soon as a checkpoint has failed; with room it goes on by itself. */
static void test_tables_fail(void **state)
{
    (void) state;
    uint64_t n = 0, refused = 0;
    struct store_condition now;
    store_t *s = open_store();
    put(s, ++n);
    tables_fail = true;
    while (refused == 0) {
        int rc = put_sized(s, n + 1, 100);
        assert_true(rc == HM_OK || rc == HM_EFULL);
        n += rc == HM_OK;
        refused += rc != HM_OK;
        assert_true(n < 60); /* the journal has not more room */
    }
    assert_true(n > 10 && store_is_full(s));
    assert_all(s, n);
    store_condition(s, &now);
    assert_true(now.journal_bytes >= 10 * JOURNAL_BLOCK_BYTES);
    if (now.are_figures_known) { /* LMDB may just be opened anew */
        assert_int_equal(now.figures.entries[STORE_ENTRIES], n > 50 ? 50 : n);
    }
    for (int i = 0; i < 3; i++) { /* each asks for a new try */
        assert_int_equal(put_sized(s, n + 1, 100), HM_EFULL);
    }
    tables_fail = false;
    for (int i = 0; i < 2 && put_sized(s, n + 1, 100) != HM_OK; i++) {
        assert_int_equal(i, 0);
    }
    n++;
    assert_false(store_is_full(s));
    put(s, ++n);
    assert_all(s, n);
    store_close(&s);
    s = open_store();
    assert_all(s, n);
    store_close(&s);
}

/* LMDB gives up for good when a meta page cannot be written, so the store is opened anew. The next try kills the new
 * one before anybody has read it: the reader waits for the one after that. */
static void test_tables_fail_before_they_are_read(void **state)
{
    (void) state;
    store_t *s = open_store();
    put(s, 1);
    checkpoint(s);
    failed_metas = 0;
    metas_fail = true;
    put(s, 2);
    store_checkpoint(s);
    for (int waits = 0; failed_metas <= 2; waits++) { /* LMDB writes twice; the next try is a second later */
        assert_true(waits < WAIT_MS);
        usleep(1000);
    }
    assert_all(s, 2);
    wait_news(s); /* what was told meanwhile waits, and says so */
    metas_fail = false;
    checkpoint(s);
    put(s, 3);
    checkpoint(s);
    assert_all(s, 3);
    store_close(&s);
    s = open_store();
    assert_all(s, 3);
    store_close(&s);
}

/* A gathered write learns that the tables cannot be written, although that is told before it is handed over. */
static void test_gathered_while_tables_fail(void **state)
{
    (void) state;
    struct store_report r;
    uint64_t n = 2;
    struct store_entry e = {STORE_SELF, span_of("last", 4), span_of(&n, sizeof n)};
    store_t *s = open_store();
    put(s, 1);
    tables_fail = true;
    store_checkpoint(s);
    for (int waits = 0; !store_is_full(s); waits++) {
        assert_true(waits < WAIT_MS);
        assert_int_equal(store_take(s, &r), HM_ENOTFOUND);
        usleep(1000);
    }
    for (int i = 0; i < 3; i++) { /* by itself it is tried again after 8 s now */
        assert_int_equal(put_sized(s, n++, 100), HM_EFULL);
    }
    store_gather(s);
    uint64_t begun_ns = clock_boot_ns();
    assert_int_equal(store_persist(s, n, &e, 1), HM_OK);
    wait_news(s); /* the turn goes on meanwhile, and reads what the threads tell */
    if (store_take(s, &r) != HM_OK) {
        store_hand_over(s);
        wait_report(s, &r);
    }
    assert_int_equal(r.reason, HM_EFULL);
    assert_true(clock_boot_ns() - begun_ns < 4 * (uint64_t) 1000000000);
    tables_fail = false;
    store_close(&s);
}

/* No room to make the journal longer, but the tables have some: a write that is refused makes room for the next. */
static void test_journal_cannot_grow(void **state)
{
    (void) state;
    uint64_t n = 0;
    store_t *s = open_store();
    journal_is_short = true;
    for (int round = 0; round < 3; round++) {
        int rc = HM_OK;
        for (int i = 0; i < 50 && rc == HM_OK; i++) {
            rc = put_sized(s, n + 1, 100);
            n += rc == HM_OK;
        }
        assert_int_equal(rc, HM_EFULL);
        assert_all(s, n);
        checkpoint(s);
        put(s, ++n);
        assert_false(store_is_full(s));
    }
    assert_int_equal(put_sized(s, n + 1, 100000), HM_EFULL); /* more than a file has */
    journal_is_short = false;
    assert_int_equal(put_sized(s, n + 1, 100000), HM_OK);
    store_close(&s);
    s = open_store();
    assert_int_equal(last_of(s), n + 1);
    assert_null(store_lost(s));
    store_close(&s);
}

static void test_closed_while_tables_fail(void **state)
{
    (void) state;
    store_t *s = open_store();
    put(s, 1);
    put(s, 2);
    tables_fail = true;
    store_close(&s);
    tables_fail = false;
    s = open_store();
    assert_null(store_lost(s));
    assert_all(s, 2);
    store_close(&s);
}

/* Checkpoints so far, once the other thread has done all it was asked for until now. */
static uint64_t checkpoints(store_t *s)
{
    struct store_measure m;
    store_measure(s);
    wait_measure(s, &m);
    return store_counts(s).checkpoints;
}

/* A write of the journal that fails half way, and a sync that does: that batch is refused and never comes back, what
 * was before it and what comes behind it stays. One checkpoint sees to that, not one for each batch from then on. */
static void test_journal_fails(void **state)
{
    (void) state;
    uint64_t n = 0;
    for (int round = 0; round < 6; round++) {
        store_t *s = open_store();
        for (int i = 0; i < 5; i++) {
            put(s, ++n);
        }
        *(round % 2 == 0 ? &journal_fails : &journal_sync_fails) = 1 + round / 4;
        assert_int_equal(put_sized(s, n + 1, 20000), HM_EIO);
        assert_all(s, n);
        if (round / 4 == 1) {
            assert_int_equal(put_sized(s, n + 1, 20000), HM_EIO);
        }
        put(s, ++n);
        uint64_t before = checkpoints(s);
        assert_true(before > 0);
        for (int i = 0; i < 8; i++) {
            put(s, ++n);
            assert_all(s, n);
        }
        assert_int_equal(checkpoints(s), before);
        store_close(&s);
        s = open_store();
        assert_null(store_lost(s));
        assert_all(s, n);
        store_close(&s);
    }
}

/* In a process that is killed: a batch whose sync failed, sound on the disk for all that. Nothing counts behind it
 * before the tables have it that it does not. */
static void refuse_one_and_die(uint64_t n)
{
    struct store_report r;
    struct store_entry e = {STORE_MARKS, span_of("refused", 7), span_of("x", 1)};
    store_t *s = open_store();
    put(s, n);
    tables_fail = true;
    journal_sync_fails = 1;
    assert_int_equal(store_persist(s, n + 1, &e, 1), HM_OK);
    wait_report(s, &r);
    assert_int_equal(r.reason, HM_EIO);
    assert_int_equal(put_sized(s, n + 1, 100), HM_EFULL);
    tables_fail = false;
    for (int i = 0; put_sized(s, n + 1, 100) != HM_OK; i++) {
        assert_true(i < 3);
    }
    assert_all(s, n + 1);
    _exit(0);
}

static void test_refused_does_not_come_back(void **state)
{
    (void) state;
    struct span value;
    int status;
    store_t *s = open_store();
    put(s, 1);
    store_close(&s);
    pid_t pid = fork();
    if (pid == 0) {
        refuse_one_and_die(2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    s = open_store();
    struct store_view v = store_view(s);
    assert_null(store_lost(s));
    assert_false(v.get(v.ctx, STORE_MARKS, span_of("refused", 7), &value));
    store_view_done(s);
    assert_all(s, 3);
    store_close(&s);
}

/* ---- the overlay ---- */

static struct span random_key(struct prng *p, uint8_t bytes[8])
{
    size_t size = 1 + prng_below(p, 4);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t) (prng_below(p, 3) * 0x7f);
    }
    return span_of(bytes, size);
}

static void assert_same(bool is_a, bool is_b, struct span a, struct span b)
{
    assert_int_equal(is_a, is_b);
    if (is_a) {
        assert_int_equal(a.size, b.size);
        assert_memory_equal(a.data, b.data, a.size);
    }
}

static void compare(store_t *s, omap_t *const plain[], struct prng *p)
{
    struct store_view v = store_view(s);
    uint8_t bytes[8];
    for (int i = 0; i < 20; i++) {
        unsigned t = 1 + (unsigned) prng_below(p, 6);
        struct span key = random_key(p, bytes), value_a, value_b, key_a, key_b;
        bool inclusive = prng_below(p, 2) == 0;
        bool is_a = v.get(v.ctx, (enum store_table) t, key, &value_a);
        assert_same(is_a, omap_get(plain[t], key, &value_b, NULL), value_a, value_b);
        is_a = v.next(v.ctx, (enum store_table) t, key, inclusive, &key_a, &value_a);
        bool is_b = omap_next(plain[t], key, inclusive, &key_b, &value_b, NULL);
        assert_same(is_a, is_b, key_a, key_b);
        assert_same(is_a, is_b, value_a, value_b);
    }
    for (unsigned t = 1; t <= 6; t++) {
        struct span key_a = span_of(NULL, 0), key_b = span_of("", 0), value_a, value_b;
        bool is_there = true;
        while (is_there) {
            is_there = v.next(v.ctx, (enum store_table) t, key_a, false, &key_a, &value_a);
            bool is_b = omap_next(plain[t], key_b, false, &key_b, &value_b, NULL);
            assert_same(is_there, is_b, key_a, key_b);
            assert_same(is_there, is_b, value_a, value_b);
        }
    }
    store_view_done(s);
    struct store_condition now;
    store_condition(s, &now);
    for (unsigned t = 1; t <= 6; t++) {
        assert_int_equal(now.figures.entries[t], omap_count(plain[t]));
    }
}

/* Random batches, with checkpoints at random moments: the view is what a plain map is. */
static void test_overlay_reads_like_a_map(void **state)
{
    (void) state;
    static uint8_t keys[12][8], value[600];
    omap_t *plain[7] = {NULL};
    struct prng p;
    struct store_report r;
    prng_init(&p, 9);
    for (unsigned t = 1; t <= 6; t++) {
        plain[t] = omap_new();
    }
    store_t *s = open_store();
    for (uint64_t n = 1; n <= 400; n++) {
        struct store_entry entries[12];
        size_t count = 1 + prng_below(&p, 12);
        for (size_t i = 0; i < count; i++) {
            struct store_entry *e = &entries[i];
            size_t size = prng_below(&p, 20) == 0 ? sizeof value : prng_below(&p, 30);
            memset(value, (int) n, sizeof value);
            e->table = (enum store_table)(1 + prng_below(&p, 6));
            e->key = random_key(&p, keys[i]);
            e->value = prng_below(&p, 3) == 0 ? span_of(NULL, 0) : span_of(value, size);
            if (e->value.data == NULL) {
                omap_remove(plain[e->table], e->key);
            } else {
                assert_int_equal(omap_put(plain[e->table], e->key, e->value, 0), HM_OK);
            }
        }
        assert_int_equal(store_persist(s, n, entries, count), HM_OK);
        wait_report(s, &r);
        assert_int_equal(r.reason, HM_OK);
        if (prng_below(&p, 6) == 0) {
            store_checkpoint(s);
        }
        if (prng_below(&p, 3) == 0) {
            compare(s, plain, &p);
        }
        if (prng_below(&p, 80) == 0) {
            store_close(&s);
            s = open_store();
        }
    }
    compare(s, plain, &p);
    store_close(&s);
    for (unsigned t = 1; t <= 6; t++) {
        omap_destroy(&plain[t]);
    }
}

/* What a step has read stays as it is until its end, whatever is reported meanwhile. */
static void test_a_step_holds_what_it_read(void **state)
{
    (void) state;
    struct span before, after;
    store_t *s = open_store();
    put(s, 1);
    struct store_view v = store_view(s);
    assert_true(v.get(v.ctx, STORE_ENTRIES, span_of("k01", 3), &before));
    uint64_t n = 1;
    while (n < 12) { /* under a step that reads */
        store_checkpoint(s);
        put(s, ++n);
    }
    assert_true(v.get(v.ctx, STORE_ENTRIES, span_of("k01", 3), &after));
    assert_ptr_equal(before.data, after.data);
    for (size_t i = 0; i < before.size; i++) {
        assert_int_equal(before.data[i], 1);
    }
    assert_false(v.get(v.ctx, STORE_ENTRIES, span_of("k12", 3), &after));
    store_view_done(s);
    assert_all(s, n);
    store_close(&s);
}

static size_t descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void test_leaves_no_descriptor(void **state)
{
    (void) state;
    size_t before = descriptors();
    for (uint64_t n = 1; n <= 3; n++) {
        store_t *s = open_store();
        assert_true(descriptors() > before);
        put(s, n);
        store_close(&s);
        assert_int_equal(descriptors(), before);
    }
}

static int needed_it(void **state)
{
    (void) state;
    bool is_used = direct_refused > 0;
    direct_refused = 0;
    return is_used ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_with_a_filled_journal, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_replayed_twice, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_leaves_no_descriptor, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_torn_record, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_damage_is_told, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_damaged_files, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_a_journal_in_a_value, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_round_and_round, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_tables_fail, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_tables_fail_before_they_are_read, scratch_setup,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(test_gathered_while_tables_fail, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_journal_cannot_grow, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_closed_while_tables_fail, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_journal_fails, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_refused_does_not_come_back, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_overlay_reads_like_a_map, scratch_setup, remove_dir),
        cmocka_unit_test_setup_teardown(test_a_step_holds_what_it_read, scratch_setup, remove_dir),
    };
    int failed = cmocka_run_group_tests_name("past the page cache", tests, NULL, NULL);
    has_no_direct = true;
    failed += cmocka_run_group_tests_name("through it", tests, NULL, needed_it);
    has_no_direct = false;
    takes_no_direct = true;
    failed += cmocka_run_group_tests_name("through it, as is found late", tests, NULL, needed_it);
    return failed;
}
