/* SPDX-License-Identifier: MPL-2.0 */
/* Membership messages and the updates in them: what was understood is written again and
 * understood the same. */
#include "fuzz.h"

#include "base/err.h"
#include "wire/removal_msg.h"
#include "wire/swim_msg.h"

static void check_update(const struct swim_update *u, struct span bytes, struct buf *ret_update)
{
    struct swim_update again;
    struct mp_reader r;
    buf_clear(ret_update);
    if (u->kind == UPDATE_REMOVAL) {
        FUZZ_ASSERT(span_inside(u->record, bytes) && u->record.size <= REMOVAL_ENTRY_BYTES_MAX);
        swim_update_write_removal(ret_update, u->record);
    } else if (u->kind == UPDATE_RECORD) {
        FUZZ_ASSERT(span_inside(u->record, bytes) && u->record.size <= HM_RECORD_BYTES_MAX);
        swim_update_write_record(ret_update, u->record);
    } else {
        FUZZ_ASSERT(u->kind == UPDATE_CLAIM && u->claim.observer_count <= HM_OBSERVERS_MAX);
        FUZZ_ASSERT(u->claim.kind >= CLAIM_SUSPECT && u->claim.kind <= CLAIM_REFUSED);
        FUZZ_ASSERT(u->claim.incarnation < UINT64_MAX);
        swim_update_write_claim(ret_update, &u->claim);
    }
    FUZZ_ASSERT(!buf_failed(ret_update));
    mp_open(&r, buf_span(ret_update));
    FUZZ_ASSERT(swim_update_next(&r, &again) && mp_at_end(&r) && !mp_failed(&r));
    FUZZ_ASSERT(again.kind == u->kind && span_eq(again.record, u->record));
    FUZZ_ASSERT(again.claim.kind == u->claim.kind && again.claim.reason == u->claim.reason);
    FUZZ_ASSERT(again.claim.incarnation == u->claim.incarnation);
    FUZZ_ASSERT(node_id_eq(&again.claim.target, &u->claim.target));
    FUZZ_ASSERT(again.claim.observer_count == u->claim.observer_count);
    FUZZ_ASSERT(memcmp(again.claim.observers, u->claim.observers, sizeof u->claim.observers) == 0);
    FUZZ_ASSERT(span_eq(again.claim.record, u->claim.record));
}

/* Walks the updates; returns how many were understood. */
static size_t walk(struct span update_bytes, struct buf *scratch)
{
    struct mp_reader r;
    struct swim_update u;
    size_t known = 0;
    mp_open(&r, update_bytes);
    while (swim_update_next(&r, &u)) {
        check_update(&u, update_bytes, scratch);
        known++;
        FUZZ_ASSERT(known <= update_bytes.size);
    }
    return known;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct swim_msg msg, again;
    struct buf b, scratch;
    struct span bytes = fuzz_copy(span_of(data, size));
    memset(&msg, 0, sizeof msg);
    int result = swim_msg_read(bytes, &msg);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED || result == HM_ENOTFOUND);
    if (result != HM_OK) {
        fuzz_free(bytes);
        return 0;
    }
    buf_init(&b, 2 * size + 64);
    buf_init(&scratch, 4096);
    FUZZ_ASSERT(span_inside(msg.record, bytes) && msg.record.size <= HM_RECORD_BYTES_MAX);
    FUZZ_ASSERT(span_inside(msg.update_bytes, bytes));
    FUZZ_ASSERT(msg.update_count <= msg.update_bytes.size);
    FUZZ_ASSERT(walk(msg.update_bytes, &scratch) <= msg.update_count);
    /* Written again with its updates as one run of bytes. */
    struct swim_msg copy = msg;
    copy.updates = &msg.update_bytes;
    copy.update_count = msg.update_count > 0 ? 1 : 0;
    swim_msg_write(&b, &copy);
    FUZZ_ASSERT(!buf_failed(&b));
    if (msg.update_count <= 1) {
        FUZZ_ASSERT(swim_msg_read(buf_span(&b), &again) == HM_OK);
        FUZZ_ASSERT(again.type == msg.type && again.nonce == msg.nonce && again.echo == msg.echo);
        FUZZ_ASSERT(again.view_hash == msg.view_hash && node_id_eq(&again.target, &msg.target));
        FUZZ_ASSERT(memcmp(&again.coord, &msg.coord, sizeof msg.coord) == 0);
        FUZZ_ASSERT(span_eq(again.record, msg.record));
        FUZZ_ASSERT(span_eq(again.update_bytes, msg.update_bytes));
    }
    buf_fini(&b);
    buf_fini(&scratch);
    fuzz_free(bytes);
    return 0;
}
