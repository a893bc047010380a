/* SPDX-License-Identifier: MPL-2.0 */
/* The operation table: see ops_spec.h. */
#include "ops/ops_spec.h"

#include "base/err.h"
#include "base/limits.h"
#include "base/text.h"

#include <string.h>

/* Tables read best with one entry a line. */
/* clang-format off */

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])

#define NODE_ARG(required, text)                                                                   \
    {.name = "node", .type = ARG_NODE, .is_required = (required), .position = 1, .min = 1,         \
     .max = HM_NAME_BYTES_MAX, .value = "NAME", .help = text}

#define SINCE_ARG                                                                                  \
    {.name = "since", .type = ARG_UINT, .max = INT64_MAX, .value = "SEQ",                          \
     .help = "only events after this number (the field seq); default: all that are kept"}

#define WAIT_ARG                                                                                   \
    {.name = "wait", .type = ARG_BOOL, .is_hidden = true, .value = "BOOL",                         \
     .help = "when there is none yet, wait for the next one until the request's deadline"}

static const struct op_arg nodes_list_args[] = {
    {.name = "after", .type = ARG_TEXT, .is_hidden = true, .min = 1, .max = OPS_TEXT_BYTES_MAX,
     .value = "CURSOR", .help = "the field next of the page before"},
};
static const struct op_arg nodes_show_args[] = {
    NODE_ARG(true, "the node: its name, its id, or the beginning of its id"),
};
static const struct op_arg nodes_events_args[] = {
    NODE_ARG(false, "only events of this node: its name, its id, or the beginning of its id"),
    SINCE_ARG,
    WAIT_ARG,
};
static const struct op_arg nodes_rename_args[] = {
    {.name = "name", .type = ARG_TEXT, .is_required = true, .position = 1, .min = 1,
     .max = HM_NAME_BYTES_MAX, .value = "NEW",
     .help = "its new name: a-z, 0-9 and -, as a host name"},
};
static const struct op_arg nodes_remove_args[] = {
    NODE_ARG(true, "the node: its name, its id, or the beginning of its id"),
    {.name = "yes", .type = ARG_BOOL, .value = "BOOL",
     .help = "remove it although it is alive"},
};
static const struct op_arg events_args[] = {SINCE_ARG, WAIT_ARG};
static const struct op_arg rtt_args[] = {
    NODE_ARG(true, "the node at the other end; with TO the one at this end"),
    {.name = "to", .type = ARG_NODE, .position = 2, .min = 1, .max = HM_NAME_BYTES_MAX,
     .value = "TO", .help = "the node at the other end; then NAME is asked"},
};

