/* SPDX-License-Identifier: MPL-2.0 */
/* How a log line looks: see log_line.h. */
#define _GNU_SOURCE
#include "io/log_line.h"

#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void put(struct line *line, const char *text, size_t size)
{
    size_t room = sizeof line->text - 8 - line->size; /* 8: the ends of a cut JSON line */
    size = size < room ? size : room;
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static void puts_line(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* Length of the clean UTF-8 character at text, 0 if it must be escaped. */
static size_t clean_char(const char *text, size_t left)
{
    for (size_t n = 1; n <= 4 && n <= left; n++) {
        if (text_is_clean_utf8((const uint8_t *) text, n)) {
            return n;
        }
    }
    return 0;
}

enum escape { ESCAPE_BARE, ESCAPE_QUOTED, ESCAPE_JSON };

/* Escapes what is no clean UTF-8 (line ends, other control characters), and within quotes also
 * what could end them. */
static void put_escaped(struct line *line, const char *text, enum escape how)
{
    size_t left = strlen(text);
    while (left > 0) {
        char escape[8];
        size_t n = clean_char(text, left);
        bool must_quote = how != ESCAPE_BARE && n == 1 && (*text == '"' || *text == '\\');
        if (n != 0 && !must_quote) {
            if (line->size + n > sizeof line->text - 16) {
                return; /* no half characters */
            }
            put(line, text, n);
        } else if (must_quote) {
            snprintf(escape, sizeof escape, "\\%c", *text);
            puts_line(line, escape);
        } else if (*text == '\n') {
            puts_line(line, "\\n");
        } else {
            /* A stray byte of no character shows as U+00XX in JSON: readable, and still JSON. */
            snprintf(escape, sizeof escape, how == ESCAPE_JSON ? "\\u%04x" : "\\x%02x",
                     (unsigned char) *text);
            puts_line(line, escape);
        }
        text += n == 0 ? 1 : n;
        left -= n == 0 ? 1 : n;
        if (line->size >= sizeof line->text - 24) {
            return;
        }
    }
}

const char *log_level_name(enum note_level level)
{
    switch (level) {
    case NOTE_DEBUG:
        return "debug";
    case NOTE_INFO:
        return "info";
    case NOTE_WARN:
        return "warn";
    case NOTE_ERROR:
        return "error";
    }
    return "info";
}

static const char *level_colour(enum note_level level)
{
    switch (level) {
    case NOTE_DEBUG:
        return "\033[2m";
    case NOTE_INFO:
        return "\033[32m";
    case NOTE_WARN:
        return "\033[33m";
    case NOTE_ERROR:
        return "\033[31m";
    }
    return "";
}

static unsigned level_syslog(enum note_level level)
{
    switch (level) {
    case NOTE_DEBUG:
        return 7;
    case NOTE_INFO:
        return 6;
    case NOTE_WARN:
        return 4;
    case NOTE_ERROR:
        return 3;
    }
    return 6;
}

static void format_time(bool is_short, char *text, size_t max)
{
    struct timespec now;
    struct tm tm;
    char date[32];
    clock_gettime(CLOCK_REALTIME, &now);
    if (is_short) {
        localtime_r(&now.tv_sec, &tm);
        strftime(date, sizeof date, "%H:%M:%S", &tm);
    } else {
        gmtime_r(&now.tv_sec, &tm);
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    }
    snprintf(text, max, "%s.%03ld%s", date, now.tv_nsec / 1000000, is_short ? "" : "Z");
}

static void put_head(struct line *line, enum dress dress, const char *node, enum note_level level)
{
    char time[48];
    char head[256];
    line->size = 0;
    switch (dress) {
    case DRESS_PLAIN:
        format_time(false, time, sizeof time);
        snprintf(head, sizeof head, "%s %-5s %s: ", time, log_level_name(level), node);
        break;
    case DRESS_TERMINAL:
        format_time(true, time, sizeof time);
        snprintf(head, sizeof head, "\033[2m%s\033[0m %s%-5s\033[0m \033[1m%s\033[0m ", time,
                 level_colour(level), log_level_name(level), node);
        break;
    case DRESS_JOURNAL:
        snprintf(head, sizeof head, "<%u>%s: ", level_syslog(level), node);
        break;
    case DRESS_JSON:
        format_time(false, time, sizeof time);
        snprintf(head, sizeof head,
                 "{\"time\":\"%s\",\"level\":\"%s\",\"self\":\"%s\",\"message\":\"", time,
                 log_level_name(level), node);
        break;
    }
    puts_line(line, head);
}

static bool needs_quotes(const char *value)
{
    if (*value == '\0') {
        return true;
    }
    for (; *value != '\0'; value++) {
        if ((unsigned char) *value <= ' ' || *value == '"' || *value == '=' || *value == '\\' ||
            (unsigned char) *value >= 0x7f) {
            return true;
        }
    }
    return false;
}

/* Counts are numbers for programs that read JSON; what only looks like one (a name, a text) is not. */
static bool is_number(const char *key, const char *value)
{
    static const char *const keys[] = {"incarnation", "ms", "dropped", "limit", "count", "left_out"};
    size_t len = strlen(value);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(key, keys[i]) == 0) {
            return len > 0 && strspn(value, "0123456789") == len && (value[0] != '0' || len == 1);
        }
    }
    return false;
}

