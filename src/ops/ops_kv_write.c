/* SPDX-License-Identifier: MPL-2.0 */
/* Writing keys: one call stages its writes in one step, so that they are one transaction on
 * disk, and answers when it is durable. See ops_kv.h. */
#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "ops/ops_kv.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void fail_busy(struct ops_call *call)
{
    struct core_status s;
    core_status(call->core, &s);
    if (call->result->is_crowded) {
        ops_fail(call, HM_EBUSY,
                 "as many operations wait at %s as may: nothing was written; try again in a second",
                 s.name);
    } else if (s.leaving) {
        ops_fail(call, HM_EBUSY, "%s is leaving: nothing is written any more", s.name);
    } else if (s.removed) {
        ops_fail(call, HM_EBUSY,
                 "%s was removed from the mesh: nothing is written there any more. \"meshctl status\" "
                 "says more",
                 s.name);
    } else if (s.aside) {
        ops_fail(call, HM_EBUSY,
                 "%s keeps out of the mesh, because another process has its identity: \"meshctl "
                 "status\" says more. Nothing was written",
                 s.name);
    } else {
        ops_fail(call, HM_EBUSY,
                 "the disk of %s is behind by %d MiB, or it is only starting: nothing was "
                 "written; try again in a second",
                 s.name, HM_PENDING_BYTES_MAX >> 20);
    }
}

static void fail_full(struct ops_call *call, const char *shown, struct span value)
{
    const struct registry_totals *t = registry_totals(core_registry(call->core));
    if (value.size > ENTRY_VALUE_BYTES_MAX) {
        ops_fail(call, HM_EFULL, "the value of \"%s\" has more than %d bytes (1 MiB)", shown,
                 HM_VALUE_BYTES_MAX);
    } else if (t->entries + t->marks >= HM_ENTRIES_MAX) {
        ops_fail(call, HM_EFULL,
                 "the registry has its most entries, %d with deletion marks: delete keys that "
                 "nobody needs, then wait for the marks to go",
                 HM_ENTRIES_MAX);
    } else if (t->bytes >= HM_REGISTRY_BYTES_MAX) {
        ops_fail(call, HM_EFULL,
                 "the registry has its most bytes, %" PRIu64 " MiB: delete what nobody needs",
                 (uint64_t) HM_REGISTRY_BYTES_MAX >> 20);
    } else {
        ops_fail(call, HM_EFULL,
                 "\"%s\" was written by more than %d lives of nodes that not all members know of "
                 "yet: try again when the absent ones are back",
                 shown, HM_CONTEXT_MAX);
    }
}

static void fail_write(struct ops_call *call, int rc, struct span key, struct span value)
{
    char shown[KEYS_SHOWN_BYTES];
    keys_shown(key, shown);
    switch (rc) {
    case HM_EBUSY:
        fail_busy(call);
        break;
    case HM_EFULL:
        fail_full(call, shown, value);
        break;
    case HM_ESTALE: /* not that of a wrong version: waiting helps */
        ops_fail(call, HM_EBUSY,
                 "\"%s\" cannot be deleted yet: this node is syncing, and does not know all that "
                 "others have. \"meshctl registry status\" shows when it has ended",
                 shown);
        break;
    case HM_ENOTFOUND:
        kv_fail_absent(call, key);
        break;
    case HM_EINVAL:
        if (value.data != NULL && value_check(value) == HM_EINVAL) {
            ops_fail(call, rc, "the value of \"%s\" nests deeper than %d levels", shown,
                     HM_VALUE_DEPTH_MAX);
            break;
        }
        ops_fail(call, rc,
                 "\"%s\" cannot be a key: it takes 1 to %d bytes of UTF-8 without control "
                 "characters",
                 shown, HM_USER_KEY_BYTES_MAX);
        break;
    default:
        ops_fail(call, rc, "\"%s\" cannot be written: %s", shown, hm_strerror(rc));
        break;
    }
}

int kv_write(struct ops_call *call, struct span key, struct span entry_key, uint8_t type,
             bool is_deleted, struct span value, struct dot *ret_dot)
{
    uint8_t copy[HM_KEY_BYTES_MAX];
    HM_ASSERT(entry_key.size <= sizeof copy);
    memcpy(copy, entry_key.data, entry_key.size);
    struct registry_write w = {.key = span_of(copy, entry_key.size),
                               .type = type,
                               .is_deleted = is_deleted,
                               .value = value,
                               .wall_ms = core_wall_ms(call->core)};
    int rc = call->result->is_crowded ? HM_EBUSY /* nobody could say later what became of it */
                                      : core_write(call->core, &w, ret_dot, &call->result->ticket);
    if (rc != HM_OK) {
        call->result->ticket = 0;
        fail_write(call, rc, key, value);
    }
    return rc;
}

