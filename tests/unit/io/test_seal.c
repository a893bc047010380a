/* SPDX-License-Identifier: MPL-2.0 */
/* Sealed datagrams: who can open what, and what each kind of wrong datagram is called. */
#define _GNU_SOURCE
#include "../unit.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/text.h"
#include "io/seal.h"
#include "scratch.h"

#include <sodium.h>

static char dir[SCRATCH_BYTES];

struct node {
    keys_t *keys;
    seal_t *seal;
    struct buf out;
    struct buf body;
};

static void node_make(struct node *node, const char *mesh, const char *name, const char *ring_name)
{
    char path[SCRATCH_BYTES];
    bool made = false;
    assert_int_equal(keys_new(mesh, scratch_path(dir, name, path), &node->keys, NULL), 0);
    assert_int_equal(
        keys_ring_open(node->keys, scratch_path(dir, ring_name, path), NULL, &made, NULL), 0);
    node->seal = seal_new(node->keys);
    assert_non_null(node->seal);
    buf_init(&node->out, HM_DATAGRAM_BYTES_MAX);
    buf_init(&node->body, HM_DATAGRAM_BYTES_MAX);
}

static void node_free(struct node *node)
{
    seal_destroy(&node->seal);
    keys_destroy(&node->keys);
    buf_fini(&node->out);
    buf_fini(&node->body);
}

static struct node a, b, c;

static int setup(void **state)
{
    (void) state;
    scratch_make(dir);
    node_make(&a, "homelab", "a", "ring");
    node_make(&b, "homelab", "b", "ring");
    node_make(&c, "homelab", "c", "ring");
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    node_free(&a);
    node_free(&b);
    node_free(&c);
    scratch_remove(dir);
    return 0;
}

static void meet(struct node *x, struct node *y)
{
    assert_int_equal(seal_peer_add(x->seal, keys_id(y->keys), keys_public(y->keys)), 0);
    assert_int_equal(seal_peer_add(y->seal, keys_id(x->keys), keys_public(x->keys)), 0);
}

static struct span make(struct node *from, enum datagram_class cls, struct node *to,
                        const char *text)
{
    buf_clear(&from->out);
    assert_int_equal(seal_datagram(from->seal, cls, keys_id(to->keys), 77, 5,
                                   span_of(text, strlen(text)), &from->out),
                     0);
    return buf_span(&from->out);
}

static enum seal_result open_at(struct node *at, struct span datagram, struct datagram_head *head)
{
    struct span copy = exact_copy(datagram.data, datagram.size);
    enum seal_result result = seal_open(at->seal, copy, head, &at->body);
    exact_free(copy);
    return result;
}

static void first_contact_opens_for_all_of_the_mesh(void **state)
{
    (void) state;
    struct datagram_head head;
    struct span d = make(&a, DATAGRAM_MESH, &b, "join");
    assert_int_equal(d.size, DATAGRAM_MESH_HEAD_BYTES + 4 + DATAGRAM_TAG_BYTES);
    assert_int_equal(open_at(&b, d, &head), SEAL_OPENED);
    assert_int_equal(head.cls, DATAGRAM_MESH);
    assert_int_equal(head.session, 77);
    assert_int_equal(head.counter, 5);
    assert_true(node_id_eq(&head.sender, keys_id(a.keys)));
    assert_memory_equal(b.body.data, "join", 4);
    assert_int_equal(b.body.size, 4);
    assert_int_equal(open_at(&c, d, &head), SEAL_OPENED);
}

static void pair_opens_at_its_receiver_only(void **state)
{
    (void) state;
    struct datagram_head head;
    meet(&a, &b);
    meet(&a, &c);
    meet(&b, &c);
    struct span d = make(&a, DATAGRAM_PAIR, &b, "ping");
    assert_int_equal(open_at(&b, d, &head), SEAL_OPENED);
    assert_memory_equal(b.body.data, "ping", 4);
    assert_int_equal(open_at(&c, d, &head), SEAL_UNSEALED);
    assert_int_equal(c.body.size, 0);
    /* Reflected, with the head saying that the receiver sent it: the direction's key differs. */
    uint8_t copy[HM_DATAGRAM_BYTES_MAX];
    memcpy(copy, d.data, d.size);
    memcpy(copy + 6, keys_id(b.keys)->b, NODE_ID_BYTES);
    assert_int_equal(open_at(&a, span_of(copy, d.size), &head), SEAL_UNSEALED);
    /* c cannot speak for a, though it is a member. */
    d = make(&c, DATAGRAM_PAIR, &b, "ping");
    memcpy(copy, d.data, d.size);
    memcpy(copy + 6, keys_id(a.keys)->b, NODE_ID_BYTES);
    assert_int_equal(open_at(&b, span_of(copy, d.size), &head), SEAL_UNSEALED);
}

