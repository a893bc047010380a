/* SPDX-License-Identifier: MPL-2.0 */
/* Vectors against a naive model: per origin a word with one bit for each of 64 sequence numbers. */
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/prng.h"
#include "core/vector.h"
#include "wire/mpack.h"

#define ORIGINS 7
#define VECTORS 3

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

/* Allocations that still succeed while failing is on. */
static bool failing;
static unsigned allowed;

static bool is_allowed(void)
{
    if (failing && allowed == 0) {
        return false;
    }
    allowed -= failing;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return is_allowed() ? __real_malloc(size) : NULL;
}

void *__wrap_realloc(void *p, size_t size)
{
    return is_allowed() ? __real_realloc(p, size) : NULL;
}

struct naive {
    uint64_t bits[ORIGINS];
};

/* Rising, and differing in each part of an origin. */
static struct origin origin_of(size_t i)
{
    static const uint8_t nodes[ORIGINS] = {0, 0, 0, 1, 1, 200, 255};
    static const uint64_t boots[ORIGINS] = {0, 1, 1, 0, 300, 1, UINT64_MAX};
    static const uint64_t randoms[ORIGINS] = {9, 3, 4, 9, 1, UINT64_MAX, 0};
    struct origin o = {.boots = boots[i], .random = randoms[i]};
    o.node.b[0] = nodes[i];
    return o;
}

/* Half of the origins are at the end of all numbers. */
static uint64_t seq_of(size_t origin, unsigned bit)
{
    return origin % 2 == 0 ? 1 + bit : UINT64_MAX - 63 + bit;
}

static struct dot dot_of(size_t origin, unsigned bit)
{
    struct dot dot = {origin_of(origin), seq_of(origin, bit)};
    return dot;
}

static bool has_bit(uint64_t word, unsigned bit)
{
    return (word >> bit & 1) != 0;
}

/* Length of the stretch of equal bits that begins here. */
static unsigned stretch(uint64_t word, unsigned bit)
{
    unsigned end = bit;
    while (end < 64 && has_bit(word, end) == has_bit(word, bit)) {
        end++;
    }
    return end - bit;
}

/* Runs of the model in order, as a vector or a walk must give them. */
static bool naive_next(const struct naive *n, size_t *origin, unsigned *bit, struct run *ret_run)
{
    while (*origin < ORIGINS) {
        if (*bit >= 64) {
            (*origin)++;
            *bit = 0;
            continue;
        }
        unsigned begin = *bit, count = stretch(n->bits[*origin], begin);
        *bit += count;
        if (has_bit(n->bits[*origin], begin)) {
            ret_run->first = seq_of(*origin, begin);
            ret_run->last = seq_of(*origin, begin + count - 1);
            return true;
        }
    }
    return false;
}

/* The walk over what has is in a and not in b gives the model's difference, run by run. */
static void agree_diff(const struct vector *a, const struct vector *b, const struct naive *na,
                       const struct naive *nb)
{
    struct naive difference;
    struct vector_diff d;
    struct origin origin;
    struct run run, want;
    size_t at = 0;
    unsigned bit = 0;
    bool none = true;
    for (size_t i = 0; i < ORIGINS; i++) {
        difference.bits[i] = na->bits[i] & ~nb->bits[i];
        none = none && difference.bits[i] == 0;
    }
    vector_diff_open(&d, a, b);
    while (naive_next(&difference, &at, &bit, &want)) {
        assert_true(vector_diff_next(&d, &origin, &run));
        struct origin wanted = origin_of(at);
        assert_true(origin_eq(&origin, &wanted));
        assert_true(run.first == want.first && run.last == want.last);
    }
    assert_false(vector_diff_next(&d, &origin, &run));
    assert_false(vector_diff_next(&d, &origin, &run));
    assert_int_equal(vector_covers(b, a), none);
}

static void agree_shape(const struct vector *v, const struct naive *n)
{
    size_t at = 0, runs = 0, i = 0, k = 0;
    unsigned bit = 0;
    struct run want;
    while (naive_next(n, &at, &bit, &want)) {
        struct origin origin = origin_of(at);
        if (i < v->count && k == v->items[i].count) {
            i++;
            k = 0;
        }
        assert_true(i < v->count && k < v->items[i].count);
        assert_true(origin_eq(&v->items[i].origin, &origin));
        assert_true(v->items[i].runs[k].first == want.first);
        assert_true(v->items[i].runs[k].last == want.last);
        runs++;
        k++;
    }
    assert_int_equal(v->count, runs == 0 ? 0 : i + 1);
    assert_true(runs == 0 || k == v->items[i].count);
    assert_int_equal(vector_runs(v), runs);
}

