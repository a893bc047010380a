/* SPDX-License-Identifier: MPL-2.0 */
/* Is the stored file sound? Asked in a child process, because liblmdb believes what the file says
 * and crashes, asserts or loops when it lies. The child reads the records and the list of free
 * pages, and writes records anew in a transaction that it throws away, so that it runs the
 * code that the daemon will run; of the registry, which may be large, only its beginning. A crash of
 * its, or work without end, condemns the file; a signal from outside does not, nor does a slow disk: what
 * counts is the child's CPU time. Before that it looks at every page (io/store_pages): damage that harms
 * only a later write is found nowhere else. */
#define _GNU_SOURCE
#include "io/store.h"

#include "base/err.h"
#include "base/text.h"
#include "io/store_db.h"
#include "io/store_pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK_PATH_BYTES 4096
/* Of CPU time; after more the child loops. A gigabyte takes a second on a PC, some on a Raspberry Pi. */
#define CHECK_CPU_SECONDS 60
#define CHECK_CPU_SECONDS_PER_GIB 60
#define STORE_BAD_PREFIX "store.bad-"
#define STORE_BAD_MAX 3          /* kept for whoever wants to know what happened */
#define CHECK_RECORDS_MAX 100000 /* written on trial: keeps the transaction small */
#define CHECK_BEGINNING_MAX 1000 /* of a table that may have millions */

struct verdict {
    enum store_check check; /* STORE_MOVED: condemned */
    char text[160];
};

/* ---- in the child ---------------------------------------------------------------------------- */

static struct verdict condemn(const char *what)
{
    struct verdict v = {.check = STORE_MOVED};
    text_copy(v.text, sizeof v.text, what);
    return v;
}

/* A record of the free list is a count and so many page numbers, each smaller than the one before.
 */
static bool free_record_is_sound(MDB_val value, size_t page_last)
{
    size_t count, previous = page_last + 1;
    if (value.mv_size < sizeof count) {
        return false;
    }
    const uint8_t *bytes = value.mv_data;
    memcpy(&count, bytes, sizeof count);
    if (count > value.mv_size / sizeof count - 1) {
        return false;
    }
    for (size_t i = 1; i <= count; i++) {
        size_t page;
        memcpy(&page, bytes + i * sizeof page, sizeof page);
        if (page < 2 || page >= previous) {
            return false;
        }
        previous = page;
    }
    return true;
}

/* Writes the cursor's record again, with a copy of its key: LMDB moves what it points to. The value
 * stays unwritten, the transaction is thrown away. */
static int write_anew(MDB_cursor *cursor, MDB_val key, size_t value_bytes)
{
    uint8_t copy[STORE_KEY_BYTES_MAX];
    MDB_val value = {value_bytes, NULL};
    memcpy(copy, key.mv_data, key.mv_size);
    key.mv_data = copy;
    return mdb_cursor_put(cursor, &key, &value, MDB_CURRENT | MDB_RESERVE);
}

/* Walks a table in order. Writes the first trial_max records anew; with page_last, it is the free list.
 */
static bool walk(MDB_txn *txn, MDB_dbi dbi, size_t trial_max, size_t page_last)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    MDB_stat stat;
    size_t count = 0;
    uint8_t sum = 0;
    if (mdb_stat(txn, dbi, &stat) != 0 || mdb_cursor_open(txn, dbi, &cursor) != 0) {
        return false;
    }
    bool is_sound = true;
    int rc = 0;
    while (is_sound && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        count++;
        for (size_t i = 0; i < value.mv_size; i += 64) {
            sum = (uint8_t) (sum + ((const volatile uint8_t *) value.mv_data)[i]);
        }
        is_sound =
            key.mv_size > 0 && key.mv_size <= STORE_KEY_BYTES_MAX && count <= stat.ms_entries;
        if (page_last > 0) {
            is_sound = is_sound && free_record_is_sound(value, page_last);
        }
        if (is_sound && count <= trial_max) {
            is_sound = write_anew(cursor, key, value.mv_size) == 0;
        }
    }
    mdb_cursor_close(cursor);
    return is_sound && rc == MDB_NOTFOUND && count == stat.ms_entries;
}

