/* SPDX-License-Identifier: MPL-2.0 */
/* Handlers of registry.status, registry.inspect and registry.import: the registry as a whole,
 * and its entries as they are. */
#include "base/base64.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "ops/ops_kv.h"
#include "ops/ops_time.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- status ---------------------------------------------------------------------------------- */

#define PEERS_MAX 256
#define NS_IN_S 1000000000u

static void put_peer(struct buf *b, const core_t *core, const struct core_registry_peer *p)
{
    mp_map(b, 7);
    ops_put_node_name(b, "node", core, &p->id);
    ops_put_id(b, "id", &p->id);
    mp_str(b, "hash");
    if (p->is_known) {
        char text[17];
        snprintf(text, sizeof text, "%016" PRIx64, p->state);
        mp_str(b, text);
    } else {
        mp_nil(b);
    }
    mp_str(b, "agrees");
    if (p->is_known) {
        mp_bool(b, p->differs_ns == 0);
    } else {
        mp_nil(b);
    }
    ops_put_uint(b, "lag_ms", p->differs_ns / 1000000);
    ops_put_bool(b, "linked", p->is_linked);
    ops_put_bool(b, "later", p->is_later);
}

/* Members that are up: those that differ first, then the others. */
static void put_peers(struct ops_call *call)
{
    struct core_registry_peer p;
    struct buf list;
    size_t count = 0;
    buf_init(&list, HM_REPLY_BYTES_MAX);
    for (int agree = 0; agree < 2; agree++) {
        for (size_t i = 0; i < core_member_count(call->core) && count < PEERS_MAX; i++) {
            if (core_registry_peer(call->core, i, &p) && (p.differs_ns == 0) == (agree == 1)) {
                put_peer(&list, call->core, &p);
                count++;
            }
        }
    }
    mp_str(call->reply, "peers");
    mp_array(call->reply, count);
    buf_append(call->reply, list.data, list.size);
    buf_fini(&list);
}

void ops_registry_status(struct ops_call *call)
{
    const registry_t *r = core_registry(call->core);
    struct core_registry_status s;
    struct core_status core;
    core_registry_status(call->core, &s);
    core_status(call->core, &core);
    mp_map(call->reply, 14);
    ops_put_str(call->reply, "node", core.name);
    ops_put_hex(call->reply, "hash", s.state);
    ops_put_uint(call->reply, "entries", s.totals.entries);
    ops_put_uint(call->reply, "tombstones", s.totals.marks);
    ops_put_uint(call->reply, "bytes", s.totals.bytes);
    ops_put_bool(call->reply, "syncing", s.is_syncing);
    ops_put_bool(call->reply, "synced", registry_is_synced(r));
    ops_put_uint(call->reply, "divergent_seconds", s.divergent_ns / NS_IN_S);
    ops_put_uint(call->reply, "waiting_bytes", s.waiting_bytes);
    ops_put_bool(call->reply, "damaged", s.is_damaged);
    ops_put_node_name(call->reply, "repairing_from", call->core, &s.repairing_from);
    ops_put_uint(call->reply, "lives", s.lives);
    ops_put_uint(call->reply, "changes", registry_change_last(r));
    put_peers(call);
}

/* meshctl does the comparing. */
void ops_registry_diff(struct ops_call *call)
{
    ops_registry_status(call);
}

/* ---- inspect --------------------------------------------------------------------------------- */

#define INSPECT_VALUE_BYTES 4096
#define INSPECT_CONTEXT_MAX 64

static void put_dot(struct buf *b, const core_t *core, const struct dot *dot)
{
    mp_map(b, 5);
    ops_put_node_name(b, "node", core, &dot->origin.node);
    ops_put_id_or_nil(b, "id", &dot->origin.node);
    ops_put_uint(b, "boots", dot->origin.boots);
    ops_put_hex(b, "random", dot->origin.random);
    ops_put_uint(b, "seq", dot->seq);
}

static void put_context(struct buf *b, const core_t *core, const struct entry *e)
{
    struct span rest = e->context;
    struct dot dot;
    size_t count = e->context_count < INSPECT_CONTEXT_MAX ? e->context_count : INSPECT_CONTEXT_MAX;
    ops_put_uint(b, "context_count", e->context_count);
    mp_str(b, "context");
    mp_array(b, count);
    for (size_t i = 0; i < count && context_next(&rest, &dot); i++) {
        put_dot(b, core, &dot);
    }
}

