/* SPDX-License-Identifier: MPL-2.0 */
/* Deletion marks are let go when everybody has them: when the durable vectors of all members on the
 * roster contain the mark's dot and every dot of its context (causal stability). A machine that is away
 * holds them; only its removal releases its share.
 *
 * A member tells what it has durably seen in its own key node/ID/seen, and only while there are marks
 * that it has not acknowledged so, or entries with long contexts: a mesh without them writes nothing. That is a
 * vector of all members to all members, so it waits until nothing else is written, the members one after the other;
 * where writing never ends, it is done so seldom that it costs little. What all
 * have, the stable part, also shortens the contexts of later writes. A key that is written again in each life
 * of a node would have the names of all those lives in its context; so what is stable is looked up once more
 * when a life begins. */
#include "base/err.h"
#include "base/text.h"
#include "core/core_priv.h"
#include "core/fold.h"

#include <stdio.h>
#include <string.h>

#define SETTLE_NS (3 * SECOND_NS)  /* deletes come in groups; a write each would wear out flash */
#define SETTLE_EACH_NS (50 * MS_NS)
#define TURN_NS (2 * MS_NS)        /* for each member, at rest: vectors at 20 kB/s together */
#define RESTLESS_TURN_NS (100 * MS_NS) /* while others write: at a fiftieth of that */
#define REST_NS (10 * SECOND_NS)   /* in larger meshes: after a partition all are equal by then, nearly always */
#define FEW 12                     /* so many members need not wait: what they tell is little */
#define MARKS_AT_ONCE 256          /* bounds a step */

static struct span seen_key(const struct node_id *id, char *to, size_t max)
{
    char hex[NODE_ID_TEXT_BYTES];
    text_hex(id->b, NODE_ID_BYTES, hex);
    int size = snprintf(to, max, "node/%s/seen", hex);
    HM_ASSERT(size > 0 && (size_t) size < max);
    return span_of(to, (size_t) size);
}

/* What a member says that it has. Lives that it folds, and that we have not all, count as not seen. HM_ENOTFOUND:
 * it has said nothing. */
static int read_seen(core_t *c, const struct node_id *id, struct vector *to)
{
    char key[64];
    struct registry_siblings s;
    int rc = registry_get(c->registry, LOOK_COMMITTED, seen_key(id, key, sizeof key), &s);
    if (rc == HM_OK) {
        rc = s.live == 0 ? HM_ENOTFOUND
                         : fold_told(s.items[0].value, registry_durable_vector(c->registry),
                                     c->crypto.hash, false, to, NULL);
    }
    return rc;
}

void tomb_written(core_t *c, struct span key)
{
    static const char seen[] = "/seen";
    struct node_id owner;
    bool is_seen = key.size > sizeof seen - 1 && key_owner(key, &owner) &&
                   memcmp(key.data + key.size - (sizeof seen - 1), seen, sizeof seen - 1) == 0;
    if (!is_seen) {
        c->written_ns = c->now_ns;
    }
}

void tomb_touch(core_t *c)
{
    bool is_work = registry_totals(c->registry)->marks > 0 ||
                   registry_crowded(c->registry)->count > 0;
    if (c->ready && !c->leaving && is_work) {
        core_arm_earlier(c, TIMER_TOMB, c->now_ns + SETTLE_NS + c->roster.count * SETTLE_EACH_NS);
    }
}

/* What every member on the roster has. */
static int find_stable(core_t *c, struct vector *stable)
{
    struct vector seen;
    int rc = vector_copy(stable, registry_durable_vector(c->registry));
    for (size_t i = 0; i < c->roster.count && rc == HM_OK && stable->count > 0; i++) {
        const struct member *m = c->roster.items[i];
        if (m == c->self || (c->params.broken_registry & REG_BREAK_EARLY_RELEASE) != 0) {
            continue;
        }
        vector_init(&seen);
        rc = read_seen(c, &m->id, &seen);
        if (rc != HM_ENOMEM) {
            rc = vector_intersect(stable, &seen); /* empty if it said nothing, or nothing that reads */
        }
        vector_fini(&seen);
    }
    return rc;
}

static bool is_stable(const struct vector *stable, const struct entry *mark)
{
    struct span rest = mark->context;
    struct dot dot;
    bool is = vector_has(stable, &mark->dot);
    while (is && context_next(&rest, &dot)) {
        is = vector_has(stable, &dot);
    }
    return is;
}

/* Whether there is a mark, or an entry with a long context, that we have and have not acknowledged. Such entries
 * may come by the second; while somebody is away, to say that they are here is of no use. */
