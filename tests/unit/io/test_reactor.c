/* SPDX-License-Identifier: MPL-2.0 */
/* The loop, with pipes for the world; the datagram sockets and connect probes on top of it, over
 * loopback. No test waits longer than it must: all poll with a deadline. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/limits.h"
#include "io/clock.h"
#include "io/reactor.h"
#include "io/sockaddr.h"
#include "io/tcpprobe.h"
#include "io/udp.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#define WAIT_NS (3 * NS_PER_S)

static char order[64]; /* what ran, in order */

static void ran(char what)
{
    size_t n = strlen(order);
    if (n + 1 < sizeof order) {
        order[n] = what;
        order[n + 1] = '\0';
    }
}

struct pipe_end {
    reactor_t *r;
    int fds[2];
    char name;
    unsigned count;
    bool remove;
    unsigned sleep_ms;
};

static bool read_pipe(void *ctx)
{
    struct pipe_end *p = ctx;
    char byte;
    if (read(p->fds[0], &byte, 1) != 1) {
        return false;
    }
    p->count++;
    ran(p->name);
    if (p->sleep_ms != 0) {
        struct timespec t = {.tv_nsec = (long) (p->sleep_ms * NS_PER_MS)};
        nanosleep(&t, NULL);
    }
    if (p->remove) {
        reactor_remove_fd(p->r, p->fds[0]);
    }
    return true;
}

static void open_pipe(struct pipe_end *p, reactor_t *r, char name, enum reactor_class cls)
{
    *p = (struct pipe_end){.r = r, .name = name};
    assert_int_equal(pipe2(p->fds, O_NONBLOCK), 0);
    assert_int_equal(reactor_add_fd(r, p->fds[0], REACTOR_READ, cls, read_pipe, p), HM_OK);
    order[0] = '\0';
}

static void close_pipe(struct pipe_end *p)
{
    reactor_remove_fd(p->r, p->fds[0]);
    close(p->fds[0]);
    close(p->fds[1]);
}

static void feed(struct pipe_end *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(write(p->fds[1], "x", 1), 1);
    }
}

static void classes_in_order(void **state)
{
    (void) state;
    reactor_t *r = reactor_new();
    struct pipe_end rest, links, datagrams;
    open_pipe(&rest, r, 'r', REACTOR_REST);
    open_pipe(&links, r, 'l', REACTOR_LINKS);
    open_pipe(&datagrams, r, 'd', REACTOR_DATAGRAMS);
    feed(&rest, 2);
    feed(&links, 1);
    feed(&datagrams, 2);
    assert_int_equal(reactor_turn(r, TIMER_NEVER), HM_OK);
    assert_string_equal(order, "ddlrr");
    close_pipe(&rest);
    close_pipe(&links);
    close_pipe(&datagrams);
    reactor_destroy(&r);
}

static void turns_are_bounded(void **state)
{
    (void) state;
    reactor_t *r = reactor_new();
    struct pipe_end flood, slow;
    open_pipe(&flood, r, 'f', REACTOR_DATAGRAMS);
    open_pipe(&slow, r, 's', REACTOR_REST);
    slow.sleep_ms = 2;
    feed(&flood, 1000);
    feed(&slow, 5);
    reactor_turn(r, TIMER_NEVER);
    assert_in_range(flood.count, 1, 256);
    assert_int_equal(slow.count, 1); /* its first took more than a millisecond */
    for (unsigned i = 0; i < 100 && (flood.count < 1000 || slow.count < 5); i++) {
        reactor_turn(r, TIMER_NEVER);
    }
    assert_int_equal(flood.count, 1000);
    assert_int_equal(slow.count, 5);
    close_pipe(&flood);
    close_pipe(&slow);
    reactor_destroy(&r);
}

/* Each stranger's message takes longer than all of them have in a turn. */
static void strangers_take_turns(void **state)
{
    (void) state;
    reactor_t *r = reactor_new();
    struct pipe_end a, b, c, rest;
    open_pipe(&a, r, 'a', REACTOR_STRANGERS);
    open_pipe(&b, r, 'b', REACTOR_STRANGERS);
    open_pipe(&c, r, 'c', REACTOR_STRANGERS);
    open_pipe(&rest, r, '.', REACTOR_REST);
    a.sleep_ms = b.sleep_ms = c.sleep_ms = 2;
    feed(&a, 3);
    feed(&b, 2);
    feed(&c, 1);
    feed(&rest, 1);
    for (unsigned i = 0; i < 6; i++) {
        reactor_turn(r, TIMER_NEVER);
        feed(&rest, 1);
    }
    assert_string_equal(order, ".a.b.c.a.b.a");
    close_pipe(&a);
    close_pipe(&b);
    close_pipe(&c);
    close_pipe(&rest);
    reactor_destroy(&r);
}

