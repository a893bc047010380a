/* SPDX-License-Identifier: MPL-2.0 */
/* Requests and replies: decoded, encoded, decoded again they are equal, and no larger than what
 * came in but for canonical heads. The first byte chooses. */
#include "fuzz.h"

#include "base/err.h"
#include "base/limits.h"
#include "wire/api_msg.h"
#include "wire/mpack.h"

static void request(struct span bytes)
{
    struct api_request q, again;
    struct buf b;
    int result = api_request_read(bytes, &q);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED || result == HM_EVERSION);
    if (result != HM_OK) {
        return;
    }
    FUZZ_ASSERT(memchr(q.op, '\0', sizeof q.op) != NULL);
    FUZZ_ASSERT(memchr(q.node, '\0', sizeof q.node) != NULL);
    FUZZ_ASSERT(q.deadline_ms <= API_DEADLINE_MS_MAX);
    FUZZ_ASSERT(span_inside(q.args, bytes) && mp_check(q.args) == HM_OK);
    buf_init(&b, bytes.size);
    api_request_write(&b, &q);
    FUZZ_ASSERT(!buf_failed(&b));
    FUZZ_ASSERT(api_request_read(buf_span(&b), &again) == HM_OK);
    FUZZ_ASSERT(strcmp(q.op, again.op) == 0 && strcmp(q.node, again.node) == 0);
    FUZZ_ASSERT(span_eq(q.args, again.args) && q.deadline_ms == again.deadline_ms);
    buf_fini(&b);
}

static void reply(struct span bytes)
{
    struct api_reply p, again;
    struct buf b;
    int result = api_reply_read(bytes, &p);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED || result == HM_EVERSION);
    if (result != HM_OK) {
        return;
    }
    FUZZ_ASSERT(memchr(p.text, '\0', sizeof p.text) != NULL);
    FUZZ_ASSERT(p.code <= 0 && hm_strerror(p.code) != NULL);
    FUZZ_ASSERT(span_inside(p.value, bytes) && mp_check(p.value) == HM_OK);
    buf_init(&b, bytes.size);
    api_reply_write(&b, &p);
    FUZZ_ASSERT(!buf_failed(&b));
    FUZZ_ASSERT(api_reply_read(buf_span(&b), &again) == HM_OK);
    FUZZ_ASSERT(p.code == again.code && strcmp(p.text, again.text) == 0);
    FUZZ_ASSERT(span_eq(p.value, again.value));
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    bool is_reply = in_u8(&in) % 2 == 1;
    struct span bytes = fuzz_copy(span_of(in.at, in.left));
    if (is_reply) {
        reply(bytes);
    } else {
        request(bytes);
    }
    fuzz_free(bytes);
    return 0;
}
