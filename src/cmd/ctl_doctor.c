/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl doctor: asks every node, prints, decides the exit code. See ctl_doctor.h.
 *
 * Nodes knock a few times, a third of a second apart, so that the loss of a packet is no finding; then
 * each is asked what it saw. A knock is not waited for longer than that: who does not answer is found
 * when it is asked. */
#define _GNU_SOURCE
#include "cmd/ctl_doctor.h"

#include "base/err.h"
#include "base/text.h"
#include "cmd/ctl_out.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KNOCKS 3
#define KNOCK_MS 300
#define NAMES_SHOWN 8 /* of nodes of which the same is to be said */
#define CHECK_COLUMNS 14 /* "same-identity" and a blank */
#define STATUS_COLUMNS 6

/* ---- printing -------------------------------------------------------------------------------- */

static enum out_style style_of(const char *status)
{
    return strcmp(status, "ok") == 0     ? STYLE_GREEN
           : strcmp(status, "warn") == 0 ? STYLE_YELLOW
                                         : STYLE_RED;
}

/* nodes: instead of the line's own, when several say the same. with_fix: false when the next line to be
 * printed has the same. */
static void print_line(struct out *out, const json_t *line, const char *nodes, bool with_fix)
{
    char text[2048];
    const char *status = ctl_text(line, "status");
    const char *node = nodes != NULL ? nodes : ctl_text(line, "node");
    const char *fix = ctl_text(line, "fix");
    bool is_ok = strcmp(status, "ok") == 0;
    out_put(out, style_of(status), status, STATUS_COLUMNS);
    out_put(out, is_ok ? STYLE_DIM : STYLE_PLAIN, ctl_text(line, "check"), CHECK_COLUMNS);
    snprintf(text, sizeof text, "%s%s%s", node, node[0] != '\0' ? ": " : "",
             ctl_text(line, "text"));
    out_put_wrapped(out, STYLE_PLAIN, text, STATUS_COLUMNS + CHECK_COLUMNS);
    if (fix[0] != '\0' && with_fix) {
        snprintf(text, sizeof text, "-> %s", fix);
        out_put(out, STYLE_PLAIN, "", STATUS_COLUMNS + CHECK_COLUMNS);
        out_put_wrapped(out, STYLE_BOLD, text, STATUS_COLUMNS + CHECK_COLUMNS);
    }
}

static bool is_same_fix(const json_t *line, const json_t *next)
{
    return next != NULL && strcmp(ctl_text(line, "check"), ctl_text(next, "check")) == 0 &&
           strcmp(ctl_text(line, "fix"), ctl_text(next, "fix")) == 0;
}

/* Lines as they are shown: one for all nodes of which the same is said. */
struct sum {
    size_t warned;
    size_t failed;
};

static void count_line(struct sum *sum, const json_t *line)
{
    sum->warned += strcmp(ctl_text(line, "status"), "warn") == 0 ? 1 : 0;
    sum->failed += strcmp(ctl_text(line, "status"), "fail") == 0 ? 1 : 0;
}

static void print_sum(struct out *out, const struct sum *sum)
{
    char text[128];
    snprintf(text, sizeof text, "%zu failed, %zu warning%s", sum->failed, sum->warned,
             sum->warned == 1 ? "" : "s");
    fputc('\n', stdout);
    out_put(out,
            sum->failed > 0   ? STYLE_RED
            : sum->warned > 0 ? STYLE_YELLOW
                              : STYLE_GREEN,
            sum->failed + sum->warned > 0 ? text : "all is well", 0);
    fputc('\n', stdout);
}

void ctl_print_doctor(struct out *out, const json_t *lines)
{
    struct sum sum = {0, 0};
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        print_line(out, line, NULL, !is_same_fix(line, json_array_get(lines, i + 1)));
        count_line(&sum, line);
    }
    print_sum(out, &sum);
}

static bool is_ok_of_another(const json_t *line, const char *check, const char *self)
{
    const char *node = ctl_text(line, "node");
    return strcmp(ctl_text(line, "status"), "ok") == 0 && node[0] != '\0' &&
           strcmp(node, self) != 0 && strcmp(ctl_text(line, "check"), check) == 0;
}

/* How many nodes beside this one have nothing but good lines in a check. */
static size_t count_well(const json_t *lines, const struct ctl_all *all, const char *check,
                         const char *self)
{
    size_t count = 0;
    for (size_t k = 0; k < all->count; k++) {
        size_t i;
        json_t *line;
        bool has_ok = false;
        bool has_other = false;
        json_array_foreach(lines, i, line)
        {
            bool is_its = strcmp(ctl_text(line, "check"), check) == 0 &&
                          strcmp(ctl_text(line, "node"), all->nodes[k].name) == 0;
            has_ok = has_ok || (is_its && is_ok_of_another(line, check, self));
            has_other = has_other || (is_its && strcmp(ctl_text(line, "status"), "ok") != 0);
        }
        count += has_ok && !has_other ? 1 : 0;
    }
    return count;
}

