/* SPDX-License-Identifier: MPL-2.0 */
/* What survives a restart: this node's incarnation, boot epoch and event numbers, and the roster. All that
 * changed in a step becomes one transaction at its end. A record that does not read is dropped and
 * counted; nothing else depends on it.
 *
 *     STORE_SELF    "self"   [version, incarnation, boot epoch, event numbers reserved, name if renamed]
 *     STORE_ROSTER  node id  [version, status, dead incarnation, since, observers, record, labels]
 *
 * The registry's records (spread.c, registry.h) go into the same transaction. */
#include "base/err.h"
#include "core/core_priv.h"

#include <stdlib.h>
#include <string.h>

#define STORED_VERSION 1
#define GATHER_NS (20 * MS_NS)
#define BATCHES_MAX 64 /* on their way to the disk; what changes meanwhile goes together into the next */
static const char self_key[] = "self";

static bool load_self(core_t *c, struct span value, uint64_t *ret_incarnation)
{
    struct mp_reader r;
    mp_open(&r, value);
    size_t count = mp_read_array(&r);
    uint64_t version = mp_read_uint(&r, UINT64_MAX);
    uint64_t incarnation = mp_read_uint(&r, UINT64_MAX - 2);
    uint64_t epoch = mp_read_uint(&r, UINT64_MAX - 1);
    uint64_t reserved = mp_read_uint(&r, UINT64_MAX / 2);
    struct span name = span_of(NULL, 0);
    if (count > 4 && !mp_try_nil(&r)) {
        name = mp_read_str(&r, HM_NAME_BYTES_MAX);
    }
    if (mp_failed(&r) || count < 4 || version != STORED_VERSION) {
        return false;
    }
    names_loaded(c, name);
    *ret_incarnation = incarnation;
    c->boot_epoch = epoch;
    c->events.next_seq = reserved > 0 ? reserved : 1;
    return true;
}

struct stored_member {
    enum member_status status;
    uint64_t dead_incarnation;
    uint64_t since_wall_ms;
    struct node_id observers[HM_OBSERVERS_MAX];
    size_t observer_count;
    struct span record, labels;
};

static bool read_member(struct span value, struct stored_member *s)
{
    struct mp_reader r;
    memset(s, 0, sizeof *s);
    mp_open(&r, value);
    size_t count = mp_read_array(&r);
    uint64_t version = mp_read_uint(&r, UINT64_MAX);
    s->status = (enum member_status) mp_read_uint(&r, STATUS_LEFT);
    s->dead_incarnation = mp_read_uint(&r, UINT64_MAX - 1);
    s->since_wall_ms = mp_read_uint(&r, UINT64_MAX);
    s->observer_count = mp_read_array(&r);
    if (s->observer_count > HM_OBSERVERS_MAX) {
        return false;
    }
    for (size_t i = 0; i < s->observer_count; i++) {
        mp_read_id(&r, &s->observers[i]);
    }
    s->record = mp_read_bin(&r, HM_RECORD_BYTES_MAX);
    if (!mp_try_nil(&r)) {
        s->labels = mp_read_bin(&r, HM_LABELS_BYTES_MAX);
    }
    return !mp_failed(&r) && count >= 7 && version == STORED_VERSION;
}

