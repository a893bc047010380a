/* SPDX-License-Identifier: MPL-2.0 */
/* First contact, sessions and replay (protocols.md "Keys and datagrams").
 *
 * Strangers meet in three messages under the mesh key:
 *
 *     A -> B   JOIN nonce_a, record_a          to an address heard of
 *     B -> A   ANSWER nonce_a, nonce_b, rec_b  A knows: B is live and has the mesh key
 *     A -> B   CONFIRM nonce_b, record_a       B knows the same of A
 *
 * nonce_b is a cookie made from a secret, the sender and a coarse time, so a flood of JOINs costs B no
 * memory. Nothing of a JOIN is believed before its CONFIRM: it may be an old one, played again.
 *
 * Then each challenges the other under the pair's key, for the mesh key proves membership, not who speaks.
 *
 * Members speak under their pair's key. A receiver knows the session (one per process start) of each and
 * a window of counters. A datagram of an unknown session is dropped and answered by a CHALLENGE; whoever
 * echoes our fresh nonce, in an ECHO or as the ACK of a probe, is live, and its session is taken. */
#include "base/err.h"
#include "core/core_priv.h"

#include <string.h>

#define JOINS_PER_SECOND 200 /* each costs an Ed25519 verification: 0.1 ms */
#define JOINS_BURST 256
#define ELSEWHERE_PER_SECOND 5 /* JOINs answered where no record says: of machines behind NAT */
#define ELSEWHERE_BURST 20
#define CANDIDATES_PER_SECOND 50
#define CANDIDATES_BURST 128
#define CANDIDATES_PER_IP_MAX 16 /* hints: who forges beacons leaves room for those of others */
#define CANDIDATE_TRIES 5
#define COOKIE_PERIOD_NS (10 * SECOND_NS)
#define CHALLENGE_AGAIN_NS (50 * MS_NS)
#define CHALLENGE_OLD_NS (2 * SECOND_NS)

static uint64_t cookie(const core_t *c, const struct node_id *id, uint64_t period)
{
    uint8_t bytes[CORE_SECRET_BYTES + NODE_ID_BYTES + sizeof period];
    memcpy(bytes, c->secret, CORE_SECRET_BYTES);
    memcpy(bytes + CORE_SECRET_BYTES, id->b, NODE_ID_BYTES);
    memcpy(bytes + CORE_SECRET_BYTES + NODE_ID_BYTES, &period, sizeof period);
    return c->crypto.hash(span_of(bytes, sizeof bytes));
}

static bool cookie_is_fresh(const core_t *c, const struct node_id *id, uint64_t value)
{
    uint64_t period = c->now_ns / COOKIE_PERIOD_NS;
    return value == cookie(c, id, period) || (period > 0 && value == cookie(c, id, period - 1));
}

/* The address to answer to: where it came from. A machine behind NAT names only one that leads nowhere from here. But who
 * has recorded a JOIN can send it again with anybody's address, so few are answered where no record says; the others
 * where theirs does, as mail is, which is not sent to an address. */
static struct addr answer_address(core_t *c, const struct event *ev, const struct node_record *rec)
{
    struct addr none = {.family = 0};
    const struct addr *from = &ev->as.datagram.from;
    if (record_names(rec, from) ||
        (!ev->as.datagram.by_mail &&
         tokens_take(&c->elsewhere_tokens, c->now_ns, ELSEWHERE_PER_SECOND, ELSEWHERE_BURST))) {
        return *from;
    }
    return rec->addr_count > 0 ? rec->addrs[0] : none;
}

static void prove_address(struct member *m, const struct addr *from)
{
    if (from != NULL && record_names(&m->rec, from)) {
        m->addr = *from;
        m->addr_proven = true;
    }
}

/* Returns whether it is another session than the one held. */
static bool take_session(core_t *c, struct member *m, const struct event *ev)
{
    bool is_other = m->session != ev->as.datagram.session;
    if (is_other) {
        uint64_t before = m->session;
        m->session = ev->as.datagram.session;
        window_init(&m->window);
        copy_session_taken(c, m, before);
    }
    m->session_live = true;
    m->challenge = 0;
    overlay_touch(c); /* it takes us for a member, too: a link may be dialled */
    return is_other;
}

/* Checks the record of a first contact, which must be its sender's. Also for known members. */
static bool contact_record(core_t *c, const struct event *ev, const struct swim_msg *msg,
                           struct node_record *ret_rec)
{
    struct node_id id;
    int rc = merge_check_record(c, msg->record, &ev->as.datagram.sender, ret_rec, &id);
    bool known = rc == HM_OK || rc == HM_EEXIST || rc == HM_ESTALE;
    return known && node_id_eq(&id, &ev->as.datagram.sender);
}

