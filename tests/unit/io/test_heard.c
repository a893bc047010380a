/* SPDX-License-Identifier: MPL-2.0 */
/* Beacons heard: bounded, and a flood from one address hides nobody else. */
#include "../unit.h"

#include "base/prng.h"
#include "io/heard.h"

static struct heard heard;

static void note(uint32_t id, uint8_t host, uint64_t at_ns)
{
    struct heard_beacon beacon = {
        .addr = addr_v4(10, 0, 0, host, 8471), .at_ns = at_ns, .index = 2};
    memcpy(beacon.id.b, &id, sizeof id);
    heard_note(&heard, &beacon);
}

static const struct heard_beacon *find(uint32_t id)
{
    for (size_t i = 0; i < heard.count; i++) {
        if (memcmp(heard.items[i].id.b, &id, sizeof id) == 0) {
            return &heard.items[i];
        }
    }
    return NULL;
}

static void test_the_newest_of_each(void **state)
{
    (void) state;
    memset(&heard, 0, sizeof heard);
    note(1, 1, 100);
    note(2, 2, 200);
    note(1, 1, 300);
    assert_int_equal(heard.count, 2);
    assert_int_equal(find(1)->at_ns, 300);
    assert_int_equal(find(2)->at_ns, 200);
    assert_int_equal(find(1)->first_ns, 100);
    note(1, 1, 300 + 61000000000u); /* after a long gap they begin anew */
    assert_int_equal(find(1)->first_ns, 300 + 61000000000u);
}

static void test_a_flood_hides_nobody(void **state)
{
    (void) state;
    memset(&heard, 0, sizeof heard);
    for (uint32_t i = 0; i < 20; i++) {
        note(i, (uint8_t) (1 + i), i);
    }
    for (uint32_t i = 0; i < 100000; i++) {
        note(1000 + i, 200, 1000 + i);
    }
    for (uint32_t i = 0; i < 20; i++) {
        assert_non_null(find(i));
    }
    assert_int_equal(heard.count, 20 + HM_BEACONS_PER_ADDRESS_MAX);
    assert_non_null(find(1000 + 99999));
}

/* Thousands within seconds are a flood, also from one address; a slow stream is none, nor is a large mesh. */
static void test_what_is_a_flood(void **state)
{
    (void) state;
    memset(&heard, 0, sizeof heard);
    for (uint32_t i = 0; i < 3000; i++) {
        note(i % 200, (uint8_t) (i % 200), i * 10000000ull); /* members, 100 a second */
    }
    assert_int_equal(heard.flooded_ns, 0);
    for (uint32_t i = 0; i < 3000; i++) {
        note(1000 + i, 200, 30000000000u + i * 10000000ull); /* strangers, as many */
    }
    assert_int_equal(heard.flooded_ns, 0);
    for (uint32_t i = 0; i < 3000; i++) {
        note(9000 + i, 200, 70000000000u + i * 1000000ull);
    }
    assert_true(heard.flooded_ns > 70000000000u);
}

static void test_full_of_many_addresses(void **state)
{
    struct prng prng;
    (void) state;
    memset(&heard, 0, sizeof heard);
    prng_init(&prng, 7);
    for (uint32_t i = 0; i < 20000; i++) {
        note(i, (uint8_t) prng_below(&prng, 256), i);
        assert_true(heard.count <= HM_BEACONS_HEARD_MAX);
        assert_non_null(find(i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_newest_of_each),
        cmocka_unit_test(test_a_flood_hides_nobody),
        cmocka_unit_test(test_what_is_a_flood),
        cmocka_unit_test(test_full_of_many_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