/* Remembered members are in doubt until they are heard: suspect, not counted as alive. */
static bool load_member(core_t *c, struct span key, struct span value)
{
    struct stored_member s;
    struct node_record rec;
    struct node_id id;
    if (key.size == NODE_ID_BYTES) {
        memcpy(id.b, key.data, NODE_ID_BYTES);
        if (removal_has(c, &id)) {
            removal_forget(c, &id);
            return true;
        }
    }
    if (!read_member(value, &s) ||
        merge_check_record(c, s.record, &c->self->id, &rec, &id) != HM_OK ||
        key.size != NODE_ID_BYTES || memcmp(key.data, id.b, NODE_ID_BYTES) != 0) {
        return false;
    }
    if (node_id_eq(&id, &c->self->id)) {
        return true; /* an older release might have stored us; our own record is new anyway */
    }
    bool up = s.status == STATUS_ALIVE || s.status == STATUS_SUSPECT;
    struct member *m = standing_new(c, &id, s.record, &rec, up ? STATUS_SUSPECT : s.status);
    if (m == NULL) {
        return true; /* full: counted there */
    }
    m->is_remembered = up;
    m->reason = REASON_REMEMBERED;
    m->since_wall_ms = s.since_wall_ms;
    roster_hash_out(&c->roster, m);
    m->dead_incarnation = s.dead_incarnation;
    roster_hash_in(&c->roster, m);
    memcpy(m->observers, s.observers, sizeof m->observers);
    m->observer_count = s.observer_count;
    if (s.labels.data != NULL) {
        labels_take(c, m, s.labels); /* what does not fit is fetched again */
    }
    return true;
}

void persist_load(core_t *c, const struct store_entry *entries, size_t count)
{
    uint64_t incarnation = 0;
    uint64_t dropped = 0;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].table == STORE_SELF && !load_self(c, entries[i].value, &incarnation)) {
            dropped++;
        }
    }
    if ((c->params.broken & BREAK_NO_INCARNATION_STORE) != 0) {
        incarnation = 0;
    }
    c->boot_epoch++;
    c->events.reserved_to = c->events.next_seq + EVLOG_BLOCK;
    if (self_sign(c, incarnation + 1, RECORD_ALIVE) != 0 || labels_sign(c) != 0 ||
        self_sign(c, incarnation + 1, RECORD_ALIVE) != 0) {
        c->fx.failed = true; /* out of memory, or labels beyond limits that the caller checked */
        return;
    }
    standing_introduce(c, c->self); /* a copy of us may speak: it is to be understood */
    dropped += spread_load(c, entries, count);
    removals_load(c);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].table == STORE_ROSTER &&
            !load_member(c, entries[i].key, entries[i].value)) {
            dropped++;
        }
    }
    if (dropped > 0) {
        core_note(c, NOTE_WARN, NOTE_STORE_DAMAGED, NULL, NULL, REASON_NONE, dropped);
    }
    if (c->name_overrides) {
        core_note(c, NOTE_WARN, NOTE_NAME_GIVEN, c->self, NULL, REASON_NONE, 0);
    }
    tomb_load(c);
    persist_self(c);
}

void persist_self(core_t *c)
{
    c->self_dirty = true;
}

void persist_member(core_t *c, struct member *m)
{
    if (m->is_dirty || m == c->self) {
        return;
    }
    if (c->dirty_count == c->dirty_room) {
        size_t room = c->dirty_room == 0 ? 16 : 2 * c->dirty_room;
        struct member **dirty = realloc(c->dirty, room * sizeof(*dirty));
        if (dirty == NULL) {
            c->fx.failed = true;
            return;
        }
        c->dirty = dirty;
        c->dirty_room = room;
    }
    m->is_dirty = true;
    c->dirty[c->dirty_count++] = m;
}

void persist_everything(core_t *c)
{
    persist_self(c);
    for (size_t i = 0; i < c->roster.count; i++) {
        persist_member(c, c->roster.items[i]);
    }
}

static struct span encode_self(core_t *c, struct buf *b)
{
    buf_clear(b);
    mp_array(b, 5);
    mp_uint(b, STORED_VERSION);
    mp_uint(b, c->self->rec.incarnation);
    mp_uint(b, c->boot_epoch);
    mp_uint(b, c->events.reserved_to);
    if (c->renamed) {
        mp_str(b, c->name);
    } else {
        mp_nil(b);
    }
    return fxlist_copy(&c->fx, buf_span(b));
}

