/* SPDX-License-Identifier: MPL-2.0 */
/* What handlers of operations may know of this process: see driver.h and ops/ops_facts.h. */
#define _GNU_SOURCE
#include "io/driver_priv.h"

#include "base/err.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/conf.h"
#include "io/facts.h"
#include "io/netif.h"
#include "io/paths.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define FORMER_TOLD_NS 30000000000u /* meshctl looks at the beacons of the last 15 s */
#define FLOODED_SHOWN_NS 15000000000u

/* Tables read best with one entry a line. */
/* clang-format off */
static const struct fact_limit limits[] = {
    FACT_LIMIT(NETIF_MAX, "addresses", "of this machine's interfaces that are looked at"),
    FACT_LIMIT(CONF_JOIN_MAX, "addresses", "given with --join"),
    FACT_LIMIT(RESOLVE_TARGETS_MAX, "names", "tried for --join and a token"),
    FACT_LIMIT(RESOLVE_ADDRS_MAX, "addresses", "tried of one such name"),
    FACT_LIMIT(KEYS_RING_MAX, "keys", "on the key ring"),
    FACT_LIMIT(TOKEN_ADDRS_MAX, "addresses", "in a token"),
    FACT_LIMIT(PATHS_SOCKET_BYTES_MAX, "bytes", "of the local socket's path"),
    FACT_LIMIT(PATHS_NODES_MAX, "nodes", "of one user on one machine that meshctl lists"),
    FACT_LIMIT(LOCAL_CALLS_MAX, "operations", "asked by local clients and not answered yet"),
    FACT_LIMIT(STORE_BATCHES_MAX, "batches", "on their way to the disk; then it is too slow"),
    FACT_LIMIT(STORE_BYTES_MAX, "bytes", "of these; the same"),
    FACT_LIMIT(STORE_KEY_BYTES_MAX, "bytes", "of a stored key"),
    FACT_LIMIT(TCPPROBES_MAX, "connects", "tried at once to learn whether a process is gone"),
    FACT_LIMIT(UDP_SOCKETS_MAX, "sockets", "for sealed datagrams"),
    FACT_LIMIT(DRIVER_BACKLOG_MAX, "events", "caused by one step"),
    FACT_LIMIT(LOG_RING_BYTES, "bytes", "of log lines that nobody reads; then they are lost"),
    FACT_LIMIT(LOG_LINE_BYTES_MAX, "bytes", "of a log line"),
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

size_t driver_gauges(const driver_t *d, struct fact_gauge ret[FACT_GAUGES_MAX])
{
    size_t n = 0;
    ret[n++] = (struct fact_gauge){"mesh_store_batches", "Batches on their way to the disk",
                                   store_outstanding(d->store), STORE_BATCHES_MAX};
    ret[n++] = (struct fact_gauge){"mesh_store_written_today_bytes",
                                   "Bytes written to the store's files since midnight UTC",
                                   store_today_bytes(d->store), 0};
    ret[n++] = (struct fact_gauge){"mesh_store_full", "1 while the disk has no room for the store",
                                   store_is_full(d->store) ? 1 : 0, 0};
    ret[n++] = (struct fact_gauge){"mesh_local_calls",
                                   "Operations asked by local clients and not answered yet",
                                   local_api_waiting(d->api), LOCAL_CALLS_MAX};
    ret[n++] = (struct fact_gauge){"mesh_zre_peers", "Zyre programs talked to",
                                   zre_peer_count(d->zre), HM_ZRE_PEERS_MAX};
    return n;
}

/* ---- for doctor ------------------------------------------------------------------------------ */

static struct fact_netif *add_netif(struct facts *facts, const struct netif_look *look)
{
    if (facts->netif_count == FACT_NETIFS_MAX) {
        return NULL;
    }
    struct fact_netif *fact = &facts->netifs[facts->netif_count++];
    text_copy(fact->name, sizeof fact->name, look->name);
    text_copy(fact->why, sizeof fact->why, netif_why_text(look->why));
    fact->is_used = netif_is_used(look->why);
    fact->has_carrier = look->has_carrier;
    return fact;
}

/* One line per address in use, one per interface that is not. */
static void netif_facts(const driver_t *d, struct facts *facts)
{
    for (size_t k = 0; k < d->netifs.look_count; k++) {
        const struct netif_look *look = &d->netifs.looks[k];
        if (!netif_is_used(look->why)) {
            add_netif(facts, look);
        }
        for (size_t i = 0; netif_is_used(look->why) && i < d->netifs.count; i++) {
            const struct netif *n = &d->netifs.items[i];
            struct fact_netif *fact = n->index == look->index ? add_netif(facts, look) : NULL;
            if (fact != NULL) {
                fact->addr = n->addr;
                fact->beacon_to = n->beacon_to;
                fact->is_loopback = n->is_loopback;
                fact->mtu = facts_mtu(n->name);
            }
        }
    }
}

static void former_facts(const driver_t *d, struct facts *facts)
{
    uint64_t now_ns = clock_boot_ns();
    for (size_t i = 0; i < FACT_FORMER_MAX; i++) {
        const struct former *f = &d->former[i];
        if (f->lost_ns != 0 && now_ns - f->lost_ns < FORMER_TOLD_NS) {
            facts->former[facts->former_count++] = f->addr;
        }
    }
}

static void beacon_facts(const driver_t *d, struct facts *facts)
{
    uint64_t now_ns = clock_boot_ns();
    for (size_t i = 0; i < d->heard.count; i++) {
        const struct heard_beacon *beacon = &d->heard.items[i];
        struct fact_beacon *fact = &facts->beacons[facts->beacon_count++];
        char name[IF_NAMESIZE] = "";
        fact->id = beacon->id;
        fact->addr = beacon->addr;
        fact->ago_ns = now_ns - beacon->at_ns;
        fact->first_ago_ns = now_ns - beacon->first_ns;
        fact->said_hello = zre_has_hello(d->zre, &beacon->id);
        if (beacon->index != 0 && if_indextoname(beacon->index, name) != NULL) {
            text_copy(fact->netif, sizeof fact->netif, name);
        }
    }
    facts->is_flooded =
        d->heard.flooded_ns != 0 && now_ns - d->heard.flooded_ns < FLOODED_SHOWN_NS;
    if (beacon_problem(d->beacon) != NULL) {
        text_copy(facts->deaf, sizeof facts->deaf, beacon_problem(d->beacon));
    }
}

static void disk_facts(const driver_t *d, struct facts *facts)
{
    facts->is_sync_measured = d->is_measured;
    facts->sync_ns = d->measured.sync_ns;
    uint64_t since_ns = store_measuring_since(d->store);
    facts->sync_pending_ns = since_ns != 0 ? clock_boot_ns() - since_ns : 0;
    if (d->measured.error != 0) {
        text_copy(facts->sync_error, sizeof facts->sync_error, strerror(d->measured.error));
    }
}

void driver_facts(const driver_t *d, struct facts *facts)
{
    netif_facts(d, facts);
    former_facts(d, facts);
    beacon_facts(d, facts);
    disk_facts(d, facts);
    facts->bound = d->wish.bind;
    facts->bound.port = d->advertise.port;
    facts->default_port = DRIVER_PORT_DEFAULT;
    facts->is_port_asked = d->wish.bind.port != 0;
    facts->link_port = d->link_port;
    facts->join = d->joining.to;
    facts->has_joins = d->joining.has_more;
    facts->join_ago_ns = clock_boot_ns() - d->joining.since_ns;
    facts->key_count = keys_ring_count(d->keys);
}

void driver_store(driver_t *d, struct store_condition *ret)
{
    store_condition(d->store, ret);
}

int driver_store_work(driver_t *d, enum store_work_kind kind, uint64_t *ret_number)
{
    return kind == STORE_WORK_NONE ? HM_EINVAL : store_work(d->store, kind, ret_number);
}

void driver_measure(driver_t *d)
{
    store_measure(d->store);
}
