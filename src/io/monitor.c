/* SPDX-License-Identifier: MPL-2.0 */
/* Monitors of ZeroMQ sockets: see monitor.h. */
#define _GNU_SOURCE
#include "io/monitor.h"

#include "base/err.h"
#include "io/multipart.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

void *monitor_new(void *zmq_ctx, void *socket, const char *name, int events)
{
    const int none = 0;
    if (zmq_socket_monitor(socket, name, events) != 0) {
        return NULL;
    }
    void *monitor = zmq_socket(zmq_ctx, ZMQ_PAIR);
    if (monitor == NULL) {
        zmq_socket_monitor(socket, NULL, 0);
        return NULL;
    }
    if (zmq_setsockopt(monitor, ZMQ_LINGER, &none, sizeof none) != 0 ||
        zmq_setsockopt(monitor, ZMQ_RCVHWM, &none, sizeof none) != 0 ||
        zmq_connect(monitor, name) != 0) {
        monitor_destroy(&monitor, socket);
    }
    return monitor;
}

void monitor_destroy(void **p, void *socket)
{
    if (*p != NULL) {
        zmq_socket_monitor(socket, NULL, 0);
        zmq_close(*p);
        *p = NULL;
    }
}

bool monitor_take(void *monitor, uint16_t *ret_event, uint32_t *ret_value)
{
    uint8_t head[6];
    int n;
    do {
        n = zmq_recv(monitor, head, sizeof head, ZMQ_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return false;
    }
    HM_ASSERT(n == sizeof head); /* libzmq's own, in our process */
    memcpy(ret_event, head, 2);
    memcpy(ret_value, head + 2, 4);
    multipart_skip(monitor); /* the endpoint, not wanted */
    return true;
}