static void agree(const struct vector *v, const struct naive *n)
{
    agree_shape(v, n);
    for (size_t i = 0; i < ORIGINS; i++) {
        struct origin origin = origin_of(i);
        assert_int_equal(vector_find(v, &origin) != NULL, n->bits[i] != 0);
        for (unsigned bit = 0; bit < 64; bit++) {
            struct dot dot = dot_of(i, bit);
            assert_int_equal(vector_has(v, &dot), has_bit(n->bits[i], bit));
        }
    }
}

static void round_trip(const struct vector *v)
{
    struct vector again, runs;
    struct buf b, b2;
    vector_init(&again);
    vector_init(&runs);
    buf_init(&b, 1 << 20);
    buf_init(&b2, 1 << 20);
    vector_write(&b, v);
    struct span bytes = exact_copy(b.data, b.size);
    assert_int_equal(vector_read(bytes, &again), HM_OK);
    exact_free(bytes);
    assert_true(vector_eq(&again, v));
    vector_write(&b2, &again);
    assert_int_equal(b.size, b2.size);
    assert_memory_equal(b.data, b2.data, b.size);
    for (size_t i = 0; i < v->count; i++) {
        buf_clear(&b);
        vector_runs_write(&b, &v->items[i]);
        assert_int_equal(vector_runs_read(buf_span(&b), &v->items[i].origin, &runs), HM_OK);
    }
    assert_true(vector_eq(&runs, v));
    vector_fini(&again);
    vector_fini(&runs);
    buf_fini(&b);
    buf_fini(&b2);
}

static uint64_t bits_from_to(unsigned first, unsigned last)
{
    return (UINT64_MAX << first) & (UINT64_MAX >> (63 - last));
}

static void add_something(struct vector *v, struct naive *n, struct prng *p)
{
    size_t i = (size_t) prng_below(p, ORIGINS);
    unsigned first = (unsigned) prng_below(p, 64), last = first;
    if (prng_below(p, 3) == 0) {
        last += (unsigned) prng_below(p, 64 - first);
        struct origin origin = origin_of(i);
        struct run run = {seq_of(i, first), seq_of(i, last)};
        assert_int_equal(vector_add_run(v, &origin, run), HM_OK);
    } else {
        struct dot dot = dot_of(i, first);
        assert_int_equal(vector_add(v, &dot), HM_OK);
    }
    n->bits[i] |= bits_from_to(first, last);
}

static void naive_merge(struct naive *to, const struct naive *from)
{
    for (size_t i = 0; i < ORIGINS; i++) {
        to->bits[i] |= from->bits[i];
    }
}

static void random_history(uint64_t seed, uint64_t adds_of_100)
{
    struct vector v[VECTORS];
    struct naive n[VECTORS];
    struct prng p;
    prng_init(&p, seed);
    memset(n, 0, sizeof n);
    for (size_t i = 0; i < VECTORS; i++) {
        vector_init(&v[i]);
    }
    for (int step = 0; step < 1500; step++) {
        size_t a = (size_t) prng_below(&p, VECTORS), b = (size_t) prng_below(&p, VECTORS);
        uint64_t draw = prng_below(&p, 100);
        if (draw < adds_of_100) {
            add_something(&v[a], &n[a], &p);
        } else if (draw % 3 == 0) {
            assert_int_equal(vector_merge(&v[a], &v[b]), HM_OK);
            naive_merge(&n[a], &n[b]);
        } else if (draw % 3 == 1) {
            assert_int_equal(vector_copy(&v[a], &v[b]), HM_OK);
            n[a] = n[b];
        } else {
            vector_clear(&v[a]);
            memset(&n[a], 0, sizeof n[a]);
        }
        agree(&v[a], &n[a]);
        agree_diff(&v[a], &v[b], &n[a], &n[b]);
        agree_diff(&v[b], &v[a], &n[b], &n[a]);
        assert_int_equal(vector_eq(&v[a], &v[b]), memcmp(&n[a], &n[b], sizeof n[a]) == 0);
        round_trip(&v[a]);
    }
    for (size_t i = 0; i < VECTORS; i++) {
        vector_fini(&v[i]);
    }
}

static void agrees_with_a_set_of_bits(void **state)
{
    (void) state;
    random_history(1, 90);
    random_history(2, 97); /* long, dense */
    random_history(3, 60); /* short, sparse */
}

