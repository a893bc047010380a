/* SPDX-License-Identifier: MPL-2.0 */
/* Member events: see evlog.h. */
#include "core/evlog.h"

#include "base/err.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

int evlog_init(struct evlog *l)
{
    memset(l, 0, sizeof *l);
    l->items = calloc(HM_EVENTS_MAX, sizeof *l->items);
    l->next_seq = 1;
    return l->items == NULL ? HM_ENOMEM : HM_OK;
}

void evlog_fini(struct evlog *l)
{
    free(l->items);
    memset(l, 0, sizeof *l);
}

bool evlog_add(struct evlog *l, const struct member_event *ev)
{
    size_t at = (l->start + l->count) % HM_EVENTS_MAX;
    if (l->count == HM_EVENTS_MAX) {
        l->start = (l->start + 1) % HM_EVENTS_MAX;
    } else {
        l->count++;
    }
    l->items[at] = *ev;
    l->items[at].seq = l->next_seq++;
    if (l->next_seq + EVLOG_BLOCK / 2 <= l->reserved_to) {
        return false;
    }
    l->reserved_to = l->next_seq + EVLOG_BLOCK;
    return true;
}

const struct member_event *evlog_after(const struct evlog *l, uint64_t seq)
{
    if (l->count == 0 || seq + 1 >= l->next_seq) {
        return NULL;
    }
    uint64_t first = l->items[l->start].seq;
    size_t skip = seq < first ? 0 : (size_t) (seq + 1 - first);
    return skip >= l->count ? NULL : &l->items[(l->start + skip) % HM_EVENTS_MAX];
}
