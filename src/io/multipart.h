/* SPDX-License-Identifier: MPL-2.0 */
/* The parts of a ZeroMQ message. libzmq hands a message over part by part, and the next receive
 * gets the next part: who does not want the rest must take it all the same. The socket's thread. */
#ifndef HM_IO_MULTIPART_H
#define HM_IO_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>

/* True if the part that was received last is not the message's last. */
bool multipart_has_more(void *socket);
/* Takes and throws away what is left of a message; how many parts that were. */
size_t multipart_skip(void *socket);

#endif
