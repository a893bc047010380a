/* SPDX-License-Identifier: MPL-2.0 */
/* The sentence and the fields of each note: see note.h. */
#include "core/note.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *reason_name(enum reason reason)
{
    switch (reason) {
    case REASON_NONE: return "";
    case REASON_JOINED: return "joined";
    case REASON_REFUTED: return "refuted";
    case REASON_RECOVERED: return "recovered";
    case REASON_NO_ACK: return "no-ack";
    case REASON_REFUSED: return "refused";
    case REASON_LEFT: return "left";
    case REASON_UPDATED: return "updated";
    case REASON_REMEMBERED: return "remembered";
    case REASON_PATH_DIRECT: return "path-direct";
    case REASON_PATH_RELAYED: return "path-relayed";
    case REASON_PATH_LINK: return "path-link";
    case REASON_ISOLATED: return "isolated";
    case REASON_REACHES: return "reaches";
    case REASON_SAME_NAME: return "same-name";
    case REASON_SAME_IDENTITY: return "same-identity";
    case REASON_VERSION: return "version";
    case REASON_DIVERGED: return "diverged";
    case REASON_REMOVED: return "removed";
    }
    return "";
}

struct note_kind {
    const char *name;
    const char *sentence; /* %s is the node's name, where there is one */
};

static struct note_kind kind_of(enum note_code code)
{
    struct note_kind kinds[] = {
        [NOTE_STARTED] = {"started", "this node is %s"},
        [NOTE_MEMBER_ALIVE] = {"member-alive", "%s is alive"},
        [NOTE_MEMBER_SUSPECT] = {"member-suspect", "%s is suspect"},
        [NOTE_MEMBER_FAILED] = {"member-failed", "%s has failed"},
        [NOTE_MEMBER_LEFT] = {"member-left", "%s has left"},
        [NOTE_MEMBER_UPDATED] = {"member-updated", "%s has changed its address or labels"},
        [NOTE_MEMBER_REMOVED] = {"member-removed", "%s was removed from the mesh for good"},
        [NOTE_SELF_REMOVED] = {"removed", "this node was removed from the mesh by %s: it says nothing "
                                          "any more and keeps its data; to make it a new node, run "
                                          "meshd once with --new-identity, then start it again"},
        [NOTE_REFUTED] = {"refuted", "others thought %s (this node) had failed; refuted"},
        [NOTE_VERDICT_DOUBTED] = {"verdict-doubted",
                                  "only one node says that %s has failed; checking it from here"},
        [NOTE_FORGED_RECORD] = {"forged-record",
                                "dropped a record whose signature is not its owner's"},
        [NOTE_FOREIGN_KEY] = {"foreign-key",
                              "another mesh has our name but another key; to make it one: run "
                              "'meshctl token' there, give it to 'meshd --token=-' here"},
        [NOTE_ROSTER_FULL] = {"roster-full", "the roster is full: a new node is not taken"},
        [NOTE_STORE_DAMAGED] = {"store-damaged", "dropped stored entries that do not read; the "
                                                 "mesh will tell them again"},
        [NOTE_STORE_FAILED] = {"store-failed", "the store cannot write; going on from memory, "
                                               "trying again every 10 s"},
        [NOTE_STALLED] = {"stalled", "this node was held up and heard nothing; it judges nobody "
                                     "by that time"},
        [NOTE_LINK_UP] = {"link-up", "link to %s is up"},
        [NOTE_LINK_DOWN] = {"link-down", "link to %s ended"},
        [NOTE_SAME_IDENTITY] = {"same-identity",
                                "another process uses this node's identity (a copied data "
                                "directory?); start one of the two with 'meshd --new-identity'"},
        [NOTE_LEAVING] = {"leaving", "leaving the mesh"},
        [NOTE_PATH] = {"path", "%s is alive"},
        [NOTE_ISOLATED] = {"isolated", "this node is isolated: nobody answers it. It keeps its "
                                       "doubts about others to itself; look at its network"},
        [NOTE_REACHES] = {"reaches", "this node is isolated no more: it is answered again"},
        [NOTE_SAME_NAME] = {"same-name", "two nodes have one name, and this one is shown as %s; "
                                         "'meshctl nodes rename' gives it a name of its own"},
        [NOTE_COPIED] = {"copied", "two processes use the identity of %s (a copied data "
                                   "directory?); start one with 'meshd --new-identity'"},
        [NOTE_ASIDE] = {"aside", "another process uses this node's identity (a copied data "
                                 "directory?) and was there first: this one stands aside; start "
                                 "it with 'meshd --new-identity' to make it a node of its own"},
        [NOTE_BACK] = {"back", "the other process with this node's identity is gone: this one is "
                               "back in the mesh"},
        [NOTE_VERSION] = {"version", "%s speaks no version of the protocol that this node does, "
                                     "and is not taken: upgrade the older of the two"},
        [NOTE_DIVERGED] = {"diverged", "the registry of %s has differed from ours for a minute, and "
                                       "they do not come together: is there a link to it?"},
        [NOTE_LATER_FORMAT] = {"later-format", "%s holds entries of a later format than this version "
                                               "of meshd reads: they come once this node is "
                                               "upgraded, too"},
        [NOTE_RENAMED] = {"renamed", "this node is now named %s"},
        [NOTE_NAME_GIVEN] = {"name-given", "this node is %s again, as its start says; what "
                                           "'meshctl nodes rename' gave it is forgotten"},
        [NOTE_SERVICE_EXPIRED] = {"service-expired",
                                  "service %s was not refreshed within its TTL: it is critical"},
        [NOTE_SERVICE_GONE] = {"service-gone",
                               "service %s was not refreshed for long: it is deregistered"},
        [NOTE_SERVICE_TAKEN] = {"service-taken",
                                "service %s of services.d is not registered: a command or a "
                                "program has registered this id; deregister that, or give the one "
                                "in the file another id"},
    };
    return kinds[code];
}