static void put_key_text(struct buf *b, struct span key)
{
    char text[HM_KEY_BYTES_MAX + 1];
    size_t size = key.size < sizeof text ? key.size : sizeof text - 1;
    memcpy(text, key.data, size);
    for (size_t i = 0; i < size; i++) {
        text[i] = text[i] == ENTRY_BELOW ? '|' : text[i];
    }
    mp_str(b, "key");
    kv_put_content(b, span_of(text, size));
}

static void put_inspected(struct ops_call *call, struct buf *b, const struct entry *e)
{
    registry_t *r = core_registry(call->core);
    struct span content = keys_content(e->value);
    struct node_id owner = {{0}};
    uint64_t now_ms = core_wall_ms(call->core);
    key_owner(e->key, &owner);
    mp_map(b, KV_WRITTEN_COUNT + 13);
    put_key_text(b, e->key);
    ops_put_str(b, "type", keys_type_name(e->type));
    ops_put_bool(b, "deleted", e->is_deleted);
    mp_str(b, "value");
    if (e->is_deleted || content.size > INSPECT_VALUE_BYTES) {
        mp_nil(b);
    } else if (e->type == ENTRY_COUNTER) {
        char share[24];
        snprintf(share, sizeof share, "%" PRId64, keys_number(e->value));
        mp_str(b, share);
    } else {
        kv_put_content(b, content);
    }
    ops_put_uint(b, "bytes", content.size);
    kv_put_version(b, "version", keys_version(r, &e->dot));
    mp_str(b, "dot");
    put_dot(b, call->core, &e->dot);
    ops_put_uint(b, "lamport", e->lamport);
    put_context(b, call->core, e);
    ops_put_node_name(b, "owner", call->core, &owner);
    ops_put_bool(b, "signed", e->signature.data != NULL);
    ops_put_uint(b, "age_ms", now_ms > e->wall_ms ? now_ms - e->wall_ms : 0);
    kv_put_written(b, call->core, e);
}

struct inspector {
    struct ops_call *call;
    struct ops_page page;
    uint8_t
        head[ENTRY_RECORD_BYTES_MAX]; /* where records of the key, and of what is below, begin */
    size_t head_size;
    struct span key;
    uint8_t at[ENTRY_RECORD_BYTES_MAX];
    size_t at_size;
    bool is_done;
};

static bool is_of_key(const struct entry *e, struct span key)
{
    return e->key.size >= key.size && memcmp(e->key.data, key.data, key.size) == 0 &&
           (e->key.size == key.size || e->key.data[key.size] == ENTRY_BELOW);
}

/* Lists the records of the key after i->at. */
static void inspect(struct inspector *i)
{
    registry_t *r = core_registry(i->call->core);
    struct span record_key;
    struct entry e;
    bool inclusive = i->at_size == i->head_size;
    size_t looked = 0;
    while (!i->page.is_full && i->page.items.size < KV_PAGE_BYTES && looked++ < KV_PAGE_KEYS) {
        i->is_done =
            !registry_next(r, LOOK_SHOWN, span_of(i->at, i->at_size), inclusive, &record_key, &e) ||
            record_key.size < i->head_size || memcmp(record_key.data, i->head, i->head_size) != 0;
        if (i->is_done) {
            return;
        }
        if (is_of_key(&e, i->key)) {
            put_inspected(i->call, ops_page_begin(&i->page), &e);
            if (!ops_page_end(&i->page)) {
                return;
            }
        } else if (i->key.size <= ENTRY_RECORD_PLAIN_BYTES_MAX && record_key.size > i->key.size &&
                   record_key.data[i->key.size] > ENTRY_BELOW) {
            i->is_done = true; /* a longer key: behind all that is ours */
            return;
        }
        memcpy(i->at, record_key.data, record_key.size);
        i->at_size = record_key.size;
        inclusive = false;
    }
}

static int open_inspector(struct inspector *i, struct span key)
{
    struct span after = kv_text(i->call, "after");
    uint8_t bytes[KEYS_CURSOR_BYTES];
    size_t size = 0;
    i->key = key;
    i->head_size = registry_record_prefix(core_registry(i->call->core), key, i->head);
    memcpy(i->at, i->head, i->head_size);
    i->at_size = i->head_size;
    if (after.data == NULL) {
        return HM_OK;
    }
    if (after.size >= KEYS_CURSOR_BYTES ||
        base64_read((const char *) after.data, after.size, bytes, &size) != HM_OK ||
        size < i->head_size || size > sizeof i->at || memcmp(bytes, i->head, i->head_size) != 0) {
        ops_fail(i->call, HM_EINVAL, "after must be the field next of an earlier reply");
        return HM_EINVAL;
    }
    memcpy(i->at, bytes, size);
    i->at_size = size;
    return HM_OK;
}

