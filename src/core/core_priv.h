/* SPDX-License-Identifier: MPL-2.0 */
/* The core's state and what its files ask of each other. Private to src/core.
 *
 *     core.c      creation, step, timers              session.c   first contact, sessions, replay
 *     merge.c     which statement overrides which     swim.c      probes and acks
 *     standing.c  what follows when a member changes  doubt.c     suspicion, verdicts, evidence
 *     self.c      our own record                      sync.c      full exchange
 *     report.c    events and notes about members      overlay.c   who links to whom
 *     persist.c   what is stored and loaded           labels.c    labels records
 *     send.c      messages out                        call.c      operations, here and elsewhere
 *     copy.c      two processes with one identity     query.c     reading for handlers
 *     reach.c     how members are reached, isolation  names.c     one name at two members, renaming
 *     spread.h    the registry in the core: spread, plumtree, repair, serve, compare, tomb
 *     removal.c   nodes that were removed for good
 *     service.c   our own services              service_read.c  everybody's
 *     leave.c     leaving, and the end
 *     knock.c     proving for `meshctl doctor` what arrives
 *     relay.c     probes for others, who had no answer
 */
#ifndef HM_CORE_PRIV_H
#define HM_CORE_PRIV_H

#include "base/heap.h"
#include "base/limits.h"
#include "base/prng.h"
#include "core/core.h"
#include "core/evlog.h"
#include "core/fxlist.h"
#include "core/gossip.h"
#include "core/member.h"
#include "core/order.h"
#include "core/spread.h"
#include "wire/api_msg.h"
#include "wire/swim_msg.h"

#define MS_NS 1000000ULL
#define SECOND_NS (1000 * MS_NS)

enum timer_kind {
    TIMER_PROBE,      /* the protocol period */
    TIMER_GOSSIP,     /* while updates wait */
    TIMER_BEACON,
    TIMER_FAILED,     /* while members are failed or left */
    TIMER_OVERLAY,    /* rings to be computed again, links to be dialled or closed */
    TIMER_SYNC,       /* views have differed for sync_delay */
    TIMER_LABELS,     /* labels are missing */
    TIMER_LEAVE,      /* the goodbyes are out: stop */
    TIMER_STORE,      /* a batch failed: store everything again */
    TIMER_RELAYS,     /* a helper's probe for another is over */
    TIMER_CANDIDATES, /* a candidate is to be tried again */
    TIMER_REMEMBERED, /* more members of the last run are to be asked */
    TIMER_REFUTE,     /* what is said of us again and again is to be refuted */
    TIMER_REPAIR,     /* a registry differs, or a pass is under way */
    TIMER_PUSH,       /* entries have waited for others */
    TIMER_GRAFT,      /* entries that were announced have not come */
    TIMER_REBUILD,    /* the registry reads all again */
    TIMER_TOMB,       /* deletion marks may be let go */
    TIMER_REMOVAL,    /* removed nodes are to be taken off, what is theirs to be dropped */
    TIMER_GATHER,     /* what nobody waits for goes to the disk */
    TIMER_SERVICES,   /* our own services are to be looked at */
    TIMER_COPY,       /* another process with our identity is to be asked again */
    TIMER_CALL,       /* a waiting call's deadline; owner: struct call */
    TIMER_M_PROBE,    /* owner: struct member, as below */
    TIMER_M_VERDICT,
    TIMER_M_REFUSED,
};

/* An address to try. */
struct candidate {
    struct addr addr;          /* family 0: free */
    struct node_id id;         /* zero: not known */
    enum candidate_source source;
    uint64_t nonce;            /* of our JOIN */
    uint64_t first_ns;
    uint64_t next_ns;          /* next try */
    unsigned tries;
    bool greeted;              /* FX_ZRE_HELLO was given */
    bool has_mailbox;          /* it greets with our mesh's name: where UDP fails, mail gets there */
};

/* A probe that we make for another (SWIM's ping-req). */
struct relay {
    uint64_t nonce;           /* ours to the target; 0: free */
    uint64_t their_nonce;
    struct node_id requester;
    struct node_id target;
    uint64_t until_ns;
    bool nacked;              /* an ack may still come */
};

