/* SPDX-License-Identifier: MPL-2.0 */
/* The local socket, with real ZeroMQ clients in the same process: framing, replies, clients that go
 * away or do not read, crowds of them, and what may lie at the path. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/clock.h"
#include "io/local_api.h"
#include "wire/api_msg.h"
#include "wire/zmtp.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define WAIT_MS 5000
#define HEARD_MAX 1024

/* What the handler was told, in order. */
struct local_call {
    uint64_t client;
    bool is_gone;
    struct span request; /* freed with the fixture */
};

struct fixture {
    void *ctx;
    reactor_t *reactor;
    struct local_call heard[HEARD_MAX];
    size_t heard_count, taken;
    const char *at_once; /* answered so by the handler itself; NULL: not */
    size_t answered;     /* by it */
    uint64_t late;       /* is answered when another call is told as gone; 0: none */
    char dir[64];
    char path[108];
    char endpoint[128];
    struct metrics metrics;
    local_api_t *api;
};

static void hear(struct fixture *f, uint64_t client, bool is_gone, struct span request)
{
    uint8_t *copy = malloc(request.size + 1);
    assert_true(f->heard_count < HEARD_MAX);
    if (request.size > 0) {
        memcpy(copy, request.data, request.size);
    }
    f->heard[f->heard_count++] = (struct local_call){client, is_gone, span_of(copy, request.size)};
}

static void on_call(void *ctx, uint64_t client, struct span request)
{
    struct fixture *f = ctx;
    hear(f, client, false, request);
    if (f->at_once != NULL) {
        struct span reply = span_of(f->at_once, strlen(f->at_once));
        assert_int_equal(local_api_reply(f->api, client, reply), HM_OK); /* none is lost */
        f->answered++;
        f->heard_count--; /* nobody takes it */
        free((void *) (uintptr_t) f->heard[f->heard_count].request.data);
    }
}

static void on_gone(void *ctx, uint64_t client)
{
    struct fixture *f = ctx;
    hear(f, client, true, span_of(NULL, 0));
    if (f->late != 0 && client != f->late) {
        assert_int_equal(local_api_reply(f->api, f->late, span_of("late", 4)), HM_OK);
        local_api_flush(f->api);
    }
}

