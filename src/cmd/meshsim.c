/* SPDX-License-Identifier: MPL-2.0 */
/* meshsim: the daemon's core, many times, in virtual time. "What happens in my lab when…" for
 * users, and the test of the protocol for developers: each run is judged, and a failing one prints
 * the command that repeats it. Exit codes: 0 nothing was violated, 1 something was, 2 wrong usage.
 * */
#define _GNU_SOURCE

#include "config.h"

#include "base/err.h"
#include "base/text.h"
#include "sim/run.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_VIOLATED 1
#define EXIT_USAGE 2
#define SECONDS_MAX (366ULL * 86400)

struct options {
    const char *scenario; /* or "all" */
    uint64_t first_seed, last_seed;
    bool seeds_given;
    struct run_conf run;
    const char *broken;
    bool verbose;
    bool keep_going;
    bool sweep;
};

static const struct {
    const char *name;
    unsigned bit;
    const char *summary;
} breaks[] = {
    {"no-refutation", BREAK_NO_REFUTATION, "a suspected node keeps silent"},
    {"icmp-verdict", BREAK_ICMP_VERDICT, "one port-unreachable is a verdict"},
    {"stale-incarnation", BREAK_STALE_INCARNATION, "full exchange revives at an old incarnation"},
    {"no-replay-check", BREAK_NO_REPLAY_CHECK, "old datagrams are taken again"},
    {"no-verify", BREAK_NO_VERIFY, "records are not verified"},
    {"single-observer", BREAK_SINGLE_OBSERVER, "anybody's verdict is believed"},
    {"no-retry-failed", BREAK_NO_RETRY_FAILED, "failed members are never probed again"},
    {"no-incarnation-store", BREAK_NO_INCARNATION_STORE,
     "a restart begins at incarnation 1 and never catches up"},
};
#define BREAKS (sizeof breaks / sizeof breaks[0])

static void print_usage(FILE *out)
{
    fprintf(
        out,
        "Usage: meshsim [OPTION]...\n"
        "Run many nodes in virtual time, let things go wrong, and judge what they do.\n\n"
        "  --scenario=NAME    what goes wrong (default swarm; all: every one with its seeds)\n"
        "  --list             the scenarios and the ways to break the core\n"
        "  --seed=N           the run to make (default 1)\n"
        "  --seeds=A-B        the runs to make\n"
        "  --nodes=N          how many nodes (default: the scenario's, drawn from the seed)\n"
        "  --for=SECONDS      virtual time (default: the scenario's)\n"
        "  --loss=PERCENT     of all packets\n"
        "  --latency=MS       one way\n"
        "  --jitter=MS        and up to so much more for each packet\n"
        "  --no-lifeguard     plain SWIM timeouts, for comparison\n"
        "  --break=NAME       a core with a known fault, to see that it is found\n"
        "  --keep-going       go on after a violation\n"
        "  --sweep            a table of detection times against loss and size (--nodes: up to)\n"
        "  --verbose          print what the nodes log, and the rare states reached\n"
        "  --help, --version\n\n"
        "Example: meshsim --scenario=silence --nodes=5 --loss=10 --verbose\n");
}

static void print_list(void)
{
    printf("Scenarios:\n");
    for (unsigned i = 0; i < scenario_count; i++) {
        printf("  %-12s %s\n", scenarios[i].name, scenarios[i].summary);
    }
    printf("\nWays to break the core (--break):\n");
    for (size_t i = 0; i < BREAKS; i++) {
        printf("  %-20s %s\n", breaks[i].name, breaks[i].summary);
    }
}

/* ---- arguments ---- */

static bool complain(const char *option, const char *value, const char *wanted)
{
    fprintf(stderr, "meshsim: %s=%s: %s\n", option, value, wanted);
    return false;
}

