/* SPDX-License-Identifier: MPL-2.0 */
/* The bytes of one ZMTP connection (RFC 37, mechanism NULL) as meshd and its clients speak it over the local socket:
 * what comes in is fed, frames come out; messages are put, what goes out is taken. No I/O.
 *
 *   handshake --READY--> open --nonsense--> broken, for ever
 *
 * Unlike zmtp.h, which strangers speak to, it keeps whole frames, as many as were fed: who feeds it bounds them by
 * taking the frames before it feeds more. PINGs are answered within. What is put before the handshake is over waits
 * for it. */
#ifndef HM_WIRE_ZMTP_STREAM_H
#define HM_WIRE_ZMTP_STREAM_H

#include "base/buf.h"
#include "wire/zmtp.h"

/* The fields are the module's own. */
struct zmtp_stream {
    struct zmtp handshake;
    bool is_open;
    bool is_broken;
    size_t frame_bytes_max;
    struct buf in;
    size_t in_at; /* taken off the front of in */
    struct buf hello; /* of the handshake: goes before all of out */
    size_t hello_at;
    struct buf out;
    size_t out_at; /* so many bytes were sent */
    size_t join_at; /* one more than where the last frame of the newest message begins; 0: nothing can join it */
};

/* Our greeting is put. A frame of more than frame_bytes_max bytes breaks it. */
void zmtp_stream_init(struct zmtp_stream *s, enum zmtp_role role, size_t frame_bytes_max);
void zmtp_stream_fini(struct zmtp_stream *s);

/* Room for `size` bytes that come in; NULL: out of memory. Spans of frames end here. */
uint8_t *zmtp_stream_room(struct zmtp_stream *s, size_t size);
/* So many of these came. To be called after each zmtp_stream_room. HM_EMALFORMED: not the handshake of a peer that may
 * speak to us; HM_ENOMEM: both break it. */
int zmtp_stream_fed(struct zmtp_stream *s, size_t size, size_t came);
/* Gives memory for what comes in back if nothing of it is left to be taken and it has more than `kept` bytes. Spans of
 * frames end here. */
void zmtp_stream_let_go(struct zmtp_stream *s, size_t kept);
/* The next frame that is whole; *ret_more: the message goes on behind it. HM_ENOTFOUND: none; HM_EMALFORMED, HM_ENOMEM. */
int zmtp_stream_frame(struct zmtp_stream *s, bool *ret_more, struct span *ret_body);
/* The handshake is over. */
bool zmtp_stream_is_open(const struct zmtp_stream *s);

/* Puts a message of these frames. is_joining: rather goes on with the message that was put last, if nothing of it was
 * taken by zmtp_stream_out yet. HM_ENOMEM: nothing was put. */
int zmtp_stream_put(struct zmtp_stream *s, const struct span *frames, size_t count, bool is_joining);
/* Something may join the message that was put last. */
bool zmtp_stream_can_join(const struct zmtp_stream *s);
/* What is to be sent now, in one piece; empty: nothing. Borrowed until the next call but zmtp_stream_frame's. */
struct span zmtp_stream_out(struct zmtp_stream *s);
/* So many of these bytes were sent. */
void zmtp_stream_sent(struct zmtp_stream *s, size_t size);
/* Bytes of messages that were put and not sent. */
size_t zmtp_stream_unsent(const struct zmtp_stream *s);
/* Something is to be sent now. */
bool zmtp_stream_wants_write(const struct zmtp_stream *s);

#endif
