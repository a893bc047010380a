/* SPDX-License-Identifier: MPL-2.0 */
/* The command and its arguments among meshctl's words, from the operation table: see ctl_words.h. */
#define _GNU_SOURCE
#include "cmd/ctl_words.h"

#include "base/err.h"
#include "ops/ops_help.h"

#include <string.h>

/* Do the first words name this operation? Returns how many, 0: no. */
static size_t match(const struct op_spec *spec, const char *const *word, size_t count)
{
    char words[64];
    const char *at = ops_help_words(spec, words);
    size_t used = 0;
    while (*at != '\0') {
        size_t size = strcspn(at, " ");
        if (used == count || strlen(word[used]) != size || strncmp(word[used], at, size) != 0) {
            return 0;
        }
        used++;
        at += size;
        at += *at == ' ' ? 1 : 0;
    }
    return used;
}

/* First word, and if after is given, second word of commands that begin with it, each once. */
static void collect_words(const char *after, char (*room)[64], const char **names)
{
    size_t count = 0;
    for (size_t i = 0; i < OP_COUNT; i++) {
        char *text = room[i];
        ops_help_words(ops_spec((enum op) i), text);
        char *blank = strchr(text, ' ');
        if (after != NULL) {
            if (blank == NULL || strncmp(text, after, (size_t) (blank - text)) != 0 ||
                after[blank - text] != '\0') {
                continue;
            }
            names[count++] = blank + 1;
            continue;
        }
        if (blank != NULL) {
            *blank = '\0';
        }
        if (count == 0 || strcmp(names[count - 1], text) != 0) {
            names[count++] = text;
        }
    }
    if (after == NULL) {
        names[count++] = "completion";
        names[count++] = "help";
    }
    names[count] = NULL;
}

/* "; did you mean "kv get"?" for a word that only comes behind another one, or "". */
static const char *meant_behind(const char *word, char text[256])
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < OP_COUNT; i++) {
        char words[64];
        const char *blank = strchr(ops_help_words(ops_spec((enum op) i), words), ' ');
        if (blank == NULL || strcmp(blank + 1, word) != 0) {
            continue;
        }
        int size = snprintf(text + used, 256 - used, "%s\"%s\"",
                            used == 0 ? "; did you mean " : " or ", words);
        used += size > 0 && (size_t) size < 256 - used ? (size_t) size : 0;
    }
    if (used > 0) {
        snprintf(text + used, 256 - used, "?");
    }
    return text;
}

static int unknown_command(const struct words *w, size_t from)
{
    char room[OP_COUNT][64];
    const char *names[OP_COUNT + 3];
    char text[128];
    const char *first = w->word[from];
    collect_words(first, room, names);
    if (names[0] == NULL) {
        char behind[256];
        collect_words(NULL, room, names);
        return ctl_usage("there is no command \"%s\"%s (\"meshctl help\" lists them)", first,
                         meant_behind(first, behind)[0] != '\0'
                             ? behind
                             : ctl_meant(first, names, "", text));
    }
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; names[i] != NULL; i++) {
        int size = snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", names[i]);
        used += size > 0 && (size_t) size < sizeof list - used ? (size_t) size : 0;
    }
    if (w->count > from + 1) {
        return ctl_usage("\"%s\" has no command \"%s\"%s (it has: %s)", first, w->word[from + 1],
                         ctl_meant(w->word[from + 1], names, "", text), list);
    }
    return ctl_usage("\"meshctl %s\" needs one more word, one of: %s", first, list);
}

static int set_words(struct ctl_opts *o, const struct words *w, size_t from)
{
    char why[OPS_WHY_BYTES];
    unsigned position = 1;
    for (size_t i = from; i < w->count; i++, position++) {
        size_t idx = 0;
        while (idx < o->spec->arg_count && o->spec->args[idx].position != position) {
            idx++;
        }
        if (idx == o->spec->arg_count) {
            char words[64];
            return ctl_usage("\"meshctl %s\" takes no argument \"%s\"",
                             ops_help_words(o->spec, words), w->word[i]);
        }
        if (ops_args_set(o->spec, idx, w->word[i], &o->values, why) != HM_OK) {
            return ctl_usage("%s", why);
        }
    }
    return EXIT_DONE;
}

static int set_given(struct ctl_opts *o, const struct words *w)
{
    char why[OPS_WHY_BYTES];
    char words[64], option[64];
    for (size_t i = 0; i < w->given_count; i++) {
        size_t idx = ops_args_index(o->spec, w->given_name[i]);
        if (idx == o->spec->arg_count) {
            struct op_arg arg = {.name = w->given_name[i]};
            return ctl_usage("\"meshctl %s\" has no option --%s", ops_help_words(o->spec, words),
                             ops_help_option(&arg, option));
        }
        if (ops_args_set(o->spec, idx, w->given_value[i], &o->values, why) != HM_OK) {
            return ctl_usage("--%s", why);
        }
    }
    return EXIT_DONE;
}

