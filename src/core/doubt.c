/* SPDX-License-Identifier: MPL-2.0 */
/* Doubt: suspicion, evidence and verdicts about one member.
 *
 *     alive ── own probe failed ──────────────> suspect, observer
 *     alive ── somebody's suspicion ──────────> suspect (a few appointed nodes probe it at once)
 *     suspect ── newer record of its own ─────> alive (merge.c)
 *     suspect, observer ── timeout, no ack ───> failed: verdict, told to all
 *     suspect, not observer ── twice that ────> own probe; whoever judges has seen it himself
 *     alive ── refused twice, at two nodes ───> failed, without suspicion: its process is gone
 *
 * The timeout is Lifeguard's: the more observers, the shorter; of a member that was not heard in this run it is
 * long. Evidence (a port-unreachable, a link's end) is no verdict: it only starts a probe and a TCP connect at once. */
#include "base/err.h"
#include "core/core_priv.h"
#include "core/suspicion.h"

#include <string.h>

#define APPOINTED_MAX 4           /* nodes that check somebody else's suspicion at once */
#define LONELY_MIN_NS (3 * SECOND_NS) /* in a mesh of two nobody can help: look longer */
#define UNMET_NS (10 * SECOND_NS) /* it may have another address by now: time to find us */
#define EVIDENCE_AGAIN_NS (100 * MS_NS)

bool observers_add(struct node_id *observers, size_t *count, const struct node_id *id)
{
    for (size_t i = 0; i < *count; i++) {
        if (node_id_eq(&observers[i], id)) {
            return false;
        }
    }
    if (*count == HM_OBSERVERS_MAX) {
        return false;
    }
    observers[(*count)++] = *id;
    return true;
}

bool doubt_is_plain(const core_t *c)
{
    return (c->params.broken & BREAK_PLAIN_SUSPICION) != 0;
}

/* Others, not m, that are alive: who could confirm. */
static size_t witnesses(const core_t *c, const struct member *m)
{
    size_t alive = c->roster.by_status[STATUS_ALIVE] - 1; /* without self */
    return m->status == STATUS_ALIVE ? alive - 1 : alive;
}

static uint64_t timeout_min(const core_t *c)
{
    if ((c->params.broken & BREAK_LONG_SUSPICION) != 0) {
        return 5 * c->params.probe_interval_ns * log10_ceil(c->roster.count - 1);
    }
    return c->params.suspicion_min_ns;
}

static uint64_t timeout_of(const core_t *c, const struct member *m)
{
    const struct core_params *p = &c->params;
    uint64_t min_ns = timeout_min(c);
    size_t could = witnesses(c, m);
    if (could == 0) {
        return min_ns > LONELY_MIN_NS ? min_ns : LONELY_MIN_NS;
    }
    if (!p->lifeguard) {
        return min_ns;
    }
    unsigned expected = could < p->suspicion_confirms ? (unsigned) could : p->suspicion_confirms;
    unsigned confirmed = m->watch->observer_count > 0 ? (unsigned) m->watch->observer_count - 1 : 0;
    return suspicion_timeout_ns(min_ns, min_ns * p->suspicion_max_mult, expected, confirmed);
}

/* When this node judges, as things stand; who has not seen it himself waits twice as long. */
static uint64_t verdict_at(const core_t *c, const struct member *m)
{
    const struct watch *w = m->watch;
    uint64_t since = w->last_ack_ns > w->suspect_since_ns ? w->last_ack_ns : w->suspect_since_ns;
    /* Who has heard it in this run judges its death. If nobody has, all that is known is where it was. */
    bool is_unmet = m->last_heard_ns == 0 && !doubt_is_plain(c);
    uint64_t timeout = timeout_of(c, m);
    timeout = is_unmet && timeout < UNMET_NS ? UNMET_NS : timeout;
    uint64_t at = since + (w->is_observer || doubt_is_plain(c) ? timeout : 2 * timeout);
    uint64_t from = reach_may_judge_ns(c, m);
    return at > from ? at : from;
}

static void arm_verdict(core_t *c, struct member *m)
{
    uint64_t at = verdict_at(c, m);
    if (timer_arm(&c->timers, &m->watch->verdict_timer, at > c->now_ns ? at : c->now_ns) != 0) {
        c->fx.failed = true;
    }
}

void doubt_rearm(core_t *c, struct member *m)
{
    if (m->status == STATUS_SUSPECT && !m->is_remembered) {
        arm_verdict(c, m);
    }
}

/* The few alive nodes with the lowest hash for this suspect: the same ones, computed everywhere. */
static bool is_appointed(const core_t *c, const struct member *m)
{
    uint64_t salt = node_id_prefix(&m->id);
    uint64_t own = prng_mix(salt ^ node_id_prefix(&c->self->id));
    size_t lower = 0;
    for (size_t i = 0; i < c->probe_order.count && lower < APPOINTED_MAX; i++) {
        const struct member *other = c->probe_order.items[i];
        if (other != m && other->status == STATUS_ALIVE &&
            prng_mix(salt ^ node_id_prefix(&other->id)) < own) {
            lower++;
        }
    }
    return lower < APPOINTED_MAX;
}

