/* SPDX-License-Identifier: MPL-2.0 */
/* Merging, writing and deleting: by example, and by random histories against what the rules say. */
#include "../unit.h"

#include "base/limits.h"
#include "base/text.h"
#include "replica.h"

#define REPLICAS 4
#define KEYS 5
#define STEPS 120

static char shown[64];
static size_t others;
#define SHOWN(p, key) replica_shown(p, key, shown, sizeof shown, &others)

struct pair {
    struct prng prng;
    struct replica a, b;
};

static struct pair *pair_new(void)
{
    struct pair *p = calloc(1, sizeof *p);
    prng_init(&p->prng, 1);
    replica_init(&p->a, 1, &p->prng);
    replica_init(&p->b, 2, &p->prng);
    return p;
}

static void pair_free(struct pair *p)
{
    replica_fini(&p->a);
    replica_fini(&p->b);
    free(p);
}

static void settle(struct replica *p)
{
    replica_flush(p);
    replica_commit(p);
}

static void meet(struct pair *p)
{
    replica_pass(&p->a, &p->b);
    replica_pass(&p->b, &p->a);
    settle(&p->a);
    settle(&p->b);
    assert_int_equal(registry_state(p->a.r), registry_state(p->b.r));
}

static void what_is_written_is_shown_when_it_is_durable(void **state)
{
    struct pair *p = pair_new();
    (void) state;
    assert_int_equal(replica_write(&p->a, "kv/x", "1"), HM_OK);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "-");
    replica_flush(&p->a);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "-");
    replica_commit(&p->a);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "1");
    assert_int_equal(replica_write(&p->a, "kv/x", "2"), HM_OK);
    replica_flush(&p->a);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "1");
    replica_crash(&p->a);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "1");
    assert_int_equal(registry_totals(p->a.r)->entries, 1);
    assert_int_equal(replica_write(&p->a, "kv/x", NULL), HM_OK);
    settle(&p->a);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "-");
    assert_int_equal(registry_totals(p->a.r)->entries, 0);
    assert_int_equal(registry_totals(p->a.r)->marks, 1);
    assert_int_equal(replica_write(&p->a, "kv/x", NULL), HM_ENOTFOUND);
    pair_free(p);
}

static void both_sides_of_a_partition_are_kept(void **state)
{
    struct pair *p = pair_new();
    (void) state;
    replica_write(&p->a, "kv/x", "first");
    settle(&p->a);
    meet(p);
    replica_write(&p->a, "kv/x", "of a");
    replica_write(&p->b, "kv/x", "of b");
    settle(&p->a);
    settle(&p->b);
    meet(p);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "of b"); /* same Lamport version, higher id */
    assert_int_equal(others, 1);
    assert_string_equal(SHOWN(&p->b, "kv/x"), "of b");
    replica_write(&p->a, "kv/x", "both seen");
    settle(&p->a);
    meet(p);
    assert_string_equal(SHOWN(&p->b, "kv/x"), "both seen");
    assert_int_equal(others, 0);
    pair_free(p);
}

/* Shown is a put before a delete. */
static void a_put_beside_a_delete_stays(void **state)
{
    struct pair *p = pair_new();
    (void) state;
    replica_write(&p->a, "kv/x", "first");
    settle(&p->a);
    meet(p);
    replica_write(&p->b, "kv/x", NULL);
    replica_write(&p->a, "kv/x", "kept");
    settle(&p->a);
    settle(&p->b);
    meet(p);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "kept");
    assert_string_equal(SHOWN(&p->b, "kv/x"), "kept");
    pair_free(p);
}

