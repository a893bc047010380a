/* SPDX-License-Identifier: MPL-2.0 */
/* Identity, key ring and tokens: see keys.h.
 *
 *   identity            key ring                    token, in base64url behind "hm1-"
 *   homemesh identity   homemesh key ring           mesh (length, bytes), key, issuer,
 *   seed HEX64          key HEX64 CHECK8            addresses (count; family, ip, port each),
 *   check HEX16         …                           8 bytes check
 *
 * Checks are BLAKE2b hashes with a name of their own; they find damage, they are no proof of
 * origin. */
#define _GNU_SOURCE
#include "io/keys.h"

#include "base/err.h"
#include "base/text.h"
#include "io/file.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_HEAD "homemesh identity\n"
#define RING_HEAD "homemesh key ring\n"
#define TOKEN_HEAD "hm1-"
#define TOKEN_BYTES_MAX (1 + HM_MESH_NAME_BYTES_MAX + 32 + 16 + 1 + TOKEN_ADDRS_MAX * 19 + 8)
#define TOKEN_CHECK_BYTES 8
#define IDENTITY_CHECK_BYTES 8
#define RING_CHECK_BYTES 4
#define RINGS_KEPT_MAX 99 /* each a deed of a person; a loop that makes them shall end */

_Static_assert(KEYS_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "Ed25519 public key");
_Static_assert(KEYS_KEY_BYTES == crypto_sign_SEEDBYTES, "Ed25519 seed");
_Static_assert(SIGNATURE_BYTES == crypto_sign_BYTES, "Ed25519 signature");
_Static_assert(sizeof TOKEN_HEAD + (TOKEN_BYTES_MAX + 2) / 3 * 4 <= TOKEN_TEXT_BYTES, "token text");

struct secret {
    uint8_t seed[crypto_sign_SEEDBYTES];
    uint8_t sign[crypto_sign_SECRETKEYBYTES];
    uint8_t ring[KEYS_RING_MAX][KEYS_KEY_BYTES];
};

struct keys {
    struct node_id id;
    uint8_t public_key[KEYS_KEY_BYTES];
    char mesh[HM_MESH_NAME_BYTES_MAX + 1];
    size_t ring_count;
    struct secret *secret; /* sodium_malloc */
};

/* A hash for finding damage; `what` keeps one kind of check from being taken for another. */
static void check_hash(const char *what, const void *data, size_t size, uint8_t *ret, size_t bytes)
{
    uint8_t full[crypto_generichash_BYTES];
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof full);
    crypto_generichash_update(&state, (const unsigned char *) what, strlen(what));
    crypto_generichash_update(&state, data, size);
    crypto_generichash_final(&state, full, sizeof full);
    memcpy(ret, full, bytes);
    sodium_memzero(full, sizeof full);
}

/* ---- text files ------------------------------------------------------------------------------ */

/* Takes the line at *at without its end off the text; false when there is none or it has no end. */
static bool take_line(char **at, char **ret_line)
{
    char *end = strchr(*at, '\n');
    if (end == NULL) {
        return false;
    }
    *end = '\0';
    *ret_line = *at;
    *at = end + 1;
    return true;
}

/* Takes "word " off the start of a line. */
static bool take_word(char **line, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(*line, word, len) != 0 || (*line)[len] != ' ') {
        return false;
    }
    *line += len + 1;
    return true;
}

static bool identity_read(char *text, uint8_t seed[crypto_sign_SEEDBYTES])
{
    char *line;
    uint8_t check[IDENTITY_CHECK_BYTES];
    uint8_t expected[IDENTITY_CHECK_BYTES];
    if (strncmp(text, IDENTITY_HEAD, sizeof IDENTITY_HEAD - 1) != 0) {
        return false;
    }
    char *at = text + sizeof IDENTITY_HEAD - 1;
    if (!take_line(&at, &line) || !take_word(&line, "seed") ||
        text_unhex(line, seed, crypto_sign_SEEDBYTES) != 0) {
        return false;
    }
    if (!take_line(&at, &line) || !take_word(&line, "check") ||
        text_unhex(line, check, sizeof check) != 0 || *at != '\0') {
        return false;
    }
    check_hash(IDENTITY_HEAD, seed, crypto_sign_SEEDBYTES, expected, sizeof expected);
    return sodium_memcmp(check, expected, sizeof check) == 0;
}

