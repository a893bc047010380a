/* SPDX-License-Identifier: MPL-2.0 */
/* Virtual time, machines and processes: see world.h. */
#include "sim/world.h"

#include "base/err.h"
#include "base/limits.h"
#include "sim/check.h"
#include "sim/faults.h"
#include "sim/simlink.h"
#include "sim/simnet.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *rare_text(enum rare which)
{
    static const char *const texts[] = {
#define RARE_TEXT(name, text) text,
        RARE_LIST(RARE_TEXT)
#undef RARE_TEXT
    };
    return texts[which];
}

static void *must(void *p)
{
    HM_ASSERT(p != NULL);
    return p;
}

bool world_chance(struct prng *p, uint32_t ppm)
{
    return ppm > 0 && prng_below(p, SIM_LOSS_ALL) < ppm;
}

uint64_t world_up_to(struct prng *p, uint64_t max)
{
    return max == 0 ? 0 : prng_below(p, max + 1);
}

void world_violation(struct world *w, const char *format, ...)
{
    if (w->failed) {
        return;
    }
    w->failed = true;
    w->violation_kind = sim_hash(0, span_of(format, strlen(format)));
    int used = snprintf(w->violation, sizeof w->violation,
                        "at %" PRIu64 ".%03" PRIu64 " s: ", w->now_ns / SECOND_NS,
                        w->now_ns / MS_NS % 1000);
    va_list args;
    va_start(args, format);
    vsnprintf(w->violation + used, sizeof w->violation - (size_t) used, format, args);
    va_end(args);
}

/* ---- messages ---- */

struct msg *world_msg(struct world *w, unsigned node, size_t size)
{
    struct msg **pool = size == 0 ? &w->free_small : &w->free_datagrams;
    size_t room = size == 0 ? 0 : HM_DATAGRAM_BYTES_MAX;
    struct msg *m = NULL;
    if (size > HM_DATAGRAM_BYTES_MAX) {
        room = size;
    } else if (*pool != NULL) {
        m = *pool;
        *pool = m->next;
    }
    if (m == NULL) {
        m = must(malloc(sizeof *m + room));
    }
    memset(m, 0, sizeof *m);
    m->node = node;
    m->size = size;
    m->room = room;
    return m;
}

void world_msg_free(struct world *w, struct msg *m)
{
    if (m->room > HM_DATAGRAM_BYTES_MAX) {
        free(m);
        return;
    }
    struct msg **pool = m->room == 0 ? &w->free_small : &w->free_datagrams;
    m->next = *pool;
    *pool = m;
}

void world_arm(struct world *w, struct timer *t, uint64_t at_ns)
{
    HM_ASSERT(timer_arm(&w->heap, t, at_ns) == HM_OK);
}

void world_post(struct world *w, struct msg *m, enum msg_kind kind, uint64_t at_ns)
{
    m->timer.kind = (unsigned) kind;
    m->timer.owner = m;
    world_arm(w, &m->timer, at_ns);
}

/* Throws a message away that will not be handed over. */
void world_drop(struct world *w, struct msg *m)
{
    switch ((enum msg_kind) m->timer.kind) {
    case MSG_SYN:
    case MSG_ACCEPT:
    case MSG_FRAME:
    case MSG_FIN:
    case MSG_DIAL_END:
        simlink_drop(w, m);
        return;
    case MSG_TICK:
    case MSG_WAKE:
    case MSG_RETRY:
    case MSG_DATAGRAM:
    case MSG_UNREACHABLE:
    case MSG_BEACON:
    case MSG_CANDIDATE:
    case MSG_FOREIGN:
    case MSG_CONNECT:
    case MSG_ADDRESSES:
    case MSG_SEND_REFUSED:
    case MSG_COMMIT:
    case MSG_DURABLE:
    case MSG_BATCH_FAILED:
    case MSG_FAULT:
    case MSG_CALL:
    case MSG_POLL:
        world_msg_free(w, m);
        return;
    }
}

/* ---- who is who ---- */

struct addr world_addr_of(const struct sim_node *n, unsigned changes)
{
    unsigned host = n->idx + 1;
    return addr_v4(10, (uint8_t) changes, (uint8_t) (host >> 8), (uint8_t) host, SIM_PORT);
}

struct sim_node *world_node_by_addr(struct world *w, const struct addr *addr)
{
    if (addr->family != 4 || addr->ip[0] != 10) {
        return NULL;
    }
    unsigned host = ((unsigned) addr->ip[2] << 8) | addr->ip[3];
    if (host == 0 || host > w->count) {
        return NULL;
    }
    struct sim_node *n = &w->nodes[host - 1];
    return addr_same_ip(&n->addr, addr) ? n : NULL;
}

struct sim_node *world_node_by_id(struct world *w, const struct node_id *id)
{
    for (size_t at = node_id_prefix(id) & w->ids_mask; w->ids[at] != 0;
         at = (at + 1) & w->ids_mask) {
        struct sim_node *n = &w->nodes[w->ids[at] - 1];
        if (node_id_eq(&n->identity.id, id)) {
            return n;
        }
    }
    return NULL;
}

struct sim_node *world_node_at(struct world *w, const struct node_id *id, const struct addr *addr)
{
    struct sim_node *there = world_node_by_addr(w, addr);
    return there != NULL && node_id_eq(&there->identity.id, id) ? there : world_node_by_id(w, id);
}

static void index_id(struct world *w, const struct sim_node *n)
{
    size_t at = node_id_prefix(&n->identity.id) & w->ids_mask;
    while (w->ids[at] != 0) {
        at = (at + 1) & w->ids_mask;
    }
    w->ids[at] = n->idx + 1;
}

