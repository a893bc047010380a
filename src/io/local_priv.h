/* SPDX-License-Identifier: MPL-2.0 */
/* The local socket's two halves: local_api.c has the path, the calls and who may connect; local_client.c one connection,
 * from bytes to requests and from replies to bytes. Nobody else includes this. */
#ifndef HM_IO_LOCAL_PRIV_H
#define HM_IO_LOCAL_PRIV_H

#include "io/local_api.h"
#include "wire/zmtp_stream.h"

struct local_client;

/* A request that waits for its reply: where that goes. */
struct call {
    uint64_t client; /* its number; 0: free */
    uint32_t next_free; /* place of the next one; LOCAL_CALLS_MAX: none */
    struct local_client *from;
    uint64_t message; /* which one of its client's it came in */
    bool has_empty;   /* from a REQ socket */
    uint8_t id[LOCAL_REQUEST_ID_BYTES_MAX];
    size_t id_bytes;
};

/* A connection. */
struct local_client {
    local_api_t *api;
    struct local_client *next, *next_dirty;
    int fd;
    size_t waiting; /* requests of it without a reply */
    uint64_t since_ns; /* when it was accepted */
    unsigned want; /* what the reactor watches */
    bool is_dirty; /* has replies that were not sent */
    bool is_broken; /* nobody takes replies any more; what it sent before is still read */
    bool is_drained; /* the last read took all there was */
    struct zmtp_stream stream;
    /* The message that is being taken. */
    uint64_t message;
    bool is_within; /* it has frames left */
    bool is_taking; /* its reader is at it now */
    bool has_empty;
    bool is_refused; /* what is left of it is not looked at */
    unsigned taken;  /* requests of it */
    uint8_t id[LOCAL_REQUEST_ID_BYTES_MAX];
    size_t id_bytes; /* 0: an id comes next */
    /* The message of replies that is being put. */
    uint64_t joined_message;
    size_t joined, joined_bytes;
};

/* Takes the descriptor in any case. NULL: out of memory. */
struct local_client *local_client_new(local_api_t *api, reactor_t *r, int fd);
/* Sends what the kernel takes without waiting; false: it waits for the client. */
bool local_client_send(struct local_client *c);
/* A message of several requests is being worked on, and little is to be sent: replies wait for each other. */
bool local_client_gathers(const struct local_client *c);
/* Puts the reply to a request of c's. HM_EFULL, HM_ENOMEM: nothing was put. */
int local_client_reply(struct local_client *c, const struct call *to, struct span reply);
/* Closes it and frees it; the reactor forgets it. */
void local_client_free(struct local_client *c, reactor_t *r);

/* local_api.c: a request, or what should have been one (HM_EMALFORMED), came on c. */
void local_api_request(local_api_t *a, const struct call *as, struct span request);
void local_api_refuse(local_api_t *a, const struct call *as, int code, const char *text);
/* It has something to be sent. */
void local_api_dirty(local_api_t *a, struct local_client *c);
/* c has ended: its calls are told as gone, and it is freed. */
void local_api_ended(local_api_t *a, struct local_client *c);
reactor_t *local_api_reactor(const local_api_t *a);

#endif
