/* SPDX-License-Identifier: MPL-2.0 */
/* The local socket D/meshd.sock, for meshctl and programs: ZMTP as a ROUTER speaks it (mechanism NULL), on the loop.
 * Why not a socket of libzmq: docs/decisions/0041-local-socket-on-the-loop.md.
 *
 * Frames of a message: [empty, from REQ sockets only], then at most HM_REQUESTS_PER_MESSAGE_MAX times
 * [request id, 1 to 32 bytes] [api_request]; of replies the same with an api_reply (wire/api_msg.h,
 * docs/protocol/local.md). Requests may overlap; replies carry the id of their request. Who may connect is
 * decided by the file's mode, 0600.
 *
 * Each request gets a number, the core's name for who asks. At most LOCAL_CALLS_MAX wait, and the last
 * LOCAL_CALLS_KEPT are for clients that have few; more are answered HM_EBUSY. A client that does not read loses its reply, counted. The loop's thread only. */
#ifndef HM_IO_LOCAL_API_H
#define HM_IO_LOCAL_API_H

#include "base/metrics.h"
#include "base/span.h"
#include "io/reactor.h"
#include "io/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct local_api local_api_t;

#define LOCAL_CALLS_MAX 320   /* requests without a reply, all clients together */
#define LOCAL_CALLS_KEPT 64   /* of these, for clients that have few: two busy programs must not shut meshctl out */
#define LOCAL_CALLS_FEW 8     /* who waits for so many has no more of those */
#define LOCAL_CLIENTS_MAX 512 /* connections; more wait to be accepted */
#define LOCAL_REQUEST_ID_BYTES_MAX 32

/* Both are called by the loop, and may answer at once. */
struct local_api_handler {
    void *ctx;
    void (*call)(void *ctx, uint64_t client, struct span request); /* the span: for the call */
    void (*gone)(void *ctx, uint64_t client); /* who asked went away: no answer is wanted any more */
};

/* path: at most 107 bytes. reactor, metrics: borrowed for its life. HM_EBUSY:
 * another process answers there; HM_EEXIST: something that is no socket lies there; HM_EDENIED,
 * HM_EIO, HM_ENOMEM. A stale socket is replaced. */
int local_api_new(reactor_t *reactor, const char *path, struct metrics *metrics,
                  const struct local_api_handler *handler, local_api_t **ret_api, struct why *why);
/* Replies are sent to the end, for at most 200 ms; the file goes. */
void local_api_destroy(local_api_t **p);

/* Answers a call (FX_REPLY) and forgets it. It is sent by local_api_flush at the latest. HM_ENOTFOUND: no such call (its
 * client went away); HM_EFULL: the client does not read, the reply is lost and counted. Never blocks. */
int local_api_reply(local_api_t *api, uint64_t client, struct span reply);

/* Sends replies; but those to a message of several requests that is still being taken wait for each other. */
void local_api_flush(local_api_t *api);

size_t local_api_waiting(const local_api_t *api);

#endif
