/* SPDX-License-Identifier: MPL-2.0 */
/* Files of services.d: see svc_yaml.h. */
#define _GNU_SOURCE
#include "io/svc_yaml.h"

#include "base/err.h"
#include "base/text.h"
#include "io/yaml.h"
#include "wire/mpack.h"
#include "wire/svc_msg.h"

#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 512 /* the longest text is metadata's: 511 bytes */

enum key { KEY_ID, KEY_NAME, KEY_VERSION, KEY_ADDRESS, KEY_PORT, KEY_TAGS, KEY_META, KEY_TTL, KEYS };

static const char *const keys[KEYS + 1] = {
    [KEY_ID] = "id",     [KEY_NAME] = "name", [KEY_VERSION] = "version", [KEY_ADDRESS] = "address",
    [KEY_PORT] = "port", [KEY_TAGS] = "tags", [KEY_META] = "meta",       [KEY_TTL] = "ttl"};

static const char *const examples[KEYS] = {
    [KEY_ID] = "web-1",      [KEY_NAME] = "web",      [KEY_VERSION] = "1.2",
    [KEY_ADDRESS] = "10.0.0.5", [KEY_PORT] = "8080", [KEY_TAGS] = "[blue, web]",
    [KEY_META] = "{team: x}", [KEY_TTL] = "30s"};

/* The service that is being read. */
struct def {
    unsigned line, column; /* where it begins */
    unsigned seen_line[KEYS]; /* of each key; 0: not there */
    char text[KEYS][TEXT_BYTES];
    uint16_t port;
    uint64_t ttl_ms;
    char tags[HM_SERVICE_TAGS_MAX][TEXT_BYTES];
    size_t tag_count;
    char meta[HM_SERVICE_META_MAX][2][TEXT_BYTES];
    size_t meta_count;
};

struct svc_yaml {
    struct yaml y;
    const char *name;
    struct svc_set *set;
    struct def *def;
};

/* ---- the set --------------------------------------------------------------------------------- */

void svc_set_init(struct svc_set *set)
{
    memset(set, 0, sizeof *set);
    buf_init(&set->wanted, (size_t) HM_SERVICES_MAX * (HM_SERVICE_BYTES_MAX + 8));
}

void svc_set_fini(struct svc_set *set)
{
    buf_fini(&set->wanted);
    free(set->items);
    memset(set, 0, sizeof *set);
}

void svc_set_clear(struct svc_set *set)
{
    buf_clear(&set->wanted);
    set->count = 0;
}

static const struct svc_set_item *find_id(const struct svc_set *set, const char *id)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->items[i].id, id) == 0) {
            return &set->items[i];
        }
    }
    return NULL;
}

static int add_item(struct svc_yaml *f, const char *id)
{
    struct svc_set *set = f->set;
    if (set->count == HM_SERVICES_MAX) {
        return why_set(f->y.why, HM_EFULL, "%s:%u:%u: a node has at most %d services", f->y.file,
                       f->def->line, f->def->column, HM_SERVICES_MAX);
    }
    if (set->count == set->room) {
        size_t room = set->room == 0 ? 16 : 2 * set->room;
        struct svc_set_item *items = realloc(set->items, room * sizeof *items);
        if (items == NULL) {
            return why_set(f->y.why, HM_ENOMEM, "%s: out of memory", f->y.file);
        }
        set->items = items;
        set->room = room;
    }
    struct svc_set_item *item = &set->items[set->count++];
    text_copy(item->id, sizeof item->id, id);
    text_copy(item->file, sizeof item->file, f->name);
    item->port = f->def->port;
    return HM_OK;
}

/* ---- one service ----------------------------------------------------------------------------- */

static struct span span(const char *text)
{
    return span_of(text, strlen(text));
}

static int wrong_at_start(struct svc_yaml *f, const char *text, const char *more)
{
    f->y.line = f->def->line;
    f->y.column = f->def->column;
    return yaml_wrong(&f->y, text, more);
}

