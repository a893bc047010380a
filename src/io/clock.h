/* SPDX-License-Identifier: MPL-2.0 */
/* The two clocks. The boot clock decides; the wall clock is only shown. Any thread. */
#ifndef HM_IO_CLOCK_H
#define HM_IO_CLOCK_H

#include <stdint.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

/* CLOCK_BOOTTIME in ns: never runs backwards, goes on while the machine sleeps. */
uint64_t clock_boot_ns(void);
/* CLOCK_REALTIME in ms since 1970; 0 for a clock set before that. */
uint64_t clock_wall_ms(void);

#endif
