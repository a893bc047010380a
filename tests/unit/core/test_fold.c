/* SPDX-License-Identifier: MPL-2.0 */
/* Old lives in few bytes: whatever two nodes have seen, what one tells the other reads as exactly that. */
#include "../unit.h"

#include "base/limits.h"
#include "replica.h"

#define NODES 3
#define RESTARTS 10000
#define KEYS 1000 /* each is written again and again */
#define LIVES 40
#define MEMBER_BYTES 64 /* of a vector, for each member */

static struct node_id node_of(size_t i)
{
    struct node_id id = {{0}};
    id.b[0] = (uint8_t) (1 + i);
    return id;
}

static struct origin life_of(size_t node, uint64_t boots, uint64_t random)
{
    struct origin origin = {.node = node_of(node), .boots = boots, .random = random};
    return origin;
}

static void add(struct vector *v, struct origin life, uint64_t first, uint64_t last)
{
    assert_int_equal(vector_add_run(v, &life, (struct run){first, last}), HM_OK);
}

static size_t tell(struct buf *b, const struct vector *v, const struct fold_list *offers)
{
    buf_clear(b);
    assert_int_equal(fold_tell(b, v, replica_hash, offers), HM_OK);
    return b->size;
}

/* Returns how many folds could not be named. */
static size_t read_told(const struct buf *b, const struct vector *ours, struct vector *to)
{
    struct fold_list unnamed = {0};
    struct span bytes = exact_copy(b->data, b->size);
    assert_int_equal(fold_told(bytes, ours, replica_hash, false, to, &unnamed), HM_OK);
    size_t count = unnamed.count;
    fold_list_fini(&unnamed);
    exact_free(bytes);
    return count;
}

/* The whole of it: folds, and if they cannot be named what is offered. Returns the bytes that were told. */
static size_t tell_all(const struct vector *v, const struct vector *ours)
{
    struct fold_list unnamed = {0};
    struct fold_list offers = {0};
    struct vector to;
    struct buf b;
    vector_init(&to);
    buf_init(&b, SIZE_MAX);
    size_t bytes = tell(&b, v, NULL);
    assert_int_equal(fold_told(buf_span(&b), ours, replica_hash, false, &to, &unnamed), HM_OK);
    assert_true(vector_covers(v, &to));
    assert_int_equal(vector_eq(v, &to), unnamed.count == 0);
    if (unnamed.count > 0) {
        assert_int_equal(fold_offer(ours, &unnamed, replica_hash, &offers), HM_OK);
        bytes += tell(&b, v, &offers);
        assert_int_equal(read_told(&b, ours, &to), 0);
        assert_true(vector_eq(v, &to));
    }
    fold_list_fini(&unnamed);
    fold_list_fini(&offers);
    vector_fini(&to);
    buf_fini(&b);
    return bytes;
}

/* ---- what is told is what is read ------------------------------------------------------------ */

/* Some lives, of few numbers, so that two of such vectors often have the same. */
static void random_lives(struct vector *v, struct prng *p, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct origin life = life_of((size_t) prng_below(p, NODES), prng_below(p, 6), prng_below(p, 2));
        uint64_t first = 1 + prng_below(p, 3);
        add(v, life, first, first + prng_below(p, 3));
    }
}

static void nothing_is_lost_and_nothing_added(void **state)
{
    struct prng p;
    (void) state;
    prng_init(&p, 3);
    for (size_t round = 0; round < 3000; round++) {
        struct vector a, b;
        vector_init(&a);
        vector_init(&b);
        random_lives(&a, &p, prng_below(&p, 30));
        if (round % 2 == 0) {
            assert_int_equal(vector_copy(&b, &a), HM_OK); /* almost the same */
            random_lives(round % 4 == 0 ? &a : &b, &p, prng_below(&p, 3));
        } else {
            random_lives(&b, &p, prng_below(&p, 30));
        }
        tell_all(&a, &b);
        tell_all(&b, &a);
        vector_fini(&a);
        vector_fini(&b);
    }
}

/* Under a counter that is folded long since: in nobody's fold, so it is known only to who knows it. */
static void a_restored_life_is_in_no_fold(void **state)
{
    struct vector a, b;
    struct vector to;
    struct buf bytes;
    struct origin restored = life_of(0, 41, 77);
    struct dot dot = {restored, 1};
    (void) state;
    vector_init(&a);
    vector_init(&b);
    vector_init(&to);
    buf_init(&bytes, SIZE_MAX);
    for (uint64_t boots = 1; boots <= 90; boots++) {
        add(&a, life_of(0, boots, boots * 7), 1, 3);
    }
    assert_int_equal(vector_copy(&b, &a), HM_OK);
    add(&a, restored, 1, 1);
    tell(&bytes, &b, NULL);
    assert_int_equal(read_told(&bytes, &a, &to), 1);
    assert_false(vector_has(&to, &dot));
    tell_all(&a, &b);
    tell_all(&b, &a);
    vector_fini(&a);
    vector_fini(&b);
    vector_fini(&to);
    buf_fini(&bytes);
}

