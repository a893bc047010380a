/* SPDX-License-Identifier: MPL-2.0 */
/* The driver's life: bind, load, loop, stop. See driver.h and driver_priv.h. */
#define _GNU_SOURCE
#include "io/driver_priv.h"

#include "base/err.h"
#include "base/limits.h"
#include "io/clock.h"
#include "io/conf.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#define PORTS_TRIED_MAX 1000      /* nodes on one machine that take default ports */
#define LINK_PORT_OFFSET 1000     /* the link port is P + 1000 if free: the same after a restart */
#define STOP_NS (700 * NS_PER_MS) /* to leave; flushing and closing take the rest of the second */
#define LINGER_MS 100

/* ---- stepping ---- */

static void count_store(driver_t *d)
{
    struct store_counts counts = store_counts(d->store);
    d->metrics.value[M_STORE_DAMAGED] = store_damaged(d->store);
    d->metrics.value[M_STORE_COMMITS] = counts.commits;
    d->metrics.value[M_STORE_SYNCS] = counts.syncs;
    d->metrics.value[M_STORE_WRITTEN] = counts.bytes_written;
}

static void step_once(driver_t *d, struct event *ev)
{
    struct effects fx = {0};
    ev->now_ns = clock_boot_ns();
    ev->wall_ms = clock_wall_ms();
    d->metrics.value[M_LOOP_WAKEUPS] = reactor_wakeups(d->reactor);
    d->metrics.value[M_LOG_LOST] = log_lost(d->log);
    count_store(d);
    int rc = core_step(d->core, ev, &fx);
    if (rc != HM_OK) {
        HM_ASSERT(rc == HM_ENOMEM);
        log_stranger(d->log, NOTE_ERROR, "core-memory", NULL,
                     "out of memory: an event was dropped; it will be made up for by the protocol");
    }
    store_view_done(d->store);
    if (store_view_error(d->store) != NULL) {
        /* What it decided stands on records that are there and were not seen: nothing of it is done. */
        log_line(d->log, NOTE_ERROR, LOG_FIELDS({"reason", store_view_error(d->store)}),
                 "the store cannot be read any more; stopping, so that the next start looks at it");
        d->exit_code = 1;
        d->stopped = true;
        return;
    }
    for (size_t i = 0; i < fx.count; i++) {
        if (fx.items[i].type != FX_REPLY) {
            local_api_flush(d->api); /* answers first: programs wait for them */
        }
        driver_effect(d, &fx.items[i]);
    }
    local_api_flush(d->api);
    if (store_damaged(d->store) > d->damaged_told) {
        d->damaged_told = store_damaged(d->store);
        driver_later(d, &(struct event){.type = EV_STORE_DAMAGED});
    }
}

void driver_later(driver_t *d, const struct event *ev)
{
    if (d->backlog_count < DRIVER_BACKLOG_MAX) {
        d->backlog[d->backlog_count++] = *ev;
    } else {
        metric_add(&d->metrics, M_DROP_FULL, 1);
    }
}

void driver_step(driver_t *d, struct event *ev)
{
    HM_ASSERT(!d->stepping);
    d->stepping = true;
    step_once(d, ev);
    /* What these cause goes to the end of the same queue; the bound ends any exchange of blows. */
    for (size_t i = 0; i < d->backlog_count; i++) {
        struct event next = d->backlog[i];
        step_once(d, &next);
    }
    d->backlog_count = 0;
    d->stepping = false;
}

/* ---- binding ---- */

static int bind_failed(int rc, const struct addr *at, const char *what, struct why *why)
{
    char text[ADDR_TEXT_BYTES];
    struct addr shown = *at;
    shown.family = at->family == 0 ? 4 : at->family; /* every address: 0.0.0.0 */
    switch (rc) {
    case HM_EBUSY:
        return why_set(why, rc,
                       "cannot bind %s to %s: the port is in use by another program; give "
                       "another one with --bind, or none to take a free one",
                       what, addr_format(&shown, text));
    case HM_EINVAL:
        return why_set(why, rc,
                       "cannot bind %s to %s: no interface of this machine has that "
                       "address (ip address lists them)",
                       what, addr_format(&shown, text));
    case HM_EDENIED:
        return why_set(why, rc, "cannot bind %s to %s: not allowed; ports below 1024 need root",
                       what, addr_format(&shown, text));
    default:
        return why_set(why, rc, "cannot bind %s to %s: %s", what, addr_format(&shown, text),
                       hm_strerror(rc));
    }
}

