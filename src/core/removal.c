/* SPDX-License-Identifier: MPL-2.0 */
/* Nodes that were removed for good (`meshctl nodes remove`).
 *
 * A removal is an entry of the registry, removed/ID, that is only ever added (wire/removal_msg.h). Who merges
 * it takes the node off the roster, drops what only that node may write (node/ID/, svc/ID/, sub/ID/)
 * without deletion marks, and takes nothing from the node itself any more. What it wrote under shared keys stays,
 * also what others bring later.
 *
 *     merged, or ours is durable ── settle: the node is told ── GRACE_NS ── off the roster, link closed,
 *                                                                           its keys dropped in portions
 *
 * The set of removed ids is read from the registry at the start. All that follows is done again at each start
 * and after a failed batch, until nothing is left to do: so it may be cut short anywhere.
 *
 * The removed node is told by the very entry, which it verifies: over its link as everybody is, and under the
 * mesh's key whenever it speaks. It keeps the entry and says nothing any more, also after a restart. */
#include "base/err.h"
#include "base/text.h"
#include "core/core_priv.h"
#include "wire/registry_msg.h"
#include "wire/removal_msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_NS (100 * MS_NS)   /* for what is on its way over its link */
#define LOOKS_AT_ONCE 256        /* in the registry: bounds a step */
#define TELLS_PER_SECOND 10
#define TELLS_BURST 20

void removals_init(core_t *c)
{
    buf_init(&c->removals.forgotten, SIZE_MAX);
}

void removals_fini(core_t *c)
{
    free(c->removals.items);
    buf_fini(&c->removals.forgotten);
}

/* ---- the set --------------------------------------------------------------------------------- */

