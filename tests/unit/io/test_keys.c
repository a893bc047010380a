/* SPDX-License-Identifier: MPL-2.0 */
/* Identity and key ring on disk: made once, read again, damage at any byte found and nothing
 * replaced; tokens: round trip, and any change or cut refused. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "io/keys.h"
#include "scratch.h"

#include <sodium.h>
#include <sys/wait.h>

static char dir[SCRATCH_BYTES];
static char identity[SCRATCH_BYTES];
static char ring[SCRATCH_BYTES];

static int setup(void **state)
{
    (void) state;
    scratch_make(dir);
    scratch_path(dir, "identity", identity);
    scratch_path(dir, "key", ring);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    scratch_remove(dir);
    return 0;
}

static keys_t *open_keys(void)
{
    keys_t *keys = NULL;
    struct why why = {""};
    assert_int_equal(keys_new("homelab", identity, &keys, &why), 0);
    return keys;
}

static void identity_is_made_once(void **state)
{
    (void) state;
    struct stat st;
    keys_t *first = open_keys();
    assert_int_equal(stat(identity, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    keys_t *second = open_keys();
    assert_true(node_id_eq(keys_id(first), keys_id(second)));
    assert_memory_equal(keys_public(first), keys_public(second), 32);
    uint8_t id[16];
    crypto_generichash(id, sizeof id, keys_public(first), 32, NULL, 0);
    assert_memory_equal(id, keys_id(first)->b, 16);
    keys_destroy(&first);
    keys_destroy(&second);
    assert_null(first);
    keys_destroy(&first);
}

static void damaged_identity_is_found_and_kept(void **state)
{
    (void) state;
    char good[1024];
    char bad[1024];
    keys_t *keys = open_keys();
    keys_destroy(&keys);
    size_t size = scratch_read(identity, good, sizeof good);
    for (size_t i = 0; i < size; i++) {
        for (int how = 0; how < 3; how++) { /* another byte, cut here, NUL from here on */
            struct why why = {""};
            size_t left = how == 1 ? i : size;
            memcpy(bad, good, size);
            bad[i] = how == 0 ? (char) (bad[i] ^ 1) : bad[i];
            memset(bad + i, 0, how == 2 ? size - i : 0);
            scratch_write(identity, bad, left);
            assert_int_equal(keys_new("homelab", identity, &keys, &why), HM_EMALFORMED);
            assert_non_null(strstr(why.text, identity));
            char after[1024];
            assert_int_equal(scratch_read(identity, after, sizeof after), left);
            assert_memory_equal(after, bad, left);
        }
    }
}

/* Whoever put it there knows its secret: it must not become who we are. */
static void identity_of_another_user_is_refused(void **state)
{
    (void) state;
    char own[SCRATCH_BYTES];
    char path[SCRATCH_BYTES];
    struct why why = {""};
    keys_t *keys = NULL;
    if (geteuid() != 0) {
        skip();
    }
    scratch_make(own);
    scratch_path(own, "identity", path);
    assert_int_equal(keys_new("homelab", path, &keys, &why), HM_OK);
    keys_destroy(&keys);
    assert_int_equal(chmod(own, 0755), 0);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(chown(path, 65533, 65533), 0);
    assert_int_equal(seteuid(65534), 0);
    int rc = keys_new("homelab", path, &keys, &why);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, HM_EDENIED);
    assert_non_null(strstr(why.text, "belongs to another user"));
    scratch_remove(own);
}

static void ring_is_made_once_and_read(void **state)
{
    (void) state;
    struct why why = {""};
    bool made = false;
    keys_t *a = open_keys();
    assert_int_equal(keys_ring_open(a, ring, NULL, &made, &why), 0);
    assert_true(made);
    assert_int_equal(keys_ring_count(a), 1);
    keys_t *b = open_keys();
    assert_int_equal(keys_ring_open(b, ring, NULL, &made, &why), 0);
    assert_false(made);
    assert_memory_equal(keys_ring_at(a, 0), keys_ring_at(b, 0), 32);
    keys_destroy(&a);
    keys_destroy(&b);
}

static void damaged_ring_names_its_line(void **state)
{
    (void) state;
    char text[1024];
    bool made = false;
    struct why why = {""};
    keys_t *keys = open_keys();
    assert_int_equal(keys_ring_open(keys, ring, NULL, &made, &why), 0);
    size_t size = scratch_read(ring, text, sizeof text);
    for (size_t i = strlen("homemesh key ring\n"); i < size; i++) {
        char bad[1024];
        memcpy(bad, text, size);
        bad[i] ^= 1;
        scratch_write(ring, bad, size);
        assert_int_equal(keys_ring_open(keys, ring, NULL, &made, &why), HM_EMALFORMED);
        assert_non_null(strstr(why.text, "line 2"));
    }
    scratch_write(ring, "", 0);
    assert_int_equal(keys_ring_open(keys, ring, NULL, &made, &why), HM_EMALFORMED);
    scratch_write(ring, "homemesh key ring\n", 18);
    assert_int_equal(keys_ring_open(keys, ring, NULL, &made, &why), HM_EMALFORMED);
    keys_destroy(&keys);
}

