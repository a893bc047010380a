/* SPDX-License-Identifier: MPL-2.0 */
/* One core and a few peers that exist only as keys: what the tests of the core's rules share.
 *
 * Crypto is a hash that every peer can make. Peer 0 is the core itself. Effects are logged in
 * short, with the time of their step; peers with `answers` set ack pings at once. Include after
 * unit.h. */
#ifndef HM_TESTS_UNIT_CORE_MINI_H
#define HM_TESTS_UNIT_CORE_MINI_H

#include "base/err.h"
#include "base/heap.h"
#include "base/prng.h"
#include "core/core.h"
#include "wire/mpack.h"
#include "wire/record_msg.h"
#include "wire/swim_msg.h"

#define MINI_PEERS 128
#define MINI_LOG 8192
#define MINI_MS 1000000ULL
#define MINI_SESSION 77
#define MINI_SECOND (1000 * MINI_MS)

struct mini_peer {
    uint8_t key[32];
    struct node_id id;
    uint64_t counter;
    bool answers;  /* acks pings */
    bool connects; /* takes connections; else they are refused, if `refuses` */
    bool refuses;
    uint8_t version_min, version_max; /* of its records; 0: ours */
};

struct mini_fx {
    uint64_t at_ns;
    enum effect_type type;
    size_t peer;         /* of datagram, frame, dial, hangup, connect; MINI_PEERS: none */
    enum swim_type swim; /* of datagrams and SWIM's frames */
    struct addr to;      /* of datagrams */
    uint64_t nonce;
    size_t updates; /* of datagrams and SWIM's frames: how many they carry */
    size_t target;  /* of PING_REQ */
    uint64_t token;
    uint8_t frame;
    enum note_code note;
};

struct mini_stored {
    enum store_table table;
    uint8_t key[32], value[1024];
    size_t key_size, value_size;
};

struct mini {
    core_t *core;
    struct metrics metrics;
    struct core_params params;
    struct mini_peer peer[MINI_PEERS];
    uint64_t now_ns;
    uint64_t batch;
    struct effects fx; /* of the last step */
    struct mini_fx log[MINI_LOG];
    size_t log_count;
    struct buf b;
    bool stopped;
    struct mini_stored stored[MINI_PEERS + 1]; /* what it persisted */
    size_t stored_count;
};

static inline uint64_t mini_hash_more(uint64_t h, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++) {
        h = (h ^ p[i]) * 0x100000001b3U;
    }
    return prng_mix(h);
}

static inline void mini_sign_as(const uint8_t key[32], struct span message, uint8_t *ret_signature)
{
    uint64_t h = mini_hash_more(mini_hash_more(1, key, 32), message.data, message.size);
    memset(ret_signature, 0x5a, SIGNATURE_BYTES);
    memcpy(ret_signature, &h, sizeof h);
}

static inline void mini_sign(void *identity, struct span message, uint8_t *ret_signature)
{
    const struct mini_peer *p = identity;
    mini_sign_as(p->key, message, ret_signature);
}

static inline bool mini_verify(const uint8_t key[32], struct span message, const uint8_t *signature)
{
    uint8_t expected[SIGNATURE_BYTES];
    mini_sign_as(key, message, expected);
    return memcmp(signature, expected, sizeof expected) == 0;
}

static inline void mini_id_of_key(const uint8_t key[32], struct node_id *ret_id)
{
    uint64_t h = mini_hash_more(2, key, 32);
    memcpy(ret_id->b, &h, 8);
    h = prng_mix(h);
    memcpy(ret_id->b + 8, &h, 8);
}

static inline uint64_t mini_hash(struct span message)
{
    return mini_hash_more(3, message.data, message.size);
}

static inline struct addr mini_addr(size_t peer)
{
    return addr_v4(10, 0, (uint8_t) (peer >> 8), (uint8_t) peer, 8471);
}

static inline size_t mini_peer_of(const struct mini *m, const struct node_id *id)
{
    for (size_t i = 0; i < MINI_PEERS; i++) {
        if (node_id_eq(&m->peer[i].id, id)) {
            return i;
        }
    }
    return MINI_PEERS;
}

static inline void mini_store(struct mini *m, const struct store_entry *entry)
{
    size_t i = 0;
    struct mini_stored *s = m->stored;
    while (i < m->stored_count && (s[i].table != entry->table || s[i].key_size != entry->key.size ||
                                   memcmp(s[i].key, entry->key.data, entry->key.size) != 0)) {
        i++;
    }
    assert_true(i < ARRAY_COUNT(m->stored));
    assert_true(entry->key.size <= sizeof s->key && entry->value.size <= sizeof s->value);
    m->stored_count += i == m->stored_count;
    s[i].table = entry->table;
    s[i].key_size = entry->key.size;
    s[i].value_size = entry->value.size;
    memcpy(s[i].key, entry->key.data, entry->key.size);
    memcpy(s[i].value, entry->value.data, entry->value.size);
}

