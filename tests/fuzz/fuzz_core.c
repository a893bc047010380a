/* SPDX-License-Identifier: MPL-2.0 */
/* The whole core, with the real handlers of operations, driven by a script that is the input.
 *
 * The world around it knows eight identities, whose signatures it can make (the core's crypto is
 * a keyed hash here), remembers the nonces that the core sent, so that handshakes can be
 * completed, and the entries that it stored, so that it can be restarted. What the script sends
 * in their names is well-formed, half right or raw bytes, at its choice. Promises checked after
 * each step:
 *
 *     the step succeeds; no tick leaves a deadline that is already over
 *     nothing is sent before the store is durable; no counter is used twice under one key
 *     every effect is within its limits and readable; a call is answered once
 *     the roster is in order, its counts add up, self is alive, event numbers rise
 *     memory stays bounded (AddressSanitizer builds)
 *
 * Only the driver's part of the contract is kept: time does not run backwards, EV_LOADED comes
 * first. */
#include "fuzz.h"

#include "base/err.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/omap.h"
#include "base/prng.h"
#include "base/text.h"
#include "core/core.h"
#include "core/fold.h"
#include "core/vector.h"
#include "ops/ops_dispatch.h"
#include "wire/api_msg.h"
#include "wire/entry_msg.h"
#include "wire/mpack.h"
#include "wire/record_msg.h"
#include "wire/registry_msg.h"
#include "wire/swim_msg.h"
#include "wire/sync_msg.h"

#if defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define HAS_ASAN 1
#    endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#    define HAS_ASAN 1
#endif
#ifdef HAS_ASAN
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

#define PEERS 8   /* 0 is the core itself */
#define NONCES 16 /* remembered of those that the core sent */
#define STEPS_MAX 400
#define STORED_MAX 64
#define MEMORY_MAX                                                                                 \
    (24u << 20) /* measured: below 1 MiB with so few members; blocks of effects more */
#define EFFECT_BYTES_MAX (16u << 20)
#define MESH_TAG_OF "home"

struct peer {
    uint8_t key[32];
    struct node_id id;
    uint64_t incarnation;  /* last one that the script used */
    uint64_t counter;      /* of its datagrams */
    uint64_t core_counter; /* highest that the core used towards it */
    bool is_known;         /* FX_PEER was given */
};

struct stored {
    enum store_table table;
    size_t key_size, value_size;
    uint8_t key[32];
    uint8_t value[HM_LABELS_BYTES_MAX + 1024];
};

struct world {
    core_t *core;
    struct input in;
    struct metrics metrics;
    struct ops ops;
    struct peer peer[PEERS];
    uint64_t mesh_counter;
    uint64_t now_ns, wall_ms;
    uint64_t session; /* of the core's process */
    uint64_t nonce[NONCES];
    size_t nonce_count;
    uint64_t connect_token;
    uint64_t batch;  /* last one handed over */
    bool is_durable; /* the first one is */
    bool was_leaving;
    bool stopped;
    uint64_t call_number;
    uint64_t last_remote_call;
    uint64_t open_calls[256]; /* clients that wait for an answer */
    size_t open_call_count;
    struct stored *stored;
    size_t stored_count;
    omap_t *disk; /* all of it, as the view shows it: the table in front of each key */
    struct buf body, scratch, updates;
    uint64_t checksum; /* of all that effects point to, so that it is read */
    size_t memory_before;
};

/* ---- crypto: a hash that anyone can compute; the script decides who lies
 * ----------------------- */

static uint64_t hash_bytes(uint64_t h, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++) {
        h = (h ^ p[i]) * 0x100000001b3U;
    }
    return prng_mix(h);
}

static void sign_as(const uint8_t key[32], struct span message, uint8_t *ret_signature)
{
    uint64_t h = hash_bytes(hash_bytes(1, key, 32), message.data, message.size);
    memset(ret_signature, 0x5a, SIGNATURE_BYTES);
    memcpy(ret_signature, &h, sizeof h);
}

static void core_sign(void *identity, struct span message, uint8_t ret_signature[SIGNATURE_BYTES])
{
    const struct peer *p = identity;
    sign_as(p->key, message, ret_signature);
}

static bool core_verify(const uint8_t key[32], struct span message,
                        const uint8_t signature[SIGNATURE_BYTES])
{
    uint8_t expected[SIGNATURE_BYTES];
    sign_as(key, message, expected);
    return memcmp(signature, expected, sizeof expected) == 0;
}

static void core_id_of_key(const uint8_t key[32], struct node_id *ret_id)
{
    uint64_t h = hash_bytes(2, key, 32);
    memcpy(ret_id->b, &h, 8);
    h = prng_mix(h);
    memcpy(ret_id->b + 8, &h, 8);
}

static uint64_t core_hash(struct span message)
{
    return hash_bytes(3, message.data, message.size);
}

static struct addr addr_of(size_t peer)
{
    return addr_v4(10, 0, 0, (uint8_t) (1 + peer), (uint16_t) (8471 + peer));
}

/* ---- what the script can write
 * ----------------------------------------------------------------- */

static struct peer *choose_peer(struct world *w)
{
    return &w->peer[in_u8(&w->in) % PEERS];
}

/* An incarnation: near the last one, or anything. */
static uint64_t choose_incarnation(struct world *w, const struct peer *p)
{
    uint8_t choice = in_u8(&w->in);
    if (choice < 200) {
        return p->incarnation + choice % 4;
    }
    return choice < 220 ? in_u8(&w->in) : in_u64(&w->in);
}

/* A nonce that the core sent, or anything. */
static uint64_t choose_nonce(struct world *w)
{
    uint8_t choice = in_u8(&w->in);
    if (choice < 240 && w->nonce_count > 0) {
        return w->nonce[(w->nonce_count - 1 - choice % NONCES) % NONCES];
    }
    return in_u64(&w->in);
}

/* Signs the body in b; now and then a wrong signature. */
static void sign_body(struct world *w, const struct peer *p, struct buf *b)
{
    size_t size = b->size;
    uint8_t *signature = buf_extend(b, SIGNATURE_BYTES);
    if (signature != NULL) {
        sign_as(p->key, span_of(b->data, size), signature);
        signature[0] ^= in_u8(&w->in) > 250 ? 1 : 0;
    }
}