static void identity_write(const uint8_t seed[crypto_sign_SEEDBYTES], char *text, size_t max)
{
    char seed_text[2 * crypto_sign_SEEDBYTES + 1];
    char check_text[2 * IDENTITY_CHECK_BYTES + 1];
    uint8_t check[IDENTITY_CHECK_BYTES];
    check_hash(IDENTITY_HEAD, seed, crypto_sign_SEEDBYTES, check, sizeof check);
    snprintf(text, max, IDENTITY_HEAD "seed %s\ncheck %s\n",
             text_hex(seed, crypto_sign_SEEDBYTES, seed_text),
             text_hex(check, sizeof check, check_text));
    sodium_memzero(seed_text, sizeof seed_text);
}

static int identity_open(struct keys *keys, const char *path, struct why *why)
{
    char text[KEYS_FILE_BYTES_MAX];
    size_t size = 0;
    int rc = file_read(path, text, sizeof text, &size, why);
    if (rc == HM_ENOTFOUND) {
        randombytes_buf(keys->secret->seed, sizeof keys->secret->seed);
        identity_write(keys->secret->seed, text, sizeof text);
        rc = file_create(path, text, strlen(text), why);
        if (rc == HM_EEXIST) {
            rc = file_read(path, text, sizeof text, &size, why);
        } else {
            size = strlen(text);
        }
    }
    if (rc == HM_OK && file_is_foreign(path)) {
        rc = why_set(why, HM_EDENIED,
                     "the identity %s belongs to another user, who knows its secret: name another "
                     "directory with --data-dir=D",
                     path);
    }
    if (rc == HM_OK && (strlen(text) != size || !identity_read(text, keys->secret->seed))) {
        rc = HM_EFULL;
    }
    if (rc == HM_EFULL) {
        rc = why_set(
            why, HM_EMALFORMED,
            "the identity %s is damaged: restore it from a backup, or move it away, and this "
            "machine becomes a new node of the mesh",
            path);
    }
    sodium_memzero(text, sizeof text);
    return rc;
}

/* Number of the first bad line, or 0. */
static size_t ring_read(char *text, uint8_t ring[][KEYS_KEY_BYTES], size_t *ret_count)
{
    size_t number = 1;
    size_t count = 0;
    char *line;
    if (strncmp(text, RING_HEAD, sizeof RING_HEAD - 1) != 0) {
        return number;
    }
    for (char *at = text + sizeof RING_HEAD - 1; *at != '\0';) {
        number++;
        uint8_t check[RING_CHECK_BYTES];
        uint8_t expected[RING_CHECK_BYTES];
        if (!take_line(&at, &line)) {
            return number;
        }
        if (*line == '#' || *line == '\0') {
            continue;
        }
        if (count == KEYS_RING_MAX || !take_word(&line, "key") ||
            strlen(line) != 2 * KEYS_KEY_BYTES + 1 + 2 * RING_CHECK_BYTES ||
            line[2 * KEYS_KEY_BYTES] != ' ') {
            return number;
        }
        line[2 * KEYS_KEY_BYTES] = '\0';
        if (text_unhex(line, ring[count], KEYS_KEY_BYTES) != 0 ||
            text_unhex(line + 2 * KEYS_KEY_BYTES + 1, check, sizeof check) != 0) {
            return number;
        }
        check_hash(RING_HEAD, ring[count], KEYS_KEY_BYTES, expected, sizeof expected);
        if (memcmp(check, expected, sizeof check) != 0) {
            return number;
        }
        count++;
    }
    *ret_count = count;
    return count == 0 ? number + 1 : 0;
}

static void ring_write(const uint8_t key[KEYS_KEY_BYTES], char *text, size_t max)
{
    char key_text[2 * KEYS_KEY_BYTES + 1];
    char check_text[2 * RING_CHECK_BYTES + 1];
    uint8_t check[RING_CHECK_BYTES];
    check_hash(RING_HEAD, key, KEYS_KEY_BYTES, check, sizeof check);
    snprintf(text, max, RING_HEAD "key %s %s\n", text_hex(key, KEYS_KEY_BYTES, key_text),
             text_hex(check, sizeof check, check_text));
    sodium_memzero(key_text, sizeof key_text);
}

