/* SPDX-License-Identifier: MPL-2.0 */
/* Handler of nodes.remove. It answers when the removal is on disk and the node is off this node's roster. */
#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "ops/ops_call.h"
#include "wire/mpack.h"

#include <string.h>

/* No key ring rotates yet, so this is always true. */
static const char key_warning[] =
    "the mesh's key has not changed: whoever still has it, as the removed machine may, can come back as "
    "a new node. To shut it out, all nodes need a new key (SECURITY.md)";

static void fail_write(struct ops_call *call, int rc, const char *name)
{
    struct core_status s;
    core_status(call->core, &s);
    if (rc == HM_EBUSY && s.removed) {
        ops_fail(call, rc, "%s was itself removed from the mesh and removes nobody", s.name);
    } else if (rc == HM_EBUSY) {
        ops_fail(call, rc,
                 "%s is starting or leaving, or its disk is behind: nothing was removed; try again "
                 "in a second",
                 s.name);
    } else {
        ops_fail(call, rc, "%s cannot be removed: %s", name, hm_strerror(rc));
    }
}

static bool is_up(const struct member_view *m)
{
    return m->status == STATUS_ALIVE || m->status == STATUS_SUSPECT;
}

/* Whether the removal may begin. */
static bool is_allowed(struct ops_call *call, const struct member_view *m)
{
    bool is_sure = ops_args_get(call->spec, call->args, "yes")->number != 0;
    if (m->is_self) {
        ops_fail(call, HM_EDENIED,
                 "%s is the node that was asked, and none removes itself: \"meshctl leave\" ends it, "
                 "then another node can remove it",
                 m->name);
        return false;
    }
    if (is_up(m) && !is_sure) {
        ops_fail(call, HM_EDENIED,
                 "%s is %s. Removed, it stops taking part at once and for good; its machine can only "
                 "come back as a new node. If that is meant, say --yes",
                 m->name, member_status_name(m->status));
        return false;
    }
    return true;
}

static void begin(struct ops_call *call)
{
    struct member_view m;
    if (ops_find_node(call, &m) != HM_OK || !is_allowed(call, &m)) {
        return;
    }
    int rc = call->result->is_crowded ? HM_EBUSY
                                      : core_remove(call->core, &m.id, &call->result->ticket);
    if (rc != HM_OK) {
        fail_write(call, rc, m.name);
        return;
    }
    call->result->kept = node_id_prefix(&m.id); /* its name is gone when this is run again */
}

static bool is_on_roster(const core_t *core, const struct node_id *id)
{
    struct member_view m;
    return ops_find_id(core, id, &m) == HM_OK;
}

static bool find_removed(core_t *core, uint64_t prefix, struct removal_view *ret_view)
{
    for (size_t i = 0; i < core_removal_count(core); i++) {
        core_removal_at(core, i, ret_view);
        if (node_id_prefix(&ret_view->id) == prefix) {
            return true;
        }
    }
    return false;
}

static void answer(struct ops_call *call, const struct removal_view *v)
{
    struct core_status s;
    core_status(call->core, &s);
    mp_map(call->reply, 6);
    ops_put_str(call->reply, "mesh", s.mesh);
    ops_put_str(call->reply, "name", v->name);
    ops_put_id(call->reply, "id", &v->id);
    ops_put_str(call->reply, "by", v->by_name);
    ops_put_time(call->reply, "time", v->wall_ms);
    ops_put_str(call->reply, "warning", key_warning);
}

static void go_on(struct ops_call *call)
{
    struct removal_view v;
    enum registry_fate fate = core_write_fate(call->core, call->result->ticket);
    if (fate == REGISTRY_FAILED) {
        ops_fail(call, HM_EIO,
                 "the disk did not take it, because it is full or fails: nothing was removed. Make "
                 "room, then try again");
        return;
    }
    if (fate == REGISTRY_DURABLE && find_removed(call->core, call->result->kept, &v) &&
        !is_on_roster(call->core, &v.id)) {
        answer(call, &v);
    } else if (call->is_last) {
        ops_fail(call, HM_ETIMEDOUT,
                 "it is not on disk yet; it will be, unless the disk fails or meshd ends");
    } else {
        call->result->wait = true;
        call->result->wait_for = WAKE_DURABLE | WAKE_EVENT;
    }
}

void ops_nodes_remove(struct ops_call *call)
{
    if (call->result->ticket == 0) {
        begin(call);
    }
    if (call->result->code == HM_OK) {
        go_on(call);
    }
}
