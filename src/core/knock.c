/* SPDX-License-Identifier: MPL-2.0 */
/* Knocking: a beacon, and some pings to each of the others, small ones and ones as large as datagrams
 * become, so that `meshctl doctor` can ask everyone what arrived, name the direction that does not work,
 * and say how much is lost. Nobody is judged by it. When a member asks for it often, it is done a few
 * times a second. */
#include "core/core_priv.h"

#define KNOCK_EVERY_NS (200 * MS_NS)
#define SERIES_NS (2 * SECOND_NS) /* counted together: longer than one doctor knocks */
#define FEW_MEMBERS 16            /* of more, fewer pings go to each */
#define LARGE_TO 8                /* so many others get large ones */

static void knock_at(core_t *c, struct member *m, bool with_large)
{
    struct knocks *k = &m->knocks;
    if (k->nonce == 0 || c->now_ns - k->since_ns > SERIES_NS) {
        *k = (struct knocks){.nonce = (core_nonce(c) | 2) & ~(uint64_t) 1, .since_ns = c->now_ns};
    }
    k->last[KNOCK_SMALL] = c->roster.count <= FEW_MEMBERS ? 3 : 1;
    k->last[KNOCK_LARGE] = with_large ? 2 : 0;
    for (unsigned size = 0; size < KNOCK_SIZES; size++) {
        for (unsigned i = 0; i < k->last[size]; i++) {
            struct swim_msg ping = {.type = SWIM_PING, .nonce = k->nonce + size};
            ping.padding = size == KNOCK_LARGE ? PADDING_MAX : 0;
            send_swim(c, m, &m->addr, &ping);
            k->sent[size]++;
        }
    }
}

void core_knock(core_t *c)
{
    bool is_early = c->knocked_ns != 0 && c->now_ns - c->knocked_ns < KNOCK_EVERY_NS;
    if (!c->ready || c->leaving || is_early) {
        return;
    }
    c->knocked_ns = c->now_ns;
    fxlist_add(&c->fx, FX_BEACON);
    size_t knocked = 0;
    size_t own = roster_lower_bound(&c->roster, &c->self->id);
    for (size_t i = 1; i < c->roster.count && knocked < HM_KNOCKS_MAX; i++) {
        struct member *m = c->roster.items[(own + i) % c->roster.count];
        if (member_is_up(m)) {
            knock_at(c, m, knocked < LARGE_TO);
            knocked++;
        }
    }
}

void knock_answered(struct member *m, uint64_t echo)
{
    struct knocks *k = &m->knocks;
    unsigned size = (unsigned) (echo & 1);
    if (k->nonce != 0 && echo - size == k->nonce && k->answered[size] < k->sent[size]) {
        k->answered[size]++;
    }
}
