/* SPDX-License-Identifier: MPL-2.0 */
/* Beacons heard: see heard.h. */
#include "io/heard.h"

#define GAP_NS 60000000000u   /* idle nodes beacon every 10 s */
#define CROWD_NS 10000000000u /* counted anew after that */
#define CROWD_FLOOD 2000      /* fifty nodes that start on one machine at once make fewer */

static struct heard_beacon *older(struct heard_beacon *a, struct heard_beacon *b)
{
    return a == NULL || b->at_ns < a->at_ns ? b : a;
}

/* Where it is kept: its own place, else one of its address if that has its share, else a free one,
 * else the oldest. */
static struct heard_beacon *place_for(struct heard *h, const struct heard_beacon *beacon)
{
    struct heard_beacon *oldest = NULL;
    struct heard_beacon *oldest_there = NULL;
    size_t there = 0;
    for (size_t i = 0; i < h->count; i++) {
        struct heard_beacon *item = &h->items[i];
        bool is_there = addr_same_ip(&item->addr, &beacon->addr);
        if (is_there && node_id_eq(&item->id, &beacon->id) && item->index == beacon->index) {
            return item;
        }
        there += is_there ? 1 : 0;
        oldest_there = is_there ? older(oldest_there, item) : oldest_there;
        oldest = older(oldest, item);
    }
    if (there >= HM_BEACONS_PER_ADDRESS_MAX) {
        return oldest_there;
    }
    return h->count < HM_BEACONS_HEARD_MAX ? &h->items[h->count++] : oldest;
}

static void count_crowd(struct heard *h, uint64_t now_ns)
{
    if (now_ns - h->crowd_since_ns > CROWD_NS) {
        h->crowd_since_ns = now_ns;
        h->crowd = 0;
    }
    if (++h->crowd >= CROWD_FLOOD) {
        h->flooded_ns = now_ns;
    }
}

void heard_note(struct heard *heard, const struct heard_beacon *beacon)
{
    struct heard_beacon *place = place_for(heard, beacon);
    bool goes_on = node_id_eq(&place->id, &beacon->id) &&
                   addr_same_ip(&place->addr, &beacon->addr) && place->index == beacon->index &&
                   beacon->at_ns - place->at_ns < GAP_NS;
    if (!goes_on && place->at_ns != 0 && beacon->at_ns - place->at_ns < GAP_NS) {
        count_crowd(heard, beacon->at_ns);
    }
    uint64_t first_ns = goes_on ? place->first_ns : beacon->at_ns;
    *place = *beacon;
    place->first_ns = first_ns;
}