static void write_labels(struct world *w, const struct peer *p, struct buf *b)
{
    char value[2] = {(char) ('a' + in_u8(&w->in) % 4), '\0'};
    struct labels_record rec = {.mesh_tag = core_hash(span_of(MESH_TAG_OF, 4)), .version = "0.1"};
    struct buf map;
    memcpy(rec.key, p->key, sizeof rec.key);
    buf_init(&map, 100);
    mp_map(&map, 1);
    mp_str(&map, "role");
    mp_str(&map, value);
    rec.labels = buf_span(&map);
    labels_record_write(b, &rec);
    sign_body(w, p, b);
    buf_fini(&map);
}

static void write_record(struct world *w, struct peer *p, struct buf *b)
{
    uint8_t flags = in_u8(&w->in);
    size_t idx = (size_t) (p - w->peer);
    struct node_record rec = {.mesh_tag = core_hash(span_of(MESH_TAG_OF, 4)),
                              .state = (flags & 1) != 0 ? RECORD_LEFT : RECORD_ALIVE,
                              .incarnation = choose_incarnation(w, p),
                              .port = addr_of(idx).port,
                              .link_port = 9000,
                              .version_min = 1,
                              .version_max = 1};
    struct buf labels;
    p->incarnation = rec.incarnation < 1000000 ? rec.incarnation : p->incarnation;
    memcpy(rec.key, p->key, sizeof rec.key);
    memcpy(rec.name, (flags & 2) != 0 ? "twin" : "node", 5);
    rec.addr_count = (flags & 4) != 0 ? 0 : 1;
    rec.addrs[0] = addr_of(idx);
    if ((flags & 8) != 0) {
        rec.addr_count = 2;
        in_fill(&w->in, rec.addrs[1].ip, 4);
        rec.addrs[1].family = 4;
    }
    rec.mesh_tag ^= (flags & 0xf0) == 0xf0 ? 1 : 0;
    buf_init(&labels, HM_LABELS_BYTES_MAX);
    write_labels(w, p, &labels);
    rec.labels_hash = core_hash(buf_span(&labels));
    buf_fini(&labels);
    node_record_write(b, &rec);
    sign_body(w, p, b);
}

static void write_claim(struct world *w, struct buf *b)
{
    struct peer *target = choose_peer(w);
    struct buf record;
    uint8_t flags = in_u8(&w->in);
    struct claim claim = {.kind = (enum claim_kind)(1 + flags % 3),
                          .target = target->id,
                          .incarnation = choose_incarnation(w, target),
                          .reason = in_u8(&w->in),
                          .observer_count = in_u8(&w->in) % (HM_OBSERVERS_MAX + 1)};
    for (size_t i = 0; i < claim.observer_count; i++) {
        claim.observers[i] = choose_peer(w)->id;
    }
    buf_init(&record, HM_RECORD_BYTES_MAX);
    if ((flags & 0x40) != 0) {
        write_record(w, target, &record);
        claim.record = buf_span(&record);
    }
    swim_update_write_claim(b, &claim);
    buf_fini(&record);
}

/* Up to five updates into w->updates; returns how many. */
static size_t write_updates(struct world *w)
{
    size_t count = in_u8(&w->in) % 6;
    buf_clear(&w->updates);
    for (size_t i = 0; i < count; i++) {
        struct buf record;
        uint8_t choice = in_u8(&w->in);
        if (choice < 110) {
            write_claim(w, &w->updates);
        } else if (choice < 230) {
            buf_init(&record, HM_RECORD_BYTES_MAX);
            write_record(w, choose_peer(w), &record);
            swim_update_write_record(&w->updates, buf_span(&record));
            buf_fini(&record);
        } else {
            struct span raw = in_bytes(&w->in, in_u8(&w->in));
            buf_append(&w->updates, raw.data, raw.size);
        }
    }
    return count;
}

static void write_swim(struct world *w, struct peer *p, struct buf *b)
{
    struct buf record;
    struct span updates;
    struct core_status status;
    uint8_t type = in_u8(&w->in);
    struct swim_msg msg = {.type = (enum swim_type)(1 + type % SWIM_DIAL),
                           .nonce = in_u8(&w->in),
                           .echo = choose_nonce(w),
                           .target = choose_peer(w)->id};
    core_status(w->core, &status);
    msg.view_hash = in_u8(&w->in) < 128 ? status.view_hash : in_u8(&w->in);
    in_fill(&w->in, &msg.coord, in_u8(&w->in) % (sizeof msg.coord + 1));
    buf_init(&record, HM_RECORD_BYTES_MAX);
    if (msg.type <= SWIM_CONFIRM) {
        write_record(w, p, &record);
        msg.record = buf_span(&record);
    }
    size_t count = write_updates(w);
    updates = buf_span(&w->updates);
    msg.updates = &updates;
    msg.update_count = 1;
    buf_clear(&w->scratch);
    swim_msg_write(&w->scratch, &msg);
    buf_append(b, w->scratch.data, w->scratch.size);
    /* The array of updates was written as if it had one element: its count is corrected, which
     * is right because the updates stand last and their head has one byte. */
    bool has_updates = msg.type == SWIM_ANSWER || msg.type == SWIM_ECHO || msg.type == SWIM_PING ||
                       msg.type == SWIM_ACK || msg.type == SWIM_PING_REQ || msg.type == SWIM_GOSSIP;
    if (has_updates && !buf_failed(b) && b->size > updates.size) {
        b->data[b->size - updates.size - 1] = (uint8_t) (0x90 + count);
    }
    buf_fini(&record);
}

static void write_digest(struct world *w, struct buf *b)
{
    uint8_t digest[PEERS * DIGEST_ENTRY_BYTES];
    size_t size = 0;
    uint8_t mask = in_u8(&w->in);
    for (size_t i = 0; i < PEERS; i++) { /* the peers stand in order of their ids */
        struct digest_entry entry = {.id = w->peer[i].id, .cls = DIGEST_ALIVE};
        if ((mask >> i & 1) != 0) {
            entry.incarnation = choose_incarnation(w, &w->peer[i]);
            entry.cls = (enum digest_class)(1 + in_u8(&w->in) % 3);
            sync_digest_put(digest + size, &entry);
            size += DIGEST_ENTRY_BYTES;
        }
    }
    struct sync_msg msg = {
        .view_hash = in_u8(&w->in), .has_digest = mask != 0, .digest = span_of(digest, size)};
    sync_msg_write(b, &msg);
}

