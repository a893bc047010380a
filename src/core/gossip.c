/* SPDX-License-Identifier: MPL-2.0 */
/* The gossip queue: see gossip.h. One list per number of times sent, so choosing costs what is chosen. */
#include "core/gossip.h"

#include "base/err.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

/* So many that did not fit, and the datagram is full enough: a long queue is not gone through. */
#define MISSES_MAX 8

struct gossip_item {
    struct gossip_item *next;
    struct gossip_item *prev;
    struct member *about;
    enum gossip_slot slot;
    unsigned sent;
    size_t size;
    uint8_t bytes[];
};

static void link_last(struct gossip *g, struct gossip_item *it)
{
    it->next = NULL;
    it->prev = g->last[it->sent];
    if (it->prev == NULL) {
        g->first[it->sent] = it;
    } else {
        it->prev->next = it;
    }
    g->last[it->sent] = it;
}

static void unlink_item(struct gossip *g, struct gossip_item *it)
{
    if (it->prev == NULL) {
        g->first[it->sent] = it->next;
    } else {
        it->prev->next = it->next;
    }
    if (it->next == NULL) {
        g->last[it->sent] = it->prev;
    } else {
        it->next->prev = it->prev;
    }
}

static void drop(struct gossip *g, struct gossip_item *it)
{
    unlink_item(g, it);
    it->about->gossip[it->slot] = NULL;
    g->count--;
    free(it);
}

void gossip_fini(struct gossip *g)
{
    for (size_t i = 0; i < GOSSIP_SENDS_MAX; i++) {
        while (g->first[i] != NULL) {
            drop(g, g->first[i]);
        }
    }
}

void gossip_withdraw(struct gossip *g, struct member *m, enum gossip_slot slot)
{
    if (m->gossip[slot] != NULL) {
        drop(g, m->gossip[slot]);
    }
}

/* The one told most often has reached the most. */
static void drop_most_sent(struct gossip *g)
{
    for (size_t i = GOSSIP_SENDS_MAX; i > 0; i--) {
        if (g->first[i - 1] != NULL) {
            drop(g, g->first[i - 1]);
            return;
        }
    }
}

int gossip_put(struct gossip *g, struct member *m, enum gossip_slot slot, struct span update)
{
    int rc = HM_OK;
    gossip_withdraw(g, m, slot);
    if (slot == GOSSIP_RECORD) {
        gossip_withdraw(g, m, GOSSIP_CLAIM);
    }
    if (g->count == HM_GOSSIP_QUEUE_MAX) {
        drop_most_sent(g);
        rc = HM_EFULL;
    }
    struct gossip_item *it = malloc(sizeof *it + update.size);
    if (it == NULL) {
        return HM_ENOMEM;
    }
    it->about = m;
    it->slot = slot;
    it->sent = 0;
    it->size = update.size;
    memcpy(it->bytes, update.data, update.size);
    link_last(g, it);
    m->gossip[slot] = it;
    g->count++;
    return rc;
}

static void count_sent(struct gossip *g, struct gossip_item *it, unsigned limit)
{
    if (it->sent + 1 >= limit || it->sent + 1 >= GOSSIP_SENDS_MAX) {
        drop(g, it);
        return;
    }
    unlink_item(g, it);
    it->sent++;
    link_last(g, it);
}

size_t gossip_take(struct gossip *g, unsigned limit, size_t budget, struct fxlist *fx,
                   struct span *ret_updates)
{
    struct gossip_item *chosen[GOSSIP_UPDATES_MAX];
    size_t count = 0;
    size_t misses = 0;
    for (size_t i = 0; i < GOSSIP_SENDS_MAX; i++) {
        struct gossip_item *it = g->first[i];
        for (; it != NULL && count < GOSSIP_UPDATES_MAX && misses < MISSES_MAX; it = it->next) {
            if (it->size > budget) {
                misses++;
                continue;
            }
            chosen[count++] = it;
            budget -= it->size;
        }
    }
    size_t copied = 0;
    for (size_t i = 0; i < count; i++) {
        struct span copy = fxlist_copy(fx, span_of(chosen[i]->bytes, chosen[i]->size));
        if (copy.data != NULL) {
            ret_updates[copied++] = copy;
            count_sent(g, chosen[i], limit);
        }
    }
    return copied;
}
