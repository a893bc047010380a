/* SPDX-License-Identifier: MPL-2.0 */
/* What only several nodes together tell: see ctl_doctor.h.
 *
 * A direction A to B works if a datagram of A came in at B since all have knocked: so B is asked about
 * A. The same with beacons, between nodes that broadcast to the same address. Where a node fails with
 * everyone, it is one line about that node and not one for each of the others. */
#define _GNU_SOURCE
#include "cmd/ctl_doctor.h"

#include "base/err.h"
#include "cmd/ctl_out.h"
#include "ops/ops_time.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ARRIVED_SLACK_MS 50
#define CLOCK_OFF_MS 1000 /* clocks set over the network agree within a few ms */
#define COPY_RECENT_MS 15000 /* idle nodes beacon every 10 s */
#define PAIR_LINES_MAX 16    /* further single pairs are counted */
#define MATRIX_NODES_MAX 15

void doctor_say(json_t *lines, const char *check, const char *status, const char *node,
                const char *fix, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ctl_clean(text); /* cut within a character, JSON would not take it, and the line be lost */
    json_array_append_new(lines, json_pack("{s:s, s:s, s:s?, s:s, s:s?}", "check", check, "status",
                                           status, "node", node, "text", text, "fix", fix));
}

int ctl_doctor_exit(const json_t *lines)
{
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        if (strcmp(ctl_text(line, "status"), "fail") == 0) {
            return EXIT_REFUSED;
        }
    }
    return EXIT_DONE;
}

static bool has_answered(const struct ctl_node *node)
{
    return node->reply != NULL;
}

static size_t count_answered(const struct ctl_all *all)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        count += has_answered(&all->nodes[i]) ? 1 : 0;
    }
    return count;
}

void doctor_add_name(char names[DOCTOR_NAMES_BYTES], const char *name)
{
    size_t used = strlen(names);
    snprintf(names + used, DOCTOR_NAMES_BYTES - used, "%s%s", used > 0 ? ", " : "", name);
}

/* The object of a list whose id is that node's; NULL: none. */
static const json_t *about(const json_t *list, const struct ctl_node *node)
{
    size_t i;
    json_t *item;
    json_array_foreach((json_t *) list, i, item)
    {
        if (strcmp(ctl_text(item, "id"), node->id) == 0) {
            return item;
        }
    }
    return NULL;
}

const json_t *doctor_pair(const struct ctl_node *from, const struct ctl_node *to)
{
    return from == to ? NULL : about(json_object_get(from->reply, "pairs"), to);
}

/* ---- who reaches whom ------------------------------------------------------------------------ */

enum way { WAY_UNKNOWN, WAY_OPEN, WAY_SHUT };

/* Did a datagram of `from` come in at `to` since? */
static enum way way_of(const struct ctl_node *from, const struct ctl_node *to, uint64_t since_ms)
{
    if (from == to || !has_answered(from) || !has_answered(to)) {
        return WAY_UNKNOWN;
    }
    const json_t *pair = about(json_object_get(to->reply, "pairs"), from);
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

const char *doctor_ip_of(const struct ctl_node *node, char text[64])
{
    snprintf(text, 64, "%s", ctl_text(node->member, "address"));
    char *colon = strrchr(text, ':');
    if (colon != NULL) {
        *colon = '\0';
    }
    return text;
}

/* Do both go on as members, over TCP or through others? Then it is a warning. */
static const char *severity(const struct ctl_node *a, const struct ctl_node *b)
{
    const json_t *ab = about(json_object_get(a->reply, "pairs"), b);
    const json_t *ba = about(json_object_get(b->reply, "pairs"), a);
    bool both = strcmp(ctl_text(ab, "status"), "alive") == 0 &&
                strcmp(ctl_text(ba, "status"), "alive") == 0;
    return both ? "warn" : "fail";
}

static const char *how_on(const struct ctl_node *a, const struct ctl_node *b)
{
    const char *path = ctl_text(about(json_object_get(a->reply, "pairs"), b), "path");
    return strcmp(path, "link") == 0      ? "; it is probed over TCP meanwhile"
           : strcmp(path, "relayed") == 0 ? "; it is probed through others meanwhile"
                                          : "";
}

static void say_shut(json_t *lines, const struct ctl_node *from, const struct ctl_node *to,
                     bool both_ways)
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
                   "UDP from %s does not arrive at %s; from %s to %s it does%s", from->name,
                   to->name, to->name, from->name, how_on(from, to));
    }
}

/* A warning as long as all of them go on as members with it. */
static const char *severity_of_all(const struct ctl_all *all, const struct ctl_node *node)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *other = &all->nodes[i];
        if (other != node && has_answered(other) && has_answered(node) &&
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
    say_shut(lines, ab ? a : b, ab ? b : a, ab && ba);
}

