/* SPDX-License-Identifier: MPL-2.0 */
/* Entries: what was understood keeps its limits and, written again, is understood the same. An entry
 * never supersedes itself. The bytes are also tried as a key. */
#include "fuzz.h"

#include "base/err.h"
#include "wire/entry_msg.h"

static void check_key(struct span key)
{
    struct node_id owner, first;
    memset(&owner, 0x77, sizeof owner);
    first = owner;
    int result = key_check(key);
    FUZZ_ASSERT(result == HM_OK || result == HM_EINVAL);
    FUZZ_ASSERT(result != HM_OK || (key.size > 0 && key.size <= HM_KEY_BYTES_MAX));
    FUZZ_ASSERT(key_owner(key, &owner) || node_id_eq(&owner, &first));
}

static void check_context(const struct entry *e, struct span bytes)
{
    struct span rest = e->context;
    struct dot before, dot;
    size_t count = 0;
    FUZZ_ASSERT(span_inside(e->context, bytes));
    while (context_next(&rest, &dot)) {
        FUZZ_ASSERT(dot.seq > 0 && dot.seq <= ENTRY_SEQ_MAX);
        FUZZ_ASSERT(count == 0 || origin_cmp(&before.origin, &dot.origin) < 0);
        FUZZ_ASSERT(entry_supersedes(e, &dot));
        dot.seq++;
        FUZZ_ASSERT(!entry_supersedes(e, &dot));
        before = dot;
        count++;
    }
    FUZZ_ASSERT(rest.size == 0 && count == e->context_count && count <= HM_CONTEXT_MAX);
    FUZZ_ASSERT(!entry_supersedes(e, &e->dot));
}

static void check_again(const struct entry *e)
{
    struct buf body, b;
    struct entry again;
    buf_init(&body, HM_ENTRY_BYTES_MAX);
    buf_init(&b, HM_ENTRY_BYTES_MAX);
    entry_body_write(&body, e);
    entry_write(&b, buf_span(&body), e->signature);
    FUZZ_ASSERT(!buf_failed(&body) && !buf_failed(&b));
    FUZZ_ASSERT(entry_read(buf_span(&b), &again) == HM_OK);
    FUZZ_ASSERT(span_eq(again.key, e->key) && again.type == e->type && dot_eq(&again.dot, &e->dot));
    FUZZ_ASSERT(again.lamport == e->lamport && again.is_deleted == e->is_deleted);
    FUZZ_ASSERT(again.wall_ms == e->wall_ms && again.context_count == e->context_count);
    FUZZ_ASSERT(span_eq(again.context, e->context) && span_eq(again.value, e->value));
    FUZZ_ASSERT(span_eq(again.signature, e->signature));
    buf_fini(&body);
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = fuzz_copy(span_of(data, size));
    struct entry e;
    check_key(bytes);
    int result = entry_read(bytes, &e);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED || result == HM_EVERSION);
    if (result == HM_OK) {
        FUZZ_ASSERT(span_inside(e.key, bytes) && span_inside(e.value, bytes));
        FUZZ_ASSERT(span_inside(e.body, bytes) && span_inside(e.signature, bytes));
        FUZZ_ASSERT(e.type != 0 && e.dot.seq > 0 && e.value.size <= ENTRY_VALUE_BYTES_MAX);
        FUZZ_ASSERT(e.is_deleted == (e.value.size == 0));
        FUZZ_ASSERT(e.signature.data == NULL || e.signature.size == ENTRY_SIGNATURE_BYTES);
        check_key(e.key);
        check_context(&e, bytes);
        check_again(&e);
    }
    fuzz_free(bytes);
    return 0;
}
