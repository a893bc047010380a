/* SPDX-License-Identifier: MPL-2.0 */
/* What enters the core. Payloads are borrowed for the step; the core copies what it keeps. */
#ifndef HM_CORE_EVENT_H
#define HM_CORE_EVENT_H

#include "base/addr.h"
#include "base/node_id.h"
#include "base/span.h"
#include "wire/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum event_type {
    EV_TICK,         /* time has come to core_deadline_ns */
    EV_LOADED,       /* stored state, once, first of all: starts the core */
    EV_DATAGRAM,     /* an opened datagram */
    EV_UNREACHABLE,  /* ICMP port-unreachable for an address we sent to */
    EV_LINK_UP,      /* a link (dialled or accepted) is authenticated and both ways open */
    EV_LINK_DOWN,    /* it ended */
    EV_CONNECT,      /* outcome of FX_CONNECT */
    EV_FRAME,        /* a frame on a link */
    EV_SEND_REFUSED, /* a frame was refused: the link is full or gone */
    EV_CANDIDATE,    /* an address heard of, to try */
    EV_FOREIGN_KEY,  /* someone uses our mesh's name with another key */
    EV_ADDRESSES,    /* this machine's addresses, at the start and when they change */
    EV_STALLED,      /* the loop was held up: we were deaf for so long */
    EV_CALL,         /* an operation asked by a local client */
    EV_CALL_GONE,    /* that client went away: forget what it waits for */
    EV_DURABLE,      /* batches up to n are committed and synced */
    EV_STORE_DAMAGED, /* records of the store do not read: what it holds has to be looked at */
    EV_BATCH_FAILED, /* batch n and all after it are not */
    EV_LABELS,       /* this node's labels from now on: its configuration was read again */
    EV_SERVICES,      /* what the files in services.d say from now on */
    EV_SHUTDOWN,     /* leave, then FX_STOP */
};

enum candidate_source {
    CANDIDATE_BEACON,         /* ZRE beacon: unauthenticated */
    CANDIDATE_ZRE,            /* ZRE HELLO: unauthenticated */
    CANDIDATE_JOIN,           /* --join, a token, DNS: the user said so */
    CANDIDATE_UNKNOWN_SENDER, /* a pair-sealed datagram of somebody we do not know */
};

enum connect_outcome { CONNECT_OPEN, CONNECT_REFUSED, CONNECT_SILENT };

/* Tables of the store; values are on disk and never reused. */
enum store_table {
    STORE_SELF = 1,   /* this node: incarnation, boot epoch, event numbers */
    STORE_ROSTER = 2, /* the members, one entry each */
    STORE_VECTOR = 3, /* the registry's vector, one entry an origin, and its totals */
    STORE_ENTRIES = 4, /* the registry; not loaded at the start, read through the view */
    STORE_DOTS = 5,   /* by dot: where in STORE_ENTRIES; not loaded either */
    STORE_MARKS = 6,  /* the same of deletion marks only */
};

struct store_entry {
    enum store_table table;
    struct span key;
    struct span value; /* data NULL: delete */
};

struct label; /* core.h */

struct event {
    enum event_type type;
    uint64_t now_ns;  /* boot clock (CLOCK_BOOTTIME): sleep shows as a jump; never runs backwards */
    uint64_t wall_ms; /* wall clock, for display only; decides nothing */
    union {
        struct {
            const struct store_entry *entries;
            size_t count;
        } loaded;
        struct {
            struct addr from;
            bool by_mail; /* in a ZRE WHISPER: from is the peer's mailbox, answers go there */
            enum datagram_class cls;
            struct node_id sender; /* proven for DATAGRAM_PAIR, claimed for DATAGRAM_MESH */
            uint64_t session;
            uint64_t counter;
            struct span body; /* opened */
        } datagram;
        struct {
            struct addr to; /* the quoted address and port, not the sender of the report */
        } unreachable;
        struct {
            struct node_id peer; /* proven by CURVE and ZAP */
        } link; /* EV_LINK_UP, EV_LINK_DOWN, EV_SEND_REFUSED */
        struct {
            struct node_id peer; /* as given to FX_CONNECT */
            uint64_t token;
            enum connect_outcome outcome;
        } connect;
        struct {
            struct node_id peer; /* proven by CURVE and ZAP */
            uint8_t type;        /* enum frame_type, or unknown */
            struct span body;
        } frame;
        struct {
            struct addr addr;
            struct node_id id; /* zero: not known */
            enum candidate_source source;
        } candidate;
        struct {
            struct addr addr;
            struct node_id id; /* claimed */
        } foreign;
        struct {
            const struct addr *addrs; /* best first; ports are ignored */
            size_t count;
        } addresses;
        struct {
            const struct label *labels; /* all of them; as bounded as those of core_conf */
            size_t count;
        } labels;
        struct {
            struct span wanted; /* a msgpack bin for each service, as svc_write makes it, source file */
            struct span kept;   /* a str for each file that cannot be read now: what it said stays */
        } services;
        struct {
            uint64_t ms;
        } stalled;
        struct {
            uint64_t client; /* the driver's name for who asks; goes back in FX_REPLY */
            struct span request;
        } call;
        struct {
            uint64_t batch;
            int reason; /* HM_E*, EV_BATCH_FAILED only */
        } store;
    } as;
};

#endif
