/* SPDX-License-Identifier: MPL-2.0 */
/* A channel: messages of one size from any threads to one, in order. That one sleeps in channel_wait, or polls
 * the descriptor in its loop. What a message points to goes along to the receiver.
 *
 * Why not a socket of libzmq's: docs/decisions/0048-a-channel-between-threads.md. */
#ifndef HM_IO_CHANNEL_H
#define HM_IO_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

typedef struct channel channel_t;

/* NULL: out of memory, or of descriptors. */
channel_t *channel_new(size_t message_bytes);
/* Nobody may use it any more. Messages that were not taken are gone, not what they point to. */
void channel_destroy(channel_t **p);

/* Any thread. Never waits for the receiver: who sends bounds what is under way. Without memory it tries until there is some. */
void channel_put(channel_t *ch, const void *message);

/* The rest: the receiver alone. Before it sleeps it takes until there is nothing. */

/* Takes the oldest. False: there is none, and the descriptor stays still until there is. */
bool channel_take(channel_t *ch, void *ret_message);
/* Takes the oldest that is wanted and leaves the others where they are. False: there is none; the descriptor stays
 * still until something comes, also if others wait, until channel_stir. */
bool channel_take_wanted(channel_t *ch, bool (*is_wanted)(const void *message), void *ret_message);
/* The descriptor becomes readable if something waits. */
void channel_stir(channel_t *ch);
/* Until something comes, or may have come, or so many ms have passed (-1: however long). */
void channel_wait(const channel_t *ch, int timeout_ms);
/* Readable when there is something to take, or may be. */
int channel_fd(const channel_t *ch);

#endif