/* What a restarted core is handed. Borrows m. */
static inline size_t mini_entries(const struct mini *m, struct store_entry *ret_entries)
{
    for (size_t i = 0; i < m->stored_count; i++) {
        const struct mini_stored *s = &m->stored[i];
        ret_entries[i].table = s->table;
        ret_entries[i].key = span_of(s->key, s->key_size);
        ret_entries[i].value = span_of(s->value, s->value_size);
    }
    return m->stored_count;
}

static inline size_t mini_updates(const struct swim_msg *msg)
{
    size_t count = 0;
    struct mp_reader r;
    struct swim_update u;
    mp_open(&r, msg->update_bytes);
    while (msg->update_bytes.data != NULL && swim_update_next(&r, &u)) {
        count++;
    }
    return count;
}

static inline void mini_log(struct mini *m, const struct effect *fx)
{
    struct swim_msg msg;
    assert_true(m->log_count < MINI_LOG);
    struct mini_fx *l = &m->log[m->log_count++];
    memset(l, 0, sizeof *l);
    l->at_ns = m->now_ns;
    l->type = fx->type;
    l->peer = MINI_PEERS;
    switch (fx->type) {
    case FX_DATAGRAM:
    case FX_MAIL:
        assert_int_equal(swim_msg_read(fx->as.datagram.body, &msg), HM_OK);
        l->peer = fx->as.datagram.cls == DATAGRAM_PAIR ? mini_peer_of(m, &fx->as.datagram.peer)
                                                       : MINI_PEERS;
        l->swim = msg.type;
        l->to = fx->as.datagram.to;
        l->nonce = msg.nonce;
        l->updates = mini_updates(&msg);
        l->target = mini_peer_of(m, &msg.target);
        break;
    case FX_FRAME:
        l->peer = mini_peer_of(m, &fx->as.frame.peer);
        l->frame = fx->as.frame.type;
        if (l->frame == FRAME_SWIM && swim_msg_read(fx->as.frame.body, &msg) == HM_OK) {
            l->swim = msg.type;
            l->updates = mini_updates(&msg);
        }
        break;
    case FX_DIAL:
    case FX_HANGUP:
        l->peer = mini_peer_of(m, &fx->as.dial.peer);
        break;
    case FX_CONNECT:
        l->peer = mini_peer_of(m, &fx->as.connect.peer);
        l->token = fx->as.connect.token;
        break;
    case FX_PERSIST:
        m->batch = fx->as.persist.batch;
        for (size_t i = 0; i < fx->as.persist.count; i++) {
            mini_store(m, &fx->as.persist.entries[i]);
        }
        break;
    case FX_NOTE:
        l->note = fx->as.note.code;
        break;
    case FX_STOP:
        m->stopped = true;
        break;
    case FX_PEER:
    case FX_PEER_GONE:
    case FX_BEACON:
    case FX_ZRE_HELLO:
    case FX_REPLY:
        break;
    }
}

static inline void mini_step(struct mini *m, struct event *ev)
{
    ev->now_ns = m->now_ns;
    ev->wall_ms = 1700000000000 + m->now_ns / MINI_MS;
    assert_int_equal(core_step(m->core, ev, &m->fx), HM_OK);
    for (size_t i = 0; i < m->fx.count; i++) {
        mini_log(m, &m->fx.items[i]);
    }
}

static inline void mini_hear(struct mini *m, size_t from, enum datagram_class cls,
                             const struct swim_msg *msg)
{
    struct buf b;
    struct event ev = {.type = EV_DATAGRAM};
    buf_init(&b, HM_FRAME_BYTES_MAX);
    swim_msg_write(&b, msg);
    assert_false(buf_failed(&b));
    ev.as.datagram.from = mini_addr(from);
    ev.as.datagram.cls = cls;
    ev.as.datagram.sender = m->peer[from].id;
    ev.as.datagram.session = 1000 + from;
    ev.as.datagram.counter = ++m->peer[from].counter;
    ev.as.datagram.body = buf_span(&b);
    mini_step(m, &ev);
    buf_fini(&b);
}

