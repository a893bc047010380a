/* SPDX-License-Identifier: MPL-2.0 */
/* Handler of the operation doctor: what one node can say about itself; what it saw of the others is in
 * ops_doctor_seen.c. Its checks need no other node. With `knock` a node first makes
 * itself heard, so that the others have something to see, and begins to measure its disk. */
#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "ops/ops_call.h"
#include "ops/ops_doctor.h"
#include "ops/ops_time.h"
#include "wire/frame.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define AROUND_BYTES 131072 /* beacons and pairs, each at most 256 short objects */
#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u
#define BEACON_RECENT_NS 60000000000u   /* idle nodes beacon every 10 s */
#define FOREIGN_RECENT_NS 300000000000u /* as in status */
#define SLOW_SYNC_NS 500000000u         /* an SD card syncs in less */
#define HEADER_BYTES 48                 /* IPv6 and UDP */
#define SANE_WALL_MS 1704067200000u     /* 2024: before this software */
#define UNANSWERED_NS 15000000000u      /* it was greeted at least twice */
#define JOIN_SILENT_NS 5000000000u      /* it was tried five times */
#define STRANGERS_MANY 32               /* beacons of so many who are no members: somebody floods */
#define DESCRIPTORS_MIN 1024
#define DIVERGED_NS 60000000000u        /* by then repair passes have mended what they can */
#define DAMAGE_SHOWN_NS (24 * 3600 * 1000000000ull)

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

struct doctor {
    struct ops_page page;
    const core_t *core;
    const struct facts *facts;
    struct core_status status;
    uint64_t store_damaged; /* records */
};

/* ---- one line -------------------------------------------------------------------------------- */

static void say(struct doctor *d, const char *check, enum verdict verdict, const char *fix,
                const char *format, ...)
{
    static const char *const names[] = {"ok", "warn", "fail"};
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct buf *b = ops_page_begin(&d->page);
    mp_map(b, 5);
    ops_put_str(b, "check", check);
    ops_put_str(b, "status", names[verdict]);
    ops_put_str(b, "node", d->status.name);
    mp_str(b, "text");
    ops_put_foreign(b, span_of(text, strlen(text)));
    ops_put_str_or_nil(b, "fix", fix);
    ops_page_end(&d->page);
}

/* "3 days", "5 hours", "40 seconds" */
static const char *duration(uint64_t seconds, char text[32])
{
    static const struct {
        uint64_t seconds;
        const char *unit;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    size_t i = 0;
    while (i < 3 && seconds < 2 * units[i].seconds) {
        i++;
    }
    uint64_t count = seconds / units[i].seconds;
    snprintf(text, 32, "%" PRIu64 " %s%s", count, units[i].unit, count == 1 ? "" : "s");
    return text;
}

/* ---- network --------------------------------------------------------------------------------- */

/* An interface stands there once for each address: what is true of it as a whole is said once. */
static bool is_first_of_name(const struct doctor *d, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(d->facts->netifs[i].name, d->facts->netifs[at].name) == 0) {
            return false;
        }
    }
    return true;
}

static void check_interfaces(struct doctor *d)
{
    size_t real = 0;
    for (size_t i = 0; i < d->facts->netif_count; i++) {
        const struct fact_netif *n = &d->facts->netifs[i];
        char addr[ADDR_TEXT_BYTES];
        char to[ADDR_TEXT_BYTES];
        real += n->is_used && !n->is_loopback && !addr_is_none(&n->addr) ? 1 : 0;
        if (n->is_used && !n->is_loopback && !n->has_carrier) {
            if (is_first_of_name(d, i)) {
                say(d, "interfaces", VERDICT_WARN, "is its cable in, its Wi-Fi associated? ip link",
                    "%s is in use and has no carrier", n->name);
            }
        } else if (!n->is_used) {
            say(d, "interfaces", VERDICT_OK, "", "%s is not used: %s", n->name, n->why);
        } else if (addr_is_none(&n->beacon_to)) {
            say(d, "interfaces", VERDICT_OK, "", "%s %s: %s; no beacons go out there", n->name,
                addr_format_ip(&n->addr, addr), n->why);
        } else {
            say(d, "interfaces", VERDICT_OK, "", "%s %s: %s; beacons go to %s", n->name,
                addr_format_ip(&n->addr, addr), n->why, addr_format_ip(&n->beacon_to, to));
        }
    }
    if (real == 0) {
        say(d, "interfaces", VERDICT_WARN, "bring one up: ip link, ip address",
            "no interface but loopback is in use: no other machine can be met");
    }
}

