/* SPDX-License-Identifier: MPL-2.0 */
/* The power goes, at any moment. Every call with which the store changes a file is written down while
 * batches are committed, and a compaction goes on among them. Then the disk is made again as it may have been at a
 * moment of that: what was synced is there; of what was not, any sectors of 512 bytes are, others are not; names
 * change in order, up to where the journal came. The store must open, have every batch that was
 * acknowledged by then, and no half of any batch.
 *
 * POWER_CUTS=N tries so many moments instead of the default. */
#define _GNU_SOURCE
#include "../unit.h"

#include "no_direct.h"
#include "scratch.h"

#include "base/err.h"
#include "base/prng.h"
#include "io/store.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <lmdb.h>
#include <poll.h>
#include <pthread.h>
#include <sys/uio.h>

#define WAIT_MS 20000
#define BATCHES 110
#define COMPACT_AFTER 30
#define KEYS 37
#define SECTOR 512
#define CUTS 150
#define FILES_MAX 8
#define CALLS_MAX 20000

/* Small files, so that they are written many rounds. */
const size_t journal_file_bytes = 32 << 10;

/* ---- what was done --------------------------------------------------------------------------- */

enum kind { DID_WRITE, DID_SYNC, DID_RENAME, DID_SYNC_NAMES, DID_ACKNOWLEDGE };

struct call {
    enum kind kind;
    int file;              /* DID_WRITE, DID_SYNC, DID_RENAME: which one it is now called */
    bool is_synced_itself; /* DID_WRITE through O_DSYNC */
    off_t at;
    size_t size;
    uint8_t *bytes;
    char to[SCRATCH_BYTES]; /* DID_RENAME */
    uint64_t batch;         /* DID_ACKNOWLEDGE */
};

static struct call calls[CALLS_MAX];
static size_t call_count;
static ino_t files[FILES_MAX]; /* by inode; the first are the store's, as they were when that began */
static struct span first[FILES_MAX];
static const char *const first_names[] = {"store/data.mdb", "store/journal.0", "store/journal.1"};
static size_t file_count;
static bool is_watching;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The store is looked at in a child process, which writes, too: another thread must not hold the lock there for ever. */
static void take_lock(void)
{
    pthread_mutex_lock(&lock);
}

static void give_lock(void)
{
    pthread_mutex_unlock(&lock);
}

static void *real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    assert_non_null(function);
    return function;
}

/* Databases and journals are watched, but not lock.mdb, which is made anew at each start. -1: it is none. */
static int file_of(int fd)
{
    char link[64], path[SCRATCH_BYTES];
    struct stat st;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (!is_watching || size < 0 || fstat(fd, &st) != 0) {
        return -1;
    }
    path[size] = '\0';
    if (!S_ISREG(st.st_mode) ||
        (strstr(path, "/data.mdb") == NULL && strstr(path, "/journal.") == NULL)) {
        return -1;
    }
    for (size_t i = 0; i < file_count; i++) {
        if (files[i] == st.st_ino) {
            return (int) i;
        }
    }
    assert_true(file_count < FILES_MAX);
    files[file_count] = st.st_ino;
    return (int) file_count++;
}

static struct call *note(enum kind kind, int file)
{
    assert_true(call_count < CALLS_MAX);
    struct call *c = &calls[call_count++];
    *c = (struct call){.kind = kind, .file = file};
    return c;
}

static void note_write(int fd, const struct iovec *parts, int count, off_t at)
{
    pthread_mutex_lock(&lock);
    int file = file_of(fd);
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        size += parts[i].iov_len;
    }
    if (file >= 0 && size > 0) {
        struct call *c = note(DID_WRITE, file);
        c->is_synced_itself = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
        c->at = at;
        c->bytes = malloc(size);
        for (int i = 0; i < count; i++) {
            memcpy(c->bytes + c->size, parts[i].iov_base, parts[i].iov_len);
            c->size += parts[i].iov_len;
        }
    }
    pthread_mutex_unlock(&lock);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    note_write(fd, &(struct iovec){(void *) (uintptr_t) bytes, size}, 1, at);
    return ((ssize_t(*)(int, const void *, size_t, off_t)) real("pwrite"))(fd, bytes, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    note_write(fd, parts, count, is_watching ? lseek(fd, 0, SEEK_CUR) : 0);
    return ((ssize_t(*)(int, const struct iovec *, int)) real("writev"))(fd, parts, count);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    note_write(fd, &(struct iovec){(void *) (uintptr_t) bytes, size}, 1,
               is_watching ? lseek(fd, 0, SEEK_CUR) : 0);
    return ((ssize_t(*)(int, const void *, size_t)) real("write"))(fd, bytes, size);
}

