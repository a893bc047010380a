/* SPDX-License-Identifier: MPL-2.0 */
/* Opening the mesh's key ring at the start, with a token or without one.
 *
 * A token whose key the ring does not have would move everything that uses the ring to another
 * mesh. That is right for a node that is alone and uses the ring alone, and for no other. */
#ifndef HM_IO_REKEY_H
#define HM_IO_REKEY_H

#include "base/limits.h"
#include "io/keys.h"
#include "io/paths.h"
#include "io/store.h"
#include "io/why.h"

struct rekey {
    bool is_ring_made;      /* there was none */
    bool is_ring_lost;      /* there was none, but there are other members on our roster */
    char kept[PATHS_BYTES]; /* where the ring lies that gave way to the token's; "": it did not */
    char shared_with[HM_MESH_NAME_BYTES_MAX + 1]; /* another mesh whose nodes use the ring; or "" */
    char shared_at[PATHS_BYTES];                  /* the data directory of such a node */
};

/* Opens the ring, or makes it. token_key: NULL without a token. HM_EDENIED: the token has another
 * key, and we have members, a running node uses the ring, or another node's directory lies beside
 * it; nothing was changed. Else as keys_ring_open. */
int rekey_open_ring(const struct paths *paths, keys_t *keys, store_t *store,
                    const uint8_t *token_key, struct rekey *ret_rekey, struct why *why);

#endif
