/* SPDX-License-Identifier: MPL-2.0 */
/* The local protocol: see api_msg.h. */
#include "wire/api_msg.h"

#include "base/err.h"
#include "wire/mpack.h"

#include <string.h>

void api_request_write(struct buf *b, const struct api_request *request)
{
    mp_array(b, 5);
    mp_uint(b, API_VERSION);
    mp_str(b, request->op);
    if (request->node[0] == '\0') {
        mp_nil(b);
    } else {
        mp_str(b, request->node);
    }
    if (request->args.data == NULL) {
        mp_map(b, 0);
    } else {
        buf_append(b, request->args.data, request->args.size);
    }
    mp_uint(b, request->deadline_ms);
}

/* Opens an array that begins with our version; ret_count: of its items, the version among them. */
static int open_message(struct mp_reader *r, struct span bytes, size_t *ret_count)
{
    if (mp_check(bytes) != 0) {
        return HM_EMALFORMED;
    }
    mp_open(r, bytes);
    *ret_count = mp_read_array(r);
    if (mp_read_uint(r, UINT64_MAX) != API_VERSION && !mp_failed(r)) {
        return HM_EVERSION;
    }
    return HM_OK;
}

int api_request_read(struct span bytes, struct api_request *ret_request)
{
    struct api_request q;
    struct mp_reader r;
    size_t count;
    memset(&q, 0, sizeof q);
    int rc = open_message(&r, bytes, &count);
    if (rc != HM_OK) {
        return rc;
    }
    mp_read_text(&r, q.op, sizeof q.op);
    if (!mp_try_nil(&r)) {
        mp_read_text(&r, q.node, sizeof q.node);
    }
    if (mp_peek(&r) != MP_MAP) {
        return HM_EMALFORMED;
    }
    q.args = mp_read_raw(&r);
    q.deadline_ms = mp_read_uint(&r, API_DEADLINE_MS_MAX);
    if (mp_failed(&r) || count < 5) {
        return HM_EMALFORMED;
    }
    *ret_request = q;
    return HM_OK;
}

void api_reply_write(struct buf *b, const struct api_reply *reply)
{
    mp_array(b, 4);
    mp_uint(b, API_VERSION);
    mp_int(b, reply->code);
    mp_str(b, reply->text);
    if (reply->value.data == NULL) {
        mp_nil(b);
    } else {
        buf_append(b, reply->value.data, reply->value.size);
    }
}

int api_reply_read(struct span bytes, struct api_reply *ret_reply)
{
    struct api_reply p;
    struct mp_reader r;
    size_t count;
    memset(&p, 0, sizeof p);
    int rc = open_message(&r, bytes, &count);
    if (rc != HM_OK) {
        return rc;
    }
    int64_t code = mp_read_int(&r);
    mp_read_text(&r, p.text, sizeof p.text);
    p.value = mp_read_raw(&r);
    if (mp_failed(&r) || count < 4 || code > 0 || code < -1000) {
        return HM_EMALFORMED;
    }
    p.code = (int) code;
    *ret_reply = p;
    return HM_OK;
}
