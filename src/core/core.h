/* SPDX-License-Identifier: MPL-2.0 */
/* The core: one node's protocol, pure. Read this first.
 *
 * Everything that happens enters as an event; everything it decides leaves as effects. It does no
 * I/O, reads no clock, draws no randomness but from its seed. EV_LOADED starts it; before it only
 * EV_ADDRESSES may come. After each step the driver calls core_step again with a tick no later than
 * core_deadline_ns. One thread.
 *
 * Inside: session (replay, challenges, first contact), member (the roster and the rules by which one
 * statement overrides another), swim (probing), suspicion and evidence (doubt and verdicts), gossip,
 * sync (full exchange), overlay (who links to whom), coord (Vivaldi), labels, evlog, call. */
#ifndef HM_CORE_CORE_H
#define HM_CORE_CORE_H

#include "base/metrics.h"
#include "base/limits.h"
#include "core/crypto.h"
#include "core/effect.h"
#include "core/event.h"
#include "core/params.h"
#include "core/registry.h"
#include "core/view.h"
#include "wire/swim_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct core core_t;

struct label {
    const char *key;
    const char *value;
};

/* Result of an operation's handler. */
struct call_result {
    int code;             /* HM_OK or HM_E* */
    char text[256];       /* for code != HM_OK: what was wrong and what would be right */
    bool wait;            /* nothing to say yet: call again when what it waits for happens, or at the deadline */
    unsigned wait_for;    /* enum call_wake bits; 0: WAKE_EVENT */
    bool is_crowded;      /* set for the handler: it cannot wait, too many do; it should begin nothing then */
    uint64_t ticket;      /* 0 at the first run; what a handler sets when it waits comes back at the next */
    uint64_t kept;        /* likewise: another number for its next run */
};

enum call_wake {
    WAKE_EVENT = 1 << 0,   /* a member event */
    /* A batch is durable, or has failed. Alone and with the ticket of a write: the one of that write. */
    WAKE_DURABLE = 1 << 1,
    WAKE_CHANGE = 1 << 2,  /* something that the registry shows has changed */
    WAKE_STARTED = 1 << 3, /* the node is no longer starting */
};

/* Operations, handed in by ops. `args` is a msgpack map. Writes one msgpack value to reply. When
 * is_last is set, `wait` is no longer possible: answer with what there is. Pure. */
struct call_handler {
    void *ctx;
    void (*handle)(void *ctx, core_t *core, const char *op, struct span args, bool is_local,
                   bool is_last, struct buf *reply, struct call_result *ret_result);
};

#define CORE_SECRET_BYTES 16

struct core_conf {
    const char *mesh;    /* all texts are copied */
    const char *name;    /* a DNS label */
    bool name_given;     /* it wins over one that `nodes rename` stored */
    const char *version; /* of the software */
    uint8_t key[NODE_KEY_BYTES];
    struct crypto crypto;
    uint64_t session;    /* random number of this process start */
    uint8_t secret[CORE_SECRET_BYTES]; /* random, of this process start; told to nobody */
    uint16_t port;       /* sealed UDP and ZRE mailbox */
    uint16_t link_port;
    const struct label *labels;
    size_t label_count;
    struct core_params params;
    struct metrics *metrics;         /* borrowed for the core's life */
    const struct call_handler *calls; /* borrowed for the core's life; NULL: no operations */
    bool is_founder;                 /* it has just made the mesh's key: nobody was here before it */
    struct store_view view;          /* what is committed; get and next NULL: there is none */
};

/* NULL: out of memory. The seed drives every random choice. */
core_t *core_new(const struct core_conf *conf, uint64_t seed);
void core_destroy(core_t **p);

/* HM_EINVAL: the driver broke the contract (time ran backwards, not started by EV_LOADED), HM_ENOMEM.
 * Never fails for foreign bytes. Effects are valid until the next step. */
int core_step(core_t *core, const struct event *ev, struct effects *ret_fx);

/* When the next tick is wanted, TIMER_NEVER if never. */
uint64_t core_deadline_ns(const core_t *core);

/* Reading, for handlers of operations and for the simulator's checks. */

enum member_status { STATUS_ALIVE, STATUS_SUSPECT, STATUS_FAILED, STATUS_LEFT };
const char *member_status_name(enum member_status status);

