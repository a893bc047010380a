/* SPDX-License-Identifier: MPL-2.0 */
/* A main for a fuzz target where there is no libFuzzer: replays the target's corpus, and around
 * each seed a fixed number of cuts and changed bytes, always the same ones.
 *
 * Usage: fuzz_NAME [FILE | DIRECTORY]...; without arguments $srcdir/tests/fuzz/corpus/NAME. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "base/prng.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#define SEED_BYTES_MAX (1 << 20)
#define CUTS_MAX 64
#define CHANGES 128

static unsigned long runs;

static void run(const uint8_t *data, size_t size)
{
    /* Exactly as many bytes as there are, as libFuzzer does it. */
    struct span copy = fuzz_copy(span_of(data, size));
    LLVMFuzzerTestOneInput(copy.data, copy.size);
    fuzz_free(copy);
    runs++;
}

static void run_around(uint8_t *data, size_t size)
{
    struct prng p;
    run(data, size);
    for (size_t cut = 0; cut < size; cut += 1 + size / CUTS_MAX) {
        run(data, cut);
    }
    prng_init(&p, size);
    for (int i = 0; i < CHANGES && size > 0; i++) {
        size_t at = (size_t) prng_below(&p, size);
        uint8_t kept = data[at];
        data[at] =
            (uint8_t) (prng_below(&p, 2) == 0 ? prng_next(&p) : kept ^ (1U << prng_below(&p, 8)));
        run(data, size);
        if (prng_below(&p, 4) > 0) { /* some changes stay, so that they add up */
            data[at] = kept;
        }
    }
}

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(SEED_BYTES_MAX);
    int result = -1;
    if (f == NULL || data == NULL) {
        fprintf(stderr, "replay: cannot read %s: %s\n", path, strerror(errno));
    } else {
        size_t size = fread(data, 1, SEED_BYTES_MAX, f);
        run_around(data, size);
        result = 0;
    }
    free(data);
    if (f != NULL) {
        fclose(f);
    }
    return result;
}

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int replay(const char *path)
{
    struct stat st;
    struct dirent **seeds;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        return replay_file(path);
    }
    int count = scandir(path, &seeds, is_seed, alphasort);
    if (count < 0) {
        fprintf(stderr, "replay: cannot read %s: %s\n", path, strerror(errno));
        return -1;
    }
    int result = 0;
    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, seeds[i]->d_name);
        result |= replay_file(file);
        free(seeds[i]);
    }
    free(seeds);
    if (count == 0) {
        fprintf(stderr, "replay: no seed in %s\n", path);
        return -1;
    }
    return result;
}

int main(int argc, char **argv)
{
    int result = 0;
    char own[4096];
    const char *srcdir = getenv("srcdir");
    const char *name = strstr(argv[0], "fuzz_");
    for (const char *next = name; next != NULL; next = strstr(next + 1, "fuzz_")) {
        name = next;
    }
    if (argc < 2 && name != NULL) {
        snprintf(own, sizeof own, "%s/tests/fuzz/corpus/%s", srcdir != NULL ? srcdir : ".",
                 name + strlen("fuzz_"));
        result = replay(own);
    }
    for (int i = 1; i < argc; i++) {
        result |= replay(argv[i]);
    }
    printf("%lu runs\n", runs);
    return result == 0 && runs > 0 ? 0 : 1;
}