bool kv_is_durable(struct ops_call *call)
{
    struct core_status s;
    switch (core_write_fate(call->core, call->result->ticket)) {
    case REGISTRY_DURABLE:
        return true;
    case REGISTRY_WAITS:
        if (call->is_last) {
            ops_fail(call, HM_ETIMEDOUT,
                     "it is not on disk yet; it will be, unless the disk fails or meshd ends");
        } else {
            call->result->wait = true;
            call->result->wait_for = WAKE_DURABLE;
        }
        return false;
    case REGISTRY_FAILED:
        core_status(call->core, &s);
        ops_fail(call, HM_EIO,
                 "the disk of %s did not take it, because it is full or fails: nothing was "
                 "written. Make room, then try again; \"meshctl status\" and meshd's log say more",
                 s.name);
        return false;
    }
    return false;
}

/* ---- numbers --------------------------------------------------------------------------------- */

int kv_amount(struct span text, int64_t *ret_amount)
{
    char digits[24];
    uint64_t number = 0;
    size_t skip = text.size > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    bool is_negative = skip > 0 && text.data[0] == '-';
    size_t size = text.size - skip;
    if (size == 0 || size >= sizeof digits) {
        return HM_EINVAL;
    }
    memcpy(digits, text.data + skip, size);
    digits[size] = '\0';
    if (memchr(digits, '\0', size) != NULL || text_to_u64(digits, INT64_MAX, &number) != HM_OK) {
        return HM_EINVAL;
    }
    *ret_amount = is_negative ? -(int64_t) number : (int64_t) number;
    return HM_OK;
}

/* What this life has added to a counter so far, also what is not durable yet. */
static int own_share(registry_t *r, struct span share_key, int64_t *ret_sum)
{
    struct registry_siblings siblings;
    int rc = registry_get(r, LOOK_ALL, share_key, &siblings);
    *ret_sum = rc == HM_OK && siblings.live > 0 ? keys_number(siblings.items[0].value) : 0;
    return rc == HM_ENOTFOUND ? HM_OK : rc;
}

static int put_amount(struct ops_call *call, const struct kv_put *put)
{
    registry_t *r = core_registry(call->core);
    uint8_t bytes[HM_KEY_BYTES_MAX];
    struct span share_key = keys_share_key(r, put->key, registry_self(r), bytes);
    int64_t sum = 0;
    struct dot dot;
    int rc = share_key.data == NULL ? HM_ENOMEM : own_share(r, share_key, &sum);
    if (rc != HM_OK) {
        fail_write(call, rc, put->key, put->raw);
        return rc;
    }
    if ((put->amount > 0 && sum > INT64_MAX - put->amount) ||
        (put->amount < 0 && sum < INT64_MIN - put->amount)) {
        ops_fail(call, HM_EFULL,
                 "this node's share of the counter would leave 64 bits: it is %" PRId64, sum);
        return HM_EFULL;
    }
    struct buf value;
    buf_init(&value, 16);
    mp_int(&value, sum + put->amount);
    rc = buf_failed(&value)
             ? HM_ENOMEM
             : kv_write(call, put->key, share_key, ENTRY_COUNTER, false, buf_span(&value), &dot);
    buf_fini(&value);
    return rc;
}

/* ---- putting --------------------------------------------------------------------------------- */

static int check_room_in_set(struct ops_call *call, const struct kv_put *put, struct span entry_key,
                             const struct keys_held *held)
{
    registry_t *r = core_registry(call->core);
    struct registry_siblings siblings;
    char shown[KEYS_SHOWN_BYTES];
    bool is_there = registry_get(r, LOOK_ALL, entry_key, &siblings) == HM_OK && siblings.live > 0;
    if (is_there || held->type != ENTRY_SET) {
        return HM_OK;
    }
    if (held->elements >= HM_SET_ELEMENTS_MAX ||
        held->bytes + keys_content(put->raw).size > HM_VALUE_BYTES_MAX) {
        ops_fail(call, HM_EFULL,
                 "the set \"%s\" is full: it has %zu elements with %" PRIu64
                 " bytes, and at most %d with %d are allowed",
                 keys_shown(put->key, shown), held->elements, held->bytes, HM_SET_ELEMENTS_MAX,
                 HM_VALUE_BYTES_MAX);
        return HM_EFULL;
    }
    return HM_OK;
}

static int put_element(struct ops_call *call, const struct kv_put *put,
                       const struct keys_held *held)
{
    registry_t *r = core_registry(call->core);
    uint8_t bytes[HM_KEY_BYTES_MAX];
    struct span entry_key = keys_element_key(r, put->key, keys_content(put->raw), bytes);
    struct dot dot;
    if (entry_key.data == NULL) {
        fail_write(call, HM_ENOMEM, put->key, put->raw);
        return HM_ENOMEM;
    }
    int rc = check_room_in_set(call, put, entry_key, held);
    return rc != HM_OK ? rc : kv_write(call, put->key, entry_key, ENTRY_SET, false, put->raw, &dot);
}

