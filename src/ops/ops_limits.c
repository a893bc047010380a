/* SPDX-License-Identifier: MPL-2.0 */
/* Handler of the operation limits: all of base/limits.h, in its order, then what the driver adds. */
#include "base/err.h"
#include "base/limits.h"
#include "ops/ops_call.h"
#include "wire/mpack.h"

#include <string.h>

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])
#define AROUND_BYTES 64
#define PREFIX "HM_"

/* Tables read best with one entry a line. */
/* clang-format off */
static const struct fact_limit limits[] = {
    FACT_LIMIT(HM_DATAGRAM_BYTES_MAX, "bytes", "a datagram; never fragmented, also in tunnels"),
    FACT_LIMIT(HM_FRAME_BYTES_MAX, "bytes", "a frame on a link"),
    FACT_LIMIT(HM_CHUNK_BYTES_MAX, "bytes", "a piece of what is split: exchanges, pages of lists"),
    FACT_LIMIT(HM_QUEUE_BYTES_MAX, "bytes", "on their way to one other node or local client"),
    FACT_LIMIT(HM_LINK_UNREAD_BYTES_MAX, "bytes",
               "on a link without a whole message; then it is cut"),
    FACT_LIMIT(HM_MPACK_DEPTH_MAX, "levels", "nesting of a message"),
    FACT_LIMIT(HM_RECORD_BYTES_MAX, "bytes", "a node's signed alive record"),
    FACT_LIMIT(HM_LABELS_BYTES_MAX, "bytes", "all labels of a node"),
    FACT_LIMIT(HM_LABEL_KEY_BYTES_MAX, "bytes", "name of a label"),
    FACT_LIMIT(HM_LABEL_VALUE_BYTES_MAX, "bytes", "value of a label"),
    FACT_LIMIT(HM_LABELS_MAX, "labels", "of one node"),
    FACT_LIMIT(HM_NAME_BYTES_MAX, "bytes", "name of a node"),
    FACT_LIMIT(HM_MESH_NAME_BYTES_MAX, "bytes", "name of a mesh"),
    FACT_LIMIT(HM_VERSION_BYTES_MAX, "bytes", "version of the software"),
    FACT_LIMIT(HM_REQUEST_BYTES_MAX, "bytes", "an operation's request"),
    FACT_LIMIT(HM_REPLY_BYTES_MAX, "bytes", "an operation's reply; longer lists come in pages"),
    FACT_LIMIT(HM_ZMTP_KEPT_BYTES_MAX, "bytes", "a ZRE message at the mailbox"),
    FACT_LIMIT(HM_ZMTP_CONTENT_BYTES_MAX, "bytes", "each further frame of it, which is skipped"),
    FACT_LIMIT(HM_ZMTP_COMMAND_BYTES_MAX, "bytes", "a ZMTP command at the mailbox"),
    FACT_LIMIT(HM_ZMTP_OUT_BYTES_MAX, "bytes", "on their way to one ZRE peer"),
    FACT_LIMIT(HM_ZRE_ABOUT_BYTES_MAX, "bytes", "groups and headers kept of one ZRE peer"),
    FACT_LIMIT(HM_KEY_BYTES_MAX, "bytes", "a key of the registry as it is stored"),
    FACT_LIMIT(HM_USER_KEY_BYTES_MAX, "bytes", "a key as users write it"),
    FACT_LIMIT(HM_SET_KEY_BYTES_MAX, "bytes", "the key of a set or a counter"),
    FACT_LIMIT(HM_SET_ELEMENTS_MAX, "elements", "of a set"),
    FACT_LIMIT(HM_VALUE_BYTES_MAX, "bytes", "a value of the registry"),
    FACT_LIMIT(HM_VALUE_DEPTH_MAX, "levels", "nesting of a value"),
    FACT_LIMIT(HM_SERVICE_BYTES_MAX, "bytes", "all of a service"),
    FACT_LIMIT(HM_SERVICE_ID_BYTES_MAX, "bytes", "a service's id"),
    FACT_LIMIT(HM_SERVICE_VERSION_BYTES_MAX, "bytes", "a service's version"),
    FACT_LIMIT(HM_SERVICE_ADDRESS_BYTES_MAX, "bytes", "a service's address"),
    FACT_LIMIT(HM_SERVICE_TAG_BYTES_MAX, "bytes", "one tag of a service"),
    FACT_LIMIT(HM_SERVICE_META_KEY_BYTES_MAX, "bytes", "name of one of a service's metadata"),
    FACT_LIMIT(HM_SERVICE_META_VALUE_BYTES_MAX, "bytes", "value of one of a service's metadata"),
    FACT_LIMIT(HM_SERVICE_TEXT_BYTES_MAX, "bytes", "what a check says of a service"),
    FACT_LIMIT(HM_SERVICE_FILE_BYTES_MAX, "bytes", "name of a file in services.d"),
    FACT_LIMIT(HM_SERVICE_TTL_MS_MAX, "milliseconds", "TTL of a service"),
    FACT_LIMIT(HM_ENTRY_BYTES_MAX, "bytes", "an entry of the registry with all that belongs to it"),
    FACT_LIMIT(HM_REQUESTS_PER_MESSAGE_MAX, "requests", "of a program in one message to its meshd"),
    FACT_LIMIT(HM_ANNOUNCED_MAX, "entries", "new here, to be announced together"),
    FACT_LIMIT(HM_MISSING_MAX, "entries", "announced and not there yet"),
    FACT_LIMIT(HM_ASKED_MAX, "passes", "of repair, asked of other nodes at once"),
    FACT_LIMIT(HM_PASSES_MAX, "passes", "of repair, served to other nodes at once"),
    FACT_LIMIT(HM_PENDING_BYTES_MAX, "bytes", "of the registry, waiting for the disk"),
    FACT_LIMIT(HM_SERVICES_MAX, "services", "of one node"),
    FACT_LIMIT(HM_SERVICE_TAGS_MAX, "tags", "of one service"),
    FACT_LIMIT(HM_SERVICE_META_MAX, "pairs", "of one service's metadata"),
    FACT_LIMIT(HM_CHANGES_MAX, "changes", "of the registry, kept for watchers and history"),
    FACT_LIMIT(HM_CHANGES_BYTES_MAX, "bytes", "of these changes"),
    FACT_LIMIT(HM_ENTRIES_MAX, "entries", "of the registry, deletion marks included"),
    FACT_LIMIT(HM_REGISTRY_BYTES_MAX, "bytes", "of the registry's entries and keys"),
    FACT_LIMIT(HM_CONTEXT_MAX, "lives", "of nodes that wrote one key, in its context"),
    FACT_LIMIT(HM_CONTEXT_LONG, "lives", "of these; beyond, members say what they know of"),
    FACT_LIMIT(HM_VECTOR_ORIGINS_MAX, "lives", "of nodes that wrote anything, in a version vector"),
    FACT_LIMIT(HM_VECTOR_RUNS_MAX, "runs", "of numbers in a version vector"),
    FACT_LIMIT(HM_INCARNATION_LEAP_MAX, "incarnations",
               "that a claim may be ahead of the known one"),
    FACT_LIMIT(HM_MEMBERS_MAX, "members", "of a mesh"),
    FACT_LIMIT(HM_CANDIDATES_MAX, "addresses", "tried for first contact at once"),
    FACT_LIMIT(HM_RECORD_ADDRS_MAX, "addresses", "that a node tells of itself"),
    FACT_LIMIT(HM_LINK_PARTS_MAX, "frames", "of one message on a link; then it is cut"),
    FACT_LIMIT(HM_LINKS_MAX, "links", "open to other nodes"),
    FACT_LIMIT(HM_RING_SALTS, "rings", "with two neighbours each"),
    FACT_LIMIT(HM_DIRECT_RECEIVERS_MAX, "members", "up to which verdicts go to all directly"),
    FACT_LIMIT(HM_EVENTS_MAX, "events", "kept for \"meshctl events\""),
    FACT_LIMIT(HM_CALLS_MAX, "operations", "that wait for another node or for an event"),
    FACT_LIMIT(HM_CALLS_PER_MEMBER_MAX, "operations", "of these, asked of one other node"),
    FACT_LIMIT(HM_RELAYS_MAX, "probes", "made at once on behalf of others"),
    FACT_LIMIT(HM_RELAYS_PER_MEMBER_MAX, "probes", "of these, on behalf of one and the same"),
    FACT_LIMIT(HM_GOSSIP_QUEUE_MAX, "updates", "waiting to be gossiped; the one sent most goes"),
    FACT_LIMIT(HM_OBSERVERS_MAX, "members", "remembered that saw one suspect; two make a verdict"),
    FACT_LIMIT(HM_REPLAY_WINDOW, "datagrams", "that may come out of order"),
    FACT_LIMIT(HM_ZRE_PEERS_MAX, "peers", "Zyre programs talked to; more are ignored"),
    FACT_LIMIT(HM_ZRE_CONNECTIONS_MAX, "connections", "at the ZRE mailbox"),
    FACT_LIMIT(HM_ZMTP_FRAMES_MAX, "frames", "of one message at the mailbox"),
    FACT_LIMIT(HM_BEACONS_HEARD_MAX, "beacons", "heard from others lately, for \"meshctl doctor\""),
    FACT_LIMIT(HM_BEACONS_PER_ADDRESS_MAX, "beacons", "of these, from one address"),
    FACT_LIMIT(HM_KNOCKS_MAX, "members", "that a node knocks at for \"meshctl doctor\""),
};
/* clang-format on */

