/* SPDX-License-Identifier: MPL-2.0 */
/* ZRE beacons and mailbox messages: see zre_msg.h. A reader is a cursor whose first error sticks,
 * as in wire/mpack. Bytes beyond the last known field are ignored: Zyre reads so too. */
#include "wire/zre_msg.h"

#include "base/err.h"

#include <string.h>

struct cursor {
    const uint8_t *at;
    size_t left;
    bool failed;
};

static const uint8_t *take(struct cursor *c, size_t size)
{
    if (c->failed || size > c->left) {
        c->failed = true;
        c->left = 0;
        return NULL;
    }
    const uint8_t *at = c->at;
    c->at += size;
    c->left -= size;
    return at;
}

/* Big-endian number of 1 to 4 bytes; 0 when failed. */
static uint32_t take_number(struct cursor *c, size_t size)
{
    const uint8_t *at = take(c, size);
    uint32_t value = 0;
    for (size_t i = 0; at != NULL && i < size; i++) {
        value = (value << 8) | at[i];
    }
    return value;
}

static struct span take_text(struct cursor *c, size_t length_bytes)
{
    size_t size = take_number(c, length_bytes);
    const uint8_t *at = take(c, size);
    return at == NULL ? span_of(NULL, 0) : span_of(at, size);
}

static struct span take_string(struct cursor *c)
{
    return take_text(c, 1);
}

static struct span take_longstr(struct cursor *c)
{
    return take_text(c, 4);
}

/* Walks a list once, so that later walks cannot fail. Each item has at least 4 bytes of length, so
 * the loop is bounded by the message as well as by ZRE_LIST_MAX. */
static struct zre_list take_list(struct cursor *c, bool is_pairs)
{
    struct zre_list list = {{NULL, 0}, 0};
    uint32_t count = take_number(c, 4);
    if (count > ZRE_LIST_MAX) {
        c->failed = true;
    }
    const uint8_t *start = c->at;
    for (uint32_t i = 0; i < count && !c->failed; i++) {
        if (is_pairs) {
            take_string(c);
        }
        take_longstr(c);
    }
    if (!c->failed) {
        list.bytes = span_of(start, (size_t) (c->at - start));
        list.count = count;
    }
    return list;
}

void zre_beacon_write(const struct zre_beacon *beacon, uint8_t bytes[ZRE_BEACON_BYTES])
{
    static const uint8_t head[4] = {'Z', 'R', 'E', 1};
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + 4, beacon->uuid.b, NODE_ID_BYTES);
    bytes[20] = (uint8_t) (beacon->port >> 8);
    bytes[21] = (uint8_t) beacon->port;
}

int zre_beacon_read(struct span bytes, struct zre_beacon *ret_beacon)
{
    if (bytes.size < 4 || memcmp(bytes.data, "ZRE", 3) != 0) {
        return HM_EMALFORMED;
    }
    if (bytes.data[3] != 1) {
        return HM_EVERSION;
    }
    if (bytes.size != ZRE_BEACON_BYTES) {
        return HM_EMALFORMED;
    }
    memcpy(ret_beacon->uuid.b, bytes.data + 4, NODE_ID_BYTES);
    ret_beacon->port = (uint16_t) (bytes.data[20] << 8 | bytes.data[21]);
    return HM_OK;
}

static void read_body(struct cursor *c, struct zre_msg *m)
{
    switch (m->id) {
    case ZRE_HELLO:
        m->endpoint = take_string(c);
        m->groups = take_list(c, false);
        m->status = (uint8_t) take_number(c, 1);
        m->name = take_string(c);
        m->headers = take_list(c, true);
        break;
    case ZRE_SHOUT:
        m->group = take_string(c);
        break;
    case ZRE_JOIN:
    case ZRE_LEAVE:
        m->group = take_string(c);
        m->status = (uint8_t) take_number(c, 1);
        break;
    default: /* the others have no more than id and sequence, or are skipped */
        break;
    }
}

int zre_msg_read(struct span bytes, struct zre_msg *ret_msg)
{
    struct cursor c = {bytes.data, bytes.size, bytes.size > ZRE_MSG_BYTES_MAX};
    struct zre_msg m = {0};
    uint32_t signature = take_number(&c, 2);
    m.id = (uint8_t) take_number(&c, 1);
    uint32_t version = take_number(&c, 1);
    if (c.failed || signature != 0xaaa1 || m.id == 0) {
        return HM_EMALFORMED;
    }
    if (version != ZRE_VERSION) {
        return HM_EVERSION;
    }
    m.sequence = (uint16_t) take_number(&c, 2);
    read_body(&c, &m);
    if (c.failed) {
        return HM_EMALFORMED;
    }
    *ret_msg = m;
    return HM_OK;
}

