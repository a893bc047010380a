/* SPDX-License-Identifier: MPL-2.0 */
/* Handlers of backup and restore: the registry's entries as they are stored, out and in again. Every
 * node's copy is a copy of the whole mesh's.
 *
 * Entries never change, so pages that are read one after the other fit together: of each key they
 * hold what was there when its page was read. What is brought back is merged like anything that another
 * node tells, so what was deleted since stays deleted, and nothing newer is overwritten. */
#include "base/err.h"
#include "base/limits.h"
#include "ops/ops_kv.h"
#include "wire/mpack.h"
#include "wire/registry_msg.h"

#include <string.h>

#define PAGE_BYTES 393216 /* of entries; one large entry may be more */
#define PAGE_RECORDS 4096

/* Entries from a record key on. ret_next: where the next page begins; empty: this was the last. */
static size_t fill_page(struct ops_call *call, struct span after, struct buf *entries,
                        struct buf *ret_next)
{
    registry_t *r = core_registry(call->core);
    struct span key = after;
    struct entry e;
    size_t count = 0;
    bool inclusive = after.size == 0;
    while (registry_next(r, LOOK_SHOWN, key, inclusive, &key, &e)) {
        if (count == PAGE_RECORDS ||
            (count > 0 && entries->size + e.bytes.size > PAGE_BYTES)) {
            return count;
        }
        reg_entry_append(entries, e.bytes);
        count++;
        inclusive = false;
        buf_clear(ret_next);
        buf_append(ret_next, key.data, key.size);
    }
    buf_clear(ret_next);
    return count;
}

void ops_backup(struct ops_call *call)
{
    struct core_status s;
    struct buf entries, body, next;
    struct span after = kv_text(call, "after");
    buf_init(&entries, HM_FRAME_BYTES_MAX);
    buf_init(&body, HM_FRAME_BYTES_MAX);
    buf_init(&next, ENTRY_RECORD_BYTES_MAX);
    struct reg_entries list = {.count = fill_page(call, after, &entries, &next)};
    list.bytes = buf_span(&entries);
    reg_push_write(&body, &list);
    core_status(call->core, &s);
    if (buf_failed(&entries) || buf_failed(&body) || buf_failed(&next)) {
        ops_fail(call, HM_ENOMEM, "out of memory while reading the registry");
    } else {
        mp_map(call->reply, 6);
        ops_put_str(call->reply, "mesh", s.mesh);
        ops_put_str(call->reply, "node", s.name);
        ops_put_time(call->reply, "time", core_wall_ms(call->core));
        ops_put_uint(call->reply, "count", list.count);
        mp_str(call->reply, "entries");
        mp_bin(call->reply, body.data, body.size);
        mp_str(call->reply, "next");
        if (next.size == 0) {
            mp_nil(call->reply);
        } else {
            mp_bin(call->reply, next.data, next.size);
        }
    }
    buf_fini(&entries);
    buf_fini(&body);
    buf_fini(&next);
}

/* ---- back in --------------------------------------------------------------------------------- */

/* Three counts in one number, to be kept while the disk is awaited. */
struct counts {
    uint64_t taken, known, refused;
};

static uint64_t pack(const struct counts *n)
{
    return n->taken << 42 | n->known << 21 | n->refused;
}

static struct counts unpack(uint64_t kept)
{
    struct counts n = {kept >> 42, kept >> 21 & 0x1fffff, kept & 0x1fffff};
    return n;
}

static int take_all(struct ops_call *call, struct reg_entries *entries, struct counts *n)
{
    struct span bytes;
    int rc = HM_OK;
    while (reg_entry_next(&entries->bytes, &bytes)) {
        bool is_new = false;
        rc = core_restore(call->core, bytes, &is_new, &call->result->ticket);
        if (rc == HM_EBUSY || rc == HM_ENOMEM) {
            return rc;
        }
        n->taken += rc == HM_OK && is_new;
        n->known += rc == HM_OK && !is_new;
        n->refused += rc != HM_OK;
    }
    return HM_OK;
}

void ops_restore(struct ops_call *call)
{
    struct reg_entries entries;
    struct counts n = unpack(call->result->kept);
    if (call->result->ticket == 0) {
        if (reg_push_read(kv_text(call, "entries"), &entries) != HM_OK) {
            ops_fail(call, HM_EMALFORMED, "these are no entries: is it a file that backup wrote?");
            return;
        }
        int rc = call->result->is_crowded ? HM_EBUSY : take_all(call, &entries, &n);
        if (rc != HM_OK) {
            ops_fail(call, rc, "the disk is behind, or the node is starting: run it again; what was "
                               "brought back so far is known then");
            return;
        }
        call->result->kept = pack(&n);
    }
    if (call->result->ticket != 0 && !kv_is_durable(call)) {
        return;
    }
    mp_map(call->reply, 3);
    ops_put_uint(call->reply, "taken", n.taken);
    ops_put_uint(call->reply, "known", n.known);
    ops_put_uint(call->reply, "refused", n.refused);
}
