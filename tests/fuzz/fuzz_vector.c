/* SPDX-License-Identifier: MPL-2.0 */
/* Vectors. The first byte chooses: a whole vector, or one origin's runs; the next cuts the bytes in two
 * such things. What is read is written again and read to the same; then both are merged and compared.
 * Whole ones are read with folds, too, that may name what the other has; and each is told to the other so. */
#include "fuzz.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/prng.h"
#include "core/fold.h"
#include "core/vector.h"

/* Sorted, and no run touches another. */
static void check_shape(const struct vector *v)
{
    size_t runs = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct vector_origin *o = &v->items[i];
        FUZZ_ASSERT(o->count > 0 && o->count <= o->room);
        FUZZ_ASSERT(i == 0 || origin_cmp(&v->items[i - 1].origin, &o->origin) < 0);
        for (size_t k = 0; k < o->count; k++) {
            uint64_t behind = k == 0 ? 0 : o->runs[k - 1].last;
            FUZZ_ASSERT(o->runs[k].first >= 1 && o->runs[k].first <= o->runs[k].last);
            FUZZ_ASSERT(k == 0 || (o->runs[k].first > behind && o->runs[k].first - behind > 1));
        }
        runs += o->count;
    }
    FUZZ_ASSERT(runs == vector_runs(v) && runs <= HM_VECTOR_RUNS_MAX);
    FUZZ_ASSERT(v->count <= HM_VECTOR_ORIGINS_MAX);
}

static void read_one(struct span part, bool is_whole, struct vector *v)
{
    struct span bytes = fuzz_copy(part);
    struct origin origin = {.boots = 1};
    int rc = is_whole ? vector_read(bytes, v) : vector_runs_read(bytes, &origin, v);
    FUZZ_ASSERT(rc == HM_OK || (rc == HM_EMALFORMED && v->count == 0));
    fuzz_free(bytes);
    check_shape(v);
}

static void write_and_read(const struct vector *v)
{
    struct vector again;
    struct buf b, b2;
    vector_init(&again);
    buf_init(&b, 1 << 20);
    buf_init(&b2, 1 << 20);
    vector_write(&b, v);
    FUZZ_ASSERT(!buf_failed(&b) && vector_read(buf_span(&b), &again) == HM_OK);
    FUZZ_ASSERT(vector_eq(v, &again));
    vector_write(&b2, &again);
    FUZZ_ASSERT(span_eq(buf_span(&b), buf_span(&b2)));
    vector_fini(&again);
    buf_fini(&b);
    buf_fini(&b2);
}

/* What a has and b does not, added to b, makes b what merging makes of them. */
static void merge_and_compare(const struct vector *a, struct vector *b)
{
    struct vector sum;
    struct vector_diff d;
    struct origin origin;
    struct run run;
    vector_init(&sum);
    FUZZ_ASSERT(vector_copy(&sum, b) == HM_OK && vector_merge(&sum, a) == HM_OK);
    check_shape(&sum);
    FUZZ_ASSERT(vector_covers(&sum, a) && vector_covers(&sum, b));
    vector_diff_open(&d, &sum, b);
    while (vector_diff_next(&d, &origin, &run)) {
        struct dot first = {origin, run.first}, last = {origin, run.last};
        FUZZ_ASSERT(vector_has(a, &first) && !vector_has(b, &first));
        FUZZ_ASSERT(vector_has(a, &last) && !vector_has(b, &last));
    }
    vector_diff_open(&d, a, &sum);
    FUZZ_ASSERT(!vector_diff_next(&d, &origin, &run));
    struct vector patched;
    vector_init(&patched);
    FUZZ_ASSERT(vector_copy(&patched, b) == HM_OK);
    vector_diff_open(&d, a, b);
    while (vector_diff_next(&d, &origin, &run)) {
        FUZZ_ASSERT(vector_add_run(&patched, &origin, run) == HM_OK);
    }
    FUZZ_ASSERT(vector_eq(&patched, &sum));
    write_and_read(&sum);
    vector_fini(&patched);
    vector_fini(&sum);
}

static uint64_t hash(struct span bytes)
{
    uint64_t h = 1;
    for (size_t i = 0; i < bytes.size; i++) {
        h = (h ^ bytes.data[i]) * 0x100000001b3U;
    }
    return prng_mix(h);
}

/* Foreign bytes: nothing is taken for told that neither they nor we have. */
static void read_folded(struct span part, const struct vector *ours)
{
    struct fold_list unnamed = {0};
    struct fold_list offers = {0};
    struct vector plain, to;
    struct span bytes = fuzz_copy(part);
    vector_init(&plain);
    vector_init(&to);
    int rc = fold_told(bytes, ours, hash, false, &to, &unnamed);
    check_shape(&to);
    if (rc == HM_OK) {
        FUZZ_ASSERT(vector_read(bytes, &plain) == HM_OK && vector_covers(&to, &plain));
        FUZZ_ASSERT(vector_merge(&plain, ours) == HM_OK && vector_covers(&plain, &to));
        FUZZ_ASSERT(fold_offer(ours, &unnamed, hash, &offers) == HM_OK);
    } else {
        FUZZ_ASSERT(to.count == 0);
    }
    fold_list_fini(&offers);
    (void) fold_list_read(bytes, &offers);
    fold_list_fini(&offers);
    fold_list_fini(&unnamed);
    vector_fini(&plain);
    vector_fini(&to);
    fuzz_free(bytes);
}

/* What a tells in folds reads as a, where b can name them; with what b offers it always does. */
static void tell_and_read(const struct vector *a, const struct vector *b)
{
    struct fold_list unnamed = {0};
    struct fold_list offers = {0};
    struct vector to;
    struct buf told;
    vector_init(&to);
    buf_init(&told, 1 << 20);
    FUZZ_ASSERT(fold_tell(&told, a, hash, NULL) == HM_OK);
    FUZZ_ASSERT(fold_told(buf_span(&told), b, hash, false, &to, &unnamed) == HM_OK);
    FUZZ_ASSERT(vector_covers(a, &to) && (unnamed.count > 0 || vector_eq(a, &to)));
    FUZZ_ASSERT(fold_offer(b, &unnamed, hash, &offers) == HM_OK);
    buf_clear(&told);
    FUZZ_ASSERT(fold_tell(&told, a, hash, &offers) == HM_OK);
    fold_list_fini(&unnamed);
    FUZZ_ASSERT(fold_told(buf_span(&told), b, hash, false, &to, &unnamed) == HM_OK);
    FUZZ_ASSERT(unnamed.count == 0 && vector_eq(a, &to));
    fold_list_fini(&offers);
    vector_fini(&to);
    buf_fini(&told);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    bool is_whole = in_u8(&in) % 2 == 0;
    struct span first = in_bytes(&in, in_u8(&in));
    struct vector a, b;
    vector_init(&a);
    vector_init(&b);
    read_one(first, is_whole, &a);
    read_one(span_of(in.at, in.left), is_whole, &b);
    read_folded(span_of(in.at, in.left), &a);
    write_and_read(&a);
    tell_and_read(&a, &b);
    tell_and_read(&b, &a);
    merge_and_compare(&a, &b);
    vector_fini(&a);
    vector_fini(&b);
    return 0;
}
