/* SPDX-License-Identifier: MPL-2.0 */
/* The part of the operation table that is about keys and the registry: see ops_spec.h. */
#include "base/err.h"
#include "base/limits.h"
#include "ops/ops_spec.h"

/* Tables read best with one entry a line. */
/* clang-format off */

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])

#define KEY_ARG                                                                                    \
    {.name = "key", .type = ARG_TEXT, .is_required = true, .position = 1, .min = 1,                \
     .max = HM_USER_KEY_BYTES_MAX, .value = "KEY",                                                 \
     .help = "the key: 1 to 512 bytes of UTF-8, by custom parts with slashes between, as dns/domain"}

#define PREFIX_ARG                                                                                 \
    {.name = "prefix", .type = ARG_TEXT, .position = 1, .min = 1, .max = HM_USER_KEY_BYTES_MAX,    \
     .value = "PREFIX", .help = "only keys that begin so; default: all"}

#define AFTER_ARG                                                                                  \
    {.name = "after", .type = ARG_TEXT, .is_hidden = true, .min = 1, .max = OPS_TEXT_BYTES_MAX,    \
     .value = "CURSOR", .help = "the field next of the page before"}

#define IF_VERSION_ARG(text)                                                                       \
    {.name = "if_version", .type = ARG_TEXT, .min = 1, .max = 24, .value = "V", .help = text}

static const struct op_arg put_args[] = {
    KEY_ARG,
    {.name = "value", .type = ARG_BYTES, .position = 2, .max = HM_VALUE_BYTES_MAX,
     .value = "VALUE",
     .help = "the value, at most 1 MiB; - or nothing: it is read from stdin, as it is. Of a "
             "counter: what is added, default 1"},
    {.name = "type", .type = ARG_TEXT, .min = 1, .max = 16, .value = "T",
     .help = "register (default): one value; set: VALUE becomes one of its elements; counter: "
             "VALUE is added"},
    IF_VERSION_ARG("write only if the register has this version here now, or is absent"),
    {.name = "file", .type = ARG_TEXT, .is_meshctls = true, .min = 1, .max = OPS_TEXT_BYTES_MAX,
     .value = "F", .help = "read the value from this file"},
};
static const struct op_arg get_args[] = {
    KEY_ARG,
    {.name = "at", .type = ARG_TEXT, .position = 2, .min = 1, .max = 24, .value = "VERSION",
     .help = "the value of that version, where a key has several (kv conflicts)"},
};
static const struct op_arg delete_args[] = {
    KEY_ARG,
    {.name = "element", .type = ARG_BYTES, .position = 2, .max = HM_VALUE_BYTES_MAX,
     .value = "ELEMENT", .help = "take only this element out of the set"},
    IF_VERSION_ARG("delete only if it has this version here now"),
};
static const struct op_arg list_args[] = {PREFIX_ARG, AFTER_ARG};
static const struct op_arg resolve_args[] = {
    KEY_ARG,
    {.name = "keep", .type = ARG_TEXT, .position = 2, .min = 1, .max = 24, .value = "VERSION",
     .help = "keep the value of this version (kv conflicts); default: the one that is shown"},
    {.name = "value", .type = ARG_BYTES, .max = HM_VALUE_BYTES_MAX, .value = "V",
     .help = "put this value instead of all"},
};

static const struct op_arg watch_args[] = {
    PREFIX_ARG,
    {.name = "since", .type = ARG_TEXT, .min = 1, .max = 40, .value = "PLACE",
     .help = "go on behind this change (its field since) instead of beginning with all there is"},
    {.name = "wait", .type = ARG_BOOL, .is_hidden = true, .value = "BOOL",
     .help = "when there is none yet, wait for the next one until the request's deadline"},
};
static const struct op_arg history_args[] = {KEY_ARG, AFTER_ARG};
static const struct op_arg inspect_args[] = {
    {.name = "key", .type = ARG_TEXT, .is_required = true, .position = 1, .min = 1,
     .max = HM_KEY_BYTES_MAX, .value = "KEY",
     .help = "the key; also one that is no user's, as it is stored: node/…, svc/…"},
    AFTER_ARG,
};
static const struct op_arg import_args[] = {
    {.name = "key", .type = ARG_TEXT, .is_hidden = true, .min = 1,
     .max = HM_USER_KEY_BYTES_MAX, .value = "KEY", .help = "the key"},
    {.name = "value", .type = ARG_BYTES, .is_hidden = true, .max = HM_VALUE_BYTES_MAX,
     .value = "VALUE", .help = "the value, an element, or what the counter's sum is to be"},
    {.name = "type", .type = ARG_TEXT, .is_hidden = true, .min = 1, .max = 16, .value = "T",
     .help = "register (default), set or counter"},
    {.name = "dry_run", .type = ARG_BOOL, .value = "BOOL",
     .help = "write nothing, only say what would be written"},
    {.name = "file", .type = ARG_TEXT, .is_meshctls = true, .position = 1, .min = 1,
     .max = OPS_TEXT_BYTES_MAX, .value = "FILE", .help = "what registry export wrote; - or nothing: stdin"},
};

