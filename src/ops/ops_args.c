/* SPDX-License-Identifier: MPL-2.0 */
/* Arguments of operations: see ops_args.h. */
#include "ops/ops_args.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"
#include "wire/mpack.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_BYTES_MAX 40 /* of a wrong value in an error */

/* A foreign text as it may appear in an error line: cut, and without what a terminal would obey. */
static const char *shown(const char *text, char to[SHOWN_BYTES_MAX + 4])
{
    size_t size = strlen(text);
    size_t keep = size < SHOWN_BYTES_MAX ? size : SHOWN_BYTES_MAX;
    for (size_t i = 0; i < keep; i++) {
        to[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    }
    memcpy(to + keep, size > keep ? "..." : "", size > keep ? 4 : 1);
    return to;
}

void ops_args_init(const struct op_spec *spec, struct op_values *ret_values)
{
    HM_ASSERT(spec->arg_count <= OPS_ARGS_MAX);
    memset(ret_values->v, 0, spec->arg_count * sizeof ret_values->v[0]); /* all of them are many kilobytes */
    for (size_t i = 0; i < spec->arg_count; i++) {
        ret_values->v[i].number = spec->args[i].def;
    }
}

size_t ops_args_index(const struct op_spec *spec, const char *name)
{
    size_t i = 0;
    while (i < spec->arg_count && strcmp(spec->args[i].name, name) != 0) {
        i++;
    }
    return i;
}

const struct op_value *ops_args_get(const struct op_spec *spec, const struct op_values *values,
                                    const char *name)
{
    size_t idx = ops_args_index(spec, name);
    HM_ASSERT(idx < spec->arg_count);
    return &values->v[idx];
}

static int unknown_arg(const struct op_spec *spec, const char *name, char why[OPS_WHY_BYTES])
{
    const char *names[OPS_ARGS_MAX + 1];
    char text[SHOWN_BYTES_MAX + 4];
    size_t count = 0;
    for (size_t i = 0; i < spec->arg_count; i++) {
        if (!spec->args[i].is_meshctls) {
            names[count++] = spec->args[i].name;
        }
    }
    names[count] = NULL;
    const char *nearest = text_nearest(name, names);
    if (nearest != NULL) {
        snprintf(why, OPS_WHY_BYTES, "%s has no argument \"%s\"; did you mean \"%s\"?", spec->name,
                 shown(name, text), nearest);
    } else {
        snprintf(why, OPS_WHY_BYTES, "%s has no argument \"%s\"", spec->name, shown(name, text));
    }
    return HM_EINVAL;
}

static int check_number(const struct op_arg *arg, uint64_t number, char why[OPS_WHY_BYTES])
{
    if (number < arg->min || number > arg->max) {
        snprintf(why, OPS_WHY_BYTES, "%s is %" PRIu64 ", but must be from %" PRIu64 " to %" PRIu64,
                 arg->name, number, arg->min, arg->max);
        return HM_EINVAL;
    }
    return HM_OK;
}

/* Texts of arguments are names and cursors: clean UTF-8 within the bounds. */
static int check_text(const struct op_arg *arg, const char *text, char why[OPS_WHY_BYTES])
{
    size_t size = strlen(text);
    char cut[SHOWN_BYTES_MAX + 4];
    if (size == 0 && arg->min > 0) {
        snprintf(why, OPS_WHY_BYTES, "%s is empty", arg->name);
        return HM_EINVAL;
    }
    if (size < arg->min || size > arg->max || size > OPS_TEXT_BYTES_MAX) {
        snprintf(why, OPS_WHY_BYTES,
                 "%s \"%s\" has %zu bytes, but must have from %" PRIu64 " to %" PRIu64, arg->name,
                 shown(text, cut), size, arg->min, arg->max);
        return HM_EINVAL;
    }
    if (!text_is_clean_utf8((const uint8_t *) text, size)) {
        snprintf(why, OPS_WHY_BYTES, "%s \"%s\" must be UTF-8 text without control characters",
                 arg->name, shown(text, cut));
        return HM_EINVAL;
    }
    return HM_OK;
}

/* Whoever gives too many bytes has asked for nothing wrong but met a limit. */
static int check_bytes(const struct op_arg *arg, struct span bytes, char why[OPS_WHY_BYTES])
{
    if (bytes.size < arg->min || bytes.size > arg->max) {
        snprintf(why, OPS_WHY_BYTES,
                 "%s has %zu bytes, but must have from %" PRIu64 " to %" PRIu64 " bytes", arg->name,
                 bytes.size, arg->min, arg->max);
        return HM_EFULL;
    }
    return HM_OK;
}

static int wrong_type(const struct op_arg *arg, char why[OPS_WHY_BYTES])
{
    snprintf(why, OPS_WHY_BYTES, "%s must be a %s", arg->name,
             arg->type == ARG_NODE ? "text" : arg_type_name(arg->type));
    return HM_EINVAL;
}

/* One text of a list, or a key or value of a map. */
static int check_word(const struct op_arg *arg, struct span s, uint64_t min, uint64_t max,
                      char why[OPS_WHY_BYTES])
{
    char text[SHOWN_BYTES_MAX + 1], cut[SHOWN_BYTES_MAX + 4];
    size_t keep = s.size < SHOWN_BYTES_MAX ? s.size : SHOWN_BYTES_MAX;
    if (s.size >= min && s.size <= max &&
        (s.size == 0 || text_is_clean_utf8(s.data, s.size))) {
        return HM_OK;
    }
    if (keep > 0) {
        memcpy(text, s.data, keep);
    }
    text[keep] = '\0';
    snprintf(why, OPS_WHY_BYTES,
             "%s \"%s\" must be from %" PRIu64 " to %" PRIu64
             " bytes of UTF-8 without control characters",
             arg->name, shown(text, cut), min, max);
    return HM_EINVAL;
}

static int check_words(const struct op_arg *arg, size_t count, char why[OPS_WHY_BYTES])
{
    if (count > OPS_WORDS_MAX) {
        snprintf(why, OPS_WHY_BYTES, "%s is given %zu times, but may be at most %d", arg->name,
                 count, OPS_WORDS_MAX);
        return HM_EFULL;
    }
    return HM_OK;
}

/* A map's keys are names of labels in length; what else they must be is its operation's to say. */
static int read_words(const struct op_arg *arg, struct mp_reader *r, struct op_value *value,
                      char why[OPS_WHY_BYTES])
{
    bool is_map = arg->type == ARG_PAIRS;
    value->raw.data = r->at;
    size_t count = is_map ? mp_read_map(r) : mp_read_array(r);
    int code = check_words(arg, count, why);
    for (size_t i = 0; i < (is_map ? 2 * count : count) && code == HM_OK; i++) {
        bool is_key = is_map && i % 2 == 0;
        if (mp_peek(r) != MP_STR) {
            snprintf(why, OPS_WHY_BYTES, "%s must hold texts only", arg->name);
            return HM_EINVAL;
        }
        struct span s = mp_read_str(r, SIZE_MAX);
        code = is_key ? check_word(arg, s, 1, HM_LABEL_KEY_BYTES_MAX, why)
                      : check_word(arg, s, arg->min, arg->max, why);
    }
    value->raw.size = (size_t) (r->at - value->raw.data);
    return code;
}

static int check_time(const struct op_arg *arg, uint64_t ms, char why[OPS_WHY_BYTES])
{
    if (ms < arg->min || ms > arg->max) {
        snprintf(why, OPS_WHY_BYTES,
                 "%s is %" PRIu64 " ms, but must be from %" PRIu64 " to %" PRIu64 " ms", arg->name,
                 ms, arg->min, arg->max);
        return HM_EINVAL;
    }
    return HM_OK;
}

static int set_time(const struct op_arg *arg, const char *text, struct op_value *value,
                    char why[OPS_WHY_BYTES])
{
    char cut[SHOWN_BYTES_MAX + 4];
    if (text_to_ms(text, UINT64_MAX, &value->number) != HM_OK) {
        snprintf(why, OPS_WHY_BYTES, "%s is \"%s\", but must be like 500ms, 10s, 5m, 2h or 7d",
                 arg->name, shown(text, cut));
        return HM_EINVAL;
    }
    return check_time(arg, value->number, why);
}

static int read_time(const struct op_arg *arg, struct mp_reader *r, struct op_value *value,
                     char why[OPS_WHY_BYTES])
{
    char text[SHOWN_BYTES_MAX];
    if (mp_peek(r) == MP_UINT) {
        value->number = mp_read_uint(r, UINT64_MAX);
        return check_time(arg, value->number, why);
    }
    mp_read_text(r, text, sizeof text);
    if (mp_failed(r)) {
        return wrong_type(arg, why);
    }
    return set_time(arg, text, value, why);
}

static int read_value(const struct op_arg *arg, struct mp_reader *r, struct op_value *value,
                      char why[OPS_WHY_BYTES])
{
    struct span s;
    int code = HM_OK;
    enum mp_kind kind = mp_peek(r);
    switch (arg->type) {
    case ARG_NODE:
    case ARG_TEXT:
        if (kind != MP_STR) {
            return wrong_type(arg, why);
        }
        s = mp_read_str(r, SIZE_MAX);
        if (s.size > OPS_TEXT_BYTES_MAX || memchr(s.data, '\0', s.size) != NULL) {
            snprintf(why, OPS_WHY_BYTES, "%s must be a text of at most %" PRIu64 " bytes",
                     arg->name, arg->max);
            return HM_EINVAL;
        }
        memcpy(value->text, s.data, s.size);
        value->text[s.size] = '\0';
        code = check_text(arg, value->text, why);
        break;
    case ARG_UINT:
        if (kind != MP_UINT) {
            return wrong_type(arg, why);
        }
        value->number = mp_read_uint(r, UINT64_MAX);
        code = check_number(arg, value->number, why);
        break;
    case ARG_BOOL:
        if (kind != MP_BOOL) {
            return wrong_type(arg, why);
        }
        value->number = mp_read_bool(r);
        break;
    case ARG_BYTES:
        if (kind != MP_STR && kind != MP_BIN) {
            return wrong_type(arg, why);
        }
        value->raw.data = r->at;
        value->bytes = kind == MP_STR ? mp_read_str(r, SIZE_MAX) : mp_read_bin(r, SIZE_MAX);
        value->raw.size = (size_t) (r->at - value->raw.data);
        code = check_bytes(arg, value->bytes, why);
        break;
    case ARG_TEXTS:
    case ARG_PAIRS:
        if (kind != (arg->type == ARG_TEXTS ? MP_ARRAY : MP_MAP)) {
            return wrong_type(arg, why);
        }
        code = read_words(arg, r, value, why);
        break;
    case ARG_TIME:
        if (kind != MP_UINT && kind != MP_STR) {
            return wrong_type(arg, why);
        }
        code = read_time(arg, r, value, why);
        break;
    }
    value->is_given = code == HM_OK;
    return code;
}

static int read_pair(const struct op_spec *spec, struct mp_reader *r, struct op_values *values,
                     char why[OPS_WHY_BYTES])
{
    char name[64];
    if (mp_peek(r) != MP_STR) {
        snprintf(why, OPS_WHY_BYTES, "names of arguments must be texts");
        return HM_EINVAL;
    }
    mp_read_text(r, name, sizeof name);
    if (mp_failed(r)) {
        snprintf(why, OPS_WHY_BYTES, "%s has no argument of so long a name", spec->name);
        return HM_EINVAL;
    }
    size_t idx = ops_args_index(spec, name);
    if (idx == spec->arg_count || spec->args[idx].is_meshctls) {
        return unknown_arg(spec, name, why);
    }
    if (mp_try_nil(r)) {
        return HM_OK;
    }
    if (values->v[idx].is_given) {
        snprintf(why, OPS_WHY_BYTES, "%s is given twice", name);
        return HM_EINVAL;
    }
    return read_value(&spec->args[idx], r, &values->v[idx], why);
}

int ops_args_read(const struct op_spec *spec, struct span args, struct op_values *ret_values,
                  char why[OPS_WHY_BYTES])
{
    struct mp_reader r;
    ops_args_init(spec, ret_values);
    mp_open(&r, args);
    if (mp_check(args) != HM_OK || mp_peek(&r) != MP_MAP) {
        snprintf(why, OPS_WHY_BYTES, "the arguments of %s must be a map", spec->name);
        return HM_EINVAL;
    }
    size_t count = mp_read_map(&r);
    for (size_t i = 0; i < count; i++) {
        int code = read_pair(spec, &r, ret_values, why);
        if (code != HM_OK) {
            return code;
        }
    }
    return ops_args_complete(spec, ret_values, why);
}

int ops_args_complete(const struct op_spec *spec, const struct op_values *values,
                      char why[OPS_WHY_BYTES])
{
    for (size_t i = 0; i < spec->arg_count; i++) {
        if (spec->args[i].is_required && !values->v[i].is_given) {
            snprintf(why, OPS_WHY_BYTES, "%s needs %s: %s", spec->name, spec->args[i].name,
                     spec->args[i].help);
            return HM_EINVAL;
        }
    }
    return HM_OK;
}

static int set_bool(const struct op_arg *arg, const char *text, struct op_value *value,
                    char why[OPS_WHY_BYTES])
{
    char cut[SHOWN_BYTES_MAX + 4];
    bool is_true = strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "1") == 0;
    bool is_false = strcmp(text, "false") == 0 || strcmp(text, "no") == 0 || strcmp(text, "0") == 0;
    if (!is_true && !is_false) {
        snprintf(why, OPS_WHY_BYTES, "%s is \"%s\", but must be true or false", arg->name,
                 shown(text, cut));
        return HM_EINVAL;
    }
    value->number = is_true;
    return HM_OK;
}

