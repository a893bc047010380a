/* SPDX-License-Identifier: MPL-2.0 */
/* Handler of the operation status: what somebody wants to know first when something is wrong. */
#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "ops/ops_call.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdio.h>

#define ABSENT_MAX 16                   /* members in trouble that are named; the rest is counted */
#define HEALTH_MAX 8                    /* core_status.health */
#define FOREIGN_RECENT_NS 300000000000u /* idle nodes beacon every 10 s: silent for 5 min is gone */
#define NS_PER_MS 1000000u

static void put_members(struct buf *b, const struct core_status *s)
{
    mp_str(b, "members");
    mp_map(b, 4);
    ops_put_uint(b, "alive", s->alive);
    ops_put_uint(b, "suspect", s->suspect);
    ops_put_uint(b, "failed", s->failed);
    ops_put_uint(b, "left", s->left);
}

/* Failed ones first, each group by id. */
static size_t find_absent(const core_t *core, struct member_view found[ABSENT_MAX])
{
    static const enum member_status order[] = {STATUS_FAILED, STATUS_SUSPECT};
    size_t count = 0;
    size_t all = core_member_count(core);
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < all && count < ABSENT_MAX; i++) {
            core_member_at(core, i, &found[count]);
            count += found[count].status == order[k] ? 1 : 0;
        }
    }
    return count;
}

static void put_absent(struct buf *b, const struct member_view *found, size_t count)
{
    mp_str(b, "absent");
    mp_array(b, count);
    for (size_t i = 0; i < count; i++) {
        mp_map(b, 4);
        ops_put_str(b, "name", found[i].name);
        ops_put_id(b, "id", &found[i].id);
        ops_put_str(b, "status", member_status_name(found[i].status));
        ops_put_time(b, "since", found[i].since_wall_ms);
    }
}

static bool is_foreign_recent(const struct core_status *s)
{
    return s->foreign_ago_ns < FOREIGN_RECENT_NS;
}

static void put_foreign(struct buf *b, const struct core_status *s)
{
    mp_str(b, "foreign_key");
    if (!is_foreign_recent(s)) {
        mp_nil(b);
        return;
    }
    mp_map(b, 2);
    ops_put_addr(b, "address", &s->foreign_addr);
    ops_put_uint(b, "ago_ms", s->foreign_ago_ns / NS_PER_MS);
}

/* node: the one other that it is about, or "". */
static void put_problem_of(struct buf *b, const char *code, const char *text, const char *mend,
                           const char *node)
{
    mp_map(b, 4);
    ops_put_str(b, "code", code);
    ops_put_str(b, "text", text);
    ops_put_str_or_nil(b, "mend", mend);
    ops_put_str_or_nil(b, "node", node);
}

static void put_problem(struct buf *b, const char *code, const char *text, const char *mend)
{
    put_problem_of(b, code, text, mend, "");
}

static void put_foreign_problem(struct buf *b, const struct core_status *s)
{
    char text[256];
    char mend[384];
    char addr[ADDR_TEXT_BYTES];
    snprintf(text, sizeof text,
             "another mesh named %s, with another key, was heard from %s %" PRIu64 " s ago",
             s->mesh, addr_format(&s->foreign_addr, addr), s->foreign_ago_ns / 1000000000u);
    snprintf(
        mend, sizeof mend,
        "to make it one mesh: run \"meshctl token\" on a node of the mesh that stays, then restart "
        "each "
        "node of the other with that token on its standard input: meshd --discover=%s --token=-",
        s->mesh);
    put_problem(b, "foreign-key", text, mend);
}

/* "nas1, pi2 and 3 more" */
static void name_some(const struct member_view *found, size_t found_count,
                      enum member_status status, size_t all, char *to, size_t max)
{
    size_t used = 0;
    size_t named = 0;
    to[0] = '\0';
    for (size_t i = 0; i < found_count && named < 4; i++) {
        if (found[i].status == status) {
            int size =
                snprintf(to + used, max - used, "%s%s", named > 0 ? ", " : "", found[i].name);
            used += size > 0 && (size_t) size < max - used ? (size_t) size : 0;
            named++;
        }
    }
    if (all > named) {
        snprintf(to + used, max - used, " and %zu more", all - named);
    }
}

static void put_absent_problem(struct buf *b, const core_t *core, const struct core_status *s,
                               const struct member_view *found, size_t found_count,
                               enum member_status status)
{
    char names[320];
    char text[512];
    char mend[128] = "";
    bool is_failed = status == STATUS_FAILED;
    size_t all = is_failed ? s->failed : s->suspect;
    size_t first = 0;
    name_some(found, found_count, status, all, names, sizeof names);
    snprintf(text, sizeof text, "%zu of %zu nodes %s: %s", all,
             s->alive + s->suspect + s->failed + s->left,
             is_failed  ? "failed"
             : all == 1 ? "is suspect"
                        : "are suspect",
             names);
    while (first < found_count && found[first].status != status) {
        first++;
    }
    if (first < found_count) {
        struct member_view named;
        char id[NODE_ID_TEXT_BYTES];
        /* A name that two nodes share would be refused. */
        bool is_unique = core_member_find(core, found[first].name, &named) == HM_OK &&
                         node_id_eq(&named.id, &found[first].id);
        text_hex(found[first].id.b, NODE_ID_BYTES, id);
        snprintf(mend, sizeof mend, "who saw it and why: meshctl nodes events %.*s",
                 is_unique ? HM_NAME_BYTES_MAX : 12, is_unique ? found[first].name : id);
    }
    put_problem(b, is_failed ? "members-failed" : "members-suspect", text, mend);
}

