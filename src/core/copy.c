/* SPDX-License-Identifier: MPL-2.0 */
/* Two processes with one identity: a data directory was copied, perhaps with a whole disk.
 *
 * Each would take the other's newer record for a lie about itself, go above it, and both would do so for
 * ever. So a record carries the boot epoch and a random number of its process. Who hears a record of
 * itself that another process made, at an address that is not its own, asks there first, under the key
 * that only this identity has:
 *
 *     record of another life ──> CHALLENGE to its address ──┬─ ECHO: a copy is alive, proven
 *                                                           └─ nothing in 0.3 s: an earlier life's; go above it
 *
 * Nothing less proves it: an old JOIN of ours, sent again by anybody, only causes a CHALLENGE. Both find
 * out the same way. The one with the lower boot epoch stays (it was there when the other was copied or
 * started less often since), at equal epochs the one with the higher number. The other stands aside: it
 * says nothing to the mesh but asks every 3 s whether the first is still there, and comes back when not.
 *
 * A third node sees sessions of one identity take turns: back to an earlier one, both shown to be live,
 * is possible only with two processes. */
#include "base/err.h"
#include "core/core_priv.h"

#include <string.h>

#define ASK_NS (100 * MS_NS) /* an answer that comes later proves it, too */
#define ASKS 3
#define ASIDE_ASK_NS (3 * SECOND_NS)
#define ASIDE_ASKS 5
#define UNSEEN_ASIDE_NS (300 * SECOND_NS) /* aside for a copy that we cannot ask */
#define UNSEEN_ROUNDS 4
#define ROUNDS_FORGOTTEN_NS (600 * SECOND_NS)
#define NOTICE_AGAIN_NS (600 * SECOND_NS)
#define ASK_AGAIN_NS SECOND_NS
#define PROVEN_AGAIN_NS (10 * SECOND_NS) /* is it still there? It speaks to us every 3 s, standing aside */
#define ECHOES_PER_SECOND 10

static bool is_own(const core_t *c, const struct addr *addr)
{
    for (size_t i = 0; i < c->addr_count; i++) {
        if (addr_eq(addr, &c->addrs[i])) {
            return true;
        }
    }
    return false;
}

static void send_self(core_t *c, const struct addr *to, const struct swim_msg *msg)
{
    send_pair_to(c, c->self, to, msg);
}

static void ask(core_t *c)
{
    struct swim_msg challenge = {.type = SWIM_CHALLENGE, .nonce = c->copy.nonce};
    c->copy.asks++;
    c->copy.asked_ns = c->now_ns;
    for (size_t i = 0; i < c->copy.addr_count; i++) {
        send_self(c, &c->copy.addrs[i], &challenge);
    }
}

static void begin_asking(core_t *c, const struct addr *addrs, size_t count)
{
    memcpy(c->copy.addrs, addrs, count * sizeof *addrs);
    c->copy.addr_count = count;
    c->copy.nonce = core_nonce(c);
    c->copy.asks = 0;
    c->copy.is_asking = true;
    ask(c);
    core_arm(c, TIMER_COPY, c->now_ns + ASK_NS);
}

/* Somewhere else something speaks as we do. */
static void heard_at(core_t *c, const struct addr *addr)
{
    bool is_known = c->copy.proven_ns != 0 && c->now_ns - c->copy.proven_ns < PROVEN_AGAIN_NS;
    bool is_early = c->copy.asked_ns != 0 && c->now_ns - c->copy.asked_ns < ASK_AGAIN_NS;
    if (!c->copy.is_asking && !c->copy.aside && !is_known && !is_early && c->ready &&
        !is_own(c, addr)) {
        begin_asking(c, addr, 1);
    }
}

static void renew_above(core_t *c)
{
    uint64_t above = c->copy.above;
    c->copy.above = 0;
    if (above > c->self->rec.incarnation) {
        self_renew(c, above, RECORD_ALIVE);
    }
}