/* What it says is synced is so when it returns. */
static void note_sync(int fd)
{
    struct stat st;
    pthread_mutex_lock(&lock);
    int file = file_of(fd);
    if (file >= 0) {
        note(DID_SYNC, file);
    } else if (is_watching && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        note(DID_SYNC_NAMES, -1);
    }
    pthread_mutex_unlock(&lock);
}

int fdatasync(int fd)
{
    int rc = ((int (*)(int)) real("fdatasync"))(fd);
    note_sync(fd);
    return rc;
}

int fsync(int fd)
{
    int rc = ((int (*)(int)) real("fsync"))(fd);
    note_sync(fd);
    return rc;
}

int rename(const char *from, const char *to)
{
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    pthread_mutex_lock(&lock);
    int file = fd < 0 ? -1 : file_of(fd);
    if (file >= 0) {
        struct call *c = note(DID_RENAME, file);
        snprintf(c->to, sizeof c->to, "%s", to);
    }
    pthread_mutex_unlock(&lock);
    if (fd >= 0) {
        close(fd);
    }
    return ((int (*)(const char *, const char *)) real("rename"))(from, to);
}

/* ---- the store ------------------------------------------------------------------------------- */

static char dir[SCRATCH_BYTES]; /* of the store that is watched */

static store_t *open_store(const char *where)
{
    store_t *s = NULL;
    struct why why = {""};
    int rc = store_open(where, &s, &why);
    if (rc != HM_OK) {
        print_error("%s\n", why.text);
    }
    assert_int_equal(rc, HM_OK);
    return s;
}

/* What batch n writes under its key; sizes differ, some need pages of their own. */
static size_t make_value(uint64_t n, uint8_t value[20000])
{
    size_t size = n % 7 == 0 ? 9000 + n : 20 + n * 13 % 900;
    memset(value, (int) n, size);
    return size;
}

static void write_batch(store_t *s, uint64_t n)
{
    static uint8_t value[20000];
    char key[16];
    snprintf(key, sizeof key, "key-%" PRIu64, n % KEYS);
    size_t size = make_value(n, value);
    struct store_entry entries[] = {
        {STORE_SELF, span_of("last", 4), span_of(&n, sizeof n)},
        {STORE_ENTRIES, span_of(key, strlen(key)), span_of(value, size)},
        {STORE_DOTS, span_of(key, strlen(key)), n % 3 == 0 ? span_of(NULL, 0) : span_of(&n, 8)}};
    assert_int_equal(store_persist(s, n, entries, 3), HM_OK);
}

static void take_reports(store_t *s, uint64_t up_to)
{
    struct store_report r = {.batch = 0};
    while (r.batch < up_to) {
        struct pollfd item = {.fd = store_fd(s), .events = POLLIN};
        assert_true(poll(&item, 1, WAIT_MS) > 0);
        while (store_take(s, &r) == HM_OK) {
            assert_int_equal(r.reason, HM_OK);
            pthread_mutex_lock(&lock);
            note(DID_ACKNOWLEDGE, -1)->batch = r.batch;
            pthread_mutex_unlock(&lock);
        }
    }
}

/* One after another, then several at once, so that they share a transaction. */
static void run_batches(store_t *s, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to;) {
        uint64_t last = n + (n % 4 == 0 ? 5 : 0);
        last = last > to ? to : last;
        for (uint64_t i = n; i <= last; i++) {
            write_batch(s, i);
        }
        take_reports(s, last);
        n = last + 1;
    }
}