static void on_join(core_t *c, const struct event *ev, const struct swim_msg *msg)
{
    struct node_record rec;
    struct span update = span_of(NULL, 0);
    if (!tokens_take(&c->join_tokens, c->now_ns, JOINS_PER_SECOND, JOINS_BURST)) {
        core_count(c, M_DROP_RATE);
        return;
    }
    if (removal_has(c, &ev->as.datagram.sender)) {
        core_count(c, M_DROP_REMOVED);
        removal_tell(c, &ev->as.datagram.sender, &ev->as.datagram.from, msg->nonce);
        return;
    }
    if (!contact_record(c, ev, msg, &rec)) {
        return;
    }
    struct addr to = answer_address(c, ev, &rec);
    if (addr_is_none(&to)) {
        return;
    }
    /* What we know of the joiner that its record does not know: it must go above that. */
    const struct member *m = roster_find(&c->roster, &ev->as.datagram.sender);
    struct claim claim;
    if (m != NULL && claim_about(m, &claim)) {
        update = update_of_claim(c, &claim);
    } else if (m != NULL && rec.incarnation <= m->rec.incarnation &&
               (msg->record.size != m->record_bytes ||
                memcmp(msg->record.data, m->record, m->record_bytes) != 0)) {
        update = update_of_record(c, m);
    }
    struct swim_msg answer = {.type = SWIM_ANSWER,
                              .echo = msg->nonce,
                              .nonce = cookie(c, &ev->as.datagram.sender,
                                              c->now_ns / COOKIE_PERIOD_NS),
                              .record = member_record(c->self),
                              .view_hash = c->roster.view_hash,
                              .updates = &update,
                              .update_count = update.data != NULL ? 1 : 0};
    send_mesh(c, &to, &answer);
}

static struct candidate *candidate_by_nonce(core_t *c, uint64_t nonce)
{
    for (size_t i = 0; i < HM_CANDIDATES_MAX; i++) {
        struct candidate *cand = &c->candidates[i];
        if (!addr_is_none(&cand->addr) && cand->nonce == nonce && cand->tries > 0) {
            return cand;
        }
    }
    return NULL;
}

/* Asks m to show that its session is live. One nonce stands until it is echoed or old, so that an answer
 * over a slow path still counts. To where it came from: no address is taken by this, only asked. False: it
 * was asked a moment ago. */
static bool challenge(core_t *c, struct member *m, const struct addr *to)
{
    if (m->challenge == 0 || c->now_ns - m->challenge_ns >= CHALLENGE_OLD_NS) {
        m->challenge = core_nonce(c);
        m->challenge_ns = c->now_ns;
    } else if (c->now_ns - m->challenged_ns < CHALLENGE_AGAIN_NS) {
        return false;
    }
    core_count(c, M_CHALLENGES);
    m->challenged_ns = c->now_ns;
    struct swim_msg msg = {.type = SWIM_CHALLENGE, .nonce = m->challenge};
    send_pair_to(c, m, to, &msg);
    return true;
}

static void on_answer(core_t *c, const struct event *ev, const struct swim_msg *msg)
{
    struct candidate *cand = candidate_by_nonce(c, msg->echo);
    struct node_record rec;
    removal_answered(c, msg->update_bytes);
    if (cand == NULL || !contact_record(c, ev, msg, &rec)) {
        return;
    }
    memset(cand, 0, sizeof *cand);
    reach_proven(c);
    struct member *m = merge_record(c, msg->record, &c->self->id, true);
    if (m == NULL || m == c->self) {
        return;
    }
    session_forget_candidates_of(c, m);
    merge_updates(c, msg->update_bytes, m, false);
    struct swim_msg confirm = {
        .type = SWIM_CONFIRM, .echo = msg->nonce, .record = member_record(c->self)};
    send_mesh(c, &ev->as.datagram.from, &confirm);
    challenge(c, m, &ev->as.datagram.from);
    if (msg->view_hash != c->roster.view_hash) {
        sync_want(c, m);
    }
}

static void on_confirm(core_t *c, const struct event *ev, const struct swim_msg *msg)
{
    struct node_record rec;
    if (!cookie_is_fresh(c, &ev->as.datagram.sender, msg->echo) ||
        !contact_record(c, ev, msg, &rec)) {
        return;
    }
    struct member *m = merge_record(c, msg->record, &c->self->id, true);
    if (m != NULL && m != c->self) {
        session_forget_candidates_of(c, m);
        challenge(c, m, &ev->as.datagram.from);
    }
}

