/* SPDX-License-Identifier: MPL-2.0 */
/* What the core tells the log: typed, so that the simulator can count them and the daemon can write
 * text or JSON. The sentence and the fields of each note are made in one place (note_format). */
#ifndef HM_CORE_NOTE_H
#define HM_CORE_NOTE_H

#include "base/addr.h"
#include "base/node_id.h"

#include <stddef.h>
#include <stdint.h>

#define SHOWN_NAME_BYTES 80 /* a node's name, `~`, a number, and the end of the text */

enum note_level { NOTE_DEBUG, NOTE_INFO, NOTE_WARN, NOTE_ERROR };

enum note_code {
    NOTE_STARTED,          /* node, addr, value = incarnation */
    NOTE_MEMBER_ALIVE,     /* node, name, addr, observer, reason */
    NOTE_MEMBER_SUSPECT,
    NOTE_MEMBER_FAILED,
    NOTE_MEMBER_LEFT,
    NOTE_MEMBER_UPDATED,
    NOTE_REFUTED,          /* we refuted; observer = who accused us, value = our incarnation */
    NOTE_VERDICT_DOUBTED,  /* node, observer: too few observers, re-checking */
    NOTE_FORGED_RECORD,    /* addr or observer = who handed it to us */
    NOTE_FOREIGN_KEY,      /* addr */
    NOTE_ROSTER_FULL,      /* node */
    NOTE_STORE_DAMAGED,    /* value = entries dropped */
    NOTE_STORE_FAILED,     /* value = reason */
    NOTE_STALLED,          /* value = ms */
    NOTE_LINK_UP,          /* node */
    NOTE_LINK_DOWN,        /* node */
    NOTE_SAME_IDENTITY,    /* addr: another process uses our identity */
    NOTE_LEAVING,
    NOTE_PATH,             /* node, reason: how it is reached now */
    NOTE_ISOLATED,         /* nobody answers us */
    NOTE_REACHES,          /* somebody does again */
    NOTE_SAME_NAME,        /* node: it has the name of another one that is up */
    NOTE_COPIED,           /* node: two processes use its identity */
    NOTE_ASIDE,            /* we stand aside for a copy of ourselves at addr */
    NOTE_BACK,             /* the copy is gone, we are back */
    NOTE_VERSION,          /* name, addr, value: the oldest version of the protocol that it speaks */
    NOTE_DIVERGED,         /* node: its registry differs */
    NOTE_LATER_FORMAT,     /* node: it holds entries of a format that is not known here */
    NOTE_RENAMED,          /* this node: its new name */
    NOTE_NAME_GIVEN,       /* a name given at the start wins over `nodes rename` */
    NOTE_SERVICE_EXPIRED,  /* name: the service's id, as in the next two */
    NOTE_SERVICE_GONE,
    NOTE_SERVICE_TAKEN,    /* a file wants an id that something else has registered */
    NOTE_MEMBER_REMOVED,   /* node, name, addr, observer: who removed it */
    NOTE_SELF_REMOVED,     /* this node was removed: observer, and name: by whom */
};

/* Why a member changed. Names are public (events, JSON), values travel in claims: both are added, never
 * changed. */
enum reason {
    REASON_NONE = 0,
    REASON_JOINED = 1,       /* it answered our challenge, or a member told us of it */
    REASON_REFUTED = 2,      /* it refuted a suspicion */
    REASON_RECOVERED = 3,    /* it answered although thought failed */
    REASON_NO_ACK = 4,       /* no answer: direct, by helpers, or over the link */
    REASON_REFUSED = 5,      /* its machine refuses connections: the process is gone */
    REASON_LEFT = 6,         /* it said so itself */
    REASON_UPDATED = 7,      /* new record: address, labels, version */
    REASON_REMEMBERED = 8,   /* from the last run */
    /* Of notices, which never travel: */
    REASON_PATH_DIRECT = 9,  /* it answers directly again */
    REASON_PATH_RELAYED = 10, /* only helpers reach it */
    REASON_PATH_LINK = 11,   /* only its link (TCP) reaches it: UDP is blocked */
    REASON_ISOLATED = 12,    /* this node: nobody answers it */
    REASON_REACHES = 13,     /* this node: somebody does again */
    REASON_SAME_NAME = 14,   /* another member that is up has its name */
    REASON_SAME_IDENTITY = 15, /* two processes use its identity */
    REASON_VERSION = 16,     /* no protocol version in common */
    REASON_DIVERGED = 17,    /* its registry has differed from ours for a minute */
    REASON_REMOVED = 18,     /* `nodes remove` took it off the roster for good */
};

struct note {
    enum note_level level;
    enum note_code code;
    enum reason reason;
    struct node_id node;     /* zero: none */
    struct node_id observer; /* zero: none */
    struct addr addr;        /* family 0: none */
    uint64_t value;
    char name[SHOWN_NAME_BYTES]; /* of the node, "" if unknown */
    char observer_name[SHOWN_NAME_BYTES];
};

/* "no-ack", "refused", … */
const char *reason_name(enum reason reason);
const char *note_code_name(enum note_code code);

/* Fields of a note for a log line: at most NOTE_FIELDS_MAX pairs; texts live in the struct. */
#define NOTE_FIELDS_MAX 8
struct note_text {
    char message[256];
    size_t field_count;
    struct {
        const char *key;
        char value[ADDR_TEXT_BYTES + 64];
    } fields[NOTE_FIELDS_MAX];
};

void note_format(const struct note *note, struct note_text *ret_text);

#endif
