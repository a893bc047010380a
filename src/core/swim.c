/* SPDX-License-Identifier: MPL-2.0 */
/* SWIM's failure detector (Das, Gupta, Motivala, DSN 2002, section 3), with Lifeguard's local health.
 *
 * One probe of one member:
 *
 *     0           PING
 *     timeout     PING again, PING_REQ to k helpers, PING over the link (a second path)
 *     + 250 ms    PING once more
 *     fail        nobody had an answer: this node suspects the member (doubt.c)
 *
 * timeout, fail and the period stretch with the local health score: who is slow itself accuses late. While a
 * member is suspect, those who saw it themselves probe it every 200 ms, carrying the suspicion, until it
 * refutes or is judged: speed is bought with packets in doubt, not when idle. */
#include "base/err.h"
#include "core/core_priv.h"

#include <stdlib.h>
#include <string.h>

#define RESEND_NS (250 * MS_NS)
#define GREET_AGAIN_NS (30 * SECOND_NS)
#define HELP_EVERY 5 /* re-probes of a suspect between two rounds of helpers */

struct watch *watch_of(core_t *c, struct member *m)
{
    if (m->watch != NULL) {
        return m->watch;
    }
    struct watch *w = c->free_watches;
    if (w != NULL) {
        c->free_watches = w->next_free;
    } else {
        w = malloc(sizeof *w);
    }
    if (w == NULL) {
        c->fx.failed = true;
        return NULL;
    }
    memset(w, 0, sizeof *w);
    w->probe_timer.kind = TIMER_M_PROBE;
    w->verdict_timer.kind = TIMER_M_VERDICT;
    w->refused_timer.kind = TIMER_M_REFUSED;
    w->probe_timer.owner = w->verdict_timer.owner = w->refused_timer.owner = m;
    m->watch = w;
    return w;
}

void watch_drop(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    if (w == NULL) {
        return;
    }
    timer_disarm(&c->timers, &w->probe_timer);
    timer_disarm(&c->timers, &w->verdict_timer);
    timer_disarm(&c->timers, &w->refused_timer);
    m->watch = NULL;
    w->next_free = c->free_watches;
    c->free_watches = w;
}

void watch_release(core_t *c, struct member *m)
{
    const struct watch *w = m->watch;
    if (w != NULL && w->nonce == 0 && m->status != STATUS_SUSPECT && w->connect_token == 0 &&
        !timer_is_armed(&w->refused_timer)) {
        watch_drop(c, m);
    }
}

static uint64_t stretch(const core_t *c, uint64_t ns)
{
    return c->params.lifeguard ? ns * (c->health + 1) : ns;
}

static void arm_probe(core_t *c, struct watch *w, uint64_t at_ns)
{
    if (timer_arm(&c->timers, &w->probe_timer, at_ns) != 0) {
        c->fx.failed = true;
    }
}

static void ping_over_link(core_t *c, struct member *m)
{
    struct swim_msg ping = {.type = SWIM_PING, .nonce = m->watch->nonce};
    send_swim(c, m, NULL, &ping);
}

/* Where to look for a silent member: at the address in use, and every other time at the next other one
 * that its record names. Asking there changes nothing; an answer from there does. */
static struct addr address_to_try(struct member *m, unsigned attempt)
{
    for (size_t i = 0; attempt % 2 != 0 && i < m->rec.addr_count; i++) {
        const struct addr *a = &m->rec.addrs[m->addr_next++ % m->rec.addr_count];
        if (!addr_same_place(a, &m->addr)) {
            return *a;
        }
    }
    return m->addr;
}

/* At the address in use and at all others that its record names. */
static void ping_everywhere(core_t *c, struct member *m, struct swim_msg *ping)
{
    send_swim(c, m, &m->addr, ping);
    for (size_t i = 0; i < m->rec.addr_count; i++) {
        if (!addr_same_place(&m->rec.addrs[i], &m->addr)) {
            send_swim(c, m, &m->rec.addrs[i], ping);
        }
    }
}

static void send_ping(core_t *c, struct member *m)
{
    struct swim_msg ping = {.type = SWIM_PING, .nonce = m->watch->nonce};
    unsigned attempt = m->watch->attempts++;
    if (attempt == 0 && !m->addr_proven) {
        ping_everywhere(c, m, &ping); /* the first answer decides */
        return;
    }
    struct addr to = address_to_try(m, attempt);
    send_swim(c, m, &to, &ping);
}

