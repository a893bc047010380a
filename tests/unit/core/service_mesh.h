/* SPDX-License-Identifier: MPL-2.0 */
/* Services of a mesh in memory: registering, refreshing and checking as the operations do, and what a node sees.
 * Include instead of minimesh.h. */
#ifndef HM_TESTS_UNIT_CORE_SERVICE_MESH_H
#define HM_TESTS_UNIT_CORE_SERVICE_MESH_H

#include "../unit.h"

#include "base/err.h"
#include "core/service.h"
#include "wire/mpack.h"

#include <stdio.h>

/* What the next operation "service" does. */
enum { REGISTER, DEREGISTER, CHECK, RAW };
static struct {
    int what;
    struct svc svc;
    enum svc_health health;
    const char *text;
    char id[HM_SERVICE_ID_BYTES_MAX + 1]; /* as it was answered */
    struct registry_write raw;
} asked;

static inline bool own_op(core_t *core, const char *op, struct buf *reply, struct call_result *ret_result)
{
    if (strcmp(op, "service") != 0) {
        return false;
    }
    int rc = HM_OK;
    if (ret_result->ticket == 0) {
        switch (asked.what) {
        case REGISTER:
            if (asked.svc.id.size == 0) {
                asked.svc.id = core_service_id(core, &asked.svc, asked.id);
            }
            rc = core_service_register(core, &asked.svc, &ret_result->ticket);
            break;
        case DEREGISTER:
            rc = core_service_deregister(core, asked.svc.id, &ret_result->ticket);
            break;
        case RAW:
            rc = core_write(core, &asked.raw, NULL, &ret_result->ticket);
            break;
        case CHECK:
            rc = core_service_check(core, asked.svc.id, asked.health,
                                    span_of(asked.text, strlen(asked.text)), &ret_result->ticket);
            break;
        }
    }
    if (rc == HM_OK && ret_result->ticket != 0) {
        enum registry_fate fate = core_write_fate(core, ret_result->ticket);
        ret_result->wait = fate == REGISTRY_WAITS;
        ret_result->wait_for = WAKE_DURABLE;
        rc = fate == REGISTRY_FAILED ? HM_EIO : HM_OK;
    }
    ret_result->code = rc;
    mp_nil(reply);
    return true;
}

#define MESH_OWN_OP own_op
#include "minimesh.h"

static inline struct span text(const char *s)
{
    return span_of(s, strlen(s));
}

static inline void call(struct mesh *m, size_t node)
{
    struct api_request request = {.deadline_ms = 5000};
    struct buf b;
    text_copy(request.op, sizeof request.op, "service");
    buf_init(&b, 4096);
    api_request_write(&b, &request);
    struct event ev = {.type = EV_CALL, .as.call = {.client = 1, .request = buf_span(&b)}};
    mesh_step(m, node, &ev);
    buf_fini(&b);
}

static inline int ask(struct mesh *m, size_t node)
{
    size_t before = m->node[node].replies;
    call(m, node);
    mesh_run(m, 5 * MINI_MS);
    assert_int_equal(m->node[node].replies, before + 1);
    return m->node[node].reply_code;
}

static inline int put(struct mesh *m, size_t node, const char *id, const char *name, uint16_t port,
               uint64_t ttl_ms)
{
    asked.what = REGISTER;
    asked.svc = (struct svc){.id = text(id), .name = text(name), .port = port, .ttl_ms = ttl_ms};
    return ask(m, node);
}

static inline int take_away(struct mesh *m, size_t node, const char *id)
{
    asked.what = DEREGISTER;
    asked.svc.id = text(id);
    return ask(m, node);
}

static inline int check(struct mesh *m, size_t node, const char *id, enum svc_health health,
                 const char *said)
{
    asked.what = CHECK;
    asked.svc.id = text(id);
    asked.health = health;
    asked.text = said;
    return ask(m, node);
}

/* All that node sees, as "id@node:health …". */
static inline const char *seen(struct mesh *m, size_t node)
{
    static char all[4096];
    struct service_walk w = {.at_bytes = 0};
    struct service_view v;
    size_t used = 0;
    all[0] = '\0';
    while (core_service_next(m->node[node].core, &w, &v)) {
        size_t owner = mesh_by_id(m, &v.node);
        used += (size_t) snprintf(all + used, sizeof all - used, "%s%.*s@%zu:%s",
                                  used > 0 ? " " : "", (int) v.svc.id.size,
                                  (const char *) v.svc.id.data, owner,
                                  svc_health_name(v.svc.health));
    }
    return all;
}

#endif
