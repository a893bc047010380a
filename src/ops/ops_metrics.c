/* SPDX-License-Identifier: MPL-2.0 */
/* Handler of the operation metrics: the counters of base/metrics.h, and gauges computed now.
 * Each bounded table shows how full it is beside its limit. */
#include "base/err.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/text.h"
#include "ops/ops_call.h"
#include "wire/mpack.h"

#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])
#define AROUND_BYTES 64

static const struct {
    const char *name;
    const char *help;
} counters[] = {
#define METRIC_TEXT(which, exported, text) [which] = {exported, text},
    METRICS_LIST(METRIC_TEXT)
#undef METRIC_TEXT
};

_Static_assert(COUNT_OF(counters) == METRIC_COUNT, "each counter is exported");

/* What comes before the value. */
static struct buf *begin(struct ops_page *page, const char *name, const char *type,
                         const char *help)
{
    struct buf *b = ops_page_begin(page);
    mp_map(b, 5);
    ops_put_str(b, "name", name);
    ops_put_str(b, "type", type);
    ops_put_str(b, "help", help);
    return b;
}

static void plain(struct ops_page *page, const char *name, const char *type, const char *help,
                  uint64_t value)
{
    struct buf *b = begin(page, name, type, help);
    mp_str(b, "labels");
    mp_map(b, 0);
    ops_put_uint(b, "value", value);
    ops_page_end(page);
}

static void gauge(struct ops_page *page, const char *name, const char *help, uint64_t value)
{
    plain(page, name, "gauge", help, value);
}

static void seconds(struct ops_page *page, const char *name, const char *help, uint64_t ns)
{
    struct buf *b = begin(page, name, "gauge", help);
    mp_str(b, "labels");
    mp_map(b, 0);
    mp_str(b, "value");
    mp_double(b, (double) (ns / 1000000u) / 1000.0);
    ops_page_end(page);
}

static void members(struct ops_page *page, enum member_status status, uint64_t value)
{
    struct buf *b = begin(page, "mesh_members", "gauge", "Members by status, this node included");
    mp_str(b, "labels");
    mp_map(b, 1);
    ops_put_str(b, "status", member_status_name(status));
    ops_put_uint(b, "value", value);
    ops_page_end(page);
}

static void info(struct ops_page *page, const struct core_status *s)
{
    char id[NODE_ID_TEXT_BYTES];
    struct buf *b = begin(page, "mesh_info", "gauge", "Which node this is; always 1");
    mp_str(b, "labels");
    mp_map(b, 4);
    ops_put_str(b, "mesh", s->mesh);
    ops_put_str(b, "name", s->name);
    ops_put_str(b, "id", text_hex(s->id.b, NODE_ID_BYTES, id));
    ops_put_str(b, "version", s->version);
    ops_put_uint(b, "value", 1);
    ops_page_end(page);
}

