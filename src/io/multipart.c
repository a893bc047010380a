/* SPDX-License-Identifier: MPL-2.0 */
/* Messages of several parts: see multipart.h. */
#define _GNU_SOURCE
#include "io/multipart.h"

#include <stdint.h>
#include <zmq.h>

bool multipart_has_more(void *socket)
{
    int more = 0;
    size_t size = sizeof more;
    return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more != 0;
}

size_t multipart_skip(void *socket)
{
    size_t count = 0;
    uint8_t none;
    while (multipart_has_more(socket) && zmq_recv(socket, &none, 0, ZMQ_DONTWAIT) >= 0) {
        count++;
    }
    return count;
}
