/* SPDX-License-Identifier: MPL-2.0 */
/* Services as values of the registry: see svc_msg.h. */
#include "wire/svc_msg.h"

#include "base/err.h"
#include "base/node_id.h"
#include "base/text.h"
#include "wire/mpack.h"

#include <stdlib.h>
#include <string.h>

#define TTL_MS_MAX HM_SERVICE_TTL_MS_MAX

static const char *const healths[] = {"passing", "warning", "critical"};
static const char *const sources[] = {"command", "file", "program"};

/* ---- texts ----------------------------------------------------------------------------------- */

static bool is_graphic(struct span s, const char *also)
{
    for (size_t i = 0; i < s.size; i++) {
        uint8_t c = s.data[i];
        bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_word && (c == '\0' || strchr(also, c) == NULL)) {
            return false;
        }
    }
    return true;
}

static bool is_clean(struct span s, size_t min, size_t max)
{
    return s.size >= min && s.size <= max && (s.size == 0 || text_is_clean_utf8(s.data, s.size));
}

const char *svc_text_wrong(enum svc_text which, struct span s)
{
    switch (which) {
    case SVC_ID:
        return s.size >= 1 && s.size <= HM_SERVICE_ID_BYTES_MAX && is_graphic(s, "-_.:")
                   ? NULL
                   : "1 to 127 of a-z, A-Z, 0-9 and - _ . :";
    case SVC_NAME:
        return text_is_dns_label((const char *) s.data, s.size)
                   ? NULL
                   : "1 to 63 of a-z, 0-9 and -, with no - at either end";
    case SVC_VERSION:
        return is_clean(s, 0, HM_SERVICE_VERSION_BYTES_MAX)
                   ? NULL
                   : "at most 63 bytes of UTF-8 without control characters";
    case SVC_ADDRESS:
        return s.size <= HM_SERVICE_ADDRESS_BYTES_MAX && is_graphic(s, "-_.:%")
                   ? NULL
                   : "an IP address or a host name, without a port";
    case SVC_TAG:
        return is_clean(s, 1, HM_SERVICE_TAG_BYTES_MAX)
                   ? NULL
                   : "1 to 255 bytes of UTF-8 without control characters";
    case SVC_META_KEY:
        return s.size >= 1 && s.size <= HM_SERVICE_META_KEY_BYTES_MAX && is_graphic(s, "-_./:")
                   ? NULL
                   : "1 to 63 of a-z, A-Z, 0-9 and - _ . / :";
    case SVC_META_VALUE:
        return is_clean(s, 0, HM_SERVICE_META_VALUE_BYTES_MAX)
                   ? NULL
                   : "at most 511 bytes of UTF-8 without control characters";
    case SVC_CHECK_TEXT:
        return is_clean(s, 0, HM_SERVICE_TEXT_BYTES_MAX)
                   ? NULL
                   : "at most 255 bytes of UTF-8 without control characters";
    case SVC_FILE_NAME:
        return is_clean(s, 0, HM_SERVICE_FILE_BYTES_MAX)
                   ? NULL
                   : "at most 127 bytes of UTF-8 without control characters";
    }
    return NULL;
}

/* ---- names ----------------------------------------------------------------------------------- */

const char *svc_health_name(enum svc_health health)
{
    return healths[health];
}

const char *svc_source_name(enum svc_source source)
{
    return sources[source];
}

static bool span_is(struct span s, const char *text)
{
    return s.size == strlen(text) && (s.size == 0 || memcmp(s.data, text, s.size) == 0);
}

static int find_name(const char *const *names, size_t count, struct span name, unsigned *ret_idx)
{
    for (unsigned i = 0; i < count; i++) {
        if (span_is(name, names[i])) {
            *ret_idx = i;
            return HM_OK;
        }
    }
    return HM_ENOTFOUND;
}

int svc_health_of(struct span name, enum svc_health *ret_health)
{
    unsigned idx = 0;
    int rc = find_name(healths, 3, name, &idx);
    if (rc == HM_OK) {
        *ret_health = (enum svc_health) idx;
    }
    return rc;
}