static void random_vector(struct vector *v, struct prng *p)
{
    struct naive n = {{0}};
    vector_init(v);
    for (uint64_t adds = prng_below(p, 60); adds > 0; adds--) {
        add_something(v, &n, p);
    }
}

static void merging_is_a_join(void **state)
{
    (void) state;
    struct prng p;
    prng_init(&p, 5);
    for (int round = 0; round < 300; round++) {
        struct vector a, b, c, left, right;
        random_vector(&a, &p);
        random_vector(&b, &p);
        random_vector(&c, &p);
        vector_init(&left);
        vector_init(&right);
        assert_int_equal(vector_copy(&left, &a), HM_OK);
        assert_int_equal(vector_merge(&left, &b), HM_OK);
        assert_int_equal(vector_copy(&right, &b), HM_OK);
        assert_int_equal(vector_merge(&right, &a), HM_OK);
        assert_true(vector_eq(&left, &right)); /* a + b = b + a */
        assert_true(vector_covers(&left, &a) && vector_covers(&left, &b));
        assert_int_equal(vector_merge(&left, &c), HM_OK);
        assert_int_equal(vector_copy(&right, &b), HM_OK);
        assert_int_equal(vector_merge(&right, &c), HM_OK);
        assert_int_equal(vector_merge(&a, &right), HM_OK);
        assert_true(vector_eq(&left, &a)); /* (a + b) + c = a + (b + c) */
        assert_int_equal(vector_merge(&left, &c), HM_OK);
        assert_int_equal(vector_merge(&left, &left), HM_OK);
        assert_true(vector_eq(&left, &a)); /* again changes nothing */
        vector_fini(&a);
        vector_fini(&b);
        vector_fini(&c);
        vector_fini(&left);
        vector_fini(&right);
    }
}

static void no_dot_is_below_one(void **state)
{
    (void) state;
    struct vector v;
    vector_init(&v);
    struct dot dot = {origin_of(0), 0};
    assert_int_equal(vector_add(&v, &dot), HM_EINVAL);
    assert_int_equal(vector_add_run(&v, &dot.origin, (struct run){0, 5}), HM_EINVAL);
    assert_int_equal(vector_add_run(&v, &dot.origin, (struct run){6, 5}), HM_EINVAL);
    assert_int_equal(v.count, 0);
    assert_int_equal(vector_add_run(&v, &dot.origin, (struct run){1, UINT64_MAX}), HM_OK);
    assert_false(vector_has(&v, &dot));
    round_trip(&v);
    vector_fini(&v);
}

/* --- bytes */

#define ID "c4 10 00000000000000000000000000000000"
#define ID1 "c4 10 01000000000000000000000000000000"
#define MAX64 "cf ffffffffffffffff"

static void bytes_are_as_written_down(void **state)
{
    (void) state;
    static const char text[] = "92 94" ID "01 03 92 01 00"            /* 1 */
                               "94" ID1 "cd012c 09 94 05 02 02 cc c7"; /* 5..7, 10..209 */
    uint8_t want[128];
    size_t size = hex_bytes(text, want, sizeof want);
    struct vector v;
    struct buf b;
    struct origin second = {.boots = 300, .random = 9}, first = {.boots = 1, .random = 3};
    second.node.b[0] = 1;
    vector_init(&v);
    buf_init(&b, 128);
    assert_int_equal(vector_add_run(&v, &second, (struct run){10, 209}), HM_OK);
    assert_int_equal(vector_add_run(&v, &second, (struct run){5, 7}), HM_OK);
    assert_int_equal(vector_add_run(&v, &first, (struct run){1, 1}), HM_OK);
    vector_write(&b, &v);
    assert_int_equal(b.size, size);
    assert_memory_equal(b.data, want, size);
    for (size_t cut = 0; cut < size; cut++) { /* and no part of them is a vector */
        struct span bytes = exact_copy(want, cut);
        assert_int_equal(vector_read(bytes, &v), HM_EMALFORMED);
        assert_int_equal(v.count, 0);
        assert_int_equal(vector_runs(&v), 0);
        exact_free(bytes);
    }
    vector_fini(&v);
    buf_fini(&b);
}

