/* SPDX-License-Identifier: MPL-2.0 */
/* The mailbox's port: a ZMTP ROUTER on TCP that strangers may reach.
 *
 * At most HM_ZRE_CONNECTIONS_MAX connections. One more, and the oldest of those that are nobody's
 * we know gives way (the oldest of all if there is none), so nobody keeps the door shut by
 * sitting in it. A peer that connects anew with its identity takes the place of its older
 * connection, as with a ROUTER of libzmq with HANDOVER. The loop's thread only. */
#ifndef HM_IO_MAILBOX_H
#define HM_IO_MAILBOX_H

#include "base/addr.h"
#include "base/metrics.h"
#include "base/node_id.h"
#include "base/span.h"
#include "io/reactor.h"

#include <stdbool.h>

typedef struct mailbox mailbox_t;

struct mailbox_handler {
    void *ctx;
    /* A message's first frame, and its second if it is no larger than a datagram. id is zero if the
     * sender's identity is none of ZRE; from is where its connection comes from. All borrowed for the
     * call; the mailbox must outlive it. */
    void (*message)(void *ctx, const struct node_id *id, const struct addr *from,
                    struct span bytes, struct span content);
    /* Whether that is a peer of ours, whose connection is to be kept. */
    bool (*is_peer)(void *ctx, const struct node_id *id);
};

/* at: address (any-address included; family 0: every address of both) and port. Reactor and metrics are borrowed for its life.
 * HM_EBUSY: the port is in use; HM_EINVAL: not an address of this machine; HM_EDENIED; HM_EIO;
 * HM_ENOMEM. */
int mailbox_new(reactor_t *r, const struct addr *at, struct metrics *metrics,
                const struct mailbox_handler *handler, mailbox_t **ret_mailbox);
void mailbox_destroy(mailbox_t **p);

#endif