/* A bounded rate: `level` tokens, filled up at a steady rate. */
struct tokens {
    uint64_t level;
    uint64_t filled_ns;
};

/* What is known of another process with our identity (copy.c). */
struct copy {
    struct addr addrs[HM_RECORD_ADDRS_MAX]; /* where it may be, or is */
    size_t addr_count;
    uint64_t nonce;      /* of our CHALLENGE */
    uint64_t asked_ns;
    unsigned asks;       /* since its last answer */
    bool is_asking;      /* nothing is proven, its answer is waited for */
    uint64_t above;      /* the incarnation to take if it does not answer; 0: none */
    uint64_t other_epoch, other_life;
    uint64_t proven_ns;  /* 0: never */
    unsigned rounds;     /* times that we went above another life's record */
    uint64_t round_ns;
    bool aside;          /* we keep out of the mesh for it */
    bool is_seen;        /* it answered us, so we know when it is gone */
    bool is_unseen;      /* and cannot ask it */
    struct tokens tokens;
};

/* One own service (service.c). */
struct service_row {
    char id[HM_SERVICE_ID_BYTES_MAX + 1];
    uint64_t refreshed_ns;
    uint64_t written_ns; /* in this life; 0: not */
    bool is_there;       /* in the registry */
    bool is_wanted;      /* a file says so */
    bool is_noted;       /* it was said that a file wants an id that is taken */
};

struct services {
    struct service_row *rows; /* by id */
    size_t count, room;
    bool is_told;        /* the files were read */
    struct buf wanted;   /* what they say: a bin with an svc each */
    struct buf kept;     /* names of files that cannot be read now: a str each */
};

struct removed_node {
    struct node_id id;
    bool is_new;   /* noted in this step */
    bool is_clean; /* it is off the roster, and what belonged to it is gone */
};

/* Nodes that were removed (removal.c). */
struct removals {
    struct removed_node *items; /* by id; only ever grows */
    size_t count, room;
    size_t unclean, fresh; /* how many are not clean, are new */
    struct buf forgotten;  /* ids: their records in the store are to be deleted by the next batch */
    struct tokens tokens;
    bool is_self;          /* this node was removed: it says nothing any more */
};

enum call_kind {
    CALL_EVENT,  /* a local handler waits for something that happens here */
    CALL_REMOTE, /* another node was asked */
};

struct call {
    struct call *next, *before;
    enum call_kind kind;
    unsigned wait_for;         /* CALL_EVENT: enum call_wake bits */
    uint64_t ticket, kept;     /* the handler's, for its next run */
    uint64_t client;           /* local: whom to answer */
    struct node_id from;       /* asked by this node over a link; zero: local */
    uint64_t from_number;      /* its number for the call */
    uint64_t number;           /* ours, for CALL_REMOTE */
    struct node_id to;
    struct buf request;        /* CALL_EVENT: to run it again; CALL_REMOTE: until the link is up */
    char node[64];             /* as asked for, for texts */
    bool sent;
    struct timer timer;
};

struct core {
    char mesh[HM_MESH_NAME_BYTES_MAX + 1];
    char version[HM_VERSION_BYTES_MAX + 1];
    char name[HM_NAME_BYTES_MAX + 1];
    char name_at_start[HM_NAME_BYTES_MAX + 1];
    bool name_given;           /* that one wins over a stored one */
    bool renamed;              /* `nodes rename` gave it: stored */
    bool name_overrides;       /* the given one took the place of a stored one */
    uint8_t key[NODE_KEY_BYTES];
    struct crypto crypto;
    struct core_params params;
    struct metrics *metrics;
    const struct call_handler *calls_handler;
    struct store_view view; /* what is committed; get and next may be NULL */
    uint64_t session;
    uint64_t life;             /* made from it; in our records */
    uint16_t port, link_port;
    struct prng prng;
    uint8_t secret[CORE_SECRET_BYTES]; /* nonces and cookies are made from it */
    uint64_t nonce_count;

    uint64_t now_ns, wall_ms, started_ns;
    bool is_founder;
    bool loaded;   /* EV_LOADED was seen */
    bool ready;    /* our new incarnation is durable: we may speak */
    bool leaving;
    unsigned goodbyes_left;
    bool stopped;

