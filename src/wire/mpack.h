/* SPDX-License-Identifier: MPL-2.0 */
/* MessagePack: packing (through msgpack-c's packer) and bounded reading.
 *
 * Reading is a cursor over borrowed bytes and never allocates: msgpack-c's own unpacker reserves
 * memory by the declared count, which lets 100 hostile bytes ask for 160 GiB. Every count is checked
 * against the bytes that are left. The first error sticks: later reads give zeros, and one check at
 * the end (mp_failed) is enough. Non-canonical integer widths are read; canonical ones are written. */
#ifndef HM_WIRE_MPACK_H
#define HM_WIRE_MPACK_H

#include "base/buf.h"
#include "base/node_id.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

/* Packing. A failed buffer stays failed (buf_failed). */
void mp_array(struct buf *b, size_t count);
void mp_map(struct buf *b, size_t count);
void mp_uint(struct buf *b, uint64_t value);
void mp_int(struct buf *b, int64_t value);
void mp_bool(struct buf *b, bool value);
void mp_nil(struct buf *b);
void mp_double(struct buf *b, double value);
void mp_str(struct buf *b, const char *text);
void mp_strn(struct buf *b, const void *text, size_t size);
void mp_bin(struct buf *b, const void *data, size_t size);
void mp_id(struct buf *b, const struct node_id *id);

enum mp_kind { MP_NONE, MP_NIL, MP_BOOL, MP_UINT, MP_INT, MP_DOUBLE, MP_STR, MP_BIN, MP_ARRAY, MP_MAP,
               MP_EXT };

struct mp_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

void mp_open(struct mp_reader *r, struct span bytes);
bool mp_failed(const struct mp_reader *r);
/* Nothing left to read (or failed). */
bool mp_at_end(const struct mp_reader *r);
/* Kind of the next value without taking it; MP_NONE at the end or when failed. MP_INT is a negative
 * number: what fits unsigned is MP_UINT. */
enum mp_kind mp_peek(const struct mp_reader *r);

/* Counts are at most the bytes left (a map's: half of them). */
size_t mp_read_array(struct mp_reader *r);
size_t mp_read_map(struct mp_reader *r);
uint64_t mp_read_uint(struct mp_reader *r, uint64_t max);
int64_t mp_read_int(struct mp_reader *r);
bool mp_read_bool(struct mp_reader *r);
void mp_read_nil(struct mp_reader *r);
double mp_read_double(struct mp_reader *r); /* integers are taken too */
struct span mp_read_str(struct mp_reader *r, size_t max);
struct span mp_read_bin(struct mp_reader *r, size_t max);
void mp_read_id(struct mp_reader *r, struct node_id *ret_id);
/* Copies a string and ends it with NUL; fails if it does not fit or holds a NUL. */
void mp_read_text(struct mp_reader *r, char *to, size_t max);
/* True and taken if the next value is nil; false and untouched otherwise. */
bool mp_try_nil(struct mp_reader *r);
/* Skips one value of any kind, at most HM_MPACK_DEPTH_MAX deep. */
void mp_skip(struct mp_reader *r);
/* Skips `count` values: the trailing fields of a newer version. */
void mp_skip_many(struct mp_reader *r, size_t count);
/* Skips one value and returns its bytes. */
struct span mp_read_raw(struct mp_reader *r);
/* The same, fails if it nests deeper than that: 0 is a value that holds no others. */
struct span mp_read_nested(struct mp_reader *r, unsigned depth);

/* HM_OK if the bytes are exactly one well-formed value, HM_EMALFORMED otherwise. */
int mp_check(struct span bytes);

#endif
