/* SPDX-License-Identifier: MPL-2.0 */
/* Keys and values: get, put, delete and list, for event loops and waiting. What waits is the call for event
 * loops and hm_wait, with an answer kept in the handle: see homemesh.h. */
#define _GNU_SOURCE
#include "base/limits.h"
#include "base/text.h"
#include "client/hm_priv.h"
#include "wire/mpack.h"

#include <string.h>

/* ---- arguments ------------------------------------------------------------------------------- */

static void put_text(struct buf *b, const char *name, const char *text)
{
    mp_str(b, name);
    mp_str(b, text);
}

static void put_content(struct buf *b, const char *name, const void *data, size_t size)
{
    mp_str(b, name);
    if (text_is_utf8(data, size)) {
        mp_strn(b, data, size);
    } else {
        mp_bin(b, data, size);
    }
}

static int check(hm_t *hm, const char *key, size_t value_bytes)
{
    size_t size = strlen(key);
    if (size == 0 || size > HM_USER_KEY_BYTES_MAX) {
        return hm_fail(hm, HM_EINVAL, "a key has 1 to 512 bytes");
    }
    if (value_bytes > HM_VALUE_BYTES_MAX) {
        return hm_fail(hm, HM_EFULL, "a value has at most 1 MiB");
    }
    return HM_OK;
}

static int begin(hm_t *hm, struct call_start *start, uint64_t *ret_id)
{
    if (buf_failed(&hm->args)) {
        return hm_fail(hm, HM_ENOMEM, "");
    }
    start->args = buf_span(&hm->args);
    return call_begin(hm, start, ret_id);
}

static const char *type_name(enum hm_type type)
{
    return type == HM_SET ? "set" : type == HM_COUNTER ? "counter" : "register";
}

/* ---- starting -------------------------------------------------------------------------------- */

static void tell_program(const struct call *call, int code, const char *why,
                         const struct hm_entry *entry)
{
    struct hm_reply reply = {.code = code, .why = why, .entry = code == HM_OK ? entry : NULL};
    if (call->reply != NULL) {
        call->reply(call->ctx, &reply);
    }
}

static void tell_entry(hm_t *hm, const struct call *call, int code, const char *why,
                       struct span value)
{
    code = code == HM_OK ? room_read(&hm->shown, value, NULL) : code;
    tell_program(call, code, code != HM_OK && why[0] == '\0' ? hm_strerror(code) : why,
                 &hm->shown.entry);
}

static void tell_code(hm_t *hm, const struct call *call, int code, const char *why,
                      struct span value)
{
    (void) hm;
    (void) value;
    tell_program(call, code, why, NULL);
}

static int start_get(hm_t *hm, const char *key, struct call_start *start, uint64_t *ret_id)
{
    int code = check(hm, key, 0);
    if (code != HM_OK) {
        return code;
    }
    buf_clear(&hm->args);
    mp_map(&hm->args, 1);
    put_text(&hm->args, "key", key);
    start->op = "kv.get";
    return begin(hm, start, ret_id);
}

static int start_put(hm_t *hm, const char *key, struct hm_bytes value, const struct hm_put *how,
                     struct call_start *start, uint64_t *ret_id)
{
    static const struct hm_put plain;
    how = how != NULL ? how : &plain;
    int code = check(hm, key, value.size);
    if (code != HM_OK) {
        return code;
    }
    if ((unsigned) how->type > HM_COUNTER) {
        return hm_fail(hm, HM_EINVAL, "type must be HM_REGISTER, HM_SET or HM_COUNTER");
    }
    buf_clear(&hm->args);
    mp_map(&hm->args, 2 + (how->type > HM_REGISTER) + (how->if_version != NULL));
    put_text(&hm->args, "key", key);
    put_content(&hm->args, "value", value.data, value.size);
    if (how->type > HM_REGISTER) {
        put_text(&hm->args, "type", type_name(how->type));
    }
    if (how->if_version != NULL) {
        put_text(&hm->args, "if_version", how->if_version);
    }
    start->op = "kv.put";
    start->is_write = true;
    return begin(hm, start, ret_id);
}

