/* SPDX-License-Identifier: MPL-2.0 */
/* The local protocol: what meshctl and programs send to meshd over its socket, and the same between
 * nodes when an operation is asked of another node.
 *
 * Request: [version, operation, node or nil, args map, deadline_ms].
 * Reply:   [version, code, text, value]; code is an HM_E* number, text says what was wrong, value is
 *          any msgpack value (nil on failure). Trailing fields are skipped. */
#ifndef HM_WIRE_API_MSG_H
#define HM_WIRE_API_MSG_H

#include "base/buf.h"
#include "base/span.h"

#include <stdint.h>

#define API_VERSION 1
#define API_OP_BYTES_MAX 63
#define API_DEADLINE_MS_MAX 600000

struct api_request {
    char op[API_OP_BYTES_MAX + 1];
    char node[64];      /* "": the node that is asked */
    struct span args;   /* msgpack map */
    uint64_t deadline_ms;
};

struct api_reply {
    int code;
    char text[256];
    struct span value; /* one msgpack value */
};

void api_request_write(struct buf *b, const struct api_request *request);
/* HM_EMALFORMED, HM_EVERSION. Spans point into bytes. Everything is checked, nested values too. */
int api_request_read(struct span bytes, struct api_request *ret_request);

/* A value with data NULL is written as nil. */
void api_reply_write(struct buf *b, const struct api_reply *reply);
int api_reply_read(struct span bytes, struct api_reply *ret_reply);

#endif