static const struct op_field status_fields[] = {
    {"mesh", NULL, FIELD_TEXT, false, "name of the mesh"},
    {"id", NULL, FIELD_ID, false, "this node's id"},
    {"name", NULL, FIELD_TEXT, false, "this node's name"},
    {"version", NULL, FIELD_TEXT, false, "of its meshd"},
    {"address", NULL, FIELD_ADDRESS, true, "where it is reached; null until it knows"},
    {"link_port", NULL, FIELD_UINT, false, "TCP port of its links"},
    {"time", NULL, FIELD_TIME, false, "its wall clock"},
    {"uptime_ms", NULL, FIELD_UINT, false, "since its meshd started"},
    {"incarnation", NULL, FIELD_UINT, false, "SWIM's incarnation number"},
    {"boot_epoch", NULL, FIELD_HEX, false, "number of this life of the node"},
    {"view", NULL, FIELD_HEX, false, "hash of its member list; equal on nodes that agree"},
    {"members", NULL, FIELD_OBJECT, false, "how many there are, itself included"},
    {"members.alive", NULL, FIELD_UINT, false, "answering"},
    {"members.suspect", NULL, FIELD_UINT, false, "not answering, not yet given up"},
    {"members.failed", NULL, FIELD_UINT, false, "gone without a word"},
    {"members.left", NULL, FIELD_UINT, false, "gone as planned"},
    {"absent", NULL, FIELD_LIST, false, "suspect and failed members, at most 16"},
    {"absent.name", NULL, FIELD_TEXT, false, "its name"},
    {"absent.id", NULL, FIELD_ID, false, "its id"},
    {"absent.status", NULL, FIELD_STATUS, false, "suspect or failed"},
    {"absent.since", NULL, FIELD_TIME, false, "since when"},
    {"health", NULL, FIELD_UINT, false, "Lifeguard's local health score: 0 is healthy"},
    {"health_max", NULL, FIELD_UINT, false, "the worst score"},
    {"links", NULL, FIELD_UINT, false, "open links to other nodes"},
    {"leaving", NULL, FIELD_BOOL, false, "it is about to leave and end"},
    {"store_failed", NULL, FIELD_BOOL, false, "its last write to disk failed"},
    {"isolated", NULL, FIELD_BOOL, false, "nobody answers it: the fault is its own"},
    {"aside", NULL, FIELD_BOOL, false, "it keeps out of the mesh: another process has its identity"},
    {"removed", NULL, FIELD_BOOL, false, "it was removed from the mesh and says nothing any more"},
    {"foreign_key", NULL, FIELD_OBJECT, true, "a mesh of this name with another key, heard lately"},
    {"foreign_key.address", NULL, FIELD_ADDRESS, true, "where it was heard"},
    {"foreign_key.ago_ms", NULL, FIELD_UINT, false, "how long ago"},
    {"problems", NULL, FIELD_LIST, false, "what somebody should look at, worst first"},
    {"problems.code", NULL, FIELD_TEXT, false,
     "removed, isolated, same-identity, store-failed, foreign-key, same-name, path, members-failed, members-suspect, slow, leaving"},
    {"problems.text", NULL, FIELD_TEXT, false, "what is wrong"},
    {"problems.mend", NULL, FIELD_TEXT, true, "what mends it"},
    {"problems.node", NULL, FIELD_TEXT, true, "the one other node that it is about"},
};

#define NODE_FIELDS                                                                                \
    {"id", NULL, FIELD_ID, false, "hash of its public key"},                                       \
    {"name", "NAME", FIELD_TEXT, false, "a label; the second node of one name is NAME~2"},         \
    {"address", "ADDRESS", FIELD_ADDRESS, true,                                                    \
     "where it was last reached; if that is link-local, another that it has told, if any"},        \
    {"status", "STATUS", FIELD_STATUS, false, "what SWIM says of it"},                             \
    {"labels", "LABELS", FIELD_MAP, false, "its own and the detected ones"},                       \
    {"version", NULL, FIELD_TEXT, false, "of its meshd; empty while not known"},                   \
    {"rtt_ms", "RTT", FIELD_MS, true, "round trip from the node that was asked"},                  \
    {"since", "SINCE", FIELD_TIME, false, "when it came to this status"},                          \
    {"self", NULL, FIELD_BOOL, false, "it is the node that was asked"},                            \
    {"reason", NULL, FIELD_TEXT, true, "why it is in this status"},                                \
    {"observer", NULL, FIELD_TEXT, true, "name of the node that saw it"},                          \
    {"incarnation", NULL, FIELD_UINT, false, "SWIM's incarnation number"},                         \
    {"last_heard_ms", NULL, FIELD_UINT, true, "how long ago it was last heard"},                   \
    {"linked", NULL, FIELD_BOOL, false, "a link to it is open"},                                    \
    {"copied", NULL, FIELD_BOOL, false, "two processes with its identity were seen lately"},           \
    {"path", NULL, FIELD_TEXT, true, "how its probes are answered: direct, relayed, link"},      \
    {"reached_at", NULL, FIELD_ADDRESS, true, "the link-local address at which it is reached instead"}

static const struct op_field nodes_list_fields[] = {NODE_FIELDS};
static const struct op_field nodes_show_fields[] = {
    NODE_FIELDS,
    {"observer_id", NULL, FIELD_ID, true, "id of the node that saw it"},
    {"estimate_ms", NULL, FIELD_MS, true, "round trip by network coordinates"},
};
static const struct op_field nodes_list_around[] = {
    {"time", NULL, FIELD_TIME, false, "wall clock of the node that was asked"},
    {"members", NULL, FIELD_UINT, false, "length of the whole list"},
};