static void readers_may_remove_themselves(void **state)
{
    (void) state;
    reactor_t *r = reactor_new();
    struct pipe_end p;
    open_pipe(&p, r, 'p', REACTOR_REST);
    p.remove = true;
    feed(&p, 3);
    reactor_turn(r, TIMER_NEVER);
    reactor_turn(r, 0);
    assert_int_equal(p.count, 1);
    assert_int_equal(reactor_add_fd(r, p.fds[0], REACTOR_READ, REACTOR_REST, read_pipe, &p), 0);
    reactor_turn(r, 0);
    assert_int_equal(p.count, 2);
    close_pipe(&p);
    reactor_destroy(&r);
}

static void deadlines_round_up(void **state)
{
    (void) state;
    reactor_t *r = reactor_new();
    for (unsigned i = 0; i < 20; i++) {
        uint64_t due = clock_boot_ns() + 100000 + i * 333333;
        reactor_turn(r, due);
        assert_true(clock_boot_ns() >= due); /* never early: that would spin */
    }
    assert_int_equal(reactor_wakeups(r), 20);
    reactor_destroy(&r);
}

static void fire_timer(void *ctx)
{
    ran(*(char *) ctx);
}

static void timers(void **state)
{
    (void) state;
    reactor_t *r = reactor_new();
    struct reactor_timer a = {.fire = fire_timer, .ctx = "a"};
    struct reactor_timer b = {.fire = fire_timer, .ctx = "b"};
    struct reactor_timer c = {.fire = fire_timer, .ctx = "c"};
    uint64_t now = clock_boot_ns();
    order[0] = '\0';
    reactor_timer_arm(r, &a, now + 3 * NS_PER_MS);
    reactor_timer_arm(r, &b, now + NS_PER_MS);
    reactor_timer_arm(r, &c, now + 2 * NS_PER_MS);
    reactor_timer_disarm(r, &c);
    while (strlen(order) < 2 && clock_boot_ns() < now + WAIT_NS) {
        reactor_turn(r, TIMER_NEVER);
    }
    assert_string_equal(order, "ba");
    reactor_destroy(&r);
}

static uint64_t stalled_ms;

static void on_stall(void *ctx, uint64_t ms)
{
    (void) ctx;
    stalled_ms = ms;
}

static void stalls_are_reported(void **state)
{
    (void) state;
    reactor_t *r = reactor_new();
    struct pipe_end p;
    open_pipe(&p, r, 'p', REACTOR_REST);
    reactor_on_stall(r, on_stall, NULL);
    stalled_ms = 0;
    p.sleep_ms = 20;
    feed(&p, 1);
    reactor_turn(r, TIMER_NEVER);
    reactor_turn(r, 0);
    assert_int_equal(stalled_ms, 0);
    p.sleep_ms = 130;
    feed(&p, 1);
    reactor_turn(r, TIMER_NEVER);
    reactor_turn(r, TIMER_NEVER); /* does not sleep: the core may want something else now */
    assert_in_range(stalled_ms, 130, 2000);
    close_pipe(&p);
    reactor_destroy(&r);
}

static bool read_socket(void *ctx)
{
    char bytes[8];
    if (zmq_recv(ctx, bytes, sizeof bytes, ZMQ_DONTWAIT) < 0) {
        return false;
    }
    ran('z');
    return true;
}

static void sockets_whose_edge_was_swallowed(void **state)
{
    (void) state;
    void *ctx = zmq_ctx_new();
    void *a = zmq_socket(ctx, ZMQ_PAIR);
    void *b = zmq_socket(ctx, ZMQ_PAIR);
    assert_int_equal(zmq_bind(a, "inproc://x"), 0);
    assert_int_equal(zmq_connect(b, "inproc://x"), 0);
    reactor_t *r = reactor_new();
    assert_int_equal(reactor_add_socket(r, a, REACTOR_REST, read_socket, a), HM_OK);
    order[0] = '\0';
    for (unsigned i = 0; i < 3; i++) {
        zmq_send(b, "m", 1, 0);
        zmq_send(a, "n", 1, ZMQ_DONTWAIT); /* takes in the command that b sent, and the edge */
        reactor_touched(r, a);
        reactor_turn(r, clock_boot_ns() + WAIT_NS);
    }
    assert_string_equal(order, "zzz");
    reactor_remove_socket(r, a);
    zmq_close(a);
    zmq_close(b);
    reactor_destroy(&r);
    zmq_ctx_term(ctx);
}

