/* SPDX-License-Identifier: MPL-2.0 */
/* Signed records: see record_msg.h. */
#include "wire/record_msg.h"

#include "base/err.h"
#include "base/text.h"
#include "wire/mpack.h"

#include <string.h>

enum record_kind { KIND_NODE = 1, KIND_LABELS = 2 };

#define NODE_FIELDS 12      /* every record has these */
#define NODE_LIFE_FIELDS 2  /* later ones have these, too */
#define LABELS_FIELDS 5

int record_split(struct span bytes, struct span *ret_signed, const uint8_t **ret_signature)
{
    if (bytes.data == NULL || bytes.size <= RECORD_SIGNATURE_BYTES) {
        return HM_EMALFORMED;
    }
    size_t size = bytes.size - RECORD_SIGNATURE_BYTES;
    *ret_signed = span_of(bytes.data, size);
    *ret_signature = bytes.data + size;
    return HM_OK;
}

static void write_addrs(struct buf *b, const struct node_record *record)
{
    mp_array(b, record->addr_count);
    for (size_t i = 0; i < record->addr_count; i++) {
        mp_bin(b, record->addrs[i].ip, record->addrs[i].family == 4 ? 4 : 16);
    }
}

void node_record_write(struct buf *b, const struct node_record *record)
{
    mp_array(b, NODE_FIELDS + NODE_LIFE_FIELDS);
    mp_uint(b, KIND_NODE);
    mp_bin(b, record->key, RECORD_KEY_BYTES);
    mp_uint(b, record->mesh_tag);
    mp_uint(b, (uint64_t) record->state);
    mp_uint(b, record->incarnation);
    mp_str(b, record->name);
    write_addrs(b, record);
    mp_uint(b, record->port);
    mp_uint(b, record->link_port);
    mp_uint(b, record->version_min);
    mp_uint(b, record->version_max);
    mp_uint(b, record->labels_hash);
    mp_uint(b, record->boot_epoch);
    mp_uint(b, record->life);
}

static void read_key(struct mp_reader *r, uint8_t key[RECORD_KEY_BYTES])
{
    struct span s = mp_read_bin(r, RECORD_KEY_BYTES);
    if (s.size != RECORD_KEY_BYTES) {
        r->failed = true;
        return;
    }
    memcpy(key, s.data, RECORD_KEY_BYTES);
}

static void read_addrs(struct mp_reader *r, struct node_record *record)
{
    size_t count = mp_read_array(r);
    if (count > HM_RECORD_ADDRS_MAX) {
        r->failed = true;
        return;
    }
    for (size_t i = 0; i < count && !mp_failed(r); i++) {
        struct span ip = mp_read_bin(r, 16);
        if (ip.size != 4 && ip.size != 16) {
            r->failed = true;
            return;
        }
        record->addrs[i].family = ip.size == 4 ? 4 : 6;
        memcpy(record->addrs[i].ip, ip.data, ip.size);
    }
    record->addr_count = count;
}

/* Opens the signed array and takes its kind; returns how many fields follow. */
static size_t open_record(struct mp_reader *r, struct span bytes, enum record_kind kind,
                          size_t fields)
{
    struct span body = span_of(NULL, 0);
    const uint8_t *signature;
    record_split(bytes, &body, &signature);
    mp_open(r, body);
    size_t count = mp_read_array(r);
    if (mp_read_uint(r, 255) != (uint64_t) kind || count < fields) {
        r->failed = true;
    }
    return count;
}

static int close_record(struct mp_reader *r, size_t count, size_t fields)
{
    if (!mp_failed(r)) {
        mp_skip_many(r, count - fields);
    }
    return !mp_failed(r) && mp_at_end(r) ? HM_OK : HM_EMALFORMED;
}

