/* SPDX-License-Identifier: MPL-2.0 */
/* The core's life: creation, one step at a time, timers. See core.h. */
#include "base/err.h"
#include "base/text.h"
#include "core/core_priv.h"

#include <stdlib.h>
#include <string.h>

#define STORE_AGAIN_NS (10 * SECOND_NS)
#define STALL_LATE_NS (100 * MS_NS) /* a tick this late: we were held up */

void core_arm(core_t *c, enum timer_kind kind, uint64_t at_ns)
{
    c->timer[kind].kind = kind;
    if (timer_arm(&c->timers, &c->timer[kind], at_ns) != 0) {
        c->fx.failed = true;
    }
}

void core_arm_earlier(core_t *c, enum timer_kind kind, uint64_t at_ns)
{
    if (!timer_is_armed(&c->timer[kind]) || c->timer[kind].at_ns > at_ns) {
        core_arm(c, kind, at_ns);
    }
}

void core_count(core_t *c, enum metric which)
{
    metric_add(c->metrics, which, 1);
}

void core_note(core_t *c, enum note_level level, enum note_code code, const struct member *m,
               const struct node_id *observer, enum reason reason, uint64_t value)
{
    struct effect *fx = fxlist_add(&c->fx, FX_NOTE);
    if (fx == NULL) {
        return;
    }
    struct note *note = &fx->as.note;
    note->level = level;
    note->code = code;
    note->reason = reason;
    note->value = value;
    if (m != NULL) {
        note->node = m->id;
        note->addr = m->addr;
        memcpy(note->name, m->shown, sizeof note->name);
    }
    if (observer != NULL) {
        const struct member *o = roster_find(&c->roster, observer);
        note->observer = *observer;
        if (o != NULL) {
            memcpy(note->observer_name, o->shown, sizeof note->observer_name);
        }
    }
}

uint64_t core_nonce(core_t *c)
{
    uint8_t bytes[CORE_SECRET_BYTES + sizeof c->nonce_count];
    c->nonce_count++;
    memcpy(bytes, c->secret, CORE_SECRET_BYTES);
    memcpy(bytes + CORE_SECRET_BYTES, &c->nonce_count, sizeof c->nonce_count);
    uint64_t nonce = c->crypto.hash(span_of(bytes, sizeof bytes));
    return nonce == 0 ? 1 : nonce;
}

bool member_is_linked(const struct member *m, const void *unused)
{
    (void) unused;
    return m->link == LINK_UP;
}

void core_health_change(core_t *c, int delta)
{
    int health = (int) c->health + delta;
    int most = (int) c->params.health_max;
    if (!c->params.lifeguard || health < 0) {
        health = 0;
    }
    c->health = (unsigned) (health > most ? most : health);
}

bool tokens_take(struct tokens *t, uint64_t now_ns, uint64_t per_second, uint64_t burst)
{
    uint64_t gained = (now_ns - t->filled_ns) / MS_NS * per_second / 1000;
    if (t->filled_ns == 0) {
        t->level = burst;
        t->filled_ns = now_ns;
    } else if (gained > 0) {
        t->level = t->level + gained > burst ? burst : t->level + gained;
        t->filled_ns = now_ns;
    }
    if (t->level == 0) {
        return false;
    }
    t->level--;
    return true;
}

size_t core_up_others(const core_t *c)
{
    return c->probe_order.count;
}

/* Beacons: often at the start and for a minute after any change, then seldom. */
static uint64_t beacon_wait_ns(const core_t *c)
{
    const struct core_params *p = &c->params;
    if (c->now_ns - c->started_ns < p->beacon_quick_for_ns) {
        return p->beacon_quick_ns;
    }
    return c->now_ns - c->change_ns < p->beacon_often_for_ns ? p->beacon_often_ns : p->beacon_idle_ns;
}

static uint64_t jittered(core_t *c, uint64_t ns)
{
    return ns - ns / 8 + prng_below(&c->prng, ns / 4 + 1);
}

void core_changed(core_t *c)
{
    c->change_ns = c->now_ns;
    if (c->ready && !c->leaving) {
        core_arm_earlier(c, TIMER_BEACON, c->now_ns + jittered(c, beacon_wait_ns(c)));
    }
}

static void beacon_tick(core_t *c)
{
    fxlist_add(&c->fx, FX_BEACON);
    core_arm(c, TIMER_BEACON, c->now_ns + jittered(c, beacon_wait_ns(c)));
}

