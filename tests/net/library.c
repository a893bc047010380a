/* SPDX-License-Identifier: MPL-2.0 */
/* A program of libhomemesh for tests/net/test_library.py. Prints what happens, a line each.
 *
 *   library kv SOCKET               puts, gets, lists and deletes, waiting and not, and checks all of it
 *   library watch SOCKET PREFIX     put KEY VALUE | delete KEY | synced, until it is stopped
 *   library write SOCKET PREFIX N   puts PREFIX0 ... at once, each again until it is acknowledged
 *   library register SOCKET NAME    with a TTL of 1 s; fails it at SIGUSR1, deregisters at SIGTERM
 *   library find SOCKET NAME        ID ADDRESS PORT NODE HEALTH TAGS META */
#define _GNU_SOURCE
#include "homemesh.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t got_signal;

static void on_signal(int number)
{
    got_signal = number;
}

static void check_at(bool is_so, const char *what, int line, hm_t *hm)
{
    if (!is_so) {
        printf("WRONG line %d: %s (%s)\n", line, what, hm_why(hm));
        exit(1);
    }
}
#define CHECK(what) check_at(what, #what, __LINE__, hm)

/* ---- kv ---- */

struct seen {
    hm_t *hm;
    int count, wrong;
};

static bool see(void *ctx, const struct hm_entry *entry)
{
    struct seen *s = ctx;
    const struct hm_entry *e;
    s->count++;
    s->wrong += hm_get(s->hm, entry->key, 0, &e) != HM_EBUSY; /* a callback cannot wait */
    s->wrong += strncmp(entry->key, "kv/", 3) != 0;
    return true;
}

static void see_reply(void *ctx, const struct hm_reply *reply)
{
    struct seen *s = ctx;
    s->count++;
    s->wrong += reply->code != HM_OK || reply->entry == NULL ||
                strcmp(reply->entry->value.data, "many") != 0;
}

static void check_registers(hm_t *hm)
{
    static char large[1048576 + 1];
    const struct hm_entry *e;
    char version[HM_VERSION_BYTES], other[HM_VERSION_BYTES];
    struct hm_put if_absent = {.if_version = "absent"};
    struct hm_put if_version = {.if_version = version};
    CHECK(hm_put(hm, "kv/a", "one", 3, &if_absent, 0, version) == HM_OK);
    CHECK(hm_put(hm, "kv/a", "two", 3, &if_absent, 0, NULL) == HM_ESTALE);
    CHECK(strstr(hm_why(hm), "kv/a") != NULL);
    CHECK(hm_get(hm, "kv/a", 0, &e) == HM_OK && strcmp(e->version, version) == 0);
    CHECK(strcmp(e->value.data, "one") == 0 && e->value.size == 3 && e->type == HM_REGISTER);
    CHECK(e->modified_ms > 1600000000000 && strcmp(e->key, "kv/a") == 0 && e->origin[0] != '\0');
    CHECK(hm_put(hm, "kv/a", "three\0four", 10, &if_version, 0, other) == HM_OK);
    CHECK(strcmp(version, other) != 0);
    CHECK(hm_get(hm, "kv/a", 0, &e) == HM_OK && memcmp(e->value.data, "three\0four", 11) == 0);
    CHECK(hm_put(hm, "kv/raw", "\xff\xfe", 2, NULL, 0, NULL) == HM_OK);
    CHECK(hm_get(hm, "kv/raw", 0, &e) == HM_OK && memcmp(e->value.data, "\xff\xfe", 3) == 0);
    CHECK(hm_put(hm, "kv/empty", "", 0, NULL, 0, NULL) == HM_OK);
    CHECK(hm_get(hm, "kv/empty", 0, &e) == HM_OK && e->value.size == 0);
    memset(large, 'x', sizeof large - 1);
    CHECK(hm_put(hm, "kv/large", large, sizeof large - 1, NULL, 0, NULL) == HM_OK);
    CHECK(hm_get(hm, "kv/large", 0, &e) == HM_OK && strcmp(e->value.data, large) == 0);
    CHECK(hm_put(hm, "kv/large", large, sizeof large, NULL, 0, NULL) == HM_EFULL);
    CHECK(hm_get(hm, "kv/none", 0, &e) == HM_ENOTFOUND);
    CHECK(hm_get(hm, "", 0, &e) == HM_EINVAL);
    CHECK(hm_get(hm, "kv/\n", 0, &e) == HM_EINVAL);
    CHECK(hm_delete(hm, "kv/large", NULL, NULL, 0) == HM_OK);
    CHECK(hm_delete(hm, "kv/large", NULL, NULL, 0) == HM_ENOTFOUND);
}

