/* SPDX-License-Identifier: MPL-2.0 */
/* The operation table: everything that the mesh can be asked, declared once.
 *
 * Argument checks, dispatch, meshctl's commands and their help, and docs/reference come from it.
 * It holds no handlers, so clients link it. An operation "nodes.list" is the command "nodes
 * list". Names of operations, arguments and fields are public: added, never changed or removed. */
#ifndef HM_OPS_OPS_SPEC_H
#define HM_OPS_OPS_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(enum, function): one line per operation; the handler is ops_FUNCTION (ops_dispatch.c). */
/* Those about keys, described in ops_spec_kv.c. */
#define OPS_KV_LIST(X)                                                                             \
    X(OP_KV_PUT, kv_put)                                                                           \
    X(OP_KV_GET, kv_get)                                                                           \
    X(OP_KV_DELETE, kv_delete)                                                                     \
    X(OP_KV_LIST, kv_list)                                                                         \
    X(OP_KV_CONFLICTS, kv_conflicts)                                                               \
    X(OP_KV_RESOLVE, kv_resolve)                                                                   \
    X(OP_KV_WATCH, kv_watch)                                                                       \
    X(OP_KV_HISTORY, kv_history)                                                                   \
    X(OP_REGISTRY_STATUS, registry_status)                                                         \
    X(OP_REGISTRY_INSPECT, registry_inspect)                                                       \
    X(OP_REGISTRY_DIFF, registry_diff)                                                             \
    X(OP_REGISTRY_REPORT, registry_report)                                                         \
    X(OP_REGISTRY_EXPORT, registry_export)                                                         \
    X(OP_REGISTRY_IMPORT, registry_import)                                                         \
    X(OP_BACKUP, backup)                                                                           \
    X(OP_RESTORE, restore)

/* Those about the store, described in ops_spec_store.c. */
#define OPS_STORE_LIST(X)                                                                          \
    X(OP_STORE_STATUS, store_status)                                                               \
    X(OP_STORE_CHECK, store_check)                                                                 \
    X(OP_STORE_COMPACT, store_compact)

/* Those about services, described in ops_spec_services.c. */
#define OPS_SERVICES_LIST(X)                                                                       \
    X(OP_SERVICES_REGISTER, services_register)                                                     \
    X(OP_SERVICES_DEREGISTER, services_deregister)                                                 \
    X(OP_SERVICES_LIST, services_list)                                                             \
    X(OP_SERVICES_SHOW, services_show)                                                             \
    X(OP_SERVICES_WATCH, services_watch)                                                           \
    X(OP_SERVICES_PASS, services_pass)                                                             \
    X(OP_SERVICES_WARN, services_warn)                                                             \
    X(OP_SERVICES_FAIL, services_fail)

#define OPS_LIST(X)                                                                                \
    X(OP_STATUS, status)                                                                           \
    X(OP_NODES_LIST, nodes_list)                                                                   \
    X(OP_NODES_SHOW, nodes_show)                                                                   \
    X(OP_NODES_EVENTS, nodes_events)                                                               \
    X(OP_NODES_RENAME, nodes_rename)                                                               \
    X(OP_NODES_REMOVE, nodes_remove)                                                               \
    X(OP_EVENTS, events)                                                                           \
    OPS_KV_LIST(X)                                                                                 \
    OPS_SERVICES_LIST(X)                                                                           \
    X(OP_RTT, rtt)                                                                                 \
    X(OP_PEERS, peers)                                                                             \
    X(OP_DOCTOR, doctor)                                                                           \
    X(OP_LIMITS, limits)                                                                           \
    OPS_STORE_LIST(X)                                                                              \
    X(OP_LEAVE, leave)                                                                             \
    X(OP_TOKEN, token)                                                                             \
    X(OP_METRICS, metrics)                                                                         \
    X(OP_VERSION, version)

enum op {
#define OPS_ENUM(op, function) op,
    OPS_LIST(OPS_ENUM)
#undef OPS_ENUM
        OP_COUNT
};

enum op_kind {
    OP_CALL,   /* one request, one reply */
    OP_STREAM, /* a list that goes on: asked again from `next` on, and may wait for more */
    OP_ASYNC,  /* starts something that is asked about later */
};

/* Who may ask. Each role includes those before it. Whoever reaches the local socket is an admin. */
enum op_role { ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };

