/* SPDX-License-Identifier: MPL-2.0 */
/* What a node saw of the others, for doctor. What needs two (who hears whom, whose clock is off) is put together
 * by meshctl from what each node saw: beacons, and whose datagrams came in. */
#include "ops/ops_doctor.h"

#include "base/err.h"
#include "base/limits.h"
#include "ops/ops_call.h"
#include "wire/mpack.h"

#define NS_PER_MS 1000000u

bool doctor_is_member(const core_t *core, const struct node_id *id)
{
    struct member_view view;
    return ops_find_id(core, id, &view) == HM_OK;
}

static void put_ago(struct buf *b, const char *key, uint64_t ago_ns)
{
    mp_str(b, key);
    if (ago_ns == UINT64_MAX) {
        mp_nil(b);
    } else {
        mp_uint(b, ago_ns / NS_PER_MS);
    }
}

/* Where its beacons go: two nodes that have one in common are on one network and must hear each
 * other. */
static void put_networks(struct buf *b, const struct facts *f)
{
    size_t count = 0;
    for (int is_writing = 0; is_writing < 2; is_writing++) {
        if (is_writing) {
            mp_str(b, "networks");
            mp_array(b, count);
        }
        for (size_t i = 0; i < f->netif_count; i++) {
            const struct fact_netif *n = &f->netifs[i];
            bool is_there = n->is_used && !n->is_loopback && n->beacon_to.family == 4;
            char text[ADDR_TEXT_BYTES];
            count += is_there && !is_writing ? 1 : 0;
            if (is_there && is_writing) {
                mp_str(b, addr_format_ip(&n->beacon_to, text));
            }
        }
    }
}

/* Its own addresses, also those of a moment ago: a beacon with its identity from elsewhere is not its own. */
static void put_addresses(struct buf *b, const struct facts *f)
{
    size_t count = f->former_count;
    for (size_t i = 0; i < f->netif_count; i++) {
        count += addr_is_none(&f->netifs[i].addr) ? 0 : 1;
    }
    mp_str(b, "addresses");
    mp_array(b, count);
    for (size_t i = 0; i < f->netif_count; i++) {
        char text[ADDR_TEXT_BYTES];
        if (!addr_is_none(&f->netifs[i].addr)) {
            mp_str(b, addr_format_ip(&f->netifs[i].addr, text));
        }
    }
    for (size_t i = 0; i < f->former_count; i++) {
        char text[ADDR_TEXT_BYTES];
        mp_str(b, addr_format_ip(&f->former[i], text));
    }
}

static void put_beacons(struct buf *b, const core_t *core, const struct facts *f)
{
    size_t count = 0;
    for (size_t i = 0; i < f->beacon_count; i++) {
        count += doctor_is_member(core, &f->beacons[i].id) ? 1 : 0;
    }
    mp_str(b, "beacons");
    mp_array(b, count);
    for (size_t i = 0; i < f->beacon_count; i++) {
        const struct fact_beacon *beacon = &f->beacons[i];
        if (!doctor_is_member(core, &beacon->id)) {
            continue;
        }
        mp_map(b, 5);
        ops_put_id(b, "id", &beacon->id);
        ops_put_addr(b, "address", &beacon->addr);
        ops_put_str_or_nil(b, "interface", beacon->netif);
        ops_put_uint(b, "ago_ms", beacon->ago_ns / NS_PER_MS);
        ops_put_uint(b, "first_ms", beacon->first_ago_ns / NS_PER_MS);
    }
}

/* The members behind it in order of id, as core_knock: each pair of a mesh up to that size. */
static size_t pairs(const core_t *core, struct member_view views[HM_KNOCKS_MAX])
{
    size_t all = core_member_count(core);
    size_t own = 0;
    size_t count = 0;
    for (size_t i = 0; i < all; i++) {
        struct member_view view;
        core_member_at(core, i, &view);
        own = view.is_self ? i : own;
    }
    for (size_t i = 1; i < all && count < HM_KNOCKS_MAX; i++) {
        core_member_at(core, (own + i) % all, &views[count]);
        count += views[count].status == STATUS_LEFT ? 0 : 1;
    }
    return count;
}

static void put_pairs(struct buf *b, const core_t *core)
{
    struct member_view views[HM_KNOCKS_MAX];
    size_t count = pairs(core, views);
    mp_str(b, "pairs");
    mp_array(b, count);
    for (size_t i = 0; i < count; i++) {
        const struct member_view *v = &views[i];
        mp_map(b, 11);
        ops_put_id(b, "id", &v->id);
        ops_put_str(b, "name", v->name);
        ops_put_str(b, "status", member_status_name(v->status));
        put_ago(b, "arrived_ms", v->arrived_ago_ns);
        ops_put_uint(b, "knocked", v->knocked);
        ops_put_uint(b, "answers", v->knock_answers);
        ops_put_uint(b, "knocked_large", v->knocked_large);
        ops_put_uint(b, "answers_large", v->knock_answers_large);
        ops_put_ms(b, "rtt_ms", v->rtt_ns);
        ops_put_bool(b, "linked", v->is_linked);
        ops_put_str_or_nil(b, "path", member_path_name(v->path));
    }
}

void doctor_put_seen(struct buf *b, const core_t *core, const struct facts *facts,
                     const struct core_status *status)
{
    mp_str(b, "next");
    mp_nil(b);
    ops_put_str(b, "node", status->name);
    ops_put_id(b, "id", &status->id);
    ops_put_str(b, "version", status->version);
    ops_put_time(b, "time", core_wall_ms(core));
    ops_put_hex(b, "view", status->view_hash);
    put_networks(b, facts);
    put_addresses(b, facts);
    put_beacons(b, core, facts);
    put_pairs(b, core);
}