static void foreign_bytes(void **state)
{
    (void) state;
    static const struct {
        const char *what, *bytes;
        int rc;
    } rows[] = {
        {"empty", "90", HM_OK},
        {"trailing fields are of a newer version", "91 95" ID "01 03 92 01 00 81 01 02", HM_OK},
        {"the whole range", "91 94" ID "01 03 92 01 cf fffffffffffffffe", HM_OK},
        {"only the last number", "91 94" ID "01 03 92" MAX64 "00", HM_OK},
        {"not an array", "c0", HM_EMALFORMED},
        {"something behind", "90 c0", HM_EMALFORMED},
        {"three fields", "91 93" ID "01 03", HM_EMALFORMED},
        {"an origin without runs", "91 94" ID "01 03 90", HM_EMALFORMED},
        {"half a run", "91 94" ID "01 03 91 01", HM_EMALFORMED},
        {"a run and a half", "91 94" ID "01 03 93 01 00 05", HM_EMALFORMED},
        {"sequence 0", "91 94" ID "01 03 92 00 05", HM_EMALFORMED},
        {"a negative gap", "91 94" ID "01 03 94 05 00 ff 00", HM_EMALFORMED},
        {"runs that touch", "91 94" ID "01 03 94 01 00 00 00", HM_EMALFORMED},
        {"a length beyond all numbers", "91 94" ID "01 03 92 02" MAX64, HM_EMALFORMED},
        {"a gap beyond all numbers", "91 94" ID "01 03 94 05 00" MAX64 "00", HM_EMALFORMED},
        {"a run behind the last number", "91 94" ID "01 03 94" MAX64 "00 01 00", HM_EMALFORMED},
        {"a gap behind the last but one", "91 94" ID "01 03 94 cf fffffffffffffffe 00 01 00",
         HM_EMALFORMED},
        {"origins that fall", "92 94" ID1 "01 03 92 01 00 94" ID "01 03 92 01 00", HM_EMALFORMED},
        {"counters that fall", "92 94" ID "02 03 92 01 00 94" ID "01 03 92 01 00", HM_EMALFORMED},
        {"the same origin twice", "92 94" ID "01 03 92 01 00 94" ID "01 03 92 05 00",
         HM_EMALFORMED},
        {"more origins declared than there are", "dd 00010000 94" ID "01 03 92 01 00",
         HM_EMALFORMED},
        {"more runs declared than there are", "91 94" ID "01 03 dd 00080000 01 00", HM_EMALFORMED},
        {"too short an id", "91 94 c4 01 00 01 03 92 01 00", HM_EMALFORMED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t bytes[128];
        struct vector v;
        vector_init(&v);
        struct dot before = dot_of(0, 5);
        assert_int_equal(vector_add(&v, &before), HM_OK);
        struct span s = exact_copy(bytes, hex_bytes(rows[i].bytes, bytes, sizeof bytes));
        int rc = vector_read(s, &v);
        if (rc != rows[i].rc || vector_has(&v, &before) ||
            (rc != HM_OK && (v.count != 0 || vector_runs(&v) != 0))) {
            print_error("%s: %d\n", rows[i].what, rc);
            fail();
        }
        exact_free(s);
        vector_fini(&v);
    }
}

static void foreign_runs_leave_it_as_it_was(void **state)
{
    (void) state;
    static const char *const rows[] = {"90", "91 01", "92 00 00", "94 01 00 00 00", "92 01 00 00",
                                       "92 02 cf ffffffffffffffff", "c0", ""};
    struct vector v, before;
    struct origin origin = origin_of(1), other = origin_of(2);
    vector_init(&v);
    vector_init(&before);
    assert_int_equal(vector_add_run(&v, &origin, (struct run){3, 4}), HM_OK);
    assert_int_equal(vector_copy(&before, &v), HM_OK);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t bytes[32];
        struct span s = exact_copy(bytes, hex_bytes(rows[i], bytes, sizeof bytes));
        assert_int_equal(vector_runs_read(s, &origin, &v), HM_EMALFORMED);
        assert_int_equal(vector_runs_read(s, &other, &v), HM_EMALFORMED);
        assert_true(vector_eq(&v, &before));
        exact_free(s);
    }
    vector_fini(&v);
    vector_fini(&before);
}

/* --- bounds */

static struct origin numbered(uint64_t i)
{
    struct origin o = {.boots = i, .random = prng_mix(i)};
    uint64_t spread = prng_mix(i + 1000000);
    memcpy(o.node.b, &spread, sizeof spread);
    return o;
}

