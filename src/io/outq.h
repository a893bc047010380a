/* SPDX-License-Identifier: MPL-2.0 */
/* How many bytes libzmq holds that are to be sent to one peer.
 *
 * ZMQ_SNDHWM counts messages, whatever their size, and libzmq tells nobody how many bytes wait. So large
 * messages are handed over without a copy, in blocks that libzmq gives back when they were sent or
 * dropped: until then they count. It does so from its own thread, perhaps after the socket and this queue
 * were closed; the count is therefore atomic and outlives the queue until the last block is back. */
#ifndef HM_IO_OUTQ_H
#define HM_IO_OUTQ_H

#include "base/span.h"

#include <stddef.h>

typedef struct outq outq_t;

/* NULL: out of memory. */
outq_t *outq_new(void);
/* What is on its way stays so. */
void outq_destroy(outq_t **p);

/* Below OUTQ_SMALL_BYTES a message does not count: of those, ZMQ_SNDHWM is bound enough. */
#define OUTQ_SMALL_BYTES 1024
size_t outq_bytes(const outq_t *q);

/* Sends a message: parts of a few bytes first (count may be 0), then the body; all are copied. All or
 * none: only the first can be refused. HM_EFULL: that would make more than bytes_max wait, or as many
 * messages wait as may; HM_ENOMEM; HM_EUNREACHABLE: any other error, such as a peer that is gone.
 * Never blocks. */
int outq_send(outq_t *q, void *socket, const struct span *parts, size_t count, struct span body,
              size_t bytes_max);

#endif
