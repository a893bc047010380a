/* SPDX-License-Identifier: MPL-2.0 */
/* What paths.c, paths_lock.c and paths_running.c share. */
#ifndef HM_IO_PATHS_PRIV_H
#define HM_IO_PATHS_PRIV_H

#include "io/paths.h"

#define LOCK_TEXT_BYTES_MAX 16384

/* paths.c */
int paths_too_long(struct why *why, const char *path); /* HM_EINVAL */
/* Makes a path absolute (the process may change directory, and meshctl runs elsewhere). HM_EINVAL:
 * too long; HM_EIO. */
int paths_absolute(const char *path, char *to, size_t max, struct why *why);
/* The first of a list of directories that a service manager made for us; false if it made none. */
bool paths_given_dir(const char *variable, char *to, size_t max);

/* paths_lock.c */
/* Looks at a lock file without taking the lock; ret_text: what it says, of LOCK_TEXT_BYTES_MAX, or
 * NULL. HM_EIO: it cannot be opened, errno says why. */
int lock_look(const char *lock, bool *ret_held, char *ret_text);
/* The value of "key value\n" in a lock file's text, or "" */
void lock_value(const char *text, const char *key, char *to, size_t max);
/* Says this in the lock file of the lock that we hold. HM_EIO. */
int lock_write(const struct paths *paths, const char *text, struct why *why);
/* Lets go of what paths_lock holds; nothing held: nothing. */
void lock_release(struct paths *paths);

/* paths_running.c */
/* Makes the link that leads others to this data directory, in the best runtime directory there is,
 * and sweeps stale ones there. ret_link: the link, untouched on failure. HM_EIO, HM_EINVAL. */
int running_publish(const char *data_dir, const char *id, char ret_link[PATHS_BYTES],
                    struct why *why);

#endif
