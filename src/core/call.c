/* SPDX-License-Identifier: MPL-2.0 */
/* Operations: run here by the handler that ops handed in, or passed to another node over a link.
 *
 *     CALL        [number, request]      request and reply are those of the local protocol
 *     CALL_REPLY  [number, reply]
 *
 * A handler may ask to wait (long poll): for the next member event, for the disk, for a change of the
 * registry; it is run again then, and for the last time at its deadline. Every call ends: by an answer, an error or the deadline. */
#include "base/err.h"
#include "base/text.h"
#include "core/core_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_DEADLINE_MS 5000
#define ANSWER_TRAVELS_MAX_MS 1000

static void frame_numbered(core_t *c, struct member *m, enum frame_type type, uint64_t number,
                           struct span bytes)
{
    struct buf b;
    buf_init(&b, HM_FRAME_BYTES_MAX);
    mp_array(&b, 2);
    mp_uint(&b, number);
    mp_bin(&b, bytes.data, bytes.size);
    if (!buf_failed(&b)) {
        send_frame(c, m, type, buf_span(&b));
    }
    buf_fini(&b);
}

/* Who asked: a local client, or a member with its number. */
struct asker {
    uint64_t client;
    struct node_id from;
    uint64_t number;
};

static void answer_bytes(core_t *c, const struct asker *asker, struct span reply)
{
    if (!node_id_is_zero(&asker->from)) {
        struct member *m = roster_find(&c->roster, &asker->from);
        if (m != NULL) {
            frame_numbered(c, m, FRAME_CALL_REPLY, asker->number, reply);
        }
        return;
    }
    struct span copy = fxlist_copy(&c->fx, reply);
    struct effect *fx = fxlist_add(&c->fx, FX_REPLY);
    if (fx != NULL) {
        fx->as.reply.client = asker->client;
        fx->as.reply.body = copy;
    }
}

static void answer(core_t *c, const struct asker *asker, int code, const char *text,
                   struct span value)
{
    struct api_reply reply = {.code = code, .value = value};
    struct buf b;
    text_copy(reply.text, sizeof reply.text, text);
    buf_init(&b, HM_FRAME_BYTES_MAX);
    api_reply_write(&b, &reply);
    if (!buf_failed(&b)) {
        answer_bytes(c, asker, buf_span(&b));
    }
    buf_fini(&b);
}

static void refuse(core_t *c, const struct asker *asker, int code, const char *text)
{
    answer(c, asker, code, text, span_of(NULL, 0));
}

/* Appends one to those that wait. NULL: as many as may, or no memory. */
static struct call *call_new(core_t *c)
{
    struct call *call = c->call_count < HM_CALLS_MAX ? calloc(1, sizeof *call) : NULL;
    if (call == NULL) {
        core_count(c, M_CALLS_REFUSED);
        return NULL;
    }
    call->before = c->last_call;
    *(c->last_call == NULL ? &c->first_call : &c->last_call->next) = call;
    c->last_call = call;
    c->call_count++;
    return call;
}

static void call_free(core_t *c, struct call *call)
{
    timer_disarm(&c->timers, &call->timer);
    buf_fini(&call->request);
    *(call->before == NULL ? &c->first_call : &call->before->next) = call->next;
    *(call->next == NULL ? &c->last_call : &call->next->before) = call->before;
    c->call_count--;
    free(call);
}

static struct call *call_start(core_t *c, enum call_kind kind, const struct asker *asker,
                               struct span request, uint64_t deadline_ms)
{
    struct call *call = call_new(c);
    if (call == NULL) {
        return NULL;
    }
    call->kind = kind;
    call->client = asker->client;
    call->from = asker->from;
    call->from_number = asker->number;
    call->number = ++c->call_number;
    buf_init(&call->request, HM_REQUEST_BYTES_MAX);
    buf_append(&call->request, request.data, request.size);
    call->timer.kind = TIMER_CALL;
    call->timer.owner = call;
    uint64_t wait_ms = deadline_ms > 0 ? deadline_ms : NO_DEADLINE_MS;
    if (buf_failed(&call->request) ||
        timer_arm(&c->timers, &call->timer, c->now_ns + wait_ms * MS_NS) != 0) {
        call_free(c, call);
        return NULL;
    }
    return call;
}

