/* SPDX-License-Identifier: MPL-2.0 */
/* Full exchange of the member list over a link, when views differ (hash first: equal ones exchange
 * nothing). It closes what gossip missed and heals partitions. It never revives: a record at or below an
 * incarnation known dead is ignored (merge.c), and the member is probed instead.
 *
 *     A -> B  SYNC hash                     B: equal, nothing; else
 *     B -> A  SYNC hash, digest             A compares
 *     A -> B  SYNC_REPLY news of A, wanted  B takes them
 *     B -> A  SYNC_PUSH what was wanted */
#include "base/err.h"
#include "core/core_priv.h"
#include "wire/sync_msg.h"

#include <string.h>

#define REPLY_BYTES (HM_CHUNK_BYTES_MAX / 2)

static enum digest_class class_of(const struct member *m)
{
    if (member_is_up(m)) {
        return DIGEST_ALIVE;
    }
    return m->status == STATUS_FAILED ? DIGEST_FAILED : DIGEST_LEFT;
}

void sync_view_seen(core_t *c, uint64_t view_hash)
{
    if (view_hash == c->roster.view_hash || c->leaving) {
        return;
    }
    /* Gossip under way makes views differ for a moment: only what lasts is worth an exchange. */
    if (!timer_is_armed(&c->timer[TIMER_SYNC])) {
        core_arm(c, TIMER_SYNC, c->now_ns + c->params.sync_delay_ns);
    }
}

void sync_want(core_t *c, struct member *m)
{
    const struct member *guest = c->sync_guest;
    if (guest != NULL && guest != m && member_is_up(guest) && guest->link != LINK_UP) {
        return;
    }
    c->sync_guest = m;
    if (m->link == LINK_UP) {
        sync_start(c, m);
    } else {
        overlay_want_link(c, m);
    }
}

void sync_tick(core_t *c)
{
    struct member *m = NULL;
    if (c->now_ns - c->view_changed_ns < c->params.sync_delay_ns / 2) {
        core_arm(c, TIMER_SYNC, c->now_ns + c->params.sync_delay_ns / 2);
        return;
    }
    if (order_pick(&c->probe_order, &c->prng, 1, member_is_linked, NULL, &m) == 1) {
        sync_start(c, m);
    }
}

static void send_sync(core_t *c, struct member *m, struct span digest, bool has_digest)
{
    struct sync_msg msg = {
        .view_hash = c->roster.view_hash, .has_digest = has_digest, .digest = digest};
    struct buf b;
    buf_init(&b, HM_CHUNK_BYTES_MAX);
    sync_msg_write(&b, &msg);
    if (!buf_failed(&b)) {
        send_frame(c, m, FRAME_SYNC, buf_span(&b));
    }
    buf_fini(&b);
}

void sync_start(core_t *c, struct member *m)
{
    m->wants_link = false;
    if (c->sync_guest == m) {
        c->sync_guest = NULL;
    }
    send_sync(c, m, span_of(NULL, 0), false);
}

static void send_digest(core_t *c, struct member *m)
{
    uint8_t *digest = fxlist_alloc(&c->fx, c->roster.count * DIGEST_ENTRY_BYTES);
    if (digest == NULL) {
        return;
    }
    for (size_t i = 0; i < c->roster.count; i++) {
        const struct member *one = c->roster.items[i];
        struct digest_entry entry = {
            .id = one->id, .incarnation = member_incarnation(one), .cls = class_of(one)};
        sync_digest_put(digest + i * DIGEST_ENTRY_BYTES, &entry);
    }
    send_sync(c, m, span_of(digest, c->roster.count * DIGEST_ENTRY_BYTES), true);
}

/* A reply under construction; sent in parts when it grows large. */
struct reply {
    struct buf updates;
    size_t count;
    struct buf wanted;
    enum frame_type type;
};

static void reply_send(core_t *c, struct member *m, struct reply *reply)
{
    struct sync_reply msg = {.update_bytes = buf_span(&reply->updates),
                             .update_count = reply->count,
                             .wanted = buf_span(&reply->wanted)};
    struct buf b;
    buf_init(&b, HM_CHUNK_BYTES_MAX);
    sync_reply_write(&b, &msg);
    if (!buf_failed(&b) && !buf_failed(&reply->updates) && !buf_failed(&reply->wanted)) {
        send_frame(c, m, reply->type, buf_span(&b));
    }
    buf_fini(&b);
    buf_clear(&reply->updates);
    buf_clear(&reply->wanted);
    reply->count = 0;
}

