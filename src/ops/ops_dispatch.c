/* SPDX-License-Identifier: MPL-2.0 */
/* From a request to its handler: see ops_dispatch.h. */
#include "ops/ops_dispatch.h"

#include "base/err.h"
#include "base/text.h"
#include "ops/ops_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef void handler_fn(struct ops_call *call);

static handler_fn *const handlers[] = {
#define OPS_HANDLER(op, function) [op] = ops_##function,
    OPS_LIST(OPS_HANDLER)
#undef OPS_HANDLER
};

_Static_assert(sizeof handlers / sizeof handlers[0] == OP_COUNT, "each operation has a handler");
_Static_assert(sizeof((struct call_result *) 0)->text == OPS_WHY_BYTES, "errors fit the result");

void ops_fail(struct ops_call *call, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(call->result->text, sizeof call->result->text, format, args);
    va_end(args);
    call->result->code = code;
}

static void unknown_op(struct ops_call *call, const char *name)
{
    struct core_status status;
    const char *nearest = ops_spec_nearest(name);
    core_status(call->core, &status);
    if (nearest != NULL) {
        ops_fail(call, HM_EVERSION, "%s (version %s) has no operation \"%s\"; did you mean \"%s\"?",
                 status.name, status.version, name, nearest);
    } else {
        ops_fail(call, HM_EVERSION, "%s (version %s) has no operation \"%s\"", status.name,
                 status.version, name);
    }
}

static void run(struct ops_call *call, enum op op)
{
    size_t start = call->reply->size;
    handlers[op](call);
    if (call->result->code == HM_OK && buf_failed(call->reply)) {
        ops_fail(call, HM_EFULL, "the answer of %s does not fit into one reply", call->spec->name);
    }
    if (call->result->code != HM_OK || call->result->wait) {
        buf_truncate(call->reply, start);
        call->reply->failed = false;
    }
}

/* An operation that waits for the disk, as its errors tell, waits for the start too: a write right after `systemctl start`
 * would be refused. */
static bool waits_for_start(struct ops_call *call)
{
    const int *error = call->spec->errors;
    while (*error != 0 && *error != HM_ETIMEDOUT) {
        error++;
    }
    if (*error != HM_ETIMEDOUT || call->is_last || call->result->is_crowded || !core_is_starting(call->core)) {
        return false;
    }
    call->result->wait = true;
    call->result->wait_for = WAKE_STARTED;
    return true;
}

static void handle(void *ctx, core_t *core, const char *op, struct span args, bool is_local,
                   bool is_last, struct buf *reply, struct call_result *ret_result)
{
    const struct ops *ops = ctx;
    struct op_values values;
    struct ops_call call = {.env = &ops->env,
                            .spec = ops_spec_find(op),
                            .args = &values,
                            .core = core,
                            .is_last = is_last,
                            .reply = reply,
                            .result = ret_result};
    *ret_result = (struct call_result){.is_crowded = ret_result->is_crowded,
                                       .ticket = ret_result->ticket,
                                       .kept = ret_result->kept};
    if (call.spec == NULL) {
        unknown_op(&call, op);
        return;
    }
    if (call.spec->scope == SCOPE_LOCAL && !is_local) {
        ops_fail(&call, HM_EDENIED, "%s is answered only on the node itself: run it there", op);
        return;
    }
    ret_result->code = ops_args_read(call.spec, args, &values, ret_result->text);
    if (ret_result->code == HM_OK && !waits_for_start(&call)) {
        run(&call, call.spec->op);
    }
}

void ops_init(struct ops *ops, const struct ops_env *env)
{
    memset(ops, 0, sizeof *ops);
    if (env != NULL) {
        ops->env = *env;
    }
    ops->handler.ctx = ops;
    ops->handler.handle = handle;
}
