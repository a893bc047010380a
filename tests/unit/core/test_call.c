/* SPDX-License-Identifier: MPL-2.0 */
/* Operations that wait: here, or at another node. The handler of minimesh.h waits as long as it may. */
#include "../unit.h"

#include "base/err.h"
#include "core/core.h"
#include "wire/mpack.h"

#include <stdio.h>

/* "started" waits until the node has. */
static bool own_op(core_t *core, const char *op, struct buf *reply, struct call_result *ret_result)
{
    if (strcmp(op, "started") != 0) {
        return false;
    }
    ret_result->wait = core_is_starting(core);
    ret_result->wait_for = WAKE_STARTED;
    ret_result->code = HM_OK;
    mp_nil(reply);
    return true;
}

#define MESH_OWN_OP own_op
#include "minimesh.h"

static void ask_op(struct mesh *m, const char *op, size_t at, size_t about, uint64_t client,
                   uint64_t deadline_ms)
{
    struct buf b;
    struct api_request request = {.deadline_ms = deadline_ms};
    snprintf(request.op, sizeof request.op, "%s", op);
    memcpy(request.node, m->node[about].name, sizeof m->node[about].name);
    buf_init(&b, HM_REQUEST_BYTES_MAX);
    api_request_write(&b, &request);
    struct event ev = {.type = EV_CALL, .as.call = {client, buf_span(&b)}};
    mesh_step(m, at, &ev);
    buf_fini(&b);
}

static void ask(struct mesh *m, size_t at, size_t about, uint64_t client, uint64_t deadline_ms)
{
    ask_op(m, "events", at, about, client, deadline_ms);
}

/* The other node answered at the very deadline, when the asker had given up. */
static void a_long_poll_at_another_node_is_answered_in_time(void **state)
{
    static const uint64_t deadlines_ms[] = {0, 100, 2000, 30000};
    (void) state;
    for (size_t i = 0; i < ARRAY_COUNT(deadlines_ms); i++) {
        struct mesh *m = mesh_new_started(2);
        uint64_t wait_ns = (deadlines_ms[i] > 0 ? deadlines_ms[i] : 5000) * MINI_MS;
        ask(m, 0, 1, 1, deadlines_ms[i]);
        mesh_run(m, wait_ns / 2);
        assert_int_equal(m->node[0].replies, 0);
        mesh_run(m, wait_ns / 2);
        assert_int_equal(m->node[0].replies, 1);
        assert_int_equal(m->node[0].reply_code, HM_OK);
        mesh_free(&m);
    }
}

/* One node could fill all slots of another, whose own users then could not wait. */
static void one_member_cannot_take_all_that_may_wait(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    for (size_t i = 0; i < HM_CALLS_PER_MEMBER_MAX + 5; i++) {
        ask(m, 0, 1, 1 + i, 20000);
    }
    mesh_run(m, MINI_SECOND);
    assert_int_equal(m->node[0].replies, 5);
    assert_int_equal(m->node[0].reply_code, HM_EBUSY); /* no answer: it would be asked again at once */
    ask(m, 1, 1, 1, 10000);
    mesh_run(m, MINI_SECOND);
    assert_int_equal(m->node[1].replies, 0);
    mesh_run(m, 20 * MINI_SECOND);
    assert_int_equal(m->node[0].replies, HM_CALLS_PER_MEMBER_MAX + 5);
    assert_int_equal(m->node[1].replies, 1);
    mesh_free(&m);
}

static void too_many_that_wait_are_told_to_come_again(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(1);
    for (size_t i = 0; i < HM_CALLS_MAX + 1; i++) {
        ask(m, 0, 0, 1 + i, 20000);
    }
    assert_int_equal(m->node[0].replies, 1);
    assert_int_equal(m->node[0].reply_code, HM_EBUSY);
    mesh_run(m, 21 * MINI_SECOND);
    assert_int_equal(m->node[0].replies, HM_CALLS_MAX + 1);
    assert_int_equal(m->node[0].reply_code, HM_OK);
    mesh_free(&m);
}

static size_t links_of(const struct mesh *m, size_t at)
{
    struct core_status status;
    core_status(m->node[at].core, &status);
    return status.links;
}

/* More nodes than links may be open: each is asked in its turn, over a link that another has left. */
static void all_of_many_are_asked(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(MESH_NODES_MAX);
    mesh_run(m, 40 * MINI_SECOND); /* links of the beginning are closed */
    size_t before = links_of(m, 0);
    for (size_t i = 1; i < MESH_NODES_MAX; i++) {
        ask_op(m, "knock", 0, i, i, 5000);
    }
    size_t most = 0;
    for (size_t i = 0; i < 200; i++) {
        mesh_run(m, 10 * MINI_MS);
        size_t links = links_of(m, 0);
        most = links > most ? links : most;
    }
    assert_int_equal(m->node[0].replies, MESH_NODES_MAX - 1);
    assert_int_equal(m->node[0].reply_code, HM_OK);
    assert_true(before < MESH_NODES_MAX / 2 && most <= before + 12);
    mesh_free(&m);
}

