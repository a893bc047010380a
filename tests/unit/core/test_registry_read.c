/* SPDX-License-Identifier: MPL-2.0 */
/* Walking the registry: what is committed and what is pending, as each look sees it. */
#include "../unit.h"

#include "core/registry_priv.h"
#include "replica.h"

#define SEEDS 40
#define STEPS 150
#define KEYS 12

static const enum registry_look looks[] = {LOOK_ALL, LOOK_SHOWN, LOOK_COMMITTED};

/* Every record that was ever there, so that each can be asked for by itself. */
static void remember(struct replica *p, omap_t *ever)
{
    uint8_t from[REPLICA_KEY_BYTES];
    struct span key = span_of(from, 0);
    struct span value;
    for (bool first = true;
         registry_next_record(p->r, LOOK_ALL, STORE_ENTRIES, key, first, &key, &value);
         first = false) {
        omap_put(ever, key, span_of("", 0), 0);
        memcpy(from, key.data, key.size);
        key = span_of(from, key.size);
    }
}

/* The walk meets exactly the records that reading one by one finds, in order. */
static void check_walk(struct replica *p, omap_t *ever, enum registry_look look)
{
    uint8_t from[REPLICA_KEY_BYTES];
    struct span wanted = span_of("", 0), at = span_of(from, 0);
    struct span value, one;
    bool inclusive = true;
    for (bool first = true; omap_next(ever, wanted, first, &wanted, NULL, NULL); first = false) {
        if (!registry_read(p->r, look, STORE_ENTRIES, wanted, &one)) {
            continue;
        }
        assert_true(registry_next_record(p->r, look, STORE_ENTRIES, at, inclusive, &at, &value));
        assert_true(at.size == wanted.size && memcmp(at.data, wanted.data, at.size) == 0);
        assert_true(value.size == one.size && memcmp(value.data, one.data, one.size) == 0);
        memcpy(from, at.data, at.size);
        at = span_of(from, at.size);
        inclusive = false;
    }
    assert_false(registry_next_record(p->r, look, STORE_ENTRIES, at, inclusive, &at, &value));
}

/* Sometimes much is pending that the look hides: others' writes and removals lie between. */
static void step(struct prng *prng, struct replica *p, struct replica *other)
{
    char key[16], value[16];
    snprintf(key, sizeof key, "kv/%02u", (unsigned) prng_below(prng, KEYS));
    snprintf(value, sizeof value, "%u", (unsigned) prng_below(prng, 1000));
    switch (prng_below(prng, 10)) {
    case 0:
        replica_flush(p);
        break;
    case 1:
        replica_commit(p);
        break;
    case 2:
        if (p->waiting_count > 0) {
            replica_commit_one(p);
        }
        break;
    case 3:
        replica_commit(other);
        replica_pass(other, p);
        break;
    case 4:
        replica_write(other, key, prng_below(prng, 3) == 0 ? NULL : value);
        break;
    case 5:
        replica_write(p, key, NULL);
        break;
    default:
        replica_write(p, key, value);
        break;
    }
}

static void a_walk_meets_what_single_reads_find(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct replica *p = calloc(2, sizeof *p);
        omap_t *ever = omap_new();
        struct prng prng;
        prng_init(&prng, seed);
        replica_init(&p[0], 1, &prng);
        replica_init(&p[1], 2, &prng);
        for (size_t i = 0; i < STEPS; i++) {
            step(&prng, &p[0], &p[1]);
            remember(&p[0], ever);
            for (size_t look = 0; look < sizeof looks / sizeof looks[0]; look++) {
                check_walk(&p[0], ever, looks[look]);
            }
        }
        replica_fini(&p[0]);
        replica_fini(&p[1]);
        omap_destroy(&ever);
        free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_walk_meets_what_single_reads_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
