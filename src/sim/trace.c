/* SPDX-License-Identifier: MPL-2.0 */
/* The fingerprint of a run: see trace.h. */
#include "sim/trace.h"

#include "base/prng.h"
#include "sim/simcrypto.h"

#include <string.h>

void trace_init(struct trace *t, uint64_t seed)
{
    t->hash = prng_mix(seed);
    t->effects = 0;
}

void trace_number(struct trace *t, uint64_t value)
{
    uint64_t h = (t->hash ^ value) * 0x9fb21c651e98df25U;
    t->hash = h ^ (h >> 32);
}

static void add_bytes(struct trace *t, struct span bytes)
{
    trace_number(t, bytes.size);
    trace_number(t, sim_hash(t->hash, bytes));
}

static void add_id(struct trace *t, const struct node_id *id)
{
    add_bytes(t, span_of(id->b, NODE_ID_BYTES));
}

static void add_addr(struct trace *t, const struct addr *a)
{
    trace_number(t, a->family);
    add_bytes(t, span_of(a->ip, sizeof a->ip));
    trace_number(t, ((uint64_t) a->scope << 16) | a->port);
}

static void add_note(struct trace *t, const struct note *note)
{
    trace_number(t, (uint64_t) note->level);
    trace_number(t, (uint64_t) note->code);
    trace_number(t, (uint64_t) note->reason);
    add_id(t, &note->node);
    add_id(t, &note->observer);
    add_addr(t, &note->addr);
    trace_number(t, note->value);
    add_bytes(t, span_of(note->name, strlen(note->name)));
    add_bytes(t, span_of(note->observer_name, strlen(note->observer_name)));
}

static void add_entries(struct trace *t, const struct store_entry *entries, size_t count)
{
    trace_number(t, count);
    for (size_t i = 0; i < count; i++) {
        trace_number(t, (uint64_t) entries[i].table);
        add_bytes(t, entries[i].key);
        add_bytes(t, entries[i].value);
    }
}

void trace_effect(struct trace *t, unsigned node, uint64_t now_ns, const struct effect *fx)
{
    t->effects++;
    trace_number(t, ((uint64_t) node << 8) | (uint64_t) fx->type);
    trace_number(t, now_ns);
    switch (fx->type) {
    case FX_PEER:
        add_id(t, &fx->as.peer.id);
        add_bytes(t, span_of(fx->as.peer.key, NODE_KEY_BYTES));
        break;
    case FX_PEER_GONE:
        add_id(t, &fx->as.peer.id);
        break;
    case FX_DATAGRAM:
    case FX_MAIL:
        add_addr(t, &fx->as.datagram.to);
        trace_number(t, (uint64_t) fx->as.datagram.cls);
        add_id(t, &fx->as.datagram.peer);
        trace_number(t, fx->as.datagram.session);
        trace_number(t, fx->as.datagram.counter);
        add_bytes(t, fx->as.datagram.body);
        break;
    case FX_FRAME:
        add_id(t, &fx->as.frame.peer);
        trace_number(t, fx->as.frame.type);
        add_bytes(t, fx->as.frame.body);
        break;
    case FX_DIAL:
        add_addr(t, &fx->as.dial.to);
        add_id(t, &fx->as.dial.peer);
        break;
    case FX_HANGUP:
        add_id(t, &fx->as.dial.peer);
        break;
    case FX_CONNECT:
        add_id(t, &fx->as.connect.peer);
        add_addr(t, &fx->as.connect.to);
        trace_number(t, fx->as.connect.token);
        break;
    case FX_BEACON:
        break;
    case FX_ZRE_HELLO:
        add_addr(t, &fx->as.zre_hello.to);
        add_id(t, &fx->as.zre_hello.id);
        break;
    case FX_PERSIST:
        trace_number(t, fx->as.persist.batch);
        add_entries(t, fx->as.persist.entries, fx->as.persist.count);
        break;
    case FX_REPLY:
        trace_number(t, fx->as.reply.client);
        add_bytes(t, fx->as.reply.body);
        break;
    case FX_NOTE:
        add_note(t, &fx->as.note);
        break;
    case FX_STOP:
        trace_number(t, (uint64_t) fx->as.stop.exit_code);
        break;
    }
}
