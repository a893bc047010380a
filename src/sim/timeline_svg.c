/* SPDX-License-Identifier: MPL-2.0 */
/* Draws a timeline as SVG: see timeline.h.
 *
 * Colours differ in lightness as well as in hue, so that they can be told apart in grey, on paper
 * and by the colour-blind; each piece also says in words, when pointed at, what it is. Whatever is
 * shorter than a pixel is drawn a pixel wide, the worse over the better. */
#include "sim/timeline_priv.h"

#include "base/err.h"
#include "core/core.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LEFT 104.0 /* of the plot, in pixels */
#define PLOT 1000.0
#define RIGHT 24.0
#define ROWS_UP_TO 9U /* nodes: one row for each observer; beyond, the share that believes */
#define PANELS_MAX 40U
#define TRUTH_HEIGHT 12.0
#define ROW_HEIGHT 9.0
#define SHARE_HEIGHT 34.0
#define PANEL_GAP 14.0
#define MARK_LANES 7U
#define MARK_HEIGHT 13.0
#define LETTER 6.1 /* width of one, at 11 pixels */
#define BINS 1000U
#define UNKNOWN 4U /* beside enum member_status */
#define NO_PROCESS 5U

struct picture {
    const struct timeline *t;
    const struct plan *plan;
    FILE *out;
    uint64_t end_ns;
    double y; /* where the next panel goes */
    double plot_top;
    bool is_shared; /* shares, not rows */
    unsigned panels[PANELS_MAX];
    unsigned panel_count;
    uint8_t *eventful; /* by node */
};

static const struct {
    const char *text;
    const char *colour;
} beliefs[] = {
    {"alive", "#9fd9c4"}, {"suspect", "#e6a100"},          {"failed", "#a3123a"},
    {"left", "#4a7ab5"},  {"does not know it", "#f1f1f1"},
};

static const struct {
    const char *text;
    const char *colour;
} truths[] = {
    {"switched off", "#ffffff"}, {"crashed", "#ffffff"},           {"left", "#ffffff"},
    {"running", "#3d3d3d"},      {"held up or asleep", "#b0b0b0"},
};

static double x_of(const struct picture *p, uint64_t at_ns)
{
    uint64_t at = at_ns > p->end_ns ? p->end_ns : at_ns;
    return LEFT + PLOT * (double) at / (double) p->end_ns;
}

static void print_escaped(FILE *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '<') {
            fputs("&lt;", out);
        } else if (*c == '>') {
            fputs("&gt;", out);
        } else if (*c == '&') {
            fputs("&amp;", out);
        } else if (*c == '"') {
            fputs("&quot;", out);
        } else {
            fputc(*c, out);
        }
    }
}

/* ---- time in words ---- */

/* In the unit that fits a run of this length. */
static void time_text(uint64_t run_ns, uint64_t ns, char *text, size_t max)
{
    double s = (double) ns / SECOND_NS;
    uint64_t run_s = run_ns / SECOND_NS;
    if (run_s >= 2 * 86400) {
        snprintf(text, max, "%.5gd", s / 86400);
    } else if (run_s >= 3 * 3600) {
        snprintf(text, max, "%.5gh", s / 3600);
    } else if (run_s > 600) {
        snprintf(text, max, "%.5gmin", s / 60);
    } else {
        snprintf(text, max, "%.6gs", s);
    }
}

/* At most ten of a length that people count in. */
static uint64_t tick_ns(uint64_t end_ns)
{
    static const unsigned seconds[] = {1,     2,     5,      10,     15,      30,     60,    120,
                                       300,   600,   900,    1800,   3600,    7200,   10800, 21600,
                                       43200, 86400, 172800, 604800, 1209600, 2592000};
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        if (end_ns / (seconds[i] * (uint64_t) SECOND_NS) <= 10) {
            return seconds[i] * (uint64_t) SECOND_NS;
        }
    }
    return end_ns / 8 + 1;
}

/* ---- pieces ---- */

static void piece(const struct picture *p, double y, double height, uint64_t from_ns,
                  uint64_t to_ns, const char *colour, const char *words)
{
    char from[24], to[24];
    double x = x_of(p, from_ns);
    double width = x_of(p, to_ns) - x;
    time_text(p->end_ns, from_ns, from, sizeof from);
    time_text(p->end_ns, to_ns, to, sizeof to);
    fprintf(p->out,
            "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" fill=\"%s\">"
            "<title>%s, %s to %s</title></rect>\n",
            x, y, width < 1 ? 1 : width, height, colour, words, from, to);
}