/* How a member's probes are answered. */
enum member_path { PATH_NONE, PATH_DIRECT, PATH_RELAYED, PATH_LINK };
const char *member_path_name(enum member_path path); /* "" while not known */

struct member_view {
    struct node_id id;
    const char *name;    /* as shown, perhaps NAME~2; borrowed until the next step, as all pointers here */
    unsigned name_rank;  /* 1, or its number among those of one name */
    struct addr addr;      /* where it is reached from here; perhaps link-local */
    struct addr told_addr; /* the same, but one that others may use too, if it has told any */
    enum member_status status;
    uint64_t incarnation;
    struct span labels;  /* msgpack map, may be empty (data NULL) */
    const char *version; /* "" if not known yet */
    uint64_t rtt_ns;     /* 0: not known */
    uint64_t since_wall_ms;
    uint64_t last_heard_ns; /* ago; UINT64_MAX: never */
    uint64_t arrived_ago_ns; /* since a datagram of it came in, taken or not; UINT64_MAX: never */
    enum reason reason;
    struct node_id observer;
    bool is_self;
    bool is_linked;
    bool is_copied;      /* two processes with its identity were seen lately */
    enum member_path path;
    /* Of the last knocks: pings that should have been answered by now, and how many were. */
    unsigned knocked, knock_answers;
    unsigned knocked_large, knock_answers_large; /* the same, of datagrams as large as they become */
};

size_t core_member_count(const core_t *core); /* the roster, self included */
void core_member_at(const core_t *core, size_t idx, struct member_view *ret_view); /* by id */
/* By name as shown, id or unique id prefix. HM_ENOTFOUND, HM_EAMBIGUOUS. */
int core_member_find(const core_t *core, const char *who, struct member_view *ret_view);

enum member_event_type { EVENT_ALIVE, EVENT_SUSPECT, EVENT_FAILED, EVENT_LEFT, EVENT_UPDATED,
                         EVENT_NOTICE, /* nothing changed, but somebody should know: see reason */
                         EVENT_REMOVED /* off the roster for good; observer: who removed it */ };
const char *member_event_name(enum member_event_type type); /* "node.alive", … */

struct member_event {
    uint64_t seq; /* rises; also across restarts */
    uint64_t wall_ms;
    enum member_event_type type;
    struct node_id node;
    struct node_id observer; /* who saw it; zero: nobody (remembered) */
    enum reason reason;
    uint64_t incarnation;
    struct evidence evidence; /* the observer's: its health; of suspicions and failures also its tries */
    char name[SHOWN_NAME_BYTES];
};

/* The oldest kept event with a number above seq, or NULL. Borrowed until the next step. */
const struct member_event *core_event_after(const core_t *core, uint64_t seq);
uint64_t core_event_last_seq(const core_t *core);

struct core_status {
    struct node_id id;
    const char *mesh;
    const char *name;
    const char *name_given; /* the start says so, and it wins at the next one; NULL: it does not */
    const char *version;
    struct addr addr;
    uint16_t link_port;
    uint64_t uptime_ns;
    uint64_t incarnation;
    uint64_t boot_epoch;
    uint64_t view_hash;
    unsigned health;      /* 0 is healthy, up to 8 */
    unsigned links;
    size_t alive, suspect, failed, left; /* self counts as alive */
    bool leaving;
    bool store_failed;    /* the last batch was not committed */
    bool aside;           /* another process has our identity: we keep out of the mesh for it */
    struct addr copy_addr; /* where that is; family 0: not known */
    bool removed;         /* this node was removed from the mesh: it says nothing any more */
    bool isolated;        /* nobody answers this node: it blames itself */
    uint64_t answered_ago_ns; /* since anybody answered it; UINT64_MAX: never */
    uint64_t foreign_ago_ns; /* since a mesh of our name with another key was heard; UINT64_MAX: never */
    struct addr foreign_addr;
    size_t gossip_queued, candidates, calls_waiting;
};

void core_status(const core_t *core, struct core_status *ret_status);
/* Its incarnation is not on disk yet: nothing is written, and nobody is told anything. */
bool core_is_starting(const core_t *core);
/* Members that are up and reached over a link or by others only; walks the roster. */
size_t core_not_direct(const core_t *core);
const struct metrics *core_metrics(const core_t *core);
uint64_t core_now_ns(const core_t *core);
uint64_t core_wall_ms(const core_t *core);