static bool read_number(const char *option, const char *text, uint64_t max, uint64_t *ret)
{
    if (text_to_u64(text, max, ret) != HM_OK) {
        fprintf(stderr, "meshsim: %s=%s: expected a number from 0 to %" PRIu64 "\n", option, text,
                max);
        return false;
    }
    return true;
}

/* "25" or "0.5" as millionths of `unit`. */
static bool read_decimal(const char *option, const char *text, uint64_t max, uint64_t unit,
                         uint64_t *ret)
{
    char *end = NULL;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0) || value > (double) max) {
        fprintf(stderr, "meshsim: %s=%s: expected a number from 0 to %" PRIu64 "\n", option, text,
                max);
        return false;
    }
    *ret = (uint64_t) (value * (double) unit + 0.5);
    return true;
}

static bool read_seeds(const char *text, struct options *o)
{
    char first[32];
    const char *dash = strchr(text, '-');
    size_t size = dash == NULL ? 0 : (size_t) (dash - text);
    if (size == 0 || size >= sizeof first) {
        return complain("--seeds", text, "expected a range like 1-20");
    }
    memcpy(first, text, size);
    first[size] = '\0';
    o->seeds_given = true;
    if (!read_number("--seeds", first, UINT64_MAX, &o->first_seed) ||
        !read_number("--seeds", dash + 1, UINT64_MAX, &o->last_seed)) {
        return false;
    }
    return o->first_seed <= o->last_seed || complain("--seeds", text, "the range is empty");
}

static bool read_break(const char *text, struct options *o)
{
    const char *names[BREAKS + 1] = {NULL};
    for (size_t i = 0; i < BREAKS; i++) {
        names[i] = breaks[i].name;
        if (strcmp(text, breaks[i].name) == 0) {
            o->broken = breaks[i].name;
            o->run.broken |= breaks[i].bit;
            return true;
        }
    }
    const char *near = text_nearest(text, names);
    fprintf(stderr, "meshsim: --break=%s: no such way%s%s (see --list)\n", text,
            near != NULL ? "; nearest: " : "", near != NULL ? near : "");
    return false;
}

static bool read_scenario(const char *text, struct options *o)
{
    o->scenario = text;
    o->run.scenario = scenario_find(text);
    if (o->run.scenario != NULL || strcmp(text, "all") == 0) {
        return true;
    }
    const char *names[64] = {"all"};
    for (unsigned i = 0; i < scenario_count && i < 62; i++) {
        names[i + 1] = scenarios[i].name;
    }
    const char *near = text_nearest(text, names);
    fprintf(stderr, "meshsim: --scenario=%s: no such scenario%s%s (see --list)\n", text,
            near != NULL ? "; nearest: " : "", near != NULL ? near : "");
    return false;
}

enum option_code {
    OPT_SCENARIO = 256,
    OPT_LIST,
    OPT_SEED,
    OPT_SEEDS,
    OPT_NODES,
    OPT_FOR,
    OPT_LOSS,
    OPT_LATENCY,
    OPT_JITTER,
    OPT_NO_LIFEGUARD,
    OPT_BREAK,
    OPT_KEEP_GOING,
    OPT_SWEEP,
    OPT_VERBOSE,
    OPT_HELP,
    OPT_VERSION,
};