void copy_silence(core_t *c)
{
    c->ready = false;
    for (size_t i = 0; i < c->probe_order.count; i++) {
        struct member *m = c->probe_order.items[i];
        watch_drop(c, m);
        overlay_hangup(c, m);
        m->wants_link = false;
        roster_hash_out(&c->roster, m);
        m->status = STATUS_SUSPECT;
        roster_hash_in(&c->roster, m);
        m->reason = REASON_REMEMBERED;
        m->is_remembered = true;
        m->session_live = false;
    }
    c->sync_guest = NULL;
}

static void stand_aside(core_t *c)
{
    c->copy.aside = true;
    copy_silence(c);
    core_note(c, NOTE_ERROR, NOTE_ASIDE, c->self, NULL, REASON_SAME_IDENTITY, 0);
}

static void come_back(core_t *c)
{
    c->copy.aside = false;
    c->copy.rounds = 0;
    core_note(c, NOTE_WARN, NOTE_BACK, c->self, NULL, REASON_NONE, 0);
    uint64_t above = c->copy.above;
    c->copy.above = 0;
    self_renew(c, above, RECORD_ALIVE);
    core_begin(c);
}

static void notice(core_t *c, struct member *m)
{
    bool is_old = m->copied_ns == 0 || c->now_ns - m->copied_ns >= NOTICE_AGAIN_NS;
    m->copied_ns = c->now_ns;
    if (is_old) {
        report_notice(c, m, REASON_SAME_IDENTITY, &c->self->id);
    }
}

static bool we_stay(const core_t *c, uint64_t epoch, uint64_t life)
{
    return c->boot_epoch != epoch ? c->boot_epoch < epoch : c->life > life;
}

/* Another process with our identity is alive. */
static void proven(core_t *c, uint64_t epoch, uint64_t life)
{
    c->copy.proven_ns = c->now_ns;
    c->copy.is_seen = true;
    c->copy.is_asking = false;
    c->copy.asks = 0;
    notice(c, c->self);
    if (c->copy.aside) {
        core_arm(c, TIMER_COPY, c->now_ns + ASIDE_ASK_NS);
    } else if (we_stay(c, epoch, life)) {
        /* The other is quiet from now on; what it said before is to be forgotten. */
        core_arm(c, TIMER_COPY, c->now_ns + ASK_NS);
    } else {
        stand_aside(c);
        core_arm(c, TIMER_COPY, c->now_ns + ASIDE_ASK_NS);
    }
}

void copy_record_heard(core_t *c, const struct node_record *rec)
{
    if (rec->incarnation < c->self->rec.incarnation || c->leaving || c->copy.aside ||
        (c->params.broken & BREAK_NO_INCARNATION_STORE) != 0) {
        return;
    }
    if (c->copy.above <= rec->incarnation) {
        c->copy.above = rec->incarnation + 1;
    }
    if (c->copy.is_asking || timer_is_armed(&c->timer[TIMER_COPY])) {
        return; /* its answer decides, or we have just renewed */
    }
    c->copy.other_epoch = rec->boot_epoch;
    c->copy.other_life = rec->life;
    bool is_elsewhere = rec->addr_count > 0 && c->ready;
    for (size_t i = 0; i < rec->addr_count; i++) {
        is_elsewhere &= !is_own(c, &rec->addrs[i]);
    }
    if (rec->life == c->life || !is_elsewhere) {
        renew_above(c);
    } else {
        begin_asking(c, rec->addrs, rec->addr_count);
    }
}

