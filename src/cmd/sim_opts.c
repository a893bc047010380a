/* SPDX-License-Identifier: MPL-2.0 */
/* meshsim's command line: see sim_opts.h. */
#define _GNU_SOURCE

#include "cmd/sim_opts.h"

#include "config.h"

#include "base/err.h"
#include "base/text.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX (100ULL * 366 * 86400)

static const struct {
    const char *name;
    unsigned bit;
    const char *summary;
    bool is_compared; /* no rule is broken by it; for comparisons */
    unsigned registry_bit;
} breaks[] = {
    {"no-refutation", BREAK_NO_REFUTATION, "a suspected node keeps silent", false, 0},
    {"icmp-verdict", BREAK_ICMP_VERDICT, "one port-unreachable is a verdict", false, 0},
    {"stale-incarnation", BREAK_STALE_INCARNATION, "full exchange revives at an old incarnation",
     false, 0},
    {"no-replay-check", BREAK_NO_REPLAY_CHECK, "old datagrams are taken again", false, 0},
    {"no-verify", BREAK_NO_VERIFY, "records are not verified", false, 0},
    {"single-observer", BREAK_SINGLE_OBSERVER, "anybody's verdict is believed", false, 0},
    {"no-retry-failed", BREAK_NO_RETRY_FAILED, "failed members are never probed again", false, 0},
    {"no-incarnation-store", BREAK_NO_INCARNATION_STORE,
     "a restart begins at incarnation 1 and never catches up", false, 0},
    {"dot-reused", 0, "a life of a node is its stored counter alone", false, REG_BREAK_DOT_REUSED},
    {"early-ack", 0, "a write is acknowledged before it is durable", false, REG_BREAK_EARLY_ACK},
    {"early-push", 0, "a write is told to others before it is durable", false,
     REG_BREAK_EARLY_PUSH},
    {"fold-is-range", 0, "who folds a node's old lives is taken to have seen all of them", false,
     REG_BREAK_FOLD_IS_RANGE},
    {"early-claim", 0, "a pass's vector is taken over with its first chunk", false,
     REG_BREAK_EARLY_CLAIM},
    {"early-release", 0, "a deletion mark goes when the writer alone has it", false,
     REG_BREAK_EARLY_RELEASE},
    {"clock-wins", 0, "the later wall clock ends a conflict", false, REG_BREAK_CLOCK_WINS},
    {"no-isolation", BREAK_NO_ISOLATION, "a node that nobody answers spreads its doubts", true, 0},
    {"no-held-up", BREAK_NO_HELD_UP, "who was held up judges by what it did not hear", true, 0},
    {"plain-suspicion", BREAK_PLAIN_SUSPICION, "who heard of a suspicion judges by the time alone",
     true, 0},
    {"long-suspicion", BREAK_LONG_SUSPICION, "it lasts 5 s times log10 of the members at least",
     true, 0},
};
#define BREAKS (sizeof breaks / sizeof breaks[0])

static void print_usage(FILE *out)
{
    fprintf(
        out,
        "Usage: meshsim run FILE [OPTION]...\n"
        "       meshsim [OPTION]...\n"
        "Run many nodes in virtual time, let things go wrong, and judge what they do.\n\n"
        "What runs:\n"
        "  run FILE           a scenario file; --help=scenario tells how to write one\n"
        "  --scenario=NAME    a built-in scenario (default swarm; all: every one)\n"
        "  --list             the built-in scenarios and the ways to break the core\n"
        "  --seed=N           the run to make (default 1)\n"
        "  --seeds=A-B        the runs to make\n"
        "  --nodes=N          how many nodes (default: the scenario's, drawn from the seed)\n"
        "  --for=SECONDS      virtual time (default: the scenario's)\n"
        "  --loss=PERCENT     of all packets\n"
        "  --latency=MS       one way\n"
        "  --jitter=MS        and up to so much more for each packet\n"
        "  --no-lifeguard     plain SWIM timeouts, for comparison\n"
        "  --break=NAME,…     a core with known faults, to see that they are found\n"
        "  --keep-going       go on after a violation\n\n"
        "What comes out:\n"
        "  --format=FORMAT    table (default) or json\n"
        "  --timeline=FILE    a picture (SVG) of who believed what when, of one run\n"
        "  --shrink[=FILE]    makes a violated run as small as it can and writes it as a\n"
        "                     scenario file (default: SCENARIO-SEED.scenario)\n"
        "  --print-scenario   print the run as a scenario file and do not run it\n"
        "  --sweep            a table of detection times against loss and size (--nodes: up to)\n"
        "  --verbose          print what the nodes log, and the rare states reached\n"
        "  --help, --version\n\n"
        "Exit codes: 0 nothing was violated, 1 something was, 2 wrong usage or an error in the\n"
        "scenario file, 5 no such file.\n\n"
        "Example: meshsim --scenario=silence --nodes=5 --loss=10 --timeline=silence.svg\n");
}

