/* SPDX-License-Identifier: MPL-2.0 */
/* Plans: see plan.h. */
#include "sim/plan.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

#define PLAN_PRNG 0x6661756c7473U /* changing it changes every seed's run */

void plan_init(struct plan *p, uint64_t seed, unsigned nodes)
{
    memset(p, 0, sizeof *p);
    p->seed = seed;
    p->nodes = nodes;
    prng_init(&p->prng, prng_mix(seed ^ PLAN_PRNG));
}

void plan_fini(struct plan *p)
{
    free(p->faults);
    free(p->sides);
    free(p->paths);
    free(p->expects);
    free(p->loads);
    memset(p, 0, sizeof *p);
}

/* Room for one more; the new item is zeroed. */
static void *grow(void **items, size_t *count, size_t *room, size_t size)
{
    if (*count == *room) {
        *room = *room == 0 ? 8 : 2 * *room;
        *items = realloc(*items, *room * size);
        HM_ASSERT(*items != NULL);
    }
    void *item = (char *) *items + *count * size;
    memset(item, 0, size);
    (*count)++;
    return item;
}

static void *copy_of(const void *items, size_t count, size_t size)
{
    if (count == 0) {
        return NULL;
    }
    void *copy = malloc(count * size);
    HM_ASSERT(copy != NULL);
    memcpy(copy, items, count * size);
    return copy;
}

void plan_copy(struct plan *ret_copy, const struct plan *p)
{
    *ret_copy = *p;
    ret_copy->faults = copy_of(p->faults, p->fault_count, sizeof *p->faults);
    ret_copy->sides = copy_of(p->sides, p->side_count, sizeof *p->sides);
    ret_copy->paths = copy_of(p->paths, p->path_count, sizeof *p->paths);
    ret_copy->expects = copy_of(p->expects, p->expect_count, sizeof *p->expects);
    ret_copy->loads = copy_of(p->loads, p->load_count, sizeof *p->loads);
    ret_copy->load_room = p->load_count;
    ret_copy->fault_room = p->fault_count;
    ret_copy->side_room = p->side_count;
    ret_copy->path_room = p->path_count;
    ret_copy->expect_room = p->expect_count;
}

void plan_calm_from(struct plan *p, uint64_t at_ns)
{
    if (at_ns > p->calm_ns) {
        p->calm_ns = at_ns;
    }
}

uint64_t plan_fault_end_ns(const struct plan_fault *f)
{
    if (f->every_ns > 0) {
        return f->until_ns;
    }
    if (f->kind == FAULT_STALL || f->kind == FAULT_SLEEP) {
        return f->at_ns + f->arg;
    }
    if (f->kind == FAULT_FORGE) {
        return f->arg;
    }
    return f->kind == FAULT_EXPECT ? 0 : f->at_ns;
}

struct plan_fault *plan_at(struct plan *p, uint64_t at_ns, enum fault_kind kind, unsigned a,
                           unsigned b, uint64_t arg)
{
    struct plan_fault *f =
        grow((void **) &p->faults, &p->fault_count, &p->fault_room, sizeof *p->faults);
    f->at_ns = at_ns;
    f->kind = kind;
    f->a = a;
    f->b = b;
    f->arg = arg;
    plan_calm_from(p, plan_fault_end_ns(f));
    return f;
}

struct plan_fault *plan_repeat(struct plan *p, uint64_t from_ns, uint64_t until_ns,
                               uint64_t every_ns, enum fault_kind kind, unsigned a, unsigned b)
{
    struct plan_fault *f = plan_at(p, from_ns, kind, a, b, 0);
    f->every_ns = every_ns;
    f->until_ns = until_ns;
    plan_calm_from(p, until_ns);
    return f;
}

struct plan_sides *plan_add_sides(struct plan *p, uint64_t *ret_idx)
{
    *ret_idx = p->side_count;
    return grow((void **) &p->sides, &p->side_count, &p->side_room, sizeof *p->sides);
}

struct path_conf *plan_add_path(struct plan *p, uint64_t *ret_idx)
{
    *ret_idx = p->path_count;
    return grow((void **) &p->paths, &p->path_count, &p->path_room, sizeof *p->paths);
}

struct plan_load *plan_add_load(struct plan *p, uint64_t *ret_idx)
{
    *ret_idx = p->load_count;
    return grow((void **) &p->loads, &p->load_count, &p->load_room, sizeof *p->loads);
}

struct expect *plan_add_expect(struct plan *p, enum expect_kind kind)
{
    struct expect *e =
        grow((void **) &p->expects, &p->expect_count, &p->expect_room, sizeof *p->expects);
    e->kind = kind;
    return e;
}

void node_set_add(struct node_set *s, unsigned node)
{
    s->bits[node / 64] |= 1ULL << (node % 64);
}

bool node_set_has(const struct node_set *s, unsigned node)
{
    return (s->bits[node / 64] >> (node % 64) & 1) != 0;
}

void node_set_all(struct node_set *s, unsigned count)
{
    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < count; i++) {
        node_set_add(s, i);
    }
}