/* What users call KEY is stored as kv/KEY; other keys are given as they are stored. */
static bool is_held(struct ops_call *call, struct span key)
{
    struct inspector i = {.call = call};
    ops_page_init(&i.page, call->reply, KV_AROUND_BYTES);
    i.key = key;
    i.head_size = registry_record_prefix(core_registry(call->core), key, i.head);
    memcpy(i.at, i.head, i.head_size);
    i.at_size = i.head_size;
    inspect(&i);
    bool found = i.page.count > 0;
    ops_page_fini(&i.page);
    return found;
}

void ops_registry_inspect(struct ops_call *call)
{
    struct inspector i = {.call = call};
    uint8_t bytes[HM_KEY_BYTES_MAX];
    char next[BASE64_TEXT_BYTES(ENTRY_RECORD_BYTES_MAX)] = "";
    struct span key = kv_key(call);
    struct span user_key = key.size <= HM_USER_KEY_BYTES_MAX ? keys_entry_key(key, bytes) : key;
    bool is_user_key = is_held(call, user_key);
    if (!is_user_key && !is_held(call, key)) {
        kv_fail_absent(call, key);
        return;
    }
    if (open_inspector(&i, is_user_key ? user_key : key) != HM_OK) {
        return;
    }
    ops_page_init(&i.page, call->reply, KV_AROUND_BYTES);
    inspect(&i);
    if (!i.is_done) {
        base64_write(span_of(i.at, i.at_size), next);
    }
    mp_map(call->reply, 2);
    ops_page_write(&i.page, call->reply, "entries");
    ops_put_str_or_nil(call->reply, "next", next);
    ops_page_fini(&i.page);
}

/* ---- import ---------------------------------------------------------------------------------- */

static bool has_element(registry_t *r, struct span key, struct span element)
{
    uint8_t bytes[HM_KEY_BYTES_MAX];
    struct registry_siblings siblings;
    struct span entry_key = key.size <= HM_SET_KEY_BYTES_MAX
                                ? keys_element_key(r, key, element, bytes)
                                : span_of(NULL, 0);
    return entry_key.data != NULL && registry_get(r, LOOK_ALL, entry_key, &siblings) == HM_OK &&
           siblings.live > 0;
}

/* True if it is already so. Of a counter sets what lacks to the sum that is wanted. */
static bool is_so(struct ops_call *call, struct kv_put *put, const struct keys_held *held)
{
    struct span content = keys_content(put->raw);
    struct span shown;
    switch (put->type) {
    case ENTRY_SET:
        return has_element(core_registry(call->core), put->key, content);
    case ENTRY_COUNTER:
        if (held->type == ENTRY_COUNTER) {
            bool is_far = (held->sum < 0) != (put->amount < 0) &&
                          (held->sum > INT64_MAX / 2 || held->sum < INT64_MIN / 2 ||
                           put->amount > INT64_MAX / 2 || put->amount < INT64_MIN / 2);
            if (is_far) {
                ops_fail(call, HM_EFULL, "the counter is too far from what is wanted: %" PRId64,
                         held->sum);
                return true;
            }
            put->amount -= held->sum;
        }
        return held->type == ENTRY_COUNTER && put->amount == 0;
    default:
        shown = held->type == ENTRY_REGISTER ? keys_content(held->entry.value) : span_of(NULL, 0);
        return held->type == ENTRY_REGISTER && shown.size == content.size &&
               (content.size == 0 || memcmp(shown.data, content.data, content.size) == 0);
    }
}

/* Returns whether something is to be written; writes it unless it is a dry run. */
static bool start_import(struct ops_call *call)
{
    bool is_dry = ops_args_get(call->spec, call->args, "dry_run")->number != 0;
    struct keys_held held;
    struct kv_put put;
    memset(&held, 0, sizeof held);
    if (kv_read_put(call, &put) != HM_OK ||
        (put.type != ENTRY_SET && kv_hold(call, LOOK_ALL, put.key, &held) != HM_OK) ||
        is_so(call, &put, &held)) {
        return false;
    }
    if (!is_dry) {
        kv_put(call, &put);
    }
    return true;
}

void ops_registry_import(struct ops_call *call)
{
    bool is_written = call->result->ticket != 0;
    if (!is_written) {
        is_written = start_import(call);
    }
    if (call->result->code != HM_OK || (call->result->ticket != 0 && !kv_is_durable(call))) {
        return;
    }
    mp_map(call->reply, 2);
    mp_str(call->reply, "key");
    mp_strn(call->reply, kv_key(call).data, kv_key(call).size);
    ops_put_bool(call->reply, "written", is_written);
}