/* A node that misses the middle of three writes by one writer sees no conflict. */
static void a_missed_write_is_no_conflict(void **state)
{
    struct pair *p = pair_new();
    enum registry_outcome outcome;
    struct registry_siblings s;
    struct span key = span_of("kv/x", 4);
    (void) state;
    replica_write(&p->a, "kv/x", "1");
    settle(&p->a);
    meet(p);
    replica_write(&p->a, "kv/x", "2");
    replica_write(&p->a, "kv/x", "3");
    settle(&p->a);
    assert_int_equal(registry_get(p->a.r, LOOK_ALL, key, &s), HM_OK);
    assert_int_equal(registry_merge(p->b.r, s.items[0].bytes, &outcome), HM_OK);
    assert_int_equal(outcome, REGISTRY_NEW);
    assert_int_equal(registry_get(p->b.r, LOOK_ALL, key, &s), HM_OK);
    assert_int_equal(s.count, 1);
    pair_free(p);
}

static void a_failed_disk_takes_back_what_was_not_durable(void **state)
{
    struct pair *p = pair_new();
    (void) state;
    replica_write(&p->a, "kv/x", "1");
    settle(&p->a);
    uint64_t before = registry_state(p->a.r);
    replica_write(&p->a, "kv/x", "2");
    uint64_t round = registry_round(p->a.r);
    replica_flush(&p->a);
    replica_write(&p->a, "kv/y", "3");
    assert_int_equal(registry_fate(p->a.r, round), REGISTRY_WAITS);
    replica_fail(&p->a);
    assert_int_equal(registry_fate(p->a.r, round), REGISTRY_FAILED);
    assert_int_equal(registry_state(p->a.r), before);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "1");
    assert_string_equal(SHOWN(&p->a, "kv/y"), "-");
    replica_write(&p->a, "kv/x", "4");
    round = registry_round(p->a.r);
    settle(&p->a);
    assert_int_equal(registry_fate(p->a.r, round), REGISTRY_DURABLE);
    meet(p);
    assert_string_equal(SHOWN(&p->b, "kv/x"), "4");
    pair_free(p);
}

static void keys_of_a_node_are_its_own(void **state)
{
    struct pair *p = pair_new();
    struct registry_siblings s;
    enum registry_outcome outcome;
    char mine[64] = "svc/01000000000000000000000000000000/web";
    (void) state;
    assert_int_equal(replica_write(&p->b, mine, "forged"), HM_EDENIED);
    assert_int_equal(replica_write(&p->a, "svc/nobody/web", "x"), HM_EDENIED);
    assert_int_equal(replica_write(&p->a, mine, "80"), HM_OK);
    settle(&p->a);
    meet(p);
    assert_string_equal(SHOWN(&p->b, mine), "80");
    assert_int_equal(replica_write(&p->b, mine, NULL), HM_EDENIED);
    /* One bit of what was signed is changed on the way. */
    replica_write(&p->a, mine, "81");
    settle(&p->a);
    assert_int_equal(registry_get(p->a.r, LOOK_ALL, span_of(mine, strlen(mine)), &s), HM_OK);
    uint8_t *forged = malloc(s.items[0].bytes.size);
    memcpy(forged, s.items[0].bytes.data, s.items[0].bytes.size);
    forged[(size_t) (s.items[0].value.data - s.items[0].bytes.data) + 2] ^= 1;
    struct span bytes = span_of(forged, s.items[0].bytes.size);
    assert_int_equal(registry_merge(p->b.r, bytes, &outcome), HM_EDENIED);
    free(forged);
    assert_string_equal(SHOWN(&p->b, mine), "80");
    pair_free(p);
}

