/* SPDX-License-Identifier: MPL-2.0 */
/* What may change while the driver runs, and what its owner may watch: see driver.h. */
#define _GNU_SOURCE
#include "io/driver_priv.h"

#include "base/err.h"

void driver_set_labels(driver_t *d, const struct label *labels, size_t count)
{
    struct event ev = {.type = EV_LABELS, .as.labels = {.labels = labels, .count = count}};
    driver_step(d, &ev);
}

void driver_set_services(driver_t *d, struct span wanted, struct span kept)
{
    struct event ev = {.type = EV_SERVICES, .as.services = {.wanted = wanted, .kept = kept}};
    driver_step(d, &ev);
}

int driver_set_joins(driver_t *d, const char *const *joins, size_t count, struct why *why)
{
    resolve_t *fresh = NULL;
    int rc = driver_resolve(joins, count, &fresh, why);
    if (rc != HM_OK) {
        return rc;
    }
    if (resolve_fd(fresh) >= 0 && reactor_add_fd(d->reactor, resolve_fd(fresh), REACTOR_READ,
                                                 REACTOR_REST, driver_read_resolve, d) != HM_OK) {
        resolve_destroy(&fresh);
        return why_set(why, HM_ENOMEM, "out of memory");
    }
    if (resolve_fd(d->resolve) >= 0) {
        reactor_remove_fd(d->reactor, resolve_fd(d->resolve));
    }
    resolve_destroy(&d->resolve);
    d->resolve = fresh;
    d->joining = (struct joining){.since_ns = 0};
    return HM_OK;
}

int driver_arm(driver_t *d, struct reactor_timer *timer, uint64_t at_ns)
{
    return reactor_timer_arm(d->reactor, timer, at_ns);
}

void driver_disarm(driver_t *d, struct reactor_timer *timer)
{
    reactor_timer_disarm(d->reactor, timer);
}

void driver_on_members(driver_t *d, void (*changed)(void *ctx), void *ctx)
{
    d->members_changed = changed;
    d->members_ctx = ctx;
}

void driver_status(const driver_t *d, struct core_status *ret_status)
{
    core_status(d->core, ret_status);
}