enum op_scope {
    SCOPE_LOCAL, /* answered only to clients of this node's own socket */
    SCOPE_NODE,  /* this node, or another one through it */
    SCOPE_ALL,   /* also every node at once */
};

enum arg_type {
    ARG_NODE, /* name, id or unique beginning of an id */
    ARG_TEXT,
    ARG_UINT,
    ARG_BOOL,
    ARG_BYTES, /* a value: any bytes; a word of the command line as it is */
    ARG_TEXTS, /* a list of texts; an option that may be given several times */
    ARG_PAIRS, /* a map of texts to texts; likewise, K=V */
    ARG_TIME,  /* milliseconds, or a text like 500ms, 10s, 5m, 2h, 7d */
};

#define OPS_ARGS_MAX 10        /* of one operation */
#define OPS_WORDS_MAX 32       /* texts of one list, pairs of one map */
#define OPS_TEXT_BYTES_MAX 703 /* of a text argument: a cursor is a record's key in base64 */

struct op_arg {
    const char *name;
    enum arg_type type;
    bool is_required;
    bool is_hidden;    /* for programs: meshctl uses it itself and does not offer it */
    bool is_meshctls;  /* the other way round: meshctl acts upon it and does not send it */
    unsigned position; /* 1, 2, …: a word after the command; 0: an option --name */
    uint64_t min, max; /* ARG_UINT, ARG_TIME: bounds; texts and bytes: bounds of their length in bytes */
    uint64_t def;      /* ARG_UINT, ARG_BOOL: value when it is not given */
    const char *value; /* what stands for the value in help: "SEQ" */
    const char *help;
};

enum field_type {
    FIELD_TEXT,
    FIELD_ID,      /* 32 hex digits */
    FIELD_HEX,     /* a 64-bit number as 16 hex digits, too large for JSON numbers */
    FIELD_ADDRESS, /* ip:port, [ip]:port */
    FIELD_STATUS,  /* alive, suspect, failed, left */
    FIELD_TIME,    /* RFC 3339, UTC, milliseconds */
    FIELD_UINT,
    FIELD_NUMBER,
    FIELD_BOOL,
    FIELD_MS,  /* number, milliseconds */
    FIELD_MAP, /* text to text */
    FIELD_OBJECT,
    FIELD_LIST,
    FIELD_VALUE, /* text, or bytes where it is no UTF-8: {"base64": …} in JSON */
};

struct op_field {
    const char *name;   /* as in the reply; "a.b" is field b of the object, or of each object in the
                           list, a */
    const char *header; /* of the column in a table, NULL: not a column */
    enum field_type type;
    bool is_nullable;
    const char *help;
};

struct op_spec {
    enum op op;
    const char *name;
    enum op_kind kind;
    enum op_role role;
    enum op_scope scope;
    bool never_ends; /* OP_STREAM: meshctl always follows it */
    const struct op_arg *args;
    size_t arg_count;
    /* The reply is an object. For a list, `items` names the field that holds the objects and
     * `fields` describes one of those; `next` beside it is where the next page begins, nil if
     * there is none. */
    const char *items;
    const struct op_field *fields;
    size_t field_count;
    const struct op_field *around; /* other fields beside `items` */
    size_t around_count;
    const int *errors; /* HM_E* it can answer, beyond those of every call; ends with 0 */
    const char *summary;
    const char *help;
    const char *example;
};

/* The part of the table that is about keys, from OP_KV_PUT on. */
#define OPS_KV_FIRST OP_KV_PUT
extern const struct op_spec ops_spec_kv[];
extern const size_t ops_spec_kv_count;
/* And the one about the store. */
#define OPS_STORE_FIRST OP_STORE_STATUS
extern const struct op_spec ops_spec_store[];
extern const size_t ops_spec_store_count;

/* The part that is about services. */
#define OPS_SERVICES_FIRST OP_SERVICES_REGISTER
extern const struct op_spec ops_spec_services[];
extern const size_t ops_spec_services_count;

/* Never NULL. */
const struct op_spec *ops_spec(enum op op);
/* NULL: no such operation. */
const struct op_spec *ops_spec_find(const char *name);
/* The operation's name nearest to a wrong one, NULL if none is near. */
const char *ops_spec_nearest(const char *name);

const char *op_kind_name(enum op_kind kind);
const char *op_role_name(enum op_role role);
const char *op_scope_name(enum op_scope scope);
const char *arg_type_name(enum arg_type type);
const char *field_type_name(enum field_type type);

#endif