static void check_mtu(struct doctor *d)
{
    for (size_t i = 0; i < d->facts->netif_count; i++) {
        const struct fact_netif *n = &d->facts->netifs[i];
        char fix[96];
        if (!n->is_used || n->is_loopback || n->mtu == 0 || !is_first_of_name(d, i)) {
            continue;
        }
        if (n->mtu < HM_DATAGRAM_BYTES_MAX + HEADER_BYTES) {
            snprintf(fix, sizeof fix, "ip link set %s mtu 1500, if what is behind it carries that",
                     n->name);
            say(d, "mtu", VERDICT_FAIL, fix,
                "%s carries packets of %u bytes, datagrams need up to %u: the large ones get lost",
                n->name, n->mtu, (unsigned) (HM_DATAGRAM_BYTES_MAX + HEADER_BYTES));
        } else {
            say(d, "mtu", VERDICT_OK, "", "%s carries packets of %u bytes; datagrams need %u",
                n->name, n->mtu, (unsigned) (HM_DATAGRAM_BYTES_MAX + HEADER_BYTES));
        }
    }
}

static void check_ports(struct doctor *d)
{
    const struct facts *f = d->facts;
    char addr[ADDR_TEXT_BYTES];
    char where[ADDR_TEXT_BYTES + 8] = "every address";
    const char *note = "";
    if (f->bound.family != 0) {
        snprintf(where, sizeof where, "%s", addr_format_ip(&f->bound, addr));
    }
    if (f->bound.port != f->default_port && !f->is_port_asked) {
        note = "; the default was taken when it started, by another node of this machine perhaps";
    }
    say(d, "ports", VERDICT_OK, "", "UDP and TCP %u on %s, links on TCP %u%s", f->bound.port, where,
        f->link_port, note);
    if (f->deaf[0] != '\0') {
        say(d, "ports", VERDICT_WARN,
            "end the program that keeps UDP port 5670 to itself: ss -ulnp sport = 5670", "%s",
            f->deaf);
    }
}

/* An interface in use whose cable is out, or whose Wi-Fi is not associated; NULL: none. */
static const char *without_carrier(const struct facts *f)
{
    for (size_t i = 0; i < f->netif_count; i++) {
        const struct fact_netif *n = &f->netifs[i];
        if (n->is_used && !n->is_loopback && !n->has_carrier) {
            return n->name;
        }
    }
    return NULL;
}

static void check_isolated(struct doctor *d)
{
    const char *name = without_carrier(d->facts);
    if (d->status.isolated && name != NULL) {
        say(d, "isolated", VERDICT_FAIL, "is its cable in, its Wi-Fi associated? ip link",
            "nobody answers this node, and its %s has no carrier", name);
    } else if (d->status.isolated) {
        say(d, "isolated", VERDICT_FAIL,
            "its cable, its Wi-Fi, the switch, its firewall: ip -br addr, ip -s link, nft list "
            "ruleset",
            "nobody answers this node: what it says of the others may be its own trouble");
    }
}

/* ---- trust ----------------------------------------------------------------------------------- */

