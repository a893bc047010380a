/* SPDX-License-Identifier: MPL-2.0 */
/* The MessagePack reader: the check, the canonical form as a fixed point, and reads of any kind
 * in any order. The first byte says how many bytes of script follow. */
#include "fuzz.h"

#include "../unit/mp_repack.h"

#include "base/err.h"
#include "base/limits.h"

/* A value that passes the check can be read to its end, and its canonical form reads the same. */
static void check_canonical(struct span value)
{
    struct mp_reader r;
    struct buf one, two;
    if (mp_check(value) != HM_OK) {
        return;
    }
    buf_init(&one, 4 * value.size);
    buf_init(&two, 4 * value.size);
    mp_open(&r, value);
    mp_repack(&r, &one);
    FUZZ_ASSERT(!mp_failed(&r) && mp_at_end(&r) && !buf_failed(&one));
    FUZZ_ASSERT(one.size <= 2 * value.size); /* a float 32 becomes a float 64 */
    FUZZ_ASSERT(mp_check(buf_span(&one)) == HM_OK);
    mp_open(&r, buf_span(&one));
    mp_repack(&r, &two);
    FUZZ_ASSERT(!mp_failed(&r) && span_eq(buf_span(&one), buf_span(&two)));
    buf_fini(&one);
    buf_fini(&two);
}

static void read_one(struct mp_reader *r, uint8_t choice, struct span whole)
{
    struct node_id id;
    char text[16];
    size_t left = r->failed ? 0 : (size_t) (r->end - r->at);
    enum mp_kind kind = mp_peek(r);
    FUZZ_ASSERT((left == 0 || r->failed) ? kind == MP_NONE : true);
    switch (choice % 16) {
    case 0:
        FUZZ_ASSERT(mp_read_array(r) <= left);
        break;
    case 1:
        FUZZ_ASSERT(2 * mp_read_map(r) <= left);
        break;
    case 2:
        mp_read_uint(r, UINT64_MAX);
        break;
    case 3:
        FUZZ_ASSERT(mp_read_uint(r, 255) <= 255);
        break;
    case 4:
        mp_read_int(r);
        break;
    case 5:
        mp_read_bool(r);
        break;
    case 6:
        mp_read_nil(r);
        break;
    case 7:
        mp_read_double(r);
        break;
    case 8:
        FUZZ_ASSERT(span_inside(mp_read_str(r, SIZE_MAX), whole));
        break;
    case 9:
        FUZZ_ASSERT(mp_read_bin(r, 20).size <= 20);
        break;
    case 10:
        mp_read_id(r, &id);
        break;
    case 11:
        mp_read_text(r, text, sizeof text);
        FUZZ_ASSERT(memchr(text, '\0', sizeof text) != NULL);
        break;
    case 12:
        mp_try_nil(r);
        break;
    case 13:
        mp_skip_many(r, choice / 16);
        break;
    case 14:
        FUZZ_ASSERT(span_inside(mp_read_raw(r), whole));
        break;
    default:
        mp_skip(r);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct span script = in_bytes(&in, in_u8(&in));
    struct span value = fuzz_copy(span_of(in.at, in.left));
    struct mp_reader r;
    check_canonical(value);
    mp_open(&r, value);
    for (size_t i = 0; i < script.size; i++) {
        bool failed = mp_failed(&r);
        read_one(&r, script.data[i], value);
        FUZZ_ASSERT(!failed || mp_failed(&r)); /* errors stick */
        FUZZ_ASSERT(r.failed || (r.at >= value.data && r.at <= value.data + value.size));
    }
    fuzz_free(value);
    return 0;
}
