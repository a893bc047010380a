/* SPDX-License-Identifier: MPL-2.0 */
/* The clear heads: what is read is written again as the same bytes. The first byte chooses. */
#include "fuzz.h"

#include "base/err.h"
#include "base/limits.h"
#include "wire/frame.h"

static void datagram(struct span bytes)
{
    struct datagram_head h;
    struct buf b;
    int result = datagram_head_read(bytes, &h);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED || result == HM_EVERSION);
    if (result != HM_OK) {
        return;
    }
    FUZZ_ASSERT(h.bytes + DATAGRAM_TAG_BYTES <= bytes.size && bytes.size <= HM_DATAGRAM_BYTES_MAX);
    buf_init(&b, HM_DATAGRAM_BYTES_MAX);
    datagram_head_write(&b, &h, bytes.size - h.bytes);
    FUZZ_ASSERT(span_eq(buf_span(&b), span_of(bytes.data, h.bytes)));
    buf_fini(&b);
}

static void frame(struct span bytes)
{
    uint8_t type;
    struct span body;
    struct buf b;
    int result = frame_head_read(bytes, &type, &body);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED || result == HM_EVERSION);
    if (result != HM_OK) {
        return;
    }
    FUZZ_ASSERT(body.size + FRAME_HEAD_BYTES == bytes.size && span_inside(body, bytes));
    buf_init(&b, FRAME_HEAD_BYTES);
    frame_head_write(&b, type, body.size);
    FUZZ_ASSERT(span_eq(buf_span(&b), span_of(bytes.data, FRAME_HEAD_BYTES)));
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    bool is_frame = in_u8(&in) % 2 == 1;
    struct span bytes = fuzz_copy(span_of(in.at, in.left));
    if (is_frame) {
        frame(bytes);
    } else {
        datagram(bytes);
    }
    fuzz_free(bytes);
    return 0;
}
