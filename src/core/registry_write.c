/* SPDX-License-Identifier: MPL-2.0 */
/* What merging and writing do to the map: superseding, conflicts, deletion marks. See registry.h and
 * docs/protocol/registry.md. */
#include "base/err.h"
#include "base/limits.h"
#include "core/registry_priv.h"
#include "wire/mpack.h"
#include "wire/removal_msg.h"

#include <string.h>

/* ---- records in and out ---------------------------------------------------------------------- */

static void count_in(registry_t *r, struct span record_key, size_t bytes, bool is_deleted)
{
    struct registry_totals *t = &r->totals;
    t->bytes += record_key.size + bytes;
    if (is_deleted) {
        t->marks++;
    } else {
        t->entries++;
        t->hash += registry_record_hash(r, record_key);
    }
}

static void count_out(registry_t *r, struct span record_key, size_t bytes, bool is_deleted)
{
    struct registry_totals *t = &r->totals;
    t->bytes -= record_key.size + bytes;
    if (is_deleted) {
        t->marks--;
    } else {
        t->entries--;
        t->hash -= registry_record_hash(r, record_key);
    }
}

static int put_record(registry_t *r, const struct entry *e, struct span bytes, bool is_own)
{
    uint8_t record_key[ENTRY_RECORD_BYTES_MAX];
    uint8_t dot_bytes[DOT_BYTES];
    size_t size = registry_record_key(r, e->key, &e->dot, record_key);
    struct span key = span_of(record_key, size);
    struct span dot = span_of(dot_bytes, sizeof dot_bytes);
    dot_put(dot_bytes, &e->dot);
    r->others += !is_own;
    count_in(r, key, bytes.size, e->is_deleted);
    int rc = registry_stage(r, STORE_ENTRIES, key, bytes, is_own);
    if (rc == HM_OK) {
        rc = registry_stage(r, STORE_DOTS, dot, key, is_own);
    }
    return rc == HM_OK && e->is_deleted ? registry_stage(r, STORE_MARKS, dot, key, is_own) : rc;
}

static int remove_record(registry_t *r, struct span record_key, const struct entry *e, bool is_own)
{
    uint8_t dot_bytes[DOT_BYTES];
    uint8_t key_bytes[ENTRY_RECORD_BYTES_MAX];
    struct span none = span_of(NULL, 0);
    struct span dot = span_of(dot_bytes, sizeof dot_bytes);
    bool is_deleted = e->is_deleted; /* e may lie in the very record that is about to go, the key, too */
    dot_put(dot_bytes, &e->dot);
    r->others += !is_own;
    count_out(r, record_key, e->bytes.size, e->is_deleted);
    memcpy(key_bytes, record_key.data, record_key.size);
    int rc = registry_stage(r, STORE_ENTRIES, span_of(key_bytes, record_key.size), none, is_own);
    if (rc == HM_OK) {
        rc = registry_stage(r, STORE_DOTS, dot, none, is_own);
    }
    return rc == HM_OK && is_deleted ? registry_stage(r, STORE_MARKS, dot, none, is_own) : rc;
}

static int check_room(const registry_t *r)
{
    return r->rebuild.is_on || omap_bytes(r->pending) > HM_PENDING_BYTES_MAX ? HM_EBUSY : HM_OK;
}

int registry_drop(registry_t *r, struct span record_key)
{
    struct span value;
    struct entry e;
    if (r->rebuild.is_on) {
        return HM_EBUSY;
    }
    if (!registry_read(r, LOOK_ALL, STORE_ENTRIES, record_key, &value) ||
        entry_read(value, &e) != HM_OK) {
        return HM_ENOTFOUND;
    }
    return remove_record(r, record_key, &e, false);
}

bool registry_next_mark(registry_t *r, const struct dot *from, bool inclusive,
                        struct span *ret_record_key, struct entry *ret_entry)
{
    uint8_t bytes[DOT_BYTES];
    struct span key = span_of(bytes, sizeof bytes);
    struct span value;
    dot_put(bytes, from);
    while (registry_next_record(r, LOOK_COMMITTED, STORE_MARKS, key, inclusive, &key,
                                ret_record_key)) {
        if (registry_read(r, LOOK_COMMITTED, STORE_ENTRIES, *ret_record_key, &value) &&
            entry_read(value, ret_entry) == HM_OK) {
            return true;
        }
        inclusive = false;
    }
    return false;
}

/* What everybody has of the mark's life, up to it, without a gap: that names no more than the mark for those who
 * may lack it, and stays one run as more marks go. Where it is not known, all up to the mark. */
