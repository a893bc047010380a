/* SPDX-License-Identifier: MPL-2.0 */
/* The driver's hands: each effect becomes a call. None blocks; what fails at once is told to the
 * core after the step, so that it is never re-entered. See driver_priv.h. */
#define _GNU_SOURCE
#include "io/driver_priv.h"

#include "base/err.h"
#include "base/text.h"
#include "io/clock.h"

static void admit_peer(driver_t *d, const struct effect *fx)
{
    uint8_t key[KEYS_KEY_BYTES];
    const struct node_id *id = &fx->as.peer.id;
    int rc = seal_peer_add(d->seal, id, fx->as.peer.key);
    if (rc == HM_OK) {
        rc = keys_curve_public(fx->as.peer.key, key);
    }
    if (rc == HM_OK) {
        rc = links_admit(d->links, id, key);
    }
    if (rc != HM_OK) {
        char hex[NODE_ID_TEXT_BYTES];
        log_stranger(d->log, NOTE_WARN, "peer",
                     LOG_FIELDS({"id", text_hex(id->b, NODE_ID_BYTES, hex)}),
                     "cannot talk to a member: its key is refused (%s)", hm_strerror(rc));
    }
}

static void send_datagram(driver_t *d, const struct effect *fx)
{
    buf_clear(&d->sealed);
    int rc =
        seal_datagram(d->seal, fx->as.datagram.cls, &fx->as.datagram.peer, fx->as.datagram.session,
                      fx->as.datagram.counter, fx->as.datagram.body, &d->sealed);
    if (rc == HM_OK && fx->type == FX_MAIL) {
        rc = zre_whisper(d->zre, &fx->as.datagram.to, &fx->as.datagram.peer, buf_span(&d->sealed));
    } else if (rc == HM_OK) {
        rc = udp_send(d->udp, &fx->as.datagram.to, buf_span(&d->sealed));
    }
    if (rc == HM_OK) {
        metric_add(&d->metrics, M_DATAGRAMS_SENT, 1);
        metric_add(&d->metrics, M_DATAGRAM_BYTES_SENT, d->sealed.size);
    } else if (log_wants(d->log, NOTE_DEBUG)) {
        /* A datagram may be lost anyway: the core's timers notice. */
        char text[ADDR_TEXT_BYTES];
        log_line(d->log, NOTE_DEBUG, LOG_FIELDS({"addr", addr_format(&fx->as.datagram.to, text)}),
                 "a datagram was not sent: %s", hm_strerror(rc));
    }
}

static void send_frame(driver_t *d, const struct effect *fx)
{
    if (links_send(d->links, &fx->as.frame.peer, fx->as.frame.type, fx->as.frame.body) != HM_OK) {
        driver_later(
            d, &(struct event){.type = EV_SEND_REFUSED, .as.link = {.peer = fx->as.frame.peer}});
    }
}

static void dial(driver_t *d, const struct effect *fx)
{
    if (links_dial(d->links, &fx->as.dial.peer, &fx->as.dial.to) != HM_OK) {
        driver_later(d,
                     &(struct event){.type = EV_LINK_DOWN, .as.link = {.peer = fx->as.dial.peer}});
    }
}

static void probe(driver_t *d, const struct effect *fx)
{
    if (tcpprobe_start(d->probes, &fx->as.connect.peer, &fx->as.connect.to, fx->as.connect.token) !=
        HM_OK) {
        driver_later(d, &(struct event){.type = EV_CONNECT,
                                        .as.connect = {.peer = fx->as.connect.peer,
                                                       .token = fx->as.connect.token,
                                                       .outcome = CONNECT_SILENT}});
    }
}

static void persist(driver_t *d, const struct effect *fx)
{
    if (store_persist(d->store, fx->as.persist.batch, fx->as.persist.entries,
                      fx->as.persist.count) != HM_OK) {
        d->store_spoke = true;
    }
}

static void stop(driver_t *d, int exit_code)
{
    if (!d->stopped) {
        d->stopped = true;
        d->exit_code = exit_code;
    }
}

void driver_effect(driver_t *d, const struct effect *fx)
{
    switch (fx->type) {
    case FX_PEER:
        admit_peer(d, fx);
        break;
    case FX_PEER_GONE:
        links_forget(d->links, &fx->as.peer.id);
        seal_peer_remove(d->seal, &fx->as.peer.id);
        break;
    case FX_DATAGRAM:
    case FX_MAIL:
        send_datagram(d, fx);
        break;
    case FX_FRAME:
        send_frame(d, fx);
        break;
    case FX_DIAL:
        dial(d, fx);
        break;
    case FX_HANGUP:
        links_hangup(d->links, &fx->as.dial.peer);
        break;
    case FX_CONNECT:
        probe(d, fx);
        break;
    case FX_BEACON:
        beacon_send(d->beacon);
        break;
    case FX_ZRE_HELLO:
        zre_greet(d->zre, &fx->as.zre_hello.to, &fx->as.zre_hello.id, clock_boot_ns());
        break;
    case FX_PERSIST:
        persist(d, fx);
        break;
    case FX_REPLY:
        (void) local_api_reply(d->api, fx->as.reply.client,
                               fx->as.reply.body); /* counts its losses */
        break;
    case FX_NOTE:
        if (fx->as.note.code == NOTE_STARTED || fx->as.note.code == NOTE_RENAMED) {
            log_set_node(d->log, fx->as.note.name); /* the stored name, or a new one */
        }
        log_note(d->log, &fx->as.note);
        d->members_stale = true; /* each change of a member is noted */
        break;
    case FX_STOP:
        stop(d, fx->as.stop.exit_code);
        break;
    }
}