/* ---- what the C library and libzmq are asked ---- */

static bool is_refused; /* as a filter of system calls does */
static int refusals;
static const void *closed_socket;
static int asked_closed;

static void *real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    assert_non_null(function);
    return function;
}

int epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
                 const sigset_t *mask)
{
    if (is_refused) {
        refusals++;
        errno = EPERM;
        return -1;
    }
    return ((int (*)(int, struct epoll_event *, int, const struct timespec *, const sigset_t *))
                real("epoll_pwait2"))(fd, events, max, timeout, mask);
}

int zmq_getsockopt(void *socket, int option, void *to, size_t *size)
{
    asked_closed += socket == closed_socket;
    return ((int (*)(void *, int, void *, size_t *)) real("zmq_getsockopt"))(socket, option, to, size);
}

static void sleeps_where_only_milliseconds_are_known(void **state)
{
    (void) state;
    reactor_t *r = reactor_new();
    is_refused = true;
    refusals = 0;
    for (unsigned i = 0; i < 10; i++) {
        uint64_t due = clock_boot_ns() + 100000 + i * 333333;
        assert_int_equal(reactor_turn(r, due), HM_OK);
        assert_true(clock_boot_ns() >= due);
    }
    is_refused = false;
    assert_int_equal(refusals, 1); /* once is enough */
    reactor_destroy(&r);
}

struct opener {
    reactor_t *reactor;
    void *zmq_ctx, *socket;
};

/* Between two turns a link is dialled and given up. */
static void open_and_close(void *ctx, uint64_t ms)
{
    struct opener *o = ctx;
    (void) ms;
    if (o->socket == NULL) {
        o->socket = zmq_socket(o->zmq_ctx, ZMQ_DEALER);
        assert_int_equal(reactor_add_socket(o->reactor, o->socket, REACTOR_LINKS, read_socket, o->socket),
                         HM_OK);
        reactor_remove_socket(o->reactor, o->socket);
        zmq_close(o->socket);
        closed_socket = o->socket;
    }
}

static void closed_sockets_are_not_asked(void **state)
{
    (void) state;
    struct opener o = {.reactor = reactor_new(), .zmq_ctx = zmq_ctx_new()};
    asked_closed = 0;
    reactor_on_stall(o.reactor, open_and_close, &o);
    reactor_turn(o.reactor, 0);
    struct timespec t = {.tv_nsec = 150000000};
    nanosleep(&t, NULL); /* held up */
    reactor_turn(o.reactor, 0);
    assert_non_null(o.socket);
    assert_int_equal(asked_closed, 0);
    closed_socket = NULL;
    reactor_destroy(&o.reactor);
    zmq_ctx_term(o.zmq_ctx);
}

struct heard {
    udp_t *udp;
    struct addr from;
    struct addr unreachable;
    size_t size;
    unsigned count;
};

static void on_datagram(void *ctx, const struct addr *from, struct span bytes)
{
    struct heard *h = ctx;
    h->from = *from;
    h->size = bytes.size;
    h->count++;
    udp_answer_here(h->udp);
}

static void on_unreachable(void *ctx, const struct addr *to)
{
    ((struct heard *) ctx)->unreachable = *to;
}