void swim_probe(core_t *c, struct member *m, bool is_regular)
{
    struct watch *w = watch_of(c, m);
    if (w == NULL || w->nonce != 0) {
        return;
    }
    core_count(c, M_PROBES);
    w->nonce = core_nonce(c);
    w->started_ns = c->now_ns;
    w->sent_ns = c->now_ns;
    w->was_challenged = false;
    w->attempts = 0;
    w->helpers_asked = 0;
    w->nacks = 0;
    w->asked_helpers = false;
    w->is_regular = is_regular;
    arm_probe(c, w, c->now_ns + stretch(c, c->params.probe_timeout_ns));
    send_ping(c, m);
}

void swim_probe_again(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    if (w != NULL && w->nonce != 0 && !w->was_challenged) {
        w->was_challenged = true; /* once: a challenge played again must not keep the probe going */
        w->attempts = 0;          /* the first one was not taken: this is the sample */
        w->sent_ns = c->now_ns;
        send_ping(c, m);
    }
}

void swim_probe_over(core_t *c, struct member *m)
{
    if (m->watch != NULL) {
        m->watch->nonce = 0;
        timer_disarm(&c->timers, &m->watch->probe_timer);
    }
}

void swim_renew_nonce(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    if (w != NULL && w->nonce != 0) {
        w->nonce = core_nonce(c);
        w->sent_ns = c->now_ns;
        w->attempts = 0;
        send_ping(c, m);
    }
}

struct helpers {
    const struct member *target;
    struct member *chosen[ORDER_PICK_MAX];
    size_t count;
};

static bool is_helper(const struct member *m, const void *arg)
{
    const struct helpers *h = arg;
    for (size_t i = 0; i < h->count; i++) {
        if (h->chosen[i] == m) {
            return false;
        }
    }
    return m != h->target && m->status == STATUS_ALIVE && reach_hears_us(m);
}

static bool is_linked_helper(const struct member *m, const void *arg)
{
    return m->link == LINK_UP && is_helper(m, arg);
}

static void choose_helpers(core_t *c, struct helpers *h, size_t k)
{
    struct member *near = k > 1 ? overlay_neighbour_of(c, h->target) : NULL;
    if (near != NULL && near != c->self && is_helper(near, h)) {
        h->chosen[h->count++] = near;
    }
    if (h->count + 1 < k) {
        h->count += order_pick(&c->probe_order, &c->prng, 1, is_linked_helper, h,
                               h->chosen + h->count);
    }
    h->count += order_pick(&c->probe_order, &c->prng, k - h->count, is_helper, h,
                           h->chosen + h->count);
}

/* SWIM's are random. One of ours is likely to be linked to the target, and one is linked to us: where one
 * of the two is behind a firewall that drops datagrams, most random ones could not help. */
static void ask_helpers(core_t *c, struct member *m)
{
    struct helpers h = {.target = m};
    size_t k = c->params.indirect_probes;
    choose_helpers(c, &h, k < ORDER_PICK_MAX ? k : ORDER_PICK_MAX);
    for (size_t i = 0; i < h.count; i++) {
        struct swim_msg ask = {.type = SWIM_PING_REQ, .nonce = m->watch->nonce, .target = m->id};
        send_pair_both_ways(c, h.chosen[i], &ask);
    }
    m->watch->helpers_asked += (unsigned) h.count;
    if (h.count > 0) {
        core_count(c, M_PROBES_INDIRECT);
    }
}

static void probe_suspect(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    if (w->attempts % HELP_EVERY == HELP_EVERY - 1) {
        ask_helpers(c, m);
    }
    send_ping(c, m);
    if (m->link == LINK_UP && w->attempts % HELP_EVERY == 0) {
        ping_over_link(c, m);
    }
    arm_probe(c, w, c->now_ns + c->params.suspect_probe_ns);
}

static void probe_failed(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    core_count(c, M_PROBES_FAILED);
    if (w->is_regular) {
        /* Most helpers say in time that they had no answer either: a sign that we are well. Lifeguard
         * counts every missing nack; where a quarter of the members is slow, that made the healthy
         * ones doubt themselves and notice true crashes late. */
        core_health_change(c, 2 * w->nacks > w->helpers_asked ? 0 : 1);
    }
    w->is_regular = false;
    reach_silent(c, m);
    doubt_own_probe_failed(c, m);
}

void swim_probe_tick(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    uint64_t end_ns = w->started_ns + stretch(c, c->params.probe_fail_ns);
    if (w->nonce == 0) {
        return;
    }
    if (m->status == STATUS_SUSPECT && w->is_observer && !doubt_is_plain(c)) {
        probe_suspect(c, m);
    } else if (c->now_ns >= end_ns) {
        probe_failed(c, m);
    } else {
        if (!w->asked_helpers) {
            w->asked_helpers = true;
            ask_helpers(c, m);
            if (m->link == LINK_UP) {
                ping_over_link(c, m);
            }
        }
        send_ping(c, m);
        uint64_t next = c->now_ns + RESEND_NS;
        arm_probe(c, w, next < end_ns && end_ns - next > RESEND_NS / 2 ? next : end_ns);
    }
}