#define FILE_ARG(text)                                                                             \
    {.name = "file", .type = ARG_TEXT, .is_meshctls = true, .position = 1,                         \
     .min = 1, .max = OPS_TEXT_BYTES_MAX, .value = "FILE", .help = text}
static const struct op_arg backup_args[] = {
    FILE_ARG("where to write it, on the machine of meshctl"),
    {.name = "after", .type = ARG_BYTES, .is_hidden = true, .max = 511, .value = "CURSOR",
     .help = "the field next of the page before"},
};
static const struct op_arg restore_args[] = {
    FILE_ARG("what backup wrote"),
    {.name = "entries", .type = ARG_BYTES, .is_hidden = true, .max = HM_REQUEST_BYTES_MAX - 4096,
     .value = "ENTRIES", .help = "some of its entries, as they are in a reply of backup"},
};

static const struct op_arg diff_args[] = {
    {.name = "other", .type = ARG_TEXT, .is_meshctls = true, .position = 1, .min = 1,
     .max = HM_NAME_BYTES_MAX, .value = "NODE", .help = "the other node: its name or id"},
};

#define WRITTEN_FIELDS                                                                             \
    {"origin", "BY", FIELD_TEXT, true, "name of the node that wrote it, its id if unknown"},       \
    {"origin_id", NULL, FIELD_ID, true, "its id"},                                                 \
    {"modified", "MODIFIED", FIELD_TIME, false, "by the clock of who wrote it"}

#define ITEM_FIELDS                                                                                \
    {"key", "KEY", FIELD_TEXT, false, "the key"},                                                  \
    {"type", "TYPE", FIELD_TEXT, false, "register, set, counter"},                                 \
    {"value", "VALUE", FIELD_VALUE, false,                                                         \
     "the value; of a set a list of its elements, of a counter its sum as text"},                  \
    {"cut", NULL, FIELD_BOOL, false, "the set has more elements than are listed"},                 \
    {"bytes", NULL, FIELD_UINT, false, "size of the value, of all elements"},                      \
    {"version", "VERSION", FIELD_TEXT, false, "opaque: another one after each write"},             \
    {"conflicts", "CONFLICTS", FIELD_UINT, false, "other values that stand beside the shown one"}, \
    WRITTEN_FIELDS

static const struct op_field put_fields[] = {
    {"key", NULL, FIELD_TEXT, false, "the key"},
    {"version", NULL, FIELD_TEXT, false, "the version that this write made"},
};
static const struct op_field get_fields[] = {
    ITEM_FIELDS,
    {"lamport", NULL, FIELD_UINT, false, "its Lamport version: higher than of all that its writer knew"},
};
static const struct op_field delete_fields[] = {
    {"key", NULL, FIELD_TEXT, false, "the key"},
};
static const struct op_field list_fields[] = {ITEM_FIELDS};
static const struct op_field list_around[] = {
    {"since", NULL, FIELD_TEXT, false, "where kv.watch goes on behind what this page shows"},
};
#define CHANGE_FIELDS                                                                              \
    {"op", "OP", FIELD_TEXT, false, "put or delete"},                                              \
    {"key", "KEY", FIELD_TEXT, false, "the key"},                                                  \
    {"type", NULL, FIELD_TEXT, false, "register, set, counter"},                                   \
    {"value", "VALUE", FIELD_VALUE, true, "as in kv.list; null when deleted"},                     \
    {"cut", NULL, FIELD_BOOL, false, "the set has more elements than are listed"},                 \
    {"version", "VERSION", FIELD_TEXT, false, "as in kv.list"},                                    \
    {"since", NULL, FIELD_TEXT, false, "the place of this change: what kv.watch goes on behind"},  \
    WRITTEN_FIELDS
