/* SPDX-License-Identifier: MPL-2.0 */
/* What meshsim prints: see sim_out.h. The table's columns are never empty, so that awk finds them. */
#define _GNU_SOURCE

#include "cmd/sim_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *name_of(const struct run_conf *conf)
{
    return conf->script != NULL ? conf->script->name : conf->scenario->name;
}

/* ---- the table ---- */

static void print_seconds(int width, uint64_t ns, bool is_known)
{
    char text[32];
    snprintf(text, sizeof text, is_known ? "%.2fs" : "-", (double) ns / SECOND_NS);
    printf(" %*s", width, text);
}

static void print_row(const struct run_conf *conf, const struct run_result *r)
{
    char span[32];
    bool is_long = r->for_ns >= 100000ULL * SECOND_NS;
    snprintf(span, sizeof span, is_long ? "%.1fd" : "%.0fs",
             (double) r->for_ns / SECOND_NS / (is_long ? 86400 : 1));
    printf("%-14s %6" PRIu64 " %5u %7s %9" PRIu64, name_of(conf), conf->seed, r->nodes, span,
           r->steps);
    print_seconds(7, r->converged_ns, !r->failed);
    printf(" %6" PRIu64 " %7" PRIu64, r->deaths, r->noticed);
    print_seconds(7, r->median_ns, r->noticed > 0);
    print_seconds(7, r->slowest_ns, r->noticed > 0);
    printf(" %9" PRIu64 " %6" PRIu64 "  %016" PRIx64 "  %s\n", r->false_suspicions,
           r->false_failures, r->hash, r->failed ? "VIOLATED" : "ok");
}

static void print_plain(const struct run_result *r)
{
    printf("  false failures %" PRIu64 " (%" PRIu64 " at healthy nodes), median %.2f s; plain SWIM "
           "%" PRIu64 " (%" PRIu64 " at healthy), median %.2f s\n",
           r->false_failures, r->false_failures_healthy, (double) r->median_ns / SECOND_NS,
           r->plain_false_failures, r->plain_false_failures_healthy,
           (double) r->plain_median_ns / SECOND_NS);
}

static void print_writes(const struct run_result *r)
{
    printf("  writes asked %" PRIu64 ", acknowledged %" PRIu64 ", refused %" PRIu64
           "; registries equal after",
           r->sums.asked, r->sums.acked, r->sums.refused);
    print_seconds(0, r->equal_ns, !r->failed);
    printf("; shown %016" PRIx64 "\n", r->sums.shown);
}

/* ---- the command that makes this run again, whatever the defaults are by then ---- */

static void print_repeat(const struct sim_opts *o, const struct run_conf *conf,
                         const struct run_result *r)
{
    if (conf->script != NULL) {
        printf("meshsim run %s --seed=%" PRIu64, o->file, conf->seed);
    } else {
        printf("meshsim --scenario=%s --seed=%" PRIu64 " --nodes=%u", conf->scenario->name,
               conf->seed, r->nodes);
    }
    if (conf->for_ns != RUN_NOT_SET) {
        printf(" --for=%.3f", (double) conf->for_ns / SECOND_NS);
    }
    if (conf->loss_ppm != RUN_NOT_SET) {
        printf(" --loss=%.4f", (double) conf->loss_ppm * 100 / SIM_LOSS_ALL);
    }
    if (conf->latency_ns != RUN_NOT_SET) {
        printf(" --latency=%.6f", (double) conf->latency_ns / MS_NS);
    }
    if (conf->jitter_ns != RUN_NOT_SET) {
        printf(" --jitter=%.6f", (double) conf->jitter_ns / MS_NS);
    }
    printf("%s%s%s", conf->no_lifeguard ? " --no-lifeguard" : "",
           o->broken != NULL ? " --break=" : "", o->broken != NULL ? o->broken : "");
}

/* ---- JSON ---- */

static void print_string(const char *text)
{
    putchar('"');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            printf("\\%c", *c);
        } else if ((unsigned char) *c < 0x20) {
            printf("\\u%04x", (unsigned) *c);
        } else {
            putchar(*c);
        }
    }
    putchar('"');
}

static void print_json_plain(const struct run_result *r)
{
    printf(", \"plain_swim\": {\"false_failures\": %" PRIu64
           ", \"false_failures_at_healthy\": %" PRIu64 ", \"detection_median_s\": %.3f}",
           r->plain_false_failures, r->plain_false_failures_healthy,
           (double) r->plain_median_ns / SECOND_NS);
}

/* Of each death that all noticed: until the first other node did, and until all did. */
static void print_json_detections(const struct run_result *r)
{
    const char *comma = "";
    printf(", \"detections_s\": [");
    for (unsigned i = 0; i < r->detection_count; i++) {
        const struct detection *d = &r->detections[i];
        if (d->all_ns != 0) {
            printf("%s[%.3f, %.3f]", comma, (double) (d->first_ns - d->at_ns) / SECOND_NS,
                   (double) (d->all_ns - d->at_ns) / SECOND_NS);
            comma = ", ";
        }
    }
    printf("]");
}