static void label(const struct picture *p, double x, double y, const char *class,
                  const char *anchor, const char *text)
{
    fprintf(p->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, class,
            anchor);
    print_escaped(p->out, text);
    fputs("</text>\n", p->out);
}

static void draw_truth(struct picture *p, unsigned node)
{
    unsigned now = TRUTH_OFF;
    uint64_t since_ns = 0;
    fprintf(p->out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#fff\" "
            "stroke=\"#999\" stroke-width=\"0.6\"/>\n",
            LEFT, p->y, PLOT, TRUTH_HEIGHT);
    for (size_t i = 0; i <= p->t->count; i++) {
        const struct timeline_record *r = i < p->t->count ? &p->t->records[i] : NULL;
        if (r != NULL && (r->observer != node || r->subject != node)) {
            continue;
        }
        uint64_t until_ns = r != NULL ? r->at_ns : p->end_ns;
        if (now >= TRUTH_RUNNING && until_ns > since_ns) {
            char words[48];
            snprintf(words, sizeof words, "n%u %s", node + 1, truths[now].text);
            piece(p, p->y, TRUTH_HEIGHT, since_ns, until_ns, truths[now].colour, words);
        }
        if (r != NULL) {
            now = r->what;
            since_ns = r->at_ns;
        }
    }
}

/* ---- rows: what each other node believed ---- */

static bool is_of_row(const struct timeline_record *r, unsigned observer, unsigned subject)
{
    return r->observer == observer && (r->subject == subject || r->subject == observer);
}

/* What the row shows after this record. */
static unsigned belief_after(const struct timeline_record *r, unsigned now)
{
    if (r->observer != r->subject) {
        return r->what;
    }
    bool has_process = r->what >= TRUTH_RUNNING;
    return !has_process ? NO_PROCESS : now == NO_PROCESS ? UNKNOWN : now;
}

static void draw_beliefs_at(struct picture *p, unsigned observer, unsigned subject, double y,
                            bool is_worse)
{
    unsigned now = NO_PROCESS;
    uint64_t since_ns = 0;
    for (size_t i = 0; i <= p->t->count; i++) {
        const struct timeline_record *r = i < p->t->count ? &p->t->records[i] : NULL;
        if (r != NULL && !is_of_row(r, observer, subject)) {
            continue;
        }
        uint64_t until_ns = r != NULL ? r->at_ns : p->end_ns;
        bool is_bad = now == STATUS_SUSPECT || now == STATUS_FAILED;
        if (now != NO_PROCESS && until_ns > since_ns && is_bad == is_worse) {
            char words[64];
            snprintf(words, sizeof words, now == UNKNOWN ? "n%u %sn%u" : "n%u: %s n%u",
                     observer + 1, now == UNKNOWN ? "does not know " : beliefs[now].text,
                     subject + 1);
            piece(p, y, ROW_HEIGHT - 1, since_ns, until_ns, beliefs[now].colour, words);
        }
        unsigned next = r != NULL ? belief_after(r, now) : now;
        if (next != now) {
            now = next;
            since_ns = r->at_ns;
        }
    }
}

static void draw_rows(struct picture *p, unsigned subject)
{
    for (unsigned o = 0; o < p->plan->nodes; o++) {
        if (o == subject) {
            continue;
        }
        char name[24];
        snprintf(name, sizeof name, "n%u says", o + 1);
        label(p, LEFT - 8, p->y + ROW_HEIGHT - 1.5, "small", "end", name);
        draw_beliefs_at(p, o, subject, p->y, false);
        draw_beliefs_at(p, o, subject, p->y, true);
        p->y += ROW_HEIGHT;
    }
}

/* ---- shares: how many of the running nodes believed it ---- */

struct shares {
    unsigned nodes;
    uint8_t *belief;        /* [observer * nodes + subject] */
    unsigned (*count)[6];   /* by subject and belief */
    float (*peak)[BINS][4]; /* by panel: the highest share of suspect, failed, left; and of known */
};

static unsigned bin_of(const struct picture *p, uint64_t at_ns)
{
    uint64_t at = at_ns >= p->end_ns ? p->end_ns - 1 : at_ns;
    return (unsigned) ((double) at / (double) p->end_ns * BINS);
}

static void set_belief(struct shares *s, unsigned observer, unsigned subject, unsigned belief)
{
    uint8_t *at = &s->belief[(size_t) observer * s->nodes + subject];
    s->count[subject][*at]--;
    s->count[subject][belief]++;
    *at = (uint8_t) belief;
}

