/* SPDX-License-Identifier: MPL-2.0 */
/* Every bound of the system, each with its reason. Rule 5: everything is bounded. */
#ifndef HM_BASE_LIMITS_H
#define HM_BASE_LIMITS_H

/* Bytes. */
#define HM_DATAGRAM_BYTES_MAX 1200  /* fits IPv6's 1280 with room for tunnels; never fragmented */
#define HM_FRAME_BYTES_MAX 1572864  /* 1.5 MiB: one entry of the largest size and what is around it */
#define HM_CHUNK_BYTES_MAX 262144   /* of what can be split: full exchange, repair, pages of lists */
#define HM_QUEUE_BYTES_MAX 6291456  /* on their way to one neighbour or local client: 4 of the largest */
#define HM_LINK_UNREAD_BYTES_MAX 16777216 /* came on a link without a whole message: it is cut */
#define HM_MPACK_DEPTH_MAX 16       /* our deepest message nests 5 levels */
#define HM_RECORD_BYTES_MAX 300     /* an alive record must fit several times in a datagram */
#define HM_LABELS_BYTES_MAX 4096    /* labels travel over links only */
#define HM_LABEL_KEY_BYTES_MAX 63   /* as DNS labels, so that they can become names */
#define HM_LABEL_VALUE_BYTES_MAX 255
#define HM_LABELS_MAX 64            /* what 4 KiB can hold in practice */
#define HM_NAME_BYTES_MAX 63        /* one DNS label (RFC 1035) */
#define HM_MESH_NAME_BYTES_MAX 63   /* the same, so that a mesh can become a domain */
#define HM_VERSION_BYTES_MAX 31     /* "0.1.0-rc1+git20261121" and more */
#define HM_REQUEST_BYTES_MAX (1048576 + 65536) /* from a client: the largest value and what is around it */
#define HM_REPLY_BYTES_MAX (HM_FRAME_BYTES_MAX - 4096) /* must travel in one frame */
#define HM_ZMTP_KEPT_BYTES_MAX 8192 /* first frame of a message at the mailbox: a ZRE message's bound */
#define HM_ZMTP_CONTENT_BYTES_MAX 65536 /* each further frame: content of a WHISPER or SHOUT, skipped */
#define HM_ZMTP_COMMAND_BYTES_MAX 1024  /* a READY with an identity and metadata; PING has 23 */
#define HM_ZMTP_OUT_BYTES_MAX 16384 /* on their way to one ZRE peer: a HELLO and plenty of PINGs */
#define HM_ZRE_ABOUT_BYTES_MAX 2048 /* groups and headers kept of one ZRE peer, only to be shown */

#define HM_KEY_BYTES_MAX 544        /* of an entry: kv/ and a user's 512, room for what is below it */
#define HM_USER_KEY_BYTES_MAX 512   /* what `kv put` takes */
#define HM_SET_KEY_BYTES_MAX 468    /* of a set or counter: what is below it must lie beside it in the store */
#define HM_VALUE_BYTES_MAX 1048576  /* 1 MiB: settings and small files, not a file system */
#define HM_VALUE_DEPTH_MAX 10       /* of a value: messages around it nest 5 more (HM_MPACK_DEPTH_MAX) */
#define HM_SERVICE_BYTES_MAX 8192   /* of one service as it is stored: tags and meta of the largest found in use */
#define HM_SERVICE_ID_BYTES_MAX 127 /* a name, a port, and what programs like to add */
#define HM_SERVICE_VERSION_BYTES_MAX 63
#define HM_SERVICE_ADDRESS_BYTES_MAX 253 /* a DNS name */
#define HM_SERVICE_TAG_BYTES_MAX 255 /* other programs' rules are put into tags */
#define HM_SERVICE_META_KEY_BYTES_MAX 63
#define HM_SERVICE_META_VALUE_BYTES_MAX 511
#define HM_SERVICE_TEXT_BYTES_MAX 255 /* of the last check: one line */
#define HM_SERVICE_FILE_BYTES_MAX 127 /* name of a file in services.d */
#define HM_SERVICE_TTL_MS_MAX 604800000ULL /* a week: what is refreshed more seldom needs no TTL */
#define HM_ENTRY_BYTES_MAX 1310720  /* 1.25 MiB: key and value, 4,096 lives of 46 bytes, what is to come */

