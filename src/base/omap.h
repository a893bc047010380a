/* SPDX-License-Identifier: MPL-2.0 */
/* An ordered map from bytes to bytes, for what is not on disk yet and for simulated disks: a balanced
 * tree in the order of memcmp, a prefix before what it begins. Looking, putting, removing and the next
 * key cost O(log n), whoever chose the keys. A key may be empty. Arguments may be spans that the map
 * itself handed out. */
#ifndef HM_BASE_OMAP_H
#define HM_BASE_OMAP_H

#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct omap omap_t;

/* NULL: out of memory. */
omap_t *omap_new(void);
void omap_destroy(omap_t **p);
void omap_clear(omap_t *m);

size_t omap_count(const omap_t *m);
/* Bytes of all keys and values. */
size_t omap_bytes(const omap_t *m);

/* Puts or replaces. Both are copied; a value of data NULL is kept as such (a mark for "not there"), an
 * empty one of data not NULL too. tag is the caller's and comes back with it. HM_ENOMEM: nothing
 * changed. */
int omap_put(omap_t *m, struct span key, struct span value, uint64_t tag);
/* Likewise; *ret_old_tag is the tag that the key had, 0 if it was not there. */
int omap_exchange(omap_t *m, struct span key, struct span value, uint64_t tag, uint64_t *ret_old_tag);
/* Spans are borrowed until the next change of that key. ret_* may be NULL. False: no such key. */
bool omap_get(const omap_t *m, struct span key, struct span *ret_value, uint64_t *ret_tag);
/* False: there was none. */
bool omap_remove(omap_t *m, struct span key);
/* Only if its tag lies between these. */
bool omap_remove_tagged(omap_t *m, struct span key, uint64_t tag_min, uint64_t tag_max);
/* The first key at or above `from` (above it, if not inclusive). ret_* may be NULL. False: there is
 * none. */
bool omap_next(const omap_t *m, struct span from, bool inclusive, struct span *ret_key,
               struct span *ret_value, uint64_t *ret_tag);

#endif