static void take_record(struct shares *s, const struct timeline_record *r)
{
    if (r->observer != r->subject) {
        set_belief(s, r->observer, r->subject, r->what);
        return;
    }
    for (unsigned i = 0; i < s->nodes; i++) {
        if (i != r->observer) {
            unsigned now = s->belief[(size_t) r->observer * s->nodes + i];
            set_belief(s, r->observer, i, belief_after(r, now));
        }
    }
}

static void note_peaks(const struct picture *p, struct shares *s, unsigned bin)
{
    for (unsigned i = 0; i < p->panel_count; i++) {
        const unsigned *count = s->count[p->panels[i]];
        unsigned all = count[STATUS_ALIVE] + count[STATUS_SUSPECT] + count[STATUS_FAILED] +
                       count[STATUS_LEFT] + count[UNKNOWN];
        float *peak = s->peak[i][bin];
        for (unsigned k = 0; all > 0 && k < 4; k++) {
            unsigned of = k == 0 ? all - count[UNKNOWN] : count[k];
            float share = (float) of / (float) all;
            peak[k] = share > peak[k] ? share : peak[k];
        }
    }
}

static void measure_shares(const struct picture *p, struct shares *s)
{
    unsigned bin = 0;
    for (size_t i = 0; i <= p->t->count; i++) {
        unsigned next = i < p->t->count ? bin_of(p, p->t->records[i].at_ns) : BINS - 1;
        if (i == p->t->count || next > bin || p->t->count < 200000) {
            note_peaks(p, s, bin);
        }
        for (; bin < next; bin++) {
            note_peaks(p, s, bin + 1);
        }
        if (i < p->t->count) {
            take_record(s, &p->t->records[i]);
        }
    }
    note_peaks(p, s, BINS - 1);
}

static void shares_init(const struct picture *p, struct shares *s)
{
    unsigned n = p->plan->nodes;
    s->nodes = n;
    s->belief = malloc((size_t) n * n);
    s->count = calloc(n, sizeof *s->count);
    s->peak = calloc(p->panel_count + 1, sizeof *s->peak);
    HM_ASSERT(s->belief != NULL && s->count != NULL && s->peak != NULL);
    memset(s->belief, NO_PROCESS, (size_t) n * n);
    for (unsigned i = 0; i < n; i++) {
        s->count[i][NO_PROCESS] = n;
    }
}

static void draw_area(const struct picture *p, const struct shares *s, unsigned panel, unsigned of,
                      const char *colour)
{
    double bottom = p->y + SHARE_HEIGHT;
    fprintf(p->out, "<path fill=\"%s\" d=\"M%.0f %.1f", colour, LEFT, bottom);
    double last = -1;
    for (unsigned b = 0; b < BINS; b++) {
        const float *peak = s->peak[panel][b];
        double share = of == STATUS_ALIVE ? peak[0] : peak[of];
        /* Stacked from below: failed, then suspect, then left, then the rest of the known. */
        share += of == STATUS_SUSPECT ? peak[STATUS_FAILED] : 0;
        share += of == STATUS_LEFT ? peak[STATUS_FAILED] + peak[STATUS_SUSPECT] : 0;
        double y = bottom - SHARE_HEIGHT * (share > 1 ? 1 : share);
        if (y != last) {
            fprintf(p->out, "H%.0fV%.1f", LEFT + b * PLOT / BINS, y);
            last = y;
        }
    }
    fprintf(p->out, "H%.0fV%.1fZ\"><title>share of nodes that hold it %s</title></path>\n",
            LEFT + PLOT, bottom, of == STATUS_ALIVE ? "alive" : beliefs[of].text);
}

static void draw_share(struct picture *p, const struct shares *s, unsigned panel)
{
    fprintf(p->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
            LEFT, p->y, PLOT, SHARE_HEIGHT, beliefs[UNKNOWN].colour);
    label(p, LEFT - 8, p->y + SHARE_HEIGHT - 12, "small", "end", "the others");
    draw_area(p, s, panel, STATUS_ALIVE, beliefs[STATUS_ALIVE].colour);
    draw_area(p, s, panel, STATUS_LEFT, beliefs[STATUS_LEFT].colour);
    draw_area(p, s, panel, STATUS_SUSPECT, beliefs[STATUS_SUSPECT].colour);
    draw_area(p, s, panel, STATUS_FAILED, beliefs[STATUS_FAILED].colour);
    p->y += SHARE_HEIGHT;
}

