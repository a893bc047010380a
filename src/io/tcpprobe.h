/* SPDX-License-Identifier: MPL-2.0 */
/* Is a process listening there? Plain TCP connects, non-blocking, closed at once. The outcome comes
 * within a second; at most TCPPROBES_MAX are outstanding. */
#ifndef HM_IO_TCPPROBE_H
#define HM_IO_TCPPROBE_H

#include "base/addr.h"
#include "base/node_id.h"
#include "core/event.h"
#include "io/reactor.h"

#include <stdint.h>

typedef struct tcpprobes tcpprobes_t;

#define TCPPROBES_MAX 16 /* one suspect has few observers and two connects each */

typedef void tcpprobe_fn(void *ctx, const struct node_id *peer, uint64_t token,
                         enum connect_outcome outcome);

tcpprobes_t *tcpprobes_new(reactor_t *r, tcpprobe_fn *done, void *ctx); /* NULL: out of memory */
void tcpprobes_destroy(tcpprobes_t **p);

/* `done` is called later, never from within. HM_EFULL: too many outstanding; HM_EIO: no
 * descriptor. For an error, done is not called. An unreachable network counts as silent, only a
 * reset as refused. */
int tcpprobe_start(tcpprobes_t *t, const struct node_id *peer, const struct addr *to,
                   uint64_t token);

#endif