/* Who says that we have written more than we have would make others take our next writes for known. */
static void nobody_else_writes_in_our_name(void **state)
{
    struct pair *p = pair_new();
    struct replica thief;
    struct registry_siblings s;
    enum registry_outcome outcome;
    struct prng twin;
    struct dot next;
    (void) state;
    prng_init(&twin, 1); /* as pair_new's: the thief names the life that node a is in */
    replica_init(&thief, 1, &twin);
    replica_write(&thief, "kv/x", "forged");
    replica_commit(&thief);
    assert_int_equal(registry_get(thief.r, LOOK_ALL, span_of("kv/x", 4), &s), HM_OK);
    next = s.items[0].dot;
    assert_int_equal(registry_merge(p->a.r, s.items[0].bytes, &outcome), HM_EDENIED);
    /* The same as a context, in another's entry. */
    replica_pass(&thief, &p->b);
    replica_commit(&p->b);
    replica_write(&p->b, "kv/x", "over it");
    replica_commit(&p->b);
    assert_int_equal(registry_get(p->b.r, LOOK_ALL, span_of("kv/x", 4), &s), HM_OK);
    assert_int_equal(registry_merge(p->a.r, s.items[0].bytes, &outcome), HM_EDENIED);
    /* The same as a claim, with another's writes that are real. */
    assert_int_equal(registry_claim(p->a.r, registry_durable_vector(p->b.r)), HM_OK);
    replica_commit(&p->a);
    assert_false(vector_has(registry_durable_vector(p->a.r), &next));
    assert_true(vector_has(registry_durable_vector(p->a.r), &s.items[0].dot));
    assert_int_equal(replica_write(&p->a, "kv/y", "1"), HM_OK);
    replica_commit(&p->a);
    assert_int_equal(registry_get(p->a.r, LOOK_ALL, span_of("kv/y", 4), &s), HM_OK);
    assert_true(dot_eq(&s.items[0].dot, &next));
    assert_true(vector_has(registry_durable_vector(p->a.r), &next));
    replica_fini(&thief);
    pair_free(p);
}

static void limits_are_kept(void **state)
{
    struct pair *p = pair_new();
    char key[HM_KEY_BYTES_MAX + 2];
    (void) state;
    memset(key, 'k', sizeof key);
    key[HM_KEY_BYTES_MAX] = '\0';
    assert_int_equal(replica_write(&p->a, key, "long"), HM_OK);
    key[HM_KEY_BYTES_MAX - 1] = 'l'; /* differs behind what LMDB's key can hold */
    assert_int_equal(replica_write(&p->a, key, "other"), HM_OK);
    settle(&p->a);
    assert_string_equal(SHOWN(&p->a, key), "other");
    key[HM_KEY_BYTES_MAX - 1] = 'k';
    assert_string_equal(SHOWN(&p->a, key), "long");
    key[HM_KEY_BYTES_MAX] = 'k';
    key[HM_KEY_BYTES_MAX + 1] = '\0';
    assert_int_equal(replica_write(&p->a, key, "x"), HM_EINVAL);
    assert_int_equal(replica_write(&p->a, "", "x"), HM_EINVAL);
    /* A value that nobody could read is not taken, least of all acknowledged. */
    uint8_t nested[HM_VALUE_DEPTH_MAX + 2];
    for (size_t depth = HM_VALUE_DEPTH_MAX; depth <= HM_VALUE_DEPTH_MAX + 1; depth++) {
        memset(nested, 0x91, depth);
        nested[depth] = 1;
        struct registry_write w = {.key = span_of("deep", 4), .type = ENTRY_REGISTER,
                                   .value = span_of(nested, depth + 1)};
        assert_int_equal(registry_write(p->a.r, &w, NULL),
                         depth == HM_VALUE_DEPTH_MAX ? HM_OK : HM_EINVAL);
    }
    pair_free(p);
}

static void changes_are_told_in_order(void **state)
{
    struct pair *p = pair_new();
    struct registry_change change;
    struct entry e;
    bool gap;
    (void) state;
    for (size_t i = 0; i < HM_CHANGES_MAX + 10; i++) {
        replica_write(&p->a, "kv/x", i % 2 == 0 ? "put" : NULL);
        settle(&p->a);
    }
    assert_int_equal(registry_change_last(p->a.r), HM_CHANGES_MAX + 10);
    assert_true(registry_change_after(p->a.r, 0, &change, &gap));
    assert_true(gap);
    assert_int_equal(change.number, 11);
    for (size_t i = 10; i < HM_CHANGES_MAX + 10; i++) {
        assert_true(registry_change_after(p->a.r, i, &change, &gap));
        assert_false(gap);
        assert_int_equal(change.number, i + 1);
        assert_int_equal(entry_read(change.bytes, &e), HM_OK);
        assert_int_equal(e.is_deleted, i % 2 == 1);
    }
    assert_false(registry_change_after(p->a.r, HM_CHANGES_MAX + 10, &change, &gap));
    assert_false(gap);
    pair_free(p);
}

