/* SPDX-License-Identifier: MPL-2.0 */
/* Where vectors are not enough: a node that lacks a deletion mark which was let go elsewhere (its disk is a
 * copy of an old one), or two that have seen the same and hold different things.
 *
 *     asker -> other   RANGES  hashes of the next ranges of its record keys
 *     other -> asker   RANGES  those of them that differ here
 *     asker -> other   DOTS    all that it holds in one of those
 *     other -> asker   DOTS    those that are gone: the other's vector has them, and it does not hold them
 *
 * and so on through all keys. Then a pass by vector brings the rest, and with its end what is gone is dropped
 * without a mark: not before, since it may be superseded by what that pass brings. What the other has never
 * seen is news, and stays. The other keeps no state. */
#include "base/err.h"
#include "core/core_priv.h"
#include "wire/registry_msg.h"

#include <string.h>

#define RANGES_AT_ONCE 8
#define RANGE_RECORDS 128 /* a range's dots fit a frame; with eight ranges a step stays short */

static uint64_t question(const struct asking *a)
{
    return 2 * a->pass;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* Walks records from `from` on, at most `max` of them, up to `to` (data NULL: no end). ret_next is where
 * the next one begins; data NULL: behind the last. */
static void walk(core_t *c, struct reg_range *range, size_t max, struct span *ret_next)
{
    struct span key = range->from;
    struct entry e;
    range->count = 0;
    range->hash = 0;
    for (bool inclusive = true;; inclusive = false) {
        if (!registry_next(c->registry, LOOK_COMMITTED, key, inclusive, &key, &e)) {
            *ret_next = span_of(NULL, 0);
            return;
        }
        if (range->count == max || (range->to.data != NULL && span_cmp(key, range->to) >= 0)) {
            *ret_next = key;
            return;
        }
        range->count++;
        range->hash += registry_record_hash(c->registry, key);
    }
}

/* Asks about the next ranges; after the last one a pass follows. */
static void ask_ranges(core_t *c, struct asking *a, struct member *m)
{
    struct reg_ranges msg = {.number = question(a)};
    struct buf ranges, b;
    if (a->is_to_the_end) {
        repair_compared(c, a, m);
        return;
    }
    buf_init(&ranges, HM_FRAME_BYTES_MAX);
    buf_init(&b, HM_FRAME_BYTES_MAX);
    struct span from = buf_span(&a->at);
    while (msg.count < RANGES_AT_ONCE && !a->is_to_the_end) {
        struct reg_range range = {.from = from};
        walk(c, &range, RANGE_RECORDS, &range.to);
        reg_range_append(&ranges, &range);
        msg.count++;
        a->is_to_the_end = range.to.data == NULL;
        from = range.to;
    }
    msg.bytes = buf_span(&ranges);
    reg_ranges_write(&b, &msg);
    if (!a->is_to_the_end) {
        uint8_t key[REG_KEY_BYTES_MAX];
        memcpy(key, from.data, from.size);
        buf_clear(&a->at);
        buf_append(&a->at, key, from.size);
    }
    if (!buf_failed(&b) && !buf_failed(&ranges)) {
        send_frame(c, m, FRAME_REG_RANGES, buf_span(&b));
    }
    buf_fini(&ranges);
    buf_fini(&b);
}

void compare_start(core_t *c, struct asking *a, struct member *m)
{
    core_count(c, M_COMPARISONS);
    a->is_comparing = true;
    ask_ranges(c, a, m);
}

/* ---- dots ------------------------------------------------------------------------------------ */

/* Tells all that is held in the next range that differs. */
static void ask_dots(core_t *c, struct asking *a, struct member *m)
{
    struct reg_range range;
    struct span rest = buf_span(&a->ranges);
    if (!reg_range_next(&rest, &range)) {
        ask_ranges(c, a, m);
        return;
    }
    struct buf dots, b;
    struct span key = range.from;
    struct entry e;
    buf_init(&dots, REG_DOTS_MAX * DOT_BYTES);
    buf_init(&b, HM_FRAME_BYTES_MAX);
    for (bool inclusive = true; dots.size < REG_DOTS_MAX * DOT_BYTES &&
                                registry_next(c->registry, LOOK_COMMITTED, key, inclusive, &key, &e) &&
                                (range.to.data == NULL || span_cmp(key, range.to) < 0);
         inclusive = false) {
        reg_dot_append(&dots, &e.dot);
    }
    struct reg_dots msg = {
        .number = question(a), .from = range.from, .to = range.to, .dots = buf_span(&dots)};
    reg_dots_write(&b, &msg);
    if (!buf_failed(&b)) {
        send_frame(c, m, FRAME_REG_DOTS, buf_span(&b));
    }
    size_t left = rest.size;
    memmove(a->ranges.data, rest.data, left);
    buf_truncate(&a->ranges, left);
    buf_fini(&dots);
    buf_fini(&b);
}

/* Too much for one time: the pass comes now, and the next comparison finds the rest. */
static void note_gone(struct asking *a, struct span dots)
{
    struct buf *gone = &a->gone;
    if (gone->size + dots.size <= COMPARE_GONE_MAX * DOT_BYTES) {
        buf_append(gone, dots.data, dots.size);
    } else {
        a->is_to_the_end = true;
        buf_clear(&a->ranges);
    }
}

void compare_drop(core_t *c, struct asking *a)
{
    struct span dots = buf_span(&a->gone);
    struct dot dot;
    struct span record_key;
    while (reg_dot_next(&dots, &dot)) {
        if (registry_record_of(c->registry, &dot, &record_key)) {
            int rc = registry_drop(c->registry, record_key);
            c->fx.failed |= rc == HM_ENOMEM;
            core_count(c, M_ENTRIES_GONE);
        }
    }
    buf_clear(&a->gone);
}

/* ---- the other side -------------------------------------------------------------------------- */

static void answer_ranges(core_t *c, struct member *m, const struct reg_ranges *asked)
{
    struct reg_ranges msg = {.number = asked->number + 1};
    struct span rest = asked->bytes;
    struct reg_range range;
    struct buf differing, b;
    buf_init(&differing, HM_FRAME_BYTES_MAX);
    buf_init(&b, HM_FRAME_BYTES_MAX);
    while (reg_range_next(&rest, &range)) {
        struct reg_range ours = {.from = range.from, .to = range.to};
        struct span next;
        walk(c, &ours, 2 * RANGE_RECORDS, &next); /* many more than asked for: it differs anyway */
        if (ours.count != range.count || ours.hash != range.hash) {
            reg_range_append(&differing, &range);
            msg.count++;
        }
    }
    msg.bytes = buf_span(&differing);
    reg_ranges_write(&b, &msg);
    if (!buf_failed(&b) && !buf_failed(&differing)) {
        send_frame(c, m, FRAME_REG_RANGES, buf_span(&b));
    }
    buf_fini(&differing);
    buf_fini(&b);
}

static void answer_dots(core_t *c, struct member *m, const struct reg_dots *asked)
{
    struct reg_dots msg = {.number = asked->number + 1, .from = asked->from, .to = asked->to};
    struct span rest = asked->dots;
    struct span record_key;
    struct dot dot;
    struct buf gone, b;
    buf_init(&gone, REG_DOTS_MAX * DOT_BYTES);
    buf_init(&b, HM_FRAME_BYTES_MAX);
    while (reg_dot_next(&rest, &dot)) {
        if (vector_has(registry_durable_vector(c->registry), &dot) &&
            !registry_record_of(c->registry, &dot, &record_key)) {
            reg_dot_append(&gone, &dot);
        }
    }
    msg.dots = buf_span(&gone);
    reg_dots_write(&b, &msg);
    if (!buf_failed(&b)) {
        send_frame(c, m, FRAME_REG_DOTS, buf_span(&b));
    }
    buf_fini(&gone);
    buf_fini(&b);
}

/* What this is an answer to; NULL: something that was given up. */
static struct asking *awaited(core_t *c, const struct member *m, uint64_t number)
{
    struct asking *a = repair_asking(c, m);
    if (a == NULL || !a->is_comparing || number != question(a) + 1) {
        return NULL;
    }
    a->heard_ns = c->now_ns;
    return a;
}

static void on_ranges(core_t *c, struct member *m, struct span body)
{
    struct reg_ranges msg;
    struct asking *a;
    if (reg_ranges_read(body, &msg) != HM_OK) {
        core_count(c, M_DROP_MALFORMED);
    } else if (msg.number % 2 == 0) {
        answer_ranges(c, m, &msg);
    } else if ((a = awaited(c, m, msg.number)) != NULL) {
        buf_clear(&a->ranges);
        buf_append(&a->ranges, msg.bytes.data, msg.bytes.size);
        ask_dots(c, a, m);
    }
}

static void on_dots(core_t *c, struct member *m, struct span body)
{
    struct reg_dots msg;
    struct asking *a;
    if (reg_dots_read(body, &msg) != HM_OK) {
        core_count(c, M_DROP_MALFORMED);
    } else if (msg.number % 2 == 0) {
        answer_dots(c, m, &msg);
    } else if ((a = awaited(c, m, msg.number)) != NULL) {
        note_gone(a, msg.dots);
        ask_dots(c, a, m);
    }
}

void compare_frame(core_t *c, struct member *m, uint8_t type, struct span body)
{
    if (type == FRAME_REG_RANGES) {
        on_ranges(c, m, body);
    } else {
        on_dots(c, m, body);
    }
}
