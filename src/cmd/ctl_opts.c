/* SPDX-License-Identifier: MPL-2.0 */
/* meshctl's command line: options of its own (one table), then the command and its arguments
 * from the operation table. Options may stand anywhere; --opt=value and --opt value are the
 * same. */
#define _GNU_SOURCE
#include "cmd/ctl.h"

#include "base/err.h"
#include "base/text.h"
#include "ops/ops_help.h"
#include "wire/api_msg.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16 /* a command and its arguments */
#define GIVEN_MAX 16 /* options of the command */
#define NAMES_MAX 64 /* words or options that one could have meant */
#define TIMEOUT_DEFAULT_MS 5000

enum option {
    OPT_DATA_DIR,
    OPT_SOCKET,
    OPT_FORMAT,
    OPT_NODE,
    OPT_TIMEOUT,
    OPT_COLOR,
    OPT_ALL,
    OPT_FOLLOW,
    OPT_HELP,
    OPT_VERSION
};

static const struct ctl_option options[] = {
    [OPT_DATA_DIR] = {"data-dir", "D", "ask the node whose data directory this is"},
    [OPT_SOCKET] = {"socket", "S", "ask the node that listens on this socket"},
    [OPT_FORMAT] = {"format", "F", "text (default), json; prometheus for metrics"},
    [OPT_NODE] = {"node", "NAME", "ask that node, through the local one"},
    [OPT_TIMEOUT] = {"timeout", "T", "give up after so long: 500ms, 5s (default), 2m"},
    [OPT_COLOR] = {"color", "WHEN", "auto (default), always, never"},
    [OPT_ALL] = {"all", NULL, "ask every node at once; exit status 4 if some do not answer"},
    [OPT_FOLLOW] = {"follow", NULL, NULL},
    [OPT_HELP] = {"help", NULL, "help, also for one command"},
    [OPT_VERSION] = {"version", NULL, "version of meshctl"},
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

const struct ctl_option *ctl_option_at(size_t idx)
{
    return idx < OPTION_COUNT ? &options[idx] : NULL;
}

/* What was found on the command line, before it is known which command it is. */
struct words {
    const char *word[WORDS_MAX];
    size_t count;
    const char *given_name[GIVEN_MAX]; /* options of commands, in the table's spelling */
    const char *given_value[GIVEN_MAX];
    size_t given_count;
};

static int usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int usage(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ctl_error("%s", text);
    return EXIT_USAGE;
}

/* " (did you mean "x"?)" or "" */
static const char *meant(const char *wrong, const char *const *names, const char *dashes,
                         char text[128])
{
    const char *nearest = text_nearest(wrong, names);
    text[0] = '\0';
    if (nearest != NULL) {
        snprintf(text, 128, "; did you mean \"%s%s\"?", dashes, nearest);
    }
    return text;
}

/* ---- options --------------------------------------------------------------------------------- */

/* The option of any command of that name, NULL: none has it. */
static const struct op_arg *command_option(const char *name)
{
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        size_t idx = ops_args_index(spec, name);
        if (idx < spec->arg_count && spec->args[idx].position == 0 && !spec->args[idx].is_hidden) {
            return &spec->args[idx];
        }
    }
    return NULL;
}

static int unknown_option(const char *name)
{
    const char *names[NAMES_MAX + 1];
    size_t count = 0;
    char text[128];
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        names[count++] = options[i].name;
    }
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_spec *spec = ops_spec((enum op) i);
        for (size_t k = 0; k < spec->arg_count && count < NAMES_MAX; k++) {
            if (command_option(spec->args[k].name) != NULL) {
                names[count++] = spec->args[k].name;
            }
        }
    }
    names[count] = NULL;
    return usage("there is no option --%s%s", name, meant(name, names, "--", text));
}

static int choose(const char *option, const char *value, const char *const *choices,
                  int *ret_choice)
{
    char text[128];
    for (int i = 0; choices[i] != NULL; i++) {
        if (strcmp(choices[i], value) == 0) {
            *ret_choice = i;
            return EXIT_DONE;
        }
    }
    char list[128] = "";
    size_t used = 0;
    for (int i = 0; choices[i] != NULL; i++) {
        int size = snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", choices[i]);
        used += size > 0 && (size_t) size < sizeof list - used ? (size_t) size : 0;
    }
    return usage("--%s is \"%s\", but must be one of %s%s", option, value, list,
                 meant(value, choices, "", text));
}

