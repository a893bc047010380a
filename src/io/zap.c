/* SPDX-License-Identifier: MPL-2.0 */
/* The ZAP handler: see zap.h. */
#define _GNU_SOURCE
#include "io/zap.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "io/multipart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define ENDPOINT "inproc://zeromq.zap.01" /* RFC 27; one per context */
#define PARTS_MAX 8

struct admitted {
    struct node_id peer;
    uint8_t key[ZAP_KEY_BYTES];
};

struct zap {
    reactor_t *reactor;
    struct metrics *metrics;
    void *socket;
    struct admitted *admitted; /* sorted by key: requests come by it */
    size_t count;
    size_t room;
    uint64_t serial;
};

struct part {
    uint8_t data[256];
    size_t size; /* as sent; what data cannot hold is cut */
};

/* Where a key is, or would be. */
static size_t place_of(const zap_t *z, const uint8_t *key)
{
    size_t low = 0;
    size_t high = z->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(z->admitted[middle].key, key, ZAP_KEY_BYTES) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const struct admitted *find_key(const zap_t *z, const uint8_t *key)
{
    size_t at = place_of(z, key);
    bool is_there = at < z->count && memcmp(z->admitted[at].key, key, ZAP_KEY_BYTES) == 0;
    return is_there ? &z->admitted[at] : NULL;
}

const uint8_t *zap_key_of(const zap_t *z, const struct node_id *peer)
{
    for (size_t i = 0; i < z->count; i++) {
        if (node_id_eq(&z->admitted[i].peer, peer)) {
            return z->admitted[i].key;
        }
    }
    return NULL;
}

int zap_admit(zap_t *z, const struct node_id *peer, const uint8_t key[ZAP_KEY_BYTES])
{
    if (find_key(z, key) != NULL) {
        return HM_OK;
    }
    if (z->count == HM_MEMBERS_MAX) {
        return HM_EFULL;
    }
    if (z->count == z->room) {
        size_t room = z->room == 0 ? 16 : 2 * z->room;
        struct admitted *grown = realloc(z->admitted, room * sizeof *grown);
        if (grown == NULL) {
            return HM_ENOMEM;
        }
        z->admitted = grown;
        z->room = room;
    }
    size_t at = place_of(z, key);
    memmove(&z->admitted[at + 1], &z->admitted[at], (z->count - at) * sizeof *z->admitted);
    z->admitted[at].peer = *peer;
    memcpy(z->admitted[at].key, key, ZAP_KEY_BYTES);
    z->count++;
    return HM_OK;
}

void zap_forget(zap_t *z, const struct node_id *peer)
{
    for (size_t i = 0; i < z->count; i++) {
        if (node_id_eq(&z->admitted[i].peer, peer)) {
            z->count--;
            memmove(&z->admitted[i], &z->admitted[i + 1], (z->count - i) * sizeof *z->admitted);
            return;
        }
    }
}

int zap_user_id_read(const char *text, struct node_id *ret_peer, uint64_t *ret_serial)
{
    char id[NODE_ID_TEXT_BYTES];
    if (text == NULL || strlen(text) <= NODE_ID_TEXT_BYTES || text[2 * NODE_ID_BYTES] != '.') {
        return HM_EMALFORMED;
    }
    memcpy(id, text, sizeof id - 1);
    id[sizeof id - 1] = '\0';
    int rc = text_unhex(id, ret_peer->b, NODE_ID_BYTES);
    return rc == HM_OK ? text_to_u64(text + NODE_ID_TEXT_BYTES, UINT64_MAX, ret_serial) : rc;
}

/* Returns how many parts there were, 0 if there is no request. Those beyond PARTS_MAX are dropped.
 */
static size_t receive(void *socket, struct part parts[PARTS_MAX])
{
    size_t count = 0;
    do {
        struct part *part = &parts[count < PARTS_MAX ? count : PARTS_MAX - 1];
        int n = zmq_recv(socket, part->data, sizeof part->data, ZMQ_DONTWAIT);
        if (n < 0) {
            return 0;
        }
        part->size = (size_t) n;
        count++;
    } while (multipart_has_more(socket));
    return count;
}

static bool part_is(const struct part *part, const char *text)
{
    return part->size == strlen(text) && memcmp(part->data, text, part->size) == 0;
}

/* Reply: version, sequence, status code, text, user id, metadata. */
static void reply(void *socket, const struct part *sequence, const char *code, const char *user_id)
{
    int more = ZMQ_DONTWAIT | ZMQ_SNDMORE;
    /* Libzmq's own end of an inproc pipe: it has room. */
    zmq_send(socket, "1.0", 3, more);
    zmq_send(socket, sequence->data, sequence->size, more);
    zmq_send(socket, code, strlen(code), more);
    zmq_send(socket, "", 0, more);
    zmq_send(socket, user_id, strlen(user_id), more);
    zmq_send(socket, "", 0, ZMQ_DONTWAIT);
}

/* Request: version, sequence, domain, address, routing id, mechanism, key. Our own dialers set no
 * routing id; a peer that sets one wants to be taken for somebody else. */
static bool read_request(void *ctx)
{
    zap_t *z = ctx;
    struct part parts[PARTS_MAX];
    size_t count = receive(z->socket, parts);
    if (count == 0) {
        return false;
    }
    const struct admitted *who = NULL;
    if (count == 7 && part_is(&parts[0], "1.0") && part_is(&parts[2], ZAP_DOMAIN) &&
        parts[4].size == 0 && part_is(&parts[5], "CURVE") && parts[6].size == ZAP_KEY_BYTES) {
        who = find_key(z, parts[6].data);
    }
    struct part none = {.size = 0};
    const struct part *sequence =
        count < 2 || parts[1].size > sizeof parts[1].data ? &none : &parts[1];
    if (who == NULL) {
        metric_add(z->metrics, M_LINK_DENIED, 1);
        reply(z->socket, sequence, "400", "");
        return true;
    }
    char hex[NODE_ID_TEXT_BYTES];
    char user_id[NODE_ID_TEXT_BYTES + 24];
    snprintf(user_id, sizeof user_id, "%s.%llu", text_hex(who->peer.b, NODE_ID_BYTES, hex),
             (unsigned long long) ++z->serial);
    reply(z->socket, sequence, "200", user_id);
    return true;
}

zap_t *zap_new(void *zmq_ctx, reactor_t *r, struct metrics *metrics)
{
    zap_t *z = calloc(1, sizeof *z);
    if (z == NULL) {
        return NULL;
    }
    z->reactor = r;
    z->metrics = metrics;
    z->socket = zmq_socket(zmq_ctx, ZMQ_REP);
    int linger = 0;
    if (z->socket == NULL || zmq_setsockopt(z->socket, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_bind(z->socket, ENDPOINT) != 0 ||
        reactor_add_socket(r, z->socket, REACTOR_LINKS, read_request, z) != HM_OK) {
        zap_destroy(&z);
    }
    return z;
}

void zap_destroy(zap_t **p)
{
    if (*p == NULL) {
        return;
    }
    if ((*p)->socket != NULL) {
        reactor_remove_socket((*p)->reactor, (*p)->socket);
        zmq_close((*p)->socket);
    }
    free((*p)->admitted);
    free(*p);
    *p = NULL;
}
