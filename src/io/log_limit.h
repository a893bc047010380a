/* SPDX-License-Identifier: MPL-2.0 */
/* How often lines that others can cause may be written to the log.
 *
 * What strangers cause: one line of each key in LOG_LIMIT_INTERVAL_MS. What members cause, of whom
 * one may have turned: many at once, then few. What was left out is counted, and told with the next
 * line that passes. Plain data; the caller keeps threads apart, and hands in a boot clock's time,
 * which is never 0. All zero is the beginning. */
#ifndef HM_IO_LOG_LIMIT_H
#define HM_IO_LOG_LIMIT_H

#include "core/note.h"
#include "io/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LIMIT_KEY_BYTES 48

struct log_limit {
    char key[LOG_LIMIT_KEY_BYTES];
    uint64_t last_ms; /* 0: never */
    uint64_t left_out;
};

struct log_limits {
    size_t count;
    struct log_limit keys[LOG_LIMIT_KEYS];
    uint64_t member_lines; /* of late: falls by LOG_MEMBER_LINES_PER_S */
    uint64_t member_ms;    /* until when that was reckoned */
    uint64_t member_left_out;
};

/* Whether a line of this key may be written now; *ret_left_out: how many were not since the
 * last. */
bool log_limit_key(struct log_limits *limits, const char *key, uint64_t now_ms,
                   uint64_t *ret_left_out);
/* The same of a note, by who can cause it: strangers, members, or nobody but this machine. */
bool log_limit_note(struct log_limits *limits, enum note_code code, uint64_t now_ms,
                    uint64_t *ret_left_out);

#endif