static void check_others(hm_t *hm)
{
    const struct hm_entry *e;
    struct hm_put set = {.type = HM_SET}, counter = {.type = HM_COUNTER};
    struct hm_bytes red = {.data = "red", .size = 3};
    CHECK(hm_put(hm, "kv/set", "red", 3, &set, 0, NULL) == HM_OK);
    CHECK(hm_put(hm, "kv/set", "blue", 4, &set, 0, NULL) == HM_OK);
    CHECK(hm_get(hm, "kv/set", 0, &e) == HM_OK && e->type == HM_SET && e->element_count == 2);
    CHECK(hm_delete(hm, "kv/set", &red, NULL, 0) == HM_OK);
    CHECK(hm_get(hm, "kv/set", 0, &e) == HM_OK && e->element_count == 1);
    CHECK(e->elements[0].size == 4 && strcmp(e->elements[0].data, "blue") == 0);
    CHECK(hm_put(hm, "kv/count", "5", 1, &counter, 0, NULL) == HM_OK);
    CHECK(hm_put(hm, "kv/count", "-2", 2, &counter, 0, NULL) == HM_OK);
    CHECK(hm_get(hm, "kv/count", 0, &e) == HM_OK && strcmp(e->value.data, "3") == 0);
    CHECK(hm_put(hm, "kv/count", "x", 1, NULL, 0, NULL) == HM_EEXIST);
}

/* More at once than meshd takes, through the descriptor alone. */
static void check_many(hm_t *hm)
{
    struct seen seen = {.hm = hm};
    uint64_t call = 0;
    CHECK(hm_put(hm, "kv/many", "many", 4, NULL, 0, NULL) == HM_OK);
    for (int i = 0; i < 3000; i++) {
        CHECK(hm_get_start(hm, "kv/many", 0, see_reply, &seen, &call) == HM_OK);
    }
    CHECK(hm_cancel(hm, call) == HM_OK && hm_cancel(hm, call) == HM_ENOTFOUND);
    while (seen.count < 2999) {
        struct pollfd p = {.fd = hm_fd(hm), .events = POLLIN};
        CHECK(poll(&p, 1, 30000) == 1);
        CHECK(hm_dispatch(hm, 0) == HM_OK);
    }
    CHECK(seen.wrong == 0);
    seen.count = 0;
    for (int i = 0; i < 300; i++) { /* their replies come all at once */
        CHECK(hm_put_start(hm, "kv/many", "many", 4, NULL, 30000, see_reply, &seen, NULL) == HM_OK);
    }
    while (seen.count < 300) {
        CHECK(hm_dispatch(hm, -1) == HM_OK);
    }
    CHECK(seen.wrong == 300); /* a put's entry has no value */
}

static int run_kv(hm_t *hm)
{
    struct seen seen = {.hm = hm};
    check_registers(hm);
    check_others(hm);
    check_many(hm);
    CHECK(hm_list(hm, "kv/", 0, see, &seen) == HM_OK);
    CHECK(seen.count == 6 && seen.wrong == 0);
    printf("right\n");
    return 0;
}

/* ---- watch and write ---- */

static void tell(void *ctx, const struct hm_change *change)
{
    (void) ctx;
    if (change->op == HM_SYNCED) {
        printf("synced\n");
    } else if (change->op == HM_PUT) {
        printf("put %s %s\n", change->entry->key, (const char *) change->entry->value.data);
    } else {
        printf("delete %s\n", change->entry->key);
    }
    fflush(stdout);
}

static int run_watch(hm_t *hm, const char *prefix)
{
    hm_watch_t *watch;
    CHECK(hm_watch(hm, prefix, tell, NULL, &watch) == HM_OK);
    while (got_signal == 0) {
        CHECK(hm_dispatch(hm, 1000) == HM_OK);
    }
    hm_unwatch(&watch);
    return 0;
}