/* Round trip between two nodes by their coordinates, in ns; 0 if one is not known. */
uint64_t core_rtt_estimate(const core_t *core, const struct node_id *a, const struct node_id *b);
/* Last measured round trips to a member, newest first; returns how many (at most max). */
size_t core_rtt_samples(const core_t *core, const struct node_id *id, uint64_t *ret_ns, size_t max);

/* Sends a beacon and a datagram to each of the next HM_KNOCKS_MAX members in order of id that are up:
 * what arrives is seen in their member_view.arrived_ago_ns. For the `doctor` operation's handler. */
void core_knock(core_t *core);

/* Renames this node. HM_OK: that is its name, on disk; HM_ESTALE: not on disk yet, a waiting call is run
 * again when it is; HM_EINVAL: no DNS label; HM_EBUSY: starting or leaving. */
int core_rename(core_t *core, const char *name);

/* Removes a member for good, wherever it is: a grow-only entry of the registry, never undone. Results as
 * core_write; HM_ENOTFOUND: no member has this id; HM_EINVAL: it is this node. It takes effect when it
 * is durable, and a moment later the member is off the roster: EVENT_REMOVED. */
int core_remove(core_t *core, const struct node_id *id, uint64_t *ret_ticket);

struct removal_view {
    struct node_id id;
    struct node_id by;
    char name[HM_NAME_BYTES_MAX + 1];    /* when it was removed; "" if not said */
    char by_name[HM_NAME_BYTES_MAX + 1];
    uint64_t wall_ms;
};

/* Nodes that were removed, by id. */
size_t core_removal_count(const core_t *core);
void core_removal_at(core_t *core, size_t idx, struct removal_view *ret_view);

/* The registry, for reading; it changes with the next step. Never NULL once EV_LOADED was seen. */
registry_t *core_registry(core_t *core);
/* Writes, if this node may write now. Results as registry_write; HM_EBUSY: starting, leaving, or standing
 * aside; HM_ESTALE: a delete while this node is still syncing. ret_ticket: for core_write_fate, when
 * WAKE_DURABLE comes. */
int core_write(core_t *core, const struct registry_write *w, struct dot *ret_dot,
               uint64_t *ret_ticket);
struct core_registry_status {
    uint64_t state;           /* hash of what is durable: equal on nodes that have seen and hold the same */
    struct registry_totals totals; /* with what is pending */
    size_t lives;             /* of nodes, that wrote something: runs of the vector are kept for each */
    size_t waiting_bytes;     /* not on disk yet */
    bool is_syncing;          /* core_is_syncing */
    bool is_damaged;          /* its store was: what is missing comes from others */
    struct node_id repairing_from; /* whom it asks for what it lacks; zero: nobody */
    /* Longest time for which a member that is up has told another state and we did not catch up; 0: all
     * agree. */
    uint64_t divergent_ns;
};
void core_registry_status(const core_t *core, struct core_registry_status *ret_status);

struct core_registry_peer {
    struct node_id id;
    bool is_known;       /* it has told its state */
    uint64_t state;      /* that */
    uint64_t differs_ns; /* for how long it has been another than ours; 0: it is not */
    bool is_linked;
    bool is_later;       /* it holds entries of a later format than is read here, as it last told them */
};
/* The member of that index (core_member_at). False: it is this node, or not up. */
bool core_registry_peer(const core_t *core, size_t idx, struct core_registry_peer *ret_peer);
/* Takes an entry of a backup, as if another node had told it. Errors as registry_merge; HM_EBUSY also as
 * core_write. ret_new: it was lacking; then ret_ticket is as of core_write. */
int core_restore(core_t *core, struct span bytes, bool *ret_new, uint64_t *ret_ticket);
/* True while this node has not agreed with the mesh since its store is new: what it does not have may exist. */
bool core_is_syncing(const core_t *core);
enum registry_fate core_write_fate(const core_t *core, uint64_t ticket);

/* Leave the mesh: everyone is told, then FX_STOP(0). For the `leave` operation's handler. */
void core_leave(core_t *core);

#endif
