/* SPDX-License-Identifier: MPL-2.0 */
/* A load generator for homemesh and for etcd: the same loop, the same sockets, the same values; only the
 * bytes differ. Neither side's client library is in it, so what is measured is the server.
 *
 *     load_hm.c    the local protocol in ZMTP 3.0, over the Unix socket (docs/protocol/local.md)
 *     load_etcd.c  gRPC (etcd's own v3 protocol) in HTTP/2, over TCP
 *
 * Each connection is a client: it has one request under way, or with --depth several. */
#ifndef HM_BENCH_LOAD_H
#define HM_BENCH_LOAD_H

#include "base/buf.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

#define LOAD_DEPTH_MAX 256

struct load_conn {
    int fd;
    struct buf in;    /* came, and not looked at yet */
    struct buf out;   /* to be sent at once */
    uint64_t asked_ns[LOAD_DEPTH_MAX]; /* of the requests under way, a ring */
    size_t first, under_way;
    bool is_ready;    /* the greeting is over */
    bool is_watching;
    /* of the system */
    struct buf message; /* pieces of one message, or of one stream */
    uint32_t stream;
    uint32_t parts;
    int64_t window;
    char place[64];
    uint32_t answers; /* came, but their streams have not ended yet */
};

/* What the systems tell the loop. Answers are taken to come in the order of the requests. */
void load_answered(struct load_conn *c, bool is_ok, const char *text);
void load_changed(struct span value);
void load_watching(void);
_Noreturn void load_die(const char *format, ...);

struct load_system {
    const char *name;
    int (*open)(const char *where);
    void (*hello)(struct load_conn *c);
    void (*put)(struct load_conn *c, struct span key, struct span value);
    void (*get)(struct load_conn *c, struct span key);
    void (*watch)(struct load_conn *c, struct span prefix);
    /* Looks at c->in. Returns how much of it is done with; answers may be put into c->out. */
    size_t (*read)(struct load_conn *c);
};

extern const struct load_system load_hm, load_etcd;

#endif
