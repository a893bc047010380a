/* SPDX-License-Identifier: MPL-2.0 */
/* Which meshd to ask, when the program does not say: the same one that meshctl would. */
#define _GNU_SOURCE
#include "base/text.h"
#include "client/hm_priv.h"
#include "io/paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(SOCKET_BYTES == PATHS_BYTES, "a path is a path");

static void use(const struct paths_node *node, char *ret_data_dir, char *ret_socket)
{
    text_copy(ret_data_dir, SOCKET_BYTES, node->data_dir);
    text_copy(ret_socket, SOCKET_BYTES, node->socket);
}

static int locate_at(const char *data_dir, char *ret_data_dir, char *ret_socket, char *why)
{
    struct why reason = {.text = ""};
    struct paths_node *node = malloc(sizeof *node);
    if (node == NULL) {
        return HM_ENOMEM;
    }
    int code = paths_node_at(data_dir, node, &reason);
    if (code == HM_OK) {
        use(node, ret_data_dir, ret_socket);
    } else {
        text_copy(why, HM_WHY_BYTES, reason.text);
        code = code == HM_ENOTFOUND || code == HM_EBUSY ? HM_EUNREACHABLE : code;
    }
    free(node);
    return code;
}

static void tell_several(const struct paths_node *nodes, size_t count, char *why)
{
    size_t at = (size_t) snprintf(why, HM_WHY_BYTES,
                                  "%zu nodes run on this machine, say which one by data_dir:", count);
    for (size_t i = 0; i < count && at < HM_WHY_BYTES; i++) {
        at += (size_t) snprintf(why + at, HM_WHY_BYTES - at, " %s", nodes[i].data_dir);
    }
}

int locate(const char *data_dir, char ret_data_dir[SOCKET_BYTES], char ret_socket[SOCKET_BYTES],
           char *why)
{
    struct paths_node *nodes = NULL;
    size_t count = 0;
    if (data_dir != NULL) {
        return locate_at(data_dir, ret_data_dir, ret_socket, why);
    }
    int code = paths_find_nodes(&nodes, &count);
    if (code == HM_OK && count == 1) {
        use(&nodes[0], ret_data_dir, ret_socket);
    } else if (code == HM_OK && count == 0) {
        code = HM_EUNREACHABLE;
        text_copy(why, HM_WHY_BYTES,
                  "no meshd runs on this machine that this user may ask: name one by data_dir or socket");
    } else if (code == HM_OK) {
        code = HM_EAMBIGUOUS;
        tell_several(nodes, count, why);
    }
    free(nodes);
    return code;
}
