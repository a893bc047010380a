/* SPDX-License-Identifier: MPL-2.0 */
/* Entries of the registry: see entry_msg.h. */
#include "wire/entry_msg.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "wire/mpack.h"

#include <string.h>

#define ENTRY_FIELDS 2
#define BODY_FIELDS 11
#define CONTEXT_FIELDS 4

static void write_dot(struct buf *b, const struct dot *dot)
{
    mp_id(b, &dot->origin.node);
    mp_uint(b, dot->origin.boots);
    mp_uint(b, dot->origin.random);
    mp_uint(b, dot->seq);
}

static void read_dot(struct mp_reader *r, struct dot *dot)
{
    mp_read_id(r, &dot->origin.node);
    dot->origin.boots = mp_read_uint(r, UINT64_MAX);
    dot->origin.random = mp_read_uint(r, UINT64_MAX);
    dot->seq = mp_read_uint(r, ENTRY_SEQ_MAX);
    if (dot->seq == 0) {
        r->failed = true;
    }
}

void entry_body_write(struct buf *b, const struct entry *e)
{
    mp_array(b, BODY_FIELDS);
    mp_bin(b, e->key.data, e->key.size);
    mp_uint(b, e->type);
    write_dot(b, &e->dot);
    mp_uint(b, e->lamport);
    mp_bool(b, e->is_deleted);
    mp_uint(b, e->wall_ms);
    mp_array(b, e->context_count);
    buf_append(b, e->context.data, e->context.size);
    if (e->is_deleted || e->value.size == 0) {
        mp_nil(b);
    } else {
        buf_append(b, e->value.data, e->value.size);
    }
}

void entry_write(struct buf *b, struct span body, struct span signature)
{
    mp_array(b, ENTRY_FIELDS);
    mp_bin(b, body.data, body.size);
    if (signature.data == NULL) {
        mp_nil(b);
    } else {
        mp_bin(b, signature.data, signature.size);
    }
}

void context_write(struct buf *b, const struct dot *dot)
{
    mp_array(b, CONTEXT_FIELDS);
    write_dot(b, dot);
}

static void read_context_dot(struct mp_reader *r, struct dot *dot)
{
    size_t count = mp_read_array(r);
    if (count < CONTEXT_FIELDS) {
        r->failed = true;
        return;
    }
    read_dot(r, dot);
    mp_skip_many(r, count - CONTEXT_FIELDS);
}

bool context_next(struct span *rest, struct dot *ret_dot)
{
    struct mp_reader r;
    struct dot dot;
    mp_open(&r, *rest);
    if (mp_at_end(&r)) {
        return false;
    }
    read_context_dot(&r, &dot);
    if (mp_failed(&r)) {
        return false;
    }
    *rest = span_of(r.at, (size_t) (r.end - r.at));
    *ret_dot = dot;
    return true;
}

/* An entry whose context covered its own dot would supersede itself, and vanish. */
static void read_context(struct mp_reader *r, struct entry *e)
{
    struct dot before, dot;
    memset(&before, 0, sizeof before);
    e->context_count = mp_read_array(r);
    if (e->context_count > HM_CONTEXT_MAX) {
        r->failed = true;
    }
    const uint8_t *start = r->at;
    for (size_t i = 0; i < e->context_count && !mp_failed(r); i++) {
        read_context_dot(r, &dot);
        bool covers_itself = origin_eq(&dot.origin, &e->dot.origin) && dot.seq >= e->dot.seq;
        bool rises = i == 0 || origin_cmp(&before.origin, &dot.origin) < 0;
        r->failed = r->failed || covers_itself || !rises;
        before = dot;
    }
    e->context = mp_failed(r) ? span_of(NULL, 0) : span_of(start, (size_t) (r->at - start));
}

int value_check(struct span value)
{
    struct mp_reader r;
    if (value.size > ENTRY_VALUE_BYTES_MAX) {
        return HM_EFULL;
    }
    mp_open(&r, value);
    mp_read_nested(&r, HM_VALUE_DEPTH_MAX);
    return !mp_failed(&r) && mp_at_end(&r) ? HM_OK : HM_EINVAL;
}

static void read_value(struct mp_reader *r, struct entry *e)
{
    if (e->is_deleted) {
        mp_read_nil(r);
        return;
    }
    e->value = mp_read_nested(r, HM_VALUE_DEPTH_MAX);
    if (e->value.size > ENTRY_VALUE_BYTES_MAX) {
        r->failed = true;
    }
}