static void check_secret(struct doctor *d, const char *what, const struct fact_secret *s)
{
    char age[32];
    char fix[FACT_TEXT_BYTES + 64];
    if (s->path[0] == '\0') {
        return;
    }
    if (s->is_gone) {
        say(d, "key", VERDICT_FAIL,
            "put it back before meshd starts again: from a backup; a mesh key also from another node",
            "the %s is not there any more: %s; with a new one this node would be another node, or in "
            "a mesh of its own",
            what, s->path);
    } else if (s->is_exposed) {
        snprintf(fix, sizeof fix, "chmod 600 %s", s->path);
        say(d, "key", VERDICT_WARN, fix,
            "others may read or write the %s %s (mode %03o): who has it can join, or be this node",
            what, s->path, s->mode);
    } else if (s->is_foreign) {
        snprintf(fix, sizeof fix, "chown it to the user that runs meshd: %s", s->path);
        say(d, "key", VERDICT_WARN, fix, "the %s %s belongs to %s, not to the user of this meshd",
            what, s->path, s->owner);
    } else {
        say(d, "key", VERDICT_OK, "", "%s of %s, mode %03o, %s old: %s", what, s->owner, s->mode,
            duration(s->age_s, age), s->path);
    }
}

static void check_keys(struct doctor *d)
{
    char what[48];
    snprintf(what, sizeof what, "mesh key (%zu on the ring)", d->facts->key_count);
    check_secret(d, what, &d->facts->ring);
    check_secret(d, "identity", &d->facts->identity);
}

static void check_foreign_key(struct doctor *d)
{
    const struct core_status *s = &d->status;
    char addr[ADDR_TEXT_BYTES];
    char fix[320];
    if (s->foreign_ago_ns >= FOREIGN_RECENT_NS) {
        say(d, "foreign-key", VERDICT_OK, "", "no other key was heard under the name %s", s->mesh);
        return;
    }
    snprintf(
        fix, sizeof fix,
        "to make it one mesh: \"meshctl token\" on a node of the mesh that stays, then restart "
        "the other with it: meshd --discover=%s --token=-",
        s->mesh);
    uint64_t minutes = s->foreign_ago_ns / 60000000000u;
    char when[32] = "within the last minute";
    if (minutes > 0) {
        snprintf(when, sizeof when, "%" PRIu64 " min ago", minutes);
    }
    say(d, "foreign-key", VERDICT_WARN, fix,
        "a mesh named %s with another key was heard from %s %s", s->mesh,
        addr_format(&s->foreign_addr, addr), when);
}

static void check_strangers(struct doctor *d)
{
    const struct metrics *m = core_metrics(d->core);
    const struct fact_beacon *last = NULL;
    size_t count = 0;
    char addr[ADDR_TEXT_BYTES];
    for (size_t i = 0; i < d->facts->beacon_count; i++) {
        const struct fact_beacon *b = &d->facts->beacons[i];
        if (b->ago_ns < BEACON_RECENT_NS && !doctor_is_member(d->core, &b->id)) {
            last = last == NULL || b->ago_ns < last->ago_ns ? b : last;
            count++;
        }
    }
    uint64_t dropped = m->value[M_DROP_NOT_OURS] + m->value[M_DROP_FOREIGN_MESH] +
                       m->value[M_DROP_UNSEALED] + m->value[M_DROP_FORGED_RECORD];
    if (d->facts->is_flooded || count >= STRANGERS_MANY) {
        char fix[160];
        snprintf(fix, sizeof fix,
                 "who sends them? The last came from %s; addresses may be forged: tcpdump -eni any "
                 "udp port 5670",
                 last != NULL ? addr_format(&last->addr, addr) : "elsewhere");
        say(d, "strangers", VERDICT_WARN, fix,
            "somebody floods this network with beacons of many who are no members, within the last "
            "minute; members are not disturbed");
    } else if (last == NULL) {
        say(d, "strangers", VERDICT_OK, "",
            "no beacons but those of members; %" PRIu64 " datagrams of strangers dropped so far",
            dropped);
    } else {
        say(d, "strangers", VERDICT_OK, "",
            "%zu that %s no member%s beacon%s here, the last from %s; %" PRIu64
            " datagrams of strangers dropped so far",
            count, count == 1 ? "is" : "are", count == 1 ? "" : "s", count == 1 ? "s" : "",
            addr_format(&last->addr, addr), dropped);
    }
}

