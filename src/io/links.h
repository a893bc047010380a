/* SPDX-License-Identifier: MPL-2.0 */
/* CURVE links to other members: frames, in order, each with a proven sender.
 *
 * One ROUTER accepts, one DEALER per link dials. Who may come in is told by links_admit; our own
 * ZAP handler answers for it on the loop, and names the peer by its id: the sender of a frame is
 * what CURVE and ZAP say, never its routing id, never its payload. Both sides send FRAME_HELLO
 * first; a link is up when the other's arrived. A peer's end is seen at once on either side: by
 * the DEALER's monitor, and for accepted links by the monitor of the ROUTER, whose events carry
 * the descriptor that each received message names too. Nothing is kept for a peer that is gone:
 * its queue dies with the link, and dialling anew is the core's decision. At most one link each
 * way per peer; the newest wins. */
#ifndef HM_IO_LINKS_H
#define HM_IO_LINKS_H

#include "base/addr.h"
#include "base/metrics.h"
#include "base/node_id.h"
#include "base/span.h"
#include "io/reactor.h"

#include <stddef.h>
#include <stdint.h>

typedef struct links links_t;

#define LINKS_KEY_BYTES 32

struct links_handler {
    void *ctx;
    void (*up)(void *ctx, const struct node_id *peer);
    void (*down)(void *ctx, const struct node_id *peer);
    /* HELLO is not passed on. body is borrowed for the call. */
    void (*frame)(void *ctx, const struct node_id *peer, uint8_t type, struct span body);
    /* A message on a link that is no frame: HM_EMALFORMED or HM_EVERSION. */
    void (*bad_frame)(void *ctx, const struct node_id *peer, int why);
    /* A link was cut because its messages do not end. peer: NULL if it had said nothing yet. down
     * follows if it was up. */
    void (*cut)(void *ctx, const struct node_id *peer, const struct addr *from);
};

struct links_conf {
    void *zmq_ctx; /* borrowed; one links_t per context, as inproc://zeromq.zap.01 is taken */
    reactor_t *reactor;
    struct metrics *metrics;
    struct links_handler handler;
    struct node_id self;
    uint8_t curve_public[LINKS_KEY_BYTES];
    const uint8_t *curve_secret; /* read by links_new and by each links_dial; owned by the caller */
};

/* The ZAP handler stands when this returns. NULL: out of memory or sockets. */
links_t *links_new(const struct links_conf *conf);
/* Links end; what was sent in the last step goes out for at most linger_ms. */
void links_destroy(links_t **p, int linger_ms);

/* Listens at this address (family 0: every one, IPv4 and IPv6); port 0 takes a free one. HM_EBUSY,
 * HM_EINVAL, HM_EDENIED, HM_EIO. */
int links_bind(links_t *l, const struct addr *at, uint16_t *ret_port);

/* This peer may come in with this key from now on. HM_EFULL, HM_ENOMEM. */
int links_admit(links_t *l, const struct node_id *peer, const uint8_t key[LINKS_KEY_BYTES]);

/* It may not any more, and its link ends as by links_hangup. */
void links_forget(links_t *l, const struct node_id *peer);

/* Opens a link; one dialled before is dropped silently. The peer must have been admitted
 * (HM_ENOTFOUND). HM_EFULL: HM_LINKS_MAX reached. up or down follows, not from within the call. */
int links_dial(links_t *l, const struct node_id *peer, const struct addr *to);
/* Ends the link with this peer, dialled and accepted, and drops what is queued; no down follows. */
void links_hangup(links_t *l, const struct node_id *peer);

/* HM_EFULL: the peer does not keep up; HM_EUNREACHABLE: no link. Never blocks. */
int links_send(links_t *l, const struct node_id *peer, uint8_t type, struct span body);

/* Cuts links on which much came and no whole message, looking at most every 100 ms. To be called
 * after each turn of the loop. */
void links_check(links_t *l, uint64_t now_ns);

/* Links that are up, per peer. */
unsigned links_count(const links_t *l);

#endif
