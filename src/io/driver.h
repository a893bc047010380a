/* SPDX-License-Identifier: MPL-2.0 */
/* Drives the core in the daemon: bytes to events, effects to system calls, no policy of its own.
 * Owns the loop and everything on it. One thread, except inside store and resolver. */
#ifndef HM_IO_DRIVER_H
#define HM_IO_DRIVER_H

#include "base/addr.h"
#include "core/core.h"
#include "io/keys.h"
#include "io/log.h"
#include "io/netif.h"
#include "io/reactor.h"
#include "io/store.h"
#include "io/why.h"
#include "ops/ops_facts.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct driver driver_t;

#define DRIVER_PORT_DEFAULT 8471 /* protocols.md; taken by another node: the next free one */

struct driver_conf {
    const char *mesh;
    const char *name; /* a DNS label */
    bool name_given;  /* it wins over one that `nodes rename` stored */
    const char *version;
    bool is_founder;          /* the mesh's key was made just now, here */
    const char *socket_path;  /* of the local API; at most 107 bytes */
    store_t *store;           /* open (after store_check); taken when driver_new succeeds */
    keys_t *keys;             /* borrowed: identity and key ring */
    log_t *log;               /* borrowed */
    struct netif_wish netif;  /* bind's port 0: default, gives way to others */
    uint16_t beacon_port;     /* 0: ZRE's */
    const char *const *joins; /* HOST[:PORT], also those of a token */
    size_t join_count;
    const struct label *labels;
    size_t label_count;
    const struct call_handler *calls; /* operations; borrowed */
};

/* Loads the store, binds the sockets, makes the core. HM_EBUSY: a port asked for is in use;
 * HM_EINVAL: the address is not of this machine; HM_EDENIED; HM_EIO; HM_ENOMEM; why says it in
 * words. */
int driver_new(const struct driver_conf *conf, driver_t **ret_driver, struct why *why);
/* Closes everything, also when half-built. */
void driver_destroy(driver_t **p);

/* Runs until the core says stop; returns its exit code. */
int driver_run(driver_t *d);

/* Leave the mesh and stop: driver_run returns within a second. A second call stops at once. */
void driver_shutdown(driver_t *d);

/* Where others find this node, best first, with the sealed port; returns how many (at most max). */
size_t driver_addresses(const driver_t *d, struct addr *ret_addrs, size_t max);

/* How full its tables are; how many were written. */
size_t driver_gauges(const driver_t *driver, struct fact_gauge ret[FACT_GAUGES_MAX]);
/* For handlers of operations (struct ops_env): Zyre programs, false behind the last; and the bounds
 * of the parts that the driver owns. */
bool driver_peer(const driver_t *d, size_t idx, struct fact_peer *ret_peer);
const struct fact_limit *driver_limits(size_t *ret_count);
/* Adds what the driver knows to zeroed facts. */
void driver_facts(const driver_t *d, struct facts *facts);
/* How the store is; and its works: as store_work, but HM_EINVAL for a kind that is none. */
void driver_store(driver_t *d, struct store_condition *ret);
int driver_store_work(driver_t *d, enum store_work_kind kind, uint64_t *ret_number);
/* Begins to measure the disk. */
void driver_measure(driver_t *d);

/* The labels and the addresses to join from now on, instead of those in driver_conf. HM_EINVAL,
 * HM_EIO, HM_ENOMEM: the old ones stay. */
void driver_set_labels(driver_t *d, const struct label *labels, size_t count);
int driver_set_joins(driver_t *d, const char *const *joins, size_t count, struct why *why);

/* What the files in services.d say from now on: as in EV_SERVICES. */
void driver_set_services(driver_t *d, struct span wanted, struct span kept);

/* `changed` is called when members may have changed, once per turn of the loop; driver_status then
 * says how things are. */
void driver_on_members(driver_t *d, void (*changed)(void *ctx), void *ctx);
void driver_status(const driver_t *d, struct core_status *ret_status);

/* A timer of the caller's on the loop, as in io/reactor.h. HM_ENOMEM. */
int driver_arm(driver_t *d, struct reactor_timer *timer, uint64_t at_ns);
void driver_disarm(driver_t *d, struct reactor_timer *timer);

/* A descriptor of the caller's on the loop, e.g. a signalfd. `read` as in io/reactor.h. */
int driver_watch_fd(driver_t *d, int fd, bool (*read)(void *ctx), void *ctx);

#endif
