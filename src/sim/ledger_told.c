/* SPDX-License-Identifier: MPL-2.0 */
/* What nodes tell each other and their clients of what was written: see ledger.h. */
#include "sim/ledger_priv.h"

#include "base/err.h"
#include "sim/check.h"
#include "wire/api_msg.h"
#include "wire/entry_msg.h"
#include "wire/registry_msg.h"

/* ---- others ---- */

void ledger_started(struct ledger *l, struct sim_node *n)
{
    if (l != NULL) {
        ledger_look(l, n);
    }
}

static void pass_over(struct ledger *l, struct ledger_node *node)
{
    l->w->rare[RARE_PASS_CUT] += node->has_pass && node->chunks > 0;
    node->has_pass = false;
    node->chunks = 0;
}

void ledger_ended(struct ledger *l, const struct sim_node *n)
{
    if (l != NULL) {
        pass_over(l, &l->nodes[n->idx]);
    }
}

void ledger_event(struct ledger *l, const struct sim_node *n, const struct event *ev)
{
    struct reg_chunk chunk;
    if (l == NULL || !l->nodes[n->idx].has_pass) {
        return;
    }
    struct ledger_node *node = &l->nodes[n->idx];
    if (ev->type == EV_LINK_DOWN && node_id_eq(&ev->as.link.peer, &node->pass_of)) {
        pass_over(l, node);
    } else if (ev->type == EV_FRAME && ev->as.frame.type == FRAME_REG_CHUNK &&
               node_id_eq(&ev->as.frame.peer, &node->pass_of) &&
               reg_chunk_read(ev->as.frame.body, &chunk) == HM_OK) {
        node->chunks++;
        node->has_pass = !chunk.is_last;
    }
}

/* What it wrote in this life must be on its disk before anybody hears of it. */
static void judge_sent(struct ledger *l, const struct sim_node *n, struct span entries)
{
    struct span bytes;
    struct entry e;
    while (reg_entry_next(&entries, &bytes)) {
        if (entry_read(bytes, &e) != HM_OK || e.dot.origin.random != n->session ||
            !node_id_eq(&e.dot.origin.node, &n->identity.id)) {
            continue;
        }
        uint32_t at = ledger_find(l, &e.dot);
        if (at == LEDGER_NONE || (l->entries[at].was_on[n->idx] & ON_DISK) == 0) {
            world_violation(l->w, "%s tells others of a write that is not on its disk", n->name);
        }
    }
}

void ledger_frame_out(struct ledger *l, struct sim_node *n, const struct effect *fx)
{
    struct reg_entries push;
    struct reg_chunk chunk;
    if (l == NULL) {
        return;
    }
    if (fx->as.frame.type == FRAME_REG_PUSH && reg_push_read(fx->as.frame.body, &push) == HM_OK) {
        judge_sent(l, n, push.bytes);
    } else if (fx->as.frame.type == FRAME_REG_CHUNK &&
               reg_chunk_read(fx->as.frame.body, &chunk) == HM_OK) {
        judge_sent(l, n, chunk.entries.bytes);
    } else if (fx->as.frame.type == FRAME_REG_ASK) {
        struct ledger_node *node = &l->nodes[n->idx];
        node->has_pass = true;
        node->chunks = 0;
        node->pass_of = fx->as.frame.peer;
    }
}

void ledger_cut_short(struct ledger *l, const struct effects *fx, size_t count)
{
    for (size_t i = count; l != NULL && i < fx->count; i++) {
        if (fx->items[i].type == FX_FRAME && fx->items[i].as.frame.type == FRAME_REG_PUSH) {
            l->w->rare[RARE_CRASH_BEFORE_PUSH]++;
            return;
        }
    }
}

/* ---- clients ---- */

/* On the disk of n, or what superseded it before it got there. */
static bool is_durable(struct ledger *l, struct sim_node *n, uint32_t at)
{
    if (at == LEDGER_NONE) {
        return false;
    }
    struct ledger_entry *e = &l->entries[at];
    if ((e->was_on[n->idx] & ON_DISK) == 0 && ledger_mark(l, n) && e->mark == l->mark) {
        e->was_on[n->idx] |= ON_DISK | ON_BEFORE;
    }
    return (e->was_on[n->idx] & ON_DISK) != 0;
}

void ledger_reply(struct ledger *l, struct sim_node *n, uint64_t number, struct span body)
{
    struct api_reply reply;
    if (l == NULL || number == 0 || number > l->write_count) {
        return;
    }
    struct ledger_write *write = &l->writes[number - 1];
    if (api_reply_read(body, &reply) != HM_OK || reply.code != HM_OK) {
        write->state = WRITE_REFUSED;
        return;
    }
    uint32_t at = ledger_find(l, &write->dot);
    if (!is_durable(l, n, at)) {
        world_violation(l->w, "%s acknowledges a write that is not on its disk", n->name);
        return;
    }
    write->state = WRITE_ACKED;
    l->entries[at].is_acked = true;
}
