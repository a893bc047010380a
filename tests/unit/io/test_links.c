/* SPDX-License-Identifier: MPL-2.0 */
/* Links between two or three ends in one process, each with a context and loop of its own, over
 * loopback TCP: who gets in, who hears what, and how soon an end is known. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/limits.h"
#include "io/clock.h"
#include "io/links.h"
#include "wire/frame.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#define LOG_MAX 4096

struct end {
    void *ctx;
    reactor_t *reactor;
    links_t *links;
    struct metrics metrics;
    struct node_id id;
    uint8_t pk[32], sk[32];
    struct addr addr;
    char log[LOG_MAX]; /* "+b -b b:4=hello " */
    unsigned frames, bad;
};

static void note(struct end *e, const char *what, const struct node_id *peer)
{
    size_t n = strlen(e->log);
    snprintf(e->log + n, LOG_MAX - n, "%s%c ", what, peer->b[0]);
}

static void on_up(void *ctx, const struct node_id *peer)
{
    note(ctx, "+", peer);
}

static void on_down(void *ctx, const struct node_id *peer)
{
    note(ctx, "-", peer);
}

static void on_frame(void *ctx, const struct node_id *peer, uint8_t type, struct span body)
{
    struct end *e = ctx;
    e->frames++;
    if (body.size < 16) {
        size_t n = strlen(e->log);
        snprintf(e->log + n, LOG_MAX - n, "%c:%u=%.*s ", peer->b[0], type, (int) body.size,
                 (const char *) body.data);
    }
}

static void on_bad(void *ctx, const struct node_id *peer, int why)
{
    struct end *e = ctx;
    (void) peer;
    (void) why;
    e->bad++;
}

static void on_cut(void *ctx, const struct node_id *peer, const struct addr *from)
{
    struct node_id nobody = {{'?'}};
    (void) from;
    note(ctx, "!", peer != NULL ? peer : &nobody);
}

/* Keys that are the same in the child: made of the name. */
static void keypair_of(char name, uint8_t pk[32], uint8_t sk[32])
{
    uint8_t seed[crypto_box_SEEDBYTES];
    memset(seed, name, sizeof seed);
    crypto_box_seed_keypair(pk, sk, seed);
}

static void end_open(struct end *e, char name)
{
    memset(e, 0, sizeof *e);
    e->ctx = zmq_ctx_new();
    e->reactor = reactor_new();
    memset(e->id.b, name, NODE_ID_BYTES);
    keypair_of(name, e->pk, e->sk);
    struct links_conf conf = {.zmq_ctx = e->ctx,
                              .reactor = e->reactor,
                              .metrics = &e->metrics,
                              .handler = {e, on_up, on_down, on_frame, on_bad, on_cut},
                              .self = e->id,
                              .curve_secret = e->sk};
    memcpy(conf.curve_public, e->pk, 32);
    e->links = links_new(&conf);
    assert_non_null(e->links);
    e->addr = addr_v4(127, 0, 0, 1, 0);
    assert_int_equal(links_bind(e->links, &e->addr, &e->addr.port), HM_OK);
    assert_int_not_equal(e->addr.port, 0);
}

static void end_close(struct end *e)
{
    links_destroy(&e->links, 100);
    reactor_destroy(&e->reactor);
    zmq_ctx_term(e->ctx);
}

static void admit(struct end *a, struct end *b)
{
    assert_int_equal(links_admit(a->links, &b->id, b->pk), HM_OK);
    assert_int_equal(links_admit(b->links, &a->id, a->pk), HM_OK);
}

/* Two that know each other. */
static void pair_open(struct end *a, struct end *b)
{
    end_open(a, 'a');
    end_open(b, 'b');
    admit(a, b);
}

static void pair_close(struct end *a, struct end *b)
{
    end_close(a);
    end_close(b);
}

/* Runs the ends' loops until e's log is as wanted; milliseconds that took. */
static unsigned run_until(struct end **ends, struct end *e, const char *wanted)
{
    uint64_t start = clock_boot_ns();
    while (strcmp(e->log, wanted) != 0) {
        uint64_t now = clock_boot_ns();
        if (now > start + 8 * NS_PER_S) {
            fail_msg("wanted \"%s\", got \"%s\"", wanted, e->log);
        }
        for (struct end **p = ends; *p != NULL; p++) {
            reactor_turn((*p)->reactor, now + NS_PER_MS);
            links_check((*p)->links, now);
        }
    }
    return (unsigned) ((clock_boot_ns() - start) / NS_PER_MS);
}

