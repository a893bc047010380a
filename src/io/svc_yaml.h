/* SPDX-License-Identifier: MPL-2.0 */
/* Services as files say them: one service is a map, several are a list of maps.
 *
 *     name: jellyfin        # these two always
 *     port: 8096
 *     id, version, address, ttl: texts; tags: a list; meta: a map
 *
 * Each error is one line: file, line, column, key or value, and what would be right. */
#ifndef HM_IO_SVC_YAML_H
#define HM_IO_SVC_YAML_H

#include "base/buf.h"
#include "base/limits.h"
#include "io/why.h"

#include <stddef.h>
#include <stdint.h>

/* What the files read so far say. */
struct svc_set {
    struct buf wanted; /* as in EV_SERVICES: a msgpack bin for each */
    struct svc_set_item {
        char id[HM_SERVICE_ID_BYTES_MAX + 1];
        char file[HM_SERVICE_FILE_BYTES_MAX + 1];
        uint16_t port;
    } *items;
    size_t count, room;
};

void svc_set_init(struct svc_set *set);
void svc_set_fini(struct svc_set *set);
/* Empties it; memory stays. */
void svc_set_clear(struct svc_set *set);

/* Adds what a file says, all of it or, on failure, nothing. path: for errors; name: the file's in its
 * directory. A service without an id has its name as id, or name-port where another of the set has that.
 * HM_EINVAL; HM_EFULL: too many; HM_ENOMEM. */
int svc_yaml_read(const char *path, const char *name, const char *text, size_t size,
                  struct svc_set *set, struct why *why);

#endif
