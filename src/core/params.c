/* SPDX-License-Identifier: MPL-2.0 */
/* Default parameters: see params.h. docs/protocol/swim.md shows what the simulator says of them. */
#include "core/params.h"

#include <string.h>

#define MS 1000000ULL
#define SECOND (1000 * MS)

void core_params_default(struct core_params *p)
{
    memset(p, 0, sizeof *p);
    p->probe_interval_ns = SECOND;
    p->probe_timeout_ns = 300 * MS;
    p->probe_fail_ns = 800 * MS;
    p->indirect_probes = 3;
    p->suspicion_min_ns = 1800 * MS;
    p->suspicion_max_mult = 3;
    p->suspicion_confirms = 3;
    p->suspect_probe_ns = 200 * MS;
    p->health_max = 8;
    p->gossip_interval_ns = 100 * MS;
    p->gossip_fanout = 3;
    p->gossip_mult = 4;
    p->refused_recheck_ns = 300 * MS;
    p->sync_delay_ns = SECOND;
    p->failed_probe_ns = SECOND;
    p->remembered_at_once = 64;
    p->remembered_next_ns = 400 * MS;
    p->beacon_quick_ns = 250 * MS;
    p->beacon_often_ns = 2 * SECOND;
    p->beacon_idle_ns = 10 * SECOND;
    p->beacon_quick_for_ns = 3 * SECOND;
    p->beacon_often_for_ns = 60 * SECOND;
    p->lifeguard = true;
}