/* One key in two meshes, as when their directories lie side by side: what a node of one says to a
 * node it knows does not open in the other. */
static void the_mesh_is_part_of_every_seal(void **state)
{
    (void) state;
    struct datagram_head head;
    struct node elsewhere;
    node_make(&elsewhere, "office", "b", "ring"); /* b's identity and key */
    meet(&a, &b);
    meet(&a, &elsewhere);
    struct span d = make(&a, DATAGRAM_PAIR, &b, "ping");
    assert_int_equal(open_at(&b, d, &head), SEAL_OPENED);
    assert_int_equal(open_at(&elsewhere, d, &head), SEAL_UNSEALED);
    d = make(&a, DATAGRAM_MESH, &b, "join");
    uint8_t copy[HM_DATAGRAM_BYTES_MAX];
    struct span own = make(&elsewhere, DATAGRAM_MESH, &b, "join");
    memcpy(copy, d.data, d.size);
    memcpy(copy + DATAGRAM_MESH_HEAD_BYTES - 8, own.data + DATAGRAM_MESH_HEAD_BYTES - 8, 8);
    assert_int_equal(open_at(&elsewhere, span_of(copy, d.size), &head), SEAL_FOREIGN_KEY);
    node_free(&elsewhere);
}

static void write_text(const char *name, const char *text)
{
    char path[SCRATCH_BYTES];
    scratch_write(scratch_path(dir, name, path), text, strlen(text));
}

/* The bytes on the wire, for good: a seal over fewer things (the version in the head, the mesh), another
 * order or another key is another protocol, and no test of one program with itself would notice. */
static void the_seal_stays_the_same(void **state)
{
    (void) state;
    static const char seed[] = "0101010101010101010101010101010101010101010101010101010101010101";
    static const char expected[] = "484d01010042e6808f33fbec87975122804ac9ceda8e"
                                   "000000000000004d00000000000000055f75667ae95869d0"
                                   "65099815284acbbc96464a44986beb721abdaf8d";
    uint8_t key[32];
    char path[SCRATCH_BYTES];
    char text[200];
    char hex[2 * HM_DATAGRAM_BYTES_MAX + 1];
    char check[2 * 8 + 1];
    bool made = false;
    struct node node;
    uint8_t hash[crypto_generichash_BYTES];
    crypto_generichash_state st;
    crypto_generichash_init(&st, NULL, 0, sizeof hash);
    crypto_generichash_update(&st, (const uint8_t *) "homemesh identity\n", 18);
    memset(key, 1, sizeof key);
    crypto_generichash_update(&st, key, sizeof key);
    crypto_generichash_final(&st, hash, sizeof hash);
    snprintf(text, sizeof text, "homemesh identity\nseed %s\ncheck %s\n", seed,
             text_hex(hash, 8, check));
    write_text("fixed", text);
    memset(key, 2, sizeof key);
    assert_int_equal(keys_new("homelab", scratch_path(dir, "fixed", path), &node.keys, NULL), 0);
    assert_int_equal(
        keys_ring_open(node.keys, scratch_path(dir, "fixed-ring", path), key, &made, NULL), 0);
    node.seal = seal_new(node.keys);
    buf_init(&node.out, HM_DATAGRAM_BYTES_MAX);
    buf_init(&node.body, HM_DATAGRAM_BYTES_MAX);
    struct span d = make(&node, DATAGRAM_MESH, &node, "join");
    assert_string_equal(text_hex(d.data, d.size, hex), expected);
    node_free(&node);
}

static void every_changed_byte_is_noticed(void **state)
{
    (void) state;
    struct datagram_head head;
    meet(&a, &b);
    for (int cls = DATAGRAM_MESH; cls <= DATAGRAM_PAIR; cls++) {
        struct span d = make(&a, (enum datagram_class) cls, &b, "a message");
        for (size_t i = 0; i < d.size; i++) {
            uint8_t copy[HM_DATAGRAM_BYTES_MAX];
            memcpy(copy, d.data, d.size);
            copy[i] ^= 0x40;
            assert_int_not_equal(open_at(&b, span_of(copy, d.size), &head), SEAL_OPENED);
            assert_int_not_equal(open_at(&b, span_of(d.data, i), &head), SEAL_OPENED);
        }
    }
}