/* Takes out of it what came with the journal. */
static void make_old_format(void)
{
    static uint8_t format[] = {0, 0, 0, 1};
    static const char *const gone[] = {"format-check", "journal"};
    char path[SCRATCH_BYTES];
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *txn;
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
    assert_int_equal(mdb_env_open(env, scratch_path(dir, "store", path), MDB_NOTLS, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &dbi), 0);
    MDB_val key = {6, (void *) "format"}, value = {sizeof format, format};
    assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
    for (size_t i = 0; i < ARRAY_COUNT(gone); i++) {
        key = (MDB_val){strlen(gone[i]), (void *) (uintptr_t) gone[i]};
        assert_int_equal(mdb_del(txn, dbi, &key, NULL), 0);
    }
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    for (size_t i = 1; i < ARRAY_COUNT(first_names); i++) {
        assert_int_equal(unlink(scratch_path(dir, first_names[i], path)), 0);
    }
}

static const struct store_work *take_work(store_t *s)
{
    const struct store_work *work;
    struct store_report r;
    while ((work = store_take_work(s)) == NULL) {
        struct pollfd item = {.fd = store_fd(s), .events = POLLIN};
        if (store_take(s, &r) != HM_OK && (work = store_take_work(s)) != NULL) {
            break;
        }
        assert_true(poll(&item, 1, WAIT_MS) > 0);
    }
    return work;
}

