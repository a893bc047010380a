/* SPDX-License-Identifier: MPL-2.0 */
/* An IP address and port, comparable and printable, with no system header behind it. */
#ifndef HM_BASE_ADDR_H
#define HM_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDR_TEXT_BYTES 64 /* "[ffff:…:ffff%4294967295]:65535" and the NUL */

/* family 0 is "none". ip holds 4 bytes (rest zero) or 16. scope is the interface index of an IPv6
 * link-local address on this machine, 0 otherwise; it never travels. */
struct addr {
    uint8_t family; /* 0, 4 or 6 */
    uint8_t ip[16];
    uint16_t port;
    uint32_t scope;
};

/* Total order: family, ip, port, scope. */
int addr_cmp(const struct addr *a, const struct addr *b);
bool addr_eq(const struct addr *a, const struct addr *b);
/* Same host, whatever the port. */
bool addr_same_ip(const struct addr *a, const struct addr *b);
bool addr_is_loopback(const struct addr *a);
/* Same host and port, whatever the scope: what a record, which carries none, means by it. */
bool addr_same_place(const struct addr *a, const struct addr *b);
/* None, or all bits of the IP zero. */
bool addr_is_any(const struct addr *a);
/* IPv6 link-local: it says where only together with a scope. */
bool addr_is_link_local(const struct addr *a);
bool addr_is_none(const struct addr *a);

/* Makes an IPv4 address; a.b.c.d in host order of bytes. */
struct addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port);

/* Writes "1.2.3.4:8471" or "[fe80::1]:8471" (RFC 5952 form); "-" for none. Returns text. */
const char *addr_format(const struct addr *a, char text[ADDR_TEXT_BYTES]);
/* The same without port and brackets. */
const char *addr_format_ip(const struct addr *a, char text[ADDR_TEXT_BYTES]);

/* Reads a numeric "1.2.3.4", "1.2.3.4:80", "::1", "[::1]" or "[::1]:80"; without a port,
 * default_port is taken. HM_EMALFORMED for anything else, host names included. */
int addr_parse(const char *text, uint16_t default_port, struct addr *ret_addr);

#endif
