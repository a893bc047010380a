/* SPDX-License-Identifier: MPL-2.0 */
/* Writes a plan as a scenario file that gives the same run: see script.h. Nothing in the file is
 * left to a draw; only the seed must be the same, for what happens to single packets. */
#include "core/core.h"
#include "sim/script.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* As seconds from one on, else as milliseconds, with as many digits as there are. */
static void write_time(FILE *out, uint64_t ns)
{
    bool is_long = ns >= SECOND_NS || ns == 0;
    uint64_t unit = is_long ? SECOND_NS : MS_NS;
    char fraction[12];
    snprintf(fraction, sizeof fraction, "%0*" PRIu64, is_long ? 9 : 6, ns % unit);
    size_t size = strlen(fraction);
    while (size > 0 && fraction[size - 1] == '0') {
        fraction[--size] = '\0';
    }
    fprintf(out, "%" PRIu64 "%s%s%s", ns / unit, size > 0 ? "." : "", fraction,
            is_long ? "s" : "ms");
}

static void write_percent(FILE *out, uint64_t ppm)
{
    fprintf(out, "%" PRIu64 ".%04" PRIu64 "%%", ppm / 10000U, ppm % 10000U);
}

typedef bool member_fn(const void *ctx, unsigned node);

static bool is_in_set(const void *ctx, unsigned node)
{
    return node_set_has(ctx, node);
}

static void write_nodes(FILE *out, unsigned count, member_fn *has, const void *ctx)
{
    const char *comma = "";
    for (unsigned i = 0; i < count; i++) {
        if (!has(ctx, i)) {
            continue;
        }
        unsigned last = i;
        while (last + 1 < count && has(ctx, last + 1)) {
            last++;
        }
        fprintf(out, last == i ? "%sn%u" : "%sn%u..n%u", comma, i + 1, last + 1);
        comma = ",";
        i = last;
    }
}

static void write_set(FILE *out, const struct plan *p, const struct node_set *set)
{
    write_nodes(out, p->nodes, is_in_set, set);
}

struct side {
    const struct plan_sides *sides;
    unsigned number;
};

static bool is_on_side(const void *ctx, unsigned node)
{
    const struct side *s = ctx;
    return s->sides->side[node] == s->number;
}

static void write_sides(FILE *out, const struct plan *p, const struct plan_sides *sides)
{
    const char *bar = "";
    for (unsigned number = 1; number <= 255; number++) {
        struct side side = {sides, number};
        bool any = false;
        for (unsigned i = 0; i < p->nodes; i++) {
            any = any || is_on_side(&side, i);
        }
        if (any) {
            fputs(bar, out);
            write_nodes(out, p->nodes, is_on_side, &side);
            bar = " | ";
        }
    }
}

static void write_path(FILE *out, const struct path_conf *path)
{
    if (path->loss_ppm == 0 && path->latency_ns == 0 && path->jitter_ns == 0) {
        fputs("ok", out);
        return;
    }
    fputs("loss ", out);
    write_percent(out, path->loss_ppm);
    fputs(" latency ", out);
    write_time(out, path->latency_ns);
    fputs(" jitter ", out);
    write_time(out, path->jitter_ns);
}

/* The verb that says this fault: for repeated restarts "storm", for one direction "path". */
static const struct script_verb *verb_of(const struct plan_fault *f)
{
    const char *wanted = f->kind == FAULT_PATH                         ? "path"
                         : f->kind == FAULT_RESTART && f->every_ns > 0 ? "storm"
                                                                       : NULL;
    for (size_t i = 0; i < script_verb_count; i++) {
        const struct script_verb *v = &script_verbs[i];
        if (v->kind == f->kind && (wanted == NULL || strcmp(v->name, wanted) == 0)) {
            return v;
        }
    }
    return NULL;
}

static uint64_t for_of(const struct plan_fault *f)
{
    uint64_t end_ns = plan_fault_end_ns(f);
    return end_ns > f->at_ns ? end_ns - f->at_ns : 0;
}

static const char *write_argument(FILE *out, const struct plan *p, const struct plan_fault *f,
                                  const char *c)
{
    int64_t number = (int64_t) f->arg;
    if (*c == '{') {
        const char *end = strchr(c, '}');
        fprintf(out, " %.*s", (int) (end - c - 1), c + 1);
        return end;
    }
    if (*c == 'f') {
        return c; /* what ends it is a fault of its own in the plan */
    }
    fputc(' ', out);
    if (*c == 'S' || *c == 'A') {
        fprintf(out, "n%u", f->a + 1);
    } else if (*c == 'B') {
        fprintf(out, "n%u", f->b + 1);
    } else if (*c == '|') {
        write_sides(out, p, &p->sides[f->arg]);
    } else if (*c == 'T') {
        write_time(out, f->arg);
    } else if (*c == 'J') {
        fputs(number < 0 ? "-" : "", out);
        write_time(out, (uint64_t) llabs(number) * MS_NS);
    } else if (*c == 'Q') {
        fprintf(out, "%" PRId64 "ppm", number);
    } else if (*c == '%') {
        write_percent(out, f->arg);
    } else if (*c == 'R') {
        write_time(out, f->every_ns);
    } else if (*c == 'p') {
        write_path(out, &p->paths[f->arg]);
    } else if (*c == 'w') {
        const struct plan_load *load = &p->loads[f->arg];
        fprintf(out, "keys %u bytes %u deletes ", load->keys, load->bytes);
        write_percent(out, load->deletes_ppm);
    } else if (*c == 'F') {
        fputs("for ", out);
        write_time(out, for_of(f));
    }
    return c;
}

