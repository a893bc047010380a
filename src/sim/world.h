/* SPDX-License-Identifier: MPL-2.0 */
/* The simulated world: virtual time, machines, and the cores that run on them.
 *
 * One heap of moments drives everything. A machine (a node's place) has an address, a disk and a
 * boot clock; its process is a core, which is made at a start, fed with events, has its effects
 * carried out one by one, and may end between any two of them. A stalled process takes nothing
 * until it wakes: then it hears first for how long it was held up, then what waited, in order.
 * Datagrams, beacons and connection attempts are in simnet, links in simlink, disks in simdisk,
 * what will go wrong in the plan, how it does in faults, and what must hold in check. The world itself
 * is world.c (time, messages), process.c (machines) and step.c (a core's step and its effects). This struct is shared by these files
 * only; all state of a run is in it. The same seed gives the same run, on every machine and with
 * every compiler. */
#ifndef HM_SIM_WORLD_H
#define HM_SIM_WORLD_H

#include "base/heap.h"
#include "base/metrics.h"
#include "base/prng.h"
#include "core/core.h"
#include "sim/simcrypto.h"
#include "sim/simdisk.h"
#include "sim/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_NODES_MAX 4096 /* addresses and the n * n tables are made for it */
#define SIM_PORT 8471
#define SIM_LINK_PORT 8473
#define SIM_MESH "simlab"
#define SIM_INBOX_MAX 256       /* datagrams a socket holds while its process stalls: 208 KiB */
#define SIM_LINK_FRAMES_MAX 512 /* of a link's high-water mark and buffers */
#define SIM_STALL_TOLD_MS 100   /* shorter stalls are not reported, as in the daemon */
#define SIM_LOSS_ALL 1000000    /* probabilities are in parts per million */
#define SIM_VIOLATION_BYTES 512

#define MS_NS 1000000U
#define SECOND_NS 1000000000U

/* Rare states a sweep must reach. X(enum, text). */
#define RARE_LIST(X)                                                                               \
    X(RARE_REFUTED, "a node refuted a suspicion of itself")                                        \
    X(RARE_VERDICT_REFUSED, "a verdict because the machine refuses connections")                   \
    X(RARE_VERDICT_NO_ACK, "a verdict because nothing answers")                                    \
    X(RARE_VERDICT_DOUBTED, "a verdict of too few observers was doubted")                          \
    X(RARE_ONLY_HELPER_LOST, "the request to the only helper was lost")                            \
    X(RARE_CRASH_BETWEEN, "a crash between two effects of one step")                               \
    X(RARE_QUICK_RESTART, "a restart within 200 ms")                                               \
    X(RARE_REPLAY_REFUSED, "a replayed datagram was refused")                                      \
    X(RARE_CHALLENGED, "an unknown session was challenged")                                        \
    X(RARE_LINK_EVIDENCE, "the end of a link made a probe urgent")                                 \
    X(RARE_ICMP_EVIDENCE, "a port-unreachable made a probe urgent")                                \
    X(RARE_STALLED, "a process was held up and told so")                                           \
    X(RARE_INBOX_FULL, "a stalled process lost datagrams")                                         \
    X(RARE_BATCH_LOST, "a crash lost a batch that was not durable")                                \
    X(RARE_BATCH_FAILED, "a disk refused a batch")                                                 \
    X(RARE_HEALED, "a partition healed")                                                           \
    X(RARE_RECOVERED, "a failed member recovered without a restart")                               \
    X(RARE_LEFT, "a member left")                                                                  \
    X(RARE_FORGED_DROPPED, "a forged record was dropped")                                          \
    X(RARE_FULL_EXCHANGE, "a full exchange of the member list")                                    \
    X(RARE_LINK_STALLED, "a link stalled and went on")                                             \
    X(RARE_LINK_REPLACED, "a new link took the place of a dead one")                               \
    X(RARE_LINK_DENIED, "a link was denied: not yet known to the other side")                      \
    X(RARE_SEND_REFUSED, "a frame was refused")                                                    \
    X(RARE_UNKNOWN_SENDER, "a sealed datagram of somebody not yet known")                          \
    X(RARE_READDRESSED, "a machine got another address")                                           \
    X(RARE_SLEPT, "a machine slept")                                                               \
    X(RARE_DISK_NEW, "a machine came back with an empty disk")                                     \
    X(RARE_CLOCK_JUMPED, "a wall clock jumped")                                                    \
    X(RARE_RESTORED, "a disk became its backup again")                                             \
    X(RARE_CONFLICT, "a write resolved a conflict")                                                \
    X(RARE_WRITE_FAILED, "a batch failed with a client's write in it")                             \
    X(RARE_PASS_CUT, "a pass of repair was cut midway")                                            \
    X(RARE_CRASH_BEFORE_PUSH, "a crash between a durable write and its way out")                   \
    X(RARE_OBSOLETE, "an entry was obsolete when it came")                                         \
    X(RARE_DELETED_BY_ALL, "a deletion was on every disk")

