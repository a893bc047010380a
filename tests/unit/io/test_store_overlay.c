/* SPDX-License-Identifier: MPL-2.0 */
/* Layers over tables that are empty, beside arrays: what the newest layer says of a key holds, whatever was
 * closed and dropped below it. (test_store_journal reads them over tables with something in them.) */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "base/prng.h"
#include "io/store_overlay.h"

#include <stdio.h>

#define KEYS 24
#define LAYERS_MAX 6
#define STEPS 8000

enum said { NOTHING, REMOVED, VALUE };

struct plain_layer {
    uint64_t record; /* 0: open */
    enum said said[KEYS];
    uint64_t value[KEYS];
};

static struct plain_layer plain[LAYERS_MAX]; /* the newest last */
static size_t layers;

static struct span key_of(char to[8], size_t i)
{
    snprintf(to, 8, "k%02zu", i);
    return span_of(to, 3);
}

static void add(struct store_overlay *o, struct prng *prng)
{
    struct store_entry entries[3];
    char keys[3][8];
    uint64_t values[3];
    struct store_batch *batch = NULL;
    if (layers == 0 || plain[layers - 1].record != 0) {
        assert_true(layers < LAYERS_MAX);
        plain[layers++] = (struct plain_layer){.record = 0};
    }
    struct plain_layer *l = &plain[layers - 1];
    for (size_t i = 0; i < 3; i++) {
        size_t k = (size_t) prng_below(prng, KEYS);
        bool is_removed = prng_below(prng, 3) == 0;
        values[i] = prng_next(prng);
        entries[i] = (struct store_entry){
            STORE_ENTRIES, key_of(keys[i], k),
            is_removed ? span_of(NULL, 0) : span_of(&values[i], sizeof values[i])};
        l->said[k] = is_removed ? REMOVED : VALUE;
        l->value[k] = values[i];
    }
    assert_int_equal(store_batch_new(1, 1, entries, 3, &batch), HM_OK);
    assert_int_equal(store_overlay_add(o, batch), HM_OK);
    store_batch_destroy(&batch);
}

/* NULL: it is not there. */
static const uint64_t *plain_value(size_t k)
{
    for (size_t i = layers; i > 0; i--) {
        if (plain[i - 1].said[k] != NOTHING) {
            return plain[i - 1].said[k] == VALUE ? &plain[i - 1].value[k] : NULL;
        }
    }
    return NULL;
}

static void assert_same(struct store_merged *m)
{
    char text[8];
    struct span value, key = span_of("", 0);
    bool inclusive = true;
    for (size_t k = 0; k < KEYS; k++) {
        const uint64_t *want = plain_value(k);
        assert_int_equal(store_merged_get(m, STORE_ENTRIES, key_of(text, k), &value), want != NULL);
        assert_true(want == NULL || memcmp(value.data, want, sizeof *want) == 0);
        if (want != NULL) {
            assert_true(store_merged_next(m, STORE_ENTRIES, key, inclusive, &key, &value));
            assert_int_equal(span_cmp(key, key_of(text, k)), 0);
            assert_memory_equal(value.data, want, sizeof *want);
            inclusive = false;
        }
    }
    assert_false(store_merged_next(m, STORE_ENTRIES, key, inclusive, &key, &value));
    assert_false(store_merged_get(m, STORE_DOTS, key_of(text, 0), &value));
}

static void the_newest_layer_speaks(void **state)
{
    (void) state;
    struct store_merged m = {.is_reading = false};
    struct prng prng;
    uint64_t record = 0;
    prng_init(&prng, 1);
    for (int step = 0; step < STEPS; step++) {
        bool has_open = layers > 0 && plain[layers - 1].record == 0;
        uint64_t what = prng_below(&prng, 10);
        if (what < 6 && (has_open || layers < LAYERS_MAX)) {
            add(&m.overlay, &prng);
        } else if (what < 8) {
            store_overlay_close(&m.overlay, ++record); /* twice closes nothing */
            if (has_open) {
                plain[layers - 1].record = record;
            }
        } else if (layers > 0) { /* the tables have some of the closed ones, or none */
            uint64_t applied = prng_below(&prng, 3) == 0 ? record : plain[0].record;
            size_t gone = 0;
            while (gone < layers && plain[gone].record != 0 && plain[gone].record <= applied) {
                gone++;
            }
            store_overlay_drop(&m.overlay, applied);
            memmove(plain, plain + gone, (layers - gone) * sizeof plain[0]);
            layers -= gone;
        }
        assert_same(&m);
    }
    store_overlay_fini(&m.overlay);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_layer_speaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
