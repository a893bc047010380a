/* SPDX-License-Identifier: MPL-2.0 */
/* The loop: descriptors and ZeroMQ sockets with their readers, timers, and one deadline.
 *
 * reactor_turn sleeps until something is ready or due, then serves what is ready in the order of
 * its class, datagrams first. A reader takes ONE message per call and says whether it took one;
 * the reactor calls it again until it says no, up to 256 times or 1 ms per turn, so no flood on
 * one socket delays the others. Strangers could bring a hundred sockets: when their time is up, the
 * next turn goes on with the next of them. Deadlines round up to milliseconds if they are further away than one, never down to a
 * spin. Readers may add and remove anything, themselves included, and may use the sockets that were added with their
 * own context; whoever uses another one says so with reactor_touched. Why
 * not zloop: docs/decisions/0001-own-poll-loop.md. One thread. */
#ifndef HM_IO_REACTOR_H
#define HM_IO_REACTOR_H

#include "base/heap.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct reactor reactor_t;

/* Served in this order. */
enum reactor_class {
    REACTOR_SIGNALS,   /* the process is told to stop */
    REACTOR_DATAGRAMS, /* probes: their delay is what others judge us by */
    REACTOR_LINKS,
    REACTOR_REST,      /* store, beacons */
    REACTOR_CLIENTS,   /* local programs; together they get 1 ms per turn */
    REACTOR_STRANGERS, /* connections that anyone may open; together they get another */
    REACTOR_CLASSES,
};

#define REACTOR_READ 1u  /* errors and hang-ups count too, so that a reader notices them */
#define REACTOR_WRITE 2u /* for descriptors only */

/* Takes one message (or handles one condition) and returns true, or returns false if there is
 * none: then, of a socket, the last thing that was done with it was to find that out. */
typedef bool reactor_read_fn(void *ctx);

struct reactor_timer {
    struct timer timer;      /* the reactor's */
    void (*fire)(void *ctx); /* set by the owner; may arm it again */
    void *ctx;
};

reactor_t *reactor_new(void); /* NULL: out of memory, or of descriptors */
void reactor_destroy(reactor_t **p);

/* HM_ENOMEM, also when the descriptor is there already. The descriptor or socket is borrowed: remove it before closing it. Sockets are
 * ZeroMQ's. */
int reactor_add_fd(reactor_t *r, int fd, unsigned want, enum reactor_class cls,
                   reactor_read_fn *read, void *ctx);
int reactor_add_socket(reactor_t *r, void *zmq_socket, enum reactor_class cls,
                       reactor_read_fn *read, void *ctx);
/* From now on it waits for this; and its reader is called in the next turn, whatever comes. Unknown ones are ignored. */
void reactor_change_fd(reactor_t *r, int fd, unsigned want);
/* Something was done with a socket that was added with this context, outside of its reader: sent, for one. Its
 * descriptor may stay still now though something has come, so it will be asked. */
void reactor_touched(reactor_t *r, const void *ctx);
/* Unknown ones are ignored. */
void reactor_remove_fd(reactor_t *r, int fd);
void reactor_remove_socket(reactor_t *r, void *zmq_socket);

/* Arms or moves; at_ns on the boot clock. The timer must start zeroed and is borrowed until it
 * fired or was disarmed. HM_ENOMEM. */
int reactor_timer_arm(reactor_t *r, struct reactor_timer *t, uint64_t at_ns);
void reactor_timer_disarm(reactor_t *r, struct reactor_timer *t);

/* Called at once when the loop was held up by 100 ms or more: woken that late after its deadline,
 * or kept that long by readers and timers. */
void reactor_on_stall(reactor_t *r, void (*stalled)(void *ctx, uint64_t ms), void *ctx);

/* One turn: sleeps until deadline_ns (TIMER_NEVER: no deadline of the caller's), a timer, or
 * something ready; serves it. HM_EIO: waiting itself failed. */
int reactor_turn(reactor_t *r, uint64_t deadline_ns);

/* The boot clock as read when the turn woke up, refreshed after each reader's turn. */
uint64_t reactor_now_ns(const reactor_t *r);
/* How often the loop slept and woke up. */
uint64_t reactor_wakeups(const reactor_t *r);

#endif
