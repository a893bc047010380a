/* SPDX-License-Identifier: MPL-2.0 */
/* Records of who believed what when: see timeline.h. The picture is drawn in timeline_svg.c. */
#include "sim/timeline.h"

#include "base/err.h"
#include "sim/timeline_priv.h"

#include <stdlib.h>
#include <string.h>

struct timeline *timeline_new(void)
{
    struct timeline *t = calloc(1, sizeof *t);
    HM_ASSERT(t != NULL);
    return t;
}

void timeline_destroy(struct timeline **p)
{
    if (*p != NULL) {
        free((*p)->records);
        free(*p);
        *p = NULL;
    }
}

static void add(struct timeline *t, uint64_t at_ns, unsigned observer, unsigned subject,
                unsigned what)
{
    if (t->count == TIMELINE_RECORDS_MAX) {
        t->is_cut = true;
        return;
    }
    if (t->count == t->room) {
        t->room = t->room == 0 ? 256 : 2 * t->room;
        t->records = realloc(t->records, t->room * sizeof *t->records);
        HM_ASSERT(t->records != NULL);
    }
    t->records[t->count++] =
        (struct timeline_record){at_ns, (uint16_t) observer, (uint16_t) subject, (uint8_t) what};
}

void timeline_truth(struct timeline *t, uint64_t at_ns, unsigned node, enum timeline_truth truth)
{
    add(t, at_ns, node, node, (unsigned) truth);
}

enum timeline_truth timeline_truth_of_end(enum ending ending)
{
    return ending == ENDED_LEFT ? TRUTH_LEFT : ending == ENDED_CRASH ? TRUTH_CRASHED : TRUTH_OFF;
}

void timeline_belief(struct timeline *t, uint64_t at_ns, unsigned observer, unsigned subject,
                     uint8_t status)
{
    if (observer != subject) {
        add(t, at_ns, observer, subject, status);
    }
}
