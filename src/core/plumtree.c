/* SPDX-License-Identifier: MPL-2.0 */
/* How new entries reach everybody (Leitão, Pereira, Rodrigues: Epidemic Broadcast Trees, 2007).
 *
 * With up to nine members all are linked: who writes pushes to all, nobody passes anything on.
 * Beyond, what is new goes on over the links to the ring neighbours:
 *
 *     eager link   PUSH   the entries, at once, but those of a window in one frame; such links form a tree in the end
 *     lazy link    IHAVE  their dots only, those of ANNOUNCE_NS in one frame, without those that
 *                         the neighbour has told or sent itself meanwhile
 *
 * An eager link that brings only what was known before is made lazy, at both ends (PRUNE). A dot that was
 * announced and whose entry does not come in time is asked for (GRAFT), which makes the link eager
 * again: so the tree mends itself where a node or link is gone. In time is GRAFT_NS; where links lose much,
 * entries come late on the best of trees, and asking for them brings everything twice: who asked in vain
 * waits longer from then on. What gets lost all the same comes by repair, and what repair brought to one
 * is announced to its neighbours, so that it goes on quickly. */
#include "base/err.h"
#include "core/core_priv.h"
#include "wire/registry_msg.h"

#include <string.h>

#define PUSH_BYTES 131072 /* of entries in a frame that may have several */
/* A lone write waits for nobody. What follows closely goes together, a window after the push before: a frame costs us and
 * each neighbour the same however many entries it has. The window doubles for as long as they come that closely (DENSE_NS
 * apart or less, on average). When it is over, the next step takes them along, or a timer ANSWERING_NS later; but not the
 * step that answers: who waited for that is about to go on, and while our own disk is busy with what comes next is a
 * better time. */
#define PUSH_NS (MS_NS / 2)
#define PUSH_MAX_NS (4 * MS_NS)
#define ANSWERING_NS (MS_NS / 4)
#define DENSE_NS (3 * MS_NS / 4)
#define ANNOUNCE_NS (50 * MS_NS)
#define GRAFT_NS (150 * MS_NS) /* some round trips in a home; the tree is usually faster than that */
#define GRAFT_MAX_NS (600 * MS_NS)
#define ANNOUNCED_LOOKS 128 /* who has one is noted of the newest so many: bounds a step */

/* With up to nine members all are linked, and who wrote it tells all of them. */
static bool is_direct(const core_t *c)
{
    return core_up_others(c) <= 2 * HM_RING_SALTS;
}

/* Guests come and go, and are told by their own neighbours. */
static bool is_told(const core_t *c, const struct member *m)
{
    return m->link == LINK_UP && (m->is_neighbour || is_direct(c));
}

/* ---- out ------------------------------------------------------------------------------------- */

static void send_dots(core_t *c, struct member *m, enum frame_type type, struct span dots)
{
    struct buf b;
    buf_init(&b, HM_FRAME_BYTES_MAX);
    reg_dot_list_write(&b, dots);
    if (!buf_failed(&b)) {
        send_frame(c, m, type, buf_span(&b));
    }
    buf_fini(&b);
}

static void send_outbox(core_t *c, struct outbox *o)
{
    struct reg_entries entries = {buf_span(&o->entries), o->count};
    struct buf push;
    buf_init(&push, HM_FRAME_BYTES_MAX);
    reg_push_write(&push, &entries);
    for (size_t i = 0; i < c->probe_order.count && !buf_failed(&push); i++) {
        struct member *m = c->probe_order.items[i];
        if (is_told(c, m) && (!m->is_lazy || is_direct(c)) && !node_id_eq(&m->id, &o->from)) {
            send_frame(c, m, FRAME_REG_PUSH, buf_span(&push));
        }
    }
    buf_fini(&push);
}

/* What comes within that time from now on waits until it is over. */
static uint64_t next_window(const core_t *c, const struct outbox *o)
{
    bool is_dense = o->flushed_ns != 0 && c->now_ns - o->flushed_ns <= o->count * DENSE_NS;
    if (!is_dense) {
        return PUSH_NS;
    }
    return 2 * o->window_ns < PUSH_MAX_NS ? 2 * o->window_ns : PUSH_MAX_NS;
}

void plumtree_flush(core_t *c)
{
    struct outbox *o = &c->outbox;
    if (o->count == 0) {
        return;
    }
    if (!buf_failed(&o->entries)) {
        send_outbox(c, o);
    }
    o->window_ns = next_window(c, o);
    o->flushed_ns = c->now_ns;
    buf_clear(&o->entries);
    o->count = 0;
    o->from = (struct node_id){{0}};
}

void plumtree_settle(core_t *c, bool is_answering)
{
    const struct outbox *o = &c->outbox;
    uint64_t since_ns = o->flushed_ns == 0 ? UINT64_MAX : c->now_ns - o->flushed_ns;
    bool may_wait = c->ready && !c->leaving && !c->copy.aside;
    if (o->count > 0 && may_wait && since_ns < o->window_ns + (is_answering ? ANSWERING_NS : 0)) {
        core_arm_earlier(c, TIMER_PUSH, o->flushed_ns + o->window_ns + ANSWERING_NS);
    } else {
        plumtree_flush(c);
    }
}

