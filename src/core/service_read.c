/* SPDX-License-Identifier: MPL-2.0 */
/* Services of all nodes, as they are read: those that count, see service.h. */
#include "core/service.h"

#include "base/err.h"
#include "core/core_priv.h"

#include <string.h>

#define PREFIX_BYTES 4 /* of SVC_PREFIX */

static bool has_prefix(struct span s, struct span prefix)
{
    return s.size >= prefix.size && memcmp(s.data, prefix.data, prefix.size) == 0;
}

int service_read(registry_t *r, enum registry_look look, struct span key,
                 struct service_view *ret)
{
    struct registry_siblings siblings;
    uint8_t expected[SVC_KEY_BYTES_MAX];
    int rc = registry_get(r, look, key, &siblings);
    if (rc != HM_OK || siblings.live == 0) {
        return rc == HM_ENOMEM ? rc : HM_ENOTFOUND;
    }
    const struct entry *e = &siblings.items[0];
    if (!key_owner(key, &ret->node) || svc_read(e->value, &ret->svc) != HM_OK ||
        span_cmp(key, span_of(expected, svc_key(&ret->node, ret->svc.id, expected))) != 0) {
        return HM_ENOTFOUND; /* of a newer version, or of a liar: nobody can use it */
    }
    ret->dot = e->dot;
    ret->wall_ms = e->wall_ms;
    return HM_OK;
}

bool service_next_key(registry_t *r, enum registry_look look, struct span prefix,
                      struct service_walk *w, uint8_t key[HM_KEY_BYTES_MAX], size_t *ret_size)
{
    struct span record_key;
    struct entry e;
    bool is_first = w->at_bytes == 0;
    struct span from = is_first ? prefix : span_of(w->at, w->at_bytes);
    if (!registry_next(r, look, from, is_first, &record_key, &e) ||
        !has_prefix(record_key, prefix)) {
        return false;
    }
    memcpy(key, e.key.data, e.key.size);
    *ret_size = e.key.size;
    /* Behind all entries of this key: its records go on with eight bytes of a hash after a zero. */
    size_t head = record_key.size - 8;
    memcpy(w->at, record_key.data, head);
    memset(w->at + head, 0xff, 8);
    w->at_bytes = head + 8;
    return true;
}

static bool counts(core_t *c, struct service_walk *w, const struct node_id *node)
{
    if (!node_id_eq(&w->node, node)) {
        const struct member *m = roster_find(&c->roster, node);
        w->node = *node;
        w->is_up = m != NULL && (m == c->self || member_is_up(m));
    }
    return w->is_up;
}

bool core_service_next(core_t *c, struct service_walk *w, struct service_view *ret_view)
{
    uint8_t prefix[SVC_KEY_BYTES_MAX];
    uint8_t key[HM_KEY_BYTES_MAX];
    size_t key_size = 0;
    size_t size = PREFIX_BYTES;
    memcpy(prefix, SVC_PREFIX, PREFIX_BYTES);
    if (!node_id_is_zero(&w->only)) {
        size = svc_key(&w->only, span_of(NULL, 0), prefix);
    }
    while (service_next_key(c->registry, LOOK_SHOWN, span_of(prefix, size), w, key, &key_size)) {
        struct node_id owner;
        if (key_owner(span_of(key, key_size), &owner) && counts(c, w, &owner) &&
            service_read(c->registry, LOOK_SHOWN, span_of(key, key_size), ret_view) == HM_OK) {
            return true;
        }
    }
    return false;
}

int core_service_get(core_t *c, const struct node_id *node, struct span id,
                     struct service_view *ret_view)
{
    uint8_t key[SVC_KEY_BYTES_MAX];
    struct service_walk w = {.at_bytes = 0};
    if (svc_text_wrong(SVC_ID, id) != NULL || !counts(c, &w, node)) {
        return HM_ENOTFOUND;
    }
    return service_read(c->registry, LOOK_SHOWN, span_of(key, svc_key(node, id, key)), ret_view);
}
