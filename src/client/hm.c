/* SPDX-License-Identifier: MPL-2.0 */
/* A handle's life, its connection, and its one descriptor: see homemesh.h.
 *
 * The descriptor is an epoll instance over the connection and a timer. The connection is watched for writing
 * exactly while something is to be sent, the timer fires at the earliest deadline; so the descriptor is
 * readable exactly while hm_dispatch has something to do. The timer is only ever moved forward in haste: one
 * that fires too early finds nothing due and is set again, which spares a system call for every call. */
#define _GNU_SOURCE
#include "client/hm_priv.h"

#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define GREET_MS 5000   /* for the handshake */
#define AGAIN_MS 20     /* the first pause before connecting again; then twice as long each time */
#define AGAIN_MS_MAX 1000
#define READS_MAX 16    /* in one dispatch: then the program has its turn */

uint64_t hm_now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

int hm_fail(hm_t *hm, int code, const char *why)
{
    text_copy(hm->why, sizeof hm->why, why[0] != '\0' ? why : hm_strerror(code));
    return code;
}

const char *hm_why(const hm_t *hm)
{
    return hm->why;
}

int hm_fd(const hm_t *hm)
{
    return hm->epoll_fd;
}

bool hm_is_connected(const hm_t *hm)
{
    return hm->conn != NULL && conn_is_open(hm->conn);
}

const char *hm_socket(const hm_t *hm)
{
    return hm->socket;
}

/* ---- the descriptor -------------------------------------------------------------------------- */

