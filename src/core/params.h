/* SPDX-License-Identifier: MPL-2.0 */
/* The numbers that SWIM and Lifeguard leave open, and the test-only switches that break the core so
 * that the simulator can show that it notices. */
#ifndef HM_CORE_PARAMS_H
#define HM_CORE_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

/* Ways to break the core, one bit each (meshsim --break). Never set by the daemon. */
enum core_break {
    BREAK_NO_REFUTATION = 1 << 0,    /* a suspected node keeps silent */
    BREAK_ICMP_VERDICT = 1 << 1,     /* one port-unreachable is a verdict */
    BREAK_STALE_INCARNATION = 1 << 2, /* full exchange revives at an old incarnation */
    BREAK_NO_REPLAY_CHECK = 1 << 3,  /* old datagrams are taken again */
    BREAK_NO_VERIFY = 1 << 4,        /* records are not verified */
    BREAK_SINGLE_OBSERVER = 1 << 5,  /* anybody's verdict is believed */
    BREAK_NO_RETRY_FAILED = 1 << 6,  /* failed members are never probed again */
    BREAK_NO_INCARNATION_STORE = 1 << 7, /* a restart begins at incarnation 1 and never catches up */
    BREAK_NO_ISOLATION = 1 << 8,     /* a node that nobody answers spreads its doubts */
    BREAK_NO_HELD_UP = 1 << 9,       /* who was held up judges others by what it did not hear */
    BREAK_PLAIN_SUSPICION = 1 << 10, /* who heard of a suspicion judges by the time alone */
    BREAK_LONG_SUSPICION = 1 << 11,  /* it grows with the mesh: 5 s at least, 10 s with 100 members */
};

struct core_params {
    uint64_t probe_interval_ns;   /* SWIM's protocol period T' */
    uint64_t probe_timeout_ns;    /* without an ack for so long: helpers are asked */
    uint64_t probe_fail_ns;       /* without any answer for so long: the probe has failed */
    unsigned indirect_probes;     /* SWIM's k */
    uint64_t suspicion_min_ns;    /* from suspicion to verdict when enough others confirm it */
    unsigned suspicion_max_mult;  /* times the minimum, when nobody does (Lifeguard) */
    unsigned suspicion_confirms;  /* Lifeguard's K: independent confirmations to reach the minimum */
    uint64_t suspect_probe_ns;    /* observers re-probe a suspect so often */
    unsigned health_max;          /* Lifeguard's S: local health multiplier at most S + 1 */
    uint64_t gossip_interval_ns;  /* while there is something to gossip */
    unsigned gossip_fanout;
    unsigned gossip_mult;         /* transmissions per update: mult * ceil(log10(n + 1)) */
    uint64_t refused_recheck_ns;  /* second connect after a refused one */
    uint64_t sync_delay_ns;       /* views differ for so long: full exchange */
    uint64_t failed_probe_ns;     /* one failed member is probed so often */
    unsigned remembered_at_once;  /* members of the last run that a start asks, and then as many */
    uint64_t remembered_next_ns;  /* so long after; each answers with a challenge, of which we take 200/s */
    uint64_t beacon_quick_ns, beacon_often_ns, beacon_idle_ns;
    uint64_t beacon_quick_for_ns, beacon_often_for_ns;
    bool lifeguard;               /* off: fixed suspicion timeout, no local health (experiments) */
    bool next_version;            /* test: as a node of the next protocol version might be */
    unsigned broken;              /* enum core_break bits */
    unsigned broken_registry;     /* enum registry_break bits, likewise */
};

/* The defaults; docs/protocol/swim.md tells why each. */
void core_params_default(struct core_params *ret_params);

#endif
