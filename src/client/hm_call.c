/* SPDX-License-Identifier: MPL-2.0 */
/* Calls from their start to their end.
 *
 *   waits --pump--> under way --reply--> over
 *     ^                 |
 *     `---- a read -----+-- the connection ends -- a write --> over (HM_EUNREACHABLE)
 *
 * Each ends once: by its reply, by its deadline or by hm_cancel. At most WINDOW are under way, since a meshd
 * answers only so many at a time; the others wait here, in order. A call's slot is used again; its id has the
 * slot's generation, so that a late reply finds nobody. */
#define _GNU_SOURCE
#include "base/limits.h"
#include "base/text.h"
#include "client/hm_priv.h"
#include "wire/api_msg.h"

#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 65536
#define WINDOW 128         /* of the 320 that a meshd has for all its clients */
#define UNSENT_BYTES_MAX 262144 /* on the connection; the others wait here, where their deadlines end them */
#define GRACE_MS 250       /* meshd's own answer at the deadline says more than ours: let it come first */
#define KEEP_BYTES 4096    /* a request that was larger gives its memory back */

/* ---- slots ----------------------------------------------------------------------------------- */

static uint64_t id_of(const struct call *call)
{
    return (uint64_t) call->generation << 32 | call->index;
}

static struct call *find(const struct calls *calls, uint64_t id)
{
    uint32_t index = (uint32_t) id;
    struct call *call = index < calls->slot_count ? calls->slots[index] : NULL;
    return call != NULL && call->is_used && call->generation == id >> 32 ? call : NULL;
}

/* HM_EFULL: as many as may be; HM_ENOMEM. */
static int take_slot(struct calls *calls, struct call **ret_call)
{
    if (calls->free == NULL) {
        if (calls->slot_count >= CALLS_MAX) {
            return HM_EFULL;
        }
        struct call **slots = calls->slots;
        if ((calls->slot_count & (calls->slot_count - 1)) == 0) { /* at powers of two it is full */
            size_t room = calls->slot_count == 0 ? 1 : calls->slot_count * 2;
            slots = realloc(calls->slots, room * sizeof *slots);
            if (slots == NULL) {
                return HM_ENOMEM;
            }
            calls->slots = slots;
        }
        struct call *call = calloc(1, sizeof *call);
        if (call == NULL) {
            return HM_ENOMEM;
        }
        buf_init(&call->request, HM_REQUEST_BYTES_MAX);
        call->index = (uint32_t) calls->slot_count;
        slots[calls->slot_count++] = call;
        calls->free = call;
    }
    *ret_call = calls->free;
    calls->free = calls->free->next;
    (*ret_call)->next = NULL;
    (*ret_call)->is_used = true;
    (*ret_call)->generation++;
    return HM_OK;
}

static void free_slot(struct calls *calls, struct call *call)
{
    if (call->request.room > KEEP_BYTES) {
        buf_fini(&call->request);
        buf_init(&call->request, HM_REQUEST_BYTES_MAX);
    }
    buf_clear(&call->request);
    calls->under_way -= call->is_sent;
    call->is_used = call->is_sent = call->is_cancelled = false;
    call->next = calls->free;
    calls->free = call;
}

void calls_fini(struct calls *calls)
{
    for (size_t i = 0; i < calls->slot_count; i++) {
        buf_fini(&calls->slots[i]->request);
        free(calls->slots[i]);
    }
    free(calls->slots);
    memset(calls, 0, sizeof *calls);
}

/* ---- those that wait ------------------------------------------------------------------------- */

static void queue(struct calls *calls, struct call *call)
{
    call->next = NULL;
    *(calls->last == NULL ? &calls->first : &calls->last->next) = call;
    calls->last = call;
}

static struct call *unqueue(struct calls *calls)
{
    struct call *call = calls->first;
    calls->first = call->next;
    if (calls->first == NULL) {
        calls->last = NULL;
    }
    call->next = NULL;
    return call;
}

/* Takes those out that are over: few are, and seldom. */
static void sweep_queue(struct calls *calls)
{
    struct call *call = calls->first;
    calls->first = calls->last = NULL;
    while (call != NULL) {
        struct call *next = call->next;
        if (call->done != NULL) {
            queue(calls, call);
        } else {
            free_slot(calls, call);
        }
        call = next;
    }
}

bool calls_can_go(const hm_t *hm)
{
    const struct calls *calls = &hm->calls;
    return hm_is_connected(hm) && calls->first != NULL && calls->under_way < WINDOW &&
           conn_unsent(hm->conn) < UNSENT_BYTES_MAX;
}

int calls_pump(hm_t *hm)
{
    struct calls *calls = &hm->calls;
    while (calls_can_go(hm)) {
        struct call *call = calls->first;
        if (call->is_cancelled) {
            free_slot(calls, unqueue(calls));
            continue;
        }
        int code = conn_put(hm->conn, id_of(call), buf_span(&call->request));
        if (code != HM_OK) {
            return code;
        }
        unqueue(calls);
        call->is_sent = true;
        calls->under_way++;
    }
    return HM_OK;
}

/* ---- beginning and ending -------------------------------------------------------------------- */

