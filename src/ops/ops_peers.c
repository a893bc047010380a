/* SPDX-License-Identifier: MPL-2.0 */
/* Handler of the operation peers: the Zyre programs that this node talks to. Everything in it was
 * said by strangers, so texts are cleaned and nothing is believed. */
#include "base/err.h"
#include "ops/ops_call.h"
#include "wire/mpack.h"

#define AROUND_BYTES 64
#define NS_PER_MS 1000000u
#define HEADER_MESH "X-HOMEMESH"

static void put_mesh(struct buf *b, const struct fact_peer *peer)
{
    struct span mesh;
    mp_str(b, "mesh");
    if (zre_headers_find(&peer->headers, HEADER_MESH, &mesh)) {
        ops_put_foreign(b, mesh);
    } else {
        mp_nil(b);
    }
}

static void put_groups(struct buf *b, struct zre_list groups)
{
    struct span text;
    mp_str(b, "groups");
    mp_array(b, groups.count);
    while (zre_strings_next(&groups, &text)) {
        ops_put_foreign(b, text);
    }
}

static void put_headers(struct buf *b, struct zre_list headers)
{
    struct span key;
    struct span value;
    mp_str(b, "headers");
    mp_map(b, headers.count);
    while (zre_headers_next(&headers, &key, &value)) {
        ops_put_foreign(b, key);
        ops_put_foreign(b, value);
    }
}

static void put_peer(struct buf *b, const struct fact_peer *peer, uint64_t wall_ms)
{
    uint64_t ago_ms = peer->since_ago_ns / NS_PER_MS;
    mp_map(b, 9);
    ops_put_id(b, "id", &peer->id);
    mp_str(b, "name");
    if (peer->name.size > 0) {
        ops_put_foreign(b, peer->name);
    } else {
        mp_nil(b);
    }
    ops_put_addr(b, "address", &peer->addr);
    put_mesh(b, peer);
    put_groups(b, peer->groups);
    put_headers(b, peer->headers);
    ops_put_bool(b, "is_cut", peer->is_cut);
    ops_put_time(b, "since", wall_ms > ago_ms ? wall_ms - ago_ms : 0);
    ops_put_uint(b, "last_heard_ms", peer->heard_ago_ns / NS_PER_MS);
}

void ops_peers(struct ops_call *call)
{
    struct ops_page page;
    struct fact_peer peer;
    ops_page_init(&page, call->reply, AROUND_BYTES);
    for (size_t i = 0; call->env->peer != NULL && !page.is_full; i++) {
        if (!call->env->peer(call->env->ctx, i, &peer)) {
            break;
        }
        put_peer(ops_page_begin(&page), &peer, core_wall_ms(call->core));
        ops_page_end(&page);
    }
    mp_map(call->reply, 2);
    ops_page_write(&page, call->reply, "peers");
    mp_str(call->reply, "next");
    mp_nil(call->reply);
    ops_page_fini(&page);
}
