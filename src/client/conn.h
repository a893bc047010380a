/* SPDX-License-Identifier: MPL-2.0 */
/* One connection to the local socket of a meshd, as bytes: ZMTP (a DEALER, mechanism NULL) on a plain
 * Unix socket, without libzmq, so that a program that links the library gets no thread, no signal
 * handler and no descriptor but this one from it.
 *
 *   connected --> handshake --READY--> open --> ended (by the peer, by nonsense; for ever)
 *
 * Requests that are put between two flushes go out as few messages of many (docs/protocol/local.md):
 * one system call and one wake-up of meshd for all of them. Nothing here blocks, raises SIGPIPE or
 * trusts what comes: a frame of more than a reply may have, or of wrong ZMTP, ends the connection. */
#ifndef HM_CLIENT_CONN_H
#define HM_CLIENT_CONN_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct conn conn_t;

/* HM_EUNREACHABLE: nobody listens at path; HM_EDENIED: not allowed to; HM_EBUSY: it listens, and as many
 * as may wait already; HM_EINVAL: the path is empty, or its name is longer than a socket's can be; HM_EIO,
 * HM_ENOMEM. */
int conn_new(const char *path, conn_t **ret_conn);
/* Closes it. Also in a child after fork, where it does not disturb the parent's. */
void conn_destroy(conn_t **p);

/* To poll: for reading always, for writing while conn_wants_write. */
int conn_fd(const conn_t *conn);
bool conn_wants_write(const conn_t *conn);
/* The handshake is over. */
bool conn_is_open(const conn_t *conn);
bool conn_has_ended(const conn_t *conn);
/* Bytes that were put and not taken by the kernel yet. */
size_t conn_unsent(const conn_t *conn);

/* Puts a request behind those that wait; before the handshake is over, too. HM_ENOMEM: it was not put. */
int conn_put(conn_t *conn, uint64_t id, struct span request);
/* Sends what the kernel takes. HM_EUNREACHABLE: the connection has ended; replies may still be there. */
int conn_flush(conn_t *conn);

/* Reads what has come, once. HM_OK; HM_ENOTFOUND: nothing; HM_EUNREACHABLE: it has ended, and all that came
 * was read. HM_EMALFORMED: what came is no ZMTP of a meshd; HM_ENOMEM: both end it. */
int conn_read(conn_t *conn);
/* The next reply of what was read, in the order of their coming. The span lives until conn_read.
 * HM_ENOTFOUND: none; HM_EMALFORMED ends the connection. */
int conn_next(conn_t *conn, uint64_t *ret_id, struct span *ret_reply);

#endif