static int ring_load(struct keys *keys, const char *path, struct why *why)
{
    char text[KEYS_FILE_BYTES_MAX];
    size_t size = 0;
    int rc = file_read(path, text, sizeof text, &size, why);
    if (file_is_foreign(path)) {
        /* In a shared place such as /tmp somebody else could have put it there for us. */
        rc = why_set(
            why, HM_EDENIED,
            "the key ring %s belongs to another user: name another place with --key-file=F", path);
    }
    if (rc == HM_OK || rc == HM_EFULL) {
        size_t bad = rc == HM_EFULL || strlen(text) != size
                         ? 1
                         : ring_read(text, keys->secret->ring, &keys->ring_count);
        rc = HM_OK;
        if (bad != 0) {
            rc = why_set(
                why, HM_EMALFORMED,
                "the key ring %s is damaged at line %zu: copy it from another node of the mesh, "
                "or move it away and start with a token (meshctl token, on that node)",
                path, bad);
        }
    }
    sodium_memzero(text, sizeof text);
    return rc;
}

static bool ring_has(const struct keys *keys, const uint8_t *key)
{
    bool found = false;
    for (size_t i = 0; i < keys->ring_count; i++) {
        found |= sodium_memcmp(keys->secret->ring[i], key, KEYS_KEY_BYTES) == 0;
    }
    return found;
}

/* Makes the ring file with this key, or a random one; HM_EEXIST: another process was faster. */
static int ring_make(const char *path, const uint8_t *key, struct why *why)
{
    char text[KEYS_FILE_BYTES_MAX];
    uint8_t fresh[KEYS_KEY_BYTES];
    randombytes_buf(fresh, sizeof fresh);
    ring_write(key != NULL ? key : fresh, text, sizeof text);
    int rc = file_create(path, text, strlen(text), why);
    sodium_memzero(text, sizeof text);
    sodium_memzero(fresh, sizeof fresh);
    return rc;
}

int keys_ring_open(keys_t *keys, const char *path, const uint8_t *token_key, bool *ret_made,
                   struct why *why)
{
    bool made = false;
    int rc = ring_load(keys, path, why);
    if (rc == HM_ENOTFOUND) {
        rc = ring_make(path, token_key, why);
        made = rc == HM_OK;
        if (rc == HM_OK || rc == HM_EEXIST) {
            rc = ring_load(keys, path, why);
        }
    }
    if (rc != HM_OK) {
        return rc;
    }
    *ret_made = made;
    if (token_key != NULL && !ring_has(keys, token_key)) {
        return why_set(why, HM_EDENIED, "the key ring %s has another key than the token", path);
    }
    return HM_OK;
}

/* Writes the text of the ring at path beside it, under the first name that is free: a key that a
 * mesh somewhere still has is never written over. */
static int ring_keep(const char *path, const char *text, size_t size, char *ret_kept,
                     size_t kept_max, struct why *why)
{
    int rc = HM_EEXIST;
    for (unsigned number = 1; number <= RINGS_KEPT_MAX && rc == HM_EEXIST; number++) {
        int len = number == 1 ? snprintf(ret_kept, kept_max, "%s.old", path)
                              : snprintf(ret_kept, kept_max, "%s.old.%u", path, number);
        rc = len < 0 || (size_t) len >= kept_max
                 ? why_set(why, HM_EINVAL, "the path %.200s... is too long", path)
                 : file_create(ret_kept, text, size, why);
    }
    return rc != HM_EEXIST ? rc
                           : why_set(why, HM_EFULL,
                                     "%d replaced key rings are kept as %s.old and so on: move "
                                     "some away",
                                     RINGS_KEPT_MAX, path);
}

int keys_ring_replace(keys_t *keys, const char *path, const uint8_t *token_key, char *ret_kept,
                      size_t kept_max, struct why *why)
{
    char text[KEYS_FILE_BYTES_MAX];
    size_t size = 0;
    int rc = file_read(path, text, sizeof text, &size, why);
    if (rc == HM_OK) {
        rc = ring_keep(path, text, size, ret_kept, kept_max, why);
    }
    if (rc == HM_OK) {
        ring_write(token_key, text, sizeof text);
        rc = file_replace(path, text, strlen(text), why);
    }
    sodium_memzero(text, sizeof text);
    return rc != HM_OK ? rc : ring_load(keys, path, why);
}

/* ---- the object ------------------------------------------------------------------------------ */

static void id_of_key(const uint8_t key[32], struct node_id *ret_id)
{
    crypto_generichash(ret_id->b, NODE_ID_BYTES, key, KEYS_KEY_BYTES, NULL, 0);
}