static int open_api(struct fixture *f, const char *path, local_api_t **ret, struct why *why)
{
    struct local_api_handler handler = {f, on_call, on_gone};
    return local_api_new(f->reactor, path, &f->metrics, &handler, ret, why);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct why why = {""};
    f->ctx = zmq_ctx_new();
    f->reactor = reactor_new();
    snprintf(f->dir, sizeof f->dir, "/tmp/test_local_api.XXXXXX");
    if (mkdtemp(f->dir) == NULL) {
        return -1;
    }
    snprintf(f->path, sizeof f->path, "%s/meshd.sock", f->dir);
    snprintf(f->endpoint, sizeof f->endpoint, "ipc://%s", f->path);
    *state = f;
    return open_api(f, f->path, &f->api, &why);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    local_api_destroy(&f->api);
    reactor_destroy(&f->reactor);
    for (size_t i = 0; i < f->heard_count; i++) {
        free((void *) (uintptr_t) f->heard[i].request.data);
    }
    zmq_ctx_term(f->ctx);
    unlink(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void *client_new(struct fixture *f, int type)
{
    void *s = zmq_socket(f->ctx, type);
    int timeout = WAIT_MS;
    int linger = 0;
    assert_non_null(s);
    zmq_setsockopt(s, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_connect(s, f->endpoint), 0);
    return s;
}

/* One turn of the loop, which waits a moment for something. */
static void turn(struct fixture *f)
{
    assert_int_equal(reactor_turn(f->reactor, clock_boot_ns() + 10 * NS_PER_MS), HM_OK);
}

static bool take_call(struct fixture *f, struct local_call *ret)
{
    if (f->taken == f->heard_count) {
        return false;
    }
    *ret = f->heard[f->taken++];
    return true;
}

static void wait_call(struct fixture *f, struct local_call *ret)
{
    uint64_t until_ns = clock_boot_ns() + WAIT_MS * NS_PER_MS;
    while (!take_call(f, ret)) {
        assert_true(clock_boot_ns() < until_ns);
        turn(f);
    }
}

/* What the client is sent, while the loop goes on. */
static int receive(struct fixture *f, void *socket, void *to, size_t max)
{
    uint64_t until_ns = clock_boot_ns() + WAIT_MS * NS_PER_MS;
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    local_api_flush(f->api);
    while (zmq_poll(&item, 1, 0) == 0) {
        assert_true(clock_boot_ns() < until_ns);
        turn(f);
    }
    return zmq_recv(socket, to, max, ZMQ_DONTWAIT);
}

static void test_ask_and_answer(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    char bytes[64];
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    void *dealer = client_new(f, ZMQ_DEALER);
    zmq_send(dealer, "id-1", 4, ZMQ_SNDMORE);
    zmq_send(dealer, "first", 5, 0);
    zmq_send(dealer, "id-2", 4, ZMQ_SNDMORE);
    zmq_send(dealer, "second", 6, 0);
    wait_call(f, &call);
    uint64_t first = call.client;
    assert_false(call.is_gone);
    assert_int_equal(call.request.size, 5);
    assert_memory_equal(call.request.data, "first", 5);
    wait_call(f, &call);
    assert_int_equal(local_api_waiting(f->api), 2);
    assert_int_equal(local_api_reply(f->api, call.client, span_of("two", 3)), HM_OK);
    assert_int_equal(local_api_reply(f->api, first, span_of("one", 3)), HM_OK);
    assert_int_equal(local_api_reply(f->api, first, span_of("one", 3)), HM_ENOTFOUND);
    assert_int_equal(local_api_waiting(f->api), 0);
    assert_int_equal(receive(f, dealer, bytes, sizeof bytes), 4);
    assert_memory_equal(bytes, "id-2", 4);
    assert_int_equal(receive(f, dealer, bytes, sizeof bytes), 3);
    assert_memory_equal(bytes, "two", 3);
    assert_int_equal(receive(f, dealer, bytes, sizeof bytes), 4);
    assert_memory_equal(bytes, "id-1", 4);
    assert_int_equal(receive(f, dealer, bytes, sizeof bytes), 3);
    zmq_close(dealer);
}

static void test_req_socket(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    char bytes[64];
    void *req = client_new(f, ZMQ_REQ);
    zmq_send(req, "id", 2, ZMQ_SNDMORE);
    zmq_send(req, "", 0, 0); /* an empty request is the reader's to refuse */
    wait_call(f, &call);
    assert_int_equal(call.request.size, 0);
    assert_int_equal(local_api_reply(f->api, call.client, span_of("yes", 3)), HM_OK);
    assert_int_equal(receive(f, req, bytes, sizeof bytes), 2);
    assert_int_equal(receive(f, req, bytes, sizeof bytes), 3);
    zmq_close(req);
}

static void read_refusal(struct fixture *f, void *dealer, int code)
{
    zmq_msg_t msg;
    char id[LOCAL_REQUEST_ID_BYTES_MAX];
    struct api_reply reply;
    zmq_msg_init(&msg);
    assert_true(receive(f, dealer, id, sizeof id) >= 0);
    do {
        assert_true(zmq_msg_recv(&msg, dealer, ZMQ_DONTWAIT) >= 0);
    } while (zmq_msg_more(&msg));
    assert_int_equal(api_reply_read(span_of(zmq_msg_data(&msg), zmq_msg_size(&msg)), &reply),
                     HM_OK);
    assert_int_equal(reply.code, code);
    zmq_msg_close(&msg);
}

static void test_wrong_frames(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    char large[LOCAL_REQUEST_ID_BYTES_MAX + 1] = {'x'};
    void *dealer = client_new(f, ZMQ_DEALER);
    zmq_send(dealer, "alone", 5, 0);
    zmq_send(dealer, large, sizeof large, ZMQ_SNDMORE);
    zmq_send(dealer, "r", 1, 0);
    zmq_send(dealer, large, sizeof large, ZMQ_SNDMORE); /* what is behind it is not looked at */
    for (int i = 0; i < 9; i++) {
        zmq_send(dealer, "x", 1, ZMQ_SNDMORE);
    }
    zmq_send(dealer, "x", 1, 0);
    zmq_send(dealer, "", 0, 0);
    zmq_send(dealer, "id", 2, ZMQ_SNDMORE);
    zmq_send(dealer, "good", 4, 0);
    wait_call(f, &call);
    assert_memory_equal(call.request.data, "good", 4);
    assert_int_equal(f->metrics.value[M_CALLS_REFUSED], 4);
    for (int i = 0; i < 4; i++) {
        read_refusal(f, dealer, HM_EMALFORMED);
    }
    zmq_close(dealer);
}

static void send_many(void *dealer, int count)
{
    for (int i = 0; i < count; i++) {
        char id = (char) ('a' + i);
        zmq_send(dealer, &id, 1, ZMQ_SNDMORE);
        zmq_send(dealer, &id, 1, i + 1 < count ? ZMQ_SNDMORE : 0);
    }
}

static void read_pair(struct fixture *f, void *dealer, char id, const char *reply, bool is_last)
{
    char bytes[64];
    int more = 0;
    size_t size = sizeof more;
    assert_int_equal(receive(f, dealer, bytes, sizeof bytes), 1);
    assert_int_equal(bytes[0], id);
    assert_int_equal(receive(f, dealer, bytes, sizeof bytes), strlen(reply));
    assert_memory_equal(bytes, reply, strlen(reply));
    assert_int_equal(zmq_getsockopt(dealer, ZMQ_RCVMORE, &more, &size), 0);
    assert_int_equal(more, !is_last);
}

/* Several requests in one message: those that are answered at once are answered in one message. */
static void test_many_in_one_message(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    void *dealer = client_new(f, ZMQ_DEALER);
    f->at_once = "yes";
    send_many(dealer, 4);
    for (char id = 'a'; id <= 'd'; id++) {
        read_pair(f, dealer, id, "yes", id == 'd');
    }
    /* So many go at once: the client need not wait for the rest. */
    send_many(dealer, 20);
    for (int i = 0; i < 20; i++) {
        read_pair(f, dealer, (char) ('a' + i), "yes", i == 15 || i == 19);
    }
    /* Two messages are answered by two, though both are there already. */
    send_many(dealer, 1);
    send_many(dealer, 2);
    read_pair(f, dealer, 'a', "yes", true);
    read_pair(f, dealer, 'a', "yes", false);
    read_pair(f, dealer, 'b', "yes", true);
    /* What waits is answered together, too, if it is answered together. */
    f->at_once = NULL;
    send_many(dealer, 3);
    uint64_t waits[3];
    for (int i = 0; i < 3; i++) {
        wait_call(f, &call);
        assert_int_equal(call.request.data[0], 'a' + i);
        waits[i] = call.client;
    }
    assert_int_equal(local_api_reply(f->api, waits[2], span_of("one", 3)), HM_OK);
    assert_int_equal(local_api_reply(f->api, waits[0], span_of("two", 3)), HM_OK);
    read_pair(f, dealer, 'c', "one", false);
    read_pair(f, dealer, 'a', "two", true);
    assert_int_equal(local_api_reply(f->api, waits[1], span_of("late", 4)), HM_OK);
    read_pair(f, dealer, 'b', "late", true);
    assert_int_equal(local_api_waiting(f->api), 0);
    zmq_close(dealer);
}

/* Large replies travel by themselves. */
static void test_large_replies_in_between(void **state)
{
    static char reply[3000];
    struct fixture *f = *state;
    void *dealer = client_new(f, ZMQ_DEALER);
    memset(reply, 'r', sizeof reply - 1);
    f->at_once = reply;
    send_many(dealer, 2);
    for (char id = 'a'; id <= 'b'; id++) {
        char bytes[sizeof reply];
        int more = 1;
        size_t size = sizeof more;
        assert_int_equal(receive(f, dealer, bytes, sizeof bytes), 1);
        assert_int_equal(bytes[0], id);
        assert_int_equal(receive(f, dealer, bytes, sizeof bytes), sizeof reply - 1);
        assert_int_equal(zmq_getsockopt(dealer, ZMQ_RCVMORE, &more, &size), 0);
        assert_int_equal(more, 0);
    }
    zmq_close(dealer);
}

/* An id without its request behind good ones: those are answered, it is refused. */
static void test_half_a_request(void **state)
{
    struct fixture *f = *state;
    char bytes[8];
    void *dealer = client_new(f, ZMQ_DEALER);
    f->at_once = "yes";
    zmq_send(dealer, "i", 1, ZMQ_SNDMORE);
    zmq_send(dealer, "r", 1, ZMQ_SNDMORE);
    zmq_send(dealer, "j", 1, 0);
    read_pair(f, dealer, 'i', "yes", false);
    read_refusal(f, dealer, HM_EMALFORMED);
    assert_int_equal(zmq_recv(dealer, bytes, sizeof bytes, ZMQ_DONTWAIT), -1);
    zmq_close(dealer);
}

/* ---- clients that speak for themselves, byte by byte ---- */

static int raw_client(struct fixture *f)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    memcpy(sa.sun_path, f->path, strlen(f->path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *) &sa, sizeof sa), 0);
    return fd;
}

