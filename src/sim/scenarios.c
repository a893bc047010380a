/* SPDX-License-Identifier: MPL-2.0 */
/* The built-in scenarios: see scenarios.h. First what each draws, then the table of them all. Times
 * in the plans are milliseconds of virtual time. */
#include "sim/scenarios.h"

#include "sim/draw.h"
#include "sim/swarm.h"

#include <string.h>

#define S 1000U /* ms in a second */
#define MIN (60U * S)
#define CLONE_INCARNATION_MAX 1000 /* a fight would pass it in a minute */

/* So long before the run ends; a short run (--for) has no such time. */
static uint64_t before_end(const struct plan *p, uint64_t ms)
{
    uint64_t end = p->for_ns / MS_NS;
    return end > ms ? end - ms : 0;
}

/* Of these nodes (from 0) none is held failed, but for the one. */
static void expect_no_failed(struct plan *p, unsigned count, unsigned but)
{
    struct expect *others = plan_add_expect(p, EXPECT_NO_FAILED);
    for (unsigned i = 0; i < count; i++) {
        if (i != but) {
            node_set_add(&others->who, i);
        }
    }
}

static void two_segments(struct net_conf *net, struct prng *p, unsigned nodes)
{
    (void) p;
    net->segment_nodes = (nodes + 1) / 2;
}

/* ---- forming ---- */

static void plan_form(struct plan *p)
{
    draw_starts(p, 100);
}

static void plan_big(struct plan *p)
{
    draw_starts(p, S);
    draw_joins(p, 15 * S);
    p->calm_ns = 1ULL * SECOND_NS;
}

static void net_big(struct net_conf *net, struct prng *p, unsigned nodes)
{
    (void) p;
    (void) nodes;
    net->segment_nodes = 50;
}

static void plan_join(struct plan *p)
{
    draw_starts(p, 3 * S);
    for (unsigned i = 1; i < p->nodes; i++) {
        draw_repeat(p, 3 * S, 12 * S, 1000000U, FAULT_JOIN, i, i / 2);
    }
}

static void net_no_broadcast(struct net_conf *net, struct prng *p, unsigned nodes)
{
    (void) p;
    (void) nodes;
    net->broadcast = false;
}

/* ---- deaths ---- */

static void plan_crash(struct plan *p)
{
    draw_starts(p, 100);
    unsigned victim = draw_node(p);
    bool is_between = draw_one_in(p, 2);
    draw_at(p, draw_between(p, 20 * S, 30 * S), is_between ? FAULT_CRASH_BETWEEN : FAULT_CRASH,
            victim, 0, 0);
    draw_at(p, 60 * S, FAULT_START, victim, 0, 0);
    p->detect_ns = 3ULL * SECOND_NS;
}

static void plan_silence(struct plan *p)
{
    draw_starts(p, 100);
    unsigned victim = draw_node(p);
    draw_at(p, draw_between(p, 20 * S, 30 * S), FAULT_SILENCE, victim, 0, 0);
    draw_at(p, 60 * S, FAULT_START, victim, 0, 0);
    p->detect_ns = 10ULL * SECOND_NS;
}

static void plan_restart(struct plan *p)
{
    draw_starts(p, 100);
    unsigned quick = draw_node(p);
    unsigned slow = draw_node(p);
    uint64_t t = draw_between(p, 20 * S, 25 * S);
    draw_at(p, t, FAULT_CRASH, quick, 0, 0);
    draw_at(p, t + draw_between(p, 20, 190), FAULT_START, quick, 0, 0);
    t = draw_between(p, 40 * S, 45 * S);
    draw_at(p, t, FAULT_CRASH_BETWEEN, slow, 0, 0);
    draw_at(p, t + draw_between(p, 1600, 15 * S), FAULT_START, slow, 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        t = draw_between(p, 65 * S, 75 * S);
        draw_at(p, t, draw_one_in(p, 3) ? FAULT_SILENCE : FAULT_CRASH, slow, 0, 0);
        draw_at(p, t + draw_between(p, 0, 3 * S), FAULT_START, slow, 0, 0);
    }
    if (draw_one_in(p, 2)) {
        draw_at(p, 80 * S, FAULT_CRASH, quick, 0, 0);
        draw_at(p, 90 * S, FAULT_DISK_NEW, quick, 0, 0);
    }
    draw_at(p, 91 * S, FAULT_START, quick, 0, 0);
    draw_at(p, 91 * S, FAULT_START, slow, 0, 0);
}

