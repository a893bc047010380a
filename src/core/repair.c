/* SPDX-License-Identifier: MPL-2.0 */
/* Repair of the registry: what pushing missed comes by passes, in work proportional to the difference.
 *
 *     asker -> server   ASK    its durable vector
 *     server -> asker   CHUNK  entries that the vector lacks, in order of their dots
 *     asker -> server   MORE   and so on
 *     server -> asker   CHUNK  the last one: also all that came since the pass began; the vector of then,
 *                              without what the asker's has
 *
 * Only after the last chunk does the asker claim that, so a pass that is cut leaves entries, never claims.
 * The asker folds old lives (fold.h); if the server has others it offers folds of its own, and the asker
 * asks again. Who is asked: serve.c.
 *
 * One pass at a time, as long as it is answered. A link that loses much may hold one up for seconds: then
 * another is asked, too, and each pass is claimed by itself.
 *
 * States (a hash of vector and entries) travel with probes: equal ones need nothing. */
#include "base/err.h"
#include "core/core_priv.h"
#include "core/fold.h"
#include "wire/registry_msg.h"

#include <string.h>

#define SETTLE_NS (300 * MS_NS)       /* what is being pushed makes states differ for a moment */
#define AGAIN_NS SECOND_NS            /* a pass with the same node, at the earliest, */
#define AGAIN_EACH_NS (5 * MS_NS)     /* and later in large meshes, where vectors are longer */
#define LATER_SHIFT_MAX 6             /* and where only entries of a later format are news: to a minute */
#define SLOW_NS (500 * MS_NS)         /* a pass silent for so long no longer holds up one with another */
#define SILENT_NS (8 * SECOND_NS)     /* a pass without an answer is given up; links end before that */
#define HELD_NS (20 * MS_NS)
#define DIVERGED_NS (60 * SECOND_NS)  /* then somebody should know */
#define NEW_MESH_NS (10 * SECOND_NS)  /* those who are all syncing have what there is by then */
#define REFOLDED_MAX 2                /* then the vector is told without folds */
#define VECTOR_TOLD_BYTES_MAX (HM_FRAME_BYTES_MAX - 256) /* of a question */
#define DISK_BEHIND_BYTES (8U << 20)  /* waiting to be stored: the next chunk can wait, too */

static void caught_up(struct member *m)
{
    m->reg_differs_ns = 0;
    m->reg_diverged = false;
}

static void look_again(core_t *c, uint64_t in_ns)
{
    if (c->ready && !c->leaving) {
        core_arm_earlier(c, TIMER_REPAIR, c->now_ns + in_ns);
    }
}