static void say(int fd, const void *bytes, size_t size)
{
    assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
}

/* Shakes hands, or says what is no handshake. */
static void say_hello(int fd)
{
    struct buf b;
    buf_init(&b, 4096);
    zmtp_greeting_write(&b);
    zmtp_ready_write(&b, ZMTP_DEALER, span_of("", 0));
    say(fd, b.data, b.size);
    buf_fini(&b);
}

/* Turns until so many bytes have come; fewer: the other end closed it. */
static size_t hear_raw(struct fixture *f, int fd, void *to, size_t size)
{
    uint64_t until_ns = clock_boot_ns() + WAIT_MS * NS_PER_MS;
    size_t got = 0;
    while (got < size) {
        assert_true(clock_boot_ns() < until_ns);
        turn(f);
        ssize_t n = recv(fd, (char *) to + got, size - got, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            break;
        }
        got += n > 0 ? (size_t) n : 0;
    }
    return got;
}

/* What a client hears before its first reply: greeting and READY. */
static size_t hello_bytes(void)
{
    struct buf b;
    buf_init(&b, 4096);
    zmtp_greeting_write(&b);
    zmtp_ready_write(&b, ZMTP_ROUTER, span_of("", 0));
    size_t size = b.size;
    buf_fini(&b);
    return size;
}

