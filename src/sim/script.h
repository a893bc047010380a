/* SPDX-License-Identifier: MPL-2.0 */
/* Scenario files: small texts that say how many machines there are, what goes wrong when, and what
 * is expected. docs/guide/simulator.md tells the language to users.
 *
 * A file is read line by line into statements (script.c, by the tables of script_words.c). From a
 * seed, script_plan.c draws the plan: who "any" is, when in "10s..20s". plan_text.c writes a plan as
 * a file that gives the same run. Files are foreign bytes: whatever is in them, reading ends with a
 * script or an error that names line, column and the nearest valid word. */
#ifndef HM_SIM_SCRIPT_H
#define HM_SIM_SCRIPT_H

#include "base/span.h"
#include "sim/plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SCRIPT_BYTES_MAX (1U << 20)
#define SCRIPT_STATEMENTS_MAX 20000U /* what a run of an hour under constant fire needs */
#define SCRIPT_FAULTS_MAX 200000U    /* that a file draws */
#define SCRIPT_SIDES_MAX 2000U       /* partitions that a file draws */
#define SCRIPT_TIME_MAX_NS (100ULL * 365 * 86400 * SECOND_NS)
#define SCRIPT_NOT_SET UINT64_MAX
#define SCRIPT_DRIFT_MAX 200000 /* ppm */

/* A statement that does something at a time. Two may have one name and differ by a key word. */
struct script_verb {
    const char *name;
    const char *key; /* a word that must be in the line; NULL: none */
    enum fault_kind kind;
    int mend; /* the fault that ends it, for "for"; -1: nothing does */
    /* Its arguments: S a set of nodes, A and B one node each, | the sides of a partition, T a time,
     * J a time with sign, Q ppm with sign, % a percentage, R a rate, p what a path does, f "for" and
     * a time if there is one, F the same but needed, w what is written, {word} that word. */
    const char *arguments;
    const char *example;
    const char *summary;
};

enum script_setting_code {
    SET_NODES,
    SET_SEED,
    SET_FOR,
    SET_CALM,
    SET_OFF,
    SET_DUPLICATE,
    SET_REORDER,
    SET_SPREAD,
    SET_BROADCAST,
    SET_SEGMENT,
    SET_QUEUE,
    SET_DISK,
};

struct script_setting {
    const char *name;
    enum script_setting_code code;
    const char *example;
    const char *summary;
};

enum script_expect_code {
    WANT_NO_FAILED,
    WANT_SOME_FAILED,
    WANT_AGREED,
    WANT_EQUAL,
    WANT_DETECTED,
    WANT_TOLD,
    WANT_FALSE_FAILURES,
    WANT_INCARNATION,
    WANT_IDLE,
    WANT_STATUS,
};

struct script_expect {
    const char *name;
    enum script_expect_code code;
    unsigned status; /* WANT_STATUS */
    const char *example;
    const char *summary;
};

extern const struct script_verb script_verbs[];
extern const size_t script_verb_count;
extern const struct script_setting script_settings[];
extern const size_t script_setting_count;
extern const struct script_expect script_expects[];
extern const size_t script_expect_count;

/* A time or a range of which one is drawn. */
struct script_range {
    uint64_t low, high;
};

struct script_set {
    bool is_any; /* `count` are drawn of the nodes */
    unsigned count;
    struct node_set nodes;
};

struct script_statement {
    const struct script_verb *verb; /* NULL: an expectation */
    bool is_every;
    struct script_range when;   /* "at", or between two of "every" */
    uint64_t from_ns, until_ns; /* of "every"; SCRIPT_NOT_SET: as the run is long */
    struct script_set who;
    unsigned a, b;
    struct plan_sides *sides; /* owned */
    uint64_t amount;
    struct script_range for_ns; /* low SCRIPT_NOT_SET: it does not end by itself */
    struct path_conf path;
    struct plan_load load;
    struct expect expect;
};

struct script {
    char name[64];
    unsigned nodes;
    bool has_seed;
    uint64_t seed;
    uint64_t for_ns, calm_ns, converge_ns, equal_ns; /* SCRIPT_NOT_SET: from what happens */
    unsigned flags;                        /* enum plan_flag */
    struct node_set off;                   /* do not start by themselves */
    struct net_conf net;
    struct script_statement *statements;
    size_t count, room;
};

struct script_error {
    unsigned line, column; /* from 1 */
    char text[256];
};

/* The name is for messages. NULL: it is not a scenario, ret_error says why. */
struct script *script_read(struct span text, const char *name, struct script_error *ret_error);
void script_destroy(struct script **p);

/* Draws what happens. The plan is the caller's to plan_fini() also if this returns false: then it
 * would have had more than SCRIPT_FAULTS_MAX faults, or gone on for more than SCRIPT_TIME_MAX_NS. */
bool script_plan(const struct script *s, uint64_t seed, struct plan *ret_plan);

/* Writes a plan as a scenario file that gives the same run. */
void plan_write(const struct plan *p, FILE *out);

/* The language in short, from the tables, for meshsim --help=scenario. */
void script_print_words(FILE *out);

#endif
