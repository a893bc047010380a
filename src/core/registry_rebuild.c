/* SPDX-License-Identifier: MPL-2.0 */
/* After damage the registry claims only what it holds. The disk has lost records, nobody knows which: so all
 * that is there is read again, some of it at a time, and the vector is made from the dots of it. What
 * was lost is then lacking like anything else, and comes by repair. Meanwhile nothing is taken
 * and nothing is written; reads go on. */
#include "base/err.h"
#include "core/registry_priv.h"

#include <string.h>

void registry_rebuild(registry_t *r)
{
    struct rebuild *b = &r->rebuild;
    r->is_damaged = true;
    b->is_on = true;
    b->totals = (struct registry_totals){0};
    vector_clear(&b->seen);
    buf_clear(&b->at);
}

bool registry_is_rebuilding(const registry_t *r)
{
    return r->rebuild.is_on;
}

/* One record: counted, and indexed if the index has lost it. */
static int take_record(registry_t *r, struct span record_key, const struct entry *e)
{
    struct registry_totals *t = &r->rebuild.totals;
    uint8_t dot[DOT_BYTES];
    struct span found;
    struct span key = span_of(dot, sizeof dot);
    dot_put(dot, &e->dot);
    t->bytes += record_key.size + e->bytes.size;
    t->marks += e->is_deleted;
    t->entries += !e->is_deleted;
    t->hash += e->is_deleted ? 0 : registry_record_hash(r, record_key);
    int rc = vector_add(&r->rebuild.seen, &e->dot);
    if (rc == HM_OK && !registry_read(r, LOOK_COMMITTED, STORE_DOTS, key, &found)) {
        rc = registry_stage(r, STORE_DOTS, key, record_key, false);
    }
    if (rc == HM_OK && e->is_deleted &&
        !registry_read(r, LOOK_COMMITTED, STORE_MARKS, key, &found)) {
        rc = registry_stage(r, STORE_MARKS, key, record_key, false);
    }
    return rc;
}

/* Records of origins of which nothing is held any more go. */
static int forget_origins(registry_t *r)
{
    uint8_t key[ORIGIN_BYTES];
    int rc = HM_OK;
    for (size_t i = 0; i < r->durable.count && rc == HM_OK; i++) {
        const struct origin *origin = &r->durable.items[i].origin;
        if (vector_find(&r->rebuild.seen, origin) == NULL) {
            origin_put(key, origin);
            rc = registry_stage(r, STORE_VECTOR, span_of(key, sizeof key), span_of(NULL, 0), false);
        }
    }
    return rc;
}

static int finish(registry_t *r)
{
    struct pending_batch *b = registry_gathering(r);
    int rc = b == NULL ? HM_ENOMEM : forget_origins(r);
    if (rc == HM_OK) {
        rc = vector_copy(&b->added, &r->rebuild.seen);
    }
    if (rc == HM_OK) {
        rc = vector_copy(&r->vector, &r->rebuild.seen);
    }
    if (rc == HM_OK) {
        b->is_rebuilt = true;
        r->totals = r->rebuild.totals;
        r->rebuild.is_on = false;
    }
    return rc;
}

int registry_rebuild_some(registry_t *r, size_t records)
{
    struct rebuild *b = &r->rebuild;
    struct span record_key = buf_span(&b->at);
    struct entry e;
    int rc = HM_OK;
    if (!b->is_on || r->first != NULL || (r->gathering != NULL && b->at.size == 0)) {
        return HM_OK; /* what is under way comes first */
    }
    for (size_t i = 0; i < records && rc == HM_OK; i++) {
        bool is_first = b->at.size == 0 && i == 0;
        if (!registry_next(r, LOOK_COMMITTED, record_key, is_first, &record_key, &e)) {
            return finish(r);
        }
        rc = take_record(r, record_key, &e);
    }
    uint8_t key[ENTRY_RECORD_BYTES_MAX];
    memcpy(key, record_key.data, record_key.size);
    buf_clear(&b->at);
    buf_append(&b->at, key, record_key.size);
    return rc;
}
