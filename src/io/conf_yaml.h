/* SPDX-License-Identifier: MPL-2.0 */
/* The configuration file: one map whose keys are the options' names, in YAML.
 *
 * Read event by event, so nothing is built that a small file could make large: anchors, aliases,
 * tags and further documents are refused, and nothing nests deeper than a list or map of an
 * option. Each error is one line: file, line, column, key or value, and what would be right. */
#ifndef HM_IO_CONF_YAML_H
#define HM_IO_CONF_YAML_H

#include "io/conf.h"
#include "io/why.h"

#include <stdbool.h>
#include <stddef.h>

/* Reads `text`, which must be all of the file named `file`, into conf. without_token: a token is
 * checked for its type and passed over (it was taken when the process started). HM_EINVAL; HM_ENOMEM. */
int conf_yaml_read(const char *file, const char *text, size_t size, bool without_token,
                   struct conf *conf, struct why *why);

#endif
