/* SPDX-License-Identifier: MPL-2.0 */
/* Output for persons: see ctl_out.h. */
#define _GNU_SOURCE
#include "cmd/ctl_out.h"

#include "base/err.h"
#include "base/text.h"
#include "ops/ops_time.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define GAP 2             /* blanks between columns */
#define LAST_COLUMN_MIN 8 /* the last column is cut to no less; below it goes */

static size_t terminal_width(void)
{
    struct winsize size;
    uint64_t columns = 0;
    const char *env = getenv("COLUMNS");
    if (env != NULL && text_to_u64(env, 10000, &columns) == HM_OK && columns > 0) {
        return (size_t) columns;
    }
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void out_init(struct out *out, enum ctl_color color)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    bool is_dumb = term != NULL && strcmp(term, "dumb") == 0;
    memset(out, 0, sizeof *out);
    out->is_terminal = isatty(STDOUT_FILENO) == 1;
    out->has_color =
        color == COLOR_ALWAYS || (color == COLOR_AUTO && out->is_terminal && !is_dumb &&
                                  (no_color == NULL || no_color[0] == '\0'));
    out->width = out->is_terminal ? terminal_width() : 0;
}

static const char *style_code(enum out_style style)
{
    switch (style) {
    case STYLE_PLAIN:
        return "";
    case STYLE_BOLD:
        return "\033[1m";
    case STYLE_DIM:
        return "\033[2m";
    case STYLE_GREEN:
        return "\033[32m";
    case STYLE_YELLOW:
        return "\033[33m";
    case STYLE_RED:
        return "\033[31m";
    }
    return "";
}

enum out_style out_status_style(const char *status)
{
    static const struct {
        const char *status;
        enum out_style style;
    } styles[] = {
        {"alive", STYLE_GREEN},
        {"suspect", STYLE_YELLOW},
        {"failed", STYLE_RED},
        {"left", STYLE_DIM},
    };
    for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++) {
        if (strcmp(status, styles[i].status) == 0) {
            return styles[i].style;
        }
    }
    return STYLE_PLAIN;
}

/* Bytes of the next character of well-formed UTF-8. */
static size_t char_bytes(const char *at)
{
    unsigned char c = (unsigned char) at[0];
    size_t size = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return strnlen(at, size);
}

/* Columns, one per character: wide and combining ones appear only in labels, where it matters
 * little. */
static size_t text_columns(const char *text)
{
    size_t columns = 0;
    while (*text != '\0') {
        text += char_bytes(text);
        columns++;
    }
    return columns;
}

/* What a terminal obeys, and what is not seen or turns the order of what is: U+200B to U+200F, U+2028
 * to U+202E, U+2060 to U+206F, U+FEFF. */
static bool is_control(const char *at, size_t size)
{
    unsigned char c = (unsigned char) at[0];
    unsigned char d = size > 1 ? (unsigned char) at[1] : 0;
    unsigned char e = size > 2 ? (unsigned char) at[2] : 0;
    bool is_hidden =
        size == 3 && ((c == 0xe2 && d == 0x80 && ((e >= 0x8b && e <= 0x8f) || (e >= 0xa8 && e <= 0xae))) ||
                      (c == 0xe2 && d == 0x81 && e >= 0xa0 && e <= 0xaf) ||
                      (c == 0xef && d == 0xbb && e == 0xbf));
    return c < 0x20 || c == 0x7f || (size == 2 && c == 0xc2 && d < 0xa0) || is_hidden;
}

/* Prints at most `columns` characters; a longer text ends in "…". */
static size_t put_text(const char *text, size_t columns)
{
    size_t all = text_columns(text);
    size_t done = 0;
    size_t keep = all > columns ? columns - 1 : all;
    while (done < keep) {
        size_t size = char_bytes(text);
        if (is_control(text, size)) {
            fputc('?', stdout);
        } else {
            fwrite(text, 1, size, stdout);
        }
        text += size;
        done++;
    }
    if (all > columns) {
        fputs("…", stdout);
        done++;
    }
    return done;
}

static void put_blanks(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fputc(' ', stdout);
    }
}

static size_t put_styled(const struct out *out, enum out_style style, const char *text,
                         size_t columns)
{
    bool has_style = out->has_color && style != STYLE_PLAIN;
    if (has_style) {
        fputs(style_code(style), stdout);
    }
    size_t done = put_text(text, columns);
    if (has_style) {
        fputs("\033[0m", stdout);
    }
    return done;
}