static int find_news(core_t *c, bool *ret_is_news)
{
    struct vector seen, crowded;
    int rc = HM_OK;
    vector_init(&seen);
    vector_init(&crowded);
    if (core_up_others(c) + 1 == c->roster.count) {
        rc = vector_copy(&crowded, registry_crowded(c->registry));
    }
    if (rc == HM_OK) {
        rc = vector_intersect(&crowded, registry_durable_vector(c->registry));
    }
    if (rc == HM_OK && read_seen(c, &c->self->id, &seen) == HM_ENOMEM) {
        rc = HM_ENOMEM;
    }
    *ret_is_news = rc == HM_OK &&
                   (!vector_covers(&seen, &c->marks_seen) || !vector_covers(&seen, &crowded));
    vector_fini(&seen);
    vector_fini(&crowded);
    return rc;
}

/* When our turn is to acknowledge what there is since unacked_ns. */
static uint64_t turn_ns(const core_t *c)
{
    uint64_t members = c->roster.count;
    uint64_t place = roster_lower_bound(&c->roster, &c->self->id);
    uint64_t at_rest =
        c->written_ns + REST_NS + members * SETTLE_EACH_NS + place * members * TURN_NS;
    uint64_t at_last = c->unacked_ns + members * members * RESTLESS_TURN_NS;
    if (members <= FEW) {
        return c->unacked_ns;
    }
    return at_rest < at_last ? at_rest : at_last;
}

/* A write of our own, if there is news and it is our turn. */
static int acknowledge(core_t *c)
{
    char key[64];
    struct buf b;
    uint64_t ticket;
    bool is_news;
    int rc = find_news(c, &is_news);
    if (!is_news || c->roster.count < 2) {
        c->unacked_ns = 0;
        return rc;
    }
    c->unacked_ns = c->unacked_ns == 0 ? c->now_ns : c->unacked_ns;
    if (turn_ns(c) > c->now_ns) {
        core_arm_earlier(c, TIMER_TOMB, turn_ns(c));
        return rc;
    }
    c->unacked_ns = 0;
    buf_init(&b, HM_VALUE_BYTES_MAX);
    rc = fold_tell(&b, registry_durable_vector(c->registry), c->crypto.hash, NULL);
    struct registry_write w = {.key = seen_key(&c->self->id, key, sizeof key),
                               .type = ENTRY_REGISTER,
                               .value = buf_span(&b),
                               .wall_ms = c->wall_ms};
    if (rc == HM_OK) {
        rc = buf_failed(&b) ? HM_EFULL : core_write(c, &w, NULL, &ticket);
    }
    buf_fini(&b);
    return rc;
}

/* Looks at some marks; true if there are more. */
static bool look_at_marks(core_t *c, const struct vector *stable)
{
    struct span record_key;
    struct entry mark;
    size_t looked = 0;
    while (registry_next_mark(c->registry, &c->mark_at, false, &record_key, &mark)) {
        if (looked++ == MARKS_AT_ONCE) {
            return true;
        }
        c->mark_at = mark.dot;
        int rc = vector_add(&c->marks_seen, &mark.dot);
        if (rc == HM_OK && is_stable(stable, &mark)) {
            core_count(c, M_MARKS_RELEASED);
            rc = registry_release(c->registry, record_key, &mark);
        }
        c->fx.failed |= rc == HM_ENOMEM;
    }
    memset(&c->mark_at, 0, sizeof c->mark_at);
    return false;
}

void tomb_tick(core_t *c)
{
    struct vector stable;
    vector_init(&stable);
    int rc = find_stable(c, &stable);
    if (rc == HM_OK) {
        rc = registry_set_stable(c->registry, &stable);
    }
    if (rc == HM_OK && c->mark_at.seq == 0 && c->unacked_ns == 0) {
        vector_clear(&c->marks_seen); /* not those that wait for our turn: they may have gone here */
    }
    if (rc == HM_OK && look_at_marks(c, &stable)) {
        core_arm(c, TIMER_TOMB, c->now_ns + MS_NS);
    } else if (rc == HM_OK) {
        rc = acknowledge(c);
    }
    c->fx.failed |= rc == HM_ENOMEM;
    vector_fini(&stable);
}

void tomb_load(core_t *c)
{
    struct vector stable;
    vector_init(&stable);
    if (c->registry == NULL || registry_is_damaged(c->registry)) {
        return;
    }
    int rc = find_stable(c, &stable);
    if (rc == HM_OK) {
        rc = registry_set_stable(c->registry, &stable);
    }
    c->fx.failed |= rc == HM_ENOMEM;
    vector_fini(&stable);
}

void tomb_fini(core_t *c)
{
    vector_fini(&c->marks_seen);
}
