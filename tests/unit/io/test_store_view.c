/* SPDX-License-Identifier: MPL-2.0 */
/* What is committed, as the core reads it: the daemon's view and the simulator's give the same after the
 * same batches; one step sees one state; damaged records are passed over and counted; a store that an
 * older version made gets the tables that came since and loses nothing. */
#define _GNU_SOURCE
#include "../unit.h"

#include "scratch_store.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/prng.h"
#include "sim/simdisk.h"

#include <lmdb.h>

#define ROUNDS 60

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

static void assert_span(struct span got, struct span wanted)
{
    assert_int_equal(got.size, wanted.size);
    assert_memory_equal(got.data, wanted.data, wanted.size);
}

/* ---- the same as the simulator's ---- */

/* Few letters, so that keys meet, begin each other and lie side by side; some as long as they get. */
static struct span random_key(struct prng *p, uint8_t bytes[STORE_KEY_BYTES_MAX])
{
    size_t size = prng_below(p, 8) == 0 ? STORE_KEY_BYTES_MAX : 1 + prng_below(p, 4);
    memset(bytes, 0xff, STORE_KEY_BYTES_MAX);
    for (size_t i = 0; i < size && i < 4; i++) {
        bytes[i] = (uint8_t) (prng_below(p, 3) * 0x7f);
    }
    return span_of(bytes, size);
}

static void compare_next(const struct store_view *a, const struct store_view *b,
                         enum store_table table, struct span from, bool inclusive)
{
    struct span key_a, key_b, value_a, value_b;
    bool is_a = a->next(a->ctx, table, from, inclusive, &key_a, &value_a);
    bool is_b = b->next(b->ctx, table, from, inclusive, &key_b, &value_b);
    assert_int_equal(is_a, is_b);
    if (is_a) {
        assert_span(key_a, key_b);
        assert_span(value_a, value_b);
    }
}

static size_t compare_walks(const struct store_view *a, const struct store_view *b,
                            enum store_table table)
{
    struct span key_a = span_of(NULL, 0), key_b = key_a, value_a, value_b;
    size_t count = 0;
    for (;;) {
        bool is_a = a->next(a->ctx, table, key_a, count == 0, &key_a, &value_a);
        bool is_b = b->next(b->ctx, table, key_b, count == 0, &key_b, &value_b);
        assert_int_equal(is_a, is_b);
        if (!is_a) {
            return count;
        }
        assert_span(key_a, key_b);
        assert_span(value_a, value_b);
        count++;
    }
}

static void compare_all(const struct store_view *a, const struct store_view *b, struct prng *p)
{
    uint8_t bytes[STORE_KEY_BYTES_MAX + 1];
    for (int i = 0; i < 60; i++) {
        enum store_table table = (enum store_table)(1 + prng_below(p, 6));
        struct span key = random_key(p, bytes);
        struct span value_a, value_b;
        bool is_a = a->get(a->ctx, table, key, &value_a);
        assert_int_equal(is_a, b->get(b->ctx, table, key, &value_b));
        if (is_a) {
            assert_span(value_a, value_b);
        }
        compare_next(a, b, table, key, prng_below(p, 2) == 0);
    }
    /* Longer than any key is: above those that begin it, and nowhere else. */
    memset(bytes, 0, sizeof bytes);
    compare_next(a, b, STORE_ENTRIES, span_of(bytes, sizeof bytes), true);
    assert_false(a->get(a->ctx, STORE_ENTRIES, span_of(bytes, sizeof bytes), &(struct span){0}));
    assert_false(a->get(a->ctx, STORE_ENTRIES, span_of("", 0), &(struct span){0}));
    for (unsigned t = 1; t <= 6; t++) {
        compare_walks(a, b, (enum store_table) t);
    }
}

static void test_same_as_simulated(void **state)
{
    (void) state;
    static uint8_t bytes[16][STORE_KEY_BYTES_MAX];
    static uint8_t large[10000];
    store_t *s = open_store();
    struct disk disk = {0};
    struct prng p;
    struct store_view daemon = store_view(s);
    struct store_view simulated = simdisk_view(&disk);
    prng_init(&p, 4);
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        struct store_entry entries[16];
        size_t count = 1 + prng_below(&p, 16);
        for (size_t i = 0; i < count; i++) {
            entries[i].table = (enum store_table)(1 + prng_below(&p, 6));
            entries[i].key = random_key(&p, bytes[i]);
            size_t size = prng_below(&p, 10) == 0 ? sizeof large : prng_below(&p, 40);
            memset(large, (int) n, sizeof large);
            entries[i].value = prng_below(&p, 3) == 0 ? span_of(NULL, 0) : span_of(large, size);
        }
        commit(s, n, entries, count);
        uint64_t mark;
        simdisk_add(&disk, n, entries, count, STORE_SELF, 7);
        assert_int_equal(simdisk_commit(&disk, &mark), n);
        assert_int_equal(mark, 7);
        compare_all(&daemon, &simulated, &p);
        store_view_done(s);
    }
    assert_true(compare_walks(&daemon, &simulated, STORE_ENTRIES) > 5);
    assert_int_equal(store_damaged(s), 0);
    store_view_done(s);
    simdisk_fini(&disk);
    store_close(&s);
}

