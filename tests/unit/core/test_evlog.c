/* SPDX-License-Identifier: MPL-2.0 */
/* Member events: the newest are kept, numbers rise and are never used twice, whatever crash. */
#include "../unit.h"

#include "base/limits.h"
#include "core/evlog.h"

static bool add(struct evlog *l, uint64_t mark)
{
    struct member_event ev = {.wall_ms = mark, .seq = 12345};
    return evlog_add(l, &ev);
}

static void empty(void **state)
{
    (void) state;
    struct evlog l;
    assert_int_equal(evlog_init(&l), 0);
    assert_null(evlog_after(&l, 0));
    assert_null(evlog_after(&l, UINT64_MAX));
    evlog_fini(&l);
    evlog_fini(&l);
}

static void goes_through_in_order(void **state)
{
    (void) state;
    struct evlog l;
    assert_int_equal(evlog_init(&l), 0);
    for (uint64_t n = 1; n <= 3 * HM_EVENTS_MAX; n++) {
        add(&l, n);
        uint64_t first = n > HM_EVENTS_MAX ? n - HM_EVENTS_MAX + 1 : 1;
        const struct member_event *ev = evlog_after(&l, 0);
        assert_true(ev->seq == first && ev->wall_ms == first);
        ev = evlog_after(&l, n - 1);
        assert_true(ev->seq == n && ev->wall_ms == n);
        assert_null(evlog_after(&l, n));
        assert_null(evlog_after(&l, n + 1000));
        assert_null(evlog_after(&l, UINT64_MAX - 1));
    }
    uint64_t seq = 0;
    size_t count = 0;
    for (const struct member_event *ev = evlog_after(&l, 0); ev != NULL;
         ev = evlog_after(&l, seq)) {
        assert_true(count == 0 || ev->seq == seq + 1);
        seq = ev->seq;
        count++;
    }
    assert_int_equal(count, HM_EVENTS_MAX);
    evlog_fini(&l);
}

/* After a restart that finds any stored end of a block, no number comes again. */
static void no_number_twice(void **state)
{
    (void) state;
    struct evlog l;
    uint64_t stored = 0, used = 0;
    for (int life = 0; life < 20; life++) {
        assert_int_equal(evlog_init(&l), 0);
        l.next_seq = stored > 0 ? stored : 1;
        l.reserved_to = l.next_seq + EVLOG_BLOCK;
        stored = l.reserved_to; /* the core stores it before it speaks */
        for (int i = 0; i < 1 + life * 300; i++) {
            if (add(&l, 0)) {
                stored = l.reserved_to;
            }
            const struct member_event *ev = evlog_after(&l, l.next_seq - 2);
            assert_true(ev->seq > used && ev->seq < stored);
            used = ev->seq;
        }
        evlog_fini(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty),
        cmocka_unit_test(goes_through_in_order),
        cmocka_unit_test(no_number_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
