/* SPDX-License-Identifier: MPL-2.0 */
/* The ZRE mailbox on loopback: two of ours greet each other, and a hand-made peer that pings, skips
 * a number, claims to be elsewhere and sends garbage. Time is the test's. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "base/heap.h"
#include "base/limits.h"
#include "io/inbound.h"
#include "io/sockaddr.h"
#include "io/zre.h"
#include "wire/zre_msg.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#define WAIT_MS 5000
#define SECOND_NS 1000000000ULL

struct node {
    struct node_id id;
    struct metrics metrics;
    struct addr at;
    zre_t *zre;
};

static void node_open(struct node *n, void *ctx, uint8_t number, const char *mesh)
{
    memset(n, 0, sizeof *n);
    memset(n->id.b, number, sizeof n->id.b);
    struct zre_conf conf = {.zmq_ctx = ctx, .id = n->id, .mesh = mesh, .name = "node"};
    conf.metrics = &n->metrics;
    int rc = HM_EBUSY;
    for (uint16_t port = 28471; rc == HM_EBUSY && port < 28571; port++) {
        conf.bind = addr_v4(127, 0, 0, 1, port);
        rc = zre_new(&conf, &n->zre);
    }
    assert_int_equal(rc, HM_OK);
    n->at = conf.bind;
}

/* Reads what is there; waits until the count of understood or refused messages is reached. */
static int pump(struct node *n, uint64_t messages, uint64_t now_ns, struct addr *ret_addr,
                struct node_id *ret_id)
{
    int candidates = 0;
    for (;;) {
        while (zre_take(n->zre, now_ns, ret_addr, ret_id) == HM_OK) {
            candidates++;
        }
        if (n->metrics.value[M_ZRE_RECEIVED] + n->metrics.value[M_ZRE_MALFORMED] >= messages) {
            return candidates;
        }
        zmq_pollitem_t item = {zre_socket(n->zre), 0, ZMQ_POLLIN, 0};
        assert_true(zmq_poll(&item, 1, WAIT_MS) > 0);
    }
}

static void test_two_of_one_mesh(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node a, b;
    struct addr addr;
    struct node_id id;
    node_open(&a, ctx, 1, "lab");
    node_open(&b, ctx, 2, "lab");
    assert_int_equal(zre_deadline_ns(a.zre), TIMER_NEVER);
    zre_greet(a.zre, &b.at, &b.id, SECOND_NS);
    zre_greet(a.zre, &b.at, &b.id, SECOND_NS); /* once is enough */
    assert_int_equal(zre_peer_count(a.zre), 1);
    assert_int_equal(pump(&b, 1, SECOND_NS, &addr, &id), 1);
    assert_true(addr_eq(&addr, &a.at));
    assert_true(node_id_eq(&id, &a.id));
    assert_int_equal(zre_peer_count(b.zre), 1);
    assert_int_equal(pump(&a, 1, SECOND_NS, &addr, &id), 1);
    assert_true(addr_eq(&addr, &b.at));
    /* Silence: a ping each way after 5 s, answered; forgotten when nothing comes for 30 s. */
    assert_int_equal(zre_deadline_ns(a.zre), 6 * SECOND_NS);
    zre_tick(a.zre, 6 * SECOND_NS);
    assert_int_equal(zre_deadline_ns(a.zre), 11 * SECOND_NS);
    pump(&b, 2, 6 * SECOND_NS, &addr, &id);
    pump(&a, 2, 7 * SECOND_NS, &addr, &id);
    assert_int_equal(zre_peer_count(a.zre), 1);
    zre_tick(a.zre, 36 * SECOND_NS);
    assert_int_equal(zre_peer_count(a.zre), 1);
    zre_tick(a.zre, 37 * SECOND_NS);
    assert_int_equal(zre_peer_count(a.zre), 0);
    zre_destroy(&a.zre);
    zre_destroy(&b.zre);
    zmq_ctx_term(ctx);
}

static void test_other_mesh_is_no_candidate(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node a, b;
    struct addr addr;
    struct node_id id;
    node_open(&a, ctx, 1, "lab");
    node_open(&b, ctx, 2, "other");
    zre_greet(a.zre, &b.at, &b.id, SECOND_NS);
    assert_int_equal(pump(&b, 1, SECOND_NS, &addr, &id), 0);
    assert_int_equal(pump(&a, 1, SECOND_NS, &addr, &id), 0);
    assert_int_equal(zre_peer_count(a.zre), 1);
    zre_destroy(&a.zre);
    zre_destroy(&b.zre);
    zmq_ctx_term(ctx);
}

/* A peer made by hand: a mailbox, and a DEALER to the node's. */
struct hand {
    void *router;
    void *dealer;
    char endpoint[64];
    uint16_t sequence;
};

