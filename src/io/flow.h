/* SPDX-License-Identifier: MPL-2.0 */
/* How much a peer has sent on a link while no message of it could be read.
 *
 * libzmq keeps the frames of a message until the last one is there, and nothing in it bounds their
 * number: ZMQ_MAXMSGSIZE is for one frame, ZMQ_RCVHWM counts whole messages. The kernel knows how
 * many bytes came, so a link on which 48 MiB came and no message is cut: more than the
 * 8 frames that libzmq takes before us, one more, and the kernel's buffer (32 MiB at most) can hold. What
 * came between the last message and the next look is forgiven. */
#ifndef HM_IO_FLOW_H
#define HM_IO_FLOW_H

#include <stdbool.h>
#include <stdint.h>

struct flow {
    bool is_read;      /* a message was, since the last look */
    uint64_t received; /* by the kernel, at the last look after one was read */
};

/* Looked at now and then. True if more has come than any message of ours has, and none was read. False if the kernel cannot
 * tell. */
bool flow_is_endless(struct flow *flow, int fd);

#endif