static void check_reach(json_t *lines, const struct ctl_all *all, uint64_t since_ms)
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
    if (from == to || !has_answered(from) || !has_answered(to) || !share_network(from, to)) {
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

static void check_broadcast(json_t *lines, const struct ctl_all *all, uint64_t since_ms)
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

/* ---- identities ------------------------------------------------------------------------------ */

/* "10.0.0.1" of "10.0.0.1:8471", "fe80::1" of "[fe80::1]:8471" */
static const char *ip_of_address(const char *address, char text[64])
{
    bool is_v6 = address[0] == '[';
    snprintf(text, 64, "%s", address + (is_v6 ? 1 : 0));
    char *end = strrchr(text, is_v6 ? ']' : ':');
    if (end != NULL) {
        *end = '\0';
    }
    return text;
}

static bool has_address(const struct ctl_node *node, const char *ip)
{
    size_t i;
    json_t *own;
    const json_t *addresses = json_object_get(node->reply, "addresses");
    json_array_foreach((json_t *) addresses, i, own)
    {
        if (strcmp(ctl_text_of(own), ip) == 0) {
            return true;
        }
    }
    return !json_is_array(addresses); /* an older node does not tell */
}

/* How long beacons of the node have come in there from an address of its own, on that interface (NULL: on
 * any); -1: none has. */
static int64_t own_beacons_ms(const struct ctl_node *at, const struct ctl_node *node,
                              const char *interface)
{
    int64_t longest_ms = -1;
    size_t i;
    json_t *beacon;
    json_array_foreach(json_object_get(at->reply, "beacons"), i, beacon)
    {
        char ip[64];
        ip_of_address(ctl_text(beacon, "address"), ip);
        bool is_there =
            interface == NULL || strcmp(ctl_text(beacon, "interface"), interface) == 0;
        if (strcmp(ctl_text(beacon, "id"), node->id) == 0 && is_there && has_address(node, ip) &&
            ctl_int(beacon, "first_ms") > longest_ms) {
            longest_ms = ctl_int(beacon, "first_ms");
        }
    }
    return longest_ms;
}

/* Where beacons with the node's identity came from that it cannot have sent; "": nowhere. Not from the
 * address that it had before: from there came none after the first from its new one. What it sends from
 * its other interfaces does not count, if there is a new one. */
static void find_copy(const struct ctl_all *all, const struct ctl_node *node, char ret_ip[64])
{
    ret_ip[0] = '\0';
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *at = &all->nodes[i];
        size_t k;
        json_t *beacon;
        json_array_foreach(json_object_get(at->reply, "beacons"), k, beacon)
        {
            char ip[64];
            int64_t ago_ms = ctl_int(beacon, "ago_ms");
            int64_t own_ms = own_beacons_ms(at, node, ctl_text(beacon, "interface"));
            own_ms = own_ms >= 0 ? own_ms : own_beacons_ms(at, node, NULL);
            ip_of_address(ctl_text(beacon, "address"), ip);
            if (strcmp(ctl_text(beacon, "id"), node->id) == 0 && ago_ms < COPY_RECENT_MS &&
                ago_ms < own_ms && !has_address(node, ip)) {
                snprintf(ret_ip, 64, "%s", ip);
            }
        }
    }
}

/* The node itself has found its copy, and says more about it. */
static bool is_told(const json_t *lines, const struct ctl_node *node)
{
    size_t i;
    json_t *line;
    json_array_foreach((json_t *) lines, i, line)
    {
        if (strcmp(ctl_text(line, "check"), "same-identity") == 0 &&
            strcmp(ctl_text(line, "node"), node->name) == 0) {
            return true;
        }
    }
    return false;
}

static void check_identities(json_t *lines, const struct ctl_all *all)
{
    size_t copies = 0;
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *node = &all->nodes[i];
        char ip[64];
        if (!has_answered(node)) {
            continue;
        }
        find_copy(all, node, ip);
        if (ip[0] != '\0' && !is_told(lines, node)) {
            char fix[320];
            snprintf(fix, sizeof fix,
                     "on one of the two machines stop meshd and move its data directory away; it "
                     "becomes a node of its own. Is none of yours at %s, somebody forges beacons",
                     ip);
            doctor_say(lines, "identity", "fail", node->name, fix,
                       "beacons with its identity come from %s, which is no address of it: was its "
                       "data directory or its disk copied?",
                       ip);
        }
        copies += ip[0] != '\0' ? 1 : 0;
    }
    if (copies == 0) {
        doctor_say(lines, "identity", "ok", NULL, NULL, "no node's identity is used elsewhere");
    }
}