static struct run stable_run(const registry_t *r, const struct dot *mark)
{
    const struct vector_origin *o = vector_find(&r->stable, &mark->origin);
    struct run run = {1, mark->seq};
    for (size_t i = 0; o != NULL && i < o->count && o->runs[i].first <= mark->seq; i++) {
        run.first = o->runs[i].last >= mark->seq ? o->runs[i].first : run.first;
    }
    return run;
}

int registry_release(registry_t *r, struct span record_key, const struct entry *mark)
{
    uint8_t key[1 + ORIGIN_BYTES];
    struct run run = stable_run(r, &mark->dot);
    struct origin origin = mark->dot.origin;
    struct buf b;
    struct span value;
    if (r->rebuild.is_on || !registry_read(r, LOOK_ALL, STORE_ENTRIES, record_key, &value)) {
        return HM_OK; /* later, or superseded meanwhile */
    }
    int rc = vector_add_run(&r->released, &origin, run);
    if (rc == HM_OK) {
        rc = remove_record(r, record_key, mark, false);
    }
    buf_init(&b, SIZE_MAX);
    key[0] = RELEASED_PREFIX;
    origin_put(key + 1, &origin);
    vector_runs_write(&b, vector_find(&r->released, &origin));
    if (rc == HM_OK) {
        rc = buf_failed(&b) ? HM_ENOMEM
                            : registry_stage(r, STORE_VECTOR, span_of(key, sizeof key),
                                             buf_span(&b), false);
    }
    buf_fini(&b);
    return rc;
}

/* ---- merging --------------------------------------------------------------------------------- */

/* The shown one of a list; NULL: nothing. */
static const struct entry *shown_of(const struct sibling_list *list)
{
    const struct entry *best = NULL;
    for (size_t i = 0; i < list->count; i++) {
        if (best == NULL || registry_shown_cmp(&list->items[i], best) < 0) {
            best = &list->items[i];
        }
    }
    return best;
}

static int check_signature(const registry_t *r, const struct entry *e, const uint8_t public_key[32])
{
    static const char context[] = ENTRY_SIGN_CONTEXT;
    uint8_t tag[8];
    struct buf message;
    if (e->signature.data == NULL) {
        return HM_EDENIED;
    }
    buf_init(&message, HM_FRAME_BYTES_MAX);
    be_put(tag, r->conf.mesh_tag, sizeof tag);
    buf_append(&message, context, sizeof context - 1);
    buf_append(&message, tag, sizeof tag);
    buf_append(&message, e->body.data, e->body.size);
    int rc = buf_failed(&message) ? HM_ENOMEM : HM_OK;
    if (rc == HM_OK && !r->conf.crypto.verify(public_key, buf_span(&message), e->signature.data)) {
        rc = HM_EDENIED;
    }
    buf_fini(&message);
    return rc;
}

/* A removal is only ever added, by another than the removed node, and names its writer's key itself. */
static int check_removal(const registry_t *r, const struct node_id *about, const struct node_id *writer,
                         struct span value, struct removal *ret_removal)
{
    struct node_id by;
    if (node_id_is_zero(about) || node_id_eq(about, writer) ||
        removal_read(value, ret_removal) != HM_OK) {
        return HM_EDENIED;
    }
    r->conf.crypto.id_of_key(ret_removal->key, &by);
    return node_id_eq(&by, writer) ? HM_OK : HM_EDENIED;
}

static int check_owner(const registry_t *r, const struct entry *e)
{
    struct node_id owner;
    struct removal removal;
    uint8_t public_key[32];
    if (key_removed(e->key, &owner)) {
        bool is_sound = !e->is_deleted && e->type == ENTRY_REGISTER &&
                        e->bytes.size <= REMOVAL_ENTRY_BYTES_MAX &&
                        check_removal(r, &owner, &e->dot.origin.node, e->value, &removal) == HM_OK;
        return is_sound ? check_signature(r, e, removal.key) : HM_EDENIED;
    }
    if (!key_owner(e->key, &owner)) {
        return HM_OK;
    }
    if (!node_id_eq(&owner, &e->dot.origin.node)) {
        return HM_EDENIED;
    }
    if (r->conf.key_of == NULL || !r->conf.key_of(r->conf.ctx, &owner, public_key)) {
        return HM_ENOTFOUND;
    }
    return check_signature(r, e, public_key);
}

/* Others may still bring what a removed node wrote under its own keys. */
static bool is_of_removed(const registry_t *r, const struct entry *e)
{
    struct node_id owner;
    return r->conf.is_removed != NULL && key_owner(e->key, &owner) &&
           node_id_eq(&owner, &e->dot.origin.node) && r->conf.is_removed(r->conf.ctx, &owner);
}

