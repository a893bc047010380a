/* SPDX-License-Identifier: MPL-2.0 */
/* Detection times and false failures against loss and size: see run.h.
 *
 * Each cell is one world: all nodes start, are left alone for a minute, and then die one at a time,
 * by turns as a process and with their machine, and come back. False failures are those of the
 * whole run. */
#include "sim/run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a;
    uint64_t y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

static void print_times(FILE *out, const struct run_result *r, enum ending ending)
{
    uint64_t first[RUN_DETECTIONS_MAX];
    uint64_t all[RUN_DETECTIONS_MAX];
    size_t count = 0;
    size_t missed = 0;
    for (unsigned i = 0; i < r->detection_count; i++) {
        const struct detection *d = &r->detections[i];
        if (d->ending != ending) {
            continue;
        }
        if (d->all_ns == 0) {
            missed++;
            continue;
        }
        first[count] = d->first_ns - d->at_ns;
        all[count++] = d->all_ns - d->at_ns;
    }
    if (count == 0) {
        fprintf(out, " none of %zu | |", missed);
        return;
    }
    qsort(first, count, sizeof *first, compare);
    qsort(all, count, sizeof *all, compare);
    fprintf(out, " %.2f | %.2f, %.2f%s |", (double) first[count / 2] / SECOND_NS,
            (double) all[count / 2] / SECOND_NS, (double) all[count - 1] / SECOND_NS,
            missed > 0 ? " (some missed)" : "");
}

bool sweep(FILE *out, uint64_t seed, unsigned nodes_max)
{
    static const unsigned sizes[] = {2, 3, 10, 30, 100, 1000};
    static const unsigned losses[] = {0, 5, 10, 25};
    const struct scenario *scenario = scenario_find("deaths");
    struct run_result *r = malloc(sizeof *r);
    bool ok = r != NULL;
    fprintf(out, "| nodes | loss | process dies: first, s | all (median, slowest), s "
                 "| machine silent: first, s | all (median, slowest), s "
                 "| false failures | node-minutes |\n"
                 "|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; ok && i < sizeof sizes / sizeof sizes[0] && sizes[i] <= nodes_max; i++) {
        for (size_t j = 0; j < sizeof losses / sizeof losses[0]; j++) {
            struct run_conf conf;
            run_conf_default(&conf);
            conf.scenario = scenario;
            conf.seed = seed;
            conf.nodes = sizes[i];
            conf.loss_ppm = (uint64_t) losses[j] * 10000U;
            run(&conf, r);
            fprintf(out, "| %u | %u %% |", sizes[i], losses[j]);
            print_times(out, r, ENDED_CRASH);
            print_times(out, r, ENDED_SILENT);
            fprintf(out, " %" PRIu64 " | %" PRIu64 " |\n", r->false_failures,
                    r->for_ns / SECOND_NS * sizes[i] / 60);
            fflush(out);
            if (r->failed) {
                fprintf(out,
                        "\nviolation: %s\nrepeat: meshsim --scenario=deaths --seed=%" PRIu64
                        " --nodes=%u --loss=%u\n",
                        r->violation, seed, sizes[i], losses[j]);
                ok = false;
            }
        }
    }
    free(r);
    return ok;
}
