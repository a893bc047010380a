/* SPDX-License-Identifier: MPL-2.0 */
/* An artificial next version of the protocol, for tests (params.next_version): it supports one version more,
 * has a field more at the end of all that it says, and says things that this version does not know. What
 * this version does with that is what it will do with the real next one. */
#include "base/err.h"
#include "core/core_priv.h"
#include "wire/registry_msg.h"

#define UNKNOWN_SWIM_TYPE 99
#define UNKNOWN_FRAME_TYPE 200
#define UNKNOWN_PASS_KIND 99
#define ARRAY_HEAD 0x90 /* msgpack's fixarray: the low four bits are the count */

void next_add_field(const core_t *c, struct buf *b)
{
    if (!c->params.next_version || buf_failed(b) || b->size == 0) {
        return;
    }
    HM_ASSERT((b->data[0] & 0xf0) == ARRAY_HEAD && b->data[0] < (ARRAY_HEAD | 0x0f));
    b->data[0]++;
    mp_str(b, "of the next version");
}

struct span next_frame(core_t *c, enum frame_type type, struct span body)
{
    struct buf b;
    if (!c->params.next_version || type < FRAME_REG_PUSH || type > FRAME_REG_PRUNE) {
        return fxlist_copy(&c->fx, body);
    }
    buf_init(&b, HM_FRAME_BYTES_MAX);
    buf_append(&b, body.data, body.size);
    next_add_field(c, &b);
    struct span copy = fxlist_copy(&c->fx, buf_failed(&b) ? body : buf_span(&b));
    buf_fini(&b);
    return copy;
}

/* It is refused, and the answer is of no pass that is under way. */
static void ask_unknown(core_t *c, struct member *m)
{
    struct reg_ask msg = {.kind = UNKNOWN_PASS_KIND, .vector = span_of("", 0)};
    struct buf b;
    buf_init(&b, HM_FRAME_BYTES_MAX);
    reg_ask_write(&b, &msg);
    if (!buf_failed(&b)) {
        send_frame(c, m, FRAME_REG_ASK, buf_span(&b));
    }
    buf_fini(&b);
}

void next_say_unknown(core_t *c, struct member *m)
{
    struct buf b;
    if (!c->params.next_version) {
        return;
    }
    buf_init(&b, HM_DATAGRAM_BYTES_MAX);
    mp_array(&b, 3);
    mp_uint(&b, UNKNOWN_SWIM_TYPE);
    mp_bin(&b, m->id.b, NODE_ID_BYTES);
    mp_nil(&b);
    if (!buf_failed(&b)) {
        send_bytes_pair(c, m, buf_span(&b));
        send_frame(c, m, (enum frame_type) UNKNOWN_FRAME_TYPE, buf_span(&b));
    }
    buf_fini(&b);
    ask_unknown(c, m);
}