/* Who beacons is tried by datagram and greeted by ZRE (session.c): whoever answers neither is behind a
 * firewall that lets in neither. It cannot know, for it hears nobody. */
static void check_unanswered(struct doctor *d)
{
    const struct fact_beacon *last = NULL;
    size_t count = 0;
    char addr[ADDR_TEXT_BYTES];
    char fix[240];
    for (size_t i = 0; i < d->facts->beacon_count && !d->facts->is_flooded; i++) {
        const struct fact_beacon *b = &d->facts->beacons[i];
        if (b->ago_ns < BEACON_RECENT_NS && b->first_ago_ns >= UNANSWERED_NS && !b->said_hello &&
            b->addr.port != 0 && !doctor_is_member(d->core, &b->id)) {
            last = last == NULL || b->ago_ns < last->ago_ns ? b : last;
            count++;
        }
    }
    if (last == NULL || count >= STRANGERS_MANY) {
        return;
    }
    snprintf(fix, sizeof fix,
             "if it is one of yours, let in %u/udp, 5670/udp, %u/tcp and %u/tcp there (nft list ruleset), "
             "or tell it the address of a node: meshd --join=ADDRESS",
             last->addr.port, last->addr.port, d->facts->link_port);
    say(d, "unanswered", VERDICT_WARN, fix,
        "%s beacons here and answers nothing, neither datagrams nor connections%s",
        addr_format(&last->addr, addr), count > 1 ? "; there are others like it" : "");
}

/* Alone where it was told that others are. Who answers with another key is told of by foreign-key. */
static void check_join(struct doctor *d)
{
    const struct facts *f = d->facts;
    char addr[ADDR_TEXT_BYTES];
    char fix[320];
    if (addr_is_none(&f->join) || f->join_ago_ns < JOIN_SILENT_NS || core_member_count(d->core) > 1) {
        return;
    }
    addr_format(&f->join, addr);
    snprintf(fix, sizeof fix,
             "does meshd run there, in the mesh %s (meshctl status), with this node's key (meshctl doctor there names "
             "another key)? Does its firewall let in %u/udp (nft list ruleset)?",
             d->status.mesh, f->join.port);
    say(d, "join", VERDICT_WARN, fix, "this node is alone: nobody of its mesh answers at %s%s, where it was told to join",
        addr, f->has_joins ? " and others" : "");
}

/* ---- machine --------------------------------------------------------------------------------- */

static void check_disk(struct doctor *d)
{
    const struct facts *f = d->facts;
    char fix[FACT_TEXT_BYTES + 64];
    snprintf(fix, sizeof fix, "make room or mend the disk: df %s; dmesg", f->data_dir);
    if (f->sync_error[0] != '\0') {
        say(d, "disk", VERDICT_FAIL, fix, "cannot write under %s: %s", f->data_dir, f->sync_error);
    } else if (d->status.store_failed) {
        say(d, "disk", VERDICT_FAIL, fix,
            "the last write under %s failed: what this node learned since is lost when it stops",
            f->data_dir);
    } else if (f->sync_pending_ns > SLOW_SYNC_NS) {
        say(d, "disk", VERDICT_WARN, fix,
            "a small file has been on its way to the disk under %s for %" PRIu64 " ms", f->data_dir,
            f->sync_pending_ns / NS_PER_MS);
    } else if (f->is_sync_measured && f->sync_ns > SLOW_SYNC_NS) {
        say(d, "disk", VERDICT_WARN, "a worn or busy disk? iostat -x 1; dmesg",
            "a small file under %s takes %" PRIu64 " ms to be written and synced", f->data_dir,
            f->sync_ns / NS_PER_MS);
    } else if (f->is_sync_measured) {
        say(d, "disk", VERDICT_OK, "", "a small file under %s is written and synced in %u.%u ms",
            f->data_dir, (unsigned) (f->sync_ns / NS_PER_MS),
            (unsigned) (f->sync_ns / (NS_PER_MS / 10) % 10));
    }
}

