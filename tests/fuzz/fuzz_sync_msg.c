/* SPDX-License-Identifier: MPL-2.0 */
/* Bodies of the full exchange. The first byte chooses: digest, reply, list of ids. */
#include "fuzz.h"

#include "base/err.h"
#include "wire/sync_msg.h"

static void digest(struct span bytes, struct buf *b)
{
    struct sync_msg msg, again;
    struct digest_entry last, entry;
    if (sync_msg_read(bytes, &msg) != HM_OK) {
        return;
    }
    FUZZ_ASSERT(span_inside(msg.digest, bytes) && msg.digest.size % DIGEST_ENTRY_BYTES == 0);
    FUZZ_ASSERT(msg.has_digest || msg.digest.size == 0);
    for (size_t i = 0; i < msg.digest.size / DIGEST_ENTRY_BYTES; i++) {
        uint8_t bytes_again[DIGEST_ENTRY_BYTES];
        FUZZ_ASSERT(sync_digest_get(msg.digest, i, &entry) == HM_OK);
        sync_digest_put(bytes_again, &entry);
        FUZZ_ASSERT(
            memcmp(bytes_again, msg.digest.data + i * DIGEST_ENTRY_BYTES, DIGEST_ENTRY_BYTES) == 0);
        FUZZ_ASSERT(i == 0 || node_id_cmp(&last.id, &entry.id) < 0);
        last = entry;
    }
    sync_msg_write(b, &msg);
    FUZZ_ASSERT(!buf_failed(b) && sync_msg_read(buf_span(b), &again) == HM_OK);
    FUZZ_ASSERT(again.view_hash == msg.view_hash && again.has_digest == msg.has_digest);
    FUZZ_ASSERT(span_eq(again.digest, msg.digest));
}

static void reply(struct span bytes, struct buf *b)
{
    struct sync_reply msg, again;
    if (sync_reply_read(bytes, &msg) != HM_OK) {
        return;
    }
    FUZZ_ASSERT(span_inside(msg.update_bytes, bytes) && span_inside(msg.wanted, bytes));
    FUZZ_ASSERT(msg.wanted.size % NODE_ID_BYTES == 0);
    sync_reply_write(b, &msg);
    FUZZ_ASSERT(!buf_failed(b) && sync_reply_read(buf_span(b), &again) == HM_OK);
    FUZZ_ASSERT(again.update_count == msg.update_count);
    FUZZ_ASSERT(span_eq(again.update_bytes, msg.update_bytes) && span_eq(again.wanted, msg.wanted));
}

static void list(struct span bytes, struct buf *b)
{
    struct span ids, again;
    if (id_list_read(bytes, &ids) != HM_OK) {
        return;
    }
    FUZZ_ASSERT(span_inside(ids, bytes) && ids.size % NODE_ID_BYTES == 0);
    id_list_write(b, ids);
    FUZZ_ASSERT(!buf_failed(b) && id_list_read(buf_span(b), &again) == HM_OK &&
                span_eq(ids, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t which = in_u8(&in) % 3;
    struct span bytes = fuzz_copy(span_of(in.at, in.left));
    struct buf b;
    buf_init(&b, size + 16);
    if (which == 0) {
        digest(bytes, &b);
    } else if (which == 1) {
        reply(bytes, &b);
    } else {
        list(bytes, &b);
    }
    buf_fini(&b);
    fuzz_free(bytes);
    return 0;
}
