/* SPDX-License-Identifier: MPL-2.0 */
/* The two records that a node signs about itself: that it is alive (or left) and where, and its labels.
 *
 * Record bytes are a msgpack array followed by 64 bytes of Ed25519 signature over that array. They are
 * stored and forwarded as the very bytes that were signed, so that fields of newer versions survive.
 * The first field tells the two kinds apart, so neither passes for the other; the mesh tag keeps a
 * record of one mesh out of another. Reading checks form only: the signature is the core's business. */
#ifndef HM_WIRE_RECORD_MSG_H
#define HM_WIRE_RECORD_MSG_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/span.h"

#include <stdint.h>

#define RECORD_SIGNATURE_BYTES 64
#define RECORD_KEY_BYTES 32

enum record_state { RECORD_ALIVE = 1, RECORD_LEFT = 2 };

/* The alive record (protocols.md "The alive record and labels"), at most HM_RECORD_BYTES_MAX. The node
 * id is not in it: it is the hash of the key. */
struct node_record {
    uint8_t key[RECORD_KEY_BYTES];
    uint64_t mesh_tag;
    enum record_state state;
    uint64_t incarnation;
    char name[HM_NAME_BYTES_MAX + 1]; /* a DNS label */
    struct addr addrs[HM_RECORD_ADDRS_MAX]; /* with the UDP port set */
    size_t addr_count;
    uint16_t port;
    uint16_t link_port;
    uint8_t version_min, version_max; /* of the protocol */
    uint64_t labels_hash;
    /* Not in the first records: 0 then. Which process of the node made it. */
    uint64_t boot_epoch;
    uint64_t life;
};

/* Writes the part that is signed. */
void node_record_write(struct buf *b, const struct node_record *record);
/* bytes with signature. HM_EMALFORMED. A state that is not known is malformed; trailing fields are
 * skipped. */
int node_record_read(struct span bytes, struct node_record *ret_record);

/* The labels record, at most HM_LABELS_BYTES_MAX: key, mesh tag, software version, map of labels. */
struct labels_record {
    uint8_t key[RECORD_KEY_BYTES];
    uint64_t mesh_tag;
    char version[HM_VERSION_BYTES_MAX + 1];
    struct span labels; /* msgpack map of text to text, inside the bytes read */
};

void labels_record_write(struct buf *b, const struct labels_record *record);
/* HM_EMALFORMED; labels are checked: clean UTF-8, limits, keys in rising order. */
int labels_record_read(struct span bytes, struct labels_record *ret_record);

/* Splits record bytes into what was signed and the signature. HM_EMALFORMED if too short. */
int record_split(struct span bytes, struct span *ret_signed, const uint8_t **ret_signature);

#endif