static void datagrams(void **state)
{
    (void) state;
    reactor_t *r = reactor_new();
    struct heard ha = {0};
    struct heard hb = {0};
    udp_t *a = udp_new(r, &(struct udp_handler){&ha, on_datagram, on_unreachable});
    udp_t *b = udp_new(r, &(struct udp_handler){&hb, on_datagram, on_unreachable});
    ha.udp = a;
    hb.udp = b;
    struct addr any = addr_v4(0, 0, 0, 0, 0);
    struct addr one = addr_v4(127, 0, 0, 1, 0);
    uint16_t port_a, port_b;
    assert_int_equal(udp_bind(a, &any, &port_a), HM_OK);
    assert_int_equal(udp_bind(b, &one, &port_b), HM_OK);
    struct addr taken = addr_v4(127, 0, 0, 1, port_b);
    uint16_t none;
    assert_int_equal(udp_bind(a, &taken, &none), HM_EBUSY);
    struct addr nowhere = addr_v4(192, 0, 2, 1, 0);
    assert_int_equal(udp_bind(a, &nowhere, &none), HM_EINVAL);

    /* b asks a at 127.0.0.7; a's answer must come from there, though 127.0.0.1 is nearer. */
    struct addr seven = addr_v4(127, 0, 0, 7, port_a);
    static uint8_t bytes[HM_DATAGRAM_BYTES_MAX + 100];
    assert_int_equal(udp_send(b, &seven, span_of(bytes, 5)), HM_OK);
    while (ha.count == 0) {
        reactor_turn(r, clock_boot_ns() + WAIT_NS);
    }
    assert_int_equal(ha.size, 5);
    assert_int_equal(udp_send(a, &ha.from, span_of(bytes, 6)), HM_OK);
    while (hb.count == 0) {
        reactor_turn(r, clock_boot_ns() + WAIT_NS);
    }
    assert_true(addr_eq(&hb.from, &seven));

    /* Too long shows as too long. */
    assert_int_equal(udp_send(b, &seven, span_of(bytes, sizeof bytes)), HM_OK);
    while (ha.count == 1) {
        reactor_turn(r, clock_boot_ns() + WAIT_NS);
    }
    assert_int_equal(ha.size, HM_DATAGRAM_BYTES_MAX + 1);

    /* Nobody there any more: the quoted address comes back, and sending goes on. */
    udp_unbind(b);
    assert_int_equal(udp_send(a, &taken, span_of(bytes, 6)), HM_OK);
    reactor_turn(r, clock_boot_ns() + WAIT_NS);
    assert_true(addr_eq(&ha.unreachable, &taken));
    assert_int_equal(udp_send(a, &taken, span_of(bytes, 6)), HM_OK);
    assert_int_equal(udp_send(a, &taken, span_of(bytes, 6)), HM_OK);

    struct addr six;
    assert_int_equal(addr_parse("[::1]:9", 0, &six), HM_OK);
    assert_int_equal(udp_send(a, &six, span_of(bytes, 6)), HM_EUNREACHABLE);
    udp_destroy(&a);
    udp_destroy(&b);
    reactor_destroy(&r);
}

struct outcome {
    unsigned count;
    uint64_t token;
    enum connect_outcome outcome;
};

static void on_outcome(void *ctx, const struct node_id *peer, uint64_t token,
                       enum connect_outcome outcome)
{
    struct outcome *o = ctx;
    (void) peer;
    o->count++;
    o->token = token;
    o->outcome = outcome;
}

static void connects(void **state)
{
    (void) state;
    reactor_t *r = reactor_new();
    struct outcome o = {0};
    struct node_id peer = {{1}};
    tcpprobes_t *t = tcpprobes_new(r, on_outcome, &o);
    struct addr to = addr_v4(127, 0, 0, 1, 0);
    struct sockaddr_storage sa;
    socklen_t size = sockaddr_of_addr(&to, &sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &sa, size), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &sa, &size), 0);
    assert_true(addr_of_sockaddr((struct sockaddr *) &sa, &to));

    assert_int_equal(tcpprobe_start(t, &peer, &to, 7), HM_OK);
    assert_int_equal(o.count, 0);
    while (o.count == 0) {
        reactor_turn(r, clock_boot_ns() + WAIT_NS);
    }
    assert_int_equal(o.outcome, CONNECT_OPEN);
    assert_int_equal(o.token, 7);
    close(fd);
    assert_int_equal(tcpprobe_start(t, &peer, &to, 8), HM_OK);
    while (o.count == 1) {
        reactor_turn(r, clock_boot_ns() + WAIT_NS);
    }
    assert_int_equal(o.outcome, CONNECT_REFUSED);
    for (unsigned i = 0; i < TCPPROBES_MAX; i++) {
        assert_int_equal(tcpprobe_start(t, &peer, &to, i), HM_OK);
    }
    assert_int_equal(tcpprobe_start(t, &peer, &to, 99), HM_EFULL);
    while (o.count < 2 + TCPPROBES_MAX) {
        reactor_turn(r, clock_boot_ns() + WAIT_NS);
    }
    tcpprobes_destroy(&t);
    reactor_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_in_order),
        cmocka_unit_test(turns_are_bounded),
        cmocka_unit_test(strangers_take_turns),
        cmocka_unit_test(readers_may_remove_themselves),
        cmocka_unit_test(deadlines_round_up),
        cmocka_unit_test(timers),
        cmocka_unit_test(stalls_are_reported),
        cmocka_unit_test(sockets_whose_edge_was_swallowed),
        cmocka_unit_test(sleeps_where_only_milliseconds_are_known),
        cmocka_unit_test(closed_sockets_are_not_asked),
        cmocka_unit_test(datagrams),
        cmocka_unit_test(connects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