/* Family 0: a socket of each family; a kernel without IPv6 is no error. */
static int bind_udp(driver_t *d, const struct addr *at, uint16_t *ret_port)
{
    struct addr here = *at;
    here.family = at->family == 0 ? 4 : at->family;
    int rc = udp_bind(d->udp, &here, ret_port);
    if (rc == HM_OK && at->family == 0) {
        here.family = 6;
        here.port = *ret_port;
        if (udp_bind(d->udp, &here, ret_port) == HM_EBUSY) {
            udp_unbind(d->udp);
            return HM_EBUSY;
        }
    }
    return rc;
}

/* UDP and the ZRE mailbox's TCP at the same port. HM_EBUSY: one of them is taken. */
static int bind_port(driver_t *d, const struct driver_conf *conf, const struct addr *at)
{
    uint16_t port;
    int rc = bind_udp(d, at, &port);
    if (rc != HM_OK) {
        return rc;
    }
    struct zre_conf zre = {.reactor = d->reactor,
                           .bind = *at,
                           .advertise = d->advertise,
                           .id = *keys_id(d->keys),
                           .mesh = conf->mesh,
                           .name = conf->name,
                           .metrics = &d->metrics,
                           .candidate = driver_on_zre,
                           .whisper = driver_on_whisper,
                           .ctx = d};
    zre.bind.port = port;
    zre.advertise.port = port;
    rc = zre_new(&zre, &d->zre);
    if (rc != HM_OK) {
        udp_unbind(d->udp);
        return rc;
    }
    d->advertise.port = port;
    return HM_OK;
}

/* The port asked for, or the default one or the next that is free. */
static int bind_ports(driver_t *d, const struct driver_conf *conf, struct why *why)
{
    struct addr at = conf->netif.bind;
    unsigned tries = at.port != 0 ? 1 : PORTS_TRIED_MAX;
    if (at.port == 0) {
        at.port = DRIVER_PORT_DEFAULT;
    }
    int rc = bind_port(d, conf, &at);
    for (unsigned i = 1; rc == HM_EBUSY && i < tries; i++) {
        at.port = (uint16_t) (DRIVER_PORT_DEFAULT + i);
        rc = bind_port(d, conf, &at);
    }
    if (rc != HM_OK) {
        return bind_failed(rc, &at, "the mesh's port", why);
    }
    at.port = d->advertise.port;
    struct addr link = at;
    link.port =
        at.port <= UINT16_MAX - LINK_PORT_OFFSET ? (uint16_t) (at.port + LINK_PORT_OFFSET) : 0;
    rc = links_bind(d->links, &link, &d->link_port);
    if (rc == HM_EBUSY) {
        link.port = 0;
        rc = links_bind(d->links, &link, &d->link_port);
    }
    return rc == HM_OK ? HM_OK : bind_failed(rc, &link, "the links' port", why);
}

/* ---- putting it together ---- */

static int make_links(driver_t *d)
{
    d->curve_secret = sodium_malloc(LINKS_KEY_BYTES);
    struct links_conf conf = {.zmq_ctx = d->zmq_ctx,
                              .reactor = d->reactor,
                              .metrics = &d->metrics,
                              .handler = {d, driver_on_link_up, driver_on_link_down,
                                          driver_on_frame, driver_on_bad_frame, driver_on_cut},
                              .self = *keys_id(d->keys),
                              .curve_secret = d->curve_secret};
    if (d->curve_secret == NULL) {
        return HM_ENOMEM;
    }
    keys_curve_secret(d->keys, d->curve_secret);
    int rc = keys_curve_public(keys_public(d->keys), conf.curve_public);
    if (rc != HM_OK) {
        return rc;
    }
    d->links = links_new(&conf);
    return d->links == NULL ? HM_ENOMEM : HM_OK;
}

static int make_parts(driver_t *d)
{
    const struct udp_handler udp = {d, driver_on_datagram, driver_on_unreachable};
    d->zmq_ctx = zmq_ctx_new();
    d->reactor = reactor_new();
    if (d->zmq_ctx == NULL || d->reactor == NULL) {
        return HM_ENOMEM;
    }
    reactor_on_stall(d->reactor, driver_on_stall, d);
    d->seal = seal_new(d->keys);
    d->udp = udp_new(d->reactor, &udp);
    d->probes = tcpprobes_new(d->reactor, driver_on_connect, d);
    if (d->seal == NULL || d->udp == NULL || d->probes == NULL) {
        return HM_ENOMEM;
    }
    return make_links(d);
}

int driver_resolve(const char *const *joins, size_t join_count, resolve_t **ret_resolve,
                   struct why *why)
{
    struct resolve_target targets[RESOLVE_TARGETS_MAX];
    size_t count = 0;
    _Static_assert(CONF_JOIN_MAX + TOKEN_ADDRS_MAX <= RESOLVE_TARGETS_MAX, "none is left out");
    if (join_count > RESOLVE_TARGETS_MAX) {
        return why_set(why, HM_EFULL, "%zu addresses to join are too many: at most %d", join_count,
                       RESOLVE_TARGETS_MAX);
    }
    for (size_t i = 0; i < join_count; i++) {
        if (resolve_target_read(joins[i], DRIVER_PORT_DEFAULT, &targets[count]) != HM_OK) {
            return why_set(why, HM_EINVAL, "cannot join \"%s\": wanted HOST or HOST:PORT",
                           joins[i]);
        }
        count++;
    }
    int rc = resolve_new(targets, count, ret_resolve);
    return rc == HM_OK ? HM_OK : why_set(why, rc, "cannot start the resolver: %s", hm_strerror(rc));
}