/* ---- which nodes ---- */

static void find_eventful(struct picture *p)
{
    for (size_t i = 0; i < p->t->count; i++) {
        const struct timeline_record *r = &p->t->records[i];
        bool is_event =
            r->observer == r->subject ? r->what != TRUTH_RUNNING : r->what != STATUS_ALIVE;
        if (is_event) {
            p->eventful[r->subject] = 1;
        }
    }
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < p->plan->nodes && p->panel_count < PANELS_MAX; i++) {
            bool is_wanted = p->is_shared ? (pass == 0) == (p->eventful[i] != 0) : pass == 0;
            if (is_wanted && (pass == 0 || p->panel_count == 0)) {
                p->panels[p->panel_count++] = i;
            }
        }
    }
}

/* ---- the frame ---- */

static void draw_axis(const struct picture *p, double bottom)
{
    uint64_t step_ns = tick_ns(p->end_ns);
    for (uint64_t t = 0; t <= p->end_ns; t += step_ns) {
        char text[24];
        time_text(p->end_ns, t, text, sizeof text);
        fprintf(p->out,
                "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ccc\" "
                "stroke-width=\"0.7\"/>\n",
                x_of(p, t), x_of(p, t), p->plot_top - 4, bottom);
        label(p, x_of(p, t), p->plot_top - 8, "axis", "middle", text);
        label(p, x_of(p, t), bottom + 13, "axis", "middle", text);
    }
}

static double draw_swatch(const struct picture *p, double x, double y, const char *colour,
                          const char *text)
{
    fprintf(p->out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"10\" fill=\"%s\" stroke=\"#777\" "
            "stroke-width=\"0.6\"/>\n",
            x, y - 9, colour);
    label(p, x + 19, y, "small", "start", text);
    return x + 19 + (double) strlen(text) * LETTER + 16;
}

static void draw_legend(const struct picture *p, double y)
{
    double x = LEFT;
    label(p, LEFT - 8, y, "small", "end", "the truth");
    x = draw_swatch(p, x, y, truths[TRUTH_RUNNING].colour, truths[TRUTH_RUNNING].text);
    x = draw_swatch(p, x, y, truths[TRUTH_HELD_UP].colour, truths[TRUTH_HELD_UP].text);
    x = draw_swatch(p, x, y, truths[TRUTH_OFF].colour, "not running");
    x += 30;
    label(p, x, y, "small", "start", "others say");
    x += 10 * LETTER + 8;
    for (unsigned i = 0; i < sizeof beliefs / sizeof beliefs[0]; i++) {
        x = draw_swatch(p, x, y, beliefs[i].colour, beliefs[i].text);
    }
}

/* A start of what runs already is nothing to see. */
static bool is_seen(const struct picture *p, const struct plan_fault *f)
{
    if (f->kind == FAULT_EXPECT || f->kind == FAULT_JOIN || f->at_ns > p->end_ns) {
        return false;
    }
    bool changes_truth =
        f->kind == FAULT_START || f->kind == FAULT_CRASH || f->kind == FAULT_SILENCE;
    if (!changes_truth || f->at_ns <= 2ULL * SECOND_NS) {
        return !changes_truth || f->kind != FAULT_START;
    }
    for (size_t i = 0; i < p->t->count && p->t->records[i].at_ns <= f->at_ns; i++) {
        const struct timeline_record *r = &p->t->records[i];
        if (r->at_ns == f->at_ns && r->observer == f->a && r->subject == f->a) {
            return true;
        }
    }
    return false;
}

static int compare_faults(const void *a, const void *b)
{
    const struct plan_fault *x = *(const struct plan_fault *const *) a;
    const struct plan_fault *y = *(const struct plan_fault *const *) b;
    return x->at_ns != y->at_ns ? (x->at_ns > y->at_ns) - (x->at_ns < y->at_ns) : (x > y) - (x < y);
}