/* Tells m of what waits to be announced and what it is not known to have. */
static void announce_to(core_t *c, struct member *m)
{
    struct buf dots;
    buf_init(&dots, REG_DOTS_MAX * DOT_BYTES);
    for (size_t i = 0; i < c->announced_count; i++) {
        const struct announced *a = &c->announced[i];
        bool has = a->is_pushed && !m->is_lazy;
        for (size_t k = 0; k < a->has_count && !has; k++) {
            has = node_id_eq(&a->has[k], &m->id);
        }
        if (!has) {
            reg_dot_append(&dots, &a->dot);
        }
    }
    if (dots.size > 0) {
        send_dots(c, m, FRAME_REG_IHAVE, buf_span(&dots));
    }
    buf_fini(&dots);
}

static void announce(core_t *c)
{
    for (size_t i = 0; i < c->probe_order.count && c->announced_count > 0; i++) {
        struct member *m = c->probe_order.items[i];
        if (is_told(c, m)) {
            announce_to(c, m);
        }
    }
    c->announced_count = 0;
    c->announce_ns = 0;
}

static void to_be_announced(core_t *c, const struct node_id *from, const struct dot *dot,
                            bool is_pushed)
{
    if (is_direct(c)) {
        return;
    }
    if (c->announced_count == HM_ANNOUNCED_MAX) {
        announce(c);
    }
    if (c->announced_count == 0) {
        c->announce_ns = c->now_ns + ANNOUNCE_NS;
        core_arm_earlier(c, TIMER_GRAFT, c->announce_ns);
    }
    c->announced[c->announced_count++] =
        (struct announced){.dot = *dot, .is_pushed = is_pushed, .has = {*from}, .has_count = 1};
}

/* It need not be told. */
static void has_it(core_t *c, const struct member *m, const struct dot *dot)
{
    size_t last = c->announced_count > ANNOUNCED_LOOKS ? c->announced_count - ANNOUNCED_LOOKS : 0;
    for (size_t i = c->announced_count; i > last; i--) {
        struct announced *a = &c->announced[i - 1];
        if (a->dot.seq == dot->seq && dot_eq(&a->dot, dot)) {
            if (a->has_count < ANNOUNCED_HAS_MAX) {
                a->has[a->has_count++] = m->id;
            }
            return;
        }
    }
}

/* From now on it is pushed to; what waits to be announced was not. */
static void make_eager(core_t *c, struct member *m)
{
    if (m->is_lazy && is_told(c, m)) {
        announce_to(c, m);
    }
    m->is_lazy = false;
}

/* Goes out with what else there is. */
static void put_out(core_t *c, const struct node_id *from, const struct dot *dot, struct span bytes)
{
    struct outbox *o = &c->outbox;
    bool is_full = o->entries.size + bytes.size > PUSH_BYTES || o->count == REG_DOTS_MAX;
    if (o->count > 0 && (is_full || !node_id_eq(&o->from, from))) {
        plumtree_flush(c);
    }
    o->from = *from;
    reg_entry_append(&o->entries, bytes);
    o->count++;
    to_be_announced(c, from, dot, true);
}

void plumtree_own(core_t *c, const struct entry *e)
{
    static const struct node_id nobody;
    if (core_up_others(c) > 0) {
        put_out(c, &nobody, &e->dot, e->bytes);
    }
}

void plumtree_repaired(core_t *c, const struct member *m, struct span bytes)
{
    struct entry e;
    if (entry_read(bytes, &e) == HM_OK) {
        to_be_announced(c, &m->id, &e.dot, false);
    }
}

/* ---- in -------------------------------------------------------------------------------------- */

/* What was asked for too early came in vain, since it came from elsewhere as well. */
static void judge_graft(core_t *c, struct member *m, size_t news)
{
    if (!m->is_grafted) {
        return;
    }
    m->is_grafted = false;
    if (news > 0) {
        c->graft_ns -= (c->graft_ns - GRAFT_NS) / 4;
    } else {
        c->graft_ns = 2 * c->graft_ns < GRAFT_MAX_NS ? 2 * c->graft_ns : GRAFT_MAX_NS;
    }
}

static void on_push(core_t *c, struct member *m, struct span body)
{
    struct reg_entries entries;
    struct span bytes;
    size_t news = 0;
    size_t known = 0;
    if (reg_push_read(body, &entries) != HM_OK) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    while (reg_entry_next(&entries.bytes, &bytes)) {
        enum registry_outcome outcome;
        if (spread_take(c, bytes, &outcome) != HM_OK) {
            continue; /* counted, and it comes again by repair */
        }
        known += outcome == REGISTRY_KNOWN;
        news += outcome != REGISTRY_KNOWN;
        if (outcome == REGISTRY_NEW && !is_direct(c)) {
            put_out(c, &m->id, &registry_merged(c->registry)->dot, bytes);
        } else if (c->announced_count > 0) {
            has_it(c, m, &registry_merged(c->registry)->dot);
        }
    }
    judge_graft(c, m, news);
    if (news > 0) {
        make_eager(c, m);
    } else if (known > 0 && !m->is_lazy && !is_direct(c)) {
        struct buf b;
        m->is_lazy = true;
        buf_init(&b, HM_FRAME_BYTES_MAX);
        reg_prune_write(&b);
        send_frame(c, m, FRAME_REG_PRUNE, buf_span(&b));
        buf_fini(&b);
    }
}

