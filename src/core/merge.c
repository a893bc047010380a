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

#define TOLD_AGAIN_NS (100 * MS_NS)
/* A refutation is signed, stored and told to up to 64 others: one who accuses without end must not make
 * us do that without end. Honest accusations come one at a time. */
#define REFUTES_PER_SECOND 5
#define REFUTES_BURST 20
#define REFUTE_AGAIN_NS (200 * MS_NS)

static void note_forged(core_t *c, const struct node_id *from)
{
    core_count(c, M_DROP_FORGED_RECORD);
    if (c->forged_noted_ns == 0 || c->now_ns - c->forged_noted_ns > 10 * SECOND_NS) {
        c->forged_noted_ns = c->now_ns;
        core_note(c, NOTE_WARN, NOTE_FORGED_RECORD, NULL, from, REASON_NONE, 0);
    }
}

static void note_full(core_t *c, const struct node_id *id)
{
    core_count(c, M_DROP_FULL);
    core_note(c, NOTE_WARN, NOTE_ROSTER_FULL, NULL, id, REASON_NONE, HM_MEMBERS_MAX);
}

static void note_version(core_t *c, const struct node_record *rec)
{
    core_count(c, M_DROP_VERSION);
    if (c->version_noted_ns != 0 && c->now_ns - c->version_noted_ns < 60 * SECOND_NS) {
        return;
    }
    c->version_noted_ns = c->now_ns;
    struct effect *fx = fxlist_add(&c->fx, FX_NOTE);
    if (fx != NULL) {
        fx->as.note.level = NOTE_WARN;
        fx->as.note.code = NOTE_VERSION;
        fx->as.note.value = rec->version_min;
        memcpy(fx->as.note.name, rec->name, sizeof rec->name);
        if (rec->addr_count > 0) {
            fx->as.note.addr = rec->addrs[0];
        }
    }
}

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
    const struct member *m = roster_find(&c->roster, ret_id);
    if (m != NULL && m->record_bytes == bytes.size &&
        memcmp(m->record, bytes.data, bytes.size) == 0) {
        return HM_EEXIST;
    }
    if (m != NULL && m != c->self && ret_rec->incarnation <= m->rec.incarnation) {
        return HM_ESTALE;
    }
    if (m == NULL && c->self != NULL && c->roster.count == HM_MEMBERS_MAX) {
        note_full(c, ret_id); /* before the signature, which costs the most */
        return HM_EDENIED;
    }
    if (!c->crypto.verify(ret_rec->key, body, signature) &&
        (c->params.broken & BREAK_NO_VERIFY) == 0) {
        note_forged(c, from);
        return HM_EDENIED;
    }
    /* It would be probed and linked in vain, and called failed again and again. */
    if (ret_rec->version_max != 0 && (ret_rec->version_min > PROTOCOL_VERSION ||
                                      ret_rec->version_max < PROTOCOL_VERSION_MIN)) {
        note_version(c, ret_rec);
        return HM_EDENIED;
    }
    return HM_OK;
}

static void log_event(core_t *c, struct member *m, enum member_event_type type, enum reason reason,
                      const struct node_id *observer)
{
    struct member_event ev = {.wall_ms = c->wall_ms,
                              .type = type,
                              .node = m->id,
                              .reason = reason,
                              .incarnation = m->rec.incarnation};
    if (observer != NULL) {
        ev.observer = *observer;
    }
    if (type == EVENT_SUSPECT || type == EVENT_FAILED) {
        ev.evidence = m->evidence;
    } else if (node_id_eq(&ev.observer, &c->self->id)) {
        ev.evidence = (struct evidence){.is_known = true, .health = (uint8_t) c->health};
    }
    memcpy(ev.name, m->shown, sizeof ev.name);
    if (evlog_add(&c->events, &ev)) {
        persist_self(c);
    }
    c->events_came = true;
}