static void run_ms(struct end **ends, unsigned ms)
{
    uint64_t stop = clock_boot_ns() + ms * NS_PER_MS;
    while (clock_boot_ns() < stop) {
        for (struct end **p = ends; *p != NULL; p++) {
            reactor_turn((*p)->reactor, clock_boot_ns() + NS_PER_MS);
            links_check((*p)->links, clock_boot_ns());
        }
    }
}

/* The most memory this process has had, in KiB. */
static long most_memory(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

static struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

static void up_frames_both_ways_and_down(void **state)
{
    (void) state;
    struct end a, b;
    pair_open(&a, &b);
    struct end *ends[] = {&a, &b, NULL};
    assert_int_equal(links_send(a.links, &b.id, FRAME_SYNC, text("x")), HM_EUNREACHABLE);
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    unsigned ms = run_until(ends, &a, "+b ");
    print_message("up after %u ms\n", ms);
    run_until(ends, &b, "+a ");
    assert_int_equal(links_send(a.links, &b.id, FRAME_SYNC, text("x")), HM_OK);
    assert_int_equal(links_send(b.links, &a.id, FRAME_SWIM, text("y")), HM_OK);
    run_until(ends, &a, "+b b:2=y ");
    run_until(ends, &b, "+a a:3=x ");
    assert_int_equal(links_count(a.links), 1);
    assert_int_equal(links_count(b.links), 1);
    links_hangup(a.links, &b.id);
    ms = run_until(ends, &b, "+a a:3=x -a ");
    print_message("hang-up seen after %u ms\n", ms);
    run_ms(ends, 50);
    assert_string_equal(a.log, "+b b:2=y ");
    assert_int_equal(links_count(a.links), 0);
    pair_close(&a, &b);
}

/* Of this end or of the other one; 0: not connected by TCP. */
static uint16_t port_of(int fd, bool is_other)
{
    struct sockaddr_in6 sa; /* IPv4's has its port at the same place */
    socklen_t size = sizeof sa;
    int rc = is_other ? getpeername(fd, (struct sockaddr *) &sa, &size)
                      : getsockname(fd, (struct sockaddr *) &sa, &size);
    bool is_ip = rc == 0 && (sa.sin6_family == AF_INET || sa.sin6_family == AF_INET6);
    return is_ip ? ntohs(sa.sin6_port) : 0;
}

/* At both ends of a link, where loopback would take 64 KiB. */
static void packets_are_no_larger_than_datagrams(void **state)
{
    (void) state;
    struct end a, b;
    unsigned seen = 0;
    pair_open(&a, &b);
    struct end *ends[] = {&a, &b, NULL};
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    run_until(ends, &a, "+b ");
    run_until(ends, &b, "+a ");
    for (int fd = 3; fd < 256; fd++) {
        uint16_t to = port_of(fd, true);
        if (to == 0 || (to != b.addr.port && port_of(fd, false) != b.addr.port)) {
            continue;
        }
        int most = 0;
        socklen_t size = sizeof most;
        seen++;
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &most, &size), 0);
        assert_in_range(most, 500, HM_DATAGRAM_BYTES_MAX + 8 - 20); /* UDP's head is 8 bytes, TCP's 20 */
    }
    assert_int_equal(seen, 2);
    pair_close(&a, &b);
}

static void hangup_by_the_accepting_end(void **state)
{
    (void) state;
    struct end a, b;
    pair_open(&a, &b);
    struct end *ends[] = {&a, &b, NULL};
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    run_until(ends, &a, "+b ");
    run_until(ends, &b, "+a ");
    links_hangup(b.links, &a.id);
    run_until(ends, &a, "+b -b ");
    run_ms(ends, 50);
    assert_string_equal(b.log, "+a ");
    assert_int_equal(links_count(b.links), 0);
    /* And again, at once. */
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    run_until(ends, &a, "+b -b +b ");
    run_until(ends, &b, "+a +a ");
    pair_close(&a, &b);
}