static void too_many_origins(void **state)
{
    (void) state;
    struct vector v, more, read;
    struct buf b;
    vector_init(&v);
    vector_init(&more);
    vector_init(&read);
    buf_init(&b, 8 << 20);
    for (uint64_t i = 0; i < HM_VECTOR_ORIGINS_MAX; i++) {
        struct origin o = {.boots = i};
        assert_int_equal(vector_add_run(&v, &o, (struct run){1, 1}), HM_OK);
    }
    struct origin beyond = {.boots = HM_VECTOR_ORIGINS_MAX}, known = {.boots = 7};
    struct dot dot = {beyond, 1};
    assert_int_equal(vector_add(&v, &dot), HM_EFULL);
    assert_int_equal(vector_add(&more, &dot), HM_OK);
    assert_int_equal(vector_merge(&v, &more), HM_EFULL);
    assert_int_equal(vector_add_run(&v, &known, (struct run){2, 2}), HM_OK);
    assert_int_equal(v.count, HM_VECTOR_ORIGINS_MAX);
    assert_false(vector_has(&v, &dot));
    vector_write(&b, &v);
    assert_int_equal(vector_read(buf_span(&b), &read), HM_OK);
    assert_true(vector_eq(&v, &read));
    buf_clear(&b);
    mp_array(&b, v.count + 1);
    for (uint64_t i = 0; i <= HM_VECTOR_ORIGINS_MAX; i++) {
        mp_array(&b, 4);
        mp_id(&b, &beyond.node);
        mp_uint(&b, i);
        mp_uint(&b, 0);
        vector_runs_write(&b, &more.items[0]);
    }
    assert_int_equal(vector_read(buf_span(&b), &read), HM_EMALFORMED);
    vector_fini(&v);
    vector_fini(&more);
    vector_fini(&read);
    buf_fini(&b);
}

static void too_many_runs(void **state)
{
    (void) state;
    struct vector v, more, read;
    struct buf b;
    struct origin one = numbered(1), two = numbered(2);
    vector_init(&v);
    vector_init(&more);
    vector_init(&read);
    buf_init(&b, 8 << 20);
    for (uint64_t i = 0; i < HM_VECTOR_RUNS_MAX; i++) {
        struct run run = {1 + 2 * i, 1 + 2 * i};
        assert_int_equal(vector_add_run(&v, i < 100 ? &one : &two, run), HM_OK);
    }
    struct dot dot = {one, 1000};
    assert_int_equal(vector_add(&v, &dot), HM_EFULL);
    assert_int_equal(vector_add(&more, &dot), HM_OK);
    assert_int_equal(vector_merge(&v, &more), HM_EFULL);
    dot.seq = 2000;
    assert_int_equal(vector_add(&more, &dot), HM_OK);
    assert_int_equal(vector_merge(&v, &more), HM_EFULL);
    assert_int_equal(vector_runs(&v), HM_VECTOR_RUNS_MAX);
    buf_clear(&b);
    vector_runs_write(&b, &more.items[0]);
    assert_int_equal(vector_runs_read(buf_span(&b), &one, &v), HM_EFULL);
    buf_clear(&b);
    vector_write(&b, &v);
    assert_int_equal(vector_read(buf_span(&b), &read), HM_OK);
    assert_true(vector_eq(&v, &read));
    dot.seq = 2; /* what fills a gap still goes in */
    assert_int_equal(vector_add(&v, &dot), HM_OK);
    assert_int_equal(vector_runs(&v), HM_VECTOR_RUNS_MAX - 1);
    buf_clear(&b);
    mp_array(&b, 1);
    mp_array(&b, 4);
    mp_id(&b, &one.node);
    mp_uint(&b, 0);
    mp_uint(&b, 0);
    mp_array(&b, 2 * (HM_VECTOR_RUNS_MAX + 1));
    for (uint64_t i = 0; i <= HM_VECTOR_RUNS_MAX; i++) {
        mp_uint(&b, 1);
        mp_uint(&b, 0);
    }
    assert_int_equal(vector_read(buf_span(&b), &read), HM_EMALFORMED);
    vector_fini(&v);
    vector_fini(&more);
    vector_fini(&read);
    buf_fini(&b);
}

