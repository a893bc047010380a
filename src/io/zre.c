/* SPDX-License-Identifier: MPL-2.0 */
/* The ZRE mailbox: see zre.h. */
#define _GNU_SOURCE
#include "io/zre.h"

#include "base/err.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/mailbox.h"
#include "io/sockaddr.h"
#include "io/zmtp_conn.h"
#include "io/zre_about.h"
#include "wire/zre_msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* As Zyre's: after 5 s of silence a peer is pinged, after 30 s it is forgotten. */
#define EVASIVE_NS (5 * NS_PER_S)
#define EXPIRED_NS (30 * NS_PER_S)
#define HEADER_NAME "X-HOMEMESH"

struct peer {
    zmtp_conn_t *dealer; /* NULL: free entry; ended when the peer's mailbox is gone */
    struct node_id id;
    struct addr to;
    bool said_hello;
    bool is_ours; /* its HELLO named our mesh */
    uint16_t next_sequence; /* expected from it */
    uint16_t sent_sequence;
    uint64_t heard_ns; /* last sign of it; at first: when we greeted it */
    uint64_t pinged_ns;
    uint64_t hello_ns;
    struct zre_about about;
};

struct zre {
    reactor_t *reactor;
    mailbox_t *mailbox;
    struct node_id id;
    struct addr bind;
    struct addr advertise;
    char mesh[HM_MESH_NAME_BYTES_MAX + 1];
    char name[HM_NAME_BYTES_MAX + 1];
    struct metrics *metrics;
    void (*candidate)(void *ctx, const struct addr *at, const struct node_id *id);
    void (*whisper)(void *ctx, const struct addr *from, struct span content);
    void *ctx;
    struct buf out;
    struct buf list;
    struct peer peers[HM_ZRE_PEERS_MAX];
    size_t peer_count;
};

static void take_mail(void *ctx, const struct node_id *id, const struct addr *from,
                      struct span bytes, struct span content);
static bool is_peer(void *ctx, const struct node_id *id);

/* ---- opening --------------------------------------------------------------------------------- */

int zre_new(const struct zre_conf *conf, zre_t **ret_zre)
{
    zre_t *z = calloc(1, sizeof *z);
    if (z == NULL) {
        return HM_ENOMEM;
    }
    z->reactor = conf->reactor;
    z->id = conf->id;
    z->bind = conf->bind;
    z->advertise = conf->advertise;
    z->advertise.port = conf->bind.port;
    z->metrics = conf->metrics;
    z->candidate = conf->candidate;
    z->whisper = conf->whisper;
    z->ctx = conf->ctx;
    text_copy(z->mesh, sizeof z->mesh, conf->mesh);
    text_copy(z->name, sizeof z->name, conf->name);
    buf_init(&z->out, ZRE_MSG_BYTES_MAX);
    buf_init(&z->list, ZRE_MSG_BYTES_MAX);
    struct mailbox_handler handler = {z, take_mail, is_peer};
    int rc = mailbox_new(z->reactor, &z->bind, z->metrics, &handler, &z->mailbox);
    if (rc != HM_OK) {
        zre_destroy(&z);
        return rc;
    }
    *ret_zre = z;
    return HM_OK;
}

static void forget(zre_t *z, struct peer *p)
{
    zmtp_conn_destroy(&p->dealer);
    zre_about_fini(&p->about);
    memset(p, 0, sizeof *p);
    z->peer_count--;
}

void zre_destroy(zre_t **p)
{
    zre_t *z = *p;
    if (z == NULL) {
        return;
    }
    for (size_t i = 0; i < HM_ZRE_PEERS_MAX; i++) {
        if (z->peers[i].dealer != NULL) {
            forget(z, &z->peers[i]);
        }
    }
    mailbox_destroy(&z->mailbox);
    buf_fini(&z->out);
    buf_fini(&z->list);
    free(z);
    *p = NULL;
}

bool zre_has_hello(const zre_t *zre, const struct node_id *id)
{
    for (size_t i = 0; i < HM_ZRE_PEERS_MAX; i++) {
        const struct peer *p = &zre->peers[i];
        if (p->dealer != NULL && p->said_hello && node_id_eq(&p->id, id)) {
            return true;
        }
    }
    return false;
}

size_t zre_peer_count(const zre_t *zre)
{
    return zre->peer_count;
}