/* Where two differ in one life of many, the others stay folded as far as they are older. */
static void the_cost_is_that_of_the_difference(void **state)
{
    struct vector a, b;
    (void) state;
    vector_init(&a);
    vector_init(&b);
    for (uint64_t boots = 1; boots <= 4000; boots++) {
        add(&a, life_of(0, boots, boots * 7), 1, 3);
        if (boots != 3980) {
            add(&b, life_of(0, boots, boots * 7), 1, 3);
        }
    }
    assert_in_range(tell_all(&a, &b), 64, 64 + 64 * 40);
    assert_in_range(tell_all(&b, &a), 64, 64 + 64 * 40);
    /* One that is behind is told no more than that, and tells the other no more. */
    struct vector behind;
    vector_init(&behind);
    for (uint64_t boots = 1; boots <= 3000; boots++) {
        add(&behind, life_of(0, boots, boots * 7), 1, 3);
    }
    assert_in_range(tell_all(&behind, &a), 1, 64);
    assert_in_range(tell_all(&a, &behind), 1000 * 20, 1000 * 40);
    vector_fini(&a);
    vector_fini(&b);
    vector_fini(&behind);
}

/* An offer that names all lives there are would leave none that could carry it. */
static void a_fold_leaves_one_life(void **state)
{
    struct vector v, to;
    struct buf b;
    (void) state;
    vector_init(&v);
    vector_init(&to);
    buf_init(&b, SIZE_MAX);
    add(&v, life_of(0, 1, 3), 1, 1);
    add(&v, life_of(0, 2, 4), 1, 1);
    struct fold all = {.node = node_of(0), .boots = 9, .count = 2};
    for (size_t i = 0; i < v.count; i++) {
        all.sum += fold_life_hash(replica_hash, &v.items[i]);
    }
    struct fold_list offers = {.items = &all, .count = 1};
    tell(&b, &v, &offers);
    assert_int_equal(read_told(&b, &v, &to), 0);
    assert_true(vector_eq(&v, &to));
    vector_fini(&v);
    vector_fini(&to);
    buf_fini(&b);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

#define ID "c4 10 01000000000000000000000000000000"
#define ID2 "c4 10 02000000000000000000000000000000"

static uint64_t sum_of_two(struct span bytes)
{
    return bytes.size; /* both lives of the test below take as many bytes */
}

static void bytes_are_as_written_down(void **state)
{
    static const char text[] = "92 95" ID "09 05 92 01 00 93 09 02 46" /* the lives 1 and 2 in a fold */
                               "94" ID2 "01 03 92 01 00";
    uint8_t want[128];
    size_t size = hex_bytes(text, want, sizeof want);
    struct vector v, to;
    struct buf b;
    (void) state;
    vector_init(&v);
    vector_init(&to);
    buf_init(&b, SIZE_MAX);
    add(&v, life_of(0, 1, 3), 1, 1);
    add(&v, life_of(0, 2, 4), 1, 7);
    add(&v, life_of(0, 9, 5), 1, 1);
    add(&v, life_of(1, 1, 3), 1, 1);
    assert_int_equal(fold_tell(&b, &v, sum_of_two, NULL), HM_OK);
    assert_int_equal(b.size, size);
    assert_memory_equal(b.data, want, size);
    assert_int_equal(fold_told(buf_span(&b), &v, sum_of_two, false, &to, NULL), HM_OK);
    assert_true(vector_eq(&v, &to));
    /* Who knows nothing of folds reads the newest lives. */
    assert_int_equal(vector_read(buf_span(&b), &to), HM_OK);
    assert_int_equal(to.count, 2);
    for (size_t cut = 0; cut < size; cut++) {
        struct span bytes = exact_copy(want, cut);
        assert_int_equal(fold_told(bytes, &v, sum_of_two, false, &to, NULL), HM_EMALFORMED);
        assert_int_equal(to.count, 0);
        exact_free(bytes);
    }
    vector_fini(&v);
    vector_fini(&to);
    buf_fini(&b);
}

static void foreign_bytes(void **state)
{
    static const struct {
        const char *what, *bytes;
        int rc;
        size_t unnamed;
    } rows[] = {
        {"none", "91 94" ID "09 05 92 01 00", HM_OK, 0},
        {"nil", "91 95" ID "09 05 92 01 00 c0", HM_OK, 0},
        {"fields of a newer version", "91 96" ID "09 05 92 01 00 94 09 02 46 c3 c3", HM_OK, 1},
        {"all numbers there are", "91 95" ID "09 05 92 01 00 93 cf ffffffffffffffff ce 00040000"
         "cf ffffffffffffffff", HM_OK, 1},
        {"two nodes", "92 95" ID "09 05 92 01 00 93 09 02 46 95" ID2 "09 05 92 01 00 93 09 02 46",
         HM_OK, 2},
        {"of no lives", "91 95" ID "09 05 92 01 00 93 09 00 00", HM_EMALFORMED, 0},
        {"of more than there may be", "91 95" ID "09 05 92 01 00 93 09 ce 00040001 46",
         HM_EMALFORMED, 0},
        {"two of one node", "92 95" ID "08 05 92 01 00 93 08 02 46 95" ID "09 05 92 01 00 93 09 02 46",
         HM_EMALFORMED, 0},
        {"two fields", "91 95" ID "09 05 92 01 00 92 09 02", HM_EMALFORMED, 0},
        {"a negative number", "91 95" ID "09 05 92 01 00 93 09 ff 46", HM_EMALFORMED, 0},
        {"something else", "91 95" ID "09 05 92 01 00 01", HM_EMALFORMED, 0},
    };
    struct vector ours, to;
    (void) state;
    vector_init(&ours);
    vector_init(&to);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct fold_list unnamed = {0};
        uint8_t bytes[128];
        struct span s = exact_copy(bytes, hex_bytes(rows[i].bytes, bytes, sizeof bytes));
        int rc = fold_told(s, &ours, replica_hash, false, &to, &unnamed);
        if (rc != rows[i].rc || (rc == HM_OK && unnamed.count != rows[i].unnamed) ||
            (rc != HM_OK && to.count != 0)) {
            print_error("%s: %d, %zu unnamed\n", rows[i].what, rc, unnamed.count);
            fail();
        }
        fold_list_fini(&unnamed);
        exact_free(s);
    }
    vector_fini(&ours);
    vector_fini(&to);
}

