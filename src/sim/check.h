/* SPDX-License-Identifier: MPL-2.0 */
/* What must hold, judged by the world's truth and never by a node's view.
 *
 * Safety, after every step (the events a core emits after each; its whole list every few steps):
 *  - every member is a node of this world, under its own name and an address it had;
 *  - a status is one of four; an incarnation never goes back at an observer, and never exceeds
 *    what its owner really had; a node sees itself alive until it leaves;
 *  - no false failure: no observer holds a running node failed while both are healthy, that is,
 *    have run for CHECK_GRACE_NS and were not stalled, cut off, asleep, deaf, readdressed or healed
 *    within that time, and nobody else was stalled either (a slow observer's error is what Lifeguard
 *    makes rare, not impossible: those are counted). In strict scenarios, whose faults must change
 *    no member, it is enough that both have run for that time. A restart within 200 ms of a healthy
 *    process must not be judged failed at all;
 *  - the dead stay dead: who held a node failed after its process ended does not hold it alive
 *    again without a newer incarnation, nor at all once it has been dead for a minute;
 *  - a durable incarnation is exceeded after a restart; event numbers rise across restarts;
 *  - effects per step are bounded; the deadline moves; nonces are never used twice.
 * Liveness, when all faults have ended: within the scenario's time all running nodes hold each
 * other alive, all others failed or left, and have the same view hash. */
#ifndef HM_SIM_CHECK_H
#define HM_SIM_CHECK_H

#include "sim/world.h"

#define CHECK_GRACE_NS (8ULL * SECOND_NS)
#define CHECK_SAMPLES_MAX 4096
#define CHECK_UNKNOWN 0xff

/* One death and how it was noticed. */
struct detection {
    unsigned node;
    enum ending ending;
    uint64_t at_ns;
    uint64_t first_ns; /* 0: by nobody yet */
    uint64_t all_ns;   /* all running nodes that nothing disturbs */
    bool is_open;      /* still watched */
};

struct check {
    struct world *w;
    unsigned n;
    uint8_t *removed;      /* [observer * n + subject] the observer has told in this life that it was removed */
    uint8_t *status;       /* [observer * n + subject], CHECK_UNKNOWN: not on its roster */
    uint64_t *incarnation; /* likewise */
    uint64_t *since_ns;    /* likewise: since when that status */
    uint64_t *known_ns;    /* likewise: since when it is on the roster of this life */
    uint64_t *event_seq;   /* by node: read so far */
    uint64_t *event_told;  /* by node: the newest number of all its lives */
    uint64_t *own_max;     /* by node: the highest incarnation it ever had */
    uint64_t *own_now;     /* by node: in this life */
    uint32_t *scans;       /* by node: steps since its whole list was read */
    bool is_strict;
    bool is_lenient;                 /* no judgement of false failures: they are counted only */
    uint64_t false_suspicions;       /* of healthy nodes, at anybody: no harm, but work */
    uint64_t false_failures;         /* of healthy nodes, at anybody */
    uint64_t false_failures_first;   /* of them, when nobody else held it failed: errors, not echoes */
    uint64_t false_failures_healthy; /* of healthy nodes, at healthy observers */
    struct detection detections[CHECK_SAMPLES_MAX];
    unsigned detection_count;
    unsigned *watched; /* by node: its open detection plus one */
};

struct check *check_new(struct world *w);
void check_destroy(struct check **p);

void check_started(struct check *c, struct sim_node *n);
void check_ended(struct check *c, struct sim_node *n);
void check_step(struct check *c, struct sim_node *n, const struct event *ev,
                const struct effects *fx);
/* True if the running nodes agree with the truth; otherwise ret_why says what does not. */
bool check_converged(struct check *c, char *ret_why, size_t max);
bool check_is_healthy(const struct check *c, const struct sim_node *n);

#endif
