/* SPDX-License-Identifier: MPL-2.0 */
/* Reading scenario files, shared by script.c (lines and statements) and script_value.c (values and
 * expectations). The reader stands on a word; each function takes what it reads and steps to the
 * word behind it, or fails. */
#ifndef HM_SIM_SCRIPT_READ_H
#define HM_SIM_SCRIPT_READ_H

#include "sim/script.h"

struct reader {
    struct script *script;
    struct script_error *error;
    bool failed;
    bool has_off;
    struct span text;
    size_t pos;        /* behind the word */
    size_t word, size; /* size 0: the line ends here */
    size_t line_start;
    unsigned line;
    char text_of_word[64]; /* cut off, if it is longer */
};

void reader_next(struct reader *r);
bool reader_is(const struct reader *r, const char *word);
bool reader_skip(struct reader *r, const char *word);
bool reader_line_has(const struct reader *r, const char *word);
/* Both return false; the first failure counts. */
bool reader_fail(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool reader_fail_word(struct reader *r, const char *what, const char *const *words);

/* A new statement; NULL: too many, it failed. */
struct script_statement *reader_add(struct reader *r);

bool reader_number(struct reader *r, uint64_t min, uint64_t max, uint64_t *ret);
bool reader_time(struct reader *r, uint64_t *ret_ns);
bool reader_time_range(struct reader *r, struct script_range *ret);
bool reader_percent(struct reader *r, uint32_t *ret_ppm);
bool reader_rate(struct reader *r, uint64_t *ret_every_ns);
bool reader_jump(struct reader *r, uint64_t *ret_ms);   /* an int64_t */
bool reader_drift(struct reader *r, uint64_t *ret_ppm); /* likewise */
bool reader_node(struct reader *r, unsigned *ret_idx);
bool reader_set(struct reader *r, struct script_set *ret);
bool reader_sides(struct reader *r, struct script_statement *st);
/* Behind "expect". st: of "at"; NULL: it stood alone. */
bool reader_expect(struct reader *r, struct script_statement *st);

#endif