static const struct op_field change_fields[] = {CHANGE_FIELDS};
static const struct op_field watch_around[] = {
    {"gap", NULL, FIELD_BOOL, false,
     "what came after `since` is not kept any more: read all by kv.list, then go on at `next`"},
};
static const struct op_field history_around[] = {
    {"since", NULL, FIELD_TEXT, false, "the newest change there is, of any key"},
};
static const struct op_field status_fields[] = {
    {"node", NULL, FIELD_TEXT, false, "name of the node that was asked"},
    {"hash", NULL, FIELD_HEX, false, "of all it holds and has seen: equal on nodes that agree"},
    {"entries", NULL, FIELD_UINT, false, "values, elements and shares, other ones in conflicts included"},
    {"tombstones", NULL, FIELD_UINT, false, "deletion marks that not all members have acknowledged"},
    {"bytes", NULL, FIELD_UINT, false, "of both, with their keys"},
    {"syncing", NULL, FIELD_BOOL, false,
     "a new store that has not agreed with another node yet: it may lack what others have"},
    {"synced", NULL, FIELD_BOOL, false, "it has agreed with another node in full, or began the mesh"},
    {"divergent_seconds", NULL, FIELD_UINT, false,
     "for how long a member that is up has had another hash; 0: all agree"},
    {"waiting_bytes", NULL, FIELD_UINT, false, "not on disk yet"},
    {"damaged", NULL, FIELD_BOOL, false, "its store was damaged: what is missing comes from others"},
    {"repairing_from", NULL, FIELD_TEXT, true, "the node that is asked for what is missing here"},
    {"lives", NULL, FIELD_UINT, false, "lives of nodes that wrote something"},
    {"changes", NULL, FIELD_UINT, false, "changes of what is shown since meshd started"},
    {"peers", NULL, FIELD_LIST, false, "members that are up, those that differ first, at most 256"},
    {"peers.node", NULL, FIELD_TEXT, false, "its name"},
    {"peers.id", NULL, FIELD_ID, false, "its id"},
    {"peers.hash", NULL, FIELD_HEX, true, "as it last told; null: not yet"},
    {"peers.agrees", NULL, FIELD_BOOL, true, "it is the same as here; null: not known yet"},
    {"peers.lag_ms", NULL, FIELD_UINT, false, "for how long it has been another; 0: it is not"},
    {"peers.linked", NULL, FIELD_BOOL, false, "a link to it is open"},
    {"peers.later", NULL, FIELD_BOOL, false,
     "it holds entries of a later format than this node reads: they come once this node is upgraded"},
};
static const struct op_field inspect_fields[] = {
    {"key", "KEY", FIELD_TEXT, false, "as it is stored; | stands before what is below a key"},
    {"type", "TYPE", FIELD_TEXT, false, "register, set (an element), counter (a share)"},
    {"deleted", NULL, FIELD_BOOL, false, "it is a deletion mark (a tombstone)"},
    {"value", "VALUE", FIELD_VALUE, true, "null: deleted, or larger than 4 KiB"},
    {"bytes", NULL, FIELD_UINT, false, "size of the value"},
    {"version", NULL, FIELD_TEXT, false, "its version"},
    {"dot", NULL, FIELD_OBJECT, false, "the name of the write"},
    {"dot.node", NULL, FIELD_TEXT, true, "who wrote it"},
    {"dot.id", NULL, FIELD_ID, true, "its id"},
    {"dot.boots", NULL, FIELD_UINT, false, "in which of its lives"},
    {"dot.random", NULL, FIELD_HEX, false, "that life's random bits"},
    {"dot.seq", NULL, FIELD_UINT, false, "as its how manieth write"},
    {"lamport", NULL, FIELD_UINT, false, "Lamport version"},
    {"context_count", NULL, FIELD_UINT, false, "length of the context"},
    {"context", NULL, FIELD_LIST, false,
     "what its writer had seen of the key, at most 64: objects like dot"},
    {"owner", NULL, FIELD_TEXT, true, "the only node that may write this key; null: all may"},
    {"signed", NULL, FIELD_BOOL, false, "it bears its owner's signature"},
    {"age_ms", NULL, FIELD_UINT, false, "by the clocks of who wrote it and of who is asked"},
    WRITTEN_FIELDS,
};
static const struct op_field export_fields[] = {
    {"key", NULL, FIELD_TEXT, false, "the key"},
    {"type", NULL, FIELD_TEXT, false, "register, set, counter"},
    {"value", NULL, FIELD_VALUE, false, "the value; of a set a list, of a counter its sum as text"},
    {"cut", NULL, FIELD_BOOL, false, "the set has more elements than are listed"},
};
static const struct op_field import_fields[] = {
    {"key", NULL, FIELD_TEXT, false, "the key"},
    {"written", NULL, FIELD_BOOL, false, "it was different, and is written (or would be)"},
};
static const struct op_field backup_fields[] = {
    {"mesh", NULL, FIELD_TEXT, false, "its mesh"},
    {"node", NULL, FIELD_TEXT, false, "name of the node that was asked"},
    {"time", NULL, FIELD_TIME, false, "its wall clock"},
    {"count", NULL, FIELD_UINT, false, "entries in this page"},
    {"entries", NULL, FIELD_VALUE, false, "they themselves, as a link's REG_PUSH has them"},
    {"next", NULL, FIELD_VALUE, true, "what to give as `after` for the next page; null: it was the last"},
};
static const struct op_field restore_fields[] = {
    {"taken", NULL, FIELD_UINT, false, "entries that were lacking, and are on disk now"},
    {"known", NULL, FIELD_UINT, false, "entries that are here, or were changed or deleted since"},
    {"refused", NULL, FIELD_UINT, false, "entries of nodes that are not in this mesh, and of a later format than is read here"},
};
static const struct op_field resolve_fields[] = {
    ITEM_FIELDS,
    {"written", NULL, FIELD_BOOL, false, "something was written; false: there was no conflict"},
};
static const struct op_field conflicts_fields[] = {
    {"key", "KEY", FIELD_TEXT, false, "the key"},
    {"values", NULL, FIELD_LIST, false, "all that stand beside each other, the shown one first"},
    {"values.type", NULL, FIELD_TEXT, false, "register, set, counter"},
    {"values.value", NULL, FIELD_VALUE, true,
     "the value; null: it is large: kv get KEY VERSION has it"},
    {"values.bytes", NULL, FIELD_UINT, false, "its size"},
    {"values.version", NULL, FIELD_TEXT, false, "its version, for kv resolve and kv get"},
    {"values.shown", NULL, FIELD_BOOL, false, "it is what kv get shows"},
    {"values.origin", NULL, FIELD_TEXT, true, "name of the node that wrote it"},
    {"values.origin_id", NULL, FIELD_ID, true, "its id"},
    {"values.modified", NULL, FIELD_TIME, false, "by the clock of who wrote it"},
};