static void put_slow_problem(struct buf *b, const struct core_status *s)
{
    char text[160];
    snprintf(text, sizeof text,
             "lately this node answered slowly or its network lost packets: health score %u, 0 is "
             "healthy, %u worst",
             s->health, (unsigned) HEALTH_MAX);
    put_problem(b, "slow", text,
                "it falls within half a minute when the trouble is over; if not: uptime, vmstat 1, "
                "ip -s link");
}

static void put_isolated_problem(struct buf *b, const struct core_status *s)
{
    char text[192];
    char ago[48] = "";
    if (s->answered_ago_ns != UINT64_MAX) {
        snprintf(ago, sizeof ago, " for %" PRIu64 " s", s->answered_ago_ns / 1000000000u);
    }
    snprintf(text, sizeof text,
             "this node is isolated: nobody has answered it%s. What it says of others may be its own "
             "trouble",
             ago);
    put_problem(b, "isolated", text,
                "look at its cable, Wi-Fi and firewall: ip -br addr, ip -s link, nft list ruleset");
}

/* Members reached in other ways than directly; names the first few of one kind. */
static size_t find_paths(const core_t *core, enum member_path path, char *names, size_t max)
{
    size_t count = 0;
    size_t used = 0;
    names[0] = '\0';
    for (size_t i = 0; i < core_member_count(core); i++) {
        struct member_view m;
        core_member_at(core, i, &m);
        if (m.path != path || m.is_self || m.status > STATUS_SUSPECT) {
            continue;
        }
        if (count++ < 4) {
            int size = snprintf(names + used, max - used, "%s%s", used > 0 ? ", " : "", m.name);
            used += size > 0 && (size_t) size < max - used ? (size_t) size : 0;
        }
    }
    if (count > 4) {
        snprintf(names + used, max - used, " and %zu more", count - 4);
    }
    return count;
}

static size_t count_path_problems(const core_t *core)
{
    char names[320];
    return (find_paths(core, PATH_LINK, names, sizeof names) > 0 ? 1u : 0u) +
           (find_paths(core, PATH_RELAYED, names, sizeof names) > 0 ? 1u : 0u);
}

static void put_path_problems(struct buf *b, const core_t *core, const struct core_status *s)
{
    char names[320];
    char text[448];
    char mend[160];
    snprintf(mend, sizeof mend, "let UDP port %u through, both ways, at the firewalls between them",
             (unsigned) s->addr.port);
    if (find_paths(core, PATH_LINK, names, sizeof names) > 0) {
        snprintf(text, sizeof text, "UDP between this node and %s is blocked; TCP works", names);
        put_problem(b, "path", text, mend);
    }
    if (find_paths(core, PATH_RELAYED, names, sizeof names) > 0) {
        snprintf(text, sizeof text,
                 "this node does not reach %s, others do: something between them drops packets",
                 names);
        put_problem(b, "path", text, mend);
    }
}

/* The first member that shares its name with one before it, and is up. */
static bool find_same_name(const core_t *core, struct member_view *ret_view)
{
    for (size_t i = 0; i < core_member_count(core); i++) {
        core_member_at(core, i, ret_view);
        if (ret_view->name_rank > 1 && ret_view->status <= STATUS_SUSPECT) {
            return true;
        }
    }
    return false;
}

static void put_same_name_problem(struct buf *b, const core_t *core)
{
    struct member_view m;
    char text[256];
    char mend[256];
    char id[NODE_ID_TEXT_BYTES];
    if (find_same_name(core, &m)) {
        snprintf(text, sizeof text, "two nodes have one name; the one with the id %.12s is shown as %s",
                 text_hex(m.id.b, NODE_ID_BYTES, id), m.name);
        snprintf(mend, sizeof mend, "give it a name of its own: meshctl --node=%s nodes rename NEW",
                 m.name);
        put_problem(b, "same-name", text, mend);
    }
}

/* The first member of which two processes were seen; ourselves first. */
static bool find_copied(const core_t *core, struct member_view *ret_view)
{
    bool found = false;
    for (size_t i = 0; i < core_member_count(core); i++) {
        struct member_view m;
        core_member_at(core, i, &m);
        if (m.is_copied && (!found || m.is_self)) {
            *ret_view = m;
            found = true;
        }
    }
    return found;
}