static void both_dial_and_one_remains(void **state)
{
    (void) state;
    struct end a, b;
    pair_open(&a, &b);
    struct end *ends[] = {&a, &b, NULL};
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    assert_int_equal(links_dial(b.links, &a.id, &a.addr), HM_OK);
    run_until(ends, &a, "+b ");
    run_until(ends, &b, "+a ");
    run_ms(ends, 100);
    assert_string_equal(a.log, "+b ");
    assert_string_equal(b.log, "+a ");
    assert_int_equal(links_count(a.links), 1);
    assert_int_equal(links_count(b.links), 1);
    links_hangup(a.links, &b.id); /* both ways */
    run_until(ends, &b, "+a -a ");
    run_ms(ends, 50);
    assert_string_equal(a.log, "+b ");
    assert_string_equal(b.log, "+a -a ");
    pair_close(&a, &b);
}

static void dialling_again_replaces(void **state)
{
    (void) state;
    struct end a, b;
    pair_open(&a, &b);
    struct end *ends[] = {&a, &b, NULL};
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
        run_ms(ends, i % 5 * 2);
    }
    run_ms(ends, 200);
    assert_int_equal(links_count(a.links), 1);
    assert_int_equal(links_count(b.links), 1);
    a.log[0] = b.log[0] = '\0';
    assert_int_equal(links_send(a.links, &b.id, FRAME_SYNC, text("x")), HM_OK);
    assert_int_equal(links_send(b.links, &a.id, FRAME_SYNC, text("y")), HM_OK);
    run_until(ends, &a, "b:3=y ");
    run_until(ends, &b, "a:3=x ");
    pair_close(&a, &b);
}

static void strangers_stay_out(void **state)
{
    (void) state;
    struct end a, b;
    end_open(&a, 'a');
    end_open(&b, 'b');
    struct end *ends[] = {&a, &b, NULL};
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_ENOTFOUND);
    /* a knows b, b does not know a. */
    assert_int_equal(links_admit(a.links, &b.id, b.pk), HM_OK);
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    unsigned ms = run_until(ends, &a, "-b ");
    print_message("denied after %u ms\n", ms);
    assert_string_equal(b.log, "");
    assert_int_equal(b.metrics.value[M_LINK_DENIED], 1);
    /* a takes somebody else for b. */
    struct end c;
    end_open(&c, 'c');
    struct end *three[] = {&a, &b, &c, NULL};
    admit(&a, &c);
    assert_int_equal(links_dial(a.links, &b.id, &c.addr), HM_OK);
    run_until(three, &a, "-b -b ");
    assert_string_equal(c.log, "");
    /* Nobody listens. */
    struct addr nobody = addr_v4(127, 0, 0, 1, 1);
    assert_int_equal(links_dial(a.links, &b.id, &nobody), HM_OK);
    ms = run_until(three, &a, "-b -b -b ");
    print_message("refused after %u ms\n", ms);
    pair_close(&a, &b);
    end_close(&c);
}

/* Its link ends, and it gets none any more. */
static void the_forgotten_stay_out(void **state)
{
    (void) state;
    struct end a, b;
    end_open(&a, 'a');
    end_open(&b, 'b');
    struct end *ends[] = {&a, &b, NULL};
    admit(&a, &b);
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    run_until(ends, &a, "+b ");
    run_until(ends, &b, "+a ");
    links_forget(b.links, &a.id);
    links_forget(b.links, &a.id); /* again is fine */
    run_until(ends, &a, "+b -b ");
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    run_until(ends, &a, "+b -b -b ");
    assert_int_equal(b.metrics.value[M_LINK_DENIED], 1);
    assert_int_equal(links_dial(b.links, &a.id, &a.addr), HM_ENOTFOUND);
    assert_string_equal(b.log, "+a ");
    pair_close(&a, &b);
}

static int tcp_connect(const struct addr *to)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(to->port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *) &in, sizeof in), 0);
    return fd;
}

