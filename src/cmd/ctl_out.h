/* SPDX-License-Identifier: MPL-2.0 */
/* Output for persons: colours, aligned columns that fit the terminal, durations.
 *
 * On a terminal there are colours (unless NO_COLOR) and lines are at most as wide as it: columns
 * that matter least go first. Otherwise the same columns, in full and plain. Foreign texts never
 * reach the terminal with control characters in them. */
#ifndef HM_CMD_CTL_OUT_H
#define HM_CMD_CTL_OUT_H

#include "cmd/ctl.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum out_style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_GREEN, STYLE_YELLOW, STYLE_RED };

struct out {
    bool has_color;
    bool is_terminal;
    size_t width; /* columns; 0: no limit */
};

void out_init(struct out *out, enum ctl_color color);
/* Prints text in a style, padded with blanks to width columns (0: as it is). */
void out_put(const struct out *out, enum out_style style, const char *text, size_t width);
/* Prints one plain piece of a line; what a terminal would obey in it becomes '?', line ends too. */
void out_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints at most `columns` characters of a text. */
void out_put_cut(const struct out *out, enum out_style style, const char *text, size_t columns);
/* Prints text that begins at column `indent` and a line end. On a terminal it goes on in further
 * lines, indented alike, instead of beyond the edge. */
void out_put_wrapped(const struct out *out, enum out_style style, const char *text, size_t indent);
/* alive green, suspect yellow, failed red, left dim. */
enum out_style out_status_style(const char *status);

#define OUT_TEXT_BYTES 64
/* "12 s", "3 min", "5 h", "12 d" */
const char *out_duration(uint64_t ms, char text[OUT_TEXT_BYTES]);
/* "0.41 ms", "12.3 ms", "1.2 s"; "-" for null */
const char *out_ms(const json_t *ms, char text[OUT_TEXT_BYTES]);
/* An RFC 3339 time as local "2026-11-21 03:20:07"; the text itself if it is none. */
const char *out_time(const char *time, char text[OUT_TEXT_BYTES]);
/* A node that has no name any more, since it was removed, is told by its id: the beginning of that. */
const char *out_node(const char *name, char text[OUT_TEXT_BYTES]);
/* How long `time` was before `now`, both RFC 3339; "-" if one is none. */
const char *out_ago(const char *time, const char *now, char text[OUT_TEXT_BYTES]);

struct out_column {
    const char *header;
    unsigned drop; /* goes when the terminal is narrow, highest first; 0: always stays */
    bool is_right;
};

typedef struct table table_t;

/* Columns are borrowed. NULL: out of memory. */
table_t *table_new(const struct out_column *columns, size_t count);
void table_destroy(table_t **p);
/* A column is cut to so many characters, at least that of its header. */
void table_limit(table_t *table, size_t column, size_t max);
/* Adds the next cell, from left to right; texts are copied. */
void table_add(table_t *table, enum out_style style, const char *text);
void table_print(const table_t *table, const struct out *out);
/* The same without the line of headers, for what goes on. */
void table_print_rows(const table_t *table, const struct out *out);

#endif