/* Nobody answered there: it was an earlier life of ours, or a copy that we cannot reach. */
static void unproven(core_t *c)
{
    c->copy.is_asking = false;
    if (c->copy.above <= c->self->rec.incarnation) {
        return; /* only a datagram was heard, perhaps an old one */
    }
    if (c->copy.round_ns != 0 && c->now_ns - c->copy.round_ns > ROUNDS_FORGOTTEN_NS) {
        c->copy.rounds = 0;
    }
    c->copy.rounds++;
    c->copy.round_ns = c->now_ns;
    if (c->copy.rounds >= UNSEEN_ROUNDS) {
        /* No earlier life goes above us again and again. */
        c->copy.proven_ns = c->now_ns;
        c->copy.is_seen = false;
        notice(c, c->self);
        if (!we_stay(c, c->copy.other_epoch, c->copy.other_life)) {
            stand_aside(c);
            c->copy.is_unseen = true;
            core_arm(c, TIMER_COPY, c->now_ns + UNSEEN_ASIDE_NS);
            return;
        }
    }
    renew_above(c);
    unsigned shift = c->copy.rounds < 6 ? c->copy.rounds : 6;
    core_arm(c, TIMER_COPY, c->now_ns + (SECOND_NS << shift)); /* bounded: no race of numbers */
}

void copy_tick(core_t *c)
{
    if (c->copy.aside && (c->copy.is_unseen || c->copy.asks >= ASIDE_ASKS)) {
        c->copy.is_unseen = false;
        come_back(c);
    } else if (c->copy.aside) {
        c->copy.nonce = core_nonce(c);
        ask(c);
        core_arm(c, TIMER_COPY, c->now_ns + ASIDE_ASK_NS);
    } else if (c->copy.is_asking && c->copy.asks < ASKS) {
        ask(c);
        core_arm(c, TIMER_COPY, c->now_ns + ASK_NS);
    } else if (c->copy.is_asking) {
        unproven(c);
    } else {
        renew_above(c);
    }
}

/* What the other process says of itself. */
static bool read_record(core_t *c, struct span update_bytes, struct node_record *ret_rec)
{
    struct mp_reader r;
    struct swim_update u;
    struct node_id id;
    if (update_bytes.data == NULL) {
        return false;
    }
    mp_open(&r, update_bytes);
    while (swim_update_next(&r, &u)) {
        if (u.kind == UPDATE_RECORD) {
            int rc = merge_check_record(c, u.record, &c->self->id, ret_rec, &id);
            return rc == HM_OK && node_id_eq(&id, &c->self->id);
        }
    }
    return false;
}

void copy_datagram(core_t *c, const struct event *ev, const struct swim_msg *msg)
{
    struct node_record rec;
    if (ev->as.datagram.session == c->session) {
        return; /* our own */
    }
    if (ev->as.datagram.cls != DATAGRAM_PAIR) {
        heard_at(c, &ev->as.datagram.from); /* proves nothing: an old JOIN can be sent again */
    } else if (msg->type == SWIM_CHALLENGE) {
        struct span update = update_of_record(c, c->self);
        struct swim_msg echo = {
            .type = SWIM_ECHO, .echo = msg->nonce, .updates = &update, .update_count = 1};
        if (!tokens_take(&c->copy.tokens, c->now_ns, ECHOES_PER_SECOND, ECHOES_PER_SECOND)) {
            core_count(c, M_DROP_RATE);
        } else if (update.data != NULL) {
            send_self(c, &ev->as.datagram.from, &echo);
        }
        heard_at(c, &ev->as.datagram.from);
    } else if (msg->type == SWIM_ECHO && c->copy.nonce != 0 && msg->echo == c->copy.nonce &&
               read_record(c, msg->update_bytes, &rec) && rec.life != c->life) {
        c->copy.nonce = 0;
        if (c->copy.above <= rec.incarnation) {
            c->copy.above = rec.incarnation + 1;
        }
        c->copy.addrs[0] = ev->as.datagram.from;
        c->copy.addr_count = 1;
        proven(c, rec.boot_epoch, rec.life);
    }
}

void copy_session_taken(core_t *c, struct member *m, uint64_t before)
{
    if (m->session_before != 0 && m->session == m->session_before) {
        notice(c, m);
    }
    m->session_before = before;
}