static void put_number(struct buf *b, size_t bytes, size_t value)
{
    uint8_t out[4];
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (uint8_t) (value >> (8 * (bytes - 1 - i)));
    }
    buf_append(b, out, bytes);
}

static void put_string(struct buf *b, struct span text)
{
    if (text.size > ZRE_STRING_BYTES_MAX) {
        b->failed = true;
        return;
    }
    put_number(b, 1, text.size);
    buf_append(b, text.data, text.size);
}

static void put_longstr(struct buf *b, struct span text)
{
    if (text.size > ZRE_MSG_BYTES_MAX) {
        b->failed = true;
        return;
    }
    put_number(b, 4, text.size);
    buf_append(b, text.data, text.size);
}

static void put_list(struct buf *b, const struct zre_list *list)
{
    put_number(b, 4, list->count);
    buf_append(b, list->bytes.data, list->bytes.size);
}

void zre_msg_write(struct buf *b, const struct zre_msg *msg)
{
    put_number(b, 2, 0xaaa1);
    put_number(b, 1, msg->id);
    put_number(b, 1, ZRE_VERSION);
    put_number(b, 2, msg->sequence);
    switch (msg->id) {
    case ZRE_HELLO:
        put_string(b, msg->endpoint);
        put_list(b, &msg->groups);
        put_number(b, 1, msg->status);
        put_string(b, msg->name);
        put_list(b, &msg->headers);
        break;
    case ZRE_SHOUT:
        put_string(b, msg->group);
        break;
    case ZRE_JOIN:
    case ZRE_LEAVE:
        put_string(b, msg->group);
        put_number(b, 1, msg->status);
        break;
    default:
        break;
    }
}

/* Takes an item off a checked list; is_pair: with a key before it. */
static bool next_item(struct zre_list *list, bool is_pair, struct span *ret_key,
                      struct span *ret_value)
{
    struct cursor c = {list->bytes.data, list->bytes.size, false};
    if (list->count == 0) {
        return false;
    }
    if (is_pair) {
        *ret_key = take_string(&c);
    }
    *ret_value = take_longstr(&c);
    list->count = c.failed ? 0 : list->count - 1;
    list->bytes = span_of(c.at, c.left);
    return !c.failed;
}

bool zre_strings_next(struct zre_list *list, struct span *ret_text)
{
    return next_item(list, false, NULL, ret_text);
}

bool zre_headers_next(struct zre_list *list, struct span *ret_key, struct span *ret_value)
{
    return next_item(list, true, ret_key, ret_value);
}

bool zre_headers_find(const struct zre_list *list, const char *key, struct span *ret_value)
{
    struct zre_list walk = *list;
    struct span found, value;
    size_t size = strlen(key);
    while (zre_headers_next(&walk, &found, &value)) {
        if (found.size == size && (size == 0 || memcmp(found.data, key, size) == 0)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

void zre_strings_add(struct buf *b, struct span text)
{
    put_longstr(b, text);
}

void zre_headers_add(struct buf *b, struct span key, struct span value)
{
    put_string(b, key);
    put_longstr(b, value);
}

bool zre_identity_read(struct span bytes, struct node_id *ret_uuid)
{
    if (bytes.size != ZRE_IDENTITY_BYTES || bytes.data[0] != 1) {
        return false;
    }
    memcpy(ret_uuid->b, bytes.data + 1, NODE_ID_BYTES);
    return true;
}

void zre_identity_write(const struct node_id *uuid, uint8_t bytes[ZRE_IDENTITY_BYTES])
{
    bytes[0] = 1;
    memcpy(bytes + 1, uuid->b, NODE_ID_BYTES);
}

int zre_endpoint_read(struct span text, struct addr *ret_addr)
{
    static const char scheme[] = "tcp://";
    char host[ADDR_TEXT_BYTES];
    size_t skip = sizeof scheme - 1;
    struct addr a;
    if (text.size <= skip || text.size - skip >= sizeof host ||
        memcmp(text.data, scheme, skip) != 0 || memchr(text.data, '\0', text.size) != NULL) {
        return HM_EMALFORMED;
    }
    memcpy(host, text.data + skip, text.size - skip);
    host[text.size - skip] = '\0';
    if (addr_parse(host, 0, &a) != 0 || a.port == 0) {
        return HM_EMALFORMED;
    }
    *ret_addr = a;
    return HM_OK;
}
