/* SPDX-License-Identifier: MPL-2.0 */
/* What the store costs: synced commits a second with 1 and with 64 batches under way, the syncs and the
 * bytes written for each of them (what wears a flash card out), and reads through the view.
 *
 * Usage: tests/bench/store [DIR [KEYS [SECONDS]]]    DIR is on the disk to measure (default /tmp) */
#define _GNU_SOURCE
#include "base/be.h"
#include "base/err.h"
#include "base/prng.h"
#include "io/clock.h"
#include "io/store.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define KEY_BYTES 40    /* kv/ and a path, a 0 and the dot's hash */
#define VALUE_BYTES 260 /* an entry of a 100-byte value */
#define DOT_BYTES 40
#define VECTOR_BYTES 40
#define LOAD_BATCH 1000

/* ---- counted: liblmdb calls these ---- */

static _Atomic unsigned long syncs, dsync_writes, bytes_written;

static int is_dsync(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_DSYNC) != 0;
}

int fdatasync(int fd)
{
    syncs++;
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

static void count_write(int fd, ssize_t size)
{
    bytes_written += size > 0 ? (unsigned long) size : 0;
    dsync_writes += is_dsync(fd) ? 1 : 0;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    ssize_t done = ((ssize_t(*)(int, const void *, size_t, off_t)) dlsym(RTLD_NEXT, "pwrite"))(
        fd, bytes, size, at);
    count_write(fd, done);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t done =
        ((ssize_t(*)(int, const struct iovec *, int)) dlsym(RTLD_NEXT, "writev"))(fd, parts, count);
    count_write(fd, done);
    return done;
}

/* ---- what is written ---- */

struct bench {
    store_t *store;
    struct prng prng;
    uint64_t batch;
    unsigned keys;
};

static void die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

/* One entry of the registry: itself, its dot, and the writer's claim. */
struct write {
    uint8_t key[KEY_BYTES], value[VALUE_BYTES], dot[DOT_BYTES], vector[VECTOR_BYTES];
    struct store_entry entries[3];
};

static void make_write(struct bench *b, struct write *w, unsigned number)
{
    memset(w->value, (int) number, sizeof w->value);
    memset(w->vector, (int) b->batch, sizeof w->vector);
    memset(w->key, 'k', sizeof w->key);
    memset(w->dot, 'd', sizeof w->dot);
    be_put(w->key + 12, (uint64_t) number * 0x9e3779b97f4a7c15U, 8); /* no order */
    be_put(w->dot + 12, number, 8);                                  /* as sequence numbers rise */
    w->entries[0] = (struct store_entry){STORE_ENTRIES, span_of(w->key, sizeof w->key),
                                         span_of(w->value, sizeof w->value)};
    w->entries[1] = (struct store_entry){STORE_DOTS, span_of(w->dot, sizeof w->dot),
                                         span_of(w->key, sizeof w->key)};
    w->entries[2] = (struct store_entry){STORE_VECTOR, span_of("origin", 6),
                                         span_of(w->vector, sizeof w->vector)};
}

static size_t wait_report(struct bench *b)
{
    struct store_report r;
    size_t before = store_outstanding(b->store);
    while (store_take(b->store, &r) != HM_OK) {
        struct pollfd item = {.fd = store_fd(b->store), .events = POLLIN};
        poll(&item, 1, -1);
    }
    if (r.reason != HM_OK) {
        die(r.text);
    }
    return before - store_outstanding(b->store);
}

static void load(struct bench *b)
{
    struct write *w = calloc(LOAD_BATCH, sizeof *w);
    struct store_entry *entries = calloc(3 * LOAD_BATCH, sizeof *entries);
    if (w == NULL || entries == NULL) {
        die("out of memory");
    }
    for (unsigned n = 0; n < b->keys;) {
        size_t count = 0;
        for (unsigned i = 0; i < LOAD_BATCH && n < b->keys; i++, n++) {
            make_write(b, &w[i], n);
            memcpy(entries + count, w[i].entries, sizeof w[i].entries);
            count += 3;
        }
        if (store_persist(b->store, ++b->batch, entries, count) != HM_OK) {
            die("refused");
        }
        while (store_outstanding(b->store) > 8) {
            wait_report(b);
        }
    }
    while (store_outstanding(b->store) > 0) {
        wait_report(b);
    }
    free(w);
    free(entries);
}

/* ---- measured ---- */

static void commits(struct bench *b, size_t outstanding, unsigned seconds)
{
    struct write w;
    unsigned long syncs_0 = syncs, dsync_0 = dsync_writes, bytes_0 = bytes_written;
    unsigned long done = 0, groups = 0;
    uint64_t begun_ns = clock_boot_ns();
    uint64_t until_ns = begun_ns + seconds * 1000000000ULL;
    while (clock_boot_ns() < until_ns) {
        while (store_outstanding(b->store) < outstanding) {
            make_write(b, &w, (unsigned) prng_below(&b->prng, b->keys));
            if (store_persist(b->store, ++b->batch, w.entries, 3) != HM_OK) {
                die("refused");
            }
        }
        done += wait_report(b);
        groups++;
    }
    double took = (double) (clock_boot_ns() - begun_ns) / 1e9;
    while (store_outstanding(b->store) > 0) {
        wait_report(b);
    }
    printf("%3zu under way: %7.0f batches/s, %5.1f in a commit of %6.3f ms; for each batch %.3f "
           "fdatasync, %.3f O_DSYNC writes, %.0f bytes\n",
           outstanding, (double) done / took, (double) done / (double) groups,
           1e3 * took / (double) groups, (double) (syncs - syncs_0) / (double) done,
           (double) (dsync_writes - dsync_0) / (double) done,
           (double) (bytes_written - bytes_0) / (double) done);
}

static double ns_each(uint64_t begun_ns, unsigned long count)
{
    return (double) (clock_boot_ns() - begun_ns) / (double) count;
}

static void reads(struct bench *b, unsigned count)
{
    struct store_view v = store_view(b->store);
    struct write w;
    struct span key = span_of(NULL, 0), value;
    unsigned long walked = 0;
    uint64_t begun_ns = clock_boot_ns();
    for (unsigned i = 0; i < count; i++) {
        make_write(b, &w, (unsigned) prng_below(&b->prng, b->keys));
    }
    double making = ns_each(begun_ns, count);
    begun_ns = clock_boot_ns();
    for (unsigned i = 0; i < count; i++) {
        make_write(b, &w, (unsigned) prng_below(&b->prng, b->keys));
        if (!v.get(v.ctx, STORE_ENTRIES, w.entries[0].key, &value)) {
            die("a key is missing");
        }
    }
    double one_step = ns_each(begun_ns, count) - making;
    begun_ns = clock_boot_ns();
    for (unsigned i = 0; i < count; i++) {
        make_write(b, &w, (unsigned) prng_below(&b->prng, b->keys));
        v.get(v.ctx, STORE_ENTRIES, w.entries[0].key, &value);
        store_view_done(b->store);
    }
    double own_step = ns_each(begun_ns, count) - making;
    begun_ns = clock_boot_ns();
    while (v.next(v.ctx, STORE_ENTRIES, key, key.data == NULL, &key, &value)) {
        walked++;
    }
    printf("get %.0f ns, with a step of its own %.0f ns; next in order %.0f ns (%lu keys)\n",
           one_step, own_step, ns_each(begun_ns, walked), walked);
    store_view_done(b->store);
}

static uint64_t file_bytes(const char *dir)
{
    char path[600];
    struct stat st;
    snprintf(path, sizeof path, "%s/store/data.mdb", dir);
    return stat(path, &st) == 0 ? (uint64_t) st.st_size : 0;
}

static double start_ms(struct bench *b, const char *dir)
{
    struct why why;
    store_close(&b->store);
    uint64_t begun_ns = clock_boot_ns();
    if (store_check(dir, NULL, &why) != STORE_SOUND) {
        die(why.text);
    }
    double checked = (double) (clock_boot_ns() - begun_ns) / 1e6;
    if (store_open(dir, &b->store, &why) != HM_OK) {
        die(why.text);
    }
    printf("start: check %.0f ms, all %.0f ms\n", checked,
           (double) (clock_boot_ns() - begun_ns) / 1e6);
    return checked;
}

int main(int argc, char **argv)
{
    struct bench b = {.keys = argc > 2 ? (unsigned) strtoul(argv[2], NULL, 10) : 100000};
    unsigned seconds = argc > 3 ? (unsigned) strtoul(argv[3], NULL, 10) : 5;
    struct why why;
    char dir[512], command_dir[540];
    snprintf(dir, sizeof dir, "%s/bench-store-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (b.keys == 0 || seconds == 0 || mkdtemp(dir) == NULL ||
        store_open(dir, &b.store, &why) != HM_OK) {
        die("cannot begin");
    }
    prng_init(&b.prng, 1);
    uint64_t begun_ns = clock_boot_ns();
    load(&b);
    printf("%u keys in %.1f s, the file has %.1f MiB\n", b.keys,
           (double) (clock_boot_ns() - begun_ns) / 1e9, (double) file_bytes(dir) / 1048576);
    reads(&b, 200000);
    commits(&b, 1, seconds);
    commits(&b, 64, seconds);
    commits(&b, 200, seconds);
    start_ms(&b, dir);
    store_close(&b.store);
    static const char *const names[] = {"/store/data.mdb",  "/store/lock.mdb", "/store/journal.0",
                                        "/store/journal.1", "/store",          ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(command_dir, sizeof command_dir, "%s%s", dir, names[i]);
        remove(command_dir);
    }
    return 0;
}