void out_put(const struct out *out, enum out_style style, const char *text, size_t width)
{
    size_t done = put_styled(out, style, text, SIZE_MAX);
    put_blanks(width > done ? width - done : 0);
}

void out_say(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put_text(text, SIZE_MAX);
}

void out_put_cut(const struct out *out, enum out_style style, const char *text, size_t columns)
{
    put_styled(out, style, text, columns);
}

/* Bytes of text that fit, up to a blank; a word that is too long is not broken. */
static size_t line_bytes(const char *text, size_t columns)
{
    size_t best = 0;
    size_t at = 0;
    for (size_t done = 0; text[at] != '\0'; done++) {
        if (done > columns && best > 0) {
            return best;
        }
        if (text[at] == ' ') {
            if (done > columns) {
                return at;
            }
            best = at;
        }
        at += char_bytes(text + at);
    }
    return best > 0 && text_columns(text) > columns ? best : at;
}

void out_put_wrapped(const struct out *out, enum out_style style, const char *text, size_t indent)
{
    char line[1024];
    size_t columns = out->width > indent + LAST_COLUMN_MIN ? out->width - indent : SIZE_MAX;
    bool is_first = true;
    do {
        size_t size = line_bytes(text, columns);
        size = size < sizeof line ? size : sizeof line - 1;
        memcpy(line, text, size);
        line[size] = '\0';
        put_blanks(is_first ? 0 : indent);
        put_styled(out, style, line, SIZE_MAX);
        fputc('\n', stdout);
        text += size;
        text += *text == ' ' ? 1 : 0;
        is_first = false;
    } while (*text != '\0');
}

const char *out_duration(uint64_t ms, char text[OUT_TEXT_BYTES])
{
    uint64_t s = ms / 1000;
    if (s < 60) {
        snprintf(text, OUT_TEXT_BYTES, "%" PRIu64 " s", s);
    } else if (s < 3600) {
        snprintf(text, OUT_TEXT_BYTES, "%" PRIu64 " min", s / 60);
    } else if (s < 48 * 3600) {
        snprintf(text, OUT_TEXT_BYTES, "%" PRIu64 " h", s / 3600);
    } else {
        snprintf(text, OUT_TEXT_BYTES, "%" PRIu64 " d", s / 86400);
    }
    return text;
}

const char *out_ms(const json_t *ms, char text[OUT_TEXT_BYTES])
{
    double value = json_number_value(ms);
    if (!json_is_number(ms)) {
        text_copy(text, OUT_TEXT_BYTES, "-");
    } else if (value < 10) {
        snprintf(text, OUT_TEXT_BYTES, "%.2f ms", value);
    } else if (value < 1000) {
        snprintf(text, OUT_TEXT_BYTES, "%.1f ms", value);
    } else {
        snprintf(text, OUT_TEXT_BYTES, "%.1f s", value / 1000);
    }
    return text;
}

const char *out_time(const char *time, char text[OUT_TEXT_BYTES])
{
    uint64_t ms = 0;
    struct tm tm;
    if (ops_time_parse(time, &ms) != HM_OK) {
        text_copy(text, OUT_TEXT_BYTES, time);
        return text;
    }
    time_t seconds = (time_t) (ms / 1000);
    if (localtime_r(&seconds, &tm) == NULL ||
        strftime(text, OUT_TEXT_BYTES, "%Y-%m-%d %H:%M:%S", &tm) == 0) {
        text_copy(text, OUT_TEXT_BYTES, time);
    }
    return text;
}

const char *out_node(const char *name, char text[OUT_TEXT_BYTES])
{
    if (strlen(name) != 32 || strspn(name, "0123456789abcdef") != 32) {
        return name;
    }
    snprintf(text, OUT_TEXT_BYTES, "%.12s", name);
    return text;
}

const char *out_ago(const char *time, const char *now, char text[OUT_TEXT_BYTES])
{
    uint64_t then_ms = 0;
    uint64_t now_ms = 0;
    if (ops_time_parse(time, &then_ms) != HM_OK || ops_time_parse(now, &now_ms) != HM_OK) {
        text_copy(text, OUT_TEXT_BYTES, "-");
        return text;
    }
    return out_duration(now_ms > then_ms ? now_ms - then_ms : 0, text);
}

#define COLUMNS_MAX 16

struct cell {
    char *text;
    enum out_style style;
};

struct table {
    const struct out_column *columns;
    size_t column_count;
    size_t max[COLUMNS_MAX]; /* of its width; 0: none */
    struct cell *cells;
    size_t cell_count;
    size_t cell_room;
    bool failed; /* out of memory: what there is is printed */
};