static int start_delete(hm_t *hm, const char *key, const struct hm_bytes *element,
                        const char *if_version, struct call_start *start, uint64_t *ret_id)
{
    int code = check(hm, key, element != NULL ? element->size : 0);
    if (code != HM_OK) {
        return code;
    }
    buf_clear(&hm->args);
    mp_map(&hm->args, 1 + (element != NULL) + (if_version != NULL));
    put_text(&hm->args, "key", key);
    if (element != NULL) {
        put_content(&hm->args, "element", element->data, element->size);
    }
    if (if_version != NULL) {
        put_text(&hm->args, "if_version", if_version);
    }
    start->op = "kv.delete";
    start->is_write = true;
    return begin(hm, start, ret_id);
}

int hm_get_start(hm_t *hm, const char *key, unsigned timeout_ms, hm_reply_fn *done, void *ctx,
                 uint64_t *ret_call)
{
    struct call_start start = {
        .timeout_ms = timeout_ms, .done = tell_entry, .reply = done, .ctx = ctx};
    return start_get(hm, key, &start, ret_call);
}

int hm_put_start(hm_t *hm, const char *key, const void *value, size_t value_bytes,
                 const struct hm_put *how, unsigned timeout_ms, hm_reply_fn *done, void *ctx,
                 uint64_t *ret_call)
{
    struct call_start start = {
        .timeout_ms = timeout_ms, .done = tell_entry, .reply = done, .ctx = ctx};
    return start_put(hm, key, (struct hm_bytes){value, value_bytes}, how, &start, ret_call);
}

int hm_delete_start(hm_t *hm, const char *key, const struct hm_bytes *element,
                    const char *if_version, unsigned timeout_ms, hm_reply_fn *done, void *ctx,
                    uint64_t *ret_call)
{
    struct call_start start = {
        .timeout_ms = timeout_ms, .done = tell_code, .reply = done, .ctx = ctx};
    return start_delete(hm, key, element, if_version, &start, ret_call);
}

int hm_cancel(hm_t *hm, uint64_t call)
{
    return call_cancel(hm, call);
}

/* ---- waiting --------------------------------------------------------------------------------- */

void answer_take(struct answer *a, hm_t *hm, int code, const char *why)
{
    a->is_done = true;
    a->code = code;
    if (code != HM_OK) {
        hm_fail(hm, code, why);
    }
}

static void take_entry(hm_t *hm, const struct call *call, int code, const char *why,
                       struct span value)
{
    code = code == HM_OK ? room_read(&hm->kept, value, NULL) : code;
    answer_take(call->ctx, hm, code, why);
}

static void take_code(hm_t *hm, const struct call *call, int code, const char *why,
                      struct span value)
{
    (void) value;
    answer_take(call->ctx, hm, code, why);
}

/* A call that is left behind on a failure must not come back to a stack that is gone. */
int answer_wait(hm_t *hm, int started, uint64_t id, struct answer *a)
{
    if (started != HM_OK) {
        return started;
    }
    int code = hm_wait(hm, &a->is_done);
    if (!a->is_done) {
        (void) call_cancel(hm, id);
    }
    return a->is_done ? a->code : code;
}

int hm_get(hm_t *hm, const char *key, unsigned timeout_ms, const struct hm_entry **ret_entry)
{
    struct answer a = {.is_done = false};
    struct call_start start = {.timeout_ms = timeout_ms, .done = take_entry, .ctx = &a};
    uint64_t id = 0;
    int code = hm->is_dispatching ? hm_wait(hm, &a.is_done) : start_get(hm, key, &start, &id);
    code = answer_wait(hm, code, id, &a);
    if (code == HM_OK) {
        *ret_entry = &hm->kept.entry;
    }
    return code;
}

int hm_put(hm_t *hm, const char *key, const void *value, size_t value_bytes,
           const struct hm_put *how, unsigned timeout_ms, char ret_version[HM_VERSION_BYTES])
{
    struct answer a = {.is_done = false};
    struct call_start start = {.timeout_ms = timeout_ms, .done = take_entry, .ctx = &a};
    uint64_t id = 0;
    int code = hm->is_dispatching ? hm_wait(hm, &a.is_done)
                                  : start_put(hm, key, (struct hm_bytes){value, value_bytes}, how,
                                              &start, &id);
    code = answer_wait(hm, code, id, &a);
    if (code == HM_OK && ret_version != NULL) {
        text_copy(ret_version, HM_VERSION_BYTES, hm->kept.entry.version);
    }
    return code;
}