int node_record_read(struct span bytes, struct node_record *ret_record)
{
    struct mp_reader r;
    struct node_record rec;
    memset(&rec, 0, sizeof rec);
    if (bytes.size > HM_RECORD_BYTES_MAX) {
        return HM_EMALFORMED;
    }
    size_t count = open_record(&r, bytes, KIND_NODE, NODE_FIELDS);
    read_key(&r, rec.key);
    rec.mesh_tag = mp_read_uint(&r, UINT64_MAX);
    uint64_t state = mp_read_uint(&r, RECORD_LEFT);
    rec.incarnation = mp_read_uint(&r, UINT64_MAX - 1);
    mp_read_text(&r, rec.name, sizeof rec.name);
    read_addrs(&r, &rec);
    rec.port = (uint16_t) mp_read_uint(&r, UINT16_MAX);
    rec.link_port = (uint16_t) mp_read_uint(&r, UINT16_MAX);
    rec.version_min = (uint8_t) mp_read_uint(&r, UINT8_MAX);
    rec.version_max = (uint8_t) mp_read_uint(&r, UINT8_MAX);
    rec.labels_hash = mp_read_uint(&r, UINT64_MAX);
    size_t fields = NODE_FIELDS;
    if (count >= NODE_FIELDS + NODE_LIFE_FIELDS && mp_peek(&r) == MP_UINT) {
        rec.boot_epoch = mp_read_uint(&r, UINT64_MAX);
        rec.life = mp_read_uint(&r, UINT64_MAX);
        fields += NODE_LIFE_FIELDS;
    }
    if (close_record(&r, count, fields) != 0 || state < RECORD_ALIVE ||
        !text_is_dns_label(rec.name, strlen(rec.name))) {
        return HM_EMALFORMED;
    }
    rec.state = state == RECORD_LEFT ? RECORD_LEFT : RECORD_ALIVE;
    for (size_t i = 0; i < rec.addr_count; i++) {
        rec.addrs[i].port = rec.port;
    }
    *ret_record = rec;
    return HM_OK;
}

void labels_record_write(struct buf *b, const struct labels_record *record)
{
    mp_array(b, LABELS_FIELDS);
    mp_uint(b, KIND_LABELS);
    mp_bin(b, record->key, RECORD_KEY_BYTES);
    mp_uint(b, record->mesh_tag);
    mp_str(b, record->version);
    buf_append(b, record->labels.data, record->labels.size);
}

static bool labels_are_sound(struct span labels)
{
    struct mp_reader r;
    struct span last = span_of("", 0);
    mp_open(&r, labels);
    size_t count = mp_read_map(&r);
    if (count > HM_LABELS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct span key = mp_read_str(&r, HM_LABEL_KEY_BYTES_MAX);
        struct span value = mp_read_str(&r, HM_LABEL_VALUE_BYTES_MAX);
        if (mp_failed(&r) || key.size == 0 || span_cmp(last, key) >= 0 ||
            !text_is_clean_utf8(key.data, key.size) ||
            !text_is_clean_utf8(value.data, value.size)) {
            return false;
        }
        last = key;
    }
    return !mp_failed(&r) && mp_at_end(&r);
}

int labels_record_read(struct span bytes, struct labels_record *ret_record)
{
    struct mp_reader r;
    struct labels_record rec;
    memset(&rec, 0, sizeof rec);
    if (bytes.size > HM_LABELS_BYTES_MAX) {
        return HM_EMALFORMED;
    }
    size_t count = open_record(&r, bytes, KIND_LABELS, LABELS_FIELDS);
    read_key(&r, rec.key);
    rec.mesh_tag = mp_read_uint(&r, UINT64_MAX);
    mp_read_text(&r, rec.version, sizeof rec.version);
    rec.labels = mp_read_raw(&r);
    if (close_record(&r, count, LABELS_FIELDS) != 0 || !labels_are_sound(rec.labels) ||
        !text_is_clean_utf8((const uint8_t *) rec.version, strlen(rec.version))) {
        return HM_EMALFORMED;
    }
    *ret_record = rec;
    return HM_OK;
}
