/* SPDX-License-Identifier: MPL-2.0 */
/* A service as its node publishes it: the value of the entry svc/NODE/ID, one map of texts to values. Keys
 * that are not known here are passed over, so that newer versions can add some.
 *
 *     id, name, port                       always; name is a DNS label, port 1 to 65535
 *     version, address                     texts; no address: the node's own
 *     tags                                 an array of texts that rises, no two alike
 *     meta                                 a map of texts to texts, its keys rise
 *     health                               passing, warning, critical
 *     text                                 what the last check said
 *     ttl_ms, after_ms                     not refreshed for ttl: critical; for after: deregistered
 *     expired                              critical because it was not refreshed
 *     source, file                         command, file, program; file: its name in services.d
 *
 * Values come from others: what is not as said here is HM_EMALFORMED, and the service is not there. */
#ifndef HM_WIRE_SVC_MSG_H
#define HM_WIRE_SVC_MSG_H

#include "base/buf.h"
#include "base/limits.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum svc_health { SVC_PASSING, SVC_WARNING, SVC_CRITICAL };
enum svc_source { SVC_COMMAND, SVC_FILE, SVC_PROGRAM };

/* Spans borrow; an absent text has size 0. */
struct svc {
    struct span id, name, version, address;
    uint16_t port;
    struct span tags; /* the array's elements, without its head */
    size_t tag_count;
    struct span meta; /* keys and values in turn */
    size_t meta_count; /* pairs */
    enum svc_health health;
    struct span text;
    uint64_t ttl_ms;   /* 0: need not be refreshed */
    uint64_t after_ms; /* 0: never deregistered by time */
    bool is_expired;
    enum svc_source source;
    struct span file;
};

/* Texts of a service, each with its own rule. */
enum svc_text {
    SVC_ID,
    SVC_NAME,
    SVC_VERSION,
    SVC_ADDRESS,
    SVC_TAG,
    SVC_META_KEY,
    SVC_META_VALUE,
    SVC_CHECK_TEXT,
    SVC_FILE_NAME,
};

/* NULL: the text is good. Else what would be, to stand behind "must be": "1 to 63 of a-z, 0-9 and -". */
const char *svc_text_wrong(enum svc_text which, struct span text);

/* Exactly one map. HM_EMALFORMED: also beyond HM_SERVICE_BYTES_MAX. */
int svc_read(struct span bytes, struct svc *ret_svc);
/* s must keep the rules above. */
void svc_write(struct buf *b, const struct svc *s);
/* Whether two are the same but for what checks change: health, text and is_expired. */
bool svc_same(const struct svc *a, const struct svc *b);

/* Walks tags, or meta: `rest` begins as s->tags or s->meta and shrinks. False behind the last. */
bool svc_tag_next(struct span *rest, struct span *ret_tag);
bool svc_meta_next(struct span *rest, struct span *ret_key, struct span *ret_value);
/* True if it has the tag; if it has the pair. */
bool svc_has_tag(const struct svc *s, struct span tag);
bool svc_has_meta(const struct svc *s, struct span key, struct span value);

/* Tags or pairs in any order, as they are stored: sorted (the arrays are), those that are there twice
 * once. Returns how many were written. */
size_t svc_tags_write(struct buf *b, struct span *tags, size_t count);
/* HM_EEXIST: a key is there twice. */
struct svc_pair {
    struct span key, value;
};
int svc_meta_write(struct buf *b, struct svc_pair *pairs, size_t count);

const char *svc_health_name(enum svc_health health);
/* HM_ENOTFOUND. */
int svc_health_of(struct span name, enum svc_health *ret_health);
const char *svc_source_name(enum svc_source source);

/* The key of a service: "svc/", the node's id, a slash, the service's id. Returns its bytes (at most
 * SVC_KEY_BYTES_MAX); an empty id gives the beginning of all of that node. */
struct node_id;
#define SVC_PREFIX "svc/"
#define SVC_KEY_BYTES_MAX (4 + 32 + 1 + HM_SERVICE_ID_BYTES_MAX)
size_t svc_key(const struct node_id *node, struct span id, uint8_t to[SVC_KEY_BYTES_MAX]);

#endif