static void print_json(const struct sim_opts *o, const struct run_conf *conf,
                       const struct run_result *r)
{
    printf("{\"scenario\": ");
    print_string(name_of(conf));
    printf(", \"seed\": %" PRIu64 ", \"nodes\": %u, \"virtual_s\": %.3f, \"steps\": %" PRIu64
           ", \"violated\": %s",
           conf->seed, r->nodes, (double) r->for_ns / SECOND_NS, r->steps,
           r->failed ? "true" : "false");
    if (r->failed) {
        printf(", \"violation\": ");
        print_string(r->violation);
        printf(", \"repeat\": \"");
        print_repeat(o, conf, r);
        printf("\"");
    } else {
        printf(", \"agreed_after_s\": %.3f", (double) r->converged_ns / SECOND_NS);
    }
    printf(", \"deaths\": %" PRIu64 ", \"noticed_by_all\": %" PRIu64, r->deaths, r->noticed);
    if (r->noticed > 0) {
        printf(", \"detection_median_s\": %.3f, \"detection_slowest_s\": %.3f",
               (double) r->median_ns / SECOND_NS, (double) r->slowest_ns / SECOND_NS);
    }
    if (r->detection_count > 0) {
        print_json_detections(r);
    }
    if (r->is_quiet) {
        printf(", \"quiet_datagrams_per_node_s\": %.3f, \"quiet_bytes_per_node_s\": %.1f",
               r->quiet_datagrams, r->quiet_bytes);
    }
    printf(", \"false_suspicions\": %" PRIu64 ", \"false_failures\": %" PRIu64
           ", \"false_failures_first\": %" PRIu64 ", \"false_failures_at_healthy\": %" PRIu64
           ", \"datagrams\": %" PRIu64 ", \"datagram_bytes\": %" PRIu64,
           r->false_suspicions, r->false_failures, r->false_failures_first,
           r->false_failures_healthy, r->datagrams, r->datagram_bytes);
    if (r->has_plain) {
        print_json_plain(r);
    }
    if (r->sums.asked > 0) {
        printf(", \"writes\": {\"asked\": %" PRIu64 ", \"acknowledged\": %" PRIu64
               ", \"refused\": %" PRIu64 ", \"equal_after_s\": %.3f, \"shown\": \"%016" PRIx64 "\"}",
               r->sums.asked, r->sums.acked, r->sums.refused, (double) r->equal_ns / SECOND_NS,
               r->sums.shown);
    }
    printf(", \"hash\": \"%016" PRIx64 "\"}", r->hash);
}

/* ---- all runs ---- */

void sim_out_begin(struct sim_out *out, const struct sim_opts *opts)
{
    memset(out, 0, sizeof *out);
    out->opts = opts;
    if (opts->format == SIM_JSON) {
        printf("{\"runs\": [");
    } else {
        printf("%-14s %6s %5s %7s %9s %7s %6s %7s %7s %7s %9s %6s  %-16s  %s\n", "scenario", "seed",
               "nodes", "time", "steps", "agreed", "deaths", "noticed", "median", "slowest",
               "suspected", "failed", "hash", "verdict");
    }
}

void sim_out_run(struct sim_out *out, const struct run_conf *conf, const struct run_result *r)
{
    for (int i = 0; i < RARE_COUNT; i++) {
        out->rare[i] += r->rare[i];
    }
    out->violated += r->failed;
    if (out->opts->format == SIM_JSON) {
        printf(out->runs == 0 ? "\n" : ",\n");
        print_json(out->opts, conf, r);
    } else {
        print_row(conf, r);
        if (r->has_plain) {
            print_plain(r);
        }
        if (r->sums.asked > 0) {
            print_writes(r);
        }
        if (r->failed) {
            printf("  violation %s\n  repeat: ", r->violation);
            print_repeat(out->opts, conf, r);
            printf("\n");
        }
    }
    out->runs++;
    fflush(stdout);
}

static void end_json(const struct sim_out *out)
{
    printf("\n], \"violations\": %" PRIu64 ", \"states\": {", out->violated);
    for (int i = 0; i < RARE_COUNT; i++) {
        printf(i == 0 ? "\n" : ",\n");
        print_string(rare_text((enum rare) i));
        printf(": %" PRIu64, out->rare[i]);
    }
    printf("\n}}\n");
}

bool sim_out_end(struct sim_out *out, bool must_reach_all)
{
    bool ok = true;
    if (out->opts->format == SIM_JSON) {
        end_json(out);
    }
    for (int i = 0; i < RARE_COUNT; i++) {
        if (out->opts->verbose && out->opts->format == SIM_TABLE) {
            printf("%9" PRIu64 "  %s\n", out->rare[i], rare_text((enum rare) i));
        }
        if (must_reach_all && out->rare[i] == 0) {
            fprintf(stderr, "never reached: %s\n", rare_text((enum rare) i));
            ok = false;
        }
    }
    return ok;
}

void sim_out_note(void *ctx, const struct world *w, unsigned node, const struct note *note)
{
    (void) ctx;
    struct note_text text;
    note_format(note, &text);
    printf("%8" PRIu64 ".%03" PRIu64 " %-5s %s", w->now_ns / SECOND_NS, w->now_ns / MS_NS % 1000,
           w->nodes[node].name, text.message);
    for (size_t i = 0; i < text.field_count; i++) {
        printf(" %s=%s", text.fields[i].key, text.fields[i].value);
    }
    printf("\n");
}
