/* SPDX-License-Identifier: MPL-2.0 */
/* What this node proves itself with: its identity and the mesh's key ring; and tokens, which
 * carry a mesh key to another machine.
 *
 * The identity is an Ed25519 key pair, kept as a checksummed text file (0600). The node id is
 * the BLAKE2b hash of the public key. The key ring is a text file of 32-byte keys, the first of
 * which seals while every one opens. Both files appear whole or not at all: written beside,
 * synced, then linked in, so of several nodes that start at the same moment one makes the key
 * and all others read it.
 *
 * Secrets are in sodium_malloc'ed memory, wiped at the end, and are never logged. Before
 * anything here, sodium_init must have been called. The loop's thread only. */
#ifndef HM_IO_KEYS_H
#define HM_IO_KEYS_H

#include "base/addr.h"
#include "base/limits.h"
#include "base/node_id.h"
#include "core/crypto.h"
#include "io/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_KEY_BYTES 32
#define KEYS_RING_MAX 8 /* a rotation needs two; more only while some nodes are away */
#define KEYS_FILE_BYTES_MAX 4096
#define TOKEN_ADDRS_MAX 4
#define TOKEN_TEXT_BYTES 320 /* "hm1-" and base64 of the largest token, with its NUL */

typedef struct keys keys_t;

/* Opens the identity at path, or makes it there if there is none. The ring is still empty.
 * HM_EIO, HM_EMALFORMED (damaged: never replaced by itself), HM_ENOMEM. */
int keys_new(const char *mesh, const char *identity_path, keys_t **ret_keys, struct why *why);
void keys_destroy(keys_t **p);

/* Opens the ring at path, or makes it there: with `token_key` if that is not NULL, else with a
 * new random key; *ret_made tells. HM_EDENIED: the ring is there and `token_key` is not in it
 * (nothing was changed; see keys_ring_replace). HM_EMALFORMED, HM_EIO. */
int keys_ring_open(keys_t *keys, const char *path, const uint8_t *token_key, bool *ret_made,
                   struct why *why);
/* Makes `token_key` the only key of the ring at path; the ring that was there is kept as path.old,
 * or path.old.2 and so on, whose name is written to ret_kept. HM_EFULL: too many are kept there.
 * HM_EDENIED, HM_EIO. */
int keys_ring_replace(keys_t *keys, const char *path, const uint8_t *token_key, char *ret_kept,
                      size_t kept_max, struct why *why);

/* Borrowed for the life of keys. */
const struct node_id *keys_id(const keys_t *keys);
const uint8_t *keys_public(const keys_t *keys); /* Ed25519, 32 bytes */
const char *keys_mesh(const keys_t *keys);
size_t keys_ring_count(const keys_t *keys);
const uint8_t *keys_ring_at(const keys_t *keys, size_t idx); /* 0 seals; a secret */

/* Ed25519 and BLAKE2b for the core. Borrows keys. */
void crypto_daemon(keys_t *keys, struct crypto *ret_crypto);

/* The X25519 key that belongs to an Ed25519 public key, also the CURVE key of its links.
 * HM_EMALFORMED: not a good key. */
int keys_curve_public(const uint8_t public_key[KEYS_KEY_BYTES], uint8_t ret_key[KEYS_KEY_BYTES]);
/* Ours; a secret: wipe it after use. */
void keys_curve_secret(const keys_t *keys, uint8_t ret_key[KEYS_KEY_BYTES]);

/* A token: what another machine needs to join. One line of URL-safe text, "hm1-…", with a
 * checksum. */
struct token {
    char mesh[HM_MESH_NAME_BYTES_MAX + 1];
    uint8_t key[KEYS_KEY_BYTES]; /* a secret: token_wipe */
    struct node_id issuer;
    size_t addr_count;
    struct addr
        addrs[TOKEN_ADDRS_MAX]; /* best first; addresses beyond TOKEN_ADDRS_MAX are left out */
};

/* Our token with these addresses to find us at. */
void keys_token(const keys_t *keys, const struct addr *addrs, size_t addr_count,
                struct token *ret_token);
void token_format(const struct token *token, char ret_text[TOKEN_TEXT_BYTES]);
/* Space and line ends around it are skipped. HM_EMALFORMED with the reason. */
int token_parse(const char *text, struct token *ret_token, struct why *why);
void token_wipe(struct token *token);

#endif
