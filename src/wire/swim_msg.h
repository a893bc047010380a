/* SPDX-License-Identifier: MPL-2.0 */
/* The messages of membership, as they stand in sealed datagrams and in FRAME_SWIM.
 *
 * Each is a msgpack array: its type, then its fields in a fixed order; trailing fields are skipped.
 *
 *     JOIN       nonce record                       mesh key   first contact
 *     ANSWER     echo nonce record hash updates     mesh key   to a JOIN, to a signed address
 *     CONFIRM    echo record                        mesh key   to an ANSWER: both are members now
 *     CHALLENGE  nonce                              pair key   to a session not known
 *     ECHO       echo updates                       pair key   to a CHALLENGE: the session is live
 *     PING       nonce hash coord updates registry? padding?  pair key   SWIM probe
 *     ACK        echo hash coord updates registry? padding?   pair key   its answer, padded alike
 *     PING_REQ   nonce target updates               pair key   ask a helper to probe
 *     RELAYED    echo target                        pair key   the helper had an ack
 *     NACK       echo target                        pair key   the helper had none (Lifeguard)
 *     GOSSIP     updates                            pair key   updates alone
 *
 * Update: [1, record] or [2, claim, target, incarnation, reason, observers, evidence, record if asked
 * for] or [3, entry]. */
#ifndef HM_WIRE_SWIM_MSG_H
#define HM_WIRE_SWIM_MSG_H

#include "base/buf.h"
#include "base/limits.h"
#include "base/node_id.h"
#include "base/span.h"
#include "wire/mpack.h"

#include <stdbool.h>
#include <stdint.h>

enum swim_type {
    SWIM_JOIN = 1,
    SWIM_ANSWER = 2,
    SWIM_CONFIRM = 3,
    SWIM_CHALLENGE = 4,
    SWIM_ECHO = 5,
    SWIM_PING = 6,
    SWIM_ACK = 7,
    SWIM_PING_REQ = 8,
    SWIM_RELAYED = 9,
    SWIM_NACK = 10,
    SWIM_GOSSIP = 11,
    SWIM_DIAL = 12,
};

/* A network coordinate as it travels: microseconds, fixed point, so that it is the same everywhere. */
#define COORD_DIMENSIONS 4
#define COORD_WIRE_BYTES 24
struct coord_wire {
    int32_t at_us[COORD_DIMENSIONS];
    uint32_t height_us;
    uint32_t error_ppm; /* of 1: 1,000,000 is a mere guess */
};

struct swim_msg {
    enum swim_type type;
    uint64_t nonce;
    uint64_t echo;
    uint64_t view_hash;
    struct coord_wire coord;
    struct node_id target;
    struct span record;
    /* Writing: encoded updates. Reading: update_bytes, to be walked with swim_update_next. */
    const struct span *updates;
    size_t update_count;
    struct span update_bytes;
    uint64_t registry; /* state of the registry, of PING and ACK; 0: not told */
    size_t padding; /* bytes of zeros behind PING and ACK; 0: none. At most DATAGRAM_BODY_BYTES_MAX */
};

void swim_msg_write(struct buf *b, const struct swim_msg *msg);
/* HM_EMALFORMED; HM_ENOTFOUND: well-formed but of a type not known here. Updates are checked to be
 * well-formed msgpack, each is checked by swim_update_next. */
int swim_msg_read(struct span bytes, struct swim_msg *ret_msg);

/* UPDATE_REMOVAL: the entry of the registry that says that the receiver was removed (removal_msg.h). */
enum update_kind { UPDATE_RECORD = 1, UPDATE_CLAIM = 2, UPDATE_REMOVAL = 3 };

/* What a member says of another. CLAIM_REFUSED: its machine refused two connects of mine. */
enum claim_kind { CLAIM_SUSPECT = 1, CLAIM_FAILED = 2, CLAIM_REFUSED = 3 };

/* How the first observer of a claim came to it. Not known for what a node remembers. */
#define EVIDENCE_MAX 15
struct evidence {
    bool is_known;
    bool by_link;    /* its link to the target was silent, too */
    uint8_t health;  /* its local health score then, 0 is healthy; at most EVIDENCE_MAX */
    uint8_t helpers; /* that had no answer either; at most EVIDENCE_MAX */
};

struct claim {
    enum claim_kind kind;
    struct node_id target;
    uint64_t incarnation; /* of the target, as the claimer knows it */
    uint8_t reason;       /* enum reason */
    struct node_id observers[HM_OBSERVERS_MAX]; /* who saw it themselves; the first is the speaker */
    size_t observer_count;
    struct evidence evidence;
    struct span record; /* of the target, for receivers that may not know it; data NULL: left out */
};

struct swim_update {
    enum update_kind kind;
    struct span record; /* UPDATE_REMOVAL: the entry */
    struct claim claim;
};

void swim_update_write_record(struct buf *b, struct span record);
void swim_update_write_removal(struct buf *b, struct span entry);
void swim_update_write_claim(struct buf *b, const struct claim *claim);
/* Takes the next update. False at the end or at the first malformed one (then r has failed). Updates of
 * kinds not known here are skipped. */
bool swim_update_next(struct mp_reader *r, struct swim_update *ret_update);

#endif
