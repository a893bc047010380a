/* SPDX-License-Identifier: MPL-2.0 */
/* The clear heads of datagrams and link frames: see frame.h. */
#include "wire/frame.h"

#include "base/be.h"
#include "base/err.h"
#include "base/limits.h"

#include <string.h>

void datagram_head_write(struct buf *b, const struct datagram_head *head, size_t sealed_bytes)
{
    uint8_t bytes[DATAGRAM_MESH_HEAD_BYTES];
    size_t size =
        head->cls == DATAGRAM_MESH ? DATAGRAM_MESH_HEAD_BYTES : DATAGRAM_PAIR_HEAD_BYTES;
    HM_ASSERT(size + sealed_bytes <= HM_DATAGRAM_BYTES_MAX);
    uint8_t *at = bytes;
    *at++ = 'H';
    *at++ = 'M';
    *at++ = head->version;
    *at++ = (uint8_t) head->cls;
    at = be_put(at, size + sealed_bytes, 2);
    memcpy(at, head->sender.b, NODE_ID_BYTES);
    at += NODE_ID_BYTES;
    at = be_put(at, head->session, 8);
    at = be_put(at, head->counter, 8);
    if (head->cls == DATAGRAM_MESH) {
        at = be_put(at, head->mesh_tag, 8);
    }
    buf_append(b, bytes, (size_t) (at - bytes));
}

int datagram_head_read(struct span bytes, struct datagram_head *ret_head)
{
    const uint8_t *p = bytes.data;
    if (bytes.size < DATAGRAM_PAIR_HEAD_BYTES + DATAGRAM_TAG_BYTES || p[0] != 'H' || p[1] != 'M') {
        return HM_EMALFORMED;
    }
    struct datagram_head h = {.version = p[2]};
    if (h.version < PROTOCOL_VERSION_MIN || h.version > PROTOCOL_VERSION) {
        *ret_head = h;
        return HM_EVERSION;
    }
    if (be_get(p + 4, 2) != bytes.size || bytes.size > HM_DATAGRAM_BYTES_MAX) {
        return HM_EMALFORMED;
    }
    switch (p[3]) {
    case DATAGRAM_MESH:
        h.cls = DATAGRAM_MESH;
        h.bytes = DATAGRAM_MESH_HEAD_BYTES;
        break;
    case DATAGRAM_PAIR:
        h.cls = DATAGRAM_PAIR;
        h.bytes = DATAGRAM_PAIR_HEAD_BYTES;
        break;
    default:
        return HM_EMALFORMED;
    }
    if (bytes.size < h.bytes + DATAGRAM_TAG_BYTES) {
        return HM_EMALFORMED;
    }
    memcpy(h.sender.b, p + 6, NODE_ID_BYTES);
    h.session = be_get(p + 22, 8);
    h.counter = be_get(p + 30, 8);
    h.mesh_tag = h.cls == DATAGRAM_MESH ? be_get(p + 38, 8) : 0;
    *ret_head = h;
    return HM_OK;
}

void frame_head_write(struct buf *b, uint8_t type, size_t body_bytes)
{
    uint8_t bytes[FRAME_HEAD_BYTES] = {'H', 'M', PROTOCOL_VERSION, type};
    be_put(bytes + 4, body_bytes, 4);
    buf_append(b, bytes, sizeof bytes);
}

int frame_head_read(struct span bytes, uint8_t *ret_type, struct span *ret_body)
{
    const uint8_t *p = bytes.data;
    if (bytes.size < FRAME_HEAD_BYTES || p[0] != 'H' || p[1] != 'M') {
        return HM_EMALFORMED;
    }
    if (p[2] < PROTOCOL_VERSION_MIN || p[2] > PROTOCOL_VERSION) {
        return HM_EVERSION;
    }
    if (be_get(p + 4, 4) != bytes.size - FRAME_HEAD_BYTES) {
        return HM_EMALFORMED;
    }
    *ret_type = p[3];
    *ret_body = span_of(p + FRAME_HEAD_BYTES, bytes.size - FRAME_HEAD_BYTES);
    return HM_OK;
}
