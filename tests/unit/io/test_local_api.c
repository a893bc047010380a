/* SPDX-License-Identifier: MPL-2.0 */
/* The local socket, with real ZeroMQ clients in the same process: framing, replies, clients that go
 * away or do not read, and what may lie at the path. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/local_api.h"
#include "wire/api_msg.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define WAIT_MS 5000

struct fixture {
    void *ctx;
    char dir[64];
    char path[108];
    char endpoint[128];
    struct metrics metrics;
    local_api_t *api;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct why why = {""};
    f->ctx = zmq_ctx_new();
    snprintf(f->dir, sizeof f->dir, "/tmp/test_local_api.XXXXXX");
    if (mkdtemp(f->dir) == NULL) {
        return -1;
    }
    snprintf(f->path, sizeof f->path, "%s/meshd.sock", f->dir);
    snprintf(f->endpoint, sizeof f->endpoint, "ipc://%s", f->path);
    *state = f;
    return local_api_new(f->ctx, f->path, &f->metrics, &f->api, &why);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    local_api_destroy(&f->api);
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

static void wait_call(struct fixture *f, struct local_call *ret)
{
    for (;;) {
        if (local_api_take(f->api, ret) == HM_OK) {
            return;
        }
        zmq_pollitem_t items[2] = {{local_api_socket(f->api), 0, ZMQ_POLLIN, 0},
                                   {local_api_monitor(f->api), 0, ZMQ_POLLIN, 0}};
        assert_true(zmq_poll(items, 2, WAIT_MS) > 0);
    }
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
    assert_int_equal(zmq_recv(dealer, bytes, sizeof bytes, 0), 4);
    assert_memory_equal(bytes, "id-2", 4);
    assert_int_equal(zmq_recv(dealer, bytes, sizeof bytes, 0), 3);
    assert_memory_equal(bytes, "two", 3);
    assert_int_equal(zmq_recv(dealer, bytes, sizeof bytes, 0), 4);
    assert_memory_equal(bytes, "id-1", 4);
    assert_int_equal(zmq_recv(dealer, bytes, sizeof bytes, 0), 3);
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
    assert_int_equal(zmq_recv(req, bytes, sizeof bytes, 0), 2);
    assert_int_equal(zmq_recv(req, bytes, sizeof bytes, 0), 3);
    zmq_close(req);
}

static void read_refusal(void *dealer, int code)
{
    zmq_msg_t msg;
    struct api_reply reply;
    zmq_msg_init(&msg);
    assert_true(zmq_msg_recv(&msg, dealer, 0) >= 0);
    while (zmq_msg_more(&msg)) {
        assert_true(zmq_msg_recv(&msg, dealer, 0) >= 0);
    }
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
        read_refusal(dealer, HM_EMALFORMED);
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

static void read_pair(void *dealer, char id, const char *reply, bool is_last)
{
    char bytes[64];
    int more = 0;
    size_t size = sizeof more;
    assert_int_equal(zmq_recv(dealer, bytes, sizeof bytes, 0), 1);
    assert_int_equal(bytes[0], id);
    assert_int_equal(zmq_recv(dealer, bytes, sizeof bytes, 0), strlen(reply));
    assert_memory_equal(bytes, reply, strlen(reply));
    assert_int_equal(zmq_getsockopt(dealer, ZMQ_RCVMORE, &more, &size), 0);
    assert_int_equal(more, !is_last);
}

/* Several requests in one message: those that are answered at once are answered in one message. */
static void test_many_in_one_message(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    uint64_t waits = 0;
    void *dealer = client_new(f, ZMQ_DEALER);
    send_many(dealer, 5);
    for (int i = 0; i < 5; i++) {
        wait_call(f, &call);
        assert_int_equal(call.request.data[0], 'a' + i);
        if (i == 2) {
            waits = call.client;
        } else {
            assert_int_equal(local_api_reply(f->api, call.client, span_of("yes", 3)), HM_OK);
        }
        local_api_flush(f->api);
    }
    read_pair(dealer, 'a', "yes", false);
    read_pair(dealer, 'b', "yes", false);
    read_pair(dealer, 'd', "yes", false);
    read_pair(dealer, 'e', "yes", true);
    assert_int_equal(local_api_reply(f->api, waits, span_of("late", 4)), HM_OK);
    read_pair(dealer, 'c', "late", true);
    /* The last one waits: the others need not wait for it. */
    send_many(dealer, 2);
    wait_call(f, &call);
    assert_int_equal(local_api_reply(f->api, call.client, span_of("one", 3)), HM_OK);
    local_api_flush(f->api);
    wait_call(f, &call);
    local_api_flush(f->api);
    read_pair(dealer, 'a', "one", true);
    assert_int_equal(local_api_reply(f->api, call.client, span_of("two", 3)), HM_OK);
    read_pair(dealer, 'b', "two", true);
    assert_int_equal(local_api_waiting(f->api), 0);
    zmq_close(dealer);
}