static void add_name(char *names, size_t max, size_t count, const char *name)
{
    size_t used = strlen(names);
    if (count < NAMES_SHOWN) {
        snprintf(names + used, max - used, "%s%s", count > 0 ? ", " : "", name);
    }
}

/* How many lines from this one on belong together: of different nodes that say the same, and between
 * them those that are not shown. Gives the names, and how many they are. */
static size_t name_same(const json_t *lines, size_t at, const char *self, char *names, size_t max,
                        size_t *ret_count)
{
    const json_t *first = json_array_get(lines, at);
    bool is_ok = strcmp(ctl_text(first, "status"), "ok") == 0;
    size_t count = 0;
    size_t end = at + 1;
    names[0] = '\0';
    for (size_t i = at; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);
        bool is_same = strcmp(ctl_text(line, "status"), ctl_text(first, "status")) == 0 &&
                       strcmp(ctl_text(line, "text"), ctl_text(first, "text")) == 0 &&
                       strcmp(ctl_text(line, "check"), ctl_text(first, "check")) == 0 &&
                       ctl_text(line, "node")[0] != '\0';
        if (i > at && !is_same && is_ok_of_another(line, ctl_text(first, "check"), self)) {
            continue;
        }
        if (i > at && (!is_same || is_ok)) {
            break;
        }
        add_name(names, max, count++, ctl_text(line, "node"));
        end = i + 1;
    }
    if (count > NAMES_SHOWN) {
        size_t used = strlen(names);
        snprintf(names + used, max - used, " and %zu more", count - NAMES_SHOWN);
    }
    *ret_count = count;
    return end - at;
}

/* Everything of this node and of the mesh, and of other nodes what is not well; the rest is counted. */
static struct sum print_all(struct out *out, const json_t *lines, const struct ctl_all *all,
                            const char *self)
{
    struct sum sum = {0, 0};
    for (size_t i = 0; i < json_array_size(lines);) {
        char names[256];
        size_t count;
        const json_t *line = json_array_get(lines, i);
        size_t same = name_same(lines, i, self, names, sizeof names, &count);
        const json_t *after = json_array_get(lines, i + same);
        const char *next = ctl_text(after, "check");
        const char *check = ctl_text(line, "check");
        if (!is_ok_of_another(line, check, self)) {
            print_line(out, line, count > 1 ? names : NULL, !is_same_fix(line, after));
            count_line(&sum, line);
        }
        i += same;
        size_t others = strcmp(check, next) != 0 ? count_well(lines, all, check, self) : 0;
        if (others > 0) {
            out_put(out, STYLE_GREEN, "ok", STATUS_COLUMNS);
            out_put(out, STYLE_DIM, check, CHECK_COLUMNS);
            printf("%zu other node%s too\n", others, others == 1 ? "" : "s");
        }
    }
    return sum;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void rest_until(uint64_t at_ms)
{
    uint64_t now = ctl_now_ms();
    if (now < at_ms) {
        const struct timespec pause = {.tv_nsec = (long) (at_ms - now) * 1000000};
        nanosleep(&pause, NULL);
    }
}

static bool is_looked_at(const char *code)
{
    static const char *const codes[] = {
        "store-failed", "foreign-key", "members-failed", "members-suspect", "slow",
        "leaving",      "isolated",    "path",           "same-name",       NULL};
    size_t i = 0;
    while (codes[i] != NULL && strcmp(codes[i], code) != 0) {
        i++;
    }
    return codes[i] != NULL;
}

/* Has a line of that check been said about the node? */
static bool is_said(const json_t *lines, const char *check, const char *node)
{
    size_t i;
    json_t *line;
    json_array_foreach((json_t *) lines, i, line)
    {
        if (strcmp(ctl_text(line, "check"), check) == 0 &&
            strcmp(ctl_text(line, "node"), node) == 0) {
            return true;
        }
    }
    return false;
}

/* Of what is wrong with another node this one tells only if that one does not answer for itself. */
static bool is_left_to(const struct ctl_all *all, const char *other)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->nodes[i].name, other) == 0) {
            return all->nodes[i].reply != NULL;
        }
    }
    return false;
}

