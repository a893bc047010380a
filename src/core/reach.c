/* SPDX-License-Identifier: MPL-2.0 */
/* How this node reaches the others, and whether it reaches anybody.
 *
 * Path: a probe is answered directly, through a helper, or over the link (swim.c). Where three probes in
 * a row had no direct answer, the member's path is the one that works; it stays alive, and says so. To a
 * member whose path is the link, everything goes over the link.
 *
 * Isolated: a node that cannot send, or cannot hear, sees everybody silent and is the only one to blame.
 * It knows by this: since the last answer to anything it asked, probes of three members have failed, or
 * of all others (two at least). Until somebody answers again it tells nobody what it doubts, and it does
 * not judge whom it still hears. What it sees itself it shows.
 *
 * Pause: after a sleep the network takes its time, and after an isolation old suspicions are worth nothing,
 * so nobody is judged for one suspicion period. */
#include "base/err.h"
#include "core/core_priv.h"

#define PATH_PROBES 3 /* in a row: 25 % loss does it once in 1,700 probes */
#define PATH_BACK 2   /* direct answers in a row until it is said that all is well again */
#define SILENT_ENOUGH 3
#define SILENT_MIN 2  /* with one other, nobody can tell whose fault it is */
#define SILENT_NS (2 * SECOND_NS)
#define PAUSE_FROM_NS SECOND_NS /* shorter stalls are Lifeguard's business */

const char *member_path_name(enum member_path path)
{
    switch (path) {
    case PATH_NONE: return "";
    case PATH_DIRECT: return "direct";
    case PATH_RELAYED: return "relayed";
    case PATH_LINK: return "link";
    }
    return "";
}

void reach_answered(core_t *c, struct member *m, enum member_path how)
{
    bool was_direct = m->path == PATH_DIRECT || m->path == PATH_NONE;
    bool is_direct = how == PATH_DIRECT;
    if (how == PATH_RELAYED && m->link == LINK_UP && m->link_answered_ns > m->link_since_ns) {
        how = PATH_LINK; /* a helper was quicker, but the link works, too */
    }
    reach_proven(c);
    m->path_streak = is_direct == m->path_last_direct ? m->path_streak + 1 : 1;
    m->path_last_direct = is_direct;
    if (m->path == PATH_NONE && is_direct) {
        m->path = PATH_DIRECT;
    }
    if (is_direct == was_direct || m->path_streak < (is_direct ? PATH_BACK : PATH_PROBES)) {
        return;
    }
    m->path = how;
    enum reason reason = is_direct          ? REASON_PATH_DIRECT
                         : how == PATH_LINK ? REASON_PATH_LINK
                                            : REASON_PATH_RELAYED;
    report_notice(c, m, reason, &c->self->id);
    if (!is_direct && m->link == LINK_NONE) {
        overlay_touch(c); /* a link may be dialled now: no datagram will prove its session */
    }
}

void reach_link_answers(core_t *c, struct member *m)
{
    m->link_answered_ns = c->now_ns;
    if (m->path == PATH_RELAYED) {
        m->path = PATH_LINK; /* that UDP is blocked was told already */
    }
}

bool reach_over_link(const struct member *m)
{
    return m->link == LINK_UP && (m->path != PATH_DIRECT || !m->session_live);
}

bool reach_needs_link(const struct member *m)
{
    return m->path == PATH_LINK || (m->path == PATH_DIRECT && !m->path_last_direct);
}

bool reach_hears_us(const struct member *m)
{
    return m->session_live || m->link == LINK_UP;
}

void reach_proven(core_t *c)
{
    c->answered_ns = c->now_ns;
    c->answer_epoch++;
    if (c->isolated) {
        c->isolated = false;
        reach_pause(c, PAUSE_FROM_NS); /* what we suspect, we suspect for our own silence */
        report_notice(c, c->self, REASON_REACHES, &c->self->id);
    }
}

/* It has not answered us since the last answer of anybody. */
static bool is_silent(const core_t *c, const struct member *m)
{
    if (m->silent_epoch == c->answer_epoch) {
        return true;
    }
    return m->status == STATUS_SUSPECT && m->watch != NULL && m->watch->is_observer &&
           c->now_ns - c->answered_ns >= c->params.probe_fail_ns;
}

void reach_judge(core_t *c)
{
    size_t silent = 0;
    size_t others = 0; /* up, and not known to be silent */
    if (c->isolated || c->answered_ns == 0 || c->now_ns - c->answered_ns < SILENT_NS ||
        (c->params.broken & BREAK_NO_ISOLATION) != 0) {
        return;
    }
    for (size_t i = 0; i < c->roster.count && silent < SILENT_ENOUGH; i++) {
        const struct member *m = c->roster.items[i];
        if (m == c->self || m->status == STATUS_LEFT) {
            continue;
        }
        silent += is_silent(c, m);
        others += !is_silent(c, m) && member_is_up(m);
    }
    if (silent >= SILENT_ENOUGH || (silent >= SILENT_MIN && others == 0)) {
        c->isolated = true;
        core_count(c, M_ISOLATIONS);
        report_notice(c, c->self, REASON_ISOLATED, &c->self->id);
    }
}

void reach_silent(core_t *c, struct member *m)
{
    m->silent_epoch = c->answer_epoch;
    reach_judge(c);
}

void reach_pause(core_t *c, uint64_t deaf_ns)
{
    if (deaf_ns >= PAUSE_FROM_NS) {
        c->judge_from_ns =
            c->now_ns + c->params.suspicion_min_ns * c->params.suspicion_max_mult;
    }
}

uint64_t reach_may_judge_ns(const core_t *c, const struct member *m)
{
    const struct watch *w = m->watch;
    /* Others might have answered since, and none has: we may be about to find that we are isolated. */
    bool is_unheard = c->isolated || (core_up_others(c) > 1 && c->answered_ns < w->suspect_since_ns);
    if (is_unheard && m->last_heard_ns >= w->suspect_since_ns) {
        return c->now_ns + c->params.suspicion_min_ns; /* it speaks: only we cannot be heard */
    }
    return c->judge_from_ns;
}
