/* SPDX-License-Identifier: MPL-2.0 */
/* What libzmq holds for a peer is counted until it is read, and outlives whoever sent it. The peers
 * are in the process, so nothing waits anywhere else. */
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/outq.h"

#include <zmq.h>

struct pair {
    void *ctx, *from, *to;
    outq_t *q;
};

static void pair_open(struct pair *p, int from, int to)
{
    int on = 1;
    p->ctx = zmq_ctx_new();
    p->from = zmq_socket(p->ctx, from);
    p->to = zmq_socket(p->ctx, to);
    p->q = outq_new();
    assert_true(p->from != NULL && p->to != NULL && p->q != NULL);
    if (from == ZMQ_ROUTER) {
        assert_int_equal(zmq_setsockopt(p->from, ZMQ_ROUTER_MANDATORY, &on, sizeof on), 0);
        assert_int_equal(zmq_setsockopt(p->to, ZMQ_ROUTING_ID, "peer", 4), 0);
    }
    assert_int_equal(zmq_bind(p->from, "inproc://outq"), 0);
    assert_int_equal(zmq_connect(p->to, "inproc://outq"), 0);
}

static void pair_close(struct pair *p)
{
    int none = 0;
    zmq_setsockopt(p->from, ZMQ_LINGER, &none, sizeof none);
    zmq_close(p->from);
    zmq_close(p->to);
    outq_destroy(&p->q);
    zmq_ctx_term(p->ctx);
}

/* Takes one part of this size. */
static void take(struct pair *p, size_t size)
{
    zmq_msg_t msg;
    zmq_msg_init(&msg);
    assert_true(zmq_msg_recv(&msg, p->to, ZMQ_DONTWAIT) >= 0);
    assert_int_equal(zmq_msg_size(&msg), size);
    if (size > 0) {
        assert_int_equal(((const uint8_t *) zmq_msg_data(&msg))[size - 1], 0x5a);
    }
    zmq_msg_close(&msg);
}

static uint8_t large[HM_FRAME_BYTES_MAX];

static int send_size(struct pair *p, size_t size, size_t bytes_max)
{
    return outq_send(p->q, p->from, NULL, 0, span_of(large + sizeof large - size, size), bytes_max);
}

static void bytes_are_counted(void **state)
{
    (void) state;
    struct pair p;
    const size_t max = HM_QUEUE_BYTES_MAX;
    pair_open(&p, ZMQ_PAIR, ZMQ_PAIR);
    assert_int_equal(outq_bytes(p.q), 0);
    for (size_t i = 1; i <= 4; i++) {
        assert_int_equal(send_size(&p, sizeof large, max), HM_OK);
        assert_int_equal(outq_bytes(p.q), i * sizeof large);
    }
    assert_int_equal(send_size(&p, sizeof large, max), HM_EFULL);
    assert_int_equal(send_size(&p, 1, max), HM_EFULL);
    assert_int_equal(send_size(&p, 1, max + 1), HM_OK);
    assert_int_equal(outq_bytes(p.q), max);
    take(&p, sizeof large);
    assert_int_equal(outq_bytes(p.q), max - sizeof large);
    assert_int_equal(send_size(&p, sizeof large - 1, max), HM_OK);
    assert_int_equal(send_size(&p, 2, max), HM_EFULL);
    for (size_t i = 0; i < 3; i++) {
        take(&p, sizeof large);
    }
    take(&p, 1);
    take(&p, sizeof large - 1);
    assert_int_equal(outq_bytes(p.q), 0);
    /* Alone in the queue it must fit, too. */
    assert_int_equal(send_size(&p, 5000, 4999), HM_EFULL);
    assert_int_equal(send_size(&p, 5000, 5000), HM_OK);
    pair_close(&p);
}

