/* SPDX-License-Identifier: MPL-2.0 */
/* Who may link with us: the ZAP handler (RFC 27) of a ZeroMQ context, on the loop.
 *
 * It must stand before any socket that is to be guarded. A connection is admitted by its CURVE key
 * alone, and named "ID.SERIAL": the peer's node id and a number that rises with each admission. */
#ifndef HM_IO_ZAP_H
#define HM_IO_ZAP_H

#include "base/metrics.h"
#include "base/node_id.h"
#include "io/reactor.h"

#include <stdint.h>

typedef struct zap zap_t;

#define ZAP_DOMAIN "homemesh" /* other domains are refused */
#define ZAP_KEY_BYTES 32

/* NULL: out of memory or sockets, or the context has a handler already. All is borrowed. */
zap_t *zap_new(void *zmq_ctx, reactor_t *r, struct metrics *metrics);
void zap_destroy(zap_t **p);

/* This peer may come in with this key. Again is fine. HM_EFULL (HM_MEMBERS_MAX), HM_ENOMEM. */
int zap_admit(zap_t *z, const struct node_id *peer, const uint8_t key[ZAP_KEY_BYTES]);
/* It may not any more. What it has open stays until it is closed. */
void zap_forget(zap_t *z, const struct node_id *peer);
/* The key that a peer was admitted with, or NULL. Borrowed until the next zap_admit. */
const uint8_t *zap_key_of(const zap_t *z, const struct node_id *peer);

/* Reads a message's "User-Id"; NULL or anything but our own is HM_EMALFORMED. */
int zap_user_id_read(const char *text, struct node_id *ret_peer, uint64_t *ret_serial);

#endif