static bool has_share_left(const core_t *c, const struct node_id *from)
{
    size_t waiting = 0;
    for (const struct call *call = c->first_call; call != NULL; call = call->next) {
        waiting += call->kind == CALL_EVENT && node_id_eq(&call->from, from);
    }
    return node_id_is_zero(from) || waiting < HM_CALLS_PER_MEMBER_MAX;
}

/* What a handler waits for, and what it left for its next run. */
struct waiting {
    bool is_crowded;
    unsigned wait_for; /* enum call_wake bits */
    uint64_t ticket, kept;
};

/* Runs the handler once. False if it wants to wait. */
static bool run_once(core_t *c, const struct asker *asker, const struct api_request *request,
                     bool is_last, struct waiting *w)
{
    struct call_result result = {.code = HM_ENOTFOUND,
                                 .is_crowded = w->is_crowded,
                                 .ticket = w->ticket,
                                 .kept = w->kept};
    buf_clear(&c->reply);
    if (c->calls_handler == NULL) {
        refuse(c, asker, HM_ENOTFOUND, "this node answers no operations");
        return true;
    }
    c->calls_handler->handle(c->calls_handler->ctx, c, request->op, request->args,
                             node_id_is_zero(&asker->from), is_last, &c->reply, &result);
    if (result.wait && !is_last) {
        w->wait_for = result.wait_for == 0 ? WAKE_EVENT : result.wait_for;
        w->ticket = result.ticket;
        w->kept = result.kept;
        return false;
    }
    if (result.code == HM_OK && buf_failed(&c->reply)) {
        refuse(c, asker, HM_EFULL, "the answer is larger than a reply may be");
    } else if (result.code == HM_OK) {
        answer(c, asker, HM_OK, "", buf_span(&c->reply));
    } else {
        refuse(c, asker, result.code, result.text);
    }
    return true;
}

static void run_here(core_t *c, const struct asker *asker, const struct api_request *request,
                     struct span bytes)
{
    struct waiting w = {
        .is_crowded = c->call_count >= HM_CALLS_MAX || !has_share_left(c, &asker->from)};
    if (run_once(c, asker, request, false, &w)) {
        return;
    }
    struct call *call = NULL;
    if (!w.is_crowded) {
        call = call_start(c, CALL_EVENT, asker, bytes, request->deadline_ms);
    } else {
        core_count(c, M_CALLS_REFUSED);
    }
    if (call == NULL) {
        refuse(c, asker, HM_EBUSY,
               "as many operations wait at this node as may; try again in a second");
        return;
    }
    call->wait_for = w.wait_for;
    call->ticket = w.ticket;
    call->kept = w.kept;
}

static struct asker asker_of(const struct call *call)
{
    struct asker asker = {
        .client = call->client, .from = call->from, .number = call->from_number};
    return asker;
}

static void run_again(core_t *c, struct call *call, bool is_last)
{
    struct api_request request;
    struct asker asker = asker_of(call);
    int rc = api_request_read(buf_span(&call->request), &request);
    HM_ASSERT(rc == HM_OK); /* it was read before it was kept */
    struct waiting w = {.ticket = call->ticket, .kept = call->kept};
    if (run_once(c, &asker, &request, is_last, &w)) {
        call_free(c, call);
        return;
    }
    call->wait_for = w.wait_for;
    call->ticket = w.ticket;
    call->kept = w.kept;
}

/* One whose write is still on its way to the disk has nothing to say when others' writes are there. */
static bool is_woken(const core_t *c, const struct call *call, unsigned came)
{
    return call->kind == CALL_EVENT && (call->wait_for & came) != 0 &&
           (call->wait_for != WAKE_DURABLE ||
            core_write_fate(c, call->ticket) != REGISTRY_WAITS);
}

void call_run_waiting(core_t *c)
{
    unsigned came = c->wakes;
    struct call *next;
    c->wakes = 0;
    for (struct call *call = c->first_call; call != NULL; call = next) {
        next = call->next;
        if (is_woken(c, call, came)) {
            run_again(c, call, false);
        }
    }
}