bool zre_peer_at(const zre_t *zre, size_t idx, struct fact_peer *ret_peer)
{
    uint64_t now_ns = reactor_now_ns(zre->reactor);
    for (size_t i = 0; i < HM_ZRE_PEERS_MAX; i++) {
        const struct peer *p = &zre->peers[i];
        if (p->dealer == NULL || !p->said_hello || idx-- > 0) {
            continue;
        }
        *ret_peer = (struct fact_peer){
            .id = p->id,
            .addr = p->to,
            .name = span_of(p->about.name, p->about.name_bytes),
            .groups = zre_about_groups(&p->about),
            .headers = zre_about_headers(&p->about),
            .is_cut = p->about.is_cut,
            .since_ago_ns = now_ns > p->hello_ns ? now_ns - p->hello_ns : 0,
            .heard_ago_ns = now_ns > p->heard_ns ? now_ns - p->heard_ns : 0,
        };
        return true;
    }
    return false;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* A message that the peer's queue refuses is lost, and the gap ends us there: it greets us anew. */
static void send_msg(zre_t *z, struct peer *p, struct zre_msg *msg, struct span content)
{
    msg->sequence = ++p->sent_sequence;
    buf_clear(&z->out);
    zre_msg_write(&z->out, msg);
    if (!buf_failed(&z->out)) {
        zmtp_conn_send(p->dealer, buf_span(&z->out), content);
    }
}

static void send_plain(zre_t *z, struct peer *p, enum zre_msg_id id)
{
    struct zre_msg msg = {.id = (uint8_t) id};
    send_msg(z, p, &msg, span_of(NULL, 0));
}

/* Our address as the peer would see it: what the routing table says, and nothing is sent. */
static struct addr address_towards(const zre_t *z, const struct addr *to)
{
    struct addr own = z->advertise;
    struct sockaddr_storage sa;
    socklen_t size = sockaddr_of_addr(to, &sa);
    if (!addr_is_any(&z->bind)) {
        return z->bind;
    }
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *) &sa, size) == 0) {
        size = sizeof sa;
        if (getsockname(fd, (struct sockaddr *) &sa, &size) == 0) {
            addr_of_sockaddr((const struct sockaddr *) &sa, &own);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    own.port = z->bind.port;
    return own;
}

static void send_hello(zre_t *z, struct peer *p)
{
    struct addr own = address_towards(z, &p->to);
    char endpoint[ADDR_TEXT_BYTES + 8];
    char text[ADDR_TEXT_BYTES];
    struct span mesh = span_of(z->mesh, strlen(z->mesh));
    snprintf(endpoint, sizeof endpoint, "tcp://%s", addr_format(&own, text));
    /* One buffer for both lists: it may move while it grows, so take the spans at the end. */
    buf_clear(&z->list);
    zre_strings_add(&z->list, mesh);
    size_t groups_bytes = z->list.size;
    zre_headers_add(&z->list, span_of(HEADER_NAME, sizeof HEADER_NAME - 1), mesh);
    struct span all = buf_span(&z->list);
    struct zre_msg hello = {
        .id = ZRE_HELLO,
        .endpoint = span_of(endpoint, strlen(endpoint)),
        .groups = {span_of(all.data, groups_bytes), 1},
        .status = 1, /* one join so far: the group */
        .name = span_of(z->name, strlen(z->name)),
        .headers = {span_of(all.data + groups_bytes, all.size - groups_bytes), 1},
    };
    if (!buf_failed(&z->list)) {
        send_msg(z, p, &hello, span_of(NULL, 0));
    }
}

/* ---- peers ----------------------------------------------------------------------------------- */

static struct peer *find_id(zre_t *z, const struct node_id *id)
{
    for (size_t i = 0; i < HM_ZRE_PEERS_MAX; i++) {
        if (z->peers[i].dealer != NULL && node_id_eq(&z->peers[i].id, id)) {
            return &z->peers[i];
        }
    }
    return NULL;
}

static struct peer *find_addr(zre_t *z, const struct addr *to)
{
    for (size_t i = 0; i < HM_ZRE_PEERS_MAX; i++) {
        if (z->peers[i].dealer != NULL && addr_eq(&z->peers[i].to, to)) {
            return &z->peers[i];
        }
    }
    return NULL;
}

/* Who is not there, or does not answer the handshake, gives way, the longest unheard first. */
static struct peer *find_mute(zre_t *z)
{
    struct peer *mute = NULL;
    for (size_t i = 0; i < HM_ZRE_PEERS_MAX; i++) {
        struct peer *p = &z->peers[i];
        if (!zmtp_conn_is_open(p->dealer) && (mute == NULL || p->heard_ns < mute->heard_ns)) {
            mute = p;
        }
    }
    return mute;
}

static struct peer *find_free(zre_t *z)
{
    for (size_t i = 0; i < HM_ZRE_PEERS_MAX; i++) {
        if (z->peers[i].dealer == NULL) {
            return &z->peers[i];
        }
    }
    return NULL;
}

static bool is_peer(void *ctx, const struct node_id *id)
{
    const struct peer *p = find_id(ctx, id);
    return p != NULL && p->said_hello;
}

/* To the peer's mailbox. It tries once: whoever is there is greeted again by its beacon. What comes
 * back on it is read and thrown away. */
static zmtp_conn_t *dial(const zre_t *z, const struct addr *to)
{
    static const struct zmtp_conn_handler none;
    uint8_t identity[ZRE_IDENTITY_BYTES];
    zre_identity_write(&z->id, identity);
    return zmtp_conn_dial(z->reactor, to, span_of(identity, sizeof identity), z->metrics, &none);
}

/* Only who is known to be there may take a mute one's place: beacons can be forged, by thousands. */
static struct peer *greet(zre_t *z, const struct addr *to, const struct node_id *id,
                          uint64_t now_ns, bool is_there)
{
    struct peer *p = find_free(z);
    struct peer *mute = p == NULL && is_there ? find_mute(z) : NULL;
    if (mute != NULL) {
        metric_add(z->metrics, M_DROP_FULL, 1);
        forget(z, mute);
        p = mute;
    }
    zmtp_conn_t *dealer = p == NULL ? NULL : dial(z, to);
    if (dealer == NULL) {
        metric_add(z->metrics, M_DROP_FULL, 1);
        return NULL;
    }
    memset(p, 0, sizeof *p);
    p->dealer = dealer;
    p->id = *id;
    p->to = *to;
    p->heard_ns = now_ns;
    p->pinged_ns = now_ns;
    z->peer_count++;
    send_hello(z, p);
    return p;
}

void zre_greet(zre_t *zre, const struct addr *to, const struct node_id *id, uint64_t now_ns)
{
    bool is_known = (!node_id_is_zero(id) && find_id(zre, id) != NULL) ||
                    find_addr(zre, to) != NULL || node_id_eq(id, &zre->id);
    if (!is_known && to->port != 0 && to->family != 0) {
        greet(zre, to, id, now_ns, false);
    }
}

int zre_whisper(zre_t *zre, const struct addr *to, const struct node_id *id, struct span bytes)
{
    struct zre_msg msg = {.id = ZRE_WHISPER};
    struct peer *p = node_id_is_zero(id) ? find_addr(zre, to) : find_id(zre, id);
    if (p == NULL || !p->is_ours || zmtp_conn_is_ended(p->dealer)) {
        return HM_ENOTFOUND;
    }
    send_msg(zre, p, &msg, bytes);
    return HM_OK;
}

/* ---- receiving ------------------------------------------------------------------------------- */

static bool names_our_mesh(const zre_t *z, const struct zre_msg *hello)
{
    struct span mesh;
    return zre_headers_find(&hello->headers, HEADER_NAME, &mesh) && mesh.size == strlen(z->mesh) &&
           memcmp(mesh.data, z->mesh, mesh.size) == 0;
}

/* Where the sender of a HELLO is: the address its connection comes from, which it cannot choose,
 * and the port it names. So no stranger makes us dial a third. */
static int mailbox_of(const struct zre_msg *hello, const struct addr *from, struct addr *ret_addr)
{
    struct addr named;
    if (zre_endpoint_read(hello->endpoint, &named) != HM_OK) {
        return HM_EMALFORMED;
    }
    *ret_addr = *from;
    ret_addr->port = named.port;
    return HM_OK;
}

/* HM_OK: a candidate; HM_ENOTFOUND: none; HM_EMALFORMED. */
static int take_hello(zre_t *z, const struct node_id *id, const struct zre_msg *msg,
                      const struct addr *from, uint64_t now_ns, struct addr *ret_addr)
{
    struct addr at;
    if (mailbox_of(msg, from, &at) != HM_OK) {
        return HM_EMALFORMED;
    }
    struct peer *p = find_id(z, id);
    if (p == NULL) {
        p = find_addr(z, &at); /* greeted before its UUID was known */
        if (p != NULL && !node_id_is_zero(&p->id)) {
            forget(z, p); /* another one lives there now */
            p = NULL;
        }
    }
    if (p != NULL && (p->said_hello || zmtp_conn_is_ended(p->dealer))) {
        forget(z, p); /* it began anew, or was not there yet, and knows nothing of us */
        p = NULL;
    }
    if (p == NULL) {
        p = greet(z, &at, id, now_ns, true);
    }
    if (p != NULL) {
        p->id = *id;
        p->said_hello = true;
        p->is_ours = names_our_mesh(z, msg);
        p->hello_ns = now_ns;
        zre_about_hello(&p->about, msg);
        p->next_sequence = (uint16_t) (msg->sequence + 1);
        p->heard_ns = now_ns;
    }
    if (!names_our_mesh(z, msg)) {
        return HM_ENOTFOUND;
    }
    *ret_addr = at;
    return HM_OK;
}

/* zyre.js goes from 65534 to 0: that is no gap. */
static bool is_next(uint16_t sequence, uint16_t expected)
{
    return sequence == expected || (expected == UINT16_MAX && sequence == 0);
}

static void take_other(zre_t *z, const struct node_id *id, const struct zre_msg *msg,
                       struct span content, uint64_t now_ns)
{
    struct peer *p = find_id(z, id);
    if (p == NULL || !p->said_hello) {
        return; /* RFC 36: a peer that did not say HELLO is not there */
    }
    if (!is_next(msg->sequence, p->next_sequence)) {
        forget(z, p); /* something was lost: both begin anew */
        return;
    }
    p->next_sequence = (uint16_t) (msg->sequence + 1);
    p->heard_ns = now_ns;
    if (msg->id == ZRE_PING) {
        send_plain(z, p, ZRE_PING_OK);
    } else if (msg->id == ZRE_JOIN) {
        zre_about_join(&p->about, msg->group);
    } else if (msg->id == ZRE_LEAVE) {
        zre_about_leave(&p->about, msg->group);
    } else if (msg->id == ZRE_WHISPER && p->is_ours && content.size > 0 && z->whisper != NULL) {
        struct addr from = p->to; /* the entry may be gone before the call ends */
        z->whisper(z->ctx, &from, content);
    }
}

/* HM_OK: *ret_addr is a candidate; HM_ENOTFOUND: none; HM_EMALFORMED. */
static int take_msg(zre_t *z, const struct node_id *id, const struct addr *from, struct span bytes,
                    struct span content, struct addr *ret_addr)
{
    struct zre_msg msg;
    uint64_t now_ns = reactor_now_ns(z->reactor);
    if (node_id_is_zero(id) || zre_msg_read(bytes, &msg) != HM_OK) {
        return HM_EMALFORMED;
    }
    if (node_id_eq(id, &z->id)) {
        return HM_ENOTFOUND;
    }
    metric_add(z->metrics, M_ZRE_RECEIVED, 1);
    if (msg.id != ZRE_HELLO) {
        take_other(z, id, &msg, content, now_ns);
        return HM_ENOTFOUND;
    }
    return take_hello(z, id, &msg, from, now_ns, ret_addr);
}

static void take_mail(void *ctx, const struct node_id *id, const struct addr *from,
                      struct span bytes, struct span content)
{
    zre_t *z = ctx;
    struct addr at;
    int rc = take_msg(z, id, from, bytes, content, &at);
    if (rc == HM_EMALFORMED) {
        struct peer *p = node_id_is_zero(id) ? NULL : find_id(z, id);
        metric_add(z->metrics, M_ZRE_MALFORMED, 1);
        if (p != NULL) {
            forget(z, p); /* its next number would be a gap anyway */
        }
    } else if (rc == HM_OK) {
        z->candidate(z->ctx, &at, id);
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static uint64_t ping_due(const struct peer *p)
{
    uint64_t last = p->heard_ns > p->pinged_ns ? p->heard_ns : p->pinged_ns;
    return last + EVASIVE_NS;
}

void zre_tick(zre_t *zre, uint64_t now_ns)
{
    for (size_t i = 0; i < HM_ZRE_PEERS_MAX; i++) {
        struct peer *p = &zre->peers[i];
        if (p->dealer == NULL) {
            continue;
        }
        if (now_ns >= p->heard_ns + EXPIRED_NS) {
            forget(zre, p);
        } else if (now_ns >= ping_due(p)) {
            p->pinged_ns = now_ns;
            send_plain(zre, p, ZRE_PING);
        }
    }
}

uint64_t zre_deadline_ns(const zre_t *zre)
{
    uint64_t first = TIMER_NEVER;
    for (size_t i = 0; i < HM_ZRE_PEERS_MAX; i++) {
        const struct peer *p = &zre->peers[i];
        if (p->dealer != NULL) {
            uint64_t due = p->heard_ns + EXPIRED_NS;
            due = ping_due(p) < due ? ping_due(p) : due;
            first = due < first ? due : first;
        }
    }
    return first;
}