/* Labels go to the highest lane where they have room; who has none is a line with words. */
static void draw_marks(const struct picture *p, double top, double bottom)
{
    double lane_end[MARK_LANES];
    for (unsigned i = 0; i < MARK_LANES; i++) {
        lane_end[i] = LEFT - 60;
    }
    size_t count = 0;
    const struct plan_fault **faults = calloc(p->plan->fault_count + 1, sizeof *faults);
    HM_ASSERT(faults != NULL);
    for (size_t i = 0; i < p->plan->fault_count; i++) {
        if (is_seen(p, &p->plan->faults[i])) {
            faults[count++] = &p->plan->faults[i];
        }
    }
    qsort(faults, count, sizeof *faults, compare_faults);
    for (size_t i = 0; i < count; i++) {
        const struct plan_fault *f = faults[i];
        char text[48];
        plan_fault_text(p->plan, f, text, sizeof text);
        double x = x_of(p, f->at_ns);
        double width = (double) strlen(text) * LETTER;
        double from = x + width > LEFT + PLOT + RIGHT - 4 ? x - width : x + 2;
        unsigned lane = 0;
        while (lane < MARK_LANES && from < lane_end[lane] + 6) {
            lane++;
        }
        fprintf(p->out,
                "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#555\" "
                "stroke-width=\"0.7\" stroke-dasharray=\"2 3\"><title>%s</title></line>\n",
                x, x, lane < MARK_LANES ? top + lane * MARK_HEIGHT : p->plot_top - 20, bottom,
                text);
        if (lane < MARK_LANES) {
            label(p, from, top + lane * MARK_HEIGHT + 9, "small", "start", text);
            lane_end[lane] = from + width;
        }
    }
    free(faults);
}

static double panel_height(const struct picture *p)
{
    return TRUTH_HEIGHT + 2 + PANEL_GAP +
           (p->is_shared ? SHARE_HEIGHT : ROW_HEIGHT * (p->plan->nodes - 1));
}

static void draw_panels(struct picture *p)
{
    struct shares s = {0};
    if (p->is_shared) {
        shares_init(p, &s);
        measure_shares(p, &s);
    }
    for (unsigned i = 0; i < p->panel_count; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%u", p->panels[i] + 1);
        label(p, LEFT - 8, p->y + TRUTH_HEIGHT - 2, "name", "end", name);
        draw_truth(p, p->panels[i]);
        p->y += TRUTH_HEIGHT + 2;
        if (p->is_shared) {
            draw_share(p, &s, i);
        } else {
            draw_rows(p, p->panels[i]);
        }
        p->y += PANEL_GAP;
    }
    free(s.belief);
    free(s.count);
    free(s.peak);
}

static void draw_head(const struct picture *p, double height, const char *title,
                      const char *violation)
{
    fprintf(p->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-labelledby=\"t d\">\n"
            "<title id=\"t\">Who believed what when: ",
            LEFT + PLOT + RIGHT, height, LEFT + PLOT + RIGHT, height);
    print_escaped(p->out, title);
    fputs("</title>\n<desc id=\"d\">For each node what it really did, and below it what the others "
          "believed of it, over time.</desc>\n"
          "<style>text{font-family:system-ui,sans-serif;fill:#222}.title{font-size:17px;"
          "font-weight:600}.sub{font-size:12.5px}.bad{font-size:12.5px;fill:#a3123a}"
          ".small{font-size:11px;paint-order:stroke;stroke:#fff;stroke-width:3px}.axis{font-size:"
          "11px;fill:#555}.name{font-size:13px;"
          "font-weight:600}</style>\n"
          "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
          p->out);
    label(p, LEFT, 26, "title", "start", title);
    label(p, LEFT, 45, violation != NULL ? "bad" : "sub", "start",
          violation != NULL ? violation : "Nothing was violated.");
}

void timeline_draw(const struct timeline *t, FILE *out, const struct plan *plan, uint64_t end_ns,
                   const char *title, const char *violation)
{
    struct picture p = {.t = t, .plan = plan, .out = out, .end_ns = end_ns > 0 ? end_ns : 1};
    p.is_shared = plan->nodes > ROWS_UP_TO;
    p.eventful = calloc(plan->nodes, 1);
    HM_ASSERT(p.eventful != NULL);
    find_eventful(&p);
    double marks_top = 84;
    p.plot_top = marks_top + MARK_LANES * MARK_HEIGHT + 26;
    double bottom = p.plot_top + panel_height(&p) * p.panel_count;
    draw_head(&p, bottom + 44, title, violation);
    draw_legend(&p, 68);
    draw_axis(&p, bottom);
    p.y = p.plot_top + 4;
    draw_panels(&p);
    draw_marks(&p, marks_top, bottom);
    if (p.panel_count < plan->nodes || t->is_cut) {
        char text[96];
        snprintf(text, sizeof text, "%u more nodes are not shown%s", plan->nodes - p.panel_count,
                 t->is_cut ? "; the end is not recorded: too much happened" : "");
        label(&p, LEFT, bottom + 32, "small", "start", text);
    }
    fputs("</svg>\n", out);
    free(p.eventful);
}