/* ---- steps ---- */

static void test_step_sees_one_state(void **state)
{
    (void) state;
    store_t *s = open_store();
    struct store_view v = store_view(s);
    struct span key, value;
    struct store_entry first[] = {{STORE_ENTRIES, text("a"), text("1")},
                                  {STORE_ENTRIES, text("b"), text("1")},
                                  {STORE_DOTS, text("d"), text("a")}};
    struct store_entry second[] = {{STORE_ENTRIES, text("a"), text("2")},
                                   {STORE_ENTRIES, text("b"), span_of(NULL, 0)},
                                   {STORE_DOTS, text("e"), text("b")}};
    assert_false(v.next(v.ctx, STORE_ENTRIES, span_of(NULL, 0), true, &key, &value));
    store_view_done(s);
    commit(s, 1, first, 3);
    assert_true(v.get(v.ctx, STORE_ENTRIES, text("a"), &value));
    assert_span(value, text("1"));
    commit(s, 2, second, 3); /* under a step that reads */
    assert_true(v.next(v.ctx, STORE_ENTRIES, text("a"), false, &key, &value));
    assert_span(key, text("b"));
    assert_true(v.get(v.ctx, STORE_DOTS, text("d"), &value)); /* first read of another table */
    assert_false(v.get(v.ctx, STORE_DOTS, text("e"), &value));
    store_view_done(s);
    store_view_done(s); /* a step that reads nothing */
    assert_true(v.get(v.ctx, STORE_ENTRIES, text("a"), &value));
    assert_span(value, text("2"));
    assert_false(v.get(v.ctx, STORE_ENTRIES, text("b"), &value));
    assert_true(v.get(v.ctx, STORE_DOTS, text("e"), &value));
    store_view_done(s);
    store_close(&s);
}

/* Tables of the registry may be large: they do not come at the start. */
static void test_registry_is_not_loaded(void **state)
{
    (void) state;
    const struct store_entry *loaded;
    size_t count, dropped;
    struct store_entry entries[] = {{STORE_SELF, text("s"), text("1")},
                                    {STORE_ROSTER, text("r"), text("2")},
                                    {STORE_VECTOR, text("v"), text("3")},
                                    {STORE_ENTRIES, text("e"), text("4")},
                                    {STORE_DOTS, text("d"), text("5")}};
    store_t *s = open_store();
    commit(s, 1, entries, ARRAY_COUNT(entries));
    store_close(&s);
    s = open_store();
    assert_int_equal(store_load(s, &loaded, &count, &dropped), HM_OK);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(loaded[i].table, entries[i].table);
        assert_span(loaded[i].key, entries[i].key);
        assert_span(loaded[i].value, entries[i].value);
    }
    store_close(&s);

    struct disk disk = {0};
    uint64_t mark;
    simdisk_add(&disk, 1, entries, ARRAY_COUNT(entries), STORE_SELF, 0);
    simdisk_commit(&disk, &mark);
    struct store_entry *simulated = simdisk_load(&disk, &count);
    assert_int_equal(count, 3);
    assert_span(simulated[2].key, text("v"));
    assert_span(simulated[2].value, text("3"));
    free(simulated);
    simdisk_fini(&disk);
}

/* ---- stores of others ---- */

static MDB_txn *begin(MDB_env **ret_env)
{
    char path[SCRATCH_BYTES + 16];
    MDB_txn *txn = NULL;
    snprintf(path, sizeof path, "%s/store", dir);
    mkdir(path, 0700);
    assert_int_equal(mdb_env_create(ret_env), 0);
    assert_int_equal(mdb_env_set_maxdbs(*ret_env, 16), 0);
    assert_int_equal(mdb_env_open(*ret_env, path, MDB_NOTLS, 0600), 0);
    assert_int_equal(mdb_txn_begin(*ret_env, NULL, 0, &txn), 0);
    return txn;
}

static MDB_val val(struct span s)
{
    return (MDB_val){s.size, (void *) (uintptr_t) s.data};
}