void merge_event(core_t *c, struct member *m, enum member_event_type type, enum reason reason,
                 const struct node_id *observer)
{
    static const enum note_code codes[] = {NOTE_MEMBER_ALIVE, NOTE_MEMBER_SUSPECT,
                                           NOTE_MEMBER_FAILED, NOTE_MEMBER_LEFT,
                                           NOTE_MEMBER_UPDATED};
    bool bad = type == EVENT_FAILED || type == EVENT_SUSPECT;
    log_event(c, m, type, reason, observer);
    core_note(c, bad ? NOTE_WARN : NOTE_INFO, codes[type], m, observer, reason, m->rec.incarnation);
}

static enum note_code code_of_notice(enum reason reason)
{
    switch (reason) {
    case REASON_ISOLATED: return NOTE_ISOLATED;
    case REASON_REACHES: return NOTE_REACHES;
    case REASON_SAME_NAME: return NOTE_SAME_NAME;
    case REASON_SAME_IDENTITY: return NOTE_COPIED;
    case REASON_VERSION: return NOTE_VERSION;
    case REASON_NONE:
    case REASON_JOINED:
    case REASON_REFUTED:
    case REASON_RECOVERED:
    case REASON_NO_ACK:
    case REASON_REFUSED:
    case REASON_LEFT:
    case REASON_UPDATED:
    case REASON_REMEMBERED:
    case REASON_PATH_DIRECT:
    case REASON_PATH_RELAYED:
    case REASON_PATH_LINK: break;
    }
    return NOTE_PATH;
}

void merge_notice(core_t *c, struct member *m, enum reason reason, const struct node_id *observer)
{
    bool good = reason == REASON_REACHES || reason == REASON_PATH_DIRECT;
    log_event(c, m, EVENT_NOTICE, reason, observer);
    bool is_copy = m == c->self && reason == REASON_SAME_IDENTITY;
    core_note(c, is_copy ? NOTE_ERROR : good ? NOTE_INFO : NOTE_WARN,
              is_copy ? NOTE_SAME_IDENTITY : code_of_notice(reason), m, observer, reason, 0);
}

/* Moves m between the two probe orders. */
static void reorder(core_t *c, struct member *m, bool was_up)
{
    bool up = member_is_up(m);
    order_remove(was_up ? &c->probe_order : &c->failed_order, m);
    if (order_insert(up ? &c->probe_order : &c->failed_order, m, &c->prng) != 0) {
        c->fx.failed = true;
        return;
    }
    if (c->ready && up) {
        core_arm_earlier(c, TIMER_PROBE, c->now_ns + c->params.probe_interval_ns);
    } else if (c->ready) {
        core_arm_earlier(c, TIMER_FAILED, c->now_ns + c->params.failed_probe_ns);
    }
}

static enum member_event_type event_of(enum member_status status)
{
    switch (status) {
    case STATUS_ALIVE: return EVENT_ALIVE;
    case STATUS_SUSPECT: return EVENT_SUSPECT;
    case STATUS_FAILED: return EVENT_FAILED;
    case STATUS_LEFT: return EVENT_LEFT;
    }
    return EVENT_UPDATED;
}

/* What follows when a member comes up or goes down. */
static void up_changed(core_t *c, struct member *m, bool was_up)
{
    reorder(c, m, was_up);
    names_refresh(c, m->rec.name);
    overlay_touch(c);
    c->view_changed_ns = c->now_ns;
    core_changed(c);
    if (was_up) {
        overlay_hangup(c, m);
    }
}

