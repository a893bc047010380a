/* SPDX-License-Identifier: MPL-2.0 */
/* Knocking: a beacon, and one ping to each of the others, so that `meshctl doctor` can ask everyone
 * what arrived and name the direction that does not work. Nobody waits for the answers and nobody is
 * judged by them. When a member asks for it often, it is done a few times a second. */
#include "core/core_priv.h"

#define KNOCK_EVERY_NS (200 * MS_NS)

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
            struct swim_msg ping = {.type = SWIM_PING, .nonce = core_nonce(c)};
            send_swim(c, m, &m->addr, &ping);
            knocked++;
        }
    }
}
