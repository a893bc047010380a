/* SPDX-License-Identifier: MPL-2.0 */
/* Keys as people know them, above the entries of the registry.
 *
 *     register   kv/KEY                      its value
 *     set        kv/KEY 0x01 HASH            one element; HASH: 24 characters made of it
 *     counter    kv/KEY 0x01 HASH            one writer's share, a number; HASH: made of its life
 *
 * A key has one type. Two nodes that do not hear each other can give it two: then the register
 * is shown before the set, the set before the counter, and the others count as conflicts.
 * Internal to ops. */
#ifndef HM_OPS_OPS_KEYS_H
#define HM_OPS_OPS_KEYS_H

#include "core/registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_SHOWN_BYTES 44 /* of a key in an error */
#define KEYS_VERSION_BYTES 17

/* The entry key of a user's key. to has HM_KEY_BYTES_MAX bytes; key has at most
 * HM_USER_KEY_BYTES_MAX. */
struct span keys_entry_key(struct span key, uint8_t *to);
/* The entry key of a set's element, or of the share of a life. key has at most
 * HM_SET_KEY_BYTES_MAX. */
struct span keys_element_key(const registry_t *r, struct span key, struct span element,
                             uint8_t *to);
struct span keys_share_key(const registry_t *r, struct span key, const struct origin *origin,
                           uint8_t *to);
/* The user's key of an entry. False: it is no key of a user's. */
bool keys_user_key(const struct entry *e, struct span *ret_key);

/* The bytes of a value: of a text or bin its content, of anything else its msgpack. */
struct span keys_content(struct span value);
/* The number in a counter's share; 0 if it is none. */
int64_t keys_number(struct span value);

/* All that is held of a key, at a glance. */
struct keys_held {
    uint8_t type;       /* what is shown; 0: nothing, not there */
    struct entry entry; /* the register's, or the one of a set or counter that was written last */
    uint64_t version;   /* of what is shown: a hash of its dot or dots */
    size_t registers;   /* values that stand beside each other */
    size_t elements;    /* of the set */
    size_t shares;      /* of the counter */
    size_t conflicts;   /* what else is there beside the shown one */
    uint64_t bytes;     /* of the values shown */
    int64_t sum;        /* of the counter, held within 64 bits */
};

/* HM_OK also when nothing is held: then type is 0. HM_ENOMEM. Spans live until the next change. */
int keys_hold(registry_t *r, enum registry_look look, struct span key, struct keys_held *ret_held);
/* The same without the version, which costs a hash for each element. */
int keys_peek(registry_t *r, enum registry_look look, struct span key, struct keys_held *ret_held);
/* Of the set (type ENTRY_SET) or the counter (ENTRY_COUNTER) alone, whatever stands beside it. What
 * is not there has type 0. */
void keys_hold_below(registry_t *r, enum registry_look look, struct span key, uint8_t type,
                     struct keys_held *ret_held);
/* True if something is stored below a key, be it only deletion marks: else it is no set and no
 * counter. */
bool keys_has_below(registry_t *r, enum registry_look look, struct span key);
/* The hash of one entry's dot: what a version is made of. */
uint64_t keys_version(const registry_t *r, const struct dot *dot);

/* Walks what is below a key: elements and shares that are live, each as it is shown. */
struct keys_below {
    registry_t *r;
    enum registry_look look;
    uint8_t prefix[ENTRY_RECORD_BYTES_MAX];
    size_t prefix_size;
    bool is_there; /* at holds the next record */
    struct span record_key;
    struct entry at;
};
void keys_below_open(struct keys_below *w, registry_t *r, enum registry_look look, struct span key);
/* False: no more. The registry must not change meanwhile. */
bool keys_below_next(struct keys_below *w, struct entry *ret_entry);

/* Walks the users' keys with a prefix, in the order of their records, also those of which only
 * deletion marks are left. */
struct keys_walk {
    registry_t *r;
    enum registry_look look;
    struct span prefix;                     /* borrowed */
    uint8_t at[ENTRY_RECORD_BYTES_MAX + 1]; /* where the next key begins */
    size_t at_size;
};
void keys_walk_open(struct keys_walk *w, registry_t *r, enum registry_look look,
                    struct span prefix);
/* The place after the last key, as a text that another walk with the same prefix takes. */
#define KEYS_CURSOR_BYTES 697
const char *keys_walk_cursor(const struct keys_walk *w, char text[KEYS_CURSOR_BYTES]);
/* HM_EINVAL: it is none. */
int keys_walk_resume(struct keys_walk *w, const char *cursor);
/* False: no more. The key lives until the next change. */
bool keys_walk_next(struct keys_walk *w, struct span *ret_key);

/* A key as it may stand in an error: cut, control characters (of entries of others) as '?'. */
const char *keys_shown(struct span key, char to[KEYS_SHOWN_BYTES]);
const char *keys_type_name(uint8_t type); /* "register", "set", "counter", or "unknown" */
uint8_t keys_type_of(const char *name);   /* 0: no such type */

#endif