static void ring_of_two_keys_with_comments(void **state)
{
    (void) state;
    char text[2048];
    char one[1024];
    uint8_t other[32];
    bool made = false;
    struct why why = {""};
    keys_t *keys = open_keys();
    assert_int_equal(keys_ring_open(keys, ring, NULL, &made, &why), 0);
    scratch_read(ring, one, sizeof one);
    memcpy(other, keys_ring_at(keys, 0), 32);
    unlink(ring);
    assert_int_equal(keys_ring_open(keys, ring, NULL, &made, &why), 0);
    size_t size = scratch_read(ring, text, sizeof text);
    size += (size_t) snprintf(text + size, sizeof text - size, "# the older one\n%s",
                              one + strlen("homemesh key ring\n"));
    scratch_write(ring, text, size);
    assert_int_equal(keys_ring_open(keys, ring, other, &made, &why), 0); /* any of them will do */
    assert_int_equal(keys_ring_count(keys), 2);
    assert_memory_equal(keys_ring_at(keys, 1), other, 32);
    keys_destroy(&keys);
}

static void token_key_makes_or_must_match(void **state)
{
    (void) state;
    uint8_t key[32];
    uint8_t other[32];
    bool made = false;
    struct why why = {""};
    memset(key, 7, sizeof key);
    memset(other, 8, sizeof other);
    keys_t *keys = open_keys();
    assert_int_equal(keys_ring_open(keys, ring, key, &made, &why), 0);
    assert_true(made);
    assert_memory_equal(keys_ring_at(keys, 0), key, 32);
    assert_int_equal(keys_ring_open(keys, ring, other, &made, &why), HM_EDENIED);
    char first[4096];
    char text[4096];
    char kept[SCRATCH_BYTES];
    char old[SCRATCH_BYTES];
    size_t first_size = scratch_read(ring, first, sizeof first);
    assert_int_equal(keys_ring_replace(keys, ring, other, kept, sizeof kept, &why), 0);
    assert_int_equal(keys_ring_count(keys), 1);
    assert_memory_equal(keys_ring_at(keys, 0), other, 32);
    assert_string_equal(kept, scratch_path(dir, "key.old", old));
    /* The second one that gives way does not take the first one's place. */
    assert_int_equal(keys_ring_replace(keys, ring, key, kept, sizeof kept, &why), 0);
    assert_string_equal(kept, scratch_path(dir, "key.old.2", old));
    assert_memory_equal(keys_ring_at(keys, 0), key, 32);
    assert_int_equal(scratch_read(scratch_path(dir, "key.old", old), text, sizeof text), first_size);
    assert_memory_equal(text, first, first_size);
    keys_destroy(&keys);
}

/* Nodes that start at the same moment end with one key. */
static void ring_is_the_same_for_all_who_race(void **state)
{
    (void) state;
    enum { RACERS = 12 };
    int pipes[2];
    pid_t pids[RACERS];
    uint8_t first[32];
    keys_t *keys = open_keys();
    for (int round = 0; round < 20; round++) {
        unlink(ring);
        assert_int_equal(pipe(pipes), 0);
        for (int i = 0; i < RACERS; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                bool made = false;
                int rc = keys_ring_open(keys, ring, NULL, &made, NULL);
                bool told = rc == 0 && write(pipes[1], keys_ring_at(keys, 0), 32) == 32;
                _exit(told ? 0 : 1);
            }
        }
        for (int i = 0; i < RACERS; i++) {
            int status = 1;
            uint8_t key[32];
            waitpid(pids[i], &status, 0);
            assert_int_equal(status, 0);
            assert_int_equal(read(pipes[0], key, sizeof key), 32);
            memcpy(first, i == 0 ? key : first, 32);
            assert_memory_equal(key, first, 32);
        }
        close(pipes[0]);
        close(pipes[1]);
    }
    keys_destroy(&keys);
}

static void core_crypto_signs_and_verifies(void **state)
{
    (void) state;
    struct crypto crypto;
    uint8_t signature[SIGNATURE_BYTES];
    struct node_id id;
    struct span message = span_of("alive", 5);
    keys_t *keys = open_keys();
    crypto_daemon(keys, &crypto);
    crypto.sign(crypto.identity, message, signature);
    assert_true(crypto.verify(keys_public(keys), message, signature));
    assert_false(crypto.verify(keys_public(keys), span_of("alivf", 5), signature));
    signature[3] ^= 1;
    assert_false(crypto.verify(keys_public(keys), message, signature));
    crypto.id_of_key(keys_public(keys), &id);
    assert_true(node_id_eq(&id, keys_id(keys)));
    assert_true(crypto.hash(message) != crypto.hash(span_of("alivf", 5)));
    assert_true(crypto.hash(message) == crypto.hash(message));
    keys_destroy(&keys);
}

