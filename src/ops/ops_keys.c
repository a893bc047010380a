/* SPDX-License-Identifier: MPL-2.0 */
/* Keys as people know them: see ops_keys.h. */
#include "ops/ops_keys.h"

#include "base/base64.h"
#include "base/err.h"
#include "base/limits.h"
#include "wire/mpack.h"

#include <string.h>

#define PREFIX "kv/"
#define PREFIX_BYTES (sizeof PREFIX - 1)
#define HASH_BYTES 16
#define BEHIND_KEY 0x02     /* no record of another key lies between a key's own and this */
#define RECORD_TAIL_BYTES 9 /* 0x00 and the dot's hash (core/registry.h) */

_Static_assert(PREFIX_BYTES + HM_USER_KEY_BYTES_MAX <= HM_KEY_BYTES_MAX, "a user's key fits");
_Static_assert(PREFIX_BYTES + HM_SET_KEY_BYTES_MAX + 1 + BASE64_TEXT_BYTES(HASH_BYTES) - 1 <=
                   ENTRY_RECORD_PLAIN_BYTES_MAX,
               "what is below a key lies beside it");
_Static_assert(BASE64_TEXT_BYTES(ENTRY_RECORD_BYTES_MAX + 1) <= KEYS_CURSOR_BYTES, "a cursor fits");

/* ---- names ----------------------------------------------------------------------------------- */

struct span keys_entry_key(struct span key, uint8_t *to)
{
    HM_ASSERT(key.size <= HM_USER_KEY_BYTES_MAX);
    memcpy(to, PREFIX, PREFIX_BYTES);
    if (key.size > 0) {
        memcpy(to + PREFIX_BYTES, key.data, key.size);
    }
    return span_of(to, PREFIX_BYTES + key.size);
}

/* Two hashes of it, each with a byte of its own in front: 128 bits, so that no two elements
 * meet. */
static struct span below_key(const registry_t *r, struct span key, struct span what, uint8_t *to)
{
    uint8_t hash[HASH_BYTES];
    char text[BASE64_TEXT_BYTES(HASH_BYTES)];
    struct buf b;
    HM_ASSERT(key.size <= HM_SET_KEY_BYTES_MAX);
    buf_init(&b, HM_VALUE_BYTES_MAX + 1);
    for (uint8_t i = 0; i < 2; i++) {
        buf_clear(&b);
        buf_append(&b, &i, 1);
        buf_append(&b, what.data, what.size);
        be_put(hash + 8 * i, registry_hash(r, buf_span(&b)), 8);
    }
    struct span entry_key = keys_entry_key(key, to);
    bool has_failed = buf_failed(&b);
    buf_fini(&b);
    if (has_failed) {
        return span_of(NULL, 0);
    }
    base64_write(span_of(hash, sizeof hash), text);
    to[entry_key.size] = ENTRY_BELOW;
    memcpy(to + entry_key.size + 1, text, sizeof text - 1);
    return span_of(to, entry_key.size + sizeof text);
}

struct span keys_element_key(const registry_t *r, struct span key, struct span element, uint8_t *to)
{
    return below_key(r, key, element, to);
}

struct span keys_share_key(const registry_t *r, struct span key, const struct origin *origin,
                           uint8_t *to)
{
    uint8_t bytes[ORIGIN_BYTES];
    origin_put(bytes, origin);
    return below_key(r, key, span_of(bytes, sizeof bytes), to);
}

bool keys_user_key(const struct entry *e, struct span *ret_key)
{
    if (e->key.size <= PREFIX_BYTES || memcmp(e->key.data, PREFIX, PREFIX_BYTES) != 0) {
        return false;
    }
    struct span key = span_of(e->key.data + PREFIX_BYTES, e->key.size - PREFIX_BYTES);
    const uint8_t *below = memchr(key.data, ENTRY_BELOW, key.size);
    key.size = below != NULL ? (size_t) (below - key.data) : key.size;
    *ret_key = key;
    return key.size > 0 && key.size <= HM_USER_KEY_BYTES_MAX;
}

