/* SPDX-License-Identifier: MPL-2.0 */
/* A mesh of real cores in memory, in virtual time: for what only shows between several of them.
 *
 * Nodes are numbered; node i sits at mini_addr(i + 1) until a test moves it. A datagram, frame or
 * dial takes `latency_ns`, or what delay_ns says for its pair. Nothing is lost but on demand:
 *
 *     cut     nothing passes between these two      kill    the process ends, its machine refuses
 *     deaf    nothing passes to or from this node   passes  asked for each effect; false drops it
 *
 * Keys, signatures and the store's entries are those of mini.h. Include after unit.h. */
#ifndef HM_TESTS_UNIT_CORE_MINIMESH_H
#define HM_TESTS_UNIT_CORE_MINIMESH_H

#include "base/omap.h"
#include "base/text.h"
#include "mini.h"
#include "wire/api_msg.h"

#include <string.h>

#define MESH_NODES_MAX 32
#define MESH_ADDRS_MAX 2
#define MESH_NOBODY MESH_NODES_MAX

struct mesh_node {
    core_t *core;
    struct metrics metrics;
    struct mini_peer identity;
    char name[8];
    const char *role;                  /* a label; may be changed before a start */
    uint8_t secret;                    /* the same in every life, unless a test changes it */
    struct addr addrs[MESH_ADDRS_MAX]; /* the first: where it is */
    size_t addr_count;
    unsigned life; /* what was under way to an earlier one is lost */
    uint64_t session;
    bool up;
    bool deaf;
    bool name_given; /* at its next start */
    bool is_next;    /* of the next protocol version; likewise */
    bool asleep;                      /* takes nothing, does nothing; its machine seems silent */
    bool knows[MESH_NODES_MAX];       /* whose keys it has */
    bool linked[MESH_NODES_MAX];      /* as it was told */
    uint64_t counter[MESH_NODES_MAX]; /* last one used under the pair's key */
    omap_t *disk;     /* what it stored: the table's number in front of each key */
    size_t replies; /* to local calls */
    int reply_code;
    size_t reply_bytes; /* of the last one's value */
};

struct mesh_event {
    uint64_t at_ns;
    uint64_t order;
    size_t to;
    unsigned life;
    struct event ev;
    uint8_t *bytes;
};

struct mesh {
    size_t count;
    uint64_t now_ns;
    uint64_t latency_ns;
    uint64_t delay_ns[MESH_NODES_MAX][MESH_NODES_MAX]; /* instead, if not 0 */
    bool cut[MESH_NODES_MAX][MESH_NODES_MAX];
    bool no_beacons;
    uint64_t wall_ms; /* of all clocks on walls, when the mesh was made */
    bool (*passes)(struct mesh *m, size_t from, const struct effect *fx);
    void *arg; /* for passes */
    struct mesh_node node[MESH_NODES_MAX];
    struct mesh_event *queue;
    size_t queued, queue_room;
    uint64_t order;
};

#define MESH_KEY_BYTES 600

static inline struct span mesh_full_key(uint8_t *to, enum store_table table, struct span key)
{
    assert_true(key.size < MESH_KEY_BYTES);
    to[0] = (uint8_t) table;
    if (key.size > 0) {
        memcpy(to + 1, key.data, key.size);
    }
    return span_of(to, key.size + 1);
}

static inline bool mesh_disk_get(void *ctx, enum store_table table, struct span key,
                                 struct span *ret_value)
{
    const struct mesh_node *n = ctx;
    uint8_t full[MESH_KEY_BYTES];
    return omap_get(n->disk, mesh_full_key(full, table, key), ret_value, NULL);
}

static inline bool mesh_disk_next(void *ctx, enum store_table table, struct span from,
                                  bool inclusive, struct span *ret_key, struct span *ret_value)
{
    const struct mesh_node *n = ctx;
    uint8_t full[MESH_KEY_BYTES];
    struct span key;
    if (!omap_next(n->disk, mesh_full_key(full, table, from), inclusive, &key, ret_value, NULL) ||
        key.data[0] != (uint8_t) table) {
        return false;
    }
    *ret_key = span_of(key.data + 1, key.size - 1);
    return true;
}

