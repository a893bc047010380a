/* SPDX-License-Identifier: MPL-2.0 */
/* Random orders of members: see order.h. */
#include "core/order.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

void order_fini(struct order *o)
{
    free(o->items);
    memset(o, 0, sizeof *o);
}

static void place(struct order *o, size_t i, struct member *m)
{
    o->items[i] = m;
    m->order_idx = i + 1;
}

static void swap(struct order *o, size_t i, size_t j)
{
    struct member *m = o->items[i];
    place(o, i, o->items[j]);
    place(o, j, m);
}

int order_insert(struct order *o, struct member *m, struct prng *prng)
{
    HM_ASSERT(m->order_idx == 0);
    if (o->count == o->room) {
        size_t room = o->room == 0 ? 8 : 2 * o->room;
        struct member **items = realloc(o->items, room * sizeof(*items));
        if (items == NULL) {
            return HM_ENOMEM;
        }
        o->items = items;
        o->room = room;
    }
    place(o, o->count++, m);
    /* Anywhere in what is left of this round, the current place included. */
    size_t i = o->next + (size_t) prng_below(prng, o->count - o->next);
    swap(o, i, o->count - 1);
    return HM_OK;
}

void order_remove(struct order *o, struct member *m)
{
    if (m->order_idx == 0) {
        return;
    }
    size_t i = m->order_idx - 1;
    if (i < o->next) {
        /* Fill the gap from the part already gone through, so that nobody is probed twice. */
        swap(o, i, o->next - 1);
        i = --o->next;
    }
    swap(o, i, o->count - 1);
    o->count--;
    m->order_idx = 0;
}

struct member *order_next(struct order *o, struct prng *prng)
{
    if (o->count == 0) {
        return NULL;
    }
    if (o->next >= o->count) {
        for (size_t i = o->count - 1; i > 0; i--) {
            swap(o, i, (size_t) prng_below(prng, i + 1));
        }
        o->next = 0;
    }
    return o->items[o->next++];
}

/* Reservoir sampling: exact, O(n). */
static size_t pick_exact(const struct order *o, struct prng *prng, size_t k,
                         bool (*is_wanted)(const struct member *m, const void *arg),
                         const void *arg, struct member **ret_members)
{
    size_t seen = 0;
    for (size_t i = 0; i < o->count; i++) {
        if (!is_wanted(o->items[i], arg)) {
            continue;
        }
        seen++;
        if (seen <= k) {
            ret_members[seen - 1] = o->items[i];
            continue;
        }
        size_t j = (size_t) prng_below(prng, seen);
        if (j < k) {
            ret_members[j] = o->items[i];
        }
    }
    return seen < k ? seen : k;
}

static bool is_among(struct member *const *members, size_t count, const struct member *m)
{
    for (size_t i = 0; i < count; i++) {
        if (members[i] == m) {
            return true;
        }
    }
    return false;
}

size_t order_pick(const struct order *o, struct prng *prng, size_t k,
                  bool (*is_wanted)(const struct member *m, const void *arg), const void *arg,
                  struct member **ret_members)
{
    HM_ASSERT(k <= ORDER_PICK_MAX);
    size_t found = 0;
    /* In a large order a few draws nearly always do; when they do not, everyone is looked at. */
    if (o->count >= 8 * k) {
        for (size_t tries = 0; tries < 4 * k && found < k; tries++) {
            struct member *m = o->items[prng_below(prng, o->count)];
            if (is_wanted(m, arg) && !is_among(ret_members, found, m)) {
                ret_members[found++] = m;
            }
        }
    }
    return found == k ? k : pick_exact(o, prng, k, is_wanted, arg, ret_members);
}
