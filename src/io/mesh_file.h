/* SPDX-License-Identifier: MPL-2.0 */
/* D/mesh: the mesh that a data directory belongs to. Its store holds records that name the mesh, so
 * another one would find nothing in it that it can take, and would write over what it does not know. */
#ifndef HM_IO_MESH_FILE_H
#define HM_IO_MESH_FILE_H

#include "base/limits.h"
#include "io/why.h"

#include <stdbool.h>

/* The mesh of a data directory; false if it does not say. */
bool mesh_file_read(const char *data_dir, char ret_mesh[HM_MESH_NAME_BYTES_MAX + 1]);
/* Marks the directory as this mesh's, for good. HM_EDENIED: it is another one's, and nothing was
 * changed. HM_EIO. A mark that does not read is made anew. */
int mesh_file_claim(const char *data_dir, const char *mesh, struct why *why);

#endif
