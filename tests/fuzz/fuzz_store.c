/* SPDX-License-Identifier: MPL-2.0 */
/* The store's file as a disk may give it back: a good one with the input's changes, or the input
 * itself. The look at its pages ends without a bad read. What store_check then calls sound, the daemon
 * opens, loads and writes without a crash, and every record is as it was written or dropped.
 *
 * The first byte: 0 takes the rest as the file; else the rest are changes: place (4 bytes), count of
 * bytes (1 byte, highest bit: all of them the one that follows), bytes. Bit 1 of it cuts the file. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "base/err.h"
#include "io/store.h"
#include "io/store_db.h"
#include "io/store_pages.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS 60
#define FILE_BYTES_MAX (1 << 20)

static char dir[] = "/tmp/homemesh-fuzz-XXXXXX";
static char file[sizeof dir + 32];
static uint8_t good[FILE_BYTES_MAX];
static size_t good_bytes;

static void remove_below(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        char name[512];
        if (e->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", path, e->d_name);
            if (unlink(name) != 0) {
                remove_below(name);
                rmdir(name);
            }
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

static void clean_up(void)
{
    remove_below(dir);
    rmdir(dir);
}

/* Record k: a key of 16 bytes k, a value of 40 * k bytes k; some are large. */
static size_t value_size(unsigned k)
{
    return k % 20 == 7 ? 9000 : 40 * (size_t) k;
}

static void commit(struct store_db *db, unsigned first, unsigned count)
{
    static uint8_t keys[RECORDS][16];
    static uint8_t value[RECORDS][9000];
    struct store_entry entries[RECORDS];
    struct store_batch *batch = NULL;
    for (unsigned i = 0; i < count; i++) {
        unsigned k = (first + i) % RECORDS;
        memset(keys[k], (int) k, sizeof keys[k]);
        memset(value[k], (int) k, value_size(k));
        entries[i] =
            (struct store_entry){k % 7 == 0 ? STORE_SELF : STORE_ROSTER,
                                 span_of(keys[k], sizeof keys[k]), span_of(value[k], value_size(k))};
    }
    FUZZ_ASSERT(store_batch_new(first + 1, 1, entries, count, &batch) == HM_OK);
    FUZZ_ASSERT(store_db_commit(db, batch, db->applied) == 0);
    store_batch_destroy(&batch);
}

static void make_good(void)
{
    struct store_db db = {0};
    FUZZ_ASSERT(sodium_init() >= 0 && mkdtemp(dir) != NULL);
    atexit(clean_up);
    snprintf(file, sizeof file, "%s/store/data.mdb", dir);
    FUZZ_ASSERT(store_db_open(&db, dir, NULL) == HM_OK);
    for (unsigned i = 0; i < 2 * RECORDS; i += 10) {
        commit(&db, i, 10);
    }
    store_db_close(&db);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, good, sizeof good);
    FUZZ_ASSERT(got > 0 && (size_t) got < sizeof good);
    good_bytes = (size_t) got;
    close(fd);
    remove_below(dir);
}

static size_t change(struct input *in, uint8_t *bytes, size_t size, bool is_cut)
{
    if (is_cut) {
        size = (size_t) in_number(in, 4) % (size + 1);
    }
    while (in->left > 0 && size > 0) {
        size_t at = (size_t) in_number(in, 4) % size;
        uint8_t how = in_u8(in);
        size_t count = (how & 0x7f) + 1u;
        count = count < size - at ? count : size - at;
        if ((how & 0x80) != 0) {
            memset(bytes + at, in_u8(in), count);
        } else {
            struct span with = in_bytes(in, count);
            if (with.size > 0) {
                memcpy(bytes + at, with.data, with.size);
            }
        }
    }
    return size;
}

static void put_file(const uint8_t *bytes, size_t size)
{
    char store[sizeof dir + 8];
    snprintf(store, sizeof store, "%s/store", dir);
    remove_below(dir);
    FUZZ_ASSERT(mkdir(store, 0700) == 0);
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_ASSERT(fd >= 0 && write(fd, bytes, size) == (ssize_t) size);
    close(fd);
}

/* As meshd does. */
static void use(void)
{
    struct store_db db = {0};
    struct store_loaded loaded = {0};
    struct why why = {.text = ""};
    enum store_check check = store_check(dir, NULL, &why);
    FUZZ_ASSERT(check == STORE_SOUND || check == STORE_MOVED);
    FUZZ_ASSERT((check == STORE_MOVED) == (why.text[0] != '\0'));
    int result = store_db_open(&db, dir, &why);
    FUZZ_ASSERT(result == HM_OK || result == HM_EVERSION);
    if (result == HM_OK) {
        FUZZ_ASSERT(store_db_load(&db, &loaded, &why) == HM_OK);
        FUZZ_ASSERT(loaded.count <= RECORDS && (check == STORE_SOUND || loaded.count == 0));
        FUZZ_ASSERT(check == STORE_MOVED || loaded.count + loaded.dropped == RECORDS);
        for (size_t i = 0; i < loaded.count; i++) {
            const struct store_entry *e = &loaded.entries[i];
            FUZZ_ASSERT(e->key.size == 16 && e->value.size == value_size(e->key.data[0]));
            FUZZ_ASSERT(e->value.size == 0 || e->value.data[e->value.size - 1] == e->key.data[0]);
        }
        store_loaded_fini(&loaded);
        commit(&db, 3, RECORDS);
    }
    store_db_close(&db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    static uint8_t bytes[FILE_BYTES_MAX];
    if (good_bytes == 0) {
        make_good();
    }
    uint8_t choice = in_u8(&in);
    size_t count = in.left;
    if (choice == 0) {
        struct span copy = fuzz_copy(span_of(in.at, in.left));
        (void) store_pages_check(copy);
        fuzz_free(copy);
        return 0;
    }
    memcpy(bytes, good, good_bytes);
    count = change(&in, bytes, good_bytes, (choice & 2) != 0);
    struct span copy = fuzz_copy(span_of(bytes, count));
    const char *fault = store_pages_check(copy);
    fuzz_free(copy);
    /* A process for each: only where liblmdb has a say. */
    if (fault == NULL || choice > 250) {
        put_file(bytes, count);
        use();
    }
    return 0;
}