/* Whether what is held already says all that e says. */
static bool is_held(const struct sibling_list *list, const struct entry *e)
{
    for (size_t i = 0; i < list->count; i++) {
        if (dot_eq(&list->items[i].dot, &e->dot) || entry_supersedes(&list->items[i], &e->dot)) {
            return true;
        }
    }
    return false;
}

static bool supersedes(const registry_t *r, const struct entry *e, const struct entry *other)
{
    if ((r->conf.broken & REG_BREAK_CLOCK_WINS) != 0 && e->wall_ms > other->wall_ms) {
        return true;
    }
    return entry_supersedes(e, &other->dot);
}

/* Takes an entry that is not held; what it supersedes goes. */
static int take(registry_t *r, const struct entry *e, struct span bytes, bool is_own)
{
    struct sibling_list *list = &r->all;
    const struct entry *before = shown_of(list);
    const struct entry *after = e;
    int rc = put_record(r, e, bytes, is_own);
    for (size_t i = 0; i < list->count; i++) {
        if (!supersedes(r, e, &list->items[i]) && registry_shown_cmp(&list->items[i], after) < 0) {
            after = &list->items[i];
        }
    }
    if (rc == HM_OK && !is_own && (before == NULL || !dot_eq(&before->dot, &after->dot))) {
        rc = registry_changed(r, after == e ? bytes : after->bytes);
    }
    for (size_t i = 0; i < list->count && rc == HM_OK; i++) {
        if (supersedes(r, e, &list->items[i])) {
            rc = remove_record(r, list->record_keys[i], &list->items[i], is_own);
        }
    }
    if (rc == HM_OK && e->context_count > HM_CONTEXT_LONG) {
        rc = vector_add(&r->crowded, &e->dot);
    }
    return rc == HM_OK ? registry_see(r, &e->dot) : rc;
}

/* Only this process knows what it has written in this life: an entry, or a context, that names more of it is
 * forged. Taken, it would make others take our next writes for known. */
static bool is_forged(const registry_t *r, const struct entry *e)
{
    struct span rest = e->context;
    struct dot dot = e->dot;
    do {
        if (dot.seq > r->seq && origin_eq(&dot.origin, &r->conf.self)) {
            return true;
        }
    } while (context_next(&rest, &dot));
    return false;
}

int registry_merge(registry_t *r, struct span bytes, enum registry_outcome *ret_outcome)
{
    struct node_id removed;
    struct entry e;
    int rc = entry_read(bytes, &e);
    if (rc != HM_OK) {
        return rc;
    }
    r->merged = e;
    if (vector_has(&r->vector, &e.dot)) {
        *ret_outcome = REGISTRY_KNOWN;
        return HM_OK;
    }
    if (is_forged(r, &e)) {
        return HM_EDENIED;
    }
    if (is_of_removed(r, &e)) {
        *ret_outcome = REGISTRY_OBSOLETE;
        return registry_see(r, &e.dot);
    }
    if ((rc = check_room(r)) != HM_OK || (rc = check_owner(r, &e)) != HM_OK ||
        (rc = registry_find(r, LOOK_ALL, e.key, &r->all)) != HM_OK) {
        return rc;
    }
    if (is_held(&r->all, &e)) {
        *ret_outcome = REGISTRY_OBSOLETE;
        return registry_see(r, &e.dot);
    }
    rc = take(r, &e, bytes, false);
    if (rc == HM_OK) {
        *ret_outcome = REGISTRY_NEW;
    }
    if (rc == HM_OK && key_removed(e.key, &removed) && r->conf.removed != NULL) {
        r->conf.removed(r->conf.ctx, &removed);
    }
    return rc;
}

const struct entry *registry_merged(const registry_t *r)
{
    return &r->merged;
}

/* ---- own writes ------------------------------------------------------------------------------ */

/* The newest of each life that is seen in the siblings, or in what they had seen. What all members
 * have for certain need not be named again. */
static int gather_context(registry_t *r, struct vector *seen)
{
    int rc = HM_OK;
    for (size_t i = 0; i < r->all.count && rc == HM_OK; i++) {
        const struct entry *e = &r->all.items[i];
        struct span rest = e->context;
        struct dot dot;
        rc = vector_add(seen, &e->dot);
        bool is_stable = vector_has(&r->stable, &e->dot);
        while (rc == HM_OK && !is_stable && context_next(&rest, &dot)) {
            rc = vector_add(seen, &dot);
        }
    }
    return rc;
}

