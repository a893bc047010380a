/* SPDX-License-Identifier: MPL-2.0 */
/* A plan: everything that is decided about a run before it begins. How many machines, their network,
 * what goes wrong and when, and what is expected of it.
 *
 * Scenarios (scenarios.c) and scenario files (script.c) draw a plan from a seed; the world then does
 * what the plan says and draws only what happens to single packets. So a plan can be written down
 * as a scenario file (plan_text.c) that gives the same run, and made smaller step by step
 * (shrink.c). Plain data, owned by who made it. */
#ifndef HM_SIM_PLAN_H
#define HM_SIM_PLAN_H

#include "base/prng.h"
#include "sim/world.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What can go wrong. How each is written in a scenario file: script_words.c. */
enum fault_kind {
    FAULT_START,         /* a: its process (and machine) */
    FAULT_CRASH,         /* a */
    FAULT_CRASH_BETWEEN, /* a: between two effects of its next step, within 1.5 s */
    FAULT_CRASH_OVERDUE, /* a: such a step did not come (made by the world only) */
    FAULT_SILENCE,       /* a: its plug is pulled */
    FAULT_LEAVE,         /* a */
    FAULT_RESTART,       /* a: crashes and starts again 20 to 200 ms later; may be repeated */
    FAULT_STALL,         /* a, arg: for so many ns */
    FAULT_SLEEP,         /* a, arg */
    FAULT_PARTITION,     /* arg: index of the plan's sides */
    FAULT_SEGMENTS,      /* no segment reaches another */
    FAULT_CUT,           /* a to b, one way */
    FAULT_REJECT,        /* a: its firewall rejects what b sends and what is sent to b */
    FAULT_NO_UDP,        /* a: its firewall drops datagrams, both ways; TCP passes */
    FAULT_CLOSED,        /* a: its firewall lets nobody connect; it connects to others */
    FAULT_DEAF,          /* a: sends, but hears nobody; its trouble alone */
    FAULT_EAR,           /* a: loses arg ppm of what it hears; 0: mended */
    FAULT_RADIO,         /* a: loses arg ppm of what it sends and hears; 0: mended */
    FAULT_HEAL,          /* all of these end */
    FAULT_PATH,          /* a to b, one way, arg: index of the plan's paths */
    FAULT_ICMP,          /* repeated: a forged port-unreachable to somebody about somebody */
    FAULT_REPLAY,        /* repeated: an old datagram again */
    FAULT_BEACON,        /* repeated: a forged beacon with a random id */
    FAULT_STRANGER,      /* repeated: a datagram sealed by another key */
    FAULT_FORGE,         /* arg: until then a member hands out records it could not sign */
    FAULT_READDRESS,     /* a: gets another address */
    FAULT_CLOCK,         /* a: its wall clock jumps by arg ms (as int64_t) */
    FAULT_DRIFT,         /* a: all its clocks run fast by arg ppm (as int64_t) */
    FAULT_CLONE,         /* a's disk and identity are copied to the machine b, which then starts */
    FAULT_DISK_FAILS,    /* a */
    FAULT_DISK_MENDED,   /* a */
    FAULT_DISK_NEW,      /* a: empty, if it does not run */
    FAULT_BACKUP,        /* a: what is on its disk is copied and kept */
    FAULT_RESTORE,       /* a: its disk becomes that copy, if it does not run */
    FAULT_WRITE,         /* repeated: clients of a write; arg: index of the plan's loads */
    FAULT_LOSS,          /* arg: ppm, everywhere */
    FAULT_LATENCY,       /* arg: ns, everywhere */
    FAULT_JITTER,        /* arg: ns, everywhere */
    FAULT_JOIN,          /* may be repeated: a is told of b's address by its user */
    FAULT_REMOVE,        /* b removes a for good, if b runs */
    FAULT_EXPECT,        /* no fault: arg: index of the expectation that is judged now */
};

#define FAULT_KINDS (FAULT_EXPECT + 1)

