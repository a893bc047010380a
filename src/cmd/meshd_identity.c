/* SPDX-License-Identifier: MPL-2.0 */
/* meshd --new-identity: see meshd_identity.h. The old identity is kept, since nobody else has it: should
 * the wrong one of two copies have been chosen, it is moved back. An action and no setting: were it one
 * that stays in a unit file, each start would be another node. */
#define _GNU_SOURCE
#include "cmd/meshd_identity.h"

#include "base/err.h"
#include "io/paths.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEPT_MAX 100

/* Links instead of renaming first: what is there already is never replaced. */
static int move_aside(const char *path, char *to, size_t max, struct why *why)
{
    for (unsigned i = 1; i <= KEPT_MAX; i++) {
        if ((size_t) snprintf(to, max, "%s.old.%u", path, i) >= max) {
            return why_set(why, HM_EINVAL, "the path %s is too long", path);
        }
        if (link(path, to) == 0) {
            return unlink(path) == 0 ? HM_OK
                                     : why_set(why, HM_EIO, "cannot remove %s: %s", path,
                                               strerror(errno));
        }
        if (errno == ENOENT) {
            return why_set(why, HM_ENOTFOUND,
                           "there is no identity at %s: the next start makes one anyway", path);
        }
        if (errno != EEXIST) {
            return why_set(why, HM_EIO, "cannot move %s to %s: %s", path, to, strerror(errno));
        }
    }
    return why_set(why, HM_EFULL, "%u old identities lie beside %s: remove some", KEPT_MAX, path);
}

int meshd_new_identity(const struct conf *conf)
{
    static struct paths paths;
    struct why why = {""};
    char to[sizeof paths.identity + 16];
    paths.lock_fd = paths.dir_fd = -1;
    int rc = paths_init(&paths, conf, &why);
    if (rc == HM_OK) {
        rc = paths_lock(&paths, &why);
        if (rc == HM_OK) {
            rc = move_aside(paths.identity, to, sizeof to, &why);
        }
        paths_fini(&paths);
    }
    if (rc != HM_OK) {
        fprintf(stderr, "meshd: %s\n", why.text);
        return 1;
    }
    printf("the old identity is kept as %s; the next start of meshd makes a new one\n", to);
    return fflush(stdout) == 0 ? 0 : 1;
}