/* A list of ids, the same ones as often as it likes. */
static struct span write_ids(struct world *w)
{
    size_t count = in_u8(&w->in) % 40;
    size_t times = in_u8(&w->in) > 240 ? 400 : 1;
    buf_clear(&w->scratch);
    for (size_t i = 0; i < count * times; i++) {
        const struct node_id *id = times > 1 ? &w->peer[i % PEERS].id : &choose_peer(w)->id;
        buf_append(&w->scratch, id->b, sizeof id->b);
    }
    return buf_span(&w->scratch);
}

static void write_request(struct world *w, struct buf *b)
{
    static const char *const ops[] = {"status",  "nodes.list", "nodes.show", "nodes.events",
                                      "events",  "rtt",        "token",      "metrics",
                                      "version", "leave",      "no.such"};
    static const char *const keys[] = {"node",  "after", "follow", "wait", "wait_ms",
                                       "limit", "since", "status", "name", "seq"};
    static const char *const nodes[] = {"", "", "node", "twin", "self", "ffff", "nobody"};
    struct api_request q = {.deadline_ms = in_u8(&w->in)};
    struct buf args;
    uint8_t choice = in_u8(&w->in);
    /* leave ends the run, so it comes seldom */
    const char *op = ops[choice > 250 ? 9 : choice % 9];
    const char *node = nodes[in_u8(&w->in) % (sizeof nodes / sizeof nodes[0])];
    memcpy(q.op, op, strlen(op) + 1);
    memcpy(q.node, node, strlen(node) + 1);
    buf_init(&args, 2000);
    size_t count = in_u8(&w->in) % 4;
    mp_map(&args, count);
    for (size_t i = 0; i < count; i++) {
        mp_str(&args, keys[in_u8(&w->in) % (sizeof keys / sizeof keys[0])]);
        switch (in_u8(&w->in) % 4) {
        case 0:
            mp_uint(&args, in_u8(&w->in));
            break;
        case 1:
            mp_bool(&args, true);
            break;
        case 2:
            mp_str(&args, nodes[in_u8(&w->in) % (sizeof nodes / sizeof nodes[0])]);
            break;
        default: {
            struct span raw = in_bytes(&w->in, in_u8(&w->in) % 64);
            mp_strn(&args, raw.data, raw.size);
            break;
        }
        }
    }
    q.args = buf_span(&args);
    api_request_write(b, &q);
    buf_fini(&args);
}

/* ---- what the core may do
 * ---------------------------------------------------------------------- */

static void read_all(struct world *w, struct span s)
{
    w->checksum = hash_bytes(w->checksum, s.data, s.size);
}

static struct peer *peer_of(struct world *w, const struct node_id *id)
{
    for (size_t i = 0; i < PEERS; i++) {
        if (node_id_eq(&w->peer[i].id, id)) {
            return &w->peer[i];
        }
    }
    FUZZ_ASSERT(!"an effect for a node that nobody can have told of");
    return NULL;
}

static void remember_nonce(struct world *w, uint64_t nonce)
{
    w->nonce[w->nonce_count++ % NONCES] = nonce;
}

static void check_swim(struct world *w, struct span body, enum datagram_class cls)
{
    struct swim_msg msg;
    struct swim_update u;
    struct mp_reader r;
    FUZZ_ASSERT(swim_msg_read(body, &msg) == HM_OK);
    FUZZ_ASSERT((msg.type <= SWIM_CONFIRM) == (cls == DATAGRAM_MESH));
    if (msg.nonce != 0) {
        remember_nonce(w, msg.nonce);
    }
    if (msg.update_bytes.data != NULL) {
        mp_open(&r, msg.update_bytes);
        while (swim_update_next(&r, &u)) {
            FUZZ_ASSERT(u.kind != UPDATE_CLAIM || u.claim.observer_count > 0);
        }
        FUZZ_ASSERT(!mp_failed(&r));
    }
}

static void check_datagram(struct world *w, const struct effect *fx)
{
    uint64_t counter = fx->as.datagram.counter;
    FUZZ_ASSERT(w->is_durable);
    FUZZ_ASSERT(fx->as.datagram.body.size <= DATAGRAM_BODY_BYTES_MAX);
    FUZZ_ASSERT(!addr_is_none(&fx->as.datagram.to) && fx->as.datagram.to.port != 0);
    FUZZ_ASSERT(fx->as.datagram.session == w->session);
    if (fx->as.datagram.cls == DATAGRAM_PAIR) {
        struct peer *p = peer_of(w, &fx->as.datagram.peer);
        FUZZ_ASSERT(p->is_known && counter > p->core_counter);
        p->core_counter = counter;
    } else {
        FUZZ_ASSERT(fx->as.datagram.cls == DATAGRAM_MESH && counter > w->mesh_counter);
        w->mesh_counter = counter;
    }
    check_swim(w, fx->as.datagram.body, fx->as.datagram.cls);
}

static void check_frame(struct world *w, const struct effect *fx)
{
    struct mp_reader r;
    struct span body = fx->as.frame.body;
    FUZZ_ASSERT(peer_of(w, &fx->as.frame.peer)->is_known);
    FUZZ_ASSERT(body.size + FRAME_HEAD_BYTES <= HM_FRAME_BYTES_MAX);
    switch (fx->as.frame.type) {
    case FRAME_SWIM:
        check_swim(w, body, DATAGRAM_PAIR);
        break;
    case FRAME_CALL:
        mp_open(&r, body);
        mp_read_array(&r);
        w->last_remote_call = mp_read_uint(&r, UINT64_MAX);
        FUZZ_ASSERT(!mp_failed(&r));
        break;
    default:
        FUZZ_ASSERT(mp_check(body) == HM_OK);
        break;
    }
}

