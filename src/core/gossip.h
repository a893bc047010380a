/* SPDX-License-Identifier: MPL-2.0 */
/* Updates waiting to be told (SWIM section 4.1): each is sent a bounded number of times, the least sent
 * first, riding on probes and on datagrams of their own while there are any. About a member at most one
 * record and one claim wait; a newer one takes the older one's place. */
#ifndef HM_CORE_GOSSIP_H
#define HM_CORE_GOSSIP_H

#include "base/span.h"
#include "core/fxlist.h"
#include "core/member.h"

#define GOSSIP_SENDS_MAX 32
#define GOSSIP_UPDATES_MAX 16 /* in one datagram */

enum gossip_slot { GOSSIP_RECORD = 0, GOSSIP_CLAIM = 1 };

struct gossip {
    struct gossip_item *first[GOSSIP_SENDS_MAX];
    struct gossip_item *last[GOSSIP_SENDS_MAX];
    size_t count;
};

void gossip_fini(struct gossip *g);
/* Queues encoded update bytes about m; a waiting claim is withdrawn when a record comes. Returns HM_OK,
 * HM_ENOMEM, or HM_EFULL if another update had to go for it. */
int gossip_put(struct gossip *g, struct member *m, enum gossip_slot slot, struct span update);
void gossip_withdraw(struct gossip *g, struct member *m, enum gossip_slot slot);
/* Chooses updates that fit into budget bytes, counts them as sent, forgets those sent `limit` times.
 * Copies go to the effect list; returns how many spans were written (at most GOSSIP_UPDATES_MAX). */
size_t gossip_take(struct gossip *g, unsigned limit, size_t budget, struct fxlist *fx,
                   struct span *ret_updates);

#endif
