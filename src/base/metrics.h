/* SPDX-License-Identifier: MPL-2.0 */
/* Counters: one list, one array per node. The driver owns it and hands it to the core; both count
 * in it, from the loop's thread only. Gauges are computed when somebody asks (ops_mesh). */
#ifndef HM_BASE_METRICS_H
#define HM_BASE_METRICS_H

#include <stdint.h>

/* X(enum, exported name, help). Names are public: added, never changed. */
#define METRICS_LIST(X)                                                                            \
    X(M_DATAGRAMS_SENT, "mesh_datagrams_sent_total", "Sealed datagrams sent")                      \
    X(M_DATAGRAMS_RECEIVED, "mesh_datagrams_received_total", "Datagrams opened and taken")         \
    X(M_DATAGRAM_BYTES_SENT, "mesh_datagram_bytes_sent_total", "Bytes in sealed datagrams sent")   \
    X(M_DATAGRAM_BYTES_RECEIVED, "mesh_datagram_bytes_received_total", "Bytes in datagrams taken") \
    X(M_DROP_NOT_OURS, "mesh_drops_not_ours_total", "Datagrams that are not homemesh's")           \
    X(M_DROP_VERSION, "mesh_drops_version_total", "Datagrams or frames of another version")        \
    X(M_DROP_FOREIGN_MESH, "mesh_drops_foreign_mesh_total", "Datagrams of another mesh")           \
    X(M_DROP_FOREIGN_KEY, "mesh_drops_foreign_key_total", "Our mesh's name, sealed by another key")\
    X(M_DROP_UNKNOWN_SENDER, "mesh_drops_unknown_sender_total", "Datagrams of nobody we know")     \
    X(M_DROP_UNSEALED, "mesh_drops_unsealed_total", "Datagrams whose seal did not open")           \
    X(M_DROP_REPLAYED, "mesh_drops_replayed_total", "Datagrams seen before or too old")            \
    X(M_DROP_UNKNOWN_SESSION, "mesh_drops_unknown_session_total",                                \
      "Datagrams of a session not shown to be live yet")                                          \
    X(M_DROP_MALFORMED, "mesh_drops_malformed_total", "Authentic messages that made no sense")     \
    X(M_DROP_UNKNOWN_TYPE, "mesh_drops_unknown_type_total", "Messages of a type not known here")   \
    X(M_DROP_FORGED_RECORD, "mesh_drops_forged_record_total", "Records without a good signature")  \
    X(M_DROP_REMOVED, "mesh_drops_removed_total", "Records and first contacts of removed nodes")     \
    X(M_DROP_RATE, "mesh_drops_rate_total", "First contacts beyond the rate that is served")       \
    X(M_DROP_FULL, "mesh_drops_full_total", "Things dropped because a table was full")             \
    X(M_CHALLENGES, "mesh_challenges_total", "Unknown sessions that were challenged")              \
    X(M_PROBES, "mesh_probes_total", "Probes started")                                             \
    X(M_PROBES_FAILED, "mesh_probes_failed_total", "Probes without any answer in time")            \
    X(M_PROBES_INDIRECT, "mesh_probes_indirect_total", "Probes that asked helpers")                \
    X(M_PROBES_URGENT, "mesh_probes_urgent_total", "Probes started by evidence")                   \
    X(M_SUSPICIONS, "mesh_suspicions_total", "Suspicions raised here")                             \
    X(M_REFUTATIONS, "mesh_refutations_total", "Suspicions of this node that it refuted")          \
    X(M_ISOLATIONS, "mesh_isolations_total", "Times nobody answered this node any more")          \
    X(M_VERDICTS, "mesh_verdicts_total", "Members declared failed here")                           \
    X(M_CLAIMS_DOUBTED, "mesh_claims_doubted_total", "Verdicts of too few observers, re-checked")  \
    X(M_UNREACHABLE, "mesh_unreachable_total", "Port-unreachable reports")                         \
    X(M_GOSSIP_DROPPED, "mesh_gossip_dropped_total", "Updates pushed out of a full gossip queue")  \
    X(M_FULL_EXCHANGES, "mesh_full_exchanges_total", "Full exchanges of the member list")          \
    X(M_LINKS_UP, "mesh_links_up_total", "Links that came up")                                     \
    X(M_LINKS_DOWN, "mesh_links_down_total", "Links that ended")                                   \
    X(M_LINKS_CUT, "mesh_links_cut_total", "Links cut for messages without end")                   \
    X(M_LINK_DENIED, "mesh_link_denied_total", "Link handshakes refused by ZAP")                   \
    X(M_FRAMES_SENT, "mesh_frames_sent_total", "Frames sent on links")                             \
    X(M_FRAMES_RECEIVED, "mesh_frames_received_total", "Frames received on links")                 \
    X(M_FRAMES_REFUSED, "mesh_frames_refused_total", "Frames a full or absent link refused")       \
    X(M_BEACONS_SENT, "mesh_beacons_sent_total", "ZRE beacons sent")                               \
    X(M_BEACONS_RECEIVED, "mesh_beacons_received_total", "ZRE beacons of others")                  \
    X(M_BEACONS_MALFORMED, "mesh_beacons_malformed_total", "Datagrams on the beacon port that are no beacon") \
    X(M_ZRE_RECEIVED, "mesh_zre_received_total", "ZRE messages understood")                        \
    X(M_ZRE_MALFORMED, "mesh_zre_malformed_total", "ZRE messages dropped as malformed")            \
    X(M_ZRE_CUT, "mesh_zre_cut_total", "ZRE connections cut: too many, too slow or not ZMTP")       \
    X(M_STORE_BATCHES, "mesh_store_batches_total", "Batches handed to the store")                  \
    X(M_STORE_FAILED, "mesh_store_failed_total", "Batches the store could not commit")             \
    X(M_STORE_BYTES, "mesh_store_bytes_total", "Bytes of keys and values handed to the store")     \
    X(M_STORE_COMMITS, "mesh_store_commits_total", "Times the store made batches durable")         \
    X(M_STORE_SYNCS, "mesh_store_syncs_total", "Times the disk was told to sync for them")         \
    X(M_STORE_WRITTEN, "mesh_store_written_bytes_total", "Bytes written to the store's files")     \
    X(M_STORE_DAMAGED, "mesh_store_damaged_total", "Damaged records met in the store")             \
    X(M_ENTRIES_TAKEN, "mesh_entries_taken_total", "Entries of the registry that were news")       \
    X(M_ENTRIES_KNOWN, "mesh_entries_known_total", "Entries that came although they were known")   \
    X(M_ENTRIES_REFUSED, "mesh_entries_refused_total", "Entries malformed, forged, or for which there was no room") \
    X(M_ENTRIES_LATER, "mesh_entries_later_total", "Entries of a later format, which wait for an upgrade of this node") \
    X(M_MARKS_RELEASED, "mesh_marks_released_total", "Deletion marks let go: every member has them") \
    X(M_COMPARISONS, "mesh_comparisons_total", "Comparisons of ranges that this node began")       \
    X(M_ENTRIES_GONE, "mesh_entries_gone_total", "Entries dropped: another node knew that they were deleted") \
    X(M_REGISTRY_REBUILDS, "mesh_registry_rebuilds_total", "Times that all of the registry was read again after damage") \
    X(M_GRAFTS, "mesh_grafts_total", "Times that announced entries had to be asked for")           \
    X(M_PASSES_ASKED, "mesh_passes_asked_total", "Passes of repair that this node asked for")      \
    X(M_PASSES_DONE, "mesh_passes_done_total", "Of these, those that came to their end")           \
    X(M_PASSES_SERVED, "mesh_passes_served_total", "Passes of repair asked by others")             \
    X(M_CALLS, "mesh_calls_total", "Operations asked by local clients")                            \
    X(M_CALLS_REMOTE, "mesh_calls_remote_total", "Operations asked by other nodes")                \
    X(M_CALLS_REFUSED, "mesh_calls_refused_total", "Operations refused: malformed or too many")    \
    X(M_REPLIES_LOST, "mesh_replies_lost_total", "Replies that a local client did not read")       \
    X(M_LOOP_STALLS, "mesh_loop_stalls_total", "Times the loop was held up by 100 ms or more")     \
    X(M_LOOP_STALLED_MS, "mesh_loop_stalled_ms_total", "Milliseconds the loop was held up")        \
    X(M_LOOP_WAKEUPS, "mesh_loop_wakeups_total", "Times the loop woke up")                         \
    X(M_LOG_LOST, "mesh_log_lost_total", "Log lines lost because nobody read them")

enum metric {
#define METRIC_ENUM(name, exported, help) name,
    METRICS_LIST(METRIC_ENUM)
#undef METRIC_ENUM
        METRIC_COUNT
};

struct metrics {
    uint64_t value[METRIC_COUNT];
};

static inline void metric_add(struct metrics *m, enum metric which, uint64_t n)
{
    m->value[which] += n;
}

#endif