static void gauges(struct ops_page *page, const core_t *core, const struct core_status *s)
{
    info(page, s);
    seconds(page, "mesh_uptime_seconds", "Since the start of meshd", s->uptime_ns);
    members(page, STATUS_ALIVE, s->alive);
    members(page, STATUS_SUSPECT, s->suspect);
    members(page, STATUS_FAILED, s->failed);
    members(page, STATUS_LEFT, s->left);
    gauge(page, "mesh_members_limit", "Members that fit the roster", HM_MEMBERS_MAX);
    gauge(page, "mesh_links", "Open links to other nodes", s->links);
    gauge(page, "mesh_links_limit", "Links that may be open", HM_LINKS_MAX);
    gauge(page, "mesh_health_score", "Lifeguard's local health score, 0 is healthy", s->health);
    gauge(page, "mesh_incarnation", "SWIM's incarnation number of this node", s->incarnation);
    /* 48 bits survive the double that Prometheus keeps. */
    gauge(page, "mesh_view_hash", "Hash of the member list: equal on nodes that agree",
          s->view_hash >> 16);
    gauge(page, "mesh_gossip_queue", "Updates waiting to be gossiped", s->gossip_queued);
    gauge(page, "mesh_gossip_queue_limit", "Updates that may wait", HM_GOSSIP_QUEUE_MAX);
    gauge(page, "mesh_candidates", "Addresses being tried for first contact", s->candidates);
    gauge(page, "mesh_candidates_limit", "Addresses that may be tried", HM_CANDIDATES_MAX);
    gauge(page, "mesh_calls_waiting", "Operations waiting for a node or an event",
          s->calls_waiting);
    gauge(page, "mesh_calls_waiting_limit", "Operations that may wait", HM_CALLS_MAX);
    struct core_registry_status r;
    core_registry_status(core, &r);
    const struct registry_totals *t = &r.totals;
    seconds(page, "mesh_registry_divergent_seconds",
            "Longest time for which another's registry has differed", r.divergent_ns);
    gauge(page, "mesh_registry_entries", "Live entries of the registry", t->entries);
    gauge(page, "mesh_registry_entries_limit", "Entries it may have, with deletion marks",
          HM_ENTRIES_MAX);
    gauge(page, "mesh_registry_marks", "Deletion marks kept until every member has them", t->marks);
    gauge(page, "mesh_registry_bytes", "Of entries and marks with their keys", t->bytes);
    gauge(page, "mesh_registry_bytes_limit", "Bytes it may have", HM_REGISTRY_BYTES_MAX);
    gauge(page, "mesh_registry_pending_bytes", "On their way to the disk", r.waiting_bytes);
    gauge(page, "mesh_registry_pending_bytes_limit", "Then writes are refused", HM_PENDING_BYTES_MAX);
    gauge(page, "mesh_registry_syncing", "1 until the first agreement with another node",
          r.is_syncing ? 1 : 0);
    gauge(page, "mesh_store_failed", "1 after a write to disk that failed",
          s->store_failed ? 1 : 0);
    gauge(page, "mesh_isolated", "1 while nobody answers this node", s->isolated ? 1 : 0);
    gauge(page, "mesh_aside", "1 while another process with this node's identity is preferred",
          s->aside ? 1 : 0);
    gauge(page, "mesh_members_not_direct", "Members reached over a link or by others only",
          core_not_direct(core));
    gauge(page, "mesh_foreign_key_heard", "1 once a mesh of this name with another key was heard",
          s->foreign_ago_ns != UINT64_MAX ? 1 : 0);
}

/* What the driver keeps outside the core. */
static void driver_gauges(struct ops_page *page, const struct ops_env *env)
{
    struct fact_gauge gauges[FACT_GAUGES_MAX];
    size_t count = env->gauges != NULL ? env->gauges(env->ctx, gauges) : 0;
    for (size_t i = 0; i < count; i++) {
        char name[64];
        size_t size = strlen(gauges[i].name);
        HM_ASSERT(size + sizeof "_limit" <= sizeof name);
        memcpy(name, gauges[i].name, size);
        memcpy(name + size, "_limit", sizeof "_limit");
        gauge(page, gauges[i].name, gauges[i].help, gauges[i].value);
        if (gauges[i].limit == 0) {
            continue;
        }
        gauge(page, name, "What the metric of the same name may be at most", gauges[i].limit);
    }
}

void ops_metrics(struct ops_call *call)
{
    struct core_status status;
    struct ops_page page;
    const struct metrics *m = core_metrics(call->core);
    core_status(call->core, &status);
    ops_page_init(&page, call->reply, AROUND_BYTES);
    gauges(&page, call->core, &status);
    driver_gauges(&page, call->env);
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        plain(&page, counters[i].name, "counter", counters[i].help, m->value[i]);
    }
    if (page.is_full) {
        ops_fail(call, HM_EFULL, "the metrics do not fit into one reply");
    }
    mp_map(call->reply, 2);
    ops_page_write(&page, call->reply, "metrics");
    mp_str(call->reply, "next");
    mp_nil(call->reply);
    ops_page_fini(&page);
}