/* Those remembered as alive are asked at once; in a large mesh one batch after the other, since none of
 * them knows our session yet: all would challenge us together, more than we answer in time. */
static void ask_remembered(core_t *c)
{
    unsigned asked = 0;
    for (size_t i = 0; i < c->probe_order.count; i++) {
        struct member *m = c->probe_order.items[i];
        if (!m->is_remembered || (m->watch != NULL && m->watch->nonce != 0)) {
            continue;
        }
        if (asked++ == c->params.remembered_at_once) {
            core_arm(c, TIMER_REMEMBERED, c->now_ns + c->params.remembered_next_ns);
            return;
        }
        swim_probe(c, m, false);
    }
}

static void fire_owned(core_t *c, struct timer *t)
{
    switch ((enum timer_kind) t->kind) {
    case TIMER_M_PROBE: swim_probe_tick(c, t->owner); break;
    case TIMER_M_VERDICT: doubt_verdict_tick(c, t->owner); break;
    case TIMER_M_REFUSED: doubt_refused_tick(c, t->owner); break;
    case TIMER_CALL: call_timeout(c, t->owner); break;
    case TIMER_PROBE:
    case TIMER_GOSSIP:
    case TIMER_BEACON:
    case TIMER_FAILED:
    case TIMER_OVERLAY:
    case TIMER_SYNC:
    case TIMER_LABELS:
    case TIMER_LEAVE:
    case TIMER_STORE:
    case TIMER_RELAYS:
    case TIMER_REMEMBERED:
    case TIMER_REFUTE:
    case TIMER_COPY:
    case TIMER_REPAIR:
    case TIMER_SERVICES:
    case TIMER_REMOVAL:
    case TIMER_TOMB:
    case TIMER_REBUILD:
    case TIMER_GRAFT:
    case TIMER_GATHER:
    case TIMER_PUSH:
    case TIMER_CANDIDATES: HM_ASSERT(false); break;
    }
}

static void fire(core_t *c, struct timer *t)
{
    bool is_needed = t->kind == TIMER_LEAVE || t->kind == TIMER_CALL;
    bool is_disk = t->kind == TIMER_STORE || t->kind == TIMER_REBUILD;
    bool is_aside = t->kind == TIMER_COPY || is_disk;
    if ((c->leaving && !is_needed) || (c->copy.aside && !is_needed && !is_aside) ||
        (c->removals.is_self && !is_needed && !is_disk)) {
        return;
    }
    switch ((enum timer_kind) t->kind) {
    case TIMER_PROBE: swim_period(c); break;
    case TIMER_GOSSIP: send_gossip_tick(c); break;
    case TIMER_BEACON: beacon_tick(c); break;
    case TIMER_FAILED: swim_failed_period(c); break;
    case TIMER_OVERLAY: overlay_tick(c); break;
    case TIMER_SYNC: sync_tick(c); break;
    case TIMER_LABELS: labels_tick(c); break;
    case TIMER_LEAVE: leave_tick(c); break;
    case TIMER_STORE: persist_everything(c); break;
    case TIMER_GATHER: /* persist_flush and plumtree_settle see what time it is */
    case TIMER_PUSH: break;
    case TIMER_RELAYS: relay_tick(c); break;
    case TIMER_CANDIDATES: session_candidates_tick(c); break;
    case TIMER_REMEMBERED: ask_remembered(c); break;
    case TIMER_REFUTE: self_refute(c, NULL); break;
    case TIMER_COPY: copy_tick(c); break;
    case TIMER_REPAIR: repair_tick(c); break;
    case TIMER_SERVICES: services_tick(c); break;
    case TIMER_REMOVAL: removals_tick(c); break;
    case TIMER_TOMB: tomb_tick(c); break;
    case TIMER_GRAFT: plumtree_tick(c); break;
    case TIMER_REBUILD: spread_rebuild_tick(c); break;
    case TIMER_M_PROBE:
    case TIMER_M_VERDICT:
    case TIMER_M_REFUSED:
    case TIMER_CALL: fire_owned(c, t); break;
    }
}

static void stalled(core_t *c, uint64_t ns)
{
    if ((c->params.broken & BREAK_NO_HELD_UP) != 0) {
        return;
    }
    core_health_change(c, ns >= c->params.probe_interval_ns ? 2 : 1);
    services_pause(c, ns);
    reach_pause(c, ns);
    swim_extend(c, ns);
    core_note(c, NOTE_WARN, NOTE_STALLED, NULL, NULL, REASON_NONE, ns / MS_NS);
}

