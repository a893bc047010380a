/* SPDX-License-Identifier: MPL-2.0 */
/* Handlers of kv.put, kv.get, kv.delete and kv.resolve, and what several handlers put into replies.
 * Reading shows what is durable here or came from others; a write sees all. */
#include "ops/ops_kv.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- arguments ------------------------------------------------------------------------------- */

struct span kv_text(const struct ops_call *call, const char *name)
{
    size_t idx = ops_args_index(call->spec, name);
    HM_ASSERT(idx < call->spec->arg_count);
    const struct op_value *value = &call->args->v[idx];
    if (!value->is_given) {
        return span_of(NULL, 0);
    }
    return call->spec->args[idx].type == ARG_BYTES ? value->bytes
                                                   : span_of(value->text, strlen(value->text));
}

struct span kv_key(const struct ops_call *call)
{
    return kv_text(call, "key");
}

int kv_hold(struct ops_call *call, enum registry_look look, struct span key,
            struct keys_held *ret_held)
{
    int rc = keys_hold(core_registry(call->core), look, key, ret_held);
    if (rc != HM_OK) {
        ops_fail(call, rc, "%s", hm_strerror(rc));
    }
    return rc;
}

void kv_fail_absent(struct ops_call *call, struct span key)
{
    char shown[KEYS_SHOWN_BYTES];
    ops_fail(call, HM_ENOTFOUND, "there is no key \"%s\"", keys_shown(key, shown));
}

/* ---- pieces of replies ----------------------------------------------------------------------- */

void kv_put_content(struct buf *b, struct span content)
{
    if (text_is_utf8(content.data, content.size)) {
        mp_strn(b, content.data, content.size);
    } else {
        mp_bin(b, content.data, content.size);
    }
}

void kv_put_value(struct buf *b, const char *name, struct span value)
{
    mp_str(b, name);
    kv_put_content(b, keys_content(value));
}

void kv_put_version(struct buf *b, const char *name, uint64_t version)
{
    ops_put_hex(b, name, version);
}

void kv_put_written(struct buf *b, const core_t *core, const struct entry *e)
{
    ops_put_node_name(b, "origin", core, &e->dot.origin.node);
    ops_put_id_or_nil(b, "origin_id", &e->dot.origin.node);
    ops_put_time(b, "modified", e->wall_ms);
}

static int element_cmp(const void *a, const void *b)
{
    return span_cmp(*(const struct span *) a, *(const struct span *) b);
}

/* The elements in order of their bytes, as many as a value may have bytes. */
static size_t put_elements(struct ops_call *call, struct buf *b, enum registry_look look,
                           struct span key, const struct keys_held *held, bool *ret_cut)
{
    struct keys_below w;
    struct entry e;
    size_t count = 0, used = 0, looked = 0;
    struct span *items = calloc(held->elements + 1, sizeof *items);
    if (items == NULL) {
        ops_fail(call, HM_ENOMEM, "out of memory");
        return 0;
    }
    keys_below_open(&w, core_registry(call->core), look, key);
    while (keys_below_next(&w, &e) && count < held->elements) {
        looked++;
        if (e.type == ENTRY_SET) {
            items[count] = keys_content(e.value);
            used += items[count++].size + 5;
        }
    }
    qsort(items, count, sizeof *items, element_cmp);
    while (used > HM_VALUE_BYTES_MAX + 5 * HM_SET_ELEMENTS_MAX) {
        used -= items[--count].size + 5;
        *ret_cut = true;
    }
    mp_array(b, count);
    for (size_t i = 0; i < count; i++) {
        kv_put_content(b, items[i]);
    }
    free(items);
    return looked;
}

size_t kv_put_shown(struct ops_call *call, struct buf *b, enum registry_look look, struct span key,
                    const struct keys_held *held, bool *ret_cut)
{
    char text[24];
    mp_str(b, "value");
    *ret_cut = false;
    switch (held->type) {
    case ENTRY_SET:
        return put_elements(call, b, look, key, held, ret_cut);
    case ENTRY_COUNTER:
        /* As text, as it is put: JSON's numbers end at 2^53. */
        snprintf(text, sizeof text, "%" PRId64, held->sum);
        mp_str(b, text);
        return held->shares;
    default:
        kv_put_content(b, keys_content(held->entry.value));
        return held->registers;
    }
}