/* What one disk holds, on another. */
static inline void mesh_copy_disk(struct mesh_node *to, const struct mesh_node *from)
{
    struct span key = span_of("", 0);
    struct span value;
    if (to->disk == NULL) {
        to->disk = omap_new();
    }
    omap_clear(to->disk);
    for (bool first = true; omap_next(from->disk, key, first, &key, &value, NULL); first = false) {
        assert_int_equal(omap_put(to->disk, key, value, 0), HM_OK);
    }
}

/* "put:KEY=VALUE" and "delete:KEY": HM_OK when it is durable. */
static inline void mesh_write(core_t *core, const char *op, struct call_result *ret_result)
{
    const char *key = strchr(op, ':') + 1;
    const char *value = strchr(key, '=');
    struct buf b;
    buf_init(&b, SIZE_MAX);
    mp_str(&b, value == NULL ? "" : value + 1);
    struct registry_write w = {.key = span_of(key, value == NULL ? strlen(key) : (size_t) (value - key)),
                               .type = ENTRY_REGISTER,
                               .is_deleted = value == NULL,
                               .value = buf_span(&b),
                               .wall_ms = core_wall_ms(core)};
    ret_result->code = HM_OK;
    if (ret_result->ticket == 0) {
        ret_result->code = core_write(core, &w, NULL, &ret_result->ticket);
    }
    buf_fini(&b);
    if (ret_result->code == HM_OK) {
        enum registry_fate fate = core_write_fate(core, ret_result->ticket);
        ret_result->wait = fate == REGISTRY_WAITS;
        ret_result->wait_for = WAKE_DURABLE;
        ret_result->code = fate == REGISTRY_FAILED ? HM_EIO : HM_OK;
    }
}

/* "put" and "delete" as above, "rename:NEW" renames the node, "knock" knocks; any other operation waits as
 * long as it may. Then nil. */
static inline void mesh_handle(void *ctx, core_t *core, const char *op, struct span args,
                               bool is_local, bool is_last, struct buf *reply,
                               struct call_result *ret_result)
{
    (void) ctx, (void) is_local;
#ifdef MESH_OWN_OP /* of a test: true if it was its operation */
    if (MESH_OWN_OP(core, op, reply, ret_result)) {
        return;
    }
#endif
    if (strncmp(op, "put:", 4) == 0 || strncmp(op, "delete:", 7) == 0) {
        mesh_write(core, op, ret_result);
        mp_nil(reply);
        return;
    }
    if (strcmp(op, "echo") == 0) {
        buf_append(reply, args.data, args.size);
        ret_result->code = HM_OK;
        return;
    }
    bool is_rename = strncmp(op, "rename:", 7) == 0;
    bool is_knock = strcmp(op, "knock") == 0;
    if (is_knock) {
        core_knock(core);
    }
    int rc = is_rename ? core_rename(core, op + 7) : is_knock ? HM_OK : HM_ESTALE;
    ret_result->wait = rc == HM_ESTALE && !is_last;
    ret_result->wait_for = WAKE_EVENT | WAKE_DURABLE;
    ret_result->code = rc == HM_ESTALE ? HM_OK : rc;
    mp_nil(reply);
}

static inline size_t mesh_by_id(const struct mesh *m, const struct node_id *id)
{
    size_t i = 0;
    while (i < m->count && !node_id_eq(&m->node[i].identity.id, id)) {
        i++;
    }
    return i < m->count ? i : MESH_NOBODY;
}

static inline size_t mesh_by_addr(const struct mesh *m, const struct addr *addr)
{
    size_t i = 0;
    while (i < m->count && !addr_same_ip(&m->node[i].addrs[0], addr)) {
        i++;
    }
    return i < m->count ? i : MESH_NOBODY;
}

static inline bool mesh_reaches(const struct mesh *m, size_t from, size_t to)
{
    return to != MESH_NOBODY && !m->cut[from][to] && !m->node[from].deaf &&
           !m->node[to].deaf && !m->node[to].asleep;
}

static inline uint64_t mesh_delay(const struct mesh *m, size_t from, size_t to)
{
    return m->delay_ns[from][to] != 0 ? m->delay_ns[from][to] : m->latency_ns;
}

