/* SPDX-License-Identifier: MPL-2.0 */
/* The last HM_EVENTS_MAX member events. Numbers rise also across restarts: they are reserved in blocks,
 * and the end of the block is stored before it is used up, so a crash skips numbers and repeats none. */
#ifndef HM_CORE_EVLOG_H
#define HM_CORE_EVLOG_H

#include "core/core.h"

#define EVLOG_BLOCK 1000

struct evlog {
    struct member_event *items; /* ring, allocated at creation */
    size_t count;
    size_t start;
    uint64_t next_seq;
    uint64_t reserved_to; /* numbers below may be used */
};

/* HM_ENOMEM. */
int evlog_init(struct evlog *l);
void evlog_fini(struct evlog *l);
/* Appends; the number is set here. True if reserved_to has risen and must be stored. */
bool evlog_add(struct evlog *l, const struct member_event *ev);
const struct member_event *evlog_after(const struct evlog *l, uint64_t seq);

#endif
