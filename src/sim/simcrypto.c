/* SPDX-License-Identifier: MPL-2.0 */
/* Cheap signatures and hashes for the simulator: see simcrypto.h. */
#include "sim/simcrypto.h"

#include "base/prng.h"

#include <string.h>

#define SECRET_SEED 0x6d6573682d73696dU /* what a simulated forger does not have */
#define ID_SEED 0x6e6f64652d696421U
#define HASH_SEED 0x626c616b65326221U

static uint64_t load(const uint8_t *p, size_t size)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++) {
        v |= (uint64_t) p[i] << (8 * i);
    }
    return v;
}

static void store_be(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (uint8_t) (v >> (56 - 8 * i));
    }
}

uint64_t sim_hash(uint64_t seed, struct span message)
{
    uint64_t h = seed ^ (message.size * 0x9e3779b97f4a7c15U);
    const uint8_t *p = message.data;
    size_t left = message.size;
    for (; left >= 8; left -= 8, p += 8) {
        h = (h ^ load(p, 8)) * 0xff51afd7ed558ccdU;
        h ^= h >> 29;
    }
    if (left > 0) {
        h = (h ^ load(p, left)) * 0xff51afd7ed558ccdU;
        h ^= h >> 29;
    }
    return prng_mix(h);
}

static uint64_t secret_of(const uint8_t key[SIM_KEY_BYTES])
{
    return sim_hash(SECRET_SEED, span_of(key, SIM_KEY_BYTES));
}

static void id_of_key(const uint8_t key[32], struct node_id *ret_id)
{
    uint64_t high = sim_hash(ID_SEED, span_of(key, SIM_KEY_BYTES));
    store_be(ret_id->b, high);
    store_be(ret_id->b + 8, prng_mix(high ^ ID_SEED));
}

static void signature_make(uint64_t secret, struct span message, uint8_t ret[SIGNATURE_BYTES])
{
    uint64_t h = sim_hash(secret, message);
    store_be(ret, SIM_SIGNATURE_MARK);
    for (int i = 8; i < SIGNATURE_BYTES; i += 8) {
        store_be(ret + i, h);
        h = prng_mix(h);
    }
}

static void sign(void *identity, struct span message, uint8_t ret_signature[SIGNATURE_BYTES])
{
    const struct sim_identity *own = identity;
    signature_make(own->secret, message, ret_signature);
}

static bool verify(const uint8_t key[32], struct span message,
                   const uint8_t signature[SIGNATURE_BYTES])
{
    uint8_t right[SIGNATURE_BYTES];
    signature_make(secret_of(key), message, right);
    return memcmp(right, signature, SIGNATURE_BYTES) == 0;
}

static uint64_t hash(struct span message)
{
    return sim_hash(HASH_SEED, message);
}

void sim_identity_make(struct sim_identity *ret_identity, uint64_t seed, unsigned idx)
{
    uint64_t x = prng_mix(seed ^ 0x6964656e74697479U) + idx;
    for (int i = 0; i < SIM_KEY_BYTES; i += 8) {
        x = prng_mix(x);
        store_be(ret_identity->key + i, x);
    }
    ret_identity->secret = secret_of(ret_identity->key);
    id_of_key(ret_identity->key, &ret_identity->id);
}

void sim_crypto(struct sim_identity *identity, struct crypto *ret_crypto)
{
    ret_crypto->identity = identity;
    ret_crypto->sign = sign;
    ret_crypto->verify = verify;
    ret_crypto->id_of_key = id_of_key;
    ret_crypto->hash = hash;
}
