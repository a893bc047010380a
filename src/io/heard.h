/* SPDX-License-Identifier: MPL-2.0 */
/* Whose beacons were heard lately, and where: for `meshctl doctor`, which asks every node this and so
 * proves broadcast by its echo. Decides nothing.
 *
 * Anybody can send beacons with any identity. So the table is bounded, one address has a share of it,
 * and the oldest gives way. That thousands do so within seconds is a flood. */
#ifndef HM_IO_HEARD_H
#define HM_IO_HEARD_H

#include "base/addr.h"
#include "base/limits.h"
#include "base/node_id.h"

#include <stddef.h>
#include <stdint.h>

struct heard_beacon {
    struct node_id id;
    struct addr addr; /* its sender, with the port that it named */
    unsigned index;   /* of the interface it came in on; 0: not told */
    uint64_t at_ns;
    uint64_t first_ns; /* of those that came without a long gap; set by heard_note */
};

/* Zeroed: nothing heard. */
struct heard {
    struct heard_beacon items[HM_BEACONS_HEARD_MAX];
    size_t count;
    uint64_t crowd_since_ns; /* since when these are counted: */
    unsigned crowd;          /* beacons that took the place of one not yet old */
    uint64_t flooded_ns;     /* last time these were too many; 0: never */
};

void heard_note(struct heard *heard, const struct heard_beacon *beacon);

#endif