size_t kv_put_item(struct ops_call *call, struct buf *b, enum registry_look look, struct span key,
                   const struct keys_held *held)
{
    mp_str(b, "key");
    mp_strn(b, key.data, key.size);
    ops_put_str(b, "type", keys_type_name(held->type));
    bool is_cut;
    size_t looked = kv_put_shown(call, b, look, key, held, &is_cut);
    ops_put_bool(b, "cut", is_cut);
    ops_put_uint(b, "bytes", held->bytes);
    kv_put_version(b, "version", held->version);
    ops_put_uint(b, "conflicts", held->conflicts);
    kv_put_written(b, call->core, &held->entry);
    return looked;
}

static void reply_written(struct ops_call *call, struct span key, uint64_t version)
{
    mp_map(call->reply, 2);
    mp_str(call->reply, "key");
    mp_strn(call->reply, key.data, key.size);
    kv_put_version(call->reply, "version", version);
}

/* ---- put ------------------------------------------------------------------------------------- */

static int check_version(struct ops_call *call, struct span key, struct span wanted)
{
    struct keys_held held;
    char shown[KEYS_SHOWN_BYTES], present[KEYS_VERSION_BYTES];
    int rc = kv_hold(call, LOOK_ALL, key, &held);
    if (rc != HM_OK) {
        return rc;
    }
    keys_shown(key, shown);
    snprintf(present, sizeof present, "%016" PRIx64, held.version);
    bool is_absent = held.type == 0;
    bool wants_absent = wanted.size == 6 && memcmp(wanted.data, "absent", 6) == 0;
    bool is_same = !is_absent && wanted.size == strlen(present) &&
                   memcmp(wanted.data, present, wanted.size) == 0;
    if (wants_absent ? is_absent : is_same) {
        return HM_OK;
    }
    if (is_absent) {
        ops_fail(call, HM_ESTALE, "\"%s\" is absent, not of version %.*s: nothing was written",
                 shown, (int) (wanted.size < 24 ? wanted.size : 24), (const char *) wanted.data);
    } else {
        ops_fail(call, HM_ESTALE, "\"%s\" has version %s now: nothing was written", shown, present);
    }
    return HM_ESTALE;
}

int kv_read_put(struct ops_call *call, struct kv_put *ret_put)
{
    const struct op_value *value = ops_args_get(call->spec, call->args, "value");
    const struct op_value *type = ops_args_get(call->spec, call->args, "type");
    *ret_put = (struct kv_put){.key = kv_key(call), .raw = value->raw, .amount = 1};
    ret_put->type = type->is_given ? keys_type_of(type->text) : ENTRY_REGISTER;
    if (ret_put->key.data == NULL) {
        ops_fail(call, HM_EINVAL, "%s needs key", call->spec->name);
    } else if (ret_put->type == 0) {
        ops_fail(call, HM_EINVAL, "type is \"%.40s\", but must be register, set or counter",
                 type->text);
    } else if (ret_put->type != ENTRY_COUNTER && !value->is_given) {
        ops_fail(call, HM_EINVAL, "%s needs value: what to put", call->spec->name);
    } else if (ret_put->type == ENTRY_COUNTER && value->is_given &&
               kv_amount(value->bytes, &ret_put->amount) != HM_OK) {
        ops_fail(call, HM_EINVAL,
                 "what is added to a counter must be a whole number of at most 63 bits, like 1 "
                 "or -5");
    }
    return call->result->code;
}

static void start_put(struct ops_call *call)
{
    struct span wanted = kv_text(call, "if_version");
    struct kv_put put;
    if (kv_read_put(call, &put) != HM_OK) {
        return;
    }
    if (wanted.data != NULL && put.type != ENTRY_REGISTER) {
        ops_fail(call, HM_EINVAL, "if_version goes with registers, not with a %s",
                 keys_type_name(put.type));
        return;
    }
    if (wanted.data == NULL || check_version(call, put.key, wanted) == HM_OK) {
        kv_put(call, &put);
    }
}

void ops_kv_put(struct ops_call *call)
{
    struct keys_held held;
    if (call->result->ticket == 0) {
        start_put(call);
    }
    if (call->result->code != HM_OK || !kv_is_durable(call)) {
        return;
    }
    uint64_t version = call->result->kept;
    /* A register's version is its write's; a set and a counter have that of all that is in them
     * now. */
    if (version == 0 && kv_hold(call, LOOK_SHOWN, kv_key(call), &held) == HM_OK) {
        version = held.version;
    }
    reply_written(call, kv_key(call), version);
}

