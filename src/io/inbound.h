/* SPDX-License-Identifier: MPL-2.0 */
/* A limit on the connections that a bound TCP socket of ZeroMQ has accepted, which libzmq lacks.
 *
 * Without one, whoever reaches the port uses up this process's descriptors: libzmq's I/O thread
 * then spins on accept, and its listener for local sockets aborts the process (4.3.4,
 * ipc_listener.cpp: EMFILE is not among the errors it expects).
 *
 * A monitor tells of each accepted descriptor. When there are too many, the oldest is shut down,
 * so nobody keeps the door shut by sitting in it. Descriptors that ended are found by asking the
 * kernel, since libzmq does not tell of all ends (a routing id that is taken over). The loop's
 * thread only. */
#ifndef HM_IO_INBOUND_H
#define HM_IO_INBOUND_H

#include "base/metrics.h"

#include <stdint.h>

typedef struct inbound inbound_t;

#define INBOUND_MAX 128

/* Call it before the socket is bound. NULL: out of memory or sockets. */
inbound_t *inbound_new(void *zmq_ctx, void *socket, struct metrics *metrics);

/* Before the socket is closed. */
void inbound_destroy(inbound_t **p);

/* To poll for reading. */
void *inbound_socket(const inbound_t *inbound);

/* Takes what is there. `port` is the one bound: no other descriptor is ever shut down. Each that is
 * counts as M_DROP_FULL. */
void inbound_take(inbound_t *inbound, uint16_t port);

#endif