static void plan_leave(struct plan *p)
{
    draw_starts(p, 100);
    unsigned first = draw_node(p);
    unsigned second = draw_another(p, first);
    draw_at(p, 20 * S, FAULT_LEAVE, first, 0, 0);
    draw_at(p, 25 * S, FAULT_LEAVE, second, 0, 0);
    draw_at(p, 45 * S, FAULT_START, first, 0, 0);
    p->detect_ns = 2ULL * SECOND_NS;
    if (p->nodes == 2) { /* it has not heard the other in its new run, and nobody else has: decision 0047 */
        p->converge_ns = 12ULL * SECOND_NS;
    }
}

static void plan_all_restart(struct plan *p)
{
    draw_starts(p, 100);
    enum fault_kind how = draw_one_in(p, 2)   ? FAULT_CRASH
                          : draw_one_in(p, 2) ? FAULT_SILENCE
                                              : FAULT_LEAVE;
    for (unsigned i = 0; i < p->nodes; i++) {
        draw_at(p, draw_between(p, 20 * S, 20 * S + 50), how, i, 0, 0);
    }
    for (unsigned i = 0; i < p->nodes; i++) {
        draw_at(p, draw_between(p, 25 * S, 26 * S), FAULT_START, i, 0, 0);
    }
}

/* ---- paths ---- */

static void plan_partition(struct plan *p)
{
    draw_starts(p, 100);
    draw_joins(p, 10 * S);
    uint64_t length = draw_one_in(p, 2) ? 20 * S : 90 * S;
    if (draw_one_in(p, 2)) {
        draw_at(p, 30 * S, FAULT_SEGMENTS, 0, 0, 0);
    } else {
        draw_partition(p, 30 * S);
    }
    draw_at(p, 30 * S + length, FAULT_HEAL, 0, 0, 0);
}

/* Two halves that no beacon crosses: only the probing of the failed finds the way back. */
static void plan_split(struct plan *p)
{
    draw_starts(p, 100);
    draw_joins(p, 10 * S);
    draw_at(p, 30 * S, FAULT_SEGMENTS, 0, 0, 0);
    draw_at(p, 30 * S + draw_between(p, 15 * S, 200 * S), FAULT_HEAL, 0, 0, 0);
}

static void plan_oneway(struct plan *p)
{
    draw_starts(p, 100);
    unsigned a = draw_node(p);
    draw_at(p, 20 * S, FAULT_CUT, a, draw_another(p, a), 0);
    draw_at(p, 80 * S, FAULT_HEAL, 0, 0, 0);
}

static void plan_deaf(struct plan *p)
{
    draw_starts(p, 100);
    unsigned victim = draw_node(p);
    for (uint64_t t = 20 * S; t < 300 * S; t += 30 * S) {
        draw_at(p, t, FAULT_DEAF, victim, 0, 0);
        draw_at(p, t + draw_between(p, 5 * S, 20 * S), FAULT_HEAL, 0, 0, 0);
    }
    for (uint64_t t = 320 * S; t < 400 * S; t += 20 * S) {
        draw_at(p, t, FAULT_EAR, victim, 0, draw_between(p, 600000, 980000));
    }
    draw_at(p, 400 * S, FAULT_EAR, victim, 0, 0);
}