static const struct op_field event_fields[] = {
    {"time", "TIME", FIELD_TIME, false, "wall clock of the node that was asked, then"},
    {"type", "EVENT", FIELD_TEXT, false,
     "node.alive, node.suspect, node.failed, node.left, node.updated, node.removed, node.notice"},
    {"node", "NODE", FIELD_TEXT, false, "name of the node that changed"},
    {"id", NULL, FIELD_ID, false, "its id"},
    {"observer", "SEEN BY", FIELD_TEXT, true, "name of the node that saw it, its id if unknown"},
    {"reason", "REASON", FIELD_TEXT, true,
     "joined, refuted, recovered, no-ack, refused, left, updated, remembered, removed; of notices: "
     "path-direct, path-relayed, path-link, isolated, reaches, same-name, same-identity, version, diverged"},
    {"seq", "SEQ", FIELD_UINT, false, "rises on each node, also across restarts"},
    {"observer_id", NULL, FIELD_ID, true, "id of the node that saw it"},
    {"observer_health", NULL, FIELD_UINT, true,
     "local health score of the observer then: 0 is healthy; null if it did not say"},
    {"tried", "TRIED", FIELD_TEXT, true,
     "what the observer tried in vain: direct, helpers, its link; or that its connects were refused"},
    {"incarnation", NULL, FIELD_UINT, false, "SWIM's incarnation number"},
};
static const struct op_field events_around[] = {
    {"last", NULL, FIELD_UINT, false, "number of the newest event there is"},
    {"asked", NULL, FIELD_ID, false, "id of the node whose numbers these are"},
};

static const struct op_field rename_fields[] = {
    {"mesh", NULL, FIELD_TEXT, false, "its mesh"},
    {"name", NULL, FIELD_TEXT, false, "the new name, stored"},
    {"id", NULL, FIELD_ID, false, "the node that has it"},
    {"given", NULL, FIELD_TEXT, true,
     "the name that its start was given (--name, MESHD_NAME, meshd.yaml): it wins at the next start"},
};

static const struct op_field remove_fields[] = {
    {"mesh", NULL, FIELD_TEXT, false, "the mesh that it was removed from"},
    {"name", NULL, FIELD_TEXT, false, "the name that it had"},
    {"id", NULL, FIELD_ID, false, "its id, which is taken by nobody any more"},
    {"by", NULL, FIELD_TEXT, false, "name of the node that removed it"},
    {"time", NULL, FIELD_TIME, false, "wall clock of that node then"},
    {"warning", NULL, FIELD_TEXT, false, "what a removal does not do"},
};

static const struct op_field rtt_fields[] = {
    {"from", NULL, FIELD_TEXT, false, "name of the node at this end"},
    {"from_id", NULL, FIELD_ID, false, "its id"},
    {"node", NULL, FIELD_TEXT, false, "name of the other node"},
    {"id", NULL, FIELD_ID, false, "its id"},
    {"address", NULL, FIELD_ADDRESS, true, "where it was last reached"},
    {"status", NULL, FIELD_STATUS, false, "what SWIM says of it"},
    {"rtt_ms", NULL, FIELD_MS, true, "least of the last measured ones, else the estimate; as in nodes list"},
    {"estimate_ms", NULL, FIELD_MS, true, "round trip by network coordinates"},
    {"min_ms", NULL, FIELD_MS, true, "least of the samples"},
    {"avg_ms", NULL, FIELD_MS, true, "mean of the samples"},
    {"max_ms", NULL, FIELD_MS, true, "largest of the samples"},
    {"samples_ms", NULL, FIELD_LIST, false,
     "the last measured round trips, newest first; none if the node asked is neither end"},
};

static const struct op_field peers_fields[] = {
    {"id", "UUID", FIELD_ID, false, "its UUID"},
    {"name", "NAME", FIELD_TEXT, true, "what it calls itself"},
    {"address", "ADDRESS", FIELD_ADDRESS, false, "its mailbox"},
    {"mesh", NULL, FIELD_TEXT, true, "the mesh, if it is a meshd that cannot be reached otherwise"},
    {"groups", "GROUPS", FIELD_LIST, false, "groups it is in, as texts"},
    {"headers", "HEADERS", FIELD_MAP, false, "what it says of itself"},
    {"is_cut", NULL, FIELD_BOOL, false, "it has more groups and headers than are kept"},
    {"since", "SINCE", FIELD_TIME, false, "when it said hello"},
    {"last_heard_ms", "HEARD", FIELD_UINT, false, "how long ago it was last heard"},
};