static void on_mesh_class(core_t *c, const struct event *ev, const struct swim_msg *msg)
{
    switch (msg->type) {
    case SWIM_JOIN: on_join(c, ev, msg); break;
    case SWIM_ANSWER: on_answer(c, ev, msg); break;
    case SWIM_CONFIRM: on_confirm(c, ev, msg); break;
    case SWIM_CHALLENGE:
    case SWIM_ECHO:
    case SWIM_PING:
    case SWIM_ACK:
    case SWIM_PING_REQ:
    case SWIM_RELAYED:
    case SWIM_NACK:
    case SWIM_GOSSIP:
    case SWIM_DIAL: core_count(c, M_DROP_MALFORMED); break; /* would prove nobody's identity */
    }
}

/* It does not know our session: we have restarted, or it has. It gets the proof, our newest record
 * (which it may lack), and the probe again that it had to drop. */
static void on_challenge(core_t *c, struct member *m, const struct event *ev,
                         const struct swim_msg *msg)
{
    /* Asked once by each that we probe ourselves: a node that comes back to thousands probes them quickly, and
     * what it left unanswered it would suspect. */
    bool is_expected = m->watch != NULL && m->watch->nonce != 0 && !m->watch->was_challenged;
    if (!is_expected &&
        !tokens_take(&c->challenge_tokens, c->now_ns, JOINS_PER_SECOND, JOINS_BURST)) {
        core_count(c, M_DROP_RATE);
        return;
    }
    struct span updates[2] = {update_of_record(c, c->self), update_about(c, m)};
    /* In one datagram: what overtakes the echo would be dropped, too. */
    struct swim_msg echo = {.type = SWIM_ECHO,
                            .echo = msg->nonce,
                            .updates = updates,
                            .update_count = updates[1].data != NULL ? 2 : 1};
    if (updates[0].data != NULL) {
        send_pair_to(c, m, &ev->as.datagram.from, &echo);
    }
    swim_probe_again(c, m);
}

/* True if the message proves that its session is live now: it echoes a nonce that we just drew. */
static bool echoes_our_nonce(const struct member *m, const struct swim_msg *msg)
{
    if (msg->type == SWIM_ECHO) {
        return m->challenge != 0 && msg->echo == m->challenge;
    }
    return msg->type == SWIM_ACK && m->watch != NULL && m->watch->nonce != 0 &&
           msg->echo == m->watch->nonce;
}

/* Not taken: it has to show its session first. */
static void stranger_speaks(core_t *c, struct member *m, const struct event *ev,
                            const struct swim_msg *msg)
{
    if (msg->type == SWIM_ECHO) {
        return; /* an echo too late would ask for ever */
    }
    if (!challenge(c, m, &ev->as.datagram.from) && msg->type == SWIM_PING && msg->padding == 0) {
        m->early_ping = msg->nonce; /* it may have overtaken the ECHO; or it is an old one */
    }
}

/* The ECHO is here that its PING has overtaken. To an old PING the answer means nothing. */
static void answer_early_ping(core_t *c, struct member *m, const struct event *ev,
                              const struct swim_msg *msg)
{
    if (msg->type == SWIM_ECHO && m->early_ping != 0) {
        swim_answer(c, m, m->early_ping, &ev->as.datagram.from);
    }
    m->early_ping = 0;
}

static void on_pair_class(core_t *c, const struct event *ev, const struct swim_msg *msg)
{
    struct member *m = roster_find(&c->roster, &ev->as.datagram.sender);
    if (m == NULL) {
        core_count(c, M_DROP_UNKNOWN_SENDER);
        return;
    }
    m->arrived_ns = c->now_ns;
    bool known = m->session_live && m->session == ev->as.datagram.session;
    bool is_live = echoes_our_nonce(m, msg);
    bool is_new_session = false;
    if (!known && is_live) {
        is_new_session = take_session(c, m, ev);
        known = true;
    }
    if (!known && msg->type == SWIM_CHALLENGE) {
        on_challenge(c, m, ev, msg); /* neither side may know the other's session: one must begin */
        return;
    }
    bool checks = (c->params.broken & BREAK_NO_REPLAY_CHECK) == 0;
    if (!known && checks) {
        core_count(c, M_DROP_UNKNOWN_SESSION);
        stranger_speaks(c, m, ev, msg);
        return;
    }
    if (checks && !window_take(&m->window, ev->as.datagram.counter)) {
        core_count(c, M_DROP_REPLAYED);
        return;
    }
    if (is_live) {
        reach_proven(c);
        prove_address(m, &ev->as.datagram.from);
    }
    merge_heard(c, m);
    if (msg->type == SWIM_CHALLENGE) {
        on_challenge(c, m, ev, msg);
    } else {
        swim_message(c, m, msg, &ev->as.datagram.from);
    }
    answer_early_ping(c, m, ev, msg);
    if (is_new_session) {
        /* An answer of its earlier life may still be under way. It must not bring that session back:
         * the window of this one would be forgotten. */
        swim_renew_nonce(c, m);
    }
}