/* A signed record of a peer. */
static inline struct span mini_record(struct mini *m, size_t peer, uint64_t incarnation,
                                      enum record_state state)
{
    struct node_record rec = {.mesh_tag = mini_hash(span_of("home", 4)),
                              .state = state,
                              .incarnation = incarnation,
                              .addr_count = 1,
                              .addrs = {mini_addr(peer)},
                              .port = mini_addr(peer).port,
                              .link_port = 9000,
                              .version_min = m->peer[peer].version_min,
                              .version_max = m->peer[peer].version_max};
    if (rec.version_max == 0) {
        rec.version_min = rec.version_max = 1;
    }
    memcpy(rec.key, m->peer[peer].key, 32);
    rec.name[0] = 'n';
    rec.name[1] = (char) ('0' + peer / 100);
    rec.name[2] = (char) ('0' + peer / 10 % 10);
    rec.name[3] = (char) ('0' + peer % 10);
    buf_clear(&m->b);
    node_record_write(&m->b, &rec);
    struct span body = buf_span(&m->b);
    uint8_t *signature = buf_extend(&m->b, SIGNATURE_BYTES);
    assert_non_null(signature);
    mini_sign_as(m->peer[peer].key, span_of(m->b.data, body.size), signature);
    return buf_span(&m->b);
}

/* The core of the peer `self`, which has loaded these entries and whose store is durable. Free with
 * mini_free. */
static inline struct mini *mini_new_loaded(const struct core_params *params, size_t self,
                                           const struct store_entry *entries, size_t count)
{
    struct mini *m = calloc(1, sizeof *m);
    struct core_conf conf = {.mesh = "home",
                             .name = "self",
                             .version = "0.1",
                             .session = MINI_SESSION,
                             .port = 8471,
                             .link_port = 9000};
    struct addr own = mini_addr(self);
    struct event addresses = {.type = EV_ADDRESSES, .as.addresses = {&own, 1}};
    struct event loaded = {.type = EV_LOADED, .as.loaded = {entries, count}};
    struct event durable = {.type = EV_DURABLE};
    assert_non_null(m);
    buf_init(&m->b, HM_FRAME_BYTES_MAX);
    for (size_t i = 0; i < MINI_PEERS; i++) {
        memset(m->peer[i].key, (int) (i + 1), 32);
        mini_id_of_key(m->peer[i].key, &m->peer[i].id);
    }
    core_params_default(&m->params);
    m->params = params != NULL ? *params : m->params;
    conf.params = m->params;
    conf.metrics = &m->metrics;
    memcpy(conf.key, m->peer[self].key, 32);
    conf.crypto =
        (struct crypto){&m->peer[self], mini_sign, mini_verify, mini_id_of_key, mini_hash};
    m->core = core_new(&conf, 1);
    assert_non_null(m->core);
    m->now_ns = 10 * MINI_SECOND;
    mini_step(m, &addresses);
    mini_step(m, &loaded);
    durable.as.store.batch = m->batch;
    mini_step(m, &durable);
    return m;
}

static inline struct mini *mini_new(const struct core_params *params)
{
    return mini_new_loaded(params, 0, NULL, 0);
}

static inline void mini_free(struct mini **p)
{
    core_destroy(&(*p)->core);
    buf_fini(&(*p)->b);
    free(*p);
    *p = NULL;
}

/* The message of that type in the last step's effects; false if there is none. */
static inline bool mini_sent(const struct mini *m, enum swim_type type, struct swim_msg *ret_msg)
{
    for (size_t i = 0; i < m->fx.count; i++) {
        const struct effect *fx = &m->fx.items[i];
        if (fx->type == FX_DATAGRAM && swim_msg_read(fx->as.datagram.body, ret_msg) == HM_OK &&
            ret_msg->type == type) {
            return true;
        }
    }
    return false;
}

/* The peer joins: JOIN, CONFIRM of the cookie in the ANSWER, ECHO of the CHALLENGE that follows
 * if its session is not known yet. It is a member then, its session live. */
static inline void mini_meet(struct mini *m, size_t peer, uint64_t incarnation)
{
    struct swim_msg answer, challenge;
    struct swim_msg join = {.type = SWIM_JOIN, .nonce = 5};
    join.record = mini_record(m, peer, incarnation, RECORD_ALIVE);
    mini_hear(m, peer, DATAGRAM_MESH, &join);
    assert_true(mini_sent(m, SWIM_ANSWER, &answer) && answer.echo == 5);
    struct swim_msg confirm = {.type = SWIM_CONFIRM, .echo = answer.nonce};
    confirm.record = mini_record(m, peer, incarnation, RECORD_ALIVE);
    mini_hear(m, peer, DATAGRAM_MESH, &confirm);
    if (mini_sent(m, SWIM_CHALLENGE, &challenge)) {
        struct swim_msg echo = {.type = SWIM_ECHO, .echo = challenge.nonce};
        mini_hear(m, peer, DATAGRAM_PAIR, &echo);
    }
}

