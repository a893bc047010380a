/* SPDX-License-Identifier: MPL-2.0 */
/* The registry's life, its totals, and the way to the disk: see registry.h. */
#include "core/registry.h"

#include "base/err.h"
#include "base/limits.h"
#include "core/fold.h"
#include "core/registry_priv.h"
#include "wire/mpack.h"

#include <stdlib.h>
#include <string.h>

#define GATHERED_BYTES_MAX ((size_t) 256 << 10) /* of what nobody waits for */
#define META_VERSION 1
#define TABLE_KEY_BYTES_MAX (1 + ENTRY_RECORD_BYTES_MAX)

/* ---- life ------------------------------------------------------------------------------------ */

registry_t *registry_new(const struct registry_conf *conf)
{
    registry_t *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    r->conf = *conf;
    r->round = 1;
    r->change_first = 1;
    vector_init(&r->vector);
    vector_init(&r->durable);
    vector_init(&r->stable);
    vector_init(&r->released);
    vector_init(&r->crowded);
    vector_init(&r->rebuild.seen);
    buf_init(&r->rebuild.at, ENTRY_RECORD_BYTES_MAX);
    buf_init(&r->told, SIZE_MAX);
    buf_init(&r->key_bytes, TABLE_KEY_BYTES_MAX);
    buf_init(&r->body, HM_FRAME_BYTES_MAX);
    buf_init(&r->entry, HM_FRAME_BYTES_MAX);
    buf_init(&r->context, HM_FRAME_BYTES_MAX);
    r->pending = omap_new();
    r->changes = calloc(HM_CHANGES_MAX, sizeof *r->changes);
    if (r->pending == NULL || r->changes == NULL) {
        registry_destroy(&r);
    }
    return r;
}

static void batch_free(struct pending_batch *b)
{
    if (b != NULL) {
        buf_fini(&b->keys);
        buf_fini(&b->own);
        vector_fini(&b->added);
        free(b);
    }
}

static void drop_batches(registry_t *r)
{
    while (r->first != NULL) {
        struct pending_batch *b = r->first;
        r->first = b->next;
        batch_free(b);
    }
    r->last = NULL;
    batch_free(r->gathering);
    r->gathering = NULL;
}

void registry_destroy(registry_t **p)
{
    registry_t *r = *p;
    if (r == NULL) {
        return;
    }
    drop_batches(r);
    omap_destroy(&r->pending);
    if (r->changes != NULL) {
        registry_log_fini(r);
    }
    vector_fini(&r->vector);
    vector_fini(&r->durable);
    vector_fini(&r->stable);
    vector_fini(&r->released);
    vector_fini(&r->crowded);
    sibling_list_fini(&r->all);
    sibling_list_fini(&r->found);
    vector_fini(&r->rebuild.seen);
    buf_fini(&r->rebuild.at);
    buf_fini(&r->told);
    buf_fini(&r->key_bytes);
    buf_fini(&r->body);
    buf_fini(&r->entry);
    buf_fini(&r->context);
    free(r);
    *p = NULL;
}

/* The sum over all lives is the same wherever the same was seen. */
static uint64_t life_hash(const registry_t *r, const struct vector_origin *life)
{
    return fold_life_hash(r->conf.crypto.hash, life);
}

static int load_meta(registry_t *r, struct span value)
{
    struct registry_totals t;
    struct mp_reader m;
    mp_open(&m, value);
    size_t count = mp_read_array(&m);
    uint64_t version = mp_read_uint(&m, UINT64_MAX);
    t.hash = mp_read_uint(&m, UINT64_MAX);
    t.entries = mp_read_uint(&m, UINT64_MAX);
    t.marks = mp_read_uint(&m, UINT64_MAX);
    t.bytes = mp_read_uint(&m, UINT64_MAX);
    bool is_synced = mp_read_bool(&m);
    if (mp_failed(&m) || count < 6 || version != META_VERSION) {
        r->is_damaged = true;
        return HM_EMALFORMED;
    }
    r->totals = t;
    r->has_meta = true;
    r->durable_totals = t;
    r->is_synced = is_synced;
    return HM_OK;
}

int registry_load(registry_t *r, struct span key, struct span value)
{
    struct origin origin;
    if (key.size == sizeof REGISTRY_META_KEY - 1 &&
        memcmp(key.data, REGISTRY_META_KEY, key.size) == 0) {
        return load_meta(r, value);
    }
    if (key.size == ORIGIN_BYTES + 1 && key.data[0] == RELEASED_PREFIX) {
        origin_get(key.data + 1, &origin);
        return vector_runs_read(value, &origin, &r->released);
    }
    if (key.size != ORIGIN_BYTES) {
        return HM_OK; /* of a newer version */
    }
    origin_get(key.data, &origin);
    int rc = vector_runs_read(value, &origin, &r->durable);
    if (rc == HM_OK) {
        r->seen_hash += life_hash(r, vector_find(&r->durable, &origin));
    }
    if (rc == HM_OK) {
        rc = vector_runs_read(value, &origin, &r->vector);
    }
    r->is_damaged |= rc == HM_EMALFORMED;
    return rc;
}