static void check_reply(struct world *w, const struct effect *fx)
{
    struct api_reply reply;
    size_t i = 0;
    FUZZ_ASSERT(api_reply_read(fx->as.reply.body, &reply) == HM_OK);
    FUZZ_ASSERT(fx->as.reply.body.size <= HM_FRAME_BYTES_MAX);
    while (i < w->open_call_count && w->open_calls[i] != fx->as.reply.client) {
        i++;
    }
    FUZZ_ASSERT(i < w->open_call_count); /* asked, and not answered before */
    w->open_calls[i] = w->open_calls[--w->open_call_count];
}

static void store(struct world *w, const struct store_entry *entry)
{
    size_t i = 0;
    struct stored *s = w->stored;
    FUZZ_ASSERT(entry->key.size > 0 && entry->key.size <= sizeof s->key);
    FUZZ_ASSERT(entry->value.size <= sizeof s->value);
    while (i < w->stored_count &&
           (s[i].table != entry->table || !span_eq(span_of(s[i].key, s[i].key_size), entry->key))) {
        i++;
    }
    if (i == w->stored_count) {
        FUZZ_ASSERT(w->stored_count < STORED_MAX);
        w->stored_count++;
    }
    s[i].table = entry->table;
    s[i].key_size = entry->key.size;
    s[i].value_size = entry->value.size;
    memcpy(s[i].key, entry->key.data, entry->key.size);
    memcpy(s[i].value, entry->value.data, entry->value.size);
}

#define DISK_KEY_BYTES 600

static struct span disk_key(uint8_t *to, enum store_table table, struct span key)
{
    FUZZ_ASSERT(key.size < DISK_KEY_BYTES);
    to[0] = (uint8_t) table;
    if (key.size > 0) {
        memcpy(to + 1, key.data, key.size);
    }
    return span_of(to, key.size + 1);
}

static bool disk_get(void *ctx, enum store_table table, struct span key, struct span *ret_value)
{
    const struct world *w = ctx;
    uint8_t full[DISK_KEY_BYTES];
    return omap_get(w->disk, disk_key(full, table, key), ret_value, NULL);
}

static bool disk_next(void *ctx, enum store_table table, struct span from, bool inclusive,
                      struct span *ret_key, struct span *ret_value)
{
    const struct world *w = ctx;
    uint8_t full[DISK_KEY_BYTES];
    struct span key;
    if (!omap_next(w->disk, disk_key(full, table, from), inclusive, &key, ret_value, NULL) ||
        key.data[0] != (uint8_t) table) {
        return false;
    }
    *ret_key = span_of(key.data + 1, key.size - 1);
    return true;
}

static void put_on_disk(struct world *w, const struct store_entry *e)
{
    uint8_t full[DISK_KEY_BYTES];
    struct span key = disk_key(full, e->table, e->key);
    if (e->value.data == NULL) {
        omap_remove(w->disk, key);
    } else {
        FUZZ_ASSERT(omap_put(w->disk, key, e->value, 0) == HM_OK);
    }
}

static void check_persist(struct world *w, const struct effect *fx)
{
    FUZZ_ASSERT(fx->as.persist.batch == w->batch + 1 && fx->as.persist.count > 0);
    w->batch = fx->as.persist.batch;
    for (size_t i = 0; i < fx->as.persist.count; i++) {
        const struct store_entry *e = &fx->as.persist.entries[i];
        put_on_disk(w, e);
        if (e->table <= STORE_ROSTER) {
            FUZZ_ASSERT(e->value.data == NULL || mp_check(e->value) == HM_OK);
            store(w, e);
        }
    }
}

static void check_note(const struct note *note)
{
    struct note_text text;
    FUZZ_ASSERT(memchr(note->name, '\0', sizeof note->name) != NULL);
    FUZZ_ASSERT(memchr(note->observer_name, '\0', sizeof note->observer_name) != NULL);
    note_format(note, &text);
    FUZZ_ASSERT(strlen(text.message) > 0 && text.field_count <= NOTE_FIELDS_MAX);
    FUZZ_ASSERT(strlen(note_code_name(note->code)) > 0 && reason_name(note->reason) != NULL);
}

static void check_effect(struct world *w, const struct effect *fx)
{
    FUZZ_ASSERT(!w->stopped);
    switch (fx->type) {
    case FX_PEER:
        peer_of(w, &fx->as.peer.id)->is_known = true;
        break;
    case FX_PEER_GONE:
        peer_of(w, &fx->as.peer.id)->is_known = false;
        break;
    case FX_DATAGRAM:
    case FX_MAIL:
        read_all(w, fx->as.datagram.body);
        check_datagram(w, fx);
        break;
    case FX_FRAME:
        read_all(w, fx->as.frame.body);
        check_frame(w, fx);
        break;
    case FX_DIAL:
        FUZZ_ASSERT(w->is_durable && peer_of(w, &fx->as.dial.peer)->is_known);
        FUZZ_ASSERT(!addr_is_none(&fx->as.dial.to) && fx->as.dial.to.port != 0);
        break;
    case FX_HANGUP:
        peer_of(w, &fx->as.dial.peer);
        break;
    case FX_CONNECT:
        FUZZ_ASSERT(fx->as.connect.token > w->connect_token);
        FUZZ_ASSERT(!addr_is_none(&fx->as.connect.to) && fx->as.connect.to.port != 0);
        w->connect_token = fx->as.connect.token;
        break;
    case FX_BEACON:
        FUZZ_ASSERT(w->is_durable);
        break;
    case FX_ZRE_HELLO:
        FUZZ_ASSERT(!addr_is_none(&fx->as.zre_hello.to));
        break;
    case FX_PERSIST:
        check_persist(w, fx);
        break;
    case FX_REPLY:
        read_all(w, fx->as.reply.body);
        check_reply(w, fx);
        break;
    case FX_NOTE:
        check_note(&fx->as.note);
        break;
    case FX_STOP:
        w->stopped = true;
        break;
    }
}

