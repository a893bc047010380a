/* SPDX-License-Identifier: MPL-2.0 */
/* An entry of the registry, as it travels and as it is stored: the very bytes that its writer made.
 *
 *     entry    [ body (bin), signature (bin, 64 bytes) or nil, … ]
 *     body     [ key, type, node, boots, random, seq, lamport, is_deleted, wall_ms, context, value, … ]
 *     context  [ [node, boots, random, seq], … ]   rising by origin
 *     value    any msgpack value; nil when deleted
 *
 * Trailing fields of newer versions are kept, since the bytes are. Signed are keys that belong to a
 * node (key_owner); the signature is over ENTRY_SIGN_CONTEXT, mesh tag (8 bytes) and body. */
#ifndef HM_WIRE_ENTRY_MSG_H
#define HM_WIRE_ENTRY_MSG_H

#include "base/buf.h"
#include "base/dot.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENTRY_SIGN_CONTEXT "homemesh entry 1"

enum entry_type {
    ENTRY_REGISTER = 1,
    ENTRY_SET = 2,     /* one element, stored below its set's key */
    ENTRY_COUNTER = 3, /* one writer's share, stored below its counter's key */
};

struct entry {
    struct span key;       /* spans borrow the bytes that were read */
    uint8_t type;          /* enum entry_type, or of a newer version */
    struct dot dot;
    uint64_t lamport;
    bool is_deleted;
    uint64_t wall_ms;      /* for display */
    struct span context;   /* the bytes of its elements, without the array's head */
    size_t context_count;
    struct span value;     /* one msgpack value; empty when deleted */
    struct span body;      /* what is signed */
    struct span signature; /* data NULL: none */
};

/* HM_EMALFORMED: not an entry, a key or value beyond its limit (HM_KEY_BYTES_MAX, HM_VALUE_BYTES_MAX), a
 * key that key_check refuses, a context that does not rise, has a seq of 0 or more than
 * HM_CONTEXT_MAX elements. bytes must be exactly one entry. */
int entry_read(struct span bytes, struct entry *ret_entry);
/* Writes the body of e (body and signature are not looked at; an empty value is nil). */
void entry_body_write(struct buf *b, const struct entry *e);
/* The whole entry from a body and a signature (data NULL: none). */
void entry_write(struct buf *b, struct span body, struct span signature);

/* Walks a context. `rest` begins as e->context and shrinks. False behind the last. */
bool context_next(struct span *rest, struct dot *ret_dot);
/* One element. They must be written in rising order of origin, one per origin. */
void context_write(struct buf *b, const struct dot *dot);
/* True if the entry's context covers the dot: it has its origin with this sequence or a later one. */
bool entry_supersedes(const struct entry *e, const struct dot *dot);

/* HM_OK, or HM_EINVAL: empty, longer than HM_KEY_BYTES_MAX, holds a byte below 0x20 other than ENTRY_BELOW as
 * the one separator of an element from its key, or is not UTF-8 before it. */
int key_check(struct span key);
/* Separates a set's or counter's key from what is stored below it. */
#define ENTRY_BELOW 0x01
/* True if only one node writes this key: node/ID/…, svc/ID/…, sub/ID/… with 32 hex digits. A key of these
 * three that names no id belongs to nobody: zero id, and nobody may write it. */
bool key_owner(struct span key, struct node_id *ret_owner);

#endif
