/* SPDX-License-Identifier: MPL-2.0 */
/* How a log line looks: text, text on a terminal, text for a journal that reads stderr, JSON; and the
 * entry that the journal's own protocol takes. Values are escaped: nothing in them can forge a line, a
 * field or a colour. */
#ifndef HM_IO_LOG_LINE_H
#define HM_IO_LOG_LINE_H

#include "core/note.h"
#include "io/log.h"

#include <stddef.h>

enum dress { DRESS_PLAIN, DRESS_TERMINAL, DRESS_JOURNAL, DRESS_JSON };

/* A line under construction: what does not fit is cut; some bytes are kept for the line's end. */
struct line {
    char text[LOG_LINE_BYTES_MAX];
    size_t size;
    size_t head; /* bytes before the message: time, level, node */
};

void line_start(struct line *line, enum dress dress, const char *node, enum note_level level,
                const char *message);
/* value NULL: left out. */
void line_field(struct line *line, enum dress dress, const char *key, const char *value);
void line_end(struct line *line, enum dress dress);

/* An entry of systemd's native journal protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): MESSAGE,
 * PRIORITY, SYSLOG_IDENTIFIER, MESHD_NODE, and each field as MESHD_KEY. */
struct entry {
    char text[2 * LOG_LINE_BYTES_MAX];
    size_t size;
};

/* line: complete, in DRESS_JOURNAL. */
void entry_start(struct entry *entry, const char *node, enum note_level level,
                 const struct line *line);
void entry_field(struct entry *entry, const char *key, const char *value);

#endif