static void foreign_offers(void **state)
{
    static const struct {
        const char *what, *bytes;
        int rc;
    } rows[] = {
        {"none", "90", HM_OK},
        {"one", "91 94" ID "09 02 46", HM_OK},
        {"fields of a newer version", "91 95" ID "09 02 46 c0", HM_OK},
        {"rising", "93 94" ID "00 00 00 94" ID "09 02 46 94" ID2 "00 00 00", HM_OK},
        {"falling counters", "92 94" ID "09 02 46 94" ID "08 02 46", HM_EMALFORMED},
        {"falling nodes", "92 94" ID2 "09 02 46 94" ID "09 02 46", HM_EMALFORMED},
        {"the same twice", "92 94" ID "09 02 46 94" ID "09 02 46", HM_EMALFORMED},
        {"three fields", "91 93" ID "09 02", HM_EMALFORMED},
        {"more declared than there are", "dd 00000010 94" ID "09 02 46", HM_EMALFORMED},
        {"something behind", "90 c0", HM_EMALFORMED},
        {"not an array", "c0", HM_EMALFORMED},
    };
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct fold_list list = {0};
        uint8_t bytes[128];
        struct span s = exact_copy(bytes, hex_bytes(rows[i].bytes, bytes, sizeof bytes));
        if (fold_list_read(s, &list) != rows[i].rc) {
            print_error("%s\n", rows[i].what);
            fail();
        }
        fold_list_fini(&list);
        exact_free(s);
    }
}

/* ---- registries ------------------------------------------------------------------------------ */

struct trio {
    struct prng prng;
    struct replica x, a, z;
};

static struct trio *trio_new(void)
{
    struct trio *t = calloc(1, sizeof *t);
    prng_init(&t->prng, 1);
    replica_init(&t->x, 1, &t->prng);
    replica_init(&t->a, 2, &t->prng);
    replica_init(&t->z, 3, &t->prng);
    return t;
}

static void trio_free(struct trio *t)
{
    replica_fini(&t->x);
    replica_fini(&t->a);
    replica_fini(&t->z);
    free(t);
}

static size_t pass(struct replica *from, struct replica *to)
{
    size_t bytes = replica_pass(from, to);
    replica_commit(to);
    return bytes;
}