static const char *choose_id(const struct svc_yaml *f, char id[HM_SERVICE_ID_BYTES_MAX + 1])
{
    const struct def *d = f->def;
    const char *name = d->text[KEY_NAME];
    if (d->seen_line[KEY_ID] != 0) {
        text_copy(id, HM_SERVICE_ID_BYTES_MAX + 1, d->text[KEY_ID]);
    } else if (find_id(f->set, name) == NULL) {
        text_copy(id, HM_SERVICE_ID_BYTES_MAX + 1, name);
    } else {
        snprintf(id, HM_SERVICE_ID_BYTES_MAX + 1, "%.63s-%u", name, (unsigned) d->port);
    }
    return id;
}

static int put(struct svc_yaml *f, const char *id)
{
    struct def *d = f->def;
    struct span tags[HM_SERVICE_TAGS_MAX];
    struct svc_pair pairs[HM_SERVICE_META_MAX];
    struct buf tag_bytes, meta_bytes, value;
    struct svc s = {.id = span(id),
                    .name = span(d->text[KEY_NAME]),
                    .version = span(d->text[KEY_VERSION]),
                    .address = span(d->text[KEY_ADDRESS]),
                    .port = d->port,
                    .ttl_ms = d->ttl_ms,
                    .meta_count = d->meta_count,
                    .source = SVC_FILE,
                    .file = span(f->name)};
    for (size_t i = 0; i < d->tag_count; i++) {
        tags[i] = span(d->tags[i]);
    }
    for (size_t i = 0; i < d->meta_count; i++) {
        pairs[i] = (struct svc_pair){span(d->meta[i][0]), span(d->meta[i][1])};
    }
    buf_init(&tag_bytes, SIZE_MAX);
    buf_init(&meta_bytes, SIZE_MAX);
    buf_init(&value, SIZE_MAX);
    s.tag_count = svc_tags_write(&tag_bytes, tags, d->tag_count);
    int rc = svc_meta_write(&meta_bytes, pairs, d->meta_count);
    s.tags = buf_span(&tag_bytes);
    s.meta = buf_span(&meta_bytes);
    svc_write(&value, &s);
    if (rc != HM_OK) {
        rc = wrong_at_start(f, "%s: a name is there twice", "meta");
    } else if (value.size > HM_SERVICE_BYTES_MAX - HM_SERVICE_TEXT_BYTES_MAX - 64) {
        rc = wrong_at_start(f, "%s: tags and meta have more bytes than fit into a service", id);
    } else {
        mp_bin(&f->set->wanted, value.data, value.size);
        rc = buf_failed(&f->set->wanted) ? HM_ENOMEM : HM_OK;
    }
    buf_fini(&tag_bytes);
    buf_fini(&meta_bytes);
    buf_fini(&value);
    return rc;
}

