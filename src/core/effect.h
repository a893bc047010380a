/* SPDX-License-Identifier: MPL-2.0 */
/* What the core decides. The driver carries effects out in order; they live until the next step, and
 * spans in them may point into the core, into the effect list or into the event that caused them. */
#ifndef HM_CORE_EFFECT_H
#define HM_CORE_EFFECT_H

#include "base/addr.h"
#include "base/node_id.h"
#include "base/span.h"
#include "core/event.h"
#include "core/note.h"

#include <stddef.h>
#include <stdint.h>

#define NODE_KEY_BYTES 32

enum effect_type {
    FX_PEER,       /* this identity may talk to us from now on: pair key, ZAP admission */
    FX_DATAGRAM,   /* seal and send */
    FX_FRAME,      /* send on the link to peer; refused: EV_SEND_REFUSED, never blocks */
    FX_DIAL,       /* open a link to peer at addr; EV_LINK_UP when it stands, EV_LINK_DOWN if it ends */
    FX_HANGUP,     /* close the link to peer and drop its queue; no EV_LINK_DOWN follows */
    FX_CONNECT,    /* plain TCP connect to addr, close at once; EV_CONNECT within 1 s */
    FX_BEACON,     /* send one ZRE beacon on every interface */
    FX_ZRE_HELLO,  /* greet this address as a ZRE peer: it did not answer a join */
    FX_PERSIST,    /* store these entries as one transaction; EV_DURABLE(batch) when synced */
    FX_REPLY,      /* answer a local client */
    FX_NOTE,       /* for the log */
    FX_STOP,       /* flush and exit with this code */
    FX_MAIL,       /* as FX_DATAGRAM, but in a ZRE WHISPER to a mailbox that greeted us */
    FX_PEER_GONE,  /* this identity may not talk to us any more: the link is closed, its keys forgotten */
};

struct effect {
    enum effect_type type;
    union {
        struct {
            struct node_id id;
            uint8_t key[NODE_KEY_BYTES]; /* Ed25519 public key; FX_PEER_GONE: not set */
        } peer;
        struct {
            struct addr to;
            enum datagram_class cls;
            struct node_id peer; /* DATAGRAM_PAIR: for whom it is sealed; FX_MAIL: zero if not known */
            uint64_t session;
            uint64_t counter;
            struct span body;
        } datagram; /* FX_DATAGRAM, FX_MAIL */
        struct {
            struct node_id peer;
            uint8_t type; /* enum frame_type */
            struct span body;
        } frame;
        struct {
            struct node_id peer;
            struct addr to;
        } dial; /* FX_DIAL; FX_HANGUP without address */
        struct {
            struct node_id peer;
            struct addr to;
            uint64_t token;
        } connect;
        struct {
            struct addr to;
            struct node_id id;
        } zre_hello;
        struct {
            uint64_t batch; /* rises by one */
            const struct store_entry *entries;
            size_t count;
        } persist;
        struct {
            uint64_t client;
            struct span body; /* an api_reply, see wire/api_msg.h */
        } reply;
        struct note note;
        struct {
            int exit_code;
        } stop;
    } as;
};

struct effects {
    const struct effect *items;
    size_t count;
};

#endif
