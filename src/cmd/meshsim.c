/* SPDX-License-Identifier: MPL-2.0 */
/* meshsim: the daemon's core, many times, in virtual time. "What happens in my lab when…" for
 * users, and the test of the protocol for developers: each run is judged, and a failing one prints
 * the command that repeats it. Exit codes: sim_opts.h. */
#define _GNU_SOURCE

#include "base/err.h"
#include "cmd/sim_opts.h"
#include "cmd/sim_out.h"
#include "sim/shrink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *create(const char *path)
{
    FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    if (f == NULL) {
        fprintf(stderr, "meshsim: cannot write %s: %s\n", path, strerror(errno));
    }
    return f;
}

static bool close_file(FILE *f, const char *path)
{
    bool ok = f == stdout ? fflush(f) == 0 : fclose(f) == 0;
    if (!ok) {
        fprintf(stderr, "meshsim: cannot write %s: %s\n", path, strerror(errno));
    }
    return ok;
}

/* ---- a violated run made small ---- */

static void write_head(FILE *f, const struct sim_opts *o, const struct run_conf *conf,
                       const struct shrunk *s)
{
    fprintf(
        f,
        "# Found with seed %" PRIu64 " of %s: %u nodes and %zu faults, made smaller in %u runs.\n"
        "# %s\n"
        "# Repeat: meshsim run THIS-FILE%s%s%s\n",
        conf->seed, conf->script != NULL ? o->file : conf->scenario->name, s->nodes_before,
        s->faults_before, s->runs, s->result.violation, conf->no_lifeguard ? " --no-lifeguard" : "",
        o->broken != NULL ? " --break=" : "", o->broken != NULL ? o->broken : "");
}

static bool shrink_run(const struct sim_opts *o, const struct run_conf *conf)
{
    struct shrunk s;
    char path[128];
    if (!shrink(conf, SHRINK_RUNS_DEFAULT, &s)) {
        fprintf(stderr, "meshsim: --shrink: only a broken rule can be shrunk, not a comparison\n");
        return false;
    }
    snprintf(path, sizeof path, "%s-%" PRIu64 ".scenario",
             conf->script != NULL ? conf->script->name : conf->scenario->name, conf->seed);
    const char *to = o->shrink[0] != '\0' ? o->shrink : path;
    FILE *f = create(to);
    bool ok = f != NULL;
    if (ok) {
        write_head(f, o, conf, &s);
        plan_write(&s.plan, f);
        ok = close_file(f, to);
    }
    if (ok) {
        fprintf(o->format == SIM_JSON ? stderr : stdout,
                "  shrunk to %u nodes and %zu faults (from %u and %zu) in %u runs: %s\n"
                "  violation %s\n"
                "  repeat: meshsim run %s%s%s%s\n",
                s.plan.nodes, s.plan.fault_count, s.nodes_before, s.faults_before, s.runs, to,
                s.result.violation, to, conf->no_lifeguard ? " --no-lifeguard" : "",
                o->broken != NULL ? " --break=" : "", o->broken != NULL ? o->broken : "");
    }
    plan_fini(&s.plan);
    return ok;
}

/* ---- runs ---- */

static bool draw_timeline(const struct sim_opts *o, const struct run_conf *conf,
                          const struct plan *plan, const struct run_result *r)
{
    char title[128];
    FILE *f = create(o->timeline);
    if (f == NULL) {
        return false;
    }
    snprintf(title, sizeof title, "%s, seed %" PRIu64 ", %u nodes", plan->name, conf->seed,
             r->nodes);
    timeline_draw(conf->timeline, f, plan, r->end_ns, title, r->failed ? r->violation : NULL);
    return close_file(f, o->timeline);
}

/* One run; *ret_ok is false if it was violated. Returns false if a file could not be written. */
static bool run_one(const struct sim_opts *o, struct run_conf *conf, struct sim_out *out,
                    bool *ret_ok)
{
    struct run_result r;
    struct plan plan;
    bool is_written = true;
    if (o->verbose && o->format == SIM_TABLE) {
        conf->note_sink = sim_out_note;
    }
    if (o->timeline != NULL) {
        conf->timeline = timeline_new();
        conf->ret_plan = &plan;
    }
    run(conf, &r);
    sim_out_run(out, conf, &r);
    if (o->timeline != NULL) {
        is_written = draw_timeline(o, conf, &plan, &r);
        plan_fini(&plan);
        timeline_destroy(&conf->timeline);
        conf->ret_plan = NULL;
    }
    if (r.failed && o->wants_shrink) {
        is_written = shrink_run(o, conf) && is_written;
    }
    *ret_ok = !r.failed;
    return is_written;
}

static bool run_seeds(const struct sim_opts *o, const struct scenario *scenario, uint64_t first,
                      uint64_t last, struct sim_out *out)
{
    bool all_ok = true;
    for (uint64_t seed = first; all_ok || o->keep_going; seed++) {
        struct run_conf conf = o->run;
        bool ok;
        conf.scenario = scenario;
        conf.seed = seed;
        all_ok = run_one(o, &conf, out, &ok) && ok && all_ok;
        if (seed == last) {
            break;
        }
    }
    return all_ok;
}

static bool run_all(const struct sim_opts *o, struct sim_out *out)
{
    bool ok = true;
    for (unsigned i = 0; i < scenario_count && (ok || o->keep_going); i++) {
        const struct scenario *s = &scenarios[i];
        if (o->seeds_given) {
            ok = run_seeds(o, s, o->first_seed, o->last_seed, out) && ok;
        } else if (s->seeds > 0) {
            ok = run_seeds(o, s, 1, s->seeds, out) && ok;
        }
    }
    return ok;
}

static bool print_scenario(const struct sim_opts *o)
{
    struct plan plan;
    struct run_conf conf = o->run;
    conf.seed = o->first_seed;
    run_draw(&conf, &plan);
    plan_write(&plan, stdout);
    plan_fini(&plan);
    return fflush(stdout) == 0;
}

static bool do_runs(const struct sim_opts *o)
{
    struct sim_out out;
    sim_out_begin(&out, o);
    if (o->run.scenario != NULL || o->script != NULL) {
        bool ok = run_seeds(o, o->run.scenario, o->first_seed, o->last_seed, &out);
        sim_out_end(&out, false);
        return ok;
    }
    bool ok = run_all(o, &out);
    return sim_out_end(&out, ok && !o->seeds_given && o->broken == NULL) && ok;
}

int main(int argc, char **argv)
{
    struct sim_opts o;
    int code;
    if (!sim_opts_read(argc, argv, &o, &code)) {
        return code;
    }
    bool ok = o.sweep ? sweep(stdout, o.first_seed, o.run.nodes != 0 ? o.run.nodes : 1000)
              : o.print_scenario ? print_scenario(&o)
                                 : do_runs(&o);
    script_destroy(&o.script);
    return ok ? EXIT_SUCCESS : SIM_EXIT_VIOLATED;
}
