/* SPDX-License-Identifier: MPL-2.0 */
/* The registry in the core: entries in and out, and what makes all registries equal. Private to src/core.
 *
 *     spread.c    entries out and in             serve.c     the other side of these passes
 *     plumtree.c  how new ones reach everybody   compare.c   ranges, where vectors are not enough
 *     repair.c    passes: what is lacking        tomb.c      deletion marks are let go
 */
#ifndef HM_CORE_SPREAD_H
#define HM_CORE_SPREAD_H

#include "base/buf.h"
#include "base/dot.h"
#include "core/core.h"
#include "core/registry.h"
#include "core/vector.h"
#include "wire/entry_msg.h"

struct member;

/* What goes out at the end of the step, or soon. */
struct outbox {
    struct buf entries;  /* as they stand in a frame */
    size_t count;
    struct node_id from; /* who gave it to us has it; zero: it is ours */
    uint64_t flushed_ns; /* the last time; 0: never */
    uint64_t window_ns;  /* since then: what comes meanwhile goes together */
};

/* Here since a moment: the neighbours are about to be told so. */
#define ANNOUNCED_HAS_MAX 4 /* more who have it are told all the same */
struct announced {
    struct dot dot;
    bool is_pushed; /* those on eager links have it; false: a pass brought it */
    struct node_id has[ANNOUNCED_HAS_MAX]; /* who gave it to us; who told us the same meanwhile */
    size_t has_count;
};

/* Announced by a neighbour, and not here yet. */
struct missing {
    struct dot dot;
    struct node_id from;
    uint64_t due_ns; /* then it is asked for */
};

/* A pass of repair that we asked for. */
struct asking {
    struct node_id peer; /* zero: none */
    uint64_t pass;
    uint8_t kind;        /* enum reg_pass_kind */
    uint8_t refolded;    /* how often the vector was told anew, since folds of it could not be named */
    uint64_t chunk;      /* the next one */
    uint64_t heard_ns;
    bool is_held;        /* the next chunk is not asked for yet: our disk is behind */
    bool is_incomplete;  /* something of it could not be taken: no claim */
    bool has_later;      /* entries of a later format than ours among it */
    bool has_news;       /* something of it was taken that was not known */
    bool is_comparing;   /* ranges first: compare.c */
    bool is_to_the_end;  /* the ranges under way are the last ones */
    struct buf at;       /* record key: ranges before it are compared */
    struct buf ranges;   /* those that differ, still to be looked at */
    struct buf gone;     /* dots that the peer has seen and does not hold any more */
};

/* One that we serve. */
struct serving {
    struct node_id peer; /* zero: free */
    uint64_t pass;
    uint64_t chunk;      /* the last one sent */
    uint64_t heard_ns;
    struct vector theirs; /* what needs no sending */
    struct vector start;  /* what is claimed at the end: durable when the pass began */
    struct vector asked;  /* the asker's, if it has begun again: `theirs` has then what was sent, too */
    bool is_again;
    struct dot at;        /* all of `start` up to this has been looked at; seq 0: nothing yet */
};

/* spread.c */
/* Makes the registry and loads its records; returns how many were damaged. */
size_t spread_load(core_t *c, const struct store_entry *entries, size_t count);
void spread_durable(core_t *c, uint64_t batch);
/* Takes one entry that came. HM_OK also when it was known; errors as registry_merge. */
int spread_take(core_t *c, struct span bytes, enum registry_outcome *ret_outcome);
/* The store has lost records. */
void spread_damaged(core_t *c);
void spread_rebuild_tick(core_t *c);
void spread_fini(core_t *c);

/* plumtree.c */
/* An own entry is durable, or a backup brought one: it goes out. */
void plumtree_own(core_t *c, const struct entry *e);
/* A pass with m brought this: the neighbours are told that it can be had. */
void plumtree_repaired(core_t *c, const struct member *m, struct span bytes);
/* All that is to be pushed goes out; settle, at the end of each step: unless it had better wait for more. is_answering:
 * who waited for the disk was answered in this step. */
void plumtree_flush(core_t *c);
void plumtree_settle(core_t *c, bool is_answering);
void plumtree_frame(core_t *c, struct member *m, uint8_t type, struct span body);
void plumtree_tick(core_t *c);
void plumtree_init(core_t *c);
void plumtree_fini(core_t *c);

/* repair.c */
void repair_init(core_t *c);
void repair_fini(core_t *c);
/* m told its registry's state with a probe. */
void repair_state_seen(core_t *c, struct member *m, uint64_t state);
/* It asked us, and has what we lack: it is asked, too. */
void repair_lacking(core_t *c, struct member *m);
void repair_link_up(core_t *c, struct member *m);
void repair_tick(core_t *c);
void repair_frame(core_t *c, struct member *m, uint8_t type, struct span body);
/* A pass with m that follows the comparison of ranges. */
void repair_compared(core_t *c, struct asking *a, struct member *m);
/* Our pass with m; NULL: there is none. */
struct asking *repair_asking(core_t *c, const struct member *m);
/* What the passes under way have brought may be lost: they end without a claim. */
void repair_spoilt(core_t *c);
/* What is missing here may exist: this node has not agreed with another since its store is new. */
bool repair_is_syncing(const core_t *c);

/* serve.c */
void serve_ask(core_t *c, struct member *m, struct span body);
void serve_more(core_t *c, struct member *m, struct span body);
void serve_fini(core_t *c);

/* compare.c */
#define COMPARE_GONE_MAX 65536 /* dots that are dropped with one pass: 2.6 MB */
void compare_start(core_t *c, struct asking *a, struct member *m);
/* Drops what the comparison before this pass found to be gone; with the claim of that pass. */
void compare_drop(core_t *c, struct asking *a);
void compare_frame(core_t *c, struct member *m, uint8_t type, struct span body);

/* tomb.c */
/* There may be marks to be let go, or to be acknowledged. */
void tomb_touch(core_t *c);
/* An entry of this key is new here: the registry is not at rest. */
void tomb_written(core_t *c, struct span key);
void tomb_tick(core_t *c);
/* At the start, when the roster is there. */
void tomb_load(core_t *c);
void tomb_fini(core_t *c);

#endif
