/* SPDX-License-Identifier: MPL-2.0 */
/* The loop: see reactor.h.
 *
 * A ZeroMQ socket's descriptor is edge-triggered and any call on the socket may swallow the edge. So one that was
 * asked for its state and had nothing is left alone until its descriptor stirs or something is done with it; before
 * each sleep only the others are asked. zmq_poll asks all of them twice. Each question is two system calls, and
 * this loop's cost is what an idle node costs. Items added in a turn take part from the next one; removed ones are
 * freed then. */
#define _GNU_SOURCE
#include "io/reactor.h"

#include "base/err.h"
#include "config.h"
#include "io/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#define TURN_MESSAGES_MAX 256 /* of one item in one turn: architecture, "drivers" */
#define TURN_NS_MAX NS_PER_MS
#define TIMERS_PER_TURN_MAX 256 /* a timer that arms itself anew at once must not starve us */
#define STALL_MS_MIN 100        /* shorter delays are the scheduler's daily business */
#define EVENTS_MAX 256          /* taken at once; more come in the next turn */
#define SLEEP_NS_MAX (3600 * (uint64_t) 1000000000)

struct item {
    int fd;       /* to wait for; a socket's ZMQ_FD */
    void *socket; /* NULL: a plain descriptor */
    unsigned want;
    enum reactor_class cls;
    reactor_read_fn *read;
    void *ctx;
    bool ready;
    bool is_hot; /* its reader was not done when its time was up */
    bool is_quiet; /* a socket that had nothing when it was asked, and was not touched since */
    bool dead; /* removed, freed at the next turn */
};

struct reactor {
    int epoll_fd;
    bool has_no_ns; /* the kernel, or who guards it, knows whole milliseconds only */
    struct item **items; /* by class once tidy */
    size_t count;
    size_t room;
    bool tidy;
    size_t next[REACTOR_CLASSES]; /* of a class that shares its time: the one to begin with */
    struct timer_heap timers;
    void (*stalled)(void *ctx, uint64_t ms);
    void *stalled_ctx;
    uint64_t now_ns;
    uint64_t woke_ns; /* 0: has not slept yet */
    uint64_t wakeups;
};

reactor_t *reactor_new(void)
{
    reactor_t *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    timer_heap_init(&r->timers);
    r->now_ns = clock_boot_ns();
    r->tidy = true;
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (r->epoll_fd < 0) {
        reactor_destroy(&r);
    }
    return r;
}

void reactor_destroy(reactor_t **p)
{
    if (*p == NULL) {
        return;
    }
    for (size_t i = 0; i < (*p)->count; i++) {
        free((*p)->items[i]);
    }
    free((*p)->items);
    if ((*p)->epoll_fd >= 0) {
        close((*p)->epoll_fd);
    }
    timer_heap_fini(&(*p)->timers);
    free(*p);
    *p = NULL;
}

static int make_room(reactor_t *r)
{
    if (r->count < r->room) {
        return HM_OK;
    }
    size_t room = r->room == 0 ? 32 : r->room * 2;
    struct item **items = realloc(r->items, room * sizeof *items);
    if (items == NULL) {
        return HM_ENOMEM;
    }
    r->items = items;
    r->room = room;
    return HM_OK;
}

static int watch(const reactor_t *r, int what, struct item *item)
{
    struct epoll_event event = {.events = ((item->want & REACTOR_READ) != 0 ? EPOLLIN : 0u) |
                                          ((item->want & REACTOR_WRITE) != 0 ? EPOLLOUT : 0u),
                                .data.ptr = item};
    return epoll_ctl(r->epoll_fd, what, item->fd, &event) == 0 ? HM_OK : HM_ENOMEM;
}

static int add(reactor_t *r, const struct item *what)
{
    HM_ASSERT(what->fd >= 0 && what->read != NULL);
    if (make_room(r) != HM_OK) {
        return HM_ENOMEM;
    }
    struct item *item = malloc(sizeof *item);
    if (item == NULL) {
        return HM_ENOMEM;
    }
    *item = *what;
    if (watch(r, EPOLL_CTL_ADD, item) != HM_OK) {
        free(item);
        return HM_ENOMEM;
    }
    r->items[r->count++] = item;
    r->tidy = false;
    return HM_OK;
}

int reactor_add_fd(reactor_t *r, int fd, unsigned want, enum reactor_class cls,
                   reactor_read_fn *read, void *ctx)
{
    struct item item = {.fd = fd, .want = want, .cls = cls, .read = read, .ctx = ctx};
    return add(r, &item);
}

