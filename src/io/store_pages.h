/* SPDX-License-Identifier: MPL-2.0 */
/* Is this LMDB file (data format 1, as LMDB 0.9 writes it) sound in every page? Pure: looks at
 * bytes only, believes none of them, and allocates at most 2 MiB. Private to io/store_check.
 *
 * liblmdb follows whatever its pages say, and what a damaged page does shows only when it is
 * written to. So everything is checked that a later read or write relies on: both meta pages, each
 * tree down to its leaves (page numbers, kinds, bounds, nodes that neither overlap nor leave gaps,
 * keys in order, counts as stated), overflow pages, the list of free pages, and that no page has
 * two uses. */
#ifndef HM_IO_STORE_PAGES_H
#define HM_IO_STORE_PAGES_H

#include "base/span.h"

/* NULL if it is sound, or what is wrong; static text. Empty bytes are sound: nothing stored yet. */
const char *store_pages_check(struct span file);

#endif