static void watch_conn(hm_t *hm, int how, bool wants_write)
{
    struct epoll_event ev = {.events = EPOLLIN | (wants_write ? EPOLLOUT : 0), .data.u32 = 1};
    (void) epoll_ctl(hm->epoll_fd, how, conn_fd(hm->conn), &ev);
    hm->wants_write = wants_write;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void set_timer(hm_t *hm, uint64_t at_ms)
{
    struct itimerspec spec = {{0, 0}, {0, 0}};
    if (at_ms != NEVER_MS) {
        at_ms = at_ms > 0 ? at_ms : 1; /* zero would stop it */
        spec.it_value.tv_sec = (time_t) (at_ms / 1000);
        spec.it_value.tv_nsec = (long) (at_ms % 1000) * 1000000;
    }
    (void) timerfd_settime(hm->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
    hm->timer_ms = at_ms;
}

void hm_stir(hm_t *hm)
{
    uint64_t due_ms = earliest(earliest(hm->calls.check_ms, hm->connect_ms), hm->greet_by_ms);
    due_ms = earliest(earliest(due_ms, watches_due_ms(hm)), services_due_ms(hm));
    if (due_ms < hm->timer_ms) {
        set_timer(hm, due_ms);
    }
    if (hm->conn != NULL && conn_wants_write(hm->conn) != hm->wants_write) {
        watch_conn(hm, EPOLL_CTL_MOD, !hm->wants_write);
    }
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void plan_connect(hm_t *hm)
{
    uint64_t pause_ms = AGAIN_MS;
    for (unsigned i = 0; i < hm->tries && pause_ms < AGAIN_MS_MAX; i++) {
        pause_ms *= 2;
    }
    hm->tries++;
    hm->connect_ms = hm->now_ms + (pause_ms < AGAIN_MS_MAX ? pause_ms : AGAIN_MS_MAX);
    hm->greet_by_ms = NEVER_MS;
}

static void lose_conn(hm_t *hm)
{
    if (hm->pid == getpid()) { /* a child that was forked may hold it open */
        (void) epoll_ctl(hm->epoll_fd, EPOLL_CTL_DEL, conn_fd(hm->conn), NULL);
    }
    conn_destroy(&hm->conn);
    plan_connect(hm);
    calls_on_lost(hm);
    services_on_lost(hm);
}

static int find_socket(hm_t *hm)
{
    if (hm->given_socket != NULL) {
        return text_copy(hm->socket, sizeof hm->socket, hm->given_socket) ? HM_OK : HM_EINVAL;
    }
    char data_dir[SOCKET_BYTES];
    const char *wanted = hm->given_data_dir;
    if (hm->is_found) { /* it stays the same node */
        text_copy(data_dir, sizeof data_dir, hm->data_dir);
        wanted = data_dir;
    }
    int code = locate(wanted, hm->data_dir, hm->socket, hm->why);
    hm->is_found = hm->is_found || code == HM_OK;
    return code;
}

static const char *why_closed(int code)
{
    return code == HM_EUNREACHABLE ? "no meshd listens on the socket"
           : code == HM_EDENIED    ? "the socket belongs to another user"
           : code == HM_EINVAL     ? "the socket's path is empty, or longer than 107 bytes"
                                   : "";
}

static void try_connect(hm_t *hm)
{
    hm->connect_ms = NEVER_MS;
    int code = find_socket(hm);
    if (code == HM_OK) {
        code = conn_new(hm->socket, &hm->conn);
        if (code != HM_OK) {
            hm_fail(hm, code, why_closed(code));
        }
    }
    hm->connect_code = code;
    if (code != HM_OK) {
        plan_connect(hm);
        return;
    }
    hm->greet_by_ms = hm->now_ms + GREET_MS;
    watch_conn(hm, EPOLL_CTL_ADD, true);
    (void) conn_flush(hm->conn);
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* A copy of a path that stays right when the program goes to another directory: to connect again, it is
 * needed later. NULL: out of memory. */
static char *keep_path(const char *path)
{
    char dir[SOCKET_BYTES], whole[SOCKET_BYTES];
    bool is_relative = path[0] != '/' && path[0] != '\0';
    if (!is_relative || getcwd(dir, sizeof dir) == NULL) {
        return strdup(path);
    }
    int size = snprintf(whole, sizeof whole, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, path);
    return strdup(size > 0 && (size_t) size < sizeof whole ? whole : path);
}

static int make(const struct hm_conf *conf, hm_t **ret_hm)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = 2};
    hm_t *hm = calloc(1, sizeof *hm);
    if (hm == NULL) {
        return HM_ENOMEM;
    }
    hm->pid = getpid();
    hm->timeout_ms = conf->timeout_ms > 0 ? conf->timeout_ms : HM_TIMEOUT_MS;
    hm->given_socket = conf->socket != NULL ? keep_path(conf->socket) : NULL;
    hm->given_data_dir = conf->data_dir != NULL ? keep_path(conf->data_dir) : NULL;
    hm->timer_ms = hm->connect_ms = hm->greet_by_ms = NEVER_MS;
    hm->calls.check_ms = NEVER_MS;
    buf_init(&hm->args, SIZE_MAX);
    buf_init(&hm->shown.text, SIZE_MAX);
    buf_init(&hm->kept.text, SIZE_MAX);
    hm->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    hm->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    bool is_whole = (hm->given_socket != NULL) == (conf->socket != NULL) &&
                    (hm->given_data_dir != NULL) == (conf->data_dir != NULL);
    int code = !is_whole ? HM_ENOMEM
               : hm->epoll_fd < 0 || hm->timer_fd < 0 ||
                       epoll_ctl(hm->epoll_fd, EPOLL_CTL_ADD, hm->timer_fd, &ev) != 0
                   ? HM_EIO
                   : HM_OK;
    if (code != HM_OK) {
        hm_close(&hm);
        return code;
    }
    hm->now_ms = hm_now_ms();
    *ret_hm = hm;
    return HM_OK;
}

/* Until the handshake is over. Nobody there, and nothing to wait for: it fails at once. */
static int wait_open(hm_t *hm)
{
    uint64_t deadline_ms = hm_now_ms() + hm->timeout_ms;
    while (!hm_is_connected(hm)) {
        uint64_t now_ms = hm_now_ms();
        if (hm->conn == NULL && hm->connect_code != HM_OK && hm->connect_code != HM_EBUSY) {
            return hm->connect_code;
        }
        if (now_ms >= deadline_ms) {
            return hm_fail(hm, HM_ETIMEDOUT, "meshd did not answer in time");
        }
        int code = hm_dispatch(hm, (int) (deadline_ms - now_ms));
        if (code != HM_OK) {
            return code;
        }
    }
    return HM_OK;
}

int hm_open(const struct hm_conf *conf, hm_t **ret_hm, char why[HM_WHY_BYTES])
{
    static const struct hm_conf none;
    hm_t *hm = NULL;
    conf = conf != NULL ? conf : &none;
    if (conf->timeout_ms > HM_TIMEOUT_MS_MAX ||
        (conf->socket != NULL && strlen(conf->socket) >= SOCKET_BYTES) ||
        (conf->data_dir != NULL && strlen(conf->data_dir) >= SOCKET_BYTES)) {
        if (why != NULL) {
            text_copy(why, HM_WHY_BYTES, "a path has at most 4095 bytes, a timeout 600000 ms");
        }
        return HM_EINVAL;
    }
    int code = make(conf, &hm);
    if (code == HM_OK) {
        try_connect(hm);
        hm_stir(hm);
        bool is_hopeless = hm->connect_code == HM_EINVAL || hm->connect_code == HM_ENOMEM;
        code = !conf->may_lack ? wait_open(hm) : is_hopeless ? hm->connect_code : HM_OK;
    }
    if (code != HM_OK) {
        if (why != NULL) {
            text_copy(why, HM_WHY_BYTES, hm != NULL && hm->why[0] != '\0' ? hm->why
                                                                           : hm_strerror(code));
        }
        hm_close(&hm);
        return code;
    }
    hm->why[0] = '\0';
    *ret_hm = hm;
    return HM_OK;
}

void hm_close(hm_t **p)
{
    hm_t *hm = *p;
    if (hm == NULL) {
        return;
    }
    watches_fini(hm);
    services_fini(hm);
    conn_destroy(&hm->conn);
    calls_fini(&hm->calls);
    room_fini(&hm->shown);
    room_fini(&hm->kept);
    buf_fini(&hm->args);
    if (hm->timer_fd >= 0) {
        close(hm->timer_fd);
    }
    if (hm->epoll_fd >= 0) {
        close(hm->epoll_fd);
    }
    free(hm->given_socket);
    free(hm->given_data_dir);
    free(hm);
    *p = NULL;
}

/* ---- dispatching ----------------------------------------------------------------------------- */

/* Hands out what has come. Returns what ended it: HM_ENOTFOUND, all is done. */
static int take_replies(hm_t *hm)
{
    uint64_t id;
    struct span reply;
    int code;
    while ((code = conn_next(hm->conn, &id, &reply)) == HM_OK) {
        calls_on_reply(hm, id, reply);
    }
    return code;
}

static void serve_conn(hm_t *hm)
{
    bool was_open = conn_is_open(hm->conn);
    int code = conn_flush(hm->conn);
    for (int i = 0; i < READS_MAX; i++) {
        code = conn_read(hm->conn);
        if (code != HM_OK) {
            break;
        }
        code = take_replies(hm);
        if (code != HM_ENOTFOUND) {
            break;
        }
        if (calls_pump(hm) != HM_OK) {
            break;
        }
        (void) conn_flush(hm->conn); /* meshd works while we read on */
    }
    if (!was_open && conn_is_open(hm->conn)) {
        hm->greet_by_ms = NEVER_MS;
        hm->tries = 0;
    }
    if (conn_has_ended(hm->conn)) {
        hm->connect_code = code;
        hm_fail(hm, code, code == HM_EUNREACHABLE ? "meshd ended the connection" : "");
        lose_conn(hm);
    }
}

static void serve_time(hm_t *hm)
{
    if (hm->timer_ms <= hm->now_ms) {
        uint64_t count;
        (void) !read(hm->timer_fd, &count, sizeof count);
        hm->timer_ms = NEVER_MS;
    }
    if (hm->greet_by_ms <= hm->now_ms && hm->conn != NULL) {
        hm->connect_code = HM_ETIMEDOUT;
        lose_conn(hm);
    }
    if (hm->connect_ms <= hm->now_ms && hm->conn == NULL) {
        try_connect(hm);
    }
    if (hm->calls.check_ms <= hm->now_ms) {
        calls_expire(hm, hm->now_ms);
    }
    watches_serve(hm);
    services_serve(hm);
}

/* As many as the kernel takes: afterwards the connection waits for it, or all that may go is gone. */
static void send_calls(hm_t *hm)
{
    int code = HM_OK;
    while (hm->conn != NULL && code == HM_OK) {
        code = calls_pump(hm);
        (void) conn_flush(hm->conn);
        if (!calls_can_go(hm)) {
            break;
        }
    }
}

int hm_dispatch(hm_t *hm, int timeout_ms)
{
    struct epoll_event events[2];
    if (hm->is_dispatching) {
        return hm_fail(hm, HM_EBUSY, "called from a callback");
    }
    hm->is_dispatching = true;
    hm->now_ms = hm_now_ms();
    send_calls(hm);
    hm_stir(hm);
    int got = epoll_wait(hm->epoll_fd, events, 2, timeout_ms);
    int code = got < 0 && errno != EINTR ? hm_fail(hm, HM_EIO, strerror(errno)) : HM_OK;
    hm->now_ms = hm_now_ms();
    for (int i = 0; i < got; i++) {
        if (events[i].data.u32 == 1 && hm->conn != NULL) {
            serve_conn(hm);
        }
    }
    serve_time(hm);
    send_calls(hm);
    hm_stir(hm);
    hm->is_dispatching = false;
    return code;
}

int hm_wait(hm_t *hm, const bool *is_done)
{
    if (hm->is_dispatching) {
        return hm_fail(hm, HM_EBUSY, "a function that waits was called from a callback");
    }
    while (!*is_done) {
        int code = hm_dispatch(hm, -1); /* the call's deadline ends it */
        if (code != HM_OK) {
            return code;
        }
    }
    return HM_OK;
}