/* Nobody connects to node `*arg`. */
static bool closed(struct mesh *m, size_t from, const struct effect *fx)
{
    (void) from;
    return fx->type != FX_DIAL || mesh_by_id(m, &fx->as.dial.peer) != *(size_t *) m->arg;
}

/* Whom a firewall lets nobody reach by TCP, among more than are linked: who is asked to dial, does. */
static void who_lets_nobody_in_is_asked(void **state)
{
    (void) state;
    size_t odd = 7;
    struct mesh *m = mesh_new_started(20);
    m->passes = closed;
    m->arg = &odd;
    mesh_kill(m, odd);
    mesh_start(m, odd);
    mesh_run(m, 40 * MINI_SECOND);
    for (size_t i = 0; i < m->count; i++) {
        ask_op(m, "knock", i, odd, 1, 5000);
    }
    mesh_run(m, 800 * MINI_MS);
    for (size_t i = 0; i < m->count; i++) {
        assert_int_equal(m->node[i].replies, 1);
        assert_int_equal(m->node[i].reply_code, HM_OK);
    }
    mesh_free(&m);
}

/* What a node behind NAT says comes from an address that its record does not name; nothing reaches it at the one that
 * it names. Those that have no link to it ask it where it asks from. */
static void who_is_behind_nat_is_asked(void **state)
{
    (void) state;
    size_t odd = 7;
    struct mesh *m = mesh_new_started(20);
    mesh_kill(m, odd);
    mesh_start(m, odd);
    m->node[odd].addrs[0] = addr_v4(192, 168, 7, 7, 40001);
    mesh_run(m, 60 * MINI_SECOND);
    for (size_t i = 0; i < m->count; i++) {
        assert_int_equal(mesh_status(m, i, odd), STATUS_ALIVE);
        ask_op(m, "knock", i, odd, 1, 5000);
    }
    mesh_run(m, 4 * MINI_SECOND);
    for (size_t i = 0; i < m->count; i++) {
        assert_int_equal(m->node[i].replies, 1);
        assert_int_equal(m->node[i].reply_code, HM_OK);
    }
    mesh_free(&m);
}

/* A request with so many bytes of arguments to node 1, which gives them back. */
static void ask_echo(struct mesh *m, size_t arg_bytes, uint64_t client)
{
    struct buf args, b;
    struct api_request request = {.op = "echo", .deadline_ms = 5000};
    uint8_t *zeros = calloc(1, arg_bytes);
    assert_non_null(zeros);
    memcpy(request.node, m->node[1].name, sizeof m->node[1].name);
    buf_init(&args, 4U << 20);
    mp_map(&args, 1);
    mp_str(&args, "value");
    mp_bin(&args, zeros, arg_bytes);
    request.args = buf_span(&args);
    buf_init(&b, 4U << 20);
    api_request_write(&b, &request);
    struct event ev = {.type = EV_CALL, .as.call = {client, buf_span(&b)}};
    mesh_step(m, 0, &ev);
    buf_fini(&b);
    buf_fini(&args);
    free(zeros);
}

/* The largest value goes to another node and comes back, in one frame each. */
static void large_values_travel(void **state)
{
    (void) state;
    struct mesh *m = mesh_new_started(2);
    ask_echo(m, HM_VALUE_BYTES_MAX, 1);
    mesh_run(m, MINI_SECOND);
    assert_int_equal(m->node[0].replies, 1);
    assert_int_equal(m->node[0].reply_code, HM_OK);
    assert_in_range(m->node[0].reply_bytes, HM_VALUE_BYTES_MAX, HM_VALUE_BYTES_MAX + 20);
    ask_echo(m, HM_REQUEST_BYTES_MAX, 2);
    assert_int_equal(m->node[0].replies, 2);
    assert_int_equal(m->node[0].reply_code, HM_EFULL);
    mesh_free(&m);
}

static void who_waits_for_the_start_is_woken_by_it(void **state)
{
    (void) state;
    struct mesh *m = mesh_new(1);
    mesh_start(m, 0); /* the disk takes a millisecond */
    assert_true(core_is_starting(m->node[0].core));
    ask_op(m, "started", 0, 0, 1, 5000);
    assert_int_equal(m->node[0].replies, 0);
    mesh_run(m, 2 * MINI_MS);
    assert_false(core_is_starting(m->node[0].core));
    assert_int_equal(m->node[0].replies, 1);
    assert_int_equal(m->node[0].reply_code, HM_OK);
    mesh_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_poll_at_another_node_is_answered_in_time),
        cmocka_unit_test(one_member_cannot_take_all_that_may_wait),
        cmocka_unit_test(all_of_many_are_asked),
        cmocka_unit_test(who_lets_nobody_in_is_asked),
        cmocka_unit_test(who_is_behind_nat_is_asked),
        cmocka_unit_test(too_many_that_wait_are_told_to_come_again),
        cmocka_unit_test(large_values_travel),
        cmocka_unit_test(who_waits_for_the_start_is_woken_by_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
