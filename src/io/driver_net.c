/* SPDX-License-Identifier: MPL-2.0 */
/* The driver and this machine's network: which interfaces there are, and what follows when they change.
 * See driver_priv.h. */
#define _GNU_SOURCE
#include "io/driver_priv.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int driver_read_interfaces(driver_t *d, struct why *why)
{
    if (netif_list_read(&d->wish, &d->netifs) != HM_OK) {
        return why_set(why, HM_EIO, "cannot list this machine's network interfaces: %s",
                       strerror(errno));
    }
    netif_addresses(&d->netifs, &d->wish, &d->advertise, 1);
    return HM_OK;
}

/* The addresses told, as one text. */
static const char *addresses_text(const driver_t *d, char *text, size_t max)
{
    struct addr addrs[HM_RECORD_ADDRS_MAX];
    char one[ADDR_TEXT_BYTES];
    size_t count = driver_addresses(d, addrs, HM_RECORD_ADDRS_MAX);
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && len < max; i++) {
        len += (size_t) snprintf(text + len, max - len, "%s%s", i > 0 ? " " : "",
                                 addr_format(&addrs[i], one));
    }
    return text;
}

void driver_log_interfaces(const driver_t *d)
{
    for (size_t i = 0; i < d->netifs.look_count; i++) {
        const struct netif_look *look = &d->netifs.looks[i];
        if (look->why == NETIF_ABSENT) {
            log_line(d->log, NOTE_WARN, LOG_FIELDS({"interface", look->name}),
                     "no interface is called %s, which --interface names; it is used when it "
                     "appears (ip link lists those that are there)",
                     look->name);
        } else {
            log_line(d->log, NOTE_DEBUG, LOG_FIELDS({"interface", look->name}),
                     "this interface is %s: %s", netif_is_used(look->why) ? "used" : "not used",
                     netif_why_text(look->why));
        }
    }
}

size_t driver_addresses(const driver_t *d, struct addr *ret_addrs, size_t max)
{
    size_t count = netif_addresses(&d->netifs, &d->wish, ret_addrs, max);
    for (size_t i = 0; i < count; i++) {
        ret_addrs[i].port = d->advertise.port;
    }
    return count;
}

void driver_tell_addresses(driver_t *d)
{
    struct addr addrs[HM_RECORD_ADDRS_MAX];
    unsigned links[NETIF_MAX];
    size_t link_count = 0;
    for (size_t i = 0; i < d->netifs.count; i++) {
        if (addr_is_link_local(&d->netifs.items[i].addr)) {
            links[link_count++] = d->netifs.items[i].index;
        }
    }
    udp_set_links(d->udp, links, link_count);
    beacon_set_interfaces(d->beacon, &d->netifs,
                          d->wish.named_count > 0 || !addr_is_any(&d->wish.bind));
    size_t count = driver_addresses(d, addrs, HM_RECORD_ADDRS_MAX);
    d->advertise = addrs[0];
    struct event ev = {.type = EV_ADDRESSES, .as.addresses = {.addrs = addrs, .count = count}};
    driver_step(d, &ev);
}

void driver_heard_on(driver_t *d, unsigned index)
{
    char text[HM_RECORD_ADDRS_MAX * ADDR_TEXT_BYTES];
    struct netif_list now;
    if (!netif_hear(&d->wish, &d->netifs, index) || netif_list_read(&d->wish, &now) != HM_OK) {
        return;
    }
    d->netifs = now;
    log_line(d->log, NOTE_INFO,
             LOG_FIELDS({"interface", d->wish.heard[d->wish.heard_count - 1]},
                        {"addresses", addresses_text(d, text, sizeof text)}),
             "a member was heard on a tunnel: it is used from now on");
    driver_tell_addresses(d);
}

static bool has_address(const struct netif_list *list, const struct addr *addr)
{
    for (size_t i = 0; i < list->count; i++) {
        if (addr_same_ip(&list->items[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

/* Others have heard us there, and will remember that for a while. */
static void note_former(driver_t *d, const struct netif_list *now)
{
    for (size_t i = 0; i < d->netifs.count; i++) {
        struct former *oldest = &d->former[0];
        if (has_address(now, &d->netifs.items[i].addr)) {
            continue;
        }
        for (size_t k = 1; k < FACT_FORMER_MAX; k++) {
            oldest = d->former[k].lost_ns < oldest->lost_ns ? &d->former[k] : oldest;
        }
        *oldest = (struct former){.addr = d->netifs.items[i].addr, .lost_ns = clock_boot_ns()};
    }
}

bool driver_read_netif(void *ctx)
{
    driver_t *d = ctx;
    struct netif_list now;
    char text[HM_RECORD_ADDRS_MAX * ADDR_TEXT_BYTES];
    if (!netif_watch_take(d->netif_fd) || netif_list_read(&d->wish, &now) != HM_OK) {
        return false;
    }
    bool is_same = netif_lists_equal(&now, &d->netifs);
    note_former(d, &now);
    d->netifs = now; /* what is said of an interface may be new though no address is */
    if (!is_same) {
        log_line(d->log, NOTE_INFO,
                 LOG_FIELDS({"addresses", addresses_text(d, text, sizeof text)}),
                 "this machine's network has changed");
        driver_tell_addresses(d);
    }
    return false;
}
