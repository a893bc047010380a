/* SPDX-License-Identifier: MPL-2.0 */
/* The files of identity and key ring, as they may stand on a disk that lies. The first byte
 * chooses. A damaged file is named and left as it is. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "base/err.h"
#include "io/keys.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

static char dir[] = "/tmp/homemesh-fuzz-XXXXXX";
static char path[sizeof dir + 16];

static void remove_files(void)
{
    unlink(path);
    rmdir(dir);
}

static void put_file(struct span bytes)
{
    if (path[0] == '\0') {
        FUZZ_ASSERT(sodium_init() >= 0 && mkdtemp(dir) != NULL);
        snprintf(path, sizeof path, "%s/file", dir);
        atexit(remove_files);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    FUZZ_ASSERT(fd >= 0);
    FUZZ_ASSERT(bytes.size == 0 || write(fd, bytes.data, bytes.size) == (ssize_t) bytes.size);
    close(fd);
}

static bool file_is(struct span bytes)
{
    uint8_t is[2 * KEYS_FILE_BYTES_MAX];
    int fd = open(path, O_RDONLY);
    FUZZ_ASSERT(fd >= 0);
    ssize_t size = read(fd, is, sizeof is);
    close(fd);
    return size >= 0 && span_eq(span_of(is, (size_t) size), bytes);
}

static void identity(struct span bytes)
{
    keys_t *keys = NULL;
    struct why why = {.text = ""};
    int result = keys_new("home", path, &keys, &why);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED);
    FUZZ_ASSERT((result == HM_OK) == (keys != NULL));
    FUZZ_ASSERT(result == HM_OK || strlen(why.text) > 0);
    FUZZ_ASSERT(file_is(bytes));
    if (keys != NULL) {
        FUZZ_ASSERT(!node_id_is_zero(keys_id(keys)));
    }
    keys_destroy(&keys);
}

static void ring(struct span bytes)
{
    static keys_t *keys; /* its identity is made once */
    bool made = true;
    struct why why = {.text = ""};
    if (keys == NULL) {
        char other[sizeof path + 8];
        snprintf(other, sizeof other, "%s.id", path);
        FUZZ_ASSERT(keys_new("home", other, &keys, &why) == HM_OK);
        unlink(other);
    }
    int result = keys_ring_open(keys, path, NULL, &made, &why);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED);
    if (result == HM_OK) {
        FUZZ_ASSERT(!made && keys_ring_count(keys) > 0 && keys_ring_count(keys) <= KEYS_RING_MAX);
    } else {
        FUZZ_ASSERT(strlen(why.text) > 0);
    }
    FUZZ_ASSERT(file_is(bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    bool is_ring = in_u8(&in) % 2 == 1;
    struct span bytes =
        span_of(in.at, in.left < 2 * KEYS_FILE_BYTES_MAX ? in.left : 2 * KEYS_FILE_BYTES_MAX);
    put_file(bytes);
    if (is_ring) {
        ring(bytes);
    } else {
        identity(bytes);
    }
    return 0;
}
