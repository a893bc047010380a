/* SPDX-License-Identifier: MPL-2.0 */
/* The words of meshctl's command line, once the options are taken out. Between ctl_opts.c and
 * ctl_words.c. */
#ifndef HM_CMD_CTL_WORDS_H
#define HM_CMD_CTL_WORDS_H

#include "cmd/ctl.h"

#define WORDS_MAX 16 /* a command and its arguments */
#define GIVEN_MAX 80 /* options of the command, of which some may be given many times */

/* What was found on the command line, before it is known which command it is. */
struct words {
    const char *word[WORDS_MAX];
    size_t count;
    const char *given_name[GIVEN_MAX]; /* options of commands, in the table's spelling */
    const char *given_value[GIVEN_MAX];
    size_t given_count;
};

/* One line on stderr; returns EXIT_USAGE. */
int ctl_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "; did you mean "x"?" or "" */
const char *ctl_meant(const char *wrong, const char *const *names, const char *dashes,
                      char text[128]);

/* Finds the command in the words from `from` on, and sets its arguments and options. EXIT_DONE or
 * EXIT_USAGE. */
int ctl_set_command(struct ctl_opts *o, const struct words *w, size_t from);
/* `help nodes` and `nodes --help`: all commands that begin with the word. False: none does. */
bool ctl_set_group(struct ctl_opts *o, const struct words *w, size_t from);
/* `completion SHELL`. EXIT_DONE or EXIT_USAGE. */
int ctl_set_completion(struct ctl_opts *o, const struct words *w);

#endif
