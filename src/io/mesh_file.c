/* SPDX-License-Identifier: MPL-2.0 */
/* The mark of a data directory: see mesh_file.h. One line, "homemesh mesh NAME". */
#define _GNU_SOURCE
#include "io/mesh_file.h"

#include "base/err.h"
#include "base/text.h"
#include "io/file.h"

#include <stdio.h>
#include <string.h>

#define HEAD "homemesh mesh "
#define TEXT_BYTES (sizeof HEAD + HM_MESH_NAME_BYTES_MAX + 1)
#define PATH_BYTES 4200

bool mesh_file_read(const char *data_dir, char ret_mesh[HM_MESH_NAME_BYTES_MAX + 1])
{
    char path[PATH_BYTES];
    char text[TEXT_BYTES + 1];
    size_t size = 0;
    if (file_join(path, sizeof path, data_dir, "mesh") != HM_OK ||
        file_read(path, text, sizeof text, &size, NULL) != HM_OK || strlen(text) != size ||
        strncmp(text, HEAD, strlen(HEAD)) != 0 || text[size - 1] != '\n') {
        return false;
    }
    text[size - 1] = '\0';
    const char *mesh = text + strlen(HEAD);
    return text_is_dns_label(mesh, strlen(mesh)) &&
           text_copy(ret_mesh, HM_MESH_NAME_BYTES_MAX + 1, mesh);
}

int mesh_file_claim(const char *data_dir, const char *mesh, struct why *why)
{
    char path[PATH_BYTES];
    char text[TEXT_BYTES];
    char found[HM_MESH_NAME_BYTES_MAX + 1];
    if (mesh_file_read(data_dir, found)) {
        return strcmp(found, mesh) == 0
                   ? HM_OK
                   : why_set(why, HM_EDENIED,
                             "%s belongs to the mesh %s, but --discover says %s: start it with "
                             "--discover=%s, or name another directory with --data-dir=D",
                             data_dir, found, mesh, found);
    }
    if (file_join(path, sizeof path, data_dir, "mesh") != HM_OK) {
        return why_set(why, HM_EINVAL, "the path %.200s... is too long", data_dir);
    }
    snprintf(text, sizeof text, HEAD "%s\n", mesh);
    return file_replace(path, text, strlen(text), why);
}
