/* SPDX-License-Identifier: MPL-2.0 */
/* Where a node's files are, and how others find a running node.
 *
 * D, the data directory, holds all of a node: identity, store/, meshd.sock, lock. The lock is
 * an open file description lock on D/lock, held while meshd lives; the file tells pid, mesh,
 * name, id, socket and key ring. The kernel ends the lock with the process, so nothing here can
 * go stale: a node runs exactly when its lock is held. (If the file is removed, the node is not
 * found any more; but D itself is locked, too, so nobody else starts on it.) For each running node
 * the runtime directory has a link ID8 -> D. It serves two ends: meshctl finds the nodes of its
 * user, and a socket path above 107 bytes is reached through it.
 *
 * A service manager says where things are with STATE_DIRECTORY and RUNTIME_DIRECTORY. /run/meshd
 * is the machine's own: only root can have let somebody make it, so links there are followed
 * whoever owns it. Thus root finds the node of the service's user, and so does a member of the
 * group that may ask it. */
#ifndef HM_IO_PATHS_H
#define HM_IO_PATHS_H

#include "base/limits.h"
#include "base/node_id.h"
#include "io/conf.h"
#include "io/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PATHS_BYTES 4096
#define PATHS_SOCKET_BYTES_MAX 107 /* sockaddr_un, without the NUL */
#define PATHS_NODES_MAX 256        /* nodes of one user on one machine that are listed */

struct paths {
    char data_dir[PATHS_BYTES]; /* absolute, without links, "." or ".."; so is the ring */
    char mesh_dir[PATHS_BYTES]; /* the directory above, "" with --data-dir */
    char identity[PATHS_BYTES];
    char store_dir[PATHS_BYTES];
    char ring[PATHS_BYTES]; /* the mesh's key ring: one level above D, or --key-file */
    char lock[PATHS_BYTES];
    char socket[PATHS_BYTES]; /* set by paths_publish; at most PATHS_SOCKET_BYTES_MAX bytes */
    char wanted_socket[PATHS_BYTES]; /* --socket, "" if not given */
    char runtime_link[PATHS_BYTES];  /* set by paths_publish, "" if none */
    char socket_link[PATHS_BYTES];   /* so too: the short way to a long --socket */
    struct why unfindable;           /* why there is no runtime_link */
    int lock_fd, dir_fd; /* locked; -1: not */
    bool has_group; /* --group: its members may find this node and ask it */
    gid_t group;
};

/* Works out the names; nothing is made. HM_EINVAL (too long), HM_ENOTFOUND (no home directory, no
 * such group). */
int paths_init(struct paths *paths, const struct conf *conf, struct why *why);
/* Makes D with all above it, and the ring's directory alone (0700), and takes the lock, of D and of the
 * file in it. HM_EBUSY: why names the holder, if the file is there to tell. HM_EDENIED, HM_EIO. */
int paths_lock(struct paths *paths, struct why *why);
/* Writes who we are into the lock file, sweeps stale links, makes ours, and chooses the
 * socket's path. A runtime directory that cannot be had fails (HM_EIO) only if the socket's
 * path needs it; else paths->unfindable says why. */
int paths_publish(struct paths *paths, const struct node_id *id, const struct conf *conf,
                  struct why *why);
/* With --group: its members reach D's lock and socket, and nothing else in it. To be called when
 * the socket is there. HM_EDENIED: this user is not in the group. */
int paths_let_group_in(const struct paths *paths, struct why *why);
/* Removes our link and gives up the lock. Safe in any state after paths_init. */
void paths_fini(struct paths *paths);

/* A running node, as meshctl sees it. */
struct paths_node {
    char data_dir[PATHS_BYTES];
    char socket[PATHS_BYTES];
    char ring[PATHS_BYTES];
    char mesh[HM_MESH_NAME_BYTES_MAX + 1];
    char name[HM_NAME_BYTES_MAX + 1];
    char id[NODE_ID_TEXT_BYTES];
    pid_t pid;
};

/* All running nodes that this user may ask, its own and those of /run/meshd, sorted by mesh, then
 * name, then directory. The caller frees *ret_nodes. HM_ENOMEM. */
int paths_find_nodes(struct paths_node **ret_nodes, size_t *ret_count);
/* True if a node seems to run that this user may not ask: *ret says where and as which group. */
struct paths_closed {
    char data_dir[PATHS_BYTES];
    char group[64];
};
bool paths_find_closed(struct paths_closed *ret);
/* Directories in which a node of this user or of the system has run or is about to, without asking any. Returns
 * how many. */
size_t paths_guess_dirs(char (*ret_dirs)[PATHS_BYTES], size_t max);
/* The node that runs on this data directory. HM_ENOTFOUND: none does; HM_ESTALE: one may, its lock
 * file is gone; HM_EBUSY: it is starting; HM_EDENIED: another user's; HM_EIO: cannot be read. */
int paths_node_at(const char *data_dir, struct paths_node *ret_node, struct why *why);

#endif
