/* SPDX-License-Identifier: MPL-2.0 */
/* A node's labels: what this machine is and has, and what the user said, which wins.
 *
 * Detected: arch (amd64, arm64, armv7, …), cpus (that this process may use), memory_mib, os (ID
 * of os-release), docker, podman and systemd ("true" if there); with --auto-role also a role
 * (io/role.h). Given: --role as role, --capabilities as capabilities, --label. */
#ifndef HM_IO_DETECT_H
#define HM_IO_DETECT_H

#include "core/core.h"
#include "io/conf.h"

#define DETECT_LABELS_MAX HM_LABELS_MAX

struct detect {
    size_t count;
    struct label labels[DETECT_LABELS_MAX]; /* sorted by key; point into texts */
    struct conf_label texts[DETECT_LABELS_MAX];
};

/* Given labels come first to the table, so that a detected one never takes their place. */
void detect_labels(const struct conf *conf, struct detect *ret_detect);

/* The name of a uname machine ("x86_64" is "amd64") as Debian and containers say it. */
const char *detect_arch(const char *machine);

#endif