static void check_view(struct world *w)
{
    struct core_status status;
    struct member_view view, last, found;
    size_t count = core_member_count(w->core);
    size_t selves = 0;
    core_status(w->core, &status);
    FUZZ_ASSERT(count <= PEERS);
    FUZZ_ASSERT(status.alive + status.suspect + status.failed + status.left == count);
    FUZZ_ASSERT(status.links < PEERS && status.health <= 8);
    FUZZ_ASSERT(status.calls_waiting <= HM_CALLS_MAX && status.candidates <= HM_CANDIDATES_MAX);
    for (size_t i = 0; i < count; i++) {
        core_member_at(w->core, i, &view);
        FUZZ_ASSERT(i == 0 || node_id_cmp(&last.id, &view.id) < 0);
        FUZZ_ASSERT(strlen(view.name) > 0 && view.incarnation < UINT64_MAX);
        FUZZ_ASSERT(view.labels.data == NULL || mp_check(view.labels) == HM_OK);
        FUZZ_ASSERT(!view.is_self || view.status == STATUS_ALIVE);
        FUZZ_ASSERT(view.is_self || view.status != STATUS_ALIVE || peer_of(w, &view.id)->is_known);
        selves += view.is_self;
        last = view;
    }
    FUZZ_ASSERT(selves == 1);
    if (count > 0) {
        core_member_find(w->core, "node", &found);
    }
}

static void check_events(struct world *w)
{
    uint64_t seq = 0;
    size_t count = 0;
    const struct member_event *ev;
    while ((ev = core_event_after(w->core, seq)) != NULL) {
        FUZZ_ASSERT(ev->seq > seq && ev->seq <= core_event_last_seq(w->core));
        FUZZ_ASSERT(memchr(ev->name, '\0', sizeof ev->name) != NULL);
        seq = ev->seq;
        count++;
    }
    FUZZ_ASSERT(count <= HM_EVENTS_MAX);
}

static void step(struct world *w, struct event *ev)
{
    struct effects fx;
    size_t bytes = 0;
    ev->now_ns = w->now_ns;
    ev->wall_ms = w->wall_ms;
    FUZZ_ASSERT(core_step(w->core, ev, &fx) == HM_OK);
    for (size_t i = 0; i < fx.count; i++) {
        check_effect(w, &fx.items[i]);
        bytes += fx.items[i].type == FX_FRAME ? fx.items[i].as.frame.body.size : 0;
    }
    FUZZ_ASSERT(fx.count < 2000 && bytes <= EFFECT_BYTES_MAX);
    FUZZ_ASSERT(ev->type != EV_TICK || core_deadline_ns(w->core) > w->now_ns);
    if (ev->type != EV_ADDRESSES || w->batch > 0) {
        check_view(w);
    }
#ifdef HAS_ASAN
    FUZZ_ASSERT(__sanitizer_get_current_allocated_bytes() < w->memory_before + MEMORY_MAX);
#endif
}

/* ---- the script
 * -------------------------------------------------------------------------------- */

static void do_time(struct world *w)
{
    struct event ev = {.type = EV_TICK};
    uint8_t choice = in_u8(&w->in);
    uint64_t deadline = core_deadline_ns(w->core);
    if (choice < 180 && deadline != TIMER_NEVER) {
        w->now_ns = deadline > w->now_ns ? deadline : w->now_ns;
    } else if (choice < 250) {
        w->now_ns += (uint64_t) in_u16(&w->in) * 1000000; /* perhaps late */
    } else {
        w->now_ns += in_number(&w->in, 3) * 1000000000; /* asleep for months */
    }
    w->wall_ms += choice;
    step(w, &ev);
}

static void do_datagram(struct world *w, bool is_raw)
{
    struct peer *p = choose_peer(w);
    uint8_t flags = in_u8(&w->in);
    struct event ev = {.type = EV_DATAGRAM};
    ev.as.datagram.cls = (flags & 1) != 0 ? DATAGRAM_PAIR : DATAGRAM_MESH;
    ev.as.datagram.from = addr_of((flags & 2) != 0 ? in_u8(&w->in) : (size_t) (p - w->peer));
    ev.as.datagram.by_mail = (flags & 0x80) != 0;
    ev.as.datagram.sender = p->id;
    ev.as.datagram.session = 1 + (flags >> 2 & 3); /* a few lives of each */
    ev.as.datagram.counter = (flags & 0x40) != 0 ? in_u16(&w->in) : ++p->counter;
    buf_clear(&w->body);
    if (is_raw) {
        struct span raw = in_bytes(&w->in, in_u8(&w->in));
        buf_append(&w->body, raw.data, raw.size);
    } else {
        write_swim(w, p, &w->body);
    }
    if (ev.as.datagram.cls == DATAGRAM_PAIR && !p->is_known && p != &w->peer[0]) {
        return; /* its driver could not have opened it */
    }
    struct span exact = fuzz_copy(buf_span(&w->body));
    ev.as.datagram.body = exact;
    step(w, &ev);
    fuzz_free(exact);
}

/* ---- frames of the registry ------------------------------------------------------------------ */

static struct origin choose_origin(struct world *w)
{
    uint8_t choice = in_u8(&w->in);
    return (struct origin){.node = choose_peer(w)->id, .boots = choice % 3, .random = choice / 128};
}

static struct dot choose_dot(struct world *w)
{
    struct dot dot = {choose_origin(w), 0};
    uint8_t choice = in_u8(&w->in);
    dot.seq = choice < 250 ? 1U + choice % 8 : ENTRY_SEQ_MAX - choice % 8;
    return dot;
}

static struct span choose_key(struct world *w, char *to, size_t max)
{
    static const char *const shapes[] = {"kv/a", "kv/b", "kv/a\001x", "svc/%s/web", "node/%s/seen",
                                         "removed/%s", "sub/%s/q", "kv/a/b"};
    char hex[NODE_ID_TEXT_BYTES];
    const char *shape = shapes[in_u8(&w->in) % 8];
    text_hex(choose_peer(w)->id.b, NODE_ID_BYTES, hex);
    const char *at = strstr(shape, "%s");
    snprintf(to, max, "%.*s%s%s", at == NULL ? (int) strlen(shape) : (int) (at - shape), shape,
             at == NULL ? "" : hex, at == NULL ? "" : at + 2);
    return span_of(to, strlen(to));
}

