/* SPDX-License-Identifier: MPL-2.0 */
/* Timers against a naive model: a list searched from end to end must agree after every
 * operation. */
#include "../unit.h"

#include "base/err.h"
#include "base/heap.h"
#include "base/prng.h"

#define TIMERS 200

struct model {
    struct timer_heap heap;
    struct timer timers[TIMERS];
    bool armed[TIMERS];
    uint64_t at_ns[TIMERS];
    uint64_t order[TIMERS];
    uint64_t next_order;
};

static size_t naive_first(const struct model *m)
{
    size_t first = TIMERS;
    for (size_t i = 0; i < TIMERS; i++) {
        if (!m->armed[i]) {
            continue;
        }
        if (first == TIMERS || m->at_ns[i] < m->at_ns[first] ||
            (m->at_ns[i] == m->at_ns[first] && m->order[i] < m->order[first])) {
            first = i;
        }
    }
    return first;
}

static void agree(const struct model *m)
{
    size_t armed = 0;
    size_t first = naive_first(m);
    for (size_t i = 0; i < TIMERS; i++) {
        armed += m->armed[i];
        assert_int_equal(timer_is_armed(&m->timers[i]), m->armed[i]);
    }
    assert_int_equal(m->heap.count, armed);
    assert_true(timer_first_ns(&m->heap) == (first == TIMERS ? TIMER_NEVER : m->at_ns[first]));
}

static void take(struct model *m, uint64_t now_ns)
{
    size_t first = naive_first(m);
    struct timer *t = timer_take_due(&m->heap, now_ns);
    if (first == TIMERS || m->at_ns[first] > now_ns) {
        assert_null(t);
        return;
    }
    assert_ptr_equal(t, &m->timers[first]);
    m->armed[first] = false;
}

static void random_operations(uint64_t seed, uint64_t times, unsigned arm_share)
{
    struct model m;
    struct prng p;
    memset(&m, 0, sizeof m);
    timer_heap_init(&m.heap);
    prng_init(&p, seed);
    for (int step = 0; step < 20000; step++) {
        size_t i = (size_t) prng_below(&p, TIMERS);
        uint64_t at_ns = prng_below(&p, times);
        uint64_t draw = prng_below(&p, 100);
        if (draw < arm_share) {
            assert_int_equal(timer_arm(&m.heap, &m.timers[i], at_ns), HM_OK);
            m.armed[i] = true;
            m.at_ns[i] = at_ns;
            m.order[i] = m.next_order++;
        } else if (draw < arm_share + 20) {
            timer_disarm(&m.heap, &m.timers[i]);
            m.armed[i] = false;
        } else {
            take(&m, at_ns);
        }
        agree(&m);
    }
    for (int i = 0; i < TIMERS; i++) {
        take(&m, UINT64_MAX);
    }
    assert_int_equal(m.heap.count, 0);
    timer_heap_fini(&m.heap);
}

static void agrees_with_a_list(void **state)
{
    (void) state;
    random_operations(1, 1000000, 50);
    random_operations(2, 5, 50);    /* nearly all tie */
    random_operations(3, 1, 60);    /* all tie: first armed, first fired */
    random_operations(4, 1000, 78); /* nearly full, mostly moves */
    random_operations(5, 1000, 20); /* nearly empty */
}

static void an_empty_heap_is_never_due(void **state)
{
    (void) state;
    struct timer_heap h;
    struct timer t = {0};
    timer_heap_init(&h);
    assert_true(timer_first_ns(&h) == TIMER_NEVER);
    assert_null(timer_take_due(&h, UINT64_MAX));
    timer_disarm(&h, &t); /* not armed: nothing happens */
    assert_false(timer_is_armed(&t));
    timer_heap_fini(&h);
}

static void due_means_not_before_its_time(void **state)
{
    (void) state;
    struct timer_heap h;
    struct timer t = {0};
    timer_heap_init(&h);
    assert_int_equal(timer_arm(&h, &t, 100), HM_OK);
    assert_null(timer_take_due(&h, 99));
    assert_ptr_equal(timer_take_due(&h, 100), &t);
    assert_null(timer_take_due(&h, 100));
    assert_int_equal(timer_arm(&h, &t, 100), HM_OK);
    assert_int_equal(timer_arm(&h, &t, 50), HM_OK); /* moved, not twice */
    assert_int_equal(h.count, 1);
    assert_true(timer_first_ns(&h) == 50);
    timer_disarm(&h, &t);
    timer_heap_fini(&h);
}

static void rearming_goes_to_the_end_of_a_tie(void **state)
{
    (void) state;
    struct timer_heap h;
    struct timer t[3] = {{0}};
    timer_heap_init(&h);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(timer_arm(&h, &t[i], 7), HM_OK);
    }
    assert_int_equal(timer_arm(&h, &t[0], 7), HM_OK);
    assert_ptr_equal(timer_take_due(&h, 7), &t[1]);
    assert_ptr_equal(timer_take_due(&h, 7), &t[2]);
    assert_ptr_equal(timer_take_due(&h, 7), &t[0]);
    timer_heap_fini(&h);
}

static void stops_allocating(void **state)
{
    (void) state;
    struct timer_heap h;
    struct timer t[100] = {{0}};
    timer_heap_init(&h);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(timer_arm(&h, &t[i], (uint64_t) i), HM_OK);
    }
    struct timer **items = h.items;
    size_t room = h.room;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 100; i++) {
            assert_non_null(timer_take_due(&h, UINT64_MAX));
        }
        for (int i = 0; i < 100; i++) {
            assert_int_equal(timer_arm(&h, &t[i], (uint64_t) (100 - i)), HM_OK);
        }
    }
    assert_ptr_equal(h.items, items);
    assert_int_equal(h.room, room);
    timer_heap_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_list),
        cmocka_unit_test(an_empty_heap_is_never_due),
        cmocka_unit_test(due_means_not_before_its_time),
        cmocka_unit_test(rearming_goes_to_the_end_of_a_tie),
        cmocka_unit_test(stops_allocating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
