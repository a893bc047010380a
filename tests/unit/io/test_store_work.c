/* SPDX-License-Identifier: MPL-2.0 */
/* Keeping the store: compacting loses nothing wherever it is cut off, and shrinks the file; checking finds
 * what is damaged; a disk that failed for a moment is gone on with; groups are bounded by bytes too. */
#define _GNU_SOURCE
#include "../unit.h"

#include "scratch_store.h"

#include <dlfcn.h>
#include <errno.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define RECORDS 3000
#define KEPT 100 /* each so many-th record stays */

/* ---- calls that liblmdb and the store make, on trial ---- */

static _Atomic int calls_left = -1; /* until the process ends; negative: never */
static _Atomic bool fails_meta;     /* the next write of a meta page fails */

static void *real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    assert_non_null(function);
    return function;
}

static void maybe_die(void)
{
    if (calls_left >= 0 && calls_left-- == 0) {
        _exit(9);
    }
}

int rename(const char *from, const char *to)
{
    maybe_die();
    int rc = ((int (*)(const char *, const char *)) real("rename"))(from, to);
    maybe_die();
    return rc;
}

int fsync(int fd)
{
    maybe_die();
    int rc = ((int (*)(int)) real("fsync"))(fd);
    maybe_die();
    return rc;
}

int rmdir(const char *path)
{
    maybe_die();
    int rc = ((int (*)(const char *)) real("rmdir"))(path);
    maybe_die();
    return rc;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    if (fails_meta && at < 8192 && (fcntl(fd, F_GETFL) & O_DSYNC) != 0) {
        fails_meta = false;
        errno = ENOSPC;
        return -1;
    }
    return ((ssize_t(*)(int, const void *, size_t, off_t)) real("pwrite"))(fd, bytes, size, at);
}

/* ---- a store ---- */

static const struct store_work *wait_work(store_t *s)
{
    struct store_report r;
    const struct store_work *work;
    while ((work = store_take_work(s)) == NULL) {
        if (store_take(s, &r) != HM_OK && (work = store_take_work(s)) != NULL) {
            break;
        }
        wait_news(s);
    }
    assert_true(work->is_done);
    return work;
}

static const struct store_work *run_work(store_t *s, enum store_work_kind kind)
{
    uint64_t number;
    assert_int_equal(store_work(s, kind, &number), HM_OK);
    const struct store_work *work = wait_work(s);
    assert_int_equal(work->number, number);
    assert_int_equal(work->kind, kind);
    return work;
}

static struct store_entry make_entry(unsigned i, char key[16], uint8_t value[1000])
{
    snprintf(key, 16, "key-%06u", i);
    memset(value, (int) i, 1000);
    return (struct store_entry){STORE_ENTRIES, span_of(key, strlen(key)), span_of(value, 1000)};
}

/* Most of what it writes it takes away again. Returns the number of the last batch. */
static uint64_t fill(store_t *s)
{
    static char keys[RECORDS][16];
    static uint8_t values[RECORDS][1000];
    static struct store_entry entries[RECORDS];
    size_t gone = 0;
    for (unsigned i = 0; i < RECORDS; i++) {
        entries[i] = make_entry(i, keys[i], values[i]);
    }
    commit(s, 1, entries, RECORDS);
    checkpoint(s);
    for (unsigned i = 0; i < RECORDS; i++) {
        if (i % KEPT != 0) {
            entries[gone] = entries[i];
            entries[gone++].value = span_of(NULL, 0);
        }
    }
    commit(s, 2, entries, gone);
    struct store_entry self = {STORE_SELF, span_of("self", 4), span_of("me", 2)};
    commit(s, 3, &self, 1);
    checkpoint(s);
    return 3;
}

static void assert_filled(store_t *s)
{
    struct store_view v = store_view(s);
    struct span key = span_of(NULL, 0), value;
    char wanted_key[16];
    uint8_t wanted[1000];
    unsigned i = 0;
    while (v.next(v.ctx, STORE_ENTRIES, key, false, &key, &value)) {
        struct store_entry e = make_entry(i, wanted_key, wanted);
        assert_int_equal(key.size, e.key.size);
        assert_memory_equal(key.data, e.key.data, key.size);
        assert_int_equal(value.size, sizeof wanted);
        assert_memory_equal(value.data, wanted, sizeof wanted);
        i += KEPT;
    }
    assert_int_equal(i, RECORDS);
    assert_true(v.get(v.ctx, STORE_SELF, span_of("self", 4), &value));
    store_view_done(s);
    assert_null(store_view_error(s));
}

