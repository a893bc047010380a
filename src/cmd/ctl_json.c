/* SPDX-License-Identifier: MPL-2.0 */
/* MessagePack to JSON, generically: replies hold only what JSON knows, so no field is special. */
#define _GNU_SOURCE
#include "cmd/ctl.h"

#include "base/base64.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/span.h"
#include "base/text.h"
#include "wire/mpack.h"

#include <stdlib.h>
#include <string.h>

static json_t *read_value(struct mp_reader *r);

static json_t *text_of(struct span s)
{
    json_t *text = json_stringn((const char *) s.data, s.size);
    return text != NULL ? text : json_string("(not UTF-8)");
}

static json_t *base64_of(struct span s)
{
    char *text = malloc(BASE64_TEXT_BYTES(s.size));
    if (text == NULL) {
        return NULL;
    }
    json_t *object = json_pack("{s:s}", "base64", base64_write(s, text));
    free(text);
    return object;
}

static json_t *read_number(struct mp_reader *r)
{
    uint64_t value = mp_read_uint(r, UINT64_MAX);
    return value <= INT64_MAX ? json_integer((json_int_t) value) : json_real((double) value);
}

static json_t *read_list(struct mp_reader *r)
{
    size_t count = mp_read_array(r);
    json_t *list = json_array();
    for (size_t i = 0; i < count && list != NULL; i++) {
        json_t *item = read_value(r);
        if (item == NULL || json_array_append_new(list, item) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* Keys are texts; one that is not makes the value malformed. */
static json_t *read_object(struct mp_reader *r)
{
    size_t count = mp_read_map(r);
    json_t *object = json_object();
    for (size_t i = 0; i < count && object != NULL; i++) {
        char key[512];
        mp_read_text(r, key, sizeof key);
        json_t *item = mp_failed(r) ? NULL : read_value(r);
        if (item == NULL || json_object_set_new(object, key, item) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    return object;
}

/* Depth was checked by mp_check. */
static json_t *read_value(struct mp_reader *r)
{
    switch (mp_peek(r)) {
    case MP_NIL:
        mp_read_nil(r);
        return json_null();
    case MP_BOOL:
        return json_boolean(mp_read_bool(r));
    case MP_UINT:
        return read_number(r);
    case MP_INT:
        return json_integer(mp_read_int(r));
    case MP_DOUBLE:
        return json_real(mp_read_double(r));
    case MP_STR:
        return text_of(mp_read_str(r, SIZE_MAX));
    case MP_BIN:
        return base64_of(mp_read_bin(r, SIZE_MAX));
    case MP_ARRAY:
        return read_list(r);
    case MP_MAP:
        return read_object(r);
    case MP_EXT:
        return base64_of(mp_read_raw(r));
    case MP_NONE:
        break;
    }
    return NULL;
}

json_t *ctl_json_of(const void *data, size_t size)
{
    struct mp_reader r;
    struct span bytes = span_of(data, size);
    if (data == NULL || mp_check(bytes) != 0) {
        return NULL;
    }
    mp_open(&r, bytes);
    return read_value(&r);
}

int ctl_json_bytes(const json_t *value, uint8_t **ret_bytes, size_t *ret_size)
{
    const json_t *base64 = json_object_get(value, "base64");
    const json_t *text = base64 != NULL ? base64 : value;
    size_t size = json_string_length(text);
    uint8_t *bytes = json_is_string(text) ? malloc(size + 1) : NULL;
    if (bytes == NULL) {
        return json_is_string(text) ? HM_ENOMEM : HM_EMALFORMED;
    }
    int code = HM_OK;
    if (base64 != NULL) {
        code = base64_read(json_string_value(text), size, bytes, &size);
    } else {
        memcpy(bytes, json_string_value(text), size);
    }
    if (code != HM_OK) {
        free(bytes);
        return code;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return HM_OK;
}

void ctl_json_print(const json_t *json, bool is_line)
{
    /* 15 digits bring back every number of up to 15 that somebody wrote: 0.412 stays 0.412. */
    size_t flags = JSON_REAL_PRECISION(15) | JSON_ENCODE_ANY;
    json_dumpf(json, stdout, is_line ? flags : flags | JSON_INDENT(2));
    fputc('\n', stdout);
}

const char *ctl_text_of(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL ? text : "";
}

const char *ctl_text(const json_t *object, const char *field)
{
    return ctl_text_of(json_object_get(object, field));
}

void ctl_clean(char *text)
{
    if (text_is_clean_utf8((const uint8_t *) text, strlen(text))) {
        return;
    }
    for (char *at = text; *at != '\0'; at++) {
        unsigned char c = (unsigned char) *at;
        *at = c < 0x20 || c >= 0x7f ? '?' : *at;
    }
}

int64_t ctl_int(const json_t *object, const char *field)
{
    return json_integer_value(json_object_get(object, field));
}

bool ctl_bool(const json_t *object, const char *field)
{
    return json_is_true(json_object_get(object, field));
}

char *ctl_joined(json_t *values)
{
    const char *key;
    json_t *value;
    size_t i;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (stream == NULL) {
        return NULL;
    }
    json_array_foreach(values, i, value)
    {
        fprintf(stream, "%s%s", i > 0 ? ", " : "", ctl_text_of(value));
    }
    i = 0;
    json_object_foreach(values, key, value)
    {
        fprintf(stream, "%s%s=%s", i++ > 0 ? ", " : "", key, ctl_text_of(value));
    }
    fputs(ftell(stream) == 0 ? "-" : "", stream);
    fclose(stream);
    return text;
}
