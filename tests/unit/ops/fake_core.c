/* SPDX-License-Identifier: MPL-2.0 */
/* A core that only answers queries: see fake_core.h. */
#include "fake_core.h"

#include "base/err.h"
#include "base/text.h"

#include <string.h>

int core_rename(core_t *core, const char *name)
{
    (void) core, (void) name;
    return HM_OK;
}

int core_remove(core_t *core, const struct node_id *id, uint64_t *ret_ticket)
{
    static struct removal_view view;
    for (size_t i = 0; i < core->member_count; i++) {
        if (node_id_eq(&core->members[i].id, id)) {
            view = (struct removal_view){.id = *id, .by = core->members[0].id, .wall_ms = core->wall_ms};
            text_copy(view.name, sizeof view.name, core->members[i].name);
            text_copy(view.by_name, sizeof view.by_name, core->members[0].name);
            core->removals = &view;
            core->removal_count = 1;
            core->member_count--;
            memmove(core->members + i, core->members + i + 1,
                    (core->member_count - i) * sizeof *core->members);
            *ret_ticket = 1;
            return HM_OK;
        }
    }
    return HM_ENOTFOUND;
}

size_t core_removal_count(const core_t *core)
{
    return core->removal_count;
}

void core_removal_at(core_t *core, size_t idx, struct removal_view *ret_view)
{
    HM_ASSERT(idx < core->removal_count);
    *ret_view = core->removals[idx];
}

const char *member_path_name(enum member_path path)
{
    static const char *const names[] = {"", "direct", "relayed", "link"};
    return names[path];
}

const char *member_status_name(enum member_status status)
{
    static const char *const names[] = {"alive", "suspect", "failed", "left"};
    return names[status];
}

const char *member_event_name(enum member_event_type type)
{
    static const char *const names[] = {"node.alive", "node.suspect", "node.failed", "node.left",
                                        "node.updated", "node.notice", "node.removed"};
    return names[type];
}

size_t core_member_count(const core_t *core)
{
    return core->member_count;
}

void core_member_at(const core_t *core, size_t idx, struct member_view *ret_view)
{
    HM_ASSERT(idx < core->member_count);
    *ret_view = core->members[idx];
}

int core_member_find(const core_t *core, const char *who, struct member_view *ret_view)
{
    size_t found = 0;
    for (size_t i = 0; i < core->member_count; i++) {
        char id[NODE_ID_TEXT_BYTES];
        text_hex(core->members[i].id.b, NODE_ID_BYTES, id);
        bool is_prefix = who[0] != '\0' && strncmp(id, who, strlen(who)) == 0;
        if (strcmp(core->members[i].name, who) == 0 || is_prefix) {
            *ret_view = core->members[i];
            found++;
        }
    }
    return found == 0 ? HM_ENOTFOUND : found == 1 ? HM_OK : HM_EAMBIGUOUS;
}

const struct member_event *core_event_after(const core_t *core, uint64_t seq)
{
    for (size_t i = 0; i < core->event_count; i++) {
        if (core->events[i].seq > seq) {
            return &core->events[i];
        }
    }
    return NULL;
}

uint64_t core_event_last_seq(const core_t *core)
{
    return core->last_seq;
}

size_t core_not_direct(const core_t *core)
{
    (void) core;
    return 0;
}

void core_status(const core_t *core, struct core_status *ret_status)
{
    *ret_status = core->status;
}

bool core_is_starting(const core_t *core)
{
    return core->is_starting;
}

const struct metrics *core_metrics(const core_t *core)
{
    return &core->metrics;
}

uint64_t core_now_ns(const core_t *core)
{
    return core->status.uptime_ns;
}

uint64_t core_wall_ms(const core_t *core)
{
    return core->wall_ms;
}

uint64_t core_rtt_estimate(const core_t *core, const struct node_id *a, const struct node_id *b)
{
    return node_id_eq(a, b) ? 0 : core->estimate_ns;
}

size_t core_rtt_samples(const core_t *core, const struct node_id *id, uint64_t *ret_ns, size_t max)
{
    size_t count = core->sample_count < max ? core->sample_count : max;
    (void) id;
    memcpy(ret_ns, core->samples_ns, count * sizeof *ret_ns);
    return count;
}

void core_knock(core_t *core)
{
    core->knocks++;
}

void core_leave(core_t *core)
{
    core->leaves++;
}

#define WALL_MS 1795231207125u /* 2026-11-21T03:20:07.125Z */

static struct node_id id_of(uint8_t first)
{
    struct node_id id = {{first, 0x11, 0x22, 0x33}};
    return id;
}

/* {"role": "storage", "arch": "arm64"} */
static const uint8_t labels[] = "\x82\xa4role\xa7storage\xa4"
                                "arch\xa5"
                                "arm64";

