/* SPDX-License-Identifier: MPL-2.0 */
/* What the handlers of kv and registry operations share. Internal to ops. */
#ifndef HM_OPS_OPS_KV_H
#define HM_OPS_OPS_KV_H

#include "ops/ops_call.h"
#include "ops/ops_keys.h"

#define KV_AROUND_BYTES 1024 /* beside a list in a reply, cursor included */
#define KV_PAGE_BYTES 131072 /* of a list, in one step; one value alone may be larger */
#define KV_PAGE_KEYS 2048    /* keys, elements or changes looked at in one step */

/* ---- reading ---- */

/* The argument "key", borrowed from the call's arguments. */
struct span kv_key(const struct ops_call *call);
/* The argument of that name as bytes; data NULL: not given. */
struct span kv_text(const struct ops_call *call, const char *name);
/* What is held of a key; on failure the call has failed. */
int kv_hold(struct ops_call *call, enum registry_look look, struct span key,
            struct keys_held *ret_held);
/* "no key …", HM_ENOTFOUND. */
void kv_fail_absent(struct ops_call *call, struct span key);

/* Puts key and value: text where it is UTF-8, bytes where it is not. */
void kv_put_value(struct buf *b, const char *name, struct span value);
void kv_put_content(struct buf *b, struct span content);
void kv_put_version(struct buf *b, const char *name, uint64_t version);
/* Puts origin, origin_id and modified of an entry. */
#define KV_WRITTEN_COUNT 3
void kv_put_written(struct buf *b, const core_t *core, const struct entry *e);
/* Puts all that one key is shown with. Returns how many elements were looked at. */
#define KV_ITEM_COUNT 10
size_t kv_put_item(struct ops_call *call, struct buf *b, enum registry_look look, struct span key,
                   const struct keys_held *held);

/* Puts "value" as it is shown, in full: of sets as many elements as fit, then *ret_cut. Returns
 * how many were looked at. */
size_t kv_put_shown(struct ops_call *call, struct buf *b, enum registry_look look, struct span key,
                    const struct keys_held *held, bool *ret_cut);

/* ---- the change log ---- */

#define KV_PLACE_BYTES 40
#define KV_CHANGE_COUNT 10
/* A place in the change log: what `since` takes. */
const char *kv_place(const core_t *core, uint64_t number, char text[KV_PLACE_BYTES]);

/* ---- writing ---- */

/* Stages one write; on failure the call has failed, with a text. HM_ENOTFOUND of a delete too. The
 * entry's key may be borrowed from the registry. */
int kv_write(struct ops_call *call, struct span key, struct span entry_key, uint8_t type,
             bool is_deleted, struct span value, struct dot *ret_dot);
/* Puts a value of a type: a register's, an element, an amount to add. raw: the value as msgpack,
 * for registers and elements. Leaves the ticket. */
struct kv_put {
    struct span key;
    uint8_t type;
    struct span raw;
    int64_t amount;
};
/* What kv.put and registry.import are asked to put. HM_EINVAL: the call has failed. */
int kv_read_put(struct ops_call *call, struct kv_put *ret_put);
int kv_put(struct ops_call *call, const struct kv_put *put);
/* Reads a decimal number with or without a sign. HM_EINVAL. */
int kv_amount(struct span text, int64_t *ret_amount);
/* Writes deletion marks for all of a key but the type to keep (0: nothing is kept). */
int kv_delete_all(struct ops_call *call, struct span key, uint8_t keep);
/* After the writes of a call were staged, and at each further run: true if they are durable.
 * Otherwise the call waits, or has failed. */
bool kv_is_durable(struct ops_call *call);

#endif
