/* SPDX-License-Identifier: MPL-2.0 */
/* A connection to the local socket of a meshd: see client.h. */
#define _GNU_SOURCE
#include "client/client.h"

#include "base/err.h"
#include "base/limits.h"
#include "client/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#define BUSY_PAUSE_NS 20000000 /* before it is tried again to connect to a busy one */
#define BUSY_TRIES 50

struct client {
    conn_t *conn;
    struct span reply;
    struct buf request;
    uint64_t last_id;
    int output_fd;
};

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

int client_new(const char *path, client_t **ret_client)
{
    const struct timespec pause = {.tv_nsec = BUSY_PAUSE_NS};
    client_t *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return HM_ENOMEM;
    }
    c->output_fd = -1;
    buf_init(&c->request, HM_REQUEST_BYTES_MAX);
    int code = conn_new(path, &c->conn);
    for (int i = 0; i < BUSY_TRIES && code == HM_EBUSY; i++) {
        nanosleep(&pause, NULL);
        code = conn_new(path, &c->conn);
    }
    if (code != HM_OK) {
        client_destroy(&c);
        return code;
    }
    *ret_client = c;
    return HM_OK;
}

void client_destroy(client_t **p)
{
    client_t *c = *p;
    if (c == NULL) {
        return;
    }
    conn_destroy(&c->conn);
    buf_fini(&c->request);
    free(c);
    *p = NULL;
}

void client_watch_output(client_t *client, int fd)
{
    client->output_fd = fd;
}

/* Waits until the connection can be read, or written while something is to be sent, and does that.
 * HM_OK: look what there is now. */
static int wait_conn(client_t *c, uint64_t deadline_ms)
{
    uint64_t now = now_ms();
    struct pollfd polls[2] = {{.fd = conn_fd(c->conn), .events = POLLIN},
                              {.fd = c->output_fd}};
    if (conn_wants_write(c->conn)) {
        polls[0].events |= POLLOUT;
    }
    uint64_t left = now < deadline_ms ? deadline_ms - now : 0;
    int got = poll(polls, c->output_fd >= 0 ? 2 : 1, left < 86400000 ? (int) left : 86400000);
    if (got < 0) {
        return errno == EINTR ? HM_OK : HM_EIO;
    }
    if (got == 0) {
        return now_ms() >= deadline_ms ? HM_ETIMEDOUT : HM_OK;
    }
    if ((polls[0].revents & POLLOUT) != 0) {
        (void) conn_flush(c->conn); /* that it has ended shows at the read, behind what came */
    }
    if ((polls[0].revents & ~POLLOUT) != 0) {
        int code = conn_read(c->conn);
        return code == HM_ENOTFOUND ? HM_OK : code;
    }
    return polls[1].revents != 0 ? HM_EIO : HM_OK;
}

static int send_request(client_t *c, const struct api_request *request)
{
    buf_clear(&c->request);
    api_request_write(&c->request, request);
    if (buf_failed(&c->request)) {
        return HM_EFULL;
    }
    int code = conn_put(c->conn, ++c->last_id, buf_span(&c->request));
    return code == HM_OK ? conn_flush(c->conn) : code;
}

int client_send(client_t *client, const struct api_request *request, uint64_t *ret_id)
{
    int code = send_request(client, request);
    if (code == HM_OK) {
        *ret_id = client->last_id;
    }
    return code;
}

/* The next reply, not looked into. */
static int receive_any(client_t *c, uint64_t deadline_ms, uint64_t *ret_id)
{
    int code = conn_next(c->conn, ret_id, &c->reply);
    while (code == HM_ENOTFOUND) {
        code = wait_conn(c, deadline_ms);
        code = code == HM_OK ? conn_next(c->conn, ret_id, &c->reply) : code;
    }
    return code;
}

static int read_reply(client_t *c, struct api_reply *ret_reply)
{
    return api_reply_read(c->reply, ret_reply);
}

int client_receive(client_t *client, uint64_t timeout_ms, uint64_t *ret_id,
                   struct api_reply *ret_reply)
{
    int code = receive_any(client, now_ms() + timeout_ms, ret_id);
    return code == HM_OK ? read_reply(client, ret_reply) : code;
}

int client_call(client_t *client, const struct api_request *request, uint64_t timeout_ms,
                struct api_reply *ret_reply)
{
    uint64_t deadline_ms = now_ms() + timeout_ms;
    uint64_t wanted = 0;
    uint64_t id = 0;
    int code = client_send(client, request, &wanted);
    while (code == HM_OK && id != wanted) {
        /* What else comes is a late reply to a call that was given up. */
        code = receive_any(client, deadline_ms, &id);
    }
    return code == HM_OK ? read_reply(client, ret_reply) : code;
}

int client_wait_end(client_t *client, uint64_t timeout_ms)
{
    uint64_t deadline_ms = now_ms() + timeout_ms;
    uint64_t id;
    int code = HM_OK;
    while (code == HM_OK) {
        code = receive_any(client, deadline_ms, &id);
    }
    return code == HM_EUNREACHABLE || code == HM_EMALFORMED ? HM_OK : code;
}