static void spread_suspicion(core_t *c, struct member *m, bool to_all)
{
    struct claim claim;
    if (!c->isolated && claim_about(m, &claim)) {
        if (to_all) {
            tell_all(c, update_of_claim(c, &claim));
        }
        gossip_claim(c, m, &claim);
    }
}

static bool has_self(const core_t *c, const struct watch *w)
{
    for (size_t i = 0; i < w->observer_count; i++) {
        if (node_id_eq(&w->observers[i], &c->self->id)) {
            return true;
        }
    }
    return false;
}

static struct evidence own_evidence(const core_t *c, const struct member *m)
{
    unsigned helpers = m->watch->helpers_asked;
    struct evidence e = {.is_known = true,
                         .by_link = m->link == LINK_UP,
                         .health = (uint8_t) (c->health < EVIDENCE_MAX ? c->health : EVIDENCE_MAX),
                         .helpers = (uint8_t) (helpers < EVIDENCE_MAX ? helpers : EVIDENCE_MAX)};
    return e;
}

void doubt_suspect(core_t *c, struct member *m, enum reason reason, const struct node_id *observers,
                   size_t count)
{
    struct watch *w = watch_of(c, m);
    if (w == NULL) {
        return;
    }
    w->suspect_since_ns = c->now_ns;
    w->last_ack_ns = 0;
    w->observer_count = 0;
    for (size_t i = 0; i < count; i++) {
        observers_add(w->observers, &w->observer_count, &observers[i]);
    }
    w->is_observer = has_self(c, w);
    core_count(c, M_SUSPICIONS);
    standing_change(c, m, STATUS_SUSPECT, reason, &observers[0]);
    spread_suspicion(c, m, w->is_observer);
    arm_verdict(c, m);
    if (!w->is_observer && !doubt_is_plain(c) && is_appointed(c, m)) {
        swim_probe(c, m, false);
    }
}

void doubt_confirmed(core_t *c, struct member *m, const struct node_id *observers, size_t count)
{
    struct watch *w = watch_of(c, m);
    bool news = false;
    if (w == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        news |= observers_add(w->observers, &w->observer_count, &observers[i]);
    }
    if (news) {
        spread_suspicion(c, m, false);
        arm_verdict(c, m);
    }
}

static void become_observer(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    w->is_observer = true;
    if (w->observer_count == HM_OBSERVERS_MAX) {
        w->observer_count--; /* whoever judges names itself */
    }
    observers_add(w->observers, &w->observer_count, &c->self->id);
    spread_suspicion(c, m, true);
    arm_verdict(c, m);
}

void doubt_own_probe_failed(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    overlay_want_link(c, m); /* the last resort: UDP to it may be blocked, TCP not */
    if (m->status == STATUS_ALIVE || m->is_remembered) {
        m->evidence = own_evidence(c, m);
        doubt_suspect(c, m, REASON_NO_ACK, &c->self->id, 1);
    } else if (m->status == STATUS_SUSPECT && !w->is_observer) {
        become_observer(c, m);
    }
    if (doubt_is_plain(c)) {
        swim_probe_over(c, m);
        return;
    }
    /* The same nonce goes on: an answer to any of these pings is an answer. */
    if (m->watch != NULL && m->status == STATUS_SUSPECT &&
        timer_arm(&c->timers, &m->watch->probe_timer,
                  c->now_ns + c->params.suspect_probe_ns) != 0) {
        c->fx.failed = true;
    }
}

void doubt_verdict_tick(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    if (m->status != STATUS_SUSPECT || m->is_remembered) {
        return;
    }
    reach_judge(c);
    if (c->now_ns < verdict_at(c, m)) {
        arm_verdict(c, m);
        return;
    }
    if (!w->is_observer && !doubt_is_plain(c)) {
        /* Nobody judged or cleared it: look ourselves. The probe's failure makes us an observer. */
        w->suspect_since_ns = c->now_ns;
        swim_probe(c, m, false);
        arm_verdict(c, m);
        return;
    }
    struct node_id observers[HM_OBSERVERS_MAX];
    size_t count = 0;
    observers_add(observers, &count, &c->self->id);
    for (size_t i = 0; i < w->observer_count; i++) {
        observers_add(observers, &count, &w->observers[i]);
    }
    m->evidence = own_evidence(c, m);
    merge_failed(c, m, member_incarnation(m), REASON_NO_ACK, observers, count, true, true);
}

/* Evidence. */

static void connect_once(core_t *c, struct member *m)
{
    if (!m->addr_proven || m->rec.link_port == 0) {
        return; /* whoever refuses at an address not proven may be somebody else */
    }
    struct effect *fx = fxlist_add(&c->fx, FX_CONNECT);
    m->watch->connect_token = ++c->token;
    if (fx != NULL) {
        fx->as.connect.peer = m->id;
        fx->as.connect.to = m->addr;
        fx->as.connect.to.port = m->rec.link_port;
        fx->as.connect.token = m->watch->connect_token;
    }
}

