/* SPDX-License-Identifier: MPL-2.0 */
/* The library against a meshd that a test tells how to behave: bytes on a plain socket, so that it may be hostile,
 * slow, dying or absent. What it does with real daemons is in tests/net/test_library.py. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/be.h"
#include "base/err.h"
#include "homemesh.h"
#include "wire/api_msg.h"
#include "wire/mpack.h"
#include "wire/zmtp.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ID_BYTES 8
#define ASKED_MAX 64

struct fixture {
    char dir[64];
    char path[100];
    int listener;
    int fd; /* the connection that was accepted */
    pthread_t thread;
    void (*serve)(struct fixture *f);
    unsigned asked; /* requests that came */
    char ops[ASKED_MAX][32];
};

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

static void listen_there(struct fixture *f)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    memcpy(sa.sun_path, f->path, strlen(f->path) + 1);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *) &sa, sizeof sa), 0);
    assert_int_equal(listen(f->listener, 4), 0);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/hm-library-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/meshd.sock", f->dir);
    f->listener = f->fd = -1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    if (f->listener >= 0) {
        close(f->listener);
    }
    unlink(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void *run_server(void *arg)
{
    struct fixture *f = arg;
    f->serve(f);
    return NULL;
}

static void start(struct fixture *f, void (*serve)(struct fixture *f))
{
    listen_there(f);
    f->serve = serve;
    assert_int_equal(pthread_create(&f->thread, NULL, run_server, f), 0);
}

/* ---- the server's side ----------------------------------------------------------------------- */

static bool read_all(int fd, void *to, size_t size)
{
    return recv(fd, to, size, MSG_WAITALL) == (ssize_t) size;
}

static void send_all(int fd, const void *data, size_t size)
{
    (void) !send(fd, data, size, MSG_NOSIGNAL);
}

/* Reads one frame; its flags. -1: the client is gone. */
static int read_frame(int fd, uint8_t *body, size_t *ret_size)
{
    uint8_t head[9];
    uint64_t size;
    if (!read_all(fd, head, 2)) {
        return -1;
    }
    size = head[1];
    if ((head[0] & 2) != 0) {
        assert_true(read_all(fd, head + 2, 7));
        size = be_get(head + 1, 8);
    }
    assert_true(size <= 65536);
    *ret_size = (size_t) size;
    return size == 0 || read_all(fd, body, (size_t) size) ? head[0] : -1;
}

static void accept_one(struct fixture *f)
{
    uint8_t bytes[65536];
    size_t size;
    struct buf b;
    f->fd = accept(f->listener, NULL, NULL);
    assert_true(f->fd >= 0);
    buf_init(&b, 4096);
    zmtp_greeting_write(&b);
    zmtp_ready_write(&b, ZMTP_ROUTER, span_of("", 0));
    send_all(f->fd, b.data, b.size);
    buf_fini(&b);
    assert_true(read_all(f->fd, bytes, ZMTP_GREETING_BYTES));
    assert_int_equal(read_frame(f->fd, bytes, &size), 4);
}

/* The next request: its id, and its operation among f->ops. False: the client is gone. */
static bool read_request(struct fixture *f, uint8_t id[ID_BYTES])
{
    uint8_t bytes[65536];
    size_t size;
    struct api_request request;
    if (read_frame(f->fd, bytes, &size) < 0) {
        return false;
    }
    assert_int_equal(size, ID_BYTES);
    memcpy(id, bytes, ID_BYTES);
    assert_true(read_frame(f->fd, bytes, &size) >= 0);
    assert_int_equal(api_request_read(span_of(bytes, size), &request), HM_OK);
    snprintf(f->ops[f->asked++ % ASKED_MAX], sizeof f->ops[0], "%.31s", request.op);
    return true;
}

static void send_reply(struct fixture *f, const uint8_t id[ID_BYTES], struct span reply)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    zmtp_content_write(&b, span_of(id, ID_BYTES), reply);
    send_all(f->fd, b.data, b.size);
    buf_fini(&b);
}

static void send_value(struct fixture *f, const uint8_t id[ID_BYTES], const char *value)
{
    struct api_reply reply = {.code = HM_OK};
    struct buf item, b;
    buf_init(&item, 4096);
    buf_init(&b, 4096);
    mp_map(&item, 3);
    mp_str(&item, "key");
    mp_str(&item, "k");
    mp_str(&item, "value");
    mp_str(&item, value);
    mp_str(&item, "version");
    mp_str(&item, "v1");
    reply.value = buf_span(&item);
    api_reply_write(&b, &reply);
    send_reply(f, id, buf_span(&b));
    buf_fini(&item);
    buf_fini(&b);
}