static void on_ihave(core_t *c, struct member *m, struct span dots)
{
    struct dot dot;
    while (reg_dot_next(&dots, &dot)) {
        if (vector_has(registry_vector(c->registry), &dot)) {
            has_it(c, m, &dot);
        } else if (c->missing_count < HM_MISSING_MAX) {
            uint64_t due_ns = c->now_ns + c->graft_ns;
            c->missing[c->missing_count++] =
                (struct missing){.dot = dot, .from = m->id, .due_ns = due_ns};
            core_arm_earlier(c, TIMER_GRAFT, due_ns);
        }
    }
}

static void on_graft(core_t *c, struct member *m, struct span dots)
{
    struct reg_entries entries = {.count = 0};
    struct buf list, b;
    struct dot dot;
    struct span bytes;
    make_eager(c, m);
    buf_init(&list, HM_FRAME_BYTES_MAX);
    buf_init(&b, HM_FRAME_BYTES_MAX);
    while (list.size < PUSH_BYTES && reg_dot_next(&dots, &dot)) {
        if (registry_entry_of(c->registry, &dot, &bytes)) {
            reg_entry_append(&list, bytes);
            entries.count++;
        }
    }
    entries.bytes = buf_span(&list);
    reg_push_write(&b, &entries);
    if (entries.count > 0 && !buf_failed(&b)) {
        send_frame(c, m, FRAME_REG_PUSH, buf_span(&b));
    }
    buf_fini(&list);
    buf_fini(&b);
}

void plumtree_frame(core_t *c, struct member *m, uint8_t type, struct span body)
{
    struct span dots;
    if (type == FRAME_REG_PUSH) {
        on_push(c, m, body);
    } else if (type == FRAME_REG_PRUNE && reg_prune_read(body) == HM_OK) {
        m->is_lazy = true;
    } else if (type == FRAME_REG_IHAVE && reg_dot_list_read(body, &dots) == HM_OK) {
        on_ihave(c, m, dots);
    } else if (type == FRAME_REG_GRAFT && reg_dot_list_read(body, &dots) == HM_OK) {
        on_graft(c, m, dots);
    } else {
        core_count(c, M_DROP_MALFORMED);
    }
}

/* Asks one member for all that is due from it. The table shrinks by that and by what has come. */
static void graft(core_t *c, struct node_id from)
{
    struct member *m = roster_find(&c->roster, &from);
    struct buf dots;
    size_t kept = 0;
    buf_init(&dots, REG_DOTS_MAX * DOT_BYTES);
    for (size_t i = 0; i < c->missing_count; i++) {
        const struct missing *one = &c->missing[i];
        if (vector_has(registry_vector(c->registry), &one->dot)) {
            continue;
        }
        if (one->due_ns <= c->now_ns && node_id_eq(&one->from, &from) &&
            dots.size < REG_DOTS_MAX * DOT_BYTES) {
            reg_dot_append(&dots, &one->dot);
            continue;
        }
        c->missing[kept++] = *one;
    }
    c->missing_count = kept;
    if (m != NULL && m->link == LINK_UP && dots.size > 0) {
        make_eager(c, m);
        m->is_grafted = true;
        core_count(c, M_GRAFTS);
        send_dots(c, m, FRAME_REG_GRAFT, buf_span(&dots));
    }
    buf_fini(&dots);
}

void plumtree_tick(core_t *c)
{
    if (c->announce_ns != 0 && c->announce_ns <= c->now_ns) {
        announce(c);
    }
    uint64_t next_ns = c->announce_ns == 0 ? TIMER_NEVER : c->announce_ns;
    for (size_t i = 0; i < c->missing_count;) {
        const struct missing *one = &c->missing[i];
        if (vector_has(registry_vector(c->registry), &one->dot)) {
            c->missing[i] = c->missing[--c->missing_count];
        } else if (one->due_ns <= c->now_ns) {
            graft(c, one->from);
            i = 0; /* the table was packed; each round takes at least one away */
        } else {
            next_ns = one->due_ns < next_ns ? one->due_ns : next_ns;
            i++;
        }
    }
    if (next_ns != TIMER_NEVER) {
        core_arm(c, TIMER_GRAFT, next_ns);
    }
}

void plumtree_init(core_t *c)
{
    buf_init(&c->outbox.entries, HM_FRAME_BYTES_MAX);
    c->graft_ns = GRAFT_NS;
}

void plumtree_fini(core_t *c)
{
    buf_fini(&c->outbox.entries);
}
