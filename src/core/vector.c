/* SPDX-License-Identifier: MPL-2.0 */
/* Version vectors with exceptions: see vector.h. Sorted arrays, since they are walked and merged
 * far more often than they get a new origin, and new origins mostly come in order. */
#include "core/vector.h"

#include "base/err.h"
#include "base/limits.h"
#include "core/vector_priv.h"

#include <stdlib.h>
#include <string.h>

/* Of an origin: heads of two arrays, the id, two numbers. Of a run two numbers, which may lengthen a head. */
#define ORIGIN_TOLD_BYTES_MAX (1 + 2 + NODE_ID_BYTES + 9 + 9 + 5)
#define RUN_TOLD_BYTES_MAX (9 + 9)

void vector_init(struct vector *v)
{
    memset(v, 0, sizeof *v);
}

void vector_clear(struct vector *v)
{
    for (size_t i = 0; i < v->count; i++) {
        free(v->items[i].runs);
    }
    v->count = 0;
    v->run_count = 0;
}

void vector_fini(struct vector *v)
{
    vector_clear(v);
    free(v->items);
    memset(v, 0, sizeof *v);
}

size_t vector_runs(const struct vector *v)
{
    return v->run_count;
}

/* --- looking */

/* Index of the first origin that is not below this one. */
static size_t origin_at(const struct vector *v, const struct origin *origin)
{
    size_t low = 0, high = v->count;
    if (high > 0 && origin_cmp(&v->items[high - 1].origin, origin) < 0) {
        return high;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (origin_cmp(&v->items[middle].origin, origin) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool is_at(const struct vector *v, size_t i, const struct origin *origin)
{
    return i < v->count && origin_eq(&v->items[i].origin, origin);
}

/* Index of the first run that ends at or behind seq. Most questions are about the newest writes. */
static size_t run_at(const struct vector_origin *o, uint64_t seq)
{
    size_t low = 0, high = o->count;
    if (high > 0 && o->runs[high - 1].last < seq) {
        return high;
    }
    if (high > 1 && o->runs[high - 2].last < seq) {
        return high - 1;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (o->runs[middle].last < seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct vector_origin *vector_find(const struct vector *v, const struct origin *origin)
{
    size_t i = origin_at(v, origin);
    return is_at(v, i, origin) ? &v->items[i] : NULL;
}

bool vector_has(const struct vector *v, const struct dot *dot)
{
    const struct vector_origin *o = vector_find(v, &dot->origin);
    if (o == NULL) {
        return false;
    }
    size_t i = run_at(o, dot->seq);
    return i < o->count && o->runs[i].first <= dot->seq;
}

bool vector_eq(const struct vector *a, const struct vector *b)
{
    if (a->count != b->count || a->run_count != b->run_count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        const struct vector_origin *x = &a->items[i], *y = &b->items[i];
        if (!origin_eq(&x->origin, &y->origin) || x->count != y->count ||
            memcmp(x->runs, y->runs, x->count * sizeof *x->runs) != 0) {
            return false;
        }
    }
    return true;
}

bool vector_covers(const struct vector *a, const struct vector *b)
{
    struct vector_diff d;
    struct origin origin;
    struct run run;
    vector_diff_open(&d, b, a);
    return !vector_diff_next(&d, &origin, &run);
}

/* --- adding */

int vector_room_for_runs(struct vector_origin *o, size_t count)
{
    if (count <= o->room) {
        return HM_OK;
    }
    size_t room = count > 2 * o->room ? count : 2 * o->room;
    struct run *runs = realloc(o->runs, room * sizeof *runs);
    if (runs == NULL) {
        return HM_ENOMEM;
    }
    o->runs = runs;
    o->room = room;
    return HM_OK;
}

int vector_room_for_origins(struct vector *v, size_t count)
{
    if (count <= v->room) {
        return HM_OK;
    }
    size_t room = count > 2 * v->room ? count : 2 * v->room;
    struct vector_origin *items = realloc(v->items, room * sizeof *items);
    if (items == NULL) {
        return HM_ENOMEM;
    }
    v->items = items;
    v->room = room;
    return HM_OK;
}

static bool is_run(struct run run)
{
    return run.first >= 1 && run.first <= run.last;
}

/* The runs that overlap or touch this one become one with it. first >= 1 keeps `- 1` in range where
 * `+ 1` might not be. */
static int add_run(struct vector *v, struct vector_origin *o, struct run run)
{
    size_t begin = run_at(o, run.first - 1), end = begin;
    while (end < o->count && o->runs[end].first - 1 <= run.last) {
        end++;
    }
    if (begin == end) {
        if (v->run_count >= HM_VECTOR_RUNS_MAX) {
            return HM_EFULL;
        }
        if (vector_room_for_runs(o, o->count + 1) != HM_OK) {
            return HM_ENOMEM;
        }
    } else {
        run.first = run.first < o->runs[begin].first ? run.first : o->runs[begin].first;
        run.last = run.last > o->runs[end - 1].last ? run.last : o->runs[end - 1].last;
    }
    memmove(&o->runs[begin + 1], &o->runs[end], (o->count - end) * sizeof *o->runs);
    o->runs[begin] = run;
    o->count = o->count + 1 - (end - begin);
    v->run_count = v->run_count + 1 - (end - begin);
    return HM_OK;
}

/* An origin that is not there yet; i is its place. Takes its runs. */
static int put_origin(struct vector *v, size_t i, struct vector_origin *o)
{
    if (v->count >= HM_VECTOR_ORIGINS_MAX || o->count > HM_VECTOR_RUNS_MAX - v->run_count) {
        return HM_EFULL;
    }
    if (vector_room_for_origins(v, v->count + 1) != HM_OK) {
        return HM_ENOMEM;
    }
    memmove(&v->items[i + 1], &v->items[i], (v->count - i) * sizeof *v->items);
    v->items[i] = *o;
    v->count++;
    v->run_count += o->count;
    o->runs = NULL;
    return HM_OK;
}

/* A first run of an origin that is not there yet; i is its place. */
static int add_origin(struct vector *v, size_t i, const struct origin *origin, struct run run)
{
    struct vector_origin o = {.origin = *origin, .count = 1};
    if (vector_room_for_runs(&o, 1) != HM_OK) {
        return HM_ENOMEM;
    }
    o.runs[0] = run;
    int rc = put_origin(v, i, &o);
    free(o.runs);
    return rc;
}

int vector_add_run(struct vector *v, const struct origin *origin, struct run run)
{
    if (!is_run(run)) {
        return HM_EINVAL;
    }
    size_t i = origin_at(v, origin);
    return is_at(v, i, origin) ? add_run(v, &v->items[i], run) : add_origin(v, i, origin, run);
}

int vector_add(struct vector *v, const struct dot *dot)
{
    struct run run = {dot->seq, dot->seq};
    return vector_add_run(v, &dot->origin, run);
}

/* --- merging */

/* Appends behind runs that begin earlier or at the same place. Returns the new count. */
static size_t append_run(struct run *runs, size_t count, struct run run)
{
    if (count == 0 || runs[count - 1].last < run.first - 1) {
        runs[count] = run;
        return count + 1;
    }
    if (runs[count - 1].last < run.last) {
        runs[count - 1].last = run.last;
    }
    return count;
}

static int merge_runs(struct vector *v, struct vector_origin *to, const struct vector_origin *from)
{
    if (from->count == 1 && to->count > 0) {
        return add_run(v, to, from->runs[0]);
    }
    struct run *runs = malloc((to->count + from->count) * sizeof *runs);
    if (runs == NULL) {
        return HM_ENOMEM;
    }
    size_t a = 0, b = 0, count = 0;
    while (a < to->count || b < from->count) {
        bool is_ours = b == from->count ||
                       (a < to->count && to->runs[a].first <= from->runs[b].first);
        count = append_run(runs, count, is_ours ? to->runs[a++] : from->runs[b++]);
    }
    if (v->run_count - to->count + count > HM_VECTOR_RUNS_MAX) {
        free(runs);
        return HM_EFULL;
    }
    v->run_count = v->run_count - to->count + count;
    to->room = to->count + from->count;
    to->count = count;
    free(to->runs);
    to->runs = runs;
    return HM_OK;
}

static size_t count_missing(const struct vector *v, const struct vector *from)
{
    size_t at = 0, missing = 0;
    for (size_t i = 0; i < from->count; i++) {
        while (at < v->count && origin_cmp(&v->items[at].origin, &from->items[i].origin) < 0) {
            at++;
        }
        missing += !is_at(v, at, &from->items[i].origin);
    }
    return missing;
}

/* Puts the missing origins in, without runs yet, from the end so that each item moves once. */
static void open_missing(struct vector *v, const struct vector *from, size_t missing)
{
    size_t to = v->count + missing, at = v->count;
    v->count = to;
    for (size_t i = from->count; missing > 0; i--) {
        const struct origin *origin = &from->items[i - 1].origin;
        while (at > 0 && origin_cmp(&v->items[at - 1].origin, origin) > 0) {
            v->items[--to] = v->items[--at];
        }
        if (at == 0 || !origin_eq(&v->items[at - 1].origin, origin)) {
            v->items[--to] = (struct vector_origin){.origin = *origin};
            missing--;
        }
    }
}

/* Takes out the origins that got no runs. */
static void close_empty(struct vector *v)
{
    size_t count = 0;
    for (size_t i = 0; i < v->count; i++) {
        if (v->items[i].count > 0) {
            v->items[count++] = v->items[i];
        }
    }
    v->count = count;
}

int vector_put_runs(struct vector *v, struct vector_origin *o)
{
    size_t i = origin_at(v, &o->origin);
    return is_at(v, i, &o->origin) ? merge_runs(v, &v->items[i], o) : put_origin(v, i, o);
}

int vector_merge(struct vector *to, const struct vector *from)
{
    size_t missing = count_missing(to, from);
    if (to->count + missing > HM_VECTOR_ORIGINS_MAX) {
        return HM_EFULL;
    }
    if (vector_room_for_origins(to, to->count + missing) != HM_OK) {
        return HM_ENOMEM;
    }
    open_missing(to, from, missing);
    size_t at = 0;
    for (size_t i = 0; i < from->count; i++) {
        while (!origin_eq(&to->items[at].origin, &from->items[i].origin)) {
            at++;
        }
        int rc = merge_runs(to, &to->items[at], &from->items[i]);
        if (rc != HM_OK) {
            close_empty(to);
            return rc;
        }
    }
    return HM_OK;
}

int vector_copy(struct vector *to, const struct vector *from)
{
    struct vector copy;
    if (to == from) {
        return HM_OK;
    }
    vector_init(&copy);
    int rc = vector_merge(&copy, from);
    if (rc != HM_OK) {
        vector_fini(&copy);
        return rc;
    }
    vector_fini(to);
    *to = copy;
    return HM_OK;
}

/* --- differences */

void vector_diff_open(struct vector_diff *d, const struct vector *has, const struct vector *lacks)
{
    memset(d, 0, sizeof *d);
    d->has = has;
    d->lacks = lacks;
}

/* The next part of one origin's runs. False: no more of this origin. */
static bool diff_of_origin(struct vector_diff *d, const struct vector_origin *has,
                           const struct vector_origin *lacks, struct run *ret_run)
{
    for (; d->run < has->count; d->run++, d->from = 0) {
        const struct run *run = &has->runs[d->run];
        struct run part = {d->from > 0 ? d->from : run->first, run->last};
        size_t i = lacks == NULL ? 0 : run_at(lacks, part.first);
        if (lacks != NULL && i < lacks->count && lacks->runs[i].first <= part.first) {
            if (lacks->runs[i].last >= run->last) {
                continue;
            }
            part.first = lacks->runs[i].last + 1; /* runs do not touch: the next begins later */
            i++;
        }
        if (lacks != NULL && i < lacks->count && lacks->runs[i].first <= part.last) {
            part.last = lacks->runs[i].first - 1;
        }
        if (part.last == run->last) {
            d->run++;
            d->from = 0;
        } else {
            d->from = part.last + 1;
        }
        *ret_run = part;
        return true;
    }
    return false;
}

bool vector_diff_next(struct vector_diff *d, struct origin *ret_origin, struct run *ret_run)
{
    for (; d->origin < d->has->count; d->origin++, d->run = 0, d->from = 0) {
        const struct vector_origin *o = &d->has->items[d->origin];
        if (diff_of_origin(d, o, vector_find(d->lacks, &o->origin), ret_run)) {
            *ret_origin = o->origin;
            return true;
        }
    }
    return false;
}

int vector_lacking(struct vector *to, const struct vector *has, const struct vector *lacks,
                   size_t bytes_max, bool *ret_all)
{
    struct vector_diff d;
    struct origin origin;
    struct run run;
    int rc = HM_OK;
    *ret_all = true;
    vector_diff_open(&d, has, lacks);
    while (rc == HM_OK && vector_diff_next(&d, &origin, &run)) {
        *ret_all = (to->count + 1) * ORIGIN_TOLD_BYTES_MAX +
                       (to->run_count + 1) * RUN_TOLD_BYTES_MAX <= bytes_max;
        if (!*ret_all) {
            break;
        }
        rc = vector_add_run(to, &origin, run);
    }
    return rc;
}

/* --- what both have */

static int add_common(struct vector *to, const struct vector_origin *a, const struct vector_origin *b)
{
    size_t i = 0, j = 0;
    int rc = HM_OK;
    while (i < a->count && j < b->count && rc == HM_OK) {
        struct run run = {a->runs[i].first > b->runs[j].first ? a->runs[i].first : b->runs[j].first,
                          a->runs[i].last < b->runs[j].last ? a->runs[i].last : b->runs[j].last};
        if (run.first <= run.last) {
            rc = vector_add_run(to, &a->origin, run);
        }
        if (a->runs[i].last < b->runs[j].last) {
            i++;
        } else {
            j++;
        }
    }
    return rc;
}

int vector_intersect(struct vector *to, const struct vector *with)
{
    struct vector both;
    int rc = HM_OK;
    vector_init(&both);
    for (size_t i = 0; i < to->count && rc == HM_OK; i++) {
        const struct vector_origin *other = vector_find(with, &to->items[i].origin);
        if (other != NULL) {
            rc = add_common(&both, &to->items[i], other);
        }
    }
    if (rc == HM_OK) {
        struct vector before = *to;
        *to = both;
        both = before;
    }
    vector_fini(&both);
    return rc;
}

bool vector_intersects(const struct vector *a, const struct vector *b)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct vector_origin *one = &a->items[i];
        const struct vector_origin *other = vector_find(b, &one->origin);
        for (size_t j = 0; other != NULL && j < one->count; j++) {
            size_t at = run_at(other, one->runs[j].first);
            if (at < other->count && other->runs[at].first <= one->runs[j].last) {
                return true;
            }
        }
    }
    return false;
}
