/* SPDX-License-Identifier: MPL-2.0 */
/* Sealing and opening datagrams: see seal.h. Peers are in an open-addressing table by id; their
 * secrets in slabs of sodium_malloc'ed memory, since one such allocation costs several pages. */
#define _GNU_SOURCE
#include "io/seal.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/metrics.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define SLAB_PEERS 64
#define SLABS_MAX ((HM_MEMBERS_MAX + SLAB_PEERS - 1) / SLAB_PEERS)
#define TABLE_ROOM_FIRST 64 /* a power of two, as all sizes of the table */

_Static_assert(KEY_BYTES == KEYS_KEY_BYTES, "mesh keys are AEAD keys");
_Static_assert(DATAGRAM_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
_Static_assert(NONCE_BYTES == 24, "nonce: session, counter, zeros");

/* One direction each, one per key of the ring. */
struct pair_keys {
    uint8_t send[KEY_BYTES];
    uint8_t receive[KEYS_RING_MAX][KEY_BYTES];
};

struct peer {
    struct node_id id;
    uint8_t public_key[KEYS_KEY_BYTES];
    bool used;
    bool bad;               /* its key is no point of the curve */
    struct pair_keys *keys; /* NULL until first used */
};

struct seal {
    const keys_t *keys;
    uint64_t mesh_tag;
    size_t mesh_bytes;
    struct peer *table;
    size_t table_room;
    size_t peer_count;
    struct pair_keys *slabs[SLABS_MAX];
    size_t slab_used;      /* pair keys taken, over all slabs */
    uint8_t *curve_secret; /* sodium_malloc: our X25519 key */
};

static uint64_t tag_of_mesh(const char *mesh)
{
    uint8_t out[crypto_generichash_BYTES];
    crypto_generichash(out, sizeof out, (const unsigned char *) mesh, strlen(mesh), NULL, 0);
    uint64_t tag = 0;
    for (size_t i = 0; i < 8; i++) {
        tag = (tag << 8) | out[i];
    }
    return tag;
}

seal_t *seal_new(const keys_t *keys)
{
    struct seal *seal = calloc(1, sizeof *seal);
    if (seal == NULL) {
        return NULL;
    }
    seal->keys = keys;
    seal->mesh_tag = tag_of_mesh(keys_mesh(keys));
    seal->mesh_bytes = strlen(keys_mesh(keys));
    seal->table_room = TABLE_ROOM_FIRST;
    seal->table = calloc(seal->table_room, sizeof *seal->table);
    seal->curve_secret = sodium_malloc(KEYS_KEY_BYTES);
    if (seal->table == NULL || seal->curve_secret == NULL) {
        seal_destroy(&seal);
        return NULL;
    }
    keys_curve_secret(keys, seal->curve_secret);
    return seal;
}

void seal_destroy(seal_t **p)
{
    if (*p == NULL) {
        return;
    }
    for (size_t i = 0; i < SLABS_MAX; i++) {
        sodium_free((*p)->slabs[i]);
    }
    sodium_free((*p)->curve_secret);
    free((*p)->table);
    free(*p);
    *p = NULL;
}

/* ---- peers ----------------------------------------------------------------------------------- */

/* The peer's place, or the free one where it would go. The table always has free places. */
static struct peer *table_at(struct peer *table, size_t room, const struct node_id *id)
{
    size_t idx = (size_t) node_id_prefix(id) & (room - 1);
    while (table[idx].used && !node_id_eq(&table[idx].id, id)) {
        idx = (idx + 1) & (room - 1);
    }
    return &table[idx];
}

static int table_grow(struct seal *seal)
{
    size_t room = seal->table_room * 2;
    struct peer *table = calloc(room, sizeof *table);
    if (table == NULL) {
        return HM_ENOMEM;
    }
    for (size_t i = 0; i < seal->table_room; i++) {
        if (seal->table[i].used) {
            *table_at(table, room, &seal->table[i].id) = seal->table[i];
        }
    }
    free(seal->table);
    seal->table = table;
    seal->table_room = room;
    return HM_OK;
}

int seal_peer_add(seal_t *seal, const struct node_id *id, const uint8_t public_key[KEYS_KEY_BYTES])
{
    struct node_id expected;
    crypto_generichash(expected.b, NODE_ID_BYTES, public_key, KEYS_KEY_BYTES, NULL, 0);
    if (!node_id_eq(&expected, id)) {
        return HM_EMALFORMED;
    }
    struct peer *peer = table_at(seal->table, seal->table_room, id);
    if (peer->used) {
        return HM_OK;
    }
    if (seal->peer_count == HM_MEMBERS_MAX) {
        return HM_EFULL;
    }
    if ((seal->peer_count + 1) * 4 > seal->table_room * 3) {
        if (table_grow(seal) != 0) {
            return HM_ENOMEM;
        }
        peer = table_at(seal->table, seal->table_room, id);
    }
    *peer = (struct peer){.id = *id, .used = true};
    memcpy(peer->public_key, public_key, KEYS_KEY_BYTES);
    seal->peer_count++;
    return HM_OK;
}

/* The last place of the slabs moves to the one that is given back, so that none is lost. */
static void slab_give_back(struct seal *seal, struct pair_keys *freed)
{
    size_t at = --seal->slab_used;
    struct pair_keys *last = &seal->slabs[at / SLAB_PEERS][at % SLAB_PEERS];
    for (size_t i = 0; i < seal->table_room && last != freed; i++) {
        if (seal->table[i].used && seal->table[i].keys == last) {
            *freed = *last;
            seal->table[i].keys = freed;
            break;
        }
    }
    sodium_memzero(last, sizeof *last);
}

void seal_peer_remove(seal_t *seal, const struct node_id *id)
{
    struct peer *gone = table_at(seal->table, seal->table_room, id);
    if (!gone->used) {
        return;
    }
    if (gone->keys != NULL) {
        struct pair_keys *keys = gone->keys;
        gone->keys = NULL;
        slab_give_back(seal, keys);
    }
    *gone = (struct peer){.used = false};
    seal->peer_count--;
    /* What stands behind the gap up to the next free place may have its place before it. */
    size_t mask = seal->table_room - 1;
    for (size_t i = ((size_t) (gone - seal->table) + 1) & mask; seal->table[i].used;
         i = (i + 1) & mask) {
        struct peer moved = seal->table[i];
        seal->table[i].used = false;
        *table_at(seal->table, seal->table_room, &moved.id) = moved;
    }
}

static void pair_key(const uint8_t *mesh_key, const uint8_t shared[32], const struct node_id *from,
                     const struct node_id *to, uint8_t ret_key[KEY_BYTES])
{
    static const char domain[] = "homemesh pair";
    crypto_generichash_state state;
    crypto_generichash_init(&state, mesh_key, KEYS_KEY_BYTES, KEY_BYTES);
    crypto_generichash_update(&state, (const unsigned char *) domain, sizeof domain);
    crypto_generichash_update(&state, shared, 32);
    crypto_generichash_update(&state, from->b, NODE_ID_BYTES);
    crypto_generichash_update(&state, to->b, NODE_ID_BYTES);
    crypto_generichash_final(&state, ret_key, KEY_BYTES);
    sodium_memzero(&state, sizeof state);
}

static void mesh_class_key(const uint8_t *mesh_key, const struct node_id *sender,
                           uint8_t ret_key[KEY_BYTES])
{
    static const char domain[] = "first contact";
    crypto_generichash_state state;
    crypto_generichash_init(&state, mesh_key, KEYS_KEY_BYTES, KEY_BYTES);
    crypto_generichash_update(&state, (const unsigned char *) domain, sizeof domain);
    crypto_generichash_update(&state, sender->b, NODE_ID_BYTES);
    crypto_generichash_final(&state, ret_key, KEY_BYTES);
    sodium_memzero(&state, sizeof state);
}

static struct pair_keys *slab_take(struct seal *seal)
{
    size_t slab = seal->slab_used / SLAB_PEERS;
    HM_ASSERT(slab < SLABS_MAX);
    if (seal->slabs[slab] == NULL) {
        seal->slabs[slab] = sodium_allocarray(SLAB_PEERS, sizeof **seal->slabs);
        if (seal->slabs[slab] == NULL) {
            return NULL;
        }
    }
    return &seal->slabs[slab][seal->slab_used++ % SLAB_PEERS];
}

/* The peer with its keys computed. HM_ENOTFOUND, HM_EMALFORMED, HM_ENOMEM. */
static int peer_ready(struct seal *seal, const struct node_id *id, struct peer **ret_peer)
{
    struct peer *peer = table_at(seal->table, seal->table_room, id);
    uint8_t curve[KEYS_KEY_BYTES];
    uint8_t shared[crypto_scalarmult_BYTES];
    if (!peer->used) {
        return HM_ENOTFOUND;
    }
    if (peer->bad) {
        return HM_EMALFORMED;
    }
    if (peer->keys == NULL) {
        if (keys_curve_public(peer->public_key, curve) != 0 ||
            crypto_scalarmult(shared, seal->curve_secret, curve) != 0) {
            peer->bad = true;
            return HM_EMALFORMED;
        }
        struct pair_keys *keys = slab_take(seal);
        if (keys == NULL) {
            sodium_memzero(shared, sizeof shared);
            return HM_ENOMEM;
        }
        const struct node_id *self = keys_id(seal->keys);
        pair_key(keys_ring_at(seal->keys, 0), shared, self, id, keys->send);
        for (size_t i = 0; i < keys_ring_count(seal->keys); i++) {
            pair_key(keys_ring_at(seal->keys, i), shared, id, self, keys->receive[i]);
        }
        peer->keys = keys;
        sodium_memzero(shared, sizeof shared);
    }
    *ret_peer = peer;
    return HM_OK;
}

/* ---- datagrams ------------------------------------------------------------------------------- */

static void make_nonce(uint64_t session, uint64_t counter, uint8_t nonce[NONCE_BYTES])
{
    memset(nonce, 0, NONCE_BYTES);
    for (size_t i = 0; i < 8; i++) {
        nonce[i] = (uint8_t) (session >> (56 - 8 * i));
        nonce[8 + i] = (uint8_t) (counter >> (56 - 8 * i));
    }
}

/* Associated data: the head as it stands in the datagram, then the mesh's name. */
struct associated {
    uint8_t bytes[DATAGRAM_MESH_HEAD_BYTES + HM_MESH_NAME_BYTES_MAX];
    size_t size;
};

static void make_associated(const struct seal *seal, const uint8_t *head, size_t head_bytes,
                            struct associated *ret)
{
    memcpy(ret->bytes, head, head_bytes);
    memcpy(ret->bytes + head_bytes, keys_mesh(seal->keys), seal->mesh_bytes);
    ret->size = head_bytes + seal->mesh_bytes;
}

int seal_datagram(seal_t *seal, enum datagram_class cls, const struct node_id *receiver,
                  uint64_t session, uint64_t counter, struct span body, struct buf *out)
{
    uint8_t mesh_key[KEY_BYTES];
    uint8_t nonce[NONCE_BYTES];
    const uint8_t *key = mesh_key;
    struct associated ad;
    if (body.size > DATAGRAM_BODY_BYTES_MAX) {
        return HM_EINVAL;
    }
    if (cls == DATAGRAM_PAIR) {
        struct peer *peer = NULL;
        int rc = peer_ready(seal, receiver, &peer);
        if (rc != 0) {
            return rc;
        }
        key = peer->keys->send;
    } else {
        mesh_class_key(keys_ring_at(seal->keys, 0), keys_id(seal->keys), mesh_key);
    }
    struct datagram_head head = {.version = PROTOCOL_VERSION,
                                 .cls = cls,
                                 .sender = *keys_id(seal->keys),
                                 .session = session,
                                 .counter = counter,
                                 .mesh_tag = seal->mesh_tag};
    size_t start = out->size;
    datagram_head_write(out, &head, body.size + DATAGRAM_TAG_BYTES);
    size_t head_bytes = out->size - start;
    uint8_t *sealed = buf_extend(out, body.size + DATAGRAM_TAG_BYTES);
    if (sealed != NULL) {
        make_nonce(session, counter, nonce);
        make_associated(seal, out->data + start, head_bytes, &ad);
        crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, body.data, body.size, ad.bytes,
                                                   ad.size, NULL, nonce, key);
    }
    sodium_memzero(mesh_key, sizeof mesh_key);
    return sealed != NULL ? HM_OK : HM_EFULL;
}