static int read_body(struct entry *e)
{
    struct mp_reader r;
    mp_open(&r, e->body);
    size_t count = mp_read_array(&r);
    if (count < BODY_FIELDS) {
        return HM_EMALFORMED;
    }
    e->key = mp_read_bin(&r, HM_KEY_BYTES_MAX);
    e->type = (uint8_t) mp_read_uint(&r, UINT8_MAX);
    read_dot(&r, &e->dot);
    e->lamport = mp_read_uint(&r, UINT64_MAX);
    e->is_deleted = mp_read_bool(&r);
    e->wall_ms = mp_read_uint(&r, UINT64_MAX);
    read_context(&r, e);
    read_value(&r, e);
    mp_skip_many(&r, count - BODY_FIELDS);
    bool is_whole = !mp_failed(&r) && mp_at_end(&r) && e->type != 0;
    return is_whole && key_check(e->key) == HM_OK ? HM_OK : HM_EMALFORMED;
}

static bool is_later_format(struct span bytes)
{
    struct mp_reader r;
    mp_open(&r, bytes);
    return mp_read_array(&r) > 0 && mp_read_uint(&r, UINT64_MAX) > ENTRY_FORMAT && !mp_failed(&r);
}

int entry_read(struct span bytes, struct entry *ret_entry)
{
    struct mp_reader r;
    struct entry e;
    memset(&e, 0, sizeof e);
    e.bytes = bytes;
    if (bytes.size > HM_ENTRY_BYTES_MAX) {
        return HM_EMALFORMED;
    }
    if (is_later_format(bytes)) {
        return HM_EVERSION;
    }
    mp_open(&r, bytes);
    size_t count = mp_read_array(&r);
    if (count < ENTRY_FIELDS) {
        return HM_EMALFORMED;
    }
    e.body = mp_read_bin(&r, HM_ENTRY_BYTES_MAX);
    if (!mp_try_nil(&r)) {
        e.signature = mp_read_bin(&r, ENTRY_SIGNATURE_BYTES);
        if (e.signature.size != ENTRY_SIGNATURE_BYTES) {
            return HM_EMALFORMED;
        }
    }
    mp_skip_many(&r, count - ENTRY_FIELDS);
    if (mp_failed(&r) || !mp_at_end(&r) || read_body(&e) != HM_OK) {
        return HM_EMALFORMED;
    }
    *ret_entry = e;
    return HM_OK;
}

bool entry_supersedes(const struct entry *e, const struct dot *dot)
{
    struct span rest = e->context;
    struct dot seen;
    while (context_next(&rest, &seen)) {
        int order = origin_cmp(&seen.origin, &dot->origin);
        if (order >= 0) {
            return order == 0 && seen.seq >= dot->seq;
        }
    }
    return false;
}

int key_check(struct span key)
{
    if (key.size == 0 || key.size > HM_KEY_BYTES_MAX) {
        return HM_EINVAL;
    }
    const uint8_t *below = memchr(key.data, ENTRY_BELOW, key.size);
    size_t size = below == NULL ? key.size : (size_t) (below - key.data);
    if (size == 0 || !text_is_clean_utf8(key.data, size)) {
        return HM_EINVAL;
    }
    bool is_clean = below == NULL || text_is_clean_utf8(below + 1, key.size - size - 1);
    return is_clean ? HM_OK : HM_EINVAL;
}

static int hex_value(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The id at the start of text. Capitals would give one node two keys for one thing. */
static bool read_id(const uint8_t *text, size_t size, struct node_id *ret_id)
{
    if (size < 2 * NODE_ID_BYTES) {
        return false;
    }
    for (size_t i = 0; i < NODE_ID_BYTES; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret_id->b[i] = (uint8_t) (high * 16 + low);
    }
    return true;
}

/* The same where a slash follows. */
static bool read_owner(const uint8_t *text, size_t size, struct node_id *ret_owner)
{
    return size > 2 * NODE_ID_BYTES && text[2 * NODE_ID_BYTES] == '/' &&
           read_id(text, size, ret_owner);
}

bool key_removed(struct span key, struct node_id *ret_node)
{
    static const char prefix[] = "removed/";
    struct node_id id;
    size_t size = sizeof prefix - 1;
    if (key.size < size || memcmp(key.data, prefix, size) != 0) {
        return false;
    }
    if (key.size != size + 2 * NODE_ID_BYTES || !read_id(key.data + size, key.size - size, &id)) {
        memset(&id, 0, sizeof id);
    }
    *ret_node = id;
    return true;
}

bool key_owner(struct span key, struct node_id *ret_owner)
{
    static const char *const owned[] = {"node/", "svc/", "sub/"};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        size_t size = strlen(owned[i]);
        if (key.size >= size && memcmp(key.data, owned[i], size) == 0) {
            struct node_id id;
            bool is_named = read_owner(key.data + size, key.size - size, &id);
            if (!is_named) {
                memset(&id, 0, sizeof id);
            }
            *ret_owner = id;
            return true;
        }
    }
    return false;
}
