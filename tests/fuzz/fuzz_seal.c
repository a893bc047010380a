/* SPDX-License-Identifier: MPL-2.0 */
/* Opening datagrams. Any bytes are refused for a counted reason; what one node sealed the other
 * opens, and one changed bit of it opens nothing. The first byte chooses. */
#define _GNU_SOURCE
#include "fuzz.h"

#include "base/limits.h"
#include "io/seal.h"

#include <sodium.h>
#include <unistd.h>

static struct {
    keys_t *keys[2];
    seal_t *seal[2];
} node;

static void make_nodes(void)
{
    char dir[] = "/tmp/homemesh-fuzz-XXXXXX";
    char ring[64], identity[64];
    bool made;
    FUZZ_ASSERT(sodium_init() >= 0 && mkdtemp(dir) != NULL);
    snprintf(ring, sizeof ring, "%s/key", dir);
    for (int i = 0; i < 2; i++) {
        snprintf(identity, sizeof identity, "%s/identity%d", dir, i);
        FUZZ_ASSERT(keys_new("home", identity, &node.keys[i], NULL) == 0);
        FUZZ_ASSERT(keys_ring_open(node.keys[i], ring, NULL, &made, NULL) == 0);
        node.seal[i] = seal_new(node.keys[i]);
        FUZZ_ASSERT(node.seal[i] != NULL);
        unlink(identity);
    }
    unlink(ring);
    rmdir(dir);
    for (int i = 0; i < 2; i++) {
        FUZZ_ASSERT(seal_peer_add(node.seal[i], keys_id(node.keys[1 - i]),
                                  keys_public(node.keys[1 - i])) == 0);
    }
}

static void foreign(struct input *in)
{
    struct datagram_head head;
    struct buf body;
    struct span bytes = fuzz_copy(span_of(in->at, in->left));
    buf_init(&body, HM_DATAGRAM_BYTES_MAX);
    FUZZ_ASSERT(seal_open(node.seal[0], bytes, &head, &body) != SEAL_OPENED);
    FUZZ_ASSERT(body.size == 0);
    buf_fini(&body);
    fuzz_free(bytes);
}

static void sealed(struct input *in)
{
    struct datagram_head head;
    struct buf datagram, body;
    enum datagram_class cls = in_u8(in) % 2 == 0 ? DATAGRAM_MESH : DATAGRAM_PAIR;
    uint64_t session = in_u64(in);
    uint64_t counter = in_u64(in);
    uint32_t bit = (uint32_t) in_number(in, 4);
    struct span content = in_bytes(in, DATAGRAM_BODY_BYTES_MAX);
    buf_init(&datagram, HM_DATAGRAM_BYTES_MAX);
    buf_init(&body, HM_DATAGRAM_BYTES_MAX);
    FUZZ_ASSERT(seal_datagram(node.seal[0], cls, keys_id(node.keys[1]), session, counter, content,
                              &datagram) == 0);
    FUZZ_ASSERT(seal_open(node.seal[1], buf_span(&datagram), &head, &body) == SEAL_OPENED);
    FUZZ_ASSERT(head.cls == cls && head.session == session && head.counter == counter);
    FUZZ_ASSERT(node_id_eq(&head.sender, keys_id(node.keys[0])));
    FUZZ_ASSERT(span_eq(buf_span(&body), content));
    /* Pair-sealed it opens at its receiver only, and nothing comes back to its sender. */
    if (cls == DATAGRAM_PAIR) {
        FUZZ_ASSERT(seal_open(node.seal[0], buf_span(&datagram), &head, &body) != SEAL_OPENED);
    }
    bit %= (uint32_t) (8 * datagram.size);
    datagram.data[bit / 8] ^= (uint8_t) (1U << bit % 8);
    FUZZ_ASSERT(seal_open(node.seal[1], buf_span(&datagram), &head, &body) != SEAL_OPENED);
    FUZZ_ASSERT(body.size == 0);
    buf_fini(&datagram);
    buf_fini(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    if (node.seal[0] == NULL) {
        make_nodes();
    }
    if (in_u8(&in) % 2 == 0) {
        foreign(&in);
    } else {
        sealed(&in);
    }
    return 0;
}