bool world_is_running(const struct sim_node *n)
{
    return n->core != NULL && !n->is_leaving;
}

void world_disturb(struct world *w, struct sim_node *n)
{
    n->disturbed_ns = w->now_ns;
}

/* ---- making and ending a world ---- */

static void node_init(struct world *w, struct sim_node *n, unsigned idx)
{
    n->idx = idx;
    n->original = idx;
    snprintf(n->name, sizeof n->name, "n%u", idx + 1);
    memcpy(n->host_name, n->name, sizeof n->host_name);
    sim_identity_make(&n->identity, w->conf.seed, idx);
    n->addr = world_addr_of(n, 0);
    n->segment = w->net.segment_nodes == 0 ? 0 : idx / w->net.segment_nodes;
    n->boot_ns = SECOND_NS + world_up_to(&w->prng, 1000ULL * 86400 * SECOND_NS);
    /* Some boards believe it is 1970. */
    n->wall_ms = world_chance(&w->prng, 100000) ? 0 : 1795000000000 + (int64_t) idx;
    n->tick.kind = MSG_TICK;
    n->tick.owner = n;
    n->wake.kind = MSG_WAKE;
    n->wake.owner = n;
    n->peers = must(calloc(w->count, 1));
    n->counters = must(calloc(w->count + 1, sizeof *n->counters));
    index_id(w, n);
}

struct world *world_new(const struct world_conf *conf)
{
    HM_ASSERT(conf->nodes > 0 && conf->nodes <= SIM_NODES_MAX);
    struct world *w = must(calloc(1, sizeof *w));
    w->conf = *conf;
    w->net = conf->net;
    w->count = conf->nodes;
    timer_heap_init(&w->heap);
    prng_init(&w->prng, prng_mix(conf->seed));
    prng_init(&w->write_prng, prng_mix(conf->seed ^ 0x777269746572U));
    prng_init(&w->fault_prng, prng_mix(conf->seed ^ 0x61747461636bU));
    trace_init(&w->trace, conf->seed);
    size_t slots = 4;
    while (slots < 2 * (size_t) w->count) {
        slots *= 2;
    }
    w->ids = must(calloc(slots, sizeof *w->ids));
    w->ids_mask = slots - 1;
    w->blocked = must(calloc((size_t) w->count * w->count, 1));
    w->nodes = must(calloc(w->count, sizeof *w->nodes));
    for (unsigned i = 0; i < w->count; i++) {
        node_init(w, &w->nodes[i], i);
    }
    return w;
}

static void free_list(struct msg *m)
{
    while (m != NULL) {
        struct msg *next = m->next;
        free(m);
        m = next;
    }
}

void world_drop_inbox(struct world *w, struct sim_node *n)
{
    while (n->inbox_first != NULL) {
        struct msg *m = n->inbox_first;
        n->inbox_first = m->next;
        world_drop(w, m);
    }
    n->inbox_last = NULL;
    n->inbox_datagrams = 0;
}

void world_destroy(struct world **p)
{
    struct world *w = *p;
    if (w == NULL) {
        return;
    }
    struct timer *t;
    while ((t = timer_take_due(&w->heap, UINT64_MAX)) != NULL) {
        if (t->kind > MSG_RETRY) {
            world_drop(w, t->owner);
        }
    }
    for (unsigned i = 0; i < w->count; i++) {
        struct sim_node *n = &w->nodes[i];
        world_drop_inbox(w, n);
        core_destroy(&n->core);
        simdisk_fini(&n->disk);
        simdisk_fini(&n->backup);
        free(n->conns);
        free(n->peers);
        free(n->counters);
    }
    simlink_destroy_all(w);
    for (unsigned i = 0; i < w->captured_count; i++) {
        free(w->captured[i]);
    }
    free_list(w->free_small);
    free_list(w->free_datagrams);
    timer_heap_fini(&w->heap);
    free(w->nodes);
    free(w->ids);
    free(w->blocked);
    free(w->path_of);
    free(w);
    *p = NULL;
}

/* ---- running ---- */

static void dispatch(struct world *w, struct timer *t)
{
    switch ((enum msg_kind) t->kind) {
    case MSG_TICK:
        world_tick(w, t->owner);
        break;
    case MSG_WAKE:
        world_wake(w, t->owner);
        break;
    case MSG_RETRY:
        simlink_retry(w, t->owner);
        break;
    case MSG_DATAGRAM:
    case MSG_BEACON:
        simnet_arrive(w, t->owner);
        break;
    case MSG_SYN:
    case MSG_ACCEPT:
    case MSG_FRAME:
    case MSG_FIN:
        simlink_arrive(w, t->owner);
        break;
    case MSG_DIAL_END:
        simlink_dial_end(w, t->owner);
        break;
    case MSG_COMMIT:
        world_commit(w, t->owner);
        break;
    case MSG_FAULT:
        faults_do(w, t->owner);
        break;
    case MSG_UNREACHABLE:
    case MSG_CANDIDATE:
    case MSG_FOREIGN:
    case MSG_CONNECT:
    case MSG_ADDRESSES:
    case MSG_SEND_REFUSED:
    case MSG_DURABLE:
    case MSG_BATCH_FAILED:
    case MSG_CALL:
        world_take(w, t->owner);
        break;
    case MSG_POLL:
        world_msg_free(w, t->owner);
        break;
    }
}

void world_run(struct world *w, uint64_t until_ns)
{
    struct timer *t;
    while (!w->failed && (t = timer_take_due(&w->heap, until_ns)) != NULL) {
        HM_ASSERT(t->at_ns >= w->now_ns);
        w->now_ns = t->at_ns;
        dispatch(w, t);
    }
    if (!w->failed && w->now_ns < until_ns) {
        w->now_ns = until_ns;
    }
}
