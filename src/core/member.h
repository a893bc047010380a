/* SPDX-License-Identifier: MPL-2.0 */
/* The roster: every node this one knows, itself included, in order of node id. A member is never taken
 * off by time or failure, only by `nodes remove`. This file only keeps them; what changes a member's state is in
 * standing.c. */
#ifndef HM_CORE_MEMBER_H
#define HM_CORE_MEMBER_H

#include "base/heap.h"
#include "base/limits.h"
#include "base/node_id.h"
#include "core/coord.h"
#include "core/core.h"
#include "core/window.h"
#include "wire/record_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTT_SAMPLES 5

enum link_state { LINK_NONE, LINK_DIALLING, LINK_UP };

/* What is under way about a member in doubt: its probe, the suspicion against it, the check whether its
 * process is gone. Kept apart from the member, since most members need none. */
struct watch {
    /* Probe in flight; nonce 0: none. */
    uint64_t nonce;
    uint64_t started_ns;     /* the probe ends by this */
    uint64_t sent_ns;        /* of the last ping with nobody before it: the round trip's start */
    unsigned attempts;       /* direct pings sent with this nonce */
    unsigned helpers_asked;
    unsigned nacks;
    bool is_regular;         /* counts for local health */
    bool asked_helpers;
    bool was_challenged;     /* sent again once, because our session was not known */
    struct timer probe_timer;
    /* Suspicion, while the member is suspect. */
    uint64_t suspect_since_ns;
    uint64_t last_ack_ns;    /* since then; 0: none */
    bool is_observer;        /* we saw it ourselves */
    struct node_id observers[HM_OBSERVERS_MAX];
    size_t observer_count;
    struct timer verdict_timer;
    /* Is the process gone? Token 0: no check under way. */
    uint64_t connect_token;
    unsigned refusals;
    struct node_id refused_by[HM_OBSERVERS_MAX];
    size_t refused_count;
    struct timer refused_timer;
    struct watch *next_free;
};

struct gossip_item;

/* Pings of one `meshctl doctor`, by KNOCK_SMALL and KNOCK_LARGE, and how many were answered. */
enum { KNOCK_SMALL, KNOCK_LARGE, KNOCK_SIZES };
struct knocks {
    uint64_t nonce;    /* of the small ones, even; that of the large ones is one higher; 0: none */
    uint64_t since_ns; /* of the first */
    unsigned sent[KNOCK_SIZES];
    unsigned last[KNOCK_SIZES]; /* of these, with the newest knock: on their way perhaps */
    unsigned answered[KNOCK_SIZES];
};

struct member {
    struct node_id id;
    struct node_record rec;
    uint8_t *record;          /* as signed; owned */
    size_t record_bytes;
    uint8_t *labels;          /* labels record as signed; owned; NULL: not known */
    size_t labels_bytes;
    uint64_t labels_hash;     /* of labels */
    struct span label_map;    /* inside labels */
    char version[HM_VERSION_BYTES_MAX + 1];

    char shown[SHOWN_NAME_BYTES]; /* its name, or NAME~2 */
    unsigned name_rank;       /* 1, or its number among those of one name */

    enum member_status status;
    enum reason reason;
    struct node_id observer;
    struct node_id observers[HM_OBSERVERS_MAX]; /* of the verdict, while failed */
    size_t observer_count;
    struct evidence evidence; /* of the first observer, while suspect or failed */
    uint64_t dead_incarnation; /* highest one known to have failed; a record must be above it */
    uint64_t since_wall_ms;
    bool is_remembered;       /* from the last run, not heard since */
    bool is_dirty;            /* to be persisted */

    enum member_path path;    /* how its probes are answered */
    unsigned path_streak;     /* probes in a row answered directly, or not, as the last one was */
    bool path_last_direct;
    uint64_t silent_epoch;    /* core's answer_epoch when our probe of it failed */

    struct addr addr;         /* where it is reached: proven, or a candidate */
    bool addr_proven;         /* it answered a challenge or probe of ours from there */
    size_t addr_next;         /* of its record: to be tried next while addr is silent */

