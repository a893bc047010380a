/* SPDX-License-Identifier: MPL-2.0 */
/* The log: one line per thing, to stderr. Text (coloured on a terminal) or JSON lines. Where stderr
 * is systemd's journal (JOURNAL_STREAM says so) text goes to the journal's own socket, with each field
 * by itself; if that fails, to stderr with syslog levels. Values from outside are escaped; nothing
 * here can forge a line.
 *
 * Never blocks the caller once log_start has been called: lines go into a bounded ring that a
 * thread of its own writes out. A stuck stderr fills the ring; then lines are lost and counted.
 * Before log_start (the start-up, while no thread may exist) lines are written directly.
 * Thread-safe, except log_new, log_start and log_destroy. */
#ifndef HM_IO_LOG_H
#define HM_IO_LOG_H

#include "core/note.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_BYTES_MAX 2048     /* longer ones are cut */
#define LOG_RING_BYTES 131072       /* about 800 lines while stderr is stuck */
#define LOG_LIMIT_KEYS 64           /* rate-limited keys told apart; more share the last */
#define LOG_LIMIT_INTERVAL_MS 10000 /* one line of a kind in this time */
#define LOG_MEMBER_LINES 500        /* about members, at once: a large mesh comes up; */
#define LOG_MEMBER_LINES_PER_S 20   /* in the long run, whatever one of them makes happen */

enum log_format { LOG_TEXT, LOG_JSON };

struct log_conf {
    int fd; /* normally 2; not closed */
    enum log_format format;
    enum note_level level; /* the least that is written */
    const char *node;      /* this node's name; copied */
    const char *journal_path; /* the journal's socket; NULL: where systemd has it */
};

typedef struct log log_t;

struct log_field {
    const char *key;
    const char *value; /* NULL: left out */
};

/* log_line(log, NOTE_WARN, LOG_FIELDS({"addr", text}, {"port", "8471"}), "cannot bind: %s",
 * why); */
#define LOG_FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {NULL, NULL}})

/* NULL: out of memory. */
log_t *log_new(const struct log_conf *conf);
/* Writes out what waits, for at most 200 ms. */
void log_destroy(log_t **p);
/* Starts the writer thread (all signals blocked in it). HM_EIO: no thread; lines stay direct. */
int log_start(log_t *log);

/* "debug", "info", "warn", "error". */
const char *log_level_name(enum note_level level);

bool log_wants(const log_t *log, enum note_level level);
/* Both at any time: from the next line on. */
void log_set_level(log_t *log, enum note_level level);
void log_set_format(log_t *log, enum log_format format);
void log_set_node(log_t *log, const char *name);

/* fields: NULL, or ends with a NULL key. log may be NULL: nothing happens. */
void log_line(log_t *log, enum note_level level, const struct log_field *fields, const char *format,
              ...) __attribute__((format(printf, 4, 5)));

/* For lines that a stranger can cause: one per key and LOG_LIMIT_INTERVAL_MS, the next one
 * tells how many were left out. key: static text, compared by content. */
void log_stranger(log_t *log, enum note_level level, const char *key,
                  const struct log_field *fields, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* A note of the core; those that a stranger or a member can cause are rate-limited. */
void log_note(log_t *log, const struct note *note);

/* Lines lost so far: only rises. */
uint64_t log_lost(const log_t *log);

#endif