static bool is_there(const char *name)
{
    char path[SCRATCH_BYTES];
    struct stat st;
    return stat(scratch_path(dir, name, path), &st) == 0;
}

/* ---- compacting ---- */

static void test_compact(void **state)
{
    (void) state;
    store_t *s = open_store();
    struct store_condition before, after;
    struct span value;
    uint64_t number;
    uint64_t batch = fill(s);
    struct store_view v = store_view(s);
    store_condition(s, &before);
    assert_true(before.are_figures_known);
    assert_int_equal(before.figures.entries[STORE_ENTRIES], RECORDS / KEPT);
    assert_int_equal(before.figures.entries[STORE_SELF], 1);
    assert_true(before.figures.free_pages > before.figures.pages / 2);
    /* What is handed over meanwhile is there afterwards; reads go on before the report is taken. */
    assert_int_equal(store_work(s, STORE_WORK_COMPACT, &number), HM_OK);
    assert_int_equal(store_work(s, STORE_WORK_CHECK, &number), HM_EBUSY);
    struct store_entry e = {STORE_DOTS, span_of("dot", 3), span_of("x", 1)};
    assert_int_equal(store_persist(s, ++batch, &e, 1), HM_OK);
    wait_news(s);
    assert_filled(s);
    struct store_report r;
    wait_report(s, &r);
    assert_int_equal(r.batch, batch);
    assert_int_equal(r.reason, HM_OK);
    const struct store_work *work = wait_work(s);
    assert_int_equal(work->code, HM_OK);
    assert_true(work->bytes_after < work->bytes_before / 4);
    assert_filled(s);
    assert_true(v.get(v.ctx, STORE_DOTS, span_of("dot", 3), &value));
    store_view_done(s);
    commit(s, ++batch, &e, 1);
    store_condition(s, &after);
    assert_true(after.figures.file_bytes <= before.figures.file_bytes / 4);
    assert_false(is_there("store.new"));
    /* And once more, now with little to gain. */
    assert_int_equal(run_work(s, STORE_WORK_COMPACT)->code, HM_OK);
    assert_filled(s);
    store_close(&s);
    struct why why;
    assert_int_equal(store_check(dir, NULL, &why), STORE_SOUND);
    s = open_store();
    assert_filled(s);
    store_close(&s);
}