static const struct option long_options[] = {
    {"scenario", required_argument, NULL, OPT_SCENARIO},
    {"list", no_argument, NULL, OPT_LIST},
    {"seed", required_argument, NULL, OPT_SEED},
    {"seeds", required_argument, NULL, OPT_SEEDS},
    {"nodes", required_argument, NULL, OPT_NODES},
    {"for", required_argument, NULL, OPT_FOR},
    {"loss", required_argument, NULL, OPT_LOSS},
    {"latency", required_argument, NULL, OPT_LATENCY},
    {"jitter", required_argument, NULL, OPT_JITTER},
    {"no-lifeguard", no_argument, NULL, OPT_NO_LIFEGUARD},
    {"break", required_argument, NULL, OPT_BREAK},
    {"keep-going", no_argument, NULL, OPT_KEEP_GOING},
    {"sweep", no_argument, NULL, OPT_SWEEP},
    {"verbose", no_argument, NULL, OPT_VERBOSE},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static bool read_option(int code, const char *value, struct options *o)
{
    uint64_t number;
    switch (code) {
    case OPT_SCENARIO:
        return read_scenario(value, o);
    case OPT_SEED:
        o->seeds_given = true;
        if (!read_number("--seed", value, UINT64_MAX, &o->first_seed)) {
            return false;
        }
        o->last_seed = o->first_seed;
        return true;
    case OPT_SEEDS:
        return read_seeds(value, o);
    case OPT_NODES:
        if (!read_number("--nodes", value, SIM_NODES_MAX, &number)) {
            return false;
        }
        o->run.nodes = (unsigned) number;
        return number > 0 || complain("--nodes", value, "at least 1 is needed");
    case OPT_FOR:
        return read_decimal("--for", value, SECONDS_MAX, SECOND_NS, &o->run.for_ns);
    case OPT_LOSS:
        return read_decimal("--loss", value, 99, SIM_LOSS_ALL / 100, &o->run.loss_ppm);
    case OPT_LATENCY:
        return read_decimal("--latency", value, 10000, MS_NS, &o->run.latency_ns);
    case OPT_JITTER:
        return read_decimal("--jitter", value, 10000, MS_NS, &o->run.jitter_ns);
    case OPT_NO_LIFEGUARD:
        o->run.no_lifeguard = true;
        return true;
    case OPT_BREAK:
        return read_break(value, o);
    case OPT_KEEP_GOING:
        o->keep_going = true;
        return true;
    case OPT_SWEEP:
        o->sweep = true;
        return true;
    case OPT_VERBOSE:
        o->verbose = true;
        return true;
    default: /* getopt said why */
        return false;
    }
}

/* ---- runs ---- */

static void print_note(void *ctx, const struct world *w, unsigned node, const struct note *note)
{
    (void) ctx;
    struct note_text text;
    note_format(note, &text);
    printf("%8" PRIu64 ".%03" PRIu64 " n%-4u %s", w->now_ns / SECOND_NS, w->now_ns / MS_NS % 1000,
           node, text.message);
    for (size_t i = 0; i < text.field_count; i++) {
        printf(" %s=%s", text.fields[i].key, text.fields[i].value);
    }
    printf("\n");
}

/* The command that makes this run again, whatever the defaults are by then. */
static void print_repeat(const struct options *o, const struct run_conf *conf,
                         const struct run_result *r)
{
    printf("  repeat: meshsim --scenario=%s --seed=%" PRIu64 " --nodes=%u", conf->scenario->name,
           conf->seed, r->nodes);
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
    printf("%s%s%s\n", conf->no_lifeguard ? " --no-lifeguard" : "",
           o->broken != NULL ? " --break=" : "", o->broken != NULL ? o->broken : "");
}

static void print_result(const struct options *o, const struct run_conf *conf,
                         const struct run_result *r)
{
    printf("%-12s seed %-4" PRIu64 " nodes %-4u %6" PRIu64 " s  %9" PRIu64 " steps  agreed after "
           "%5.1f s",
           conf->scenario->name, conf->seed, r->nodes, r->for_ns / SECOND_NS, r->steps,
           (double) r->converged_ns / SECOND_NS);
    if (r->deaths > 0) {
        printf("  deaths %" PRIu64 " noticed %" PRIu64 " median %.2f s max %.2f s", r->deaths,
               r->noticed, (double) r->median_ns / SECOND_NS, (double) r->slowest_ns / SECOND_NS);
    }
    if (r->false_suspicions > 0) {
        printf("  false suspicions %" PRIu64, r->false_suspicions);
    }
    if (r->false_failures > 0) {
        printf("  false failures %" PRIu64 " (%" PRIu64 " at healthy)", r->false_failures,
               r->false_failures_healthy);
    }
    if (r->plain_median_ns > 0) {
        printf("  plain SWIM %" PRIu64 " (%" PRIu64 " at healthy) median %.2f s",
               r->plain_false_failures, r->plain_false_failures_healthy,
               (double) r->plain_median_ns / SECOND_NS);
    }
    printf("  hash %016" PRIx64 "  %s\n", r->hash, r->failed ? "VIOLATED" : "ok");
    if (r->failed) {
        printf("  violation %s\n", r->violation);
        print_repeat(o, conf, r);
    }
    fflush(stdout);
}

static bool run_seeds(const struct options *o, const struct scenario *scenario, uint64_t first,
                      uint64_t last, uint64_t rare[RARE_COUNT])
{
    bool ok = true;
    for (uint64_t seed = first; (ok || o->keep_going); seed++) {
        struct run_conf conf = o->run;
        struct run_result r;
        conf.scenario = scenario;
        conf.seed = seed;
        if (o->verbose) {
            conf.note_sink = print_note;
        }
        run(&conf, &r);
        print_result(o, &conf, &r);
        for (int i = 0; i < RARE_COUNT; i++) {
            rare[i] += r.rare[i];
        }
        ok = ok && !r.failed;
        if (seed == last) {
            break;
        }
    }
    return ok;
}

static bool judge_rare(const struct options *o, const uint64_t rare[RARE_COUNT], bool must_be_all)
{
    bool ok = true;
    for (int i = 0; i < RARE_COUNT; i++) {
        if (o->verbose) {
            printf("%9" PRIu64 "  %s\n", rare[i], rare_text((enum rare) i));
        }
        if (must_be_all && rare[i] == 0) {
            printf("never reached: %s\n", rare_text((enum rare) i));
            ok = false;
        }
    }
    return ok;
}

static bool run_all(const struct options *o)
{
    uint64_t rare[RARE_COUNT] = {0};
    bool ok = true;
    for (unsigned i = 0; i < scenario_count && (ok || o->keep_going); i++) {
        const struct scenario *s = &scenarios[i];
        if (o->seeds_given) {
            ok = run_seeds(o, s, o->first_seed, o->last_seed, rare) && ok;
        } else if (s->seeds > 0) {
            ok = run_seeds(o, s, 1, s->seeds, rare) && ok;
        }
    }
    return judge_rare(o, rare, ok && !o->seeds_given && o->broken == NULL) && ok;
}

int main(int argc, char **argv)
{
    struct options o = {.scenario = "swarm", .first_seed = 1, .last_seed = 1};
    run_conf_default(&o.run);
    o.run.scenario = scenario_find("swarm");
    int code;
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (code == OPT_HELP) {
            print_usage(stdout);
            return EXIT_SUCCESS;
        }
        if (code == OPT_VERSION) {
            printf("meshsim %s\n", PACKAGE_VERSION);
            return EXIT_SUCCESS;
        }
        if (code == OPT_LIST) {
            print_list();
            return EXIT_SUCCESS;
        }
        if (!read_option(code, optarg, &o)) {
            fprintf(stderr, "Try: meshsim --help\n");
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "meshsim: unexpected argument \"%s\"; try: meshsim --help\n", argv[optind]);
        return EXIT_USAGE;
    }
    bool ok;
    if (o.sweep) {
        ok = sweep(stdout, o.first_seed, o.run.nodes != 0 ? o.run.nodes : 1000);
    } else if (o.run.scenario == NULL) {
        ok = run_all(&o);
    } else {
        uint64_t rare[RARE_COUNT] = {0};
        ok = run_seeds(&o, o.run.scenario, o.first_seed, o.last_seed, rare);
        judge_rare(&o, rare, false);
    }
    return ok ? EXIT_SUCCESS : EXIT_VIOLATED;
}
