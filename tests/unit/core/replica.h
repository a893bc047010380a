/* SPDX-License-Identifier: MPL-2.0 */
/* Registries without a mesh: each with a disk of its own (a map), whose batches wait until they are
 * committed, fail or are lost in a crash. Include after ../unit.h. */
#ifndef HM_TESTS_UNIT_CORE_REPLICA_H
#define HM_TESTS_UNIT_CORE_REPLICA_H

#include "base/err.h"
#include "base/omap.h"
#include "base/prng.h"
#include "base/text.h"
#include "core/fold.h"
#include "core/registry.h"
#include "wire/mpack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLICA_KEY_BYTES 600
#define REPLICA_WAITING 16

struct replica_write {
    uint8_t *key, *value; /* key: the table in front; value NULL: removed */
    size_t key_size, value_size;
};

struct replica_batch {
    uint64_t number;
    struct replica_write *writes;
    size_t count;
};

struct replica {
    registry_t *r;
    omap_t *disk;
    struct node_id id;
    uint64_t boots, batch;
    struct prng *prng;
    struct fxlist fx;
    struct replica_batch waiting[REPLICA_WAITING];
    size_t waiting_count;
    uint8_t found[2][REPLICA_KEY_BYTES];
};

static inline uint64_t replica_hash(struct span bytes)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (size_t i = 0; i < bytes.size; i++) {
        h = (h ^ bytes.data[i]) * 0x100000001b3U;
    }
    return prng_mix(h);
}

/* A signature that anybody could forge who knows the id; enough to see that it is asked for. */
static inline void replica_sign(void *identity, struct span message,
                                uint8_t signature[SIGNATURE_BYTES])
{
    uint64_t h = replica_hash(message) ^ node_id_prefix(identity);
    memset(signature, 1, SIGNATURE_BYTES);
    memcpy(signature, &h, sizeof h);
}

static inline bool replica_verify(const uint8_t key[32], struct span message,
                                  const uint8_t signature[SIGNATURE_BYTES])
{
    struct node_id id;
    uint8_t expected[SIGNATURE_BYTES];
    memcpy(id.b, key, NODE_ID_BYTES);
    replica_sign(&id, message, expected);
    return memcmp(signature, expected, SIGNATURE_BYTES) == 0;
}

static inline bool replica_key_of(void *ctx, const struct node_id *id, uint8_t ret_key[32])
{
    (void) ctx;
    memset(ret_key, 0, 32);
    memcpy(ret_key, id->b, NODE_ID_BYTES);
    return true;
}

static inline struct span replica_full(uint8_t *to, enum store_table table, struct span key)
{
    to[0] = (uint8_t) table;
    if (key.size > 0) {
        memcpy(to + 1, key.data, key.size);
    }
    return span_of(to, key.size + 1);
}

static inline bool replica_get(void *ctx, enum store_table table, struct span key,
                               struct span *ret_value)
{
    struct replica *p = ctx;
    uint8_t full[REPLICA_KEY_BYTES];
    return omap_get(p->disk, replica_full(full, table, key), ret_value, NULL);
}

static inline bool replica_next(void *ctx, enum store_table table, struct span from, bool inclusive,
                                struct span *ret_key, struct span *ret_value)
{
    struct replica *p = ctx;
    uint8_t full[REPLICA_KEY_BYTES];
    struct span key;
    if (!omap_next(p->disk, replica_full(full, table, from), inclusive, &key, ret_value, NULL) ||
        key.data[0] != (uint8_t) table) {
        return false;
    }
    *ret_key = span_of(key.data + 1, key.size - 1);
    return true;
}

/* A life: what is on the disk, under a new counter and new random bits. */
static inline void replica_start(struct replica *p)
{
    struct registry_conf conf = {
        .view = {.ctx = p, .get = replica_get, .next = replica_next},
        .crypto = {.identity = &p->id, .sign = replica_sign, .verify = replica_verify,
                   .hash = replica_hash},
        .mesh_tag = 7,
        .self = {.node = p->id, .boots = ++p->boots, .random = prng_next(p->prng)},
        .key_of = replica_key_of,
    };
    struct span key = span_of(NULL, 0);
    struct span value;
    p->r = registry_new(&conf);
    assert_non_null(p->r);
    for (bool first = true; replica_next(p, STORE_VECTOR, key, first, &key, &value); first = false) {
        assert_int_equal(registry_load(p->r, key, value), HM_OK);
    }
}

