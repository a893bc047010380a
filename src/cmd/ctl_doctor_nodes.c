/* SPDX-License-Identifier: MPL-2.0 */
/* Who is there, and does everybody see the same: see ctl_doctor.h.
 *
 * Where nobody at all answers the node that was asked, it is that node's own trouble: one line says
 * so, and what it believes of each of the others is not listed as if that were their fault. */
#define _GNU_SOURCE
#include "cmd/ctl_doctor.h"

#include "cmd/ctl_out.h"

#include <string.h>

#define HEARD_MS 2500 /* a doctor's knocks are answered in that time */

static const struct ctl_node *self_of(const struct ctl_all *all)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->nodes[i].is_self) {
            return &all->nodes[i];
        }
    }
    return NULL;
}

static bool says_isolated(const struct ctl_node *node)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(node->reply, "checks"), i, line)
    {
        if (strcmp(ctl_text(line, "check"), "isolated") == 0) {
            return true;
        }
    }
    return false;
}

/* Do datagrams of the node come in at the one that was asked, these seconds? */
static bool is_heard(const struct ctl_node *self, const struct ctl_node *node)
{
    const json_t *pair = self != NULL ? doctor_pair(self, node) : NULL;
    const json_t *arrived = json_object_get(pair, "arrived_ms");
    return json_is_integer(arrived) && json_integer_value(arrived) <= HEARD_MS;
}

/* Nobody answers it, and several should; or it asks nobody, as a copy of another node. */
static bool is_cut_off(const struct ctl_all *all, const struct ctl_node *self)
{
    size_t silent = 0;
    if (self != NULL && self->is_aside) {
        return true;
    }
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *node = &all->nodes[i];
        if (node != self && (doctor_has_answered(node) || node->tried == TRIED_OPEN ||
                             node->tried == TRIED_REFUSED || is_heard(self, node))) {
            return false;
        }
        silent += node != self ? 1 : 0;
    }
    return silent >= 2 || (silent > 0 && self != NULL && says_isolated(self));
}

static void add_names(const struct ctl_all *all, const struct ctl_node *self, const char *status,
                      char names[DOCTOR_NAMES_BYTES])
{
    char some[DOCTOR_NAMES_BYTES] = "";
    for (size_t i = 0; i < all->count; i++) {
        if (&all->nodes[i] != self && strcmp(all->nodes[i].status, status) == 0) {
            doctor_add_name(some, all->nodes[i].name);
        }
    }
    if (some[0] != '\0') {
        size_t used = strlen(names);
        snprintf(names + used, DOCTOR_NAMES_BYTES - used, "%s%s %s", used > 0 ? "; " : "",
                 strcmp(status, "alive") == 0 ? "still alive to it" : status, some);
    }
}

static void say_cut_off(json_t *lines, const struct ctl_all *all, const struct ctl_node *self)
{
    char names[DOCTOR_NAMES_BYTES] = "";
    const char *name = self != NULL ? self->name : "this node";
    if (self != NULL && self->is_aside) {
        doctor_say(lines, "nodes", "warn", name, NULL,
                   "it keeps out of the mesh, so it knows nothing of the %zu others",
                   all->count - 1);
        return;
    }
    add_names(all, self, "failed", names);
    add_names(all, self, "suspect", names);
    add_names(all, self, "alive", names);
    doctor_say(lines, "nodes", "fail", self != NULL ? self->name : NULL,
               "mend this node's own network first; what the others see: meshctl doctor on one of "
               "them",
               "none of the %zu others answers %s (%s): that may be its own trouble",
               all->count - 1, name, names);
}

/* ---- one that is not there ------------------------------------------------------------------- */

static const char *what_was_tried(const struct ctl_node *node)
{
    switch (node->tried) {
    case TRIED_OPEN:
        return "; its machine takes connections all the same";
    case TRIED_REFUSED:
        return "; its machine is on and refuses connections: no meshd runs there";
    case TRIED_SILENT:
        return "; its machine does not answer either";
    case TRIED_NOT:
        return "";
    }
    return "";
}

static void fix_of(const struct ctl_node *node, bool is_refused, char fix[256])
{
    char ip[64];
    const char *address = doctor_ip_of(node, ip);
    if (node->tried == TRIED_REFUSED || (is_refused && node->tried == TRIED_NOT)) {
        snprintf(fix, 256, "start it there: systemctl start meshd; its log says why it ended");
    } else if (node->tried == TRIED_OPEN) {
        snprintf(fix, 256,
                 "there, run \"meshctl doctor\": is its meshd stopped, the machine overloaded, "
                 "UDP dropped by a firewall?");
    } else if (node->tried == TRIED_SILENT) {
        snprintf(fix, 256, "is that machine on, its cable in, its Wi-Fi up? ping %s", address);
    } else {
        snprintf(fix, 256,
                 "is its machine on, does its meshd run? who saw it: meshctl nodes events %s",
                 node->name);
    }
}

