/* SPDX-License-Identifier: MPL-2.0 */
/* Which statement about a member overrides which (SWIM section 4.2, with signed records).
 *
 * Two kinds of statements exist. A record is signed by the node itself: alive or left, at an incarnation
 * that only it raises; the higher incarnation wins, always. A claim is what others say of it (suspect,
 * failed), and holds only against the incarnation it names or a lower one:
 *
 *                      held: alive i     suspect i      failed i       left i
 *     record  j > i    record's state    record's       record's       record's
 *     record  j <= i   ignored           ignored        ignored        ignored
 *     suspect j >= i   suspect           one more       ignored        ignored
 *                                        observer
 *     failed  j = i    failed if two saw it themselves  ignored        ignored
 *     failed  j > i    else suspect, and re-checked     failed j       failed j
 *     any     j < i    ignored           ignored        ignored        ignored
 *
 * A verdict needs two observers at every receiver, because one observer may itself be the one cut off.
 * Claims about ourselves are refuted by a record of a higher incarnation. */
#include "base/err.h"
#include "core/core_priv.h"

#include <string.h>

int merge_check_record(core_t *c, struct span bytes, const struct node_id *from,
                       struct node_record *ret_rec, struct node_id *ret_id)
{
    struct span body;
    const uint8_t *signature;
    if (record_split(bytes, &body, &signature) != 0 || node_record_read(bytes, ret_rec) != 0) {
        core_count(c, M_DROP_MALFORMED);
        return HM_EMALFORMED;
    }
    if (ret_rec->mesh_tag != c->mesh_tag) {
        core_count(c, M_DROP_FOREIGN_MESH);
        return HM_EDENIED;
    }
    c->crypto.id_of_key(ret_rec->key, ret_id);
    if (removal_has(c, ret_id)) {
        core_count(c, M_DROP_REMOVED);
        return HM_EDENIED;
    }
    const struct member *m = roster_find(&c->roster, ret_id);
    if (m != NULL && m->record_bytes == bytes.size &&
        memcmp(m->record, bytes.data, bytes.size) == 0) {
        return HM_EEXIST;
    }
    if (m != NULL && m != c->self && ret_rec->incarnation <= m->rec.incarnation) {
        return HM_ESTALE;
    }
    if (m == NULL && c->self != NULL && c->roster.count == HM_MEMBERS_MAX) {
        report_full(c, ret_id); /* before the signature, which costs the most */
        return HM_EDENIED;
    }
    if (!c->crypto.verify(ret_rec->key, body, signature) &&
        (c->params.broken & BREAK_NO_VERIFY) == 0) {
        report_forged(c, from);
        return HM_EDENIED;
    }
    /* It would be probed and linked in vain, and called failed again and again. */
    if (ret_rec->version_max != 0 && (ret_rec->version_min > PROTOCOL_VERSION ||
                                      ret_rec->version_max < PROTOCOL_VERSION_MIN)) {
        report_version(c, ret_rec);
        return HM_EDENIED;
    }
    return HM_OK;
}

/* A node not known so far, as its record says. */
static struct member *enter(core_t *c, const struct node_id *id, struct span record,
                            const struct node_record *rec, const struct node_id *from)
{
    bool has_left = rec->state == RECORD_LEFT;
    struct member *m = standing_new(c, id, record, rec, has_left ? STATUS_LEFT : STATUS_ALIVE);
    if (m == NULL) {
        return NULL;
    }
    m->reason = has_left ? REASON_LEFT : REASON_JOINED;
    m->observer = *from;
    persist_member(c, m);
    overlay_touch(c);
    c->view_changed_ns = c->now_ns;
    core_changed(c);
    if (c->ready) {
        uint64_t wait = c->params.probe_interval_ns / 2 +
                        prng_below(&c->prng, c->params.probe_interval_ns / 2);
        core_arm_earlier(c, member_is_up(m) ? TIMER_PROBE : TIMER_FAILED, c->now_ns + wait);
    }
    return m;
}

static struct member *meet(core_t *c, const struct node_id *id, struct span record,
                           const struct node_record *rec, const struct node_id *from)
{
    struct member *m = enter(c, id, record, rec, from);
    if (m != NULL) {
        report_event(c, m, member_is_up(m) ? EVENT_ALIVE : EVENT_LEFT, m->reason, from);
        labels_wanted(c);
    }
    return m;
}

