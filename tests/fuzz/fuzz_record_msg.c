/* SPDX-License-Identifier: MPL-2.0 */
/* Signed records, with whatever stands in the place of the signature: each kind round trips,
 * fits its limit, and never passes for the other. */
#include "fuzz.h"

#include "base/err.h"
#include "base/text.h"
#include "wire/mpack.h"
#include "wire/record_msg.h"

static void sign(struct buf *b)
{
    uint8_t *signature = buf_extend(b, RECORD_SIGNATURE_BYTES);
    FUZZ_ASSERT(signature != NULL);
    memset(signature, 0, RECORD_SIGNATURE_BYTES);
}

static void node(const struct node_record *rec)
{
    struct node_record again;
    struct buf b;
    FUZZ_ASSERT(rec->state == RECORD_ALIVE || rec->state == RECORD_LEFT);
    FUZZ_ASSERT(text_is_dns_label(rec->name, strlen(rec->name)));
    FUZZ_ASSERT(rec->addr_count <= HM_RECORD_ADDRS_MAX && rec->incarnation < UINT64_MAX);
    buf_init(&b, HM_RECORD_BYTES_MAX);
    node_record_write(&b, rec);
    sign(&b);
    FUZZ_ASSERT(!buf_failed(&b));
    FUZZ_ASSERT(node_record_read(buf_span(&b), &again) == HM_OK);
    /* Both began as zeros, so that padding is equal too. */
    FUZZ_ASSERT(memcmp(rec, &again, sizeof again) == 0);
    buf_fini(&b);
}

static void labels(const struct labels_record *rec, struct span bytes)
{
    struct labels_record again;
    struct buf b;
    FUZZ_ASSERT(span_inside(rec->labels, bytes) && mp_check(rec->labels) == HM_OK);
    buf_init(&b, HM_LABELS_BYTES_MAX);
    labels_record_write(&b, rec);
    sign(&b);
    FUZZ_ASSERT(!buf_failed(&b));
    FUZZ_ASSERT(labels_record_read(buf_span(&b), &again) == HM_OK);
    FUZZ_ASSERT(memcmp(rec->key, again.key, sizeof again.key) == 0);
    FUZZ_ASSERT(rec->mesh_tag == again.mesh_tag && strcmp(rec->version, again.version) == 0);
    FUZZ_ASSERT(span_eq(rec->labels, again.labels));
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct node_record node_rec;
    struct labels_record labels_rec;
    struct span bytes = fuzz_copy(span_of(data, size));
    memset(&node_rec, 0, sizeof node_rec);
    int is_node = node_record_read(bytes, &node_rec);
    int is_labels = labels_record_read(bytes, &labels_rec);
    FUZZ_ASSERT(is_node == HM_OK || is_node == HM_EMALFORMED);
    FUZZ_ASSERT(is_labels == HM_OK || is_labels == HM_EMALFORMED);
    FUZZ_ASSERT(is_node != HM_OK || is_labels != HM_OK);
    if (is_node == HM_OK) {
        FUZZ_ASSERT(size <= HM_RECORD_BYTES_MAX);
        node(&node_rec);
    }
    if (is_labels == HM_OK) {
        FUZZ_ASSERT(size <= HM_LABELS_BYTES_MAX);
        labels(&labels_rec, bytes);
    }
    fuzz_free(bytes);
    return 0;
}
