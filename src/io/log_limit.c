/* SPDX-License-Identifier: MPL-2.0 */
/* Limits of the log: see log_limit.h. */
#define _GNU_SOURCE
#include "io/log_limit.h"

#include "base/text.h"

#include <string.h>

bool log_limit_key(struct log_limits *limits, const char *key, uint64_t now_ms,
                   uint64_t *ret_left_out)
{
    size_t idx = 0;
    while (idx < limits->count &&
           strncmp(limits->keys[idx].key, key, LOG_LIMIT_KEY_BYTES - 1) != 0) {
        idx++;
    }
    if (idx == LOG_LIMIT_KEYS) {
        idx = LOG_LIMIT_KEYS - 1;
    } else if (idx == limits->count) {
        text_copy(limits->keys[idx].key, LOG_LIMIT_KEY_BYTES, key);
        limits->count++;
    }
    struct log_limit *limit = &limits->keys[idx];
    bool pass = limit->last_ms == 0 || now_ms - limit->last_ms >= LOG_LIMIT_INTERVAL_MS;
    if (pass) {
        *ret_left_out = limit->left_out;
        limit->left_out = 0;
        limit->last_ms = now_ms;
    } else {
        limit->left_out++;
    }
    return pass;
}

/* The same for what members make happen, of whom one may have turned: many at once, then few. */
static bool members_pass(struct log_limits *limits, uint64_t now_ms, uint64_t *ret_left_out)
{
    uint64_t gone = (now_ms - limits->member_ms) * LOG_MEMBER_LINES_PER_S / 1000;
    if (gone > 0) {
        limits->member_lines -= gone < limits->member_lines ? gone : limits->member_lines;
        limits->member_ms = now_ms;
    }
    bool pass = limits->member_lines < LOG_MEMBER_LINES;
    if (pass) {
        limits->member_lines++;
        *ret_left_out = limits->member_left_out;
        limits->member_left_out = 0;
    } else {
        limits->member_left_out++;
    }
    return pass;
}

bool log_limit_note(struct log_limits *limits, enum note_code code, uint64_t now_ms,
                    uint64_t *ret_left_out)
{
    switch (code) {
    case NOTE_FORGED_RECORD:
    case NOTE_FOREIGN_KEY:
    case NOTE_SAME_IDENTITY:
    case NOTE_COPIED:
    case NOTE_VERSION:
    case NOTE_LATER_FORMAT:
    case NOTE_VERDICT_DOUBTED:
    case NOTE_ROSTER_FULL:
        return log_limit_key(limits, note_code_name(code), now_ms, ret_left_out);
    case NOTE_MEMBER_ALIVE:
    case NOTE_MEMBER_SUSPECT:
    case NOTE_MEMBER_FAILED:
    case NOTE_MEMBER_LEFT:
    case NOTE_MEMBER_UPDATED:
    case NOTE_REFUTED:
    case NOTE_LINK_UP:
    case NOTE_LINK_DOWN:
    case NOTE_PATH:
    case NOTE_SAME_NAME:
        return members_pass(limits, now_ms, ret_left_out);
    case NOTE_STARTED:
    case NOTE_STORE_DAMAGED:
    case NOTE_STORE_FAILED:
    case NOTE_STALLED:
    case NOTE_LEAVING:
    case NOTE_MEMBER_REMOVED:
    case NOTE_SELF_REMOVED:
    case NOTE_ISOLATED:
    case NOTE_REACHES:
    case NOTE_ASIDE:
    case NOTE_BACK:
    case NOTE_DIVERGED:
    case NOTE_RENAMED:
    case NOTE_NAME_GIVEN:
    case NOTE_SERVICE_EXPIRED:
    case NOTE_SERVICE_GONE:
    case NOTE_SERVICE_TAKEN:
        break;
    }
    return true;
}
