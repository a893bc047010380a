/* SPDX-License-Identifier: MPL-2.0 */
/* Who hears whom: see ctl_doctor.h.
 *
 * A direction A to B works if a datagram of A came in at B since all have knocked: so B is asked
 * about A. The same with beacons, between nodes that broadcast to the same address. Where a node
 * fails with everyone, it is one line about that node and not one for each of the others. */
#define _GNU_SOURCE
#include "cmd/ctl_doctor.h"

#include "cmd/ctl_out.h"

#include <stdio.h>
#include <string.h>

#define ARRIVED_SLACK_MS 50
#define PAIR_LINES_MAX 16 /* further single pairs are counted */
#define MATRIX_NODES_MAX 15

/* ---- who reaches whom ------------------------------------------------------------------------ */

enum way { WAY_UNKNOWN, WAY_OPEN, WAY_SHUT };

/* Did a datagram of `from` come in at `to` since? */
static enum way way_of(const struct ctl_node *from, const struct ctl_node *to, uint64_t since_ms)
{
    if (from == to || !doctor_has_answered(from) || !doctor_has_answered(to)) {
        return WAY_UNKNOWN;
    }
    const json_t *pair = doctor_about(json_object_get(to->reply, "pairs"), from);
    if (pair == NULL) {
        return WAY_UNKNOWN;
    }
    const json_t *arrived = json_object_get(pair, "arrived_ms");
    uint64_t window_ms = to->answered_ms - since_ms + ARRIVED_SLACK_MS;
    bool is_open = json_is_integer(arrived) && (uint64_t) json_integer_value(arrived) <= window_ms;
    return is_open ? WAY_OPEN : from->has_knocked ? WAY_SHUT : WAY_UNKNOWN;
}

typedef enum way way_fn(const struct ctl_node *from, const struct ctl_node *to, uint64_t since_ms);

struct ways {
    size_t open;
    size_t shut;
};

/* All ways that leave a node, or that lead to it. */
static struct ways count_ways(const struct ctl_all *all, way_fn *way, const struct ctl_node *node,
                              bool leaving, uint64_t since_ms)
{
    struct ways w = {0, 0};
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *other = &all->nodes[i];
        enum way one = leaving ? way(node, other, since_ms) : way(other, node, since_ms);
        w.open += one == WAY_OPEN ? 1 : 0;
        w.shut += one == WAY_SHUT ? 1 : 0;
    }
    return w;
}

/* Of three nodes or more one is to blame; of two nobody knows which. */
static bool is_to_blame(struct ways w)
{
    return w.open == 0 && w.shut >= 2;
}

/* Do both go on as members, over TCP or through others? Then it is a warning. */
static const char *severity(const struct ctl_node *a, const struct ctl_node *b)
{
    const json_t *ab = doctor_about(json_object_get(a->reply, "pairs"), b);
    const json_t *ba = doctor_about(json_object_get(b->reply, "pairs"), a);
    bool both = strcmp(ctl_text(ab, "status"), "alive") == 0 &&
                strcmp(ctl_text(ba, "status"), "alive") == 0;
    return both ? "warn" : "fail";
}

static const char *how_on(const struct ctl_node *a, const struct ctl_node *b)
{
    const char *path = ctl_text(doctor_about(json_object_get(a->reply, "pairs"), b), "path");
    return strcmp(path, "link") == 0      ? "; it is probed over TCP meanwhile"
           : strcmp(path, "relayed") == 0 ? "; it is probed through others meanwhile"
                                          : "";
}

/* back: the way from `to`. */
static void say_shut(json_t *lines, const struct ctl_node *from, const struct ctl_node *to,
                     bool both_ways, enum way back)
{
    char fix[512];
    char a[64];
    char b[64];
    const char *status = severity(from, to);
    snprintf(fix, sizeof fix,
             "find what drops UDP from %.63s to %.63s: a firewall (nft list ruleset) on %.80s or "
             "%.80s, or what is between them",
             doctor_ip_of(from, a), doctor_ip_of(to, b), to->name, from->name);
    if (both_ways) {
        doctor_say(lines, "reach", status, from->name, fix,
                   "UDP between %s and %s arrives neither way%s", from->name, to->name,
                   how_on(from, to));
    } else {
        doctor_say(lines, "reach", status, from->name, fix,
                   "UDP from %s does not arrive at %s; from %s to %s it %s%s", from->name, to->name,
                   to->name, from->name,
                   back == WAY_OPEN   ? "does"
                   : back == WAY_SHUT ? "does not either"
                                      : "could not be tried",
                   how_on(from, to));
    }
}

/* A warning as long as all of them go on as members with it. */
static const char *severity_of_all(const struct ctl_all *all, const struct ctl_node *node)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *other = &all->nodes[i];
        if (other != node && doctor_has_answered(other) && doctor_has_answered(node) &&
            strcmp(severity(node, other), "fail") == 0) {
            return "fail";
        }
    }
    return "warn";
}

