/* SPDX-License-Identifier: MPL-2.0 */
/* Letting go of the store's pages: see store_rest.h. LMDB does not tell where its map lies, but the kernel
 * does. The map is read-only and shared: a page that is let go loses nothing. */
#define _GNU_SOURCE
#include "io/store_rest.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define REST_NS ((uint64_t) 5 * 1000000000)
#define LINE_BYTES 4608 /* a path and what is before it */

bool store_rest_is_due(struct store_rest *rest, uint64_t commits, uint64_t now_ns)
{
    if (commits != rest->commits) {
        *rest = (struct store_rest){.commits = commits, .since_ns = now_ns};
        return false;
    }
    if (rest->is_resting || commits == 0 || now_ns - rest->since_ns < REST_NS) {
        return false;
    }
    rest->is_resting = true;
    return true;
}

/* "BEGIN-END r--s OFFSET DEVICE INODE   PATH": true if it is of this file. The device is not compared:
 * some file systems show another one here. */
static bool is_map_of(const char *line, ino_t inode, uintptr_t *ret_begin, uintptr_t *ret_end)
{
    char *at;
    *ret_begin = (uintptr_t) strtoull(line, &at, 16);
    if (*at != '-') {
        return false;
    }
    *ret_end = (uintptr_t) strtoull(at + 1, &at, 16);
    if (strncmp(at, " r--s ", 6) != 0 || strstr(at, "/data.mdb") == NULL) {
        return false;
    }
    for (int field = 0; field < 3 && at != NULL; field++) { /* the offset, the device, the inode */
        at = strchr(at + 1, ' ');
    }
    return at != NULL && strtoull(at, NULL, 10) == inode;
}

int store_rest_unmap(const char *path)
{
    char line[LINE_BYTES];
    struct stat file;
    uintptr_t begin, end;
    int rc = HM_ENOTFOUND;
    snprintf(line, sizeof line, "%s/data.mdb", path);
    FILE *maps = stat(line, &file) == 0 ? fopen("/proc/self/maps", "re") : NULL;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (is_map_of(line, file.st_ino, &begin, &end) && end > begin) {
            rc = madvise((void *) begin, end - begin, MADV_DONTNEED) == 0 ? HM_OK : HM_EIO;
            break;
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return rc;
}