enum rare {
#define RARE_ENUM(name, text) name,
    RARE_LIST(RARE_ENUM)
#undef RARE_ENUM
        RARE_COUNT
};

const char *rare_text(enum rare which);

enum msg_kind {
    /* Of a machine: its owner is the node. */
    MSG_TICK,
    MSG_WAKE,
    /* Of a link: its owner is a flow. */
    MSG_RETRY,
    /* All others: the owner is a struct msg. */
    MSG_DATAGRAM,
    MSG_UNREACHABLE,
    MSG_BEACON,
    MSG_CANDIDATE,
    MSG_FOREIGN,
    MSG_CONNECT,
    MSG_ADDRESSES,
    MSG_SEND_REFUSED,
    MSG_SYN,
    MSG_ACCEPT,
    MSG_FRAME,
    MSG_FIN,
    MSG_DIAL_END,
    MSG_COMMIT,
    MSG_DURABLE,
    MSG_BATCH_FAILED,
    MSG_FAULT,
    MSG_CALL,
    MSG_POLL,
};

struct conn;

/* Something that will happen. `node` is to whom; generation 0 is "whatever process runs there
 * then", otherwise it concerns only that one life of the process. */
struct msg {
    struct timer timer;
    struct msg *next; /* in an inbox, a stalled flow or the pool */
    unsigned node;
    uint32_t generation;
    union {
        struct {
            unsigned from; /* node */
            uint32_t from_generation;
            struct addr source;
            enum datagram_class cls;
            struct node_id sender, peer;
            uint64_t session, counter;
            uint32_t taken_by; /* a replay: the life of the receiver that took it already */
        } datagram;
        struct addr addr; /* MSG_UNREACHABLE */
        struct {
            unsigned from;
            struct addr addr;
        } beacon;
        struct {
            struct addr addr;
            struct node_id id;
            enum candidate_source source;
        } candidate; /* and MSG_FOREIGN */
        struct {
            struct node_id peer;
            uint64_t token;
            enum connect_outcome outcome;
        } connect;
        struct {
            struct conn *conn; /* counted */
            unsigned side;     /* who receives: 0 dialled, 1 was dialled */
            bool is_local;     /* MSG_FIN: of its own kernel, needs no path */
            uint8_t type;
            uint64_t number;     /* within its flow */
            struct node_id peer; /* MSG_SEND_REFUSED */
        } link;
        uint64_t batch;
        uint64_t client; /* MSG_CALL */
        struct {
            unsigned kind; /* enum fault_kind */
            unsigned a, b;
            uint64_t arg;
            uint64_t every_ns, until_ns;
        } fault;
    } as;
    size_t size; /* of the bytes */
    size_t room;
    uint8_t bytes[];
};

struct net_conf {
    uint64_t latency_ns; /* one way */
    uint64_t spread_ns;  /* and a fixed part of each pair's own, up to this */
    uint64_t jitter_ns;  /* and a part drawn for each packet, up to this */
    uint32_t loss_ppm;
    uint32_t duplicate_ppm;
    unsigned link_frames; /* a link's queue; 0: SIM_LINK_FRAMES_MAX */
    uint32_t reorder_ppm; /* of the datagrams come later by up to reorder_ns */
    uint64_t reorder_ns;
    bool broadcast;         /* beacons arrive */
    unsigned segment_nodes; /* so many neighbours in number share a broadcast domain; 0: all */
    uint64_t disk_ns;       /* until a batch is durable, up to this */
};

/* Of one direction between two machines, besides the network's own. */
struct path_conf {
    uint32_t loss_ppm;
    uint64_t latency_ns, jitter_ns;
};

#define PATHS_MAX 255 /* different ones in a run */

enum block { BLOCK_NONE, BLOCK_DROP, BLOCK_REJECT };

/* How a process ended. */
enum ending { ENDED_NEVER_STARTED, ENDED_CRASH, ENDED_SILENT, ENDED_LEFT };