static void write_entry(struct world *w, struct buf *b)
{
    char key[128];
    uint8_t flags = in_u8(&w->in);
    uint8_t signature[SIGNATURE_BYTES];
    struct buf context, body, message, value;
    struct dot seen = choose_dot(w);
    struct entry e = {.key = choose_key(w, key, sizeof key), .type = 1 + flags % 3,
                      .dot = choose_dot(w), .lamport = in_u8(&w->in) % 4,
                      .is_deleted = (flags & 8) != 0, .context_count = (flags & 16) != 0};
    buf_init(&context, 4096);
    buf_init(&body, 65536);
    buf_init(&message, 65536);
    buf_init(&value, 4096);
    if (e.context_count > 0) {
        context_write(&context, &seen);
    }
    e.context = buf_span(&context);
    mp_uint(&value, flags);
    e.value = e.is_deleted ? span_of(NULL, 0) : buf_span(&value);
    entry_body_write(&body, &e);
    buf_append(&message, ENTRY_SIGN_CONTEXT, strlen(ENTRY_SIGN_CONTEXT));
    uint8_t *tag = buf_extend(&message, 8);
    be_put(tag, core_hash(span_of(MESH_TAG_OF, strlen(MESH_TAG_OF))), 8);
    buf_append(&message, body.data, body.size);
    const struct peer *signer = (flags & 32) != 0 ? choose_peer(w) : peer_of(w, &e.dot.origin.node);
    sign_as(signer->key, buf_span(&message), signature);
    entry_write(b, buf_span(&body),
                (flags & 64) != 0 ? span_of(NULL, 0) : span_of(signature, sizeof signature));
    buf_fini(&context);
    buf_fini(&body);
    buf_fini(&message);
    buf_fini(&value);
}

static struct reg_entries write_entries(struct world *w, struct buf *list)
{
    struct reg_entries entries = {.count = in_u8(&w->in) % 4};
    struct buf one;
    buf_init(&one, HM_ENTRY_BYTES_MAX);
    for (size_t i = 0; i < entries.count; i++) {
        buf_clear(&one);
        write_entry(w, &one);
        reg_entry_append(list, buf_span(&one));
    }
    buf_fini(&one);
    entries.bytes = buf_span(list);
    return entries;
}

static void write_vector(struct world *w, struct buf *b)
{
    struct vector v;
    uint8_t choice = in_u8(&w->in);
    vector_init(&v);
    for (uint8_t i = choice % 5; i > 0; i--) {
        struct dot dot = choose_dot(w);
        uint64_t last = dot.seq < 100 ? dot.seq + in_u8(&w->in) % 4 : dot.seq;
        (void) vector_add_run(&v, &dot.origin, (struct run){dot.seq, last});
    }
    if (choice < 128) {
        vector_write(b, &v);
    } else {
        FUZZ_ASSERT(fold_tell(b, &v, core_hash, NULL) == HM_OK);
    }
    vector_fini(&v);
}

static void write_folds(struct world *w, struct buf *b)
{
    struct fold folds[3];
    struct fold_list list = {.items = folds, .count = in_u8(&w->in) % 4U};
    for (size_t i = 0; i < list.count; i++) {
        struct dot dot = choose_dot(w);
        folds[i] = (struct fold){dot.origin.node, dot.origin.boots + 1, in_u8(&w->in) % 3,
                                 in_u8(&w->in)};
    }
    fold_list_write(b, &list);
}

static void write_dots(struct world *w, struct buf *b)
{
    for (uint8_t i = in_u8(&w->in) % 4; i > 0; i--) {
        struct dot dot = choose_dot(w);
        reg_dot_append(b, &dot);
    }
}

static void write_registry_body(struct world *w, uint8_t type)
{
    struct buf list, vector;
    char key[128];
    uint64_t pass = in_u8(&w->in) % 8;
    buf_init(&list, HM_FRAME_BYTES_MAX);
    buf_init(&vector, HM_FRAME_BYTES_MAX);
    if (type == FRAME_REG_PUSH) {
        struct reg_entries entries = write_entries(w, &list);
        reg_push_write(&w->body, &entries);
    } else if (type == FRAME_REG_ASK) {
        write_vector(w, &vector);
        struct reg_ask msg = {pass, (uint8_t) (1 + in_u8(&w->in) % 3), buf_span(&vector),
                              in_u8(&w->in)};
        reg_ask_write(&w->body, &msg);
    } else if (type == FRAME_REG_MORE) {
        struct reg_more msg = {pass, in_u8(&w->in) % 4};
        reg_more_write(&w->body, &msg);
    } else if (type == FRAME_REG_CHUNK) {
        uint8_t flags = in_u8(&w->in);
        write_vector(w, &vector);
        struct reg_chunk msg = {.pass = pass, .chunk = 1 + flags % 4,
                                .entries = write_entries(w, &list), .is_last = (flags & 8) != 0,
                                .is_synced = (flags & 16) != 0,
                                .is_part = (flags & 32) != 0};
        msg.vector = msg.is_last ? buf_span(&vector) : span_of(NULL, 0);
        reg_chunk_write(&w->body, &msg);
    } else if (type == FRAME_REG_REFUSED) {
        struct reg_refused msg = {.pass = pass, .code = (uint8_t) (1 + in_u8(&w->in) % 6)};
        if (msg.code == REG_REFUSED_FOLDS) {
            write_folds(w, &list);
            msg.folds = buf_span(&list);
        }
        reg_refused_write(&w->body, &msg);
    } else if (type == FRAME_REG_RANGES) {
        struct reg_range range = {.from = choose_key(w, key, sizeof key),
                                  .count = in_u8(&w->in) % 3, .hash = in_u8(&w->in)};
        reg_range_append(&list, &range);
        struct reg_ranges msg = {2 * pass + in_u8(&w->in) % 2, buf_span(&list), 1};
        reg_ranges_write(&w->body, &msg);
    } else if (type == FRAME_REG_DOTS) {
        write_dots(w, &list);
        struct reg_dots msg = {.number = 2 * pass + in_u8(&w->in) % 2, .from = span_of("", 0),
                               .dots = buf_span(&list)};
        reg_dots_write(&w->body, &msg);
    } else if (type == FRAME_REG_PRUNE) {
        reg_prune_write(&w->body);
    } else {
        write_dots(w, &list);
        reg_dot_list_write(&w->body, buf_span(&list));
    }
    buf_fini(&list);
    buf_fini(&vector);
}