void line_field(struct line *line, enum dress dress, const char *key, const char *value)
{
    if (value == NULL || line->size > sizeof line->text - 128) {
        return; /* no room for a whole field: rather none */
    }
    bool is_json = dress == DRESS_JSON;
    bool is_quoted = is_json ? !is_number(key, value) : needs_quotes(value);
    puts_line(line, is_json ? ",\"" : dress == DRESS_TERMINAL ? " \033[2m" : " ");
    puts_line(line, key);
    puts_line(line, is_json ? "\":" : dress == DRESS_TERMINAL ? "=\033[0m" : "=");
    puts_line(line, is_quoted ? "\"" : "");
    put_escaped(line, value, is_json ? ESCAPE_JSON : is_quoted ? ESCAPE_QUOTED : ESCAPE_BARE);
    puts_line(line, is_quoted ? "\"" : "");
}

void line_end(struct line *line, enum dress dress)
{
    if (dress == DRESS_JSON) {
        line->text[line->size++] = '}';
    }
    line->text[line->size++] = '\n';
}

void line_start(struct line *line, enum dress dress, const char *node, enum note_level level,
                const char *message)
{
    put_head(line, dress, node, level);
    line->head = line->size;
    put_escaped(line, message, dress == DRESS_JSON ? ESCAPE_JSON : ESCAPE_BARE);
    puts_line(line, dress == DRESS_JSON ? "\"" : "");
}

/* ---- journal --------------------------------------------------------------------------------- */

static void put_entry(struct entry *entry, const char *text, size_t size)
{
    memcpy(entry->text + entry->size, text, size);
    entry->size += size;
}

/* NAME=value; without room for all of it, nothing. A value with a line end would begin another
 * field. */
static void put_variable(struct entry *entry, const char *name, const char *value)
{
    struct line safe = {.size = 0};
    put_escaped(&safe, value, ESCAPE_BARE);
    if (entry->size + strlen(name) + safe.size + 2 <= sizeof entry->text) {
        put_entry(entry, name, strlen(name));
        put_entry(entry, "=", 1);
        put_entry(entry, safe.text, safe.size);
        put_entry(entry, "\n", 1);
    }
}

void entry_start(struct entry *entry, const char *node, enum note_level level,
                 const struct line *line)
{
    char priority[8];
    snprintf(priority, sizeof priority, "%u", level_syslog(level));
    entry->size = 0;
    /* The line as on a terminal, without what the journal shows beside it: escaped already. */
    put_entry(entry, "MESSAGE=", 8);
    put_entry(entry, line->text + line->head, line->size - line->head);
    if (entry->text[entry->size - 1] != '\n') {
        put_entry(entry, "\n", 1);
    }
    put_variable(entry, "PRIORITY", priority);
    put_variable(entry, "SYSLOG_IDENTIFIER", "meshd");
    put_variable(entry, "MESHD_NODE", node);
}

void entry_field(struct entry *entry, const char *key, const char *value)
{
    char name[64] = "MESHD_";
    size_t size = strlen(name);
    if (value == NULL) {
        return;
    }
    for (; *key != '\0' && size < sizeof name - 1; key++) {
        name[size++] = isalnum((unsigned char) *key) ? (char) toupper((unsigned char) *key) : '_';
    }
    name[size] = '\0';
    put_variable(entry, name, value);
}
