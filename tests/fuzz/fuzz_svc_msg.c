/* SPDX-License-Identifier: MPL-2.0 */
/* Services of others: what was understood keeps its rules and, written again, is understood the same. */
#include "fuzz.h"

#include "base/err.h"
#include "wire/svc_msg.h"

static void check_lists(const struct svc *s)
{
    struct span rest = s->tags, key, value;
    size_t count = 0;
    while (svc_tag_next(&rest, &value)) {
        FUZZ_ASSERT(svc_text_wrong(SVC_TAG, value) == NULL && svc_has_tag(s, value));
        count++;
    }
    FUZZ_ASSERT(rest.size == 0 && count == s->tag_count && count <= HM_SERVICE_TAGS_MAX);
    rest = s->meta;
    for (count = 0; svc_meta_next(&rest, &key, &value); count++) {
        FUZZ_ASSERT(svc_text_wrong(SVC_META_KEY, key) == NULL && svc_has_meta(s, key, value));
    }
    FUZZ_ASSERT(rest.size == 0 && count == s->meta_count && count <= HM_SERVICE_META_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span bytes = fuzz_copy(span_of(data, size));
    struct svc s, again;
    int result = svc_read(bytes, &s);
    FUZZ_ASSERT(result == HM_OK || result == HM_EMALFORMED);
    if (result == HM_OK) {
        struct buf b;
        FUZZ_ASSERT(size <= HM_SERVICE_BYTES_MAX && s.port > 0);
        FUZZ_ASSERT(svc_text_wrong(SVC_ID, s.id) == NULL);
        FUZZ_ASSERT(svc_text_wrong(SVC_NAME, s.name) == NULL);
        FUZZ_ASSERT(svc_text_wrong(SVC_ADDRESS, s.address) == NULL);
        FUZZ_ASSERT(span_inside(s.tags, bytes) && span_inside(s.meta, bytes));
        check_lists(&s);
        buf_init(&b, 2 * HM_SERVICE_BYTES_MAX);
        svc_write(&b, &s);
        FUZZ_ASSERT(!buf_failed(&b));
        /* It may have grown by what it left out. */
        if (b.size <= HM_SERVICE_BYTES_MAX) {
            FUZZ_ASSERT(svc_read(buf_span(&b), &again) == HM_OK);
            FUZZ_ASSERT(svc_same(&s, &again) && s.health == again.health);
            FUZZ_ASSERT(span_eq(s.text, again.text) && s.is_expired == again.is_expired);
        }
        buf_fini(&b);
    }
    fuzz_free(bytes);
    return 0;
}
