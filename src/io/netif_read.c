/* SPDX-License-Identifier: MPL-2.0 */
/* What the kernel says of this machine's interfaces, and when it has changed: see netif.h. */
#define _GNU_SOURCE
#include "base/err.h"
#include "base/text.h"
#include "io/netif.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Not yet ours (duplicates are being looked for), somebody else's, or gone within hours. */
#define UNFIT_FLAGS (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TEMPORARY)

/* The interface that /proc/net/route sends the rest of the world to. */
static void read_default_route(struct netif_facts *facts)
{
    char line[256];
    FILE *f = fopen("/proc/net/route", "re");
    while (f != NULL && facts->default_route[0] == '\0' && fgets(line, sizeof line, f) != NULL) {
        char *tab = strchr(line, '\t');
        if (tab != NULL && strncmp(tab + 1, "00000000\t", 9) == 0) {
            *tab = '\0';
            text_copy(facts->default_route, sizeof facts->default_route, line);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

/* "fe80…32 digits… index plen scope flags name", all in hex. */
static void read_unfit(struct netif_facts *facts)
{
    char line[256];
    FILE *f = fopen("/proc/net/if_inet6", "re");
    while (f != NULL && facts->unfit_count < NETIF_MAX && fgets(line, sizeof line, f) != NULL) {
        struct addr a = {.family = 6};
        char *at = strchr(line, ' ');
        unsigned long field[4] = {0};
        if (at == NULL) {
            continue;
        }
        *at++ = '\0';
        if (text_unhex(line, a.ip, sizeof a.ip) != HM_OK) {
            continue;
        }
        for (size_t i = 0; i < 4; i++) {
            field[i] = strtoul(at, &at, 16);
        }
        if ((field[3] & UNFIT_FLAGS) != 0) {
            facts->unfit[facts->unfit_count++] = a;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

int netif_list_read(const struct netif_wish *wish, struct netif_list *ret_list)
{
    struct ifaddrs *all = NULL;
    struct netif_facts facts = {.unfit_count = 0};
    if (getifaddrs(&all) != 0) {
        return HM_EIO;
    }
    read_default_route(&facts);
    read_unfit(&facts);
    netif_list_make(wish, all, &facts, ret_list);
    freeifaddrs(all);
    return HM_OK;
}

int netif_watch_open(int *ret_fd)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    struct sockaddr_nl sa = {.nl_family = AF_NETLINK,
                             .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    if (fd < 0) {
        return HM_EIO;
    }
    if (bind(fd, (const struct sockaddr *) &sa, sizeof sa) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return HM_EIO;
    }
    *ret_fd = fd;
    return HM_OK;
}

bool netif_watch_take(int fd)
{
    uint8_t bytes[8192];
    bool changed = false;
    /* What exactly changed does not matter, and an overrun (ENOBUFS) is a change too. */
    for (int i = 0; i < 64; i++) {
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 && !(got < 0 && errno == ENOBUFS)) {
            break;
        }
        changed = true;
    }
    return changed;
}
