/* SPDX-License-Identifier: MPL-2.0 */
/* The driver's ears: each source's bytes become one event. See driver_priv.h. */
#define _GNU_SOURCE
#include "io/driver_priv.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "io/clock.h"

#include <inttypes.h>
#include <stdio.h>

#define JOIN_SILENT_NS (6 * NS_PER_S) /* it was tried five times by datagram, and by mail */

static void take_datagram(driver_t *d, const struct addr *from, struct span bytes, bool by_mail)
{
    struct datagram_head head;
    enum seal_result result = seal_open(d->seal, bytes, &head, &d->opened);
    if (result != SEAL_OPENED) {
        metric_add(&d->metrics, (enum metric) seal_result_metric(result), 1);
    }
    if (result == SEAL_OPENED) {
        if (!by_mail) {
            driver_heard_on(d, udp_came_on(d->udp)); /* first: what follows has our record in it */
        }
        if (head.cls == DATAGRAM_PAIR && !by_mail) {
            udp_answer_here(d->udp);
        }
        struct event ev = {.type = EV_DATAGRAM,
                           .as.datagram = {.from = *from,
                                           .by_mail = by_mail,
                                           .cls = head.cls,
                                           .sender = head.sender,
                                           .session = head.session,
                                           .counter = head.counter,
                                           .body = buf_span(&d->opened)}};
        driver_step(d, &ev);
    } else if (result == SEAL_FOREIGN_KEY) {
        struct event ev = {.type = EV_FOREIGN_KEY,
                           .as.foreign = {.addr = *from, .id = head.sender}};
        driver_step(d, &ev);
    } else if (result == SEAL_UNKNOWN_SENDER) {
        struct event ev = {
            .type = EV_CANDIDATE,
            .as.candidate = {.addr = *from, .id = head.sender, .source = CANDIDATE_UNKNOWN_SENDER}};
        driver_step(d, &ev);
    }
}

void driver_on_datagram(void *ctx, const struct addr *from, struct span bytes)
{
    take_datagram(ctx, from, bytes, false);
}

void driver_on_whisper(void *ctx, const struct addr *from, struct span content)
{
    take_datagram(ctx, from, content, true);
}

void driver_on_unreachable(void *ctx, const struct addr *to)
{
    struct event ev = {.type = EV_UNREACHABLE, .as.unreachable = {.to = *to}};
    driver_step(ctx, &ev);
}

void driver_on_link_up(void *ctx, const struct node_id *peer)
{
    struct event ev = {.type = EV_LINK_UP, .as.link = {.peer = *peer}};
    driver_step(ctx, &ev);
}

void driver_on_link_down(void *ctx, const struct node_id *peer)
{
    struct event ev = {.type = EV_LINK_DOWN, .as.link = {.peer = *peer}};
    driver_step(ctx, &ev);
}

void driver_on_frame(void *ctx, const struct node_id *peer, uint8_t type, struct span body)
{
    struct event ev = {.type = EV_FRAME, .as.frame = {.peer = *peer, .type = type, .body = body}};
    driver_step(ctx, &ev);
}

void driver_on_bad_frame(void *ctx, const struct node_id *peer, int why)
{
    driver_t *d = ctx;
    char hex[NODE_ID_TEXT_BYTES];
    metric_add(&d->metrics, why == HM_EVERSION ? M_DROP_VERSION : M_DROP_MALFORMED, 1);
    log_stranger(d->log, NOTE_WARN, "bad-frame",
                 LOG_FIELDS({"id", text_hex(peer->b, NODE_ID_BYTES, hex)}),
                 "a member sent a frame that is %s; dropped", hm_strerror(why));
}

void driver_on_cut(void *ctx, const struct node_id *peer, const struct addr *from)
{
    driver_t *d = ctx;
    char hex[NODE_ID_TEXT_BYTES];
    char text[ADDR_TEXT_BYTES];
    log_stranger(d->log, NOTE_WARN, "link-cut",
                 LOG_FIELDS({"id", peer != NULL ? text_hex(peer->b, NODE_ID_BYTES, hex) : NULL},
                            {"addr", addr_is_none(from) ? NULL : addr_format(from, text)}),
                 "a member sent a message without end; its link was cut");
}

void driver_on_connect(void *ctx, const struct node_id *peer, uint64_t token,
                       enum connect_outcome outcome)
{
    struct event ev = {.type = EV_CONNECT,
                       .as.connect = {.peer = *peer, .token = token, .outcome = outcome}};
    driver_step(ctx, &ev);
}

void driver_on_stall(void *ctx, uint64_t ms)
{
    driver_t *d = ctx;
    struct event ev = {.type = EV_STALLED, .as.stalled = {.ms = ms}};
    metric_add(&d->metrics, M_LOOP_STALLS, 1);
    metric_add(&d->metrics, M_LOOP_STALLED_MS, ms);
    if (core_deadline_ns(d->core) <= clock_boot_ns()) {
        ev = (struct event){.type = EV_TICK}; /* so late that it tells the core the same */
    }
    driver_step(d, &ev);
}

