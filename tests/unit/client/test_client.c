/* SPDX-License-Identifier: MPL-2.0 */
/* The client against a server that a test tells how to behave. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "client/client.h"
#include "wire/mpack.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum manner {
    ANSWER,         /* as meshd does */
    ANSWER_AND_END, /* the reply is the last thing it does */
    ANSWER_LATE,    /* the first request only when the second has come */
    ANSWER_NONSENSE,
    END, /* without an answer */
};

struct server {
    char path[100];
    enum manner manner;
    void *zmq_ctx;
    void *socket;
    pthread_t thread;
};

static char dir[64];

static int set_up(void **state)
{
    (void) state;
    snprintf(dir, sizeof dir, "/tmp/hm-client-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int tear_down(void **state)
{
    (void) state;
    return rmdir(dir);
}

/* Receives id and request behind the routing id; all are kept to answer. */
struct asked {
    uint8_t routing[255];
    int routing_bytes;
    uint8_t id[32];
    int id_bytes;
};

static void receive(void *socket, struct asked *a)
{
    uint8_t request[1024];
    a->routing_bytes = zmq_recv(socket, a->routing, sizeof a->routing, 0);
    a->id_bytes = zmq_recv(socket, a->id, sizeof a->id, 0);
    assert_true(zmq_recv(socket, request, sizeof request, 0) > 0);
}

static void answer(void *socket, const struct asked *a, const void *bytes, size_t size)
{
    zmq_send(socket, a->routing, (size_t) a->routing_bytes, ZMQ_SNDMORE);
    zmq_send(socket, a->id, (size_t) a->id_bytes, ZMQ_SNDMORE);
    zmq_send(socket, bytes, size, 0);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    struct api_reply reply = {.code = HM_ENOTFOUND, .text = "no such thing here"};
    struct asked first;
    struct asked second;
    struct buf b;
    buf_init(&b, 4096);
    api_reply_write(&b, &reply);
    receive(s->socket, &first);
    switch (s->manner) {
    case ANSWER:
    case ANSWER_AND_END:
        answer(s->socket, &first, b.data, b.size);
        break;
    case ANSWER_LATE:
        receive(s->socket, &second);
        answer(s->socket, &first, "\x00", 1);
        answer(s->socket, &second, b.data, b.size);
        break;
    case ANSWER_NONSENSE:
        answer(s->socket, &first, "\xdf\xff\xff\xff\xff", 5);
        break;
    case END:
        break;
    }
    if (s->manner == ANSWER_AND_END || s->manner == END) {
        zmq_close(s->socket);
        zmq_ctx_term(s->zmq_ctx);
        s->zmq_ctx = NULL;
    }
    buf_fini(&b);
    return NULL;
}

static void server_start(struct server *s, enum manner manner)
{
    char endpoint[128];
    int linger_ms = 1000;
    s->manner = manner;
    snprintf(s->path, sizeof s->path, "%s/meshd.sock", dir);
    snprintf(endpoint, sizeof endpoint, "ipc://%s", s->path);
    s->zmq_ctx = zmq_ctx_new();
    s->socket = zmq_socket(s->zmq_ctx, ZMQ_ROUTER);
    assert_int_equal(zmq_setsockopt(s->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms), 0);
    assert_int_equal(zmq_bind(s->socket, endpoint), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
    pthread_join(s->thread, NULL);
    if (s->zmq_ctx != NULL) {
        zmq_close(s->socket);
        zmq_ctx_term(s->zmq_ctx);
    }
    unlink(s->path);
}

static const struct api_request request = {.op = "version", .deadline_ms = 1000};

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

static void test_nobody_there(void **state)
{
    char path[128];
    client_t *client = NULL;
    uint64_t begun = now_ms();
    (void) state;
    snprintf(path, sizeof path, "%s/none.sock", dir);
    assert_int_equal(client_new(path, &client), HM_EUNREACHABLE);
    assert_null(client);
    memset(path, 'x', sizeof path - 1);
    path[108] = '\0';
    assert_int_equal(client_new(path, &client), HM_EINVAL);
    assert_int_equal(client_new("", &client), HM_EINVAL);
    assert_true(now_ms() - begun < 500);
}

/* What a killed daemon leaves behind. */
static void test_stale_socket(void **state)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    client_t *client = NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void) state;
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s/stale.sock", dir);
    assert_int_equal(bind(fd, (const struct sockaddr *) &sa, sizeof sa), 0);
    assert_int_equal(listen(fd, 1), 0);
    close(fd);
    assert_int_equal(client_new(sa.sun_path, &client), HM_EUNREACHABLE);
    unlink(sa.sun_path);
}

/* A stopped process: the kernel accepts for it, and nothing ever comes. */
static void test_deaf_server(void **state)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct api_reply reply;
    client_t *client = NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void) state;
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s/deaf.sock", dir);
    assert_int_equal(bind(fd, (const struct sockaddr *) &sa, sizeof sa), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(client_new(sa.sun_path, &client), HM_OK);
    uint64_t begun = now_ms();
    assert_int_equal(client_call(client, &request, 100, &reply), HM_ETIMEDOUT);
    assert_in_range(now_ms() - begun, 100, 2000);
    client_destroy(&client);
    close(fd);
    unlink(sa.sun_path);
}

