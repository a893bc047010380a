/* SPDX-License-Identifier: MPL-2.0 */
/* Timers on a binary heap: see heap.h. */
#include "base/heap.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

void timer_heap_init(struct timer_heap *h)
{
    memset(h, 0, sizeof *h);
}

void timer_heap_fini(struct timer_heap *h)
{
    free(h->items);
    memset(h, 0, sizeof *h);
}

static bool is_before(const struct timer *a, const struct timer *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void place(struct timer_heap *h, size_t i, struct timer *t)
{
    h->items[i] = t;
    t->idx = i + 1;
}

static void sift_up(struct timer_heap *h, size_t i)
{
    struct timer *t = h->items[i];
    while (i > 0 && is_before(t, h->items[(i - 1) / 2])) {
        place(h, i, h->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, t);
}

static void sift_down(struct timer_heap *h, size_t i)
{
    struct timer *t = h->items[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && is_before(h->items[child + 1], h->items[child])) {
            child++;
        }
        if (!is_before(h->items[child], t)) {
            break;
        }
        place(h, i, h->items[child]);
        i = child;
    }
    place(h, i, t);
}

int timer_arm(struct timer_heap *h, struct timer *t, uint64_t at_ns)
{
    if (t->idx == 0) {
        if (h->count == h->room) {
            size_t room = h->room == 0 ? 16 : 2 * h->room;
            struct timer **items = realloc(h->items, room * sizeof *items);
            if (items == NULL) {
                return HM_ENOMEM;
            }
            h->items = items;
            h->room = room;
        }
        place(h, h->count++, t);
    }
    t->at_ns = at_ns;
    t->order = h->next_order++;
    sift_up(h, t->idx - 1);
    sift_down(h, t->idx - 1);
    return HM_OK;
}

void timer_disarm(struct timer_heap *h, struct timer *t)
{
    if (t->idx == 0) {
        return;
    }
    size_t i = t->idx - 1;
    t->idx = 0;
    struct timer *last = h->items[--h->count];
    if (last != t) {
        place(h, i, last);
        sift_up(h, i);
        sift_down(h, last->idx - 1);
    }
}

bool timer_is_armed(const struct timer *t)
{
    return t->idx != 0;
}

uint64_t timer_first_ns(const struct timer_heap *h)
{
    return h->count == 0 ? TIMER_NEVER : h->items[0]->at_ns;
}

struct timer *timer_take_due(struct timer_heap *h, uint64_t now_ns)
{
    if (h->count == 0 || h->items[0]->at_ns > now_ns) {
        return NULL;
    }
    struct timer *t = h->items[0];
    timer_disarm(h, t);
    return t;
}
