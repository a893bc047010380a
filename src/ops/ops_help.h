/* SPDX-License-Identifier: MPL-2.0 */
/* Texts made of the operation table: a command's help, and the reference in docs/reference. */
#ifndef HM_OPS_OPS_HELP_H
#define HM_OPS_OPS_HELP_H

#include "base/buf.h"
#include "ops/ops_spec.h"

/* "nodes show NAME" */
void ops_help_usage(const struct op_spec *spec, struct buf *b);
/* The same with "[OPTION]..." for all that may be left out. */
void ops_help_usage_short(const struct op_spec *spec, struct buf *b);
/* "nodes show": the operation's name as words; returns text. */
const char *ops_help_words(const struct op_spec *spec, char text[64]);
/* "if-version": the name of an argument as an option; returns text. */
const char *ops_help_option(const struct op_arg *arg, char text[64]);
/* The whole help of one command, lines of at most 79 columns. */
void ops_help_command(const struct op_spec *spec, struct buf *b);
/* The table as Markdown: every operation with arguments, reply and errors. */
void ops_help_reference(struct buf *b);

#endif
