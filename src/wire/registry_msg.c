/* SPDX-License-Identifier: MPL-2.0 */
/* Bodies of the registry's link frames: see registry_msg.h. */
#include "wire/registry_msg.h"

#include "base/err.h"
#include "base/limits.h"
#include "wire/entry_msg.h"
#include "wire/mpack.h"

#include <string.h>

#define RANGE_FIELDS 4

/* Opens a message of at least so many fields; *ret_more are the trailing ones. */
static void open_message(struct mp_reader *r, struct span bytes, size_t fields, size_t *ret_more)
{
    mp_open(r, bytes);
    size_t count = mp_read_array(r);
    r->failed = r->failed || count < fields;
    *ret_more = r->failed ? 0 : count - fields;
}

static int close_message(struct mp_reader *r, size_t more)
{
    mp_skip_many(r, more);
    return !mp_failed(r) && mp_at_end(r) ? HM_OK : HM_EMALFORMED;
}

/* What was read since `start`. Never NULL, so that an empty list can be walked. */
static struct span since(const struct mp_reader *r, const uint8_t *start)
{
    return mp_failed(r) ? span_of(NULL, 0) : span_of(start, (size_t) (r->at - start));
}

static struct span left_of(const struct mp_reader *r)
{
    return span_of(r->at, (size_t) (r->end - r->at));
}

void reg_entry_append(struct buf *entries, struct span entry)
{
    mp_bin(entries, entry.data, entry.size);
}

static struct span read_entry(struct mp_reader *r)
{
    struct span entry = mp_read_bin(r, HM_ENTRY_BYTES_MAX);
    r->failed = r->failed || entry.size == 0;
    return entry;
}

bool reg_entry_next(struct span *rest, struct span *ret_entry)
{
    struct mp_reader r;
    mp_open(&r, *rest);
    if (mp_at_end(&r)) {
        return false;
    }
    struct span entry = read_entry(&r);
    if (mp_failed(&r)) {
        return false;
    }
    *rest = left_of(&r);
    *ret_entry = entry;
    return true;
}

static void write_entries(struct buf *b, const struct reg_entries *entries)
{
    mp_array(b, entries->count);
    buf_append(b, entries->bytes.data, entries->bytes.size);
}

static struct reg_entries read_entries(struct mp_reader *r)
{
    struct reg_entries entries = {.count = mp_read_array(r)};
    const uint8_t *start = r->at;
    for (size_t i = 0; i < entries.count && !mp_failed(r); i++) {
        read_entry(r);
    }
    entries.bytes = since(r, start);
    return entries;
}

void reg_push_write(struct buf *b, const struct reg_entries *entries)
{
    mp_array(b, 1);
    write_entries(b, entries);
}

int reg_push_read(struct span bytes, struct reg_entries *ret_entries)
{
    struct mp_reader r;
    size_t more;
    open_message(&r, bytes, 1, &more);
    struct reg_entries entries = read_entries(&r);
    if (close_message(&r, more) != HM_OK) {
        return HM_EMALFORMED;
    }
    *ret_entries = entries;
    return HM_OK;
}

/* A number from 1 to 255, which says a kind or a reason. */
static uint8_t read_code(struct mp_reader *r)
{
    uint8_t code = (uint8_t) mp_read_uint(r, UINT8_MAX);
    r->failed = r->failed || code == 0;
    return code;
}

void reg_ask_write(struct buf *b, const struct reg_ask *msg)
{
    mp_array(b, 4);
    mp_uint(b, msg->pass);
    mp_uint(b, msg->kind);
    mp_bin(b, msg->vector.data, msg->vector.size);
    mp_uint(b, msg->hash);
}

int reg_ask_read(struct span bytes, struct reg_ask *ret_msg)
{
    struct mp_reader r;
    struct reg_ask msg;
    size_t more;
    open_message(&r, bytes, 4, &more);
    msg.pass = mp_read_uint(&r, UINT64_MAX);
    msg.kind = read_code(&r);
    msg.vector = mp_read_bin(&r, HM_FRAME_BYTES_MAX);
    msg.hash = mp_read_uint(&r, UINT64_MAX);
    if (close_message(&r, more) != HM_OK) {
        return HM_EMALFORMED;
    }
    *ret_msg = msg;
    return HM_OK;
}

void reg_more_write(struct buf *b, const struct reg_more *msg)
{
    mp_array(b, 2);
    mp_uint(b, msg->pass);
    mp_uint(b, msg->chunk);
}