static bool looks_different(const struct node_record *a, const struct node_record *b)
{
    if (strcmp(a->name, b->name) != 0 || a->labels_hash != b->labels_hash ||
        a->link_port != b->link_port || a->addr_count != b->addr_count) {
        return true;
    }
    for (size_t i = 0; i < a->addr_count; i++) {
        if (!addr_eq(&a->addrs[i], &b->addrs[i])) {
            return true;
        }
    }
    return false;
}

bool merge_names_all(const struct addr *before, size_t before_count, const struct addr *now,
                     size_t now_count)
{
    for (size_t i = 0; i < before_count; i++) {
        bool found = false;
        for (size_t k = 0; k < now_count && !found; k++) {
            found = addr_same_place(&before[i], &now[k]);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

/* A partition healed or a crashed node is back: the others that failed may be back, too. */
static void recovered(core_t *c, struct member *m)
{
    sync_want(c, m);
    c->heal_left = c->failed_order.count;
    if (c->ready && c->heal_left > 0) {
        core_arm_earlier(c, TIMER_FAILED, c->now_ns + 5 * MS_NS);
    }
}

/* The new record's state, for a member that has just taken it. */
static void follow_record(core_t *c, struct member *m, bool differs, const struct node_id *from)
{
    enum member_status before = m->status;
    if (m->rec.state == RECORD_LEFT) {
        standing_change(c, m, STATUS_LEFT, REASON_LEFT, &m->id);
    } else if (before == STATUS_ALIVE) {
        doubt_refusals_clear(c, m);
        if (differs) {
            report_event(c, m, EVENT_UPDATED, REASON_UPDATED, from);
        }
    } else {
        enum reason reason = before == STATUS_FAILED    ? REASON_RECOVERED
                             : before == STATUS_LEFT    ? REASON_JOINED
                             : m->is_remembered         ? REASON_JOINED
                                                        : REASON_REFUTED;
        standing_change(c, m, STATUS_ALIVE, reason, reason == REASON_REFUTED ? &m->id : from);
        if (before == STATUS_FAILED) {
            recovered(c, m);
        }
    }
}

static void take_record(core_t *c, struct member *m, struct span bytes,
                        const struct node_record *rec, const struct node_id *from)
{
    bool differs = looks_different(&m->rec, rec);
    bool moved = !merge_names_all(m->rec.addrs, m->rec.addr_count, rec->addrs, rec->addr_count);
    if (standing_record(c, m, bytes, rec) != 0) {
        c->fx.failed = true;
    }
    c->view_changed_ns = c->now_ns;
    persist_member(c, m);
    follow_record(c, m, differs, from);
    if (moved) {
        overlay_moved(c, m);
    }
    if (m->labels_hash != rec->labels_hash) {
        labels_wanted(c);
    }
}

static struct member *own_record_heard(core_t *c, const struct node_record *rec)
{
    /* An earlier life of ours left it behind, or a copy of our disk speaks. */
    copy_record_heard(c, rec);
    return c->self;
}

struct member *merge_record(core_t *c, struct span bytes, const struct node_id *from, bool spread)
{
    struct node_record rec;
    struct node_id id;
    int rc = merge_check_record(c, bytes, from, &rec, &id);
    struct member *m = rc == HM_EMALFORMED || rc == HM_EDENIED ? NULL : roster_find(&c->roster, &id);
    bool stale_ok = (c->params.broken & BREAK_STALE_INCARNATION) != 0 && m != NULL &&
                    m->status == STATUS_FAILED;
    if (rc != HM_OK && !stale_ok) {
        return m;
    }
    if (node_id_eq(&id, &c->self->id)) {
        return own_record_heard(c, &rec);
    }
    if (m == NULL) {
        m = meet(c, &id, bytes, &rec, from);
    } else if (rec.incarnation > member_incarnation(m) || stale_ok) {
        take_record(c, m, bytes, &rec, from);
    } else {
        return m;
    }
    if (m != NULL && spread) {
        gossip_record(c, m);
    }
    return m;
}

void merge_failed(core_t *c, struct member *m, uint64_t incarnation, enum reason reason,
                  const struct node_id *observers, size_t count, bool judged_here, bool spread)
{
    struct claim claim = {.kind = CLAIM_FAILED, .target = m->id, .reason = (uint8_t) reason};
    memcpy(claim.observers, observers, count * sizeof *observers);
    claim.observer_count = count;
    claim.evidence = m->evidence;
    roster_hash_out(&c->roster, m);
    if (incarnation > m->dead_incarnation) {
        m->dead_incarnation = incarnation;
    }
    roster_hash_in(&c->roster, m);
    claim.incarnation = member_incarnation(m);
    memcpy(m->observers, claim.observers, sizeof m->observers);
    m->observer_count = count;
    standing_change(c, m, STATUS_FAILED, reason, &claim.observers[0]);
    m->session_live = false; /* whoever comes back shows that it is live */
    if (judged_here) {
        core_count(c, M_VERDICTS);
    }
    if (judged_here && !c->isolated) {
        tell_all(c, update_of_claim(c, &claim));
    }
    if (spread && !(judged_here && c->isolated)) {
        gossip_claim(c, m, &claim);
    }
}

/* Observers that exist: distinct members, the target itself left out. */
static size_t real_observers(const core_t *c, const struct claim *claim,
                             struct node_id *ret_observers)
{
    size_t count = 0;
    for (size_t i = 0; i < claim->observer_count; i++) {
        if (!node_id_eq(&claim->observers[i], &claim->target) &&
            roster_find(&c->roster, &claim->observers[i]) != NULL) {
            observers_add(ret_observers, &count, &claim->observers[i]);
        }
    }
    return count;
}

/* The record under a verdict that is newer than what we hold, without its state: it has failed since. */
static void take_carried_record(core_t *c, struct member *m, const struct claim *claim)
{
    struct node_record rec;
    struct node_id id;
    if (claim->record.data == NULL ||
        merge_check_record(c, claim->record, &m->id, &rec, &id) != HM_OK ||
        !node_id_eq(&id, &m->id) || rec.incarnation > claim->incarnation) {
        return;
    }
    if (standing_record(c, m, claim->record, &rec) != 0) {
        c->fx.failed = true;
    }
}

/* The claim's evidence is that of its first observer, who may not be among those that we know. */
static void take_evidence(struct member *m, const struct claim *claim, const struct node_id *first)
{
    memset(&m->evidence, 0, sizeof m->evidence);
    if (node_id_eq(first, &claim->observers[0])) {
        m->evidence = claim->evidence;
    }
}

static enum reason reason_of(const struct claim *claim)
{
    return claim->reason == REASON_REFUSED ? REASON_REFUSED : REASON_NO_ACK;
}

/* The verdict of one alone: we look ourselves. */
static void claim_doubted(core_t *c, struct member *m, const struct claim *claim,
                          const struct node_id *observers, size_t count)
{
    core_count(c, M_CLAIMS_DOUBTED);
    core_note(c, NOTE_INFO, NOTE_VERDICT_DOUBTED, m, &observers[0], reason_of(claim), 0);
    if (m->status == STATUS_ALIVE) {
        take_evidence(m, claim, &observers[0]);
        doubt_suspect(c, m, reason_of(claim), observers, count);
    } else {
        doubt_confirmed(c, m, observers, count);
    }
    swim_probe(c, m, false);
}

static void claim_failed(core_t *c, struct member *m, const struct claim *claim,
                         const struct node_id *observers, size_t count, bool spread)
{
    enum reason reason = reason_of(claim);
    if (!member_is_up(m)) {
        if (claim->incarnation > member_incarnation(m)) {
            take_carried_record(c, m, claim);
            take_evidence(m, claim, &observers[0]);
            merge_failed(c, m, claim->incarnation, reason, observers, count, false, spread);
        }
        return;
    }
    if (count >= 2 || (c->params.broken & BREAK_SINGLE_OBSERVER) != 0) {
        take_evidence(m, claim, &observers[0]);
        merge_failed(c, m, claim->incarnation, reason, observers, count, false, spread);
        return;
    }
    claim_doubted(c, m, claim, observers, count);
}

static void meet_doubted(core_t *c, const struct claim *claim, const struct node_record *rec)
{
    const struct node_id *observer = &claim->observers[0];
    struct member *m = enter(c, &claim->target, claim->record, rec, observer);
    if (m != NULL && member_is_up(m)) {
        claim_doubted(c, m, claim, observer, 1);
        labels_wanted(c);
    }
}

/* A verdict about a node we never met comes with its record: it is on the roster, failed. The word of one
 * alone makes no verdict: then it is suspect, and we look ourselves. */
static void meet_failed(core_t *c, const struct claim *claim, const struct node_id *from)
{
    struct node_record rec;
    struct node_id id;
    if (claim->record.data == NULL || claim->kind != CLAIM_FAILED ||
        merge_check_record(c, claim->record, from, &rec, &id) != 0 ||
        !node_id_eq(&id, &claim->target)) {
        return;
    }
    /* The verdict must fit the record that comes with it, or no refutation could ever go above it. */
    if (claim->incarnation < rec.incarnation ||
        claim->incarnation - rec.incarnation > HM_INCARNATION_LEAP_MAX) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    if (claim->observer_count < 2 && claim->incarnation == rec.incarnation &&
        (c->params.broken & BREAK_SINGLE_OBSERVER) == 0) {
        meet_doubted(c, claim, &rec);
        return;
    }
    struct member *m = standing_new(c, &id, claim->record, &rec, STATUS_FAILED);
    if (m == NULL) {
        return;
    }
    roster_hash_out(&c->roster, m);
    m->dead_incarnation = claim->incarnation;
    roster_hash_in(&c->roster, m);
    m->reason = reason_of(claim);
    memcpy(m->observers, claim->observers, sizeof m->observers);
    m->observer_count = claim->observer_count;
    m->observer = claim->observers[0];
    m->evidence = claim->evidence;
    persist_member(c, m);
    c->view_changed_ns = c->now_ns;
    if (c->ready) {
        core_arm_earlier(c, TIMER_FAILED, c->now_ns + c->params.failed_probe_ns);
    }
    report_event(c, m, EVENT_FAILED, m->reason, &m->observer);
    labels_wanted(c);
}

void merge_claim(core_t *c, const struct claim *claim, struct member *from, bool spread)
{
    struct node_id observers[HM_OBSERVERS_MAX];
    size_t count = real_observers(c, claim, observers);
    const struct member *known = roster_find(&c->roster, &claim->target);
    bool leaps = known != NULL && claim->incarnation > known->rec.incarnation &&
                 claim->incarnation - known->rec.incarnation > HM_INCARNATION_LEAP_MAX;
    bool is_ours = node_id_eq(&claim->target, &c->self->id);
    if (leaps || (count == 0 && !is_ours)) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    if (is_ours) {
        /* Whoever has seen it: with a new store we may know none of them yet, and shall not be let in before
         * we have refuted it. */
        self_accused(c, claim, from);
        return;
    }
    struct member *m = roster_find(&c->roster, &claim->target);
    if (m == NULL) {
        meet_failed(c, claim, &from->id);
        return;
    }
    if (claim->incarnation < member_incarnation(m)) {
        return;
    }
    switch (claim->kind) {
    case CLAIM_SUSPECT:
        if (m->status == STATUS_ALIVE || m->is_remembered) {
            take_evidence(m, claim, &observers[0]);
            doubt_suspect(c, m, REASON_NO_ACK, observers, count);
        } else if (m->status == STATUS_SUSPECT) {
            doubt_confirmed(c, m, observers, count);
        }
        break;
    case CLAIM_FAILED: claim_failed(c, m, claim, observers, count, spread); break;
    case CLAIM_REFUSED: doubt_refused_claim(c, m, observers, count); break;
    }
}

void merge_updates(core_t *c, struct span update_bytes, struct member *from, bool spread)
{
    struct mp_reader r;
    struct swim_update u;
    if (update_bytes.data == NULL) {
        return;
    }
    mp_open(&r, update_bytes);
    while (swim_update_next(&r, &u)) {
        if (u.kind == UPDATE_RECORD) {
            merge_record(c, u.record, &from->id, spread);
        } else if (u.kind == UPDATE_CLAIM) {
            merge_claim(c, &u.claim, from, spread);
        }
    }
    if (mp_failed(&r)) {
        core_count(c, M_DROP_MALFORMED);
    }
    if (c->refute_above > 0) {
        self_refute(c, from);
    }
}

void merge_heard(core_t *c, struct member *m)
{
    m->last_heard_ns = c->now_ns;
    if (m->is_remembered) {
        standing_change(c, m, STATUS_ALIVE, REASON_JOINED, &c->self->id);
        sync_want(c, m);
    } else if (!member_is_up(m)) {
        tell_its_state(c, m);
    }
}