static bool is_cut(struct fixture *f, int fd)
{
    char bytes[4096];
    return hear_raw(f, fd, bytes, sizeof bytes) < sizeof bytes;
}

/* However the bytes come, it is the same request; its answer waits for no more of the message. */
static void test_bytes_one_by_one(void **state)
{
    static const uint8_t half[] = {1, 1, 'i', 1, 3, 'o', 'n', 'e'}; /* the message goes on, at some time */
    static const uint8_t rest[] = {1, 1, 'j', 0, 3, 't', 'w', 'o'};
    struct fixture *f = *state;
    struct buf b;
    uint8_t bytes[256];
    int fd = raw_client(f);
    f->at_once = "yes";
    buf_init(&b, 4096);
    zmtp_greeting_write(&b);
    zmtp_ready_write(&b, ZMTP_DEALER, span_of("", 0));
    buf_append(&b, half, sizeof half);
    for (size_t i = 0; i < b.size; i++) {
        say(fd, b.data + i, 1);
        turn(f);
    }
    size_t hello = hello_bytes();
    assert_int_equal(hear_raw(f, fd, bytes, hello + 8), hello + 8);
    assert_memory_equal(bytes + hello, "\1\1i\0\3yes", 8);
    for (size_t i = 0; i < sizeof rest; i++) {
        say(fd, rest + i, 1);
        turn(f);
    }
    assert_int_equal(hear_raw(f, fd, bytes, 8), 8);
    assert_memory_equal(bytes, "\1\1j\0\3yes", 8);
    buf_fini(&b);
    close(fd);
}

