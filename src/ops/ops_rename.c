/* SPDX-License-Identifier: MPL-2.0 */
/* Handler of nodes.rename. It answers when the new name is on disk. */
#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "ops/ops_call.h"
#include "wire/mpack.h"

#include <string.h>

/* Another node that is up and has this name, by what it is shown as. */
static bool is_taken(const core_t *core, const char *name)
{
    struct member_view view;
    return core_member_find(core, name, &view) == HM_OK && !view.is_self &&
           strcmp(view.name, name) == 0 &&
           (view.status == STATUS_ALIVE || view.status == STATUS_SUSPECT);
}

void ops_nodes_rename(struct ops_call *call)
{
    const char *name = ops_args_get(call->spec, call->args, "name")->text;
    struct core_status s;
    core_status(call->core, &s);
    if (!text_is_dns_label(name, strlen(name))) {
        ops_fail(call, HM_EINVAL,
                 "\"%s\" cannot be a node's name: it takes 1 to %d of a-z, 0-9 and -, and no - at "
                 "either end",
                 name, HM_NAME_BYTES_MAX);
        return;
    }
    if (strcmp(s.name, name) != 0 && is_taken(call->core, name)) {
        ops_fail(call, HM_EEXIST, "another node is named %s already: choose another name", name);
        return;
    }
    int rc = core_rename(call->core, name);
    if (rc == HM_ESTALE && !call->is_last) {
        call->result->wait = true;
        call->result->wait_for = WAKE_DURABLE;
        return;
    }
    if (rc != HM_OK) {
        ops_fail(call, rc == HM_ESTALE ? HM_ETIMEDOUT : rc,
                 rc == HM_ESTALE ? "it is named %s now, but its disk has not taken that yet"
                                 : "it cannot be named %s now: it is starting or leaving",
                 name);
        return;
    }
    core_status(call->core, &s);
    mp_map(call->reply, 4);
    ops_put_str(call->reply, "mesh", s.mesh);
    ops_put_str(call->reply, "name", s.name);
    ops_put_id(call->reply, "id", &s.id);
    ops_put_str_or_nil(call->reply, "given", s.name_given == NULL ? "" : s.name_given);
}