static void answer_until_gone(struct fixture *f)
{
    uint8_t id[ID_BYTES];
    while (read_request(f, id)) {
        send_value(f, id, "yes");
    }
    close(f->fd);
}

static void serve_well(struct fixture *f)
{
    accept_one(f);
    answer_until_gone(f);
}

/* Takes one request, ends, and is there again. */
static void serve_and_restart(struct fixture *f)
{
    uint8_t id[ID_BYTES];
    accept_one(f);
    assert_true(read_request(f, id));
    close(f->fd);
    serve_well(f);
}

static void serve_never(struct fixture *f)
{
    uint8_t id[ID_BYTES];
    accept_one(f);
    while (read_request(f, id)) {
    }
    close(f->fd);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static hm_t *open_there(struct fixture *f, unsigned timeout_ms)
{
    struct hm_conf conf = {.socket = f->path, .timeout_ms = timeout_ms};
    char why[HM_WHY_BYTES] = "";
    hm_t *hm = NULL;
    assert_int_equal(hm_open(&conf, &hm, why), HM_OK);
    assert_true(hm_is_connected(hm));
    assert_string_equal(hm_socket(hm), f->path);
    return hm;
}

static void test_nobody_there(void **state)
{
    struct fixture *f = *state;
    struct hm_conf conf = {.socket = f->path};
    char why[HM_WHY_BYTES] = "";
    hm_t *hm = NULL;
    uint64_t begun = now_ms();
    assert_int_equal(hm_open(&conf, &hm, why), HM_EUNREACHABLE);
    assert_null(hm);
    assert_string_equal(why, "no meshd listens on the socket");
    conf.timeout_ms = 600001;
    assert_int_equal(hm_open(&conf, &hm, NULL), HM_EINVAL);
    assert_true(now_ms() - begun < 4000); /* at once, not after the timeout */
    hm_close(&hm);
}

/* With may_lack a call waits for a meshd that comes, and not for ever for one that does not. */
static void test_meshd_comes_later(void **state)
{
    struct fixture *f = *state;
    struct hm_conf conf = {.socket = f->path, .may_lack = true, .timeout_ms = 30000};
    const struct hm_entry *entry;
    hm_t *hm = NULL;
    assert_int_equal(hm_open(&conf, &hm, NULL), HM_OK);
    assert_false(hm_is_connected(hm));
    assert_int_equal(hm_get(hm, "k", 50, &entry), HM_EUNREACHABLE);
    assert_string_equal(hm_why(hm), "no meshd answers here");
    start(f, serve_well);
    assert_int_equal(hm_get(hm, "k", 0, &entry), HM_OK);
    assert_string_equal(entry->value.data, "yes");
    hm_close(&hm);
    pthread_join(f->thread, NULL);
}

static void test_read_is_asked_again(void **state)
{
    struct fixture *f = *state;
    const struct hm_entry *entry;
    start(f, serve_and_restart);
    hm_t *hm = open_there(f, 30000);
    assert_int_equal(hm_get(hm, "k", 0, &entry), HM_OK);
    assert_string_equal(entry->value.data, "yes");
    assert_string_equal(entry->version, "v1");
    hm_close(&hm);
    pthread_join(f->thread, NULL);
    assert_int_equal(f->asked, 2);
}

static void test_write_is_not_repeated(void **state)
{
    struct fixture *f = *state;
    const struct hm_entry *entry;
    start(f, serve_and_restart);
    hm_t *hm = open_there(f, 30000);
    assert_int_equal(hm_put(hm, "k", "v", 1, NULL, 0, NULL), HM_EUNREACHABLE);
    assert_non_null(strstr(hm_why(hm), "done or not"));
    assert_int_equal(hm_get(hm, "k", 0, &entry), HM_OK);
    hm_close(&hm);
    pthread_join(f->thread, NULL);
    assert_int_equal(f->asked, 2);
    assert_string_equal(f->ops[1], "kv.get");
}

static void test_deadline(void **state)
{
    struct fixture *f = *state;
    const struct hm_entry *entry;
    start(f, serve_never);
    hm_t *hm = open_there(f, 30000);
    uint64_t begun = now_ms();
    assert_int_equal(hm_get(hm, "k", 50, &entry), HM_ETIMEDOUT);
    assert_true(now_ms() - begun >= 50);
    assert_int_equal(hm_get(hm, "k", 600001, &entry), HM_EINVAL);
    hm_close(&hm);
    pthread_join(f->thread, NULL);
}

/* Those that are given up take nobody's place. */
static void test_cancelled(void **state)
{
    struct fixture *f = *state;
    const struct hm_entry *entry;
    uint64_t call;
    start(f, serve_never);
    hm_t *hm = open_there(f, 30000);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(hm_get_start(hm, "k", 0, NULL, NULL, &call), HM_OK);
        assert_int_equal(hm_dispatch(hm, 0), HM_OK);
        assert_int_equal(hm_cancel(hm, call), HM_OK);
        assert_int_equal(hm_cancel(hm, call), HM_ENOTFOUND);
    }
    assert_int_equal(hm_get_start(hm, "k", 0, NULL, NULL, &call), HM_OK);
    assert_int_equal(hm_cancel(hm, call), HM_OK); /* before it was sent, perhaps */
    assert_int_equal(hm_get(hm, "k", 50, &entry), HM_ETIMEDOUT);
    hm_close(&hm);
    pthread_join(f->thread, NULL);
    assert_in_range(f->asked, 301, 302);
}

