/* SPDX-License-Identifier: MPL-2.0 */
/* One ZMTP connection over TCP on the loop: accepted as a ROUTER, or dialled as a DEALER.
 *
 *   connecting --> handshake --ready--> open --> ended (no descriptor any more)
 *        \____________\___________________________/  3 s without READY, the peer, or wrong ZMTP
 *
 * It reads no further than the end of a message, and one message per turn of the loop: the rest
 * stays in the kernel, so a connection costs its codec's bound (wire/zmtp.h) and HM_ZMTP_OUT_BYTES_MAX,
 * and no flood on one delays the others. Never blocks. The loop's thread only. */
#ifndef HM_IO_ZMTP_CONN_H
#define HM_IO_ZMTP_CONN_H

#include "base/addr.h"
#include "base/metrics.h"
#include "base/span.h"
#include "io/reactor.h"

#include <stdbool.h>

typedef struct zmtp_conn zmtp_conn_t;

/* Each may be NULL. From within them that connection must not be destroyed, but from `ended`. */
struct zmtp_conn_handler {
    void *ctx;
    void (*ready)(void *ctx, zmtp_conn_t *conn);
    /* A message's first frame, and its second if it is no larger than a datagram. For the call. */
    void (*message)(void *ctx, zmtp_conn_t *conn, struct span first_frame, struct span content);
    void (*ended)(void *ctx, zmtp_conn_t *conn); /* never from zmtp_conn_dial */
};

/* A ROUTER's end of a descriptor that was accepted; it is non-blocking, and taken in any case. NULL:
 * out of memory. Reactor, metrics (M_ZRE_CUT, M_DROP_FULL) and handler are borrowed for its life. */
zmtp_conn_t *zmtp_conn_accepted(reactor_t *r, int fd, struct metrics *metrics,
                                const struct zmtp_conn_handler *handler);

/* A DEALER's, which dials and gives `identity` (at most ZMTP_IDENTITY_BYTES_MAX bytes, copied). It
 * tries once; one that cannot even begin is returned as ended. NULL: out of memory. */
zmtp_conn_t *zmtp_conn_dial(reactor_t *r, const struct addr *to, struct span identity,
                            struct metrics *metrics, const struct zmtp_conn_handler *handler);

/* Closes it without waiting for anything. Calls no handler. */
void zmtp_conn_destroy(zmtp_conn_t **p);

/* Sends a message of one frame, or of two if content has data, at the latest once the handshake is
 * over. What finds no room is dropped and counted; what is said after the end goes nowhere. */
void zmtp_conn_send(zmtp_conn_t *conn, struct span body, struct span content);

bool zmtp_conn_is_ended(const zmtp_conn_t *conn);
/* The handshake is over, and it has not ended. */
bool zmtp_conn_is_open(const zmtp_conn_t *conn);
/* As the peer's READY has it; empty before. Borrowed. */
struct span zmtp_conn_identity(const zmtp_conn_t *conn);

#endif