/* ---- what gathers ---------------------------------------------------------------------------- */

struct pending_batch *registry_gathering(registry_t *r)
{
    if (r->gathering == NULL) {
        struct pending_batch *b = calloc(1, sizeof *b);
        if (b != NULL) {
            buf_init(&b->keys, SIZE_MAX);
            buf_init(&b->own, SIZE_MAX);
            vector_init(&b->added);
            b->round = r->round;
            b->others = r->others;
        }
        r->gathering = b;
    }
    return r->gathering;
}

/* Appends bytes after their length. */
static int list_add(struct buf *list, struct span bytes)
{
    uint8_t *to = buf_extend(list, 2 + bytes.size);
    if (to == NULL) {
        return HM_ENOMEM;
    }
    memcpy(be_put(to, bytes.size, 2), bytes.data, bytes.size);
    return HM_OK;
}

static bool list_next(const struct buf *list, size_t *at, struct span *ret_bytes)
{
    if (*at >= list->size) {
        return false;
    }
    size_t size = (size_t) be_get(list->data + *at, 2);
    *ret_bytes = span_of(list->data + *at + 2, size);
    *at += 2 + size;
    return true;
}

static struct span table_key(registry_t *r, enum store_table table, struct span key)
{
    uint8_t t = (uint8_t) table;
    buf_clear(&r->key_bytes);
    buf_append(&r->key_bytes, &t, 1);
    buf_append(&r->key_bytes, key.data, key.size);
    HM_ASSERT(!buf_failed(&r->key_bytes)); /* its room was made by the first use, keys are bounded */
    return buf_span(&r->key_bytes);
}

int registry_stage(registry_t *r, enum store_table table, struct span key, struct span value,
                   bool is_own)
{
    struct pending_batch *b = registry_gathering(r);
    uint64_t tag = 0;
    if (b == NULL) {
        return HM_ENOMEM;
    }
    struct span full = table_key(r, table, key);
    int rc = omap_exchange(r->pending, full, value, 2 * b->round + is_own, &tag);
    if (rc == HM_OK && tag / 2 != b->round) { /* not listed yet; rounds begin with 1 */
        rc = list_add(&b->keys, full);
        b->key_count++;
    }
    if (rc == HM_OK && is_own && table == STORE_ENTRIES && value.data != NULL) {
        rc = list_add(&b->own, key);
    }
    b->bytes += full.size + value.size;
    b->is_meta = true;
    b->is_awaited |= is_own;
    return rc;
}

int registry_see(registry_t *r, const struct dot *dot)
{
    struct pending_batch *b = registry_gathering(r);
    if (b == NULL) {
        return HM_ENOMEM;
    }
    int rc = vector_add(&b->added, dot);
    return rc == HM_OK ? vector_add(&r->vector, dot) : rc;
}

int registry_claim(registry_t *r, const struct vector *theirs)
{
    struct vector_diff diff;
    struct vector news;
    struct origin origin;
    struct run run;
    int rc = r->rebuild.is_on ? HM_EBUSY : HM_OK;
    vector_init(&news);
    vector_diff_open(&diff, theirs, &r->vector);
    while (rc == HM_OK && vector_diff_next(&diff, &origin, &run)) {
        if (origin_eq(&origin, &r->conf.self)) {
            run.last = run.last < r->seq ? run.last : r->seq; /* nobody knows more of it than we do */
        }
        rc = run.first <= run.last ? vector_add_run(&news, &origin, run) : HM_OK;
    }
    if (rc == HM_OK && news.count > 0) {
        struct pending_batch *b = registry_gathering(r);
        rc = b == NULL ? HM_ENOMEM : vector_merge(&b->added, &news);
    }
    if (rc == HM_OK) {
        rc = vector_merge(&r->vector, &news);
    }
    vector_fini(&news);
    return rc;
}

int registry_set_synced(registry_t *r)
{
    struct pending_batch *b = r->is_synced ? r->gathering : registry_gathering(r);
    if (!r->is_synced && b == NULL) {
        return HM_ENOMEM;
    }
    if (!r->is_synced) {
        r->is_synced = true;
        b->is_meta = true;
        b->is_awaited = true;
    }
    return HM_OK;
}

