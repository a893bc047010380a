/* SPDX-License-Identifier: MPL-2.0 */
/* xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64. Deterministic: the same seed
 * gives the same run on every machine. Not for keys; nonces drawn from it travel only sealed. */
#ifndef HM_BASE_PRNG_H
#define HM_BASE_PRNG_H

#include <stdint.h>

struct prng {
    uint64_t s[4];
};

void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Uniform in 0..bound-1; bound > 0. */
uint64_t prng_below(struct prng *p, uint64_t bound);
/* One mixing step of splitmix64: a good 64-bit hash of a number. */
uint64_t prng_mix(uint64_t x);

#endif