int hm_delete(hm_t *hm, const char *key, const struct hm_bytes *element, const char *if_version,
              unsigned timeout_ms)
{
    struct answer a = {.is_done = false};
    struct call_start start = {.timeout_ms = timeout_ms, .done = take_code, .ctx = &a};
    uint64_t id = 0;
    int code = hm->is_dispatching ? hm_wait(hm, &a.is_done)
                                  : start_delete(hm, key, element, if_version, &start, &id);
    return answer_wait(hm, code, id, &a);
}

/* ---- lists ----------------------------------------------------------------------------------- */

int page_read(struct span value, const char *items, struct page *ret_page)
{
    struct mp_reader r;
    struct page page = {.next = ""};
    mp_open(&r, value);
    size_t count = mp_peek(&r) == MP_MAP ? mp_read_map(&r) : 0;
    for (size_t i = 0; i < count && !mp_failed(&r); i++) {
        struct span name = mp_read_str(&r, SIZE_MAX);
        if (mp_failed(&r)) {
            break;
        }
        if (name.size == strlen(items) && memcmp(name.data, items, name.size) == 0) {
            page.count = mp_peek(&r) == MP_ARRAY ? mp_read_array(&r) : 0;
            page.items = r;
            mp_skip_many(&r, page.count);
        } else if (name.size == 4 && memcmp(name.data, "next", 4) == 0 &&
                   mp_peek(&r) == MP_STR) {
            mp_read_text(&r, page.next, sizeof page.next);
        } else if (name.size == 5 && memcmp(name.data, "since", 5) == 0 &&
                   mp_peek(&r) == MP_STR) {
            mp_read_text(&r, page.since, sizeof page.since);
        } else if (name.size == 3 && memcmp(name.data, "gap", 3) == 0) {
            page.has_gap = mp_read_bool(&r);
        } else {
            mp_skip(&r);
        }
    }
    if (count == 0 || mp_failed(&r)) {
        return HM_EMALFORMED;
    }
    *ret_page = page;
    return HM_OK;
}

int list_begin(hm_t *hm, const char *prefix, const char *after, struct call_start *start,
               uint64_t *ret_id)
{
    bool has_prefix = prefix[0] != '\0', has_after = after[0] != '\0';
    if (strlen(prefix) > HM_USER_KEY_BYTES_MAX) {
        return hm_fail(hm, HM_EINVAL, "a prefix has at most 512 bytes");
    }
    buf_clear(&hm->args);
    mp_map(&hm->args, (size_t) has_prefix + has_after);
    if (has_prefix) {
        put_text(&hm->args, "prefix", prefix);
    }
    if (has_after) {
        put_text(&hm->args, "after", after);
    }
    start->op = "kv.list";
    return begin(hm, start, ret_id);
}

struct listing {
    struct answer answer;
    hm_each_fn *each;
    void *ctx;
    bool is_enough;
    char next[PAGE_NEXT_BYTES];
};

static void take_page(hm_t *hm, const struct call *call, int code, const char *why,
                      struct span value)
{
    struct listing *l = call->ctx;
    struct page page = {.count = 0};
    code = code == HM_OK ? page_read(value, "keys", &page) : code;
    for (size_t i = 0; i < page.count && code == HM_OK && !l->is_enough; i++) {
        code = room_read(&hm->shown, mp_read_raw(&page.items), NULL);
        l->is_enough = code == HM_OK && !l->each(l->ctx, &hm->shown.entry);
    }
    memcpy(l->next, page.next, sizeof l->next);
    answer_take(&l->answer, hm, code, why);
}

int hm_list(hm_t *hm, const char *prefix, unsigned timeout_ms, hm_each_fn *each, void *ctx)
{
    struct listing l = {.each = each, .ctx = ctx};
    struct call_start start = {.timeout_ms = timeout_ms, .done = take_page, .ctx = &l};
    int code = HM_OK;
    bool is_on = true;
    while (code == HM_OK && is_on) {
        uint64_t id = 0;
        l.answer.is_done = false;
        code = hm->is_dispatching ? hm_wait(hm, &l.answer.is_done)
                                  : list_begin(hm, prefix, l.next, &start, &id);
        code = answer_wait(hm, code, id, &l.answer);
        is_on = l.next[0] != '\0' && !l.is_enough;
    }
    return code;
}