/* Takes the first record out and puts one in: pages are merged, freed and taken. */
static bool change_one(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    uint8_t bytes[4096] = {0};
    MDB_val trial_key = {7, (void *) "\xff trial"};
    MDB_val trial_value = {sizeof bytes, bytes};
    if (mdb_cursor_open(txn, dbi, &cursor) != 0) {
        return false;
    }
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    if (rc == 0) {
        rc = mdb_cursor_del(cursor, 0);
    }
    mdb_cursor_close(cursor);
    return (rc == 0 || rc == MDB_NOTFOUND) && mdb_put(txn, dbi, &trial_key, &trial_value, 0) == 0;
}

static bool format_is_readable(MDB_txn *txn, MDB_dbi meta)
{
    uint8_t id[STORE_ID_BYTES];
    uint64_t format, applied;
    return store_db_read_format(txn, meta, &format) == 0 &&
           (format != STORE_FORMAT || store_db_read_mark(txn, meta, id, &applied) == 0);
}

/* The tables of the registry may be large, and each of their pages was looked at before: only their
 * beginning is written on trial. */
static bool try_beginning(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    if (mdb_cursor_open(txn, dbi, &cursor) != 0) {
        return false;
    }
    bool is_sound = true;
    int rc = 0;
    for (size_t i = 0; is_sound && i < CHECK_BEGINNING_MAX && rc == 0; i++) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        is_sound = rc != 0 || (key.mv_size > 0 && key.mv_size <= STORE_KEY_BYTES_MAX &&
                               write_anew(cursor, key, value.mv_size) == 0);
    }
    mdb_cursor_close(cursor);
    return is_sound && (rc == 0 || rc == MDB_NOTFOUND) && change_one(txn, dbi);
}

/* One group of tables that are made together: one that is missing beside others has lost its name. */
static bool walk_group(MDB_txn *txn, const char *const *names, bool is_registry, bool is_trial)
{
    size_t missing = 0, count = 0;
    bool is_sound = true;
    for (; is_sound && names[count] != NULL; count++) {
        MDB_dbi dbi;
        int rc = mdb_dbi_open(txn, names[count], 0, &dbi);
        if (rc == MDB_NOTFOUND) {
            missing++; /* store_open makes it */
        } else if (rc != 0) {
            is_sound = false;
        } else if (is_registry) {
            is_sound = !is_trial || try_beginning(txn, dbi);
        } else {
            is_sound = (count > 0 || format_is_readable(txn, dbi)) &&
                       walk(txn, dbi, is_trial ? CHECK_RECORDS_MAX : 0, 0) &&
                       (!is_trial || change_one(txn, dbi));
        }
    }
    return is_sound && (missing == 0 || missing == count);
}

static bool walk_all(MDB_env *env, bool is_trial)
{
    static const char *const first[] = {"meta", "self", "roster", NULL};
    static const char *const registry[] = {"vector", "entries", "dots", "marks", NULL};
    MDB_txn *txn = NULL;
    MDB_envinfo info;
    mdb_env_info(env, &info);
    if (mdb_txn_begin(env, NULL, is_trial ? 0 : MDB_RDONLY, &txn) != 0) {
        return false;
    }
    /* Handle 0 is the list of free pages (readable only), 1 the list of tables. */
    bool is_sound = (is_trial || (walk(txn, 0, 0, info.me_last_pgno) && walk(txn, 1, 0, 0))) &&
                    walk_group(txn, first, false, is_trial) &&
                    walk_group(txn, registry, true, is_trial);
    mdb_txn_abort(txn);
    return is_sound;
}

static struct verdict refuse(int rc)
{
    struct verdict v = {.check = STORE_REFUSED};
    text_copy(v.text, sizeof v.text, mdb_strerror(rc));
    return v;
}

static bool is_the_systems_fault(int rc)
{
    return rc == EACCES || rc == EPERM || rc == EROFS || rc == ENOMEM || rc == ENOSPC ||
           rc == EDQUOT || rc == EMFILE || rc == ENFILE || rc == EBUSY || rc == EAGAIN;
}