static void send_call(core_t *c, struct call *call, struct member *m)
{
    call->sent = true;
    frame_numbered(c, m, FRAME_CALL, call->number, buf_span(&call->request));
}

/* The other node answers a little before the asker gives up, so that its answer can still travel. */
static uint64_t deadline_there_ms(uint64_t deadline_ms)
{
    uint64_t here_ms = deadline_ms > 0 ? deadline_ms : NO_DEADLINE_MS;
    uint64_t travels_ms = here_ms / 4;
    return here_ms - (travels_ms < ANSWER_TRAVELS_MAX_MS ? travels_ms : ANSWER_TRAVELS_MAX_MS);
}

/* Passes a call on to the node it names. That node must not pass it on again: the name is taken out. */
static void pass_on(core_t *c, const struct asker *asker, const struct api_request *request,
                    struct member *m)
{
    struct api_request there = *request;
    struct buf b;
    char text[256];
    there.node[0] = '\0';
    there.deadline_ms = deadline_there_ms(request->deadline_ms);
    if (!member_is_up(m)) {
        snprintf(text, sizeof text, "%s is %s and cannot be asked", m->rec.name,
                 member_status_name(m->status));
        refuse(c, asker, HM_EUNREACHABLE, text);
        return;
    }
    buf_init(&b, HM_REQUEST_BYTES_MAX);
    api_request_write(&b, &there);
    struct call *call =
        buf_failed(&b) ? NULL
                       : call_start(c, CALL_REMOTE, asker, buf_span(&b), request->deadline_ms);
    buf_fini(&b);
    if (call == NULL) {
        refuse(c, asker, HM_EFULL, "too many calls wait already; try again");
        return;
    }
    call->to = m->id;
    memcpy(call->node, m->rec.name, sizeof call->node);
    if (m->link == LINK_UP) {
        send_call(c, call, m);
    } else {
        overlay_want_link(c, m);
        if (m->session == 0 && c->ready) {
            swim_probe(c, m, false); /* it takes no link of whom it has not heard yet */
        }
    }
}

static void local_request(core_t *c, const struct asker *asker, const struct api_request *request,
                          struct span bytes)
{
    struct member_view view;
    char text[256];
    if (request->node[0] == '\0') {
        run_here(c, asker, request, bytes);
        return;
    }
    int rc = core_member_find(c, request->node, &view);
    if (rc != HM_OK) {
        snprintf(text, sizeof text, rc == HM_EAMBIGUOUS ? "several nodes are called %s: use an id"
                                                        : "no node is called %s",
                 request->node);
        refuse(c, asker, rc, text);
    } else if (view.is_self) {
        run_here(c, asker, request, bytes);
    } else if (c->removals.is_self) {
        refuse(c, asker, HM_EUNREACHABLE,
               "this node was removed from the mesh and asks nobody any more: \"meshctl status\" says "
               "more");
    } else {
        pass_on(c, asker, request, roster_find(&c->roster, &view.id));
    }
}

static const char *why_unreadable(int rc)
{
    return rc == HM_EVERSION ? "client and meshd speak different versions of the local protocol"
           : rc == HM_EFULL  ? "the request is larger than requests may be: a value has at most 1 MiB"
                             : "the request is not well-formed";
}

void call_local(core_t *c, uint64_t client, struct span bytes)
{
    struct api_request request;
    struct asker asker = {.client = client};
    core_count(c, M_CALLS);
    int rc = bytes.size > HM_REQUEST_BYTES_MAX ? HM_EFULL : api_request_read(bytes, &request);
    if (rc == HM_OK) {
        local_request(c, &asker, &request, bytes);
        return;
    }
    core_count(c, M_CALLS_REFUSED);
    refuse(c, &asker, rc, why_unreadable(rc));
}

void call_gone(core_t *c, uint64_t client)
{
    struct call *next;
    for (struct call *call = c->first_call; call != NULL; call = next) {
        next = call->next;
        if (node_id_is_zero(&call->from) && call->client == client) {
            call_free(c, call);
        }
    }
}