static void send(core_t *c, struct member *m, enum frame_type type, const struct buf *b)
{
    if (!buf_failed(b)) {
        send_frame(c, m, type, buf_span(b));
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool is_free(const struct asking *a)
{
    return node_id_is_zero(&a->peer);
}

/* The pass that we have with this one; a free place for the zero id. NULL: none. */
static struct asking *asking_of(core_t *c, const struct node_id *peer)
{
    for (size_t i = 0; i < HM_ASKED_MAX; i++) {
        if (node_id_eq(&c->asking[i].peer, peer)) {
            return &c->asking[i];
        }
    }
    return NULL;
}

static void asking_begin(core_t *c, struct asking *a, const struct member *m)
{
    struct buf at = a->at;
    struct buf ranges = a->ranges;
    struct buf gone = a->gone; /* a comparison's, for the pass that follows */
    *a = (struct asking){
        .chunk = 1, .heard_ns = c->now_ns, .at = at, .ranges = ranges, .gone = gone};
    buf_clear(&a->at);
    buf_clear(&a->ranges);
    if (m != NULL) {
        a->peer = m->id;
        a->pass = ++c->pass_number;
    }
}

static void pass_over(core_t *c, struct asking *a)
{
    buf_clear(&a->gone);
    asking_begin(c, a, NULL);
    look_again(c, 0);
}

/* The durable vector without folds, as much of it as fits: what is not told is sent again, no more. */
static int tell_plain(const core_t *c, struct buf *b)
{
    static const struct vector nothing;
    struct vector some;
    bool all;
    vector_init(&some);
    int rc = vector_lacking(&some, registry_durable_vector(c->registry), &nothing,
                            VECTOR_TOLD_BYTES_MAX, &all);
    buf_clear(b);
    vector_write(b, &some);
    vector_fini(&some);
    return rc;
}

/* offers NULL: none were made. */
static void tell_vector(core_t *c, const struct asking *a, struct buf *b,
                        const struct fold_list *offers)
{
    bool is_plain = a->refolded > REFOLDED_MAX;
    int rc = is_plain ? HM_OK
                      : fold_tell(b, registry_durable_vector(c->registry), c->crypto.hash, offers);
    if (is_plain || buf_failed(b)) {
        rc = tell_plain(c, b);
    }
    c->fx.failed |= rc == HM_ENOMEM;
}

static void send_ask(core_t *c, const struct asking *a, struct member *m,
                     const struct fold_list *offers)
{
    struct buf vector, b;
    buf_init(&vector, VECTOR_TOLD_BYTES_MAX);
    buf_init(&b, HM_FRAME_BYTES_MAX);
    tell_vector(c, a, &vector, offers);
    struct reg_ask msg = {.pass = a->pass,
                          .kind = a->kind,
                          .vector = buf_span(&vector),
                          .hash = registry_durable_hash(c->registry)};
    reg_ask_write(&b, &msg);
    if (!buf_failed(&vector)) {
        send(c, m, FRAME_REG_ASK, &b);
        core_count(c, M_PASSES_ASKED);
    }
    buf_fini(&vector);
    buf_fini(&b);
}

static void ask(core_t *c, struct asking *a, struct member *m, enum reg_pass_kind kind)
{
    if (kind != REG_PASS_COMPARED) {
        buf_clear(&a->gone);
    }
    asking_begin(c, a, m);
    a->kind = (uint8_t) kind;
    m->reg_asked_ns = c->now_ns;
    send_ask(c, a, m, NULL);
}

/* Some of our folds are not known there. Told are then those lives, except for the folds that both can name;
 * if that fails, since they changed meanwhile, all. */
static void ask_refolded(core_t *c, struct asking *a, struct member *m, struct span folds)
{
    struct fold_list offers = {0};
    a->pass = ++c->pass_number;
    a->heard_ns = c->now_ns;
    a->refolded++;
    if (folds.data == NULL || fold_list_read(folds, &offers) != HM_OK) {
        a->refolded = REFOLDED_MAX + 1;
    }
    send_ask(c, a, m, &offers);
    fold_list_fini(&offers);
}

static void ask_more(core_t *c, struct asking *a, struct member *m)
{
    struct reg_more msg = {.pass = a->pass, .chunk = a->chunk};
    struct buf b;
    a->is_held = registry_pending_bytes(c->registry) > DISK_BEHIND_BYTES;
    if (a->is_held) {
        look_again(c, HELD_NS);
        return;
    }
    buf_init(&b, HM_FRAME_BYTES_MAX);
    reg_more_write(&b, &msg);
    send(c, m, FRAME_REG_MORE, &b);
    buf_fini(&b);
}

struct asking *repair_asking(core_t *c, const struct member *m)
{
    return asking_of(c, &m->id);
}

void repair_compared(core_t *c, struct asking *a, struct member *m)
{
    ask(c, a, m, REG_PASS_COMPARED);
}

void repair_spoilt(core_t *c)
{
    for (size_t i = 0; i < HM_ASKED_MAX; i++) {
        c->asking[i].is_incomplete = true;
    }
}

bool repair_is_syncing(const core_t *c)
{
    return !registry_is_synced(c->registry) && c->roster.count > 1;
}

/* Syncing ends with the first pass from a node that is not syncing. Where all are, as after everybody's
 * first start, it ends when they have had the time to tell each other all. */
static void judge_synced(core_t *c, struct member *m, bool is_synced)
{
    bool all_syncing = true;
    m->reg_syncing = !is_synced;
    c->met_ns = c->met_ns == 0 ? c->now_ns : c->met_ns;
    for (size_t i = 0; i < c->probe_order.count; i++) {
        const struct member *one = c->probe_order.items[i];
        all_syncing &= one->link != LINK_UP || one->reg_syncing;
    }
    if (is_synced || (all_syncing && c->now_ns - c->met_ns >= NEW_MESH_NS)) {
        c->fx.failed |= registry_set_synced(c->registry) == HM_ENOMEM;
    }
}

static void claim(core_t *c, struct asking *a, struct member *m, const struct reg_chunk *msg)
{
    struct vector theirs;
    vector_init(&theirs);
    int rc = vector_read(msg->vector, &theirs);
    if (rc == HM_OK) {
        compare_drop(c, a); /* what took their place came with this pass */
        rc = registry_claim(c->registry, &theirs);
    }
    if (rc == HM_OK) {
        core_count(c, M_PASSES_DONE);
        c->agreed_ns = c->now_ns;
        caught_up(m);
        m->reg_state = 0; /* until it tells what it is now */
        if (!msg->is_part) {
            judge_synced(c, m, msg->is_synced);
        }
        if (msg->is_part || !registry_is_synced(c->registry)) {
            m->reg_differs_ns = c->now_ns; /* asked again until we have all, and one of us is not syncing */
        }
    } else if (rc == HM_ENOMEM) {
        c->fx.failed = true;
    } else {
        core_count(c, M_DROP_MALFORMED);
    }
    vector_fini(&theirs);
}

/* Entries of a later format come again with each pass until this node is upgraded: what else there is has
 * been taken, and asking for them is put off, longer each time. */
static void judge_later(core_t *c, const struct asking *a, struct member *m)
{
    if (a->has_later && m->reg_later == 0) {
        core_note(c, NOTE_WARN, NOTE_LATER_FORMAT, m, NULL, REASON_NONE, 0);
    }
    if (!a->has_later) {
        m->reg_later = 0;
    } else if (a->has_news || m->reg_later == 0) {
        m->reg_later = 1;
    } else if (m->reg_later < LATER_SHIFT_MAX) {
        m->reg_later++;
    }
}

static void on_chunk(core_t *c, struct member *m, struct span body)
{
    struct reg_chunk msg;
    struct span bytes;
    struct asking *a = asking_of(c, &m->id);
    if (reg_chunk_read(body, &msg) != HM_OK) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    if (a == NULL || a->pass != msg.pass || a->chunk != msg.chunk) {
        return; /* of a pass that was given up */
    }
    a->heard_ns = c->now_ns;
    a->chunk++;
    while (reg_entry_next(&msg.entries.bytes, &bytes)) {
        enum registry_outcome outcome;
        int rc = spread_take(c, bytes, &outcome);
        a->is_incomplete |= rc != HM_OK;
        a->has_later |= rc == HM_EVERSION;
        a->has_news |= rc == HM_OK && outcome != REGISTRY_KNOWN;
        if (outcome == REGISTRY_NEW && msg.chunk == 1) {
            plumtree_repaired(c, m, bytes); /* of a long pass the neighbours have the most themselves */
        }
    }
    if (!msg.is_last) {
        ask_more(c, a, m);
        return;
    }
    if (!a->is_incomplete) {
        claim(c, a, m, &msg);
    }
    judge_later(c, a, m);
    pass_over(c, a);
}

static void on_refused(core_t *c, struct member *m, struct span body)
{
    struct reg_refused msg;
    struct asking *a = asking_of(c, &m->id);
    if (reg_refused_read(body, &msg) != HM_OK) {
        core_count(c, M_DROP_MALFORMED);
    } else if (a != NULL && a->pass == msg.pass) {
        if (msg.code == REG_REFUSED_STALE && !a->is_comparing) {
            a->heard_ns = c->now_ns;
            compare_start(c, a, m);
        } else if (msg.code == REG_REFUSED_FOLDS && a->refolded <= REFOLDED_MAX) {
            ask_refolded(c, a, m, msg.folds);
        } else {
            pass_over(c, a);
        }
    }
}

void repair_frame(core_t *c, struct member *m, uint8_t type, struct span body)
{
    switch (type) {
    case FRAME_REG_ASK: serve_ask(c, m, body); break;
    case FRAME_REG_MORE: serve_more(c, m, body); break;
    case FRAME_REG_CHUNK: on_chunk(c, m, body); break;
    default: on_refused(c, m, body); break;
    }
}

/* ---- when ------------------------------------------------------------------------------------ */

void repair_state_seen(core_t *c, struct member *m, uint64_t state)
{
    bool is_same = state == registry_state(c->registry);
    m->reg_state = state;
    if (is_same) {
        c->agreed_ns = c->now_ns;
    }
    if (is_same && registry_is_synced(c->registry)) {
        caught_up(m);
    } else if (state != 0) {
        m->reg_differs_ns = m->reg_differs_ns == 0 ? c->now_ns : m->reg_differs_ns;
        look_again(c, SETTLE_NS);
    }
}

void repair_lacking(core_t *c, struct member *m)
{
    if (m->reg_differs_ns == 0) {
        m->reg_differs_ns = c->now_ns;
        look_again(c, SETTLE_NS);
    }
}

void repair_link_up(core_t *c, struct member *m)
{
    if (m->reg_state != registry_state(c->registry) || !registry_is_synced(c->registry)) {
        m->reg_differs_ns = c->now_ns - SETTLE_NS;
        m->reg_asked_ns = 0;
        look_again(c, 0);
    }
}

static uint64_t may_ask_ns(const core_t *c, const struct member *m)
{
    uint64_t settled = m->reg_differs_ns + SETTLE_NS;
    uint64_t again = m->reg_asked_ns == 0
                         ? 0
                         : m->reg_asked_ns + (AGAIN_NS << m->reg_later) +
                               c->roster.count * AGAIN_EACH_NS;
    return settled > again ? settled : again;
}

/* Whom to ask next: of those linked that differ the one that waits longest. In a large mesh those that
 * differ may not be linked: then any neighbour will have it, or get it. Sets when to look again. */
static struct member *whom_to_ask(core_t *c, uint64_t *ret_next_ns)
{
    struct member *best = NULL;
    struct member *linked = NULL;
    bool differs = false;
    bool has_neighbour = false;
    bool is_synced = registry_is_synced(c->registry);
    uint64_t state = registry_state(c->registry);
    *ret_next_ns = TIMER_NEVER;
    for (size_t i = 0; i < c->probe_order.count && !has_neighbour; i++) {
        const struct member *m = c->probe_order.items[i];
        has_neighbour = m->link == LINK_UP && m->is_neighbour;
    }
    for (size_t i = 0; i < c->probe_order.count; i++) {
        struct member *m = c->probe_order.items[i];
        if (m->reg_state == state && is_synced) {
            caught_up(m); /* it came from elsewhere */
        } else if (m->reg_state == 0 && m->link != LINK_UP) {
            caught_up(m); /* nobody knows; it tells when it is heard of, perhaps much later */
        }
        differs |= m->reg_differs_ns != 0;
        if (m->reg_differs_ns != 0 && !m->reg_diverged && m->reg_state != 0 &&
            c->now_ns - m->reg_differs_ns >= DIVERGED_NS) {
            m->reg_diverged = true;
            report_notice(c, m, REASON_DIVERGED, &c->self->id);
        }
        if (m->link != LINK_UP || (has_neighbour && !m->is_neighbour) ||
            asking_of(c, &m->id) != NULL) {
            continue; /* guests come and go */
        }
        if (linked == NULL || m->reg_asked_ns < linked->reg_asked_ns) {
            linked = m;
        }
        if (m->reg_differs_ns == 0) {
            continue;
        }
        uint64_t at = may_ask_ns(c, m);
        if (at > c->now_ns) {
            *ret_next_ns = at < *ret_next_ns ? at : *ret_next_ns;
        } else if (best == NULL || m->reg_asked_ns < best->reg_asked_ns) {
            best = m;
        }
    }
    if (best == NULL && differs && linked != NULL && *ret_next_ns == TIMER_NEVER) {
        *ret_next_ns = may_ask_ns(c, linked);
        best = *ret_next_ns <= c->now_ns ? linked : NULL;
    }
    return best;
}

/* A pass under way: goes on, or is given up. Returns when it is to be looked at again. */
static uint64_t tend_pass(core_t *c, struct asking *a)
{
    struct member *m = roster_find(&c->roster, &a->peer);
    if (m == NULL || m->link != LINK_UP || c->now_ns - a->heard_ns >= SILENT_NS) {
        pass_over(c, a);
        return TIMER_NEVER;
    }
    if (a->is_held) {
        a->heard_ns = c->now_ns; /* it is we who keep it waiting */
        ask_more(c, a, m);
        return c->now_ns + (a->is_held ? HELD_NS : SLOW_NS);
    }
    uint64_t slow_ns = a->heard_ns + SLOW_NS;
    return slow_ns > c->now_ns ? slow_ns : a->heard_ns + SILENT_NS;
}

void repair_tick(core_t *c)
{
    static const struct node_id nobody;
    struct asking *place = NULL;
    uint64_t next_ns = TIMER_NEVER;
    bool is_answered = false;
    for (size_t i = 0; i < HM_ASKED_MAX; i++) {
        struct asking *a = &c->asking[i];
        if (!is_free(a)) {
            uint64_t at = tend_pass(c, a);
            next_ns = at < next_ns ? at : next_ns;
            is_answered |= !is_free(a) && c->now_ns - a->heard_ns < SLOW_NS;
        }
    }
    if (!is_answered && (place = asking_of(c, &nobody)) != NULL) {
        uint64_t ask_ns;
        struct member *m = whom_to_ask(c, &ask_ns);
        if (m != NULL) {
            ask(c, place, m, REG_PASS_VECTOR);
            ask_ns = c->now_ns + SLOW_NS;
        }
        next_ns = ask_ns < next_ns ? ask_ns : next_ns;
    }
    if (next_ns != TIMER_NEVER) {
        look_again(c, next_ns > c->now_ns ? next_ns - c->now_ns : 0);
    }
}

void repair_init(core_t *c)
{
    for (size_t i = 0; i < HM_ASKED_MAX; i++) {
        buf_init(&c->asking[i].at, REG_KEY_BYTES_MAX);
        buf_init(&c->asking[i].ranges, HM_FRAME_BYTES_MAX);
        buf_init(&c->asking[i].gone, COMPARE_GONE_MAX * DOT_BYTES);
    }
}

void repair_fini(core_t *c)
{
    serve_fini(c);
    for (size_t i = 0; i < HM_ASKED_MAX; i++) {
        buf_fini(&c->asking[i].at);
        buf_fini(&c->asking[i].ranges);
        buf_fini(&c->asking[i].gone);
    }
}

void core_registry_status(const core_t *c, struct core_registry_status *ret_status)
{
    *ret_status = (struct core_registry_status){
        .state = registry_state(c->registry),
        .totals = *registry_totals(c->registry),
        .lives = registry_vector(c->registry)->count,
        .waiting_bytes = registry_pending_bytes(c->registry),
        .is_syncing = repair_is_syncing(c),
        .is_damaged = registry_is_damaged(c->registry),
    };
    for (size_t i = 0; i < HM_ASKED_MAX && node_id_is_zero(&ret_status->repairing_from); i++) {
        ret_status->repairing_from = c->asking[i].peer;
    }
    for (size_t i = 0; i < c->probe_order.count; i++) {
        uint64_t since = c->probe_order.items[i]->reg_differs_ns;
        uint64_t lag = since == 0 ? 0 : c->now_ns - since;
        ret_status->divergent_ns = lag > ret_status->divergent_ns ? lag : ret_status->divergent_ns;
    }
}

bool core_registry_peer(const core_t *c, size_t idx, struct core_registry_peer *ret_peer)
{
    const struct member *m = c->roster.items[idx];
    if (m == c->self || !member_is_up(m)) {
        return false;
    }
    *ret_peer = (struct core_registry_peer){
        .id = m->id,
        .is_known = m->reg_state != 0 || m->reg_differs_ns != 0,
        .state = m->reg_state,
        .differs_ns = m->reg_differs_ns == 0 ? 0 : c->now_ns - m->reg_differs_ns,
        .is_linked = m->link == LINK_UP,
        .is_later = m->reg_later > 0,
    };
    return true;
}
