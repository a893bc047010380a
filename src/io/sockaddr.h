/* SPDX-License-Identifier: MPL-2.0 */
/* Between struct addr and the system's socket addresses. Any thread. */
#ifndef HM_IO_SOCKADDR_H
#define HM_IO_SOCKADDR_H

#include "base/addr.h"

#include <stdbool.h>
#include <sys/socket.h>

/* Returns the length used; 0 for an address of no family. */
socklen_t sockaddr_of_addr(const struct addr *a, struct sockaddr_storage *ret_sa);
/* False for a family that is neither IPv4 nor IPv6. An IPv4-mapped IPv6 address becomes IPv4. */
bool addr_of_sockaddr(const struct sockaddr *sa, struct addr *ret_addr);
/* As addr_parse, and a link-local address may name its interface: "fe80::1%eth0", "[fe80::1%3]:80".
 * ret_zone gets the name, "" without one; nothing is looked up. HM_EMALFORMED. */
#define SOCKADDR_ZONE_BYTES 16 /* IFNAMSIZ */
int addr_parse_zone(const char *text, uint16_t default_port, struct addr *ret_addr,
                    char ret_zone[SOCKADDR_ZONE_BYTES]);
/* The index of the interface of that name or number; 0 if there is none (now). */
unsigned zone_index(const char *zone);
/* What a failed bind means: HM_EBUSY, HM_EINVAL (not of this machine), HM_EDENIED, HM_EIO. */
int bind_error(int errno_value);

#endif