/* An answer that comes later does not wait for the rest of the message either. */
static void test_late_answer_within_a_message(void **state)
{
    static const uint8_t half[] = {1, 1, 'i', 1, 3, 'o', 'n', 'e'};
    struct fixture *f = *state;
    struct local_call call;
    uint8_t bytes[256];
    int fd = raw_client(f);
    say_hello(fd);
    say(fd, half, sizeof half);
    wait_call(f, &call);
    assert_int_equal(local_api_reply(f->api, call.client, span_of("late", 4)), HM_OK);
    local_api_flush(f->api);
    size_t size = hello_bytes() + 9;
    assert_int_equal(hear_raw(f, fd, bytes, size), size);
    assert_memory_equal(bytes + size - 9, "\1\1i\0\4late", 9);
    close(fd);
}

/* It ends within a message; while its first call is told as gone, the second one is answered. */
static void test_answered_while_it_ends(void **state)
{
    static const uint8_t half[] = {1, 1, 'i', 1, 1, 'x', 1, 1, 'j', 1, 1, 'y'};
    struct fixture *f = *state;
    struct local_call call;
    int fd = raw_client(f);
    say_hello(fd);
    say(fd, half, sizeof half);
    wait_call(f, &call);
    wait_call(f, &call);
    f->late = call.client;
    close(fd);
    wait_call(f, &call);
    assert_true(call.is_gone);
    f->late = 0;
    local_api_flush(f->api);
    turn(f);
    assert_int_equal(local_api_waiting(f->api), 0);
}

/* A client that frames like a REQ and sends two requests in a message: each answer begins with the empty frame. */
static void test_empty_frame_each_time(void **state)
{
    struct fixture *f = *state;
    struct local_call calls[2];
    char bytes[64];
    void *dealer = client_new(f, ZMQ_DEALER);
    zmq_send(dealer, "", 0, ZMQ_SNDMORE);
    send_many(dealer, 2);
    wait_call(f, &calls[0]);
    wait_call(f, &calls[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(local_api_reply(f->api, calls[i].client, span_of("one", 3)), HM_OK);
        assert_int_equal(receive(f, dealer, bytes, sizeof bytes), 0);
        read_pair(f, dealer, (char) ('a' + i), "one", true);
    }
    zmq_close(dealer);
}

static void test_what_is_no_zmtp(void **state)
{
    static const struct {
        bool has_hello;
        struct span bytes;
    } wrong[] = {
        {false, {(const uint8_t *) "GET / HTTP/1.1\r\n\r\n", 18}},
        {true, {(const uint8_t *) "\x10\0", 2}},                             /* no such flag */
        {true, {(const uint8_t *) "\3\0\0\0\0\0\xff\xff\xff", 9}},        /* 16 MiB */
        {true, {(const uint8_t *) "\3\xff\xff\xff\xff\xff\xff\xff\xff", 9}},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        int fd = raw_client(f);
        if (wrong[i].has_hello) {
            say_hello(fd);
        }
        say(fd, wrong[i].bytes.data, wrong[i].bytes.size);
        assert_true(is_cut(f, fd));
        close(fd);
    }
    assert_int_equal(f->heard_count, 0);
}

/* A flood of requests that is there at once is taken to its end, though each turn is bounded and no more bytes come. */
static void test_a_flood_is_taken_to_its_end(void **state)
{
    static const uint8_t one[] = {1, 1, 'i', 0, 0};
    struct fixture *f = *state;
    struct buf b;
    static uint8_t bytes[65536];
    int fd = raw_client(f);
    f->at_once = "";
    buf_init(&b, 65536);
    for (unsigned i = 0; i < 2000; i++) {
        buf_append(&b, one, sizeof one);
    }
    say_hello(fd);
    say(fd, b.data, b.size);
    size_t size = hello_bytes() + 2000 * sizeof one;
    assert_int_equal(hear_raw(f, fd, bytes, size), size);
    assert_int_equal(f->answered, 2000);
    buf_fini(&b);
    close(fd);
}

/* More than may be connected: they wait, and are served when others go. */
static void test_a_crowd(void **state)
{
    static int fds[LOCAL_CLIENTS_MAX + 20];
    static const uint8_t one[] = {1, 1, 'i', 0, 0};
    struct fixture *f = *state;
    char bytes[256];
    f->at_once = "x";
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        fds[i] = raw_client(f);
        say_hello(fds[i]);
        say(fds[i], one, sizeof one);
        turn(f); /* or connecting would wait for a place in the backlog */
    }
    uint64_t until_ns = clock_boot_ns() + WAIT_MS * NS_PER_MS;
    while (f->answered < LOCAL_CLIENTS_MAX) {
        assert_true(clock_boot_ns() < until_ns);
        turn(f);
    }
    int last = fds[ARRAY_COUNT(fds) - 1];
    turn(f);
    assert_int_equal(f->answered, LOCAL_CLIENTS_MAX);
    assert_int_equal(recv(last, bytes, sizeof bytes, MSG_DONTWAIT), -1);
    for (size_t i = 0; i < 40; i++) {
        assert_true(recv(fds[i], bytes, sizeof bytes, MSG_DONTWAIT) > 6);
        close(fds[i]);
    }
    assert_int_equal(hear_raw(f, last, bytes, 10), 10);
    for (size_t i = 40; i < ARRAY_COUNT(fds); i++) {
        close(fds[i]);
    }
}

