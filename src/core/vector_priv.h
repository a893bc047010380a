/* SPDX-License-Identifier: MPL-2.0 */
/* What vector.c and vector_bytes.c share: see vector.h. */
#ifndef HM_CORE_VECTOR_PRIV_H
#define HM_CORE_VECTOR_PRIV_H

#include "core/vector.h"

/* Makes room for so many in all. HM_ENOMEM: nothing has changed. */
int vector_room_for_origins(struct vector *v, size_t count);
int vector_room_for_runs(struct vector_origin *o, size_t count);
/* Adds o's runs, in order and apart from each other. What o has of them then is the caller's to free. HM_EFULL, HM_ENOMEM. */
int vector_put_runs(struct vector *v, struct vector_origin *o);

#endif