/* Counts. */
#define HM_ANNOUNCED_MAX 256        /* entries to be announced together: beyond, at once */
#define HM_MISSING_MAX 512          /* entries announced and not there yet: beyond, repair brings them */
#define HM_ASKED_MAX 3              /* passes of repair asked for at the same time: two may be held up */
#define HM_PASSES_MAX 8             /* of repair, served at the same time: a node's ring neighbours */
#define HM_PENDING_BYTES_MAX (64 << 20) /* of the registry, on the way to a slow disk; then it is busy */
#define HM_SERVICES_MAX 1024        /* of one node: several for each of its containers */
#define HM_SERVICE_TAGS_MAX 32
#define HM_SERVICE_META_MAX 32
#define HM_CHANGES_MAX 4096         /* changes of the registry kept for watchers and history */
#define HM_CHANGES_BYTES_MAX (16 << 20)
#define HM_SET_ELEMENTS_MAX 1024    /* a put counts them; together they have at most HM_VALUE_BYTES_MAX */
#define HM_ENTRIES_MAX 4000000      /* of the registry, with marks: 4 times what is measured */
#define HM_REGISTRY_BYTES_MAX (2ULL << 30) /* of entries and keys; an eighth of the map, since pages half fill */
#define HM_CONTEXT_MAX 4096         /* lives that wrote one key and are not known to all yet */
#define HM_CONTEXT_LONG 32          /* more of them, and all say what they know: an entry of 1.3 KB */
#define HM_VECTOR_ORIGINS_MAX 262144 /* 10,000 lives each of 26 members, 32 each of 8,192; 64 MB */
#define HM_VECTOR_RUNS_MAX 524288   /* gaps close with the next repair */
#define HM_INCARNATION_LEAP_MAX (1ULL << 32) /* a claim further ahead is nonsense: none may use numbers up */
#define HM_MEMBERS_MAX 8192         /* roster; "correct for thousands" */
#define HM_CANDIDATES_MAX 64        /* addresses to try that no member is known to have */
#define HM_RECORD_ADDRS_MAX 4       /* candidate addresses of one node: they must fit its record */
#define HM_LINK_PARTS_MAX 16        /* frames of one message on a link; ours have one */
#define HM_LINKS_MAX 24             /* 8 ring neighbours, as many that chose us, and a few guests */
#define HM_RING_SALTS 4             /* 4 rings, 2 neighbours each: degree 8 (architecture.md) */
#define HM_DIRECT_RECEIVERS_MAX 64  /* up to here verdicts go to all directly */
#define HM_EVENTS_MAX 1024          /* member events kept for `meshctl events` */
#define HM_REQUESTS_PER_MESSAGE_MAX 64 /* of a local client: one wake-up for all of them */
#define HM_CALLS_MAX 1024           /* operations that wait for another node, an event or the disk */
#define HM_CALLS_PER_MEMBER_MAX 8   /* of these, waiting here for one and the same other node */
#define HM_RELAYS_MAX 64            /* probes made for others; beyond, the requester has other helpers */
#define HM_RELAYS_PER_MEMBER_MAX 32 /* of these, for one and the same requester */
#define HM_GOSSIP_QUEUE_MAX 4096    /* updates waiting to be piggy-backed; oldest sent most goes */
#define HM_OBSERVERS_MAX 4          /* accusers remembered per suspect; two make a verdict */
#define HM_REPLAY_WINDOW 256        /* datagrams that may arrive out of order (protocols.md) */
#define HM_ZRE_PEERS_MAX 64         /* foreign Zyre peers we speak to; more are ignored */
#define HM_ZRE_CONNECTIONS_MAX 128  /* accepted at the mailbox: one per peer, as many strangers */
#define HM_ZMTP_FRAMES_MAX 64       /* of one message at the mailbox; only the first is kept */
#define HM_BEACONS_HEARD_MAX 256    /* beacons of others, kept for `meshctl doctor` */
#define HM_BEACONS_PER_ADDRESS_MAX 16 /* of these, from one address: one host cannot fill the table */
#define HM_KNOCKS_MAX 64            /* members knocked at for `meshctl doctor`: all pairs of a small mesh */

#endif
