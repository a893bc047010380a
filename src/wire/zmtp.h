/* SPDX-License-Identifier: MPL-2.0 */
/* One end of a ZMTP connection (RFC 23 and 37: 3.0 and 3.1, mechanism NULL), as far as a ZRE mailbox
 * needs it. Bytes go in, events come out; what goes the other way is written by the functions below.
 *
 *   greeting --ZMTP_GREETED--> READY command --ZMTP_READY--> messages, PING, PONG
 *        \                          \                             \
 *         `--------------------------`-----------------------------`--ZMTP_BROKEN, for ever
 *
 * Total and bounded, whatever the bytes: a message's first frame is kept (HM_ZMTP_KEPT_BYTES_MAX at
 * most), its second one if it is no larger than a datagram, and its further frames are only counted
 * (HM_ZMTP_CONTENT_BYTES_MAX each, HM_ZMTP_FRAMES_MAX of them), a command has HM_ZMTP_COMMAND_BYTES_MAX at most. More than that, a command but PING and
 * PONG, an ERROR, another mechanism, ZMTP 2 and older: broken. Memory grows with the bytes that
 * came, never by what they announce. */
#ifndef HM_WIRE_ZMTP_H
#define HM_WIRE_ZMTP_H

#include "base/buf.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZMTP_GREETING_BYTES 64
#define ZMTP_IDENTITY_BYTES_MAX 255

/* What we are. The peer must be of a type that may speak to it (RFC 28). */
enum zmtp_role {
    ZMTP_ROUTER,
    ZMTP_DEALER,
};

enum zmtp_event {
    ZMTP_MORE,    /* all bytes are taken, nothing is complete */
    ZMTP_GREETED, /* the peer's greeting is good: send READY */
    ZMTP_READY,   /* the peer's READY, too: zmtp_identity is known, messages may be sent */
    ZMTP_MESSAGE, /* a message ended: zmtp_body is its first frame */
    ZMTP_PING,    /* zmtp_context is to be sent back in a PONG */
    ZMTP_BROKEN,  /* end the connection; every later call says so again */
};

enum zmtp_state {
    ZMTP_IN_GREETING,
    ZMTP_IN_HEAD,
    ZMTP_IN_BODY,
    ZMTP_IS_BROKEN,
};

/* The fields are the module's own. */
struct zmtp {
    enum zmtp_role role;
    enum zmtp_state state;
    bool is_ready;
    bool is_done; /* the message in body was handed out */
    uint8_t head[9];
    size_t head_bytes;
    uint64_t left;      /* bytes of the frame still to come */
    unsigned frames;    /* of the message under way; 0: between messages */
    bool is_kept;       /* the frame under way */
    struct buf body;    /* first frame of the message */
    struct buf content; /* its second, if it is kept */
    struct buf command; /* the command under way, or the greeting */
    size_t context_bytes;
    uint8_t identity[ZMTP_IDENTITY_BYTES_MAX];
    size_t identity_bytes;
};

void zmtp_init(struct zmtp *z, enum zmtp_role role);
void zmtp_fini(struct zmtp *z);

/* Takes bytes off the front of *bytes up to the next event. How the stream is cut makes no
 * difference. */
enum zmtp_event zmtp_take(struct zmtp *z, struct span *bytes);

/* How many bytes may be read so that none comes after the next event; 0 if broken. A reader that
 * never reads more leaves the rest in the kernel. */
size_t zmtp_want(const struct zmtp *z);

/* Valid after ZMTP_MESSAGE until the next zmtp_take. */
struct span zmtp_body(const struct zmtp *z);
/* The same, its second frame; empty if there is none, or it is larger than HM_DATAGRAM_BYTES_MAX. */
struct span zmtp_content(const struct zmtp *z);
/* Valid after ZMTP_PING until the next zmtp_take. */
struct span zmtp_context(const struct zmtp *z);
/* What the peer calls itself; empty if it does not, and before ZMTP_READY. */
struct span zmtp_identity(const struct zmtp *z);

void zmtp_greeting_write(struct buf *b);
/* identity: at most ZMTP_IDENTITY_BYTES_MAX bytes. */
void zmtp_ready_write(struct buf *b, enum zmtp_role role, struct span identity);
void zmtp_pong_write(struct buf *b, struct span context);
/* A message of one frame. */
void zmtp_message_write(struct buf *b, struct span body);
/* A message of two. */
void zmtp_content_write(struct buf *b, struct span body, struct span content);

#endif
