/* SPDX-License-Identifier: MPL-2.0 */
/* What becomes of a ZeroMQ socket's connections, read on the loop. (zmonitor would be a thread for
 * each.)
 *
 * libzmq's I/O thread, which moves all sockets' bytes, writes the events with a blocking send. So
 * the pipe must never be full and never lose its reader: it has no high-water mark (what piles up
 * is bounded by how long the loop can stall), and monitoring is stopped before the reader is
 * closed. ZMQ_EVENT_MONITOR_STOPPED must not be among the events asked for: it would be written to
 * nobody. */
#ifndef HM_IO_MONITOR_H
#define HM_IO_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

/* Monitors a socket under a name ("inproc://...") that is free in the context, and was not another
 * monitor's a moment ago: libzmq frees names late. Returns the socket to read from, for a reactor;
 * NULL: no sockets left. */
void *monitor_new(void *zmq_ctx, void *socket, const char *name, int events);
/* To be called while the monitored socket is open, and after the reactor let go of the monitor. */
void monitor_destroy(void **p, void *socket);

/* Takes one event: its ZMQ_EVENT number and value. False if there is none. */
bool monitor_take(void *monitor, uint16_t *ret_event, uint32_t *ret_value);

#endif
