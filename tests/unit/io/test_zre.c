/* SPDX-License-Identifier: MPL-2.0 */
/* The ZRE mailbox on loopback: two of ours greet each other, and a peer made of libzmq's sockets, as
 * Zyre's are, that pings, skips a number, claims to be elsewhere and sends garbage; and strangers who
 * speak ZMTP badly. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "base/heap.h"
#include "base/limits.h"
#include "io/sockaddr.h"
#include "io/zre.h"
#include "wire/zmtp.h"
#include "wire/zre_msg.h"

#include <arpa/inet.h>
#include <errno.h>
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
    unsigned candidates; /* told so far, and the last one */
    struct addr candidate;
    struct node_id candidate_id;
    unsigned whispers; /* told so far, and the last one */
    struct addr whisper_from;
    uint8_t whisper[HM_DATAGRAM_BYTES_MAX];
    size_t whisper_bytes;
};

static reactor_t *reactor;

static int open_reactor(void **state)
{
    (void) state;
    reactor = reactor_new();
    return reactor == NULL ? -1 : 0;
}

static int close_reactor(void **state)
{
    (void) state;
    reactor_destroy(&reactor);
    return 0;
}

static void on_candidate(void *ctx, const struct addr *at, const struct node_id *id)
{
    struct node *n = ctx;
    n->candidates++;
    n->candidate = *at;
    n->candidate_id = *id;
}

static void on_whisper(void *ctx, const struct addr *from, struct span content)
{
    struct node *n = ctx;
    n->whispers++;
    n->whisper_from = *from;
    assert_true(content.size <= sizeof n->whisper);
    memcpy(n->whisper, content.data, content.size);
    n->whisper_bytes = content.size;
}

static int node_try(struct node *n, const char *mesh, uint16_t port)
{
    struct zre_conf conf = {.reactor = reactor,
                            .bind = addr_v4(127, 0, 0, 1, port),
                            .id = n->id,
                            .mesh = mesh,
                            .name = "node",
                            .metrics = &n->metrics,
                            .candidate = on_candidate,
                            .whisper = on_whisper,
                            .ctx = n};
    n->at = conf.bind;
    return zre_new(&conf, &n->zre);
}

static void node_open(struct node *n, uint8_t number, const char *mesh)
{
    memset(n, 0, sizeof *n);
    memset(n->id.b, number, sizeof n->id.b);
    int rc = HM_EBUSY;
    for (uint16_t port = 28471; rc == HM_EBUSY && port < 28571; port++) {
        rc = node_try(n, mesh, port);
    }
    assert_int_equal(rc, HM_OK);
}

static void both_close(struct node *a, struct node *b)
{
    zre_destroy(&a->zre);
    zre_destroy(&b->zre);
}

static uint64_t messages(const struct node *n)
{
    return n->metrics.value[M_ZRE_RECEIVED] + n->metrics.value[M_ZRE_MALFORMED];
}

static void turn(int ms)
{
    assert_int_equal(
        reactor_turn(reactor, reactor_now_ns(reactor) + (uint64_t) ms * (SECOND_NS / 1000)), HM_OK);
}

/* Turns the loop until the condition holds, for WAIT_MS at most. */
#define TURN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        uint64_t end_ns_ = reactor_now_ns(reactor) + WAIT_MS * (SECOND_NS / 1000);                 \
        while (!(condition)) {                                                                     \
            assert_true(reactor_now_ns(reactor) < end_ns_);                                        \
            turn(10);                                                                              \
        }                                                                                          \
    } while (0)

/* Until so many messages were understood or refused. */
static void pump(const struct node *n, uint64_t count)
{
    TURN_UNTIL(messages(n) >= count);
    assert_int_equal(messages(n), count);
}