size_t svc_key(const struct node_id *node, struct span id, uint8_t to[SVC_KEY_BYTES_MAX])
{
    char text[NODE_ID_TEXT_BYTES];
    HM_ASSERT(id.size <= HM_SERVICE_ID_BYTES_MAX);
    memcpy(to, SVC_PREFIX, 4);
    memcpy(to + 4, text_hex(node->b, NODE_ID_BYTES, text), 32);
    to[36] = '/';
    if (id.size > 0) {
        memcpy(to + 37, id.data, id.size);
    }
    return 37 + id.size;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static bool next_text(struct span *rest, struct span *ret_text)
{
    struct mp_reader r;
    mp_open(&r, *rest);
    if (rest->size == 0) {
        return false;
    }
    struct span text = mp_read_str(&r, HM_SERVICE_BYTES_MAX);
    if (mp_failed(&r)) {
        return false;
    }
    *rest = span_of(r.at, (size_t) (r.end - r.at));
    *ret_text = text;
    return true;
}

bool svc_tag_next(struct span *rest, struct span *ret_tag)
{
    return next_text(rest, ret_tag);
}

bool svc_meta_next(struct span *rest, struct span *ret_key, struct span *ret_value)
{
    return next_text(rest, ret_key) && next_text(rest, ret_value);
}

bool svc_has_tag(const struct svc *s, struct span tag)
{
    struct span rest = s->tags, have;
    while (svc_tag_next(&rest, &have)) {
        if (span_cmp(have, tag) == 0) {
            return true;
        }
    }
    return false;
}

bool svc_has_meta(const struct svc *s, struct span key, struct span value)
{
    struct span rest = s->meta, have_key, have;
    while (svc_meta_next(&rest, &have_key, &have)) {
        if (span_cmp(have_key, key) == 0) {
            return span_cmp(have, value) == 0;
        }
    }
    return false;
}

static int text_cmp(const void *a, const void *b)
{
    return span_cmp(*(const struct span *) a, *(const struct span *) b);
}

static int pair_cmp(const void *a, const void *b)
{
    return span_cmp(((const struct svc_pair *) a)->key, ((const struct svc_pair *) b)->key);
}

size_t svc_tags_write(struct buf *b, struct span *tags, size_t count)
{
    size_t written = 0;
    if (count > 0) {
        qsort(tags, count, sizeof *tags, text_cmp);
    }
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || span_cmp(tags[i - 1], tags[i]) != 0) {
            mp_strn(b, tags[i].data, tags[i].size);
            written++;
        }
    }
    return written;
}

int svc_meta_write(struct buf *b, struct svc_pair *pairs, size_t count)
{
    if (count > 0) {
        qsort(pairs, count, sizeof *pairs, pair_cmp);
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && span_cmp(pairs[i - 1].key, pairs[i].key) == 0) {
            return HM_EEXIST;
        }
        mp_strn(b, pairs[i].key.data, pairs[i].key.size);
        mp_strn(b, pairs[i].value.data, pairs[i].value.size);
    }
    return HM_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct span read_text(struct mp_reader *r, enum svc_text which)
{
    struct span s = mp_read_str(r, HM_SERVICE_BYTES_MAX);
    r->failed = r->failed || svc_text_wrong(which, s) != NULL;
    return s;
}

static unsigned read_name(struct mp_reader *r, const char *const *names, size_t count)
{
    unsigned idx = 0;
    struct span s = mp_read_str(r, HM_SERVICE_BYTES_MAX);
    r->failed = r->failed || find_name(names, count, s, &idx) != HM_OK;
    return idx;
}

static void read_tags(struct mp_reader *r, struct svc *s)
{
    struct span before = {NULL, 0};
    s->tag_count = mp_read_array(r);
    r->failed = r->failed || s->tag_count > HM_SERVICE_TAGS_MAX;
    const uint8_t *start = r->at;
    for (size_t i = 0; i < s->tag_count && !r->failed; i++) {
        struct span tag = read_text(r, SVC_TAG);
        r->failed = r->failed || (i > 0 && span_cmp(before, tag) >= 0);
        before = tag;
    }
    s->tags = r->failed ? span_of(NULL, 0) : span_of(start, (size_t) (r->at - start));
}

static void read_meta(struct mp_reader *r, struct svc *s)
{
    struct span before = {NULL, 0};
    s->meta_count = mp_read_map(r);
    r->failed = r->failed || s->meta_count > HM_SERVICE_META_MAX;
    const uint8_t *start = r->at;
    for (size_t i = 0; i < s->meta_count && !r->failed; i++) {
        struct span key = read_text(r, SVC_META_KEY);
        read_text(r, SVC_META_VALUE);
        r->failed = r->failed || (i > 0 && span_cmp(before, key) >= 0);
        before = key;
    }
    s->meta = r->failed ? span_of(NULL, 0) : span_of(start, (size_t) (r->at - start));
}

enum field {
    F_ID, F_NAME, F_VERSION, F_ADDRESS, F_PORT, F_TAGS, F_META, F_HEALTH, F_TEXT, F_TTL, F_AFTER,
    F_EXPIRED, F_SOURCE, F_FILE, F_COUNT
};

static const char *const fields[F_COUNT] = {
    [F_ID] = "id",         [F_NAME] = "name",         [F_VERSION] = "version",
    [F_ADDRESS] = "address", [F_PORT] = "port",       [F_TAGS] = "tags",
    [F_META] = "meta",     [F_HEALTH] = "health",     [F_TEXT] = "text",
    [F_TTL] = "ttl_ms",    [F_AFTER] = "after_ms",    [F_EXPIRED] = "expired",
    [F_SOURCE] = "source", [F_FILE] = "file",
};

