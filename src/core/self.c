/* SPDX-License-Identifier: MPL-2.0 */
/* Our own record. Only we sign it, and only we raise its incarnation: at each start, when something
 * in it changes, when we leave, and to refute what others say of us. A refutation goes above what
 * is refuted. */
#include "base/err.h"
#include "core/core_priv.h"

#include <string.h>

#define TOLD_AGAIN_NS (100 * MS_NS)
/* A refutation is signed, stored and told to up to 64 others: one who accuses without end must not
 * make us do that without end. Honest accusations come one at a time. */
#define REFUTES_PER_SECOND 5
#define REFUTES_BURST 20
#define REFUTE_AGAIN_NS (200 * MS_NS)

void self_accused(core_t *c, const struct claim *claim, struct member *from)
{
    if (c->leaving || (c->params.broken & BREAK_NO_REFUTATION) != 0) {
        return;
    }
    if (claim->incarnation < c->self->rec.incarnation) {
        if (c->now_ns - from->told_ns >= TOLD_AGAIN_NS || from->told_ns == 0) {
            from->told_ns = c->now_ns;
            tell_one(c, from, update_of_record(c, c->self));
        }
    } else if (claim->incarnation >= c->refute_above) {
        c->refute_above = claim->incarnation + 1;
        c->accuser = claim->observers[0];
    }
}

void self_refute(core_t *c, struct member *from)
{
    if (c->refute_above <= c->self->rec.incarnation) {
        c->refute_above = 0; /* our record has become newer meanwhile */
        return;
    }
    if (!tokens_take(&c->refute_tokens, c->now_ns, REFUTES_PER_SECOND, REFUTES_BURST)) {
        core_arm_earlier(c, TIMER_REFUTE, c->now_ns + REFUTE_AGAIN_NS);
        return;
    }
    core_count(c, M_REFUTATIONS);
    core_health_change(c, 1);
    self_renew(c, c->refute_above, RECORD_ALIVE);
    c->refute_above = 0;
    core_note(c, NOTE_WARN, NOTE_REFUTED, c->self, &c->accuser, REASON_REFUTED,
              c->self->rec.incarnation);
    if (from != NULL && !member_is_up(from)) {
        tell_one(c, from, update_of_record(c, c->self));
    }
}

int self_sign(core_t *c, uint64_t incarnation, enum record_state state)
{
    struct node_record rec = {.mesh_tag = c->mesh_tag,
                              .state = state,
                              .incarnation = incarnation,
                              .addr_count = c->addr_count,
                              .port = c->port,
                              .link_port = c->link_port,
                              .version_min = PROTOCOL_VERSION_MIN,
                              .version_max = PROTOCOL_VERSION + (c->params.next_version ? 1 : 0),
                              .boot_epoch = c->boot_epoch,
                              .life = c->life};
    struct buf b;
    int rc = HM_ENOMEM;
    memcpy(rec.key, c->key, sizeof rec.key);
    memcpy(rec.name, c->name, sizeof rec.name);
    memcpy(rec.addrs, c->addrs, sizeof rec.addrs);
    if (c->self != NULL) {
        rec.labels_hash = c->self->labels_hash;
    }
    buf_init(&b, HM_RECORD_BYTES_MAX);
    node_record_write(&b, &rec);
    next_add_field(c, &b);
    struct span body = buf_span(&b);
    uint8_t *signature = buf_extend(&b, RECORD_SIGNATURE_BYTES);
    if (signature != NULL) {
        c->crypto.sign(c->crypto.identity, span_of(b.data, body.size), signature);
        if (c->self == NULL) {
            struct node_id id;
            c->crypto.id_of_key(c->key, &id);
            c->self = standing_new(c, &id, buf_span(&b), &rec, STATUS_ALIVE);
            rc = c->self == NULL ? HM_ENOMEM : HM_OK;
        } else {
            rc = standing_record(c, c->self, buf_span(&b), &rec);
        }
    }
    buf_fini(&b);
    return rc;
}

void self_renew(core_t *c, uint64_t at_least, enum record_state state)
{
    uint64_t next = c->self->rec.incarnation + 1;
    if (self_sign(c, next > at_least ? next : at_least, state) != 0) {
        c->fx.failed = true;
        return;
    }
    c->view_changed_ns = c->now_ns;
    persist_self(c);
    if (c->ready) {
        tell_all(c, update_of_record(c, c->self));
        gossip_record(c, c->self);
    }
}

void self_set_addresses(core_t *c, const struct addr *addrs, size_t count)
{
    c->addr_count = 0;
    for (size_t i = 0; i < count && c->addr_count < HM_RECORD_ADDRS_MAX; i++) {
        c->addrs[c->addr_count] = addrs[i];
        c->addrs[c->addr_count].scope = 0;
        c->addrs[c->addr_count++].port = c->port;
    }
}

void self_addresses(core_t *c, const struct event *ev)
{
    struct addr before[HM_RECORD_ADDRS_MAX];
    size_t before_count = c->addr_count;
    memcpy(before, c->addrs, sizeof before);
    self_set_addresses(c, ev->as.addresses.addrs, ev->as.addresses.count);
    bool same = before_count == c->addr_count;
    for (size_t i = 0; same && i < c->addr_count; i++) {
        same = addr_eq(&before[i], &c->addrs[i]);
    }
    if (c->self == NULL || c->leaving || c->removals.is_self) {
        return;
    }
    if (!same) {
        self_renew(c, 0, RECORD_ALIVE);
    }
    if (!merge_names_all(before, before_count, c->addrs, c->addr_count)) {
        for (size_t i = 0; i < c->roster.count; i++) {
            overlay_moved(c, c->roster.items[i]);
        }
    }
    core_changed(c);
    if (c->ready) {
        /* A network is back, or another one is there: look for everybody at once. */
        core_arm(c, TIMER_BEACON, c->now_ns);
        c->heal_left = c->failed_order.count;
        if (c->heal_left > 0) {
            core_arm_earlier(c, TIMER_FAILED, c->now_ns + 5 * MS_NS);
        }
    }
}
