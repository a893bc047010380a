/* SPDX-License-Identifier: MPL-2.0 */
/* Local reads a second through libhomemesh: one client, one thread, calls under way all the time.
 *
 *   reads-client SOCKET [SECONDS [UNDER_WAY [KEYS [PID]]]]
 *
 * Puts KEYS values of 100 bytes, then reads them at random for SECONDS with UNDER_WAY reads at a time; each reply's
 * value is compared. Prints reads a second and the CPU time that each costs the client and meshd (whose PID is
 * given), then how long one read takes when the program waits for it. */
#define _GNU_SOURCE
#include "homemesh.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define VALUE_BYTES 100

struct bench {
    hm_t *hm;
    unsigned keys;
    uint64_t end_ns;
    uint64_t seed;
    uint64_t done;
    uint64_t wrong;
    unsigned under_way;
    bool is_over;
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}

static void fill(unsigned i, char key[32], char value[VALUE_BYTES + 1])
{
    snprintf(key, 32, "bench/%06u", i);
    snprintf(value, VALUE_BYTES + 1, "%0*u", VALUE_BYTES, i);
}

static void ask(struct bench *b);

static void take(void *ctx, const struct hm_reply *reply)
{
    struct bench *b = ctx;
    b->under_way--;
    b->done++;
    b->wrong += reply->code != HM_OK || reply->entry->value.size != VALUE_BYTES ||
                memcmp(reply->entry->key + 6,
                       (const char *) reply->entry->value.data + VALUE_BYTES - 6, 6) != 0;
    if ((b->done & 1023) == 0) {
        b->is_over = now_ns() >= b->end_ns;
    }
    if (!b->is_over) {
        ask(b);
    }
}

static void ask(struct bench *b)
{
    char key[32], value[VALUE_BYTES + 1];
    b->seed = b->seed * 6364136223846793005u + 1442695040888963407u;
    fill((unsigned) (b->seed >> 33) % b->keys, key, value);
    if (hm_get_start(b->hm, key, 0, take, b, NULL) == HM_OK) {
        b->under_way++;
    }
}

static void count_put(void *ctx, const struct hm_reply *reply)
{
    struct bench *b = ctx;
    b->under_way--;
    if (reply->code != HM_OK) {
        fprintf(stderr, "reads: put: %s\n", reply->why);
        exit(1);
    }
}

static void put_all(struct bench *b)
{
    char key[32], value[VALUE_BYTES + 1];
    for (unsigned i = 0; i < b->keys; i++) {
        fill(i, key, value);
        if (hm_put_start(b->hm, key, value, VALUE_BYTES, NULL, 60000, count_put, b, NULL) == HM_OK) {
            b->under_way++;
        }
        while (b->under_way >= 1000) {
            hm_dispatch(b->hm, -1);
        }
    }
    while (b->under_way > 0) {
        hm_dispatch(b->hm, -1);
    }
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* User and system time of a process with all its threads. */
static double cpu_seconds_of(const char *pid)
{
    char path[64], text[1024];
    unsigned long long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *f = fopen(path, "r");
    size_t size = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    text[size] = '\0';
    if (f != NULL) {
        fclose(f);
    }
    char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 13; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at != NULL) {
        user = strtoull(at, &at, 10);
        system = strtoull(at, &at, 10);
    }
    return (double) (user + system) / 100;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

static void one_by_one(struct bench *b)
{
    static uint64_t took[2000];
    char key[32], value[VALUE_BYTES + 1];
    const struct hm_entry *entry;
    for (size_t i = 0; i < 2000; i++) {
        fill((unsigned) i % b->keys, key, value);
        uint64_t begun = now_ns();
        b->wrong += hm_get(b->hm, key, 0, &entry) != HM_OK;
        took[i] = now_ns() - begun;
    }
    qsort(took, 2000, sizeof took[0], by_size);
    printf("one_read_us p50 %.1f p99 %.1f\n", (double) took[1000] / 1e3, (double) took[1980] / 1e3);
}

int main(int argc, char **argv)
{
    struct hm_conf conf = {.socket = argc > 1 ? argv[1] : NULL};
    char why[HM_WHY_BYTES];
    struct bench b = {.seed = 1, .keys = argc > 4 ? (unsigned) strtoul(argv[4], NULL, 10) : 10000};
    int seconds = argc > 2 ? (int) strtol(argv[2], NULL, 10) : 5;
    int under_way = argc > 3 ? (int) strtol(argv[3], NULL, 10) : 256;
    if (argc < 2 || hm_open(&conf, &b.hm, why) != HM_OK) {
        fprintf(stderr, "reads: %s\n", argc < 2 ? "usage: reads-client SOCKET [SECONDS [UNDER_WAY [KEYS [PID]]]]" : why);
        return 1;
    }
    put_all(&b);
    const char *pid = argc > 5 ? argv[5] : "none";
    double cpu = cpu_seconds();
    double cpu_there = cpu_seconds_of(pid);
    uint64_t begun = now_ns();
    b.end_ns = begun + (uint64_t) seconds * 1000000000;
    for (int i = 0; i < under_way; i++) {
        ask(&b);
    }
    while (b.under_way > 0) {
        hm_dispatch(b.hm, -1);
    }
    double took = (double) (now_ns() - begun) / 1e9;
    printf("reads_per_second %.0f under_way %d wrong %" PRIu64 " client_cpu_us %.2f meshd_cpu_us %.2f\n",
           (double) b.done / took, under_way, b.wrong, (cpu_seconds() - cpu) * 1e6 / (double) b.done,
           (cpu_seconds_of(pid) - cpu_there) * 1e6 / (double) b.done);
    one_by_one(&b);
    hm_close(&b.hm);
    return b.wrong > 0;
}
