/* SPDX-License-Identifier: MPL-2.0 */
/* Bytes that came on a TCP connection: see flow.h. */
#define _GNU_SOURCE
#include "io/flow.h"

#include "base/limits.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

/* 0: not known (not TCP, gone, or a kernel before 4.1). */
static uint64_t bytes_received(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    size_t wanted = offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received;
    if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < wanted) {
        return 0;
    }
    return info.tcpi_bytes_received;
}

bool flow_is_endless(struct flow *flow, int fd)
{
    uint64_t received = bytes_received(fd);
    if (flow->is_read) {
        flow->is_read = false;
        flow->received = received - flow->looked > HM_LINK_UNREAD_BYTES_MAX ? received : flow->looked;
    }
    flow->looked = received;
    return received > flow->received && received - flow->received > HM_LINK_UNREAD_BYTES_MAX;
}