    struct fxlist fx;
    struct timer_heap timers;
    struct timer timer[TIMER_COPY + 1]; /* by kind, those without an owner */

    struct roster roster;
    struct member *self;
    uint64_t mesh_tag;
    uint64_t boot_epoch;
    struct addr addrs[HM_RECORD_ADDRS_MAX];
    size_t addr_count;
    struct buf label_map; /* our labels as a msgpack map */

    unsigned health; /* Lifeguard's local health multiplier, 0 is healthy */
    bool isolated;             /* nobody answers: our doubts are ours alone (reach.c) */
    uint64_t answered_ns;      /* last answer to anything we asked, or our start */
    uint64_t answer_epoch;     /* rises with each */
    uint64_t judge_from_ns;    /* after a sleep: no verdict before this */
    struct coord coord;
    struct order probe_order;  /* members that are up, not self */
    struct order failed_order; /* failed and left ones */
    size_t heal_left;          /* failed members still to be probed at once: a partition healed */
    struct gossip gossip;
    uint64_t peer_generation;  /* members made so far; keeps datagram counters of two apart */
    uint64_t mesh_counter;     /* datagram counter for first contacts */

    struct candidate candidates[HM_CANDIDATES_MAX];
    bool by_mail;              /* what this step is about came by mail, */
    struct node_id mail_from;  /* from this node, and it is answered so */
    struct relay relays[HM_RELAYS_MAX];
    struct tokens join_tokens, elsewhere_tokens, candidate_tokens, challenge_tokens;
    uint64_t refute_above;     /* refute at this incarnation at the end of the message; 0: no */
    struct tokens refute_tokens;
    struct node_id accuser;

    uint64_t view_changed_ns;
    uint64_t change_ns;        /* last change that makes beacons frequent */
    struct member *sync_guest; /* asked for a full exchange, its link is not up yet */
    bool overlay_dirty;
    size_t links_up;

    uint64_t labels_wait_ns;   /* until labels still lacking are asked for again */

    struct evlog events;
    uint64_t knocked_ns;       /* core_knock; 0: never */
    uint64_t foreign_ns, foreign_noted_ns, forged_noted_ns;
    bool foreign_heard;
    struct addr foreign_addr;

    struct copy copy;
    uint64_t version_noted_ns;

    struct call *first_call, *last_call; /* those that wait, oldest first */
    size_t call_count;
    uint64_t call_number;
    unsigned wakes;            /* in this step: enum call_wake bits of what happened */
    struct buf reply;          /* of a handler */
    struct buf scratch;        /* a message being encoded */

    registry_t *registry;      /* NULL before EV_LOADED */
    struct outbox outbox;
    struct announced announced[HM_ANNOUNCED_MAX];
    size_t announced_count;
    uint64_t announce_ns;      /* when they are told; 0: there are none */
    uint64_t graft_ns;         /* how long what was announced may take */
    struct missing missing[HM_MISSING_MAX];
    size_t missing_count;
    struct asking asking[HM_ASKED_MAX];
    struct serving serving[HM_PASSES_MAX];
    struct services services;
    struct removals removals;
    uint64_t pass_number;
    struct dot mark_at;        /* the deletion mark that was looked at last; seq 0: none */
    struct vector marks_seen;  /* those that were looked at */
    uint64_t written_ns;       /* the newest entry came, acknowledgements apart */
    uint64_t unacked_ns;       /* since when there is something to be acknowledged; 0: there is nothing */
    uint64_t met_ns;           /* the first pass of this life ended; 0: none has */
    uint64_t agreed_ns;        /* a pass ended, or somebody told the same state as ours */
    uint64_t gather_ns;        /* since when something waits to go to the disk with more; 0: nothing does */
    uint64_t batch;
    uint64_t durable_batch;    /* the newest that is */
    uint64_t settled_batch;    /* the newest that is, or that has failed */
    uint64_t rename_batch;     /* holds our new name */
    bool self_dirty;           /* STORE_SELF must be written */
    bool store_failed;
    struct member **dirty;     /* roster entries to be written at the end of the step */
    size_t dirty_count, dirty_room;