/* While it waited for the disk, another node's value of the same key came, and that is what is shown: no change is told of
 * the own one. Nothing else came: one is. */
static void own_writes_beside_others_are_told_if_shown(void **state)
{
    struct pair *p = pair_new();
    enum registry_outcome outcome;
    struct registry_siblings s;
    (void) state;
    replica_write(&p->b, "kv/x", "1");
    replica_write(&p->b, "kv/x", "higher");
    settle(&p->b);
    assert_int_equal(registry_get(p->b.r, LOOK_SHOWN, span_of("kv/x", 4), &s), HM_OK);
    replica_write(&p->a, "kv/x", "lower");
    assert_int_equal(registry_merge(p->a.r, s.items[0].bytes, &outcome), HM_OK);
    assert_int_equal(outcome, REGISTRY_NEW);
    assert_int_equal(registry_change_last(p->a.r), 1); /* b's */
    settle(&p->a);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "higher");
    assert_int_equal(registry_change_last(p->a.r), 1);
    replica_write(&p->a, "kv/x", "highest");
    settle(&p->a);
    assert_string_equal(SHOWN(&p->a, "kv/x"), "highest");
    assert_int_equal(registry_change_last(p->a.r), 2);
    pair_free(p);
}

/* ---- random histories ------------------------------------------------------------------------ */

/* Every entry that ever became durable at its writer. */
struct history {
    struct replica p[REPLICAS];
    struct prng prng;
    uint8_t *entries[REPLICAS * STEPS];
    size_t sizes[REPLICAS * STEPS];
    size_t count;
    omap_t *backup[REPLICAS]; /* NULL: none was made */
    uint64_t backup_boots[REPLICAS];
};

static void key_name(char *to, size_t key)
{
    to[0] = 'k';
    to[1] = '/';
    to[2] = (char) ('a' + key);
    to[3] = '\0';
}

/* What has become durable at a writer belongs to the history. */
static void take_durable(struct history *h, struct replica *p)
{
    struct span bytes;
    while (registry_take_durable(p->r, &bytes)) {
        assert_true(h->count < REPLICAS * STEPS);
        h->entries[h->count] = malloc(bytes.size);
        memcpy(h->entries[h->count], bytes.data, bytes.size);
        h->sizes[h->count++] = bytes.size;
    }
}

static struct entry entry_of(const struct history *h, size_t i)
{
    struct entry e;
    assert_int_equal(entry_read(span_of(h->entries[i], h->sizes[i]), &e), HM_OK);
    return e;
}

static void back_up(struct history *h, size_t i)
{
    if (h->backup[i] == NULL) {
        h->backup[i] = omap_new();
    }
    replica_copy_disk(h->backup[i], h->p[i].disk);
    h->backup_boots[i] = h->p[i].boots;
}

/* An old disk in a new life, whose counter others may have seen. What only this one held would be lost, so
 * another gets it before. */
static void restore(struct history *h, size_t i)
{
    struct replica *p = &h->p[i];
    struct replica *next = &h->p[(i + 1) % REPLICAS];
    if (h->backup[i] == NULL) {
        return;
    }
    replica_commit(p);
    take_durable(h, p);
    replica_pass(p, next);
    replica_commit(next);
    take_durable(h, next);
    replica_copy_disk(p->disk, h->backup[i]);
    p->boots = h->backup_boots[i];
    replica_crash(p);
}

