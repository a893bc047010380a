/* SPDX-License-Identifier: MPL-2.0 */
/* Knocking: it shows which way works, at the one who hears, and judges nobody. */
#include "../unit.h"

#include "minimesh.h"

static void knock(struct mesh *m, size_t at)
{
    struct buf b;
    struct api_request request = {.op = "knock", .deadline_ms = 1000};
    buf_init(&b, HM_REQUEST_BYTES_MAX);
    api_request_write(&b, &request);
    struct event ev = {.type = EV_CALL, .as.call = {1, buf_span(&b)}};
    mesh_step(m, at, &ev);
    buf_fini(&b);
}

static void a_knock_shows_the_way_that_works(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, 2 * MINI_SECOND);
    m->cut[0][1] = true;        /* from 0 to 1 only */
    mesh_run(m, 100 * MINI_MS); /* what is under way arrives */
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < 3; i++) {
            knock(m, i);
        }
        mesh_run(m, 300 * MINI_MS);
    }
    for (size_t i = 0; i < 3; i++) {
        struct event tick = {.type = EV_TICK};
        mesh_step(m, i, &tick); /* a node counts up to its last step */
    }
    for (size_t from = 0; from < 3; from++) {
        for (size_t to = 0; to < 3; to++) {
            uint64_t ago = mesh_view(m, to, from).arrived_ago_ns;
            if (from != to && (from != 0 || to != 1)) {
                assert_true(ago <= 900 * MINI_MS);
            } else if (from != to) {
                assert_true(ago >= 900 * MINI_MS);
            }
        }
    }
    mesh_free(&m);
}

/* Who is asked all the time does it five times a second, and its probes stay what they were. */
static void knocks_are_bounded_and_judge_nobody(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(3);
    mesh_run(m, MINI_SECOND);
    uint64_t probes = mesh_metric(m, 0, M_PROBES);
    uint64_t heard = mesh_metric(m, 1, M_DATAGRAMS_RECEIVED);
    for (size_t i = 0; i < 1000; i++) {
        knock(m, 0);
        mesh_run(m, MINI_MS);
    }
    assert_true(mesh_metric(m, 0, M_PROBES) - probes <= 3);
    assert_true(mesh_metric(m, 1, M_DATAGRAMS_RECEIVED) - heard <= 6 * 5 + 20); /* 5 pings each */
    m->node[2].deaf = true;
    knock(m, 0);
    mesh_run(m, 400 * MINI_MS);
    assert_int_equal(mesh_status(m, 0, 1), STATUS_ALIVE);
    mesh_free(&m);
}

static size_t dropped;

/* Every third datagram from 0 to 1, small or large; large ones never reach 2. */
static bool some_pass(struct mesh *m, size_t from, const struct effect *fx)
{
    (void) m;
    if (fx->type != FX_DATAGRAM || from != 0) {
        return true;
    }
    struct addr one = mini_addr(2), two = mini_addr(3);
    bool is_to_1 = addr_same_ip(&fx->as.datagram.to, &one);
    bool is_to_2 = addr_same_ip(&fx->as.datagram.to, &two);
    return is_to_1 ? ++dropped % 3 != 0 : !is_to_2 || fx->as.datagram.body.size < 1000;
}

/* Small and large pings are counted apart, and so are their answers. */
static void what_is_lost_is_counted(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(4);
    mesh_run(m, 2 * MINI_SECOND);
    m->passes = some_pass;
    for (size_t round = 0; round < 3; round++) {
        knock(m, 0);
        knock(m, 3);
        mesh_run(m, 300 * MINI_MS);
    }
    mesh_run(m, MINI_SECOND); /* each has done something since: what it has seen is of now */
    struct member_view well = mesh_view(m, 3, 1);
    assert_int_equal(well.knocked, 9);
    assert_int_equal(well.knock_answers, 9);
    assert_int_equal(well.knocked_large, 6);
    assert_int_equal(well.knock_answers_large, 6);
    struct member_view lossy = mesh_view(m, 0, 1);
    assert_int_equal(lossy.knocked + lossy.knocked_large, 15);
    assert_in_range(lossy.knock_answers + lossy.knock_answers_large, 8, 12);
    struct member_view narrow = mesh_view(m, 0, 2);
    assert_int_equal(narrow.knock_answers, 9);
    assert_int_equal(narrow.knocked_large, 6);
    assert_int_equal(narrow.knock_answers_large, 0);
    /* The next series begins at nothing. */
    m->passes = NULL;
    mesh_run(m, 8 * MINI_SECOND);
    assert_int_equal(mesh_view(m, 0, 2).knocked_large, 0); /* of then, and no more told */
    knock(m, 0);
    assert_int_equal(mesh_view(m, 0, 1).knocked, 0); /* on their way */
    mesh_run(m, MINI_SECOND);
    assert_int_equal(mesh_view(m, 0, 1).knocked, 3);
    assert_int_equal(mesh_view(m, 0, 1).knock_answers, 3);
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_knock_shows_the_way_that_works),
        cmocka_unit_test(knocks_are_bounded_and_judge_nobody),
        cmocka_unit_test(what_is_lost_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
