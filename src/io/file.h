/* SPDX-License-Identifier: MPL-2.0 */
/* Small files that are there whole or not at all, whatever moment the power goes. */
#ifndef HM_IO_FILE_H
#define HM_IO_FILE_H

#include "io/why.h"

#include <stdbool.h>
#include <stddef.h>

/* Reads a regular file of at most max-1 bytes into text and ends it with NUL. HM_ENOTFOUND;
 * HM_EFULL: too long; HM_EDENIED: no permission; HM_EIO. */
int file_read(const char *path, char *text, size_t max, size_t *ret_size, struct why *why);

/* Makes path (0600) with this content, durable when it returns. HM_EEXIST: it is there already
 * and was not touched; HM_EIO. Of several that do this at once exactly one succeeds. */
int file_create(const char *path, const char *text, size_t size, struct why *why);

/* The same, but takes the place of what is there in one step. */
int file_replace(const char *path, const char *text, size_t size, struct why *why);

/* Makes a directory (0700) and what is missing above it. HM_EIO. */
int file_make_dirs(const char *path, struct why *why);

/* True if path is readable or writable for group or others. */
bool file_is_exposed(const char *path);

/* True if path belongs to another user than this one and root; never for root, who trusts
 * himself. */
bool file_is_foreign(const char *path);

/* Writes dir, '/', name into path. HM_EINVAL: too long. */
int file_join(char *path, size_t max, const char *dir, const char *name);

#endif
