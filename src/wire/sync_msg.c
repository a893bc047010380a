/* SPDX-License-Identifier: MPL-2.0 */
/* Full exchange: see sync_msg.h. */
#include "wire/sync_msg.h"

#include "base/be.h"
#include "base/err.h"
#include "base/limits.h"
#include "wire/mpack.h"

#include <string.h>

void sync_digest_put(uint8_t at[DIGEST_ENTRY_BYTES], const struct digest_entry *entry)
{
    memcpy(at, entry->id.b, NODE_ID_BYTES);
    be_put(at + NODE_ID_BYTES, entry->incarnation, 8);
    at[24] = (uint8_t) entry->cls;
}

int sync_digest_get(struct span digest, size_t idx, struct digest_entry *ret_entry)
{
    const uint8_t *at = digest.data + idx * DIGEST_ENTRY_BYTES;
    struct digest_entry e = {.incarnation = 0};
    HM_ASSERT((idx + 1) * DIGEST_ENTRY_BYTES <= digest.size);
    memcpy(e.id.b, at, NODE_ID_BYTES);
    e.incarnation = be_get(at + NODE_ID_BYTES, 8);
    if (at[24] < DIGEST_ALIVE || at[24] > DIGEST_LEFT || e.incarnation == UINT64_MAX) {
        return HM_EMALFORMED;
    }
    e.cls = (enum digest_class) at[24];
    *ret_entry = e;
    return HM_OK;
}

void sync_msg_write(struct buf *b, const struct sync_msg *msg)
{
    mp_array(b, 2);
    mp_uint(b, msg->view_hash);
    if (msg->has_digest) {
        mp_bin(b, msg->digest.data, msg->digest.size);
    } else {
        mp_nil(b);
    }
}

static bool digest_is_sound(struct span digest)
{
    struct digest_entry last, entry;
    if (digest.size % DIGEST_ENTRY_BYTES != 0) {
        return false;
    }
    for (size_t i = 0; i < digest.size / DIGEST_ENTRY_BYTES; i++) {
        if (sync_digest_get(digest, i, &entry) != 0 ||
            (i > 0 && node_id_cmp(&last.id, &entry.id) >= 0)) {
            return false;
        }
        last = entry;
    }
    return true;
}

int sync_msg_read(struct span bytes, struct sync_msg *ret_msg)
{
    struct mp_reader r;
    struct sync_msg msg = {.has_digest = false};
    mp_open(&r, bytes);
    size_t count = mp_read_array(&r);
    msg.view_hash = mp_read_uint(&r, UINT64_MAX);
    if (!mp_try_nil(&r)) {
        msg.has_digest = true;
        msg.digest = mp_read_bin(&r, HM_CHUNK_BYTES_MAX);
    }
    if (mp_failed(&r) || count < 2) {
        return HM_EMALFORMED;
    }
    mp_skip_many(&r, count - 2);
    if (mp_failed(&r) || !mp_at_end(&r) || !digest_is_sound(msg.digest)) {
        return HM_EMALFORMED;
    }
    *ret_msg = msg;
    return HM_OK;
}

void sync_reply_write(struct buf *b, const struct sync_reply *msg)
{
    mp_array(b, 2);
    mp_array(b, msg->update_count);
    buf_append(b, msg->update_bytes.data, msg->update_bytes.size);
    mp_bin(b, msg->wanted.data, msg->wanted.size);
}

int sync_reply_read(struct span bytes, struct sync_reply *ret_msg)
{
    struct mp_reader r;
    struct sync_reply msg = {.update_count = 0};
    mp_open(&r, bytes);
    size_t count = mp_read_array(&r);
    msg.update_count = mp_read_array(&r);
    const uint8_t *start = r.at;
    mp_skip_many(&r, msg.update_count);
    if (mp_failed(&r) || count < 2) {
        return HM_EMALFORMED;
    }
    msg.update_bytes = span_of(start, (size_t) (r.at - start));
    msg.wanted = mp_read_bin(&r, HM_CHUNK_BYTES_MAX);
    mp_skip_many(&r, count - 2);
    if (mp_failed(&r) || !mp_at_end(&r) || msg.wanted.size % NODE_ID_BYTES != 0) {
        return HM_EMALFORMED;
    }
    *ret_msg = msg;
    return HM_OK;
}

void id_list_write(struct buf *b, struct span ids)
{
    mp_array(b, 1);
    mp_bin(b, ids.data, ids.size);
}

int id_list_read(struct span bytes, struct span *ret_ids)
{
    struct mp_reader r;
    mp_open(&r, bytes);
    size_t count = mp_read_array(&r);
    struct span ids = mp_read_bin(&r, HM_CHUNK_BYTES_MAX);
    if (mp_failed(&r) || count < 1 || ids.size % NODE_ID_BYTES != 0) {
        return HM_EMALFORMED;
    }
    mp_skip_many(&r, count - 1);
    if (mp_failed(&r) || !mp_at_end(&r)) {
        return HM_EMALFORMED;
    }
    *ret_ids = ids;
    return HM_OK;
}