static const struct op_arg doctor_args[] = {
    {.name = "knock", .type = ARG_BOOL, .is_hidden = true, .value = "BOOL",
     .help = "first send a beacon and a datagram to each of the others, for them to see; measure the "
             "disk"},
};
static const struct op_field doctor_fields[] = {
    {"check", "CHECK", FIELD_TEXT, false, "what was looked at"},
    {"status", "STATUS", FIELD_TEXT, false, "ok, warn or fail"},
    {"node", "NODE", FIELD_TEXT, true, "name of the node it is about; null: the mesh"},
    {"text", "TEXT", FIELD_TEXT, false, "what was found"},
    {"fix", NULL, FIELD_TEXT, true, "what to do about it"},
};
static const struct op_field doctor_around[] = {
    {"node", NULL, FIELD_TEXT, false, "name of the node that was asked"},
    {"id", NULL, FIELD_ID, false, "its id"},
    {"version", NULL, FIELD_TEXT, false, "of its meshd"},
    {"time", NULL, FIELD_TIME, false, "its wall clock"},
    {"view", NULL, FIELD_HEX, false, "hash of its member list"},
    {"networks", NULL, FIELD_LIST, false, "broadcast addresses that it beacons to, as texts"},
    {"addresses", NULL, FIELD_LIST, false, "its own addresses in use, and those of the last 30 s, as texts"},
    {"beacons", NULL, FIELD_LIST, false, "beacons of members that it heard"},
    {"beacons.id", NULL, FIELD_ID, false, "whose"},
    {"beacons.address", NULL, FIELD_ADDRESS, false, "from where"},
    {"beacons.interface", NULL, FIELD_TEXT, true, "on which it came in"},
    {"beacons.ago_ms", NULL, FIELD_UINT, false, "how long ago the last one came"},
    {"beacons.first_ms", NULL, FIELD_UINT, false, "how long they have been coming"},
    {"pairs", NULL, FIELD_LIST, false, "what it sees of the others, at most 64 of them"},
    {"pairs.id", NULL, FIELD_ID, false, "the other's id"},
    {"pairs.name", NULL, FIELD_TEXT, false, "its name"},
    {"pairs.status", NULL, FIELD_STATUS, false, "its status"},
    {"pairs.arrived_ms", NULL, FIELD_UINT, true, "how long ago a datagram of it came in"},
    {"pairs.knocked", NULL, FIELD_UINT, false, "pings sent to it for doctor lately"},
    {"pairs.answers", NULL, FIELD_UINT, false, "of these, answered"},
    {"pairs.knocked_large", NULL, FIELD_UINT, false, "the same, as large as datagrams become"},
    {"pairs.answers_large", NULL, FIELD_UINT, false, "of these, answered alike"},
    {"pairs.rtt_ms", NULL, FIELD_MS, true, "round trip to it"},
    {"pairs.linked", NULL, FIELD_BOOL, false, "a link to it is open"},
    {"pairs.path", NULL, FIELD_TEXT, true, "how it answers: direct, relayed, link"},
};

static const struct op_field limits_fields[] = {
    {"name", "LIMIT", FIELD_TEXT, false, "what is bounded"},
    {"value", "VALUE", FIELD_UINT, false, "the bound"},
    {"unit", "UNIT", FIELD_TEXT, false, "bytes, members, links, …"},
    {"help", "MEANING", FIELD_TEXT, false, "what the bound is for"},
};

static const struct op_field leave_fields[] = {
    {"mesh", NULL, FIELD_TEXT, false, "the mesh that is left"},
    {"name", NULL, FIELD_TEXT, false, "the node that leaves"},
    {"id", NULL, FIELD_ID, false, "its id"},
    {"leaving", NULL, FIELD_BOOL, false, "always true"},
};

static const struct op_field token_fields[] = {
    {"token", NULL, FIELD_TEXT, false, "secret: whoever has it can join the mesh"},
};

