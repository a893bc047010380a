/* SPDX-License-Identifier: MPL-2.0 */
/* The server's side of a pass of repair (repair.c): it reads committed state only, a chunk in one read
 * transaction. An entry that was superseded while the pass went on is not found any more, but what
 * superseded it is either still ahead or in the last chunk: that holds everything which the vector of the
 * beginning does not cover, read in one transaction with the end. */
#include "base/err.h"
#include "core/core_priv.h"
#include "core/fold.h"
#include "wire/registry_msg.h"

#include <string.h>

#define CHUNK_BYTES 131072
#define CHUNK_LOOKS 1024 /* dots looked up for one chunk: bounds a step */
#define OFFERS_BYTES_MAX (1U << 20)
#define CHUNK_HEADS_BYTES 128
#define SERVED_SILENT_NS (20 * SECOND_NS)

static void send(core_t *c, struct member *m, enum frame_type type, const struct buf *b)
{
    if (!buf_failed(b)) {
        send_frame(c, m, type, buf_span(b));
    }
}

static void serving_free(struct serving *s)
{
    vector_fini(&s->theirs);
    vector_fini(&s->start);
    vector_fini(&s->asked);
    memset(s, 0, sizeof *s);
}

static struct serving *serving_of(core_t *c, const struct node_id *peer)
{
    for (size_t i = 0; i < HM_PASSES_MAX; i++) {
        if (node_id_eq(&c->serving[i].peer, peer)) {
            return &c->serving[i];
        }
    }
    return NULL;
}

/* A place for a new pass of this peer: its own one, a free one, or one that was forgotten. */
static struct serving *serving_new(core_t *c, const struct node_id *peer)
{
    static const struct node_id nobody;
    struct serving *s = serving_of(c, peer);
    if (s == NULL) {
        s = serving_of(c, &nobody);
    }
    for (size_t i = 0; i < HM_PASSES_MAX && s == NULL; i++) {
        if (c->now_ns - c->serving[i].heard_ns > SERVED_SILENT_NS) {
            s = &c->serving[i];
        }
    }
    if (s != NULL) {
        serving_free(s);
        vector_init(&s->theirs);
        vector_init(&s->start);
        vector_init(&s->asked);
    }
    return s;
}

static void refuse_with(core_t *c, struct member *m, const struct reg_refused *msg)
{
    struct buf b;
    buf_init(&b, HM_FRAME_BYTES_MAX);
    reg_refused_write(&b, msg);
    send(c, m, FRAME_REG_REFUSED, &b);
    buf_fini(&b);
}

static void refuse(core_t *c, struct member *m, uint64_t pass, enum reg_refusal code)
{
    struct reg_refused msg = {.pass = pass, .code = (uint8_t) code};
    refuse_with(c, m, &msg);
}

/* The asker folds lives that are not known here, or not as it knows them. */
static void refuse_folds(core_t *c, struct member *m, uint64_t pass,
                         const struct fold_list *unnamed)
{
    struct reg_refused msg = {.pass = pass, .code = REG_REFUSED_FOLDS};
    struct fold_list offers = {0};
    struct buf folds;
    buf_init(&folds, OFFERS_BYTES_MAX);
    if (fold_offer(registry_vector(c->registry), unnamed, c->crypto.hash, &offers) == HM_OK) {
        fold_list_write(&folds, &offers);
        msg.folds = buf_failed(&folds) ? span_of(NULL, 0) : buf_span(&folds);
    } else {
        c->fx.failed = true;
    }
    refuse_with(c, m, &msg);
    buf_fini(&folds);
    fold_list_fini(&offers);
}

/* A chunk under construction. */
struct chunk {
    struct buf entries;
    size_t count;
    size_t looks;
};

static bool chunk_is_full(const struct chunk *ch)
{
    return ch->entries.size >= CHUNK_BYTES || ch->looks >= CHUNK_LOOKS;
}

/* What is still in the store of a run. Returns false if the chunk filled up before its end; ret_last is
 * how far it came. */