static void write_frame_body(struct world *w, struct peer *p, uint8_t type)
{
    struct buf one;
    struct sync_reply reply = {.update_count = 0};
    struct api_reply answer = {.code = -(in_u8(&w->in) % 15), .text = "so it is"};
    buf_init(&one, HM_FRAME_BYTES_MAX);
    switch (type) {
    case FRAME_SWIM:
        write_swim(w, p, &w->body);
        break;
    case FRAME_SYNC:
        write_digest(w, &w->body);
        break;
    case FRAME_SYNC_REPLY:
    case FRAME_SYNC_PUSH:
        reply.update_count = write_updates(w);
        reply.update_bytes = buf_span(&w->updates);
        reply.wanted = write_ids(w);
        sync_reply_write(&w->body, &reply);
        break;
    case FRAME_LABELS_WANT:
        id_list_write(&w->body, write_ids(w));
        break;
    case FRAME_LABELS:
        write_labels(w, choose_peer(w), &one);
        mp_array(&w->body, 1);
        mp_bin(&w->body, one.data, one.size);
        break;
    case FRAME_CALL:
    case FRAME_CALL_REPLY:
        if (type == FRAME_CALL) {
            write_request(w, &one);
        } else {
            api_reply_write(&one, &answer);
        }
        mp_array(&w->body, 2);
        mp_uint(&w->body, in_u8(&w->in) < 200 ? w->last_remote_call : in_u8(&w->in));
        mp_bin(&w->body, one.data, one.size);
        break;
    default:
        write_registry_body(w, type);
        break;
    }
    buf_fini(&one);
}

static void do_frame(struct world *w, bool is_raw)
{
    struct peer *p = choose_peer(w);
    struct event ev = {.type = EV_FRAME};
    uint8_t type = in_u8(&w->in);
    ev.as.frame.peer = p->id;
    ev.as.frame.type = is_raw ? type : (uint8_t) (1 + type % FRAME_REG_PRUNE);
    buf_clear(&w->body);
    if (is_raw) {
        struct span raw = in_bytes(&w->in, in_u8(&w->in));
        buf_append(&w->body, raw.data, raw.size);
    } else {
        write_frame_body(w, p, ev.as.frame.type);
    }
    if (!p->is_known) {
        return; /* no link with whom was never introduced */
    }
    struct span exact = fuzz_copy(buf_span(&w->body));
    ev.as.frame.body = exact;
    step(w, &ev);
    fuzz_free(exact);
}

static void do_link(struct world *w)
{
    static const enum event_type types[] = {EV_LINK_UP, EV_LINK_UP, EV_LINK_DOWN, EV_SEND_REFUSED};
    struct event ev = {.type = types[in_u8(&w->in) % 4]};
    ev.as.link.peer = choose_peer(w)->id;
    step(w, &ev);
}

static void do_evidence(struct world *w)
{
    struct event ev = {.type = EV_CONNECT};
    uint8_t choice = in_u8(&w->in);
    if (choice % 3 == 0) {
        ev.type = EV_UNREACHABLE;
        ev.as.unreachable.to = addr_of(in_u8(&w->in) % PEERS);
    } else {
        ev.as.connect.peer = choose_peer(w)->id;
        ev.as.connect.token = w->connect_token - choice / 86;
        ev.as.connect.outcome = choice % 3 == 1 ? CONNECT_REFUSED : CONNECT_OPEN;
    }
    step(w, &ev);
}

static void do_candidate(struct world *w)
{
    struct event ev = {.type = EV_CANDIDATE};
    uint8_t flags = in_u8(&w->in);
    ev.as.candidate.source = (enum candidate_source)(flags % 4);
    ev.as.candidate.addr = addr_of(in_u8(&w->in));
    ev.as.candidate.addr.port = (flags & 4) != 0 ? in_u16(&w->in) : ev.as.candidate.addr.port;
    if ((flags & 8) != 0) {
        ev.as.candidate.id = choose_peer(w)->id;
    }
    step(w, &ev);
}

static void do_machine(struct world *w)
{
    struct addr addrs[6];
    struct label labels[HM_LABELS_MAX];
    struct event ev = {.type = EV_STALLED};
    uint8_t choice = in_u8(&w->in);
    if (choice >= 240) { /* the configuration was read again */
        ev.type = EV_LABELS;
        ev.as.labels.labels = labels;
        ev.as.labels.count = in_u8(&w->in) % (HM_LABELS_MAX + 1);
        for (size_t i = 0; i < ev.as.labels.count; i++) {
            labels[i] = (struct label){choice % 2 == 0 ? "key" : "a", "value"};
        }
        step(w, &ev);
        return;
    }
    switch (choice % 3) {
    case 0:
        ev.as.stalled.ms = in_u16(&w->in);
        break;
    case 1:
        ev.type = EV_FOREIGN_KEY;
        ev.as.foreign.addr = addr_of(200);
        break;
    default:
        ev.type = EV_ADDRESSES;
        ev.as.addresses.count = in_u8(&w->in) % 7;
        for (size_t i = 0; i < ev.as.addresses.count; i++) {
            addrs[i] = addr_of(in_u8(&w->in) % 4 * 60);
        }
        ev.as.addresses.addrs = addrs;
        break;
    }
    step(w, &ev);
}

static void do_call(struct world *w)
{
    struct event ev = {.type = EV_CALL};
    uint8_t choice = in_u8(&w->in);
    buf_clear(&w->body);
    if (choice > 240 && w->open_call_count > 0) {
        ev.type = EV_CALL_GONE;
        ev.as.call.client = w->open_calls[--w->open_call_count];
        step(w, &ev);
        return;
    }
    if (w->open_call_count == sizeof w->open_calls / sizeof w->open_calls[0]) {
        return;
    }
    if (choice > 220) {
        struct span raw = in_bytes(&w->in, in_u8(&w->in));
        buf_append(&w->body, raw.data, raw.size);
    } else {
        write_request(w, &w->body);
    }
    struct span exact = fuzz_copy(buf_span(&w->body));
    ev.as.call.client = ++w->call_number;
    ev.as.call.request = exact;
    w->open_calls[w->open_call_count++] = ev.as.call.client;
    step(w, &ev);
    fuzz_free(exact);
}

