/* SPDX-License-Identifier: MPL-2.0 */
/* Timers: a binary heap of embedded timers, so arming, moving and disarming cost O(log n) and never
 * allocate once the heap has grown. Timers due at the same moment fire in the order they were armed.
 * The heap borrows the timers; each must be disarmed before its memory goes. */
#ifndef HM_BASE_HEAP_H
#define HM_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

struct timer {
    uint64_t at_ns;
    uint64_t order;  /* set when armed: ties fire first armed first */
    size_t idx;      /* place in the heap plus one; 0: not armed */
    unsigned kind;   /* owner's business */
    void *owner;     /* owner's business */
};

struct timer_heap {
    struct timer **items;
    size_t count;
    size_t room;
    uint64_t next_order;
};

void timer_heap_init(struct timer_heap *h);
void timer_heap_fini(struct timer_heap *h);
/* Arms or moves. HM_ENOMEM if the heap cannot grow (then it is not armed). */
int timer_arm(struct timer_heap *h, struct timer *t, uint64_t at_ns);
void timer_disarm(struct timer_heap *h, struct timer *t);
bool timer_is_armed(const struct timer *t);
/* When the first is due, TIMER_NEVER if none is armed. */
uint64_t timer_first_ns(const struct timer_heap *h);
/* Takes the first timer that is due at now_ns off the heap, or NULL. */
struct timer *timer_take_due(struct timer_heap *h, uint64_t now_ns);

#endif
