/* SPDX-License-Identifier: MPL-2.0 */
/* How much a peer has sent on a link since we last read a message of it.
 *
 * libzmq keeps the frames of a message until the last one is there, and nothing in it bounds their
 * number: ZMQ_MAXMSGSIZE is for one frame, ZMQ_RCVHWM counts whole messages. The kernel knows how
 * many bytes came, so a link on which 16 MiB came and no message is cut: more than the
 * 4 frames that libzmq takes before us, one more, and the kernel's buffer can hold. */
#ifndef HM_IO_FLOW_H
#define HM_IO_FLOW_H

#include <stdbool.h>
#include <stdint.h>

struct flow {
    uint64_t received; /* by the kernel, when a message was last read */
};

/* A message was read: what came before it is accounted for. */
void flow_read(struct flow *flow, int fd);
/* True if more has come since than any message of ours has. False if the kernel cannot tell. */
bool flow_is_endless(const struct flow *flow, int fd);

#endif