/* One more text, or K=V. */
static int add_word(const struct op_arg *arg, const char *text, struct op_value *value,
                    char why[OPS_WHY_BYTES])
{
    const char *equals = strchr(text, '=');
    char cut[SHOWN_BYTES_MAX + 4];
    int code = check_words(arg, value->word_count + 1, why);
    if (code == HM_OK && arg->type == ARG_TEXTS) {
        code = check_word(arg, span_of(text, strlen(text)), arg->min, arg->max, why);
    } else if (code == HM_OK && (equals == NULL || equals == text)) {
        snprintf(why, OPS_WHY_BYTES, "%s is \"%s\", but must be KEY=VALUE", arg->name,
                 shown(text, cut));
        code = HM_EINVAL;
    } else if (code == HM_OK) {
        code = check_word(arg, span_of(text, (size_t) (equals - text)), 1, HM_LABEL_KEY_BYTES_MAX,
                          why);
        code = code == HM_OK ? check_word(arg, span_of(equals + 1, strlen(equals + 1)), arg->min,
                                          arg->max, why)
                             : code;
    }
    if (code == HM_OK) {
        value->words[value->word_count++] = text;
    }
    return code;
}

int ops_args_set(const struct op_spec *spec, size_t idx, const char *text, struct op_values *values,
                 char why[OPS_WHY_BYTES])
{
    HM_ASSERT(idx < spec->arg_count);
    const struct op_arg *arg = &spec->args[idx];
    struct op_value value = {.is_given = true};
    char cut[SHOWN_BYTES_MAX + 4];
    int code = HM_OK;
    switch (arg->type) {
    case ARG_NODE:
    case ARG_TEXT:
        code = check_text(arg, text, why);
        if (code == HM_OK) {
            text_copy(value.text, sizeof value.text, text);
        }
        break;
    case ARG_UINT:
        if (text_to_u64(text, UINT64_MAX, &value.number) != HM_OK) {
            snprintf(why, OPS_WHY_BYTES, "%s is \"%s\", but must be a number", arg->name,
                     shown(text, cut));
            return HM_EINVAL;
        }
        code = check_number(arg, value.number, why);
        break;
    case ARG_BOOL:
        code = set_bool(arg, text, &value, why);
        break;
    case ARG_BYTES:
        value.bytes = span_of(text, strlen(text));
        code = check_bytes(arg, value.bytes, why);
        break;
    case ARG_TEXTS:
    case ARG_PAIRS:
        value = values->v[idx];
        value.is_given = true;
        code = add_word(arg, text, &value, why);
        break;
    case ARG_TIME:
        code = set_time(arg, text, &value, why);
        break;
    }
    if (code == HM_OK) {
        values->v[idx] = value;
    }
    return code;
}

