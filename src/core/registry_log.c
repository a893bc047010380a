/* SPDX-License-Identifier: MPL-2.0 */
/* The last changes of what is shown, for those who watch. In memory only: a watcher that was away
 * longer, or over a restart, reads the whole again. */
#include "base/err.h"
#include "base/limits.h"
#include "core/registry_priv.h"

#include <stdlib.h>
#include <string.h>

static struct change *slot(const registry_t *r, uint64_t number)
{
    return &r->changes[number % HM_CHANGES_MAX];
}

static void forget(registry_t *r, struct change *c)
{
    r->change_bytes -= c->size;
    free(c->bytes);
    memset(c, 0, sizeof *c);
}

static void forget_oldest(registry_t *r)
{
    forget(r, slot(r, r->change_first++));
}

int registry_changed(registry_t *r, struct span entry_bytes)
{
    uint8_t *bytes = malloc(entry_bytes.size);
    if (bytes == NULL) {
        return HM_ENOMEM;
    }
    memcpy(bytes, entry_bytes.data, entry_bytes.size);
    if (r->change_last - r->change_first + 1 == HM_CHANGES_MAX) {
        forget_oldest(r);
    }
    struct change *c = slot(r, ++r->change_last);
    *c = (struct change){.number = r->change_last, .bytes = bytes, .size = entry_bytes.size};
    r->change_bytes += c->size;
    while (r->change_bytes > HM_CHANGES_BYTES_MAX && r->change_first < r->change_last) {
        forget_oldest(r);
    }
    return HM_OK;
}

bool registry_change_after(const registry_t *r, uint64_t after, struct registry_change *ret_change,
                           bool *ret_gap)
{
    uint64_t number = after + 1;
    *ret_gap = number < r->change_first || after > r->change_last;
    if (number < r->change_first) {
        number = r->change_first;
    }
    if (number > r->change_last) {
        return false;
    }
    const struct change *c = slot(r, number);
    *ret_change = (struct registry_change){number, span_of(c->bytes, c->size)};
    return true;
}

uint64_t registry_change_last(const registry_t *r)
{
    return r->change_last;
}

void registry_log_fini(registry_t *r)
{
    for (size_t i = 0; i < HM_CHANGES_MAX; i++) {
        forget(r, &r->changes[i]);
    }
    free(r->changes);
    r->changes = NULL;
}