/* What was done to the store without anybody asking. */
static void log_store_work(driver_t *d, const struct store_work *work)
{
    char before[32], after[32];
    if (work == NULL || !work->is_by_itself) {
        return;
    }
    snprintf(before, sizeof before, "%" PRIu64, work->bytes_before);
    snprintf(after, sizeof after, "%" PRIu64, work->bytes_after);
    if (work->code == HM_OK) {
        log_line(d->log, NOTE_INFO,
                 LOG_FIELDS({"bytes_before", before}, {"bytes_after", after}),
                 "the store was compacted: most of its file was free");
    } else {
        log_line(d->log, NOTE_WARN, LOG_FIELDS({"reason", work->text}, {"bytes", before}),
                 "most of the store's file is free, but it could not be compacted; nothing is lost, "
                 "\"meshctl store compact\" tries again");
    }
}

bool driver_read_store(void *ctx)
{
    driver_t *d = ctx;
    struct store_report report;
    int rc = store_take(d->store, &report);
    d->is_measured |= store_take_measure(d->store, &d->measured) == HM_OK;
    log_store_work(d, store_take_work(d->store));
    if (rc != HM_OK) {
        return false;
    }
    struct event ev = {.type = report.reason == HM_OK ? EV_DURABLE : EV_BATCH_FAILED,
                       .as.store = {.batch = report.batch, .reason = report.reason}};
    if (report.reason != HM_OK) {
        log_stranger(d->log, NOTE_ERROR, "store-failed", LOG_FIELDS({"reason", report.text}),
                     report.reason == HM_EFULL
                         ? "the disk has no room for the store: writes are refused until there is "
                           "(df tells; \"meshctl store status\")"
                         : "the disk does not take what must be stored: writes are refused (dmesg "
                           "tells more)");
    } else if (d->store_failed) {
        log_line(d->log, NOTE_INFO, NULL, "the store writes again");
    }
    d->store_failed = report.reason != HM_OK;
    driver_step(d, &ev);
    return true;
}

bool driver_read_beacon(void *ctx)
{
    driver_t *d = ctx;
    struct event ev = {.type = EV_CANDIDATE, .as.candidate = {.source = CANDIDATE_BEACON}};
    if (beacon_take(d->beacon, &ev.as.candidate.addr, &ev.as.candidate.id) != HM_OK) {
        return false;
    }
    heard_note(&d->heard, &(struct heard_beacon){.id = ev.as.candidate.id,
                                                 .addr = ev.as.candidate.addr,
                                                 .index = beacon_taken_on(d->beacon),
                                                 .at_ns = clock_boot_ns()});
    driver_step(d, &ev);
    return true;
}

void driver_on_zre(void *ctx, const struct addr *at, const struct node_id *id)
{
    struct event ev = {.type = EV_CANDIDATE,
                       .as.candidate = {.addr = *at, .id = *id, .source = CANDIDATE_ZRE}};
    driver_step(ctx, &ev);
}

void driver_on_call(void *ctx, uint64_t client, struct span request)
{
    driver_step(ctx, &(struct event){.type = EV_CALL, .as.call = {.client = client, .request = request}});
}

void driver_on_call_gone(void *ctx, uint64_t client)
{
    driver_step(ctx, &(struct event){.type = EV_CALL_GONE, .as.call = {.client = client}});
}

static bool is_own(const driver_t *d, const struct addr *addr)
{
    for (size_t i = 0; i < d->netifs.count; i++) {
        if (addr->port == d->advertise.port && addr_same_ip(addr, &d->netifs.items[i].addr)) {
            return true;
        }
    }
    return false;
}

/* It is tried again and again, so this comes by for as long as nobody is found. */
static void note_joining(driver_t *d, const struct addr *to)
{
    struct joining *j = &d->joining;
    char text[ADDR_TEXT_BYTES];
    uint64_t now_ns = clock_boot_ns();
    if (is_own(d, to)) {
        return;
    }
    if (addr_is_none(&j->to)) {
        j->to = *to;
        j->since_ns = now_ns;
    }
    j->has_more |= !addr_eq(&j->to, to);
    if (!j->is_logged && core_member_count(d->core) == 1 && now_ns - j->since_ns >= JOIN_SILENT_NS) {
        j->is_logged = true;
        log_line(d->log, NOTE_WARN, LOG_FIELDS({"addr", addr_format(&j->to, text)}),
                 "nobody of this mesh answers at the address%s to join; trying again for ever",
                 j->has_more ? "es" : "");
    }
}

bool driver_read_resolve(void *ctx)
{
    driver_t *d = ctx;
    struct resolve_report report;
    if (resolve_take(d->resolve, &report) != HM_OK) {
        return false;
    }
    if (addr_is_none(&report.addr)) {
        log_line(d->log, NOTE_WARN, LOG_FIELDS({"host", report.host}, {"reason", report.error}),
                 "cannot resolve an address to join; trying again for ever");
        return true;
    }
    struct event ev = {.type = EV_CANDIDATE,
                       .as.candidate = {.addr = report.addr, .source = CANDIDATE_JOIN}};
    note_joining(d, &report.addr);
    driver_step(d, &ev);
    return true;
}