static struct span encode_member(core_t *c, struct buf *b, const struct member *m)
{
    buf_clear(b);
    mp_array(b, 7);
    mp_uint(b, STORED_VERSION);
    mp_uint(b, (uint64_t) (m->status == STATUS_SUSPECT ? STATUS_ALIVE : m->status));
    mp_uint(b, m->dead_incarnation);
    mp_uint(b, m->since_wall_ms);
    mp_array(b, m->observer_count);
    for (size_t i = 0; i < m->observer_count; i++) {
        mp_id(b, &m->observers[i]);
    }
    mp_bin(b, m->record, m->record_bytes);
    if (m->labels == NULL) {
        mp_nil(b);
    } else {
        mp_bin(b, m->labels, m->labels_bytes);
    }
    return fxlist_copy(&c->fx, buf_span(b));
}

static struct store_entry *add_entry(struct store_entry *entry, enum store_table table,
                                     struct span key, struct span value)
{
    entry->table = table;
    entry->key = key;
    entry->value = value;
    return entry + 1;
}

/* Other nodes' entries wait a moment for more: a sync for each of them, on every node, wears out flash. */
static bool may_gather(core_t *c)
{
    if (registry_is_urgent(c->registry) || c->leaving) {
        return false;
    }
    if (c->gather_ns == 0) {
        c->gather_ns = c->now_ns;
        core_arm(c, TIMER_GATHER, c->now_ns + GATHER_NS);
    }
    return c->now_ns - c->gather_ns < GATHER_NS;
}

void persist_flush(core_t *c)
{
    struct buf b;
    size_t registry_count = registry_flush_count(c->registry);
    size_t gone_count = c->removals.forgotten.size / NODE_ID_BYTES;
    bool is_needed = c->dirty_count > 0 || c->self_dirty || gone_count > 0;
    if ((!is_needed && (registry_count == 0 || may_gather(c))) ||
        c->batch - c->settled_batch >= BATCHES_MAX) {
        return;
    }
    c->gather_ns = 0;
    struct store_entry *entries =
        fxlist_alloc(&c->fx, (c->dirty_count + 1 + gone_count + registry_count) * sizeof *entries);
    if (entries == NULL) {
        return;
    }
    struct store_entry *end = entries;
    buf_init(&b, HM_RECORD_BYTES_MAX + HM_LABELS_BYTES_MAX + 256);
    if (c->self_dirty) {
        end = add_entry(end, STORE_SELF, span_of(self_key, sizeof self_key - 1),
                        encode_self(c, &b));
        c->self_dirty = false;
    }
    for (size_t i = 0; i < c->dirty_count; i++) {
        struct member *m = c->dirty[i];
        m->is_dirty = false;
        struct span key = fxlist_copy(&c->fx, span_of(m->id.b, NODE_ID_BYTES));
        end = add_entry(end, STORE_ROSTER, key, encode_member(c, &b, m));
    }
    c->dirty_count = 0;
    buf_fini(&b);
    for (size_t i = 0; i < gone_count; i++) {
        const uint8_t *id = c->removals.forgotten.data + i * NODE_ID_BYTES;
        end = add_entry(end, STORE_ROSTER, fxlist_copy(&c->fx, span_of(id, NODE_ID_BYTES)),
                        span_of(NULL, 0));
    }
    buf_clear(&c->removals.forgotten);
    if (registry_count > 0) {
        registry_flush(c->registry, c->batch + 1, &c->fx, end);
        end += registry_count;
    }
    struct effect *fx = fxlist_add(&c->fx, FX_PERSIST);
    if (fx != NULL) {
        core_count(c, M_STORE_BATCHES);
        fx->as.persist.batch = ++c->batch;
        fx->as.persist.entries = entries;
        fx->as.persist.count = (size_t) (end - entries);
        for (const struct store_entry *e = entries; e < end; e++) {
            metric_add(c->metrics, M_STORE_BYTES, e->key.size + e->value.size);
        }
    }
}