/* ---- clocks ---------------------------------------------------------------------------------- */

/* A node's clock against ours lies between two bounds: it was read while we waited. */
struct offset {
    const struct ctl_node *node;
    int64_t low_ms;
    int64_t high_ms;
};

static int offset_cmp(const void *a, const void *b)
{
    const struct offset *x = a;
    const struct offset *y = b;
    int64_t left = x->low_ms + x->high_ms;
    int64_t right = y->low_ms + y->high_ms;
    return left != right ? (left < right ? -1 : 1) : strcmp(x->node->id, y->node->id);
}

static size_t read_offsets(const struct ctl_all *all, struct offset *offsets)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *node = &all->nodes[i];
        uint64_t ms = 0;
        if (has_answered(node) && ops_time_parse(ctl_text(node->reply, "time"), &ms) == HM_OK) {
            offsets[count++] =
                (struct offset){node, (int64_t) ms - (int64_t) node->answered_wall_ms,
                                (int64_t) ms - (int64_t) node->asked_wall_ms};
        }
    }
    qsort(offsets, count, sizeof offsets[0], offset_cmp);
    return count;
}

/* How far two clocks are apart at least. */
static int64_t apart_ms(const struct offset *a, const struct offset *b)
{
    return a->low_ms > b->high_ms   ? a->low_ms - b->high_ms
           : b->low_ms > a->high_ms ? b->low_ms - a->high_ms
                                    : 0;
}

static const char *long_duration(int64_t ms, char text[OUT_TEXT_BYTES])
{
    const int64_t year_ms = 31556952000;
    if (ms < 10000) {
        snprintf(text, OUT_TEXT_BYTES, "%" PRId64 ".%" PRId64 " s", ms / 1000, ms / 100 % 10);
    } else if (ms >= 2 * year_ms) {
        snprintf(text, OUT_TEXT_BYTES, "%" PRId64 " years", ms / year_ms);
    } else {
        /* Three hours less some milliseconds are no "2 h". */
        out_duration((uint64_t) ms + (ms < 60000 ? 0 : 2000), text);
    }
    return text;
}

static void check_clocks(json_t *lines, const struct ctl_all *all)
{
    char text[OUT_TEXT_BYTES];
    struct offset *offsets = calloc(all->count + 1, sizeof *offsets);
    size_t count = offsets != NULL ? read_offsets(all, offsets) : 0;
    const struct offset *middle = count > 0 ? &offsets[count / 2] : NULL;
    size_t off = 0;
    int64_t most_ms = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t ms = apart_ms(&offsets[i], middle);
        most_ms = ms > most_ms ? ms : most_ms;
        if (ms <= CLOCK_OFF_MS) {
            continue;
        }
        bool is_behind = offsets[i].high_ms < middle->low_ms;
        off++;
        if (count == 2) {
            doctor_say(lines, "clock", "warn", NULL, "set both: timedatectl set-ntp true",
                       "the clock of %s is %s behind that of %s", offsets[0].node->name,
                       long_duration(ms, text), offsets[1].node->name);
        } else {
            doctor_say(lines, "clock", "warn", offsets[i].node->name,
                       "set it: timedatectl set-ntp true", "its clock is %s %s the others'",
                       long_duration(ms, text), is_behind ? "behind" : "ahead of");
        }
    }
    if (off == 0 && count > 1) {
        doctor_say(lines, "clock", "ok", NULL, NULL,
                   "the clocks of %zu nodes agree within %" PRId64 " ms", count,
                   most_ms > 0 ? most_ms : 1);
    }
    free(offsets);
}

/* ---- versions -------------------------------------------------------------------------------- */

static void check_versions(json_t *lines, const struct ctl_all *all)
{
    const struct ctl_node *first = NULL;
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *node = &all->nodes[i];
        if (!has_answered(node)) {
            continue;
        }
        first = first == NULL ? node : first;
        if (strcmp(ctl_text(first->reply, "version"), ctl_text(node->reply, "version")) != 0) {
            doctor_say(lines, "versions", "ok", node->name, NULL,
                       "runs version %s, %s runs %s: they understand each other",
                       ctl_text(node->reply, "version"), first->name,
                       ctl_text(first->reply, "version"));
        }
    }
}

void doctor_mesh(json_t *lines, const struct ctl_all *all, uint64_t since_ms)
{
    if (count_answered(all) > 1) {
        check_reach(lines, all, since_ms);
    }
    if (all->count > 1) {
        doctor_loss(lines, all);
    }
    if (count_answered(all) > 1) {
        check_broadcast(lines, all, since_ms);
        check_identities(lines, all);
        check_clocks(lines, all);
        check_versions(lines, all);
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
