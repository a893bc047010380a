/* SPDX-License-Identifier: MPL-2.0 */
/* What links.c, links_dialled.c and links_accepted.c share: the tables of links, and what both ways
 * need. */
#ifndef HM_IO_LINKS_PRIV_H
#define HM_IO_LINKS_PRIV_H

#include "base/buf.h"
#include "base/limits.h"
#include "io/flow.h"
#include "io/links.h"
#include "io/outq.h"
#include "io/zap.h"

#include <stdbool.h>
#include <zmq.h>

#define ROUTING_ID_BYTES 5              /* what a ROUTER makes for a peer without one */
#define ACCEPTED_MAX (2 * HM_LINKS_MAX) /* room for links that are being replaced */

/* One accepted connection, from its ACCEPTED to its DISCONNECTED event. */
struct accepted {
    int fd;          /* -1: free */
    uint64_t number; /* rises with each */
    uint64_t serial; /* of its ZAP answer; 0 until its first message */
    struct node_id peer;
    uint8_t routing_id[ROUTING_ID_BYTES];
    struct addr from; /* its TCP peer, to know it again before it is shut down */
    struct flow flow;
    outq_t *out; /* NULL until its first message */
    bool up;
};

struct dialled {
    links_t *links; /* NULL: free */
    struct node_id peer;
    void *socket;
    void *monitor;
    int fd; /* libzmq's, to ask about only; -1: not connected */
    struct flow flow;
    outq_t *out;
    bool up;
    bool ended;                 /* closed at the next turn */
    bool mute;                  /* hung up: no `down` */
    struct reactor_timer timer; /* until up: gives up; once ended: closes */
};

struct links {
    struct links_conf conf;
    void *router;
    void *monitor;
    zap_t *zap;
    struct accepted accepted[ACCEPTED_MAX];
    struct dialled dialled[HM_LINKS_MAX];
    uint64_t monitors; /* made so far, to name them */
    uint64_t accepts;
    uint64_t checked_ns;
    int linger_ms; /* while being destroyed */
    struct buf out;
};

/* links.c: sockets */
void links_set_int(void *socket, int option, int value);
/* Our limits, timeouts and CURVE keys. */
void links_set_up(const links_t *l, void *socket);
/* Takes it from the reactor, too. NULL: nothing to do. */
void links_close_socket(links_t *l, void **socket);
/* See monitor.h. NULL: no sockets left. */
void *links_monitor(links_t *l, void *socket, int events);
void links_unmonitor(links_t *l, void **monitor, void *socket);
/* "tcp://...", as libzmq wants it. */
int links_endpoint(const struct addr *a, char *text, size_t max);

/* links.c: what the handler is told. It may change the tables. */
bool links_is_up(links_t *l, const struct node_id *peer); /* either way */
void links_tell_up(links_t *l, const struct node_id *peer);
void links_tell_down(links_t *l, const struct node_id *peer);
void links_cut(links_t *l, const struct node_id *peer, const struct addr *from);

/* links.c: frames */
/* Borrowed until the next. */
struct span links_frame(links_t *l, uint8_t type, struct span body);
/* What came on a link of this peer. True: it is a HELLO, with which the caller does what is to be
 * done; anything else is handed on, or dropped while the link is not up. */
bool links_take(links_t *l, const struct node_id *peer, zmq_msg_t *msg, bool link_is_up);

/* links_dialled.c */
struct dialled *dialled_of(links_t *l, const struct node_id *peer); /* NULL: none */
int dialled_send(struct dialled *d, struct span bytes);
/* From now on it has no part in anything; closed, and told of unless mute, at the next turn. */
void dialled_end(struct dialled *d, bool mute);
void dialled_free(struct dialled *d);
void dialled_check(links_t *l); /* cuts those with a message without end */

/* links_accepted.c */
int accepted_open(links_t *l); /* HM_ENOMEM; accepted_close follows */
void accepted_close(links_t *l);
struct accepted *accepted_of(links_t *l, const struct node_id *peer); /* one that is up, or NULL */
int accepted_send(links_t *l, const struct accepted *a, struct span bytes);
void accepted_hangup(links_t *l, const struct node_id *peer);
void accepted_check(links_t *l);

#endif
