/* SPDX-License-Identifier: MPL-2.0 */
/* The registry's frames. The first byte is the frame's type, the rest its body: what was understood can
 * be walked to its end and, written again, is understood the same. */
#include "fuzz.h"

#include "base/err.h"
#include "base/limits.h"
#include "wire/frame.h"
#include "wire/registry_msg.h"

static void check_entries(const struct reg_entries *entries, struct span bytes)
{
    struct span rest = entries->bytes, entry;
    size_t count = 0;
    FUZZ_ASSERT(span_inside(entries->bytes, bytes));
    for (; reg_entry_next(&rest, &entry); count++) {
        FUZZ_ASSERT(span_inside(entry, bytes));
        FUZZ_ASSERT(entry.size > 0 && entry.size <= HM_ENTRY_BYTES_MAX);
    }
    FUZZ_ASSERT(rest.size == 0 && count == entries->count);
}

static void check_dots(struct span dots, struct span bytes)
{
    struct dot dot;
    size_t count = 0;
    FUZZ_ASSERT(span_inside(dots, bytes));
    for (; reg_dot_next(&dots, &dot); count++) {
        FUZZ_ASSERT(dot.seq > 0 && dot.seq < UINT64_MAX);
    }
    FUZZ_ASSERT(dots.size == 0 && count <= REG_DOTS_MAX);
}

static int key_cmp(struct span a, struct span b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static void check_bounds(struct span from, struct span to, struct span bytes)
{
    FUZZ_ASSERT(span_inside(from, bytes) && span_inside(to, bytes));
    FUZZ_ASSERT(from.size <= REG_KEY_BYTES_MAX && to.size <= REG_KEY_BYTES_MAX);
    FUZZ_ASSERT(to.data == NULL || key_cmp(from, to) < 0);
}

static void check_ranges(const struct reg_ranges *msg, struct span bytes)
{
    struct span rest = msg->bytes;
    struct reg_range range, before;
    size_t count = 0;
    FUZZ_ASSERT(span_inside(msg->bytes, bytes));
    for (; reg_range_next(&rest, &range); count++) {
        check_bounds(range.from, range.to, bytes);
        FUZZ_ASSERT(count == 0 || (before.to.data != NULL && key_cmp(before.to, range.from) <= 0));
        before = range;
    }
    FUZZ_ASSERT(rest.size == 0 && count == msg->count && count <= REG_RANGES_MAX);
}

/* Reads, checks and writes again. False: malformed. */
static bool take(uint8_t type, struct span bytes, struct buf *b)
{
    struct reg_entries entries;
    struct reg_ask ask;
    struct reg_more more;
    struct reg_chunk chunk;
    struct reg_refused refused;
    struct reg_ranges ranges;
    struct reg_dots dots;
    struct span list;
    int rc = HM_EMALFORMED;
    if (type == FRAME_REG_PUSH && (rc = reg_push_read(bytes, &entries)) == HM_OK) {
        check_entries(&entries, bytes);
        reg_push_write(b, &entries);
    } else if (type == FRAME_REG_ASK && (rc = reg_ask_read(bytes, &ask)) == HM_OK) {
        FUZZ_ASSERT(span_inside(ask.vector, bytes) && ask.kind != 0);
        reg_ask_write(b, &ask);
    } else if (type == FRAME_REG_MORE && (rc = reg_more_read(bytes, &more)) == HM_OK) {
        reg_more_write(b, &more);
    } else if (type == FRAME_REG_CHUNK && (rc = reg_chunk_read(bytes, &chunk)) == HM_OK) {
        check_entries(&chunk.entries, bytes);
        FUZZ_ASSERT(span_inside(chunk.vector, bytes));
        FUZZ_ASSERT(chunk.is_last == (chunk.vector.data != NULL));
        reg_chunk_write(b, &chunk);
    } else if (type == FRAME_REG_REFUSED && (rc = reg_refused_read(bytes, &refused)) == HM_OK) {
        FUZZ_ASSERT(refused.code != 0 && span_inside(refused.folds, bytes));
        reg_refused_write(b, &refused);
    } else if (type == FRAME_REG_RANGES && (rc = reg_ranges_read(bytes, &ranges)) == HM_OK) {
        check_ranges(&ranges, bytes);
        reg_ranges_write(b, &ranges);
    } else if (type == FRAME_REG_DOTS && (rc = reg_dots_read(bytes, &dots)) == HM_OK) {
        check_bounds(dots.from, dots.to, bytes);
        check_dots(dots.dots, bytes);
        reg_dots_write(b, &dots);
    } else if ((type == FRAME_REG_IHAVE || type == FRAME_REG_GRAFT) &&
               (rc = reg_dot_list_read(bytes, &list)) == HM_OK) {
        check_dots(list, bytes);
        reg_dot_list_write(b, list);
    } else if (type == FRAME_REG_PRUNE && (rc = reg_prune_read(bytes)) == HM_OK) {
        reg_prune_write(b);
    }
    FUZZ_ASSERT(rc == HM_OK || rc == HM_EMALFORMED);
    return rc == HM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct span bytes = fuzz_copy(span_of(data + 1, size - 1));
    struct buf once, twice;
    buf_init(&once, 2 * size + 64);
    buf_init(&twice, 2 * size + 64);
    if (take(data[0], bytes, &once)) {
        FUZZ_ASSERT(!buf_failed(&once) && once.size <= bytes.size);
        FUZZ_ASSERT(take(data[0], buf_span(&once), &twice));
        FUZZ_ASSERT(span_eq(buf_span(&once), buf_span(&twice)));
    }
    buf_fini(&once);
    buf_fini(&twice);
    fuzz_free(bytes);
    return 0;
}