static void test_two_of_one_mesh(void **state)
{
    (void) state;
    struct node a, b;
    uint64_t now_ns = reactor_now_ns(reactor);
    node_open(&a, 1, "lab");
    node_open(&b, 2, "lab");
    assert_int_equal(zre_deadline_ns(a.zre), TIMER_NEVER);
    zre_greet(a.zre, &b.at, &b.id, now_ns);
    zre_greet(a.zre, &b.at, &b.id, now_ns); /* once is enough */
    assert_int_equal(zre_peer_count(a.zre), 1);
    pump(&b, 1);
    assert_int_equal(b.candidates, 1);
    assert_true(addr_eq(&b.candidate, &a.at));
    assert_true(node_id_eq(&b.candidate_id, &a.id));
    assert_int_equal(zre_peer_count(b.zre), 1);
    pump(&a, 1);
    assert_int_equal(a.candidates, 1);
    assert_true(addr_eq(&a.candidate, &b.at));
    /* Silence: a ping each way after 5 s, answered; forgotten when nothing comes for 30 s. */
    uint64_t heard_ns = zre_deadline_ns(a.zre) - 5 * SECOND_NS;
    assert_true(heard_ns >= now_ns && heard_ns <= reactor_now_ns(reactor));
    zre_tick(a.zre, heard_ns + 5 * SECOND_NS);
    assert_int_equal(zre_deadline_ns(a.zre), heard_ns + 10 * SECOND_NS);
    pump(&b, 2);
    pump(&a, 2);
    assert_int_equal(zre_peer_count(a.zre), 1);
    uint64_t answered_ns = reactor_now_ns(reactor); /* at the latest */
    zre_tick(a.zre, heard_ns + 30 * SECOND_NS - 1);
    assert_int_equal(zre_peer_count(a.zre), 1);
    zre_tick(a.zre, answered_ns + 30 * SECOND_NS);
    assert_int_equal(zre_peer_count(a.zre), 0);
    assert_int_equal(a.metrics.value[M_ZRE_CUT] + b.metrics.value[M_ZRE_CUT], 0);
    both_close(&a, &b);
}

/* Sealed bytes travel between those that named one mesh, either way, in order. */
static void test_whispers(void **state)
{
    (void) state;
    struct node a, b;
    static const struct node_id nobody;
    uint8_t bytes[HM_DATAGRAM_BYTES_MAX];
    memset(bytes, 0x5a, sizeof bytes);
    node_open(&a, 1, "lab");
    node_open(&b, 2, "lab");
    assert_int_equal(zre_whisper(a.zre, &b.at, &b.id, span_of("x", 1)), HM_ENOTFOUND);
    zre_greet(a.zre, &b.at, &nobody, reactor_now_ns(reactor));
    /* It has not greeted us yet: it may be anybody's. */
    assert_int_equal(zre_whisper(a.zre, &b.at, &nobody, span_of("x", 1)), HM_ENOTFOUND);
    pump(&b, 1);
    pump(&a, 1);
    assert_int_equal(zre_whisper(a.zre, &b.at, &nobody, span_of(bytes, sizeof bytes)), HM_OK);
    assert_int_equal(zre_whisper(a.zre, &b.at, &b.id, span_of("second", 6)), HM_OK);
    assert_int_equal(zre_whisper(b.zre, &a.at, &a.id, span_of("answer", 6)), HM_OK);
    TURN_UNTIL(b.whispers >= 1);
    assert_true(addr_eq(&b.whisper_from, &a.at));
    TURN_UNTIL(b.whispers >= 2 && a.whispers >= 1);
    assert_int_equal(b.whisper_bytes, 6);
    assert_memory_equal(b.whisper, "second", 6);
    assert_memory_equal(a.whisper, "answer", 6);
    both_close(&a, &b);
}

/* Two of different meshes, after their greetings. */
static void strangers_meet(struct node *a, struct node *b)
{
    node_open(a, 1, "lab");
    node_open(b, 2, "other");
    zre_greet(a->zre, &b->at, &b->id, reactor_now_ns(reactor));
    pump(b, 1);
    pump(a, 1);
}

/* Programs of others get none of ours, and theirs go nowhere. */
static void test_no_whispers_to_others(void **state)
{
    (void) state;
    struct node a, b;
    strangers_meet(&a, &b);
    assert_int_equal(zre_whisper(a.zre, &b.at, &b.id, span_of("x", 1)), HM_ENOTFOUND);
    both_close(&a, &b);
}

static void test_other_mesh_is_no_candidate(void **state)
{
    (void) state;
    struct node a, b;
    strangers_meet(&a, &b);
    assert_int_equal(a.candidates + b.candidates, 0);
    assert_int_equal(zre_peer_count(a.zre), 1);
    both_close(&a, &b);
}

/* A peer made by hand: a mailbox, and a DEALER to the node's, with libzmq's heartbeat if asked. */
struct hand {
    void *router;
    void *dealer;
    char endpoint[64];
    uint16_t sequence;
};

static void set_int(void *socket, int option, int value)
{
    assert_int_equal(zmq_setsockopt(socket, option, &value, sizeof value), 0);
}