static void test_answer(void **state)
{
    struct server server;
    struct api_reply reply;
    client_t *client = NULL;
    (void) state;
    server_start(&server, ANSWER);
    assert_int_equal(client_new(server.path, &client), HM_OK);
    assert_int_equal(client_call(client, &request, 5000, &reply), HM_OK);
    assert_int_equal(reply.code, HM_ENOTFOUND);
    assert_string_equal(reply.text, "no such thing here");
    client_destroy(&client);
    client_destroy(&client);
    server_stop(&server);
}

/* `leave` is answered by a daemon that ends at once. */
static void test_last_words_are_heard(void **state)
{
    (void) state;
    for (int i = 0; i < 50; i++) {
        struct server server;
        struct api_reply reply;
        client_t *client = NULL;
        server_start(&server, ANSWER_AND_END);
        assert_int_equal(client_new(server.path, &client), HM_OK);
        int code = client_call(client, &request, 5000, &reply);
        if (code != HM_OK) {
            print_error("round %d: %s\n", i, hm_strerror(code));
            fail();
        }
        assert_int_equal(reply.code, HM_ENOTFOUND);
        assert_int_equal(client_wait_end(client, 5000), HM_OK);
        client_destroy(&client);
        server_stop(&server);
    }
}

static void test_server_ends(void **state)
{
    struct server server;
    struct api_reply reply;
    client_t *client = NULL;
    uint64_t begun = now_ms();
    (void) state;
    server_start(&server, END);
    assert_int_equal(client_new(server.path, &client), HM_OK);
    assert_int_equal(client_call(client, &request, 10000, &reply), HM_EUNREACHABLE);
    assert_int_equal(client_call(client, &request, 10000, &reply), HM_EUNREACHABLE);
    assert_true(now_ms() - begun < 3000);
    client_destroy(&client);
    server_stop(&server);
}

static void test_late_reply_is_skipped(void **state)
{
    struct server server;
    struct api_reply reply;
    client_t *client = NULL;
    (void) state;
    server_start(&server, ANSWER_LATE);
    assert_int_equal(client_new(server.path, &client), HM_OK);
    assert_int_equal(client_call(client, &request, 50, &reply), HM_ETIMEDOUT);
    assert_int_equal(client_call(client, &request, 5000, &reply), HM_OK);
    assert_int_equal(reply.code, HM_ENOTFOUND);
    client_destroy(&client);
    server_stop(&server);
}

static void test_nonsense(void **state)
{
    struct server server;
    struct api_reply reply;
    client_t *client = NULL;
    (void) state;
    server_start(&server, ANSWER_NONSENSE);
    assert_int_equal(client_new(server.path, &client), HM_OK);
    assert_int_equal(client_call(client, &request, 5000, &reply), HM_EMALFORMED);
    client_destroy(&client);
    server_stop(&server);
}

static void test_output_that_nobody_reads(void **state)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct api_reply reply;
    client_t *client = NULL;
    int output[2];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void) state;
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s/deaf.sock", dir);
    assert_int_equal(bind(fd, (const struct sockaddr *) &sa, sizeof sa), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(pipe(output), 0);
    close(output[0]);
    assert_int_equal(client_new(sa.sun_path, &client), HM_OK);
    client_watch_output(client, output[1]);
    assert_int_equal(client_call(client, &request, 10000, &reply), HM_EIO);
    client_destroy(&client);
    close(output[1]);
    close(fd);
    unlink(sa.sun_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_stale_socket),
        cmocka_unit_test(test_deaf_server),
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_last_words_are_heard),
        cmocka_unit_test(test_server_ends),
        cmocka_unit_test(test_late_reply_is_skipped),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_output_that_nobody_reads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