static void do_store(struct world *w)
{
    uint8_t choice = in_u8(&w->in);
    struct event ev = {.type = choice < 200 ? EV_DURABLE : EV_BATCH_FAILED};
    ev.as.store.batch = w->batch;
    ev.as.store.reason = HM_EIO;
    w->is_durable = w->is_durable || ev.type == EV_DURABLE;
    step(w, &ev);
}

/* Entries as a damaged disk may have them: those that were stored with changes, and made-up
 * ones. */
static size_t load_entries(struct world *w, struct store_entry *entries)
{
    size_t count = w->stored_count;
    uint8_t flags = in_u8(&w->in);
    for (size_t i = 0; i < count; i++) {
        struct stored *s = &w->stored[i];
        entries[i].table = s->table;
        entries[i].key = span_of(s->key, s->key_size);
        entries[i].value = span_of(s->value, s->value_size);
    }
    if ((flags & 1) != 0 && count > 0) {
        struct stored *s = &w->stored[in_u8(&w->in) % count];
        uint16_t at = in_u16(&w->in);
        if (s->value_size > 0) {
            s->value[at % s->value_size] ^= in_u8(&w->in);
        }
    }
    if ((flags & 2) != 0) {
        entries[count].table = (enum store_table)(in_u8(&w->in) % 4);
        entries[count].key = in_bytes(&w->in, in_u8(&w->in) % 33);
        entries[count].value = in_bytes(&w->in, in_u8(&w->in));
        count++;
    }
    return (flags & 4) != 0 ? 0 : count;
}

static void start(struct world *w)
{
    static const struct label labels[] = {{"role", "test"}, {"arch", "none"}};
    struct store_entry entries[STORED_MAX + 1];
    struct core_conf conf = {.mesh = MESH_TAG_OF,
                             .name = "self",
                             .version = "0.1",
                             .session = ++w->session,
                             .port = addr_of(0).port,
                             .link_port = 9000,
                             .labels = labels,
                             .label_count = 2,
                             .metrics = &w->metrics,
                             .calls = &w->ops.handler};
    struct crypto crypto = {&w->peer[0], core_sign, core_verify, core_id_of_key, core_hash};
    struct event loaded = {.type = EV_LOADED};
    struct addr own = addr_of(0);
    struct event addresses = {.type = EV_ADDRESSES, .as.addresses = {&own, 1}};
    memcpy(conf.key, w->peer[0].key, sizeof conf.key);
    conf.crypto = crypto;
    conf.view = (struct store_view){w, disk_get, disk_next};
    core_params_default(&conf.params);
    w->core = core_new(&conf, 7);
    FUZZ_ASSERT(w->core != NULL);
    for (size_t i = 0; i < PEERS; i++) {
        w->peer[i].is_known = false;
        w->peer[i].core_counter = 0;
    }
    w->mesh_counter = w->batch = w->connect_token = 0;
    w->is_durable = w->stopped = false;
    w->open_call_count = 0;
    w->last_remote_call = 1;
    step(w, &addresses);
    loaded.as.loaded.entries = entries;
    loaded.as.loaded.count = load_entries(w, entries);
    step(w, &loaded);
}

static void do_restart(struct world *w)
{
    check_events(w);
    core_destroy(&w->core);
    w->now_ns += 1000000;
    start(w);
}

static void one(struct world *w)
{
    uint8_t choice = in_u8(&w->in);
    if (choice < 70) {
        do_time(w);
    } else if (choice < 140) {
        do_datagram(w, false);
    } else if (choice < 150) {
        do_datagram(w, true);
    } else if (choice < 185) {
        do_frame(w, false);
    } else if (choice < 192) {
        do_frame(w, true);
    } else if (choice < 206) {
        do_link(w);
    } else if (choice < 216) {
        do_evidence(w);
    } else if (choice < 224) {
        do_candidate(w);
    } else if (choice < 230) {
        do_machine(w);
    } else if (choice < 242) {
        do_call(w);
    } else if (choice < 250) {
        do_store(w);
    } else if (choice < 254) {
        do_restart(w);
    } else {
        struct event ev = {.type = EV_SHUTDOWN};
        step(w, &ev);
    }
}

static int by_id(const void *a, const void *b)
{
    return node_id_cmp(&((const struct peer *) a)->id, &((const struct peer *) b)->id);
}

static void make_peers(struct world *w)
{
    for (size_t i = 0; i < PEERS; i++) {
        memset(w->peer[i].key, (int) (i + 1), sizeof w->peer[i].key);
        core_id_of_key(w->peer[i].key, &w->peer[i].id);
        w->peer[i].incarnation = 1;
    }
    qsort(w->peer, PEERS, sizeof w->peer[0], by_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = calloc(1, sizeof *w);
    FUZZ_ASSERT(w != NULL);
#ifdef HAS_ASAN
    w->memory_before = __sanitizer_get_current_allocated_bytes();
#endif
    w->stored = calloc(STORED_MAX, sizeof *w->stored);
    FUZZ_ASSERT(w->stored != NULL);
    w->in = (struct input){data, size};
    w->disk = omap_new();
    FUZZ_ASSERT(w->disk != NULL);
    w->now_ns = 1000000000;
    w->wall_ms = 1700000000000;
    buf_init(&w->body, HM_FRAME_BYTES_MAX);
    buf_init(&w->scratch, HM_FRAME_BYTES_MAX);
    buf_init(&w->updates, HM_FRAME_BYTES_MAX);
    make_peers(w);
    ops_init(&w->ops, NULL);
    start(w);
    for (int i = 0; i < STEPS_MAX && w->in.left > 0; i++) {
        one(w);
    }
    check_events(w);
    core_destroy(&w->core);
    buf_fini(&w->body);
    buf_fini(&w->scratch);
    buf_fini(&w->updates);
    omap_destroy(&w->disk);
    free(w->stored);
    free(w);
    return 0;
}