int ops_args_set_bytes(const struct op_spec *spec, size_t idx, struct span bytes,
                       struct op_values *values, char why[OPS_WHY_BYTES])
{
    HM_ASSERT(idx < spec->arg_count && spec->args[idx].type == ARG_BYTES);
    int code = check_bytes(&spec->args[idx], bytes, why);
    if (code == HM_OK) {
        values->v[idx] = (struct op_value){.is_given = true, .bytes = bytes};
    }
    return code;
}

static bool is_sent(const struct op_spec *spec, const struct op_values *values, size_t idx)
{
    return values->v[idx].is_given && !spec->args[idx].is_meshctls;
}

static void write_words(const struct op_arg *arg, const struct op_value *value, struct buf *b)
{
    if (value->raw.data != NULL) {
        buf_append(b, value->raw.data, value->raw.size);
        return;
    }
    if (arg->type == ARG_TEXTS) {
        mp_array(b, value->word_count);
    } else {
        mp_map(b, value->word_count);
    }
    for (size_t i = 0; i < value->word_count; i++) {
        const char *word = value->words[i];
        if (arg->type == ARG_PAIRS) {
            const char *equals = strchr(word, '=');
            HM_ASSERT(equals != NULL); /* add_word has seen it */
            mp_strn(b, word, (size_t) (equals - word));
            word = equals + 1;
        }
        mp_str(b, word);
    }
}