static void check_clock(struct doctor *d)
{
    char time[OPS_TIME_BYTES];
    uint64_t wall_ms = core_wall_ms(d->core);
    if (wall_ms < SANE_WALL_MS) {
        say(d, "clock", VERDICT_WARN, "set it: timedatectl set-ntp true",
            "its clock says %s; the mesh works all the same, its logs and events mislead",
            ops_time_format(wall_ms, time));
    }
}

static void check_load(struct doctor *d)
{
    if (d->status.health > 0 && !d->status.isolated) { /* isolated, it cannot but be slow */
        say(d, "load", VERDICT_WARN,
            "it falls within half a minute when the trouble is over; if not, look at its load and "
            "its network: uptime, vmstat 1, ip -s link",
            "lately it answered slowly or its network lost packets: health score %u, 0 is healthy",
            d->status.health);
    } else {
        say(d, "load", VERDICT_OK, "", "it keeps up: health score 0");
    }
}

static void check_config(struct doctor *d)
{
    if (d->facts->config_error[0] != '\0') {
        say(d, "config", VERDICT_WARN,
            "correct it and reload: systemctl reload meshd, or kill -HUP; meshd --check-config "
            "tells whether it is right",
            "what it should read again is wrong, so the one before is in force: %s",
            d->facts->config_error);
    }
    if (d->facts->services_error[0] != '\0') {
        say(d, "services", VERDICT_WARN,
            "correct the file: it is read again within a few seconds, and the log says how that went",
            "what a file of services said before is in force, because now it is wrong: %s",
            d->facts->services_error);
    }
}

static void check_store(struct doctor *d)
{
    if (d->facts->store_moved[0] != '\0' && d->status.uptime_ns < DAMAGE_SHOWN_NS) {
        say(d, "store", VERDICT_WARN,
            "nothing is to be done for the mesh; look at the disk: dmesg, smartctl -a (a worn SD card?)",
            "when it started, %s", d->facts->store_moved);
    }
    if (d->store_damaged > 0) {
        say(d, "store", VERDICT_WARN,
            "the log says what, meshctl store check lists damaged records; look at the disk: dmesg, "
            "smartctl -a (a worn SD card?)",
            "the store was found damaged %" PRIu64 " times since it started; what is damaged is not used",
            d->store_damaged);
    }
}

/* The first of the members that know something this node cannot read, and how many others do. */
static bool find_later(const core_t *core, struct node_id *ret_first, size_t *ret_others)
{
    struct core_registry_peer p;
    size_t count = 0;
    for (size_t i = 0; i < core_member_count(core); i++) {
        if (core_registry_peer(core, i, &p) && p.is_later) {
            *ret_first = count == 0 ? p.id : *ret_first;
            count++;
        }
    }
    *ret_others = count - 1;
    return count > 0;
}