static void step(struct history *h)
{
    size_t i = (size_t) prng_below(&h->prng, REPLICAS);
    struct replica *p = &h->p[i];
    struct replica *q = &h->p[prng_below(&h->prng, REPLICAS)];
    enum registry_outcome outcome;
    char key[4];
    key_name(key, (size_t) prng_below(&h->prng, KEYS));
    switch (prng_below(&h->prng, 15)) {
    case 0:
    case 1:
    case 2: replica_write(p, key, "value"); break;
    case 3: replica_write(p, key, NULL); break;
    case 4:
    case 5: replica_flush(p); break;
    case 6:
    case 7:
        if (p->waiting_count > 0) {
            replica_commit_one(p);
        }
        break;
    case 8: /* one entry gets through on its own, perhaps long after */
        if (h->count > 0) {
            size_t at = (size_t) prng_below(&h->prng, h->count);
            struct span bytes = span_of(h->entries[at], h->sizes[at]);
            assert_int_equal(registry_merge(p->r, bytes, &outcome), HM_OK);
        }
        break;
    case 9: replica_pass(q, p); break;
    case 10: replica_fail(p); break;
    case 11: back_up(h, i); break;
    case 12: restore(h, i); break;
    default: replica_crash(p); break;
    }
    take_durable(h, p);
}

static struct history *history_new(uint64_t seed)
{
    struct history *h = calloc(1, sizeof *h);
    prng_init(&h->prng, seed);
    for (size_t i = 0; i < REPLICAS; i++) {
        replica_init(&h->p[i], (uint8_t) (i + 1), &h->prng);
    }
    for (size_t i = 0; i < STEPS; i++) {
        step(h);
    }
    return h;
}

static void history_free(struct history *h)
{
    for (size_t i = 0; i < REPLICAS; i++) {
        replica_fini(&h->p[i]);
        omap_destroy(&h->backup[i]);
    }
    for (size_t i = 0; i < h->count; i++) {
        free(h->entries[i]);
    }
    free(h);
}

/* A claimed dot is held, or something that supersedes it is. */
static void check_claims(struct history *h, struct replica *p)
{
    struct registry_siblings s;
    for (size_t i = 0; i < h->count; i++) {
        struct entry e = entry_of(h, i);
        bool is_there = !vector_has(registry_vector(p->r), &e.dot);
        int rc = is_there ? HM_ENOTFOUND : registry_get(p->r, LOOK_ALL, e.key, &s);
        for (size_t j = 0; rc == HM_OK && j < s.count; j++) {
            is_there |= dot_eq(&s.items[j].dot, &e.dot) || entry_supersedes(&s.items[j], &e.dot);
        }
        assert_true(is_there);
    }
}

/* In the end exactly those are held that no other supersedes. */
static void check_end(struct history *h, struct replica *p)
{
    size_t live = 0;
    size_t marks = 0;
    struct registry_siblings s;
    for (size_t i = 0; i < h->count; i++) {
        struct entry e = entry_of(h, i);
        bool is_superseded = false;
        for (size_t j = 0; j < h->count; j++) {
            struct entry other = entry_of(h, j);
            is_superseded |= other.key.size == e.key.size &&
                             memcmp(other.key.data, e.key.data, e.key.size) == 0 &&
                             entry_supersedes(&other, &e.dot);
        }
        bool is_held = false;
        int rc = registry_get(p->r, LOOK_ALL, e.key, &s);
        for (size_t j = 0; rc == HM_OK && j < s.count; j++) {
            is_held |= dot_eq(&s.items[j].dot, &e.dot);
        }
        assert_int_equal(is_held, !is_superseded);
        live += is_held && !e.is_deleted;
        marks += is_held && e.is_deleted;
    }
    assert_int_equal(registry_totals(p->r)->entries, live);
    assert_int_equal(registry_totals(p->r)->marks, marks);
}

static void dots_are_used_once(const struct history *h)
{
    for (size_t i = 0; i < h->count; i++) {
        for (size_t j = i + 1; j < h->count; j++) {
            struct entry a = entry_of(h, i);
            struct entry b = entry_of(h, j);
            assert_false(dot_eq(&a.dot, &b.dot));
        }
    }
}

