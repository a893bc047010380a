/* SPDX-License-Identifier: MPL-2.0 */
/* A set of dots as runs of sequence numbers per origin: a version vector with exceptions. A gap
 * costs one run and nothing is claimed across it. Origins are sorted; runs of an origin are sorted and
 * never touch each other. */
#ifndef HM_CORE_VECTOR_H
#define HM_CORE_VECTOR_H

#include "base/buf.h"
#include "base/dot.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct run {
    uint64_t first, last; /* both in it; first >= 1 */
};

struct vector_origin {
    struct origin origin;
    struct run *runs;
    size_t count, room;
};

struct vector {
    struct vector_origin *items;
    size_t count, room;
    size_t run_count; /* of all origins */
};

void vector_init(struct vector *v);
void vector_fini(struct vector *v);
void vector_clear(struct vector *v);
/* HM_ENOMEM, HM_EFULL: to is as before. */
int vector_copy(struct vector *to, const struct vector *from);

bool vector_has(const struct vector *v, const struct dot *dot);
/* NULL: it has nothing of this origin. Borrowed until the next change. */
const struct vector_origin *vector_find(const struct vector *v, const struct origin *origin);
/* HM_ENOMEM; HM_EFULL: it would have more than HM_VECTOR_ORIGINS_MAX origins or
 * HM_VECTOR_RUNS_MAX runs, which nobody would read; HM_EINVAL: sequence 0, or a run that ends before
 * it begins. Nothing changed then. */
int vector_add(struct vector *v, const struct dot *dot);
int vector_add_run(struct vector *v, const struct origin *origin, struct run run);
/* All of `from` too. HM_ENOMEM, HM_EFULL: some of it may have been added. */
int vector_merge(struct vector *to, const struct vector *from);
/* Leaves what both have. HM_ENOMEM: to is as before. */
int vector_intersect(struct vector *to, const struct vector *with);
bool vector_intersects(const struct vector *a, const struct vector *b);
/* a has all that b has. */
bool vector_covers(const struct vector *a, const struct vector *b);
bool vector_eq(const struct vector *a, const struct vector *b);
size_t vector_runs(const struct vector *v);

/* Walks what `has` has and `lacks` does not, run by run, in order. Both must not change meanwhile. */
struct vector_diff {
    const struct vector *has, *lacks;
    size_t origin;      /* index in has */
    size_t run;         /* of that origin */
    uint64_t from;      /* within that run; 0: from its beginning */
};
void vector_diff_open(struct vector_diff *d, const struct vector *has, const struct vector *lacks);
/* False behind the last. */
bool vector_diff_next(struct vector_diff *d, struct origin *ret_origin, struct run *ret_run);

/* Adds to `to` what `has` has and `lacks` does not: as much of it as surely takes at most so many bytes
 * when `to`, empty before, is written. ret_all: that was all. HM_ENOMEM, HM_EFULL. */
int vector_lacking(struct vector *to, const struct vector *has, const struct vector *lacks,
                   size_t bytes_max, bool *ret_all);

/* Bytes between nodes and on disk:
 *     vector  [ [node, boots, random, runs, …], … ]     sorted
 *     runs    [ first, length - 1, gap, length - 1, … ] each gap counts from behind the run before
 * One set of dots has one form in bytes. Reading skips trailing fields of newer versions and refuses
 * what is not sorted, touches, overflows, has an origin without runs, or more than
 * HM_VECTOR_ORIGINS_MAX origins or HM_VECTOR_RUNS_MAX runs in all. HM_EMALFORMED, HM_ENOMEM; to is
 * then empty. */
void vector_write(struct buf *b, const struct vector *v);
int vector_read(struct span bytes, struct vector *to);
/* The same of one origin's runs, for the store. Adds to v. HM_EMALFORMED, HM_ENOMEM, HM_EFULL: v is
 * as before. */
void vector_runs_write(struct buf *b, const struct vector_origin *o);
int vector_runs_read(struct span bytes, const struct origin *origin, struct vector *v);

#endif