/* The node that is up where this one was: its machine was set up anew, or its address is
 * another's. */
static const struct ctl_node *successor(const struct ctl_all *all, const struct ctl_node *node)
{
    const char *address = ctl_text(node->member, "address");
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *other = &all->nodes[i];
        if (other != node && address[0] != '\0' && strcmp(other->status, "alive") == 0 &&
            strcmp(ctl_text(other->member, "address"), address) == 0) {
            return other;
        }
    }
    return NULL;
}

/* What was seen when it went, and what a connect found now. */
static const char *why_absent(const struct ctl_node *node)
{
    const char *reason = ctl_text(node->member, "reason");
    if (strcmp(reason, "refused") == 0) {
        return node->tried == TRIED_REFUSED || node->tried == TRIED_NOT
                   ? ": its machine is up, its meshd is not"
                   : ": its machine refused connections then";
    }
    return strcmp(reason, "no-ack") == 0       ? ": it answers no probe"
           : strcmp(reason, "remembered") == 0 ? " as this node remembers"
                                               : "";
}

static void say_absent(json_t *lines, const struct ctl_all *all, const struct ctl_node *node)
{
    char since[OUT_TEXT_BYTES];
    char fix[256];
    const char *observer = ctl_text(node->member, "observer");
    bool is_refused = strcmp(ctl_text(node->member, "reason"), "refused") == 0;
    bool is_said = is_refused && node->tried == TRIED_REFUSED;
    const struct ctl_node *now_there = successor(all, node);
    out_ago(ctl_text(node->member, "since"), ctl_text(all->members, "time"), since);
    if (now_there != NULL) {
        doctor_say(lines, "nodes", "warn", node->name,
                   "was that machine set up anew? Then this is what it was before, and nothing is "
                   "to be done",
                   "%s for %s; at its address %s there is %s now", node->status, since,
                   ctl_text(node->member, "address"), now_there->name);
        return;
    }
    fix_of(node, is_refused, fix);
    doctor_say(lines, "nodes", strcmp(node->status, "failed") == 0 ? "fail" : "warn", node->name,
               fix, "%s for %s%s%s%s%s%s", node->status, since, why_absent(node),
               observer[0] != '\0' ? " (seen by " : "", observer, observer[0] != '\0' ? ")" : "",
               is_said ? "" : what_was_tried(node));
}

/* Alive by UDP, and no connection to it comes about. */
static bool is_tcp_shut(const struct ctl_node *self, const struct ctl_node *node)
{
    return !doctor_has_answered(node) && strcmp(node->status, "alive") == 0 &&
           node->tried == TRIED_SILENT && is_heard(self, node);
}

static void say_silent(json_t *lines, const struct ctl_node *self, const struct ctl_node *node)
{
    char fix[320];
    bool is_large = self != NULL && doctor_loses_large(self, node);
    if (is_large || (self != NULL && doctor_loses(self, node))) {
        doctor_say(lines, "nodes", "warn", node->name, "mend that first: see the line about loss",
                   "alive, but its answer did not come: %s on the way to it get lost",
                   is_large ? "large packets" : "many packets");
        return;
    }
    if (is_tcp_shut(self, node)) {
        char ip[64];
        snprintf(
            fix, sizeof fix,
            "a firewall on %.64s, or between it and %.64s, drops TCP (nft list ruleset: its link "
            "and mailbox ports at %.64s)",
            node->name, self->name, doctor_ip_of(node, ip));
        doctor_say(lines, "nodes", "fail", node->name, fix,
                   "alive by UDP, but TCP from %s to it does not pass, so it cannot be asked",
                   self->name);
        return;
    }
    fix_of(node, false, fix);
    doctor_say(lines, "nodes", "fail", node->name, fix, "alive, but it does not answer: %s%s",
               node->error, what_was_tried(node));
}

static void say_same_name(json_t *lines, const struct ctl_node *node)
{
    char fix[192];
    const char *tilde = strchr(node->name, '~');
    if (tilde != NULL && strcmp(node->status, "failed") != 0) {
        snprintf(fix, sizeof fix, "meshctl --node=%s nodes rename NEW", node->name);
        doctor_say(lines, "nodes", "warn", node->name, fix,
                   "another node is called %.*s too; this one is %.12s at %s",
                   (int) (tilde - node->name), node->name, node->id,
                   ctl_text(node->member, "address"));
    }
}