/* What is wrong with the pages, or NULL. Does not judge what it cannot read: liblmdb says that. */
static const char *judge_pages(const char *path)
{
    char file[CHECK_PATH_BYTES + 16];
    struct stat st;
    const char *fault = NULL;
    snprintf(file, sizeof file, "%s/data.mdb", path);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return NULL; /* the process ends soon, and the descriptor with it */
    }
    if (st.st_size == 0) {
        return "its file is empty"; /* or its first start was cut off: then this costs nothing */
    }
    void *map = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) {
        fault = store_pages_check(span_of(map, (size_t) st.st_size));
        munmap(map, (size_t) st.st_size);
    }
    close(fd);
    return fault;
}

static struct verdict judge(const char *path)
{
    struct verdict sound = {.check = STORE_SOUND};
    MDB_env *env = NULL;
    const char *fault = judge_pages(path);
    if (fault != NULL) {
        return condemn(fault);
    }
    int rc = store_db_open_env(path, &env);
    if (rc != 0) {
        return is_the_systems_fault(rc) ? refuse(rc) : condemn(mdb_strerror(rc));
    }
    if (!walk_all(env, false) || !walk_all(env, true)) {
        sound = condemn("its pages do not hang together");
    }
    mdb_env_close(env);
    return sound;
}

static void limit_cpu(const char *path)
{
    char file[CHECK_PATH_BYTES + 16];
    struct stat st;
    struct itimerval limit = {.it_value = {.tv_sec = CHECK_CPU_SECONDS}};
    snprintf(file, sizeof file, "%s/data.mdb", path);
    if (stat(file, &st) == 0) {
        limit.it_value.tv_sec += (time_t) (st.st_size >> 30) * CHECK_CPU_SECONDS_PER_GIB;
    }
    setitimer(ITIMER_PROF, &limit, NULL);
}

