/* SPDX-License-Identifier: MPL-2.0 */
/* meshd's configuration: the environment (MESHD_*), then flags, which win. One table holds
 * every option; help, errors and both sources come from it. Nothing here touches the disk but
 * --token=-, which the caller reads. */
#ifndef HM_IO_CONF_H
#define HM_IO_CONF_H

#include "base/addr.h"
#include "base/limits.h"
#include "core/core.h"
#include "core/note.h"
#include "io/log.h"
#include "io/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONF_JOIN_MAX 64        /* more than a person writes */
#define CONF_JOIN_BYTES_MAX 271 /* a DNS name, colon, port */
#define CONF_CAPABILITIES_BYTES_MAX HM_LABEL_VALUE_BYTES_MAX
#define CONF_PORT_DEFAULT 8471 /* P: sealed UDP and the ZRE mailbox's TCP */

struct conf_label {
    char key[HM_LABEL_KEY_BYTES_MAX + 1];
    char value[HM_LABEL_VALUE_BYTES_MAX + 1];
};

/* Empty texts: not given. */
struct conf {
    char mesh[HM_MESH_NAME_BYTES_MAX + 1];
    char name[HM_NAME_BYTES_MAX + 1]; /* always set: the folded host name if not given */
    char data_dir[4096];
    char key_file[4096];
    char token[1024];      /* "-": on stdin */
    char token_file[4096]; /* "": none; read by the caller */
    bool token_from_argv;  /* other users of this machine can see it: worth a warning */
    size_t join_count;
    char join[CONF_JOIN_MAX][CONF_JOIN_BYTES_MAX + 1]; /* HOST or HOST:PORT, shape checked */
    bool has_bind;
    struct addr bind; /* family 0: every address; port 0: CONF_PORT_DEFAULT or the next free one */
    char socket[4096];
    char group[64]; /* of users who may run meshctl on this node; "": none */
    char role[HM_LABEL_VALUE_BYTES_MAX + 1];
    char capabilities[CONF_CAPABILITIES_BYTES_MAX + 1]; /* comma-separated, checked */
    size_t label_count;
    struct conf_label labels[HM_LABELS_MAX];
    enum log_format log_format;
    enum note_level log_level;
    bool want_help, want_version;
    char warning[256]; /* "": none */
};

/* HM_EINVAL with one line that names flag or variable, value and what would be right (exit code
 * 2). With --help or --version nothing else is required. environ_list ends with NULL. */
int conf_parse(int argc, char *const *argv, char *const *environ_list, struct conf *ret_conf,
               struct why *why);
void conf_help(FILE *to);

/* Splits "HOST", "HOST:PORT" or "[V6]:PORT"; without a port, default_port. HM_EMALFORMED. */
int conf_split_host(const char *text, uint16_t default_port, char *ret_host, size_t host_max,
                    uint16_t *ret_port);

#endif
