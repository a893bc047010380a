/* SPDX-License-Identifier: MPL-2.0 */
/* Handlers of kv.watch and kv.history: what the registry's change log still holds.
 *
 * A place in the log is "LIFE-NUMBER": numbers begin anew with each life of the node. Who
 * watches takes a place, reads the whole by kv.list, and then asks for what came after the place
 * (a long poll, decision 0009). A place of another life, or one that the log has passed, is
 * answered with `gap`: the whole must be read again. */
#include "base/err.h"
#include "base/limits.h"
#include "base/omap.h"
#include "base/text.h"
#include "ops/ops_kv.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LIFE_BYTES 8
#define LIFE_DIGITS (2 * LIFE_BYTES)

static uint64_t life_of(const core_t *core)
{
    registry_t *r = core_registry((core_t *) (uintptr_t) core);
    uint8_t bytes[ORIGIN_BYTES];
    origin_put(bytes, registry_self(r));
    return registry_hash(r, span_of(bytes, sizeof bytes));
}

const char *kv_place(const core_t *core, uint64_t number, char text[KV_PLACE_BYTES])
{
    snprintf(text, KV_PLACE_BYTES, "%016" PRIx64 "-%" PRIu64, life_of(core), number);
    return text;
}

/* HM_EINVAL: no place. */
static int read_place(const char *text, uint64_t *ret_life, uint64_t *ret_number)
{
    uint8_t life[LIFE_BYTES];
    char digits[LIFE_DIGITS + 1];
    if (strlen(text) <= LIFE_DIGITS || text[LIFE_DIGITS] != '-') {
        return HM_EINVAL;
    }
    memcpy(digits, text, LIFE_DIGITS);
    digits[LIFE_DIGITS] = '\0';
    if (text_unhex(digits, life, sizeof life) != HM_OK ||
        text_to_u64(text + LIFE_DIGITS + 1, UINT64_MAX - 1, ret_number) != HM_OK) {
        return HM_EINVAL;
    }
    *ret_life = be_get(life, sizeof life);
    return HM_OK;
}

struct watch {
    struct ops_call *call;
    struct ops_page page;
    struct span prefix; /* or the whole key */
    bool is_whole;
    uint64_t at;  /* of the log, looked at */
    omap_t *told; /* sets and counters in this reply: they are told as they are now */
};

static void put_change_head(struct buf *b, const char *op, struct span key, uint8_t type)
{
    ops_put_str(b, "op", op);
    mp_str(b, "key");
    mp_strn(b, key.data, key.size);
    ops_put_str(b, "type", keys_type_name(type));
}

static void put_change_tail(struct watch *w, struct buf *b, const struct entry *e, uint64_t number)
{
    char place[KV_PLACE_BYTES];
    kv_put_written(b, w->call->core, e);
    ops_put_str(b, "since", kv_place(w->call->core, number, place));
}

/* One entry as it was written. */
static void put_entry(struct watch *w, struct span key, const struct entry *e, uint64_t number)
{
    struct buf *b = ops_page_begin(&w->page);
    mp_map(b, KV_CHANGE_COUNT);
    put_change_head(b, e->is_deleted ? "delete" : "put", key, e->type);
    if (e->is_deleted) {
        mp_str(b, "value");
        mp_nil(b);
    } else {
        kv_put_value(b, "value", e->value);
    }
    ops_put_bool(b, "cut", false);
    kv_put_version(b, "version", keys_version(core_registry(w->call->core), &e->dot));
    put_change_tail(w, b, e, number);
}

/* A set or a counter as it is now; e is what changed in it. */
static void put_now(struct watch *w, struct span key, const struct entry *e, uint64_t number)
{
    struct keys_held held;
    bool is_cut = false;
    struct buf *b = ops_page_begin(&w->page);
    if (kv_hold(w->call, LOOK_SHOWN, key, &held) != HM_OK) {
        return;
    }
    mp_map(b, KV_CHANGE_COUNT);
    put_change_head(b, held.type == 0 ? "delete" : "put", key,
                    held.type == 0 ? e->type : held.type);
    if (held.type == 0) {
        mp_str(b, "value");
        mp_nil(b);
        kv_put_version(b, "version", keys_version(core_registry(w->call->core), &e->dot));
    } else {
        kv_put_shown(w->call, b, LOOK_SHOWN, key, &held, &is_cut);
        kv_put_version(b, "version", held.version);
    }
    ops_put_bool(b, "cut", is_cut);
    put_change_tail(w, b, e, number);
}

static bool is_wanted(const struct watch *w, struct span key)
{
    return key.size >= w->prefix.size && (!w->is_whole || key.size == w->prefix.size) &&
           (w->prefix.size == 0 || memcmp(key.data, w->prefix.data, w->prefix.size) == 0);
}

static bool is_told(struct watch *w, struct span key)
{
    if (w->told == NULL) {
        w->told = omap_new();
    }
    bool was = w->told != NULL && omap_get(w->told, key, NULL, NULL);
    if (w->told == NULL || (!was && omap_put(w->told, key, span_of("", 0), 0) != HM_OK)) {
        ops_fail(w->call, HM_ENOMEM, "out of memory");
    }
    return was;
}