static void check_registry(struct doctor *d)
{
    struct core_registry_status s;
    struct member_view view;
    struct node_id first;
    size_t others;
    char time[32];
    char fix[160];
    core_registry_status(d->core, &s);
    if (s.totals.bytes > HM_REGISTRY_BYTES_MAX / 10 * 9) {
        say(d, "registry", VERDICT_WARN,
            "delete what is not needed, at any node: meshctl kv list, meshctl kv delete",
            "it holds %" PRIu64 " MiB of at most %" PRIu64 ": soon writes are refused",
            s.totals.bytes >> 20, (uint64_t) HM_REGISTRY_BYTES_MAX >> 20);
    }
    if (find_later(d->core, &first, &others) && ops_find_id(d->core, &first, &view) == HM_OK) {
        snprintf(fix, sizeof fix,
                 "upgrade homemesh on %s: then it gets them; until then nothing is lost",
                 d->status.name);
        say(d, "registry", VERDICT_WARN, fix,
            "its meshd %s cannot read some entries of %s%s: they are of a later format",
            d->status.version, view.name, others > 0 ? " and others" : "");
    } else if (s.divergent_ns > DIVERGED_NS) {
        say(d, "registry", VERDICT_WARN,
            "meshctl registry status names the node, meshctl registry diff NODE what differs; is the "
            "link to it open (meshctl nodes show)?",
            "another node has held something else for %s", duration(s.divergent_ns / NS_PER_S, time));
    } else if (s.is_syncing && d->status.uptime_ns > DIVERGED_NS) {
        say(d, "registry", VERDICT_WARN,
            "it takes no deletes until it has agreed with a node that has all: is one up?",
            "its store is new and it has not agreed with another node: it may lack what there is");
    } else {
        say(d, "registry", VERDICT_OK, "", "%" PRIu64 " %s%s", s.totals.entries,
            s.totals.entries == 1 ? "entry" : "entries",
            s.is_syncing            ? ", and it is getting more"
            : s.divergent_ns > 0    ? ", and it is catching up with another node"
                                    : ", in step with all that are up");
    }
}

static void check_limits(struct doctor *d)
{
    const struct facts *f = d->facts;
    size_t members = core_member_count(d->core);
    if (f->descriptors_max > 0 &&
        (f->descriptors_max < DESCRIPTORS_MIN || f->descriptors > f->descriptors_max / 10 * 8)) {
        say(d, "limits", VERDICT_WARN, "give it more: LimitNOFILE=65536 in its unit, or ulimit -n",
            "%" PRIu64 " of %" PRIu64 " file descriptors are open", f->descriptors,
            f->descriptors_max);
    } else {
        say(d, "limits", VERDICT_OK, "",
            "%" PRIu64 " of %" PRIu64 " file descriptors, %zu of %d members", f->descriptors,
            f->descriptors_max, members, HM_MEMBERS_MAX);
    }
}

static void check_version(struct doctor *d)
{
    say(d, "versions", VERDICT_OK, "", "meshd %s, protocol %d; %s", d->status.version,
        PROTOCOL_VERSION, d->facts->libraries);
    if (d->status.leaving) {
        say(d, "leaving", VERDICT_WARN, "", "it is leaving the mesh; its meshd ends");
    }
}

static void check_all(struct doctor *d)
{
    check_interfaces(d);
    check_mtu(d);
    check_ports(d);
    check_isolated(d);
    check_keys(d);
    check_foreign_key(d);
    check_strangers(d);
    check_unanswered(d);
    check_join(d);
    check_disk(d);
    check_clock(d);
    check_load(d);
    check_config(d);
    check_store(d);
    check_registry(d);
    check_limits(d);
    check_version(d);
}

void ops_doctor(struct ops_call *call)
{
    struct doctor d = {.core = call->core};
    if (call->env->facts == NULL) {
        ops_fail(call, HM_ENOTFOUND, "this node cannot look at its machine");
        return;
    }
    if (ops_args_get(call->spec, call->args, "knock")->number != 0) {
        core_knock(call->core);
        if (call->env->measure != NULL) {
            call->env->measure(call->env->ctx);
        }
    }
    d.facts = call->env->facts(call->env->ctx);
    d.store_damaged = core_metrics(call->core)->value[M_STORE_DAMAGED];
    core_status(call->core, &d.status);
    ops_page_init(&d.page, call->reply, AROUND_BYTES);
    check_all(&d);
    mp_map(call->reply, 11);
    ops_page_write(&d.page, call->reply, "checks");
    doctor_put_seen(call->reply, d.core, d.facts, &d.status);
    ops_page_fini(&d.page);
}