void merge_status(core_t *c, struct member *m, enum member_status status, enum reason reason,
                  const struct node_id *observer)
{
    bool was_up = member_is_up(m);
    bool same = m->status == status;
    roster_hash_out(&c->roster, m);
    m->status = status;
    roster_hash_in(&c->roster, m);
    m->reason = reason;
    m->is_remembered = false;
    memset(&m->observer, 0, sizeof m->observer);
    if (observer != NULL) {
        m->observer = *observer;
    }
    if (!same) {
        m->since_wall_ms = c->wall_ms;
    }
    if (status != STATUS_SUSPECT) {
        watch_drop(c, m);
        persist_member(c, m);
    }
    if (was_up != member_is_up(m)) {
        up_changed(c, m, was_up);
    } else if (!same) {
        names_refresh(c, m->rec.name);
    }
    if (!same || status == STATUS_SUSPECT) {
        merge_event(c, m, event_of(status), reason, observer);
    }
}

/* Keeps the address if the record still names it; else the first candidate, unproven. */
static void settle_address(struct member *m)
{
    for (size_t i = 0; i < m->rec.addr_count; i++) {
        if (addr_same_place(&m->addr, &m->rec.addrs[i])) {
            return;
        }
    }
    m->addr_proven = false;
    m->addr_next = 0;
    if (m->rec.addr_count > 0) {
        m->addr = m->rec.addrs[0];
    }
}

void merge_introduce(core_t *c, const struct member *m)
{
    struct effect *fx = fxlist_add(&c->fx, FX_PEER);
    if (fx != NULL) {
        fx->as.peer.id = m->id;
        memcpy(fx->as.peer.key, m->rec.key, NODE_KEY_BYTES);
    }
}

struct member *merge_new_member(core_t *c, const struct node_id *id, struct span record,
                                const struct node_record *rec, enum member_status status)
{
    struct member *m = roster_insert(&c->roster, id);
    if (m == NULL) {
        note_full(c, id);
        return NULL;
    }
    m->status = status;
    m->since_wall_ms = c->wall_ms;
    m->tx_counter = ++c->peer_generation << 40;
    for (size_t i = 0; i < HM_RING_SALTS; i++) {
        m->ring_hash[i] = prng_mix(node_id_prefix(id) + 0x5ca1ab1eULL * (i + 1));
    }
    if (member_set_record(m, record, rec) != 0) {
        c->fx.failed = true;
        m->rec = *rec;
    }
    settle_address(m);
    roster_hash_in(&c->roster, m);
    names_refresh(c, m->rec.name);
    if (c->self == NULL) {
        return m; /* ourselves: in no probe order, no peer */
    }
    merge_introduce(c, m);
    if (order_insert(member_is_up(m) ? &c->probe_order : &c->failed_order, m, &c->prng) != 0) {
        c->fx.failed = true;
    }
    return m;
}

/* A node not known so far. */
static struct member *meet(core_t *c, const struct node_id *id, struct span record,
                           const struct node_record *rec, const struct node_id *from)
{
    enum member_status status = rec->state == RECORD_LEFT ? STATUS_LEFT : STATUS_ALIVE;
    enum reason reason = rec->state == RECORD_LEFT ? REASON_LEFT : REASON_JOINED;
    struct member *m = merge_new_member(c, id, record, rec, status);
    if (m == NULL) {
        return NULL;
    }
    m->reason = reason;
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
    merge_event(c, m, event_of(status), reason, from);
    labels_wanted(c);
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
        merge_status(c, m, STATUS_LEFT, REASON_LEFT, &m->id);
    } else if (before == STATUS_ALIVE) {
        doubt_refusals_clear(c, m);
        if (differs) {
            merge_event(c, m, EVENT_UPDATED, REASON_UPDATED, from);
        }
    } else {
        enum reason reason = before == STATUS_FAILED    ? REASON_RECOVERED
                             : before == STATUS_LEFT    ? REASON_JOINED
                             : m->is_remembered         ? REASON_JOINED
                                                        : REASON_REFUTED;
        merge_status(c, m, STATUS_ALIVE, reason, reason == REASON_REFUTED ? &m->id : from);
        if (before == STATUS_FAILED) {
            recovered(c, m);
        }
    }
}