static size_t place_of(const struct removals *r, const struct node_id *id)
{
    size_t low = 0;
    size_t high = r->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (node_id_cmp(&r->items[mid].id, id) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct removed_node *find(const struct removals *r, const struct node_id *id)
{
    size_t at = place_of(r, id);
    return at < r->count && node_id_eq(&r->items[at].id, id) ? &r->items[at] : NULL;
}

/* NULL: no memory. */
static struct removed_node *add(struct removals *r, const struct node_id *id)
{
    if (r->count == r->room) {
        size_t room = r->room == 0 ? 8 : 2 * r->room;
        struct removed_node *items = realloc(r->items, room * sizeof *items);
        if (items == NULL) {
            return NULL;
        }
        r->items = items;
        r->room = room;
    }
    size_t at = place_of(r, id);
    memmove(r->items + at + 1, r->items + at, (r->count - at) * sizeof *r->items);
    r->count++;
    r->items[at] = (struct removed_node){.id = *id, .is_clean = true};
    return &r->items[at];
}

bool removal_has(const core_t *c, const struct node_id *id)
{
    return c->removals.count > 0 && find(&c->removals, id) != NULL;
}

static void set_clean(struct removals *r, struct removed_node *node, bool is_clean)
{
    r->unclean += node->is_clean && !is_clean;
    r->unclean -= !node->is_clean && is_clean;
    node->is_clean = is_clean;
}

void removal_noted(core_t *c, const struct node_id *id)
{
    struct removals *r = &c->removals;
    struct removed_node *node = find(r, id);
    if (node == NULL) {
        node = add(r, id);
    }
    if (node == NULL) {
        c->fx.failed = true;
        return;
    }
    set_clean(r, node, false);
    r->fresh += !node->is_new;
    node->is_new = true;
}

void removal_forget(core_t *c, const struct node_id *id)
{
    buf_append(&c->removals.forgotten, id->b, NODE_ID_BYTES);
    c->fx.failed |= buf_failed(&c->removals.forgotten);
}

/* ---- reading the entries --------------------------------------------------------------------- */

/* The entry that says so; lives until the registry changes. */
static bool read_entry(core_t *c, const struct node_id *id, struct entry *ret_entry)
{
    char key[REMOVAL_KEY_BYTES + 1];
    struct registry_siblings s;
    if (registry_get(c->registry, LOOK_ALL, removal_key(id, key), &s) != HM_OK || s.live == 0) {
        return false;
    }
    *ret_entry = s.items[0];
    return true;
}

static void view_of(core_t *c, const struct node_id *id, struct removal_view *v)
{
    struct entry e;
    struct removal removal;
    memset(v, 0, sizeof *v);
    v->id = *id;
    if (read_entry(c, id, &e)) {
        v->by = e.dot.origin.node;
        if (removal_read(e.value, &removal) == HM_OK) {
            memcpy(v->name, removal.name, sizeof v->name);
            memcpy(v->by_name, removal.by, sizeof v->by_name);
            v->wall_ms = removal.wall_ms;
        }
    }
}

size_t core_removal_count(const core_t *c)
{
    return c->removals.count;
}

void core_removal_at(core_t *c, size_t idx, struct removal_view *ret_view)
{
    HM_ASSERT(idx < c->removals.count);
    view_of(c, &c->removals.items[idx].id, ret_view);
}

/* This node was removed: from now on it says nothing and hears nothing. Its data stays. */
static void stand_down(core_t *c)
{
    struct removal_view v;
    view_of(c, &c->self->id, &v);
    c->removals.is_self = true;
    copy_silence(c);
    report_event(c, c->self, EVENT_REMOVED, REASON_REMOVED, &v.by);
    struct effect *fx = fxlist_add(&c->fx, FX_NOTE);
    if (fx != NULL) {
        fx->as.note.level = NOTE_ERROR;
        fx->as.note.code = NOTE_SELF_REMOVED;
        fx->as.note.reason = REASON_REMOVED;
        fx->as.note.observer = v.by;
        text_copy(fx->as.note.name, sizeof fx->as.note.name,
                  v.by_name[0] != '\0' ? v.by_name : "another node");
    }
}

void removals_load(core_t *c)
{
    uint8_t prefix[ENTRY_RECORD_BYTES_MAX];
    struct span text = span_of(REMOVAL_PREFIX, sizeof REMOVAL_PREFIX - 1);
    struct node_id id;
    struct entry e;
    if (c->registry == NULL) {
        return;
    }
    struct span at = span_of(prefix, registry_record_prefix(c->registry, text, prefix));
    bool inclusive = true;
    while (registry_next(c->registry, LOOK_ALL, at, inclusive, &at, &e) &&
           key_removed(e.key, &id)) {
        inclusive = false;
        if (!node_id_is_zero(&id) && !e.is_deleted) {
            removal_noted(c, &id);
        }
    }
    if (removal_has(c, &c->self->id)) {
        stand_down(c);
    }
    for (size_t i = 0; i < c->removals.count; i++) {
        c->removals.items[i].is_new = false; /* nobody is there to be told */
    }
    c->removals.fresh = 0;
}

/* ---- what follows ---------------------------------------------------------------------------- */

/* Over the link, behind what was pushed: with many members only neighbours are pushed to. */
static void tell_over_link(core_t *c, struct member *m)
{
    struct buf one, frame;
    struct entry e;
    buf_init(&one, HM_FRAME_BYTES_MAX);
    buf_init(&frame, HM_FRAME_BYTES_MAX);
    if (m->link == LINK_UP && read_entry(c, &m->id, &e)) {
        reg_entry_append(&one, e.bytes);
        struct reg_entries entries = {buf_span(&one), 1};
        reg_push_write(&frame, &entries);
        if (!buf_failed(&frame)) {
            send_frame(c, m, FRAME_REG_PUSH, buf_span(&frame));
        }
    }
    buf_fini(&one);
    buf_fini(&frame);
}

void removals_settle(core_t *c)
{
    struct removals *r = &c->removals;
    if (r->fresh == 0) {
        return;
    }
    r->fresh = 0;
    plumtree_flush(c); /* the removal itself, before what follows from it */
    for (size_t i = 0; i < r->count; i++) {
        struct member *m = r->items[i].is_new ? roster_find(&c->roster, &r->items[i].id) : NULL;
        r->items[i].is_new = false;
        if (m == NULL || r->is_self) {
            continue;
        }
        if (m == c->self) {
            stand_down(c);
            continue;
        }
        tell_over_link(c, m);
        if (member_is_up(m)) {
            removal_tell(c, &m->id, &m->addr, 0);
        }
    }
    if (c->ready) {
        core_arm_earlier(c, TIMER_REMOVAL, c->now_ns + GRACE_NS);
    }
}

void removals_again(core_t *c)
{
    struct removals *r = &c->removals;
    for (size_t i = 0; i < r->count; i++) {
        set_clean(r, &r->items[i], false);
        removal_forget(c, &r->items[i].id);
    }
    removals_touch(c);
}

void removals_touch(core_t *c)
{
    if (c->ready && c->removals.unclean > 0) {
        core_arm_earlier(c, TIMER_REMOVAL, c->now_ns + GRACE_NS);
    }
}

/* Drops what is held below a prefix. False: there may be more. */
static bool drop_below(core_t *c, struct span prefix, size_t *looks)
{
    uint8_t at_bytes[ENTRY_RECORD_BYTES_MAX];
    struct span at = prefix;
    struct entry e;
    for (bool inclusive = true; *looks < LOOKS_AT_ONCE; inclusive = false) {
        (*looks)++;
        if (!registry_next(c->registry, LOOK_ALL, at, inclusive, &at, &e) ||
            e.key.size < prefix.size || memcmp(e.key.data, prefix.data, prefix.size) != 0) {
            return true;
        }
        memcpy(at_bytes, at.data, at.size);
        at = span_of(at_bytes, at.size);
        if (registry_drop(c->registry, at) == HM_ENOMEM) {
            c->fx.failed = true;
            return false;
        }
        c->wakes |= WAKE_CHANGE;
    }
    return false;
}

static bool drop_all_of(core_t *c, const struct node_id *id, size_t *looks)
{
    static const char *const owned[] = {"node", "svc", "sub"};
    char hex[NODE_ID_TEXT_BYTES];
    char prefix[8 + NODE_ID_TEXT_BYTES];
    text_hex(id->b, NODE_ID_BYTES, hex);
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        int size = snprintf(prefix, sizeof prefix, "%s/%s/", owned[i], hex);
        HM_ASSERT(size > 0 && (size_t) size < sizeof prefix);
        if (!drop_below(c, span_of(prefix, (size_t) size), looks)) {
            return false;
        }
    }
    return true;
}

void removals_tick(core_t *c)
{
    struct removals *r = &c->removals;
    size_t looks = 0;
    for (size_t i = 0; i < r->count && r->unclean > 0; i++) {
        struct removed_node *node = &r->items[i];
        if (node->is_clean) {
            continue;
        }
        struct member *m = roster_find(&c->roster, &node->id);
        if (m != NULL) {
            struct removal_view v;
            view_of(c, &node->id, &v);
            standing_remove(c, m, &v.by);
        }
        if (!drop_all_of(c, &node->id, &looks)) {
            core_arm(c, TIMER_REMOVAL, c->now_ns + MS_NS);
            return;
        }
        set_clean(r, node, true);
    }
    tomb_touch(c); /* deletion marks wait for it no more */
}

/* ---- telling the removed --------------------------------------------------------------------- */

void removal_tell(core_t *c, const struct node_id *id, const struct addr *to, uint64_t echo)
{
    struct entry e;
    if (!c->ready || c->leaving ||
        !tokens_take(&c->removals.tokens, c->now_ns, TELLS_PER_SECOND, TELLS_BURST) ||
        !read_entry(c, id, &e)) {
        return;
    }
    buf_clear(&c->scratch);
    swim_update_write_removal(&c->scratch, e.bytes);
    if (buf_failed(&c->scratch)) {
        return;
    }
    struct span update = fxlist_copy(&c->fx, buf_span(&c->scratch));
    struct swim_msg answer = {.type = SWIM_ANSWER,
                              .echo = echo,
                              .record = member_record(c->self),
                              .view_hash = c->roster.view_hash,
                              .updates = &update,
                              .update_count = 1};
    if (update.data != NULL) {
        send_mesh(c, to, &answer);
    }
}

void removal_answered(core_t *c, struct span update_bytes)
{
    struct mp_reader r;
    struct swim_update u;
    struct entry e;
    struct node_id id;
    enum registry_outcome outcome;
    if (update_bytes.data == NULL) {
        return;
    }
    mp_open(&r, update_bytes);
    while (swim_update_next(&r, &u)) {
        if (u.kind == UPDATE_REMOVAL && entry_read(u.record, &e) == HM_OK &&
            key_removed(e.key, &id) && node_id_eq(&id, &c->self->id) &&
            tokens_take(&c->removals.tokens, c->now_ns, TELLS_PER_SECOND, TELLS_BURST) &&
            registry_merge(c->registry, u.record, &outcome) != HM_OK) {
            core_count(c, M_ENTRIES_REFUSED);
        }
    }
}

int core_remove(core_t *c, const struct node_id *id, uint64_t *ret_ticket)
{
    char key[REMOVAL_KEY_BYTES + 1];
    struct removal removal = {.wall_ms = c->wall_ms};
    const struct member *m = roster_find(&c->roster, id);
    struct buf b;
    if (m == NULL) {
        return HM_ENOTFOUND;
    }
    if (m == c->self) {
        return HM_EINVAL;
    }
    memcpy(removal.key, c->key, sizeof removal.key);
    text_copy(removal.name, sizeof removal.name, m->rec.name);
    text_copy(removal.by, sizeof removal.by, c->name);
    buf_init(&b, HM_VALUE_BYTES_MAX);
    removal_write(&b, &removal);
    struct registry_write w = {.key = removal_key(id, key),
                               .type = ENTRY_REGISTER,
                               .value = buf_span(&b),
                               .wall_ms = c->wall_ms};
    int rc = buf_failed(&b) ? HM_ENOMEM : core_write(c, &w, NULL, ret_ticket);
    buf_fini(&b);
    return rc;
}
