/* SPDX-License-Identifier: MPL-2.0 */
/* A role for a machine whose owner named none (--auto-role): one word, by what the machine has.
 *
 *     portable   it has a battery of its own: it comes and goes, whatever else it could do
 *     gateway    it forwards IPv4 between networks of two or more real network cards
 *     storage    its fixed disks hold 2 TB or more together
 *     compute    4 CPUs and 7 GiB of memory, or more of both
 *     edge       none of these: a small board
 *
 * The first that fits. Only a label: it decides nothing by itself. */
#ifndef HM_IO_ROLE_H
#define HM_IO_ROLE_H

#include <stdbool.h>
#include <stdint.h>

#define ROLE_STORAGE_BYTES 2000000000000ULL /* more than what systems and laptops come with */
#define ROLE_COMPUTE_CPUS 4
#define ROLE_COMPUTE_MIB 7168 /* a machine of 8 GiB shows less */

struct role_facts {
    bool has_battery;
    bool forwards;
    unsigned networks; /* real network cards with a network of their own each */
    uint64_t disk_bytes;
    unsigned cpus;
    uint64_t memory_mib;
};

/* Fills battery, forwarding, networks and disks from /proc and /sys below root ("" normally). */
void role_facts_read(const char *root, struct role_facts *facts);
const char *role_choose(const struct role_facts *facts);

#endif
