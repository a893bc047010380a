/* SPDX-License-Identifier: MPL-2.0 */
/* Replies become entries. All texts of an entry lie in one room, each with a NUL behind it; that fits into as
 * many bytes as the item had, since each text's head in MessagePack is at least a byte. */
#define _GNU_SOURCE
#include "client/hm_priv.h"
#include "ops/ops_time.h"
#include "wire/mpack.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES 65536 /* a room that was larger gives its memory back */

void room_fini(struct entry_room *room)
{
    buf_fini(&room->text);
    free(room->elements);
    memset(room, 0, sizeof *room);
}

/* The room has place for it: see above. */
static const char *keep(struct entry_room *room, struct span text)
{
    uint8_t *to = buf_extend(&room->text, text.size + 1);
    HM_ASSERT(to != NULL);
    if (text.size > 0) {
        memcpy(to, text.data, text.size);
    }
    to[text.size] = '\0';
    return (const char *) to;
}

/* A text or bytes. */
static struct hm_bytes keep_content(struct entry_room *room, struct mp_reader *r)
{
    struct span s = mp_peek(r) == MP_BIN ? mp_read_bin(r, SIZE_MAX) : mp_read_str(r, SIZE_MAX);
    if (mp_failed(r)) {
        s = span_of(NULL, 0);
    }
    return (struct hm_bytes){.data = keep(room, s), .size = s.size};
}

static const char *keep_text(struct entry_room *room, struct mp_reader *r)
{
    if (mp_try_nil(r)) {
        return "";
    }
    struct span s = mp_read_str(r, SIZE_MAX);
    return mp_failed(r) ? "" : keep(room, s);
}

static int keep_elements(struct entry_room *room, struct mp_reader *r)
{
    size_t count = mp_read_array(r);
    if (count > room->element_room) {
        struct hm_bytes *elements = realloc(room->elements, count * sizeof *elements);
        if (elements == NULL) {
            return HM_ENOMEM;
        }
        room->elements = elements;
        room->element_room = count;
    }
    for (size_t i = 0; i < count && !mp_failed(r); i++) {
        room->elements[i] = keep_content(room, r);
    }
    room->entry.elements = room->elements;
    room->entry.element_count = count;
    return HM_OK;
}

static int keep_value(struct entry_room *room, struct mp_reader *r)
{
    switch (mp_peek(r)) {
    case MP_ARRAY:
        return keep_elements(room, r);
    case MP_NIL:
        mp_read_nil(r);
        return HM_OK;
    case MP_STR:
    case MP_BIN:
        room->entry.value = keep_content(room, r);
        return HM_OK;
    case MP_NONE:
    case MP_BOOL:
    case MP_UINT:
    case MP_INT:
    case MP_DOUBLE:
    case MP_MAP:
    case MP_EXT:
        break;
    }
    return HM_EMALFORMED;
}

static bool is(struct span name, const char *what, size_t size)
{
    return name.size == size && memcmp(name.data, what, size) == 0;
}
#define IS(name, what) is(name, what, sizeof what - 1)

static enum hm_type type_of(struct span name)
{
    return IS(name, "set") ? HM_SET : IS(name, "counter") ? HM_COUNTER : HM_REGISTER;
}

static int read_field(struct entry_room *room, struct span name, struct mp_reader *r,
                      struct entry_more *more)
{
    struct hm_entry *e = &room->entry;
    if (IS(name, "key")) {
        e->key = keep_text(room, r);
    } else if (IS(name, "value")) {
        return keep_value(room, r);
    } else if (IS(name, "version")) {
        e->version = keep_text(room, r);
    } else if (IS(name, "origin")) {
        const char *origin = keep_text(room, r);
        e->origin = origin[0] != '\0' ? origin : e->origin;
    } else if (IS(name, "origin_id")) {
        const char *id = keep_text(room, r);
        e->origin = e->origin[0] != '\0' ? e->origin : id;
    } else if (IS(name, "type")) {
        e->type = type_of(mp_read_str(r, SIZE_MAX));
    } else if (IS(name, "modified")) {
        char text[OPS_TIME_BYTES];
        mp_read_text(r, text, sizeof text);
        return mp_failed(r) ? HM_EMALFORMED : ops_time_parse(text, &e->modified_ms);
    } else if (IS(name, "conflicts")) {
        e->conflicts = (unsigned) mp_read_uint(r, UINT32_MAX);
    } else if (IS(name, "cut")) {
        e->is_cut = mp_read_bool(r);
    } else if (IS(name, "op")) {
        struct span op = mp_read_str(r, SIZE_MAX);
        more->is_delete = !mp_failed(r) && IS(op, "delete");
    } else if (IS(name, "since")) {
        mp_read_text(r, more->since, sizeof more->since);
    } else {
        mp_skip(r);
    }
    return HM_OK;
}

int room_read(struct entry_room *room, struct span item, struct entry_more *ret_more)
{
    struct mp_reader r;
    struct entry_more more = {.is_delete = false};
    if (room->text.room > KEEP_BYTES) {
        buf_fini(&room->text);
        buf_init(&room->text, SIZE_MAX);
    }
    buf_clear(&room->text);
    if (buf_extend(&room->text, item.size + 1) == NULL) {
        return HM_ENOMEM;
    }
    buf_clear(&room->text);
    room->entry = (struct hm_entry){.type = HM_REGISTER, .key = "", .version = "", .origin = ""};
    room->entry.value.data = "";
    mp_open(&r, item);
    if (mp_peek(&r) != MP_MAP) {
        return HM_EMALFORMED;
    }
    size_t count = mp_read_map(&r);
    int code = HM_OK;
    for (size_t i = 0; i < count && code == HM_OK && !mp_failed(&r); i++) {
        struct span name = mp_read_str(&r, SIZE_MAX);
        code = mp_failed(&r) ? HM_EMALFORMED : read_field(room, name, &r, &more);
    }
    if (code == HM_OK && mp_failed(&r)) {
        code = HM_EMALFORMED;
    }
    if (code == HM_OK && ret_more != NULL) {
        *ret_more = more;
    }
    return code;
}