struct seen {
    hm_t *hm;
    unsigned count;
    int code;
};

static void see(void *ctx, const struct hm_reply *reply)
{
    struct seen *s = ctx;
    const struct hm_entry *entry;
    s->count++;
    s->code = reply->code;
    assert_int_equal(hm_get(s->hm, "k", 0, &entry), HM_EBUSY);
    assert_int_equal(hm_dispatch(s->hm, 0), HM_EBUSY);
}

/* The descriptor is readable exactly while there is something to do. */
static void test_descriptor(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.count = 0};
    start(f, serve_well);
    hm_t *hm = open_there(f, 30000);
    struct pollfd p = {.fd = hm_fd(hm), .events = POLLIN};
    seen.hm = hm;
    for (unsigned i = 1; i <= 500; i++) {
        assert_int_equal(hm_get_start(hm, "k", 0, see, &seen, NULL), HM_OK);
        while (i % 100 == 0 && seen.count < i) {
            assert_int_equal(poll(&p, 1, 30000), 1);
            assert_int_equal(hm_dispatch(hm, 0), HM_OK);
        }
    }
    assert_int_equal(seen.code, HM_OK);
    assert_int_equal(hm_dispatch(hm, 0), HM_OK);
    assert_int_equal(poll(&p, 1, 0), 0);
    hm_close(&hm);
    pthread_join(f->thread, NULL);
}

/* What comes instead of a reply to a get. */
static const struct nonsense {
    const char *bytes;
    size_t size;
    int expected; /* HM_ETIMEDOUT: it is passed over */
} nonsenses[] = {
    {"\x01\x08????????\x00\x04\xdf\xff\xff\xff", 16, HM_ETIMEDOUT}, /* to nobody's question */
    {"\x00\x05" "hello", 7, HM_EUNREACHABLE},                       /* no id */
    {"\x02\xff\xff\xff\xff\xff\xff\xff\xff", 9, HM_EUNREACHABLE},    /* a frame without end */
    {"\xf0\x00", 2, HM_EUNREACHABLE},                               /* no frame */
    {"\x04\x06\x05" "ERROR", 8, HM_ETIMEDOUT},                       /* a command */
    {"\x04\x00", 2, HM_ETIMEDOUT},
};
static size_t nonsense_at;

static void serve_nonsense(struct fixture *f)
{
    const struct nonsense *n = &nonsenses[nonsense_at];
    uint8_t id[ID_BYTES];
    accept_one(f);
    assert_true(read_request(f, id));
    send_all(f->fd, n->bytes, n->size);
    while (read_request(f, id)) {
    }
    close(f->fd);
    close(f->listener);
    f->listener = -1;
}

static void test_nonsense(void **state)
{
    struct fixture *f = *state;
    const struct hm_entry *entry;
    for (nonsense_at = 0; nonsense_at < sizeof nonsenses / sizeof nonsenses[0]; nonsense_at++) {
        start(f, serve_nonsense);
        hm_t *hm = open_there(f, 30000);
        assert_int_equal(hm_get(hm, "k", 100, &entry), nonsenses[nonsense_at].expected);
        hm_close(&hm);
        pthread_join(f->thread, NULL);
        unlink(f->path);
    }
}