/* Peers 1..count join, at incarnation 5, and answer pings. */
static inline void mini_meet_all(struct mini *m, size_t count)
{
    for (size_t i = 1; i <= count; i++) {
        mini_meet(m, i, 5);
        m->peer[i].answers = true;
    }
}

static inline void mini_tell(struct mini *m, size_t from, struct span update)
{
    struct swim_msg msg = {.type = SWIM_GOSSIP, .updates = &update, .update_count = 1};
    mini_hear(m, from, DATAGRAM_PAIR, &msg);
}

static inline void mini_tell_record(struct mini *m, size_t from, size_t about, uint64_t incarnation,
                                    enum record_state state)
{
    struct buf b;
    buf_init(&b, 1000);
    swim_update_write_record(&b, mini_record(m, about, incarnation, state));
    mini_tell(m, from, buf_span(&b));
    buf_fini(&b);
}

/* A claim by `observers` peers: from, from + 1, and so on. */
static inline void mini_tell_claim(struct mini *m, size_t from, enum claim_kind kind, size_t about,
                                   uint64_t incarnation, size_t observers)
{
    struct buf b;
    struct claim claim = {.kind = kind,
                          .target = m->peer[about].id,
                          .incarnation = incarnation,
                          .reason = REASON_NO_ACK,
                          .observer_count = observers};
    for (size_t i = 0; i < observers; i++) {
        claim.observers[i] = m->peer[from + i].id;
    }
    buf_init(&b, 1000);
    swim_update_write_claim(&b, &claim);
    mini_tell(m, from, buf_span(&b));
    buf_fini(&b);
}

static inline bool mini_view(const struct mini *m, size_t peer, struct member_view *ret_view)
{
    for (size_t i = 0; i < core_member_count(m->core); i++) {
        core_member_at(m->core, i, ret_view);
        if (node_id_eq(&ret_view->id, &m->peer[peer].id)) {
            return true;
        }
    }
    return false;
}

static inline enum member_status mini_status(const struct mini *m, size_t peer)
{
    struct member_view view;
    assert_true(mini_view(m, peer, &view));
    return view.status;
}

/* Answers what was logged since `from`: acks of answering peers, outcomes of connects. */
static inline void mini_react(struct mini *m, size_t from)
{
    for (size_t i = from; i < m->log_count; i++) {
        struct mini_fx l = m->log[i];
        if (l.type == FX_DATAGRAM && l.swim == SWIM_PING && l.peer < MINI_PEERS &&
            m->peer[l.peer].answers) {
            struct swim_msg ack = {.type = SWIM_ACK, .echo = l.nonce};
            struct core_status status;
            core_status(m->core, &status);
            ack.view_hash = status.view_hash;
            mini_hear(m, l.peer, DATAGRAM_PAIR, &ack);
        } else if (l.type == FX_CONNECT && (m->peer[l.peer].refuses || m->peer[l.peer].connects)) {
            struct event ev = {.type = EV_CONNECT};
            ev.as.connect.peer = m->peer[l.peer].id;
            ev.as.connect.token = l.token;
            ev.as.connect.outcome = m->peer[l.peer].refuses ? CONNECT_REFUSED : CONNECT_OPEN;
            mini_step(m, &ev);
        }
    }
}

/* Ticks at each deadline until that time, peers reacting at once. */
static inline void mini_run(struct mini *m, uint64_t for_ns)
{
    uint64_t until_ns = m->now_ns + for_ns;
    while (!m->stopped && core_deadline_ns(m->core) <= until_ns) {
        struct event tick = {.type = EV_TICK};
        size_t from = m->log_count;
        uint64_t deadline = core_deadline_ns(m->core);
        m->now_ns = deadline > m->now_ns ? deadline : m->now_ns;
        mini_step(m, &tick);
        assert_true(core_deadline_ns(m->core) > m->now_ns);
        mini_react(m, from);
    }
    m->now_ns = until_ns;
}

static inline size_t mini_count(const struct mini *m, enum effect_type type, enum swim_type swim,
                                size_t peer)
{
    size_t count = 0;
    for (size_t i = 0; i < m->log_count; i++) {
        const struct mini_fx *l = &m->log[i];
        count += l->type == type && (type != FX_DATAGRAM || l->swim == swim) &&
                 (peer == MINI_PEERS || l->peer == peer);
    }
    return count;
}

#endif
