/* SPDX-License-Identifier: MPL-2.0 */
/* What a timeline recorded, for the drawing. */
#ifndef HM_SIM_TIMELINE_PRIV_H
#define HM_SIM_TIMELINE_PRIV_H

#include "sim/timeline.h"

#define TIMELINE_RECORDS_MAX 4000000U /* 64 MB; a picture of so much shows nothing anyway */

struct timeline_record {
    uint64_t at_ns;
    uint16_t observer, subject; /* the same: the truth about it */
    uint8_t what;               /* enum member_status or enum timeline_truth */
};

struct timeline {
    struct timeline_record *records; /* in order of time */
    size_t count, room;
    bool is_cut; /* there was more */
};

#endif
