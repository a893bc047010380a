/* SPDX-License-Identifier: MPL-2.0 */
/* SWIM's randomised round robin (SWIM section 4.3): members in random order, each once a round; a new one
 * goes to a random place. So each is probed within two rounds, which bounds detection time. */
#ifndef HM_CORE_ORDER_H
#define HM_CORE_ORDER_H

#include "base/prng.h"
#include "core/member.h"

struct order {
    struct member **items;
    size_t count;
    size_t room;
    size_t next;
};

void order_fini(struct order *o);
/* HM_ENOMEM. The member must be in no order. */
int order_insert(struct order *o, struct member *m, struct prng *prng);
void order_remove(struct order *o, struct member *m);
/* The next member; shuffles at the end of a round. NULL if empty. */
struct member *order_next(struct order *o, struct prng *prng);

/* Up to k different members of the order for which is_wanted says yes, uniformly at random; all of them
 * when there are no more than k. Returns how many. k <= ORDER_PICK_MAX. */
#define ORDER_PICK_MAX 8
size_t order_pick(const struct order *o, struct prng *prng, size_t k,
                  bool (*is_wanted)(const struct member *m, const void *arg), const void *arg,
                  struct member **ret_members);

#endif