int call_begin(hm_t *hm, const struct call_start *start, uint64_t *ret_id)
{
    struct call *call;
    unsigned timeout_ms = start->timeout_ms > 0 ? start->timeout_ms : hm->timeout_ms;
    if (timeout_ms > HM_TIMEOUT_MS_MAX) {
        return hm_fail(hm, HM_EINVAL, "a timeout has at most 600000 ms");
    }
    int code = take_slot(&hm->calls, &call);
    if (code != HM_OK) {
        return hm_fail(hm, code, code == HM_EFULL ? "65536 calls are under way already" : "");
    }
    struct api_request request = {.args = start->args, .deadline_ms = timeout_ms};
    text_copy(request.op, sizeof request.op, start->op);
    api_request_write(&call->request, &request);
    if (buf_failed(&call->request)) {
        bool is_large = start->args.size > HM_REQUEST_BYTES_MAX / 2;
        free_slot(&hm->calls, call);
        return is_large ? hm_fail(hm, HM_EINVAL, "key and value are larger than a request may be")
                        : hm_fail(hm, HM_ENOMEM, "");
    }
    call->is_write = start->is_write;
    call->done = start->done;
    call->reply = start->reply;
    call->ctx = start->ctx;
    call->deadline_ms = (hm->is_dispatching ? hm->now_ms : hm_now_ms()) + timeout_ms + GRACE_MS;
    if (call->deadline_ms < hm->calls.check_ms) {
        hm->calls.check_ms = call->deadline_ms;
    }
    queue(&hm->calls, call);
    if (ret_id != NULL) {
        *ret_id = id_of(call);
    }
    if (!hm->is_dispatching) {
        (void) calls_pump(hm); /* without memory it is tried again */
        hm_stir(hm);
    }
    return HM_OK;
}

int call_cancel(hm_t *hm, uint64_t id)
{
    struct call *call = find(&hm->calls, id);
    if (call == NULL || call->is_cancelled) {
        return HM_ENOTFOUND;
    }
    if (call->is_sent) {
        free_slot(&hm->calls, call); /* its reply will find nobody */
        if (!hm->is_dispatching && hm->calls.first != NULL) { /* the next one has its place */
            (void) calls_pump(hm);
            hm_stir(hm);
        }
    } else {
        call->is_cancelled = true; /* when it is its turn, it is passed over */
    }
    return HM_OK;
}

/* The call is over; its slot is free before its function runs, which may begin another. */
static void end_call(hm_t *hm, struct call *call, int code, const char *why, struct span value)
{
    struct call over = *call;
    free_slot(&hm->calls, call);
    if (!over.is_cancelled) {
        over.done(hm, &over, code, why[0] != '\0' || code == HM_OK ? why : hm_strerror(code), value);
    }
}

void calls_on_reply(hm_t *hm, uint64_t id, struct span bytes)
{
    struct api_reply reply;
    struct span none = span_of(NULL, 0);
    struct call *call = find(&hm->calls, id);
    if (call == NULL || !call->is_sent) {
        return; /* late: it was given up */
    }
    int code = api_reply_read(bytes, &reply);
    if (code != HM_OK) {
        end_call(hm, call, code, "what meshd answered makes no sense: is it another version?",
                 none);
    } else if (reply.code != HM_OK) {
        end_call(hm, call, reply.code, reply.text, none);
    } else {
        end_call(hm, call, HM_OK, "", reply.value);
    }
}

/* ---- all at once ----------------------------------------------------------------------------- */

void calls_on_lost(hm_t *hm)
{
    struct calls *calls = &hm->calls;
    size_t count = calls->slot_count; /* those that callbacks begin now are not meant */
    struct span none = span_of(NULL, 0);
    for (size_t i = 0; i < count; i++) {
        struct call *call = calls->slots[i];
        if (!call->is_used || !call->is_sent) {
            continue;
        }
        if (call->is_write) {
            end_call(hm, call, HM_EUNREACHABLE,
                     "meshd ended before it answered: it may have been done or not", none);
        } else {
            call->is_sent = false;
            calls->under_way--;
            queue(calls, call);
        }
    }
}

void calls_expire(hm_t *hm, uint64_t now_ms)
{
    struct calls *calls = &hm->calls;
    struct span none = span_of(NULL, 0);
    size_t count = calls->slot_count;
    calls->check_ms = NEVER_MS;
    for (size_t i = 0; i < count; i++) {
        struct call *call = calls->slots[i];
        if (!call->is_used || call->done == NULL) {
            continue;
        }
        if (call->deadline_ms > now_ms) {
            calls->check_ms =
                call->deadline_ms < calls->check_ms ? call->deadline_ms : calls->check_ms;
        } else if (call->is_sent) {
            end_call(hm, call, HM_ETIMEDOUT, "meshd did not answer in time", none);
        } else {
            struct call over = *call;
            call->done = NULL; /* its place in the queue goes below */
            if (!over.is_cancelled) {
                bool is_lost = !hm_is_connected(hm);
                over.done(hm, &over, is_lost ? HM_EUNREACHABLE : HM_ETIMEDOUT,
                          is_lost ? "no meshd answers here" : "it was not its turn in time", none);
            }
        }
    }
    sweep_queue(calls);
}
