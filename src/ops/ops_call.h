/* SPDX-License-Identifier: MPL-2.0 */
/* What a handler of an operation gets, and the prototypes of all of them. Internal to ops. */
#ifndef HM_OPS_OPS_CALL_H
#define HM_OPS_OPS_CALL_H

#include "core/core.h"
#include "ops/ops_args.h"
#include "ops/ops_dispatch.h"
#include "ops/ops_spec.h"

struct ops_call {
    const struct ops_env *env;
    const struct op_spec *spec;
    const struct op_values *args; /* checked */
    core_t *core;
    bool is_last;               /* waiting is no longer possible */
    struct buf *reply;          /* the handler appends one msgpack value */
    struct call_result *result; /* HM_OK when the handler is called */
};

#define OPS_PROTOTYPE(op, function) void ops_##function(struct ops_call *call);
OPS_LIST(OPS_PROTOTYPE)
#undef OPS_PROTOTYPE

/* Sets code and text; the text is cut if too long. */
void ops_fail(struct ops_call *call, int code, const char *format, ...);
/* The argument "node" as a member: HM_OK, or the call has failed with a text that helps. */
int ops_find_node(struct ops_call *call, struct member_view *ret_view);
/* The same of another argument. */
int ops_find_node_arg(struct ops_call *call, const char *arg, struct member_view *ret_view);
/* The member of that id: HM_OK or HM_ENOTFOUND. */
int ops_find_id(const core_t *core, const struct node_id *id, struct member_view *ret_view);

/* Pieces of replies. */
void ops_put_str(struct buf *b, const char *key, const char *value);
void ops_put_str_or_nil(struct buf *b, const char *key, const char *value); /* "" is nil */
void ops_put_uint(struct buf *b, const char *key, uint64_t value);
void ops_put_bool(struct buf *b, const char *key, bool value);
void ops_put_id(struct buf *b, const char *key, const struct node_id *id);
void ops_put_hex(struct buf *b, const char *key, uint64_t value);
void ops_put_addr(struct buf *b, const char *key, const struct addr *addr);
void ops_put_time(struct buf *b, const char *key, uint64_t wall_ms);
void ops_put_ms(struct buf *b, const char *key, uint64_t ns); /* 0 is nil */
/* Name of the node of that id, the id itself if it has none here, nil for the zero id. */
void ops_put_node_name(struct buf *b, const char *key, const core_t *core,
                       const struct node_id *id);
/* A text that a stranger chose, as a value: what is no clean UTF-8 becomes '?'. */
void ops_put_foreign(struct buf *b, struct span text);
void ops_put_id_or_nil(struct buf *b, const char *key, const struct node_id *id);

/* A list that may be longer than a reply: objects are added until one does not fit, or the page has
 * HM_CHUNK_BYTES_MAX. A first object that is larger still is taken as far as a reply can hold it. */
struct ops_page {
    struct buf items;
    size_t bytes_max;
    size_t count;
    size_t start; /* where the object that is being written began */
    bool is_full;
};

/* Room for around_bytes of other fields is kept free in the reply. */
void ops_page_init(struct ops_page *page, const struct buf *reply, size_t around_bytes);
void ops_page_fini(struct ops_page *page);
/* An object is written to page->items between these. end: false if it did not fit and was
 * dropped. */
struct buf *ops_page_begin(struct ops_page *page);
bool ops_page_end(struct ops_page *page);
/* Writes key and list. */
void ops_page_write(const struct ops_page *page, struct buf *b, const char *key);

#endif