static void assert_shows(struct replica *p, const char *key, const char *value)
{
    char shown[64];
    size_t others;
    assert_string_equal(replica_shown(p, key, shown, sizeof shown, &others), value);
    assert_int_equal(others, 0);
}

static const char *key_of_restart(size_t i, char to[16])
{
    snprintf(to, 16, "kv/%zu", i % KEYS);
    return to;
}

static const char *value_of_restart(size_t i, char to[16])
{
    snprintf(to, 16, "%zu", i);
    return to;
}

/* What t->a holds of a key goes to x. */
static void bring(struct trio *t, const char *key)
{
    struct registry_siblings s;
    enum registry_outcome outcome;
    if (registry_get(t->a.r, LOOK_ALL, span_of(key, strlen(key)), &s) == HM_OK) {
        assert_int_equal(registry_merge(t->x.r, s.items[0].bytes, &outcome), HM_OK);
    }
}

/* Many lives of x, each with one write over what it wrote before, which a gets. Reading all earlier lives at
 * each start would take a minute: x finds an empty disk, and only what it is going to write over. */
static void live_often(struct trio *t, size_t from, size_t to)
{
    char key[16], value[16];
    struct span bytes;
    enum registry_outcome outcome;
    for (size_t i = from; i < to; i++) {
        omap_clear(t->x.disk);
        replica_crash(&t->x);
        bring(t, key_of_restart(i, key));
        assert_int_equal(replica_write(&t->x, key, value_of_restart(i, value)), HM_OK);
        replica_commit(&t->x);
        assert_true(registry_take_durable(t->x.r, &bytes));
        assert_int_equal(registry_merge(t->a.r, bytes, &outcome), HM_OK);
        assert_int_equal(outcome, REGISTRY_NEW);
        if (i % 500 == 499) {
            replica_commit(&t->a);
        }
    }
    replica_commit(&t->a);
}

static void check_restarts(struct replica *p, size_t restarts)
{
    char key[16], value[16];
    for (size_t i = restarts - KEYS; i < restarts; i++) {
        assert_shows(p, key_of_restart(i, key), value_of_restart(i, value));
    }
    assert_int_equal(registry_vector(p->r)->count, restarts);
}

static void ten_thousand_restarts_fit_64_bytes(void **state)
{
    struct trio *t = trio_new();
    struct buf b;
    (void) state;
    buf_init(&b, SIZE_MAX);
    live_often(t, 0, RESTARTS / 2);
    pass(&t->a, &t->z); /* then z is in a drawer */
    assert_in_range(tell(&b, registry_durable_vector(t->a.r), NULL), 1, MEMBER_BYTES);
    live_often(t, RESTARTS / 2, RESTARTS);
    check_restarts(&t->a, RESTARTS);
    assert_in_range(tell(&b, registry_durable_vector(t->a.r), NULL), 1, MEMBER_BYTES);
    print_message("%zu bytes for %d lives\n", b.size, RESTARTS);
    pass(&t->a, &t->z);
    pass(&t->z, &t->a);
    check_restarts(&t->z, RESTARTS);
    pass(&t->a, &t->x); /* x has lost nearly all that it knew */
    replica_crash(&t->x);
    check_restarts(&t->x, RESTARTS);
    assert_int_equal(registry_state(t->x.r), registry_state(t->a.r));
    assert_int_equal(registry_state(t->z.r), registry_state(t->a.r));
    /* From now on what is said is as short as ever. */
    assert_in_range(pass(&t->x, &t->a), 1, MEMBER_BYTES + 1);
    assert_int_equal(replica_write(&t->x, "kv/more", "1"), HM_OK);
    assert_int_equal(replica_write(&t->a, "kv/own", "2"), HM_OK);
    replica_commit(&t->x);
    replica_commit(&t->a);
    assert_in_range(pass(&t->x, &t->a), 1, 3 * MEMBER_BYTES);
    assert_in_range(pass(&t->a, &t->x), 1, 3 * MEMBER_BYTES);
    assert_in_range(tell(&b, registry_durable_vector(t->x.r), NULL), 1, 2 * MEMBER_BYTES);
    assert_int_equal(registry_state(t->x.r), registry_state(t->a.r));
    buf_fini(&b);
    trio_free(t);
}

/* x goes back to an old disk and writes, under a counter that all have folded; only z gets it before x
 * burns, and z is old as well. */