/* "HM_LINKS_MAX" is shown as links_max. */
static void put_name(struct buf *b, const char *constant)
{
    char name[64];
    size_t skip = strncmp(constant, PREFIX, strlen(PREFIX)) == 0 ? strlen(PREFIX) : 0;
    size_t size = strlen(constant + skip);
    HM_ASSERT(size < sizeof name);
    for (size_t i = 0; i <= size; i++) {
        char c = constant[skip + i];
        name[i] = c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
    }
    ops_put_str(b, "name", name);
}

static void put_limits(struct ops_page *page, const struct fact_limit *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buf *b = ops_page_begin(page);
        mp_map(b, 4);
        put_name(b, items[i].name);
        ops_put_uint(b, "value", items[i].value);
        ops_put_str(b, "unit", items[i].unit);
        ops_put_str(b, "help", items[i].help);
        ops_page_end(page);
    }
}

void ops_limits(struct ops_call *call)
{
    struct ops_page page;
    ops_page_init(&page, call->reply, AROUND_BYTES);
    put_limits(&page, limits, COUNT_OF(limits));
    put_limits(&page, call->env->limits, call->env->limit_count);
    if (page.is_full) {
        ops_fail(call, HM_EFULL, "the limits do not fit into one reply");
    }
    mp_map(call->reply, 2);
    ops_page_write(&page, call->reply, "limits");
    mp_str(call->reply, "next");
    mp_nil(call->reply);
    ops_page_fini(&page);
}
