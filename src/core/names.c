/* SPDX-License-Identifier: MPL-2.0 */
/* Names: only labels, so two members may have the same one. They are shown as NAME and NAME~2, and
 * commands take what is shown. The order is the same on all nodes: those that are up, those that failed,
 * those that left, each group by id. So a machine that was set up anew takes over the name of the old one
 * that failed, and one that fails keeps its name before one that was given up. `~2` is never stored and
 * never travels.
 *
 * A node may be renamed while it runs. The name is stored with its incarnation; one that is given at the
 * start (--name, MESHD_NAME, the configuration) wins over it, and that is told. */
#include "base/err.h"
#include "base/text.h"
#include "core/core_priv.h"

#include <stdio.h>
#include <string.h>

static void show(core_t *c, struct member *m, unsigned rank)
{
    unsigned before = m->name_rank;
    m->name_rank = rank;
    if (rank < 2) {
        text_copy(m->shown, sizeof m->shown, m->rec.name);
    } else {
        snprintf(m->shown, sizeof m->shown, "%s~%u", m->rec.name, rank);
    }
    if (rank >= 2 && before < 2 && member_is_up(m) && c->ready) {
        report_notice(c, m, REASON_SAME_NAME, &c->self->id);
    }
}

enum { GROUP_UP, GROUP_FAILED, GROUP_LEFT, GROUPS };

static unsigned group_of(const struct member *m)
{
    return member_is_up(m)                ? GROUP_UP
           : m->status == STATUS_FAILED ? GROUP_FAILED
                                        : GROUP_LEFT;
}

void names_refresh(core_t *c, const char *name)
{
    unsigned rank = 0;
    for (unsigned group = 0; group < GROUPS; group++) {
        for (size_t i = 0; i < c->roster.count; i++) {
            struct member *m = c->roster.items[i];
            if (group_of(m) == group && strcmp(m->rec.name, name) == 0) {
                show(c, m, ++rank);
            }
        }
    }
}

void names_loaded(core_t *c, struct span name)
{
    char stored[HM_NAME_BYTES_MAX + 1] = "";
    if (name.size == 0 || name.size > HM_NAME_BYTES_MAX ||
        !text_is_dns_label((const char *) name.data, name.size)) {
        return;
    }
    memcpy(stored, name.data, name.size);
    if (strcmp(stored, c->name) == 0) {
        c->renamed = !c->name_given;
    } else if (c->name_given) {
        c->name_overrides = true;
    } else {
        memcpy(c->name, stored, sizeof c->name);
        c->renamed = true;
    }
}

int core_rename(core_t *c, const char *name)
{
    if (!text_is_dns_label(name, strlen(name))) {
        return HM_EINVAL;
    }
    if (strcmp(c->name, name) != 0) {
        if (!c->ready || c->leaving) {
            return HM_EBUSY;
        }
        text_copy(c->name, sizeof c->name, name);
        c->renamed = true;
        self_renew(c, 0, RECORD_ALIVE);
        core_note(c, NOTE_INFO, NOTE_RENAMED, c->self, NULL, REASON_NONE, 0);
        report_event(c, c->self, EVENT_UPDATED, REASON_UPDATED, &c->self->id);
        c->rename_batch = c->batch + 1; /* this step's */
    }
    return c->durable_batch >= c->rename_batch ? HM_OK : HM_ESTALE;
}