static void read_field(struct mp_reader *r, struct svc *s, enum field field)
{
    switch (field) {
    case F_ID: s->id = read_text(r, SVC_ID); break;
    case F_NAME: s->name = read_text(r, SVC_NAME); break;
    case F_VERSION: s->version = read_text(r, SVC_VERSION); break;
    case F_ADDRESS: s->address = read_text(r, SVC_ADDRESS); break;
    case F_PORT: s->port = (uint16_t) mp_read_uint(r, UINT16_MAX); break;
    case F_TAGS: read_tags(r, s); break;
    case F_META: read_meta(r, s); break;
    case F_HEALTH: s->health = (enum svc_health) read_name(r, healths, 3); break;
    case F_TEXT: s->text = read_text(r, SVC_CHECK_TEXT); break;
    case F_TTL: s->ttl_ms = mp_read_uint(r, TTL_MS_MAX); break;
    case F_AFTER: s->after_ms = mp_read_uint(r, TTL_MS_MAX); break;
    case F_EXPIRED: s->is_expired = mp_read_bool(r); break;
    case F_SOURCE: s->source = (enum svc_source) read_name(r, sources, 3); break;
    case F_FILE: s->file = read_text(r, SVC_FILE_NAME); break;
    case F_COUNT: break;
    }
}

int svc_read(struct span bytes, struct svc *ret_svc)
{
    struct svc s = {.port = 0};
    struct mp_reader r;
    unsigned seen = 0;
    if (bytes.size > HM_SERVICE_BYTES_MAX) {
        return HM_EMALFORMED;
    }
    mp_open(&r, bytes);
    size_t count = mp_read_map(&r);
    for (size_t i = 0; i < count && !mp_failed(&r); i++) {
        unsigned field = F_COUNT;
        if (find_name(fields, F_COUNT, mp_read_str(&r, HM_SERVICE_BYTES_MAX), &field) != HM_OK) {
            mp_skip(&r); /* of a newer version */
            continue;
        }
        r.failed = r.failed || (seen & 1U << field) != 0;
        seen |= 1U << field;
        read_field(&r, &s, (enum field) field);
    }
    if (mp_failed(&r) || !mp_at_end(&r) || s.id.size == 0 || s.name.size == 0 || s.port == 0) {
        return HM_EMALFORMED;
    }
    *ret_svc = s;
    return HM_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_text(struct buf *b, enum field field, struct span text)
{
    if (text.size > 0) {
        mp_str(b, fields[field]);
        mp_strn(b, text.data, text.size);
    }
}

static void put_number(struct buf *b, enum field field, uint64_t value)
{
    if (value > 0) {
        mp_str(b, fields[field]);
        mp_uint(b, value);
    }
}

void svc_write(struct buf *b, const struct svc *s)
{
    const bool extra[] = {s->version.size > 0, s->address.size > 0, s->tag_count > 0,
                          s->meta_count > 0,   s->text.size > 0,    s->ttl_ms > 0,
                          s->after_ms > 0,     s->is_expired,       s->file.size > 0};
    size_t count = 5; /* id, name, port, health, source */
    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++) {
        count += extra[i] ? 1 : 0;
    }
    mp_map(b, count);
    put_text(b, F_ID, s->id);
    put_text(b, F_NAME, s->name);
    put_text(b, F_VERSION, s->version);
    put_text(b, F_ADDRESS, s->address);
    put_number(b, F_PORT, s->port);
    if (s->tag_count > 0) {
        mp_str(b, fields[F_TAGS]);
        mp_array(b, s->tag_count);
        buf_append(b, s->tags.data, s->tags.size);
    }
    if (s->meta_count > 0) {
        mp_str(b, fields[F_META]);
        mp_map(b, s->meta_count);
        buf_append(b, s->meta.data, s->meta.size);
    }
    mp_str(b, fields[F_HEALTH]);
    mp_str(b, svc_health_name(s->health));
    put_text(b, F_TEXT, s->text);
    put_number(b, F_TTL, s->ttl_ms);
    put_number(b, F_AFTER, s->after_ms);
    if (s->is_expired) {
        mp_str(b, fields[F_EXPIRED]);
        mp_bool(b, true);
    }
    mp_str(b, fields[F_SOURCE]);
    mp_str(b, svc_source_name(s->source));
    put_text(b, F_FILE, s->file);
}

bool svc_same(const struct svc *a, const struct svc *b)
{
    return span_cmp(a->id, b->id) == 0 && span_cmp(a->name, b->name) == 0 &&
           span_cmp(a->version, b->version) == 0 && span_cmp(a->address, b->address) == 0 &&
           a->port == b->port && span_cmp(a->tags, b->tags) == 0 &&
           span_cmp(a->meta, b->meta) == 0 && a->ttl_ms == b->ttl_ms &&
           a->after_ms == b->after_ms && a->source == b->source && span_cmp(a->file, b->file) == 0;
}