void swim_link_up(core_t *c, struct member *m)
{
    if (m->watch != NULL && m->watch->nonce != 0 && m->watch->asked_helpers) {
        ping_over_link(c, m);
    }
}

void swim_period(core_t *c)
{
    /* One that is being probed already is passed over; in a round nobody waits for long. */
    for (size_t i = 0; i < c->probe_order.count; i++) {
        struct member *m = order_next(&c->probe_order, &c->prng);
        if (m->watch == NULL || m->watch->nonce == 0) {
            swim_probe(c, m, true);
            next_say_unknown(c, m);
            break;
        }
    }
    if (c->probe_order.count > 0) {
        core_arm(c, TIMER_PROBE, c->now_ns + stretch(c, c->params.probe_interval_ns));
    }
}

/* UDP to it may be blocked on both sides, and TCP not: if it greets back, it is joined anew by mail. A
 * machine that is off costs a connect now and then. */
static void greet_failed(core_t *c, struct member *m)
{
    bool is_early = m->greeted_ns != 0 && c->now_ns - m->greeted_ns < GREET_AGAIN_NS;
    if (m->status != STATUS_FAILED || is_early) {
        return;
    }
    m->greeted_ns = c->now_ns;
    struct effect *fx = addr_is_none(&m->addr) ? NULL : fxlist_add(&c->fx, FX_ZRE_HELLO);
    if (fx != NULL) {
        fx->as.zre_hello.to = m->addr;
        fx->as.zre_hello.id = m->id;
    }
}

void swim_failed_period(core_t *c)
{
    struct member *m = order_next(&c->failed_order, &c->prng);
    if (m == NULL || (c->params.broken & BREAK_NO_RETRY_FAILED) != 0) {
        c->heal_left = 0;
        return;
    }
    /* No watch: nobody waits for this answer. If it comes, it comes with a refutation. */
    struct swim_msg ping = {.type = SWIM_PING, .nonce = core_nonce(c)};
    ping_everywhere(c, m, &ping);
    greet_failed(c, m);
    uint64_t wait = c->params.failed_probe_ns;
    if (c->heal_left > 0) {
        c->heal_left--;
        wait = 5 * MS_NS;
    }
    core_arm(c, TIMER_FAILED, c->now_ns + wait);
}

/* Time in which we were deaf does not count, but nothing begins in the future. */
static uint64_t later(uint64_t at_ns, uint64_t by_ns, uint64_t now_ns)
{
    return now_ns - at_ns < by_ns ? now_ns : at_ns + by_ns;
}

void swim_extend(core_t *c, uint64_t by_ns)
{
    for (size_t i = 0; i < c->probe_order.count; i++) {
        struct watch *w = c->probe_order.items[i]->watch;
        if (w == NULL) {
            continue;
        }
        w->started_ns = later(w->started_ns, by_ns, c->now_ns);
        w->suspect_since_ns = later(w->suspect_since_ns, by_ns, c->now_ns);
        w->attempts += 2; /* a round trip with our own delay in it is no sample */
        doubt_rearm(c, c->probe_order.items[i]);
        if (timer_is_armed(&w->probe_timer)) {
            timer_arm(&c->timers, &w->probe_timer, c->now_ns + 20 * MS_NS);
        }
    }
}

/* Answers. */

static void take_sample(core_t *c, struct member *m, uint64_t rtt_ns, const struct swim_msg *ack)
{
    memmove(m->rtt_us + 1, m->rtt_us, (RTT_SAMPLES - 1) * sizeof m->rtt_us[0]);
    uint64_t us = rtt_ns / 1000;
    m->rtt_us[0] = us > UINT32_MAX ? UINT32_MAX : us == 0 ? 1 : (uint32_t) us;
    m->rtt_count += m->rtt_count < RTT_SAMPLES ? 1 : 0;
    coord_from_wire(&ack->coord, &m->coord);
    m->has_coord = true;
    /* The median of the last three keeps a single slow answer from moving us. */
    uint32_t a = m->rtt_us[0], b = m->rtt_us[1], d = m->rtt_us[2];
    uint32_t median = m->rtt_count < 3          ? a
                      : (a > b) == (b > d)      ? b
                      : (b > a) == (a > d)      ? a
                                                : d;
    coord_update(&c->coord, &m->coord, (uint64_t) median * 1000, &c->prng);
}