void session_datagram(core_t *c, const struct event *ev)
{
    struct swim_msg msg;
    int rc = swim_msg_read(ev->as.datagram.body, &msg);
    if (rc != HM_OK) {
        core_count(c, rc == HM_ENOTFOUND ? M_DROP_UNKNOWN_TYPE : M_DROP_MALFORMED);
        return;
    }
    if (node_id_eq(&ev->as.datagram.sender, &c->self->id)) {
        copy_datagram(c, ev, &msg);
        return;
    }
    core_count(c, M_DATAGRAMS_RECEIVED);
    metric_add(c->metrics, M_DATAGRAM_BYTES_RECEIVED, ev->as.datagram.body.size);
    c->by_mail = ev->as.datagram.by_mail;
    c->mail_from = ev->as.datagram.sender;
    if (ev->as.datagram.cls == DATAGRAM_MESH) {
        on_mesh_class(c, ev, &msg);
    } else {
        on_pair_class(c, ev, &msg);
    }
    c->by_mail = false;
}

/* Candidates. */

static bool is_hint(enum candidate_source source)
{
    return source != CANDIDATE_JOIN;
}

/* A place in the table: free, or for what the user named, that of the oldest hint. */
static struct candidate *candidate_slot(core_t *c, enum candidate_source source)
{
    struct candidate *oldest = NULL;
    for (size_t i = 0; i < HM_CANDIDATES_MAX; i++) {
        struct candidate *cand = &c->candidates[i];
        if (addr_is_none(&cand->addr)) {
            return cand;
        }
        if (is_hint(cand->source) && (oldest == NULL || cand->first_ns < oldest->first_ns)) {
            oldest = cand;
        }
    }
    core_count(c, M_DROP_FULL);
    return is_hint(source) ? NULL : oldest;
}

static struct candidate *candidate_at(core_t *c, const struct addr *addr)
{
    for (size_t i = 0; i < HM_CANDIDATES_MAX; i++) {
        if (addr_eq(&c->candidates[i].addr, addr)) {
            return &c->candidates[i];
        }
    }
    return NULL;
}

static bool is_share_used_up(const core_t *c, const struct addr *addr)
{
    size_t count = 0;
    for (size_t i = 0; i < HM_CANDIDATES_MAX; i++) {
        const struct candidate *cand = &c->candidates[i];
        count += !addr_is_none(&cand->addr) && is_hint(cand->source) &&
                 addr_same_ip(&cand->addr, addr);
    }
    return count >= CANDIDATES_PER_IP_MAX;
}

static bool is_own_address(const core_t *c, const struct addr *addr)
{
    for (size_t i = 0; i < c->addr_count; i++) {
        if (addr->port == c->port && addr_same_ip(addr, &c->addrs[i])) {
            return true;
        }
    }
    return false;
}

/* An alive member is known to be there: nothing to try. */
static bool is_alive_there(const core_t *c, const struct addr *addr, const struct node_id *id)
{
    if (!node_id_is_zero(id)) {
        const struct member *m = roster_find(&c->roster, id);
        return m != NULL && m->status == STATUS_ALIVE;
    }
    for (size_t i = 0; i < c->probe_order.count; i++) {
        const struct member *m = c->probe_order.items[i];
        if (m->status == STATUS_ALIVE && record_names(&m->rec, addr)) {
            return true;
        }
    }
    return false;
}

/* It greeted us with our mesh's name while we try it: mail gets there, so it is tried at once. */
static void candidate_greeted(core_t *c, struct candidate *cand, const struct node_id *id)
{
    if (cand->has_mailbox || !cand->greeted) {
        return;
    }
    cand->has_mailbox = true;
    cand->id = *id;
    cand->tries = cand->tries < CANDIDATE_TRIES ? cand->tries : CANDIDATE_TRIES - 1;
    cand->next_ns = c->now_ns;
    core_arm_earlier(c, TIMER_CANDIDATES, c->now_ns);
}