int keys_new(const char *mesh, const char *identity_path, keys_t **ret_keys, struct why *why)
{
    struct keys *keys = calloc(1, sizeof *keys);
    if (keys != NULL) {
        keys->secret = sodium_malloc(sizeof *keys->secret);
    }
    if (keys == NULL || keys->secret == NULL) {
        keys_destroy(&keys);
        return why_set(why, HM_ENOMEM, "out of memory for keys");
    }
    sodium_memzero(keys->secret, sizeof *keys->secret);
    text_copy(keys->mesh, sizeof keys->mesh, mesh);
    int rc = identity_open(keys, identity_path, why);
    if (rc != HM_OK) {
        keys_destroy(&keys);
        return rc;
    }
    crypto_sign_seed_keypair(keys->public_key, keys->secret->sign, keys->secret->seed);
    id_of_key(keys->public_key, &keys->id);
    *ret_keys = keys;
    return HM_OK;
}

void keys_destroy(keys_t **p)
{
    if (*p == NULL) {
        return;
    }
    sodium_free((*p)->secret);
    free(*p);
    *p = NULL;
}

const struct node_id *keys_id(const keys_t *keys)
{
    return &keys->id;
}

const uint8_t *keys_public(const keys_t *keys)
{
    return keys->public_key;
}

const char *keys_mesh(const keys_t *keys)
{
    return keys->mesh;
}

size_t keys_ring_count(const keys_t *keys)
{
    return keys->ring_count;
}

const uint8_t *keys_ring_at(const keys_t *keys, size_t idx)
{
    HM_ASSERT(idx < keys->ring_count);
    return keys->secret->ring[idx];
}

static void sign(void *identity, struct span message, uint8_t ret_signature[SIGNATURE_BYTES])
{
    const struct keys *keys = identity;
    crypto_sign_detached(ret_signature, NULL, message.data, message.size, keys->secret->sign);
}

static bool verify(const uint8_t key[32], struct span message,
                   const uint8_t signature[SIGNATURE_BYTES])
{
    return crypto_sign_verify_detached(signature, message.data, message.size, key) == 0;
}

static uint64_t hash(struct span message)
{
    uint8_t out[crypto_generichash_BYTES];
    crypto_generichash(out, sizeof out, message.data, message.size, NULL, 0);
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++) {
        value = (value << 8) | out[i];
    }
    return value;
}

void crypto_daemon(keys_t *keys, struct crypto *ret_crypto)
{
    *ret_crypto = (struct crypto){
        .identity = keys, .sign = sign, .verify = verify, .id_of_key = id_of_key, .hash = hash};
}

int keys_curve_public(const uint8_t public_key[KEYS_KEY_BYTES], uint8_t ret_key[KEYS_KEY_BYTES])
{
    uint8_t key[KEYS_KEY_BYTES];
    if (crypto_sign_ed25519_pk_to_curve25519(key, public_key) != 0) {
        return HM_EMALFORMED;
    }
    memcpy(ret_key, key, sizeof key);
    return HM_OK;
}