enum plan_flag {
    PLAN_STRICT = 1 << 0,     /* nobody who runs may be held failed */
    PLAN_LENIENT = 1 << 1,    /* false failures are counted, not judged */
    PLAN_NO_DISKS = 1 << 2,   /* nobody restarts: what is stored need not be kept */
    PLAN_LIFEGUARD = 1 << 3,  /* run again as plain SWIM, and compared */
    PLAN_IDLE = 1 << 4,       /* the idle budget is measured at the end */
    PLAN_PARTITIONS = 1 << 5, /* converging at the end means that a partition healed */
};

struct plan_fault {
    uint64_t at_ns;
    enum fault_kind kind;
    unsigned a, b;
    uint64_t arg;
    uint64_t every_ns, until_ns; /* repeated; 0: once */
};

struct node_set {
    uint64_t bits[SIM_NODES_MAX / 64];
};

/* What clients write. */
struct plan_load {
    unsigned keys;        /* so many different ones */
    uint32_t deletes_ppm; /* of the writes delete */
    unsigned bytes;       /* of a value */
};

/* A partition: who is on which side. Sides do not reach each other. */
struct plan_sides {
    uint8_t side[SIM_NODES_MAX];
};

enum expect_kind {
    EXPECT_NO_FAILED,      /* never: one of `who` held failed by another of `who` while both run */
    EXPECT_DETECTED,       /* each end of one of `who` is known to all within within_ns */
    EXPECT_TOLD,           /* the same, from when the first one knows it */
    EXPECT_STATUS,         /* at at_ns: each running one of `by` holds each of `who` at `status` */
    EXPECT_FALSE_FAILURES, /* at the end: at most `limit` */
    EXPECT_INCARNATION,    /* always: of `who` below `limit` */
};

struct expect {
    enum expect_kind kind;
    struct node_set who, by;
    unsigned status; /* enum member_status */
    uint64_t at_ns, within_ns, limit;
};

struct plan {
    char name[64];
    uint64_t seed;
    unsigned nodes;
    struct net_conf net;
    struct prng prng;     /* draws the plan */
    uint64_t for_ns;      /* the whole run */
    uint64_t calm_ns;     /* when the last fault has ended */
    uint64_t converge_ns; /* from calm_ns until all agree */
    uint64_t equal_ns;    /* from calm_ns until all registries are equal; 0: as converge_ns */
    uint64_t detect_ns;   /* every death must be known to all within this; 0: not judged */
    unsigned flags;       /* enum plan_flag */
    struct plan_fault *faults;
    size_t fault_count, fault_room;
    struct plan_sides *sides;
    size_t side_count, side_room;
    struct path_conf *paths;
    size_t path_count, path_room;
    struct plan_load *loads; /* none: nobody writes, and registries are not looked at */
    size_t load_count, load_room;
    struct expect *expects;
    size_t expect_count, expect_room;
};

void plan_init(struct plan *p, uint64_t seed, unsigned nodes);
void plan_fini(struct plan *p);
/* A copy with memory of its own. */
void plan_copy(struct plan *ret_copy, const struct plan *p);

/* Adds one fault. The calm begins no earlier than it; stalls and sleeps count to their end. */
struct plan_fault *plan_at(struct plan *p, uint64_t at_ns, enum fault_kind kind, unsigned a,
                           unsigned b, uint64_t arg);
struct plan_fault *plan_repeat(struct plan *p, uint64_t from_ns, uint64_t until_ns,
                               uint64_t every_ns, enum fault_kind kind, unsigned a, unsigned b);
void plan_calm_from(struct plan *p, uint64_t at_ns);
/* When this fault's doing ends. */
uint64_t plan_fault_end_ns(const struct plan_fault *f);

/* The fault in a few words, for a picture: "crash n3". */
void plan_fault_text(const struct plan *p, const struct plan_fault *f, char *text, size_t max);

/* These return the new one, zeroed, and its index for a fault's arg. */
struct plan_sides *plan_add_sides(struct plan *p, uint64_t *ret_idx);
struct path_conf *plan_add_path(struct plan *p, uint64_t *ret_idx);
struct plan_load *plan_add_load(struct plan *p, uint64_t *ret_idx);
struct expect *plan_add_expect(struct plan *p, enum expect_kind kind);

void node_set_add(struct node_set *s, unsigned node);
bool node_set_has(const struct node_set *s, unsigned node);
/* Nodes 0 to count - 1. */
void node_set_all(struct node_set *s, unsigned count);

#endif