/* ---- get ------------------------------------------------------------------------------------- */

/* The value of a register that has this version, shown or not. NULL: none. */
static const struct entry *find_version(struct ops_call *call, enum registry_look look,
                                        struct span key, struct span version)
{
    registry_t *r = core_registry(call->core);
    uint8_t bytes[HM_KEY_BYTES_MAX];
    char text[KEYS_VERSION_BYTES];
    struct registry_siblings siblings;
    if (registry_get(r, look, keys_entry_key(key, bytes), &siblings) != HM_OK) {
        return NULL;
    }
    for (size_t i = 0; i < siblings.live; i++) {
        snprintf(text, sizeof text, "%016" PRIx64, keys_version(r, &siblings.items[i].dot));
        if (version.size == strlen(text) && memcmp(version.data, text, version.size) == 0) {
            return &siblings.items[i];
        }
    }
    return NULL;
}

static bool is_version(const struct keys_held *held, struct span version)
{
    char text[KEYS_VERSION_BYTES];
    snprintf(text, sizeof text, "%016" PRIx64, held->version);
    return version.size == strlen(text) && memcmp(version.data, text, version.size) == 0;
}

/* The set or the counter that stands beside a value and has this version. */
static bool find_other(registry_t *r, enum registry_look look, struct span key, struct span version,
                       struct keys_held *ret_held)
{
    keys_hold_below(r, look, key, ENTRY_SET, ret_held);
    if (ret_held->type == 0 || !is_version(ret_held, version)) {
        keys_hold_below(r, look, key, ENTRY_COUNTER, ret_held);
    }
    return ret_held->type != 0 && is_version(ret_held, version);
}

static void fail_no_version(struct ops_call *call, struct span key, struct span version)
{
    char shown[KEYS_SHOWN_BYTES], wanted[KEYS_SHOWN_BYTES];
    ops_fail(call, HM_ENOTFOUND,
             "\"%s\" has no value of version \"%s\" (any more): \"meshctl kv conflicts\" lists "
             "those there are",
             keys_shown(key, shown), keys_shown(version, wanted));
}

void ops_kv_get(struct ops_call *call)
{
    struct span key = kv_key(call);
    struct span version = kv_text(call, "at");
    struct keys_held held;
    if (kv_hold(call, LOOK_SHOWN, key, &held) != HM_OK) {
        return;
    }
    if (held.type == 0) {
        kv_fail_absent(call, key);
        return;
    }
    if (version.data != NULL && !is_version(&held, version)) {
        registry_t *r = core_registry(call->core);
        const struct entry *e = find_version(call, LOOK_SHOWN, key, version);
        struct keys_held other;
        if (e != NULL) {
            held.type = ENTRY_REGISTER;
            held.entry = *e;
            held.version = keys_version(r, &e->dot);
            held.bytes = keys_content(e->value).size;
        } else if (find_other(r, LOOK_SHOWN, key, version, &other)) {
            other.conflicts = held.conflicts;
            held = other;
        } else {
            fail_no_version(call, key, version);
            return;
        }
    }
    mp_map(call->reply, KV_ITEM_COUNT + 1);
    kv_put_item(call, call->reply, LOOK_SHOWN, key, &held);
    ops_put_uint(call->reply, "lamport", held.entry.lamport);
}

/* ---- delete ---------------------------------------------------------------------------------- */

static void delete_element(struct ops_call *call, struct span key, struct span element)
{
    registry_t *r = core_registry(call->core);
    uint8_t bytes[HM_KEY_BYTES_MAX];
    char shown[KEYS_SHOWN_BYTES];
    struct registry_siblings siblings;
    struct dot dot;
    struct span entry_key = key.size <= HM_SET_KEY_BYTES_MAX
                                ? keys_element_key(r, key, element, bytes)
                                : span_of(NULL, 0);
    if (entry_key.data == NULL || registry_get(r, LOOK_ALL, entry_key, &siblings) != HM_OK ||
        siblings.live == 0) {
        ops_fail(call, HM_ENOTFOUND, "\"%s\" is no set that has this element",
                 keys_shown(key, shown));
        return;
    }
    kv_write(call, key, entry_key, ENTRY_SET, true, span_of(NULL, 0), &dot);
}