int registry_set_stable(registry_t *r, const struct vector *stable)
{
    int rc = vector_copy(&r->stable, stable);
    if (rc == HM_OK && vector_covers(&r->stable, &r->crowded)) {
        vector_clear(&r->crowded);
    }
    return rc;
}

const struct vector *registry_crowded(const registry_t *r)
{
    return &r->crowded;
}

/* ---- to the disk ----------------------------------------------------------------------------- */

bool registry_is_dirty(const registry_t *r)
{
    return r->gathering != NULL;
}

bool registry_is_urgent(const registry_t *r)
{
    const struct pending_batch *b = r->gathering;
    return b != NULL && (b->is_awaited || b->is_rebuilt || b->bytes >= GATHERED_BYTES_MAX);
}

void registry_hurry(registry_t *r)
{
    if (r->gathering != NULL) {
        r->gathering->is_awaited = true;
    }
}

size_t registry_flush_count(const registry_t *r)
{
    const struct pending_batch *b = r->gathering;
    return b == NULL ? 0 : b->key_count + b->added.count + 1;
}

static void write_meta(const registry_t *r, struct buf *b)
{
    mp_array(b, 6);
    mp_uint(b, META_VERSION);
    mp_uint(b, r->totals.hash);
    mp_uint(b, r->totals.entries);
    mp_uint(b, r->totals.marks);
    mp_uint(b, r->totals.bytes);
    mp_bool(b, r->is_synced);
}

static struct store_entry *add_vector(registry_t *r, struct fxlist *fx, struct pending_batch *b,
                                      struct store_entry *to)
{
    struct buf bytes;
    uint8_t key[ORIGIN_BYTES];
    buf_init(&bytes, SIZE_MAX);
    for (size_t i = 0; i < b->added.count; i++) {
        const struct origin *origin = &b->added.items[i].origin;
        origin_put(key, origin);
        buf_clear(&bytes);
        vector_runs_write(&bytes, vector_find(&r->vector, origin));
        *to++ = (struct store_entry){.table = STORE_VECTOR,
                                     .key = fxlist_copy(fx, span_of(key, sizeof key)),
                                     .value = fxlist_copy(fx, buf_span(&bytes))};
    }
    buf_clear(&bytes);
    write_meta(r, &bytes);
    *to++ = (struct store_entry){
        .table = STORE_VECTOR,
        .key = span_of(REGISTRY_META_KEY, sizeof REGISTRY_META_KEY - 1),
        .value = fxlist_copy(fx, buf_span(&bytes))};
    buf_fini(&bytes);
    return to;
}

int registry_flush(registry_t *r, uint64_t batch, struct fxlist *fx, struct store_entry *items)
{
    struct pending_batch *b = r->gathering;
    struct span full, value;
    size_t at = 0;
    HM_ASSERT(b != NULL);
    struct store_entry *to = items;
    while (list_next(&b->keys, &at, &full)) {
        bool is_there = omap_get(r->pending, full, &value, NULL);
        HM_ASSERT(is_there);
        *to++ = (struct store_entry){.table = (enum store_table) full.data[0],
                                     .key = span_of(full.data + 1, full.size - 1),
                                     .value = value};
    }
    to = add_vector(r, fx, b, to);
    HM_ASSERT((size_t) (to - items) == registry_flush_count(r));
    b->number = batch;
    b->totals = r->totals;
    if (r->last == NULL) {
        r->first = b;
    } else {
        r->last->next = b;
    }
    r->last = b;
    r->gathering = NULL;
    r->round++;
    return fx->failed ? HM_ENOMEM : HM_OK;
}

/* An own write supersedes all that was held of its key. So it is what is shown, unless something else was done since. */
static bool is_shown(registry_t *r, const struct pending_batch *b, const struct entry *own)
{
    struct registry_siblings siblings;
    return b->others == r->others || (registry_get(r, LOOK_SHOWN, own->key, &siblings) == HM_OK &&
                                    dot_eq(&siblings.items[0].dot, &own->dot));
}

/* An own entry is on disk: others may have it now, and clients see it. */
static int tell_own(registry_t *r, struct pending_batch *b)
{
    struct span record_key, value;
    struct entry e;
    size_t at = 0;
    int rc = HM_OK;
    while (rc == HM_OK && list_next(&b->own, &at, &record_key)) {
        if (!registry_read(r, LOOK_COMMITTED, STORE_ENTRIES, record_key, &value) ||
            entry_read(value, &e) != HM_OK) {
            continue; /* superseded meanwhile by what is told instead */
        }
        rc = list_add(&r->told, record_key);
        if (rc == HM_OK && is_shown(r, b, &e)) {
            rc = registry_changed(r, value);
        }
    }
    return rc;
}

