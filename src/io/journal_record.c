/* SPDX-License-Identifier: MPL-2.0 */
/* Records of the store's journal: see journal_record.h. */
#include "io/journal_record.h"

#include "io/store.h"

#include <sodium.h>
#include <string.h>

/* magic 8, id 16, number 8, size 8 (with this head, without padding), check 16 */
#define AT_ID 8
#define AT_NUMBER 24
#define AT_SIZE 32
#define AT_CHECK 40
#define MAGIC_BYTES 8

/* table 1, kind 1, key's size 2, value's size 4, key, value */
#define ENTRY_HEAD_BYTES 8
#define KIND_PUT 0
#define KIND_REMOVE 1

static const uint8_t record_magic[MAGIC_BYTES] = {'h', 'm', 'r', 'e', 'c', 'r', 'd', 1};
static const uint8_t file_magic[MAGIC_BYTES] = {'h', 'm', 'j', 'r', 'n', 'l', 'f', 1};

static uint8_t *put_number(uint8_t *to, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t) (value >> (8 * (bytes - 1 - i)));
    }
    return to + bytes;
}

static uint64_t take_number(const uint8_t *from, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = (value << 8) | from[i];
    }
    return value;
}

/* Over all before the check, and the content. */
static void check_of(const uint8_t *head, struct span content, uint8_t ret[JOURNAL_CHECK_BYTES])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, JOURNAL_CHECK_BYTES);
    crypto_generichash_update(&state, head, AT_CHECK);
    if (content.size > 0) {
        crypto_generichash_update(&state, content.data, content.size);
    }
    crypto_generichash_final(&state, ret, JOURNAL_CHECK_BYTES);
}

/* ---- making ---------------------------------------------------------------------------------- */

size_t journal_entry_bytes(const struct store_entry *e)
{
    return ENTRY_HEAD_BYTES + e->key.size + (e->value.data != NULL ? e->value.size : 0);
}

size_t journal_record_bytes(size_t content_bytes)
{
    size_t bytes = JOURNAL_HEAD_BYTES + content_bytes + JOURNAL_BLOCK_BYTES - 1;
    return bytes - bytes % JOURNAL_BLOCK_BYTES;
}

uint8_t *journal_put_entry(uint8_t *to, const struct store_entry *e)
{
    size_t value_size = e->value.data != NULL ? e->value.size : 0;
    *to++ = (uint8_t) e->table;
    *to++ = e->value.data != NULL ? KIND_PUT : KIND_REMOVE;
    to = put_number(to, e->key.size, 2);
    to = put_number(to, value_size, 4);
    memcpy(to, e->key.data, e->key.size);
    to += e->key.size;
    if (value_size > 0) {
        memcpy(to, e->value.data, value_size);
    }
    return to + value_size;
}

static void put_head(uint8_t *to, const uint8_t magic[MAGIC_BYTES],
                     const uint8_t id[JOURNAL_ID_BYTES], uint64_t number, size_t content_bytes)
{
    memcpy(to, magic, MAGIC_BYTES);
    memcpy(to + AT_ID, id, JOURNAL_ID_BYTES);
    put_number(to + AT_NUMBER, number, 8);
    put_number(to + AT_SIZE, JOURNAL_HEAD_BYTES + content_bytes, 8);
    check_of(to, span_of(to + JOURNAL_HEAD_BYTES, content_bytes), to + AT_CHECK);
}

void journal_seal(uint8_t *record, const uint8_t id[JOURNAL_ID_BYTES], uint64_t number,
                  size_t content_bytes)
{
    size_t used = JOURNAL_HEAD_BYTES + content_bytes;
    put_head(record, record_magic, id, number, content_bytes);
    memset(record + used, 0, journal_record_bytes(content_bytes) - used);
}

void journal_file_head(uint8_t block[JOURNAL_BLOCK_BYTES], const uint8_t id[JOURNAL_ID_BYTES],
                       unsigned number)
{
    memset(block, 0, JOURNAL_BLOCK_BYTES);
    put_head(block, file_magic, id, number, 0);
}

/* ---- finding --------------------------------------------------------------------------------- */

static bool is_sound(struct span at, const uint8_t magic[MAGIC_BYTES],
                     const uint8_t id[JOURNAL_ID_BYTES], struct journal_record *ret)
{
    uint8_t check[JOURNAL_CHECK_BYTES];
    if (at.size < JOURNAL_HEAD_BYTES || memcmp(at.data, magic, MAGIC_BYTES) != 0 ||
        memcmp(at.data + AT_ID, id, JOURNAL_ID_BYTES) != 0) {
        return false;
    }
    uint64_t size = take_number(at.data + AT_SIZE, 8);
    if (size < JOURNAL_HEAD_BYTES || size > at.size) {
        return false;
    }
    ret->number = take_number(at.data + AT_NUMBER, 8);
    ret->content = span_of(at.data + JOURNAL_HEAD_BYTES, (size_t) size - JOURNAL_HEAD_BYTES);
    ret->bytes = journal_record_bytes(ret->content.size);
    check_of(at.data, ret->content, check);
    return memcmp(check, at.data + AT_CHECK, sizeof check) == 0;
}

bool journal_file_head_is_sound(struct span file, const uint8_t id[JOURNAL_ID_BYTES],
                                unsigned number)
{
    struct journal_record head;
    return is_sound(file, file_magic, id, &head) && head.number == number && head.content.size == 0;
}

bool journal_next_record(struct span file, const uint8_t id[JOURNAL_ID_BYTES], size_t *at,
                         struct journal_record *ret)
{
    for (; *at < file.size; *at += JOURNAL_BLOCK_BYTES) {
        if (is_sound(span_of(file.data + *at, file.size - *at), record_magic, id, ret)) {
            *at += ret->bytes;
            return true;
        }
    }
    return false;
}

bool journal_next_entry(struct span *content, struct store_entry *ret)
{
    const uint8_t *from = content->data;
    if (content->size < ENTRY_HEAD_BYTES) {
        return false;
    }
    enum store_table table = (enum store_table) from[0];
    size_t key_size = (size_t) take_number(from + 2, 2);
    size_t value_size = (size_t) take_number(from + 4, 4);
    size_t left = content->size - ENTRY_HEAD_BYTES;
    if (store_table_name(table) == NULL || from[1] > KIND_REMOVE || key_size == 0 ||
        key_size > STORE_KEY_BYTES_MAX || key_size > left || value_size > left - key_size ||
        (from[1] == KIND_REMOVE && value_size > 0)) {
        return false;
    }
    const uint8_t *key = from + ENTRY_HEAD_BYTES;
    ret->table = table;
    ret->key = span_of(key, key_size);
    ret->value = from[1] == KIND_PUT ? span_of(key + key_size, value_size) : span_of(NULL, 0);
    size_t taken = ENTRY_HEAD_BYTES + key_size + value_size;
    *content = span_of(from + taken, content->size - taken);
    return true;
}