/* The process ends before and after each call that moves or syncs anything. */
static void test_compact_cut_off(void **state)
{
    (void) state;
    struct why why;
    store_t *s = open_store();
    fill(s);
    store_close(&s);
    bool was_cut = true;
    int cuts = 0;
    for (; was_cut; cuts++) {
        pid_t pid = fork();
        if (pid == 0) {
            s = open_store();
            calls_left = cuts;
            uint64_t number;
            struct store_report r;
            store_work(s, STORE_WORK_COMPACT, &number);
            while (store_take(s, &r) != HM_OK && store_take_work(s) == NULL) {
                wait_news(s);
            }
            calls_left = -1;
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        was_cut = WEXITSTATUS(status) == 9;
        assert_true(was_cut || WEXITSTATUS(status) == 0);
        assert_int_equal(store_check(dir, NULL, &why), STORE_SOUND);
        s = open_store();
        assert_filled(s);
        assert_false(is_there("store.new"));
        store_close(&s);
    }
    assert_true(cuts > 8);
}

/* No room for the copy: all stays as it was. */
static void test_compact_without_room(void **state)
{
    (void) state;
    struct rlimit before, limit;
    store_t *s = open_store();
    uint64_t batch = fill(s);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 20000;
    setrlimit(RLIMIT_FSIZE, &limit);
    const struct store_work *work = run_work(s, STORE_WORK_COMPACT);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_not_equal(work->code, HM_OK);
    assert_true(work->text[0] != '\0');
    assert_false(is_there("store.new"));
    assert_filled(s);
    struct store_entry e = {STORE_SELF, span_of("self", 4), span_of("me", 2)};
    commit(s, ++batch, &e, 1);
    assert_int_equal(run_work(s, STORE_WORK_COMPACT)->code, HM_OK);
    assert_filled(s);
    store_close(&s);
}

/* A file that is mostly free is compacted after the start, once something was committed. */
static void test_compact_by_itself(void **state)
{
    (void) state;
    static uint8_t large[1 << 20];
    store_t *s = open_store();
    char key[16];
    uint64_t batch = fill(s);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "large-%02u", i);
        struct store_entry e = {STORE_DOTS, span_of(key, 8), span_of(large, sizeof large)};
        commit(s, ++batch, &e, 1);
    }
    for (unsigned i = 0; i < 20; i++) {
        snprintf(key, sizeof key, "large-%02u", i);
        struct store_entry e = {STORE_DOTS, span_of(key, 8), span_of(NULL, 0)};
        commit(s, ++batch, &e, 1);
    }
    store_close(&s);
    s = open_store();
    struct store_entry e = {STORE_SELF, span_of("self", 4), span_of("me", 2)};
    commit(s, ++batch, &e, 1);
    store_checkpoint(s); /* it waits for the first one, a minute after the start */
    const struct store_work *work = wait_work(s);
    assert_true(work->is_by_itself);
    assert_int_equal(work->kind, STORE_WORK_COMPACT);
    assert_int_equal(work->code, HM_OK);
    assert_true(work->bytes_before > 16 << 20);
    assert_true(work->bytes_after < 1 << 20);
    assert_filled(s);
    store_close(&s);
    s = open_store(); /* no more now */
    commit(s, ++batch, &e, 1);
    checkpoint(s);
    assert_null(store_take_work(s));
    store_close(&s);
}

/* ---- checking ---- */

static void damage(unsigned i)
{
    char path[SCRATCH_BYTES], key[16];
    uint8_t value[1000], stored[1100];
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *txn;
    MDB_val v;
    struct store_entry e = make_entry(i, key, value);
    MDB_val k = {e.key.size, key};
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
    assert_int_equal(mdb_env_open(env, scratch_path(dir, "store", path), MDB_NOTLS, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "entries", 0, &dbi), 0);
    assert_int_equal(mdb_get(txn, dbi, &k, &v), 0);
    assert_true(v.mv_size <= sizeof stored);
    memcpy(stored, v.mv_data, v.mv_size);
    stored[v.mv_size / 2] ^= 4;
    v.mv_data = stored;
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static void test_check(void **state)
{
    (void) state;
    store_t *s = open_store();
    fill(s);
    const struct store_work *work = run_work(s, STORE_WORK_CHECK);
    assert_int_equal(work->code, HM_OK);
    assert_int_equal(work->records, RECORDS / KEPT + 1);
    assert_int_equal(work->damaged_count, 0);
    assert_false(work->is_file_damaged);
    store_close(&s);
    damage(3 * KEPT);
    damage(17 * KEPT);
    s = open_store();
    assert_int_equal(store_damaged(s), 0);
    work = run_work(s, STORE_WORK_CHECK);
    assert_int_equal(work->code, HM_OK);
    assert_int_equal(work->records, RECORDS / KEPT + 1);
    assert_int_equal(work->damaged_count, 2);
    assert_int_equal(work->damaged[0].table, STORE_ENTRIES);
    assert_int_equal(work->damaged[0].key_size, 10);
    assert_memory_equal(work->damaged[0].key, "key-000300", 10);
    assert_memory_equal(work->damaged[1].key, "key-001700", 10);
    assert_int_equal(store_damaged(s), 2);
    assert_int_equal(run_work(s, STORE_WORK_CHECK)->damaged_count, 2);
    assert_int_equal(store_damaged(s), 2);
    store_close(&s);
}

/* Batches are committed between its turns. */
static void test_check_lets_through(void **state)
{
    (void) state;
    enum { MANY = 60000 };
    store_t *s = open_store();
    static char keys[MANY][16];
    struct store_entry *entries = calloc(MANY, sizeof *entries);
    assert_non_null(entries);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof keys[i], "%06u", i);
        entries[i] = (struct store_entry){STORE_ENTRIES, span_of(keys[i], 6), span_of("v", 1)};
    }
    commit(s, 1, entries, MANY);
    uint64_t number;
    assert_int_equal(store_work(s, STORE_WORK_CHECK, &number), HM_OK);
    for (uint64_t batch = 2; batch < 6; batch++) {
        commit(s, batch, entries, 1);
    }
    const struct store_work *work = wait_work(s);
    assert_int_equal(work->code, HM_OK);
    assert_int_equal(work->records, MANY);
    free(entries);
    store_close(&s);
}

