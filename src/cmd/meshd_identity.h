/* SPDX-License-Identifier: MPL-2.0 */
/* meshd --new-identity: makes a copied data directory a node of its own. */
#ifndef HM_CMD_MESHD_IDENTITY_H
#define HM_CMD_MESHD_IDENTITY_H

#include "io/conf.h"

/* Moves the identity aside; the next start makes a new one. The directory must not be in use. Says what it
 * did on stdout; returns an exit code. */
int meshd_new_identity(const struct conf *conf);

#endif
