/* SPDX-License-Identifier: MPL-2.0 */
/* The store as the loop holds it. Private to store.c and store_flow.c. */
#ifndef HM_IO_STORE_LOOP_H
#define HM_IO_STORE_LOOP_H

#include "io/store_overlay.h"
#include "io/store_priv.h"
#include "io/store_rest.h"

#include <pthread.h>

/* Batches in order. */
struct store_chain {
    struct store_batch *first, *last;
};

struct store {
    const struct store_db *db; /* the actor's; we read it only */
    struct store_actor *tables_state; /* the actor's while its thread runs */
    struct store_appender *journal_state;
    pthread_t tables_thread, journal_thread;
    bool is_tables_running, is_journal_running;
    channel_t *to_tables, *to_journal; /* orders */
    channel_t *reports;                /* of both */
    struct store_merged view;
    struct store_loaded loaded;
    struct store_replayed replayed;
    char lost[224]; /* what the start found damaged in the journal */
    size_t dropped; /* damaged records that were left out at the start */

    size_t outstanding;
    size_t outstanding_bytes;
    uint64_t generation;
    bool is_refusing; /* refused_from and all after it are to be reported as failed */
    uint64_t refused_from;
    int refused_reason;

    bool is_gathering;
    struct store_chain to_append; /* outstanding, and not handed to the appender yet */
    struct store_chain durable;  /* not in the overlay yet: a step is reading */
    struct store_chain applied;  /* to be taken out of it, likewise */
    struct store_chain to_apply; /* in the overlay, for the actor */
    uint64_t to_apply_since_ns;  /* when they were first seen to wait; 0: not yet */
    uint64_t applied_record;     /* the tables have all up to this one */
    uint64_t to_burn;            /* likewise; 0: none */
    size_t waiting_batches;      /* durable, and not known to be applied */
    size_t waiting_bytes;        /* of the journal, with these */
    bool is_room_wanted; /* the appender waits for a checkpoint */
    bool is_checkpoint_asked;
    int failing; /* why checkpoints fail: LMDB's or errno's code; 0: they do not */

    uint64_t measuring_since_ns; /* 0: not */
    bool is_measured;            /* and not taken */
    struct store_measure measure;
    struct store_counts journal_counts, tables_counts;
    struct store_rest rest;
    uint64_t day; /* since 1970, and what was written when it began */
    uint64_t day_began_bytes;
    bool is_full;
    char error[128];
    uint64_t error_wall_ms;
    struct store_work work;
    bool is_work_news;
};

/* store_flow.c */

/* Takes the next report and does what it says. False: there was none (with is_waiting: waits for one).
 * *ret_is_news: it is one for the core. */
bool store_flow_take(store_t *s, bool is_waiting, struct store_report *ret_report,
                     bool *ret_is_news);
/* Puts durable batches into the overlay and hands them on, and takes applied ones out, unless a step reads. */
void store_flow_settle(store_t *s);
/* Puts one behind those that are to be appended, and hands all of them to the appender. */
void store_flow_append(store_t *s, struct store_batch *batch);
void store_flow_send(store_t *s);
/* Hands all to the actor that is for it: before it is asked for anything. */
void store_flow_hand_on(store_t *s);
/* Asks for a checkpoint if something has waited for a minute. */
void store_flow_tick(store_t *s, uint64_t now_ns);
/* One that is not answered yet is enough. */
void store_flow_ask_for_checkpoint(store_t *s);
/* A reader waits until a dead environment is replaced; ctx is the store. */
bool store_flow_mend(void *ctx);
/* Frees what nobody has any more. */
void store_flow_free(store_t *s);

#endif