/* Fails the allocations of a step one after another until it succeeds. */
static void out_of_memory_keeps_it_whole(void **state)
{
    (void) state;
    struct prng p;
    prng_init(&p, 11);
    for (int round = 0; round < 100; round++) {
        struct vector a, b, target, wanted;
        struct buf bytes;
        random_vector(&a, &p);
        random_vector(&b, &p);
        vector_init(&target);
        vector_init(&wanted);
        buf_init(&bytes, 1 << 16);
        vector_write(&bytes, &b);
        assert_int_equal(vector_copy(&wanted, &a), HM_OK);
        assert_int_equal(vector_merge(&wanted, &b), HM_OK);
        int merged = HM_ENOMEM, copied = HM_ENOMEM, read = HM_ENOMEM;
        for (unsigned n = 0; merged != HM_OK || copied != HM_OK || read != HM_OK; n++) {
            vector_fini(&target);
            assert_int_equal(vector_copy(&target, &a), HM_OK);
            failing = true;
            allowed = n;
            merged = vector_merge(&target, &b);
            failing = false;
            assert_true(merged == HM_OK || merged == HM_ENOMEM);
            assert_true(vector_covers(&target, &a) && vector_covers(&wanted, &target));
            round_trip(&target);
            vector_fini(&target);
            assert_int_equal(vector_copy(&target, &a), HM_OK);
            failing = true;
            allowed = n;
            copied = vector_copy(&target, &b);
            failing = false;
            assert_true(vector_eq(&target, copied == HM_OK ? &b : &a));
            failing = true;
            allowed = n;
            vector_fini(&target);
            read = vector_read(buf_span(&bytes), &target);
            failing = false;
            assert_true(read == HM_OK ? vector_eq(&target, &b) : target.count == 0);
        }
        vector_fini(&a);
        vector_fini(&b);
        vector_fini(&target);
        vector_fini(&wanted);
        buf_fini(&bytes);
    }
}

static void adding_without_memory_changes_nothing(void **state)
{
    (void) state;
    struct vector v, before;
    struct dot dot = dot_of(3, 0);
    vector_init(&v);
    vector_init(&before);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(vector_copy(&before, &v), HM_OK);
        dot.origin.boots = i / 2;
        dot.seq += 2;
        int rc = HM_ENOMEM;
        for (unsigned n = 0; rc != HM_OK; n++) {
            assert_true(rc == HM_ENOMEM && vector_eq(&v, &before));
            failing = true;
            allowed = n;
            rc = vector_add(&v, &dot);
            failing = false;
        }
        assert_true(vector_has(&v, &dot));
    }
    vector_fini(&v);
    vector_fini(&before);
}

/* --- cost: were any of these quadratic, the test would take minutes */

static void many_origins_cost_little(void **state)
{
    (void) state;
    struct vector a, b, read;
    struct buf bytes;
    vector_init(&a);
    vector_init(&b);
    vector_init(&read);
    buf_init(&bytes, 8 << 20);
    for (uint64_t i = 0; i < 10000; i++) { /* in no order */
        struct dot dot = {numbered(i), 1 + i % 3};
        assert_int_equal(vector_add(&a, &dot), HM_OK);
        dot.origin = numbered(2 * i);
        assert_int_equal(vector_add(&b, &dot), HM_OK);
    }
    assert_int_equal(vector_merge(&a, &b), HM_OK);
    assert_int_equal(a.count, 15000);
    vector_write(&bytes, &a);
    assert_true(bytes.size <= 40 * a.count);
    for (int round = 0; round < 50; round++) {
        assert_int_equal(vector_merge(&a, &b), HM_OK);
        assert_true(vector_covers(&a, &b));
        assert_false(vector_covers(&b, &a));
        assert_int_equal(vector_read(buf_span(&bytes), &read), HM_OK);
        assert_true(vector_eq(&a, &read));
    }
    vector_fini(&a);
    vector_fini(&b);
    vector_fini(&read);
    buf_fini(&bytes);
}

static void writes_in_order_cost_little(void **state)
{
    (void) state;
    struct vector v;
    struct origin origin = origin_of(4);
    vector_init(&v);
    for (uint64_t seq = 1; seq <= 1000000; seq++) {
        struct dot dot = {origin, seq};
        if (vector_add(&v, &dot) != HM_OK) {
            fail();
        }
    }
    assert_int_equal(vector_runs(&v), 1);
    assert_int_equal(v.items[0].room, 1);
    vector_fini(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_set_of_bits),
        cmocka_unit_test(merging_is_a_join),
        cmocka_unit_test(no_dot_is_below_one),
        cmocka_unit_test(bytes_are_as_written_down),
        cmocka_unit_test(foreign_bytes),
        cmocka_unit_test(foreign_runs_leave_it_as_it_was),
        cmocka_unit_test(too_many_origins),
        cmocka_unit_test(too_many_runs),
        cmocka_unit_test(out_of_memory_keeps_it_whole),
        cmocka_unit_test(adding_without_memory_changes_nothing),
        cmocka_unit_test(many_origins_cost_little),
        cmocka_unit_test(writes_in_order_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