    struct watch *free_watches;
    uint64_t token;            /* last connect token */
};

/* core.c */
bool member_is_linked(const struct member *m, const void *unused); /* for order_pick */
void core_arm(core_t *c, enum timer_kind kind, uint64_t at_ns);
void core_arm_earlier(core_t *c, enum timer_kind kind, uint64_t at_ns);
void core_count(core_t *c, enum metric which);
void core_note(core_t *c, enum note_level level, enum note_code code, const struct member *m,
               const struct node_id *observer, enum reason reason, uint64_t value);
void core_health_change(core_t *c, int delta);
/* Takes a token if there is one. */
bool tokens_take(struct tokens *t, uint64_t now_ns, uint64_t per_second, uint64_t burst);
void core_changed(core_t *c); /* something happened that others may want to hear of: beacon often */
size_t core_up_others(const core_t *c); /* members that are up, without self */

void core_begin(core_t *c); /* speak: after the start, or after we stood aside */

/* leave.c */
void core_stop(core_t *c, int exit_code); /* with this step all ends */
void leave_tick(core_t *c);

/* copy.c */
/* Our record, or one that another process made of us. */
void copy_record_heard(core_t *c, const struct node_record *rec);
/* A datagram with our own id as its sender. */
void copy_datagram(core_t *c, const struct event *ev, const struct swim_msg *msg);
void copy_tick(core_t *c);
/* We say nothing any more: as after a start, nobody is known to be there, nothing is under way. */
void copy_silence(core_t *c);
/* m has shown another session to be live than this one. */
void copy_session_taken(core_t *c, struct member *m, uint64_t before);

/* send.c: all spans are copied. */
void send_pair(core_t *c, struct member *m, const struct swim_msg *msg);
void send_pair_to(core_t *c, struct member *m, const struct addr *to, const struct swim_msg *msg);
void send_mesh(core_t *c, const struct addr *to, const struct swim_msg *msg);
/* The same by mail; id may be zero. */
void send_mesh_mail(core_t *c, const struct addr *to, const struct node_id *id,
                    const struct swim_msg *msg);
void send_bytes_pair(core_t *c, struct member *m, struct span body); /* of a type not known here */
void send_frame(core_t *c, struct member *m, enum frame_type type, struct span body);

/* The artificial next version, for tests: nothing without params.next_version. */
/* The body of a frame, copied; one of the registry's has a field more. */
struct span next_frame(core_t *c, enum frame_type type, struct span body);
void next_add_field(const core_t *c, struct buf *b); /* one more at the end of an array of its own */
void next_say_unknown(core_t *c, struct member *m);
void send_frame_swim(core_t *c, struct member *m, const struct swim_msg *msg);
/* By datagram and over the link, if there is one: UDP may be what does not work, or the link. */
void send_pair_both_ways(core_t *c, struct member *m, const struct swim_msg *msg);
/* Message with hash, coordinate and what gossip fits, to an address or (to NULL) over the link;
 * `about` first, if the receiver is not thought alive: it must hear what is said of it (Lifeguard's
 * buddy system). */
void send_swim(core_t *c, struct member *m, const struct addr *to, struct swim_msg *msg);
/* One update to one member, or to all that are up (and known to be few enough), or to the queue. */
void tell_one(core_t *c, struct member *to, struct span update);
void tell_all(core_t *c, struct span update);
struct span update_of_record(core_t *c, const struct member *m);
struct span update_of_claim(core_t *c, const struct claim *claim);
/* What is held against m; false if nothing is (alive). */
bool claim_about(const struct member *m, struct claim *ret_claim);
/* What m has to hear of itself: a claim, or the record with which it left. data NULL: nothing. */
struct span update_about(core_t *c, const struct member *m);
void send_gossip_tick(core_t *c); /* what waits goes to a few */
void gossip_record(core_t *c, struct member *m);
void gossip_claim(core_t *c, struct member *m, const struct claim *claim);
/* A fresh nonce that nobody can foretell from earlier ones; never 0. */
uint64_t core_nonce(core_t *c);
/* Tells m what is said of it, so that it can refute; at most every 100 ms. */
void tell_its_state(core_t *c, struct member *m);

