/* SPDX-License-Identifier: MPL-2.0 */
/* ZRE, which nobody authenticates: beacons, mailbox messages, identities, endpoints. What is
 * read is written again and reads the same. The first byte chooses. */
#include "fuzz.h"

#include "base/err.h"
#include "wire/zre_msg.h"

static void beacon(struct span bytes)
{
    struct zre_beacon beacon;
    uint8_t again[ZRE_BEACON_BYTES];
    int result = zre_beacon_read(bytes, &beacon);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED || result == HM_EVERSION);
    if (result == HM_OK) {
        zre_beacon_write(&beacon, again);
        FUZZ_ASSERT(span_eq(bytes, span_of(again, sizeof again)));
    }
}

static void identity(struct span bytes)
{
    struct node_id uuid;
    uint8_t again[ZRE_IDENTITY_BYTES];
    if (zre_identity_read(bytes, &uuid)) {
        zre_identity_write(&uuid, again);
        FUZZ_ASSERT(span_eq(bytes, span_of(again, sizeof again)));
    }
}

static void endpoint(struct span bytes)
{
    struct addr a, again;
    char text[ADDR_TEXT_BYTES + 8] = "tcp://";
    if (zre_endpoint_read(bytes, &a) == HM_OK) {
        FUZZ_ASSERT(a.port != 0 && !addr_is_none(&a));
        addr_format(&a, text + strlen("tcp://"));
        FUZZ_ASSERT(zre_endpoint_read(span_of(text, strlen(text)), &again) == HM_OK);
        FUZZ_ASSERT(addr_eq(&a, &again));
    }
}

/* Walks a list; it must yield exactly as many items as it says, all inside the bytes. */
static void walk(struct zre_list list, bool is_pairs, struct span bytes)
{
    struct span key = span_of(NULL, 0);
    struct span value;
    uint32_t count = 0;
    uint32_t expected = list.count;
    FUZZ_ASSERT(span_inside(list.bytes, bytes));
    while (is_pairs ? zre_headers_next(&list, &key, &value) : zre_strings_next(&list, &value)) {
        FUZZ_ASSERT(span_inside(key, bytes) && span_inside(value, bytes));
        count++;
    }
    FUZZ_ASSERT(count == expected && count <= ZRE_LIST_MAX);
}

static void message(struct span bytes)
{
    struct zre_msg msg, again;
    struct span value;
    struct buf b;
    int result = zre_msg_read(bytes, &msg);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED || result == HM_EVERSION);
    if (result != HM_OK) {
        return;
    }
    FUZZ_ASSERT(span_inside(msg.endpoint, bytes) && span_inside(msg.name, bytes));
    FUZZ_ASSERT(span_inside(msg.group, bytes));
    walk(msg.groups, false, bytes);
    walk(msg.headers, true, bytes);
    if (zre_headers_find(&msg.headers, "X-MESH", &value)) {
        FUZZ_ASSERT(span_inside(value, bytes));
    }
    buf_init(&b, bytes.size);
    zre_msg_write(&b, &msg);
    FUZZ_ASSERT(!buf_failed(&b));
    FUZZ_ASSERT(
        span_eq(buf_span(&b), span_of(bytes.data, b.size))); /* but for what was behind it */
    FUZZ_ASSERT(zre_msg_read(buf_span(&b), &again) == HM_OK);
    FUZZ_ASSERT(again.id == msg.id && again.sequence == msg.sequence);
    FUZZ_ASSERT(again.status == msg.status && span_eq(again.name, msg.name));
    FUZZ_ASSERT(span_eq(again.endpoint, msg.endpoint) && span_eq(again.group, msg.group));
    FUZZ_ASSERT(again.groups.count == msg.groups.count);
    FUZZ_ASSERT(span_eq(again.headers.bytes, msg.headers.bytes));
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t which = in_u8(&in);
    struct span bytes = fuzz_copy(span_of(in.at, in.left));
    switch (which % 4) {
    case 0:
        message(bytes);
        break;
    case 1:
        beacon(bytes);
        break;
    case 2:
        endpoint(bytes);
        break;
    default:
        identity(bytes);
        break;
    }
    fuzz_free(bytes);
    return 0;
}