static const struct op_field metrics_fields[] = {
    {"name", "METRIC", FIELD_TEXT, false, "as Prometheus sees it"},
    {"type", NULL, FIELD_TEXT, false, "counter or gauge"},
    {"help", NULL, FIELD_TEXT, false, "what it counts"},
    {"labels", NULL, FIELD_MAP, false, "tells apart values of one name"},
    {"value", "VALUE", FIELD_NUMBER, false, "since the start of meshd, or now"},
};

static const struct op_field version_fields[] = {
    {"version", NULL, FIELD_TEXT, false, "of the meshd that was asked"},
    {"protocol", NULL, FIELD_UINT, false, "version of the protocol between nodes that it speaks"},
    {"protocol_min", NULL, FIELD_UINT, false, "the oldest one that it understands"},
    {"mesh", NULL, FIELD_TEXT, false, "its mesh"},
    {"name", NULL, FIELD_TEXT, false, "its name"},
    {"id", NULL, FIELD_ID, false, "its id"},
};

static const int errors_none[] = {0};
static const int errors_node[] = {HM_ENOTFOUND, HM_EAMBIGUOUS, 0};
static const int errors_rename[] = {HM_EEXIST, HM_EBUSY, HM_ETIMEDOUT, 0};
static const int errors_remove[] = {HM_ENOTFOUND, HM_EAMBIGUOUS, HM_EDENIED, HM_EBUSY, HM_EIO,
                                    HM_ETIMEDOUT, 0};
static const int errors_token[] = {HM_EDENIED, HM_EIO, 0};

#define ARGS(a) .args = (a), .arg_count = COUNT_OF(a)
#define FIELDS(f) .fields = (f), .field_count = COUNT_OF(f)
#define AROUND(f) .around = (f), .around_count = COUNT_OF(f)

