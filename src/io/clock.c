/* SPDX-License-Identifier: MPL-2.0 */
/* Clocks: see clock.h. */
#define _GNU_SOURCE
#include "io/clock.h"

#include "base/err.h"

#include <time.h>

uint64_t clock_boot_ns(void)
{
    struct timespec t;
    HM_ASSERT(clock_gettime(CLOCK_BOOTTIME, &t) == 0);
    return (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
}

uint64_t clock_wall_ms(void)
{
    struct timespec t;
    HM_ASSERT(clock_gettime(CLOCK_REALTIME, &t) == 0);
    return t.tv_sec < 0 ? 0 : (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / NS_PER_MS;
}