static void tick(core_t *c)
{
    uint64_t due = timer_first_ns(&c->timers);
    /* A tick that comes late means that we were deaf (held up, stopped, asleep), and nobody is to be
     * judged by what we did not hear. */
    if (due != TIMER_NEVER && c->now_ns > due && c->now_ns - due >= STALL_LATE_NS) {
        stalled(c, c->now_ns - due);
    }
    for (struct timer *t = timer_take_due(&c->timers, c->now_ns); t != NULL && !c->stopped;
         t = timer_take_due(&c->timers, c->now_ns)) {
        fire(c, t);
    }
}

/* Those who dialled us before we were ready do not dial again. */
static void use_early_links(core_t *c)
{
    for (size_t i = 0; i < c->roster.count; i++) {
        struct member *m = c->roster.items[i];
        if (m->is_linked_early) {
            m->is_linked_early = false;
            overlay_link_up(c, m);
        }
    }
}

/* Our incarnation is durable: speak. */
void core_begin(core_t *c)
{
    c->ready = true;
    c->wakes |= WAKE_STARTED;
    c->answered_ns = c->now_ns;
    c->answer_epoch++;
    core_note(c, NOTE_INFO, NOTE_STARTED, c->self, NULL, REASON_NONE, c->self->rec.incarnation);
    core_changed(c);
    core_arm(c, TIMER_BEACON, c->now_ns);
    core_arm(c, TIMER_CANDIDATES, c->now_ns);
    if (core_up_others(c) > 0) {
        core_arm(c, TIMER_PROBE, c->now_ns + c->params.probe_interval_ns);
        tell_all(c, update_of_record(c, c->self));
    }
    if (c->failed_order.count > 0) {
        c->heal_left = c->failed_order.count;
        core_arm(c, TIMER_FAILED, c->now_ns + 50 * MS_NS);
    }
    ask_remembered(c);
    gossip_record(c, c->self);
    services_begin(c);
    tomb_touch(c);
    removals_touch(c);
    use_early_links(c);
}

bool core_is_starting(const core_t *c)
{
    return !c->ready && !c->leaving && !c->copy.aside && !c->removals.is_self;
}

static void durable(core_t *c, uint64_t batch)
{
    c->wakes |= WAKE_DURABLE;
    c->durable_batch = batch > c->durable_batch ? batch : c->durable_batch;
    c->settled_batch = batch > c->settled_batch ? batch : c->settled_batch;
    if (batch >= c->batch && c->store_failed) {
        c->store_failed = false;
    }
    spread_durable(c, batch);
    if (core_is_starting(c) && batch >= 1) {
        core_begin(c);
    }
}

static void batch_failed(core_t *c, int reason)
{
    core_count(c, M_STORE_FAILED);
    if (!c->store_failed) {
        core_note(c, NOTE_ERROR, NOTE_STORE_FAILED, NULL, NULL, REASON_NONE, (uint64_t) -reason);
    }
    c->store_failed = true;
    c->settled_batch = c->batch; /* this one and all after it */
    c->wakes |= WAKE_DURABLE;
    if (registry_failed(c->registry) != HM_OK) {
        c->fx.failed = true;
    }
    repair_spoilt(c);
    removals_again(c);
    if (!c->ready && !c->copy.aside && !c->removals.is_self) {
        core_stop(c, 1); /* without a stored incarnation we must not speak */
        return;
    }
    core_arm_earlier(c, TIMER_STORE, c->now_ns + STORE_AGAIN_NS);
    core_arm_earlier(c, TIMER_SERVICES, c->now_ns + STORE_AGAIN_NS);
}

static void foreign_key(core_t *c, const struct event *ev)
{
    c->foreign_ns = c->now_ns;
    c->foreign_addr = ev->as.foreign.addr;
    core_count(c, M_DROP_FOREIGN_KEY);
    if (!c->foreign_heard || c->now_ns - c->foreign_noted_ns >= 60 * SECOND_NS) {
        c->foreign_noted_ns = c->now_ns;
        struct effect *fx = fxlist_add(&c->fx, FX_NOTE);
        if (fx != NULL) {
            fx->as.note.level = NOTE_WARN;
            fx->as.note.code = NOTE_FOREIGN_KEY;
            fx->as.note.addr = ev->as.foreign.addr;
        }
    }
    c->foreign_heard = true;
}

