/* SPDX-License-Identifier: MPL-2.0 */
/* A limit on accepted connections: see inbound.h. */
#define _GNU_SOURCE
#include "io/inbound.h"

#include "base/addr.h"
#include "io/sockaddr.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zmq.h>

#define EVENTS_PER_TURN 256

struct entry {
    int fd; /* -1: free */
    uint64_t number;
};

struct inbound {
    void *socket; /* watched; not ours */
    void *monitor;
    struct metrics *metrics;
    uint64_t last_number;
    struct entry entries[INBOUND_MAX];
};

/* Names the monitor. The address alone will not do: it may be that of one just destroyed, whose
 * name libzmq's reaper has not given back yet. */
static atomic_uint last_name;

inbound_t *inbound_new(void *zmq_ctx, void *socket, struct metrics *metrics)
{
    char name[64];
    int zero = 0;
    inbound_t *in = calloc(1, sizeof *in);
    if (in == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < INBOUND_MAX; i++) {
        in->entries[i].fd = -1;
    }
    in->metrics = metrics;
    snprintf(name, sizeof name, "inproc://homemesh.inbound.%u", atomic_fetch_add(&last_name, 1));
    in->monitor = zmq_socket(zmq_ctx, ZMQ_PAIR);
    if (in->monitor == NULL || zmq_socket_monitor(socket, name, ZMQ_EVENT_ACCEPTED) != 0) {
        inbound_destroy(&in);
        return NULL;
    }
    in->socket = socket;
    /* Libzmq's I/O thread writes events with a blocking send: the pipe must never be full. */
    if (zmq_setsockopt(in->monitor, ZMQ_LINGER, &zero, sizeof zero) != 0 ||
        zmq_setsockopt(in->monitor, ZMQ_RCVHWM, &zero, sizeof zero) != 0 ||
        zmq_connect(in->monitor, name) != 0) {
        inbound_destroy(&in);
    }
    return in;
}

void inbound_destroy(inbound_t **p)
{
    inbound_t *in = *p;
    if (in == NULL) {
        return;
    }
    if (in->socket != NULL) {
        zmq_socket_monitor(in->socket, NULL, 0);
    }
    if (in->monitor != NULL) {
        zmq_close(in->monitor);
    }
    free(in);
    *p = NULL;
}

void *inbound_socket(const inbound_t *inbound)
{
    return inbound->monitor;
}

/* True if the descriptor is still a connection to our port, or has become another one. */
static bool is_open(int fd, uint16_t port)
{
    struct sockaddr_storage sa;
    struct addr local;
    socklen_t size = sizeof sa;
    if (getsockname(fd, (struct sockaddr *) &sa, &size) != 0 ||
        !addr_of_sockaddr((struct sockaddr *) &sa, &local) || local.port != port) {
        return false;
    }
    size = sizeof sa;
    return getpeername(fd, (struct sockaddr *) &sa, &size) == 0;
}

/* The entry for a new descriptor: its own from before, a free one, or the oldest. */
static struct entry *place_for(inbound_t *in, int fd, uint16_t port)
{
    struct entry *oldest = &in->entries[0];
    struct entry *found = NULL;
    for (size_t i = 0; i < INBOUND_MAX; i++) {
        struct entry *e = &in->entries[i];
        if (e->fd == fd) {
            return e;
        }
        found = e->fd < 0 ? e : found;
        oldest = e->number < oldest->number ? e : oldest;
    }
    for (size_t i = 0; i < INBOUND_MAX && found == NULL; i++) {
        found = is_open(in->entries[i].fd, port) ? NULL : &in->entries[i];
    }
    if (found == NULL) {
        shutdown(oldest->fd, SHUT_RDWR); /* libzmq sees its end and closes it */
        metric_add(in->metrics, M_DROP_FULL, 1);
        found = oldest;
    }
    return found;
}

void inbound_take(inbound_t *in, uint16_t port)
{
    for (unsigned i = 0; i < EVENTS_PER_TURN; i++) {
        uint8_t event[6]; /* number, 2 bytes; value, 4 bytes; libzmq's own, in our byte order */
        uint8_t endpoint;
        int32_t fd;
        int got = zmq_recv(in->monitor, event, sizeof event, ZMQ_DONTWAIT);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return;
        }
        zmq_recv(in->monitor, &endpoint, sizeof endpoint, ZMQ_DONTWAIT);
        memcpy(&fd, event + 2, sizeof fd);
        if (got == (int) sizeof event && fd >= 0) {
            *place_for(in, fd, port) = (struct entry){.fd = fd, .number = ++in->last_number};
        }
    }
}
