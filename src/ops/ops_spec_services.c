/* SPDX-License-Identifier: MPL-2.0 */
/* The part of the operation table that is about services: see ops_spec.h. */
#include "base/err.h"
#include "base/limits.h"
#include "ops/ops_spec.h"

/* Tables read best with one entry a line. */
/* clang-format off */

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])

#define ID_ARG                                                                                     \
    {.name = "id", .type = ARG_TEXT, .is_required = true, .position = 1, .min = 1,                 \
     .max = HM_SERVICE_ID_BYTES_MAX, .value = "ID", .help = "the service's id on its node"}

#define FILTER_ARGS                                                                                \
    {.name = "name", .type = ARG_TEXT, .min = 1, .max = HM_NAME_BYTES_MAX, .value = "N",           \
     .help = "only those of this name"},                                                           \
    {.name = "tag", .type = ARG_TEXTS, .min = 1, .max = HM_SERVICE_TAG_BYTES_MAX, .value = "T",    \
     .help = "only those with this tag; several: with all of them"},                               \
    {.name = "version", .type = ARG_TEXT, .min = 1, .max = HM_SERVICE_VERSION_BYTES_MAX,           \
     .value = "V", .help = "only those of this version"},                                          \
    {.name = "node", .type = ARG_NODE, .min = 1, .max = HM_NAME_BYTES_MAX, .value = "NAME",        \
     .help = "only those of this node"},                                                           \
    {.name = "health", .type = ARG_TEXT, .min = 1, .max = 16, .value = "H",                        \
     .help = "only passing, warning or critical ones"},                                            \
    {.name = "meta", .type = ARG_PAIRS, .max = HM_SERVICE_META_VALUE_BYTES_MAX, .value = "K=V",    \
     .help = "only those with this metadata; several: with all of it"}

#define AFTER_ARG                                                                                  \
    {.name = "after", .type = ARG_TEXT, .is_hidden = true, .min = 1, .max = OPS_TEXT_BYTES_MAX,    \
     .value = "CURSOR", .help = "the field next of the page before"}

static const struct op_arg register_args[] = {
    {.name = "name", .type = ARG_TEXT, .is_required = true, .min = 1, .max = HM_NAME_BYTES_MAX,
     .value = "N", .help = "its name, as a host name: what it is found by"},
    {.name = "port", .type = ARG_UINT, .is_required = true, .min = 1, .max = 65535, .value = "P",
     .help = "the port that it listens on"},
    {.name = "id", .type = ARG_TEXT, .min = 1, .max = HM_SERVICE_ID_BYTES_MAX, .value = "ID",
     .help = "tells it from others of this node; default: the name, or name-port if another has that"},
    {.name = "address", .type = ARG_TEXT, .min = 1, .max = HM_SERVICE_ADDRESS_BYTES_MAX,
     .value = "A", .help = "where it is reached; default: the node's address, also a new one"},
    {.name = "version", .type = ARG_TEXT, .min = 1, .max = HM_SERVICE_VERSION_BYTES_MAX,
     .value = "V", .help = "its version"},
    {.name = "tag", .type = ARG_TEXTS, .min = 1, .max = HM_SERVICE_TAG_BYTES_MAX, .value = "T",
     .help = "a tag; may be given several times"},
    {.name = "meta", .type = ARG_PAIRS, .max = HM_SERVICE_META_VALUE_BYTES_MAX, .value = "K=V",
     .help = "metadata; may be given several times"},
    {.name = "ttl", .type = ARG_TIME, .min = 1000, .max = HM_SERVICE_TTL_MS_MAX, .value = "T",
     .help = "not refreshed for so long (10s, 5m) it turns critical; default: it needs no refresh"},
    {.name = "deregister_after", .type = ARG_TIME, .min = 1000, .max = HM_SERVICE_TTL_MS_MAX,
     .value = "T", .help = "not refreshed for so long it goes; default: 3 TTLs, at least a minute"},
    {.name = "source", .type = ARG_TEXT, .is_hidden = true, .min = 1, .max = 16, .value = "S",
     .help = "who registers it: command (default), program"},
};
static const struct op_arg deregister_args[] = {ID_ARG};
static const struct op_arg check_args[] = {
    ID_ARG,
    {.name = "text", .type = ARG_TEXT, .max = HM_SERVICE_TEXT_BYTES_MAX, .value = "TEXT",
     .help = "what was found, for people"},
};
static const struct op_arg list_args[] = {
    FILTER_ARGS,
    {.name = "near", .type = ARG_NODE, .min = 1, .max = HM_NAME_BYTES_MAX, .value = "NAME",
     .help = "those with the shortest round trip to this node first"},
    AFTER_ARG,
};
static const struct op_arg show_args[] = {
    {.name = "service", .type = ARG_TEXT, .is_required = true, .position = 1, .min = 1,
     .max = HM_SERVICE_ID_BYTES_MAX, .value = "ID|NAME", .help = "a service's id or name"},
    {.name = "node", .type = ARG_NODE, .min = 1, .max = HM_NAME_BYTES_MAX, .value = "NAME",
     .help = "only those of this node"},
    AFTER_ARG,
};
static const struct op_arg watch_args[] = {
    FILTER_ARGS,
    AFTER_ARG,
    {.name = "seen", .type = ARG_TEXT, .is_hidden = true, .min = 16, .max = 16, .value = "HEX",
     .help = "the field state of an earlier reply: nothing is listed if that is how it still is"},
    {.name = "wait", .type = ARG_BOOL, .is_hidden = true, .value = "BOOL",
     .help = "then wait until it is not, or until the request's deadline"},
};