static const struct op_field report_fields[] = {
    {"key", "KEY", FIELD_TEXT, false, "the key"},
    {"sides", NULL, FIELD_LIST, false, "writes that did not know of each other, the one that won first"},
    {"sides.won", NULL, FIELD_BOOL, false, "it is what is shown, on every node"},
    {"sides.op", NULL, FIELD_TEXT, false, "put or delete"},
    {"sides.value", NULL, FIELD_VALUE, true, "what was put; null: it is large, kv get KEY VERSION has it"},
    {"sides.bytes", NULL, FIELD_UINT, false, "its size"},
    {"sides.version", NULL, FIELD_TEXT, false, "its version, for kv resolve and kv get"},
    {"sides.origin", NULL, FIELD_TEXT, true, "name of the node that wrote it"},
    {"sides.origin_id", NULL, FIELD_ID, true, "its id"},
    {"sides.modified", NULL, FIELD_TIME, false, "by the clock of who wrote it"},
};

static const int errors_none[] = {0};
static const int errors_put[] = {HM_ESTALE, HM_EEXIST, HM_EFULL, HM_EBUSY, HM_EIO, HM_ETIMEDOUT, 0};
static const int errors_get[] = {HM_ENOTFOUND, 0};
static const int errors_delete[] = {HM_ENOTFOUND, HM_ESTALE, HM_EBUSY, HM_EIO, HM_ETIMEDOUT, 0};
static const int errors_list[] = {HM_EFULL, 0};

#define ARGS(a) .args = (a), .arg_count = COUNT_OF(a)
#define FIELDS(f) .fields = (f), .field_count = COUNT_OF(f)
#define AROUND(f) .around = (f), .around_count = COUNT_OF(f)
#define AT(op) [(op) - OPS_KV_FIRST]