static void on_call(core_t *c, struct member *m, uint64_t number, struct span bytes)
{
    struct api_request request;
    struct asker asker = {.from = m->id, .number = number};
    core_count(c, M_CALLS_REMOTE);
    int rc = bytes.size > HM_REQUEST_BYTES_MAX ? HM_EFULL : api_request_read(bytes, &request);
    if (rc == HM_OK && request.node[0] == '\0') {
        run_here(c, &asker, &request, bytes);
        return;
    }
    core_count(c, M_CALLS_REFUSED);
    refuse(c, &asker, rc == HM_OK ? HM_EDENIED : rc, why_unreadable(rc));
}

static void on_reply(core_t *c, const struct member *m, uint64_t number, struct span bytes)
{
    struct api_reply reply;
    for (struct call *call = c->first_call; call != NULL; call = call->next) {
        if (call->kind != CALL_REMOTE || call->number != number ||
            !node_id_eq(&call->to, &m->id)) {
            continue;
        }
        struct asker asker = asker_of(call);
        if (api_reply_read(bytes, &reply) == HM_OK) {
            answer_bytes(c, &asker, bytes);
        } else {
            refuse(c, &asker, HM_EMALFORMED, "the other node's answer is not well-formed");
        }
        call_free(c, call);
        return;
    }
}

void call_frame(core_t *c, struct member *m, uint8_t type, struct span body)
{
    struct mp_reader r;
    mp_open(&r, body);
    size_t count = mp_read_array(&r);
    uint64_t number = mp_read_uint(&r, UINT64_MAX);
    struct span bytes = mp_read_bin(&r, HM_FRAME_BYTES_MAX);
    m->unwanted_since_ns = 0; /* a guest link is kept while it is used */
    if (mp_failed(&r) || count < 2) {
        core_count(c, M_DROP_MALFORMED);
    } else if (type == FRAME_CALL) {
        on_call(c, m, number, bytes);
    } else {
        on_reply(c, m, number, bytes);
    }
}

void call_timeout(core_t *c, struct call *call)
{
    char text[256];
    struct asker asker = asker_of(call);
    if (call->kind == CALL_EVENT) {
        run_again(c, call, true);
        return;
    }
    snprintf(text, sizeof text, call->sent ? "%s did not answer in time"
                                           : "no link to %s could be made in time",
             call->node);
    refuse(c, &asker, HM_ETIMEDOUT, text);
    call_free(c, call);
}

void call_link_changed(core_t *c, struct member *m)
{
    char text[256];
    struct call *next;
    for (struct call *call = c->first_call; call != NULL; call = next) {
        next = call->next;
        if (call->kind != CALL_REMOTE || !node_id_eq(&call->to, &m->id)) {
            continue;
        }
        if (m->link == LINK_UP && !call->sent) {
            send_call(c, call, m);
        } else if (m->link != LINK_UP && call->sent) {
            struct asker asker = asker_of(call);
            snprintf(text, sizeof text, "the link to %s ended before it answered", m->rec.name);
            refuse(c, &asker, HM_EUNREACHABLE, text);
            call_free(c, call);
        }
    }
}

void call_member_gone(core_t *c, const struct member *m)
{
    char text[256];
    struct call *next;
    snprintf(text, sizeof text, "%s was removed from the mesh", m->rec.name);
    for (struct call *call = c->first_call; call != NULL; call = next) {
        struct asker asker = asker_of(call);
        next = call->next;
        if (call->kind == CALL_REMOTE && node_id_eq(&call->to, &m->id)) {
            refuse(c, &asker, HM_EUNREACHABLE, text);
            call_free(c, call);
        } else if (node_id_eq(&call->from, &m->id)) {
            call_free(c, call);
        }
    }
}

bool call_uses_link(const core_t *c, const struct member *m)
{
    for (const struct call *call = c->first_call; call != NULL; call = call->next) {
        if (node_id_eq(&call->from, &m->id) || node_id_eq(&call->to, &m->id)) {
            return true;
        }
    }
    return false;
}

void call_fini(core_t *c)
{
    while (c->first_call != NULL) {
        call_free(c, c->first_call);
    }
}