#define SERVICE_FIELDS                                                                             \
    {"id", "ID", FIELD_TEXT, false, "tells it from others of its node"},                           \
    {"name", "NAME", FIELD_TEXT, false, "what it is found by"},                                    \
    {"version", "VERSION", FIELD_TEXT, false, "its version; empty if it has none"},                \
    {"address", "ADDRESS", FIELD_TEXT, false, "where it is reached: an IP address or a host name"},\
    {"port", "PORT", FIELD_UINT, false, "the port there"},                                         \
    {"tags", "TAGS", FIELD_LIST, false, "its tags, as texts"},                                     \
    {"meta", "META", FIELD_MAP, false, "its metadata"},                                            \
    {"node", "NODE", FIELD_TEXT, false, "name of the node that has it"},                           \
    {"health", "HEALTH", FIELD_TEXT, false, "passing, warning, critical"}

static const struct op_field list_fields[] = {SERVICE_FIELDS};
static const struct op_field watch_fields[] = {
    SERVICE_FIELDS,
    {"node_id", NULL, FIELD_ID, false, "id of that node: with the service's id it names the service"},
};
static const struct op_field show_fields[] = {
    SERVICE_FIELDS,
    {"node_id", NULL, FIELD_ID, false, "id of that node"},
    {"text", NULL, FIELD_TEXT, true, "what the last check said"},
    {"ttl_ms", NULL, FIELD_UINT, true, "it has to be refreshed so often; null: not at all"},
    {"deregister_after_ms", NULL, FIELD_UINT, true, "not refreshed for so long it goes; null: never"},
    {"expired", NULL, FIELD_BOOL, false, "it is critical because it was not refreshed"},
    {"source", NULL, FIELD_TEXT, false, "command, file, program"},
    {"file", NULL, FIELD_TEXT, true, "the file in services.d that says it"},
    {"since", NULL, FIELD_TIME, false, "when this was written, by its node's clock"},
    {"rtt_ms", NULL, FIELD_MS, true, "round trip from the node that was asked"},
};
static const struct op_field watch_around[] = {
    {"state", NULL, FIELD_HEX, false, "stands for all that matches: give it as `seen` to wait for another"},
    {"changed", NULL, FIELD_BOOL, false, "it is another than the one seen; if not, nothing is listed"},
    {"time", NULL, FIELD_TIME, false, "wall clock of the node that was asked"},
};
static const struct op_field done_fields[] = {
    {"id", NULL, FIELD_TEXT, false, "the service's id"},
    {"node", NULL, FIELD_TEXT, false, "name of the node that has it"},
};

static const int errors_filter[] = {HM_ENOTFOUND, HM_EAMBIGUOUS, 0};
static const int errors_register[] = {HM_EEXIST, HM_EFULL, HM_EBUSY, HM_EIO, HM_ETIMEDOUT, 0};
static const int errors_deregister[] = {HM_ENOTFOUND, HM_EEXIST, HM_EBUSY, HM_EIO, HM_ETIMEDOUT, 0};
static const int errors_check[] = {HM_ENOTFOUND, HM_EFULL, HM_EBUSY, HM_EIO, HM_ETIMEDOUT, 0};

