/* SPDX-License-Identifier: MPL-2.0 */
/* Addresses to join (--join, the token): resolved for ever, in a thread of its own. A name may have
 * several addresses, and dns+srv:NAME several hosts with ports of their own: all are reported.
 *
 * getaddrinfo may block for a minute, so it runs in detached threads that own copies of everything
 * and speak through a socket pair; closing our end ends them, and nobody waits for them. No target
 * waits for another: each name has a thread, and all numeric ones together have one.
 * Each target is reported at once and after 1 s, 2 s, 4 s … 30 s again and again: a machine that is
 * off today may be on tomorrow, and a name may mean another address. Numeric targets are repeated
 * without DNS. */
#ifndef HM_IO_RESOLVE_H
#define HM_IO_RESOLVE_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct resolve resolve_t;

#define RESOLVE_TARGETS_MAX 80 /* all that --join and a token may name; more make no mesh easier to find */
#define RESOLVE_HOST_BYTES 256 /* a DNS name has at most 253 bytes */
#define RESOLVE_ADDRS_MAX 8    /* of one name */

struct resolve_target {
    char host[RESOLVE_HOST_BYTES]; /* a name, or a numeric address without brackets */
    uint16_t port;
    bool is_srv; /* host names SRV records, which say hosts and ports */
};

/* Reads "HOST", "HOST:PORT", "1.2.3.4:5", "::1", "[::1]:5", "[fe80::1%eth0]:5" or "dns+srv:NAME".
 * HM_EMALFORMED. Pure: also for conf. */
int resolve_target_read(const char *text, uint16_t default_port, struct resolve_target *ret_target);

/* Starts; targets are copied. HM_EFULL: too many; HM_EIO with errno; HM_ENOMEM. No targets: HM_OK
 * and *ret_resolve NULL, which all functions below accept. */
int resolve_new(const struct resolve_target *targets, size_t count, resolve_t **ret_resolve);
void resolve_destroy(resolve_t **p);

/* To poll for reading; -1 for NULL. */
int resolve_fd(const resolve_t *resolve);

struct resolve_report {
    struct addr addr;              /* none: the name could not be resolved, error says why */
    char host[RESOLVE_HOST_BYTES]; /* as given */
    char error[128];
};

/* Takes the next report: an address to try (EV_CANDIDATE, CANDIDATE_JOIN), or a failure, which is
 * reported when it begins or changes and not each time. HM_ENOTFOUND: nothing more now. */
int resolve_take(resolve_t *resolve, struct resolve_report *ret_report);

#endif