/* Never returns. Quiet: liblmdb writes to stderr before it aborts. */
static _Noreturn void child(const char *path, int fd)
{
    struct rlimit none = {0, 0};
    sigset_t all;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    setrlimit(RLIMIT_CORE, &none);
    sigfillset(&all);
    for (int sig = 1; sig < 32; sig++) {
        signal(sig, SIG_DFL);
    }
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    limit_cpu(path);
    if (null >= 0) {
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    struct verdict v = judge(path);
    ssize_t done = write(fd, &v, sizeof v);
    _exit(done == (ssize_t) sizeof v ? 0 : 1);
}

/* ---- in the parent --------------------------------------------------------------------------- */

/* By the system for want of memory, by a terminal that closes, by the service manager: that is no word on
 * the store. */
static bool is_killed_by_others(int status)
{
    static const int by_itself[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGPROF};
    bool is_other = WIFSIGNALED(status);
    for (size_t i = 0; i < sizeof by_itself / sizeof by_itself[0] && is_other; i++) {
        is_other = WTERMSIG(status) != by_itself[i];
    }
    return is_other;
}

/* Until the child has said something, or has ended. */
static void wait_for_word(int fd, const struct store_check_watch *watch)
{
    struct pollfd word = {.fd = fd, .events = POLLIN};
    unsigned seconds = 0;
    int ready = 0;
    while (ready == 0 || (ready < 0 && errno == EINTR)) {
        ready = poll(&word, 1, watch == NULL ? -1 : 1000);
        if (ready == 0) {
            watch->goes_on(watch->ctx, ++seconds);
        }
    }
}

static struct verdict ask_child(const char *path, const struct store_check_watch *watch)
{
    int fds[2];
    int status = 0;
    struct verdict v, refused = {.check = STORE_REFUSED};
    if (pipe2(fds, O_CLOEXEC) != 0) {
        text_copy(refused.text, sizeof refused.text, "no descriptors left to check it");
        return refused;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child(path, fds[1]);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        text_copy(refused.text, sizeof refused.text, "no process left to check it");
        return refused;
    }
    wait_for_word(fds[0], watch);
    ssize_t got;
    while ((got = read(fds[0], &v, sizeof v)) < 0 && errno == EINTR) {
    }
    close(fds[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (got != (ssize_t) sizeof v && is_killed_by_others(status)) {
        snprintf(refused.text, sizeof refused.text,
                 "the process that checks it was ended from outside (%s); with too little memory the "
                 "system does that: start again",
                 strsignal(WTERMSIG(status)));
        return refused;
    }
    if (got != (ssize_t) sizeof v) {
        v = condemn("reading it ends in a crash");
    }
    return v;
}

static int is_set_aside(const struct dirent *entry)
{
    return strncmp(entry->d_name, STORE_BAD_PREFIX, sizeof STORE_BAD_PREFIX - 1) == 0;
}

/* Keeps the newest of the stores set aside: their names rise with time. Takes away only what a
 * store has; a directory with something else in it stays. */
static void prune(const char *data_dir)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "journal.0", "journal.1"};
    struct dirent **names = NULL;
    int count = scandir(data_dir, &names, is_set_aside, alphasort);
    for (int i = 0; i < count; i++) {
        char path[CHECK_PATH_BYTES + 300];
        for (size_t k = 0; i < count - STORE_BAD_MAX && k < sizeof files / sizeof files[0]; k++) {
            snprintf(path, sizeof path, "%s/%s/%s", data_dir, names[i]->d_name, files[k]);
            (void) unlink(path);
        }
        if (i < count - STORE_BAD_MAX) {
            snprintf(path, sizeof path, "%s/%s", data_dir, names[i]->d_name);
            (void) rmdir(path);
        }
        free(names[i]);
    }
    free(names);
}

static enum store_check move_aside(const char *path, const char *reason, struct why *why)
{
    char stamp[32];
    char to[CHECK_PATH_BYTES + 64];
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    for (int i = 0; i < 100; i++) {
        struct stat st;
        snprintf(to, sizeof to, "%s.bad-%s-%02d", path, stamp, i);
        if (lstat(to, &st) != 0 && rename(path, to) == 0) {
            why_set(why, HM_OK,
                    "the store in %s is damaged (%s): moved to %s, going on with an empty one; the "
                    "members tell again what they know",
                    path, reason, to);
            return STORE_MOVED;
        }
    }
    why_set(why, HM_EIO, "the store in %s is damaged (%s) and cannot be moved aside: %s", path,
            reason, strerror(errno));
    return STORE_REFUSED;
}

bool store_is_there(const char *data_dir)
{
    char path[CHECK_PATH_BYTES];
    struct stat st;
    return store_db_path(data_dir, path, sizeof path) == HM_OK && stat(path, &st) == 0;
}

enum store_check store_check(const char *data_dir, const struct store_check_watch *watch,
                             struct why *why)
{
    char path[CHECK_PATH_BYTES];
    char file[CHECK_PATH_BYTES + 16];
    struct stat st;
    if (store_db_path(data_dir, path, sizeof path) != HM_OK) {
        why_set(why, HM_EINVAL, "the path of the data directory is too long");
        return STORE_REFUSED;
    }
    snprintf(file, sizeof file, "%s/lock.mdb", path);
    bool was_used = stat(file, &st) == 0;
    snprintf(file, sizeof file, "%s/journal.0", path);
    was_used |= stat(file, &st) == 0; /* made after data.mdb */
    snprintf(file, sizeof file, "%s/data.mdb", path);
    bool is_gone = stat(file, &st) != 0 && errno == ENOENT;
    if (is_gone && !was_used) {
        return STORE_SOUND; /* new; store_open says what may be wrong with the directory */
    }
    struct verdict v = is_gone ? condemn("its file data.mdb is gone") : ask_child(path, watch);
    if (v.check == STORE_MOVED) {
        v.check = move_aside(path, v.text, why);
        prune(data_dir);
        return v.check;
    }
    if (v.check == STORE_REFUSED) {
        why_set(why, HM_EIO, "cannot open the store in %s: %s", path, v.text);
    }
    return v.check;
}
