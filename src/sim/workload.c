/* SPDX-License-Identifier: MPL-2.0 */
/* Clients that write: see workload.h. */
#include "sim/workload.h"

#include "base/err.h"
#include "base/text.h"
#include "sim/ledger.h"
#include "sim/plan.h"
#include "wire/api_msg.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEADLINE_MS 20000
#define OWN_KEYS 8 /* one key in so many belongs to its writer */
#define REQUEST_BYTES_MAX 256

/* ---- asking ---- */

static void write_request(struct buf *b, uint64_t number, unsigned key, bool is_delete,
                          unsigned bytes)
{
    struct buf args;
    struct api_request request = {.op = "write", .deadline_ms = DEADLINE_MS};
    buf_init(&args, REQUEST_BYTES_MAX);
    mp_map(&args, 1);
    mp_str(&args, "write");
    mp_array(&args, 4);
    mp_uint(&args, number);
    mp_uint(&args, key);
    mp_bool(&args, is_delete);
    mp_uint(&args, bytes);
    request.args = buf_span(&args);
    api_request_write(b, &request);
    HM_ASSERT(!buf_failed(&args) && !buf_failed(b));
    buf_fini(&args);
}

void workload_write(struct world *w, unsigned node, uint64_t within_ns, uint64_t load)
{
    const struct plan_load *what = &w->plan->loads[load];
    unsigned key = (unsigned) prng_below(&w->write_prng, what->keys);
    bool is_delete = world_chance(&w->write_prng, what->deletes_ppm);
    uint64_t at_ns = w->now_ns + prng_below(&w->write_prng, within_ns + 1);
    uint64_t number = ledger_asked(w->ledger);
    struct buf b;
    buf_init(&b, REQUEST_BYTES_MAX);
    write_request(&b, number, key, is_delete, what->bytes);
    struct msg *m = world_msg(w, node, b.size);
    memcpy(m->bytes, b.data, b.size);
    m->as.client = number;
    world_post(w, m, MSG_CALL, at_ns);
    buf_fini(&b);
}

/* ---- the operation ---- */

struct asked {
    uint64_t number, key, bytes;
    bool is_delete;
};

static void read_args(struct span args, struct asked *ret)
{
    struct mp_reader r;
    mp_open(&r, args);
    mp_read_map(&r);
    mp_skip(&r);
    mp_read_array(&r);
    ret->number = mp_read_uint(&r, UINT64_MAX);
    ret->key = mp_read_uint(&r, UINT32_MAX);
    ret->is_delete = mp_read_bool(&r);
    ret->bytes = mp_read_uint(&r, UINT32_MAX);
    HM_ASSERT(!mp_failed(&r));
}

static void write_key(const core_t *core, const struct asked *a, char *text, size_t max)
{
    struct core_status status;
    char id[NODE_ID_TEXT_BYTES];
    if (a->key % OWN_KEYS != OWN_KEYS - 1) {
        snprintf(text, max, "shared/%" PRIu64, a->key);
        return;
    }
    core_status(core, &status);
    text_hex(status.id.b, NODE_ID_BYTES, id);
    snprintf(text, max, "node/%s/%" PRIu64, id, a->key);
}

/* No two writes have the same value. */
static void write_value(const struct asked *a, struct buf *b)
{
    uint8_t *to;
    struct buf raw;
    buf_init(&raw, SIZE_MAX);
    size_t size = 8 + (size_t) a->bytes;
    to = buf_extend(&raw, size);
    HM_ASSERT(to != NULL);
    memset(be_put(to, a->number, 8), 'v', size - 8);
    mp_bin(b, raw.data, raw.size);
    buf_fini(&raw);
}

static void tell_ledger(struct world *w, core_t *core, uint64_t number, struct span key,
                        const struct dot *dot)
{
    struct registry_siblings siblings = {.count = 0};
    (void) registry_get(core_registry(core), LOOK_ALL, key, &siblings);
    for (size_t i = 0; i < siblings.count; i++) {
        if (dot_eq(&siblings.items[i].dot, dot)) {
            ledger_taken(w->ledger, number, &siblings.items[i]);
        }
    }
}

static void try_write(struct world *w, core_t *core, const struct asked *a,
                      struct call_result *result)
{
    char key[96];
    struct buf value;
    struct dot dot;
    struct registry_siblings siblings = {.live = 0};
    write_key(core, a, key, sizeof key);
    buf_init(&value, SIZE_MAX);
    write_value(a, &value);
    struct registry_write write = {.key = span_of(key, strlen(key)),
                                   .type = ENTRY_REGISTER,
                                   .is_deleted = a->is_delete,
                                   .value = buf_span(&value),
                                   .wall_ms = core_wall_ms(core)};
    (void) registry_get(core_registry(core), LOOK_ALL, write.key, &siblings);
    bool is_conflict = siblings.live > 1;
    result->code = core_write(core, &write, &dot, &result->ticket);
    if (result->code == HM_OK) {
        result->wait = true;
        result->wait_for = WAKE_DURABLE;
        w->rare[RARE_CONFLICT] += is_conflict;
        tell_ledger(w, core, a->number, write.key, &dot);
    }
    buf_fini(&value);
}

static void handle(void *ctx, core_t *core, const char *op, struct span args, bool is_local,
                   bool is_last, struct buf *reply, struct call_result *result)
{
    struct world *w = ctx;
    struct asked a;
    (void) op;
    (void) is_local;
    read_args(args, &a);
    if (result->ticket == 0) {
        try_write(w, core, &a, result);
        return;
    }
    enum registry_fate fate = core_write_fate(core, result->ticket);
    if (fate == REGISTRY_DURABLE) {
        result->code = HM_OK;
        mp_nil(reply);
    } else if (fate == REGISTRY_FAILED) {
        w->rare[RARE_WRITE_FAILED]++;
        result->code = HM_EIO;
    } else if (is_last) {
        result->code = HM_ETIMEDOUT; /* nobody knows what becomes of it */
    } else {
        result->wait = true;
        result->wait_for = WAKE_DURABLE;
    }
}

const struct call_handler *workload_handler(struct world *w)
{
    if (w->ledger == NULL) {
        return NULL;
    }
    w->calls = (struct call_handler){.ctx = w, .handle = handle};
    return &w->calls;
}