/* ---- the registry, a real one ---------------------------------------------------------------- */

registry_t *core_registry(core_t *c)
{
    return c->replica.r;
}

int core_write(core_t *c, const struct registry_write *w, struct dot *ret_dot, uint64_t *ret_ticket)
{
    int rc = c->write_code != HM_OK ? c->write_code : registry_write(c->replica.r, w, ret_dot);
    if (rc == HM_OK) {
        *ret_ticket = registry_round(c->replica.r);
    }
    if (rc == HM_OK && !c->is_slow) {
        replica_commit(&c->replica);
    }
    return rc;
}

int core_restore(core_t *c, struct span bytes, bool *ret_new, uint64_t *ret_ticket)
{
    enum registry_outcome outcome = REGISTRY_KNOWN;
    int rc = registry_merge(c->replica.r, bytes, &outcome);
    *ret_new = rc == HM_OK && outcome == REGISTRY_NEW;
    if (*ret_new) {
        *ret_ticket = registry_round(c->replica.r);
        replica_commit(&c->replica);
    }
    return rc;
}

enum registry_fate core_write_fate(const core_t *c, uint64_t ticket)
{
    return registry_fate(c->replica.r, ticket);
}

void core_registry_status(const core_t *c, struct core_registry_status *ret_status)
{
    *ret_status = c->registry_status;
    ret_status->state = registry_state(c->replica.r);
    ret_status->totals = *registry_totals(c->replica.r);
    if (c->registry_status.totals.bytes > 0) {
        ret_status->totals.bytes = c->registry_status.totals.bytes;
    }
    ret_status->lives = registry_vector(c->replica.r)->count;
    ret_status->waiting_bytes = registry_pending_bytes(c->replica.r);
}

bool core_registry_peer(const core_t *c, size_t idx, struct core_registry_peer *ret_peer)
{
    const struct member_view *m = &c->members[idx];
    if (m->is_self || (m->status != STATUS_ALIVE && m->status != STATUS_SUSPECT)) {
        return false;
    }
    *ret_peer = (struct core_registry_peer){.id = m->id,
                                            .is_known = true,
                                            .state = 7,
                                            .differs_ns = c->registry_status.divergent_ns,
                                            .is_linked = true,
                                            .is_later = c->is_later};
    return true;
}

bool core_is_syncing(const core_t *c)
{
    return c->registry_status.is_syncing;
}

/* ---- services, as they are told ---------------------------------------------------------------- */

bool core_service_next(core_t *c, struct service_walk *walk, struct service_view *ret_view)
{
    while (walk->at_bytes < c->service_count) {
        *ret_view = c->services[walk->at_bytes++];
        if (node_id_is_zero(&walk->only) || node_id_eq(&walk->only, &ret_view->node)) {
            return true;
        }
    }
    return false;
}

struct span core_service_id(core_t *c, const struct svc *s, char text[HM_SERVICE_ID_BYTES_MAX + 1])
{
    (void) c;
    memcpy(text, s->name.data, s->name.size);
    text[s->name.size] = '\0';
    return span_of(text, s->name.size);
}

int core_service_register(core_t *c, const struct svc *s, uint64_t *ret_ticket)
{
    *ret_ticket = 0;
    c->said = *s;
    return c->service_code;
}

int core_service_deregister(core_t *c, struct span id, uint64_t *ret_ticket)
{
    *ret_ticket = 0;
    c->said = (struct svc){.id = id};
    return c->service_code;
}

int core_service_check(core_t *c, struct span id, enum svc_health health, struct span text,
                       uint64_t *ret_ticket)
{
    *ret_ticket = 0;
    c->said = (struct svc){.id = id, .health = health, .text = text};
    return c->service_code;
}

struct span core_service_file(core_t *c, struct span id)
{
    (void) c, (void) id;
    return span_of("web.yaml", 8);
}

void fake_core_other(core_t *c, const char *key, const char *value)
{
    struct replica other;
    struct prng prng;
    prng_init(&prng, 2);
    replica_init(&other, 0x0b, &prng);
    other.id = id_of(0x0b);
    other.boots = c->others++;
    replica_crash(&other);
    assert_int_equal(replica_write(&other, key, value), HM_OK);
    replica_commit(&other);
    replica_pass(&other, &c->replica);
    replica_commit(&c->replica);
    replica_fini(&other);
}

/* "attic" with two values. */
static void make_registry(core_t *c)
{
    static struct prng prng;
    prng_init(&prng, 1);
    replica_init(&c->replica, 0x0a, &prng);
    c->replica.id = id_of(0x0a);
    replica_crash(&c->replica);
    c->is_slow = false;
    c->write_code = HM_OK;
    c->others = 0;
    assert_int_equal(replica_write(&c->replica, "kv/attic", "up here"), HM_OK);
    replica_commit(&c->replica);
    fake_core_other(c, "kv/attic", "down there");
}

