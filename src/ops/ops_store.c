/* SPDX-License-Identifier: MPL-2.0 */
/* Handlers of store.status, store.check and store.compact. The last two only begin what takes long; who
 * wants to know its end asks store.status for the work of that number. */
#include "base/err.h"
#include "base/text.h"
#include "ops/ops_call.h"
#include "wire/mpack.h"

#include <string.h>

#define NS_PER_MS 1000000u
#define HEX_BYTES_MAX 64 /* of a key that is shown as hex digits */

const char *store_table_name(enum store_table table)
{
    switch (table) {
    case STORE_SELF:
        return "self";
    case STORE_ROSTER:
        return "roster";
    case STORE_VECTOR:
        return "vector";
    case STORE_ENTRIES:
        return "entries";
    case STORE_DOTS:
        return "dots";
    case STORE_MARKS:
        return "marks";
    }
    return NULL;
}

static void put_records(struct buf *b, const struct store_figures *f)
{
    mp_str(b, "records");
    mp_map(b, STORE_FIGURES_TABLES - 1);
    for (unsigned t = 1; t < STORE_FIGURES_TABLES; t++) {
        ops_put_uint(b, store_table_name((enum store_table) t), f->entries[t]);
    }
}

static void put_bytes_known(struct buf *b, const char *key, bool is_known, uint64_t bytes)
{
    if (is_known) {
        ops_put_uint(b, key, bytes);
    } else {
        mp_str(b, key);
        mp_nil(b);
    }
}

static const char *state_name(const struct store_work *w)
{
    return !w->is_done ? "running" : w->code == HM_OK ? "done" : "failed";
}

static void put_work(struct buf *b, const struct store_work *w)
{
    mp_str(b, "work");
    if (w->kind == STORE_WORK_NONE) {
        mp_nil(b);
        return;
    }
    mp_map(b, 11);
    ops_put_uint(b, "number", w->number);
    ops_put_str(b, "kind", w->kind == STORE_WORK_CHECK ? "check" : "compact");
    ops_put_str(b, "state", state_name(w));
    ops_put_bool(b, "by_itself", w->is_by_itself);
    ops_put_str_or_nil(b, "error", w->text);
    ops_put_uint(b, "took_ms", w->took_ns / NS_PER_MS);
    ops_put_uint(b, "bytes_before", w->bytes_before);
    ops_put_uint(b, "bytes_after", w->bytes_after);
    ops_put_uint(b, "records", w->records);
    ops_put_uint(b, "damaged", w->damaged_count);
    ops_put_bool(b, "file_damaged", w->is_file_damaged);
}

/* An entry's key is text up to a 0; what follows tells its versions apart. */
static void put_record_key(struct buf *b, const struct store_damaged_record *r)
{
    char hex[2 * HEX_BYTES_MAX + 1];
    mp_str(b, "key");
    if (r->table == STORE_ENTRIES || r->table == STORE_SELF) {
        const void *end = memchr(r->key, 0, r->key_size);
        size_t size = end == NULL ? r->key_size : (size_t) ((const uint8_t *) end - r->key);
        ops_put_foreign(b, span_of(r->key, size));
    } else {
        mp_str(b, text_hex(r->key, r->key_size < HEX_BYTES_MAX ? r->key_size : HEX_BYTES_MAX, hex));
    }
}

static void put_damaged(struct buf *b, const struct store_work *w)
{
    uint64_t count = w->kind == STORE_WORK_CHECK ? w->damaged_count : 0;
    count = count < STORE_WORK_DAMAGED_MAX ? count : STORE_WORK_DAMAGED_MAX;
    mp_str(b, "damaged_records");
    mp_array(b, count);
    for (size_t i = 0; i < count; i++) {
        const char *name = store_table_name(w->damaged[i].table);
        mp_map(b, 2);
        ops_put_str(b, "table", name != NULL ? name : "?");
        put_record_key(b, &w->damaged[i]);
    }
}

void ops_store_status(struct ops_call *call)
{
    const struct ops_env *env = call->env;
    const struct store_condition *c = env->store != NULL ? env->store(env->ctx) : NULL;
    struct buf *b = call->reply;
    if (c == NULL || !c->are_figures_known) {
        ops_fail(call, HM_EIO, "the store cannot be read; the log of this node says why");
        return;
    }
    const struct store_figures *f = &c->figures;
    mp_map(b, 20);
    ops_put_str(b, "path", c->path);
    ops_put_uint(b, "format", f->format);
    ops_put_uint(b, "file_bytes", f->file_bytes);
    ops_put_uint(b, "map_bytes", f->map_bytes);
    ops_put_uint(b, "page_bytes", f->page_bytes);
    ops_put_uint(b, "used_pages", f->pages - f->free_pages);
    ops_put_uint(b, "free_pages", f->free_pages);
    put_records(b, f);
    ops_put_uint(b, "commits", c->counts.commits);
    ops_put_uint(b, "checkpoints", c->counts.checkpoints);
    ops_put_uint(b, "syncs", c->counts.syncs);
    ops_put_uint(b, "journal_bytes", c->journal_bytes);
    put_bytes_known(b, "written_bytes", c->counts.is_bytes_known, c->counts.bytes_written);
    put_bytes_known(b, "written_today_bytes", c->counts.is_bytes_known, c->today_bytes);
    ops_put_bool(b, "full", c->is_full);
    ops_put_str_or_nil(b, "error", c->error);
    if (c->error[0] != '\0') {
        ops_put_time(b, "error_time", c->error_wall_ms);
    } else {
        ops_put_str_or_nil(b, "error_time", "");
    }
    ops_put_uint(b, "damaged", c->damaged);
    put_work(b, c->work);
    put_damaged(b, c->work);
}

static void begin(struct ops_call *call, enum store_work_kind kind)
{
    const struct ops_env *env = call->env;
    uint64_t number = 0;
    int rc = env->store_work != NULL ? env->store_work(env->ctx, kind, &number) : HM_EIO;
    if (rc == HM_EBUSY) {
        ops_fail(call, rc,
                 "the store is being checked or compacted already: \"meshctl store status\" shows "
                 "how it goes");
        return;
    }
    if (rc != HM_OK) {
        ops_fail(call, rc, "the store is too busy now: too many batches wait for the disk");
        return;
    }
    mp_map(call->reply, 1);
    ops_put_uint(call->reply, "work", number);
}

void ops_store_check(struct ops_call *call)
{
    begin(call, STORE_WORK_CHECK);
}

void ops_store_compact(struct ops_call *call)
{
    begin(call, STORE_WORK_COMPACT);
}
