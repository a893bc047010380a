/* SPDX-License-Identifier: MPL-2.0 */
/* How much a peer has sent on a link while no message of it could be read.
 *
 * libzmq keeps the frames of a message until the last one is there, and nothing in it bounds their
 * number: ZMQ_MAXMSGSIZE is for one frame, ZMQ_RCVHWM counts whole messages. The kernel knows how
 * many bytes came, so a link on which 16 MiB came and no message is cut: more than the
 * 4 frames that libzmq takes before us, one more, and the kernel's buffer usually hold.
 *
 * The kernel is asked at each look, not for each message. What came since the look before counts, unless that alone is
 * too much, which many messages may be. */
#ifndef HM_IO_FLOW_H
#define HM_IO_FLOW_H

#include <stdbool.h>
#include <stdint.h>

struct flow {
    bool is_read;      /* a message was, since the last look */
    uint64_t looked;   /* what the kernel had received then */
    uint64_t received; /* what it had when a message was last known to be read */
};

/* One look. True if more has come than any message of ours has, and none was read. False if the kernel cannot tell. */
bool flow_is_endless(struct flow *flow, int fd);

#endif
