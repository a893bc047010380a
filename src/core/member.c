/* SPDX-License-Identifier: MPL-2.0 */
/* The roster: see member.h. A sorted array of pointers: looking up costs O(log n), going through them
 * needs no second order, and an insertion moves 8 bytes per member. */
#include "core/member.h"

#include "base/err.h"
#include "base/prng.h"

#include <stdlib.h>
#include <string.h>

void roster_init(struct roster *r)
{
    memset(r, 0, sizeof *r);
}

static void member_free(struct member *m)
{
    free(m->record);
    free(m->labels);
    free(m->watch);
    free(m);
}

void roster_fini(struct roster *r)
{
    for (size_t i = 0; i < r->count; i++) {
        member_free(r->items[i]);
    }
    free(r->items);
    memset(r, 0, sizeof *r);
}

size_t roster_lower_bound(const struct roster *r, const struct node_id *id)
{
    size_t low = 0;
    size_t high = r->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (node_id_cmp(&r->items[mid]->id, id) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct member *roster_find(const struct roster *r, const struct node_id *id)
{
    size_t i = roster_lower_bound(r, id);
    return i < r->count && node_id_eq(&r->items[i]->id, id) ? r->items[i] : NULL;
}

struct member *roster_insert(struct roster *r, const struct node_id *id)
{
    if (r->count == HM_MEMBERS_MAX) {
        return NULL;
    }
    if (r->count == r->room) {
        size_t room = r->room == 0 ? 8 : 2 * r->room;
        struct member **items = realloc(r->items, room * sizeof(*items));
        if (items == NULL) {
            return NULL;
        }
        r->items = items;
        r->room = room;
    }
    struct member *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return NULL;
    }
    m->id = *id;
    size_t i = roster_lower_bound(r, id);
    memmove(r->items + i + 1, r->items + i, (r->count - i) * sizeof(*r->items));
    r->items[i] = m;
    r->count++;
    return m;
}

void roster_remove(struct roster *r, struct member *m)
{
    size_t i = roster_lower_bound(r, &m->id);
    HM_ASSERT(i < r->count && r->items[i] == m);
    r->count--;
    memmove(r->items + i, r->items + i + 1, (r->count - i) * sizeof(*r->items));
    member_free(m);
}

int member_set_record(struct member *m, struct span bytes, const struct node_record *rec)
{
    if (bytes.size != m->record_bytes) {
        uint8_t *copy = realloc(m->record, bytes.size);
        if (copy == NULL) {
            return HM_ENOMEM;
        }
        m->record = copy;
        m->record_bytes = bytes.size;
    }
    memmove(m->record, bytes.data, bytes.size);
    m->rec = *rec;
    return HM_OK;
}

struct span member_record(const struct member *m)
{
    return span_of(m->record, m->record_bytes);
}

uint64_t member_incarnation(const struct member *m)
{
    return m->rec.incarnation > m->dead_incarnation ? m->rec.incarnation : m->dead_incarnation;
}

bool record_names(const struct node_record *rec, const struct addr *addr)
{
    for (size_t i = 0; i < rec->addr_count; i++) {
        if (addr_same_place(addr, &rec->addrs[i])) {
            return true;
        }
    }
    return false;
}

bool member_is_up(const struct member *m)
{
    return m->status == STATUS_ALIVE || m->status == STATUS_SUSPECT;
}

/* A suspicion passes, so alive and suspect weigh the same. The sum over all members does not depend on
 * their order and changes in O(1). */
static uint64_t member_hash(const struct member *m)
{
    uint64_t cls = member_is_up(m) ? 1 : m->status == STATUS_FAILED ? 2 : 3;
    return prng_mix(node_id_prefix(&m->id) ^ prng_mix(4 * member_incarnation(m) + cls));
}

void roster_hash_out(struct roster *r, const struct member *m)
{
    r->view_hash -= member_hash(m);
    r->by_status[m->status]--;
}

void roster_hash_in(struct roster *r, const struct member *m)
{
    r->view_hash += member_hash(m);
    r->by_status[m->status]++;
}
