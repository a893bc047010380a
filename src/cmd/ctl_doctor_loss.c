/* SPDX-License-Identifier: MPL-2.0 */
/* How much is lost between nodes, and do large datagrams pass: see ctl_doctor.h.
 *
 * Each node has pinged each other one some times and tells how many were answered, so a loss is of a
 * round trip. One bad cable or radio shows at all pairs of its node. So the worst node is taken out, as
 * long as what remains loses more than it should: who was taken out is to blame, and if that would be
 * many, it is the network between them. */
#define _GNU_SOURCE
#include "cmd/ctl_doctor.h"

#include <stdlib.h>
#include <string.h>

#define LOST_MIN 5      /* of few pings a lost one says nothing */
#define LOST_PERCENT 10 /* of the round trips of one node */
#define PAIR_PERCENT 25 /* of a pair's alone */
#define LARGE_MIN 4
#define PAIRS_SHOWN 4

struct tally {
    unsigned sent;
    unsigned lost;
};

/* What a pair lost, by number of node. The mirror is the same. */
struct losses {
    const struct ctl_all *all;
    bool *is_out; /* taken out: named already */
};

static void add_pair(const struct ctl_node *from, const struct ctl_node *to, struct tally *t)
{
    const json_t *pair = doctor_pair(from, to);
    unsigned sent = (unsigned) ctl_int(pair, "knocked");
    unsigned answered = (unsigned) ctl_int(pair, "answers");
    /* Where nothing arrives at all, reach says so. */
    if (answered > 0 && answered <= sent) {
        t->sent += sent;
        t->lost += sent - answered;
    }
}

static struct tally tally_of(const struct losses *l, size_t a, size_t b)
{
    struct tally t = {0, 0};
    if (a != b && !l->is_out[a] && !l->is_out[b]) {
        add_pair(&l->all->nodes[a], &l->all->nodes[b], &t);
        add_pair(&l->all->nodes[b], &l->all->nodes[a], &t);
    }
    return t;
}

static struct tally tally_of_node(const struct losses *l, size_t node)
{
    struct tally sum = {0, 0};
    for (size_t i = 0; i < l->all->count; i++) {
        struct tally t = tally_of(l, node, i);
        sum.sent += t.sent;
        sum.lost += t.lost;
    }
    return sum;
}

static bool is_lossy(struct tally t, unsigned percent)
{
    return t.lost >= LOST_MIN && t.lost * 100 >= t.sent * percent;
}

/* ---- large datagrams ------------------------------------------------------------------------- */

static void add_large(const struct ctl_node *from, const struct ctl_node *to, unsigned *sent,
                      unsigned *answered, bool *are_small_well)
{
    const json_t *pair = doctor_pair(from, to);
    unsigned knocked = (unsigned) ctl_int(pair, "knocked");
    unsigned answers = (unsigned) ctl_int(pair, "answers");
    *sent += (unsigned) ctl_int(pair, "knocked_large");
    *answered += (unsigned) ctl_int(pair, "answers_large");
    *are_small_well = *are_small_well && answers * 2 >= knocked;
}

bool doctor_loses_large(const struct ctl_node *a, const struct ctl_node *b)
{
    unsigned sent = 0;
    unsigned answered = 0;
    bool are_small_well = true;
    add_large(a, b, &sent, &answered, &are_small_well);
    add_large(b, a, &sent, &answered, &are_small_well);
    return are_small_well && sent >= LARGE_MIN && answered == 0;
}

bool doctor_loses(const struct ctl_node *a, const struct ctl_node *b)
{
    struct tally t = {0, 0};
    add_pair(a, b, &t);
    add_pair(b, a, &t);
    return t.lost >= 2 && t.lost * 100 >= t.sent * PAIR_PERCENT;
}

/* How many others the node exchanges no large datagrams with. */
static size_t count_large(const struct losses *l, size_t node)
{
    size_t count = 0;
    for (size_t i = 0; i < l->all->count; i++) {
        count += i != node && !l->is_out[i] && !l->is_out[node] &&
                         doctor_loses_large(&l->all->nodes[node], &l->all->nodes[i])
                     ? 1
                     : 0;
    }
    return count;
}

static void say_large(json_t *lines, const struct losses *l, size_t node, size_t pairs)
{
    const struct ctl_node *a = &l->all->nodes[node];
    const struct ctl_node *b = NULL;
    char fix[320];
    char ip[64];
    for (size_t i = 0; i < l->all->count; i++) {
        const struct ctl_node *other = &l->all->nodes[i];
        bool is_one = i != node && !l->is_out[i] && doctor_loses_large(a, other);
        b = is_one && (b == NULL || other->is_self) ? other : b;
    }
    if (b == NULL) {
        return;
    }
    snprintf(
        fix, sizeof fix,
        "what is between them (switch, VPN, Wi-Fi bridge) carries less than the interfaces say. "
        "From %.64s: ping -M do -s 1220 %.64s; less, until it answers",
        a->is_self ? a->name : b->name, doctor_ip_of(a->is_self ? b : a, ip));
    if (pairs > 1) {
        doctor_say(lines, "loss", "fail", a->name, fix,
                   "large datagrams between it and %zu others get lost, small ones arrive", pairs);
    } else {
        doctor_say(lines, "loss", "fail", NULL, fix,
                   "large datagrams between %s and %s get lost, small ones arrive", a->name,
                   b->name);
    }
}

