/* SPDX-License-Identifier: MPL-2.0 */
/* What a person is told about members: an event for the list of events (evlog.c), which calls and
 * watchers wait for and which is kept on disk, and with it a note for the log. And what records
 * were refused for: only for the log, and seldom, as anybody can send us many. */
#include "core/core_priv.h"

#include <string.h>

static void log_event(core_t *c, struct member *m, enum member_event_type type, enum reason reason,
                      const struct node_id *observer)
{
    struct member_event ev = {.wall_ms = c->wall_ms,
                              .type = type,
                              .node = m->id,
                              .reason = reason,
                              .incarnation = m->rec.incarnation};
    if (observer != NULL) {
        ev.observer = *observer;
    }
    if (type == EVENT_SUSPECT || type == EVENT_FAILED) {
        ev.evidence = m->evidence;
    } else if (node_id_eq(&ev.observer, &c->self->id)) {
        ev.evidence = (struct evidence){.is_known = true, .health = (uint8_t) c->health};
    }
    memcpy(ev.name, m->shown, sizeof ev.name);
    if (evlog_add(&c->events, &ev)) {
        persist_self(c);
    }
    c->wakes |= WAKE_EVENT;
}

void report_event(core_t *c, struct member *m, enum member_event_type type, enum reason reason,
                  const struct node_id *observer)
{
    static const enum note_code codes[] = {NOTE_MEMBER_ALIVE, NOTE_MEMBER_SUSPECT,
                                           NOTE_MEMBER_FAILED, NOTE_MEMBER_LEFT,
                                           NOTE_MEMBER_UPDATED, NOTE_PATH,
                                           NOTE_MEMBER_REMOVED};
    bool bad = type == EVENT_FAILED || type == EVENT_SUSPECT;
    log_event(c, m, type, reason, observer);
    core_note(c, bad ? NOTE_WARN : NOTE_INFO, codes[type], m, observer, reason, m->rec.incarnation);
}

static enum note_code code_of_notice(enum reason reason)
{
    switch (reason) {
    case REASON_ISOLATED: return NOTE_ISOLATED;
    case REASON_REACHES: return NOTE_REACHES;
    case REASON_SAME_NAME: return NOTE_SAME_NAME;
    case REASON_SAME_IDENTITY: return NOTE_COPIED;
    case REASON_VERSION: return NOTE_VERSION;
    case REASON_DIVERGED: return NOTE_DIVERGED;
    case REASON_NONE:
    case REASON_JOINED:
    case REASON_REFUTED:
    case REASON_RECOVERED:
    case REASON_NO_ACK:
    case REASON_REFUSED:
    case REASON_LEFT:
    case REASON_UPDATED:
    case REASON_REMEMBERED:
    case REASON_PATH_DIRECT:
    case REASON_PATH_RELAYED:
    case REASON_REMOVED:
    case REASON_PATH_LINK: break;
    }
    return NOTE_PATH;
}

void report_notice(core_t *c, struct member *m, enum reason reason, const struct node_id *observer)
{
    bool good = reason == REASON_REACHES || reason == REASON_PATH_DIRECT;
    log_event(c, m, EVENT_NOTICE, reason, observer);
    bool is_copy = m == c->self && reason == REASON_SAME_IDENTITY;
    core_note(c,
              is_copy ? NOTE_ERROR
              : good  ? NOTE_INFO
                      : NOTE_WARN,
              is_copy ? NOTE_SAME_IDENTITY : code_of_notice(reason), m, observer, reason, 0);
}

void report_forged(core_t *c, const struct node_id *from)
{
    core_count(c, M_DROP_FORGED_RECORD);
    if (c->forged_noted_ns == 0 || c->now_ns - c->forged_noted_ns > 10 * SECOND_NS) {
        c->forged_noted_ns = c->now_ns;
        core_note(c, NOTE_WARN, NOTE_FORGED_RECORD, NULL, from, REASON_NONE, 0);
    }
}

void report_full(core_t *c, const struct node_id *id)
{
    core_count(c, M_DROP_FULL);
    core_note(c, NOTE_WARN, NOTE_ROSTER_FULL, NULL, id, REASON_NONE, HM_MEMBERS_MAX);
}

void report_version(core_t *c, const struct node_record *rec)
{
    core_count(c, M_DROP_VERSION);
    if (c->version_noted_ns != 0 && c->now_ns - c->version_noted_ns < 60 * SECOND_NS) {
        return;
    }
    c->version_noted_ns = c->now_ns;
    struct effect *fx = fxlist_add(&c->fx, FX_NOTE);
    if (fx != NULL) {
        fx->as.note.level = NOTE_WARN;
        fx->as.note.code = NOTE_VERSION;
        fx->as.note.value = rec->version_min;
        memcpy(fx->as.note.name, rec->name, sizeof rec->name);
        if (rec->addr_count > 0) {
            fx->as.note.addr = rec->addrs[0];
        }
    }
}