/* A reply cut or damaged anywhere is a code, not a crash: each byte in turn is missing or another. */
static void serve_damaged(struct fixture *f)
{
    uint8_t id[ID_BYTES];
    struct api_reply reply = {.code = HM_OK};
    struct buf item, b;
    accept_one(f);
    buf_init(&item, 4096);
    buf_init(&b, 4096);
    mp_map(&item, 6);
    mp_str(&item, "key");
    mp_str(&item, "k");
    mp_str(&item, "type");
    mp_str(&item, "set");
    mp_str(&item, "value");
    mp_array(&item, 2);
    mp_str(&item, "red");
    mp_bin(&item, "\xff", 1);
    mp_str(&item, "modified");
    mp_str(&item, "2026-11-21T03:20:07.125Z");
    mp_str(&item, "conflicts");
    mp_uint(&item, 300);
    mp_str(&item, "cut");
    mp_bool(&item, true);
    reply.value = buf_span(&item);
    api_reply_write(&b, &reply);
    for (size_t i = 0; read_request(f, id); i++) {
        uint8_t bytes[4096];
        size_t at = i / 3 % b.size;
        memcpy(bytes, b.data, b.size);
        bytes[at] ^= (uint8_t) (i % 3 == 1 ? 0x80 : 0x01);
        send_reply(f, id, span_of(bytes, i % 3 == 0 ? at : b.size));
    }
    buf_fini(&item);
    buf_fini(&b);
    close(f->fd);
}

static void test_damaged_replies(void **state)
{
    struct fixture *f = *state;
    const struct hm_entry *entry;
    start(f, serve_damaged);
    hm_t *hm = open_there(f, 30000);
    for (int i = 0; i < 3 * 140; i++) {
        int code = hm_get(hm, "k", 0, &entry);
        assert_true(code <= HM_OK);
        if (code == HM_OK) {
            assert_true(strlen(entry->key) <= 64 && entry->element_count <= 16);
            for (size_t k = 0; k < entry->element_count; k++) {
                assert_true(strlen(entry->elements[k].data) <= entry->elements[k].size);
            }
        }
    }
    hm_close(&hm);
    pthread_join(f->thread, NULL);
}

/* A child closes its copy of the handle; the parent's goes on. */
static void test_fork(void **state)
{
    struct fixture *f = *state;
    const struct hm_entry *entry;
    start(f, serve_well);
    hm_t *hm = open_there(f, 30000);
    assert_int_equal(hm_get(hm, "k", 0, &entry), HM_OK);
    pid_t pid = fork();
    if (pid == 0) {
        hm_close(&hm);
        _exit(hm == NULL ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hm_get(hm, "k", 0, &entry), HM_OK);
    }
    assert_int_not_equal(fcntl(hm_fd(hm), F_GETFD) & FD_CLOEXEC, 0);
    hm_close(&hm);
    pthread_join(f->thread, NULL);
}

/* A watcher whose meshd knows nothing of watching, or a handle that is closed meanwhile: nothing is left. */
static void changed(void *ctx, const struct hm_change *change)
{
    (void) change;
    ++*(unsigned *) ctx;
}

static void test_closed_while_watching(void **state)
{
    struct fixture *f = *state;
    unsigned count = 0;
    hm_watch_t *first = NULL, *second = NULL;
    start(f, serve_well); /* its answers are no lists */
    hm_t *hm = open_there(f, 30000);
    assert_int_equal(hm_watch(hm, "a/", changed, &count, &first), HM_OK);
    assert_int_equal(hm_watch(hm, "b/", changed, &count, &second), HM_OK);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(hm_dispatch(hm, 20), HM_OK);
    }
    hm_unwatch(&second);
    assert_null(second);
    assert_int_equal(hm_get_start(hm, "k", 0, NULL, NULL, NULL), HM_OK);
    hm_close(&hm);
    pthread_join(f->thread, NULL);
}

/* A text that no key can begin with would be refused for ever: it is refused at once. */
static void test_wrong_prefix(void **state)
{
    static const char *const wrong[] = {"a\n", "\xff", "caf\xc3"};
    struct fixture *f = *state;
    unsigned count = 0;
    hm_watch_t *watch = NULL;
    start(f, serve_well);
    hm_t *hm = open_there(f, 30000);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(hm_watch(hm, wrong[i], changed, &count, &watch), HM_EINVAL);
        assert_non_null(strstr(hm_why(hm), "UTF-8"));
    }
    assert_null(watch);
    hm_close(&hm);
    pthread_join(f->thread, NULL);
    assert_int_equal(f->asked, 0);
}