static int put_register(struct ops_call *call, const struct kv_put *put)
{
    uint8_t bytes[HM_KEY_BYTES_MAX];
    struct dot dot;
    int rc = kv_write(call, put->key, keys_entry_key(put->key, bytes), ENTRY_REGISTER, false,
                      put->raw, &dot);
    if (rc == HM_OK) {
        call->result->kept = keys_version(core_registry(call->core), &dot);
    }
    return rc;
}

/* One key has one type. */
static int check_type(struct ops_call *call, const struct kv_put *put, const struct keys_held *held)
{
    char shown[KEYS_SHOWN_BYTES];
    keys_shown(put->key, shown);
    if (put->type != ENTRY_REGISTER && put->key.size > HM_SET_KEY_BYTES_MAX) {
        ops_fail(call, HM_EINVAL, "\"%s\" has %zu bytes, but the key of a %s has at most %d", shown,
                 put->key.size, keys_type_name(put->type), HM_SET_KEY_BYTES_MAX);
        return HM_EINVAL;
    }
    if (held->type != 0 && held->type != put->type) {
        ops_fail(call, HM_EEXIST,
                 "\"%s\" is a %s: put it with --type=%s, or delete it first to make it a %s", shown,
                 keys_type_name(held->type), keys_type_name(held->type), keys_type_name(put->type));
        return HM_EEXIST;
    }
    return HM_OK;
}

static bool is_live(registry_t *r, struct span entry_key)
{
    struct registry_siblings siblings;
    return entry_key.data != NULL && registry_get(r, LOOK_ALL, entry_key, &siblings) == HM_OK &&
           siblings.live > 0;
}

/* The key is of this type for certain, without a walk over all that is below it: what is put is there
 * already, and no register beside it. */
static bool is_of_type(struct ops_call *call, const struct kv_put *put)
{
    registry_t *r = core_registry(call->core);
    uint8_t bytes[HM_KEY_BYTES_MAX];
    if (put->type == ENTRY_REGISTER) {
        return !keys_has_below(r, LOOK_ALL, put->key);
    }
    if (put->key.size > HM_SET_KEY_BYTES_MAX || is_live(r, keys_entry_key(put->key, bytes))) {
        return false;
    }
    return is_live(r, put->type == ENTRY_SET
                          ? keys_element_key(r, put->key, keys_content(put->raw), bytes)
                          : keys_share_key(r, put->key, registry_self(r), bytes));
}

int kv_put(struct ops_call *call, const struct kv_put *put)
{
    struct keys_held held = {.type = put->type};
    int rc = is_of_type(call, put)
                 ? HM_OK
                 : keys_peek(core_registry(call->core), LOOK_ALL, put->key, &held);
    if (rc != HM_OK) {
        fail_write(call, rc, put->key, put->raw);
    }
    if (rc != HM_OK || (rc = check_type(call, put, &held)) != HM_OK) {
        return rc;
    }
    return put->type == ENTRY_SET       ? put_element(call, put, &held)
           : put->type == ENTRY_COUNTER ? put_amount(call, put)
                                        : put_register(call, put);
}

/* ---- deleting -------------------------------------------------------------------------------- */

/* The entry keys below a key, each after its length and type: a write would end the walk. */
static int gather_below(struct ops_call *call, struct span key, uint8_t keep, struct buf *list)
{
    struct keys_below w;
    struct entry e;
    keys_below_open(&w, core_registry(call->core), LOOK_ALL, key);
    while (keys_below_next(&w, &e)) {
        uint8_t *to = e.type == keep ? NULL : buf_extend(list, 3 + e.key.size);
        if (to != NULL) {
            to = be_put(to, e.key.size, 2);
            *to = e.type;
            memcpy(to + 1, e.key.data, e.key.size);
        }
    }
    if (buf_failed(list)) {
        fail_write(call, HM_ENOMEM, key, span_of(NULL, 0));
        return HM_ENOMEM;
    }
    return HM_OK;
}

int kv_delete_all(struct ops_call *call, struct span key, uint8_t keep)
{
    registry_t *r = core_registry(call->core);
    uint8_t bytes[HM_KEY_BYTES_MAX];
    struct registry_siblings siblings;
    struct span none = span_of(NULL, 0);
    struct span entry_key = keys_entry_key(key, bytes);
    struct buf list;
    struct dot dot;
    buf_init(&list, SIZE_MAX);
    int rc = gather_below(call, key, keep, &list);
    bool has_register = keep != ENTRY_REGISTER &&
                        registry_get(r, LOOK_ALL, entry_key, &siblings) == HM_OK &&
                        siblings.live > 0;
    if (rc == HM_OK && has_register) {
        rc = kv_write(call, key, entry_key, ENTRY_REGISTER, true, none, &dot);
    }
    for (size_t at = 0; rc == HM_OK && at < list.size;) {
        size_t size = (size_t) be_get(list.data + at, 2);
        struct span below = span_of(list.data + at + 3, size);
        rc = kv_write(call, key, below, list.data[at + 2], true, none, &dot);
        at += 3 + size;
    }
    buf_fini(&list);
    return rc;
}
