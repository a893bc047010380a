/* SPDX-License-Identifier: MPL-2.0 */
/* The ordered map against a naive model: a sorted array must agree after every operation. */
#include "../unit.h"

#include "base/be.h"
#include "base/err.h"
#include "base/omap.h"
#include "base/prng.h"

#define ITEMS_MAX 400
#define KEY_MAX 6
#define VALUE_MAX 9

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static bool out_of_memory;

void *__wrap_malloc(size_t size)
{
    return out_of_memory ? NULL : __real_malloc(size);
}

int __real_memcmp(const void *a, const void *b, size_t size);
int __wrap_memcmp(const void *a, const void *b, size_t size);

static unsigned compared; /* keys, as often as they have bytes in common */

int __wrap_memcmp(const void *a, const void *b, size_t size)
{
    compared++;
    return __real_memcmp(a, b, size);
}

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

static bool same(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

struct item {
    uint8_t key[KEY_MAX], value[VALUE_MAX];
    size_t key_size, value_size;
    bool has_value;
    uint64_t tag;
};

struct model {
    omap_t *map;
    struct item items[ITEMS_MAX];
    size_t count;
    struct prng prng;
};

static struct span item_key(const struct item *it)
{
    return span_of(it->key, it->key_size);
}

static int order_of(struct span a, struct span b)
{
    for (size_t i = 0; i < a.size && i < b.size; i++) {
        if (a.data[i] != b.data[i]) {
            return a.data[i] < b.data[i] ? -1 : 1;
        }
    }
    return a.size == b.size ? 0 : a.size < b.size ? -1 : 1;
}

/* Index of the first item at or above the key. */
static size_t naive_at(const struct model *m, struct span key)
{
    size_t i = 0;
    while (i < m->count && order_of(item_key(&m->items[i]), key) < 0) {
        i++;
    }
    return i;
}

static bool is_item(const struct item *it, struct span value, uint64_t tag)
{
    return (value.data != NULL) == it->has_value && tag == it->tag &&
           same(value, span_of(it->value, it->value_size));
}

static void agree_at(const struct model *m, struct span key)
{
    size_t i = naive_at(m, key);
    bool is_there = i < m->count && order_of(item_key(&m->items[i]), key) == 0;
    struct span found, value;
    uint64_t tag;
    assert_int_equal(omap_get(m->map, key, &value, &tag), is_there);
    assert_true(!is_there || is_item(&m->items[i], value, tag));
    for (int inclusive = 0; inclusive < 2; inclusive++) {
        size_t want = i + (is_there && !inclusive);
        bool any = omap_next(m->map, key, inclusive, &found, &value, &tag);
        assert_int_equal(any, want < m->count);
        assert_true(!any || (same(found, item_key(&m->items[want])) &&
                             is_item(&m->items[want], value, tag)));
    }
}

/* A balanced tree (AVL): a key is found after 1.44 log2(n + 2) comparisons at most. */
static void assert_few_comparisons(const struct model *m, struct span key)
{
    unsigned bits = 0;
    while ((m->count + 2) >> bits != 0) {
        bits++;
    }
    compared = 0;
    omap_get(m->map, key, NULL, NULL);
    assert_in_range(compared, 0, bits * 144 / 100);
}

static void agree_everywhere(const struct model *m)
{
    struct span key = {NULL, 0}, value;
    uint64_t tag;
    size_t bytes = 0;
    for (size_t i = 0; i < m->count; i++) {
        assert_true(omap_next(m->map, key, i == 0, &key, &value, &tag));
        assert_true(same(key, item_key(&m->items[i])) && is_item(&m->items[i], value, tag));
        assert_few_comparisons(m, key);
        bytes += key.size + value.size;
    }
    assert_false(omap_next(m->map, key, m->count == 0, NULL, NULL, NULL));
    assert_int_equal(omap_count(m->map), m->count);
    assert_int_equal(omap_bytes(m->map), bytes);
}

/* Few letters, so that keys meet again and begin each other; 0 and 255 for the order of bytes. */
static struct span random_key(struct model *m, uint8_t to[KEY_MAX])
{
    static const uint8_t letters[] = {0, 1, 'a', 0x7f, 0x80, 255};
    size_t size = (size_t) prng_below(&m->prng, KEY_MAX + 1);
    for (size_t i = 0; i < size; i++) {
        to[i] = letters[prng_below(&m->prng, ARRAY_COUNT(letters))];
    }
    return size == 0 ? span_of(NULL, 0) : span_of(to, size);
}

static void put(struct model *m, struct span key)
{
    struct item it = {.key_size = key.size, .tag = prng_next(&m->prng)};
    if (key.size > 0) {
        memcpy(it.key, key.data, key.size);
    }
    it.has_value = prng_below(&m->prng, 4) > 0;
    it.value_size = it.has_value ? (size_t) prng_below(&m->prng, VALUE_MAX + 1) : 0;
    for (size_t i = 0; i < it.value_size; i++) {
        it.value[i] = (uint8_t) prng_next(&m->prng);
    }
    size_t i = naive_at(m, key);
    bool is_there = i < m->count && order_of(item_key(&m->items[i]), key) == 0;
    if (!is_there && m->count == ITEMS_MAX) {
        return;
    }
    uint64_t before = is_there ? m->items[i].tag : 0;
    if (!is_there) {
        memmove(&m->items[i + 1], &m->items[i], (m->count - i) * sizeof it);
        m->count++;
    }
    m->items[i] = it;
    struct span value = it.has_value ? span_of(it.value, it.value_size) : span_of(NULL, 0);
    uint64_t old_tag = 1;
    assert_int_equal(omap_exchange(m->map, key, value, it.tag, &old_tag), HM_OK);
    assert_int_equal(old_tag, before);
}

static void drop(struct model *m, struct span key)
{
    size_t i = naive_at(m, key);
    bool is_there = i < m->count && order_of(item_key(&m->items[i]), key) == 0;
    if (is_there) {
        uint64_t tag = m->items[i].tag;
        assert_false(omap_remove_tagged(m->map, key, tag + 1, UINT64_MAX));
        assert_false(tag > 0 && omap_remove_tagged(m->map, key, 0, tag - 1));
    }
    assert_int_equal(omap_remove(m->map, key), is_there);
    if (is_there) {
        m->count--;
        memmove(&m->items[i], &m->items[i + 1], (m->count - i) * sizeof m->items[0]);
    }
}

static void random_operations(uint64_t seed, unsigned put_share)
{
    struct model m = {.map = omap_new()};
    assert_non_null(m.map);
    prng_init(&m.prng, seed);
    for (int step = 0; step < 10000; step++) {
        uint8_t bytes[KEY_MAX];
        struct span key = random_key(&m, bytes);
        if (prng_below(&m.prng, 100) < put_share) {
            put(&m, key);
        } else if (m.count > 0 && prng_below(&m.prng, 2) == 0) {
            struct item it = m.items[prng_below(&m.prng, m.count)];
            drop(&m, item_key(&it));
        } else {
            drop(&m, key);
        }
        agree_at(&m, key);
        agree_at(&m, random_key(&m, bytes));
        if (step % 50 == 0) {
            agree_everywhere(&m);
        }
    }
    agree_everywhere(&m);
    while (m.count > 0) { /* to nothing, in random order */
        struct item it = m.items[prng_below(&m.prng, m.count)];
        drop(&m, item_key(&it));
        agree_everywhere(&m);
    }
    omap_destroy(&m.map);
    assert_null(m.map);
}

static void agrees_with_a_sorted_array(void **state)
{
    (void) state;
    random_operations(1, 50);
    random_operations(2, 80); /* mostly full */
    random_operations(3, 35); /* mostly empty */
}

static void nothing_is_not_empty(void **state)
{
    (void) state;
    omap_t *m = omap_new();
    struct span value;
    uint64_t tag = 0;
    assert_non_null(m);
    assert_int_equal(omap_put(m, text("gone"), span_of(NULL, 0), 7), HM_OK);
    assert_int_equal(omap_put(m, text("empty"), text(""), 8), HM_OK);
    assert_true(omap_get(m, text("gone"), &value, &tag));
    assert_true(value.data == NULL && value.size == 0 && tag == 7);
    assert_true(omap_get(m, text("empty"), &value, &tag));
    assert_true(value.data != NULL && value.size == 0 && tag == 8);
    assert_true(omap_get(m, text("empty"), NULL, NULL));
    assert_int_equal(omap_put(m, text("gone"), text("back"), 9), HM_OK);
    assert_true(omap_get(m, text("gone"), &value, &tag));
    assert_true(same(value, text("back")) && tag == 9);
    assert_int_equal(omap_count(m), 2);
    assert_int_equal(omap_bytes(m), 4 + 4 + 5);
    omap_clear(m);
    assert_int_equal(omap_count(m), 0);
    assert_int_equal(omap_bytes(m), 0);
    assert_false(omap_next(m, span_of(NULL, 0), true, NULL, NULL, NULL));
    assert_int_equal(omap_put(m, text("again"), text("1"), 0), HM_OK);
    omap_destroy(&m);
    omap_destroy(&m); /* takes NULL */
}

/* Walking and removing goes with the very spans the walk gave. */
static void takes_its_own_spans(void **state)
{
    (void) state;
    omap_t *m = omap_new();
    struct span key, value;
    uint64_t tag;
    assert_non_null(m);
    for (uint64_t i = 0; i < 100; i++) {
        uint8_t bytes[8];
        be_put(bytes, i * 37 % 100, 8);
        assert_int_equal(omap_put(m, span_of(bytes, 8), span_of(bytes, 8), i), HM_OK);
    }
    for (uint64_t i = 0; omap_next(m, span_of(NULL, 0), true, &key, &value, &tag); i++) {
        assert_int_equal(be_get(value.data, 8), i);
        assert_int_equal(omap_put(m, key, value, 5), HM_OK);
        assert_true(omap_next(m, span_of(NULL, 0), true, &key, &value, &tag));
        assert_true(be_get(key.data, 8) == i && be_get(value.data, 8) == i && tag == 5);
        assert_true(omap_remove(m, key));
    }
    assert_int_equal(omap_count(m), 0);
    omap_destroy(&m);
}

static void out_of_memory_changes_nothing(void **state)
{
    (void) state;
    omap_t *m = omap_new();
    struct span value;
    uint64_t tag;
    assert_non_null(m);
    assert_int_equal(omap_put(m, text("a"), text("old"), 1), HM_OK);
    out_of_memory = true;
    int replaced = omap_put(m, text("a"), text("newer"), 2);
    int added = omap_put(m, text("b"), text("x"), 3);
    out_of_memory = false;
    assert_int_equal(replaced, HM_ENOMEM);
    assert_int_equal(added, HM_ENOMEM);
    assert_true(omap_get(m, text("a"), &value, &tag) && same(value, text("old")) && tag == 1);
    assert_int_equal(omap_count(m), 1);
    assert_int_equal(omap_bytes(m), 4);
    omap_destroy(&m);
}

/* Rising keys make a plain tree a list; 100,000 of them would then take minutes. */
static void sorted_keys_cost_no_more(void **state)
{
    (void) state;
    omap_t *m = omap_new();
    uint8_t bytes[8];
    struct span key;
    assert_non_null(m);
    for (uint64_t i = 0; i < 100000; i++) {
        be_put(bytes, i, 8);
        assert_int_equal(omap_put(m, span_of(bytes, 8), span_of(bytes, 4), i), HM_OK);
    }
    assert_int_equal(omap_bytes(m), 1200000);
    size_t walked = 0;
    bool inclusive = true;
    memset(bytes, 0, sizeof bytes);
    key = span_of(bytes, 8);
    while (omap_next(m, key, inclusive, &key, NULL, NULL)) {
        assert_int_equal(be_get(key.data, 8), walked++);
        inclusive = false;
    }
    assert_int_equal(walked, 100000);
    for (uint64_t i = 0; i < 100000; i += 2) {
        be_put(bytes, i, 8);
        assert_true(omap_remove(m, span_of(bytes, 8)));
    }
    assert_int_equal(omap_count(m), 50000);
    omap_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_sorted_array),
        cmocka_unit_test(nothing_is_not_empty),
        cmocka_unit_test(takes_its_own_spans),
        cmocka_unit_test(out_of_memory_changes_nothing),
        cmocka_unit_test(sorted_keys_cost_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