/* The event comes to that node after so long, with a copy of these bytes as its body. */
static inline void mesh_push(struct mesh *m, size_t to, uint64_t in_ns, const struct event *ev,
                             struct span body)
{
    if (m->queued == m->queue_room) {
        m->queue_room = m->queue_room == 0 ? 256 : 2 * m->queue_room;
        m->queue = realloc(m->queue, m->queue_room * sizeof *m->queue);
        assert_non_null(m->queue);
    }
    struct mesh_event *e = &m->queue[m->queued++];
    memset(e, 0, sizeof *e);
    e->at_ns = m->now_ns + in_ns;
    e->order = m->order++;
    e->to = to;
    e->life = m->node[to].life;
    e->ev = *ev;
    if (body.size > 0) {
        e->bytes = malloc(body.size);
        assert_non_null(e->bytes);
        memcpy(e->bytes, body.data, body.size);
    }
}

static inline void mesh_push_peer(struct mesh *m, size_t to, uint64_t in_ns, enum event_type type,
                                  size_t peer)
{
    struct event ev = {.type = type, .as.link.peer = m->node[peer].identity.id};
    mesh_push(m, to, in_ns, &ev, span_of(NULL, 0));
}

static inline void mesh_datagram(struct mesh *m, size_t from, const struct effect *fx)
{
    size_t to = mesh_by_addr(m, &fx->as.datagram.to);
    bool is_pair = fx->as.datagram.cls == DATAGRAM_PAIR;
    size_t peer = is_pair ? mesh_by_id(m, &fx->as.datagram.peer) : to;
    struct event ev = {.type = EV_DATAGRAM};
    if (is_pair && peer != MESH_NOBODY) {
        m->node[from].counter[peer] = fx->as.datagram.counter;
    }
    if (!mesh_reaches(m, from, to)) {
        return;
    }
    if (!m->node[to].up) {
        ev.type = EV_UNREACHABLE;
        ev.as.unreachable.to = fx->as.datagram.to;
        mesh_push(m, from, 2 * mesh_delay(m, from, to), &ev, span_of(NULL, 0));
    } else if (is_pair && !m->node[to].knows[from]) {
        ev.type = EV_CANDIDATE;
        ev.as.candidate.addr = m->node[from].addrs[0];
        ev.as.candidate.id = m->node[from].identity.id;
        ev.as.candidate.source = CANDIDATE_UNKNOWN_SENDER;
        mesh_push(m, to, mesh_delay(m, from, to), &ev, span_of(NULL, 0));
    } else if (peer == to ||
               (is_pair && node_id_eq(&fx->as.datagram.peer, &m->node[to].identity.id))) {
        ev.as.datagram.from = m->node[from].addrs[0];
        ev.as.datagram.cls = fx->as.datagram.cls;
        ev.as.datagram.sender = m->node[from].identity.id;
        ev.as.datagram.session = fx->as.datagram.session;
        ev.as.datagram.counter = fx->as.datagram.counter;
        ev.as.datagram.body.size = fx->as.datagram.body.size;
        mesh_push(m, to, mesh_delay(m, from, to), &ev, fx->as.datagram.body);
    }
}

static inline void mesh_frame(struct mesh *m, size_t from, const struct effect *fx)
{
    size_t to = mesh_by_id(m, &fx->as.frame.peer);
    struct event ev = {.type = EV_FRAME};
    if (!mesh_reaches(m, from, to) || !m->node[from].linked[to]) {
        return;
    }
    ev.as.frame.peer = m->node[from].identity.id;
    ev.as.frame.type = fx->as.frame.type;
    ev.as.frame.body.size = fx->as.frame.body.size;
    mesh_push(m, to, mesh_delay(m, from, to), &ev, fx->as.frame.body);
}

static inline void mesh_dial(struct mesh *m, size_t from, const struct effect *fx)
{
    size_t to = mesh_by_addr(m, &fx->as.dial.to);
    uint64_t in_ns = 0;
    if (!mesh_reaches(m, from, to)) {
        return;
    }
    in_ns = 2 * mesh_delay(m, from, to);
    if (!m->node[to].up) {
        mesh_push_peer(m, from, in_ns, EV_LINK_DOWN, to);
    } else if (m->node[to].knows[from] && node_id_eq(&fx->as.dial.peer, &m->node[to].identity.id)) {
        mesh_push_peer(m, from, in_ns, EV_LINK_UP, to);
        mesh_push_peer(m, to, in_ns, EV_LINK_UP, from);
    }
}

