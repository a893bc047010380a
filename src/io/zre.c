/* SPDX-License-Identifier: MPL-2.0 */
/* The ZRE mailbox: see zre.h. */
#define _GNU_SOURCE
#include "io/zre.h"

#include "base/err.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/inbound.h"
#include "io/sockaddr.h"
#include "wire/zre_msg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

/* As Zyre's: after 5 s of silence a peer is pinged, after 30 s it is forgotten. */
#define EVASIVE_NS (5 * NS_PER_S)
#define EXPIRED_NS (30 * NS_PER_S)
#define HANDSHAKE_MS 3000
#define QUEUE_MAX 64            /* messages per peer in each direction */
#define CONTENT_BYTES_MAX 65536 /* a frame of a WHISPER or SHOUT; whoever sends more is cut off */
#define HEADER_NAME "X-HOMEMESH"

struct peer {
    void *dealer; /* NULL: free entry */
    struct node_id id;
    struct addr to;
    bool said_hello;
    uint16_t next_sequence; /* expected from it */
    uint16_t sent_sequence;
    uint64_t heard_ns; /* last sign of it; at first: when we greeted it */
    uint64_t pinged_ns;
};

struct zre {
    void *zmq_ctx;
    void *router;
    inbound_t *inbound;
    struct node_id id;
    struct addr bind;
    struct addr advertise;
    char mesh[HM_MESH_NAME_BYTES_MAX + 1];
    char name[HM_NAME_BYTES_MAX + 1];
    struct metrics *metrics;
    struct buf out;
    struct buf list;
    struct peer peers[HM_ZRE_PEERS_MAX];
    size_t peer_count;
};

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static bool is_any(const struct addr *a)
{
    static const uint8_t zero[16];
    return a->family == 0 || memcmp(a->ip, zero, sizeof zero) == 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int configure(void *socket, int family)
{
    int64_t bytes_max = CONTENT_BYTES_MAX;
    return set_int(socket, ZMQ_LINGER, 0) != 0 || set_int(socket, ZMQ_SNDTIMEO, 0) != 0 ||
                   set_int(socket, ZMQ_SNDHWM, QUEUE_MAX) != 0 ||
                   set_int(socket, ZMQ_RCVHWM, QUEUE_MAX) != 0 ||
                   set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS) != 0 ||
                   set_int(socket, ZMQ_IPV6, family == 6) != 0 ||
                   zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max) != 0
               ? -1
               : 0;
}

static int open_router(zre_t *z)
{
    char endpoint[ADDR_TEXT_BYTES + 8];
    char text[ADDR_TEXT_BYTES];
    struct addr bind = z->bind;
    if (bind.family == 0) {
        bind = addr_v4(0, 0, 0, 0, bind.port);
    }
    z->router = zmq_socket(z->zmq_ctx, ZMQ_ROUTER);
    /* A peer that reconnects takes its mailbox over, as with Zyre. */
    if (z->router == NULL || configure(z->router, bind.family) != 0 ||
        set_int(z->router, ZMQ_ROUTER_HANDOVER, 1) != 0) {
        return -1;
    }
    z->inbound = inbound_new(z->zmq_ctx, z->router, z->metrics);
    if (z->inbound == NULL) {
        errno = ENOMEM;
        return -1;
    }
    snprintf(endpoint, sizeof endpoint, "tcp://%s", addr_format(&bind, text));
    return zmq_bind(z->router, endpoint);
}

int zre_new(const struct zre_conf *conf, zre_t **ret_zre)
{
    zre_t *z = calloc(1, sizeof *z);
    if (z == NULL) {
        return HM_ENOMEM;
    }
    z->zmq_ctx = conf->zmq_ctx;
    z->id = conf->id;
    z->bind = conf->bind;
    z->advertise = conf->advertise;
    z->advertise.port = conf->bind.port;
    z->metrics = conf->metrics;
    text_copy(z->mesh, sizeof z->mesh, conf->mesh);
    text_copy(z->name, sizeof z->name, conf->name);
    buf_init(&z->out, ZRE_MSG_BYTES_MAX);
    buf_init(&z->list, ZRE_MSG_BYTES_MAX);
    if (open_router(z) != 0) {
        int saved = errno;
        zre_destroy(&z);
        errno = saved;
        return saved == EADDRINUSE ? HM_EBUSY : HM_EIO;
    }
    *ret_zre = z;
    return HM_OK;
}

