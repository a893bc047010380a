/* SPDX-License-Identifier: MPL-2.0 */
/* The removal of a node: an entry of the registry that is only ever added.
 *
 *     key    removed/ID, the id of the removed node as 32 small hex digits
 *     value  { "key": the remover's public key (bin, 32 bytes), "name": of the removed node,
 *              "by": name of the remover, "time": ms since 1970 }
 *
 * It is signed by the node of its dot, the remover. The remover's key lies in it, and its id is the hash of
 * that: so it can be verified also by those who never met the remover, or after that was removed, too. */
#ifndef HM_WIRE_REMOVAL_MSG_H
#define HM_WIRE_REMOVAL_MSG_H

#include "base/buf.h"
#include "base/limits.h"
#include "base/node_id.h"
#include "base/span.h"

#include <stddef.h>
#include <stdint.h>

#define REMOVAL_PREFIX "removed/"
#define REMOVAL_KEY_BYTES (sizeof REMOVAL_PREFIX - 1 + 2 * NODE_ID_BYTES)
#define REMOVAL_PUBLIC_BYTES 32
#define REMOVAL_ENTRY_BYTES_MAX 700 /* what is larger does not travel in a datagram, and is refused */

struct removal {
    uint8_t key[REMOVAL_PUBLIC_BYTES];
    char name[HM_NAME_BYTES_MAX + 1]; /* as text, perhaps "" */
    char by[HM_NAME_BYTES_MAX + 1];
    uint64_t wall_ms;                 /* for display */
};

void removal_write(struct buf *b, const struct removal *r);
/* HM_EMALFORMED: no such map, or a name that is no DNS label. Further fields are skipped. */
int removal_read(struct span value, struct removal *ret_removal);
/* The key of that node's removal; to has REMOVAL_KEY_BYTES + 1 bytes. */
struct span removal_key(const struct node_id *id, char *to);

#endif
