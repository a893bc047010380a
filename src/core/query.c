/* SPDX-License-Identifier: MPL-2.0 */
/* Reading the core: for handlers of operations and the simulator's checks. */
#include "base/err.h"
#include "base/text.h"
#include "core/core_priv.h"

#include <string.h>

#define COPIED_SHOWN_NS (300 * SECOND_NS)
#define OWN_COPY_SHOWN_NS (40 * SECOND_NS)
#define KNOCK_ANSWER_NS (250 * MS_NS)
#define KNOCKS_SHOWN_NS (6 * SECOND_NS) /* longer than a doctor takes */

const char *member_status_name(enum member_status status)
{
    switch (status) {
    case STATUS_ALIVE: return "alive";
    case STATUS_SUSPECT: return "suspect";
    case STATUS_FAILED: return "failed";
    case STATUS_LEFT: return "left";
    }
    return "";
}

const char *member_event_name(enum member_event_type type)
{
    switch (type) {
    case EVENT_ALIVE: return "node.alive";
    case EVENT_SUSPECT: return "node.suspect";
    case EVENT_FAILED: return "node.failed";
    case EVENT_LEFT: return "node.left";
    case EVENT_UPDATED: return "node.updated";
    case EVENT_NOTICE: return "node.notice";
    case EVENT_REMOVED: return "node.removed";
    }
    return "";
}

size_t core_member_count(const core_t *c)
{
    return c->roster.count;
}

/* The least of the last measured ones, which queues disturb least; else what coordinates say. */
static uint64_t rtt_of(const core_t *c, const struct member *m)
{
    uint32_t least_us = 0;
    for (size_t i = 0; i < m->rtt_count; i++) {
        least_us = i == 0 || m->rtt_us[i] < least_us ? m->rtt_us[i] : least_us;
    }
    return least_us > 0 ? (uint64_t) least_us * 1000 : core_rtt_estimate(c, &c->self->id, &m->id);
}

/* Of our own copy we hear every 10 s as long as it is there; of others' we happened to hear. */
static bool is_copied(const core_t *c, const struct member *m)
{
    uint64_t shown_ns = m == c->self && c->copy.is_seen ? OWN_COPY_SHOWN_NS : COPIED_SHOWN_NS;
    return m->copied_ns != 0 && c->now_ns - m->copied_ns < shown_ns;
}

/* Those that should have been answered by now. */
static unsigned knocks_due(const core_t *c, const struct knocks *k, int size)
{
    bool is_early = c->now_ns - c->knocked_ns < KNOCK_ANSWER_NS;
    unsigned due = k->sent[size] - (is_early ? k->last[size] : 0);
    return due > k->answered[size] ? due : k->answered[size];
}

/* A link-local address says where only together with an interface of this machine, so it is no
 * answer to anybody who wants to connect. The record names the best address first. */
static struct addr told_address(const struct member *m)
{
    for (size_t i = 0; addr_is_link_local(&m->addr) && i < m->rec.addr_count; i++) {
        if (!addr_is_link_local(&m->rec.addrs[i])) {
            return m->rec.addrs[i];
        }
    }
    return m->addr;
}

static void view_of(const core_t *c, const struct member *m, struct member_view *v)
{
    memset(v, 0, sizeof *v);
    v->id = m->id;
    v->name = m->shown;
    v->name_rank = m->name_rank;
    v->addr = m->addr;
    v->told_addr = told_address(m);
    v->status = m->status;
    v->incarnation = m->rec.incarnation;
    v->labels = m->label_map;
    v->version = m->version;
    v->since_wall_ms = m->since_wall_ms;
    v->reason = m->reason;
    v->observer = m->observer;
    v->is_self = m == c->self;
    v->is_linked = m->link == LINK_UP;
    v->path = m->path;
    v->is_copied = is_copied(c, m);
    v->arrived_ago_ns = m->arrived_ns == 0 ? UINT64_MAX : c->now_ns - m->arrived_ns;
    v->last_heard_ns = m->last_heard_ns == 0 ? UINT64_MAX : c->now_ns - m->last_heard_ns;
    if (m->knocks.nonce != 0 && c->now_ns - m->knocks.since_ns < KNOCKS_SHOWN_NS) {
        v->knocked = knocks_due(c, &m->knocks, KNOCK_SMALL);
        v->knock_answers = m->knocks.answered[KNOCK_SMALL];
        v->knocked_large = knocks_due(c, &m->knocks, KNOCK_LARGE);
        v->knock_answers_large = m->knocks.answered[KNOCK_LARGE];
    }
    if (m == c->self) {
        v->last_heard_ns = 0;
    } else if (member_is_up(m)) {
        v->rtt_ns = rtt_of(c, m);
    }
}

void core_member_at(const core_t *c, size_t idx, struct member_view *ret_view)
{
    HM_ASSERT(idx < c->roster.count);
    view_of(c, c->roster.items[idx], ret_view);
}