static void garbage_and_floods_of_connections(void **state)
{
    (void) state;
    struct end a, b;
    pair_open(&a, &b);
    struct end *ends[] = {&a, &b, NULL};
    int fds[200];
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
            fds[i] = tcp_connect(&b.addr);
            uint8_t bytes[80];
            randombytes_buf(bytes, sizeof bytes);
            bytes[0] = 0xff;
            if (i % 2 == 0) {
                (void) !send(fds[i], bytes, sizeof bytes, MSG_NOSIGNAL);
            }
            if (i % 8 == 0) {
                run_ms(ends, 2);
            }
        }
        for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
            close(fds[i]);
        }
        run_ms(ends, 100);
    }
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    run_until(ends, &a, "+b ");
    run_until(ends, &b, "+a ");
    pair_close(&a, &b);
}

/* A member that does not keep to our frames: one whole message of so many parts. */
static void *rogue_open(struct end *b, struct end *rogue, void *ctx)
{
    char endpoint[64];
    int linger = 0;
    struct buf head;
    void *socket = zmq_socket(ctx, ZMQ_DEALER);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, b->pk, 32), 0);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, rogue->pk, 32), 0);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, rogue->sk, 32), 0);
    assert_int_equal(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger), 0);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", b->addr.port);
    assert_int_equal(zmq_connect(socket, endpoint), 0);
    buf_init(&head, 64);
    frame_head_write(&head, FRAME_HELLO, 0);
    assert_true(zmq_send(socket, head.data, head.size, 0) > 0);
    buf_fini(&head);
    return socket;
}

static void send_parts(void *socket, size_t count, size_t size)
{
    static uint8_t bytes[HM_FRAME_BYTES_MAX]; /* all parts are these, so that nothing is copied here */
    for (size_t i = 0; i < count; i++) {
        zmq_msg_t msg;
        assert_int_equal(zmq_msg_init_data(&msg, bytes, size, NULL, NULL), 0);
        assert_true(zmq_msg_send(&msg, socket, i + 1 < count ? ZMQ_SNDMORE : 0) >= 0);
    }
}

static void messages_without_end_are_cut(void **state)
{
    (void) state;
    struct end a, b;
    pair_open(&a, &b);
    struct end *ends[] = {&b, NULL};
    void *ctx = zmq_ctx_new();
    void *rogue = rogue_open(&b, &a, ctx);
    run_until(ends, &b, "+a ");
    send_parts(rogue, 4, 100);
    send_parts(rogue, 100, 0);
    run_until(ends, &b, "+a !a -a ");
    assert_int_equal(b.bad, 1); /* the four were one message that is no frame, and harmless */
    zmq_close(rogue);
    rogue = rogue_open(&b, &a, ctx);
    run_until(ends, &b, "+a !a -a +a ");
    long before = most_memory();
    send_parts(rogue, 400, HM_FRAME_BYTES_MAX); /* 600 MiB: a second or more, even on loopback */
    run_until(ends, &b, "+a !a -a +a !a -a ");
    assert_in_range(most_memory() - before, 0, 400 << 10); /* cut long before its end */
    assert_int_equal(b.metrics.value[M_LINKS_CUT], 2);
    assert_int_equal(b.bad, 1);
    zmq_close(rogue);
    zmq_ctx_term(ctx);
    /* Large frames one after another are no such message. */
    struct end *both[] = {&a, &b, NULL};
    static uint8_t large[HM_FRAME_BYTES_MAX];
    b.log[0] = '\0';
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    run_until(both, &a, "+b ");
    run_until(both, &b, "+a ");
    b.frames = 0;
    uint64_t until = clock_boot_ns() + 60 * NS_PER_S;
    for (unsigned sent = 0; sent < 100 && clock_boot_ns() < until;) {
        sent += links_send(a.links, &b.id, FRAME_SYNC, span_of(large, sizeof large)) == HM_OK;
        run_ms(both, 1);
    }
    for (unsigned i = 0; i < 5000 && b.frames < 100; i++) {
        run_ms(both, 1);
    }
    assert_int_equal(b.frames, 100);
    assert_string_equal(b.log, "+a ");
    pair_close(&a, &b);
}

