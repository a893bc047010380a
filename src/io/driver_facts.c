/* SPDX-License-Identifier: MPL-2.0 */
/* What handlers of operations may know of this process: see driver.h and ops/ops_facts.h. */
#define _GNU_SOURCE
#include "io/driver_priv.h"

#include "io/netif.h"
#include "io/paths.h"

#define LIMIT(constant, unit, help) {#constant, (constant), (unit), (help)}

/* Tables read best with one entry a line. */
/* clang-format off */
static const struct fact_limit limits[] = {
    LIMIT(NETIF_MAX, "addresses", "of this machine's interfaces that are looked at"),
    LIMIT(RESOLVE_TARGETS_MAX, "names", "given with --join"),
    LIMIT(RESOLVE_ADDRS_MAX, "addresses", "tried of one such name"),
    LIMIT(KEYS_RING_MAX, "keys", "on the key ring"),
    LIMIT(TOKEN_ADDRS_MAX, "addresses", "in a token"),
    LIMIT(PATHS_SOCKET_BYTES_MAX, "bytes", "of the local socket's path"),
    LIMIT(PATHS_NODES_MAX, "nodes", "of one user on one machine that meshctl lists"),
    LIMIT(LOCAL_CALLS_MAX, "operations", "asked by local clients and not answered yet"),
    LIMIT(STORE_BATCHES_MAX, "batches", "on their way to the disk; then it is too slow"),
    LIMIT(STORE_KEY_BYTES_MAX, "bytes", "of a stored key"),
    LIMIT(TCPPROBES_MAX, "connects", "tried at once to learn whether a process is gone"),
    LIMIT(UDP_SOCKETS_MAX, "sockets", "for sealed datagrams"),
    LIMIT(DRIVER_BACKLOG_MAX, "events", "caused by one step"),
    LIMIT(LOG_LINE_BYTES_MAX, "bytes", "of a log line"),
};
/* clang-format on */

const struct fact_limit *driver_limits(size_t *ret_count)
{
    *ret_count = sizeof limits / sizeof limits[0];
    return limits;
}

bool driver_peer(const driver_t *d, size_t idx, struct fact_peer *ret_peer)
{
    return zre_peer_at(d->zre, idx, ret_peer);
}