/* Those who connect and say nothing lock nobody out. */
static void test_a_silent_crowd(void **state)
{
    static int fds[LOCAL_CLIENTS_MAX];
    static const uint8_t one[] = {1, 1, 'i', 0, 0};
    struct fixture *f = *state;
    char bytes[256];
    f->at_once = "x";
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        fds[i] = raw_client(f);
        if (i == 0) {
            say_hello(fds[i]); /* it has shaken hands, and may be silent as long as it likes */
        }
        turn(f);
    }
    int another = raw_client(f);
    say_hello(another);
    say(another, one, sizeof one);
    assert_int_equal(hear_raw(f, another, bytes, hello_bytes() + 2), hello_bytes() + 2);
    assert_int_equal(f->answered, 1);
    assert_true(is_cut(f, fds[1]));
    say(fds[0], one, sizeof one);
    assert_int_equal(hear_raw(f, fds[0], bytes, hello_bytes() + 2), hello_bytes() + 2);
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++) {
        close(fds[i]);
    }
    close(another);
}

static void ask_of(struct fixture *f, void *dealer)
{
    struct local_call call;
    zmq_send(dealer, "id", 2, ZMQ_SNDMORE);
    zmq_send(dealer, "r", 1, 0);
    wait_call(f, &call);
}

static void ask_too_much(struct fixture *f, void *dealer)
{
    struct local_call call;
    zmq_send(dealer, "id", 2, ZMQ_SNDMORE);
    zmq_send(dealer, "one too many", 12, 0);
    read_refusal(f, dealer, HM_EBUSY);
    assert_false(take_call(f, &call));
}

/* Clients that have many waiting leave room to those that have few. */
static void test_too_many(void **state)
{
    enum { BUSY = 4, CALM = LOCAL_CALLS_KEPT / LOCAL_CALLS_FEW, ALL = BUSY + CALM + 1 };
    struct fixture *f = *state;
    struct local_call call;
    void *dealers[ALL];
    /* Several clients, because one alone is pushed back by its queue. */
    for (int i = 0; i < ALL; i++) {
        dealers[i] = client_new(f, ZMQ_DEALER);
    }
    for (int i = 0; i < LOCAL_CALLS_MAX - LOCAL_CALLS_KEPT; i++) {
        ask_of(f, dealers[i % BUSY]);
    }
    ask_too_much(f, dealers[0]);
    for (int i = 0; i < LOCAL_CALLS_KEPT; i++) {
        ask_of(f, dealers[BUSY + i / LOCAL_CALLS_FEW]);
    }
    ask_too_much(f, dealers[BUSY]);
    ask_too_much(f, dealers[ALL - 1]);
    for (int i = 0; i < ALL; i++) {
        zmq_close(dealers[i]);
    }
    for (int i = 0; i < LOCAL_CALLS_MAX; i++) {
        wait_call(f, &call);
        assert_true(call.is_gone);
    }
    assert_int_equal(local_api_waiting(f->api), 0);
}