/* An id without its request behind good ones: those are answered, it is refused. */
static void test_half_a_request(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    char bytes[8];
    void *dealer = client_new(f, ZMQ_DEALER);
    zmq_send(dealer, "i", 1, ZMQ_SNDMORE);
    zmq_send(dealer, "r", 1, ZMQ_SNDMORE);
    zmq_send(dealer, "j", 1, 0);
    wait_call(f, &call);
    assert_int_equal(local_api_reply(f->api, call.client, span_of("yes", 3)), HM_OK);
    assert_int_equal(local_api_take(f->api, &call), HM_ENOTFOUND);
    read_pair(dealer, 'i', "yes", false);
    read_refusal(dealer, HM_EMALFORMED);
    assert_int_equal(zmq_recv(dealer, bytes, sizeof bytes, ZMQ_DONTWAIT), -1);
    zmq_close(dealer);
}

static void test_too_many(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    void *dealers[5];
    /* Several clients, because one alone is pushed back by its queue. */
    for (int i = 0; i < 5; i++) {
        dealers[i] = client_new(f, ZMQ_DEALER);
    }
    for (int i = 0; i < LOCAL_CALLS_MAX; i++) {
        zmq_send(dealers[i % 4], "id", 2, ZMQ_SNDMORE);
        zmq_send(dealers[i % 4], "r", 1, 0);
        wait_call(f, &call);
    }
    zmq_send(dealers[4], "id", 2, ZMQ_SNDMORE);
    zmq_send(dealers[4], "one too many", 12, 0);
    zmq_pollitem_t item = {dealers[4], 0, ZMQ_POLLIN, 0};
    for (int i = 0; i < 500 && zmq_poll(&item, 1, 10) == 0; i++) {
        assert_int_equal(local_api_take(f->api, &call), HM_ENOTFOUND);
    }
    read_refusal(dealers[4], HM_EBUSY);
    for (int i = 0; i < 5; i++) {
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
    assert_int_equal(zmq_recv(stays, bytes, sizeof bytes, 0), 1);
    zmq_close(stays);
}

/* A client that asks and never reads: its replies are lost and counted, and nothing blocks. */
static void test_client_does_not_read(void **state)
{
    struct fixture *f = *state;
    static uint8_t reply[65536];
    struct local_call call;
    uint64_t lost = 0;
    int hwm = 1;
    void *dealer = zmq_socket(f->ctx, ZMQ_DEALER);
    int linger = 0;
    zmq_setsockopt(dealer, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(dealer, ZMQ_RCVHWM, &hwm, sizeof hwm);
    zmq_connect(dealer, f->endpoint);
    for (int i = 0; i < 400 && lost == 0; i++) {
        zmq_send(dealer, "id", 2, ZMQ_SNDMORE);
        zmq_send(dealer, "r", 1, 0);
        wait_call(f, &call);
        lost += local_api_reply(f->api, call.client, span_of(reply, sizeof reply)) == HM_EFULL;
    }
    assert_int_equal(lost, 1);
    assert_int_equal(f->metrics.value[M_REPLIES_LOST], 1);
    assert_int_equal(local_api_waiting(f->api), 0);
    zmq_close(dealer);
}

static void ask(void *dealer)
{
    zmq_send(dealer, "id", 2, ZMQ_SNDMORE);
    zmq_send(dealer, "r", 1, 0);
}

static uint8_t largest[HM_REPLY_BYTES_MAX];

/* Of large replies fewer are kept than of small ones; other clients do not feel it. */
static void test_client_does_not_read_large_ones(void **state)
{
    struct fixture *f = *state;
    struct local_call call;
    struct span reply = span_of(largest, sizeof largest);
    void *dealer = zmq_socket(f->ctx, ZMQ_DEALER);
    int hwm = 1;
    int timeout = WAIT_MS;
    unsigned kept = 0;
    zmq_setsockopt(dealer, ZMQ_RCVHWM, &hwm, sizeof hwm);
    zmq_setsockopt(dealer, ZMQ_RCVTIMEO, &timeout, sizeof timeout);
    assert_int_equal(zmq_connect(dealer, f->endpoint), 0);
    for (;; kept++) {
        ask(dealer);
        wait_call(f, &call);
        int rc = local_api_reply(f->api, call.client, reply);
        if (rc != HM_OK) {
            assert_int_equal(rc, HM_EFULL);
            break;
        }
        assert_true(kept < 20);
    }
    assert_in_range(kept, 4, 10); /* 4 wait here, a few at the client */
    assert_int_equal(f->metrics.value[M_REPLIES_LOST], 1);
    void *other = client_new(f, ZMQ_DEALER);
    ask(other);
    wait_call(f, &call);
    assert_int_equal(local_api_reply(f->api, call.client, reply), HM_OK);
    assert_int_equal(zmq_recv(other, largest, 2, 0), 2);
    assert_int_equal(zmq_recv(other, largest, sizeof largest, 0), sizeof largest);
    for (unsigned i = 0; i < kept; i++) { /* it reads after all */
        assert_int_equal(zmq_recv(dealer, largest, 2, 0), 2);
        assert_int_equal(zmq_recv(dealer, largest, sizeof largest, 0), sizeof largest);
    }
    ask(dealer);
    wait_call(f, &call);
    assert_int_equal(local_api_reply(f->api, call.client, reply), HM_OK);
    assert_int_equal(zmq_recv(dealer, largest, 2, 0), 2);
    assert_int_equal(zmq_recv(dealer, largest, sizeof largest, 0), sizeof largest);
    zmq_close(dealer);
    zmq_close(other);
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
    assert_int_equal(local_api_new(f->ctx, f->path, &f->metrics, &other, &why), HM_EBUSY);
    assert_non_null(strstr(why.text, f->path));
    snprintf(path, sizeof path, "%s/file", f->dir);
    FILE *file = fopen(path, "w");
    fputs("precious", file);
    fclose(file);
    assert_int_equal(local_api_new(f->ctx, path, &f->metrics, &other, &why), HM_EEXIST);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    /* A socket whose process died is replaced. */
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(sa.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(fd, (struct sockaddr *) &sa, sizeof sa), 0);
    close(fd);
    assert_int_equal(local_api_new(f->ctx, path, &f->metrics, &other, &why), HM_OK);
    local_api_destroy(&other);
    unlink(path);
    snprintf(path, sizeof path, "%s/no/such", f->dir);
    assert_int_equal(local_api_new(f->ctx, path, &f->metrics, &other, &why), HM_EIO);
    char endless[200];
    memset(endless, 'x', sizeof endless - 1);
    endless[199] = '\0';
    assert_int_equal(local_api_new(f->ctx, endless, &f->metrics, &other, &why), HM_EINVAL);
    assert_null(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ask_and_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_req_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_in_one_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_a_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_goes_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_does_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_client_does_not_read_large_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_largest_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_lies_at_the_path, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