static void start_delete(struct ops_call *call)
{
    struct span key = kv_key(call);
    struct span element = kv_text(call, "element");
    struct span wanted = kv_text(call, "if_version");
    struct keys_held held;
    if (element.data != NULL && wanted.data != NULL) {
        ops_fail(call, HM_EINVAL, "if_version goes with whole keys, not with an element");
        return;
    }
    if (element.data != NULL) {
        delete_element(call, key, element);
        return;
    }
    if (kv_hold(call, LOOK_ALL, key, &held) != HM_OK) {
        return;
    }
    if (held.type == 0 && wanted.data == NULL) {
        kv_fail_absent(call, key);
    } else if (wanted.data == NULL || check_version(call, key, wanted) == HM_OK) {
        kv_delete_all(call, key, 0);
    }
}

void ops_kv_delete(struct ops_call *call)
{
    if (call->result->ticket == 0) {
        start_delete(call);
    }
    if (call->result->code == HM_OK && kv_is_durable(call)) {
        mp_map(call->reply, 1);
        mp_str(call->reply, "key");
        mp_strn(call->reply, kv_key(call).data, kv_key(call).size);
    }
}

/* ---- resolve --------------------------------------------------------------------------------- */

/* Writes the value once more: the write has seen all that stands beside it. What the key is
 * beside a register goes. */
static void resolve_to(struct ops_call *call, struct span key, struct span value)
{
    struct kv_put put = {.key = key, .type = ENTRY_REGISTER, .raw = value};
    uint8_t bytes[HM_KEY_BYTES_MAX];
    struct dot dot;
    struct buf copy;
    /* It may lie in what the first write changes. */
    buf_init(&copy, HM_ENTRY_BYTES_MAX);
    buf_append(&copy, value.data, value.size);
    put.raw = buf_span(&copy);
    if (buf_failed(&copy)) {
        ops_fail(call, HM_ENOMEM, "out of memory");
    } else if (kv_delete_all(call, key, ENTRY_REGISTER) == HM_OK &&
               kv_write(call, key, keys_entry_key(key, bytes), ENTRY_REGISTER, false, put.raw,
                        &dot) == HM_OK) {
        call->result->kept = keys_version(core_registry(call->core), &dot);
    }
    buf_fini(&copy);
}

static void start_resolve(struct ops_call *call)
{
    const struct op_value *value = ops_args_get(call->spec, call->args, "value");
    struct span key = kv_key(call);
    struct span version = kv_text(call, "keep");
    struct keys_held held;
    if (value->is_given && version.data != NULL) {
        ops_fail(call, HM_EINVAL, "keep and value both say what to keep: give one");
        return;
    }
    if (kv_hold(call, LOOK_ALL, key, &held) != HM_OK) {
        return;
    }
    if (held.type == 0) {
        kv_fail_absent(call, key);
        return;
    }
    const struct entry *e =
        version.data == NULL ? NULL : find_version(call, LOOK_ALL, key, version);
    struct keys_held other;
    if (value->is_given) {
        resolve_to(call, key, value->raw);
    } else if (version.data != NULL && e == NULL && !is_version(&held, version)) {
        if (find_other(core_registry(call->core), LOOK_ALL, key, version, &other)) {
            kv_delete_all(call, key, other.type);
        } else {
            fail_no_version(call, key, version);
        }
    } else if (held.conflicts == 0) {
        return; /* nothing to do: no write, no ticket */
    } else if (e != NULL || held.type == ENTRY_REGISTER) {
        resolve_to(call, key, e != NULL ? e->value : held.entry.value);
    } else {
        kv_delete_all(call, key, held.type);
    }
}

void ops_kv_resolve(struct ops_call *call)
{
    struct keys_held held;
    if (call->result->ticket == 0) {
        start_resolve(call);
    }
    if (call->result->code != HM_OK || (call->result->ticket != 0 && !kv_is_durable(call)) ||
        kv_hold(call, LOOK_SHOWN, kv_key(call), &held) != HM_OK) {
        return;
    }
    if (held.type == 0) {
        kv_fail_absent(call, kv_key(call));
        return;
    }
    mp_map(call->reply, KV_ITEM_COUNT + 1);
    kv_put_item(call, call->reply, LOOK_SHOWN, kv_key(call), &held);
    ops_put_bool(call->reply, "written", call->result->ticket != 0);
}