static void hand_open(struct hand *h, void *ctx, const struct node *n, uint8_t number,
                      int heartbeat_ms)
{
    uint8_t identity[ZRE_IDENTITY_BYTES];
    struct node_id id;
    char text[ADDR_TEXT_BYTES], endpoint[ADDR_TEXT_BYTES + 8];
    size_t size = sizeof h->endpoint;
    memset(&id, number, sizeof id);
    zre_identity_write(&id, identity);
    h->sequence = 0;
    h->router = zmq_socket(ctx, ZMQ_ROUTER);
    h->dealer = zmq_socket(ctx, ZMQ_DEALER);
    for (int i = 0; i < 2; i++) {
        void *socket = i == 0 ? h->router : h->dealer;
        set_int(socket, ZMQ_LINGER, 0);
        if (heartbeat_ms != 0) {
            set_int(socket, ZMQ_HEARTBEAT_IVL, heartbeat_ms);
            set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 4 * heartbeat_ms);
            set_int(socket, ZMQ_HEARTBEAT_TTL, 8 * heartbeat_ms);
        }
    }
    set_int(h->router, ZMQ_ROUTER_HANDOVER, 1); /* as Zyre does */
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

/* The next frame of the router's. */
static size_t hand_receive(struct hand *h, uint8_t *bytes, size_t room)
{
    int size = -1;
    TURN_UNTIL((size = zmq_recv(h->router, bytes, room, ZMQ_DONTWAIT)) >= 0);
    return (size_t) size;
}