static void frame(core_t *c, const struct event *ev)
{
    struct member *m = roster_find(&c->roster, &ev->as.frame.peer);
    struct swim_msg msg;
    struct span body = ev->as.frame.body;
    if (m == NULL || m == c->self) {
        core_count(c, M_DROP_UNKNOWN_SENDER);
        return;
    }
    merge_heard(c, m);
    switch (ev->as.frame.type) {
    case FRAME_HELLO: break;
    case FRAME_SWIM:
        if (swim_msg_read(body, &msg) == HM_OK) {
            swim_message(c, m, &msg, NULL);
        } else {
            core_count(c, M_DROP_MALFORMED);
        }
        break;
    case FRAME_SYNC:
    case FRAME_SYNC_REPLY:
    case FRAME_SYNC_PUSH: sync_frame(c, m, ev->as.frame.type, body); break;
    case FRAME_LABELS_WANT:
    case FRAME_LABELS: labels_frame(c, m, ev->as.frame.type, body); break;
    case FRAME_CALL:
    case FRAME_CALL_REPLY: call_frame(c, m, ev->as.frame.type, body); break;
    case FRAME_REG_PUSH:
    case FRAME_REG_IHAVE:
    case FRAME_REG_GRAFT:
    case FRAME_REG_PRUNE: plumtree_frame(c, m, ev->as.frame.type, body); break;
    case FRAME_REG_ASK:
    case FRAME_REG_MORE:
    case FRAME_REG_CHUNK:
    case FRAME_REG_REFUSED: repair_frame(c, m, ev->as.frame.type, body); break;
    case FRAME_REG_RANGES:
    case FRAME_REG_DOTS: compare_frame(c, m, ev->as.frame.type, body); break;
    default: core_count(c, M_DROP_UNKNOWN_TYPE); break;
    }
}

static void link_event(core_t *c, const struct event *ev)
{
    struct member *m = roster_find(&c->roster, &ev->as.link.peer);
    if (m == NULL || m == c->self) {
        return;
    }
    if (ev->type == EV_LINK_UP && c->ready) {
        overlay_link_up(c, m);
    } else if (ev->type == EV_LINK_UP) {
        m->is_linked_early = !c->leaving;
    } else if (ev->type == EV_LINK_DOWN) {
        overlay_link_down(c, m);
    }
    /* EV_SEND_REFUSED: the driver counts; what the frame was for is made up for by its timer. */
}

static void dispatch(core_t *c, const struct event *ev)
{
    switch (ev->type) {
    case EV_TICK: tick(c); break;
    case EV_LOADED: break;
    case EV_DATAGRAM: session_datagram(c, ev); break;
    case EV_UNREACHABLE: doubt_unreachable(c, &ev->as.unreachable.to); break;
    case EV_LINK_UP:
    case EV_LINK_DOWN:
    case EV_SEND_REFUSED: link_event(c, ev); break;
    case EV_CONNECT: doubt_connect(c, ev); break;
    case EV_FRAME: frame(c, ev); break;
    case EV_CANDIDATE:
        session_candidate(c, &ev->as.candidate.addr, &ev->as.candidate.id,
                          ev->as.candidate.source);
        break;
    case EV_FOREIGN_KEY: foreign_key(c, ev); break;
    case EV_ADDRESSES: self_addresses(c, ev); break;
    case EV_STALLED: stalled(c, ev->as.stalled.ms * MS_NS); break;
    case EV_CALL: call_local(c, ev->as.call.client, ev->as.call.request); break;
    case EV_CALL_GONE: call_gone(c, ev->as.call.client); break;
    case EV_DURABLE: durable(c, ev->as.store.batch); break;
    case EV_STORE_DAMAGED: spread_damaged(c); break;
    case EV_BATCH_FAILED: batch_failed(c, ev->as.store.reason); break;
    case EV_LABELS: labels_change(c, ev->as.labels.labels, ev->as.labels.count); break;
    case EV_SERVICES:
        services_told(c, ev->as.services.wanted, ev->as.services.kept);
        break;
    case EV_SHUTDOWN: core_leave(c); break;
    }
}

/* Before the store is durable and after goodbye, the network is not listened to; and while we stand aside,
 * only for whom we do. */
static bool is_heard(const core_t *c, const struct event *ev)
{
    enum event_type type = ev->type;
    if (c->copy.aside && type == EV_DATAGRAM) {
        return node_id_eq(&ev->as.datagram.sender, &c->self->id);
    }
    bool is_network = type == EV_DATAGRAM || type == EV_FRAME || type == EV_CONNECT ||
                      type == EV_UNREACHABLE;
    return c->ready || !is_network;
}

