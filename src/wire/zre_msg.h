/* SPDX-License-Identifier: MPL-2.0 */
/* ZRE as spoken by Zyre (RFC 36, and what Zyre and zyre.js send): beacons and mailbox messages.
 *
 * Nothing of it is authenticated, so whatever is read here may only add an address to try. Reading
 * is total and allocates nothing: strings are spans into the bytes, lists are walked with a cursor.
 *
 * Beacon v1, 22 bytes: "ZRE", 1, UUID, port (2 bytes, big-endian; 0 says goodbye).
 * Beacon v3, 54 bytes, adds a CURVE key; it is recognised and skipped.
 * Message: AA A1, id, version 2, sequence (2 bytes), then by id. number-1 and -2 are big-endian
 * bytes; a string is number-1 and bytes, a longstr number-4 and bytes; strings are number-4 and
 * longstrs, a dictionary is number-4 and pairs of string and longstr. Content of WHISPER and SHOUT
 * follows in further frames. */
#ifndef HM_WIRE_ZRE_MSG_H
#define HM_WIRE_ZRE_MSG_H

#include "base/addr.h"
#include "base/buf.h"
#include "base/node_id.h"
#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

#define ZRE_BEACON_PORT 5670 /* assigned by IANA */
/* ff12::5a52:4501, ours: link-local, not assigned, the first bytes of every beacon at its end. RFC 36
 * knows IPv4 broadcast only. */
#define ZRE_BEACON_GROUP6 {0xff, 0x12, [12] = 0x5a, 0x52, 0x45, 0x01}
#define ZRE_BEACON_BYTES 22
#define ZRE_BEACON_V3_BYTES 54
#define ZRE_VERSION 2
#define ZRE_IDENTITY_BYTES 17  /* of a mailbox peer: 01 and its UUID */
#define ZRE_MSG_BYTES_MAX 8192 /* a HELLO with more groups and headers than this is refused */
#define ZRE_LIST_MAX 256       /* strings in a list, pairs in a dictionary */
#define ZRE_STRING_BYTES_MAX 255

struct zre_beacon {
    struct node_id uuid;
    uint16_t port; /* 0: goodbye */
};

/* bytes gets the whole beacon. */
void zre_beacon_write(const struct zre_beacon *beacon, uint8_t bytes[ZRE_BEACON_BYTES]);
/* HM_EMALFORMED: no beacon; HM_EVERSION: a beacon of another version than 1. */
int zre_beacon_read(struct span bytes, struct zre_beacon *ret_beacon);

enum zre_msg_id {
    ZRE_HELLO = 1,
    ZRE_WHISPER = 2,
    ZRE_SHOUT = 3,
    ZRE_JOIN = 4,
    ZRE_LEAVE = 5,
    ZRE_PING = 6,
    ZRE_PING_OK = 7,
    /* 8 to 10 (ELECT, LEADER, GOODBYE) are Zyre's own: read as far as the sequence, then skipped.
     */
};

/* A walk over strings or over a dictionary. Checked when the message was read, so that it yields
 * exactly `count` items. */
struct zre_list {
    struct span bytes;
    uint32_t count;
};

struct zre_msg {
    uint8_t id; /* enum zre_msg_id, or one to skip */
    uint16_t sequence;
    struct span endpoint;    /* HELLO: "tcp://ip:port" */
    struct zre_list groups;  /* HELLO */
    uint8_t status;          /* HELLO, JOIN, LEAVE: counts joins and leaves */
    struct span name;        /* HELLO */
    struct zre_list headers; /* HELLO */
    struct span group;       /* SHOUT, JOIN, LEAVE */
};

/* Reads the first frame of a mailbox message. HM_EMALFORMED; HM_EVERSION: right signature, other
 * version. Ids above 7 give HM_OK with nothing but id and sequence. Spans point into bytes. */
int zre_msg_read(struct span bytes, struct zre_msg *ret_msg);
/* Writes one; the same struct is read back. Lists must be well-formed: see zre_list_add. */
void zre_msg_write(struct buf *b, const struct zre_msg *msg);

/* Takes the next item off a list of strings; false at its end. */
bool zre_strings_next(struct zre_list *list, struct span *ret_text);
/* Takes the next pair off a dictionary; false at its end. */
bool zre_headers_next(struct zre_list *list, struct span *ret_key, struct span *ret_value);
/* Value of a header, or false. */
bool zre_headers_find(const struct zre_list *list, const char *key, struct span *ret_value);

/* Appends an item to the bytes of a list being made; wrap buf_span(b) and the count in a zre_list.
 */
void zre_strings_add(struct buf *b, struct span text);
/* Keys are at most ZRE_STRING_BYTES_MAX bytes (longer ones fail the buffer). */
void zre_headers_add(struct buf *b, struct span key, struct span value);

/* True for 01 and a UUID. */
bool zre_identity_read(struct span bytes, struct node_id *ret_uuid);
void zre_identity_write(const struct node_id *uuid, uint8_t bytes[ZRE_IDENTITY_BYTES]);

/* Reads "tcp://1.2.3.4:5" (numeric only). HM_EMALFORMED. */
int zre_endpoint_read(struct span text, struct addr *ret_addr);

#endif