const char *note_code_name(enum note_code code)
{
    return kind_of(code).name;
}

/* What a person reads behind the sentence; "" where the reason says nothing more. */
static const char *reason_sentence(enum note_code code, enum reason reason)
{
    if (code == NOTE_MEMBER_SUSPECT && reason == REASON_NO_ACK) {
        return ": it did not answer, neither directly nor through others";
    }
    switch (reason) {
    case REASON_JOINED: return ": it joined";
    case REASON_REFUTED: return code == NOTE_MEMBER_ALIVE ? ": it refuted the suspicion" : "";
    case REASON_RECOVERED: return ": it is back";
    case REASON_NO_ACK: return ": it stayed silent";
    case REASON_REFUSED: return ": its machine is up, its meshd is not";
    case REASON_REMEMBERED: return ": remembered from the last run";
    case REASON_PATH_DIRECT: return " and answers directly again";
    case REASON_PATH_RELAYED: return ", but answers only through others: something blocks UDP to it";
    case REASON_PATH_LINK: return ", but answers only over its link: something blocks UDP to it";
    case REASON_NONE:
    case REASON_LEFT:
    case REASON_UPDATED:
    case REASON_ISOLATED:
    case REASON_REACHES:
    case REASON_SAME_NAME:
    case REASON_SAME_IDENTITY:
    case REASON_DIVERGED:
    case REASON_REMOVED:
    case REASON_VERSION: return "";
    }
    return "";
}

static void add_field(struct note_text *t, const char *key, const char *value)
{
    if (t->field_count < NOTE_FIELDS_MAX && value[0] != '\0') {
        t->fields[t->field_count].key = key;
        text_copy(t->fields[t->field_count].value, sizeof t->fields[0].value, value);
        t->field_count++;
    }
}

static void add_id(struct note_text *t, const char *key, const struct node_id *id, const char *name)
{
    char text[NODE_ID_TEXT_BYTES];
    if (name[0] != '\0') {
        add_field(t, key, name);
    } else if (!node_id_is_zero(id)) {
        add_field(t, key, text_hex(id->b, NODE_ID_BYTES, text));
    }
}

static const char *value_key(enum note_code code)
{
    switch (code) {
    case NOTE_STALLED: return "ms";
    case NOTE_STORE_DAMAGED: return "dropped";
    case NOTE_STORE_FAILED: return "error";
    case NOTE_ROSTER_FULL: return "limit";
    case NOTE_STARTED:
    case NOTE_REFUTED:
    case NOTE_MEMBER_ALIVE:
    case NOTE_MEMBER_SUSPECT:
    case NOTE_MEMBER_FAILED:
    case NOTE_MEMBER_LEFT:
    case NOTE_MEMBER_REMOVED:
    case NOTE_MEMBER_UPDATED: return "incarnation";
    case NOTE_VERDICT_DOUBTED:
    case NOTE_FORGED_RECORD:
    case NOTE_FOREIGN_KEY:
    case NOTE_LINK_UP:
    case NOTE_LINK_DOWN:
    case NOTE_SAME_IDENTITY:
    case NOTE_PATH:
    case NOTE_ISOLATED:
    case NOTE_REACHES:
    case NOTE_SAME_NAME:
    case NOTE_COPIED:
    case NOTE_ASIDE:
    case NOTE_BACK:
    case NOTE_DIVERGED:
    case NOTE_LATER_FORMAT:
    case NOTE_RENAMED:
    case NOTE_NAME_GIVEN:
    case NOTE_SERVICE_EXPIRED:
    case NOTE_SERVICE_GONE:
    case NOTE_SERVICE_TAKEN:
    case NOTE_SELF_REMOVED:
    case NOTE_LEAVING: return NULL;
    case NOTE_VERSION: return "version_min";
    }
    return NULL;
}

void note_format(const struct note *note, struct note_text *ret_text)
{
    char text[ADDR_TEXT_BYTES];
    struct note_kind kind = kind_of(note->code);
    const char *name = note->name[0] != '\0' ? note->name : "a node";
    const char *mark = strstr(kind.sentence, "%s");
    memset(ret_text, 0, sizeof *ret_text);
    if (mark == NULL) {
        text_copy(ret_text->message, sizeof ret_text->message, kind.sentence);
    } else {
        snprintf(ret_text->message, sizeof ret_text->message, "%.*s%s%s%s",
                 (int) (mark - kind.sentence), kind.sentence, name, mark + 2,
                 reason_sentence(note->code, note->reason));
    }
    add_field(ret_text, "event", kind.name);
    add_id(ret_text, "id", &note->node, "");
    if (!addr_is_none(&note->addr)) {
        add_field(ret_text, "address", addr_format(&note->addr, text));
    }
    add_id(ret_text, "observer", &note->observer, note->observer_name);
    add_field(ret_text, "reason", reason_name(note->reason));
    if (value_key(note->code) != NULL) {
        snprintf(text, sizeof text, "%" PRIu64, note->value);
        add_field(ret_text, value_key(note->code), text);
    }
}