/* Half of the others or more are gone without a word: that is seldom each by itself. */
static void check_partition(json_t *lines, const struct ctl_all *all)
{
    char names[DOCTOR_NAMES_BYTES] = "";
    size_t silent = 0;
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *node = &all->nodes[i];
        bool is_gone = strcmp(node->status, "alive") != 0 && node->tried == TRIED_SILENT;
        silent += is_gone ? 1 : 0;
        if (!is_gone) {
            doctor_add_name(names, node->name);
        }
    }
    if (silent >= 2 && 2 * silent >= all->count - 1) {
        doctor_say(lines, "nodes", "fail", NULL,
                   "before looking at each: is there a switch, an access point or a cable between "
                   "them and these?",
                   "%zu of %zu nodes are silent at once; %s still see each other", silent,
                   all->count, names);
    }
}

/* If it is so with all of them, one line says so. */
static bool say_tcp_shut(json_t *lines, const struct ctl_all *all, const struct ctl_node *self)
{
    size_t shut = 0;
    for (size_t i = 0; i < all->count; i++) {
        shut += is_tcp_shut(self, &all->nodes[i]) ? 1 : 0;
    }
    if (self == NULL || shut < 2 || shut < all->count - 1) {
        return false;
    }
    doctor_say(
        lines, "nodes", "fail", self->name,
        "a firewall on it (nft list ruleset), or what is between it and the others, drops TCP",
        "alive by UDP, but TCP between it and the %zu others does not pass, so they cannot be "
        "asked",
        shut);
    return true;
}

static void check_nodes(json_t *lines, const struct ctl_all *all, bool cut_off)
{
    size_t well = 0;
    bool is_shut = !cut_off && say_tcp_shut(lines, all, self_of(all));
    if (!cut_off) {
        check_partition(lines, all);
    }
    for (size_t i = 0; i < all->count; i++) {
        const struct ctl_node *node = &all->nodes[i];
        say_same_name(lines, node);
        if (strcmp(node->status, "alive") == 0 && doctor_has_answered(node)) {
            well++;
        } else if (!cut_off && !is_shut && strcmp(node->status, "alive") == 0) {
            say_silent(lines, self_of(all), node);
        } else if (!cut_off && !is_shut) {
            say_absent(lines, all, node);
        }
    }
    if (cut_off) {
        say_cut_off(lines, all, self_of(all));
    } else if (well == all->count) {
        doctor_say(lines, "nodes", "ok", NULL, NULL, "%zu node%s, all alive and answering", well,
                   well == 1 ? "" : "s");
    }
}

/* ---- does everybody see everybody as the local node does? ------------------------------------ */

static const char *seen_by(const struct ctl_node *from, const struct ctl_node *node)
{
    const json_t *pair = doctor_pair(from, node);
    return pair != NULL ? ctl_text(pair, "status") : from->is_self ? node->status : "";
}

/* A suspicion is one node's own, for moments; that others do not share it is no finding. */
static bool is_contrary(const char *seen, const char *here)
{
    bool is_alive = strcmp(seen, "alive") == 0;
    return seen[0] != '\0' && strcmp(seen, "suspect") != 0 && strcmp(here, "suspect") != 0 &&
           is_alive != (strcmp(here, "alive") == 0);
}

static void check_views(json_t *lines, const struct ctl_all *all)
{
    const struct ctl_node *self = self_of(all);
    size_t differing = 0;
    for (size_t k = 0; k < all->count && self != NULL; k++) {
        const struct ctl_node *node = &all->nodes[k];
        const char *here = seen_by(self, node);
        const char *there = "";
        char names[DOCTOR_NAMES_BYTES] = "";
        for (size_t i = 0; i < all->count; i++) {
            const char *seen = seen_by(&all->nodes[i], node);
            if (&all->nodes[i] != self && is_contrary(seen, here)) {
                doctor_add_name(names, all->nodes[i].name);
                there = seen;
            }
        }
        if (names[0] != '\0') {
            doctor_say(lines, "views", "warn", node->name,
                       "for moments that is so; when it lasts, look at the lines about reach",
                       "seen as %s by %s, as %s by %s", there, names, here, self->name);
            differing++;
        }
    }
    if (differing == 0) {
        doctor_say(lines, "views", "ok", NULL, NULL, "all see the same nodes alive");
    }
}

void doctor_nodes(json_t *lines, const struct ctl_all *all)
{
    bool cut_off = is_cut_off(all, self_of(all));
    check_nodes(lines, all, cut_off);
    if (!cut_off) {
        check_views(lines, all);
    }
}