static void hand_open(struct hand *h, void *ctx, const struct node *n, uint8_t number)
{
    uint8_t identity[ZRE_IDENTITY_BYTES];
    struct node_id id;
    int linger = 0, timeout = WAIT_MS, one = 1;
    char text[ADDR_TEXT_BYTES], endpoint[ADDR_TEXT_BYTES + 8];
    size_t size = sizeof h->endpoint;
    memset(&id, number, sizeof id);
    zre_identity_write(&id, identity);
    h->sequence = 0;
    h->router = zmq_socket(ctx, ZMQ_ROUTER);
    h->dealer = zmq_socket(ctx, ZMQ_DEALER);
    zmq_setsockopt(h->router, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(h->router, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(h->router, ZMQ_ROUTER_HANDOVER, &one, sizeof one); /* as Zyre does */
    zmq_setsockopt(h->dealer, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(h->dealer, ZMQ_ROUTING_ID, identity, sizeof identity);
    assert_int_equal(zmq_bind(h->router, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(h->router, ZMQ_LAST_ENDPOINT, h->endpoint, &size), 0);
    snprintf(endpoint, sizeof endpoint, "tcp://%s", addr_format(&n->at, text));
    assert_int_equal(zmq_connect(h->dealer, endpoint), 0);
}

static void hand_send(struct hand *h, uint8_t id)
{
    struct buf b;
    struct zre_msg msg = {.id = id, .sequence = ++h->sequence};
    msg.endpoint = span_of(h->endpoint, strlen(h->endpoint));
    msg.group = span_of("g", 1);
    buf_init(&b, 1024);
    zre_msg_write(&b, &msg);
    zmq_send(h->dealer, b.data, b.size, 0);
    buf_fini(&b);
}

/* The next message that the node sends us. */
static void hand_expect(struct hand *h, uint8_t id, uint16_t sequence)
{
    uint8_t bytes[1024];
    struct zre_msg msg;
    assert_int_equal(zmq_recv(h->router, bytes, sizeof bytes, 0), ZRE_IDENTITY_BYTES);
    assert_int_equal(bytes[0], 1);
    int size = zmq_recv(h->router, bytes, sizeof bytes, 0);
    assert_true(size > 0);
    assert_int_equal(zre_msg_read(span_of(bytes, (size_t) size), &msg), HM_OK);
    assert_int_equal(msg.id, id);
    assert_int_equal(msg.sequence, sequence);
}

static void hand_close(struct hand *h)
{
    zmq_close(h->router);
    zmq_close(h->dealer);
}

static void test_a_zyre_peer(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node n;
    struct hand h;
    struct addr addr;
    struct node_id id;
    node_open(&n, ctx, 1, "lab");
    hand_open(&h, ctx, &n, 9);
    hand_send(&h, ZRE_PING); /* before HELLO: it is nobody yet */
    pump(&n, 1, SECOND_NS, &addr, &id);
    assert_int_equal(zre_peer_count(n.zre), 0);
    h.sequence = 0;
    hand_send(&h, ZRE_HELLO);
    hand_send(&h, ZRE_PING);
    hand_send(&h, ZRE_JOIN);
    hand_send(&h, 8);
    hand_send(&h, ZRE_PING);
    pump(&n, 6, SECOND_NS, &addr, &id);
    hand_expect(&h, ZRE_HELLO, 1);
    hand_expect(&h, ZRE_PING_OK, 2);
    hand_expect(&h, ZRE_PING_OK, 3);
    assert_int_equal(zre_peer_count(n.zre), 1);
    /* A gap: forgotten, and nothing of it counts until it greets again. */
    h.sequence += 2;
    hand_send(&h, ZRE_PING);
    pump(&n, 7, SECOND_NS, &addr, &id);
    assert_int_equal(zre_peer_count(n.zre), 0);
    h.sequence = 0;
    hand_send(&h, ZRE_HELLO);
    pump(&n, 8, SECOND_NS, &addr, &id);
    hand_expect(&h, ZRE_HELLO, 1);
    assert_int_equal(zre_peer_count(n.zre), 1);
    /* Greeting again is beginning again. */
    h.sequence = 0;
    hand_send(&h, ZRE_HELLO);
    pump(&n, 9, SECOND_NS, &addr, &id);
    hand_expect(&h, ZRE_HELLO, 1);
    assert_int_equal(zre_peer_count(n.zre), 1);
    hand_close(&h);
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

static void test_garbage(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node n;
    struct hand h;
    struct addr addr;
    struct node_id id;
    node_open(&n, ctx, 1, "lab");
    hand_open(&h, ctx, &n, 9);
    zmq_send(h.dealer, "", 0, 0);
    zmq_send(h.dealer, "\xaa\xa1\x01\x02\x00\x01\xff", 7, 0);
    for (int i = 0; i < 5; i++) {
        zmq_send(h.dealer, "many", 4, ZMQ_SNDMORE);
    }
    zmq_send(h.dealer, "frames", 6, 0);
    snprintf(h.endpoint, sizeof h.endpoint, "tcp://*:80");
    hand_send(&h, ZRE_HELLO);
    pump(&n, 4, SECOND_NS, &addr, &id);
    /* An identity that is none. */
    void *stranger = zmq_socket(ctx, ZMQ_DEALER);
    char text[ADDR_TEXT_BYTES], endpoint[ADDR_TEXT_BYTES + 8];
    int linger = 0;
    zmq_setsockopt(stranger, ZMQ_LINGER, &linger, sizeof linger);
    snprintf(endpoint, sizeof endpoint, "tcp://%s", addr_format(&n.at, text));
    zmq_connect(stranger, endpoint);
    zmq_send(stranger, "\xaa\xa1\x06\x02\x00\x01", 6, 0);
    pump(&n, 5, SECOND_NS, &addr, &id);
    assert_int_equal(n.metrics.value[M_ZRE_MALFORMED] + n.metrics.value[M_ZRE_RECEIVED], 5);
    assert_int_equal(n.metrics.value[M_ZRE_MALFORMED], 4);
    assert_int_equal(zre_peer_count(n.zre), 0);
    zmq_close(stranger);
    hand_close(&h);
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

/* A HELLO cannot make us dial a third: the address is the connection's, only the port is its own.
 */
static void test_endpoint_of_somebody_else(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node n;
    struct hand h;
    struct addr addr;
    struct node_id id;
    char *colon;
    char real[64];
    node_open(&n, ctx, 1, "lab");
    hand_open(&h, ctx, &n, 9);
    snprintf(real, sizeof real, "%s", h.endpoint);
    colon = strrchr(real, ':');
    assert_non_null(colon);
    snprintf(h.endpoint, sizeof h.endpoint, "tcp://192.0.2.1%.10s", colon);
    hand_send(&h, ZRE_HELLO);
    pump(&n, 1, SECOND_NS, &addr, &id);
    hand_expect(&h, ZRE_HELLO, 1); /* it came to 127.0.0.1 */
    hand_close(&h);
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

static void test_table_is_bounded(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node n;
    node_open(&n, ctx, 1, "lab");
    for (unsigned i = 0; i < HM_ZRE_PEERS_MAX + 5; i++) {
        struct node_id id;
        struct addr to = addr_v4(127, 0, 0, 1, (uint16_t) (1 + i));
        memset(id.b, (int) (i + 2), sizeof id.b);
        zre_greet(n.zre, &to, &id, SECOND_NS);
    }
    assert_int_equal(zre_peer_count(n.zre), HM_ZRE_PEERS_MAX);
    assert_int_equal(n.metrics.value[M_DROP_FULL], 5);
    zre_tick(n.zre, 31 * SECOND_NS);
    assert_int_equal(zre_peer_count(n.zre), 0);
    struct zre_conf again = {.zmq_ctx = ctx, .id = n.id, .mesh = "lab", .name = "x", .bind = n.at};
    zre_t *second = NULL;
    again.metrics = &n.metrics;
    assert_int_equal(zre_new(&again, &second), HM_EBUSY);
    assert_null(second);
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

/* True if the other side has closed it within the time. */
static bool is_closed(int fd, int timeout_ms)
{
    uint8_t bytes[128];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, timeout_ms) > 0) {
        if (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0) {
            return true;
        }
    }
    return false;
}

static void test_connections_are_bounded(void **state)
{
    (void) state;
    enum { MORE = 10 };
    void *ctx = zmq_ctx_new();
    struct node n;
    struct addr addr;
    struct node_id id;
    struct sockaddr_storage sa;
    int fds[INBOUND_MAX + MORE];
    node_open(&n, ctx, 1, "lab");
    socklen_t size = sockaddr_of_addr(&n.at, &sa);
    for (size_t i = 0; i < INBOUND_MAX + MORE; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fds[i], (struct sockaddr *) &sa, size), 0);
        assert_int_equal(zre_take(n.zre, SECOND_NS, &addr, &id), HM_ENOTFOUND);
    }
    while (n.metrics.value[M_DROP_FULL] < MORE) {
        zmq_pollitem_t item = {zre_monitor(n.zre), 0, ZMQ_POLLIN, 0};
        assert_true(zmq_poll(&item, 1, WAIT_MS) > 0);
        assert_int_equal(zre_take(n.zre, SECOND_NS, &addr, &id), HM_ENOTFOUND);
    }
    for (size_t i = 0; i < MORE; i++) {
        assert_true(is_closed(fds[i], WAIT_MS)); /* the oldest gave way */
    }
    assert_false(is_closed(fds[MORE], 0));
    assert_false(is_closed(fds[INBOUND_MAX + MORE - 1], 0));
    for (size_t i = 0; i < INBOUND_MAX + MORE; i++) {
        close(fds[i]);
    }
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_of_one_mesh),
        cmocka_unit_test(test_other_mesh_is_no_candidate),
        cmocka_unit_test(test_a_zyre_peer),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_endpoint_of_somebody_else),
        cmocka_unit_test(test_table_is_bounded),
        cmocka_unit_test(test_connections_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
