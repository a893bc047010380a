/* SPDX-License-Identifier: MPL-2.0 */
/* Socket addresses: see sockaddr.h. */
#define _GNU_SOURCE
#include "io/sockaddr.h"

#include "base/err.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

socklen_t sockaddr_of_addr(const struct addr *a, struct sockaddr_storage *ret_sa)
{
    memset(ret_sa, 0, sizeof *ret_sa);
    if (a->family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *) ret_sa;
        in->sin_family = AF_INET;
        in->sin_port = htons(a->port);
        memcpy(&in->sin_addr, a->ip, 4);
        return sizeof *in;
    }
    if (a->family == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) ret_sa;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(a->port);
        in6->sin6_scope_id = a->scope;
        memcpy(&in6->sin6_addr, a->ip, 16);
        return sizeof *in6;
    }
    return 0;
}

bool addr_of_sockaddr(const struct sockaddr *sa, struct addr *ret_addr)
{
    struct addr a = {0};
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *) sa;
        a.family = 4;
        a.port = ntohs(in->sin_port);
        memcpy(a.ip, &in->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) sa;
        a.port = ntohs(in6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
            a.family = 4;
            memcpy(a.ip, in6->sin6_addr.s6_addr + 12, 4);
        } else {
            a.family = 6;
            memcpy(a.ip, &in6->sin6_addr, 16);
            a.scope = IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) ? in6->sin6_scope_id : 0;
        }
    } else {
        return false;
    }
    *ret_addr = a;
    return true;
}

int addr_parse_zone(const char *text, uint16_t default_port, struct addr *ret_addr,
                    char ret_zone[SOCKADDR_ZONE_BYTES])
{
    char plain[ADDR_TEXT_BYTES];
    const char *zone = strchr(text, '%');
    ret_zone[0] = '\0';
    if (zone == NULL) {
        return addr_parse(text, default_port, ret_addr);
    }
    size_t head = (size_t) (zone - text);
    size_t size = strcspn(zone + 1, "]/");
    const char *rest = zone + 1 + size;
    if (size == 0 || size >= SOCKADDR_ZONE_BYTES || head + strlen(rest) >= sizeof plain) {
        return HM_EMALFORMED;
    }
    memcpy(plain, text, head);
    text_copy(plain + head, sizeof plain - head, rest);
    int rc = addr_parse(plain, default_port, ret_addr);
    if (rc != HM_OK || !addr_is_link_local(ret_addr)) {
        return HM_EMALFORMED;
    }
    memcpy(ret_zone, zone + 1, size);
    ret_zone[size] = '\0';
    return HM_OK;
}

unsigned zone_index(const char *zone)
{
    char name[SOCKADDR_ZONE_BYTES];
    uint64_t number;
    unsigned index = if_nametoindex(zone);
    if (index == 0 && text_to_u64(zone, UINT32_MAX, &number) == HM_OK &&
        if_indextoname((unsigned) number, name) != NULL) {
        index = (unsigned) number;
    }
    return index;
}

int bind_error(int errno_value)
{
    switch (errno_value) {
    case EADDRINUSE:
        return HM_EBUSY;
    case EADDRNOTAVAIL:
    case ENODEV:
        return HM_EINVAL;
    case EACCES:
    case EPERM:
        return HM_EDENIED;
    default:
        return HM_EIO;
    }
}