static inline void mesh_hangup(struct mesh *m, size_t from, size_t to)
{
    if (to == MESH_NOBODY) {
        return;
    }
    bool was_linked = m->node[from].linked[to];
    m->node[from].linked[to] = false;
    if (was_linked && mesh_reaches(m, from, to)) {
        mesh_push_peer(m, to, mesh_delay(m, from, to), EV_LINK_DOWN, from);
    }
}

static inline void mesh_connect(struct mesh *m, size_t from, const struct effect *fx)
{
    size_t to = mesh_by_addr(m, &fx->as.connect.to);
    uint64_t in_ns = MINI_SECOND;
    struct event ev = {.type = EV_CONNECT};
    ev.as.connect.peer = fx->as.connect.peer;
    ev.as.connect.token = fx->as.connect.token;
    ev.as.connect.outcome = CONNECT_SILENT;
    if (mesh_reaches(m, from, to)) {
        ev.as.connect.outcome = m->node[to].up ? CONNECT_OPEN : CONNECT_REFUSED;
        in_ns = 2 * mesh_delay(m, from, to);
    }
    mesh_push(m, from, in_ns, &ev, span_of(NULL, 0));
}

static inline void mesh_beacon(struct mesh *m, size_t from)
{
    struct event ev = {.type = EV_CANDIDATE};
    ev.as.candidate.addr = m->node[from].addrs[0];
    ev.as.candidate.id = m->node[from].identity.id;
    ev.as.candidate.source = CANDIDATE_BEACON;
    for (size_t to = 0; to < m->count && !m->no_beacons; to++) {
        if (to != from && m->node[to].up && mesh_reaches(m, from, to)) {
            mesh_push(m, to, mesh_delay(m, from, to), &ev, span_of(NULL, 0));
        }
    }
}

static inline void mesh_persist(struct mesh *m, size_t at, const struct effect *fx)
{
    struct mesh_node *n = &m->node[at];
    struct event ev = {.type = EV_DURABLE, .as.store.batch = fx->as.persist.batch};
    uint8_t full[MESH_KEY_BYTES];
    for (size_t i = 0; i < fx->as.persist.count; i++) {
        const struct store_entry *e = &fx->as.persist.entries[i];
        struct span key = mesh_full_key(full, e->table, e->key);
        if (e->value.data == NULL) {
            omap_remove(n->disk, key);
        } else {
            assert_int_equal(omap_put(n->disk, key, e->value, 0), HM_OK);
        }
    }
    mesh_push(m, at, MINI_MS, &ev, span_of(NULL, 0));
}

static inline void mesh_reply(struct mesh_node *n, const struct effect *fx)
{
    struct api_reply reply;
    assert_int_equal(api_reply_read(fx->as.reply.body, &reply), HM_OK);
    n->replies++;
    n->reply_code = reply.code;
    n->reply_bytes = reply.value.size;
}

static inline void mesh_effect(struct mesh *m, size_t i, const struct effect *fx)
{
    switch (fx->type) {
    case FX_PEER:
        for (size_t to = 0; to < m->count; to++) { /* also of a copy of it */
            m->node[i].knows[to] |= node_id_eq(&fx->as.peer.id, &m->node[to].identity.id);
        }
        break;
    case FX_PEER_GONE:
        mesh_hangup(m, i, mesh_by_id(m, &fx->as.peer.id));
        for (size_t to = 0; to < m->count; to++) {
            m->node[i].knows[to] &= !node_id_eq(&fx->as.peer.id, &m->node[to].identity.id);
        }
        break;
    case FX_DATAGRAM:
        mesh_datagram(m, i, fx);
        break;
    case FX_FRAME:
        mesh_frame(m, i, fx);
        break;
    case FX_DIAL:
        mesh_dial(m, i, fx);
        break;
    case FX_HANGUP:
        mesh_hangup(m, i, mesh_by_id(m, &fx->as.dial.peer));
        break;
    case FX_CONNECT:
        mesh_connect(m, i, fx);
        break;
    case FX_BEACON:
        mesh_beacon(m, i);
        break;
    case FX_PERSIST:
        mesh_persist(m, i, fx);
        break;
    case FX_REPLY:
        mesh_reply(&m->node[i], fx);
        break;
    case FX_STOP:
        m->node[i].up = false;
        break;
    case FX_ZRE_HELLO:
    case FX_MAIL:
    case FX_NOTE:
        break;
    }
}

