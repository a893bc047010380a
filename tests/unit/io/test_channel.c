/* SPDX-License-Identifier: MPL-2.0 */
/* Messages between threads: in order, none lost, and nobody sleeps while one waits. */
#include "../unit.h"

#include "io/channel.h"

#include <poll.h>
#include <pthread.h>

#define WAIT_MS 20000
#define SENDERS 3
#define EACH 20000

struct message {
    unsigned sender, number;
    char more[40];
};

static bool is_readable(const channel_t *ch, int timeout_ms)
{
    struct pollfd item = {.fd = channel_fd(ch), .events = POLLIN};
    return poll(&item, 1, timeout_ms) == 1;
}

static void put(channel_t *ch, unsigned sender, unsigned number)
{
    channel_put(ch, &(struct message){.sender = sender, .number = number});
}

static unsigned take(channel_t *ch)
{
    struct message m;
    assert_true(channel_take(ch, &m));
    return m.number;
}

static void comes_in_order_and_says_so(void **state)
{
    (void) state;
    struct message m;
    channel_t *ch = channel_new(sizeof m);
    assert_false(is_readable(ch, 0));
    assert_false(channel_take(ch, &m));
    put(ch, 0, 1);
    assert_true(is_readable(ch, 0));
    put(ch, 0, 2);
    assert_int_equal(take(ch), 1);
    put(ch, 0, 3);
    assert_int_equal(take(ch), 2);
    assert_int_equal(take(ch), 3);
    assert_false(channel_take(ch, &m));
    assert_false(is_readable(ch, 0));
    put(ch, 0, 4);
    assert_true(is_readable(ch, 0));
    assert_int_equal(take(ch), 4);
    channel_destroy(&ch);
    assert_null(ch);
}

/* Grown while it is half empty in front, emptied, filled again. */
static void holds_as_many_as_there_are(void **state)
{
    (void) state;
    channel_t *ch = channel_new(sizeof(struct message));
    unsigned in = 0, out = 0;
    for (unsigned round = 0; round < 3; round++) {
        while (in - out < 5000) {
            put(ch, 0, in++);
            put(ch, 0, in++);
            put(ch, 0, in++);
            assert_int_equal(take(ch), out++);
        }
        while (out < in) {
            assert_int_equal(take(ch), out++);
        }
    }
    channel_destroy(&ch);
}

static bool is_of_two(const void *message)
{
    return ((const struct message *) message)->sender == 2;
}

static void the_wanted_are_taken_from_between(void **state)
{
    (void) state;
    struct message m;
    channel_t *ch = channel_new(sizeof m);
    put(ch, 1, 10);
    put(ch, 2, 11);
    put(ch, 1, 12);
    put(ch, 2, 13);
    put(ch, 1, 14);
    assert_true(channel_take_wanted(ch, is_of_two, &m) && m.number == 11);
    assert_true(channel_take_wanted(ch, is_of_two, &m) && m.number == 13);
    assert_false(channel_take_wanted(ch, is_of_two, &m));
    /* The others wait, unsaid, until something comes or it is asked for. */
    assert_false(is_readable(ch, 0));
    channel_stir(ch);
    assert_true(is_readable(ch, 0));
    channel_stir(ch);
    assert_int_equal(take(ch), 10);
    assert_int_equal(take(ch), 12);
    assert_int_equal(take(ch), 14);
    assert_false(channel_take(ch, &m));
    channel_stir(ch);
    assert_false(is_readable(ch, 0));
    put(ch, 1, 15);
    assert_false(channel_take_wanted(ch, is_of_two, &m));
    put(ch, 2, 16);
    assert_true(is_readable(ch, 0));
    assert_true(channel_take_wanted(ch, is_of_two, &m) && m.number == 16);
    assert_int_equal(take(ch), 15);
    channel_destroy(&ch);
}

struct sender {
    channel_t *ch;
    unsigned which;
    pthread_t thread;
};

static void *send_many(void *arg)
{
    const struct sender *s = arg;
    for (unsigned i = 0; i < EACH; i++) {
        put(s->ch, s->which, i);
    }
    return NULL;
}

/* The receiver sleeps whenever there is nothing: a wake-up that is lost would let it sleep for good. */
static void nothing_is_lost_between_threads(void **state)
{
    (void) state;
    channel_t *ch = channel_new(sizeof(struct message));
    struct sender senders[SENDERS];
    unsigned next[SENDERS] = {0};
    size_t taken = 0;
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.ch = ch, .which = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    while (taken < (size_t) SENDERS * EACH) {
        struct message m;
        if (!channel_take(ch, &m)) {
            assert_true(is_readable(ch, WAIT_MS));
            continue;
        }
        assert_int_equal(m.number, next[m.sender]++);
        taken++;
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    struct message m;
    assert_false(channel_take(ch, &m));
    channel_destroy(&ch);
}

struct pong {
    channel_t *to, *from;
};

static void *answer(void *arg)
{
    const struct pong *p = arg;
    struct message m;
    for (unsigned i = 0; i < EACH;) {
        if (channel_take(p->to, &m)) {
            channel_put(p->from, &m);
            i++;
        } else {
            channel_wait(p->to, WAIT_MS);
        }
    }
    return NULL;
}

/* One at a time to and fro: each message meets a receiver that is about to sleep. */
static void nobody_sleeps_while_one_waits(void **state)
{
    (void) state;
    struct pong p = {channel_new(sizeof(struct message)), channel_new(sizeof(struct message))};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer, &p), 0);
    for (unsigned i = 0; i < EACH; i++) {
        struct message m;
        put(p.to, 0, i);
        while (!channel_take(p.from, &m)) {
            assert_true(is_readable(p.from, WAIT_MS));
        }
        assert_int_equal(m.number, i);
    }
    pthread_join(thread, NULL);
    channel_destroy(&p.to);
    channel_destroy(&p.from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_in_order_and_says_so),
        cmocka_unit_test(holds_as_many_as_there_are),
        cmocka_unit_test(the_wanted_are_taken_from_between),
        cmocka_unit_test(nothing_is_lost_between_threads),
        cmocka_unit_test(nobody_sleeps_while_one_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