    uint64_t session;         /* of its process; 0: none taken yet */
    uint64_t session_before;  /* the one before; 0: none */
    uint64_t copied_ns;       /* two processes with its identity were seen; 0: never */
    bool session_live;        /* shown to be live; not after it failed: it has to show it again */
    struct window window;
    uint64_t challenge;       /* nonce we challenged it with; 0: none */
    uint64_t challenge_ns;    /* when the nonce was drawn */
    uint64_t challenged_ns;   /* when it was last sent */
    uint64_t early_ping;      /* nonce of a PING that came before the ECHO it followed; 0: none */
    uint64_t tx_counter;
    uint64_t last_heard_ns;   /* 0: never in this run */
    uint64_t arrived_ns;      /* last datagram sealed by it, taken or not, for doctor; 0: never */
    struct knocks knocks;     /* at it, lately, for doctor */
    uint64_t evidence_ns;     /* last time evidence was looked into */
    uint64_t told_ns;         /* last time it was told what is said of it */
    uint64_t greeted_ns;      /* last FX_ZRE_HELLO to it while failed */
    uint64_t link_answered_ns; /* last ACK over its link */

    struct coord coord;
    bool has_coord;
    uint32_t rtt_us[RTT_SAMPLES]; /* newest first */
    size_t rtt_count;

    uint64_t ring_hash[HM_RING_SALTS];
    bool is_neighbour;        /* on our rings now */
    enum link_state link;
    uint64_t link_since_ns;   /* of its state */
    uint64_t link_wait_ns;    /* since when there is none and the other should dial; 0: never */
    uint64_t unwanted_since_ns;
    unsigned dial_failures;
    bool is_asked_to_dial;    /* since we dial it now */
    bool is_dialled_for_it;   /* because it asked for that: it is not asked in turn */
    struct addr asks_from;    /* where its last PING came from, if its record does not name that */
    uint64_t asks_from_ns;
    bool is_our_guest;        /* dialled by us although it is no neighbour */
    bool is_linked_early;     /* its link came up before we may speak: used from then on */
    bool wants_link;          /* no neighbour, but to be dialled: a full exchange or a call */

    /* The registry, see repair.c. */
    uint64_t reg_state;       /* as it last told; 0: not known */
    uint64_t reg_differs_ns;  /* since when it has been another than ours; 0: it is not */
    uint64_t reg_asked_ns;    /* our last pass with it began */
    bool is_lazy;             /* new entries are only announced to it: others push them (plumtree.c) */
    bool is_grafted;          /* it was asked for what it announced, and has not sent anything since */
    bool reg_diverged;        /* it has been told that it differs for long */
    uint8_t reg_later;        /* passes in a row whose only news were entries of a later format */
    bool reg_syncing;         /* at the end of that it said that it is syncing, as we are */

    struct watch *watch;      /* NULL: nothing in doubt */
    size_t order_idx;         /* place in its probe order plus one; 0: in none */
    struct gossip_item *gossip[2]; /* what is being told about it: record, claim */
};

struct roster {
    struct member **items; /* by id */
    size_t count;
    size_t room;
    uint64_t view_hash;
    size_t by_status[4];
};

void roster_init(struct roster *r);
void roster_fini(struct roster *r);
struct member *roster_find(const struct roster *r, const struct node_id *id);
/* First place whose id is not below. */
size_t roster_lower_bound(const struct roster *r, const struct node_id *id);
/* A zeroed member with this id; NULL if out of memory or full (count == HM_MEMBERS_MAX). */
struct member *roster_insert(struct roster *r, const struct node_id *id);
/* Takes it off and frees it. Nothing may refer to it any more. */
void roster_remove(struct roster *r, struct member *m);
/* Copies record bytes into the member and decodes nothing. HM_ENOMEM. */
int member_set_record(struct member *m, struct span bytes, const struct node_record *rec);
struct span member_record(const struct member *m);
/* The highest incarnation known, of a record or of a verdict. */
uint64_t member_incarnation(const struct member *m);
/* alive or suspect: it takes part. */
bool member_is_up(const struct member *m);
/* The address is one of those in the record. */
bool record_names(const struct node_record *rec, const struct addr *addr);
/* To be called around every change of status or incarnation, so that the view hash follows. */
void roster_hash_out(struct roster *r, const struct member *m);
void roster_hash_in(struct roster *r, const struct member *m);

#endif