/* "500ms", "5s", "2m", "5" */
static int parse_timeout(const char *value, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"", 1000}};
    char number[16];
    uint64_t count = 0;
    size_t digits = strspn(value, "0123456789");
    if (digits > 0 && digits < sizeof number) {
        memcpy(number, value, digits);
        number[digits] = '\0';
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
            if (strcmp(value + digits, units[i].unit) == 0 &&
                text_to_u64(number, API_DEADLINE_MS_MAX / units[i].ms, &count) == HM_OK &&
                count > 0) {
                *ret_ms = count * units[i].ms;
                return EXIT_DONE;
            }
        }
    }
    return usage("--timeout is \"%s\", but must be like 500ms, 5s or 2m, at most 10m", value);
}

static int set_option(struct ctl_opts *o, enum option option, const char *value)
{
    static const char *const formats[] = {"text", "json", "prometheus", NULL};
    static const char *const colors[] = {"auto", "always", "never", NULL};
    int choice = 0;
    int code = EXIT_DONE;
    switch (option) {
    case OPT_DATA_DIR:
        o->data_dir = value;
        break;
    case OPT_SOCKET:
        o->socket = value;
        break;
    case OPT_FORMAT:
        code = choose("format", value, formats, &choice);
        o->format = (enum ctl_format) choice;
        break;
    case OPT_NODE:
        o->node = value;
        break;
    case OPT_TIMEOUT:
        code = parse_timeout(value, &o->timeout_ms);
        break;
    case OPT_COLOR:
        code = choose("color", value, colors, &choice);
        o->color = (enum ctl_color) choice;
        break;
    case OPT_ALL:
        o->all = true;
        break;
    case OPT_FOLLOW:
        o->follow = true;
        break;
    case OPT_HELP:
        o->want_help = true;
        break;
    case OPT_VERSION:
        o->want_version = true;
        break;
    }
    return code;
}

static size_t find_option(const char *name)
{
    size_t i = 0;
    while (i < OPTION_COUNT && strcmp(options[i].name, name) != 0) {
        i++;
    }
    return i;
}

/* Takes the option at argv[*at] and its value. */
static int take_option(struct ctl_opts *o, struct words *w, int *at)
{
    char name[64];
    const char *text = o->argv[*at] + 2;
    const char *equals = strchr(text, '=');
    size_t size = equals != NULL ? (size_t) (equals - text) : strlen(text);
    if (size >= sizeof name) {
        return usage("there is no option %s", o->argv[*at]);
    }
    memcpy(name, text, size);
    name[size] = '\0';
    size_t option = find_option(name);
    const struct op_arg *arg = option == OPTION_COUNT ? command_option(name) : NULL;
    if (option == OPTION_COUNT && arg == NULL) {
        return unknown_option(name);
    }
    bool has_value = arg != NULL ? true : options[option].value != NULL;
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (!has_value && value != NULL) {
        return usage("--%s takes no value", name);
    }
    if (has_value && value == NULL) {
        if (*at + 1 >= o->argc) {
            return usage("--%s needs a value: --%s=%s", name, name,
                         arg != NULL ? arg->value : options[option].value);
        }
        value = o->argv[++*at];
    }
    if (has_value && value[0] == '\0') {
        return usage("--%s has an empty value", name);
    }
    if (arg == NULL) {
        return set_option(o, (enum option) option, value);
    }
    if (w->given_count == GIVEN_MAX) {
        return usage("too many options");
    }
    w->given_name[w->given_count] = arg->name;
    w->given_value[w->given_count++] = value;
    return EXIT_DONE;
}

static int take_arguments(struct ctl_opts *o, struct words *w)
{
    bool only_words = false;
    for (int i = 1; i < o->argc; i++) {
        const char *text = o->argv[i];
        int code = EXIT_DONE;
        if (!only_words && strcmp(text, "--") == 0) {
            only_words = true;
        } else if (!only_words && strcmp(text, "-h") == 0) {
            o->want_help = true;
        } else if (!only_words && strncmp(text, "--", 2) == 0) {
            code = take_option(o, w, &i);
        } else if (!only_words && text[0] == '-' && text[1] != '\0') {
            code = usage("there is no option %s; options begin with two dashes", text);
        } else if (w->count == WORDS_MAX) {
            code = usage("too many arguments, from \"%s\" on", text);
        } else {
            w->word[w->count++] = text;
        }
        if (code != EXIT_DONE) {
            return code;
        }
    }
    return EXIT_DONE;
}

/* ---- the command ----------------------------------------------------------------------------- */

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