static void run_history(uint64_t seed)
{
    struct history *h = history_new(seed);
    for (size_t i = 0; i < REPLICAS; i++) {
        replica_commit(&h->p[i]);
        take_durable(h, &h->p[i]);
        check_claims(h, &h->p[i]);
    }
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < REPLICAS; i++) {
            replica_pass(&h->p[i], &h->p[(i + 1) % REPLICAS]);
            replica_commit(&h->p[(i + 1) % REPLICAS]);
        }
    }
    for (size_t i = 0; i < REPLICAS; i++) {
        check_claims(h, &h->p[i]);
        check_end(h, &h->p[i]);
        assert_int_equal(registry_state(h->p[i].r), registry_state(h->p[0].r));
    }
    dots_are_used_once(h);
    history_free(h);
}

static void any_history_converges(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        run_history(seed);
    }
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Whatever records a disk loses, nothing is claimed that is not held, and others bring it back. */
static void what_a_disk_loses_comes_back(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct history *h = history_new(seed);
        for (size_t i = 0; i < REPLICAS; i++) {
            replica_commit(&h->p[i]);
            take_durable(h, &h->p[i]);
        }
        for (size_t i = 1; i < 2 * REPLICAS; i++) {
            replica_pass(&h->p[(i - 1) % REPLICAS], &h->p[i % REPLICAS]);
            replica_commit(&h->p[i % REPLICAS]);
        }
        replica_damage(&h->p[1], 1 + prng_below(&h->prng, 6));
        check_claims(h, &h->p[1]);
        assert_false(registry_is_damaged(h->p[1].r));
        replica_crash(&h->p[1]);
        check_claims(h, &h->p[1]);
        replica_pass(&h->p[0], &h->p[1]);
        replica_commit(&h->p[1]);
        check_claims(h, &h->p[1]);
        check_end(h, &h->p[1]);
        assert_int_equal(registry_state(h->p[1].r), registry_state(h->p[0].r));
        history_free(h);
    }
}

/* ---- the laws of merging --------------------------------------------------------------------- */

/* The same entries in any order, any of them twice, leave the same. */
static void order_and_repetition_do_not_matter(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct history *h = history_new(seed);
        struct replica fresh[2];
        for (uint8_t f = 0; f < 2; f++) {
            replica_init(&fresh[f], (uint8_t) (20 + f), &h->prng);
            for (size_t i = 0; i < 3 * h->count; i++) {
                enum registry_outcome outcome;
                size_t at = i < h->count ? (f == 0 ? i : h->count - 1 - i)
                                         : (size_t) prng_below(&h->prng, h->count);
                struct span bytes = span_of(h->entries[at], h->sizes[at]);
                assert_int_equal(registry_merge(fresh[f].r, bytes, &outcome), HM_OK);
            }
            replica_commit(&fresh[f]);
        }
        assert_int_equal(registry_state(fresh[0].r), registry_state(fresh[1].r));
        check_end(h, &fresh[0]);
        check_end(h, &fresh[1]);
        replica_fini(&fresh[0]);
        replica_fini(&fresh[1]);
        history_free(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_shown_when_it_is_durable),
        cmocka_unit_test(both_sides_of_a_partition_are_kept),
        cmocka_unit_test(a_put_beside_a_delete_stays),
        cmocka_unit_test(a_missed_write_is_no_conflict),
        cmocka_unit_test(a_failed_disk_takes_back_what_was_not_durable),
        cmocka_unit_test(keys_of_a_node_are_its_own),
        cmocka_unit_test(nobody_else_writes_in_our_name),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(changes_are_told_in_order),
        cmocka_unit_test(own_writes_beside_others_are_told_if_shown),
        cmocka_unit_test(any_history_converges),
        cmocka_unit_test(what_a_disk_loses_comes_back),
        cmocka_unit_test(order_and_repetition_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