/* False: it does not fit any more. */
static bool tell(struct watch *w, const struct registry_change *change)
{
    struct entry e;
    struct span key;
    if (entry_read(change->bytes, &e) != HM_OK || !keys_user_key(&e, &key) || !is_wanted(w, key)) {
        return true;
    }
    bool is_below = memchr(e.key.data, ENTRY_BELOW, e.key.size) != NULL;
    if (is_below && !w->is_whole && is_told(w, key)) {
        return true;
    }
    if (is_below && !w->is_whole) {
        put_now(w, key, &e, change->number);
    } else {
        put_entry(w, key, &e, change->number);
    }
    return ops_page_end(&w->page);
}

/* What the log holds after w->at. Returns false at a gap. */
static bool tell_changes(struct watch *w)
{
    registry_t *r = core_registry(w->call->core);
    struct registry_change change;
    bool has_gap = false;
    while (w->call->result->code == HM_OK && w->page.items.size < KV_PAGE_BYTES &&
           registry_change_after(r, w->at, &change, &has_gap) && !has_gap) {
        if (!tell(w, &change)) {
            break;
        }
        w->at = change.number;
    }
    return !has_gap;
}

static void reply(struct watch *w, bool has_gap)
{
    char place[KV_PLACE_BYTES];
    uint64_t last = registry_change_last(core_registry(w->call->core));
    if (w->page.is_full && w->page.count == 0) {
        ops_fail(w->call, HM_EFULL, "what one key holds does not fit into a reply");
    }
    if (w->call->result->code != HM_OK) {
        return;
    }
    mp_map(w->call->reply, 3);
    ops_page_write(&w->page, w->call->reply, "changes");
    ops_put_str(w->call->reply, "next", kv_place(w->call->core, has_gap ? last : w->at, place));
    ops_put_bool(w->call->reply, "gap", has_gap);
}

/* Tells what came after w->at, or waits for more. */
static void tell_or_wait(struct watch *w, bool may_wait)
{
    uint64_t last = registry_change_last(core_registry(w->call->core));
    bool is_whole_told = tell_changes(w);
    if (w->call->result->code == HM_OK && is_whole_told && w->page.count == 0 && !w->page.is_full &&
        w->at == last && may_wait) {
        w->call->result->wait = true;
        w->call->result->wait_for = WAKE_CHANGE;
        w->call->result->ticket = w->at + 1; /* so far it has been looked through */
    } else {
        reply(w, !is_whole_told);
    }
}

void ops_kv_watch(struct ops_call *call)
{
    struct watch w = {.call = call, .prefix = kv_text(call, "prefix")};
    const struct op_value *since = ops_args_get(call->spec, call->args, "since");
    bool may_wait = ops_args_get(call->spec, call->args, "wait")->number != 0 && !call->is_last;
    uint64_t last = registry_change_last(core_registry(call->core));
    uint64_t life = life_of(call->core);
    w.at = last;
    if (since->is_given && read_place(since->text, &life, &w.at) != HM_OK) {
        ops_fail(call, HM_EINVAL, "since must be the field since or next of an earlier reply");
        return;
    }
    ops_page_init(&w.page, call->reply, KV_AROUND_BYTES);
    if (life != life_of(call->core) || w.at > last) {
        reply(&w, true);
    } else if (!since->is_given) {
        reply(&w, false);
    } else {
        w.at = call->result->ticket > w.at ? call->result->ticket - 1 : w.at;
        tell_or_wait(&w, may_wait);
    }
    omap_destroy(&w.told);
    ops_page_fini(&w.page);
}

/* ---- history --------------------------------------------------------------------------------- */

/* Where in the log a page begins; gaps do not matter, what there is is listed. */
static int read_after(struct ops_call *call, uint64_t *ret_at)
{
    struct span after = kv_text(call, "after");
    if (after.data != NULL &&
        text_to_u64((const char *) after.data, UINT64_MAX - 1, ret_at) != HM_OK) {
        ops_fail(call, HM_EINVAL, "after must be the field next of an earlier reply");
    }
    return call->result->code;
}

void ops_kv_history(struct ops_call *call)
{
    struct watch w = {.call = call, .prefix = kv_key(call), .is_whole = true};
    registry_t *r = core_registry(call->core);
    struct registry_change change;
    bool has_gap, is_on = true;
    char next[24] = "", place[KV_PLACE_BYTES];
    if (read_after(call, &w.at) != HM_OK) {
        return;
    }
    ops_page_init(&w.page, call->reply, KV_AROUND_BYTES);
    while (is_on && registry_change_after(r, w.at, &change, &has_gap)) {
        is_on = w.page.items.size < KV_PAGE_BYTES && tell(&w, &change);
        w.at = is_on ? change.number : w.at;
    }
    if (!is_on) {
        snprintf(next, sizeof next, "%" PRIu64, w.at);
    }
    if (w.page.is_full && w.page.count == 0) {
        ops_fail(call, HM_EFULL, "what one key holds does not fit into a reply");
    } else {
        mp_map(call->reply, 3);
        ops_page_write(&w.page, call->reply, "changes");
        ops_put_str_or_nil(call->reply, "next", next);
        ops_put_str(call->reply, "since", kv_place(call->core, registry_change_last(r), place));
    }
    ops_page_fini(&w.page);
}
