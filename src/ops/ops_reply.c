/* SPDX-License-Identifier: MPL-2.0 */
/* Pieces of replies that several handlers write: see ops_call.h. Everything becomes what JSON
 * knows: ids are hex text, times RFC 3339 text, and no number exceeds 2^53 where it could
 * matter. */
#include "base/be.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "ops/ops_call.h"
#include "ops/ops_time.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAGE_BYTES_MAX (HM_CHUNK_BYTES_MAX - 4096) /* with what is around it, a chunk */

void ops_put_str(struct buf *b, const char *key, const char *value)
{
    mp_str(b, key);
    mp_str(b, value);
}

static void put_nil(struct buf *b, const char *key)
{
    mp_str(b, key);
    mp_nil(b);
}

void ops_put_str_or_nil(struct buf *b, const char *key, const char *value)
{
    if (value[0] == '\0') {
        put_nil(b, key);
    } else {
        ops_put_str(b, key, value);
    }
}

void ops_put_uint(struct buf *b, const char *key, uint64_t value)
{
    mp_str(b, key);
    mp_uint(b, value);
}

void ops_put_bool(struct buf *b, const char *key, bool value)
{
    mp_str(b, key);
    mp_bool(b, value);
}

void ops_put_id(struct buf *b, const char *key, const struct node_id *id)
{
    char text[NODE_ID_TEXT_BYTES];
    ops_put_str(b, key, text_hex(id->b, NODE_ID_BYTES, text));
}

void ops_put_id_or_nil(struct buf *b, const char *key, const struct node_id *id)
{
    if (node_id_is_zero(id)) {
        put_nil(b, key);
    } else {
        ops_put_id(b, key, id);
    }
}

void ops_put_hex(struct buf *b, const char *key, uint64_t value)
{
    char text[17];
    uint8_t bytes[8];
    be_put(bytes, value, sizeof bytes);
    ops_put_str(b, key, text_hex(bytes, sizeof bytes, text));
}

static void clean(struct span text, char *to, size_t max)
{
    size_t size = text.size < max - 1 ? text.size : max - 1;
    for (size_t i = 0; i < size; i++) {
        to[i] = text.data[i] >= 0x20 && text.data[i] < 0x7f ? (char) text.data[i] : '?';
    }
    to[size] = '\0';
}

void ops_put_foreign(struct buf *b, struct span text)
{
    char printable[256];
    if (text_is_clean_utf8(text.data, text.size)) {
        mp_strn(b, text.data, text.size);
    } else {
        clean(text, printable, sizeof printable);
        mp_str(b, printable);
    }
}

void ops_put_addr(struct buf *b, const char *key, const struct addr *addr)
{
    char text[ADDR_TEXT_BYTES];
    if (addr_is_none(addr)) {
        put_nil(b, key);
    } else {
        ops_put_str(b, key, addr_format(addr, text));
    }
}

void ops_put_time(struct buf *b, const char *key, uint64_t wall_ms)
{
    char text[OPS_TIME_BYTES];
    ops_put_str(b, key, ops_time_format(wall_ms, text));
}

/* Whole microseconds: finer ones are noise and would make long numbers. */
void ops_put_ms(struct buf *b, const char *key, uint64_t ns)
{
    mp_str(b, key);
    if (ns == 0) {
        mp_nil(b);
    } else {
        mp_double(b, (double) (ns / 1000 + (ns % 1000 >= 500 ? 1 : 0)) / 1000.0);
    }
}

