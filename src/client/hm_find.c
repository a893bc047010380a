/* SPDX-License-Identifier: MPL-2.0 */
/* Finding services: services.list, page by page. The texts of one service lie in a room as an entry's do. */
#define _GNU_SOURCE
#include "client/hm_priv.h"
#include "wire/mpack.h"

#include <stdlib.h>
#include <string.h>

struct finding {
    struct answer answer;
    hm_found_fn *each;
    void *ctx;
    bool is_enough;
    char next[PAGE_NEXT_BYTES];
    struct buf text;
    struct hm_bytes *tags;
    struct hm_pair *meta;
    struct hm_service service;
};

/* The room has place for it: a text's head in MessagePack is at least a byte. */
static const char *keep(struct finding *f, struct mp_reader *r)
{
    struct span s = mp_try_nil(r) ? span_of("", 0) : mp_read_str(r, SIZE_MAX);
    if (mp_failed(r)) {
        return "";
    }
    uint8_t *to = buf_extend(&f->text, s.size + 1);
    HM_ASSERT(to != NULL);
    if (s.size > 0) {
        memcpy(to, s.data, s.size);
    }
    to[s.size] = '\0';
    return (const char *) to;
}

static int keep_tags(struct finding *f, struct mp_reader *r)
{
    size_t count = mp_read_array(r);
    struct hm_bytes *tags = realloc(f->tags, (count + 1) * sizeof *tags);
    if (tags == NULL) {
        return HM_ENOMEM;
    }
    f->tags = tags;
    for (size_t i = 0; i < count; i++) {
        const char *tag = keep(f, r);
        tags[i] = (struct hm_bytes){.data = tag, .size = strlen(tag)};
    }
    f->service.tags = tags;
    f->service.tag_count = count;
    return HM_OK;
}

static int keep_meta(struct finding *f, struct mp_reader *r)
{
    size_t count = mp_read_map(r);
    struct hm_pair *meta = realloc(f->meta, (count + 1) * sizeof *meta);
    if (meta == NULL) {
        return HM_ENOMEM;
    }
    f->meta = meta;
    for (size_t i = 0; i < count; i++) {
        meta[i].key = keep(f, r);
        meta[i].value = keep(f, r);
    }
    f->service.meta = meta;
    f->service.meta_count = count;
    return HM_OK;
}

static enum hm_health health_of(const char *name)
{
    return strcmp(name, "passing") == 0   ? HM_PASSING
           : strcmp(name, "warning") == 0 ? HM_WARNING
                                          : HM_CRITICAL;
}

static int read_field(struct finding *f, struct span name, struct mp_reader *r)
{
    struct hm_service *s = &f->service;
    const struct {
        const char *name;
        const char **to;
    } texts[] = {{"id", &s->id},           {"name", &s->name}, {"version", &s->version},
                 {"address", &s->address}, {"node", &s->node}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (name.size == strlen(texts[i].name) &&
            memcmp(name.data, texts[i].name, name.size) == 0) {
            *texts[i].to = keep(f, r);
            return HM_OK;
        }
    }
    if (name.size == 4 && memcmp(name.data, "port", 4) == 0) {
        s->port = (unsigned) mp_read_uint(r, 65535);
    } else if (name.size == 6 && memcmp(name.data, "health", 6) == 0) {
        s->health = health_of(keep(f, r));
    } else if (name.size == 4 && memcmp(name.data, "tags", 4) == 0) {
        return keep_tags(f, r);
    } else if (name.size == 4 && memcmp(name.data, "meta", 4) == 0) {
        return keep_meta(f, r);
    } else {
        mp_skip(r);
    }
    return HM_OK;
}

static int read_service(struct finding *f, struct span item)
{
    struct mp_reader r;
    int code = HM_OK;
    buf_clear(&f->text);
    if (buf_extend(&f->text, item.size + 1) == NULL) {
        return HM_ENOMEM;
    }
    buf_clear(&f->text);
    f->service = (struct hm_service){
        .id = "", .name = "", .version = "", .address = "", .node = "", .health = HM_PASSING};
    mp_open(&r, item);
    if (mp_peek(&r) != MP_MAP) {
        return HM_EMALFORMED;
    }
    size_t count = mp_read_map(&r);
    for (size_t i = 0; i < count && code == HM_OK && !mp_failed(&r); i++) {
        struct span name = mp_read_str(&r, SIZE_MAX);
        code = mp_failed(&r) ? HM_EMALFORMED : read_field(f, name, &r);
    }
    return code == HM_OK && mp_failed(&r) ? HM_EMALFORMED : code;
}

static void take_page(hm_t *hm, const struct call *call, int code, const char *why,
                      struct span value)
{
    struct finding *f = call->ctx;
    struct page page = {.count = 0};
    code = code == HM_OK ? page_read(value, "services", &page) : code;
    for (size_t i = 0; i < page.count && code == HM_OK && !f->is_enough; i++) {
        code = read_service(f, mp_read_raw(&page.items));
        f->is_enough = code == HM_OK && !f->each(f->ctx, &f->service);
    }
    memcpy(f->next, page.next, sizeof f->next);
    answer_take(&f->answer, hm, code, why);
}

static const char *health_name(enum hm_health health)
{
    return health == HM_PASSING    ? "passing"
           : health == HM_WARNING  ? "warning"
           : health == HM_CRITICAL ? "critical"
                                   : NULL;
}

static void write_args(struct buf *b, const struct hm_filter *filter, const char *after)
{
    const struct hm_pair texts[] = {{"name", filter->name},
                                    {"version", filter->version},
                                    {"node", filter->node},
                                    {"near", filter->near},
                                    {"health", health_name(filter->health)},
                                    {"after", after[0] != '\0' ? after : NULL}};
    size_t count = filter->tag != NULL;
    buf_clear(b);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        count += texts[i].value != NULL;
    }
    mp_map(b, count);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].value != NULL) {
            mp_str(b, texts[i].key);
            mp_str(b, texts[i].value);
        }
    }
    if (filter->tag != NULL) {
        mp_str(b, "tag");
        mp_array(b, 1);
        mp_str(b, filter->tag);
    }
}

int hm_find(hm_t *hm, const struct hm_filter *filter, unsigned timeout_ms, hm_found_fn *each,
            void *ctx)
{
    static const struct hm_filter all;
    struct finding f = {.each = each, .ctx = ctx};
    int code = HM_OK;
    bool is_on = true;
    buf_init(&f.text, SIZE_MAX);
    while (code == HM_OK && is_on) {
        uint64_t id = 0;
        struct call_start start = {.op = "services.list",
                                   .timeout_ms = timeout_ms,
                                   .done = take_page,
                                   .ctx = &f};
        f.answer.is_done = false;
        if (hm->is_dispatching) {
            code = hm_wait(hm, &f.answer.is_done);
            break;
        }
        write_args(&hm->args, filter != NULL ? filter : &all, f.next);
        start.args = buf_span(&hm->args);
        code = buf_failed(&hm->args) ? hm_fail(hm, HM_ENOMEM, "") : call_begin(hm, &start, &id);
        code = answer_wait(hm, code, id, &f.answer);
        is_on = f.next[0] != '\0' && !f.is_enough;
    }
    buf_fini(&f.text);
    free(f.tags);
    free(f.meta);
    return code;
}