/* One step of one node, now. */
static inline void mesh_step(struct mesh *m, size_t i, struct event *ev)
{
    struct effects fx;
    size_t peer = ev->type == EV_LINK_UP || ev->type == EV_LINK_DOWN
                      ? mesh_by_id(m, &ev->as.link.peer)
                      : MESH_NOBODY;
    if (peer != MESH_NOBODY) {
        m->node[i].linked[peer] = ev->type == EV_LINK_UP;
    }
    ev->now_ns = m->now_ns;
    ev->wall_ms = m->wall_ms + m->now_ns / MINI_MS;
    assert_int_equal(core_step(m->node[i].core, ev, &fx), HM_OK);
    for (size_t k = 0; k < fx.count; k++) {
        if (m->passes == NULL || m->passes(m, i, &fx.items[k])) {
            mesh_effect(m, i, &fx.items[k]);
        }
    }
}

/* The process ends, the machine stays: links end with it, datagrams and connects are refused. */
static inline void mesh_kill(struct mesh *m, size_t i)
{
    for (size_t peer = 0; peer < m->count; peer++) {
        mesh_hangup(m, i, peer);
    }
    m->node[i].up = false;
}

static inline struct core_conf mesh_conf(const struct mesh *m, size_t i,
                                         const struct call_handler *calls, struct label *label)
{
    const struct mesh_node *n = &m->node[i];
    struct core_conf conf = {.mesh = "home",
                             .name = n->name,
                             .name_given = n->name_given,
                             .version = "0.1",
                             .session = n->session,
                             .secret = {n->secret},
                             .port = n->addrs[0].port,
                             .link_port = 9000,
                             .labels = label,
                             .label_count = 1,
                             .calls = calls};
    label->key = "role";
    label->value = n->role;
    core_params_default(&conf.params);
    conf.params.next_version = n->is_next;
    memcpy(conf.key, n->identity.key, sizeof conf.key);
    return conf;
}

/* A new life, with what the last one stored. */
static inline void mesh_start(struct mesh *m, size_t i)
{
    static const struct call_handler calls = {NULL, mesh_handle};
    struct mesh_node *n = &m->node[i];
    struct label label;
    core_destroy(&n->core);
    n->life++;
    n->session = 1000 * n->life + i;
    n->up = true;
    memset(n->knows, 0, sizeof n->knows);
    memset(n->linked, 0, sizeof n->linked);
    struct core_conf conf = mesh_conf(m, i, &calls, &label);
    conf.metrics = &n->metrics;
    conf.view = (struct store_view){n, mesh_disk_get, mesh_disk_next};
    conf.crypto = (struct crypto){&n->identity, mini_sign, mini_verify, mini_id_of_key, mini_hash};
    n->core = core_new(&conf, i + 1);
    assert_non_null(n->core);
    struct event addresses = {.type = EV_ADDRESSES, .as.addresses = {n->addrs, n->addr_count}};
    struct event loaded = {.type = EV_LOADED};
    struct store_entry *entries = calloc(omap_count(n->disk) + 1, sizeof *entries);
    struct span key = span_of("", 0);
    struct span value;
    for (bool first = true; omap_next(n->disk, key, first, &key, &value, NULL); first = false) {
        if (key.data[0] <= STORE_VECTOR) {
            entries[loaded.as.loaded.count++] = (struct store_entry){
                (enum store_table) key.data[0], span_of(key.data + 1, key.size - 1), value};
        }
    }
    loaded.as.loaded.entries = entries;
    mesh_step(m, i, &addresses);
    mesh_step(m, i, &loaded);
    free(entries);
}