struct sim_node {
    unsigned idx;
    unsigned original;  /* itself, or the machine of which it is a clone */
    char name[16];      /* in what the simulator says: n1, n2, … */
    char host_name[16]; /* what its core is told: a clone has its original's */
    struct sim_identity identity;
    struct addr addr;
    unsigned addr_changes;
    unsigned segment;
    uint64_t boot_ns; /* its boot clock at the world time clock_set_ns */
    uint64_t clock_set_ns;
    int64_t drift_ppm; /* from then on */
    int64_t wall_ms;   /* its wall clock then */

    bool host_up;        /* false: switched off, silent */
    core_t *core;        /* NULL: no process */
    uint32_t generation; /* lives so far */
    bool is_leaving;
    bool is_removed; /* somebody has told that it was removed for good */
    bool has_spoken; /* in this life: a start without a working disk keeps silent */
    enum ending ending;
    uint64_t started_ns, ended_ns;
    bool was_healthy;      /* when its last life ended */
    bool is_quick_restart; /* this life began less than 200 ms after a healthy one ended */
    uint64_t disturbed_ns; /* when something last touched it that is no business of the others */
    unsigned cuts;         /* directions to or from it that are blocked now */
    unsigned bad_paths;    /* directions to or from it that lose packets of their own */
    bool is_outcast;       /* its cuts are its own trouble, not that of those at the other end */
    uint32_t ear_ppm;      /* the same, of what it hears alone */
    uint32_t radio_ppm;    /* its own loss, both ways, besides the network's */
    bool dies_between;     /* ends between two effects of its next step that has two */

    struct timer tick, wake;
    unsigned same_time_ticks;
    uint64_t last_tick_ns;
    bool is_stalled, is_deaf;
    bool no_udp;    /* its firewall drops datagrams, both ways */
    bool is_closed; /* its firewall lets nobody connect */
    uint64_t stalled_since_ns;
    struct msg *inbox_first, *inbox_last;
    unsigned inbox_datagrams;

    struct conn **conns; /* its open ends */
    size_t conn_count, conn_room;

    uint64_t session; /* of this life */
    struct disk disk;
    struct disk backup;
    uint64_t backup_incarnation;
    bool has_backup;
    bool disk_fails;
    bool is_refusing; /* a batch failed and the process has not heard it: all later ones fail, too */
    uint64_t incarnation_durable; /* of the newest batch that is durable and holds STORE_SELF */
    struct metrics metrics;       /* of this life */
    uint8_t *peers;               /* by node: FX_PEER was seen in this life */
    uint64_t *counters;           /* by node, and the mesh class last: the last counter used */

    /* What it did, over all lives. */
    uint64_t datagrams_sent, datagram_bytes_sent, datagrams_received, wakeups, frames_sent, batches;
    uint64_t beacons_sent;
};

struct world;
struct plan;
struct timeline;
struct ledger;

/* Called for each note of a core; may be NULL. */
typedef void note_sink_fn(void *ctx, const struct world *w, unsigned node, const struct note *note);

struct world_conf {
    uint64_t seed;
    unsigned nodes;
    struct net_conf net;
    struct core_params params;
    bool keep_disks; /* false: nothing is ever restarted, so what is only loaded need not be kept */
    note_sink_fn *note_sink;
    void *note_ctx;
};

#define CAPTURED_MAX 64

struct world {
    struct world_conf conf;
    struct net_conf net;
    struct timer_heap heap;
    uint64_t now_ns;
    struct prng prng;          /* network and disks */
    struct prng write_prng;    /* clients */
    struct call_handler calls; /* what they ask for */
    struct prng fault_prng;    /* attackers and crashes: independent of what the cores do */
    const struct plan *plan;   /* borrowed; NULL before it is set */
    struct timeline *timeline; /* borrowed; NULL: nobody wants a picture */
    struct sim_node *nodes;
    unsigned count;
    uint32_t *ids; /* open addressing: node number plus one by id */
    size_t ids_mask;
    uint8_t *blocked; /* [from * count + to] enum block */
    uint8_t *path_of; /* the same, index of paths plus one; NULL: there are none */
    struct path_conf paths[PATHS_MAX];
    struct conn *conns; /* all of them */
    struct msg *free_small, *free_datagrams;
    struct check *check; /* borrowed */
    struct ledger *ledger; /* borrowed; NULL: nobody writes */
    struct trace trace;