static void test_client_goes_away(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    void *stays = client_new(f, ZMQ_DEALER);
    zmq_send(stays, "s", 1, ZMQ_SNDMORE);
    zmq_send(stays, "stays", 5, 0);
    wait_call(f, &call);
    uint64_t staying = call.client;
    for (int i = 0; i < 20; i++) {
        void *goes = client_new(f, ZMQ_DEALER);
        zmq_send(goes, "g", 1, ZMQ_SNDMORE);
        zmq_send(goes, "goes", 4, 0);
        wait_call(f, &call);
        assert_false(call.is_gone);
        uint64_t going = call.client;
        zmq_close(goes);
        wait_call(f, &call);
        assert_true(call.is_gone);
        assert_int_equal(call.client, going);
    }
    assert_int_equal(local_api_waiting(f->api), 1);
    assert_int_equal(local_api_reply(f->api, staying, span_of("yes", 3)), HM_OK);
    char bytes[8];
    assert_int_equal(receive(f, stays, bytes, sizeof bytes), 1);
    zmq_close(stays);
}

static uint8_t largest[HM_REPLY_BYTES_MAX + 1];

/* A client that has many calls waiting and does not read when they are answered: what is too much is lost and counted, and
 * nothing blocks. */
static void test_client_does_not_read(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    static uint64_t calls[200];
    uint64_t lost = 0;
    int hwm = 1;
    int linger = 0;
    void *dealer = zmq_socket(f->ctx, ZMQ_DEALER);
    zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(dealer, ZMQ_RCVHWM, &hwm, sizeof hwm);
    zmq_connect(dealer, f->endpoint);
    for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
        zmq_send(dealer, "id", 2, ZMQ_SNDMORE);
        zmq_send(dealer, "r", 1, 0);
        wait_call(f, &call);
        calls[i] = call.client;
    }
    for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
        int rc = local_api_reply(f->api, calls[i], span_of(largest, 65536));
        assert_true(rc == HM_OK || rc == HM_EFULL);
        lost += rc == HM_EFULL;
        local_api_flush(f->api);
    }
    assert_in_range(lost, 50, ARRAY_COUNT(calls) - 90);
    assert_int_equal(f->metrics.value[M_REPLIES_LOST], lost);
    assert_int_equal(local_api_waiting(f->api), 0);
    zmq_close(dealer);
}

static void ask(void *dealer)
{
    zmq_send(dealer, "id", 2, ZMQ_SNDMORE);
    zmq_send(dealer, "r", 1, 0);
}

/* A client that asks for more than it reads is asked to wait, and loses nothing; others do not feel it. */
static void test_requests_wait_for_who_reads(void **state)
{
    struct fixture *f = *state;
    void *dealer = zmq_socket(f->ctx, ZMQ_DEALER);
    int hwm = 1;
    int linger = 0;
    zmq_setsockopt(dealer, ZMQ_RCVHWM, &hwm, sizeof hwm);
    zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_connect(dealer, f->endpoint), 0);
    memset(largest, 'r', sizeof largest - 1);
    f->at_once = (const char *) largest;
    for (int i = 0; i < 20; i++) {
        ask(dealer);
    }
    size_t before;
    do {
        before = f->answered;
        for (int i = 0; i < 20; i++) {
            turn(f);
        }
    } while (f->answered > before || f->answered == 0);
    assert_in_range(f->answered, 3, 10); /* 3 or 4 wait here, a few on the way */
    void *other = client_new(f, ZMQ_DEALER);
    ask(other);
    assert_int_equal(receive(f, other, largest, 2), 2);
    assert_int_equal(receive(f, other, largest, sizeof largest), sizeof largest - 1);
    assert_true(f->answered < 12);
    for (unsigned i = 0; i < 20; i++) { /* it reads after all */
        assert_int_equal(receive(f, dealer, largest, 2), 2);
        assert_int_equal(receive(f, dealer, largest, sizeof largest), sizeof largest - 1);
        memset(largest, 'r', sizeof largest - 1);
    }
    assert_int_equal(f->answered, 21);
    assert_int_equal(f->metrics.value[M_REPLIES_LOST], 0);
    zmq_close(dealer);
    zmq_close(other);
}

