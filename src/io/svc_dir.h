/* SPDX-License-Identifier: MPL-2.0 */
/* The directory services.d: its files in the order of their names, read again when one has changed.
 *
 * Looking is a stat of each file, which works on every file system and needs no descriptor; whoever asks
 * does so every few seconds. A change is taken when the files have been the same at two looks: an editor
 * may still be writing. What a file with a mistake said before stays, so it is named apart. */
#ifndef HM_IO_SVC_DIR_H
#define HM_IO_SVC_DIR_H

#include "base/span.h"
#include "io/log.h"

#include <stdbool.h>
#include <stddef.h>

#define SVC_DIR_FILES_MAX 256
#define SVC_DIR_FILE_BYTES_MAX 65536

typedef struct svc_dir svc_dir_t;

/* NULL: out of memory. The log is borrowed. */
svc_dir_t *svc_dir_new(log_t *log);
void svc_dir_destroy(svc_dir_t **p);

enum svc_dir_look {
    SVC_DIR_SAME,  /* nothing to tell */
    SVC_DIR_STIRS, /* something has changed: look again in a moment */
    SVC_DIR_READ,  /* it was read: svc_dir_wanted and svc_dir_kept are new */
};

/* Looks at the directory; "": there is none. now: read it, whether it has changed or not. One that
 * cannot be read changes nothing; one that is not there is empty. Mistakes are logged. */
enum svc_dir_look svc_dir_look(svc_dir_t *d, const char *path, bool now);

/* As in EV_SERVICES; borrowed until the next look. */
struct span svc_dir_wanted(const svc_dir_t *d);
struct span svc_dir_kept(const svc_dir_t *d);
/* What was wrong with the first of the files that had a mistake; "": nothing. */
const char *svc_dir_error(const svc_dir_t *d);

#endif