static void plan_reject(struct plan *p)
{
    draw_starts(p, 100);
    unsigned a = draw_node(p);
    draw_at(p, 20 * S, FAULT_REJECT, a, draw_another(p, a), 0);
    draw_at(p, 80 * S, FAULT_HEAL, 0, 0, 0);
}

static void plan_loss(struct plan *p)
{
    draw_starts(p, 100);
    p->calm_ns = 1ULL * SECOND_NS;
}

static void net_loss(struct net_conf *net, struct prng *p, unsigned nodes)
{
    static const uint32_t losses[] = {50000, 100000, 250000};
    (void) nodes;
    net->loss_ppm = losses[prng_below(p, 3)];
    net->duplicate_ppm = 20000;
    net->reorder_ppm = 50000;
}

static void net_wifi(struct net_conf *net, struct prng *p, unsigned nodes)
{
    (void) p;
    (void) nodes;
    net->loss_ppm = 50000;
    net->latency_ns = 2U * MS_NS;
    net->jitter_ns = 300U * MS_NS;
}

static void net_two(struct net_conf *net, struct prng *p, unsigned nodes)
{
    (void) p;
    (void) nodes;
    net->loss_ppm = 200000;
}

/* ---- slow machines ---- */

/* Machines that are not slow lose their power, one a minute. */
static void others_die(struct plan *p, unsigned slow, uint64_t end)
{
    for (uint64_t t = MIN; slow < p->nodes && t + MIN < end; t += MIN) {
        unsigned victim = slow + (unsigned) prng_below(&p->prng, p->nodes - slow);
        draw_at(p, t + draw_between(p, 0, 10 * S), FAULT_SILENCE, victim, 0, 0);
        draw_at(p, t + 40 * S, FAULT_START, victim, 0, 0);
    }
}

/* As in Lifeguard's paper: a slow machine is held up for some time, runs for a moment, and so
 * on. */
static uint64_t slow_spell(struct plan *p, unsigned node, uint64_t from_ms)
{
    uint64_t held_ms =
        draw_between(p, 1, 100) <= 50 ? draw_between(p, 100, 2 * S) : draw_between(p, S, 30 * S);
    uint64_t runs_ms = draw_one_in(p, 2) ? draw_between(p, 1, 20) : draw_between(p, 20, S);
    uint64_t until = from_ms + draw_between(p, 20 * S, 120 * S);
    uint64_t t = from_ms;
    for (; t < until; t += held_ms + runs_ms) {
        draw_at(p, t, FAULT_STALL, node, 0, held_ms * MS_NS);
    }
    plan_calm_from(p, t * MS_NS);
    return t;
}

static void plan_stall(struct plan *p)
{
    draw_starts(p, 100);
    unsigned slow = 1 + (unsigned) prng_below(&p->prng, p->nodes / 4 + 1);
    uint64_t end = before_end(p, 5 * MIN);
    for (unsigned i = 0; i < slow && i < p->nodes; i++) {
        for (uint64_t t = draw_between(p, 30 * S, 60 * S); t < end;
             t += draw_between(p, 5 * S, 60 * S)) {
            t = slow_spell(p, i, t);
        }
    }
    others_die(p, slow, end);
}

static void plan_radio(struct plan *p)
{
    draw_starts(p, 100);
    unsigned slow = 1 + (unsigned) prng_below(&p->prng, p->nodes / 4 + 1);
    uint64_t end = before_end(p, 5 * MIN);
    for (unsigned i = 0; i < slow && i < p->nodes; i++) {
        for (uint64_t t = draw_between(p, 30 * S, 60 * S); t < end;
             t += draw_between(p, 5 * S, 60 * S)) {
            draw_at(p, t, FAULT_RADIO, i, 0, draw_between(p, 300000, 950000));
            t += draw_between(p, 5 * S, 60 * S);
            draw_at(p, t, FAULT_RADIO, i, 0, 0);
        }
    }
    others_die(p, slow, end);
}

/* ---- machines that move, fail, or are not what they seem ---- */