/* merge.c */
/* Form, mesh, signature; finds or names the owner. HM_OK; HM_EEXIST: known to the byte; HM_ESTALE:
 * we have a newer one; HM_EMALFORMED, HM_EDENIED (forged, foreign, of a removed node): counted. */
int merge_check_record(core_t *c, struct span bytes, const struct node_id *from,
                       struct node_record *ret_rec, struct node_id *ret_id);
/* Takes a record. from: who handed it to us. Returns its member, or NULL if it cannot be taken. */
struct member *merge_record(core_t *c, struct span bytes, const struct node_id *from, bool spread);
void merge_claim(core_t *c, const struct claim *claim, struct member *from, bool spread);
/* spread: news go on by gossip (not after a full exchange: the others have them). */
void merge_updates(core_t *c, struct span update_bytes, struct member *from, bool spread);
/* m is failed: seen by these observers. Tells everyone if we judged it ourselves. */
void merge_failed(core_t *c, struct member *m, uint64_t incarnation, enum reason reason,
                  const struct node_id *observers, size_t count, bool judged_here, bool spread);
/* Whether all the places of `before` are among those of `now`. */
bool merge_names_all(const struct addr *before, size_t before_count, const struct addr *now,
                     size_t now_count);
/* Something authentic and fresh came from m. */
void merge_heard(core_t *c, struct member *m);

/* standing.c */
/* A member at its place in the roster, hashed in and in its probe order. NULL: full or no
 * memory. */
struct member *standing_new(core_t *c, const struct node_id *id, struct span record,
                            const struct node_record *rec, enum member_status status);
/* m has this status from now on; it may be the same, for another reason. */
void standing_change(core_t *c, struct member *m, enum member_status status, enum reason reason,
                     const struct node_id *observer);
/* Puts this record in the place of the one that m has. HM_ENOMEM. */
int standing_record(core_t *c, struct member *m, struct span bytes, const struct node_record *rec);
/* The driver may talk with m from now on. */
void standing_introduce(core_t *c, const struct member *m);
/* m is taken off the roster for good, and freed; observer: who removed it. Not while anybody holds it. */
void standing_remove(core_t *c, struct member *m, const struct node_id *observer);

/* self.c */
/* Signs our record as it is; used at the start. HM_ENOMEM. */
int self_sign(core_t *c, uint64_t incarnation, enum record_state state);
/* Makes and signs our record at the next incarnation and tells everyone. */
void self_renew(core_t *c, uint64_t at_least, enum record_state state);
/* The driver says where we can be reached from now on. */
void self_addresses(core_t *c, const struct event *ev);
void self_set_addresses(core_t *c, const struct addr *addrs, size_t count); /* telling nobody */
/* Somebody claims something of us: it is told better, or self_refute is to follow. */
void self_accused(core_t *c, const struct claim *claim, struct member *from);
/* Refutes what is held against us, unless that was done too often of late: then soon. from: who
 * said it, NULL: that was before. Once per message, however many claims it held. */
void self_refute(core_t *c, struct member *from);

/* report.c */
void report_event(core_t *c, struct member *m, enum member_event_type type, enum reason reason,
                  const struct node_id *observer);
/* An event that changes nothing: somebody should know. */
void report_notice(core_t *c, struct member *m, enum reason reason, const struct node_id *observer);
/* A record was refused: not signed by its node (from: who sent it), of a node for which there is no
 * room, of a node that speaks no version of ours. */
void report_forged(core_t *c, const struct node_id *from);
void report_full(core_t *c, const struct node_id *id);
void report_version(core_t *c, const struct node_record *rec);

/* removal.c */
void removals_init(core_t *c);
void removals_fini(core_t *c);
void removals_load(core_t *c); /* at the start: those that the registry has */
bool removal_has(const core_t *c, const struct node_id *id);
void removal_noted(core_t *c, const struct node_id *id); /* its removal was merged, or ours is durable */
void removals_settle(core_t *c); /* at the end of a step: what follows from those that were noted */
void removals_again(core_t *c);  /* a batch failed: what they did to the store is to be done again */
void removals_touch(core_t *c);  /* goes on with what is to be done */
void removals_tick(core_t *c);
/* Tells a removed node so, at an address where it seems to be; bounded. echo: the nonce of its JOIN, or 0. */
void removal_tell(core_t *c, const struct node_id *id, const struct addr *to, uint64_t echo);
/* Somebody answered us under the mesh's key: perhaps with our own removal. */
void removal_answered(core_t *c, struct span update_bytes);
/* The store's record of that member is to go. */
void removal_forget(core_t *c, const struct node_id *id);

