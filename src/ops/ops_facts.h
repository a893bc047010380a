/* SPDX-License-Identifier: MPL-2.0 */
/* What only the driver knows of this machine and process, as plain data for handlers: they are pure
 * and cannot look themselves. The driver fills it when it is asked; nothing in it changes what the
 * core decides. */
#ifndef HM_OPS_OPS_FACTS_H
#define HM_OPS_OPS_FACTS_H

#include "base/addr.h"
#include "base/limits.h"
#include "base/node_id.h"
#include "base/span.h"
#include "wire/zre_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A bound of some part above the pure layers. */
struct fact_limit {
    const char *name; /* of the constant */
    uint64_t value;
    const char *unit;
    const char *help;
};
#define FACT_LIMIT(constant, unit, help) {#constant, (constant), (unit), (help)}

/* A Zyre program that said HELLO. Texts are as it sent them: unproven, any bytes. */
struct fact_peer {
    struct node_id id;
    struct addr addr;
    struct span name;
    struct zre_list groups;
    struct zre_list headers;
    bool is_cut; /* it has more of both than is kept */
    uint64_t since_ago_ns;
    uint64_t heard_ago_ns;
};

#define FACT_NETIFS_MAX 64
#define FACT_FORMER_MAX 8
#define FACT_TEXT_BYTES 192
#define FACT_LONG_BYTES 400
#define FACT_NAME_BYTES 16

/* An interface of this machine, or one address of it. */
struct fact_netif {
    char name[FACT_NAME_BYTES];
    struct addr addr;      /* none: not used */
    struct addr beacon_to; /* none: no beacons go out here */
    bool is_used;
    bool is_loopback;
    bool has_carrier; /* cable in, Wi-Fi associated */
    unsigned mtu;     /* 0: not known */
    char why[FACT_TEXT_BYTES];
};

/* A beacon of somebody else. */
struct fact_beacon {
    struct node_id id;
    struct addr addr;
    char netif[FACT_NAME_BYTES]; /* on which it came in; "": not known */
    uint64_t ago_ns;
    uint64_t first_ago_ns; /* since the first of those that came without a long gap */
    bool said_hello;       /* its sender greeted us in ZRE, within the last half minute */
};

/* A file with a secret. */
struct fact_secret {
    char path[FACT_TEXT_BYTES]; /* "": not told */
    char owner[64];
    unsigned mode;
    bool is_gone;    /* nothing is there now: the rest is not known */
    bool is_exposed; /* others may read or write it */
    bool is_foreign; /* it belongs to another user than the one that runs meshd */
    uint64_t age_s;
};

/* What is measured for `meshctl doctor`, and what this process stands on. */
/* How full a bounded table of the driver is. */
struct fact_gauge {
    const char *name; /* mesh_x; its limit is shown as mesh_x_limit */
    const char *help;
    uint64_t value;
    uint64_t limit; /* 0: it is not bounded */
};
#define FACT_GAUGES_MAX 8

struct facts {
    struct fact_netif netifs[FACT_NETIFS_MAX];
    size_t netif_count;
    struct addr former[FACT_FORMER_MAX]; /* addresses that it had until a moment ago */
    size_t former_count;
    struct fact_beacon beacons[HM_BEACONS_HEARD_MAX];
    size_t beacon_count;
    bool is_flooded; /* by beacons, these seconds */
    char deaf[FACT_TEXT_BYTES]; /* why no beacon can be heard; "": they can */
    struct addr bound;          /* of the sealed UDP port */
    uint16_t default_port;
    bool is_port_asked; /* the user named it, so it was not the first free one */
    uint16_t link_port;
    struct addr join; /* which this node was told to join, the first that is not its own; none: it was not */
    uint64_t join_ago_ns; /* since that was tried first */
    bool has_joins;       /* there are more */
    struct fact_secret ring;
    struct fact_secret identity;
    size_t key_count;
    char data_dir[FACT_TEXT_BYTES];
    bool is_sync_measured;
    uint64_t sync_pending_ns;         /* a measurement has been under way for so long; 0: none is */
    uint64_t sync_ns;                 /* how long writing and syncing a small file took */
    char sync_error[FACT_TEXT_BYTES]; /* why it could not be written; "": it could */
    char libraries[FACT_TEXT_BYTES];
    char config_error[FACT_LONG_BYTES]; /* of the file read last; "": none */
    char services_error[FACT_LONG_BYTES]; /* of a file in services.d; "": none */
    char store_moved[FACT_LONG_BYTES];  /* how the store was found damaged at the start; "": it was not */
    uint64_t descriptors;
    uint64_t descriptors_max;
};

#endif