static struct span read_whole(const char *where, const char *name)
{
    char path[SCRATCH_BYTES];
    struct stat st;
    int fd = open(scratch_path(where, name, path), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *bytes = malloc((size_t) st.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(read(fd, bytes, (size_t) st.st_size), st.st_size);
    close(fd);
    return span_of(bytes, (size_t) st.st_size);
}

/* A store with one batch, as it lies there before it is watched. */
static void begin_watching(bool is_of_old_format)
{
    struct stat st;
    char path[SCRATCH_BYTES];
    scratch_make(dir);
    store_t *s = open_store(dir);
    write_batch(s, 1);
    take_reports(s, 1);
    store_close(&s);
    if (is_of_old_format) {
        make_old_format();
    }
    call_count = file_count = 0;
    for (size_t i = 0; i < ARRAY_COUNT(first_names); i++) {
        if (stat(scratch_path(dir, first_names[i], path), &st) == 0) {
            first[i] = read_whole(dir, first_names[i]);
            files[file_count++] = st.st_ino;
        }
    }
    is_watching = true;
}

static int watch_a_store(void **state)
{
    (void) state;
    uint64_t number;
    begin_watching(false);
    store_t *s = open_store(dir);
    run_batches(s, 2, COMPACT_AFTER);
    assert_int_equal(store_work(s, STORE_WORK_COMPACT, &number), HM_OK);
    run_batches(s, COMPACT_AFTER + 1, BATCHES);
    const struct store_work *work = take_work(s);
    assert_int_equal(work->code, HM_OK);
    assert_true(store_counts(s).checkpoints > 2); /* the journal went round */
    store_close(&s);
    is_watching = false;
    return 0;
}

/* A store of 0.1.0 gets its journal. */
static int watch_a_migration(void **state)
{
    (void) state;
    begin_watching(true);
    store_t *s = open_store(dir);
    run_batches(s, 2, 14);
    store_close(&s);
    is_watching = false;
    return 0;
}

static int forget(void **state)
{
    (void) state;
    for (size_t i = 0; i < call_count; i++) {
        free(calls[i].bytes);
    }
    for (size_t i = 0; i < FILES_MAX; i++) {
        free((void *) (uintptr_t) first[i].data);
        first[i] = span_of(NULL, 0);
    }
    scratch_remove(dir);
    return 0;
}

/* ---- the disk as it may have been ------------------------------------------------------------ */

struct image {
    uint8_t *bytes;
    size_t size, room;
};

static void image_write(struct image *m, off_t at, const uint8_t *bytes, size_t size)
{
    size_t end = (size_t) at + size;
    if (size == 0) {
        return;
    }
    if (end > m->room) {
        size_t room = end * 2;
        m->bytes = realloc(m->bytes, room);
        assert_non_null(m->bytes);
        memset(m->bytes + m->room, 0, room - m->room);
        m->room = room;
    }
    memcpy(m->bytes + at, bytes, size);
    m->size = end > m->size ? end : m->size;
}

/* Was the call before `cut` and synced before it? */
static bool is_synced(size_t i, size_t cut)
{
    bool is_sync = calls[i].kind == DID_WRITE && calls[i].is_synced_itself && i + 1 < cut;
    for (size_t k = i + 1; k < cut && !is_sync; k++) {
        is_sync = calls[i].kind == DID_RENAME
                      ? calls[k].kind == DID_SYNC_NAMES
                      : calls[k].kind == DID_SYNC && calls[k].file == calls[i].file;
    }
    return is_sync;
}

static void apply_write(struct image *m, const struct call *c, bool is_whole, struct prng *p)
{
    size_t done = 0;
    unsigned share = (unsigned) prng_below(p, 4); /* none of it, some, most */
    while (done < c->size) {
        size_t size = SECTOR - (size_t) (c->at + (off_t) done) % SECTOR;
        size = size < c->size - done ? size : c->size - done;
        if (is_whole || prng_below(p, 3) < share) {
            image_write(m, c->at + (off_t) done, c->bytes + done, size);
        }
        done += size;
    }
}

/* Those of a store whose journal is made while it is watched are the second and third that were seen. They are
 * there if anything of them is. */
static void write_journals(const char *to, const struct image images[FILES_MAX])
{
    char path[SCRATCH_BYTES];
    for (size_t i = 1; i < ARRAY_COUNT(first_names); i++) {
        if (images[i].size > 0) {
            scratch_write(scratch_path(to, first_names[i], path), images[i].bytes, images[i].size);
        }
    }
}

/* Writes the disk of that moment below `to`. Returns the newest batch acknowledged by then. */
static uint64_t make_disk(const char *to, size_t cut, struct prng *p)
{
    struct image images[FILES_MAX] = {{0}};
    char path[SCRATCH_BYTES];
    uint64_t acknowledged = 1;
    int named = 0; /* the file that is data.mdb */
    bool names_go_on = true;
    for (size_t i = 0; i < FILES_MAX; i++) {
        image_write(&images[i], 0, first[i].data, first[i].size);
    }
    for (size_t i = 0; i < cut; i++) {
        const struct call *c = &calls[i];
        switch (c->kind) {
        case DID_WRITE:
            apply_write(&images[c->file], c, is_synced(i, cut), p);
            break;
        case DID_RENAME:
            names_go_on = names_go_on && (is_synced(i, cut) || prng_below(p, 2) == 0);
            if (names_go_on && strstr(c->to, "/store/data.mdb") != NULL) {
                named = c->file;
            }
            break;
        case DID_ACKNOWLEDGE:
            acknowledged = c->batch > acknowledged ? c->batch : acknowledged;
            break;
        case DID_SYNC:
        case DID_SYNC_NAMES:
            break;
        }
    }
    assert_int_equal(mkdir(scratch_path(to, "store", path), 0700), 0);
    scratch_write(scratch_path(to, "store/data.mdb", path), images[named].bytes,
                  images[named].size);
    write_journals(to, images);
    scratch_write(scratch_path(to, "store/lock.mdb", path), "", 0);
    for (size_t i = 0; i < FILES_MAX; i++) {
        free(images[i].bytes);
    }
    return acknowledged;
}

/* All batches up to n, and nothing of any other. */
static void assert_batches(store_t *s, uint64_t n)
{
    static uint8_t wanted[20000];
    struct store_view v = store_view(s);
    for (uint64_t k = 0; k < KEYS; k++) {
        char key[16];
        uint64_t writer = n - (n + KEYS - k) % KEYS; /* the newest one of this key */
        struct span value;
        snprintf(key, sizeof key, "key-%" PRIu64, k);
        bool is_there = v.get(v.ctx, STORE_ENTRIES, span_of(key, strlen(key)), &value);
        bool is_wanted = n >= k && writer >= 1 && writer <= n;
        assert_int_equal(is_there, is_wanted);
        if (is_wanted) {
            size_t size = make_value(writer, wanted);
            assert_int_equal(value.size, size);
            assert_memory_equal(value.data, wanted, size);
            assert_int_equal(v.get(v.ctx, STORE_DOTS, span_of(key, strlen(key)), &value),
                             writer % 3 != 0);
        }
    }
    store_view_done(s);
    assert_int_equal(store_damaged(s), 0);
    assert_null(store_lost(s));
}

static void judge(size_t cut, uint64_t seed)
{
    char to[SCRATCH_BYTES];
    struct prng p;
    struct why why = {""};
    const struct store_entry *loaded;
    size_t count, dropped;
    uint64_t last = 0;
    prng_init(&p, seed);
    scratch_make(to);
    uint64_t acknowledged = make_disk(to, cut, &p);
    enum store_check check = store_check(to, NULL, &why);
    if (check != STORE_SOUND) {
        print_error("cut %zu, seed %" PRIu64 ": %s\n", cut, seed, why.text);
    }
    assert_int_equal(check, STORE_SOUND);
    store_t *s = open_store(to);
    assert_int_equal(store_load(s, &loaded, &count, &dropped), HM_OK);
    assert_int_equal(count, 1);
    memcpy(&last, loaded[0].value.data, sizeof last);
    if (last < acknowledged) {
        print_error("cut %zu, seed %" PRIu64 ": batch %" PRIu64 " was acknowledged, %" PRIu64
                    " is the last there\n",
                    cut, seed, acknowledged, last);
    }
    assert_true(last >= acknowledged && last <= BATCHES);
    assert_batches(s, last);
    store_close(&s);
    scratch_remove(to);
}

static void cut_often(size_t cuts)
{
    const char *wanted = getenv("POWER_CUTS");
    struct prng p;
    cuts = wanted != NULL ? strtoul(wanted, NULL, 10) : cuts;
    prng_init(&p, 1);
    assert_true(call_count > 50);
    judge(call_count, 0);
    for (size_t i = 1; i <= cuts; i++) {
        judge(prng_below(&p, call_count + 1), i);
    }
}

static void test_power_cuts(void **state)
{
    (void) state;
    cut_often(CUTS);
}

static void test_power_cuts_while_it_gets_a_journal(void **state)
{
    (void) state;
    cut_often(CUTS / 3);
}

/* The replay can fail: a disk that forgets one synced write is not taken for a good one. */
static void test_a_lie_is_found(void **state)
{
    (void) state;
    struct prng p;
    char to[SCRATCH_BYTES];
    size_t found = 0;
    for (size_t i = 0; i < call_count; i++) {
        if (calls[i].kind != DID_WRITE || calls[i].file != calls[call_count - 2].file ||
            calls[i].size < 4096) {
            continue;
        }
        struct why why;
        size_t size = calls[i].size;
        prng_init(&p, i);
        calls[i].size = 0; /* it never reached the disk */
        scratch_make(to);
        uint64_t acknowledged = make_disk(to, call_count, &p);
        calls[i].size = size;
        if (store_check(to, NULL, &why) != STORE_SOUND) {
            found++;
        } else {
            store_t *s = open_store(to);
            const struct store_entry *loaded;
            size_t count, dropped;
            uint64_t last = 0;
            store_load(s, &loaded, &count, &dropped);
            if (count == 1) {
                memcpy(&last, loaded[0].value.data, sizeof last);
            }
            found += last < acknowledged;
            store_close(&s);
        }
        scratch_remove(to);
    }
    assert_true(found > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_a_lie_is_found),
    };
    const struct CMUnitTest more[] = {
        cmocka_unit_test(test_power_cuts_while_it_gets_a_journal),
    };
    if (pthread_atfork(take_lock, give_lock, give_lock) != 0) {
        return 1;
    }
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        has_no_direct = i == 1;
        failed += cmocka_run_group_tests_name(i == 0 ? "past the page cache" : "through it", tests,
                                              watch_a_store, forget);
        failed += cmocka_run_group_tests(more, watch_a_migration, forget);
    }
    return failed;
}
