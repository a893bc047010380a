/* SPDX-License-Identifier: MPL-2.0 */
/* An entry of the registry, as it travels and as it is stored: the very bytes that its writer made.
 *
 *     entry    [ body (bin), signature (bin, 64 bytes) or nil, … ]
 *     body     [ key (bin), type, node, boots, random, seq, lamport, is_deleted, wall_ms, context, value, … ]
 *     context  [ [node, boots, random, seq, …], … ]   rising by origin, never covering the entry itself
 *     value    any msgpack value; nil when deleted
 *
 * Trailing fields of newer versions are kept, since the bytes are. Signed are keys that belong to a
 * node (key_owner) and removals of nodes (key_removed); the signature is over ENTRY_SIGN_CONTEXT, mesh tag (8 bytes) and body.
 *
 * Numbers come from others: a writer whose Lamport version would leave 64 bits stays at the highest,
 * and its dot then decides what is shown. */
#ifndef HM_WIRE_ENTRY_MSG_H
#define HM_WIRE_ENTRY_MSG_H

#include "base/buf.h"
#include "base/dot.h"
#include "base/limits.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENTRY_SIGN_CONTEXT "homemesh entry 1"
#define ENTRY_SIGNATURE_BYTES 64
#define ENTRY_FORMAT 1 /* what is said here, and nowhere written */
/* A text or bin of HM_VALUE_BYTES_MAX with its head. */
#define ENTRY_VALUE_BYTES_MAX (HM_VALUE_BYTES_MAX + 5)
#define ENTRY_SEQ_MAX (UINT64_MAX - 1) /* so that there is always a next one */

enum entry_type {
    ENTRY_REGISTER = 1,
    ENTRY_SET = 2,     /* one element, stored below its set's key */
    ENTRY_COUNTER = 3, /* one writer's share, stored below its counter's key */
};

struct entry {
    struct span key;       /* spans borrow the bytes that were read */
    uint8_t type;          /* enum entry_type, or of a newer version; never 0 */
    struct dot dot;
    uint64_t lamport;
    bool is_deleted;
    uint64_t wall_ms;      /* for display */
    struct span context;   /* the bytes of its elements, without the array's head */
    size_t context_count;
    struct span value;     /* one msgpack value; empty when deleted */
    struct span bytes;     /* all that was read: what is stored and passed on */
    struct span body;      /* of it, what is signed */
    struct span signature; /* data NULL: none */
};

/* HM_EVERSION: an entry of a later format, [ number above ENTRY_FORMAT, … ], of which nothing more is
 * known; docs/protocol/registry.md says what becomes of it. HM_EMALFORMED: not an entry; a key that key_check refuses; a value beyond ENTRY_VALUE_BYTES_MAX or
 * HM_VALUE_DEPTH_MAX; type 0; a seq of 0 or beyond ENTRY_SEQ_MAX, also in the context; a context that does
 * not rise, covers the entry's own dot or has more than HM_CONTEXT_MAX elements; all beyond
 * HM_ENTRY_BYTES_MAX. bytes must be exactly one entry. Whether a signature is there where the key
 * needs one, and is good, is the caller's to see. */
int entry_read(struct span bytes, struct entry *ret_entry);
/* What a writer must ask before it writes a value: HM_EFULL: more than ENTRY_VALUE_BYTES_MAX; HM_EINVAL: not
 * exactly one msgpack value, or one that nests deeper than HM_VALUE_DEPTH_MAX. */
int value_check(struct span value);
/* Writes the body of e (bytes, body and signature are not looked at; an empty value is nil). */
void entry_body_write(struct buf *b, const struct entry *e);
/* The whole entry from a body and a signature (data NULL: none). */
void entry_write(struct buf *b, struct span body, struct span signature);

/* Walks a context. `rest` begins as e->context and shrinks. False behind the last. */
bool context_next(struct span *rest, struct dot *ret_dot);
/* One element. They must be written in rising order of origin, one per origin. */
void context_write(struct buf *b, const struct dot *dot);
/* True if the entry's context covers the dot: it has its origin with this sequence or a later one. */
bool entry_supersedes(const struct entry *e, const struct dot *dot);

/* HM_OK, or HM_EINVAL: longer than HM_KEY_BYTES_MAX, not clean UTF-8 (text_is_clean_utf8: no control
 * characters) but for one ENTRY_BELOW, or nothing before that. Below it there may be nothing. */
int key_check(struct span key);
/* A key of the removals of nodes: removed/ID, see removal_msg.h. True if it begins so; ret_node is the zero id
 * if it names none, and then nobody may write it. False leaves ret_node as it was. */
bool key_removed(struct span key, struct node_id *ret_node);
/* Separates a set's or counter's key from what is stored below it. */
#define ENTRY_BELOW 0x01
/* True if only one node writes this key: node/ID/…, svc/ID/…, sub/ID/…, the id as 32 small hex
 * digits and a slash behind it. A key of these three that names no id belongs to nobody: zero id, and
 * nobody may write it. False leaves ret_owner as it was. */
bool key_owner(struct span key, struct node_id *ret_owner);

#endif