void session_candidate(core_t *c, const struct addr *addr, const struct node_id *id,
                       enum candidate_source source)
{
    struct candidate *known = candidate_at(c, addr);
    if (known != NULL && source == CANDIDATE_ZRE && !addr_is_none(addr)) {
        candidate_greeted(c, known, id);
        return;
    }
    if (c->ready && removal_has(c, id)) {
        core_count(c, M_DROP_REMOVED);
        removal_tell(c, id, addr, 0);
        return;
    }
    /* What the user named is kept until our first record is durable; hints come again. */
    bool too_early = !c->ready && is_hint(source);
    if (too_early || c->leaving || is_own_address(c, addr) || node_id_eq(id, &c->self->id) ||
        addr_is_none(addr) || addr->port == 0 || known != NULL ||
        is_alive_there(c, addr, id)) {
        return;
    }
    if (is_hint(source) && (is_share_used_up(c, addr) ||
                            !tokens_take(&c->candidate_tokens, c->now_ns, CANDIDATES_PER_SECOND,
                                         CANDIDATES_BURST))) {
        core_count(c, M_DROP_RATE);
        return;
    }
    struct candidate *cand = candidate_slot(c, source);
    if (cand == NULL) {
        return;
    }
    memset(cand, 0, sizeof *cand);
    cand->addr = *addr;
    cand->id = *id;
    cand->source = source;
    cand->has_mailbox = source == CANDIDATE_ZRE;
    cand->nonce = core_nonce(c);
    cand->first_ns = c->now_ns;
    cand->next_ns = c->now_ns;
    /* Two that hear each other's beacons at once: the lower id waits, and is joined meanwhile. */
    if (source == CANDIDATE_BEACON && node_id_cmp(&c->self->id, id) < 0) {
        cand->next_ns = c->now_ns + 150 * MS_NS;
    }
    if (c->ready) {
        core_arm_earlier(c, TIMER_CANDIDATES, cand->next_ns);
    }
}

static void candidate_try(core_t *c, struct candidate *cand)
{
    struct swim_msg join = {
        .type = SWIM_JOIN, .nonce = cand->nonce, .record = member_record(c->self)};
    send_mesh(c, &cand->addr, &join);
    cand->tries++;
    /* 0.2, 0.4, 0.8, 1.6 s: lost datagrams cost little, silent addresses cost nothing for long. */
    cand->next_ns = c->now_ns + (100 * MS_NS << (cand->tries < 5 ? cand->tries : 5));
    bool silent = c->now_ns - cand->first_ns >= SECOND_NS;
    if (silent && cand->has_mailbox) {
        send_mesh_mail(c, &cand->addr, &cand->id, &join);
    } else if (silent && !cand->greeted &&
               (cand->source == CANDIDATE_BEACON || cand->source == CANDIDATE_JOIN)) {
        struct effect *fx = fxlist_add(&c->fx, FX_ZRE_HELLO);
        if (fx != NULL) {
            fx->as.zre_hello.to = cand->addr;
            fx->as.zre_hello.id = cand->id;
            cand->greeted = true;
        }
    }
}

/* A datagram may name any source: it must not make us send much to somebody. */
static unsigned tries_of(const struct candidate *cand)
{
    return cand->source == CANDIDATE_UNKNOWN_SENDER ? 1 : CANDIDATE_TRIES;
}

void session_candidates_tick(core_t *c)
{
    uint64_t next = TIMER_NEVER;
    for (size_t i = 0; i < HM_CANDIDATES_MAX; i++) {
        struct candidate *cand = &c->candidates[i];
        if (addr_is_none(&cand->addr)) {
            continue;
        }
        if (is_alive_there(c, &cand->addr, &cand->id) ||
            (cand->next_ns <= c->now_ns && cand->tries >= tries_of(cand))) {
            memset(cand, 0, sizeof *cand);
            continue;
        }
        if (cand->next_ns <= c->now_ns) {
            candidate_try(c, cand);
        }
        next = cand->next_ns < next ? cand->next_ns : next;
    }
    if (next != TIMER_NEVER) {
        core_arm(c, TIMER_CANDIDATES, next);
    }
}

void session_forget_candidates_of(core_t *c, const struct member *m)
{
    for (size_t i = 0; i < HM_CANDIDATES_MAX; i++) {
        struct candidate *cand = &c->candidates[i];
        if (node_id_eq(&cand->id, &m->id) || addr_same_place(&cand->addr, &m->addr)) {
            memset(cand, 0, sizeof *cand);
        }
    }
}