static void print_list(void)
{
    printf("Scenarios:\n");
    for (unsigned i = 0; i < scenario_count; i++) {
        printf("  %-12s %s\n", scenarios[i].name, scenarios[i].summary);
    }
    printf("\nWays to break the core (--break):\n");
    for (size_t i = 0; i < BREAKS; i++) {
        if (!breaks[i].is_compared) {
            printf("  %-20s %s\n", breaks[i].name, breaks[i].summary);
        }
    }
    printf("\nSwitched off, the nodes err more often (--break, for comparisons):\n");
    for (size_t i = 0; i < BREAKS; i++) {
        if (breaks[i].is_compared) {
            printf("  %-20s %s\n", breaks[i].name, breaks[i].summary);
        }
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

static bool read_seeds(const char *text, struct sim_opts *o)
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

static bool read_one_break(const char *text, struct sim_opts *o)
{
    const char *names[BREAKS + 1] = {NULL};
    for (size_t i = 0; i < BREAKS; i++) {
        names[i] = breaks[i].name;
        if (strcmp(text, breaks[i].name) == 0) {
            o->run.broken |= breaks[i].bit;
            o->run.broken_registry |= breaks[i].registry_bit;
            return true;
        }
    }
    const char *near = text_nearest(text, names);
    fprintf(stderr, "meshsim: --break=%s: no such way%s%s (see --list)\n", text,
            near != NULL ? "; nearest: " : "", near != NULL ? near : "");
    return false;
}

/* One or more, with commas between. */
static bool read_break(const char *text, struct sim_opts *o)
{
    const char *from = text;
    o->broken = text;
    for (;;) {
        char name[64];
        size_t size = strcspn(from, ",");
        snprintf(name, sizeof name, "%.*s", size > 63 ? 63 : (int) size, from);
        if (!read_one_break(name, o)) {
            return false;
        }
        if (from[size] == '\0') {
            return true;
        }
        from += size + 1;
    }
}

static bool read_scenario(const char *text, struct sim_opts *o)
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

static bool read_format(const char *text, struct sim_opts *o)
{
    o->format = strcmp(text, "json") == 0 ? SIM_JSON : SIM_TABLE;
    return o->format == SIM_JSON || strcmp(text, "table") == 0 ||
           complain("--format", text, "expected table or json");
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
    OPT_FORMAT,
    OPT_TIMELINE,
    OPT_SHRINK,
    OPT_PRINT,
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
    {"format", required_argument, NULL, OPT_FORMAT},
    {"timeline", required_argument, NULL, OPT_TIMELINE},
    {"shrink", optional_argument, NULL, OPT_SHRINK},
    {"print-scenario", no_argument, NULL, OPT_PRINT},
    {"sweep", no_argument, NULL, OPT_SWEEP},
    {"verbose", no_argument, NULL, OPT_VERBOSE},
    {"help", optional_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static bool read_option(int code, const char *value, struct sim_opts *o)
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
    case OPT_FORMAT:
        return read_format(value, o);
    case OPT_TIMELINE:
        o->timeline = value;
        return true;
    case OPT_SHRINK:
        o->wants_shrink = true;
        o->shrink = value != NULL ? value : "";
        return true;
    case OPT_PRINT:
        o->print_scenario = true;
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

/* ---- the scenario file ---- */

static bool read_bytes(const char *path, char *bytes, size_t max, size_t *ret_size)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (f == NULL) {
        return false;
    }
    *ret_size = fread(bytes, 1, max, f);
    bool ok = ferror(f) == 0;
    if (f != stdin) {
        fclose(f);
    }
    return ok;
}

/* The file's name without folders and ending, for the table. */
static void name_of(const char *path, char *name, size_t max)
{
    const char *slash = strrchr(path, '/');
    snprintf(name, max, "%s", slash != NULL ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot != NULL && dot != name) {
        *dot = '\0';
    }
}

static bool read_file(struct sim_opts *o, int *ret_code)
{
    size_t max = SCRIPT_BYTES_MAX + 1;
    size_t size = 0;
    char name[64];
    struct script_error error;
    char *bytes = malloc(max);
    HM_ASSERT(bytes != NULL);
    name_of(o->file, name, sizeof name);
    if (!read_bytes(o->file, bytes, max, &size)) {
        fprintf(stderr, "meshsim: cannot read %s: %s\n", o->file, strerror(errno));
        *ret_code = SIM_EXIT_NO_FILE;
        free(bytes);
        return false;
    }
    o->script = script_read(span_of(bytes, size), name, &error);
    free(bytes);
    if (o->script == NULL) {
        fprintf(stderr, "meshsim: %s:%u:%u: %s\n", o->file, error.line, error.column, error.text);
        *ret_code = SIM_EXIT_USAGE;
        return false;
    }
    struct plan plan;
    bool ok = script_plan(o->script, o->script->seed, &plan);
    plan_fini(&plan);
    if (!ok) {
        fprintf(stderr,
                "meshsim: %s: more than %u faults or %u paths come of it, or more than 100 years: "
                "make \"every\" rarer, or let it end sooner\n",
                o->file, SCRIPT_FAULTS_MAX, PATHS_MAX);
        script_destroy(&o->script);
        *ret_code = SIM_EXIT_USAGE;
        return false;
    }
    o->run.script = o->script;
    if (!o->seeds_given) {
        o->first_seed = o->script->seed;
        o->last_seed = o->script->seed;
    }
    return true;
}

/* "run FILE", or nothing. */
static bool read_words(int argc, char **argv, struct sim_opts *o, int *ret_code)
{
    *ret_code = SIM_EXIT_USAGE;
    if (optind < argc && strcmp(argv[optind], "run") == 0) {
        if (optind + 1 >= argc) {
            fprintf(stderr, "meshsim: run: which file? Try: meshsim --help=scenario\n");
            return false;
        }
        o->file = argv[optind + 1];
        optind += 2;
    }
    if (optind < argc) {
        fprintf(stderr, "meshsim: unexpected argument \"%s\"; try: meshsim --help\n", argv[optind]);
        return false;
    }
    if (o->file != NULL &&
        (o->scenario != NULL || o->run.nodes != 0 || o->run.for_ns != RUN_NOT_SET || o->sweep)) {
        fprintf(stderr, "meshsim: run: the file says scenario, nodes and time; leave out --%s\n",
                o->scenario != NULL ? "scenario"
                : o->run.nodes != 0 ? "nodes"
                : o->sweep          ? "sweep"
                                    : "for");
        return false;
    }
    bool is_one =
        (o->scenario == NULL || strcmp(o->scenario, "all") != 0) && o->first_seed == o->last_seed;
    if (!is_one && (o->timeline != NULL || o->print_scenario)) {
        fprintf(stderr, "meshsim: --timeline and --print-scenario are of one run: name one "
                        "scenario and one --seed\n");
        return false;
    }
    return o->file == NULL || read_file(o, ret_code);
}

static bool help(const char *about, int *ret_code)
{
    *ret_code = EXIT_SUCCESS;
    if (about == NULL) {
        print_usage(stdout);
    } else if (strcmp(about, "scenario") == 0) {
        script_print_words(stdout);
    } else {
        fprintf(stderr, "meshsim: --help=%s: there is --help and --help=scenario\n", about);
        *ret_code = SIM_EXIT_USAGE;
    }
    return false;
}

bool sim_opts_read(int argc, char **argv, struct sim_opts *o, int *ret_code)
{
    *o = (struct sim_opts){.first_seed = 1, .last_seed = 1};
    run_conf_default(&o->run);
    o->run.scenario = scenario_find("swarm");
    int code;
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        *ret_code = EXIT_SUCCESS;
        if (code == OPT_HELP) {
            return help(optarg, ret_code);
        }
        if (code == OPT_VERSION) {
            printf("meshsim %s\n", PACKAGE_VERSION);
            return false;
        }
        if (code == OPT_LIST) {
            print_list();
            return false;
        }
        if (!read_option(code, optarg, o)) {
            fprintf(stderr, "Try: meshsim --help\n");
            *ret_code = SIM_EXIT_USAGE;
            return false;
        }
    }
    return read_words(argc, argv, o, ret_code);
}
