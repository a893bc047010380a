/* SPDX-License-Identifier: MPL-2.0 */
/* meshd's configuration: a YAML file, then the environment (MESHD_*), then flags, which win. One
 * table holds every option; help, errors and all three sources come from it. A list that a
 * stronger source names replaces the weaker one's. Where each value came from is remembered. */
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
#define CONF_JOIN_BYTES_MAX 279 /* "dns+srv:", a DNS name, colon, port */
#define CONF_INTERFACES_MAX 16
#define CONF_INTERFACE_BYTES 16 /* IFNAMSIZ */
#define CONF_OPTIONS_MAX 40
#define CONF_FILE_BYTES_MAX 65536 /* what a person writes has a few hundred bytes */
#define CONF_CAPABILITIES_BYTES_MAX HM_LABEL_VALUE_BYTES_MAX
#define CONF_PORT_DEFAULT 8471 /* P: sealed UDP and the ZRE mailbox's TCP */

struct conf_label {
    char key[HM_LABEL_KEY_BYTES_MAX + 1];
    char value[HM_LABEL_VALUE_BYTES_MAX + 1];
};

enum conf_source { CONF_FROM_DEFAULT, CONF_FROM_FILE, CONF_FROM_VARIABLE, CONF_FROM_FLAG };

struct conf_origin {
    enum conf_source source;
    unsigned line; /* CONF_FROM_FILE: of the key */
};

/* Empty texts: not given. */
struct conf {
    char config[4096]; /* --config */
    char file[4096];   /* the file that was read, "": none */
    struct conf_origin origins[CONF_OPTIONS_MAX];
    char mesh[HM_MESH_NAME_BYTES_MAX + 1];
    char name[HM_NAME_BYTES_MAX + 1]; /* always set: the folded host name if not given */
    bool name_given;                  /* it is not the host's */
    char data_dir[4096];
    char key_file[4096];
    char token[1024];     /* "-": on stdin */
    char token_file[4096]; /* "": none; read by the caller */
    bool token_from_argv; /* other users of this machine can see it: worth a warning */
    bool token_from_file; /* the configuration file, which others may be able to read */
    size_t join_count;
    char join[CONF_JOIN_MAX][CONF_JOIN_BYTES_MAX + 1]; /* as resolve_target_read takes it */
    bool has_bind;
    struct addr bind; /* family 0: every address; port 0: CONF_PORT_DEFAULT or the next free one */
    size_t interface_count;
    char interfaces[CONF_INTERFACES_MAX][CONF_INTERFACE_BYTES]; /* names; none: every real one */
    uint16_t beacon_port; /* 0: ZRE's */
    char socket[4096];
    char group[64]; /* of users who may run meshctl on this node; "": none */
    char services_dir[4096]; /* "": the default; "none" */
    bool auto_role; /* without a role: choose one */
    char role[HM_LABEL_VALUE_BYTES_MAX + 1];
    char capabilities[CONF_CAPABILITIES_BYTES_MAX + 1]; /* comma-separated, checked */
    size_t label_count;
    struct conf_label labels[HM_LABELS_MAX];
    enum log_format log_format;
    enum note_level log_level;
    bool want_help, want_version, want_print, want_check, want_new_identity;
    bool print_json;
    char warning[256]; /* "": none */
};

/* Reads the configuration file, the environment and the flags. HM_EINVAL with one line that names
 * the file's line, the variable or the flag, the value, and what would be right (exit code 2). The
 * file: --config=F, else MESHD_CONFIG, else /etc/meshd/meshd.yaml as root if it is there, else
 * $XDG_CONFIG_HOME/meshd/meshd.yaml if that is there; "none": none. With --help or --version
 * nothing is read and nothing else is required. environ_list ends with NULL. */
int conf_parse(int argc, char *const *argv, char *const *environ_list, struct conf *ret_conf,
               struct why *why);
/* The same while running: tokens are passed over, since they were taken and wiped at the start. */
int conf_parse_again(int argc, char *const *argv, char *const *environ_list, struct conf *ret_conf,
                     struct why *why);
void conf_help(FILE *to);

/* Where files of services are: as configured, else services.d beside the configuration file that was
 * read or would be. "": nowhere. */
void conf_services_path(const struct conf *conf, char *const *environ_list, char *ret_path,
                        size_t max);

/* Every option with its value and where it came from: as a configuration file with comments, or as
 * JSON. A token is not shown. HM_EIO, HM_ENOMEM. */
int conf_print(FILE *to, const struct conf *conf);
int conf_print_json(FILE *to, const struct conf *conf);

/* What two configurations differ in. */
struct conf_change {
    const char *option;
    bool is_live; /* can be taken over while running */
    char before[256], after[256]; /* "": not set; cut if long */
    char from[300]; /* where the new value was said: "/etc/meshd/meshd.yaml:3", "MESHD_NAME" */
};

/* Returns how many (at most CONF_OPTIONS_MAX). */
size_t conf_compare(const struct conf *running, const struct conf *fresh,
                    struct conf_change ret_changes[CONF_OPTIONS_MAX]);
/* Takes over what can change while running; the rest of running stays. */
void conf_take_over(struct conf *running, const struct conf *fresh);

#endif
