/* SPDX-License-Identifier: MPL-2.0 */
/* Leaving: a record that says so, told a few times, then the end. Nothing else is said meanwhile. */
#include "core/core_priv.h"

#define GOODBYES 3                  /* leave is told so often, since datagrams get lost */
#define FIRST_GOODBYE_NS (5 * MS_NS)
#define GOODBYE_NS (60 * MS_NS)

void core_stop(core_t *c, int exit_code)
{
    struct effect *fx = fxlist_add(&c->fx, FX_STOP);
    if (fx != NULL) {
        fx->as.stop.exit_code = exit_code;
        c->stopped = true;
    }
}

static void say_goodbye(core_t *c)
{
    struct span update = update_of_record(c, c->self);
    size_t count = core_up_others(c);
    /* Beyond the direct receivers some hear it and gossip it on. */
    if (count > HM_DIRECT_RECEIVERS_MAX) {
        count = HM_DIRECT_RECEIVERS_MAX;
    }
    for (size_t i = 0; i < count; i++) {
        tell_one(c, c->probe_order.items[i], update);
    }
}

void core_leave(core_t *c)
{
    if (c->leaving) {
        return;
    }
    c->leaving = true;
    core_note(c, NOTE_INFO, NOTE_LEAVING, c->self, NULL, REASON_LEFT, 0);
    if (!c->ready || core_up_others(c) == 0) {
        core_arm(c, TIMER_LEAVE, c->now_ns);
        return;
    }
    c->ready = false; /* no gossip, no probes: only goodbyes */
    self_renew(c, 0, RECORD_LEFT);
    c->goodbyes_left = GOODBYES;
    /* Not in this step: who asked for it over a link is to have its answer first. */
    core_arm(c, TIMER_LEAVE, c->now_ns + FIRST_GOODBYE_NS);
}

void leave_tick(core_t *c)
{
    if (c->goodbyes_left > 0) {
        c->goodbyes_left--;
        say_goodbye(c);
        core_arm(c, TIMER_LEAVE, c->now_ns + GOODBYE_NS);
        return;
    }
    core_stop(c, 0);
}