static void write_expect_now(FILE *out, const struct plan *p, const struct expect *e)
{
    fprintf(out, "expect %s ", member_status_name((enum member_status) e->status));
    write_set(out, p, &e->who);
    fputs(" by ", out);
    write_set(out, p, &e->by);
}

static void write_fault(FILE *out, const struct plan *p, const struct plan_fault *f)
{
    const struct script_verb *v = verb_of(f);
    if (f->kind == FAULT_JOIN && f->every_ns > 0) {
        fputs("every ", out);
        write_time(out, f->every_ns);
        fputs(" from ", out);
        write_time(out, f->at_ns);
        fputs(" until ", out);
        write_time(out, f->until_ns);
    } else {
        fputs("at ", out);
        write_time(out, f->at_ns);
    }
    fputc(' ', out);
    if (f->kind == FAULT_EXPECT) {
        write_expect_now(out, p, &p->expects[f->arg]);
    } else if (v != NULL) {
        fputs(v->name, out);
        for (const char *c = v->arguments; *c != '\0'; c++) {
            c = write_argument(out, p, f, c);
        }
    }
    fputc('\n', out);
}

void plan_fault_text(const struct plan *p, const struct plan_fault *f, char *text, size_t max)
{
    const struct script_verb *v = verb_of(f);
    bool has_sides = f->kind == FAULT_PARTITION;
    bool has_a = v != NULL && strpbrk(v->arguments, "SA") != NULL;
    bool has_b = v != NULL && strchr(v->arguments, 'B') != NULL;
    const char *arrow = v != NULL && strchr(v->arguments, '>') != NULL ? " > " : " ";
    bool is_mended = (f->kind == FAULT_RADIO || f->kind == FAULT_EAR) && f->arg == 0;
    char a[12] = "", b[16] = "";
    if (has_a) {
        snprintf(a, sizeof a, " n%u", f->a + 1);
    }
    if (has_b) {
        snprintf(b, sizeof b, "%sn%u", arrow, f->b + 1);
    }
    unsigned small = 0;
    for (unsigned i = 0; has_sides && i < p->nodes; i++) {
        small += p->sides[f->arg].side[i] == 0;
    }
    if (has_sides) {
        snprintf(text, max, "partition %u | %u", p->nodes - small, small);
    } else {
        snprintf(text, max, "%s%s%s%s", v == NULL ? "?" : v->name, a, b, is_mended ? " ok" : "");
    }
}

static void write_named_time(FILE *out, const char *name, uint64_t ns)
{
    fprintf(out, "%s ", name);
    write_time(out, ns);
    fputc('\n', out);
}

static void write_named_percent(FILE *out, const char *name, uint64_t ppm, const char *end)
{
    fprintf(out, "%s ", name);
    write_percent(out, ppm);
    fputs(end, out);
}

static void write_settings(FILE *out, const struct plan *p)
{
    const struct net_conf *net = &p->net;
    fprintf(out, "nodes %u\nseed %" PRIu64 "\noff all\n", p->nodes, p->seed);
    write_named_time(out, "for", p->for_ns);
    write_named_time(out, "calm", p->calm_ns);
    write_named_time(out, "latency", net->latency_ns);
    write_named_time(out, "spread", net->spread_ns);
    write_named_time(out, "jitter", net->jitter_ns);
    write_named_percent(out, "loss", net->loss_ppm, "\n");
    write_named_percent(out, "duplicate", net->duplicate_ppm, "\n");
    write_named_percent(out, "reorder", net->reorder_ppm, " ");
    write_time(out, net->reorder_ns);
    fprintf(out, "\nbroadcast %s\nsegment %u\n", net->broadcast ? "on" : "off", net->segment_nodes);
    if (net->link_frames > 0) {
        fprintf(out, "link-queue %u\n", net->link_frames);
    }
    write_named_time(out, "disk", net->disk_ns);
}

static void write_expect(FILE *out, const struct plan *p, const struct expect *e)
{
    switch (e->kind) {
    case EXPECT_NO_FAILED:
        fputs("expect no-failed among ", out);
        write_set(out, p, &e->who);
        break;
    case EXPECT_DETECTED:
    case EXPECT_TOLD:
        fputs(e->kind == EXPECT_TOLD ? "expect told " : "expect detected ", out);
        write_set(out, p, &e->who);
        fputs(" within ", out);
        write_time(out, e->within_ns);
        break;
    case EXPECT_FALSE_FAILURES:
        fprintf(out, "expect false-failures %" PRIu64, e->limit);
        break;
    case EXPECT_INCARNATION:
        fputs("expect incarnation ", out);
        write_set(out, p, &e->who);
        fprintf(out, " below %" PRIu64, e->limit);
        break;
    case EXPECT_STATUS:
        return; /* stands among the faults */
    }
    fputc('\n', out);
}

void plan_write(const struct plan *p, FILE *out)
{
    write_settings(out, p);
    for (size_t i = 0; i < p->fault_count; i++) {
        write_fault(out, p, &p->faults[i]);
    }
    write_named_time(out, "expect agreed within", p->converge_ns);
    if (p->equal_ns > 0) {
        write_named_time(out, "expect equal within", p->equal_ns);
    }
    if (p->flags & PLAN_STRICT) {
        fputs("expect no-failed\n", out);
    }
    if (p->flags & PLAN_LENIENT) {
        fputs("expect some-failed\n", out);
    }
    if (p->flags & PLAN_IDLE) {
        fputs("expect idle\n", out);
    }
    if (p->detect_ns > 0) {
        write_named_time(out, "expect detected within", p->detect_ns);
    }
    for (size_t i = 0; i < p->expect_count; i++) {
        write_expect(out, p, &p->expects[i]);
    }
}