/* What "status" calls a problem and no check here looks at. */
static void collect_problems(json_t *lines, const struct ctl_all *all)
{
    for (size_t n = 0; n < all->count; n++) {
        size_t i;
        json_t *problem;
        all->nodes[n].is_aside = json_is_true(json_object_get(all->nodes[n].reply, "aside")) ||
                                 json_is_true(json_object_get(all->nodes[n].reply, "removed"));
        json_array_foreach(json_object_get(all->nodes[n].reply, "problems"), i, problem)
        {
            const char *code = ctl_text(problem, "code");
            const char *mend = ctl_text(problem, "mend");
            const char *other = ctl_text(problem, "node");
            const char *about = other[0] != '\0' ? other : all->nodes[n].name;
            bool is_its = other[0] == '\0' || !is_left_to(all, other);
            if (!is_looked_at(code) && is_its && !is_said(lines, code, about)) {
                doctor_say(lines, code, other[0] != '\0' ? "warn" : "fail", about, mend[0] != '\0' ? mend : NULL, "%s",
                           ctl_text(problem, "text"));
            }
        }
    }
}

/* Knocks and asks; adds to lines what is no check of its own. HM_OK or HM_E*. */
static int examine(struct ctl *ctl, struct ctl_all *all, uint64_t deadline_ms, json_t *lines,
                   uint64_t *ret_since_ms)
{
    const struct op_spec *spec = ops_spec(OP_DOCTOR);
    struct op_values values;
    int code = HM_OK;
    ops_args_init(spec, &values);
    values.v[ops_args_index(spec, "knock")] = (struct op_value){.is_given = true, .number = 1};
    *ret_since_ms = ctl_now_ms();
    for (int i = 0; i < KNOCKS && code == HM_OK; i++) {
        uint64_t until_ms = ctl_now_ms() + KNOCK_MS;
        code =
            ctl_all_ask(ctl, all, spec, &values, until_ms < deadline_ms ? until_ms : deadline_ms);
        for (size_t k = 0; k < all->count; k++) {
            all->nodes[k].has_knocked |= all->nodes[k].reply != NULL;
        }
        rest_until(until_ms < deadline_ms ? until_ms : deadline_ms);
    }
    ops_args_init(ops_spec(OP_STATUS), &values);
    if (code == HM_OK) {
        uint64_t until_ms = ctl_now_ms() + KNOCK_MS;
        code = ctl_all_ask(ctl, all, ops_spec(OP_STATUS), &values,
                           until_ms < deadline_ms ? until_ms : deadline_ms);
        collect_problems(lines, all);
    }
    ops_args_init(spec, &values);
    return code == HM_OK ? ctl_all_ask(ctl, all, spec, &values, deadline_ms) : code;
}

/* The nodes' own lines of one check, those of the local node first. */
static void collect_check(json_t *lines, const struct ctl_all *all, const char *check)
{
    for (int self = 1; self >= 0; self--) {
        for (size_t n = 0; n < all->count; n++) {
            const struct ctl_node *node = &all->nodes[n];
            size_t i;
            json_t *line;
            json_array_foreach(json_object_get(node->reply, "checks"), i, line)
            {
                if (node->is_self == (self == 1) && strcmp(ctl_text(line, "check"), check) == 0) {
                    /* As the node asked shows it: of two with one name each says NAME of itself. */
                    json_object_set_new(line, "node", json_string(node->name));
                    json_array_append(lines, line);
                }
            }
        }
    }
}

static bool has_trouble(const struct ctl_all *all, const char *check)
{
    for (size_t n = 0; n < all->count; n++) {
        size_t i;
        json_t *line;
        json_array_foreach(json_object_get(all->nodes[n].reply, "checks"), i, line)
        {
            if (strcmp(ctl_text(line, "check"), check) == 0 &&
                strcmp(ctl_text(line, "status"), "ok") != 0) {
                return true;
            }
        }
    }
    return false;
}

/* All of them, check by check. Who is isolated comes first of all, and a cable that is out: these are
 * causes of what follows. See ctl_doctor. */
static void collect(json_t *lines, const struct ctl_all *all, bool with_interfaces)
{
    static const char *const order[] = {"interfaces",  "mtu",       "ports",      "key",
                                        "foreign-key", "strangers", "unanswered", "join",
                                        "disk",        "clock",     "load",       "config",
                                        "services",    "store",     "limits",     "versions",
                                        NULL};
    for (size_t k = with_interfaces ? 0 : 1; order[k] != NULL; k++) {
        collect_check(lines, all, order[k]);
    }
    /* What a newer node checks and this meshctl does not know. */
    for (size_t n = 0; n < all->count; n++) {
        size_t i;
        json_t *line;
        json_array_foreach(json_object_get(all->nodes[n].reply, "checks"), i, line)
        {
            size_t k = 0;
            while (order[k] != NULL && strcmp(order[k], ctl_text(line, "check")) != 0) {
                k++;
            }
            if (order[k] == NULL && strcmp(ctl_text(line, "check"), "isolated") != 0) {
                json_array_append(lines, line);
            }
        }
    }
}

