/* SPDX-License-Identifier: MPL-2.0 */
/* The local socket: a ZeroMQ ROUTER on D/meshd.sock, for meshctl and programs.
 *
 * Frames of a message: [empty, from REQ sockets only], then at most HM_REQUESTS_PER_MESSAGE_MAX times
 * [request id, 1 to 32 bytes] [api_request]; of replies the same with an api_reply (wire/api_msg.h,
 * docs/protocol/local.md). Requests may overlap; replies carry the id of their request. Who may connect is
 * decided by the file's mode, 0600.
 *
 * Each request gets a number, the core's name for who asks. At most LOCAL_CALLS_MAX wait; more are
 * answered HM_EBUSY. A client that does not read loses its reply, counted. A client that went away
 * is noticed by the socket's monitor, and its calls are reported as gone. */
#ifndef HM_IO_LOCAL_API_H
#define HM_IO_LOCAL_API_H

#include "base/metrics.h"
#include "base/span.h"
#include "io/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct local_api local_api_t;

#define LOCAL_CALLS_MAX 256 /* requests without a reply, all clients together */
#define LOCAL_REQUEST_ID_BYTES_MAX 32

/* path: at most 107 bytes. zmq_ctx as in links_conf. metrics: borrowed for its life. HM_EBUSY:
 * another process answers there; HM_EEXIST: something that is no socket lies there; HM_EDENIED,
 * HM_EIO, HM_ENOMEM. A stale socket is replaced. */
int local_api_new(void *zmq_ctx, const char *path, struct metrics *metrics, local_api_t **ret_api,
                  struct why *why);
/* Replies that were sent are flushed (at most 200 ms, by the context's end); the file goes. */
void local_api_destroy(local_api_t **p);

/* Both to poll for reading; then local_api_take until it has no more. */
void *local_api_socket(const local_api_t *api);
void *local_api_monitor(const local_api_t *api);

struct local_call {
    uint64_t client;
    bool is_gone;        /* EV_CALL_GONE; else EV_CALL */
    struct span request; /* borrowed until the next local_api_take or local_api_destroy */
};

/* HM_ENOTFOUND: nothing more now. */
int local_api_take(local_api_t *api, struct local_call *ret_call);

/* Answers a call (FX_REPLY) and forgets it. HM_ENOTFOUND: no such call (its client went away);
 * HM_EFULL: the client does not read, the reply is lost and counted. Never blocks. */
int local_api_reply(local_api_t *api, uint64_t client, struct span reply);

/* Replies to the requests of one message go together, when the last of them was answered. To be called when
 * a call that was taken has been worked on: if it was the last and waits, the others go now. */
void local_api_flush(local_api_t *api);

size_t local_api_waiting(const local_api_t *api);

#endif