static int finish(struct svc_yaml *f)
{
    const struct def *d = f->def;
    char id[HM_SERVICE_ID_BYTES_MAX + 1];
    if (d->seen_line[KEY_NAME] == 0 || d->seen_line[KEY_PORT] == 0) {
        enum key missing = d->seen_line[KEY_NAME] == 0 ? KEY_NAME : KEY_PORT;
        return wrong_at_start(f, "a service needs name and port: %s is missing", keys[missing]);
    }
    const struct svc_set_item *other = find_id(f->set, choose_id(f, id));
    if (other != NULL) {
        f->y.line = d->line;
        f->y.column = d->column;
        return yaml_wrong(&f->y, "%s has the id %s too: give one of the two another `id`",
                          other->file, id);
    }
    int rc = put(f, id);
    return rc == HM_OK ? add_item(f, id) : rc;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* The current event as text for a key, by its rule. */
static int take_text(struct svc_yaml *f, enum key key, enum svc_text which, char text[TEXT_BYTES])
{
    bool is_null = false;
    if (f->y.event->type != FYET_SCALAR) {
        return yaml_wrong(&f->y, "%s: one value is expected, like %s: %s", keys[key], keys[key],
                          examples[key]);
    }
    int rc = yaml_scalar(&f->y, text, TEXT_BYTES, &is_null);
    if (rc == HM_OK && (is_null || (text[0] == '\0' && which != SVC_META_VALUE))) {
        rc = which == SVC_META_VALUE
                 ? HM_OK
                 : yaml_wrong(&f->y, "%s: a value is missing, like %s: %s", keys[key], keys[key],
                              examples[key]);
        text[0] = '\0';
    }
    const char *right = rc == HM_OK ? svc_text_wrong(which, span(text)) : NULL;
    return right == NULL ? rc
                         : yaml_wrong(&f->y, "%s: %.60s: must be %s", keys[key], text, right);
}

static int read_port(struct svc_yaml *f, char text[TEXT_BYTES])
{
    uint64_t port = 0;
    int rc = take_text(f, KEY_PORT, SVC_VERSION, text);
    if (rc == HM_OK && (text_to_u64(text, 65535, &port) != HM_OK || port == 0)) {
        rc = yaml_wrong(&f->y, "port: %.60s: must be a number from 1 to 65535", text);
    }
    f->def->port = (uint16_t) port;
    return rc;
}

static int read_ttl(struct svc_yaml *f, char text[TEXT_BYTES])
{
    int rc = take_text(f, KEY_TTL, SVC_VERSION, text);
    if (rc == HM_OK &&
        (text_to_ms(text, HM_SERVICE_TTL_MS_MAX, &f->def->ttl_ms) != HM_OK ||
         f->def->ttl_ms < 1000)) {
        rc = yaml_wrong(&f->y, "ttl: %.60s: must be like 10s, 5m or 2h, from 1s to 7d", text);
    }
    return rc;
}

static int read_tags(struct svc_yaml *f)
{
    struct def *d = f->def;
    if (f->y.event->type == FYET_SCALAR) {
        d->tag_count = 1;
        return take_text(f, KEY_TAGS, SVC_TAG, d->tags[0]);
    }
    if (f->y.event->type != FYET_SEQUENCE_START) {
        return yaml_wrong(&f->y, "tags: a list is expected, like tags: %s", examples[KEY_TAGS]);
    }
    for (;;) {
        int rc = yaml_next(&f->y);
        if (rc != HM_OK || f->y.event->type == FYET_SEQUENCE_END) {
            return rc;
        }
        if (d->tag_count == HM_SERVICE_TAGS_MAX) {
            return yaml_wrong(&f->y, "tags: a service has at most %d", HM_SERVICE_TAGS_MAX);
        }
        rc = take_text(f, KEY_TAGS, SVC_TAG, d->tags[d->tag_count++]);
        if (rc != HM_OK) {
            return rc;
        }
    }
}

static int read_meta(struct svc_yaml *f)
{
    struct def *d = f->def;
    if (f->y.event->type != FYET_MAPPING_START) {
        return yaml_wrong(&f->y, "meta: a map is expected, like meta: %s", examples[KEY_META]);
    }
    for (;;) {
        int rc = yaml_next(&f->y);
        if (rc != HM_OK || f->y.event->type == FYET_MAPPING_END) {
            return rc;
        }
        if (d->meta_count == HM_SERVICE_META_MAX) {
            return yaml_wrong(&f->y, "meta: a service has at most %d", HM_SERVICE_META_MAX);
        }
        rc = take_text(f, KEY_META, SVC_META_KEY, d->meta[d->meta_count][0]);
        rc = rc == HM_OK ? yaml_next(&f->y) : rc;
        rc = rc == HM_OK ? take_text(f, KEY_META, SVC_META_VALUE, d->meta[d->meta_count][1]) : rc;
        d->meta_count++;
        if (rc != HM_OK) {
            return rc;
        }
    }
}

static int read_value(struct svc_yaml *f, enum key key)
{
    char *text = f->def->text[key];
    switch (key) {
    case KEY_ID: return take_text(f, key, SVC_ID, text);
    case KEY_NAME: return take_text(f, key, SVC_NAME, text);
    case KEY_VERSION: return take_text(f, key, SVC_VERSION, text);
    case KEY_ADDRESS: return take_text(f, key, SVC_ADDRESS, text);
    case KEY_PORT: return read_port(f, text);
    case KEY_TTL: return read_ttl(f, text);
    case KEY_TAGS: return read_tags(f);
    case KEY_META: return read_meta(f);
    case KEYS: break;
    }
    return HM_EINVAL;
}

/* ---- a file ---------------------------------------------------------------------------------- */

static int find_key(struct svc_yaml *f, enum key *ret_key)
{
    char text[TEXT_BYTES];
    bool is_null = false;
    if (f->y.event->type != FYET_SCALAR) {
        return yaml_wrong(&f->y, "a key is to be a word, like name");
    }
    int rc = yaml_scalar(&f->y, text, sizeof text, &is_null);
    if (rc != HM_OK) {
        return rc;
    }
    unsigned key = 0;
    while (key < KEYS && strcmp(keys[key], text) != 0) {
        key++;
    }
    if (key == KEYS && strcmp(text, "services") == 0) {
        return yaml_wrong(&f->y, "services: leave this line out: the file is one service, or a "
                                 "list of them with a dash before each");
    }
    if (key == KEYS) {
        const char *nearest = text_nearest(text, keys);
        return nearest != NULL
                   ? yaml_wrong(&f->y, "%.63s: no such key; did you mean %s?", text, nearest)
                   : yaml_wrong(&f->y,
                                "%.63s: no such key; there are id, name, version, address, port, "
                                "tags, meta, ttl",
                                text);
    }
    if (f->def->seen_line[key] != 0) {
        return yaml_wrong(&f->y, "%s is there twice, first in line %u", keys[key],
                          f->def->seen_line[key]);
    }
    f->def->seen_line[key] = f->y.line;
    *ret_key = (enum key) key;
    return HM_OK;
}

/* The current event is the map's start; goes to its end. */
static int read_service(struct svc_yaml *f)
{
    memset(f->def, 0, sizeof *f->def);
    f->def->line = f->y.line;
    f->def->column = f->y.column;
    for (;;) {
        enum key key = KEYS;
        int rc = yaml_next(&f->y);
        if (rc == HM_OK && f->y.event->type == FYET_MAPPING_END) {
            return finish(f);
        }
        rc = rc == HM_OK ? find_key(f, &key) : rc;
        rc = rc == HM_OK ? yaml_next(&f->y) : rc;
        rc = rc == HM_OK ? read_value(f, key) : rc;
        if (rc != HM_OK) {
            return rc;
        }
    }
}

static int read_list(struct svc_yaml *f)
{
    for (;;) {
        int rc = yaml_next(&f->y);
        if (rc != HM_OK || f->y.event->type == FYET_SEQUENCE_END) {
            return rc;
        }
        rc = f->y.event->type == FYET_MAPPING_START
                 ? read_service(f)
                 : yaml_wrong(&f->y, "a service is expected, like `- name: web`, and below it "
                                     "`port: 8080`");
        if (rc != HM_OK) {
            return rc;
        }
    }
}

static int read_root(void *ctx)
{
    struct svc_yaml *f = ctx;
    char text[TEXT_BYTES];
    bool is_null = false;
    if (f->y.event->type == FYET_MAPPING_START) {
        return read_service(f);
    }
    if (f->y.event->type == FYET_SEQUENCE_START) {
        return read_list(f);
    }
    int rc = f->y.event->type == FYET_SCALAR
                 ? yaml_scalar(&f->y, text, sizeof text, &is_null)
                 : HM_OK;
    return rc != HM_OK || is_null
               ? rc
               : yaml_wrong(&f->y, "a service is expected: keys with values, like `name: web` "
                                   "(with a space after the colon)");
}

int svc_yaml_read(const char *path, const char *name, const char *text, size_t size,
                  struct svc_set *set, struct why *why)
{
    struct svc_yaml f = {.y = {.file = path, .why = why}, .name = name, .set = set};
    size_t bytes = set->wanted.size;
    size_t count = set->count;
    f.def = malloc(sizeof *f.def); /* 50 KiB */
    if (f.def == NULL) {
        return why_set(why, HM_ENOMEM, "%s: out of memory", path);
    }
    int rc = yaml_read(&f.y, text, size, read_root, &f);
    if (rc != HM_OK) {
        buf_truncate(&set->wanted, bytes);
        set->wanted.failed = false;
        set->count = count;
    }
    free(f.def);
    return rc;
}