const char *keys_shown(struct span key, char to[KEYS_SHOWN_BYTES])
{
    size_t max = KEYS_SHOWN_BYTES - 4;
    size_t size = key.size < max ? key.size : max;
    for (size_t i = 0; i < size; i++) {
        to[i] = key.data[i] >= 0x20 && key.data[i] != 0x7f ? (char) key.data[i] : '?';
    }
    /* No character of several bytes is cut in two. */
    while (size < key.size && size > 0 && (key.data[size] & 0xc0) == 0x80) {
        size--;
    }
    memcpy(to + size, size < key.size ? "..." : "", size < key.size ? 4 : 1);
    return to;
}

const char *keys_type_name(uint8_t type)
{
    switch (type) {
    case ENTRY_REGISTER:
        return "register";
    case ENTRY_SET:
        return "set";
    case ENTRY_COUNTER:
        return "counter";
    default:
        return "unknown";
    }
}

uint8_t keys_type_of(const char *name)
{
    static const uint8_t types[] = {ENTRY_REGISTER, ENTRY_SET, ENTRY_COUNTER};
    for (size_t i = 0; i < sizeof types; i++) {
        if (strcmp(name, keys_type_name(types[i])) == 0) {
            return types[i];
        }
    }
    return 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

struct span keys_content(struct span value)
{
    struct mp_reader m;
    mp_open(&m, value);
    switch (mp_peek(&m)) {
    case MP_STR:
        return mp_read_str(&m, SIZE_MAX);
    case MP_BIN:
        return mp_read_bin(&m, SIZE_MAX);
    case MP_NONE:
    case MP_NIL:
    case MP_BOOL:
    case MP_UINT:
    case MP_INT:
    case MP_DOUBLE:
    case MP_ARRAY:
    case MP_MAP:
    case MP_EXT:
        break;
    }
    return value;
}

int64_t keys_number(struct span value)
{
    struct mp_reader m;
    mp_open(&m, value);
    bool is_number = mp_peek(&m) == MP_UINT || mp_peek(&m) == MP_INT;
    int64_t number = is_number ? mp_read_int(&m) : 0;
    return mp_failed(&m) ? 0 : number;
}

static int64_t add_held(int64_t a, int64_t b)
{
    if (b > 0 && a > INT64_MAX - b) {
        return INT64_MAX;
    }
    if (b < 0 && a < INT64_MIN - b) {
        return INT64_MIN;
    }
    return a + b;
}

uint64_t keys_version(const registry_t *r, const struct dot *dot)
{
    uint8_t bytes[DOT_BYTES];
    dot_put(bytes, dot);
    return registry_hash(r, span_of(bytes, sizeof bytes));
}

/* ---- what is below a key --------------------------------------------------------------------- */

static void step_below(struct keys_below *w, struct span from, bool inclusive)
{
    w->is_there = registry_next_within(w->r, w->look, span_of(w->prefix, w->prefix_size), from,
                                       inclusive, &w->record_key, &w->at);
}

void keys_below_open(struct keys_below *w, registry_t *r, enum registry_look look, struct span key)
{
    w->r = r;
    w->look = look;
    w->is_there = false;
    if (key.size > HM_SET_KEY_BYTES_MAX) {
        return;
    }
    struct span entry_key = keys_entry_key(key, w->prefix);
    w->prefix[entry_key.size] = ENTRY_BELOW;
    w->prefix_size = entry_key.size + 1;
    step_below(w, span_of(w->prefix, w->prefix_size), true);
}

static bool same_key(const struct entry *a, const struct entry *b)
{
    return a->key.size == b->key.size && memcmp(a->key.data, b->key.data, a->key.size) == 0;
}

bool keys_below_next(struct keys_below *w, struct entry *ret_entry)
{
    while (w->is_there) {
        struct entry best = w->at;
        step_below(w, w->record_key, false);
        while (w->is_there && same_key(&w->at, &best)) {
            if (registry_shown_cmp(&w->at, &best) < 0) {
                best = w->at;
            }
            step_below(w, w->record_key, false);
        }
        if (!best.is_deleted) {
            *ret_entry = best;
            return true;
        }
    }
    return false;
}

static bool is_later(const struct entry *a, const struct entry *b)
{
    return a->wall_ms != b->wall_ms ? a->wall_ms > b->wall_ms : dot_cmp(&a->dot, &b->dot) > 0;
}

/* Of one of the types below a key, in one walk over both. */
struct below_sum {
    struct entry entry; /* written last */
    size_t count;
    uint64_t version, bytes;
    int64_t sum;
};

static void sum_up(const registry_t *r, const struct entry *e, bool with_version,
                   struct below_sum *to)
{
    to->entry = to->count == 0 || is_later(e, &to->entry) ? *e : to->entry;
    to->count++;
    to->version += with_version ? keys_version(r, &e->dot) : 0;
    to->bytes += keys_content(e->value).size;
    to->sum = e->type == ENTRY_COUNTER ? add_held(to->sum, keys_number(e->value)) : 0;
}

static void show_below(struct keys_held *held, uint8_t type, const struct below_sum *sum)
{
    if (held->type != 0 || sum->count == 0) {
        return;
    }
    held->type = type;
    held->entry = sum->entry;
    held->version = sum->version;
    held->bytes = sum->bytes;
    held->sum = sum->sum;
}

/* only: ENTRY_SET or ENTRY_COUNTER alone is shown, 0: the first that is there. */
static void hold_below(registry_t *r, enum registry_look look, struct span key, bool with_version,
                       uint8_t only, struct keys_held *held)
{
    struct below_sum set = {.count = 0}, counter = {.count = 0};
    struct keys_below w;
    struct entry e;
    keys_below_open(&w, r, look, key);
    while (keys_below_next(&w, &e)) {
        if (e.type == ENTRY_SET || e.type == ENTRY_COUNTER) {
            sum_up(r, &e, with_version, e.type == ENTRY_SET ? &set : &counter);
        }
    }
    held->elements = set.count;
    held->shares = counter.count;
    if (only != ENTRY_COUNTER) {
        show_below(held, ENTRY_SET, &set);
    }
    if (only != ENTRY_SET) {
        show_below(held, ENTRY_COUNTER, &counter);
    }
}

void keys_hold_below(registry_t *r, enum registry_look look, struct span key, uint8_t type,
                     struct keys_held *ret_held)
{
    memset(ret_held, 0, sizeof *ret_held);
    hold_below(r, look, key, true, type, ret_held);
}

bool keys_has_below(registry_t *r, enum registry_look look, struct span key)
{
    struct keys_below w;
    keys_below_open(&w, r, look, key);
    return w.is_there;
}

/* What is below a key comes right behind the key's own records. */
static bool is_below(struct span record_key, struct span entry_key)
{
    return record_key.size > entry_key.size && record_key.data[entry_key.size] == ENTRY_BELOW &&
           memcmp(record_key.data, entry_key.data, entry_key.size) == 0;
}

static int hold(registry_t *r, enum registry_look look, struct span key, bool with_version,
                struct keys_held *ret_held)
{
    uint8_t bytes[HM_KEY_BYTES_MAX];
    struct registry_siblings siblings;
    struct span entry_key = keys_entry_key(key, bytes);
    memset(ret_held, 0, sizeof *ret_held);
    int rc = registry_get(r, look, entry_key, &siblings);
    if (rc != HM_OK && rc != HM_ENOTFOUND) {
        return rc;
    }
    if (rc == HM_OK && siblings.live > 0) {
        ret_held->type = ENTRY_REGISTER;
        ret_held->entry = siblings.items[0];
        ret_held->registers = siblings.live;
        ret_held->version = with_version ? keys_version(r, &siblings.items[0].dot) : 0;
        ret_held->bytes = keys_content(siblings.items[0].value).size;
    }
    if (rc == HM_ENOTFOUND || is_below(siblings.behind, entry_key)) {
        hold_below(r, look, key, with_version, 0, ret_held);
    }
    size_t all = ret_held->registers;
    all += ret_held->elements > 0 ? 1 : 0;
    all += ret_held->shares > 0 ? 1 : 0;
    ret_held->conflicts = all > 0 ? all - 1 : 0;
    return HM_OK;
}

int keys_hold(registry_t *r, enum registry_look look, struct span key, struct keys_held *ret_held)
{
    return hold(r, look, key, true, ret_held);
}

int keys_peek(registry_t *r, enum registry_look look, struct span key, struct keys_held *ret_held)
{
    return hold(r, look, key, false, ret_held);
}

/* ---- walking --------------------------------------------------------------------------------- */

void keys_walk_open(struct keys_walk *w, registry_t *r, enum registry_look look, struct span prefix)
{
    uint8_t bytes[HM_KEY_BYTES_MAX];
    w->r = r;
    w->look = look;
    w->prefix = prefix;
    w->at_size = registry_record_prefix(r, keys_entry_key(prefix, bytes), w->at);
}

const char *keys_walk_cursor(const struct keys_walk *w, char text[KEYS_CURSOR_BYTES])
{
    return base64_write(span_of(w->at, w->at_size), text);
}

int keys_walk_resume(struct keys_walk *w, const char *cursor)
{
    uint8_t at[KEYS_CURSOR_BYTES];
    size_t size = strlen(cursor);
    size_t at_size = 0;
    if (size >= KEYS_CURSOR_BYTES || base64_read(cursor, size, at, &at_size) != HM_OK ||
        at_size < w->at_size || at_size > ENTRY_RECORD_BYTES_MAX ||
        memcmp(at, w->at, w->at_size) != 0) {
        return HM_EINVAL;
    }
    memcpy(w->at, at, at_size);
    w->at_size = at_size;
    return HM_OK;
}

/* Goes on behind all records of the key of this one. False: it has no key that a record has. */
static bool step_behind(struct keys_walk *w, struct span record_key)
{
    HM_ASSERT(record_key.size <= ENTRY_RECORD_BYTES_MAX);
    size_t size =
        record_key.size > RECORD_TAIL_BYTES ? record_key.size - RECORD_TAIL_BYTES : record_key.size;
    const uint8_t *below = memchr(record_key.data, ENTRY_BELOW, size);
    size = below != NULL ? (size_t) (below - record_key.data) : size;
    memmove(w->at, record_key.data, size);
    w->at[size] = BEHIND_KEY;
    w->at_size = size + 1;
    return size < record_key.size && record_key.data[size] < BEHIND_KEY;
}

bool keys_walk_next(struct keys_walk *w, struct span *ret_key)
{
    uint8_t head[ENTRY_RECORD_BYTES_MAX], bytes[HM_KEY_BYTES_MAX];
    size_t head_size = registry_record_prefix(w->r, keys_entry_key(w->prefix, bytes), head);
    struct span record_key;
    struct entry e;
    while (registry_next(w->r, w->look, span_of(w->at, w->at_size), true, &record_key, &e) &&
           record_key.size >= head_size && memcmp(record_key.data, head, head_size) == 0) {
        if (!step_behind(w, record_key)) {
            return false; /* the store is damaged: this would not come to an end */
        }
        if (keys_user_key(&e, ret_key) && ret_key->size >= w->prefix.size &&
            (w->prefix.size == 0 || memcmp(ret_key->data, w->prefix.data, w->prefix.size) == 0)) {
            return true;
        }
    }
    return false;
}
