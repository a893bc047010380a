/* SPDX-License-Identifier: MPL-2.0 */
/* The helper's side of an indirect probe (SWIM section 3): a member that got no answer asks us to probe another.
 * What the target answers in time is RELAYED; when it has not answered a little before the requester's own time is
 * up, NACK says that we are there (Lifeguard). Who asks whom: swim.c. */
#include "base/err.h"
#include "core/core_priv.h"

static struct relay *relay_by_nonce(core_t *c, uint64_t nonce)
{
    for (size_t i = 0; i < HM_RELAYS_MAX; i++) {
        if (c->relays[i].nonce == nonce && nonce != 0) {
            return &c->relays[i];
        }
    }
    return NULL;
}

static void relay_tell(core_t *c, const struct relay *r, enum swim_type type)
{
    struct member *requester = roster_find(&c->roster, &r->requester);
    struct swim_msg msg = {.type = type, .echo = r->their_nonce, .target = r->target};
    if (requester != NULL && type == SWIM_RELAYED) {
        send_pair_both_ways(c, requester, &msg);
    } else if (requester != NULL) {
        send_pair(c, requester, &msg); /* each that arrives is counted */
    }
}

bool relay_answered(core_t *c, const struct member *m, uint64_t echo)
{
    struct relay *r = relay_by_nonce(c, echo);
    if (r == NULL || !node_id_eq(&r->target, &m->id)) {
        return false;
    }
    relay_tell(c, r, SWIM_RELAYED);
    r->nonce = 0;
    return true;
}

/* It asks twice, by datagram and over the link. */
static bool is_asked_already(const core_t *c, const struct member *m, const struct swim_msg *msg)
{
    for (size_t i = 0; i < HM_RELAYS_MAX; i++) {
        const struct relay *r = &c->relays[i];
        if (r->nonce != 0 && !r->nacked && r->their_nonce == msg->nonce &&
            node_id_eq(&r->requester, &m->id) && node_id_eq(&r->target, &msg->target)) {
            return true;
        }
    }
    return false;
}

/* NULL: none, or m has its share; it could keep all of them from the others otherwise. */
static struct relay *free_relay(core_t *c, const struct member *m)
{
    struct relay *r = NULL;
    size_t its = 0;
    for (size_t i = 0; i < HM_RELAYS_MAX; i++) {
        bool is_free = c->relays[i].nonce == 0;
        its += !is_free && node_id_eq(&c->relays[i].requester, &m->id);
        r = is_free && r == NULL ? &c->relays[i] : r;
    }
    return its < HM_RELAYS_PER_MEMBER_MAX ? r : NULL;
}

void relay_asked(core_t *c, struct member *m, const struct swim_msg *msg)
{
    struct member *target = roster_find(&c->roster, &msg->target);
    if (is_asked_already(c, m, msg)) {
        return;
    }
    struct relay *r = free_relay(c, m);
    if (target == NULL || target == c->self || target == m || r == NULL) {
        core_count(c, r == NULL ? M_DROP_FULL : M_DROP_MALFORMED);
        return;
    }
    r->nonce = core_nonce(c);
    r->nacked = false;
    r->their_nonce = msg->nonce;
    r->requester = m->id;
    r->target = target->id;
    /* Lifeguard: the nack comes at 80 % of the helper's own timeout. */
    r->until_ns = c->now_ns + c->params.probe_timeout_ns / 10 * 8;
    core_arm_earlier(c, TIMER_RELAYS, r->until_ns);
    struct swim_msg ping = {.type = SWIM_PING, .nonce = r->nonce};
    send_swim(c, target, &target->addr, &ping);
    if (target->link == LINK_UP) {
        send_swim(c, target, NULL, &ping);
    }
}

void relay_tick(core_t *c)
{
    uint64_t next = TIMER_NEVER;
    for (size_t i = 0; i < HM_RELAYS_MAX; i++) {
        struct relay *r = &c->relays[i];
        if (r->nonce != 0 && r->until_ns <= c->now_ns && !r->nacked) {
            relay_tell(c, r, SWIM_NACK);
            r->nacked = true; /* over a slow path an ack may still come in time */
            r->until_ns = c->now_ns + c->params.probe_fail_ns;
        } else if (r->nonce != 0 && r->until_ns <= c->now_ns) {
            r->nonce = 0;
        }
        if (r->nonce != 0 && r->until_ns < next) {
            next = r->until_ns;
        }
    }
    if (next != TIMER_NEVER) {
        core_arm(c, TIMER_RELAYS, next);
    }
}