static void say_blamed(json_t *lines, const struct ctl_all *all, const struct ctl_node *node,
                       bool is_mute, bool is_deaf, size_t others)
{
    char fix[256];
    char ip[64];
    const char *status = severity_of_all(all, node);
    snprintf(fix, sizeof fix,
             "a firewall on %s (nft list ruleset: UDP %s %s), its Wi-Fi or its switch", node->name,
             is_mute && is_deaf ? "from and to"
             : is_mute          ? "from"
                                : "to",
             doctor_ip_of(node, ip));
    if (is_mute && is_deaf) {
        doctor_say(lines, "reach", status, node->name, fix,
                   "no UDP from %s arrives at any of the %zu others, and none of the %zu others "
                   "arrives at %s",
                   node->name, others, others, node->name);
    } else if (is_mute) {
        doctor_say(lines, "reach", status, node->name, fix,
                   "no UDP from %s arrives at any of the %zu others", node->name, others);
    } else {
        doctor_say(lines, "reach", status, node->name, fix,
                   "no UDP of the %zu others arrives at %s", others, node->name);
    }
}

static void check_pair(json_t *lines, const struct ctl_all *all, const struct ctl_node *a,
                       const struct ctl_node *b, uint64_t since_ms, size_t *said)
{
    bool ab = way_of(a, b, since_ms) == WAY_SHUT &&
              !is_to_blame(count_ways(all, way_of, a, true, since_ms)) &&
              !is_to_blame(count_ways(all, way_of, b, false, since_ms));
    bool ba = way_of(b, a, since_ms) == WAY_SHUT &&
              !is_to_blame(count_ways(all, way_of, b, true, since_ms)) &&
              !is_to_blame(count_ways(all, way_of, a, false, since_ms));
    if ((!ab && !ba) || (*said)++ >= PAIR_LINES_MAX) {
        return;
    }
    say_shut(lines, ab ? a : b, ab ? b : a, ab && ba,
             ab ? way_of(b, a, since_ms) : way_of(a, b, since_ms));
}

void doctor_reach(json_t *lines, const struct ctl_all *all, uint64_t since_ms)
{
    size_t open = 0;
    size_t shut = 0;
    size_t said = 0;
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *node = &all->nodes[i];
        struct ways out = count_ways(all, way_of, node, true, since_ms);
        struct ways in = count_ways(all, way_of, node, false, since_ms);
        open += out.open;
        shut += out.shut;
        if (is_to_blame(out) || is_to_blame(in)) {
            say_blamed(lines, all, node, is_to_blame(out), is_to_blame(in),
                       is_to_blame(out) ? out.shut : in.shut);
        }
        for (size_t k = 0; k < i; k++) {
            check_pair(lines, all, &all->nodes[k], node, since_ms, &said);
        }
    }
    if (said > PAIR_LINES_MAX) {
        doctor_say(lines, "reach", "warn", NULL, NULL, "%zu further pairs do not hear each other",
                   said - PAIR_LINES_MAX);
    }
    if (shut == 0 && open > 0) {
        doctor_say(lines, "reach", "ok", NULL, NULL,
                   "UDP arrives between every two nodes, both ways: %zu ways tried", open);
    }
}

/* ---- broadcast ------------------------------------------------------------------------------- */

static bool is_flooded(const struct ctl_node *node)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(node->reply, "checks"), i, line)
    {
        if (strcmp(ctl_text(line, "check"), "strangers") == 0 &&
            strcmp(ctl_text(line, "status"), "warn") == 0) {
            return true;
        }
    }
    return false;
}

static bool is_any_flooded(const struct ctl_all *all)
{
    size_t i = 0;
    while (i < all->count && !is_flooded(&all->nodes[i])) {
        i++;
    }
    return i < all->count;
}

