/* SPDX-License-Identifier: MPL-2.0 */
/* The ZRE mailbox (RFC 36): how Zyre programs and meshd see each other.
 *
 * A ROUTER on TCP port P receives (io/mailbox); each peer that we greet or that greets us gets a
 * DEALER (io/zmtp_conn) with our identity (01 and the node id), on which our HELLO, PING and PING-OK
 * go. Nodes of the mesh come here only where UDP fails: else they answer the sealed join first. Then
 * sealed datagrams travel in WHISPERs (docs/decisions/0026-sealed-datagrams-in-whispers.md).
 * Everything received is unauthenticated: it changes nothing but the sender's own entry, and may add
 * an address to try.
 *
 *   (none) --greeted or its HELLO--> known --5 s of silence--> known, pinged --30 s--> (none)
 *                                      \--sequence gap----------------------------------> (none)
 *
 * At most HM_ZRE_PEERS_MAX entries; more are ignored and counted. No socket ever blocks. Why not
 * libzmq's sockets: docs/decisions/0011-own-zmtp-for-the-zre-mailbox.md. */
#ifndef HM_IO_ZRE_H
#define HM_IO_ZRE_H

#include "base/addr.h"
#include "base/metrics.h"
#include "base/node_id.h"
#include "io/reactor.h"
#include "ops/ops_facts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct zre zre_t;

struct zre_conf {
    reactor_t *reactor;    /* borrowed for its life */
    struct addr bind;      /* address (any-address included; family 0: every one) and port P */
    struct addr advertise; /* what our HELLO says where we are, for peers whose route is unknown */
    struct node_id id;
    const char *mesh;        /* copied; header X-HOMEMESH and the group we are in */
    const char *name;        /* copied */
    struct metrics *metrics; /* borrowed for its life */
    /* From the loop: a HELLO named our mesh; an address to try (EV_CANDIDATE, CANDIDATE_ZRE). May
     * call zre_greet. */
    void (*candidate)(void *ctx, const struct addr *at, const struct node_id *id);
    /* A WHISPER of a peer whose HELLO named our mesh; from is its mailbox, nothing is proven. May call
     * zre_greet and zre_whisper. NULL: none are wanted. */
    void (*whisper)(void *ctx, const struct addr *from, struct span content);
    void *ctx;
};

/* HM_EBUSY: the port is taken (try another); HM_EINVAL: not an address of this machine; HM_EDENIED;
 * HM_EIO; HM_ENOMEM. */
int zre_new(const struct zre_conf *conf, zre_t **ret_zre);
void zre_destroy(zre_t **p);

/* Greets an address (FX_ZRE_HELLO): nothing if it is known already or the table is full. */
void zre_greet(zre_t *zre, const struct addr *to, const struct node_id *id, uint64_t now_ns);

/* Sends bytes (at most HM_DATAGRAM_BYTES_MAX) to a peer whose HELLO named our mesh, known by its id, or
 * by its address if id is zero. HM_ENOTFOUND: there is no such peer now. What finds no room is lost. */
int zre_whisper(zre_t *zre, const struct addr *to, const struct node_id *id, struct span bytes);

/* Pings and expires peers. */
void zre_tick(zre_t *zre, uint64_t now_ns);
/* When zre_tick is wanted next; TIMER_NEVER (base/heap.h) with no peers. */
uint64_t zre_deadline_ns(const zre_t *zre);

/* It said HELLO, and did not fall silent since. */
bool zre_has_hello(const zre_t *zre, const struct node_id *id);
size_t zre_peer_count(const zre_t *zre);
/* Those that said HELLO, in no order; false behind the last. Borrowed until the loop goes on. */
bool zre_peer_at(const zre_t *zre, size_t idx, struct fact_peer *ret_peer);

#endif