static void probe_answered(core_t *c, struct member *m, enum member_path how)
{
    struct watch *w = m->watch;
    reach_answered(c, m, how);
    if (m->is_remembered) {
        standing_change(c, m, STATUS_ALIVE, REASON_JOINED, &c->self->id);
        return; /* it is in doubt no more: the watch is gone */
    }
    if (w->is_regular) {
        core_health_change(c, -1);
        w->is_regular = false;
    }
    if (m->status == STATUS_SUSPECT && !doubt_is_plain(c)) {
        w->last_ack_ns = c->now_ns;
        if (w->is_observer) {
            return; /* probing goes on until its refutation is here */
        }
    }
    swim_probe_over(c, m);
    doubt_refusals_clear(c, m);
    watch_release(c, m);
}

static void on_ack(core_t *c, struct member *m, const struct swim_msg *msg, bool over_link)
{
    if (relay_answered(c, m, msg->echo)) {
        return;
    }
    struct watch *w = m->watch;
    if (over_link) {
        reach_link_answers(c, m); /* also when a helper's word was here before it */
    }
    if (!over_link) {
        knock_answered(m, msg->echo);
    }
    if (w == NULL || w->nonce == 0 || w->nonce != msg->echo) {
        return;
    }
    if (!over_link && w->attempts == 1) {
        take_sample(c, m, c->now_ns - w->sent_ns, msg);
    }
    probe_answered(c, m, over_link ? PATH_LINK : PATH_DIRECT);
}

/* To where the question came from. If its record does not name that, the record goes there, too: what is behind
 * NAT knows it, what has moved has a newer one, and a copy learns that there is another. from NULL: over the
 * link. */
static void send_ack(core_t *c, struct member *m, const struct addr *from, struct swim_msg *ack)
{
    if (from != NULL && !record_names(&m->rec, from)) {
        m->asks_from = *from;
        m->asks_from_ns = c->now_ns;
        struct span update = update_of_record(c, m);
        struct swim_msg msg = {.type = SWIM_GOSSIP, .updates = &update, .update_count = 1};
        if (update.data != NULL) {
            send_pair_to(c, m, from, &msg);
        }
    }
    send_swim(c, m, from, ack);
}

void swim_answer(core_t *c, struct member *m, uint64_t nonce, const struct addr *from)
{
    struct swim_msg ack = {.type = SWIM_ACK, .echo = nonce};
    send_ack(c, m, from, &ack);
}

static void on_ping(core_t *c, struct member *m, const struct swim_msg *msg,
                    const struct addr *from)
{
    struct swim_msg ack = {.type = SWIM_ACK, .echo = msg->nonce, .padding = msg->padding};
    ack.padding = ack.padding < PADDING_MAX ? ack.padding : PADDING_MAX;
    coord_from_wire(&msg->coord, &m->coord);
    m->has_coord = true;
    send_ack(c, m, from, &ack);
}

/* A helper's word about the member that we asked it to probe. */
static void on_helper(core_t *c, const struct swim_msg *msg)
{
    struct member *target = roster_find(&c->roster, &msg->target);
    struct watch *w = target == NULL ? NULL : target->watch;
    if (w == NULL || w->nonce == 0 || w->nonce != msg->echo) {
        return;
    }
    if (msg->type == SWIM_NACK) {
        w->nacks++;
    } else {
        probe_answered(c, target, PATH_RELAYED);
    }
}

void swim_message(core_t *c, struct member *m, const struct swim_msg *msg, const struct addr *from)
{
    bool over_link = from == NULL || c->by_mail; /* TCP either way */
    merge_updates(c, msg->update_bytes, m, true);
    switch (msg->type) {
    case SWIM_PING:
        on_ping(c, m, msg, from);
        sync_view_seen(c, msg->view_hash);
        repair_state_seen(c, m, msg->registry);
        break;
    case SWIM_ACK:
        on_ack(c, m, msg, over_link);
        sync_view_seen(c, msg->view_hash);
        repair_state_seen(c, m, msg->registry);
        break;
    case SWIM_PING_REQ: relay_asked(c, m, msg); break;
    case SWIM_RELAYED:
    case SWIM_NACK: on_helper(c, msg); break;
    case SWIM_DIAL: overlay_asked_to_dial(c, m); break;
    case SWIM_ECHO:
    case SWIM_GOSSIP: break;
    case SWIM_CHALLENGE:
    case SWIM_JOIN:
    case SWIM_ANSWER:
    case SWIM_CONFIRM: core_count(c, M_DROP_MALFORMED); break; /* not in this class */
    }
}