int reactor_add_socket(reactor_t *r, void *zmq_socket, enum reactor_class cls,
                       reactor_read_fn *read, void *ctx)
{
    struct item item = {
        .fd = -1, .socket = zmq_socket, .want = REACTOR_READ, .cls = cls, .read = read, .ctx = ctx};
    size_t size = sizeof item.fd;
    if (zmq_getsockopt(zmq_socket, ZMQ_FD, &item.fd, &size) != 0) {
        return HM_ENOMEM;
    }
    return add(r, &item);
}

void reactor_change_fd(reactor_t *r, int fd, unsigned want)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->items[i]->socket == NULL && r->items[i]->fd == fd && !r->items[i]->dead) {
            r->items[i]->want = want;
            r->items[i]->is_hot = true;
            (void) watch(r, EPOLL_CTL_MOD, r->items[i]); /* needs no memory */
        }
    }
}

static void remove_item(reactor_t *r, int fd, const void *zmq_socket)
{
    for (size_t i = 0; i < r->count; i++) {
        struct item *item = r->items[i];
        if (!item->dead && item->socket == zmq_socket && (zmq_socket != NULL || item->fd == fd)) {
            item->dead = true;
            r->tidy = false;
            (void) epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, item->fd, NULL);
        }
    }
}

void reactor_remove_fd(reactor_t *r, int fd)
{
    remove_item(r, fd, NULL);
}

void reactor_remove_socket(reactor_t *r, void *zmq_socket)
{
    remove_item(r, -1, zmq_socket);
}

static void fire_timer(reactor_t *r)
{
    struct timer *timer = timer_take_due(&r->timers, r->now_ns);
    struct reactor_timer *t = timer->owner;
    t->fire(t->ctx);
}

int reactor_timer_arm(reactor_t *r, struct reactor_timer *t, uint64_t at_ns)
{
    t->timer.owner = t;
    return timer_arm(&r->timers, &t->timer, at_ns);
}

void reactor_timer_disarm(reactor_t *r, struct reactor_timer *t)
{
    timer_disarm(&r->timers, &t->timer);
}

void reactor_on_stall(reactor_t *r, void (*stalled)(void *ctx, uint64_t ms), void *ctx)
{
    r->stalled = stalled;
    r->stalled_ctx = ctx;
}

uint64_t reactor_now_ns(const reactor_t *r)
{
    return r->now_ns;
}

uint64_t reactor_wakeups(const reactor_t *r)
{
    return r->wakeups;
}

/* Drops removed items and sorts the others by class, oldest first. */
static void tidy(reactor_t *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        struct item *item = r->items[i];
        if (item->dead) {
            free(item);
            continue;
        }
        size_t at = kept++;
        for (; at > 0 && r->items[at - 1]->cls > item->cls; at--) {
            r->items[at] = r->items[at - 1];
        }
        r->items[at] = item;
    }
    r->count = kept;
    r->tidy = true;
}

void reactor_touched(reactor_t *r, const void *ctx)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->items[i]->ctx == ctx) {
            r->items[i]->is_quiet = false;
        }
    }
}

static void ask_socket(struct item *item)
{
    int events = 0;
    size_t size = sizeof events;
    /* A failure (the context is going down) shows at the read. */
    item->ready = zmq_getsockopt(item->socket, ZMQ_EVENTS, &events, &size) != 0 ||
                  (events & ZMQ_POLLIN) != 0;
    item->is_quiet = !item->ready;
}

/* Asks the sockets that need it; true if something is ready already. */
static bool prepare(reactor_t *r)
{
    bool any = false;
    for (size_t i = 0; i < r->count; i++) {
        struct item *item = r->items[i];
        item->ready = item->is_hot;
        if (item->socket != NULL && !item->is_quiet && !item->dead) {
            ask_socket(item);
        }
        any = any || item->ready;
    }
    return any;
}

static void report_stall(reactor_t *r, uint64_t late_ns)
{
    if (late_ns >= STALL_MS_MIN * NS_PER_MS && r->stalled != NULL) {
        r->stalled(r->stalled_ctx, late_ns / NS_PER_MS);
    }
}

/* Whole milliseconds, so that what is due about the same time shares a wake-up; but who wants less gets it. */
static uint64_t sleep_ns(uint64_t now_ns, uint64_t until_ns)
{
    if (until_ns <= now_ns) {
        return 0;
    }
    if (until_ns == TIMER_NEVER) {
        return TIMER_NEVER;
    }
    uint64_t ns = until_ns - now_ns;
    if (ns > NS_PER_MS) {
        ns = (ns + NS_PER_MS - 1) / NS_PER_MS * NS_PER_MS;
    }
    return ns > SLEEP_NS_MAX ? SLEEP_NS_MAX : ns;
}