int reg_more_read(struct span bytes, struct reg_more *ret_msg)
{
    struct mp_reader r;
    struct reg_more msg;
    size_t more;
    open_message(&r, bytes, 2, &more);
    msg.pass = mp_read_uint(&r, UINT64_MAX);
    msg.chunk = mp_read_uint(&r, UINT64_MAX);
    if (close_message(&r, more) != HM_OK) {
        return HM_EMALFORMED;
    }
    *ret_msg = msg;
    return HM_OK;
}

void reg_chunk_write(struct buf *b, const struct reg_chunk *msg)
{
    mp_array(b, msg->is_part ? 7 : 6);
    mp_uint(b, msg->pass);
    mp_uint(b, msg->chunk);
    write_entries(b, &msg->entries);
    mp_bool(b, msg->is_last);
    if (msg->is_last) {
        mp_bin(b, msg->vector.data, msg->vector.size);
    } else {
        mp_nil(b);
    }
    mp_bool(b, msg->is_synced);
    if (msg->is_part) {
        mp_bool(b, true);
    }
}

int reg_chunk_read(struct span bytes, struct reg_chunk *ret_msg)
{
    struct mp_reader r;
    struct reg_chunk msg;
    size_t more;
    memset(&msg, 0, sizeof msg);
    open_message(&r, bytes, 6, &more);
    msg.pass = mp_read_uint(&r, UINT64_MAX);
    msg.chunk = mp_read_uint(&r, UINT64_MAX);
    msg.entries = read_entries(&r);
    msg.is_last = mp_read_bool(&r);
    if (msg.is_last) {
        msg.vector = mp_read_bin(&r, HM_FRAME_BYTES_MAX);
    } else {
        mp_read_nil(&r);
    }
    msg.is_synced = mp_read_bool(&r);
    if (more > 0 && mp_peek(&r) == MP_BOOL) {
        msg.is_part = mp_read_bool(&r);
        more--;
    }
    if (close_message(&r, more) != HM_OK) {
        return HM_EMALFORMED;
    }
    *ret_msg = msg;
    return HM_OK;
}

void reg_refused_write(struct buf *b, const struct reg_refused *msg)
{
    mp_array(b, msg->folds.data == NULL ? 2 : 3);
    mp_uint(b, msg->pass);
    mp_uint(b, msg->code);
    if (msg->folds.data != NULL) {
        mp_bin(b, msg->folds.data, msg->folds.size);
    }
}

int reg_refused_read(struct span bytes, struct reg_refused *ret_msg)
{
    struct mp_reader r;
    struct reg_refused msg;
    size_t more;
    open_message(&r, bytes, 2, &more);
    msg.pass = mp_read_uint(&r, UINT64_MAX);
    msg.code = read_code(&r);
    msg.folds = span_of(NULL, 0);
    if (more > 0 && mp_peek(&r) == MP_BIN) {
        msg.folds = mp_read_bin(&r, HM_FRAME_BYTES_MAX);
        more--;
    }
    if (close_message(&r, more) != HM_OK) {
        return HM_EMALFORMED;
    }
    *ret_msg = msg;
    return HM_OK;
}

static void write_bounds(struct buf *b, struct span from, struct span to)
{
    mp_bin(b, from.data, from.size);
    if (to.data == NULL) {
        mp_nil(b);
    } else {
        mp_bin(b, to.data, to.size);
    }
}

static void read_bounds(struct mp_reader *r, struct span *ret_from, struct span *ret_to)
{
    *ret_from = mp_read_bin(r, REG_KEY_BYTES_MAX);
    *ret_to = span_of(NULL, 0);
    if (!mp_try_nil(r)) {
        *ret_to = mp_read_bin(r, REG_KEY_BYTES_MAX);
        r->failed = r->failed || span_cmp(*ret_from, *ret_to) >= 0;
    }
}

void reg_range_append(struct buf *ranges, const struct reg_range *range)
{
    mp_array(ranges, RANGE_FIELDS);
    write_bounds(ranges, range->from, range->to);
    mp_uint(ranges, range->count);
    mp_uint(ranges, range->hash);
}