/* session.c */
void session_datagram(core_t *c, const struct event *ev);
void session_candidate(core_t *c, const struct addr *addr, const struct node_id *id,
                       enum candidate_source source);
void session_candidates_tick(core_t *c);
void session_forget_candidates_of(core_t *c, const struct member *m);

/* names.c */
/* Members of this name have come, gone, or changed their name: who is shown how. */
void names_refresh(core_t *c, const char *name);
/* The name that the store has for us. */
void names_loaded(core_t *c, struct span name);

/* knock.c */
/* Of a datagram's body: type, nonce, hash, coordinate and array heads take less than 80 bytes. */
#define PADDING_MAX (DATAGRAM_BODY_BYTES_MAX - 80)
/* An ACK came in by UDP; perhaps it answers one of our knocks. */
void knock_answered(struct member *m, uint64_t echo);

/* reach.c */
/* Its probe was answered in this way. */
void reach_answered(core_t *c, struct member *m, enum member_path how);
/* Its probe failed. */
void reach_silent(core_t *c, struct member *m);
/* Somebody answered what we asked just now: we send and hear. */
void reach_proven(core_t *c);
/* Sets `isolated` if nobody answers. */
void reach_judge(core_t *c);
/* We were deaf for so long. */
void reach_pause(core_t *c, uint64_t deaf_ns);
/* Not before this may a suspect be judged; in the past: now. */
uint64_t reach_may_judge_ns(const core_t *c, const struct member *m);
/* Its link carried an answer: a better path than through others. */
void reach_link_answers(core_t *c, struct member *m);
/* What is sent to it goes over the link: UDP does not get there, or it would drop what comes so, since
 * it has not met us. */
bool reach_over_link(const struct member *m);
/* It did not answer the last probe's datagrams: the link is its path, or may become it. */
bool reach_needs_link(const struct member *m);
/* It takes what we send: we have met, or there is a link. A stranger drops it and asks who we are. */
bool reach_hears_us(const struct member *m);

/* relay.c */
/* m asks us to probe another. */
void relay_asked(core_t *c, struct member *m, const struct swim_msg *msg);
/* m answers with this echo: true if it was such a probe that it answers; whoever asked for it is told. */
bool relay_answered(core_t *c, const struct member *m, uint64_t echo);
void relay_tick(core_t *c);

/* swim.c */
void swim_message(core_t *c, struct member *m, const struct swim_msg *msg, const struct addr *from);
/* To a PING from there that could not be taken when it came. */
void swim_answer(core_t *c, struct member *m, uint64_t nonce, const struct addr *from);
void swim_period(core_t *c);
void swim_failed_period(core_t *c);
void swim_probe_tick(core_t *c, struct member *m);
void swim_probe(core_t *c, struct member *m, bool is_regular);
void swim_probe_again(core_t *c, struct member *m); /* resend: it did not know our session */
void swim_probe_over(core_t *c, struct member *m);  /* no answer is waited for any more */
/* The probe in flight goes on under another nonce: answers to the old one prove nothing any more. */
void swim_renew_nonce(core_t *c, struct member *m);
void swim_link_up(core_t *c, struct member *m); /* a probe may go on over it */
void swim_extend(core_t *c, uint64_t by_ns); /* we were deaf: nobody is judged by it */
struct watch *watch_of(core_t *c, struct member *m); /* made if needed; NULL: no memory */
void watch_release(core_t *c, struct member *m);     /* if nothing is under way any more */
void watch_drop(core_t *c, struct member *m);

/* doubt.c */
void doubt_suspect(core_t *c, struct member *m, enum reason reason, const struct node_id *observers,
                   size_t count);