static const char *self_name(const struct ctl_all *all)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->nodes[i].is_self) {
            return all->nodes[i].name;
        }
    }
    return "";
}

/* The daemon does not answer, which was said on stderr. */
static int without_daemon(const struct ctl *ctl, struct out *out)
{
    json_t *lines = json_array();
    doctor_local(lines, ctl);
    if (ctl->opts->format == FORMAT_JSON) {
        ctl_json_print(lines, false);
    } else {
        ctl_print_doctor(out, lines);
    }
    json_decref(lines);
    return EXIT_NO_DAEMON;
}

static void print_findings(const struct ctl *ctl, struct out *out, const json_t *lines,
                           const struct ctl_all *all, uint64_t since_ms)
{
    if (ctl->opts->format == FORMAT_JSON) {
        ctl_json_print(lines, false);
        return;
    }
    struct sum sum = print_all(out, lines, all, self_name(all));
    doctor_print_matrix(out, all, since_ms);
    print_sum(out, &sum);
}

/* --node: what that node says by itself. */
static int doctor_of_one(struct ctl *ctl, struct out *out)
{
    const struct op_spec *spec = ops_spec(OP_DOCTOR);
    struct op_values values;
    uint64_t deadline_ms = ctl_now_ms() + ctl->opts->timeout_ms;
    json_t *reply = NULL;
    ops_args_init(spec, &values);
    values.v[ops_args_index(spec, "knock")] = (struct op_value){.is_given = true, .number = 1};
    int exit_code = ctl_ask_op(ctl, spec, &values, deadline_ms, &reply);
    if (exit_code == EXIT_DONE) {
        json_decref(reply);
        rest_until(ctl_now_ms() + KNOCK_MS);
        ops_args_init(spec, &values);
        exit_code = ctl_ask_op(ctl, spec, &values, deadline_ms, &reply);
    }
    if (exit_code != EXIT_DONE) {
        return exit_code;
    }
    const json_t *lines = json_object_get(reply, "checks");
    if (ctl->opts->format == FORMAT_JSON) {
        ctl_json_print(lines, false);
    } else {
        ctl_print_doctor(out, lines);
    }
    exit_code = ctl_doctor_exit(lines);
    json_decref(reply);
    return exit_code;
}

/* Connects and lists the nodes within a third of the time: if the daemon hangs, what can be seen
 * without it is to be seen soon. */
static int reach_daemon(struct ctl *ctl, struct ctl_all *all)
{
    const struct ctl_opts *opts = ctl->opts;
    struct ctl_opts hasty = *opts;
    hasty.timeout_ms = opts->timeout_ms / 3 + 1;
    int exit_code = ctl_connect(ctl, false);
    if (exit_code == EXIT_DONE && opts->node == NULL) {
        ctl->opts = &hasty;
        exit_code = ctl_all_init(ctl, all, ctl_now_ms() + hasty.timeout_ms);
        ctl->opts = opts;
    }
    return exit_code;
}

int ctl_doctor(const struct ctl_opts *opts, struct out *out)
{
    struct ctl ctl = {.opts = opts};
    struct ctl_all all;
    uint64_t since_ms = 0;
    uint64_t deadline_ms = ctl_now_ms() + opts->timeout_ms;
    int exit_code = reach_daemon(&ctl, &all);
    if (exit_code == EXIT_USAGE) {
        return exit_code; /* several nodes: one must be chosen */
    }
    if (exit_code == EXIT_DONE && opts->node != NULL) {
        exit_code = doctor_of_one(&ctl, out);
        ctl_disconnect(&ctl);
        return exit_code;
    }
    if (exit_code != EXIT_DONE) {
        ctl_disconnect(&ctl);
        return without_daemon(&ctl, out);
    }
    json_t *lines = json_array();
    int code = examine(&ctl, &all, deadline_ms, lines, &since_ms);
    if (code != HM_OK) {
        ctl_failed(&ctl, code, "");
        exit_code = without_daemon(&ctl, out);
    } else {
        doctor_try(&all);
        bool is_cause = has_trouble(&all, "interfaces");
        collect_check(lines, &all, "isolated");
        if (is_cause) {
            collect_check(lines, &all, "interfaces");
        }
        doctor_nodes(lines, &all);
        doctor_mesh(lines, &all, since_ms);
        collect(lines, &all, !is_cause);
        print_findings(&ctl, out, lines, &all, since_ms);
        exit_code = ctl_doctor_exit(lines);
    }
    json_decref(lines);
    ctl_all_fini(&all);
    ctl_disconnect(&ctl);
    return exit_code;
}