/* True if key opens it; *body then holds what was inside. */
static bool open_with(const struct seal *seal, struct span datagram,
                      const struct datagram_head *head, const uint8_t *key, struct buf *body)
{
    uint8_t nonce[NONCE_BYTES];
    struct associated ad;
    buf_clear(body);
    uint8_t *to = buf_extend(body, datagram.size - head->bytes - DATAGRAM_TAG_BYTES);
    if (buf_failed(body)) {
        return false;
    }
    make_nonce(head->session, head->counter, nonce);
    make_associated(seal, datagram.data, head->bytes, &ad);
    return crypto_aead_xchacha20poly1305_ietf_decrypt(to, NULL, NULL, datagram.data + head->bytes,
                                                      datagram.size - head->bytes, ad.bytes,
                                                      ad.size, nonce, key) == 0;
}

static enum seal_result open_mesh(struct seal *seal, struct span datagram,
                                  const struct datagram_head *head, struct buf *body)
{
    uint8_t key[KEY_BYTES];
    bool opened = false;
    if (head->mesh_tag != seal->mesh_tag) {
        return SEAL_FOREIGN_MESH;
    }
    for (size_t i = 0; i < keys_ring_count(seal->keys) && !opened; i++) {
        mesh_class_key(keys_ring_at(seal->keys, i), &head->sender, key);
        opened = open_with(seal, datagram, head, key, body);
    }
    sodium_memzero(key, sizeof key);
    return opened ? SEAL_OPENED : SEAL_FOREIGN_KEY;
}

