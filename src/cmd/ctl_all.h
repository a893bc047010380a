/* SPDX-License-Identifier: MPL-2.0 */
/* One operation asked of every node of the mesh, through the local one, under one deadline. */
#ifndef HM_CMD_CTL_ALL_H
#define HM_CMD_CTL_ALL_H

#include "cmd/ctl.h"
#include "base/node_id.h"

struct out;

/* What a plain TCP connect to a node found, for doctor. */
enum ctl_tried { TRIED_NOT, TRIED_OPEN, TRIED_REFUSED, TRIED_SILENT };

struct ctl_node {
    char id[NODE_ID_TEXT_BYTES];
    char name[64];
    char status[16];      /* as the local node sees it */
    const json_t *member; /* as in "nodes list"; borrowed from ctl_all.members */
    bool is_self;
    bool has_knocked; /* for doctor: it has made itself heard since */
    bool is_aside;    /* for doctor: it keeps out of the mesh, another uses its identity */
    enum ctl_tried tried;
    json_t *reply;    /* all pages joined; NULL: see code and error */
    int code;         /* HM_OK or HM_E* */
    char error[256];  /* in words, "" for HM_OK */
    /* Wall clock here when its last answer was asked for and when it had come. */
    uint64_t asked_wall_ms, answered_wall_ms;
    uint64_t answered_ms; /* the same by ctl_now_ms */
};

struct ctl_all {
    struct ctl_node *nodes; /* by name, then id; nodes that have left are not among them */
    size_t count;
    json_t *members; /* reply of "nodes list" */
};

/* Lists who is to be asked. An exit code; what is wrong is on stderr. */
int ctl_all_init(struct ctl *ctl, struct ctl_all *all, uint64_t deadline_ms);
void ctl_all_fini(struct ctl_all *all);
/* Asks each node that is up, several at a time, and forgets earlier replies. Returns when all have
 * answered or the deadline (ctl_now_ms) has come; who has not answered has an error then. HM_OK, or
 * HM_E* when the local node cannot be asked any more. */
int ctl_all_ask(struct ctl *ctl, struct ctl_all *all, const struct op_spec *spec,
                const struct op_values *values, uint64_t deadline_ms);

/* The command with --all; returns an exit code. */
int ctl_run_all(struct ctl *ctl, struct out *out);

#endif