/* Asks the handler of this end whether a key may come in, as libzmq does; the status code. */
static int ask_zap(struct end *of, void *asker, const uint8_t key[32], bool is_whole)
{
    static const char *const before[] = {"1.0", "1", "homemesh", "127.0.0.1", "", "CURVE"};
    char code[4] = "";
    uint64_t stop = clock_boot_ns() + 5 * NS_PER_S;
    for (size_t i = 0; i < 6; i++) {
        assert_true(zmq_send(asker, before[i], strlen(before[i]), ZMQ_SNDMORE) >= 0);
    }
    assert_true(zmq_send(asker, key, is_whole ? 32 : 31, 0) >= 0);
    while (zmq_recv(asker, code, 3, ZMQ_DONTWAIT) < 0 && clock_boot_ns() < stop) {
        reactor_turn(of->reactor, clock_boot_ns() + NS_PER_MS);
    }
    assert_string_equal(code, "1.0");
    for (int part = 1; part < 6; part++) { /* status code is the third */
        char text[256] = "";
        int more = 0;
        size_t size = sizeof more;
        assert_true(zmq_recv(asker, text, sizeof text - 1, 0) >= 0);
        if (part == 2) {
            memcpy(code, text, sizeof code);
        }
        assert_int_equal(zmq_getsockopt(asker, ZMQ_RCVMORE, &more, &size), 0);
        assert_int_equal(more, part < 5);
    }
    return (int) strtol(code, NULL, 10);
}

/* Keys of nobody, one after the other, and in between the one that is known. */
static void ten_thousand_keys(void **state)
{
    (void) state;
    struct end a, b;
    end_open(&a, 'a');
    end_open(&b, 'b');
    assert_int_equal(links_admit(a.links, &b.id, b.pk), HM_OK);
    void *asker = zmq_socket(a.ctx, ZMQ_REQ);
    assert_int_equal(zmq_connect(asker, "inproc://zeromq.zap.01"), 0);
    for (int i = 0; i < 10000; i++) {
        uint8_t key[32];
        randombytes_buf(key, sizeof key);
        assert_int_equal(ask_zap(&a, asker, key, true), 400);
    }
    assert_int_equal(ask_zap(&a, asker, b.pk, true), 200);
    assert_int_equal(ask_zap(&a, asker, b.pk, false), 400);
    assert_int_equal(a.metrics.value[M_LINK_DENIED], 10001);
    assert_int_equal(links_count(a.links), 0);
    assert_string_equal(a.log, "");
    zmq_close(asker);
    pair_close(&a, &b);
}

static void bounded_queue(void **state)
{
    (void) state;
    struct end a, b;
    pair_open(&a, &b);
    struct end *ends[] = {&a, &b, NULL};
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    run_until(ends, &a, "+b ");
    run_until(ends, &b, "+a ");
    static uint8_t big[HM_FRAME_BYTES_MAX];
    unsigned sent = 0;
    int rc = HM_OK;
    while (sent < 1000 &&
           (rc = links_send(a.links, &b.id, FRAME_SYNC, span_of(big, sizeof big))) == 0) {
        sent++;
    }
    assert_int_equal(rc, HM_EFULL);
    /* The reader stands still: every frame is either taken or counted as refused. */
    unsigned refused = 1;
    for (unsigned i = 0; i < 500; i++) {
        bool taken = links_send(a.links, &b.id, FRAME_SYNC, span_of(big, sizeof big)) == HM_OK;
        sent += taken; /* the I/O thread goes on for as long as the kernel takes something */
        refused += !taken;
    }
    assert_true(refused > 100);
    assert_in_range(sent, 6, 40); /* 4 wait at our end, 5 at the other, the kernel has room for some */
    assert_int_equal(links_send(a.links, &a.id, FRAME_SYNC, text("nobody")), HM_EUNREACHABLE);
    assert_int_equal(a.metrics.value[M_FRAMES_REFUSED], refused + 1);
    assert_int_equal(a.metrics.value[M_FRAMES_SENT], sent);
    unsigned back = 0;
    while (back < 1000 &&
           (rc = links_send(b.links, &a.id, FRAME_SYNC, span_of(big, sizeof big))) == 0) {
        back++;
    }
    assert_int_equal(rc, HM_EFULL);
    uint64_t stop = clock_boot_ns() + 8 * NS_PER_S;
    while ((b.frames < sent || a.frames < back) && clock_boot_ns() < stop) {
        run_ms(ends, 1);
    }
    print_message("%u and %u frames of %u bytes were taken\n", sent, back, HM_FRAME_BYTES_MAX);
    assert_int_equal(b.frames, sent);
    assert_int_equal(a.frames, back);
    assert_string_equal(a.log, "+b ");
    pair_close(&a, &b);
}