const struct op_spec ops_spec_kv[] = {
    AT(OP_KV_PUT) = {
        .op = OP_KV_PUT, .name = "kv.put", .kind = OP_CALL, .role = ROLE_OPERATOR,
        .scope = SCOPE_NODE, ARGS(put_args), FIELDS(put_fields), .errors = errors_put,
        .summary = "write a value, add to a set or a counter",
        .help = "Writes a value under a key. Exit status 0 means that it is on the disk of the node "
                "asked; the other nodes get it at once, or when they are back. Any node may write "
                "at any time; what two wrote without knowing of each other is kept (kv conflicts).",
        .example = "meshctl kv put dns/domain home.example"},
    AT(OP_KV_GET) = {
        .op = OP_KV_GET, .name = "kv.get", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_NODE, ARGS(get_args), FIELDS(get_fields), .errors = errors_get,
        .summary = "print a value",
        .help = "Prints the value as it was put, byte by byte and without a line end, also on a "
                "terminal. Of a set each element on a line, of a counter its sum. Exit status 5 if "
                "there is no such key. --format=json shows all there is to know.",
        .example = "meshctl kv get dns/domain"},
    AT(OP_KV_DELETE) = {
        .op = OP_KV_DELETE, .name = "kv.delete", .kind = OP_CALL, .role = ROLE_OPERATOR,
        .scope = SCOPE_NODE, ARGS(delete_args), FIELDS(delete_fields), .errors = errors_delete,
        .summary = "delete a key, or an element of a set",
        .help = "Deletes a key, or takes one element out of a set. What another node writes at the "
                "same time, not knowing of it, stays. Exit status 5 if there is no such key.",
        .example = "meshctl kv delete dns/domain"},
    AT(OP_KV_LIST) = {
        .op = OP_KV_LIST, .name = "kv.list", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_NODE, ARGS(list_args), .items = "keys", FIELDS(list_fields),
        AROUND(list_around), .errors = errors_list,
        .summary = "keys with their values",
        .help = "Lists keys in the order of their bytes, with value, version, who wrote it and "
                "when. Long values are cut here, not in --format=json.",
        .example = "meshctl kv list dns/"},
    AT(OP_KV_CONFLICTS) = {
        .op = OP_KV_CONFLICTS, .name = "kv.conflicts", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_NODE, ARGS(list_args), .items = "keys", FIELDS(conflicts_fields),
        AROUND(list_around), .errors = errors_list,
        .summary = "keys with more than one value",
        .help = "Lists keys that nodes wrote without knowing of each other's write, with all their "
                "values: who wrote each, when, and which one is shown. It is the same everywhere. "
                "The next write of the key ends it; kv resolve is one, and ends it also where a set or "
                "a counter stands beside a value.",
        .example = "meshctl kv conflicts"},
    AT(OP_KV_RESOLVE) = {
        .op = OP_KV_RESOLVE, .name = "kv.resolve", .kind = OP_CALL, .role = ROLE_OPERATOR,
        .scope = SCOPE_NODE, ARGS(resolve_args), FIELDS(resolve_fields), .errors = errors_delete,
        .summary = "keep one of several values",
        .help = "Ends a conflict by one write that has seen all values: it keeps the one that is "
                "shown, or the one of VERSION, or puts a new one. Without a conflict nothing is "
                "written, unless there is --value.",
        .example = "meshctl kv resolve dns/domain"},
    AT(OP_KV_WATCH) = {
        .op = OP_KV_WATCH, .name = "kv.watch", .kind = OP_STREAM, .role = ROLE_VIEWER,
        .scope = SCOPE_NODE, .never_ends = true, ARGS(watch_args), .items = "changes",
        FIELDS(change_fields), AROUND(watch_around), .errors = errors_list,
        .summary = "what there is, then every change",
        .help = "Shows the keys as they are, then every change as it comes, without a gap, until it "
                "is stopped. When meshd restarts, or more changed at once than is kept, all is read "
                "again and what differs is shown. --format=json prints one change a line.",
        .example = "meshctl kv watch dns/"},
    AT(OP_KV_HISTORY) = {
        .op = OP_KV_HISTORY, .name = "kv.history", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_NODE, ARGS(history_args), .items = "changes", FIELDS(change_fields),
        AROUND(history_around), .errors = errors_list,
        .summary = "the last changes of a key",
        .help = "Lists what the node asked still knows of the changes of a key, oldest first: those "
                "since its meshd started, as long as they are among the last 4096 of all keys.",
        .example = "meshctl kv history dns/domain"},
    AT(OP_REGISTRY_STATUS) = {
        .op = OP_REGISTRY_STATUS, .name = "registry.status", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, FIELDS(status_fields), .errors = errors_none,
        .summary = "how full it is, and who has the same",
        .help = "Shows what this node's copy of the registry holds, and which members hold the "
                "same: equal hashes mean equal contents.",
        .example = "meshctl registry status"},
    AT(OP_REGISTRY_INSPECT) = {
        .op = OP_REGISTRY_INSPECT, .name = "registry.inspect", .kind = OP_CALL,
        .role = ROLE_VIEWER, .scope = SCOPE_NODE, ARGS(inspect_args), .items = "entries",
        FIELDS(inspect_fields), .errors = errors_get,
        .summary = "a key's entries as they are stored",
        .help = "Shows everything that is stored of a key: each value that stands beside others, "
                "elements and shares, deletion marks, who wrote each and what it had seen.",
        .example = "meshctl registry inspect dns/domain"},
    AT(OP_REGISTRY_DIFF) = {
        .op = OP_REGISTRY_DIFF, .name = "registry.diff", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_NODE, ARGS(diff_args), FIELDS(status_fields), .errors = errors_none,
        .summary = "keys that another node holds differently",
        .help = "Compares the keys of this node with those of another one, page by page: which only "
                "one of them has, and which are not the same. Nodes that can reach each other come "
                "together by themselves in seconds; this says what is still missing. Programs get "
                "what registry.status answers, and compare lists themselves.",
        .example = "meshctl registry diff nas1"},
    AT(OP_REGISTRY_REPORT) = {
        .op = OP_REGISTRY_REPORT, .name = "registry.report", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_NODE, ARGS(list_args), .items = "keys", FIELDS(report_fields),
        AROUND(list_around), .errors = errors_list,
        .summary = "what was written on both sides of a partition",
        .help = "Lists keys that were written, or deleted, by nodes that could not know of each other: "
                "what each wrote, when, which one won, and where the other is. It is the same on "
                "every node. The next write of a key takes it off the list; kv resolve is one, and does "
                "so also where a set or a counter stands beside a value.",
        .example = "meshctl registry report"},
    AT(OP_REGISTRY_EXPORT) = {
        .op = OP_REGISTRY_EXPORT, .name = "registry.export", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_NODE, ARGS(list_args), .items = "keys", FIELDS(export_fields),
        AROUND(list_around), .errors = errors_list,
        .summary = "all keys and values, as JSON lines",
        .help = "Prints keys with type and value, one JSON object a line: what registry import "
                "reads. Of conflicts the value that is shown.",
        .example = "meshctl registry export >registry.jsonl"},
    AT(OP_REGISTRY_IMPORT) = {
        .op = OP_REGISTRY_IMPORT, .name = "registry.import", .kind = OP_CALL, .role = ROLE_OPERATOR,
        .scope = SCOPE_NODE, ARGS(import_args), FIELDS(import_fields), .errors = errors_put,
        .summary = "write what differs from an export",
        .help = "Reads JSON lines and writes what is not so already: values that differ, elements "
                "that lack, counters to their sums. It deletes nothing.",
        .example = "meshctl registry import --dry-run registry.jsonl"},
    AT(OP_BACKUP) = {
        .op = OP_BACKUP, .name = "backup", .kind = OP_CALL, .role = ROLE_OPERATOR,
        .scope = SCOPE_NODE, ARGS(backup_args), FIELDS(backup_fields), .errors = errors_list,
        .summary = "write a copy of the registry to a file",
        .help = "Writes all entries of the registry of a running node to FILE: with their history of "
                "who had seen what, so that restore can merge them. Any node's copy is a copy of "
                "the whole mesh's registry. FILE appears whole or not at all.",
        .example = "meshctl backup homelab.backup"},
    AT(OP_RESTORE) = {
        .op = OP_RESTORE, .name = "restore", .kind = OP_CALL, .role = ROLE_ADMIN,
        .scope = SCOPE_NODE, ARGS(restore_args), FIELDS(restore_fields), .errors = errors_put,
        .summary = "bring back what the mesh has lost",
        .help = "Merges the entries of a backup into the registry of a running node, from where they "
                "go to all others. What was changed or deleted since stays so: to go back to old "
                "values, use registry export and import. All of FILE is checked before the first "
                "entry is sent.",
        .example = "meshctl restore homelab.backup"},
};

/* clang-format on */

const size_t ops_spec_kv_count = COUNT_OF(ops_spec_kv);
