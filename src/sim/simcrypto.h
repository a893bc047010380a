/* SPDX-License-Identifier: MPL-2.0 */
/* Cheap stand-ins for Ed25519 and BLAKE2b, so that a thousand simulated nodes can sign and verify.
 *
 * A key's secret is a keyed hash of the key under a constant that only this file knows. verify()
 * derives it anew and so stays a pure function; a simulated forger has no way to it. Signatures
 * begin with a mark by which attackers find them in captured bytes. Collision-resistant only
 * against accident, not against malice. */
#ifndef HM_SIM_SIMCRYPTO_H
#define HM_SIM_SIMCRYPTO_H

#include "core/crypto.h"

#define SIM_KEY_BYTES 32
#define SIM_SIGNATURE_MARK 0x53494d5349474e21U /* "SIMSIGN!", the first 8 bytes, big-endian */

struct sim_identity {
    uint8_t key[SIM_KEY_BYTES];
    struct node_id id;
    uint64_t secret;
};

/* The identity number `idx` of a world; the same seed and idx give the same one. */
void sim_identity_make(struct sim_identity *ret_identity, uint64_t seed, unsigned idx);

/* The functions the core wants, on behalf of this identity, which is borrowed as long as they are.
 * */
void sim_crypto(struct sim_identity *identity, struct crypto *ret_crypto);

/* A 64-bit hash of bytes. */
uint64_t sim_hash(uint64_t seed, struct span message);

#endif
