/* SPDX-License-Identifier: MPL-2.0 */
/* A core that only answers queries, from tables that a test fills in. It stands in for
 * src/core/query.c, core_knock and core_leave, whose objects are then not taken from the library. */
#ifndef HM_TESTS_UNIT_OPS_FAKE_CORE_H
#define HM_TESTS_UNIT_OPS_FAKE_CORE_H

#include "../unit.h"

#include "../core/replica.h"
#include "core/core.h"
#include "core/service.h"

struct core {
    struct member_view *members; /* sorted by id */
    size_t member_count;
    struct removal_view *removals;
    size_t removal_count;
    struct member_event *events; /* sorted by seq */
    size_t event_count;
    uint64_t last_seq;
    struct core_status status;
    struct metrics metrics;
    uint64_t wall_ms;
    uint64_t samples_ns[4];
    size_t sample_count;
    uint64_t estimate_ns;
    unsigned leaves;
    unsigned knocks;
    struct replica replica; /* the registry, of node a */
    bool is_starting;       /* its incarnation is not on disk yet */
    bool is_slow;           /* writes wait until replica_commit or replica_fail */
    struct core_registry_status registry_status; /* is_syncing, divergent_ns, and bytes of it if not 0 */
    bool is_later;          /* the others hold entries of a later format */
    int write_code;         /* what writing fails with */
    uint64_t others;        /* lives of b that wrote */
    const struct service_view *services; /* as core_service_next hands them out */
    size_t service_count;
    int service_code;       /* what registering, deregistering and checking answer */
    struct svc said;        /* what was registered last, or the id and health of a check; borrowed */
};

/* Node b has written this without knowing of anything here. */
void fake_core_other(core_t *c, const char *key, const char *value);

/* Three members (a alive and itself, b failed, c suspect), two events, one key with two values, fixed
 * times. Owns nothing
 * that must be freed; valid until the next call. */
core_t *fake_core_small(void);

#endif
