/* SPDX-License-Identifier: MPL-2.0 */
/* Arguments of operations, checked against the table: from a request's msgpack map, and from
 * words of a command line. Both end in the same values, and errors say the argument, the value
 * and what is right. */
#ifndef HM_OPS_OPS_ARGS_H
#define HM_OPS_OPS_ARGS_H

#include "base/buf.h"
#include "base/span.h"
#include "ops/ops_spec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPS_WHY_BYTES 256 /* as call_result.text */

struct op_value {
    bool is_given;
    uint64_t number; /* ARG_UINT, ARG_BOOL, ARG_TIME; the default when not given */
    char text[OPS_TEXT_BYTES_MAX + 1];
    struct span bytes; /* ARG_BYTES: borrowed from the request, or from who set it */
    struct span raw;   /* of a request: the same as it came, one msgpack value */
    /* ARG_TEXTS, ARG_PAIRS: as they were set, borrowed; of a request they are in raw */
    const char *words[OPS_WORDS_MAX];
    size_t word_count;
};

/* One value per argument of the operation, in the table's order; those behind are not set. */
struct op_values {
    struct op_value v[OPS_ARGS_MAX];
};

/* All not given, with their defaults. */
void ops_args_init(const struct op_spec *spec, struct op_values *ret_values);
/* Reads the args of a request. HM_EINVAL with a line in why; then the values are of
 * no use (they are read in place: copying them would cost more than reading). Unknown names are refused,
 * not skipped: a misspelt argument would otherwise change what is asked. */
int ops_args_read(const struct op_spec *spec, struct span args, struct op_values *ret_values,
                  char why[OPS_WHY_BYTES]);
/* Sets one argument from text (a word, an option's value). HM_EINVAL with a line in why; HM_EFULL too for
 * one that is bytes. */
int ops_args_set(const struct op_spec *spec, size_t idx, const char *text, struct op_values *values,
                 char why[OPS_WHY_BYTES]);
/* Walks the texts of a list, or the keys and values of a map, that came with a request: `rest` begins
 * zeroed. False: no more. */
struct op_words {
    bool is_open;
    size_t left;
    struct span rest;
};
bool ops_args_next(const struct op_value *value, struct op_words *w, struct span *ret_text);
/* HM_EINVAL with a line in why if a required one is not given. */
int ops_args_complete(const struct op_spec *spec, const struct op_values *values,
                      char why[OPS_WHY_BYTES]);
/* The same of an argument that is bytes, which are borrowed. HM_EFULL with a line in why: too many. */
int ops_args_set_bytes(const struct op_spec *spec, size_t idx, struct span bytes,
                       struct op_values *values, char why[OPS_WHY_BYTES]);
/* Writes the given ones as a map. */
void ops_args_write(const struct op_spec *spec, const struct op_values *values, struct buf *b);

/* Index of the argument of that name, or spec->arg_count. */
size_t ops_args_index(const struct op_spec *spec, const char *name);
/* The value of an argument that the operation has. Borrowed. */
const struct op_value *ops_args_get(const struct op_spec *spec, const struct op_values *values,
                                    const char *name);

#endif
