/* SPDX-License-Identifier: MPL-2.0 */
/* Handlers that register services of this node, take them away and tell their health. Each answers when
 * what it said is on disk. */
#include "base/err.h"
#include "base/limits.h"
#include "core/service.h"
#include "ops/ops_call.h"
#include "ops/ops_kv.h"
#include "wire/mpack.h"

#include <string.h>

static struct span text_of(const struct ops_call *call, const char *name)
{
    const struct op_value *value = ops_args_get(call->spec, call->args, name);
    return value->is_given ? span_of(value->text, strlen(value->text)) : span_of(NULL, 0);
}

static uint64_t number_of(const struct ops_call *call, const char *name)
{
    return ops_args_get(call->spec, call->args, name)->number;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void fail_absent(struct ops_call *call, const char *id)
{
    struct core_status s;
    struct service_walk walk = {.at_bytes = 0};
    struct service_view view;
    struct member_view m;
    core_status(call->core, &s);
    while (core_service_next(call->core, &walk, &view)) {
        if (view.svc.id.size == strlen(id) && memcmp(view.svc.id.data, id, strlen(id)) == 0 &&
            ops_find_id(call->core, &view.node, &m) == HM_OK) {
            ops_fail(call, HM_ENOTFOUND,
                     "no service of %s has the id \"%.60s\", but one of %s has: ask that node, "
                     "meshctl --node=%s",
                     s.name, id, m.name, m.name);
            return;
        }
    }
    ops_fail(call, HM_ENOTFOUND,
             "no service of %s has the id \"%.60s\": \"meshctl services list\" shows all", s.name,
             id);
}

static void fail_busy(struct ops_call *call)
{
    struct core_status s;
    core_status(call->core, &s);
    if (call->result->is_crowded) {
        ops_fail(call, HM_EBUSY,
                 "as many operations wait at this node as may: nothing was done; try again in a "
                 "second");
    } else if (s.leaving) {
        ops_fail(call, HM_EBUSY, "%s is leaving: nothing is written any more", s.name);
    } else if (s.aside) {
        ops_fail(call, HM_EBUSY,
                 "%s keeps out of the mesh, because another process has its identity: \"meshctl "
                 "status\" says more",
                 s.name);
    } else {
        ops_fail(call, HM_EBUSY, "%s is only starting, or its disk is behind: try again in a second",
                 s.name);
    }
}

static void fail_file(struct ops_call *call, const char *id)
{
    struct span file = core_service_file(call->core, span_of(id, strlen(id)));
    ops_fail(call, HM_EEXIST, "the file %.*s in services.d says service %.60s: change it there",
             (int) file.size, (const char *) file.data, id);
}

static void fail(struct ops_call *call, int rc, const char *id)
{
    switch (rc) {
    case HM_ENOTFOUND:
        fail_absent(call, id);
        break;
    case HM_EEXIST:
        fail_file(call, id);
        break;
    case HM_EBUSY:
        fail_busy(call);
        break;
    case HM_ESTALE: /* waiting helps */
        ops_fail(call, HM_EBUSY,
                 "service %.60s cannot be taken away yet: this node is syncing, and does not know "
                 "all that others have. \"meshctl registry status\" shows when it has ended",
                 id);
        break;
    case HM_EFULL:
        ops_fail(call, rc,
                 "no more fits: a node has at most %d services of %d bytes each, and the registry "
                 "has its own limits (meshctl limits)",
                 HM_SERVICES_MAX, HM_SERVICE_BYTES_MAX);
        break;
    default:
        ops_fail(call, rc, "service %.60s cannot be written: %s", id, hm_strerror(rc));
        break;
    }
}

/* ---- the end of all ------------------------------------------------------------------------- */

static void finish(struct ops_call *call, const char *id)
{
    struct core_status s;
    if (call->result->ticket != 0 && !kv_is_durable(call)) {
        return;
    }
    core_status(call->core, &s);
    mp_map(call->reply, 2);
    ops_put_str(call->reply, "id", id);
    ops_put_str(call->reply, "node", s.name);
}

/* ---- register -------------------------------------------------------------------------------- */

static int wrong(struct ops_call *call, const char *arg, struct span text, const char *right)
{
    ops_fail(call, HM_EINVAL, "%s \"%.*s\" must be %s", arg,
             (int) (text.size < 60 ? text.size : 60), (const char *) text.data, right);
    return HM_EINVAL;
}

static int check_text(struct ops_call *call, enum svc_text which, const char *arg,
                      struct span text)
{
    const char *right = text.size > 0 ? svc_text_wrong(which, text) : NULL;
    return right == NULL ? HM_OK : wrong(call, arg, text, right);
}

static int read_tags(struct ops_call *call, struct buf *b, struct svc *s)
{
    struct span tags[HM_SERVICE_TAGS_MAX];
    struct op_words w = {.is_open = false};
    size_t count = 0;
    _Static_assert(HM_SERVICE_TAGS_MAX >= OPS_WORDS_MAX, "as many as can be asked for");
    const struct op_value *value = ops_args_get(call->spec, call->args, "tag");
    while (count < HM_SERVICE_TAGS_MAX && ops_args_next(value, &w, &tags[count])) {
        count++;
    }
    s->tag_count = svc_tags_write(b, tags, count);
    s->tags = buf_span(b);
    return HM_OK;
}

static int read_meta(struct ops_call *call, struct buf *b, struct svc *s)
{
    struct svc_pair pairs[HM_SERVICE_META_MAX];
    struct op_words w = {.is_open = false};
    size_t count = 0;
    _Static_assert(HM_SERVICE_META_MAX >= OPS_WORDS_MAX, "as many as can be asked for");
    const struct op_value *value = ops_args_get(call->spec, call->args, "meta");
    while (count < HM_SERVICE_META_MAX && ops_args_next(value, &w, &pairs[count].key) &&
           ops_args_next(value, &w, &pairs[count].value)) {
        if (check_text(call, SVC_META_KEY, "the name of meta", pairs[count].key) != HM_OK) {
            return HM_EINVAL;
        }
        count++;
    }
    if (svc_meta_write(b, pairs, count) != HM_OK) {
        ops_fail(call, HM_EINVAL, "meta has one name twice");
        return HM_EINVAL;
    }
    s->meta_count = count;
    s->meta = buf_span(b);
    return HM_OK;
}

static int read_source(struct ops_call *call, struct svc *s)
{
    struct span source = text_of(call, "source");
    bool is_program = source.size == 7 && memcmp(source.data, "program", 7) == 0;
    bool is_command = source.size == 7 && memcmp(source.data, "command", 7) == 0;
    s->source = is_program ? SVC_PROGRAM : SVC_COMMAND;
    return source.size == 0 || is_program || is_command
               ? HM_OK
               : wrong(call, "source", source, "command or program");
}

static int read_service(struct ops_call *call, struct buf *tags, struct buf *meta, struct svc *s)
{
    *s = (struct svc){.id = text_of(call, "id"),
                      .name = text_of(call, "name"),
                      .version = text_of(call, "version"),
                      .address = text_of(call, "address"),
                      .port = (uint16_t) number_of(call, "port"),
                      .ttl_ms = number_of(call, "ttl"),
                      .after_ms = number_of(call, "deregister_after")};
    if (s->after_ms > 0 && s->after_ms <= s->ttl_ms) {
        ops_fail(call, HM_EINVAL, "deregister_after must be longer than ttl, not %llu ms",
                 (unsigned long long) s->after_ms);
        return HM_EINVAL;
    }
    if (s->after_ms > 0 && s->ttl_ms == 0) {
        ops_fail(call, HM_EINVAL, "deregister_after goes with ttl: without it nothing runs out");
        return HM_EINVAL;
    }
    int rc = check_text(call, SVC_NAME, "name", s->name);
    rc = rc == HM_OK ? check_text(call, SVC_ID, "id", s->id) : rc;
    rc = rc == HM_OK ? check_text(call, SVC_ADDRESS, "address", s->address) : rc;
    rc = rc == HM_OK ? check_text(call, SVC_VERSION, "version", s->version) : rc;
    rc = rc == HM_OK ? read_source(call, s) : rc;
    rc = rc == HM_OK ? read_tags(call, tags, s) : rc;
    return rc == HM_OK ? read_meta(call, meta, s) : rc;
}

void ops_services_register(struct ops_call *call)
{
    char id[HM_SERVICE_ID_BYTES_MAX + 1] = "";
    struct buf tags, meta;
    struct svc s;
    buf_init(&tags, HM_SERVICE_BYTES_MAX);
    buf_init(&meta, 2 * HM_SERVICE_BYTES_MAX);
    int rc = read_service(call, &tags, &meta, &s);
    if (rc == HM_OK && (buf_failed(&tags) || buf_failed(&meta))) {
        fail(call, HM_EFULL, "");
        rc = HM_EFULL;
    }
    if (rc == HM_OK) {
        /* At a further run it is the same, since the service is there by then. */
        s.id = s.id.size > 0 ? s.id : core_service_id(call->core, &s, id);
        memmove(id, s.id.data, s.id.size);
    }
    if (rc == HM_OK && call->result->ticket == 0) {
        rc = core_service_register(call->core, &s, &call->result->ticket);
        if (rc != HM_OK) {
            fail(call, rc, id);
        }
    }
    if (rc == HM_OK) {
        finish(call, id);
    }
    buf_fini(&tags);
    buf_fini(&meta);
}

/* ---- deregister, pass, warn, fail ------------------------------------------------------------ */

void ops_services_deregister(struct ops_call *call)
{
    struct span id = text_of(call, "id");
    if (call->result->ticket == 0) {
        /* Who cannot wait for the disk could be told nothing; the other operations can be asked once more. */
        int rc = call->result->is_crowded
                     ? HM_EBUSY
                     : core_service_deregister(call->core, id, &call->result->ticket);
        if (rc != HM_OK) {
            fail(call, rc, (const char *) id.data);
            return;
        }
    }
    finish(call, (const char *) id.data);
}

static void check(struct ops_call *call, enum svc_health health)
{
    struct span id = text_of(call, "id");
    if (call->result->ticket == 0) {
        int rc = core_service_check(call->core, id, health, text_of(call, "text"),
                                    &call->result->ticket);
        if (rc != HM_OK) {
            fail(call, rc, (const char *) id.data);
            return;
        }
    }
    finish(call, (const char *) id.data);
}

void ops_services_pass(struct ops_call *call)
{
    check(call, SVC_PASSING);
}

void ops_services_warn(struct ops_call *call)
{
    check(call, SVC_WARNING);
}

void ops_services_fail(struct ops_call *call)
{
    check(call, SVC_CRITICAL);
}