/* With may_lack a path that can never be one is refused nevertheless. */
static void test_impossible_paths(void **state)
{
    struct fixture *f = *state;
    char name[200] = "", why[HM_WHY_BYTES] = "";
    hm_t *hm = NULL;
    memset(name, 'x', sizeof name - 1);
    const char *const wrong[] = {"", name};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct hm_conf conf = {.socket = wrong[i], .may_lack = true};
        assert_int_equal(hm_open(&conf, &hm, why), HM_EINVAL);
        assert_non_null(strstr(why, "path"));
        assert_null(hm);
    }
    (void) f;
}

/* A path is meant from where the program was when it said it. */
static void test_relative_path(void **state)
{
    struct fixture *f = *state;
    struct hm_conf conf = {.socket = "meshd.sock", .may_lack = true, .timeout_ms = 10000};
    const struct hm_entry *entry;
    hm_t *hm = NULL;
    int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(f->dir), 0);
    assert_int_equal(hm_open(&conf, &hm, NULL), HM_OK);
    assert_int_equal(fchdir(before), 0);
    close(before);
    start(f, serve_well);
    assert_int_equal(hm_get(hm, "k", 0, &entry), HM_OK);
    assert_string_equal(hm_socket(hm), f->path);
    hm_close(&hm);
    pthread_join(f->thread, NULL);
}

/* ---- how many at a time ---- */

#define AT_A_TIME 128

static void serve_one_more(struct fixture *f)
{
    uint8_t id[ID_BYTES];
    accept_one(f);
    for (int i = 0; i <= AT_A_TIME && read_request(f, id); i++) {
    }
    send_value(f, id, "yes");
    answer_until_gone(f);
}

/* A call that waits because as many are under way as may be goes out as soon as one of them is given up,
 * though nothing else happens then. */
static void test_room_by_cancelling(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {.count = 0};
    uint64_t first = 0, call;
    start(f, serve_one_more);
    hm_t *hm = open_there(f, 60000);
    seen.hm = hm;
    for (int i = 0; i < AT_A_TIME; i++) {
        assert_int_equal(hm_get_start(hm, "k", 0, NULL, NULL, i == 0 ? &first : &call), HM_OK);
    }
    assert_int_equal(hm_get_start(hm, "k", 0, see, &seen, NULL), HM_OK);
    struct pollfd p = {.fd = hm_fd(hm), .events = POLLIN};
    while (poll(&p, 1, 0) > 0) { /* all of the 128 are sent */
        assert_int_equal(hm_dispatch(hm, 0), HM_OK);
    }
    assert_int_equal(hm_cancel(hm, first), HM_OK);
    assert_int_equal(poll(&p, 1, 0), 1); /* there is something to send now */
    while (seen.count == 0) {
        assert_int_equal(poll(&p, 1, 20000), 1);
        assert_int_equal(hm_dispatch(hm, 0), HM_OK);
    }
    assert_int_equal(seen.code, HM_OK);
    hm_close(&hm);
    pthread_join(f->thread, NULL);
}

static int held[2]; /* a pipe: the server reads on when it ends */

static void serve_late(struct fixture *f)
{
    char byte;
    accept_one(f);
    (void) !read(held[0], &byte, 1);
    answer_until_gone(f);
}

static void count(void *ctx, const struct hm_reply *reply)
{
    assert_int_equal(reply->code, HM_ETIMEDOUT);
    ++*(unsigned *) ctx;
}

/* A meshd that hangs does not make the program grow: what it has not read when its time is over is not sent. */
static void test_hung(void **state)
{
    static char value[60000];
    struct fixture *f = *state;
    const struct hm_entry *entry;
    unsigned done = 0;
    memset(value, 'x', sizeof value);
    assert_int_equal(pipe2(held, O_CLOEXEC), 0);
    start(f, serve_late);
    hm_t *hm = open_there(f, 30000);
    for (unsigned i = 1; i <= 4 * AT_A_TIME; i++) {
        assert_int_equal(hm_put_start(hm, "k", value, sizeof value, NULL, 1, count, &done, NULL), HM_OK);
        while (i % (2 * AT_A_TIME) == 0 && done < i) {
            assert_int_equal(hm_dispatch(hm, -1), HM_OK);
        }
    }
    close(held[1]);
    assert_int_equal(hm_get(hm, "k", 0, &entry), HM_OK);
    hm_close(&hm);
    pthread_join(f->thread, NULL);
    close(held[0]);
    assert_in_range(f->asked, 2, 2 * AT_A_TIME); /* what the kernel has taken, and a little more */
}

