/* SPDX-License-Identifier: MPL-2.0 */
/* What meshsim prints of its runs: a table or JSON, and the command that repeats a run. */
#ifndef HM_CMD_SIM_OUT_H
#define HM_CMD_SIM_OUT_H

#include "cmd/sim_opts.h"
#include "sim/run.h"

#include <stdint.h>

struct sim_out {
    const struct sim_opts *opts;
    uint64_t runs, violated;
    uint64_t rare[RARE_COUNT];
};

void sim_out_begin(struct sim_out *out, const struct sim_opts *opts);
void sim_out_run(struct sim_out *out, const struct run_conf *conf, const struct run_result *r);
/* Returns false if states that must be reached were not. */
bool sim_out_end(struct sim_out *out, bool must_reach_all);

/* What a node logs; a note_sink_fn. */
void sim_out_note(void *ctx, const struct world *w, unsigned node, const struct note *note);

#endif
