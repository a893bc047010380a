/* SPDX-License-Identifier: MPL-2.0 */
/* The store's file: what is written is read again, and whatever happens to the file, the daemon
 * does not crash on it: store_check finds it bad and moves it aside, or everything read is as
 * written. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "base/prng.h"
#include "io/store.h"
#include "io/store_db.h"
#include "io/store_pages.h"
#include "io/store_view.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS 40
#define FLIPS 300

static int ends_check_with; /* a signal; 0: none */
static volatile bool is_looping; /* the check: a loop that does nothing else may be left out otherwise */
static pid_t *checks;       /* who checks; shared with it; NULL: nobody asks */

/* Only the process that checks asks for it, before it looks at the store. */
int setitimer(__itimer_which_t which, const struct itimerval *wanted, struct itimerval *ret_old)
{
    static const struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    int (*next)(__itimer_which_t, const struct itimerval *, struct itimerval *);
    *(void **) &next = dlsym(RTLD_NEXT, "setitimer");
    if (checks != NULL) {
        *checks = getpid();
    }
    if (ends_check_with != 0) {
        kill(getpid(), ends_check_with);
    }
    int rc = next(which, is_looping ? &soon : wanted, ret_old);
    while (is_looping) {
    }
    return rc;
}

struct place {
    char dir[64];
    char file[96];
};

