/* SPDX-License-Identifier: MPL-2.0 */
/* Version vectors as bytes, between nodes and on the disk: see vector.h. */
#include "base/err.h"
#include "base/limits.h"
#include "core/vector_priv.h"
#include "wire/mpack.h"

#include <stdlib.h>
#include <string.h>

void vector_runs_write(struct buf *b, const struct vector_origin *o)
{
    mp_array(b, 2 * o->count);
    for (size_t i = 0; i < o->count; i++) {
        mp_uint(b, o->runs[i].first - (i == 0 ? 0 : o->runs[i - 1].last + 1));
        mp_uint(b, o->runs[i].last - o->runs[i].first);
    }
}

void vector_write(struct buf *b, const struct vector *v)
{
    mp_array(b, v->count);
    for (size_t i = 0; i < v->count; i++) {
        const struct vector_origin *o = &v->items[i];
        mp_array(b, 4);
        mp_id(b, &o->origin.node);
        mp_uint(b, o->origin.boots);
        mp_uint(b, o->origin.random);
        vector_runs_write(b, o);
    }
}

/* Adds one run in the form it is written; behind is the sequence it counts from. */
static int read_run(struct mp_reader *r, struct vector_origin *o, uint64_t behind)
{
    uint64_t gap = mp_read_uint(r, UINT64_MAX - behind);
    uint64_t first = behind + gap;
    uint64_t more = mp_read_uint(r, UINT64_MAX - first);
    if (mp_failed(r) || gap == 0) {
        return HM_EMALFORMED;
    }
    o->runs[o->count++] = (struct run){first, first + more};
    return HM_OK;
}

/* Reads the runs of o, at most max. What it has then is the caller's, also on failure. */
static int read_runs(struct mp_reader *r, struct vector_origin *o, size_t max)
{
    size_t numbers = mp_read_array(r), count = numbers / 2;
    if (mp_failed(r) || count == 0 || numbers % 2 != 0 || count > max) {
        return HM_EMALFORMED;
    }
    int rc = vector_room_for_runs(o, count);
    for (size_t i = 0; i < count && rc == HM_OK; i++) {
        uint64_t last = i == 0 ? 0 : o->runs[i - 1].last;
        if (last == UINT64_MAX) {
            return HM_EMALFORMED;
        }
        rc = read_run(r, o, i == 0 ? 0 : last + 1);
    }
    return rc;
}

static int read_origin(struct mp_reader *r, struct vector *v)
{
    size_t fields = mp_read_array(r);
    struct vector_origin *o = &v->items[v->count];
    memset(o, 0, sizeof *o);
    if (fields < 4) {
        return HM_EMALFORMED;
    }
    mp_read_id(r, &o->origin.node);
    o->origin.boots = mp_read_uint(r, UINT64_MAX);
    o->origin.random = mp_read_uint(r, UINT64_MAX);
    if (mp_failed(r) || (v->count > 0 && origin_cmp(&(o - 1)->origin, &o->origin) >= 0)) {
        return HM_EMALFORMED;
    }
    v->count++;
    int rc = read_runs(r, o, HM_VECTOR_RUNS_MAX - v->run_count);
    v->run_count += o->count;
    if (rc == HM_OK) {
        mp_skip_many(r, fields - 4);
    }
    return rc == HM_OK && mp_failed(r) ? HM_EMALFORMED : rc;
}

int vector_read(struct span bytes, struct vector *to)
{
    struct mp_reader r;
    vector_clear(to);
    mp_open(&r, bytes);
    size_t count = mp_read_array(&r);
    if (mp_failed(&r) || count > HM_VECTOR_ORIGINS_MAX) {
        return HM_EMALFORMED;
    }
    int rc = vector_room_for_origins(to, count);
    for (size_t i = 0; i < count && rc == HM_OK; i++) {
        rc = read_origin(&r, to);
    }
    if (rc == HM_OK && !mp_at_end(&r)) {
        rc = HM_EMALFORMED;
    }
    if (rc != HM_OK) {
        vector_clear(to);
    }
    return rc;
}

int vector_runs_read(struct span bytes, const struct origin *origin, struct vector *v)
{
    struct mp_reader r;
    struct vector_origin o = {.origin = *origin};
    mp_open(&r, bytes);
    int rc = read_runs(&r, &o, HM_VECTOR_RUNS_MAX);
    if (rc == HM_OK && !mp_at_end(&r)) {
        rc = HM_EMALFORMED;
    }
    if (rc == HM_OK) {
        rc = vector_put_runs(v, &o);
    }
    free(o.runs);
    return rc;
}