int ops_find_id(const core_t *core, const struct node_id *id, struct member_view *ret_view)
{
    size_t low = 0;
    size_t high = core_member_count(core);
    while (low < high) {
        struct member_view view;
        size_t mid = low + (high - low) / 2;
        core_member_at(core, mid, &view);
        int order = node_id_cmp(&view.id, id);
        if (order == 0) {
            *ret_view = view;
            return HM_OK;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return HM_ENOTFOUND;
}

void ops_put_node_name(struct buf *b, const char *key, const core_t *core, const struct node_id *id)
{
    struct member_view view;
    if (node_id_is_zero(id)) {
        put_nil(b, key);
    } else if (ops_find_id(core, id, &view) == HM_OK && view.name[0] != '\0') {
        ops_put_str(b, key, view.name);
    } else {
        ops_put_id(b, key, id);
    }
}

static bool id_begins_with(const struct node_id *id, const char *prefix)
{
    char text[NODE_ID_TEXT_BYTES];
    text_hex(id->b, NODE_ID_BYTES, text);
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void fail_ambiguous(struct ops_call *call, const char *who)
{
    char found[128] = "";
    size_t used = 0;
    size_t count = core_member_count(call->core);
    for (size_t i = 0; i < count; i++) {
        struct member_view view;
        char id[NODE_ID_TEXT_BYTES];
        core_member_at(call->core, i, &view);
        if (strcmp(view.name, who) != 0 && !id_begins_with(&view.id, who)) {
            continue;
        }
        int size =
            snprintf(found + used, sizeof found - used, "%s%.12s (%s)", used > 0 ? ", " : "",
                     text_hex(view.id.b, NODE_ID_BYTES, id), member_status_name(view.status));
        if (size < 0 || (size_t) size >= sizeof found - used) {
            found[used] = '\0';
            break;
        }
        used += (size_t) size;
    }
    ops_fail(call, HM_EAMBIGUOUS, "more than one node is called \"%s\"; say which by its id: %s",
             who, found);
}

/* It may have been here once. */
static bool fail_removed(struct ops_call *call, const char *who)
{
    char id[NODE_ID_TEXT_BYTES];
    for (size_t i = 0; i < core_removal_count(call->core); i++) {
        struct removal_view v;
        core_removal_at(call->core, i, &v);
        if (strcmp(v.name, who) == 0 || id_begins_with(&v.id, who)) {
            ops_fail(call, HM_ENOTFOUND, "the node \"%s\" (%.12s) was removed from the mesh by %s",
                     v.name, text_hex(v.id.b, NODE_ID_BYTES, id),
                     v.by_name[0] != '\0' ? v.by_name : "another node");
            return true;
        }
    }
    return false;
}

static void fail_not_found(struct ops_call *call, const char *who)
{
    char best[HM_NAME_BYTES_MAX + 1] = "";
    struct core_status status;
    size_t count = core_member_count(call->core);
    if (fail_removed(call, who)) {
        return;
    }
    core_status(call->core, &status);
    for (size_t i = 0; i < count; i++) {
        struct member_view view;
        core_member_at(call->core, i, &view);
        const char *const words[] = {view.name, NULL};
        bool is_near = text_nearest(who, words) != NULL;
        if (is_near &&
            (best[0] == '\0' || text_distance(who, view.name) < text_distance(who, best))) {
            text_copy(best, sizeof best, view.name);
        }
    }
    if (best[0] != '\0') {
        ops_fail(call, HM_ENOTFOUND, "mesh %s has no node \"%s\"; did you mean \"%s\"?",
                 status.mesh, who, best);
    } else {
        ops_fail(call, HM_ENOTFOUND, "mesh %s has no node \"%s\"; \"meshctl nodes list\" shows all",
                 status.mesh, who);
    }
}

int ops_find_node_arg(struct ops_call *call, const char *arg, struct member_view *ret_view)
{
    const char *who = ops_args_get(call->spec, call->args, arg)->text;
    int code = core_member_find(call->core, who, ret_view);
    if (code == HM_EAMBIGUOUS) {
        fail_ambiguous(call, who);
    } else if (code != HM_OK) {
        fail_not_found(call, who);
    }
    return code;
}

int ops_find_node(struct ops_call *call, struct member_view *ret_view)
{
    return ops_find_node_arg(call, "node", ret_view);
}

void ops_page_init(struct ops_page *page, const struct buf *reply, size_t around_bytes)
{
    size_t room = reply->max - reply->size;
    if (room > HM_REPLY_BYTES_MAX) {
        room = HM_REPLY_BYTES_MAX;
    }
    room = room > around_bytes ? room - around_bytes : 0;
    memset(page, 0, sizeof *page);
    page->bytes_max = room < PAGE_BYTES_MAX ? room : PAGE_BYTES_MAX;
    buf_init(&page->items, room);
}

void ops_page_fini(struct ops_page *page)
{
    buf_fini(&page->items);
}

struct buf *ops_page_begin(struct ops_page *page)
{
    page->start = page->items.size;
    return &page->items;
}

bool ops_page_end(struct ops_page *page)
{
    bool is_short = page->items.size <= page->bytes_max || page->count == 0;
    if (!buf_failed(&page->items) && is_short) {
        page->count++;
        return true;
    }
    page->is_full = true;
    page->items.failed = false;
    buf_truncate(&page->items, page->start);
    return false;
}

void ops_page_write(const struct ops_page *page, struct buf *b, const char *key)
{
    mp_str(b, key);
    mp_array(b, page->count);
    buf_append(b, page->items.data, page->items.size);
}