/* What was added is durable. */
static int durable_add(registry_t *r, const struct vector *added)
{
    int rc = HM_OK;
    for (size_t i = 0; i < added->count && rc == HM_OK; i++) {
        const struct vector_origin *o = &added->items[i];
        r->seen_hash -= life_hash(r, vector_find(&r->durable, &o->origin));
        for (size_t j = 0; j < o->count && rc == HM_OK; j++) {
            rc = vector_add_run(&r->durable, &o->origin, o->runs[j]);
        }
        r->seen_hash += life_hash(r, vector_find(&r->durable, &o->origin));
    }
    return rc;
}

static int batch_durable(registry_t *r, struct pending_batch *b)
{
    struct span full;
    size_t at = 0;
    while (list_next(&b->keys, &at, &full)) {
        omap_remove_tagged(r->pending, full, 2 * b->round, 2 * b->round + 1);
    }
    if (b->is_rebuilt) {
        vector_clear(&r->durable);
        r->seen_hash = 0;
        r->is_damaged = false;
    }
    int rc = durable_add(r, &b->added);
    r->durable_totals = b->totals;
    r->durable_round = b->round;
    return rc == HM_OK ? tell_own(r, b) : rc;
}

int registry_durable(registry_t *r, uint64_t batch)
{
    int rc = HM_OK;
    while (r->first != NULL && r->first->number <= batch && rc == HM_OK) {
        struct pending_batch *b = r->first;
        r->first = b->next;
        if (r->first == NULL) {
            r->last = NULL;
        }
        rc = batch_durable(r, b);
        batch_free(b);
    }
    return rc;
}

int registry_failed(registry_t *r)
{
    r->failed_from = r->durable_round + 1;
    r->failed_to = r->round;
    r->round++;
    bool was_rebuilt = false;
    for (const struct pending_batch *b = r->first; b != NULL; b = b->next) {
        was_rebuilt |= b->is_rebuilt;
    }
    was_rebuilt |= r->rebuild.is_on || (r->gathering != NULL && r->gathering->is_rebuilt);
    drop_batches(r);
    if (was_rebuilt) {
        registry_rebuild(r);
    }
    omap_clear(r->pending);
    vector_clear(&r->crowded); /* they come again */
    r->totals = r->durable_totals;
    return vector_copy(&r->vector, &r->durable);
}

bool registry_take_durable(registry_t *r, struct span *ret_bytes)
{
    struct span record_key;
    while (list_next(&r->told, &r->told_at, &record_key)) {
        if (registry_read(r, LOOK_COMMITTED, STORE_ENTRIES, record_key, ret_bytes)) {
            return true;
        }
    }
    buf_clear(&r->told);
    r->told_at = 0;
    return false;
}

uint64_t registry_round(const registry_t *r)
{
    return r->round;
}

enum registry_fate registry_fate(const registry_t *r, uint64_t round)
{
    if (round >= r->failed_from && round <= r->failed_to) {
        return REGISTRY_FAILED;
    }
    return round <= r->durable_round ? REGISTRY_DURABLE : REGISTRY_WAITS;
}

/* ---- what is told of it ---------------------------------------------------------------------- */

uint64_t registry_record_hash(const registry_t *r, struct span record_key)
{
    return r->conf.crypto.hash(record_key);
}

const struct vector *registry_vector(const registry_t *r)
{
    return &r->vector;
}

const struct vector *registry_durable_vector(const registry_t *r)
{
    return &r->durable;
}

const struct registry_totals *registry_totals(const registry_t *r)
{
    return &r->totals;
}

uint64_t registry_durable_hash(const registry_t *r)
{
    return r->durable_totals.hash;
}

uint64_t registry_state(const registry_t *r)
{
    uint8_t both[16];
    be_put(be_put(both, r->seen_hash, 8), r->durable_totals.hash, 8);
    uint64_t state = r->conf.crypto.hash(span_of(both, sizeof both));
    return state == 0 ? 1 : state;
}

const struct vector *registry_released(const registry_t *r)
{
    return &r->released;
}

bool registry_is_damaged(const registry_t *r)
{
    return r->is_damaged;
}

int registry_loaded(registry_t *r)
{
    struct span key;
    struct entry e;
    if (r->is_damaged ||
        (!r->has_meta && registry_next(r, LOOK_COMMITTED, span_of(NULL, 0), true, &key, &e))) {
        registry_rebuild(r);
        return HM_EMALFORMED;
    }
    return HM_OK;
}

bool registry_is_synced(const registry_t *r)
{
    return r->is_synced;
}

size_t registry_pending_bytes(const registry_t *r)
{
    return omap_bytes(r->pending);
}