static inline void replica_init(struct replica *p, uint8_t number, struct prng *prng)
{
    memset(p, 0, sizeof *p);
    p->id.b[0] = number;
    p->prng = prng;
    p->disk = omap_new();
    fxlist_init(&p->fx);
    replica_start(p);
}

static inline void replica_batch_free(struct replica_batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        free(b->writes[i].key);
        free(b->writes[i].value);
    }
    free(b->writes);
}

static inline void replica_lose_waiting(struct replica *p)
{
    for (size_t i = 0; i < p->waiting_count; i++) {
        replica_batch_free(&p->waiting[i]);
    }
    p->waiting_count = 0;
}

static inline void replica_fini(struct replica *p)
{
    replica_lose_waiting(p);
    registry_destroy(&p->r);
    omap_destroy(&p->disk);
    fxlist_fini(&p->fx);
}

/* What gathered becomes a batch that waits for the disk. */
static inline void replica_flush(struct replica *p)
{
    size_t count = registry_flush_count(p->r);
    if (count == 0 || p->waiting_count == REPLICA_WAITING) {
        return;
    }
    struct store_entry *items = calloc(count, sizeof *items);
    struct replica_batch *b = &p->waiting[p->waiting_count++];
    fxlist_clear(&p->fx);
    *b = (struct replica_batch){.number = ++p->batch, .count = count};
    b->writes = calloc(count, sizeof *b->writes);
    assert_int_equal(registry_flush(p->r, b->number, &p->fx, items), HM_OK);
    for (size_t i = 0; i < count; i++) {
        struct replica_write *w = &b->writes[i];
        w->key = malloc(items[i].key.size + 1);
        w->key_size = replica_full(w->key, items[i].table, items[i].key).size;
        if (items[i].value.data != NULL) {
            w->value = malloc(items[i].value.size + 1);
            w->value_size = items[i].value.size;
            memcpy(w->value, items[i].value.data, w->value_size);
        }
    }
    free(items);
}

static inline void replica_commit_one(struct replica *p)
{
    struct replica_batch b = p->waiting[0];
    for (size_t i = 0; i < b.count; i++) {
        struct span key = span_of(b.writes[i].key, b.writes[i].key_size);
        if (b.writes[i].value == NULL) {
            omap_remove(p->disk, key);
        } else {
            omap_put(p->disk, key, span_of(b.writes[i].value, b.writes[i].value_size), 0);
        }
    }
    p->waiting_count--;
    memmove(p->waiting, p->waiting + 1, p->waiting_count * sizeof p->waiting[0]);
    assert_int_equal(registry_durable(p->r, b.number), HM_OK);
    replica_batch_free(&b);
}

static inline void replica_commit(struct replica *p)
{
    do {
        while (p->waiting_count > 0) {
            replica_commit_one(p);
        }
        replica_flush(p);
    } while (p->waiting_count > 0);
}

static inline void replica_fail(struct replica *p)
{
    replica_lose_waiting(p);
    assert_int_equal(registry_failed(p->r), HM_OK);
}

static inline void replica_crash(struct replica *p)
{
    replica_lose_waiting(p);
    registry_destroy(&p->r);
    replica_start(p);
}

/* Takes records from the disk, one of `of` in each table, and starts anew as the daemon does after that. */
static inline void replica_damage(struct replica *p, uint64_t of)
{
    struct span key = span_of("", 0);
    struct span value;
    uint8_t copy[REPLICA_KEY_BYTES];
    for (bool first = true; omap_next(p->disk, key, first, &key, &value, NULL); first = false) {
        memcpy(copy, key.data, key.size);
        key = span_of(copy, key.size);
        if (prng_below(p->prng, of) == 0) {
            omap_remove(p->disk, key);
        }
    }
    replica_crash(p);
    if (registry_loaded(p->r) == HM_OK) {
        registry_rebuild(p->r);
    }
    while (registry_is_rebuilding(p->r)) {
        assert_int_equal(registry_rebuild_some(p->r, 3), HM_OK);
    }
    replica_commit(p);
}

static inline int replica_write(struct replica *p, const char *key, const char *value)
{
    struct buf b;
    struct registry_write w = {.key = span_of(key, strlen(key)), .type = ENTRY_REGISTER,
                               .is_deleted = value == NULL};
    buf_init(&b, SIZE_MAX);
    mp_str(&b, value == NULL ? "" : value);
    w.value = buf_span(&b);
    int rc = registry_write(p->r, &w, NULL);
    buf_fini(&b);
    return rc;
}