static bool add_run(core_t *c, struct chunk *ch, const struct origin *origin, struct run run,
                    const struct vector *not_these, struct dot *ret_at)
{
    struct dot dot = {*origin, run.first - 1};
    struct span bytes;
    while (registry_next_dot(c->registry, origin, dot.seq + 1, &dot, &bytes) &&
           dot.seq <= run.last) {
        if (chunk_is_full(ch)) {
            return false;
        }
        ch->looks++;
        if (not_these == NULL || !vector_has(not_these, &dot)) {
            reg_entry_append(&ch->entries, bytes);
            ch->count++;
        }
        *ret_at = dot;
    }
    *ret_at = (struct dot){*origin, run.last};
    return true;
}

/* Goes on with what the pass's first vector has and the asker lacks. True when all of it was looked at. */
static bool add_missing(core_t *c, struct serving *s, struct chunk *ch)
{
    struct vector_diff diff;
    struct origin origin;
    struct run run;
    vector_diff_open(&diff, &s->start, &s->theirs);
    while (vector_diff_next(&diff, &origin, &run)) {
        struct dot last = {origin, run.last};
        if (s->at.seq > 0 && dot_cmp(&last, &s->at) <= 0) {
            continue;
        }
        if (s->at.seq >= run.first && origin_eq(&s->at.origin, &origin)) {
            run.first = s->at.seq + 1;
        }
        if (!add_run(c, ch, &origin, run, NULL, &s->at)) {
            return false;
        }
    }
    return true;
}

/* All that the first vector does not cover, at once. False if it is too much. Committed entries may be
 * ahead of the durable vector that is known here, so the one with what is pending is walked. */
static bool add_rest(core_t *c, struct serving *s, struct chunk *ch)
{
    struct vector_diff diff;
    struct origin origin;
    struct run run;
    struct dot at;
    vector_diff_open(&diff, registry_vector(c->registry), &s->start);
    while (vector_diff_next(&diff, &origin, &run)) {
        if (!add_run(c, ch, &origin, run, &s->theirs, &at)) {
            return false;
        }
    }
    return true;
}

/* Too much was written while the pass went on: what was sent needs no sending, and it goes on from the
 * vector of now. */
static int begin_again(core_t *c, struct serving *s)
{
    int rc = s->is_again ? HM_OK : vector_copy(&s->asked, &s->theirs);
    s->is_again = true;
    if (rc == HM_OK) {
        rc = vector_merge(&s->theirs, &s->start);
    }
    if (rc == HM_OK) {
        rc = vector_copy(&s->start, registry_durable_vector(c->registry));
    }
    memset(&s->at, 0, sizeof s->at);
    return rc;
}

/* What the asker may claim after the pass: of the vector of the beginning what it did not have when it asked.
 * One that comes from far behind gets as much as fits, and the rest with the next pass. */
static int find_claims(const struct serving *s, const struct chunk *ch, struct vector *claims,
                       bool *ret_all)
{
    size_t room = HM_FRAME_BYTES_MAX - CHUNK_HEADS_BYTES;
    room -= ch->entries.size < room ? ch->entries.size : room;
    return vector_lacking(claims, &s->start, s->is_again ? &s->asked : &s->theirs, room, ret_all);
}

/* claims NULL: it is not the last one. */
static void send_chunk(core_t *c, struct member *m, struct serving *s, const struct chunk *ch,
                       const struct vector *claims, bool has_all)
{
    struct reg_chunk msg = {.pass = s->pass,
                            .chunk = ++s->chunk,
                            .entries = {buf_span(&ch->entries), ch->count},
                            .is_last = claims != NULL,
                            .is_synced = registry_is_synced(c->registry),
                            .is_part = !has_all};
    struct buf vector, b;
    buf_init(&vector, HM_FRAME_BYTES_MAX);
    buf_init(&b, HM_FRAME_BYTES_MAX);
    if (claims != NULL) {
        vector_write(&vector, claims);
        msg.vector = buf_span(&vector);
    }
    reg_chunk_write(&b, &msg);
    if (!buf_failed(&vector)) {
        send(c, m, FRAME_REG_CHUNK, &b);
    }
    buf_fini(&vector);
    buf_fini(&b);
}