static void wrong_ones_have_their_names(void **state)
{
    (void) state;
    struct datagram_head head;
    struct node foreign_mesh, foreign_key;
    uint8_t copy[HM_DATAGRAM_BYTES_MAX + 1] = {0};
    node_make(&foreign_mesh, "office", "fm", "ring");
    node_make(&foreign_key, "homelab", "fk", "other-ring");
    assert_int_equal(open_at(&a, make(&foreign_mesh, DATAGRAM_MESH, &a, "x"), &head),
                     SEAL_FOREIGN_MESH);
    assert_int_equal(open_at(&a, make(&foreign_key, DATAGRAM_MESH, &a, "x"), &head),
                     SEAL_FOREIGN_KEY);
    assert_true(node_id_eq(&head.sender, keys_id(foreign_key.keys)));
    assert_int_equal(seal_peer_add(b.seal, keys_id(a.keys), keys_public(a.keys)), 0);
    assert_int_equal(open_at(&a, make(&b, DATAGRAM_PAIR, &a, "x"), &head), SEAL_UNKNOWN_SENDER);
    assert_true(node_id_eq(&head.sender, keys_id(b.keys)));
    meet(&a, &foreign_key);
    assert_int_equal(open_at(&a, make(&foreign_key, DATAGRAM_PAIR, &a, "x"), &head), SEAL_UNSEALED);
    struct span d = make(&b, DATAGRAM_MESH, &a, "x");
    memcpy(copy, d.data, d.size);
    copy[2] = 99;
    assert_int_equal(open_at(&a, span_of(copy, d.size), &head), SEAL_VERSION);
    assert_int_equal(open_at(&a, span_of("hello", 5), &head), SEAL_NOT_OURS);
    assert_int_equal(open_at(&a, span_of("", 0), &head), SEAL_NOT_OURS);
    assert_int_equal(open_at(&a, span_of(copy, sizeof copy), &head), SEAL_NOT_OURS);
    assert_int_equal(seal_result_metric(SEAL_FOREIGN_KEY), M_DROP_FOREIGN_KEY);
    node_free(&foreign_mesh);
    node_free(&foreign_key);
}

static void older_keys_of_the_ring_open(void **state)
{
    (void) state;
    char path[SCRATCH_BYTES];
    char text[2048];
    char line[1024];
    struct datagram_head head;
    struct node rotated, fresh;
    node_make(&fresh, "homelab", "fresh", "new-ring");
    size_t size = scratch_read(scratch_path(dir, "new-ring", path), text, sizeof text);
    scratch_read(scratch_path(dir, "ring", path), line, sizeof line);
    snprintf(text + size, sizeof text - size, "%s", line + strlen("homemesh key ring\n"));
    scratch_write(scratch_path(dir, "both", path), text, strlen(text));
    node_make(&rotated, "homelab", "rotated", "both");
    meet(&a, &rotated);
    meet(&fresh, &rotated);
    assert_int_equal(open_at(&rotated, make(&a, DATAGRAM_MESH, &rotated, "x"), &head), SEAL_OPENED);
    assert_int_equal(open_at(&rotated, make(&a, DATAGRAM_PAIR, &rotated, "x"), &head), SEAL_OPENED);
    assert_int_equal(open_at(&fresh, make(&rotated, DATAGRAM_MESH, &a, "x"), &head), SEAL_OPENED);
    assert_int_equal(open_at(&fresh, make(&rotated, DATAGRAM_PAIR, &fresh, "x"), &head),
                     SEAL_OPENED);
    assert_int_equal(open_at(&a, make(&rotated, DATAGRAM_MESH, &a, "x"), &head), SEAL_FOREIGN_KEY);
    node_free(&rotated);
    node_free(&fresh);
}

static void limits_and_errors(void **state)
{
    (void) state;
    static const uint8_t body[DATAGRAM_BODY_BYTES_MAX + 1];
    struct datagram_head head;
    struct node_id wrong = *keys_id(b.keys);
    wrong.b[0] ^= 1;
    assert_int_equal(seal_peer_add(a.seal, &wrong, keys_public(b.keys)), HM_EMALFORMED);
    assert_int_equal(seal_datagram(a.seal, DATAGRAM_PAIR, &wrong, 1, 1, span_of(body, 1), &a.out),
                     HM_ENOTFOUND);
    assert_int_equal(
        seal_datagram(a.seal, DATAGRAM_MESH, NULL, 1, 1, span_of(body, sizeof body), &a.out),
        HM_EINVAL);
    buf_clear(&a.out);
    assert_int_equal(
        seal_datagram(a.seal, DATAGRAM_MESH, NULL, 1, 1, span_of(body, sizeof body - 1), &a.out),
        0);
    assert_int_equal(a.out.size, HM_DATAGRAM_BYTES_MAX);
    assert_int_equal(open_at(&b, buf_span(&a.out), &head), SEAL_OPENED);
    assert_int_equal(b.body.size, DATAGRAM_BODY_BYTES_MAX);
    assert_int_equal(seal_datagram(a.seal, DATAGRAM_MESH, NULL, 1, 1, span_of(body, 9), &a.out),
                     HM_EFULL);
    /* A key that is no point of the curve: known by its hash, but nothing can be sealed for it. */
    uint8_t no_point[32] = {0};
    struct node_id id;
    crypto_generichash(id.b, NODE_ID_BYTES, no_point, 32, NULL, 0);
    buf_clear(&a.out);
    assert_int_equal(seal_peer_add(a.seal, &id, no_point), 0);
    assert_int_equal(seal_datagram(a.seal, DATAGRAM_PAIR, &id, 1, 1, span_of(body, 1), &a.out),
                     HM_EMALFORMED);
    /* An empty body is fine. */
    buf_clear(&a.out);
    assert_int_equal(seal_datagram(a.seal, DATAGRAM_MESH, NULL, 1, 2, span_of(NULL, 0), &a.out), 0);
    assert_int_equal(open_at(&b, buf_span(&a.out), &head), SEAL_OPENED);
    assert_int_equal(b.body.size, 0);
}