static void what_a_restored_node_told_one_alone_spreads(void **state)
{
    struct trio *t = trio_new();
    omap_t *backup = omap_new();
    char key[16];
    (void) state;
    for (size_t i = 0; i < LIVES; i++) {
        assert_int_equal(replica_write(&t->x, key_of_restart(i, key), "first"), HM_OK);
        replica_commit(&t->x);
        replica_crash(&t->x);
    }
    pass(&t->x, &t->a);
    pass(&t->x, &t->z);
    replica_copy_disk(backup, t->x.disk);
    uint64_t boots = t->x.boots;
    for (size_t i = 0; i < LIVES; i++) {
        assert_int_equal(replica_write(&t->x, key_of_restart(i, key), "second"), HM_OK);
        replica_commit(&t->x);
        replica_crash(&t->x);
    }
    pass(&t->x, &t->a);
    replica_copy_disk(t->x.disk, backup);
    t->x.boots = boots;
    replica_crash(&t->x);
    assert_int_equal(replica_write(&t->x, "kv/last", "words"), HM_OK);
    replica_commit(&t->x);
    pass(&t->x, &t->z);
    pass(&t->z, &t->a);
    pass(&t->a, &t->z);
    assert_shows(&t->a, "kv/last", "words");
    assert_shows(&t->z, "kv/last", "words");
    for (size_t i = 0; i < LIVES; i++) {
        assert_shows(&t->a, key_of_restart(i, key), "second");
        assert_shows(&t->z, key_of_restart(i, key), "second");
    }
    assert_int_equal(registry_state(t->a.r), registry_state(t->z.r));
    omap_destroy(&backup);
    trio_free(t);
}

/* A node that knows nothing of folds reads only the newest lives of who asks, and sends more than it needs to; its
 * own vector it tells in full, and all of it is claimed. */
static void who_knows_no_folds_agrees_too(void **state)
{
    struct trio *t = trio_new();
    struct vector read;
    struct buf b;
    struct span entry;
    char key[16];
    (void) state;
    vector_init(&read);
    buf_init(&b, SIZE_MAX);
    for (size_t i = 0; i < LIVES; i++) {
        assert_int_equal(replica_write(&t->x, key_of_restart(i % 7, key), "value"), HM_OK);
        replica_commit(&t->x);
        replica_crash(&t->x);
        if (i == LIVES / 2) {
            pass(&t->x, &t->a);
        }
    }
    const struct vector *ours = registry_durable_vector(t->x.r);
    tell(&b, registry_durable_vector(t->a.r), NULL);
    assert_int_equal(vector_read(buf_span(&b), &read), HM_OK);
    assert_int_equal(read.count, 1);
    assert_true(vector_covers(registry_durable_vector(t->a.r), &read));
    for (size_t i = 0; i < ours->count; i++) {
        struct dot dot = {ours->items[i].origin, 0};
        enum registry_outcome outcome;
        while (vector_find(&read, &dot.origin) == NULL &&
               registry_next_dot(t->x.r, &dot.origin, dot.seq + 1, &dot, &entry)) {
            assert_int_equal(registry_merge(t->a.r, entry, &outcome), HM_OK);
        }
    }
    assert_int_equal(registry_claim(t->a.r, ours), HM_OK);
    replica_commit(&t->a);
    assert_int_equal(registry_state(t->a.r), registry_state(t->x.r));
    vector_fini(&read);
    buf_fini(&b);
    trio_free(t);
}

/* A record of an old life is lost: it is not claimed, so no fold has it, and it comes again. */
static void a_damaged_life_comes_again(void **state)
{
    char key[16];
    (void) state;
    for (uint64_t of = 1; of <= 8; of++) {
        struct trio *t = trio_new();
        for (size_t i = 0; i < LIVES; i++) {
            assert_int_equal(replica_write(&t->x, key_of_restart(i, key), "value"), HM_OK);
            replica_commit(&t->x);
            replica_crash(&t->x);
        }
        pass(&t->x, &t->a);
        replica_damage(&t->a, of);
        pass(&t->x, &t->a);
        for (size_t i = 0; i < LIVES; i++) {
            assert_shows(&t->a, key_of_restart(i, key), "value");
        }
        assert_int_equal(registry_state(t->x.r), registry_state(t->a.r));
        trio_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_and_nothing_added),
        cmocka_unit_test(a_restored_life_is_in_no_fold),
        cmocka_unit_test(the_cost_is_that_of_the_difference),
        cmocka_unit_test(a_fold_leaves_one_life),
        cmocka_unit_test(bytes_are_as_written_down),
        cmocka_unit_test(foreign_bytes),
        cmocka_unit_test(foreign_offers),
        cmocka_unit_test(ten_thousand_restarts_fit_64_bytes),
        cmocka_unit_test(what_a_restored_node_told_one_alone_spreads),
        cmocka_unit_test(who_knows_no_folds_agrees_too),
        cmocka_unit_test(a_damaged_life_comes_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
