/* SPDX-License-Identifier: MPL-2.0 */
/* A channel between threads: see channel.h.
 *
 * The messages lie in an array under a lock that is held for a copy only. The receiver is woken by an eventfd: once, until
 * it has looked and found nothing. So who puts ten costs one wake-up, and who takes while more come is not woken at all.
 *
 * That no wake-up is lost hangs on the order in which the receiver looks: it empties the eventfd, then, under the lock,
 * says that it wants to be woken and looks once more. What was put before that is seen by the look; what is put after
 * it writes to the eventfd. */
#define _GNU_SOURCE
#include "io/channel.h"

#include "base/err.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ROOM_FIRST 16
#define MEMORY_AGAIN_NS 10000000

struct channel {
    size_t message_bytes;
    int fd;
    pthread_mutex_t lock;
    bool is_woken; /* since the receiver looked last */
    uint8_t *messages;
    size_t room, first, count;
};

channel_t *channel_new(size_t message_bytes)
{
    channel_t *ch = calloc(1, sizeof *ch);
    if (ch == NULL) {
        return NULL;
    }
    ch->message_bytes = message_bytes;
    ch->room = ROOM_FIRST;
    ch->messages = malloc(ch->room * message_bytes);
    ch->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&ch->lock, NULL); /* of the default kind: cannot fail on Linux */
    if (ch->messages == NULL || ch->fd < 0) {
        channel_destroy(&ch);
    }
    return ch;
}

void channel_destroy(channel_t **p)
{
    channel_t *ch = *p;
    if (ch == NULL) {
        return;
    }
    if (ch->fd >= 0) {
        close(ch->fd);
    }
    pthread_mutex_destroy(&ch->lock);
    free(ch->messages);
    free(ch);
    *p = NULL;
}

int channel_fd(const channel_t *ch)
{
    return ch->fd;
}

static uint8_t *at(const channel_t *ch, size_t i)
{
    return ch->messages + (ch->first + i) * ch->message_bytes;
}

/* ---- putting --------------------------------------------------------------------------------- */

/* Room behind the last one: what is free in front is used when it is half of all, so that moving costs little. */
static bool make_room(channel_t *ch)
{
    if (ch->first + ch->count < ch->room) {
        return true;
    }
    if (ch->first >= ch->room / 2) {
        memmove(ch->messages, at(ch, 0), ch->count * ch->message_bytes);
        ch->first = 0;
        return true;
    }
    uint8_t *messages = realloc(ch->messages, 2 * ch->room * ch->message_bytes);
    if (messages == NULL) {
        return false;
    }
    ch->messages = messages;
    ch->room *= 2;
    return true;
}

/* True: the receiver is to be woken. */
static bool append(channel_t *ch, const void *message, bool *ret_is_done)
{
    pthread_mutex_lock(&ch->lock);
    bool is_to_wake = false;
    *ret_is_done = make_room(ch);
    if (*ret_is_done) {
        memcpy(at(ch, ch->count), message, ch->message_bytes);
        ch->count++;
        is_to_wake = !ch->is_woken;
        ch->is_woken = true;
    }
    pthread_mutex_unlock(&ch->lock);
    return is_to_wake;
}

static void wake(const channel_t *ch)
{
    const uint64_t one = 1;
    while (write(ch->fd, &one, sizeof one) < 0) {
        HM_ASSERT(errno == EINTR); /* it is emptied long before it is full */
    }
}

void channel_put(channel_t *ch, const void *message)
{
    const struct timespec a_while = {.tv_nsec = MEMORY_AGAIN_NS};
    bool is_done = false;
    for (;;) {
        if (append(ch, message, &is_done)) {
            wake(ch);
        }
        if (is_done) {
            return;
        }
        nanosleep(&a_while, NULL);
    }
}

/* ---- taking ---------------------------------------------------------------------------------- */

static bool remove_wanted(channel_t *ch, bool (*is_wanted)(const void *message), void *ret_message)
{
    size_t i = 0;
    while (i < ch->count && is_wanted != NULL && !is_wanted(at(ch, i))) {
        i++;
    }
    if (i == ch->count) {
        return false;
    }
    memcpy(ret_message, at(ch, i), ch->message_bytes);
    memmove(at(ch, 1), at(ch, 0), i * ch->message_bytes);
    ch->first++;
    ch->count--;
    if (ch->count == 0) {
        ch->first = 0; /* most of the time: then only the first ones are ever touched */
    }
    return true;
}

static bool look(channel_t *ch, bool is_last_look, bool (*is_wanted)(const void *message), void *ret_message)
{
    pthread_mutex_lock(&ch->lock);
    if (is_last_look) {
        ch->is_woken = false;
    }
    bool is_there = remove_wanted(ch, is_wanted, ret_message);
    pthread_mutex_unlock(&ch->lock);
    return is_there;
}

bool channel_take_wanted(channel_t *ch, bool (*is_wanted)(const void *message), void *ret_message)
{
    uint64_t count;
    if (look(ch, false, is_wanted, ret_message)) {
        return true;
    }
    while (read(ch->fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
    return look(ch, true, is_wanted, ret_message);
}

bool channel_take(channel_t *ch, void *ret_message)
{
    return channel_take_wanted(ch, NULL, ret_message);
}

void channel_stir(channel_t *ch)
{
    pthread_mutex_lock(&ch->lock);
    bool is_to_wake = ch->count > 0 && !ch->is_woken;
    ch->is_woken |= is_to_wake;
    pthread_mutex_unlock(&ch->lock);
    if (is_to_wake) {
        wake(ch);
    }
}

void channel_wait(const channel_t *ch, int timeout_ms)
{
    struct pollfd item = {.fd = ch->fd, .events = POLLIN};
    (void) poll(&item, 1, timeout_ms); /* a signal: may have come */
}
