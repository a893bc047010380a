/* SPDX-License-Identifier: MPL-2.0 */
/* Reads any MessagePack value with the bounded reader and writes it again with the packer: what
 * comes out is the canonical form. Extension values, which we never write, are copied. Recursion
 * is as deep as the value, so check it with mp_check first. */
#ifndef HM_TESTS_UNIT_MP_REPACK_H
#define HM_TESTS_UNIT_MP_REPACK_H

#include "base/buf.h"
#include "wire/mpack.h"

static inline void mp_repack(struct mp_reader *r, struct buf *out)
{
    struct span s;
    size_t count;
    switch (mp_peek(r)) {
    case MP_NONE:
        r->failed = true;
        break;
    case MP_NIL:
        mp_read_nil(r);
        mp_nil(out);
        break;
    case MP_BOOL:
        mp_bool(out, mp_read_bool(r));
        break;
    case MP_UINT:
        mp_uint(out, mp_read_uint(r, UINT64_MAX));
        break;
    case MP_INT:
        mp_int(out, mp_read_int(r));
        break;
    case MP_DOUBLE:
        mp_double(out, mp_read_double(r));
        break;
    case MP_STR:
        s = mp_read_str(r, SIZE_MAX);
        mp_strn(out, s.data, s.size);
        break;
    case MP_BIN:
        s = mp_read_bin(r, SIZE_MAX);
        mp_bin(out, s.data, s.size);
        break;
    case MP_EXT:
        s = mp_read_raw(r);
        buf_append(out, s.data, s.size);
        break;
    case MP_ARRAY:
        count = mp_read_array(r);
        mp_array(out, count);
        for (size_t i = 0; i < count && !mp_failed(r); i++) {
            mp_repack(r, out);
        }
        break;
    case MP_MAP:
        count = mp_read_map(r);
        mp_map(out, count);
        for (size_t i = 0; i < 2 * count && !mp_failed(r); i++) {
            mp_repack(r, out);
        }
        break;
    }
}

#endif