static void serve(core_t *c, struct member *m, struct serving *s)
{
    struct chunk ch = {.count = 0};
    struct vector claims;
    int rc = HM_OK;
    vector_init(&claims);
    buf_init(&ch.entries, HM_FRAME_BYTES_MAX);
    s->heard_ns = c->now_ns;
    bool is_last = add_missing(c, s, &ch);
    size_t before = ch.entries.size;
    size_t before_count = ch.count;
    bool has_all = true;
    bool is_rest = is_last && add_rest(c, s, &ch);
    if (is_rest) {
        rc = find_claims(s, &ch, &claims, &has_all);
    }
    if (is_last && (!is_rest || (!has_all && before > 0))) {
        is_last = false;
        buf_truncate(&ch.entries, before);
        ch.count = before_count;
        if (before == 0) {
            rc = begin_again(c, s);
        }
    }
    if (!is_last && (c->params.broken_registry & REG_BREAK_EARLY_CLAIM) != 0) {
        is_last = true;
        vector_clear(&claims);
        rc = find_claims(s, &ch, &claims, &has_all);
    }
    c->fx.failed |= rc != HM_OK;
    send_chunk(c, m, s, &ch, is_last ? &claims : NULL, has_all);
    buf_fini(&ch.entries);
    vector_fini(&claims);
    if (is_last) {
        serving_free(s);
    }
}

/* An asker that lacks a deletion mark which was let go here may hold what that mark had deleted; unless it has
 * seen nothing of what we have: then it is new. And where the same was seen and not the same is held,
 * something was lost. */
static bool is_stale(const core_t *c, const struct reg_ask *msg, const struct vector *theirs)
{
    const struct vector *ours = registry_durable_vector(c->registry);
    if (msg->kind == REG_PASS_COMPARED) {
        return false;
    }
    return (vector_eq(theirs, ours) && msg->hash != registry_durable_hash(c->registry)) ||
           (!vector_covers(theirs, registry_released(c->registry)) &&
            vector_intersects(theirs, ours));
}

/* Reads what the asker has seen. If it is refused s->peer stays zero. */
static int begin(core_t *c, struct member *m, const struct reg_ask *msg, struct serving *s)
{
    struct fold_list unnamed = {0};
    bool is_range = (c->params.broken_registry & REG_BREAK_FOLD_IS_RANGE) != 0;
    int rc = fold_told(msg->vector, registry_vector(c->registry), c->crypto.hash, is_range,
                       &s->theirs, &unnamed);
    if (rc == HM_OK) {
        rc = vector_copy(&s->start, registry_durable_vector(c->registry));
    }
    if (rc == HM_OK && unnamed.count > 0) {
        refuse_folds(c, m, msg->pass, &unnamed);
    } else if (rc == HM_OK && is_stale(c, msg, &s->theirs)) {
        refuse(c, m, msg->pass, REG_REFUSED_STALE);
    } else if (rc == HM_OK) {
        s->peer = m->id;
        s->pass = msg->pass;
    }
    fold_list_fini(&unnamed);
    return rc;
}

void serve_ask(core_t *c, struct member *m, struct span body)
{
    struct reg_ask msg;
    if (reg_ask_read(body, &msg) != HM_OK) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    bool is_known = msg.kind == REG_PASS_VECTOR || msg.kind == REG_PASS_COMPARED;
    struct serving *s = is_known ? serving_new(c, &m->id) : NULL;
    if (s == NULL) {
        refuse(c, m, msg.pass, is_known ? REG_REFUSED_BUSY : REG_REFUSED_KIND);
        return;
    }
    int rc = begin(c, m, &msg, s);
    if (rc != HM_OK) {
        core_count(c, M_DROP_MALFORMED);
    }
    if (node_id_is_zero(&s->peer)) {
        serving_free(s);
        return;
    }
    core_count(c, M_PASSES_SERVED);
    if (!vector_covers(registry_vector(c->registry), &s->theirs)) {
        repair_lacking(c, m);
    }
    serve(c, m, s);
}

void serve_more(core_t *c, struct member *m, struct span body)
{
    struct reg_more msg;
    struct serving *s = serving_of(c, &m->id);
    if (reg_more_read(body, &msg) != HM_OK) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    if (s == NULL || s->pass != msg.pass || s->chunk + 1 != msg.chunk) {
        refuse(c, m, msg.pass, REG_REFUSED_UNKNOWN);
        return;
    }
    serve(c, m, s);
}

void serve_fini(core_t *c)
{
    for (size_t i = 0; i < HM_PASSES_MAX; i++) {
        serving_free(&c->serving[i]);
    }
}