static void reply_add(core_t *c, struct member *m, struct reply *reply, const struct member *one)
{
    struct claim claim;
    if (one->status == STATUS_FAILED && claim_about(one, &claim)) {
        claim.record = member_record(one);
        swim_update_write_claim(&reply->updates, &claim);
    } else {
        swim_update_write_record(&reply->updates, member_record(one));
    }
    reply->count++;
    if (reply->updates.size > REPLY_BYTES) {
        reply_send(c, m, reply);
    }
}

static void reply_want(struct reply *reply, const struct node_id *id)
{
    buf_append(&reply->wanted, id->b, NODE_ID_BYTES);
}

/* Both know the member: who has the news? At one incarnation, failed is news to alive. */
static void compare_one(core_t *c, struct member *m, struct reply *reply, struct member *ours,
                        const struct digest_entry *theirs)
{
    uint64_t incarnation = member_incarnation(ours);
    enum digest_class cls = class_of(ours);
    if (incarnation == theirs->incarnation && cls == theirs->cls) {
        return;
    }
    bool ours_is_news = incarnation > theirs->incarnation ||
                        (incarnation == theirs->incarnation && cls > theirs->cls);
    if (ours_is_news) {
        reply_add(c, m, reply, ours);
    } else {
        reply_want(reply, &theirs->id);
    }
    /* The other side reaches it: so may we. */
    if (cls == DIGEST_FAILED && theirs->cls == DIGEST_ALIVE && c->heal_left == 0) {
        c->heal_left = c->failed_order.count;
        core_arm_earlier(c, TIMER_FAILED, c->now_ns + 5 * MS_NS);
    }
}

static void compare(core_t *c, struct member *m, struct span digest)
{
    struct reply reply = {.type = FRAME_SYNC_REPLY};
    struct digest_entry theirs;
    size_t count = digest.size / DIGEST_ENTRY_BYTES;
    size_t i = 0;
    buf_init(&reply.updates, HM_CHUNK_BYTES_MAX);
    buf_init(&reply.wanted, REPLY_BYTES);
    for (size_t j = 0; i < c->roster.count || j < count;) {
        int order = -1;
        if (j < count) {
            int rc = sync_digest_get(digest, j, &theirs);
            HM_ASSERT(rc == HM_OK); /* sync_msg_read has checked every entry */
            order = i < c->roster.count ? node_id_cmp(&c->roster.items[i]->id, &theirs.id) : 1;
        }
        if (order < 0) {
            reply_add(c, m, &reply, c->roster.items[i++]);
        } else if (order > 0) {
            reply_want(&reply, &theirs.id);
            j++;
        } else {
            compare_one(c, m, &reply, c->roster.items[i++], &theirs);
            j++;
        }
    }
    if (reply.count > 0 || reply.wanted.size > 0) {
        reply_send(c, m, &reply);
    }
    buf_fini(&reply.updates);
    buf_fini(&reply.wanted);
}

static void on_sync(core_t *c, struct member *m, struct span body)
{
    struct sync_msg msg;
    if (sync_msg_read(body, &msg) != 0) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    if (msg.view_hash == c->roster.view_hash) {
        return;
    }
    if (!msg.has_digest) {
        core_count(c, M_FULL_EXCHANGES);
        send_digest(c, m);
    } else {
        compare(c, m, msg.digest);
    }
}

/* Wanted ids come in rising order; what does not rise is not answered, so nobody gets one twice. */
static void push_wanted(core_t *c, struct member *m, struct span wanted)
{
    struct reply reply = {.type = FRAME_SYNC_PUSH};
    struct node_id last = {{0}};
    buf_init(&reply.updates, HM_CHUNK_BYTES_MAX);
    buf_init(&reply.wanted, NODE_ID_BYTES);
    for (size_t at = 0; at < wanted.size; at += NODE_ID_BYTES) {
        struct node_id id;
        memcpy(id.b, wanted.data + at, NODE_ID_BYTES);
        const struct member *one = roster_find(&c->roster, &id);
        if (one != NULL && (at == 0 || node_id_cmp(&last, &id) < 0)) {
            reply_add(c, m, &reply, one);
        }
        last = id;
    }
    if (reply.count > 0) {
        reply_send(c, m, &reply);
    }
    buf_fini(&reply.updates);
    buf_fini(&reply.wanted);
}

void sync_frame(core_t *c, struct member *m, uint8_t type, struct span body)
{
    struct sync_reply msg;
    if (type == FRAME_SYNC) {
        on_sync(c, m, body);
        return;
    }
    if (sync_reply_read(body, &msg) != 0) {
        core_count(c, M_DROP_MALFORMED);
        return;
    }
    merge_updates(c, msg.update_bytes, m, false);
    if (type == FRAME_SYNC_REPLY && msg.wanted.size > 0) {
        push_wanted(c, m, msg.wanted);
    }
}