static void many_peers(void **state)
{
    (void) state;
    struct node_id id;
    for (uint32_t i = 0; i < HM_MEMBERS_MAX + 1; i++) {
        uint8_t key[32] = {0};
        memcpy(key, &i, sizeof i);
        crypto_generichash(id.b, NODE_ID_BYTES, key, 32, NULL, 0);
        int expected = i < HM_MEMBERS_MAX ? HM_OK : HM_EFULL;
        assert_int_equal(seal_peer_add(a.seal, &id, key), expected);
        assert_int_equal(seal_peer_add(a.seal, &id, key), expected); /* again is fine */
    }
}

/* One is forgotten among many: all others open as before, and its place is used again. */
static void a_peer_is_forgotten(void **state)
{
    (void) state;
    enum { OTHERS = 300 };
    static struct node_id ids[OTHERS];
    struct datagram_head head;
    for (uint32_t i = 0; i < OTHERS; i++) {
        uint8_t public_key[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
        uint8_t seed[crypto_sign_SEEDBYTES] = {1};
        memcpy(seed + 1, &i, sizeof i);
        crypto_sign_seed_keypair(public_key, secret, seed);
        crypto_generichash(ids[i].b, NODE_ID_BYTES, public_key, 32, NULL, 0);
        assert_int_equal(seal_peer_add(a.seal, &ids[i], public_key), HM_OK);
    }
    meet(&a, &b);
    meet(&a, &c);
    for (uint32_t i = 0; i < OTHERS; i++) { /* so that each has keys, in order */
        buf_clear(&a.out);
        assert_int_equal(seal_datagram(a.seal, DATAGRAM_PAIR, &ids[i], 1, i, span_of("x", 1), &a.out),
                         HM_OK);
    }
    assert_int_equal(open_at(&b, make(&a, DATAGRAM_PAIR, &b, "hello"), &head), SEAL_OPENED);
    assert_int_equal(open_at(&c, make(&a, DATAGRAM_PAIR, &c, "hello"), &head), SEAL_OPENED);
    for (uint32_t i = 0; i < OTHERS; i += 2) {
        seal_peer_remove(a.seal, &ids[i]);
        seal_peer_remove(a.seal, &ids[i]); /* again is fine */
    }
    for (uint32_t i = 0; i < OTHERS; i++) {
        buf_clear(&a.out);
        assert_int_equal(seal_datagram(a.seal, DATAGRAM_PAIR, &ids[i], 1, i, span_of("x", 1), &a.out),
                         i % 2 == 0 ? HM_ENOTFOUND : HM_OK);
    }
    assert_int_equal(open_at(&b, make(&a, DATAGRAM_PAIR, &b, "again"), &head), SEAL_OPENED);
    assert_int_equal(open_at(&a, make(&b, DATAGRAM_PAIR, &a, "back"), &head), SEAL_OPENED);
    assert_int_equal(open_at(&c, make(&a, DATAGRAM_PAIR, &c, "again"), &head), SEAL_OPENED);
    struct span last = make(&b, DATAGRAM_PAIR, &a, "more");
    seal_peer_remove(a.seal, keys_id(b.keys));
    assert_int_equal(open_at(&a, last, &head), SEAL_UNKNOWN_SENDER);
    assert_int_equal(seal_peer_add(a.seal, keys_id(b.keys), keys_public(b.keys)), HM_OK);
    assert_int_equal(open_at(&a, last, &head), SEAL_OPENED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(first_contact_opens_for_all_of_the_mesh, setup, teardown),
        cmocka_unit_test_setup_teardown(pair_opens_at_its_receiver_only, setup, teardown),
        cmocka_unit_test_setup_teardown(the_mesh_is_part_of_every_seal, setup, teardown),
        cmocka_unit_test_setup_teardown(the_seal_stays_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(every_changed_byte_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_ones_have_their_names, setup, teardown),
        cmocka_unit_test_setup_teardown(older_keys_of_the_ring_open, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_and_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(many_peers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_is_forgotten, setup, teardown),
    };
    if (sodium_init() < 0) {
        return 99;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
