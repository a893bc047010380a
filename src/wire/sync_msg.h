/* SPDX-License-Identifier: MPL-2.0 */
/* Bodies of the link frames of the full exchange and of labels. Each is a msgpack array with room for
 * trailing fields.
 *
 *     SYNC         [view hash, digest]     digest: bin of entries, or nil: only the hash, first of all
 *     SYNC_REPLY   [updates, wanted]       wanted: bin of ids
 *     SYNC_PUSH    [updates, empty bin]
 *     LABELS_WANT  [ids]
 *     LABELS       [array of label records]
 *
 * A digest entry is 25 bytes: id, incarnation (big-endian), class. Entries stand in rising order of id. */
#ifndef HM_WIRE_SYNC_MSG_H
#define HM_WIRE_SYNC_MSG_H

#include "base/buf.h"
#include "base/node_id.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

#define DIGEST_ENTRY_BYTES 25

/* What two views must agree about; a suspicion is not part of it, it passes. */
enum digest_class { DIGEST_ALIVE = 1, DIGEST_FAILED = 2, DIGEST_LEFT = 3 };

struct digest_entry {
    struct node_id id;
    uint64_t incarnation;
    enum digest_class cls;
};

struct sync_msg {
    uint64_t view_hash;
    bool has_digest;
    struct span digest;
};

void sync_digest_put(uint8_t at[DIGEST_ENTRY_BYTES], const struct digest_entry *entry);
/* HM_EMALFORMED: a class not known. idx < digest.size / DIGEST_ENTRY_BYTES. */
int sync_digest_get(struct span digest, size_t idx, struct digest_entry *ret_entry);

void sync_msg_write(struct buf *b, const struct sync_msg *msg);
/* HM_EMALFORMED; entries are checked for order and class. */
int sync_msg_read(struct span bytes, struct sync_msg *ret_msg);

/* SYNC_REPLY and SYNC_PUSH. Reading: updates to be walked with swim_update_next. */
struct sync_reply {
    struct span update_bytes; /* encoded updates, one after another */
    size_t update_count;
    struct span wanted;       /* ids, 16 bytes each */
};

void sync_reply_write(struct buf *b, const struct sync_reply *msg);
int sync_reply_read(struct span bytes, struct sync_reply *ret_msg);

/* A list of ids as bin. HM_EMALFORMED unless a multiple of 16 bytes. */
void id_list_write(struct buf *b, struct span ids);
int id_list_read(struct span bytes, struct span *ret_ids);

#endif
