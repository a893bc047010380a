/* SPDX-License-Identifier: MPL-2.0 */
/* A connection to the local socket of a meshd (docs/protocol/local.md): one request, or several at
 * once, each with a deadline. One thread.
 *
 * Nothing here waits for a daemon that is not there: the socket is tried with a plain connect
 * first, and a connection that ends is noticed at once. A client whose connection ended is of no
 * more use: destroy it and make a new one. */
#ifndef HM_CLIENT_CLIENT_H
#define HM_CLIENT_CLIENT_H

#include "wire/api_msg.h"

#include <stdint.h>

typedef struct client client_t;

/* HM_EUNREACHABLE: nobody listens at path; HM_EDENIED: not allowed to; HM_EINVAL: path is longer
 * than a socket's can be (107 bytes); HM_EIO, HM_ENOMEM. */
int client_new(const char *path, client_t **ret_client);
void client_destroy(client_t **p);

/* Ends waiting with HM_EIO as soon as nobody reads this descriptor (a pipe) any more. -1: none. */
void client_watch_output(client_t *client, int fd);

/* Asks and waits at most timeout_ms. HM_OK: *ret_reply says how it went, and points into the
 * client until the next call. HM_ETIMEDOUT; HM_EUNREACHABLE: the connection ended;
 * HM_EMALFORMED: what came is no reply; HM_EVERSION: it is one of another version; HM_EFULL: the
 * request is too large; HM_EIO. */
int client_call(client_t *client, const struct api_request *request, uint64_t timeout_ms,
                struct api_reply *ret_reply);

/* Several requests at once: sends one and does not wait; *ret_id comes back with its reply. Errors
 * as client_call. */
int client_send(client_t *client, const struct api_request *request, uint64_t *ret_id);
/* Waits for the next reply to any request, in whatever order they come; a late one to a request
 * that was given up is among them. Errors as client_call; HM_EMALFORMED and HM_EVERSION are of the
 * request *ret_id. */
int client_receive(client_t *client, uint64_t timeout_ms, uint64_t *ret_id,
                   struct api_reply *ret_reply);

/* Waits until the daemon ends the connection. HM_OK, HM_ETIMEDOUT, HM_EIO. */
int client_wait_end(client_t *client, uint64_t timeout_ms);

#endif
