/* SPDX-License-Identifier: MPL-2.0 */
/* Removals of nodes: see removal_msg.h. */
#include "wire/removal_msg.h"

#include "base/err.h"
#include "base/text.h"
#include "wire/mpack.h"

#include <string.h>

void removal_write(struct buf *b, const struct removal *r)
{
    mp_map(b, 4);
    mp_str(b, "key");
    mp_bin(b, r->key, sizeof r->key);
    mp_str(b, "name");
    mp_str(b, r->name);
    mp_str(b, "by");
    mp_str(b, r->by);
    mp_str(b, "time");
    mp_uint(b, r->wall_ms);
}

static bool key_is(struct span key, const char *name)
{
    return key.size == strlen(name) && memcmp(key.data, name, key.size) == 0;
}

static void read_name(struct mp_reader *r, char to[HM_NAME_BYTES_MAX + 1])
{
    struct span s = mp_read_str(r, HM_NAME_BYTES_MAX);
    if (mp_failed(r) || (s.size > 0 && !text_is_dns_label((const char *) s.data, s.size))) {
        r->failed = true;
        return;
    }
    memcpy(to, s.data, s.size);
    to[s.size] = '\0';
}

static bool read_key(struct mp_reader *r, struct removal *to)
{
    struct span s = mp_read_bin(r, sizeof to->key);
    if (mp_failed(r) || s.size != sizeof to->key) {
        r->failed = true;
        return false;
    }
    memcpy(to->key, s.data, s.size);
    return true;
}

int removal_read(struct span value, struct removal *ret_removal)
{
    struct mp_reader r;
    struct removal got;
    bool has_key = false;
    memset(&got, 0, sizeof got);
    mp_open(&r, value);
    size_t count = mp_read_map(&r);
    for (size_t i = 0; i < count && !mp_failed(&r); i++) {
        struct span key = mp_read_str(&r, 64);
        if (mp_failed(&r)) {
            break;
        }
        if (key_is(key, "key")) {
            has_key = read_key(&r, &got);
        } else if (key_is(key, "name")) {
            read_name(&r, got.name);
        } else if (key_is(key, "by")) {
            read_name(&r, got.by);
        } else if (key_is(key, "time")) {
            got.wall_ms = mp_read_uint(&r, UINT64_MAX);
        } else {
            mp_skip_many(&r, 1);
        }
    }
    if (mp_failed(&r) || !mp_at_end(&r) || !has_key) {
        return HM_EMALFORMED;
    }
    *ret_removal = got;
    return HM_OK;
}

struct span removal_key(const struct node_id *id, char *to)
{
    memcpy(to, REMOVAL_PREFIX, sizeof REMOVAL_PREFIX - 1);
    text_hex(id->b, NODE_ID_BYTES, to + sizeof REMOVAL_PREFIX - 1);
    return span_of(to, REMOVAL_KEY_BYTES);
}
