/* SPDX-License-Identifier: MPL-2.0 */
/* What all replies together tell: see ctl_doctor.h. Who hears whom is in ctl_doctor_reach.c; here
 * are lines, what every check needs to read replies, and the checks of identities, clocks and
 * versions. */
#define _GNU_SOURCE
#include "cmd/ctl_doctor.h"

#include "base/err.h"
#include "cmd/ctl_out.h"
#include "ops/ops_time.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_OFF_MS 1000    /* clocks set over the network agree within a few ms */
#define COPY_RECENT_MS 15000 /* idle nodes beacon every 10 s */

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

bool doctor_has_answered(const struct ctl_node *node)
{
    return node->reply != NULL;
}

static size_t count_answered(const struct ctl_all *all)
{
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++) {
        count += doctor_has_answered(&all->nodes[i]) ? 1 : 0;
    }
    return count;
}

void doctor_add_name(char names[DOCTOR_NAMES_BYTES], const char *name)
{
    size_t used = strlen(names);
    snprintf(names + used, DOCTOR_NAMES_BYTES - used, "%s%s", used > 0 ? ", " : "", name);
}

const json_t *doctor_about(const json_t *list, const struct ctl_node *node)
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
    return from == to ? NULL : doctor_about(json_object_get(from->reply, "pairs"), to);
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

/* How long beacons of the node have come in there from an address of its own, on that interface
 * (NULL: on any); -1: none has. */
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

/* Where beacons with the node's identity came from that it cannot have sent; "": nowhere. Not from
 * the address that it had before: from there came none after the first from its new one. What it
 * sends from its other interfaces does not count, if there is a new one. */
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
        if (!doctor_has_answered(node)) {
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
        if (doctor_has_answered(node) &&
            ops_time_parse(ctl_text(node->reply, "time"), &ms) == HM_OK) {
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
        if (!doctor_has_answered(node)) {
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
        doctor_reach(lines, all, since_ms);
    }
    if (all->count > 1) {
        doctor_loss(lines, all);
    }
    if (count_answered(all) > 1 || all->count == 1) {
        doctor_broadcast(lines, all, since_ms);
        check_identities(lines, all);
        check_clocks(lines, all);
        check_versions(lines, all);
    }
}