/* The node with the most, as long as there is one. */
static void check_large(json_t *lines, struct losses *l)
{
    for (size_t said = 0; said < PAIRS_SHOWN; said++) {
        size_t most = 0;
        size_t worst = 0;
        for (size_t i = 0; i < l->all->count; i++) {
            size_t count = count_large(l, i);
            worst = count > most ? i : worst;
            most = count > most ? count : most;
        }
        if (most == 0) {
            return;
        }
        say_large(lines, l, worst, most);
        l->is_out[worst] = true;
    }
}

/* ---- loss ------------------------------------------------------------------------------------ */

static bool find_worst(const struct losses *l, size_t *ret_node)
{
    bool found = false;
    unsigned most = 0;
    for (size_t i = 0; i < l->all->count; i++) {
        struct tally t = tally_of_node(l, i);
        unsigned rate = t.sent > 0 ? t.lost * 1000 / t.sent : 0;
        if (is_lossy(t, LOST_PERCENT) && (!found || rate > most)) {
            found = true;
            most = rate;
            *ret_node = i;
        }
    }
    return found;
}

static const char *const loss_fix =
    "its cable, its Wi-Fi (iw dev; signal, channel), its switch port, its load: ip -s link, uptime";

static bool say_pair(json_t *lines, const struct losses *l, size_t a, size_t b)
{
    struct tally t = tally_of(l, a, b);
    if (is_lossy(t, PAIR_PERCENT)) {
        doctor_say(lines, "loss", "warn", NULL, "what is between these two: ip -s link on both",
                   "of %u pings between %s and %s, %u had no answer in time", t.sent,
                   l->all->nodes[a].name, l->all->nodes[b].name, t.lost);
        return true;
    }
    return false;
}

static size_t say_pairs_of(json_t *lines, const struct losses *l, size_t node, size_t *ret_count)
{
    size_t other = 0;
    *ret_count = 0;
    for (size_t i = 0; i < l->all->count; i++) {
        if (is_lossy(tally_of(l, node, i), PAIR_PERCENT)) {
            other = i;
            (*ret_count)++;
        }
    }
    return *ret_count == 1 && say_pair(lines, l, node, other) ? 1 : 0;
}

static void say_node(json_t *lines, const struct losses *l, size_t node)
{
    struct tally t = tally_of_node(l, node);
    size_t pairs = 0;
    if (say_pairs_of(lines, l, node, &pairs) == 0) {
        doctor_say(lines, "loss", "warn", l->all->nodes[node].name, loss_fix,
                   "of %u pings between it and the others, %u had no answer in time", t.sent,
                   t.lost);
    }
}

/* Lines about single nodes go to `some`; returns how many nodes were taken out. */
static size_t take_out(json_t *some, struct losses *l)
{
    size_t out = 0;
    size_t worst = 0;
    while (find_worst(l, &worst)) {
        say_node(some, l, worst);
        l->is_out[worst] = true;
        out++;
    }
    return out;
}

static void check_loss(json_t *lines, struct losses *l)
{
    struct tally all = {0, 0};
    for (size_t i = 0; i < l->all->count; i++) {
        struct tally t = tally_of_node(l, i);
        all.sent += t.sent;
        all.lost += t.lost;
    }
    json_t *some = json_array();
    size_t out = take_out(some, l);
    if (out > 1 && out * 3 > l->all->count) {
        doctor_say(lines, "loss", "warn", NULL,
                   "what all share: a switch, an access point, too much traffic: ip -s link",
                   "of %u pings between all nodes, %u had no answer in time", all.sent / 2,
                   all.lost / 2);
    } else if (out > 0) {
        json_array_extend(lines, some);
    } else if (all.sent > 0) {
        doctor_say(lines, "loss", "ok", NULL, NULL, "%u of %u pings between nodes were answered",
                   (all.sent - all.lost) / 2, all.sent / 2);
    }
    json_decref(some);
}

void doctor_loss(json_t *lines, const struct ctl_all *all)
{
    struct losses l = {all, calloc(all->count + 1, sizeof(bool))};
    if (l.is_out != NULL) {
        check_loss(lines, &l);
        memset(l.is_out, 0, all->count * sizeof(bool));
        check_large(lines, &l);
    }
    free(l.is_out);
}
