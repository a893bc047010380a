/* SPDX-License-Identifier: MPL-2.0 */
/* The registry in the core: it is made at the start, written by operations, and what is new goes out
 * to others. An own write leaves this node only when it is durable; an entry of another is passed on at
 * once, since its writer has it. */
#include "base/err.h"
#include "core/core_priv.h"

#include <string.h>

static bool key_of(void *ctx, const struct node_id *id, uint8_t ret_key[32])
{
    const core_t *c = ctx;
    const struct member *m = roster_find(&c->roster, id);
    if (m != NULL) {
        memcpy(ret_key, m->rec.key, sizeof m->rec.key);
    }
    return m != NULL;
}

size_t spread_load(core_t *c, const struct store_entry *entries, size_t count)
{
    struct registry_conf conf = {
        .view = c->view,
        .crypto = c->crypto,
        .mesh_tag = c->mesh_tag,
        .self = {.node = c->self->id, .boots = c->boot_epoch, .random = c->session},
        .key_of = key_of,
        .ctx = c,
    };
    size_t damaged = 0;
    c->registry = registry_new(&conf);
    if (c->registry == NULL) {
        c->fx.failed = true;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        int rc = entries[i].table != STORE_VECTOR
                     ? HM_OK
                     : registry_load(c->registry, entries[i].key, entries[i].value);
        damaged += rc == HM_EMALFORMED;
        c->fx.failed |= rc == HM_ENOMEM;
    }
    return damaged;
}

registry_t *core_registry(core_t *c)
{
    return c->registry;
}

int core_write(core_t *c, const struct registry_write *w, struct dot *ret_dot, uint64_t *ret_ticket)
{
    if (!c->ready || c->leaving || c->copy.aside) {
        return HM_EBUSY;
    }
    int rc = registry_write(c->registry, w, ret_dot);
    if (rc == HM_OK) {
        *ret_ticket = registry_round(c->registry);
    }
    return rc;
}

enum registry_fate core_write_fate(const core_t *c, uint64_t ticket)
{
    return registry_fate(c->registry, ticket);
}

void spread_durable(core_t *c, uint64_t batch)
{
    struct span bytes;
    uint64_t before = registry_change_last(c->registry);
    if (registry_durable(c->registry, batch) != HM_OK) {
        c->fx.failed = true;
    }
    while (registry_take_durable(c->registry, &bytes)) {
        (void) bytes;
    }
    if (registry_change_last(c->registry) != before) {
        c->wakes |= WAKE_CHANGE;
    }
}