static int make_core(driver_t *d, const struct driver_conf *conf)
{
    uint64_t seed;
    struct core_conf core = {.mesh = conf->mesh,
                             .is_founder = conf->is_founder,
                             .name = conf->name,
                             .name_given = conf->name_given,
                             .version = conf->version,
                             .port = d->advertise.port,
                             .link_port = d->link_port,
                             .labels = conf->labels,
                             .label_count = conf->label_count,
                             .metrics = &d->metrics,
                             .calls = conf->calls,
                             .view = store_view(d->store)};
    memcpy(core.key, keys_public(d->keys), NODE_KEY_BYTES);
    crypto_daemon(d->keys, &core.crypto);
    core_params_default(&core.params);
    randombytes_buf(&core.session, sizeof core.session);
    randombytes_buf(core.secret, sizeof core.secret);
    randombytes_buf(&seed, sizeof seed);
    d->core = core_new(&core, seed);
    return d->core == NULL ? HM_ENOMEM : HM_OK;
}

static int watch_all(driver_t *d)
{
    reactor_t *r = d->reactor;
    int rc = reactor_add_fd(r, store_fd(d->store), REACTOR_READ, REACTOR_REST, driver_read_store, d);
    for (size_t i = 0; i < BEACON_FDS; i++) {
        if (beacon_fd(d->beacon, i) >= 0) {
            rc |= reactor_add_fd(r, beacon_fd(d->beacon, i), REACTOR_READ, REACTOR_REST,
                                 driver_read_beacon, d);
        }
    }
    if (resolve_fd(d->resolve) >= 0) {
        rc |= reactor_add_fd(r, resolve_fd(d->resolve), REACTOR_READ, REACTOR_REST,
                             driver_read_resolve, d);
    }
    if (netif_watch_open(&d->netif_fd) == HM_OK) {
        rc |= reactor_add_fd(r, d->netif_fd, REACTOR_READ, REACTOR_REST, driver_read_netif, d);
    } else {
        log_line(d->log, NOTE_WARN, NULL,
                 "changes of this machine's addresses will not be noticed");
    }
    return rc == HM_OK ? HM_OK : HM_ENOMEM;
}

/* The core is told where we are, so that its first record says it; EV_LOADED then starts it. */
static int start_core(driver_t *d, struct why *why)
{
    struct event ev = {.type = EV_LOADED};
    size_t dropped = 0;
    int rc = store_load(d->store, &ev.as.loaded.entries, &ev.as.loaded.count, &dropped);
    if (rc != HM_OK) {
        return why_set(why, rc, "cannot read the store: %s", hm_strerror(rc));
    }
    if (dropped != 0) {
        log_line(d->log, NOTE_WARN, NULL,
                 "%zu damaged records of the store are ignored; other members bring back what they have of them",
                 dropped);
    }
    if (store_lost(d->store) != NULL) {
        log_line(d->log, NOTE_WARN, NULL, "%s", store_lost(d->store));
        dropped++;
    }
    d->damaged_told = store_damaged(d->store); /* of `dropped`, below: nothing may come before EV_LOADED */
    driver_tell_addresses(d);
    driver_step(d, &ev);
    store_load_done(d->store);
    if (dropped != 0) {
        driver_step(d, &(struct event){.type = EV_STORE_DAMAGED});
    }
    return HM_OK;
}

static int build(driver_t *d, const struct driver_conf *conf, struct why *why)
{
    int rc = driver_read_interfaces(d, why);
    if (rc != HM_OK) {
        return rc;
    }
    rc = make_parts(d);
    if (rc != HM_OK) {
        return why_set(why, rc, "cannot start: %s", hm_strerror(rc));
    }
    rc = bind_ports(d, conf, why);
    if (rc != HM_OK) {
        return rc;
    }
    struct local_api_handler handler = {d, driver_on_call, driver_on_call_gone};
    rc = local_api_new(d->reactor, conf->socket_path, &d->metrics, &handler, &d->api, why);
    if (rc != HM_OK) {
        return rc;
    }
    rc = driver_resolve(conf->joins, conf->join_count, &d->resolve, why);
    if (rc != HM_OK) {
        return rc;
    }
    struct beacon_conf beacon = {.id = *keys_id(d->keys),
                                 .port = d->advertise.port,
                                 .beacon_port = conf->beacon_port,
                                 .metrics = &d->metrics};
    rc = beacon_new(&beacon, &d->beacon);
    if (rc == HM_OK) {
        rc = make_core(d, conf);
    }
    if (rc == HM_OK) {
        rc = watch_all(d);
    }
    if (rc != HM_OK) {
        return why_set(why, rc, "cannot start: %s", hm_strerror(rc));
    }
    driver_log_interfaces(d);
    if (beacon_problem(d->beacon) != NULL) {
        log_line(d->log, NOTE_WARN, NULL, "%s", beacon_problem(d->beacon));
    }
    return start_core(d, why);
}