table_t *table_new(const struct out_column *columns, size_t count)
{
    HM_ASSERT(count > 0 && count <= COLUMNS_MAX);
    table_t *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return NULL;
    }
    t->columns = columns;
    t->column_count = count;
    return t;
}

void table_destroy(table_t **p)
{
    table_t *t = *p;
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->cell_count; i++) {
        free(t->cells[i].text);
    }
    free(t->cells);
    free(t);
    *p = NULL;
}

void table_limit(table_t *table, size_t column, size_t max)
{
    HM_ASSERT(column < table->column_count);
    table->max[column] = max;
}

void table_add(table_t *table, enum out_style style, const char *text)
{
    if (table->cell_count == table->cell_room) {
        size_t room = table->cell_room == 0 ? 64 : 2 * table->cell_room;
        struct cell *cells = realloc(table->cells, room * sizeof *cells);
        if (cells == NULL) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->cell_room = room;
    }
    char *copy = strdup(text);
    if (copy == NULL || table->failed) {
        free(copy);
        table->failed = true;
        return;
    }
    table->cells[table->cell_count++] = (struct cell){copy, style};
}

struct layout {
    size_t width[COLUMNS_MAX];
    bool is_shown[COLUMNS_MAX];
    size_t last; /* the last shown column: not padded, may be cut */
    size_t total;
};

static void measure(const table_t *t, struct layout *l)
{
    l->total = 0;
    l->last = 0;
    for (size_t c = 0; c < t->column_count; c++) {
        if (!l->is_shown[c]) {
            continue;
        }
        l->width[c] = text_columns(t->columns[c].header);
        for (size_t i = c; i < t->cell_count; i += t->column_count) {
            size_t width = text_columns(t->cells[i].text);
            l->width[c] = width > l->width[c] ? width : l->width[c];
        }
        if (t->max[c] > 0 && l->width[c] > t->max[c]) {
            l->width[c] = t->max[c];
        }
        l->total += (l->total > 0 ? GAP : 0) + l->width[c];
        l->last = c;
    }
}

/* Drops and cuts until the table is at most `width` wide, as far as it may. */
static void fit(const table_t *t, struct layout *l, size_t width)
{
    while (width > 0 && l->total > width) {
        size_t over = l->total - width;
        size_t victim = 0;
        if (t->columns[l->last].drop > 0 && l->width[l->last] >= over + LAST_COLUMN_MIN) {
            l->width[l->last] -= over;
            return;
        }
        for (size_t c = 0; c < t->column_count; c++) {
            if (l->is_shown[c] && t->columns[c].drop > t->columns[victim].drop) {
                victim = c;
            }
        }
        if (t->columns[victim].drop == 0) {
            return;
        }
        l->is_shown[victim] = false;
        measure(t, l);
    }
}

static void print_cell(const table_t *t, const struct layout *l, const struct out *out, size_t c,
                       enum out_style style, const char *text)
{
    size_t width = text_columns(text);
    size_t pad = l->width[c] > width ? l->width[c] - width : 0;
    if (t->columns[c].is_right) {
        put_blanks(pad);
    }
    put_styled(out, style, text, l->width[c]);
    if (c != l->last) {
        put_blanks((t->columns[c].is_right ? 0 : pad) + GAP);
    }
}

static void print_table(const table_t *table, const struct out *out, bool has_head)
{
    struct layout l;
    memset(&l, 0, sizeof l);
    for (size_t c = 0; c < table->column_count; c++) {
        l.is_shown[c] = true;
    }
    measure(table, &l);
    fit(table, &l, out->width);
    for (size_t c = 0; has_head && c < table->column_count; c++) {
        if (l.is_shown[c]) {
            print_cell(table, &l, out, c, STYLE_BOLD, table->columns[c].header);
        }
    }
    fputs(has_head ? "\n" : "", stdout);
    for (size_t i = 0; i + table->column_count <= table->cell_count; i += table->column_count) {
        for (size_t c = 0; c < table->column_count; c++) {
            if (l.is_shown[c]) {
                print_cell(table, &l, out, c, table->cells[i + c].style, table->cells[i + c].text);
            }
        }
        fputc('\n', stdout);
    }
    if (table->failed) {
        ctl_error("out of memory: the list is not complete");
    }
}

void table_print(const table_t *table, const struct out *out)
{
    print_table(table, out, true);
}

void table_print_rows(const table_t *table, const struct out *out)
{
    print_table(table, out, false);
}