static void put_copied_problem(struct buf *b, const core_t *core, const struct core_status *s)
{
    struct member_view m;
    char addr[ADDR_TEXT_BYTES];
    char text[320];
    char mend[256];
    if (!find_copied(core, &m) && !s->aside) {
        return;
    }
    snprintf(mend, sizeof mend,
             "on the machine that is the copy: stop meshd, run it once with --discover=%s "
             "--new-identity (and its --data-dir), start it again",
             s->mesh);
    if (s->aside || m.is_self) {
        snprintf(text, sizeof text,
                 "another process%s%s uses this node's identity: a data directory was copied. %s",
                 addr_is_none(&s->copy_addr) ? "" : " at ",
                 addr_is_none(&s->copy_addr) ? "" : addr_format(&s->copy_addr, addr),
                 s->aside ? "This one keeps out of the mesh while the other is there"
                          : "The other keeps out of the mesh while this one is there");
    } else {
        snprintf(text, sizeof text,
                 "two processes use the identity of %s, or did in the last five minutes: a data "
                 "directory was copied",
                 m.name);
    }
    put_problem_of(b, "same-identity", text, mend, s->aside || m.is_self ? "" : m.name);
}

/* What else is wrong follows from that. */
static void put_removed_problem(struct buf *b, core_t *core, const struct core_status *s)
{
    struct removal_view v = {.by_name = ""};
    char text[256];
    char mend[320];
    for (size_t i = 0; i < core_removal_count(core); i++) {
        core_removal_at(core, i, &v);
        if (node_id_eq(&v.id, &s->id)) {
            break;
        }
    }
    snprintf(text, sizeof text,
             "this node was removed from mesh %s by %s: it says nothing any more and keeps its data",
             s->mesh, v.by_name[0] != '\0' ? v.by_name : "another node");
    snprintf(mend, sizeof mend,
             "to make it a new node of the mesh: stop meshd, run it once with --discover=%s "
             "--new-identity (and its --data-dir), start it again",
             s->mesh);
    mp_str(b, "problems");
    mp_array(b, 1);
    put_problem(b, "removed", text, mend);
}

static void put_problems(struct buf *b, const core_t *core, const struct core_status *s,
                         const struct member_view *found, size_t found_count)
{
    struct member_view same;
    size_t count = (s->isolated ? 1u : 0u) + (find_copied(core, &same) || s->aside ? 1u : 0u) +
                   count_path_problems(core) +
                   (find_same_name(core, &same) ? 1u : 0u) +
                   (s->store_failed ? 1u : 0u) + (is_foreign_recent(s) ? 1u : 0u) +
                   (s->failed > 0 ? 1u : 0u) + (s->suspect > 0 ? 1u : 0u) +
                   (s->health > 0 ? 1u : 0u) + (s->leaving ? 1u : 0u);
    mp_str(b, "problems");
    mp_array(b, count);
    if (s->isolated) {
        put_isolated_problem(b, s);
    }
    put_copied_problem(b, core, s);
    if (s->store_failed) {
        put_problem(
            b, "store-failed",
            "the last write to disk failed: what this node learned since is lost when it stops",
            "make room or mend the disk under its data directory; its log says what failed");
    }
    if (is_foreign_recent(s)) {
        put_foreign_problem(b, s);
    }
    put_same_name_problem(b, core);
    put_path_problems(b, core, s);
    if (s->failed > 0) {
        put_absent_problem(b, core, s, found, found_count, STATUS_FAILED);
    }
    if (s->suspect > 0) {
        put_absent_problem(b, core, s, found, found_count, STATUS_SUSPECT);
    }
    if (s->health > 0) {
        put_slow_problem(b, s);
    }
    if (s->leaving) {
        put_problem(b, "leaving", "this node leaves the mesh; its meshd ends", "");
    }
}

void ops_status(struct ops_call *call)
{
    struct core_status s;
    struct member_view found[ABSENT_MAX + 1];
    struct buf *b = call->reply;
    core_status(call->core, &s);
    size_t found_count = find_absent(call->core, found);
    mp_map(b, 23);
    ops_put_str(b, "mesh", s.mesh);
    ops_put_id(b, "id", &s.id);
    ops_put_str(b, "name", s.name);
    ops_put_str(b, "version", s.version);
    ops_put_addr(b, "address", &s.addr);
    ops_put_uint(b, "link_port", s.link_port);
    ops_put_time(b, "time", core_wall_ms(call->core));
    ops_put_uint(b, "uptime_ms", s.uptime_ns / NS_PER_MS);
    ops_put_uint(b, "incarnation", s.incarnation);
    ops_put_hex(b, "boot_epoch", s.boot_epoch);
    ops_put_hex(b, "view", s.view_hash);
    put_members(b, &s);
    put_absent(b, found, found_count);
    ops_put_uint(b, "health", s.health);
    ops_put_uint(b, "health_max", HEALTH_MAX);
    ops_put_uint(b, "links", s.links);
    ops_put_bool(b, "leaving", s.leaving);
    ops_put_bool(b, "store_failed", s.store_failed);
    ops_put_bool(b, "isolated", s.isolated);
    ops_put_bool(b, "aside", s.aside);
    ops_put_bool(b, "removed", s.removed);
    put_foreign(b, &s);
    if (s.removed) {
        put_removed_problem(b, call->core, &s);
    } else {
        put_problems(b, call->core, &s, found, found_count);
    }
}