void doubt_evidence(core_t *c, struct member *m)
{
    if (m == c->self || !member_is_up(m) || c->leaving ||
        (m->evidence_ns != 0 && c->now_ns - m->evidence_ns < EVIDENCE_AGAIN_NS)) {
        return;
    }
    struct watch *w = watch_of(c, m);
    if (w == NULL || w->connect_token != 0 || timer_is_armed(&w->refused_timer)) {
        return;
    }
    m->evidence_ns = c->now_ns;
    core_count(c, M_PROBES_URGENT);
    w->refusals = 0;
    connect_once(c, m);
    swim_probe(c, m, false);
}

void doubt_refused_tick(core_t *c, struct member *m)
{
    if (member_is_up(m)) {
        connect_once(c, m);
    }
}

static bool is_refused_here(const core_t *c, const struct watch *w)
{
    for (size_t i = 0; i < w->refused_count; i++) {
        if (node_id_eq(&w->refused_by[i], &c->self->id)) {
            return true;
        }
    }
    return false;
}

static void judge_refused(core_t *c, struct member *m)
{
    const struct watch *w = m->watch;
    size_t needed = witnesses(c, m) > 0 ? 2 : 1;
    if (w->refused_count < needed || !is_refused_here(c, w)) {
        return;
    }
    struct node_id observers[HM_OBSERVERS_MAX];
    size_t count = 0;
    observers_add(observers, &count, &c->self->id);
    for (size_t i = 0; i < w->refused_count; i++) {
        observers_add(observers, &count, &w->refused_by[i]);
    }
    m->evidence = own_evidence(c, m);
    merge_failed(c, m, member_incarnation(m), REASON_REFUSED, observers, count, true, true);
}

/* Its machine refused us twice: tell the others, who may have found the same. */
static void refused_twice(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    struct claim claim = {.kind = CLAIM_REFUSED,
                          .target = m->id,
                          .incarnation = member_incarnation(m),
                          .reason = REASON_REFUSED,
                          .observers = {c->self->id},
                          .observer_count = 1,
                          .evidence = own_evidence(c, m)};
    if (w->refused_count == HM_OBSERVERS_MAX) {
        w->refused_count--;
    }
    observers_add(w->refused_by, &w->refused_count, &c->self->id);
    struct span update = update_of_claim(c, &claim);
    tell_all(c, update);
    if (core_up_others(c) > HM_DIRECT_RECEIVERS_MAX) {
        gossip_claim(c, m, &claim);
    }
    judge_refused(c, m);
}

void doubt_connect(core_t *c, const struct event *ev)
{
    struct member *m = roster_find(&c->roster, &ev->as.connect.peer);
    struct watch *w = m == NULL ? NULL : m->watch;
    if (w == NULL || w->connect_token == 0 || w->connect_token != ev->as.connect.token) {
        return;
    }
    w->connect_token = 0;
    if (ev->as.connect.outcome != CONNECT_REFUSED) {
        w->refusals = 0;
        w->refused_count = 0;
        watch_release(c, m);
    } else if (++w->refusals < 2) {
        if (timer_arm(&c->timers, &w->refused_timer,
                      c->now_ns + c->params.refused_recheck_ns) != 0) {
            c->fx.failed = true;
        }
    } else {
        refused_twice(c, m);
    }
}

void doubt_unreachable(core_t *c, const struct addr *to)
{
    core_count(c, M_UNREACHABLE);
    for (size_t i = 0; i < c->probe_order.count; i++) {
        struct member *m = c->probe_order.items[i];
        if (!addr_same_place(&m->addr, to) || !m->addr_proven) {
            continue;
        }
        if ((c->params.broken & BREAK_ICMP_VERDICT) != 0) {
            struct node_id observers[2] = {c->self->id, m->id};
            merge_failed(c, m, member_incarnation(m), REASON_REFUSED, observers, 2, true, true);
        } else {
            doubt_evidence(c, m);
        }
        return;
    }
}

void doubt_refused_claim(core_t *c, struct member *m, const struct node_id *observers,
                         size_t count)
{
    if (!member_is_up(m)) {
        return;
    }
    bool checks = m->link != LINK_NONE || m->is_neighbour || is_appointed(c, m);
    if (m->watch == NULL && !checks) {
        return;
    }
    struct watch *w = watch_of(c, m);
    if (w == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        observers_add(w->refused_by, &w->refused_count, &observers[i]);
    }
    if (!is_refused_here(c, w) && checks) {
        doubt_evidence(c, m);
    }
    judge_refused(c, m);
}

void doubt_refusals_clear(core_t *c, struct member *m)
{
    struct watch *w = m->watch;
    if (w != NULL) {
        w->refusals = 0;
        w->refused_count = 0;
        w->connect_token = 0;
        timer_disarm(&c->timers, &w->refused_timer);
        watch_release(c, m);
    }
}