#define ARGS(a) .args = (a), .arg_count = COUNT_OF(a)
#define FIELDS(f) .fields = (f), .field_count = COUNT_OF(f)
#define AROUND(f) .around = (f), .around_count = COUNT_OF(f)

#define CHECK_OP(which, word, what, says)                                                          \
    {.op = which, .name = "services." word, .kind = OP_CALL, .role = ROLE_OPERATOR,                \
     .scope = SCOPE_NODE, ARGS(check_args), FIELDS(done_fields), .errors = errors_check,           \
     .summary = what, .help = says, .example = "meshctl services " word " web --text=\"took 40 ms\""}

const struct op_spec ops_spec_services[] = {
    {.op = OP_SERVICES_REGISTER, .name = "services.register", .kind = OP_CALL,
     .role = ROLE_OPERATOR, .scope = SCOPE_NODE, ARGS(register_args), FIELDS(done_fields),
     .errors = errors_register,
     .summary = "tell the mesh of a service on this node",
     .help = "Registers a service of this node, or with --node of another one. It is stored, and "
             "found from every node as long as its own node is alive. The same once more changes "
             "nothing but refreshes its TTL. Options behind the words belong to the service: "
             "--version is the service's.",
     .example = "meshctl services register --name=web --port=8080 --tag=blue --ttl=30s"},
    {.op = OP_SERVICES_DEREGISTER, .name = "services.deregister", .kind = OP_CALL,
     .role = ROLE_OPERATOR, .scope = SCOPE_NODE, ARGS(deregister_args), FIELDS(done_fields),
     .errors = errors_deregister,
     .summary = "take a service of this node away",
     .help = "Removes a service that a command or a program has registered on this node. One that "
             "a file in services.d says is removed there.",
     .example = "meshctl services deregister web"},
    {.op = OP_SERVICES_LIST, .name = "services.list", .kind = OP_CALL, .role = ROLE_VIEWER,
     .scope = SCOPE_ALL, ARGS(list_args), .items = "services", FIELDS(list_fields),
     .errors = errors_filter,
     .summary = "the services of all nodes",
     .help = "Lists the services of all nodes that are alive, by name. Those of a failed node are "
             "not there, and back when it is. Written before the words, --node is which node is "
             "asked; behind them, whose services are listed.",
     .example = "meshctl services list --name=web --health=passing --near=nas1"},
    {.op = OP_SERVICES_SHOW, .name = "services.show", .kind = OP_CALL, .role = ROLE_VIEWER,
     .scope = SCOPE_ALL, ARGS(show_args), .items = "services", FIELDS(show_fields),
     .errors = errors_filter,
     .summary = "everything known about a service",
     .help = "Shows the services of this id or this name in full, with what their last check said "
             "and where they come from. Exit status 5 if there is none.",
     .example = "meshctl services show web"},
    {.op = OP_SERVICES_WATCH, .name = "services.watch", .kind = OP_CALL, .role = ROLE_VIEWER,
     .scope = SCOPE_NODE, ARGS(watch_args), .items = "services", FIELDS(watch_fields),
     AROUND(watch_around), .errors = errors_filter,
     .summary = "services as they are, then each change",
     .help = "Shows the services that match, then every change until it is interrupted: put for "
             "one that came or changed, delete for one that went, also because its node failed or "
             "came back. It goes on across restarts of meshd. With --format=json one object a line.",
     .example = "meshctl services watch --name=web --format=json"},
    CHECK_OP(OP_SERVICES_PASS, "pass", "a service of this node is well",
             "Says that a service of this node passes its check, and refreshes its TTL. Nothing is "
             "written to disk unless that is news; a new text alone is taken once a minute."),
    CHECK_OP(OP_SERVICES_WARN, "warn", "a service of this node needs attention",
             "Says that a service of this node works but needs attention, and refreshes its TTL."),
    CHECK_OP(OP_SERVICES_FAIL, "fail", "a service of this node does not work",
             "Says that a service of this node does not work, and refreshes its TTL. It stays "
             "listed, as critical."),
};

/* clang-format on */

const size_t ops_spec_services_count = COUNT_OF(ops_spec_services);

_Static_assert(COUNT_OF(ops_spec_services) == OP_SERVICES_FAIL - OP_SERVICES_REGISTER + 1,
               "each operation has its entry in the table");
