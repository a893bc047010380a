/* SPDX-License-Identifier: MPL-2.0 */
/* SRV records (RFC 2782): where a service is, by host and port. srv_query blocks as long as DNS does,
 * so it is the resolver thread's; srv_read is pure. */
#ifndef HM_IO_SRV_H
#define HM_IO_SRV_H

#include "base/span.h"

#include <stddef.h>
#include <stdint.h>

#define SRV_MAX 32         /* records of one name; further ones are ignored */
#define SRV_HOST_BYTES 256 /* a DNS name has at most 253 bytes */

struct srv {
    uint16_t priority; /* lower first */
    uint16_t weight;   /* among equals, higher first: all are tried, so the order is all it says */
    uint16_t port;
    char host[SRV_HOST_BYTES];
};

/* Reads a DNS answer; records in the order in which to try them. Names that are no host names (RFC
 * 952 letters, digits, '-', '_', '.') are left out, and so is ".", which says that there is no such
 * service. HM_EMALFORMED; HM_ENOTFOUND: none left. */
int srv_read(struct span answer, struct srv ret_srv[SRV_MAX], size_t *ret_count);

/* Asks the system's DNS servers. HM_ENOTFOUND: the name has no such records; HM_EMALFORMED: an answer
 * that cannot be read; HM_EUNREACHABLE: no server answers, try again later. */
int srv_query(const char *name, struct srv ret_srv[SRV_MAX], size_t *ret_count);

#endif