static enum seal_result open_pair(struct seal *seal, struct span datagram,
                                  const struct datagram_head *head, struct buf *body)
{
    struct peer *peer = NULL;
    int rc = peer_ready(seal, &head->sender, &peer);
    if (rc == HM_ENOTFOUND) {
        return SEAL_UNKNOWN_SENDER;
    }
    if (rc != HM_OK) {
        return SEAL_UNSEALED;
    }
    for (size_t i = 0; i < keys_ring_count(seal->keys); i++) {
        if (open_with(seal, datagram, head, peer->keys->receive[i], body)) {
            return SEAL_OPENED;
        }
    }
    return SEAL_UNSEALED;
}

enum seal_result seal_open(seal_t *seal, struct span datagram, struct datagram_head *ret_head,
                           struct buf *body)
{
    struct datagram_head head;
    buf_clear(body);
    if (datagram.size > HM_DATAGRAM_BYTES_MAX) {
        return SEAL_NOT_OURS;
    }
    int rc = datagram_head_read(datagram, &head);
    if (rc != HM_OK) {
        return rc == HM_EVERSION ? SEAL_VERSION : SEAL_NOT_OURS;
    }
    enum seal_result result = head.cls == DATAGRAM_MESH ? open_mesh(seal, datagram, &head, body)
                                                        : open_pair(seal, datagram, &head, body);
    if (result != SEAL_OPENED) {
        buf_clear(body);
    }
    if (result == SEAL_OPENED || result == SEAL_FOREIGN_KEY || result == SEAL_UNKNOWN_SENDER) {
        *ret_head = head;
    }
    return result;
}

unsigned seal_result_metric(enum seal_result result)
{
    switch (result) {
    case SEAL_NOT_OURS:
        return M_DROP_NOT_OURS;
    case SEAL_VERSION:
        return M_DROP_VERSION;
    case SEAL_FOREIGN_MESH:
        return M_DROP_FOREIGN_MESH;
    case SEAL_FOREIGN_KEY:
        return M_DROP_FOREIGN_KEY;
    case SEAL_UNKNOWN_SENDER:
        return M_DROP_UNKNOWN_SENDER;
    case SEAL_UNSEALED:
        return M_DROP_UNSEALED;
    case SEAL_OPENED:
        break;
    }
    return M_DATAGRAMS_RECEIVED;
}