int core_step(core_t *c, const struct event *ev, struct effects *ret_fx)
{
    bool first = !c->loaded;
    fxlist_clear(&c->fx);
    if (ev->now_ns < c->now_ns) {
        return HM_EINVAL;
    }
    c->now_ns = ev->now_ns;
    c->wall_ms = ev->wall_ms;
    if (first && ev->type == EV_ADDRESSES) {
        self_set_addresses(c, ev->as.addresses.addrs, ev->as.addresses.count);
    } else if (first != (ev->type == EV_LOADED)) {
        return HM_EINVAL;
    } else if (first) {
        c->loaded = true;
        c->started_ns = c->now_ns;
        persist_load(c, ev->as.loaded.entries, ev->as.loaded.count);
    } else if (!c->stopped && is_heard(c, ev)) {
        dispatch(c, ev);
    }
    if (c->loaded && c->self != NULL) {
        removals_settle(c);
        if (c->wakes != 0) {
            call_run_waiting(c);
        }
        persist_flush(c);
        plumtree_settle(c, ev->type == EV_DURABLE); /* after what people wait for */
    }
    ret_fx->items = c->fx.items;
    ret_fx->count = c->fx.count;
    return c->fx.failed ? HM_ENOMEM : HM_OK;
}

uint64_t core_deadline_ns(const core_t *c)
{
    return c->stopped ? TIMER_NEVER : timer_first_ns(&c->timers);
}

static int init(core_t *c, const struct core_conf *conf, uint64_t seed)
{
    c->crypto = conf->crypto;
    c->params = conf->params;
    c->metrics = conf->metrics;
    c->calls_handler = conf->calls;
    c->view = conf->view;
    c->is_founder = conf->is_founder;
    c->session = conf->session;
    c->name_given = conf->name_given;
    c->life = conf->crypto.hash(span_of((const uint8_t *) &conf->session, sizeof conf->session));
    c->port = conf->port;
    c->link_port = conf->link_port;
    memcpy(c->key, conf->key, sizeof c->key);
    buf_init(&c->label_map, HM_LABELS_BYTES_MAX);
    buf_init(&c->reply, HM_REPLY_BYTES_MAX);
    buf_init(&c->scratch, HM_DATAGRAM_BYTES_MAX);
    prng_init(&c->prng, seed);
    memcpy(c->secret, conf->secret, sizeof c->secret);
    timer_heap_init(&c->timers);
    roster_init(&c->roster);
    fxlist_init(&c->fx);
    services_init(c);
    removals_init(c);
    coord_init(&c->coord);
    if (!text_copy(c->mesh, sizeof c->mesh, conf->mesh) ||
        !text_copy(c->name, sizeof c->name, conf->name) ||
        !text_copy(c->version, sizeof c->version, conf->version)) {
        return HM_EINVAL;
    }
    memcpy(c->name_at_start, c->name, sizeof c->name_at_start);
    c->mesh_tag = c->crypto.hash(span_of(c->mesh, strlen(c->mesh)));
    int rc = evlog_init(&c->events);
    return rc == HM_OK ? labels_make(c, conf->labels, conf->label_count) : rc;
}

core_t *core_new(const struct core_conf *conf, uint64_t seed)
{
    core_t *c = calloc(1, sizeof *c);
    if (c != NULL && init(c, conf, seed) != HM_OK) {
        core_destroy(&c);
    }
    return c;
}

void core_destroy(core_t **p)
{
    core_t *c = *p;
    if (c == NULL) {
        return;
    }
    *p = NULL;
    call_fini(c);
    repair_fini(c);
    tomb_fini(c);
    spread_fini(c);
    services_fini(c);
    removals_fini(c);
    gossip_fini(&c->gossip);
    order_fini(&c->probe_order);
    order_fini(&c->failed_order);
    roster_fini(&c->roster);
    while (c->free_watches != NULL) {
        struct watch *w = c->free_watches;
        c->free_watches = w->next_free;
        free(w);
    }
    evlog_fini(&c->events);
    fxlist_fini(&c->fx);
    timer_heap_fini(&c->timers);
    buf_fini(&c->label_map);
    buf_fini(&c->reply);
    buf_fini(&c->scratch);
    free(c->dirty);
    free(c);
}
