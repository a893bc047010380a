/* SPDX-License-Identifier: MPL-2.0 */
/* Which nodes a token with another key would move: see rekey.h. A node that runs tells its ring in
 * its lock file. One that is stopped is found only where its directory lies beside the ring, which
 * is where rings are unless --key-file says otherwise. */
#define _GNU_SOURCE
#include "io/rekey.h"

#include "base/err.h"
#include "io/file.h"
#include "io/mesh_file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The first other node of this machine that runs with our key ring; false if there is none. */
static bool find_running(const struct paths *paths, struct paths_node *ret_node)
{
    struct paths_node *nodes = NULL;
    size_t count = 0;
    bool found = false;
    if (paths_find_nodes(&nodes, &count) != HM_OK) {
        return false;
    }
    for (size_t i = 0; i < count && !found; i++) {
        found = strcmp(nodes[i].ring, paths->ring) == 0 &&
                strcmp(nodes[i].data_dir, paths->data_dir) != 0;
        *ret_node = found ? nodes[i] : *ret_node;
    }
    free(nodes);
    return found;
}

/* True if `dir` is another node's data directory. */
static bool is_other_node(const char *dir, const struct stat *own)
{
    struct stat st;
    char identity[PATHS_BYTES];
    return stat(dir, &st) == 0 && S_ISDIR(st.st_mode) &&
           (st.st_dev != own->st_dev || st.st_ino != own->st_ino) &&
           file_join(identity, sizeof identity, dir, "identity") == HM_OK &&
           stat(identity, &st) == 0;
}

/* True if the directory says that it is another mesh's. */
static bool is_other_mesh(const char *dir, const char *mesh, char *ret_mesh)
{
    return mesh_file_read(dir, ret_mesh) && strcmp(ret_mesh, mesh) != 0;
}

/* A data directory beside the ring that is not ours, into ret_dir; false if there is none. With
 * `mesh`, only one of another mesh, whose name comes back in ret_mesh. */
static bool find_beside(const struct paths *paths, char ret_dir[PATHS_BYTES], const char *mesh,
                        char *ret_mesh)
{
    struct stat own;
    char above[PATHS_BYTES];
    bool found = false;
    memcpy(above, paths->ring, sizeof above);
    *(strrchr(above, '/') + 1) = '\0';
    DIR *list = stat(paths->data_dir, &own) == 0 ? opendir(above) : NULL;
    if (list == NULL) {
        return false;
    }
    for (const struct dirent *entry; !found && (entry = readdir(list)) != NULL;) {
        found = entry->d_name[0] != '.' &&
                file_join(ret_dir, PATHS_BYTES, above, entry->d_name) == HM_OK &&
                is_other_node(ret_dir, &own) &&
                (mesh == NULL || is_other_mesh(ret_dir, mesh, ret_mesh));
    }
    closedir(list);
    return found;
}

static int count_others(const keys_t *keys, store_t *store, size_t *ret_count, struct why *why)
{
    const struct store_entry *entries = NULL;
    size_t count = 0;
    size_t dropped = 0;
    int rc = store_load(store, &entries, &count, &dropped);
    if (rc != HM_OK) {
        return why_set(why, rc, "cannot read the store: %s", hm_strerror(rc));
    }
    *ret_count = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_self = entries[i].key.size == NODE_ID_BYTES &&
                       memcmp(entries[i].key.data, keys_id(keys)->b, NODE_ID_BYTES) == 0;
        *ret_count += entries[i].table == STORE_ROSTER && !is_self;
    }
    return HM_OK;
}

/* HM_OK: nobody but this node would be moved. */
static int ask_to_replace(const struct paths *paths, const keys_t *keys, store_t *store,
                          struct why *why)
{
    static struct paths_node running; /* 12 KiB: rather not on the stack */
    char stopped[PATHS_BYTES];
    size_t others = 0;
    int rc = count_others(keys, store, &others, why);
    if (rc != HM_OK) {
        return rc;
    }
    if (others > 0) {
        return why_set(
            why, HM_EDENIED,
            "the token has another key than this node, which has %zu other member%s on its "
            "roster: to move it to the token's mesh, move %s and %s away and start it again "
            "with the token; it becomes a new node there",
            others, others == 1 ? "" : "s", paths->data_dir, paths->ring);
    }
    if (find_running(paths, &running)) {
        return why_set(
            why, HM_EDENIED,
            "the token has another key than %s, which the node %s (pid %d) uses: stop that one "
            "first, or name another key ring with --key-file=F",
            paths->ring, running.name, (int) running.pid);
    }
    if (find_beside(paths, stopped, NULL, NULL)) {
        return why_set(
            why, HM_EDENIED,
            "the token has another key than %s, which the node in %s uses too and would leave "
            "its mesh with: name another key ring with --key-file=F, or move that directory "
            "away if its node is no more",
            paths->ring, stopped);
    }
    return HM_OK;
}

int rekey_open_ring(const struct paths *paths, keys_t *keys, store_t *store,
                    const uint8_t *token_key, struct rekey *ret_rekey, struct why *why)
{
    size_t others = 0;
    bool is_made = false;
    memset(ret_rekey, 0, sizeof *ret_rekey);
    int rc = keys_ring_open(keys, paths->ring, token_key, &is_made, why);
    if (rc == HM_EDENIED && token_key != NULL && keys_ring_count(keys) > 0) {
        rc = ask_to_replace(paths, keys, store, why);
        if (rc == HM_OK) {
            rc = keys_ring_replace(keys, paths->ring, token_key, ret_rekey->kept,
                                   sizeof ret_rekey->kept, why);
        }
    }
    if (rc == HM_OK && is_made && token_key == NULL) {
        rc = count_others(keys, store, &others, why);
    }
    if (rc == HM_OK && !find_beside(paths, ret_rekey->shared_at, keys_mesh(keys),
                                    ret_rekey->shared_with)) {
        ret_rekey->shared_with[0] = '\0';
    }
    ret_rekey->is_ring_made = is_made;
    ret_rekey->is_ring_lost = others > 0;
    return rc;
}