/* A client whose requests wait goes away: the loop ends it, and does not run in circles. */
static void test_full_client_goes_away(void **state)
{
    static const uint8_t one[] = {1, 1, 'i', 0, 0};
    struct fixture *f = *state;
    bool is_asleep = false;
    int fd = raw_client(f);
    memset(largest, 'r', sizeof largest - 1);
    f->at_once = (const char *) largest;
    say_hello(fd);
    for (int i = 0; i < 20; i++) {
        say(fd, one, sizeof one);
    }
    size_t before;
    do {
        before = f->answered;
        for (int i = 0; i < 20; i++) {
            turn(f);
        }
    } while (f->answered > before || f->answered == 0);
    assert_true(f->answered < 20);
    close(fd);
    for (int i = 0; i < 100 && !is_asleep; i++) {
        uint64_t due_ns = clock_boot_ns() + 5 * NS_PER_MS;
        assert_int_equal(reactor_turn(f->reactor, due_ns), HM_OK);
        is_asleep = clock_boot_ns() >= due_ns;
    }
    assert_true(is_asleep);
}

/* Many large answers to one message are on their way while the rest of it is worked on: none is lost. */
static void test_large_answers_to_one_message(void **state)
{
    static char reply[262144];
    struct fixture *f = *state;
    void *dealer = client_new(f, ZMQ_DEALER);
    memset(reply, 'r', sizeof reply - 1);
    f->at_once = reply;
    for (int i = 0; i < 64; i++) {
        zmq_send(dealer, "i", 1, ZMQ_SNDMORE);
        zmq_send(dealer, "r", 1, i < 63 ? ZMQ_SNDMORE : 0);
    }
    for (int i = 0; i < 64; i++) {
        assert_int_equal(receive(f, dealer, largest, 2), 1);
        assert_int_equal(receive(f, dealer, largest, sizeof largest), sizeof reply - 1);
    }
    assert_int_equal(f->metrics.value[M_REPLIES_LOST], 0);
    zmq_close(dealer);
}

/* A request with the largest value comes; one byte more, and the client is cut off. */
static void test_largest_request(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    for (size_t extra = 0; extra <= 1; extra++) {
        void *dealer = client_new(f, ZMQ_DEALER);
        zmq_send(dealer, "id", 2, ZMQ_SNDMORE);
        zmq_send(dealer, largest, HM_REQUEST_BYTES_MAX + extra, 0);
        if (extra == 1) { /* it is not the first to come now */
            void *next = client_new(f, ZMQ_DEALER);
            ask(next);
            wait_call(f, &call);
            assert_int_equal(call.request.size, 1);
            assert_int_equal(local_api_reply(f->api, call.client, span_of("no", 2)), HM_OK);
            zmq_close(next);
        } else {
            wait_call(f, &call);
            assert_int_equal(call.request.size, HM_REQUEST_BYTES_MAX);
            assert_int_equal(local_api_reply(f->api, call.client, span_of("ok", 2)), HM_OK);
        }
        zmq_close(dealer);
    }
}

static void test_what_lies_at_the_path(void **state)
{
    struct fixture *f = *state;
    struct why why = {""};
    local_api_t *other = NULL;
    char path[108];
    assert_int_equal(open_api(f, f->path, &other, &why), HM_EBUSY);
    assert_non_null(strstr(why.text, f->path));
    snprintf(path, sizeof path, "%s/file", f->dir);
    FILE *file = fopen(path, "w");
    fputs("precious", file);
    fclose(file);
    assert_int_equal(open_api(f, path, &other, &why), HM_EEXIST);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    /* A socket whose process died is replaced. */
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(sa.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof sa), 0);
    close(fd);
    assert_int_equal(open_api(f, path, &other, &why), HM_OK);
    local_api_destroy(&other);
    unlink(path);
    snprintf(path, sizeof path, "%s/no/such", f->dir);
    assert_int_equal(open_api(f, path, &other, &why), HM_EIO);
    char endless[200];
    memset(endless, 'x', sizeof endless - 1);
    endless[199] = '\0';
    assert_int_equal(open_api(f, endless, &other, &why), HM_EINVAL);
    assert_null(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ask_and_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_req_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_in_one_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_replies_in_between, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_a_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bytes_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_late_answer_within_a_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answered_while_it_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_empty_frame_each_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_zmtp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_flood_is_taken_to_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_crowd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_silent_crowd, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_goes_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_does_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_requests_wait_for_who_reads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_client_goes_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_answers_to_one_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_largest_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_lies_at_the_path, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
