/* SPDX-License-Identifier: MPL-2.0 */
/* meshsim's command line. */
#ifndef HM_CMD_SIM_OPTS_H
#define HM_CMD_SIM_OPTS_H

#include "sim/run.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_EXIT_VIOLATED 1
#define SIM_EXIT_USAGE 2
#define SIM_EXIT_NO_FILE 5

enum sim_format { SIM_TABLE, SIM_JSON };

struct sim_opts {
    const char *file;      /* of "run"; NULL: a built-in scenario */
    struct script *script; /* what was read from it */
    const char *scenario;  /* or "all" */
    uint64_t first_seed, last_seed;
    bool seeds_given;
    struct run_conf run;
    const char *broken; /* as it was given; NULL: whole */
    enum sim_format format;
    const char *timeline;
    const char *shrink; /* the file to write; "": a name of our own */
    bool wants_shrink;
    bool print_scenario;
    bool verbose;
    bool keep_going;
    bool sweep;
};

/* Reads the command line, and the scenario file if one is named. Returns true if there is something
 * to run; otherwise ret_code is the exit code. The script is the caller's. */
bool sim_opts_read(int argc, char **argv, struct sim_opts *ret_opts, int *ret_code);

#endif
