/* SPDX-License-Identifier: MPL-2.0 */
/* The clear heads of datagrams and link frames.
 *
 * Datagram (all numbers big-endian):
 *     0  'H' 'M'            magic
 *     2  version            of the protocol
 *     3  class              DATAGRAM_MESH or DATAGRAM_PAIR
 *     4  length             of the whole datagram, 2 bytes
 *     6  sender             node id, 16 bytes
 *    22  session            random number of the sender's process, 8 bytes
 *    30  counter            rises with each datagram of the session, 8 bytes
 *    38  mesh tag           8 bytes, class MESH only: hash of the mesh's name
 *        sealed body and 16 bytes of tag (XChaCha20-Poly1305; head and mesh name are associated data)
 *
 * Frame (inside CURVE): 'H' 'M', version, type, 4 bytes length of the body, body. */
#ifndef HM_WIRE_FRAME_H
#define HM_WIRE_FRAME_H

#include "base/buf.h"
#include "base/node_id.h"
#include "base/span.h"

#include <stdint.h>

#define PROTOCOL_VERSION 1
#define PROTOCOL_VERSION_MIN 1

#define DATAGRAM_TAG_BYTES 16
#define DATAGRAM_PAIR_HEAD_BYTES 38
#define DATAGRAM_MESH_HEAD_BYTES 46
/* What a body may have, so that head and tag still fit in a datagram. */
#define DATAGRAM_BODY_BYTES_MAX                                                                    \
    (HM_DATAGRAM_BYTES_MAX - DATAGRAM_MESH_HEAD_BYTES - DATAGRAM_TAG_BYTES)

enum datagram_class {
    DATAGRAM_MESH = 1, /* sealed by the mesh key: first contact; proves membership, not who */
    DATAGRAM_PAIR = 2, /* sealed by the pair's key: proves the sender */
};

struct datagram_head {
    uint8_t version;
    enum datagram_class cls;
    struct node_id sender;
    uint64_t session;
    uint64_t counter;
    uint64_t mesh_tag;
    size_t bytes; /* of the head */
};

/* Writes the head of a datagram whose sealed part (with its tag) has sealed_bytes. */
void datagram_head_write(struct buf *b, const struct datagram_head *head, size_t sealed_bytes);
/* HM_EMALFORMED: not ours, cut, or above HM_DATAGRAM_BYTES_MAX; HM_EVERSION: magic right, version not
 * ours (ret_head has it). */
int datagram_head_read(struct span bytes, struct datagram_head *ret_head);

#define FRAME_HEAD_BYTES 8

enum frame_type {
    FRAME_HELLO = 1,        /* first on a link, both ways: no body yet */
    FRAME_SWIM = 2,         /* a SWIM message over the link (probe of a second path) */
    FRAME_SYNC = 3,         /* digest of the member list */
    FRAME_SYNC_REPLY = 4,   /* what the other lacks, and what is wanted */
    FRAME_SYNC_PUSH = 5,    /* what was wanted */
    FRAME_LABELS_WANT = 6,  /* ids whose labels are wanted */
    FRAME_LABELS = 7,       /* signed label records */
    FRAME_CALL = 8,         /* an operation for the receiver */
    FRAME_CALL_REPLY = 9,   /* its result */
    /* The registry's (registry_msg.h). */
    FRAME_REG_PUSH = 10,    /* new entries, to neighbours */
    FRAME_REG_ASK = 11,     /* begins a pass of repair */
    FRAME_REG_MORE = 12,    /* asks for the next chunk */
    FRAME_REG_CHUNK = 13,   /* entries of a pass */
    FRAME_REG_REFUSED = 14, /* no pass, or none of this number */
    FRAME_REG_RANGES = 15,  /* hashes of ranges of keys, to be compared */
    FRAME_REG_DOTS = 16,    /* what is held of one range */
    FRAME_REG_IHAVE = 17,   /* dots that the sender could push */
    FRAME_REG_GRAFT = 18,   /* send me these, and push to me from now on */
    FRAME_REG_PRUNE = 19,   /* do not push to me, I have it from others */
};

/* Type stays a plain number: unknown ones are skipped and counted. */
void frame_head_write(struct buf *b, uint8_t type, size_t body_bytes);
/* HM_EMALFORMED, HM_EVERSION; ret_body is inside bytes. */
int frame_head_read(struct span bytes, uint8_t *ret_type, struct span *ret_body);

#endif