/* The next message that the node sends us. */
static void hand_expect(struct hand *h, uint8_t id, uint16_t sequence)
{
    uint8_t bytes[1024];
    struct zre_msg msg;
    assert_int_equal(hand_receive(h, bytes, sizeof bytes), ZRE_IDENTITY_BYTES);
    assert_int_equal(bytes[0], 1);
    size_t size = hand_receive(h, bytes, sizeof bytes);
    assert_true(size > 0);
    assert_int_equal(zre_msg_read(span_of(bytes, size), &msg), HM_OK);
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
    node_open(&n, 1, "lab");
    hand_open(&h, ctx, &n, 9, 0);
    hand_send(&h, ZRE_PING); /* before HELLO: it is nobody yet */
    pump(&n, 1);
    assert_int_equal(zre_peer_count(n.zre), 0);
    h.sequence = 0;
    hand_send(&h, ZRE_HELLO);
    hand_send(&h, ZRE_PING);
    hand_send(&h, ZRE_JOIN);
    hand_send(&h, 8);
    hand_send(&h, ZRE_PING);
    pump(&n, 6);
    hand_expect(&h, ZRE_HELLO, 1);
    hand_expect(&h, ZRE_PING_OK, 2);
    hand_expect(&h, ZRE_PING_OK, 3);
    assert_int_equal(zre_peer_count(n.zre), 1);
    /* A gap: forgotten, and nothing of it counts until it greets again. */
    h.sequence += 2;
    hand_send(&h, ZRE_PING);
    pump(&n, 7);
    assert_int_equal(zre_peer_count(n.zre), 0);
    h.sequence = 0;
    hand_send(&h, ZRE_HELLO);
    pump(&n, 8);
    hand_expect(&h, ZRE_HELLO, 1);
    assert_int_equal(zre_peer_count(n.zre), 1);
    /* Greeting again is beginning again. */
    h.sequence = 0;
    hand_send(&h, ZRE_HELLO);
    pump(&n, 9);
    hand_expect(&h, ZRE_HELLO, 1);
    assert_int_equal(zre_peer_count(n.zre), 1);
    hand_close(&h);
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

/* What the monitor saw, up to now. */
static unsigned events_seen(void *monitor, uint16_t which)
{
    unsigned seen = 0;
    uint8_t event[6];
    uint8_t endpoint[256];
    while (zmq_recv(monitor, event, sizeof event, ZMQ_DONTWAIT) >= 0) {
        uint16_t number;
        memcpy(&number, event, sizeof number);
        seen += number == which;
        zmq_recv(monitor, endpoint, sizeof endpoint, 0);
    }
    return seen;
}

static void *monitor_of(void *ctx, void *socket, const char *name)
{
    void *monitor = zmq_socket(ctx, ZMQ_PAIR);
    assert_int_equal(zmq_socket_monitor(socket, name, ZMQ_EVENT_DISCONNECTED), 0);
    assert_int_equal(zmq_connect(monitor, name), 0);
    set_int(monitor, ZMQ_LINGER, 0);
    return monitor;
}

/* Libzmq's heartbeat on both connections: were its PINGs not answered, it would end them after
 * 200 ms. Large content is skipped meanwhile. */
static void test_heartbeats(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node n;
    struct hand h;
    static uint8_t content[HM_ZMTP_CONTENT_BYTES_MAX];
    node_open(&n, 1, "lab");
    hand_open(&h, ctx, &n, 9, 50);
    void *router_monitor = monitor_of(ctx, h.router, "inproc://router");
    void *dealer_monitor = monitor_of(ctx, h.dealer, "inproc://dealer");
    hand_send(&h, ZRE_HELLO);
    hand_expect(&h, ZRE_HELLO, 1);
    uint64_t end_ns = reactor_now_ns(reactor) + SECOND_NS;
    uint16_t answers = 1;
    while (reactor_now_ns(reactor) < end_ns) {
        uint8_t whisper[] = {0xaa, 0xa1, ZRE_WHISPER, 2, 0, 0};
        h.sequence++;
        whisper[4] = (uint8_t) (h.sequence >> 8);
        whisper[5] = (uint8_t) h.sequence;
        zmq_send(h.dealer, whisper, sizeof whisper, ZMQ_SNDMORE);
        zmq_send(h.dealer, content, sizeof content, ZMQ_SNDMORE);
        zmq_send(h.dealer, content, 255, ZMQ_SNDMORE);
        zmq_send(h.dealer, "", 0, 0);
        hand_send(&h, ZRE_PING);
        hand_expect(&h, ZRE_PING_OK, ++answers);
        for (int i = 0; i < 10; i++) {
            turn(10);
        }
    }
    assert_int_equal(messages(&n), h.sequence);
    assert_int_equal(n.metrics.value[M_ZRE_MALFORMED], 0);
    assert_int_equal(n.metrics.value[M_ZRE_CUT], 0);
    assert_int_equal(events_seen(router_monitor, ZMQ_EVENT_DISCONNECTED), 0);
    assert_int_equal(events_seen(dealer_monitor, ZMQ_EVENT_DISCONNECTED), 0);
    zmq_close(router_monitor);
    zmq_close(dealer_monitor);
    hand_close(&h);
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

/* We greet first, and it is libzmq's ROUTER that we greet. */
static void test_greeting_a_zyre_peer(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node n;
    struct hand h;
    struct addr to;
    struct node_id nobody = {{0}};
    node_open(&n, 1, "lab");
    hand_open(&h, ctx, &n, 9, 0);
    assert_int_equal(zre_endpoint_read(span_of(h.endpoint, strlen(h.endpoint)), &to), HM_OK);
    zre_greet(n.zre, &to, &nobody, reactor_now_ns(reactor));
    hand_expect(&h, ZRE_HELLO, 1);
    hand_send(&h, ZRE_HELLO);
    hand_send(&h, ZRE_PING);
    hand_expect(&h, ZRE_PING_OK, 2);
    assert_int_equal(zre_peer_count(n.zre), 1);
    /* What comes back on that connection means nothing, and does no harm. */
    uint8_t identity[ZRE_IDENTITY_BYTES];
    zre_identity_write(&n.id, identity);
    zmq_send(h.router, identity, sizeof identity, ZMQ_SNDMORE);
    zmq_send(h.router, "what", 4, 0);
    hand_send(&h, ZRE_PING);
    hand_expect(&h, ZRE_PING_OK, 3);
    assert_int_equal(messages(&n), 3);
    hand_close(&h);
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

/* A peer that was greeted before it listened is answered when it greets. */
static void test_greeted_too_early(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node n;
    struct hand h;
    node_open(&n, 1, "lab");
    hand_open(&h, ctx, &n, 9, 0);
    struct addr to;
    struct node_id id;
    memset(&id, 9, sizeof id);
    assert_int_equal(zre_endpoint_read(span_of(h.endpoint, strlen(h.endpoint)), &to), HM_OK);
    zmq_unbind(h.router, h.endpoint);
    struct pollfd none = {.fd = -1};
    poll(&none, 1, 50); /* libzmq unbinds in its own thread */
    zre_greet(n.zre, &to, &id, reactor_now_ns(reactor));
    turn(10);
    assert_int_equal(zre_peer_count(n.zre), 1);
    assert_int_equal(zmq_bind(h.router, h.endpoint), 0);
    hand_send(&h, ZRE_HELLO);
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
    node_open(&n, 1, "lab");
    hand_open(&h, ctx, &n, 9, 0);
    zmq_send(h.dealer, "", 0, 0);
    zmq_send(h.dealer, "\xaa\xa1\x01\x02\x00\x01\xff", 7, 0);
    for (int i = 0; i < 5; i++) {
        zmq_send(h.dealer, "many", 4, ZMQ_SNDMORE);
    }
    zmq_send(h.dealer, "frames", 6, 0);
    snprintf(h.endpoint, sizeof h.endpoint, "tcp://*:80");
    hand_send(&h, ZRE_HELLO); /* understood, and then refused */
    pump(&n, 5);
    /* An identity that is none. */
    void *stranger = zmq_socket(ctx, ZMQ_DEALER);
    char text[ADDR_TEXT_BYTES], endpoint[ADDR_TEXT_BYTES + 8];
    set_int(stranger, ZMQ_LINGER, 0);
    snprintf(endpoint, sizeof endpoint, "tcp://%s", addr_format(&n.at, text));
    zmq_connect(stranger, endpoint);
    zmq_send(stranger, "\xaa\xa1\x06\x02\x00\x01", 6, 0);
    pump(&n, 6);
    assert_int_equal(n.metrics.value[M_ZRE_MALFORMED], 5);
    assert_int_equal(n.metrics.value[M_ZRE_CUT], 0);
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
    char *colon;
    char real[64];
    node_open(&n, 1, "lab");
    hand_open(&h, ctx, &n, 9, 0);
    snprintf(real, sizeof real, "%s", h.endpoint);
    colon = strrchr(real, ':');
    assert_non_null(colon);
    snprintf(h.endpoint, sizeof h.endpoint, "tcp://192.0.2.1%.10s", colon);
    hand_send(&h, ZRE_HELLO);
    pump(&n, 1);
    hand_expect(&h, ZRE_HELLO, 1); /* it came to 127.0.0.1 */
    hand_close(&h);
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

static void test_table_is_bounded(void **state)
{
    (void) state;
    struct node n, second;
    uint64_t now_ns = reactor_now_ns(reactor);
    node_open(&n, 1, "lab");
    for (unsigned i = 0; i < HM_ZRE_PEERS_MAX + 5; i++) {
        struct node_id id;
        struct addr to = addr_v4(127, 0, 0, 1, (uint16_t) (1 + i));
        memset(id.b, (int) (i + 2), sizeof id.b);
        zre_greet(n.zre, &to, &id, now_ns);
    }
    assert_int_equal(zre_peer_count(n.zre), HM_ZRE_PEERS_MAX);
    assert_int_equal(n.metrics.value[M_DROP_FULL], 5);
    zre_tick(n.zre, now_ns + 31 * SECOND_NS);
    assert_int_equal(zre_peer_count(n.zre), 0);
    memset(&second, 0, sizeof second);
    assert_int_equal(node_try(&second, "lab", n.at.port), HM_EBUSY);
    assert_null(second.zre);
    zre_destroy(&n.zre);
}

/* Peers that are not there, or do not speak, give way to one that does. */
static void test_full_of_strangers(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node n;
    struct hand h;
    uint64_t now_ns = reactor_now_ns(reactor);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof sa;
    int mute = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* accepts, and says nothing */
    assert_int_equal(bind(mute, (struct sockaddr *) &sa, size), 0);
    assert_int_equal(listen(mute, 64), 0);
    assert_int_equal(getsockname(mute, (struct sockaddr *) &sa, &size), 0);
    for (uint8_t round = 0; round < 2; round++) {
        node_open(&n, 1, "lab");
        hand_open(&h, ctx, &n, 200, 0);
        for (unsigned i = 0; i < HM_ZRE_PEERS_MAX; i++) {
            struct node_id id;
            struct addr to = addr_v4(127, 0, (uint8_t) i, 1, round == 0 ? 1 : ntohs(sa.sin_port));
            memset(id.b, (int) (i + 2), sizeof id.b);
            zre_greet(n.zre, &to, &id, now_ns);
        }
        assert_int_equal(zre_peer_count(n.zre), HM_ZRE_PEERS_MAX);
        turn(10);
        hand_send(&h, ZRE_HELLO);
        hand_expect(&h, ZRE_HELLO, 1);
        assert_int_equal(zre_peer_count(n.zre), HM_ZRE_PEERS_MAX);
        hand_close(&h);
        zre_destroy(&n.zre);
    }
    close(mute);
    zmq_ctx_term(ctx);
}

/* zyre.js counts 65534, 0; RFC 36 and Zyre 65534, 65535, 0. Neither is a gap. */
static void test_counters_wrap(void **state)
{
    (void) state;
    static const uint16_t lasts[] = {65534, 65535};
    for (size_t i = 0; i < 2; i++) {
        void *ctx = zmq_ctx_new();
        struct node n;
        struct hand h;
        node_open(&n, 1, "lab");
        hand_open(&h, ctx, &n, 9, 0);
        h.sequence = (uint16_t) (lasts[i] - 2);
        hand_send(&h, ZRE_HELLO);
        hand_expect(&h, ZRE_HELLO, 1);
        hand_send(&h, ZRE_PING);
        hand_expect(&h, ZRE_PING_OK, 2);
        h.sequence = UINT16_MAX;
        hand_send(&h, ZRE_PING);
        hand_expect(&h, ZRE_PING_OK, 3);
        hand_send(&h, ZRE_PING);
        hand_expect(&h, ZRE_PING_OK, 4);
        hand_close(&h);
        zre_destroy(&n.zre);
        zmq_ctx_term(ctx);
    }
}

/* Each field of each message, with a lie in it: RFC 36's layout, of which `at` is overwritten. */
static const struct {
    uint8_t id;
    const char *field;
    size_t at;
    const char *lie;
    size_t bytes;
} lies[] = {
    {ZRE_HELLO, "signature", 0, "\xaa\xa2", 2},
    {ZRE_HELLO, "id", 2, "\0", 1},
    {ZRE_HELLO, "version", 3, "\1", 1},
    {ZRE_HELLO, "length of endpoint", 6, "\xff", 1},
    {ZRE_HELLO, "endpoint", 7, "udp", 3},
    {ZRE_HELLO, "port of the endpoint", 13, "0.0.0.0:0", 9},
    {ZRE_HELLO, "count of groups", 22, "\xff\xff\xff\xff", 4},
    {ZRE_HELLO, "length of a group", 26, "\0\0\1\0", 4},
    {ZRE_HELLO, "length of name", 33, "\xff", 1},
    {ZRE_HELLO, "count of headers", 36, "\0\0\0\2", 4},
    {ZRE_HELLO, "length of a key", 40, "\xff", 1},
    {ZRE_HELLO, "length of a value", 42, "\x7f\xff\xff\xff", 4},
    {ZRE_WHISPER, "signature", 1, "\xa0", 1},
    {ZRE_WHISPER, "version", 3, "\xff", 1},
    {ZRE_SHOUT, "length of group", 6, "\4", 1},
    {ZRE_JOIN, "id", 2, "\0", 1},
    {ZRE_JOIN, "length of group", 6, "\3", 1},
    {ZRE_LEAVE, "length of group", 6, "\xff", 1},
    {ZRE_PING, "signature", 0, "\0", 1},
    {ZRE_PING_OK, "version", 3, "\0", 1},
};

/* The message with the lie; HELLO: "tcp://1.2.3.4:5", group "g1", 1, "me", header K: v. */
static size_t lie_message(size_t idx, uint8_t bytes[64])
{
    static const char hello[] = "\xaa\xa1\1\2\0\2\017tcp://1.2.3.4:5\0\0\0\1\0\0\0\2g1\1\2me"
                                "\0\0\0\1\1K\0\0\0\1v";
    size_t size = sizeof hello - 1;
    memcpy(bytes, hello, size);
    if (lies[idx].id != ZRE_HELLO) {
        size = lies[idx].id == ZRE_SHOUT                                   ? 9
               : lies[idx].id == ZRE_JOIN || lies[idx].id == ZRE_LEAVE ? 10
                                                                           : 6;
        bytes[2] = lies[idx].id;
        memcpy(bytes + 6, "\2g1\1", 4);
    }
    memcpy(bytes + lies[idx].at, lies[idx].lie, lies[idx].bytes);
    return size;
}

/* A peer that lies in any field of any message is counted and no peer any more; it may begin anew. */
static void test_every_field_a_lie(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    struct node n;
    struct hand h;
    node_open(&n, 1, "lab");
    hand_open(&h, ctx, &n, 9, 0);
    for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
        uint8_t bytes[64];
        size_t size = lie_message(i, bytes);
        uint64_t malformed = n.metrics.value[M_ZRE_MALFORMED];
        h.sequence = 0;
        hand_send(&h, ZRE_HELLO);
        hand_expect(&h, ZRE_HELLO, 1);
        assert_int_equal(zre_peer_count(n.zre), 1);
        zmq_send(h.dealer, bytes, size, 0);
        TURN_UNTIL(n.metrics.value[M_ZRE_MALFORMED] > malformed);
        if (n.metrics.value[M_ZRE_MALFORMED] != malformed + 1 || zre_peer_count(n.zre) != 0) {
            fail_msg("message %u, %s", lies[i].id, lies[i].field);
        }
    }
    assert_int_equal(n.candidates, 0);
    hand_close(&h);
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

/* ---- strangers ------------------------------------------------------------------------------- */

static int stranger_open(const struct node *n)
{
    struct sockaddr_storage sa;
    socklen_t size = sockaddr_of_addr(&n->at, &sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_true(connect(fd, (struct sockaddr *) &sa, size) == 0 || errno == EINPROGRESS);
    return fd;
}

/* Sends all, with a turn of the loop whenever the kernel takes no more; false if it was closed. */
static bool stranger_send(int fd, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return false;
        }
        if (sent < 0) {
            turn(1);
            continue;
        }
        at += sent;
        size -= (size_t) sent;
    }
    return true;
}

static bool stranger_greet(int fd, uint8_t number)
{
    struct buf b;
    uint8_t identity[ZRE_IDENTITY_BYTES];
    struct node_id id;
    memset(&id, number, sizeof id);
    zre_identity_write(&id, identity);
    buf_init(&b, 512);
    zmtp_greeting_write(&b);
    zmtp_ready_write(&b, ZMTP_DEALER, span_of(identity, sizeof identity));
    bool sent = stranger_send(fd, b.data, b.size);
    buf_fini(&b);
    return sent;
}

/* True if the other side has closed it by now. */
static bool is_closed(int fd)
{
    uint8_t bytes[4096];
    ssize_t got;
    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0) {
    }
    return got == 0 || (errno != EAGAIN && errno != ENOTCONN);
}

static void test_wrong_zmtp(void **state)
{
    (void) state;
    static const struct {
        const char *what;
        const char *hex; /* after the handshake if it does not begin with '!' */
    } rows[] = {
        {"an endless message", "01 01 61"},
        {"empty frames without end", "01 00"},
        {"a frame of 2^63 bytes", "02 80 00 00 00 00 00 00 00"},
        {"a first frame that is too large", "02 00 00 00 00 00 00 20 01"},
        {"content that is too large", "01 00 02 00 00 00 00 00 01 00 01"},
        {"a reserved flag", "08 00"},
        {"READY twice", "04 06 05 52 45 41 44 59"},
        {"SUBSCRIBE", "04 0a 09 53 55 42 53 43 52 49 42 45"},
        {"ERROR", "04 07 05 45 52 52 4f 52 00"},
        {"a browser", "!47 45 54"},
        {"ZMTP 1", "!01 00"},
        {"ZMTP 2", "!ff 00 00 00 00 00 00 00 01 7f 01 05"},
        {"a message before READY", "!ff 00 00 00 00 00 00 00 01 7f 03 00 4e 55 4c 4c"
                                   "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
                                   "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
                                   "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
                                   "00 01 61"},
    };
    struct node n;
    node_open(&n, 1, "lab");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t bytes[128];
        bool is_greeted = rows[i].hex[0] != '!';
        size_t size = hex_bytes(rows[i].hex + !is_greeted, bytes, sizeof bytes);
        int fd = stranger_open(&n);
        print_message("%s\n", rows[i].what);
        assert_true(!is_greeted || stranger_greet(fd, (uint8_t) (i + 2)));
        /* Often enough for whatever ends only by its number. */
        for (unsigned times = 0; times < (is_greeted ? HM_ZMTP_FRAMES_MAX + 1 : 1); times++) {
            stranger_send(fd, bytes, size);
        }
        TURN_UNTIL(is_closed(fd));
        assert_int_equal(n.metrics.value[M_ZRE_CUT], i + 1);
        close(fd);
    }
    assert_int_equal(messages(&n), 0);
    zre_destroy(&n.zre);
}

/* Three seconds for the handshake, and nothing wakes the loop afterwards. */
static void test_slow_handshake(void **state)
{
    (void) state;
    struct node n;
    node_open(&n, 1, "lab");
    uint64_t start_ns = reactor_now_ns(reactor);
    int silent = stranger_open(&n);
    int good = stranger_open(&n);
    assert_true(stranger_greet(good, 7));
    TURN_UNTIL(n.metrics.value[M_ZRE_CUT] == 1);
    assert_true(reactor_now_ns(reactor) - start_ns >= 29 * SECOND_NS / 10);
    assert_true(is_closed(silent));
    assert_false(is_closed(good));
    close(silent);
    close(good);
    zre_destroy(&n.zre);
}

/* Who does not read what we send is no burden: PONGs are not piled up. */
static void test_deaf_stranger(void **state)
{
    (void) state;
    static const uint8_t ping[] = {4, 7, 4, 'P', 'I', 'N', 'G', 0, 1};
    uint8_t many[sizeof ping * 100];
    struct node n;
    node_open(&n, 1, "lab");
    for (size_t i = 0; i < 100; i++) {
        memcpy(many + i * sizeof ping, ping, sizeof ping);
    }
    int fd = stranger_open(&n);
    int small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_true(stranger_greet(fd, 7));
    for (int i = 0; i < 200; i++) {
        assert_true(stranger_send(fd, many, sizeof many));
    }
    assert_int_equal(n.metrics.value[M_ZRE_CUT], 0);
    close(fd);
    zre_destroy(&n.zre);
}

/* The oldest give way, at once, but for the peers that we know. */
static void test_connections_are_bounded(void **state)
{
    (void) state;
    enum { MORE = 10 };
    void *ctx = zmq_ctx_new();
    struct node n;
    struct hand h;
    int fds[HM_ZRE_CONNECTIONS_MAX + MORE];
    node_open(&n, 1, "lab");
    hand_open(&h, ctx, &n, 9, 0);
    hand_send(&h, ZRE_HELLO);
    hand_expect(&h, ZRE_HELLO, 1);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        fds[i] = stranger_open(&n);
        turn(1);
    }
    TURN_UNTIL(n.metrics.value[M_ZRE_CUT] >= MORE + 1);
    assert_int_equal(n.metrics.value[M_ZRE_CUT], MORE + 1);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        assert_int_equal(is_closed(fds[i]), i <= MORE);
        close(fds[i]);
    }
    hand_send(&h, ZRE_PING);
    hand_expect(&h, ZRE_PING_OK, 2);
    hand_close(&h);
    zre_destroy(&n.zre);
    zmq_ctx_term(ctx);
}