static const struct op_spec table[] = {
    [OP_STATUS] = {
        .op = OP_STATUS, .name = "status", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, FIELDS(status_fields), .errors = errors_none,
        .summary = "how this node and its mesh are",
        .help = "Shows the mesh, this node, how many members are alive, suspect, failed and "
                "left, and everything that needs a person, with the command that mends it.",
        .example = "meshctl status"},
    [OP_NODES_LIST] = {
        .op = OP_NODES_LIST, .name = "nodes.list", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, ARGS(nodes_list_args), .items = "nodes", FIELDS(nodes_list_fields),
        AROUND(nodes_list_around), .errors = errors_none,
        .summary = "who is in the mesh, how well, how far away",
        .help = "Lists every node of the mesh, sorted by name. A node is alive, suspect (it "
                "does not answer, and others are checking), failed (gone without a word) or "
                "left (gone as planned). A failed node stays listed until it is back.",
        .example = "meshctl nodes list"},
    [OP_NODES_SHOW] = {
        .op = OP_NODES_SHOW, .name = "nodes.show", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, ARGS(nodes_show_args), FIELDS(nodes_show_fields),
        .errors = errors_node,
        .summary = "everything known about one node",
        .help = "Shows one node in full: its id, address, labels, and who saw it come to its "
                "present status and why.",
        .example = "meshctl nodes show nas1"},
    [OP_NODES_EVENTS] = {
        .op = OP_NODES_EVENTS, .name = "nodes.events", .kind = OP_STREAM, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, ARGS(nodes_events_args), .items = "events", FIELDS(event_fields),
        AROUND(events_around), .errors = errors_node,
        .summary = "what happened to one node",
        .help = "Lists what happened to one node, oldest first: when it came, was suspected, "
                "failed or left, who saw it and why. Without NAME: to all of them.",
        .example = "meshctl nodes events nas1"},
    [OP_NODES_RENAME] = {
        .op = OP_NODES_RENAME, .name = "nodes.rename", .kind = OP_CALL, .role = ROLE_ADMIN,
        .scope = SCOPE_NODE, ARGS(nodes_rename_args), FIELDS(rename_fields),
        .errors = errors_rename,
        .summary = "give a node another name",
        .help = "Renames this node, or with --node another one. The name is stored: it stays after "
                "a restart, unless the start gives a name. A name is only a label: nothing else "
                "changes. When two nodes have one name, the second is shown as NAME~2.",
        .example = "meshctl --node=pi~2 nodes rename pi3"},
    [OP_NODES_REMOVE] = {
        .op = OP_NODES_REMOVE, .name = "nodes.remove", .kind = OP_CALL, .role = ROLE_ADMIN,
        .scope = SCOPE_NODE, ARGS(nodes_remove_args), FIELDS(remove_fields),
        .errors = errors_remove,
        .summary = "take a node off the mesh for good",
        .help = "Removes a node that will not come back, from any other node, whether it is up or not; "
                "no other node needs to be up. Everybody takes it off the list, drops its services and "
                "whatever only it may write, and takes nothing from it any more. Keys that it wrote "
                "stay. It cannot be undone: the machine can come back as a new node, with meshd "
                "--new-identity. One that is alive is removed only with --yes.",
        .example = "meshctl nodes remove oldpi"},
    [OP_EVENTS] = {
        .op = OP_EVENTS, .name = "events", .kind = OP_STREAM, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, ARGS(events_args), .items = "events", FIELDS(event_fields),
        AROUND(events_around), .errors = errors_none,
        .summary = "what happened in the mesh",
        .help = "Lists the last events that this node keeps, oldest first. Each node numbers "
                "its events itself; the number rises, also across restarts.",
        .example = "meshctl events --follow"},
    [OP_RTT] = {
        .op = OP_RTT, .name = "rtt", .kind = OP_CALL, .role = ROLE_VIEWER, .scope = SCOPE_ALL,
        ARGS(rtt_args), FIELDS(rtt_fields), .errors = errors_node,
        .summary = "round trip to a node, or between two",
        .help = "Shows the last measured round trips to a node, and the one that network "
                "coordinates predict. With two names: between these two, as the first one has "
                "measured it. Nothing is sent: every probe measures.",
        .example = "meshctl rtt nas1 pi2"},
    [OP_PEERS] = {
        .op = OP_PEERS, .name = "peers", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, .items = "peers", FIELDS(peers_fields), .errors = errors_none,
        .summary = "Zyre programs that this node talks to",
        .help = "Lists the Zyre programs on the network that this node has met: who they say they "
                "are, where, in which groups. Nothing of it is proven. They are no members.",
        .example = "meshctl peers"},
    [OP_DOCTOR] = {
        .op = OP_DOCTOR, .name = "doctor", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, ARGS(doctor_args), .items = "checks", FIELDS(doctor_fields),
        AROUND(doctor_around), .errors = errors_node,
        .summary = "what is wrong, and what to do about it",
        .help = "Checks this node and every other: interfaces, broadcast, each pair both ways, "
                "ports, clocks, keys, disk, limits. Each line is ok, warn or fail. Exit status 1 if "
                "one fails; 3 if the local meshd does not answer: then it says what can be seen "
                "without it. With --node or --all only what each node says by itself.",
        .example = "meshctl doctor"},
    [OP_LIMITS] = {
        .op = OP_LIMITS, .name = "limits", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, .items = "limits", FIELDS(limits_fields), .errors = errors_none,
        .summary = "every limit that is built in",
        .help = "Lists every bound of this meshd: of tables, queues and messages. The metrics show "
                "how full those are that can fill up.",
        .example = "meshctl limits"},
    [OP_LEAVE] = {
        .op = OP_LEAVE, .name = "leave", .kind = OP_CALL, .role = ROLE_ADMIN, .scope = SCOPE_NODE,
        FIELDS(leave_fields), .errors = errors_none,
        .summary = "leave the mesh and end meshd",
        .help = "Tells the mesh that this node leaves, and ends its meshd with exit status 0. "
                "The others list it as left, which raises no alarm. Starting meshd again joins "
                "again.",
        .example = "meshctl leave"},
    [OP_TOKEN] = {
        .op = OP_TOKEN, .name = "token", .kind = OP_CALL, .role = ROLE_ADMIN,
        .scope = SCOPE_LOCAL, FIELDS(token_fields), .errors = errors_token,
        .summary = "what another machine needs to join",
        .help = "Prints the token of this mesh: its name, its key and addresses of this node. "
                "Give it to meshd on the other machine, once. It is a secret: whoever has it "
                "can join.",
        .example = "meshctl token | ssh pi2 meshd --discover=homelab --token=-"},
    [OP_METRICS] = {
        .op = OP_METRICS, .name = "metrics", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, .items = "metrics", FIELDS(metrics_fields), .errors = errors_none,
        .summary = "counters and gauges of this node",
        .help = "Shows what this node counts, and how full its bounded tables are. With "
                "--format=prometheus in Prometheus's text format.",
        .example = "meshctl metrics --format=prometheus"},
    [OP_VERSION] = {
        .op = OP_VERSION, .name = "version", .kind = OP_CALL, .role = ROLE_VIEWER,
        .scope = SCOPE_ALL, FIELDS(version_fields), .errors = errors_none,
        .summary = "versions of meshctl and meshd",
        .help = "Shows the version of meshctl, and the version and protocol of the meshd it "
                "talks to.",
        .example = "meshctl version"},
};

