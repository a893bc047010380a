/* SPDX-License-Identifier: MPL-2.0 */
/* Times as text: RFC 3339, UTC, milliseconds ("2026-11-21T03:20:07.125Z"). No clock, no time
 * zone. */
#ifndef HM_OPS_OPS_TIME_H
#define HM_OPS_OPS_TIME_H

#include <stdint.h>

#define OPS_TIME_BYTES 25

/* Wall time in ms since 1970. Beyond the year 9999 its last millisecond is written. Returns
 * text. */
const char *ops_time_format(uint64_t wall_ms, char text[OPS_TIME_BYTES]);
/* Reads exactly that form. HM_EMALFORMED. */
int ops_time_parse(const char *text, uint64_t *ret_wall_ms);

#endif
