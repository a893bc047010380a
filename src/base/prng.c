/* SPDX-License-Identifier: MPL-2.0 */
/* Seeded random numbers: see prng.h. */
#include "base/prng.h"

#include "base/err.h"

uint64_t prng_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

void prng_init(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        p->s[i] = prng_mix(seed + (uint64_t) i * 0x9e3779b97f4a7c15U);
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *p, uint64_t bound)
{
    HM_ASSERT(bound > 0);
    /* Values below 2^64 mod bound would favour small results: drawn again. */
    uint64_t reject = (UINT64_MAX - bound + 1) % bound;
    uint64_t x = prng_next(p);
    while (x < reject) {
        x = prng_next(p);
    }
    return x % bound;
}