/* clang-format on */

_Static_assert(COUNT_OF(table) == OP_COUNT, "each operation has its entry in the table");

/* Its place in the part that begins with `first`; NULL: it is not of that part. */
static const struct op_spec *in_part(enum op op, enum op first, const struct op_spec *part,
                                     size_t count)
{
    return op >= first && (size_t) (op - first) < count ? &part[op - first] : NULL;
}

const struct op_spec *ops_spec(enum op op)
{
    HM_ASSERT(op < OP_COUNT);
    const struct op_spec *spec = in_part(op, OPS_KV_FIRST, ops_spec_kv, ops_spec_kv_count);
    if (spec == NULL) {
        spec = in_part(op, OPS_STORE_FIRST, ops_spec_store, ops_spec_store_count);
    }
    if (spec == NULL) {
        spec = in_part(op, OPS_SERVICES_FIRST, ops_spec_services, ops_spec_services_count);
    }
    spec = spec != NULL ? spec : &table[op];
    HM_ASSERT(spec->name != NULL && spec->op == op);
    return spec;
}

const struct op_spec *ops_spec_find(const char *name)
{
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (strcmp(ops_spec((enum op) i)->name, name) == 0) {
            return ops_spec((enum op) i);
        }
    }
    return NULL;
}

const char *ops_spec_nearest(const char *name)
{
    const char *names[OP_COUNT + 1];
    for (size_t i = 0; i < OP_COUNT; i++) {
        names[i] = ops_spec((enum op) i)->name;
    }
    names[OP_COUNT] = NULL;
    return text_nearest(name, names);
}

const char *op_kind_name(enum op_kind kind)
{
    switch (kind) {
    case OP_CALL:
        return "call";
    case OP_STREAM:
        return "stream";
    case OP_ASYNC:
        return "async";
    }
    return "?";
}

const char *op_role_name(enum op_role role)
{
    switch (role) {
    case ROLE_VIEWER:
        return "viewer";
    case ROLE_OPERATOR:
        return "operator";
    case ROLE_ADMIN:
        return "admin";
    }
    return "?";
}

const char *op_scope_name(enum op_scope scope)
{
    switch (scope) {
    case SCOPE_LOCAL:
        return "this node only";
    case SCOPE_NODE:
        return "any node";
    case SCOPE_ALL:
        return "any node, or all at once";
    }
    return "?";
}

const char *arg_type_name(enum arg_type type)
{
    switch (type) {
    case ARG_NODE:
        return "node";
    case ARG_TEXT:
        return "text";
    case ARG_UINT:
        return "number";
    case ARG_BOOL:
        return "boolean";
    case ARG_BYTES:
        return "text or bytes";
    case ARG_TEXTS:
        return "list of texts";
    case ARG_PAIRS:
        return "map of texts";
    case ARG_TIME:
        return "milliseconds or text";
    }
    return "?";
}

const char *field_type_name(enum field_type type)
{
    static const char *const names[] = {
        [FIELD_TEXT] = "text",       [FIELD_ID] = "id",         [FIELD_HEX] = "hex",
        [FIELD_ADDRESS] = "address", [FIELD_STATUS] = "status", [FIELD_TIME] = "time",
        [FIELD_UINT] = "integer",    [FIELD_NUMBER] = "number", [FIELD_BOOL] = "boolean",
        [FIELD_MS] = "milliseconds", [FIELD_MAP] = "map",       [FIELD_OBJECT] = "object",
        [FIELD_LIST] = "list",       [FIELD_VALUE] = "text or bytes",
    };
    return names[type];
}