static void plan_sleep(struct plan *p)
{
    draw_starts(p, 100);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t t = draw_between(p, 20 * S, 30 * S) + i * 200U * S;
        uint64_t length = draw_between(p, S, 150 * S);
        draw_at(p, t, FAULT_SLEEP, draw_node(p), 0, length * MS_NS);
        plan_calm_from(p, (t + length) * MS_NS);
    }
}

static void plan_readdress(struct plan *p)
{
    draw_starts(p, 100);
    unsigned mover = draw_node(p);
    draw_at(p, 20 * S, FAULT_READDRESS, mover, 0, 0);
    unsigned sleeper = draw_node(p);
    draw_at(p, 60 * S, FAULT_SILENCE, sleeper, 0, 0);
    draw_at(p, 80 * S, FAULT_READDRESS, sleeper, 0, 0);
    draw_at(p, 81 * S, FAULT_START, sleeper, 0, 0);
}

static void plan_disk(struct plan *p)
{
    draw_starts(p, 100);
    unsigned victim = draw_node(p);
    unsigned other = draw_node(p);
    draw_at(p, 20 * S, FAULT_DISK_FAILS, victim, 0, 0);
    draw_at(p, 25 * S, FAULT_CRASH, other, 0, 0);
    draw_at(p, 35 * S, FAULT_START, other, 0, 0);
    draw_at(p, 40 * S, FAULT_DISK_MENDED, victim, 0, 0);
    draw_at(p, 45 * S, FAULT_CRASH_BETWEEN, victim, 0, 0);
    draw_at(p, 47 * S, FAULT_START, victim, 0, 0);
}

static void net_slow_disk(struct net_conf *net, struct prng *p, unsigned nodes)
{
    (void) p;
    (void) nodes;
    net->disk_ns = 900U * MS_NS; /* an SD card in a bad hour */
}

/* A cloned disk: the last machine starts with the identity of another, until it is taken away. */
static void plan_clone(struct plan *p)
{
    unsigned last = p->nodes - 1;
    if (last == 0) {
        draw_starts(p, 100);
        return;
    }
    for (unsigned i = 0; i < last; i++) {
        draw_at(p, draw_between(p, 0, 100), FAULT_START, i, 0, 0);
    }
    unsigned original = (unsigned) prng_below(&p->prng, last);
    struct expect *fights = plan_add_expect(p, EXPECT_INCARNATION);
    node_set_all(&fights->who, p->nodes);
    fights->limit = CLONE_INCARNATION_MAX;
    expect_no_failed(p, last, original);
    draw_at(p, draw_between(p, 15 * S, 25 * S), FAULT_CLONE, original, last, 0);
    uint64_t ends = draw_between(p, 60 * S, 120 * S);
    draw_at(p, ends, draw_one_in(p, 2) ? FAULT_SILENCE : FAULT_CRASH, last, 0, 0);
}

static void plan_storm(struct plan *p)
{
    draw_starts(p, 100);
    unsigned a = draw_node(p);
    draw_repeat(p, 20 * S, 80 * S, draw_between(p, 550, 650) * 1000U, FAULT_RESTART, a, 0);
    expect_no_failed(p, p->nodes, a);
}

static void plan_clocks(struct plan *p)
{
    draw_starts(p, 100);
    for (unsigned i = 0; i < 2 * p->nodes; i++) {
        uint64_t t = draw_between(p, 15 * S, 80 * S);
        unsigned a = draw_node(p);
        draw_bad_clock(p, draw_one_in(p, 2), t, a);
    }
}

static void plan_paths(struct plan *p)
{
    draw_starts(p, 100);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t t = draw_between(p, 15 * S, 60 * S);
        uint64_t length = draw_between(p, 5 * S, 60 * S);
        unsigned a = draw_node(p);
        draw_bad_path(p, t, length, a);
    }
}

/* ---- attackers ---- */