void keys_curve_secret(const keys_t *keys, uint8_t ret_key[KEYS_KEY_BYTES])
{
    int rc = crypto_sign_ed25519_sk_to_curve25519(ret_key, keys->secret->sign);
    HM_ASSERT(rc == 0);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

void keys_token(const keys_t *keys, const struct addr *addrs, size_t addr_count,
                struct token *ret_token)
{
    HM_ASSERT(keys->ring_count > 0);
    struct token token = {.issuer = keys->id};
    text_copy(token.mesh, sizeof token.mesh, keys->mesh);
    memcpy(token.key, keys->secret->ring[0], sizeof token.key);
    for (size_t i = 0; i < addr_count && token.addr_count < TOKEN_ADDRS_MAX; i++) {
        if (!addr_is_none(&addrs[i])) {
            token.addrs[token.addr_count] = addrs[i];
            token.addrs[token.addr_count++].scope = 0;
        }
    }
    *ret_token = token;
    sodium_memzero(&token, sizeof token);
}

static size_t put_addr(uint8_t *at, const struct addr *addr)
{
    size_t ip_bytes = addr->family == 4 ? 4 : 16;
    at[0] = addr->family;
    memcpy(at + 1, addr->ip, ip_bytes);
    at[1 + ip_bytes] = (uint8_t) (addr->port >> 8);
    at[2 + ip_bytes] = (uint8_t) addr->port;
    return 3 + ip_bytes;
}

void token_format(const struct token *token, char ret_text[TOKEN_TEXT_BYTES])
{
    uint8_t bytes[TOKEN_BYTES_MAX];
    size_t mesh_len = strlen(token->mesh);
    uint8_t *at = bytes;
    HM_ASSERT(token->addr_count <= TOKEN_ADDRS_MAX);
    *at++ = (uint8_t) mesh_len;
    memcpy(at, token->mesh, mesh_len);
    at += mesh_len;
    memcpy(at, token->key, KEYS_KEY_BYTES);
    at += KEYS_KEY_BYTES;
    memcpy(at, token->issuer.b, NODE_ID_BYTES);
    at += NODE_ID_BYTES;
    *at++ = (uint8_t) token->addr_count;
    for (size_t i = 0; i < token->addr_count; i++) {
        at += put_addr(at, &token->addrs[i]);
    }
    check_hash("homemesh token", bytes, (size_t) (at - bytes), at, TOKEN_CHECK_BYTES);
    at += TOKEN_CHECK_BYTES;
    memcpy(ret_text, TOKEN_HEAD, sizeof TOKEN_HEAD);
    sodium_bin2base64(ret_text + sizeof TOKEN_HEAD - 1, TOKEN_TEXT_BYTES - sizeof TOKEN_HEAD + 1,
                      bytes, (size_t) (at - bytes), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bytes, sizeof bytes);
}

/* What is left of a token's bytes while it is read. */
struct reader {
    const uint8_t *at;
    size_t left;
};

static bool take(struct reader *r, void *to, size_t size)
{
    if (r->left < size) {
        return false;
    }
    memcpy(to, r->at, size);
    r->at += size;
    r->left -= size;
    return true;
}

static bool take_addr(struct reader *r, struct addr *ret_addr)
{
    uint8_t port[2];
    struct addr addr = {0};
    if (!take(r, &addr.family, 1) || (addr.family != 4 && addr.family != 6) ||
        !take(r, addr.ip, addr.family == 4 ? 4 : 16) || !take(r, port, 2)) {
        return false;
    }
    addr.port = (uint16_t) (port[0] << 8 | port[1]);
    *ret_addr = addr;
    return addr.port != 0;
}

/* Reads what the check has proven to be whole; more bytes behind are a newer version's. */
static bool token_read(struct reader r, struct token *token)
{
    uint8_t mesh_len = 0;
    uint8_t addr_count = 0;
    if (!take(&r, &mesh_len, 1) || mesh_len > HM_MESH_NAME_BYTES_MAX ||
        !take(&r, token->mesh, mesh_len) || !text_is_dns_label(token->mesh, mesh_len) ||
        !take(&r, token->key, KEYS_KEY_BYTES) || !take(&r, token->issuer.b, NODE_ID_BYTES) ||
        !take(&r, &addr_count, 1) || addr_count > TOKEN_ADDRS_MAX) {
        return false;
    }
    for (size_t i = 0; i < addr_count; i++) {
        if (!take_addr(&r, &token->addrs[i])) {
            return false;
        }
    }
    token->addr_count = addr_count;
    return true;
}

int token_parse(const char *text, struct token *ret_token, struct why *why)
{
    static const char space[] = " \t\r\n";
    uint8_t bytes[TOKEN_TEXT_BYTES];
    uint8_t check[TOKEN_CHECK_BYTES];
    struct token token = {0};
    size_t size = 0;
    text += strspn(text, space);
    if (strncmp(text, TOKEN_HEAD, sizeof TOKEN_HEAD - 1) != 0) {
        return why_set(why, HM_EMALFORMED,
                       "that is no token: one begins with " TOKEN_HEAD
                       " and is what `meshctl token` prints");
    }
    text += sizeof TOKEN_HEAD - 1;
    size_t len = strcspn(text, space);
    bool whole = text[len + strspn(text + len, space)] == '\0' &&
                 sodium_base642bin(bytes, sizeof bytes, text, len, NULL, &size, NULL,
                                   sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
                 size > TOKEN_CHECK_BYTES;
    if (whole) {
        size -= TOKEN_CHECK_BYTES;
        check_hash("homemesh token", bytes, size, check, sizeof check);
        whole = sodium_memcmp(check, bytes + size, sizeof check) == 0 &&
                token_read((struct reader){bytes, size}, &token);
    }
    if (whole) {
        *ret_token = token;
    }
    sodium_memzero(bytes, sizeof bytes);
    token_wipe(&token);
    if (!whole) {
        return why_set(
            why, HM_EMALFORMED,
            "the token is damaged: its checksum does not match; was the whole line copied?");
    }
    return HM_OK;
}

void token_wipe(struct token *token)
{
    sodium_memzero(token, sizeof *token);
}