static void read_range(struct mp_reader *r, struct reg_range *range)
{
    size_t count = mp_read_array(r);
    r->failed = r->failed || count < RANGE_FIELDS;
    read_bounds(r, &range->from, &range->to);
    range->count = mp_read_uint(r, UINT64_MAX);
    range->hash = mp_read_uint(r, UINT64_MAX);
    mp_skip_many(r, mp_failed(r) ? 0 : count - RANGE_FIELDS);
}

bool reg_range_next(struct span *rest, struct reg_range *ret_range)
{
    struct mp_reader r;
    struct reg_range range;
    mp_open(&r, *rest);
    if (mp_at_end(&r)) {
        return false;
    }
    read_range(&r, &range);
    if (mp_failed(&r)) {
        return false;
    }
    *rest = left_of(&r);
    *ret_range = range;
    return true;
}

void reg_ranges_write(struct buf *b, const struct reg_ranges *msg)
{
    mp_array(b, 2);
    mp_uint(b, msg->number);
    mp_array(b, msg->count);
    buf_append(b, msg->bytes.data, msg->bytes.size);
}

int reg_ranges_read(struct span bytes, struct reg_ranges *ret_msg)
{
    struct mp_reader r;
    struct reg_ranges msg;
    struct reg_range range, before = {.to = span_of("", 0)};
    size_t more;
    open_message(&r, bytes, 2, &more);
    msg.number = mp_read_uint(&r, UINT64_MAX);
    msg.count = mp_read_array(&r);
    r.failed = r.failed || msg.count > REG_RANGES_MAX;
    const uint8_t *start = r.at;
    for (size_t i = 0; i < msg.count && !mp_failed(&r); i++) {
        read_range(&r, &range);
        bool rises = before.to.data != NULL && span_cmp(before.to, range.from) <= 0;
        r.failed = r.failed || !rises;
        before = range;
    }
    msg.bytes = since(&r, start);
    if (close_message(&r, more) != HM_OK) {
        return HM_EMALFORMED;
    }
    *ret_msg = msg;
    return HM_OK;
}

void reg_dot_append(struct buf *dots, const struct dot *dot)
{
    uint8_t *to = buf_extend(dots, DOT_BYTES);
    if (to != NULL) {
        dot_put(to, dot);
    }
}

bool reg_dot_next(struct span *rest, struct dot *ret_dot)
{
    if (rest->size < DOT_BYTES) {
        return false;
    }
    dot_get(rest->data, ret_dot);
    *rest = span_of(rest->data + DOT_BYTES, rest->size - DOT_BYTES);
    return true;
}

static struct span read_dots(struct mp_reader *r)
{
    struct span dots = mp_read_bin(r, REG_DOTS_MAX * DOT_BYTES), rest = dots;
    struct dot dot;
    r->failed = r->failed || dots.size % DOT_BYTES != 0;
    while (!mp_failed(r) && reg_dot_next(&rest, &dot)) {
        r->failed = dot.seq == 0 || dot.seq > ENTRY_SEQ_MAX;
    }
    return dots;
}

void reg_dots_write(struct buf *b, const struct reg_dots *msg)
{
    mp_array(b, 4);
    mp_uint(b, msg->number);
    write_bounds(b, msg->from, msg->to);
    mp_bin(b, msg->dots.data, msg->dots.size);
}

int reg_dots_read(struct span bytes, struct reg_dots *ret_msg)
{
    struct mp_reader r;
    struct reg_dots msg;
    size_t more;
    open_message(&r, bytes, 4, &more);
    msg.number = mp_read_uint(&r, UINT64_MAX);
    read_bounds(&r, &msg.from, &msg.to);
    msg.dots = read_dots(&r);
    if (close_message(&r, more) != HM_OK) {
        return HM_EMALFORMED;
    }
    *ret_msg = msg;
    return HM_OK;
}

void reg_dot_list_write(struct buf *b, struct span dots)
{
    mp_array(b, 1);
    mp_bin(b, dots.data, dots.size);
}

int reg_dot_list_read(struct span bytes, struct span *ret_dots)
{
    struct mp_reader r;
    size_t more;
    open_message(&r, bytes, 1, &more);
    struct span dots = read_dots(&r);
    if (close_message(&r, more) != HM_OK) {
        return HM_EMALFORMED;
    }
    *ret_dots = dots;
    return HM_OK;
}

void reg_prune_write(struct buf *b)
{
    mp_array(b, 0);
}

int reg_prune_read(struct span bytes)
{
    struct mp_reader r;
    size_t more;
    open_message(&r, bytes, 0, &more);
    return close_message(&r, more);
}
