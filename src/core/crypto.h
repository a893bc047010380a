/* SPDX-License-Identifier: MPL-2.0 */
/* Signing, verifying and hashing, handed to the core by its driver: Ed25519 and BLAKE2b in the daemon,
 * a cheap keyed hash in the simulator that a simulated forger does not have. Pure functions of their
 * arguments and of the opaque identity; the core never sees a secret. */
#ifndef HM_CORE_CRYPTO_H
#define HM_CORE_CRYPTO_H

#include "base/node_id.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

#define SIGNATURE_BYTES 64

struct crypto {
    void *identity; /* opaque: this node's key pair */
    void (*sign)(void *identity, struct span message, uint8_t ret_signature[SIGNATURE_BYTES]);
    bool (*verify)(const uint8_t key[32], struct span message,
                   const uint8_t signature[SIGNATURE_BYTES]);
    void (*id_of_key)(const uint8_t key[32], struct node_id *ret_id);
    uint64_t (*hash)(struct span message); /* collision-resistant up to its 64 bits */
};

#endif