static void place_make(struct place *p)
{
    snprintf(p->dir, sizeof p->dir, "/tmp/test_store_check.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->file, sizeof p->file, "%s/store/data.mdb", p->dir);
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        char name[512];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (lstat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
            remove_tree(name);
        } else {
            unlink(name);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    rmdir(path);
}

/* Of the tables that are loaded at the start, and of those that are read through the view. */
static enum store_table table_of(unsigned k)
{
    static const enum store_table tables[] = {STORE_SELF, STORE_VECTOR, STORE_ENTRIES, STORE_DOTS,
                                              STORE_ROSTER};
    return tables[k % ARRAY_COUNT(tables)];
}

/* The value of record i is 300 bytes of i. */
static struct store_batch *batch_of(uint64_t number, unsigned first, unsigned count)
{
    static uint8_t values[RECORDS][300];
    static uint8_t keys[RECORDS][16];
    struct store_entry entries[RECORDS];
    struct store_batch *b = NULL;
    for (unsigned i = 0; i < count; i++) {
        unsigned k = first + i;
        memset(values[k], (int) k, sizeof values[k]);
        memset(keys[k], (int) k, sizeof keys[k]);
        entries[i] =
            (struct store_entry){table_of(k), span_of(keys[k], 16), span_of(values[k], 300)};
    }
    assert_int_equal(store_batch_new(number, 1, entries, count, &b), HM_OK);
    return b;
}

static void fill(const struct place *p)
{
    struct store_db db = {0};
    struct why why;
    assert_int_equal(store_db_open(&db, p->dir, &why), HM_OK);
    for (unsigned i = 0; i < RECORDS; i += 4) {
        struct store_batch *b = batch_of(i + 1, i, 4);
        assert_int_equal(store_db_commit(&db, b, db.applied), 0);
        store_batch_destroy(&b);
    }
    store_db_close(&db);
}

static void compare_record(struct span key, struct span value)
{
    assert_int_equal(key.size, 16);
    assert_int_equal(value.size, 300);
    for (size_t k = 0; k < 300; k++) {
        assert_int_equal(value.data[k], key.data[0]);
    }
}

static void walk_and_compare(const struct store_db *db, size_t *count, size_t *dropped)
{
    struct store_view_lmdb v = {0};
    if (store_view_open(&v, db) != 0) {
        return;
    }
    for (unsigned t = STORE_ENTRIES; t <= STORE_DOTS; t++) {
        struct span key = span_of(NULL, 0), value;
        while (store_view_next(&v, (enum store_table) t, key, false, &key, &value)) {
            compare_record(key, value);
            (*count)++;
        }
    }
    *dropped += v.damaged_count;
    store_view_close(&v);
}

/* Loads, and checks that each record is as written. */
static void load_and_compare(struct store_db *db, size_t *ret_count, size_t *ret_dropped)
{
    struct store_loaded loaded = {0};
    struct why why;
    *ret_count = 0;
    *ret_dropped = 0;
    if (store_db_load(db, &loaded, &why) != HM_OK) {
        return;
    }
    for (size_t i = 0; i < loaded.count; i++) {
        compare_record(loaded.entries[i].key, loaded.entries[i].value);
    }
    *ret_count = loaded.count;
    *ret_dropped = loaded.dropped;
    store_loaded_fini(&loaded);
    walk_and_compare(db, ret_count, ret_dropped);
}

static void test_what_is_written_is_read(void **state)
{
    (void) state;
    struct place p;
    struct store_db db = {0};
    struct why why;
    size_t count, dropped;
    place_make(&p);
    assert_int_equal(store_check(p.dir, NULL, &why), STORE_SOUND); /* nothing there yet */
    fill(&p);
    assert_int_equal(store_check(p.dir, NULL, &why), STORE_SOUND);
    assert_int_equal(store_db_open(&db, p.dir, &why), HM_OK);
    load_and_compare(&db, &count, &dropped);
    assert_int_equal(count, RECORDS);
    assert_int_equal(dropped, 0);
    store_db_close(&db);
    struct stat st;
    assert_int_equal(stat(p.file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    remove_tree(p.dir);
}

static void test_deleting(void **state)
{
    (void) state;
    struct place p;
    struct store_db db = {0};
    struct why why;
    size_t count, dropped;
    uint8_t key[16];
    memset(key, 4, sizeof key);
    struct store_entry gone = {table_of(4), span_of(key, 16), {NULL, 0}};
    struct store_entry empty = {STORE_SELF, span_of("k", 1), span_of("", 0)};
    struct store_batch *b;
    place_make(&p);
    fill(&p);
    assert_int_equal(store_db_open(&db, p.dir, &why), HM_OK);
    for (int i = 0; i < 2; i++) { /* the second time there is nothing to delete: no error */
        assert_int_equal(store_batch_new(1, 1, &gone, 1, &b), HM_OK);
        assert_int_equal(store_db_commit(&db, b, db.applied), 0);
        store_batch_destroy(&b);
    }
    load_and_compare(&db, &count, &dropped);
    assert_int_equal(count, RECORDS - 1);
    /* An empty value is a value. */
    struct store_loaded loaded;
    assert_int_equal(store_batch_new(1, 1, &empty, 1, &b), HM_OK);
    assert_int_equal(store_db_commit(&db, b, db.applied), 0);
    store_batch_destroy(&b);
    assert_int_equal(store_db_load(&db, &loaded, &why), HM_OK);
    assert_int_equal(loaded.count, RECORDS / 5 * 3); /* of three tables out of five */
    store_loaded_fini(&loaded);
    store_db_close(&db);
    remove_tree(p.dir);
}

static size_t read_file(const char *path, uint8_t *bytes, size_t max)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = fread(bytes, 1, max, f);
    fclose(f);
    return size;
}

static void write_file(const char *path, const uint8_t *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

/* Whatever a sound store went through, its pages are found sound: many small transactions, large
 * values that grow and shrink, deletions, and closing in between. */
static void test_sound_stores_stay(void **state)
{
    (void) state;
    static uint8_t value[40000];
    static uint8_t bytes[64 << 20];
    struct place p;
    struct prng r;
    struct why why = {""};
    prng_init(&r, 7);
    for (int run = 0; run < 4; run++) {
        struct store_db db = {0};
        place_make(&p);
        assert_int_equal(store_db_open(&db, p.dir, &why), HM_OK);
        for (int i = 0; i < 600; i++) {
            struct store_entry entries[20];
            uint8_t keys[20][64];
            struct store_batch *b = NULL;
            size_t count = (size_t) prng_below(&r, 20) + 1;
            for (size_t k = 0; k < count; k++) {
                uint64_t number = prng_below(&r, run == 0 ? 50 : 2000);
                size_t size = (size_t) prng_below(&r, prng_below(&r, 10) == 0 ? sizeof value : 400);
                bool gone = prng_below(&r, 100) < (i / 100 % 2 == 0 ? 20u : 70u);
                memset(keys[k], (int) (number % 251), sizeof keys[k]);
                memcpy(keys[k], &number, 4);
                size_t key_bytes = run % 2 == 0 ? 4 : number % 60 + 4;
                entries[k] = (struct store_entry){
                    prng_below(&r, 5) == 0 ? STORE_SELF : STORE_ROSTER, span_of(keys[k], key_bytes),
                    span_of(gone ? NULL : value, gone ? 0 : size)};
            }
            assert_int_equal(store_batch_new(1, 1, entries, count, &b), HM_OK);
            assert_int_equal(store_db_commit(&db, b, db.applied), 0);
            store_batch_destroy(&b);
            if (i % 20 == 0) {
                size_t size = read_file(p.file, bytes, sizeof bytes);
                const char *fault = store_pages_check(span_of(bytes, size));
                if (fault != NULL) {
                    print_error("run %d, transaction %d: %s\n", run, i, fault);
                }
                assert_null(fault);
            }
            if (i % 150 == 149) {
                store_db_close(&db);
                enum store_check check = store_check(p.dir, NULL, &why);
                if (check != STORE_SOUND) {
                    print_error("run %d, transaction %d: %s\n", run, i, why.text);
                }
                assert_int_equal(check, STORE_SOUND);
                assert_int_equal(store_db_open(&db, p.dir, &why), HM_OK);
            }
        }
        store_db_close(&db);
        remove_tree(p.dir);
    }
}

/* What the daemon does with a file, in a child so that a crash is seen. */
static void use_as_daemon(const struct place *p, enum store_check *ret_check)
{
    struct why why = {""};
    enum store_check check = store_check(p->dir, NULL, &why);
    *ret_check = check;
    assert_int_not_equal(check, STORE_REFUSED);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct store_db db = {0};
        size_t count, dropped;
        if (store_db_open(&db, p->dir, &why) != HM_OK) {
            fprintf(stderr, "%s\n", why.text);
            _exit(3);
        }
        load_and_compare(&db, &count, &dropped);
        for (unsigned i = 0; i < RECORDS; i += 8) {
            struct store_batch *b = batch_of(i + 1, i, 8);
            if (store_db_commit(&db, b, db.applied) != 0) {
                _exit(4);
            }
            store_batch_destroy(&b);
        }
        load_and_compare(&db, &count, &dropped);
        _exit(count == RECORDS ? 0 : 5);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        print_error("check %d, status %x: %s\n", (int) check, (unsigned) status, why.text);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_damage(void **state)
{
    (void) state;
    static uint8_t sound[1 << 20];
    static uint8_t bytes[1 << 20];
    struct place p;
    struct prng r;
    size_t moved = 0;
    place_make(&p);
    fill(&p);
    size_t size = read_file(p.file, sound, sizeof sound);
    prng_init(&r, 1);
    for (int i = 0; i < FLIPS; i++) {
        enum store_check check;
        char store[96];
        memcpy(bytes, sound, size);
        size_t at = (size_t) prng_below(&r, size);
        size_t length = i % 3 == 0 ? 1 : (size_t) prng_below(&r, size - at) + 1;
        size_t written = size;
        switch (i % 4) {
        case 0: /* bytes of a page's head, where the structure is */
            at = at / 4096 * 4096 + (size_t) prng_below(&r, 64);
            bytes[at] = (uint8_t) prng_next(&r);
            break;
        case 1: /* a range of zeros, as after a power cut */
            memset(bytes + at, 0, length);
            break;
        case 2: /* a bit */
            bytes[at] ^= (uint8_t) (1u << prng_below(&r, 8));
            break;
        default: /* cut off */
            written = at;
            break;
        }
        snprintf(store, sizeof store, "%s/store", p.dir);
        mkdir(store, 0700);
        write_file(p.file, bytes, written);
        use_as_daemon(&p, &check);
        moved += check == STORE_MOVED;
    }
    print_message("%zu of %d damaged files were moved aside\n", moved, FLIPS);
    assert_true(moved > 0);
    remove_tree(p.dir);
}

/* What is read of the file with one byte changed: condemned, or dropped records are counted. */
static bool is_told(const struct place *p, int fd, uint8_t *bytes, size_t size, size_t at,
                    uint8_t with)
{
    struct store_db db = {0};
    struct why why = {""};
    size_t count = RECORDS, dropped = 0;
    bytes[at] ^= with;
    assert_int_equal(pwrite(fd, bytes + at, 1, (off_t) at), 1);
    struct span copy = exact_copy(bytes, size);
    if (store_pages_check(copy) == NULL) {
        /* Names of tables and the format's version are looked at in a child of store_check. */
        if (store_db_open(&db, p->dir, &why) == HM_OK) {
            load_and_compare(&db, &count, &dropped);
            store_db_close(&db);
        }
        if (count + dropped != RECORDS) {
            write_file(p->file, bytes, size); /* opening it may have made what was missing */
            count = store_check(p->dir, NULL, &why) == STORE_MOVED ? RECORDS - dropped : count;
        }
    }
    exact_free(copy);
    bytes[at] ^= with;
    write_file(p->file, bytes, size);
    return count + dropped == RECORDS;
}

/* Any byte: nothing that was stored is lost or changed without a word. Each place is tried in a
 * process of its own, for liblmdb may crash where store_check would have found that it does. */
static void test_nothing_is_lost_silently(void **state)
{
    (void) state;
    static uint8_t sound[1 << 20];
    struct place p;
    struct prng r;
    place_make(&p);
    fill(&p);
    size_t size = read_file(p.file, sound, sizeof sound);
    prng_init(&r, 3);
    for (size_t i = 0; i < 600; i++) {
        size_t at = (size_t) prng_below(&r, size);
        if (i < 300) { /* all of both meta pages' heads */
            at = i < 150 ? i : 4096 + i - 150;
        }
        uint8_t with = (uint8_t) (1u << prng_below(&r, 8));
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            char store[96];
            snprintf(store, sizeof store, "%s/store", p.dir);
            mkdir(store, 0700);
            write_file(p.file, sound, size);
            int fd = open(p.file, O_RDWR | O_CLOEXEC);
            _exit(is_told(&p, fd, sound, size, at, with) ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
            fail_msg("byte %zu, bit %u: something is gone without a word", at, with);
        }
    }
    remove_tree(p.dir);
}

/* Of the stores set aside the newest are kept, and what else lies there is not touched. */
static void test_set_aside_is_pruned(void **state)
{
    (void) state;
    struct place p;
    struct why why;
    size_t kept = 0;
    char name[128];
    place_make(&p);
    snprintf(name, sizeof name, "%s/store.bad-19990101T000000Z-00", p.dir);
    assert_int_equal(mkdir(name, 0700), 0);
    snprintf(name, sizeof name, "%s/store.bad-19990101T000000Z-00/note", p.dir);
    write_file(name, (const uint8_t *) "mine", 4);
    for (int i = 0; i < 8; i++) {
        fill(&p);
        write_file(p.file, (const uint8_t *) "damaged", 7);
        assert_int_equal(store_check(p.dir, NULL, &why), STORE_MOVED);
        assert_non_null(strstr(why.text, "store.bad-"));
    }
    DIR *d = opendir(p.dir);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        kept += strncmp(e->d_name, "store.bad-", 10) == 0;
    }
    closedir(d);
    assert_int_equal(kept, 3 + 1);
    assert_int_equal(access(name, F_OK), 0);
    remove_tree(p.dir);
}

/* The file of a store that was used is gone or empty: said, and a new one begins. */
static void test_a_lost_file_is_told(void **state)
{
    (void) state;
    struct place p;
    struct why why = {""};
    place_make(&p);
    fill(&p);
    assert_int_equal(unlink(p.file), 0);
    assert_int_equal(store_check(p.dir, NULL, &why), STORE_MOVED);
    assert_non_null(strstr(why.text, "gone"));
    assert_int_equal(store_check(p.dir, NULL, &why), STORE_SOUND);
    fill(&p);
    write_file(p.file, (const uint8_t *) "", 0);
    assert_int_equal(store_check(p.dir, NULL, &why), STORE_MOVED);
    assert_non_null(strstr(why.text, "empty"));
    remove_tree(p.dir);
}

/* Who kills the process that checks (too little memory, a terminal that is closed) says nothing of the
 * store: it stays. What the store did to it does. */
static void test_a_killed_check_condemns_nothing(void **state)
{
    (void) state;
    static const int from_outside[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGXFSZ};
    static const int by_itself[] = {SIGBUS, SIGABRT};
    struct place p;
    struct why why = {""};
    place_make(&p);
    fill(&p);
    for (size_t i = 0; i < ARRAY_COUNT(from_outside); i++) {
        ends_check_with = from_outside[i];
        assert_int_equal(store_check(p.dir, NULL, &why), STORE_REFUSED);
        assert_non_null(strstr(why.text, strsignal(from_outside[i])));
    }
    ends_check_with = 0;
    assert_int_equal(store_check(p.dir, NULL, &why), STORE_SOUND);
    for (size_t i = 0; i < ARRAY_COUNT(by_itself); i++) {
        ends_check_with = by_itself[i];
        assert_int_equal(store_check(p.dir, NULL, &why), STORE_MOVED);
        ends_check_with = 0;
        fill(&p);
    }
    remove_tree(p.dir);
}

static void test_keys_are_checked(void **state)
{
    (void) state;
    uint8_t key[STORE_KEY_BYTES_MAX + 1] = {0};
    struct store_batch *b = NULL;
    struct store_entry e = {STORE_SELF, span_of(key, 0), span_of("v", 1)};
    assert_int_equal(store_batch_new(1, 1, &e, 1, &b), HM_EINVAL);
    e.key.size = STORE_KEY_BYTES_MAX + 1;
    assert_int_equal(store_batch_new(1, 1, &e, 1, &b), HM_EINVAL);
    e.key.size = STORE_KEY_BYTES_MAX;
    assert_int_equal(store_batch_new(1, 1, &e, 1, &b), HM_OK);
    store_batch_destroy(&b);
    e.table = (enum store_table) 99;
    assert_int_equal(store_batch_new(1, 1, &e, 1, &b), HM_EINVAL);
    assert_null(b);
}

/* A check that stands still, as behind a slow disk, goes on after two seconds. */
static void goes_on(void *ctx, unsigned seconds)
{
    unsigned *told = ctx;
    assert_int_equal(seconds, ++*told);
    if (seconds >= 2) {
        kill(*checks, SIGCONT);
    }
}

/* A disk that is slow says nothing against the store; work without end does. */
static void test_a_slow_check_condemns_nothing(void **state)
{
    (void) state;
    struct place p;
    struct why why = {""};
    unsigned told = 0;
    const struct store_check_watch watch = {goes_on, &told};
    checks = mmap(NULL, sizeof *checks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(checks, MAP_FAILED);
    place_make(&p);
    fill(&p);
    ends_check_with = SIGSTOP;
    assert_int_equal(store_check(p.dir, &watch, &why), STORE_SOUND);
    assert_true(told >= 2);
    ends_check_with = 0;
    is_looping = true;
    assert_int_equal(store_check(p.dir, &watch, &why), STORE_MOVED);
    is_looping = false;
    munmap(checks, sizeof *checks);
    checks = NULL;
    remove_tree(p.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),  cmocka_unit_test(test_deleting),
        cmocka_unit_test(test_sound_stores_stay),        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_nothing_is_lost_silently), cmocka_unit_test(test_set_aside_is_pruned),
        cmocka_unit_test(test_a_lost_file_is_told),      cmocka_unit_test(test_keys_are_checked),
        cmocka_unit_test(test_a_killed_check_condemns_nothing),
        cmocka_unit_test(test_a_slow_check_condemns_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