static void plan_icmp(struct plan *p)
{
    draw_starts(p, 100);
    draw_repeat(p, 20 * S, 60 * S, 20000U, FAULT_ICMP, 0, 0);
}

static void plan_replay(struct plan *p)
{
    draw_starts(p, 100);
    draw_repeat(p, 10 * S, 90 * S, 50000U, FAULT_REPLAY, 0, 0);
    unsigned victim = draw_node(p);
    unsigned restarted = draw_another(p, victim);
    draw_at(p, 30 * S, FAULT_CRASH, victim, 0, 0);
    draw_at(p, 40 * S, FAULT_CRASH, restarted, 0, 0);
    draw_at(p, 41 * S, FAULT_START, restarted, 0, 0);
    p->detect_ns = 4ULL * SECOND_NS;
}

/* Who was thought failed comes back in the same session: what was seen of it before stays seen. */
static void plan_replay_heal(struct plan *p)
{
    draw_starts(p, 100);
    draw_repeat(p, 10 * S, 90 * S, 20000U, FAULT_REPLAY, 0, 0);
    for (uint64_t t = 20 * S; t < 80 * S; t += 25 * S) {
        draw_partition(p, t);
        draw_at(p, t + 12 * S, FAULT_HEAL, 0, 0, 0);
    }
}

/* Its disk is new and so is its address; only its user tells one other where it is. */
static void plan_reborn(struct plan *p)
{
    draw_starts(p, 100);
    for (unsigned i = 1; i < p->nodes; i++) {
        draw_repeat(p, S, 10 * S, 1000000U, FAULT_JOIN, i, 0);
    }
    unsigned victim = draw_node(p);
    draw_at(p, 20 * S, FAULT_SILENCE, victim, 0, 0);
    if (draw_one_in(p, 2)) {
        draw_at(p, 21 * S, FAULT_READDRESS, victim, 0, 0);
    }
    if (draw_one_in(p, 2)) {
        draw_at(p, 22 * S, FAULT_DISK_NEW, victim, 0, 0);
    }
    draw_at(p, 40 * S, FAULT_START, victim, 0, 0);
    /* Both ways of being told: the others' users know its new address, or it knows one of theirs.
     * */
    unsigned friend = draw_another(p, victim);
    if (draw_one_in(p, 2)) {
        draw_repeat(p, 41 * S, 50 * S, 1000000U, FAULT_JOIN, friend, victim);
    } else {
        draw_repeat(p, 41 * S, 50 * S, 1000000U, FAULT_JOIN, victim, friend);
    }
}

static void plan_beacons(struct plan *p)
{
    draw_repeat(p, 0, 60 * S, 500U, FAULT_BEACON, 0, 0);
    draw_repeat(p, 0, 60 * S, 10000U, FAULT_STRANGER, 0, 0);
    draw_starts(p, 100);
    draw_at(p, 30 * S, FAULT_START, 0, 0, 0);
}

static void plan_forge(struct plan *p)
{
    draw_starts(p, 100);
    draw_at(p, 15 * S, FAULT_FORGE, 0, 0, 60ULL * SECOND_NS);
    plan_calm_from(p, 60ULL * SECOND_NS);
}

/* ---- long runs ---- */

/* Somebody away when another died comes back with the old view, again and again. */
static void plan_revive(struct plan *p)
{
    draw_starts(p, 100);
    unsigned dead = draw_node(p);
    uint64_t end = before_end(p, 2 * MIN);
    draw_part(p, 20 * S, p->nodes > 8 ? 4 : 1, 7);
    draw_at(p, 21 * S, FAULT_CRASH, dead, 0, 0);
    draw_at(p, 22 * S, FAULT_HEAL, 0, 0, 0);
    for (uint64_t t = 60 * S; t < end; t += draw_between(p, 15 * S, 60 * S)) {
        uint64_t length = draw_between(p, 100, 12 * S);
        draw_partition(p, t);
        draw_at(p, t + length, FAULT_HEAL, 0, 0, 0);
        t += length;
    }
}