static void put(MDB_txn *txn, const char *table, struct span key, struct span value)
{
    MDB_dbi dbi;
    MDB_val k = val(key);
    MDB_val v = val(value);
    assert_int_equal(mdb_dbi_open(txn, table, MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
}

static void end(MDB_env *env, MDB_txn *txn)
{
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static bool has_table(const char *name)
{
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *txn = begin(&env);
    int rc = mdb_dbi_open(txn, name, 0, &dbi);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return rc == 0;
}

/* As 0.1.0 made it: three tables, and its incarnation in one of them. The check before each value is
 * what `printf '\001\000\004self1' | b2sum -l 128` prints. */
static void test_older_store_grows(void **state)
{
    (void) state;
    static const uint8_t format[] = {0, 0, 0, 1};
    uint8_t self[17];
    const struct store_entry *loaded;
    size_t count, dropped;
    struct span value;
    MDB_env *env;
    assert_int_equal(hex_bytes("cd 33 6b 49 83 3d 61 80 b9 4a 26 5b 99 57 27 fb", self, 16), 16);
    self[16] = '1';
    MDB_txn *txn = begin(&env);
    put(txn, "meta", text("format"), span_of(format, sizeof format));
    put(txn, "self", text("self"), span_of(self, sizeof self));
    MDB_dbi dbi;
    assert_int_equal(mdb_dbi_open(txn, "roster", MDB_CREATE, &dbi), 0);
    end(env, txn);
    for (int start = 0; start < 2; start++) { /* the second finds what the first made */
        struct why why;
        assert_int_equal(store_check(dir, NULL, &why), STORE_SOUND);
        store_t *s = open_store();
        struct store_view v = store_view(s);
        assert_int_equal(store_load(s, &loaded, &count, &dropped), HM_OK);
        assert_int_equal(dropped, 0);
        assert_int_equal(count, 1);
        assert_span(loaded[0].key, text("self"));
        assert_span(loaded[0].value, text("1"));
        struct store_entry e = {STORE_ENTRIES, text("k"), text("v")};
        if (start == 0) {
            commit(s, 1, &e, 1);
        }
        assert_true(v.get(v.ctx, STORE_ENTRIES, text("k"), &value));
        assert_true(v.get(v.ctx, STORE_SELF, text("self"), &value));
        store_close(&s);
    }
    assert_true(has_table("vector") && has_table("dots") && has_table("marks"));
}

/* Of a newer format nothing is touched, whatever tables it has. */
static void test_newer_store_is_left(void **state)
{
    (void) state;
    static const uint8_t format[] = {0, 0, 0, STORE_FORMAT + 1};
    uint8_t check[16];
    MDB_env *env;
    store_t *s = NULL;
    struct why why = {""};
    assert_int_equal(hex_bytes("fd 87 50 78 f5 5f c7 17 c0 4b ad 03 0f 0f 85 b7", check, 16), 16);
    MDB_txn *txn = begin(&env);
    put(txn, "meta", text("format"), span_of(format, sizeof format));
    put(txn, "meta", text("format-check"), span_of(check, sizeof check));
    put(txn, "something", text("a"), text("b"));
    end(env, txn);
    assert_int_equal(store_open(dir, &s, &why), HM_EVERSION);
    assert_non_null(strstr(why.text, "has format 3"));
    assert_false(has_table("self"));
    assert_true(has_table("something"));
}

/* ---- damage ---- */

/* Changes the last byte of a stored value, as a worn out card would. */
static void damage(const char *table, struct span key)
{
    MDB_env *env;
    MDB_dbi dbi;
    MDB_val k = val(key);
    MDB_val v;
    uint8_t bytes[64];
    MDB_txn *txn = begin(&env);
    assert_int_equal(mdb_dbi_open(txn, table, 0, &dbi), 0);
    assert_int_equal(mdb_get(txn, dbi, &k, &v), 0);
    assert_true(v.mv_size <= sizeof bytes);
    memcpy(bytes, v.mv_data, v.mv_size);
    bytes[v.mv_size - 1] ^= 1;
    put(txn, table, key, span_of(bytes, v.mv_size));
    end(env, txn);
}

static void test_damage_is_passed_over(void **state)
{
    (void) state;
    struct span key, value;
    struct store_entry entries[] = {{STORE_SELF, text("s"), text("1")},
                                    {STORE_ENTRIES, text("a"), text("1")},
                                    {STORE_ENTRIES, text("b"), text("2")},
                                    {STORE_ENTRIES, text("c"), text("3")},
                                    {STORE_ENTRIES, text("d"), text("4")}};
    store_t *s = open_store();
    commit(s, 1, entries, ARRAY_COUNT(entries));
    store_close(&s);
    damage("self", text("s"));
    damage("entries", text("b"));
    damage("entries", text("d"));
    s = open_store();
    struct store_view v = store_view(s);
    assert_int_equal(store_damaged(s), 1);
    assert_true(v.next(v.ctx, STORE_ENTRIES, text("a"), false, &key, &value));
    assert_span(key, text("c"));
    assert_int_equal(store_damaged(s), 2);
    assert_false(v.get(v.ctx, STORE_ENTRIES, text("b"), &value)); /* known already */
    assert_false(v.next(v.ctx, STORE_ENTRIES, text("b"), true, &key, &value) && key.data[0] != 'c');
    assert_int_equal(store_damaged(s), 2);
    assert_false(v.next(v.ctx, STORE_ENTRIES, text("c"), false, &key, &value));
    assert_int_equal(store_damaged(s), 3);
    store_view_done(s);
    /* Written anew it is sound; that it was damaged is still known. */
    commit(s, 2, &entries[2], 1);
    assert_true(v.get(v.ctx, STORE_ENTRIES, text("b"), &value));
    assert_int_equal(store_damaged(s), 3);
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_as_simulated, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_step_sees_one_state, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_registry_is_not_loaded, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_older_store_grows, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_newer_store_is_left, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_damage_is_passed_over, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