/* Options that do not go with the command. */
static int check_options(const struct ctl_opts *o)
{
    char words[64];
    ops_help_words(o->spec, words);
    if (o->follow && o->spec->kind != OP_STREAM) {
        return ctl_usage("\"meshctl %s\" has no option --follow", words);
    }
    if (o->format == FORMAT_PROMETHEUS && o->spec->op != OP_METRICS) {
        return ctl_usage("\"meshctl %s\" has no format prometheus: text or json", words);
    }
    if (o->spec->op == OP_KV_PUT && ops_args_get(o->spec, &o->values, "file")->is_given &&
        ops_args_get(o->spec, &o->values, "value")->is_given) {
        return ctl_usage("VALUE and --file both say what to put: give one");
    }
    if (o->node != NULL && o->spec->scope == SCOPE_LOCAL) {
        return ctl_usage(
            "\"meshctl %s\" answers only on the node itself, not with --node: run it there", words);
    }
    return EXIT_DONE;
}

static int check_all(const struct ctl_opts *o)
{
    char words[64];
    ops_help_words(o->spec, words);
    if (o->all && o->spec->scope != SCOPE_ALL) {
        return ctl_usage("\"meshctl %s\" has no option --all: it is asked of one node", words);
    }
    if (o->all && o->node != NULL) {
        return ctl_usage("--all and --node both say which node to ask: give one");
    }
    if (o->all && o->follow) {
        return ctl_usage("--follow goes on for ever and --all has an end: give one");
    }
    if (o->all && o->format == FORMAT_PROMETHEUS) {
        return ctl_usage(
            "--all has no format prometheus, whose metrics are of one node: text or json");
    }
    return EXIT_DONE;
}

static int check_required(const struct ctl_opts *o)
{
    char words[64];
    ops_help_words(o->spec, words);
    for (size_t i = 0; i < o->spec->arg_count; i++) {
        const struct op_arg *arg = &o->spec->args[i];
        if (arg->is_required && !o->values.v[i].is_given) {
            char option[64], shown[96];
            snprintf(shown, sizeof shown, "--%s=%s", ops_help_option(arg, option), arg->value);
            return ctl_usage("\"meshctl %s\" needs %s, %s", words,
                             arg->position > 0 ? arg->value : shown, arg->help);
        }
    }
    return EXIT_DONE;
}

/* "rtt A B": A has measured it, so A is asked. */
static void ask_the_first(struct ctl_opts *o)
{
    if (o->spec->op == OP_RTT && o->node == NULL && !o->all &&
        ops_args_get(o->spec, &o->values, "to")->is_given) {
        o->node = ops_args_get(o->spec, &o->values, "node")->text;
    }
}

/* "completion SHELL", which asks no node. */
int ctl_set_completion(struct ctl_opts *o, const struct words *w)
{
    static const char *const shells[] = {"bash", "zsh", NULL};
    char text[128];
    for (size_t i = 0; w->count == 2 && shells[i] != NULL; i++) {
        if (strcmp(w->word[1], shells[i]) == 0) {
            o->completion = shells[i];
            return EXIT_DONE;
        }
    }
    if (w->count == 2) {
        return ctl_usage(
            "there is no completion for \"%s\"%s; there is one for bash and one for zsh",
            w->word[1], ctl_meant(w->word[1], shells, "", text));
    }
    return ctl_usage("\"meshctl completion\" needs the name of the shell, bash or zsh");
}

int ctl_set_command(struct ctl_opts *o, const struct words *w, size_t from)
{
    size_t used = 0;
    for (size_t i = 0; i < OP_COUNT && used == 0; i++) {
        used = match(ops_spec((enum op) i), w->word + from, w->count - from);
        o->spec = used > 0 ? ops_spec((enum op) i) : NULL;
    }
    if (used == 0) {
        return unknown_command(w, from);
    }
    if (o->want_help) {
        return EXIT_DONE;
    }
    ops_args_init(o->spec, &o->values);
    int code = set_words(o, w, from + used);
    code = code == EXIT_DONE ? set_given(o, w) : code;
    code = code == EXIT_DONE ? check_options(o) : code;
    code = code == EXIT_DONE ? check_all(o) : code;
    code = code == EXIT_DONE ? check_required(o) : code;
    if (code == EXIT_DONE) {
        ask_the_first(o);
    }
    return code;
}

/* `help nodes` and `nodes --help`: all commands that begin with the word. */
bool ctl_set_group(struct ctl_opts *o, const struct words *w, size_t from)
{
    char room[OP_COUNT][64];
    const char *names[OP_COUNT + 3];
    if (w->count != from + 1) {
        return false;
    }
    collect_words(w->word[from], room, names);
    if (names[0] == NULL) {
        return false;
    }
    o->group = w->word[from];
    return true;
}
