/* SPDX-License-Identifier: MPL-2.0 */
/* What goes wrong: the scenarios, each a plan of faults on virtual time, and the attackers.
 *
 * A scenario draws the details (who, when, how long) from the seed; "swarm" draws first which kinds
 * of faults there are at all, so that rare combinations come up, then the schedule. After calm_ns
 * nothing new goes wrong and all is mended: from there the time to converge counts. */
#ifndef HM_SIM_FAULTS_H
#define HM_SIM_FAULTS_H

#include "sim/world.h"

#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
    FAULT_START,         /* a: its process (and machine) */
    FAULT_CRASH,         /* a */
    FAULT_CRASH_BETWEEN, /* a: between two effects of its next step, within 1.5 s */
    FAULT_CRASH_OVERDUE, /* a: such a step did not come */
    FAULT_SILENCE,       /* a: its plug is pulled */
    FAULT_LEAVE,         /* a */
    FAULT_STALL,         /* a, arg: for so many ns */
    FAULT_SLEEP,         /* a, arg */
    FAULT_PARTITION,     /* a: so many nodes at least on the small side, arg: seed of the sides */
    FAULT_SEGMENTS,      /* no segment reaches another */
    FAULT_CUT,           /* a to b, one way */
    FAULT_REJECT,        /* a: its firewall rejects what b sends and what is sent to b */
    FAULT_DEAF,          /* a: sends, but hears nobody; its trouble alone */
    FAULT_EAR,           /* a: loses arg ppm of what it hears; 0: mended */
    FAULT_RADIO,         /* a: loses arg ppm of what it sends and hears; 0: mended */
    FAULT_HEAL,          /* all of these end */
    FAULT_ICMP,          /* repeated: a forged port-unreachable to somebody about somebody */
    FAULT_REPLAY,        /* repeated: an old datagram again */
    FAULT_BEACON,        /* repeated: a forged beacon with a random id */
    FAULT_STRANGER,      /* repeated: a datagram sealed by another key */
    FAULT_FORGE,         /* arg: until then a member hands out records it could not sign */
    FAULT_READDRESS,     /* a: gets another address */
    FAULT_DISK_FAILS,    /* a */
    FAULT_DISK_MENDED,   /* a */
    FAULT_DISK_NEW,      /* a: empty, if it does not run */
    FAULT_LOSS,          /* arg: ppm */
    FAULT_JOIN,          /* repeated: a is told of b's address by its user */
};

enum scenario_flag {
    SCENARIO_STRICT = 1 << 0,     /* nobody who runs may be held failed */
    SCENARIO_LENIENT = 1 << 1,    /* false failures are counted, not judged */
    SCENARIO_NO_DISKS = 1 << 2,   /* nobody restarts: what is stored need not be kept */
    SCENARIO_LIFEGUARD = 1 << 3,  /* run again with Lifeguard off, and compared */
    SCENARIO_IDLE = 1 << 4,       /* the idle budget is measured at the end */
    SCENARIO_PARTITIONS = 1 << 5, /* converging at the end means that a partition healed */
};

struct plan {
    uint64_t for_ns;  /* the whole run */
    uint64_t calm_ns; /* when the last fault has ended */
    uint64_t detect_ns; /* every death must be known to all within this; 0: not judged */
};

struct scenario {
    const char *name;
    const char *summary;
    unsigned nodes_min, nodes_max; /* drawn from the seed between these */
    uint64_t for_ms;
    uint64_t converge_ms; /* after calm_ns */
    unsigned seeds;       /* 1..seeds are its default seeds */
    unsigned flags;
    void (*net)(struct net_conf *net, struct prng *p, unsigned nodes); /* NULL: the default */
    void (*plan)(struct world *w, struct plan *plan);
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;
const struct scenario *scenario_find(const char *name);

/* The default network: a home's switch. */
void faults_net_default(struct net_conf *net);

/* Puts one fault into the world's future. */
void faults_at(struct world *w, uint64_t at_ns, enum fault_kind kind, unsigned a, unsigned b,
               uint64_t arg);
void faults_repeat(struct world *w, uint64_t from_ns, uint64_t until_ns, uint64_t every_ns,
                   enum fault_kind kind, unsigned a, unsigned b);
/* MSG_FAULT is due. Takes the message. */
void faults_do(struct world *w, struct msg *m);
/* A member-level attacker may replace what it sends by a record that it forged. */
void faults_forge(struct world *w, struct msg *m, const struct addr *to);

#endif