static void forget(zre_t *z, struct peer *p)
{
    zmq_close(p->dealer);
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
    inbound_destroy(&z->inbound);
    if (z->router != NULL) {
        zmq_close(z->router);
    }
    buf_fini(&z->out);
    buf_fini(&z->list);
    free(z);
    *p = NULL;
}

void *zre_socket(const zre_t *zre)
{
    return zre->router;
}

void *zre_monitor(const zre_t *zre)
{
    return inbound_socket(zre->inbound);
}

size_t zre_peer_count(const zre_t *zre)
{
    return zre->peer_count;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* A message that the peer's queue refuses is lost, and the gap ends us there: it greets us anew. */
static void send_msg(zre_t *z, struct peer *p, struct zre_msg *msg)
{
    msg->sequence = ++p->sent_sequence;
    buf_clear(&z->out);
    zre_msg_write(&z->out, msg);
    if (!buf_failed(&z->out)) {
        zmq_send(p->dealer, z->out.data, z->out.size, ZMQ_DONTWAIT);
    }
}

static void send_plain(zre_t *z, struct peer *p, enum zre_msg_id id)
{
    struct zre_msg msg = {.id = (uint8_t) id};
    send_msg(z, p, &msg);
}

/* Our address as the peer would see it: what the routing table says, and nothing is sent. */
static struct addr address_towards(const zre_t *z, const struct addr *to)
{
    struct addr own = z->advertise;
    struct sockaddr_storage sa;
    socklen_t size = sockaddr_of_addr(to, &sa);
    if (!is_any(&z->bind)) {
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
        send_msg(z, p, &hello);
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

static struct peer *find_free(zre_t *z)
{
    for (size_t i = 0; i < HM_ZRE_PEERS_MAX; i++) {
        if (z->peers[i].dealer == NULL) {
            return &z->peers[i];
        }
    }
    return NULL;
}

/* A socket to the peer's mailbox. It tries once: whoever is there is greeted again by its beacon.
 */
static void *dial(const zre_t *z, const struct addr *to)
{
    uint8_t identity[ZRE_IDENTITY_BYTES];
    char endpoint[ADDR_TEXT_BYTES + 8];
    char text[ADDR_TEXT_BYTES];
    void *dealer = zmq_socket(z->zmq_ctx, ZMQ_DEALER);
    if (dealer == NULL) {
        return NULL;
    }
    zre_identity_write(&z->id, identity);
    snprintf(endpoint, sizeof endpoint, "tcp://%s", addr_format(to, text));
    if (configure(dealer, to->family) != 0 || set_int(dealer, ZMQ_RECONNECT_IVL, -1) != 0 ||
        zmq_setsockopt(dealer, ZMQ_ROUTING_ID, identity, sizeof identity) != 0 ||
        zmq_connect(dealer, endpoint) != 0) {
        zmq_close(dealer);
        return NULL;
    }
    return dealer;
}

static struct peer *greet(zre_t *z, const struct addr *to, const struct node_id *id,
                          uint64_t now_ns)
{
    struct peer *p = find_free(z);
    void *dealer = p == NULL ? NULL : dial(z, to);
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
        greet(zre, to, id, now_ns);
    }
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
static int mailbox_of(const struct zre_msg *hello, const char *peer_ip, struct addr *ret_addr)
{
    struct addr named, from;
    if (zre_endpoint_read(hello->endpoint, &named) != HM_OK || peer_ip == NULL ||
        addr_parse(peer_ip, named.port, &from) != HM_OK) {
        return HM_EMALFORMED;
    }
    from.port = named.port;
    *ret_addr = from;
    return HM_OK;
}

/* HM_OK: a candidate; HM_ENOTFOUND: none; HM_EMALFORMED. */
static int take_hello(zre_t *z, const struct node_id *id, const struct zre_msg *msg,
                      const char *peer_ip, uint64_t now_ns, struct addr *ret_addr)
{
    struct addr at;
    if (mailbox_of(msg, peer_ip, &at) != HM_OK) {
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
    if (p != NULL && p->said_hello) {
        forget(z, p); /* it began anew, and knows nothing of us */
        p = NULL;
    }
    if (p == NULL) {
        p = greet(z, &at, id, now_ns);
    }
    if (p != NULL) {
        p->id = *id;
        p->said_hello = true;
        p->next_sequence = (uint16_t) (msg->sequence + 1);
        p->heard_ns = now_ns;
    }
    if (!names_our_mesh(z, msg)) {
        return HM_ENOTFOUND;
    }
    *ret_addr = at;
    return HM_OK;
}

static void take_other(zre_t *z, const struct node_id *id, const struct zre_msg *msg,
                       uint64_t now_ns)
{
    struct peer *p = find_id(z, id);
    if (p == NULL || !p->said_hello) {
        return; /* RFC 36: a peer that did not say HELLO is not there */
    }
    if (msg->sequence != p->next_sequence) {
        forget(z, p); /* something was lost: both begin anew */
        return;
    }
    p->next_sequence++;
    p->heard_ns = now_ns;
    if (msg->id == ZRE_PING) {
        send_plain(z, p, ZRE_PING_OK);
    }
}

/* Two frames of a message are of interest: who, and what. */
struct mail {
    uint8_t who[ZRE_IDENTITY_BYTES + 1];
    size_t who_bytes;
    zmq_msg_t what;
};

/* Reads one message to its last frame; false if there is none. mail->what is initialised. */
static bool receive(void *router, struct mail *mail)
{
    zmq_msg_t frame;
    bool more = true;
    int frames = 0;
    zmq_msg_init(&frame);
    zmq_msg_init(&mail->what);
    mail->who_bytes = 0;
    while (more) {
        if (zmq_msg_recv(&frame, router, ZMQ_DONTWAIT) < 0) {
            if (errno == EINTR) {
                continue;
            }
            break;
        }
        more = zmq_msg_more(&frame) != 0;
        if (frames == 0 && zmq_msg_size(&frame) == ZRE_IDENTITY_BYTES) {
            mail->who_bytes = ZRE_IDENTITY_BYTES;
            memcpy(mail->who, zmq_msg_data(&frame), ZRE_IDENTITY_BYTES);
        } else if (frames == 1) {
            zmq_msg_move(&mail->what, &frame);
        }
        frames += frames < 2;
    }
    zmq_msg_close(&frame);
    return frames > 0;
}

static int take_mail(zre_t *z, struct mail *mail, uint64_t now_ns, struct addr *ret_addr,
                     struct node_id *ret_id)
{
    struct node_id id;
    struct zre_msg msg;
    struct span bytes = span_of(zmq_msg_data(&mail->what), zmq_msg_size(&mail->what));
    if (!zre_identity_read(span_of(mail->who, mail->who_bytes), &id) || node_id_is_zero(&id) ||
        zre_msg_read(bytes, &msg) != HM_OK) {
        return HM_EMALFORMED;
    }
    if (node_id_eq(&id, &z->id)) {
        return HM_ENOTFOUND;
    }
    metric_add(z->metrics, M_ZRE_RECEIVED, 1);
    if (msg.id != ZRE_HELLO) {
        take_other(z, &id, &msg, now_ns);
        return HM_ENOTFOUND;
    }
    const char *peer_ip = zmq_msg_gets(&mail->what, "Peer-Address");
    int rc = take_hello(z, &id, &msg, peer_ip, now_ns, ret_addr);
    if (rc == HM_OK) {
        *ret_id = id;
    }
    return rc;
}

int zre_take(zre_t *zre, uint64_t now_ns, struct addr *ret_addr, struct node_id *ret_id)
{
    int rc = HM_ENOTFOUND;
    inbound_take(zre->inbound, zre->bind.port);
    for (int i = 0; i < ZRE_TURN_MAX && rc != HM_OK; i++) {
        struct mail mail;
        bool taken = receive(zre->router, &mail);
        if (taken) {
            rc = take_mail(zre, &mail, now_ns, ret_addr, ret_id);
            metric_add(zre->metrics, M_ZRE_MALFORMED, rc == HM_EMALFORMED);
        }
        zmq_msg_close(&mail.what);
        if (!taken) {
            break;
        }
    }
    return rc == HM_OK ? HM_OK : HM_ENOTFOUND;
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