/* ---- services ---- */

/* What the last check said, as it came: its text. */
static char checked_text[512];

static void take_text(struct span args)
{
    struct mp_reader r;
    mp_open(&r, args);
    size_t count = mp_read_map(&r);
    for (size_t i = 0; i < count; i++) {
        struct span name = mp_read_str(&r, 64);
        if (name.size == 4 && memcmp(name.data, "text", 4) == 0) {
            mp_read_text(&r, checked_text, sizeof checked_text);
        } else {
            mp_skip(&r);
        }
    }
    assert_false(mp_failed(&r));
}

static void send_id(struct fixture *f, const uint8_t id[ID_BYTES])
{
    struct api_reply reply = {.code = HM_OK};
    struct buf value, b;
    buf_init(&value, 4096);
    buf_init(&b, 4096);
    mp_map(&value, 1);
    mp_str(&value, "id");
    mp_str(&value, "web");
    reply.value = buf_span(&value);
    api_reply_write(&b, &reply);
    send_reply(f, id, buf_span(&b));
    buf_fini(&value);
    buf_fini(&b);
}

/* Until a service was said to fail. */
static void serve_service(struct fixture *f)
{
    uint8_t bytes[65536], id[ID_BYTES];
    size_t size;
    struct api_request request;
    accept_one(f);
    do {
        if (read_frame(f->fd, bytes, &size) < 0) {
            break;
        }
        memcpy(id, bytes, ID_BYTES);
        assert_true(read_frame(f->fd, bytes, &size) >= 0);
        assert_int_equal(api_request_read(span_of(bytes, size), &request), HM_OK);
        snprintf(f->ops[f->asked++ % ASKED_MAX], sizeof f->ops[0], "%.31s", request.op);
        take_text(request.args);
        send_id(f, id);
    } while (strcmp(request.op, "services.fail") != 0);
    close(f->fd);
}

static void check_fails(struct fixture *f, unsigned ttl_ms, const char *text)
{
    struct hm_service_conf conf = {.name = "web", .port = 80, .ttl_ms = ttl_ms};
    hm_registered_t *registered = NULL;
    checked_text[0] = '\0';
    f->asked = 0;
    start(f, serve_service);
    hm_t *hm = open_there(f, 30000);
    assert_int_equal(hm_register(hm, &conf, 0, &registered), HM_OK);
    assert_int_equal(hm_check(registered, HM_CRITICAL, text), HM_OK);
    for (uint64_t begun = now_ms(); hm_is_connected(hm) && now_ms() - begun < 20000;) {
        assert_int_equal(hm_dispatch(hm, 100), HM_OK);
    }
    assert_false(hm_is_connected(hm)); /* it was said */
    hm_close(&hm);
    pthread_join(f->thread, NULL);
    assert_int_equal(f->asked, 2);
    close(f->listener);
    f->listener = -1;
    unlink(f->path);
}

/* A TTL may be longer than a call may last. */
static void test_long_ttl(void **state)
{
    check_fails(*state, 604800000, NULL);
    check_fails(*state, 600001, NULL);
}

/* meshd refuses what is no text, and the health must not go with it. */
static void test_text_of_a_check(void **state)
{
    char text[400], expected[256];
    memset(text, 'x', sizeof text);
    memcpy(text + 254, "\xc3\xa9", 3); /* the limit cuts a character */
    memset(expected, 'x', 254);
    expected[254] = '\0';
    check_fails(*state, 0, text);
    assert_string_equal(checked_text, expected);
    check_fails(*state, 0, "timed out\n\tat line 7\x7f");
    assert_string_equal(checked_text, "timed out  at line 7 ");
    check_fails(*state, 0, "caf\xe9 \xc3\xa9");
    assert_string_equal(checked_text, "caf  \xc3\xa9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nobody_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_meshd_comes_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_is_asked_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_write_is_not_repeated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancelled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_descriptor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nonsense, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_replies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fork, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_closed_while_watching, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_prefix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_impossible_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_relative_path, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_room_by_cancelling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hung, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_ttl, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_text_of_a_check, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
