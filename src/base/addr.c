/* SPDX-License-Identifier: MPL-2.0 */
/* IP addresses: see addr.h. Parsing and printing are the C library's inet_pton and inet_ntop, which
 * are pure functions of their arguments. */
#include "base/addr.h"

#include "base/err.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

int addr_cmp(const struct addr *a, const struct addr *b)
{
    if (a->family != b->family) {
        return a->family < b->family ? -1 : 1;
    }
    int order = memcmp(a->ip, b->ip, sizeof a->ip);
    if (order != 0) {
        return order;
    }
    if (a->port != b->port) {
        return a->port < b->port ? -1 : 1;
    }
    if (a->scope != b->scope) {
        return a->scope < b->scope ? -1 : 1;
    }
    return 0;
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    return addr_cmp(a, b) == 0;
}

bool addr_same_ip(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool addr_same_place(const struct addr *a, const struct addr *b)
{
    return addr_same_ip(a, b) && a->port == b->port;
}

bool addr_is_any(const struct addr *a)
{
    static const uint8_t zero[16];
    return a->family == 0 || memcmp(a->ip, zero, sizeof zero) == 0;
}

bool addr_is_link_local(const struct addr *a)
{
    return a->family == 6 && a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t v6_loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    if (a->family == 4) {
        return a->ip[0] == 127;
    }
    return a->family == 6 && memcmp(a->ip, v6_loopback, 16) == 0;
}

bool addr_is_none(const struct addr *a)
{
    return a->family == 0;
}

struct addr addr_v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
    struct addr addr = {.family = 4, .ip = {a, b, c, d}, .port = port};
    return addr;
}

const char *addr_format_ip(const struct addr *a, char text[ADDR_TEXT_BYTES])
{
    int family = a->family == 4 ? AF_INET : AF_INET6;
    if (a->family == 0 || inet_ntop(family, a->ip, text, ADDR_TEXT_BYTES) == NULL) {
        text[0] = '-';
        text[1] = '\0';
    }
    return text;
}

const char *addr_format(const struct addr *a, char text[ADDR_TEXT_BYTES])
{
    char ip[ADDR_TEXT_BYTES];
    addr_format_ip(a, ip);
    if (a->family == 0) {
        memcpy(text, "-", 2);
    } else if (a->family == 4) {
        snprintf(text, ADDR_TEXT_BYTES, "%.46s:%u", ip, (unsigned) a->port);
    } else {
        snprintf(text, ADDR_TEXT_BYTES, "[%.46s]:%u", ip, (unsigned) a->port);
    }
    return text;
}

/* Splits text into host and port; a bare IPv6 address has colons of its own and no port. */
static int split_port(const char *text, uint16_t default_port, char *host, size_t host_max,
                      uint16_t *ret_port)
{
    size_t len = strlen(text);
    const char *start = text;
    const char *port = NULL;
    const char *colon = strchr(text, ':');
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return HM_EMALFORMED;
        }
        port = end[1] == ':' ? end + 2 : NULL;
        start = text + 1;
        len = (size_t) (end - start);
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        port = colon + 1;
        len = (size_t) (colon - text);
    }
    uint64_t value = default_port;
    if (port != NULL && text_to_u64(port, 65535, &value) != 0) {
        return HM_EMALFORMED;
    }
    if (len == 0 || len >= host_max) {
        return HM_EMALFORMED;
    }
    memcpy(host, start, len);
    host[len] = '\0';
    *ret_port = (uint16_t) value;
    return HM_OK;
}

int addr_parse(const char *text, uint16_t default_port, struct addr *ret_addr)
{
    char host[ADDR_TEXT_BYTES];
    struct addr a = {0};
    if (split_port(text, default_port, host, sizeof host, &a.port) != 0) {
        return HM_EMALFORMED;
    }
    bool bracketed = text[0] == '[';
    if (!bracketed && inet_pton(AF_INET, host, a.ip) == 1) {
        a.family = 4;
    } else if (inet_pton(AF_INET6, host, a.ip) == 1) {
        a.family = 6;
    } else {
        return HM_EMALFORMED;
    }
    *ret_addr = a;
    return HM_OK;
}
