/* SPDX-License-Identifier: MPL-2.0 */
/* The driver's insides, shared by its files: driver.c (its life), driver_in.c (the world to
 * events), driver_fx.c (effects to the world), driver_net.c (interfaces). Nobody else includes this. */
#ifndef HM_IO_DRIVER_PRIV_H
#define HM_IO_DRIVER_PRIV_H

#include "base/buf.h"
#include "base/metrics.h"
#include "io/beacon.h"
#include "io/driver.h"
#include "io/heard.h"
#include "io/links.h"
#include "io/local_api.h"
#include "io/netif.h"
#include "io/reactor.h"
#include "io/resolve.h"
#include "io/seal.h"
#include "io/tcpprobe.h"
#include "io/udp.h"
#include "io/zre.h"

/* What an effect caused at once, told to the core when the step's effects are all carried out: at
 * most one per effect. */
#define DRIVER_BACKLOG_MAX 1024

struct driver {
    log_t *log;
    keys_t *keys;
    struct netif_wish wish;
    struct addr advertise; /* our best address, with P */
    uint16_t link_port;
    struct metrics metrics;
    reactor_t *reactor;
    void *zmq_ctx;
    store_t *store;
    seal_t *seal;
    udp_t *udp;
    links_t *links;
    uint8_t *curve_secret; /* sodium_malloc */
    tcpprobes_t *probes;
    beacon_t *beacon;
    zre_t *zre;
    local_api_t *api;
    resolve_t *resolve; /* NULL: nothing to resolve */
    struct joining {
        struct addr to;    /* the first address that was told and is not ours; none: none was */
        uint64_t since_ns; /* tried since then */
        bool has_more;
        bool is_logged;
    } joining;
    int netif_fd;       /* -1: changes of addresses are not seen */
    struct netif_list netifs;
    struct former {
        struct addr addr;
        uint64_t lost_ns; /* 0: free */
    } former[FACT_FORMER_MAX]; /* addresses that were ours; the oldest gives way */
    struct heard heard; /* beacons of others */
    struct store_measure measured; /* the last time that the disk was tried */
    bool is_measured;
    uint64_t damaged_told; /* damaged records that the core has been told of */
    core_t *core;
    struct buf sealed; /* a datagram on its way out */
    struct buf opened; /* the body of one that came in; lives through the step */
    struct event backlog[DRIVER_BACKLOG_MAX];
    size_t backlog_count;
    void (*members_changed)(void *ctx); /* NULL: nobody asked */
    void *members_ctx;
    bool members_stale; /* told at the turn's end */
    bool stepping;
    bool store_failed; /* its last report */
    bool store_spoke; /* the store may have a report although its descriptor is still */
    bool stopped;
    int exit_code;
    uint64_t stop_by_ns; /* TIMER_NEVER until a shutdown was asked for */
};

/* Hands one event to the core and carries out what it decides. Sets the event's times. */
void driver_step(driver_t *d, struct event *ev);
/* A resolver for these --join texts. HM_EINVAL, HM_EIO, HM_ENOMEM. */
int driver_resolve(const char *const *joins, size_t join_count, resolve_t **ret_resolve,
                   struct why *why);
/* From within an effect: told to the core afterwards. */
void driver_later(driver_t *d, const struct event *ev);
/* driver_fx.c */
void driver_effect(driver_t *d, const struct effect *fx);

/* driver_in.c: readers and handlers of each source. */
void driver_on_datagram(void *ctx, const struct addr *from, struct span bytes);
void driver_on_unreachable(void *ctx, const struct addr *to);
void driver_on_link_up(void *ctx, const struct node_id *peer);
void driver_on_link_down(void *ctx, const struct node_id *peer);
void driver_on_frame(void *ctx, const struct node_id *peer, uint8_t type, struct span body);
void driver_on_bad_frame(void *ctx, const struct node_id *peer, int why);
void driver_on_cut(void *ctx, const struct node_id *peer, const struct addr *from);
void driver_on_connect(void *ctx, const struct node_id *peer, uint64_t token,
                       enum connect_outcome outcome);
void driver_on_zre(void *ctx, const struct addr *at, const struct node_id *id);
void driver_on_whisper(void *ctx, const struct addr *from, struct span content);
void driver_on_stall(void *ctx, uint64_t ms);
bool driver_read_store(void *ctx);
bool driver_read_beacon(void *ctx);
void driver_on_call(void *ctx, uint64_t client, struct span request);
void driver_on_call_gone(void *ctx, uint64_t client);
bool driver_read_resolve(void *ctx);

/* driver_net.c */
int driver_read_interfaces(driver_t *d, struct why *why);
/* Says what a user may have expected to be otherwise. */
void driver_log_interfaces(const driver_t *d);
/* Tells sockets, beacon and core of the interfaces as they were last listed. */
void driver_tell_addresses(driver_t *d);
bool driver_read_netif(void *ctx);
/* A datagram of the mesh came in on this interface. */
void driver_heard_on(driver_t *d, unsigned index);

#endif