/* Puts this record in the place of the one that m has. HM_ENOMEM. */
static int replace_record(core_t *c, struct member *m, struct span bytes,
                          const struct node_record *rec)
{
    char name[sizeof m->rec.name];
    memcpy(name, m->rec.name, sizeof name);
    roster_hash_out(&c->roster, m);
    int rc = member_set_record(m, bytes, rec);
    roster_hash_in(&c->roster, m);
    settle_address(m);
    if (strcmp(name, m->rec.name) != 0) {
        names_refresh(c, name);
        names_refresh(c, m->rec.name);
    }
    return rc;
}

static void take_record(core_t *c, struct member *m, struct span bytes,
                        const struct node_record *rec, const struct node_id *from)
{
    bool differs = looks_different(&m->rec, rec);
    bool moved = !merge_names_all(m->rec.addrs, m->rec.addr_count, rec->addrs, rec->addr_count);
    if (replace_record(c, m, bytes, rec) != 0) {
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
    merge_status(c, m, STATUS_FAILED, reason, &claim.observers[0]);
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

static void claim_about_self(core_t *c, const struct claim *claim, struct member *from)
{
    if (c->leaving || (c->params.broken & BREAK_NO_REFUTATION) != 0) {
        return;
    }
    if (claim->incarnation < c->self->rec.incarnation) {
        if (c->now_ns - from->told_ns >= TOLD_AGAIN_NS || from->told_ns == 0) {
            from->told_ns = c->now_ns;
            tell_one(c, from, update_of_record(c, c->self));
        }
    } else if (claim->incarnation >= c->refute_above) {
        c->refute_above = claim->incarnation + 1;
        c->accuser = claim->observers[0];
    }
}

/* Once per message, however many claims it held. */
void merge_refute(core_t *c, struct member *from)
{
    if (c->refute_above <= c->self->rec.incarnation) {
        c->refute_above = 0; /* our record has become newer meanwhile */
        return;
    }
    if (!tokens_take(&c->refute_tokens, c->now_ns, REFUTES_PER_SECOND, REFUTES_BURST)) {
        core_arm_earlier(c, TIMER_REFUTE, c->now_ns + REFUTE_AGAIN_NS);
        return;
    }
    core_count(c, M_REFUTATIONS);
    core_health_change(c, 1);
    merge_renew_self(c, c->refute_above, RECORD_ALIVE);
    c->refute_above = 0;
    core_note(c, NOTE_WARN, NOTE_REFUTED, c->self, &c->accuser, REASON_REFUTED,
              c->self->rec.incarnation);
    if (from != NULL && !member_is_up(from)) {
        tell_one(c, from, update_of_record(c, c->self));
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
    if (replace_record(c, m, claim->record, &rec) != 0) {
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

static void claim_failed(core_t *c, struct member *m, const struct claim *claim,
                         const struct node_id *observers, size_t count, bool spread)
{
    enum reason reason =
        claim->reason == REASON_REFUSED ? REASON_REFUSED : REASON_NO_ACK;
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
    core_count(c, M_CLAIMS_DOUBTED);
    core_note(c, NOTE_INFO, NOTE_VERDICT_DOUBTED, m, &observers[0], reason, 0);
    if (m->status == STATUS_ALIVE) {
        take_evidence(m, claim, &observers[0]);
        doubt_suspect(c, m, reason, observers, count);
    } else {
        doubt_confirmed(c, m, observers, count);
    }
    swim_probe(c, m, false);
}

/* A verdict about a node we never met comes with its record: it is on the roster, failed. */
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
    struct member *m = merge_new_member(c, &id, claim->record, &rec, STATUS_FAILED);
    if (m == NULL) {
        return;
    }
    roster_hash_out(&c->roster, m);
    m->dead_incarnation = claim->incarnation;
    roster_hash_in(&c->roster, m);
    m->reason = claim->reason == REASON_REFUSED ? REASON_REFUSED : REASON_NO_ACK;
    memcpy(m->observers, claim->observers, sizeof m->observers);
    m->observer_count = claim->observer_count;
    m->observer = claim->observers[0];
    m->evidence = claim->evidence;
    persist_member(c, m);
    c->view_changed_ns = c->now_ns;
    if (c->ready) {
        core_arm_earlier(c, TIMER_FAILED, c->now_ns + c->params.failed_probe_ns);
    }
    merge_event(c, m, EVENT_FAILED, m->reason, &m->observer);
    labels_wanted(c);
}

void merge_claim(core_t *c, const struct claim *claim, struct member *from, bool spread)
{
    struct node_id observers[HM_OBSERVERS_MAX];
    size_t count = real_observers(c, claim, observers);
    const struct member *known = roster_find(&c->roster, &claim->target);
    bool leaps = known != NULL && claim->incarnation > known->rec.incarnation &&
                 claim->incarnation - known->rec.incarnation > HM_INCARNATION_LEAP_MAX;
    if (count == 0 || leaps) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    if (node_id_eq(&claim->target, &c->self->id)) {
        claim_about_self(c, claim, from);
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
        } else {
            merge_claim(c, &u.claim, from, spread);
        }
    }
    if (mp_failed(&r)) {
        core_count(c, M_DROP_MALFORMED);
    }
    if (c->refute_above > 0) {
        merge_refute(c, from);
    }
}

int merge_sign_self(core_t *c, uint64_t incarnation, enum record_state state)
{
    struct node_record rec = {.mesh_tag = c->mesh_tag,
                              .state = state,
                              .incarnation = incarnation,
                              .addr_count = c->addr_count,
                              .port = c->port,
                              .link_port = c->link_port,
                              .version_min = PROTOCOL_VERSION_MIN,
                              .version_max = PROTOCOL_VERSION + (c->params.next_version ? 1 : 0),
                              .boot_epoch = c->boot_epoch,
                              .life = c->life};
    struct buf b;
    int rc = HM_ENOMEM;
    memcpy(rec.key, c->key, sizeof rec.key);
    memcpy(rec.name, c->name, sizeof rec.name);
    memcpy(rec.addrs, c->addrs, sizeof rec.addrs);
    if (c->self != NULL) {
        rec.labels_hash = c->self->labels_hash;
    }
    buf_init(&b, HM_RECORD_BYTES_MAX);
    node_record_write(&b, &rec);
    next_add_field(c, &b);
    struct span body = buf_span(&b);
    uint8_t *signature = buf_extend(&b, RECORD_SIGNATURE_BYTES);
    if (signature != NULL) {
        c->crypto.sign(c->crypto.identity, span_of(b.data, body.size), signature);
        if (c->self == NULL) {
            struct node_id id;
            c->crypto.id_of_key(c->key, &id);
            c->self = merge_new_member(c, &id, buf_span(&b), &rec, STATUS_ALIVE);
            rc = c->self == NULL ? HM_ENOMEM : HM_OK;
        } else {
            rc = replace_record(c, c->self, buf_span(&b), &rec);
        }
    }
    buf_fini(&b);
    return rc;
}

void merge_renew_self(core_t *c, uint64_t at_least, enum record_state state)
{
    uint64_t next = c->self->rec.incarnation + 1;
    if (merge_sign_self(c, next > at_least ? next : at_least, state) != 0) {
        c->fx.failed = true;
        return;
    }
    c->view_changed_ns = c->now_ns;
    persist_self(c);
    if (c->ready) {
        tell_all(c, update_of_record(c, c->self));
        gossip_record(c, c->self);
    }
}

void merge_heard(core_t *c, struct member *m)
{
    m->last_heard_ns = c->now_ns;
    if (m->is_remembered) {
        merge_status(c, m, STATUS_ALIVE, REASON_JOINED, &c->self->id);
        sync_want(c, m);
    } else if (!member_is_up(m)) {
        tell_its_state(c, m);
    }
}