void doubt_confirmed(core_t *c, struct member *m, const struct node_id *observers, size_t count);
void doubt_own_probe_failed(core_t *c, struct member *m);
void doubt_verdict_tick(core_t *c, struct member *m);
void doubt_rearm(core_t *c, struct member *m); /* suspicion times have moved */
void doubt_evidence(core_t *c, struct member *m);
void doubt_refused_tick(core_t *c, struct member *m);
void doubt_connect(core_t *c, const struct event *ev);
void doubt_unreachable(core_t *c, const struct addr *to);
void doubt_refused_claim(core_t *c, struct member *m, const struct node_id *observers,
                         size_t count);
/* A new incarnation or an answer: earlier refusals mean nothing any more. */
void doubt_refusals_clear(core_t *c, struct member *m);
bool observers_add(struct node_id *observers, size_t *count, const struct node_id *id);
/* As in SWIM's paper, for comparisons: nobody probes a suspect more than others, only its refutation helps
 * it, and all who heard of the suspicion judge when its time is over. */
bool doubt_is_plain(const core_t *c);

/* sync.c */
void sync_view_seen(core_t *c, uint64_t view_hash);
/* m may have news: a full exchange with it as soon as there is a link. One guest at a time: when
 * many appear at once, gossip tells of the others. */
void sync_want(core_t *c, struct member *m);
void sync_tick(core_t *c);
void sync_start(core_t *c, struct member *m);
void sync_frame(core_t *c, struct member *m, uint8_t type, struct span body);

/* overlay.c */
void overlay_touch(core_t *c);
void overlay_tick(core_t *c);
void overlay_link_up(core_t *c, struct member *m);
void overlay_link_down(core_t *c, struct member *m);
void overlay_hangup(core_t *c, struct member *m);
/* An address that its link may stand on is gone, here or there: the link carries nothing any more,
 * and TCP would find out only after minutes. It is dialled anew at once. */
void overlay_moved(core_t *c, struct member *m);
/* Dials m although it is no neighbour: a guest link, closed when it was idle for a while. */
void overlay_want_link(core_t *c, struct member *m);
/* The same because m could not connect to us. It is not asked to try in turn: two that let nobody in would
 * ask each other for ever. */
void overlay_asked_to_dial(core_t *c, struct member *m);
/* One of those that m is linked to, at random, as far as the rings say; may be self. NULL: there is nobody
 * but m. Looks at all members. */
struct member *overlay_neighbour_of(core_t *c, const struct member *m);

/* labels.c */
int labels_make(core_t *c, const struct label *labels, size_t count);
int labels_sign(core_t *c);
/* This node's labels from now on; what does not fit its record leaves the old ones. */
void labels_change(core_t *c, const struct label *labels, size_t count);
void labels_wanted(core_t *c);
void labels_tick(core_t *c);
void labels_frame(core_t *c, struct member *m, uint8_t type, struct span body);
/* Takes a labels record for m if it is the one its alive record names. */
int labels_take(core_t *c, struct member *m, struct span bytes);

/* persist.c */
void persist_load(core_t *c, const struct store_entry *entries, size_t count);
void persist_member(core_t *c, struct member *m);
void persist_self(core_t *c);
void persist_flush(core_t *c);
void persist_everything(core_t *c);

/* service.c */
void services_init(core_t *c);
void services_fini(core_t *c);
void services_begin(core_t *c); /* we may write: each own service has a whole TTL from now on */
void services_tick(core_t *c);
void services_pause(core_t *c, uint64_t ns); /* we were deaf for so long, and heard no refresh */
void services_told(core_t *c, struct span wanted, struct span kept); /* EV_SERVICES */

/* call.c */
void call_local(core_t *c, uint64_t client, struct span request);
void call_gone(core_t *c, uint64_t client);
void call_frame(core_t *c, struct member *m, uint8_t type, struct span body);
void call_timeout(core_t *c, struct call *call);
void call_run_waiting(core_t *c); /* at the end of a step that brought events */
void call_link_changed(core_t *c, struct member *m);
void call_member_gone(core_t *c, const struct member *m); /* nothing of it or to it waits any more */
bool call_uses_link(const core_t *c, const struct member *m);
void call_fini(core_t *c);

#endif