static bool id_has_prefix(const struct node_id *id, const char *who)
{
    char text[NODE_ID_TEXT_BYTES];
    size_t len = strlen(who);
    if (len == 0 || len > 2 * NODE_ID_BYTES) {
        return false;
    }
    text_hex(id->b, NODE_ID_BYTES, text);
    for (size_t i = 0; i < len; i++) {
        char c = who[i] >= 'A' && who[i] <= 'F' ? (char) (who[i] - 'A' + 'a') : who[i];
        if (text[i] != c) {
            return false;
        }
    }
    return true;
}

/* A name wins over a prefix. What is shown is what is meant. */
int core_member_find(const core_t *c, const char *who, struct member_view *ret_view)
{
    const struct member *found = NULL;
    size_t prefixed = 0;
    for (size_t i = 0; i < c->roster.count; i++) {
        const struct member *m = c->roster.items[i];
        if (strcmp(m->shown, who) == 0) {
            view_of(c, m, ret_view);
            return HM_OK;
        }
        if (id_has_prefix(&m->id, who)) {
            found = m;
            prefixed++;
        }
    }
    if (prefixed != 1) {
        return prefixed > 1 ? HM_EAMBIGUOUS : HM_ENOTFOUND;
    }
    view_of(c, found, ret_view);
    return HM_OK;
}

const struct member_event *core_event_after(const core_t *c, uint64_t seq)
{
    return evlog_after(&c->events, seq);
}

uint64_t core_event_last_seq(const core_t *c)
{
    return c->events.next_seq - 1;
}

size_t core_not_direct(const core_t *c)
{
    size_t count = 0;
    for (size_t i = 0; i < c->probe_order.count; i++) {
        count += c->probe_order.items[i]->path > PATH_DIRECT ? 1 : 0;
    }
    return count;
}

void core_status(const core_t *c, struct core_status *s)
{
    memset(s, 0, sizeof *s);
    s->mesh = c->mesh;
    s->name = c->name;
    s->name_given = c->name_given ? c->name_at_start : NULL;
    s->version = c->version;
    s->link_port = c->link_port;
    s->uptime_ns = c->now_ns - c->started_ns;
    s->boot_epoch = c->boot_epoch;
    s->view_hash = c->roster.view_hash;
    s->health = c->health;
    s->links = (unsigned) c->links_up;
    s->alive = c->roster.by_status[STATUS_ALIVE];
    s->suspect = c->roster.by_status[STATUS_SUSPECT];
    s->failed = c->roster.by_status[STATUS_FAILED];
    s->left = c->roster.by_status[STATUS_LEFT];
    s->leaving = c->leaving;
    s->store_failed = c->store_failed;
    s->isolated = c->isolated && !c->removals.is_self;
    s->removed = c->removals.is_self;
    s->aside = c->copy.aside;
    s->copy_addr = c->copy.addrs[0];
    s->answered_ago_ns = c->answer_epoch > 1 ? c->now_ns - c->answered_ns : UINT64_MAX;
    s->foreign_ago_ns = c->foreign_heard ? c->now_ns - c->foreign_ns : UINT64_MAX;
    s->foreign_addr = c->foreign_addr;
    s->gossip_queued = c->gossip.count;
    if (c->self != NULL) {
        s->id = c->self->id;
        s->addr = c->self->addr;
        s->incarnation = c->self->rec.incarnation;
    }
    for (size_t i = 0; i < HM_CANDIDATES_MAX; i++) {
        s->candidates += addr_is_none(&c->candidates[i].addr) ? 0 : 1;
    }
    s->calls_waiting = c->call_count;
}

const struct metrics *core_metrics(const core_t *c)
{
    return c->metrics;
}

uint64_t core_now_ns(const core_t *c)
{
    return c->now_ns;
}

uint64_t core_wall_ms(const core_t *c)
{
    return c->wall_ms;
}

static const struct coord *coord_of(const core_t *c, const struct node_id *id)
{
    const struct member *m = roster_find(&c->roster, id);
    if (m == c->self) {
        return &c->coord;
    }
    return m != NULL && m->has_coord ? &m->coord : NULL;
}

uint64_t core_rtt_estimate(const core_t *c, const struct node_id *a, const struct node_id *b)
{
    const struct coord *from = coord_of(c, a);
    const struct coord *to = coord_of(c, b);
    if (from == NULL || to == NULL || from == to) {
        return 0;
    }
    return coord_distance_ns(from, to);
}

size_t core_rtt_samples(const core_t *c, const struct node_id *id, uint64_t *ret_ns, size_t max)
{
    const struct member *m = roster_find(&c->roster, id);
    size_t count = m == NULL ? 0 : m->rtt_count < max ? m->rtt_count : max;
    for (size_t i = 0; i < count; i++) {
        ret_ns[i] = (uint64_t) m->rtt_us[i] * 1000;
    }
    return count;
}