/* The peer, in a process of its own: tells its address, hears ours, runs until it is killed. */
static void child(const int tell[2], const int hear[2], struct end *a, bool dials)
{
    struct end b;
    struct addr to;
    end_open(&b, 'b');
    links_admit(b.links, &a->id, a->pk);
    if (write(tell[1], &b.addr, sizeof b.addr) != sizeof b.addr ||
        read(hear[0], &to, sizeof to) != sizeof to ||
        (dials && links_dial(b.links, &a->id, &to) != HM_OK)) {
        _exit(1);
    }
    for (;;) {
        reactor_turn(b.reactor, TIMER_NEVER);
    }
}

static void killed(bool child_dials)
{
    struct end a = {0};
    struct end b = {0};
    int to_us[2];
    int to_child[2];
    assert_int_equal(pipe(to_us) | pipe(to_child), 0);
    memset(a.id.b, 'a', NODE_ID_BYTES);
    keypair_of('a', a.pk, a.sk);
    pid_t pid = fork();
    if (pid == 0) {
        child(to_us, to_child, &a, child_dials);
    }
    end_open(&a, 'a');
    memset(b.id.b, 'b', NODE_ID_BYTES);
    keypair_of('b', b.pk, b.sk);
    assert_int_equal(links_admit(a.links, &b.id, b.pk), HM_OK);
    assert_int_equal(read(to_us[0], &b.addr, sizeof b.addr), sizeof b.addr);
    assert_int_equal(write(to_child[1], &a.addr, sizeof a.addr), sizeof a.addr);
    struct end *ends[] = {&a, NULL};
    if (!child_dials) {
        assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    }
    run_until(ends, &a, "+b ");
    kill(pid, SIGKILL);
    unsigned ms = run_until(ends, &a, "+b -b ");
    print_message("killed, %s: seen after %u ms\n", child_dials ? "accepted" : "dialled", ms);
    assert_true(ms < 100);
    waitpid(pid, NULL, 0);
    end_close(&a);
    close(to_us[0]);
    close(to_us[1]);
    close(to_child[0]);
    close(to_child[1]);
}

static void killed_peer_is_noticed(void **state)
{
    (void) state;
    killed(false);
    killed(true);
}

static void idle_links_wake_nobody(void **state)
{
    (void) state;
    struct end a, b;
    pair_open(&a, &b);
    struct end *ends[] = {&a, &b, NULL};
    assert_int_equal(links_dial(a.links, &b.id, &b.addr), HM_OK);
    run_until(ends, &a, "+b ");
    run_until(ends, &b, "+a ");
    run_ms(ends, 20);
    uint64_t before = reactor_wakeups(a.reactor);
    reactor_turn(a.reactor, clock_boot_ns() + 300 * NS_PER_MS);
    assert_int_equal(reactor_wakeups(a.reactor) - before, 1);
    pair_close(&a, &b);
}

int main(void)
{
    if (sodium_init() < 0) {
        return 99;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(up_frames_both_ways_and_down),
        cmocka_unit_test(packets_are_no_larger_than_datagrams),
        cmocka_unit_test(hangup_by_the_accepting_end),
        cmocka_unit_test(both_dial_and_one_remains),
        cmocka_unit_test(dialling_again_replaces),
        cmocka_unit_test(strangers_stay_out),
        cmocka_unit_test(the_forgotten_stay_out),
        cmocka_unit_test(garbage_and_floods_of_connections),
        cmocka_unit_test(messages_without_end_are_cut),
        cmocka_unit_test(ten_thousand_keys),
        cmocka_unit_test(bounded_queue),
        cmocka_unit_test(killed_peer_is_noticed),
        cmocka_unit_test(idle_links_wake_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