static int unknown_command(const struct words *w, size_t from)
{
    char room[OP_COUNT][64];
    const char *names[OP_COUNT + 3];
    char text[128];
    const char *first = w->word[from];
    collect_words(first, room, names);
    if (names[0] == NULL) {
        collect_words(NULL, room, names);
        return usage("there is no command \"%s\"%s (\"meshctl help\" lists them)", first,
                     meant(first, names, "", text));
    }
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; names[i] != NULL; i++) {
        int size = snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "", names[i]);
        used += size > 0 && (size_t) size < sizeof list - used ? (size_t) size : 0;
    }
    if (w->count > from + 1) {
        return usage("\"%s\" has no command \"%s\"%s (it has: %s)", first, w->word[from + 1],
                     meant(w->word[from + 1], names, "", text), list);
    }
    return usage("\"meshctl %s\" needs one more word, one of: %s", first, list);
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
            return usage("\"meshctl %s\" takes no argument \"%s\"", ops_help_words(o->spec, words),
                         w->word[i]);
        }
        if (ops_args_set(o->spec, idx, w->word[i], &o->values, why) != HM_OK) {
            return usage("%s", why);
        }
    }
    return EXIT_DONE;
}

static int set_given(struct ctl_opts *o, const struct words *w)
{
    char why[OPS_WHY_BYTES];
    char words[64];
    for (size_t i = 0; i < w->given_count; i++) {
        size_t idx = ops_args_index(o->spec, w->given_name[i]);
        if (idx == o->spec->arg_count) {
            return usage("\"meshctl %s\" has no option --%s", ops_help_words(o->spec, words),
                         w->given_name[i]);
        }
        if (ops_args_set(o->spec, idx, w->given_value[i], &o->values, why) != HM_OK) {
            return usage("--%s", why);
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
        return usage("\"meshctl %s\" has no option --follow", words);
    }
    if (o->format == FORMAT_PROMETHEUS && o->spec->op != OP_METRICS) {
        return usage("\"meshctl %s\" has no format prometheus: text or json", words);
    }
    if (o->node != NULL && o->spec->scope == SCOPE_LOCAL) {
        return usage(
            "\"meshctl %s\" answers only on the node itself, not with --node: run it there", words);
    }
    return EXIT_DONE;
}

static int check_all(const struct ctl_opts *o)
{
    char words[64];
    ops_help_words(o->spec, words);
    if (o->all && o->spec->scope != SCOPE_ALL) {
        return usage("\"meshctl %s\" has no option --all: it is asked of one node", words);
    }
    if (o->all && o->node != NULL) {
        return usage("--all and --node both say which node to ask: give one");
    }
    if (o->all && o->follow) {
        return usage("--follow goes on for ever and --all has an end: give one");
    }
    if (o->all && o->format == FORMAT_PROMETHEUS) {
        return usage("--all has no format prometheus, whose metrics are of one node: text or json");
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
            return usage("\"meshctl %s\" needs %s, %s", words, arg->value, arg->help);
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
static int set_completion(struct ctl_opts *o, const struct words *w)
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
        return usage("there is no completion for \"%s\"%s; there is one for bash and one for zsh",
                     w->word[1], meant(w->word[1], shells, "", text));
    }
    return usage("\"meshctl completion\" needs the name of the shell, bash or zsh");
}

static int set_command(struct ctl_opts *o, const struct words *w, size_t from)
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
static bool set_group(struct ctl_opts *o, const struct words *w, size_t from)
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

/* Flags win over the environment, and a flag of one kind over a variable of the other. */
static int set_target(struct ctl_opts *o)
{
    const char *socket = getenv("MESHD_SOCKET");
    const char *data_dir = getenv("MESHD_DATA_DIR");
    if (o->data_dir != NULL && o->socket != NULL) {
        return usage("--data-dir and --socket both say which node to ask: give one");
    }
    if (o->data_dir == NULL && o->socket == NULL) {
        if (socket != NULL && socket[0] != '\0') {
            o->socket = socket;
        } else if (data_dir != NULL && data_dir[0] != '\0') {
            o->data_dir = data_dir;
        }
    }
    return EXIT_DONE;
}

int ctl_opts_parse(int argc, char *const *argv, struct ctl_opts *ret_opts)
{
    struct words w = {.count = 0};
    struct ctl_opts *o = ret_opts;
    memset(o, 0, sizeof *o);
    o->argc = argc;
    o->argv = argv;
    o->timeout_ms = TIMEOUT_DEFAULT_MS;
    int code = take_arguments(o, &w);
    if (code != EXIT_DONE) {
        return code;
    }
    bool is_help = w.count > 0 && strcmp(w.word[0], "help") == 0;
    size_t from = is_help ? 1 : 0;
    o->want_help = o->want_help || is_help;
    if (o->want_version || (o->want_help && (w.count == from || set_group(o, &w, from)))) {
        return EXIT_DONE;
    }
    if (w.count == 0) {
        ctl_help(o, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(w.word[from], "completion") == 0) {
        o->want_completion_help = o->want_help;
        return o->want_help ? EXIT_DONE : set_completion(o, &w);
    }
    code = set_command(o, &w, from);
    return code == EXIT_DONE ? set_target(o) : code;
}