/* ---- a disk that fails ---- */

/* A meta page that could not be written makes LMDB refuse everything; the store is opened anew, and what the journal
 * has comes into it then. Nobody who reads notices. */
static void test_meta_page_fails(void **state)
{
    (void) state;
    store_t *s = open_store();
    struct store_view v = store_view(s);
    struct store_report r;
    struct span value;
    struct store_condition now;
    uint64_t batch = fill(s);
    for (int round = 0; round < 3; round++) {
        char key[16];
        snprintf(key, sizeof key, "round-%d", round);
        struct store_entry e = {STORE_DOTS, span_of(key, 7), span_of("x", 1)};
        fails_meta = true;
        commit(s, ++batch, &e, 1);
        store_checkpoint(s);
        if (round % 2 == 0) { /* the reader finds out before it is told */
            for (int ms = 0; fails_meta; ms++) {
                assert_true(ms < WAIT_MS);
                usleep(1000);
            }
            assert_true(v.get(v.ctx, STORE_SELF, span_of("self", 4), &value));
            assert_null(store_view_error(s));
            store_view_done(s);
        }
        for (int ms = 0; !store_is_full(s); ms++) {
            assert_true(ms < WAIT_MS);
            assert_int_equal(store_take(s, &r), HM_ENOTFOUND);
            usleep(1000);
        }
        store_condition(s, &now);
        assert_true(now.error[0] != '\0' && now.error_wall_ms > 0 && now.journal_bytes > 0);
        assert_filled(s);
        assert_true(v.get(v.ctx, STORE_DOTS, span_of(key, 7), &value));
        store_view_done(s);
        checkpoint(s);
        assert_false(store_is_full(s));
        assert_filled(s);
        assert_true(v.get(v.ctx, STORE_DOTS, span_of(key, 7), &value));
        store_view_done(s);
        store_condition(s, &now);
        assert_int_equal(now.journal_bytes, 0);
    }
    assert_int_equal(run_work(s, STORE_WORK_COMPACT)->code, HM_OK);
    assert_filled(s);
    store_close(&s);
    s = open_store();
    assert_filled(s);
    store_close(&s);
}

/* ---- bounds and counts ---- */

static void test_bounded_by_bytes(void **state)
{
    (void) state;
    static uint8_t large[1 << 20];
    store_t *s = open_store();
    struct store_report r = {.batch = 0};
    uint64_t n = 0;
    int rc = HM_OK;
    signal(SIGXFSZ, SIG_IGN);
    while (rc == HM_OK) {
        struct store_entry e = {STORE_ENTRIES, span_of("k", 1), span_of(large, sizeof large)};
        rc = store_persist(s, ++n, &e, 1);
        assert_true(n < STORE_BATCHES_MAX); /* the bytes are the bound, not their number */
        assert_true(store_outstanding(s) * sizeof large <= STORE_BYTES_MAX + sizeof large);
        if (n > 300) { /* the disk is as fast as we are */
            break;
        }
    }
    while (store_outstanding(s) > 0 || (rc != HM_OK && r.reason == HM_OK)) {
        wait_report(s, &r);
    }
    assert_int_equal(r.reason, rc);
    struct store_condition now;
    store_condition(s, &now);
    assert_true(now.counts.commits >= (n - 1) / 9); /* 8 MiB and one more */
    assert_int_equal(now.counts.syncs, now.counts.commits + 2 * now.counts.checkpoints);
    if (now.counts.is_bytes_known) {
        assert_true(now.counts.bytes_written >= now.counts.commits << 20);
        assert_true(now.today_bytes <= now.counts.bytes_written);
    }
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compact_cut_off, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_compact, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_compact_without_room, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_compact_by_itself, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_check, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_check_lets_through, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_meta_page_fails, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bounded_by_bytes, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