static inline struct mesh *mesh_new(size_t count)
{
    struct mesh *m = calloc(1, sizeof *m);
    assert_non_null(m);
    assert_true(count <= MESH_NODES_MAX);
    m->count = count;
    m->now_ns = 10 * MINI_SECOND;
    m->latency_ns = MINI_MS / 2;
    m->wall_ms = 1700000000000;
    for (size_t i = 0; i < count; i++) {
        struct mesh_node *n = &m->node[i];
        memset(n->identity.key, (int) (i + 1), sizeof n->identity.key);
        mini_id_of_key(n->identity.key, &n->identity.id);
        n->name[0] = 'n';
        n->name[1] = (char) ('0' + i / 10);
        n->name[2] = (char) ('0' + i % 10);
        n->role = "nas";
        n->disk = omap_new();
        n->secret = (uint8_t) (i + 1);
        n->addrs[0] = mini_addr(i + 1);
        n->addr_count = 1;
    }
    return m;
}

static inline void mesh_free(struct mesh **p)
{
    struct mesh *m = *p;
    for (size_t i = 0; i < m->count; i++) {
        core_destroy(&m->node[i].core);
        omap_destroy(&m->node[i].disk);
    }
    for (size_t k = 0; k < m->queued; k++) {
        free(m->queue[k].bytes);
    }
    free(m->queue);
    free(m);
    *p = NULL;
}

static inline void mesh_cut(struct mesh *m, size_t a, size_t b, bool cut)
{
    m->cut[a][b] = m->cut[b][a] = cut;
}

/* The queued event that is due first, or `queued`. */
static inline size_t mesh_first_event(const struct mesh *m)
{
    size_t first = m->queued;
    for (size_t k = 0; k < m->queued; k++) {
        if (first == m->queued || m->queue[k].at_ns < m->queue[first].at_ns ||
            (m->queue[k].at_ns == m->queue[first].at_ns &&
             m->queue[k].order < m->queue[first].order)) {
            first = k;
        }
    }
    return first;
}

static inline size_t mesh_first_node(const struct mesh *m)
{
    size_t first = MESH_NOBODY;
    for (size_t i = 0; i < m->count; i++) {
        if (m->node[i].up && !m->node[i].asleep &&
            (first == MESH_NOBODY || core_deadline_ns(m->node[i].core) <
                                         core_deadline_ns(m->node[first].core))) {
            first = i;
        }
    }
    return first;
}

static inline void mesh_deliver(struct mesh *m, size_t k)
{
    struct mesh_event e = m->queue[k];
    m->queue[k] = m->queue[--m->queued];
    m->now_ns = e.at_ns > m->now_ns ? e.at_ns : m->now_ns;
    if (e.ev.type == EV_DATAGRAM) {
        e.ev.as.datagram.body.data = e.bytes;
    } else if (e.ev.type == EV_FRAME) {
        e.ev.as.frame.body.data = e.bytes;
    }
    if (m->node[e.to].up && !m->node[e.to].asleep && m->node[e.to].life == e.life) {
        mesh_step(m, e.to, &e.ev);
    }
    free(e.bytes);
}

static inline void mesh_run(struct mesh *m, uint64_t for_ns)
{
    uint64_t until_ns = m->now_ns + for_ns;
    for (;;) {
        size_t k = mesh_first_event(m);
        size_t i = mesh_first_node(m);
        uint64_t event_ns = k < m->queued ? m->queue[k].at_ns : TIMER_NEVER;
        uint64_t tick_ns = i != MESH_NOBODY ? core_deadline_ns(m->node[i].core) : TIMER_NEVER;
        if ((event_ns < tick_ns ? event_ns : tick_ns) > until_ns) {
            break;
        }
        if (event_ns <= tick_ns) {
            mesh_deliver(m, k);
        } else {
            struct event tick = {.type = EV_TICK};
            m->now_ns = tick_ns > m->now_ns ? tick_ns : m->now_ns;
            mesh_step(m, i, &tick);
            assert_true(!m->node[i].up || core_deadline_ns(m->node[i].core) > m->now_ns);
        }
    }
    m->now_ns = until_ns;
}