static void curve_keys_belong_together(void **state)
{
    (void) state;
    uint8_t public_key[32];
    uint8_t secret[32];
    uint8_t derived[32];
    uint8_t zeros[32] = {0};
    keys_t *keys = open_keys();
    assert_int_equal(keys_curve_public(keys_public(keys), public_key), 0);
    keys_curve_secret(keys, secret);
    crypto_scalarmult_base(derived, secret);
    assert_memory_equal(derived, public_key, 32);
    assert_int_equal(keys_curve_public(zeros, public_key), HM_EMALFORMED);
    keys_destroy(&keys);
}

static void sample_token(struct token *token, char text[TOKEN_TEXT_BYTES])
{
    bool made = false;
    struct addr addrs[6];
    for (uint8_t i = 0; i < 6; i++) {
        addrs[i] = addr_v4(10, 0, 0, i, 8471);
    }
    addr_parse("[fd00::7]:8472", 0, &addrs[1]);
    addrs[2] = (struct addr){0}; /* none: left out */
    keys_t *keys = open_keys();
    assert_int_equal(keys_ring_open(keys, ring, NULL, &made, NULL), 0);
    keys_token(keys, addrs, 6, token);
    token_format(token, text);
    keys_destroy(&keys);
}

static void token_round_trip(void **state)
{
    (void) state;
    struct token token;
    struct token back;
    char text[TOKEN_TEXT_BYTES];
    char padded[TOKEN_TEXT_BYTES + 16];
    sample_token(&token, text);
    assert_int_equal(token.addr_count, 4);
    assert_memory_equal(text, "hm1-", 4);
    assert_int_equal(
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
        strlen(text));
    snprintf(padded, sizeof padded, " \t%s\r\n", text);
    assert_int_equal(token_parse(padded, &back, NULL), 0);
    assert_string_equal(back.mesh, "homelab");
    assert_memory_equal(back.key, token.key, 32);
    assert_true(node_id_eq(&back.issuer, &token.issuer));
    assert_int_equal(back.addr_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(addr_eq(&back.addrs[i], &token.addrs[i]));
    }
    token_wipe(&back);
    assert_int_equal(back.addr_count, 0);
}

static void largest_token_fits(void **state)
{
    (void) state;
    struct token token = {.addr_count = TOKEN_ADDRS_MAX};
    struct token back;
    char text[TOKEN_TEXT_BYTES];
    memset(token.mesh, 'm', HM_MESH_NAME_BYTES_MAX);
    for (size_t i = 0; i < TOKEN_ADDRS_MAX; i++) {
        addr_parse("[fd00::7]:8472", 0, &token.addrs[i]);
    }
    token_format(&token, text);
    assert_int_equal(token_parse(text, &back, NULL), 0);
    assert_string_equal(back.mesh, token.mesh);
}

static void wrong_tokens_are_refused(void **state)
{
    (void) state;
    struct token token;
    struct token back = {.addr_count = 99};
    char text[TOKEN_TEXT_BYTES];
    struct why why = {""};
    sample_token(&token, text);
    size_t len = strlen(text);
    for (size_t i = 4; i < len; i++) {
        char bad[TOKEN_TEXT_BYTES];
        memcpy(bad, text, len + 1);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_int_equal(token_parse(bad, &back, &why), HM_EMALFORMED);
        memcpy(bad, text, len + 1);
        bad[i] = '\0';
        assert_int_equal(token_parse(bad, &back, &why), HM_EMALFORMED);
        assert_null(strstr(why.text, text + 4)); /* a secret is in no message */
    }
    char twice[2 * TOKEN_TEXT_BYTES];
    snprintf(twice, sizeof twice, "%s %s", text, text);
    assert_int_equal(token_parse(twice, &back, &why), HM_EMALFORMED);
    assert_int_equal(token_parse("", &back, &why), HM_EMALFORMED);
    assert_int_equal(token_parse("hm1-", &back, &why), HM_EMALFORMED);
    assert_int_equal(token_parse("hunter2", &back, &why), HM_EMALFORMED);
    assert_int_equal(back.addr_count, 99); /* untouched on failure */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identity_is_made_once, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_identity_is_found_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(identity_of_another_user_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(ring_is_made_once_and_read, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_ring_names_its_line, setup, teardown),
        cmocka_unit_test_setup_teardown(ring_of_two_keys_with_comments, setup, teardown),
        cmocka_unit_test_setup_teardown(token_key_makes_or_must_match, setup, teardown),
        cmocka_unit_test_setup_teardown(ring_is_the_same_for_all_who_race, setup, teardown),
        cmocka_unit_test_setup_teardown(core_crypto_signs_and_verifies, setup, teardown),
        cmocka_unit_test_setup_teardown(curve_keys_belong_together, setup, teardown),
        cmocka_unit_test_setup_teardown(token_round_trip, setup, teardown),
        cmocka_unit_test(largest_token_fits),
        cmocka_unit_test_setup_teardown(wrong_tokens_are_refused, setup, teardown),
    };
    if (sodium_init() < 0) {
        return 99;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
