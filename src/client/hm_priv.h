/* SPDX-License-Identifier: MPL-2.0 */
/* The library's insides, shared by its files: hm.c (life, connection, dispatch), hm_call.c (calls under way),
 * hm_entry.c (replies become entries), hm_kv.c, hm_watch.c. Nobody else includes this. */
#ifndef HM_CLIENT_HM_PRIV_H
#define HM_CLIENT_HM_PRIV_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "client/conn.h"
#include "homemesh.h"
#include "wire/mpack.h"

#include <sys/types.h>

#define HM_TIMEOUT_MS 5000
#define HM_TIMEOUT_MS_MAX 600000
#define NEVER_MS UINT64_MAX
#define SOCKET_BYTES 4096
#define PLACE_BYTES 64 /* of the change log */

/* ---- calls ---- */

struct call;
/* value: of a reply with code HM_OK, else empty. Runs when the call is free already. */
typedef void call_done_fn(hm_t *hm, const struct call *call, int code, const char *why,
                          struct span value);

/* One request, from its start to its end. */
struct call {
    uint32_t index;
    uint32_t generation; /* with the index: its id */
    bool is_used;
    bool is_sent;
    bool is_write;     /* not to be asked again when the connection ends */
    bool is_cancelled; /* waits to be sent, which nobody wants */
    uint64_t deadline_ms;
    struct buf request;
    call_done_fn *done;
    hm_reply_fn *reply; /* the program's, or NULL */
    void *ctx;
    struct call *next; /* among those that are free, or that wait to be sent */
};

struct calls {
    struct call **slots;
    size_t slot_count;
    struct call *free;
    struct call *first, *last; /* not sent yet, in order */
    size_t under_way;          /* sent */
    uint64_t check_ms;         /* none ends before */
};

void calls_fini(struct calls *calls);

/* Starts a call of this operation with these arguments (a map). HM_EFULL, HM_ENOMEM, HM_EINVAL. */
struct call_start {
    const char *op;
    struct span args;
    unsigned timeout_ms;
    bool is_write;
    call_done_fn *done;
    hm_reply_fn *reply;
    void *ctx;
};
int call_begin(hm_t *hm, const struct call_start *start, uint64_t *ret_id);
int call_cancel(hm_t *hm, uint64_t id);
/* Puts as many as may be under way onto the connection, unless it has much to send already. HM_ENOMEM. */
int calls_pump(hm_t *hm);
/* calls_pump would put one. */
bool calls_can_go(const hm_t *hm);
void calls_on_reply(hm_t *hm, uint64_t id, struct span reply);
/* The connection is gone: reads wait again, writes have failed. */
void calls_on_lost(hm_t *hm);
void calls_expire(hm_t *hm, uint64_t now_ms);

/* ---- entries ---- */

/* Where an entry's texts live. */
struct entry_room {
    struct buf text;
    struct hm_bytes *elements;
    size_t element_room;
    struct hm_entry entry;
};

void room_fini(struct entry_room *room);
/* Reads an item of kv.get, kv.list or a change of kv.watch. HM_EMALFORMED, HM_ENOMEM. */
struct entry_more {
    bool is_delete;
    char since[PLACE_BYTES];
};
int room_read(struct entry_room *room, struct span item, struct entry_more *ret_more);

/* ---- lists ---- */

#define PAGE_NEXT_BYTES 4096

/* A page of a list, borrowed from its reply. */
struct page {
    size_t count;
    struct mp_reader items; /* stands before the first */
    char next[PAGE_NEXT_BYTES];
    char since[PLACE_BYTES];
    bool has_gap;
};
/* items: the list's name. HM_EMALFORMED. */
int page_read(struct span value, const char *items, struct page *ret_page);
/* Starts a kv.list from a place on ("" its beginning). Errors as call_begin. */
int list_begin(hm_t *hm, const char *prefix, const char *after, struct call_start *start,
               uint64_t *ret_id);

/* ---- the handle ---- */

struct hm {
    pid_t pid; /* who may touch the epoll instance: it is shared with a child */
    int epoll_fd;
    int timer_fd;
    conn_t *conn; /* NULL: not connected */
    bool wants_write; /* as epoll knows it */
    bool is_dispatching;
    bool is_found; /* data_dir and socket are of a meshd that was found */
    char *given_socket, *given_data_dir;
    char data_dir[SOCKET_BYTES];
    char socket[SOCKET_BYTES];
    unsigned timeout_ms;
    uint64_t now_ms;      /* as of the last look */
    uint64_t timer_ms;    /* when timer_fd fires; NEVER_MS: not */
    uint64_t connect_ms;  /* when to try again; NEVER_MS: connected, or about to be */
    uint64_t greet_by_ms; /* the handshake must be over; NEVER_MS: it is */
    unsigned tries;
    int connect_code; /* of the last try */
    struct calls calls;
    struct hm_watch *watches;
    struct hm_registered *services;
    struct entry_room shown; /* in callbacks */
    struct entry_room kept;  /* what functions that wait have returned */
    struct buf args;
    char why[HM_WHY_BYTES];
};

uint64_t hm_now_ms(void);
/* Remembers what was wrong; returns code. */
int hm_fail(hm_t *hm, int code, const char *why);
/* After anything was put outside of hm_dispatch: the descriptor becomes readable if there is something to do. */
void hm_stir(hm_t *hm);
/* Dispatches until *is_done. HM_EBUSY: from a callback. */
int hm_wait(hm_t *hm, const bool *is_done);

/* ---- watches ---- */

void watches_fini(hm_t *hm);
/* Asks again where it was put off. Calls no callback. */
void watches_serve(hm_t *hm);
uint64_t watches_due_ms(const hm_t *hm);

/* ---- services ---- */

void services_fini(hm_t *hm);
void services_serve(hm_t *hm); /* refreshes what is due */
void services_on_lost(hm_t *hm);
uint64_t services_due_ms(const hm_t *hm);

/* ---- waiting for one call ---- */

struct answer {
    bool is_done;
    int code;
};
/* In the call's function. */
void answer_take(struct answer *a, hm_t *hm, int code, const char *why);
/* started: what starting the call gave. */
int answer_wait(hm_t *hm, int started, uint64_t id, struct answer *a);

/* locate.c: the socket of the meshd to ask. As hm_open says; why of HM_WHY_BYTES. */
int locate(const char *data_dir, char ret_data_dir[SOCKET_BYTES], char ret_socket[SOCKET_BYTES],
           char *why);

#endif