core_t *fake_core_small(void)
{
    static struct core core;
    static struct member_view members[3];
    static struct member_event events[2];
    static struct service_view services[2];
    if (core.replica.disk != NULL) {
        replica_fini(&core.replica);
    }
    memset(&core, 0, sizeof core);
    core.wall_ms = WALL_MS;
    members[0] = (struct member_view){.id = id_of(0x0a),
                                      .name = "nas1",
                                      .addr = addr_v4(10, 0, 0, 1, 8471),
                                      .told_addr = addr_v4(10, 0, 0, 71, 8471),
                                      .version = "0.1.0",
                                      .status = STATUS_ALIVE,
                                      .incarnation = 3,
                                      .since_wall_ms = WALL_MS - 60000,
                                      .is_self = true,
                                      .labels = {labels, sizeof labels - 1}};
    members[1] = (struct member_view){.id = id_of(0x0b),
                                      .name = "attic",
                                      .addr = addr_v4(10, 0, 0, 2, 8471),
                                      .told_addr = addr_v4(10, 0, 0, 72, 8471),
                                      .version = "0.1.0",
                                      .status = STATUS_FAILED,
                                      .incarnation = 1,
                                      .since_wall_ms = WALL_MS - 5000,
                                      .rtt_ns = 412345,
                                      .last_heard_ns = 6000000000u,
                                      .reason = REASON_REFUSED,
                                      .observer = id_of(0x0a)};
    members[2] = (struct member_view){.id = id_of(0x0c),
                                      .name = "pi2",
                                      .version = "",
                                      .status = STATUS_SUSPECT,
                                      .last_heard_ns = UINT64_MAX,
                                      .reason = REASON_NO_ACK,
                                      .observer = id_of(0xee),
                                      .since_wall_ms = WALL_MS - 500,
                                      .is_linked = true};
    events[0] = (struct member_event){.seq = 7,
                                      .wall_ms = WALL_MS - 60000,
                                      .type = EVENT_ALIVE,
                                      .node = id_of(0x0b),
                                      .name = "attic",
                                      .reason = REASON_JOINED,
                                      .observer = id_of(0x0a),
                                      .incarnation = 1};
    events[1] = (struct member_event){.seq = 8,
                                      .wall_ms = WALL_MS - 5000,
                                      .type = EVENT_FAILED,
                                      .node = id_of(0x0b),
                                      .name = "attic",
                                      .reason = REASON_REFUSED,
                                      .observer = id_of(0x0a),
                                      .evidence = {.is_known = true, .health = 2},
                                      .incarnation = 1};
    core.members = members;
    core.member_count = 3;
    core.events = events;
    core.event_count = 2;
    services[0] = (struct service_view){.node = id_of(0x0a),
                                        .svc = {.id = span_of("attic-80", 8),
                                                .name = span_of("attic", 5),
                                                .version = span_of("1.2", 3),
                                                .port = 80,
                                                .tags = span_of("\xa4" "blue\xa3web", 9),
                                                .tag_count = 2,
                                                .meta = span_of("\xa4rack\xa1" "1", 7),
                                                .meta_count = 1,
                                                .health = SVC_WARNING,
                                                .text = span_of("slow", 4),
                                                .ttl_ms = 30000},
                                        .wall_ms = WALL_MS - 1000};
    services[1] = (struct service_view){.node = id_of(0x0c),
                                        .svc = {.id = span_of("nas", 3),
                                                .name = span_of("nas", 3),
                                                .address = span_of("fd00::1", 7),
                                                .port = 445,
                                                .source = SVC_FILE,
                                                .file = span_of("nas.yaml", 8)},
                                        .wall_ms = WALL_MS - 2000};
    core.services = services;
    core.service_count = 2;
    core.last_seq = 8;
    core.status = (struct core_status){.id = id_of(0x0a),
                                       .mesh = "homelab",
                                       .name = "nas1",
                                       .version = "0.1.0",
                                       .addr = addr_v4(10, 0, 0, 1, 8471),
                                       .link_port = 40001,
                                       .uptime_ns = 61234000000u,
                                       .incarnation = 3,
                                       .boot_epoch = 0xfedcba9876543210u,
                                       .view_hash = 0x0123456789abcdefu,
                                       .health = 2,
                                       .links = 1,
                                       .alive = 1,
                                       .suspect = 1,
                                       .failed = 1,
                                       .store_failed = true,
                                       .foreign_ago_ns = 12000000000u,
                                       .foreign_addr = addr_v4(10, 0, 0, 9, 8471)};
    core.metrics.value[M_PROBES] = 61;
    core.samples_ns[0] = 400000;
    core.samples_ns[1] = 500000;
    core.sample_count = 2;
    core.estimate_ns = 450000;
    make_registry(&core);
    return &core;
}