static bool share_network(const struct ctl_node *a, const struct ctl_node *b)
{
    size_t i;
    size_t k;
    json_t *one;
    json_t *two;
    json_array_foreach(json_object_get(a->reply, "networks"), i, one)
    {
        json_array_foreach(json_object_get(b->reply, "networks"), k, two)
        {
            if (strcmp(ctl_text_of(one), ctl_text_of(two)) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Did a beacon of `from` come in at `to` since, if it could? */
static enum way beacon_way(const struct ctl_node *from, const struct ctl_node *to,
                           uint64_t since_ms)
{
    size_t i;
    json_t *beacon;
    if (from == to || !doctor_has_answered(from) || !doctor_has_answered(to) ||
        !share_network(from, to)) {
        return WAY_UNKNOWN;
    }
    uint64_t window_ms = to->answered_ms - since_ms + ARRIVED_SLACK_MS;
    json_array_foreach(json_object_get(to->reply, "beacons"), i, beacon)
    {
        if (strcmp(ctl_text(beacon, "id"), from->id) == 0 &&
            (uint64_t) ctl_int(beacon, "ago_ms") <= window_ms) {
            return WAY_OPEN;
        }
    }
    if (is_flooded(to)) {
        return WAY_UNKNOWN; /* strangers' beacons displace those of members */
    }
    /* Where no UDP passes at all, that is said already. */
    return from->has_knocked && way_of(from, to, since_ms) == WAY_OPEN ? WAY_SHUT : WAY_UNKNOWN;
}

static const char *const broadcast_fix = "what drops UDP broadcast to port 5670 (AP or client "
                                         "isolation, a firewall)? Until it is mended, "
                                         "name a node that is there: meshd --join=ADDRESS";

/* Single nodes that somebody else is heard by. */
static void check_broadcast_of(json_t *lines, const struct ctl_all *all,
                               const struct ctl_node *node, uint64_t since_ms)
{
    char names[DOCTOR_NAMES_BYTES] = "";
    if (is_to_blame(count_ways(all, beacon_way, node, false, since_ms))) {
        return;
    }
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *other = &all->nodes[i];
        if (beacon_way(other, node, since_ms) == WAY_SHUT &&
            !is_to_blame(count_ways(all, beacon_way, other, true, since_ms))) {
            doctor_add_name(names, other->name);
        }
    }
    if (names[0] != '\0') {
        doctor_say(lines, "broadcast", "warn", node->name, broadcast_fix,
                   "does not hear the beacons of %s", names);
    }
}

/* Nodes that hear nobody, or that nobody hears: one line for all of them. */
static void check_broadcast_blamed(json_t *lines, const struct ctl_all *all, bool leaving,
                                   uint64_t since_ms)
{
    const struct ctl_node *last = NULL;
    char names[DOCTOR_NAMES_BYTES] = "";
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (is_to_blame(count_ways(all, beacon_way, &all->nodes[i], leaving, since_ms))) {
            last = &all->nodes[i];
            doctor_add_name(names, last->name);
            count++;
        }
    }
    if (count == 1) {
        doctor_say(lines, "broadcast", "warn", last->name, broadcast_fix, "%s",
                   leaving ? "no other node on its network hears its beacons"
                           : "hears no beacons of the others on its network");
    } else if (count > 1) {
        doctor_say(lines, "broadcast", "warn", NULL, broadcast_fix,
                   leaving ? "no other node hears the beacons of %s"
                           : "no beacons of others are heard by %s",
                   names);
    }
}

void doctor_broadcast(json_t *lines, const struct ctl_all *all, uint64_t since_ms)
{
    size_t open = 0;
    size_t shut = 0;
    for (size_t i = 0; i < all->count; i++) {
        struct ways out = count_ways(all, beacon_way, &all->nodes[i], true, since_ms);
        open += out.open;
        shut += out.shut;
    }
    if (open + shut == 0 && is_any_flooded(all)) {
        doctor_say(lines, "broadcast", "ok", NULL, NULL,
                   "cannot be told while strangers flood the network with beacons");
    } else if (all->count == 1) {
        doctor_say(lines, "broadcast", "ok", NULL, NULL,
                   "no other node is known here; if there is one, a firewall on this machine may drop "
                   "5670/udp (nft list ruleset)");
    } else if (open + shut == 0) {
        doctor_say(lines, "broadcast", "ok", NULL, NULL,
                   "no two nodes are on one network, so there is nothing to hear");
    } else if (shut == 0) {
        doctor_say(lines, "broadcast", "ok", NULL, NULL,
                   "every node hears the beacons of the others on its network");
    } else if (open == 0) {
        doctor_say(lines, "broadcast", "warn", NULL, broadcast_fix,
                   "no node hears the beacons of another: the network drops broadcast");
    } else {
        check_broadcast_blamed(lines, all, false, since_ms);
        check_broadcast_blamed(lines, all, true, since_ms);
        for (size_t i = 0; i < all->count; i++) {
            check_broadcast_of(lines, all, &all->nodes[i], since_ms);
        }
    }
}

/* ---- the matrix ------------------------------------------------------------------------------ */

void doctor_print_matrix(struct out *out, const struct ctl_all *all, uint64_t since_ms)
{
    struct out_column columns[MATRIX_NODES_MAX + 1] = {{.header = "UDP FROM \\ TO"}};
    size_t shut = 0;
    for (size_t i = 0; i < all->count; i++) {
        shut += count_ways(all, way_of, &all->nodes[i], true, since_ms).shut;
    }
    if (shut == 0 || all->count > MATRIX_NODES_MAX) {
        return;
    }
    for (size_t i = 0; i < all->count; i++) {
        columns[i + 1].header = all->nodes[i].name;
    }
    table_t *table = table_new(columns, all->count + 1);
    for (size_t i = 0; i < all->count && table != NULL; i++) {
        table_add(table, STYLE_BOLD, all->nodes[i].name);
        for (size_t k = 0; k < all->count; k++) {
            enum way way = way_of(&all->nodes[i], &all->nodes[k], since_ms);
            table_add(table,
                      way == WAY_OPEN   ? STYLE_GREEN
                      : way == WAY_SHUT ? STYLE_RED
                                        : STYLE_DIM,
                      way == WAY_OPEN   ? "arrives"
                      : way == WAY_SHUT ? "LOST"
                      : i == k          ? "-"
                                        : "?");
        }
    }
    if (table != NULL) {
        fputc('\n', stdout);
        table_print(table, out);
        table_destroy(&table);
    }
}
