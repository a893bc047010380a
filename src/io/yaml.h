/* SPDX-License-Identifier: MPL-2.0 */
/* YAML, event by event: what the configuration and services.d are read with.
 *
 * Nothing is built that a small file could make large: anchors, aliases, tags, directives and further
 * documents are refused, and how deep it nests is the caller's to say. Each error is one line: file, line,
 * column, and what would be right. */
#ifndef HM_IO_YAML_H
#define HM_IO_YAML_H

#include "io/why.h"

#include <stdbool.h>
#include <stddef.h>

struct fy_diag;
struct fy_parser;
struct fy_event;

struct yaml {
    const char *file;       /* set by the caller, as it is named in errors */
    struct why *why;        /* set by the caller */
    unsigned line, column;  /* where the current event begins, from 1 */
    struct fy_event *event; /* the current one (libfyaml.h); freed with the next */
    struct fy_diag *diag;
    struct fy_parser *parser;
};

/* Reads `text`, which must be all of the file. read_root is called when the current event is the root of
 * the document (not for an empty one) and goes to that root's end. HM_EINVAL; HM_ENOMEM. */
int yaml_read(struct yaml *y, const char *text, size_t size, int (*read_root)(void *ctx), void *ctx);
/* Goes to the next event. HM_EINVAL. */
int yaml_next(struct yaml *y);
/* The text of the scalar that the current event is. ret_is_null: it is written as no value at all.
 * HM_EINVAL: it has max bytes or more; HM_ENOMEM. */
int yaml_scalar(const struct yaml *y, char *text, size_t max, bool *ret_is_null);
/* "FILE:LINE:COLUMN: …"; returns HM_EINVAL. */
int yaml_wrong(const struct yaml *y, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
