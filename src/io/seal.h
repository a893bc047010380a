/* SPDX-License-Identifier: MPL-2.0 */
/* Sealing and opening datagrams (protocols.md "Keys and datagrams"; wire/frame.h has the
 * layout).
 *
 * XChaCha20-Poly1305. Nonce: session, counter, 8 zeros. Associated data: the clear head and the
 * mesh's name. Class PAIR: BLAKE2b of the X25519 secret of both identities and both ids in the
 * order sender, receiver, keyed by the mesh key: one key per direction, so no member can answer
 * for another and nothing can be reflected. Computed at first use of a peer, then cached. Class
 * MESH: BLAKE2b of "first contact" and the sender's id, keyed by the mesh key. The ring's first
 * key seals, every one opens. Replay is the core's business. The loop's thread only. */
#ifndef HM_IO_SEAL_H
#define HM_IO_SEAL_H

#include "base/buf.h"
#include "base/node_id.h"
#include "base/span.h"
#include "io/keys.h"
#include "wire/frame.h"

typedef struct seal seal_t;

/* Borrows keys, with its ring open, for its life. NULL: out of memory. */
seal_t *seal_new(const keys_t *keys);
void seal_destroy(seal_t **p);

/* Forgets a peer and its secrets: what it sends is of nobody we know. Nothing happens if it is not known. */
void seal_peer_remove(seal_t *seal, const struct node_id *id);
/* Makes a peer known by its Ed25519 public key; again is fine. HM_EMALFORMED: id is not the key's.
 * HM_EFULL: HM_MEMBERS_MAX peers. HM_ENOMEM. */
int seal_peer_add(seal_t *seal, const struct node_id *id, const uint8_t public_key[KEYS_KEY_BYTES]);

/* Appends the whole datagram to *out. `receiver` matters for DATAGRAM_PAIR only. HM_ENOTFOUND: that
 * peer was never added; HM_EMALFORMED: its key is no point of the curve; HM_EINVAL: body above
 * DATAGRAM_BODY_BYTES_MAX; HM_EFULL: out has no room; HM_ENOMEM. */
int seal_datagram(seal_t *seal, enum datagram_class cls, const struct node_id *receiver,
                  uint64_t session, uint64_t counter, struct span body, struct buf *out);

/* Each but the first is counted under its own metric (seal_result_metric). */
enum seal_result {
    SEAL_OPENED,
    SEAL_NOT_OURS,     /* M_DROP_NOT_OURS: no homemesh datagram, or cut */
    SEAL_VERSION,      /* M_DROP_VERSION */
    SEAL_FOREIGN_MESH, /* M_DROP_FOREIGN_MESH: another mesh's tag */
    SEAL_FOREIGN_KEY, /* M_DROP_FOREIGN_KEY: our tag, but no key of ours opens it: EV_FOREIGN_KEY */
    SEAL_UNKNOWN_SENDER, /* M_DROP_UNKNOWN_SENDER: EV_CANDIDATE, CANDIDATE_UNKNOWN_SENDER */
    SEAL_UNSEALED,       /* M_DROP_UNSEALED: a known peer's name, but its key does not open it */
};

/* ret_head is set for SEAL_OPENED, SEAL_FOREIGN_KEY and SEAL_UNKNOWN_SENDER; *body is cleared,
 * then holds what was inside for SEAL_OPENED. Any bytes are fine. */
enum seal_result seal_open(seal_t *seal, struct span datagram, struct datagram_head *ret_head,
                           struct buf *body);

/* Which metric counts a result other than SEAL_OPENED. */
unsigned seal_result_metric(enum seal_result result);

#endif