/* The number of events; -1 with errno. sleep TIMER_NEVER: until there is one. */
static int sleep_for(reactor_t *r, struct epoll_event *events, uint64_t sleep)
{
#ifdef HAVE_EPOLL_PWAIT2 /* glibc 2.35 */
    if (!r->has_no_ns) {
        struct timespec ts = {(time_t) (sleep / NS_PER_S), (long) (sleep % NS_PER_S)};
        int n = epoll_pwait2(r->epoll_fd, events, EVENTS_MAX, sleep == TIMER_NEVER ? NULL : &ts, NULL);
        /* ENOSYS: before Linux 5.11. EPERM: so filters of system calls answer to what they do not know. */
        r->has_no_ns = n < 0 && (errno == ENOSYS || errno == EPERM);
        if (!r->has_no_ns) {
            return n;
        }
    }
#endif
    uint64_t ms = (sleep + NS_PER_MS - 1) / NS_PER_MS;
    return epoll_wait(r->epoll_fd, events, EVENTS_MAX, sleep == TIMER_NEVER ? -1 : (int) ms);
}

/* Sleeps and marks what is ready. */
static int wait_ready(reactor_t *r, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    bool any = prepare(r);
    uint64_t sleep = any ? 0 : sleep_ns(r->now_ns, until_ns);
    int n = sleep_for(r, events, sleep);
    if (n < 0 && errno != EINTR) {
        return HM_EIO;
    }
    uint64_t before_ns = r->now_ns;
    r->now_ns = clock_boot_ns();
    r->woke_ns = r->now_ns;
    r->wakeups += sleep != 0;
    for (int i = 0; i < n; i++) {
        struct item *item = events[i].data.ptr;
        item->ready = true; /* a socket: perhaps. Its reader finds out for the price of the question */
    }
    if (sleep != TIMER_NEVER) {
        uint64_t due_ns = before_ns + sleep;
        report_stall(r, r->now_ns > due_ns ? r->now_ns - due_ns : 0);
    }
    return HM_OK;
}

static void serve(reactor_t *r, struct item *item)
{
    uint64_t end_ns = r->now_ns + TURN_NS_MAX;
    item->is_hot = true;
    for (unsigned n = 0; n < TURN_MESSAGES_MAX && !item->dead && r->now_ns < end_ns; n++) {
        item->is_hot = item->read(item->ctx);
        r->now_ns = clock_boot_ns();
        if (!item->is_hot) {
            break;
        }
    }
    if (item->socket != NULL) {
        reactor_touched(r, item->ctx); /* a reader may use several */
        item->is_quiet = !item->is_hot;
    }
}

/* Those of a class that anyone, or any program, may add to: when their time is up, the next turn goes on with the next. */
static void serve_in_turns(reactor_t *r, enum reactor_class cls, size_t first, size_t count)
{
    uint64_t end_ns = r->now_ns + TURN_NS_MAX;
    size_t begin = r->next[cls];
    for (size_t i = 0; i < count && r->now_ns < end_ns; i++) {
        struct item *item = r->items[first + (begin + i) % count];
        if (item->ready && !item->dead) {
            serve(r, item);
            r->next[cls] = (begin + i + 1) % count;
        }
    }
}

/* Readers may add items, which come behind `count`, and remove some, which stay until tidied. */
static void serve_ready(reactor_t *r)
{
    size_t count = r->count;
    size_t i = 0;
    while (i < count) {
        enum reactor_class cls = r->items[i]->cls;
        size_t first = i;
        while (i < count && r->items[i]->cls == cls) {
            i++;
        }
        if (cls >= REACTOR_CLIENTS) {
            serve_in_turns(r, cls, first, i - first);
            continue;
        }
        for (size_t k = first; k < i; k++) {
            if (r->items[k]->ready && !r->items[k]->dead) {
                serve(r, r->items[k]);
            }
        }
    }
}

int reactor_turn(reactor_t *r, uint64_t deadline_ns)
{
    if (!r->tidy) {
        tidy(r);
    }
    r->now_ns = clock_boot_ns();
    uint64_t until_ns = timer_first_ns(&r->timers);
    until_ns = deadline_ns < until_ns ? deadline_ns : until_ns;
    if (r->woke_ns != 0 && r->now_ns - r->woke_ns >= STALL_MS_MIN * NS_PER_MS) {
        report_stall(r, r->now_ns - r->woke_ns);
        until_ns = 0; /* the deadline we were given may have moved */
    }
    int rc = wait_ready(r, until_ns);
    if (rc != HM_OK) {
        return rc;
    }
    serve_ready(r);
    for (unsigned n = 0; n < TIMERS_PER_TURN_MAX && timer_first_ns(&r->timers) <= r->now_ns; n++) {
        fire_timer(r);
    }
    return HM_OK;
}