    bool is_capturing; /* an attacker keeps copies of datagrams that were taken */
    struct msg *captured[CAPTURED_MAX];
    unsigned captured_count;
    struct msg *in_hand;       /* the datagram being handed over */
    uint64_t forging_until_ns; /* a member-level attacker sends bad records until then */

    uint64_t stalled_ns; /* when a process was last held up */
    uint64_t rare[RARE_COUNT];
    unsigned clones; /* made so far */
    uint64_t steps, effects_max;
    bool failed;
    char violation[SIM_VIOLATION_BYTES];
    uint64_t violation_kind; /* equal for violations of one rule */
};

/* Makes all machines, none of them running. The configuration is copied. */
struct world *world_new(const struct world_conf *conf);
void world_destroy(struct world **p);

/* Runs until nothing is due at or before this time, or something was violated. */
void world_run(struct world *w, uint64_t until_ns);

/* Says what was broken; the first counts and ends the run. */
void world_violation(struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Machines and processes. */
void world_start(struct world *w, struct sim_node *n);   /* switches on what is off, too */
void world_crash(struct world *w, struct sim_node *n);   /* kill -9: the machine goes on */
void world_silence(struct world *w, struct sim_node *n); /* the plug is pulled */
void world_leave(struct world *w, struct sim_node *n);   /* SIGTERM */
/* Holds the process up; is_deaf: the whole machine sleeps and hears nothing either. */
void world_stall(struct world *w, struct sim_node *n, uint64_t for_ns, bool is_deaf);
/* Keeps a copy of its disk; puts that back, if it does not run. */
void world_backup(struct world *w, struct sim_node *n);
void world_restore(struct world *w, struct sim_node *n);
void world_readdress(struct world *w, struct sim_node *n);
/* Its wall clock jumps (not below 1970); its boot clock does not. */
void world_clock_jump(struct world *w, struct sim_node *n, int64_t by_ms);
/* From now on both its clocks run fast by so many millionths. */
void world_clock_drift(struct world *w, struct sim_node *n, int64_t ppm);
/* The other machine, which is off, gets a copy of this one's disk and starts. */
void world_clone(struct world *w, const struct sim_node *n, struct sim_node *copy);
/* Another machine with the same identity runs, too. */
bool world_is_cloned(const struct world *w, const struct sim_node *n);
/* A process of this identity runs on any machine. */
bool world_is_anywhere(const struct world *w, const struct sim_node *n);
bool world_is_running(const struct sim_node *n);

/* Between the files of the world: world.c, step.c, process.c. */
void world_arm(struct world *w, struct timer *t, uint64_t at_ns);
void world_arm_tick(struct world *w, struct sim_node *n);
void world_drop(struct world *w, struct msg *m); /* will not be handed over */
void world_drop_inbox(struct world *w, struct sim_node *n);
void world_stop(struct world *w, struct sim_node *n); /* FX_STOP */
void world_tick(struct world *w, struct sim_node *n);
void world_wake(struct world *w, struct sim_node *n);
void world_commit(struct world *w, struct msg *m);
uint64_t world_clock(const struct world *w, const struct sim_node *n); /* boot clock */
uint64_t world_wall_ms(const struct world *w, const struct sim_node *n);
void world_clock_set(struct world *w, struct sim_node *n, uint64_t boot_ns); /* it booted */

/* For simnet, simlink, faults. */
struct msg *world_msg(struct world *w, unsigned node, size_t size); /* a new one; never NULL */
void world_msg_free(struct world *w, struct msg *m);
void world_post(struct world *w, struct msg *m, enum msg_kind kind, uint64_t at_ns);
/* Gives it to the process (or its inbox); takes the message. */
void world_take(struct world *w, struct msg *m);
void world_step(struct world *w, struct sim_node *n, struct event *ev);
struct sim_node *world_node_by_id(struct world *w, const struct node_id *id); /* or NULL */
/* A clone has the same id as its original; this gives the one at the address, if it is one of them,
 * else the original. Or NULL. */
struct sim_node *world_node_at(struct world *w, const struct node_id *id, const struct addr *addr);
/* Whatever the port; or NULL. */
struct sim_node *world_node_by_addr(struct world *w, const struct addr *addr);
struct addr world_addr_of(const struct sim_node *n, unsigned changes);
bool world_chance(struct prng *p, uint32_t ppm);
uint64_t world_up_to(struct prng *p, uint64_t max); /* 0..max */
void world_disturb(struct world *w, struct sim_node *n);

#endif