/* One death after another, for the sweep. */

static void plan_deaths(struct plan *p)
{
    unsigned deaths = p->nodes > 300 ? 1 : p->nodes > 50 ? 3 : 6;
    for (unsigned i = 0; i < p->nodes; i++) {
        plan_at(p, (uint64_t) i * 100000U, FAULT_START, i, 0, 0);
    }
    draw_joins(p, 15 * S);
    uint64_t t = 75 * S;
    for (unsigned i = 0; i < 2 * deaths; i++) {
        unsigned victim = draw_node(p);
        uint64_t death = t + draw_between(p, 0, S);
        draw_at(p, death, i % 2 == 0 ? FAULT_CRASH : FAULT_SILENCE, victim, 0, 0);
        draw_at(p, death + 30 * S, FAULT_START, victim, 0, 0);
        t += 45 * S;
    }
    p->for_ns = (t + 30 * S) * MS_NS;
}

static void net_deaths(struct net_conf *net, struct prng *p, unsigned nodes)
{
    (void) p;
    net->segment_nodes = nodes > 100 ? 50 : 0;
}

/* ---- the table ---- */

const struct scenario scenarios[] = {
    {"form", "all start at once and find each other by beacon", 1, 30, 20 * S, 3 * S, 12,
     PLAN_STRICT, NULL, plan_form},
    {"join", "no broadcast: each is told the address of one other", 2, 12, 40 * S, 10 * S, 4,
     PLAN_STRICT, net_no_broadcast, plan_join},
    {"idle", "nothing happens: the idle budget is measured", 2, 12, 220 * S, 5 * S, 3,
     PLAN_STRICT | PLAN_IDLE, NULL, plan_form},
    {"crash", "a process dies, half of the time between two effects; it comes back later", 2, 30,
     75 * S, 5 * S, 12, PLAN_STRICT, NULL, plan_crash},
    {"silence", "a machine loses its power; it comes back later", 2, 30, 75 * S, 5 * S, 8,
     PLAN_STRICT, NULL, plan_silence},
    {"restart", "restarts: within 200 ms, between effects, often, with an empty disk", 2, 12,
     130 * S, 15 * S, 12, 0, NULL, plan_restart},
    {"leave", "two leave; one comes back", 2, 12, 60 * S, 5 * S, 6, PLAN_STRICT, NULL, plan_leave},
    {"all-restart", "all die, lose power or leave at the same moment, and start again", 2, 30,
     45 * S, 8 * S, 8, 0, NULL, plan_all_restart},
    {"partition", "a full partition of 20 or 90 s heals", 2, 16, 150 * S, 10 * S, 8,
     PLAN_PARTITIONS, two_segments, plan_partition},
    {"split", "two networks lose and find each other; no beacon crosses", 2, 16, 270 * S, 20 * S, 6,
     PLAN_PARTITIONS, two_segments, plan_split},
    {"oneway", "one node cannot reach another, but all others can", 3, 8, 100 * S, 10 * S, 6,
     PLAN_STRICT, NULL, plan_oneway},
    {"deaf", "one node sends but hears nobody, later little: it must not talk others into errors",
     4, 12, 430 * S, 20 * S, 6, 0, NULL, plan_deaf},
    {"reject", "a firewall at one node rejects another; all others reach both", 3, 8, 100 * S,
     10 * S, 6, PLAN_STRICT, NULL, plan_reject},
    {"loss", "5, 10 or 25 % of all packets are lost, some come twice or late", 2, 30, 120 * S,
     20 * S, 8, PLAN_STRICT, net_loss, plan_loss},
    {"wifi", "5 % loss and 300 ms of jitter", 20, 50, 120 * S, 25 * S, 2, PLAN_STRICT, net_wifi,
     plan_loss},
    {"stall", "Lifeguard's experiment: a quarter or less stall for 1 to 30 s, others die", 32, 32,
     20 * MIN, 60 * S, 2, PLAN_LIFEGUARD, NULL, plan_stall},
    {"radio", "the same with machines that lose 30 to 95 % of their packets", 32, 32, 20 * MIN,
     20 * S, 2, PLAN_LIFEGUARD, NULL, plan_radio},
    {"sleep", "laptops sleep and wake", 2, 8, 480 * S, 15 * S, 4, 0, NULL, plan_sleep},
    {"readdress", "machines get new addresses, running and switched off", 2, 8, 110 * S, 25 * S, 4,
     0, NULL, plan_readdress},
    {"disk", "a disk refuses to store, a slow one loses what was not durable", 2, 8, 80 * S, 15 * S,
     6, 0, net_slow_disk, plan_disk},
    {"clone", "a machine starts with another's disk; the others are none of its business", 4, 9,
     160 * S, 20 * S, 4, 0, NULL, plan_clone},
    {"storm", "one node restarts 100 times a minute", 3, 9, 100 * S, 10 * S, 4, 0, NULL,
     plan_storm},
    {"clocks", "wall clocks jump by years, clocks drift", 2, 9, 120 * S, 10 * S, 6, PLAN_STRICT,
     NULL, plan_clocks},
    {"paths", "single directions lose packets or are slow", 5, 12, 140 * S, 15 * S, 6, PLAN_STRICT,
     NULL, plan_paths},
    {"icmp", "forged port-unreachable reports about healthy nodes", 2, 8, 80 * S, 10 * S, 6,
     PLAN_STRICT, NULL, plan_icmp},
    {"replay", "old datagrams are sent again, also those of the dead", 2, 8, 110 * S, 10 * S, 6,
     PLAN_STRICT, NULL, plan_replay},
    {"replay-heal", "the same across partitions that heal", 2, 6, 110 * S, 10 * S, 6, 0, NULL,
     plan_replay_heal},
    {"reborn", "a machine comes back with a new address, a new disk or both; no broadcast", 2, 8,
     80 * S, 15 * S, 12, 0, net_no_broadcast, plan_reborn},
    {"beacons", "2,000 forged beacons a second, and strangers with another key", 2, 6, 80 * S,
     15 * S, 3, PLAN_STRICT, NULL, plan_beacons},
    {"forge", "a member hands out records of others that it could not sign", 3, 8, 80 * S, 10 * S,
     6, PLAN_STRICT, NULL, plan_forge},
    {"two", "two nodes, 20 % loss, a day", 2, 2, 24 * 60 * MIN, 20 * S, 1, PLAN_STRICT, net_two,
     plan_loss},
    {"revive", "one of many is dead for ever; others come and go with old views", 64, 64, 8 * MIN,
     30 * S, 1, PLAN_PARTITIONS, NULL, plan_revive},
    {"swarm", "the seed draws which faults there are, then the schedule", 1, 24, 200 * S, 60 * S,
     40, 0, swarm_net, swarm_plan},
    {"writes", "clients write while disks, processes and links fail", 1, 10, 100 * S, 25 * S, 200, 0,
     swarm_writes_net, swarm_writes_plan},
    {"deaths", "one after another dies and comes back, as a process and with its machine", 2, 30,
     10 * MIN, 40 * S, 2, PLAN_STRICT, net_deaths, plan_deaths},
    {"big", "1,000 nodes in segments of 50", 1000, 1000, 60 * S, 40 * S, 0,
     PLAN_STRICT | PLAN_NO_DISKS, net_big, plan_big},
};

const unsigned scenario_count = sizeof scenarios / sizeof scenarios[0];

const struct scenario *scenario_find(const char *name)
{
    for (unsigned i = 0; i < scenario_count; i++) {
        if (strcmp(scenarios[i].name, name) == 0) {
            return &scenarios[i];
        }
    }
    return NULL;
}