static void small_ones_are_not(void **state)
{
    (void) state;
    struct pair p;
    pair_open(&p, ZMQ_PAIR, ZMQ_PAIR);
    assert_int_equal(send_size(&p, 0, 5000), HM_OK);
    assert_int_equal(send_size(&p, OUTQ_SMALL_BYTES - 1, 5000), HM_OK);
    assert_int_equal(outq_bytes(p.q), 0);
    assert_int_equal(send_size(&p, OUTQ_SMALL_BYTES, 5000), HM_OK);
    assert_int_equal(outq_bytes(p.q), OUTQ_SMALL_BYTES);
    take(&p, 0);
    take(&p, OUTQ_SMALL_BYTES - 1);
    take(&p, OUTQ_SMALL_BYTES);
    assert_int_equal(outq_bytes(p.q), 0);
    pair_close(&p);
}

/* As many messages as may: what was refused is no more counted. */
static void a_refused_one_is_given_back(void **state)
{
    (void) state;
    struct pair p;
    int one = 1;
    p.ctx = zmq_ctx_new();
    p.from = zmq_socket(p.ctx, ZMQ_PAIR);
    p.to = zmq_socket(p.ctx, ZMQ_PAIR);
    p.q = outq_new();
    zmq_setsockopt(p.from, ZMQ_SNDHWM, &one, sizeof one);
    zmq_setsockopt(p.to, ZMQ_RCVHWM, &one, sizeof one);
    assert_int_equal(zmq_bind(p.from, "inproc://outq"), 0);
    assert_int_equal(zmq_connect(p.to, "inproc://outq"), 0);
    assert_int_equal(send_size(&p, 2000, 100000), HM_OK);
    assert_int_equal(send_size(&p, 2000, 100000), HM_OK);
    assert_int_equal(send_size(&p, 2000, 100000), HM_EFULL);
    assert_int_equal(outq_bytes(p.q), 4000);
    pair_close(&p);
}

static void parts_come_first(void **state)
{
    (void) state;
    struct pair p;
    pair_open(&p, ZMQ_ROUTER, ZMQ_DEALER);
    struct span parts[] = {span_of("peer", 4), span_of("", 0), span_of("i\x5a", 2)};
    struct span body = span_of(large, sizeof large);
    assert_int_equal(outq_send(p.q, p.from, parts, 3, body, sizeof large), HM_OK);
    take(&p, 0);
    take(&p, 2);
    take(&p, sizeof large);
    parts[0] = span_of("gone", 4);
    assert_int_equal(outq_send(p.q, p.from, parts, 3, body, sizeof large), HM_EUNREACHABLE);
    assert_int_equal(outq_bytes(p.q), 0);
    /* Nothing of a refused message stays in the way of the next one. */
    parts[0] = span_of("peer", 4);
    assert_int_equal(outq_send(p.q, p.from, parts, 1, body, sizeof large), HM_OK);
    assert_int_equal(outq_send(p.q, p.from, parts, 1, body, sizeof large), HM_EFULL);
    take(&p, sizeof large);
    assert_int_equal(outq_send(p.q, p.from, parts, 1, body, sizeof large), HM_OK);
    take(&p, sizeof large);
    pair_close(&p);
}

/* What is on its way comes, and its memory is given back, when queue and sender are gone. */
static void it_outlives_its_owner(void **state)
{
    (void) state;
    struct pair p;
    pair_open(&p, ZMQ_PAIR, ZMQ_PAIR);
    assert_int_equal(send_size(&p, sizeof large, HM_QUEUE_BYTES_MAX), HM_OK);
    assert_int_equal(send_size(&p, 2000, HM_QUEUE_BYTES_MAX), HM_OK);
    outq_destroy(&p.q);
    assert_null(p.q);
    outq_destroy(&p.q);
    take(&p, sizeof large);
    pair_close(&p); /* with one in it: the sanitizer would tell */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_counted),
        cmocka_unit_test(small_ones_are_not),
        cmocka_unit_test(a_refused_one_is_given_back),
        cmocka_unit_test(parts_come_first),
        cmocka_unit_test(it_outlives_its_owner),
    };
    memset(large, 0x5a, sizeof large);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