static int make_context(registry_t *r, size_t *ret_count)
{
    struct vector seen;
    vector_init(&seen);
    int rc = gather_context(r, &seen);
    buf_clear(&r->context);
    for (size_t i = 0; i < seen.count && rc == HM_OK; i++) {
        const struct vector_origin *o = &seen.items[i];
        struct dot newest = {o->origin, o->runs[o->count - 1].last};
        context_write(&r->context, &newest);
    }
    *ret_count = seen.count;
    if (rc == HM_OK && seen.count > HM_CONTEXT_MAX) {
        rc = HM_EFULL;
    }
    vector_fini(&seen);
    return rc == HM_OK && buf_failed(&r->context) ? HM_ENOMEM : rc;
}

static uint64_t next_lamport(const struct sibling_list *list)
{
    uint64_t lamport = 0;
    for (size_t i = 0; i < list->count; i++) {
        lamport = list->items[i].lamport > lamport ? list->items[i].lamport : lamport;
    }
    return lamport < UINT64_MAX ? lamport + 1 : lamport;
}

static bool has_live(const struct sibling_list *list)
{
    const struct entry *shown = shown_of(list);
    return shown != NULL && !shown->is_deleted;
}

static int check_write(registry_t *r, const struct registry_write *w, bool *ret_signed)
{
    struct node_id owner;
    struct removal removal;
    int rc = key_check(w->key);
    if (rc == HM_OK && key_removed(w->key, &owner)) {
        *ret_signed = true;
        if (w->is_deleted || w->type != ENTRY_REGISTER ||
            check_removal(r, &owner, &r->conf.self.node, w->value, &removal) != HM_OK) {
            return HM_EDENIED;
        }
        return check_room(r); /* also when the registry is full: it may be what makes room */
    }
    *ret_signed = rc == HM_OK && key_owner(w->key, &owner);
    if (*ret_signed && !node_id_eq(&owner, &r->conf.self.node)) {
        return HM_EDENIED;
    }
    if (rc == HM_OK && !w->is_deleted) {
        rc = value_check(w->value);
    }
    if (rc == HM_OK && !w->is_deleted &&
        (r->totals.entries + r->totals.marks >= HM_ENTRIES_MAX ||
         r->totals.bytes >= HM_REGISTRY_BYTES_MAX)) {
        return HM_EFULL;
    }
    return rc == HM_OK ? check_room(r) : rc;
}

static int sign(registry_t *r, uint8_t signature[SIGNATURE_BYTES])
{
    static const char context[] = ENTRY_SIGN_CONTEXT;
    uint8_t tag[8];
    struct buf message;
    buf_init(&message, HM_FRAME_BYTES_MAX);
    be_put(tag, r->conf.mesh_tag, sizeof tag);
    buf_append(&message, context, sizeof context - 1);
    buf_append(&message, tag, sizeof tag);
    buf_append(&message, r->body.data, r->body.size);
    int rc = buf_failed(&message) ? HM_ENOMEM : HM_OK;
    if (rc == HM_OK) {
        r->conf.crypto.sign(r->conf.crypto.identity, buf_span(&message), signature);
    }
    buf_fini(&message);
    return rc;
}

/* Makes the bytes of an own entry in r->entry. */
static int make_entry(registry_t *r, struct entry *e, bool is_signed)
{
    uint8_t signature[SIGNATURE_BYTES];
    buf_clear(&r->body);
    buf_clear(&r->entry);
    entry_body_write(&r->body, e);
    if (is_signed) {
        int rc = sign(r, signature);
        if (rc != HM_OK) {
            return rc;
        }
    }
    entry_write(&r->entry, buf_span(&r->body),
                is_signed ? span_of(signature, sizeof signature) : span_of(NULL, 0));
    return buf_failed(&r->body) || buf_failed(&r->entry) ? HM_EFULL : HM_OK;
}

int registry_write(registry_t *r, const struct registry_write *w, struct dot *ret_dot)
{
    struct entry e = {.key = w->key, .type = w->type, .is_deleted = w->is_deleted,
                      .wall_ms = w->wall_ms};
    bool is_signed;
    int rc = check_write(r, w, &is_signed);
    if (rc != HM_OK || (rc = registry_find(r, LOOK_ALL, w->key, &r->all)) != HM_OK) {
        return rc;
    }
    if (w->is_deleted && !has_live(&r->all)) {
        return HM_ENOTFOUND;
    }
    if ((rc = make_context(r, &e.context_count)) != HM_OK) {
        return rc;
    }
    e.context = buf_span(&r->context);
    e.value = w->is_deleted ? span_of(NULL, 0) : w->value;
    e.lamport = next_lamport(&r->all);
    e.dot = (struct dot){r->conf.self, r->seq + 1};
    if ((rc = make_entry(r, &e, is_signed)) != HM_OK) {
        return rc;
    }
    r->seq++;
    rc = take(r, &e, buf_span(&r->entry), true);
    if (rc == HM_OK && ret_dot != NULL) {
        *ret_dot = e.dot;
    }
    return rc;
}