/* All are started and have met. */
static inline struct mesh *mesh_new_started(size_t count)
{
    struct mesh *m = mesh_new(count);
    for (size_t i = 0; i < count; i++) {
        mesh_start(m, i);
    }
    mesh_run(m, 10 * MINI_SECOND);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(core_member_count(m->node[i].core), count);
    }
    return m;
}

/* The event of a datagram that node `from` would send now, with a counter beyond its last one. The
 * body is given to mesh_hear. */
static inline struct event mesh_from(const struct mesh *m, size_t from, size_t to,
                                     enum datagram_class cls)
{
    struct event ev = {.type = EV_DATAGRAM};
    ev.as.datagram.from = m->node[from].addrs[0];
    ev.as.datagram.cls = cls;
    ev.as.datagram.sender = m->node[from].identity.id;
    ev.as.datagram.session = m->node[from].session;
    ev.as.datagram.counter = m->node[from].counter[to] + 50;
    return ev;
}

/* A call to node i. What it answers, and when, is in its `replies`, `reply_code` and `reply_bytes`. */
static inline void mesh_ask(struct mesh *m, size_t i, const char *op)
{
    struct api_request request = {.deadline_ms = 5000};
    struct buf b;
    text_copy(request.op, sizeof request.op, op);
    buf_init(&b, 4096);
    api_request_write(&b, &request);
    struct event ev = {.type = EV_CALL, .as.call = {.client = 1, .request = buf_span(&b)}};
    mesh_step(m, i, &ev);
    buf_fini(&b);
}

/* What node i shows of a key, "-" for nothing, and how many values it has (NULL: not wanted). Lives until the next call. */
static inline const char *mesh_shown(struct mesh *m, size_t i, const char *key, size_t *ret_live)
{
    static char text[64];
    struct registry_siblings s;
    struct mp_reader r;
    size_t live = 0;
    text_copy(text, sizeof text, "-");
    if (registry_get(core_registry(m->node[i].core), LOOK_SHOWN, span_of(key, strlen(key)), &s) ==
            HM_OK &&
        s.live > 0) {
        mp_open(&r, s.items[0].value);
        mp_read_text(&r, text, sizeof text);
        live = s.live;
    }
    if (ret_live != NULL) {
        *ret_live = live;
    }
    return text;
}

static inline void mesh_hear(struct mesh *m, size_t to, struct event ev, const struct swim_msg *msg)
{
    struct buf b;
    buf_init(&b, HM_FRAME_BYTES_MAX);
    swim_msg_write(&b, msg);
    assert_false(buf_failed(&b));
    ev.as.datagram.body = buf_span(&b);
    mesh_step(m, to, &ev);
    buf_fini(&b);
}

static inline struct member_view mesh_view(const struct mesh *m, size_t at, size_t about)
{
    struct member_view view;
    for (size_t i = 0; i < core_member_count(m->node[at].core); i++) {
        core_member_at(m->node[at].core, i, &view);
        if (node_id_eq(&view.id, &m->node[about].identity.id)) {
            return view;
        }
    }
    fail_msg("n%zu does not know n%zu", at, about);
    memset(&view, 0, sizeof view);
    return view;
}

static inline enum member_status mesh_status(const struct mesh *m, size_t at, size_t about)
{
    return mesh_view(m, at, about).status;
}

static inline uint64_t mesh_metric(const struct mesh *m, size_t at, enum metric which)
{
    return m->node[at].metrics.value[which];
}

/* How often node `at` has seen this happen to node `about` in this life. */
static inline size_t mesh_events(const struct mesh *m, size_t at, enum member_event_type type,
                                 size_t about)
{
    size_t count = 0;
    const struct member_event *e = core_event_after(m->node[at].core, 0);
    while (e != NULL) {
        count += e->type == type && node_id_eq(&e->node, &m->node[about].identity.id);
        e = core_event_after(m->node[at].core, e->seq);
    }
    return count;
}

static inline bool mesh_agree(const struct mesh *m, size_t a, size_t b)
{
    struct core_status one, other;
    core_status(m->node[a].core, &one);
    core_status(m->node[b].core, &other);
    return one.view_hash == other.view_hash;
}

#endif