bool ops_args_next(const struct op_value *value, struct op_words *w, struct span *ret_text)
{
    struct mp_reader r;
    mp_open(&r, w->is_open ? w->rest : value->raw);
    if (!w->is_open) {
        w->is_open = true;
        w->left = !value->is_given                ? 0
                  : mp_peek(&r) == MP_MAP ? 2 * mp_read_map(&r)
                                          : mp_read_array(&r);
    }
    if (w->left == 0) {
        return false;
    }
    w->left--;
    *ret_text = mp_read_str(&r, SIZE_MAX);
    w->rest = span_of(r.at, (size_t) (r.end - r.at));
    return !mp_failed(&r);
}

void ops_args_write(const struct op_spec *spec, const struct op_values *values, struct buf *b)
{
    size_t count = 0;
    for (size_t i = 0; i < spec->arg_count; i++) {
        count += is_sent(spec, values, i) ? 1 : 0;
    }
    mp_map(b, count);
    for (size_t i = 0; i < spec->arg_count; i++) {
        const struct op_value *value = &values->v[i];
        if (!is_sent(spec, values, i)) {
            continue;
        }
        mp_str(b, spec->args[i].name);
        switch (spec->args[i].type) {
        case ARG_NODE:
        case ARG_TEXT:
            mp_str(b, value->text);
            break;
        case ARG_UINT:
            mp_uint(b, value->number);
            break;
        case ARG_BOOL:
            mp_bool(b, value->number != 0);
            break;
        case ARG_BYTES:
            if (text_is_utf8(value->bytes.data, value->bytes.size)) {
                mp_strn(b, value->bytes.data, value->bytes.size);
            } else {
                mp_bin(b, value->bytes.data, value->bytes.size);
            }
            break;
        case ARG_TEXTS:
        case ARG_PAIRS:
            write_words(&spec->args[i], value, b);
            break;
        case ARG_TIME:
            mp_uint(b, value->number);
            break;
        }
    }
}