struct writer {
    hm_t *hm;
    const char *prefix;
    int left;
};

struct write {
    struct writer *writer;
    int number;
};

static void write_one(struct write *w);

static void written(void *ctx, const struct hm_reply *reply)
{
    struct write *w = ctx;
    if (reply->code == HM_OK) {
        w->writer->left--;
    } else {
        write_one(w); /* it may have been done: the same again is right */
    }
}

static void write_one(struct write *w)
{
    char key[300], value[16];
    hm_t *hm = w->writer->hm;
    snprintf(key, sizeof key, "%.200s%d", w->writer->prefix, w->number);
    snprintf(value, sizeof value, "%d", w->number);
    CHECK(hm_put_start(hm, key, value, strlen(value), NULL, 30000, written, w, NULL) == HM_OK);
}

static int run_write(hm_t *hm, const char *prefix, int count)
{
    struct writer writer = {.hm = hm, .prefix = prefix, .left = count};
    struct write *writes = calloc((size_t) count, sizeof *writes);
    for (int i = 0; i < count; i++) {
        writes[i] = (struct write){.writer = &writer, .number = i};
        write_one(&writes[i]);
    }
    while (writer.left > 0) {
        CHECK(hm_dispatch(hm, -1) == HM_OK);
    }
    free(writes);
    printf("written\n");
    return 0;
}

/* ---- services ---- */

static int run_register(hm_t *hm, const char *name)
{
    static const char *const tags[] = {"blue", "fast"};
    static const struct hm_pair meta[] = {{"path", "/x"}};
    struct hm_service_conf conf = {.name = name, .port = 4711, .version = "1.2", .ttl_ms = 1000};
    hm_registered_t *registered;
    conf.tags = tags;
    conf.tag_count = 2;
    conf.meta = meta;
    conf.meta_count = 1;
    CHECK(hm_register(hm, &conf, 0, &registered) == HM_OK);
    printf("registered %s\n", hm_registered_id(registered));
    fflush(stdout);
    while (got_signal != SIGTERM) {
        CHECK(hm_dispatch(hm, 50) == HM_OK);
        if (got_signal == SIGUSR1) {
            got_signal = 0;
            CHECK(hm_check(registered, HM_CRITICAL, "told to") == HM_OK);
        }
    }
    CHECK(hm_deregister(&registered, 0) == HM_OK && registered == NULL);
    printf("deregistered\n");
    return 0;
}

static bool show(void *ctx, const struct hm_service *s)
{
    (void) ctx;
    printf("%s %s %s %u %s %d", s->id, s->version, s->address, s->port, s->node, (int) s->health);
    for (size_t i = 0; i < s->tag_count; i++) {
        printf(" %s", (const char *) s->tags[i].data);
    }
    for (size_t i = 0; i < s->meta_count; i++) {
        printf(" %s=%s", s->meta[i].key, s->meta[i].value);
    }
    printf("\n");
    return true;
}

static int run_find(hm_t *hm, const char *name)
{
    struct hm_filter filter = {.name = name};
    CHECK(hm_find(hm, &filter, 0, show, NULL) == HM_OK);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    struct hm_conf conf = {.socket = argc > 2 ? argv[2] : NULL, .timeout_ms = 30000};
    char why[HM_WHY_BYTES];
    struct sigaction action = {.sa_handler = on_signal};
    hm_t *hm = NULL;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    if (hm_open(&conf, &hm, why) != HM_OK) {
        printf("WRONG: %s\n", why);
        return 1;
    }
    int status = strcmp(what, "kv") == 0                     ? run_kv(hm)
                 : strcmp(what, "watch") == 0 && argc > 3    ? run_watch(hm, argv[3])
                 : strcmp(what, "write") == 0 && argc > 4    ? run_write(hm, argv[3], (int) strtol(argv[4], NULL, 10))
                 : strcmp(what, "register") == 0 && argc > 3 ? run_register(hm, argv[3])
                 : strcmp(what, "find") == 0 && argc > 3     ? run_find(hm, argv[3])
                                                             : 2;
    hm_close(&hm);
    return status;
}