/* What is shown of a key, "-" for nothing, and how many others stand beside it. */
static inline const char *replica_shown(struct replica *p, const char *key, char *to, size_t max,
                                        size_t *ret_others)
{
    struct registry_siblings s;
    struct mp_reader m;
    text_copy(to, max, "-");
    *ret_others = 0;
    if (registry_get(p->r, LOOK_SHOWN, span_of(key, strlen(key)), &s) == HM_OK && s.live > 0) {
        mp_open(&m, s.items[0].value);
        mp_read_text(&m, to, max);
        *ret_others = s.live - 1;
    }
    return to;
}

/* What `to` says to `from` that it has seen, as an asker of a pass does: in folds, and if `from` cannot name
 * them in what it offers instead. Returns the bytes of the vectors that were told. */
static inline size_t replica_told(struct replica *from, struct replica *to, struct vector *ret_theirs)
{
    struct fold_list unnamed = {0};
    struct fold_list offers = {0};
    struct fold_list understood = {0};
    struct buf b;
    buf_init(&b, SIZE_MAX);
    const struct vector *seen = registry_durable_vector(to->r);
    const struct vector *ours = registry_vector(from->r);
    assert_int_equal(fold_tell(&b, seen, replica_hash, NULL), HM_OK);
    size_t bytes = b.size;
    assert_int_equal(fold_told(buf_span(&b), ours, replica_hash, false, ret_theirs, &unnamed), HM_OK);
    if (unnamed.count > 0) {
        assert_int_equal(fold_offer(ours, &unnamed, replica_hash, &offers), HM_OK);
        buf_clear(&b);
        fold_list_write(&b, &offers);
        assert_int_equal(fold_list_read(buf_span(&b), &understood), HM_OK);
        buf_clear(&b);
        assert_int_equal(fold_tell(&b, seen, replica_hash, &understood), HM_OK);
        bytes += b.size;
        fold_list_fini(&unnamed);
        assert_int_equal(fold_told(buf_span(&b), ours, replica_hash, false, ret_theirs, &unnamed),
                         HM_OK);
        assert_int_equal(unnamed.count, 0);
    }
    assert_true(vector_eq(ret_theirs, seen)); /* folds lose nothing and add nothing */
    fold_list_fini(&unnamed);
    fold_list_fini(&offers);
    fold_list_fini(&understood);
    buf_fini(&b);
    return bytes;
}

/* All that one has and the other's vector lacks, then the claim, as a whole pass does. Both must have
 * nothing that waits. Returns the bytes of all that was said about what was seen. */
static inline size_t replica_pass(struct replica *from, struct replica *to)
{
    struct vector_diff diff;
    struct vector theirs, start, claims;
    struct origin origin;
    struct run run;
    struct buf b;
    bool all;
    vector_init(&theirs);
    vector_init(&start);
    vector_init(&claims);
    buf_init(&b, SIZE_MAX);
    size_t bytes = replica_told(from, to, &theirs);
    assert_int_equal(vector_copy(&start, registry_durable_vector(from->r)), HM_OK);
    vector_diff_open(&diff, &start, &theirs);
    while (vector_diff_next(&diff, &origin, &run)) {
        struct dot dot = {origin, run.first - 1};
        struct span entry;
        while (registry_next_dot(from->r, &origin, dot.seq + 1, &dot, &entry) &&
               dot.seq <= run.last) {
            enum registry_outcome outcome;
            assert_int_equal(registry_merge(to->r, entry, &outcome), HM_OK);
        }
    }
    assert_int_equal(vector_lacking(&claims, &start, &theirs, SIZE_MAX, &all), HM_OK);
    assert_true(all);
    vector_write(&b, &claims);
    assert_int_equal(registry_claim(to->r, &claims), HM_OK);
    bytes += b.size;
    vector_fini(&theirs);
    vector_fini(&start);
    vector_fini(&claims);
    buf_fini(&b);
    return bytes;
}

/* A disk as it is now, and later again. */
static inline void replica_copy_disk(omap_t *to, const omap_t *from)
{
    struct span key = span_of("", 0);
    struct span value;
    omap_clear(to);
    for (bool first = true; omap_next(from, key, first, &key, &value, NULL); first = false) {
        assert_int_equal(omap_put(to, key, value, 0), HM_OK);
    }
}

#endif