/* A new connection of the same identity takes the place of the older one. */
static void test_handover(void **state)
{
    (void) state;
    struct node n;
    node_open(&n, 1, "lab");
    int older = stranger_open(&n);
    assert_true(stranger_greet(older, 7));
    for (int i = 0; i < 5; i++) {
        turn(10);
    }
    int newer = stranger_open(&n);
    assert_true(stranger_greet(newer, 7));
    TURN_UNTIL(is_closed(older));
    assert_false(is_closed(newer));
    assert_int_equal(n.metrics.value[M_ZRE_CUT], 0);
    close(older);
    close(newer);
    zre_destroy(&n.zre);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_of_one_mesh),
        cmocka_unit_test(test_whispers),
        cmocka_unit_test(test_no_whispers_to_others),
        cmocka_unit_test(test_other_mesh_is_no_candidate),
        cmocka_unit_test(test_a_zyre_peer),
        cmocka_unit_test(test_heartbeats),
        cmocka_unit_test(test_greeting_a_zyre_peer),
        cmocka_unit_test(test_greeted_too_early),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_endpoint_of_somebody_else),
        cmocka_unit_test(test_table_is_bounded),
        cmocka_unit_test(test_full_of_strangers),
        cmocka_unit_test(test_counters_wrap),
        cmocka_unit_test(test_every_field_a_lie),
        cmocka_unit_test(test_wrong_zmtp),
        cmocka_unit_test(test_slow_handshake),
        cmocka_unit_test(test_deaf_stranger),
        cmocka_unit_test(test_connections_are_bounded),
        cmocka_unit_test(test_handover),
    };
    return cmocka_run_group_tests(tests, open_reactor, close_reactor);
}