int driver_new(const struct driver_conf *conf, driver_t **ret_driver, struct why *why)
{
    driver_t *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return why_set(why, HM_ENOMEM, "cannot start: out of memory");
    }
    d->log = conf->log;
    d->keys = conf->keys;
    d->wish = conf->netif;
    d->store = conf->store;
    d->netif_fd = -1;
    d->stop_by_ns = TIMER_NEVER;
    buf_init(&d->sealed, HM_DATAGRAM_BYTES_MAX);
    buf_init(&d->opened, HM_DATAGRAM_BYTES_MAX);
    int rc = build(d, conf, why);
    if (rc != HM_OK) {
        d->store = NULL; /* still the caller's */
        driver_destroy(&d);
        return rc;
    }
    *ret_driver = d;
    return HM_OK;
}

void driver_destroy(driver_t **p)
{
    driver_t *d = *p;
    if (d == NULL) {
        return;
    }
    resolve_destroy(&d->resolve);
    beacon_destroy(&d->beacon);
    links_destroy(&d->links, LINGER_MS);
    tcpprobes_destroy(&d->probes);
    udp_destroy(&d->udp);
    zre_destroy(&d->zre);
    local_api_destroy(&d->api);
    if (d->store != NULL) {
        store_close(&d->store);
    }
    core_destroy(&d->core);
    if (d->netif_fd >= 0) {
        close(d->netif_fd);
    }
    seal_destroy(&d->seal);
    reactor_destroy(&d->reactor);
    if (d->curve_secret != NULL) {
        sodium_free(d->curve_secret);
    }
    if (d->zmq_ctx != NULL) {
        zmq_ctx_term(d->zmq_ctx); /* waits for what lingers: LINGER_MS at most */
    }
    buf_fini(&d->sealed);
    buf_fini(&d->opened);
    free(d);
    *p = NULL;
}

/* ---- running ---- */

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void after_turn(driver_t *d)
{
    store_hand_over(d->store); /* before anything else: somebody waits for the disk */
    uint64_t now_ns = clock_boot_ns();
    if (d->store_spoke) {
        d->store_spoke = false;
        while (driver_read_store(d)) {
        }
    }
    links_check(d->links, now_ns);
    store_rest(d->store, now_ns);
    if (d->members_stale && d->members_changed != NULL) {
        d->members_stale = false;
        d->members_changed(d->members_ctx);
    }
    if (zre_deadline_ns(d->zre) <= now_ns) {
        zre_tick(d->zre, now_ns);
    }
    if (core_deadline_ns(d->core) <= now_ns) {
        struct event tick = {.type = EV_TICK};
        driver_step(d, &tick);
    }
    if (d->stop_by_ns <= now_ns && !d->stopped) {
        log_line(d->log, NOTE_WARN, NULL, "leaving took too long; stopping without it");
        d->stopped = true;
    }
}

int driver_run(driver_t *d)
{
    store_gather(d->store);
    while (!d->stopped) {
        store_hand_over(d->store);
        uint64_t deadline_ns = earliest(core_deadline_ns(d->core), zre_deadline_ns(d->zre));
        deadline_ns = earliest(deadline_ns, d->stop_by_ns);
        int rc = reactor_turn(d->reactor, d->store_spoke ? 0 : deadline_ns);
        if (rc != HM_OK) {
            log_line(d->log, NOTE_ERROR, LOG_FIELDS({"reason", strerror(errno)}),
                     "cannot wait for anything any more; stopping");
            return 1;
        }
        after_turn(d);
    }
    return d->exit_code;
}

void driver_shutdown(driver_t *d)
{
    if (d->stop_by_ns != TIMER_NEVER) {
        d->stopped = true;
        return;
    }
    d->stop_by_ns = clock_boot_ns() + STOP_NS;
    struct event ev = {.type = EV_SHUTDOWN};
    driver_step(d, &ev);
}

int driver_watch_fd(driver_t *d, int fd, bool (*read)(void *ctx), void *ctx)
{
    return reactor_add_fd(d->reactor, fd, REACTOR_READ, REACTOR_SIGNALS, read, ctx);
}
